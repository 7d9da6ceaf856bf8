/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Hardware task switches: what moves where, busy flags and links, and the table of exception conditions.
 * SDM: Volume 3A, "Task Management": "Task Switching", Tables "Exception Conditions Checked During a Task Switch"
 * and "Effect of a Task Switch on Busy Flag, NT Flag, Previous Task Link Field, and TS Flag".
 */
#include "system_fixture.h"

static struct fixture f;

/* The second task, as its TSS has it. */
static void fill_task(void)
{
    poke32(&f, AT_TSS2 + 0x1c, 0);
    poke32(&f, AT_TSS2 + 0x20, 0x12345);
    poke32(&f, AT_TSS2 + 0x24, RFLAGS_FIXED1 | RFLAGS_CF);
    for (uint32_t i = 0; i < 8; i++) {
        poke32(&f, AT_TSS2 + 0x28 + 4 * i, 0x100 + i);
    }
    poke32(&f, AT_TSS2 + 0x38, AT_STACK2);
    for (uint32_t i = 0; i < SEG_COUNT; i++) {
        poke16(&f, AT_TSS2 + 0x48 + 4 * i, SEL_DATA0);
    }
    poke16(&f, AT_TSS2 + 0x4c, SEL_CODE0);
    poke16(&f, AT_TSS2 + 0x60, SEL_LDT);
    poke16(&f, AT_TSS2 + 0x64, 0);
}

static void setup(void)
{
    fixture_init(&f);
    enter_protected(&f);
    fill_task();
}

static void teardown(void)
{
    fixture_fini(&f);
}

TestSuite(task, .init = setup, .fini = teardown);

static bool jmp_tss(uint16_t selector)
{
    return RUN(&f, 0xea, 0, 0, 0, 0, (uint8_t)selector, (uint8_t)(selector >> 8));
}

static bool call_tss(uint16_t selector)
{
    return RUN(&f, 0x9a, 0, 0, 0, 0, (uint8_t)selector, (uint8_t)(selector >> 8));
}

Test(task, jump_saves_and_loads_every_register)
{
    for (unsigned i = 0; i < 8; i++) {
        f.cpu->gpr[i] = i == RSP ? AT_STACK0 - 0x800 : 0x900 + i;
    }
    cr_assert(segment_load(f.cpu, SEG_FS, 0));
    f.cpu->rflags = RFLAGS_FIXED1 | RFLAGS_ZF;
    cr_assert(jmp_tss(SEL_TSS2));
    cr_assert_eq(peek32(&f, AT_TSS + 0x20), AT_CODE + 7);
    cr_assert_eq(peek32(&f, AT_TSS + 0x24), RFLAGS_FIXED1 | RFLAGS_ZF);
    cr_assert_eq(f.cpu->rip, 0x12345);
    cr_assert_eq(f.cpu->rflags, RFLAGS_FIXED1 | RFLAGS_CF);
    for (unsigned i = 0; i < 8; i++) {
        cr_assert_eq(peek32(&f, AT_TSS + 0x28 + 4 * i), i == RSP ? AT_STACK0 - 0x800 : 0x900 + i);
        cr_assert_eq(f.cpu->gpr[i], i == RSP ? AT_STACK2 : 0x100 + i);
    }
    const uint16_t saved[SEG_COUNT] = {SEL_DATA0, SEL_CODE0, SEL_DATA0, SEL_DATA0, 0, SEL_DATA0};
    for (unsigned i = 0; i < SEG_COUNT; i++) {
        cr_assert_eq(peek16(&f, AT_TSS + 0x48 + 4 * i), saved[i]);
        cr_assert_eq(f.cpu->seg[i].selector, i == SEG_CS ? SEL_CODE0 : SEL_DATA0);
        cr_assert_eq(f.cpu->seg[i].limit, 0xffffffff);
    }
    cr_assert_eq(f.cpu->ldtr.selector, SEL_LDT);
    cr_assert_eq(f.cpu->ldtr.base, AT_LDT);
    cr_assert_eq(f.cpu->tr.selector, SEL_TSS2);
    cr_assert_eq(f.cpu->tr.base, AT_TSS2);
}

