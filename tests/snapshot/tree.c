/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Many snapshots that build on each other: what a save writes, what a deletion leaves, and what the guest does while a
 * save is being written.
 */
#include <errno.h>
#include <semaphore.h>
#include <stdlib.h>
#include <unistd.h>

#include "machine.h"
#include "vm/snapshot_host.h"
#include "vm/snapshot_manifest.h"

enum { START = 60000, SNAPSHOTS = 24 };

struct taken {
    char name[16];
    struct machine_look look;
    bool there;
};

static void check_all(struct vm *vm, const struct taken *taken, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct error error = {{0}};

        if (taken[i].there) {
            machine_load(vm, taken[i].name);
            machine_expect(vm, &taken[i].look, taken[i].name);
        } else {
            cr_assert_eq(snapshot_load(vm, taken[i].name, &error), -ENOENT, "%s", error.text);
        }
    }
}

/* Saves, loads and deletions in any order, in runs of one process and several. */
Test(snapshot_tree, any_snapshot_can_be_deleted)
{
    static struct taken taken[SNAPSHOTS];
    uint64_t random = 11;
    struct vm *vm;

    machine_enter();
    vm = machine_create("-accel dbt");
    machine_run_to(vm, START);
    for (unsigned i = 0; i < SNAPSHOTS; i++) {
        unsigned other = machine_random(&random, i + 1);

        cr_assert(machine_run_insns(vm, 1 + machine_random(&random, 30000), true));
        snprintf(taken[i].name, sizeof(taken[i].name), "s%u", i);
        taken[i].look = machine_look(vm);
        taken[i].there = true;
        machine_save(vm, taken[i].name);
        if (i % 3 == 2 && taken[other].there) {
            cr_assert_eq(snapshot_delete(vm, taken[other].name, NULL), 0);
            taken[other].there = false;
        } else if (i % 5 == 4 && taken[other].there) {
            machine_load(vm, taken[other].name);
        }
        if (i % 7 == 6) { /* what the disk held at the end is what it holds at the start */
            uint64_t disk = machine_look(vm).disk;

            vm_destroy(vm);
            vm = machine_create("-accel dbt");
            cr_assert_eq(machine_look(vm).disk, disk);
            machine_run_to(vm, START);
        }
    }
    check_all(vm, taken, SNAPSHOTS);
    vm_destroy(vm);
    vm = machine_create("-accel interp");
    check_all(vm, taken, SNAPSHOTS);
    for (unsigned i = 0; i < SNAPSHOTS; i++) {
        cr_assert(!taken[i].there || snapshot_delete(vm, taken[i].name, NULL) == 0);
    }
    vm_destroy(vm);
    /* Nothing is left but the layers of the disk as it is. */
    machine_shell("test -z \"$(ls " STORE "/snapshots)\" && grep -o 'ide0-hd0[.].*qcow2' " STORE
                  "/current | sort >named && ls " STORE "/layers | cmp - named");
    machine_leave();
}

static uint64_t saved_pages(struct vm *vm)
{
    struct snapshot_figures figures;

    snapshot_get_figures(vm, &figures);
    cr_assert(figures.written);
    return figures.pages;
}

Test(snapshot_tree, a_second_save_writes_what_changed)
{
    struct vm *vm;
    uint64_t all;

    machine_enter();
    vm = machine_create("-accel dbt");
    machine_run_to(vm, START);
    machine_save(vm, "one");
    all = saved_pages(vm);
    cr_assert_gt(all, 8);
    machine_save(vm, "two");
    cr_assert_eq(saved_pages(vm), 0);
    machine_run_to(vm, START + 2000);
    machine_save(vm, "three");
    cr_assert_lt(saved_pages(vm), all);
    cr_assert_gt(saved_pages(vm), 0);
    machine_load(vm, "one");
    machine_save(vm, "four");
    cr_assert_eq(saved_pages(vm), 0);
    vm_destroy(vm);
    machine_leave();
}

/* ---- the guest goes on ---- */

static int wait_at_pages(void *opaque, enum snapshot_change change, const char *name, size_t length)
{
    (void)length;
    if (change == SNAPSHOT_WRITE && !strncmp(name, "ram-", 4)) {
        sem_t *go = opaque;

        sem_wait(go);
        sem_post(go);
    }
    return 0;
}

static void run_meanwhile(const char *engine)
{
    struct snapshot_figures figures = {.pause_ns = 0};
    struct snapshot_hook hook;
    struct machine_look look, later;
    struct vm *vm;
    sem_t go;

    machine_enter();
    vm = machine_create(engine);
    machine_run_to(vm, START);
    cr_assert_eq(sem_init(&go, 0, 0), 0);
    hook = (struct snapshot_hook){.before = wait_at_pages, .opaque = &go};
    cr_assert_eq(snapshot_set_hook(vm, &hook, NULL), 0);
    look = machine_look(vm);
    cr_assert_eq(snapshot_save(vm, "one", "", NULL), 0);
    while (figures.pause_ns == 0) { /* the event loop takes the picture */
        loop_poll(&vm->loop, UINT64_MAX);
        snapshot_get_figures(vm, &figures);
    }
    machine_run_to(vm, START + 60000);
    later = machine_look(vm);
    sem_post(&go);
    cr_assert_eq(snapshot_wait(vm, NULL), 0);
    snapshot_get_figures(vm, &figures);
    cr_assert_gt(figures.copies, 5);
    machine_save(vm, "two");
    machine_load(vm, "one");
    machine_expect(vm, &look, "the moment of the save");
    machine_load(vm, "two");
    machine_expect(vm, &later, "what came after it");
    vm_destroy(vm);
    sem_destroy(&go);
    machine_leave();
}

