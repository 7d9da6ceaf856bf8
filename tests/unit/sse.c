/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * SSE, SSE2, SSE3, SSSE3 on XMM registers: every row against the host, SIMD floating-point exceptions,
 * alignment, the FXSAVE image, and who faults first.
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

TestSuite(sse, .init = setup, .fini = teardown);

static void compare_all(uint64_t seed, bool unmasked, unsigned count, uint32_t flags)
{
    struct random random = {.state = seed};
    uint8_t *code = native_create();
    unsigned rows = 0;

    for (size_t i = 0; i < opcode_count; i++) {
        const struct opcode *row = &opcode_table[i];
        if (row->exec32 == exec_simd && (row->flags & flags) == flags) {
            compare_row(&f, code, row, &random, count, unmasked);
            rows++;
        }
    }
    cr_assert_geq(rows, flags & OPF_SIMD_FP ? 60 : 180);
    native_destroy(code);
}

Test(sse, every_instruction_matches_the_host_with_exceptions_masked)
{
    compare_all(3, false, 150, OPF_SSE);
}

Test(sse, every_instruction_matches_the_host_with_exceptions_unmasked)
{
    compare_all(4, true, 150, OPF_SSE);
}

/* More of the rows whose exceptions are worked out without the host: nearly every trial raises one. */
Test(sse, arithmetic_raises_what_the_host_raises)
{
    compare_all(5, true, 2000, OPF_SSE | OPF_SIMD_FP);
}

/* ---- exceptions of single instructions ---- */

static void set_xmm_singles(unsigned n, uint32_t a, uint32_t b, uint32_t c, uint32_t d)
{
    uint32_t value[4] = {a, b, c, d};

    memcpy(f.cpu->fpu.xmm[n], value, sizeof(value));
}

Test(sse, unmasked_exception_keeps_the_destination_and_sets_the_flag)
{
    f.cpu->fpu.mxcsr = MXCSR_INIT & ~(FSW_ZE << MXCSR_MASK_SHIFT);
    set_xmm_singles(0, 0x3f800000, 0x3f800000, 0x3f800000, 0x3f800000);
    set_xmm_singles(1, 0x40400000, 0, 0x3f800000, 0x3f800000); /* 1/3 inexact, 1/0 */
    uint8_t before[16];
    memcpy(before, f.cpu->fpu.xmm[0], 16);
    EXPECT_FAULT(&f, EXC_XM, 0x0f, 0x5e, 0xc1); /* divps xmm0, xmm1 */
    cr_assert_arr_eq(f.cpu->fpu.xmm[0], before, 16);
    cr_assert_eq(f.cpu->fpu.mxcsr & MXCSR_FLAGS, FSW_ZE); /* found before the inexact result was */
    f.cpu->fpu.mxcsr &= ~(uint32_t)MXCSR_FLAGS;
    f.cpu->cr4 &= ~CR4_OSXMMEXCPT;
    EXPECT_FAULT(&f, EXC_UD, 0x0f, 0x5e, 0xc1);
    cr_assert_eq(f.cpu->fpu.mxcsr & MXCSR_FLAGS, FSW_ZE);
}

Test(sse, unmasked_underflow_includes_exact_tiny_results)
{
    set_xmm_singles(0, 0x00800000, 0, 0, 0);
    set_xmm_singles(1, 0x3f000000, 0, 0, 0);
    EXPECT_DONE(&f, 0xf3, 0x0f, 0x59, 0xc1); /* mulss: exact, nothing to report */
    cr_assert_eq(f.cpu->fpu.mxcsr, MXCSR_INIT);
    set_xmm_singles(0, 0x00800000, 0, 0, 0);
    f.cpu->fpu.mxcsr = MXCSR_FZ | (MXCSR_INIT & ~(FSW_UE << MXCSR_MASK_SHIFT));
    EXPECT_FAULT(&f, EXC_XM, 0xf3, 0x0f, 0x59, 0xc1);
    cr_assert_eq(f.cpu->fpu.mxcsr & MXCSR_FLAGS, FSW_UE);
}

