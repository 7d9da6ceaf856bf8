/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * info pg, info mem, info tlb: the guest's page tables as a whole.
 *
 * info pg has the form that MIT's operating-systems labs know: entries with equal flags in a row are one line, and so are
 * page tables in a row that are full and uniform. info mem and info tlb have QEMU's. They show what the tables say now,
 * not what a TLB remembers (shadow diff).
 *
 * SDM: Volume 3A, Chapter "Paging".
 */
#include "monitor/groups.h"
#include "monitor/listing.h"
#include "monitor/page_tables.h"

enum { PG_LINES = 4096, MEM_LINES = 4096, TLB_LINES = 65536, PHYSICAL_SHOWN = 6 };

#define N(value) ((unsigned long long)(value))

/* The processor's form of paging, and where to begin. False: paging is off, or no address; said so. */
static bool begin(struct command_call *call, struct page_form *form, uint64_t *from)
{
    *form = page_form(&call->vm->cpu->paging);
    *from = 0;
    if (call->count > 0) {
        TRY(command_value(call, 0, from));
    }
    *from &= UINT32_MAX;
    if (form->levels) {
        return true;
    }
    fprintf(call->out, "PG disabled\n"); /* QEMU's words */
    call->data = json_null();
    return false;
}

/* ---- info pg -------------------------------------------------------------------------------------------- */

/* Of an entry: what makes two of them look alike. */
static uint64_t entry_flags(const struct page_form *form, unsigned level, uint64_t entry)
{
    bool large = level + 1 < form->levels && page_entry_is_leaf(form, level, entry);
    uint64_t flags = PAGE_P | PAGE_PWT | PAGE_PCD;

    if (form->level[level].rights) {
        flags |= PAGE_RW | PAGE_US | PAGE_A | PAGE_XD;
        flags |= page_entry_is_leaf(form, level, entry) ? PAGE_D | PAGE_G : 0;
        flags |= large ? PAGE_PS : 0;
    }
    return entry & flags & (form->entry_size == 8 ? UINT64_MAX : UINT32_MAX);
}

static const char *flags_text(uint64_t flags, char text[11])
{
    static const struct {
        uint64_t bit;
        char letter;
    } shown[10] = {{PAGE_XD, 'X'},  {PAGE_G, 'G'},   {PAGE_PS, 'S'}, {PAGE_D, 'D'},  {PAGE_A, 'A'},
                   {PAGE_PCD, 'C'}, {PAGE_PWT, 'T'}, {PAGE_US, 'U'}, {PAGE_RW, 'W'}, {PAGE_P, 'P'}};

    for (unsigned i = 0; i < 10; i++) {
        text[i] = flags & shown[i].bit ? shown[i].letter : '-';
    }
    text[10] = '\0';
    return text;
}

/* Physical pages in the order of a line, folded where they follow each other. */
struct physical {
    uint64_t first[PHYSICAL_SHOWN], last[PHYSICAL_SHOWN];
    unsigned count;
    bool more;
};

static void physical_add(struct physical *physical, uint64_t page, uint64_t pages)
{
    if (physical->count && !physical->more && physical->last[physical->count - 1] + 1 == page) {
        physical->last[physical->count - 1] += pages;
    } else if (physical->count < PHYSICAL_SHOWN) {
        physical->first[physical->count] = page;
        physical->last[physical->count++] = page + pages - 1;
    } else {
        physical->more = true;
    }
}

struct outline {
    struct listing listing;
    const struct page_form *form;
    lin_t from;
};

/* A line: entries first..last of a level, the first of which covers `linear`. */
struct outline_line {
    unsigned level, first, last;
    uint64_t linear, pages; /* of all of them */
    uint64_t flags;
    bool reserved;
    struct physical physical;
};

