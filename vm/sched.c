/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The scheduling policy. See vm/sched.h.
 *
 * There are tens of entities, not thousands, so every question is answered by looking at all of them.
 *
 * Virtual-time fair queueing; Xen's credit scheduler for weight and cap; the adjustment of weights to what P processors
 * can give is that of surplus fair scheduling.
 */
#include "vm/sched.h"

#include "base/clock.h"

#define CAP_BURST_NS 100000000u /* a bucket holds this much of the time that passes */
#define CAP_WORTH_NS 1000000u   /* a throttled entity waits until its bucket holds so much */
#define GRAIN_NS     100000u    /* virtual time by which one must be ahead to preempt */

enum { LATENCY_STEPS = 4 }; /* classes in each doubling */

void sched_init(struct sched *sched, unsigned pcpus, uint64_t slice_ns)
{
    *sched = (struct sched){.pcpus = MAX(pcpus, 1u), .slice_ns = slice_ns};
}

/* ---- virtual time ---------------------------------------------------------------------------------------- */

/* It uses a pCPU or waits for one. One that its cap holds back is left out: others must not be measured by it. */
static bool competes(const struct sched_entity *entity)
{
    return entity->state != SCHED_BLOCKED && !entity->throttled;
}

static uint64_t virtual_time(const struct sched_entity *entity, uint64_t used_ns)
{
    return muldiv64(used_ns, SCHED_WEIGHT_DEFAULT * SCHED_EFFECTIVE_ONE, entity->effective);
}

/* Of those that compete and have not been seen, the one of the largest weight. */
static struct sched_entity *next_by_weight(struct sched *sched, const bool *seen, unsigned *index)
{
    struct sched_entity *largest = NULL;

    for (unsigned i = 0; i < sched->count; i++) {
        struct sched_entity *entity = sched->entity[i];

        if (!seen[i] && competes(entity) && (!largest || entity->weight > largest->weight)) {
            largest = entity;
            *index = i;
        }
    }
    return largest;
}

/* From the largest on, a weight that asks for more than a whole pCPU of those that are left counts as just that. */
static void limit_weights(struct sched *sched, unsigned competing, uint64_t sum)
{
    bool seen[SCHED_ENTITIES_MAX] = {false};
    unsigned index = 0;

    for (unsigned left = sched->pcpus; left > 1 && competing > left; left--) {
        struct sched_entity *entity = next_by_weight(sched, seen, &index);
        uint64_t weight = (uint64_t)entity->weight * SCHED_EFFECTIVE_ONE;

        if (weight * left <= sum) {
            return;
        }
        seen[index] = true;
        sum -= weight;
        competing--;
        entity->effective = (uint32_t)(sum / (left - 1));
    }
}

/* Weights as they count. Of one pCPU nobody can ask for more; with one for each, all get the same. */
static void reweigh(struct sched *sched)
{
    uint64_t sum = 0;
    unsigned competing = 0;

    for (unsigned i = 0; i < sched->count; i++) {
        if (competes(sched->entity[i])) {
            sum += (uint64_t)sched->entity[i]->weight * SCHED_EFFECTIVE_ONE;
            competing++;
        }
    }
    for (unsigned i = 0; i < sched->count; i++) {
        sched->entity[i]->effective =
            (competing > sched->pcpus ? sched->entity[i]->weight : (uint32_t)SCHED_WEIGHT_DEFAULT) *
            SCHED_EFFECTIVE_ONE;
    }
    limit_weights(sched, competing, sum);
}

static void raise_floor(struct sched *sched)
{
    uint64_t least = UINT64_MAX;

    for (unsigned i = 0; i < sched->count; i++) {
        if (competes(sched->entity[i])) {
            least = MIN(least, sched->entity[i]->vtime);
        }
    }
    if (least != UINT64_MAX) {
        sched->floor = MAX(sched->floor, least);
    }
}

