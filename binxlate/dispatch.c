/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The loop around translated code.
 *
 *   binxlate_run   attention, untranslatable modes, odd instructions, the budget's last few: the interpreter
 *                  else find or make the block at rip and go in
 *   run_blocks     while translated code comes back with something that can be settled at once (a block to find, a
 *                  jump to chain, an instruction to call out, a shadow entry to fill), settle it and go in again
 *
 * Counting. r11 holds what is left of the budget after the current block, because a block subtracts its length when it
 * begins. So at instruction `index` of a block of `count`, left + count - index have not been executed yet, and
 *
 *   insn_count = count_end - (left + count - index)
 *
 * A device may lower cpu->budget_end while an instruction is called out: then r11 is derived afresh.
 *
 * SDM: none of this is in it; what can be seen of it is the contract of interp_run().
 */
#include "binxlate/engine.h"
#include "binxlate/reencode.h"
#include "cpu/access_inline.h"
#include "cpu/interp.h"
#include "cpu/points.h"
#include "cpu/trace.h"

enum {
    INTERP_SLICE = 200, /* instructions to interpret where nothing can be translated, before looking again */
    SLOW_FAULTS = 3,    /* of a site, before it becomes a call-out */
    SLOW_RETRY = 4096,  /* call-outs of such a site, before it is tried again */
    FLAT_FAULTS = 3,    /* of a site on pages that its window does not get, before it uses the flat table */
    REP_FILLS = 64,     /* pages of a REP's operand whose shadow entries are filled at once */
    ENTRY_FLAGS = RFLAGS_FIXED1 | RFLAGS_IF,
};

/* The guest's flags that live in the host's. */
#define FLAGS_NATIVE (RFLAGS_ARITH | RFLAGS_DF)

/* ---- Modes ---------------------------------------------------------------------------------------------- */

/* Any base will do, any other limit than 4 GiB - 1 will not. */
static bool based_segment_usable(const struct segment *segment)
{
    uint32_t attr = segment->attr & (SEG_UNUSABLE | SEG_P | SEG_TYPE_CODE | SEG_TYPE_RW | SEG_TYPE_ED);

    return attr == (SEG_P | SEG_TYPE_RW) && segment->limit == UINT32_MAX;
}

static unsigned window_mode(const struct binxlate *x)
{
    const struct window *window = x->cpu->user_view ? &x->shadow.current->window : &x->shadow.kernel_window;

    return window_exists(window) ? MODE_WINDOW : 0;
}

unsigned dispatch_mode(const struct binxlate *x)
{
    const struct vcpu *cpu = x->cpu;
    const unsigned flat = 1u << SEG_CS | 1u << SEG_DS | 1u << SEG_ES | 1u << SEG_SS;

    if (!cpu->protected_mode || !cpu->code32 || !cpu->stack32 || (cpu->flat & flat) != flat ||
        cpu->data_breakpoints || alignment_checked(cpu)) {
        return MODE_NONE;
    }
    return (cpu->user_view ? MODE_USER : 0u) | (based_segment_usable(&cpu->seg[SEG_FS]) ? MODE_FS : 0u) |
           (based_segment_usable(&cpu->seg[SEG_GS]) ? MODE_GS : 0u) | (cpu->cpl == 0 ? MODE_CPL0 : 0u) |
           window_mode(x) | fpu_mode(x);
}

/* ATTENTION_CODE tells the interpreter to leave its run; here it means nothing. */
static uint32_t attention(struct vcpu *cpu)
{
    uint32_t bits = __atomic_load_n(&cpu->attention, __ATOMIC_RELAXED);

    if (bits & ATTENTION_CODE) {
        __atomic_and_fetch(&cpu->attention, ~(uint32_t)ATTENTION_CODE, __ATOMIC_RELAXED);
    }
    return bits & ~(uint32_t)ATTENTION_CODE;
}

/* ---- Blocks --------------------------------------------------------------------------------------------- */

static unsigned view_flag(const struct vcpu *cpu)
{
    return cpu->user_view ? PAGEWALK_USER : 0;
}

static enum shadow_view view_of(const struct vcpu *cpu)
{
    return cpu->user_view ? SHADOW_USER : SHADOW_SUPERVISOR;
}

