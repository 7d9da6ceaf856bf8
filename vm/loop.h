/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The event loop of a VM's thread: file descriptors with callbacks, polled between slices of guest execution
 * and slept on when the guest is halted.
 *
 * Callbacks run on the VM's thread, so whatever a VM owns needs no lock. Another thread or a signal handler may
 * only call loop_wake().
 */
#ifndef VM_LOOP_H
#define VM_LOOP_H

#include <poll.h>

#include "base/error.h"
#include "base/types.h"

struct loop;

struct loop_source {
    int fd;
    short events; /* POLLIN, POLLOUT, or 0 to stay silent */
    void (*ready)(void *opaque, short revents);
    void *opaque;
    struct loop_source *next; /* owned by the loop while added */
};

/*
 * Somebody with descriptors of his own that change from poll to poll, such as a library's. Before a poll he names them
 * with loop_watch() and may shorten the time it sleeps; afterwards he asks for each with loop_watched(). Or somebody whom
 * another thread has left work: the wakes before polled() are spent, one that comes later ends the next poll.
 */
struct loop_poller {
    void (*prepare)(void *opaque, struct loop *loop, uint64_t *timeout_ns); /* NULL: nothing to say */
    void (*polled)(void *opaque, struct loop *loop, bool failed);
    void *opaque;
    struct loop_poller *next; /* owned by the loop while added */
};

struct loop {
    struct loop_source *sources;
    struct loop_poller *pollers;
    struct pollfd *pollfds; /* scratch, owned */
    size_t capacity, count; /* of pollfds */
    int wake_fd;            /* eventfd */
};

int loop_init(struct loop *loop, struct error *error);
void loop_fini(struct loop *loop);

/* The caller owns the source and keeps it valid until it is removed; a callback may add and remove sources. */
void loop_add(struct loop *loop, struct loop_source *source);
void loop_remove(struct loop *loop, struct loop_source *source);

/* The same for pollers. loop_watch() returns the number to ask loop_watched() with, -1 when memory ran out. */
void loop_add_poller(struct loop *loop, struct loop_poller *poller);
void loop_remove_poller(struct loop *loop, struct loop_poller *poller);
int loop_watch(struct loop *loop, int fd, short events);
short loop_watched(const struct loop *loop, int number);

/* Wait at most `timeout_ns` (0: only look; UINT64_MAX: for ever) and run the callbacks of what is ready. Returns how many
 * were run; a poller that was there to be called early counts. */
unsigned loop_poll(struct loop *loop, uint64_t timeout_ns);

/* For somebody who sleeps on several loops at once: what this one would poll stands in loop->pollfds[0..count), until the
 * loop is used again; returns how long it would sleep of `timeout_ns`. When any of it is ready, or the time is over,
 * loop_poll() is due. */
uint64_t loop_prepare(struct loop *loop, uint64_t timeout_ns);

/* Make a loop_poll() that sleeps, or the next one, return. Safe from any thread and from signal handlers. */
void loop_wake(struct loop *loop);

#endif
