/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Words every other file uses: address kinds, bit helpers, and the two error idioms.
 *
 * Address kinds are types so that a prototype says what it takes:
 *
 *   lin_t   linear address: what segmentation produces and paging consumes
 *   gpa_t   guest-physical address: what paging produces and the board decodes
 *   gfn_t   guest frame number, gpa >> PAGE_SHIFT
 *   roff_t  offset into the VM's backing memfd (see mmu/ram.h)
 *
 * A host address is always a pointer. All kinds are 64 bits wide: long mode needs no new type.
 */
#ifndef BASE_TYPES_H
#define BASE_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef uint64_t lin_t;
typedef uint64_t gpa_t;
typedef uint64_t gfn_t;
typedef uint64_t roff_t;

#define PAGE_SHIFT       12
#define PAGE_SIZE        4096u
#define PAGE_OFFSET_MASK ((uint64_t)PAGE_SIZE - 1)

#define KIB ((uint64_t)1 << 10)
#define MIB ((uint64_t)1 << 20)
#define GIB ((uint64_t)1 << 30)

/* Bit n, and the mask of bits hi..lo inclusive, as the manuals number them. */
#define BIT(n)       ((uint64_t)1 << (n))
#define BITS(hi, lo) ((~(uint64_t)0 >> (63 - (hi))) & (~(uint64_t)0 << (lo)))

/* The field hi..lo of v, moved down to bit 0. */
static inline uint64_t bits_get(uint64_t v, unsigned hi, unsigned lo)
{
    return (v & BITS(hi, lo)) >> lo;
}

#define ARRAY_LEN(a)     (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b)        ((a) < (b) ? (a) : (b))
#define MAX(a, b)        ((a) > (b) ? (a) : (b))
#define ALIGN_DOWN(v, a) ((v) & ~((uint64_t)(a)-1))
#define ALIGN_UP(v, a)   ALIGN_DOWN((v) + (uint64_t)(a)-1, (a))

/* The struct of type `type` whose member `member` lies at ptr. */
#define CONTAINER_OF(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

#define LIKELY(x)              __builtin_expect(!!(x), 1)
#define UNLIKELY(x)            __builtin_expect(!!(x), 0)
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))

/*
 * Guest faults: a function that may raise a guest exception returns bool, false meaning "an exception
 * is pending in the vcpu, unwind to the dispatcher". TRY() passes that on.
 *
 * Host failures are -errno with goto clean-up in reverse order; see base/error.h for their texts.
 */
#define TRY(call)                                                                                            \
    do {                                                                                                     \
        if (UNLIKELY(!(call))) {                                                                             \
            return false;                                                                                    \
        }                                                                                                    \
    } while (0)

/* Little-endian loads and stores at any alignment. The host is x86-64, hence little-endian too. */
static inline uint16_t load_le16(const void *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof(v));
    return v;
}

static inline uint32_t load_le32(const void *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof(v));
    return v;
}

static inline uint64_t load_le64(const void *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof(v));
    return v;
}

static inline void store_le16(void *p, uint16_t v)
{
    memcpy(p, &v, sizeof(v));
}

static inline void store_le32(void *p, uint32_t v)
{
    memcpy(p, &v, sizeof(v));
}

static inline void store_le64(void *p, uint64_t v)
{
    memcpy(p, &v, sizeof(v));
}

#endif
