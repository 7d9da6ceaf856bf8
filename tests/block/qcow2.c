/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * qcow2 images: allocation, copy on write, backing chains, counts, growth, compressed clusters, snapshots, zeros.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>
#include <zlib.h>

#include "scratch.h"
#include "vm/block_qcow2.h"

enum { CLUSTER = 4096 };

TestSuite(block_qcow2, .init = scratch_enter, .fini = scratch_remove);

static const struct image_create_options small = {.size = 1 * MIB, .cluster_bits = 12};

static void write_stamp(struct image *image, uint64_t sector, uint64_t count, uint32_t stamp)
{
    uint8_t *bytes = malloc(count * SECTOR);

    stamp_fill(bytes, stamp, count);
    cr_assert_eq(image_write(image, sector * SECTOR, bytes, count * SECTOR), 0);
    free(bytes);
}

static uint32_t read_stamp(struct image *image, uint64_t sector)
{
    uint8_t bytes[SECTOR];

    cr_assert_eq(image_read(image, sector * SECTOR, bytes, SECTOR), 0);
    return stamp_of(bytes);
}

static enum image_status status_at(struct image *image, uint64_t offset)
{
    enum image_status status;
    uint64_t run;

    cr_assert_eq(image_status(image, offset, image->size - offset, &status, &run), 0);
    cr_assert_gt(run, 0);
    return status;
}

static void overlay(const char *path, const char *backing, const char *format)
{
    struct image_create_options options = {.cluster_bits = 12, .backing = backing, .backing_format = format};

    scratch_create(path, "qcow2", &options);
}

Test(block_qcow2, an_empty_image_is_clean_and_reads_as_zeros)
{
    scratch_create("a.qcow2", "qcow2", &small);
    scratch_expect_clean("a.qcow2");
    struct image *image = scratch_open("a.qcow2", "qcow2", 0);

    cr_assert_eq(image->size, 1 * MIB);
    cr_assert_eq(read_stamp(image, 0), 0);
    cr_assert_eq(read_stamp(image, 2047), 0);
    cr_assert_eq(status_at(image, 0), IMAGE_BACKING);
    cr_assert_eq(image_write(image, 0, "x", 1), -EROFS);
    cr_assert_eq(image_read(image, 1 * MIB, NULL, 1), -EINVAL);
    image_close(image);
}

Test(block_qcow2, writes_come_back_and_their_surroundings_stay)
{
    scratch_create("a.qcow2", "qcow2", &small);
    struct image *image = scratch_open("a.qcow2", "qcow2", IMAGE_WRITE);

    write_stamp(image, 3, 2, 7);    /* inside a cluster */
    write_stamp(image, 14, 20, 8);  /* over three */
    write_stamp(image, 2047, 1, 9); /* the last sector */
    write_stamp(image, 3, 1, 10);   /* in place */
    for (int round = 0; round < 2; round++) {
        cr_assert_eq(read_stamp(image, 2), 0);
        cr_assert_eq(read_stamp(image, 3), 10);
        cr_assert_eq(read_stamp(image, 4), 7);
        cr_assert_eq(read_stamp(image, 5), 0);
        cr_assert_eq(read_stamp(image, 13), 0);
        cr_assert_eq(read_stamp(image, 14), 8);
        cr_assert_eq(read_stamp(image, 33), 8);
        cr_assert_eq(read_stamp(image, 34), 0);
        cr_assert_eq(read_stamp(image, 2047), 9);
        image_close(image);
        scratch_expect_clean("a.qcow2");
        image = scratch_open("a.qcow2", "qcow2", IMAGE_WRITE);
    }
    image_close(image);
}

