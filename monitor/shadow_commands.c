/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * shadow show, shadow diff: what the emulator has cached of the guest's page tables, and where and why it differs from them.
 *
 * docs/shadow-paging.md explains shadow tables and windows; monitor/shadow_view.c finds the reasons.
 */
#include "monitor/groups.h"
#include "monitor/guest_memory.h"
#include "monitor/listing.h"
#include "monitor/shadow_view.h"

enum { DIFF_LINES = 256 };

#define N(value) ((unsigned long long)(value))

static const char *const view_names[SHADOW_VIEWS] = {"supervisor", "user"};
static const char *const kind_names[SHADOW_KINDS] = {"read", "write", "fetch"};

/* ---- shadow show ---------------------------------------------------------------------------------------- */

static void show_tlb(struct command_call *call, lin_t linear)
{
    struct vcpu *cpu = call->vm->cpu;
    lin_t page = ALIGN_DOWN(linear, PAGE_SIZE);
    json_t *views = json_object();

    fprintf(call->out, "TLB of the interpreter\n");
    for (unsigned view = 0; view < SHADOW_VIEWS; view++) {
        const struct tlb_entry *entry = tlb_entry_at(cpu->tlb, view, linear);

        if (entry->page != page) {
            fprintf(call->out, "  %-10s  nothing\n", view_names[view]);
            continue;
        }
        fprintf(call->out, "  %-10s  physical %09llx, rights %c%c%c%s%s; direct: %s%s%s\n", view_names[view],
                N(entry->gpa), entry->rights & TLB_READ ? 'r' : '-', entry->rights & TLB_WRITE ? 'w' : '-',
                entry->rights & TLB_FETCH ? 'x' : '-', entry->rights & TLB_GLOBAL ? ", global" : "",
                entry->rights & TLB_DIRTY ? ", dirty" : "", entry->read == page ? "read " : "",
                entry->write == page ? "write " : "", entry->fetch == page ? "fetch" : "");
        json_object_set_new(views, view_names[view],
                            json_pack("{s:I,s:I,s:b,s:b,s:b}", "physical", (json_int_t)entry->gpa, "rights",
                                      (json_int_t)entry->rights, "read", entry->read == page, "write",
                                      entry->write == page, "fetch", entry->fetch == page));
    }
    json_object_set_new(call->data, "tlb", views);
}

static void show_entry(struct command_call *call, const struct shadow *shadow, unsigned view, unsigned kind,
                       lin_t linear, json_t *entries)
{
    uint64_t entry = shadow_entry(shadow, (enum shadow_view)view, (enum shadow_kind)kind, linear);
    struct shadow_difference difference;
    bool differs = shadow_compare(shadow, &call->vm->cpu->paging, (enum shadow_view)view,
                                  (enum shadow_kind)kind, linear, &difference);
    char text[256];

    shadow_reasons_text(&difference, text, sizeof(text));
    fprintf(call->out, "  %-10s  %-5s  ", view_names[view], kind_names[kind]);
    if (entry == SHADOW_UNUSABLE) {
        fprintf(call->out, "unusable; %s\n", differs ? text : "the tables refuse it, too");
    } else {
        fprintf(call->out, "host %012llx%s%s\n", N(entry + linear), differs ? "; " : "", differs ? text : "");
    }
    json_array_append_new(entries, json_pack("{s:s,s:s,s:b,s:I,s:s}", "view", view_names[view], "kind",
                                             kind_names[kind], "usable", entry != SHADOW_UNUSABLE, "reasons",
                                             (json_int_t)difference.reasons, "text", text));
}

static void show_source(struct command_call *call, const struct shadow *shadow, uint32_t page)
{
    const struct shadow_source *source = &shadow->current->source[page / SHADOW_CHUNK_PAGES];

    switch (source->page_shift) {
    case 0:
        fprintf(call->out, "  filled from  nothing: no page of these 2 MiB was used yet\n");
        break;
    case 32:
        fprintf(call->out, "  filled from  no tables: paging was off\n");
        break;
    case PAGE_SHIFT:
        fprintf(call->out, "  filled from  PDE %llx, PTE %llx\n", N(source->directory),
                N(shadow->current->leaf[page]));
        break;
    default:
        fprintf(call->out, "  filled from  PDE %llx, a page of %u MiB\n", N(source->directory),
                1u << (source->page_shift - 20));
        break;
    }
}

