/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * qcow2: from offsets on the disk to clusters of the file; reading, writing, copying on write, zeroing. See
 * vm/block_qcow2.h.
 *
 * A write finds each cluster in one of two states:
 *
 *   its own    L2 entry with an offset and COPIED: written in place, no table changes
 *   otherwise  (nothing there, zeros, compressed, shared with a snapshot): a new cluster is taken, the part of it
 *              that is not written is filled with what the disk showed there, and when all of that is written the
 *              L2 entry changes, in memory first; what it led to before is freed later
 */
#include <errno.h>
#include <stdlib.h>

#include "vm/block_qcow2.h"

enum { SETTLE_FREES = 4096 }; /* pending frees that make a write settle first */

enum entry_kind { ENTRY_NONE, ENTRY_ZERO, ENTRY_DATA, ENTRY_COMPRESSED };

static enum entry_kind entry_kind(const struct qcow2 *q, uint64_t entry)
{
    if (entry & QCOW2_COMPRESSED) {
        return ENTRY_COMPRESSED;
    }
    if (q->version >= 3 && (entry & QCOW2_ZERO)) {
        return ENTRY_ZERO;
    }
    return entry & QCOW2_OFFSET_MASK ? ENTRY_DATA : ENTRY_NONE;
}

static bool entry_in_place(const struct qcow2 *q, uint64_t entry)
{
    return entry_kind(q, entry) == ENTRY_DATA && (entry & QCOW2_COPIED);
}

static uint32_t l1_index(const struct qcow2 *q, uint64_t offset)
{
    return (uint32_t)(offset >> (q->cluster_bits + q->l2_bits));
}

static uint32_t l2_index(const struct qcow2 *q, uint64_t offset)
{
    return (uint32_t)(offset >> q->cluster_bits) & ((1u << q->l2_bits) - 1);
}

/* Clusters from this one to the end of its L2 table. */
static uint64_t l2_rest(const struct qcow2 *q, uint64_t offset)
{
    return ((uint64_t)1 << q->l2_bits) - l2_index(q, offset);
}

/* Clusters that [offset, offset + length) touches. */
static uint64_t cluster_span(const struct qcow2 *q, uint64_t offset, uint64_t length)
{
    return (offset % q->cluster_size + length + q->cluster_size - 1) >> q->cluster_bits;
}

static uint64_t table_entry(const struct qcow2_table *table, uint32_t index)
{
    return load_be64(table->bytes + (size_t)index * 8);
}

/* ---- looking up ---- */

int qcow2_l2_get(struct qcow2 *q, uint64_t l2_offset, struct qcow2_table **table)
{
    if (l2_offset % q->cluster_size) {
        return qcow2_mark_corrupt(q, "the L2 table at %llu does not begin with a cluster",
                                  (unsigned long long)l2_offset);
    }
    return qcow2_cache_get(q, &q->l2_cache, l2_offset, false, qcow2_settle, table);
}

/* Does the cluster `distance` behind the first continue its run? */
static bool entry_continues(const struct qcow2 *q, uint64_t first, uint64_t next, uint64_t distance)
{
    enum entry_kind kind = entry_kind(q, first);

    if (kind != entry_kind(q, next) || kind == ENTRY_COMPRESSED) {
        return false;
    }
    if (kind != ENTRY_DATA) {
        return true;
    }
    return (next & QCOW2_OFFSET_MASK) == (first & QCOW2_OFFSET_MASK) + (distance << q->cluster_bits) &&
           !((first ^ next) & QCOW2_COPIED);
}

int qcow2_map(struct qcow2 *q, uint64_t offset, uint64_t max, uint64_t *entry, uint64_t *count)
{
    uint64_t l2_offset = q->l1[l1_index(q, offset)] & QCOW2_OFFSET_MASK;
    uint32_t index = l2_index(q, offset);
    struct qcow2_table *table;
    int result;

    max = MIN(max, l2_rest(q, offset));
    if (!l2_offset) {
        *entry = 0;
        *count = max;
        return 0;
    }
    result = qcow2_l2_get(q, l2_offset, &table);
    if (result < 0) {
        return result;
    }
    *entry = table_entry(table, index);
    if (entry_kind(q, *entry) == ENTRY_DATA && (*entry & QCOW2_OFFSET_MASK) % q->cluster_size) {
        return qcow2_mark_corrupt(q, "the data cluster at %llu is not aligned",
                                  (unsigned long long)(*entry & QCOW2_OFFSET_MASK));
    }
    for (*count = 1; *count < max; ++*count) {
        if (!entry_continues(q, *entry, table_entry(table, index + (uint32_t)*count), *count)) {
            break;
        }
    }
    return 0;
}

