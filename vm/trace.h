/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Who ran on which pCPU, from when to when, and why it ended; and when who woke. A ring: the last TRACE_EVENTS of it.
 *
 *   trace_slice(), trace_wake() ----> ring ----> trace_save(): FILE.json   Chrome's trace event format, for
 *   (with the hypervisor's lock)                                           chrome://tracing and ui.perfetto.dev
 *                                                              FILE.svg    a picture: a row a VM, a colour a pCPU
 *
 * NOT recorded: slices under way, and what happens inside one (devices, timers of the guest).
 */
#ifndef VM_TRACE_H
#define VM_TRACE_H

#include <stdio.h>

#include "base/error.h"
#include "base/types.h"

enum {
    TRACE_EVENTS = 65536,
    TRACE_NAMES = 1024, /* the VMs whose names are known: so many were created last */
    TRACE_NAME_SIZE = 64,
};

/* Why a slice ended. */
enum trace_why {
    TRACE_OVER,      /* it was */
    TRACE_SLEPT,     /* nothing to do */
    TRACE_PAUSED,    /* by the user or the debugger */
    TRACE_PREEMPTED, /* for one that woke */
    TRACE_HELD,      /* somebody wanted the VM */
    TRACE_THROTTLED, /* its cap */
    TRACE_STOPPED,   /* for good */
    TRACE_WOKEN,     /* not the end of a slice: the VM was queued */
    TRACE_WHYS,
};

struct trace_event {
    uint64_t begin_ns, end_ns; /* host's monotonic clock; equal for TRACE_WOKEN */
    uint64_t used_ns;          /* processor time that was charged for the slice */
    uint32_t vm;               /* number of the VM, by the order of creation */
    uint16_t pcpu;
    uint8_t why; /* enum trace_why */
};

struct trace;

/* NULL: out of memory. */
struct trace *trace_create(void);
/* A copy in which nothing more happens, for those who do not want to keep others from recording while they look. */
struct trace *trace_copy(const struct trace *trace);
void trace_destroy(struct trace *trace);

/* The name of a VM, cut to TRACE_NAME_SIZE - 1 bytes. */
void trace_name(struct trace *trace, uint32_t vm, const char *name);
void trace_slice(struct trace *trace, const struct trace_event *event);
void trace_wake(struct trace *trace, uint32_t vm, uint64_t now);

/* What there is, the oldest first. */
size_t trace_count(const struct trace *trace);
const struct trace_event *trace_at(const struct trace *trace, size_t index);
const char *trace_why_name(enum trace_why why);

/* Events that end in the last `last_ns` of the trace; 0: all. */
void trace_write_json(const struct trace *trace, uint64_t last_ns, FILE *out);
void trace_write_svg(const struct trace *trace, uint64_t last_ns, FILE *out);
/* By the path's end: .json or .svg. -EINVAL, -errno with the text. */
int trace_save(const struct trace *trace, const char *path, uint64_t last_ns, struct error *error);

#endif
