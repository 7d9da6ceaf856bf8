/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * PUSH POP PUSHA POPA ENTER LEAVE. PUSHF and POPF are in cpu/ with the other flag rules, POP to a segment register
 * with segment loading.
 *
 * PUSHA proves first that all its values can be written, so that a fault in the middle leaves the stack as it was.
 * ENTER, which reads and writes in turn, restores the registers; what it wrote lies below the stack pointer.
 *
 * SDM: Volume 1, "Stacks" and "Procedure Calls For Block-Structured Languages"; Volume 2.
 * DEVIATION: PUSH of a segment register with operand size 32 writes the zero-extended doubleword (the manual allows
 * that, later processors write 16 bits).
 */
#include "cpu/exec_util.h"

/* Frame pointer levels of ENTER are modulo 32. */
enum { ENTER_LEVELS = 32 };

#define EXEC_PUSHES(bits)                                                                                    \
    EXEC(push_Zv_##bits)                                                                                     \
    {                                                                                                        \
        return fast_push##bits(cpu, reg##bits(cpu, insn->rm));                                               \
    }                                                                                                        \
    EXEC(push_Iz_##bits)                                                                                     \
    {                                                                                                        \
        return fast_push##bits(cpu, (uint##bits##_t)insn->imm);                                              \
    }                                                                                                        \
    EXEC(push_Ev_##bits)                                                                                     \
    {                                                                                                        \
        uint##bits##_t value;                                                                                \
        TRY(rm_read##bits(cpu, insn, &value));                                                               \
        return fast_push##bits(cpu, value);                                                                  \
    }                                                                                                        \
    EXEC(push_sreg_##bits)                                                                                   \
    {                                                                                                        \
        return fast_push##bits(cpu, cpu->seg[insn->reg].selector);                                           \
    }                                                                                                        \
    EXEC(pop_Zv_##bits)                                                                                      \
    {                                                                                                        \
        uint##bits##_t value;                                                                                \
        TRY(fast_pop##bits(cpu, &value));                                                                    \
        set_reg##bits(cpu, insn->rm, value);                                                                 \
        return true;                                                                                         \
    }                                                                                                        \
    /* An address that uses ESP is computed after ESP was incremented. */                                    \
    EXEC(pop_Ev_##bits)                                                                                      \
    {                                                                                                        \
        uint64_t rsp = cpu->gpr[RSP];                                                                        \
        uint##bits##_t value;                                                                                \
        TRY(fast_pop##bits(cpu, &value));                                                                    \
        if (!rm_write##bits(cpu, insn, value)) {                                                             \
            cpu->gpr[RSP] = rsp;                                                                             \
            return false;                                                                                    \
        }                                                                                                    \
        return true;                                                                                         \
    }

EXEC_PUSHES(16)
EXEC_PUSHES(32)

/* ---- All registers -------------------------------------------------------------------------------------- */

/* Prove that `count` values of `size` bytes can be pushed. */
static bool probe_pushes(struct vcpu *cpu, unsigned count, unsigned size)
{
    uint32_t sp = stack_pointer(cpu);

    for (unsigned i = 0; i < count; i++) {
        sp = stack_wrap(cpu, sp - size);
        TRY(mem_probe_write(cpu, SEG_SS, sp, size));
    }
    return true;
}

#define EXEC_ALL(bits)                                                                                       \
    EXEC_PLAIN(pusha_##bits)                                                                                 \
    {                                                                                                        \
        uint##bits##_t sp = reg##bits(cpu, RSP);                                                             \
        TRY(probe_pushes(cpu, 8, bits / 8));                                                                 \
        for (unsigned n = RAX; n <= RDI; n++) {                                                              \
            TRY(fast_push##bits(cpu, n == RSP ? sp : reg##bits(cpu, n)));                                    \
        }                                                                                                    \
        return true;                                                                                         \
    }                                                                                                        \
    EXEC_PLAIN(popa_##bits)                                                                                  \
    {                                                                                                        \
        uint##bits##_t value[8];                                                                             \
        uint32_t sp = stack_pointer(cpu);                                                                    \
        for (unsigned n = RDI + 1; n-- > RAX;) {                                                             \
            TRY(fast_read##bits(cpu, SEG_SS, sp, &value[n]));                                                \
            sp = stack_wrap(cpu, sp + bits / 8);                                                             \
        }                                                                                                    \
        for (unsigned n = RAX; n <= RDI; n++) {                                                              \
            if (n != RSP) { /* the stored stack pointer is skipped */                                        \
                set_reg##bits(cpu, n, value[n]);                                                             \
            }                                                                                                \
        }                                                                                                    \
        stack_set_pointer(cpu, sp);                                                                          \
        return true;                                                                                         \
    }

EXEC_ALL(16)
EXEC_ALL(32)

/* ---- Stack frames --------------------------------------------------------------------------------------- */

/*
 * SDM: Volume 2A, "ENTER". Pushes EBP, the `level - 1` frame pointers found below the old frame, and the new frame
 * pointer, which is ESP or SP by the operand size, whatever the stack's; then makes room. The processor also proves
 * that the new top of the stack can be written.
 */
#define EXEC_ENTER(bits)                                                                                     \
    EXEC(enter_##bits)                                                                                       \
    {                                                                                                        \
        uint64_t rsp = cpu->gpr[RSP];                                                                        \
        uint32_t frame;                                                                                      \
        if (!enter_push_##bits(cpu, insn->imm2 % ENTER_LEVELS, &frame) ||                                    \
            !mem_probe_write(cpu, SEG_SS, stack_wrap(cpu, reg32(cpu, RSP) - insn->imm), bits / 8)) {         \
            cpu->gpr[RSP] = rsp;                                                                             \
            return false;                                                                                    \
        }                                                                                                    \
        stack_adjust(cpu, -(int32_t)insn->imm);                                                              \
        set_reg##bits(cpu, RBP, (uint##bits##_t)frame);                                                      \
        return true;                                                                                         \
    }

#define ENTER_PUSH(bits)                                                                                     \
    static bool enter_push_##bits(struct vcpu *cpu, unsigned level, uint32_t *frame)                         \
    {                                                                                                        \
        uint32_t display = reg32(cpu, RBP);                                                                  \
        TRY(fast_push##bits(cpu, reg##bits(cpu, RBP)));                                                      \
        *frame = reg32(cpu, RSP);                                                                            \
        for (unsigned i = 1; i < level; i++) {                                                               \
            uint##bits##_t pointer;                                                                          \
            display -= bits / 8;                                                                             \
            TRY(fast_read##bits(cpu, SEG_SS, stack_wrap(cpu, display), &pointer));                           \
            TRY(fast_push##bits(cpu, pointer));                                                              \
        }                                                                                                    \
        return level == 0 || fast_push##bits(cpu, (uint##bits##_t) * frame);                                 \
    }

ENTER_PUSH(16)
ENTER_PUSH(32)
EXEC_ENTER(16)
EXEC_ENTER(32)

#define EXEC_LEAVE(bits)                                                                                     \
    EXEC_PLAIN(leave_##bits)                                                                                 \
    {                                                                                                        \
        uint32_t sp = stack_wrap(cpu, reg32(cpu, RBP));                                                      \
        uint##bits##_t value;                                                                                \
        TRY(fast_read##bits(cpu, SEG_SS, sp, &value));                                                       \
        stack_set_pointer(cpu, sp + bits / 8);                                                               \
        set_reg##bits(cpu, RBP, value);                                                                      \
        return true;                                                                                         \
    }

EXEC_LEAVE(16)
EXEC_LEAVE(32)