static void print_physical(FILE *out, const struct physical *physical)
{
    for (unsigned i = 0; i < physical->count; i++) {
        fprintf(out, " %05llx", N(physical->first[i]));
        if (physical->last[i] > physical->first[i]) {
            fprintf(out, "-%05llx", N(physical->last[i]));
        }
    }
    fputs(physical->more ? " .." : "", out);
}

static json_t *physical_json(const struct physical *physical)
{
    json_t *list = json_array();

    for (unsigned i = 0; i < physical->count; i++) {
        json_array_append_new(
            list, json_pack("[I,I]", (json_int_t)physical->first[i], (json_int_t)physical->last[i]));
    }
    return list;
}

static void print_line(struct outline *outline, const struct outline_line *line)
{
    FILE *out = outline->listing.call->out;
    const char *name = outline->form->level[line->level].name;
    uint64_t vpn = line->linear >> PAGE_SHIFT;
    char entries[24], flags[11];

    if (!listing_room(&outline->listing)) {
        return;
    }
    snprintf(entries, sizeof(entries), line->first == line->last ? "%s[%03x]" : "%s[%03x-%03x]", name,
             line->first, line->last);
    flags_text(line->flags, flags);
    fprintf(out, "%*s[%05llx-%05llx]  %-12s %s", (int)line->level * 2, "", N(vpn), N(vpn + line->pages - 1),
            entries, flags);
    print_physical(out, &line->physical);
    fprintf(out, "%s\n", line->reserved ? "  reserved bit set: #PF" : "");
    listing_row(&outline->listing,
                json_pack("{s:I,s:s,s:[I,I],s:[I,I],s:s,s:o,s:b,s:b}", "level", (json_int_t)line->level,
                          "entry", name, "vpn", (json_int_t)vpn, (json_int_t)(vpn + line->pages - 1), "index",
                          (json_int_t)line->first, (json_int_t)line->last, "flags", flags, "physical",
                          physical_json(&line->physical), "more", line->physical.more, "reserved",
                          line->reserved));
}

/* Each access to the page at `linear` faults because of a reserved bit. */
static bool faults_reserved(const struct page_form *form, lin_t linear)
{
    struct pagewalk walk;

    return !pagewalk(form->ctx, linear, PAGEWALK_READ, &walk) && (walk.error_code & PF_RSVD);
}

static void add_pages(struct outline_line *line, const struct page_form *form, unsigned level, uint64_t entry)
{
    uint64_t pages = BIT(form->level[level].shift) >> PAGE_SHIFT;

    physical_add(&line->physical, page_entry_frame(form, level, entry) >> PAGE_SHIFT, pages);
    line->pages += pages;
}

/* A full table of pages that look alike: then it can share a line with the next one. */
static bool is_uniform(const struct page_form *form, unsigned level, const uint64_t *entry)
{
    uint64_t flags = entry_flags(form, level, entry[0]);

    for (unsigned i = 0; i < form->level[level].count; i++) {
        if (!(entry[i] & PAGE_P) || !page_entry_is_leaf(form, level, entry[i]) ||
            entry_flags(form, level, entry[i]) != flags) {
            return false;
        }
    }
    return true;
}

static void outline_table(struct outline *outline, unsigned level, gpa_t table, lin_t linear);

/* Pages from entry `i` on that look alike. Returns the entry behind them. */
static unsigned outline_pages(struct outline *outline, unsigned level, const uint64_t *entry, unsigned i,
                              lin_t linear)
{
    const struct page_form *form = outline->form;
    uint64_t size = BIT(form->level[level].shift);
    struct outline_line line = {
        .level = level,
        .first = i,
        .linear = linear + i * size,
        .flags = entry_flags(form, level, entry[i]),
        .reserved = faults_reserved(form, linear + i * size),
    };

    do {
        add_pages(&line, form, level, entry[i]);
        line.last = i++;
    } while (i < form->level[level].count && (entry[i] & PAGE_P) &&
             page_entry_is_leaf(form, level, entry[i]) && entry_flags(form, level, entry[i]) == line.flags &&
             faults_reserved(form, linear + i * size) == line.reserved);
    print_line(outline, &line);
    return i;
}

