/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Why a shadow entry is not what the guest's tables say. See monitor/shadow_view.h.
 */
#include "monitor/shadow_view.h"

#include <stdio.h>

#include "monitor/page_tables.h"

#define NO_ROFF UINT64_MAX

/* ---- Comparing ------------------------------------------------------------------------------------------ */

static unsigned access_flags(enum shadow_view view, enum shadow_kind kind)
{
    return (view == SHADOW_USER ? PAGEWALK_USER : 0u) | (kind == SHADOW_WRITE   ? PAGEWALK_WRITE
                                                         : kind == SHADOW_FETCH ? PAGEWALK_FETCH
                                                                                : 0u);
}

/* Is the flag clear in an entry that can hold it? One in ROM can not. */
static bool lacks(const struct paging_ctx *ctx, const struct pagewalk_level *level, uint64_t flag)
{
    return !(level->entry & flag) && addr_space_write_roff(ctx->mem, level->entry_addr) != NO_ROFF;
}

static bool lacks_accessed(const struct paging_ctx *ctx, const struct pagewalk *walk)
{
    for (unsigned i = ctx->mode == PAGING_PAE; i < walk->level_count; i++) { /* PDPTEs have no A flag */
        if (lacks(ctx, &walk->level[i], PAGE_A)) {
            return true;
        }
    }
    return false;
}

static bool lacks_dirty(const struct paging_ctx *ctx, const struct pagewalk *walk)
{
    return walk->level_count && lacks(ctx, &walk->level[walk->level_count - 1], PAGE_D);
}

/* Does a debugger's watchpoint keep this kind of access off the page? Fetches go by unseen. */
static bool debugger_sees(const struct paging_ctx *ctx, enum shadow_kind kind, lin_t linear, gpa_t gpa)
{
    unsigned seen = data_watch_at(ctx->watch, linear, gpa);

    return kind == SHADOW_WRITE ? seen != 0 : kind == SHADOW_READ && (seen & DATA_WATCH_READ);
}

/* The tables allow it: what keeps the entry from being usable? */
static void explain_unusable(const struct paging_ctx *ctx, const struct pagewalk *walk, enum shadow_kind kind,
                             lin_t linear, struct shadow_difference *difference)
{
    const struct ram *ram = ctx->mem->ram;
    roff_t roff = addr_space_read_roff(ctx->mem, walk->gpa);
    unsigned reasons = lacks_accessed(ctx, walk) ? SHADOW_NOT_ACCESSED : 0;

    if (roff == NO_ROFF) {
        reasons |= SHADOW_DEVICE;
    }
    if (debugger_sees(ctx, kind, linear, walk->gpa)) {
        reasons |= SHADOW_DEBUGGED;
    }
    if (kind == SHADOW_WRITE) {
        reasons |= lacks_dirty(ctx, walk) ? SHADOW_NOT_DIRTY : 0;
        reasons |= roff != NO_ROFF && addr_space_write_roff(ctx->mem, walk->gpa) != roff ? SHADOW_ROM : 0;
        if (roff != NO_ROFF && ram_watched(ram, roff)) {
            reasons |= SHADOW_WATCHED;
            difference->watch = ram->watch[roff >> PAGE_SHIFT];
        }
    }
    difference->reasons = reasons ? reasons : SHADOW_NOT_FILLED;
}

static uint64_t load_entry(const struct ram *ram, roff_t roff, bool pae)
{
    return pae ? load_le64(ram_ptr(ram, roff)) : load_le32(ram_ptr(ram, roff));
}

/* Did the tables that the entry was filled from change since? Then *difference says which entry. */
static bool source_changed(const struct shadow *shadow, const struct paging_ctx *ctx, uint32_t page,
                           struct shadow_difference *difference)
{
    const struct shadow_source *source = &shadow->current->source[page / SHADOW_CHUNK_PAGES];
    bool pae = ctx->mode == PAGING_PAE;
    unsigned size = pae ? 8 : 4;

    if (source->directory_roff != NO_ROFF) {
        difference->was = source->directory;
        difference->is = load_entry(ctx->mem->ram, source->directory_roff, pae);
        if ((difference->was ^ difference->is) & ~(PAGE_A | PAGE_D)) {
            return true;
        }
    }
    if (source->page_shift == PAGE_SHIFT && source->table_roff != NO_ROFF) {
        difference->was = shadow->current->leaf[page];
        difference->is =
            load_entry(ctx->mem->ram, source->table_roff + size * (page % (PAGE_SIZE / size)), pae);
        return (difference->was ^ difference->is) & ~(PAGE_A | PAGE_D);
    }
    return false;
}

/* May the page's line hold entries of global mappings only, so that a CR3 load leaves it? */
static bool is_global(const struct shadow_table *table, uint32_t page)
{
    const struct shadow_chunk *chunk = &table->chunk[page / SHADOW_CHUNK_PAGES];

    return !(chunk->local >> page / SHADOW_LINE_PAGES % 64 & 1);
}

