/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The disks' part of snapshots: layers of qcow2 files over the user's image, one more with each save.
 *
 *   before the first          after `savevm a`          after `savevm b`            after `loadvm a`
 *
 *                                                       [layer 2]  writes           [layer 3]  writes
 *                             [layer 1]  writes         [layer 1]  frozen: b            |
 *   [user's image]  writes    [image]    frozen: a      [image]    frozen: a        [image]    frozen: a
 *
 * A save freezes the top and puts an empty layer over it; nothing is copied. The layers are named in manifests and in
 * the file `current`, and their order is taken from there: what a layer's own header says of a backing file is for
 * other programs. docs/decisions/0007-disks-in-snapshots.md says why.
 */
#ifndef VM_SNAPSHOT_DISKS_H
#define VM_SNAPSHOT_DISKS_H

#include <limits.h>

#include "vm/block_drives.h"
#include "vm/snapshot_manifest.h"

/* A drive with an image that can be written, and what that is made of. */
struct snapshot_chain {
    struct disk *disk;
    struct image *base;   /* the user's image, at the bottom; the drive's */
    struct image *before; /* the drive's image when the chains were updated */
    struct snapshot_disk now;
    unsigned temporaries; /* overlays without a name over the layers: -snapshot */

    /* What planning a save needs of the images, so that another thread can do it. */
    uint64_t size;            /* of the disk, bytes */
    char base_path[PATH_MAX]; /* absolute; "": it cannot be found any more */
    const char *base_format;

    /* What is about to take its place; see snapshot_disks_exchange(). */
    struct image *top; /* NULL: nothing */
    struct snapshot_disk planned;
    unsigned planned_temporaries;
};

/* Frozen layers of a drive, one on the other. */
struct snapshot_run {
    char drive[32];
    unsigned first, count; /* in the chain's list */
    char layer[SNAPSHOT_LAYERS_MAX][SNAPSHOT_LAYER_NAME + 1];
};

/* Are the run's layers those of the disk from `at` on? */
bool snapshot_run_is_in(const struct snapshot_run *run, const struct snapshot_disk *disk, unsigned at);

struct snapshot_chains {
    struct snapshot_chain chain[SNAPSHOT_DISKS_MAX];
    unsigned count;
    struct host_dir *layers; /* the folder, and its path */
    const char *path;
};

/* Find out which drives have to be kept; what is known of them stays. */
void snapshot_chains_update(struct snapshot_chains *chains, struct drives *drives);
/* What all of them are made of now; or when what is planned is done. */
void snapshot_chains_describe(const struct snapshot_chains *chains, bool planned,
                              struct snapshot_disks *disks);

/*
 * What drives with a temporary overlay hold over the user's image, on its way into a layer of the folder: the running VM
 * goes on over its temporary files, and the snapshot has a copy.
 */
struct snapshot_kept {
    struct snapshot_chain *chain;
    unsigned count;                     /* temporary images, the frozen ones; copied from the highest down */
    char name[SNAPSHOT_LAYER_NAME + 1]; /* of the layer */
    struct image *from, *to;            /* those images, opened once more; the layer. Owned */
};

/* Before a save, on any thread: an empty layer for each such drive. */
int snapshot_kept_create(struct snapshot_chains *chains, const char *id, struct snapshot_kept *kept,
                         unsigned *count, struct error *error);
/* While held, before the exchange: what is to be copied. */
int snapshot_kept_open(struct snapshot_kept *kept, unsigned count, struct error *error);
/* After the exchange: the snapshot's list has the layer. */
void snapshot_kept_describe(const struct snapshot_kept *kept, unsigned count, struct snapshot_disks *disks);
/* Copy, on any thread; durable on return. */
int snapshot_kept_write(struct snapshot_kept *kept, unsigned count, const struct host_dir *layers,
                        struct error *error);
void snapshot_kept_close(struct snapshot_kept *kept, unsigned count);

/* Copy what the `count` highest images from `from` down hold, not what lies below. *stop, if not NULL, ends it with
 * -ECANCELED. */
int snapshot_copy_layers(struct image *from, unsigned count, struct image *to, const bool *stop);

/* For a save: an empty layer for each, on any thread; a temporary one for drives that have such. 0, or -errno with the text and
 * nothing planned. */
int snapshot_disks_plan_save(struct snapshot_chains *chains, const char *id, struct error *error);
/* For a clone, while held: the same, but nothing where nothing was written since the last time. */
int snapshot_disks_plan_clone(struct snapshot_chains *chains, const char *id, struct error *error);
/* The clone's chains begin as the parent's are: its drives have the same images, shared, and an overlay. */
void snapshot_chains_adopt(struct snapshot_chains *chains, struct disk *disk,
                           const struct snapshot_chains *parent, const struct disk *parent_disk);
/* What of the disk will be frozen when that is done: for the clone to stand on. */
struct image *snapshot_disks_frozen(const struct snapshot_chains *chains, const struct disk *disk);
/* For a load: the layers that `wanted` names, and an empty one over them. */
int snapshot_disks_plan_load(struct snapshot_chains *chains, const struct snapshot_disks *wanted,
                             const char *id, struct error *error);
/* At the start: the layers as they are, the top one to be written. */
int snapshot_disks_plan_current(struct snapshot_chains *chains, const struct snapshot_disks *wanted,
                                struct error *error);
/* Forget what is planned, files included. */
void snapshot_disks_abandon(struct snapshot_chains *chains);

/*
 * For a merge (vm/snapshot_merge.h): the run's layers opened once more, over what lies below them, and a new empty layer over
 * that. Both are the caller's. -errno with the text, and nothing is left.
 */
int snapshot_disks_open_merge(struct snapshot_chains *chains, const struct snapshot_run *run,
                              struct image **from, struct image **to, char name[SNAPSHOT_LAYER_NAME + 1],
                              struct error *error);
/* Put that layer, `to`, in place of the run's. While held. False: the chain is another one now. */
bool snapshot_disks_splice(struct snapshot_chains *chains, const struct snapshot_run *run, struct image *to,
                           const char *name);

/* Keep the workers away and bring requests to rest; and the reverse. */
void snapshot_disks_hold(struct snapshot_chains *chains);
void snapshot_disks_release(struct snapshot_chains *chains);
/* Write what the images keep in memory, without waiting for the host's disk. While held. */
int snapshot_disks_settle(struct snapshot_chains *chains, struct error *error);
/* For a save, while held: put the planned layers on the images, which must still be those that the plan was made for. */
int snapshot_disks_stack(struct snapshot_chains *chains, struct error *error);
/* Put what is planned in place; once more, and it is as before. While held. */
void snapshot_disks_exchange(struct snapshot_chains *chains);
/* After the exchange for a save: the images below are frozen. Adds what they are to `planned`. */
void snapshot_disks_freeze(struct snapshot_chains *chains);
/* The exchange is final: what was before is closed (after a load), or is part of the new chain (after a save). */
void snapshot_disks_commit(struct snapshot_chains *chains);

#endif
