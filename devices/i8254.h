/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * i8254 programmable interval timer and port 61h, the PC's three counters.
 *
 *   channel 0  OUT --> IRQ0
 *   channel 1  memory refresh in the first PCs; counts, drives nothing
 *   channel 2  GATE = port 61h bit 0; OUT AND port 61h bit 1 --> speaker
 */
#ifndef DEVICES_I8254_H
#define DEVICES_I8254_H

#include "devices/device.h"

#define I8254_HZ 1193182u /* 14.31818 MHz / 12 */

/* One counter. Moments are CLK pulses since the virtual clock's zero ("ticks"). */
struct i8254_channel {
    uint8_t mode;        /* 0..5 */
    uint8_t access;      /* RW field of the control word: 1 LSB, 2 MSB, 3 LSB then MSB */
    bool bcd;            /* four decimal digits instead of 16 bits */
    bool gate;           /* GATE input */
    bool write_msb;      /* access 3: the next write is the MSB */
    bool read_msb;       /* access 3: the next read is the MSB */
    uint8_t write_lsb;   /* access 3: the LSB that waits for its MSB */
    bool count_latched;  /* reads come from latched_count */
    bool status_latched; /* the next read gives latched_status */
    uint16_t latched_count;
    uint8_t latched_status;

    bool armed;      /* a count has been written since the control word */
    bool pending;    /* reload has not reached the counting element yet */
    bool triggered;  /* modes 1, 5: GATE has risen since the count was written */
    bool high;       /* mode 3: in the half period with OUT high */
    uint32_t reload; /* count register, 1..65536 */
    uint32_t count;  /* what was loaded into the counting element at `origin`, 1..65536 */
    uint64_t origin; /* tick of that load; modes 2, 3: start of the current (half) period */
    uint64_t held;   /* modes 0, 2, 3, 4 with GATE low: ticks counted before it fell */
};

/* Hears about the tone of the speaker; a call means that it changed. */
struct i8254_speaker {
    void (*tone)(void *opaque, uint32_t hertz); /* 0: silence; NULL: nobody listens */
    void *opaque;
};

struct i8254 {
    struct device device;
    struct line irq; /* channel 0 OUT */
    struct i8254_speaker speaker;
    struct region ports, port_61;

    struct i8254_channel channel[3];
    struct timer irq_timer; /* next rise of channel 0 OUT */
    uint8_t port_b;         /* port 61h bits 3..0 as written */
    uint32_t tone;          /* hertz last told to the speaker */
};

/* At 40h..43h and 61h; NULL when the host is out of memory. */
struct i8254 *i8254_create(struct board *board, struct line irq, struct i8254_speaker speaker);

#endif
