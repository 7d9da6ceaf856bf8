/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * One guest's life: the machine, its processor and engine, its clock, its log, its event loop.
 *
 *               vm_resume                 power-off, quit, limit, triple fault, a bug of ours
 *   create -> PAUSED ------> RUNNING --------------+
 *               |  <------      |                  v
 *               |  vm_pause     +-- reset       STOPPED (its outcome is known) -> destroy
 *               +----------------------------------^
 *
 * vm_change_state() is the only way from one to another, and refuses what is not drawn.
 *
 * Everything a VM owns is touched by one thread at a time: the one that calls vm_step(), or one that holds the VM back
 * meanwhile (vm/hypervisor.h). Requests (reset, quit, power button) may come from devices in the middle of an
 * instruction: they are noted, the processor is kicked, and they are carried out between instructions.
 */
#ifndef VM_VM_H
#define VM_VM_H

#include "base/log.h"
#include "cpu/vcpu.h"
#include "devices/pc.h"
#include "mmu/ram.h"
#include "vm/block_drives.h"
#include "vm/chardev.h"
#include "vm/config.h"
#include "vm/loop.h"
#include "vm/net.h"
#include "vm/pacer.h"

struct binxlate;
struct check;
struct containment_report;
struct debugger;
struct snapshots;
struct symbols;
struct verdict;

enum vm_state { VM_RUNNING, VM_PAUSED, VM_STOPPED };

/* How a run ended; vm_exit_code() gives the process's exit code. */
enum vm_outcome {
    VM_OUTCOME_NONE,
    VM_OUTCOME_SHUTDOWN,     /* 0: the guest powered off */
    VM_OUTCOME_REBOOT,       /* 0: the guest rebooted under -no-reboot */
    VM_OUTCOME_QUIT,         /* 0: the user ended it */
    VM_OUTCOME_DEBUG_EXIT,   /* (value << 1) | 1: isa-debug-exit */
    VM_OUTCOME_INTERNAL,     /* 2: a bug of ours */
    VM_OUTCOME_TRIPLE_FAULT, /* 4 */
    VM_OUTCOME_LIMIT,        /* 8: -limit */
    VM_OUTCOME_PANIC,        /* 6: the guest's kernel says so (vm/verdict.h) */
    VM_OUTCOME_HUNG,         /* 12: the guest can never go on */
};

struct vm {
    struct vm_config config;
    enum vm_state state;
    enum vm_outcome outcome;
    char reason[256]; /* one line for people: why it ended */
    /* Not NULL: a bug of ours stopped it in the middle of what it did, and nothing but this, state, outcome and reason may be
     * read any more (vm/containment.h). */
    const struct containment_report *broken;
    uint8_t debug_exit_code; /* low byte of (value << 1) | 1 */

    struct log log;
    struct clock clock;
    struct loop loop;
    struct ram ram;
    struct pc *pc;
    struct vcpu *cpu;
    struct binxlate *binxlate; /* NULL: the interpreter runs the guest */
    struct check *check;       /* NULL: nobody judges the translator */
    struct pacer pacer;        /* real time: ends slices when timers are due */

    struct drives drives;

    struct snapshots *snapshots; /* vm/snapshot.c's; NULL until there are any */
    struct debugger *debugger;   /* vm/debugger.c's; NULL until somebody debugs */
    struct verdict *verdict;     /* vm/verdict.c's */
    struct symbols *symbols;     /* the guest's, by ldsym; NULL: none */
    uint64_t firmware_hash;      /* XXH3 of the ROM images, for a snapshot's fingerprint */
    uint64_t loads;              /* snapshots loaded: what was found out about the guest before one is void */

    struct chardev *serial[CONFIG_MAX_SERIAL];       /* what the UARTs write to */
    struct chardev *serial_owned[CONFIG_MAX_SERIAL]; /* back ends to destroy (a mux port is the mux's) */
    struct chardev *monitor_chardev, *monitor_owned;
    struct chardev *debugcon, *firmware_log;
    struct chardev_mux *mux;
    struct vm_net *net; /* NULL: no network */

    void *held_keys; /* what the monitor's sendkey holds down; freed with the VM, NULL: nothing */

    /* requests, noted by devices and front ends, carried out between slices */
    bool reset_requested, quit_requested, power_off_requested;
    uint64_t host_start_ns, host_polled_ns;
    uint64_t poll_interval_ns;       /* until the next look at descriptors, while the guest is busy */
    uint64_t idle_since_ns, idle_ns; /* the sleep under way, by the host's clock; idle_ns 0: none */
    uint64_t busy_ns;                /* host time spent running the processor */

    /* vm_destroy() begins with this, so that what layers above have attached goes first; NULL: nothing */
    void (*closing)(void *opaque);
    void *closing_opaque;
};

/* Everything from configuration to a machine at its reset vector. NULL with the text; nothing is left behind. */
struct vm *vm_create(const struct vm_config *config, struct error *error);
void vm_destroy(struct vm *vm);

enum vm_next {
    VM_NEXT_RUN,     /* step again */
    VM_NEXT_WAIT,    /* there is nothing to do until the time is over or its event loop has something */
    VM_NEXT_STOPPED, /* never again */
};

/*
 * Serve the event loop, timers and requests, and run the guest: a few milliseconds at most, and until host time `until_ns`
 * (CLOCK_MONOTONIC) at the latest, as far as a pacer's alarm reaches. *wait_ns: for VM_NEXT_WAIT, how long; UINT64_MAX:
 * for ever. The pacer must be attached to the calling thread.
 */
enum vm_next vm_step(struct vm *vm, uint64_t until_ns, uint64_t *wait_ns);
/* The next step begins with the event loop: something waits there. */
void vm_look_outside(struct vm *vm);

bool vm_may_change(enum vm_state from, enum vm_state to);
/* -ESHUTDOWN (it has stopped), -EALREADY with the text: refused, and nothing has happened. */
int vm_change_state(struct vm *vm, enum vm_state to, struct error *error);
/* -ESHUTDOWN with the text. */
int vm_check_not_stopped(const struct vm *vm, struct error *error);
/* The same for those who do not mind a refusal. */
void vm_pause(struct vm *vm);
void vm_resume(struct vm *vm);
/* Noted now, done between instructions. */
void vm_request_reset(struct vm *vm);
void vm_request_quit(struct vm *vm);
/* Press the ACPI power button. */
void vm_power_button(struct vm *vm);

/* The engine's speed, and what it has counted. */
void vm_print_engine(const struct vm *vm, FILE *out);

int vm_exit_code(const struct vm *vm);
/* "shutdown", "triple-fault", ... */
const char *vm_outcome_name(enum vm_outcome outcome);
const char *vm_state_name(enum vm_state state);

/* Hash of all guest RAM and ROM; equal contents give equal hashes whatever has been touched. */
uint64_t vm_memory_hash(const struct vm *vm);

/* Write the -result line. Of a broken one there is less to say. */
int vm_write_result(const struct vm *vm, const char *path, struct error *error);

/* Explain a triple fault: the chain of vectors, the IDT entry, the page walk of CR2, the instruction. */
void vm_explain_shutdown(FILE *out, struct vm *vm);

#endif
