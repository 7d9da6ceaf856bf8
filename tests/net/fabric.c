/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Segments between VMs, with fake adapters: forwarding, inboxes, wakes, links, bounds; then the same with a thread a VM,
 * under load, with VMs that come and go.
 */
#include <criterion/criterion.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <unistd.h>

#include "vm/net_fabric.h"
#include "vm/net_ring.h"

enum { FRAME = 60, ALL = 255 };

/* A VM with one adapter: address 52:54:00:00:00:<number>. */
struct guest {
    struct clock clock;
    struct loop loop;
    struct net_port nic;
    struct net_port *port;
    uint8_t number;
    bool full;            /* the adapter has no room */
    uint64_t received;    /* frames */
    uint64_t last_at;     /* clock of the last one */
    uint32_t expected[8]; /* by sender: the next number in its frames */
    uint64_t gaps;        /* numbers that did not come */
    uint64_t sent;        /* frames */
    bool quit;            /* a round of run_guest() ends it */
    void (*turn)(struct guest *guest);
    void *opaque; /* turn's */
};

/* Frames carry the sender's number and a count of its own; both must be what was sent. */
static bool guest_receive(void *owner, const uint8_t *frame, size_t length)
{
    struct guest *guest = owner;
    uint32_t count;

    if (guest->full) {
        return false;
    }
    memcpy(&count, frame + NET_HEADER_SIZE, sizeof(count));
    for (size_t i = NET_HEADER_SIZE + sizeof(count); i < length; i++) {
        cr_assert_eq(frame[i], (uint8_t)(count + i), "byte %zu of a frame was changed", i);
    }
    cr_assert_geq(count, guest->expected[frame[11] % 8], "a frame came twice, or overtook another");
    guest->gaps += count - guest->expected[frame[11] % 8];
    guest->expected[frame[11] % 8] = count + 1;
    guest->received++;
    guest->last_at = clock_now(&guest->clock);
    return true;
}

static const struct net_port_ops guest_ops = {.receive = guest_receive};

/* Wakes of its loop since it was asked last, or had its turn. */
static unsigned wakes(struct guest *guest)
{
    uint64_t count;

    return read(guest->loop.wake_fd, &count, sizeof(count)) == sizeof(count) ? (unsigned)count : 0;
}

static void guest_join(struct guest *guest, struct net_fabric *fabric, const char *segment, struct loop *loop)
{
    struct error error = {{0}};

    guest->port = net_fabric_join(fabric, segment, "net0", loop, &guest->clock, &error);
    cr_assert_not_null(guest->port, "%s", error.text);
    net_port_connect(&guest->nic, guest->port);
}

static void guest_leave(struct guest *guest)
{
    net_port_destroy(guest->port);
    guest->port = NULL;
}

static struct guest *guest_create(struct net_fabric *fabric, const char *segment, uint8_t number,
                                  enum clock_policy policy)
{
    struct guest *guest = calloc(1, sizeof(*guest));

    guest->number = number;
    clock_init(&guest->clock, policy);
    clock_start(&guest->clock);
    cr_assert_eq(loop_init(&guest->loop, NULL), 0);
    net_port_init_queued(&guest->nic, "nic", &guest_ops, guest, &guest->clock);
    guest_join(guest, fabric, segment, &guest->loop);
    return guest;
}

static void guest_destroy(struct guest *guest)
{
    net_port_fini(&guest->nic);
    if (guest->port) {
        guest_leave(guest);
    }
    cr_assert_eq(clock_next_deadline(&guest->clock), CLOCK_NEVER, "a timer stayed behind");
    loop_fini(&guest->loop);
    free(guest);
}

