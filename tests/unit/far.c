/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Far JMP, CALL, RET and IRET in every mode, with the exceptions the manual lists for each.
 * SDM: Volume 2, "JMP", "CALL", "RET", "IRET/IRETD".
 */
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

TestSuite(far, .init = setup, .fini = teardown);

#define T       SEL_TEST
#define LE32(v) (uint8_t)(v), (uint8_t)((v) >> 8), (uint8_t)((v) >> 16), (uint8_t)((v) >> 24)
#define LE16(v) (uint8_t)(v), (uint8_t)((v) >> 8)

static bool jmp_far(uint16_t selector, uint32_t offset)
{
    return RUN(&f, 0xea, LE32(offset), LE16(selector));
}

static bool call_far(uint16_t selector, uint32_t offset)
{
    return RUN(&f, 0x9a, LE32(offset), LE16(selector));
}

static bool retf(void)
{
    return RUN(&f, 0xcb);
}

static bool iretd(void)
{
    return RUN(&f, 0xcf);
}

static void push(uint32_t value)
{
    cr_assert(stack_push(f.cpu, 4, value));
}

/* ---- JMP and CALL to descriptors ------------------------------------------------------------------------- */

struct row {
    const char *what;
    unsigned cpl;
    uint16_t selector;
    uint8_t attr; /* of SEL_TEST */
    int vector;   /* -1: goes through */
    uint32_t error_code;
};

static void check_rows(const struct row *rows, size_t count, bool (*transfer)(uint16_t, uint32_t))
{
    for (size_t i = 0; i < count; i++) {
        set_cpl(&f, rows[i].cpl);
        gdt_segment(&f, T, rows[i].attr);
        uint64_t rsp = f.cpu->gpr[RSP];
        bool done = transfer(rows[i].selector, 0x12345);
        cr_assert_eq(done, rows[i].vector < 0, "%s", rows[i].what);
        cr_assert_eq(f.cpu->cpl, rows[i].cpl, "%s", rows[i].what);
        if (done) {
            cr_assert_eq(f.cpu->rip, 0x12345, "%s", rows[i].what);
            cr_assert_eq(f.cpu->seg[SEG_CS].selector, (T | rows[i].cpl), "%s", rows[i].what);
            continue;
        }
        cr_assert_eq(f.cpu->exception.vector, rows[i].vector, "%s: %d", rows[i].what,
                     f.cpu->exception.vector);
        cr_assert_eq(f.cpu->exception.error_code, rows[i].error_code, "%s", rows[i].what);
        cr_assert_eq(f.cpu->rip, AT_CODE, "%s", rows[i].what);
        cr_assert_eq(f.cpu->gpr[RSP], rsp, "%s", rows[i].what);
    }
}

static const struct row direct_rows[] = {
    {"null", 0, 0, A_CODE, EXC_GP, 0},
    {"null with RPL", 0, 3, A_CODE, EXC_GP, 0},
    {"beyond the table", 0, SEL_BEYOND | 3, A_CODE, EXC_GP, SEL_BEYOND},
    {"data", 0, T, A_DATA, EXC_GP, T},
    {"LDT", 0, T, A_LDT, EXC_GP, T},
    {"interrupt gate", 0, T, A_INT32, EXC_GP, T},
    {"busy TSS", 0, T, A_TSS32_BUSY, EXC_GP, T},
    {"nonconforming, inner", 3, T | 3, A_CODE, EXC_GP, T},
    {"nonconforming, outer", 0, T, A_CODE | A_DPL(3), EXC_GP, T},
    {"nonconforming, RPL above CPL", 0, T | 3, A_CODE, EXC_GP, T},
    {"nonconforming, absent", 0, T, A_CODE & ~A_P, EXC_NP, T},
    {"conforming, outer", 0, T, A_CONFORMING | A_DPL(3), EXC_GP, T},
    {"conforming, absent", 3, T | 3, A_CONFORMING & ~A_P, EXC_NP, T},
    {"nonconforming", 0, T, A_CODE, -1, 0},
    {"nonconforming, RPL below CPL", 3, T, A_CODE | A_DPL(3), -1, 0},
    {"conforming, inner, CPL stays", 3, T | 3, A_CONFORMING, -1, 0},
    {"conforming, RPL does not count", 0, T | 3, A_CONFORMING, -1, 0},
};

