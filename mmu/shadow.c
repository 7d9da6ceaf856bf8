/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Shadow page tables, tier 1: filling, flushing, protecting.
 *
 * SDM: Volume 3A, "Paging", section "Caching Translation Information": what a processor may cache, and when
 * it has to forget. A shadow table is a TLB of unlimited size in these terms.
 *
 * Three sizes matter:
 *   page    4 KiB of linear addresses, one entry of each kind in each view
 *   line    8 pages: 64 bytes of entries, 32 or 64 of the guest's page table. Filled and cleared as one
 *   chunk   512 pages: 4 KiB of entries, 64 lines (hence masks of 64 bits). All of it comes from one entry of
 *           the guest's page directory; where that one changed, the chunk is dropped at the next fill
 *
 * Not modelled: what a processor caches of upper levels; 4-level paging.
 */
#include "mmu/shadow.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"

#define ENTRY_P BIT(0)
#define ENTRY_A BIT(5)
#define ENTRY_D BIT(6)

#define NO_ROFF       UINT64_MAX
#define LINES         (SHADOW_CHUNK_PAGES / SHADOW_LINE_PAGES)
#define PATTERN_SIZE  (1 * MIB)
#define AROUND_PAGES  128u                /* what a window looks at around a page, in search of a run */
#define WRITER_FRAMES ((uint64_t)1 << 20) /* frames with a word of their own in shadow->writers */

_Static_assert(LINES == 64, "a line mask has a bit for every line of a chunk");

/* The parts of a space's mapping. */
#define CHUNKS_SIZE (SHADOW_CHUNKS * sizeof(struct shadow_chunk))
#define SOURCE_SIZE (SHADOW_CHUNKS * sizeof(struct shadow_source))
#define LEAF_SIZE   (SHADOW_PAGES * sizeof(uint64_t))
#define TABLES_SIZE (SHADOW_VIEWS * SHADOW_VIEW_SIZE)
#define SPACE_SIZE  (TABLES_SIZE + LEAF_SIZE + SOURCE_SIZE + SHADOW_VIEWS * CHUNKS_SIZE)

/* ---- Memory -------------------------------------------------------------------------------------------- */

/* A file of unusable entries. Tables map it privately: an untouched page of a table costs nothing. */
static int create_pattern(struct error *error)
{
    int fd = memfd_create("shadow-unusable", MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, (off_t)PATTERN_SIZE) < 0) {
        goto fail;
    }
    uint64_t *pattern = mmap(NULL, PATTERN_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
    if (pattern == MAP_FAILED) {
        goto fail;
    }
    for (size_t i = 0; i < PATTERN_SIZE / sizeof(*pattern); i++) {
        pattern[i] = SHADOW_UNUSABLE;
    }
    munmap(pattern, PATTERN_SIZE);
    return fd;

fail:;
    int code = error_set(error, -errno, "cannot create the pattern of shadow tables: %s", strerror(errno));
    if (fd >= 0) {
        close(fd);
    }
    return code;
}

/* Map the pattern over [tables, tables + TABLES_SIZE). */
static bool map_pattern(uint8_t *tables, int pattern)
{
    for (uint64_t done = 0; done < TABLES_SIZE; done += PATTERN_SIZE) {
        TRY(mmap(tables + done, PATTERN_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE,
                 pattern, 0) != MAP_FAILED);
    }
    return true;
}

static void lay_out_space(struct shadow_space *space, uint8_t *memory)
{
    space->memory = memory;
    for (unsigned view = 0; view < SHADOW_VIEWS; view++) {
        for (unsigned kind = 0; kind < SHADOW_KINDS; kind++, memory += SHADOW_PAGES * sizeof(uint64_t)) {
            space->view[view].entry[kind] = (uint64_t *)memory;
        }
    }
    space->leaf = (uint64_t *)memory;
    memory += LEAF_SIZE;
    space->source = (struct shadow_source *)memory;
    memory += SOURCE_SIZE;
    for (unsigned view = 0; view < SHADOW_VIEWS; view++, memory += CHUNKS_SIZE) {
        space->view[view].chunk = (struct shadow_chunk *)memory;
    }
}

/* One more space. NULL with text: the host has no room for it. */
static struct shadow_space *create_space(struct shadow *shadow, struct error *error)
{
    struct shadow_space *space = calloc(1, sizeof(*space));
    uint8_t *memory = MAP_FAILED;
    if (space) {
        memory = mmap(NULL, SPACE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                      -1, 0);
    }
    if (memory == MAP_FAILED || !map_pattern(memory, shadow->pattern)) {
        error_set(error, -errno, "cannot reserve shadow tables of %llu MiB: %s",
                  (unsigned long long)(SPACE_SIZE / MIB), strerror(errno));
        if (memory != MAP_FAILED) {
            munmap(memory, SPACE_SIZE);
        }
        free(space);
        return NULL;
    }
    lay_out_space(space, memory);
    space->generation = ++shadow->generations;
    shadow->space[shadow->space_count++] = space;
    return space;
}

