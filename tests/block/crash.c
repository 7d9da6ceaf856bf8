/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * qcow2 images whose writer dies, or whose disk fails, at any write.
 *
 * A random workload runs on an image while a hook records every change of the file. Then the file is rebuilt as it was
 * after each of them, as a killed process would leave it, whole or with the last write torn; and as a crashed host
 * could leave it, with any of the changes since the last flush lost. Each time the image must be free of errors, and
 * each sector must show what it had at the last completed flush, or something written after it.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "scratch.h"
#include "vm/block_qcow2.h"

enum { DISK_SECTORS = 4096, MAX_CHANGES = 20000, MAX_STEPS = 400, FILLED_SECTORS = 3950 };
#define BASE_STAMP 0xb0000000u
#define FILL_STAMP 0xf0000000u
static const char image_path[] = "disk.qcow2", crashed_path[] = "crashed.qcow2", base_path[] = "base.img";

struct change {
    enum block_file_access access;
    uint64_t offset, length;
    uint8_t *bytes;
};

/* What the workload did to one sector: the stamp, and the number of file changes before. */
struct version {
    uint32_t stamp, sector;
    unsigned at;
};

struct history {
    struct change change[MAX_CHANGES];
    unsigned count;
    struct version version[DISK_SECTORS * 64];
    unsigned versions;
    struct {
        unsigned end, versions; /* file changes, and versions, when the flush was over */
    } flush[MAX_STEPS];
    unsigned flushes;
    uint32_t start[DISK_SECTORS]; /* stamps before */
    /* faults */
    unsigned fail_at, fail_count;
    int fail_result;
};

static int record(void *opaque, enum block_file_access access, uint64_t offset, const struct iovec *iov,
                  unsigned iov_count, uint64_t length)
{
    struct history *history = opaque;
    struct change *change = &history->change[history->count];

    cr_assert_lt(history->count, MAX_CHANGES);
    if (history->count >= history->fail_at && history->count < history->fail_at + history->fail_count) {
        history->count++;
        return history->fail_result;
    }
    history->count++;
    *change = (struct change){.access = access, .offset = offset, .length = length};
    if (access == BLOCK_FILE_IO_WRITE) {
        uint8_t *to = change->bytes = malloc(length);

        for (unsigned i = 0; i < iov_count; i++) {
            memcpy(to, iov[i].iov_base, iov[i].iov_len);
            to += iov[i].iov_len;
        }
    }
    return 0;
}

static void history_free(struct history *history)
{
    for (unsigned i = 0; i < history->count; i++) {
        free(history->change[i].bytes);
    }
    free(history);
}

/* ---- the workload ---- */

struct shape {
    unsigned cluster_bits, refcount_bits, version;
    bool backing;
    bool grows; /* the refcount table does, on the way */
    unsigned steps;
    uint64_t seed;
};

static void make_base(void)
{
    struct image_create_options options = {.size = DISK_SECTORS / 2 * SECTOR};
    uint8_t bytes[SECTOR];
    struct image *base;

    scratch_create(base_path, "raw", &options);
    base = scratch_open(base_path, "raw", IMAGE_WRITE);
    for (unsigned i = 0; i < DISK_SECTORS / 2; i++) {
        stamp_fill(bytes, BASE_STAMP + i, 1);
        cr_assert_eq(image_write(base, (uint64_t)i * SECTOR, bytes, SECTOR), 0);
    }
    image_close(base);
}

/* So much that the next few clusters need a larger refcount table. */
static void fill_image(struct image *image, struct history *history)
{
    uint8_t bytes[SECTOR];

    for (unsigned i = 0; i < FILLED_SECTORS; i++) {
        history->start[i] = FILL_STAMP + i;
        stamp_fill(bytes, history->start[i], 1);
        cr_assert_eq(image_write(image, (uint64_t)i * SECTOR, bytes, SECTOR), 0);
    }
    cr_assert_eq(image_flush(image), 0);
}

