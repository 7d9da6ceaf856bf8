/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The host encoder: one function an x86-64 instruction form, writing into a code buffer.
 *
 * All raw bytes of the translator are made here. Registers are numbers 0-15 (enum host_reg) whatever the
 * operand size; byte forms name the low byte (4-7 are SPL, BPL, SIL, DIL). A suffix 8, 16, 32 or 64 is the
 * operand size; 32-bit results clear the upper half of the register, 8- and 16-bit ones leave the rest of
 * it alone.
 *
 * The buffer is seen twice: it is written through one mapping and runs in another. Pointers into the write
 * view are uint8_t *, addresses where code runs are const void *; `view` is the distance between the two.
 *
 * Running out of room is detected, never written past: `overflow` is set and everything later is dropped.
 * Whoever emits a block looks at it once, at the end.
 *
 * SDM: Volume 2A, "Instruction Format".
 */
#ifndef BINXLATE_EMIT_H
#define BINXLATE_EMIT_H

#include "base/types.h"

enum host_reg {
    HOST_RAX,
    HOST_RCX,
    HOST_RDX,
    HOST_RBX,
    HOST_RSP,
    HOST_RBP,
    HOST_RSI,
    HOST_RDI,
    HOST_R8,
    HOST_R9,
    HOST_R10,
    HOST_R11,
    HOST_R12,
    HOST_R13,
    HOST_R14,
    HOST_R15,
    HOST_NO_REG = 0xff,
};

/* The condition codes tttn. SDM: Volume 2D, "Condition Test Fields". An odd one negates the
 * even one before it. */
enum host_condition {
    HOST_O,
    HOST_NO,
    HOST_B,
    HOST_AE,
    HOST_E,
    HOST_NE,
    HOST_BE,
    HOST_A,
    HOST_S,
    HOST_NS,
    HOST_P,
    HOST_NP,
    HOST_L,
    HOST_GE,
    HOST_LE,
    HOST_G,
};

/* The eight arithmetic operations, by ModRM.reg of opcode 80. All of them write the flags. */
enum host_alu { HOST_ADD, HOST_OR, HOST_ADC, HOST_SBB, HOST_AND, HOST_SUB, HOST_XOR, HOST_CMP };

/* Shifts and rotations that write the flags, by ModRM.reg of opcode C0. */
enum host_shift { HOST_ROL, HOST_ROR, HOST_RCL, HOST_RCR, HOST_SHL, HOST_SHR, HOST_SAR = 7 };

/* [base + (index << shift) + disp], 64-bit address arithmetic; `window`: modulo 2^32, then relative to the GS base. */
struct host_mem {
    uint8_t base;  /* enum host_reg; HOST_NO_REG: none */
    uint8_t index; /* not HOST_RSP; HOST_NO_REG: none */
    uint8_t shift; /* 0..3 */
    bool window;
    int32_t disp;
};

static inline struct host_mem host_mem(enum host_reg base, int32_t disp)
{
    return (struct host_mem){.base = (uint8_t)base, .index = HOST_NO_REG, .disp = disp};
}

static inline struct host_mem host_mem_index(enum host_reg base, enum host_reg index, unsigned shift,
                                             int32_t disp)
{
    return (struct host_mem){
        .base = (uint8_t)base, .index = (uint8_t)index, .shift = (uint8_t)shift, .disp = disp};
}

struct emit {
    uint8_t *at;       /* next byte, write view */
    uint8_t *end;      /* first byte that is not ours */
    ptrdiff_t view;    /* add to a write-view pointer: where that byte runs */
    bool overflow;     /* something did not fit */
    bool out_of_reach; /* a label's short jump or an address is too far away: a bug of the caller */
};

static inline void emit_init(struct emit *e, uint8_t *at, uint8_t *end, ptrdiff_t view)
{
    *e = (struct emit){.at = at, .end = end, .view = view};
}

/* Where the next instruction will run. */
static inline const void *emit_here(const struct emit *e)
{
    return e->at + e->view;
}

static inline bool emit_failed(const struct emit *e)
{
    return e->overflow || e->out_of_reach;
}

/* ---- MOV and its kin: no flags ---- */