/* False: the guest's own cable refused. */
static bool guest_send(struct guest *guest, uint8_t to, uint32_t count, size_t length)
{
    uint8_t frame[NET_FRAME_MAX] = {0x52, 0x54, 0, 0, 0, to, 0x52, 0x54, 0, 0, 0, guest->number};

    if (to == ALL) {
        memset(frame, 0xff, NET_MAC_SIZE);
    }
    memcpy(frame + NET_HEADER_SIZE, &count, sizeof(count));
    for (size_t i = NET_HEADER_SIZE + sizeof(count); i < length; i++) {
        frame[i] = (uint8_t)(count + i);
    }
    return net_port_send(&guest->nic, frame, length);
}

/* Its turn on a processor: everything that is there arrives. */
static void guest_turn(struct guest *guest)
{
    while (loop_poll(&guest->loop, 0) > 0) {
    }
    if (guest->clock.policy == CLOCK_STEPPED) {
        clock_step_to(&guest->clock, clock_now(&guest->clock) + 20000);
    } else {
        clock_run_timers(&guest->clock);
    }
}

static struct net_fabric_state state_of(const struct guest *guest)
{
    struct net_fabric_state state;

    net_fabric_query(guest->port, &state);
    return state;
}

/* ---- VMs that take turns ----------------------------------------------------------------------------------- */

enum { GUESTS = 4 };

struct lan {
    struct net_fabric *fabric;
    struct guest *guest[GUESTS];
    uint32_t count;
};

static struct lan *lan_create(void)
{
    struct lan *lan = calloc(1, sizeof(*lan));

    lan->fabric = net_fabric_create();
    for (uint8_t i = 0; i < GUESTS; i++) {
        lan->guest[i] = guest_create(lan->fabric, "lan", i, CLOCK_STEPPED);
    }
    return lan;
}

static void lan_destroy(struct lan *lan)
{
    for (unsigned i = 0; i < GUESTS; i++) {
        guest_destroy(lan->guest[i]);
    }
    net_fabric_destroy(lan->fabric);
    free(lan);
}

/* Guest `from` sends from its address to `to`'s; then all have a turn. Returns who got it, as bits. */
static unsigned lan_send(struct lan *lan, unsigned from, uint8_t to)
{
    uint64_t before[GUESTS];
    unsigned got = 0;

    for (unsigned i = 0; i < GUESTS; i++) {
        before[i] = lan->guest[i]->received;
    }
    cr_assert(guest_send(lan->guest[from], to, lan->count++, FRAME));
    for (unsigned i = 0; i < GUESTS; i++) {
        guest_turn(lan->guest[i]);
        got |= (unsigned)(lan->guest[i]->received - before[i]) << i;
    }
    return got;
}

Test(net_fabric, floods_the_unknown_and_groups_and_learns_sources)
{
    struct lan *lan = lan_create();
    cr_assert_eq(lan_send(lan, 0, 1), 0xe);
    cr_assert_eq(lan_send(lan, 1, 0), 0x1);
    cr_assert_eq(lan_send(lan, 0, 1), 0x2);
    cr_assert_eq(lan_send(lan, 0, ALL), 0xe);
    cr_assert_eq(lan_send(lan, 0, 0), 0, "a frame went back where it came from");
    cr_assert_eq(state_of(lan->guest[0]).addresses, 1);
    cr_assert_eq(state_of(lan->guest[2]).addresses, 0);
    cr_assert_eq(state_of(lan->guest[2]).ports, GUESTS);
    lan_destroy(lan);
}

Test(net_fabric, forgets_an_address_five_minutes_after_it_was_heard_by_its_own_vms_time)
{
    struct lan *lan = lan_create();
    lan_send(lan, 0, ALL);
    uint64_t heard = clock_now(&lan->guest[0]->clock) - 20000;
    clock_step_to(&lan->guest[3]->clock, 10 * NET_SWITCH_AGE_NS);
    clock_step_to(&lan->guest[0]->clock, heard + NET_SWITCH_AGE_NS);
    cr_assert_eq(lan_send(lan, 3, 0), 0x1, "aged by another VM's time, or early");
    clock_step_to(&lan->guest[0]->clock, heard + NET_SWITCH_AGE_NS + 1);
    cr_assert_eq(lan_send(lan, 3, 0), 0x7);
    lan_destroy(lan);
}

