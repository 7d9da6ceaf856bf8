/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The manifest of a snapshot: what it is called, which machine it fits, which files it is made of, with length and
 * checksum of each. And the file `current`, which says what the disks are made of now.
 *
 * Both are JSON behind one line that vouches for it:
 *
 *   hypatia-snapshot 1 LENGTH XXH3\n{...}
 *
 * Whatever is read is checked here, once: names lead nowhere else, numbers are within bounds. Lengths of sections are
 * still to be compared with what the loading VM can need.
 */
#ifndef VM_SNAPSHOT_MANIFEST_H
#define VM_SNAPSHOT_MANIFEST_H

#include <jansson.h>

#include "vm/config.h"
#include "vm/snapshot_host.h"
#include "vm/snapshot_ram.h"

enum {
    SNAPSHOT_NAME_MAX = 63,
    SNAPSHOT_NOTE_MAX = 255,
    SNAPSHOT_ID_LENGTH = 16,
    SNAPSHOT_ANCESTORS_MAX = 64, /* that are remembered */
    SNAPSHOT_LAYERS_MAX = 48,    /* files over a disk's image: what a chain of images still takes */
    SNAPSHOT_LAYER_NAME = 63,
    SNAPSHOT_DISKS_MAX = CONFIG_IDE_DRIVES + CONFIG_FLOPPY_DRIVES,
    SNAPSHOT_MANIFEST_MAX = 1 << 20, /* bytes */
};

/* A snapshot as others refer to it: names can be used again, ids are not. */
struct snapshot_name {
    char id[SNAPSHOT_ID_LENGTH + 1]; /* hexadecimal; "": none */
    char name[SNAPSHOT_NAME_MAX + 1];
};

/* The line of snapshots that led to something, nearest first. */
struct snapshot_line {
    struct snapshot_name ancestor[SNAPSHOT_ANCESTORS_MAX];
    unsigned count;
};

/* What a disk is made of: the user's image, and files of ours over it. */
struct snapshot_disk {
    char id[32];                                              /* of the drive */
    uint64_t base_size;                                       /* of the user's file, bytes */
    uint64_t base_time;                                       /* of its last change, ns since 1970 */
    char layer[SNAPSHOT_LAYERS_MAX][SNAPSHOT_LAYER_NAME + 1]; /* lowest first */
    unsigned layers;
};

struct snapshot_disks {
    struct snapshot_disk disk[SNAPSHOT_DISKS_MAX];
    unsigned count;
};

struct snapshot_section {
    uint64_t length, checksum;
};

struct snapshot_manifest {
    struct snapshot_name self;
    char note[SNAPSHOT_NOTE_MAX + 1];
    uint64_t time_ns;                  /* when it was taken, since 1970 */
    uint64_t guest_ns;                 /* the VM's clock */
    uint64_t saved_pages, saved_bytes; /* in its own file of pages */
    struct snapshot_line line;         /* where it comes from */
    json_t *machine;                   /* the fingerprint; owned */
    struct snapshot_section state, pages;
    uint64_t state_size; /* of the state, unpacked; bytes */
    uint64_t memory;     /* bytes */
    struct snapshot_ram_file file[SNAPSHOT_RAM_FILES];
    unsigned files;
    struct snapshot_disks disks;
};

void snapshot_manifest_fini(struct snapshot_manifest *manifest);

/* Is it a name a snapshot can have? -EINVAL with the text. */
int snapshot_check_name(const char *name, struct error *error);

/* Its bytes, the caller's to free; NULL when memory ran out. */
char *snapshot_manifest_print(const struct snapshot_manifest *manifest, size_t *length);
/* Read it from the folder of a snapshot that should be called `name`. */
int snapshot_manifest_read(struct snapshot_manifest *manifest, const struct host_dir *dir, const char *name,
                           struct error *error);

/* The file `current`. */
struct snapshot_current {
    struct snapshot_line line; /* the snapshot that was saved or loaded last, and its ancestors */
    struct snapshot_disks disks;
};

int snapshot_current_write(const struct snapshot_current *current, const struct host_dir *dir,
                           struct error *error);
/* -ENOENT, without a text, if there is none. */
int snapshot_current_read(struct snapshot_current *current, const struct host_dir *dir, struct error *error);

/* The line of what comes after `name`. */
void snapshot_line_extend(struct snapshot_line *line, const struct snapshot_line *before,
                          const struct snapshot_name *name);
const struct snapshot_disk *snapshot_disks_find(const struct snapshot_disks *disks, const char *id);

struct vm;

/* The machine's fingerprint: everything a snapshot of it takes for granted. A new reference; NULL: out of memory. */
json_t *snapshot_fingerprint(struct vm *vm);
/* 0 if they agree; -EINVAL with every difference named. */
int snapshot_fingerprint_compare(const json_t *here, const json_t *there, struct error *error);

#endif
