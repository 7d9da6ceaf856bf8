/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * i8042 keyboard controller with a PS/2 keyboard and a PS/2 mouse.
 */
#ifndef DEVICES_I8042_H
#define DEVICES_I8042_H

#include "devices/device.h"
#include "devices/input.h"
#include "devices/ps2_keyboard.h"
#include "devices/ps2_mouse.h"

/* Where the controller's output pins lead. */
struct i8042_wiring {
    struct line keyboard_irq; /* IRQ1 */
    struct line mouse_irq;    /* IRQ12 */
    struct line a20;          /* high: address bit 20 passes */
    struct line reset;        /* pulsed high to reset the machine */
};

struct i8042 {
    struct device device;
    struct i8042_wiring wiring;
    struct region data, control;   /* ports 60h and 64h */
    struct ps2_keyboard *keyboard; /* devices of their own, on the same board */
    struct ps2_mouse *mouse;

    uint8_t ram[32];        /* [0] is the command byte */
    uint8_t command;        /* that waits for its parameter, or 0 */
    bool command_last;      /* status bit 3: the last write went to port 64h */
    bool a20;               /* output port bit 1 */
    bool output_full;       /* status bit 0 */
    bool output_from_mouse; /* status bit 5 */
    uint8_t output;         /* output buffer */
    bool reply_waiting;     /* the controller's own byte for when the buffer is free */
    bool reply_as_mouse;
    uint8_t reply;
    bool break_code;       /* translation: F0h came, the next code is a break */
    struct timer transfer; /* a byte of a device is on the cable until then */
};

/* At 60h and 64h; creates the keyboard and the mouse too. NULL when the host is out of memory. */
struct i8042 *i8042_create(struct board *board, const struct i8042_wiring *wiring);

/* Where host input goes: keys to the keyboard, motion and buttons to the mouse. */
struct input_sink i8042_input(struct i8042 *kbc);

/* Bytes of scan codes the keyboard can still hold back for the guest: a key more than that is lost. */
unsigned i8042_keyboard_room(const struct i8042 *kbc);

/* The controller's A20 output, and the keyboard's lights (PS2_LED_*). */
bool i8042_a20(const struct i8042 *kbc);
uint8_t i8042_leds(const struct i8042 *kbc);

#endif
