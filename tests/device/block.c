/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The device side of the block layer, on a medium in memory: what is refused, when requests complete, what
 * cancelling, draining and settling mean.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>

#include "fake_block.h"

struct bench {
    struct clock clock;
    struct fake_block *fake;
    struct block *block;
    struct block_request request[BLOCK_MAX_REQUESTS + 1];
    uint8_t buffer[BLOCK_MAX_REQUESTS + 1][BLOCK_SECTOR_SIZE];
    unsigned calls;
    int result[BLOCK_MAX_REQUESTS + 1]; /* in order of completion */
    struct block_request *order[BLOCK_MAX_REQUESTS + 1];
    uint64_t time[BLOCK_MAX_REQUESTS + 1];
};

static void bench_done(struct block_request *request, int result)
{
    struct bench *bench = request->opaque;

    cr_assert_not(block_request_active(request));
    bench->order[bench->calls] = request;
    bench->time[bench->calls] = clock_now(&bench->clock);
    bench->result[bench->calls++] = result;
}

static struct bench *bench_create(enum clock_policy policy)
{
    struct bench *bench = calloc(1, sizeof(*bench));

    clock_init(&bench->clock, policy);
    bench->fake = fake_block_create(&bench->clock, 1 * MIB);
    bench->block = &bench->fake->block;
    return bench;
}

static void bench_destroy(struct bench *bench)
{
    fake_block_destroy(bench->fake);
    free(bench);
}

static int bench_submit(struct bench *bench, unsigned i, enum block_op op, uint64_t sector)
{
    struct block_request *request = &bench->request[i];

    request->op = op;
    request->offset = sector * BLOCK_SECTOR_SIZE;
    request->length = op == BLOCK_FLUSH ? 0 : BLOCK_SECTOR_SIZE;
    request->buffer = bench->buffer[i];
    request->done = bench_done;
    request->opaque = bench;
    return block_submit(bench->block, request);
}

Test(block, completes_exactly_at_its_deadline)
{
    struct bench *bench = bench_create(CLOCK_STEPPED);

    cr_assert_eq(bench_submit(bench, 0, BLOCK_READ, 7), 0);
    cr_assert_eq(bench->request[0].deadline, block_latency(BLOCK_READ, BLOCK_SECTOR_SIZE));
    clock_step_to(&bench->clock, bench->request[0].deadline - 1);
    cr_assert_eq(bench->calls, 0, "not a nanosecond early");
    clock_step_to(&bench->clock, bench->request[0].deadline);
    cr_assert_eq(bench->calls, 1);
    cr_assert_eq(bench->result[0], 0);
    cr_assert_eq(load_le32(bench->buffer[0]), 7);
    cr_assert_eq(bench->fake->waits, 1, "the fake's host is done when the layer asks");
    bench_destroy(bench);
}

Test(block, waits_for_a_host_that_is_late_and_keeps_the_order_of_submission)
{
    struct bench *bench = bench_create(CLOCK_STEPPED);

    bench->fake->instant = false;
    memset(bench->buffer[0], 0xab, BLOCK_SECTOR_SIZE);
    cr_assert_eq(bench_submit(bench, 0, BLOCK_WRITE, 3), 0);
    cr_assert_eq(bench_submit(bench, 1, BLOCK_READ, 3), 0);
    cr_assert_eq(bench->fake->bytes[3 * BLOCK_SECTOR_SIZE + 100], 3, "nothing has happened yet");
    clock_step_to(&bench->clock, NS_PER_SEC);
    cr_assert_eq(bench->calls, 2);
    cr_assert_eq(bench->order[0], &bench->request[0]);
    cr_assert_eq(bench->time[0], block_latency(BLOCK_WRITE, BLOCK_SECTOR_SIZE));
    cr_assert_arr_eq(bench->buffer[1], bench->buffer[0], BLOCK_SECTOR_SIZE);
    cr_assert_eq(bench->block->counters.bytes_read, BLOCK_SECTOR_SIZE);
    cr_assert_eq(bench->block->counters.writes, 1);
    bench_destroy(bench);
}

