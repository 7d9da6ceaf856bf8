/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The event loop: wakes from another thread.
 */
#include <criterion/criterion.h>
#include <pthread.h>

#include "base/clock.h"
#include "vm/loop.h"

/* Somebody whom another thread leaves work. */
struct worker {
    struct loop loop;
    struct loop_poller poller;
    pthread_t thread;
    unsigned left, done; /* work; left is atomic */
    bool wake_again;
};

static void worker_polled(void *opaque, struct loop *loop, bool failed)
{
    struct worker *worker = opaque;

    cr_assert_not(failed);
    worker->done += __atomic_exchange_n(&worker->left, 0, __ATOMIC_SEQ_CST);
    if (worker->wake_again) {
        worker->wake_again = false;
        loop_wake(loop);
    }
}

static struct worker *worker_create(void)
{
    struct worker *worker = calloc(1, sizeof(*worker));

    cr_assert_eq(loop_init(&worker->loop, NULL), 0);
    worker->poller = (struct loop_poller){.polled = worker_polled, .opaque = worker};
    loop_add_poller(&worker->loop, &worker->poller);
    return worker;
}

static void worker_destroy(struct worker *worker)
{
    loop_remove_poller(&worker->loop, &worker->poller);
    loop_fini(&worker->loop);
    free(worker);
}

enum { PIECES = 20000 };

static void *leave_work(void *opaque)
{
    struct worker *worker = opaque;

    for (unsigned i = 0; i < PIECES; i++) {
        __atomic_add_fetch(&worker->left, 1, __ATOMIC_SEQ_CST);
        loop_wake(&worker->loop);
    }
    return NULL;
}

Test(loop, no_wake_is_lost_however_it_falls)
{
    struct worker *worker = worker_create();

    pthread_create(&worker->thread, NULL, leave_work, worker);
    while (worker->done < PIECES) {
        cr_assert_gt(loop_poll(&worker->loop, 10 * NS_PER_SEC), 0, "slept over work that was left");
    }
    pthread_join(worker->thread, NULL);
    worker_destroy(worker);
}

Test(loop, a_wake_from_inside_a_poll_ends_the_next_one)
{
    struct worker *worker = worker_create();

    worker->wake_again = true;
    loop_wake(&worker->loop);
    cr_assert_eq(loop_poll(&worker->loop, 10 * NS_PER_SEC), 1);
    cr_assert_eq(loop_poll(&worker->loop, 0), 1);
    cr_assert_eq(loop_poll(&worker->loop, 0), 0, "one wake ended two polls");
    worker_destroy(worker);
}
