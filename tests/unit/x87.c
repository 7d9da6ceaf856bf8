/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * x87: every row against the host, the environment images byte by byte, and who faults first.
 */
#include "cpu/interp.h"
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

TestSuite(x87, .init = setup, .fini = teardown);

static void compare_all(uint64_t seed, bool unmasked)
{
    struct random random = {.state = seed};
    uint8_t *code = native_create();
    unsigned rows = 0;

    for (size_t i = 0; i < opcode_count; i++) {
        if (opcode_table[i].exec32 == exec_x87) {
            compare_row(&f, code, &opcode_table[i], &random, 400, unmasked);
            rows++;
        }
    }
    cr_assert_geq(rows, 130);
    native_destroy(code);
}

Test(x87, every_instruction_matches_the_host_with_exceptions_masked)
{
    compare_all(1, false);
}

Test(x87, every_instruction_matches_the_host_with_exceptions_unmasked)
{
    compare_all(2, true);
}

/* ---- a sample against the compiler's assembler ---- */

/* Push x and y (y on top), run the instruction, and give back the new top. */
#define NATIVE_BINARY(name, text)                                                                            \
    static long double name(long double x, long double y)                                                    \
    {                                                                                                        \
        __asm__(text : "+t"(y) : "u"(x));                                                                    \
        return y;                                                                                            \
    }
NATIVE_BINARY(native_fadd, "fadd %%st(1), %%st")
NATIVE_BINARY(native_fsubr, "fsubr %%st(1), %%st")
NATIVE_BINARY(native_fdiv, "fdiv %%st(1), %%st")
NATIVE_BINARY(native_fprem, "fprem")
NATIVE_BINARY(native_fprem1, "fprem1")
NATIVE_BINARY(native_fscale, "fscale")
NATIVE_BINARY(native_fsqrt, "fsqrt")
NATIVE_BINARY(native_fsin, "fsin")
NATIVE_BINARY(native_f2xm1, "f2xm1")
NATIVE_BINARY(native_frndint, "frndint")

Test(x87, sample_matches_assembled_instructions)
{
    static const struct {
        const char *name;
        uint8_t bytes[2];
        long double (*native)(long double x, long double y);
    } sample[] = {
        {"fadd", {0xd8, 0xc1}, native_fadd},     {"fsubr", {0xd8, 0xe9}, native_fsubr},
        {"fdiv", {0xd8, 0xf1}, native_fdiv},     {"fprem", {0xd9, 0xf8}, native_fprem},
        {"fprem1", {0xd9, 0xf5}, native_fprem1}, {"fscale", {0xd9, 0xfd}, native_fscale},
        {"fsqrt", {0xd9, 0xfa}, native_fsqrt},   {"fsin", {0xd9, 0xfe}, native_fsin},
        {"f2xm1", {0xd9, 0xf0}, native_f2xm1},   {"frndint", {0xd9, 0xfc}, native_frndint},
    };
    static const long double value[] = {0.0L, 1.0L, -0.75L, 3.5L, 1e10L, 2.5L, -1e-4L};

    for (unsigned i = 0; i < ARRAY_LEN(sample); i++) {
        for (unsigned j = 0; j < ARRAY_LEN(value) * ARRAY_LEN(value); j++) {
            long double x = value[j % ARRAY_LEN(value)], y = value[j / ARRAY_LEN(value)];
            long double expected = sample[i].native(x, y), got;
            EXPECT_DONE(&f, 0xdb, 0xe3); /* fninit */
            memcpy(guest_data(&f, GUEST_DATA), &x, 10);
            EXPECT_DONE(&f, 0xdb, 0x2d, 0x00, 0x20, 0x00, 0x00); /* fld tbyte [2000h] */
            memcpy(guest_data(&f, GUEST_DATA), &y, 10);
            EXPECT_DONE(&f, 0xdb, 0x2d, 0x00, 0x20, 0x00, 0x00);
            EXPECT_DONE(&f, sample[i].bytes[0], sample[i].bytes[1]);
            EXPECT_DONE(&f, 0xdb, 0x3d, 0x00, 0x20, 0x00, 0x00); /* fstp tbyte [2000h] */
            memcpy(&got, guest_data(&f, GUEST_DATA), 10);
            cr_assert_arr_eq(&got, &expected, 10, "%s %Lg, %Lg: %Lg, host %Lg", sample[i].name, x, y, got,
                             expected);
        }
    }
}

