/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Drives: requests that a worker thread carries out, on the virtual clock and in real time; media that come and go;
 * what a whole set of drives is made of.
 */
#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "scratch.h"
#include "vm/block_drives.h"

TestSuite(block_drive, .init = scratch_enter, .fini = scratch_remove);

enum { REQUESTS = 16 };

struct bench {
    struct clock clock;
    struct disk *disk;
    struct block_request request[REQUESTS];
    uint8_t buffer[REQUESTS][8 * SECTOR];
    unsigned calls, last;
    int result[REQUESTS];
    int notified; /* atomic */
};

static void bench_done(struct block_request *request, int result)
{
    struct bench *bench = request->opaque;

    bench->last = (unsigned)(request - bench->request);
    bench->result[bench->last] = result;
    bench->calls++;
}

static void bench_notify(void *opaque)
{
    __atomic_add_fetch(&((struct bench *)opaque)->notified, 1, __ATOMIC_RELAXED);
}

static struct bench *bench_create(enum clock_policy policy, const char *path, const char *format,
                                  unsigned flags)
{
    struct bench *bench = calloc(1, sizeof(*bench));
    struct error error;

    clock_init(&bench->clock, policy);
    clock_start(&bench->clock);
    bench->disk = disk_create("test", &bench->clock, true, bench_notify, bench, &error);
    cr_assert_not_null(bench->disk);
    disk_change(bench->disk, scratch_open(path, format, flags));
    return bench;
}

static void bench_destroy(struct bench *bench)
{
    disk_destroy(bench->disk);
    free(bench);
}

static void submit(struct bench *bench, unsigned i, enum block_op op, uint64_t sector)
{
    struct block_request *request = &bench->request[i];

    request->op = op;
    request->offset = sector * SECTOR;
    request->length = op == BLOCK_FLUSH ? 0 : 8 * SECTOR;
    request->buffer = bench->buffer[i];
    request->done = bench_done;
    request->opaque = bench;
    cr_assert_eq(block_submit(&bench->disk->block, request), 0);
}

/* Serve until so many requests are complete; fails after ten seconds. */
static void serve_until(struct bench *bench, unsigned calls)
{
    for (unsigned i = 0; i < 100000 && bench->calls < calls; i++) {
        disk_serve(bench->disk);
        clock_run_timers(&bench->clock);
        nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
    }
    cr_assert_eq(bench->calls, calls);
}

static const struct image_create_options small = {.size = 1 * MIB};

/* Whom a worker tells of its work may be freed once it has been silenced. */
enum { NOT_TOLD, BEING_TOLD, TOLD };

static void tell_slowly(void *opaque)
{
    __atomic_store_n((int *)opaque, BEING_TOLD, __ATOMIC_RELEASE);
    nanosleep(&(struct timespec){.tv_nsec = 30000000}, NULL);
    __atomic_store_n((int *)opaque, TOLD, __ATOMIC_RELEASE);
}

Test(block_drive, silenced_ones_tell_nobody_any_more)
{
    scratch_create("a.img", "raw", &small);
    struct bench *bench = bench_create(CLOCK_REAL_TIME, "a.img", "raw", IMAGE_WRITE);
    int *told = calloc(1, sizeof(*told));

    bench->disk->notify = tell_slowly;
    bench->disk->opaque = told;
    submit(bench, 0, BLOCK_READ, 0);
    for (unsigned i = 0; i < 100000 && __atomic_load_n(told, __ATOMIC_ACQUIRE) == NOT_TOLD; i++) {
        nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
    }
    disk_silence(bench->disk);
    cr_assert_eq(__atomic_load_n(told, __ATOMIC_ACQUIRE), TOLD, "it was in the middle of telling");
    free(told);
    serve_until(bench, 1);
    submit(bench, 1, BLOCK_READ, 8);
    serve_until(bench, 2);
    bench_destroy(bench);
}

Test(block_drive, real_time_requests_complete_when_the_worker_is_done)
{
    scratch_create("a.qcow2", "qcow2", &small);
    struct bench *bench = bench_create(CLOCK_REAL_TIME, "a.qcow2", "qcow2", IMAGE_WRITE);

    stamp_fill(bench->buffer[0], 5, 8);
    submit(bench, 0, BLOCK_WRITE, 16);
    submit(bench, 1, BLOCK_READ, 16);
    submit(bench, 2, BLOCK_FLUSH, 0);
    cr_assert_eq(bench->calls, 0, "never from inside submit");
    serve_until(bench, 3);
    cr_assert_eq(bench->last, 2, "in order");
    cr_assert_eq(stamp_of(bench->buffer[1]), 5);
    cr_assert_eq(bench->notified, 3);
    bench_destroy(bench);
    scratch_expect_clean("a.qcow2");
}

