/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The folder of a VM's snapshots, and what the VM's thread keeps of it. Shared by the files of vm/snapshot*.c only.
 */
#ifndef VM_SNAPSHOT_STORE_H
#define VM_SNAPSHOT_STORE_H

#include <limits.h>

#include "vm/loop.h"
#include "vm/snapshot.h"
#include "vm/snapshot_disks.h"
#include "vm/snapshot_manifest.h"
#include "vm/snapshot_ram.h"

struct snapshot_job;
struct snapshot_merge;

struct snapshots {
    struct vm *vm;
    const struct snapshot_hook *hook;
    char path[PATH_MAX], layers_path[PATH_MAX]; /* of the folder; of the layers in it */
    bool open;
    bool shared; /* -snapshot: the folder is only read, perhaps by others, too */
    int lock;
    struct host_dir root, list, layers; /* the folder, snapshots/ and layers/ */
    struct snapshot_current current;    /* as the file of this name has it */
    struct snapshot_chains chains;
    struct snapshot_tracker tracker;
    struct snapshot_job *job;     /* under way, or over and not yet collected */
    struct snapshot_merge *merge; /* the same; never both */
    struct snapshot_figures figures;
};

/* The VM's, made at the first call; its folder need not exist. */
int snapshot_store_get(struct vm *vm, struct snapshots **snapshots, struct error *error);
/* Open the folder; make it if `create`. -ENOENT with the text when it is not there. */
int snapshot_store_open(struct snapshots *snapshots, bool create, struct error *error);
/* The open folder is to be written, although the VM only reads it so far (-snapshot). -EBUSY with the text. */
int snapshot_store_own(struct snapshots *snapshots, struct error *error);
void snapshot_store_close(struct snapshots *snapshots);

/* The folder of one snapshot. */
int snapshot_store_enter(struct snapshots *snapshots, const char *name, struct host_dir *dir,
                         struct error *error);
/* Remove layers that neither a snapshot nor the running VM needs. */
void snapshot_store_sweep_layers(struct snapshots *snapshots);
/* Behind which of the disk's layers does a snapshot end, or others go on? False: that cannot be known. */
bool snapshot_store_boundaries(struct snapshots *snapshots, const struct snapshot_disk *disk,
                               bool needed[SNAPSHOT_LAYERS_MAX]);
/* On any thread: in all manifests, one layer in place of those of the run. Each manifest is the old or the new one at any time. */
int snapshot_store_replace_layers(struct snapshots *snapshots, const struct snapshot_run *run,
                                  const char *name, struct error *error);
/* The disks as `current` should have them: planned or now, but drives whose changes are not kept as they were. */
void snapshot_store_describe(const struct snapshots *snapshots, bool planned, struct snapshot_disks *disks);
/* Make `current` the file of this name. */
int snapshot_store_set_current(struct snapshots *snapshots, const struct snapshot_current *current,
                               struct error *error);
/* Read a snapshot's section, a file of its own, whole. */
int snapshot_store_read(const struct host_dir *dir, const char *file, const struct snapshot_section *section,
                        size_t max, uint8_t **bytes, struct error *error);
/* The state, unpacked: manifest->state_size bytes. */
int snapshot_store_state(const struct snapshot_manifest *manifest, const struct host_dir *dir,
                         uint8_t **bytes, struct error *error);
/* The pages that a manifest describes. */
int snapshot_store_pages(const struct snapshot_manifest *manifest, const struct host_dir *dir,
                         struct snapshot_ram *pages, struct error *error);

/* 16 hexadecimal digits that were never used before. */
void snapshot_make_id(char id[SNAPSHOT_ID_LENGTH + 1]);

/* Bring the job to its end, and take over what it brought. The result is the job's; 0 if there was none. */
int snapshot_collect(struct snapshots *snapshots, struct error *error);

#endif