/* Whoever did not ask for the processor for a while, or was not allowed to, is one slice behind at most. */
static void forget_lag(const struct sched *sched, struct sched_entity *entity)
{
    uint64_t behind = sched->floor > sched->slice_ns ? sched->floor - sched->slice_ns : 0;

    entity->vtime = MAX(entity->vtime, behind);
}

/* ---- caps ------------------------------------------------------------------------------------------------ */

static int64_t bucket_size(const struct sched_entity *entity)
{
    return (int64_t)(CAP_BURST_NS / 100u * entity->cap);
}

static int64_t bucket_worth(const struct sched_entity *entity)
{
    return MIN((int64_t)CAP_WORTH_NS, bucket_size(entity));
}

static void fill_bucket(struct sched_entity *entity, uint64_t now)
{
    uint64_t passed = now > entity->filled_ns ? now - entity->filled_ns : 0;
    uint64_t filled = muldiv64(passed, entity->cap, 100);

    if (entity->cap == 0 || filled == 0) {
        return;
    }
    entity->filled_ns = now;
    entity->bucket_ns =
        MIN(entity->bucket_ns + (int64_t)MIN(filled, (uint64_t)INT64_MAX / 2), bucket_size(entity));
}

static void release(struct sched *sched, struct sched_entity *entity)
{
    entity->throttled = false;
    forget_lag(sched, entity);
    reweigh(sched);
}

/* Fill the bucket of one that waits; a throttled one is released when that is worth while. */
static void fill_waiting(struct sched *sched, struct sched_entity *entity, uint64_t now)
{
    fill_bucket(entity, now);
    if (entity->throttled && entity->bucket_ns >= bucket_worth(entity)) {
        release(sched, entity);
    }
}

static void empty_bucket(struct sched_entity *entity, uint64_t used_ns)
{
    if (entity->cap > 0) {
        entity->bucket_ns -= (int64_t)used_ns;
        entity->throttled = entity->bucket_ns <= 0;
    }
}

void sched_set_cap(struct sched *sched, struct sched_entity *entity, uint32_t cap, uint64_t now)
{
    fill_bucket(entity, now);
    entity->cap = MIN(cap, (uint32_t)SCHED_CAP_MAX);
    entity->filled_ns = now;
    entity->bucket_ns = entity->cap ? MIN(entity->bucket_ns, bucket_size(entity)) : 0;
    if (entity->cap > 0 && entity->bucket_ns <= 0) {
        entity->throttled = true;
        reweigh(sched);
    } else if (entity->throttled) {
        release(sched, entity);
    }
}

uint64_t sched_next_release(const struct sched *sched)
{
    uint64_t soonest = UINT64_MAX;

    for (unsigned i = 0; i < sched->count; i++) {
        const struct sched_entity *entity = sched->entity[i];

        if (entity->state == SCHED_READY && entity->throttled) {
            uint64_t lacking = (uint64_t)(bucket_worth(entity) - entity->bucket_ns);
            soonest = MIN(soonest, entity->filled_ns + muldiv64(lacking, 100, entity->cap) + 1);
        }
    }
    return soonest;
}

/* ---- latencies ------------------------------------------------------------------------------------------- */

/* Class of a latency: four to each doubling, from 16 ns on. */
static unsigned latency_class(uint64_t ns)
{
    unsigned log2 = 63 - (unsigned)__builtin_clzll(MAX(ns, (uint64_t)16));

    return MIN((log2 - 4) * LATENCY_STEPS + (unsigned)((ns >> (log2 - 2)) & 3),
               (unsigned)SCHED_LATENCIES - 1);
}

static uint64_t latency_upper(unsigned class)
{
    unsigned log2 = class / LATENCY_STEPS + 4;

    return ((uint64_t)1 << log2) + (((uint64_t)(class % LATENCY_STEPS) + 1) << (log2 - 2)) - 1;
}

uint64_t sched_latency(const struct sched_entity *entity, unsigned percent)
{
    uint64_t all = 0, seen = 0;

    for (unsigned i = 0; i < SCHED_LATENCIES; i++) {
        all += entity->latency[i];
    }
    for (unsigned i = 0; i < SCHED_LATENCIES && all > 0; i++) {
        seen += entity->latency[i];
        if (seen * 100 >= all * percent) {
            return latency_upper(i);
        }
    }
    return 0;
}

