/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Loads of segment registers, LDTR and TR, and the instructions that ask about selectors.
 * SDM: Volume 2, "MOV", "LLDT", "LTR", "LAR", "LSL", "VERR/VERW", "ARPL".
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

TestSuite(segment, .init = setup, .fini = teardown);

/* One row of the manual's list of exceptions. */
struct load_row {
    const char *what;
    enum sreg which;
    unsigned cpl;
    uint16_t selector;
    uint8_t attr; /* of SEL_TEST */
    int vector;   /* -1: loads */
    uint32_t error_code;
};

#define T SEL_TEST

static const struct load_row load_rows[] = {
    {"SS null", SEG_SS, 0, 0, A_DATA, EXC_GP, 0},
    {"SS null with RPL", SEG_SS, 0, 3, A_DATA, EXC_GP, 0},
    {"SS beyond the table", SEG_SS, 0, SEL_BEYOND, A_DATA, EXC_GP, SEL_BEYOND},
    {"SS in an absent LDT", SEG_SS, 0, 4, A_DATA, EXC_GP, 4},
    {"SS RPL above CPL", SEG_SS, 0, T | 3, A_DATA, EXC_GP, T},
    {"SS RPL below CPL", SEG_SS, 3, T, A_DATA | A_DPL(3), EXC_GP, T},
    {"SS read-only", SEG_SS, 0, T, A_DATA_RO, EXC_GP, T},
    {"SS code", SEG_SS, 0, T, A_CODE, EXC_GP, T},
    {"SS system", SEG_SS, 0, T, A_LDT, EXC_GP, T},
    {"SS DPL above CPL", SEG_SS, 0, T, A_DATA | A_DPL(3), EXC_GP, T},
    {"SS DPL below CPL", SEG_SS, 3, T | 3, A_DATA, EXC_GP, T},
    {"SS absent", SEG_SS, 0, T, A_DATA & ~A_P, EXC_SS, T},
    {"SS absent and DPL wrong", SEG_SS, 0, T, (A_DATA & ~A_P) | A_DPL(3), EXC_GP, T},
    {"SS good", SEG_SS, 0, T, A_DATA, -1, 0},
    {"SS good at CPL 3", SEG_SS, 3, T | 3, A_DATA | A_DPL(3), -1, 0},
    {"SS expand-down", SEG_SS, 0, T, 0x97, -1, 0},
    {"DS beyond the table", SEG_DS, 0, SEL_BEYOND | 3, A_DATA, EXC_GP, SEL_BEYOND},
    {"DS system", SEG_DS, 0, T, A_TSS32, EXC_GP, T},
    {"DS execute-only", SEG_DS, 0, T, A_CODE_NOREAD, EXC_GP, T},
    {"DS execute-only conforming", SEG_DS, 0, T, 0x9d, EXC_GP, T},
    {"DS CPL above DPL", SEG_DS, 3, T, A_DATA, EXC_GP, T},
    {"DS RPL above DPL", SEG_DS, 0, T | 3, A_DATA, EXC_GP, T},
    {"DS code CPL above DPL", SEG_DS, 3, T, A_CODE, EXC_GP, T},
    {"DS absent", SEG_DS, 0, T, A_DATA & ~A_P, EXC_NP, T},
    {"DS absent and privileged", SEG_DS, 3, T, A_DATA & ~A_P, EXC_GP, T},
    {"DS good", SEG_DS, 0, T, A_DATA, -1, 0},
    {"DS outer data", SEG_DS, 0, T | 3, A_DATA | A_DPL(3), -1, 0},
    {"ES read-only", SEG_ES, 0, T, A_DATA_RO, -1, 0},
    {"FS readable code", SEG_FS, 3, T | 3, A_CODE | A_DPL(3), -1, 0},
    {"GS conforming whatever the CPL", SEG_GS, 3, T | 3, A_CONFORMING, -1, 0},
};

