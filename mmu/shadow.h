/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Shadow page tables, tier 1: a flat table a view, indexed by linear page number, that gives host addresses.
 *
 *   entry = read[linear >> 12];  host = entry + linear
 *
 * An entry that may not be used for its kind of access is SHADOW_UNUSABLE, which makes the sum non-canonical for
 * every 32-bit linear address: the access itself faults. The read half and the write half of a view lie
 * SHADOW_WRITE_OFFSET bytes apart, so that one base register reaches both. Memory is reserved, and appears only
 * where entries are touched.
 *
 * What an entry promises:
 *   read    the page is mapped and readable in this view, its A flags are set, and reads come straight from memory
 *   write   as read, and writable, D set, the frame not watched, and writes go straight to the same memory
 *
 * Semantics are the TLB's: entries live until INVLPG, a CR3 load (global ones survive), a change of CR0, CR4, EFER
 * or A20, a region change, or a write watch drops them. Touched chunks are remembered, so that a flush costs
 * what was used. A NULL guest page costs nothing special: page 0 is an entry like any other.
 *
 * docs/binxlate.md says how translated code uses it.
 */
#ifndef MMU_SHADOW_H
#define MMU_SHADOW_H

#include "mmu/pagewalk.h"

#define SHADOW_PAGES ((uint64_t)1 << 20)              /* 32-bit linear addresses */
#define SHADOW_WRITE_OFFSET (SHADOW_PAGES * 8)        /* bytes from a read entry to the write entry of its page */
#define SHADOW_VIEW_SIZE (SHADOW_WRITE_OFFSET * 2)    /* bytes of one view */
#define SHADOW_UNUSABLE ((uint64_t)1 << 63)
#define SHADOW_CHUNK_PAGES 512u                       /* entries per 4 KiB of table */
#define SHADOW_CHUNKS (SHADOW_PAGES / SHADOW_CHUNK_PAGES)

enum shadow_view { SHADOW_SUPERVISOR, SHADOW_USER, SHADOW_VIEWS };

struct shadow_table {
    uint64_t *read;  /* SHADOW_PAGES entries; the base that translated code keeps in r14 */
    uint64_t *write; /* read + SHADOW_PAGES */
    uint8_t *global; /* a bit a page: the entry came from a global mapping */
    uint64_t touched[SHADOW_CHUNKS / 64];     /* chunks that may hold entries */
    uint64_t has_global[SHADOW_CHUNKS / 64];  /* of those, chunks that may hold global ones */
};

struct shadow_stats {
    uint64_t fills, flushes, page_flushes, protects, chunks_cleared;
};

struct shadow {
    struct shadow_table view[SHADOW_VIEWS];
    struct shadow_stats stats;
    uint64_t generation; /* raised by every flush, page flushes included: what was derived from entries is stale */
};

struct error;

/* Reserve both views; every entry unusable. -errno with text. */
int shadow_init(struct shadow *shadow, struct error *error);
void shadow_fini(struct shadow *shadow);

/*
 * Walk the guest's tables for `linear` with `flags` (PAGEWALK_WRITE, PAGEWALK_USER), set A and D, and enter the
 * page in the view that PAGEWALK_USER chooses. True: *usable says whether the entry can now be used for this access (false: MMIO,
 * watched, ROM). False: *error_code is the #PF error code; nothing is entered.
 */
bool shadow_fill(struct shadow *shadow, const struct paging_ctx *ctx, lin_t linear, unsigned flags, bool *usable,
                 uint32_t *error_code);

/* CR3 load: keep_global; everything else: all. */
void shadow_flush(struct shadow *shadow, bool keep_global);
/* INVLPG: the page, in both views; where a large page was entered, all of that large page. */
void shadow_flush_page(struct shadow *shadow, lin_t linear);
/* A watch was set on this frame of the backing memory: no entry may write it. */
void shadow_protect_frame(struct shadow *shadow, const struct ram *ram, uint64_t frame);

/* Re-derive every entry from the guest's tables: false, with the first difference as text, when an entry promises
 * something the tables no longer give although no flush was due... that is, in a machine whose guest has just
 * flushed. For tests. */
bool shadow_check(const struct shadow *shadow, const struct paging_ctx *ctx, struct error *difference);

#endif
