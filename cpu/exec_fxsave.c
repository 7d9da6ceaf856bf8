/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * FXSAVE, FXRSTOR, LDMXCSR, STMXCSR.
 *
 *   offset   0-31    x87 words and pointers, MXCSR and MXCSR_MASK at 24
 *           32-159   ST(0)-ST(7) or MM, 16 bytes each
 *          160-287   XMM0-XMM7
 *          288-511   reserved, or the software's: never written
 *
 * SDM: Volume 1, "FXSAVE Area"; Volume 2A, "FXSAVE". What it leaves to the implementation: XMM registers and
 * MXCSR take part only while CR4.OSFXSR is set; a misaligned image is #GP(0) whether alignment checks are on
 * or not.
 */
#include "cpu/cpuid.h"
#include "cpu/exec.h"
#include "cpu/fpu.h"

enum { IMAGE_SIZE = 512, IMAGE_MXCSR = 24, IMAGE_ST = 32, IMAGE_XMM = 160, IMAGE_END = 288 };

_Static_assert(offsetof(struct fxsave, mxcsr) == IMAGE_MXCSR, "FXSAVE image");
_Static_assert(offsetof(struct fxsave, st) == IMAGE_ST, "FXSAVE image");
_Static_assert(offsetof(struct fxsave, xmm) == IMAGE_XMM, "FXSAVE image");
_Static_assert(sizeof(struct fxsave) == IMAGE_SIZE, "FXSAVE image");

static bool image_check(struct vcpu *cpu, const struct insn *insn, uint32_t offset)
{
    if (cpu->cr0 & (CR0_EM | CR0_TS)) {
        return raise_exception(cpu, EXC_NM);
    }
    if ((cpu->seg[insn->seg].base + offset) & 15) {
        return raise_error(cpu, EXC_GP, 0);
    }
    return true;
}

/* Bytes of the image that FXSAVE writes and FXRSTOR uses. */
static unsigned image_used(const struct vcpu *cpu)
{
    return cpu->cr4 & CR4_OSFXSR ? IMAGE_END : IMAGE_XMM;
}

bool exec_fxsave(struct vcpu *cpu, const struct insn *insn)
{
    uint32_t offset = insn_ea(cpu, insn);
    struct fxsave image = cpu->fpu;

    TRY(image_check(cpu, insn, offset));
    TRY(mem_probe_write(cpu, insn->seg, offset, IMAGE_SIZE));
    if (!(cpu->features & CPU_FEATURE_SSE)) {
        image.mxcsr = image.mxcsr_mask = 0;
    }
    return mem_write(cpu, insn->seg, offset, &image, image_used(cpu), 0);
}

/* Take the x87 part of an image that came from outside. */
static void load_x87(struct vcpu *cpu, const struct fxsave *image)
{
    struct fxsave *fpu = &cpu->fpu;

    fpu->ftw = image->ftw;
    fpu->fop = image->fop & BITS(10, 0);
    fpu->fip = image->fip;
    fpu->fcs = image->fcs;
    fpu->fdp = image->fdp;
    fpu->fds = image->fds;
    for (unsigned i = 0; i < 8; i++) {
        memset(fpu->st[i], 0, sizeof(fpu->st[i]));
        memcpy(fpu->st[i], image->st[i], 10);
    }
    fpu_set_words(cpu, image->fcw, image->fsw);
}

bool exec_fxrstor(struct vcpu *cpu, const struct insn *insn)
{
    uint32_t offset = insn_ea(cpu, insn);
    bool sse = (cpu->cr4 & CR4_OSFXSR) && (cpu->features & CPU_FEATURE_SSE);
    struct fxsave image;

    TRY(image_check(cpu, insn, offset));
    TRY(mem_read(cpu, insn->seg, offset, &image, IMAGE_SIZE, 0));
    if (sse && (image.mxcsr & ~cpu->fpu.mxcsr_mask)) {
        return raise_error(cpu, EXC_GP, 0);
    }
    load_x87(cpu, &image);
    if (sse) {
        cpu->fpu.mxcsr = image.mxcsr;
        memcpy(cpu->fpu.xmm, image.xmm, 8 * sizeof(image.xmm[0]));
    }
    return true;
}

/* The checks of SSE instructions without data registers. */
static bool mxcsr_check(struct vcpu *cpu)
{
    if ((cpu->cr0 & CR0_EM) || !(cpu->cr4 & CR4_OSFXSR)) {
        return raise_exception(cpu, EXC_UD);
    }
    if (cpu->cr0 & CR0_TS) {
        return raise_exception(cpu, EXC_NM);
    }
    return true;
}

bool exec_ldmxcsr(struct vcpu *cpu, const struct insn *insn)
{
    uint32_t value;

    TRY(mxcsr_check(cpu));
    TRY(mem_read32(cpu, insn->seg, insn_ea(cpu, insn), &value));
    if (value & ~cpu->fpu.mxcsr_mask) {
        return raise_error(cpu, EXC_GP, 0);
    }
    cpu->fpu.mxcsr = value;
    return true;
}

bool exec_stmxcsr(struct vcpu *cpu, const struct insn *insn)
{
    TRY(mxcsr_check(cpu));
    return mem_write32(cpu, insn->seg, insn_ea(cpu, insn), cpu->fpu.mxcsr);
}
