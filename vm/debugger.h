/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The debugger of a VM: what the monitor's commands and the gdb stub have in common.
 *
 * Points say where the guest is to stop. They live in the engines and never change guest memory, so one may be set before
 * anything is loaded, and the guest cannot see it. Points cost nothing where they are not: the translator gives way at the
 * very instruction of a breakpoint, and a watched page loses its quick way to memory.
 *
 *     VM_RUNNING --- a point, vm_pause(), a step's end ---> VM_PAUSED, with a struct debug_stop that says why
 *
 * Execute points stop before their instruction, as exceptions do before they are delivered; watchpoints, ports and mode
 * switches after the instruction. Who continues from an execute point passes it.
 *
 * All functions are for the thread that has the VM (its own between instructions, or one that holds it), and take
 * addresses of 64 bits, of which 32-bit guests use the lower half.
 */
#ifndef VM_DEBUGGER_H
#define VM_DEBUGGER_H

#include "base/error.h"
#include "base/types.h"

struct vm;

enum debug_kind {
    DEBUG_EXECUTE,
    DEBUG_READ, /* of [address, address + length) */
    DEBUG_WRITE,
    DEBUG_ACCESS,
    DEBUG_PORT_READ, /* of ports [address, address + length) */
    DEBUG_PORT_WRITE,
    DEBUG_PORT_ACCESS,
    DEBUG_EXCEPTION, /* vector `address`, or DEBUG_ANY */
    DEBUG_INTERRUPT, /* an external interrupt or NMI: vector `address`, or DEBUG_ANY */
    DEBUG_MODE,      /* CR0.PE, CR0.PG, RFLAGS.VM, CR4.PAE or CS.D has changed */
    DEBUG_SHUTDOWN,  /* a triple fault pauses the VM, where it would end it */
    DEBUG_TIME,      /* `address` instructions have retired */
    DEBUG_MAGIC,     /* XCHG BX, BX: Bochs' magic breakpoint */
    DEBUG_KINDS
};

#define DEBUG_ANY UINT64_MAX

struct debug_point {
    enum debug_kind kind;
    bool physical;  /* memory kinds and DEBUG_EXECUTE: the address is guest-physical, else linear */
    bool temporary; /* removed when it stops the guest */
    uint64_t address, length;
    uint64_t ignore;   /* hits that do not count, still */
    const char *text;  /* how its owner names it; copied */
    const void *owner; /* for debugger_remove_all() */
    /* NULL, or: is the guest to stop? Between instructions; it looks at the VM and changes nothing. */
    bool (*condition)(void *opaque, struct vm *vm);
    void (*release)(void *opaque); /* the point is gone; NULL: nothing to do */
    void *opaque;
};

/* A point as it stands. */
struct debug_point_state {
    struct debug_point point;
    unsigned id; /* from 1 on, never used again */
    bool enabled;
    uint64_t hits; /* conditions met */
};

enum debug_reason {
    DEBUG_STOP_NONE,
    DEBUG_STOP_REQUEST, /* somebody paused it */
    DEBUG_STOP_POINT,
    DEBUG_STOP_STEP,
    DEBUG_STOP_ENDED, /* the VM has stopped for good: its outcome says why */
};

/* Why the guest does not run. */
struct debug_stop {
    enum debug_reason reason;
    unsigned point;       /* DEBUG_STOP_POINT: its id */
    enum debug_kind kind; /* and what it was */
    const void *owner;    /* and whose */
    uint64_t address;     /* of the access, linear or port; of the instruction */
    gpa_t physical;       /* the same; UINT64_MAX: it has none */
    unsigned size;        /* of the access, bytes */
    bool write;
    bool dma;               /* it was a device's; the instruction is the one that was next */
    uint64_t before, value; /* the watched memory's first bytes, at most 8, before and now; a port's value */
    uint8_t vector;         /* exceptions and interrupts */
    bool has_error;
    uint32_t error_code;
    uint64_t cs_base, rip; /* of the instruction that stopped it: the next one for DEBUG_EXECUTE */
    uint64_t insn_count;
    char text[160]; /* one line for people */
};

/* 0 and *id, or -errno with the text: -ENOSPC, -EINVAL, -ENOMEM. */
int debugger_add(struct vm *vm, const struct debug_point *point, unsigned *id, struct error *error);
int debugger_remove(struct vm *vm, unsigned id, struct error *error);
void debugger_remove_all(struct vm *vm, const void *owner);
int debugger_set_enabled(struct vm *vm, unsigned id, bool enabled, struct error *error);
/* Let its next `count` hits pass. */
int debugger_set_ignore(struct vm *vm, unsigned id, uint64_t count, struct error *error);
/* The first `max` in the order of their numbers; returns how many there are. Strings are borrowed until the next change. */
unsigned debugger_points(struct vm *vm, struct debug_point_state *state, unsigned max);

/* The last stop; its reason is DEBUG_STOP_NONE while the guest runs. */
const struct debug_stop *debugger_stop(const struct vm *vm);

enum debug_step {
    DEBUG_STEP_INTERRUPTS =
        1u << 0, /* deliver interrupts meanwhile; without, they wait, as debuggers' users expect */
};

/*
 * Execute up to n instructions of a paused guest now, on the caller's thread; a point that is met ends it sooner. *stop says how it
 * ended. -errno with the text: it is not paused.
 */
int debugger_step(struct vm *vm, uint64_t n, unsigned flags, struct debug_stop *stop, struct error *error);

/* Read and write guest memory by linear or physical address, without side effects on devices and without A and D bits;
 * writes reach RAM and ROM alike, and translated code is told. Returns how many bytes could be. */
size_t debugger_read(struct vm *vm, bool physical, uint64_t address, void *bytes, size_t size);
size_t debugger_write(struct vm *vm, bool physical, uint64_t address, const void *bytes, size_t size);

/* Whom it concerns that the VM's state changes, on the thread that has it: paused, running again, stopped. */
struct debug_listener {
    void (*changed)(void *opaque, struct vm *vm);
    void *opaque;
    struct debug_listener *next; /* the debugger's */
};
void debugger_listen(struct vm *vm, struct debug_listener *listener);
void debugger_unlisten(struct vm *vm, struct debug_listener *listener);

#endif
