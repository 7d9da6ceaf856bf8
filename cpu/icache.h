/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The interpreter's cache of decoded instructions.
 *
 * A *run* is a sequence of decoded instructions that follow each other in one page of guest memory. It is keyed by
 * where its first byte lies in the VM's memory (roff_t) and by CS.D, so it survives every change of page tables and
 * serves all linear aliases. A run ends at an OPF_END instruction, at the end of the page and at RUN_INSN_MAX.
 *
 * Self-modifying code: a frame that holds a run has RAM_WATCH_CODE set and a bitmap of the bytes that were decoded.
 * A write to other bytes of the frame costs a bitmap test; a write to decoded ones drops the runs that contain them
 * and sets ATTENTION_CODE, so that the interpreter leaves the run it is in before the next
 * instruction. Memory of dropped runs stays readable until the next icache_new_run().
 */
#ifndef CPU_ICACHE_H
#define CPU_ICACHE_H

#include "cpu/insn.h"

enum { RUN_INSN_MAX = 32 };

struct run {
    uint64_t key;      /* icache_key(); ICACHE_DEAD when dropped */
    struct insn *insn; /* `count` of them */
    uint16_t count;
    uint16_t length; /* bytes */
    struct run *next_in_bucket, *next_in_frame;
};

#define ICACHE_DEAD UINT64_MAX

enum { ICACHE_BUCKETS = 1 << 15, ICACHE_RUNS = 1 << 15, ICACHE_INSNS = 1 << 17 };

struct icache_frame;

struct icache {
    struct vcpu *cpu;
    struct run *bucket[ICACHE_BUCKETS];
    struct run *runs;   /* ICACHE_RUNS of them, the first run_count in use */
    struct insn *insns; /* ICACHE_INSNS */
    size_t run_count, insn_count;
    struct icache_frame **frame; /* per frame of the VM's memory, NULL when it holds no run; owned */
    uint64_t frame_count;
    uint64_t decoded, dropped, flushes; /* statistics */
};

/* Cache for cpu->wiring.mem; takes the memory's RAM_WATCH_CODE watcher. NULL when out of memory. */
struct icache *icache_create(struct vcpu *cpu);
/* NULL is legal. */
void icache_destroy(struct icache *icache);

/* Forget everything. */
void icache_flush(struct icache *icache);

/* Memory offsets have far fewer than 63 bits. */
static inline uint64_t icache_key(roff_t roff, bool code32)
{
    return roff | (uint64_t)code32 << 63;
}

static inline unsigned icache_hash(uint64_t key)
{
    return (unsigned)(key ^ key >> 15) % ICACHE_BUCKETS;
}

/* The run that starts at roff, or NULL. */
static inline struct run *icache_find(struct icache *icache, roff_t roff, bool code32)
{
    uint64_t key = icache_key(roff, code32);
    struct run *run = icache->bucket[icache_hash(key)];

    while (run && run->key != key) {
        run = run->next_in_bucket;
    }
    return run;
}

/*
 * Decode a run at roff, of at most `limit` bytes (end of page, code segment's limit), and enter it. NULL when the
 * first instruction does not end within `limit` or out of memory; the caller then decodes it alone.
 */
struct run *icache_new_run(struct icache *icache, roff_t roff, unsigned limit, bool code32);

#endif