int qcow2_status(struct image *image, uint64_t offset, uint64_t length, enum image_status *status,
                 uint64_t *run)
{
    struct qcow2 *q = qcow2_of(image);
    uint64_t entry, count;
    int result = qcow2_map(q, offset, cluster_span(q, offset, length), &entry, &count);
    enum entry_kind kind;

    if (result < 0) {
        return result;
    }
    kind = entry_kind(q, entry);
    *status = kind == ENTRY_NONE ? IMAGE_BACKING : kind == ENTRY_ZERO ? IMAGE_ZERO : IMAGE_DATA;
    *run = MIN(length, (count << q->cluster_bits) - offset % q->cluster_size);
    return 0;
}

/* ---- reading ---- */

static int qcow2_read_backing(struct qcow2 *q, uint64_t offset, uint8_t *bytes, uint64_t length)
{
    struct image *backing = q->image.backing;
    uint64_t there = backing && offset < backing->size ? MIN(length, backing->size - offset) : 0;

    memset(bytes + there, 0, length - there);
    return there ? image_read(backing, offset, bytes, there) : 0;
}

static int qcow2_read_run(struct qcow2 *q, uint64_t entry, uint64_t offset, uint8_t *bytes, uint64_t length)
{
    uint64_t in_cluster = offset % q->cluster_size;
    int result;

    switch (entry_kind(q, entry)) {
    case ENTRY_DATA:
        return block_file_read(q->image.file, (entry & QCOW2_OFFSET_MASK) + in_cluster, bytes, length);
    case ENTRY_COMPRESSED:
        result = qcow2_unpack(q, entry);
        if (result == 0) {
            memcpy(bytes, q->unpacked + in_cluster, length);
        }
        return result;
    case ENTRY_ZERO:
        memset(bytes, 0, length);
        return 0;
    case ENTRY_NONE:
        break;
    }
    return qcow2_read_backing(q, offset, bytes, length);
}

int qcow2_read(struct image *image, uint64_t offset, uint8_t *bytes, uint64_t length)
{
    struct qcow2 *q = qcow2_of(image);
    int result = 0;

    while (length > 0 && result == 0) {
        uint64_t entry, count, piece;

        result = qcow2_map(q, offset, cluster_span(q, offset, length), &entry, &count);
        if (result < 0) {
            break;
        }
        piece = MIN(length, (count << q->cluster_bits) - offset % q->cluster_size);
        result = qcow2_read_run(q, entry, offset, bytes, piece);
        offset += piece;
        bytes += piece;
        length -= piece;
    }
    return result;
}

/* ---- L2 tables for writing ---- */

static void qcow2_l1_set(struct qcow2 *q, uint32_t index, uint64_t entry)
{
    q->l1[index] = entry;
    if (q->l1_dirty_first == q->l1_dirty_end) {
        q->l1_dirty_first = index;
        q->l1_dirty_end = index + 1;
    }
    q->l1_dirty_first = MIN(q->l1_dirty_first, index);
    q->l1_dirty_end = MAX(q->l1_dirty_end, index + 1);
}

