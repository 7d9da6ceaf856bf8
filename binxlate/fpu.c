/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The guest's x87, MMX and SSE state in the host's own units.
 *
 *   vcpu.fpu --(first FPU instruction: fpu_enliven)--> live: FXRSTOR on the way in, FXSAVE on the way out
 *            <--(interpreter, or call-outs without end: fpu_release)--
 *
 * While the state is live, blocks are those of MODE_FPU and execute FPU instructions as they are. C code between exits
 * finds vcpu.fpu complete and the units reset, so the interpreter's functions need not know. Blocks without MODE_FPU
 * call the first FPU instruction out, which is what makes the state live: code that uses no FPU pays nothing.
 *
 * CR0.EM and CR0.TS are clear and all x87 exceptions are masked while the state is live: an FLDCW that unmasks one is
 * left to the interpreter (gen_fpu.c). SSE exceptions that are unmasked arrive as SIGFPE at the instruction itself,
 * which the interpreter then executes.
 *
 * The host's FIP and FDP are host addresses, and some processors do not even store them. Translated x87 instructions
 * leave the guest's in vcpu.x87, from where they come into the image when translated code is left.
 *
 * SDM: Volume 1, "FXSAVE Area", "x87 FPU Instruction and Data (Operand) Pointers"; Volume 3A, "System Programming for
 * Instruction Set Extensions".
 */
#include "binxlate/engine.h"
#include "cpu/cpuid.h"
#include "cpu/fpu.h"

enum {
    CREDIT = 200,
    NOT_SET = 0xffff, /* no FOP, no segment */
};

static bool can_live(const struct vcpu *cpu)
{
    const struct fxsave *fpu = &cpu->fpu;

    return (cpu->features & CPU_FEATURE_FPU) && !(cpu->cr0 & (CR0_EM | CR0_TS)) &&
           (fpu->fcw & FSW_EXCEPTIONS) == FSW_EXCEPTIONS && !(fpu->fsw & FSW_ES) && !cpu->ferr;
}

bool fpu_enliven(struct binxlate *x)
{
    TRY(can_live(x->cpu));
    x->run.fpu_live = 1;
    x->fpu_credit = CREDIT;
    return true;
}

void fpu_release(struct binxlate *x)
{
    x->run.fpu_live = 0;
}

void fpu_charge(struct binxlate *x)
{
    if (x->run.fpu_live && x->fpu_credit-- == 0) {
        fpu_release(x);
    }
}

void fpu_prepare(struct binxlate *x)
{
    struct vcpu *cpu = x->cpu;
    const struct fxsave *fpu = &cpu->fpu;

    if (x->run.fpu_live) {
        x->fpu_pointers = (struct fpu_pointers){
            .fop = fpu->fop, .fcs = fpu->fcs, .fds = fpu->fds, .fip = fpu->fip, .fdp = fpu->fdp};
        cpu->x87.fop = cpu->x87.seg = NOT_SET;
    }
}

/* What FXSAVE stored there is the host's. */
static void restore_pointers(struct binxlate *x)
{
    struct fxsave *fpu = &x->cpu->fpu;

    fpu->fop = x->fpu_pointers.fop;
    fpu->fip = x->fpu_pointers.fip;
    fpu->fcs = x->fpu_pointers.fcs;
    fpu->fdp = x->fpu_pointers.fdp;
    fpu->fds = x->fpu_pointers.fds;
}

/* Segments have not changed since: that takes the interpreter. */
static void take_pointers(struct vcpu *cpu)
{
    struct fxsave *fpu = &cpu->fpu;
    const struct x87_pointers *last = &cpu->x87;

    if (last->fop != NOT_SET) {
        fpu->fop = last->fop;
        fpu->fip = last->fip;
        fpu->fcs = cpu->seg[SEG_CS].selector;
    }
    if (last->seg < SEG_COUNT) {
        fpu->fdp = (uint32_t)(last->linear - cpu->seg[last->seg].base);
        fpu->fds = cpu->seg[last->seg].selector;
    }
}

void fpu_stored(struct binxlate *x)
{
    struct fxsave *fpu = &x->cpu->fpu;

    if (!x->run.fpu_live) {
        return;
    }
    restore_pointers(x);
    take_pointers(x->cpu);
    fpu->reserved1 = 0;
    fpu->reserved2 = fpu->reserved3 = 0;
    fpu->mxcsr_mask = x->fpu_mxcsr_mask;
}

unsigned fpu_mode(const struct binxlate *x)
{
    if (!x->run.fpu_live) {
        return 0;
    }
    return can_live(x->cpu) ? MODE_FPU | (x->cpu->cr4 & CR4_OSFXSR ? MODE_SSE : 0u) : MODE_NONE;
}
