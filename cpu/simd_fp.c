/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The flags of unmasked SIMD floating-point exceptions; cpu/simd_fp.h has the rules.
 */
#include "cpu/simd_fp.h"

#include <float.h>

#include "cpu/fpu.h"

#define FLAGS_BEFORE (FSW_IE | FSW_DE | FSW_ZE)

static uint32_t unmasked(uint32_t mxcsr)
{
    return ~(mxcsr >> MXCSR_MASK_SHIFT) & (uint32_t)MXCSR_FLAGS;
}

uint32_t simd_fp_mxcsr(uint32_t guest_mxcsr)
{
    uint32_t control = guest_mxcsr & (uint32_t)(MXCSR_RC | MXCSR_DAZ | MXCSR_FZ);

    if (unmasked(guest_mxcsr) & FSW_UE) {
        control &= ~(uint32_t)MXCSR_FZ;
    }
    return control | (uint32_t)MXCSR_MASKS;
}

/* One element of the computation: x op y, rounded to the precision of the result. */
enum element_op { OP_NONE, OP_ADD, OP_SUB, OP_MUL, OP_DIV, OP_CONVERT };

struct element {
    enum element_op op;
    bool is_double; /* the result */
    long double x, y;
};

/* Exact, but that DAZ makes a denormal zero. */
static long double widen(const uint8_t *bytes, unsigned index, bool is_double, bool daz)
{
    if (is_double) {
        double d;
        memcpy(&d, bytes + 8 * index, sizeof(d));
        return daz && __builtin_fabs(d) < DBL_MIN ? 0 : d;
    }
    float f;
    memcpy(&f, bytes + 4 * index, sizeof(f));
    return daz && __builtin_fabsf(f) < FLT_MIN ? 0 : f;
}

/*
 * Compute with the x87 control word: the result and FSW. The host's x87 unit has all exceptions masked; DAZ
 * and FZ are not known to it.
 */
static uint16_t compute(const struct element *element, uint16_t fcw, long double *result)
{
    uint16_t host_fcw, fsw;
    long double r = element->x;

    __asm__ volatile("fnstcw %0\n\tfnclex\n\tfldcw %1" : "=m"(host_fcw) : "m"(fcw));
    switch (element->op) {
    case OP_ADD:
        __asm__ volatile("fadd %%st(1), %%st" : "+t"(r) : "u"(element->y));
        break;
    case OP_SUB:
        __asm__ volatile("fsub %%st(1), %%st" : "+t"(r) : "u"(element->y));
        break;
    case OP_DIV:
        __asm__ volatile("fdiv %%st(1), %%st" : "+t"(r) : "u"(element->y));
        break;
    default: /* a conversion is a multiplication by 1 */
        __asm__ volatile("fmul %%st(1), %%st" : "+t"(r) : "u"(element->y));
        break;
    }
    __asm__ volatile("fnstsw %0\n\tfnclex\n\tfldcw %1" : "=m"(fsw) : "m"(host_fcw));
    *result = r;
    return fsw;
}

static bool is_finite(long double x)
{
    return __builtin_fabsl(x) <= LDBL_MAX;
}

/* Is the exact value x, in range, representable in the format? */
static bool fits(long double x, bool is_double)
{
    return is_double ? (long double)(double)x == x : (long double)(float)x == x;
}

/* O, U and P of one element whose I, D and Z are known and masked. */
static uint32_t element_flags(const struct element *element, uint32_t mxcsr)
{
    uint16_t fcw = (uint16_t)(FSW_EXCEPTIONS | FCW_FIXED1 | (element->is_double ? 0x200 : 0) |
                              bits_get(mxcsr, 14, 13) << 10);
    long double most = element->is_double ? (long double)DBL_MAX : FLT_MAX;
    long double least = element->is_double ? (long double)DBL_MIN : FLT_MIN;
    long double result;

    if (element->op == OP_NONE || !is_finite(element->x) || !is_finite(element->y) ||
        (element->op == OP_DIV && element->y == 0)) {
        return 0;
    }
    uint32_t inexact = compute(element, fcw, &result) & FSW_PE;
    long double size = __builtin_fabsl(result);
    if (size > most) {
        return FSW_OE | (unmasked(mxcsr) & FSW_OE ? inexact : FSW_PE);
    }
    if (size != 0 && size < least) {
        if (unmasked(mxcsr) & FSW_UE) {
            return FSW_UE | inexact;
        }
        bool exact = !inexact && fits(result, element->is_double);
        return exact && !(mxcsr & MXCSR_FZ) ? 0 : FSW_UE | FSW_PE;
    }
    return inexact;
}

static enum element_op row_op(uint8_t byte, unsigned index)
{
    switch (byte) {
    case 0x58:
    case 0x7c: /* HADD */
        return OP_ADD;
    case 0x59:
        return OP_MUL;
    case 0x5a:
        return OP_CONVERT;
    case 0x5c:
    case 0x7d: /* HSUB */
        return OP_SUB;
    case 0x5e:
        return OP_DIV;
    case 0xd0: /* ADDSUB */
        return index & 1 ? OP_ADD : OP_SUB;
    default:
        return OP_NONE;
    }
}

/* Element formats by mandatory prefix: 66 and F2 double, none and F3 single; F2 of the SSE3 rows is packed
 * single. */
static void row_format(const struct opcode *row, bool *is_double, unsigned *count)
{
    bool sse3 = row->byte == 0x7c || row->byte == 0x7d || row->byte == 0xd0;

    *is_double = row->prefix == 0x66 || (row->prefix == 0xf2 && !sse3);
    if (row->prefix == OPP_NP || row->prefix == 0x66 || sse3) {
        *count = *is_double ? 2 : 4;
    } else {
        *count = 1;
    }
}

/* Element `index` of the computation that the row does. */
static struct element row_element(const struct opcode *row, unsigned index, const uint8_t *reg,
                                  const uint8_t *rm, bool daz)
{
    struct element element = {.op = row_op(row->byte, index)};
    bool is_double;
    unsigned count;

    row_format(row, &is_double, &count);
    element.is_double = is_double;
    if (element.op == OP_CONVERT) {
        if (!is_double) {
            element.op = OP_NONE; /* single to double is exact */
        }
        element.is_double = false;
        element.x = widen(rm, index, is_double, daz);
        element.y = 1;
    } else if (row->byte == 0x7c || row->byte == 0x7d) {
        const uint8_t *source = index < count / 2 ? reg : rm;
        unsigned first = 2 * (index % (count / 2));
        element.x = widen(source, first, is_double, daz);
        element.y = widen(source, first + 1, is_double, daz);
    } else {
        element.x = widen(reg, index, is_double, daz);
        element.y = widen(rm, index, is_double, daz);
    }
    return element;
}

uint32_t simd_fp_flags(const struct opcode *row, uint32_t guest_mxcsr, uint32_t raised, const uint8_t *reg,
                       const uint8_t *rm)
{
    uint32_t before = raised & FLAGS_BEFORE;
    bool is_double;
    unsigned count;

    if (before & unmasked(guest_mxcsr)) {
        return before;
    }
    if (!(unmasked(guest_mxcsr) & (FSW_OE | FSW_UE)) || row_op(row->byte, 0) == OP_NONE) {
        return raised;
    }
    row_format(row, &is_double, &count);
    uint32_t flags = before;
    for (unsigned i = 0; i < count; i++) {
        struct element element = row_element(row, i, reg, rm, guest_mxcsr & MXCSR_DAZ);
        flags |= element_flags(&element, guest_mxcsr);
    }
    return flags;
}
