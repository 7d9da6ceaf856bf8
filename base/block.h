/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Block devices: what a disk, CD or floppy controller sees of its medium.
 *
 * A device (front end) fills in a struct block_request it owns, submits it, and is called back once. The host
 * end (back end: vm/block_disk.c with a worker thread; tests/device/fake_block.c in memory) does the work beside
 * the guest. Everything here belongs to the VM's thread; only the back end's own worker runs elsewhere, and the
 * one thing of a request it touches is its buffer.
 *
 *   device                 block layer                      worker
 *     |  block_submit()        |                               |
 *     |----------------------->|  ops->start()                 |
 *     |                        |------------------------------>|  pread/pwrite/fdatasync
 *     |      (the guest runs)  |                               |
 *     |                        |<------------------------------|  block_request_finished()
 *     |  request->done(result) |
 *     |<-----------------------|
 *
 * When a request completes, as the guest sees it:
 *
 *   real time          when the host is done, at the next point between two slices of guest execution
 *   -icount, stepped   at request->deadline = submission + block_latency() on the virtual clock, to the
 *                      nanosecond; a host that is slower than that is waited for. So equal inputs give equal
 *                      runs whatever the host's disk does
 *
 * In both, `done` runs outside of any device access and any instruction: it may do DMA, raise interrupts and
 * submit further requests, on this or another block. It is never called from inside block_submit().
 *
 * Requests on one block are carried out by the host in the order of their submission, so a read sees every
 * write submitted before it. Completions under the virtual clock come in the order of their deadlines.
 *
 * Buffers must not be guest RAM: the guest would see bytes change at a moment the host chose. Devices keep a
 * buffer of their own and copy in `done` (reads) or before submission (writes).
 */
#ifndef BASE_BLOCK_H
#define BASE_BLOCK_H

#include "base/clock.h"
#include "base/error.h"
#include "base/types.h"

enum {
    BLOCK_SECTOR_SIZE = 512,     /* offsets and lengths are multiples of this */
    BLOCK_CD_SECTOR_SIZE = 2048, /* what CD drives use; the layer asks for no more than 512 */
    BLOCK_MAX_REQUESTS = 32,     /* outstanding on one block; more are refused with -EBUSY */
};
#define BLOCK_MAX_LENGTH      (1 * MIB) /* of one read or write; devices split longer transfers */
#define BLOCK_MAX_OUTSTANDING (8 * MIB) /* bytes of reads and writes under way on one block */

enum block_op {
    BLOCK_READ,
    BLOCK_WRITE,
    BLOCK_FLUSH, /* done(0): all writes completed before its submission survive a crash of host or process */
    BLOCK_DISCARD, /* the range's contents no longer matter; reads give zeros or what was there; any length */
};

struct block;

/*
 * One transfer. The caller owns it and its buffer, and leaves both alone from a successful block_submit() until
 * `done` is called or block_cancel() returns. All zero before its first use; reuse needs nothing but new values.
 */
struct block_request {
    /* Set by the caller. */
    enum block_op op;
    bool fua;        /* a write that is as durable as one followed by a flush when it is done */
    uint64_t offset; /* bytes */
    uint64_t length; /* bytes; 0 for BLOCK_FLUSH */
    uint8_t *buffer; /* `length` bytes, host memory; NULL for flush and discard */
    /* result: 0, or -EIO, -ENOSPC, ... After a failed read the buffer's contents mean nothing; after a failed
     * write the medium may hold the old or the new bytes, sector by sector. */
    void (*done)(struct block_request *request, int result);
    void *opaque; /* the caller's */

    /* Read by the caller: when it completes on the virtual clock. Part of a device's saved state; see
     * block_settle(). Meaningless under real time. */
    uint64_t deadline;

    /* The layer's. */
    struct block *block; /* NULL while not under way */
    struct timer timer;
    struct block_request *next; /* the block's outstanding requests, in order of submission */
    bool host_done;             /* the host's work is over, with `result` */
    int result;

    /* The back end's, guarded as it likes. */
    struct block_request *host_next;
    int host_state, host_result;
};

struct block_ops {
    /* Begin, or queue, the host's work; never calls back from inside. Each start is answered by exactly one
     * block_request_finished(), or ended by drop(). */
    void (*start)(struct block *block, struct block_request *request);
    /* Sleep until the host's work on this request is over, and call block_request_finished() for it. */
    void (*wait)(struct block *block, struct block_request *request);
    /* As wait(), without the call; a read that has not begun may be forgotten instead. */
    void (*drop)(struct block *block, struct block_request *request);
    /* The guest ejects the medium (removable only): close it and call block_set_medium(block, 0, ...). */
    void (*eject)(struct block *block);
    void (*destroy)(struct block *block);
};

