/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Layers of a disk that become one: what the disk holds, and every snapshot, stay what they are, also when the process is
 * killed or the host fails at any change of a file.
 */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "machine.h"
#include "vm/snapshot_host.h"

enum { START = 20000, STEP = 15000, SNAPSHOTS = 7, KEPT_FIRST = 0, KEPT_MIDDLE = 3, EXIT_UNHURT = 3 };

static char *name_of(unsigned i)
{
    static char name[8];

    snprintf(name, sizeof(name), "s%u", i);
    return name;
}

static unsigned count_layers(void)
{
    DIR *list = opendir(STORE "/layers");
    unsigned count = 0;

    for (struct dirent *entry; (entry = readdir(list));) {
        count += entry->d_name[0] != '.';
    }
    closedir(list);
    return count;
}

struct expected {
    struct machine_look at[SNAPSHOTS], now;
};

static void merge(struct vm *vm)
{
    struct error error = {{0}};

    cr_assert_eq(snapshot_merge(vm, &error), 0, "%s", error.text);
}

static void drop(struct vm *vm, unsigned i)
{
    struct error error = {{0}};

    cr_assert_eq(snapshot_delete(vm, name_of(i), &error), 0, "%s", error.text);
}

/* Snapshots in a row; then all but two are deleted. */
static struct vm *prepare(struct expected *expected)
{
    struct vm *vm = machine_create("-accel dbt");

    for (unsigned i = 0; i < SNAPSHOTS; i++) {
        machine_run_to(vm, START + i * STEP);
        expected->at[i] = machine_look(vm);
        machine_save(vm, name_of(i));
    }
    machine_run_to(vm, START + SNAPSHOTS * STEP);
    expected->now = machine_look(vm);
    for (unsigned i = 0; i < SNAPSHOTS; i++) {
        if (i != KEPT_FIRST && i != KEPT_MIDDLE) {
            drop(vm, i);
        }
    }
    return vm;
}

static void expect_snapshots(struct vm *vm, const struct expected *expected)
{
    machine_load(vm, name_of(KEPT_FIRST));
    machine_expect(vm, &expected->at[KEPT_FIRST], "the first");
    machine_run_to(vm, START + STEP);
    machine_expect(vm, &expected->at[1], "from the first on");
    machine_load(vm, name_of(KEPT_MIDDLE));
    machine_expect(vm, &expected->at[KEPT_MIDDLE], "the one in the middle");
    machine_run_to(vm, START + SNAPSHOTS * STEP);
    machine_expect(vm, &expected->now, "from the middle on");
}

Test(snapshot_merge, neighbours_become_one)
{
    struct expected expected;

    machine_enter();
    struct vm *vm = prepare(&expected);
    cr_assert_eq(count_layers(), SNAPSHOTS);
    merge(vm);
    /* image: s0 | 1 2 3: s3 | 4 5 6 | the one that is written */
    cr_assert_eq(count_layers(), 3);
    machine_expect(vm, &expected.now, "after merging");
    merge(vm);
    cr_assert_eq(count_layers(), 3, "nothing is left to do");
    machine_run_to(vm, START + SNAPSHOTS * STEP + 5000);
    machine_look(vm);
    expect_snapshots(vm, &expected);
    vm_destroy(vm);
    vm = machine_create("-accel dbt"); /* and for the next process */
    expect_snapshots(vm, &expected);
    vm_destroy(vm);
    machine_leave();
}

Test(snapshot_merge, a_branch_is_a_boundary)
{
    struct expected expected;

    machine_enter();
    struct vm *vm = prepare(&expected);
    machine_load(vm, name_of(KEPT_MIDDLE));
    machine_run_to(vm, START + 4 * STEP);
    machine_save(vm, "branch");
    struct machine_look branch = machine_look(vm);
    drop(vm, KEPT_MIDDLE);
    merge(vm);
    machine_expect(vm, &branch, "after merging");
    machine_load(vm, name_of(KEPT_FIRST));
    machine_expect(vm, &expected.at[KEPT_FIRST], "the first");
    machine_load(vm, "branch");
    machine_expect(vm, &branch, "the branch");
    vm_destroy(vm);
    machine_leave();
}

Test(snapshot_merge, without_snapshots_one_layer_is_left)
{
    struct expected expected;

    machine_enter();
    struct vm *vm = prepare(&expected);
    drop(vm, KEPT_FIRST);
    drop(vm, KEPT_MIDDLE);
    merge(vm);
    cr_assert_eq(count_layers(), 2);
    machine_expect(vm, &expected.now, "after merging");
    vm_destroy(vm);
    vm = machine_create("");
    cr_assert_eq(machine_look(vm).disk, expected.now.disk);
    vm_destroy(vm);
    machine_leave();
}

