/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The device side of block devices: checks, limits, order, and when a request completes. See base/block.h.
 *
 * A request passes through these states; the list block->requests holds it in all but the first:
 *
 *              submit               host done                 deadline (virtual clock)
 *   idle -----------------> started ---------> host_done ---------------------------> idle, done() called
 *                              |                   |  real time: at once
 *                              +-------------------+--- cancel ----------------------> idle
 *
 * NOTE: a deadline that comes before the host is done makes the VM's thread sleep in ops->wait(). That is the
 * price of deterministic runs, and only they pay it.
 */
#include "base/block.h"

#include <errno.h>

/* ns; the figures only have to be plausible and fixed. */
#define LATENCY_ACCESS   60000u
#define LATENCY_FLUSH    400000u
#define LATENCY_PER_BYTE 2u /* 500 MB/s */

uint64_t block_latency(enum block_op op, uint64_t length)
{
    switch (op) {
    case BLOCK_READ:
    case BLOCK_WRITE:
        return LATENCY_ACCESS + length * LATENCY_PER_BYTE;
    case BLOCK_FLUSH:
        return LATENCY_FLUSH;
    case BLOCK_DISCARD:
        break;
    }
    return LATENCY_ACCESS;
}

static bool block_is_virtual(const struct block *block)
{
    return block->clock->policy != CLOCK_REAL_TIME;
}

/* Bytes that count against BLOCK_MAX_OUTSTANDING. */
static uint64_t block_request_weight(const struct block_request *request)
{
    return request->op == BLOCK_READ || request->op == BLOCK_WRITE ? request->length : 0;
}

static void block_count(struct block *block, const struct block_request *request)
{
    struct block_counters *counters = &block->counters;

    if (request->result < 0) {
        counters->errors++;
        return;
    }
    switch (request->op) {
    case BLOCK_READ:
        counters->reads++;
        counters->bytes_read += request->length;
        break;
    case BLOCK_WRITE:
        counters->writes++;
        counters->bytes_written += request->length;
        break;
    case BLOCK_FLUSH:
        counters->flushes++;
        break;
    case BLOCK_DISCARD:
        counters->discards++;
        break;
    }
}

/* The request is its owner's again. */
static void block_request_unlink(struct block_request *request)
{
    struct block *block = request->block;

    for (struct block_request **link = &block->requests; *link; link = &(*link)->next) {
        if (*link == request) {
            *link = request->next;
            break;
        }
    }
    timer_disarm(&request->timer);
    block->outstanding--;
    block->outstanding_bytes -= block_request_weight(request);
    request->block = NULL;
    request->next = NULL;
}

static void block_request_complete(struct block_request *request)
{
    block_count(request->block, request);
    block_request_unlink(request);
    request->done(request, request->result);
}

/* The deadline is here: now the request completes, and the host has to be done. */
static void block_request_due(void *opaque)
{
    struct block_request *request = opaque;

    if (!request->host_done) {
        request->block->ops->wait(request->block, request);
    }
    block_request_complete(request);
}

void block_request_finished(struct block_request *request, int result)
{
    request->result = result;
    request->host_done = true;
    if (!block_is_virtual(request->block) && !request->block->settling) {
        block_request_complete(request);
    }
}

static int block_request_check(const struct block *block, const struct block_request *request)
{
    bool transfer = request->op == BLOCK_READ || request->op == BLOCK_WRITE;

    if (!block->inserted) {
        return -ENOMEDIUM;
    }
    if (request->block || block->outstanding >= BLOCK_MAX_REQUESTS) {
        return -EBUSY;
    }
    if (request->op == BLOCK_FLUSH) {
        return 0;
    }
    if (block->read_only && request->op != BLOCK_READ) {
        return -EROFS;
    }
    if (request->length == 0 || request->offset % BLOCK_SECTOR_SIZE || request->length % BLOCK_SECTOR_SIZE ||
        request->offset > block->size || request->length > block->size - request->offset ||
        (transfer && request->length > BLOCK_MAX_LENGTH)) {
        return -EINVAL;
    }
    return transfer && block->outstanding_bytes + request->length > BLOCK_MAX_OUTSTANDING ? -EBUSY : 0;
}

int block_submit_at(struct block *block, struct block_request *request, uint64_t deadline)
{
    struct block_request **link = &block->requests;
    int result = block_request_check(block, request);

    if (result < 0) {
        return result;
    }
    request->block = block;
    request->next = NULL;
    request->host_done = false;
    request->deadline = deadline;
    timer_init(&request->timer, block->clock, "block", block_request_due, request);
    while (*link) {
        link = &(*link)->next;
    }
    *link = request;
    block->outstanding++;
    block->outstanding_bytes += block_request_weight(request);
    if (block_is_virtual(block)) {
        timer_arm(&request->timer, deadline);
    }
    block->ops->start(block, request);
    return 0;
}

int block_submit(struct block *block, struct block_request *request)
{
    uint64_t now = block_is_virtual(block) ? clock_now(block->clock) : 0;

    return block_submit_at(block, request, now + block_latency(request->op, request->length));
}

void block_cancel(struct block_request *request)
{
    if (!request->block) {
        return;
    }
    if (!request->host_done) {
        request->block->ops->drop(request->block, request);
    }
    block_request_unlink(request);
}

void block_drain(struct block *block)
{
    while (block->requests) {
        struct block_request *request = block->requests;

        if (request->host_done) {
            block_request_complete(request);
        } else {
            block->ops->wait(block, request);
        }
    }
}

void block_settle(struct block *block)
{
    block->settling = true;
    for (struct block_request *request = block->requests; request; request = request->next) {
        if (!request->host_done) {
            block->ops->wait(block, request);
        }
        if (!timer_armed(&request->timer)) {
            timer_arm(&request->timer,
                      clock_now(block->clock)); /* real time: completes when the VM goes on */
        }
    }
    block->settling = false;
}

void block_lock_medium(struct block *block, bool locked)
{
    block->locked = locked;
}

int block_eject(struct block *block)
{
    if (!block->removable) {
        return -ENOTSUP;
    }
    if (block->outstanding) {
        return -EBUSY;
    }
    if (block->inserted) {
        block->ops->eject(block);
    }
    return 0;
}

void block_set_medium(struct block *block, uint64_t size, bool inserted, bool read_only)
{
    block->size = ALIGN_DOWN(size, BLOCK_SECTOR_SIZE);
    block->inserted = inserted;
    block->read_only = read_only;
}

void block_notify_medium_changed(struct block *block)
{
    if (block->front_ops && block->front_ops->medium_changed) {
        block->front_ops->medium_changed(block->front);
    }
}

void block_notify_eject_requested(struct block *block)
{
    if (block->front_ops && block->front_ops->eject_requested) {
        block->front_ops->eject_requested(block->front);
    }
}
