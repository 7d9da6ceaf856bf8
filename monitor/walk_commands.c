/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * walk: one linear address through the guest's page tables, every step explained.
 *
 * The steps and the verdict are those of mmu/pagewalk.c, which the engines use; the words are made here.
 *
 * SDM: Volume 3A, "32-Bit Paging", "PAE Paging", "Access Rights", "Page-Fault Exceptions".
 */
#include "monitor/groups.h"
#include "monitor/guest_memory.h"
#include "monitor/page_tables.h"

#define N(value) ((unsigned long long)(value))

/* ---- Words ---------------------------------------------------------------------------------------------- */

static void add_word(char *text, size_t size, const char *word)
{
    size_t used = strlen(text);

    snprintf(text + used, size - used, "%s%s", used ? ", " : "", word);
}

/* "present, writable, user, accessed" */
static void entry_text(const struct page_form *form, unsigned level, uint64_t entry, char *text, size_t size)
{
    bool leaf = page_entry_is_leaf(form, level, entry), rights = form->level[level].rights;

    text[0] = '\0';
    add_word(text, size, entry & PAGE_P ? "present" : "not present");
    if (!(entry & PAGE_P)) {
        return;
    }
    if (rights) {
        add_word(text, size, entry & PAGE_RW ? "writable" : "read-only");
        add_word(text, size, entry & PAGE_US ? "user" : "supervisor");
        add_word(text, size, entry & PAGE_A ? "accessed" : "not accessed");
    }
    if (rights && leaf) {
        add_word(text, size, entry & PAGE_D ? "dirty" : "clean");
        add_word(text, size,
                 entry & PAGE_G ? (form->ctx->pge ? "global" : "G without CR4.PGE") : "not global");
    }
    if (entry & PAGE_PCD) {
        add_word(text, size, "cache disabled");
    }
    if (entry & PAGE_PWT) {
        add_word(text, size, "write-through");
    }
    if (rights && form->entry_size == 8 && (entry & PAGE_XD)) {
        add_word(text, size, form->ctx->nx ? "no execution" : "XD without EFER.NXE: reserved");
    }
    if (level + 1 < form->levels && rights && (entry & PAGE_PS)) {
        add_word(text, size, leaf ? "large page" : "PS without CR4.PSE: ignored");
    }
}

/* What the level decides. */
static void decision_text(const struct page_form *form, unsigned level, uint64_t entry, bool last,
                          uint32_t error_code, char *text, size_t size)
{
    gpa_t frame = page_entry_frame(form, level, entry);

    if (!(entry & PAGE_P)) {
        snprintf(text, size, "the walk ends here");
    } else if (last && (error_code & PF_RSVD)) {
        snprintf(text, size, "a reserved bit is set: the walk ends here");
    } else if (page_entry_is_leaf(form, level, entry)) {
        snprintf(text, size, "page of %s at %09llx",
                 form->level[level].shift == 12   ? "4 KiB"
                 : form->level[level].shift == 21 ? "2 MiB"
                                                  : "4 MiB",
                 N(frame));
    } else {
        snprintf(text, size, "table of %ss at %09llx", form->level[level + 1].name, N(frame));
    }
}

/* "0007 (P: rights refuse it, W: write, U: user)" */
static void error_text(uint32_t error_code, char *text, size_t size)
{
    text[0] = '\0';
    add_word(text, size, error_code & PF_P ? "P: present" : "not P: not present");
    add_word(text, size, error_code & PF_W ? "W: a write" : "not W: a read");
    add_word(text, size, error_code & PF_U ? "U: by user" : "not U: by supervisor");
    if (error_code & PF_RSVD) {
        add_word(text, size, "RSVD: reserved bit set");
    }
    if (error_code & PF_I) {
        add_word(text, size, "I: a fetch");
    }
}

/* ---- Levels --------------------------------------------------------------------------------------------- */