/* With many layers it begins by itself, beside the guest, and more saves than layers are possible. */
Test(snapshot_merge, many_saves_and_few_layers)
{
    machine_enter();
    struct vm *vm = machine_create("-accel dbt");
    machine_run_to(vm, START);
    for (unsigned i = 0; i < 70; i++) {
        struct error error = {{0}};
        machine_save(vm, name_of(i));
        machine_run_to(vm, vm->cpu->insn_count + 500);
        if (i > 0) {
            drop(vm, i - 1);
        }
        for (unsigned k = 0; k < 20; k++) {
            loop_poll(&vm->loop, 1000000);
        }
        cr_assert_eq(snapshot_wait(vm, &error), 0);
    }
    cr_assert_leq(count_layers(), 12);
    struct machine_look look = machine_look(vm);
    merge(vm);
    machine_expect(vm, &look, "after merging");
    vm_destroy(vm);
    machine_leave();
}

/* What clones stand on may be merged under them. */
Test(snapshot_merge, while_it_runs_it_can_be_given_up)
{
    struct expected expected;

    machine_enter();
    struct vm *vm = prepare(&expected);
    for (unsigned i = 0; i < 3; i++) { /* each begins one, and the next gives it up */
        machine_load(vm, name_of(KEPT_MIDDLE));
        machine_expect(vm, &expected.at[KEPT_MIDDLE], "loaded");
        machine_run_to(vm, START + SNAPSHOTS * STEP);
        machine_expect(vm, &expected.now, "gone on");
    }
    vm_destroy(vm);
    vm = machine_create("-accel dbt");
    expect_snapshots(vm, &expected);
    vm_destroy(vm);
    machine_leave();
}

/* ---- kills and failures ---- */

struct trouble {
    unsigned calls, from, until; /* calls: atomic */
    int result;                  /* 0: SIGKILL */
};

static int make_trouble(void *opaque, enum snapshot_change change, const char *name, size_t length)
{
    struct trouble *trouble = opaque;
    unsigned number = __atomic_fetch_add(&trouble->calls, 1, __ATOMIC_SEQ_CST);

    (void)change;
    (void)name;
    (void)length;
    if (number < trouble->from || number >= trouble->until) {
        return 0;
    }
    if (trouble->result == 0) {
        kill(getpid(), SIGKILL);
    }
    return trouble->result;
}

static void save_folder(void)
{
    machine_shell("mkdir before && cp -a " DISK_FILE " " STORE " before");
}

static void restore_folder(void)
{
    machine_shell("rm -rf " DISK_FILE " " STORE " && cp -a before/. .");
}

static bool run_killed(unsigned at)
{
    pid_t child = fork();
    int status;

    if (child == 0) {
        struct trouble trouble = {.from = at, .until = UINT32_MAX};
        struct snapshot_hook hook = {.before = make_trouble, .opaque = &trouble};
        struct vm *vm = machine_create("-accel dbt");
        snapshot_set_hook(vm, &hook, NULL);
        _exit(snapshot_merge(vm, NULL) < 0 ? 1 : EXIT_UNHURT);
    }
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFSIGNALED(status) || WEXITSTATUS(status) == EXIT_UNHURT);
    return WIFSIGNALED(status);
}

Test(snapshot_merge, killed_at_every_change)
{
    struct expected expected;
    unsigned at = 0;

    machine_enter();
    vm_destroy(prepare(&expected));
    save_folder();
    for (bool killed = true; killed; at++) {
        restore_folder();
        killed = run_killed(at);
        struct vm *vm = machine_create("-accel dbt");
        cr_assert_eq(machine_look(vm).disk, expected.now.disk, "change %u", at);
        merge(vm);
        cr_assert_leq(count_layers(), 4, "change %u", at);
        cr_assert_eq(machine_look(vm).disk, expected.now.disk, "change %u", at);
        expect_snapshots(vm, &expected);
        vm_destroy(vm);
    }
    cr_assert_gt(at, 15);
    machine_leave();
}

static void fail_at_every_change(int result, bool forever)
{
    struct expected expected;
    bool reached = true;

    machine_enter();
    vm_destroy(prepare(&expected));
    save_folder();
    for (unsigned at = 0; reached; at++) {
        struct trouble trouble = {.from = at, .until = forever ? UINT32_MAX : at + 1, .result = result};
        struct snapshot_hook hook = {.before = make_trouble, .opaque = &trouble};
        restore_folder();
        struct vm *vm = machine_create("-accel dbt");
        cr_assert_eq(snapshot_set_hook(vm, &hook, NULL), 0);
        snapshot_merge(vm, NULL);
        reached = trouble.calls > at;
        trouble.from = trouble.until = UINT32_MAX;
        cr_assert_eq(machine_look(vm).disk, expected.now.disk, "change %u", at);
        expect_snapshots(vm, &expected);
        vm_destroy(vm);
        vm = machine_create("-accel dbt");
        expect_snapshots(vm, &expected);
        vm_destroy(vm);
    }
    machine_leave();
}

Test(snapshot_merge, every_change_can_fail)
{
    fail_at_every_change(-EIO, false);
    fail_at_every_change(-ENOSPC, true);
}
