/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A clone and its parent both go on as one that was never cloned, to the bit, wherever that happens: in the middle of a
 * transfer to or from the disk, inside an interrupt, between the two. Neither sees what the other does afterwards.
 */
#include "machine.h"

#include "vm/clone.h"

enum { START = 20000, END = 400000, SEARCH = 400, POINTS = 24 };

/* ROM's variables. */
enum { AT_ROUND = 0x508, AT_INSIDE = 0x50d };

static const char *const engines[] = {"-accel interp", "-accel dbt"};

static struct vm *clone_of(struct vm *parent)
{
    struct vm_config config = parent->config;
    struct clone_figures figures;
    struct error error = {{0}};
    struct vm *vm;

    config.name = "clone";
    vm = clone_create(parent, &config, &figures, &error);
    cr_assert_not_null(vm, "%s", error.text);
    return vm;
}

static struct machine_look run_uninterrupted(const char *options, uint64_t end)
{
    struct machine_look look;
    struct vm *vm;

    machine_enter();
    vm = machine_create(options);
    machine_run_to(vm, end);
    look = machine_look(vm);
    vm_destroy(vm);
    machine_leave();
    return look;
}

static bool in_transfer(const struct vm *vm)
{
    return vm->drives.ide[0]->block.outstanding > 0;
}

static bool in_interrupt(struct vm *vm)
{
    return machine_peek(vm, AT_INSIDE) & 0xff;
}

/* Go on in odd little steps until the guest is in such a state. */
static void travel(struct vm *vm, uint64_t *random, unsigned kind)
{
    machine_run_to(vm, vm->cpu->insn_count + 1 + machine_random(random, 12000));
    for (unsigned k = 0; k < SEARCH; k++) {
        if ((kind != 0 || in_transfer(vm)) && (kind != 1 || in_interrupt(vm))) {
            return;
        }
        machine_run_to(vm, vm->cpu->insn_count + 1 + machine_random(random, 30));
    }
}

static void clone_everywhere(const char *options)
{
    struct machine_look end = run_uninterrupted(options, END);
    unsigned transfers = 0, interrupts = 0;
    uint64_t random = 7;

    machine_enter();
    struct vm *vm = machine_create(options);
    machine_run_to(vm, START);
    for (unsigned i = 0; i < POINTS; i++) {
        travel(vm, &random, i % 3);
        transfers += in_transfer(vm);
        interrupts += in_interrupt(vm);
        struct machine_look look = machine_look(vm);
        struct vm *clone = clone_of(vm);
        machine_expect(vm, &look, "the parent, just cloned");
        machine_expect(clone, &look, "the clone, just made");
        machine_run_to(clone, END);
        machine_expect(clone, &end, "the clone at its end");
        machine_expect(vm, &look, "the parent, after the clone ran");
        vm_destroy(clone);
    }
    machine_run_to(vm, END);
    machine_expect(vm, &end, "the parent at its end");
    vm_destroy(vm);
    machine_leave();
    cr_assert_gt(transfers, 5);
    cr_assert_gt(interrupts, 4);
}

Test(clone_continue, equals_the_uninterrupted_run)
{
    clone_everywhere(engines[0]);
    clone_everywhere(engines[1]);
}

Test(clone_continue, on_a_temporary_disk)
{
    clone_everywhere("-accel dbt -snapshot");
}

Test(clone_continue, judged_by_the_interpreter)
{
    clone_everywhere("-accel dbt,check=on");
}

/* Parent and clones take turns; each writes pages and sectors that the others read. */
Test(clone_continue, side_by_side)
{
    enum { VMS = 6 };
    for (size_t e = 0; e < ARRAY_LEN(engines); e++) {
        struct machine_look end = run_uninterrupted(engines[e], END);
        struct vm *vm[VMS];
        uint64_t random = 11;
        machine_enter();
        vm[0] = machine_create(engines[e]);
        machine_run_to(vm[0], START);
        for (unsigned i = 1; i < VMS; i++) {
            machine_run_to(vm[i / 2], vm[i / 2]->cpu->insn_count + 3000);
            vm[i] = clone_of(vm[i / 2]); /* clones of clones, too */
        }
        for (bool going = true; going;) {
            going = false;
            for (unsigned i = 0; i < VMS; i++) {
                uint64_t left = END - vm[i]->cpu->insn_count;
                if (left) {
                    uint64_t step = 1 + machine_random(&random, 20000);
                    machine_run_to(vm[i], vm[i]->cpu->insn_count + MIN(left, step));
                    going = true;
                }
            }
        }
        for (unsigned i = 0; i < VMS; i++) {
            machine_expect(vm[i], &end, "one of several");
            vm_destroy(vm[i]);
        }
        machine_leave();
    }
}

Test(clone_continue, who_goes_first_does_not_matter)
{
    struct machine_look end = run_uninterrupted(engines[1], END);
    for (unsigned order = 0; order < 6; order++) {
        static const uint8_t orders[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
                                             {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
        struct vm *vm[3];
        machine_enter();
        vm[0] = machine_create(engines[1]);
        machine_run_to(vm[0], START);
        vm[1] = clone_of(vm[0]);
        machine_run_to(vm[1], START + 9000);
        vm[2] = clone_of(vm[1]);
        for (unsigned i = 0; i < 3; i++) {
            struct vm *next = vm[orders[order][i]];
            machine_run_to(next, END);
            machine_expect(next, &end, "with others gone");
            vm_destroy(next);
        }
        machine_leave();
    }
}

/* The parent's layers are its own: they last, and a clone leaves nothing in the folder. */
Test(clone_continue, the_parents_disk_is_there_afterwards)
{
    machine_enter();
    struct vm *vm = machine_create(engines[0]);
    machine_run_to(vm, START);
    struct vm *clone = clone_of(vm);
    machine_run_to(clone, END);
    machine_run_to(vm, START + 50000);
    uint64_t disk = machine_look(vm).disk;
    vm_destroy(vm);
    vm_destroy(clone);
    vm = machine_create(engines[0]);
    cr_assert_eq(machine_look(vm).disk, disk);
    vm_destroy(vm);
    machine_leave();
}

Test(clone_continue, snapshots_and_clones_mix)
{
    machine_enter();
    struct vm *vm = machine_create(engines[1]);
    machine_run_to(vm, START);
    machine_save(vm, "a");
    struct machine_look a = machine_look(vm);
    machine_run_to(vm, START + 30000);
    struct vm *clone = clone_of(vm);
    struct machine_look b = machine_look(vm);
    machine_run_to(vm, START + 60000);
    machine_save(vm, "c");
    struct machine_look c = machine_look(vm);
    machine_load(vm, "a");
    machine_expect(vm, &a, "back at a");
    machine_expect(clone, &b, "the clone, meanwhile");
    struct vm *second = clone_of(vm);
    machine_run_to(vm, START + 60000);
    machine_run_to(clone, START + 60000);
    machine_run_to(second, START + 60000);
    machine_expect(vm, &c, "from a to c");
    machine_expect(clone, &c, "the clone at c");
    machine_expect(second, &c, "the second at c");
    machine_load(vm, "c");
    machine_expect(vm, &c, "loaded at c");
    vm_destroy(vm);
    machine_expect(clone, &c, "its parent gone");
    vm_destroy(clone);
    machine_expect(second, &c, "all others gone");
    vm_destroy(second);
    machine_leave();
}