/* ---- images ---- */

/* All fields differ: TOP = 5, registers 5-7 and 0 hold 1.5, 0, infinity and a denormal. */
static void load_known_state(void)
{
    struct fxsave *fpu = &f.cpu->fpu;

    memset(fpu->st, 0, sizeof(fpu->st));
    fpu->fcw = 0x0a7f;
    fpu->fsw = 0x4500 | 5 << 11;
    fpu->ftw = 0xe1;
    fpu->fop = 0x0321;
    fpu->fip = 0x12345678;
    fpu->fcs = 0x0010;
    fpu->fdp = 0x9abcdef0;
    fpu->fds = 0x0023;
    for (unsigned i = 0; i < 8; i++) {
        fpu->st[i][0] = (uint8_t)i;
    }
    store_le64(fpu->st[0], 0xc000000000000000);
    store_le16(fpu->st[0] + 8, 0x3fff);
    memset(fpu->st[1], 0, 10);
    store_le64(fpu->st[2], 0x8000000000000000);
    store_le16(fpu->st[2] + 8, 0x7fff);
}

/* Registers 1-4 empty (11), 5 valid (00), 6 zero (01), 7 and 0 special (10). */
#define KNOWN_TAGS 0x93fe

static const uint8_t known_protected32[28] = {
    0x7f, 0x0a, 0xff, 0xff, 0x00, 0x6d, 0xff, 0xff, 0xfe, 0x93, 0xff, 0xff, 0x78, 0x56,
    0x34, 0x12, 0x10, 0x00, 0x21, 0x03, 0xf0, 0xde, 0xbc, 0x9a, 0x23, 0x00, 0xff, 0xff,
};
static const uint8_t known_protected16[14] = {0x7f, 0x0a, 0x00, 0x6d, 0xfe, 0x93, 0x78,
                                              0x56, 0x10, 0x00, 0xf0, 0xde, 0x23, 0x00};
/* Linear: 12345778h and 9ABCE120h. */
static const uint8_t known_real32[28] = {
    0x7f, 0x0a, 0xff, 0xff, 0x00, 0x6d, 0xff, 0xff, 0xfe, 0x93, 0xff, 0xff, 0x78, 0x57,
    0xff, 0xff, 0x21, 0x43, 0x23, 0x01, 0x20, 0xe1, 0xff, 0xff, 0x00, 0xc0, 0xab, 0x09,
};
static const uint8_t known_real16[14] = {0x7f, 0x0a, 0x00, 0x6d, 0xfe, 0x93, 0x78,
                                         0x57, 0x21, 0x43, 0x20, 0xe1, 0x00, 0xc0};

struct format {
    bool real;
    unsigned opsize;
    const uint8_t *bytes;
};
static const struct format formats[] = {
    {false, 4, known_protected32},
    {false, 2, known_protected16},
    {true, 4, known_real32},
    {true, 2, known_real16},
};

/* Opcode and ModRM.reg with the operand [2000h], in the format's mode and operand size. */
static bool run_format(const struct format *format, uint8_t opcode, unsigned reg)
{
    uint8_t bytes[8];
    unsigned n = 0;

    if (format->real) {
        enter_real_mode(f.cpu);
    } else {
        enter_flat_mode(f.cpu);
    }
    if (f.cpu->code32 != (format->opsize == 4)) {
        bytes[n++] = 0x66;
    }
    bytes[n++] = opcode;
    bytes[n++] = (uint8_t)(reg << 3 | (format->real ? 6 : 5));
    bytes[n++] = 0x00;
    bytes[n++] = 0x20;
    if (!format->real) {
        bytes[n++] = 0;
        bytes[n++] = 0;
    }
    return run_bytes(&f, bytes, n);
}

Test(x87, fnstenv_writes_each_format_and_masks_exceptions)
{
    for (unsigned i = 0; i < ARRAY_LEN(formats); i++) {
        unsigned size = 7 * formats[i].opsize;
        load_known_state();
        f.cpu->fpu.fcw = 0x0a40; /* all unmasked; nothing is pending */
        memset(guest_data(&f, GUEST_DATA), 0xa5, 64);
        cr_assert(run_format(&formats[i], 0xd9, 6));
        uint8_t *image = guest_data(&f, GUEST_DATA);
        cr_assert_eq(image[0], 0x40);
        image[0] = 0x7f;
        cr_assert_arr_eq(image, formats[i].bytes, size, "format %u", i);
        cr_assert_eq(image[size], 0xa5);
        cr_assert_eq(f.cpu->fpu.fcw, 0x0a7f);
        cr_assert_eq(f.cpu->fpu.fip, 0x12345678);
    }
}

