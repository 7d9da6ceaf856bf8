/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Guest memory in snapshots: which pages changed, a picture of all of them at one moment while the guest goes on, the
 * files that hold them, and the way back.
 *
 * Tracking. After a save or a load every frame has RAM_WATCH_DIRTY set. The first write to a frame clears it: a frame
 * whose watch is still set is what the snapshot says, and need not be saved again.
 *
 * The sweep. At the moment of the snapshot a state is noted for each frame and the watch is set on all; nothing is
 * copied. From then on a thread compresses and writes the frames that have to be saved, and a write by the guest to one
 * that it has not reached yet keeps a copy of the old page for it:
 *
 *              writer's turn                     page written
 *   PENDING ------------------> TAKING ----> DONE <------------ KEPT
 *      |                                                         ^
 *      +---------------------------------------------------------+
 *              the guest writes: old contents are kept
 *
 * A data file is made once and never changed. Snapshots of one line share it through hard links: each lists the files it
 * needs, and for each frame the place of its page in them. So any snapshot can be deleted by itself.
 *
 *   file      "HYRAM1\0\0" | chunk ... | index: a row a chunk
 *   chunk     up to SNAPSHOT_CHUNK_PAGES pages, one zstd frame
 *   row       u64 offset | u32 length | u32 pages | u64 XXH3 of the chunk's bytes in the file
 *   place     63..48 file + 1 | 47..16 chunk | 15..0 page in the chunk; 0: a page of zeros
 */
#ifndef VM_SNAPSHOT_RAM_H
#define VM_SNAPSHOT_RAM_H

#include <pthread.h>

#include "mmu/ram.h"
#include "vm/snapshot_host.h"

enum {
    SNAPSHOT_CHUNK_PAGES = 64,
    SNAPSHOT_RAM_FILES = 8, /* that one snapshot may need; the next one after that is full again */
    SNAPSHOT_RAM_NAME = 32,
};

struct snapshot_ram_file {
    char name[SNAPSHOT_RAM_NAME]; /* "ram-0123456789abcdef" */
    uint64_t length;              /* bytes */
    uint64_t chunks;
    uint64_t checksum; /* XXH3 of the index */
};

/* The pages of one snapshot. */
struct snapshot_ram {
    uint64_t frames;
    uint64_t *place; /* of each frame; owned */
    struct snapshot_ram_file file[SNAPSHOT_RAM_FILES];
    unsigned files;
};

void snapshot_ram_fini(struct snapshot_ram *pages);

struct snapshot_sweep;

/* One for each VM's memory, from its first snapshot to its end. */
struct snapshot_tracker {
    struct ram *ram;
    struct snapshot_sweep *sweep;
    struct snapshot_ram
        parent; /* what unwatched frames differ from; place NULL: nothing, the next save is full */
};

void snapshot_tracker_init(struct snapshot_tracker *tracker, struct ram *ram);
void snapshot_tracker_fini(struct snapshot_tracker *tracker);
/* Unwatched frames differ from these pages, which the tracker takes over. */
void snapshot_tracker_set(struct snapshot_tracker *tracker, struct snapshot_ram *pages);
/* Nothing is known any more: the next save is full. */
void snapshot_tracker_forget(struct snapshot_tracker *tracker);

struct snapshot_sweep_figures {
    uint64_t pages;  /* to be saved, zeros not counted */
    uint64_t bytes;  /* they took in the file */
    uint64_t copies; /* pages the guest wrote before their turn */
};

/* What a picture needs, on any thread. NULL when memory ran out. */
struct snapshot_sweep *snapshot_sweep_create(struct snapshot_tracker *tracker);
/* Take the picture, on the VM's thread between instructions. The caller flushes the translation caches. `incremental`:
 * against tracker->parent, whose files are linked in the new folder. */
void snapshot_sweep_begin(struct snapshot_sweep *sweep, bool incremental);
/* On any thread: write the pages to a new file `name` of the folder, and say where they are. Files that no page is in
 * are removed from the folder. */
int snapshot_sweep_write(struct snapshot_sweep *sweep, const struct host_dir *dir, const char *name,
                         struct snapshot_ram *pages, struct snapshot_sweep_figures *figures,
                         struct error *error);
/* The VM's thread, when the writer is through or will not begin: the guest's writes keep nothing more. NULL is legal. */
void snapshot_sweep_end(struct snapshot_sweep *sweep);

/* The places as bytes of a section (owned by the caller), and back; NULL, or -errno with the text. */
uint8_t *snapshot_ram_pack(const struct snapshot_ram *pages, size_t *length);
/* `pages` has frames and files set; `place` is allocated. */
int snapshot_ram_unpack(struct snapshot_ram *pages, const uint8_t *bytes, size_t length, struct error *error);
/* The longest such section for so many frames. */
size_t snapshot_ram_pack_max(uint64_t frames);

/* Read all pages into a new memfd, which is returned. -errno with the text. */
int snapshot_ram_load(const struct snapshot_ram *pages, const struct host_dir *dir, struct error *error);

/* One page of PAGE_SIZE bytes at a time, in any order: for comparisons. */
struct snapshot_pages;
struct snapshot_pages *snapshot_pages_open(const struct snapshot_ram *pages, const struct host_dir *dir,
                                           struct error *error);
void snapshot_pages_close(struct snapshot_pages *reader);
/* NULL with the text when it cannot be read. */
const uint8_t *snapshot_pages_get(struct snapshot_pages *reader, uint64_t frame, struct error *error);

#endif