bool dispatch_find_code(struct binxlate *x, uint32_t linear, roff_t *roff)
{
    struct vcpu *cpu = x->cpu;
    uint64_t entry = shadow_entry(&x->shadow, view_of(cpu), SHADOW_FETCH, linear);

    if (entry == SHADOW_UNUSABLE) {
        uint32_t error_code;
        bool usable;
        x->stats.shadow_fills++;
        TRY(shadow_fill(&x->shadow, &cpu->paging, linear, PAGEWALK_FETCH | view_flag(cpu), &usable,
                        &error_code));
        TRY(usable);
        entry = shadow_entry(&x->shadow, view_of(cpu), SHADOW_FETCH, linear);
    }
    *roff = ram_roff(cpu->wiring.mem->ram, entry + linear);
    return true;
}

/* Is the tail of a block that crosses its page where it was? False, with no block: not executable now. */
static bool tail_in_place(struct binxlate *x, struct block **block)
{
    roff_t roff;

    if (!dispatch_find_code(x, (*block)->linear + (*block)->length, &roff)) {
        *block = NULL;
        return false;
    }
    return roff == (*block)->tail_roff;
}

/* The block at rip. NULL: interpret x->interpret instructions instead. */
static struct block *find_block(struct binxlate *x, unsigned mode)
{
    uint32_t linear = (uint32_t)x->cpu->rip;
    roff_t roff;

    x->interpret = 1;
    if (!dispatch_find_code(x, linear, &roff)) {
        return NULL;
    }
    struct block *block = block_find(x, linear, roff, mode);
    if (block && (!block->tail || tail_in_place(x, &block) || !block)) {
        return block;
    }
    if (block) {
        block_drop(x, block);
    }
    if (!smc_worthwhile(x, roff)) {
        x->interpret = INTERP_SLICE;
        return NULL;
    }
    return translate_block(x, linear, roff, mode, NULL);
}

static void set_mode(struct binxlate *x, unsigned mode)
{
    x->mode = mode;
    x->run.shift = SHIFT_OF_MODE(mode);
    x->run.jump_cache = jump_cache_of(x, mode);
}

/* Code of the block at rip, if it may run now: the budget lasts, and no more than a translator is called for. */
static struct block *next_block(struct binxlate *x)
{
    struct vcpu *cpu = x->cpu;

    if (attention(cpu)) {
        return NULL;
    }
    unsigned mode = dispatch_mode(x);
    struct block *block = mode == MODE_NONE ? NULL : find_block(x, mode);
    set_mode(x, mode); /* the FPU may just have come to life */
    return block && block->count <= x->run.left ? block : NULL;
}

/* ---- Counting ------------------------------------------------------------------------------------------- */

static void set_left(struct binxlate *x, int64_t left, unsigned ahead)
{
    x->run.left = left;
    x->count_end = x->cpu->insn_count + (uint64_t)left + ahead;
}

/* Translated code stopped with `ahead` instructions of its block not executed. */
static void settle_count(struct binxlate *x, unsigned ahead)
{
    x->cpu->insn_count = x->count_end - (uint64_t)(x->run.left + (int64_t)ahead);
}

/* ---- What translated code comes back with --------------------------------------------------------------- */

static const void *body_of(const struct binxlate *x, const struct block *block)
{
    return block ? code_exec(x, block->body) : NULL;
}

static const void *serve_lookup(struct binxlate *x)
{
    settle_count(x, 0);
    x->stats.exits_lookup++;
    uint32_t linear = (uint32_t)x->cpu->rip;
    const struct block *block = next_block(x);
    if (block) {
        jump_cache_of(x, block->mode)[linear % JUMP_CACHE_SIZE] = code_exec(x, block->indirect);
    }
    return body_of(x, block);
}

static const void *serve_gone(struct binxlate *x)
{
    const struct block *dropped = (const struct block *)(uintptr_t)x->run.argument;
    uint64_t resets = x->stats.buffer_resets;

    settle_count(x, 0);
    x->stats.exits_lookup++;
    x->stats.exits_gone++;
    const struct block *block = next_block(x);
    if (block && resets == x->stats.buffer_resets) {
        block_replace(x, dropped, block);
    }
    return body_of(x, block);
}