Test(sse, comparison_that_faults_leaves_the_flags_register)
{
    f.cpu->fpu.mxcsr = MXCSR_INIT & ~(FSW_IE << MXCSR_MASK_SHIFT);
    set_xmm_singles(1, 0x7fc00000, 0, 0, 0);
    f.cpu->rflags |= RFLAGS_SF | RFLAGS_OF;
    uint64_t before = f.cpu->rflags;
    EXPECT_FAULT(&f, EXC_XM, 0x0f, 0x2f, 0xc1); /* comiss: QNaN is invalid */
    cr_assert_eq(f.cpu->rflags, before);
    EXPECT_DONE(&f, 0x0f, 0x2e, 0xc1); /* ucomiss: it is not */
    cr_assert_eq(f.cpu->rflags & RFLAGS_ARITH, RFLAGS_ZF | RFLAGS_PF | RFLAGS_CF);
}

/* ---- who faults first ---- */

Test(sse, control_registers_are_checked_before_anything_else)
{
    static const struct {
        uint8_t bytes[4], length;
    } insn[] = {
        {{0x0f, 0x58, 0xc1}, 3},       /* addps xmm0, xmm1 */
        {{0x0f, 0x28, 0x06}, 3},       /* movaps xmm0, [esi], misaligned */
        {{0x66, 0x0f, 0xef, 0xc0}, 4}, /* pxor xmm0, xmm0 */
        {{0x0f, 0xae, 0x1e}, 3},       /* stmxcsr [esi] */
        {{0x0f, 0xae, 0x16}, 3},       /* ldmxcsr [esi] */
        {{0x0f, 0x2a, 0xc1}, 3},       /* cvtpi2ps xmm0, mm1 */
        {{0x66, 0x0f, 0xf7, 0xc1}, 4}, /* maskmovdqu */
    };

    for (unsigned i = 0; i < ARRAY_LEN(insn); i++) {
        enter_flat_mode(f.cpu);
        f.cpu->gpr[RSI] = GUEST_DATA + 1;
        f.cpu->cr0 |= CR0_TS;
        cr_assert_not(run_bytes(&f, insn[i].bytes, insn[i].length));
        cr_assert_eq(f.cpu->exception.vector, EXC_NM);
        f.cpu->cr0 |= CR0_EM;
        cr_assert_not(run_bytes(&f, insn[i].bytes, insn[i].length));
        cr_assert_eq(f.cpu->exception.vector, EXC_UD);
        f.cpu->cr0 &= ~CR0_EM;
        f.cpu->cr4 &= ~CR4_OSFXSR;
        cr_assert_not(run_bytes(&f, insn[i].bytes, insn[i].length));
        cr_assert_eq(f.cpu->exception.vector, EXC_UD);
    }
}

/* Of the 16-byte memory operands only those of MOVUPS, MOVUPD, MOVDQU and LDDQU may lie anywhere. */
Test(sse, alignment_is_demanded_of_all_but_four)
{
    unsigned free_rows = 0, strict_rows = 0;

    f.cpu->gpr[RSI] = GUEST_DATA + 8;
    for (size_t i = 0; i < opcode_count; i++) {
        const struct opcode *row = &opcode_table[i];
        uint8_t bytes[15];
        if (row->exec32 != exec_simd || row->mod == 3 || row->reg >= 0) {
            continue;
        }
        unsigned length = row_encode(row, true, 1, 0, 0, bytes);
        bool wide =
            strpbrk(row->operands, "WM") && (row->flags & OPF_SSE) &&
            (strstr(row->operands, "Wps") || strstr(row->operands, "Wpd") || strstr(row->operands, "Wdq") ||
             strstr(row->operands, "Mps") || strstr(row->operands, "Mpd") || strstr(row->operands, "Mdq"));
        bool unaligned = strcmp(row->mnemonic, "movups") == 0 || strcmp(row->mnemonic, "movupd") == 0 ||
                         strcmp(row->mnemonic, "movdqu") == 0 || strcmp(row->mnemonic, "lddqu") == 0;
        bool done = run_bytes(&f, bytes, length);
        cr_assert_eq(done, !wide || unaligned, "%s %s", row->mnemonic, row->operands);
        if (!done) {
            cr_assert_eq(f.cpu->exception.vector, EXC_GP);
            cr_assert(f.cpu->exception.has_error && f.cpu->exception.error_code == 0);
        }
        free_rows += wide && unaligned;
        strict_rows += !done;
    }
    cr_assert_eq(free_rows, 7);
    cr_assert_geq(strict_rows, 130);
}

