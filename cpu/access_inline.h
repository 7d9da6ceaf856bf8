/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The fast paths of the memory operands, inline for the interpreter's instruction functions. Semantics are those of
 * the mem_*, rmw_* and stack_* functions in cpu/insn.h, which are these inlines made callable.
 *
 * The fast case is one compare and one add: the segment is flat, the TLB entry has the page with this right and the
 * operand is aligned (hence inside the page, and no business of #AC). All else goes through cpu/access.c.
 */
#ifndef CPU_ACCESS_INLINE_H
#define CPU_ACCESS_INLINE_H

#include "cpu/insn.h"

/* The complete paths. `align` as for mem_read(). */
bool access_read(struct vcpu *cpu, unsigned seg, uint32_t offset, void *bytes, unsigned size, unsigned align);
bool access_write(struct vcpu *cpu, unsigned seg, uint32_t offset, const void *bytes, unsigned size,
                  unsigned align);
bool access_rmw_begin(struct vcpu *cpu, unsigned seg, uint32_t offset, struct rmw *rmw, void *bytes,
                      unsigned size);
void access_rmw_end(struct vcpu *cpu, const struct rmw *rmw, const void *bytes, unsigned size);

/* Check that [offset, offset + size) could be read, raising what the read would raise. */
bool access_probe_read(struct vcpu *cpu, unsigned seg, uint32_t offset, unsigned size);

/* Segment check alone: true and the linear address when [offset, offset + size) may be accessed; false without
 * raising anything. */
bool access_segment_allows(const struct vcpu *cpu, unsigned seg, uint32_t offset, unsigned size, bool write,
                           lin_t *linear);

/* Would misaligned accesses raise #AC now? */
static inline bool alignment_checked(const struct vcpu *cpu)
{
    return (cpu->rflags & RFLAGS_AC) && (cpu->cr0 & CR0_AM) && cpu->cpl == 3;
}

/* cpu->flat promises that CS is readable, never that it is writable. */
#define FLAT_WRITABLE ((unsigned)~(1u << SEG_CS))

static inline bool access_is_simple(const struct vcpu *cpu, unsigned seg, unsigned flat_mask)
{
    return LIKELY((cpu->flat & flat_mask) >> seg & 1) && LIKELY(!cpu->data_breakpoints);
}

/* What an entry's tag must equal for a direct, aligned access of `size` bytes. */
static inline lin_t access_tag(uint32_t linear, unsigned size)
{
    return linear & (~PAGE_OFFSET_MASK | (size - 1));
}

#define DEFINE_FAST_ACCESS(bits)                                                                             \
    static inline bool fast_read##bits(struct vcpu *cpu, unsigned seg, uint32_t offset,                      \
                                       uint##bits##_t *value)                                                \
    {                                                                                                        \
        if (access_is_simple(cpu, seg, ~0u)) {                                                               \
            const struct tlb_entry *entry = tlb_entry_at(cpu->tlb, cpu->user_view, offset);                  \
            if (LIKELY(entry->read == access_tag(offset, bits / 8))) {                                       \
                memcpy(value, (const void *)(entry->addend + offset), bits / 8);                             \
                return true;                                                                                 \
            }                                                                                                \
        }                                                                                                    \
        return access_read(cpu, seg, offset, value, bits / 8, bits / 8);                                     \
    }                                                                                                        \
                                                                                                             \
    static inline bool fast_write##bits(struct vcpu *cpu, unsigned seg, uint32_t offset,                     \
                                        uint##bits##_t value)                                                \
    {                                                                                                        \
        if (access_is_simple(cpu, seg, FLAT_WRITABLE)) {                                                     \
            const struct tlb_entry *entry = tlb_entry_at(cpu->tlb, cpu->user_view, offset);                  \
            if (LIKELY(entry->write == access_tag(offset, bits / 8))) {                                      \
                memcpy((void *)(entry->addend + offset), &value, bits / 8);                                  \
                return true;                                                                                 \
            }                                                                                                \
        }                                                                                                    \
        return access_write(cpu, seg, offset, &value, bits / 8, bits / 8);                                   \
    }                                                                                                        \
                                                                                                             \
    static inline bool fast_rmw_begin##bits(struct vcpu *cpu, unsigned seg, uint32_t offset,                 \
                                            struct rmw *rmw, uint##bits##_t *value)                          \
    {                                                                                                        \
        if (access_is_simple(cpu, seg, FLAT_WRITABLE)) {                                                     \
            const struct tlb_entry *entry = tlb_entry_at(cpu->tlb, cpu->user_view, offset);                  \
            if (LIKELY(entry->write == access_tag(offset, bits / 8))) {                                      \
                rmw->host = (void *)(entry->addend + offset);                                                \
                memcpy(value, rmw->host, bits / 8);                                                          \
                return true;                                                                                 \
            }                                                                                                \
        }                                                                                                    \
        return access_rmw_begin(cpu, seg, offset, rmw, value, bits / 8);                                     \
    }                                                                                                        \
                                                                                                             \
    static inline void fast_rmw_end##bits(struct vcpu *cpu, const struct rmw *rmw, uint##bits##_t value)     \
    {                                                                                                        \
        if (LIKELY(rmw->host != NULL)) {                                                                     \
            memcpy(rmw->host, &value, bits / 8);                                                             \
        } else {                                                                                             \
            access_rmw_end(cpu, rmw, &value, bits / 8);                                                      \
        }                                                                                                    \
    }

DEFINE_FAST_ACCESS(8)
DEFINE_FAST_ACCESS(16)
DEFINE_FAST_ACCESS(32)
DEFINE_FAST_ACCESS(64)
#undef DEFINE_FAST_ACCESS

/* ---- stack ---- */

/* A stack address wrapped to the stack's size (SS.B). */
static inline uint32_t stack_wrap(const struct vcpu *cpu, uint32_t offset)
{
    return cpu->stack32 ? offset : (uint16_t)offset;
}

/* The stack pointer, (E)SP by the stack's size. */
static inline uint32_t stack_pointer(const struct vcpu *cpu)
{
    return stack_wrap(cpu, reg32(cpu, RSP));
}

static inline void stack_set_pointer(struct vcpu *cpu, uint32_t offset)
{
    if (LIKELY(cpu->stack32)) {
        set_reg32(cpu, RSP, offset);
    } else {
        set_reg16(cpu, RSP, (uint16_t)offset);
    }
}

#define DEFINE_FAST_STACK(bits)                                                                              \
    static inline bool fast_push##bits(struct vcpu *cpu, uint##bits##_t value)                               \
    {                                                                                                        \
        uint32_t sp = stack_wrap(cpu, reg32(cpu, RSP) - bits / 8);                                           \
        TRY(fast_write##bits(cpu, SEG_SS, sp, value));                                                       \
        stack_set_pointer(cpu, sp);                                                                          \
        return true;                                                                                         \
    }                                                                                                        \
                                                                                                             \
    static inline bool fast_pop##bits(struct vcpu *cpu, uint##bits##_t *value)                               \
    {                                                                                                        \
        uint32_t sp = stack_pointer(cpu);                                                                    \
        TRY(fast_read##bits(cpu, SEG_SS, sp, value));                                                        \
        stack_set_pointer(cpu, sp + bits / 8);                                                               \
        return true;                                                                                         \
    }

DEFINE_FAST_STACK(16)
DEFINE_FAST_STACK(32)
#undef DEFINE_FAST_STACK

#endif
