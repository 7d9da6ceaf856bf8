/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Generators: what kernels do all the time that is not arithmetic: the interrupt flag, RFLAGS as a whole, segment
 * selectors, and a few stack instructions with a memory operand.
 *
 * Inside translated code RFLAGS is in two places. The host's register holds the arithmetic flags and DF; vcpu.rflags holds
 * all the others, and zeros in place of those.
 *
 * An interrupt can be delivered only where C code is on the way anyway (docs/binxlate.md). An instruction that sets IF
 * looks at the INTR pin and leaves itself to the interpreter's function if it is high; with a low pin nothing follows from
 * IF but its value. The shadow behind STI is not entered into the vcpu: if the next instruction faults, dispatch.c
 * does so from what STI left in rflags_before_sti.
 *
 * Everything here is for CPL 0, or for what does not depend on the CPL; the rest are call-outs.
 *
 * SDM: Volume 2, CLI, STI, PUSHF, POPF, PUSH, POP, MOV, XLAT.
 */
#include "binxlate/gen.h"
#include "binxlate/thunk.h"

/* Bits 8-15 of RFLAGS: TF is clear in translated code. */
#define FLAGS_BYTE1 (offsetof(struct vcpu, rflags) + 1)
#define BYTE1_IF    2

/* ---- Interrupt flag ------------------------------------------------------------------------------------- */

/*
 * r10 = bits 8-15 of RFLAGS with another IF:
 *
 *   rorx r10d,r10d,2       31 IF, 30 TF, 5-0 the others
 *   lea  r10d,[r10*4+..]   the others back in place
 */
static void gen_set_if(struct gen *g, bool on)
{
    struct emit *e = &g->e;

    emit_rorx32(e, REG_SCRATCH, REG_SCRATCH, 2);
    emit_lea32(e, REG_SCRATCH, host_mem_index(HOST_NO_REG, REG_SCRATCH, 2, on ? BYTE1_IF : 0));
    emit_store8(e, cpu_field(FLAGS_BYTE1), REG_SCRATCH);
}

static bool gen_cli(struct gen *g)
{
    if (!(g->block->mode & MODE_CPL0)) {
        return false;
    }
    emit_load_zx8(&g->e, REG_SCRATCH, cpu_field(FLAGS_BYTE1));
    gen_set_if(g, false);
    return true;
}

/* At the end of a block somebody might look at the processor before the next instruction, and miss the shadow. */
static bool gen_sti(struct gen *g)
{
    struct emit *e = &g->e;
    struct emit_label quiet = {0}, done = {0};

    if (!(g->block->mode & MODE_CPL0) || g->index + 1u == g->block->count) {
        return false;
    }
    emit_mov64(e, REG_SCRATCH, HOST_RCX);
    emit_load_zx8(e, HOST_RCX, cpu_field(offsetof(struct vcpu, intr)));
    emit_jrcxz(e, &quiet);
    emit_mov64(e, HOST_RCX, REG_SCRATCH);
    gen_callout(g);
    emit_jmp_label(e, &done);
    emit_bind(e, &quiet);
    emit_mov64(e, HOST_RCX, REG_SCRATCH);
    emit_load_zx8(e, REG_SCRATCH, cpu_field(FLAGS_BYTE1));
    emit_store8(e, cpu_field(offsetof(struct vcpu, rflags_before_sti)), REG_SCRATCH);
    gen_set_if(g, true);
    emit_bind(e, &done);
    g->sti_index = g->index;
    g->after_sti = true;
    return true;
}

/* ---- RFLAGS --------------------------------------------------------------------------------------------- */

/* What the host has set beside the guest's flags: its IF, AC but in windows, and the bit that is always 1 and comes from
 * either. */
static int32_t host_flags(const struct gen *g)
{
    return (int32_t)(RFLAGS_IF | RFLAGS_FIXED1 | (g->block->mode & MODE_WINDOW ? 0 : RFLAGS_AC));
}

static void gen_pushf(struct gen *g)
{
    struct emit *e = &g->e;

    emit_pushfq(e);
    emit_pop(e, REG_SCRATCH);
    emit_load32(e, REG_ENTRY, cpu_field(offsetof(struct vcpu, rflags)));
    emit_lea32(e, REG_SCRATCH, host_mem_index(REG_SCRATCH, REG_ENTRY, 0, -host_flags(g)));
    gen_push_reg(g, REG_SCRATCH);
}

