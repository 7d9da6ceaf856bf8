/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Breakpoints, single stepping, and the debug registers themselves.
 * SDM: Volume 3B, "Debug Registers", "Debug Exceptions".
 */
#include "cpu/io.h"
#include "system_fixture.h"

static struct fixture f;

static void setup(void)
{
    fixture_init(&f);
    enter_protected(&f);
}

static void teardown(void)
{
    fixture_fini(&f);
}

TestSuite(debug, .init = setup, .fini = teardown);

/* Breakpoint n at address; rw and len as DR7 encodes them. */
static void arm(unsigned n, uint32_t address, unsigned rw, unsigned len)
{
    cr_assert(debug_write_dr(f.cpu, n, address));
    uint32_t dr7 = (uint32_t)f.cpu->dr[7] & ~(0xfu << (16 + 4 * n));
    cr_assert(debug_write_dr(f.cpu, 7, dr7 | 1u << (2 * n) | (rw | len << 2) << (16 + 4 * n)));
}

Test(debug, instruction_breakpoint_is_a_fault_at_its_first_byte)
{
    arm(2, 0x1234, DEBUG_RW_FETCH, 0);
    cr_assert(f.cpu->attention & ATTENTION_DR);
    cr_assert_not(f.cpu->data_breakpoints);
    cr_assert_not(debug_code_breakpoint(f.cpu, 0x1235));
    cr_assert(debug_code_breakpoint(f.cpu, 0x1234));
    ASSERT_EXCEPTION(f.cpu, EXC_DB, 0);
    cr_assert_eq(f.cpu->dr[6], DR6_FIXED1 | BIT(2));
}

Test(debug, rf_suppresses_one_instruction_breakpoint)
{
    arm(0, 0x1234, DEBUG_RW_FETCH, 0);
    rflags_set(f.cpu, RFLAGS_RF, RFLAGS_RF);
    cr_assert(f.cpu->attention & ATTENTION_TRAP);
    cr_assert_not(debug_code_breakpoint(f.cpu, 0x1234));
    debug_insn_begin(f.cpu);
    cr_assert_not(f.cpu->rflags & RFLAGS_RF);
    cr_assert_not(f.cpu->attention & ATTENTION_TRAP);
    cr_assert(debug_code_breakpoint(f.cpu, 0x1234));
}

Test(debug, disabled_breakpoints_do_nothing)
{
    arm(0, 0x1234, DEBUG_RW_FETCH, 0);
    cr_assert(debug_write_dr(f.cpu, 7, 0));
    cr_assert_not(f.cpu->attention & ATTENTION_DR);
    cr_assert_not(debug_code_breakpoint(f.cpu, 0x1234));
    arm(1, 0x1234, DEBUG_RW_ACCESS, 3);
    cr_assert(f.cpu->data_breakpoints);
    cr_assert(debug_write_dr(f.cpu, 7, 0));
    cr_assert_not(f.cpu->data_breakpoints);
}

/* The examples of the manual's table "Breakpoint Examples". */
Test(debug, data_breakpoints_of_the_manuals_table)
{
    arm(0, 0xa0001, DEBUG_RW_ACCESS, 0);
    arm(1, 0xb0002, DEBUG_RW_WRITE, 1);
    arm(2, 0xc0000, DEBUG_RW_ACCESS, 3);
    arm(3, 0xb0002, DEBUG_RW_FETCH, 0);
    struct {
        uint32_t address;
        unsigned size;
        bool write;
        uint64_t hits;
    } rows[] = {
        {0xa0001, 1, false, 1},    {0xa0001, 1, true, 1},  {0xa0001, 2, false, 1}, {0xa0001, 2, true, 1},
        {0xb0001, 4, true, 2},     {0xb0002, 1, true, 2},  {0xb0002, 2, true, 2},  {0xc0000, 4, false, 4},
        {0xc0001, 2, true, 4},     {0xc0003, 1, false, 4}, {0xa0000, 1, true, 0},  {0xa0002, 1, false, 0},
        {0xa0003, 4, true, 0},     {0xb0000, 2, true, 0},  {0xb0001, 4, false, 0}, {0xb0004, 4, true, 0},
        {0xc0000 - 2, 2, true, 0}, {0xc0004, 4, false, 0}, {0xbffff, 2, false, 4},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        f.cpu->pending_dr6 = 0;
        debug_check_data(f.cpu, rows[i].address, rows[i].size, rows[i].write);
        cr_assert_eq(f.cpu->pending_dr6, rows[i].hits, "row %zu", i);
    }
}

