/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Guest x87, MMX and SSE instructions on the host's own units.
 *
 * Guest and host speak the same instruction set, so the guest's instruction is its own best model. For each
 * encoding met, a *stub* is generated once: it loads what the instruction reads from a struct hostfpu_frame,
 * runs the very instruction with its memory operand replaced by a buffer in the frame and its registers
 * renumbered, and stores what it wrote. Faults of guest memory never happen inside a stub: cpu/exec_x87.c and
 * cpu/exec_simd.c fill the frame beforehand and write memory afterwards.
 *
 *   x87   the whole unit, as FXRSTOR loads and FXSAVE stores it; registers keep their numbers
 *   SIMD  two register operands, ModRM.reg in XMM0, MM0 or EAX and ModRM.r/m in XMM1, MM1 or ECX
 *
 * No stub can trap. x87: an unmasked exception traps at the *next* waiting instruction; the callers never
 * start one with an exception pending and the stub ends in FNINIT. SIMD: all exceptions are masked, see
 * cpu/simd_fp.h.
 *
 * The code buffer is mapped twice, writable and executable, so that no page is both (W^X).
 */
#ifndef CPU_HOSTFPU_H
#define CPU_HOSTFPU_H

#include "cpu/insn.h"

/* What a stub loads and stores. */
struct hostfpu_frame {
    struct fxsave x87;  /* x87 part only: the XMM registers are 0 and MXCSR has its default */
    uint8_t memory[16]; /* the memory operand, its first bytes */
    uint8_t reg[16];    /* register that ModRM.reg names */
    uint8_t rm[16];     /* register that ModRM.r/m names */
    uint64_t rflags;    /* in: FCMOVcc's condition; out: what FCOMI, COMISS set */
    uint32_t mxcsr;     /* SIMD_FP: in and out, exceptions masked */
    uint32_t host_mxcsr;
};

/* Kind of a SIMD register operand. */
enum hostfpu_operand { OPERAND_NONE, OPERAND_MM, OPERAND_XMM, OPERAND_GPR };

/* A generated stub, and what the row's operands say about it. */
struct hostfpu_stub {
    uint32_t key;         /* 0: the slot is free */
    uint8_t memory_size;  /* bytes of the memory operand, 0 if none */
    uint8_t memory_align; /* its natural alignment, for #AC */
    uint8_t reg, rm;      /* enum hostfpu_operand */
    bool reg_written, rm_written;
    void (*run)(struct hostfpu_frame *frame);
};

struct hostfpu;

/* The code buffer and an empty set of stubs. NULL with the text on failure. */
struct error;
struct hostfpu *hostfpu_create(struct error *error);
/* NULL is legal. */
void hostfpu_destroy(struct hostfpu *hostfpu);

struct hostfpu_frame *hostfpu_frame(struct hostfpu *hostfpu);

/* The stub of a decoded instruction with handler x87 or simd. Valid until the next call. */
const struct hostfpu_stub *hostfpu_stub(struct hostfpu *hostfpu, const struct insn *insn);

#endif
