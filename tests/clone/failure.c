/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Clones that cannot be made: the parent goes on as if nothing had happened, and nothing is left of the clone. And many that
 * can: descriptors, mappings, threads and files stay as few as they were.
 */
#include "machine.h"

#include <dirent.h>
#include <errno.h>
#include <sys/resource.h>
#include <unistd.h>

#include "vm/clone.h"
#include "vm/snapshot_host.h"

enum { START = 20000, END = 120000 };

/* A sanitizer's run-time ends the process when it finds no address space, and maps what it likes. */
#if defined(__SANITIZE_ADDRESS__)
enum { SANITIZED = true };
#else
enum { SANITIZED = false };
#endif

static struct vm *try_clone(struct vm *parent, struct error *error)
{
    struct vm_config config = parent->config;
    struct clone_figures figures;

    config.name = "clone";
    return clone_create(parent, &config, &figures, error);
}

static unsigned count_entries(const char *path)
{
    DIR *list = opendir(path);
    unsigned count = 0;

    while (list && readdir(list)) {
        count++;
    }
    if (list) {
        closedir(list);
    }
    return count;
}

static unsigned count_lines(const char *path)
{
    FILE *file = fopen(path, "r");
    unsigned lines = 0;

    for (int c; (c = getc(file)) != EOF;) {
        lines += c == '\n';
    }
    fclose(file);
    return lines;
}

static struct machine_look expected_end(void)
{
    struct machine_look look;

    machine_enter();
    struct vm *vm = machine_create("-accel dbt");
    machine_run_to(vm, END);
    look = machine_look(vm);
    vm_destroy(vm);
    machine_leave();
    return look;
}

/* ---- the host's files ---- */

struct fault {
    unsigned left; /* changes that succeed */
    int code;
    bool forever;
};

static int fail(void *opaque, enum snapshot_change change, const char *name, size_t length)
{
    struct fault *fault = opaque;

    (void)change;
    (void)name;
    (void)length;
    if (fault->left == 0) {
        fault->left = fault->forever ? 0 : UINT32_MAX;
        return fault->code;
    }
    fault->left--;
    return 0;
}

static void fail_at_each_change(int code, bool forever)
{
    struct machine_look end = expected_end();
    bool failed = true;

    for (unsigned at = 0; failed; at++) {
        struct fault fault = {.left = at, .code = code, .forever = forever};
        struct snapshot_hook hook = {.before = fail, .opaque = &fault};
        struct error error = {{0}};
        machine_enter();
        struct vm *vm = machine_create("-accel dbt");
        machine_run_to(vm, START);
        struct machine_look look = machine_look(vm);
        cr_assert_eq(snapshot_set_hook(vm, &hook, &error), 0);
        struct vm *clone = try_clone(vm, &error);
        failed = !clone;
        cr_assert(!failed || *error.text);
        cr_assert_eq(snapshot_set_hook(vm, NULL, &error), 0);
        machine_expect(vm, &look, "after a failure");
        vm_destroy(clone);
        clone = try_clone(vm, &error);
        cr_assert_not_null(clone, "change %u, then none: %s", at, error.text);
        machine_run_to(vm, END);
        machine_run_to(clone, END);
        machine_expect(vm, &end, "the parent");
        machine_expect(clone, &end, "the clone");
        uint64_t disk = machine_look(vm).disk;
        vm_destroy(vm);
        vm_destroy(clone);
        vm = machine_create("-accel dbt"); /* and everything is there for the next process */
        cr_assert_eq(machine_look(vm).disk, disk, "change %u", at);
        vm_destroy(vm);
        machine_leave();
        cr_assert_lt(at, 100);
    }
}

Test(clone_failure, at_each_change_of_a_file)
{
    fail_at_each_change(-EIO, false);
    fail_at_each_change(-ENOSPC, true);
}

/* ---- descriptors and memory ---- */

/* With room for `more` than there are. */
static struct vm *clone_within(struct vm *vm, int resource, rlim_t now, rlim_t more, struct error *error)
{
    struct rlimit old, tight;

    cr_assert_eq(getrlimit(resource, &old), 0);
    tight = (struct rlimit){.rlim_cur = now + more, .rlim_max = old.rlim_max};
    cr_assert_eq(setrlimit(resource, &tight), 0);
    struct vm *clone = try_clone(vm, error);
    cr_assert_eq(setrlimit(resource, &old), 0);
    return clone;
}

