/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The guest page walk.
 *
 * SDM: Volume 3A, Chapter "Paging": "32-Bit Paging", "PAE Paging", "Access Rights", "Page-Fault Exceptions",
 * "Accessed and Dirty Flags".
 *
 *   32-bit   CR3 -> PDE (10 bits) -> PTE (10 bits) -> 4 KiB          entries of 4 bytes
 *                   PDE with PS   -> 4 MiB
 *   PAE      PDPTE register (2 bits) -> PDE (9 bits) -> PTE (9 bits) -> 4 KiB      entries of 8 bytes
 *                                       PDE with PS  -> 2 MiB
 *
 * DEVIATION: A flags of upper levels are set only when the whole walk succeeds; a processor may set them
 * although the access then faults.
 * DEVIATION: entries in device memory read as all ones, no device is called; A and D go nowhere there.
 *
 * NOTE: the models that page have the PAT, so the PAT bits of entries are never reserved.
 * Not modelled: 4-level paging (reported as not present), SMEP, SMAP, protection keys, PCIDs.
 */
#include "mmu/pagewalk.h"

/* Entry bits, the same in both formats. */
#define ENTRY_P  BIT(0)
#define ENTRY_RW BIT(1)
#define ENTRY_US BIT(2)
#define ENTRY_A  BIT(5)
#define ENTRY_D  BIT(6)
#define ENTRY_PS BIT(7) /* PDE: maps a large page */
#define ENTRY_G  BIT(8)
#define ENTRY_XD BIT(63) /* PAE */

/* What the forms of paging do differently, worked out before the walk. */
struct walk_form {
    unsigned entry_size;     /* bytes */
    unsigned index_bits;     /* of the linear address, a level */
    bool large_pages;        /* PS counts */
    bool nx;                 /* XD counts */
    uint64_t frame_mask;     /* address bits of an entry */
    uint64_t reserved;       /* in every entry */
    uint64_t reserved_large; /* in a PDE with PS, besides */
};

/* ---- Entries in guest memory --------------------------------------------------------------------------- */

static uint64_t read_entry(const struct paging_ctx *ctx, gpa_t addr, unsigned size)
{
    roff_t roff = addr_space_read_roff(ctx->mem, addr);
    if (UNLIKELY(roff == UINT64_MAX)) {
        /* No whole page of memory: the part that is memory, all ones where there is none. */
        uint64_t entry = 0;
        addr_space_peek(ctx->mem, addr, &entry, size);
        return entry;
    }
    const void *host = ram_ptr(ctx->mem->ram, roff);
    return size == 8 ? __atomic_load_n((const uint64_t *)host, __ATOMIC_RELAXED)
                     : __atomic_load_n((const uint32_t *)host, __ATOMIC_RELAXED);
}

/* Replace the entry if it still is what the walk read. Entries are aligned, hence never cross a page. */
static bool exchange_entry(struct ram *ram, roff_t roff, uint64_t old, uint64_t new, unsigned size)
{
    ram_watch_notify(ram, roff, size);
    void *host = ram_ptr(ram, roff);
    if (size == 8) {
        return __atomic_compare_exchange_n((uint64_t *)host, &old, new, false, __ATOMIC_SEQ_CST,
                                           __ATOMIC_RELAXED);
    }
    uint32_t old32 = (uint32_t)old;
    return __atomic_compare_exchange_n((uint32_t *)host, &old32, (uint32_t) new, false, __ATOMIC_SEQ_CST,
                                       __ATOMIC_RELAXED);
}

/* Set `bits` in a level's entry. False: the entry is no longer what the walk read, walk again. */
static bool set_entry_bits(const struct paging_ctx *ctx, const struct pagewalk_level *level, uint64_t bits,
                           unsigned size)
{
    uint64_t updated = level->entry | bits;
    if (updated == level->entry) {
        return true;
    }
    roff_t roff = addr_space_write_roff(ctx->mem, level->entry_addr);
    if (UNLIKELY(roff == UINT64_MAX || roff != addr_space_read_roff(ctx->mem, level->entry_addr))) {
        /* ROM, a device, or ROM above RAM: nothing there to compare with. What is not RAM takes no write. */
        dma_write(ctx->mem, level->entry_addr, &updated, size);
        return true;
    }
    return exchange_entry(ctx->mem->ram, roff, level->entry, updated, size);
}

