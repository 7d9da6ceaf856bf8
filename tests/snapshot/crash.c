/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Saves, loads and deletions whose process is killed, or whose host fails, at any change of a file.
 *
 * A snapshot `a` is there, and the guest has gone on from it. A child process saves `b`, or loads or deletes `a`, and kills
 * itself before the Nth change. The next VM on the disk must start with what the guest had flushed, `a` must be whole, and
 * `b` whole or absent. For failures there is no child: the VM runs on to the same end as one that was left alone, and a
 * second try succeeds.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "machine.h"
#include "vm/snapshot_host.h"

enum { AT_A = 100000, AT_B = 160000, END = 260000, CHANGES_MAX = 400, EXIT_UNHURT = 3 };

enum action { SAVE, LOAD, DELETE };

/* What the hook does at its calls from..until - 1. */
struct trouble {
    unsigned calls; /* atomic: the writer's thread counts, too */
    unsigned from, until;
    int result;      /* 0: SIGKILL */
    bool one_by_one; /* writes are made a byte at a time */
    struct {
        enum snapshot_change change;
        char name[80];
    } log[CHANGES_MAX];
};

static int make_trouble(void *opaque, enum snapshot_change change, const char *name, size_t length)
{
    struct trouble *trouble = opaque;
    unsigned number = __atomic_fetch_add(&trouble->calls, 1, __ATOMIC_SEQ_CST);

    if (number < CHANGES_MAX) {
        trouble->log[number].change = change;
        snprintf(trouble->log[number].name, sizeof(trouble->log[number].name), "%s", name);
    }
    if (number >= trouble->from && number < trouble->until) {
        if (trouble->result == 0) {
            kill(getpid(), SIGKILL);
        }
        return trouble->result;
    }
    return trouble->one_by_one && change == SNAPSHOT_WRITE && length > 1 ? 1 : 0;
}

static int act(struct vm *vm, enum action action, struct error *error)
{
    int result;

    switch (action) {
    case SAVE:
        result = snapshot_save(vm, "b", "", error);
        return result < 0 ? result : snapshot_wait(vm, error);
    case LOAD:
        return snapshot_load(vm, "a", error);
    case DELETE:
        break;
    }
    return snapshot_delete(vm, "a", error);
}

/* ---- looks that are expected ---- */

struct expected {
    struct machine_look a, b, end;
};

/* By a VM that was left alone, but for `a`. The folder is as a test finds it. */
static void prepare(struct expected *expected)
{
    struct vm *vm;

    machine_enter();
    vm = machine_create("-accel dbt");
    machine_run_to(vm, AT_A);
    expected->a = machine_look(vm);
    machine_save(vm, "a");
    machine_run_to(vm, AT_B);
    expected->b = machine_look(vm);
    machine_run_to(vm, END);
    expected->end = machine_look(vm);
    vm_destroy(vm);
    machine_shell("mkdir before && cp -a " DISK_FILE " " STORE " before");
}

static void restore(void)
{
    machine_shell("rm -rf " DISK_FILE " " STORE " && cp -a before/. .");
}

/* From `a` to AT_B, and everything flushed. */
static struct vm *begin(struct snapshot_hook *hook, struct trouble *trouble)
{
    struct vm *vm = machine_create("-accel dbt -loadvm a");
    struct disk *disk = vm->drives.ide[0];

    machine_run_to(vm, AT_B);
    disk_hold(disk);
    cr_assert_eq(image_flush(disk->image), 0);
    disk_release(disk);
    *hook = (struct snapshot_hook){.before = make_trouble, .opaque = trouble};
    cr_assert_eq(snapshot_set_hook(vm, hook, NULL), 0);
    return vm;
}

/* ---- kills ---- */