static const void *serve_verify(struct binxlate *x)
{
    settle_count(x, 0);
    x->stats.exits_verify++;
    return body_of(x, next_block(x));
}

static bool same_page(const struct block *a, const struct block *b)
{
    return a->linear >> PAGE_SHIFT == b->linear >> PAGE_SHIFT &&
           a->roff >> PAGE_SHIFT == b->roff >> PAGE_SHIFT;
}

static const void *serve_chain(struct binxlate *x)
{
    const struct chain *chain = (const struct chain *)(uintptr_t)x->run.argument;
    uint64_t resets = x->stats.buffer_resets;

    settle_count(x, 0);
    x->stats.exits_chain++;
    const struct block *block = next_block(x);
    if (block && resets == x->stats.buffer_resets && !chain->from->dead &&
        !((block->mode ^ chain->from->mode) & MODE_WINDOW)) {
        const uint8_t *way_in = same_page(chain->from, block) ? block->body : block->verified;
        emit_patch_rel32(chain->field, code_view(&x->code), code_exec(x, way_in));
        x->stats.chains++;
    }
    return body_of(x, block);
}

/* The instruction at rip is to be executed next, with `left` instructions left in the budget: by way of the jump cache, which
 * leads back here if it knows no block. */
static const void *go_on(struct binxlate *x, uint64_t left)
{
    struct vcpu *cpu = x->cpu;
    unsigned mode = dispatch_mode(x);

    if (mode == MODE_NONE || left == 0 || cpu->halted || attention(cpu)) {
        return NULL;
    }
    set_left(x, (int64_t)MIN(left, look_insns(x, mode)), 0);
    set_mode(x, mode);
    x->run.linear = (uint32_t)cpu->rip;
    return x->run.jump_cache[cpu->rip % JUMP_CACHE_SIZE];
}

/* May translated code go on behind the call-out? */
static bool may_resume(struct binxlate *x, const struct callout *callout, uint64_t generation)
{
    struct vcpu *cpu = x->cpu;
    const struct block *block = callout->block;

    return callout->resume && cpu->rip == callout->next && !block->dead && !attention(cpu) && !cpu->halted &&
           x->shadow.generation == generation && dispatch_mode(x) == block->mode;
}

/* A site that met memory which is not direct may meet other memory later: a loop that once wrote a page of code. True:
 * its block was made anew, and the call-out is gone. */
static bool reconsider(struct binxlate *x, struct callout *callout)
{
    struct block *block = callout->block;

    if (block->dead || !(block->traits[callout->index] & TRAIT_SLOW) || ++callout->runs < SLOW_RETRY) {
        return false;
    }
    block->traits[callout->index] = 0;
    block_drop(x, block);
    translate_block(x, block->linear, block->roff, block->mode, block);
    return true;
}

/* The pages of [from, to), which has just been accessed. */
static void fill_run(struct binxlate *x, uint32_t from, uint32_t to, bool write)
{
    struct vcpu *cpu = x->cpu;
    enum shadow_kind kind = write ? SHADOW_WRITE : SHADOW_READ;
    unsigned flags = view_flag(cpu) | (write ? PAGEWALK_WRITE : 0);
    uint32_t page = from & ~(uint32_t)PAGE_OFFSET_MASK;
    uint32_t pages = from == to ? 0 : ((to - 1 - page) >> PAGE_SHIFT) + 1;

    for (unsigned i = 0; i < MIN(pages, REP_FILLS); i++, page += PAGE_SIZE) {
        uint32_t error_code;
        bool usable = true;
        if (shadow_entry(&x->shadow, view_of(cpu), kind, page) == SHADOW_UNUSABLE) {
            x->stats.shadow_fills++;
            usable = shadow_fill(&x->shadow, &cpu->paging, page, flags, &usable, &error_code) && usable;
        }
        if (!usable) {
            break;
        }
    }
}

