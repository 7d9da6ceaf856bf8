/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * qcow2: laying out an empty image. See vm/block_qcow2.h.
 *
 *   cluster 0 | 1 ...           | ...             | ...
 *   header    | refcount table  | refcount blocks | L1 table (zeros: nothing there)
 *
 * The header is written last: a file whose making was interrupted is no image at all.
 */
#include <errno.h>
#include <stdlib.h>

#include "vm/block_qcow2.h"

enum { DEFAULT_CLUSTER_BITS = 16, DEFAULT_REFCOUNT_BITS = 16 };

struct qcow2_layout {
    struct block_file *file;
    const struct image_create_options *options;
    uint32_t version, cluster_bits, cluster_size, refcount_order;
    uint64_t l1_entries;
    uint64_t reftable, blocks, l1, total; /* clusters each takes, and all */
};

static uint64_t clusters_for(const struct qcow2_layout *layout, uint64_t bytes)
{
    return (bytes + layout->cluster_size - 1) >> layout->cluster_bits;
}

/* As many blocks as count everything, themselves included. */
static void qcow2_plan_refcounts(struct qcow2_layout *layout)
{
    uint64_t per_block = ((uint64_t)layout->cluster_size * 8) >> layout->refcount_order;
    uint64_t before;

    do {
        before = layout->blocks + layout->reftable;
        layout->total = 1 + layout->reftable + layout->blocks + layout->l1;
        layout->blocks = (layout->total + per_block - 1) / per_block;
        layout->reftable = MAX(clusters_for(layout, layout->blocks * 8), (uint64_t)1);
    } while (before != layout->blocks + layout->reftable);
}

static int qcow2_plan(struct qcow2_layout *layout, const struct image_create_options *options,
                      struct error *error)
{
    uint32_t refcount_bits = options->refcount_bits ? options->refcount_bits : DEFAULT_REFCOUNT_BITS;
    uint64_t per_l2;

    layout->options = options;
    layout->version = options->version ? options->version : 3;
    layout->cluster_bits = options->cluster_bits ? options->cluster_bits : DEFAULT_CLUSTER_BITS;
    if (layout->cluster_bits < QCOW2_MIN_CLUSTER_BITS || layout->cluster_bits > QCOW2_MAX_CLUSTER_BITS) {
        return error_set(error, -EINVAL, "cluster_size must be a power of two from 512 to 2M");
    }
    if (refcount_bits > 64 || (refcount_bits & (refcount_bits - 1)) ||
        (layout->version == 2 && refcount_bits != 16)) {
        return error_set(error, -EINVAL,
                         "refcount_bits must be a power of two from 1 to 64 (compat=0.10: 16)");
    }
    if (layout->version == 2 && options->lazy_refcounts) {
        return error_set(error, -EINVAL, "lazy_refcounts needs compat=1.1");
    }
    layout->refcount_order = (uint32_t)__builtin_ctz(refcount_bits);
    layout->cluster_size = 1u << layout->cluster_bits;
    per_l2 = (uint64_t)1 << (2 * layout->cluster_bits - 3);
    layout->l1_entries = options->size / per_l2 + (options->size % per_l2 != 0);
    if (options->size > INT64_MAX || layout->l1_entries > QCOW2_MAX_L1 / 8) {
        return error_set(error, -EFBIG, "a disk of %llu bytes is too large for clusters of %u bytes",
                         (unsigned long long)options->size, layout->cluster_size);
    }
    layout->l1 = clusters_for(layout, layout->l1_entries * 8);
    qcow2_plan_refcounts(layout);
    return 0;
}

static int qcow2_write_refcounts(const struct qcow2_layout *layout, uint8_t *cluster)
{
    uint64_t per_block = ((uint64_t)layout->cluster_size * 8) >> layout->refcount_order;
    uint64_t first_block = 1 + layout->reftable;
    int result = 0;

    for (uint64_t i = 0; i < layout->blocks && result == 0; i++) {
        uint8_t entry[8];

        memset(cluster, 0, layout->cluster_size);
        for (uint64_t j = 0; j < per_block && i * per_block + j < layout->total; j++) {
            qcow2_refcount_write(cluster, layout->refcount_order, j, 1);
        }
        result = block_file_write(layout->file, (first_block + i) << layout->cluster_bits, cluster,
                                  layout->cluster_size);
        store_be64(entry, (first_block + i) << layout->cluster_bits);
        if (result == 0) {
            result = block_file_write(layout->file, layout->cluster_size + i * 8, entry, sizeof(entry));
        }
    }
    return result;
}

