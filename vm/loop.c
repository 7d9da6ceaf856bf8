/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The event loop: ppoll over a short list of sources. See vm/loop.h.
 *
 * A VM has a handful of descriptors, so the array is rebuilt at every poll: simpler than epoll and as quick.
 */
#include "vm/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

int loop_init(struct loop *loop, struct error *error)
{
    memset(loop, 0, sizeof(*loop));
    loop->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (loop->wake_fd < 0) {
        return error_set(error, -errno, "cannot create an eventfd: %s", strerror(errno));
    }
    return 0;
}

void loop_fini(struct loop *loop)
{
    if (loop->wake_fd > 0) {
        close(loop->wake_fd);
    }
    free(loop->pollfds);
    memset(loop, 0, sizeof(*loop));
}

void loop_add(struct loop *loop, struct loop_source *source)
{
    source->next = loop->sources;
    loop->sources = source;
}

void loop_remove(struct loop *loop, struct loop_source *source)
{
    for (struct loop_source **link = &loop->sources; *link; link = &(*link)->next) {
        if (*link == source) {
            *link = source->next;
            return;
        }
    }
}

void loop_add_poller(struct loop *loop, struct loop_poller *poller)
{
    poller->next = loop->pollers;
    loop->pollers = poller;
}

void loop_remove_poller(struct loop *loop, struct loop_poller *poller)
{
    for (struct loop_poller **link = &loop->pollers; *link; link = &(*link)->next) {
        if (*link == poller) {
            *link = poller->next;
            return;
        }
    }
}

int loop_watch(struct loop *loop, int fd, short events)
{
    if (loop->count == loop->capacity) {
        size_t capacity = loop->capacity ? loop->capacity * 2 : 8;
        struct pollfd *grown = realloc(loop->pollfds, capacity * sizeof(*grown));

        if (!grown) {
            return -1;
        }
        loop->pollfds = grown;
        loop->capacity = capacity;
    }
    loop->pollfds[loop->count] = (struct pollfd){.fd = fd, .events = events};
    return (int)loop->count++;
}

short loop_watched(const struct loop *loop, int number)
{
    return number >= 0 && (size_t)number < loop->count ? loop->pollfds[number].revents : 0;
}

/* Fill in the pollfd array: the wakes, the sources, then what the pollers name. Returns how many the first two are. */
static size_t loop_collect(struct loop *loop, uint64_t *timeout_ns)
{
    size_t count;

    loop->count = 0;
    loop_watch(loop, loop->wake_fd, POLLIN);
    for (struct loop_source *source = loop->sources; source; source = source->next) {
        if (source->events && loop_watch(loop, source->fd, source->events) < 0) {
            break;
        }
    }
    count = loop->count;
    for (struct loop_poller *poller = loop->pollers; poller; poller = poller->next) {
        if (poller->prepare) {
            poller->prepare(poller->opaque, loop, timeout_ns);
        }
    }
    return count;
}

/* Spend the wakes of this poll, before anybody looks for what they were about. */
static void loop_drain_wake(struct loop *loop)
{
    uint64_t count;

    if (loop->count > 0 && loop->pollfds[0].fd == loop->wake_fd && loop->pollfds[0].revents) {
        ssize_t n = read(loop->wake_fd, &count, sizeof(count));

        (void)n; /* EAGAIN: there is nothing left to spend */
    }
}

/* The source that watches fd now; a callback may have removed the one that was polled. */
static struct loop_source *loop_find(struct loop *loop, int fd)
{
    for (struct loop_source *source = loop->sources; source; source = source->next) {
        if (source->fd == fd && source->events) {
            return source;
        }
    }
    return NULL;
}

/* Tell the pollers how the poll went. Returns 1 when one of them had shortened it. */
static unsigned loop_tell_pollers(struct loop *loop, bool failed, bool shortened)
{
    struct loop_poller *next;

    for (struct loop_poller *poller = loop->pollers; poller; poller = next) {
        next = poller->next;
        poller->polled(poller->opaque, loop, failed);
    }
    return shortened;
}

unsigned loop_poll(struct loop *loop, uint64_t timeout_ns)
{
    uint64_t wait_ns = timeout_ns;
    size_t count = loop_collect(loop, &wait_ns);
    struct timespec timeout = {.tv_sec = (time_t)(wait_ns / NS_PER_SEC),
                               .tv_nsec = (long)(wait_ns % NS_PER_SEC)};
    int ready = ppoll(loop->pollfds, loop->count, wait_ns == UINT64_MAX ? NULL : &timeout, NULL);
    unsigned run;

    if (ready > 0) {
        loop_drain_wake(loop);
    }
    run = loop_tell_pollers(loop, ready < 0, wait_ns < timeout_ns);
    if (ready <= 0) {
        return run;
    }
    for (size_t i = 0; i < count; i++) {
        struct pollfd polled = loop->pollfds[i];
        struct loop_source *source = polled.revents ? loop_find(loop, polled.fd) : NULL;

        if (source) {
            source->ready(source->opaque, polled.revents);
            run++;
        }
    }
    return MAX(run, 1u);
}

uint64_t loop_prepare(struct loop *loop, uint64_t timeout_ns)
{
    loop_collect(loop, &timeout_ns);
    return timeout_ns;
}

void loop_wake(struct loop *loop)
{
    uint64_t one = 1;
    ssize_t n = write(loop->wake_fd, &one, sizeof(one));

    (void)n; /* EAGAIN: a wake is pending already */
}
