/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The queue of frames between two threads: order, contents, bounds, both ends at once.
 */
#include <criterion/criterion.h>
#include <pthread.h>
#include <sched.h>

#include "vm/net_ring.h"

static struct net_ring *ring_create(void)
{
    struct net_ring *ring = calloc(1, sizeof(*ring));

    cr_assert_eq(net_ring_init(ring), 0);
    return ring;
}

static void ring_destroy(struct net_ring *ring)
{
    net_ring_fini(ring);
    free(ring);
}

/* Frame `number` of a series whose lengths and contents follow from it. */
static size_t make_frame(uint8_t *frame, uint32_t number)
{
    size_t length = NET_HEADER_SIZE + (number * 2654435761u >> 8) % (NET_FRAME_MAX - NET_HEADER_SIZE + 1);

    memset(frame, (int)(number * 7), length);
    memcpy(frame, &number, sizeof(number));
    return length;
}

static void expect_frame(struct net_ring *ring, uint32_t number)
{
    static uint8_t expected[NET_FRAME_MAX];
    size_t length, wanted = make_frame(expected, number);
    const uint8_t *frame = net_ring_peek(ring, &length);

    cr_assert_not_null(frame);
    cr_assert_eq(length, wanted);
    cr_assert_arr_eq(frame, expected, length);
    cr_assert_eq(net_ring_peek(ring, &length), frame, "looking is not taking");
    net_ring_take(ring);
}

Test(net_ring, gives_back_what_was_put_in_that_order_over_many_laps)
{
    struct net_ring *ring = ring_create();
    uint8_t frame[NET_FRAME_MAX];
    uint32_t put = 0, taken = 0;
    size_t length;

    while (taken < 20000) {
        while (put - taken < 1 + taken % 300) {
            length = make_frame(frame, put);
            cr_assert(net_ring_put(ring, frame, length));
            put++;
        }
        expect_frame(ring, taken++);
        cr_assert_eq(net_ring_frames(ring), put - taken);
    }
    while (taken < put) {
        expect_frame(ring, taken++);
    }
    cr_assert_null(net_ring_peek(ring, &length));
    ring_destroy(ring);
}

Test(net_ring, holds_a_bounded_number_of_frames)
{
    struct net_ring *ring = ring_create();
    uint8_t frame[NET_HEADER_SIZE] = {0};
    unsigned put = 0;
    size_t length;

    while (net_ring_put(ring, frame, sizeof(frame))) {
        put++;
    }
    cr_assert_eq(put, NET_RING_FRAMES);
    cr_assert_not_null(net_ring_peek(ring, &length));
    net_ring_take(ring);
    cr_assert(net_ring_put(ring, frame, sizeof(frame)));
    cr_assert_not(net_ring_put(ring, frame, sizeof(frame)));
    ring_destroy(ring);
}

Test(net_ring, holds_a_bounded_number_of_bytes_wherever_it_begins)
{
    struct net_ring *ring = ring_create();
    uint8_t *frame = calloc(1, NET_FRAME_MAX);
    size_t length;

    for (unsigned round = 0; round < 300; round++) {
        unsigned put = 0;
        while (net_ring_put(ring, frame, NET_FRAME_MAX - round)) {
            put++;
        }
        cr_assert_geq(put + 2, NET_RING_BYTES / (NET_FRAME_MAX + 8), "round %u", round);
        cr_assert_leq(put, NET_RING_BYTES / (NET_FRAME_MAX - round));
        for (; put > 1; put--) { /* one stays: the next round begins elsewhere */
            cr_assert_not_null(net_ring_peek(ring, &length));
            net_ring_take(ring);
        }
        cr_assert(net_ring_put(ring, frame, 60));
        cr_assert_not_null(net_ring_peek(ring, &length));
        net_ring_take(ring);
        cr_assert_not_null(net_ring_peek(ring, &length));
        cr_assert_eq(length, 60);
        net_ring_take(ring);
    }
    free(frame);
    ring_destroy(ring);
}

Test(net_ring, touches_no_more_memory_than_its_fullest_moment_needed)
{
    struct net_ring *ring = ring_create();
    uint8_t frame[NET_FRAME_STANDARD];
    size_t length;

    memset(frame, 0xff, sizeof(frame));
    for (unsigned i = 0; i < 20000; i++) {
        for (unsigned j = 0; j < 3; j++) {
            cr_assert(net_ring_put(ring, frame, sizeof(frame)));
        }
        for (unsigned j = 0; j < 3; j++) {
            cr_assert_not_null(net_ring_peek(ring, &length));
            net_ring_take(ring);
            cr_assert_eq(net_ring_rewind(ring), j == 2);
        }
    }
    for (size_t at = 4 * NET_FRAME_STANDARD; at < NET_RING_BYTES; at++) {
        cr_assert_eq(ring->bytes[at], 0, "byte %zu was written", at);
    }
    ring_destroy(ring);
}

enum { PASSED = 100000 };

static void *put_many(void *opaque)
{
    struct net_ring *ring = opaque;
    uint8_t *frame = malloc(NET_FRAME_MAX);

    for (uint32_t i = 0; i < PASSED; i++) {
        size_t length = make_frame(frame, i);

        while (!net_ring_put(ring, frame, length)) {
            sched_yield();
        }
    }
    free(frame);
    return NULL;
}

Test(net_ring, passes_every_frame_whole_from_thread_to_thread)
{
    struct net_ring *ring = ring_create();
    pthread_t thread;
    uint32_t taken = 0;
    size_t length;

    pthread_create(&thread, NULL, put_many, ring);
    while (taken < PASSED) {
        if (net_ring_peek(ring, &length)) {
            expect_frame(ring, taken++);
        } else {
            sched_yield();
        }
    }
    pthread_join(thread, NULL);
    cr_assert_eq(net_ring_frames(ring), 0);
    ring_destroy(ring);
}
