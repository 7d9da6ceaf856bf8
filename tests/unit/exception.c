/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Delivery of interrupts and exceptions, software interrupts, double and triple faults.
 * SDM: Volume 3A, "Interrupt and Exception Handling"; Volume 2A, "INT n/INTO/INT3/INT1".
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

TestSuite(exception, .init = setup, .fini = teardown);

#define T       SEL_TEST
#define HANDLER 0x12345u

static bool external(uint8_t vector)
{
    f.cpu->exception = (struct exception){0};
    return event_deliver(f.cpu, EVENT_EXTERNAL, vector, false, 0);
}

static void assert_frame(unsigned size, const uint32_t *expected, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        uint32_t word = stack_word(&f, size, i);
        cr_assert_eq(word, expected[i], "word %u: %#x, not %#x", i, word, expected[i]);
    }
}

/* ---- Real mode ------------------------------------------------------------------------------------------- */

Test(exception, real_mode_pushes_three_words_and_goes_through_the_ivt)
{
    enter_real(&f);
    f.cpu->rflags = 0x7fd7;
    f.cpu->rip = 0x10;
    poke16(&f, 4 * 0x21, 0x1111);
    poke16(&f, 4 * 0x21 + 2, 0x2222);
    cr_assert(RUN(&f, 0xcd, 0x21));
    cr_assert_eq(f.cpu->rip, 0x1111);
    cr_assert_eq(f.cpu->seg[SEG_CS].base, 0x22220);
    assert_frame(2, (const uint32_t[]){0x12, 0x1000, 0x7fd7}, 3);
    cr_assert_eq(f.cpu->rflags, 0x7fd7 & ~(RFLAGS_IF | RFLAGS_TF));
}

Test(exception, real_mode_vector_beyond_the_ivt_is_gp)
{
    enter_real(&f);
    f.cpu->idtr.limit = 4 * 0x21 + 2;
    cr_assert_not(RUN(&f, 0xcd, 0x21));
    cr_assert_eq(f.cpu->exception.vector, EXC_GP);
    f.cpu->idtr.limit = 4 * 0x21 + 3;
    cr_assert(RUN(&f, 0xcd, 0x21));
}

Test(exception, real_mode_exceptions_push_no_error_code)
{
    enter_real(&f);
    poke16(&f, 4 * EXC_GP, 0x1111);
    raise_error(f.cpu, EXC_GP, 0);
    cr_assert(exception_deliver(f.cpu));
    cr_assert_eq(f.cpu->rip, 0x1111);
    cr_assert_eq(f.cpu->gpr[RSP], 0x1000 - 6);
}

/* ---- Gates ----------------------------------------------------------------------------------------------- */

Test(exception, same_level_frame_of_a_32_bit_gate)
{
    idt_gate(&f, 0x30, SEL_CODE0, HANDLER, A_INT32);
    f.cpu->rflags = RFLAGS_FIXED1 | RFLAGS_IF | RFLAGS_TF | RFLAGS_NT | RFLAGS_AC;
    uint64_t flags = f.cpu->rflags, rsp = f.cpu->gpr[RSP];
    cr_assert(external(0x30));
    cr_assert_eq(f.cpu->rip, HANDLER);
    cr_assert_eq(f.cpu->next_rip, HANDLER);
    cr_assert_eq(f.cpu->gpr[RSP], rsp - 12);
    assert_frame(4, (const uint32_t[]){AT_CODE, SEL_CODE0, (uint32_t)flags}, 3);
    cr_assert_eq(f.cpu->rflags, RFLAGS_FIXED1 | RFLAGS_AC);
}

Test(exception, trap_gate_leaves_if)
{
    idt_gate(&f, 0x30, SEL_CODE0, HANDLER, A_TRAP32);
    f.cpu->rflags = RFLAGS_FIXED1 | RFLAGS_IF | RFLAGS_TF;
    cr_assert(external(0x30));
    cr_assert_eq(f.cpu->rflags, RFLAGS_FIXED1 | RFLAGS_IF);
}

