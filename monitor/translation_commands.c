/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * tb list, tb show, tb count, exits: what the translator made of the guest's code, and why that code is left.
 *
 * tb show puts guest and host code side by side, each guest instruction beside what became of it. An arrow says where a jump leads:
 * to another block (-> block ...), not yet (-> open), or out of translated code (-> exit ...).
 *
 * docs/binxlate.md explains blocks, their ways in and their exits; docs/inspect.md has an example.
 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

#include "binxlate/inspect.h"
#include "monitor/disassemble.h"
#include "monitor/groups.h"
#include "monitor/listing.h"
#include "vm/symbols.h"

enum {
    LIST_DEFAULT = 20,
    LIST_MAX = 10000,
    SHOWN_BLOCKS = 8, /* of one address: a block a mode */
    SHOW_LINES = 2000,
    PARTS_MAX = 80,
    EXITS_MAX = 160,
    CALLOUTS_SHOWN = 12,
    GUEST_COLUMN = 46,
};

#define N(value) ((unsigned long long)(value))

/* False: there is no translator here; said so. */
static bool translator(struct command_call *call)
{
    return call->vm->binxlate ||
           command_fail(call, "%s: the interpreter runs this VM (-accel dbt translates)",
                        call->command->name);
}

/* ---- tb list -------------------------------------------------------------------------------------------- */

struct collection {
    struct binxlate_block *block; /* owned */
    size_t count, capacity, dead;
    bool no_memory;
};

static bool collect(void *opaque, const struct binxlate_block *block)
{
    struct collection *all = opaque;

    if (block->dead) {
        all->dead++;
        return true;
    }
    if (all->count == all->capacity) {
        size_t capacity = all->capacity ? 2 * all->capacity : 1024;
        struct binxlate_block *blocks = realloc(all->block, capacity * sizeof(*blocks));

        if (!blocks) {
            all->no_memory = true;
            return false;
        }
        all->block = blocks;
        all->capacity = capacity;
    }
    all->block[all->count++] = *block;
    return true;
}

static int by_address(const void *a, const void *b)
{
    const struct binxlate_block *left = a, *right = b;

    if (left->linear != right->linear) {
        return left->linear < right->linear ? -1 : 1;
    }
    return left->mode < right->mode ? -1 : left->mode > right->mode;
}

static int by_heat(const void *a, const void *b)
{
    const struct binxlate_block *left = a, *right = b;

    if (left->executions != right->executions) {
        return left->executions > right->executions ? -1 : 1;
    }
    return by_address(a, b);
}

static void print_block_row(struct listing *listing, const struct binxlate_block *block)
{
    struct command_call *call = listing->call;
    bool counted = binxlate_counting(call->vm->binxlate);
    char mode[48], symbol[64], executions[24] = "-";

    if (!listing_room(listing)) {
        return;
    }
    if (counted) {
        snprintf(executions, sizeof(executions), "%llu", N(block->executions));
    }
    binxlate_mode_name(block->mode, mode, sizeof(mode));
    symbols_format(call->vm->symbols, block->linear, symbol, sizeof(symbol));
    fprintf(call->out, "%08x  %5u  %5u  %5u  %12s  %s%s%s\n", block->linear, block->insns, block->guest_size,
            block->host_size, executions, mode, *symbol ? "  " : "", symbol);
    listing_row(listing, json_pack("{s:I,s:I,s:I,s:I,s:s,s:s,s:b}", "linear", (json_int_t)block->linear,
                                   "insns", (json_int_t)block->insns, "guest_bytes",
                                   (json_int_t)block->guest_size, "host_bytes", (json_int_t)block->host_size,
                                   "mode", mode, "symbol", symbol, "window", block->window));
    if (counted) {
        json_object_set_new(json_array_get(listing->rows, json_array_size(listing->rows) - 1), "executions",
                            json_integer((json_int_t)block->executions));
    }
}

/* [N|sort=hot|addr] in any order. */
static bool parse_list(struct command_call *call, uint64_t *count, bool *hot)
{
    *count = LIST_DEFAULT;
    *hot = binxlate_counting(call->vm->binxlate);
    for (unsigned i = 0; i < call->count; i++) {
        if (!strcmp(call->word[i], "sort=hot")) {
            *hot = true;
        } else if (!strcmp(call->word[i], "sort=addr")) {
            *hot = false;
        } else if (!isdigit((unsigned char)call->word[i][0]) || !command_value(call, i, count)) {
            return command_usage(call);
        }
    }
    if (*hot && !binxlate_counting(call->vm->binxlate)) {
        return command_fail(call, "tb list: executions are not counted (tb count on)");
    }
    return true;
}