Test(net_fabric, nothing_passes_between_segments)
{
    struct lan *lan = lan_create();
    struct guest *other = guest_create(lan->fabric, "other", 9, CLOCK_STEPPED);
    cr_assert_eq(lan_send(lan, 0, ALL), 0xe);
    cr_assert_eq(lan_send(lan, 0, 9), 0xe);
    cr_assert_eq(wakes(other), 0);
    guest_turn(other);
    cr_assert_eq(other->received, 0);
    cr_assert_eq(state_of(other).ports, 1);
    cr_assert_str_eq(state_of(other).segment, "other");
    guest_destroy(other);
    lan_destroy(lan);
}

Test(net_fabric, a_link_that_is_down_at_either_end_gets_nothing_and_forgets_its_addresses)
{
    struct lan *lan = lan_create();
    for (unsigned end = 0; end < 2; end++) {
        lan_send(lan, 0, ALL);
        struct net_port *port = end ? lan->guest[0]->port : &lan->guest[0]->nic;
        net_port_set_link(port, false);
        cr_assert_eq(lan_send(lan, 3, 0), 0x6);
        cr_assert_eq(lan_send(lan, 0, ALL), 0, "a frame left over a link that is down");
        cr_assert_eq(state_of(lan->guest[0]).waiting_frames, 0);
        net_port_set_link(port, true);
        cr_assert_eq(lan_send(lan, 3, 0), 0x7);
    }
    lan_destroy(lan);
}

Test(net_fabric, what_waits_is_lost_when_the_link_goes_down_and_counted)
{
    struct lan *lan = lan_create();
    lan_send(lan, 1, ALL);
    guest_send(lan->guest[0], 1, 100, FRAME);
    guest_send(lan->guest[0], 1, 101, FRAME);
    uint64_t received = lan->guest[1]->received;
    net_port_set_link(&lan->guest[1]->nic, false);
    net_port_set_link(&lan->guest[1]->nic, true);
    guest_turn(lan->guest[1]);
    cr_assert_eq(lan->guest[1]->received, received);
    cr_assert_eq(lan->guest[1]->port->lost_frames, 2);
    cr_assert_eq(lan_send(lan, 0, 1), 0xe, "no way back after the link was down");
    lan_destroy(lan);
}

Test(net_fabric, one_wake_announces_many_frames)
{
    struct lan *lan = lan_create();
    lan_send(lan, 1, ALL);
    for (unsigned round = 1; round <= 3; round++) {
        uint64_t received = lan->guest[1]->received;
        for (uint32_t i = 0; i < 1000; i++) {
            guest_send(lan->guest[0], 1, round * 1000 + i, FRAME);
        }
        cr_assert_eq(wakes(lan->guest[1]), 1);
        guest_turn(lan->guest[1]);
        cr_assert_eq(lan->guest[1]->received - received, 1000);
        cr_assert_eq(wakes(lan->guest[1]), 0);
    }
    lan_destroy(lan);
}

Test(net_fabric, a_vm_without_a_turn_stops_nobody_and_has_a_bounded_inbox)
{
    struct lan *lan = lan_create();
    lan_send(lan, 1, ALL);
    for (uint32_t i = 0; i < 100000; i++) {
        cr_assert(guest_send(lan->guest[0], 1, 10 + i, FRAME));
    }
    cr_assert_eq(state_of(lan->guest[1]).waiting_frames, NET_RING_FRAMES);
    cr_assert_eq(state_of(lan->guest[1]).dropped_frames, 100000 - NET_RING_FRAMES);
    uint64_t received = lan->guest[2]->received;
    guest_send(lan->guest[0], ALL, 200000, FRAME);
    guest_turn(lan->guest[2]);
    cr_assert_eq(lan->guest[2]->received - received, 1);
    lan_destroy(lan);
}