void emit_mov32(struct emit *e, enum host_reg dst, enum host_reg src);
void emit_mov64(struct emit *e, enum host_reg dst, enum host_reg src);
void emit_mov8(struct emit *e, enum host_reg dst, enum host_reg src);  /* keeps bits 8-63 of dst */
void emit_mov16(struct emit *e, enum host_reg dst, enum host_reg src); /* keeps bits 16-63 of dst */
void emit_mov_imm32(struct emit *e, enum host_reg dst, uint32_t imm);
void emit_mov_imm64(struct emit *e, enum host_reg dst, uint64_t imm);    /* the shortest form that makes it */
void emit_load8(struct emit *e, enum host_reg dst, struct host_mem mem); /* keeps bits 8-63 of dst */
void emit_load16(struct emit *e, enum host_reg dst, struct host_mem mem); /* keeps bits 16-63 of dst */
void emit_load32(struct emit *e, enum host_reg dst, struct host_mem mem);
void emit_load64(struct emit *e, enum host_reg dst, struct host_mem mem);
void emit_store8(struct emit *e, struct host_mem mem, enum host_reg src);
void emit_store16(struct emit *e, struct host_mem mem, enum host_reg src);
void emit_store32(struct emit *e, struct host_mem mem, enum host_reg src);
void emit_store64(struct emit *e, struct host_mem mem, enum host_reg src);
void emit_store_imm8(struct emit *e, struct host_mem mem, uint8_t imm);
void emit_store_imm16(struct emit *e, struct host_mem mem, uint16_t imm);
void emit_store_imm32(struct emit *e, struct host_mem mem, uint32_t imm);
void emit_store_imm64(struct emit *e, struct host_mem mem, int32_t imm); /* sign-extended */
/* To 32 bits (upper half cleared), from a register or memory. */
void emit_movzx8(struct emit *e, enum host_reg dst, enum host_reg src);
void emit_movzx16(struct emit *e, enum host_reg dst, enum host_reg src);
void emit_movsx8(struct emit *e, enum host_reg dst, enum host_reg src);
void emit_movsx16(struct emit *e, enum host_reg dst, enum host_reg src);
void emit_movsxd(struct emit *e, enum host_reg dst, enum host_reg src); /* 32 to 64 bits */
void emit_load_zx8(struct emit *e, enum host_reg dst, struct host_mem mem);
void emit_load_zx16(struct emit *e, enum host_reg dst, struct host_mem mem);
void emit_load_sx8(struct emit *e, enum host_reg dst, struct host_mem mem);
void emit_load_sx16(struct emit *e, enum host_reg dst, struct host_mem mem);
void emit_load_sxd(struct emit *e, enum host_reg dst, struct host_mem mem); /* 32 to 64 bits */
void emit_xchg32(struct emit *e, enum host_reg a, enum host_reg b);
void emit_xchg64(struct emit *e, enum host_reg a, enum host_reg b);
void emit_xchg_mem32(struct emit *e, struct host_mem mem, enum host_reg reg); /* locks the bus */
void emit_xchg_mem64(struct emit *e, struct host_mem mem, enum host_reg reg);
void emit_lea32(struct emit *e, enum host_reg dst, struct host_mem mem); /* address modulo 2^32 */
void emit_lea64(struct emit *e, enum host_reg dst, struct host_mem mem);
void emit_cmov32(struct emit *e, enum host_condition condition, enum host_reg dst, enum host_reg src);
void emit_cmov64(struct emit *e, enum host_condition condition, enum host_reg dst, enum host_reg src);
void emit_setcc(struct emit *e, enum host_condition condition, enum host_reg dst); /* low byte only */
void emit_setcc_mem(struct emit *e, enum host_condition condition, struct host_mem mem);
void emit_not32(struct emit *e, enum host_reg reg);
void emit_not64(struct emit *e, enum host_reg reg);
void emit_bswap32(struct emit *e, enum host_reg reg);

