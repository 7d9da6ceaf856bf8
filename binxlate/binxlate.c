/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The translator's life: creation, attaching to a processor, forgetting everything.
 */
#include "binxlate/binxlate.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "binxlate/engine.h"
#include "cpu/fpu.h"

#define CODE_SIZE  ((size_t)(32 * MIB))
#define ARENA_SIZE ((size_t)(64 * MIB))

static int allocate_tables(struct binxlate *x, struct error *error)
{
    x->bucket = calloc(BLOCK_BUCKETS, sizeof(struct block *));
    x->jump_cache = calloc((size_t)JUMP_CACHES * JUMP_CACHE_SIZE, sizeof(const void *));
    x->callouts_by_row = calloc(opcode_count, sizeof(uint64_t));
    if (!x->bucket || !x->jump_cache || !x->callouts_by_row) {
        return error_set(error, -ENOMEM, "translator: out of memory");
    }
    return 0;
}

static void empty_tables(struct binxlate *x)
{
    memset(x->bucket, 0, BLOCK_BUCKETS * sizeof(struct block *));
    for (unsigned i = 0; i < JUMP_CACHES * JUMP_CACHE_SIZE; i++) {
        x->jump_cache[i] = x->exit_indirect;
    }
    x->block_count = 0;
}

static int set_up(struct binxlate *x, struct error *error)
{
    int code = binxlate_supported(error);

    if (code == 0) {
        code = code_buffer_init(&x->code, CODE_SIZE, error);
    }
    if (code == 0) {
        code = arena_init(&x->arena, ARENA_SIZE, error);
    }
    if (code == 0) {
        code = stack_init(x, error);
    }
    if (code == 0) {
        code = shadow_init(&x->shadow, error);
        x->shadow_ready = code == 0;
    }
    if (code == 0) {
        code = allocate_tables(x, error);
    }
    if (code == 0) {
        code = smc_init(x, error);
    }
    if (code == 0) {
        code = thunks_emit(x, error);
    }
    if (code == 0) {
        code = fault_init(x, error);
    }
    return code;
}

struct binxlate *binxlate_create(struct vcpu *cpu, struct error *error)
{
    struct binxlate *x = calloc(1, sizeof(*x));

    if (!x) {
        error_set(error, -ENOMEM, "translator: out of memory");
        return NULL;
    }
    x->cpu = x->run.cpu = cpu;
    x->fpu_mxcsr_mask = cpu->fpu.mxcsr_mask;
    x->run.host_mxcsr = MXCSR_INIT;
    if (set_up(x, error) < 0) {
        binxlate_destroy(x);
        return NULL;
    }
    empty_tables(x);
    stack_empty(x);
    binxlate_set_windows(x, BINXLATE_WINDOWS_ON);
    cpu->engine = x;
    cpu->shadow_tables = &x->shadow;
    return x;
}

/* What -d jit says at the end. */
static void log_stats(const struct binxlate *x)
{
    const struct binxlate_stats *stats = &x->stats;
    struct log *log = x->cpu->wiring.log;

    if (!log || !log_enabled(log, LOG_JIT)) {
        return;
    }
    log_printf(log, LOG_JIT,
               "translator: %llu instructions, %llu interpreted; %llu call-outs\n"
               "  blocks: %llu made, %llu dropped; %llu chains, %llu buffer resets\n"
               "  faults: %llu, of those %llu fills; sites: %llu misaligned, %llu slow\n"
               "  exits: %llu look-up, %llu verify, %llu budget\n"
               "  windows: %llu opened, %llu closed; %llu runs shown, %llu faults, %llu sites gone flat\n",
               (unsigned long long)x->cpu->insn_count, (unsigned long long)stats->interpreted,
               (unsigned long long)stats->callouts, (unsigned long long)stats->blocks_made,
               (unsigned long long)stats->blocks_invalidated, (unsigned long long)stats->chains,
               (unsigned long long)stats->buffer_resets, (unsigned long long)stats->host_faults,
               (unsigned long long)stats->shadow_fills, (unsigned long long)stats->misaligned_sites,
               (unsigned long long)stats->slow_sites, (unsigned long long)stats->exits_lookup,
               (unsigned long long)stats->exits_verify, (unsigned long long)stats->exits_budget,
               (unsigned long long)stats->windows_opened, (unsigned long long)stats->windows_closed,
               (unsigned long long)stats->window_maps, (unsigned long long)stats->window_faults,
               (unsigned long long)stats->flat_sites);
    for (unsigned id = 0; id < opcode_count; id++) {
        if (x->callouts_by_row[id]) {
            log_printf(log, LOG_JIT, "  %12llu %s %s\n", (unsigned long long)x->callouts_by_row[id],
                       opcode_table[id].mnemonic, opcode_table[id].operands);
        }
    }
}

void binxlate_destroy(struct binxlate *x)
{
    if (!x) {
        return;
    }
    log_stats(x);
    if (x->cpu->engine == x) {
        x->cpu->engine = NULL;
        x->cpu->shadow_tables = NULL;
    }
    fault_fini(x);
    smc_fini(x);
    free(x->callouts_by_row);
    free(x->jump_cache);
    free(x->bucket);
    free(x->blocks);
    if (x->shadow_ready) {
        shadow_fini(&x->shadow);
    }
    stack_fini(x);
    arena_fini(&x->arena);
    code_buffer_fini(&x->code);
    free(x);
}

void binxlate_reset(struct binxlate *x)
{
    smc_forget_all(x);
    x->code.used = x->code.fixed;
    x->arena.used = 0;
    x->last_fault_pc = NULL;
    stack_empty(x);
    empty_tables(x);
    x->stats.buffer_resets++;
}

void binxlate_set_windows(struct binxlate *x, enum binxlate_windows windows)
{
    x->windows = binxlate_windows_supported() ? windows : BINXLATE_WINDOWS_OFF;
}

const struct binxlate_stats *binxlate_stats(const struct binxlate *x)
{
    return &x->stats;
}
