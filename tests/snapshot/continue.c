/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A guest continued from a snapshot gives the same as one that was never interrupted, to the bit, wherever the snapshot was
 * taken: in the middle of a transfer to or from the disk, inside an interrupt, between the two. In the process that
 * took it and in another, with each engine.
 */
#include "machine.h"

#include <stdlib.h>

enum { START = 20000, END = 600000, SEARCH = 400, POINTS_MAX = 40 };

/* ROM's variables. */
enum { AT_SUM = 0x500, AT_TICKS = 0x504, AT_ROUND = 0x508, AT_INSIDE = 0x50d };

struct point {
    char name[32];
    uint64_t insns;
    struct machine_look look;
};

struct journey {
    struct point point[POINTS_MAX];
    unsigned count, in_transfer, in_interrupt;
    struct machine_look end;
};

static const char *const engines[] = {"-accel interp", "-accel dbt"};

/* Without a snapshot, on the disk as it is at first. */
static struct machine_look run_uninterrupted(const char *engine)
{
    struct machine_look look;
    struct vm *vm = machine_create(engine);

    machine_run_to(vm, END);
    cr_assert_gt(machine_peek(vm, AT_ROUND), 20);
    cr_assert_gt(machine_peek(vm, AT_TICKS), 20);
    look = machine_look(vm);
    vm_destroy(vm);
    return look;
}

static void save_point(struct journey *journey, struct vm *vm, const char *kind)
{
    struct point *point = &journey->point[journey->count++];

    cr_assert_leq(journey->count, POINTS_MAX);
    snprintf(point->name, sizeof(point->name), "%s-%u", kind, journey->count);
    point->insns = vm->cpu->insn_count;
    point->look = machine_look(vm);
    machine_save(vm, point->name);
    machine_expect(vm, &point->look, "after the save");
}

static bool in_transfer(const struct vm *vm)
{
    return vm->drives.ide[0]->block.outstanding > 0;
}

/* Go on in odd little steps until the guest is in such a state, and save it. */
static void travel(struct journey *journey, struct vm *vm)
{
    uint64_t random = 7;

    for (unsigned i = 0; i < 30; i++) {
        bool wants_transfer = i % 3 == 0, wants_interrupt = i % 3 == 1;

        machine_run_to(vm, vm->cpu->insn_count + 1 + machine_random(&random, 12000));
        for (unsigned k = 0; k < SEARCH; k++) {
            if ((!wants_transfer || in_transfer(vm)) &&
                (!wants_interrupt || (machine_peek(vm, AT_INSIDE) & 0xff))) {
                break;
            }
            machine_run_to(vm, vm->cpu->insn_count + 1 + machine_random(&random, 30));
        }
        journey->in_transfer += in_transfer(vm);
        journey->in_interrupt += (machine_peek(vm, AT_INSIDE) & 0xff) != 0;
        save_point(journey, vm, wants_transfer ? "transfer" : wants_interrupt ? "interrupt" : "any");
    }
}

static void run_journey(struct journey *journey, const char *engine)
{
    struct vm *vm;

    memset(journey, 0, sizeof(*journey));
    journey->end = run_uninterrupted(engine);
    machine_leave();
    machine_enter();
    vm = machine_create(engine);
    machine_run_to(vm, START);
    travel(journey, vm);
    machine_run_to(vm, END);
    machine_expect(vm, &journey->end, "the run that was saved from");
    vm_destroy(vm);
    cr_assert_gt(journey->in_transfer, 8);
    cr_assert_gt(journey->in_interrupt, 6);
}

static void continue_in_new_process(const struct journey *journey, const char *engine)
{
    for (unsigned i = 0; i < journey->count; i++) {
        const struct point *point = &journey->point[i];
        char options[200];
        struct vm *vm;

        snprintf(options, sizeof(options), "%s -loadvm %s", engine, point->name);
        vm = machine_create(options);
        cr_assert_eq(vm->cpu->insn_count, point->insns);
        machine_expect(vm, &point->look, point->name);
        machine_run_to(vm, END);
        machine_expect(vm, &journey->end, point->name);
        vm_destroy(vm);
    }
}