Test(clone_failure, without_descriptors)
{
    struct machine_look end = expected_end();
    unsigned refused = 0;

    machine_enter();
    struct vm *vm = machine_create("-accel dbt");
    machine_run_to(vm, START);
    struct error error = {{0}};
    vm_destroy(try_clone(vm, &error)); /* the folder is open from now on */
    struct machine_look look = machine_look(vm);
    for (rlim_t more = 0; more < 40; more++) {
        unsigned before = count_entries("/proc/self/fd");
        /* Numbers that are free may lie below the highest one: the limit counts from there. */
        struct vm *clone = clone_within(vm, RLIMIT_NOFILE, before - 3, more, &error);
        machine_expect(vm, &look, "after a clone that may have failed");
        if (!clone) {
            refused++;
            cr_assert(*error.text);
            cr_assert_leq(count_entries("/proc/self/fd"), before, "%s", error.text);
        }
        vm_destroy(clone);
    }
    cr_assert_gt(refused, 5);
    machine_run_to(vm, END);
    machine_expect(vm, &end, "the parent");
    vm_destroy(vm);
    machine_leave();
}

static rlim_t address_space(void)
{
    unsigned long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");

    cr_assert_eq(fscanf(file, "%lu", &pages), 1);
    fclose(file);
    return (rlim_t)pages * PAGE_SIZE;
}

Test(clone_failure, without_address_space, .disabled = SANITIZED)
{
    static const rlim_t more[] = {0, 1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 1024};
    struct machine_look end = expected_end();
    unsigned refused = 0;

    machine_enter();
    struct vm *vm = machine_create("-accel dbt");
    machine_run_to(vm, START);
    struct machine_look look = machine_look(vm);
    for (size_t i = 0; i < ARRAY_LEN(more); i++) {
        struct error error = {{0}};
        struct vm *clone = clone_within(vm, RLIMIT_AS, address_space(), more[i] * MIB, &error);
        machine_expect(vm, &look, "after a clone that may have failed");
        refused += !clone;
        vm_destroy(clone);
    }
    cr_assert_gt(refused, 3);
    machine_run_to(vm, END);
    machine_expect(vm, &end, "the parent");
    vm_destroy(vm);
    machine_leave();
}

Test(clone_failure, of_one_that_has_stopped)
{
    struct error error = {{0}};

    machine_enter();
    struct vm *vm = machine_create("-accel interp");
    cr_assert_eq(vm_change_state(vm, VM_STOPPED, &error), 0);
    cr_assert_null(try_clone(vm, &error));
    cr_assert(*error.text);
    vm_destroy(vm);
    machine_leave();
}

/* ---- many ---- */

struct host_use {
    unsigned descriptors, mappings, threads, layers;
};

static struct host_use look_at_host(void)
{
    return (struct host_use){count_entries("/proc/self/fd"), count_lines("/proc/self/maps"),
                             count_entries("/proc/self/task"), count_entries(STORE "/layers")};
}

Test(clone_failure, many_come_and_go)
{
    struct error error = {{0}};
    struct host_use first = {0}, last;

    machine_enter();
    struct vm *vm = machine_create("-accel dbt -snapshot");
    machine_run_to(vm, START);
    for (unsigned i = 0; i < 60; i++) {
        struct vm *clone = try_clone(vm, &error);
        cr_assert_not_null(clone, "clone %u: %s", i, error.text);
        machine_run_to(clone, clone->cpu->insn_count + 2000);
        if (i % 4 == 0) {
            machine_run_to(vm, vm->cpu->insn_count + 500);
        }
        if (i % 8 == 7) { /* the parent goes, and the clone takes its place */
            vm_destroy(vm);
            vm = clone;
        } else {
            vm_destroy(clone);
        }
        if (i == 9) {
            first = look_at_host();
        }
    }
    last = look_at_host();
    vm_destroy(vm);
    machine_leave();
    cr_assert_leq(last.mappings, first.mappings + (SANITIZED ? 1000 : 20), "%u mappings, %u", first.mappings,
                  last.mappings);
    cr_assert_leq(last.threads, first.threads);
    cr_assert_leq(last.descriptors, first.descriptors + 60, "%u descriptors, %u", first.descriptors,
                  last.descriptors);
}