Test(block_qcow2, copies_a_cluster_from_its_backing_file_on_write)
{
    scratch_create("base.qcow2", "qcow2", &small);
    struct image *base = scratch_open("base.qcow2", "qcow2", IMAGE_WRITE);
    write_stamp(base, 0, 64, 1);
    image_close(base);
    overlay("top.qcow2", "base.qcow2", "qcow2");
    struct image *top = scratch_open("top.qcow2", "qcow2", IMAGE_WRITE);

    cr_assert_eq(top->size, 1 * MIB, "the backing file's size");
    write_stamp(top, 9, 1, 2);
    cr_assert_eq(read_stamp(top, 8), 1);
    cr_assert_eq(read_stamp(top, 9), 2);
    cr_assert_eq(read_stamp(top, 10), 1);
    cr_assert_eq(status_at(top, 0), IMAGE_BACKING);
    cr_assert_eq(status_at(top, CLUSTER), IMAGE_DATA);
    image_close(top);
    scratch_expect_clean("top.qcow2");
    base = scratch_open("base.qcow2", "qcow2", 0);
    cr_assert_eq(read_stamp(base, 9), 1, "the backing file is not touched");
    image_close(base);
}

Test(block_qcow2, a_longer_overlay_shows_zeros_behind_its_backing_file)
{
    struct image_create_options raw = {.size = 3 * SECTOR};
    struct image_create_options top_options = {
        .size = 64 * KIB, .cluster_bits = 12, .backing = "base.img", .backing_format = "raw"};

    scratch_create("base.img", "raw", &raw);
    struct image *base = scratch_open("base.img", "raw", IMAGE_WRITE);
    write_stamp(base, 0, 3, 5);
    image_close(base);
    scratch_create("top.qcow2", "qcow2", &top_options);
    struct image *top = scratch_open("top.qcow2", "qcow2", IMAGE_WRITE);
    cr_assert_eq(read_stamp(top, 2), 5);
    cr_assert_eq(read_stamp(top, 3), 0);
    write_stamp(top, 1, 1, 6);
    cr_assert_eq(read_stamp(top, 0), 5);
    cr_assert_eq(read_stamp(top, 2), 5);
    cr_assert_eq(read_stamp(top, 3), 0);
    image_close(top);
    scratch_expect_clean("top.qcow2");
}

Test(block_qcow2, zeros_hide_the_backing_file_and_give_space_back)
{
    struct image_create_options raw = {.size = 64 * KIB};

    scratch_create("base.img", "raw", &raw);
    struct image *base = scratch_open("base.img", "raw", IMAGE_WRITE);
    write_stamp(base, 0, 128, 5);
    image_close(base);
    overlay("top.qcow2", "base.img", "raw");
    struct image *top = scratch_open("top.qcow2", "qcow2", IMAGE_WRITE);
    write_stamp(top, 0, 64, 6);
    cr_assert_eq(image_zero(top, 3 * SECTOR, 20 * SECTOR), 0);
    cr_assert_eq(read_stamp(top, 2), 6);
    cr_assert_eq(read_stamp(top, 3), 0);
    cr_assert_eq(read_stamp(top, 22), 0);
    cr_assert_eq(read_stamp(top, 23), 6);
    cr_assert_eq(status_at(top, CLUSTER), IMAGE_ZERO);
    cr_assert_eq(image_zero(top, 64 * SECTOR, 64 * SECTOR), 0);
    cr_assert_eq(read_stamp(top, 127), 0);
    cr_assert_eq(image_discard(top, 0, 64 * KIB), 0);
    cr_assert_eq(read_stamp(top, 0), 0, "the backing file's bytes must not come back");
    write_stamp(top, 1, 1, 7);
    cr_assert_eq(read_stamp(top, 0), 0);
    image_close(top);
    scratch_expect_clean("top.qcow2");
}