/* ---- states ---------------------------------------------------------------------------------------------- */

bool sched_add(struct sched *sched, struct sched_entity *entity, uint64_t now)
{
    if (sched->count == SCHED_ENTITIES_MAX) {
        return false;
    }
    *entity = (struct sched_entity){.weight = SCHED_WEIGHT_DEFAULT,
                                    .effective = SCHED_WEIGHT_DEFAULT * SCHED_EFFECTIVE_ONE,
                                    .vtime = sched->floor,
                                    .filled_ns = now};
    sched->entity[sched->count++] = entity;
    return true;
}

void sched_remove(struct sched *sched, struct sched_entity *entity)
{
    for (unsigned i = 0; i < sched->count; i++) {
        if (sched->entity[i] == entity) {
            sched->entity[i] = sched->entity[--sched->count];
            break;
        }
    }
    reweigh(sched);
}

void sched_set_weight(struct sched *sched, struct sched_entity *entity, uint32_t weight)
{
    entity->weight = MIN(MAX(weight, (uint32_t)SCHED_WEIGHT_MIN), (uint32_t)SCHED_WEIGHT_MAX);
    reweigh(sched);
}

static void make_ready(struct sched_entity *entity, bool woken, uint64_t now)
{
    entity->state = SCHED_READY;
    entity->since_ns = now;
    entity->woken = woken;
}

void sched_wake(struct sched *sched, struct sched_entity *entity, uint64_t now)
{
    if (entity->state != SCHED_BLOCKED) {
        return;
    }
    fill_waiting(sched, entity, now);
    forget_lag(sched, entity);
    entity->wakes++;
    make_ready(entity, true, now);
    reweigh(sched);
}

void sched_block(struct sched *sched, struct sched_entity *entity)
{
    if (entity->state == SCHED_READY) {
        entity->state = SCHED_BLOCKED;
        raise_floor(sched);
        reweigh(sched);
    }
}

struct sched_entity *sched_peek(struct sched *sched, uint64_t now)
{
    struct sched_entity *first = NULL;

    for (unsigned i = 0; i < sched->count; i++) {
        struct sched_entity *entity = sched->entity[i];

        if (entity->state != SCHED_READY) {
            continue;
        }
        fill_waiting(sched, entity, now);
        if (!entity->throttled && (!first || entity->vtime < first->vtime)) {
            first = entity;
        }
    }
    return first;
}

struct sched_entity *sched_pick(struct sched *sched, uint64_t now, uint64_t *slice_ns)
{
    struct sched_entity *entity = sched_peek(sched, now);
    uint64_t waited;

    if (!entity) {
        return NULL;
    }
    waited = now > entity->since_ns ? now - entity->since_ns : 0;
    entity->waited_ns += waited;
    entity->latency[latency_class(waited)] += entity->woken;
    entity->state = SCHED_RUNNING;
    entity->slices++;
    *slice_ns = entity->cap > 0 ? MIN(sched->slice_ns, (uint64_t)entity->bucket_ns) : sched->slice_ns;
    return entity;
}

void sched_put(struct sched *sched, struct sched_entity *entity, uint64_t used_ns, bool ready, uint64_t now)
{
    entity->charged_ns += used_ns;
    entity->vtime += virtual_time(entity, used_ns);
    fill_bucket(entity, now);
    empty_bucket(entity, used_ns);
    if (ready) {
        make_ready(entity, false, now);
    } else {
        entity->state = SCHED_BLOCKED;
    }
    if (!competes(entity)) {
        reweigh(sched);
    }
    raise_floor(sched);
}

bool sched_preempts(const struct sched_entity *woken, const struct sched_entity *running, uint64_t used_ns)
{
    return !woken->throttled && woken->vtime + GRAIN_NS <= running->vtime + virtual_time(running, used_ns);
}
