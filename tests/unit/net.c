/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Network ports: direct and queued delivery, order, back-pressure, link state, taps.
 */
#include <criterion/criterion.h>

#include "base/net.h"

/* One end of a cable that remembers what came. */
struct end {
    struct net_port port;
    unsigned received, writable, link_changes;
    unsigned refuse; /* refuse that many offers */
    uint8_t last;    /* byte 14 of the last frame */
    size_t last_length;
    bool ordered; /* byte 14 counted up by one each time */
    uint64_t at;  /* clock of the last frame */
};

static bool end_receive(void *owner, const uint8_t *frame, size_t length)
{
    struct end *end = owner;
    if (end->refuse) {
        end->refuse--;
        return false;
    }
    end->ordered = end->received == 0 || (end->ordered && frame[14] == (uint8_t)(end->last + 1));
    end->received++;
    end->last = frame[14];
    end->last_length = length;
    end->at = end->port.clock ? clock_now(end->port.clock) : 0;
    return true;
}

static void end_writable(void *owner)
{
    ((struct end *)owner)->writable++;
}

static void end_link_changed(void *owner, bool up)
{
    (void)up;
    ((struct end *)owner)->link_changes++;
}

static const struct net_port_ops end_ops = {
    .receive = end_receive, .writable = end_writable, .link_changed = end_link_changed};

struct cable {
    struct clock clock;
    struct end device, backend;
};

static struct cable *cable_create(void)
{
    struct cable *cable = calloc(1, sizeof(*cable));
    clock_init(&cable->clock, CLOCK_STEPPED);
    net_port_init_queued(&cable->device.port, "nic", &end_ops, &cable->device, &cable->clock);
    net_port_init(&cable->backend.port, "net0", &end_ops, &cable->backend);
    net_port_connect(&cable->device.port, &cable->backend.port);
    return cable;
}

static void cable_destroy(struct cable *cable)
{
    net_port_fini(&cable->device.port);
    net_port_fini(&cable->backend.port);
    cr_assert_eq(clock_next_deadline(&cable->clock), CLOCK_NEVER);
    free(cable);
}

static bool send_number(struct end *from, uint8_t number, size_t length)
{
    uint8_t frame[NET_FRAME_MAX + 1] = {0};
    frame[14] = number;
    return net_port_send(&from->port, frame, length);
}

Test(net, a_direct_port_gets_its_frame_inside_the_send)
{
    struct cable *cable = cable_create();
    cr_assert(send_number(&cable->device, 7, 60));
    cr_assert_eq(cable->backend.received, 1);
    cr_assert_eq(cable->backend.last, 7);
    cr_assert_eq(cable->backend.last_length, 60);
    cable_destroy(cable);
}

Test(net, a_queued_port_gets_its_frames_in_order_after_the_latency_of_the_wire)
{
    struct cable *cable = cable_create();
    for (unsigned i = 0; i < 200; i++) {
        cr_assert(send_number(&cable->backend, (uint8_t)i, 60));
    }
    cr_assert_eq(cable->device.received, 0);
    clock_step_to(&cable->clock, 19999);
    cr_assert_eq(cable->device.received, 0);
    clock_step_to(&cable->clock, 20000);
    cr_assert_eq(cable->device.received, 200);
    cr_assert(cable->device.ordered);
    cr_assert_eq(cable->device.at, 20000);
    cable_destroy(cable);
}

Test(net, a_refused_frame_waits_until_the_device_is_ready)
{
    struct cable *cable = cable_create();
    cable->device.refuse = 1;
    send_number(&cable->backend, 1, 60);
    send_number(&cable->backend, 2, 60);
    clock_step_to(&cable->clock, 1000000);
    cr_assert_eq(cable->device.received, 0);
    send_number(&cable->backend, 3, 60);
    clock_step_to(&cable->clock, 2000000);
    cr_assert_eq(cable->device.received, 0, "a frame overtook the one that was refused");
    net_port_ready(&cable->device.port);
    cr_assert_eq(cable->device.received, 0, "delivered inside the device's own call");
    clock_step_to(&cable->clock, 2000000);
    cr_assert_eq(cable->device.received, 3);
    cr_assert(cable->device.ordered);
    cable_destroy(cable);
}

Test(net, a_full_queue_stops_the_sender_and_room_starts_it_again)
{
    struct cable *cable = cable_create();
    unsigned sent = 0;
    while (send_number(&cable->backend, (uint8_t)sent, 60)) {
        cr_assert_leq(++sent, NET_QUEUE_FRAMES);
    }
    cr_assert_eq(sent, NET_QUEUE_FRAMES);
    cr_assert_eq(cable->backend.writable, 0);
    clock_step_to(&cable->clock, 1000000);
    cr_assert_eq(cable->device.received, NET_QUEUE_FRAMES);
    cr_assert_eq(cable->backend.writable, 1);
    cr_assert(send_number(&cable->backend, 0, 60));
    cable_destroy(cable);
}