Test(block_qcow2, freed_clusters_are_used_again)
{
    scratch_create("a.qcow2", "qcow2", &small);
    struct image *image = scratch_open("a.qcow2", "qcow2", IMAGE_WRITE);

    write_stamp(image, 0, 2048, 1);
    cr_assert_eq(image_flush(image), 0);
    uint64_t size = image->file->size;
    for (uint32_t round = 2; round < 10; round++) {
        cr_assert_eq(image_discard(image, 0, 512 * KIB), 0);
        cr_assert_eq(image_flush(image), 0);
        write_stamp(image, 0, 1024, round);
        cr_assert_eq(image_flush(image), 0);
        cr_assert_eq(read_stamp(image, 1023), round);
        cr_assert_eq(read_stamp(image, 1024), 1);
    }
    cr_assert_leq(image->file->size, size + 4 * CLUSTER, "%llu", (unsigned long long)image->file->size);
    image_close(image);
    scratch_expect_clean("a.qcow2");
}

Test(block_qcow2, a_reused_cluster_shows_nothing_of_its_past)
{
    scratch_create("a.qcow2", "qcow2", &small);
    struct image *image = scratch_open("a.qcow2", "qcow2", IMAGE_WRITE);

    write_stamp(image, 0, 64, 1);
    cr_assert_eq(image_discard(image, 0, 32 * KIB), 0);
    cr_assert_eq(image_flush(image), 0);
    for (uint64_t sector = 800; sector < 864; sector += 8) {
        write_stamp(image, sector + 3, 1, 2);
    }
    for (uint64_t sector = 800; sector < 864; sector++) {
        cr_assert_eq(read_stamp(image, sector), sector % 8 == 3 ? 2 : 0);
    }
    image_close(image);
    scratch_expect_clean("a.qcow2");
}

Test(block_qcow2, the_refcount_table_grows)
{
    struct image_create_options options = {.size = 4 * MIB, .cluster_bits = 9, .refcount_bits = 64};

    scratch_create("a.qcow2", "qcow2", &options);
    struct image *image = scratch_open("a.qcow2", "qcow2", IMAGE_WRITE);
    uint32_t before = qcow2_of(image)->reftable_entries;

    for (uint64_t sector = 0; sector < 8192; sector += 128) {
        write_stamp(image, sector, 128, (uint32_t)sector + 1);
    }
    cr_assert_gt(qcow2_of(image)->reftable_entries, before);
    image_close(image);
    scratch_expect_clean("a.qcow2");
    image = scratch_open("a.qcow2", "qcow2", 0);
    for (uint64_t sector = 0; sector < 8192; sector += 128) {
        cr_assert_eq(read_stamp(image, sector + 127), (uint32_t)sector + 1);
    }
    image_close(image);
}

Test(block_qcow2, the_disk_grows_and_its_L1_table_with_it)
{
    struct image_create_options options = {.size = 64 * KIB, .cluster_bits = 9};

    scratch_create("a.qcow2", "qcow2", &options);
    struct image *image = scratch_open("a.qcow2", "qcow2", IMAGE_WRITE);
    write_stamp(image, 100, 1, 1);
    cr_assert_eq(image->ops->grow(image, 64 * MIB), 0);
    write_stamp(image, 131071, 1, 2);
    cr_assert_eq(read_stamp(image, 100), 1);
    image_close(image);
    scratch_expect_clean("a.qcow2");
    image = scratch_open("a.qcow2", "qcow2", IMAGE_WRITE);
    cr_assert_eq(image->size, 64 * MIB);
    cr_assert_eq(read_stamp(image, 100), 1);
    cr_assert_eq(read_stamp(image, 131071), 2);
    cr_assert_eq(image->ops->grow(image, 1 * MIB), -EFBIG, "it does not shrink");
    image_close(image);
}

Test(block_qcow2, every_width_of_counts)
{
    for (unsigned bits = 1; bits <= 64; bits *= 2) {
        struct image_create_options options = {.size = 1 * MIB, .cluster_bits = 9, .refcount_bits = bits};

        scratch_create("a.qcow2", "qcow2", &options);
        struct image *image = scratch_open("a.qcow2", "qcow2", IMAGE_WRITE);
        write_stamp(image, 5, 1500, bits);
        cr_assert_eq(image_discard(image, 0, 100 * SECTOR), 0);
        image_close(image);
        scratch_expect_clean("a.qcow2");
        image = scratch_open("a.qcow2", "qcow2", 0);
        cr_assert_eq(read_stamp(image, 1504), bits);
        cr_assert_eq(read_stamp(image, 50), 0);
        image_close(image);
    }
}