/* What an adapter refuses waits, in order: in its cable's queue, then in the inbox. */
Test(net_fabric, an_adapter_without_room_gets_everything_later)
{
    struct lan *lan = lan_create();
    enum { SENT = NET_QUEUE_FRAMES + 3000 };
    struct guest *slow = lan->guest[1];
    lan_send(lan, 1, ALL);
    slow->full = true;
    for (uint32_t i = 0; i < SENT; i++) {
        guest_send(lan->guest[0], 1, i, FRAME);
        if (i % 500 == 0) {
            guest_turn(slow);
        }
    }
    guest_turn(slow);
    cr_assert_eq(slow->received, 0);
    cr_assert_eq(state_of(slow).waiting_frames, SENT - NET_QUEUE_FRAMES);
    slow->full = false;
    net_port_ready(&slow->nic);
    for (unsigned i = 0; i < 200; i++) {
        guest_turn(slow);
    }
    cr_assert_eq(slow->received, SENT);
    cr_assert_eq(slow->gaps, 0);
    cr_assert_eq(state_of(slow).dropped_frames, 0);
    lan_destroy(lan);
}

/* Two adapters of one VM: no inbox, no wake, the time of arrival is a function of the time of sending. */
Test(net_fabric, between_adapters_of_one_vm_frames_arrive_at_a_time_that_follows_from_the_sending)
{
    struct lan *lan = lan_create();
    struct guest *one = lan->guest[0];
    struct guest second = {.number = 7};
    second.clock = (struct clock){.policy = CLOCK_STEPPED};
    net_port_init_queued(&second.nic, "nic2", &guest_ops, &second, &one->clock);
    second.port = net_fabric_join(lan->fabric, "lan", "net1", &one->loop, &one->clock, NULL);
    net_port_connect(&second.nic, second.port);
    clock_step_to(&one->clock, 12345);
    guest_send(one, 7, 1, FRAME);
    cr_assert_eq(wakes(one), 0);
    clock_step_to(&one->clock, 12345 + 19999);
    cr_assert_eq(second.received, 0);
    clock_step_to(&one->clock, 12345 + 20000);
    cr_assert_eq(second.received, 1);
    guest_send(&second, 0, 1, FRAME);
    clock_step_to(&one->clock, 12345 + 40000);
    cr_assert_eq(one->received, 1);
    guest_turn(lan->guest[2]);
    cr_assert_eq(lan->guest[2]->received, 1, "the first frame was for an address nobody knew");
    net_port_fini(&second.nic);
    net_port_destroy(second.port);
    lan_destroy(lan);
}

/* The adapter refused a frame of the inbox; that it then takes one from its own VM must not strand the inbox. */
Test(net_fabric, an_inbox_that_waits_is_not_forgotten_for_a_frame_of_the_same_vm)
{
    struct lan *lan = lan_create();
    struct guest *slow = lan->guest[1], second = {.number = 7};
    net_port_init_queued(&second.nic, "nic2", &guest_ops, &second, &slow->clock);
    second.port = net_fabric_join(lan->fabric, "lan", "net1", &slow->loop, &slow->clock, NULL);
    net_port_connect(&second.nic, second.port);
    lan_send(lan, 1, ALL);
    for (uint32_t i = 0; i < NET_QUEUE_FRAMES + 100; i++) {
        guest_send(lan->guest[0], 1, i, FRAME);
    }
    while (loop_poll(&slow->loop, 0) > 0) {
    }
    clock_run_timers(&slow->clock);
    cr_assert_eq(state_of(slow).waiting_frames, 100);
    clock_skip(&slow->clock, 20000); /* one turn of the delivery: room, but not enough to say so */
    timer_disarm(&slow->nic.delivery);
    slow->nic.delivery.fire(slow->nic.delivery.opaque);
    guest_send(&second, 1, 1, FRAME);
    for (unsigned i = 0; i < 100; i++) {
        guest_turn(slow);
    }
    cr_assert_eq(slow->expected[0], NET_QUEUE_FRAMES + 100);
    cr_assert_eq(state_of(slow).waiting_frames, 0);
    net_port_fini(&second.nic);
    net_port_destroy(second.port);
    lan_destroy(lan);
}