Test(segment, loads_raise_what_the_manual_lists)
{
    for (size_t i = 0; i < ARRAY_LEN(load_rows); i++) {
        const struct load_row *row = &load_rows[i];
        struct vcpu *cpu = f.cpu;

        set_cpl(&f, row->cpl);
        gdt_segment(&f, SEL_TEST, row->attr);
        cpu->exception = (struct exception){0};
        struct segment before = cpu->seg[row->which];
        bool done = segment_load(cpu, row->which, row->selector);
        cr_assert_eq(done, row->vector < 0, "%s", row->what);
        if (done) {
            cr_assert_eq(cpu->seg[row->which].selector, row->selector, "%s", row->what);
            cr_assert_eq(cpu->seg[row->which].attr & 0xff, row->attr, "%s", row->what);
        } else {
            cr_assert_eq(cpu->exception.vector, row->vector, "%s: vector %d", row->what,
                         cpu->exception.vector);
            cr_assert(cpu->exception.has_error, "%s", row->what);
            cr_assert_eq(cpu->exception.error_code, row->error_code, "%s", row->what);
            cr_assert_eq(memcmp(&before, &cpu->seg[row->which], sizeof(before)), 0, "%s", row->what);
        }
    }
}

Test(segment, null_selector_makes_a_data_segment_unusable)
{
    cr_assert(segment_load(f.cpu, SEG_ES, 2));
    cr_assert_eq(f.cpu->seg[SEG_ES].selector, 2);
    cr_assert(f.cpu->seg[SEG_ES].attr & SEG_UNUSABLE);
    cr_assert_not(f.cpu->flat & 1 << SEG_ES);
    cr_assert_not(RUN(&f, 0x26, 0xa0, 0, 0, 0, 0)); /* mov al,[es:0] */
    ASSERT_EXCEPTION(f.cpu, EXC_GP, 0);
}

Test(segment, load_sets_the_accessed_flag_in_table_and_register)
{
    gdt_segment(&f, SEL_TEST, A_DATA & ~1);
    cr_assert(segment_load(f.cpu, SEG_DS, SEL_TEST));
    cr_assert_eq(gdt_attr(&f, SEL_TEST), A_DATA);
    cr_assert(f.cpu->seg[SEG_DS].attr & SEG_TYPE_ACCESSED);
}

Test(segment, failed_load_leaves_the_accessed_flag_alone)
{
    gdt_segment(&f, SEL_TEST, (A_DATA & ~1) & ~A_P);
    cr_assert_not(segment_load(f.cpu, SEG_DS, SEL_TEST));
    cr_assert_eq(gdt_attr(&f, SEL_TEST), (A_DATA & ~1) & ~A_P);
}

Test(segment, hidden_part_follows_base_limit_and_granularity)
{
    set_segment(&f, AT_GDT, SEL_TEST, 0x12345678, 0xabcde, A_DATA, true);
    cr_assert(segment_load(f.cpu, SEG_DS, SEL_TEST));
    cr_assert_eq(f.cpu->seg[SEG_DS].base, 0x12345678);
    cr_assert_eq(f.cpu->seg[SEG_DS].limit, 0xabcde);
    cr_assert_not(f.cpu->flat & 1 << SEG_DS);
    set_segment(&f, AT_GDT, SEL_TEST, 0, 0x12345fff, A_DATA, true);
    cr_assert(segment_load(f.cpu, SEG_DS, SEL_TEST));
    cr_assert_eq(f.cpu->seg[SEG_DS].limit, 0x12345fff);
    gdt_segment(&f, SEL_TEST, A_DATA);
    cr_assert(segment_load(f.cpu, SEG_DS, SEL_TEST));
    cr_assert(f.cpu->flat & 1 << SEG_DS);
}

Test(segment, ldt_selector_comes_from_the_ldt_within_its_limit)
{
    set_segment(&f, AT_LDT, 0x18, 0x77000, 0xfff, A_DATA, true);
    set_segment(&f, AT_LDT, 0x20, 0x88000, 0xfff, A_DATA, true);
    f.cpu->gpr[RAX] = SEL_LDT;
    cr_assert(RUN(&f, 0x0f, 0x00, 0xd0)); /* lldt ax */
    cr_assert(segment_load(f.cpu, SEG_DS, 0x1c));
    cr_assert_eq(f.cpu->seg[SEG_DS].base, 0x77000);
    cr_assert_not(segment_load(f.cpu, SEG_DS, 0x24));
    ASSERT_EXCEPTION(f.cpu, EXC_GP, 0x24);
}

Test(segment, descriptor_partly_beyond_the_limit_does_not_exist)
{
    f.cpu->gdtr.limit = SEL_TEST + 6;
    gdt_segment(&f, SEL_TEST, A_DATA);
    cr_assert_not(segment_load(f.cpu, SEG_DS, SEL_TEST));
    ASSERT_EXCEPTION(f.cpu, EXC_GP, SEL_TEST);
    f.cpu->gdtr.limit = SEL_TEST + 7;
    cr_assert(segment_load(f.cpu, SEG_DS, SEL_TEST));
}