Test(x87, fldenv_reads_each_format_and_moves_no_register)
{
    for (unsigned i = 0; i < ARRAY_LEN(formats); i++) {
        load_known_state();
        fpu_set_top(&f.cpu->fpu, 2);
        f.cpu->fpu.ftw = 0;
        memcpy(guest_data(&f, GUEST_DATA), formats[i].bytes, 7 * formats[i].opsize);
        cr_assert(run_format(&formats[i], 0xd9, 4));
        const struct fxsave *fpu = &f.cpu->fpu;
        cr_assert_eq(fpu->fcw, 0x0a7f);
        cr_assert_eq(fpu->fsw, 0x6d00);
        cr_assert_eq(fpu->ftw, 0xe1);
        cr_assert_eq(fpu_tag_word(fpu), KNOWN_TAGS); /* physical registers are where they were */
        if (formats[i].real) {
            uint32_t mask = formats[i].opsize == 4 ? 0xffffffff : 0xfffff;
            cr_assert_eq(fpu->fip, 0x12345778 & mask);
            cr_assert_eq(fpu->fdp, 0x9abce120 & mask);
            cr_assert_eq(fpu->fcs | fpu->fds, 0);
            cr_assert_eq(fpu->fop, 0x321);
        } else {
            uint32_t mask = formats[i].opsize == 4 ? 0xffffffff : 0xffff;
            cr_assert_eq(fpu->fip, 0x12345678 & mask);
            cr_assert_eq(fpu->fdp, 0x9abcdef0 & mask);
            cr_assert_eq(fpu->fcs, 0x10);
            cr_assert_eq(fpu->fds, 0x23);
            cr_assert_eq(fpu->fop, formats[i].opsize == 4 ? 0x321 : 0);
        }
    }
}

Test(x87, fnsave_writes_registers_in_stack_order_and_initializes)
{
    for (unsigned i = 0; i < ARRAY_LEN(formats); i++) {
        unsigned size = 7 * formats[i].opsize;
        load_known_state();
        struct fxsave before = f.cpu->fpu;
        memset(guest_data(&f, GUEST_DATA), 0xa5, 128);
        cr_assert(run_format(&formats[i], 0xdd, 6));
        const uint8_t *image = guest_data(&f, GUEST_DATA);
        cr_assert_arr_eq(image, formats[i].bytes, size);
        for (unsigned st = 0; st < 8; st++) {
            cr_assert_arr_eq(image + size + 10 * st, before.st[st], 10);
        }
        cr_assert_eq(image[size + 80], 0xa5);
        cr_assert_eq(f.cpu->fpu.fcw, 0x37f);
        cr_assert_eq(f.cpu->fpu.fsw, 0);
        cr_assert_eq(f.cpu->fpu.ftw, 0);
        cr_assert_eq(f.cpu->fpu.fip | f.cpu->fpu.fdp | f.cpu->fpu.fop, 0);

        cr_assert(run_format(&formats[i], 0xdd, 4)); /* frstor */
        cr_assert_eq(f.cpu->fpu.fcw, before.fcw);
        cr_assert_eq(f.cpu->fpu.fsw, before.fsw);
        cr_assert_eq(f.cpu->fpu.ftw, before.ftw);
        cr_assert_arr_eq(f.cpu->fpu.st, before.st, sizeof(before.st));
    }
}

/* The 32-bit protected format is also the one of 64-bit mode: control, status, tag words and registers. */
Test(x87, state_images_match_the_host)
{
    struct random random = {.state = 7};

    for (unsigned i = 0; i < 2000; i++) {
        uint8_t image[108];
        random_state(&random, &f.cpu->fpu, true);
        struct fxsave before = f.cpu->fpu;
        __asm__ volatile("fxrstor %1\n\tfnsave %0\n\tldmxcsr %2"
                         : "=m"(image)
                         : "m"(before), "m"((uint32_t){MXCSR_INIT})
                         : "memory");
        cr_assert(run_format(&formats[0], 0xdd, 6));
        cr_assert_arr_eq(guest_data(&f, GUEST_DATA), image, 12);
        cr_assert_arr_eq(guest_data(&f, GUEST_DATA) + 28, image + 28, 80);
    }
}