/* The table of effects. */
Test(task, jump_moves_the_busy_flag_and_links_nothing)
{
    poke16(&f, AT_TSS2, 0x7777);
    cr_assert(jmp_tss(SEL_TSS2));
    cr_assert_eq(gdt_attr(&f, SEL_TSS), A_TSS32);
    cr_assert_eq(gdt_attr(&f, SEL_TSS2), A_TSS32_BUSY);
    cr_assert_eq(peek16(&f, AT_TSS2), 0x7777);
    cr_assert_not(f.cpu->rflags & RFLAGS_NT);
    cr_assert(f.cpu->cr0 & CR0_TS);
}

Test(task, call_nests_and_iret_returns)
{
    f.cpu->rflags |= RFLAGS_CF;
    cr_assert(call_tss(SEL_TSS2));
    cr_assert_eq(gdt_attr(&f, SEL_TSS), A_TSS32_BUSY);
    cr_assert_eq(gdt_attr(&f, SEL_TSS2), A_TSS32_BUSY);
    cr_assert_eq(peek16(&f, AT_TSS2), SEL_TSS);
    cr_assert(f.cpu->rflags & RFLAGS_NT);
    f.cpu->cr0 &= ~CR0_TS;
    f.cpu->gpr[RBX] = 0xbbb;
    cr_assert(RUN(&f, 0xcf));
    cr_assert_eq(f.cpu->tr.selector, SEL_TSS);
    cr_assert_eq(gdt_attr(&f, SEL_TSS), A_TSS32_BUSY);
    cr_assert_eq(gdt_attr(&f, SEL_TSS2), A_TSS32);
    cr_assert_eq(f.cpu->rip, AT_CODE + 7);
    cr_assert_not(f.cpu->rflags & RFLAGS_NT);
    cr_assert_not(peek32(&f, AT_TSS2 + 0x24) & RFLAGS_NT);
    cr_assert_eq(peek32(&f, AT_TSS2 + 0x20), 0x12346); /* behind the IRET */
    cr_assert_eq(peek32(&f, AT_TSS2 + 0x34), 0xbbb);
    cr_assert(f.cpu->cr0 & CR0_TS);
}

Test(task, task_gate_is_as_good_as_the_tss)
{
    gdt_gate(&f, SEL_TEST, SEL_TSS2, 0, A_TASK | A_DPL(3), 0);
    set_cpl(&f, 3);
    poke16(&f, AT_TSS2 + 0x4c, SEL_CODE0);
    cr_assert(jmp_tss(SEL_TEST | 3));
    cr_assert_eq(f.cpu->tr.selector, SEL_TSS2);
    cr_assert_eq(f.cpu->cpl, 0);
}

/* ---- Before the switch: errors belong to the old task ------------------------------------------------------ */

struct before_row {
    const char *what;
    uint16_t selector;
    uint8_t attr; /* of SEL_TSS2 */
    uint32_t limit;
    unsigned cpl;
    int vector;
    uint32_t code;
};

