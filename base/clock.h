/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The virtual clock of one VM and the timers that hang off it.
 *
 * Every time a guest can see (TSC, PIT, RTC, APIC timer, PM timer) is a function of clock_now(), in
 * nanoseconds since the VM was created. Two policies:
 *
 *   CLOCK_REAL_TIME follows the host's monotonic clock while the clock runs; a paused VM's time stands
 *   CLOCK_ICOUNT    a function of instructions retired, so equal inputs give bit-equal runs:
 *                   now = (*insn_count << shift) + skipped, where `skipped` is time jumped over in HLT
 *
 * CLOCK_STEPPED is CLOCK_ICOUNT without a CPU: device tests move it by hand.
 *
 * Timers fire in order of (deadline, arming order), from clock_run_timers() only: never from a signal,
 * a thread, or inside a device access. All of it belongs to the VM's thread.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include "base/types.h"

#define NS_PER_SEC  1000000000ull
#define CLOCK_NEVER UINT64_MAX

enum clock_policy { CLOCK_REAL_TIME, CLOCK_ICOUNT, CLOCK_STEPPED };

struct timer;

struct clock {
    enum clock_policy policy;
    bool running;               /* CLOCK_REAL_TIME: host time flows into guest time */
    uint64_t base_ns;           /* guest time when the clock last started (realtime); skipped time (icount);
                                   the time itself (stepped) */
    uint64_t host_start_ns;     /* realtime: host monotonic time when it last started */
    const uint64_t *insn_count; /* icount: instructions retired, owned by the vcpu */
    unsigned icount_shift;      /* icount: each instruction takes 2^shift ns, 0..10 */
    bool executing;             /* icount: the processor is running; what is armed meanwhile fires behind the
                                   instruction under way, even if the run ends in the middle of a repeated one */
    struct timer *queue;        /* armed timers, soonest first */
    uint64_t sequence;          /* arming order */
    /* Called when a timer became the soonest one, so that whoever runs the guest can stop in time for it;
     * NULL if of no interest. */
    void (*deadline_moved)(void *opaque, uint64_t deadline);
    void *opaque;
};

struct timer {
    struct clock *clock;
    const char *name;
    void (*fire)(void *opaque); /* called disarmed; may re-arm */
    void *opaque;
    uint64_t deadline; /* ns on the clock, CLOCK_NEVER when not armed */
    uint64_t sequence;
    struct timer *next;
};

void clock_init(struct clock *clock, enum clock_policy policy);
/* CLOCK_ICOUNT: where the instruction count is kept. */
void clock_set_icount(struct clock *clock, const uint64_t *insn_count, unsigned shift);

uint64_t clock_now(const struct clock *clock);
/* Realtime: let time flow, or hold it. Idempotent; without effect on the other policies. */
void clock_start(struct clock *clock);
void clock_stop(struct clock *clock);
/* Set the current time (snapshot load) without firing anything. */
void clock_set_now(struct clock *clock, uint64_t now);
/* Stepped and icount: jump forward by ns without firing anything. */
void clock_skip(struct clock *clock, uint64_t ns);

/* Deadline of the soonest timer, CLOCK_NEVER when none is armed. */
uint64_t clock_next_deadline(const struct clock *clock);
/* Real time: is a timer due that has not fired yet? (Under the other policies no guest can see one.) */
bool clock_overdue(const struct clock *clock);
/* Fire every timer due now; timers armed by callbacks for a time already due fire too, up to a bound
 * that keeps a guest-programmed flood from holding the host. Returns how many fired. */
unsigned clock_run_timers(struct clock *clock);
/* Stepped: move to `until`, firing each timer with clock_now() equal to its deadline. */
void clock_step_to(struct clock *clock, uint64_t until);

void timer_init(struct timer *timer, struct clock *clock, const char *name, void (*fire)(void *opaque),
                void *opaque);
/* Arm, or move, to an absolute time. CLOCK_NEVER disarms. A deadline in the past fires at the next run. */
void timer_arm(struct timer *timer, uint64_t deadline);
void timer_disarm(struct timer *timer);
static inline bool timer_armed(const struct timer *timer)
{
    return timer->deadline != CLOCK_NEVER;
}

/* a * b / c without overflow of the product; c != 0; the result saturates at UINT64_MAX. */
uint64_t muldiv64(uint64_t a, uint64_t b, uint64_t c);

#endif
