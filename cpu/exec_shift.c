/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * ROL ROR RCL RCR SHL SHR SAR SHLD SHRD.
 *
 * Counts are taken modulo 32 by the host's instruction itself; a count of zero changes no flag, though a memory
 * operand is still written.
 *
 * SDM: Volume 2B, "RCL/RCR/ROL/ROR", "SAL/SAR/SHL/SHR", "SHLD", "SHRD". What they leave undefined (OF for counts
 * above 1, 16-bit double shifts by more than 16) is what the host makes of it.
 */
#include "cpu/exec_util.h"
#include "cpu/hostalu.h"

#define EXEC_SHIFT(name, op, bits, count)                                                                    \
    EXEC(name)                                                                                               \
    {                                                                                                        \
        struct rmw rmw;                                                                                      \
        uint##bits##_t a;                                                                                    \
        TRY(rm_begin##bits(cpu, insn, &rmw, &a));                                                            \
        rm_end##bits(cpu, insn, &rmw, host_##op##bits(a, (uint8_t)(count), &cpu->rflags));                   \
        return true;                                                                                         \
    }

#define EXEC_SHIFTS(op)                                                                                      \
    EXEC_SHIFT(op##_Eb_Ib, op, 8, insn->imm)                                                                 \
    EXEC_SHIFT(op##_Ev_Ib_16, op, 16, insn->imm)                                                             \
    EXEC_SHIFT(op##_Ev_Ib_32, op, 32, insn->imm)                                                             \
    EXEC_SHIFT(op##_Eb_CL, op, 8, reg8(cpu, RCX))                                                            \
    EXEC_SHIFT(op##_Ev_CL_16, op, 16, reg8(cpu, RCX))                                                        \
    EXEC_SHIFT(op##_Ev_CL_32, op, 32, reg8(cpu, RCX))

EXEC_SHIFTS(rol)
EXEC_SHIFTS(ror)
EXEC_SHIFTS(rcl)
EXEC_SHIFTS(rcr)
EXEC_SHIFTS(shl)
EXEC_SHIFTS(shr)
EXEC_SHIFTS(sar)

#define EXEC_DOUBLE_SHIFT(name, op, bits, count)                                                             \
    EXEC(name)                                                                                               \
    {                                                                                                        \
        struct rmw rmw;                                                                                      \
        uint##bits##_t a;                                                                                    \
        TRY(rm_begin##bits(cpu, insn, &rmw, &a));                                                            \
        a = host_##op##bits(a, reg##bits(cpu, insn->reg), (uint8_t)(count), &cpu->rflags);                   \
        rm_end##bits(cpu, insn, &rmw, a);                                                                    \
        return true;                                                                                         \
    }

EXEC_DOUBLE_SHIFT(shld_Ev_Gv_Ib_16, shld, 16, insn->imm)
EXEC_DOUBLE_SHIFT(shld_Ev_Gv_Ib_32, shld, 32, insn->imm)
EXEC_DOUBLE_SHIFT(shld_Ev_Gv_CL_16, shld, 16, reg8(cpu, RCX))
EXEC_DOUBLE_SHIFT(shld_Ev_Gv_CL_32, shld, 32, reg8(cpu, RCX))
EXEC_DOUBLE_SHIFT(shrd_Ev_Gv_Ib_16, shrd, 16, insn->imm)
EXEC_DOUBLE_SHIFT(shrd_Ev_Gv_Ib_32, shrd, 32, insn->imm)
EXEC_DOUBLE_SHIFT(shrd_Ev_Gv_CL_16, shrd, 16, reg8(cpu, RCX))
EXEC_DOUBLE_SHIFT(shrd_Ev_Gv_CL_32, shrd, 32, reg8(cpu, RCX))
