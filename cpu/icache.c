/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The cache of decoded instructions: storage, look-up by place in memory, and dropping what was overwritten.
 *
 * Runs and instructions come from two arrays that only grow; when one is full the cache starts over. Dropped runs
 * are unlinked and left where they are, so that a run that overwrites itself can still be walked to its end.
 *
 * SDM: Volume 3A, "Self-Modifying Code", "Cross-Modifying Code". Modelled more strictly than the manual demands: a
 * store is seen by the very next instruction without a jump or serialising instruction.
 */
#include "cpu/icache.h"

#include <stdlib.h>

#include "cpu/points.h"

/*
 * Setting a frame's watch means to search whatever caches translations for those that may write it. Code that is rewritten
 * again and again would set it each time, so such a frame stays watched although nothing of it is decoded, until it is
 * written as often without being executed.
 */
enum { REWRITES_MIN = 16, IDLE_WRITES_MAX = 256 };

/* The runs of one frame and which of its bytes they decode. */
struct icache_frame {
    struct run *runs;
    uint64_t decoded[PAGE_SIZE / 64];
    uint16_t rewritten; /* how often its last run was dropped */
    uint16_t idle;      /* writes since then */
};

/* ---- The bitmap of a frame ------------------------------------------------------------------------------ */

static void mark_decoded(struct icache_frame *frame, unsigned first, unsigned length)
{
    for (unsigned i = first; i < first + length; i++) {
        frame->decoded[i / 64] |= BIT(i % 64);
    }
}

static bool any_decoded(const struct icache_frame *frame, unsigned first, unsigned length)
{
    unsigned last = first + length - 1;
    uint64_t head = ~(uint64_t)0 << first % 64, tail = ~(uint64_t)0 >> (63 - last % 64);

    if (first / 64 == last / 64) {
        return (frame->decoded[first / 64] & head & tail) != 0;
    }
    for (unsigned i = first / 64 + 1; i < last / 64; i++) {
        if (frame->decoded[i]) {
            return true;
        }
    }
    return (frame->decoded[first / 64] & head) || (frame->decoded[last / 64] & tail);
}

/* ---- Dropping ------------------------------------------------------------------------------------------- */

static struct ram *icache_ram(const struct icache *icache)
{
    return icache->cpu->wiring.mem->ram;
}

static unsigned run_offset(const struct run *run)
{
    return (unsigned)(run->key & PAGE_OFFSET_MASK);
}

static void unlink_from_bucket(struct icache *icache, const struct run *run)
{
    struct run **link = &icache->bucket[icache_hash(run->key)];

    while (*link != run) {
        link = &(*link)->next_in_bucket;
    }
    *link = run->next_in_bucket;
}

/* Drop the frame's runs that have a byte in [first, first + length), and count the bitmap afresh. */
static void drop_overlapping(struct icache *icache, struct icache_frame *frame, unsigned first,
                             unsigned length)
{
    struct run **link = &frame->runs;

    memset(frame->decoded, 0, sizeof(frame->decoded));
    while (*link) {
        struct run *run = *link;
        unsigned offset = run_offset(run);
        if (offset < first + length && first < offset + run->length) {
            unlink_from_bucket(icache, run);
            *link = run->next_in_frame;
            run->key = ICACHE_DEAD;
            icache->dropped++;
        } else {
            mark_decoded(frame, offset, run->length);
            link = &run->next_in_frame;
        }
    }
}

static void leave_current_run(struct icache *icache)
{
    __atomic_or_fetch(&icache->cpu->attention, ATTENTION_CODE, __ATOMIC_RELAXED);
}

/* ram_watcher: [roff, roff + length), within one frame, is about to be written. */
static void frame_written(void *opaque, roff_t roff, uint64_t length)
{
    struct icache *icache = opaque;
    uint64_t number = roff >> PAGE_SHIFT;
    struct icache_frame *frame = number < icache->frame_count ? icache->frame[number] : NULL;
    unsigned first = (unsigned)(roff & PAGE_OFFSET_MASK);

    if (!frame || length == 0) {
        return;
    }
    if (any_decoded(frame, first, (unsigned)length)) {
        drop_overlapping(icache, frame, first, (unsigned)length);
        leave_current_run(icache);
        frame->rewritten = (uint16_t)(frame->rewritten + (!frame->runs && frame->rewritten < REWRITES_MIN));
        frame->idle = 0;
    }
    if (frame->runs || (frame->rewritten == REWRITES_MIN && ++frame->idle <= IDLE_WRITES_MAX)) {
        return;
    }
    if (frame->rewritten == REWRITES_MIN) {
        frame->rewritten = 0;
    }
    ram_watch_clear(icache_ram(icache), number, RAM_WATCH_CODE);
}