/* The interpreter knows nothing of shadow entries, for want of which a thunk (thunk_rep.c) may have given up. */
static void fill_for_thunk(struct binxlate *x, const struct insn *insn, uint32_t source, uint32_t destination)
{
    const struct vcpu *cpu = x->cpu;
    unsigned kind = insn->opcode->byte & 0xfe;

    bool reads = kind == 0xa4 || kind == 0xa6, compares = kind == 0xa6 || kind == 0xae;

    if (!(insn->opcode->flags & OPF_STRING) || !(reads || compares || kind == 0xaa) ||
        (cpu->rflags & RFLAGS_DF) || insn->addrsize != 4) {
        return;
    }
    if (reads) {
        fill_run(x, source, reg32(cpu, RSI), false);
    }
    fill_run(x, destination, reg32(cpu, RDI), !compares);
}

/* MOV or POP to a data segment register. */
static bool loads_data_segment(const struct insn *insn)
{
    const struct opcode *opcode = insn->opcode;

    if (opcode->map == MAP_0F) {
        return opcode->byte == 0xa1 || opcode->byte == 0xa9;
    }
    return opcode->map == MAP_1BYTE &&
           (opcode->byte == 0x07 || opcode->byte == 0x1f || (opcode->byte == 0x8e && insn->reg != SEG_SS));
}

/* The descriptor's bytes. False: not direct. */
static bool read_descriptor(struct binxlate *x, uint32_t linear, uint64_t *descriptor)
{
    uint64_t entry = shadow_entry(&x->shadow, SHADOW_SUPERVISOR, SHADOW_READ, linear);

    if (entry == SHADOW_UNUSABLE) {
        uint32_t error_code;
        bool usable;
        x->stats.shadow_fills++;
        TRY(shadow_fill(&x->shadow, &x->cpu->paging, linear, 0, &usable, &error_code) && usable);
        entry = shadow_entry(&x->shadow, SHADOW_SUPERVISOR, SHADOW_READ, linear);
    }
    memcpy(descriptor, (const void *)(uintptr_t)(entry + linear), sizeof(*descriptor));
    return true;
}

/* A data segment register was loaded: the thunk of the register can do the same again. */
static void note_segment(struct binxlate *x, enum sreg seg)
{
    struct vcpu *cpu = x->cpu;
    const struct segment *segment = &cpu->seg[seg];
    bool based = seg == SEG_FS || seg == SEG_GS, flat = cpu->flat >> seg & 1;
    struct segment_cache cache = {
        .selector = segment->selector,
        .linear = (uint32_t)(cpu->gdtr.base + (segment->selector & ~7u)),
        .gdt_base = cpu->gdtr.base,
        .gdt_limit = cpu->gdtr.limit,
        .segment = *segment,
    };

    if (cpu->cpl != 0 || (segment->selector & 4) || segment->selector < 8 || cache.linear % 8 ||
        flat == based || !read_descriptor(x, cache.linear, &cache.descriptor)) {
        return;
    }
    if (based && based_segment_usable(segment)) {
        cache.mode = SHIFT_OF_MODE(seg == SEG_FS ? MODE_FS : MODE_GS) - SHIFT_COUNT;
    }
    x->segment_cache[seg] = cache;
}

static const void *serve_callout(struct binxlate *x)
{
    struct vcpu *cpu = x->cpu;
    struct callout *callout = (struct callout *)(uintptr_t)x->run.argument;
    unsigned ahead = callout->block->count - callout->index;
    uint64_t generation = x->shadow.generation;

    settle_count(x, ahead);
    if (fpu_insn(&callout->insn) && !x->run.fpu_live && reencode_supported(&callout->insn) &&
        fpu_enliven(x)) {
        cpu->rip = (uint32_t)(callout->next - callout->insn.length);
        x->run.left += ahead; /* nothing of this block is left to come: the next one counts for itself */
        return body_of(x, next_block(x));
    }
    fpu_charge(x);
    x->stats.callouts++;
    x->callouts_by_row[callout->insn.opcode->id]++;
    cpu->next_rip = callout->next;
    cpu->rip = (uint32_t)(callout->next - callout->insn.length);
    uint32_t source = reg32(cpu, RSI), destination = reg32(cpu, RDI);
    if (!callout->insn.exec(cpu, &callout->insn)) {
        x->interpret = 1; /* the interpreter delivers what is pending first */
        return NULL;
    }
    if (cpu->next_rip == cpu->rip && callout->insn.rep && (callout->insn.opcode->flags & OPF_STRING)) {
        return NULL; /* gave way, has not retired */
    }
    cpu->rip = cpu->next_rip;
    cpu->insn_count++;
    fill_for_thunk(x, &callout->insn, source, destination);
    if (reconsider(x, callout)) {
        return NULL;
    }
    if (loads_data_segment(&callout->insn)) {
        note_segment(x, (enum sreg)callout->insn.reg);
    }
    uint64_t left = cpu->budget_end > cpu->insn_count ? cpu->budget_end - cpu->insn_count : 0;
    if (left < ahead || !may_resume(x, callout, generation)) {
        return go_on(x, left);
    }
    set_left(x, (int64_t)MIN(left - (ahead - 1), look_insns(x, x->mode)), ahead - 1);
    return callout->resume;
}

