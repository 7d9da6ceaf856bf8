/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * PS/2 mouse: host motion in, packets out, commands from the controller.
 */
#ifndef DEVICES_PS2_MOUSE_H
#define DEVICES_PS2_MOUSE_H

#include "devices/device.h"
#include "devices/input.h"
#include "devices/ps2.h"

struct ps2_mouse {
    struct device device;
    struct ps2_port port;

    uint8_t command;    /* that waits for its parameter, or 0 */
    uint8_t id;         /* 0 standard, 3 with wheel, 4 with wheel and five buttons */
    uint8_t rates[3];   /* the last sample rates set, newest last: how drivers ask for id 3 and 4 */
    uint8_t rate;       /* samples a second, 1..255 */
    uint8_t resolution; /* 0..3: 1, 2, 4, 8 counts a millimetre */
    bool scaling_2_1;
    bool remote;          /* packets only when asked */
    bool wrap;            /* echo everything */
    bool reporting;       /* F4h: stream mode sends packets */
    uint8_t buttons;      /* down on the host, enum input_button */
    uint8_t sent_buttons; /* as the last packet said */
    int32_t dx, dy, dz;   /* motion not yet sent */
    struct timer sample;  /* no packet of motion before then */
};

struct ps2_mouse *ps2_mouse_create(struct board *board, void (*ready)(void *opaque), void *opaque);

/* A byte from the controller. */
void ps2_mouse_write(struct ps2_mouse *mouse, uint8_t byte);

void ps2_mouse_motion(struct ps2_mouse *mouse, int dx, int dy, int wheel);
void ps2_mouse_buttons(struct ps2_mouse *mouse, uint8_t down);
/* Send a packet though there may be nothing to tell: another pointer has news for the driver. */
void ps2_mouse_nudge(struct ps2_mouse *mouse);

#endif