bool shadow_compare(const struct shadow *shadow, const struct paging_ctx *ctx, enum shadow_view view,
                    enum shadow_kind kind, lin_t linear, struct shadow_difference *difference)
{
    uint32_t page = (uint32_t)linear >> PAGE_SHIFT;
    uint64_t entry = shadow_entry(shadow, view, kind, linear), base = (uint64_t)page << PAGE_SHIFT;
    struct pagewalk walk;
    bool allowed = pagewalk(ctx, base, access_flags(view, kind), &walk), usable = entry != SHADOW_UNUSABLE;
    roff_t roff = allowed ? addr_space_read_roff(ctx->mem, walk.gpa) : NO_ROFF;

    *difference = (struct shadow_difference){.reasons = SHADOW_SAME};
    if (!usable) {
        if (allowed) {
            explain_unusable(ctx, &walk, kind, base, difference);
        }
        return allowed;
    }
    difference->global = is_global(&shadow->current->view[view], page);
    if (roff == NO_ROFF || entry != (uintptr_t)ram_ptr(ctx->mem->ram, roff) - base) {
        difference->reasons = source_changed(shadow, ctx, page, difference) ? SHADOW_STALE : SHADOW_WRONG;
        return true;
    }
    if (kind == SHADOW_WRITE &&
        (ram_watched(ctx->mem->ram, roff) || addr_space_write_roff(ctx->mem, walk.gpa) != roff)) {
        difference->reasons = SHADOW_WRONG;
        return true;
    }
    if (lacks_accessed(ctx, &walk) || (kind == SHADOW_WRITE && lacks_dirty(ctx, &walk))) {
        difference->reasons = SHADOW_STALE_FLAG;
    }
    return difference->reasons != SHADOW_SAME;
}

/* ---- Words ---------------------------------------------------------------------------------------------- */

const char *shadow_reason_name(enum shadow_reason reason)
{
    switch (reason) {
    case SHADOW_SAME:
        return "the same";
    case SHADOW_NOT_FILLED:
        return "not used yet: the next access enters it";
    case SHADOW_NOT_ACCESSED:
        return "A flag clear: the first access sets it";
    case SHADOW_NOT_DIRTY:
        return "D flag clear: the first write sets it";
    case SHADOW_WATCHED:
        return "watched: writes must be noticed";
    case SHADOW_DEVICE:
        return "no memory: the interpreter does each access";
    case SHADOW_ROM:
        return "writes do not go to the memory that is read";
    case SHADOW_STALE:
        return "stale: the table has changed, and was not flushed";
    case SHADOW_STALE_FLAG:
        return "stale: A or D was cleared, and not flushed";
    case SHADOW_WRONG:
        return "wrong: an error of the emulator";
    case SHADOW_DEBUGGED:
        return "a debugger's watchpoint";
    }
    return "";
}

const char *shadow_watch_text(uint8_t watch, char *text, size_t size)
{
    static const char *const names[8] = {
        [RAM_WATCH_CODE] = "decoded code",
        [RAM_WATCH_TRANSLATED] = "translated code",
        [RAM_WATCH_DISPLAY] = "the display",
        [RAM_WATCH_DIRTY] = "dirty tracking",
        [RAM_WATCH_SHARED] = "sharing with another VM",
    };
    size_t used = 0;

    snprintf(text, size, "the judge of -accel dbt,check=on");
    for (unsigned i = 0; i < 8; i++) {
        if ((watch >> i & 1) && used < size) {
            used += (size_t)snprintf(text + used, size - used, "%s%s", used ? ", " : "",
                                     names[i] ? names[i] : "somebody");
        }
    }
    return text;
}

const char *shadow_reasons_text(const struct shadow_difference *difference, char *text, size_t size)
{
    size_t used = 0;
    char watch[96];

    text[0] = '\0';
    for (unsigned i = 0; i < SHADOW_REASONS && used < size; i++) {
        if (!(difference->reasons >> i & 1)) {
            continue;
        }
        used += (size_t)snprintf(text + used, size - used, "%s%s", used ? "; " : "",
                                 shadow_reason_name((enum shadow_reason)(1u << i)));
        if (1u << i == SHADOW_WATCHED && used < size) {
            used += (size_t)snprintf(text + used, size - used, " (%s)",
                                     shadow_watch_text(difference->watch, watch, sizeof(watch)));
        }
        if (1u << i == SHADOW_STALE && used < size) {
            used += (size_t)snprintf(text + used, size - used, " (entry %llx, now %llx; until INVLPG%s)",
                                     (unsigned long long)difference->was, (unsigned long long)difference->is,
                                     difference->global ? "" : " or a CR3 load");
        }
    }
    return *text ? text : shadow_reason_name(SHADOW_SAME);
}
