/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Merging layers of disks. Each save and each clone leaves a layer more, and when snapshots are deleted, layers stay that
 * others stand on. Neighbours that no snapshot lies between become one, while the guest runs:
 *
 *   [layer 4]  writes            [layer 4]  writes           the copy is made beside them by a thread; then every manifest
 *   [layer 3]                    [layer 5]                   that names them, then `current`, then the open images change to
 *   [layer 2]          ------>       |                       it, and the old files go. Whatever is read in between leads to
 *   [layer 1]  frozen: a         [layer 1]  frozen: a        layers that hold the same.
 *
 * The user's own image is never written.
 */
#ifndef VM_SNAPSHOT_MERGE_H
#define VM_SNAPSHOT_MERGE_H

#include <pthread.h>

#include "vm/snapshot_store.h"

/* Layers over a disk from which on merging begins by itself, and from which on a save waits for it. */
enum { SNAPSHOT_MERGE_AT = 8, SNAPSHOT_MERGE_URGENT = 40 };

/* Begin, if a disk has many layers and some can be merged; on the VM's thread, with no save under way. */
void snapshot_merge_begin(struct snapshots *snapshots);
/* Wait for what was begun, or give it up if it can wait. */
void snapshot_merge_give_way(struct snapshots *snapshots);
void snapshot_merge_give_up(struct snapshots *snapshots);

#endif