static bool run_tb_list(struct command_call *call)
{
    struct collection all = {.block = NULL};
    struct listing listing;
    uint64_t count;
    bool hot;

    if (!translator(call) || !parse_list(call, &count, &hot)) {
        return false;
    }
    binxlate_each_block(call->vm->binxlate, collect, &all);
    if (all.no_memory) {
        free(all.block);
        return command_fail(call, "tb list: out of memory");
    }
    if (all.count) {
        qsort(all.block, all.count, sizeof(*all.block), hot ? by_heat : by_address);
    }
    fprintf(call->out, "%zu blocks, and %zu dropped ones; executions are %scounted\n", all.count, all.dead,
            binxlate_counting(call->vm->binxlate) ? "" : "not ");
    fprintf(call->out, "%-8s  %5s  %5s  %5s  %12s  %s\n", "LINEAR", "INSNS", "GUEST", "HOST", "EXECUTIONS",
            "MODE");
    listing = listing_begin(call, (unsigned)MIN(count, (uint64_t)LIST_MAX));
    for (size_t i = 0; i < all.count; i++) {
        print_block_row(&listing, &all.block[i]);
    }
    listing_end(&listing, "tb list N shows N");
    free(all.block);
    return true;
}

/* ---- tb show -------------------------------------------------------------------------------------------- */

/* What is needed to show a block. */
struct show {
    struct command_call *call;
    const struct binxlate *x;
    struct disassembler *guest, *host; /* owned */
    const struct binxlate_block *block;
    struct binxlate_part part[PARTS_MAX];
    struct binxlate_exit exit[EXITS_MAX];
    unsigned parts, exits;
    unsigned lines;
    json_t *rows; /* of the block */
};

/* The block has an instruction that begins at the address. */
static bool holds(const struct binxlate_block *block, uint32_t linear)
{
    struct binxlate_part part[PARTS_MAX];
    unsigned count = MIN(binxlate_block_parts(block, part, PARTS_MAX), (unsigned)PARTS_MAX);

    for (unsigned i = 0; i < count; i++) {
        if (part[i].kind == BINXLATE_INSN && block->linear + (uint32_t)part[i].guest == linear) {
            return true;
        }
    }
    return false;
}

/* Blocks for an address: those that begin there, or else those that hold it. */
struct search {
    uint32_t linear;
    struct binxlate_block found[SHOWN_BLOCKS];
    unsigned count;
    bool inside; /* they hold it */
};

static bool find_blocks(void *opaque, const struct binxlate_block *block)
{
    struct search *search = opaque;

    if (!block->dead && (search->inside ? holds(block, search->linear) : block->linear == search->linear)) {
        search->found[search->count++] = *block;
    }
    return search->count < SHOWN_BLOCKS;
}

/* Where the branch whose displacement lies at `field` leads. */
static void arrow_text(const struct show *show, uint32_t field, const struct disassembled *insn, char *text,
                       size_t size)
{
    const struct symbols *symbols = show->call->vm->symbols;
    char name[64], symbol[64];

    for (unsigned i = 0; i < show->exits; i++) {
        const struct binxlate_exit *exit = &show->exit[i];

        if (exit->field == field) {
            symbols_format(symbols, exit->target, symbol, sizeof(symbol));
            snprintf(text, size, "-> %s %08x%s%s%s",
                     exit->state == BINXLATE_EXIT_OPEN      ? "open"
                     : exit->state == BINXLATE_EXIT_DROPPED ? "dropped block"
                                                            : "block",
                     exit->target, exit->verified ? " verified" : "", *symbol ? " " : "", symbol);
            return;
        }
    }
    const uint8_t *target = (const uint8_t *)(uintptr_t)insn->target;
    if (insn->target - (uint64_t)(uintptr_t)show->block->exec < show->block->host_size) {
        snprintf(text, size, "-> +%03x", (unsigned)(target - show->block->exec));
    } else if (binxlate_host_name(show->x, target, name, sizeof(name))) {
        snprintf(text, size, "-> %s", name);
    }
}

