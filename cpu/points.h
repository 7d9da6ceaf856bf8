/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What a debugger outside the guest wants the processor to stop for, as the engines see it. The guest's own debug
 * registers are cpu/debug.h's.
 *
 * vm/debugger.c owns one of these and decides; the engines notice and ask. Nothing is looked for while cpu->points is NULL,
 * and hardly anything while it is not: code with a point is cut so that it begins at the point and is not kept in any
 * cache, pages with watched data give no direct access (mmu/data_watch.h), and the rest is rare anyway.
 *
 *   when                                 asked                  then
 *   before an instruction with a point   reached()              true: leave before it
 *   before an exception is delivered     exception()            true: leave with it pending; it is delivered when the
 *                                                               processor goes on
 *   memory or a port is accessed, an     accessed(), port(),    ATTENTION_DEBUG: boundary() is asked before the next
 *   interrupt was delivered, CR0, CR4,   interrupted(),         instruction or iteration of a REP
 *   RFLAGS.VM or CS changed, XCHG BX,BX  magic()
 *   ATTENTION_DEBUG                      boundary()             true: leave; false: ATTENTION_DEBUG is taken off
 *
 * Leaving is VCPU_EXIT_DEBUG. An instruction at which the processor has left is passed when it goes on, and so is one that
 * is resumed (RFLAGS.RF: its fault was handled, or it is a REP that was interrupted), as instruction breakpoints do it:
 * SDM Volume 3B, "Instruction-Breakpoint Exception Condition".
 */
#ifndef CPU_POINTS_H
#define CPU_POINTS_H

#include "cpu/insn.h"
#include "mmu/data_watch.h"

/* The start of an instruction. */
struct code_point {
    uint64_t address;
    bool physical;
    roff_t roff; /* cpu/points.c's, if physical: where that lies in the VM's memory; UINT64_MAX: nowhere */
};

/* An access that is about to be made, proven possible. */
struct point_access {
    lin_t linear;
    unsigned size[2]; /* bytes in the page of `linear`, and in the one behind it */
    gpa_t gpa[2];     /* where each part begins */
    bool write;
};

struct point_ops {
    bool (*reached)(void *opaque, lin_t linear, gpa_t gpa);
    bool (*exception)(void *opaque, const struct exception *exception);
    void (*accessed)(void *opaque, const struct point_access *access);
    void (*port)(void *opaque, uint16_t port, unsigned size, uint32_t value, bool write);
    void (*interrupted)(void *opaque, uint8_t vector);
    void (*magic)(void *opaque);
    bool (*boundary)(void *opaque);
};

struct points {
    /* the owner's; points_apply() after a change */
    const struct point_ops *ops;
    void *opaque;
    struct code_point *code;
    unsigned code_count;
    struct data_watch data;
    bool ports, exceptions, interrupts, modes, magics; /* somebody wants to hear of them */
    bool stepping;        /* boundary() is asked before every instruction and iteration */
    bool hold_interrupts; /* none is delivered */

    /* cpu/points.c's */
    bool moved; /* memory is mapped otherwise: code has come to lie at points. The translator takes it off */
    uint64_t offsets[PAGE_SIZE / 64]; /* offsets in a page at which some point lies */
    bool passing;       /* at insn_count `passed_at`, the instruction at `passed` is executed unasked */
    bool passing_first; /* and before any interrupt */
    lin_t passed;
    uint64_t passed_at;
    lin_t shown; /* INT3 or INTO that the debugger has seen, at insn_count `shown_at` */
    uint64_t shown_at;
    bool shows;
};

/* The points have changed: the interpreter's caches follow, and the processor's use of them. `points` with nothing in it, or NULL:
 * nothing is looked for any more. The translator's part is binxlate_points_changed(). */
void points_apply(struct vcpu *cpu, struct points *points);
/* Only `stepping` or `hold_interrupts` has changed. */
void points_use(struct vcpu *cpu, struct points *points);
/* The processor goes on from where it stands: the instruction there is not asked for. */
void points_pass(struct vcpu *cpu);

/* Does a point lie at this offset in some page? */
static inline bool points_at_offset(const struct points *points, uint64_t address)
{
    unsigned offset = (unsigned)(address & PAGE_OFFSET_MASK);

    return points && (points->offsets[offset / 64] >> offset % 64 & 1);
}

/* Does a point lie at an instruction that begins at this linear address and this byte of the VM's memory? For code that is
 * kept by both. */
static inline bool points_at_code(const struct points *points, lin_t linear, roff_t roff)
{
    if (LIKELY(!points) || !points_at_offset(points, linear)) {
        return false;
    }
    for (unsigned i = 0; i < points->code_count; i++) {
        const struct code_point *point = &points->code[i];
        if (point->physical ? point->roff == roff : point->address == linear) {
            return true;
        }
    }
    return false;
}

/* XCHG BX, BX */
static inline bool points_is_magic(const struct insn *insn)
{
    return insn->opcode->map == MAP_1BYTE && insn->opcode->byte == 0x87 && insn->opsize == 2 &&
           !insn->memory && insn->reg == RBX && insn->rm == RBX;
}

/* Does a point lie exactly here? *gpa is where rip's instruction lies, UINT64_MAX if it is not mapped. */
bool points_at(const struct vcpu *cpu, lin_t linear, gpa_t *gpa);

/* ---- For the engines; cpu->points is not NULL ---- */

/* An instruction begins at CS:RIP. True: leave before it; ATTENTION_DEBUG is on. */
bool points_reached(struct vcpu *cpu, lin_t linear);
/* An instruction begins with RFLAGS.RF set: it is resumed. */
void points_resumed(struct vcpu *cpu, lin_t linear);
/* The current exception is about to be delivered. True: leave it pending. */
bool points_exception(struct vcpu *cpu, const struct exception *exception);
/* The instruction at rip is about to deliver an exception that it makes itself. True: it is to be executed again later. */
bool points_software_exception(struct vcpu *cpu, uint8_t vector);
void points_accessed(struct vcpu *cpu, const struct point_access *access);
void points_port(struct vcpu *cpu, uint16_t port, unsigned size, uint32_t value, bool write);
void points_interrupted(struct vcpu *cpu, uint8_t vector);
void points_mode_changed(struct vcpu *cpu);
/* The memory map has changed. */
void points_memory_changed(struct vcpu *cpu);
void points_magic(struct vcpu *cpu);
/* ATTENTION_DEBUG was found. True: leave. */
bool points_leave(struct vcpu *cpu);
/* Are interrupts held off at this boundary? */
bool points_hold_interrupts(const struct vcpu *cpu, lin_t linear);

#endif
