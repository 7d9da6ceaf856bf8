/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The dynamic binary translator: an engine beside the interpreter with the same contract (cpu/interp.h).
 *
 * docs/binxlate.md explains it. One instance belongs to one vcpu and one thread at a time.
 */
#ifndef BINXLATE_BINXLATE_H
#define BINXLATE_BINXLATE_H

#include <signal.h>
#include <stdio.h>

#include "base/error.h"
#include "cpu/vcpu.h"

struct binxlate;

/* Host windows, the fast way to memory that stays: docs/shadow-paging.md. */
enum binxlate_windows {
    BINXLATE_WINDOWS_ON,  /* for views that run long; off where the host lacks FSGSBASE */
    BINXLATE_WINDOWS_OFF, /* never */
    BINXLATE_WINDOWS_NOW, /* at once, for everybody: for tests */
};

/* Everything counted is counted where it costs nothing: on slow paths. */
struct binxlate_stats {
    uint64_t blocks_made, blocks_invalidated, chains, buffer_resets;
    uint64_t host_faults, shadow_fills, misaligned_sites, slow_sites;
    uint64_t interpreted;  /* instructions left to the interpreter, call-outs not counted */
    uint64_t callouts;     /* instructions of blocks that the interpreter's functions executed */
    uint64_t exits_lookup; /* dispatcher look-ups: a block's end that was not chained */
    uint64_t exits_verify; /* verified entries whose mapping had changed */
    uint64_t exits_budget;
    uint64_t exits_gone;  /* of exits_lookup: ways into a block that was dropped */
    uint64_t exits_chain; /* direct jumps taken for the first time, or not chained */
    /* Of host_faults: */
    uint64_t faults_refused;    /* the guest's tables refused the access: a page fault of the guest */
    uint64_t faults_indirect;   /* no direct way to the memory: a device, ROM, a watched frame */
    uint64_t faults_misaligned; /* host alignment check */
    uint64_t faults_divide;
    uint64_t faults_window; /* a window did not show a page whose shadow entry can be used */
    uint64_t windows_opened, windows_closed;
    uint64_t window_maps;   /* runs of pages shown */
    uint64_t window_faults; /* accesses that found their page not shown */
    uint64_t flat_sites;    /* sites that turned to the flat table */
};

/* What a host has: host.c says what each is for. */
struct binxlate_host {
    bool bmi2, alignment_check, fsgsbase;
};
void binxlate_probe_host(struct binxlate_host *host);
/* Will such a host do? -ENOTSUP with one line of text that says what is missing. (Without FSGSBASE it does.) */
int binxlate_check_host(const struct binxlate_host *host, struct error *error);
/* Does this one? */
int binxlate_supported(struct error *error);

/* Attach to a processor: takes the shadow tables, the code buffer and the write watch on code. */
struct binxlate *binxlate_create(struct vcpu *cpu, struct error *error);
void binxlate_destroy(struct binxlate *binxlate);

/* As interp_run(): up to `budget` instructions; state is precise and insn_count exact on return. */
enum vcpu_exit binxlate_run(struct binxlate *binxlate, uint64_t budget);

/* The calling thread has run the engine and will not do so again before another thread may. An engine is destroyed by
 * the last thread that ran it, or after that one has left it. */
void binxlate_leave_thread(struct binxlate *binxlate);

/*
 * For a signal handler of the thread that runs the engine, after vcpu_kick(): translated code looks at nothing but its
 * budget, so a kick alone stops it at the budget's end only. `context` is what the kernel saved (sigaction(2)); code that
 * it says was interrupted stops before its next block.
 */
void binxlate_stop(struct binxlate *binxlate, void *context);

/*
 * Host faults (SIGSEGV, SIGBUS, SIGFPE) of this thread that do not come from translated code go to `handler`, in the signal
 * handler and on the signal stack; the default action follows if it returns. NULL, to begin with: the default action.
 * It may leave by siglongjmp(3), and binxlate_abandon_thread() comes next then: the engine is left in the middle of what it
 * did, and must not be used again, by any thread.
 */
void binxlate_on_host_fault(void (*handler)(int signal_number, siginfo_t *info, void *context));
void binxlate_abandon_thread(void);
/* Install the process's handlers for these signals, as the first engine's creation does. Returns how many signals those are: 3 in the
 * order above, or 0 in a build without the translator. -errno with the text. */
int binxlate_handle_faults(struct error *error);

/* Before the first run. BINXLATE_WINDOWS_ON to begin with. */
void binxlate_set_windows(struct binxlate *binxlate, enum binxlate_windows windows);
/* Can this host and its kernel have them: is FSGSBASE enabled? */
bool binxlate_windows_supported(void);

/* cpu->points have changed (cpu/points.h), not in the middle of a run: code in which they lie is forgotten. `all`: the magic breakpoint was
 * switched on or off, which may lie anywhere. */
void binxlate_points_changed(struct binxlate *binxlate, bool all);

/* Forget all translated code. */
void binxlate_reset(struct binxlate *binxlate);

const struct binxlate_stats *binxlate_stats(const struct binxlate *binxlate);
/* All of them, for people. */
void binxlate_print(const struct binxlate *binxlate, FILE *out);

#endif
