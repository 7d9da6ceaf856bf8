/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Snapshots of drives whose changes are temporary (-snapshot): kept in the folder that -snapshots names, while the image and
 * what belongs to it are left alone.
 */
#include <errno.h>
#include <unistd.h>

#include "machine.h"
#include "vm/clone.h"
#include "vm/snapshot_host.h"

#define TEMPORARY "-accel dbt -snapshot -snapshots store"

enum { AT_A = 60000, AT_B = 110000, END = 180000 };

struct expected {
    struct machine_look a, b, end;
};

static struct expected run_alone(void)
{
    struct expected expected;

    machine_enter();
    struct vm *vm = machine_create("-accel dbt");
    machine_run_to(vm, AT_A);
    expected.a = machine_look(vm);
    machine_run_to(vm, AT_B);
    expected.b = machine_look(vm);
    machine_run_to(vm, END);
    expected.end = machine_look(vm);
    vm_destroy(vm);
    machine_leave();
    return expected;
}

static void enter(void)
{
    machine_enter();
    machine_shell("cp " DISK_FILE " original");
}

static void leave(void)
{
    machine_shell("cmp " DISK_FILE " original");
    cr_assert_neq(access(STORE, F_OK), 0, "nothing beside the image");
    machine_leave();
}

Test(snapshot_temporary, are_kept_where_the_user_says)
{
    struct expected expected = run_alone();

    enter();
    struct vm *vm = machine_create(TEMPORARY);
    machine_run_to(vm, AT_A);
    machine_save(vm, "a");
    machine_expect(vm, &expected.a, "after the save");
    machine_run_to(vm, AT_B);
    machine_save(vm, "b");
    machine_run_to(vm, END);
    machine_expect(vm, &expected.end, "the end");
    machine_load(vm, "a");
    machine_expect(vm, &expected.a, "a");
    machine_run_to(vm, AT_B);
    machine_expect(vm, &expected.b, "from a to b");
    machine_load(vm, "b");
    machine_expect(vm, &expected.b, "b");
    vm_destroy(vm);
    vm = machine_create(TEMPORARY " -loadvm b"); /* another process */
    machine_expect(vm, &expected.b, "b, later");
    machine_save(vm, "b2");
    machine_run_to(vm, END);
    machine_expect(vm, &expected.end, "from b to the end");
    vm_destroy(vm);
    vm = machine_create(TEMPORARY " -loadvm b2");
    machine_expect(vm, &expected.b, "b2");
    vm_destroy(vm);
    vm = machine_create(TEMPORARY);
    machine_run_to(vm, AT_A);
    machine_expect(vm, &expected.a, "from the image itself");
    vm_destroy(vm);
    leave();
}

Test(snapshot_temporary, without_a_folder_they_are_refused_with_the_mend)
{
    struct expected expected = run_alone();
    struct error error = {{0}};

    enter();
    struct vm *vm = machine_create("-accel dbt -snapshot");
    machine_run_to(vm, AT_A);
    cr_assert_lt(snapshot_save(vm, "a", "", &error), 0);
    cr_assert_not_null(strstr(error.text, "-snapshots DIR"), "%s", error.text);
    machine_expect(vm, &expected.a, "after the refusal");
    vm_destroy(vm);
    leave();
}

Test(snapshot_temporary, can_be_deleted)
{
    struct error error = {{0}};

    enter();
    struct vm *vm = machine_create(TEMPORARY);
    machine_run_to(vm, AT_A);
    machine_save(vm, "a");
    machine_save(vm, "b");
    cr_assert_eq(snapshot_delete(vm, "a", &error), 0, "%s", error.text);
    machine_load(vm, "b");
    machine_save(vm, "c");
    machine_load(vm, "c");
    vm_destroy(vm);
    vm = machine_create(TEMPORARY); /* stands on none of them */
    cr_assert_eq(snapshot_delete(vm, "b", &error), 0, "%s", error.text);
    cr_assert_eq(snapshot_delete(vm, "c", &error), 0, "%s", error.text);
    machine_shell("test -z \"$(ls store/layers store/snapshots | grep qcow2)\"");
    vm_destroy(vm);
    leave();
}

