/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Host windows, tier 2 of the shadow page tables: shadow entries made real.
 *
 * A window is 4 GiB of the host's address space in which guest pages are mapped at their linear addresses, so that
 * the host's own MMU translates: host = base + linear. What is not mapped faults.
 *
 *   base                                         + 4 GiB
 *   | no access |RW| no access |R | ... |  no access  | guard |
 *
 * A window shows no more than the shadow entries it was made from: mmu/shadow.c maps pages whose entries are usable and
 * drops them with the entries. Each run of pages is a mapping of the host's, of which a process has a limited number:
 * a window that takes too many is emptied.
 *
 * docs/shadow-paging.md says when pages move in and out.
 */
#ifndef MMU_WINDOW_H
#define MMU_WINDOW_H

#include "mmu/ram.h"

#define WINDOW_PAGES       ((uint64_t)1 << 20)
#define WINDOW_CHUNK_PAGES 512u
#define WINDOW_CHUNKS      (WINDOW_PAGES / WINDOW_CHUNK_PAGES)
#define WINDOW_RUNS_MAX    4096u /* mappings that one window may take */

struct window {
    uint8_t *base;   /* host address of linear address 0; NULL: no window */
    uint32_t *page;  /* a word a page: 0 not mapped, else frame << 2 | writable << 1 | 1 */
    uint16_t *chunk; /* mapped pages in each WINDOW_CHUNK_PAGES */
    unsigned runs;   /* upper bound of the host's mappings */
    uint64_t calls;  /* system calls made for it: what it costs */
};

/* Of whoever decides which views get windows. */
struct window_record {
    unsigned looks;   /* that found the view's code running, since the last decision */
    unsigned needed;  /* looks before the next window; 0: the usual */
    uint64_t allowed; /* of window->calls */
    uint64_t refused; /* accesses to pages that the window does not get */
};

struct error;

/* Reserve the address space. -errno with text. */
int window_init(struct window *window, struct error *error);
void window_fini(struct window *window);

static inline bool window_exists(const struct window *window)
{
    return window->base;
}

/* Is the page mapped, and writable if `write`? */
static inline bool window_shows(const struct window *window, uint32_t page, bool write)
{
    return window->page[page] & (write ? 2u : 1u);
}

static inline uint64_t window_frame(const struct window *window, uint32_t page)
{
    return window->page[page] >> 2;
}

/* Is anything of the chunk mapped? */
static inline bool window_chunk_used(const struct window *window, unsigned chunk)
{
    return window->chunk[chunk];
}

/* Show frames [frame, frame + count) of the VM's memory, which lie in one file, at pages [first, first + count), in place
 * of what is there. Not writable if they are shared. False: the host refuses; the window is empty then. */
bool window_map(struct window *window, const struct ram *ram, uint32_t first, unsigned count, uint64_t frame,
                bool writable);
/* Nothing is shown in [first, first + count) any more. */
void window_drop(struct window *window, uint32_t first, unsigned count);
/* Nothing is shown at all. */
void window_clear(struct window *window);
/* Pages of the chunk that show this frame are not writable any more. */
void window_protect(struct window *window, unsigned chunk, uint64_t frame);
/* Pages of the chunk do not show this frame any more. */
void window_forget(struct window *window, unsigned chunk, uint64_t frame);

#endif
