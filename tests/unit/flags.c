/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * PUSHF, POPF, CLI and STI in every mode, level and IOPL.
 * SDM: Volume 2, "CLI" and "STI" (decision tables), "POPF", "PUSHF"; Volume 3B, "8086 Emulation".
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

TestSuite(flags, .init = setup, .fini = teardown);

enum mode { REAL, PROTECTED, V86 };
enum outcome { SETS_IF, SETS_VIF, FAULTS };

struct row {
    enum mode mode;
    unsigned cpl, iopl;
    uint64_t cr4;
    uint64_t flags;
    enum outcome cli, sti;
};

static const struct row rows[] = {
    {REAL, 0, 0, 0, 0, SETS_IF, SETS_IF},
    {PROTECTED, 0, 0, 0, 0, SETS_IF, SETS_IF},
    {PROTECTED, 1, 1, 0, 0, SETS_IF, SETS_IF},
    {PROTECTED, 3, 3, 0, 0, SETS_IF, SETS_IF},
    {PROTECTED, 1, 0, 0, 0, FAULTS, FAULTS},
    {PROTECTED, 3, 2, 0, 0, FAULTS, FAULTS},
    {PROTECTED, 3, 2, CR4_VME, 0, FAULTS, FAULTS},
    {PROTECTED, 3, 2, CR4_PVI, 0, SETS_VIF, SETS_VIF},
    {PROTECTED, 3, 2, CR4_PVI, RFLAGS_VIP, SETS_VIF, FAULTS},
    {PROTECTED, 3, 3, CR4_PVI, 0, SETS_IF, SETS_IF},
    {PROTECTED, 1, 0, CR4_PVI, 0, FAULTS, FAULTS},
    {V86, 3, 3, 0, 0, SETS_IF, SETS_IF},
    {V86, 3, 3, CR4_VME, RFLAGS_VIP, SETS_IF, SETS_IF},
    {V86, 3, 0, 0, 0, FAULTS, FAULTS},
    {V86, 3, 2, CR4_PVI, 0, FAULTS, FAULTS},
    {V86, 3, 2, CR4_VME, 0, SETS_VIF, SETS_VIF},
    {V86, 3, 2, CR4_VME, RFLAGS_VIP, SETS_VIF, FAULTS},
};

static void enter(const struct row *row, uint64_t flags)
{
    if (row->mode == REAL) {
        enter_real(&f);
    } else if (row->mode == PROTECTED) {
        enter_protected(&f);
        set_cpl(&f, row->cpl);
    } else {
        enter_v86(&f, row->iopl);
    }
    f.cpu->cr4 = row->cr4;
    vcpu_set_shadow(f.cpu, SHADOW_NONE);
    f.cpu->rflags =
        (f.cpu->rflags & RFLAGS_VM) | RFLAGS_FIXED1 | row->flags | flags | (uint64_t)row->iopl << 12;
}

Test(flags, cli_and_sti_follow_the_decision_tables)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        for (unsigned sti = 0; sti < 2; sti++) {
            enum outcome outcome = sti ? rows[i].sti : rows[i].cli;
            uint64_t both = RFLAGS_IF | RFLAGS_VIF;
            uint64_t touched = outcome == SETS_IF ? RFLAGS_IF : outcome == SETS_VIF ? RFLAGS_VIF : 0;
            enter(&rows[i], sti ? 0 : both);
            cr_assert_eq(RUN(&f, sti ? 0xfb : 0xfa), outcome != FAULTS, "row %zu sti %u", i, sti);
            if (outcome == FAULTS) {
                ASSERT_EXCEPTION(f.cpu, EXC_GP, 0);
            }
            cr_assert_eq(f.cpu->rflags & both, sti ? touched : both & ~touched, "row %zu sti %u", i, sti);
            cr_assert_eq(f.cpu->shadow, sti && outcome == SETS_IF ? SHADOW_STI : SHADOW_NONE, "row %zu", i);
        }
    }
}

Test(flags, sti_with_interrupts_enabled_opens_no_shadow)
{
    f.cpu->rflags |= RFLAGS_IF;
    cr_assert(RUN(&f, 0xfb));
    cr_assert_eq(f.cpu->shadow, SHADOW_NONE);
}

Test(flags, attention_follows_if_and_the_pin)
{
    vcpu_set_intr(f.cpu, true);
    cr_assert_not(f.cpu->attention & ATTENTION_INTR);
    cr_assert(RUN(&f, 0xfb));
    cr_assert(f.cpu->attention & ATTENTION_INTR);
    cr_assert(vcpu_has_work(f.cpu));
    cr_assert(RUN(&f, 0xfa));
    cr_assert_not(f.cpu->attention & ATTENTION_INTR);
    cr_assert_not(vcpu_has_work(f.cpu));
}

#define ALL 0x003f7fd7u