Test(far, direct_jump_rows)
{
    check_rows(direct_rows, ARRAY_LEN(direct_rows), jmp_far);
}

Test(far, direct_call_rows)
{
    check_rows(direct_rows, ARRAY_LEN(direct_rows), call_far);
}

Test(far, offset_beyond_the_limit_is_gp_0)
{
    set_segment(&f, AT_GDT, T, 0, 0x12344, A_CODE, true);
    cr_assert_not(jmp_far(T, 0x12345));
    ASSERT_EXCEPTION(f.cpu, EXC_GP, 0);
    cr_assert_not(call_far(T, 0x12345));
    ASSERT_EXCEPTION(f.cpu, EXC_GP, 0);
    cr_assert(jmp_far(T, 0x12344));
}

Test(far, call_pushes_the_return_address_and_retf_takes_it)
{
    uint64_t rsp = f.cpu->gpr[RSP];
    gdt_segment(&f, T, A_CODE & ~1);
    cr_assert(call_far(T, 0x12345));
    cr_assert_eq(gdt_attr(&f, T), A_CODE);
    cr_assert_eq(f.cpu->gpr[RSP], rsp - 8);
    cr_assert_eq(stack_word(&f, 4, 0), AT_CODE + 7);
    cr_assert_eq(stack_word(&f, 4, 1), SEL_CODE0);
    cr_assert(RUN(&f, 0xca, 4, 0)); /* retf 4 */
    cr_assert_eq(f.cpu->rip, AT_CODE + 7);
    cr_assert_eq(f.cpu->seg[SEG_CS].selector, SEL_CODE0);
    cr_assert_eq(f.cpu->gpr[RSP], rsp + 4);
}

Test(far, call_without_room_is_ss_0)
{
    set_segment(&f, AT_GDT, SEL_TEST2, 0, 0xfff, A_DATA, true);
    force_segment(&f, &f.cpu->seg[SEG_SS], SEL_TEST2);
    vcpu_sync(f.cpu);
    f.cpu->gpr[RSP] = 0x2000;
    cr_assert_not(call_far(SEL_CODE0, 0x12345));
    ASSERT_EXCEPTION(f.cpu, EXC_SS, 0);
}

Test(far, sixteen_bit_call_pushes_words)
{
    uint64_t rsp = f.cpu->gpr[RSP];
    cr_assert(RUN(&f, 0x66, 0x9a, LE16(0x2345), LE16(SEL_CODE0)));
    cr_assert_eq(f.cpu->rip, 0x2345);
    cr_assert_eq(f.cpu->gpr[RSP], rsp - 4);
    cr_assert_eq(stack_word(&f, 2, 0), (uint16_t)(AT_CODE + 6));
    cr_assert_eq(stack_word(&f, 2, 1), SEL_CODE0);
}

/* ---- Gates ----------------------------------------------------------------------------------------------- */

struct gate_row {
    const char *what;
    unsigned cpl;
    uint16_t selector; /* of the gate, SEL_TEST or SEL_TEST with RPL */
    uint8_t gate_attr;
    uint16_t target;
    uint8_t target_attr; /* of SEL_TEST2 */
    int jmp_vector, call_vector;
    uint32_t error_code;
};

