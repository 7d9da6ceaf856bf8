/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Shadow page tables, tier 1: filling, flushing, protecting.
 *
 * SDM: Volume 3A, "Paging", section "Caching Translation Information": what a processor may cache, and when it
 * has to forget. A shadow table is a TLB of unlimited size in these terms.
 *
 * Three sizes matter:
 *   page    4 KiB of linear addresses, one entry of each kind in each view
 *   line    8 pages: 64 bytes of entries, 32 or 64 of the guest's page table. Filled and cleared as one
 *   chunk   512 pages: 4 KiB of entries, 64 lines (hence masks of 64 bits). All of it comes from one entry of the
 *           guest's page directory; where that one changed, the chunk is dropped at the next fill
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
#define PATTERN_SIZE  (2 * MIB)
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

static struct shadow_space *create_space(int pattern, struct error *error)
{
    struct shadow_space *space = calloc(1, sizeof(*space));
    uint8_t *memory = MAP_FAILED;
    if (space) {
        memory = mmap(NULL, SPACE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                      -1, 0);
    }
    if (memory == MAP_FAILED || !map_pattern(memory, pattern)) {
        error_set(error, -errno, "cannot reserve shadow tables of %llu MiB: %s",
                  (unsigned long long)(SPACE_SIZE / MIB), strerror(errno));
        if (memory != MAP_FAILED) {
            munmap(memory, SPACE_SIZE);
        }
        free(space);
        return NULL;
    }
    lay_out_space(space, memory);
    return space;
}

int shadow_init(struct shadow *shadow, struct error *error)
{
    *shadow = (struct shadow){.generation = 1};
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
    shadow->current = create_space(shadow->pattern, error);
    if (!shadow->current) {
        code = -ENOMEM;
        goto unmap_writers;
    }
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
    munmap(shadow->current->memory, SPACE_SIZE);
    free(shadow->current);
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

static void change_generation(struct shadow *shadow)
{
    shadow->generation++;
}

/* Lines that may hold usable entries of any kind. Where a write or fetch entry is usable, so is the read one. */
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

static void clear_line(uint64_t *line)
{
    for (unsigned i = 0; i < SHADOW_LINE_PAGES; i++) {
        line[i] = SHADOW_UNUSABLE;
    }
}

/* Drop those of the chunk's lines that the mask names, and what is known of them. */
static void clear_lines(struct shadow *shadow, struct shadow_table *table, unsigned number, uint64_t mask)
{
    struct shadow_chunk *chunk = &table->chunk[number];
    if (chunk->lines[SHADOW_FETCH] & mask) {
        change_generation(shadow);
    }
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
        clear_lines(shadow, &space->view[view], number, UINT64_MAX);
    }
    space->source[number].page_shift = 0;
}

