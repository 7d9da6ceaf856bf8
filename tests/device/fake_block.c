/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A medium in memory. See fake_block.h.
 */
#include "fake_block.h"

#include <criterion/criterion.h>
#include <stdlib.h>

/* host_state: whether the work on a request was done already. */
enum { FAKE_QUEUED, FAKE_WORKED };

static int fake_block_transfer(struct fake_block *fake, struct block_request *request)
{
    if (fake->fail_count > 0 && request->op == fake->fail_op) {
        fake->fail_count--;
        return fake->fail_result;
    }
    switch (request->op) {
    case BLOCK_READ:
        memcpy(request->buffer, fake->bytes + request->offset, request->length);
        break;
    case BLOCK_WRITE:
        memcpy(fake->bytes + request->offset, request->buffer, request->length);
        fake->flushes += request->fua;
        break;
    case BLOCK_FLUSH:
        fake->flushes++;
        break;
    case BLOCK_DISCARD:
        memset(fake->bytes + request->offset, 0, request->length);
        break;
    }
    return 0;
}

static void fake_block_work(struct fake_block *fake, struct block_request *request)
{
    if (request->host_state == FAKE_QUEUED) {
        request->host_state = FAKE_WORKED;
        request->host_result = fake_block_transfer(fake, request);
    }
}

/* Everything submitted before it comes first. */
static void fake_block_work_up_to(struct fake_block *fake, struct block_request *last)
{
    for (struct block_request *request = fake->block.requests; request != last; request = request->next) {
        fake_block_work(fake, request);
    }
    fake_block_work(fake, last);
}

static void fake_block_start(struct block *block, struct block_request *request)
{
    struct fake_block *fake = CONTAINER_OF(block, struct fake_block, block);

    request->host_state = FAKE_QUEUED;
    if (fake->instant) {
        fake_block_work_up_to(fake, request);
    }
}

static void fake_block_wait(struct block *block, struct block_request *request)
{
    struct fake_block *fake = CONTAINER_OF(block, struct fake_block, block);

    fake->waits++;
    fake_block_work_up_to(fake, request);
    block_request_finished(request, request->host_result);
}

static void fake_block_drop(struct block *block, struct block_request *request)
{
    struct fake_block *fake = CONTAINER_OF(block, struct fake_block, block);

    fake->drops++;
    if (request->op != BLOCK_READ) {
        fake_block_work_up_to(fake, request);
    }
}

static void fake_block_eject(struct block *block)
{
    struct fake_block *fake = CONTAINER_OF(block, struct fake_block, block);

    fake->ejects++;
    block_set_medium(block, 0, false, block->read_only);
}

static void fake_block_destroy_block(struct block *block)
{
    struct fake_block *fake = CONTAINER_OF(block, struct fake_block, block);

    free(fake->bytes);
    free(fake);
}

static const struct block_ops fake_block_ops = {
    .start = fake_block_start,
    .wait = fake_block_wait,
    .drop = fake_block_drop,
    .eject = fake_block_eject,
    .destroy = fake_block_destroy_block,
};

static void fake_block_fill(struct fake_block *fake, uint64_t size)
{
    free(fake->bytes);
    fake->bytes = malloc(size ? size : 1);
    cr_assert_not_null(fake->bytes);
    fake->capacity = size;
    for (uint64_t sector = 0; sector < size / BLOCK_SECTOR_SIZE; sector++) {
        uint8_t *bytes = fake->bytes + sector * BLOCK_SECTOR_SIZE;

        memset(bytes, (int)(sector & 0xff), BLOCK_SECTOR_SIZE);
        store_le32(bytes, (uint32_t)sector);
    }
}

struct fake_block *fake_block_create(struct clock *clock, uint64_t size)
{
    struct fake_block *fake = calloc(1, sizeof(*fake));

    cr_assert_not_null(fake);
    fake->block.ops = &fake_block_ops;
    fake->block.clock = clock;
    fake->instant = true;
    strcpy(fake->block.id, "fake");
    fake_block_fill(fake, size);
    block_set_medium(&fake->block, size, size > 0, false);
    return fake;
}

void fake_block_destroy(struct fake_block *fake)
{
    if (fake) {
        block_drain(&fake->block);
        block_destroy(&fake->block);
    }
}

void fake_block_fail(struct fake_block *fake, enum block_op op, int result, unsigned count)
{
    fake->fail_op = op;
    fake->fail_result = result;
    fake->fail_count = count;
}

void fake_block_change(struct fake_block *fake, uint64_t size, bool read_only)
{
    block_drain(&fake->block);
    fake_block_fill(fake, size);
    block_set_medium(&fake->block, size, size > 0, read_only);
    block_notify_medium_changed(&fake->block);
}