Test(block_qcow2, counts_are_packed_as_the_format_says)
{
    uint8_t block[16];

    for (unsigned order = 0; order <= 6; order++) {
        uint64_t most = order == 6 ? UINT64_MAX : ((uint64_t)1 << (1u << order)) - 1;

        memset(block, 0, sizeof(block));
        qcow2_refcount_write(block, order, 1, most);
        cr_assert_eq(qcow2_refcount_read(block, order, 0), 0);
        cr_assert_eq(qcow2_refcount_read(block, order, 1), most);
        cr_assert_eq(block[0], order == 0 ? 2 : order == 1 ? 0xc : order == 2 ? 0xf0 : 0);
    }
}

/* Make cluster 0 of the disk a compressed one: its stream at the end of the file, counted by hand. */
static void plant_compressed(const char *path, uint32_t stamp)
{
    struct image *image = scratch_open(path, "qcow2", IMAGE_WRITE);
    struct qcow2 *q = qcow2_of(image);
    uint8_t plain[CLUSTER], packed[CLUSTER], entry[8];
    z_stream stream = {
        .next_in = plain, .avail_in = CLUSTER, .next_out = packed, .avail_out = sizeof(packed)};
    uint64_t offset, got;
    struct qcow2_table *table;

    write_stamp(image, 0, 16, 1);
    stamp_fill(plain, stamp, CLUSTER / SECTOR);
    cr_assert_eq(deflateInit2(&stream, 9, Z_DEFLATED, -12, 9, Z_DEFAULT_STRATEGY), Z_OK);
    cr_assert_eq(deflate(&stream, Z_FINISH), Z_STREAM_END);
    deflateEnd(&stream);
    cr_assert_eq(qcow2_alloc(q, 1, &offset, &got), 0);
    offset += 100; /* anywhere in its cluster */
    cr_assert_eq(qcow2_write_bytes(q, offset, packed, CLUSTER), 0);
    store_be64(entry,
               QCOW2_COMPRESSED | (((offset % SECTOR + stream.total_out - 1) / SECTOR) << 58) | offset);
    cr_assert_eq(qcow2_l2_get(q, q->l1[0] & QCOW2_OFFSET_MASK, &table), 0);
    qcow2_free_entry(q, load_be64(table->bytes));
    memcpy(table->bytes, entry, 8);
    qcow2_cache_mark(&q->l2_cache, table);
    image_close(image);
}

Test(block_qcow2, compressed_clusters_are_read_and_copied_on_write)
{
    scratch_create("a.qcow2", "qcow2", &small);
    plant_compressed("a.qcow2", 77);
    scratch_expect_clean("a.qcow2");
    struct image *image = scratch_open("a.qcow2", "qcow2", IMAGE_WRITE);
    cr_assert_eq(read_stamp(image, 0), 77);
    cr_assert_eq(read_stamp(image, 7), 77);
    cr_assert_eq(read_stamp(image, 8), 1);
    write_stamp(image, 3, 1, 78);
    cr_assert_eq(read_stamp(image, 2), 77);
    cr_assert_eq(read_stamp(image, 3), 78);
    image_close(image);
    scratch_expect_clean("a.qcow2");
}

Test(block_qcow2, a_damaged_compressed_cluster_is_an_error_not_a_crash)
{
    uint8_t noise[CLUSTER], bytes[SECTOR];
    uint64_t random = 3;

    scratch_create("a.qcow2", "qcow2", &small);
    plant_compressed("a.qcow2", 77);
    struct image *image = scratch_open("a.qcow2", "qcow2", IMAGE_WRITE);
    for (unsigned i = 0; i < sizeof(noise); i++) {
        noise[i] = (uint8_t)scratch_random(&random, 256);
    }
    uint64_t end = image->file->size;
    cr_assert_eq(block_file_write(image->file, end - CLUSTER, noise, CLUSTER - 100), 0);
    cr_assert_eq(image_read(image, 0, bytes, SECTOR), -EIO);
    image_close(image);
}