/* The backing file's format as an extension behind the header, the end of extensions, then its name. */
static int qcow2_put_backing(const struct qcow2_layout *layout, uint8_t *cluster, uint32_t at,
                             struct error *error)
{
    const char *name = layout->options->backing;
    const char *format = layout->options->backing_format;
    size_t name_length = name ? strlen(name) : 0;
    size_t format_length = format ? strlen(format) : 0;

    if (!name) {
        return 0; /* zeros: the end of extensions */
    }
    if (name_length > IMAGE_NAME_MAX ||
        at + 8 + ALIGN_UP(format_length, 8) + 8 + name_length > layout->cluster_size) {
        return error_set(error, -ENAMETOOLONG, "the backing file's name is too long");
    }
    store_be32(cluster + at, QCOW2_EXT_BACKING_FORMAT);
    store_be32(cluster + at + 4, (uint32_t)format_length);
    memcpy(cluster + at + 8, format, format_length);
    at += 8 + (uint32_t)ALIGN_UP(format_length, 8) + 8;
    memcpy(cluster + at, name, name_length);
    store_be64(cluster + QCOW2_H_BACKING_OFFSET, at);
    store_be32(cluster + QCOW2_H_BACKING_SIZE, (uint32_t)name_length);
    return 0;
}

static int qcow2_put_header(const struct qcow2_layout *layout, uint8_t *cluster, struct error *error)
{
    uint64_t l1_offset = (1 + layout->reftable + layout->blocks) << layout->cluster_bits;
    bool v3 = layout->version == 3;

    memset(cluster, 0, layout->cluster_size);
    store_be32(cluster + QCOW2_H_MAGIC, QCOW2_MAGIC);
    store_be32(cluster + QCOW2_H_VERSION, layout->version);
    store_be32(cluster + QCOW2_H_CLUSTER_BITS, layout->cluster_bits);
    store_be64(cluster + QCOW2_H_SIZE, layout->options->size);
    store_be32(cluster + QCOW2_H_L1_SIZE, (uint32_t)layout->l1_entries);
    store_be64(cluster + QCOW2_H_L1_OFFSET, layout->l1_entries ? l1_offset : 0);
    store_be64(cluster + QCOW2_H_REFTABLE_OFFSET, layout->cluster_size);
    store_be32(cluster + QCOW2_H_REFTABLE_CLUSTERS, (uint32_t)layout->reftable);
    if (v3) {
        store_be64(cluster + QCOW2_H_COMPATIBLE, layout->options->lazy_refcounts ? QCOW2_COMPAT_LAZY : 0);
        store_be32(cluster + QCOW2_H_REFCOUNT_ORDER, layout->refcount_order);
        store_be32(cluster + QCOW2_H_LENGTH, QCOW2_HEADER_V3);
    }
    return qcow2_put_backing(layout, cluster, v3 ? QCOW2_HEADER_V3 : QCOW2_HEADER_V2, error);
}

int image_qcow2_create(struct block_file *file, const struct image_create_options *options,
                       struct error *error)
{
    struct qcow2_layout layout = {.file = file};
    uint8_t *cluster;
    int result = qcow2_plan(&layout, options, error);

    if (result < 0) {
        return error_prefix(error, result, "'%s'", file->path);
    }
    cluster = malloc(layout.cluster_size);
    if (!cluster) {
        return error_set(error, -ENOMEM, "out of memory");
    }
    result = block_file_truncate(file, layout.total << layout.cluster_bits);
    if (result == 0) {
        result = qcow2_write_refcounts(&layout, cluster);
    }
    if (result == 0) {
        result = block_file_flush(file);
    }
    if (result < 0) {
        error_set(error, result, "cannot write '%s': %s", file->path, strerror(-result));
    } else {
        result = qcow2_put_header(&layout, cluster, error);
        if (result == 0) {
            result = block_file_write(file, 0, cluster, layout.cluster_size);
            if (result == 0) {
                result = block_file_flush(file);
            }
            if (result < 0) {
                error_set(error, result, "cannot write '%s': %s", file->path, strerror(-result));
            }
        }
    }
    free(cluster);
    return result;
}
