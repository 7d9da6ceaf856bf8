/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The watchdog; see watchdog.h.
 */
#include "tests/fuzz/watchdog.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define TICK_NS     20000000ull
#define KICK_AFTER  100000000ull  /* CPU time; a slice lasts a few milliseconds */
#define ABORT_AFTER 5000000000ull /* one instruction or event takes microseconds */

static uint64_t cpu_time(void)
{
    struct timespec time;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

/* `spent`: CPU time of the slice so far. */
static void judge(struct watchdog *watchdog, uint64_t spent)
{
    if (spent >= KICK_AFTER && !watchdog->kicked) {
        watchdog->kicked = true;
        vcpu_kick(watchdog->cpu);
    }
    if (spent >= ABORT_AFTER) {
        printf("HANG: interp_run() does not heed vcpu_kick(); %s\n", watchdog->where);
        fflush(stdout);
        abort();
    }
}

static void *watch(void *opaque)
{
    struct watchdog *watchdog = opaque;
    uint64_t slice = 0, since = 0;

    for (;;) {
        struct timespec pause = {.tv_nsec = TICK_NS};
        nanosleep(&pause, NULL);
        pthread_mutex_lock(&watchdog->lock);
        bool stop = watchdog->stop;
        uint64_t time = cpu_time();
        if (!watchdog->cpu || watchdog->slice != slice) {
            slice = watchdog->slice;
            since = time;
        } else {
            judge(watchdog, time - since);
        }
        pthread_mutex_unlock(&watchdog->lock);
        if (stop) {
            return NULL;
        }
    }
}

bool watchdog_start(struct watchdog *watchdog)
{
    *watchdog = (struct watchdog){.lock = PTHREAD_MUTEX_INITIALIZER};
    return pthread_create(&watchdog->thread, NULL, watch, watchdog) == 0;
}

void watchdog_stop(struct watchdog *watchdog)
{
    pthread_mutex_lock(&watchdog->lock);
    watchdog->stop = true;
    pthread_mutex_unlock(&watchdog->lock);
    pthread_join(watchdog->thread, NULL);
}

void watchdog_enter(struct watchdog *watchdog, struct vcpu *cpu)
{
    pthread_mutex_lock(&watchdog->lock);
    watchdog->kicked = false;
    watchdog->slice++;
    watchdog->cpu = cpu;
    pthread_mutex_unlock(&watchdog->lock);
}

bool watchdog_leave(struct watchdog *watchdog)
{
    pthread_mutex_lock(&watchdog->lock);
    bool kicked = watchdog->kicked;
    watchdog->cpu = NULL;
    pthread_mutex_unlock(&watchdog->lock);
    return kicked;
}
