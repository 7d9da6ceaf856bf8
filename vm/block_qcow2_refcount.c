/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * qcow2: how often each cluster of the file is used, and with that which are free. See vm/block_qcow2.h.
 *
 *   refcount table   entry i: offset of the block that counts clusters i * n ... i * n + n - 1, 0: all are free
 *   refcount block   n = cluster size * 8 / refcount bits counts
 *
 * Counts that go up may reach the disk at any time: at worst a cluster is counted that nobody uses. Counts go down in
 * qcow2_apply_frees() only, when no table on disk leads to the cluster any more.
 *
 * A new block counts itself: it lies in the first cluster of the range it stands for, which is free because nothing
 * there was counted. A new, larger table comes with the blocks that count it, behind everything the old one
 * reached; the header's switch from one to the other is a single write.
 */
#include <errno.h>
#include <stdlib.h>

#include "vm/block_qcow2.h"

enum { HEADER_REFTABLE_BYTES = 12, MAX_FREES_GROWTH = 1024 };

/* ---- counts in a block ---- */

uint64_t qcow2_refcount_read(const uint8_t *block, uint32_t order, uint64_t index)
{
    uint32_t bits = 1u << order;

    switch (order) {
    case 3:
        return block[index];
    case 4:
        return load_be16(block + index * 2);
    case 5:
        return load_be32(block + index * 4);
    case 6:
        return load_be64(block + index * 8);
    default: /* counts smaller than a byte: the lowest bits first */
        return block[index * bits / 8] >> (index * bits % 8) & ((1u << bits) - 1);
    }
}

void qcow2_refcount_write(uint8_t *block, uint32_t order, uint64_t index, uint64_t count)
{
    uint32_t bits = 1u << order;
    uint32_t shift = (uint32_t)(index * bits % 8);
    uint32_t mask;

    switch (order) {
    case 3:
        block[index] = (uint8_t)count;
        break;
    case 4:
        store_be16(block + index * 2, (uint16_t)count);
        break;
    case 5:
        store_be32(block + index * 4, (uint32_t)count);
        break;
    case 6:
        store_be64(block + index * 8, count);
        break;
    default:
        mask = (1u << bits) - 1;
        block[index * bits / 8] =
            (uint8_t)((block[index * bits / 8] & ~(mask << shift)) | ((count & mask) << shift));
        break;
    }
}

uint64_t qcow2_refcount_per_block(const struct qcow2 *q)
{
    return ((uint64_t)q->cluster_size * 8) >> q->refcount_order;
}

static uint64_t qcow2_refcount_max(const struct qcow2 *q)
{
    return q->refcount_order == 6 ? UINT64_MAX : ((uint64_t)1 << (1u << q->refcount_order)) - 1;
}

int qcow2_evict_refcounts(struct qcow2 *q)
{
    return qcow2_cache_write(q, &q->refcount_cache);
}

static int qcow2_refcount_block(struct qcow2 *q, uint64_t index, bool fresh, struct qcow2_table **block)
{
    return qcow2_cache_get(q, &q->refcount_cache, q->reftable[index] & QCOW2_OFFSET_MASK, fresh,
                           qcow2_evict_refcounts, block);
}

int qcow2_refcount_get(struct qcow2 *q, uint64_t cluster, uint64_t *count)
{
    uint64_t index = cluster / qcow2_refcount_per_block(q);
    struct qcow2_table *block;
    int result;

    *count = 0;
    if (index >= q->reftable_entries || !(q->reftable[index] & QCOW2_OFFSET_MASK)) {
        return 0;
    }
    result = qcow2_refcount_block(q, index, false, &block);
    if (result == 0) {
        *count = qcow2_refcount_read(block->bytes, q->refcount_order, cluster % qcow2_refcount_per_block(q));
    }
    return result;
}

/* ---- new blocks, a larger table ---- */

static bool qcow2_seems_used(const struct qcow2 *q, uint64_t cluster)
{
    return qcow2_set_has(&q->metadata, cluster) ||
           (q->repairing && cluster < q->in_use_count && q->in_use[cluster] > 0);
}