static const struct gate_row gate_rows[] = {
    {"gate DPL below CPL", 3, T | 3, A_CALL32, SEL_TEST2, A_CODE, EXC_GP, EXC_GP, T},
    {"gate DPL below RPL", 0, T | 3, A_CALL32, SEL_TEST2, A_CODE, EXC_GP, EXC_GP, T},
    {"gate absent", 0, T, A_CALL32 & ~A_P, SEL_TEST2, A_CODE, EXC_NP, EXC_NP, T},
    {"gate absent and DPL too low", 3, T | 3, A_CALL32 & ~A_P, SEL_TEST2, A_CODE, EXC_GP, EXC_GP, T},
    {"null target", 0, T, A_CALL32, 0, A_CODE, EXC_GP, EXC_GP, 0},
    {"target beyond the table", 0, T, A_CALL32, SEL_BEYOND, A_CODE, EXC_GP, EXC_GP, SEL_BEYOND},
    {"target data", 0, T, A_CALL32, SEL_TEST2, A_DATA, EXC_GP, EXC_GP, SEL_TEST2},
    {"target outer", 0, T, A_CALL32, SEL_TEST2, A_CODE | A_DPL(3), EXC_GP, EXC_GP, SEL_TEST2},
    {"target absent", 0, T, A_CALL32, SEL_TEST2, A_CODE & ~A_P, EXC_NP, EXC_NP, SEL_TEST2},
    {"target same level", 0, T, A_CALL32, SEL_TEST2, A_CODE, -1, -1, 0},
    {"target RPL does not count", 0, T, A_CALL32, SEL_TEST2 | 3, A_CODE, -1, -1, 0},
    {"target conforming, inner", 3, T | 3, A_CALL32 | A_DPL(3), SEL_TEST2, A_CONFORMING, -1, -1, 0},
    {"target inner: CALL only", 3, T | 3, A_CALL32 | A_DPL(3), SEL_TEST2, A_CODE, EXC_GP, -1, SEL_TEST2},
};

static void check_gate_row(const struct gate_row *row, bool call)
{
    int vector = call ? row->call_vector : row->jmp_vector;

    set_cpl(&f, row->cpl);
    gdt_gate(&f, T, row->target, 0x12345, row->gate_attr, 0);
    gdt_segment(&f, SEL_TEST2, row->target_attr);
    bool done = call ? call_far(row->selector, 0xdeadbeef) : jmp_far(row->selector, 0xdeadbeef);
    cr_assert_eq(done, vector < 0, "%s", row->what);
    if (done) {
        cr_assert_eq(f.cpu->rip, 0x12345, "%s", row->what);
    } else {
        cr_assert_eq(f.cpu->exception.vector, vector, "%s", row->what);
        cr_assert_eq(f.cpu->exception.error_code, row->error_code, "%s", row->what);
        cr_assert_eq(f.cpu->cpl, row->cpl, "%s", row->what);
    }
}

Test(far, call_gate_rows)
{
    for (size_t i = 0; i < ARRAY_LEN(gate_rows); i++) {
        check_gate_row(&gate_rows[i], false);
        check_gate_row(&gate_rows[i], true);
    }
}

Test(far, call_inward_switches_stacks_and_copies_parameters)
{
    set_cpl(&f, 3);
    gdt_gate(&f, T, SEL_CODE0, 0x12345, A_CALL32 | A_DPL(3), 3);
    push(0x111);
    push(0x222);
    push(0x333);
    uint64_t old_rsp = f.cpu->gpr[RSP];
    cr_assert(call_far(T | 3, 0));
    cr_assert_eq(f.cpu->cpl, 0);
    cr_assert_eq(f.cpu->seg[SEG_CS].selector, SEL_CODE0);
    cr_assert_eq(f.cpu->seg[SEG_SS].selector, SEL_DATA0);
    cr_assert_eq(f.cpu->gpr[RSP], AT_STACK0 - 28);
    const uint32_t expected[] = {AT_CODE + 7, SEL_CODE3 | 3,     0x333,        0x222,
                                 0x111,       (uint32_t)old_rsp, SEL_DATA3 | 3};
    for (unsigned i = 0; i < ARRAY_LEN(expected); i++) {
        cr_assert_eq(stack_word(&f, 4, i), expected[i], "word %u", i);
    }
    cr_assert(RUN(&f, 0xca, 12, 0)); /* retf 12: outward again, parameters released on both stacks */
    cr_assert_eq(f.cpu->cpl, 3);
    cr_assert_eq(f.cpu->rip, AT_CODE + 7);
    cr_assert_eq(f.cpu->gpr[RSP], old_rsp + 12);
    cr_assert_eq(f.cpu->seg[SEG_SS].selector, SEL_DATA3 | 3);
}

