/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Several VMs in one process, on P pCPUs: host threads that run whichever VM the scheduler (vm/sched.h) says.
 *
 *                         picked                    it ended
 *   created ----> queued ---------> on a pCPU ---------------> stopped --+
 *                 ^ ^ |  <---------   |   |                      :       | hypervisor_remove
 *                 | | |  slice over   |   | nothing to do        : bug   |
 *                 | | |               |   v                      : of    v
 *                 | +-|---------------|-- watched                : ours gone
 *       released  |   |  an event     |   |                      :       ^
 *                 |   +-------+-------+---+                      :       |
 *                 |           v hypervisor_hold                  :       |
 *                 +--------- held .......................................+
 *
 *   queued      wants the processor                      watched   sleeps or is paused: its descriptors and its next timer
 *   on a pCPU   this thread owns all of the VM                     are watched, by a pCPU that has nothing to do or else
 *   held        whoever called hypervisor_hold() does              by a thread for that
 *   stopped     its outcome is known; it never runs again
 *
 * hypervisor_may_change() is the drawing as a table, and nothing gets past it. Whether the guest runs, is paused or has stopped
 * is another question (enum vm_state): a paused one comes through here like one that sleeps.
 *
 * A VM is touched by one thread at a time. Front ends (the monitor, signals) take it with hypervisor_hold(), which ends its
 * slice and keeps it off the pCPUs, and give it back with hypervisor_release(). The hypervisor's own lock is held for
 * bookkeeping only, never while a guest runs, so no VM waits for another one's work.
 *
 * A bug of ours on a pCPU's thread, in the middle of a VM's slice, stops that VM alone (vm/containment.h). What is left of
 * it stays in memory, untouched, until the process ends.
 *
 * The thread that creates the hypervisor is not a pCPU. It runs hypervisor_run(): an event loop of its own for what
 * belongs to no VM, until the last VM has stopped.
 */
#ifndef VM_HYPERVISOR_H
#define VM_HYPERVISOR_H

#include "vm/loop.h"
#include "vm/sched.h"
#include "vm/vm.h"

enum { HYPERVISOR_PCPUS_MAX = 64, HYPERVISOR_VMS_MAX = SCHED_ENTITIES_MAX, HYPERVISOR_NAME_SIZE = 64 };

#define HYPERVISOR_SLICE_NS     10000000u
#define HYPERVISOR_SLICE_MIN_NS 100000u

struct hypervisor;
struct trace;

enum hypervisor_state {
    HYPERVISOR_CREATED,
    HYPERVISOR_QUEUED,
    HYPERVISOR_ON_PCPU,
    HYPERVISOR_WATCHED,
    HYPERVISOR_HELD,
    HYPERVISOR_STOPPED,
    HYPERVISOR_GONE,
};

/* What the hypervisor knows of a VM, at one moment. */
struct hypervisor_account {
    char name[HYPERVISOR_NAME_SIZE];
    enum hypervisor_state state;
    enum vm_state life;         /* as of its last slice or hold */
    struct sched_entity entity; /* weight, cap, times */
    uint64_t insns;             /* as of its last slice */
};

/* Threads start with hypervisor_run(). NULL with the text. */
struct hypervisor *hypervisor_create(unsigned pcpus, struct error *error);
/* Destroys the VMs that are left. Not while hypervisor_run() runs. */
void hypervisor_destroy(struct hypervisor *hv);

/*
 * Hand over a VM that vm_create() made; the hypervisor destroys it. `name` is copied and must be unique. -EEXIST, -EINVAL,
 * -ENOSPC with the text; the VM remains the caller's then. It runs from hypervisor_run() on, or at once if that runs.
 */
int hypervisor_add(struct hypervisor *hv, struct vm *vm, const char *name, uint32_t weight, uint32_t cap,
                   struct error *error);
/* Destroy it, running or not. -ENOENT; -EBUSY for the thread that runs it. */
int hypervisor_remove(struct hypervisor *hv, const char *name, struct error *error);

/*
 * Take a VM: it does not run until it is released, and the caller may use all of it. NULL with the text when there is none
 * of that name, or when this would wait for ever (two VMs' monitors that want each other's VM). For the thread that
 * runs the VM it is a formality. A thread that is no pCPU has one VM at a time.
 */
struct vm *hypervisor_hold(struct hypervisor *hv, const char *name, struct error *error);
void hypervisor_release(struct hypervisor *hv, struct vm *vm);

/* Weight, cap: see vm/sched.h. In force at once. -ENOENT with the text. */
int hypervisor_set_weight(struct hypervisor *hv, const char *name, uint32_t weight, struct error *error);
int hypervisor_set_cap(struct hypervisor *hv, const char *name, uint32_t cap, struct error *error);
void hypervisor_set_slice(struct hypervisor *hv, uint64_t slice_ns);
uint64_t hypervisor_slice(struct hypervisor *hv);
unsigned hypervisor_pcpus(const struct hypervisor *hv);

/* The first `max` VMs in the order of creation; returns how many there are. */
unsigned hypervisor_accounts(struct hypervisor *hv, struct hypervisor_account *account, unsigned max);
bool hypervisor_has(struct hypervisor *hv, const char *name);
/* "queued", "asleep", ... */
const char *hypervisor_state_name(enum hypervisor_state state);
bool hypervisor_may_change(enum hypervisor_state from, enum hypervisor_state to);

/* Record who runs when, from now on and from the beginning; or stop that, keeping what there is. -ENOMEM with the text. */
int hypervisor_trace(struct hypervisor *hv, bool on, struct error *error);
/* What was recorded, for the caller to destroy. NULL with the text: nothing, or no memory. */
struct trace *hypervisor_trace_copy(struct hypervisor *hv, struct error *error);

/* The event loop of the thread that runs hypervisor_run(). */
struct loop *hypervisor_loop(struct hypervisor *hv);
/* The segments that the VMs share: vm_config.fabric of each. */
struct net_fabric *hypervisor_fabric(struct hypervisor *hv);

/*
 * Whom hypervisor_run() tells of each VM that has stopped, once, on its own thread, with the VM held. One that a bug of
 * ours has stopped (vm->broken) cannot be held; only its outcome, reason and report may be read, now and later.
 */
void hypervisor_on_stop(struct hypervisor *hv, void (*stopped)(void *opaque, struct vm *vm), void *opaque);

/* Processor time after which a slice that does not end is taken for a bug; before hypervisor_run(). */
void hypervisor_set_patience(struct hypervisor *hv, uint64_t patience_ns);

/* Run the VMs until all have stopped. -errno with the text when threads cannot be had. */
int hypervisor_run(struct hypervisor *hv, struct error *error);
/* Ask every VM to end; hypervisor_run() returns when they have. From the thread that runs it. */
void hypervisor_quit(struct hypervisor *hv);

#endif
