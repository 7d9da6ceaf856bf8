/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Arithmetic on the host's own ALU.
 *
 * Each function executes the instruction it is named after on the host and takes result and flags from it, so that
 * the interpreter's flags, undefined ones included, are those that translated code gets from the same host.
 *
 * Flags travel in AX the way LAHF and SETO make them, because that is much cheaper than PUSHF and POPF:
 *
 *   AH: SF ZF 0 AF 0 PF 1 CF (RFLAGS bits 7-0)    AL: OF
 *
 * and back by ADD AL,7Fh (overflows exactly when AL is 1) and SAHF. Functions whose instruction leaves some flags
 * alone, or undefined, load the guest's flags first; plain arithmetic and logic define or clear all six and need not.
 *
 * SDM: Volume 1, Appendix "EFLAGS Cross-Reference". Not here: the decimal adjustments, which 64-bit hosts lack.
 */
#ifndef CPU_HOSTALU_H
#define CPU_HOSTALU_H

#include "cpu/vcpu.h"

static inline uint32_t host_flags_image(uint64_t rflags)
{
    return ((uint32_t)rflags & 0xff) << 8 | ((uint32_t)(rflags >> 11) & 1);
}

static inline void host_flags_take(uint64_t *rflags, uint32_t image)
{
    *rflags = (*rflags & ~RFLAGS_ARITH) | (image >> 8 & 0xff) | (uint64_t)(image & 1) << 11;
}

#define HOST_LOAD_FLAGS "addb $0x7f, %%al\n\tsahf\n\t"
#define HOST_TAKE_FLAGS "\n\tlahf\n\tseto %%al"

