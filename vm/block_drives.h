/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The drives of a VM: from their configuration to what the board's controllers are given; changing media, committing,
 * showing.
 */
#ifndef VM_BLOCK_DRIVES_H
#define VM_BLOCK_DRIVES_H

#include "vm/block_disk.h"
#include "vm/config.h"

struct drives {
    struct disk *ide[CONFIG_IDE_DRIVES];       /* owned; NULL: no drive */
    struct disk *floppy[CONFIG_FLOPPY_DRIVES]; /* owned */
    bool ide_is_cdrom[CONFIG_IDE_DRIVES];
    bool snapshot; /* -snapshot: media put in later get overlays, too */
};

/*
 * Open all images of a configuration. Without others there are an empty CD drive (ide 2) and an empty floppy drive
 * (floppy 0), unless no_defaults. `notify` is called by worker threads when drives_serve() has something to do, under
 * real time. Negative errno with the text; close them either way.
 */
int drives_open(struct drives *drives, const struct vm_config *config, struct clock *clock,
                void (*notify)(void *opaque), void *opaque, struct error *error);
/* After the board. Flushes; complains on stderr of what could not be written. */
void drives_close(struct drives *drives);
/* See disk_serve(). */
void drives_serve(struct drives *drives);

/* See disk_silence(). */
void drives_silence(struct drives *drives);

/* By id; NULL if there is none. */
struct disk *drives_find(struct drives *drives, const char *id);
/* Call `visit` for each, in the board's order. */
void drives_for_each(struct drives *drives, void (*visit)(struct disk *disk, void *opaque), void *opaque);

/* The monitor's `change`: another medium. format NULL: by the file's name. */
int drives_change(struct drives *drives, struct disk *disk, const char *path, const char *format,
                  bool read_only, struct error *error);
/* The monitor's `eject`. -EBUSY with the text if the guest has locked it and not `force`; it is told of the wish. */
int drives_eject(struct disk *disk, bool force, struct error *error);
/* The monitor's `commit`: what was written since the start (or to the overlay) goes to the backing image. */
int drives_commit(struct disk *disk, struct error *error);
/* The monitor's `info block`. */
void drives_print(struct drives *drives, FILE *out);

#endif