Test(sse, alignment_is_that_of_the_linear_address)
{
    f.cpu->seg[SEG_DS].base = 8;
    vcpu_sync(f.cpu);
    f.cpu->gpr[RSI] = GUEST_DATA;
    EXPECT_FAULT(&f, EXC_GP, 0x0f, 0x28, 0x06);
    f.cpu->gpr[RSI] = GUEST_DATA + 8;
    EXPECT_DONE(&f, 0x0f, 0x28, 0x06);
    enter_real_mode(f.cpu);
    f.cpu->cr4 |= CR4_OSFXSR;
    EXPECT_FAULT(&f, EXC_GP, 0x0f, 0x28, 0x06, 0x08, 0x20); /* movaps xmm0, [2008h] */
    EXPECT_DONE(&f, 0x0f, 0x28, 0x06, 0x00, 0x20);
}

/* The last byte may lie on the limit, not beyond it: each size of operand that is not simply 16. */
Test(sse, memory_operands_have_their_size)
{
    static const struct {
        uint8_t bytes[5], length, size;
    } operand[] = {
        {{0xf3, 0x0f, 0x10, 0x06}, 4, 4},       /* movss */
        {{0xf2, 0x0f, 0x10, 0x06}, 4, 8},       /* movsd */
        {{0xf3, 0x0f, 0x11, 0x06}, 4, 4},       /* movss, store */
        {{0x0f, 0x10, 0x06}, 3, 16},            /* movups */
        {{0x0f, 0x12, 0x06}, 3, 8},             /* movlps */
        {{0x0f, 0x17, 0x06}, 3, 8},             /* movhps, store */
        {{0xf2, 0x0f, 0x12, 0x06}, 4, 8},       /* movddup */
        {{0x0f, 0x2a, 0x06}, 3, 8},             /* cvtpi2ps */
        {{0x66, 0x0f, 0x2a, 0x06}, 4, 8},       /* cvtpi2pd */
        {{0xf3, 0x0f, 0x2a, 0x06}, 4, 4},       /* cvtsi2ss */
        {{0x0f, 0x2c, 0x06}, 3, 8},             /* cvttps2pi */
        {{0x66, 0x0f, 0x2d, 0x06}, 4, 16},      /* cvtpd2pi */
        {{0xf2, 0x0f, 0x2d, 0x06}, 4, 8},       /* cvtsd2si */
        {{0x0f, 0x2e, 0x06}, 3, 4},             /* ucomiss */
        {{0x66, 0x0f, 0x2f, 0x06}, 4, 8},       /* comisd */
        {{0xf3, 0x0f, 0x58, 0x06}, 4, 4},       /* addss */
        {{0xf2, 0x0f, 0x58, 0x06}, 4, 8},       /* addsd */
        {{0x0f, 0x5a, 0x06}, 3, 8},             /* cvtps2pd */
        {{0x66, 0x0f, 0x5a, 0x06}, 4, 16},      /* cvtpd2ps */
        {{0xf3, 0x0f, 0x5a, 0x06}, 4, 4},       /* cvtss2sd */
        {{0x66, 0x0f, 0x6e, 0x06}, 4, 4},       /* movd */
        {{0x66, 0x0f, 0x7e, 0x06}, 4, 4},       /* movd, store */
        {{0xf3, 0x0f, 0x7e, 0x06}, 4, 8},       /* movq */
        {{0x66, 0x0f, 0xd6, 0x06}, 4, 8},       /* movq, store */
        {{0xf3, 0x0f, 0xe6, 0x06}, 4, 8},       /* cvtdq2pd */
        {{0xf2, 0x0f, 0xf0, 0x06}, 4, 16},      /* lddqu */
        {{0x66, 0x0f, 0xc4, 0x06, 0x01}, 5, 2}, /* pinsrw */
        {{0xf2, 0x0f, 0xc2, 0x06, 0x01}, 5, 8}, /* cmpsd */
        {{0x0f, 0xae, 0x1e}, 3, 4},             /* stmxcsr */
        {{0x0f, 0x60, 0x06}, 3, 4},             /* punpcklbw mm0, m32 */
        {{0x0f, 0x68, 0x06}, 3, 8},             /* punpckhbw mm0, m64 */
        {{0x0f, 0x6e, 0x06}, 3, 4},             /* movd mm0, m32 */
        {{0x0f, 0xe7, 0x06}, 3, 8},             /* movntq */
        {{0x0f, 0xc4, 0x06, 0x01}, 4, 2},       /* pinsrw mm0, m16 */
        {{0x0f, 0xae, 0x06}, 3, 0},             /* fxsave: 512 */
        {{0x0f, 0xae, 0x0e}, 3, 0},             /* fxrstor: 512 */
    };

    for (unsigned i = 0; i < ARRAY_LEN(operand); i++) {
        unsigned size = operand[i].size ? operand[i].size : 512;
        memset(guest_data(&f, GUEST_DATA), 0, 512);
        f.cpu->gpr[RSI] = GUEST_DATA;
        f.cpu->seg[SEG_DS].limit = GUEST_DATA + size - 2;
        vcpu_sync(f.cpu);
        cr_assert_not(run_bytes(&f, operand[i].bytes, operand[i].length), "%u", i);
        cr_assert_eq(f.cpu->exception.vector, EXC_GP);
        f.cpu->seg[SEG_DS].limit++;
        vcpu_sync(f.cpu);
        cr_assert(run_bytes(&f, operand[i].bytes, operand[i].length), "%u", i);
    }
}

