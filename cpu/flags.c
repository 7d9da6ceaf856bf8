/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * RFLAGS as a whole: PUSHF, POPF, CLI, STI, and who may change which bit.
 *
 * SDM: Volume 2B, "POPF/POPFD", "PUSHF/PUSHFD", "STI"; Volume 2A, "CLI"; Volume 3B, "8086 Emulation":
 * "Protected-Mode Virtual Interrupts" (PVI) and "Interrupt and Exception Handling in Virtual-8086 Mode" (VME).
 *
 *            CLI, STI                              POPF changes             PUSHF
 *   real     IF                                    IF IOPL and the rest     flags
 *   CPL = 0  IF                                    IF IOPL and the rest     flags
 *   <= IOPL  IF                                    IF and the rest          flags
 *   > IOPL   CPL 3 with PVI: VIF; else #GP(0)      the rest                 flags
 *   V86, 3   IF                                    IF and the rest          flags
 *   V86 <3   VME: VIF; else #GP(0)                 VME, 16 bits: VIF and    VME, 16 bits: IF shows VIF,
 *                                                  the rest; else #GP(0)    IOPL shows 3; else #GP(0)
 *
 *   the rest: CF PF AF ZF SF TF DF OF NT, and with 32 bits AC ID
 */
#include "cpu/cpuid.h"
#include "cpu/exec.h"
#include "cpu/insn.h"

#define RFLAGS_REST16 (RFLAGS_ARITH | RFLAGS_TF | RFLAGS_DF | RFLAGS_NT)
#define RFLAGS_REST32 (RFLAGS_REST16 | RFLAGS_AC | RFLAGS_ID)

static unsigned iopl(const struct vcpu *cpu)
{
    return (unsigned)bits_get(cpu->rflags, 13, 12);
}

/* Bits the model has at all. */
static uint64_t rflags_implemented(const struct vcpu *cpu)
{
    uint64_t implemented =
        RFLAGS_REST32 | RFLAGS_IF | RFLAGS_IOPL | RFLAGS_RF | RFLAGS_VM | RFLAGS_VIF | RFLAGS_VIP;

    if (!(cpu->features & CPU_FEATURE_CPUID)) {
        implemented &= ~RFLAGS_ID;
    }
    if (!(cpu->features & CPU_FEATURE_VME)) {
        implemented &= ~(RFLAGS_VIF | RFLAGS_VIP);
    }
    return implemented;
}

void rflags_set(struct vcpu *cpu, uint64_t value, uint64_t mask)
{
    mask &= rflags_implemented(cpu);
    cpu->rflags = (cpu->rflags & ~mask) | (value & mask) | RFLAGS_FIXED1;
    vcpu_sync_attention(cpu);
}

/* ---- CLI, STI ------------------------------------------------------------------------------------------- */

enum interrupt_flag { FLAG_IF, FLAG_VIF, FLAG_NONE };

/* Which flag CLI and STI mean here. */
static enum interrupt_flag which_flag(const struct vcpu *cpu)
{
    if (cpu->v86) {
        return iopl(cpu) == 3 ? FLAG_IF : (cpu->cr4 & CR4_VME) ? FLAG_VIF : FLAG_NONE;
    }
    if (cpu->cpl <= iopl(cpu)) { /* real mode runs at CPL 0 */
        return FLAG_IF;
    }
    return cpu->cpl == 3 && (cpu->cr4 & CR4_PVI) ? FLAG_VIF : FLAG_NONE;
}

bool exec_cli(struct vcpu *cpu, const struct insn *insn)
{
    (void)insn;
    enum interrupt_flag flag = which_flag(cpu);

    if (flag == FLAG_NONE) {
        return raise_error(cpu, EXC_GP, 0);
    }
    rflags_set(cpu, 0, flag == FLAG_IF ? RFLAGS_IF : RFLAGS_VIF);
    return true;
}