Test(snapshot_temporary, so_many_saves_and_a_line_that_says_what_to_do)
{
    struct error error = {{0}};
    int result = 0;
    char name[16];

    enter();
    struct vm *vm = machine_create(TEMPORARY);
    machine_run_to(vm, AT_A);
    for (unsigned i = 0; i < 60 && result == 0; i++) {
        snprintf(name, sizeof(name), "s%u", i);
        result = snapshot_save(vm, name, "", &error);
        result = result < 0 ? result : snapshot_wait(vm, &error);
        machine_run_to(vm, vm->cpu->insn_count + 100);
    }
    cr_assert_eq(result, -EMLINK);
    cr_assert_not_null(strstr(error.text, "loadvm"), "%s", error.text);
    struct machine_look look = machine_look(vm);
    machine_load(vm, "s30");
    machine_save(vm, "again");
    machine_run_to(vm, END);
    (void)look;
    vm_destroy(vm);
    leave();
}

/* A clone's disks stand on its parent's layers; its snapshot stands on the image alone. */
Test(snapshot_temporary, of_a_clone)
{
    struct expected expected = run_alone();
    struct clone_figures figures;
    struct error error = {{0}};

    machine_enter();
    struct vm *vm = machine_create("-accel dbt");
    machine_run_to(vm, AT_A);
    machine_save(vm, "parents");
    struct vm_config config = vm->config;
    config.name = "clone";
    config.snapshots = "clones";
    struct vm *clone = clone_create(vm, &config, &figures, &error);
    cr_assert_not_null(clone, "%s", error.text);
    machine_run_to(clone, AT_B);
    machine_save(clone, "b");
    machine_run_to(clone, END);
    machine_load(clone, "b");
    machine_expect(clone, &expected.b, "b in the clone");
    vm_destroy(vm);
    vm_destroy(clone);
    machine_shell("mv " STORE " elsewhere");
    vm = machine_create("-accel dbt -snapshot -snapshots clones -loadvm b");
    machine_expect(vm, &expected.b, "b by itself");
    machine_run_to(vm, END);
    machine_expect(vm, &expected.end, "from b to the end");
    vm_destroy(vm);
    machine_leave();
}

struct trouble {
    unsigned calls, from, until; /* calls: atomic */
    int result;
};

static int make_trouble(void *opaque, enum snapshot_change change, const char *name, size_t length)
{
    struct trouble *trouble = opaque;
    unsigned number = __atomic_fetch_add(&trouble->calls, 1, __ATOMIC_SEQ_CST);

    (void)change;
    (void)name;
    (void)length;
    return number >= trouble->from && number < trouble->until ? trouble->result : 0;
}

static void fail_at_every_change(int code, bool forever)
{
    struct expected expected = run_alone();
    bool reached = true;

    for (unsigned at = 0; reached; at++) {
        struct trouble trouble = {.from = at, .until = forever ? UINT32_MAX : at + 1, .result = code};
        struct snapshot_hook hook = {.before = make_trouble, .opaque = &trouble};
        struct error error = {{0}};
        enter();
        struct vm *vm = machine_create(TEMPORARY);
        machine_run_to(vm, AT_A);
        cr_assert_eq(snapshot_set_hook(vm, &hook, &error), 0);
        int result = snapshot_save(vm, "a", "", &error);
        result = result < 0 ? result : snapshot_wait(vm, &error);
        reached = trouble.calls > at;
        trouble.from = trouble.until = UINT32_MAX;
        cr_assert(result == 0 || *error.text);
        machine_expect(vm, &expected.a, "after the save");
        machine_run_to(vm, AT_B);
        machine_save(vm, "b");
        machine_run_to(vm, END);
        machine_expect(vm, &expected.end, "the end");
        machine_load(vm, result == 0 ? "a" : "b");
        machine_expect(vm, result == 0 ? &expected.a : &expected.b, "loaded");
        vm_destroy(vm);
        leave();
    }
}

Test(snapshot_temporary, every_change_can_fail)
{
    fail_at_every_change(-EIO, false);
    fail_at_every_change(-ENOSPC, true);
}
