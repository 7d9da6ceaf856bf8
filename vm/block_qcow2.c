/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * qcow2: the header, opening, and the order of writing. See vm/block_qcow2.h.
 *
 * Everything a header says is checked before it is believed: an image may come from anywhere. Lengths are bounded before
 * memory is taken for them, and no two tables may lie in the same cluster.
 *
 * Not modelled: encryption, external data files, extended L2 entries: images with them are refused by name.
 */
#include "vm/block_qcow2.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>

enum { SNAPSHOT_HEADER = 40, TABLE_PIECE = 8192 };

/* ---- writing the file ---- */

int qcow2_write_file(struct qcow2 *q, uint64_t offset, const struct iovec *iov, unsigned count)
{
    uint64_t end = offset;

    for (unsigned i = 0; i < count; i++) {
        end += iov[i].iov_len;
    }
    q->written_end = MAX(q->written_end, end); /* before: a failed write may have written some */
    return block_file_writev(q->image.file, offset, iov, count);
}

int qcow2_write_bytes(struct qcow2 *q, uint64_t offset, const void *bytes, size_t length)
{
    struct iovec iov = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = length};

    return qcow2_write_file(q, offset, &iov, 1);
}

uint64_t *qcow2_read_table(struct qcow2 *q, uint64_t offset, uint32_t entries, int *result)
{
    uint64_t *table = malloc(MAX((size_t)entries, (size_t)1) * sizeof(*table));

    *result = table ? block_file_read(q->image.file, offset, table, (size_t)entries * 8) : -ENOMEM;
    if (*result < 0) {
        free(table);
        return NULL;
    }
    for (uint32_t i = 0; i < entries; i++) {
        table[i] = load_be64(&table[i]);
    }
    return table;
}

int qcow2_write_table(struct qcow2 *q, uint64_t offset, const uint64_t *table, uint32_t first, uint32_t end)
{
    uint8_t bytes[TABLE_PIECE];
    int result = 0;

    while (first < end && result == 0) {
        uint32_t count = MIN(end - first, (uint32_t)TABLE_PIECE / 8);

        for (uint32_t i = 0; i < count; i++) {
            store_be64(bytes + (size_t)i * 8, table[first + i]);
        }
        result = qcow2_write_bytes(q, offset + (uint64_t)first * 8, bytes, (size_t)count * 8);
        first += count;
    }
    return result;
}

int qcow2_set_incompatible(struct qcow2 *q, uint64_t bits)
{
    uint8_t bytes[8];
    int result;

    store_be64(bytes, bits);
    result = qcow2_write_bytes(q, QCOW2_H_INCOMPATIBLE, bytes, sizeof(bytes));
    if (result == 0) {
        q->incompatible = bits;
    }
    return result;
}

int qcow2_mark_corrupt(struct qcow2 *q, const char *format, ...)
{
    va_list args;

    if (q->corrupt) {
        return -EIO;
    }
    va_start(args, format);
    vsnprintf(q->image.problem, sizeof(q->image.problem), format, args);
    va_end(args);
    q->corrupt = true;
    if (q->loaded && q->image.writable && q->version >= 3) {
        qcow2_set_incompatible(q, q->incompatible | QCOW2_INCOMPAT_CORRUPT);
    }
    return -EIO;
}

/* Features of autoclear bits we do not keep up with the disk's contents are given up. */
int qcow2_begin_write(struct qcow2 *q)
{
    uint8_t zeros[8] = {0};
    int result = 0;

    if (q->corrupt) {
        return -EIO;
    }
    if (!q->autoclear_done && q->autoclear) {
        result = qcow2_write_bytes(q, QCOW2_H_AUTOCLEAR, zeros, sizeof(zeros));
        if (result == 0) {
            result = block_file_flush(q->image.file);
        }
        if (result < 0) {
            return result;
        }
        q->autoclear = 0;
    }
    q->autoclear_done = true;
    return result;
}

/* ---- the order ---- */

/* Step 2: what the table is to lead to is on disk. */
static int qcow2_settle_reftable(struct qcow2 *q)
{
    int result;

    if (q->reftable_dirty_first == q->reftable_dirty_end) {
        return 0;
    }
    result = block_file_flush(q->image.file);
    if (result == 0) {
        result = qcow2_write_table(q, q->reftable_offset, q->reftable, q->reftable_dirty_first,
                                   q->reftable_dirty_end);
    }
    if (result == 0) {
        q->reftable_dirty_first = q->reftable_dirty_end = 0;
    }
    return result;
}

