/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The translator's judge inside a running machine (-accel dbt,check=on): a twin of the processor and of its memory is
 * run by the interpreter, the machine itself by the translator, and after every step the two are compared.
 *
 * docs/binxlate.md, "The judge", explains it. One instance belongs to one translator and lives inside its life.
 */
#ifndef BINXLATE_CHECK_H
#define BINXLATE_CHECK_H

#include <stdio.h>

#include "binxlate/binxlate.h"

struct check;

struct check_stats {
    uint64_t steps;      /* compared */
    uint64_t compared;   /* instructions of them */
    uint64_t translated; /* of these, executed by translated code and its call-outs */
    uint64_t
        uncompared; /* instructions executed once: they or an interrupt before them had to do with a device */
    uint64_t scans; /* comparisons of all memory */
    uint64_t accessed; /* page tables in which the translator had set more A flags, which is not an error */
    uint64_t repeated; /* steps run again with no cached translations: A or D flags differed */
    uint64_t differences;
};

/* A twin of the translator's machine, with memory of its own. Reports go to `report` (borrowed). NULL with the text. */
struct check *check_create(struct binxlate *binxlate, FILE *report, struct error *error);
/* Says in one line on `report` what was compared. NULL is legal. */
void check_destroy(struct check *check);

/*
 * As binxlate_run(), every step judged. After a difference, which is reported with the block that made it,
 * VCPU_EXIT_INTERNAL with the first line of the report in cpu->internal_error; the machine cannot go on then.
 */
enum vcpu_exit check_run(struct check *check, uint64_t budget);

/* Compare all memory now. False: a difference, reported. */
bool check_scan(struct check *check);

/* For tests of the judge itself: called behind the translator's part of every step, to do harm there. */
void check_set_fault(struct check *check, void (*harm)(void *opaque, struct vcpu *cpu), void *opaque);

const struct check_stats *check_stats(const struct check *check);

#endif