/* What a device with removable media, or one that shows its size, wants to hear of. Members may be NULL. */
struct block_front_ops {
    /* The medium was inserted, changed, or taken out: size, read_only and inserted are the new ones. Requests
     * that were under way have completed. Called between slices. */
    void (*medium_changed)(void *front);
    /* The user wants the medium back while block_lock_medium() holds it: the drive's eject button. */
    void (*eject_requested)(void *front);
};

struct block_counters {
    uint64_t reads, writes, flushes, discards, errors; /* requests completed */
    uint64_t bytes_read, bytes_written;
};

struct block {
    /* Set by the back end. */
    const struct block_ops *ops;
    char id[32];     /* "ide0-hd0", or what the user named it */
    char serial[21]; /* what the drive shall call itself; "" lets the device choose */
    struct clock
        *clock; /* of the VM, never NULL; under CLOCK_REAL_TIME requests complete when the host is done */
    bool removable;
    uint64_t size;  /* bytes, a multiple of BLOCK_SECTOR_SIZE; 0 without a medium */
    bool inserted;  /* there is a medium */
    bool read_only; /* writes, and discards, answer -EROFS */
    bool locked;    /* the guest forbids taking the medium out */

    /* Set by the device. */
    const struct block_front_ops *front_ops;
    void *front;

    /* The layer's. */
    struct block_request *requests; /* outstanding, in order of submission */
    unsigned outstanding;
    uint64_t outstanding_bytes;
    bool settling; /* what the host finishes now completes later */
    struct block_counters counters;
};

/* ---- for devices; `block` is never NULL ---- */

/*
 * Start a transfer. 0: `done` will be called. Otherwise it will not be, and nothing has happened:
 *   -ENOMEDIUM  no medium                  -EROFS  a write or discard of a read-only medium
 *   -EINVAL     not whole sectors, length 0 or beyond BLOCK_MAX_LENGTH, or past the end of the medium
 *   -EBUSY      the request itself is under way, or the limits above are reached
 */
int block_submit(struct block *block, struct block_request *request);

/* As block_submit(), to complete at a given time: for requests that were under way when a snapshot was saved. */
int block_submit_at(struct block *block, struct block_request *request, uint64_t deadline);

/*
 * Forget a request: `done` is not called, and the buffer is the caller's again on return. May sleep for the host
 * to finish what it has begun. A write, flush or discard is carried out all the same, so that the medium's
 * contents do not depend on how fast the host was. Without effect on a request that is not under way.
 */
void block_cancel(struct block_request *request);

static inline bool block_request_active(const struct block_request *request)
{
    return request->block != NULL;
}

/*
 * Complete everything now, callbacks and what they submit included: the guest sees it early. For changing media
 * and for ending.
 */
void block_drain(struct block *block);

/*
 * Wait until the host has carried out everything, without a callback: the medium's contents stand still. For
 * saving a snapshot under way: a device saves what its request was and request->deadline, and after a load
 * submits the same again with block_submit_at(); reading or writing the same bytes twice changes nothing.
 */
void block_settle(struct block *block);

/* PREVENT/ALLOW MEDIUM REMOVAL and its like. */
void block_lock_medium(struct block *block, bool locked);
/* START STOP UNIT with LoEj and its like: the guest ejects the medium (inserted becomes false; medium_changed is
 * not called, the device knows). 0, -ENOTSUP when it is not removable, -EBUSY with requests under way. */
int block_eject(struct block *block);

/* The virtual time a transfer takes, ns: what a fair solid-state disk needs. */
uint64_t block_latency(enum block_op op, uint64_t length);

/* ---- for back ends ---- */

/* The host's work on a started request is over; on the VM's thread, between slices (or from inside wait()). Under
 * real time calls `done`. */
void block_request_finished(struct block_request *request, int result);

/* A new medium, or none (size 0, inserted false). Nothing may be under way. Does not call the front end. */
void block_set_medium(struct block *block, uint64_t size, bool inserted, bool read_only);
/* Tell the front end that the user changed the medium; that he wants it back. */
void block_notify_medium_changed(struct block *block);
void block_notify_eject_requested(struct block *block);

/* NULL is legal. Nothing may be under way. */
static inline void block_destroy(struct block *block)
{
    if (block) {
        block->ops->destroy(block);
    }
}

#endif
