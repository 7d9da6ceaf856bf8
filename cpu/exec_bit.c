/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * BT BTS BTR BTC BSF BSR.
 *
 * SDM: Volume 2A, the instructions' own sections; Volume 1, "Bit String" (Figure "BIT(BitBase, BitOffset)"): a bit
 * offset in a register is signed and reaches beyond the operand that ModRM names; an immediate one does not. Flags
 * other than CF (ZF for BSF and BSR), and the destination of a scan of zero, are what the host leaves.
 */
#include "cpu/exec_util.h"
#include "cpu/hostalu.h"

/* Offset in the segment of the operand that holds bit `index` of the bit string at the memory operand. */
static uint32_t bit_operand16(const struct vcpu *cpu, const struct insn *insn, uint16_t index)
{
    uint32_t offset = insn_ea(cpu, insn) + (uint32_t)(((int16_t)index >> 4) * 2);

    return insn->addrsize == 2 ? (uint16_t)offset : offset;
}

static uint32_t bit_operand32(const struct vcpu *cpu, const struct insn *insn, uint32_t index)
{
    uint32_t offset = insn_ea(cpu, insn) + (uint32_t)(((int32_t)index >> 5) * 4);

    return insn->addrsize == 2 ? (uint16_t)offset : offset;
}

#define EXEC_BT(bits)                                                                                        \
    EXEC(bt_Ev_Gv_##bits)                                                                                    \
    {                                                                                                        \
        uint##bits##_t a = reg##bits(cpu, insn->rm), index = reg##bits(cpu, insn->reg);                      \
        if (insn->memory) {                                                                                  \
            TRY(fast_read##bits(cpu, insn->seg, bit_operand##bits(cpu, insn, index), &a));                   \
        }                                                                                                    \
        host_bt##bits(a, index &(bits - 1), &cpu->rflags);                                                   \
        return true;                                                                                         \
    }                                                                                                        \
    EXEC(bt_Ev_Ib_##bits)                                                                                    \
    {                                                                                                        \
        uint##bits##_t a;                                                                                    \
        TRY(rm_read##bits(cpu, insn, &a));                                                                   \
        host_bt##bits(a, insn->imm &(bits - 1), &cpu->rflags);                                               \
        return true;                                                                                         \
    }

EXEC_BT(16)
EXEC_BT(32)

#define EXEC_BIT_CHANGE(op, bits)                                                                            \
    EXEC(op##_Ev_Gv_##bits)                                                                                  \
    {                                                                                                        \
        struct rmw rmw;                                                                                      \
        uint##bits##_t a = reg##bits(cpu, insn->rm), index = reg##bits(cpu, insn->reg);                      \
        if (insn->memory) {                                                                                  \
            TRY(fast_rmw_begin##bits(cpu, insn->seg, bit_operand##bits(cpu, insn, index), &rmw, &a));        \
        }                                                                                                    \
        rm_end##bits(cpu, insn, &rmw, host_##op##bits(a, index &(bits - 1), &cpu->rflags));                  \
        return true;                                                                                         \
    }                                                                                                        \
    EXEC(op##_Ev_Ib_##bits)                                                                                  \
    {                                                                                                        \
        struct rmw rmw;                                                                                      \
        uint##bits##_t a;                                                                                    \
        TRY(rm_begin##bits(cpu, insn, &rmw, &a));                                                            \
        rm_end##bits(cpu, insn, &rmw, host_##op##bits(a, insn->imm &(bits - 1), &cpu->rflags));              \
        return true;                                                                                         \
    }

EXEC_BIT_CHANGE(bts, 16)
EXEC_BIT_CHANGE(bts, 32)
EXEC_BIT_CHANGE(btr, 16)
EXEC_BIT_CHANGE(btr, 32)
EXEC_BIT_CHANGE(btc, 16)
EXEC_BIT_CHANGE(btc, 32)

#define EXEC_SCAN(op, bits)                                                                                  \
    EXEC(op##_Gv_Ev_##bits)                                                                                  \
    {                                                                                                        \
        uint##bits##_t source;                                                                               \
        TRY(rm_read##bits(cpu, insn, &source));                                                              \
        set_reg##bits(cpu, insn->reg, host_##op##bits(reg##bits(cpu, insn->reg), source, &cpu->rflags));     \
        return true;                                                                                         \
    }

EXEC_SCAN(bsf, 16)
EXEC_SCAN(bsf, 32)
EXEC_SCAN(bsr, 16)
EXEC_SCAN(bsr, 32)