Test(block_drive, under_the_virtual_clock_completion_does_not_depend_on_the_host)
{
    scratch_create("a.img", "raw", &small);
    struct bench *bench = bench_create(CLOCK_STEPPED, "a.img", "raw", IMAGE_WRITE);

    for (unsigned i = 0; i < REQUESTS; i++) {
        stamp_fill(bench->buffer[i], i + 1, 8);
        submit(bench, i, BLOCK_WRITE, i * 8);
    }
    nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL); /* the worker is long done */
    disk_serve(bench->disk);
    cr_assert_eq(bench->calls, 0);
    clock_step_to(&bench->clock, bench->request[0].deadline - 1);
    cr_assert_eq(bench->calls, 0);
    clock_step_to(&bench->clock, bench->request[0].deadline);
    cr_assert_eq(bench->calls, REQUESTS, "all were submitted at one time");
    submit(bench, 0, BLOCK_READ, 80);
    clock_step_to(&bench->clock, NS_PER_SEC); /* at once: the host is waited for */
    cr_assert_eq(bench->calls, REQUESTS + 1);
    cr_assert_eq(stamp_of(bench->buffer[0]), 11);
    bench_destroy(bench);
}

Test(block_drive, cancelling_and_destroying_under_way_is_safe)
{
    for (unsigned round = 0; round < 50; round++) {
        scratch_create("a.qcow2", "qcow2", &small);
        struct bench *bench = bench_create(round % 2 ? CLOCK_STEPPED : CLOCK_REAL_TIME, "a.qcow2", "qcow2",
                                           IMAGE_WRITE | IMAGE_NO_FLUSH);

        for (unsigned i = 0; i < REQUESTS; i++) {
            stamp_fill(bench->buffer[i], 9, 8);
            submit(bench, i, i % 3 ? BLOCK_WRITE : BLOCK_READ, i * 8);
        }
        for (unsigned i = 0; i < REQUESTS; i += 2) {
            block_cancel(&bench->request[i]);
        }
        if (round % 3 == 0) {
            block_drain(&bench->disk->block);
            cr_assert_eq(bench->calls, REQUESTS / 2);
        }
        bench_destroy(bench);
        struct image *image = scratch_open("a.qcow2", "qcow2", 0);
        uint8_t bytes[SECTOR];

        for (unsigned i = 0; i < REQUESTS; i++) {
            cr_assert_eq(image_read(image, (uint64_t)i * 8 * SECTOR, bytes, SECTOR), 0);
            cr_assert_eq(stamp_of(bytes), i % 3 ? 9 : 0, "a cancelled write is carried out");
        }
        image_close(image);
    }
}

static int refuse_writes(void *opaque, enum block_file_access access, uint64_t offset,
                         const struct iovec *iov, unsigned iov_count, uint64_t length)
{
    (void)offset;
    (void)iov;
    (void)iov_count;
    (void)length;
    return access == BLOCK_FILE_IO_WRITE && *(bool *)opaque ? -ENOSPC : 0;
}

Test(block_drive, a_full_host_is_an_error_of_the_request_and_nothing_else)
{
    bool full = true;
    struct block_file_hook hook = {.before = refuse_writes, .opaque = &full};

    scratch_create("a.qcow2", "qcow2", &small);
    struct bench *bench = bench_create(CLOCK_STEPPED, "a.qcow2", "qcow2", IMAGE_WRITE);
    bench->disk->image->file->hook = &hook;
    stamp_fill(bench->buffer[0], 5, 8);
    submit(bench, 0, BLOCK_WRITE, 0);
    clock_step_to(&bench->clock, NS_PER_SEC);
    cr_assert_eq(bench->result[0], -ENOSPC);
    cr_assert_eq(disk_last_error(bench->disk), -ENOSPC);
    disk_hold(bench->disk);
    full = false;
    disk_release(bench->disk);
    submit(bench, 0, BLOCK_WRITE, 0);
    submit(bench, 1, BLOCK_FLUSH, 0);
    clock_step_to(&bench->clock, 2 * NS_PER_SEC);
    cr_assert_eq(bench->result[0], 0);
    cr_assert_eq(bench->result[1], 0);
    bench_destroy(bench);
    scratch_expect_clean("a.qcow2");
}