/* What `qemu-img snapshot -c` does to the tables: one more L1 table leads to everything, nothing is COPIED. */
static void plant_snapshot(const char *path)
{
    struct image *image = scratch_open(path, "qcow2", IMAGE_WRITE);
    struct qcow2 *q = qcow2_of(image);
    uint64_t l1_copy, table, got, count;
    uint8_t snapshot[48] = {0}, header[12];
    struct qcow2_table *l2;

    cr_assert_eq(qcow2_settle(q), 0);
    cr_assert_eq(q->l1_entries, 1);
    q->l1[0] &= ~QCOW2_COPIED;
    cr_assert_eq(qcow2_l2_get(q, q->l1[0] & QCOW2_OFFSET_MASK, &l2), 0);
    for (unsigned i = 0; i < CLUSTER / 8; i++) {
        uint64_t entry = load_be64(l2->bytes + i * 8), cluster = (entry & QCOW2_OFFSET_MASK) >> 12;

        store_be64(l2->bytes + i * 8, entry & ~QCOW2_COPIED);
        if (cluster) {
            cr_assert_eq(qcow2_refcount_get(q, cluster, &count), 0);
            cr_assert_eq(qcow2_refcount_set(q, cluster, count + 1), 0);
        }
    }
    qcow2_cache_mark(&q->l2_cache, l2);
    cr_assert_eq(qcow2_refcount_set(q, q->l1[0] >> 12, 2), 0);
    cr_assert_eq(qcow2_alloc(q, 1, &l1_copy, &got), 0);
    cr_assert_eq(qcow2_alloc(q, 1, &table, &got), 0);
    store_be64(snapshot, l1_copy);
    store_be32(snapshot + 8, 1);
    store_be16(snapshot + 12, 1);
    store_be16(snapshot + 14, 1);
    memcpy(snapshot + 40, "1a", 2);
    store_be32(header, 1);
    store_be64(header + 4, table);
    cr_assert_eq(qcow2_write_table(q, l1_copy, q->l1, 0, 1), 0);
    cr_assert_eq(qcow2_write_table(q, q->l1_offset, q->l1, 0, 1), 0);
    cr_assert_eq(qcow2_write_bytes(q, table, snapshot, sizeof(snapshot)), 0);
    cr_assert_eq(qcow2_write_bytes(q, QCOW2_H_SNAPSHOTS, header, sizeof(header)), 0);
    image_close(image);
}

Test(block_qcow2, writing_leaves_internal_snapshots_as_they_were)
{
    scratch_create("a.qcow2", "qcow2", &small);
    struct image *image = scratch_open("a.qcow2", "qcow2", IMAGE_WRITE);
    write_stamp(image, 0, 64, 1);
    image_close(image);
    plant_snapshot("a.qcow2");
    scratch_expect_clean("a.qcow2");
    image = scratch_open("a.qcow2", "qcow2", IMAGE_WRITE);
    uint64_t old_l2 = qcow2_of(image)->l1[0] & QCOW2_OFFSET_MASK;
    write_stamp(image, 5, 1, 2);
    cr_assert_eq(image_discard(image, 2 * CLUSTER, CLUSTER), 0);
    cr_assert_eq(read_stamp(image, 4), 1);
    cr_assert_eq(read_stamp(image, 5), 2);
    cr_assert_eq(read_stamp(image, 16), 0);
    cr_assert_neq(qcow2_of(image)->l1[0] & QCOW2_OFFSET_MASK, old_l2, "the L2 table was shared");
    image_close(image);
    scratch_expect_clean("a.qcow2");

    /* look at the disk through the snapshot's table */
    image = scratch_open("a.qcow2", "qcow2", 0);
    qcow2_of(image)->l1[0] = old_l2;
    cr_assert_eq(read_stamp(image, 5), 1);
    cr_assert_eq(read_stamp(image, 16), 1);
    image_close(image);
    image = scratch_open("a.qcow2", "qcow2", IMAGE_WRITE);
    cr_assert_eq(image->ops->empty(image), 0);
    image_close(image);
    scratch_expect_clean("a.qcow2");
}