void icache_flush(struct icache *icache)
{
    for (uint64_t number = 0; number < icache->frame_count; number++) {
        struct icache_frame *frame = icache->frame[number];
        if (frame && (frame->runs || frame->rewritten)) {
            *frame = (struct icache_frame){0};
            ram_watch_clear(icache_ram(icache), number, RAM_WATCH_CODE);
        }
    }
    memset(icache->bucket, 0, sizeof(icache->bucket));
    icache->run_count = 0;
    icache->insn_count = 0;
    icache->flushes++;
    leave_current_run(icache);
}

/* ---- Entering ------------------------------------------------------------------------------------------- */

/* The frame's entry, its watch set. NULL when out of memory. */
static struct icache_frame *watched_frame(struct icache *icache, uint64_t number)
{
    if (number >= icache->frame_count) {
        return NULL;
    }
    if (!icache->frame[number]) {
        icache->frame[number] = calloc(1, sizeof(struct icache_frame));
    }
    if (icache->frame[number]) {
        ram_watch_set(icache_ram(icache), number, RAM_WATCH_CODE);
    }
    return icache->frame[number];
}

/* Decode into the free part of the instruction array; sets run->count and run->length. */
static void decode_run(struct icache *icache, struct run *run, const uint8_t *bytes, unsigned limit,
                       bool code32)
{
    run->insn = &icache->insns[icache->insn_count];
    while (run->count < RUN_INSN_MAX && run->length < limit) {
        if (points_at_offset(icache->cpu->points, run->key + run->length)) {
            break;
        }
        struct insn *insn = &run->insn[run->count];
        enum decode_status status =
            insn_decode(bytes + run->length, limit - run->length, code32, icache->cpu->features, insn);
        if (status == DECODE_MORE) {
            break;
        }
        run->count++;
        run->length = (uint16_t)(run->length + insn->length);
        if (insn->opcode->flags & OPF_END) {
            break;
        }
    }
}

struct run *icache_new_run(struct icache *icache, roff_t roff, unsigned limit, bool code32)
{
    if (icache->run_count == ICACHE_RUNS || icache->insn_count + RUN_INSN_MAX > ICACHE_INSNS) {
        icache_flush(icache);
    }
    struct run *run = &icache->runs[icache->run_count];
    *run = (struct run){.key = icache_key(roff, code32)};
    decode_run(icache, run, ram_ptr(icache_ram(icache), roff), limit, code32);
    /* A frame of which nothing is kept is not watched: its data would be slow for nothing. */
    struct icache_frame *frame = run->count ? watched_frame(icache, roff >> PAGE_SHIFT) : NULL;
    if (!frame) {
        return NULL;
    }
    icache->run_count++;
    icache->insn_count += run->count;
    icache->decoded += run->count;

    struct run **bucket = &icache->bucket[icache_hash(run->key)];
    run->next_in_bucket = *bucket;
    *bucket = run;
    run->next_in_frame = frame->runs;
    frame->runs = run;
    mark_decoded(frame, run_offset(run), run->length);
    return run;
}

/* ---- Life ----------------------------------------------------------------------------------------------- */

struct icache *icache_create(struct vcpu *cpu)
{
    const struct addr_space *mem = cpu->wiring.mem;
    struct icache *icache = calloc(1, sizeof(*icache));

    if (!icache) {
        return NULL;
    }
    icache->cpu = cpu;
    icache->frame_count = mem && mem->ram ? mem->ram->size >> PAGE_SHIFT : 0;
    icache->runs = calloc(ICACHE_RUNS, sizeof(*icache->runs));
    icache->insns = calloc(ICACHE_INSNS, sizeof(*icache->insns));
    icache->frame = calloc(icache->frame_count + 1, sizeof(struct icache_frame *));
    if (!icache->runs || !icache->insns || !icache->frame) {
        icache_destroy(icache);
        return NULL;
    }
    if (icache->frame_count) {
        ram_set_watcher(mem->ram, RAM_WATCH_CODE, frame_written, icache);
    }
    return icache;
}

void icache_destroy(struct icache *icache)
{
    if (!icache) {
        return;
    }
    if (icache->frame_count && icache_ram(icache)->watcher[RAM_WATCH_CODE].opaque == icache) {
        ram_set_watcher(icache_ram(icache), RAM_WATCH_CODE, NULL, NULL);
    }
    for (uint64_t i = 0; icache->frame && i < icache->frame_count; i++) {
        free(icache->frame[i]);
    }
    free(icache->frame);
    free(icache->insns);
    free(icache->runs);
    free(icache);
}