Test(far, sixteen_bit_gate_pushes_and_copies_words)
{
    set_cpl(&f, 3);
    gdt_gate(&f, T, SEL_CODE0, 0x2345, A_CALL16 | A_DPL(3), 1);
    push(0x22221111);
    cr_assert(call_far(T | 3, 0));
    cr_assert_eq(f.cpu->rip, 0x2345);
    cr_assert_eq(f.cpu->gpr[RSP], AT_STACK0 - 10);
    const uint16_t expected[] = {(uint16_t)(AT_CODE + 7), SEL_CODE3 | 3, 0x1111, (uint16_t)(AT_STACK3 - 4),
                                 SEL_DATA3 | 3};
    for (unsigned i = 0; i < ARRAY_LEN(expected); i++) {
        cr_assert_eq(stack_word(&f, 2, i), expected[i], "word %u", i);
    }
}

struct stack_row {
    const char *what;
    uint16_t selector;
    uint8_t attr; /* of SEL_TEST2 */
    int vector;
    uint32_t error_code;
};

Test(far, inner_stack_rows)
{
    static const struct stack_row rows[] = {
        {"null", 0, A_DATA, EXC_TS, 0},
        {"beyond the table", SEL_BEYOND, A_DATA, EXC_TS, SEL_BEYOND},
        {"RPL", SEL_TEST2 | 3, A_DATA, EXC_TS, SEL_TEST2},
        {"DPL", SEL_TEST2, A_DATA | A_DPL(3), EXC_TS, SEL_TEST2},
        {"read-only", SEL_TEST2, A_DATA_RO, EXC_TS, SEL_TEST2},
        {"code", SEL_TEST2, A_CODE, EXC_TS, SEL_TEST2},
        {"absent", SEL_TEST2, A_DATA & ~A_P, EXC_SS, SEL_TEST2},
        {"good", SEL_TEST2, A_DATA, -1, 0},
    };
    gdt_gate(&f, T, SEL_CODE0, 0x12345, A_CALL32 | A_DPL(3), 0);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        set_cpl(&f, 3);
        gdt_segment(&f, SEL_TEST2, rows[i].attr);
        poke16(&f, AT_TSS + 8, rows[i].selector);
        bool done = call_far(T | 3, 0);
        cr_assert_eq(done, rows[i].vector < 0, "%s", rows[i].what);
        if (!done) {
            cr_assert_eq(f.cpu->exception.vector, rows[i].vector, "%s", rows[i].what);
            cr_assert_eq(f.cpu->exception.error_code, rows[i].error_code, "%s", rows[i].what);
            cr_assert_eq(f.cpu->gpr[RSP], AT_STACK3);
        }
    }
}

Test(far, inner_stack_without_room_is_ss_with_its_selector)
{
    gdt_gate(&f, T, SEL_CODE0, 0x12345, A_CALL32 | A_DPL(3), 0);
    set_segment(&f, AT_GDT, SEL_TEST2, 0, 0xfff, A_DATA, true);
    set_cpl(&f, 3);
    poke16(&f, AT_TSS + 8, SEL_TEST2);
    poke32(&f, AT_TSS + 4, 0x1001);
    cr_assert_not(call_far(T | 3, 0));
    ASSERT_EXCEPTION(f.cpu, EXC_SS, SEL_TEST2);
    poke32(&f, AT_TSS + 4, 0x1000);
    poke32(&f, 0xffc, 0);
    cr_assert(call_far(T | 3, 0));
    cr_assert_eq(peek32(&f, 0xffc), SEL_DATA3 | 3);
}

Test(far, tss_too_short_for_the_stack_is_ts_with_its_selector)
{
    gdt_gate(&f, T, SEL_CODE0, 0x12345, A_CALL32 | A_DPL(3), 0);
    set_cpl(&f, 3);
    f.cpu->tr.limit = 8;
    cr_assert_not(call_far(T | 3, 0));
    ASSERT_EXCEPTION(f.cpu, EXC_TS, SEL_TSS);
    f.cpu->tr.limit = 9;
    cr_assert(call_far(T | 3, 0));
}

Test(far, sixteen_bit_tss_gives_ss_sp)
{
    gdt_gate(&f, T, SEL_CODE1, 0x12345, A_CALL32 | A_DPL(3), 0);
    set_cpl(&f, 3);
    f.cpu->tr.attr = A_TSS16_BUSY;
    poke16(&f, AT_TSS + 6, 0x7000);
    poke16(&f, AT_TSS + 8, SEL_DATA1 | 1);
    cr_assert(call_far(T | 3, 0));
    cr_assert_eq(f.cpu->cpl, 1);
    cr_assert_eq(f.cpu->gpr[RSP], 0x7000 - 16);
    cr_assert_eq(f.cpu->seg[SEG_SS].selector, SEL_DATA1 | 1);
}

