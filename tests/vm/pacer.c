/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Slices under real time: they end when they should, on both engines, whatever the guest does, and a slice that a host
 * signal ended anywhere in translated code has counted every instruction.
 */
#include <criterion/criterion.h>

#include "base/clock.h"
#include "binxlate/binxlate.h"
#include "tests/isa/bare_machine.h"
#include "vm/pacer.h"

enum { CODE = 0x10000, STACK = 0x80000, LATE_NS = 200000000 };

static struct bare_machine bare;
static struct binxlate *engine;
static struct pacer pacer;
static struct alarm host_alarm;

/* inc eax; call f; jmp $-6; f: inc ecx; push ecx; pop edx; ret: 7 instructions a turn */
static const uint8_t loop_code[] = {0x40, 0xe8, 0x02, 0x00, 0x00, 0x00, 0xeb, 0xf8, 0x41, 0x51, 0x5a, 0xc3};

static void set_up(void)
{
    bare_init(&bare);
    bare_enter_protected(&bare, 32);
    bare_load(&bare, CODE, loop_code, sizeof(loop_code));
    bare.cpu->rip = CODE;
    bare.cpu->gpr[RSP] = STACK;
}

static void tear_down(void)
{
    pacer_detach(&pacer);
    alarm_close(&host_alarm);
    binxlate_destroy(engine);
    bare_fini(&bare);
}

static void open_pacer(bool translate)
{
    struct error error;

    if (translate && binxlate_supported(&error) < 0) {
        cr_skip_test("%s", error.text);
    }
    engine = translate ? binxlate_create(bare.cpu, &error) : NULL;
    pacer_init(&pacer, bare.cpu, engine);
    alarm_open(&host_alarm);
    cr_assert(host_alarm.open);
    pacer_attach(&pacer, &host_alarm);
}

/* One slice of so many nanoseconds; returns how long it took. */
static uint64_t run_slice(uint64_t left_ns)
{
    uint64_t begin = pacer_host_now();
    uint64_t budget = pacer_begin(&pacer, begin, left_ns);
    enum vcpu_exit exit = engine ? binxlate_run(engine, budget) : interp_run(bare.cpu, budget);
    uint64_t end = pacer_host_now();

    cr_assert_eq(exit, VCPU_EXIT_BUDGET);
    pacer_end(&pacer, end);
    return end - begin;
}

/* Instructions of the loop that must have been executed, to judge by the registers. */
static uint64_t executed(void)
{
    const uint8_t offset = (uint8_t)(bare.cpu->rip - CODE);
    static const uint8_t index[] = {[0] = 0, [1] = 1, [8] = 2, [9] = 3, [10] = 4, [11] = 5, [6] = 6};
    uint64_t turns = offset == 0 ? bare.cpu->gpr[RAX] : bare.cpu->gpr[RAX] - 1;

    cr_assert_eq(bare.cpu->gpr[RCX], turns + (offset == 9 || offset == 10 || offset == 11 || offset == 6));
    return turns * 7 + (offset == 0 ? 0 : index[offset]);
}

static void slices_end_in_time_and_count_exactly(bool translate)
{
    open_pacer(translate);
    uint64_t before = bare.cpu->insn_count;
    for (uint64_t left = 1000; left < 4000000; left = left * 5 / 4) {
        uint64_t spent = run_slice(left);
        cr_assert_lt(spent, left + LATE_NS, "a slice of %llu ns took %llu", (unsigned long long)left,
                     (unsigned long long)spent);
        cr_assert_eq(bare.cpu->insn_count - before, executed(), "after a slice of %llu ns",
                     (unsigned long long)left);
    }
    cr_assert_gt(bare.cpu->insn_count - before, 100000);
}

TestSuite(pacer, .init = set_up, .fini = tear_down);

Test(pacer, ends_interpreted_slices_in_time)
{
    slices_end_in_time_and_count_exactly(false);
}

Test(pacer, ends_translated_slices_in_time_and_counts_exactly)
{
    slices_end_in_time_and_count_exactly(true);
}

Test(pacer, ends_a_slice_for_what_became_due_in_it)
{
    open_pacer(true);
    uint64_t begin = pacer_host_now();
    uint64_t budget = pacer_begin(&pacer, begin, UINT64_MAX / 4);
    pacer_due(&pacer, 1000000);
    cr_assert_eq(binxlate_run(engine, budget), VCPU_EXIT_BUDGET);
    cr_assert_lt(pacer_host_now() - begin, 1000000 + LATE_NS);
    pacer_end(&pacer, pacer_host_now());
}

Test(pacer, counts_a_short_slice_in_instructions)
{
    open_pacer(true);
    cr_assert_lt(pacer_begin(&pacer, pacer_host_now(), 2000), 100000);
    cr_assert_gt(pacer_begin(&pacer, pacer_host_now(), 2000000), 1000000000);
}

Test(pacer, does_without_a_host_timer)
{
    open_pacer(true);
    pacer_attach(&pacer, NULL);
    uint64_t spent = run_slice(1000000);
    cr_assert_lt(spent, 1000000 + LATE_NS);
    cr_assert_gt(bare.cpu->insn_count, 0);
}

/* A kick that finds the engine outside translated code ends the next slice at once. */
Test(pacer, keeps_an_alarm_that_comes_between_slices)
{
    open_pacer(true);
    pacer_begin(&pacer, pacer_host_now(), 100000);
    uint64_t due = pacer_host_now() + 5000000, before = bare.cpu->insn_count;
    while (pacer_host_now() < due) {
    }
    cr_assert_eq(binxlate_run(engine, 1000000000), VCPU_EXIT_BUDGET);
    cr_assert_eq(bare.cpu->insn_count, before);
    pacer_end(&pacer, pacer_host_now());
    cr_assert_eq(host_alarm.at_ns, CLOCK_NEVER);
}
