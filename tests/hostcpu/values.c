/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Random values with a bias to where arithmetic turns: integers, selectors, floating-point numbers of all formats,
 * whole FPU states. A pure function of the generator's state, so that a seed names a run.
 */
#include "hostcmp.h"

#include "cpu/fpu.h"

/* splitmix64: a counter and a mixing function. */
uint64_t rng_next(struct rng *rng)
{
    uint64_t z = rng->state += 0x9e3779b97f4a7c15;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

uint32_t rng_below(struct rng *rng, uint32_t n)
{
    return (uint32_t)((rng_next(rng) >> 32) * n >> 32);
}

bool rng_once_in(struct rng *rng, uint32_t n)
{
    return rng_below(rng, n) == 0;
}

uint32_t value_integer(struct rng *rng)
{
    static const uint32_t corner[] = {
        0,      1,      2,       0xff,       0x7f,       0x80,       0x81,       0x8000,     0x7fff,
        0xffff, 0xfffe, 0x10000, 0x80000000, 0x7fffffff, 0xffffffff, 0xfffffffe, 0xffff8000, 0xffffff80,
    };
    uint32_t random = (uint32_t)rng_next(rng);

    switch (rng_below(rng, 6)) {
    case 0:
    case 1:
        return corner[rng_below(rng, ARRAY_LEN(corner))];
    case 2:
        return rng_below(rng, 70);
    case 3:
        return random >> rng_below(rng, 32);
    case 4:
        return WINDOW_BASE + (random & 0xffff);
    default:
        return random;
    }
}

uint16_t value_selector(struct rng *rng, bool have_ldt, bool for_code)
{
    static const uint16_t plain[] = {0,    3,   SEL_USER32_CS, SEL_USER_DS, SEL_USER_DS, SEL_KERNEL_DS,
                                     0x22, 0x29};
    static const uint16_t ldt[] = {SEL_LDT_DATA,  SEL_LDT_CODE16, SEL_LDT_STACK16, SEL_LDT_DOWN, SEL_LDT_RO,
                                   SEL_LDT_SHORT, SEL_LDT_ABSENT, SEL_LDT_XO,      0x06,         0x47};
    static const uint16_t code[] = {SEL_USER32_CS, SEL_USER32_CS, SEL_USER_DS, SEL_KERNEL_DS, 0, 0x20, 0x22};
    static const uint16_t code_ldt[] = {SEL_LDT_CODE16, SEL_LDT_XO, SEL_LDT_DATA, SEL_LDT_ABSENT};

    if (rng_once_in(rng, 16)) {
        return (uint16_t)(rng_next(rng) | 0xff00);
    }
    if (have_ldt && rng_once_in(rng, 2)) {
        return for_code ? code_ldt[rng_below(rng, ARRAY_LEN(code_ldt))] : ldt[rng_below(rng, ARRAY_LEN(ldt))];
    }
    return for_code ? code[rng_below(rng, ARRAY_LEN(code))] : plain[rng_below(rng, ARRAY_LEN(plain))];
}

/* ---- floating point ---- */

/* A number with `exponent_bits` and `fraction_bits`; the classes that arithmetic tells apart. */
static uint64_t value_float(struct rng *rng, unsigned exponent_bits, unsigned fraction_bits)
{
    uint64_t max = BIT(exponent_bits) - 1, bias = max >> 1;
    uint64_t fraction = rng_next(rng) & (BIT(fraction_bits) - 1), exponent;

    if (rng_once_in(rng, 3)) {
        fraction &= ~(uint64_t)0 << rng_below(rng, fraction_bits); /* few bits: exact results */
    }
    switch (rng_below(rng, 12)) {
    case 0: /* zero */
        exponent = fraction = 0;
        break;
    case 1: /* infinity */
        exponent = max;
        fraction = 0;
        break;
    case 2: /* NaN, quiet or signalling */
        exponent = max;
        break;
    case 3: /* denormal */
        exponent = 0;
        break;
    case 4: /* smallest and largest normal */
        exponent = rng_once_in(rng, 2) ? 1 : max - 1;
        break;
    case 5: /* an integer or one and a bit */
        exponent = bias + rng_below(rng, 4);
        fraction &= ~(uint64_t)0 << (fraction_bits - 3);
        break;
    case 6:
        exponent = rng_below(rng, (uint32_t)max);
        break;
    default: /* numbers that meet each other */
        exponent = bias - 20 + rng_below(rng, 90);
        if (exponent_bits == 8) {
            exponent = bias - 10 + rng_below(rng, 46);
        }
        break;
    }
    return (rng_next(rng) & 1) << (exponent_bits + fraction_bits) | exponent << fraction_bits | fraction;
}

/* Extended precision: as above, with the integer bit made wrong now and then (unsupported formats). */
static void fill_extended(struct rng *rng, uint8_t bytes[10])
{
    uint64_t number = value_float(rng, 11, 52);
    uint64_t exponent = number >> 52 & 0x7ff;
    uint64_t fraction = number << 11 & (BIT(63) - 1);
    uint16_t sign = (uint16_t)(number >> 63 << 15), exponent80;

    if (exponent == 0x7ff || exponent == 0) {
        exponent80 = exponent ? 0x7fff : 0;
    } else if (exponent < 4 || exponent > 0x7fb) {
        exponent80 = exponent < 4 ? (uint16_t)exponent : (uint16_t)(exponent + 0x7800);
    } else {
        exponent80 = (uint16_t)(exponent - 1023 + 16383);
    }
    if (rng_once_in(rng, 4)) {
        fraction |= rng_next(rng) & 0x7ff;
    }
    bool integer = rng_once_in(rng, 24) ? rng_once_in(rng, 2) : exponent80 != 0;
    store_le64(bytes, fraction | (uint64_t)integer << 63);
    store_le16(bytes + 8, sign | exponent80);
}

static void fill_bcd(struct rng *rng, uint8_t bytes[10])
{
    for (unsigned i = 0; i < 9; i++) {
        bytes[i] = (uint8_t)(rng_below(rng, 10) << 4 | rng_below(rng, 10));
    }
    bytes[9] = rng_once_in(rng, 2) ? 0x80 : 0;
}

static void fill_integers(struct rng *rng, uint8_t *bytes, unsigned size, unsigned unit)
{
    for (unsigned at = 0; at + unit <= size; at += unit) {
        uint64_t value = value_integer(rng) | (uint64_t)value_integer(rng) << 32;
        memcpy(bytes + at, &value, unit);
    }
}

void value_fill(struct rng *rng, uint8_t *bytes, unsigned size, char format)
{
    unsigned at;

    switch (format) {
    case 's': /* singles */
        for (at = 0; at + 4 <= size; at += 4) {
            store_le32(bytes + at, (uint32_t)value_float(rng, 8, 23));
        }
        break;
    case 'd': /* doubles */
        for (at = 0; at + 8 <= size; at += 8) {
            store_le64(bytes + at, value_float(rng, 11, 52));
        }
        break;
    case 't':
        if (size >= 10) {
            fill_extended(rng, bytes);
        }
        break;
    case 'B':
        if (size >= 10) {
            fill_bcd(rng, bytes);
        }
        break;
    case 'b':
        fill_integers(rng, bytes, size, 1);
        break;
    case 'w':
        fill_integers(rng, bytes, size, 2);
        break;
    default:
        fill_integers(rng, bytes, size, 4);
        break;
    }
}

static void fill_xmm(struct rng *rng, uint8_t bytes[16])
{
    static const char formats[] = "sssdddbwiii";

    value_fill(rng, bytes, 16, formats[rng_below(rng, sizeof(formats) - 1)]);
}

static uint16_t value_fcw(struct rng *rng)
{
    static const uint16_t precision[] = {0, 2, 3, 3};
    uint16_t masks = rng_once_in(rng, 3) ? (uint16_t)rng_below(rng, 64) : 0x3f;

    return (uint16_t)(FCW_FIXED1 | masks | precision[rng_below(rng, 4)] << 8 | rng_below(rng, 4) << 10);
}

void value_fpu(struct rng *rng, struct fxsave *fpu)
{
    *fpu = (struct fxsave){.fcw = value_fcw(rng), .ftw = 0xff};
    fpu->fsw = (uint16_t)(rng_next(rng) & (FSW_TOP | BIT(14) | BIT(10) | BIT(9) | BIT(8)));
    if (rng_once_in(rng, 4)) {
        fpu->fsw |= (uint16_t)rng_below(rng, 128);
    }
    if (!rng_once_in(rng, 8)) {
        fpu->fsw &= (uint16_t)(fpu->fcw | ~(uint16_t)FSW_EXCEPTIONS);
    }
    if (fpu->fsw & ~fpu->fcw & FSW_EXCEPTIONS) {
        fpu->fsw |= FSW_ES | FSW_B;
    }
    if (rng_once_in(rng, 3)) {
        fpu->ftw = (uint8_t)rng_next(rng);
    }
    fpu->mxcsr = rng_once_in(rng, 3) ? (uint32_t)rng_next(rng) & 0xffff : (uint32_t)MXCSR_INIT;
    if (rng_once_in(rng, 2)) {
        fpu->mxcsr |= MXCSR_MASKS;
    }
    for (unsigned i = 0; i < 8; i++) {
        fill_extended(rng, fpu->st[i]);
        if (rng_once_in(rng, 4)) { /* an MMX value, or what random bits make */
            fill_integers(rng, fpu->st[i], 8, 4);
            store_le16(fpu->st[i] + 8, 0xffff);
        }
        fill_xmm(rng, fpu->xmm[i]);
    }
}