Test(exception, sixteen_bit_gate_pushes_words)
{
    idt_gate(&f, 0x30, SEL_CODE0, 0x2345, A_INT16);
    uint64_t rsp = f.cpu->gpr[RSP];
    cr_assert(external(0x30));
    cr_assert_eq(f.cpu->rip, 0x2345);
    cr_assert_eq(f.cpu->gpr[RSP], rsp - 6);
    assert_frame(2, (const uint32_t[]){AT_CODE & 0xffff, SEL_CODE0, RFLAGS_FIXED1}, 3);
}

Test(exception, inner_level_frame_lies_on_the_tss_stack_with_the_error_code)
{
    idt_gate(&f, EXC_GP, SEL_CODE0, HANDLER, A_INT32);
    set_cpl(&f, 3);
    raise_error(f.cpu, EXC_GP, 0x1230);
    cr_assert(exception_deliver(f.cpu));
    cr_assert_eq(f.cpu->cpl, 0);
    cr_assert_eq(f.cpu->gpr[RSP], AT_STACK0 - 24);
    cr_assert_eq(f.cpu->seg[SEG_SS].selector, SEL_DATA0);
    assert_frame(4,
                 (const uint32_t[]){0x1230, AT_CODE, SEL_CODE3 | 3, RFLAGS_FIXED1 | (uint32_t)RFLAGS_RF,
                                    AT_STACK3, SEL_DATA3 | 3},
                 6);
    cr_assert_eq(f.cpu->seg[SEG_DS].selector, SEL_DATA3 | 3);
}

Test(exception, conforming_handler_stays_at_the_level)
{
    idt_gate(&f, 0x30, SEL_CONFORMING0, HANDLER, A_INT32);
    set_cpl(&f, 3);
    cr_assert(external(0x30));
    cr_assert_eq(f.cpu->cpl, 3);
    cr_assert_eq(f.cpu->seg[SEG_CS].selector, SEL_CONFORMING0 | 3);
    cr_assert_eq(f.cpu->gpr[RSP], AT_STACK3 - 12);
}

/* One row of errors on the way; `external_code` of a hardware interrupt has EXT. */
struct gate_row {
    const char *what;
    uint8_t gate_attr;
    uint16_t target;
    uint8_t target_attr; /* of SEL_TEST */
    int vector;
    uint32_t code;
};

static const struct gate_row gate_rows[] = {
    {"no gate type", 0x80, T, A_CODE, EXC_GP, 0x30 * 8 + 2},
    {"call gate", A_CALL32, T, A_CODE, EXC_GP, 0x30 * 8 + 2},
    {"code segment", A_CODE, T, A_CODE, EXC_GP, 0x30 * 8 + 2},
    {"gate absent", A_INT32 & ~A_P, T, A_CODE, EXC_NP, 0x30 * 8 + 2},
    {"null target", A_INT32, 0, A_CODE, EXC_GP, 0},
    {"target beyond the table", A_INT32, SEL_BEYOND, A_CODE, EXC_GP, SEL_BEYOND},
    {"target data", A_INT32, T, A_DATA, EXC_GP, T},
    {"target system", A_INT32, T, A_TSS32, EXC_GP, T},
    {"target outer", A_INT32, T, A_CODE | A_DPL(1), EXC_GP, T},
    {"target absent", A_INT32, T, A_CODE & ~A_P, EXC_NP, T},
    {"good", A_INT32, T, A_CODE, -1, 0},
    {"target RPL does not count", A_INT32, T | 3, A_CODE, -1, 0},
};

Test(exception, gate_rows_with_ext_for_hardware_and_without_for_software)
{
    for (size_t i = 0; i < ARRAY_LEN(gate_rows); i++) {
        const struct gate_row *row = &gate_rows[i];
        for (unsigned hardware = 0; hardware < 2; hardware++) {
            set_cpl(&f, 0);
            idt_gate(&f, 0x30, row->target, HANDLER, row->gate_attr);
            gdt_segment(&f, T, row->target_attr);
            bool done = hardware ? external(0x30) : RUN(&f, 0xcd, 0x30);
            cr_assert_eq(done, row->vector < 0, "%s", row->what);
            if (!done) {
                cr_assert_eq(f.cpu->exception.vector, row->vector, "%s", row->what);
                cr_assert_eq(f.cpu->exception.error_code, row->code | hardware, "%s", row->what);
                cr_assert_eq(f.cpu->rip, AT_CODE);
            }
        }
    }
}