/* a op b; all six flags defined (AF cleared or left to the ALU by logic), none read. */
#define HOST_BINARY(op, suffix, bits)                                                                        \
    static inline uint##bits##_t host_##op##bits(uint##bits##_t a, uint##bits##_t b, uint64_t *rflags)       \
    {                                                                                                        \
        uint32_t flags;                                                                                      \
        __asm__(#op suffix " %[b], %[a]" HOST_TAKE_FLAGS : [a] "+q"(a), "=&a"(flags) : [b] "q"(b) : "cc");   \
        host_flags_take(rflags, flags);                                                                      \
        return a;                                                                                            \
    }

/* As above with CF as input. */
#define HOST_BINARY_CARRY(op, suffix, bits)                                                                  \
    static inline uint##bits##_t host_##op##bits(uint##bits##_t a, uint##bits##_t b, uint64_t *rflags)       \
    {                                                                                                        \
        uint32_t flags = (uint32_t)*rflags;                                                                  \
        __asm__("btl $0, %%eax\n\t" #op suffix " %[b], %[a]" HOST_TAKE_FLAGS                                 \
                : [a] "+q"(a), "+&a"(flags)                                                                  \
                : [b] "q"(b)                                                                                 \
                : "cc");                                                                                     \
        host_flags_take(rflags, flags);                                                                      \
        return a;                                                                                            \
    }

/* Flags only. */
#define HOST_COMPARE(op, suffix, bits)                                                                       \
    static inline void host_##op##bits(uint##bits##_t a, uint##bits##_t b, uint64_t *rflags)                 \
    {                                                                                                        \
        uint32_t flags;                                                                                      \
        __asm__(#op suffix " %[b], %[a]" HOST_TAKE_FLAGS : "=&a"(flags) : [a] "q"(a), [b] "q"(b) : "cc");    \
        host_flags_take(rflags, flags);                                                                      \
    }

/* One operand; CF goes in, so INC and DEC hand it on and NEG overwrites it. */
#define HOST_UNARY(op, suffix, bits)                                                                         \
    static inline uint##bits##_t host_##op##bits(uint##bits##_t a, uint64_t *rflags)                         \
    {                                                                                                        \
        uint32_t flags = (uint32_t)*rflags;                                                                  \
        __asm__("btl $0, %%eax\n\t" #op suffix " %[a]" HOST_TAKE_FLAGS                                       \
                : [a] "+q"(a), "+&a"(flags)                                                                  \
                :                                                                                            \
                : "cc");                                                                                     \
        host_flags_take(rflags, flags);                                                                      \
        return a;                                                                                            \
    }

/* Shifts and rotates by CL; a count of zero leaves all flags alone. */
#define HOST_SHIFT(op, suffix, bits)                                                                         \
    static inline uint##bits##_t host_##op##bits(uint##bits##_t a, uint8_t count, uint64_t *rflags)          \
    {                                                                                                        \
        uint32_t flags = host_flags_image(*rflags);                                                          \
        __asm__(HOST_LOAD_FLAGS #op suffix " %%cl, %[a]" HOST_TAKE_FLAGS                                     \
                : [a] "+q"(a), "+&a"(flags)                                                                  \
                : "c"(count)                                                                                 \
                : "cc");                                                                                     \
        host_flags_take(rflags, flags);                                                                      \
        return a;                                                                                            \
    }

#define HOST_DOUBLE_SHIFT(op, suffix, bits)                                                                  \
    static inline uint##bits##_t host_##op##bits(uint##bits##_t a, uint##bits##_t b, uint8_t count,          \
                                                 uint64_t *rflags)                                           \
    {                                                                                                        \
        uint32_t flags = host_flags_image(*rflags);                                                          \
        __asm__(HOST_LOAD_FLAGS #op suffix " %%cl, %[b], %[a]" HOST_TAKE_FLAGS                               \
                : [a] "+r"(a), "+&a"(flags)                                                                  \
                : [b] "r"(b), "c"(count)                                                                     \
                : "cc");                                                                                     \
        host_flags_take(rflags, flags);                                                                      \
        return a;                                                                                            \
    }

/* a op b where some flags are undefined or left alone: BT*, BSF, BSR, IMUL. */
#define HOST_PARTIAL(op, suffix, bits)                                                                       \
    static inline uint##bits##_t host_##op##bits(uint##bits##_t a, uint##bits##_t b, uint64_t *rflags)       \
    {                                                                                                        \
        uint32_t flags = host_flags_image(*rflags);                                                          \
        __asm__(HOST_LOAD_FLAGS #op suffix " %[b], %[a]" HOST_TAKE_FLAGS                                     \
                : [a] "+r"(a), "+&a"(flags)                                                                  \
                : [b] "r"(b)                                                                                 \
                : "cc");                                                                                     \
        host_flags_take(rflags, flags);                                                                      \
        return a;                                                                                            \
    }

/* The accumulator's multiplications and divisions: AX (bits = 8) or DX:AX, EDX:EAX. The caller has made sure that
 * a division neither divides by zero nor overflows. */
#define HOST_ACCUMULATOR8(op)                                                                                \
    static inline uint16_t host_##op##_ax(uint16_t ax, uint8_t b, uint64_t *rflags)                          \
    {                                                                                                        \
        uint32_t flags = host_flags_image(*rflags);                                                          \
        uint32_t wide = ax;                                                                                  \
        __asm__(HOST_LOAD_FLAGS "movl %[wide], %%eax\n\t" #op                                                \
                                "b %[b]\n\tmovl %%eax, %[wide]" HOST_TAKE_FLAGS                              \
                : [wide] "+&r"(wide), "+&a"(flags)                                                           \
                : [b] "q"(b)                                                                                 \
                : "cc");                                                                                     \
        host_flags_take(rflags, flags);                                                                      \
        return (uint16_t)wide;                                                                               \
    }

#define HOST_ACCUMULATOR(op, suffix, bits)                                                                   \
    static inline void host_##op##_pair##bits(uint##bits##_t *low, uint##bits##_t *high, uint##bits##_t b,   \
                                              uint64_t *rflags)                                              \
    {                                                                                                        \
        uint32_t flags = host_flags_image(*rflags);                                                          \
        uint32_t a = *low, d = *high;                                                                        \
        __asm__(HOST_LOAD_FLAGS "movl %[a], %%eax\n\t" #op suffix                                            \
                                " %[b]\n\tmovl %%eax, %[a]" HOST_TAKE_FLAGS                                  \
                : [a] "+&r"(a), "+&d"(d), "+&a"(flags)                                                       \
                : [b] "r"(b)                                                                                 \
                : "cc");                                                                                     \
        host_flags_take(rflags, flags);                                                                      \
        *low = (uint##bits##_t)a;                                                                            \
        *high = (uint##bits##_t)d;                                                                           \
    }

#define HOST_ALL_SIZES(kind, op)  kind(op, "b", 8) kind(op, "w", 16) kind(op, "l", 32)
#define HOST_WIDE_SIZES(kind, op) kind(op, "w", 16) kind(op, "l", 32)

HOST_ALL_SIZES(HOST_BINARY, add)
HOST_ALL_SIZES(HOST_BINARY, or)
HOST_ALL_SIZES(HOST_BINARY, and)
HOST_ALL_SIZES(HOST_BINARY, sub)
HOST_ALL_SIZES(HOST_BINARY, xor)
HOST_ALL_SIZES(HOST_BINARY_CARRY, adc)
HOST_ALL_SIZES(HOST_BINARY_CARRY, sbb)
HOST_ALL_SIZES(HOST_COMPARE, cmp)
HOST_ALL_SIZES(HOST_COMPARE, test)
HOST_ALL_SIZES(HOST_UNARY, inc)
HOST_ALL_SIZES(HOST_UNARY, dec)
HOST_ALL_SIZES(HOST_UNARY, neg)
HOST_ALL_SIZES(HOST_SHIFT, rol)
HOST_ALL_SIZES(HOST_SHIFT, ror)
HOST_ALL_SIZES(HOST_SHIFT, rcl)
HOST_ALL_SIZES(HOST_SHIFT, rcr)
HOST_ALL_SIZES(HOST_SHIFT, shl)
HOST_ALL_SIZES(HOST_SHIFT, shr)
HOST_ALL_SIZES(HOST_SHIFT, sar)
HOST_WIDE_SIZES(HOST_DOUBLE_SHIFT, shld)
HOST_WIDE_SIZES(HOST_DOUBLE_SHIFT, shrd)
HOST_WIDE_SIZES(HOST_PARTIAL, bt)
HOST_WIDE_SIZES(HOST_PARTIAL, bts)
HOST_WIDE_SIZES(HOST_PARTIAL, btr)
HOST_WIDE_SIZES(HOST_PARTIAL, btc)
HOST_WIDE_SIZES(HOST_PARTIAL, bsf)
HOST_WIDE_SIZES(HOST_PARTIAL, bsr)
HOST_WIDE_SIZES(HOST_PARTIAL, imul)
HOST_ACCUMULATOR8(mul)
HOST_ACCUMULATOR8(imul)
HOST_ACCUMULATOR8(div)
HOST_ACCUMULATOR8(idiv)
HOST_WIDE_SIZES(HOST_ACCUMULATOR, mul)
HOST_WIDE_SIZES(HOST_ACCUMULATOR, imul)
HOST_WIDE_SIZES(HOST_ACCUMULATOR, div)
HOST_WIDE_SIZES(HOST_ACCUMULATOR, idiv)

#undef HOST_BINARY
#undef HOST_BINARY_CARRY
#undef HOST_COMPARE
#undef HOST_UNARY
#undef HOST_SHIFT
#undef HOST_DOUBLE_SHIFT
#undef HOST_PARTIAL
#undef HOST_ACCUMULATOR8
#undef HOST_ACCUMULATOR
#undef HOST_ALL_SIZES
#undef HOST_WIDE_SIZES

#endif