Test(block_drive, an_idle_drive_settles_its_image)
{
    scratch_create("a.qcow2", "qcow2", &small);
    struct bench *bench = bench_create(CLOCK_REAL_TIME, "a.qcow2", "qcow2", IMAGE_WRITE);
    uint8_t bytes[SECTOR];
    uint32_t stamp = 0;

    stamp_fill(bench->buffer[0], 5, 8);
    submit(bench, 0, BLOCK_WRITE, 0);
    serve_until(bench, 1);
    for (unsigned i = 0; i < 100 && stamp != 5; i++) {
        nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
        struct image *image = scratch_open("a.qcow2", "qcow2", IMAGE_NO_LOCK);
        cr_assert_eq(image_read(image, 0, bytes, SECTOR), 0);
        stamp = stamp_of(bytes);
        image_close(image);
    }
    cr_assert_eq(stamp, 5, "nobody flushed, and a kill now would lose nothing");
    bench_destroy(bench);
}

/* ---- a set of drives ---- */

struct machine {
    struct vm_config config;
    struct clock clock;
    struct drives drives;
};

static int machine_open(struct machine *machine, struct error *error)
{
    clock_init(&machine->clock, CLOCK_STEPPED);
    return drives_open(&machine->drives, &machine->config, &machine->clock, bench_notify, NULL, error);
}

Test(block_drive, drives_have_qemus_names_and_defaults)
{
    struct machine *machine = calloc(1, sizeof(*machine));
    struct error error = {{0}};

    scratch_create("a.img", "raw", &small);
    cr_assert_eq(config_add_ide(&machine->config, 0, "a.img", false, &error), 0);
    cr_assert_eq(machine_open(machine, &error), 0, "%s", error.text);
    struct disk *disk = drives_find(&machine->drives, "ide0-hd0");
    cr_assert_not_null(disk);
    cr_assert_eq(disk->block.size, 1 * MIB);
    cr_assert_not(disk->block.removable);
    disk = drives_find(&machine->drives, "ide1-cd0");
    cr_assert_not_null(disk);
    cr_assert(machine->drives.ide_is_cdrom[2]);
    cr_assert_not(disk->block.inserted);
    cr_assert_not_null(drives_find(&machine->drives, "floppy0"));
    cr_assert_null(drives_find(&machine->drives, "floppy1"));

    /* another program may not write to the disk meanwhile */
    cr_assert_null(image_open("a.img", "raw", IMAGE_WRITE, &error));
    drives_close(&machine->drives);
    image_close(scratch_open("a.img", "raw", IMAGE_WRITE));
    free(machine);
}

Test(block_drive, media_change_and_locked_ones_need_force)
{
    struct machine *machine = calloc(1, sizeof(*machine));
    struct error error = {{0}};

    scratch_create("a.iso", "raw", &small);
    cr_assert_eq(machine_open(machine, &error), 0);
    struct disk *cd = drives_find(&machine->drives, "ide1-cd0");
    cr_assert_eq(drives_change(&machine->drives, cd, "none.iso", NULL, false, &error), -EINVAL);
    cr_assert_not_null(strstr(error.text, "none.iso"));
    cr_assert_eq(drives_change(&machine->drives, cd, "a.iso", NULL, false, &error), 0, "%s", error.text);
    cr_assert(cd->block.inserted);
    cr_assert(cd->block.read_only);
    block_lock_medium(&cd->block, true);
    cr_assert_eq(drives_eject(cd, false, &error), -EBUSY);
    cr_assert_eq(drives_eject(cd, true, &error), 0);
    cr_assert_not(cd->block.inserted);
    drives_close(&machine->drives);
    free(machine);
}

Test(block_drive, snapshot_writes_nothing_until_commit)
{
    struct machine *machine = calloc(1, sizeof(*machine));
    struct error error = {{0}};
    uint8_t bytes[SECTOR];

    scratch_create("a.img", "raw", &small);
    cr_assert_eq(config_add_ide(&machine->config, 0, "a.img", false, &error), 0);
    machine->config.snapshot = true;
    cr_assert_eq(machine_open(machine, &error), 0, "%s", error.text);
    struct disk *disk = drives_find(&machine->drives, "ide0-hd0");
    stamp_fill(bytes, 3, 1);
    cr_assert_eq(image_write(disk->image, 0, bytes, SECTOR), 0);
    cr_assert_eq(image_flush(disk->image), 0);
    struct image *below = scratch_open("a.img", "raw", IMAGE_NO_LOCK);
    cr_assert_eq(image_read(below, 0, bytes, SECTOR), 0);
    cr_assert_eq(stamp_of(bytes), 0);
    cr_assert_eq(drives_commit(disk, &error), 0, "%s", error.text);
    cr_assert_eq(image_read(below, 0, bytes, SECTOR), 0);
    cr_assert_eq(stamp_of(bytes), 3);
    image_close(below);
    drives_close(&machine->drives);
    free(machine);
}
