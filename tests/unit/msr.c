/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Model-specific registers: who has which, what may be written, and what a write changes.
 * SDM: Volume 4; Volume 3A, "Memory Cache Control".
 */
#include "system_fixture.h"

static struct fixture f;

static void setup(void)
{
    fixture_init(&f);
}

static void teardown(void)
{
    fixture_fini(&f);
}

TestSuite(msr, .init = setup, .fini = teardown);

static bool reads(uint32_t index, uint64_t *value)
{
    f.cpu->exception = (struct exception){0};
    bool done = msr_read(f.cpu, index, value);
    if (!done) {
        ASSERT_EXCEPTION(f.cpu, EXC_GP, 0);
    }
    return done;
}

static bool writes(uint32_t index, uint64_t value)
{
    f.cpu->exception = (struct exception){0};
    bool done = msr_write(f.cpu, index, value);
    if (!done) {
        ASSERT_EXCEPTION(f.cpu, EXC_GP, 0);
    }
    return done;
}

static uint64_t value_of(uint32_t index)
{
    uint64_t value = 0;
    cr_assert(reads(index, &value), "%x", index);
    return value;
}

static void use(const char *model)
{
    fixture_fini(&f);
    fixture_init_model(&f, model);
}

Test(msr, models_have_what_their_features_say)
{
    static const char *const models[] = {"pentium", "pentium2", "pentium3", "coreduo", "n270"};
    struct {
        uint32_t index;
        unsigned first; /* model from which on it exists */
    } rows[] = {
        {0x0, 0},
        {0x1, 0},
        {0x10, 0},
        {0x17, 1},
        {0x1b, 1},
        {0x2a, 1},
        {0x8b, 1},
        {0xcd, 3},
        {0xfe, 1},
        {0x174, 1},
        {0x175, 1},
        {0x176, 1},
        {0x179, 1},
        {0x17a, 1},
        {0x17b, 1},
        {0x198, 3},
        {0x19b, 3},
        {0x19c, 3},
        {0x1a0, 3},
        {0x1d9, 1},
        {0x1db, 1},
        {0x1de, 1},
        {0x200, 1},
        {0x20f, 1},
        {0x250, 1},
        {0x258, 1},
        {0x259, 1},
        {0x268, 1},
        {0x26f, 1},
        {0x277, 1},
        {0x2ff, 1},
        {0x400, 1},
        {0x40f, 1},
        {0xc0000080, 3},
        /* and these nobody has */
        {0x2, 9},
        {0x1a, 9},
        {0x1c, 9},
        {0x3a, 9},
        {0x79, 9},
        {0xc1, 9},
        {0x186, 9},
        {0x173, 9},
        {0x177, 9},
        {0x210, 9},
        {0x251, 9},
        {0x25a, 9},
        {0x267, 9},
        {0x270, 9},
        {0x410, 9},
        {0x6e0, 9},
        {0xc0000081, 9},
        {0xc0000103, 9},
        {0xffffffff, 9},
    };
    for (unsigned model = 0; model < ARRAY_LEN(models); model++) {
        use(models[model]);
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
            uint64_t value;
            cr_assert_eq(reads(rows[i].index, &value), model >= rows[i].first, "%s %x", models[model],
                         rows[i].index);
        }
    }
}

struct write_row {
    uint32_t index;
    uint64_t value;
    bool allowed;
};

/* n270: 32 physical address bits. */
static const struct write_row write_rows[] = {
    {0x1b, 0xfee00900, true},
    {0x1b, 0xfec00800, true},
    {0x1b, 0xfee00000, true},
    {0x1b, 0xfee00d00, false}, /* x2APIC */
    {0x1b, 0xfee00901, false},
    {0x1b, 0x1fee00900, false},
    {0x79, 0x12345, true},
    {0x8b, 0, true},
    {0xfe, 0x508, false},
    {0xcd, 1, false},
    {0x179, 0, false},
    {0x17a, 7, true},
    {0x17a, 8, false},
    {0x198, 0, false},
    {0x200, 0x80000006, true},
    {0x200, 0x80000002, false}, /* reserved type */
    {0x200, 0x80000007, false},
    {0x200, 0x80000106, false},
    {0x200, 0x180000006, false},
    {0x201, 0xc0000800, true},
    {0x201, 0xc0000c00, false},
    {0x201, 0x1c0000800, false},
    {0x250, 0x0606060606060606, true},
    {0x250, 0x0606060606060602, false},
    {0x26f, 0x0500010400060005, true},
    {0x26f, 0x0700000000000000, false}, /* UC- is the PAT's only */
    {0x277, 0x0007040600070406, true},
    {0x277, 0x0007010600070106, true},
    {0x277, 0x0002040600070406, false},
    {0x277, 0x0807040600070406, false},
    {0x2ff, 0xc06, true},
    {0x2ff, 0xc07, false},
    {0x2ff, 0x1c06, false},
    {0x400, UINT64_MAX, true},
    {0x401, 0, true},
    {0x401, 1, false},
    {0x402, 1, false},
    {0x1d9, 3, true},
    {0x1d9, 0x8000, false},
    {0xc0000080, 0x800, true},
    {0xc0000080, 0x801, false},
    {0xc0000080, 0x900, false},
};

