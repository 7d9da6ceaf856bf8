/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Shadow page tables, tier 1: a flat table a view, indexed by linear page number, that gives host addresses.
 *
 *   entry = read[linear >> 12];  host = entry + linear
 *
 * An entry that may not be used for its kind of access is SHADOW_UNUSABLE, which makes the sum an address of the
 * host kernel's half for every 32-bit linear address: the access itself faults. A view has three parts, one a kind of access, at
 * constant distances from each other, so that one base register reaches all of them. Memory is reserved, and
 * appears only where entries are touched.
 *
 *   base                 + SHADOW_WRITE_OFFSET     + SHADOW_FETCH_OFFSET
 *   +--------------------+-------------------------+------------------------+
 *   | read, 8 bytes/page | write                   | fetch                  |
 *   +--------------------+-------------------------+------------------------+
 *
 * What an entry promises:
 *   read    the page is mapped and readable in this view, its A flags are set, and reads come straight from
 *           memory
 *   write   as read, and writable, D set, the frame not watched, and writes go straight to the same memory
 *   fetch   as read, and not forbidden by XD
 * Entries of one page that are usable are equal.
 *
 * Semantics are the TLB's: entries live until INVLPG, a CR3 load (global ones survive), a change of CR0, CR4,
 * EFER or A20, a region change, or a write watch drops them. More may be dropped than was asked for. What was
 * touched is remembered, so that a flush costs what was used. A NULL guest page costs nothing special: page 0
 * is an entry like any other.
 *
 * docs/binxlate.md says how translated code uses it, docs/shadow-paging.md how it works.
 */
#ifndef MMU_SHADOW_H
#define MMU_SHADOW_H

#include "mmu/pagewalk.h"
#include "mmu/window.h"

#define SHADOW_PAGES        ((uint64_t)1 << 20) /* 32-bit linear addresses */
#define SHADOW_WRITE_OFFSET (SHADOW_PAGES * 8)  /* bytes from a read entry to the write entry of its page */
#define SHADOW_FETCH_OFFSET                                                                                  \
    (SHADOW_WRITE_OFFSET * 2) /* bytes from a read entry to the fetch entry of its page */
#define SHADOW_VIEW_SIZE   (SHADOW_WRITE_OFFSET * 3)      /* bytes of one view */
#define SHADOW_UNUSABLE    ((uint64_t)0xffff800000000000) /* start of the host kernel's half */
#define SHADOW_CHUNK_PAGES 512u /* entries per 4 KiB of table; 2 MiB of linear addresses */
#define SHADOW_CHUNKS      (SHADOW_PAGES / SHADOW_CHUNK_PAGES)
#define SHADOW_LINE_PAGES  8u /* entries per 64 bytes of table: what is filled and cleared together */

enum shadow_view { SHADOW_SUPERVISOR, SHADOW_USER, SHADOW_VIEWS };
enum shadow_kind { SHADOW_READ, SHADOW_WRITE, SHADOW_FETCH, SHADOW_KINDS };

/* What is in use of a chunk, in one view. Bit n of a mask: the chunk's line n. */
struct shadow_chunk {
    uint64_t lines[SHADOW_KINDS]; /* lines that may hold usable entries */
    uint64_t local;               /* of those, lines that may hold entries of non-global mappings */
    uint8_t backed;               /* a bit a kind: this page of the table has taken memory */
};

struct shadow_table {
    uint64_t *entry[SHADOW_KINDS];        /* SHADOW_PAGES entries each; [SHADOW_READ] is the view's base */
    struct shadow_chunk *chunk;           /* SHADOW_CHUNKS of them */
    uint64_t touched[SHADOW_CHUNKS / 64]; /* a bit a chunk: it may hold usable entries */
    uint64_t local[SHADOW_CHUNKS / 64];   /* a bit a chunk: some line of it is local */
};

/* Where the entries of a chunk, in both views, came from. */
struct shadow_source {
    uint64_t directory;    /* the page-directory entry, as it was */
    roff_t directory_roff; /* where it lies; UINT64_MAX: not in memory, or paging is off */
    roff_t table_roff;     /* the page table it points to; UINT64_MAX: a large page, or not in memory */
    uint8_t page_shift;    /* 12, 21 or 22; 32: paging is off; 0: nothing was entered yet */
};

/* The entries of one guest address space. */
struct shadow_space {
    struct shadow_table view[SHADOW_VIEWS];
    struct shadow_source *source; /* SHADOW_CHUNKS of them */
    uint64_t *leaf;               /* a page-table entry a page, as it was when its line was last filled */
    void *memory;                 /* the mapping that holds all of these; owned */
    uint64_t generation;          /* see struct shadow, while this space is current */
    uint64_t last_used;           /* shadow->clock when it last became current */
    unsigned backed;              /* pages of its tables that have taken memory */
    bool named;                   /* cr3 and pdpte say whose it is */
    bool stale;                   /* a full flush happened elsewhere: all of it is to be dropped before use */
    struct window window;         /* of the user view, if it has one now */
    struct window_record record;  /* zeroed when the space changes its name */
    uint64_t cr3;                 /* address bits */
    uint64_t pdpte[4];            /* PAE */
};

struct shadow_stats {
    uint64_t fills, flushes, page_flushes, protects; /* calls */
    uint64_t prefills;                               /* pages entered beside the one asked for */
    uint64_t lines_cleared;
    uint64_t switches, returns; /* calls of shadow_switch, and those that found their space */
    uint64_t lines_revalidated, pages_outdated;
};

