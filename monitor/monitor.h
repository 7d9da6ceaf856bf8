/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The monitor: a command line that sees into a running VM, on any character device.
 *
 * Command names are QEMU's. Commands run on the VM's thread between instructions, so what they show is consistent.
 */
#ifndef MONITOR_MONITOR_H
#define MONITOR_MONITOR_H

#include "vm/vm.h"

struct monitor;

/* Attach to the VM's monitor character device; NULL when it has none or memory ran out. The caller owns it and
 * destroys it before the VM. */
struct monitor *monitor_create(struct vm *vm);
void monitor_destroy(struct monitor *monitor);

/* Run one command line, writing to `out`. */
void monitor_execute(struct vm *vm, const char *line, FILE *out);

#endif