Test(segment, real_mode_load_keeps_limit_and_attributes)
{
    cr_assert(segment_load(f.cpu, SEG_DS, SEL_DATA0));
    f.cpu->cr0 &= ~CR0_PE;
    vcpu_sync(f.cpu);
    cr_assert(segment_load(f.cpu, SEG_DS, 0x1234));
    cr_assert_eq(f.cpu->seg[SEG_DS].base, 0x12340);
    cr_assert_eq(f.cpu->seg[SEG_DS].limit, 0xffffffff);
    cr_assert_eq(f.cpu->seg[SEG_DS].selector, 0x1234);
}

Test(segment, v86_load_sets_limit_64k_and_dpl_3)
{
    enter_v86(&f, 0);
    f.cpu->seg[SEG_ES].limit = 0xffffffff;
    cr_assert(segment_load(f.cpu, SEG_ES, 0xabcd));
    cr_assert_eq(f.cpu->seg[SEG_ES].base, 0xabcd0);
    cr_assert_eq(f.cpu->seg[SEG_ES].limit, 0xffff);
    cr_assert_eq(f.cpu->seg[SEG_ES].attr, 0xf3);
}

Test(segment, mov_ss_and_pop_ss_open_a_shadow_and_lss_does_not)
{
    f.cpu->gpr[RAX] = SEL_DATA0;
    cr_assert(RUN(&f, 0x8e, 0xd0)); /* mov ss,eax */
    cr_assert_eq(f.cpu->shadow, SHADOW_MOV_SS);
    cr_assert(f.cpu->attention & ATTENTION_SHADOW);
    vcpu_set_shadow(f.cpu, SHADOW_NONE);
    cr_assert(RUN(&f, 0x6a, SEL_DATA0));
    cr_assert(RUN(&f, 0x17)); /* pop ss */
    cr_assert_eq(f.cpu->shadow, SHADOW_MOV_SS);
    vcpu_set_shadow(f.cpu, SHADOW_NONE);
    poke32(&f, 0x30000, 0x12345);
    poke16(&f, 0x30004, SEL_DATA0);
    cr_assert(RUN(&f, 0x0f, 0xb2, 0x25, 0, 0, 3, 0)); /* lss esp,[0x30000] */
    cr_assert_eq(f.cpu->shadow, SHADOW_NONE);
    cr_assert_eq(f.cpu->gpr[RSP], 0x12345);
}

Test(segment, failed_pop_leaves_the_stack_pointer)
{
    cr_assert(RUN(&f, 0x68, SEL_BEYOND, 0, 0, 0));
    uint64_t rsp = f.cpu->gpr[RSP];
    cr_assert_not(RUN(&f, 0x1f)); /* pop ds */
    ASSERT_EXCEPTION(f.cpu, EXC_GP, SEL_BEYOND);
    cr_assert_eq(f.cpu->gpr[RSP], rsp);
}

Test(segment, failed_far_pointer_load_leaves_the_register)
{
    poke32(&f, 0x30000, 0x12345);
    poke16(&f, 0x30004, SEL_BEYOND);
    f.cpu->gpr[RBX] = 99;
    cr_assert_not(RUN(&f, 0xc5, 0x1d, 0, 0, 3, 0)); /* lds ebx,[0x30000] */
    ASSERT_EXCEPTION(f.cpu, EXC_GP, SEL_BEYOND);
    cr_assert_eq(f.cpu->gpr[RBX], 99);
}

/* ---- LLDT, LTR ------------------------------------------------------------------------------------------ */

struct system_row {
    uint16_t selector;
    uint8_t attr;
    int vector;
    uint32_t error_code;
};

static void check_system_rows(uint8_t modrm, const struct system_row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        set_segment(&f, AT_GDT, SEL_TEST, 0x6000, 0x67, rows[i].attr, false);
        f.cpu->gpr[RAX] = rows[i].selector;
        bool done = RUN(&f, 0x0f, 0x00, modrm);
        cr_assert_eq(done, rows[i].vector < 0, "row %zu", i);
        if (!done) {
            ASSERT_EXCEPTION(f.cpu, rows[i].vector, rows[i].error_code);
        }
    }
}