/* ---- Faults --------------------------------------------------------------------------------------------- */

/* Remember what the instruction met, and have its block made anew with that in mind. */
static void add_trait(struct binxlate *x, struct block *block, unsigned index, enum trait trait)
{
    /* Without a copy that copes, misalignment is as good as slow. */
    uint8_t old = block->traits[index];

    block->traits[index] = (uint8_t)(old | (old & trait ? TRAIT_SLOW : trait));
    x->stats.misaligned_sites += trait != TRAIT_SLOW;
    x->stats.slow_sites += trait == TRAIT_SLOW;
    block_drop(x, block);
    translate_block(x, block->linear, block->roff, block->mode, block);
}

/* An access failed. True: its shadow entry can be used now. */
static bool fill_entry(struct binxlate *x, struct block *block, const struct site *site)
{
    struct vcpu *cpu = x->cpu;
    lin_t linear = (uint32_t)x->run.linear;
    unsigned flags = view_flag(cpu) | (site->write ? PAGEWALK_WRITE : 0);
    uint32_t error_code;
    bool usable;

    if (x->run.fault_pc == x->last_fault_pc && linear == x->last_fault_linear) {
        x->last_fault_pc = NULL;
        return false;
    }
    x->last_fault_pc = x->run.fault_pc;
    x->last_fault_linear = linear;
    x->stats.shadow_fills++;
    if (!shadow_fill(&x->shadow, &cpu->paging, linear, flags, &usable, &error_code)) {
        x->page_fault = (struct page_fault){
            .pending = true,
            .rip = cpu->rip,
            .insn_count = cpu->insn_count,
            .linear = linear,
            .flags = flags,
        };
        x->last_fault_pc = NULL;
        x->stats.faults_refused++;
        return false;
    }
    x->stats.faults_indirect += !usable;
    if (!usable && ++block->slow_faults[site->index] >= SLOW_FAULTS) {
        block->slow_faults[site->index] = 0;
        add_trait(x, block, site->index, TRAIT_SLOW);
    }
    return usable;
}

/* The page at `linear` was not shown by the window. True: it is now. */
static bool fill_window(struct binxlate *x, struct block *block, const struct site *site, uint32_t linear)
{
    enum shadow_kind kind = site->write ? SHADOW_WRITE : SHADOW_READ;

    x->stats.window_faults++;
    x->run.linear = linear;
    if (shadow_entry(&x->shadow, view_of(x->cpu), kind, linear) == SHADOW_UNUSABLE) {
        x->last_fault_pc = NULL;
        TRY(fill_entry(x, block, site));
    }
    x->stats.faults_window++;
    if (promote_page(x, linear, site->write)) {
        return true;
    }
    if (window_mode(x) && ++block->flat_faults[site->index] >= FLAT_FAULTS) {
        x->stats.flat_sites++;
        add_trait(x, block, site->index, TRAIT_FLAT);
    }
    return false;
}

/* SSE operands of 16 bytes raise #GP(0) where they are not aligned, before any page is looked at. */
static bool misaligned_sse(struct binxlate *x)
{
    struct insn insn;

    return x->run.linear % 16 && interp_peek(x->cpu, &insn) && (insn.opcode->flags & OPF_SSE) &&
           !(insn.opcode->flags & OPF_UNALIGNED) && reencode_memory_size(&insn) == 16;
}