Test(sse, memory_fault_changes_no_state)
{
    f.cpu->seg[SEG_DS].limit = GUEST_DATA + 14;
    vcpu_sync(f.cpu);
    f.cpu->gpr[RSI] = GUEST_DATA;
    struct fxsave before = f.cpu->fpu;
    EXPECT_FAULT(&f, EXC_GP, 0x0f, 0x5e, 0x06);       /* divps xmm0, [esi] */
    EXPECT_FAULT(&f, EXC_GP, 0x0f, 0x29, 0x06);       /* movaps [esi], xmm0 */
    EXPECT_FAULT(&f, EXC_GP, 0x66, 0x0f, 0x2d, 0x06); /* cvtpd2pi mm0, [esi] */
    cr_assert_arr_eq(&f.cpu->fpu, &before, sizeof(before));
}

/* ---- MXCSR and FXSAVE ---- */

Test(sse, reserved_bits_of_mxcsr_are_refused)
{
    f.cpu->gpr[RSI] = GUEST_DATA;
    for (unsigned bit = 16; bit < 32; bit++) {
        store_le32(guest_data(&f, GUEST_DATA), MXCSR_INIT | 1u << bit);
        EXPECT_FAULT(&f, EXC_GP, 0x0f, 0xae, 0x16); /* ldmxcsr */
        cr_assert_eq(f.cpu->fpu.mxcsr, MXCSR_INIT);
    }
    store_le32(guest_data(&f, GUEST_DATA), 0xffff); /* flags set and unmasked: nothing is raised */
    EXPECT_DONE(&f, 0x0f, 0xae, 0x16);
    cr_assert_eq(f.cpu->fpu.mxcsr, 0xffff);
    EXPECT_DONE(&f, 0x0f, 0xae, 0x5e, 0x10); /* stmxcsr [esi + 10h] */
    cr_assert_eq(load_le32(guest_data(&f, GUEST_DATA + 0x10)), 0xffff);
}