static struct image *make_image(const struct shape *shape, struct history *history)
{
    struct image_create_options options = {.size = DISK_SECTORS * SECTOR,
                                           .cluster_bits = shape->cluster_bits,
                                           .refcount_bits = shape->refcount_bits,
                                           .version = shape->version,
                                           .backing = shape->backing ? base_path : NULL,
                                           .backing_format = "raw"};

    if (shape->backing) {
        make_base();
    }
    for (unsigned i = 0; i < DISK_SECTORS; i++) {
        history->start[i] = shape->backing && i < DISK_SECTORS / 2 ? BASE_STAMP + i : 0;
    }
    scratch_create(image_path, "qcow2", &options);
    return scratch_open(image_path, "qcow2", IMAGE_WRITE | IMAGE_NO_FLUSH); /* the hook sees the flushes */
}

static void note_versions(struct history *history, uint32_t stamp, unsigned sector, unsigned count,
                          unsigned at)
{
    for (unsigned i = 0; i < count; i++) {
        cr_assert_lt(history->versions, ARRAY_LEN(history->version));
        history->version[history->versions++] =
            (struct version){.stamp = stamp, .sector = sector + i, .at = at};
    }
}

static int one_step(struct image *image, struct history *history, unsigned step, uint64_t *random)
{
    static const unsigned lengths[] = {1, 3, 8, 9, 32, 64, 129, 300};
    unsigned length = lengths[scratch_random(random, ARRAY_LEN(lengths))];
    unsigned sector = scratch_random(random, DISK_SECTORS - length);
    unsigned kind = scratch_random(random, 12);
    unsigned at = history->count;
    uint64_t offset = (uint64_t)sector * SECTOR, bytes = (uint64_t)length * SECTOR;
    uint8_t *buffer;
    int result;

    if (kind == 0) {
        result = image_flush(image);
        if (result == 0) {
            history->flush[history->flushes].end = history->count;
            history->flush[history->flushes++].versions = history->versions;
        }
        return result;
    }
    if (kind == 1) {
        note_versions(history, 0, sector, length, at);
        return image_zero(image, offset, bytes);
    }
    buffer = malloc(bytes);
    if (kind == 2) {
        result = image_discard(image, offset, bytes);
        if (result == 0) {
            result = image_read(image, offset, buffer, bytes); /* a hint: zeros, or what was there */
        }
        for (unsigned i = 0; i < length; i++) {
            note_versions(history, result == 0 ? stamp_of(buffer + i * SECTOR) : 0, sector + i, 1, at);
        }
        free(buffer);
        return result;
    }
    stamp_fill(buffer, step + 1, length);
    note_versions(history, step + 1, sector, length, at);
    result = image_write(image, offset, buffer, bytes);
    free(buffer);
    return result;
}

/* ---- judging ---- */

/* The first `done` file changes survived whole, and perhaps some of those before `seen`: see the head of this file. */
static void judge(struct history *history, unsigned done, unsigned seen, const char *how)
{
    static uint32_t expected[DISK_SECTORS];
    static bool newer[DISK_SECTORS];
    struct image *image = scratch_open(crashed_path, "qcow2", IMAGE_NO_LOCK);
    uint8_t *disk = malloc(DISK_SECTORS * SECTOR);
    unsigned sure = 0; /* versions that a flush has promised */

    for (unsigned i = 0; i < history->flushes && history->flush[i].end <= done; i++) {
        sure = history->flush[i].versions;
    }
    memcpy(expected, history->start, sizeof(expected));
    memset(newer, 0, sizeof(newer));
    for (unsigned i = 0; i < history->versions; i++) {
        const struct version *version = &history->version[i];

        if (i < sure) {
            expected[version->sector] = version->stamp;
        }
    }
    cr_assert_eq(image_read(image, 0, disk, DISK_SECTORS * SECTOR), 0, "%s", how);
    for (unsigned i = sure; i < history->versions && history->version[i].at <= seen; i++) {
        const struct version *version = &history->version[i];

        newer[version->sector] |= stamp_of(disk + version->sector * SECTOR) == version->stamp;
    }
    for (unsigned i = 0; i < DISK_SECTORS; i++) {
        uint32_t stamp = stamp_of(disk + i * SECTOR);

        cr_assert(newer[i] || stamp == expected[i],
                  "%s after change %u: sector %u shows %#x, the last flush promised %#x", how, done, i, stamp,
                  expected[i]);
    }
    image_close(image);
    free(disk);
}

