/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the files of the judge share.
 *
 *   check.c         steps: run both, compare
 *   check_twin.c    the second machine: memory, address spaces, bringing it up to date, taking a step back
 *   check_report.c  the difference narrowed to a block, and printed
 *
 * The twin has its own memory of the same shape, and address spaces in which memory lies where the machine has it,
 * and where the machine has devices there is a trap: a step ends before the instruction that would have met one.
 */
#ifndef BINXLATE_CHECK_STATE_H
#define BINXLATE_CHECK_STATE_H

#include "binxlate/check.h"
#include "binxlate/engine.h"

/* A set of frames in order of entry. */
struct frame_set {
    uint64_t *frame; /* `count` of them; room for all there are; owned */
    size_t count;
    uint8_t *member; /* one byte a frame of the memory; owned */
};

struct twin {
    struct vcpu *original, *cpu;
    struct ram ram;
    struct addr_space mem, io;
    struct region *regions; /* of mem; owned */
    size_t region_count;
    struct region ports; /* all of io */
    struct clock clock;  /* what the twin's TSC reads */
    struct addr_space_listener listener;
    bool map_stale;          /* the machine's memory map has changed */
    bool memory_stale;       /* nothing was copied yet */
    struct frame_set behind; /* frames that the machine wrote and the twin did not get */
    struct frame_set dirty;  /* frames that the twin wrote in this step */
    uint8_t *images;         /* of each dirty frame, before the step */
    size_t image_capacity;   /* frames */
    bool no_memory;          /* an image could not be kept: the step cannot be taken back */
    bool trapped;            /* the twin met a device */
    uint64_t trapped_at;     /* its insn_count before that instruction */
};

/* A run of one side up to insn_count `target`. */
struct check_side {
    enum vcpu_exit why;
    bool stuck; /* no instruction retires: exceptions without end */
};

struct check {
    struct binxlate *x;
    struct vcpu *cpu;
    FILE *report;
    struct twin twin;
    struct vcpu *before; /* the processor as it was when the step began */
    struct vcpu *start;  /* the same for the part of it that a report is about */
    struct clock frozen; /* what the machine's TSC reads in a step */
    struct check_side interpreter, translator;
    bool cached;        /* what differs are A and D flags: a cached translation may be the reason */
    bool strayed;       /* translated code met a device in a step in which the interpreter met none */
    bool kicked;        /* the caller wants the processor back */
    uint64_t next_scan; /* in steps */
    uint64_t random;    /* chooses lengths of steps */
    void (*harm)(void *opaque, struct vcpu *cpu);
    void *harm_opaque;
    struct check_stats stats;
    char text[160]; /* the first difference */
};

/* ---- check_twin.c ---- */

int twin_init(struct twin *twin, struct vcpu *original, struct error *error);
void twin_fini(struct twin *twin);
/* Make the twin equal to the machine. False: out of memory. */
bool twin_follow(struct twin *twin);
/* Set the processor's state to that of another one; forgets cached translations. */
void twin_copy_state(struct vcpu *to, const struct vcpu *from);
/* The step is done: what the twin wrote is what there is. */
void twin_commit(struct twin *twin);
/* Undo the twin's writes of the step; `both`: and the machine's, as far as they are known. */
void twin_restore(struct twin *twin, bool both);
/* Bytes first..last of the frame differ. False: none does. */
bool twin_frame_differs(const struct twin *twin, uint64_t frame, unsigned *first, unsigned *last);
/* Copy the machine's frame. */
void twin_take(struct twin *twin, uint64_t frame);
/* The first frame of all memory that differs for which `excused` returns false; UINT64_MAX: none. */
uint64_t twin_scan(struct twin *twin, bool (*excused)(void *opaque, uint64_t frame), void *opaque);

/* ---- check.c ---- */

/* Run both sides for `insns` instructions from where they stand. */
void check_run_twin(struct check *check, uint64_t insns);
void check_run_machine(struct check *check, uint64_t insns);
/* False: check->text says what differs. */
bool check_compare(struct check *check);
/* Put both sides back to where the step began. */
void check_rewind(struct check *check);

/* ---- check_report.c ---- */

/* The step of so many instructions differed. */
void check_explain(struct check *check, uint64_t insns);

#endif
