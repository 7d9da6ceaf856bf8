/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Reading the guest's page tables, table by table. See monitor/page_tables.h.
 *
 *              level 0            level 1            level 2
 *   32-bit     PDE, 4 MiB each    PTE, 4 KiB each
 *   PAE        PDPTE, 1 GiB each  PDE, 2 MiB each    PTE, 4 KiB each
 *
 * Whether an entry's reserved bits are clear is for mmu/pagewalk.c to say: it is asked about entries that have a bit set which
 * may be one.
 */
#include "monitor/page_tables.h"

struct page_form page_form(const struct paging_ctx *ctx)
{
    struct page_form form = {.ctx = ctx, .entry_size = 4};

    switch (ctx->mode) {
    case PAGING_32BIT:
        form.levels = 2;
        form.level[0] = (struct page_level){"PDE", 22, 1024, ctx->pse, true};
        form.level[1] = (struct page_level){"PTE", 12, 1024, false, true};
        break;
    case PAGING_PAE:
        form.levels = 3;
        form.entry_size = 8;
        form.level[0] = (struct page_level){"PDPTE", 30, 4, false, false};
        form.level[1] = (struct page_level){"PDE", 21, 512, true, true};
        form.level[2] = (struct page_level){"PTE", 12, 512, false, true};
        break;
    case PAGING_OFF:
    case PAGING_4LEVEL:
        break;
    }
    return form;
}

gpa_t page_table_top(const struct page_form *form)
{
    const struct paging_ctx *ctx = form->ctx;

    return (ctx->cr3 & (ctx->mode == PAGING_PAE ? BITS(31, 5) : BITS(31, 12))) & ctx->a20_mask;
}

void page_table_read(const struct page_form *form, unsigned level, gpa_t address,
                     uint64_t entry[PAGE_TABLE_ENTRIES])
{
    const struct paging_ctx *ctx = form->ctx;
    unsigned count = form->level[level].count;
    uint8_t bytes[PAGE_SIZE];

    if (level == 0 && ctx->mode == PAGING_PAE) {
        memcpy(entry, ctx->pdpte, sizeof(ctx->pdpte));
        return;
    }
    addr_space_peek(ctx->mem, address & ctx->a20_mask, bytes, (uint64_t)count * form->entry_size);
    for (unsigned i = 0; i < count; i++) {
        entry[i] = form->entry_size == 8 ? load_le64(bytes + 8 * i) : load_le32(bytes + 4 * i);
    }
}

bool page_entry_is_leaf(const struct page_form *form, unsigned level, uint64_t entry)
{
    return level + 1 >= MIN(form->levels, (unsigned)PAGE_LEVELS_MAX) ||
           (form->level[level].large && (entry & PAGE_PS));
}

gpa_t page_entry_frame(const struct page_form *form, unsigned level, uint64_t entry)
{
    const struct paging_ctx *ctx = form->ctx;
    unsigned phys_bits = MAX(32u, MIN(ctx->phys_bits, 52u));
    bool large = level + 1 < form->levels && page_entry_is_leaf(form, level, entry);

    if (ctx->mode == PAGING_PAE) {
        return entry & BITS(phys_bits - 1, large ? 21 : 12) & ctx->a20_mask;
    }
    if (large) { /* PSE-36: bits 20:13 are bits 39:32 of the address */
        return ((entry & BITS(31, 22)) | bits_get(entry, 20, 13) << 32) & ctx->a20_mask;
    }
    return entry & BITS(31, 12) & ctx->a20_mask;
}

/* ---- All mappings --------------------------------------------------------------------------------------- */

struct walk {
    const struct page_form *form;
    lin_t from;
    bool (*each)(void *opaque, const struct page_mapping *mapping);
    void *opaque;
};

/* Rights of the levels above. */
struct rights {
    bool user, writable, nx, suspect;
};

/* Bits that are reserved in some entry of this kind, on some model. */
static bool may_be_reserved(const struct page_form *form, unsigned level, uint64_t entry)
{
    bool large = level + 1 < form->levels && page_entry_is_leaf(form, level, entry);

    return (form->entry_size == 8 && (entry & BITS(63, 32))) || (large && (entry & BITS(21, 13)));
}

static bool is_reserved(const struct page_form *form, lin_t linear)
{
    struct pagewalk walk;

    return !pagewalk(form->ctx, linear, PAGEWALK_READ, &walk) && (walk.error_code & PF_RSVD);
}

static struct rights combine(const struct page_form *form, unsigned level, struct rights above,
                             uint64_t entry)
{
    if (!form->level[level].rights) {
        return above;
    }
    return (struct rights){
        .user = above.user && (entry & PAGE_US),
        .writable = above.writable && (entry & PAGE_RW),
        .nx = above.nx || (form->ctx->nx && (entry & PAGE_XD)),
        .suspect = above.suspect || may_be_reserved(form, level, entry),
    };
}

static bool each_of_table(const struct walk *walk, unsigned level, gpa_t table, lin_t linear,
                          struct rights above)
{
    const struct page_form *form = walk->form;
    uint64_t entries[PAGE_TABLE_ENTRIES], size = BIT(form->level[level].shift);

    page_table_read(form, level, table, entries);
    for (unsigned i = 0; i < form->level[level].count; i++, linear += size) {
        uint64_t entry = entries[i];
        struct rights rights = combine(form, level, above, entry);

        if (!(entry & PAGE_P) || linear + size <= walk->from) {
            continue;
        }
        gpa_t frame = page_entry_frame(form, level, entry);
        if (!page_entry_is_leaf(form, level, entry)) {
            TRY(each_of_table(walk, level + 1, frame, linear, rights));
            continue;
        }
        const struct page_mapping mapping = {
            .linear = linear,
            .size = size,
            .gpa = frame,
            .entry = entry,
            .user = rights.user,
            .writable = rights.writable,
            .nx = rights.nx,
            .reserved = rights.suspect && is_reserved(form, linear),
        };
        TRY(walk->each(walk->opaque, &mapping));
    }
    return true;
}

void page_mappings_each(const struct page_form *form, lin_t from,
                        bool (*each)(void *opaque, const struct page_mapping *mapping), void *opaque)
{
    const struct walk walk = {.form = form, .from = from, .each = each, .opaque = opaque};

    if (form->levels) {
        each_of_table(&walk, 0, page_table_top(form), 0, (struct rights){.user = true, .writable = true});
    }
}
