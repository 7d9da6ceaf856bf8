/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The interpreter's TLB: filling and flushing.
 *
 * SDM: Volume 3A, "Paging", section "Translation-Lookaside Buffers (TLBs)" and "Invalidation of TLBs".
 *
 * An entry is one 4 KiB page whatever the size of the guest's page, so the entries of a large page lie
 * scattered over the whole view. INVLPG of an address in a large page drops all of it: for every 4 MiB of
 * linear addresses one bit says whether a large page was entered from there, and an INVLPG that meets a set
 * bit flushes everything. The manual allows a processor to drop more than it was asked to.
 *
 * An entry is computed afresh at every fill, from one walk and one look at the backing; nothing of what the
 * slot held before is kept. What the walk did not ask for is entered too, where the tables allow it without
 * being written: the write tag after a read needs a D flag that is set already.
 */
#include "mmu/tlb.h"

/* Flushing looks at groups of 16 slots and skips those that were never filled. */
#define GROUP_SHIFT 4
#define GROUP_SLOTS (1u << GROUP_SHIFT)
#define GROUP_COUNT (TLB_ENTRIES >> GROUP_SHIFT)

_Static_assert(GROUP_COUNT == 64, "touched[] has a bit for every group");

static void clear_entry(struct tlb_entry *entry)
{
    *entry = (struct tlb_entry){
        .read = TLB_NO_TAG,
        .write = TLB_NO_TAG,
        .fetch = TLB_NO_TAG,
        .page = TLB_NO_TAG,
        .roff = UINT64_MAX,
    };
}

static void flush_all(struct tlb *tlb)
{
    for (unsigned user = 0; user < 2; user++) {
        for (unsigned i = 0; i < TLB_ENTRIES; i++) {
            clear_entry(&tlb->view[user][i]);
        }
        tlb->touched[user] = 0;
    }
    memset(tlb->large_regions, 0, sizeof(tlb->large_regions));
}

/* True when a global entry is left in the group. */
static bool flush_group_not_global(struct tlb_entry *group)
{
    bool left = false;
    for (unsigned i = 0; i < GROUP_SLOTS; i++) {
        if (group[i].page != TLB_NO_TAG && (group[i].rights & TLB_GLOBAL)) {
            left = true;
        } else {
            clear_entry(&group[i]);
        }
    }
    return left;
}

void tlb_flush(struct tlb *tlb, bool keep_global)
{
    tlb->flushes++;
    if (!keep_global) {
        flush_all(tlb);
        return;
    }
    for (unsigned user = 0; user < 2; user++) {
        for (uint64_t left = tlb->touched[user]; left; left &= left - 1) {
            unsigned group = (unsigned)__builtin_ctzll(left);
            if (!flush_group_not_global(&tlb->view[user][group << GROUP_SHIFT])) {
                tlb->touched[user] &= ~BIT(group);
            }
        }
    }
}

static unsigned large_region(lin_t linear)
{
    return (unsigned)(linear >> 22) % TLB_LARGE_REGIONS;
}

void tlb_flush_page(struct tlb *tlb, lin_t linear)
{
    unsigned region = large_region(linear);
    if (tlb->large_regions[region / 64] & BIT(region % 64)) {
        tlb_flush(tlb, false);
        return;
    }
    for (unsigned user = 0; user < 2; user++) {
        struct tlb_entry *entry = tlb_entry_at(tlb, user, linear);
        if (entry->page == ALIGN_DOWN(linear, PAGE_SIZE)) {
            clear_entry(entry);
        }
    }
}

void tlb_protect_frame(struct tlb *tlb, uint64_t frame)
{
    for (unsigned user = 0; user < 2; user++) {
        for (uint64_t left = tlb->touched[user]; left; left &= left - 1) {
            struct tlb_entry *group = &tlb->view[user][__builtin_ctzll(left) << GROUP_SHIFT];
            for (unsigned i = 0; i < GROUP_SLOTS; i++) {
                if (group[i].roff >> PAGE_SHIFT == frame) {
                    group[i].write = TLB_NO_TAG;
                }
            }
        }
    }
}

void tlb_forget_frame(struct tlb *tlb, uint64_t frame)
{
    for (unsigned user = 0; user < 2; user++) {
        for (uint64_t left = tlb->touched[user]; left; left &= left - 1) {
            struct tlb_entry *group = &tlb->view[user][__builtin_ctzll(left) << GROUP_SHIFT];
            for (unsigned i = 0; i < GROUP_SLOTS; i++) {
                if (group[i].roff >> PAGE_SHIFT == frame) {
                    clear_entry(&group[i]);
                }
            }
        }
    }
}

static uint8_t view_rights(const struct paging_ctx *ctx, const struct pagewalk *walk, unsigned user_flag)
{
    uint8_t rights = 0;
    rights |= pagewalk_allowed(ctx, walk, user_flag | PAGEWALK_READ) ? TLB_READ : 0;
    rights |= pagewalk_allowed(ctx, walk, user_flag | PAGEWALK_WRITE) ? TLB_WRITE : 0;
    rights |= pagewalk_allowed(ctx, walk, user_flag | PAGEWALK_FETCH) ? TLB_FETCH : 0;
    rights |= walk->global ? TLB_GLOBAL : 0;
    rights |= walk->dirty ? TLB_DIRTY : 0;
    return rights;
}

/* Which accesses may go straight to the backing memory. A read-modify-write looks at the write tag alone. */
static void enter_tags(struct tlb_entry *entry, const struct paging_ctx *ctx)
{
    const struct addr_space *mem = ctx->mem;
    unsigned seen = data_watch_at(ctx->watch, entry->page, entry->gpa);

    if (entry->roff == UINT64_MAX) {
        return;
    }
    const struct ram *ram = mem->ram;
    entry->addend = (uintptr_t)ram_ptr(ram, entry->roff) - (uintptr_t)entry->page;
    if ((entry->rights & TLB_READ) && !(seen & DATA_WATCH_READ)) {
        entry->read = entry->page;
    }
    if (entry->rights & TLB_FETCH) {
        entry->fetch = entry->page;
    }
    if ((entry->rights & TLB_WRITE) && (entry->rights & TLB_DIRTY) && !seen &&
        !ram_watched(ram, entry->roff) && addr_space_write_roff(mem, entry->gpa) == entry->roff) {
        entry->write = entry->page;
    }
}

bool tlb_fill(struct tlb *tlb, const struct paging_ctx *ctx, lin_t linear, unsigned flags, gpa_t *gpa,
              uint32_t *error_code)
{
    struct pagewalk walk;
    if (!pagewalk(ctx, linear, flags | PAGEWALK_SET_AD, &walk)) {
        *error_code = walk.error_code;
        return false;
    }
    tlb->fills++;
    *gpa = walk.gpa;

    unsigned user = flags & PAGEWALK_USER ? 1 : 0;
    struct tlb_entry *entry = tlb_entry_at(tlb, user, linear);
    clear_entry(entry);
    entry->page = ALIGN_DOWN(linear, PAGE_SIZE);
    entry->gpa = ALIGN_DOWN(walk.gpa, PAGE_SIZE);
    entry->roff = addr_space_read_roff(ctx->mem, entry->gpa);
    entry->rights = view_rights(ctx, &walk, flags & PAGEWALK_USER);
    enter_tags(entry, ctx);

    tlb->touched[user] |= BIT((entry - tlb->view[user]) >> GROUP_SHIFT);
    if (walk.page_shift > PAGE_SHIFT) {
        unsigned region = large_region(linear);
        tlb->large_regions[region / 64] |= BIT(region % 64);
    }
    return true;
}
