/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * qcow2: does everything fit together? Counts the uses of every cluster by following all tables, and compares with the
 * counts the image keeps; mends them on request. See vm/block_qcow2.h.
 *
 *   error   a cluster is used more often than counted (it could be given away while in use), an entry leads nowhere,
 *           or a COPIED flag is wrong: data is in danger
 *   leak    a cluster is counted more often than used: space is lost, nothing else
 *
 * NOTE: the clusters of persistent dirty bitmaps are not followed; an image with bitmaps in force is checked for
 * errors only, and not mended.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>

#include "vm/block_qcow2.h"

enum { MAX_LINES = 100, MEND_PASSES = 3 };
/* Clusters of a file this can look at: the array of counts is 4 bytes each, touched where there are uses. */
#define MAX_CLUSTERS ((uint64_t)1 << 31)

struct qcow2_checker {
    struct qcow2 *q;
    struct image_report *report;
    uint32_t *uses; /* of each cluster */
    uint64_t clusters;
    bool failed; /* the file could not be read */
};

static void report_line(struct qcow2_checker *checker, bool leak, const char *format, ...) PRINTF_LIKE(3, 4);

static void report_line(struct qcow2_checker *checker, bool leak, const char *format, ...)
{
    struct image_report *report = checker->report;
    va_list args;

    *(leak ? &report->leaks : &report->errors) += 1;
    if (!report->out || report->lines++ >= MAX_LINES) {
        return;
    }
    fprintf(report->out, "%s: ", leak ? "leak" : "error");
    va_start(args, format);
    vfprintf(report->out, format, args);
    va_end(args);
    fprintf(report->out, "%s\n", report->lines == MAX_LINES ? " (more are counted, not shown)" : "");
}

/* ---- counting uses ---- */

static void check_use(struct qcow2_checker *checker, uint64_t offset, uint64_t length, const char *what)
{
    const struct qcow2 *q = checker->q;
    uint64_t first = offset >> q->cluster_bits;
    uint64_t count = (offset % q->cluster_size + length + q->cluster_size - 1) >> q->cluster_bits;

    if (first > checker->clusters || count > checker->clusters - first) {
        report_line(checker, false, "%s at %llu lies behind the end of the file", what,
                    (unsigned long long)offset);
        return;
    }
    for (uint64_t i = 0; i < count; i++) {
        if (checker->uses[first + i] < UINT32_MAX) {
            checker->uses[first + i]++;
        }
    }
}

static void check_l2_entry(struct qcow2_checker *checker, uint64_t entry)
{
    struct qcow2 *q = checker->q;
    uint64_t offset = entry & QCOW2_OFFSET_MASK;
    uint64_t length = q->cluster_size;

    if (entry & QCOW2_COMPRESSED) {
        qcow2_compressed_range(q, entry, &offset, &length);
        /* its last sector may be cut off at the end of the file */
        length = MIN(length, MAX(q->image.file->size, offset + 1) - offset);
        check_use(checker, offset, length, "compressed data");
        checker->report->compressed_clusters++;
        checker->report->allocated_clusters++;
    } else if (offset % q->cluster_size) {
        report_line(checker, false, "the data cluster at %llu is not aligned", (unsigned long long)offset);
    } else if (offset) {
        check_use(checker, offset, length, "a data cluster");
        checker->report->allocated_clusters++;
    }
}

static void check_l2(struct qcow2_checker *checker, uint64_t offset)
{
    struct qcow2 *q = checker->q;
    uint32_t entries = 1u << q->l2_bits;
    uint64_t *table;
    int result;

    if (offset % q->cluster_size) {
        report_line(checker, false, "the L2 table at %llu is not aligned", (unsigned long long)offset);
        return;
    }
    check_use(checker, offset, q->cluster_size, "an L2 table");
    table = qcow2_read_table(q, offset, entries, &result);
    checker->failed |= !table;
    for (uint32_t i = 0; table && i < entries; i++) {
        check_l2_entry(checker, table[i]);
    }
    free(table);
}

static void check_l1(struct qcow2_checker *checker, const uint64_t *l1, uint32_t entries, uint64_t offset,
                     bool show_progress)
{
    struct image_report *report = checker->report;

    check_use(checker, offset, (uint64_t)entries * 8, "an L1 table");
    for (uint32_t i = 0; i < entries && !checker->failed; i++) {
        if (l1[i] & QCOW2_OFFSET_MASK) {
            check_l2(checker, l1[i] & QCOW2_OFFSET_MASK);
        }
        if (show_progress && report->progress) {
            report->progress(report->opaque, i + 1, entries);
        }
    }
}

