/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Writes to translated code.
 *
 * Policy. A frame that holds translated code has RAM_WATCH_TRANSLATED set before its bytes are read, so that no TLB or
 * shadow entry may write it: every write to it, by whatever linear or guest-physical address, by the processor, by
 * DMA or by the loader, passes ram_watch_notify() and arrives here before the bytes change.
 *
 *   bytes that no block covers   nothing happens; the write costs a fault and an interpreted instruction
 *   bytes of a block             every block of the frame that contains one is dropped
 *
 * A dropped block's ways in lead to the dispatcher at once (block_drop), so chains, the jump cache and returns need
 * no attention. Who wrote was executed by the interpreter's function, not by translated code, and comes back to the
 * dispatcher's C code, which looks whether the block it would continue in was dropped: a block that overwrites its
 * own next instruction is left before that instruction.
 *
 * A block that crosses into another page is in the lists of both frames, with the bytes that lie there. One that follows
 * jumps covers what lies between its lowest and its highest byte, too.
 *
 * Aliases: the watch is on the frame of the backing memory, whatever addresses reach it.
 *
 * Code and data in one frame: stores to the data meet the watch again and again. Their sites become call-outs
 * (TRAIT_SLOW), which costs no fault. A frame whose code is rewritten and translated again often is left to the
 * interpreter for a while. A frame that merely comes to hold other things counts once.
 *
 * SDM: Volume 3A, "Self-Modifying Code", "Cross-Modifying Code". Stricter than the manual: the very next instruction
 * sees the store.
 */
#include <errno.h>
#include <stdlib.h>

#include "binxlate/engine.h"

enum {
    REWRITES_MAX = 64,     /* of a frame, before its code is left to the interpreter */
    QUIET_INSNS = 1000000, /* for so long */
};

static struct ram *engine_ram(const struct binxlate *x)
{
    return x->cpu->wiring.mem->ram;
}

static void mark(struct code_frame *frame, unsigned first, unsigned length)
{
    for (unsigned i = first; i < first + length; i++) {
        frame->translated[i / 64] |= BIT(i % 64);
    }
}

static bool any_translated(const struct code_frame *frame, unsigned first, unsigned length)
{
    for (unsigned i = first; i < first + length; i++) {
        if (frame->translated[i / 64] >> i % 64 & 1) {
            return true;
        }
    }
    return false;
}

static bool overlap(unsigned a, unsigned a_length, unsigned b, unsigned b_length)
{
    return a < b + b_length && b < a + a_length;
}

static void drop_overlapping(struct binxlate *x, struct code_frame *frame, unsigned first, unsigned length)
{
    memset(frame->translated, 0, sizeof(frame->translated));
    for (struct block **link = &frame->blocks; *link;) {
        struct block *block = *link;
        if (block->dead || overlap(block->first, block->length, first, length)) {
            *link = block->next_in_frame;
            block_drop(x, block);
        } else {
            mark(frame, block->first, block->length);
            link = &block->next_in_frame;
        }
    }
    for (struct block **link = &frame->tails; *link;) {
        struct block *block = *link;
        if (block->dead || overlap(0, block->tail, first, length)) {
            *link = block->next_in_tail_frame;
            block_drop(x, block);
        } else {
            mark(frame, 0, block->tail);
            link = &block->next_in_tail_frame;
        }
    }
}

/* ram_watcher: [roff, roff + length), within one frame, is about to be written. */
static void frame_written(void *opaque, roff_t roff, uint64_t length)
{
    struct binxlate *x = opaque;
    uint64_t number = roff >> PAGE_SHIFT;
    struct code_frame *frame = number < x->frame_count ? x->frame[number] : NULL;
    unsigned first = (unsigned)(roff & PAGE_OFFSET_MASK);

    if (!frame || !any_translated(frame, first, (unsigned)length)) {
        return;
    }
    drop_overlapping(x, frame, first, (unsigned)length);
    frame->dropped = true;
    if (!frame->blocks && !frame->tails) {
        ram_watch_clear(engine_ram(x), number, RAM_WATCH_TRANSLATED);
    }
}

struct code_frame *smc_watch(struct binxlate *x, roff_t roff)
{
    uint64_t number = roff >> PAGE_SHIFT;

    if (number >= x->frame_count) {
        return NULL;
    }
    if (!x->frame[number]) {
        x->frame[number] = calloc(1, sizeof(struct code_frame));
    }
    if (x->frame[number]) {
        ram_watch_set(engine_ram(x), number, RAM_WATCH_TRANSLATED);
    }
    return x->frame[number];
}

bool smc_worthwhile(const struct binxlate *x, roff_t roff)
{
    uint64_t number = roff >> PAGE_SHIFT;
    const struct code_frame *frame = number < x->frame_count ? x->frame[number] : NULL;

    return !frame || frame->quiet_until <= x->cpu->insn_count;
}

static void count_rewrite(const struct binxlate *x, struct code_frame *frame)
{
    if (frame->dropped && ++frame->rewritten == REWRITES_MAX) {
        frame->rewritten = 0;
        frame->quiet_until = x->cpu->insn_count + QUIET_INSNS;
    }
    frame->dropped = false;
}

void smc_enter(struct binxlate *x, struct block *block)
{
    struct code_frame *frame = x->frame[block->roff >> PAGE_SHIFT];

    count_rewrite(x, frame);
    block->next_in_frame = frame->blocks;
    frame->blocks = block;
    mark(frame, block->first, block->length);
    if (block->tail) {
        frame = x->frame[block->tail_roff >> PAGE_SHIFT];
        count_rewrite(x, frame);
        block->next_in_tail_frame = frame->tails;
        frame->tails = block;
        mark(frame, 0, block->tail);
    }
}

void smc_forget_all(struct binxlate *x)
{
    for (uint64_t number = 0; number < x->frame_count; number++) {
        if (x->frame[number]) {
            *x->frame[number] = (struct code_frame){0};
            ram_watch_clear(engine_ram(x), number, RAM_WATCH_TRANSLATED);
        }
    }
}

int smc_init(struct binxlate *x, struct error *error)
{
    x->frame_count = engine_ram(x)->size >> PAGE_SHIFT;
    x->frame = calloc(x->frame_count + 1, sizeof(struct code_frame *));
    if (!x->frame) {
        return error_set(error, -ENOMEM, "translator: out of memory");
    }
    ram_set_watcher(engine_ram(x), RAM_WATCH_TRANSLATED, frame_written, x);
    return 0;
}

void smc_fini(struct binxlate *x)
{
    if (!x->frame) {
        return;
    }
    smc_forget_all(x);
    ram_set_watcher(engine_ram(x), RAM_WATCH_TRANSLATED, NULL, NULL);
    for (uint64_t number = 0; number < x->frame_count; number++) {
        free(x->frame[number]);
    }
    free(x->frame);
    x->frame = NULL;
}
