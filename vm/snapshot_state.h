/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The state of a VM that is neither memory nor disk, as one stream: clock, processor, devices, order of timers. The
 * sections are base/snap.h's, in this order:
 *
 *   "clock"   the time now
 *   "cpu"
 *   a device  each, in the board's order
 *   "timers"  armed timers, soonest first: which of two with one deadline fires first is part of the state
 */
#ifndef VM_SNAPSHOT_STATE_H
#define VM_SNAPSHOT_STATE_H

#include "base/snap.h"

struct vm;

/* No machine has more to say: what a stream may be long. */
#define SNAPSHOT_STATE_MAX ((size_t)(64 * MIB))

/* Append everything. Requests to disks are at rest (disk_hold). */
void snapshot_state_save(struct snap_writer *writer, struct vm *vm);
/*
 * Memory, and the disks, are already the snapshot's. -EINVAL with the text: some of the VM is loaded then, and the
 * caller loads what it was before.
 */
int snapshot_state_load(struct vm *vm, const uint8_t *bytes, size_t length, struct error *error);

/* After a load: the translator's judge, if there is one, begins afresh. */
void snapshot_restart_check(struct vm *vm);

#endif
