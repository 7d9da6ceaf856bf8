/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Thunks that execute REP MOVS, REP STOS, REPcc CMPS and REPcc SCAS: a block calls the one of its operation and size.
 *
 *   call thunk          does all of ECX
 *   jmp  behind
 *   call-out            where the thunk comes back to when it cannot: two bytes further
 *
 * A pass of the loop takes what lies in one page on either side. It looks the shadow entries up and finds them usable
 * before the host's own REP begins, so that nothing can fault inside it, and between passes EDI, ESI and ECX are as the
 * SDM has them after so many iterations: the thunk may give up there, and the interpreter's function goes on.
 *
 * Left to that function: DF = 1, an element that crosses a page, memory that is not direct, misaligned elements of
 * anything but MOVS, and counts so large that the instruction has to give way.
 *
 * The host checks alignment. A misaligned MOVSW or MOVSD is done byte by byte, which gives the same result unless the
 * destination begins inside the first element of the source.
 *
 * SDM: Volume 2B, "REP/REPE/REPZ/REPNE/REPNZ"; Volume 1, "String Instructions".
 */
#include "binxlate/thunk.h"

enum { ELEMENTS_MAX = 1 << 17 }; /* the interpreter's functions give way after so many */

enum { MOVS = 0xa4, CMPS = 0xa6, STOS = 0xaa, SCAS = 0xae };
enum { REPE = 0xf3, REPNE = 0xf2 };

/* The host's own, for elements of 1 << shift bytes. */
static void emit_repeated(struct emit *e, unsigned prefix, unsigned kind, unsigned shift)
{
    const struct emit_insn insn = {
        .opsize16 = shift == 1, .prefix = (uint8_t)prefix, .opcode = (uint8_t)(shift ? kind + 1 : kind)};

    emit_insn(e, &insn);
}

/* entry = the page's, which must be usable */
static void emit_entry(struct emit *e, enum host_reg entry, enum host_reg pointer, bool write,
                       struct emit_label *fail)
{
    emit_shrx32(e, entry, pointer, REG_SHIFT);
    emit_load64(e, entry, host_mem_index(REG_TABLE, entry, 3, write ? (int32_t)SHADOW_WRITE_OFFSET : 0));
    emit_test64(e, entry, entry);
    emit_jcc_label(e, HOST_S, fail);
}

/* r10d = elements of this pass: up to the end of a page, and no more than ECX */
static void emit_count(struct emit *e, bool source, unsigned shift, struct emit_label *fail)
{
    emit_mov32(e, REG_ENTRY, HOST_RDI);
    emit_alu_imm32(e, HOST_AND, REG_ENTRY, PAGE_OFFSET_MASK);
    if (source) {
        emit_mov32(e, REG_LINEAR, HOST_RSI);
        emit_alu_imm32(e, HOST_AND, REG_LINEAR, PAGE_OFFSET_MASK);
        emit_alu32(e, HOST_CMP, REG_ENTRY, REG_LINEAR);
        emit_cmov32(e, HOST_B, REG_ENTRY, REG_LINEAR);
    }
    emit_mov_imm32(e, REG_SCRATCH, PAGE_SIZE);
    emit_alu32(e, HOST_SUB, REG_SCRATCH, REG_ENTRY);
    if (shift) {
        emit_shift32(e, HOST_SHR, REG_SCRATCH, shift);
        emit_jcc_label(e, HOST_E, fail);
    }
    emit_alu32(e, HOST_CMP, REG_SCRATCH, HOST_RCX);
    emit_cmov32(e, HOST_A, REG_SCRATCH, HOST_RCX);
}

/* The pointers become host addresses, ECX the count of this pass; what is left waits in vcpu.gpr. */
static void emit_begin(struct emit *e, bool source)
{
    emit_alu32(e, HOST_SUB, HOST_RCX, REG_SCRATCH);
    emit_store64(e, thunk_gpr(RCX), HOST_RCX);
    emit_mov32(e, HOST_RCX, REG_SCRATCH);
    emit_alu64(e, HOST_ADD, HOST_RDI, REG_ENTRY);
    if (source) {
        emit_alu64(e, HOST_ADD, HOST_RSI, REG_LINEAR);
    }
}

static void emit_pointers_back(struct emit *e, bool source)
{
    emit_alu64(e, HOST_SUB, HOST_RDI, REG_ENTRY);
    emit_mov32(e, HOST_RDI, HOST_RDI);
    if (source) {
        emit_alu64(e, HOST_SUB, HOST_RSI, REG_LINEAR);
        emit_mov32(e, HOST_RSI, HOST_RSI);
    }
}

/* One pass of MOVS with host addresses. To `overlap` when bytes are not the same as elements. */
static void emit_move(struct emit *e, unsigned shift, struct emit_label *overlap)
{
    const int32_t low_bits = (1 << shift) - 1;
    struct emit_label aligned = {0}, done = {0};

    if (shift == 0) {
        emit_repeated(e, REPE, MOVS, 0);
        return;
    }
    emit_mov32(e, REG_SCRATCH, HOST_RDI);
    emit_alu32(e, HOST_OR, REG_SCRATCH, HOST_RSI);
    emit_test_imm32(e, REG_SCRATCH, (uint32_t)low_bits);
    emit_jcc_label(e, HOST_E, &aligned);
    emit_mov64(e, REG_SCRATCH, HOST_RDI);
    emit_alu64(e, HOST_SUB, REG_SCRATCH, HOST_RSI);
    emit_alu_imm64(e, HOST_SUB, REG_SCRATCH, 1);
    emit_alu_imm64(e, HOST_CMP, REG_SCRATCH, low_bits);
    emit_jcc_label(e, HOST_B, overlap);
    emit_shift32(e, HOST_SHL, HOST_RCX, shift);
    emit_repeated(e, REPE, MOVS, 0);
    emit_jmp_label(e, &done);
    emit_bind(e, &aligned);
    emit_repeated(e, REPE, MOVS, shift);
    emit_bind(e, &done);
}

