/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * MOVS CMPS SCAS LODS STOS INS OUTS and their REP forms.
 *
 * A repeated instruction does its elements one after the other: registers are exact when one of them faults, and
 * between them it gives way to attention, leaving rip on itself so that it is resumed afterwards. RF is then set:
 * the instruction has begun and must not meet its own breakpoint again.
 *
 * Bulk path: a run of elements that goes upwards inside one directly accessible page on each side is handed to the
 * host's own REP instruction, whose overlap behaviour and flags are by definition the right ones.
 *
 * SDM: Volume 1, "String Instructions"; Volume 2B, "REP/REPE/REPZ/REPNE/REPNZ". The destination segment is always ES.
 */
#include "cpu/exec_util.h"
#include "cpu/hostalu.h"
#include "cpu/io.h"
#include "cpu/points.h"

/* ---- Registers by address size -------------------------------------------------------------------------- */

static inline uint32_t index_get(const struct vcpu *cpu, const struct insn *insn, unsigned reg)
{
    return insn->addrsize == 2 ? reg16(cpu, reg) : reg32(cpu, reg);
}

static inline void index_add(struct vcpu *cpu, const struct insn *insn, unsigned reg, uint32_t n)
{
    if (insn->addrsize == 2) {
        set_reg16(cpu, reg, (uint16_t)(reg16(cpu, reg) + n));
    } else {
        set_reg32(cpu, reg, reg32(cpu, reg) + n);
    }
}

/* Step an index register over one element in the direction of DF. */
static inline void index_step(struct vcpu *cpu, const struct insn *insn, unsigned reg, unsigned size)
{
    index_add(cpu, insn, reg, cpu->rflags & RFLAGS_DF ? 0 - size : size);
}

/* ---- Repetition ----------------------------------------------------------------------------------------- */

/* One string instruction: how to do one element, and several at once. */
struct string_op {
    bool (*step)(struct vcpu *cpu, const struct insn *insn);
    /* At most `count` elements; returns how many were done, 0 when the bulk path does not apply. NULL: none. */
    uint32_t (*bulk)(struct vcpu *cpu, const struct insn *insn, uint32_t count);
    bool compares; /* REPE and REPNE look at ZF */
};

/* Attention of the kind that an instruction in progress need not care for is left to its end. */
static bool must_give_way(const struct vcpu *cpu)
{
    return (__atomic_load_n(&cpu->attention, __ATOMIC_RELAXED) & ~(uint32_t)ATTENTION_CODE) != 0;
}

/*
 * Elements after which an instruction comes back by itself. With ECX at 4 G and a device on the other side it could keep
 * its thread, and with it everything else that the thread serves, for minutes. Elements and not passes of the loop:
 * where the guest's instruction may be seen half done must not depend on how many the bulk path takes at once.
 */
enum { ELEMENTS_MAX = 1 << 17 };

static void give_way(struct vcpu *cpu)
{
    cpu->next_rip = cpu->rip;
    cpu->rflags |= RFLAGS_RF;
    vcpu_sync_attention(cpu);
}

static bool comparison_ends(const struct vcpu *cpu, const struct insn *insn)
{
    bool equal = (cpu->rflags & RFLAGS_ZF) != 0;

    return equal != (insn->rep == 0xf3);
}

static bool string_run(struct vcpu *cpu, const struct insn *insn, const struct string_op *op)
{
    uint32_t left = ELEMENTS_MAX;

    if (!insn->rep) {
        return op->step(cpu, insn);
    }
    for (uint32_t count = index_get(cpu, insn, RCX); count != 0;) {
        uint32_t done = op->bulk ? op->bulk(cpu, insn, MIN(count, left)) : 0;
        if (done == 0) {
            TRY(op->step(cpu, insn));
            done = 1;
        }
        index_add(cpu, insn, RCX, 0 - done);
        count -= done;
        left -= done;
        if (count == 0 || (op->compares && comparison_ends(cpu, insn))) {
            break;
        }
        if (left == 0) {
            vcpu_kick(cpu);
        }
        if (must_give_way(cpu)) {
            give_way(cpu);
            break;
        }
    }
    return true;
}

/* ---- Bulk path ------------------------------------------------------------------------------------------ */