Test(block_qcow2, commit_moves_everything_and_empties_the_overlay)
{
    struct error error;

    scratch_create("base.qcow2", "qcow2", &small);
    struct image *image = scratch_open("base.qcow2", "qcow2", IMAGE_WRITE);
    write_stamp(image, 0, 64, 1);
    image_close(image);
    struct image_create_options longer = {
        .size = 2 * MIB, .cluster_bits = 12, .backing = "base.qcow2", .backing_format = "qcow2"};
    scratch_create("top.qcow2", "qcow2", &longer);
    image = scratch_open("top.qcow2", "qcow2", IMAGE_WRITE);
    write_stamp(image, 10, 3, 2);
    write_stamp(image, 4095, 1, 3);
    cr_assert_eq(image_zero(image, 32 * SECTOR, CLUSTER), 0);
    cr_assert_eq(image_commit(image, NULL, &error), 0, "%s", error.text);
    for (int round = 0; round < 2; round++) {
        cr_assert_eq(image->size, 2 * MIB);
        cr_assert_eq(read_stamp(image, 9), 1);
        cr_assert_eq(read_stamp(image, 10), 2);
        cr_assert_eq(read_stamp(image, 32), 0);
        cr_assert_eq(read_stamp(image, 40), 1);
        cr_assert_eq(read_stamp(image, 4095), 3);
        cr_assert_eq(round > 0 || status_at(image, 10 * SECTOR) == IMAGE_BACKING, true);
        image_close(image);
        scratch_expect_clean("top.qcow2");
        scratch_expect_clean("base.qcow2");
        image = scratch_open("base.qcow2", "qcow2", 0);
    }
    image_close(image);
}

Test(block_qcow2, a_temporary_overlay_changes_nothing_below)
{
    struct error error;

    scratch_create("base.qcow2", "qcow2", &small);
    struct image *image = image_create_overlay(scratch_open("base.qcow2", "qcow2", 0), &error);
    cr_assert_not_null(image);
    write_stamp(image, 0, 100, 9);
    cr_assert_eq(image_flush(image), 0);
    cr_assert_eq(read_stamp(image, 99), 9);
    image_close(image);
    image = scratch_open("base.qcow2", "qcow2", 0);
    cr_assert_eq(read_stamp(image, 99), 0);
    image_close(image);
}

Test(block_qcow2, one_writer_or_many_readers)
{
    struct error error;

    scratch_create("a.qcow2", "qcow2", &small);
    struct image *first = scratch_open("a.qcow2", "qcow2", 0);
    struct image *second = scratch_open("a.qcow2", "qcow2", 0);
    cr_assert_null(image_open("a.qcow2", "qcow2", IMAGE_WRITE, &error));
    cr_assert_not_null(strstr(error.text, "in use"));
    image_close(first);
    image_close(second);
    first = scratch_open("a.qcow2", "qcow2", IMAGE_WRITE);
    cr_assert_null(image_open("a.qcow2", "qcow2", 0, &error));
    cr_assert_null(image_open("a.qcow2", "qcow2", IMAGE_WRITE, &error));
    image_close(first);
    image_close(scratch_open("a.qcow2", "qcow2", IMAGE_WRITE));
}

static void expect_refused(const char *path, const char *format, const char *word)
{
    struct error error;
    struct image *image = image_open(path, format, 0, &error);

    cr_assert_null(image);
    cr_assert_not_null(strstr(error.text, word), "%s", error.text);
}

