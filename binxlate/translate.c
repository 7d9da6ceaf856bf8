/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * From a run of guest instructions to a block.
 *
 * A run ends at a control transfer, before an instruction that crosses the page and at BLOCK_INSNS_MAX. It is decoded whole
 * before anything is emitted, because the block's head counts it. Some transfers need not end it:
 *
 *   Jcc forwards           the run goes on behind it; who jumps gives back what was counted for the rest
 *   JMP                    the run goes on at the target, in the same page, unless it has been there
 *   Jcc, JMP to its start  the loop is unrolled: the run goes on there; who leaves the loop gives back
 *
 * An instruction that crosses the page is a run of its own, with its tail in another frame.
 *
 *   | leave stubs | head | instructions | halves of jumps |     in the code buffer
 *   | block | traits | sites | call-outs | chains |             in the arena
 */
#include <stdlib.h>

#include "binxlate/gen.h"
#include "base/log.h"
#include "binxlate/reencode.h"
#include "cpu/points.h"

/* Bytes that one instruction and its share of stubs can take, at most. */
enum { INSN_CODE_MAX = 256, HEAD_CODE_MAX = 512, INSN_BYTES_MAX = 15 };

/* Instructions of a run after which it ends at the next transfer; the same for the loop that it is. */
enum { LONG_RUN = 16, UNROLLED_RUN = 24 };

struct run_text {
    struct insn insn[BLOCK_INSNS_MAX];
    uint32_t linear[BLOCK_INSNS_MAX];
    unsigned count;
    unsigned first, end; /* offsets in the page: all of it lies in between */
    unsigned tail;       /* bytes of the one instruction in the next page */
    roff_t tail_roff;    /* where these lie */
};

/* What follows an instruction that brings the FPU to life is a block of another mode. */
static bool brings_fpu_to_life(const struct insn *insn, unsigned mode)
{
    return !(mode & MODE_FPU) && fpu_insn(insn) && reencode_supported(insn);
}

static bool has_been_at(const struct run_text *run, uint32_t linear)
{
    for (unsigned i = 0; i < run->count; i++) {
        if (run->linear[i] == linear) {
            return true;
        }
    }
    return false;
}

/* Does the run go on behind its last instruction, which lies at *linear? Then that is where. */
static bool goes_on(const struct run_text *run, unsigned mode, uint32_t *linear)
{
    const struct insn *last = &run->insn[run->count - 1];
    uint32_t next = *linear + last->length, target = next + last->imm, page = *linear >> PAGE_SHIFT;

    if (run->count == BLOCK_INSNS_MAX || brings_fpu_to_life(last, mode)) {
        return false;
    }
    *linear = next;
    if ((gen_is_jump(last) || gen_is_jcc(last)) && target == run->linear[0]) {
        *linear = target;
        TRY(run->count < UNROLLED_RUN);
    } else if (gen_is_jump(last)) {
        *linear = target;
        TRY(run->count < LONG_RUN && !has_been_at(run, target));
    } else if (gen_is_jcc(last)) {
        TRY(run->count < LONG_RUN && target > next);
    } else {
        TRY(!gen_ends_block(last));
    }
    return *linear >> PAGE_SHIFT == page;
}

/* A debugger's point lies there, in the page of `place`: the interpreter executes that instruction, and asks. */
static bool has_point(const struct binxlate *x, const struct block *place, uint32_t linear)
{
    roff_t roff = ALIGN_DOWN(place->roff, PAGE_SIZE) + (linear & PAGE_OFFSET_MASK);

    return points_at_code(x->cpu->points, linear, roff);
}

static void decode_run(const struct binxlate *x, const struct block *place, struct run_text *run)
{
    const struct vcpu *cpu = x->cpu;
    const uint8_t *page = ram_ptr(cpu->wiring.mem->ram, ALIGN_DOWN(place->roff, PAGE_SIZE));
    uint32_t linear = place->linear;

    run->count = run->tail = run->end = 0;
    run->first = PAGE_SIZE;
    do {
        unsigned offset = (unsigned)(linear & PAGE_OFFSET_MASK);
        struct insn *insn = &run->insn[run->count];
        if (insn_decode(page + offset, PAGE_SIZE - offset, true, cpu->features, insn) == DECODE_MORE) {
            break;
        }
        run->linear[run->count++] = linear;
        run->first = MIN(run->first, offset);
        run->end = MAX(run->end, offset + insn->length);
    } while (goes_on(run, place->mode, &linear) && !has_point(x, place, linear));
}

/* The instruction at the page's end that goes on in the next page. False: that one is not memory, or not executable. */
static bool decode_crossing(struct binxlate *x, const struct block *place, struct run_text *run)
{
    const struct ram *ram = x->cpu->wiring.mem->ram;
    unsigned offset = (unsigned)(place->roff & PAGE_OFFSET_MASK), have = PAGE_SIZE - offset;
    uint32_t next_page = place->linear + have;
    uint8_t bytes[INSN_BYTES_MAX];

    TRY(next_page != 0 && dispatch_find_code(x, next_page, &run->tail_roff));
    TRY(smc_worthwhile(x, run->tail_roff));
    memcpy(bytes, ram_ptr(ram, place->roff), have);
    memcpy(bytes + have, ram_ptr(ram, run->tail_roff), sizeof(bytes) - have);
    if (insn_decode(bytes, sizeof(bytes), true, x->cpu->features, &run->insn[0]) == DECODE_MORE) {
        return false;
    }
    run->linear[0] = place->linear;
    run->count = 1;
    run->first = offset;
    run->end = PAGE_SIZE;
    run->tail = run->insn[0].length - have;
    return true;
}