static const void *serve_budget(struct binxlate *x, const struct block *block)
{
    struct vcpu *cpu = x->cpu;

    x->run.left += block->count;
    settle_count(x, 0);
    cpu->rip = block->linear;
    x->stats.exits_budget++;
    promote_look(x);
    if (cpu->budget_end - cpu->insn_count > block->count) { /* the end of a look, not of the budget */
        set_left(x, (int64_t)MIN(cpu->budget_end - cpu->insn_count, look_insns(x, block->mode)), 0);
        return body_of(x, next_block(x));
    }
    x->interpret = block->count;
    return NULL;
}

static const void *serve_fault(struct binxlate *x)
{
    struct block *block = block_at_host(x, x->run.fault_pc);
    const struct site *site = block ? block_site(x, block, x->run.fault_pc) : NULL;

    if (!block) {
        snprintf(x->cpu->internal_error, sizeof(x->cpu->internal_error),
                 "translator: host fault at %p, outside any block", (const void *)x->run.fault_pc);
        x->broken = true;
        return NULL;
    }
    if (!site) {
        return serve_budget(x, block);
    }
    x->stats.host_faults++;
    settle_count(x, block->count - site->index);
    x->cpu->rip = block->linear + site->guest;
    x->interpret = 1;
    switch ((enum fault_kind)x->run.fault_kind) {
    case FAULT_ADDRESS:
        if (site->window) {
            if (x->run.fault_address - x->gs_base > UINT32_MAX) {
                return NULL; /* misaligned SSE, or an operand that reaches beyond 4 GiB */
            }
            uint32_t linear = (uint32_t)(x->run.fault_address - x->gs_base);
            return fill_window(x, block, site, linear) && !block->dead
                       ? block_insn_code(x, block, site->index)
                       : NULL;
        }
        if (misaligned_sse(x) || !fill_entry(x, block, site) || block->dead) {
            return NULL;
        }
        return block_insn_code(x, block, site->index);
    case FAULT_ALIGNMENT:
        x->stats.faults_misaligned++;
        add_trait(x, block, site->index, x->run.linear % 4 ? TRAIT_MISALIGNED : TRAIT_HALVES);
        return NULL;
    case FAULT_ARITHMETIC:
        x->stats.faults_divide++;
        break;
    }
    return NULL;
}

/* An instruction that faulted and is left to the interpreter may stand in the shadow of an STI. */
static const void *serve_fault_in_shadow(struct binxlate *x)
{
    const void *code = serve_fault(x);
    const struct block *block = code ? NULL : block_at_host(x, x->run.fault_pc);
    const struct site *site = block ? block_site(x, block, x->run.fault_pc) : NULL;

    if (site && site->after_sti && !(x->cpu->rflags_before_sti & RFLAGS_IF >> 8)) {
        vcpu_set_shadow(x->cpu, SHADOW_STI);
    }
    return code;
}

static const void *serve_exit(struct binxlate *x, enum exit_reason reason)
{
    switch (reason) {
    case EXIT_LOOKUP:
        return serve_lookup(x);
    case EXIT_GONE:
        return serve_gone(x);
    case EXIT_VERIFY:
        return serve_verify(x);
    case EXIT_CHAIN:
        return serve_chain(x);
    case EXIT_CALLOUT:
        return serve_callout(x);
    case EXIT_FAULT:
        return serve_fault_in_shadow(x);
    case EXIT_COUNT:
        break;
    }
    return NULL;
}

/* ---- The loops ------------------------------------------------------------------------------------------ */

/* Landings in the page of their call take the page's mapping for granted. */
static void keep_landings_true(struct binxlate *x)
{
    if (x->stack_generation != x->shadow.generation) {
        x->stack_generation = x->shadow.generation;
        stack_empty(x);
    }
}

