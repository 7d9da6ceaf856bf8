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

struct loop_source {
    int fd;
    short events; /* POLLIN, POLLOUT, or 0 to stay silent */
    void (*ready)(void *opaque, short revents);
    void *opaque;
    struct loop_source *next; /* owned by the loop while added */
};

struct loop {
    struct loop_source *sources;
    struct pollfd *pollfds; /* scratch, owned */
    size_t capacity;
    int wake_fd; /* eventfd */
    struct loop_source wake_source;
};

int loop_init(struct loop *loop, struct error *error);
void loop_fini(struct loop *loop);

/* The caller owns the source and keeps it valid until it is removed; a callback may add and remove sources. */
void loop_add(struct loop *loop, struct loop_source *source);
void loop_remove(struct loop *loop, struct loop_source *source);

/* Wait at most `timeout_ns` (0: only look; UINT64_MAX: for ever) and run the callbacks of what is ready. Returns how many
 * were run. */
unsigned loop_poll(struct loop *loop, uint64_t timeout_ns);

/* Make a loop_poll() that sleeps, or the next one, return. Safe from any thread and from signal handlers. */
void loop_wake(struct loop *loop);

#endif