static bool bulk_applies(const struct vcpu *cpu)
{
    if (UNLIKELY(cpu->points != NULL) && cpu->points->stepping) {
        return false;
    }
    return !(cpu->rflags & (RFLAGS_DF | RFLAGS_TF)) && !cpu->data_breakpoints && !alignment_checked(cpu);
}

/* Host address of seg:[reg], and *bytes cut to what can be accessed from there on. NULL: not directly. */
static uint8_t *bulk_pointer(struct vcpu *cpu, const struct insn *insn, unsigned seg, unsigned reg,
                             bool write, uint64_t *bytes)
{
    uint32_t offset = index_get(cpu, insn, reg);
    uint64_t to_wrap = (insn->addrsize == 2 ? (uint64_t)1 << 16 : (uint64_t)1 << 32) - offset;
    lin_t linear = (uint32_t)(cpu->seg[seg].base + offset);

    *bytes = MIN(*bytes, MIN(to_wrap, PAGE_SIZE - (linear & PAGE_OFFSET_MASK)));
    if (!access_segment_allows(cpu, seg, offset, (unsigned)*bytes, write, &linear)) {
        return NULL;
    }
    const struct tlb_entry *entry = tlb_entry_at(cpu->tlb, cpu->user_view, linear);
    lin_t tag = write ? entry->write : entry->read;
    return tag == ALIGN_DOWN(linear, PAGE_SIZE) ? (uint8_t *)(entry->addend + linear) : NULL;
}

/* Both sides of MOVS and CMPS; the number of elements, 0: none. */
static uint32_t bulk_pair(struct vcpu *cpu, const struct insn *insn, uint32_t count, unsigned size,
                          bool write, uint8_t **source, uint8_t **destination)
{
    uint64_t bytes = (uint64_t)count * size;

    if (!bulk_applies(cpu)) {
        return 0;
    }
    *source = bulk_pointer(cpu, insn, insn->seg, RSI, false, &bytes);
    *destination = bulk_pointer(cpu, insn, SEG_ES, RDI, write, &bytes);
    return *source && *destination ? (uint32_t)(bytes / size) : 0;
}

static uint32_t bulk_destination(struct vcpu *cpu, const struct insn *insn, uint32_t count, unsigned size,
                                 bool write, uint8_t **destination)
{
    uint64_t bytes = (uint64_t)count * size;

    if (!bulk_applies(cpu)) {
        return 0;
    }
    *destination = bulk_pointer(cpu, insn, SEG_ES, RDI, write, &bytes);
    return *destination ? (uint32_t)(bytes / size) : 0;
}

/* Comparisons stop early: `left` elements of `count` were not looked at. */
static uint32_t bulk_compared(struct vcpu *cpu, uint32_t flags, uint32_t count, uint64_t left)
{
    host_flags_take(&cpu->rflags, flags);
    return count - (uint32_t)left;
}

/* ---- One set of functions for each element size --------------------------------------------------------- */