/* A file in memory. */
struct state {
    uint8_t *bytes;
    uint64_t size, capacity;
};

static void state_reserve(struct state *state, uint64_t size)
{
    if (size > state->capacity) {
        uint64_t capacity = size * 2;

        state->bytes = realloc(state->bytes, capacity);
        memset(state->bytes + state->capacity, 0, capacity - state->capacity);
        state->capacity = capacity;
    }
    state->size = MAX(state->size, size);
}

/* Apply the first `length` bytes of a change. */
static void state_apply(struct state *state, const struct change *change, uint64_t length)
{
    switch (change->access) {
    case BLOCK_FILE_IO_WRITE:
        state_reserve(state, change->offset + length);
        memcpy(state->bytes + change->offset, change->bytes, length);
        break;
    case BLOCK_FILE_IO_PUNCH:
        if (change->offset < state->size) {
            memset(state->bytes + change->offset, 0, MIN(change->length, state->size - change->offset));
        }
        break;
    case BLOCK_FILE_IO_TRUNCATE:
        state_reserve(state, change->offset);
        state->size = change->offset;
        break;
    case BLOCK_FILE_IO_SYNC:
        break;
    }
}

static void state_save(const struct state *state)
{
    FILE *file = fopen(crashed_path, "w");

    cr_assert_eq(fwrite(state->bytes, 1, state->size, file), state->size);
    cr_assert_eq(fclose(file), 0);
}

static struct state state_load(const char *path)
{
    struct state state = {0};
    FILE *file = fopen(path, "r");
    long size;

    fseek(file, 0, SEEK_END);
    size = ftell(file);
    rewind(file);
    state_reserve(&state, (uint64_t)size);
    cr_assert_eq(fread(state.bytes, 1, (size_t)size, file), (size_t)size);
    fclose(file);
    return state;
}

static void state_judge(const struct state *state, struct history *history, unsigned done, unsigned seen,
                        const char *how)
{
    state_save(state);
    cr_assert_eq(scratch_check(crashed_path, NULL), 0, "%s after change %u", how, done);
    judge(history, done, seen, how);
}

/* The host crashes: of the changes since the last flush any sectors may be lost. */
static void judge_power_loss(const struct state *synced, struct history *history, unsigned from, unsigned to,
                             uint64_t *random)
{
    struct state state = {0};

    state_reserve(&state, synced->size);
    memcpy(state.bytes, synced->bytes, synced->size);
    for (unsigned i = from; i < to; i++) {
        struct change part = history->change[i];

        if (part.access != BLOCK_FILE_IO_WRITE) {
            if (scratch_random(random, 2)) {
                state_apply(&state, &part, part.length);
            }
            continue;
        }
        for (uint64_t at = 0; at < history->change[i].length;) {
            uint64_t end = MIN(history->change[i].length, ALIGN_DOWN(history->change[i].offset + at, SECTOR) +
                                                              SECTOR - history->change[i].offset);

            part.offset = history->change[i].offset + at;
            part.bytes = history->change[i].bytes + at;
            if (scratch_random(random, 2)) {
                state_apply(&state, &part, end - at);
            }
            at = end;
        }
    }
    state_judge(&state, history, from, to, "power loss");
    free(state.bytes);
}