/* The host's flags from r10. DF, which is clear there, too. */
static void gen_load_flags(struct gen *g)
{
    struct emit *e = &g->e;

    emit_mov64(e, REG_ENTRY, HOST_RAX);
    emit_rorx32(e, HOST_RAX, REG_SCRATCH, 11);
    emit_alu_imm32(e, HOST_AND, HOST_RAX, 1); /* OF */
    emit_shift32(e, HOST_SHL, REG_SCRATCH, 8);
    emit_alu32(e, HOST_OR, HOST_RAX, REG_SCRATCH);
    thunk_flags_from_ax(e);
    emit_cld(e);
    emit_mov64(e, HOST_RAX, REG_ENTRY);
}

/* Of the flags that are not arithmetic's only IF may change here, and only with the INTR pin low. */
static void gen_popf(struct gen *g)
{
    const uint32_t others =
        RFLAGS_TF | RFLAGS_IF | RFLAGS_DF | RFLAGS_IOPL | RFLAGS_NT | RFLAGS_AC | RFLAGS_ID;
    struct emit *e = &g->e;
    struct host_mem rflags = cpu_field(offsetof(struct vcpu, rflags)), place = gen_pop_place(g);
    struct emit_label same = {0}, callout = {0}, done = {0};

    emit_load32(e, REG_SCRATCH, place);
    emit_mov32(e, REG_ENTRY, REG_SCRATCH); /* from here on nothing faults, and the old flags are not needed */
    emit_alu_load32(e, HOST_XOR, REG_ENTRY, rflags);
    emit_alu_imm32(e, HOST_AND, REG_ENTRY, others);
    if (g->block->mode & MODE_CPL0) {
        emit_jcc_short(e, HOST_E, &same);
        emit_alu_imm32(e, HOST_CMP, REG_ENTRY, RFLAGS_IF);
        emit_jcc_label(e, HOST_NE, &callout);
        emit_alu_mem_imm8(e, HOST_CMP, cpu_field(offsetof(struct vcpu, intr)), 0);
        emit_jcc_label(e, HOST_NE, &callout);
        emit_alu_mem_imm32(e, HOST_XOR, rflags, RFLAGS_IF);
        emit_bind(e, &same);
    } else {
        emit_jcc_label(e, HOST_NE, &callout);
    }
    gen_load_flags(g);
    emit_lea32(e, REG_ESP, host_mem(REG_ESP, 4));
    emit_jmp_short(e, &done);
    emit_bind(e, &callout);
    gen_callout(g);
    emit_bind(e, &done);
}

/* ---- Selectors ------------------------------------------------------------------------------------------ */

static void gen_load_selector(struct gen *g, enum host_reg reg, unsigned seg)
{
    emit_load_zx16(&g->e, reg,
                   cpu_field(offsetof(struct vcpu, seg) + seg * sizeof(struct segment) +
                             offsetof(struct segment, selector)));
}

static void gen_push_selector(struct gen *g)
{
    gen_load_selector(g, REG_SCRATCH, g->insn->reg);
    gen_push_reg(g, REG_SCRATCH);
}

/* MOV r32 or m16, Sw */
static bool gen_store_selector(struct gen *g)
{
    const struct insn *insn = g->insn;

    if (!insn->memory) {
        gen_load_selector(g, host_gpr(insn->rm), insn->reg);
        return true;
    }
    if (!segment_usable(g, insn->seg, true)) {
        return false;
    }
    struct host_mem to = gen_operand(g, true);
    gen_load_selector(g, REG_SCRATCH, insn->reg);
    emit_store16(&g->e, to, REG_SCRATCH);
    return true;
}

/* With the selector in r10. */
static void gen_load_segment(struct gen *g)
{
    unsigned seg = g->insn->reg;

    if (seg == SEG_FS || seg == SEG_GS) {
        emit_store_imm32(&g->e, cpu_field(offsetof(struct vcpu, next_rip)), next_linear(g));
    }
    emit_call(&g->e, g->x->load_segment[seg]);
}

static bool has_segment_thunk(const struct gen *g)
{
    return (g->block->mode & MODE_CPL0) && g->x->load_segment[g->insn->reg];
}

