/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Translated blocks for onlookers. See binxlate/inspect.h.
 *
 * The records that precision needs anyway (sites: from host addresses to guest instructions; chains: jumps to patch)
 * say everything; this file puts them into the order in which people read them.
 */
#include "binxlate/inspect.h"

#include <stdio.h>
#include <stdlib.h>

#include "binxlate/engine.h"

/* ---- Blocks --------------------------------------------------------------------------------------------- */

static unsigned count_trait(const struct block *block, enum trait trait)
{
    unsigned count = 0;

    for (unsigned i = 0; i < block->count; i++) {
        count += block->traits[i] & trait ? 1 : 0;
    }
    return count;
}

static struct binxlate_block describe(const struct binxlate *x, const struct block *block)
{
    return (struct binxlate_block){
        .block = block,
        .linear = block->linear,
        .roff = block->roff,
        .insns = block->count,
        .mode = block->mode,
        .window = block->mode & MODE_WINDOW,
        .dead = block->dead,
        .executions = block->executions,
        .code = block->code,
        .exec = code_exec(x, block->code),
        .body = code_exec(x, block->body),
        .host_size = block->code_size,
        .guest_size = block->length + block->tail,
        .slow = count_trait(block, TRAIT_SLOW),
        .flat = count_trait(block, TRAIT_FLAT),
    };
}

void binxlate_each_block(const struct binxlate *x,
                         bool (*each)(void *opaque, const struct binxlate_block *block), void *opaque)
{
    for (size_t i = 0; i < x->block_count; i++) {
        struct binxlate_block block = describe(x, x->blocks[i]);

        if (!each(opaque, &block)) {
            return;
        }
    }
}

/* ---- Pieces of host code -------------------------------------------------------------------------------- */

/* Sites of one instruction are one piece: the first says where it begins, any one whether it uses the window. */
unsigned binxlate_block_parts(const struct binxlate_block *view, struct binxlate_part *part, unsigned max)
{
    const struct block *block = view->block;
    struct binxlate_part now = {.kind = BINXLATE_HEAD};
    unsigned count = 0;

    for (unsigned i = 0; i < block->site_count; i++) {
        const struct site *site = &block->sites[i];

        if (now.kind == BINXLATE_INSN && now.index == site->index) {
            now.window = now.window || site->window;
            continue;
        }
        now.end = site->host;
        if (count++ < max) {
            part[count - 1] = now;
        }
        now = (struct binxlate_part){
            .kind = BINXLATE_INSN,
            .index = site->index,
            .guest = site->guest,
            .from = site->host,
            .window = site->window,
            .traits = block->traits[site->index],
        };
    }
    now.end = block->stubs;
    if (count++ < max) {
        part[count - 1] = now;
    }
    if (count++ < max) {
        part[count - 1] =
            (struct binxlate_part){.kind = BINXLATE_STUBS, .from = block->stubs, .end = block->code_size};
    }
    return count;
}

unsigned binxlate_block_bytes(const struct binxlate *x, const struct binxlate_block *view, int32_t guest,
                              uint8_t bytes[15])
{
    const struct ram *ram = x->cpu->wiring.mem->ram;
    const struct block *block = view->block;
    roff_t at = block->roff + (roff_t)(int64_t)guest;
    unsigned count = MIN(15u, PAGE_SIZE - (unsigned)(at & PAGE_OFFSET_MASK));
    unsigned more = MIN((unsigned)block->tail, 15 - count);

    memcpy(bytes, ram_ptr(ram, at), count);
    if (more) {
        memcpy(bytes + count, ram_ptr(ram, block->tail_roff), more);
    }
    return count + more;
}

/* ---- Exits ---------------------------------------------------------------------------------------------- */

static struct binxlate_exit describe_exit(const struct binxlate *x, const struct block *block,
                                          const struct chain *chain)
{
    const uint8_t *target = emit_rel32_target(chain->field, code_view(&x->code));
    const uint8_t *stubs = code_exec(x, block->code + block->stubs);
    const struct block *to = block_at_host(x, target);
    struct binxlate_exit exit = {.field = (uint32_t)(chain->field - block->code), .target = chain->target};

    if (!to || (to == block && target >= stubs)) {
        return exit;
    }
    exit.state = to->dead ? BINXLATE_EXIT_DROPPED : BINXLATE_EXIT_CHAINED;
    exit.verified = target == code_exec(x, to->verified);
    return exit;
}