Test(msr, writes_are_checked)
{
    for (size_t i = 0; i < ARRAY_LEN(write_rows); i++) {
        const struct write_row *row = &write_rows[i];
        uint64_t before = 0, after = 0;
        bool readable = reads(row->index, &before);
        cr_assert_eq(writes(row->index, row->value), row->allowed, "%x = %lx", row->index, row->value);
        if (readable && !row->allowed) {
            cr_assert(reads(row->index, &after));
            cr_assert_eq(before, after, "%x changed though refused", row->index);
        }
    }
}

Test(msr, stored_values_read_back_from_their_own_place)
{
    static const uint32_t fixed[] = {0x250, 0x258, 0x259, 0x268, 0x269, 0x26a,
                                     0x26b, 0x26c, 0x26d, 0x26e, 0x26f};
    for (uint64_t i = 0; i < ARRAY_LEN(fixed); i++) {
        cr_assert(writes(fixed[i], i % 2 ? 6 : 5ull << 8));
        cr_assert_eq(f.cpu->msr.mtrr_fixed[i], i % 2 ? 6 : 5ull << 8);
    }
    for (uint32_t i = 0; i < 8; i++) {
        cr_assert(writes(0x200 + 2 * i, (uint64_t)i << 12 | 6));
        cr_assert(writes(0x201 + 2 * i, (uint64_t)i << 12 | 0x800));
    }
    for (uint32_t i = 0; i < 8; i++) {
        cr_assert_eq(value_of(0x200 + 2 * i), (uint64_t)i << 12 | 6);
        cr_assert_eq(value_of(0x201 + 2 * i), (uint64_t)i << 12 | 0x800);
    }
    for (uint32_t bank = 0; bank < 4; bank++) {
        cr_assert(writes(0x400 + 4 * bank, 0x10 + bank));
        cr_assert_eq(f.cpu->msr.mc_ctl[bank], 0x10 + bank);
    }
}

Test(msr, constants)
{
    cr_assert_eq(value_of(0xfe), 0x508);
    cr_assert_eq(value_of(0x179), 0x104);
    cr_assert_eq(value_of(0xcd) & 7, 1);
    cr_assert_eq(value_of(0x198) >> 8 & 0x1f, 12);
    cr_assert_eq(value_of(0x8b), BIT(32));
}

Test(msr, sysenter_registers_are_32_bits_wide)
{
    for (uint32_t index = 0x174; index <= 0x176; index++) {
        cr_assert(writes(index, 0x123456789abcdef0 + index));
        cr_assert_eq(value_of(index), (uint32_t)(0x9abcdef0 + index));
    }
}

static void note_base(void *board, uint64_t value)
{
    *(uint64_t *)board = value;
}

Test(msr, apic_base_tells_the_board)
{
    uint64_t told = 0;
    f.cpu->wiring.apic_base_changed = note_base;
    f.cpu->wiring.board = &told;
    cr_assert(writes(0x1b, 0xfee00900));
    cr_assert_eq(told, 0, "nothing changed");
    cr_assert(writes(0x1b, 0xfec00900));
    cr_assert_eq(told, 0xfec00900);
}

Test(msr, nxe_reaches_the_page_walk)
{
    cr_assert_not(f.cpu->paging.nx);
    cr_assert(writes(0xc0000080, EFER_NXE));
    cr_assert(f.cpu->paging.nx);
    cr_assert(writes(0xc0000080, 0));
    cr_assert_not(f.cpu->paging.nx);
}

Test(msr, xd_disable_forbids_nxe)
{
    cr_assert(writes(0x1a0, BIT(34)));
    cr_assert_not(writes(0xc0000080, EFER_NXE));
}

Test(msr, old_models_write_the_low_half_of_the_tsc)
{
    use("pentium3");
    cr_assert(writes(0x10, 0x1234567890));
    cr_assert_eq(value_of(0x10), 0x34567890);
}

Test(msr, instructions_need_cpl_0)
{
    enter_protected(&f);
    f.cpu->gpr[RCX] = 0x175;
    f.cpu->gpr[RAX] = 0x1111;
    f.cpu->gpr[RDX] = 0x2222;
    cr_assert(RUN(&f, 0x0f, 0x30));
    f.cpu->gpr[RAX] = f.cpu->gpr[RDX] = 0;
    cr_assert(RUN(&f, 0x0f, 0x32));
    cr_assert_eq(f.cpu->gpr[RAX], 0x1111);
    cr_assert_eq(f.cpu->gpr[RDX], 0);
    set_cpl(&f, 3);
    cr_assert_not(RUN(&f, 0x0f, 0x30));
    ASSERT_EXCEPTION(f.cpu, EXC_GP, 0);
    cr_assert_not(RUN(&f, 0x0f, 0x32));
    ASSERT_EXCEPTION(f.cpu, EXC_GP, 0);
}
