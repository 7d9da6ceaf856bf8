/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * How long the guest may run before its next timer, under the real-time policy of the clock.
 *
 * A slice should end when the soonest timer is due, whatever the guest does: a loop of a thousand instructions a
 * microsecond, code that has to be translated first, device accesses. No number of instructions says that in advance, so
 * a host timer does: its signal stops the processor a little before the deadline, by as much as signals are found to come
 * late, and the rest is a slice of so many instructions as lately ran in that time.
 *
 *   slice begins           signal: KICK                  timer due
 *   |--------- unbounded --------|-- counted instructions --|
 *
 * A pacer belongs to a VM, the host timer to a thread that runs VMs: it is lent to the pacer of the one that runs. Nothing
 * here is used under -icount, whose slices are exact.
 */
#ifndef VM_PACER_H
#define VM_PACER_H

#include <signal.h>
#include <time.h>

#include "cpu/vcpu.h"

struct binxlate;

/* The host timer of a thread. */
struct alarm {
    timer_t timer;
    bool open;        /* false: the host had none to give */
    uint64_t at_ns;   /* host time that it is set for; CLOCK_NEVER: it is not */
    uint64_t late_ns; /* how late its signals come, on average */
};

struct pacer {
    struct vcpu *cpu;
    struct binxlate *engine; /* NULL: the interpreter */
    struct alarm *alarm;     /* of the thread that runs the VM now; NULL: none */
    uint64_t rate;           /* instructions in 1024 ns, lately */
    uint64_t began_ns, began_insns;
};

/* A host timer for the calling thread, and its signal. */
void alarm_open(struct alarm *alarm);
void alarm_close(struct alarm *alarm);

void pacer_init(struct pacer *pacer, struct vcpu *cpu, struct binxlate *engine);
/* The calling thread runs the processor from now on, until pacer_detach(), with its host timer. Without one (NULL, or not
 * open) slices are counted instructions. SIGALRM of any origin ends its slice. */
void pacer_attach(struct pacer *pacer, struct alarm *alarm);
void pacer_detach(struct pacer *pacer);
/* pacer_detach() where the pacer itself must not be touched any more: the thread's host timer is free again. */
void pacer_abandon(struct alarm *alarm);

/* A slice begins at host time `now` and should end in `left_ns`: returns its budget in instructions. */
uint64_t pacer_begin(struct pacer *pacer, uint64_t now, uint64_t left_ns);
/* It ended. */
void pacer_end(struct pacer *pacer, uint64_t now);
/* In mid-slice: something is due in `left_ns`. */
void pacer_due(struct pacer *pacer, uint64_t left_ns);
/* The thread is about to sleep `wait_ns`: it wakes by itself. */
void pacer_idle(struct pacer *pacer, uint64_t wait_ns);

/* The host's monotonic clock. */
uint64_t pacer_host_now(void);

#endif