Test(segment, lldt_rows)
{
    static const struct system_row rows[] = {
        {SEL_BEYOND, A_LDT, EXC_GP, SEL_BEYOND},
        {T | 4, A_LDT, EXC_GP, T | 4},
        {T, A_TSS32, EXC_GP, T},
        {T, A_DATA, EXC_GP, T},
        {T, A_LDT & ~A_P, EXC_NP, T},
        {T, A_LDT, -1, 0},
        {0, A_LDT, -1, 0},
        {3, A_LDT, -1, 0},
    };
    check_system_rows(0xd0, rows, ARRAY_LEN(rows));
    cr_assert(f.cpu->ldtr.attr & SEG_UNUSABLE);
}

Test(segment, ltr_rows)
{
    static const struct system_row rows[] = {
        {0, A_TSS32, EXC_GP, 0},
        {3, A_TSS32, EXC_GP, 0},
        {SEL_BEYOND, A_TSS32, EXC_GP, SEL_BEYOND},
        {T | 4, A_TSS32, EXC_GP, T | 4},
        {T, A_TSS32_BUSY, EXC_GP, T},
        {T, A_LDT, EXC_GP, T},
        {T, A_TSS32 & ~A_P, EXC_NP, T},
        {T, A_TSS16_BUSY, EXC_GP, T},
        {T, A_TSS16, -1, 0},
        {T, A_TSS32, -1, 0},
    };
    check_system_rows(0xd8, rows, ARRAY_LEN(rows));
    cr_assert_eq(f.cpu->tr.selector, T);
    cr_assert_eq(f.cpu->tr.attr & 0xff, A_TSS32_BUSY);
    cr_assert_eq(gdt_attr(&f, T), A_TSS32_BUSY);
}

Test(segment, lldt_and_ltr_need_cpl_0_and_protected_mode)
{
    f.cpu->gpr[RAX] = SEL_LDT;
    set_cpl(&f, 3);
    cr_assert_not(RUN(&f, 0x0f, 0x00, 0xd0));
    ASSERT_EXCEPTION(f.cpu, EXC_GP, 0);
    cr_assert_not(RUN(&f, 0x0f, 0x00, 0xd8));
    ASSERT_EXCEPTION(f.cpu, EXC_GP, 0);
    enter_v86(&f, 3);
    cr_assert_not(RUN(&f, 0x0f, 0x00, 0xd0));
    ASSERT_EXCEPTION(f.cpu, EXC_UD, 0);
    enter_real(&f);
    static const uint8_t modrm[] = {0xc0, 0xc8, 0xd0, 0xd8, 0xe0, 0xe8};
    for (size_t i = 0; i < sizeof(modrm); i++) {
        cr_assert_not(RUN(&f, 0x0f, 0x00, modrm[i]));
        ASSERT_EXCEPTION(f.cpu, EXC_UD, 0);
    }
}

Test(segment, str_and_sldt_zero_extend_into_registers)
{
    f.cpu->gpr[RAX] = 0xffffffff;
    cr_assert(RUN(&f, 0x0f, 0x00, 0xc8)); /* str eax */
    cr_assert_eq(f.cpu->gpr[RAX], SEL_TSS);
    f.cpu->gpr[RAX] = 0xffffffff;
    cr_assert(RUN(&f, 0x66, 0x0f, 0x00, 0xc0)); /* sldt ax */
    cr_assert_eq(f.cpu->gpr[RAX], 0xffff0000);
}

/* ---- LAR, LSL, VERR, VERW, ARPL -------------------------------------------------------------------------- */

static bool zf(void)
{
    return f.cpu->rflags & RFLAGS_ZF;
}

Test(segment, lar_and_lsl_know_which_system_types_they_show)
{
    /* bit per type, from the tables in the manual's LAR and LSL */
    const unsigned lar = 0x1a3e, lsl = 0x0a0e;
    for (unsigned type = 0; type < 16; type++) {
        set_segment(&f, AT_GDT, SEL_TEST, 0, 0x1234, (uint8_t)(0x80 | type), false);
        f.cpu->gpr[RCX] = SEL_TEST;
        f.cpu->gpr[RAX] = 0x55;
        cr_assert(RUN(&f, 0x0f, 0x02, 0xc1)); /* lar eax,cx */
        cr_assert_eq(zf(), lar >> type & 1, "lar %x", type);
        cr_assert_eq(f.cpu->gpr[RAX], zf() ? 0x8000 | type << 8 : 0x55);
        f.cpu->gpr[RAX] = 0x55;
        cr_assert(RUN(&f, 0x0f, 0x03, 0xc1)); /* lsl eax,cx */
        cr_assert_eq(zf(), lsl >> type & 1, "lsl %x", type);
        cr_assert_eq(f.cpu->gpr[RAX], zf() ? 0x1234 : 0x55);
    }
}