Test(block_qcow2, backing_files_need_a_format_and_stay_in_the_folder)
{
    struct image_create_options options = {
        .size = 1 * MIB, .backing_format = "raw", .flags = IMAGE_NO_BACKING | IMAGE_ANY_BACKING};
    static const char *const outside[] = {"/etc/passwd", "../x", "a/../../x", ".."};
    struct error error;

    for (unsigned i = 0; i < ARRAY_LEN(outside); i++) {
        options.backing = outside[i];
        scratch_create("top.qcow2", "qcow2", &options);
        expect_refused("top.qcow2", "qcow2", "any-backing");
    }
    options.backing = "base.img";
    options.backing_format = NULL;
    cr_assert_neq(image_create("x.qcow2", "qcow2", &options, &error), 0);
    options.backing_format = "raw";
    options.backing = "top.qcow2"; /* itself */
    options.backing_format = "qcow2";
    scratch_create("top.qcow2", "qcow2", &options);
    expect_refused("top.qcow2", "qcow2", "in a row");
    struct image *alone = scratch_open("top.qcow2", "qcow2", IMAGE_NO_BACKING);
    image_close(alone);
}

Test(block_qcow2, formats_follow_from_names_never_from_contents)
{
    struct error error;

    scratch_create("a.qcow2", "qcow2", &small);
    struct image *image = scratch_open("a.qcow2", NULL, 0);
    cr_assert_str_eq(image->ops->format, "qcow2");
    image_close(image);
    cr_assert_eq(rename("a.qcow2", "a.img"), 0);
    expect_refused("a.img", NULL, "format=qcow2");
    image = scratch_open("a.img", "raw", 0);
    cr_assert_str_eq(image->ops->format, "raw");
    image_close(image);
    cr_assert_null(image_format("vmdk", "x", &error));
}

Test(block_qcow2, repairs_leaks_and_wrong_counts)
{
    struct image_report report = {0};
    struct error error;

    scratch_create("a.qcow2", "qcow2", &small);
    struct image *image = scratch_open("a.qcow2", "qcow2", IMAGE_WRITE);
    struct qcow2 *q = qcow2_of(image);
    uint64_t offset, got;
    write_stamp(image, 0, 64, 1);
    cr_assert_eq(qcow2_settle(q), 0);
    cr_assert_eq(qcow2_alloc(q, 3, &offset, &got), 0); /* leaks */
    cr_assert_eq(block_file_write(image->file, offset, &(char){0}, 1), 0);
    cr_assert_eq(block_file_truncate(image->file, offset + got * CLUSTER), 0);
    cr_assert_eq(qcow2_refcount_set(q, (q->l1[0] & QCOW2_OFFSET_MASK) >> 12, 0), 0); /* an error */
    image_close(image);
    cr_assert_eq(scratch_check("a.qcow2", &got), 1);
    cr_assert_eq(got, 3);
    image = scratch_open("a.qcow2", "qcow2", IMAGE_WRITE | IMAGE_REPAIR);
    cr_assert_eq(image->ops->check(image, IMAGE_FIX_LEAKS | IMAGE_FIX_ALL, &report, &error), 0, "%s",
                 error.text);
    cr_assert_eq(report.fixed_errors, 1);
    cr_assert_eq(report.fixed_leaks, 3);
    cr_assert_eq(report.errors + report.leaks, 0);
    cr_assert_eq(read_stamp(image, 63), 1);
    image_close(image);
    scratch_expect_clean("a.qcow2");
}

