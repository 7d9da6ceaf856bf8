/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The absolute pointer behind VMware's backdoor, port 5658h.
 *
 * Source: the interface as guests' drivers use it (Linux drivers/input/mouse/vmmouse.c, xf86-input-vmmouse).
 *
 * A guest executes IN EAX, DX with the magic number in EAX and a command in CX; all registers take part:
 *
 *   EAX 564D5868h   ECX 15:0 command   EBX argument   EDX 5658h
 *
 *   10  version           EAX = 6, EBX = magic
 *   39  pointer data      EBX = words wanted, 1 to 6; they come in EAX, EBX, ECX, EDX, ESI, EDI
 *   40  pointer status    EAX = words that wait, or FFFF0000h: the pointer is off
 *   41  pointer command   EBX = read id, absolute, relative, disable
 *   86  pointer restrict  accepted
 *
 * A packet is four words: buttons, x and y from 0 to FFFFh, wheel. The backdoor raises no interrupt: an empty packet of the PS/2
 * mouse tells the driver to look. As long as the guest wants absolute positions, host events come here, else they go to the
 * PS/2 mouse.
 *
 * DEVIATION: the port asks for the I/O privilege that any port does; VMware answers every program.
 *
 * Not modelled: the backdoor's other commands, relative packets.
 */
#ifndef DEVICES_VMMOUSE_H
#define DEVICES_VMMOUSE_H

#include "devices/device.h"
#include "devices/input.h"

#define VMMOUSE_QUEUE_WORDS 256u
#define VMMOUSE_REGISTERS   6u /* EAX, EBX, ECX, EDX, ESI, EDI */

struct vmmouse_wiring {
    struct input_sink ps2;       /* keyboard and mouse that take what does not come here */
    void (*nudge)(void *opaque); /* the PS/2 mouse shall send a packet */
    void *nudge_opaque;
    /* The processor that executes IN; EAX is set by the value read. */
    void (*get_registers)(void *opaque, uint32_t reg[VMMOUSE_REGISTERS]);
    void (*set_registers)(void *opaque, const uint32_t reg[VMMOUSE_REGISTERS]);
    void *opaque;
};

struct vmmouse {
    struct device device;
    struct vmmouse_wiring wiring;
    struct region port;

    bool enabled;  /* READ ID was asked for; the queue works */
    bool absolute; /* the guest wants positions */
    uint32_t queue[VMMOUSE_QUEUE_WORDS];
    uint16_t count; /* words in the queue; packets of four, and perhaps an id before them */
    uint16_t x, y;
    uint8_t buttons; /* enum input_button */
};

/* NULL when the host is out of memory. */
struct vmmouse *vmmouse_create(struct board *board, const struct vmmouse_wiring *wiring);

/* Where host input goes: absolute positions, and all that the PS/2 keyboard and mouse take. */
struct input_sink vmmouse_input(struct vmmouse *vmmouse);
/* Does the guest use the pointer? Then a window needs no grab. */
bool vmmouse_is_absolute(const struct vmmouse *vmmouse);

#endif