/* A new L2 table in place of none, or a copy of one that snapshots use too. */
static int qcow2_l2_renew(struct qcow2 *q, uint32_t index, struct qcow2_table **table)
{
    uint64_t old = q->l1[index] & QCOW2_OFFSET_MASK;
    uint64_t offset, got;
    int result = 0;

    if (old) {
        result = qcow2_l2_get(q, old, table);
        if (result < 0) {
            return result;
        }
        memcpy(q->scratch, (*table)->bytes, q->cluster_size);
    }
    result = qcow2_alloc(q, 1, &offset, &got);
    if (result < 0) {
        return result;
    }
    result = qcow2_cache_get(q, &q->l2_cache, offset, true, qcow2_settle, table);
    if (result == 0) {
        result = qcow2_metadata_add(q, offset, q->cluster_size, "a new L2 table");
    }
    if (result < 0) {
        qcow2_cache_drop(&q->l2_cache, offset);
        qcow2_unalloc(q, offset, 1);
        return result;
    }
    if (old) {
        memcpy((*table)->bytes, q->scratch, q->cluster_size);
        qcow2_metadata_remove(q, old, q->cluster_size);
        qcow2_free_later(q, old, 1);
    }
    qcow2_cache_mark(&q->l2_cache, *table);
    qcow2_l1_set(q, index, offset | QCOW2_COPIED);
    return 0;
}

static int qcow2_l2_writable(struct qcow2 *q, uint64_t offset, struct qcow2_table **table)
{
    uint32_t index = l1_index(q, offset);

    return q->l1[index] & QCOW2_COPIED && q->l1[index] & QCOW2_OFFSET_MASK
               ? qcow2_l2_get(q, q->l1[index] & QCOW2_OFFSET_MASK, table)
               : qcow2_l2_renew(q, index, table);
}

/* ---- writing ---- */

/* What the disk shows in a part of a cluster now; zeros behind its end. */
static int qcow2_fill(struct qcow2 *q, uint64_t offset, uint8_t *bytes, uint64_t length)
{
    uint64_t there = offset < q->image.size ? MIN(length, q->image.size - offset) : 0;

    memset(bytes + there, 0, length - there);
    return there ? qcow2_read(&q->image, offset, bytes, there) : 0;
}

/* A cluster of the file that was never written, in place of nothing: its rest need not be filled. */
static bool qcow2_rest_is_zero(const struct qcow2 *q, uint64_t old, uint64_t host)
{
    enum entry_kind kind = entry_kind(q, old);

    return !q->image.file->is_device && host >= q->written_end &&
           (kind == ENTRY_ZERO || (kind == ENTRY_NONE && !q->image.backing));
}

/* One stretch of new clusters: where it lies on the disk, and in the file. */
struct qcow2_extent {
    uint64_t offset, length; /* bytes written */
    const uint8_t *bytes;
    uint64_t host;  /* of the first cluster */
    uint64_t count; /* clusters */
};

/* Write the bytes and, in the first and last cluster, what surrounds them. */
static int qcow2_write_extent(struct qcow2 *q, const struct qcow2_extent *extent, uint64_t first_old,
                              uint64_t last_old)
{
    uint64_t head = extent->offset % q->cluster_size;
    uint64_t end = extent->offset + extent->length;
    uint64_t tail = ALIGN_UP(end, q->cluster_size) - end;
    uint64_t last_host = extent->host + ((extent->count - 1) << q->cluster_bits);
    struct iovec iov[3];
    int result = qcow2_check_overlap(q, extent->host, extent->count << q->cluster_bits);

    if (result == 0 && qcow2_rest_is_zero(q, first_old, extent->host)) {
        iov[0] = (struct iovec){.iov_base = q->scratch, .iov_len = 0};
    } else if (result == 0) {
        iov[0] = (struct iovec){.iov_base = q->scratch, .iov_len = head};
        result = qcow2_fill(q, extent->offset - head, q->scratch, head);
    }
    iov[1] = (struct iovec){.iov_base = (void *)(uintptr_t)extent->bytes, .iov_len = extent->length};
    iov[2] = (struct iovec){.iov_base = q->scratch + q->cluster_size, .iov_len = tail};
    if (result == 0 && qcow2_rest_is_zero(q, last_old, last_host)) {
        iov[2].iov_len = 0;
    } else if (result == 0) {
        result = qcow2_fill(q, end, q->scratch + q->cluster_size, tail);
    }
    return result < 0 ? result : qcow2_write_file(q, extent->host + head - iov[0].iov_len, iov, 3);
}

