/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * qcow2 files made to do harm: headers with impossible values are refused by name; thousands of mutated images are
 * opened, read, written and checked, and may fail in any way but a crash, a sanitizer's report, a hang, or memory out of
 * proportion. Run it in the sanitizer build.
 */
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "scratch.h"
#include "vm/block_qcow2.h"

enum { HOSTILE_DISK = 1 << 20 };
static const char path[] = "hostile.qcow2";

TestSuite(block_hostile, .init = scratch_enter, .fini = scratch_remove);

static uint8_t *good_file(size_t *size, unsigned version)
{
    struct image_create_options options = {.size = HOSTILE_DISK, .cluster_bits = 12, .version = version};
    uint8_t bytes[64 * SECTOR];
    struct image *image;
    uint8_t *file;
    FILE *stream;

    scratch_create(path, "qcow2", &options);
    image = scratch_open(path, "qcow2", IMAGE_WRITE);
    for (uint32_t i = 0; i < 10; i++) {
        stamp_fill(bytes, i + 1, 64);
        cr_assert_eq(image_write(image, (uint64_t)i * 90 * SECTOR, bytes, sizeof(bytes)), 0);
    }
    cr_assert_eq(image_zero(image, 0, 16 * SECTOR), 0);
    *size = image->file->size;
    image_close(image);
    file = malloc(*size);
    stream = fopen(path, "r");
    cr_assert_eq(fread(file, 1, *size, stream), *size);
    fclose(stream);
    return file;
}

static void save(const uint8_t *file, size_t size)
{
    FILE *stream = fopen(path, "w");

    cr_assert_eq(fwrite(file, 1, size, stream), size);
    cr_assert_eq(fclose(stream), 0);
}

/* A header field of 1, 4 or 8 bytes with a value that must be refused with `word` in the text. */
struct bad_field {
    unsigned offset, bytes;
    uint64_t value;
    const char *word;
};

Test(block_hostile, impossible_headers_are_refused_by_name)
{
    static const struct bad_field fields[] = {
        {QCOW2_H_MAGIC, 4, 0x12345678, "not a qcow2"},
        {QCOW2_H_VERSION, 4, 1, "version 1"},
        {QCOW2_H_VERSION, 4, 4, "version 4"},
        {QCOW2_H_CLUSTER_BITS, 4, 8, "cluster size"},
        {QCOW2_H_CLUSTER_BITS, 4, 22, "cluster size"},
        {QCOW2_H_CLUSTER_BITS, 4, 0xffffffff, "cluster size"},
        {QCOW2_H_SIZE, 8, UINT64_MAX, "damaged header"},
        {QCOW2_H_SIZE, 8, 1ull << 40, "L1 table"},
        {QCOW2_H_CRYPT, 4, 1, "encrypted"},
        {QCOW2_H_L1_SIZE, 4, 0, "L1 table"},
        {QCOW2_H_L1_SIZE, 4, 0xffffffff, "L1 table"},
        {QCOW2_H_L1_SIZE, 4, 0x00400000, "L1 table"},
        {QCOW2_H_L1_OFFSET, 8, 0, "L1 table"},
        {QCOW2_H_L1_OFFSET, 8, 513, "L1 table"},
        {QCOW2_H_L1_OFFSET, 8, 1ull << 62, "L1 table"},
        {QCOW2_H_REFTABLE_OFFSET, 8, 0, "refcount table"},
        {QCOW2_H_REFTABLE_OFFSET, 8, 1ull << 63, "refcount table"},
        {QCOW2_H_REFTABLE_CLUSTERS, 4, 0, "refcount table"},
        {QCOW2_H_REFTABLE_CLUSTERS, 4, 0xffffffff, "refcount table"},
        {QCOW2_H_SNAPSHOTS, 4, 0xffffffff, "snapshot table"},
        {QCOW2_H_SNAPSHOTS, 4, 5, "snapshot table"},
        {QCOW2_H_INCOMPATIBLE, 8, QCOW2_INCOMPAT_DATA_FILE, "external file"},
        {QCOW2_H_INCOMPATIBLE, 8, QCOW2_INCOMPAT_EXTENDED_L2, "extended L2"},
        {QCOW2_H_INCOMPATIBLE, 8, 1ull << 40, "does not know"},
        {QCOW2_H_REFCOUNT_ORDER, 4, 7, "damaged header"},
        {QCOW2_H_LENGTH, 4, 72, "damaged header"},
        {QCOW2_H_LENGTH, 4, 0xfffffff8, "damaged header"},
        {QCOW2_H_BACKING_OFFSET, 8, 8, "backing file name"},
        {QCOW2_H_BACKING_OFFSET, 8, UINT64_MAX, "backing file name"},
        {QCOW2_HEADER_V3, 8, 0xe2792acaffffffffull, "extension"},
    };
    size_t size;
    uint8_t *file = good_file(&size, 3);

    for (unsigned i = 0; i < ARRAY_LEN(fields); i++) {
        uint8_t saved[8];
        struct error error = {{0}};
        struct image *image;

        memcpy(saved, file + fields[i].offset, 8);
        if (fields[i].bytes == 4) {
            store_be32(file + fields[i].offset, (uint32_t)fields[i].value);
        } else {
            store_be64(file + fields[i].offset, fields[i].value);
        }
        save(file, size);
        image = image_open(path, "qcow2", 0, &error);
        cr_assert_null(image, "field %u", i);
        cr_assert_not_null(strstr(error.text, fields[i].word), "field %u: %s", i, error.text);
        cr_assert_not_null(strstr(error.text, path), "%s", error.text);
        memcpy(file + fields[i].offset, saved, 8);
    }
    free(file);
}

