/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * qcow2, versions 2 and 3: what the files vm/block_qcow2*.c share. Source: the format's specification
 * (docs/interop/qcow2.txt of the QEMU project). All numbers in the file are big-endian.
 *
 * The disk is cut into clusters (512 bytes to 2 MiB, usually 64 KiB). Two levels of tables lead to each:
 *
 *   offset on the disk:  | L1 index | L2 index (cluster_bits - 3 bits) | offset in the cluster |
 *
 *   header --> L1 table --> L2 table --> data cluster, or nothing: zeros or the backing image's bytes
 *          --> refcount table --> refcount block: how often each cluster of the FILE is used
 *          --> snapshot table --> L1 table of each internal snapshot
 *
 *   L1 entry   63 COPIED (refcount is 1) | 55..9 offset of the L2 table
 *   L2 entry   63 COPIED | 62 compressed | 55..9 offset of the data cluster | 0 reads as zeros (version 3)
 *   compressed 61..x length in sectors behind the first | x-1..0 offset in bytes, x = 62 - (cluster_bits - 8)
 *
 * Writing never overwrites what a table on disk leads to, unless it is this disk's alone (COPIED). Tables are
 * changed in memory and written by qcow2_settle() in this order, each step complete before the next:
 *
 *   1. data clusters, refcount blocks       clusters are counted before anything leads to them
 *   2. refcount table
 *   3. L2 tables                            the disk's contents change here
 *   4. L1 table
 *   5. counts of clusters nobody leads to any more go down; only from now on are they used again
 *
 * So whenever the process is killed, every cluster in use has its count, and at worst some are counted that are not
 * in use (leaks). docs/block.md explains it at length.
 */
#ifndef VM_BLOCK_QCOW2_H
#define VM_BLOCK_QCOW2_H

#include "vm/block_image.h"

#define QCOW2_MAGIC 0x514649fbu /* "QFI" and 0xfb */

enum {
    QCOW2_HEADER_V2 = 72, /* bytes */
    QCOW2_HEADER_V3 = 104,
    QCOW2_MIN_CLUSTER_BITS = 9,
    QCOW2_MAX_CLUSTER_BITS = 21,
    QCOW2_MAX_SNAPSHOTS = 65536,
};
/* Bounds on what a header may make us allocate, bytes. */
#define QCOW2_MAX_L1       (32 * MIB)
#define QCOW2_MAX_REFTABLE (8 * MIB)

/* Byte offsets in the header. */
enum {
    QCOW2_H_MAGIC = 0,
    QCOW2_H_VERSION = 4,
    QCOW2_H_BACKING_OFFSET = 8,
    QCOW2_H_BACKING_SIZE = 16,
    QCOW2_H_CLUSTER_BITS = 20,
    QCOW2_H_SIZE = 24,
    QCOW2_H_CRYPT = 32,
    QCOW2_H_L1_SIZE = 36,
    QCOW2_H_L1_OFFSET = 40,
    QCOW2_H_REFTABLE_OFFSET = 48,
    QCOW2_H_REFTABLE_CLUSTERS = 56,
    QCOW2_H_SNAPSHOTS = 60,
    QCOW2_H_SNAPSHOTS_OFFSET = 64,
    QCOW2_H_INCOMPATIBLE = 72, /* from here on version 3 */
    QCOW2_H_COMPATIBLE = 80,
    QCOW2_H_AUTOCLEAR = 88,
    QCOW2_H_REFCOUNT_ORDER = 96,
    QCOW2_H_LENGTH = 100,
    QCOW2_H_COMPRESSION = 104,
};

#define QCOW2_INCOMPAT_DIRTY       BIT(0)
#define QCOW2_INCOMPAT_CORRUPT     BIT(1)
#define QCOW2_INCOMPAT_DATA_FILE   BIT(2)
#define QCOW2_INCOMPAT_COMPRESSION BIT(3)
#define QCOW2_INCOMPAT_EXTENDED_L2 BIT(4)
#define QCOW2_COMPAT_LAZY          BIT(0)
#define QCOW2_AUTOCLEAR_BITMAPS    BIT(0)

/* Header extensions. */
#define QCOW2_EXT_END            0u
#define QCOW2_EXT_BACKING_FORMAT 0xe2792acau
#define QCOW2_EXT_FEATURE_NAMES  0x6803f857u
#define QCOW2_EXT_BITMAPS        0x23852875u

#define QCOW2_COPIED      BIT(63)
#define QCOW2_COMPRESSED  BIT(62)
#define QCOW2_ZERO        BIT(0)
#define QCOW2_OFFSET_MASK BITS(55, 9)

enum { QCOW2_ZLIB = 0, QCOW2_ZSTD = 1 };