/* Drop a page in both views. */
static void clear_page(struct shadow *shadow, struct shadow_space *space, uint32_t page)
{
    for (unsigned view = 0; view < SHADOW_VIEWS; view++) {
        struct shadow_table *table = &space->view[view];
        if (get_entry(table, SHADOW_FETCH, page) != SHADOW_UNUSABLE) {
            change_generation(shadow);
        }
        for (unsigned kind = 0; kind < SHADOW_KINDS; kind++) {
            set_entry(table, kind, page, SHADOW_UNUSABLE);
        }
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
    for (unsigned i = 0; i < SHADOW_LINE_PAGES; i++) {
        uint64_t leaf = load_entry(ctx->mem->ram, roff + size * i, pae);
        if (!still_gives(space->leaf[first + i], leaf)) {
            clear_page(shadow, space, first + i);
        }
        space->leaf[first + i] = leaf;
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
        uint64_t left = range->last - backing->last;
        backing->last += ALIGN_DOWN(left, PAGE_SIZE);
    }
}

/* May this frame be written through an entry that chunk `number` holds? From now on, then. */
static void note_writer(struct shadow *shadow, roff_t roff, unsigned number)
{
    shadow->writers[(roff >> PAGE_SHIFT) % WRITER_FRAMES] |= BIT(number % 64);
}

/* Enter a page that lies at `gpa` with the rights of `walk`. */
static void enter_page(struct fill *fill, const struct pagewalk *walk, uint32_t page, gpa_t gpa)
{
    struct shadow_table *table = fill->table;
    const struct ram *ram = fill->ctx->mem->ram;
    unsigned user = fill->flags & PAGEWALK_USER;
    find_backing(&fill->backing, fill->ctx->mem, gpa);
    roff_t roff = fill->backing.read;
    uint64_t read = SHADOW_UNUSABLE, write = SHADOW_UNUSABLE, fetch = SHADOW_UNUSABLE;
    if (roff != NO_ROFF && pagewalk_allowed(fill->ctx, walk, user | PAGEWALK_READ)) {
        roff += gpa - fill->backing.first;
        read = (uintptr_t)ram_ptr(ram, roff) - ((uint64_t)page << PAGE_SHIFT);
        if (walk->dirty && fill->backing.write == fill->backing.read && !ram_watched(ram, roff) &&
            pagewalk_allowed(fill->ctx, walk, user | PAGEWALK_WRITE)) {
            write = read;
            note_writer(fill->shadow, roff, chunk_of(page));
        }
        fetch = pagewalk_allowed(fill->ctx, walk, user | PAGEWALK_FETCH) ? read : SHADOW_UNUSABLE;
    }
    uint64_t old = get_entry(table, SHADOW_FETCH, page);
    if (old != SHADOW_UNUSABLE && old != fetch) {
        change_generation(fill->shadow);
    }
    if (!(fill->flags & PAGEWALK_FETCH) && old != fetch) {
        fetch = SHADOW_UNUSABLE;
    }
    set_entry(table, SHADOW_READ, page, read);
    set_entry(table, SHADOW_WRITE, page, write);
    set_entry(table, SHADOW_FETCH, page, fetch);
}

/* Lines of the chunk got entries: let flushes know. */
static void note_lines(struct shadow_table *table, unsigned number, uint64_t lines, bool global)
{
    table->touched[number / 64] |= BIT(number % 64);
    if (!global) {
        table->chunk[number].local |= lines;
        table->local[number / 64] |= BIT(number % 64);
    }
}

/* All of the chunk lies in one large page, or paging is off: one set of rights, frames in a row. */
static void fill_chunk(struct fill *fill, const struct pagewalk *walk, uint32_t page, unsigned page_shift)
{
    gpa_t offset_mask = BITS(page_shift - 1, 0);
    gpa_t frame = walk->gpa & ~offset_mask;
    uint32_t first = (uint32_t)ALIGN_DOWN(page, SHADOW_CHUNK_PAGES);
    for (uint32_t i = first; i < first + SHADOW_CHUNK_PAGES; i++) {
        gpa_t gpa = (frame | (((gpa_t)i << PAGE_SHIFT) & offset_mask)) & fill->ctx->a20_mask;
        enter_page(fill, walk, i, gpa);
    }
    note_lines(fill->table, chunk_of(page), UINT64_MAX, walk->global);
    fill->shadow->stats.prefills += SHADOW_CHUNK_PAGES - 1;
}

/* A neighbour is worth a look when its A flag is set and the entry for this kind of access is not there yet. */
static bool is_candidate(const struct fill *fill, uint32_t page)
{
    enum shadow_kind kind = fill->flags & PAGEWALK_FETCH ? SHADOW_FETCH : SHADOW_READ;
    uint64_t leaf = fill->space->leaf[page];
    return (leaf & ENTRY_P) && (leaf & ENTRY_A) && get_entry(fill->table, kind, page) == SHADOW_UNUSABLE;
}

/* Enter the page, and the pages of its line whose A flags are set already. */
static void fill_line(struct fill *fill, const struct pagewalk *walk, uint32_t page, roff_t table_roff)
{
    uint32_t first = (uint32_t)ALIGN_DOWN(page, SHADOW_LINE_PAGES);
    bool global = walk->global;
    if (table_roff != NO_ROFF) {
        note_leaves(fill->shadow, fill->space, fill->ctx, table_roff, first);
        for (uint32_t i = first; i < first + SHADOW_LINE_PAGES; i++) {
            struct pagewalk other;
            if (i != page && is_candidate(fill, i) &&
                pagewalk(fill->ctx, (lin_t)i << PAGE_SHIFT, fill->flags & PAGEWALK_USER, &other)) {
                enter_page(fill, &other, i, other.gpa);
                global = global && other.global;
                fill->shadow->stats.prefills++;
            }
        }
    }
    enter_page(fill, walk, page, ALIGN_DOWN(walk->gpa, PAGE_SIZE));
    note_lines(fill->table, chunk_of(page), line_bit(page), global);
}

bool shadow_fill(struct shadow *shadow, const struct paging_ctx *ctx, lin_t linear, unsigned flags,
                 bool *usable, uint32_t *error_code)
{
    struct pagewalk walk;
    if (!pagewalk(ctx, linear, flags | PAGEWALK_SET_AD, &walk)) {
        *error_code = walk.error_code;
        return false;
    }
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
    struct shadow_source source = find_source(ctx, &walk);
    note_source(shadow, fill.space, chunk_of(page), &source);
    if (source.page_shift == PAGE_SHIFT) {
        fill_line(&fill, &walk, page, source.table_roff);
    } else {
        fill_chunk(&fill, &walk, page, source.page_shift);
    }
    enum shadow_kind kind = flags & PAGEWALK_WRITE   ? SHADOW_WRITE
                            : flags & PAGEWALK_FETCH ? SHADOW_FETCH
                                                     : SHADOW_READ;
    *usable = get_entry(fill.table, kind, page) != SHADOW_UNUSABLE;
    return true;
}

/* ---- Flushing ------------------------------------------------------------------------------------------ */

static void flush_table(struct shadow *shadow, struct shadow_table *table, bool keep_global)
{
    const uint64_t *chunks = keep_global ? table->local : table->touched;
    for (unsigned word = 0; word < SHADOW_CHUNKS / 64; word++) {
        for (uint64_t left = chunks[word]; left; left &= left - 1) {
            unsigned number = 64 * word + (unsigned)__builtin_ctzll(left);
            clear_lines(shadow, table, number, keep_global ? table->chunk[number].local : UINT64_MAX);
        }
    }
}

void shadow_flush(struct shadow *shadow, bool keep_global)
{
    shadow->stats.flushes++;
    for (unsigned view = 0; view < SHADOW_VIEWS; view++) {
        flush_table(shadow, &shadow->current->view[view], keep_global);
    }
}

/* A 4 MiB page covers two chunks. */
static void flush_large_page(struct shadow *shadow, struct shadow_space *space, unsigned number)
{
    for (unsigned i = number & ~1u; i <= (number | 1u); i++) {
        if (space->source[i].page_shift == 22 || (i == number && space->source[i].page_shift == 21)) {
            clear_chunk(shadow, space, i);
        }
    }
}

void shadow_flush_page(struct shadow *shadow, lin_t linear)
{
    shadow->stats.page_flushes++;
    uint32_t page = (uint32_t)linear >> PAGE_SHIFT;
    flush_large_page(shadow, shadow->current, chunk_of(page));
    clear_page(shadow, shadow->current, page);
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

void shadow_protect_frame(struct shadow *shadow, const struct ram *ram, uint64_t frame)
{
    shadow->stats.protects++;
    uint64_t *writers = &shadow->writers[frame % WRITER_FRAMES];
    uintptr_t host = (uintptr_t)ram_ptr(ram, frame << PAGE_SHIFT);
    for (unsigned view = 0; view < SHADOW_VIEWS; view++) {
        struct shadow_table *table = &shadow->current->view[view];
        for (unsigned word = 0; word < SHADOW_CHUNKS / 64; word++) {
            for (uint64_t left = table->touched[word] & *writers; left; left &= left - 1) {
                protect_in_chunk(table, 64 * word + (unsigned)__builtin_ctzll(left), host);
            }
        }
    }
    /* Nobody writes the frame now, unless several frames share the word. */
    if (ram->size >> PAGE_SHIFT <= WRITER_FRAMES) {
        *writers = 0;
    }
}

/* ---- Checking ------------------------------------------------------------------------------------------ */

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
    if (roff == NO_ROFF) {
        return "the page is not memory";
    }
    if (entry != (uintptr_t)ram_ptr(ctx->mem->ram, roff) - ((uint64_t)page << PAGE_SHIFT)) {
        return "the page lies elsewhere";
    }
    for (unsigned i = ctx->mode == PAGING_PAE; i < walk.level_count; i++) {
        if (!(walk.level[i].entry & ENTRY_A) &&
            addr_space_write_roff(ctx->mem, walk.level[i].entry_addr) != NO_ROFF) {
            return "an A flag is clear";
        }
    }
    if (kind != SHADOW_WRITE) {
        return NULL;
    }
    if (addr_space_write_roff(ctx->mem, walk.gpa) != roff) {
        return "writes go elsewhere";
    }
    return !walk.dirty                        ? "the D flag is clear"
           : ram_watched(ctx->mem->ram, roff) ? "the frame is watched"
                                              : NULL;
}

/* Is what the masks say of this entry consistent? */
static const char *find_untold(const struct paging_ctx *ctx, const struct shadow_table *table, unsigned kind,
                               uint32_t page)
{
    unsigned number = chunk_of(page);
    const struct shadow_chunk *chunk = &table->chunk[number];
    uint64_t line = line_bit(page);
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

static bool check_chunk(const struct shadow *shadow, const struct paging_ctx *ctx, unsigned view,
                        unsigned number, struct error *difference)
{
    static const char *const view_names[] = {"supervisor", "user"};
    static const char *const kind_names[] = {"read", "write", "fetch"};
    const struct shadow_table *table = &shadow->current->view[view];
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

bool shadow_check(const struct shadow *shadow, const struct paging_ctx *ctx, struct error *difference)
{
    for (unsigned view = 0; view < SHADOW_VIEWS; view++) {
        for (unsigned number = 0; number < SHADOW_CHUNKS; number++) {
            if (shadow->current->source[number].page_shift) {
                TRY(check_chunk(shadow, ctx, view, number, difference));
            }
        }
    }
    return true;
}
