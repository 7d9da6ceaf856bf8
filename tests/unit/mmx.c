/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * MMX registers: every row against the host, the aliasing with the x87 stack, and who faults first.
 */
#include "tests/unit/fpu_fixture.h"

static struct fixture f;

static void setup(void)
{
    fixture_init(&f, ALL_FEATURES);
}

static void teardown(void)
{
    fixture_fini(&f);
}

TestSuite(mmx, .init = setup, .fini = teardown);

Test(mmx, every_instruction_matches_the_host)
{
    struct random random = {.state = 6};
    uint8_t *code = native_create();
    unsigned rows = 0;

    for (size_t i = 0; i < opcode_count; i++) {
        const struct opcode *row = &opcode_table[i];
        if ((row->flags & OPF_MMX) && !(row->flags & OPF_SSE)) {
            compare_row(&f, code, row, &random, 200, false);
            rows++;
        }
    }
    cr_assert_geq(rows, 90);
    native_destroy(code);
}

Test(mmx, registers_are_the_physical_x87_registers)
{
    struct fxsave *fpu = &f.cpu->fpu;

    EXPECT_DONE(&f, 0xd9, 0xeb); /* fldpi: physical register 7 */
    EXPECT_DONE(&f, 0xd9, 0xe8); /* fld1: physical register 6 */
    cr_assert_eq(fpu_top(fpu), 6);
    EXPECT_DONE(&f, 0x0f, 0x7e, 0xf8); /* movd eax, mm7 */
    cr_assert_eq(f.cpu->gpr[RAX], 0x2168c235);
    cr_assert_eq(fpu_top(fpu), 0);
    cr_assert_eq(fpu->ftw, 0xff);
    EXPECT_DONE(&f, 0x0f, 0x6f, 0xcf); /* movq mm1, mm7 */
    const uint8_t pi[10] = {0x35, 0xc2, 0x68, 0x21, 0xa2, 0xda, 0x0f, 0xc9, 0xff, 0xff};
    cr_assert_arr_eq(fpu->st[1], pi, 10);            /* sign and exponent become ones ... */
    cr_assert_eq(load_le16(fpu->st[7] + 8), 0x4000); /* ... only where it writes */
    EXPECT_DONE(&f, 0x0f, 0x77);                     /* emms */
    cr_assert_eq(fpu->ftw, 0);
    cr_assert_eq(fpu->fsw & FSW_TOP, 0);
    EXPECT_DONE(&f, 0xd9, 0xe8); /* fld1: the stack is empty again, no overflow */
    cr_assert_eq(fpu->fsw & FSW_SF, 0);
}

Test(mmx, control_register_checks)
{
    f.cpu->cr4 &= ~CR4_OSFXSR;
    EXPECT_DONE(&f, 0x0f, 0xe0, 0xc1); /* pavgb mm0, mm1: no XMM state, so OSFXSR does not matter */
    f.cpu->cr0 |= CR0_TS;
    EXPECT_FAULT(&f, EXC_NM, 0x0f, 0xfc, 0xc1); /* paddb */
    EXPECT_FAULT(&f, EXC_NM, 0x0f, 0x77);       /* emms */
    EXPECT_FAULT(&f, EXC_NM, 0x0f, 0xf7, 0xc1); /* maskmovq */
    f.cpu->cr0 |= CR0_EM;
    EXPECT_FAULT(&f, EXC_UD, 0x0f, 0xfc, 0xc1);
    EXPECT_FAULT(&f, EXC_UD, 0x0f, 0x77);
    EXPECT_FAULT(&f, EXC_UD, 0x0f, 0xf7, 0xc1);
}

Test(mmx, faults_do_not_switch_to_mmx_use)
{
    EXPECT_DONE(&f, 0xd9, 0xe8); /* fld1 */
    struct fxsave before = f.cpu->fpu;
    f.cpu->seg[SEG_DS].limit = GUEST_DATA + 6;
    vcpu_sync(f.cpu);
    f.cpu->gpr[RSI] = f.cpu->gpr[RDI] = GUEST_DATA;
    EXPECT_FAULT(&f, EXC_GP, 0x0f, 0x6f, 0x06); /* movq mm0, [esi] */
    EXPECT_FAULT(&f, EXC_GP, 0x0f, 0x7f, 0x06); /* movq [esi], mm0 */
    EXPECT_FAULT(&f, EXC_GP, 0x0f, 0xe7, 0x06); /* movntq [esi], mm0 */
    memset(f.cpu->fpu.st[7], 0xff, 8);          /* physical register 6 */
    before = f.cpu->fpu;
    EXPECT_FAULT(&f, EXC_GP, 0x0f, 0xf7, 0xc6); /* maskmovq mm0, mm6: the eighth byte is beyond the limit */
    cr_assert_arr_eq(&f.cpu->fpu, &before, sizeof(before));
    EXPECT_DONE(&f, 0x0f, 0x7e, 0x06); /* movd [esi], mm0 */
    cr_assert_eq(f.cpu->fpu.ftw, 0xff);
}

Test(mmx, instructions_depend_on_the_model)
{
    f.cpu->features &= ~(CPU_FEATURE_SSE | CPU_FEATURE_SSE2 | CPU_FEATURE_SSE3 | CPU_FEATURE_SSSE3);
    EXPECT_DONE(&f, 0x0f, 0xfc, 0xc1);                /* paddb */
    EXPECT_FAULT(&f, EXC_UD, 0x0f, 0xe0, 0xc1);       /* pavgb: SSE */
    EXPECT_FAULT(&f, EXC_UD, 0x0f, 0xf4, 0xc1);       /* pmuludq: SSE2 */
    EXPECT_FAULT(&f, EXC_UD, 0x0f, 0x38, 0x00, 0xc1); /* pshufb: SSSE3 */
    EXPECT_FAULT(&f, EXC_UD, 0xf3, 0x0f, 0xfc, 0xc1); /* no such prefix */
    f.cpu->features &= ~CPU_FEATURE_MMX;
    EXPECT_FAULT(&f, EXC_UD, 0x0f, 0xfc, 0xc1);
    EXPECT_FAULT(&f, EXC_UD, 0x0f, 0x77);
}