/* Steps 3 and 4. */
static int qcow2_settle_maps(struct qcow2 *q)
{
    bool l1_dirty = q->l1_dirty_first != q->l1_dirty_end;
    int result = 0;

    if (q->l2_cache.dirty || l1_dirty) {
        result = block_file_flush(q->image.file);
    }
    if (result == 0) {
        result = qcow2_cache_write(q, &q->l2_cache);
    }
    if (result == 0 && l1_dirty) {
        result = block_file_flush(q->image.file);
        if (result == 0) {
            result = qcow2_write_table(q, q->l1_offset, q->l1, q->l1_dirty_first, q->l1_dirty_end);
        }
        if (result == 0) {
            q->l1_dirty_first = q->l1_dirty_end = 0;
        }
    }
    return result;
}

int qcow2_settle(struct qcow2 *q)
{
    int result;

    if (q->corrupt) {
        return -EIO;
    }
    result = qcow2_cache_write(q, &q->refcount_cache);
    if (result == 0) {
        result = qcow2_settle_reftable(q);
    }
    if (result == 0) {
        result = qcow2_settle_maps(q);
    }
    if (result == 0 && q->free_count) {
        result = block_file_flush(q->image.file);
        if (result == 0) {
            result = qcow2_apply_frees(q);
        }
        if (result == 0) {
            result = qcow2_cache_write(q, &q->refcount_cache);
        }
    }
    return result;
}

static int qcow2_image_settle(struct image *image)
{
    return qcow2_settle(qcow2_of(image));
}

static int qcow2_image_flush(struct image *image)
{
    int result = qcow2_settle(qcow2_of(image));

    return result == 0 ? block_file_flush(image->file) : result;
}

/* ---- the header ---- */

static int qcow2_refuse(struct qcow2 *q, struct error *error, const char *why)
{
    return error_set(error, -EINVAL, "'%s' %s", q->image.file->path, why);
}

static int qcow2_check_features(struct qcow2 *q, unsigned flags, struct error *error)
{
    uint64_t known = QCOW2_INCOMPAT_DIRTY | QCOW2_INCOMPAT_CORRUPT | QCOW2_INCOMPAT_COMPRESSION;

    if (q->incompatible & QCOW2_INCOMPAT_DATA_FILE) {
        return qcow2_refuse(q, error, "keeps its data in an external file, which is not supported");
    }
    if (q->incompatible & QCOW2_INCOMPAT_EXTENDED_L2) {
        return qcow2_refuse(q, error, "has extended L2 entries (subclusters), which are not supported");
    }
    if (q->incompatible & ~known) {
        return error_set(error, -ENOTSUP, "'%s' has features this version does not know (%#llx)",
                         q->image.file->path, (unsigned long long)(q->incompatible & ~known));
    }
    if (q->compression > QCOW2_ZSTD || (q->compression && !(q->incompatible & QCOW2_INCOMPAT_COMPRESSION))) {
        return qcow2_refuse(q, error, "is compressed by an unknown method");
    }
    if ((q->incompatible & QCOW2_INCOMPAT_CORRUPT) && q->image.writable && !(flags & IMAGE_REPAIR)) {
        return qcow2_refuse(q, error,
                            "is marked corrupt; it can be read (readonly=on), or mended with: "
                            "hypatia img check -r all");
    }
    return 0;
}

static int qcow2_parse_header(struct qcow2 *q, const uint8_t *header, struct error *error)
{
    q->version = load_be32(header + QCOW2_H_VERSION);
    if (load_be32(header + QCOW2_H_MAGIC) != QCOW2_MAGIC) {
        return qcow2_refuse(q, error, "is not a qcow2 image; if it is a raw one, say format=raw");
    }
    if (q->version != 2 && q->version != 3) {
        return error_set(error, -ENOTSUP, "'%s' is qcow2 version %u; 2 and 3 are supported",
                         q->image.file->path, q->version);
    }
    q->cluster_bits = load_be32(header + QCOW2_H_CLUSTER_BITS);
    if (q->cluster_bits < QCOW2_MIN_CLUSTER_BITS || q->cluster_bits > QCOW2_MAX_CLUSTER_BITS) {
        return qcow2_refuse(q, error, "has an impossible cluster size");
    }
    q->cluster_size = 1u << q->cluster_bits;
    q->l2_bits = q->cluster_bits - 3;
    q->image.size = load_be64(header + QCOW2_H_SIZE);
    q->refcount_order = 4;
    q->header_length = QCOW2_HEADER_V2;
    if (q->version == 3) {
        q->incompatible = load_be64(header + QCOW2_H_INCOMPATIBLE);
        q->compatible = load_be64(header + QCOW2_H_COMPATIBLE);
        q->autoclear = load_be64(header + QCOW2_H_AUTOCLEAR);
        q->refcount_order = load_be32(header + QCOW2_H_REFCOUNT_ORDER);
        q->header_length = load_be32(header + QCOW2_H_LENGTH);
        q->compression = q->header_length > QCOW2_H_COMPRESSION ? header[QCOW2_H_COMPRESSION] : 0;
    }
    if (load_be32(header + QCOW2_H_CRYPT)) {
        return qcow2_refuse(q, error, "is encrypted, which is not supported");
    }
    if (q->header_length < (q->version == 3 ? QCOW2_HEADER_V3 : QCOW2_HEADER_V2) ||
        q->header_length > q->cluster_size || q->refcount_order > 6 || q->image.size > INT64_MAX) {
        return qcow2_refuse(q, error, "has a damaged header");
    }
    return 0;
}

