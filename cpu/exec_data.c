/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Data movement: MOV (general registers), MOVZX MOVSX MOVNTI XCHG BSWAP LEA XLAT CBW CWD CMOVcc SETcc, and the
 * instructions without effect here: NOP, PREFETCH, fences, CLFLUSH.
 *
 * SDM: Volume 2. Caches are not modelled, so the fences and CLFLUSH (beyond its access check) do nothing; BSWAP of a
 * 16-bit register, undefined in the manual, gives zero as processors do.
 */
#include "cpu/exec_util.h"
#include "cpu/points.h"

/* ---- MOV ------------------------------------------------------------------------------------------------ */

#define EXEC_MOVES(bits, E_G, G_E, E_I, Z_I, A_O, O_A)                                                       \
    EXEC(E_G)                                                                                                \
    {                                                                                                        \
        return rm_write##bits(cpu, insn, reg##bits(cpu, insn->reg));                                         \
    }                                                                                                        \
    EXEC(G_E)                                                                                                \
    {                                                                                                        \
        uint##bits##_t value;                                                                                \
        TRY(rm_read##bits(cpu, insn, &value));                                                               \
        set_reg##bits(cpu, insn->reg, value);                                                                \
        return true;                                                                                         \
    }                                                                                                        \
    EXEC(E_I)                                                                                                \
    {                                                                                                        \
        return rm_write##bits(cpu, insn, (uint##bits##_t)insn->imm);                                         \
    }                                                                                                        \
    EXEC(Z_I)                                                                                                \
    {                                                                                                        \
        set_reg##bits(cpu, insn->rm, (uint##bits##_t)insn->imm);                                             \
        return true;                                                                                         \
    }                                                                                                        \
    EXEC(A_O)                                                                                                \
    {                                                                                                        \
        uint##bits##_t value;                                                                                \
        TRY(fast_read##bits(cpu, insn->seg, insn_ea(cpu, insn), &value));                                    \
        set_reg##bits(cpu, RAX, value);                                                                      \
        return true;                                                                                         \
    }                                                                                                        \
    EXEC(O_A)                                                                                                \
    {                                                                                                        \
        return fast_write##bits(cpu, insn->seg, insn_ea(cpu, insn), reg##bits(cpu, RAX));                    \
    }

EXEC_MOVES(8, mov_Eb_Gb, mov_Gb_Eb, mov_Eb_Ib, mov_Zb_Ib, mov_AL_Ob, mov_Ob_AL)
EXEC_MOVES(16, mov_Ev_Gv_16, mov_Gv_Ev_16, mov_Ev_Iz_16, mov_Zv_Iz_16, mov_eAX_Ov_16, mov_Ov_eAX_16)
EXEC_MOVES(32, mov_Ev_Gv_32, mov_Gv_Ev_32, mov_Ev_Iz_32, mov_Zv_Iz_32, mov_eAX_Ov_32, mov_Ov_eAX_32)

EXEC(movnti_Md_Gd)
{
    return fast_write32(cpu, insn->seg, insn_ea(cpu, insn), reg32(cpu, insn->reg));
}

/* MOVZX, MOVSX: `from` bits, read as `type`, to `to` bits. */
#define EXEC_EXTEND(name, from, to, type)                                                                    \
    EXEC(name)                                                                                               \
    {                                                                                                        \
        uint##from##_t value;                                                                                \
        TRY(rm_read##from(cpu, insn, &value));                                                               \
        set_reg##to(cpu, insn->reg, (uint##to##_t)(type)value);                                              \
        return true;                                                                                         \
    }

EXEC_EXTEND(movzx_Gv_Eb_16, 8, 16, uint8_t)
EXEC_EXTEND(movzx_Gv_Eb_32, 8, 32, uint8_t)
EXEC_EXTEND(movzx_Gv_Ew_16, 16, 16, uint16_t)
EXEC_EXTEND(movzx_Gv_Ew_32, 16, 32, uint16_t)
EXEC_EXTEND(movsx_Gv_Eb_16, 8, 16, int8_t)
EXEC_EXTEND(movsx_Gv_Eb_32, 8, 32, int8_t)
EXEC_EXTEND(movsx_Gv_Ew_16, 16, 16, int16_t)
EXEC_EXTEND(movsx_Gv_Ew_32, 16, 32, int16_t)

/* ---- Exchange ------------------------------------------------------------------------------------------- */

#define EXEC_XCHG(name, bits)                                                                                \
    EXEC(name)                                                                                               \
    {                                                                                                        \
        struct rmw rmw;                                                                                      \
        uint##bits##_t value;                                                                                \
        TRY(rm_begin##bits(cpu, insn, &rmw, &value));                                                        \
        rm_end##bits(cpu, insn, &rmw, reg##bits(cpu, insn->reg));                                            \
        set_reg##bits(cpu, insn->reg, value);                                                                \
        return true;                                                                                         \
    }

EXEC_XCHG(xchg_Eb_Gb, 8)
EXEC_XCHG(xchg_Ev_Gv_32, 32)

EXEC(xchg_Ev_Gv_16)
{
    struct rmw rmw;
    uint16_t value;

    TRY(rm_begin16(cpu, insn, &rmw, &value));
    rm_end16(cpu, insn, &rmw, reg16(cpu, insn->reg));
    set_reg16(cpu, insn->reg, value);
    if (UNLIKELY(cpu->points != NULL) && points_is_magic(insn)) {
        points_magic(cpu);
    }
    return true;
}

EXEC(xchg_Zv_eAX_16)
{
    uint16_t value = reg16(cpu, insn->rm);

    set_reg16(cpu, insn->rm, reg16(cpu, RAX));
    set_reg16(cpu, RAX, value);
    return true;
}

EXEC(xchg_Zv_eAX_32)
{
    uint32_t value = reg32(cpu, insn->rm);

    set_reg32(cpu, insn->rm, reg32(cpu, RAX));
    set_reg32(cpu, RAX, value);
    return true;
}

EXEC(bswap_Zv_16)
{
    set_reg16(cpu, insn->rm, 0);
    return true;
}

EXEC(bswap_Zv_32)
{
    set_reg32(cpu, insn->rm, __builtin_bswap32(reg32(cpu, insn->rm)));
    return true;
}

/* ---- Addresses ------------------------------------------------------------------------------------------ */

EXEC(lea_Gv_M_16)
{
    set_reg16(cpu, insn->reg, (uint16_t)insn_ea(cpu, insn));
    return true;
}

EXEC(lea_Gv_M_32)
{
    set_reg32(cpu, insn->reg, insn_ea(cpu, insn));
    return true;
}

EXEC(xlatb)
{
    uint32_t offset = reg32(cpu, RBX) + reg8(cpu, RAX);
    uint8_t value;

    TRY(fast_read8(cpu, insn->seg, insn->addrsize == 2 ? (uint16_t)offset : offset, &value));
    set_reg8(cpu, RAX, value);
    return true;
}

/* ---- Sign extension of the accumulator ------------------------------------------------------------------ */

EXEC_PLAIN(cbw_16)
{
    set_reg16(cpu, RAX, (uint16_t)(int8_t)reg8(cpu, RAX));
    return true;
}

EXEC_PLAIN(cbw_32)
{
    set_reg32(cpu, RAX, (uint32_t)(int16_t)reg16(cpu, RAX));
    return true;
}

EXEC_PLAIN(cwd_16)
{
    set_reg16(cpu, RDX, reg16(cpu, RAX) & 0x8000 ? 0xffff : 0);
    return true;
}

EXEC_PLAIN(cwd_32)
{
    set_reg32(cpu, RDX, reg32(cpu, RAX) & 0x80000000 ? 0xffffffff : 0);
    return true;
}

/* ---- Conditional ---------------------------------------------------------------------------------------- */

/* The source is read, and may fault, whatever the condition. */
#define EXEC_CMOV(cc, bits)                                                                                  \
    EXEC(cmov##cc##_##bits)                                                                                  \
    {                                                                                                        \
        uint##bits##_t value;                                                                                \
        TRY(rm_read##bits(cpu, insn, &value));                                                               \
        if (CONDITION_##cc(cpu->rflags)) {                                                                   \
            set_reg##bits(cpu, insn->reg, value);                                                            \
        }                                                                                                    \
        return true;                                                                                         \
    }

#define EXEC_CONDITIONAL(cc)                                                                                 \
    EXEC_CMOV(cc, 16)                                                                                        \
    EXEC_CMOV(cc, 32)                                                                                        \
    EXEC(set##cc)                                                                                            \
    {                                                                                                        \
        return rm_write8(cpu, insn, CONDITION_##cc(cpu->rflags));                                            \
    }

FOR_EACH_CONDITION(EXEC_CONDITIONAL)

/* ---- Without effect ------------------------------------------------------------------------------------- */

bool exec_nop(struct vcpu *cpu __attribute__((unused)), const struct insn *insn __attribute__((unused)))
{
    return true;
}

/* SDM: Volume 2A, "CLFLUSH": subject to all checks of a byte read. */
EXEC(clflush)
{
    return access_probe_read(cpu, insn->seg, insn_ea(cpu, insn), 1);
}