/* POPF: which bits change. */
Test(flags, popf_changes_what_the_level_may)
{
    const uint64_t rest16 = RFLAGS_ARITH | RFLAGS_TF | RFLAGS_DF | RFLAGS_NT;
    const uint64_t rest32 = rest16 | RFLAGS_AC | RFLAGS_ID;
    struct {
        enum mode mode;
        unsigned cpl, iopl;
        uint64_t extra; /* besides the rest */
    } levels[] = {
        {REAL, 0, 0, RFLAGS_IF | RFLAGS_IOPL},
        {PROTECTED, 0, 0, RFLAGS_IF | RFLAGS_IOPL},
        {PROTECTED, 1, 1, RFLAGS_IF},
        {PROTECTED, 3, 0, 0},
        {V86, 3, 3, RFLAGS_IF},
    };
    for (size_t i = 0; i < ARRAY_LEN(levels); i++) {
        for (unsigned wide = 0; wide < 2; wide++) {
            struct row row = {levels[i].mode, levels[i].cpl, levels[i].iopl, 0, 0, FAULTS, FAULTS};
            enter(&row, RFLAGS_RF);
            uint64_t before = f.cpu->rflags, changed = (wide ? rest32 : rest16) | levels[i].extra;
            cr_assert(stack_push(f.cpu, wide ? 4 : 2, ALL));
            bool prefix = f.cpu->code32 != (wide != 0);
            cr_assert(prefix ? RUN(&f, 0x66, 0x9d) : RUN(&f, 0x9d));
            cr_assert_eq(f.cpu->rflags, (before & ~changed) | (ALL & changed), "level %zu wide %u: %lx", i,
                         wide, f.cpu->rflags);
        }
    }
}

Test(flags, pushf_hides_vm_and_rf)
{
    f.cpu->rflags = RFLAGS_FIXED1 | RFLAGS_RF | RFLAGS_AC | RFLAGS_CF;
    cr_assert(RUN(&f, 0x9c));
    cr_assert_eq(stack_word(&f, 4, 0), RFLAGS_FIXED1 | RFLAGS_AC | RFLAGS_CF);
    enter_v86(&f, 3);
    cr_assert(RUN(&f, 0x66, 0x9c));
    cr_assert_eq(stack_word(&f, 4, 0), RFLAGS_FIXED1 | RFLAGS_IF | RFLAGS_IOPL);
}

Test(flags, v86_below_iopl_3_without_vme_faults)
{
    enter_v86(&f, 2);
    cr_assert_not(RUN(&f, 0x9c));
    ASSERT_EXCEPTION(f.cpu, EXC_GP, 0);
    cr_assert_not(RUN(&f, 0x9d));
    ASSERT_EXCEPTION(f.cpu, EXC_GP, 0);
    f.cpu->cr4 |= CR4_VME;
    cr_assert_not(RUN(&f, 0x66, 0x9c));
    ASSERT_EXCEPTION(f.cpu, EXC_GP, 0);
    cr_assert_not(RUN(&f, 0x66, 0x9d));
    ASSERT_EXCEPTION(f.cpu, EXC_GP, 0);
    cr_assert_eq(f.cpu->gpr[RSP], 0x1000);
}

Test(flags, vme_shows_vif_in_the_place_of_if)
{
    for (unsigned vif = 0; vif < 2; vif++) {
        enter_v86(&f, 0);
        f.cpu->cr4 |= CR4_VME;
        f.cpu->rflags |= vif ? RFLAGS_VIF : 0;
        cr_assert(RUN(&f, 0x9c));
        cr_assert_eq(stack_word(&f, 2, 0), RFLAGS_FIXED1 | RFLAGS_IOPL | (vif ? RFLAGS_IF : 0));
        cr_assert(stack_push(f.cpu, 2, vif ? 0 : RFLAGS_IF));
        cr_assert(RUN(&f, 0x9d));
        cr_assert_eq(f.cpu->rflags & (RFLAGS_VIF | RFLAGS_IF | RFLAGS_IOPL),
                     (vif ? 0 : RFLAGS_VIF) | RFLAGS_IF);
    }
}

Test(flags, vme_popf_faults_for_tf_and_for_if_with_vip)
{
    enter_v86(&f, 0);
    f.cpu->cr4 |= CR4_VME;
    f.cpu->rflags |= RFLAGS_VIP;
    cr_assert(stack_push(f.cpu, 2, RFLAGS_IF));
    cr_assert_not(RUN(&f, 0x9d));
    ASSERT_EXCEPTION(f.cpu, EXC_GP, 0);
    cr_assert_eq(f.cpu->gpr[RSP], 0xffe);
    poke16(&f, 0x22ffe, RFLAGS_TF);
    cr_assert_not(RUN(&f, 0x9d));
    ASSERT_EXCEPTION(f.cpu, EXC_GP, 0);
    poke16(&f, 0x22ffe, 0);
    cr_assert(RUN(&f, 0x9d));
}

Test(flags, models_without_a_feature_keep_its_bits_clear)
{
    fixture_fini(&f);
    fixture_init_model(&f, "486,-vme");
    rflags_set(f.cpu, RFLAGS_ID | RFLAGS_VIF | RFLAGS_VIP, UINT64_MAX);
    cr_assert_eq(f.cpu->rflags, RFLAGS_FIXED1 | RFLAGS_ID);
}