/* A table: aligned, and where the file could have it. The file's last cluster may be cut short. */
static bool qcow2_table_fits(const struct qcow2 *q, uint64_t offset, uint64_t bytes, uint64_t most)
{
    uint64_t end = ALIGN_UP(q->image.file->size, q->cluster_size);

    return bytes <= most && offset % q->cluster_size == 0 && (offset || !bytes) && offset <= end &&
           bytes <= end - offset;
}

static int qcow2_load_l1(struct qcow2 *q, const uint8_t *header, struct error *error)
{
    uint64_t per_l2 = (uint64_t)1 << (q->cluster_bits + q->l2_bits);
    uint64_t needed = q->image.size / per_l2 + (q->image.size % per_l2 != 0);
    uint32_t entries = load_be32(header + QCOW2_H_L1_SIZE);
    int result;

    q->l1_offset = load_be64(header + QCOW2_H_L1_OFFSET);
    if (entries < needed || !qcow2_table_fits(q, q->l1_offset, (uint64_t)entries * 8, QCOW2_MAX_L1)) {
        return qcow2_refuse(q, error, "has an L1 table that is too short, too long or misplaced");
    }
    q->l1 = qcow2_read_table(q, q->l1_offset, entries, &result);
    if (!q->l1) {
        return error_set(error, result, "cannot read '%s': %s", q->image.file->path, strerror(-result));
    }
    q->l1_entries = entries;
    return 0;
}

static int qcow2_load_reftable(struct qcow2 *q, const uint8_t *header, struct error *error)
{
    uint64_t bytes = (uint64_t)load_be32(header + QCOW2_H_REFTABLE_CLUSTERS) << q->cluster_bits;
    int result;

    q->reftable_offset = load_be64(header + QCOW2_H_REFTABLE_OFFSET);
    if (bytes == 0 || !qcow2_table_fits(q, q->reftable_offset, bytes, QCOW2_MAX_REFTABLE)) {
        return qcow2_refuse(q, error, "has a refcount table that is too long or misplaced");
    }
    q->reftable = qcow2_read_table(q, q->reftable_offset, (uint32_t)(bytes / 8), &result);
    if (!q->reftable) {
        return error_set(error, result, "cannot read '%s': %s", q->image.file->path, strerror(-result));
    }
    q->reftable_entries = (uint32_t)(bytes / 8);
    return 0;
}

/* One entry of the snapshot table; *offset moves on behind it. */
static int qcow2_load_snapshot(struct qcow2 *q, struct qcow2_snapshot *snapshot, uint64_t *offset)
{
    uint8_t bytes[SNAPSHOT_HEADER];
    int result = block_file_read(q->image.file, *offset, bytes, sizeof(bytes));

    if (result < 0) {
        return result;
    }
    snapshot->l1_offset = load_be64(bytes);
    snapshot->l1_entries = load_be32(bytes + 8);
    *offset += ALIGN_UP(
        (uint64_t)SNAPSHOT_HEADER + load_be32(bytes + 36) + load_be16(bytes + 12) + load_be16(bytes + 14), 8);
    return qcow2_table_fits(q, snapshot->l1_offset, (uint64_t)snapshot->l1_entries * 8, QCOW2_MAX_L1) &&
                   *offset <= ALIGN_UP(q->image.file->size, q->cluster_size)
               ? 0
               : -EINVAL;
}

