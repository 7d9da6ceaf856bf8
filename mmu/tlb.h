/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The interpreter's TLB: a small direct-mapped cache of page walks, two views (supervisor, user).
 *
 * An entry answers "may this page be read / written / fetched through a host pointer?" with one compare and
 * one add: `host = linear + addend`. A page that is MMIO, watched or not yet dirty has no tag for that access
 * and takes the slow path. Semantics are the architecture's: entries live until INVLPG, CR3, a CR0/CR4/EFER
 * change, an A20 or region change, or a write watch drops them; global ones survive CR3.
 */
#ifndef MMU_TLB_H
#define MMU_TLB_H

#include "base/types.h"
#include "mmu/pagewalk.h"

#define TLB_ENTRIES       1024u
#define TLB_NO_TAG        0x800u /* equals no page address, not even with the low bits of a misaligned access kept */
#define TLB_LARGE_REGIONS 1024u /* of 4 MiB each; a linear address above 4 GiB shares the bit of another */

struct tlb_entry {
    lin_t read, write, fetch; /* linear page address when that access is direct, else TLB_NO_TAG */
    uintptr_t addend;         /* host address - linear address, modulo 2^64 */
    lin_t page;               /* linear page that gpa below is valid for, or TLB_NO_TAG */
    gpa_t gpa;                /* guest-physical page address */
    roff_t roff;              /* backing page, UINT64_MAX when not memory */
    uint8_t rights;           /* enum tlb_right */
};

/* Rights of `page` in this view, as the guest's tables give them (whatever the backing is). */
enum tlb_right { TLB_READ = 1, TLB_WRITE = 2, TLB_FETCH = 4, TLB_GLOBAL = 8, TLB_DIRTY = 16 };

struct tlb {
    struct tlb_entry view[2][TLB_ENTRIES]; /* [0] supervisor, [1] user */
    uint64_t touched[2];                   /* per view, a bit for each 16 slots that may hold an entry */
    uint64_t large_regions[TLB_LARGE_REGIONS / 64]; /* regions some entry came from as part of a large page:
                                                       INVLPG in one flushes all */
    uint64_t fills, flushes;                        /* statistics */
};

static inline struct tlb_entry *tlb_entry_at(struct tlb *tlb, unsigned user, lin_t linear)
{
    return &tlb->view[user][(linear >> PAGE_SHIFT) % TLB_ENTRIES];
}

/* Drop everything; a new struct tlb begins with tlb_flush(tlb, false). keep_global leaves global entries. */
void tlb_flush(struct tlb *tlb, bool keep_global);
/* INVLPG: drop the page, global or not, from both views. */
void tlb_flush_page(struct tlb *tlb, lin_t linear);
/* Drop direct write access to a frame of the backing memory (a watch was set on it). */
void tlb_protect_frame(struct tlb *tlb, uint64_t frame);
/* Forget a frame of the backing memory: it lies elsewhere from now on. */
void tlb_forget_frame(struct tlb *tlb, uint64_t frame);

/*
 * Walk, set A/D, and enter the page. `flags` are pagewalk flags without PAGEWALK_SET_AD. True: *gpa is the
 * address, the entry is filled and has a direct tag unless the page must take the slow path for this access.
 * False: *error_code is the #PF error code.
 */
bool tlb_fill(struct tlb *tlb, const struct paging_ctx *ctx, lin_t linear, unsigned flags, gpa_t *gpa,
              uint32_t *error_code);

#endif