static struct block *new_block(struct binxlate *x, const struct run_text *run)
{
    struct block *block = arena_alloc(&x->arena, sizeof(*block));
    uint8_t *bytes = arena_alloc(&x->arena, (size_t)3 * run->count);

    if (!block || !bytes) {
        return NULL;
    }
    block->traits = bytes;
    block->slow_faults = bytes + run->count;
    block->flat_faults = bytes + (size_t)2 * run->count;
    block->count = (uint8_t)run->count;
    block->first = (uint16_t)run->first;
    block->length = (uint16_t)(run->end - run->first);
    block->tail = (uint8_t)run->tail;
    block->tail_roff = run->tail_roff;
    return block;
}

/* The bytes are the same if `like` lives and lies in the same place. */
static void take_traits(struct block *block, const struct block *like)
{
    if (like && like->roff == block->roff) {
        memcpy(block->traits, like->traits, MIN(block->count, like->count));
    }
}

static void generate(struct gen *g, const struct run_text *run)
{
    gen_head(g);
    for (g->index = 0; g->index < run->count; g->index++) {
        g->insn = &run->insn[g->index];
        g->linear = run->linear[g->index];
        g->more = g->index + 1 < run->count;
        g->following = g->more ? run->linear[g->index + 1] : 0;
        g->traits = g->block->traits[g->index];
        gen_insn(g);
    }
    gen_settle(g);
    if (!gen_ends_block(g->insn)) {
        gen_jump(g, g->linear + g->insn->length);
    }
    gen_stubs(g);
}

static bool keep_sites(struct gen *g)
{
    size_t size = g->site_count * sizeof(*g->sites);

    g->block->sites = arena_alloc(&g->x->arena, size);
    if (!g->block->sites) {
        return false;
    }
    memcpy(g->block->sites, g->sites, size);
    g->block->site_count = (uint16_t)g->site_count;
    return true;
}

static bool tracing(const struct binxlate *x, uint32_t category)
{
    return x->cpu->wiring.log && log_enabled(x->cpu->wiring.log, category);
}

static void trace_guest(const struct binxlate *x, const struct block *block, const struct run_text *run)
{
    char text[96];

    log_printf(x->cpu->wiring.log, LOG_IN_ASM, "block %08x mode %x\n", block->linear, block->mode);
    for (unsigned i = 0; i < run->count; i++) {
        insn_format(&run->insn[i], run->linear[i], text, sizeof(text));
        log_printf(x->cpu->wiring.log, LOG_IN_ASM, "  %08x  %s\n", run->linear[i], text);
    }
}

/* One line of host bytes a guest instruction. */
static void trace_host(const struct binxlate *x, const struct block *block)
{
    struct log *log = x->cpu->wiring.log;

    log_printf(log, LOG_OUT_ASM, "block %08x at host %p\n", block->linear, code_exec(x, block->body));
    for (unsigned i = 0; i < block->site_count; i++) {
        size_t end = i + 1 < block->site_count ? block->sites[i + 1].host : block->code_size;
        log_printf(log, LOG_OUT_ASM, "  +%x: ", block->sites[i].guest);
        for (size_t at = block->sites[i].host; at < end; at++) {
            log_printf(log, LOG_OUT_ASM, "%02x", block->code[at]);
        }
        log_printf(log, LOG_OUT_ASM, "\n");
    }
}

/* Emit into what is left of the buffer. NULL: no room for code, or for what describes it. */
static struct block *try_translate(struct binxlate *x, const struct run_text *run, const struct block *place,
                                   const struct block *like)
{
    struct block *block = new_block(x, run);
    struct gen g = {.x = x, .block = block, .linear = place->linear};
    size_t room = x->code.size - x->code.used;

    if (!block || room < HEAD_CODE_MAX + run->count * (size_t)INSN_CODE_MAX) {
        return NULL;
    }
    block->roff = place->roff;
    block->linear = place->linear;
    block->mode = place->mode;
    take_traits(block, like);
    block->code = x->code.write + x->code.used;
    emit_init(&g.e, block->code, x->code.write + x->code.size, code_view(&x->code));
    generate(&g, run);
    if (emit_failed(&g.e) || g.no_memory || !keep_sites(&g)) {
        return NULL;
    }
    block->code_size = (uint32_t)(g.e.at - block->code);
    x->code.used = (size_t)ALIGN_UP((size_t)(g.e.at - x->code.write), 64);
    return block_enter(x, block) ? block : NULL;
}

/* Only this thread writes the VM's memory, so what was read is what is watched from here on. A frame that gives no block is
 * not watched: its data would be slow for nothing. */
static bool watch(struct binxlate *x, const struct block *place, const struct run_text *run)
{
    return smc_watch(x, place->roff) && (!run->tail || smc_watch(x, run->tail_roff));
}

static void trace(const struct binxlate *x, const struct block *block, const struct run_text *run)
{
    if (tracing(x, LOG_IN_ASM)) {
        trace_guest(x, block, run);
    }
    if (tracing(x, LOG_OUT_ASM)) {
        trace_host(x, block);
    }
}

struct block *translate_block(struct binxlate *x, uint32_t linear, roff_t roff, unsigned mode,
                              const struct block *like)
{
    const struct block place = {.linear = linear, .roff = roff, .mode = (uint8_t)mode};
    struct run_text run;

    if (has_point(x, &place, linear)) {
        return NULL;
    }
    decode_run(x, &place, &run);
    if ((run.count == 0 && !decode_crossing(x, &place, &run)) || !watch(x, &place, &run)) {
        return NULL;
    }
    struct block *block = try_translate(x, &run, &place, like);
    if (!block) {
        binxlate_reset(x);
        if (!watch(x, &place, &run)) {
            return NULL;
        }
        block = try_translate(x, &run, &place, NULL);
    }
    if (block) {
        trace(x, block, &run);
    }
    return block;
}
