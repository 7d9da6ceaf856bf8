/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Generators: the stack instructions whose operand size is 32 bits. Guest ESP is r12; it changes after the access.
 *
 * SDM: Volume 2, PUSH, POP, LEAVE.
 */
#include "binxlate/gen.h"

struct host_mem gen_push_place(struct gen *g)
{
    return gen_place(g, true, REG_ESP, -4);
}

void gen_push_done(struct gen *g)
{
    emit_lea32(&g->e, REG_ESP, host_mem(REG_ESP, -4));
}

struct host_mem gen_pop_place(struct gen *g)
{
    return gen_place(g, false, REG_ESP, 0);
}

void gen_push_reg(struct gen *g, enum host_reg reg)
{
    struct host_mem place = gen_push_place(g);

    emit_store32(&g->e, place, reg);
    gen_push_done(g);
}

void gen_push_imm(struct gen *g, uint32_t imm)
{
    struct host_mem place = gen_push_place(g);

    emit_store_imm32(&g->e, place, imm);
    gen_push_done(g);
}

void gen_push_memory(struct gen *g)
{
    struct host_mem from = gen_operand(g, false);

    emit_load32(&g->e, REG_SCRATCH, from);
    gen_push_reg(g, REG_SCRATCH);
}

void gen_pop_reg(struct gen *g, enum host_reg reg)
{
    struct host_mem place = gen_pop_place(g);

    if (reg == REG_ESP) {
        emit_load32(&g->e, REG_ESP, place);
    } else {
        emit_load32(&g->e, reg, place);
        emit_lea32(&g->e, REG_ESP, host_mem(REG_ESP, 4));
    }
}

void gen_leave(struct gen *g)
{
    emit_mov32(&g->e, REG_SCRATCH, HOST_RBP);
    struct host_mem place = gen_place(g, false, HOST_RBP, 0);
    emit_load32(&g->e, HOST_RBP, place);
    emit_lea32(&g->e, REG_ESP, host_mem(REG_SCRATCH, 4));
}