/* ---- instruction and data pointers ---- */

Test(x87, pointers_follow_the_last_instruction_that_is_not_control)
{
    struct fxsave *fpu = &f.cpu->fpu;

    EXPECT_DONE(&f, 0xd9, 0x05, 0x00, 0x20, 0x00, 0x00); /* fld dword [2000h] */
    cr_assert_eq(fpu->fip, GUEST_CODE);
    cr_assert_eq(fpu->fcs, 8 * (SEG_CS + 1));
    cr_assert_eq(fpu->fop, 0x105);
    cr_assert_eq(fpu->fdp, GUEST_DATA);
    cr_assert_eq(fpu->fds, 8 * (SEG_DS + 1));
    fpu->fip = 0x77;
    EXPECT_DONE(&f, 0xdb, 0xe2);                         /* fnclex */
    EXPECT_DONE(&f, 0xd9, 0x2d, 0x00, 0x20, 0x00, 0x00); /* fldcw [2000h] */
    EXPECT_DONE(&f, 0xdf, 0xe0);                         /* fnstsw ax */
    EXPECT_DONE(&f, 0x9b);
    cr_assert_eq(fpu->fip, 0x77);
    EXPECT_DONE(&f, 0xd9, 0xe0); /* fchs: no memory operand, FDP stays */
    cr_assert_eq(fpu->fip, GUEST_CODE);
    cr_assert_eq(fpu->fop, 0x1e0);
    cr_assert_eq(fpu->fdp, GUEST_DATA);
    f.cpu->gpr[RBP] = GUEST_DATA + 8;
    EXPECT_DONE(&f, 0xdd, 0x55, 0x08); /* fst qword [ebp + 8]: stack segment */
    cr_assert_eq(fpu->fdp, GUEST_DATA + 16);
    cr_assert_eq(fpu->fds, 8 * (SEG_SS + 1));
}

/* ---- who faults first ---- */

Test(x87, em_and_ts_make_the_device_not_available)
{
    static const uint32_t bits[] = {CR0_EM, CR0_TS};

    for (unsigned i = 0; i < 2; i++) {
        f.cpu->cr0 |= bits[i];
        f.cpu->fpu.fsw |= FSW_IE; /* pending, but #NM comes first */
        f.cpu->fpu.fcw &= (uint16_t)~FSW_IE;
        EXPECT_FAULT(&f, EXC_NM, 0xd9, 0xe8);       /* fld1 */
        EXPECT_FAULT(&f, EXC_NM, 0xd9, 0x06);       /* fld dword [esi] */
        EXPECT_FAULT(&f, EXC_NM, 0xdb, 0xe3);       /* fninit */
        EXPECT_FAULT(&f, EXC_NM, 0xdb, 0xe0);       /* fneni */
        EXPECT_FAULT(&f, EXC_NM, 0xdf, 0xe0);       /* fnstsw ax */
        EXPECT_FAULT(&f, EXC_NM, 0xd9, 0x36);       /* fnstenv */
        EXPECT_FAULT(&f, EXC_NM, 0x0f, 0xae, 0x06); /* fxsave */
        f.cpu->cr0 &= ~(uint64_t)bits[i];
    }
}

Test(x87, wait_needs_mp_and_ts_for_device_not_available)
{
    f.cpu->cr0 &= ~CR0_MP;
    f.cpu->cr0 |= CR0_TS | CR0_EM;
    EXPECT_DONE(&f, 0x9b);
    f.cpu->cr0 |= CR0_MP;
    EXPECT_FAULT(&f, EXC_NM, 0x9b);
    f.cpu->cr0 &= ~CR0_TS;
    EXPECT_DONE(&f, 0x9b);
}

