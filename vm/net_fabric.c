/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Segments and their ports: joining, forwarding, inboxes, wakes. See vm/net_fabric.h.
 *
 * Three kinds of data: a segment's, touched with its lock; a port's own, touched by the VM's thread only; and the inbox,
 * which senders fill with the lock, one at a time, and the owner empties without it.
 *
 * `expected` says that the owner will look into its inbox without being told: a wake is on its way, or its adapter refused
 * a frame and will say when it takes more. A sender sets it, and wakes the owner if it was not set; the owner clears it
 * with the lock when it finds the inbox empty. So a wake is for many frames.
 *
 * Locks nest in this order: fabric, segment.
 */
#include "vm/net_fabric.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "vm/containment.h"
#include "vm/net_ring.h"

struct fabric_port {
    struct net_port port;
    struct net_fabric *fabric;
    struct segment *segment;
    unsigned number; /* among the segment's ports */

    /* the VM's thread */
    struct loop *loop; /* also tells whose port it is */
    struct clock *clock;
    struct loop_poller poller;
    struct timer ageing;
    bool refused; /* by the adapter, which will say when it takes more */

    struct net_ring inbox;
    bool expected;           /* with the segment's lock */
    uint64_t dropped_frames; /* the inbox was full; with the segment's lock */
};

struct segment {
    struct segment *next; /* with the fabric's lock */
    char name[32];
    unsigned members; /* with the fabric's lock */

    pthread_mutex_t lock;
    struct net_switch sw;
    uint64_t up; /* bit n: port n is there and its link is up */
    struct fabric_port *port[NET_SWITCH_PORTS];
};

struct net_fabric {
    pthread_mutex_t lock;
    struct segment *segments;
};

/* A thread that breaks down in between has broken the segment for everybody. */
static void lock_shared(pthread_mutex_t *lock)
{
    containment_share();
    pthread_mutex_lock(lock);
}

static void unlock_shared(pthread_mutex_t *lock)
{
    pthread_mutex_unlock(lock);
    containment_unshare();
}

static uint64_t port_bit(unsigned number)
{
    return UINT64_C(1) << number;
}

/* ---- the owner's side: from the inbox to the adapter ----------------------------------------------------- */

/* The inbox was emptied, or so much of it that others should have a turn. */
static void end_turn(struct fabric_port *to)
{
    lock_shared(&to->segment->lock);
    to->expected = !net_ring_rewind(&to->inbox);
    if (to->expected) {
        loop_wake(to->loop);
    }
    unlock_shared(&to->segment->lock);
}

/* Hand over what is in the inbox now; what comes meanwhile waits for the next turn. */
static void deliver(struct fabric_port *to)
{
    unsigned frames = net_ring_frames(&to->inbox);
    const uint8_t *frame;
    size_t length;

    while (frames-- > 0 && (frame = net_ring_peek(&to->inbox, &length))) {
        if (!net_port_send(&to->port, frame, length)) {
            to->refused = true;
            return;
        }
        net_ring_take(&to->inbox);
    }
    end_turn(to);
}

static void port_polled(void *opaque, struct loop *loop, bool failed)
{
    struct fabric_port *port = opaque;

    (void)loop;
    (void)failed;
    if (!port->refused && net_ring_frames(&port->inbox) > 0) {
        deliver(port);
    }
}

static void port_writable(void *owner)
{
    struct fabric_port *port = owner;

    if (port->refused) {
        port->refused = false;
        deliver(port);
    }
}

/* The link is down, so nobody puts in any more. */
static void drop_inbox(struct fabric_port *port)
{
    size_t length;

    while (net_ring_peek(&port->inbox, &length)) {
        net_ring_take(&port->inbox);
        port->port.lost_frames++;
    }
    port->refused = false;
    end_turn(port);
}