/* BMI2 shifts: no flags; count modulo the operand size. */
void emit_shlx32(struct emit *e, enum host_reg dst, enum host_reg src, enum host_reg count);
void emit_shlx64(struct emit *e, enum host_reg dst, enum host_reg src, enum host_reg count);
void emit_shrx32(struct emit *e, enum host_reg dst, enum host_reg src, enum host_reg count);
void emit_shrx64(struct emit *e, enum host_reg dst, enum host_reg src, enum host_reg count);
void emit_sarx32(struct emit *e, enum host_reg dst, enum host_reg src, enum host_reg count);
void emit_sarx64(struct emit *e, enum host_reg dst, enum host_reg src, enum host_reg count);
void emit_rorx32(struct emit *e, enum host_reg dst, enum host_reg src, unsigned count);
void emit_rorx64(struct emit *e, enum host_reg dst, enum host_reg src, unsigned count);

/* ---- arithmetic: writes the flags ---- */

void emit_alu32(struct emit *e, enum host_alu op, enum host_reg dst, enum host_reg src);
void emit_alu64(struct emit *e, enum host_alu op, enum host_reg dst, enum host_reg src);
void emit_alu_imm32(struct emit *e, enum host_alu op, enum host_reg dst, uint32_t imm);
void emit_alu_imm64(struct emit *e, enum host_alu op, enum host_reg dst, int32_t imm); /* sign-extended */
void emit_alu_load32(struct emit *e, enum host_alu op, enum host_reg dst, struct host_mem mem);
void emit_alu_load64(struct emit *e, enum host_alu op, enum host_reg dst, struct host_mem mem);
void emit_alu_store32(struct emit *e, enum host_alu op, struct host_mem mem, enum host_reg src);
void emit_alu_store64(struct emit *e, enum host_alu op, struct host_mem mem, enum host_reg src);
void emit_alu_mem_imm8(struct emit *e, enum host_alu op, struct host_mem mem, uint8_t imm);
void emit_alu_mem_imm32(struct emit *e, enum host_alu op, struct host_mem mem, uint32_t imm);
void emit_alu_mem_imm64(struct emit *e, enum host_alu op, struct host_mem mem, int32_t imm);
void emit_test32(struct emit *e, enum host_reg a, enum host_reg b);
void emit_test64(struct emit *e, enum host_reg a, enum host_reg b);
void emit_test_imm32(struct emit *e, enum host_reg reg, uint32_t imm);
void emit_test_mem_imm8(struct emit *e, struct host_mem mem, uint8_t imm);
void emit_test_mem_imm32(struct emit *e, struct host_mem mem, uint32_t imm);
void emit_shift32(struct emit *e, enum host_shift op, enum host_reg reg, unsigned count);
void emit_shift64(struct emit *e, enum host_shift op, enum host_reg reg, unsigned count);

/* ---- flags and stack ---- */

void emit_push(struct emit *e, enum host_reg reg);
void emit_pop(struct emit *e, enum host_reg reg);
void emit_push_mem(struct emit *e, struct host_mem mem); /* 8 bytes */
void emit_pop_mem(struct emit *e, struct host_mem mem);
void emit_push_imm32(struct emit *e, int32_t imm); /* 8 bytes, sign-extended */
void emit_pushfq(struct emit *e);
void emit_popfq(struct emit *e);
void emit_lahf(struct emit *e); /* AH = SF ZF 0 AF 0 PF 1 CF */
void emit_sahf(struct emit *e);
void emit_cld(struct emit *e);
void emit_std(struct emit *e);

/* ---- x87 and SSE state ---- */

void emit_fxsave(struct emit *e, struct host_mem mem); /* the 32-bit pointer format */
void emit_fxrstor(struct emit *e, struct host_mem mem);
void emit_fxsave64(struct emit *e, struct host_mem mem);
void emit_fxrstor64(struct emit *e, struct host_mem mem);
void emit_ldmxcsr(struct emit *e, struct host_mem mem);
void emit_stmxcsr(struct emit *e, struct host_mem mem);

/* ---- control transfer to an address: always the rel32 form ---- */

/* They return the displacement field, for emit_patch_rel32(); NULL on overflow. `target` NULL: to be patched
 * (until then it is the next instruction). */
uint8_t *emit_jmp(struct emit *e, const void *target);
uint8_t *emit_jcc(struct emit *e, enum host_condition condition, const void *target);
uint8_t *emit_call(struct emit *e, const void *target);