static void show_windows(struct command_call *call, struct shadow *shadow, uint32_t page)
{
    json_t *views = json_object();

    fprintf(call->out, "host windows\n");
    for (unsigned view = 0; view < SHADOW_VIEWS; view++) {
        const struct window *window = shadow_window(shadow, (enum shadow_view)view);
        const char *state = !window                             ? "no window"
                            : window_shows(window, page, true)  ? "shown, writable"
                            : window_shows(window, page, false) ? "shown, read-only"
                                                                : "not shown";

        fprintf(call->out, "  %-10s  %s", view_names[view], state);
        if (window && window_shows(window, page, false)) {
            fprintf(call->out, ": host %p shows frame %llx of the VM's memory",
                    (const void *)(window->base + ((uint64_t)page << PAGE_SHIFT)),
                    N(window_frame(window, page)));
        }
        fputc('\n', call->out);
        json_object_set_new(views, view_names[view], json_string(state));
    }
    json_object_set_new(call->data, "windows", views);
}

static void show_frame(struct command_call *call, lin_t linear)
{
    const struct vcpu *cpu = call->vm->cpu;
    const struct ram *ram = cpu->wiring.mem->ram;
    struct pagewalk walk;
    char place[96], watch[96] = "nobody";
    roff_t roff;

    if (!pagewalk(&cpu->paging, linear, PAGEWALK_READ, &walk)) {
        fprintf(call->out, "guest's tables: not mapped (walk %08llx says more)\n", N(linear));
        return;
    }
    roff = addr_space_read_roff(cpu->wiring.mem, walk.gpa);
    if (roff != UINT64_MAX && ram_watched(ram, roff)) {
        shadow_watch_text(ram->watch[roff >> PAGE_SHIFT], watch, sizeof(watch));
    }
    fprintf(call->out, "guest's tables: physical %09llx, %s; watched by %s\n", N(walk.gpa),
            guest_place(cpu, walk.gpa, place, sizeof(place)), watch);
    json_object_set_new(call->data, "physical", json_integer((json_int_t)walk.gpa));
}

static bool run_shadow_show(struct command_call *call)
{
    struct shadow *shadow = call->vm->cpu->shadow_tables;
    json_t *entries = json_array();
    uint64_t linear;

    if (!command_value(call, 0, &linear)) {
        json_decref(entries);
        return false;
    }
    linear &= UINT32_MAX;
    call->data = json_pack("{s:I,s:o}", "linear", (json_int_t)linear, "entries", entries);
    fprintf(call->out, "linear %08llx\n", N(linear));
    show_frame(call, linear);
    show_tlb(call, linear);
    if (!shadow) {
        fprintf(call->out, "no shadow tables: the interpreter runs this VM (-accel dbt has them)\n");
        return true;
    }
    fprintf(call->out, "shadow table of CR3 %08llx, one of %u kept; generation %llu\n",
            N(shadow->current->named ? shadow->current->cr3 : call->vm->cpu->paging.cr3), shadow->space_count,
            N(shadow->generation));
    for (unsigned view = 0; view < SHADOW_VIEWS; view++) {
        for (unsigned kind = 0; kind < SHADOW_KINDS; kind++) {
            show_entry(call, shadow, view, kind, linear, entries);
        }
    }
    show_source(call, shadow, (uint32_t)linear >> PAGE_SHIFT);
    show_windows(call, shadow, (uint32_t)linear >> PAGE_SHIFT);
    return true;
}

/* ---- shadow diff ---------------------------------------------------------------------------------------- */

/* A page in one view. */
struct page_differences {
    struct shadow_difference kind[SHADOW_KINDS];
};

struct diff {
    struct listing listing;
    const struct shadow *shadow;
    const struct paging_ctx *ctx;
    bool everything; /* show what is merely not used yet, too */
    /* pages in a row that differ for the same reasons, a view each */
    struct run {
        uint64_t first, end; /* pages */
        struct page_differences page;
    } run[SHADOW_VIEWS];
    uint64_t pages[SHADOW_VIEWS][SHADOW_KINDS][SHADOW_REASONS]; /* sums */
    uint64_t compared;
};

