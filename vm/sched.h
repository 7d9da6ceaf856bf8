/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Who runs next, and for how long: weighted fair sharing of the pCPUs, with caps. Policy only: no threads, no locks, and
 * time is what the caller says, so that tests can play it. vm/hypervisor.c applies it.
 *
 *          sched_wake                 sched_pick
 *   BLOCKED ---------->  READY  <------------------> RUNNING
 *      ^                          sched_put(ready)      |
 *      +------------------------------------------------+
 *                        sched_put(blocked)
 *
 * Every entity has a virtual time: the processor time it was charged, divided by its weight. The one that is ready and
 * has the least runs next. What follows from that, and is tested:
 *
 *   1. Entities that always want to run get time in proportion to their weights, whatever slices they were given.
 *   2. Charges are what was measured, to the nanosecond, when the processor is given up: there is no tick to run between.
 *   3. Sleeping earns nothing: one that wakes is at most one slice behind the others' virtual time, and never ahead of
 *      where it was. That slice is what lets it preempt a busy one at once.
 *   4. A cap is a bucket that fills with cap % of the time that passes. One whose bucket is empty waits, even when a
 *      pCPU is idle; a charge beyond the bucket's contents is owed.
 *   5. Of P pCPUs an entity can use one: a weight that asks for more than that counts as exactly one pCPU's share. Where
 *      there is a pCPU for each, weights mean nothing, and nobody is ahead of another later on for having run.
 *
 * Weight and cap are Xen's (credit scheduler): weight 1..65535, twice the weight twice the time; cap in per cent of one
 * pCPU, 0 for none.
 */
#ifndef VM_SCHED_H
#define VM_SCHED_H

#include "base/types.h"

enum {
    SCHED_WEIGHT_MIN = 1,
    SCHED_WEIGHT_DEFAULT = 256,
    SCHED_WEIGHT_MAX = 65535,
    SCHED_EFFECTIVE_ONE = 256,
    SCHED_CAP_MAX = 100,
    SCHED_ENTITIES_MAX = 256,
    SCHED_LATENCIES = 128, /* classes of sched_entity.latency */
};

enum sched_state { SCHED_BLOCKED, SCHED_READY, SCHED_RUNNING };

struct sched_entity {
    uint32_t weight, cap; /* by sched_set_weight(), sched_set_cap() */
    enum sched_state state;
    uint32_t effective; /* weight in 1/SCHED_EFFECTIVE_ONE, less where a pCPU cannot give that much (5) */
    uint64_t vtime;     /* ns of processor time, times SCHED_WEIGHT_DEFAULT / weight */
    int64_t bucket_ns;  /* cap: what may still be used; negative: owed */
    uint64_t filled_ns; /* cap: up to when the bucket was filled */
    bool throttled;     /* cap: the bucket ran empty and holds no worthwhile slice yet */

    /* statistics */
    uint64_t charged_ns;               /* processor time */
    uint64_t waited_ns;                /* ready, but not running */
    uint64_t slices, wakes;            /* times picked; times woken */
    uint64_t since_ns;                 /* when it became ready */
    bool woken;                        /* ready by a wake, not by the end of a slice */
    uint32_t latency[SCHED_LATENCIES]; /* wakes by the time until they ran: sched_latency() reads it */
};

struct sched {
    struct sched_entity *entity[SCHED_ENTITIES_MAX]; /* not owned */
    unsigned count, pcpus;
    uint64_t slice_ns;
    uint64_t floor; /* least virtual time of those that want to run; never falls */
};

void sched_init(struct sched *sched, unsigned pcpus, uint64_t slice_ns);

/* Take up an entity, blocked. False: there are SCHED_ENTITIES_MAX. */
bool sched_add(struct sched *sched, struct sched_entity *entity, uint64_t now);
/* It must not be RUNNING. */
void sched_remove(struct sched *sched, struct sched_entity *entity);

/* Values are clamped to what is legal. */
void sched_set_weight(struct sched *sched, struct sched_entity *entity, uint32_t weight);
void sched_set_cap(struct sched *sched, struct sched_entity *entity, uint32_t cap, uint64_t now);

/* It wants to run. Without effect unless it is blocked. */
void sched_wake(struct sched *sched, struct sched_entity *entity, uint64_t now);
/* It was ready and no longer wants to run. Without effect unless it is ready. */
void sched_block(struct sched *sched, struct sched_entity *entity);
/* The entity to run now, which is then RUNNING, and for how long; NULL when none may. */
struct sched_entity *sched_pick(struct sched *sched, uint64_t now, uint64_t *slice_ns);
/* It ran for `used_ns` of processor time and stops running, to be READY or BLOCKED. */
void sched_put(struct sched *sched, struct sched_entity *entity, uint64_t used_ns, bool ready, uint64_t now);

/* Should `running`, which has run `used_ns` without a charge yet, make way for `woken`? */
bool sched_preempts(const struct sched_entity *woken, const struct sched_entity *running, uint64_t used_ns);
/* The entity that sched_pick() would take; NULL: none may run. */
struct sched_entity *sched_peek(struct sched *sched, uint64_t now);
/* When the next throttled entity may run again; UINT64_MAX: there is none. */
uint64_t sched_next_release(const struct sched *sched);

/* The time within which `percent` of the wakes ran, rounded up to a class (an eighth of its value), ns; 0: no wakes. */
uint64_t sched_latency(const struct sched_entity *entity, unsigned percent);

#endif
