/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The virtual clock and its timer queue.
 *
 * The queue is a singly linked list sorted by (deadline, sequence): a VM has one or two dozen timers, most
 * of them near the head, so a list beats anything cleverer and its order is obvious.
 *
 * The three policies differ only in what turns `base_ns` into the current time:
 *
 *   realtime  base_ns + (host now - host_start_ns)   while running, base_ns while stopped
 *   icount    base_ns + (*insn_count << shift)       modulo 2^64: base_ns may stand for a negative number
 *   stepped   base_ns
 *
 * NOTE: the order of timers with equal deadlines is their arming order; a snapshot stores deadlines only, so
 * after a load it is the order in which the devices were loaded.
 */
#include "base/clock.h"

#include <time.h>

/* Firings in one clock_run_timers(): many more than there are timers, few enough to return soon. */
#define MAX_FIRINGS 1000u
/* The end of time. One below CLOCK_NEVER, which no clock ever shows. */
#define LAST_NS (CLOCK_NEVER - 1)

static uint64_t host_monotonic_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_SEC + (uint64_t)now.tv_nsec;
}

static uint64_t add_saturated(uint64_t a, uint64_t b)
{
    return a >= LAST_NS || b > LAST_NS - a ? LAST_NS : a + b;
}

static uint64_t executed_ns(const struct clock *clock)
{
    return clock->insn_count ? *clock->insn_count << clock->icount_shift : 0;
}

void clock_init(struct clock *clock, enum clock_policy policy)
{
    *clock = (struct clock){.policy = policy};
}

void clock_set_icount(struct clock *clock, const uint64_t *insn_count, unsigned shift)
{
    uint64_t now = clock_now(clock);
    clock->insn_count = insn_count;
    clock->icount_shift = MIN(shift, 10u);
    clock_set_now(clock, now);
}

uint64_t clock_now(const struct clock *clock)
{
    switch (clock->policy) {
    case CLOCK_REAL_TIME:
        return clock->running ? add_saturated(clock->base_ns, host_monotonic_ns() - clock->host_start_ns)
                              : clock->base_ns;
    case CLOCK_ICOUNT:
        return MIN(clock->base_ns + executed_ns(clock), LAST_NS);
    case CLOCK_STEPPED:
        break;
    }
    return clock->base_ns;
}

void clock_start(struct clock *clock)
{
    if (clock->policy == CLOCK_REAL_TIME && !clock->running) {
        clock->host_start_ns = host_monotonic_ns();
        clock->running = true;
    }
}

void clock_stop(struct clock *clock)
{
    if (clock->policy == CLOCK_REAL_TIME && clock->running) {
        clock->base_ns = clock_now(clock);
        clock->running = false;
    }
}

void clock_set_now(struct clock *clock, uint64_t now)
{
    now = MIN(now, LAST_NS);
    if (clock->policy == CLOCK_ICOUNT) {
        now -= executed_ns(clock);
    } else if (clock->running) {
        clock->host_start_ns = host_monotonic_ns();
    }
    clock->base_ns = now;
}

void clock_skip(struct clock *clock, uint64_t ns)
{
    if (clock->policy != CLOCK_REAL_TIME) {
        clock->base_ns += MIN(ns, LAST_NS - clock_now(clock));
    }
}

uint64_t clock_next_deadline(const struct clock *clock)
{
    return clock->queue ? clock->queue->deadline : CLOCK_NEVER;
}

bool clock_overdue(const struct clock *clock)
{
    return clock->policy == CLOCK_REAL_TIME && clock->queue && clock->queue->deadline <= clock_now(clock);
}

unsigned clock_run_timers(struct clock *clock)
{
    unsigned fired = 0;
    while (fired < MAX_FIRINGS && clock->queue && clock->queue->deadline <= clock_now(clock)) {
        struct timer *timer = clock->queue;
        timer_disarm(timer);
        timer->fire(timer->opaque);
        fired++;
    }
    return fired;
}

void clock_step_to(struct clock *clock, uint64_t until)
{
    if (clock->policy == CLOCK_REAL_TIME) {
        return;
    }
    until = MIN(until, LAST_NS);
    while (clock_next_deadline(clock) <= until) {
        uint64_t now = clock_now(clock);
        uint64_t next = clock_next_deadline(clock);
        clock_skip(clock, next > now ? next - now : 0);
        if (clock_run_timers(clock) < MAX_FIRINGS) {
            continue;
        }
        /* A timer re-arms itself for the moment it fires in: let time pass, or this never ends. */
        if (clock_now(clock) >= until) {
            return;
        }
        clock_skip(clock, 1);
    }
    uint64_t now = clock_now(clock);
    clock_skip(clock, until > now ? until - now : 0);
}

void timer_init(struct timer *timer, struct clock *clock, const char *name, void (*fire)(void *opaque),
                void *opaque)
{
    *timer =
        (struct timer){.clock = clock, .name = name, .fire = fire, .opaque = opaque, .deadline = CLOCK_NEVER};
}

/* Never the time at which the instruction under way began, as a run may end before the instruction does, and be resumed. */
static uint64_t behind_insn(const struct clock *clock, uint64_t deadline)
{
    return clock->policy == CLOCK_ICOUNT && clock->executing
               ? MAX(deadline, add_saturated(clock_now(clock), 1))
               : deadline;
}

void timer_arm(struct timer *timer, uint64_t deadline)
{
    timer_disarm(timer);
    if (deadline == CLOCK_NEVER) {
        return;
    }
    timer->deadline = behind_insn(timer->clock, deadline);
    timer->sequence = timer->clock->sequence++;

    /* Behind every timer with the same deadline: the newest sequence number is the highest. */
    struct timer **link = &timer->clock->queue;
    while (*link && (*link)->deadline <= timer->deadline) {
        link = &(*link)->next;
    }
    timer->next = *link;
    *link = timer;
    if (timer->clock->queue == timer && timer->clock->deadline_moved) {
        timer->clock->deadline_moved(timer->clock->opaque, timer->deadline);
    }
}

void timer_disarm(struct timer *timer)
{
    if (!timer_armed(timer)) {
        return;
    }
    struct timer **link = &timer->clock->queue;
    while (*link && *link != timer) {
        link = &(*link)->next;
    }
    if (*link) {
        *link = timer->next;
    }
    timer->next = NULL;
    timer->deadline = CLOCK_NEVER;
}

uint64_t muldiv64(uint64_t a, uint64_t b, uint64_t c)
{
    unsigned __int128 quotient = (unsigned __int128)a * b / c;
    return quotient > UINT64_MAX ? UINT64_MAX : (uint64_t)quotient;
}