Test(block, refuses_what_does_not_fit_the_medium)
{
    struct bench *bench = bench_create(CLOCK_STEPPED);
    struct block_request *request = &bench->request[0];
    uint64_t last = bench->block->size / BLOCK_SECTOR_SIZE - 1;

    cr_assert_eq(bench_submit(bench, 0, BLOCK_READ, last + 1), -EINVAL);
    cr_assert_eq(bench_submit(bench, 0, BLOCK_READ, UINT64_MAX / BLOCK_SECTOR_SIZE), -EINVAL);
    request->offset = 1;
    cr_assert_eq(block_submit(bench->block, request), -EINVAL, "between sectors");
    request->offset = 0;
    request->length = 0;
    cr_assert_eq(block_submit(bench->block, request), -EINVAL, "empty");
    request->length = BLOCK_MAX_LENGTH + BLOCK_SECTOR_SIZE;
    cr_assert_eq(block_submit(bench->block, request), -EINVAL, "too long");
    cr_assert_eq(bench_submit(bench, 0, BLOCK_READ, last), 0);
    cr_assert_eq(block_submit(bench->block, request), -EBUSY, "twice the same");
    bench_destroy(bench);
}

Test(block, bounds_what_is_outstanding)
{
    struct bench *bench = bench_create(CLOCK_STEPPED);

    for (unsigned i = 0; i < BLOCK_MAX_REQUESTS; i++) {
        cr_assert_eq(bench_submit(bench, i, BLOCK_READ, i), 0);
    }
    cr_assert_eq(bench_submit(bench, BLOCK_MAX_REQUESTS, BLOCK_READ, 0), -EBUSY);
    clock_step_to(&bench->clock, NS_PER_SEC);
    cr_assert_eq(bench->calls, BLOCK_MAX_REQUESTS);
    cr_assert_eq(bench->block->outstanding, 0);
    cr_assert_eq(bench->block->outstanding_bytes, 0);
    cr_assert_eq(bench_submit(bench, 0, BLOCK_READ, 0), 0);
    clock_step_to(&bench->clock, 2 * NS_PER_SEC);
    bench_destroy(bench);
}

Test(block, passes_errors_on)
{
    struct bench *bench = bench_create(CLOCK_STEPPED);

    fake_block_fail(bench->fake, BLOCK_WRITE, -ENOSPC, 1);
    cr_assert_eq(bench_submit(bench, 0, BLOCK_WRITE, 0), 0);
    cr_assert_eq(bench_submit(bench, 1, BLOCK_WRITE, 0), 0);
    clock_step_to(&bench->clock, NS_PER_SEC);
    cr_assert_eq(bench->result[0], -ENOSPC);
    cr_assert_eq(bench->result[1], 0);
    cr_assert_eq(bench->block->counters.errors, 1);
    bench_destroy(bench);
}

Test(block, cancelled_writes_are_carried_out_and_cancelled_reads_are_not)
{
    struct bench *bench = bench_create(CLOCK_STEPPED);

    bench->fake->instant = false;
    memset(bench->buffer[0], 0x5a, BLOCK_SECTOR_SIZE);
    cr_assert_eq(bench_submit(bench, 0, BLOCK_WRITE, 9), 0);
    cr_assert_eq(bench_submit(bench, 1, BLOCK_READ, 9), 0);
    block_cancel(&bench->request[0]);
    block_cancel(&bench->request[1]);
    block_cancel(&bench->request[1]);
    clock_step_to(&bench->clock, NS_PER_SEC);
    cr_assert_eq(bench->calls, 0);
    cr_assert_eq(bench->block->outstanding, 0);
    cr_assert_eq(bench->fake->bytes[9 * BLOCK_SECTOR_SIZE], 0x5a);
    cr_assert_eq(bench->buffer[1][0], 0);
    bench_destroy(bench);
}

