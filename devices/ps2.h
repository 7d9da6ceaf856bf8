/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The device end of a PS/2 cable: two byte queues and a way to say that there is something in them.
 *
 *   keyboard or mouse --replies--+
 *                                +--> ps2_port_take() --> i8042
 *   keyboard or mouse --events---+
 *
 * Replies to commands overtake events, as the protocol wants: what follows a command is its acknowledgement.
 * Source: IBM Personal System/2 Hardware Interface Technical Reference, keyboard and auxiliary device.
 */
#ifndef DEVICES_PS2_H
#define DEVICES_PS2_H

#include "base/snap.h"
#include "base/types.h"

#define PS2_QUEUE_SIZE 64

/* Bytes both kinds of device use. */
enum {
    PS2_ACK = 0xfa,
    PS2_RESEND = 0xfe,
    PS2_SELF_TEST_PASSED = 0xaa,
    PS2_COMMAND_RESEND = 0xfe,
    PS2_COMMAND_RESET = 0xff,
};

struct ps2_queue {
    uint8_t bytes[PS2_QUEUE_SIZE];
    uint8_t head;  /* index of the oldest, 0..PS2_QUEUE_SIZE - 1 */
    uint8_t count; /* 0..PS2_QUEUE_SIZE */
};

struct ps2_port {
    struct ps2_queue replies, events;
    uint8_t last_taken;          /* for the Resend command */
    void (*ready)(void *opaque); /* wiring: there may be something to take */
    void *opaque;
};

enum { PS2_PORT_FIELDS = 3 };
extern const struct snap_field ps2_port_fields[PS2_PORT_FIELDS];

/* Forget replies and events. */
void ps2_port_reset(struct ps2_port *port);
bool ps2_port_has_byte(const struct ps2_port *port);
/* The next byte for the controller; 0 when there is none. */
uint8_t ps2_port_take(struct ps2_port *port);
/* Queue one byte of a reply. */
void ps2_reply(struct ps2_port *port, uint8_t byte);
/* Queue the n bytes of an event, all or nothing; false when there is no room. */
bool ps2_event(struct ps2_port *port, const uint8_t *bytes, unsigned n);

#endif
