/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Generators: string instructions.
 *
 * SDM: Volume 2, MOVS, CMPS, STOS, LODS, SCAS.
 */
#include "binxlate/gen.h"

static unsigned string_size(const struct insn *insn)
{
    return insn->opcode->byte & 1 ? insn->opsize : 1;
}

/* r8 = the operand's address, `entry` = its shadow entry; proves that the access will not fault, and changes r8. */
static void gen_string_operand(struct gen *g, enum host_reg pointer, enum host_reg entry, bool write)
{
    struct emit *e = &g->e;
    unsigned size = string_size(g->insn);

    gen_site(g, write, false);
    emit_mov32(e, REG_LINEAR, pointer);
    if (size > 1 && (g->block->mode & MODE_WINDOW)) { /* nobody checks alignment */
        if (entry == REG_SCRATCH) {
            emit_mov64(e, REG_SCRATCH, REG_ENTRY);
        }
        gen_prove_page(g, write, size);
        if (entry == REG_SCRATCH) {
            emit_mov64(e, REG_ENTRY, REG_SCRATCH);
        }
        emit_mov32(e, REG_LINEAR, pointer);
    }
    emit_shrx32(e, entry, REG_LINEAR, REG_SHIFT);
    emit_load64(e, entry, host_mem_index(REG_TABLE, entry, 3, write ? (int32_t)SHADOW_WRITE_OFFSET : 0));
    struct host_mem mem = host_mem_index(entry, REG_LINEAR, 0, 0);
    if (size == 4) {
        emit_load32(e, REG_LINEAR, mem);
    } else if (size == 2) {
        emit_load16(e, REG_LINEAR, mem);
    } else {
        emit_load8(e, REG_LINEAR, mem);
    }
}

/* pointer becomes a host address, or a linear one again. */
static void gen_rebase(struct gen *g, enum host_reg pointer, enum host_reg entry)
{
    emit_lea64(&g->e, pointer, host_mem_index(pointer, entry, 0, 0));
}

static void gen_rebase_back(struct gen *g, enum host_reg pointer, enum host_reg entry)
{
    emit_not64(&g->e, entry);
    emit_lea64(&g->e, pointer, host_mem_index(pointer, entry, 0, 1)); /* minus the entry */
    emit_mov32(&g->e, pointer, pointer);
}

/* All but REP LODS, which nobody uses. */
static bool gen_rep(struct gen *g)
{
    unsigned shift = string_size(g->insn) >> 1, equal = g->insn->rep == 0xf3;

    switch (g->insn->opcode->byte & 0xfe) {
    case 0xa4:
        gen_call_thunk(g, g->x->rep_movs[shift]);
        return true;
    case 0xa6:
        gen_call_thunk(g, g->x->rep_cmps[equal][shift]);
        return true;
    case 0xaa:
        gen_call_thunk(g, g->x->rep_stos[shift]);
        return true;
    case 0xae:
        gen_call_thunk(g, g->x->rep_scas[equal][shift]);
        return true;
    default:
        return false;
    }
}

/* One element as a REP MOVS with a count of one, which copes. ECX waits where no register of the vcpu is kept now. */
static bool gen_movs_misaligned(struct gen *g)
{
    struct emit *e = &g->e;
    struct host_mem slot = cpu_field(offsetof(struct vcpu, gpr) + RBX * sizeof(uint64_t));
    struct emit_label moved = {0}, done = {0};

    emit_store64(e, slot, HOST_RCX);
    emit_mov_imm32(e, HOST_RCX, 1);
    emit_call(e, g->x->rep_movs[string_size(g->insn) >> 1]);
    emit_jmp_short(e, &moved);
    emit_load32(e, HOST_RCX, slot);
    gen_callout(g);
    emit_jmp_label(e, &done);
    emit_bind(e, &moved);
    emit_load32(e, HOST_RCX, slot);
    emit_bind(e, &done);
    return true;
}

/*
 * MOVS A4, CMPS A6, STOS AA, LODS AC, SCAS AE. Both operands are proved first; then the host's own instruction runs on
 * host addresses, so that DF needs no look.
 */
bool gen_string(struct gen *g)
{
    const struct insn *insn = g->insn;
    unsigned kind = insn->opcode->byte & 0xfe;
    bool source = kind == 0xa4 || kind == 0xa6 || kind == 0xac, destination = kind != 0xac;
    bool write = kind == 0xa4 || kind == 0xaa;
    const struct emit_insn host = {
        .opcode = insn->opcode->byte,
        .opsize16 = string_size(insn) == 2,
    };

    if (insn->addrsize != 4 || insn->seg == SEG_FS || insn->seg == SEG_GS) {
        return false;
    }
    if (insn->rep) {
        return gen_rep(g);
    }
    if (g->traits) {
        return kind == 0xa4 && gen_movs_misaligned(g);
    }
    if (source) {
        gen_string_operand(g, HOST_RSI, REG_ENTRY, false);
    }
    if (destination) {
        gen_string_operand(g, HOST_RDI, REG_SCRATCH, write);
        gen_rebase(g, HOST_RDI, REG_SCRATCH);
    }
    if (source) {
        gen_rebase(g, HOST_RSI, REG_ENTRY);
    }
    emit_insn(&g->e, &host);
    if (source) {
        gen_rebase_back(g, HOST_RSI, REG_ENTRY);
    }
    if (destination) {
        gen_rebase_back(g, HOST_RDI, REG_SCRATCH);
    }
    return true;
}