Test(block, drain_completes_now_and_settle_only_stills_the_medium)
{
    struct bench *bench = bench_create(CLOCK_STEPPED);

    bench->fake->instant = false;
    memset(bench->buffer[0], 0x11, BLOCK_SECTOR_SIZE);
    cr_assert_eq(bench_submit(bench, 0, BLOCK_WRITE, 1), 0);
    block_settle(bench->block);
    cr_assert_eq(bench->fake->bytes[BLOCK_SECTOR_SIZE], 0x11);
    cr_assert_eq(bench->calls, 0);
    cr_assert(block_request_active(&bench->request[0]));
    clock_step_to(&bench->clock, bench->request[0].deadline);
    cr_assert_eq(bench->calls, 1, "settling moved nothing");
    cr_assert_eq(bench_submit(bench, 1, BLOCK_READ, 1), 0);
    block_drain(bench->block);
    cr_assert_eq(bench->calls, 2);
    cr_assert_eq(bench->buffer[1][0], 0x11);
    bench_destroy(bench);
}

Test(block, a_loaded_request_completes_at_the_saved_deadline)
{
    struct bench *bench = bench_create(CLOCK_STEPPED);

    cr_assert_eq(bench_submit(bench, 0, BLOCK_READ, 4), 0);
    uint64_t deadline = bench->request[0].deadline;
    clock_step_to(&bench->clock, deadline / 2);
    block_cancel(&bench->request[0]);
    cr_assert_eq(block_submit_at(bench->block, &bench->request[0], deadline), 0);
    clock_step_to(&bench->clock, NS_PER_SEC);
    cr_assert_eq(bench->time[0], deadline);
    cr_assert_eq(load_le32(bench->buffer[0]), 4);
    bench_destroy(bench);
}

Test(block, real_time_completes_when_the_host_is_done)
{
    struct bench *bench = bench_create(CLOCK_REAL_TIME);

    bench->fake->instant = false;
    cr_assert_eq(bench_submit(bench, 0, BLOCK_READ, 5), 0);
    clock_run_timers(&bench->clock);
    cr_assert_eq(bench->calls, 0);
    bench->fake->block.ops->wait(bench->block, &bench->request[0]);
    cr_assert_eq(bench->calls, 1);
    cr_assert_eq(bench_submit(bench, 1, BLOCK_READ, 6), 0);
    block_settle(bench->block);
    cr_assert_eq(bench->calls, 1, "settling calls nobody");
    clock_run_timers(&bench->clock);
    cr_assert_eq(bench->calls, 2, "and the request completes when the VM goes on");
    cr_assert_eq(load_le32(bench->buffer[1]), 6);
    bench_destroy(bench);
}

static void count_change(void *front)
{
    ++*(unsigned *)front;
}

Test(block, media_come_and_go)
{
    static const struct block_front_ops front_ops = {.medium_changed = count_change};
    struct bench *bench = bench_create(CLOCK_STEPPED);
    unsigned changes = 0;

    bench->block->front_ops = &front_ops;
    bench->block->front = &changes;
    cr_assert_eq(block_eject(bench->block), -ENOTSUP, "a hard disk stays");
    bench->block->removable = true;
    cr_assert_eq(bench_submit(bench, 0, BLOCK_READ, 0), 0);
    cr_assert_eq(block_eject(bench->block), -EBUSY);
    fake_block_change(bench->fake, 64 * KIB, true);
    cr_assert_eq(bench->calls, 1, "changing drains first");
    cr_assert_eq(changes, 1);
    cr_assert_eq(bench_submit(bench, 0, BLOCK_WRITE, 0), -EROFS);
    cr_assert_eq(bench_submit(bench, 0, BLOCK_READ, 128), -EINVAL);
    cr_assert_eq(block_eject(bench->block), 0);
    cr_assert_eq(bench->fake->ejects, 1);
    cr_assert_eq(bench_submit(bench, 0, BLOCK_READ, 0), -ENOMEDIUM);
    bench_destroy(bench);
}
