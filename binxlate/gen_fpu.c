/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Generators: x87, MMX and SSE instructions. Most are copied; what touches the control word or depends on the model has
 * rules of its own.
 *
 * SDM: Volume 1, "Programming with the x87 FPU", "Programming with Intel SSE".
 */
#include "binxlate/gen.h"

#include "binxlate/reencode.h"
#include "cpu/exec.h"

bool gen_sets_x87_pointers(const struct insn *insn)
{
    return insn->exec == exec_x87;
}

/*
 * FIP and FOP are constants that the next x87 instruction replaces. They are stored when somebody may look: before
 * an instruction that can fault, is called out or leaves the block.
 */
void gen_x87_pointers(struct gen *g)
{
    struct emit *e = &g->e;
    const struct insn *insn = g->insn;
    size_t x87 = offsetof(struct vcpu, x87);

    if (!gen_sets_x87_pointers(insn)) {
        return;
    }
    g->x87_pending = true;
    g->x87_fip = g->linear;
    g->x87_fop = (uint16_t)((insn->opcode->byte & 7) << 8 | insn->modrm);
    if (insn->memory) {
        emit_store32(e, cpu_field(x87 + offsetof(struct x87_pointers, linear)), REG_LINEAR);
        emit_store_imm16(e, cpu_field(x87 + offsetof(struct x87_pointers, seg)), insn->seg);
    }
}

void gen_settle(struct gen *g)
{
    size_t x87 = offsetof(struct vcpu, x87);

    if (g->x87_pending) {
        emit_store_imm32(&g->e, cpu_field(x87 + offsetof(struct x87_pointers, fip)), g->x87_fip);
        emit_store_imm16(&g->e, cpu_field(x87 + offsetof(struct x87_pointers, fop)), g->x87_fop);
        g->x87_pending = false;
    }
}

static bool is_fldcw(const struct insn *insn)
{
    return insn->opcode->map == MAP_1BYTE && insn->opcode->byte == 0xd9 && insn->memory && insn->reg == 5;
}

/* A control word that masks all exceptions (bits 5-0) is loaded; others are the interpreter's. */
static void gen_fldcw(struct gen *g)
{
    struct emit *e = &g->e;
    struct emit_label masked = {0}, done = {0};
    struct host_mem mem = gen_operand(g, false);

    emit_load_zx16(e, REG_SCRATCH, mem);
    emit_not32(e, REG_SCRATCH);
    emit_rorx32(e, REG_SCRATCH, REG_SCRATCH, 6);         /* 5-0 to 31-26 */
    emit_shrx32(e, REG_SCRATCH, REG_SCRATCH, REG_SHIFT); /* to 19-14 */
    emit_rorx32(e, REG_SCRATCH, REG_SCRATCH, 14);        /* to 5-0 */
    emit_movzx8(e, REG_SCRATCH, REG_SCRATCH);
    emit_xchg64(e, HOST_RCX, REG_SCRATCH);
    emit_jrcxz(e, &masked);
    emit_xchg64(e, HOST_RCX, REG_SCRATCH);
    gen_callout(g);
    emit_jmp_label(e, &done);
    emit_bind(e, &masked);
    emit_xchg64(e, HOST_RCX, REG_SCRATCH);
    reencode(e, g->insn, &mem);
    emit_bind(e, &done);
}

/*
 * CVTPI2PS, CVTPS2PI and their like begin to use the MMX registers before they raise #XM, and then the x87 unit's state
 * has changed although the instruction faults; the interpreter's does not.
 */
static bool converts_mmx(const struct insn *insn)
{
    const struct opcode *row = insn->opcode;

    return row->map == MAP_0F && (row->byte == 0x2a || row->byte == 0x2c || row->byte == 0x2d) &&
           (row->prefix == OPP_NP || row->prefix == 0x66);
}

void gen_fpu(struct gen *g)
{
    const struct insn *insn = g->insn;
    unsigned mode = g->block->mode;
    bool possible = (mode & MODE_FPU) && (!(insn->opcode->flags & OPF_SSE) || (mode & MODE_SSE));

    if (!possible || !reencode_supported(insn) || insn->exec == exec_fninit || converts_mmx(insn)) {
        gen_callout(g);
    } else if (!is_fldcw(insn)) {
        gen_copy(g);
    } else if (segment_usable(g, insn->seg, false) && !(g->traits & ~TRAIT_FLAT)) {
        gen_fldcw(g);
    } else {
        gen_callout(g);
    }
}