/* What a new VM finds. */
static void check_after_kill(enum action action, const struct expected *expected)
{
    struct error error = {{0}};
    struct vm *vm = machine_create("");
    struct machine_look look = machine_look(vm);

    cr_assert(look.disk == expected->b.disk || (action == LOAD && look.disk == expected->a.disk));
    cr_assert_neq(access(STORE "/new", F_OK), 0);
    cr_assert_neq(access(STORE "/old", F_OK), 0);
    vm_destroy(vm);
    vm = machine_try("-loadvm b", &error);
    if (vm) {
        cr_assert_eq(action, SAVE);
        machine_expect(vm, &expected->b, "b");
        vm_destroy(vm);
    } else {
        cr_assert_not_null(strstr(error.text, "there is no snapshot 'b'"), "%s", error.text);
    }
    vm = machine_try("-loadvm a", &error);
    if (vm) {
        machine_expect(vm, &expected->a, "a");
        machine_run_to(vm, END);
        machine_expect(vm, &expected->end, "from a to the end");
        vm_destroy(vm);
    } else {
        cr_assert_eq(action, DELETE);
        cr_assert_not_null(strstr(error.text, "there is no snapshot 'a'"), "%s", error.text);
    }
}

/* True: it was killed. */
static bool run_killed(enum action action, unsigned at)
{
    pid_t child = fork();
    int status;

    if (child == 0) {
        static struct trouble trouble;
        struct snapshot_hook hook;
        struct vm *vm;

        trouble = (struct trouble){.from = UINT32_MAX, .until = UINT32_MAX};
        vm = begin(&hook, &trouble);
        trouble.from = at;
        trouble.calls = 0;
        _exit(act(vm, action, NULL) < 0 ? 1 : EXIT_UNHURT);
    }
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFSIGNALED(status) || WEXITSTATUS(status) == EXIT_UNHURT);
    return WIFSIGNALED(status);
}

static void run_kills(enum action action, unsigned least)
{
    struct expected expected;
    unsigned at = 0;

    prepare(&expected);
    for (bool killed = true; killed; at++) {
        restore();
        killed = run_killed(action, at);
        check_after_kill(action, &expected);
    }
    cr_log_info("%u changes", at - 1);
    cr_assert_gt(at, least);
    machine_leave();
}

Test(snapshot_crash, killed_at_every_change_of_a_save)
{
    run_kills(SAVE, 25);
}

Test(snapshot_crash, killed_at_every_change_of_a_load)
{
    run_kills(LOAD, 7);
}

Test(snapshot_crash, killed_at_every_change_of_a_deletion)
{
    run_kills(DELETE, 6);
}

/* ---- failures ---- */

static void check_second_try(struct vm *vm, const struct machine_look *look)
{
    machine_save(vm, "again");
    machine_expect(vm, look, "after the second try");
    machine_run_to(vm, END + 5000);
    machine_load(vm, "again");
    machine_expect(vm, look, "the second try");
}

static void check_failed(struct vm *vm, enum action action, const struct error *error,
                         const struct expected *expected)
{
    cr_assert_gt(strlen(error->text), 0);
    cr_assert_null(strchr(error->text, '\n'));
    machine_expect(vm, &expected->b, "after the failure");
    machine_run_to(vm, END);
    machine_expect(vm, &expected->end, "the end");
    check_second_try(vm, &expected->end);
    if (action != DELETE) {
        machine_load(vm, "a");
        machine_expect(vm, &expected->a, "a");
    }
}

static void check_succeeded(struct vm *vm, enum action action, const struct expected *expected)
{
    machine_expect(vm, action == LOAD ? &expected->a : &expected->b, "after the success");
    machine_run_to(vm, END);
    machine_expect(vm, &expected->end, "the end");
    if (action == SAVE) {
        machine_load(vm, "b");
        machine_expect(vm, &expected->b, "b");
    }
}

