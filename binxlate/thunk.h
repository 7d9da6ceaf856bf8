/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Among the thunks: what those share that a block calls to have an instruction executed.
 *
 * Such a thunk comes back behind the call when the instruction is done. When it has to leave the instruction to the
 * interpreter's function it comes back two bytes further, behind a short jump, where the call-out is:
 *
 *       call thunk
 *       jmp  done       2 bytes
 *       call-out
 *   done:
 *
 * The arithmetic flags wait in AH and AL while a thunk computes, and EAX in the vcpu. r8, r9 and r10 are free.
 */
#ifndef BINXLATE_THUNK_H
#define BINXLATE_THUNK_H

#include "binxlate/engine.h"

enum { THUNK_FAILED_OFFSET = 2 }; /* from behind the call to the call-out */

static inline struct host_mem thunk_gpr(unsigned n)
{
    return host_mem(REG_CPU, (int32_t)(offsetof(struct vcpu, gpr) + n * sizeof(uint64_t)));
}

/* SF ZF AF PF CF to AH, OF to AL. */
static inline void thunk_flags_to_ax(struct emit *e)
{
    emit_lahf(e);
    emit_setcc(e, HOST_O, HOST_RAX);
}

/* The same, and EAX to where it waits. */
static inline void thunk_park_flags(struct emit *e)
{
    emit_store64(e, thunk_gpr(RAX), HOST_RAX);
    thunk_flags_to_ax(e);
}

/* The reverse. 80h is -128: the sum of 1 and 127 overflows. */
static inline void thunk_flags_from_ax(struct emit *e)
{
    static const struct emit_insn add_al_127 = {.opcode = 0x04, .imm_size = 1, .imm = 0x7f};

    emit_insn(e, &add_al_127);
    emit_sahf(e);
}

/* The same, and EAX. */
static inline void thunk_restore_flags(struct emit *e)
{
    thunk_flags_from_ax(e);
    emit_load32(e, HOST_RAX, thunk_gpr(RAX));
}

/* Back to the call-out. */
static inline void thunk_fail(struct emit *e)
{
    thunk_restore_flags(e);
    emit_load64(e, REG_ENTRY, host_mem(HOST_RSP, 0));
    emit_lea64(e, REG_ENTRY, host_mem(REG_ENTRY, THUNK_FAILED_OFFSET));
    emit_store64(e, host_mem(HOST_RSP, 0), REG_ENTRY);
    emit_ret(e);
}

/* thunk_rep.c */
void thunks_emit_rep(struct emit *e, struct binxlate *x);

/* thunk_segment.c */
void thunks_emit_segment(struct emit *e, struct binxlate *x);

#endif