/* The L2 entries lead to the new clusters. */
static int qcow2_link_extent(struct qcow2 *q, const struct qcow2_extent *extent)
{
    struct qcow2_table *table;
    int result = qcow2_l2_writable(q, extent->offset, &table);
    uint32_t index = l2_index(q, extent->offset);

    for (uint64_t i = 0; i < extent->count && result == 0; i++) {
        uint64_t host = extent->host + (i << q->cluster_bits);

        qcow2_free_entry(q, table_entry(table, index + (uint32_t)i));
        store_be64(table->bytes + (index + i) * 8, host | QCOW2_COPIED);
    }
    if (result == 0) {
        qcow2_cache_mark(&q->l2_cache, table);
    }
    return result;
}

/* Clusters from `offset` on that cannot be written in place; the first one cannot. */
static uint64_t qcow2_count_new(const struct qcow2 *q, const struct qcow2_table *table, uint64_t offset,
                                uint64_t max)
{
    uint32_t index = l2_index(q, offset);
    uint64_t count = 1;

    max = MIN(max, l2_rest(q, offset));
    while (count < max && !entry_in_place(q, table_entry(table, index + (uint32_t)count))) {
        count++;
    }
    return count;
}

static int qcow2_write_new(struct qcow2 *q, uint64_t offset, const uint8_t *bytes, uint64_t length,
                           uint64_t *done)
{
    struct qcow2_extent extent = {.offset = offset, .bytes = bytes};
    struct qcow2_table *table;
    uint64_t first_old = 0, last_old = 0;
    int result = qcow2_l2_writable(q, offset, &table);

    if (result == 0) {
        result = qcow2_alloc(q, qcow2_count_new(q, table, offset, cluster_span(q, offset, length)),
                             &extent.host, &extent.count);
    }
    if (result < 0) {
        return result;
    }
    extent.length = MIN(length, (extent.count << q->cluster_bits) - offset % q->cluster_size);
    first_old = table_entry(table, l2_index(q, offset));
    last_old = table_entry(table, l2_index(q, offset) + (uint32_t)extent.count - 1);
    result = qcow2_write_extent(q, &extent, first_old, last_old);
    if (result == 0) {
        result = qcow2_link_extent(q, &extent);
    }
    if (result < 0) {
        qcow2_unalloc(q, extent.host, extent.count);
        return result;
    }
    *done = extent.length;
    return 0;
}

static int qcow2_write_in_place(struct qcow2 *q, uint64_t entry, uint64_t offset, const uint8_t *bytes,
                                uint64_t length)
{
    uint64_t host = (entry & QCOW2_OFFSET_MASK) + offset % q->cluster_size;
    int result = qcow2_check_overlap(q, host, length);

    return result < 0 ? result : qcow2_write_bytes(q, host, bytes, length);
}

static int qcow2_begin_change(struct qcow2 *q)
{
    int result = qcow2_begin_write(q);

    return result == 0 && q->free_count > SETTLE_FREES ? qcow2_settle(q) : result;
}

int qcow2_write(struct image *image, uint64_t offset, const uint8_t *bytes, uint64_t length)
{
    struct qcow2 *q = qcow2_of(image);
    int result = qcow2_begin_change(q);

    while (length > 0 && result == 0) {
        uint64_t entry, count, piece = 0;

        result = qcow2_map(q, offset, cluster_span(q, offset, length), &entry, &count);
        /* A table that snapshots use too makes all its clusters theirs, whatever its entries say. */
        if (result == 0 && entry_in_place(q, entry) && (q->l1[l1_index(q, offset)] & QCOW2_COPIED)) {
            piece = MIN(length, (count << q->cluster_bits) - offset % q->cluster_size);
            result = qcow2_write_in_place(q, entry, offset, bytes, piece);
        } else if (result == 0) {
            result = qcow2_write_new(q, offset, bytes, length, &piece);
        }
        offset += piece;
        bytes += piece;
        length -= piece;
    }
    return result;
}

/* ---- zeros ---- */

/* The entry of a cluster of zeros without a cluster of the file. */
static uint64_t qcow2_zero_entry(const struct qcow2 *q)
{
    return q->image.backing ? QCOW2_ZERO : 0;
}

