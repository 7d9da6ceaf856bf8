/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Clones: a second VM out of a running one, at once. docs/clones.md is the user's page.
 *
 *              memory            pages are shared until one of the two writes them (mmu/ram.h)
 *   parent --- disks             what is on them is frozen, and each goes on in an overlay of its own ---> clone
 *              clock, processor, devices      copied through their tables of fields (vm/snapshot_state.h)
 *              identity          the clone's own: name, UUID, addresses of adapters, generation id
 *
 * Nothing of the parent is written to a file, but where its disks go on (vm/snapshot_disks.h).
 */
#ifndef VM_CLONE_H
#define VM_CLONE_H

#include "base/error.h"
#include "vm/config.h"

struct vm;

struct clone_figures {
    uint64_t made_ns; /* from the call to a clone that can run; the parent stands still meanwhile */
};

/*
 * Clone a VM that the caller holds. `config` is the clone's: the parent's with its own name, UUID, addresses, outputs (see
 * lab_add_clone()); its strings outlive the clone. The clone is running or paused as the parent is, and nobody's yet.
 * NULL with the text: the parent goes on, and nothing is left of the clone.
 */
struct vm *clone_create(struct vm *parent, const struct vm_config *config, struct clone_figures *figures,
                        struct error *error);

/*
 * Another generation id for the guest (devices/vmgenid.h), when a VM begins, was cloned or went back: a random one. Under -icount
 * one that follows from seed and UUID, and no `event`: the same run must follow.
 */
void vm_renew_generation(struct vm *vm, bool event);

#endif
