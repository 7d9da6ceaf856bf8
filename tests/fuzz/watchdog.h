/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Bounded host time: a thread that looks at the process's CPU time, first kicks a slice that lasts too long (a repeated
 * string instruction of 4 G iterations is one instruction), and ends the process when the kick is not obeyed.
 *
 * CPU time, not wall-clock time: a busy host does not count.
 */
#ifndef TESTS_FUZZ_WATCHDOG_H
#define TESTS_FUZZ_WATCHDOG_H

#include <pthread.h>

#include "cpu/vcpu.h"

struct watchdog {
    pthread_t thread;
    pthread_mutex_t lock; /* of all below */
    struct vcpu *cpu;     /* the one in interp_run(), NULL outside */
    uint64_t slice;       /* counts the calls */
    bool kicked, stop;
    char where[200]; /* for the last words */
};

/* False: no thread to be had. */
bool watchdog_start(struct watchdog *watchdog);
void watchdog_stop(struct watchdog *watchdog);

/* Around a call of interp_run(). Leaving answers: was it kicked? */
void watchdog_enter(struct watchdog *watchdog, struct vcpu *cpu);
bool watchdog_leave(struct watchdog *watchdog);

#endif
