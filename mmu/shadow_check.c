/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Shadow page tables: do they say what the guest's tables say?
 *
 * Everything is derived a second time, by the shortest way: a page walk an entry, no masks, no memory of
 * where an entry came from. Slow, and for tests and the monitor; mmu/shadow.c is what is checked here.
 *
 * Not checked: entries that could be there and are not. A shadow table may forget anything at any time.
 */
#include "mmu/shadow.h"

#include "base/error.h"

#define ENTRY_A BIT(5)
#define ENTRY_D BIT(6)

/* Is this flag clear in an entry that can hold it? A table in ROM can not. */
static bool lacks_flag(const struct paging_ctx *ctx, const struct pagewalk_level *level, uint64_t flag)
{
    return !(level->entry & flag) && addr_space_write_roff(ctx->mem, level->entry_addr) != UINT64_MAX;
}

/* Why the tables give no such entry; NULL: they do. */
static const char *find_fault(const struct paging_ctx *ctx, unsigned view, unsigned kind, uint32_t page,
                              uint64_t entry)
{
    unsigned user = view == SHADOW_USER ? PAGEWALK_USER : 0;
    unsigned flags = kind == SHADOW_WRITE ? PAGEWALK_WRITE : kind == SHADOW_FETCH ? PAGEWALK_FETCH : 0;
    struct pagewalk walk;
    if (!pagewalk(ctx, (lin_t)page << PAGE_SHIFT, user | flags, &walk)) {
        return "the access faults";
    }
    roff_t roff = addr_space_read_roff(ctx->mem, walk.gpa);
    if (roff == UINT64_MAX) {
        return "the page is not memory";
    }
    if (entry != (uintptr_t)ram_ptr(ctx->mem->ram, roff) - ((uint64_t)page << PAGE_SHIFT)) {
        return "the page lies elsewhere";
    }
    for (unsigned i = ctx->mode == PAGING_PAE; i < walk.level_count; i++) {
        if (lacks_flag(ctx, &walk.level[i], ENTRY_A)) {
            return "an A flag is clear";
        }
    }
    if (kind != SHADOW_WRITE) {
        return NULL;
    }
    if (addr_space_write_roff(ctx->mem, walk.gpa) != roff) {
        return "writes go elsewhere";
    }
    if (walk.level_count && lacks_flag(ctx, &walk.level[walk.level_count - 1], ENTRY_D)) {
        return "the D flag is clear";
    }
    return ram_watched(ctx->mem->ram, roff) ? "the frame is watched" : NULL;
}

/* Is what the masks say of this entry consistent? */
static const char *find_untold(const struct paging_ctx *ctx, const struct shadow_table *table, unsigned kind,
                               uint32_t page)
{
    unsigned number = page / SHADOW_CHUNK_PAGES;
    const struct shadow_chunk *chunk = &table->chunk[number];
    uint64_t line = BIT(page / SHADOW_LINE_PAGES % 64);
    struct pagewalk walk;
    if (!(chunk->lines[kind] & chunk->lines[SHADOW_READ] & line) ||
        !(table->touched[number / 64] & BIT(number % 64))) {
        return "the next flush will overlook it";
    }
    if (table->entry[SHADOW_READ][page] != table->entry[kind][page]) {
        return "it differs from the read entry";
    }
    if (pagewalk(ctx, (lin_t)page << PAGE_SHIFT, 0, &walk) && !walk.global &&
        !(chunk->local & line && table->local[number / 64] & BIT(number % 64))) {
        return "the next CR3 load will overlook it";
    }
    return NULL;
}

static bool check_chunk(const struct shadow_table *table, const struct paging_ctx *ctx, unsigned view,
                        unsigned number, struct error *difference)
{
    static const char *const view_names[] = {"supervisor", "user"};
    static const char *const kind_names[] = {"read", "write", "fetch"};
    uint32_t first = number * SHADOW_CHUNK_PAGES;
    for (unsigned kind = 0; kind < SHADOW_KINDS; kind++) {
        for (uint32_t page = first; page < first + SHADOW_CHUNK_PAGES; page++) {
            uint64_t entry = table->entry[kind][page];
            if (entry == SHADOW_UNUSABLE) {
                continue;
            }
            const char *fault = find_fault(ctx, view, kind, page, entry);
            fault = fault ? fault : find_untold(ctx, table, kind, page);
            if (fault) {
                error_set(difference, 0, "%s %s entry of 0x%08llx: %s", view_names[view], kind_names[kind],
                          (unsigned long long)page << PAGE_SHIFT, fault);
                return false;
            }
        }
    }
    return true;
}