static void qcow2_reftable_mark(struct qcow2 *q, uint32_t index)
{
    if (q->reftable_dirty_first == q->reftable_dirty_end) {
        q->reftable_dirty_first = index;
        q->reftable_dirty_end = index + 1;
    }
    q->reftable_dirty_first = MIN(q->reftable_dirty_first, index);
    q->reftable_dirty_end = MAX(q->reftable_dirty_end, index + 1);
}

static int qcow2_refcount_add_block(struct qcow2 *q, uint64_t index)
{
    uint64_t per_block = qcow2_refcount_per_block(q);
    uint64_t cluster = index * per_block;
    struct qcow2_table *block;
    int result;

    while (qcow2_seems_used(q, cluster)) { /* repairing: counts were lost, what they counted is still there */
        if (++cluster == (index + 1) * per_block) {
            return -EFBIG;
        }
    }
    result = qcow2_metadata_add(q, cluster << q->cluster_bits, q->cluster_size, "a refcount block");
    if (result < 0) {
        return result;
    }
    q->reftable[index] = cluster << q->cluster_bits;
    result = qcow2_refcount_block(q, index, true, &block);
    if (result < 0) {
        q->reftable[index] = 0;
        qcow2_metadata_remove(q, cluster << q->cluster_bits, q->cluster_size);
        return result;
    }
    qcow2_refcount_write(block->bytes, q->refcount_order, cluster % per_block, 1);
    qcow2_cache_mark(&q->refcount_cache, block);
    qcow2_reftable_mark(q, (uint32_t)index);
    return 0;
}

/* Where a larger table and the blocks that count it go. */
struct qcow2_new_reftable {
    uint64_t *table;
    uint32_t entries;
    uint64_t base;             /* the first cluster: blocks first, then the table */
    uint64_t blocks, clusters; /* how many of each */
};

/* The blocks count themselves and the table. */
static int qcow2_write_new_blocks(struct qcow2 *q, const struct qcow2_new_reftable *new)
{
    uint64_t per_block = qcow2_refcount_per_block(q);
    uint64_t used = new->blocks + new->clusters;
    uint8_t *block = q->scratch + q->cluster_size; /* the first half may hold an L2 table being copied */
    int result = 0;

    for (uint64_t i = 0; i < new->blocks &&result == 0; i++) {
        memset(block, 0, q->cluster_size);
        for (uint64_t j = 0; j < per_block && i * per_block + j < used; j++) {
            qcow2_refcount_write(block, q->refcount_order, j, 1);
        }
        result = qcow2_write_bytes(q, (new->base + i) << q->cluster_bits, block, q->cluster_size);
    }
    return result;
}

/* Everything the new table says is on disk before the header leads to it. */
static int qcow2_switch_reftable(struct qcow2 *q, const struct qcow2_new_reftable *new)
{
    uint64_t offset = (new->base + new->blocks) << q->cluster_bits;
    uint8_t header[HEADER_REFTABLE_BYTES];
    int result = qcow2_evict_refcounts(q);

    if (result == 0) {
        result = qcow2_write_new_blocks(q, new);
    }
    if (result == 0) {
        result = qcow2_write_table(q, offset, new->table, 0, new->entries);
    }
    if (result == 0) {
        result = block_file_flush(q->image.file);
    }
    if (result == 0) {
        store_be64(header, offset);
        store_be32(header + 8, (uint32_t) new->clusters);
        result = qcow2_write_bytes(q, QCOW2_H_REFTABLE_OFFSET, header, sizeof(header));
    }
    if (result == 0) {
        block_file_flush(q->image.file); /* the switch is made; a failure here fails every later flush */
    }
    return result;
}

static void qcow2_adopt_reftable(struct qcow2 *q, struct qcow2_new_reftable *new)
{
    uint64_t old_offset = q->reftable_offset;
    uint64_t old_bytes = (uint64_t)q->reftable_entries * 8;

    free(q->reftable);
    q->reftable = new->table;
    q->reftable_entries = new->entries;
    q->reftable_offset = (new->base + new->blocks) << q->cluster_bits;
    q->reftable_dirty_first = q->reftable_dirty_end = 0;
    qcow2_metadata_remove(q, old_offset, old_bytes);
    qcow2_free_later(q, old_offset, old_bytes >> q->cluster_bits);
}