static int qcow2_load_snapshots(struct qcow2 *q, const uint8_t *header, struct error *error)
{
    uint32_t count = load_be32(header + QCOW2_H_SNAPSHOTS);
    uint64_t offset = load_be64(header + QCOW2_H_SNAPSHOTS_OFFSET);
    int result = 0;

    if (count == 0) {
        return 0;
    }
    if (count > QCOW2_MAX_SNAPSHOTS || !qcow2_table_fits(q, offset, 1, 1)) {
        return qcow2_refuse(q, error, "has a snapshot table that is too long or misplaced");
    }
    q->snapshots = calloc(count, sizeof(*q->snapshots));
    if (!q->snapshots) {
        return error_set(error, -ENOMEM, "out of memory");
    }
    q->snapshots_offset = offset;
    for (uint32_t i = 0; i < count && result == 0; i++) {
        result = qcow2_load_snapshot(q, &q->snapshots[i], &offset);
    }
    q->snapshot_count = count;
    q->snapshots_length = offset - q->snapshots_offset;
    return result < 0 ? qcow2_refuse(q, error, "has a damaged snapshot table") : 0;
}

static char *copy_text(const uint8_t *bytes, uint32_t length)
{
    char *text = memchr(bytes, '\0', length) ? NULL : malloc((size_t)length + 1);

    if (text) {
        memcpy(text, bytes, length);
        text[length] = '\0';
    }
    return text;
}

static int qcow2_parse_extension(struct qcow2 *q, uint32_t type, const uint8_t *bytes, uint32_t length,
                                 struct error *error)
{
    if (type == QCOW2_EXT_BITMAPS && (q->autoclear & QCOW2_AUTOCLEAR_BITMAPS)) {
        q->has_bitmaps = true;
    }
    if (type != QCOW2_EXT_BACKING_FORMAT || q->image.backing_format || !q->image.backing_name) {
        return 0;
    }
    q->image.backing_format = copy_text(bytes, length);
    return q->image.backing_format ? 0 : qcow2_refuse(q, error, "has a damaged backing format");
}

/* The first cluster behind the header: extensions (type, length, bytes, padded to 8), then the backing file's name. */
static int qcow2_parse_extensions(struct qcow2 *q, const uint8_t *cluster, uint32_t end, struct error *error)
{
    uint32_t at = (uint32_t)ALIGN_UP(q->header_length, 8);
    int result = 0;

    while (result == 0 && at + 8 <= end) {
        uint32_t type = load_be32(cluster + at);
        uint32_t length = load_be32(cluster + at + 4);

        if (type == QCOW2_EXT_END) {
            break;
        }
        at += 8;
        if (length > end - at) {
            return qcow2_refuse(q, error, "has a header extension that does not fit");
        }
        result = qcow2_parse_extension(q, type, cluster + at, length, error);
        at += (uint32_t)MIN(ALIGN_UP((uint64_t)length, 8), (uint64_t)(end - at));
    }
    return result;
}

static int qcow2_parse_backing(struct qcow2 *q, const uint8_t *cluster, struct error *error)
{
    uint64_t offset = load_be64(cluster + QCOW2_H_BACKING_OFFSET);
    uint32_t length = load_be32(cluster + QCOW2_H_BACKING_SIZE);
    uint32_t end = q->cluster_size;

    if (offset) {
        if (length == 0 || length > IMAGE_NAME_MAX || offset < q->header_length || offset > q->cluster_size ||
            length > q->cluster_size - offset) {
            return qcow2_refuse(q, error, "has a damaged backing file name");
        }
        q->image.backing_name = copy_text(cluster + offset, length);
        if (!q->image.backing_name) {
            return qcow2_refuse(q, error, "has a damaged backing file name");
        }
        end = (uint32_t)offset;
    }
    return qcow2_parse_extensions(q, cluster, end, error);
}

/* ---- describing ---- */

static void qcow2_describe(struct image *image, FILE *out, const char *indent)
{
    const struct qcow2 *q = qcow2_of(image);

    fprintf(out, "%scompat: %s\n", indent, q->version == 2 ? "0.10" : "1.1");
    fprintf(out, "%scompression type: %s\n", indent, q->compression == QCOW2_ZSTD ? "zstd" : "zlib");
    fprintf(out, "%slazy refcounts: %s\n", indent, q->compatible & QCOW2_COMPAT_LAZY ? "true" : "false");
    fprintf(out, "%srefcount bits: %u\n", indent, 1u << q->refcount_order);
    fprintf(out, "%scorrupt: %s\n", indent, q->incompatible & QCOW2_INCOMPAT_CORRUPT ? "true" : "false");
    if (q->snapshot_count) {
        fprintf(out, "%sinternal snapshots: %u\n", indent, q->snapshot_count);
    }
    if (q->incompatible & QCOW2_INCOMPAT_DIRTY) {
        fprintf(out, "%srefcounts: not up to date (mended when next opened for writing)\n", indent);
    }
}

/* ---- opening ---- */