/* Back and forth in one VM, from wherever it is. */
static void continue_in_one_vm(const struct journey *journey, const char *engine)
{
    struct vm *vm = machine_create(engine);
    uint64_t random = 99;

    for (unsigned i = 0; i < 20; i++) {
        const struct point *point = &journey->point[machine_random(&random, journey->count)];

        machine_load(vm, point->name);
        machine_expect(vm, &point->look, point->name);
        machine_run_to(vm, i % 2 ? END : point->insns + 1 + machine_random(&random, 40000));
        if (i % 2) {
            machine_expect(vm, &journey->end, point->name);
        }
    }
    vm_destroy(vm);
}

Test(snapshot_continue, equals_the_uninterrupted_run)
{
    static struct journey journey;

    for (size_t i = 0; i < ARRAY_LEN(engines); i++) {
        machine_enter();
        run_journey(&journey, engines[i]);
        continue_in_new_process(&journey, engines[i]);
        continue_in_one_vm(&journey, engines[i]);
        machine_leave();
    }
}

/* A timer of nobody's, which ends slices at one instruction or another. */
struct disturbance {
    struct timer timer;
    uint64_t random;
};

static void disturb(void *opaque)
{
    struct disturbance *disturbance = opaque;
    uint64_t now = clock_now(disturbance->timer.clock);

    timer_arm(&disturbance->timer, now + 8 * (1 + machine_random(&disturbance->random, 12)));
}

static struct machine_look run_in_slices(const char *engine, bool disturbed)
{
    struct disturbance disturbance = {.random = 1};
    struct machine_look look;
    char options[64];
    uint64_t wait_ns;

    snprintf(options, sizeof(options), "%s -limit insns=%llu", engine, (unsigned long long)END);
    struct vm *vm = machine_create(options);
    timer_init(&disturbance.timer, &vm->clock, "disturbance", disturb, &disturbance);
    if (disturbed) {
        disturb(&disturbance);
    }
    vm_resume(vm);
    pacer_attach(&vm->pacer, NULL);
    while (vm_step(vm, UINT64_MAX, &wait_ns) != VM_NEXT_STOPPED) {
    }
    pacer_detach(&vm->pacer);
    timer_disarm(&disturbance.timer);
    cr_assert_eq(vm->cpu->insn_count, END);
    look = machine_look(vm);
    vm_destroy(vm);
    return look;
}

/* Whoever shares a pCPU has his slices ended at any time. */
Test(snapshot_continue, where_slices_end_is_not_seen)
{
    for (size_t i = 0; i < ARRAY_LEN(engines); i++) {
        machine_enter();
        struct machine_look alone = run_in_slices(engines[i], false);
        machine_leave();
        machine_enter();
        struct machine_look disturbed = run_in_slices(engines[i], true);
        machine_leave();
        cr_assert_eq(alone.memory, disturbed.memory, "%s: other memory", engines[i]);
    }
}

Test(snapshot_continue, on_the_other_engine)
{
    static struct journey journey;

    machine_enter();
    run_journey(&journey, engines[1]);
    continue_in_new_process(&journey, engines[0]);
    machine_leave();
}

Test(snapshot_continue, judged_by_the_interpreter)
{
    static struct journey journey;

    machine_enter();
    run_journey(&journey, engines[1]);
    continue_in_one_vm(&journey, "-accel dbt,check=on");
    machine_leave();
}

/* The first of two has the state and the pages of the second. (Its disk may have been written again: what was under way.) */
static void expect_equal(struct vm *vm, const char *one, const char *other)
{
    char command[300], *text = NULL;
    struct error error = {{0}};
    size_t length;
    FILE *out = open_memstream(&text, &length);

    cr_assert_eq(snapshot_diff(vm, one, other, out, &error), 0, "%s", error.text);
    fclose(out);
    cr_assert_not_null(strstr(text, "\n  0 fields differ\n"), "%s", text);
    cr_assert_not_null(strstr(text, "pages):\n  0 of "), "%s", text);
    free(text);
    snprintf(command, sizeof(command), "cmp " STORE "/snapshots/%s/state " STORE "/snapshots/%s/state", one,
             other);
    machine_shell("%s", command);
}

Test(snapshot_continue, save_load_save_is_identical)
{
    static struct journey journey;

    machine_enter();
    run_journey(&journey, engines[0]);
    for (unsigned i = 0; i < journey.count; i++) {
        char options[100], name[40];
        struct vm *vm;

        snprintf(options, sizeof(options), "-loadvm %s", journey.point[i].name);
        snprintf(name, sizeof(name), "again-%u", i);
        vm = machine_create(options);
        machine_save(vm, name);
        expect_equal(vm, journey.point[i].name, name);
        vm_destroy(vm);
    }
    machine_leave();
}