Test(sse, daz_came_with_sse2)
{
    struct fixture pentium3;

    fixture_init(&pentium3, ALL_FEATURES & ~(CPU_FEATURE_SSE2 | CPU_FEATURE_SSE3 | CPU_FEATURE_SSSE3));
    pentium3.cpu->gpr[RSI] = GUEST_DATA;
    store_le32(guest_data(&pentium3, GUEST_DATA), MXCSR_INIT | MXCSR_DAZ);
    EXPECT_FAULT(&pentium3, EXC_GP, 0x0f, 0xae, 0x16);       /* ldmxcsr */
    EXPECT_FAULT(&pentium3, EXC_UD, 0x66, 0x0f, 0xef, 0xc0); /* pxor xmm0, xmm0 */
    EXPECT_DONE(&pentium3, 0x0f, 0xef, 0xc0);                /* pxor mm0, mm0 */
    EXPECT_FAULT(&pentium3, EXC_UD, 0x0f, 0xd4, 0xc0);       /* paddq mm0, mm0 */
    EXPECT_DONE(&pentium3, 0x0f, 0xae, 0x06);                /* fxsave */
    cr_assert_eq(load_le32(guest_data(&pentium3, GUEST_DATA + 28)), 0xffbf);
    fixture_fini(&pentium3);
}

Test(sse, fxsave_writes_288_bytes_of_which_the_reserved_ones_are_zero)
{
    struct random random = {.state = 9};
    struct fxsave *fpu = &f.cpu->fpu;

    random_state(&random, fpu, true);
    fpu->fop = 0x7ff;
    fpu->fip = 0x11223344;
    fpu->fcs = 0x5566;
    fpu->fdp = 0x778899aa;
    fpu->fds = 0xbbcc;
    f.cpu->gpr[RSI] = GUEST_DATA;
    memset(guest_data(&f, GUEST_DATA), 0xa5, 512);
    EXPECT_DONE(&f, 0x0f, 0xae, 0x06);
    const uint8_t *image = guest_data(&f, GUEST_DATA);
    const uint8_t pointers[18] = {0xff, 0x07, 0x44, 0x33, 0x22, 0x11, 0x66, 0x55, 0x00,
                                  0x00, 0xaa, 0x99, 0x88, 0x77, 0xcc, 0xbb, 0x00, 0x00};
    cr_assert_eq(load_le16(image), fpu->fcw);
    cr_assert_eq(load_le16(image + 2), fpu->fsw);
    cr_assert_eq(load_le16(image + 4), fpu->ftw);
    cr_assert_arr_eq(image + 6, pointers, sizeof(pointers));
    cr_assert_eq(load_le32(image + 24), fpu->mxcsr);
    cr_assert_eq(load_le32(image + 28), 0xffff);
    for (unsigned i = 0; i < 8; i++) {
        cr_assert_arr_eq(image + 32 + 16 * i, fpu->st[i], 10);
        cr_assert_arr_eq(image + 32 + 16 * i + 10, "\0\0\0\0\0\0", 6);
        cr_assert_arr_eq(image + 160 + 16 * i, fpu->xmm[i], 16);
    }
    for (unsigned i = 288; i < 512; i++) {
        cr_assert_eq(image[i], 0xa5);
    }

    struct fxsave before = *fpu;
    memset(fpu, 0, sizeof(*fpu));
    fpu->mxcsr_mask = before.mxcsr_mask;
    EXPECT_DONE(&f, 0x0f, 0xae, 0x0e); /* fxrstor */
    cr_assert_arr_eq(fpu, &before, sizeof(before));
}

Test(sse, fxsave_without_osfxsr_leaves_xmm_alone)
{
    f.cpu->gpr[RSI] = GUEST_DATA;
    f.cpu->cr4 &= ~CR4_OSFXSR;
    memset(f.cpu->fpu.xmm, 0x11, sizeof(f.cpu->fpu.xmm));
    memset(guest_data(&f, GUEST_DATA), 0xa5, 512);
    EXPECT_DONE(&f, 0x0f, 0xae, 0x06);
    for (unsigned i = 160; i < 512; i++) {
        cr_assert_eq(guest_data(&f, GUEST_DATA)[i], 0xa5);
    }
    EXPECT_DONE(&f, 0x0f, 0xae, 0x0e);
    cr_assert_eq(f.cpu->fpu.xmm[0][0], 0x11);
}

