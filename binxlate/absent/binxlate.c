/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A build without the translator (HYPATIA_DBT=OFF): it can be asked for, and says so.
 */
#include "binxlate/binxlate.h"

#include <errno.h>

int binxlate_supported(struct error *error)
{
    return error_set(error, -ENOTSUP, "the translator is not in this build; use -accel interp");
}

struct binxlate *binxlate_create(struct vcpu *cpu, struct error *error)
{
    (void)cpu;
    binxlate_supported(error);
    return NULL;
}

void binxlate_destroy(struct binxlate *binxlate)
{
    (void)binxlate;
}

/* None can exist: the rest is here to be linked. */
enum vcpu_exit binxlate_run(struct binxlate *binxlate, uint64_t budget)
{
    (void)binxlate;
    (void)budget;
    return VCPU_EXIT_INTERNAL;
}

void binxlate_leave_thread(struct binxlate *binxlate)
{
    (void)binxlate;
}

void binxlate_stop(struct binxlate *binxlate, void *context)
{
    (void)binxlate;
    (void)context;
}

/* Without translated code all faults are the caller's, who has handlers of his own. */
void binxlate_on_host_fault(void (*handler)(int signal_number, siginfo_t *info, void *context))
{
    (void)handler;
}

void binxlate_abandon_thread(void)
{
}

int binxlate_handle_faults(struct error *error)
{
    (void)error;
    return 0;
}

void binxlate_set_windows(struct binxlate *binxlate, enum binxlate_windows windows)
{
    (void)binxlate;
    (void)windows;
}

bool binxlate_windows_supported(void)
{
    return false;
}

void binxlate_points_changed(struct binxlate *binxlate, bool all)
{
    (void)binxlate;
    (void)all;
}

void binxlate_reset(struct binxlate *binxlate)
{
    (void)binxlate;
}

const struct binxlate_stats *binxlate_stats(const struct binxlate *binxlate)
{
    (void)binxlate;
    return NULL;
}

void binxlate_print(const struct binxlate *binxlate, FILE *out)
{
    (void)binxlate;
    (void)out;
}