static void qcow2_fini(struct image *image)
{
    struct qcow2 *q = qcow2_of(image);

    qcow2_cache_fini(&q->l2_cache);
    qcow2_cache_fini(&q->refcount_cache);
    free(q->l1);
    free(q->reftable);
    free(q->snapshots);
    free(q->metadata.slots);
    free(q->frees);
    free(q->scratch);
    free(q->unpacked);
}

static const struct image_ops qcow2_ops = {
    .format = "qcow2",
    .read = qcow2_read,
    .write = qcow2_write,
    .zero = qcow2_zero,
    .discard = qcow2_discard,
    .flush = qcow2_image_flush,
    .settle = qcow2_image_settle,
    .status = qcow2_status,
    .empty = qcow2_empty,
    .grow = qcow2_grow,
    .check = qcow2_check,
    .describe = qcow2_describe,
    .fini = qcow2_fini,
};

static int qcow2_alloc_buffers(struct qcow2 *q, struct error *error)
{
    q->scratch = malloc((size_t)q->cluster_size * 2);
    q->unpacked = malloc(q->cluster_size);
    if (!q->scratch || !q->unpacked || qcow2_cache_init(&q->l2_cache, q->cluster_size) < 0 ||
        qcow2_cache_init(&q->refcount_cache, q->cluster_size) < 0) {
        return error_set(error, -ENOMEM, "out of memory");
    }
    return 0;
}

static int qcow2_load_header(struct qcow2 *q, unsigned flags, struct error *error)
{
    uint8_t header[QCOW2_H_COMPRESSION + 8];
    uint8_t *cluster;
    int result = block_file_read(q->image.file, 0, header, sizeof(header));

    if (result < 0) {
        return error_set(error, result, "cannot read '%s': %s", q->image.file->path, strerror(-result));
    }
    result = qcow2_parse_header(q, header, error);
    if (result == 0) {
        result = qcow2_check_features(q, flags, error);
    }
    if (result < 0) {
        return result;
    }
    cluster = malloc(q->cluster_size);
    result = cluster ? block_file_read(q->image.file, 0, cluster, q->cluster_size) : -ENOMEM;
    if (result < 0) {
        error_set(error, result, "cannot read '%s': %s", q->image.file->path, strerror(-result));
    } else {
        result = qcow2_parse_backing(q, cluster, error);
    }
    free(cluster);
    if (result == 0) {
        result = qcow2_load_l1(q, header, error);
    }
    if (result == 0) {
        result = qcow2_load_reftable(q, header, error);
    }
    return result == 0 ? qcow2_load_snapshots(q, header, error) : result;
}

/* An image whose counts are out of date (lazy refcounts after a crash) gets them from its tables. */
static int qcow2_mend_dirty(struct qcow2 *q, struct error *error)
{
    struct image_report report = {0};
    int result = qcow2_check(&q->image, IMAGE_FIX_LEAKS | IMAGE_FIX_ALL, &report, error);

    if (result == 0 && (report.errors > 0 || report.leaks > 0)) {
        result = qcow2_refuse(q, error, "was not closed and cannot be mended; see: hypatia img check");
    }
    return result;
}

static int qcow2_load(struct qcow2 *q, unsigned flags, struct error *error)
{
    int result = qcow2_load_header(q, flags, error);

    if (result == 0) {
        result = qcow2_alloc_buffers(q, error);
    }
    if (result < 0) {
        return result;
    }
    q->written_end = ALIGN_UP(q->image.file->size, q->cluster_size);
    q->image.cluster_size = q->cluster_size;
    /* Reading needs no trust in the counts and the tables' places; a reader just gets what the tables say. */
    if (q->image.writable && qcow2_metadata_load(q) < 0) {
        return error_set(error, -EINVAL, "'%s' is corrupt: %s (see: hypatia img check)", q->image.file->path,
                         *q->image.problem ? q->image.problem : "out of memory");
    }
    q->loaded = true;
    if (q->image.writable && (q->incompatible & QCOW2_INCOMPAT_DIRTY) && !(flags & IMAGE_REPAIR)) {
        return qcow2_mend_dirty(q, error);
    }
    return 0;
}

struct image *image_qcow2_open(struct block_file *file, unsigned flags, struct error *error)
{
    struct qcow2 *q = calloc(1, sizeof(*q));

    if (!q) {
        error_set(error, -ENOMEM, "out of memory");
        return NULL;
    }
    q->image.ops = &qcow2_ops;
    q->image.file = file;
    q->image.flags = flags;
    q->image.writable = file->writable;
    if (qcow2_load(q, flags, error) < 0) {
        qcow2_fini(&q->image);
        free(q->image.backing_name);
        free(q->image.backing_format);
        free(q);
        return NULL;
    }
    return &q->image;
}