static void run_crashes(const struct shape *shape)
{
    struct history *history = calloc(1, sizeof(*history));
    struct block_file_hook hook = {.before = record, .opaque = history};
    struct image *image;
    struct state state, synced = {0};
    unsigned last_sync = 0;
    uint32_t entries;
    uint64_t random = shape->seed;

    scratch_enter();
    image = make_image(shape, history);
    entries = qcow2_of(image)->reftable_entries;
    if (shape->grows) {
        fill_image(image, history);
        cr_assert_eq(qcow2_of(image)->reftable_entries, entries);
    }
    state = state_load(image_path);
    state_reserve(&synced, state.size);
    memcpy(synced.bytes, state.bytes, state.size);
    image->file->hook = &hook;
    for (unsigned step = 0; step < shape->steps; step++) {
        cr_assert_eq(one_step(image, history, step, &random), 0, "step %u", step);
    }
    cr_assert_eq(qcow2_of(image)->reftable_entries > entries, shape->grows);
    image_close(image);
    for (unsigned i = 0; i < history->count; i++) {
        const struct change *change = &history->change[i];

        if (change->access == BLOCK_FILE_IO_WRITE && change->length > SECTOR) {
            struct state torn = {0};

            state_reserve(&torn, state.size);
            memcpy(torn.bytes, state.bytes, state.size);
            state_apply(&torn, change,
                        ALIGN_DOWN(scratch_random(&random, (uint32_t)change->length), (uint64_t)SECTOR));
            state_judge(&torn, history, i, i + 1, "torn write");
            free(torn.bytes);
        }
        state_apply(&state, change, change->length);
        state_judge(&state, history, i + 1, i + 1, "kill");
        if (i % 5 == 0) {
            judge_power_loss(&synced, history, last_sync, i + 1, &random);
        }
        if (change->access == BLOCK_FILE_IO_SYNC) {
            state_reserve(&synced, state.size);
            memcpy(synced.bytes, state.bytes, state.size);
            last_sync = i + 1;
        }
    }
    cr_log_info("%u changes of the file, %u flushes", history->count, history->flushes);
    cr_assert_gt(history->count, 50);
    scratch_expect_clean(image_path);
    scratch_remove();
    free(state.bytes);
    free(synced.bytes);
    history_free(history);
}

Test(block_crash, killed_at_every_write)
{
    run_crashes(&(struct shape){.cluster_bits = 12, .steps = 90, .seed = 11});
}

Test(block_crash, killed_at_every_write_over_a_backing_file)
{
    run_crashes(&(struct shape){.cluster_bits = 12, .backing = true, .steps = 90, .seed = 22});
}

Test(block_crash, killed_while_the_refcount_table_grows)
{
    run_crashes(
        &(struct shape){.cluster_bits = 9, .refcount_bits = 64, .grows = true, .steps = 70, .seed = 33});
}

Test(block_crash, killed_with_an_old_image)
{
    run_crashes(&(struct shape){.cluster_bits = 10, .version = 2, .backing = true, .steps = 50, .seed = 44});
}

/* ---- faults ---- */

/* What the live disk shows is what was written without an error; what a flush answered is there after a reopening. */
static void run_fault(const struct shape *shape, unsigned fail_at, unsigned fail_count, int fail_result)
{
    struct history *history = calloc(1, sizeof(*history));
    struct block_file_hook hook = {.before = record, .opaque = history};
    struct image *image = make_image(shape, history);
    uint8_t *disk = malloc(DISK_SECTORS * SECTOR);
    static uint32_t shown[DISK_SECTORS];
    static bool unsure[DISK_SECTORS];
    uint64_t random = shape->seed;
    int flushed;

    history->fail_at = fail_at;
    history->fail_count = fail_count;
    history->fail_result = fail_result;
    image->file->hook = &hook;
    memcpy(shown, history->start, sizeof(shown));
    memset(unsure, 0, sizeof(unsure));
    for (unsigned step = 0; step < shape->steps; step++) {
        unsigned before = history->versions;
        int result = one_step(image, history, step, &random);

        cr_assert(result == 0 || result == fail_result, "%d", result);
        for (unsigned i = before; i < history->versions; i++) {
            const struct version *version = &history->version[i];

            shown[version->sector] = version->stamp;
            unsure[version->sector] = result < 0;
        }
    }
    image->file->hook = NULL;
    flushed = image_flush(image);
    for (unsigned round = 0; round < 2; round++) {
        cr_assert_eq(image_read(image, 0, disk, DISK_SECTORS * SECTOR), 0);
        for (unsigned i = 0; i < DISK_SECTORS && (round == 0 || flushed == 0); i++) {
            cr_assert(unsure[i] || stamp_of(disk + i * SECTOR) == shown[i],
                      "fault at %u: sector %u, round %u", fail_at, i, round);
        }
        image_close(image);
        cr_assert_eq(scratch_check(image_path, NULL), 0, "fault at %u", fail_at);
        image = scratch_open(image_path, "qcow2", IMAGE_WRITE);
    }
    image_close(image);
    history_free(history);
    free(disk);
}

