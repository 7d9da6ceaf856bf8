/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Generators: the frame of a block, its sites and call-outs, and which generator an instruction gets. What has none is a
 * call-out.
 *
 * The head of a block:
 *
 *   indirect:  r8 == linear and the mode is the block's?        else find the block of r8
 *   verified:  fetch entry of the block's page as expected?     else find out why
 *   body:      fetch entry of the tail's page, where there is a tail
 *              lea r11,[r11-count]
 *              shrx r8,r11,r13; mov r8d,[rsp+r8*8]              the poll
 *              one more execution, if those are counted         (binxlate/inspect.h)
 *
 * The poll: the shift leaves 0 while r11 >= 0 and 2^20 - 1 once it is negative, and then the load lies 8 MiB above the
 * stack, in its guard. The fault gives the block's length back to r11 and leaves: blocks run whole or not at all.
 *
 * SDM: Volume 2.
 */
#include "binxlate/gen.h"

#include "binxlate/reencode.h"
#include "cpu/points.h"

/* ---- The head ------------------------------------------------------------------------------------------- */

/* Compare without flags: the value that RCX holds must be 0; RCX itself waits in r10. */
void gen_require_zero(struct gen *g, const void *otherwise)
{
    struct emit *e = &g->e;
    struct emit_label good = {0};

    emit_jrcxz(e, &good);
    emit_mov64(e, HOST_RCX, REG_SCRATCH);
    emit_jmp(e, otherwise);
    emit_bind(e, &good);
}

/* Leave unless the fetch entry of this linear page is that of the frame at roff. RCX is in r10 and stays there. */
static void gen_verify(struct gen *g, uint32_t page, roff_t roff, const void *otherwise)
{
    struct emit *e = &g->e;
    const uint8_t *frame = ram_ptr(g->x->cpu->wiring.mem->ram, ALIGN_DOWN(roff, PAGE_SIZE));
    uint64_t expected = (uint64_t)(uintptr_t)frame - ((uint64_t)page << PAGE_SHIFT);

    emit_load64(e, HOST_RCX, host_mem(REG_TABLE, (int32_t)(SHADOW_FETCH_OFFSET + page * sizeof(uint64_t))));
    emit_mov_imm64(e, HOST_R9, 0 - expected);
    emit_lea64(e, HOST_RCX, host_mem_index(HOST_RCX, HOST_R9, 0, 0));
    gen_require_zero(g, otherwise);
    emit_mov64(e, HOST_RCX, REG_SCRATCH);
}

static void gen_poll(struct gen *g)
{
    struct emit *e = &g->e;

    emit_lea64(e, REG_LEFT, host_mem(REG_LEFT, -(int32_t)g->block->count));
    emit_shrx64(e, HOST_R8, REG_LEFT, REG_SHIFT);
    emit_load32(e, HOST_R8, host_mem_index(HOST_RSP, HOST_R8, 3, 0));
}

/* Count an execution: no flags, and nobody but this thread writes the counter. */
static void gen_count(struct gen *g)
{
    struct emit *e = &g->e;
    struct host_mem counter = host_mem(REG_ENTRY, 0);

    emit_mov_imm64(e, REG_ENTRY, (uint64_t)(uintptr_t)&g->block->executions);
    emit_load64(e, REG_SCRATCH, counter);
    emit_lea64(e, REG_SCRATCH, host_mem(REG_SCRATCH, 1));
    emit_store64(e, counter, REG_SCRATCH);
}

/* Leave with rip = the block's address. */
static void gen_exit_stub(struct gen *g, enum exit_reason reason)
{
    emit_store_imm32(&g->e, cpu_field(offsetof(struct vcpu, rip)), g->block->linear);
    emit_jmp(&g->e, g->x->exit[reason]);
}

