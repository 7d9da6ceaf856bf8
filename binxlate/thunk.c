/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The ways into translated code and out of it, emitted at the start of the code buffer.
 *
 *   in    save the C caller's registers and stack, load the guest's registers, then its flags, with AC set but in MODE_WINDOW
 *   out   store the guest's registers and flags, clear AC and DF, go back to the caller with the reason
 *
 * Translated code runs on a stack of its own: a signal frame may be put on it at any instruction, and the poll (see
 * gen.c) reaches from it into the guard above. RSP is kept between exits: what lies there are the addresses that the
 * guest's calls, which are host calls, return to.
 *
 * SDM: Volume 1, "EFLAGS Register"; the calling convention is the System V x86-64 ABI's.
 */
#include <errno.h>

#include "binxlate/thunk.h"

/* What C code expects in RFLAGS: interrupts on as ever, all else clear. */
#define FLAGS_OUTSIDE ((int32_t)(RFLAGS_IF | RFLAGS_FIXED1))

static const uint8_t callee_saved[] = {HOST_RBP, HOST_RBX, HOST_R12, HOST_R13, HOST_R14, HOST_R15};

static struct host_mem run_field(enum host_reg base, size_t offset)
{
    return host_mem(base, (int32_t)offset);
}

#define RUN(base, member) run_field(base, offsetof(struct run_state, member))

static struct host_mem fpu_field(void)
{
    return host_mem(REG_CPU, (int32_t)offsetof(struct vcpu, fpu));
}

/* With the run state in r8. */
static void emit_load_fpu(struct emit *e)
{
    struct emit_label dead = {0};

    emit_alu_mem_imm32(e, HOST_CMP, RUN(HOST_R8, fpu_live), 0);
    emit_jcc_short(e, HOST_E, &dead);
    emit_fxrstor(e, fpu_field());
    emit_bind(e, &dead);
}

/* With the run state in RAX. The units are left as C code expects them. */
static void emit_store_fpu(struct emit *e)
{
    static const struct emit_insn fninit = {.opcode = 0xdb, .modrm = true, .reg = 4, .rm = 3};
    struct emit_label dead = {0};

    emit_alu_mem_imm32(e, HOST_CMP, RUN(HOST_RAX, fpu_live), 0);
    emit_jcc_short(e, HOST_E, &dead);
    emit_fxsave(e, fpu_field());
    emit_insn(e, &fninit);
    emit_ldmxcsr(e, RUN(HOST_RAX, host_mxcsr));
    emit_bind(e, &dead);
}

/* unsigned enter(const void *code) */
static const void *emit_enter(struct emit *e, struct binxlate *x)
{
    const void *start = emit_here(e);

    for (unsigned i = 0; i < ARRAY_LEN(callee_saved); i++) {
        emit_push(e, callee_saved[i]);
    }
    emit_mov64(e, REG_SCRATCH, HOST_RDI);
    emit_mov_imm64(e, HOST_R8, (uint64_t)(uintptr_t)&x->run);
    emit_store64(e, RUN(HOST_R8, host_stack), HOST_RSP);
    emit_load64(e, REG_CPU, RUN(HOST_R8, cpu));
    emit_load64(e, REG_TABLE, RUN(HOST_R8, table));
    emit_load64(e, REG_SHIFT, RUN(HOST_R8, shift));
    emit_load64(e, REG_LEFT, RUN(HOST_R8, left));
    emit_alu_load64(e, HOST_ADD, REG_LEFT, RUN(HOST_R8, stop));
    x->entered = emit_here(e);
    emit_load_fpu(e);
    emit_load64(e, HOST_RSP, RUN(HOST_R8, stack));
    emit_push_mem(e, RUN(HOST_R8, flags));
    emit_popfq(e);
    for (unsigned n = RAX; n <= RDI; n++) {
        emit_load32(e, n == RSP ? REG_ESP : (enum host_reg)n, thunk_gpr(n));
    }
    emit_load64(e, REG_LINEAR, RUN(HOST_R8, linear));
    emit_jmp_reg(e, REG_SCRATCH);
    return start;
}

