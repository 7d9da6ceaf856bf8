/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * From a run of guest instructions to a block.
 *
 * A run ends at a control transfer, behind an instruction that crosses the page (always a call-out, which looks at the
 * bytes in the next page again) and at BLOCK_INSNS_MAX. It is decoded whole before anything is emitted, because the
 * block's head counts it.
 *
 *   | leave stubs | head | instructions | halves of jumps |     in the code buffer
 *   | block | traits | sites | call-outs | chains |             in the arena
 */
#include <stdlib.h>

#include "binxlate/gen.h"
#include "base/log.h"
#include "binxlate/reencode.h"

/* Bytes that one instruction and its share of stubs can take, at most. */
enum { INSN_CODE_MAX = 256, HEAD_CODE_MAX = 512 };

struct run_text {
    struct insn insn[BLOCK_INSNS_MAX];
    unsigned count, length;
};

/* What follows an instruction that brings the FPU to life is a block of another mode. */
static bool brings_fpu_to_life(const struct insn *insn, unsigned mode)
{
    return !(mode & MODE_FPU) && fpu_insn(insn) && reencode_supported(insn);
}

/* The instruction whose first `have` bytes end the page, by what the page tables say of the next one; nothing in them
 * changes. False: it cannot be told. */
static bool decode_crossing(const struct binxlate *x, uint32_t linear, const uint8_t *first, unsigned have,
                            struct insn *insn)
{
    const struct vcpu *cpu = x->cpu;
    unsigned flags = PAGEWALK_FETCH | (cpu->user_view ? PAGEWALK_USER : 0);
    uint8_t bytes[sizeof(insn->bytes)];
    struct pagewalk walk;

    if (have >= sizeof(bytes) || !pagewalk(&cpu->paging, (uint32_t)(linear + have), flags, &walk) ||
        !addr_space_peek(cpu->wiring.mem, walk.gpa, bytes + have, sizeof(bytes) - have)) {
        return false;
    }
    memcpy(bytes, first, have);
    return insn_decode(bytes, sizeof(bytes), true, cpu->features, insn) == DECODE_OK;
}

static void decode_run(const struct binxlate *x, uint32_t linear, roff_t roff, unsigned mode,
                       struct run_text *run)
{
    const struct vcpu *cpu = x->cpu;
    const uint8_t *bytes = ram_ptr(cpu->wiring.mem->ram, roff);
    unsigned limit = PAGE_SIZE - (unsigned)(roff & PAGE_OFFSET_MASK);

    run->count = run->length = 0;
    while (run->count < BLOCK_INSNS_MAX && run->length < limit) {
        struct insn *insn = &run->insn[run->count];
        unsigned have = limit - run->length;
        if (insn_decode(bytes + run->length, have, true, cpu->features, insn) == DECODE_MORE) {
            if (decode_crossing(x, linear + run->length, bytes + run->length, have, insn)) {
                run->count++;
                run->length = limit;
            }
            break;
        }
        run->count++;
        run->length += insn->length;
        if (gen_ends_block(insn) || brings_fpu_to_life(insn, mode)) {
            break;
        }
    }
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
    block->length = (uint16_t)run->length;
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
        g->traits = g->block->traits[g->index];
        gen_insn(g);
        g->linear += g->insn->length;
    }
    if (!gen_ends_block(g->insn)) {
        gen_jump(g, g->linear);
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
    uint32_t linear = block->linear;
    char text[96];

    log_printf(x->cpu->wiring.log, LOG_IN_ASM, "block %08x mode %x\n", linear, block->mode);
    for (unsigned i = 0; i < run->count; i++) {
        insn_format(&run->insn[i], linear, text, sizeof(text));
        log_printf(x->cpu->wiring.log, LOG_IN_ASM, "  %08x  %s\n", linear, text);
        linear += run->insn[i].length;
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

struct block *translate_block(struct binxlate *x, uint32_t linear, roff_t roff, unsigned mode,
                              const struct block *like)
{
    const struct block place = {.linear = linear, .roff = roff, .mode = (uint8_t)mode};
    struct run_text run;

    decode_run(x, linear, roff, mode, &run);
    if (run.count == 0) {
        return NULL;
    }
    /* Only this thread writes the VM's memory, so what was read is what is watched from here on. A frame that gives no
     * block is not watched: its data would be slow for nothing. */
    if (!smc_watch(x, roff)) {
        return NULL;
    }
    struct block *block = try_translate(x, &run, &place, like);
    if (!block) {
        binxlate_reset(x);
        if (!smc_watch(x, roff)) {
            return NULL;
        }
        block = try_translate(x, &run, &place, NULL);
    }
    if (block && tracing(x, LOG_IN_ASM)) {
        trace_guest(x, block, &run);
    }
    if (block && tracing(x, LOG_OUT_ASM)) {
        trace_host(x, block);
    }
    return block;
}
