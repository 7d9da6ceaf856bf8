/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * i8259A programmable interrupt controllers: the PC's master and slave pair.
 *
 *   IRQ0,1,3..7 --> master --INTR--> CPU (or the local APIC's LINT0)
 *                     ^ IR2
 *   IRQ8..15 ---> slave
 */
#ifndef DEVICES_I8259_H
#define DEVICES_I8259_H

#include "devices/device.h"

struct i8259_pair;

/* One chip. All of it is guest-visible state but the first three members. */
struct i8259 {
    struct i8259_pair *pair; /* the board wires two of them */
    bool slave;
    struct region region; /* two ports: A0 = 0 and A0 = 1 */

    uint8_t lines;       /* levels at IR0..IR7 */
    uint8_t edges;       /* IRR of edge-triggered inputs: rising edges not yet acknowledged */
    uint8_t isr;         /* in-service register */
    uint8_t imr;         /* interrupt mask register, OCW1 */
    uint8_t elcr;        /* PIIX edge/level control: 1 = this input is level-triggered */
    uint8_t init_step;   /* enum i8259_step: which ICW the next write to A0 = 1 is */
    uint8_t icw1;        /* .....LTIM . SNGL IC4 as written */
    uint8_t vector_base; /* ICW2, T7..T3 */
    uint8_t icw3;        /* master: inputs with a slave; slave: its ID */
    uint8_t icw4;        /* SFNM, AEOI as written */
    uint8_t lowest;      /* the input with the lowest priority, 0..7; 7 unless rotated */
    bool rotate_on_aeoi; /* OCW2 */
    bool special_mask;   /* OCW3 */
    bool read_isr;       /* OCW3 RIS: a read of A0 = 0 gives ISR, not IRR */
    bool poll;           /* OCW3 P: the next read acknowledges */
};

struct i8259_pair {
    struct device device;
    struct line intr;     /* INT output of the master */
    struct region elcr;   /* ports 4D0h and 4D1h */
    struct i8259 chip[2]; /* master, slave */
};

/* The pair at 20h, A0h and 4D0h; NULL when the host is out of memory. */
struct i8259_pair *i8259_create(struct board *board, struct line intr);

/* The input end of IRQ0..IRQ15. IRQ2 is the cascade: a line that does nothing. */
struct line i8259_irq(struct i8259_pair *pair, unsigned irq);

/* INTA cycle: the vector to deliver. There is always one; IR7 stands in when the request has gone. */
int i8259_acknowledge(struct i8259_pair *pair);

/* Level of the INTR output. */
bool i8259_intr(const struct i8259_pair *pair);

#endif