/* ---- RET ------------------------------------------------------------------------------------------------- */

struct return_row {
    const char *what;
    unsigned cpl;
    uint16_t cs;
    uint8_t attr; /* of SEL_TEST */
    int vector;
    uint32_t error_code;
};

static const struct return_row return_rows[] = {
    {"null", 0, 0, A_CODE, EXC_GP, 0},
    {"beyond the table", 0, SEL_BEYOND, A_CODE, EXC_GP, SEL_BEYOND},
    {"inward", 3, T, A_CODE, EXC_GP, T},
    {"data", 0, T, A_DATA, EXC_GP, T},
    {"nonconforming DPL above RPL", 0, T, A_CODE | A_DPL(3), EXC_GP, T},
    {"nonconforming DPL below RPL", 0, T | 3, A_CODE, EXC_GP, T},
    {"conforming DPL above RPL", 0, T, A_CONFORMING | A_DPL(3), EXC_GP, T},
    {"absent", 0, T, A_CODE & ~A_P, EXC_NP, T},
    {"same level", 0, T, A_CODE, -1, 0},
    {"conforming, inner DPL", 3, T | 3, A_CONFORMING, -1, 0},
};

static void check_return_rows(bool interrupt)
{
    for (size_t i = 0; i < ARRAY_LEN(return_rows); i++) {
        const struct return_row *row = &return_rows[i];
        set_cpl(&f, row->cpl);
        gdt_segment(&f, T, row->attr);
        if (interrupt) {
            push(RFLAGS_FIXED1);
        }
        push(row->cs);
        push(0x12345);
        uint64_t rsp = f.cpu->gpr[RSP];
        bool done = interrupt ? iretd() : retf();
        cr_assert_eq(done, row->vector < 0, "%s", row->what);
        if (!done) {
            cr_assert_eq(f.cpu->exception.vector, row->vector, "%s", row->what);
            cr_assert_eq(f.cpu->exception.error_code, row->error_code, "%s", row->what);
            cr_assert_eq(f.cpu->gpr[RSP], rsp, "%s", row->what);
        } else {
            cr_assert_eq(f.cpu->rip, 0x12345, "%s", row->what);
            cr_assert_eq(f.cpu->gpr[RSP], rsp + (interrupt ? 12 : 8), "%s", row->what);
        }
    }
}

Test(far, return_code_segment_rows)
{
    check_return_rows(false);
}

Test(far, iret_code_segment_rows)
{
    check_return_rows(true);
}

Test(far, outward_return_stack_rows)
{
    static const struct stack_row rows[] = {
        {"null", 0, A_DATA, EXC_GP, 0},
        {"null with RPL", 3, A_DATA, EXC_GP, 0},
        {"beyond the table", SEL_BEYOND | 3, A_DATA, EXC_GP, SEL_BEYOND},
        {"RPL", SEL_TEST2, A_DATA | A_DPL(3), EXC_GP, SEL_TEST2},
        {"DPL", SEL_TEST2 | 3, A_DATA, EXC_GP, SEL_TEST2},
        {"read-only", SEL_TEST2 | 3, A_DATA_RO | A_DPL(3), EXC_GP, SEL_TEST2},
        {"absent", SEL_TEST2 | 3, (A_DATA & ~A_P) | A_DPL(3), EXC_SS, SEL_TEST2},
        {"good", SEL_TEST2 | 3, A_DATA | A_DPL(3), -1, 0},
    };
    for (unsigned interrupt = 0; interrupt < 2; interrupt++) {
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
            set_cpl(&f, 0);
            gdt_segment(&f, SEL_TEST2, rows[i].attr);
            push(rows[i].selector);
            push(0x30000);
            if (interrupt) {
                push(RFLAGS_FIXED1);
            }
            push(SEL_CODE3 | 3);
            push(0x12345);
            bool done = interrupt ? iretd() : retf();
            cr_assert_eq(done, rows[i].vector < 0, "%s", rows[i].what);
            if (!done) {
                cr_assert_eq(f.cpu->exception.vector, rows[i].vector, "%s", rows[i].what);
                cr_assert_eq(f.cpu->exception.error_code, rows[i].error_code, "%s", rows[i].what);
                cr_assert_eq(f.cpu->cpl, 0);
            } else {
                cr_assert_eq(f.cpu->cpl, 3);
                cr_assert_eq(f.cpu->gpr[RSP], 0x30000);
            }
        }
    }
}