static void print_levels(struct command_call *call, const struct page_form *form, lin_t linear,
                         const struct pagewalk *walk, bool mapped)
{
    json_t *levels = json_array();

    fprintf(call->out, "CR3 %08llx: table of %ss at %08llx%s\n", N(form->ctx->cr3), form->level[0].name,
            N(page_table_top(form)),
            form->ctx->mode == PAGING_PAE ? ", in the processor since CR3 was loaded" : "");
    for (unsigned i = 0; i < walk->level_count && i < form->levels; i++) {
        const struct pagewalk_level *level = &walk->level[i];
        unsigned index = (unsigned)(linear >> form->level[i].shift) & (form->level[i].count - 1);
        char flags[160], decision[80];

        entry_text(form, i, level->entry, flags, sizeof(flags));
        decision_text(form, i, level->entry, i + 1 == walk->level_count, mapped ? 0 : walk->error_code,
                      decision, sizeof(decision));
        fprintf(call->out, "%*s%s[%03x] at %09llx: %0*llx  %s\n%*s%s\n", (int)i * 2 + 2, "",
                form->level[i].name, index, N(level->entry_addr), (int)form->entry_size * 2, N(level->entry),
                flags, (int)i * 2 + 4, "", decision);
        json_array_append_new(levels,
                              json_pack("{s:s,s:I,s:I,s:I,s:s,s:s}", "name", form->level[i].name, "index",
                                        (json_int_t)index, "address", (json_int_t)level->entry_addr, "entry",
                                        (json_int_t)level->entry, "flags", flags, "decision", decision));
    }
    json_object_set_new(call->data, "levels", levels);
}

/* ---- The verdict ---------------------------------------------------------------------------------------- */

static const char *access_name(unsigned flags)
{
    return flags & PAGEWALK_WRITE ? "write" : flags & PAGEWALK_FETCH ? "fetch" : "read";
}

/* Why it is allowed although, or refused because. */
static const char *reason(const struct paging_ctx *ctx, const struct pagewalk *walk, unsigned flags,
                          bool allowed)
{
    bool user = flags & PAGEWALK_USER;

    if (ctx->mode == PAGING_OFF) {
        return "paging is off";
    }
    if (!allowed && !(walk->error_code & PF_P)) {
        return "an entry is not present";
    }
    if (!allowed && (walk->error_code & PF_RSVD)) {
        return "an entry has a reserved bit set";
    }
    if (!allowed && user && !walk->user) {
        return "a level has U/S clear: for supervisors only";
    }
    if (!allowed && (flags & PAGEWALK_WRITE)) {
        return user ? "a level has R/W clear" : "a level has R/W clear, and CR0.WP binds supervisors to it";
    }
    if (!allowed) {
        return "a level has XD set";
    }
    if ((flags & PAGEWALK_WRITE) && !walk->writable) {
        return "R/W is clear, but CR0.WP is too: supervisors write anywhere";
    }
    if (!user && walk->user) {
        return "user page: there is no SMEP or SMAP to keep supervisors off";
    }
    return "";
}

static void print_verdict(struct command_call *call, lin_t linear, unsigned flags)
{
    const struct paging_ctx *ctx = &call->vm->cpu->paging;
    struct pagewalk walk;
    bool allowed = pagewalk(ctx, linear, flags, &walk);
    const char *who = flags & PAGEWALK_USER ? "user" : "supervisor",
               *why = reason(ctx, &walk, flags, allowed);
    char error[160];

    if (allowed) {
        fprintf(call->out, "  %-10s %-5s  allowed%s%s%s\n", who, access_name(flags), *why ? " (" : "", why,
                *why ? ")" : "");
    } else {
        error_text(walk.error_code, error, sizeof(error));
        fprintf(call->out, "  %-10s %-5s  #PF(%04x): %s; %s\n", who, access_name(flags), walk.error_code, why,
                error);
    }
    json_array_append_new(json_object_get(call->data, "verdicts"),
                          json_pack("{s:s,s:s,s:b,s:I,s:s}", "who", who, "access", access_name(flags),
                                    "allowed", allowed, "error_code",
                                    (json_int_t)(allowed ? 0 : walk.error_code), "reason", why));
}