Test(exception, vector_beyond_the_idt)
{
    f.cpu->idtr.limit = 0x30 * 8 + 6;
    idt_gate(&f, 0x30, SEL_CODE0, HANDLER, A_INT32);
    cr_assert_not(external(0x30));
    ASSERT_EXCEPTION(f.cpu, EXC_GP, 0x30 * 8 + 3);
    f.cpu->idtr.limit = 0x30 * 8 + 7;
    cr_assert(external(0x30));
}

Test(exception, gate_dpl_guards_software_interrupts_only)
{
    for (unsigned vector = 3; vector <= 4; vector++) {
        idt_gate(&f, (uint8_t)vector, SEL_CODE0, HANDLER, A_TRAP32);
    }
    idt_gate(&f, 0x30, SEL_CODE0, HANDLER, A_INT32);
    idt_gate(&f, EXC_DB, SEL_CODE0, HANDLER, A_INT32);
    set_cpl(&f, 3);
    cr_assert_not(RUN(&f, 0xcd, 0x30));
    ASSERT_EXCEPTION(f.cpu, EXC_GP, 0x30 * 8 + 2);
    cr_assert_not(RUN(&f, 0xcc));
    ASSERT_EXCEPTION(f.cpu, EXC_GP, 3 * 8 + 2);
    f.cpu->rflags |= RFLAGS_OF;
    cr_assert_not(RUN(&f, 0xce));
    ASSERT_EXCEPTION(f.cpu, EXC_GP, 4 * 8 + 2);
    cr_assert(external(0x30));
    set_cpl(&f, 3);
    cr_assert(RUN(&f, 0xf1)); /* INT1 is not guarded, and returns behind itself */
    cr_assert_eq(f.cpu->rip, HANDLER);
    cr_assert_eq(stack_word(&f, 4, 0), AT_CODE + 1);
}

Test(exception, absent_gate_comes_after_its_dpl)
{
    idt_gate(&f, 0x30, SEL_CODE0, HANDLER, A_INT32 & ~A_P);
    set_cpl(&f, 3);
    cr_assert_not(RUN(&f, 0xcd, 0x30));
    ASSERT_EXCEPTION(f.cpu, EXC_GP, 0x30 * 8 + 2);
}

Test(exception, software_interrupts_return_behind_themselves)
{
    idt_gate(&f, 0x80, SEL_CODE0, HANDLER, A_TRAP32 | A_DPL(3));
    set_cpl(&f, 3);
    cr_assert(RUN(&f, 0xcd, 0x80));
    assert_frame(4, (const uint32_t[]){AT_CODE + 2, SEL_CODE3 | 3, RFLAGS_FIXED1, AT_STACK3, SEL_DATA3 | 3},
                 5);
    cr_assert_eq(f.cpu->rip, HANDLER);
}

Test(exception, into_without_overflow_does_nothing)
{
    cr_assert(RUN(&f, 0xce));
    cr_assert_eq(f.cpu->rip, AT_CODE + 1);
}

Test(exception, inner_stack_errors_carry_ext)
{
    idt_gate(&f, 0x30, SEL_CODE0, HANDLER, A_INT32);
    set_cpl(&f, 3);
    poke16(&f, AT_TSS + 8, SEL_BEYOND);
    cr_assert_not(external(0x30));
    ASSERT_EXCEPTION(f.cpu, EXC_TS, SEL_BEYOND | 1);
    poke16(&f, AT_TSS + 8, 0);
    cr_assert_not(external(0x30));
    ASSERT_EXCEPTION(f.cpu, EXC_TS, 1);
    f.cpu->tr.limit = 3;
    cr_assert_not(external(0x30));
    ASSERT_EXCEPTION(f.cpu, EXC_TS, SEL_TSS | 1);
    cr_assert_eq(f.cpu->cpl, 3);
    cr_assert_eq(f.cpu->gpr[RSP], AT_STACK3);
}

Test(exception, offset_beyond_the_handlers_limit_is_gp_ext)
{
    set_segment(&f, AT_GDT, T, 0, HANDLER - 1, A_CODE, true);
    idt_gate(&f, 0x30, T, HANDLER, A_INT32);
    cr_assert_not(external(0x30));
    ASSERT_EXCEPTION(f.cpu, EXC_GP, 1);
}