/* ---- The walk ------------------------------------------------------------------------------------------ */

static struct walk_form form_32bit(const struct paging_ctx *ctx)
{
    struct walk_form form = {
        .entry_size = 4,
        .index_bits = 10,
        .large_pages = ctx->pse,
        .frame_mask = BITS(31, 12),
        .reserved_large = BITS(21, 13),
    };
    /* PSE-36: bits 39:32 of the address lie in bits 20:13, as many as the processor has. */
    if (ctx->phys_bits >= 36) {
        form.reserved_large = BITS(21, MIN(ctx->phys_bits, 40u) - 19);
    }
    return form;
}

static struct walk_form form_pae(const struct paging_ctx *ctx)
{
    unsigned phys_bits = MAX(32u, MIN(ctx->phys_bits, 52u));
    return (struct walk_form){
        .entry_size = 8,
        .index_bits = 9,
        .large_pages = true,
        .nx = ctx->nx,
        .frame_mask = BITS(phys_bits - 1, 12),
        .reserved = BITS(62, phys_bits) | (ctx->nx ? 0 : ENTRY_XD),
        .reserved_large = BITS(20, 13),
    };
}

/* SDM: Volume 3A, "Page-Fault Exceptions". The I bit exists only where execution can be forbidden. */
static bool fail(const struct paging_ctx *ctx, struct pagewalk *walk, unsigned flags, uint32_t cause)
{
    bool fetch_bit = ctx->nx && (ctx->mode == PAGING_PAE || ctx->mode == PAGING_4LEVEL);
    walk->error_code = cause | (flags & PAGEWALK_WRITE ? PF_W : 0) | (flags & PAGEWALK_USER ? PF_U : 0) |
                       (flags & PAGEWALK_FETCH && fetch_bit ? PF_I : 0);
    return false;
}

/* Read the entry at addr as the next level, check it, and combine its rights into the walk's. */
static bool walk_level(const struct paging_ctx *ctx, const struct walk_form *form, gpa_t addr, bool directory,
                       unsigned flags, struct pagewalk *walk)
{
    addr &= ctx->a20_mask;
    uint64_t entry = read_entry(ctx, addr, form->entry_size);
    walk->level[walk->level_count++] = (struct pagewalk_level){.entry_addr = addr, .entry = entry};
    if (!(entry & ENTRY_P)) {
        return fail(ctx, walk, flags, 0);
    }
    bool large = directory && form->large_pages && (entry & ENTRY_PS);
    if (entry & (form->reserved | (large ? form->reserved_large : 0))) {
        return fail(ctx, walk, flags, PF_P | PF_RSVD);
    }
    walk->user = walk->user && (entry & ENTRY_US);
    walk->writable = walk->writable && (entry & ENTRY_RW);
    walk->executable = walk->executable && !(form->nx && (entry & ENTRY_XD));
    return true;
}

/* The frame of a 4 MiB or 2 MiB page. */
static gpa_t large_frame(const struct walk_form *form, uint64_t pde)
{
    if (form->entry_size == 4) {
        return (pde & BITS(31, 22)) | (bits_get(pde, 20, 13) << 32);
    }
    return pde & form->frame_mask & ~BITS(20, 12);
}

/* The directory and table levels, shared by both forms. */
static bool walk_tables(const struct paging_ctx *ctx, const struct walk_form *form, gpa_t directory,
                        uint64_t linear, unsigned flags, struct pagewalk *walk)
{
    unsigned large_shift = PAGE_SHIFT + form->index_bits;
    uint64_t index = bits_get(linear, large_shift + form->index_bits - 1, large_shift);
    TRY(walk_level(ctx, form, directory + index * form->entry_size, true, flags, walk));
    uint64_t entry = walk->level[walk->level_count - 1].entry;
    walk->page_shift = large_shift;
    gpa_t frame = large_frame(form, entry);
    if (!form->large_pages || !(entry & ENTRY_PS)) {
        index = bits_get(linear, large_shift - 1, PAGE_SHIFT);
        gpa_t table = entry & form->frame_mask;
        TRY(walk_level(ctx, form, table + index * form->entry_size, false, flags, walk));
        entry = walk->level[walk->level_count - 1].entry;
        walk->page_shift = PAGE_SHIFT;
        frame = entry & form->frame_mask;
    }
    walk->gpa = (frame | (linear & BITS(walk->page_shift - 1, 0))) & ctx->a20_mask;
    walk->global = ctx->pge && (entry & ENTRY_G);
    walk->dirty = entry & ENTRY_D;
    return true;
}