Test(far, outward_return_drops_segments_of_the_inner_level)
{
    force_segment(&f, &f.cpu->seg[SEG_DS], SEL_DATA0);
    force_segment(&f, &f.cpu->seg[SEG_ES], SEL_DATA3 | 3);
    force_segment(&f, &f.cpu->seg[SEG_FS], SEL_CONFORMING0);
    force_segment(&f, &f.cpu->seg[SEG_GS], SEL_CODE0);
    vcpu_sync(f.cpu);
    push(SEL_DATA3 | 3);
    push(0x30000);
    push(SEL_CODE3 | 3);
    push(0x12345);
    cr_assert(retf());
    cr_assert_eq(f.cpu->seg[SEG_DS].selector, 0);
    cr_assert(f.cpu->seg[SEG_DS].attr & SEG_UNUSABLE);
    cr_assert_eq(f.cpu->seg[SEG_ES].selector, SEL_DATA3 | 3);
    cr_assert_not(f.cpu->seg[SEG_ES].attr & SEG_UNUSABLE);
    cr_assert_eq(f.cpu->seg[SEG_FS].selector, SEL_CONFORMING0);
    cr_assert_eq(f.cpu->seg[SEG_GS].selector, 0);
    cr_assert_eq(f.cpu->flat & (1 << SEG_DS), 0);
}

Test(far, return_to_a_16_bit_stack_changes_sp_only)
{
    set_segment(&f, AT_GDT, SEL_TEST2, 0x30000, 0xffff, A_DATA | A_DPL(3), false);
    f.cpu->gpr[RSP] = 0x1f800;
    push(SEL_TEST2 | 3);
    push(0xabcd1000);
    push(RFLAGS_FIXED1);
    push(SEL_CODE3 | 3);
    push(0x12345);
    cr_assert(iretd());
    cr_assert_eq(f.cpu->gpr[RSP], 0x11000);
    cr_assert_not(f.cpu->stack32);
}

/* ---- IRET: flags, V86, NMI ------------------------------------------------------------------------------- */

#define ALL_FLAGS 0x003f7fd7u

Test(far, iret_changes_the_flags_the_level_may)
{
    struct {
        unsigned cpl, iopl;
        uint64_t kept; /* bits that stay clear */
    } rows[] = {
        {0, 0, RFLAGS_VM},
        {3, 0, RFLAGS_VM | RFLAGS_IF | RFLAGS_IOPL | RFLAGS_VIF | RFLAGS_VIP},
        {1, 1, RFLAGS_VM | RFLAGS_IOPL | RFLAGS_VIF | RFLAGS_VIP},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        set_cpl(&f, rows[i].cpl);
        f.cpu->rflags = RFLAGS_FIXED1 | (uint64_t)rows[i].iopl << 12;
        uint64_t iopl = f.cpu->rflags & RFLAGS_IOPL;
        push(ALL_FLAGS & (rows[i].cpl ? ALL_FLAGS : ~(uint32_t)RFLAGS_VM));
        push(f.cpu->seg[SEG_CS].selector);
        push(0x12345);
        cr_assert(iretd());
        uint64_t expected = (ALL_FLAGS & ~rows[i].kept) | (rows[i].kept & RFLAGS_IOPL ? iopl : 0);
        cr_assert_eq(f.cpu->rflags, expected, "row %zu: %lx", i, f.cpu->rflags);
    }
}