/* A cache of tables as they are in the file: L2 tables, or refcount blocks. All are one cluster long. */
struct qcow2_table {
    uint64_t offset; /* in the file; 0: unused */
    uint8_t *bytes;  /* owned; NULL until first used */
    bool dirty;
    uint64_t used; /* for choosing the oldest */
};

struct qcow2_cache {
    struct qcow2_table *tables; /* owned */
    unsigned count;
    unsigned last; /* the one used last */
    bool dirty;    /* any is */
};

/* Clusters to be given up, by one use each, once nothing on disk leads to them. */
struct qcow2_free {
    uint64_t cluster, count;
};

struct qcow2_snapshot {
    uint64_t l1_offset;
    uint32_t l1_entries;
};

/* A set of cluster numbers, by open addressing. */
struct qcow2_set {
    uint64_t *slots; /* number + 1; 0: empty */
    size_t capacity, count;
};

struct qcow2 {
    struct image image; /* first */
    uint32_t version, cluster_bits, cluster_size;
    uint32_t l2_bits;        /* log2 of the entries of an L2 table */
    uint32_t refcount_order; /* log2 of the bits of a count */
    uint32_t header_length;
    uint64_t incompatible, compatible, autoclear;
    uint8_t compression;
    bool has_bitmaps;
    bool loaded;         /* opening is through */
    bool corrupt;        /* something does not fit together: no more writes */
    bool autoclear_done; /* the bits of features we do not keep up are cleared in the file */
    bool repairing;      /* counts are not to be trusted: `in_use` is */

    uint64_t *l1; /* owned, as numbers */
    uint32_t l1_entries;
    uint64_t l1_offset;
    uint32_t l1_dirty_first, l1_dirty_end; /* entries changed since they were written; equal: none */

    uint64_t *reftable; /* owned, as numbers */
    uint32_t reftable_entries;
    uint64_t reftable_offset;
    uint32_t reftable_dirty_first, reftable_dirty_end;

    struct qcow2_cache l2_cache, refcount_cache;

    struct qcow2_snapshot *snapshots; /* owned */
    uint32_t snapshot_count;
    uint64_t snapshots_offset, snapshots_length;

    struct qcow2_set metadata; /* clusters that hold the header and tables: guest data must never go there */

    struct qcow2_free *frees; /* owned */
    size_t free_count, free_capacity;
    uint64_t free_hint;     /* no free cluster below this number */
    uint64_t written_end;   /* nothing in the file behind this byte was ever written: it reads as zeros */
    const uint32_t *in_use; /* while repairing: uses found of each cluster, borrowed */
    uint64_t in_use_count;
    uint64_t clock; /* of the caches */

    uint8_t *scratch;        /* two clusters: rests of clusters that are written in part */
    uint8_t *unpacked;       /* one cluster: the last compressed one read */
    uint64_t unpacked_entry; /* its L2 entry; 0: none */
};

static inline uint16_t load_be16(const void *p)
{
    return __builtin_bswap16(load_le16(p));
}

static inline uint32_t load_be32(const void *p)
{
    return __builtin_bswap32(load_le32(p));
}

static inline uint64_t load_be64(const void *p)
{
    return __builtin_bswap64(load_le64(p));
}

static inline void store_be16(void *p, uint16_t v)
{
    store_le16(p, __builtin_bswap16(v));
}

static inline void store_be32(void *p, uint32_t v)
{
    store_le32(p, __builtin_bswap32(v));
}

static inline void store_be64(void *p, uint64_t v)
{
    store_le64(p, __builtin_bswap64(v));
}

static inline struct qcow2 *qcow2_of(struct image *image)
{
    return CONTAINER_OF(image, struct qcow2, image);
}

/* ---- block_qcow2.c ---- */

/* Write to the file, remembering how far it was ever written. */
int qcow2_write_file(struct qcow2 *q, uint64_t offset, const struct iovec *iov, unsigned count);
int qcow2_write_bytes(struct qcow2 *q, uint64_t offset, const void *bytes, size_t length);
/* The tables contradict each other: say so, set the corrupt bit, write no more. Returns -EIO. */
int qcow2_mark_corrupt(struct qcow2 *q, const char *format, ...) PRINTF_LIKE(2, 3);
/* Before the first change. */
int qcow2_begin_write(struct qcow2 *q);
/* The order at the top. */
int qcow2_settle(struct qcow2 *q);
int qcow2_set_incompatible(struct qcow2 *q, uint64_t bits);
/* Read `entries` big-endian numbers. NULL when memory or the file fails. */
uint64_t *qcow2_read_table(struct qcow2 *q, uint64_t offset, uint32_t entries, int *result);
/* Write entries [first, end) of a table of numbers that lies at `offset`. */
int qcow2_write_table(struct qcow2 *q, uint64_t offset, const uint64_t *table, uint32_t first, uint32_t end);

