/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Generators: near transfers, and how a block leads to the next one.
 *
 * SDM: Volume 1, "Procedure Calls, Interrupts, and Exceptions"; Volume 2, Jcc, LOOP, JMP, CALL, RET.
 */
#include "binxlate/gen.h"

/* `field` jumps to the block at `target`: at first to a stub that finds it. */
void gen_chain(struct gen *g, uint8_t *field, uint32_t target)
{
    struct chain *chain = arena_alloc(&g->x->arena, sizeof(*chain));

    if (!chain) {
        g->no_memory = true;
        return;
    }
    *chain = (struct chain){.from = g->block, .field = field, .target = target, .next = g->block->exits};
    g->block->exits = chain;
    g->stubs[g->stub_count++] = (struct gen_stub){
        .field = field, .chain = chain, .rest = g->more ? g->block->count - g->index - 1 : 0};
}

void gen_jump(struct gen *g, uint32_t target)
{
    gen_chain(g, emit_jmp(&g->e, NULL), target);
}

void gen_stubs(struct gen *g)
{
    struct emit *e = &g->e;

    g->block->stubs = (uint32_t)(e->at - g->block->code);
    for (unsigned i = 0; i < g->stub_count && !emit_failed(e); i++) {
        const struct gen_stub *stub = &g->stubs[i];
        emit_patch_rel32(stub->field, e->view, emit_here(e));
        if (stub->rest) {
            emit_lea64(e, REG_LEFT, host_mem(REG_LEFT, (int32_t)stub->rest));
            stub->chain->field = emit_jmp(e, NULL);
        }
        emit_store_imm32(e, cpu_field(offsetof(struct vcpu, rip)), stub->chain->target);
        emit_mov_imm64(e, REG_ENTRY, (uint64_t)(uintptr_t)stub->chain);
        emit_jmp(e, g->x->exit[EXIT_CHAIN]);
    }
}

/* The `jump` thunk, spelled out for the block's mode: where to continue for the address in r8. */
static struct host_mem gen_jump_slot(struct gen *g)
{
    struct emit *e = &g->e;

    emit_movzx16(e, REG_ENTRY, REG_LINEAR);
    emit_mov_imm64(e, REG_SCRATCH, (uint64_t)(uintptr_t)jump_cache_of(g->x, g->block->mode));
    return host_mem_index(REG_SCRATCH, REG_ENTRY, 3, 0);
}

/* Continue at the address in r8. */
void gen_jump_indirect(struct gen *g)
{
    struct host_mem slot = gen_jump_slot(g);

    emit_jmp_mem(&g->e, slot);
}

/* The same as a call, whose landing follows. */
void gen_call_indirect(struct gen *g)
{
    struct host_mem slot = gen_jump_slot(g);

    emit_call_mem(&g->e, slot);
}

/*
 * Where a host return ends up; r8 is the guest's return address. Is it the one behind this call? In the same page the
 * mapping is known: when one changes, the stack is emptied (dispatch.c), and nobody returns to here.
 *
 * The address is compared in the upper half of RCX and the mode in the lower, or one could make up for the other.
 */
void gen_landing(struct gen *g, uint32_t address)
{
    struct emit *e = &g->e;
    int32_t shift = (int32_t)SHIFT_OF_MODE(g->block->mode);

    emit_mov64(e, REG_SCRATCH, HOST_RCX);
    emit_lea32(e, HOST_RCX, host_mem(REG_LINEAR, -(int32_t)address));
    emit_rorx64(e, HOST_RCX, HOST_RCX, 32);
    emit_lea64(e, HOST_RCX, host_mem_index(HOST_RCX, REG_SHIFT, 0, -shift));
    gen_require_zero(g, g->x->jump);
    emit_mov64(e, HOST_RCX, REG_SCRATCH);
    gen_chain(g, emit_jmp(e, NULL), address);
}

bool gen_is_jump(const struct insn *insn)
{
    unsigned byte = insn->opcode->byte;

    return insn->opcode->map == MAP_1BYTE && (byte == 0xe9 || byte == 0xeb) && insn->opsize == 4;
}

bool gen_is_jcc(const struct insn *insn)
{
    unsigned first = insn->opcode->map == MAP_1BYTE ? 0x70 : insn->opcode->map == MAP_0F ? 0x80 : 0x100;

    return insn->opcode->byte - first < 16 && insn->opsize == 4;
}

void gen_jcc(struct gen *g)
{
    enum host_condition condition = (enum host_condition)(g->insn->opcode->byte & 15);

    if (g->more && g->following != next_linear(g)) { /* the block goes on where it jumps to */
        gen_chain(g, emit_jcc(&g->e, (enum host_condition)(condition ^ 1), NULL), next_linear(g));
        return;
    }
    gen_chain(g, emit_jcc(&g->e, condition, NULL), branch_target(g));
    if (!g->more) {
        gen_jump(g, next_linear(g));
    }
}

/* LOOPNE E0, LOOPE E1, LOOP E2, JECXZ E3. */
void gen_loop(struct gen *g)
{
    struct emit *e = &g->e;
    unsigned byte = g->insn->opcode->byte;
    struct emit_label zero = {0};

    if (byte == 0xe3) {
        struct emit_label taken = {0};
        emit_jrcxz(e, &taken);
        gen_jump(g, next_linear(g));
        emit_bind(e, &taken);
        gen_jump(g, branch_target(g));
        return;
    }
    emit_lea32(e, HOST_RCX, host_mem(HOST_RCX, -1));
    emit_jrcxz(e, &zero);
    if (byte != 0xe2) {
        emit_jcc_short(e, byte == 0xe0 ? HOST_E : HOST_NE, &zero);
    }
    gen_jump(g, branch_target(g));
    emit_bind(e, &zero);
    gen_jump(g, next_linear(g));
}

/* The target of JMP and CALL r/m into `reg`. */
void gen_load_target(struct gen *g, enum host_reg reg)
{
    if (g->insn->memory) {
        struct host_mem from = gen_operand(g, false);
        emit_load32(&g->e, reg, from);
    } else {
        emit_mov32(&g->e, reg, host_gpr(g->insn->rm));
    }
}

void gen_ret(struct gen *g)
{
    struct host_mem place = gen_pop_place(g);

    emit_load32(&g->e, REG_LINEAR, place);
    emit_lea32(&g->e, REG_ESP, host_mem(REG_ESP, 4 + (int32_t)(g->insn->imm & 0xffff)));
    emit_ret(&g->e);
}