/* Expects the reason in REG_SCRATCH. */
static const void *emit_leave(struct emit *e, const struct binxlate *x)
{
    const void *start = emit_here(e);

    for (unsigned n = RAX; n <= RDI; n++) {
        emit_store64(e, thunk_gpr(n), n == RSP ? REG_ESP : (enum host_reg)n);
    }
    emit_mov_imm64(e, HOST_RAX, (uint64_t)(uintptr_t)&x->run);
    emit_pushfq(e);
    emit_pop_mem(e, RUN(HOST_RAX, flags));
    emit_store64(e, RUN(HOST_RAX, stack), HOST_RSP);
    emit_load64(e, HOST_RSP, RUN(HOST_RAX, host_stack));
    emit_push_imm32(e, FLAGS_OUTSIDE);
    emit_popfq(e);
    emit_store_fpu(e);
    emit_store64(e, RUN(HOST_RAX, left), REG_LEFT);
    emit_store64(e, RUN(HOST_RAX, argument), REG_ENTRY);
    emit_store64(e, RUN(HOST_RAX, linear), REG_LINEAR);
    emit_mov32(e, HOST_RAX, REG_SCRATCH);
    for (unsigned i = ARRAY_LEN(callee_saved); i-- > 0;) {
        emit_pop(e, callee_saved[i]);
    }
    emit_ret(e);
    return start;
}

/* Continue at the address in REG_LINEAR. The jump cache is the current mode's: a return may land in code of another. */
static const void *emit_jump(struct emit *e, const struct binxlate *x)
{
    const void *start;

    emit_align(e, 16);
    start = emit_here(e);
    emit_movzx16(e, REG_ENTRY, REG_LINEAR);
    emit_mov_imm64(e, REG_SCRATCH, (uint64_t)(uintptr_t)&x->run.jump_cache);
    emit_load64(e, REG_SCRATCH, host_mem(REG_SCRATCH, 0));
    emit_jmp_mem(e, host_mem_index(REG_SCRATCH, REG_ENTRY, 3, 0));
    return start;
}

/* A return found the bottom of the stack: put RSP back to where the next one finds it again. */
static const void *emit_return_missed(struct emit *e, const struct binxlate *x)
{
    const void *start = emit_here(e);

    emit_mov_imm64(e, HOST_RSP, x->stack_top);
    emit_jmp(e, x->jump);
    return start;
}

int thunks_emit(struct binxlate *x, struct error *error)
{
    struct emit e;

    emit_init(&e, x->code.write, x->code.write + x->code.size, code_view(&x->code));
    const void *enter = emit_enter(&e, x);
    memcpy(&x->enter, &enter, sizeof(enter));
    const void *leave = emit_leave(&e, x);
    for (unsigned reason = 0; reason < EXIT_COUNT; reason++) {
        emit_align(&e, 16);
        x->exit[reason] = emit_here(&e);
        emit_mov_imm32(&e, REG_SCRATCH, reason);
        emit_jmp(&e, leave);
    }
    emit_align(&e, 16);
    x->exit_indirect = emit_here(&e);
    emit_store32(&e, host_mem(REG_CPU, (int32_t)offsetof(struct vcpu, rip)), REG_LINEAR);
    emit_jmp(&e, x->exit[EXIT_LOOKUP]);
    x->jump = emit_jump(&e, x);
    x->return_missed = emit_return_missed(&e, x);
    thunks_emit_rep(&e, x);
    thunks_emit_segment(&e, x);
    emit_align(&e, 64);
    if (emit_failed(&e)) {
        return error_set(error, -ENOMEM, "translator: the code buffer is too small for the thunks");
    }
    x->code.fixed = x->code.used = (size_t)(e.at - x->code.write);
    return 0;
}
