/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A bug of ours stops one VM, not all of them.
 *
 * A thread that runs VMs does so inside containment_run(). A host fault in there (SIGSEGV, SIGBUS, SIGILL, SIGFPE, abort()
 * and with it assert()), or a slice that does not end, comes back as `false` and a report:
 *
 *   containment_run(work) ---- sigsetjmp ---- work() ...... fault ---> signal handler, on the signal stack:
 *        ^                                                             signal, address, who called whom
 *        +------------------------ siglongjmp -------------------------------+
 *
 * What the VM was doing is left undone in the middle. So nothing of it may be used any more, nor freed: its structures may
 * be half changed and its locks held. What all VMs share must be whole, though, and whether it is depends on where the
 * fault was: containment_spreads() knows what cannot be left alone (docs/security.md, "What a bug of ours may do").
 *
 * A slice that does not end is found by a timer that runs on the thread's own processor time, so a host that is busy with
 * other things, or a thread that sleeps, is no reason.
 *
 * sigaction(2), sigaltstack(2), timer_create(2); glibc: backtrace(3), _dl_find_object(3).
 */
#ifndef VM_CONTAINMENT_H
#define VM_CONTAINMENT_H

#include <setjmp.h>
#include <signal.h>
#include <time.h>

#include "base/error.h"
#include "base/types.h"

enum { CONTAINMENT_FRAMES = 24, CONTAINMENT_TICKS = 10 };

/* Processor time of the thread that one containment_run() may take. */
#define CONTAINMENT_PATIENCE_NS 10000000000ull

struct containment_report {
    const char *name; /* whose VM; the caller's */
    void *owner;      /* the caller's, too: whom to tell */
    bool wedged;      /* it did not end; else: the signal */
    int signal_number;
    bool addressed; /* ... and the address that it is about */
    uint64_t address;
    uint64_t patience_ns;            /* wedged: the bound */
    void *frame[CONTAINMENT_FRAMES]; /* where it was, and its callers */
    unsigned frames;
    unsigned shared;   /* containment_share() in force */
    uint16_t guest_cs; /* where the guest was, as far as the caller knows */
    uint64_t guest_rip;
    bool guest_known;
};

/* Of a thread. */
struct containment {
    sigjmp_buf escape;
    volatile sig_atomic_t inside;   /* work() runs */
    volatile sig_atomic_t handling; /* a fault is being handled: another one is not looked into */
    volatile sig_atomic_t ticks;    /* of the timer since containment_run() began */
    volatile sig_atomic_t unwatched;
    volatile sig_atomic_t shared;
    uint64_t patience_ns;
    timer_t timer;
    bool timed;
    uint8_t *stack; /* for signals */
    stack_t stack_before;
    sigset_t mask;
    struct containment_report report;
};

/* For the calling thread; the process's signal handlers with it. -errno with the text. */
int containment_open(struct containment *containment, uint64_t patience_ns, struct error *error);
void containment_close(struct containment *containment);

/* False: work() did not end well, and containment->report says how. Not nested. */
bool containment_run(struct containment *containment, void (*work)(void *opaque), void *opaque);

/*
 * Something happened on a thread that works for the VM that runs here, such as a disk's worker: end in it, as if it had
 * happened here. Comes back when nothing is to be contained on this thread.
 */
void containment_adopt(const struct containment_report *report);

/*
 * On the thread that is inside, around what touches data of several VMs with a lock: a fault in between cannot be
 * contained. Nests. Without effect elsewhere.
 */
void containment_share(void);
void containment_unshare(void);

/* False: what comes now may take its time, such as a command that somebody has typed. */
void containment_watch(bool on);

/* NULL, or why what the report is about may have spoilt other VMs, too. */
const char *containment_spreads(const struct containment_report *report);

/* One line without the VM's name: what happened, where, and where the guest was. */
void containment_describe(const struct containment_report *report, char *text, size_t size);
/* One line a frame: function and place in the program, for addr2line(1). */
void containment_describe_frame(const struct containment_report *report, unsigned frame, char *text,
                                size_t size);

/* Say what happened, and why that concerns everybody; exit code 2. */
_Noreturn void containment_give_up(const struct containment_report *report, const char *why);

#endif