/* Spaces that are not current are looked through again before use, except for watches. */
static bool check_watches(const struct shadow_table *table, unsigned number, const struct ram *ram,
                          struct error *difference)
{
    uint32_t first = number * SHADOW_CHUNK_PAGES;
    for (uint32_t page = first; page < first + SHADOW_CHUNK_PAGES; page++) {
        uint64_t entry = table->entry[SHADOW_WRITE][page];
        uint64_t linear = (uint64_t)page << PAGE_SHIFT;
        if (entry != SHADOW_UNUSABLE && ram_watched(ram, ram_roff(ram, entry + linear))) {
            error_set(difference, 0, "write entry of 0x%08llx in a space aside: the frame is watched",
                      (unsigned long long)linear);
            return false;
        }
    }
    return true;
}

static bool check_space(const struct shadow *shadow, const struct shadow_space *space,
                        const struct paging_ctx *ctx, struct error *difference)
{
    for (unsigned number = 0; number < SHADOW_CHUNKS; number++) {
        for (unsigned view = 0; space->source[number].page_shift && view < SHADOW_VIEWS; view++) {
            if (space == shadow->current) {
                TRY(check_chunk(&space->view[view], ctx, view, number, difference));
            } else if (!space->stale) {
                TRY(check_watches(&space->view[view], number, ctx->mem->ram, difference));
            }
        }
    }
    return true;
}

/* A window of the user view shows what the entries of its space say, no more. */
static bool check_user_window(const struct shadow_space *space, const struct ram *ram,
                              struct error *difference)
{
    const struct shadow_table *table = &space->view[SHADOW_USER];
    const struct window *window = &space->window;
    for (uint32_t page = 0; window_exists(window) && page < WINDOW_PAGES; page++) {
        if (!window_chunk_used(window, page / WINDOW_CHUNK_PAGES)) {
            page |= WINDOW_CHUNK_PAGES - 1;
            continue;
        }
        bool write = window_shows(window, page, true);
        uint64_t host = (uintptr_t)ram_ptr(ram, window_frame(window, page) << PAGE_SHIFT);
        if (window_shows(window, page, false) &&
            table->entry[write ? SHADOW_WRITE : SHADOW_READ][page] != host - ((uint64_t)page << PAGE_SHIFT)) {
            error_set(difference, 0, "the user window shows 0x%08llx%s, and the entry says otherwise",
                      (unsigned long long)page << PAGE_SHIFT, write ? " writable" : "");
            return false;
        }
    }
    return true;
}

/* The supervisor view's window belongs to no space: it is held against the tables themselves. */
static bool check_kernel_window(const struct shadow *shadow, const struct paging_ctx *ctx,
                                struct error *difference)
{
    const struct window *window = &shadow->kernel_window;
    for (uint32_t page = 0; window_exists(window) && page < WINDOW_PAGES; page++) {
        if (!window_chunk_used(window, page / WINDOW_CHUNK_PAGES)) {
            page |= WINDOW_CHUNK_PAGES - 1;
        }
        if (!window_shows(window, page, false)) {
            continue;
        }
        unsigned kind = window_shows(window, page, true) ? SHADOW_WRITE : SHADOW_READ;
        uint64_t host = (uintptr_t)ram_ptr(ctx->mem->ram, window_frame(window, page) << PAGE_SHIFT);
        const char *fault =
            find_fault(ctx, SHADOW_SUPERVISOR, kind, page, host - ((uint64_t)page << PAGE_SHIFT));
        if (fault) {
            error_set(difference, 0, "the supervisor window shows 0x%08llx: %s",
                      (unsigned long long)page << PAGE_SHIFT, fault);
            return false;
        }
    }
    return true;
}

bool shadow_check(const struct shadow *shadow, const struct paging_ctx *ctx, struct error *difference)
{
    for (unsigned i = 0; i < shadow->space_count; i++) {
        TRY(check_space(shadow, shadow->space[i], ctx, difference));
        TRY(check_user_window(shadow->space[i], ctx->mem->ram, difference));
    }
    return check_kernel_window(shadow, ctx, difference);
}