/* 1 / 0 with ZM clear. */
static void divide_by_zero_unmasked(void)
{
    EXPECT_DONE(&f, 0xdb, 0xe3); /* fninit */
    store_le16(guest_data(&f, GUEST_DATA), 0x37b);
    EXPECT_DONE(&f, 0xd9, 0x2d, 0x00, 0x20, 0x00, 0x00); /* fldcw [2000h] */
    EXPECT_DONE(&f, 0xd9, 0xe8);                         /* fld1 */
    EXPECT_DONE(&f, 0xd9, 0xee);                         /* fldz */
    EXPECT_DONE(&f, 0xde, 0xf9);                         /* fdivp: the error stays pending */
    cr_assert_eq(f.cpu->fpu.fsw & (FSW_ES | FSW_B | FSW_ZE), FSW_ES | FSW_B | FSW_ZE);
}

Test(x87, error_is_reported_by_the_next_waiting_instruction)
{
    divide_by_zero_unmasked();
    struct fxsave before = f.cpu->fpu;
    EXPECT_FAULT(&f, EXC_MF, 0x9b);
    EXPECT_FAULT(&f, EXC_MF, 0xd9, 0xe8);                /* fld1 */
    EXPECT_FAULT(&f, EXC_MF, 0xd9, 0x05, 0, 0, 0, 0xff); /* fld dword of absent memory: not looked at */
    EXPECT_FAULT(&f, EXC_MF, 0xd9, 0x2d, 0x00, 0x20, 0x00, 0x00); /* fldcw */
    EXPECT_FAULT(&f, EXC_MF, 0xd9, 0x25, 0x00, 0x20, 0x00, 0x00); /* fldenv */
    EXPECT_FAULT(&f, EXC_MF, 0xdd, 0x25, 0x00, 0x20, 0x00, 0x00); /* frstor */
    EXPECT_FAULT(&f, EXC_MF, 0x0f, 0x77);                         /* emms */
    EXPECT_FAULT(&f, EXC_MF, 0x0f, 0xfc, 0xc1);                   /* paddb mm0, mm1 */
    EXPECT_FAULT(&f, EXC_MF, 0x0f, 0x2a, 0xc1);                   /* cvtpi2ps xmm0, mm1 */
    cr_assert_arr_eq(&f.cpu->fpu, &before, sizeof(before));
    EXPECT_DONE(&f, 0x0f, 0x58, 0xc1);                   /* addps: not its business */
    EXPECT_DONE(&f, 0x0f, 0xae, 0x05, 0x00, 0x21, 0, 0); /* fxsave */
    EXPECT_DONE(&f, 0xdf, 0xe0);                         /* fnstsw ax */
    cr_assert_eq(f.cpu->gpr[RAX] & 0xffff, before.fsw);
    EXPECT_DONE(&f, 0xd9, 0x3d, 0x00, 0x20, 0x00, 0x00); /* fnstcw */
    EXPECT_DONE(&f, 0xdd, 0x3d, 0x00, 0x20, 0x00, 0x00); /* fnstsw [2000h] */
    cr_assert_eq(load_le16(guest_data(&f, GUEST_DATA)), before.fsw);
    EXPECT_DONE(&f, 0xdb, 0xe2); /* fnclex */
    cr_assert_eq(f.cpu->fpu.fsw & 0x80ff, 0);
    EXPECT_DONE(&f, 0x9b);
}

Test(x87, fldcw_may_make_an_error_pending_and_fnstenv_masks_it)
{
    f.cpu->fpu.fsw |= FSW_PE;
    store_le16(guest_data(&f, GUEST_DATA), 0x35f);
    EXPECT_DONE(&f, 0xd9, 0x2d, 0x00, 0x20, 0x00, 0x00); /* fldcw: PM clear */
    cr_assert_eq(f.cpu->fpu.fsw & (FSW_ES | FSW_B), FSW_ES | FSW_B);
    EXPECT_FAULT(&f, EXC_MF, 0x9b);
    EXPECT_DONE(&f, 0xd9, 0x35, 0x00, 0x20, 0x00, 0x00); /* fnstenv */
    cr_assert_eq(load_le16(guest_data(&f, GUEST_DATA) + 4) & FSW_ES, FSW_ES);
    cr_assert_eq(f.cpu->fpu.fsw & (FSW_ES | FSW_B | FSW_PE), FSW_PE);
    EXPECT_DONE(&f, 0x9b);
}