static void port_link_changed(void *owner, bool up)
{
    struct fabric_port *port = owner;
    struct segment *segment = port->segment;

    lock_shared(&segment->lock);
    if (up) {
        segment->up |= port_bit(port->number);
    } else {
        segment->up &= ~port_bit(port->number);
        net_switch_forget(&segment->sw, port->number);
    }
    unlock_shared(&segment->lock);
    if (!up) {
        drop_inbox(port);
    }
}

static void port_age(void *opaque)
{
    struct fabric_port *port = opaque;
    uint64_t next;

    lock_shared(&port->segment->lock);
    next = net_switch_age(&port->segment->sw, port->number, clock_now(port->clock));
    unlock_shared(&port->segment->lock);
    timer_arm(&port->ageing, next);
}

/* ---- the sender's side: from the adapter to inboxes ------------------------------------------------------ */

/* The ports a frame is for. Never back where it came from. */
static uint64_t destinations(const struct segment *segment, unsigned from, const uint8_t *frame)
{
    int known = net_mac_is_group(frame) ? -1 : net_switch_lookup(&segment->sw, frame);
    uint64_t ports = known >= 0 ? port_bit((unsigned)known) : UINT64_MAX;

    return ports & segment->up & ~port_bit(from);
}

/* Into another VM's inbox; with the segment's lock. */
static void post(struct fabric_port *to, const uint8_t *frame, size_t length)
{
    if (!net_ring_put(&to->inbox, frame, length)) {
        to->dropped_frames++;
    } else if (!to->expected) {
        to->expected = true;
        loop_wake(to->loop);
    }
}

/* Straight to another adapter of the same VM. A frame that it cannot take now is lost. One that refused a frame of the inbox
 * is not tried: a frame that it took would make it forget that the inbox waits. */
static void send_own(struct fabric_port *to, const uint8_t *frame, size_t length)
{
    if (to->refused || !net_port_send(&to->port, frame, length)) {
        to->port.lost_frames++;
    }
}

static bool port_receive(void *owner, const uint8_t *frame, size_t length)
{
    struct fabric_port *from = owner;
    struct segment *segment = from->segment;
    uint64_t now = clock_now(from->clock), own = 0;

    lock_shared(&segment->lock);
    net_switch_learn(&segment->sw, from->number, frame + NET_MAC_SIZE, now);
    for (uint64_t to = destinations(segment, from->number, frame); to; to &= to - 1) {
        unsigned number = (unsigned)__builtin_ctzll(to);

        if (segment->port[number]->loop == from->loop) {
            own |= port_bit(number);
        } else {
            post(segment->port[number], frame, length);
        }
    }
    unlock_shared(&segment->lock);

    /* without the lock, for an adapter may answer at once; the VM's own ports cannot leave meanwhile */
    for (; own; own &= own - 1) {
        send_own(segment->port[__builtin_ctzll(own)], frame, length);
    }
    if (!timer_armed(&from->ageing)) {
        timer_arm(&from->ageing, now + NET_SWITCH_AGE_NS + 1);
    }
    return true;
}

/* ---- joining and leaving --------------------------------------------------------------------------------- */

/* With the fabric's lock. NULL when memory ran out. */
static struct segment *find_segment(struct net_fabric *fabric, const char *name)
{
    struct segment *segment = fabric->segments;

    while (segment && strcmp(segment->name, name) != 0) {
        segment = segment->next;
    }
    if (!segment) {
        segment = calloc(1, sizeof(*segment));
        if (!segment) {
            return NULL;
        }
        snprintf(segment->name, sizeof(segment->name), "%s", name);
        pthread_mutex_init(&segment->lock, NULL);
        segment->next = fabric->segments;
        fabric->segments = segment;
    }
    return segment;
}

/* With the fabric's lock: the segment ends when nobody is on it. */
static void end_if_empty(struct net_fabric *fabric, struct segment *segment)
{
    struct segment **link = &fabric->segments;

    if (segment->members > 0) {
        return;
    }
    while (*link != segment) {
        link = &(*link)->next;
    }
    *link = segment->next;
    pthread_mutex_destroy(&segment->lock);
    free(segment);
}