/* One line: guest text (may be empty) and, unless host is NULL, the host instruction at `offset`. */
static void print_line(struct show *show, const char *guest, uint32_t offset, const struct disassembled *host)
{
    char arrow[160] = "";
    const char *text = host ? host->text : "";

    if (++show->lines > SHOW_LINES) {
        return;
    }
    if (!host) {
        fprintf(show->call->out, "%s\n", guest);
        return;
    }
    if (host->branch) { /* its displacement ends the instruction */
        arrow_text(show, offset + host->length - 4, host, arrow, sizeof(arrow));
    }
    if (*arrow) { /* instead of an address that says nothing */
        fprintf(show->call->out, "%-*.*s  +%03x  %.*s %s\n", GUEST_COLUMN, GUEST_COLUMN, guest, offset,
                (int)strcspn(text, " "), text, arrow);
    } else {
        fprintf(show->call->out, "%-*.*s  +%03x  %s\n", GUEST_COLUMN, GUEST_COLUMN, guest, offset, text);
    }
    json_array_append_new(
        json_object_get(json_array_get(show->rows, json_array_size(show->rows) - 1), "host"),
        json_pack("{s:I,s:s,s:s}", "offset", (json_int_t)offset, "text", text, "arrow", arrow));
}

/* "c0101234  mov eax, dword ptr [ebx]": into text. */
static void guest_text(struct show *show, const struct binxlate_part *part, char *text, size_t size)
{
    uint32_t linear = show->block->linear + (uint32_t)part->guest;
    struct disassembled insn;
    uint8_t bytes[15];
    unsigned count = binxlate_block_bytes(show->x, show->block, part->guest, bytes);

    disassemble(show->guest, bytes, count, linear, &insn);
    snprintf(text, size, "%08x  %s", linear, insn.text);
}

static void show_part(struct show *show, const struct binxlate_part *part)
{
    static const char *const names[] = {[BINXLATE_HEAD] = "ways in", [BINXLATE_STUBS] = "exits"};
    char text[240] = "";

    if (part->kind == BINXLATE_INSN) {
        guest_text(show, part, text, sizeof(text));
    } else {
        snprintf(text, sizeof(text), "          (%s)", names[part->kind]);
    }
    json_array_append_new(show->rows,
                          json_pack("{s:s,s:I,s:[]}", "guest", text, "linear",
                                    (json_int_t)(show->block->linear + (uint32_t)part->guest), "host"));
    if (part->from == part->end) {
        print_line(show, text, 0, NULL);
        return;
    }
    for (uint32_t at = part->from; at < part->end;) {
        struct disassembled host;

        disassemble(show->host, show->block->code + at, part->end - at,
                    (uint64_t)(uintptr_t)show->block->exec + at, &host);
        print_line(show, at == part->from ? text : "", at, &host);
        at += host.length;
    }
}

static void show_block(struct show *show, const struct binxlate_block *block)
{
    FILE *out = show->call->out;
    char mode[48], symbol[64];

    show->block = block;
    show->parts = MIN(binxlate_block_parts(block, show->part, PARTS_MAX), (unsigned)PARTS_MAX);
    show->exits = MIN(binxlate_block_exits(show->x, block, show->exit, EXITS_MAX), (unsigned)EXITS_MAX);
    symbols_format(show->call->vm->symbols, block->linear, symbol, sizeof(symbol));
    binxlate_mode_name(block->mode, mode, sizeof(mode));
    fprintf(out, "block %08x%s%s, %u instructions, mode: %s; memory by %s\n", block->linear,
            *symbol ? " " : "", symbol, block->insns, mode, block->window ? "host window" : "flat table");
    fprintf(out, "host code at %p, %u bytes; chained jumps enter at +%03x", (const void *)block->exec,
            block->host_size, (unsigned)(block->body - block->exec));
    if (binxlate_counting(show->x)) {
        fprintf(out, "; executed %llu times", N(block->executions));
    }
    fprintf(out, "%s\n", block->slow ? "; has instructions that learned to call out" : "");
    show->rows = json_array();
    for (unsigned i = 0; i < show->parts; i++) {
        show_part(show, &show->part[i]);
    }
    json_array_append_new(show->call->data,
                          json_pack("{s:I,s:s,s:b,s:I,s:o}", "linear", (json_int_t)block->linear, "mode",
                                    mode, "window", block->window, "executions",
                                    (json_int_t)block->executions, "code", show->rows));
}