static void print_rights(struct command_call *call, const struct paging_ctx *ctx, const struct pagewalk *walk)
{
    fprintf(call->out, "all levels together: %s, %s, %s, %s\n", walk->user ? "user" : "supervisor only",
            walk->writable ? "writable" : "read-only",
            !ctx->nx           ? "executable (no XD: EFER.NXE is clear)"
            : walk->executable ? "executable"
                               : "not executable",
            walk->global ? "global" : "not global");
}

/* Where the physical address leads. */
static void print_place(struct command_call *call, const struct pagewalk *walk)
{
    const struct vcpu *cpu = call->vm->cpu;
    roff_t roff = addr_space_read_roff(cpu->wiring.mem, walk->gpa);
    char place[96];

    guest_place(cpu, walk->gpa, place, sizeof(place));
    fprintf(call->out, "physical %09llx: %s", N(walk->gpa), place);
    if (roff != UINT64_MAX) {
        fprintf(call->out, ", offset %llx of the VM's memory", N(roff));
    }
    fprintf(call->out, "%s\n", cpu->paging.a20_mask == UINT64_MAX ? "" : "; A20 is masked");
    json_object_set_new(call->data, "physical", json_integer((json_int_t)walk->gpa));
    json_object_set_new(call->data, "place", json_string(place));
}

/* ---- The command ---------------------------------------------------------------------------------------- */

/* [r|w|x] [u|s] in any order. *kinds: 3 bits, read, write, fetch; *views: user, supervisor. */
static bool parse_access(struct command_call *call, unsigned *kinds, unsigned *views)
{
    *kinds = *views = 0;
    for (unsigned i = 1; i < call->count; i++) {
        for (const char *c = call->word[i]; *c; c++) {
            const char *kind = strchr("rwx", *c), *view = strchr("us", *c);

            if (kind) {
                *kinds |= 1u << (kind - "rwx");
            } else if (view) {
                *views |= 1u << (view - "us");
            } else {
                return command_usage(call);
            }
        }
    }
    *kinds = *kinds ? *kinds : 7;
    *views = *views ? *views : 3;
    return true;
}

static bool run_walk(struct command_call *call)
{
    static const unsigned kind_flags[3] = {PAGEWALK_READ, PAGEWALK_WRITE, PAGEWALK_FETCH};
    const struct paging_ctx *ctx = &call->vm->cpu->paging;
    struct page_form form = page_form(ctx);
    unsigned kinds, views;
    uint64_t linear;
    struct pagewalk walk;

    if (!command_value(call, 0, &linear) || !parse_access(call, &kinds, &views)) {
        return false;
    }
    linear &= UINT32_MAX;
    bool mapped = pagewalk(ctx, linear, PAGEWALK_READ, &walk);
    call->data = json_pack("{s:I,s:b,s:[]}", "linear", (json_int_t)linear, "mapped", mapped, "verdicts");
    fprintf(call->out, "linear %08llx\n", N(linear));
    if (form.levels) {
        print_levels(call, &form, linear, &walk, mapped);
    }
    if (mapped && form.levels) {
        print_rights(call, ctx, &walk);
    }
    for (unsigned i = 0; i < 6; i++) {
        if ((views & (i < 3 ? 2u : 1u)) && (kinds & 1u << i % 3)) {
            print_verdict(call, linear, kind_flags[i % 3] | (i < 3 ? 0 : PAGEWALK_USER));
        }
    }
    if (mapped) {
        print_place(call, &walk);
    }
    return true;
}

static const struct command commands[] = {
    {"walk", "page", "ADDR [r|w|x] [u|s]", "explain the page walk of a linear address",
     "Each level with its entry, what the flags say and what it decides; the rights of all levels together; "
     "for each access "
     "(or those named: r w x, by u or s) whether it is allowed and why, or the error code of its #PF; where "
     "the physical "
     "address leads. Nothing is changed: no A or D bit is set.",
     false, 1, 3, run_walk},
};

const struct command_group walk_group = {"Page walk", commands, ARRAY_LEN(commands)};
