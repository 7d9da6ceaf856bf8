/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A build without the translator (HYPATIA_DBT=OFF) has nothing to judge. None can exist: the rest is here to be linked.
 */
#include "binxlate/check.h"

#include <errno.h>

struct check *check_create(struct binxlate *binxlate, FILE *report, struct error *error)
{
    (void)binxlate;
    (void)report;
    error_set(error, -ENOTSUP, "the translator is not in this build; check=on has nothing to judge");
    return NULL;
}

void check_destroy(struct check *check)
{
    (void)check;
}

enum vcpu_exit check_run(struct check *check, uint64_t budget)
{
    (void)check;
    (void)budget;
    return VCPU_EXIT_INTERNAL;
}

bool check_scan(struct check *check)
{
    (void)check;
    return true;
}

void check_set_fault(struct check *check, void (*harm)(void *opaque, struct vcpu *cpu), void *opaque)
{
    (void)check;
    (void)harm;
    (void)opaque;
}

const struct check_stats *check_stats(const struct check *check)
{
    (void)check;
    return NULL;
}