/* ---- RF, shadows, NMI, halted ------------------------------------------------------------------------------ */

Test(exception, rf_is_pushed_as_1_by_faults_only)
{
    struct {
        enum event_kind kind;
        uint8_t vector;
        uint64_t pushed;
    } rows[] = {
        {EVENT_EXCEPTION, EXC_DE, RFLAGS_RF},
        {EVENT_EXCEPTION, EXC_UD, RFLAGS_RF},
        {EVENT_EXCEPTION, EXC_GP, RFLAGS_RF},
        {EVENT_EXCEPTION, EXC_DB, 0},
        {EVENT_SOFTWARE, EXC_BP, 0},
        {EVENT_EXTERNAL, 0x30, 0},
        {EVENT_NMI, EXC_NMI, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        set_cpl(&f, 0);
        f.cpu->rflags = RFLAGS_FIXED1;
        idt_gate(&f, rows[i].vector, SEL_CODE0, HANDLER, A_INT32);
        cr_assert(event_deliver(f.cpu, rows[i].kind, rows[i].vector, false, 0));
        cr_assert_eq(stack_word(&f, 4, 2), RFLAGS_FIXED1 | rows[i].pushed, "row %zu", i);
        cr_assert_eq(f.cpu->rflags, RFLAGS_FIXED1);
    }
}

Test(exception, delivery_wakes_the_processor_and_nmi_blocks_nmi)
{
    idt_gate(&f, EXC_NMI, SEL_CODE0, HANDLER, A_INT32);
    f.cpu->halted = true;
    vcpu_set_nmi(f.cpu);
    cr_assert(event_deliver(f.cpu, EVENT_NMI, EXC_NMI, false, 0));
    cr_assert_not(f.cpu->halted);
    cr_assert_not(f.cpu->nmi_pending);
    cr_assert(f.cpu->nmi_blocked);
    vcpu_set_nmi(f.cpu);
    cr_assert_not(vcpu_has_work(f.cpu));
    cr_assert_not(f.cpu->attention & ATTENTION_NMI);
}

Test(exception, debug_exception_clears_gd)
{
    idt_gate(&f, EXC_DB, SEL_CODE0, HANDLER, A_INT32);
    f.cpu->dr[7] |= DR7_GD;
    raise_exception(f.cpu, EXC_DB);
    cr_assert(exception_deliver(f.cpu));
    cr_assert_not(f.cpu->dr[7] & DR7_GD);
}

/* ---- V86 mode -------------------------------------------------------------------------------------------- */

Test(exception, v86_frame_has_all_segments)
{
    enter_v86(&f, 3);
    idt_gate(&f, 0x30, SEL_CODE0, HANDLER, A_INT32);
    uint32_t flags = (uint32_t)f.cpu->rflags;
    f.cpu->rip = 0x77;
    cr_assert(external(0x30));
    cr_assert_eq(f.cpu->cpl, 0);
    cr_assert_not(f.cpu->v86);
    cr_assert(f.cpu->code32);
    cr_assert_eq(f.cpu->gpr[RSP], AT_STACK0 - 36);
    assert_frame(4, (const uint32_t[]){0x77, 0x1000, flags, 0x1000, 0x2200, 0x5679, 0x5678, 0x567a, 0x567b},
                 9);
    for (unsigned i = 0; i < SEG_COUNT; i++) {
        bool kept = i == SEG_CS || i == SEG_SS;
        cr_assert_eq(!(f.cpu->seg[i].attr & SEG_UNUSABLE), kept, "segment %u", i);
    }
    cr_assert_eq(f.cpu->rflags & (RFLAGS_VM | RFLAGS_IF), 0);
    cr_assert(RUN(&f, 0xcf)); /* and back */
    cr_assert(f.cpu->v86);
    cr_assert_eq(f.cpu->rip, 0x77);
    cr_assert_eq(f.cpu->seg[SEG_GS].base, 0x567b0);
    cr_assert_eq(f.cpu->gpr[RSP], 0x1000);
}

Test(exception, v86_handler_must_be_nonconforming_at_level_0)
{
    enter_v86(&f, 3);
    idt_gate(&f, 0x30, SEL_CONFORMING0, HANDLER, A_INT32);
    cr_assert_not(external(0x30));
    ASSERT_EXCEPTION(f.cpu, EXC_GP, SEL_CONFORMING0 | 1);
    idt_gate(&f, 0x30, SEL_CODE1, HANDLER, A_INT32);
    cr_assert_not(external(0x30));
    ASSERT_EXCEPTION(f.cpu, EXC_GP, SEL_CODE1 | 1);
    idt_gate(&f, 0x30, SEL_CODE3, HANDLER, A_INT32);
    cr_assert_not(external(0x30));
    ASSERT_EXCEPTION(f.cpu, EXC_GP, SEL_CODE3 | 1);
}

Test(exception, v86_int_n_needs_iopl_3_and_int3_does_not)
{
    idt_gate(&f, 0x21, SEL_CODE0, HANDLER, A_INT32 | A_DPL(3));
    idt_gate(&f, 3, SEL_CODE0, HANDLER, A_INT32 | A_DPL(3));
    enter_v86(&f, 2);
    cr_assert_not(RUN(&f, 0xcd, 0x21));
    ASSERT_EXCEPTION(f.cpu, EXC_GP, 0);
    cr_assert(RUN(&f, 0xcc));
    cr_assert_eq(f.cpu->rip, HANDLER);
    enter_v86(&f, 3);
    cr_assert(RUN(&f, 0xcd, 0x21));
    cr_assert_eq(f.cpu->rip, HANDLER);
}

/* VME: the redirection map lies in the 32 bytes below the I/O map, here at 0x68 + 32. */
static void enter_vme(unsigned iopl, bool redirect)
{
    enter_v86(&f, iopl);
    f.cpu->cr4 |= CR4_VME;
    poke16(&f, AT_TSS + 0x66, 0x68 + 32);
    *ram_ptr(&f.ram, AT_TSS + 0x68 + 0x21 / 8) = redirect ? 0 : 1 << (0x21 % 8);
    poke16(&f, 4 * 0x21, 0x1111);
    poke16(&f, 4 * 0x21 + 2, 0x2222);
    idt_gate(&f, 0x21, SEL_CODE0, HANDLER, A_INT32 | A_DPL(3));
}

Test(exception, vme_redirects_int_n_to_the_8086_program)
{
    enter_vme(3, true);
    f.cpu->rflags |= RFLAGS_TF;
    uint32_t flags = (uint16_t)f.cpu->rflags;
    cr_assert(RUN(&f, 0xcd, 0x21));
    cr_assert(f.cpu->v86);
    cr_assert_eq(f.cpu->rip, 0x1111);
    cr_assert_eq(f.cpu->seg[SEG_CS].base, 0x22220);
    assert_frame(2, (const uint32_t[]){2, 0x1000, flags}, 3);
    cr_assert_eq(f.cpu->rflags & (RFLAGS_IF | RFLAGS_TF), 0);
}

Test(exception, vme_redirection_below_iopl_3_shows_vif_as_if)
{
    for (unsigned vif = 0; vif < 2; vif++) {
        enter_vme(0, true);
        f.cpu->rflags |= vif ? RFLAGS_VIF : 0;
        cr_assert(RUN(&f, 0xcd, 0x21));
        cr_assert_eq(stack_word(&f, 2, 2), RFLAGS_FIXED1 | RFLAGS_IOPL | (vif ? RFLAGS_IF : 0));
        cr_assert_eq(f.cpu->rflags & (RFLAGS_IF | RFLAGS_VIF), RFLAGS_IF);
    }
}

Test(exception, vme_with_the_bit_set_is_as_without)
{
    enter_vme(3, false);
    cr_assert(RUN(&f, 0xcd, 0x21));
    cr_assert_eq(f.cpu->rip, HANDLER);
    enter_vme(0, false);
    cr_assert_not(RUN(&f, 0xcd, 0x21));
    ASSERT_EXCEPTION(f.cpu, EXC_GP, 0);
}

/* ---- BOUND ----------------------------------------------------------------------------------------------- */

Test(exception, bound_compares_signed)
{
    poke32(&f, 0x30000, (uint32_t)-5);
    poke32(&f, 0x30004, 7);
    struct {
        int32_t index;
        bool inside;
    } rows[] = {{-6, false}, {-5, true}, {0, true}, {7, true}, {8, false}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        f.cpu->gpr[RAX] = (uint32_t)rows[i].index;
        cr_assert_eq(RUN(&f, 0x62, 0x05, 0, 0, 3, 0), rows[i].inside, "row %zu", i);
        cr_assert_eq(f.cpu->exception.pending && f.cpu->exception.vector == EXC_BR, !rows[i].inside);
    }
}

/* ---- Exceptions upon exceptions ---------------------------------------------------------------------------- */

/* Make the delivery of `vector` raise `second`. */
static void spoil(uint8_t vector, uint8_t second)
{
    switch (second) {
    case EXC_GP: /* no gate */
        idt_gate(&f, vector, 0, 0, 0);
        break;
    case EXC_NP: /* absent gate */
        idt_gate(&f, vector, SEL_CODE0, HANDLER, A_INT32 & ~A_P);
        break;
    case EXC_TS: /* to level 1, whose stack is bad */
        idt_gate(&f, vector, SEL_CODE1, HANDLER, A_INT32);
        poke16(&f, AT_TSS + 16, SEL_BEYOND);
        break;
    case EXC_SS: /* to level 1, whose stack is absent */
        idt_gate(&f, vector, SEL_CODE1, HANDLER, A_INT32);
        gdt_segment(&f, SEL_DATA1, (A_DATA & ~A_P) | A_DPL(1));
        poke16(&f, AT_TSS + 16, SEL_DATA1 | 1);
        break;
    default:
        cr_assert_fail("vector %u", second);
    }
}

Test(exception, combinations_make_the_double_faults_of_the_table)
{
    static const uint8_t firsts[] = {EXC_DE, EXC_DB, EXC_BP, EXC_OF, EXC_BR, EXC_UD, EXC_NM,
                                     EXC_TS, EXC_NP, EXC_SS, EXC_GP, EXC_PF, EXC_MF, EXC_AC};
    static const uint8_t seconds[] = {EXC_TS, EXC_NP, EXC_SS, EXC_GP};
    const uint32_t not_benign =
        1u << EXC_DE | 1u << EXC_TS | 1u << EXC_NP | 1u << EXC_SS | 1u << EXC_GP | 1u << EXC_PF;

    for (size_t i = 0; i < ARRAY_LEN(firsts); i++) {
        for (size_t j = 0; j < ARRAY_LEN(seconds); j++) {
            if (firsts[i] == seconds[j]) {
                continue; /* that one gate cannot be spoiled and used */
            }
            fill_tables(&f);
            set_cpl(&f, 3);
            idt_gate(&f, EXC_DF, SEL_CODE0, 0xdf, A_INT32);
            idt_gate(&f, seconds[j], SEL_CODE0, 0x5ec0, A_INT32);
            spoil(firsts[i], seconds[j]);
            f.cpu->exception = (struct exception){.vector = firsts[i], .pending = true};
            cr_assert(exception_deliver(f.cpu));
            bool doubled = not_benign >> firsts[i] & 1;
            cr_assert_eq(f.cpu->rip, doubled ? 0xdf : 0x5ec0, "%u then %u", firsts[i], seconds[j]);
            cr_assert(!doubled || stack_word(&f, 4, 0) == 0, "the error code of #DF is 0");
        }
    }
}

static void enable_paging(void)
{
    /* Identity map of the first 4 MiB, page tables at 0x40000 and 0x41000; page 0x7f000 is absent. */
    poke32(&f, 0x40000, 0x41007);
    for (uint32_t i = 0; i < 1024; i++) {
        poke32(&f, 0x41000 + 4 * i, i == 0x7f ? 0 : i << 12 | 7);
    }
    cr_assert(cr3_write(f.cpu, 0x40000));
    cr_assert(cr0_write(f.cpu, f.cpu->cr0 | CR0_PG));
}

/* Handlers of #GP and #PF at level 1, where the stack is absent, or at level 0, where it is not. */
static void paged_handlers(uint16_t gp_code, uint16_t pf_code)
{
    fill_tables(&f);
    set_cpl(&f, 3);
    poke32(&f, AT_TSS + 12, 0x7f800);
    idt_gate(&f, EXC_GP, gp_code, 0x1d0d, A_INT32);
    idt_gate(&f, EXC_PF, pf_code, 0x1e0e, A_INT32);
    idt_gate(&f, EXC_DF, SEL_CODE0, 0xdf, A_INT32);
}

Test(exception, page_fault_upon_contributory_is_served)
{
    enable_paging();
    paged_handlers(SEL_CODE1, SEL_CODE0);
    raise_error(f.cpu, EXC_GP, 0);
    cr_assert(exception_deliver(f.cpu));
    cr_assert_eq(f.cpu->rip, 0x1e0e);
    cr_assert_eq(f.cpu->cr2, 0x7f7fc);
    cr_assert_eq(stack_word(&f, 4, 0), PF_W);
}

Test(exception, page_fault_upon_page_fault_is_double)
{
    enable_paging();
    paged_handlers(SEL_CODE0, SEL_CODE1);
    raise_page_fault(f.cpu, 0x123, PF_U);
    cr_assert(exception_deliver(f.cpu));
    cr_assert_eq(f.cpu->rip, 0xdf);
    cr_assert_eq(f.cpu->cr2, 0x7f7fc);
}

Test(exception, page_fault_upon_double_fault_shuts_down)
{
    enable_paging();
    paged_handlers(SEL_CODE0, SEL_CODE1);
    idt_gate(&f, EXC_DF, SEL_CODE1, 0xdf, A_INT32);
    raise_page_fault(f.cpu, 0x123, PF_U);
    cr_assert_not(exception_deliver(f.cpu));
    const struct shutdown_report *report = &f.cpu->shutdown;
    cr_assert_eq(report->count, 3);
    cr_assert_eq(report->vector[0], EXC_PF);
    cr_assert_eq(report->error_code[0], PF_U);
    cr_assert_eq(report->vector[1], EXC_PF);
    cr_assert_eq(report->vector[2], EXC_DF);
    cr_assert_eq(report->cr2, 0x123);
}

Test(exception, page_fault_pushes_its_code_and_sets_cr2)
{
    enable_paging();
    idt_gate(&f, EXC_PF, SEL_CODE0, HANDLER, A_INT32);
    cr_assert_not(RUN(&f, 0xa1, 0x00, 0xf0, 0x07, 0x00)); /* mov eax,[0x7f000] */
    ASSERT_EXCEPTION(f.cpu, EXC_PF, 0);
    cr_assert_eq(f.cpu->cr2, 0x7f000);
    cr_assert(exception_deliver(f.cpu));
    assert_frame(4, (const uint32_t[]){0, AT_CODE, SEL_CODE0, RFLAGS_FIXED1 | (uint32_t)RFLAGS_RF}, 4);
    cr_assert_not(f.cpu->exception.pending);
}

Test(exception, failing_double_fault_shuts_down_and_tells_the_chain)
{
    f.cpu->idtr.limit = 0;
    f.cpu->rip = 0x1234;
    raise_error(f.cpu, EXC_GP, 0x99);
    cr_assert_not(exception_deliver(f.cpu));
    const struct shutdown_report *report = &f.cpu->shutdown;
    cr_assert_eq(report->count, 3);
    cr_assert_eq(report->vector[0], EXC_GP);
    cr_assert_eq(report->error_code[0], 0x99);
    cr_assert_eq(report->vector[1], EXC_GP);
    cr_assert_eq(report->error_code[1], EXC_GP * 8 + 3);
    cr_assert_eq(report->vector[2], EXC_DF);
    cr_assert_eq(report->rip, 0x1234);
    cr_assert_not(f.cpu->exception.pending);
}

Test(exception, benign_first_does_not_count_towards_a_double_fault)
{
    idt_gate(&f, EXC_GP, SEL_CODE0, HANDLER, A_INT32);
    raise_exception(f.cpu, EXC_UD); /* no gate: #GP follows, served on its own */
    cr_assert(exception_deliver(f.cpu));
    cr_assert_eq(f.cpu->rip, HANDLER);
    cr_assert_eq(stack_word(&f, 4, 0), EXC_UD * 8 + 3);
}

Test(exception, faulting_interrupt_is_served_as_an_exception)
{
    idt_gate(&f, EXC_NP, SEL_CODE0, HANDLER, A_INT32);
    idt_gate(&f, 0x30, SEL_CODE0, HANDLER, A_INT32 & ~A_P);
    cr_assert_not(external(0x30));
    cr_assert(exception_deliver(f.cpu));
    cr_assert_eq(f.cpu->rip, HANDLER);
    cr_assert_eq(stack_word(&f, 4, 0), 0x30 * 8 + 3);
}

/* A handler of #AC at CPL 3 whose stack is misaligned: the delivery itself raises #AC, which is benign. */
Test(exception, alignment_check_upon_alignment_check_ends, .timeout = 10)
{
    set_cpl(&f, 3);
    idt_gate(&f, EXC_AC, SEL_CODE3, HANDLER, A_INT32 | A_DPL(3));
    f.cpu->cr0 |= CR0_AM;
    rflags_set(f.cpu, RFLAGS_AC, RFLAGS_AC);
    f.cpu->gpr[RSP] = AT_STACK3 - 1;
    raise_error(f.cpu, EXC_AC, 0);
    cr_assert_not(exception_deliver(f.cpu));
    cr_assert_eq(f.cpu->shutdown.vector[0], EXC_AC);
    cr_assert_eq(f.cpu->rip, AT_CODE);
    cr_assert_eq(reg32(f.cpu, RSP), AT_STACK3 - 1);
}

/* ---- Task gates ------------------------------------------------------------------------------------------- */

Test(exception, task_gate_runs_the_handler_as_a_task)
{
    poke32(&f, AT_TSS2 + 0x20, HANDLER);
    poke32(&f, AT_TSS2 + 0x24, RFLAGS_FIXED1);
    poke32(&f, AT_TSS2 + 0x38, AT_STACK2);
    poke16(&f, AT_TSS2 + 0x4c, SEL_CODE0);
    poke16(&f, AT_TSS2 + 0x50, SEL_DATA0);
    idt_gate(&f, EXC_DF, SEL_TSS2, 0, A_TASK);
    f.cpu->exception = (struct exception){.vector = EXC_DF, .pending = true, .has_error = true};
    cr_assert(exception_deliver(f.cpu));
    cr_assert_eq(f.cpu->rip, HANDLER);
    cr_assert_eq(f.cpu->tr.selector, SEL_TSS2);
    cr_assert_eq(f.cpu->gpr[RSP], AT_STACK2 - 4);
    cr_assert_eq(stack_word(&f, 4, 0), 0);
    cr_assert_eq(peek32(&f, AT_TSS + 0x20), AT_CODE);
    cr_assert_eq(peek16(&f, AT_TSS2), SEL_TSS);
    cr_assert(f.cpu->rflags & RFLAGS_NT);
}

Test(exception, task_gate_errors_carry_ext)
{
    struct {
        uint16_t selector;
        uint8_t attr;
        uint8_t vector;
        uint32_t code;
    } rows[] = {
        {0, A_TSS32, EXC_GP, 0},
        {SEL_TSS2 | 4, A_TSS32, EXC_GP, SEL_TSS2 | 4},
        {SEL_BEYOND, A_TSS32, EXC_GP, SEL_BEYOND},
        {SEL_TSS2, A_TSS32_BUSY, EXC_GP, SEL_TSS2},
        {SEL_TSS2, A_LDT, EXC_GP, SEL_TSS2},
        {SEL_TSS2, A_TSS32 & ~A_P, EXC_NP, SEL_TSS2},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        set_segment(&f, AT_GDT, SEL_TSS2, AT_TSS2, 0x67, rows[i].attr, false);
        idt_gate(&f, 0x30, rows[i].selector, 0, A_TASK);
        cr_assert_not(external(0x30));
        ASSERT_EXCEPTION(f.cpu, rows[i].vector, rows[i].code | 1);
        cr_assert_not(RUN(&f, 0xcd, 0x30));
        ASSERT_EXCEPTION(f.cpu, rows[i].vector, rows[i].code);
    }
}