static void check_snapshots(struct qcow2_checker *checker)
{
    struct qcow2 *q = checker->q;

    if (q->snapshot_count) {
        check_use(checker, q->snapshots_offset, q->snapshots_length, "the snapshot table");
    }
    for (uint32_t i = 0; i < q->snapshot_count && !checker->failed; i++) {
        struct image_report *report = checker->report;
        uint64_t allocated = report->allocated_clusters, compressed = report->compressed_clusters;
        int result;
        uint64_t *l1 = qcow2_read_table(q, q->snapshots[i].l1_offset, q->snapshots[i].l1_entries, &result);

        checker->failed |= !l1;
        if (l1) {
            check_l1(checker, l1, q->snapshots[i].l1_entries, q->snapshots[i].l1_offset, false);
        }
        free(l1);
        report->allocated_clusters = allocated; /* figures of the disk as it is now */
        report->compressed_clusters = compressed;
    }
}

static void check_refcount_tables(struct qcow2_checker *checker)
{
    struct qcow2 *q = checker->q;

    check_use(checker, q->reftable_offset, (uint64_t)q->reftable_entries * 8, "the refcount table");
    for (uint32_t i = 0; i < q->reftable_entries; i++) {
        uint64_t offset = q->reftable[i] & QCOW2_OFFSET_MASK;

        if (offset % q->cluster_size) {
            report_line(checker, false, "the refcount block at %llu is not aligned",
                        (unsigned long long)offset);
        } else if (offset) {
            check_use(checker, offset, q->cluster_size, "a refcount block");
        }
    }
}

static void check_count_uses(struct qcow2_checker *checker)
{
    struct qcow2 *q = checker->q;

    check_use(checker, 0, q->cluster_size, "the header");
    check_l1(checker, q->l1, q->l1_entries, q->l1_offset, true);
    check_snapshots(checker);
    check_refcount_tables(checker);
}

/* ---- comparing ---- */

/* Make the count right if that is asked for; true when it was. */
static bool check_mend_count(struct qcow2_checker *checker, unsigned fix, uint64_t cluster, uint64_t count)
{
    bool leak = count > checker->uses[cluster];

    if (!(fix & (leak ? IMAGE_FIX_LEAKS | IMAGE_FIX_ALL : IMAGE_FIX_ALL)) ||
        qcow2_refcount_set(checker->q, cluster, checker->uses[cluster]) < 0) {
        return false;
    }
    *(leak ? &checker->report->fixed_leaks : &checker->report->fixed_errors) += 1;
    return true;
}

static void check_counts(struct qcow2_checker *checker, unsigned fix)
{
    struct qcow2 *q = checker->q;
    uint64_t counted = (uint64_t)q->reftable_entries * qcow2_refcount_per_block(q);

    for (uint64_t i = 0; i < checker->clusters && !checker->failed; i++) {
        uint64_t count = 0;

        if (i < counted && qcow2_refcount_get(q, i, &count) < 0) {
            checker->failed = true;
        } else if (count != checker->uses[i] && !(count > checker->uses[i] && q->has_bitmaps)) {
            if (!check_mend_count(checker, fix, i, count)) {
                report_line(checker, count > checker->uses[i],
                            "cluster %llu is counted %llu times, used %u times", (unsigned long long)i,
                            (unsigned long long)count, checker->uses[i]);
            }
        }
    }
}

/* COPIED where the count is one, and only there. Returns the entry as it should be. */
static uint64_t check_copied(struct qcow2_checker *checker, uint64_t entry, unsigned fix, const char *what)
{
    uint64_t offset = entry & QCOW2_OFFSET_MASK;
    uint64_t cluster = offset >> checker->q->cluster_bits;
    bool single = cluster < checker->clusters && checker->uses[cluster] == 1;

    if (!offset || single == !!(entry & QCOW2_COPIED)) {
        return entry;
    }
    if (fix & IMAGE_FIX_ALL) {
        checker->report->fixed_errors++;
        return entry ^ QCOW2_COPIED;
    }
    report_line(checker, false, "%s at %llu has a wrong COPIED flag", what, (unsigned long long)offset);
    return entry;
}

static void check_l2_flags(struct qcow2_checker *checker, uint64_t offset, unsigned fix)
{
    struct qcow2 *q = checker->q;
    uint32_t entries = 1u << q->l2_bits;
    bool changed = false;
    int result;
    uint64_t *table = offset % q->cluster_size ? NULL : qcow2_read_table(q, offset, entries, &result);

    for (uint32_t i = 0; table && i < entries; i++) {
        uint64_t entry = table[i];

        if (!(entry & QCOW2_COMPRESSED)) {
            table[i] = check_copied(checker, entry, fix, "the data cluster");
            changed |= table[i] != entry;
        }
    }
    if (changed && qcow2_write_table(q, offset, table, 0, entries) < 0) {
        checker->failed = true;
    }
    qcow2_cache_drop(&q->l2_cache, offset);
    free(table);
}

