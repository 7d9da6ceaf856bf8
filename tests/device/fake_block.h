/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A medium in memory for device tests, with faults on demand. The host's work is over either at once (`instant`,
 * the default) or only when somebody waits for it, which under a stepped clock is the deadline.
 *
 *   struct fake_block *disk = fake_block_create(&fb->clock, 1 * MIB);
 *   ... ide_create(..., &disk->block) ...
 *   fake_block_fail(disk, BLOCK_READ, -EIO, 1);
 *   fake_block_destroy(disk);
 */
#ifndef TESTS_DEVICE_FAKE_BLOCK_H
#define TESTS_DEVICE_FAKE_BLOCK_H

#include "base/block.h"

struct fake_block {
    struct block block;
    uint8_t *bytes;    /* the medium, block.size bytes */
    uint64_t capacity; /* of `bytes` */
    bool instant;      /* start() does the work; otherwise only wait() does */
    /* faults: the next `fail_count` requests of kind `fail_op` end with `fail_result` */
    enum block_op fail_op;
    int fail_result;
    unsigned fail_count;
    unsigned waits, drops, ejects; /* calls seen */
    unsigned flushes;              /* carried out, those of fua included */
};

/* Sector n begins with n as a little-endian 32-bit number, the rest of it is the low byte of n. */
struct fake_block *fake_block_create(struct clock *clock, uint64_t size);
void fake_block_destroy(struct fake_block *fake);
void fake_block_fail(struct fake_block *fake, enum block_op op, int result, unsigned count);
/* The user changes the medium (size 0: takes it out), as the monitor's `change` and `eject` do. */
void fake_block_change(struct fake_block *fake, uint64_t size, bool read_only);

#endif