static int qcow2_grow_reftable(struct qcow2 *q)
{
    uint64_t per_block = qcow2_refcount_per_block(q);
    struct qcow2_new_reftable new = {.base = (uint64_t)q->reftable_entries * per_block, .blocks = 1};
    uint64_t bytes = (uint64_t)q->reftable_entries * 8 * 2;
    int result;

    new.clusters = bytes >> q->cluster_bits;
    new.entries = (uint32_t)(bytes / 8);
    while (new.blocks * per_block < new.blocks + new.clusters) {
        new.blocks++;
    }
    for (uint64_t i = 0; i < new.blocks + new.clusters; i++) {
        if (qcow2_seems_used(q, new.base + i)) {
            return -EFBIG;
        }
    }
    new.table = bytes <= QCOW2_MAX_REFTABLE ? calloc(new.entries, sizeof(*new.table)) : NULL;
    if (!new.table) {
        return bytes <= QCOW2_MAX_REFTABLE ? -ENOMEM : -EFBIG;
    }
    memcpy(new.table, q->reftable, (uint64_t)q->reftable_entries * 8);
    for (uint64_t i = 0; i < new.blocks; i++) {
        new.table[q->reftable_entries + i] = (new.base + i) << q->cluster_bits;
    }
    result = qcow2_metadata_add(q, new.base << q->cluster_bits,
                                (new.blocks + new.clusters) << q->cluster_bits, "the refcount table");
    if (result == 0) {
        result = qcow2_switch_reftable(q, &new);
        if (result < 0) {
            qcow2_metadata_remove(q, new.base << q->cluster_bits,
                                  (new.blocks + new.clusters) << q->cluster_bits);
        }
    }
    if (result < 0) {
        free(new.table);
        return result;
    }
    qcow2_adopt_reftable(q, &new);
    return 0;
}

/* There is a block that counts this cluster. */
static int qcow2_refcount_cover(struct qcow2 *q, uint64_t cluster)
{
    uint64_t index = cluster / qcow2_refcount_per_block(q);
    int result = 0;

    while (index >= q->reftable_entries && result == 0) {
        result = qcow2_grow_reftable(q);
    }
    if (result == 0 && !(q->reftable[index] & QCOW2_OFFSET_MASK)) {
        result = qcow2_refcount_add_block(q, index);
    }
    return result;
}

int qcow2_refcount_set(struct qcow2 *q, uint64_t cluster, uint64_t count)
{
    uint64_t per_block = qcow2_refcount_per_block(q);
    struct qcow2_table *block;
    int result = count > qcow2_refcount_max(q) ? -ERANGE : qcow2_refcount_cover(q, cluster);

    if (result == 0) {
        result = qcow2_refcount_block(q, cluster / per_block, false, &block);
    }
    if (result == 0) {
        qcow2_refcount_write(block->bytes, q->refcount_order, cluster % per_block, count);
        qcow2_cache_mark(&q->refcount_cache, block);
    }
    return result;
}

/* ---- allocation ---- */

static int qcow2_is_free(struct qcow2 *q, uint64_t cluster, bool *free)
{
    uint64_t count;
    int result = qcow2_refcount_get(q, cluster, &count);

    *free = result == 0 && count == 0;
    if (*free && qcow2_seems_used(q, cluster)) {
        *free = false;
        return q->repairing ? 0
                            : qcow2_mark_corrupt(q, "the table at %llu is counted as free",
                                                 (unsigned long long)(cluster << q->cluster_bits));
    }
    return result;
}

/* The first free cluster from the hint on, with a block that counts it. */
static int qcow2_find_free(struct qcow2 *q, uint64_t *cluster)
{
    uint64_t end = (uint64_t)1 << (56 - q->cluster_bits); /* what a table entry can name */
    bool free = false;

    for (*cluster = q->free_hint; *cluster < end; ++*cluster) {
        int result = qcow2_refcount_cover(q, *cluster);

        if (result == 0) {
            result = qcow2_is_free(q, *cluster, &free);
        }
        if (result < 0 || free) {
            return result;
        }
    }
    return -EFBIG;
}