Test(x87, without_ne_the_error_asserts_ferr_and_freezes_the_next_instruction)
{
    f.cpu->cr0 &= ~CR0_NE;
    divide_by_zero_unmasked();
    cr_assert(f.ferr);
    cr_assert_eq(f.ferr_changes, 1);
    EXPECT_DONE(&f, 0xdf, 0xe0); /* fnstsw ax does not wait */
    cr_assert_not(f.cpu->halted);

    struct fxsave before = f.cpu->fpu;
    EXPECT_DONE(&f, 0xd9, 0xe8); /* fld1 */
    cr_assert(f.cpu->halted);
    cr_assert_eq(f.cpu->next_rip, GUEST_CODE);
    cr_assert_arr_eq(&f.cpu->fpu, &before, sizeof(before));

    f.cpu->halted = false; /* IRQ 13 came; its handler writes port F0h */
    vcpu_clear_ferr(f.cpu);
    cr_assert_not(f.ferr);
    EXPECT_DONE(&f, 0xd9, 0xe8); /* IGNNE#: runs although ZE is pending */
    cr_assert_not(f.cpu->halted);
    cr_assert_eq(fpu_top(&f.cpu->fpu), 5); /* the division popped nothing */
    cr_assert_eq(f.cpu->fpu.fsw & (FSW_ES | FSW_ZE), FSW_ES | FSW_ZE);
    cr_assert_eq(f.ferr_changes, 2);

    EXPECT_DONE(&f, 0xdb, 0xe2); /* fnclex ends it; the next error asserts FERR# again */
    divide_by_zero_unmasked();
    cr_assert(f.ferr);
    cr_assert_eq(f.ferr_changes, 3);
}

static uint8_t acknowledge_irq13(void *board)
{
    (void)board;
    vcpu_set_intr(f.cpu, false);
    return 0x75;
}

/* The whole story in the dispatch loop: freeze, IRQ 13, a handler that clears the error, the instruction
 * again. */
Test(x87, interrupt_ends_the_freeze_before_the_waiting_instruction)
{
    static const uint8_t code[] = {
        0xdb, 0xe3,             /* fninit */
        0xd9, 0x2e, 0x00, 0x20, /* fldcw [2000h]: ZM clear */
        0xd9, 0xe8,             /* fld1 */
        0xd9, 0xee,             /* fldz */
        0xde, 0xf9,             /* fdivp */
        0x40,                   /* inc ax */
        0xd9, 0xe8,             /* fld1: waits */
        0x40,                   /* inc ax */
        0xf4,                   /* hlt */
    };
    static const uint8_t handler[] = {0xdb, 0xe2, 0x43, 0xcf}; /* fnclex; inc bx; iret */
    const uint16_t waiting = GUEST_CODE + 13;

    enter_real_mode(f.cpu);
    f.cpu->cr0 &= ~CR0_NE;
    f.cpu->wiring.interrupt_acknowledge = acknowledge_irq13;
    f.cpu->rip = GUEST_CODE;
    f.cpu->gpr[RSP] = 0x4000;
    f.cpu->gpr[RAX] = f.cpu->gpr[RBX] = 0;
    f.cpu->rflags |= RFLAGS_IF;
    vcpu_sync(f.cpu);
    store_le16(guest_data(&f, GUEST_DATA), 0x37b);
    store_le32(guest_data(&f, 4 * 0x75), 0x3000); /* 0000:3000 */
    memcpy(guest_data(&f, GUEST_CODE), code, sizeof(code));
    memcpy(guest_data(&f, 0x3000), handler, sizeof(handler));

    cr_assert_eq(interp_run(f.cpu, 100), VCPU_EXIT_HALT);
    cr_assert(f.ferr);
    cr_assert_eq(f.cpu->rip, waiting);
    cr_assert_eq(f.cpu->gpr[RAX], 1);
    cr_assert_eq(interp_run(f.cpu, 100), VCPU_EXIT_HALT, "still frozen");
    cr_assert_eq(f.cpu->rip, waiting);

    vcpu_set_intr(f.cpu, true);
    cr_assert_eq(interp_run(f.cpu, 100), VCPU_EXIT_HALT);
    cr_assert_eq(f.cpu->rip, GUEST_CODE + sizeof(code));
    cr_assert_eq(f.cpu->gpr[RAX], 2);
    cr_assert_eq(f.cpu->gpr[RBX], 1);
    cr_assert_eq(fpu_top(&f.cpu->fpu), 5);
    cr_assert_eq(f.cpu->fpu.fsw & FSW_ES, 0);
}

