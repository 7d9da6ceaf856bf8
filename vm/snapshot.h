/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Snapshots: a VM as it was at one moment, processor, memory, devices and disks in one consistent cut, kept as a tree of
 * files beside its first disk or in the folder of -snapshots.
 *
 *   FOLDER/lock                          held while a VM uses the folder
 *          current                       what the disks are made of now, and which snapshot that came from
 *          layers/DRIVE.ID.qcow2         what was written to a disk between two snapshots
 *          snapshots/NAME/manifest       see vm/snapshot_manifest.h
 *                         state          see vm/snapshot_state.h
 *                         pages          where each page of memory is, see vm/snapshot_ram.h
 *                         ram-ID         pages; shared with other snapshots by hard links
 *          new/, old/                    on their way in and out; removed when found
 *
 * All functions are called on the VM's thread, between instructions. They return 0 or a negative errno with one line of
 * text, and then nothing has changed. docs/snapshots.md explains the order of writing.
 */
#ifndef VM_SNAPSHOT_H
#define VM_SNAPSHOT_H

#include <stdio.h>

#include "base/error.h"
#include "base/types.h"

struct vm;
struct snapshots;
struct snapshot_hook;

/* The VM was made and is at its reset vector: put the disks' layers in place, and load what -loadvm names. */
int snapshots_start(struct vm *vm, struct error *error);
/* Waits for what is being written. Before the drives are closed. */
void snapshots_end(struct vm *vm);

/*
 * Take a snapshot. name NULL: one made of the time. On return it has begun: a thread prepares it, the guest pauses for a
 * moment when the VM's event loop runs next (or in snapshot_wait()), and the thread writes. snapshot_wait() waits for the
 * end and says how that went; if nobody waits, a failure goes to stderr. Another save waits first, and so do the others.
 */
int snapshot_save(struct vm *vm, const char *name, const char *note, struct error *error);
int snapshot_wait(struct vm *vm, struct error *error);
/* Go back. The VM stays paused or running, as it is. */
int snapshot_load(struct vm *vm, const char *name, struct error *error);
/* Its descendants stay. */
int snapshot_delete(struct vm *vm, const char *name, struct error *error);
/* What there is to say of one. Strings are borrowed until `each` returns. */
struct snapshot_entry {
    const char *name, *note;
    const char *parent; /* NULL: none that is still there */
    const char *broken; /* NULL, or why it cannot be read; then only the name is known */
    bool current;       /* what runs came from it */
    uint64_t time_ns;   /* since 1970 */
    uint64_t guest_ns;  /* of the VM's clock */
    uint64_t bytes;
};
int snapshot_each(struct vm *vm, void (*each)(void *opaque, const struct snapshot_entry *entry), void *opaque,
                  struct error *error);
/* Merge all layers of disks that no snapshot lies between, and wait for it. (By itself that begins with the eighth layer.) */
int snapshot_merge(struct vm *vm, struct error *error);
/* The tree. */
int snapshot_list(struct vm *vm, FILE *out, struct error *error);
/* What changed from one to the other: registers, device fields, pages, clusters of disks. */
int snapshot_diff(struct vm *vm, const char *from, const char *to, FILE *out, struct error *error);

/* The last save and load, for people and tests. */
struct snapshot_figures {
    char name[64];
    bool written;      /* it is complete; the rest of this is known only then */
    uint64_t pause_ns; /* the guest stood still */
    uint64_t save_ns;  /* from the command to the end of the last write */
    uint64_t pages;    /* saved */
    uint64_t bytes;    /* that they took */
    uint64_t copies;   /* pages the guest changed before they were written */
    uint64_t load_ns;  /* of the last load: from the command until the guest can run */
};
void snapshot_get_figures(struct vm *vm, struct snapshot_figures *figures);

/* For tests: see vm/snapshot_host.h. Before the first snapshot. */
int snapshot_set_hook(struct vm *vm, const struct snapshot_hook *hook, struct error *error);

#endif