Test(debug, data_breakpoint_traps_after_the_instruction)
{
    arm(0, 0x30000, DEBUG_RW_WRITE, 3);
    cr_assert(RUN(&f, 0xa1, 0, 0, 3, 0)); /* a read */
    cr_assert_not(debug_pending_trap(f.cpu));
    cr_assert(RUN(&f, 0xa3, 0, 0, 3, 0));
    cr_assert(f.cpu->attention & ATTENTION_TRAP);
    cr_assert(debug_pending_trap(f.cpu));
    cr_assert_eq(f.cpu->dr[6], DR6_FIXED1 | 1);
    cr_assert_not(debug_pending_trap(f.cpu));
}

Test(debug, io_breakpoints_need_de)
{
    f.cpu->cr4 |= CR4_DE;
    arm(1, 0x60, DEBUG_RW_IO, 1);
    uint32_t value;
    cr_assert(io_read(f.cpu, 0x61, 1, &value));
    cr_assert_eq(f.cpu->pending_dr6, 2);
    f.cpu->pending_dr6 = 0;
    cr_assert(io_write(f.cpu, 0x5e, 2, 0));
    cr_assert_eq(f.cpu->pending_dr6, 0);
    cr_assert(io_write(f.cpu, 0x5e, 4, 0));
    cr_assert_eq(f.cpu->pending_dr6, 2);
    f.cpu->pending_dr6 = 0;
    f.cpu->cr4 &= ~CR4_DE;
    cr_assert(io_read(f.cpu, 0x61, 1, &value));
    cr_assert_eq(f.cpu->pending_dr6, 0);
}

/* ---- Single step, through the dispatch loop ---------------------------------------------------------------- */

#define HANDLER 0x50000u

static void run_code(const uint8_t *bytes, unsigned count, uint64_t budget)
{
    poke(&f, AT_CODE, bytes, count);
    poke(&f, HANDLER, (const uint8_t[]){0x90, 0x90, 0x90, 0xf4}, 4);
    idt_gate(&f, EXC_DB, SEL_CODE0, HANDLER, A_TRAP32);
    f.cpu->rip = f.cpu->next_rip = AT_CODE;
    interp_run(f.cpu, budget);
}

Test(debug, single_step_traps_after_the_instruction_that_began_with_tf)
{
    /* push 102h; popf; nop; nop */
    run_code((const uint8_t[]){0x68, 0x02, 0x01, 0, 0, 0x9d, 0x90, 0x90}, 8, 4);
    cr_assert_eq(f.cpu->rip, HANDLER + 1, "rip %lx", f.cpu->rip);
    cr_assert_eq(stack_word(&f, 4, 0), AT_CODE + 7);
    cr_assert(stack_word(&f, 4, 2) & RFLAGS_TF);
    cr_assert_eq(f.cpu->dr[6], DR6_FIXED1 | DR6_BS);
    cr_assert_not(f.cpu->rflags & RFLAGS_TF);
}

Test(debug, popf_that_clears_tf_still_traps)
{
    cr_assert(stack_push(f.cpu, 4, 2));
    rflags_set(f.cpu, RFLAGS_TF, RFLAGS_TF);
    run_code((const uint8_t[]){0x9d, 0x90}, 2, 2);
    cr_assert_eq(stack_word(&f, 4, 0), AT_CODE + 1);
    cr_assert_not(stack_word(&f, 4, 2) & RFLAGS_TF);
}

Test(debug, mov_ss_holds_the_trap_for_one_instruction)
{
    arm(0, 0x30000, DEBUG_RW_ACCESS, 1);
    poke16(&f, 0x30000, SEL_DATA0);
    /* mov ss,[0x30000]; nop; nop */
    run_code((const uint8_t[]){0x8e, 0x15, 0, 0, 3, 0, 0x90, 0x90}, 8, 3);
    cr_assert_eq(f.cpu->rip, HANDLER + 1);
    cr_assert_eq(stack_word(&f, 4, 0), AT_CODE + 7);
    cr_assert_eq(f.cpu->dr[6], DR6_FIXED1 | 1);
}