/* From here on nobody else knows the port. */
static void leave(struct fabric_port *port)
{
    struct net_fabric *fabric = port->fabric;
    struct segment *segment = port->segment;

    lock_shared(&fabric->lock);
    lock_shared(&segment->lock);
    segment->port[port->number] = NULL;
    segment->up &= ~port_bit(port->number);
    net_switch_forget(&segment->sw, port->number);
    unlock_shared(&segment->lock);
    segment->members--;
    end_if_empty(fabric, segment);
    unlock_shared(&fabric->lock);
}

static void port_destroy(void *owner)
{
    struct fabric_port *port = owner;

    net_port_fini(&port->port);
    leave(port);
    loop_remove_poller(port->loop, &port->poller);
    timer_disarm(&port->ageing);
    net_ring_fini(&port->inbox);
    free(port);
}

static const struct net_port_ops port_ops = {
    .receive = port_receive,
    .writable = port_writable,
    .link_changed = port_link_changed,
    .destroy = port_destroy,
};

/* Onto the segment's first free place; with the fabric's lock. */
static int take_place(struct net_fabric *fabric, const char *name, struct fabric_port *port,
                      struct error *error)
{
    struct segment *segment = find_segment(fabric, name);

    if (!segment) {
        return error_set(error, -ENOMEM, "out of memory");
    }
    if (segment->members == NET_SWITCH_PORTS) {
        return error_set(error, -ENOSPC, "%s: segment '%s' has its %d ports in use", port->port.name, name,
                         NET_SWITCH_PORTS);
    }
    lock_shared(&segment->lock);
    while (segment->port[port->number]) {
        port->number++;
    }
    segment->port[port->number] = port;
    unlock_shared(&segment->lock);
    segment->members++;
    port->segment = segment;
    return 0;
}

struct net_port *net_fabric_join(struct net_fabric *fabric, const char *segment, const char *id,
                                 struct loop *loop, struct clock *clock, struct error *error)
{
    struct fabric_port *port = calloc(1, sizeof(*port));
    int result;

    if (!port || net_ring_init(&port->inbox) < 0) {
        error_set(error, -ENOMEM, "out of memory");
        free(port);
        return NULL;
    }
    port->fabric = fabric;
    port->loop = loop;
    port->clock = clock;
    port->poller = (struct loop_poller){.polled = port_polled, .opaque = port};
    net_port_init(&port->port, id, &port_ops, port);
    timer_init(&port->ageing, clock, "net-ageing", port_age, port);
    lock_shared(&fabric->lock);
    result = take_place(fabric, segment, port, error);
    unlock_shared(&fabric->lock);
    if (result < 0) {
        net_ring_fini(&port->inbox);
        free(port);
        return NULL;
    }
    loop_add_poller(loop, &port->poller);
    return &port->port;
}

struct net_fabric *net_fabric_create(void)
{
    struct net_fabric *fabric = calloc(1, sizeof(*fabric));

    if (fabric) {
        pthread_mutex_init(&fabric->lock, NULL);
    }
    return fabric;
}

void net_fabric_destroy(struct net_fabric *fabric)
{
    if (fabric) {
        pthread_mutex_destroy(&fabric->lock);
        free(fabric);
    }
}

void net_fabric_query(const struct net_port *opaque_port, struct net_fabric_state *state)
{
    const struct fabric_port *port = opaque_port->owner;
    struct segment *segment = port->segment;

    lock_shared(&port->fabric->lock);
    state->ports = segment->members;
    unlock_shared(&port->fabric->lock);
    lock_shared(&segment->lock);
    state->segment = segment->name;
    state->addresses = segment->sw.port[port->number].known;
    state->dropped_frames = port->dropped_frames;
    unlock_shared(&segment->lock);
    state->waiting_frames = net_ring_frames(&port->inbox);
}
