/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The translator's life: creation, attaching to a processor, forgetting everything.
 */
#include "binxlate/binxlate.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "binxlate/engine.h"
#include "cpu/points.h"
#include "cpu/fpu.h"

#define CODE_SIZE  ((size_t)(16 * MIB))
#define ARENA_SIZE ((size_t)(18 * MIB))

#define JUMPS_SIZE   ((size_t)JUMP_CACHES * JUMP_CACHE_SIZE * sizeof(const void *))
#define PATTERN_SIZE ((size_t)(256 * KIB))

_Static_assert(JUMPS_SIZE % PATTERN_SIZE == 0, "the pattern fits into the jump caches");

static int allocate_tables(struct binxlate *x, struct error *error)
{
    x->bucket = calloc(BLOCK_BUCKETS, sizeof(struct block *));
    x->callouts_by_row = calloc(opcode_count, sizeof(uint64_t));
    x->jump_cache = mmap(NULL, JUMPS_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    x->jump_cache = x->jump_cache == MAP_FAILED ? NULL : x->jump_cache;
    if (!x->bucket || !x->jump_cache || !x->callouts_by_row) {
        return error_set(error, -ENOMEM, "translator: out of memory");
    }
    return 0;
}

/* A file of exits. NULL with errno set. */
static const void **map_pattern(int fd)
{
    return fd < 0 || ftruncate(fd, (off_t)PATTERN_SIZE) < 0
               ? MAP_FAILED
               : mmap(NULL, PATTERN_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
}

/*
 * The jump caches are full of exits at first. They map a file of those privately, so that a page takes memory when a jump is
 * entered there: an idle VM needs few of them.
 */
static int fill_jump_caches(struct binxlate *x, struct error *error)
{
    int fd = memfd_create("translated-jumps", MFD_CLOEXEC);
    const void **pattern = map_pattern(fd);
    uint8_t *at = (uint8_t *)x->jump_cache, *end = at + JUMPS_SIZE;

    for (size_t i = 0; pattern != MAP_FAILED && i < PATTERN_SIZE / sizeof(*pattern); i++) {
        pattern[i] = x->exit_indirect;
    }
    while (pattern != MAP_FAILED && at < end &&
           mmap(at, PATTERN_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE, fd, 0) !=
               MAP_FAILED) {
        at += PATTERN_SIZE;
    }
    if (at < end) {
        error_set(error, -errno, "translator: cannot map jump caches: %s", strerror(errno));
    }
    if (pattern != MAP_FAILED) {
        munmap(pattern, PATTERN_SIZE);
    }
    if (fd >= 0) {
        close(fd);
    }
    return at < end ? -ENOMEM : 0;
}

static void empty_jump_caches(struct binxlate *x)
{
    /* The host goes back to the file. */
    if (madvise(x->jump_cache, JUMPS_SIZE, MADV_DONTNEED) == 0) {
        return;
    }
    for (unsigned i = 0; i < JUMP_CACHES * JUMP_CACHE_SIZE; i++) {
        x->jump_cache[i] = x->exit_indirect;
    }
}

static void empty_tables(struct binxlate *x)
{
    memset(x->bucket, 0, BLOCK_BUCKETS * sizeof(struct block *));
    empty_jump_caches(x);
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
        code = fill_jump_caches(x, error);
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
    stack_empty(x);
    binxlate_set_windows(x, BINXLATE_WINDOWS_ON);
    cpu->engine = x;
    cpu->shadow_tables = &x->shadow;
    return x;
}

void binxlate_leave_thread(struct binxlate *binxlate)
{
    fault_leave_thread(binxlate);
}

/* What -d jit says at the end. */
void binxlate_destroy(struct binxlate *x)
{
    if (!x) {
        return;
    }
    stats_log(x);
    if (x->cpu->engine == x) {
        x->cpu->engine = NULL;
        x->cpu->shadow_tables = NULL;
    }
    fault_fini(x);
    smc_fini(x);
    free(x->callouts_mark);
    free(x->callouts_by_row);
    if (x->jump_cache) {
        munmap(x->jump_cache, JUMPS_SIZE);
    }
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

void binxlate_points_changed(struct binxlate *x, bool all)
{
    struct points *points = x->cpu->points;

    if (all) {
        binxlate_reset(x);
    } else if (points) {
        block_drop_points(x, points);
    }
    if (points) {
        points->moved = false;
    }
}

void binxlate_set_windows(struct binxlate *x, enum binxlate_windows windows)
{
    x->windows = binxlate_windows_supported() ? windows : BINXLATE_WINDOWS_OFF;
}