Test(net, a_queue_is_bounded_in_bytes_too)
{
    struct cable *cable = cable_create();
    unsigned sent = 0;
    while (send_number(&cable->backend, 0, NET_FRAME_MAX)) {
        sent++;
    }
    cr_assert_eq(sent, NET_QUEUE_BYTES / NET_FRAME_MAX);
    cable_destroy(cable);
}

Test(net, a_direct_port_that_refuses_stops_the_sender)
{
    struct cable *cable = cable_create();
    cable->backend.refuse = 1;
    cr_assert_not(send_number(&cable->device, 1, 60));
    cr_assert_eq(cable->device.port.sent_frames, 0);
    cr_assert(cable->device.port.starved);
    cr_assert(send_number(&cable->device, 1, 60));
    cr_assert_eq(cable->backend.received, 1);
    cable_destroy(cable);
}

Test(net, frames_of_impossible_lengths_are_lost)
{
    struct cable *cable = cable_create();
    cr_assert(send_number(&cable->device, 1, 13));
    cr_assert(send_number(&cable->device, 1, 0));
    cr_assert(send_number(&cable->device, 1, NET_FRAME_MAX + 1));
    cr_assert_eq(cable->backend.received, 0);
    cr_assert_eq(cable->device.port.lost_frames, 3);
    cr_assert(send_number(&cable->device, 1, NET_FRAME_MAX));
    cr_assert_eq(cable->backend.received, 1);
    cable_destroy(cable);
}

Test(net, a_link_that_is_down_loses_frames_and_both_ends_are_told_once)
{
    struct cable *cable = cable_create();
    unsigned before = cable->device.link_changes;
    send_number(&cable->backend, 1, 60);
    net_port_set_link(&cable->backend.port, false);
    net_port_set_link(&cable->backend.port, false);
    net_port_set_link(&cable->device.port, false); /* no change of the link: it is down already */
    cr_assert_eq(cable->device.link_changes, before + 1);
    cr_assert_eq(cable->backend.link_changes, before + 1);
    cr_assert(send_number(&cable->device, 2, 60));
    clock_step_to(&cable->clock, 1000000);
    cr_assert_eq(cable->backend.received + cable->device.received, 0);
    net_port_set_link(&cable->backend.port, true);
    cr_assert_not(net_port_is_up(&cable->device.port));
    net_port_set_link(&cable->device.port, true);
    cr_assert(net_port_is_up(&cable->device.port));
    cr_assert_eq(cable->device.link_changes, before + 2);
    send_number(&cable->device, 2, 60);
    cr_assert_eq(cable->backend.received, 1);
    cable_destroy(cable);
}

Test(net, unplugging_wakes_a_sender_that_waits)
{
    struct cable *cable = cable_create();
    cable->backend.refuse = 1;
    cr_assert_not(send_number(&cable->device, 1, 60));
    net_port_set_link(&cable->backend.port, false);
    cr_assert_eq(cable->device.writable, 1);
    cable_destroy(cable);
}

Test(net, a_cable_that_ends_nowhere_loses_frames)
{
    struct cable *cable = cable_create();
    net_port_fini(&cable->backend.port);
    cr_assert(send_number(&cable->device, 1, 60));
    cr_assert_not(net_port_is_up(&cable->device.port));
    cr_assert_eq(cable->device.port.lost_frames, 1);
    cable_destroy(cable);
}

struct counting_tap {
    struct net_tap tap;
    unsigned sent, received;
    bool *destroyed;
};

static void count_frame(struct net_tap *tap, bool sent, const uint8_t *frame, size_t length)
{
    struct counting_tap *counts = CONTAINER_OF(tap, struct counting_tap, tap);
    (void)frame;
    (void)length;
    counts->sent += sent;
    counts->received += !sent;
}

static void count_destroy(struct net_tap *tap)
{
    *CONTAINER_OF(tap, struct counting_tap, tap)->destroyed = true;
}

Test(net, a_tap_sees_each_frame_that_was_taken_once)
{
    struct cable *cable = cable_create();
    bool destroyed = false;
    struct counting_tap counts = {.tap = {count_frame, count_destroy}, .destroyed = &destroyed};
    cable->backend.port.tap = &counts.tap;
    cable->backend.refuse = 1;
    send_number(&cable->device, 1, 60); /* refused */
    send_number(&cable->device, 1, 60);
    send_number(&cable->backend, 1, 60);
    send_number(&cable->backend, 2, 60);
    cr_assert_eq(counts.sent, 2);
    cr_assert_eq(counts.received, 1);
    cable_destroy(cable);
    cr_assert(destroyed);
}
