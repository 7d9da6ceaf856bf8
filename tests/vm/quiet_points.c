/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Points that never stop the guest change nothing that it can see: under -icount it does the same instructions with the same
 * results as without any.
 */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>

#include "guests.h"
#include "vm/debugger.h"

#define INSNS "1000000"

struct result {
    uint64_t insns, memory, rax;
};

static bool never(void *opaque, struct vm *vm)
{
    (void)vm;
    ++*(uint64_t *)opaque;
    return false;
}

static void add(struct vm *vm, struct debug_point point)
{
    unsigned id;

    cr_assert_eq(debugger_add(vm, &point, &id, NULL), 0);
}

static struct result run(const char *engine, bool points, uint64_t *asked)
{
    struct vm *vm = guest_create("quiet", engine, "-icount 3,sleep=off -limit insns=" INSNS);
    uint64_t wait;

    if (points) {
        /* in its loop, in the loop's page, in its data, on its port, and what never happens */
        add(vm, (struct debug_point){
                    .kind = DEBUG_EXECUTE, .address = 0xf0044, .condition = never, .opaque = asked});
        add(vm, (struct debug_point){
                    .kind = DEBUG_EXECUTE, .address = 0xf0058, .condition = never, .opaque = asked});
        add(vm, (struct debug_point){.kind = DEBUG_EXECUTE, .address = 0xf0ff1, .physical = true});
        add(vm,
            (struct debug_point){
                .kind = DEBUG_WRITE, .address = 0x12340, .length = 4, .condition = never, .opaque = asked});
        add(vm, (struct debug_point){.kind = DEBUG_PORT_READ,
                                     .address = GUEST_PORT,
                                     .length = 1,
                                     .condition = never,
                                     .opaque = asked});
        add(vm, (struct debug_point){.kind = DEBUG_EXCEPTION, .address = DEBUG_ANY});
        add(vm, (struct debug_point){.kind = DEBUG_INTERRUPT, .address = DEBUG_ANY});
        add(vm, (struct debug_point){.kind = DEBUG_MAGIC});
    }
    while (vm_step(vm, UINT64_MAX, &wait) != VM_NEXT_STOPPED) {
        cr_assert_eq(vm->state, VM_RUNNING, "%s", debugger_stop(vm)->text);
    }
    struct result result = {vm->cpu->insn_count, vm_memory_hash(vm), vm->cpu->gpr[RAX]};
    vm_destroy(vm);
    return result;
}

Test(quiet_points, change_nothing)
{
    static const char *const engines[] = {"interp", "dbt", "dbt,windows=now", "dbt,check=on"};
    struct result plain = run("interp", false, NULL);

    for (unsigned i = 0; i < ARRAY_LEN(engines); i++) {
        uint64_t asked = 0;
        struct result with = run(engines[i], true, &asked);
        cr_assert_gt(asked, 10000u, "%s", engines[i]);
        cr_assert_eq(with.insns, plain.insns, "%s", engines[i]);
        cr_assert_eq(with.rax, plain.rax, "%s", engines[i]);
        cr_assert_eq(with.memory, plain.memory, "%s", engines[i]);
    }
}