/* One pass of STOS: AX holds the flags, r8 keeps them meanwhile. */
static void emit_fill(struct emit *e, unsigned shift)
{
    emit_mov64(e, REG_LINEAR, HOST_RAX);
    emit_load32(e, HOST_RAX, thunk_gpr(RAX));
    emit_repeated(e, REPE, STOS, shift);
    emit_mov64(e, HOST_RAX, REG_LINEAR);
}

/* What is the same in all passes. */
static const void *emit_start(struct emit *e, struct emit_label *fail)
{
    emit_align(e, 16);
    const void *start = emit_here(e);
    thunk_park_flags(e);
    emit_pushfq(e);
    emit_pop(e, REG_ENTRY);
    emit_test_imm32(e, REG_ENTRY, (uint32_t)RFLAGS_DF);
    emit_jcc_label(e, HOST_NE, fail);
    emit_alu_imm32(e, HOST_CMP, HOST_RCX, ELEMENTS_MAX);
    emit_jcc_label(e, HOST_A, fail);
    return start;
}

static void emit_require_aligned(struct emit *e, enum host_reg pointer, unsigned shift,
                                 struct emit_label *fail)
{
    if (shift) {
        emit_test_imm32(e, pointer, (1u << shift) - 1);
        emit_jcc_label(e, HOST_NE, fail);
    }
}

static void emit_end(struct emit *e, struct emit_label *fail, struct emit_label *done)
{
    emit_bind(e, fail);
    thunk_fail(e);
    emit_bind(e, done);
    thunk_restore_flags(e);
    emit_ret(e);
}

/* MOVS or STOS of elements of 1 << shift bytes. */
static const void *emit_thunk(struct emit *e, bool source, unsigned shift)
{
    struct emit_label next = {0}, done = {0}, overlap = {0}, fail = {0};
    const void *start = emit_start(e, &fail);

    if (!source) {
        emit_require_aligned(e, HOST_RDI, shift, &fail);
    }
    emit_bind(e, &next);
    emit_test32(e, HOST_RCX, HOST_RCX);
    emit_jcc_label(e, HOST_E, &done);
    emit_count(e, source, shift, &fail);
    emit_entry(e, REG_ENTRY, HOST_RDI, true, &fail);
    if (source) {
        emit_entry(e, REG_LINEAR, HOST_RSI, false, &fail);
    }
    emit_begin(e, source);
    if (source) {
        emit_move(e, shift, &overlap);
    } else {
        emit_fill(e, shift);
    }
    emit_pointers_back(e, source);
    emit_load32(e, HOST_RCX, thunk_gpr(RCX));
    emit_jmp_label(e, &next);

    if (source && shift) {
        emit_bind(e, &overlap);
        emit_pointers_back(e, source);
        emit_alu_load32(e, HOST_ADD, HOST_RCX, thunk_gpr(RCX));
    }
    emit_end(e, &fail, &done);
    return start;
}

/*
 * CMPS (with a source) or SCAS. AX has the flags of the last element that was compared, of whatever pass; ZF, which ends
 * the repetition, is bit 6 of AH.
 */
static const void *emit_compare_thunk(struct emit *e, bool source, unsigned shift, unsigned prefix)
{
    const uint32_t zf_in_ax = RFLAGS_ZF << 8;
    struct emit_label next = {0}, done = {0}, fail = {0};
    const void *start = emit_start(e, &fail);

    emit_require_aligned(e, HOST_RDI, shift, &fail);
    if (source) {
        emit_require_aligned(e, HOST_RSI, shift, &fail);
    }
    emit_bind(e, &next);
    emit_test32(e, HOST_RCX, HOST_RCX);
    emit_jcc_label(e, HOST_E, &done);
    emit_count(e, source, shift, &fail);
    emit_entry(e, REG_ENTRY, HOST_RDI, false, &fail);
    if (source) {
        emit_entry(e, REG_LINEAR, HOST_RSI, false, &fail);
    }
    emit_begin(e, source);
    emit_load32(e, HOST_RAX, thunk_gpr(RAX));
    emit_repeated(e, prefix, source ? CMPS : SCAS, shift);
    thunk_flags_to_ax(e);
    emit_pointers_back(e, source);
    emit_alu_load32(e, HOST_ADD, HOST_RCX, thunk_gpr(RCX));
    emit_test_imm32(e, HOST_RAX, zf_in_ax);
    emit_jcc_label(e, prefix == REPE ? HOST_NE : HOST_E, &next);
    emit_jmp_label(e, &done);
    emit_end(e, &fail, &done);
    return start;
}

void thunks_emit_rep(struct emit *e, struct binxlate *x)
{
    for (unsigned shift = 0; shift < ARRAY_LEN(x->rep_movs); shift++) {
        x->rep_movs[shift] = emit_thunk(e, true, shift);
        x->rep_stos[shift] = emit_thunk(e, false, shift);
        for (unsigned equal = 0; equal < 2; equal++) {
            x->rep_cmps[equal][shift] = emit_compare_thunk(e, true, shift, equal ? REPE : REPNE);
            x->rep_scas[equal][shift] = emit_compare_thunk(e, false, shift, equal ? REPE : REPNE);
        }
    }
}