Test(debug, int_n_is_not_stepped_into)
{
    idt_gate(&f, 0x30, SEL_CODE0, HANDLER, A_TRAP32);
    rflags_set(f.cpu, RFLAGS_TF, RFLAGS_TF);
    run_code((const uint8_t[]){0xcd, 0x30}, 2, 2);
    cr_assert_eq(f.cpu->rip, HANDLER + 1);
    cr_assert_eq(f.cpu->dr[6], DR6_FIXED1);
    cr_assert(stack_word(&f, 4, 2) & RFLAGS_TF);
}

Test(debug, faulting_instruction_drops_its_step)
{
    idt_gate(&f, EXC_UD, SEL_CODE0, HANDLER, A_TRAP32);
    rflags_set(f.cpu, RFLAGS_TF, RFLAGS_TF);
    run_code((const uint8_t[]){0x0f, 0x0b}, 2, 1);
    cr_assert_eq(f.cpu->rip, HANDLER + 1);
    cr_assert_eq(f.cpu->dr[6], DR6_FIXED1);
    cr_assert(stack_word(&f, 4, 2) & RFLAGS_TF);
}

Test(debug, instruction_breakpoint_fires_once_with_rf_in_the_image)
{
    arm(0, AT_CODE + 1, DEBUG_RW_FETCH, 0);
    run_code((const uint8_t[]){0x90, 0x90, 0x90}, 3, 2);
    cr_assert_eq(f.cpu->rip, HANDLER + 1);
    cr_assert_eq(stack_word(&f, 4, 0), AT_CODE + 1);
    cr_assert_not(stack_word(&f, 4, 2) & RFLAGS_RF, "the handler sets RF itself");
    gpa_t image = f.cpu->gpr[RSP] + 8;
    poke32(&f, image, peek32(&f, image) | (uint32_t)RFLAGS_RF);
    poke(&f, HANDLER + 1, (const uint8_t[]){0xcf}, 1);
    interp_run(f.cpu, 3); /* iret, and past the breakpoint */
    cr_assert_eq(f.cpu->rip, AT_CODE + 3);
    cr_assert_not(f.cpu->rflags & RFLAGS_RF);
}

/* ---- The registers ----------------------------------------------------------------------------------------- */

Test(debug, dr4_and_dr5_are_aliases_until_de)
{
    uint32_t value;
    cr_assert(debug_read_dr(f.cpu, 4, &value));
    cr_assert_eq(value, DR6_FIXED1);
    cr_assert(debug_write_dr(f.cpu, 5, 0));
    cr_assert(debug_read_dr(f.cpu, 7, &value));
    cr_assert_eq(value, DR7_FIXED1);
    f.cpu->cr4 |= CR4_DE;
    cr_assert_not(debug_read_dr(f.cpu, 4, &value));
    ASSERT_EXCEPTION(f.cpu, EXC_UD, 0);
    cr_assert_not(debug_write_dr(f.cpu, 5, 0));
    ASSERT_EXCEPTION(f.cpu, EXC_UD, 0);
}

Test(debug, reserved_bits_read_as_they_must)
{
    cr_assert(debug_write_dr(f.cpu, 6, 0));
    cr_assert_eq(f.cpu->dr[6], DR6_FIXED1);
    cr_assert(debug_write_dr(f.cpu, 6, 0xffffffff));
    cr_assert_eq(f.cpu->dr[6], DR6_FIXED1 | DR6_BT | DR6_BS | DR6_BD | DR6_B);
    cr_assert(debug_write_dr(f.cpu, 7, 0xffffffff));
    cr_assert_eq(f.cpu->dr[7], 0xffff27ff);
}

Test(debug, gd_guards_the_registers_with_a_fault)
{
    uint32_t value;
    cr_assert(debug_write_dr(f.cpu, 7, (uint32_t)DR7_GD));
    cr_assert_not(debug_read_dr(f.cpu, 0, &value));
    ASSERT_EXCEPTION(f.cpu, EXC_DB, 0);
    cr_assert_eq(f.cpu->dr[6], DR6_FIXED1 | DR6_BD);
}

Test(debug, mov_dr_needs_cpl_0)
{
    cr_assert(RUN(&f, 0x0f, 0x21, 0xf0)); /* mov eax,dr6 */
    cr_assert_eq(f.cpu->gpr[RAX], DR6_FIXED1);
    set_cpl(&f, 3);
    cr_assert_not(RUN(&f, 0x0f, 0x21, 0xf0));
    ASSERT_EXCEPTION(f.cpu, EXC_GP, 0);
    cr_assert_not(RUN(&f, 0x0f, 0x23, 0xf0));
    ASSERT_EXCEPTION(f.cpu, EXC_GP, 0);
}
