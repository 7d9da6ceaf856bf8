/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Near transfers: JMP CALL RET Jcc LOOP JCXZ. Far ones are in cpu/far.c.
 *
 * The target's offset is truncated to the operand size and checked against CS's limit (branch_near) before anything
 * else changes.
 *
 * SDM: Volume 2; Volume 1, "Procedure Calls, Interrupts, and Exceptions".
 */
#include "cpu/exec_util.h"

EXEC(jmp_J)
{
    return branch_relative(cpu, insn);
}

#define EXEC_JCC(cc)                                                                                         \
    EXEC(j##cc)                                                                                              \
    {                                                                                                        \
        return !CONDITION_##cc(cpu->rflags) || branch_relative(cpu, insn);                                   \
    }

FOR_EACH_CONDITION(EXEC_JCC)

#define EXEC_NEAR(bits)                                                                                      \
    EXEC(jmp_Ev_##bits)                                                                                      \
    {                                                                                                        \
        uint##bits##_t target;                                                                               \
        TRY(rm_read##bits(cpu, insn, &target));                                                              \
        return branch_to(cpu, insn, target);                                                                 \
    }                                                                                                        \
    EXEC(call_Ev_##bits)                                                                                     \
    {                                                                                                        \
        uint##bits##_t target, link = (uint##bits##_t)cpu->next_rip;                                         \
        TRY(rm_read##bits(cpu, insn, &target));                                                              \
        TRY(branch_to(cpu, insn, target));                                                                   \
        return fast_push##bits(cpu, link);                                                                   \
    }                                                                                                        \
    EXEC(call_Jz_##bits)                                                                                     \
    {                                                                                                        \
        uint##bits##_t link = (uint##bits##_t)cpu->next_rip;                                                 \
        TRY(branch_relative(cpu, insn));                                                                     \
        return fast_push##bits(cpu, link);                                                                   \
    }                                                                                                        \
    EXEC(ret_Iw_##bits)                                                                                      \
    {                                                                                                        \
        uint##bits##_t target;                                                                               \
        uint32_t sp = stack_pointer(cpu);                                                                    \
        TRY(fast_read##bits(cpu, SEG_SS, sp, &target));                                                      \
        TRY(branch_to(cpu, insn, target));                                                                   \
        stack_set_pointer(cpu, sp + bits / 8 + insn->imm);                                                   \
        return true;                                                                                         \
    }                                                                                                        \
    EXEC(ret_##bits)                                                                                         \
    {                                                                                                        \
        return exec_ret_Iw_##bits(cpu, insn); /* the immediate of a row without one is 0 */                  \
    }

EXEC_NEAR(16)
EXEC_NEAR(32)

/* ---- Loops: the count register is (E)CX by address size ------------------------------------------------- */

static uint32_t loop_count(const struct vcpu *cpu, const struct insn *insn)
{
    return insn->addrsize == 2 ? reg16(cpu, RCX) : reg32(cpu, RCX);
}

/* Count down; branch while the count is not zero and `condition` holds. */
static bool loop_while(struct vcpu *cpu, const struct insn *insn, bool condition)
{
    uint32_t count = loop_count(cpu, insn) - 1;

    if (insn->addrsize == 2) {
        count = (uint16_t)count;
    }
    if (count != 0 && condition) {
        TRY(branch_relative(cpu, insn));
    }
    if (insn->addrsize == 2) {
        set_reg16(cpu, RCX, (uint16_t)count);
    } else {
        set_reg32(cpu, RCX, count);
    }
    return true;
}

EXEC(loop)
{
    return loop_while(cpu, insn, true);
}

EXEC(loope)
{
    return loop_while(cpu, insn, (cpu->rflags & RFLAGS_ZF) != 0);
}

EXEC(loopne)
{
    return loop_while(cpu, insn, (cpu->rflags & RFLAGS_ZF) == 0);
}

EXEC(jcxz)
{
    return loop_count(cpu, insn) != 0 || branch_relative(cpu, insn);
}