void gen_head(struct gen *g)
{
    struct emit *e = &g->e;
    struct block *block = g->block;
    uint32_t page = block->linear >> PAGE_SHIFT;
    struct emit_label mapping = {0};

    const void *changed = emit_here(e);
    gen_exit_stub(g, EXIT_VERIFY);
    block->gone = emit_here(e);
    emit_mov_imm64(e, REG_ENTRY, (uint64_t)(uintptr_t)block);
    gen_exit_stub(g, EXIT_GONE);

    emit_align(e, 16);
    block->indirect = e->at;
    emit_mov64(e, REG_SCRATCH, HOST_RCX);
    emit_lea32(
        e, HOST_RCX,
        host_mem_index(REG_LINEAR, REG_SHIFT, 0, -(int32_t)(block->linear + SHIFT_OF_MODE(block->mode))));
    emit_jrcxz(e, &mapping);
    emit_mov64(e, HOST_RCX, REG_SCRATCH);
    emit_jmp(e, g->x->exit_indirect);

    block->verified = e->at;
    emit_mov64(e, REG_SCRATCH, HOST_RCX);
    emit_bind(e, &mapping);
    gen_verify(g, page, block->roff, changed);

    block->body = e->at;
    if (block->tail) {
        emit_mov64(e, REG_SCRATCH, HOST_RCX);
        gen_verify(g, page + 1, block->tail_roff, changed);
    }
    gen_poll(g);
    if (g->x->counting) {
        gen_count(g);
    }
}

/* ---- Sites ---------------------------------------------------------------------------------------------- */

/* From here on, a fault belongs to the current instruction and is an access of this kind. */
void gen_site(struct gen *g, bool write, bool window)
{
    struct site *last = g->site_count ? &g->sites[g->site_count - 1] : NULL;
    uint16_t host = (uint16_t)(g->e.at - g->block->code);

    if (last && last->index == g->index && last->host == host) {
        last->write = write;
        last->window = window;
        return;
    }
    g->sites[g->site_count++] = (struct site){
        .host = host,
        .guest = (int16_t)(g->linear - g->block->linear),
        .index = (uint8_t)g->index,
        .write = write,
        .window = window,
        .after_sti = g->after_sti && g->index == g->sti_index + 1,
    };
}

/* ---- Call-outs ------------------------------------------------------------------------------------------ */

/* The interpreter's function executes the instruction; goes on behind the call-out unless `last`. */
static void gen_callout_to(struct gen *g, bool last)
{
    struct callout *callout = arena_alloc(&g->x->arena, sizeof(*callout));

    if (!callout) {
        g->no_memory = true;
        return;
    }
    callout->block = g->block;
    callout->index = (uint8_t)g->index;
    callout->next = g->linear + g->insn->length;
    callout->insn = *g->insn;
    emit_mov_imm64(&g->e, REG_ENTRY, (uint64_t)(uintptr_t)callout);
    emit_jmp(&g->e, g->x->exit[EXIT_CALLOUT]);
    callout->resume = last ? NULL : emit_here(&g->e);
}

void gen_callout(struct gen *g)
{
    gen_callout_to(g, gen_ends_block(g->insn));
}

void gen_callout_last(struct gen *g)
{
    gen_callout_to(g, true);
}

void gen_call_thunk(struct gen *g, const void *thunk)
{
    struct emit_label done = {0};

    emit_call(&g->e, thunk);
    emit_jmp_short(&g->e, &done); /* two bytes: binxlate/thunk.h */
    gen_callout(g);
    emit_bind(&g->e, &done);
}

/* ---- One instruction ------------------------------------------------------------------------------------ */

/* Group 5 (FF): CALL, JMP and PUSH r/m; INC and DEC are copied. */
static bool gen_group5(struct gen *g)
{
    const struct insn *insn = g->insn;

    if (insn->memory && !segment_usable(g, insn->seg, false)) {
        return false;
    }
    switch (insn->reg) {
    case 2:
        gen_load_target(g, REG_SCRATCH);
        gen_push_imm(g, next_linear(g));
        emit_mov32(&g->e, REG_LINEAR, REG_SCRATCH);
        gen_call_indirect(g);
        gen_landing(g, next_linear(g));
        return true;
    case 4:
        gen_load_target(g, REG_LINEAR);
        gen_jump_indirect(g);
        return true;
    case 6:
        if (insn->memory) {
            gen_push_memory(g);
        } else {
            gen_push_reg(g, host_gpr(insn->rm));
        }
        return true;
    default:
        return false;
    }
}