Test(far, sixteen_bit_iret_leaves_the_upper_flags)
{
    f.cpu->rflags = RFLAGS_FIXED1 | RFLAGS_AC | RFLAGS_ID;
    cr_assert(stack_push(f.cpu, 2, 0x7fd7));
    cr_assert(stack_push(f.cpu, 2, SEL_CODE0));
    cr_assert(stack_push(f.cpu, 2, 0x2345));
    cr_assert(RUN(&f, 0x66, 0xcf));
    cr_assert_eq(f.cpu->rflags, 0x7fd7 | RFLAGS_AC | RFLAGS_ID);
    cr_assert_eq(f.cpu->rip, 0x2345);
}

static void push_v86_frame(uint32_t eip)
{
    for (uint32_t selector = 0x5004; selector >= 0x5001; selector--) {
        push(selector); /* GS FS DS ES */
    }
    push(0x2300);
    push(0x1234);
    push(RFLAGS_FIXED1 | RFLAGS_VM | RFLAGS_IF | RFLAGS_VIP);
    push(0x4321);
    push(eip);
}

Test(far, iret_enters_v86_mode)
{
    push_v86_frame(0x8765);
    cr_assert(iretd());
    cr_assert(f.cpu->v86);
    cr_assert_eq(f.cpu->cpl, 3);
    cr_assert_not(f.cpu->code32);
    cr_assert_eq(f.cpu->rip, 0x8765);
    cr_assert_eq(f.cpu->gpr[RSP], 0x1234);
    const uint16_t expected[SEG_COUNT] = {0x5001, 0x4321, 0x2300, 0x5002, 0x5003, 0x5004};
    for (unsigned i = 0; i < SEG_COUNT; i++) {
        cr_assert_eq(f.cpu->seg[i].selector, expected[i], "segment %u", i);
        cr_assert_eq(f.cpu->seg[i].base, expected[i] * 16u);
        cr_assert_eq(f.cpu->seg[i].limit, 0xffff);
    }
    cr_assert_eq(f.cpu->rflags, RFLAGS_FIXED1 | RFLAGS_VM | RFLAGS_IF | RFLAGS_VIP);
}

Test(far, iret_to_v86_checks_the_offset)
{
    push_v86_frame(0x10000);
    cr_assert_not(iretd());
    ASSERT_EXCEPTION(f.cpu, EXC_GP, 0);
    cr_assert_not(f.cpu->v86);
}

Test(far, vm_in_the_image_is_ignored_above_cpl_0)
{
    set_cpl(&f, 3);
    push(RFLAGS_FIXED1 | RFLAGS_VM);
    push(SEL_CODE3 | 3);
    push(0x12345);
    cr_assert(iretd());
    cr_assert_not(f.cpu->v86);
    cr_assert_not(f.cpu->rflags & RFLAGS_VM);
}

Test(far, iret_in_v86_needs_iopl_3_or_vme)
{
    enter_v86(&f, 0);
    cr_assert_not(RUN(&f, 0xcf));
    ASSERT_EXCEPTION(f.cpu, EXC_GP, 0);
    f.cpu->cr4 |= CR4_VME;
    cr_assert_not(RUN(&f, 0x66, 0xcf));
    ASSERT_EXCEPTION(f.cpu, EXC_GP, 0);
    enter_v86(&f, 3);
    cr_assert(stack_push(f.cpu, 2, 0x4fd7)); /* IOPL 0, IF set, NT */
    cr_assert(stack_push(f.cpu, 2, 0x7777));
    cr_assert(stack_push(f.cpu, 2, 0x2345));
    cr_assert(RUN(&f, 0xcf));
    cr_assert_eq(f.cpu->seg[SEG_CS].base, 0x77770);
    cr_assert_eq(f.cpu->rip, 0x2345);
    cr_assert_eq(f.cpu->rflags, 0x4fd7 | RFLAGS_VM | RFLAGS_IOPL);
}

static bool virtual_iret(uint16_t flags, uint64_t current)
{
    enter_v86(&f, 0);
    f.cpu->cr4 |= CR4_VME;
    f.cpu->rflags |= current;
    cr_assert(stack_push(f.cpu, 2, flags));
    cr_assert(stack_push(f.cpu, 2, 0x7777));
    cr_assert(stack_push(f.cpu, 2, 0x2345));
    return RUN(&f, 0xcf);
}