/* Tables from entry `i` on: one, or some that are alike and uniform. Returns the entry behind them. */
static unsigned outline_tables(struct outline *outline, unsigned level, const uint64_t *entry, unsigned i,
                               lin_t linear)
{
    const struct page_form *form = outline->form;
    uint64_t below[PAGE_TABLE_ENTRIES], size = BIT(form->level[level].shift), flags;
    struct outline_line line = {.level = level, .first = i, .last = i, .linear = linear + i * size};
    struct outline_line pages = {.level = level + 1, .linear = line.linear};
    unsigned count = form->level[level + 1].count;

    line.flags = entry_flags(form, level, entry[i]);
    line.pages = size >> PAGE_SHIFT;
    page_table_read(form, level + 1, page_entry_frame(form, level, entry[i]), below);
    if (!is_uniform(form, level + 1, below)) {
        print_line(outline, &line);
        outline_table(outline, level + 1, page_entry_frame(form, level, entry[i]), line.linear);
        return i + 1;
    }
    flags = pages.flags = entry_flags(form, level + 1, below[0]);
    pages.last = count - 1;
    pages.reserved = faults_reserved(form, line.linear);
    do {
        for (unsigned j = 0; j < count; j++) {
            add_pages(&pages, form, level + 1, below[j]);
        }
        line.last = i++;
        if (i == form->level[level].count || !(entry[i] & PAGE_P) ||
            page_entry_is_leaf(form, level, entry[i]) || entry_flags(form, level, entry[i]) != line.flags) {
            break;
        }
        page_table_read(form, level + 1, page_entry_frame(form, level, entry[i]), below);
    } while (is_uniform(form, level + 1, below) && entry_flags(form, level + 1, below[0]) == flags &&
             faults_reserved(form, linear + i * size) == pages.reserved);
    line.pages = (line.last - line.first + 1) * (size >> PAGE_SHIFT);
    print_line(outline, &line);
    print_line(outline, &pages);
    return i;
}

static void outline_table(struct outline *outline, unsigned level, gpa_t table, lin_t linear)
{
    const struct page_form *form = outline->form;
    uint64_t entry[PAGE_TABLE_ENTRIES], size = BIT(form->level[level].shift);

    page_table_read(form, level, table, entry);
    for (unsigned i = 0; i < form->level[level].count;) {
        if (!(entry[i] & PAGE_P) || linear + (i + 1) * size <= outline->from) {
            i++;
        } else if (page_entry_is_leaf(form, level, entry[i])) {
            i = outline_pages(outline, level, entry, i, linear);
        } else {
            i = outline_tables(outline, level, entry, i, linear);
        }
    }
}

static bool info_pg(struct command_call *call)
{
    struct page_form form;
    struct outline outline = {.form = &form};

    if (!begin(call, &form, &outline.from)) {
        return call->data != NULL;
    }
    outline.listing = listing_begin(call, PG_LINES);
    fprintf(call->out, "VPN range     Entry         Flags        Physical page\n");
    outline_table(&outline, 0, page_table_top(&form), 0);
    listing_end(&outline.listing, "info pg ADDR begins at an address");
    return true;
}

/* ---- info mem ------------------------------------------------------------------------------------------- */

struct ranges {
    struct listing listing;
    lin_t first, end;
    bool open, user, writable;
};

static void print_range(struct ranges *ranges)
{
    if (!ranges->open || !listing_room(&ranges->listing)) {
        return;
    }
    fprintf(ranges->listing.call->out, "%016llx-%016llx %016llx %c%c%c\n", N(ranges->first), N(ranges->end),
            N(ranges->end - ranges->first), ranges->user ? 'u' : '-', 'r', ranges->writable ? 'w' : '-');
    listing_row(&ranges->listing,
                json_pack("{s:I,s:I,s:b,s:b}", "first", (json_int_t)ranges->first, "end",
                          (json_int_t)ranges->end, "user", ranges->user, "writable", ranges->writable));
}