#define DEFINE_MOVS(bits, suffix)                                                                            \
    static bool movs_step##bits(struct vcpu *cpu, const struct insn *insn)                                   \
    {                                                                                                        \
        uint##bits##_t value;                                                                                \
        TRY(fast_read##bits(cpu, insn->seg, index_get(cpu, insn, RSI), &value));                             \
        TRY(fast_write##bits(cpu, SEG_ES, index_get(cpu, insn, RDI), value));                                \
        index_step(cpu, insn, RSI, bits / 8);                                                                \
        index_step(cpu, insn, RDI, bits / 8);                                                                \
        return true;                                                                                         \
    }                                                                                                        \
    static uint32_t movs_bulk##bits(struct vcpu *cpu, const struct insn *insn, uint32_t count)               \
    {                                                                                                        \
        uint8_t *source, *destination;                                                                       \
        uint32_t done = bulk_pair(cpu, insn, count, bits / 8, true, &source, &destination);                  \
        uint64_t left = done;                                                                                \
        if (done) {                                                                                          \
            __asm__ volatile("rep movs" suffix : "+S"(source), "+D"(destination), "+c"(left) : : "memory");  \
            index_add(cpu, insn, RSI, done *(bits / 8));                                                     \
            index_add(cpu, insn, RDI, done *(bits / 8));                                                     \
        }                                                                                                    \
        return done;                                                                                         \
    }

#define DEFINE_STOS(bits, suffix)                                                                            \
    static bool stos_step##bits(struct vcpu *cpu, const struct insn *insn)                                   \
    {                                                                                                        \
        TRY(fast_write##bits(cpu, SEG_ES, index_get(cpu, insn, RDI), reg##bits(cpu, RAX)));                  \
        index_step(cpu, insn, RDI, bits / 8);                                                                \
        return true;                                                                                         \
    }                                                                                                        \
    static uint32_t stos_bulk##bits(struct vcpu *cpu, const struct insn *insn, uint32_t count)               \
    {                                                                                                        \
        uint8_t *destination;                                                                                \
        uint32_t done = bulk_destination(cpu, insn, count, bits / 8, true, &destination);                    \
        uint64_t left = done;                                                                                \
        if (done) {                                                                                          \
            __asm__ volatile("rep stos" suffix                                                               \
                             : "+D"(destination), "+c"(left)                                                 \
                             : "a"(reg##bits(cpu, RAX))                                                      \
                             : "memory");                                                                    \
            index_add(cpu, insn, RDI, done *(bits / 8));                                                     \
        }                                                                                                    \
        return done;                                                                                         \
    }

#define DEFINE_LODS(bits)                                                                                    \
    static bool lods_step##bits(struct vcpu *cpu, const struct insn *insn)                                   \
    {                                                                                                        \
        uint##bits##_t value;                                                                                \
        TRY(fast_read##bits(cpu, insn->seg, index_get(cpu, insn, RSI), &value));                             \
        set_reg##bits(cpu, RAX, value);                                                                      \
        index_step(cpu, insn, RSI, bits / 8);                                                                \
        return true;                                                                                         \
    }

#define DEFINE_CMPS(bits, suffix)                                                                            \
    static bool cmps_step##bits(struct vcpu *cpu, const struct insn *insn)                                   \
    {                                                                                                        \
        uint##bits##_t a, b;                                                                                 \
        TRY(fast_read##bits(cpu, insn->seg, index_get(cpu, insn, RSI), &a));                                 \
        TRY(fast_read##bits(cpu, SEG_ES, index_get(cpu, insn, RDI), &b));                                    \
        host_cmp##bits(a, b, &cpu->rflags);                                                                  \
        index_step(cpu, insn, RSI, bits / 8);                                                                \
        index_step(cpu, insn, RDI, bits / 8);                                                                \
        return true;                                                                                         \
    }                                                                                                        \
    static uint32_t cmps_bulk##bits(struct vcpu *cpu, const struct insn *insn, uint32_t count)               \
    {                                                                                                        \
        uint8_t *source, *destination;                                                                       \
        uint32_t done = bulk_pair(cpu, insn, count, bits / 8, false, &source, &destination), flags;          \
        uint64_t left = done;                                                                                \
        if (done == 0) {                                                                                     \
            return 0;                                                                                        \
        }                                                                                                    \
        if (insn->rep == 0xf3) {                                                                             \
            __asm__ volatile("repe cmps" suffix HOST_TAKE_FLAGS                                              \
                             : "+S"(source), "+D"(destination), "+c"(left), "=a"(flags)                      \
                             :                                                                               \
                             : "memory", "cc");                                                              \
        } else {                                                                                             \
            __asm__ volatile("repne cmps" suffix HOST_TAKE_FLAGS                                             \
                             : "+S"(source), "+D"(destination), "+c"(left), "=a"(flags)                      \
                             :                                                                               \
                             : "memory", "cc");                                                              \
        }                                                                                                    \
        done = bulk_compared(cpu, flags, done, left);                                                        \
        index_add(cpu, insn, RSI, done *(bits / 8));                                                         \
        index_add(cpu, insn, RDI, done *(bits / 8));                                                         \
        return done;                                                                                         \
    }

#define DEFINE_SCAS(bits, suffix)                                                                            \
    static bool scas_step##bits(struct vcpu *cpu, const struct insn *insn)                                   \
    {                                                                                                        \
        uint##bits##_t b;                                                                                    \
        TRY(fast_read##bits(cpu, SEG_ES, index_get(cpu, insn, RDI), &b));                                    \
        host_cmp##bits(reg##bits(cpu, RAX), b, &cpu->rflags);                                                \
        index_step(cpu, insn, RDI, bits / 8);                                                                \
        return true;                                                                                         \
    }                                                                                                        \
    static uint32_t scas_bulk##bits(struct vcpu *cpu, const struct insn *insn, uint32_t count)               \
    {                                                                                                        \
        uint8_t *destination;                                                                                \
        uint32_t done = bulk_destination(cpu, insn, count, bits / 8, false, &destination);                   \
        uint32_t accumulator = reg32(cpu, RAX);                                                              \
        uint64_t left = done;                                                                                \
        if (done == 0) {                                                                                     \
            return 0;                                                                                        \
        }                                                                                                    \
        if (insn->rep == 0xf3) {                                                                             \
            __asm__ volatile("repe scas" suffix HOST_TAKE_FLAGS                                              \
                             : "+D"(destination), "+c"(left), "+a"(accumulator)                              \
                             :                                                                               \
                             : "memory", "cc");                                                              \
        } else {                                                                                             \
            __asm__ volatile("repne scas" suffix HOST_TAKE_FLAGS                                             \
                             : "+D"(destination), "+c"(left), "+a"(accumulator)                              \
                             :                                                                               \
                             : "memory", "cc");                                                              \
        }                                                                                                    \
        done = bulk_compared(cpu, accumulator, done, left);                                                  \
        index_add(cpu, insn, RDI, done *(bits / 8));                                                         \
        return done;                                                                                         \
    }

/* INS proves that the memory can be written before the device is read: its data would be lost. */
#define DEFINE_INS(bits)                                                                                     \
    static bool ins_step##bits(struct vcpu *cpu, const struct insn *insn)                                    \
    {                                                                                                        \
        uint32_t value, offset = index_get(cpu, insn, RDI);                                                  \
        TRY(io_check(cpu, reg16(cpu, RDX), bits / 8));                                                       \
        TRY(mem_probe_write(cpu, SEG_ES, offset, bits / 8));                                                 \
        TRY(io_read(cpu, reg16(cpu, RDX), bits / 8, &value));                                                \
        TRY(fast_write##bits(cpu, SEG_ES, offset, (uint##bits##_t)value));                                   \
        index_step(cpu, insn, RDI, bits / 8);                                                                \
        return true;                                                                                         \
    }

#define DEFINE_OUTS(bits)                                                                                    \
    static bool outs_step##bits(struct vcpu *cpu, const struct insn *insn)                                   \
    {                                                                                                        \
        uint##bits##_t value;                                                                                \
        TRY(io_check(cpu, reg16(cpu, RDX), bits / 8));                                                       \
        TRY(fast_read##bits(cpu, insn->seg, index_get(cpu, insn, RSI), &value));                             \
        TRY(io_write(cpu, reg16(cpu, RDX), bits / 8, value));                                                \
        index_step(cpu, insn, RSI, bits / 8);                                                                \
        return true;                                                                                         \
    }

#define EXEC_STRING(name, ...)                                                                               \
    EXEC(name)                                                                                               \
    {                                                                                                        \
        static const struct string_op op = {__VA_ARGS__};                                                    \
        return string_run(cpu, insn, &op);                                                                   \
    }

#define DEFINE_STRINGS(bits, host_suffix, name_suffix)                                                       \
    DEFINE_MOVS(bits, host_suffix)                                                                           \
    DEFINE_STOS(bits, host_suffix)                                                                           \
    DEFINE_LODS(bits)                                                                                        \
    DEFINE_CMPS(bits, host_suffix)                                                                           \
    DEFINE_SCAS(bits, host_suffix)                                                                           \
    DEFINE_INS(bits)                                                                                         \
    DEFINE_OUTS(bits)                                                                                        \
    EXEC_STRING(movs##name_suffix, movs_step##bits, movs_bulk##bits, false)                                  \
    EXEC_STRING(stos##name_suffix, stos_step##bits, stos_bulk##bits, false)                                  \
    EXEC_STRING(lods##name_suffix, lods_step##bits, NULL, false)                                             \
    EXEC_STRING(cmps##name_suffix, cmps_step##bits, cmps_bulk##bits, true)                                   \
    EXEC_STRING(scas##name_suffix, scas_step##bits, scas_bulk##bits, true)                                   \
    EXEC_STRING(ins##name_suffix, ins_step##bits, NULL, false)                                               \
    EXEC_STRING(outs##name_suffix, outs_step##bits, NULL, false)

DEFINE_STRINGS(8, "b", b)
DEFINE_STRINGS(16, "w", _16)
DEFINE_STRINGS(32, "l", _32)