int qcow2_alloc(struct qcow2 *q, uint64_t wanted, uint64_t *offset, uint64_t *got)
{
    uint64_t per_block = qcow2_refcount_per_block(q);
    uint64_t cluster;
    int result = qcow2_find_free(q, &cluster);

    *got = 0;
    while (result == 0 && *got < wanted) {
        bool free = *got == 0;

        /* Not into the next block's range: there may be no block yet, and its first cluster is its own. */
        if (!free && (cluster + *got) % per_block == 0) {
            break;
        }
        if (!free) {
            result = qcow2_is_free(q, cluster + *got, &free);
        }
        if (result < 0 || !free) {
            break;
        }
        result = qcow2_refcount_set(q, cluster + *got, 1);
        *got += result == 0;
    }
    if (*got == 0) {
        return result;
    }
    *offset = cluster << q->cluster_bits;
    q->free_hint = cluster + *got;
    return 0;
}

void qcow2_unalloc(struct qcow2 *q, uint64_t offset, uint64_t count)
{
    uint64_t cluster = offset >> q->cluster_bits;

    for (uint64_t i = 0; i < count; i++) {
        if (qcow2_refcount_set(q, cluster + i, 0) < 0) {
            return; /* they stay counted: a leak */
        }
    }
    q->free_hint = MIN(q->free_hint, cluster);
}

/* ---- freeing ---- */

void qcow2_free_later(struct qcow2 *q, uint64_t offset, uint64_t count)
{
    uint64_t cluster = offset >> q->cluster_bits;
    struct qcow2_free *last = q->free_count ? &q->frees[q->free_count - 1] : NULL;

    if (last && last->cluster + last->count == cluster) {
        last->count += count;
        return;
    }
    if (q->free_count == q->free_capacity) {
        size_t capacity = q->free_capacity + MAX(q->free_capacity / 2, (size_t)MAX_FREES_GROWTH);
        struct qcow2_free *grown = realloc(q->frees, capacity * sizeof(*grown));

        if (!grown) {
            return; /* they stay counted: a leak */
        }
        q->frees = grown;
        q->free_capacity = capacity;
    }
    q->frees[q->free_count++] = (struct qcow2_free){.cluster = cluster, .count = count};
}

void qcow2_free_entry(struct qcow2 *q, uint64_t entry)
{
    uint64_t offset = entry & QCOW2_OFFSET_MASK;
    uint64_t length = q->cluster_size;

    if (entry & QCOW2_COMPRESSED) {
        qcow2_compressed_range(q, entry, &offset, &length);
        length += offset % q->cluster_size;
        offset = ALIGN_DOWN(offset, q->cluster_size);
    }
    if (offset) {
        qcow2_free_later(q, offset, (length + q->cluster_size - 1) >> q->cluster_bits);
    }
}

/* Give the space of clusters nobody uses back to the host; a hint. */
static void qcow2_punch(struct qcow2 *q, uint64_t cluster, uint64_t count)
{
    if (count > 0) {
        block_file_punch(q->image.file, cluster << q->cluster_bits, count << q->cluster_bits);
    }
}

static int qcow2_apply_free(struct qcow2 *q, const struct qcow2_free *range)
{
    uint64_t unused = 0; /* clusters just before the current one that became free */
    uint64_t cluster;
    int result = 0;

    for (cluster = range->cluster; cluster < range->cluster + range->count && result == 0; cluster++) {
        uint64_t count;

        result = qcow2_refcount_get(q, cluster, &count);
        if (result == 0 && count == 0) {
            return qcow2_mark_corrupt(q, "the cluster at %llu is used, but counted as free",
                                      (unsigned long long)(cluster << q->cluster_bits));
        }
        if (result == 0) {
            result = qcow2_refcount_set(q, cluster, count - 1);
        }
        if (result == 0 && count == 1) {
            q->free_hint = MIN(q->free_hint, cluster);
            unused++;
        } else {
            qcow2_punch(q, cluster - unused, unused);
            unused = 0;
        }
    }
    qcow2_punch(q, cluster - unused, unused);
    return result;
}

int qcow2_apply_frees(struct qcow2 *q)
{
    int result = 0;

    for (size_t i = 0; i < q->free_count && result == 0; i++) {
        result = qcow2_apply_free(q, &q->frees[i]);
    }
    q->free_count = 0; /* after an error the rest stays counted: a leak */
    return result;
}
