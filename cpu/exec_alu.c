/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * ADD OR ADC SBB AND SUB XOR CMP TEST INC DEC NEG NOT XADD CMPXCHG CMPXCHG8B, the decimal adjustments, and the
 * instructions that set single flags.
 *
 * SDM: Volume 2, instruction reference. The flags that DAA, DAS, AAA, AAS, AAM and AAD leave undefined are set from
 * the result like those that they define (SF, ZF, PF), OF is cleared; CF and AF after AAM and AAD are cleared.
 */
#include "cpu/exec_util.h"
#include "cpu/hostalu.h"

/* op r/m,reg and op r/m,imm: the destination is read, modified and written. */
#define EXEC_RM(name, op, bits, source)                                                                      \
    EXEC(name)                                                                                               \
    {                                                                                                        \
        struct rmw rmw;                                                                                      \
        uint##bits##_t a;                                                                                    \
        TRY(rm_begin##bits(cpu, insn, &rmw, &a));                                                            \
        rm_end##bits(cpu, insn, &rmw, host_##op##bits(a, (uint##bits##_t)(source), &cpu->rflags));           \
        return true;                                                                                         \
    }

/* op reg,r/m */
#define EXEC_REG(name, op, bits)                                                                             \
    EXEC(name)                                                                                               \
    {                                                                                                        \
        uint##bits##_t b;                                                                                    \
        TRY(rm_read##bits(cpu, insn, &b));                                                                   \
        set_reg##bits(cpu, insn->reg, host_##op##bits(reg##bits(cpu, insn->reg), b, &cpu->rflags));          \
        return true;                                                                                         \
    }

/* op accumulator,imm */
#define EXEC_ACC(name, op, bits)                                                                             \
    EXEC(name)                                                                                               \
    {                                                                                                        \
        set_reg##bits(cpu, RAX,                                                                              \
                      host_##op##bits(reg##bits(cpu, RAX), (uint##bits##_t)insn->imm, &cpu->rflags));        \
        return true;                                                                                         \
    }

#define EXEC_ALU(op)                                                                                         \
    EXEC_RM(op##_Eb_Gb, op, 8, reg8(cpu, insn->reg))                                                         \
    EXEC_RM(op##_Ev_Gv_16, op, 16, reg16(cpu, insn->reg))                                                    \
    EXEC_RM(op##_Ev_Gv_32, op, 32, reg32(cpu, insn->reg))                                                    \
    EXEC_RM(op##_Eb_Ib, op, 8, insn->imm)                                                                    \
    EXEC_RM(op##_Ev_Iz_16, op, 16, insn->imm)                                                                \
    EXEC_RM(op##_Ev_Iz_32, op, 32, insn->imm)                                                                \
    EXEC_REG(op##_Gb_Eb, op, 8)                                                                              \
    EXEC_REG(op##_Gv_Ev_16, op, 16)                                                                          \
    EXEC_REG(op##_Gv_Ev_32, op, 32)                                                                          \
    EXEC_ACC(op##_AL_Ib, op, 8)                                                                              \
    EXEC_ACC(op##_eAX_Iz_16, op, 16)                                                                         \
    EXEC_ACC(op##_eAX_Iz_32, op, 32)

EXEC_ALU(add)
EXEC_ALU(or)
EXEC_ALU(adc)
EXEC_ALU(sbb)
EXEC_ALU(and)
EXEC_ALU(sub)
EXEC_ALU(xor)

/* ---- Comparisons: flags only ---------------------------------------------------------------------------- */

#define EXEC_COMPARE_RM(name, op, bits, source)                                                              \
    EXEC(name)                                                                                               \
    {                                                                                                        \
        uint##bits##_t a;                                                                                    \
        TRY(rm_read##bits(cpu, insn, &a));                                                                   \
        host_##op##bits(a, (uint##bits##_t)(source), &cpu->rflags);                                          \
        return true;                                                                                         \
    }

#define EXEC_COMPARE_REG(name, op, bits)                                                                     \
    EXEC(name)                                                                                               \
    {                                                                                                        \
        uint##bits##_t b;                                                                                    \
        TRY(rm_read##bits(cpu, insn, &b));                                                                   \
        host_##op##bits(reg##bits(cpu, insn->reg), b, &cpu->rflags);                                         \
        return true;                                                                                         \
    }

#define EXEC_COMPARE_ACC(name, op, bits)                                                                     \
    EXEC(name)                                                                                               \
    {                                                                                                        \
        host_##op##bits(reg##bits(cpu, RAX), (uint##bits##_t)insn->imm, &cpu->rflags);                       \
        return true;                                                                                         \
    }

#define EXEC_COMPARE(op)                                                                                     \
    EXEC_COMPARE_RM(op##_Eb_Gb, op, 8, reg8(cpu, insn->reg))                                                 \
    EXEC_COMPARE_RM(op##_Ev_Gv_16, op, 16, reg16(cpu, insn->reg))                                            \
    EXEC_COMPARE_RM(op##_Ev_Gv_32, op, 32, reg32(cpu, insn->reg))                                            \
    EXEC_COMPARE_RM(op##_Eb_Ib, op, 8, insn->imm)                                                            \
    EXEC_COMPARE_RM(op##_Ev_Iz_16, op, 16, insn->imm)                                                        \
    EXEC_COMPARE_RM(op##_Ev_Iz_32, op, 32, insn->imm)                                                        \
    EXEC_COMPARE_ACC(op##_AL_Ib, op, 8)                                                                      \
    EXEC_COMPARE_ACC(op##_eAX_Iz_16, op, 16)                                                                 \
    EXEC_COMPARE_ACC(op##_eAX_Iz_32, op, 32)

EXEC_COMPARE(cmp)
EXEC_COMPARE_REG(cmp_Gb_Eb, cmp, 8)
EXEC_COMPARE_REG(cmp_Gv_Ev_16, cmp, 16)
EXEC_COMPARE_REG(cmp_Gv_Ev_32, cmp, 32)
EXEC_COMPARE(test)

/* ---- One operand ---------------------------------------------------------------------------------------- */

#define EXEC_UNARY(name, op, bits)                                                                           \
    EXEC(name)                                                                                               \
    {                                                                                                        \
        struct rmw rmw;                                                                                      \
        uint##bits##_t a;                                                                                    \
        TRY(rm_begin##bits(cpu, insn, &rmw, &a));                                                            \
        rm_end##bits(cpu, insn, &rmw, host_##op##bits(a, &cpu->rflags));                                     \
        return true;                                                                                         \
    }

EXEC_UNARY(inc_Eb, inc, 8)
EXEC_UNARY(inc_Ev_16, inc, 16)
EXEC_UNARY(inc_Ev_32, inc, 32)
EXEC_UNARY(dec_Eb, dec, 8)
EXEC_UNARY(dec_Ev_16, dec, 16)
EXEC_UNARY(dec_Ev_32, dec, 32)
EXEC_UNARY(neg_Eb, neg, 8)
EXEC_UNARY(neg_Ev_16, neg, 16)
EXEC_UNARY(neg_Ev_32, neg, 32)

#define EXEC_UNARY_REG(name, op, bits)                                                                       \
    EXEC(name)                                                                                               \
    {                                                                                                        \
        set_reg##bits(cpu, insn->rm, host_##op##bits(reg##bits(cpu, insn->rm), &cpu->rflags));               \
        return true;                                                                                         \
    }

EXEC_UNARY_REG(inc_Zv_16, inc, 16)
EXEC_UNARY_REG(inc_Zv_32, inc, 32)
EXEC_UNARY_REG(dec_Zv_16, dec, 16)
EXEC_UNARY_REG(dec_Zv_32, dec, 32)

/* NOT changes no flags. */
#define EXEC_NOT(name, bits)                                                                                 \
    EXEC(name)                                                                                               \
    {                                                                                                        \
        struct rmw rmw;                                                                                      \
        uint##bits##_t a;                                                                                    \
        TRY(rm_begin##bits(cpu, insn, &rmw, &a));                                                            \
        rm_end##bits(cpu, insn, &rmw, (uint##bits##_t) ~a);                                                  \
        return true;                                                                                         \
    }

EXEC_NOT(not_Eb, 8)
EXEC_NOT(not_Ev_16, 16)
EXEC_NOT(not_Ev_32, 32)

/* ---- Exchange and arithmetic in one --------------------------------------------------------------------- */

/* The register takes the old destination before the sum is written: XADD of a register with itself doubles it. */
#define EXEC_XADD(name, bits)                                                                                \
    EXEC(name)                                                                                               \
    {                                                                                                        \
        struct rmw rmw;                                                                                      \
        uint##bits##_t a;                                                                                    \
        TRY(rm_begin##bits(cpu, insn, &rmw, &a));                                                            \
        uint##bits##_t sum = host_add##bits(a, reg##bits(cpu, insn->reg), &cpu->rflags);                     \
        set_reg##bits(cpu, insn->reg, a);                                                                    \
        rm_end##bits(cpu, insn, &rmw, sum);                                                                  \
        return true;                                                                                         \
    }

EXEC_XADD(xadd_Eb_Gb, 8)
EXEC_XADD(xadd_Ev_Gv_16, 16)
EXEC_XADD(xadd_Ev_Gv_32, 32)

/* A memory destination is written in either case, as the manual has it. */
#define EXEC_CMPXCHG(name, bits)                                                                             \
    EXEC(name)                                                                                               \
    {                                                                                                        \
        struct rmw rmw;                                                                                      \
        uint##bits##_t a;                                                                                    \
        TRY(rm_begin##bits(cpu, insn, &rmw, &a));                                                            \
        host_cmp##bits(reg##bits(cpu, RAX), a, &cpu->rflags);                                                \
        if (cpu->rflags & RFLAGS_ZF) {                                                                       \
            rm_end##bits(cpu, insn, &rmw, reg##bits(cpu, insn->reg));                                        \
        } else {                                                                                             \
            rm_end##bits(cpu, insn, &rmw, a);                                                                \
            set_reg##bits(cpu, RAX, a);                                                                      \
        }                                                                                                    \
        return true;                                                                                         \
    }

EXEC_CMPXCHG(cmpxchg_Eb_Gb, 8)
EXEC_CMPXCHG(cmpxchg_Ev_Gv_16, 16)
EXEC_CMPXCHG(cmpxchg_Ev_Gv_32, 32)

EXEC(cmpxchg8b)
{
    struct rmw rmw;
    uint64_t a;

    TRY(fast_rmw_begin64(cpu, insn->seg, insn_ea(cpu, insn), &rmw, &a));
    if (a == ((uint64_t)reg32(cpu, RDX) << 32 | reg32(cpu, RAX))) {
        cpu->rflags |= RFLAGS_ZF;
        fast_rmw_end64(cpu, &rmw, (uint64_t)reg32(cpu, RCX) << 32 | reg32(cpu, RBX));
    } else {
        cpu->rflags &= ~RFLAGS_ZF;
        fast_rmw_end64(cpu, &rmw, a);
        set_reg32(cpu, RAX, (uint32_t)a);
        set_reg32(cpu, RDX, (uint32_t)(a >> 32));
    }
    return true;
}

/* ---- Decimal adjustments -------------------------------------------------------------------------------- */

/* CF and AF as given, SF, ZF and PF of AL, OF clear. */
static void set_decimal_flags(struct vcpu *cpu, bool carry, bool adjust)
{
    uint8_t al = reg8(cpu, RAX);
    uint64_t flags = (carry ? RFLAGS_CF : 0) | (adjust ? RFLAGS_AF : 0);

    flags |= al & 0x80 ? RFLAGS_SF : 0;
    flags |= al == 0 ? RFLAGS_ZF : 0;
    flags |= __builtin_parity(al) ? 0 : RFLAGS_PF;
    cpu->rflags = (cpu->rflags & ~RFLAGS_ARITH) | flags;
}

EXEC_PLAIN(daa)
{
    uint8_t al = reg8(cpu, RAX);
    bool adjust = (al & 0x0f) > 9 || (cpu->rflags & RFLAGS_AF);
    bool carry = al > 0x99 || (cpu->rflags & RFLAGS_CF);

    set_reg8(cpu, RAX, (uint8_t)(al + (adjust ? 0x06 : 0) + (carry ? 0x60 : 0)));
    set_decimal_flags(cpu, carry, adjust);
    return true;
}

/* The low digit's borrow counts as a carry too. */
EXEC_PLAIN(das)
{
    uint8_t al = reg8(cpu, RAX);
    bool adjust = (al & 0x0f) > 9 || (cpu->rflags & RFLAGS_AF);
    bool high = al > 0x99 || (cpu->rflags & RFLAGS_CF);
    bool carry = high || (adjust && al < 0x06);

    set_reg8(cpu, RAX, (uint8_t)(al - (adjust ? 0x06 : 0) - (high ? 0x60 : 0)));
    set_decimal_flags(cpu, carry, adjust);
    return true;
}

EXEC_PLAIN(aaa)
{
    bool adjust = (reg8(cpu, RAX) & 0x0f) > 9 || (cpu->rflags & RFLAGS_AF);
    uint16_t ax = (uint16_t)(reg16(cpu, RAX) + (adjust ? 0x106 : 0));

    set_reg16(cpu, RAX, ax & 0xff0f);
    set_decimal_flags(cpu, adjust, adjust);
    return true;
}

EXEC_PLAIN(aas)
{
    bool adjust = (reg8(cpu, RAX) & 0x0f) > 9 || (cpu->rflags & RFLAGS_AF);
    uint16_t ax = (uint16_t)(reg16(cpu, RAX) - (adjust ? 0x106 : 0));

    set_reg16(cpu, RAX, ax & 0xff0f);
    set_decimal_flags(cpu, adjust, adjust);
    return true;
}

EXEC(aam)
{
    uint8_t al = reg8(cpu, RAX), base = (uint8_t)insn->imm;

    if (base == 0) {
        return raise_exception(cpu, EXC_DE);
    }
    set_reg16(cpu, RAX, (uint16_t)((al / base) << 8 | al % base));
    set_decimal_flags(cpu, false, false);
    return true;
}

EXEC(aad)
{
    uint16_t ax = reg16(cpu, RAX);

    set_reg16(cpu, RAX, (uint8_t)((ax & 0xff) + (ax >> 8) * insn->imm));
    set_decimal_flags(cpu, false, false);
    return true;
}

/* ---- Single flags --------------------------------------------------------------------------------------- */

EXEC_PLAIN(clc)
{
    cpu->rflags &= ~RFLAGS_CF;
    return true;
}

EXEC_PLAIN(stc)
{
    cpu->rflags |= RFLAGS_CF;
    return true;
}

EXEC_PLAIN(cmc)
{
    cpu->rflags ^= RFLAGS_CF;
    return true;
}

EXEC_PLAIN(cld)
{
    cpu->rflags &= ~RFLAGS_DF;
    return true;
}

EXEC_PLAIN(std)
{
    cpu->rflags |= RFLAGS_DF;
    return true;
}

#define SAHF_FLAGS (RFLAGS_SF | RFLAGS_ZF | RFLAGS_AF | RFLAGS_PF | RFLAGS_CF)

EXEC_PLAIN(sahf)
{
    cpu->rflags = (cpu->rflags & ~SAHF_FLAGS) | (reg8(cpu, 4) & SAHF_FLAGS);
    return true;
}

EXEC_PLAIN(lahf)
{
    set_reg8(cpu, 4, (uint8_t)((cpu->rflags & SAHF_FLAGS) | RFLAGS_FIXED1));
    return true;
}

EXEC_PLAIN(salc)
{
    set_reg8(cpu, RAX, cpu->rflags & RFLAGS_CF ? 0xff : 0);
    return true;
}