static unsigned count_changes(const struct shape *shape)
{
    struct history *history = calloc(1, sizeof(*history));
    struct block_file_hook hook = {.before = record, .opaque = history};
    struct image *image = make_image(shape, history);
    uint64_t random = shape->seed;
    unsigned count;

    image->file->hook = &hook;
    for (unsigned step = 0; step < shape->steps; step++) {
        one_step(image, history, step, &random);
    }
    image_close(image);
    count = history->count;
    history_free(history);
    return count;
}

static void run_faults(const struct shape *shape)
{
    unsigned count;

    scratch_enter();
    count = count_changes(shape);
    cr_assert_gt(count, 50);
    for (unsigned at = 0; at < count; at++) {
        run_fault(shape, at, 1, -EIO);
        run_fault(shape, at, UINT32_MAX - at, -ENOSPC);
    }
    scratch_remove();
}

Test(block_crash, every_write_can_fail)
{
    run_faults(&(struct shape){.cluster_bits = 12, .steps = 60, .seed = 55});
}

Test(block_crash, every_write_can_fail_over_a_backing_file)
{
    run_faults(
        &(struct shape){.cluster_bits = 9, .refcount_bits = 64, .backing = true, .steps = 30, .seed = 66});
}

/* ---- a real kill ---- */

/* Writes and flushes until it is killed; says through the pipe what was flushed. */
static void child_writes(int pipe_end, uint64_t seed)
{
    struct image *image = scratch_open(image_path, "qcow2", IMAGE_WRITE);
    uint8_t bytes[32 * SECTOR];

    for (uint32_t stamp = 1;; stamp++) {
        uint32_t sector = scratch_random(&seed, DISK_SECTORS / 32) * 32;
        uint32_t message[2] = {sector, stamp};

        stamp_fill(bytes, stamp, 32);
        if (image_write(image, (uint64_t)sector * SECTOR, bytes, sizeof(bytes)) < 0 ||
            image_flush(image) < 0 || write(pipe_end, message, sizeof(message)) != sizeof(message)) {
            _exit(1);
        }
    }
}

static void kill_one(unsigned round)
{
    static uint32_t promised[DISK_SECTORS];
    uint32_t message[2];
    uint8_t bytes[SECTOR];
    struct image *image;
    int ends[2], status;
    pid_t child;

    cr_assert_eq(pipe(ends), 0);
    child = fork();
    if (child == 0) {
        close(ends[0]);
        child_writes(ends[1], 1000 + round);
    }
    close(ends[1]);
    memset(promised, 0, sizeof(promised));
    for (unsigned i = 0; read(ends[0], message, sizeof(message)) == sizeof(message); i++) {
        promised[message[0]] = message[1];
        if (i == 20 + round * 7) {
            kill(child, SIGKILL);
        }
    }
    close(ends[0]);
    waitpid(child, &status, 0);
    cr_assert(WIFSIGNALED(status));
    cr_assert_eq(scratch_check(image_path, NULL), 0);
    image = scratch_open(image_path, "qcow2", IMAGE_WRITE);
    for (unsigned i = 0; i < DISK_SECTORS; i++) {
        cr_assert_eq(image_read(image, (uint64_t)i * SECTOR, bytes, SECTOR), 0);
        cr_assert(stamp_of(bytes) >= promised[i], "sector %u: %u, promised %u", i, stamp_of(bytes),
                  promised[i]);
    }
    image_close(image);
}

Test(block_crash, kill_9_loses_nothing_flushed)
{
    struct image_create_options options = {.size = DISK_SECTORS * SECTOR, .cluster_bits = 12};

    scratch_enter();
    for (unsigned round = 0; round < 8; round++) {
        scratch_create(image_path, "qcow2", &options);
        kill_one(round);
    }
    scratch_remove();
}