static void gen_after_segment(struct gen *g)
{
    if (gen_ends_block(g->insn)) {
        gen_jump(g, next_linear(g));
    }
}

/* MOV Sw, Ew */
static bool gen_move_segment(struct gen *g)
{
    const struct insn *insn = g->insn;
    struct emit_label done = {0};

    if (!has_segment_thunk(g) || (insn->memory && !segment_usable(g, insn->seg, false))) {
        return false;
    }
    if (insn->memory) {
        emit_load_zx16(&g->e, REG_SCRATCH, gen_operand(g, false));
    } else {
        emit_movzx16(&g->e, REG_SCRATCH, host_gpr(insn->rm));
    }
    gen_load_segment(g);
    emit_jmp_short(&g->e, &done);
    gen_callout(g);
    emit_bind(&g->e, &done);
    gen_after_segment(g);
    return true;
}

/* POP Sw: the thunk may go on in another block, so that ESP changes before it. */
static bool gen_pop_segment(struct gen *g)
{
    struct emit *e = &g->e;
    struct emit_label done = {0};

    if (!has_segment_thunk(g)) {
        return false;
    }
    emit_load_zx16(e, REG_SCRATCH, gen_pop_place(g));
    emit_lea32(e, REG_ESP, host_mem(REG_ESP, 4));
    gen_load_segment(g);
    emit_jmp_short(e, &done);
    emit_lea32(e, REG_ESP, host_mem(REG_ESP, -4));
    gen_callout(g);
    emit_bind(e, &done);
    gen_after_segment(g);
    return true;
}

/* ---- Memory operands ------------------------------------------------------------------------------------ */

/* POP m32. ESP in its address is the one after the pop. */
static bool gen_pop_memory(struct gen *g)
{
    const struct insn *insn = g->insn;
    struct insn after = *insn;

    if (!insn->memory || !segment_usable(g, insn->seg, true)) {
        return false;
    }
    after.disp += insn->base == RSP ? 4 : 0;
    emit_load32(&g->e, REG_SCRATCH, gen_pop_place(g));
    g->insn = &after;
    struct host_mem to = gen_operand(g, true);
    g->insn = insn;
    emit_store32(&g->e, to, REG_SCRATCH);
    emit_lea32(&g->e, REG_ESP, host_mem(REG_ESP, 4));
    return true;
}

/* The site at the start of the instruction is a read of the flat table. */
static bool gen_xlat(struct gen *g)
{
    const struct insn *insn = g->insn;
    struct emit *e = &g->e;

    if (insn->addrsize != 4 || insn->seg == SEG_FS || insn->seg == SEG_GS) {
        return false;
    }
    emit_movzx8(e, REG_LINEAR, HOST_RAX);
    emit_lea32(e, REG_LINEAR, host_mem_index(HOST_RBX, REG_LINEAR, 0, 0));
    emit_load8(e, HOST_RAX, gen_translate(g, false));
    return true;
}

static bool gen_system_1byte(struct gen *g)
{
    switch (g->insn->opcode->byte) {
    case 0x06:
    case 0x0e:
    case 0x16:
    case 0x1e:
        gen_push_selector(g);
        return true;
    case 0x07:
    case 0x17:
    case 0x1f:
        return gen_pop_segment(g);
    case 0x8c:
        return gen_store_selector(g);
    case 0x8e:
        return gen_move_segment(g);
    case 0x8f:
        return gen_pop_memory(g);
    case 0x9c:
        gen_pushf(g);
        return true;
    case 0x9d:
        gen_popf(g);
        return true;
    case 0xd7:
        return gen_xlat(g);
    case 0xfa:
        return gen_cli(g);
    case 0xfb:
        return gen_sti(g);
    default:
        return false;
    }
}

bool gen_system(struct gen *g)
{
    const struct opcode *opcode = g->insn->opcode;

    if (opcode->map == MAP_1BYTE) {
        return gen_system_1byte(g);
    }
    if (opcode->map == MAP_0F && (opcode->byte == 0xa0 || opcode->byte == 0xa8)) {
        gen_push_selector(g);
        return true;
    }
    if (opcode->map == MAP_0F && (opcode->byte == 0xa1 || opcode->byte == 0xa9)) {
        return gen_pop_segment(g);
    }
    return false;
}
