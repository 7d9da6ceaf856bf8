/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The generators: what translate.c calls, one guest instruction at a time.
 *
 * A generator emits the host code of one instruction under the rules of docs/binxlate.md: flags are only those the
 * guest's instruction makes, guest registers change after the last thing that can fault, r8-r10 are free between
 * instructions.
 */
#ifndef BINXLATE_GEN_H
#define BINXLATE_GEN_H

#include "binxlate/engine.h"

enum { GEN_SITES_MAX = 2 * BLOCK_INSNS_MAX, GEN_STUBS_MAX = BLOCK_INSNS_MAX + 2 };

/* A jump out of the block, whose cold half is emitted behind the block. */
struct gen_stub {
    uint8_t *field;
    struct chain *chain;
    unsigned rest; /* instructions of the block that are left out, but counted */
};

struct gen {
    struct binxlate *x;
    struct emit e;
    struct block *block;
    const struct insn *insn; /* the current one */
    unsigned index;          /* its number in the block */
    bool more;               /* the block goes on behind it */
    uint32_t following;      /* address of that */
    uint32_t linear;         /* its address; CS is flat, so this is EIP too */
    uint8_t traits;          /* enum trait of it */
    bool after_sti;          /* there was an STI, as number sti_index */
    unsigned sti_index;
    struct site sites[GEN_SITES_MAX];
    unsigned site_count;
    struct gen_stub stubs[GEN_STUBS_MAX];
    unsigned stub_count;
    uint32_t x87_fip; /* with x87_fop: of the last x87 instruction, not stored yet if x87_pending */
    uint16_t x87_fop;
    bool x87_pending;
    bool no_memory; /* the arena is used up */
};

/* Does the instruction end a block: may what follows it not be what is executed next? */
bool gen_ends_block(const struct insn *insn);

/* JMP to an address in it, Jcc: what gen_jump and gen_jcc do, so that a block may go on behind it. */
bool gen_is_jump(const struct insn *insn);
bool gen_is_jcc(const struct insn *insn);

/* The ways in, up to the first instruction. */
void gen_head(struct gen *g);
/* The current instruction. */
void gen_insn(struct gen *g);
/* Continue at `target` in another block. */
void gen_jump(struct gen *g, uint32_t target);
/* Store what gen_insn() put off, before the block is left other than by an instruction of its own. */
void gen_settle(struct gen *g);
/* The cold halves. */
void gen_stubs(struct gen *g);

/* ---- Among the generators ---- */

static inline struct host_mem cpu_field(size_t offset)
{
    return host_mem(REG_CPU, (int32_t)offset);
}

static inline enum host_reg host_gpr(unsigned n)
{
    return n == RSP ? REG_ESP : (enum host_reg)n;
}

static inline uint32_t next_linear(const struct gen *g)
{
    return g->linear + g->insn->length;
}

static inline uint32_t branch_target(const struct gen *g)
{
    return next_linear(g) + g->insn->imm;
}

/* gen.c */

/* Compare without flags: the value that RCX holds must be 0; RCX itself waits in r10. */
void gen_require_zero(struct gen *g, const void *otherwise);
/* From here on, a fault belongs to the current instruction and is an access of this kind. */
void gen_site(struct gen *g, bool write, bool window);
/* The interpreter's function executes the current instruction. */
void gen_callout(struct gen *g);
/* The same, and the block is left behind it. */
void gen_callout_last(struct gen *g);
/* A thunk executes it, or else that function. */
void gen_call_thunk(struct gen *g, const void *thunk);

/* gen_memory.c */

/* The memory at the linear address in r8, through the flat table: [r9+r8]. Changes r9 only. */
struct host_mem gen_translate(struct gen *g, bool write);
/* Does the current instruction go through the host window? */
bool gen_uses_window(const struct gen *g);
/* The memory at reg + disp in a flat segment, by window or table; uses r8 and r9. */
struct host_mem gen_place(struct gen *g, bool write, enum host_reg reg, int32_t disp);
/* Can translated code use this segment for this kind of access? */
bool segment_usable(const struct gen *g, unsigned seg, bool write);
/* The operand of `size` bytes at r8 lies in one page, or the interpreter executes the instruction. Changes r8 and r9. */
void gen_prove_page(struct gen *g, bool write, unsigned size);
/* The ModRM or moffs operand as one site of the current instruction; uses r8 and r9. */
struct host_mem gen_operand(struct gen *g, bool write);
/* The current instruction, one of reencode_supported(), around its memory operand if it has one. */
void gen_copy(struct gen *g);

/* gen_fpu.c */

/* The current instruction, one of fpu_insn(). */
void gen_fpu(struct gen *g);
/* The current instruction was executed: FIP, FOP and FDP are its own, if it is one that sets them. */
void gen_x87_pointers(struct gen *g);
/* All of x87 but the control instructions: they note where they and their memory operands lay. */
bool gen_sets_x87_pointers(const struct insn *insn);

/* gen_stack.c */

/* The next doubleword to push; then gen_push_done(). */
struct host_mem gen_push_place(struct gen *g);
void gen_push_done(struct gen *g);
/* The doubleword on top of the stack. */
struct host_mem gen_pop_place(struct gen *g);
void gen_push_reg(struct gen *g, enum host_reg reg);
void gen_push_imm(struct gen *g, uint32_t imm);
void gen_push_memory(struct gen *g);
void gen_pop_reg(struct gen *g, enum host_reg reg);
void gen_leave(struct gen *g);

/* gen_string.c. False: no generator. */
bool gen_string(struct gen *g);

/* gen_system.c: with operand size 32. False: no generator. */
bool gen_system(struct gen *g);

/* gen_branch.c */

/* `field` jumps to the block at `target`: at first to a stub that finds it. */
void gen_chain(struct gen *g, uint8_t *field, uint32_t target);
/* Continue at the address in r8. */
void gen_jump_indirect(struct gen *g);
/* The same as a call, whose landing follows. */
void gen_call_indirect(struct gen *g);
/*
 * Where a host return ends up; r8 is the guest's return address. Is it the one behind this call? In the same page the
 * mapping is known: when one changes, the stack is emptied (dispatch.c), and nobody returns to here.
 */
void gen_landing(struct gen *g, uint32_t address);
void gen_jcc(struct gen *g);
void gen_loop(struct gen *g);
/* The target of JMP and CALL r/m into `reg`. */
void gen_load_target(struct gen *g, enum host_reg reg);
void gen_ret(struct gen *g);

#endif
