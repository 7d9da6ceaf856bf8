/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * qcow2: the clusters that hold metadata, so that no write of guest data can hit a table, however an image was
 * crafted or damaged. See vm/block_qcow2.h.
 *
 * In the set: the header, the active L1 table and its L2 tables, the refcount table and its blocks, the snapshot
 * table and the snapshots' L1 tables. Not in it: L2 tables that only snapshots use; their counts protect them.
 */
#include <errno.h>
#include <stdlib.h>

#include "vm/block_qcow2.h"

enum { SET_MIN = 64 };

/* ---- the set ---- */

static size_t qcow2_set_slot(const struct qcow2_set *set, uint64_t number)
{
    uint64_t hash = number * 0x9e3779b97f4a7c15u;
    size_t slot = (size_t)(hash >> 20) & (set->capacity - 1);

    while (set->slots[slot] != 0 && set->slots[slot] != number + 1) {
        slot = (slot + 1) & (set->capacity - 1);
    }
    return slot;
}

bool qcow2_set_has(const struct qcow2_set *set, uint64_t number)
{
    return set->capacity && set->slots[qcow2_set_slot(set, number)] != 0;
}

static int qcow2_set_reserve(struct qcow2_set *set)
{
    struct qcow2_set larger = {.capacity = set->capacity ? set->capacity * 2 : SET_MIN};

    if (set->count + 1 <= set->capacity / 2) {
        return 0;
    }
    larger.slots = calloc(larger.capacity, sizeof(*larger.slots));
    if (!larger.slots) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < set->capacity; i++) {
        if (set->slots[i]) {
            larger.slots[qcow2_set_slot(&larger, set->slots[i] - 1)] = set->slots[i];
            larger.count++;
        }
    }
    free(set->slots);
    *set = larger;
    return 0;
}

int qcow2_set_add(struct qcow2_set *set, uint64_t number, bool *present)
{
    int result = qcow2_set_reserve(set);
    size_t slot;

    if (result < 0) {
        return result;
    }
    slot = qcow2_set_slot(set, number);
    *present = set->slots[slot] != 0;
    if (!*present) {
        set->slots[slot] = number + 1;
        set->count++;
    }
    return 0;
}

/* What follows without a gap may have been pushed here by the one removed: put it in again. */
void qcow2_set_remove(struct qcow2_set *set, uint64_t number)
{
    size_t slot = set->capacity ? qcow2_set_slot(set, number) : 0;

    if (!set->capacity || set->slots[slot] == 0) {
        return;
    }
    set->slots[slot] = 0;
    set->count--;
    for (slot = (slot + 1) & (set->capacity - 1); set->slots[slot] != 0;
         slot = (slot + 1) & (set->capacity - 1)) {
        uint64_t moved = set->slots[slot];

        set->slots[slot] = 0;
        set->slots[qcow2_set_slot(set, moved - 1)] = moved;
    }
}

/* ---- metadata ---- */

int qcow2_metadata_add(struct qcow2 *q, uint64_t offset, uint64_t length, const char *what)
{
    uint64_t first = offset >> q->cluster_bits;
    uint64_t count = (length + q->cluster_size - 1) >> q->cluster_bits;

    for (uint64_t cluster = first; cluster < first + count; cluster++) {
        bool present;
        int result = qcow2_set_add(&q->metadata, cluster, &present);

        if (result < 0) {
            return result;
        }
        if (present) {
            return qcow2_mark_corrupt(q, "%s at %llu lies over other tables", what,
                                      (unsigned long long)(cluster << q->cluster_bits));
        }
    }
    return 0;
}

void qcow2_metadata_remove(struct qcow2 *q, uint64_t offset, uint64_t length)
{
    for (uint64_t at = offset; at < offset + length; at += q->cluster_size) {
        qcow2_set_remove(&q->metadata, at >> q->cluster_bits);
    }
}

static int qcow2_metadata_add_targets(struct qcow2 *q, const uint64_t *table, uint32_t entries,
                                      const char *what)
{
    int result = 0;

    for (uint32_t i = 0; i < entries && result == 0; i++) {
        uint64_t offset = table[i] & QCOW2_OFFSET_MASK;

        if (offset % q->cluster_size) {
            return qcow2_mark_corrupt(q, "%s at %llu does not begin with a cluster", what,
                                      (unsigned long long)offset);
        }
        if (offset) {
            result = qcow2_metadata_add(q, offset, q->cluster_size, what);
        }
    }
    return result;
}

static int qcow2_metadata_add_snapshots(struct qcow2 *q)
{
    int result = 0;

    if (q->snapshot_count) {
        result = qcow2_metadata_add(q, q->snapshots_offset, q->snapshots_length, "the snapshot table");
    }
    for (uint32_t i = 0; i < q->snapshot_count && result == 0; i++) {
        result = qcow2_metadata_add(q, q->snapshots[i].l1_offset, (uint64_t)q->snapshots[i].l1_entries * 8,
                                    "the L1 table of a snapshot");
    }
    return result;
}

int qcow2_metadata_load(struct qcow2 *q)
{
    int result = qcow2_metadata_add(q, 0, q->cluster_size, "the header");

    if (result == 0) {
        result = qcow2_metadata_add(q, q->l1_offset, (uint64_t)q->l1_entries * 8, "the L1 table");
    }
    if (result == 0) {
        result = qcow2_metadata_add(q, q->reftable_offset, (uint64_t)q->reftable_entries * 8,
                                    "the refcount table");
    }
    if (result == 0) {
        result = qcow2_metadata_add_targets(q, q->reftable, q->reftable_entries, "a refcount block");
    }
    if (result == 0) {
        result = qcow2_metadata_add_snapshots(q);
    }
    if (result == 0) {
        result = qcow2_metadata_add_targets(q, q->l1, q->l1_entries, "an L2 table");
    }
    return result;
}

int qcow2_check_overlap(struct qcow2 *q, uint64_t offset, uint64_t length)
{
    uint64_t end = offset + length;

    for (uint64_t cluster = offset >> q->cluster_bits; cluster << q->cluster_bits < end; cluster++) {
        if (qcow2_set_has(&q->metadata, cluster)) {
            return qcow2_mark_corrupt(q, "data would be written over a table at %llu",
                                      (unsigned long long)(cluster << q->cluster_bits));
        }
    }
    return 0;
}
