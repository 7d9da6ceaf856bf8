/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Segment and gate descriptors, and what the files that interpret them share: cpu/segment.c, far.c,
 * exception.c, task.c.
 *
 * SDM: Volume 3A, "Protected-Mode Memory Management": "Segment Descriptors"; "Protection": "Gate Descriptors".
 *
 *   high   31       24 23 22 21 20 19       16 15 14 13 12 11   8 7          0
 *          base 31:24  G  DB L  AVL limit19:16 P  DPL   S  type   base 23:16
 *   low    31                               16 15                            0
 *          base 15:0                           limit 15:0
 *
 * A gate has the selector in low 31:16, the offset in low 15:0 and (32-bit gates) high 31:16, and a call gate
 * its parameter count in high 4:0.
 */
#ifndef CPU_DESCRIPTOR_H
#define CPU_DESCRIPTOR_H

#include "cpu/insn.h"
#include "cpu/vcpu.h"

/* System descriptor types (S = 0). SDM: Volume 3A, "System Descriptor Types". */
enum system_type {
    TYPE_TSS16_AVAILABLE = 0x1,
    TYPE_LDT = 0x2,
    TYPE_TSS16_BUSY = 0x3,
    TYPE_CALL_GATE16 = 0x4,
    TYPE_TASK_GATE = 0x5,
    TYPE_INTERRUPT_GATE16 = 0x6,
    TYPE_TRAP_GATE16 = 0x7,
    TYPE_TSS32_AVAILABLE = 0x9,
    TYPE_TSS32_BUSY = 0xb,
    TYPE_CALL_GATE32 = 0xc,
    TYPE_INTERRUPT_GATE32 = 0xe,
    TYPE_TRAP_GATE32 = 0xf,
};
#define TYPE_TSS_BUSY_BIT 0x2u
#define TYPE_32BIT_BIT    0x8u /* of TSS and gates */

struct descriptor {
    uint16_t selector;
    lin_t linear; /* where it lies */
    uint32_t low, high;
    uint32_t attr; /* SEG_* */
};

static inline bool selector_is_null(uint16_t selector)
{
    return (selector & 0xfffc) == 0;
}

static inline unsigned selector_rpl(uint16_t selector)
{
    return selector & 3;
}

/* The error code that names a selector. */
static inline uint32_t selector_error(uint16_t selector)
{
    return selector & 0xfffc;
}

static inline unsigned descriptor_dpl(const struct descriptor *descriptor)
{
    return (descriptor->attr >> SEG_DPL_SHIFT) & 3;
}

/* Type of a system descriptor or gate; 0 (reserved) for code and data. */
static inline unsigned descriptor_system_type(const struct descriptor *descriptor)
{
    return (descriptor->attr & SEG_S) ? 0 : descriptor->attr & SEG_TYPE;
}

static inline bool descriptor_is_code(const struct descriptor *descriptor)
{
    return (descriptor->attr & SEG_S) && (descriptor->attr & SEG_TYPE_CODE);
}

static inline bool descriptor_is_conforming(const struct descriptor *descriptor)
{
    return descriptor_is_code(descriptor) && (descriptor->attr & SEG_TYPE_ED);
}

static inline bool descriptor_is_writable_data(const struct descriptor *descriptor)
{
    return (descriptor->attr & SEG_S) && !(descriptor->attr & SEG_TYPE_CODE) &&
           (descriptor->attr & SEG_TYPE_RW);
}

static inline uint16_t gate_selector(const struct descriptor *gate)
{
    return (uint16_t)(gate->low >> 16);
}

static inline uint32_t gate_offset(const struct descriptor *gate)
{
    uint32_t offset = gate->low & 0xffff;
    return (gate->attr & TYPE_32BIT_BIT) ? (gate->high & 0xffff0000) | offset : offset;
}

/* Look a selector up. *found is false for null and for what lies beyond its table (or in no table); the
 * function itself is false only when reading the table faults. */
bool descriptor_lookup(struct vcpu *cpu, uint16_t selector, struct descriptor *descriptor, bool *found);
/* The same, raising `vector` with the selector as error code when there is none (null included). */
bool descriptor_fetch(struct vcpu *cpu, uint16_t selector, enum vector vector, struct descriptor *descriptor);
/* Split eight bytes as they lie in a table. */
void descriptor_parse(struct descriptor *descriptor, const uint8_t bytes[8]);

/* The hidden part that the descriptor describes, with `selector` visible. */
struct segment descriptor_segment(const struct descriptor *descriptor, uint16_t selector);
/* Set the accessed flag of a code or data descriptor, in the table and in *descriptor. */
bool descriptor_set_accessed(struct vcpu *cpu, struct descriptor *descriptor);
/* Set or clear the busy flag of a TSS descriptor in the table. */
bool descriptor_set_busy(struct vcpu *cpu, const struct descriptor *descriptor, bool busy);

/* A null selector's hidden part. */
struct segment segment_null(uint16_t selector);
/* Is [offset, offset + size) inside the limit? */
bool segment_contains(const struct segment *segment, uint32_t offset, uint32_t size);

/* CS and EIP change together; the selector's RPL field shows `cpl`. SS, when it changes, has changed before. */
void transfer_commit(struct vcpu *cpu, const struct descriptor *code, unsigned cpl, uint32_t offset);
/* Check `offset` against the limit of the code segment to be: #GP(0). */
bool transfer_check_limit(struct vcpu *cpu, const struct descriptor *code, uint32_t offset);

/*
 * A stack being written before it becomes current (or the current one, before ESP moves).
 *
 * Words are pushed to memory, not yet to the architecture: a fault half-way leaves ESP as it was.
 */
struct new_stack {
    struct segment ss;
    uint32_t esp;        /* moves with every push */
    bool inner;          /* supervisor writes; else ordinary writes through the current SS */
    uint32_t error_code; /* of #SS when there is no room */
};

/* The current stack. Faults carry error code 0. */
struct new_stack stack_current(const struct vcpu *cpu);
/* The stack of privilege level `cpl` (0-2) from the TSS, checked: #TS with the TSS's or SS's selector, #SS(SS). */
bool stack_from_tss(struct vcpu *cpu, unsigned cpl, struct new_stack *stack);
/* Is there room for `count` words of `size` bytes? #SS otherwise. */
bool new_stack_check(struct vcpu *cpu, const struct new_stack *stack, unsigned size, unsigned count);
bool new_stack_push(struct vcpu *cpu, struct new_stack *stack, unsigned size, uint32_t value);
/* Make it current: SS, and ESP or (stack of 16 bits) SP. CPL follows with vcpu_sync_mode(). */
void new_stack_commit(struct vcpu *cpu, const struct new_stack *stack);

/* task_switch() with the image of EFLAGS to save in the old TSS. */
bool task_switch_saving(struct vcpu *cpu, uint16_t selector, enum task_switch_cause cause, bool has_error,
                        uint32_t error_code, uint64_t saved_flags);

/* An m16:16 (size 2) or m16:32 (size 4) operand. */
bool far_pointer_read(struct vcpu *cpu, const struct insn *insn, unsigned size, uint16_t *selector,
                      uint32_t *offset);
/* The r/m operand of 16 bits. */
bool operand_read16(struct vcpu *cpu, const struct insn *insn, uint16_t *value);
/* Store a segment or system register: memory takes a word, a register the operand size, zero-extended. */
bool operand_write_system(struct vcpu *cpu, const struct insn *insn, uint32_t value);

#endif