/* Up to `max` whole clusters give up their data; *done says how many were looked at. */
static int qcow2_clear(struct qcow2 *q, uint64_t offset, uint64_t max, uint64_t *done)
{
    uint32_t index = l2_index(q, offset);
    struct qcow2_table *table;
    int result;

    *done = MIN(max, l2_rest(q, offset));
    if (!(q->l1[l1_index(q, offset)] & QCOW2_OFFSET_MASK) && !q->image.backing) {
        return 0;
    }
    result = qcow2_l2_writable(q, offset, &table);
    for (uint64_t i = 0; i < *done && result == 0; i++) {
        qcow2_free_entry(q, table_entry(table, index + (uint32_t)i));
        store_be64(table->bytes + (index + i) * 8, qcow2_zero_entry(q));
    }
    if (result == 0) {
        qcow2_cache_mark(&q->l2_cache, table);
    }
    return result;
}

/* Whole clusters of a range; the last one of the disk counts as whole when the range reaches its end. */
static uint64_t whole_clusters(const struct qcow2 *q, uint64_t offset, uint64_t length)
{
    uint64_t end = offset + length == q->image.size ? ALIGN_UP(q->image.size, q->cluster_size)
                                                    : ALIGN_DOWN(offset + length, q->cluster_size);

    return end > offset ? (end - offset) >> q->cluster_bits : 0;
}

static int qcow2_zero_part(struct qcow2 *q, uint64_t offset, uint64_t length)
{
    uint8_t *zeros;
    enum image_status status;
    uint64_t run;
    int result = image_contents(&q->image, offset, length, &status, &run);

    if (result < 0 || (status == IMAGE_ZERO && run == length)) {
        return result;
    }
    zeros = calloc(1, length);
    result = zeros ? qcow2_write(&q->image, offset, zeros, length) : -ENOMEM;
    free(zeros);
    return result;
}

int qcow2_zero(struct image *image, uint64_t offset, uint64_t length)
{
    struct qcow2 *q = qcow2_of(image);
    int result = qcow2_begin_change(q);

    if (q->version < 3 && q->image.backing) {
        return -ENOTSUP;
    }
    while (length > 0 && result == 0) {
        uint64_t in_cluster = offset % q->cluster_size;
        uint64_t whole = in_cluster ? 0 : whole_clusters(q, offset, length);
        uint64_t piece = MIN(length, q->cluster_size - in_cluster);

        if (whole) {
            result = qcow2_clear(q, offset, whole, &piece);
            piece = MIN(length, piece << q->cluster_bits);
        } else {
            result = qcow2_zero_part(q, offset, piece);
        }
        offset += piece;
        length -= piece;
    }
    return result;
}

int qcow2_discard(struct image *image, uint64_t offset, uint64_t length)
{
    struct qcow2 *q = qcow2_of(image);
    uint64_t start = ALIGN_UP(offset, q->cluster_size);
    uint64_t skipped = start - offset;
    uint64_t whole = skipped < length ? whole_clusters(q, start, length - skipped) : 0;
    int result = qcow2_begin_change(q);

    if (q->version < 3 && q->image.backing) {
        return result; /* no entry would say zeros, and the backing image's old bytes must not come back */
    }
    while (whole > 0 && result == 0) {
        uint64_t done = MIN(whole, l2_rest(q, start));

        if (q->l1[l1_index(q, start)] & QCOW2_OFFSET_MASK) {
            result = qcow2_clear(q, start, whole, &done);
        }
        start += done << q->cluster_bits;
        whole -= done;
    }
    return result;
}

/* ---- the whole disk ---- */

/* Free an L2 table and what it leads to. */
static int qcow2_drop_l2(struct qcow2 *q, uint32_t index)
{
    uint64_t offset = q->l1[index] & QCOW2_OFFSET_MASK;
    struct qcow2_table *table;
    int result = offset ? qcow2_l2_get(q, offset, &table) : 0;

    if (!offset || result < 0) {
        return result;
    }
    for (uint32_t i = 0; i < 1u << q->l2_bits; i++) {
        qcow2_free_entry(q, table_entry(table, i));
    }
    qcow2_cache_drop(&q->l2_cache, offset);
    qcow2_metadata_remove(q, offset, q->cluster_size);
    qcow2_free_later(q, offset, 1);
    qcow2_l1_set(q, index, 0);
    return 0;
}