#define SHADOW_SPACES 8u /* address spaces kept */
#define SHADOW_BACKED_MAX                                                                                    \
    16384u /* pages of 4 KiB that the tables of all spaces may take before old ones go */

struct shadow {
    struct shadow_space *current;
    /*
     * Names the set of usable fetch entries: it changes when one of them may have been dropped or replaced,
     * and what was derived from fetch entries under another value is stale. Adding entries does not change
     * it. A value comes back when a switch comes back to a space of which no fetch entry had to go.
     */
    uint64_t generation;
    uint64_t generations; /* highest value given out */
    struct shadow_stats stats;
    struct shadow_space *space[SHADOW_SPACES]; /* owned; created when needed */
    unsigned space_count;
    uint64_t clock; /* switches */
    uint64_t *
        writers; /* a word a frame: in which chunks, modulo 64, an entry may write it, or give it at all if the frame
                          is shared */
    struct window
        kernel_window; /* of the supervisor view, if there is one now: global pages, whatever the space */
    int pattern;       /* memfd full of SHADOW_UNUSABLE */
    struct window_record kernel_record;
};

struct error;

/* Reserve the views; every entry unusable. -errno with text. */
int shadow_init(struct shadow *shadow, struct error *error);
void shadow_fini(struct shadow *shadow);

/* The base of a view, for translated code: its read part. It changes with shadow_switch() only. */
static inline uint64_t *shadow_base(const struct shadow *shadow, enum shadow_view view)
{
    return shadow->current->view[view].entry[SHADOW_READ];
}

static inline uint64_t shadow_entry(const struct shadow *shadow, enum shadow_view view, enum shadow_kind kind,
                                    lin_t linear)
{
    return shadow->current->view[view].entry[kind][(uint32_t)linear >> PAGE_SHIFT];
}

/*
 * Walk the guest's tables for `linear` with `flags` (PAGEWALK_WRITE, PAGEWALK_FETCH, PAGEWALK_USER), set A
 * and D, and enter the page in the view that PAGEWALK_USER chooses. Fetch entries are made only for
 * PAGEWALK_FETCH, read and write entries always. Neighbours that need no A or D set may be entered too.
 * True: *usable says whether the entry can now be used for this access (false: MMIO, watched, ROM). False:
 * *error_code is the #PF error code; nothing is entered.
 */
bool shadow_fill(struct shadow *shadow, const struct paging_ctx *ctx, lin_t linear, unsigned flags,
                 bool *usable, uint32_t *error_code);

/*
 * The same without a trace in the guest's tables: the page is entered if an access with these flags would find A set in
 * all entries, and D for a write. True: it was, and the entry can be used.
 */
bool shadow_prefill(struct shadow *shadow, const struct paging_ctx *ctx, lin_t linear, unsigned flags);

/*
 * A CR3 load, in one of two ways.
 *
 * shadow_switch: the space of ctx (its CR3 and PDPTEs) becomes current, with those of its entries that its
 * tables still give. Whoever keeps shadow_base() or the generation takes the new ones.
 * shadow_flush(keep_global): entries of non-global mappings are dropped; the base stays.
 */
void shadow_switch(struct shadow *shadow, const struct paging_ctx *ctx);
/* !keep_global: everything goes, in all spaces: changes of CR0, CR4, EFER, A20, of regions. */
void shadow_flush(struct shadow *shadow, bool keep_global);
/* INVLPG: the page, in both views; where a large page was entered, all of that large page. */
void shadow_flush_page(struct shadow *shadow, lin_t linear);
/* A watch was set on this frame of the backing memory: no entry may write it. */
void shadow_protect_frame(struct shadow *shadow, const struct ram *ram, uint64_t frame);
/* A shared frame of the backing memory lies elsewhere from now on: no entry may give its old host address. */
void shadow_forget_frame(struct shadow *shadow, const struct ram *ram, uint64_t frame, const uint8_t *old);

/*
 * Host windows (mmu/window.h): the user view of a space, and the global pages of the supervisor view, can have one. It
 * shows pages whose entries are usable, and loses them with the entries; a space that changes its name loses its window.
 *
 * shadow_open_window: the current space's, for SHADOW_USER. -errno with text; there is none then.
 * shadow_window: NULL if there is none.
 * shadow_show: show the page at `linear`, and those around it that lie in a row in memory, given that the page's
 * entry is usable for this access. False: not global, or the host refuses.
 */
int shadow_open_window(struct shadow *shadow, enum shadow_view view, struct error *error);
void shadow_close_window(struct shadow *shadow, enum shadow_view view);
static inline struct window *shadow_window(struct shadow *shadow, enum shadow_view view)
{
    struct window *window = view == SHADOW_USER ? &shadow->current->window : &shadow->kernel_window;
    return window_exists(window) ? window : NULL;
}
bool shadow_show(struct shadow *shadow, const struct paging_ctx *ctx, enum shadow_view view, lin_t linear,
                 bool write);

/*
 * Re-derive every entry from the guest's tables. False, with the first difference as text, when an entry
 * promises what the tables do not give: in a machine whose guest has just flushed what it changed, a mistake.
 * For tests.
 */
bool shadow_check(const struct shadow *shadow, const struct paging_ctx *ctx, struct error *difference);

#endif