static void run_blocks(struct binxlate *x, const struct block *block)
{
    struct vcpu *cpu = x->cpu;
    const void *code = code_exec(x, block->body);

    set_left(x, (int64_t)MIN(cpu->budget_end - cpu->insn_count, look_insns(x, block->mode)), 0);
    set_mode(x, block->mode);
    x->interpret = 0;
    do {
        x->run.table = shadow_base(&x->shadow, view_of(cpu)); /* a CR3 load moves it */
        x->run.flags = (cpu->rflags & FLAGS_NATIVE) | ENTRY_FLAGS | (x->mode & MODE_WINDOW ? 0 : RFLAGS_AC);
        cpu->rflags &= ~FLAGS_NATIVE;
        fpu_prepare(x);
        promote_enter(x);
        keep_landings_true(x);
        enum exit_reason reason = (enum exit_reason)x->enter(code);
        if (x->run.left < RUN_STOP / 2) {
            x->run.left -= RUN_STOP;
        }
        cpu->rflags = (cpu->rflags & ~FLAGS_NATIVE) | (x->run.flags & FLAGS_NATIVE);
        fpu_stored(x);
        x->interpret = 0;
        code = serve_exit(x, reason);
    } while (code);
}

/* True: leave with *why. */
static bool interpret(struct binxlate *x, uint64_t insns, enum vcpu_exit *why)
{
    struct vcpu *cpu = x->cpu;
    uint64_t before = cpu->insn_count;

    fpu_charge(x);
    *why = interp_slice(cpu, insns);
    x->stats.interpreted += cpu->insn_count - before;
    x->interpret = 0;
    return *why != VCPU_EXIT_BUDGET || cpu->insn_count < MIN(before + insns, cpu->budget_end);
}

/*
 * The instruction that a page fault was delivered for is to be executed again, by the interpreter if the handler's IRET
 * has set RF as it should. Where the handler has left the page as that access wants it, spare what follows the host fault.
 */
static void expect_retry(struct binxlate *x)
{
    struct vcpu *cpu = x->cpu;
    const struct page_fault *fault = &x->page_fault;

    if (fault->rip == cpu->rip && fault->insn_count < cpu->insn_count &&
        (fault->flags & PAGEWALK_USER) == view_flag(cpu)) {
        x->stats.shadow_fills++;
        shadow_prefill(&x->shadow, &cpu->paging, fault->linear, fault->flags);
        x->page_fault.pending = false;
    }
}

enum vcpu_exit binxlate_run(struct binxlate *x, uint64_t budget)
{
    struct vcpu *cpu = x->cpu;
    enum vcpu_exit why = VCPU_EXIT_BUDGET;

    cpu->budget_end = budget > UINT64_MAX - cpu->insn_count ? UINT64_MAX : cpu->insn_count + budget;
    x->run.stop = 0; /* whoever set it has kicked the processor, too */
    fault_attach(x);
    x->interpret = 0;
    while (cpu->insn_count < cpu->budget_end && !x->broken) {
        struct block *block = NULL;
        uint64_t insns = x->interpret;
        if (UNLIKELY(cpu->points != NULL) && cpu->points->moved) {
            binxlate_points_changed(x, false);
        }
        if (x->page_fault.pending) {
            expect_retry(x);
        }
        if (insns == 0 && (attention(cpu) || cpu->halted)) {
            insns = 1;
        } else if (insns == 0 && tracing(cpu, TRACE_SINGLE)) {
            insns = INTERP_SLICE; /* only the interpreter shows every instruction */
        } else if (insns == 0) {
            promote_now(x);
            if (fpu_mode(x) == MODE_NONE) {
                fpu_release(x);
            }
            unsigned mode = dispatch_mode(x);
            block = mode != MODE_NONE ? find_block(x, mode) : NULL;
            insns = block ? block->count : mode != MODE_NONE ? x->interpret : INTERP_SLICE;
        }
        if (block && block->count <= cpu->budget_end - cpu->insn_count) {
            run_blocks(x, block);
        } else if (interpret(x, insns, &why)) {
            break;
        }
    }
    /* A call-out has faulted whose device access ended the budget. */
    if (why == VCPU_EXIT_BUDGET && !interp_deliver(cpu)) {
        why = VCPU_EXIT_SHUTDOWN;
    }
    fpu_release(x);
    fault_detach();
    return x->broken ? VCPU_EXIT_INTERNAL : why;
}