Test(x87, without_an_fpu_instructions_do_nothing)
{
    f.cpu->features &= ~CPU_FEATURE_FPU;
    f.cpu->gpr[RAX] = 0x5a5a;
    struct fxsave before = f.cpu->fpu;
    EXPECT_DONE(&f, 0xdb, 0xe3); /* fninit */
    EXPECT_DONE(&f, 0xdf, 0xe0); /* fnstsw ax */
    EXPECT_DONE(&f, 0xd9, 0xe8); /* fld1 */
    memset(guest_data(&f, GUEST_DATA), 0xa5, 128);
    EXPECT_DONE(&f, 0xd9, 0x3d, 0x00, 0x20, 0x00, 0x00); /* fnstcw */
    EXPECT_DONE(&f, 0xdd, 0x35, 0x00, 0x20, 0x00, 0x00); /* fnsave */
    cr_assert_eq(guest_data(&f, GUEST_DATA)[0], 0xa5);
    cr_assert_eq(f.cpu->gpr[RAX], 0x5a5a);
    cr_assert_arr_eq(&f.cpu->fpu, &before, sizeof(before));
    f.cpu->cr0 |= CR0_EM;
    EXPECT_FAULT(&f, EXC_NM, 0xdb, 0xe3);
}

/* ---- faults of memory ---- */

Test(x87, memory_fault_changes_no_state)
{
    EXPECT_DONE(&f, 0xd9, 0xe8); /* fld1 */
    struct fxsave before = f.cpu->fpu;
    f.cpu->seg[SEG_DS].limit = GUEST_DATA + 6;
    vcpu_sync(f.cpu);
    memset(guest_data(&f, GUEST_DATA), 0xa5, 16);
    EXPECT_FAULT(&f, EXC_GP, 0xdd, 0x1d, 0x00, 0x20, 0x00, 0x00); /* fstp qword [2000h] */
    EXPECT_FAULT(&f, EXC_GP, 0xdb, 0x3d, 0x00, 0x20, 0x00, 0x00); /* fstp tbyte */
    EXPECT_FAULT(&f, EXC_GP, 0xdd, 0x05, 0x00, 0x20, 0x00, 0x00); /* fld qword */
    EXPECT_FAULT(&f, EXC_GP, 0xd9, 0x35, 0x00, 0x20, 0x00, 0x00); /* fnstenv */
    EXPECT_FAULT(&f, EXC_GP, 0xdd, 0x35, 0x00, 0x20, 0x00, 0x00); /* fnsave */
    cr_assert_arr_eq(&f.cpu->fpu, &before, sizeof(before));
    for (unsigned i = 0; i < 16; i++) {
        cr_assert_eq(guest_data(&f, GUEST_DATA)[i], 0xa5);
    }
    EXPECT_DONE(&f, 0xd9, 0x1d, 0x00, 0x20, 0x00, 0x00); /* fstp dword: within the limit */
    cr_assert_eq(load_le32(guest_data(&f, GUEST_DATA)), 0x3f800000);

    f.cpu->seg[SEG_SS].limit = 0xfff;
    vcpu_sync(f.cpu);
    f.cpu->gpr[RBP] = GUEST_DATA;
    EXPECT_FAULT(&f, EXC_SS, 0xd9, 0x45, 0x00); /* fld dword [ebp] */
}