/* Is there something that the user wants a line for? */
static bool interesting(const struct page_differences *page)
{
    return page->kind[SHADOW_READ].reasons || page->kind[SHADOW_WRITE].reasons ||
           page->kind[SHADOW_FETCH].reasons;
}

static bool same_reasons(const struct shadow_difference *a, const struct shadow_difference *b)
{
    return a->reasons == b->reasons && a->watch == b->watch && a->global == b->global && a->was == b->was &&
           a->is == b->is;
}

static bool same_page(const struct page_differences *a, const struct page_differences *b)
{
    return same_reasons(&a->kind[0], &b->kind[0]) && same_reasons(&a->kind[1], &b->kind[1]) &&
           same_reasons(&a->kind[2], &b->kind[2]);
}

/* The kinds of access that differ for the same reasons share a line. */
static void print_run(struct diff *diff, unsigned view)
{
    struct run *run = &diff->run[view];
    unsigned done = 0;

    for (unsigned kind = 0; run->end > run->first && kind < SHADOW_KINDS; kind++) {
        const struct shadow_difference *difference = &run->page.kind[kind];
        char kinds[32] = "", text[256];

        if ((done >> kind & 1) || !difference->reasons || !listing_room(&diff->listing)) {
            continue;
        }
        for (unsigned other = kind; other < SHADOW_KINDS; other++) {
            if (same_reasons(difference, &run->page.kind[other])) {
                done |= 1u << other;
                snprintf(kinds + strlen(kinds), sizeof(kinds) - strlen(kinds), "%s%s", *kinds ? "," : "",
                         kind_names[other]);
            }
        }
        shadow_reasons_text(difference, text, sizeof(text));
        fprintf(diff->listing.call->out, "%08llx-%08llx  %-10s  %-16s  %s\n", N(run->first << PAGE_SHIFT),
                N((run->end << PAGE_SHIFT) - 1), view_names[view], kinds, text);
        listing_row(&diff->listing,
                    json_pack("{s:I,s:I,s:s,s:s,s:I,s:s}", "first", (json_int_t)(run->first << PAGE_SHIFT),
                              "last", (json_int_t)((run->end << PAGE_SHIFT) - 1), "view", view_names[view],
                              "kinds", kinds, "reasons", (json_int_t)difference->reasons, "text", text));
    }
    run->first = run->end = 0;
}

static void add_sums(struct diff *diff, unsigned view, const struct page_differences *page)
{
    for (unsigned kind = 0; kind < SHADOW_KINDS; kind++) {
        for (unsigned reason = 0; reason < SHADOW_REASONS; reason++) {
            diff->pages[view][kind][reason] += page->kind[kind].reasons >> reason & 1;
        }
    }
}

/* What is no news: fetch entries are made by fetches only, so most pages never have one; and nobody uses all pages. */
static void forget_unused(const struct diff *diff, struct page_differences *page)
{
    for (unsigned kind = 0; kind < SHADOW_KINDS; kind++) {
        unsigned unused = diff->everything && kind != SHADOW_FETCH ? 0
                          : diff->everything                       ? SHADOW_NOT_FILLED
                                                                   : SHADOW_NOT_FILLED | SHADOW_NOT_ACCESSED;

        if (!(page->kind[kind].reasons & ~unused)) {
            page->kind[kind] = (struct shadow_difference){.reasons = SHADOW_SAME};
        }
    }
}

static void compare_page(struct diff *diff, unsigned view, uint64_t number)
{
    struct run *run = &diff->run[view];
    struct page_differences page;

    for (unsigned kind = 0; kind < SHADOW_KINDS; kind++) {
        shadow_compare(diff->shadow, diff->ctx, (enum shadow_view)view, (enum shadow_kind)kind,
                       number << PAGE_SHIFT, &page.kind[kind]);
    }
    add_sums(diff, view, &page);
    forget_unused(diff, &page);
    if (run->end == number && run->end > run->first && same_page(&run->page, &page)) {
        run->end++;
        return;
    }
    print_run(diff, view);
    if (interesting(&page)) {
        *run = (struct run){.first = number, .end = number + 1, .page = page};
    }
}