Test(far, iret_under_vme_works_on_vif)
{
    cr_assert(virtual_iret(0x0202, 0));
    cr_assert(f.cpu->rflags & RFLAGS_VIF);
    cr_assert(f.cpu->rflags & RFLAGS_IF);
    cr_assert_eq(f.cpu->seg[SEG_CS].selector, 0x7777);
    cr_assert(virtual_iret(0x0002, RFLAGS_VIF | RFLAGS_VIP));
    cr_assert_not(f.cpu->rflags & RFLAGS_VIF);
    cr_assert(f.cpu->rflags & RFLAGS_IF);
    cr_assert_not(virtual_iret(0x0202, RFLAGS_VIP));
    ASSERT_EXCEPTION(f.cpu, EXC_GP, 0);
    cr_assert_not(virtual_iret(0x0102, 0)); /* TF */
    ASSERT_EXCEPTION(f.cpu, EXC_GP, 0);
    cr_assert_eq(f.cpu->gpr[RSP], 0x1000 - 6);
}

Test(far, iret_unblocks_nmi_even_when_it_faults)
{
    f.cpu->nmi_blocked = true;
    vcpu_set_nmi(f.cpu);
    cr_assert_not(f.cpu->attention & ATTENTION_NMI);
    push(RFLAGS_FIXED1);
    push(SEL_BEYOND);
    push(0);
    cr_assert_not(iretd());
    cr_assert_not(f.cpu->nmi_blocked);
    cr_assert(f.cpu->attention & ATTENTION_NMI);
}

/* ---- Real and V86 mode ----------------------------------------------------------------------------------- */

Test(far, real_mode_transfers_multiply_by_16)
{
    enter_real(&f);
    cr_assert(RUN(&f, 0x9a, LE16(0x1234), LE16(0x5678)));
    cr_assert_eq(f.cpu->seg[SEG_CS].base, 0x56780);
    cr_assert_eq(f.cpu->rip, 0x1234);
    cr_assert_eq(stack_word(&f, 2, 0), 5);
    cr_assert_eq(stack_word(&f, 2, 1), 0x1000);
    cr_assert(RUN(&f, 0xca, 2, 0));
    cr_assert_eq(f.cpu->seg[SEG_CS].selector, 0x1000);
    cr_assert_eq(f.cpu->rip, 5);
    cr_assert_eq(f.cpu->gpr[RSP], 0x1002);
    cr_assert_not(RUN(&f, 0x66, 0xea, LE32(0x10000), LE16(0x5678)));
    ASSERT_EXCEPTION(f.cpu, EXC_GP, 0);
}

Test(far, real_mode_iret_restores_flags)
{
    enter_real(&f);
    cr_assert(stack_push(f.cpu, 2, 0x7fd7));
    cr_assert(stack_push(f.cpu, 2, 0x7777));
    cr_assert(stack_push(f.cpu, 2, 0x2345));
    cr_assert(RUN(&f, 0xcf));
    cr_assert_eq(f.cpu->rflags, 0x7fd7);
    cr_assert_eq(f.cpu->seg[SEG_CS].base, 0x77770);
}

Test(far, v86_far_jump_ignores_descriptors)
{
    enter_v86(&f, 0);
    cr_assert(RUN(&f, 0xea, LE16(0x10), LE16(SEL_BEYOND)));
    cr_assert_eq(f.cpu->seg[SEG_CS].base, SEL_BEYOND * 16u);
    cr_assert(f.cpu->v86);
}

Test(far, near_targets_are_checked_against_the_limit)
{
    set_segment(&f, AT_GDT, T, 0, 0x1ffff, A_CODE, true);
    force_segment(&f, &f.cpu->seg[SEG_CS], T);
    vcpu_sync(f.cpu);
    cr_assert_not(RUN(&f, 0xe9, LE32(0x10000)));
    ASSERT_EXCEPTION(f.cpu, EXC_GP, 0);
    cr_assert(RUN(&f, 0xe9, LE32(0xfff0 - 5)));
    cr_assert_eq(f.cpu->rip, AT_CODE + 0xfff0);
    cr_assert(RUN(&f, 0x66, 0xe9, LE16(0))); /* 16 bits: the target is cut to IP */
    cr_assert_eq(f.cpu->rip, 0xfff4);
}