/* Bytes that each memory format occupies: the last one may lie on the limit, not beyond it. */
Test(x87, memory_operands_have_their_size)
{
    static const struct {
        uint8_t opcode, reg, size;
    } operand[] = {
        {0xd8, 0, 4},   {0xd9, 0, 4},  {0xd9, 2, 4}, {0xd9, 5, 2},   {0xd9, 7, 2}, {0xd9, 4, 28},
        {0xd9, 6, 28},  {0xda, 0, 4},  {0xdb, 0, 4}, {0xdb, 1, 4},   {0xdb, 2, 4}, {0xdb, 5, 10},
        {0xdb, 7, 10},  {0xdc, 0, 8},  {0xdd, 0, 8}, {0xdd, 1, 8},   {0xdd, 3, 8}, {0xdd, 7, 2},
        {0xdd, 6, 108}, {0xde, 0, 2},  {0xdf, 0, 2}, {0xdf, 1, 2},   {0xdf, 2, 2}, {0xdf, 4, 10},
        {0xdf, 5, 8},   {0xdf, 6, 10}, {0xdf, 7, 8}, {0xdd, 4, 108},
    };

    for (unsigned i = 0; i < ARRAY_LEN(operand); i++) {
        const uint8_t bytes[] = {operand[i].opcode, (uint8_t)(operand[i].reg << 3 | 6)}; /* [esi] */
        f.cpu->gpr[RSI] = GUEST_DATA;
        memset(guest_data(&f, GUEST_DATA), 0, 128);
        guest_data(&f, GUEST_DATA)[0] =
            0x7f;                    /* a control word that masks everything, for those that load one */
        EXPECT_DONE(&f, 0xdb, 0xe3); /* fninit */
        f.cpu->seg[SEG_DS].limit = GUEST_DATA + operand[i].size - 2u;
        vcpu_sync(f.cpu);
        cr_assert_not(run_bytes(&f, bytes, 2), "%02x /%u", operand[i].opcode, operand[i].reg);
        cr_assert_eq(f.cpu->exception.vector, EXC_GP);
        f.cpu->seg[SEG_DS].limit++;
        vcpu_sync(f.cpu);
        cr_assert(run_bytes(&f, bytes, 2), "%02x /%u", operand[i].opcode, operand[i].reg);
    }
}

/* ---- states no program should make, and models ---- */

/* Whatever bits a state has, instructions end with #MF or normally, and the host is not disturbed. */
Test(x87, hostile_states_never_reach_the_host)
{
    struct random random = {.state = 8};

    for (unsigned i = 0; i < 200000; i++) {
        const struct opcode *row = &opcode_table[random_next(&random) % opcode_count];
        if (!(row->flags & (OPF_FPU | OPF_MMX | OPF_SSE))) {
            continue;
        }
        struct fxsave *fpu = &f.cpu->fpu;
        for (unsigned j = 0; j < sizeof(*fpu); j += 8) {
            store_le64((uint8_t *)fpu + j, random_next(&random));
        }
        f.cpu->cr0 = (f.cpu->cr0 & ~CR0_NE) | (random_next(&random) & CR0_NE);
        f.cpu->ferr = random_next(&random) & 1;
        f.cpu->gpr[RSI] = f.cpu->gpr[RDI] = GUEST_DATA;
        uint64_t r = random_next(&random);
        bool memory = row->mod == 0 || (row->mod < 0 && (r & 1) && opcode_has_modrm(row));
        uint8_t bytes[15];
        unsigned length = row_encode(row, memory, r >> 8 & 7, 0, (uint8_t)(r >> 16), bytes);
        if (!run_bytes(&f, bytes, length)) {
            uint8_t vector = f.cpu->exception.vector;
            cr_assert(vector == EXC_MF || vector == EXC_XM || vector == EXC_GP, "%s: %u", row->mnemonic,
                      vector);
        }
        f.cpu->halted = false;
    }
    __asm__ volatile("fwait");
    uint32_t mxcsr;
    uint16_t fcw;
    __asm__ volatile("stmxcsr %0\n\tfnstcw %1" : "=m"(mxcsr), "=m"(fcw));
    cr_assert_eq(mxcsr & ~MXCSR_FLAGS, MXCSR_INIT);
    cr_assert_eq(fcw, FCW_INIT);
}

Test(x87, later_instructions_depend_on_the_model)
{
    EXPECT_DONE(&f, 0xda, 0xc1);                         /* fcmovb */
    EXPECT_DONE(&f, 0xdb, 0xf1);                         /* fcomi */
    EXPECT_DONE(&f, 0xdd, 0x0d, 0x00, 0x20, 0x00, 0x00); /* fisttp qword */
    f.cpu->features &= ~(CPU_FEATURE_CMOV | CPU_FEATURE_SSE3);
    EXPECT_FAULT(&f, EXC_UD, 0xda, 0xc1);
    EXPECT_FAULT(&f, EXC_UD, 0xdb, 0xf1);
    EXPECT_FAULT(&f, EXC_UD, 0xdd, 0x0e);
    EXPECT_FAULT(&f, EXC_UD, 0xd9, 0xd1);       /* reserved */
    EXPECT_FAULT(&f, EXC_UD, 0xf0, 0xd9, 0xe8); /* lock fld1 */
}