static bool add_to_range(void *opaque, const struct page_mapping *mapping)
{
    struct ranges *ranges = opaque;

    if (mapping->reserved) {
        return true;
    }
    if (!ranges->open || mapping->linear != ranges->end || mapping->user != ranges->user ||
        mapping->writable != ranges->writable) {
        print_range(ranges);
        ranges->open = true;
        ranges->first = mapping->linear;
        ranges->user = mapping->user;
        ranges->writable = mapping->writable;
    }
    ranges->end = mapping->linear + mapping->size;
    return true;
}

static bool info_mem(struct command_call *call)
{
    struct page_form form;
    struct ranges ranges = {.open = false};
    uint64_t from;

    if (!begin(call, &form, &from)) {
        return call->data != NULL;
    }
    ranges.listing = listing_begin(call, MEM_LINES);
    page_mappings_each(&form, from, add_to_range, &ranges);
    print_range(&ranges);
    listing_end(&ranges.listing, "info mem ADDR begins at an address");
    return true;
}

/* ---- info tlb ------------------------------------------------------------------------------------------- */

static bool print_mapping(void *opaque, const struct page_mapping *mapping)
{
    static const struct {
        uint64_t bit;
        char letter;
    } shown[9] = {{PAGE_XD, 'X'},  {PAGE_G, 'G'},   {PAGE_PS, 'P'}, {PAGE_D, 'D'}, {PAGE_A, 'A'},
                  {PAGE_PCD, 'C'}, {PAGE_PWT, 'T'}, {PAGE_US, 'U'}, {PAGE_RW, 'W'}};
    struct listing *listing = opaque;
    char flags[10] = "---------";

    if (!listing_room(listing)) {
        return true;
    }
    for (unsigned i = 0; i < ARRAY_LEN(shown); i++) {
        bool counts = shown[i].bit != PAGE_PS || mapping->size > PAGE_SIZE; /* of a PTE it is the PAT bit */

        flags[i] = counts && (mapping->entry & shown[i].bit) ? shown[i].letter : '-';
    }
    fprintf(listing->call->out, "%016llx: %016llx %s\n", N(mapping->linear), N(mapping->gpa), flags);
    listing_row(listing,
                json_pack("{s:I,s:I,s:I,s:s}", "linear", (json_int_t)mapping->linear, "physical",
                          (json_int_t)mapping->gpa, "size", (json_int_t)mapping->size, "flags", flags));
    return true;
}

static bool info_tlb(struct command_call *call)
{
    struct page_form form;
    struct listing listing;
    uint64_t from;

    if (!begin(call, &form, &from)) {
        return call->data != NULL;
    }
    listing = listing_begin(call, TLB_LINES);
    page_mappings_each(&form, from, print_mapping, &listing);
    listing_end(&listing, "info tlb ADDR begins at an address");
    return true;
}

static const struct command commands[] = {
    {"info pg", NULL, "[ADDR]", "the page tables, entries that look alike folded",
     "One line for entries of a table in a row with equal flags: linear pages, entries, flags (X "
     "execute-disable, G global, S "
     "large page, D dirty, A accessed, C cache-disable, T write-through, U user, W writable, P present), "
     "physical pages. Begins at ADDR.",
     false, 0, 1, info_pg},
    {"info mem", NULL, "[ADDR]", "mapped linear memory and its rights (u user, r readable, w writable)", NULL,
     false, 0, 1, info_mem},
    {"info tab", NULL, "[ADDR]", "the same as info mem, Bochs' name", NULL, false, 0, 1, info_mem},
    {"info tlb", NULL, "[ADDR]", "every mapping of the page tables: linear, physical, flags", NULL, false, 0,
     1, info_tlb},
};

const struct command_group paging_group = {"Page tables", commands, ARRAY_LEN(commands)};