Test(net_fabric, a_segment_has_a_bounded_number_of_ports_which_can_be_given_back)
{
    struct net_fabric *fabric = net_fabric_create();
    struct net_port *port[NET_SWITCH_PORTS];
    struct error error = {{0}};
    struct clock clock;
    struct loop loop;
    clock_init(&clock, CLOCK_STEPPED);
    cr_assert_eq(loop_init(&loop, NULL), 0);
    for (unsigned i = 0; i < NET_SWITCH_PORTS; i++) {
        port[i] = net_fabric_join(fabric, "lan", "p", &loop, &clock, &error);
        cr_assert_not_null(port[i]);
    }
    cr_assert_null(net_fabric_join(fabric, "lan", "p", &loop, &clock, &error));
    cr_assert_neq(error.text[0], '\0');
    net_port_destroy(port[7]);
    port[7] = net_fabric_join(fabric, "lan", "p", &loop, &clock, &error);
    cr_assert_not_null(port[7]);
    for (unsigned i = 0; i < NET_SWITCH_PORTS; i++) {
        net_port_destroy(port[i]);
    }
    cr_assert_null(loop.pollers);
    loop_fini(&loop);
    net_fabric_destroy(fabric);
}

/* ---- a thread a VM ----------------------------------------------------------------------------------------- */

/* A VM's thread: its turn, whatever it wants to do, sleep. */
static void *run_guest(void *opaque)
{
    struct guest *guest = opaque;

    while (!guest->quit) {
        loop_poll(&guest->loop, 1000000);
        clock_run_timers(&guest->clock);
        guest->turn(guest);
    }
    return NULL;
}

/* One way with a window: the receiver's answers say how far it is. */
enum { TRANSFER = 150000, WINDOW = 1000 };

static void turn_sender(struct guest *guest)
{
    while (guest->sent < TRANSFER && guest->sent < guest->received * (WINDOW / 2) + WINDOW) {
        cr_assert(guest_send(guest, 2, (uint32_t)guest->sent, NET_FRAME_STANDARD));
        guest->sent++;
    }
    guest->quit = guest->received == TRANSFER / (WINDOW / 2);
}

static void turn_receiver(struct guest *guest)
{
    while (guest->sent < guest->received / (WINDOW / 2)) {
        cr_assert(guest_send(guest, 1, (uint32_t)guest->sent++, FRAME));
    }
    guest->quit = guest->received == TRANSFER;
}

Test(net_fabric, a_long_transfer_between_two_threads_loses_and_reorders_nothing)
{
    struct net_fabric *fabric = net_fabric_create();
    struct guest *sender = guest_create(fabric, "lan", 1, CLOCK_REAL_TIME);
    struct guest *receiver = guest_create(fabric, "lan", 2, CLOCK_REAL_TIME);
    pthread_t thread[2];

    sender->turn = turn_sender;
    receiver->turn = turn_receiver;
    pthread_create(&thread[0], NULL, run_guest, sender);
    pthread_create(&thread[1], NULL, run_guest, receiver);
    pthread_join(thread[0], NULL);
    pthread_join(thread[1], NULL);
    cr_assert_eq(receiver->gaps, 0);
    cr_assert_eq(sender->gaps, 0);
    cr_assert_eq(state_of(receiver).dropped_frames, 0);
    guest_destroy(sender);
    guest_destroy(receiver);
    net_fabric_destroy(fabric);
}

enum { STORMERS = 4, STORM = 20000 };

struct storm {
    struct guest *guest[STORMERS];
    atomic_uint finished;
};