bool exec_sti(struct vcpu *cpu, const struct insn *insn)
{
    (void)insn;
    enum interrupt_flag flag = which_flag(cpu);

    if (flag == FLAG_NONE || (flag == FLAG_VIF && (cpu->rflags & RFLAGS_VIP))) {
        return raise_error(cpu, EXC_GP, 0);
    }
    if (flag == FLAG_VIF) {
        rflags_set(cpu, RFLAGS_VIF, RFLAGS_VIF);
        return true;
    }
    if (!(cpu->rflags & RFLAGS_IF)) {
        vcpu_set_shadow(cpu, SHADOW_STI);
    }
    rflags_set(cpu, RFLAGS_IF, RFLAGS_IF);
    return true;
}

/* ---- PUSHF, POPF ---------------------------------------------------------------------------------------- */

/* In V86 mode with IOPL < 3, only the 16-bit forms under VME are left. */
static bool v86_virtual(const struct vcpu *cpu)
{
    return cpu->v86 && iopl(cpu) < 3;
}

static bool pushf(struct vcpu *cpu, unsigned size)
{
    uint64_t flags = cpu->rflags & ~(RFLAGS_VM | RFLAGS_RF);

    if (v86_virtual(cpu)) {
        if (size == 4 || !(cpu->cr4 & CR4_VME)) {
            return raise_error(cpu, EXC_GP, 0);
        }
        flags &= ~RFLAGS_IF;
        flags |= RFLAGS_IOPL | ((cpu->rflags & RFLAGS_VIF) ? RFLAGS_IF : 0);
    }
    return stack_push(cpu, size, (uint32_t)flags);
}

bool exec_pushf_16(struct vcpu *cpu, const struct insn *insn)
{
    (void)insn;
    return pushf(cpu, 2);
}

bool exec_pushf_32(struct vcpu *cpu, const struct insn *insn)
{
    (void)insn;
    return pushf(cpu, 4);
}

/* POPF in V86 mode under VME: VIF takes the place of IF. */
static bool popf_virtual(struct vcpu *cpu, uint32_t flags)
{
    if ((flags & RFLAGS_TF) || ((flags & RFLAGS_IF) && (cpu->rflags & RFLAGS_VIP))) {
        return raise_error(cpu, EXC_GP, 0);
    }
    uint64_t vif = (flags & RFLAGS_IF) ? RFLAGS_VIF : 0;
    rflags_set(cpu, (flags & ~RFLAGS_VIF) | vif, RFLAGS_REST16 | RFLAGS_VIF);
    return true;
}

static bool popf_checked(struct vcpu *cpu, unsigned size, uint32_t flags)
{
    if (v86_virtual(cpu)) {
        return popf_virtual(cpu, flags);
    }
    uint64_t mask = size == 4 ? RFLAGS_REST32 : RFLAGS_REST16;

    if (cpu->v86 || cpu->cpl <= iopl(cpu)) {
        mask |= RFLAGS_IF;
    }
    if (cpu->cpl == 0) {
        mask |= RFLAGS_IOPL;
    }
    rflags_set(cpu, flags, mask);
    return true;
}

static bool popf(struct vcpu *cpu, unsigned size)
{
    uint64_t rsp = cpu->gpr[RSP];
    uint32_t flags;

    if (v86_virtual(cpu) && (size == 4 || !(cpu->cr4 & CR4_VME))) {
        return raise_error(cpu, EXC_GP, 0);
    }
    TRY(stack_pop(cpu, size, &flags));
    if (!popf_checked(cpu, size, flags)) {
        cpu->gpr[RSP] = rsp;
        return false;
    }
    return true;
}

bool exec_popf_16(struct vcpu *cpu, const struct insn *insn)
{
    (void)insn;
    return popf(cpu, 2);
}

bool exec_popf_32(struct vcpu *cpu, const struct insn *insn)
{
    (void)insn;
    return popf(cpu, 4);
}