Test(block_qcow2, an_image_left_dirty_is_mended_when_opened_for_writing)
{
    scratch_create(
        "a.qcow2", "qcow2",
        &(struct image_create_options){.size = 1 * MIB, .cluster_bits = 12, .lazy_refcounts = true});
    struct image *image = scratch_open("a.qcow2", "qcow2", IMAGE_WRITE);
    struct qcow2 *q = qcow2_of(image);
    write_stamp(image, 0, 8, 1);
    cr_assert_eq(qcow2_settle(q), 0);
    cr_assert_eq(qcow2_refcount_set(q, q->image.file->size / CLUSTER - 1, 0), 0); /* as if never counted */
    cr_assert_eq(qcow2_set_incompatible(q, QCOW2_INCOMPAT_DIRTY), 0);
    image_close(image);
    cr_assert_gt(scratch_check("a.qcow2", NULL), 0);
    image = scratch_open("a.qcow2", "qcow2", 0);
    cr_assert_eq(read_stamp(image, 7), 1, "reading needs no counts");
    image_close(image);
    image = scratch_open("a.qcow2", "qcow2", IMAGE_WRITE);
    cr_assert_eq(qcow2_of(image)->incompatible, 0);
    write_stamp(image, 8, 8, 2);
    image_close(image);
    scratch_expect_clean("a.qcow2");
}

Test(block_qcow2, data_never_goes_over_a_table)
{
    scratch_create("a.qcow2", "qcow2", &small);
    struct image *image = scratch_open("a.qcow2", "qcow2", IMAGE_WRITE);
    struct qcow2 *q = qcow2_of(image);
    struct qcow2_table *table;
    uint8_t bytes[SECTOR] = {1};
    struct error error;

    write_stamp(image, 0, 8, 1);
    cr_assert_eq(qcow2_l2_get(q, q->l1[0] & QCOW2_OFFSET_MASK, &table), 0);
    store_be64(table->bytes, q->reftable_offset | QCOW2_COPIED); /* a hostile entry */
    cr_assert_eq(image_write(image, 0, bytes, SECTOR), -EIO);
    cr_assert_neq(*image->problem, '\0');
    cr_assert_eq(image_write(image, 80 * SECTOR, bytes, SECTOR), -EIO, "and nothing more is written");
    image_close(image);
    cr_assert_null(image_open("a.qcow2", "qcow2", IMAGE_WRITE, &error));
    cr_assert_not_null(strstr(error.text, "corrupt"));
    image_close(scratch_open("a.qcow2", "qcow2", 0));
}

static int refuse_all(void *opaque, enum block_file_access access, uint64_t offset, const struct iovec *iov,
                      unsigned iov_count, uint64_t length)
{
    (void)opaque;
    (void)access;
    (void)offset;
    (void)iov;
    (void)iov_count;
    (void)length;
    return -ENOSPC;
}

Test(block_qcow2, reading_goes_on_while_the_host_takes_no_writes)
{
    static const struct block_file_hook hook = {.before = refuse_all};
    struct image_create_options options = {.size = 16 * MIB,
                                           .cluster_bits = 9}; /* more L2 tables than are cached */
    uint8_t bytes[SECTOR];

    scratch_create("a.qcow2", "qcow2", &options);
    struct image *image = scratch_open("a.qcow2", "qcow2", IMAGE_WRITE);
    for (uint64_t sector = 0; sector < 32768; sector += 64) {
        write_stamp(image, sector, 1, (uint32_t)sector + 1);
    }
    cr_assert_eq(image_flush(image), 0);
    for (uint64_t sector = 0; sector < 6400; sector += 64) {
        cr_assert_eq(image_discard(image, sector * SECTOR, SECTOR), 0); /* tables changed in memory */
    }
    image->file->hook = &hook;
    for (uint64_t sector = 0; sector < 32768; sector += 64) {
        cr_assert_eq(read_stamp(image, sector), sector < 6400 ? 0 : (uint32_t)sector + 1);
    }
    stamp_fill(bytes, 1, 1);
    cr_assert_eq(image_write(image, SECTOR, bytes, SECTOR), -ENOSPC);
    cr_assert_eq(image_flush(image), -ENOSPC);
    image_close(image);
    cr_assert_eq(scratch_check("a.qcow2", NULL), 0);
}