int qcow2_empty(struct image *image)
{
    struct qcow2 *q = qcow2_of(image);
    int result = qcow2_begin_write(q);

    if (result == 0) {
        result = qcow2_settle(q);
    }
    for (uint32_t i = 0; i < q->l1_entries && result == 0; i++) {
        result = qcow2_drop_l2(q, i);
    }
    return result == 0 ? qcow2_settle(q) : result;
}

/* As qcow2_alloc(), all in one piece. */
static int qcow2_alloc_exact(struct qcow2 *q, uint64_t wanted, uint64_t *offset)
{
    uint64_t got, hint = q->free_hint;
    int result;

    q->free_hint = MAX(hint, (q->image.file->size + q->cluster_size - 1) >> q->cluster_bits);
    do {
        result = qcow2_alloc(q, wanted, offset, &got);
        if (result == 0 && got < wanted) {
            uint64_t next = q->free_hint;

            qcow2_unalloc(q, *offset, got);
            q->free_hint = next;
        }
    } while (result == 0 && got < wanted);
    q->free_hint = hint;
    return result;
}

/* A longer L1 table elsewhere, complete on disk before the header leads to it; size, length and place of the table
 * are neighbours in the header and change in one write. */
static int qcow2_write_new_l1(struct qcow2 *q, uint64_t size, const uint64_t *table, uint32_t entries,
                              uint64_t offset)
{
    uint8_t header[QCOW2_H_L1_OFFSET + 8 - QCOW2_H_SIZE] = {0};
    int result = qcow2_settle(q);

    if (result == 0) {
        result = qcow2_write_table(q, offset, table, 0, entries);
    }
    if (result == 0) {
        result = block_file_flush(q->image.file);
    }
    store_be64(header, size);
    store_be32(header + QCOW2_H_L1_SIZE - QCOW2_H_SIZE, entries);
    store_be64(header + QCOW2_H_L1_OFFSET - QCOW2_H_SIZE, offset);
    return result == 0 ? qcow2_write_bytes(q, QCOW2_H_SIZE, header, sizeof(header)) : result;
}

static int qcow2_grow_l1(struct qcow2 *q, uint64_t size, uint32_t entries)
{
    uint64_t bytes = ALIGN_UP((uint64_t)entries * 8, q->cluster_size);
    uint64_t old_bytes = ALIGN_UP((uint64_t)q->l1_entries * 8, q->cluster_size);
    uint64_t *table = calloc(entries, sizeof(*table));
    uint64_t offset = 0;
    int result = table ? qcow2_alloc_exact(q, bytes >> q->cluster_bits, &offset) : -ENOMEM;

    if (result < 0) {
        free(table);
        return result;
    }
    memcpy(table, q->l1, (uint64_t)q->l1_entries * 8);
    result = qcow2_metadata_add(q, offset, bytes, "the L1 table");
    if (result == 0) {
        result = qcow2_write_new_l1(q, size, table, entries, offset);
    }
    if (result < 0) { /* the clusters stay counted: a leak */
        free(table);
        return result;
    }
    qcow2_metadata_remove(q, q->l1_offset, old_bytes);
    qcow2_free_later(q, q->l1_offset, old_bytes >> q->cluster_bits);
    free(q->l1);
    q->l1 = table;
    q->l1_entries = entries;
    q->l1_offset = offset;
    return 0;
}

int qcow2_grow(struct image *image, uint64_t size)
{
    struct qcow2 *q = qcow2_of(image);
    uint64_t per_l2 = (uint64_t)1 << (q->cluster_bits + q->l2_bits);
    uint64_t entries = (size + per_l2 - 1) / per_l2;
    uint8_t bytes[8];
    int result = qcow2_begin_write(q);

    if (size < image->size || entries > QCOW2_MAX_L1 / 8) {
        return -EFBIG;
    }
    if (result == 0 && entries > q->l1_entries) {
        result = qcow2_grow_l1(q, size, (uint32_t)entries);
    } else if (result == 0) {
        store_be64(bytes, size);
        result = qcow2_write_bytes(q, QCOW2_H_SIZE, bytes, sizeof(bytes));
    }
    if (result == 0) {
        image->size = size;
    }
    return result;
}
