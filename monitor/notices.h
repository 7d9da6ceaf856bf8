/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What VMs have to tell the lab's monitor, which is on another thread: that one has met a point and waits.
 *
 *   VM's thread: its state changes ---> a line in the box ---> lab's thread: its event loop takes it out
 */
#ifndef MONITOR_NOTICES_H
#define MONITOR_NOTICES_H

#include "vm/loop.h"
#include "vm/vm.h"

struct notices;
struct notice_watch;

/* `loop` is woken when there is something. NULL: no memory. */
struct notices *notices_create(struct loop *loop);
/* When no VM is watched any more. */
void notices_destroy(struct notices *notices);

/* Hear of a VM, from a thread that has it. NULL: no memory. */
struct notice_watch *notices_watch(struct notices *notices, struct vm *vm);
/* Before the VM is destroyed. NULL: nothing to do. */
void notices_unwatch(struct notice_watch *watch);

/* What there is, lines, for the caller to free; NULL: nothing. */
char *notices_take(struct notices *notices);

#endif
