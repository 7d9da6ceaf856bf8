/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Network ports: joining, sending, and the queue of frames on their way to a device. See base/net.h.
 *
 * The queue's timer is armed whenever there is a frame that the owner has not refused. Delivery takes a bounded number of
 * frames a turn and then lets other timers have theirs.
 *
 * Not modelled: the time a frame takes on the wire by its length, collisions, pause frames.
 */
#include "base/net.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    DELIVERY_BATCH = 64,     /* frames a turn of the timer */
    WIRE_LATENCY_NS = 20000, /* where guest time is a function of instructions */
};

/* ---- The queue ------------------------------------------------------------------------------------------- */

static void queue_pop(struct net_port *port)
{
    struct net_frame *frame = port->head;

    port->head = frame->next;
    if (!port->head) {
        port->tail = &port->head;
    }
    port->queued_frames--;
    port->queued_bytes -= frame->length;
    free(frame);
}

static void queue_clear(struct net_port *port)
{
    while (port->head) {
        port->lost_frames++;
        queue_pop(port);
    }
    port->blocked = false;
    timer_disarm(&port->delivery);
}

static void queue_arm(struct net_port *port)
{
    if (port->head && !port->blocked) {
        timer_arm(&port->delivery, MAX(port->head->due, clock_now(port->clock)));
    }
}

static bool queue_push(struct net_port *port, const uint8_t *bytes, size_t length)
{
    struct net_frame *frame;

    if (port->queued_frames >= NET_QUEUE_FRAMES || port->queued_bytes + length > NET_QUEUE_BYTES) {
        return false;
    }
    frame = malloc(sizeof(*frame) + length);
    if (!frame) {
        return false;
    }
    frame->next = NULL;
    frame->due = clock_now(port->clock) + port->latency_ns;
    frame->length = length;
    memcpy(frame->bytes, bytes, length);
    *port->tail = frame;
    port->tail = &frame->next;
    port->queued_frames++;
    port->queued_bytes += length;
    if (!timer_armed(&port->delivery)) {
        queue_arm(port);
    }
    return true;
}

/* There is room again for the peer that was told to wait. */
static void queue_relieve(struct net_port *port)
{
    struct net_port *peer = port->peer;

    if (peer && peer->starved && port->queued_frames <= NET_QUEUE_FRAMES / 2 &&
        port->queued_bytes <= NET_QUEUE_BYTES / 2) {
        peer->starved = false;
        if (peer->ops->writable) {
            peer->ops->writable(peer->owner);
        }
    }
}

static void queue_deliver(void *opaque)
{
    struct net_port *port = opaque;
    uint64_t now = clock_now(port->clock);

    for (unsigned i = 0; i < DELIVERY_BATCH && port->head && port->head->due <= now; i++) {
        if (!port->ops->receive(port->owner, port->head->bytes, port->head->length)) {
            port->blocked = true;
            return;
        }
        port->received_frames++;
        port->received_bytes += port->head->length;
        queue_pop(port);
    }
    queue_arm(port);
    queue_relieve(port);
}

void net_port_ready(struct net_port *port)
{
    if (port->blocked) {
        port->blocked = false;
        queue_arm(port);
    }
}

/* ---- Sending --------------------------------------------------------------------------------------------- */

static void tap_frame(struct net_port *port, bool sent, const uint8_t *frame, size_t length)
{
    if (port->tap) {
        port->tap->frame(port->tap, sent, frame, length);
    }
}

/* The frame that `port` offers was taken. A direct peer may answer from inside receive(), as libslirp does to DHCP; that it
 * answers shows that it took the frame, and the taps must see the question before the answer. */
static void tap_offered(struct net_port *port)
{
    const uint8_t *frame = port->offered;

    if (frame) {
        port->offered = NULL;
        tap_frame(port, true, frame, port->offered_length);
        tap_frame(port->peer, false, frame, port->offered_length);
    }
}

bool net_port_send(struct net_port *port, const uint8_t *frame, size_t length)
{
    struct net_port *peer = port->peer;

    if (length < NET_HEADER_SIZE || length > NET_FRAME_MAX || !net_port_is_up(port)) {
        port->lost_frames++;
        return true;
    }
    tap_offered(peer);
    port->offered = frame;
    port->offered_length = length;
    if (peer->clock) {
        port->starved = !queue_push(peer, frame, length);
    } else {
        port->starved = !peer->ops->receive(peer->owner, frame, length);
        if (!port->starved) {
            peer->received_frames++;
            peer->received_bytes += length;
        }
    }
    if (port->starved) {
        port->offered = NULL;
        return false;
    }
    port->sent_frames++;
    port->sent_bytes += length;
    tap_offered(port);
    return true;
}

/* ---- Cables ---------------------------------------------------------------------------------------------- */

bool net_port_is_up(const struct net_port *port)
{
    return port->peer && port->plugged && port->peer->plugged;
}

/* Tell an owner that the link changed; whoever waits for the other end need not wait any more. */
static void tell_link(struct net_port *port, bool up)
{
    if (port->clock && !up) {
        queue_clear(port);
    }
    if (port->ops->link_changed) {
        port->ops->link_changed(port->owner, up);
    }
    if (port->starved) {
        port->starved = false;
        if (port->ops->writable) {
            port->ops->writable(port->owner);
        }
    }
}

void net_port_set_link(struct net_port *port, bool plugged)
{
    bool before = net_port_is_up(port);

    port->plugged = plugged;
    if (port->peer && net_port_is_up(port) != before) {
        tell_link(port, !before);
        tell_link(port->peer, !before);
    }
}

void net_port_connect(struct net_port *a, struct net_port *b)
{
    a->peer = b;
    b->peer = a;
    if (net_port_is_up(a)) {
        tell_link(a, true);
        tell_link(b, true);
    }
}

void net_port_init(struct net_port *port, const char *name, const struct net_port_ops *ops, void *owner)
{
    *port = (struct net_port){.ops = ops, .owner = owner, .plugged = true};
    port->tail = &port->head;
    snprintf(port->name, sizeof(port->name), "%s", name);
}

void net_port_init_queued(struct net_port *port, const char *name, const struct net_port_ops *ops,
                          void *owner, struct clock *clock)
{
    net_port_init(port, name, ops, owner);
    port->clock = clock;
    port->latency_ns = clock->policy == CLOCK_REAL_TIME ? 0 : WIRE_LATENCY_NS;
    timer_init(&port->delivery, clock, "net-delivery", queue_deliver, port);
}

void net_port_fini(struct net_port *port)
{
    struct net_port *peer = port->peer;

    if (!port->ops) {
        return;
    }
    port->peer = NULL;
    if (peer) {
        peer->peer = NULL;
        tell_link(peer, false);
    }
    if (port->clock) {
        queue_clear(port);
    }
    if (port->tap) {
        port->tap->destroy(port->tap);
        port->tap = NULL;
    }
    port->ops = NULL;
}
