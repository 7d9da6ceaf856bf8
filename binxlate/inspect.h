/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Translated blocks as the monitor shows them: which there are, what host code each guest instruction became, where the
 * exits lead, and how often each block was executed.
 *
 * For the thread that has the processor, between runs. What these functions give is good until the next run. Only
 * binxlate_set_counting() changes anything, and nothing of it can be seen by the guest.
 *
 * docs/binxlate.md explains blocks, docs/inspect.md what the monitor makes of this.
 */
#ifndef BINXLATE_INSPECT_H
#define BINXLATE_INSPECT_H

#include "binxlate/binxlate.h"

struct block;

struct binxlate_block {
    const struct block *block; /* for the functions below */
    uint32_t linear;           /* its first instruction */
    roff_t roff;               /* where that lies in the VM's memory */
    unsigned insns;
    unsigned mode;       /* enum block_mode; binxlate_mode_name() */
    bool window;         /* its code uses a host window */
    bool dead;           /* dropped: its bytes were overwritten, or it was made anew */
    uint64_t executions; /* since counting was switched on */
    const uint8_t *code; /* its host code, readable; host_size bytes */
    const uint8_t *exec; /* the address that code runs at */
    const uint8_t *body; /* of these, where chained jumps enter */
    uint32_t host_size;  /* bytes */
    uint32_t guest_size; /* bytes of guest code */
    unsigned slow, flat; /* instructions that learned to call out; that went back to the flat table */
};

/* A piece of a block's host code. */
struct binxlate_part {
    enum { BINXLATE_HEAD, BINXLATE_INSN, BINXLATE_STUBS } kind;
    unsigned index;     /* BINXLATE_INSN: of the guest instruction in the block */
    int32_t guest;      /* and its offset from the block's start */
    uint32_t from, end; /* offsets in the host code */
    bool window;        /* its access goes through the host window */
    uint8_t traits;     /* enum trait */
};

enum binxlate_exit_state {
    BINXLATE_EXIT_OPEN,    /* not chained: leaves to the dispatcher, which finds or makes the block */
    BINXLATE_EXIT_CHAINED, /* jumps to the block */
    BINXLATE_EXIT_DROPPED, /* jumps to a block that was dropped, whose way in leads on */
};

/* A direct jump out of a block. */
struct binxlate_exit {
    uint32_t field;  /* offset of its displacement, 4 bytes, in the host code */
    uint32_t target; /* guest-linear address */
    enum binxlate_exit_state state;
    bool verified; /* chained: the mapping of the target's page is compared each time */
};

/* Those of the code buffer in the order they were made, dropped ones included, until `each` returns false. */
void binxlate_each_block(const struct binxlate *binxlate,
                         bool (*each)(void *opaque, const struct binxlate_block *block), void *opaque);
/* The pieces of its host code in order: head, instructions, stubs. At most `max` are stored; returns how many there are. */
unsigned binxlate_block_parts(const struct binxlate_block *block, struct binxlate_part *part, unsigned max);
/* Its exits by the place of their jumps. The same. */
unsigned binxlate_block_exits(const struct binxlate *binxlate, const struct binxlate_block *block,
                              struct binxlate_exit *exit, unsigned max);
/* Bytes of the instruction at `guest` from the block's start, from the VM's memory: at most 15; returns how many. */
unsigned binxlate_block_bytes(const struct binxlate *binxlate, const struct binxlate_block *block,
                              int32_t guest, uint8_t bytes[15]);

/* What lies at a host address of translated code: "block 00101000+2a", "exit look-up", "rep movsd". False: nothing known. */
bool binxlate_host_name(const struct binxlate *binxlate, const void *address, char *text, size_t size);
/* "user fs window". Returns text. */
const char *binxlate_mode_name(unsigned mode, char *text, size_t size);

/* A reason why translated code was left, and how often. */
struct binxlate_exit_count {
    const char *name, *meaning;
    uint64_t count;
};

/* All reasons, those that occurred most first. At most `max` are stored; returns how many there are. */
unsigned binxlate_exit_counts(const struct binxlate *binxlate, struct binxlate_exit_count *count,
                              unsigned max);
/* The instructions that were called out most (mnemonic and operands as in opcodes.def). The same. */
unsigned binxlate_callout_counts(const struct binxlate *binxlate, struct binxlate_exit_count *count,
                                 unsigned max);
/* Count both from here on. False: out of memory. */
bool binxlate_reset_exits(struct binxlate *binxlate);

/*
 * Let blocks count their executions, or no more. All are made anew, those that count a few instructions longer. Off to
 * begin with; then nothing is counted and nothing costs anything.
 */
void binxlate_set_counting(struct binxlate *binxlate, bool on);
bool binxlate_counting(const struct binxlate *binxlate);

#endif