static void check_flags(struct qcow2_checker *checker, unsigned fix)
{
    struct qcow2 *q = checker->q;

    for (uint32_t i = 0; i < q->l1_entries && !checker->failed; i++) {
        uint64_t entry = q->l1[i];

        if (!(entry & QCOW2_OFFSET_MASK)) {
            continue;
        }
        q->l1[i] = check_copied(checker, entry, fix, "the L2 table");
        if (q->l1[i] != entry && qcow2_write_table(q, q->l1_offset, q->l1, i, i + 1) < 0) {
            checker->failed = true;
        }
        check_l2_flags(checker, entry & QCOW2_OFFSET_MASK, fix);
    }
}

/* ---- one pass ---- */

static int check_pass(struct qcow2 *q, unsigned fix, struct image_report *report, struct error *error)
{
    struct qcow2_checker checker = {.q = q, .report = report};

    checker.clusters = (q->image.file->size + q->cluster_size - 1) >> q->cluster_bits;
    checker.uses = checker.clusters <= MAX_CLUSTERS ? calloc(checker.clusters, sizeof(*checker.uses)) : NULL;
    if (!checker.uses) {
        return error_set(error, -ENOMEM, "'%s' is too large to be checked in memory", q->image.file->path);
    }
    report->total_clusters = (q->image.size + q->cluster_size - 1) >> q->cluster_bits;
    report->allocated_clusters = report->compressed_clusters = 0;
    check_count_uses(&checker);
    q->in_use = checker.uses;
    q->in_use_count = checker.clusters;
    check_counts(&checker, fix);
    check_flags(&checker, fix);
    q->in_use = NULL;
    q->in_use_count = 0;
    free(checker.uses);
    return checker.failed
               ? error_set(error, -EIO, "'%s' cannot be read or written in whole", q->image.file->path)
               : 0;
}

/* The image is mended: say so in its header. */
static int check_clear_marks(struct qcow2 *q)
{
    uint64_t marks = QCOW2_INCOMPAT_DIRTY | QCOW2_INCOMPAT_CORRUPT;
    int result = qcow2_settle(q);

    if (result == 0) {
        result = block_file_flush(q->image.file);
    }
    if (result == 0 && (q->incompatible & marks)) {
        result = qcow2_set_incompatible(q, q->incompatible & ~marks);
    }
    return result == 0 ? block_file_flush(q->image.file) : result;
}

/* Mending may take clusters for new refcount blocks, so it ends when a pass finds nothing more. */
static int check_mend(struct qcow2 *q, unsigned fix, struct image_report *report, struct error *error)
{
    struct image_report quiet;
    int result;

    if (q->has_bitmaps) {
        return error_set(error, -ENOTSUP, "'%s' has persistent bitmaps; mend it with qemu-img",
                         q->image.file->path);
    }
    if (!q->image.writable) {
        return error_set(error, -EROFS, "'%s' is read only", q->image.file->path);
    }
    for (unsigned pass = 0; pass < MEND_PASSES; pass++) {
        quiet = (struct image_report){.progress = report->progress, .opaque = report->opaque};
        q->repairing = true;
        result = check_pass(q, fix, &quiet, error);
        q->repairing = false;
        if (result == 0 && qcow2_settle(q) < 0) {
            result = error_set(error, -EIO, "'%s' cannot be written", q->image.file->path);
        }
        report->fixed_errors += quiet.fixed_errors;
        report->fixed_leaks += quiet.fixed_leaks;
        if (result < 0 || quiet.fixed_errors + quiet.fixed_leaks == 0) {
            return result;
        }
    }
    return 0;
}

int qcow2_check(struct image *image, unsigned fix, struct image_report *report, struct error *error)
{
    struct qcow2 *q = qcow2_of(image);
    int result = image->writable ? qcow2_settle(q) : 0;

    if (result < 0) {
        return error_set(error, result, "cannot write '%s': %s", image->file->path, strerror(-result));
    }
    if (fix) {
        result = check_mend(q, fix, report, error);
    }
    if (result == 0) {
        result = check_pass(q, 0, report, error);
    }
    if (result == 0 && fix && report->errors == 0 && check_clear_marks(q) < 0) {
        result = error_set(error, -EIO, "cannot write '%s'", image->file->path);
    }
    return result;
}