/* Everything that can be done with an image; results do not matter. */
static void exercise(unsigned flags, uint64_t *random)
{
    struct image_report report = {0};
    struct error error;
    struct image *image = image_open(path, "qcow2", flags | IMAGE_NO_FLUSH, &error);
    uint8_t bytes[16 * SECTOR];
    enum image_status status;
    uint64_t run;

    if (!image) {
        cr_assert_neq(*error.text, '\0');
        return;
    }
    for (unsigned i = 0; i < 24; i++) {
        uint64_t sectors = MIN(image->size, (uint64_t)4 * HOSTILE_DISK) / SECTOR;
        uint64_t offset = sectors ? (uint64_t)scratch_random(random, (uint32_t)sectors) * SECTOR : 0;

        stamp_fill(bytes, i, 16);
        image_read(image, offset, bytes, sizeof(bytes));
        image_contents(image, offset, image->size - offset, &status, &run);
        image_write(image, offset, bytes, sizeof(bytes));
        image_discard(image, offset, 64 * SECTOR);
        if (i == 12) {
            image_flush(image);
        }
    }
    if (flags & IMAGE_WRITE) {
        image_zero(image, 0, MIN(image->size, (uint64_t)HOSTILE_DISK));
    }
    image->ops->check(image, 0, &report, &error);
    if (flags & IMAGE_REPAIR) {
        image->ops->check(image, IMAGE_FIX_ALL | IMAGE_FIX_LEAKS, &report, &error);
        image->ops->empty(image);
    }
    image_close(image);
}

/* The interesting bytes: the header, and each table. */
static void mutate(uint8_t *file, size_t size, uint64_t *random)
{
    static const uint8_t values[] = {0, 1, 0x7f, 0x80, 0xff, 0x40, 0xc0, 0x10};
    unsigned changes = 1 + scratch_random(random, 4);

    for (unsigned i = 0; i < changes; i++) {
        unsigned kind = scratch_random(random, 4);
        size_t area = kind == 0   ? scratch_random(random, 112)
                      : kind == 1 ? scratch_random(random, 4096)
                      : kind == 2 ? 4096 * (1 + scratch_random(random, 4)) + scratch_random(random, 256)
                                  : scratch_random(random, (uint32_t)size);

        if (scratch_random(random, 4) == 0) {
            store_be64(file + MIN(area & ~(size_t)7, size - 8),
                       (uint64_t)scratch_random(random, (uint32_t)(size >> 12) + 2) << 12 |
                           (scratch_random(random, 2) ? QCOW2_COPIED : 0));
        } else {
            file[MIN(area, size - 1)] = values[scratch_random(random, ARRAY_LEN(values))];
        }
    }
}

static void run_mutations(unsigned version, unsigned rounds, uint64_t seed)
{
    size_t size;
    uint8_t *good = good_file(&size, version);
    uint8_t *file = malloc(size);
    struct rlimit limit = {.rlim_cur = 256 * MIB, .rlim_max = RLIM_INFINITY};

    /* a file may claim to be large, but not grow so */
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    signal(SIGXFSZ, SIG_IGN);
    for (unsigned i = 0; i < rounds; i++) {
        memcpy(file, good, size);
        mutate(file, size, &seed);
        save(file, scratch_random(&seed, 16) ? size : scratch_random(&seed, (uint32_t)size));
        exercise(0, &seed);
        exercise(IMAGE_WRITE, &seed);
        exercise(IMAGE_WRITE | IMAGE_REPAIR, &seed);
    }
    free(good);
    free(file);
}

Test(block_hostile, mutated_images_never_crash)
{
    run_mutations(3, 800, 42);
}

Test(block_hostile, mutated_old_images_never_crash)
{
    run_mutations(2, 300, 43);
}
