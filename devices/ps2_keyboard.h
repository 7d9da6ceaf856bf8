/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * PS/2 keyboard: host keys in, scan codes out, commands from the controller.
 */
#ifndef DEVICES_PS2_KEYBOARD_H
#define DEVICES_PS2_KEYBOARD_H

#include "devices/device.h"
#include "devices/input.h"
#include "devices/ps2.h"

enum { PS2_LED_SCROLL = 1, PS2_LED_NUM = 2, PS2_LED_CAPS = 4 };

struct ps2_keyboard {
    struct device device;
    struct ps2_port port;

    uint8_t command;   /* that waits for its parameter, or 0 */
    uint8_t set;       /* scan code set, 1..3 */
    bool scanning;     /* F4h; F5h stops it */
    uint8_t leds;      /* PS2_LED_* */
    uint8_t rate;      /* F3h parameter: delay in bits 6:5, period in 4:0 */
    uint8_t down[32];  /* one bit a key: low code bits, 80h added after E0h */
    uint16_t repeated; /* the key that repeats, 0 for none */
    struct timer typematic;
    uint8_t set3_silent[32]; /* set 3, one bit a scan code: no break code */
    uint8_t set3_single[32]; /* set 3: does not repeat */
};

/* `ready` is called with `opaque` when a byte waits in the port. NULL when the host is out of memory. */
struct ps2_keyboard *ps2_keyboard_create(struct board *board, void (*ready)(void *opaque), void *opaque);

/* A byte from the controller. */
void ps2_keyboard_write(struct ps2_keyboard *keyboard, uint8_t byte);

/* A key went down or up on the host. Unknown keys are ignored. */
void ps2_keyboard_key(struct ps2_keyboard *keyboard, enum key key, bool down);

#endif