Test(task, conditions_of_the_tss_descriptor)
{
    static const struct before_row rows[] = {
        {"DPL below CPL", SEL_TSS2 | 3, A_TSS32, 0x67, 3, EXC_GP, SEL_TSS2},
        {"DPL below RPL", SEL_TSS2 | 3, A_TSS32, 0x67, 0, EXC_GP, SEL_TSS2},
        {"busy", SEL_TSS2, A_TSS32_BUSY, 0x67, 0, EXC_GP, SEL_TSS2},
        {"busy 16-bit", SEL_TSS2, A_TSS16_BUSY, 0x67, 0, EXC_GP, SEL_TSS2},
        {"absent", SEL_TSS2, A_TSS32 & ~A_P, 0x67, 0, EXC_NP, SEL_TSS2},
        {"32-bit limit", SEL_TSS2, A_TSS32, 0x66, 0, EXC_TS, SEL_TSS2},
        {"16-bit limit", SEL_TSS2, A_TSS16, 0x2a, 0, EXC_TS, SEL_TSS2},
        {"itself", SEL_TSS, A_TSS32, 0x67, 0, EXC_GP, SEL_TSS},
        {"good", SEL_TSS2 | 3, A_TSS32 | A_DPL(3), 0x67, 3, -1, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        for (unsigned call = 0; call < 2; call++) {
            fill_tables(&f);
            force_segment(&f, &f.cpu->tr, SEL_TSS);
            set_cpl(&f, rows[i].cpl);
            set_segment(&f, AT_GDT, SEL_TSS2, AT_TSS2, rows[i].limit, rows[i].attr, false);
            bool done = call ? call_tss(rows[i].selector) : jmp_tss(rows[i].selector);
            cr_assert_eq(done, rows[i].vector < 0, "%s", rows[i].what);
            if (!done) {
                cr_assert_eq(f.cpu->exception.vector, rows[i].vector, "%s", rows[i].what);
                cr_assert_eq(f.cpu->exception.error_code, rows[i].code, "%s", rows[i].what);
                cr_assert_eq(f.cpu->tr.selector, SEL_TSS);
                cr_assert_eq(f.cpu->rip, AT_CODE);
                cr_assert_eq(gdt_attr(&f, SEL_TSS), A_TSS32_BUSY);
            }
        }
    }
}

Test(task, conditions_of_the_link_at_iret)
{
    struct {
        uint16_t link;
        uint8_t attr; /* of SEL_TSS2 */
        int vector;
        uint32_t code;
    } rows[] = {
        {0, A_TSS32_BUSY, EXC_TS, 0},
        {SEL_BEYOND, A_TSS32_BUSY, EXC_TS, SEL_BEYOND},
        {SEL_TSS2 | 4, A_TSS32_BUSY, EXC_TS, SEL_TSS2 | 4},
        {SEL_TSS2, A_TSS32, EXC_TS, SEL_TSS2},
        {SEL_TSS2, A_LDT, EXC_TS, SEL_TSS2},
        {SEL_TSS2, A_TSS32_BUSY & ~A_P, EXC_NP, SEL_TSS2},
        {SEL_TSS2, A_TSS32_BUSY, -1, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        set_cpl(&f, 0);
        f.cpu->rflags = RFLAGS_FIXED1 | RFLAGS_NT;
        poke16(&f, AT_TSS, rows[i].link);
        set_segment(&f, AT_GDT, SEL_TSS2, AT_TSS2, 0x67, rows[i].attr, false);
        cr_assert_eq(RUN(&f, 0xcf), rows[i].vector < 0, "row %zu", i);
        if (rows[i].vector >= 0) {
            ASSERT_EXCEPTION(f.cpu, rows[i].vector, rows[i].code);
        }
    }
    cr_assert_eq(f.cpu->tr.selector, SEL_TSS2);
}

/* ---- After the switch: errors belong to the new task ------------------------------------------------------- */

#define T SEL_TEST

struct after_row {
    const char *what;
    unsigned field; /* offset in the TSS of the selector under test */
    uint16_t selector;
    uint8_t attr; /* of SEL_TEST */
    int vector;
    uint32_t code;
};

static const struct after_row after_rows[] = {
    {"LDT in an LDT", 0x60, T | 4, A_LDT, EXC_TS, T | 4},
    {"LDT beyond the table", 0x60, SEL_BEYOND, A_LDT, EXC_TS, SEL_BEYOND},
    {"LDT of the wrong type", 0x60, T, A_DATA, EXC_TS, T},
    {"LDT absent", 0x60, T, A_LDT & ~A_P, EXC_TS, T},
    {"LDT null", 0x60, 0, A_LDT, -1, 0},
    {"CS null", 0x4c, 0, A_CODE, EXC_TS, 0},
    {"CS beyond the table", 0x4c, SEL_BEYOND, A_CODE, EXC_TS, SEL_BEYOND},
    {"CS data", 0x4c, T, A_DATA, EXC_TS, T},
    {"CS DPL is not RPL", 0x4c, T, A_CODE | A_DPL(1), EXC_TS, T},
    {"CS conforming DPL above RPL", 0x4c, T, A_CONFORMING | A_DPL(1), EXC_TS, T},
    {"CS absent", 0x4c, T, A_CODE & ~A_P, EXC_NP, T},
    {"CS good", 0x4c, T, A_CODE, -1, 0},
    {"SS null", 0x50, 0, A_DATA, EXC_TS, 0},
    {"SS beyond the table", 0x50, SEL_BEYOND, A_DATA, EXC_TS, SEL_BEYOND},
    {"SS read-only", 0x50, T, A_DATA_RO, EXC_TS, T},
    {"SS RPL is not CPL", 0x50, T | 1, A_DATA, EXC_TS, T},
    {"SS DPL is not CPL", 0x50, T, A_DATA | A_DPL(1), EXC_TS, T},
    {"SS absent", 0x50, T, A_DATA & ~A_P, EXC_SS, T},
    {"DS beyond the table", 0x54, SEL_BEYOND, A_DATA, EXC_TS, SEL_BEYOND},
    {"DS execute-only", 0x54, T, A_CODE_NOREAD, EXC_TS, T},
    {"DS system", 0x54, T, A_TSS32, EXC_TS, T},
    {"DS RPL above DPL", 0x54, T | 3, A_DATA, EXC_TS, T},
    {"DS absent", 0x54, T, A_DATA & ~A_P, EXC_NP, T},
    {"DS null", 0x54, 0, A_DATA, -1, 0},
    {"ES absent", 0x48, T, A_DATA & ~A_P, EXC_NP, T},
    {"FS beyond the table", 0x58, SEL_BEYOND, A_DATA, EXC_TS, SEL_BEYOND},
    {"GS conforming code", 0x5c, T | 3, A_CONFORMING, -1, 0},
};

Test(task, conditions_of_the_new_tasks_segments)
{
    for (size_t i = 0; i < ARRAY_LEN(after_rows); i++) {
        const struct after_row *row = &after_rows[i];
        fill_tables(&f);
        fill_task();
        force_segment(&f, &f.cpu->tr, SEL_TSS);
        set_cpl(&f, 0);
        gdt_segment(&f, T, row->attr);
        poke16(&f, AT_TSS2 + row->field, row->selector);
        cr_assert_eq(jmp_tss(SEL_TSS2), row->vector < 0, "%s", row->what);
        cr_assert_eq(f.cpu->tr.selector, SEL_TSS2, "%s", row->what);
        cr_assert_eq(f.cpu->rip, 0x12345, "%s", row->what);
        if (row->vector >= 0) {
            cr_assert_eq(f.cpu->exception.vector, row->vector, "%s: %d", row->what, f.cpu->exception.vector);
            cr_assert_eq(f.cpu->exception.error_code, row->code, "%s", row->what);
            cr_assert_eq(f.cpu->gpr[RBX], 0x103, "%s: registers are the new task's", row->what);
        }
    }
}

Test(task, offset_beyond_the_new_code_segment_is_gp_there)
{
    set_segment(&f, AT_GDT, T, 0, 0x12344, A_CODE, true);
    poke16(&f, AT_TSS2 + 0x4c, T);
    cr_assert_not(jmp_tss(SEL_TSS2));
    ASSERT_EXCEPTION(f.cpu, EXC_GP, 0);
    cr_assert_eq(f.cpu->rip, 0x12345);
    cr_assert_eq(f.cpu->seg[SEG_CS].selector, T);
}

Test(task, levels_come_from_the_new_cs)
{
    poke16(&f, AT_TSS2 + 0x4c, SEL_CODE3 | 3);
    poke16(&f, AT_TSS2 + 0x50, SEL_DATA3 | 3);
    poke16(&f, AT_TSS2 + 0x54, SEL_DATA0);
    cr_assert_not(jmp_tss(SEL_TSS2)); /* DS is too privileged now */
    ASSERT_EXCEPTION(f.cpu, EXC_TS, SEL_DATA0);
    cr_assert_eq(f.cpu->cpl, 3);
}

/* ---- The rest -------------------------------------------------------------------------------------------- */

Test(task, sixteen_bit_tss)
{
    set_segment(&f, AT_GDT, SEL_TSS2, AT_TSS2, 0x2b, A_TSS16, false);
    memset(ram_ptr(&f.ram, AT_TSS2), 0, 0x68);
    poke16(&f, AT_TSS2 + 0x0e, 0x2345);
    poke16(&f, AT_TSS2 + 0x10, RFLAGS_FIXED1 | RFLAGS_IF);
    for (uint16_t i = 0; i < 8; i++) {
        poke16(&f, AT_TSS2 + 0x12u + 2u * i, 0x200 + i);
    }
    const uint16_t selectors[] = {SEL_DATA0, SEL_CODE0, SEL_DATA0, 0};
    poke(&f, AT_TSS2 + 0x22, selectors, sizeof(selectors));
    f.cpu->gpr[RAX] = 0xffffffff;
    cr_assert(call_tss(SEL_TSS2));
    cr_assert_eq(f.cpu->rip, 0x2345);
    cr_assert_eq(f.cpu->gpr[RAX], 0x200);
    cr_assert_eq(f.cpu->rflags, RFLAGS_FIXED1 | RFLAGS_IF | RFLAGS_NT);
    cr_assert(f.cpu->seg[SEG_GS].attr & SEG_UNUSABLE);
    cr_assert_eq(peek16(&f, AT_TSS2), SEL_TSS);
    f.cpu->gpr[RDI] = 0x3333;
    cr_assert(RUN(&f, 0xcf));
    cr_assert_eq(f.cpu->gpr[RAX], 0xffffffff);
    cr_assert_eq(peek16(&f, AT_TSS2 + 0x20), 0x3333);
    cr_assert_eq(peek16(&f, AT_TSS2 + 0x2a), 0, "the LDT field is not saved");
}

Test(task, v86_task)
{
    poke32(&f, AT_TSS2 + 0x20, 0x2345);
    poke32(&f, AT_TSS2 + 0x24, RFLAGS_FIXED1 | (uint32_t)RFLAGS_VM);
    for (uint32_t i = 0; i < SEG_COUNT; i++) {
        poke16(&f, AT_TSS2 + 0x48 + 4 * i, (uint16_t)(0x1000 + i));
    }
    cr_assert(jmp_tss(SEL_TSS2));
    cr_assert(f.cpu->v86);
    cr_assert_eq(f.cpu->cpl, 3);
    for (unsigned i = 0; i < SEG_COUNT; i++) {
        cr_assert_eq(f.cpu->seg[i].base, (0x1000u + i) * 16);
        cr_assert_eq(f.cpu->seg[i].limit, 0xffff);
    }
    cr_assert_not(f.cpu->code32);
}

Test(task, t_bit_makes_a_debug_trap)
{
    poke16(&f, AT_TSS2 + 0x64, 1);
    cr_assert(jmp_tss(SEL_TSS2));
    cr_assert(f.cpu->attention & ATTENTION_TRAP);
    cr_assert(debug_pending_trap(f.cpu));
    ASSERT_EXCEPTION(f.cpu, EXC_DB, 0);
    cr_assert_eq(f.cpu->dr[6], DR6_FIXED1 | DR6_BT);
}

Test(task, local_breakpoints_end_with_the_task)
{
    cr_assert(debug_write_dr(f.cpu, 7, 0x3ff));
    cr_assert(jmp_tss(SEL_TSS2));
    cr_assert_eq(f.cpu->dr[7] & 0x3ff, 0x2aa);
}

Test(task, cr3_changes_with_paging_only)
{
    poke32(&f, AT_TSS2 + 0x1c, 0x40000);
    cr_assert(jmp_tss(SEL_TSS2));
    cr_assert_eq(f.cpu->cr3, 0);
}

static void identity_map(uint32_t directory)
{
    poke32(&f, directory, (directory + 0x1000) | 7);
    for (uint32_t i = 0; i < 1024; i++) {
        poke32(&f, directory + 0x1000 + 4 * i, i << 12 | 7);
    }
}

Test(task, cr3_comes_from_the_tss_under_paging)
{
    identity_map(0x40000);
    identity_map(0x50000);
    cr_assert(cr3_write(f.cpu, 0x40000));
    cr_assert(cr0_write(f.cpu, f.cpu->cr0 | CR0_PG));
    poke32(&f, AT_TSS2 + 0x1c, 0x50000);
    cr_assert(jmp_tss(SEL_TSS2));
    cr_assert_eq(f.cpu->cr3, 0x50000);
    cr_assert_eq(f.cpu->paging.cr3, 0x50000);
}

Test(task, page_fault_before_the_switch_changes_nothing)
{
    identity_map(0x40000);
    poke32(&f, 0x41000 + 4 * 4, 0x4000 | 5); /* the old TSS cannot be written */
    cr_assert(cr3_write(f.cpu, 0x40000));
    cr_assert(cr0_write(f.cpu, f.cpu->cr0 | CR0_PG | CR0_WP));
    poke32(&f, AT_TSS2 + 0x1c, 0x40000);
    cr_assert_not(call_tss(SEL_TSS2));
    ASSERT_EXCEPTION(f.cpu, EXC_PF, PF_P | PF_W);
    cr_assert_eq(f.cpu->tr.selector, SEL_TSS);
    cr_assert_eq(gdt_attr(&f, SEL_TSS2), A_TSS32);
    cr_assert_eq(peek16(&f, AT_TSS2), 0);
    cr_assert_eq(f.cpu->rip, AT_CODE);
}