static void turn_storm(struct guest *guest)
{
    struct storm *storm = guest->opaque;

    for (unsigned i = 0; i < 700 && guest->sent < STORM; i++) {
        cr_assert(guest_send(guest, ALL, (uint32_t)guest->sent, FRAME + guest->sent % 1000));
        guest->sent++;
        if (guest->sent == STORM) {
            atomic_fetch_add(&storm->finished, 1);
        }
    }
    guest->quit = atomic_load(&storm->finished) == STORMERS && state_of(guest).waiting_frames == 0 &&
                  guest->nic.queued_frames == 0;
}

Test(net_fabric, in_a_storm_of_four_every_frame_arrives_or_is_counted_as_dropped)
{
    struct net_fabric *fabric = net_fabric_create();
    struct storm storm = {.finished = 0};
    pthread_t thread[STORMERS];

    for (uint8_t i = 0; i < STORMERS; i++) {
        storm.guest[i] = guest_create(fabric, "lan", i, CLOCK_REAL_TIME);
        storm.guest[i]->turn = turn_storm;
        storm.guest[i]->opaque = &storm;
    }
    for (unsigned i = 0; i < STORMERS; i++) {
        pthread_create(&thread[i], NULL, run_guest, storm.guest[i]);
    }
    for (unsigned i = 0; i < STORMERS; i++) {
        pthread_join(thread[i], NULL);
    }
    for (unsigned i = 0; i < STORMERS; i++) {
        struct guest *guest = storm.guest[i];

        guest_turn(guest);
        cr_assert_eq(guest->received + state_of(guest).dropped_frames + guest->port->lost_frames,
                     (STORMERS - 1) * STORM);
        cr_assert_gt(guest->received, 0);
        guest_destroy(guest);
    }
    net_fabric_destroy(fabric);
}

/* ---- coming and going -------------------------------------------------------------------------------------- */

enum { VISITS = 600, RESIDENTS = 2 };

struct visit {
    struct net_fabric *fabric;
    atomic_bool over;
};

static void turn_resident(struct guest *guest)
{
    struct visit *visit = guest->opaque;

    for (unsigned i = 0; i < 100; i++) {
        guest_send(guest, i % 2 ? 3 : ALL, (uint32_t)guest->sent++, FRAME);
    }
    guest->quit = atomic_load(&visit->over);
}

/* Joins, takes part for a turn, has its link pulled, and is destroyed with frames on the way to it. */
static void *visit_often(void *opaque)
{
    struct visit *visit = opaque;

    for (unsigned i = 0; i < VISITS; i++) {
        struct guest *guest = guest_create(visit->fabric, i % 3 ? "lan" : "elsewhere", 3, CLOCK_REAL_TIME);

        guest_send(guest, ALL, i, FRAME);
        loop_poll(&guest->loop, i % 5 ? 0 : 100000);
        clock_run_timers(&guest->clock);
        net_port_set_link(&guest->nic, i % 2);
        net_port_set_link(guest->port, i % 4);
        guest_destroy(guest);
    }
    atomic_store(&visit->over, true);
    return NULL;
}

Test(net_fabric, vms_come_and_go_while_others_send)
{
    struct visit visit = {.fabric = net_fabric_create()};
    struct guest *resident[RESIDENTS];
    pthread_t thread[RESIDENTS + 1];

    for (uint8_t i = 0; i < RESIDENTS; i++) {
        resident[i] = guest_create(visit.fabric, "lan", (uint8_t)(i + 1), CLOCK_REAL_TIME);
        resident[i]->turn = turn_resident;
        resident[i]->opaque = &visit;
        pthread_create(&thread[i], NULL, run_guest, resident[i]);
    }
    pthread_create(&thread[RESIDENTS], NULL, visit_often, &visit);
    for (unsigned i = 0; i <= RESIDENTS; i++) {
        pthread_join(thread[i], NULL);
    }
    for (unsigned i = 0; i < RESIDENTS; i++) {
        cr_assert_gt(resident[i]->received, 0);
        cr_assert_eq(state_of(resident[i]).ports, RESIDENTS - i);
        guest_destroy(resident[i]);
    }
    net_fabric_destroy(visit.fabric);
}