static bool run_tb_show(struct command_call *call)
{
    struct show show = {.call = call, .x = call->vm->binxlate};
    struct search search = {.count = 0};
    struct error error = {.text = "out of memory"};
    uint64_t linear;

    if (!translator(call) || !command_value(call, 0, &linear)) {
        return false;
    }
    search.linear = (uint32_t)linear;
    binxlate_each_block(show.x, find_blocks, &search);
    if (!search.count) {
        search.inside = true;
        binxlate_each_block(show.x, find_blocks, &search);
    }
    if (!search.count) {
        return command_fail(call, "tb show: no block has an instruction at %08x", search.linear);
    }
    show.guest = disassembler_open(32, &error);
    show.host = show.guest ? disassembler_open(64, &error) : NULL;
    call->data = show.host ? json_array() : NULL;
    for (unsigned i = 0; show.host && i < search.count; i++) {
        show_block(&show, &search.found[i]);
    }
    if (show.lines > SHOW_LINES) {
        fprintf(call->out, "... %u more lines\n", show.lines - SHOW_LINES);
    }
    disassembler_close(show.guest);
    disassembler_close(show.host);
    return show.host || command_fail(call, "%s", error.text);
}

static bool run_tb_count(struct command_call *call)
{
    bool on;

    if (!translator(call)) {
        return false;
    }
    if (call->count == 0) {
        fprintf(call->out, "executions are %scounted\n", binxlate_counting(call->vm->binxlate) ? "" : "not ");
        return true;
    }
    on = !strcmp(call->word[0], "on");
    if (!on && strcmp(call->word[0], "off") != 0) {
        return command_usage(call);
    }
    binxlate_set_counting(call->vm->binxlate, on);
    return true;
}

/* ---- exits ---------------------------------------------------------------------------------------------- */

static void print_callouts(struct command_call *call, uint64_t callouts)
{
    struct binxlate_exit_count count[CALLOUTS_SHOWN];
    unsigned rows = binxlate_callout_counts(call->vm->binxlate, count, CALLOUTS_SHOWN);
    json_t *list = json_array();

    fprintf(call->out, "called out most\n");
    for (unsigned i = 0; i < MIN(rows, (unsigned)CALLOUTS_SHOWN); i++) {
        fprintf(call->out, "%14llu %5.1f%%  %s %s\n", N(count[i].count),
                100.0 * (double)count[i].count / (double)MAX(callouts, (uint64_t)1), count[i].name,
                count[i].meaning);
        json_array_append_new(list, json_pack("{s:s++,s:I}", "instruction", count[i].name, " ",
                                              count[i].meaning, "count", (json_int_t)count[i].count));
    }
    json_object_set_new(call->data, "callouts", list);
}

static bool run_exits(struct command_call *call)
{
    struct binxlate_exit_count count[24];
    uint64_t sum = 0, callouts = 0;
    unsigned reasons;

    if (!translator(call)) {
        return false;
    }
    if (call->count > 0) {
        if (strcmp(call->word[0], "reset") != 0) {
            return command_usage(call);
        }
        return binxlate_reset_exits(call->vm->binxlate) || command_fail(call, "exits: out of memory");
    }
    reasons =
        MIN(binxlate_exit_counts(call->vm->binxlate, count, ARRAY_LEN(count)), (unsigned)ARRAY_LEN(count));
    for (unsigned i = 0; i < reasons; i++) {
        sum += count[i].count;
        callouts = !strcmp(count[i].name, "call-out") ? count[i].count : callouts;
    }
    call->data = json_pack("{s:I,s:{}}", "sum", (json_int_t)sum, "exits");
    fprintf(call->out, "translated code was left %llu times\n", N(sum));
    for (unsigned i = 0; i < reasons && count[i].count; i++) {
        fprintf(call->out, "%14llu %5.1f%%  %-17s %s\n", N(count[i].count),
                100.0 * (double)count[i].count / (double)sum, count[i].name, count[i].meaning);
        json_object_set_new(json_object_get(call->data, "exits"), count[i].name,
                            json_integer((json_int_t)count[i].count));
    }
    print_callouts(call, callouts);
    return true;
}

static const struct command commands[] = {
    {"tb list", NULL, "[N|sort=hot|sort=addr]...",
     "translated blocks: the most executed, if that is counted, or all by address", NULL, false, 0, 2,
     run_tb_list},
    {"tb show", NULL, "ADDR", "the guest code of a block beside its host code",
     "The block that begins at ADDR, in each mode that there is one, or those that hold the instruction "
     "there. -> shows where jumps lead: "
     "block (chained), verified (its page's mapping is compared first), open (not chained yet: leaves "
     "translated code), exit (leaves it).",
     false, 1, 1, run_tb_show},
    {"tb count", NULL, "[on|off]", "count how often each block is executed; all blocks are translated anew",
     NULL, false, 0, 1, run_tb_count},
    {"exits", NULL, "[reset]", "why translated code was left, counted; reset begins anew", NULL, false, 0, 1,
     run_exits},
};

const struct command_group translation_group = {"Translator", commands, ARRAY_LEN(commands)};
