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

enum { GEN_SITES_MAX = 2 * BLOCK_INSNS_MAX, GEN_STUBS_MAX = 2 };

/* A jump out of the block, whose cold half is emitted behind the block. */
struct gen_stub {
    uint8_t *field;
    struct chain *chain;
};

struct gen {
    struct binxlate *x;
    struct emit e;
    struct block *block;
    const struct insn *insn; /* the current one */
    unsigned index;          /* its number in the block */
    uint32_t linear;         /* its address; CS is flat, so this is EIP too */
    uint8_t traits;          /* enum trait of it */
    struct site sites[GEN_SITES_MAX];
    unsigned site_count;
    struct gen_stub stubs[GEN_STUBS_MAX];
    unsigned stub_count;
    bool no_memory; /* the arena is used up */
};

/* Does the instruction end a block: may what follows it not be what is executed next? */
bool gen_ends_block(const struct insn *insn);

/* The ways in, up to the first instruction. */
void gen_head(struct gen *g);
/* The current instruction. */
void gen_insn(struct gen *g);
/* Continue at `target` in another block. */
void gen_jump(struct gen *g, uint32_t target);
/* The cold halves. */
void gen_stubs(struct gen *g);

#endif