Test(sse, fxrstor_checks_everything_before_it_loads)
{
    f.cpu->gpr[RSI] = GUEST_DATA;
    memset(guest_data(&f, GUEST_DATA), 0xff, 512);
    struct fxsave before = f.cpu->fpu;
    EXPECT_FAULT(&f, EXC_GP, 0x0f, 0xae, 0x0e); /* reserved bits of MXCSR */
    store_le32(guest_data(&f, GUEST_DATA + 24), MXCSR_INIT);
    f.cpu->gpr[RSI] = GUEST_DATA + 8;
    EXPECT_FAULT(&f, EXC_GP, 0x0f, 0xae, 0x0e); /* misaligned */
    EXPECT_FAULT(&f, EXC_GP, 0x0f, 0xae, 0x06);
    cr_assert_arr_eq(&f.cpu->fpu, &before, sizeof(before));
    f.cpu->gpr[RSI] = GUEST_DATA;
    EXPECT_DONE(&f, 0x0f, 0xae, 0x0e);
    cr_assert_eq(f.cpu->fpu.fcw, 0x1f7f);
    cr_assert_eq(f.cpu->fpu.fsw, 0x7f7f); /* no unmasked exception: ES and B are clear */
    cr_assert_eq(f.cpu->fpu.fop, 0x7ff);
}

/* ---- MASKMOVDQU ---- */

Test(sse, maskmovdqu_writes_selected_bytes_only)
{
    memset(f.cpu->fpu.xmm[1], 0x22, 16);
    memset(f.cpu->fpu.xmm[2], 0x7f, 16);
    f.cpu->fpu.xmm[2][0] = f.cpu->fpu.xmm[2][5] = f.cpu->fpu.xmm[2][15] = 0x80;
    memset(guest_data(&f, GUEST_DATA), 0xa5, 32);
    f.cpu->gpr[RDI] = GUEST_DATA + 3;        /* any alignment */
    EXPECT_DONE(&f, 0x66, 0x0f, 0xf7, 0xca); /* maskmovdqu xmm1, xmm2 */
    for (unsigned i = 0; i < 32; i++) {
        bool written = i == 3 || i == 8 || i == 18;
        cr_assert_eq(guest_data(&f, GUEST_DATA)[i], written ? 0x22 : 0xa5);
    }
    f.cpu->seg[SEG_DS].limit = GUEST_DATA + 17; /* the last selected byte is beyond: none is written */
    f.cpu->seg[SEG_ES].base = 0x100;
    vcpu_sync(f.cpu);
    memset(f.cpu->fpu.xmm[1], 0x33, 16);
    EXPECT_FAULT(&f, EXC_GP, 0x66, 0x0f, 0xf7, 0xca);
    cr_assert_eq(guest_data(&f, GUEST_DATA)[3], 0x22);
    EXPECT_DONE(&f, 0x26, 0x66, 0x0f, 0xf7, 0xca); /* es: */
    cr_assert_eq(guest_data(&f, GUEST_DATA)[0x103], 0x33);
    memset(f.cpu->fpu.xmm[2], 0, 16);
    EXPECT_DONE(&f, 0x66, 0x0f, 0xf7, 0xca); /* an empty mask touches nothing */
}

Test(sse, maskmovdqu_wraps_di_with_16_bit_addresses)
{
    memset(f.cpu->fpu.xmm[1], 0x22, 16);
    memset(f.cpu->fpu.xmm[2], 0xff, 16);
    f.cpu->gpr[RDI] = 0xdeadfff8;
    EXPECT_DONE(&f, 0x67, 0x66, 0x0f, 0xf7, 0xca);
    cr_assert_eq(guest_data(&f, 0xffff)[0], 0x22);
    cr_assert_eq(guest_data(&f, 0)[7], 0x22);
    cr_assert_eq(guest_data(&f, 8)[0], 0);
    cr_assert_eq(guest_data(&f, 0x10000)[0], 0);
}