static bool walk_pae(const struct paging_ctx *ctx, const struct walk_form *form, uint64_t linear,
                     unsigned flags, struct pagewalk *walk)
{
    unsigned index = (unsigned)bits_get(linear, 31, 30);
    uint64_t pdpte = ctx->pdpte[index];
    walk->level[walk->level_count++] = (struct pagewalk_level){
        .entry_addr = ((ctx->cr3 & BITS(31, 5)) + 8 * index) & ctx->a20_mask,
        .entry = pdpte,
    };
    if (!(pdpte & ENTRY_P)) {
        return fail(ctx, walk, flags, 0);
    }
    return walk_tables(ctx, form, pdpte & form->frame_mask, linear, flags, walk);
}

/* A in every table entry used, D in the last one for a write. PDPTE registers have neither. */
static bool set_accessed_dirty(const struct paging_ctx *ctx, const struct walk_form *form, unsigned flags,
                               struct pagewalk *walk)
{
    unsigned first = ctx->mode == PAGING_PAE ? 1 : 0;
    for (unsigned i = first; i < walk->level_count; i++) {
        bool leaf = i + 1 == walk->level_count;
        uint64_t bits = ENTRY_A | (leaf && (flags & PAGEWALK_WRITE) ? ENTRY_D : 0);
        TRY(set_entry_bits(ctx, &walk->level[i], bits, form->entry_size));
    }
    walk->dirty = walk->dirty || (flags & PAGEWALK_WRITE);
    return true;
}

static void begin(struct pagewalk *walk)
{
    *walk = (struct pagewalk){.page_shift = PAGE_SHIFT, .user = true, .writable = true, .executable = true};
}

bool pagewalk(const struct paging_ctx *ctx, lin_t linear, unsigned flags, struct pagewalk *walk)
{
    begin(walk);
    linear = (uint32_t)linear;
    if (ctx->mode == PAGING_OFF) {
        walk->gpa = linear & ctx->a20_mask;
        walk->dirty = true;
        return true;
    }
    if (ctx->mode == PAGING_4LEVEL) {
        return fail(ctx, walk, flags, 0);
    }
    bool pae = ctx->mode == PAGING_PAE;
    struct walk_form form = pae ? form_pae(ctx) : form_32bit(ctx);
    for (;; begin(walk)) {
        TRY(pae ? walk_pae(ctx, &form, linear, flags, walk)
                : walk_tables(ctx, &form, ctx->cr3 & BITS(31, 12), linear, flags, walk));
        if (!pagewalk_allowed(ctx, walk, flags)) {
            return fail(ctx, walk, flags, PF_P);
        }
        /* An entry changes under the walk when one frame serves at two levels: the A bit just set at one
         * level is news at the other. The second time round it is set already. */
        if (!(flags & PAGEWALK_SET_AD) || set_accessed_dirty(ctx, &form, flags, walk)) {
            return true;
        }
    }
}

bool pagewalk_allowed(const struct paging_ctx *ctx, const struct pagewalk *walk, unsigned flags)
{
    bool user = flags & PAGEWALK_USER;
    if (user && !walk->user) {
        return false;
    }
    if ((flags & PAGEWALK_WRITE) && !walk->writable && (user || ctx->wp)) {
        return false;
    }
    return !(flags & PAGEWALK_FETCH) || walk->executable;
}

bool pagewalk_load_pdptes(struct paging_ctx *ctx)
{
    unsigned phys_bits = MAX(32u, MIN(ctx->phys_bits, 52u));
    uint64_t reserved = BITS(63, phys_bits) | BITS(8, 5) | BITS(2, 1);
    uint64_t loaded[4];
    for (unsigned i = 0; i < 4; i++) {
        loaded[i] = read_entry(ctx, ((ctx->cr3 & BITS(31, 5)) + 8 * i) & ctx->a20_mask, 8);
        TRY(!(loaded[i] & ENTRY_P) || !(loaded[i] & reserved));
    }
    memcpy(ctx->pdpte, loaded, sizeof(loaded));
    return true;
}