/*
 * Point a displacement field (write view) at another target. For code that runs on the calling thread only:
 * the store is not atomic towards other processors, and leaving translated code and coming back serialises
 * enough. False: the target is beyond +-2 GiB; nothing is changed.
 */
bool emit_patch_rel32(uint8_t *field, ptrdiff_t view, const void *target);
/* Where the field points now. */
const void *emit_rel32_target(const uint8_t *field, ptrdiff_t view);

void emit_jmp_reg(struct emit *e, enum host_reg reg);
void emit_jmp_mem(struct emit *e, struct host_mem mem);
void emit_call_reg(struct emit *e, enum host_reg reg);
void emit_call_mem(struct emit *e, struct host_mem mem);
void emit_ret(struct emit *e);
void emit_int3(struct emit *e);
void emit_ud2(struct emit *e);
/* `count` bytes of the recommended multi-byte NOPs. */
void emit_nop(struct emit *e, unsigned count);
/* NOPs up to a multiple of `alignment` (a power of two) of the running address. */
void emit_align(struct emit *e, unsigned alignment);

/* ---- labels: places inside what is being emitted ---- */

enum { EMIT_LABEL_USES = 16 };

/* Zero-initialise. One emission only; not to be kept when the buffer was reset. */
struct emit_label {
    uint8_t *target;                 /* write view; NULL until bound */
    uint8_t *field[EMIT_LABEL_USES]; /* displacement fields that wait for it */
    bool wide[EMIT_LABEL_USES];      /* rel32, else rel8 */
    unsigned uses;                   /* more than EMIT_LABEL_USES forward uses set out_of_reach */
};

/* The label is here. Resolves what waits for it. */
void emit_bind(struct emit *e, struct emit_label *label);
/* Backwards the shortest form; forwards rel32. */
void emit_jmp_label(struct emit *e, struct emit_label *label);
void emit_jcc_label(struct emit *e, enum host_condition condition, struct emit_label *label);
void emit_call_label(struct emit *e, struct emit_label *label);
/* rel8: the label must be within 127 bytes, or out_of_reach is set when it is bound. */
void emit_jmp_short(struct emit *e, struct emit_label *label);
void emit_jcc_short(struct emit *e, enum host_condition condition, struct emit_label *label);
void emit_jrcxz(struct emit *e, struct emit_label *label); /* RCX is zero; no flags */
void emit_jecxz(struct emit *e, struct emit_label *label); /* ECX is zero; no flags */
/* Address where the label runs (RIP-relative LEA). */
void emit_lea_label(struct emit *e, enum host_reg dst, struct emit_label *label);

/* ---- any instruction: the form the functions above and binxlate/reencode.c share ---- */

enum emit_map { EMIT_MAP_1BYTE, EMIT_MAP_0F, EMIT_MAP_0F38, EMIT_MAP_0F3A };

/*
 *   [66] [F0] [mandatory prefix] [REX] [0F [38|3A]] opcode [ModRM [SIB] [disp]] [imm]
 */
struct emit_insn {
    bool opsize16, lock;
    uint8_t prefix; /* mandatory: 0, 66, F3, F2 */
    uint8_t map;    /* enum emit_map */
    uint8_t opcode;
    bool wide;     /* REX.W */
    bool plus_reg; /* the register rm is in the opcode's bits 2-0 and there is no ModRM */
    bool modrm;
    uint8_t reg;            /* 0-15: a register, or an opcode extension */
    uint8_t rm;             /* 0-15: register operand, when mem is NULL */
    bool reg_byte, rm_byte; /* 4-7 name SPL..DIL and need a REX prefix */
    const struct host_mem *mem;
    uint8_t imm_size; /* 0, 1, 2, 4, 8 bytes */
    uint64_t imm;
};

void emit_insn(struct emit *e, const struct emit_insn *insn);

/* Would the operand make a REX prefix necessary (so that AH, CH, DH, BH cannot be named)? */
static inline bool host_mem_needs_rex(const struct host_mem *mem)
{
    return (mem->base != HOST_NO_REG && mem->base >= 8) || (mem->index != HOST_NO_REG && mem->index >= 8);
}

#endif