/* Stack and control flow of the one-byte map with operand size 32. False: no generator. */
static bool gen_map_1byte(struct gen *g)
{
    const struct insn *insn = g->insn;
    unsigned byte = insn->opcode->byte;

    switch (byte) {
    case 0x50:
        gen_push_reg(g, host_gpr(insn->rm));
        return true;
    case 0x58:
        gen_pop_reg(g, host_gpr(insn->rm));
        return true;
    case 0x68:
    case 0x6a:
        gen_push_imm(g, insn->imm);
        return true;
    case 0xc2:
    case 0xc3:
        gen_ret(g);
        return true;
    case 0xc9:
        gen_leave(g);
        return true;
    case 0xe8:
        gen_push_imm(g, next_linear(g));
        gen_chain(g, emit_call(&g->e, NULL), branch_target(g));
        gen_landing(g, next_linear(g));
        return true;
    case 0xe9:
    case 0xeb:
        if (!g->more) { /* else the target is what comes next */
            gen_jump(g, branch_target(g));
        }
        return true;
    case 0xff:
        return gen_group5(g);
    default:
        break;
    }
    if (byte >= 0x70 && byte <= 0x7f) {
        gen_jcc(g);
        return true;
    }
    if (byte >= 0xe0 && byte <= 0xe3 && insn->addrsize == 4) {
        gen_loop(g);
        return true;
    }
    return false;
}

static bool gen_own(struct gen *g)
{
    const struct insn *insn = g->insn;
    const struct opcode *opcode = insn->opcode;

    if (insn->opcode->flags & OPF_STRING) {
        return insn->opcode->map == MAP_1BYTE && insn->opcode->byte >= 0xa4 && gen_string(g);
    }
    if (insn->opsize != 4 || (g->traits & ~TRAIT_FLAT)) {
        return false;
    }
    if (gen_system(g)) {
        return true;
    }
    if (opcode->map == MAP_1BYTE) {
        return gen_map_1byte(g);
    }
    if (opcode->map == MAP_0F && opcode->byte >= 0x80 && opcode->byte <= 0x8f) {
        gen_jcc(g);
        return true;
    }
    return false;
}

/* Nothing can come between the instruction and the next one: no fault, no call-out, no way out of the block. */
static bool is_quiet(const struct insn *insn)
{
    const struct opcode *opcode = insn->opcode;
    bool divides = opcode->map == MAP_1BYTE && (opcode->byte == 0xf6 || opcode->byte == 0xf7);

    if (insn->memory || divides || (opcode->flags & OPF_END) || !reencode_supported(insn)) {
        return false;
    }
    return fpu_insn(insn) ? gen_sets_x87_pointers(insn) : !reencode_memory_access(insn);
}

/* A debugger waits for it. */
static bool is_magic(const struct gen *g)
{
    const struct points *points = g->x->cpu->points;

    return points && points->magics && points_is_magic(g->insn);
}

void gen_insn(struct gen *g)
{
    const struct insn *insn = g->insn;

    if (!is_quiet(insn) || g->traits) {
        gen_settle(g);
    }
    gen_site(g, false, false);
    if ((g->traits & TRAIT_SLOW) || is_magic(g)) {
        gen_callout(g);
    } else if (fpu_insn(insn)) {
        gen_fpu(g);
    } else if (reencode_supported(insn)) {
        gen_copy(g);
    } else if (!gen_own(g)) {
        gen_callout(g);
    }
}

/* Of the rows that end the interpreter's runs, those that continue with the next instruction all the same. */
static bool continues_linearly(const struct opcode *opcode)
{
    unsigned byte = opcode->byte;

    if (opcode->map == MAP_0F) {
        return (byte >= 0x20 && byte <= 0x23) || byte == 0x30 || byte == 0x06 || byte == 0x01 ||
               byte == 0xa1 || byte == 0xa9 || byte == 0xb2 || byte == 0xb4 || byte == 0xb5;
    }
    return byte == 0x07 || byte == 0x17 || byte == 0x1f || byte == 0x8e || byte == 0x9d || byte == 0xfb ||
           byte == 0xc4 || byte == 0xc5 || (byte >= 0x6c && byte <= 0x6f) || (byte >= 0xe4 && byte <= 0xe7) ||
           (byte >= 0xec && byte <= 0xef);
}

/* MOV and POP to FS and GS: they may change the mode (thunk_segment.c). */
static bool loads_based_segment(const struct insn *insn)
{
    const struct opcode *opcode = insn->opcode;

    if (opcode->map == MAP_0F) {
        return opcode->byte == 0xa1 || opcode->byte == 0xa9;
    }
    return opcode->map == MAP_1BYTE && opcode->byte == 0x8e && (insn->reg == SEG_FS || insn->reg == SEG_GS);
}

bool gen_ends_block(const struct insn *insn)
{
    const struct opcode *opcode = insn->opcode;

    if (loads_based_segment(insn)) {
        return true;
    }
    return (opcode->flags & OPF_END) && !continues_linearly(opcode);
}