/* They are few: sorted as they come. */
unsigned binxlate_block_exits(const struct binxlate *x, const struct binxlate_block *view,
                              struct binxlate_exit *exit, unsigned max)
{
    unsigned count = 0;

    for (const struct chain *chain = view->block->exits; chain; chain = chain->next) {
        struct binxlate_exit next = describe_exit(x, view->block, chain);
        unsigned at = MIN(count, max);

        while (at > 0 && exit[at - 1].field > next.field) {
            if (at < max) {
                exit[at] = exit[at - 1];
            }
            at--;
        }
        if (at < max) {
            exit[at] = next;
        }
        count++;
    }
    return count;
}

/* ---- Names ---------------------------------------------------------------------------------------------- */

static const char *const exit_names[EXIT_COUNT] = {
    [EXIT_LOOKUP] = "exit look-up", [EXIT_GONE] = "exit dropped",     [EXIT_VERIFY] = "exit verify",
    [EXIT_CHAIN] = "exit chain",    [EXIT_CALLOUT] = "exit call-out", [EXIT_FAULT] = "exit fault",
};

/* The thunks that have their own address each. */
static const char *single_thunk(const struct binxlate *x, const void *address)
{
    for (unsigned i = 0; i < EXIT_COUNT; i++) {
        if (address == x->exit[i]) {
            return exit_names[i];
        }
    }
    return address == x->exit_indirect   ? "exit look-up of r8"
           : address == x->jump          ? "jump cache"
           : address == x->return_missed ? "return without call"
                                         : NULL;
}

static bool thunk_of_kind(const struct binxlate *x, const void *address, char *text, size_t size)
{
    static const char *const seg_names[SEG_COUNT] = {"es", "cs", "ss", "ds", "fs", "gs"};

    for (unsigned i = 0; i < 3; i++) {
        const char *name = address == x->rep_movs[i]      ? "rep movs"
                           : address == x->rep_stos[i]    ? "rep stos"
                           : address == x->rep_cmps[0][i] ? "repne cmps"
                           : address == x->rep_cmps[1][i] ? "repe cmps"
                           : address == x->rep_scas[0][i] ? "repne scas"
                           : address == x->rep_scas[1][i] ? "repe scas"
                                                          : NULL;

        if (name) {
            snprintf(text, size, "thunk %s%c", name, "bwd"[i]);
            return true;
        }
    }
    for (unsigned i = 0; i < SEG_COUNT; i++) {
        if (address == x->load_segment[i]) {
            snprintf(text, size, "thunk load %s", seg_names[i]);
            return true;
        }
    }
    return false;
}

bool binxlate_host_name(const struct binxlate *x, const void *address, char *text, size_t size)
{
    const struct block *block = block_at_host(x, address);
    const char *thunk = address ? single_thunk(x, address) : NULL;

    if (thunk) {
        snprintf(text, size, "%s", thunk);
        return true;
    }
    if (block) {
        const char *way_in = address == code_exec(x, block->body)       ? ""
                             : address == code_exec(x, block->verified) ? " verified"
                             : address == code_exec(x, block->indirect) ? " indirect"
                                                                        : " inside";

        snprintf(text, size, "block %08x%s", block->linear, way_in);
        return true;
    }
    return address && thunk_of_kind(x, address, text, size);
}

const char *binxlate_mode_name(unsigned mode, char *text, size_t size)
{
    static const struct {
        unsigned bit;
        const char *name;
    } bits[] = {
        {MODE_USER, "user"}, {MODE_CPL0, "cpl0"}, {MODE_FS, "fs"},         {MODE_GS, "gs"},
        {MODE_FPU, "fpu"},   {MODE_SSE, "sse"},   {MODE_WINDOW, "window"},
    };
    size_t used = 0;

    text[0] = '\0';
    for (unsigned i = 0; i < ARRAY_LEN(bits); i++) {
        if (mode & bits[i].bit && used < size) {
            used += (size_t)snprintf(text + used, size - used, "%s%s", used ? " " : "", bits[i].name);
        }
    }
    return text;
}