Test(snapshot_tree, what_the_guest_writes_meanwhile_is_not_in_it)
{
    run_meanwhile("-accel interp");
    run_meanwhile("-accel dbt");
    run_meanwhile("-accel dbt,windows=off");
    run_meanwhile("-accel dbt,check=on");
}

/* ---- disks that layers stand on ---- */

static void expect_no_start(const char *options, const char *why)
{
    struct error error = {{0}};

    cr_assert_null(machine_try(options, &error), "%s", options);
    cr_assert_not_null(strstr(error.text, why), "%s", error.text);
}

Test(snapshot_tree, an_image_below_layers_is_not_written)
{
    struct machine_look look;
    struct vm *vm;

    machine_enter();
    vm = machine_create("-accel dbt");
    machine_run_to(vm, START);
    machine_save(vm, "one");
    machine_run_to(vm, START + 30000);
    look = machine_look(vm);
    vm_destroy(vm);
    machine_shell("cp " DISK_FILE " other.img; cp " DISK_FILE " before.img");
    expect_no_start("-drive file=" DISK_FILE ",index=1", "know 'disk.img' as drive ide0-hd0");
    expect_no_start("-drive file=other.img,index=0 -drive file=" DISK_FILE ",index=1",
                    "what 'disk.img' holds now is in");
    expect_no_start("-snapshots elsewhere", "what 'disk.img' holds now is in");
    vm = machine_create("-drive file=" DISK_FILE ",index=1,snapshot=on");
    vm_destroy(vm);
    vm = machine_create("-snapshots ./" STORE "/");
    cr_assert_eq(machine_look(vm).disk, look.disk);
    vm_destroy(vm);
    machine_shell("cmp " DISK_FILE " before.img");
    machine_leave();
}

Test(snapshot_tree, a_disk_has_so_many_layers_and_no_more)
{
    struct machine_look look;
    struct error error = {{0}};
    unsigned count = 0;
    struct vm *vm;

    machine_enter();
    vm = machine_create("-accel dbt");
    machine_run_to(vm, START);
    for (int result = 0; result == 0 && count < 100; count++) {
        cr_assert_eq(snapshot_save(vm, NULL, NULL, &error), 0, "%s", error.text);
        result = snapshot_wait(vm, &error);
        cr_assert(machine_run_insns(vm, 3000, true));
    }
    cr_assert_eq(count, SNAPSHOT_LAYERS_MAX + 1);
    cr_assert_not_null(strstr(error.text, "48 layers of snapshots"), "%s", error.text);
    look = machine_look(vm);
    vm_destroy(vm);
    vm = machine_create("-accel dbt");
    cr_assert_eq(machine_look(vm).disk, look.disk);
    vm_destroy(vm);
    machine_leave();
}

/* ---- words ---- */

Test(snapshot_tree, lists_names_notes_and_the_way_here)
{
    struct error error = {{0}};
    char *text = NULL;
    size_t length;
    FILE *out;
    struct vm *vm;

    machine_enter();
    vm = machine_create("-accel dbt");
    machine_run_to(vm, START);
    cr_assert_eq(snapshot_save(vm, "first", "a note \x1b[2J of some words", &error), 0);
    machine_save(vm, "second");
    machine_load(vm, "first");
    machine_save(vm, "third");
    cr_assert_eq(snapshot_delete(vm, "first", &error), 0);
    machine_save(vm, "fourth");
    out = open_memstream(&text, &length);
    cr_assert_eq(snapshot_list(vm, out, &error), 0);
    fclose(out);
    cr_assert_null(strchr(text, 0x1b), "%s", text);
    cr_assert_not_null(strstr(text, "\n  third "), "%s", text);
    cr_assert_not_null(strstr(text, "\n* `- fourth "), "%s", text);
    cr_assert_null(strstr(text, "first"), "%s", text);
    free(text);
    for (unsigned i = 0; i < 3; i++) { /* names of their own, in one second too */
        cr_assert_eq(snapshot_save(vm, NULL, NULL, &error), 0, "%s", error.text);
        cr_assert_eq(snapshot_wait(vm, &error), 0, "%s", error.text);
    }
    cr_assert_eq(snapshot_save(vm, "../up", "", &error), -EINVAL);
    cr_assert_eq(snapshot_save(vm, "third", "", &error), -EEXIST);
    cr_assert_eq(snapshot_delete(vm, "nothing", &error), -ENOENT);
    cr_assert_not_null(strstr(error.text, "there is no snapshot 'nothing'"));
    vm_destroy(vm);
    machine_leave();
}