/* False: there was no such change any more. */
static bool run_failure(enum action action, unsigned from, unsigned count, int result,
                        const struct expected *expected)
{
    static struct trouble trouble;
    struct error error = {{0}};
    struct snapshot_hook hook;
    bool reached, failed;
    struct vm *vm;

    restore();
    trouble = (struct trouble){.from = UINT32_MAX, .until = UINT32_MAX, .result = result};
    vm = begin(&hook, &trouble);
    trouble.calls = 0;
    trouble.from = from;
    trouble.until = from + count;
    failed = act(vm, action, &error) < 0;
    reached = trouble.calls > from;
    trouble.from = trouble.until = UINT32_MAX;
    if (failed) {
        check_failed(vm, action, &error, expected);
    } else {
        check_succeeded(vm, action, expected);
    }
    vm_destroy(vm);
    return reached;
}

static void run_failures(enum action action)
{
    struct expected expected;

    prepare(&expected);
    for (unsigned at = 0; run_failure(action, at, 1, -EIO, &expected); at++) {
    }
    for (unsigned at = 0; run_failure(action, at, 1000000, -ENOSPC, &expected); at++) {
    }
    machine_leave();
}

Test(snapshot_crash, every_change_of_a_save_can_fail)
{
    run_failures(SAVE);
}

Test(snapshot_crash, every_change_of_a_load_can_fail)
{
    run_failures(LOAD);
}

Test(snapshot_crash, every_change_of_a_deletion_can_fail)
{
    run_failures(DELETE);
}

/* ---- the order ---- */

/* The last position of such a change, or -1. */
static int position(const struct trouble *trouble, enum snapshot_change change, const char *name)
{
    int found = -1;

    for (unsigned i = 0; i < MIN(trouble->calls, CHANGES_MAX); i++) {
        if (trouble->log[i].change == change && !strncmp(trouble->log[i].name, name, strlen(name))) {
            found = (int)i;
        }
    }
    return found;
}

Test(snapshot_crash, everything_is_synced_before_the_snapshot_appears)
{
    static const char *const files[] = {"ram-", "pages", "state", "manifest"};
    static struct trouble trouble;
    struct expected expected;
    struct snapshot_hook hook;
    struct vm *vm;
    int appears;

    prepare(&expected);
    trouble = (struct trouble){.from = UINT32_MAX, .until = UINT32_MAX};
    vm = begin(&hook, &trouble);
    trouble.calls = 0;
    cr_assert_eq(act(vm, SAVE, NULL), 0);
    appears = position(&trouble, SNAPSHOT_RENAME, "b");
    cr_assert_gt(appears, 0);
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        int written = position(&trouble, SNAPSHOT_WRITE, files[i]),
            synced = position(&trouble, SNAPSHOT_SYNC, files[i]);

        cr_assert_gt(written, 0);
        cr_assert_gt(synced, written, "%s", files[i]);
        cr_assert_lt(synced, appears);
        cr_assert_leq(written, position(&trouble, SNAPSHOT_WRITE, "manifest"));
    }
    cr_assert_lt(position(&trouble, SNAPSHOT_SYNC, "disk"), position(&trouble, SNAPSHOT_CREATE, "manifest"));
    cr_assert_geq(position(&trouble, SNAPSHOT_SYNC, "disk"), 0);
    /* The layer is there before `current` names it for the first time, which is before the pause. */
    cr_assert_lt(position(&trouble, SNAPSHOT_SYNC, "ide0-hd0."), position(&trouble, SNAPSHOT_WRITE, "ram-"));
    cr_assert_gt(position(&trouble, SNAPSHOT_RENAME, "current"), appears);
    vm_destroy(vm);
    machine_leave();
}

Test(snapshot_crash, short_writes_are_continued)
{
    static struct trouble trouble;
    struct expected expected;
    struct snapshot_hook hook;
    struct vm *vm;

    prepare(&expected);
    trouble = (struct trouble){.from = UINT32_MAX, .until = UINT32_MAX, .one_by_one = true};
    vm = begin(&hook, &trouble);
    cr_assert_eq(act(vm, SAVE, NULL), 0);
    cr_assert_gt(trouble.calls, 1000);
    machine_run_to(vm, END);
    machine_load(vm, "b");
    machine_expect(vm, &expected.b, "b");
    vm_destroy(vm);
    machine_leave();
}
