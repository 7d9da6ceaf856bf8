/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * MMX, SSE, SSE2, SSE3 and SSSE3 instructions, on the host's units (cpu/hostfpu.h).
 *
 * Order of events: the checks of CR0 and CR4, a pending x87 error (rows that use MMX registers), alignment
 * and faults of a memory source, the computation, SIMD floating-point exceptions, faults of a memory
 * destination; registers, MXCSR apart, change only when all of that went well.
 *
 * SDM: Volume 1, "Programming with Intel MMX Technology", "Programming with Intel SSE"; Volume 3A, "Exception
 * Conditions of Legacy SIMD Instructions Operating on MMX Registers".
 * DEVIATION: RCPPS, RSQRTPS and their scalar forms give the host's approximation.
 */
#include "cpu/exec.h"
#include "cpu/fpu.h"
#include "cpu/hostfpu.h"
#include "cpu/simd_fp.h"

/* False: #UD, #NM or #MF is pending. True without *ready: frozen, see fpu_wait(). */
static bool simd_begin(struct vcpu *cpu, uint32_t flags, bool *ready)
{
    *ready = true;
    if ((cpu->cr0 & CR0_EM) || ((flags & OPF_SSE) && !(cpu->cr4 & CR4_OSFXSR))) {
        return raise_exception(cpu, EXC_UD);
    }
    if (cpu->cr0 & CR0_TS) {
        return raise_exception(cpu, EXC_NM);
    }
    return flags & OPF_MMX ? fpu_wait(cpu, ready) : true;
}

/* MMX register n before or after fpu_enter_mmx(). */
static uint8_t *mm(struct fxsave *fpu, unsigned n)
{
    return fpu->st[(n - fpu_top(fpu)) & 7];
}

static void load_register(struct vcpu *cpu, enum hostfpu_operand kind, unsigned n, uint8_t slot[16])
{
    switch (kind) {
    case OPERAND_NONE:
        break;
    case OPERAND_MM:
        memcpy(slot, mm(&cpu->fpu, n), 8);
        break;
    case OPERAND_XMM:
        memcpy(slot, cpu->fpu.xmm[n], 16);
        break;
    case OPERAND_GPR:
        store_le32(slot, reg32(cpu, n));
        break;
    }
}

/* Writing an MMX register sets sign and exponent to ones. */
static void store_register(struct vcpu *cpu, enum hostfpu_operand kind, unsigned n, const uint8_t slot[16])
{
    switch (kind) {
    case OPERAND_NONE:
        break;
    case OPERAND_MM:
        memcpy(mm(&cpu->fpu, n), slot, 8);
        store_le16(mm(&cpu->fpu, n) + 8, 0xffff);
        break;
    case OPERAND_XMM:
        memcpy(cpu->fpu.xmm[n], slot, 16);
        break;
    case OPERAND_GPR:
        set_reg32(cpu, n, load_le32(slot));
        break;
    }
}

static bool check_alignment(struct vcpu *cpu, const struct insn *insn, const struct hostfpu_stub *stub,
                            uint32_t offset)
{
    bool aligned = !((cpu->seg[insn->seg].base + offset) & 15);

    if (stub->memory_size == 16 && !aligned && !(insn->opcode->flags & OPF_UNALIGNED)) {
        return raise_error(cpu, EXC_GP, 0);
    }
    return true;
}

/* Run the stub of an arithmetic row. False: #XM, or #UD when the system does not handle it. */
static bool run_arithmetic(struct vcpu *cpu, const struct insn *insn, const struct hostfpu_stub *stub,
                           struct hostfpu_frame *frame)
{
    uint32_t mxcsr = cpu->fpu.mxcsr;
    uint8_t reg[16];

    memcpy(reg, frame->reg, sizeof(reg));
    frame->mxcsr = simd_fp_mxcsr(mxcsr);
    stub->run(frame);
    uint32_t flags = frame->mxcsr & (uint32_t)MXCSR_FLAGS;
    if (UNLIKELY((mxcsr & MXCSR_MASKS) != MXCSR_MASKS)) {
        flags = simd_fp_flags(insn->opcode, mxcsr, flags, reg, insn->memory ? frame->memory : frame->rm);
    }
    cpu->fpu.mxcsr = mxcsr | flags;
    if (flags & ~(mxcsr >> MXCSR_MASK_SHIFT)) {
        return raise_exception(cpu, cpu->cr4 & CR4_OSXMMEXCPT ? EXC_XM : EXC_UD);
    }
    return true;
}