int shadow_init(struct shadow *shadow, struct error *error)
{
    *shadow = (struct shadow){0};
    int code = shadow->pattern = create_pattern(error);
    if (code < 0) {
        return code;
    }
    shadow->writers = mmap(NULL, WRITER_FRAMES * sizeof(uint64_t), PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (shadow->writers == MAP_FAILED) {
        code = error_set(error, -errno, "cannot reserve the index of shadow tables: %s", strerror(errno));
        goto close_pattern;
    }
    shadow->current = create_space(shadow, error);
    if (!shadow->current) {
        code = -ENOMEM;
        goto unmap_writers;
    }
    shadow->generation = shadow->current->generation;
    return 0;

unmap_writers:
    munmap(shadow->writers, WRITER_FRAMES * sizeof(uint64_t));
close_pattern:
    close(shadow->pattern);
    *shadow = (struct shadow){.pattern = -1};
    return code;
}

void shadow_fini(struct shadow *shadow)
{
    if (!shadow->current) {
        return;
    }
    window_fini(&shadow->kernel_window);
    for (unsigned i = 0; i < shadow->space_count; i++) {
        window_fini(&shadow->space[i]->window);
        munmap(shadow->space[i]->memory, SPACE_SIZE);
        free(shadow->space[i]);
    }
    munmap(shadow->writers, WRITER_FRAMES * sizeof(uint64_t));
    close(shadow->pattern);
    *shadow = (struct shadow){.pattern = -1};
}

/* ---- Entries ------------------------------------------------------------------------------------------- */

static unsigned chunk_of(uint32_t page)
{
    return page / SHADOW_CHUNK_PAGES;
}

/* The bit of the page's line in its chunk's masks. */
static uint64_t line_bit(uint32_t page)
{
    return BIT(page / SHADOW_LINE_PAGES % LINES);
}

static void change_generation(struct shadow *shadow, struct shadow_space *space)
{
    space->generation = ++shadow->generations;
    if (space == shadow->current) {
        shadow->generation = space->generation;
    }
}

/* Lines that may hold usable entries: where a write or fetch entry is usable, so is the read one. */
static uint64_t chunk_lines(const struct shadow_chunk *chunk)
{
    return chunk->lines[SHADOW_READ];
}

/* An entry, without touching memory where nothing was entered. */
static uint64_t get_entry(const struct shadow_table *table, enum shadow_kind kind, uint32_t page)
{
    bool used = table->chunk[chunk_of(page)].lines[kind] & line_bit(page);
    return used ? table->entry[kind][page] : SHADOW_UNUSABLE;
}

/* Enter one entry. Unusable ones leave lines alone that hold nothing: their memory stays untouched. */
static void set_entry(struct shadow_table *table, enum shadow_kind kind, uint32_t page, uint64_t entry)
{
    uint64_t *lines = &table->chunk[chunk_of(page)].lines[kind];
    if (entry == SHADOW_UNUSABLE && !(*lines & line_bit(page))) {
        return;
    }
    table->entry[kind][page] = entry;
    *lines |= line_bit(page);
}

/* The window that shows pages of this view of the space. */
static struct window *window_of(struct shadow *shadow, struct shadow_space *space, unsigned view)
{
    return view == SHADOW_USER ? &space->window : &shadow->kernel_window;
}

/* What the view's window shows of [first, first + count) goes. */
static void drop_shown(struct shadow *shadow, struct shadow_space *space, unsigned view, uint32_t first,
                       unsigned count)
{
    struct window *window = window_of(shadow, space, view);
    if (window_exists(window) && window_chunk_used(window, chunk_of(first))) {
        window_drop(window, first, count);
    }
}

/* The same for the lines of a mask. */
static void drop_shown_lines(struct shadow *shadow, struct shadow_space *space, unsigned view,
                             unsigned number, uint64_t mask)
{
    while (mask) {
        unsigned first = (unsigned)__builtin_ctzll(mask);
        uint64_t rest = ~(mask >> first);
        unsigned count = rest ? (unsigned)__builtin_ctzll(rest) : LINES;
        drop_shown(shadow, space, view, number * SHADOW_CHUNK_PAGES + first * SHADOW_LINE_PAGES,
                   count * SHADOW_LINE_PAGES);
        mask &= count == LINES ? 0 : ~(BITS(count - 1, 0) << first);
    }
}

static void clear_line(uint64_t *line)
{
    for (unsigned i = 0; i < SHADOW_LINE_PAGES; i++) {
        line[i] = SHADOW_UNUSABLE;
    }
}

/* Drop those of the chunk's lines that the mask names, and what is known of them. */
static void clear_lines(struct shadow *shadow, struct shadow_space *space, unsigned view, unsigned number,
                        uint64_t mask)
{
    struct shadow_table *table = &space->view[view];
    struct shadow_chunk *chunk = &table->chunk[number];
    if (chunk->lines[SHADOW_FETCH] & mask) {
        change_generation(shadow, space);
    }
    drop_shown_lines(shadow, space, view, number, mask);
    for (unsigned kind = 0; kind < SHADOW_KINDS; kind++) {
        uint64_t *entries = &table->entry[kind][number * SHADOW_CHUNK_PAGES];
        for (uint64_t left = chunk->lines[kind] & mask; left; left &= left - 1) {
            clear_line(entries + SHADOW_LINE_PAGES * (unsigned)__builtin_ctzll(left));
            shadow->stats.lines_cleared++;
        }
        chunk->lines[kind] &= ~mask;
    }
    chunk->local &= ~mask;
    if (!chunk->local) {
        table->local[number / 64] &= ~BIT(number % 64);
    }
    if (!chunk_lines(chunk)) {
        table->touched[number / 64] &= ~BIT(number % 64);
    }
}

/* Drop a chunk in both views. */
static void clear_chunk(struct shadow *shadow, struct shadow_space *space, unsigned number)
{
    for (unsigned view = 0; view < SHADOW_VIEWS; view++) {
        clear_lines(shadow, space, view, number, UINT64_MAX);
    }
}

/* Drop a page in both views, but not from windows. True: there was something to drop. */
static bool clear_entries(struct shadow *shadow, struct shadow_space *space, uint32_t page)
{
    bool entered = false;
    for (unsigned view = 0; view < SHADOW_VIEWS; view++) {
        struct shadow_table *table = &space->view[view];
        entered = entered || get_entry(table, SHADOW_READ, page) != SHADOW_UNUSABLE;
        if (get_entry(table, SHADOW_FETCH, page) != SHADOW_UNUSABLE) {
            change_generation(shadow, space);
        }
        for (unsigned kind = 0; kind < SHADOW_KINDS; kind++) {
            set_entry(table, kind, page, SHADOW_UNUSABLE);
        }
    }
    return entered;
}

static void clear_page(struct shadow *shadow, struct shadow_space *space, uint32_t page)
{
    clear_entries(shadow, space, page);
    for (unsigned view = 0; view < SHADOW_VIEWS; view++) {
        drop_shown(shadow, space, view, page, 1);
    }
}

/* ---- Where entries come from --------------------------------------------------------------------------- */

/* Does a paging-structure entry still give what it gave? A and D may have been set since, not cleared. */
static bool still_gives(uint64_t old, uint64_t new)
{
    return !((old ^ new) & ~(ENTRY_A | ENTRY_D)) && !(old & ~new);
}

static uint64_t load_entry(const struct ram *ram, roff_t roff, bool pae)
{
    return pae ? load_le64(ram_ptr(ram, roff)) : load_le32(ram_ptr(ram, roff));
}

/* The tables that a walk went through, as they are now, after it. */
static struct shadow_source find_source(const struct paging_ctx *ctx, const struct pagewalk *walk)
{
    struct shadow_source source = {.directory_roff = NO_ROFF, .table_roff = NO_ROFF, .page_shift = 32};
    if (ctx->mode == PAGING_OFF) {
        return source;
    }
    const struct pagewalk_level *last = &walk->level[walk->level_count - 1];
    const struct pagewalk_level *directory = walk->page_shift == PAGE_SHIFT ? last - 1 : last;
    source.page_shift = (uint8_t)walk->page_shift;
    source.directory = directory->entry;
    source.directory_roff = addr_space_read_roff(ctx->mem, directory->entry_addr);
    if (source.directory_roff != NO_ROFF) {
        source.directory = load_entry(ctx->mem->ram, source.directory_roff, ctx->mode == PAGING_PAE);
    }
    if (walk->page_shift == PAGE_SHIFT) {
        roff_t roff = addr_space_read_roff(ctx->mem, last->entry_addr);
        source.table_roff = roff == NO_ROFF ? NO_ROFF : ALIGN_DOWN(roff, PAGE_SIZE);
    }
    return source;
}

/* Take note of a chunk's source. What was entered from another one goes. */
static void note_source(struct shadow *shadow, struct shadow_space *space, unsigned number,
                        const struct shadow_source *source)
{
    const struct shadow_source *old = &space->source[number];
    if (old->page_shift != source->page_shift || old->table_roff != source->table_roff ||
        !still_gives(old->directory, source->directory)) {
        clear_chunk(shadow, space, number);
    }
    space->source[number] = *source;
}

/* Take note of the page-table entries of a line. What was entered from other ones goes. */
static void note_leaves(struct shadow *shadow, struct shadow_space *space, const struct paging_ctx *ctx,
                        roff_t table_roff, uint32_t first)
{
    bool pae = ctx->mode == PAGING_PAE;
    unsigned size = pae ? 8 : 4;
    roff_t roff = table_roff + size * (first % (PAGE_SIZE / size));
    unsigned begin = SHADOW_LINE_PAGES, end = 0; /* of what was dropped */
    for (unsigned i = 0; i < SHADOW_LINE_PAGES; i++) {
        uint64_t *old = &space->leaf[first + i];
        uint64_t leaf = load_entry(ctx->mem->ram, roff + size * i, pae);
        if (UNLIKELY(*old != leaf)) {
            if (!still_gives(*old, leaf) && clear_entries(shadow, space, first + i)) {
                shadow->stats.pages_outdated++;
                begin = MIN(begin, i);
                end = i + 1;
            }
            *old = leaf;
        }
    }
    for (unsigned view = 0; begin < end && view < SHADOW_VIEWS; view++) {
        drop_shown(shadow, space, view, first + begin, end - begin);
    }
}

/* ---- Filling ------------------------------------------------------------------------------------------- */

/* Guest-physical pages with one answer to "where in memory". */
struct backing {
    gpa_t first, last;  /* bytes first..last; whole pages */
    roff_t read, write; /* of the byte at `first`; NO_ROFF: not memory */
};

/* A fill under way. */
struct fill {
    struct shadow *shadow;
    struct shadow_space *space;
    struct shadow_table *table;
    const struct paging_ctx *ctx;
    unsigned flags; /* of the access: enum pagewalk_flags */
    struct backing backing;
};

/* What a walk allows in a view, without anything being written to the guest's tables. */
struct rights {
    bool read, write, fetch;
};

/* Find the page at `gpa`, and how far the same answer reaches. */
static void find_backing(struct backing *backing, const struct addr_space *mem, gpa_t gpa)
{
    if (gpa >= backing->first && gpa <= backing->last) {
        return;
    }
    *backing = (struct backing){
        .first = gpa,
        .last = gpa | PAGE_OFFSET_MASK,
        .read = addr_space_read_roff(mem, gpa),
        .write = addr_space_write_roff(mem, gpa),
    };
    if (gpa > mem->last) {
        return;
    }
    const struct flat_range *range = addr_space_find(mem, gpa);
    if (gpa >= range->first && backing->last < range->last) {
        backing->last += ALIGN_DOWN(range->last - backing->last, PAGE_SIZE);
    }
}

static struct rights find_rights(const struct fill *fill, const struct pagewalk *walk)
{
    unsigned user = fill->flags & PAGEWALK_USER;
    return (struct rights){
        .read = pagewalk_allowed(fill->ctx, walk, user | PAGEWALK_READ),
        .write = walk->dirty && pagewalk_allowed(fill->ctx, walk, user | PAGEWALK_WRITE),
        .fetch = pagewalk_allowed(fill->ctx, walk, user | PAGEWALK_FETCH),
    };
}

/* Enter a page that lies at `gpa`. A fetch entry that is there already came from the same tables. */
static void enter_page(struct fill *fill, struct rights rights, uint32_t page, gpa_t gpa)
{
    const struct ram *ram = fill->ctx->mem->ram;
    uint64_t read = SHADOW_UNUSABLE, write = SHADOW_UNUSABLE, fetch = SHADOW_UNUSABLE;
    find_backing(&fill->backing, fill->ctx->mem, gpa);
    if (fill->backing.read != NO_ROFF && rights.read) {
        roff_t roff = fill->backing.read + (gpa - fill->backing.first);
        unsigned seen = data_watch_at(fill->ctx->watch, (lin_t)page << PAGE_SHIFT, gpa);
        fetch = (uintptr_t)ram_ptr(ram, roff) - ((uint64_t)page << PAGE_SHIFT);
        read = seen & DATA_WATCH_READ ? SHADOW_UNUSABLE : fetch;
        if (ram_shared(ram, roff >> PAGE_SHIFT)) {
            fill->shadow->writers[(roff >> PAGE_SHIFT) % WRITER_FRAMES] |= BIT(chunk_of(page) % 64);
        }
        if (rights.write && !seen && fill->backing.write == fill->backing.read && !ram_watched(ram, roff)) {
            write = read;
            fill->shadow->writers[(roff >> PAGE_SHIFT) % WRITER_FRAMES] |= BIT(chunk_of(page) % 64);
        }
    }
    if (get_entry(fill->table, SHADOW_READ, page) != read ||
        (write == SHADOW_UNUSABLE && get_entry(fill->table, SHADOW_WRITE, page) != write)) {
        drop_shown(fill->shadow, fill->space, fill->flags & PAGEWALK_USER ? SHADOW_USER : SHADOW_SUPERVISOR,
                   page, 1);
    }
    set_entry(fill->table, SHADOW_READ, page, read);
    set_entry(fill->table, SHADOW_WRITE, page, write);
    if (fill->flags & PAGEWALK_FETCH) {
        set_entry(fill->table, SHADOW_FETCH, page, rights.fetch ? fetch : SHADOW_UNUSABLE);
    }
}

/* Lines of the chunk may have got entries: let flushes know, and count the table's memory. */
static void note_lines(struct fill *fill, unsigned number, uint64_t lines, bool global)
{
    struct shadow_table *table = fill->table;
    struct shadow_chunk *chunk = &table->chunk[number];
    table->touched[number / 64] |= BIT(number % 64);
    if (!global) {
        chunk->local |= lines;
        table->local[number / 64] |= BIT(number % 64);
    }
    for (unsigned kind = 0; kind < SHADOW_KINDS; kind++) {
        if (chunk->lines[kind] && !(chunk->backed & BIT(kind))) {
            chunk->backed |= (uint8_t)BIT(kind);
            fill->space->backed++;
        }
    }
}

static enum shadow_kind access_kind(unsigned flags)
{
    if (flags & PAGEWALK_WRITE) {
        return SHADOW_WRITE;
    }
    return flags & PAGEWALK_FETCH ? SHADOW_FETCH : SHADOW_READ;
}

/*
 * All of the chunk lies in one large page, or paging is off: one set of rights, frames in a row. The first
 * entry of a kind brings the others along. What the chunk lacks later on is not memory, or it was watched: a
 * fill then looks at one page.
 */
static void fill_chunk(struct fill *fill, const struct pagewalk *walk, uint32_t page, unsigned page_shift)
{
    struct rights rights = find_rights(fill, walk);
    enum shadow_kind kind = access_kind(fill->flags);
    bool is_first = !fill->table->chunk[chunk_of(page)].lines[kind];
    gpa_t offset_mask = BITS(page_shift - 1, 0);
    gpa_t frame = walk->gpa & ~offset_mask;
    uint32_t first = (uint32_t)ALIGN_DOWN(page, SHADOW_CHUNK_PAGES);
    enter_page(fill, rights, page, ALIGN_DOWN(walk->gpa, PAGE_SIZE));
    if (!is_first || get_entry(fill->table, kind, page) == SHADOW_UNUSABLE) {
        note_lines(fill, chunk_of(page), line_bit(page), walk->global);
        return;
    }
    for (uint32_t i = first; i < first + SHADOW_CHUNK_PAGES; i++) {
        gpa_t gpa = (frame | (((gpa_t)i << PAGE_SHIFT) & offset_mask)) & fill->ctx->a20_mask;
        enter_page(fill, rights, i, gpa);
    }
    note_lines(fill, chunk_of(page), UINT64_MAX, walk->global);
    fill->shadow->stats.prefills += SHADOW_CHUNK_PAGES - 1;
}

/* A neighbour is worth a look when its A flag is set and it has no entry for this kind of access yet. */
static bool is_candidate(const struct fill *fill, uint32_t page)
{
    enum shadow_kind kind = fill->flags & PAGEWALK_FETCH ? SHADOW_FETCH : SHADOW_READ;
    uint64_t leaf = fill->space->leaf[page];
    return (leaf & ENTRY_P) && (leaf & ENTRY_A) && get_entry(fill->table, kind, page) == SHADOW_UNUSABLE;
}

/* Enter those pages of the line at `first`, but not `except`, whose A flags are set. False: some mapping is not global. */
static bool fill_neighbours(struct fill *fill, uint32_t first, uint32_t except)
{
    bool global = true;
    for (uint32_t i = first; i < first + SHADOW_LINE_PAGES; i++) {
        struct pagewalk walk;
        if (i != except && is_candidate(fill, i) &&
            pagewalk(fill->ctx, (lin_t)i << PAGE_SHIFT, fill->flags & PAGEWALK_USER, &walk)) {
            enter_page(fill, find_rights(fill, &walk), i, walk.gpa);
            global = global && walk.global;
            fill->shadow->stats.prefills++;
        }
    }
    return global;
}

/* Enter what the guest has used of the lines around a page that is entered, out of the same page table. */
static void fill_around(struct fill *fill, uint32_t page)
{
    const struct shadow_source *source = &fill->space->source[chunk_of(page)];
    uint32_t first = (uint32_t)ALIGN_DOWN(page, AROUND_PAGES);
    if (source->page_shift != PAGE_SHIFT || source->table_roff == NO_ROFF) {
        return;
    }
    for (uint32_t line = first; line < first + AROUND_PAGES; line += SHADOW_LINE_PAGES) {
        uint64_t filled = fill->table->chunk[chunk_of(page)].lines[SHADOW_READ];
        if (!(filled & line_bit(line))) {
            note_leaves(fill->shadow, fill->space, fill->ctx, source->table_roff, line);
            bool global = fill_neighbours(fill, line, UINT32_MAX);
            note_lines(fill, chunk_of(page), line_bit(line), global);
        }
    }
}

static void fill_line(struct fill *fill, const struct pagewalk *walk, uint32_t page, roff_t table_roff)
{
    bool global = walk->global;
    if (table_roff != NO_ROFF) {
        note_leaves(fill->shadow, fill->space, fill->ctx, table_roff,
                    (uint32_t)ALIGN_DOWN(page, SHADOW_LINE_PAGES));
        global = fill_neighbours(fill, (uint32_t)ALIGN_DOWN(page, SHADOW_LINE_PAGES), page) && global;
    } else {
        clear_page(fill->shadow, fill->space, page);
    }
    enter_page(fill, find_rights(fill, walk), page, ALIGN_DOWN(walk->gpa, PAGE_SIZE));
    note_lines(fill, chunk_of(page), line_bit(page), global);
}

/* Enter what a walk found. True: the entry can be used for this access. */
static bool enter_walk(struct shadow *shadow, const struct paging_ctx *ctx, lin_t linear, unsigned flags,
                       const struct pagewalk *walk)
{
    shadow->stats.fills++;
    uint32_t page = (uint32_t)linear >> PAGE_SHIFT;
    struct fill fill = {
        .shadow = shadow,
        .space = shadow->current,
        .table = &shadow->current->view[flags & PAGEWALK_USER ? SHADOW_USER : SHADOW_SUPERVISOR],
        .ctx = ctx,
        .flags = flags,
        .backing = {.first = 1, .last = 0},
    };
    struct shadow_source source = find_source(ctx, walk);
    note_source(shadow, fill.space, chunk_of(page), &source);
    if (source.page_shift == PAGE_SHIFT) {
        fill_line(&fill, walk, page, source.table_roff);
    } else {
        fill_chunk(&fill, walk, page, source.page_shift);
    }
    return get_entry(fill.table, access_kind(flags), page) != SHADOW_UNUSABLE;
}

bool shadow_fill(struct shadow *shadow, const struct paging_ctx *ctx, lin_t linear, unsigned flags,
                 bool *usable, uint32_t *error_code)
{
    struct pagewalk walk;
    if (!pagewalk(ctx, linear, flags | PAGEWALK_SET_AD, &walk)) {
        *error_code = walk.error_code;
        return false;
    }
    if (flags & PAGEWALK_WRITE) {
        ram_watch_announce(ctx->mem->ram, addr_space_write_roff(ctx->mem, walk.gpa));
    }
    *usable = enter_walk(shadow, ctx, linear, flags, &walk);
    return true;
}

bool shadow_prefill(struct shadow *shadow, const struct paging_ctx *ctx, lin_t linear, unsigned flags)
{
    struct pagewalk walk;
    TRY(pagewalk(ctx, linear, flags, &walk));
    for (unsigned i = ctx->mode == PAGING_PAE ? 1 : 0; i < walk.level_count;
         i++) { /* PDPTEs have no A flag */
        TRY(walk.level[i].entry & ENTRY_A);
    }
    TRY(!(flags & PAGEWALK_WRITE) || walk.dirty);
    return enter_walk(shadow, ctx, linear, flags, &walk);
}

/* ---- Flushing ------------------------------------------------------------------------------------------ */

static void flush_space(struct shadow *shadow, struct shadow_space *space, bool keep_global)
{
    for (unsigned view = 0; view < SHADOW_VIEWS; view++) {
        const struct shadow_table *table = &space->view[view];
        const uint64_t *chunks = keep_global ? table->local : table->touched;
        for (unsigned word = 0; word < SHADOW_CHUNKS / 64; word++) {
            for (uint64_t left = chunks[word]; left; left &= left - 1) {
                unsigned number = 64 * word + (unsigned)__builtin_ctzll(left);
                clear_lines(shadow, space, view, number,
                            keep_global ? table->chunk[number].local : UINT64_MAX);
            }
        }
    }
}

void shadow_flush(struct shadow *shadow, bool keep_global)
{
    shadow->stats.flushes++;
    flush_space(shadow, shadow->current, keep_global);
    /* Whose entries the current space will hold from now on is not known: paging may have changed, or CR3. */
    shadow->current->named = false;
    if (keep_global) {
        return;
    }
    if (window_exists(&shadow->kernel_window)) {
        window_clear(&shadow->kernel_window);
    }
    for (unsigned i = 0; i < shadow->space_count; i++) {
        struct shadow_space *space = shadow->space[i];
        if (space != shadow->current) {
            space->stale = true;
            space->named = false;
        }
    }
}

/* The large page of `page`, if one was entered. One of 4 MiB covers two chunks. */
static void flush_large_page(struct shadow *shadow, struct shadow_space *space, uint32_t page,
                             bool only_global)
{
    unsigned number = chunk_of(page);
    for (unsigned i = number & ~1u; i <= (number | 1u); i++) {
        unsigned page_shift = space->source[i].page_shift;
        if (page_shift != 22 && !(i == number && page_shift == 21)) {
            continue;
        }
        for (unsigned view = 0; view < SHADOW_VIEWS; view++) {
            uint64_t local = space->view[view].chunk[i].local;
            clear_lines(shadow, space, view, i, only_global ? ~local : UINT64_MAX);
        }
    }
}

/* May the space hold a global entry of the page? */
static bool holds_global(const struct shadow_space *space, uint32_t page)
{
    uint64_t lines = 0;
    for (unsigned view = 0; view < SHADOW_VIEWS; view++) {
        const struct shadow_chunk *chunk = &space->view[view].chunk[chunk_of(page)];
        lines |= chunk_lines(chunk) & ~chunk->local;
    }
    return lines & line_bit(page);
}

/* Entries in spaces aside are looked through again before use, global ones excepted: these must go now. */
void shadow_flush_page(struct shadow *shadow, lin_t linear)
{
    shadow->stats.page_flushes++;
    uint32_t page = (uint32_t)linear >> PAGE_SHIFT;
    drop_shown(shadow, shadow->current, SHADOW_SUPERVISOR, page, 1); /* it may outlive its entries */
    for (unsigned i = 0; i < shadow->space_count; i++) {
        struct shadow_space *space = shadow->space[i];
        bool aside = space != shadow->current;
        flush_large_page(shadow, space, page, aside);
        if (!aside || holds_global(space, page)) {
            clear_page(shadow, space, page);
        }
    }
}

/* ---- Protecting ---------------------------------------------------------------------------------------- */

/* Drop the chunk's write entries that give this host page. */
static void protect_in_chunk(struct shadow_table *table, unsigned number, uintptr_t host)
{
    uint32_t first = number * SHADOW_CHUNK_PAGES;
    for (uint64_t left = table->chunk[number].lines[SHADOW_WRITE]; left; left &= left - 1) {
        uint32_t line = first + SHADOW_LINE_PAGES * (unsigned)__builtin_ctzll(left);
        for (uint32_t page = line; page < line + SHADOW_LINE_PAGES; page++) {
            uint64_t *entry = &table->entry[SHADOW_WRITE][page];
            if (*entry == host - ((uint64_t)page << PAGE_SHIFT)) {
                *entry = SHADOW_UNUSABLE;
            }
        }
    }
}

static void protect_in_table(struct shadow_table *table, uint64_t writers, uintptr_t host)
{
    for (unsigned word = 0; word < SHADOW_CHUNKS / 64; word++) {
        for (uint64_t left = table->touched[word] & writers; left; left &= left - 1) {
            protect_in_chunk(table, 64 * word + (unsigned)__builtin_ctzll(left), host);
        }
    }
}

static void protect_in_window(struct window *window, uint64_t writers, uint64_t frame)
{
    if (!window_exists(window)) {
        return;
    }
    for (uint64_t left = writers; left; left &= left - 1) {
        for (unsigned number = (unsigned)__builtin_ctzll(left); number < SHADOW_CHUNKS; number += 64) {
            window_protect(window, number, frame);
        }
    }
}

void shadow_protect_frame(struct shadow *shadow, const struct ram *ram, uint64_t frame)
{
    shadow->stats.protects++;
    uint64_t *writers = &shadow->writers[frame % WRITER_FRAMES];
    protect_in_window(&shadow->kernel_window, *writers, frame);
    for (unsigned i = 0; i < shadow->space_count && *writers; i++) {
        protect_in_window(&shadow->space[i]->window, *writers, frame);
        for (unsigned view = 0; view < SHADOW_VIEWS; view++) {
            protect_in_table(&shadow->space[i]->view[view], *writers,
                             (uintptr_t)ram_ptr(ram, frame << PAGE_SHIFT));
        }
    }
    /* Nobody writes the frame now, unless several frames share the word. */
    if (ram->size >> PAGE_SHIFT <= WRITER_FRAMES) {
        *writers = 0;
    }
}

/* ---- Forgetting ---------------------------------------------------------------------------------------- */

/* Drop the chunk's pages that lie at this host address, in both views. */
static void forget_in_chunk(struct shadow *shadow, struct shadow_space *space,
                            const struct shadow_table *table, unsigned number, uintptr_t host)
{
    uint32_t first = number * SHADOW_CHUNK_PAGES;
    for (uint64_t left = chunk_lines(&table->chunk[number]); left; left &= left - 1) {
        uint32_t line = first + SHADOW_LINE_PAGES * (unsigned)__builtin_ctzll(left);
        for (uint32_t page = line; page < line + SHADOW_LINE_PAGES; page++) {
            if (table->entry[SHADOW_READ][page] == host - ((uint64_t)page << PAGE_SHIFT)) {
                clear_entries(shadow, space, page);
            }
        }
    }
}

static void forget_in_table(struct shadow *shadow, struct shadow_space *space,
                            const struct shadow_table *table, uint64_t holders, uintptr_t host)
{
    for (unsigned word = 0; word < SHADOW_CHUNKS / 64; word++) {
        for (uint64_t left = table->touched[word] & holders; left; left &= left - 1) {
            forget_in_chunk(shadow, space, table, 64 * word + (unsigned)__builtin_ctzll(left), host);
        }
    }
}

static void forget_in_window(struct window *window, uint64_t holders, uint64_t frame)
{
    for (uint64_t left = window_exists(window) ? holders : 0; left; left &= left - 1) {
        for (unsigned number = (unsigned)__builtin_ctzll(left); number < SHADOW_CHUNKS; number += 64) {
            window_forget(window, number, frame);
        }
    }
}

void shadow_forget_frame(struct shadow *shadow, const struct ram *ram, uint64_t frame, const uint8_t *old)
{
    uint64_t *holders = &shadow->writers[frame % WRITER_FRAMES];
    forget_in_window(&shadow->kernel_window, *holders, frame);
    for (unsigned i = 0; i < shadow->space_count && *holders; i++) {
        struct shadow_space *space = shadow->space[i];
        forget_in_window(&space->window, *holders, frame);
        for (unsigned view = 0; view < SHADOW_VIEWS; view++) {
            forget_in_table(shadow, space, &space->view[view], *holders, (uintptr_t)old);
        }
    }
    if (ram->size >> PAGE_SHIFT <= WRITER_FRAMES) {
        *holders = 0;
    }
}

/* ---- Windows ------------------------------------------------------------------------------------------- */

int shadow_open_window(struct shadow *shadow, enum shadow_view view, struct error *error)
{
    struct window *window = window_of(shadow, shadow->current, view);
    return window_exists(window) ? 0 : window_init(window, error);
}

void shadow_close_window(struct shadow *shadow, enum shadow_view view)
{
    window_fini(window_of(shadow, shadow->current, view));
}

/* May the supervisor view's page be shown in every space? */
static bool is_global(const struct shadow_table *table, uint32_t page)
{
    return !(table->chunk[chunk_of(page)].local & line_bit(page));
}

/* Does the page belong to the run around one with these entries, and is it not shown like that yet? */
static bool extends_run(const struct shadow_table *table, const struct window *window, uint32_t page,
                        uint64_t read, uint64_t write, bool must_be_global)
{
    return get_entry(table, SHADOW_READ, page) == read && get_entry(table, SHADOW_WRITE, page) == write &&
           !window_shows(window, page, write != SHADOW_UNUSABLE) &&
           (!must_be_global || is_global(table, page));
}

bool shadow_show(struct shadow *shadow, const struct paging_ctx *ctx, enum shadow_view view, lin_t linear,
                 bool write)
{
    const struct shadow_table *table = &shadow->current->view[view];
    struct window *window = window_of(shadow, shadow->current, view);
    uint32_t page = (uint32_t)linear >> PAGE_SHIFT, first = page, last = page;
    uint32_t chunk_first = (uint32_t)ALIGN_DOWN(page, SHADOW_CHUNK_PAGES);
    uint64_t readable = get_entry(table, SHADOW_READ, page), writable = get_entry(table, SHADOW_WRITE, page);
    bool kernel = view == SHADOW_SUPERVISOR;

    if (readable == SHADOW_UNUSABLE || (write && writable == SHADOW_UNUSABLE) ||
        (kernel && !is_global(table, page))) {
        return false;
    }
    struct fill fill = {
        .shadow = shadow,
        .space = shadow->current,
        .table = &shadow->current->view[view],
        .ctx = ctx,
        .flags = kernel ? 0 : PAGEWALK_USER,
        .backing = {.first = 1, .last = 0},
    };
    fill_around(&fill, page);
    while (first > chunk_first && extends_run(table, window, first - 1, readable, writable, kernel)) {
        first--;
    }
    while (last < chunk_first + SHADOW_CHUNK_PAGES - 1 &&
           extends_run(table, window, last + 1, readable, writable, kernel)) {
        last++;
    }
    uint64_t host = readable + ((uint64_t)first << PAGE_SHIFT);
    uint64_t frame = ram_roff(ctx->mem->ram, host) >> PAGE_SHIFT;
    return window_map(window, ctx->mem->ram, first, last - first + 1, frame, writable != SHADOW_UNUSABLE);
}

/* ---- Address spaces ------------------------------------------------------------------------------------ */

static uint64_t space_cr3(const struct paging_ctx *ctx)
{
    return ctx->cr3 & (ctx->mode == PAGING_PAE ? BITS(31, 5) : BITS(31, 12));
}

static struct shadow_space *find_space(const struct shadow *shadow, const struct paging_ctx *ctx)
{
    for (unsigned i = 0; i < shadow->space_count; i++) {
        struct shadow_space *space = shadow->space[i];
        if (space->named && space->cr3 == space_cr3(ctx) &&
            (ctx->mode != PAGING_PAE || memcmp(space->pdpte, ctx->pdpte, sizeof(ctx->pdpte)) == 0)) {
            return space;
        }
    }
    return NULL;
}

/* A space for a new name: nobody's, a new one, or the one that was not used for longest. */
static struct shadow_space *take_space(struct shadow *shadow)
{
    struct shadow_space *oldest = shadow->space[0];
    for (unsigned i = 0; i < shadow->space_count; i++) {
        struct shadow_space *space = shadow->space[i];
        if (!space->named) {
            return space;
        }
        oldest = space->last_used < oldest->last_used ? space : oldest;
    }
    struct shadow_space *created = shadow->space_count < SHADOW_SPACES ? create_space(shadow, NULL) : NULL;
    return created ? created : oldest;
}

/* The directory entry that a chunk came from, and its table: are they where and what they were? */
static bool source_is_valid(const struct shadow_source *source, const struct paging_ctx *ctx)
{
    if (source->page_shift == 32) {
        return true;
    }
    TRY(source->directory_roff != NO_ROFF &&
        (source->page_shift != PAGE_SHIFT || source->table_roff != NO_ROFF));
    uint64_t now = load_entry(ctx->mem->ram, source->directory_roff, ctx->mode == PAGING_PAE);
    return still_gives(source->directory, now);
}

/* Drop what the chunk's local lines hold and the guest's tables no longer give. */
static void revalidate_chunk(struct shadow *shadow, struct shadow_space *space, const struct paging_ctx *ctx,
                             unsigned number)
{
    const struct shadow_source *source = &space->source[number];
    uint64_t lines = 0;
    bool valid = source_is_valid(source, ctx);
    for (unsigned view = 0; view < SHADOW_VIEWS; view++) {
        uint64_t local = space->view[view].chunk[number].local;
        lines |= local;
        if (!valid) {
            clear_lines(shadow, space, view, number, local);
        }
    }
    if (!valid || source->page_shift != PAGE_SHIFT) {
        return;
    }
    for (; lines; lines &= lines - 1) {
        uint32_t line = SHADOW_LINE_PAGES * (unsigned)__builtin_ctzll(lines);
        note_leaves(shadow, space, ctx, source->table_roff, number * SHADOW_CHUNK_PAGES + line);
        shadow->stats.lines_revalidated++;
    }
}

static void revalidate_space(struct shadow *shadow, struct shadow_space *space, const struct paging_ctx *ctx)
{
    const struct shadow_table *view = space->view;
    for (unsigned word = 0; word < SHADOW_CHUNKS / 64; word++) {
        uint64_t left = view[SHADOW_SUPERVISOR].local[word] | view[SHADOW_USER].local[word];
        for (; left; left &= left - 1) {
            revalidate_chunk(shadow, space, ctx, 64 * word + (unsigned)__builtin_ctzll(left));
        }
    }
}

/* Give a space's memory back to the host, which leaves the pattern and zeros. */
static void release_space(struct shadow *shadow, struct shadow_space *space)
{
    if (madvise(space->memory, SPACE_SIZE, MADV_DONTNEED) < 0) {
        flush_space(shadow, space, false);
    }
    for (unsigned view = 0; view < SHADOW_VIEWS; view++) {
        memset(space->view[view].touched, 0, sizeof(space->view[view].touched));
        memset(space->view[view].local, 0, sizeof(space->view[view].local));
    }
    window_fini(&space->window);
    change_generation(shadow, space);
    space->named = space->stale = false;
    space->backed = 0;
}

/* Bound the memory that a guest with many large address spaces makes the tables take. */
static void limit_memory(struct shadow *shadow)
{
    for (;;) {
        struct shadow_space *oldest = NULL;
        unsigned backed = 0;
        for (unsigned i = 0; i < shadow->space_count; i++) {
            struct shadow_space *space = shadow->space[i];
            backed += space->backed;
            if (space != shadow->current && space->backed &&
                (!oldest || space->last_used < oldest->last_used)) {
                oldest = space;
            }
        }
        if (backed <= SHADOW_BACKED_MAX || !oldest) {
            return;
        }
        release_space(shadow, oldest);
    }
}

void shadow_switch(struct shadow *shadow, const struct paging_ctx *ctx)
{
    shadow->stats.switches++;
    struct shadow_space *space = find_space(shadow, ctx);
    if (space) {
        shadow->stats.returns++;
        revalidate_space(shadow, space, ctx);
    } else {
        /* Global entries stay: they are anybody's. */
        space = take_space(shadow);
        window_fini(&space->window);
        space->record = (struct window_record){.looks = 0};
        flush_space(shadow, space, !space->stale);
        space->stale = false;
        space->named = true;
        space->cr3 = space_cr3(ctx);
        memcpy(space->pdpte, ctx->pdpte, sizeof(space->pdpte));
    }
    space->last_used = ++shadow->clock;
    shadow->current = space;
    shadow->generation = space->generation;
    limit_memory(shadow);
}
