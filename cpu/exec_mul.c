/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * MUL IMUL DIV IDIV.
 *
 * A division that would raise #DE is found before it is executed: the host must never trap.
 *
 * SDM: Volume 2A and 2B, the instructions' own sections. Undefined flags are the host's.
 */
#include "cpu/exec_util.h"
#include "cpu/hostalu.h"

/* ---- Multiplication ------------------------------------------------------------------------------------- */

#define EXEC_MUL8(name, op)                                                                                  \
    EXEC(name)                                                                                               \
    {                                                                                                        \
        uint8_t b;                                                                                           \
        TRY(rm_read8(cpu, insn, &b));                                                                        \
        set_reg16(cpu, RAX, host_##op##_ax(reg16(cpu, RAX), b, &cpu->rflags));                               \
        return true;                                                                                         \
    }

#define EXEC_MUL(name, op, bits)                                                                             \
    EXEC(name)                                                                                               \
    {                                                                                                        \
        uint##bits##_t b, low = reg##bits(cpu, RAX), high = 0;                                               \
        TRY(rm_read##bits(cpu, insn, &b));                                                                   \
        host_##op##_pair##bits(&low, &high, b, &cpu->rflags);                                                \
        set_reg##bits(cpu, RAX, low);                                                                        \
        set_reg##bits(cpu, RDX, high);                                                                       \
        return true;                                                                                         \
    }

EXEC_MUL8(mul_Eb, mul)
EXEC_MUL(mul_Ev_16, mul, 16)
EXEC_MUL(mul_Ev_32, mul, 32)
EXEC_MUL8(imul_Eb, imul)
EXEC_MUL(imul_Ev_16, imul, 16)
EXEC_MUL(imul_Ev_32, imul, 32)

#define EXEC_IMUL(name, bits, multiplier)                                                                    \
    EXEC(name)                                                                                               \
    {                                                                                                        \
        uint##bits##_t b;                                                                                    \
        TRY(rm_read##bits(cpu, insn, &b));                                                                   \
        set_reg##bits(cpu, insn->reg, host_imul##bits(b, (uint##bits##_t)(multiplier), &cpu->rflags));       \
        return true;                                                                                         \
    }

EXEC_IMUL(imul_Gv_Ev_16, 16, reg16(cpu, insn->reg))
EXEC_IMUL(imul_Gv_Ev_32, 32, reg32(cpu, insn->reg))
EXEC_IMUL(imul_Gv_Ev_Iz_16, 16, insn->imm)
EXEC_IMUL(imul_Gv_Ev_Iz_32, 32, insn->imm)

/* ---- Division ------------------------------------------------------------------------------------------- */

/* Does the quotient fit `bits` bits? The dividend has twice as many. */
static bool div_fits(uint64_t dividend, uint32_t divisor, unsigned bits)
{
    return divisor != 0 && dividend >> bits < divisor;
}

static bool idiv_fits(int64_t dividend, int32_t divisor, unsigned bits)
{
    if (divisor == 0 || (divisor == -1 && dividend == INT64_MIN)) {
        return false;
    }
    int64_t quotient = dividend / divisor, bound = (int64_t)1 << (bits - 1);
    return quotient >= -bound && quotient < bound;
}

#define EXEC_DIV8(name, op, fits, wide, narrow)                                                              \
    EXEC(name)                                                                                               \
    {                                                                                                        \
        uint8_t b;                                                                                           \
        TRY(rm_read8(cpu, insn, &b));                                                                        \
        if (!fits((wide)reg16(cpu, RAX), (narrow)b, 8)) {                                                    \
            return raise_exception(cpu, EXC_DE);                                                             \
        }                                                                                                    \
        set_reg16(cpu, RAX, host_##op##_ax(reg16(cpu, RAX), b, &cpu->rflags));                               \
        return true;                                                                                         \
    }

#define EXEC_DIV(name, op, fits, bits, wide, narrow)                                                         \
    EXEC(name)                                                                                               \
    {                                                                                                        \
        uint##bits##_t b, low = reg##bits(cpu, RAX), high = reg##bits(cpu, RDX);                             \
        TRY(rm_read##bits(cpu, insn, &b));                                                                   \
        if (!fits((wide)((uint64_t)high << bits | low), (narrow)b, bits)) {                                  \
            return raise_exception(cpu, EXC_DE);                                                             \
        }                                                                                                    \
        host_##op##_pair##bits(&low, &high, b, &cpu->rflags);                                                \
        set_reg##bits(cpu, RAX, low);                                                                        \
        set_reg##bits(cpu, RDX, high);                                                                       \
        return true;                                                                                         \
    }

EXEC_DIV8(div_Eb, div, div_fits, uint16_t, uint8_t)
EXEC_DIV(div_Ev_16, div, div_fits, 16, uint32_t, uint16_t)
EXEC_DIV(div_Ev_32, div, div_fits, 32, uint64_t, uint32_t)
EXEC_DIV8(idiv_Eb, idiv, idiv_fits, int16_t, int8_t)
EXEC_DIV(idiv_Ev_16, idiv, idiv_fits, 16, int32_t, int16_t)
EXEC_DIV(idiv_Ev_32, idiv, idiv_fits, 32, int64_t, int32_t)