static void commit(struct vcpu *cpu, const struct insn *insn, const struct hostfpu_stub *stub,
                   const struct hostfpu_frame *frame)
{
    uint32_t flags = insn->opcode->flags;

    if (flags & OPF_MMX) {
        fpu_enter_mmx(cpu);
    }
    if (stub->reg_written) {
        store_register(cpu, stub->reg, insn->reg, frame->reg);
    }
    if (stub->rm_written) {
        store_register(cpu, stub->rm, insn->rm, frame->rm);
    }
    if (flags & OPF_WRITE_FLAGS) {
        cpu->rflags = (cpu->rflags & ~RFLAGS_ARITH) | (frame->rflags & RFLAGS_ARITH);
    }
}

bool exec_simd(struct vcpu *cpu, const struct insn *insn)
{
    uint32_t flags = insn->opcode->flags;
    uint32_t offset = insn->memory ? insn_ea(cpu, insn) : 0;
    bool ready;

    TRY(simd_begin(cpu, flags, &ready));
    if (!ready) {
        return true;
    }
    const struct hostfpu_stub *stub = hostfpu_stub(cpu->hostfpu, insn);
    struct hostfpu_frame *frame = hostfpu_frame(cpu->hostfpu);
    if (insn->memory) {
        TRY(check_alignment(cpu, insn, stub, offset));
        if (flags & OPF_MEM_READ) {
            TRY(mem_read(cpu, insn->seg, offset, frame->memory, stub->memory_size, stub->memory_align));
        }
    }
    load_register(cpu, stub->reg, insn->reg, frame->reg);
    load_register(cpu, stub->rm, insn->rm, frame->rm);
    if (flags & OPF_SIMD_FP) {
        TRY(run_arithmetic(cpu, insn, stub, frame));
    } else {
        stub->run(frame);
    }
    if (insn->memory && (flags & OPF_MEM_WRITE)) {
        TRY(mem_write(cpu, insn->seg, offset, frame->memory, stub->memory_size, stub->memory_align));
    }
    commit(cpu, insn, stub, frame);
    return true;
}

bool exec_emms(struct vcpu *cpu, const struct insn *insn)
{
    bool ready;

    TRY(simd_begin(cpu, insn->opcode->flags, &ready));
    if (ready) {
        fpu_set_top(&cpu->fpu, 0);
        cpu->fpu.ftw = 0;
    }
    return true;
}

/* Is byte i to be written: is the sign bit of its mask set? */
static bool selected(const uint8_t *mask, unsigned i)
{
    return mask[i] & 0x80;
}

/* Offset of byte i of DS:(E)DI, the segment possibly overridden. */
static uint32_t di_offset(const struct vcpu *cpu, const struct insn *insn, unsigned i)
{
    uint32_t offset = reg32(cpu, RDI) + i;

    return insn->addrsize == 2 ? (uint16_t)offset : offset;
}

/* All selected bytes are checked before the first is written; none selected: no access at all. */
static bool write_selected(struct vcpu *cpu, const struct insn *insn, const uint8_t *data,
                           const uint8_t *mask, unsigned size)
{
    for (unsigned i = 0; i < size; i++) {
        if (selected(mask, i)) {
            TRY(mem_probe_write(cpu, insn->seg, di_offset(cpu, insn, i), 1));
        }
    }
    for (unsigned i = 0; i < size; i++) {
        if (selected(mask, i)) {
            TRY(mem_write8(cpu, insn->seg, di_offset(cpu, insn, i), data[i]));
        }
    }
    return true;
}

bool exec_maskmovq(struct vcpu *cpu, const struct insn *insn)
{
    bool ready;

    TRY(simd_begin(cpu, insn->opcode->flags, &ready));
    if (!ready) {
        return true;
    }
    TRY(write_selected(cpu, insn, mm(&cpu->fpu, insn->reg), mm(&cpu->fpu, insn->rm), 8));
    fpu_enter_mmx(cpu);
    return true;
}

bool exec_maskmovdqu(struct vcpu *cpu, const struct insn *insn)
{
    bool ready;

    TRY(simd_begin(cpu, insn->opcode->flags, &ready));
    return write_selected(cpu, insn, cpu->fpu.xmm[insn->reg], cpu->fpu.xmm[insn->rm], 16);
}