/* ---- block_qcow2_cache.c ---- */

int qcow2_cache_init(struct qcow2_cache *cache, uint32_t cluster_size);
void qcow2_cache_fini(struct qcow2_cache *cache);
/*
 * The table at this offset, read from the file, or all zeros if `fresh`. Valid until the next call on this cache.
 * `evict` makes a dirty table clean when its place is needed.
 */
int qcow2_cache_get(struct qcow2 *q, struct qcow2_cache *cache, uint64_t offset, bool fresh,
                    int (*evict)(struct qcow2 *q), struct qcow2_table **table);
void qcow2_cache_mark(struct qcow2_cache *cache, struct qcow2_table *table);
/* Write all dirty tables. */
int qcow2_cache_write(struct qcow2 *q, struct qcow2_cache *cache);
/* Forget the table at this offset, written or not. */
void qcow2_cache_drop(struct qcow2_cache *cache, uint64_t offset);

/* ---- block_qcow2_meta.c: which clusters hold metadata ---- */

int qcow2_set_add(struct qcow2_set *set, uint64_t number, bool *present);
bool qcow2_set_has(const struct qcow2_set *set, uint64_t number);
void qcow2_set_remove(struct qcow2_set *set, uint64_t number);
/* Collect them all; a cluster with two purposes makes the image corrupt. */
int qcow2_metadata_load(struct qcow2 *q);
int qcow2_metadata_add(struct qcow2 *q, uint64_t offset, uint64_t length, const char *what);
void qcow2_metadata_remove(struct qcow2 *q, uint64_t offset, uint64_t length);
/* -EIO, and the image is corrupt, if a write of data there would hit metadata. */
int qcow2_check_overlap(struct qcow2 *q, uint64_t offset, uint64_t length);

/* ---- block_qcow2_refcount.c ---- */

uint64_t qcow2_refcount_read(const uint8_t *block, uint32_t order, uint64_t index);
void qcow2_refcount_write(uint8_t *block, uint32_t order, uint64_t index, uint64_t count);
/* Clusters one refcount block counts. */
uint64_t qcow2_refcount_per_block(const struct qcow2 *q);
int qcow2_refcount_get(struct qcow2 *q, uint64_t cluster, uint64_t *count);
/* Makes refcount blocks, and a larger table, as needed. */
int qcow2_refcount_set(struct qcow2 *q, uint64_t cluster, uint64_t count);
/* 1 to `wanted` neighbouring clusters, counted once. Returns how many in *got. */
int qcow2_alloc(struct qcow2 *q, uint64_t wanted, uint64_t *offset, uint64_t *got);
/* Give back clusters that qcow2_alloc() gave and nothing on disk or in a table has led to since. */
void qcow2_unalloc(struct qcow2 *q, uint64_t offset, uint64_t count);
/* One use less of each, once that is safe. */
void qcow2_free_later(struct qcow2 *q, uint64_t offset, uint64_t count);
/* As qcow2_free_later(), for what an L2 entry leads to. */
void qcow2_free_entry(struct qcow2 *q, uint64_t entry);
/* Step 5. */
int qcow2_apply_frees(struct qcow2 *q);
int qcow2_evict_refcounts(struct qcow2 *q);

/* ---- block_qcow2_map.c ---- */

/* How many clusters from `offset` on (up to max, not beyond the L2 table) are alike and adjacent in the file; *entry is
 * the first one's L2 entry, 0 without a table. */
int qcow2_map(struct qcow2 *q, uint64_t offset, uint64_t max, uint64_t *entry, uint64_t *count);
int qcow2_l2_get(struct qcow2 *q, uint64_t l2_offset, struct qcow2_table **table);
int qcow2_read(struct image *image, uint64_t offset, uint8_t *bytes, uint64_t length);
int qcow2_write(struct image *image, uint64_t offset, const uint8_t *bytes, uint64_t length);
int qcow2_zero(struct image *image, uint64_t offset, uint64_t length);
int qcow2_discard(struct image *image, uint64_t offset, uint64_t length);
int qcow2_status(struct image *image, uint64_t offset, uint64_t length, enum image_status *status,
                 uint64_t *run);
int qcow2_empty(struct image *image);
int qcow2_grow(struct image *image, uint64_t size);

/* ---- block_qcow2_unpack.c ---- */

/* The place of a compressed cluster in the file, bytes; the last sector may be used in part. */
void qcow2_compressed_range(const struct qcow2 *q, uint64_t entry, uint64_t *offset, uint64_t *length);
/* Make q->unpacked hold it. */
int qcow2_unpack(struct qcow2 *q, uint64_t entry);

/* ---- block_qcow2_check.c ---- */

int qcow2_check(struct image *image, unsigned fix, struct image_report *report, struct error *error);

#endif