/* ---- Why code was left ---------------------------------------------------------------------------------- */

static int by_count(const void *a, const void *b)
{
    const struct binxlate_exit_count *left = a, *right = b;

    return left->count < right->count ? 1 : left->count > right->count ? -1 : 0;
}

unsigned binxlate_exit_counts(const struct binxlate *x, struct binxlate_exit_count *count, unsigned max)
{
    const struct binxlate_stats *now = &x->stats, *then = &x->mark;
    uint64_t named = now->faults_refused + now->faults_indirect + now->faults_misaligned +
                     now->faults_divide + now->faults_window;
    uint64_t named_then = then->faults_refused + then->faults_indirect + then->faults_misaligned +
                          then->faults_divide + then->faults_window;
    uint64_t faults = now->host_faults - then->host_faults;
#define SINCE(member) (now->member - then->member)
    struct binxlate_exit_count all[] = {
        {"call-out", "an instruction without translation, or one that meets devices", SINCE(callouts)},
        {"look-up", "an indirect jump or return that the jump cache did not know",
         SINCE(exits_lookup) - SINCE(exits_gone)},
        {"dropped", "the next block was dropped: its bytes were written, or it was made anew",
         SINCE(exits_gone)},
        {"chain", "a direct jump taken for the first time", SINCE(exits_chain)},
        {"verify", "the next block's page is mapped otherwise, or was not fetched from yet",
         SINCE(exits_verify)},
        {"budget", "the time slice is over, or a look whose code runs", SINCE(exits_budget)},
        {"fault, fill", "memory that was not accessed since the last flush",
         faults - MIN(faults, named - named_then)},
        {"fault, window", "a page that the host window does not show yet", SINCE(faults_window)},
        {"fault, indirect", "a device, ROM, or a frame whose writes must be noticed", SINCE(faults_indirect)},
        {"fault, refused", "a page fault of the guest", SINCE(faults_refused)},
        {"fault, misaligned", "an operand that is not aligned, the first time", SINCE(faults_misaligned)},
        {"fault, divide", "a divide error of the guest", SINCE(faults_divide)},
    };
#undef SINCE

    qsort(all, ARRAY_LEN(all), sizeof(all[0]), by_count);
    memcpy(count, all, MIN((size_t)max, ARRAY_LEN(all)) * sizeof(all[0]));
    return (unsigned)ARRAY_LEN(all);
}

unsigned binxlate_callout_counts(const struct binxlate *x, struct binxlate_exit_count *count, unsigned max)
{
    struct binxlate_exit_count *all = calloc(opcode_count, sizeof(*all));
    unsigned rows = 0;

    for (size_t id = 0; all && id < opcode_count; id++) {
        uint64_t since = x->callouts_by_row[id] - (x->callouts_mark ? x->callouts_mark[id] : 0);

        if (since) {
            all[rows++] = (struct binxlate_exit_count){
                .name = opcode_table[id].mnemonic, .meaning = opcode_table[id].operands, .count = since};
        }
    }
    if (all) {
        qsort(all, rows, sizeof(*all), by_count);
        memcpy(count, all, MIN(max, rows) * sizeof(*all));
    }
    free(all);
    return rows;
}

bool binxlate_reset_exits(struct binxlate *x)
{
    if (!x->callouts_mark) {
        x->callouts_mark = calloc(opcode_count, sizeof(*x->callouts_mark));
    }
    if (!x->callouts_mark) {
        return false;
    }
    memcpy(x->callouts_mark, x->callouts_by_row, opcode_count * sizeof(*x->callouts_mark));
    x->mark = x->stats;
    return true;
}

/* ---- Counting ------------------------------------------------------------------------------------------- */

void binxlate_set_counting(struct binxlate *x, bool on)
{
    if (x->counting != on) {
        x->counting = on;
        binxlate_reset(x);
    }
}

bool binxlate_counting(const struct binxlate *x)
{
    return x->counting;
}