Test(segment, lar_and_lsl_hide_what_the_privilege_forbids)
{
    struct {
        unsigned cpl;
        uint16_t selector;
        uint8_t attr;
        bool visible;
    } rows[] = {
        {0, T, A_DATA, true},           {0, T | 3, A_DATA, false},
        {3, T, A_DATA, false},          {3, T, A_DATA | A_DPL(3), true},
        {3, T | 3, A_CONFORMING, true}, {0, 0, A_DATA, false},
        {0, SEL_BEYOND, A_DATA, false}, {0, T, A_DATA & ~A_P, true},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        set_cpl(&f, rows[i].cpl);
        gdt_segment(&f, SEL_TEST, rows[i].attr);
        f.cpu->gpr[RCX] = rows[i].selector;
        cr_assert(RUN(&f, 0x0f, 0x02, 0xc1));
        cr_assert_eq(zf(), rows[i].visible, "lar row %zu", i);
        cr_assert(RUN(&f, 0x0f, 0x03, 0xc1));
        cr_assert_eq(zf(), rows[i].visible, "lsl row %zu", i);
        if (zf()) {
            cr_assert_eq(f.cpu->gpr[RAX], 0xffffffff);
        }
    }
}

Test(segment, verr_and_verw_rows)
{
    struct {
        unsigned cpl;
        uint8_t attr;
        bool readable, writable;
    } rows[] = {
        {0, A_DATA, true, true},          {0, A_DATA_RO, true, false}, {0, A_CODE, true, false},
        {0, A_CODE_NOREAD, false, false}, {3, A_DATA, false, false},   {3, A_DATA | A_DPL(3), true, true},
        {3, A_CONFORMING, true, false},   {0, A_TSS32, false, false},  {0, A_CALL32, false, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        set_cpl(&f, rows[i].cpl);
        gdt_segment(&f, SEL_TEST, rows[i].attr);
        f.cpu->gpr[RCX] = SEL_TEST;
        cr_assert(RUN(&f, 0x0f, 0x00, 0xe1)); /* verr cx */
        cr_assert_eq(zf(), rows[i].readable, "row %zu", i);
        cr_assert(RUN(&f, 0x0f, 0x00, 0xe9)); /* verw cx */
        cr_assert_eq(zf(), rows[i].writable, "row %zu", i);
    }
}

Test(segment, arpl_raises_the_rpl_only)
{
    for (unsigned target = 0; target < 4; target++) {
        for (unsigned source = 0; source < 4; source++) {
            f.cpu->gpr[RAX] = 0x1230 | target;
            f.cpu->gpr[RCX] = 0x4560 | source;
            cr_assert(RUN(&f, 0x63, 0xc8)); /* arpl ax,cx */
            cr_assert_eq(f.cpu->gpr[RAX], 0x1230 | MAX(target, source));
            cr_assert_eq(zf(), target < source);
        }
    }
    poke16(&f, 0x30000, 0x1231);
    f.cpu->gpr[RCX] = 3;
    cr_assert(RUN(&f, 0x63, 0x0d, 0, 0, 3, 0)); /* arpl [0x30000],cx */
    cr_assert_eq(peek16(&f, 0x30000), 0x1233);
}

Test(segment, contains_handles_expand_down_and_the_top)
{
    struct segment up = {.attr = SEG_P | SEG_S | SEG_TYPE_RW, .limit = 0xfff};
    cr_assert(segment_contains(&up, 0xffc, 4));
    cr_assert_not(segment_contains(&up, 0xffd, 4));
    cr_assert_not(segment_contains(&up, 0xfffffffe, 4));
    struct segment down = {.attr = SEG_P | SEG_S | SEG_TYPE_RW | SEG_TYPE_ED, .limit = 0xfff};
    cr_assert_not(segment_contains(&down, 0xfff, 1));
    cr_assert(segment_contains(&down, 0x1000, 4));
    cr_assert(segment_contains(&down, 0xfffc, 4));
    cr_assert_not(segment_contains(&down, 0xfffd, 4));
    down.attr |= SEG_DB;
    cr_assert(segment_contains(&down, 0xfffffffc, 4));
    cr_assert_not(segment_contains(&down, 0xfffffffd, 4));
}