/* No table maps anything of the chunk, and nothing is entered: 512 pages without a look. */
static bool chunk_is_empty(const struct diff *diff, uint64_t page)
{
    uint64_t number = page / SHADOW_CHUNK_PAGES;
    const struct shadow_table *view = diff->shadow->current->view;
    unsigned directory = diff->ctx->mode == PAGING_PAE ? 2 : 1;
    struct pagewalk walk;

    if ((view[0].touched[number / 64] | view[1].touched[number / 64]) >> number % 64 & 1) {
        return false;
    }
    return !pagewalk(diff->ctx, page << PAGE_SHIFT, PAGEWALK_READ, &walk) && !(walk.error_code & PF_P) &&
           walk.level_count <= directory;
}

static void print_sums(struct diff *diff)
{
    FILE *out = diff->listing.call->out;

    fprintf(out, "%llu pages compared; where the shadow differs:\n", N(diff->compared));
    for (unsigned view = 0; view < SHADOW_VIEWS; view++) {
        for (unsigned kind = 0; kind < SHADOW_KINDS; kind++) {
            for (unsigned reason = 0; reason < SHADOW_REASONS; reason++) {
                uint64_t pages = diff->pages[view][kind][reason];

                if (pages) {
                    fprintf(out, "  %8llu  %-10s  %-5s  %s\n", N(pages), view_names[view], kind_names[kind],
                            shadow_reason_name((enum shadow_reason)(1u << reason)));
                }
            }
        }
    }
}

static void compare_pages(struct diff *diff, uint64_t first, uint64_t end)
{
    for (uint64_t page = first; page < end; page++) {
        if (chunk_is_empty(diff, page)) {
            page |= SHADOW_CHUNK_PAGES - 1;
            continue;
        }
        diff->compared++;
        for (unsigned view = 0; view < SHADOW_VIEWS; view++) {
            compare_page(diff, view, page);
        }
    }
    for (unsigned view = 0; view < SHADOW_VIEWS; view++) {
        print_run(diff, view);
    }
}

static bool run_shadow_diff(struct command_call *call)
{
    struct diff diff = {.shadow = call->vm->cpu->shadow_tables, .ctx = &call->vm->cpu->paging};
    uint64_t from = 0, length = PAGE_SIZE, end;

    if (!diff.shadow) {
        return command_fail(call, "shadow diff: the interpreter runs this VM, it has no shadow tables "
                                  "(-accel dbt has them)");
    }
    diff.everything = call->count > 0;
    if (diff.everything &&
        (!command_value(call, 0, &from) || (call->count > 1 && !command_value(call, 1, &length)))) {
        return false;
    }
    from &= UINT32_MAX;
    length = diff.everything ? MAX(length, (uint64_t)1) : BIT(32);
    end = MIN(from + MIN(length, BIT(32)), BIT(32));
    diff.listing = listing_begin(call, DIFF_LINES);
    compare_pages(&diff, from >> PAGE_SHIFT, ALIGN_UP(end, PAGE_SIZE) >> PAGE_SHIFT);
    listing_end(&diff.listing, "shadow diff ADDR LENGTH looks at a part");
    print_sums(&diff);
    return true;
}

static const struct command commands[] = {
    {"shadow show", NULL, "ADDR", "what the TLB, the shadow tables and the host windows hold for an address",
     "For both views (supervisor, user) and each kind of access: the host address, or why there is none; the "
     "entries of the guest's tables that "
     "it was filled from; whether a host window shows the page; who watches the frame.",
     false, 1, 1, run_shadow_show},
    {"shadow diff", NULL, "[ADDR [LENGTH]]", "where the shadow tables differ from the guest's, and why",
     "Differences are legal: a page that was not used or not written yet, a frame whose writes must be "
     "noticed, a device, or an "
     "entry that the guest has changed and not flushed. Without ADDR all memory is compared, and pages that "
     "are merely not used yet "
     "are in the sums only.",
     false, 0, 2, run_shadow_diff},
};

const struct command_group shadow_group = {"Shadow tables", commands, ARRAY_LEN(commands)};
