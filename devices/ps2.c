/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * PS/2 byte queues; see ps2.h.
 */
#include "devices/ps2.h"

static const struct snap_field ps2_queue_fields[] = {
    SNAP_BYTES(struct ps2_queue, bytes),
    SNAP_RANGE(struct ps2_queue, head, 0, PS2_QUEUE_SIZE - 1),
    SNAP_RANGE(struct ps2_queue, count, 0, PS2_QUEUE_SIZE),
};

const struct snap_field ps2_port_fields[PS2_PORT_FIELDS] = {
    SNAP_STRUCTS(struct ps2_port, replies, 1, ps2_queue_fields),
    SNAP_STRUCTS(struct ps2_port, events, 1, ps2_queue_fields),
    SNAP_UINT(struct ps2_port, last_taken),
};

static void queue_push(struct ps2_queue *queue, uint8_t byte)
{
    if (queue->count < PS2_QUEUE_SIZE) {
        queue->bytes[(queue->head + queue->count) % PS2_QUEUE_SIZE] = byte;
        queue->count++;
    }
}

static uint8_t queue_pop(struct ps2_queue *queue)
{
    uint8_t byte = queue->bytes[queue->head];

    queue->head = (queue->head + 1) % PS2_QUEUE_SIZE;
    queue->count--;
    return byte;
}

void ps2_port_reset(struct ps2_port *port)
{
    port->replies = (struct ps2_queue){.count = 0};
    port->events = (struct ps2_queue){.count = 0};
}

bool ps2_port_has_byte(const struct ps2_port *port)
{
    return port->replies.count || port->events.count;
}

uint8_t ps2_port_take(struct ps2_port *port)
{
    if (!ps2_port_has_byte(port)) {
        return 0;
    }
    port->last_taken = queue_pop(port->replies.count ? &port->replies : &port->events);
    return port->last_taken;
}

void ps2_reply(struct ps2_port *port, uint8_t byte)
{
    queue_push(&port->replies, byte);
    port->ready(port->opaque);
}

bool ps2_event(struct ps2_port *port, const uint8_t *bytes, unsigned n)
{
    if (n > PS2_QUEUE_SIZE - (unsigned)port->events.count) {
        return false;
    }
    for (unsigned i = 0; i < n; i++) {
        queue_push(&port->events, bytes[i]);
    }
    port->ready(port->opaque);
    return true;
}
