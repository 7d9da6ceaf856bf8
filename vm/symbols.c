/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The symbol table: one array of symbols, and two orders of it.
 *
 *     symbol[]       as they came, file after file
 *     by_address[]   indices, by address; of several at one address the best first; no absolute ones
 *     by_name[]      indices, by name; of several with one name the best first
 *
 * A batch becomes part of the table by making a new table of both, so that a failure leaves the old one as it was. Names
 * live in blocks, one a batch, which tables hand on.
 *
 * Reading files is in vm/symbols_file.c.
 */
#include "vm/symbols.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* Bounds far above any kernel's, for memory's sake. */
enum { SYMBOLS_MAX = 8 << 20, NAME_MAX_LENGTH = 1024, LOOK_BACK = 64 };
#define NAMES_MAX_BYTES ((size_t)1 << 30)
#define NEAR_BYTES      MIB

struct names {
    struct names *next;
    char *text;
};

struct entry {
    struct symbol symbol;
    uint8_t kind; /* enum symbols_kind */
};

struct symbols {
    struct names *names;
    struct entry *entry;
    uint32_t *by_address, *by_name;
    size_t count, placed; /* entries of by_name, of by_address */
};

/* While it grows, its text moves: names are offsets, kept where the symbol's address goes to. */
struct symbols_batch {
    struct entry *entry;
    size_t *name;
    size_t count, room;
    char *text;
    size_t text_used, text_room;
};

/* ---- batches ---- */

struct symbols_batch *symbols_batch_begin(void)
{
    return calloc(1, sizeof(struct symbols_batch));
}

void symbols_batch_drop(struct symbols_batch *batch)
{
    if (batch) {
        free(batch->entry);
        free(batch->name);
        free(batch->text);
        free(batch);
    }
}

static bool grow_entries(struct symbols_batch *batch)
{
    size_t room = batch->room ? batch->room * 2 : 1024;
    struct entry *entry = realloc(batch->entry, room * sizeof(*entry));
    size_t *name;

    if (!entry) {
        return false;
    }
    batch->entry = entry;
    name = realloc(batch->name, room * sizeof(*name));
    if (!name) {
        return false;
    }
    batch->name = name;
    batch->room = room;
    return true;
}

static bool grow_text(struct symbols_batch *batch, size_t needed)
{
    size_t room = batch->text_room ? batch->text_room * 2 : 16384;
    char *text;

    if (batch->text_used + needed <= batch->text_room) {
        return true;
    }
    room = MAX(room, batch->text_used + needed);
    text = room <= NAMES_MAX_BYTES ? realloc(batch->text, room) : NULL;
    if (!text) {
        return false;
    }
    batch->text = text;
    batch->text_room = room;
    return true;
}

/* Names go to terminals: what could be an escape sequence does not. */
static void copy_name(char *to, const char *name, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        to[i] = (char)(name[i] > ' ' && name[i] < 0x7f ? name[i] : '?');
    }
    to[length] = '\0';
}

bool symbols_batch_add(struct symbols_batch *batch, const char *name, size_t length, uint64_t address,
                       uint64_t size, unsigned kind)
{
    length = MIN(length, (size_t)NAME_MAX_LENGTH);
    if (batch->count == SYMBOLS_MAX || (batch->count == batch->room && !grow_entries(batch)) ||
        !grow_text(batch, length + 1)) {
        return false;
    }
    copy_name(batch->text + batch->text_used, name, length);
    batch->name[batch->count] = batch->text_used;
    batch->entry[batch->count++] = (struct entry){
        .symbol = {.address = address, .size = size, .code = kind & SYMBOL_CODE}, .kind = (uint8_t)kind};
    batch->text_used += length + 1;
    return true;
}

bool symbols_batch_is_empty(const struct symbols_batch *batch)
{
    return batch->count == 0;
}

/* ---- orders ---- */

/* Which of two is meant rather: negative, the first. */
static int compare_merit(const struct entry *a, const struct entry *b)
{
    unsigned worth_a = a->kind & (SYMBOL_GLOBAL | SYMBOL_TYPED),
             worth_b = b->kind & (SYMBOL_GLOBAL | SYMBOL_TYPED);

    return worth_a > worth_b ? -1 : worth_a < worth_b;
}

static int compare_addresses(uint64_t a, uint64_t b)
{
    return a < b ? -1 : a > b;
}

static int order_by_address(const void *a, const void *b, void *opaque)
{
    const struct entry *entry = opaque;
    const struct entry *one = &entry[*(const uint32_t *)a], *other = &entry[*(const uint32_t *)b];
    int order = compare_addresses(one->symbol.address, other->symbol.address);

    order = order ? order : compare_merit(one, other);
    return order ? order : strcmp(one->symbol.name, other->symbol.name);
}

static int order_by_name(const void *a, const void *b, void *opaque)
{
    const struct entry *entry = opaque;
    const struct entry *one = &entry[*(const uint32_t *)a], *other = &entry[*(const uint32_t *)b];
    int order = strcmp(one->symbol.name, other->symbol.name);

    order = order ? order : compare_merit(one, other);
    return order ? order : compare_addresses(one->symbol.address, other->symbol.address);
}

/* by_name is in order: leave out what says the same again. */
static void drop_repeated(struct symbols *symbols)
{
    size_t kept = 0;

    for (size_t i = 0; i < symbols->count; i++) {
        const struct symbol *symbol = &symbols->entry[symbols->by_name[i]].symbol;
        bool repeated = false;

        for (size_t j = kept; j > 0 && !repeated; j--) {
            const struct symbol *other = &symbols->entry[symbols->by_name[j - 1]].symbol;

            if (kept - j >= LOOK_BACK || strcmp(other->name, symbol->name) != 0) {
                break;
            }
            repeated = other->address == symbol->address;
        }
        if (!repeated) {
            symbols->by_name[kept++] = symbols->by_name[i];
        }
    }
    symbols->count = kept;
}

static void make_orders(struct symbols *symbols, size_t entries)
{
    symbols->count = entries;
    for (size_t i = 0; i < entries; i++) {
        symbols->by_name[i] = (uint32_t)i;
    }
    qsort_r(symbols->by_name, entries, sizeof(uint32_t), order_by_name, symbols->entry);
    drop_repeated(symbols);
    for (size_t i = 0; i < symbols->count; i++) {
        if (!(symbols->entry[symbols->by_name[i]].kind & SYMBOL_ABSOLUTE)) {
            symbols->by_address[symbols->placed++] = symbols->by_name[i];
        }
    }
    qsort_r(symbols->by_address, symbols->placed, sizeof(uint32_t), order_by_address, symbols->entry);
}

static void free_table(struct symbols *symbols)
{
    if (symbols) {
        free(symbols->entry);
        free(symbols->by_address);
        free(symbols->by_name);
        free(symbols);
    }
}

static struct symbols *create_table(size_t entries)
{
    struct symbols *symbols = calloc(1, sizeof(*symbols));

    if (symbols) {
        symbols->entry = calloc(entries + 1, sizeof(*symbols->entry));
        symbols->by_address = calloc(entries + 1, sizeof(uint32_t));
        symbols->by_name = calloc(entries + 1, sizeof(uint32_t));
        if (!symbols->entry || !symbols->by_address || !symbols->by_name) {
            free_table(symbols);
            return NULL;
        }
    }
    return symbols;
}

/* The old table's symbols, then the batch's. */
static void fill_table(struct symbols *symbols, const struct symbols *old, struct symbols_batch *batch)
{
    size_t used = 0;

    for (size_t i = 0; old && i < old->count; i++) {
        symbols->entry[used++] = old->entry[old->by_name[i]];
    }
    for (size_t i = 0; i < batch->count; i++) {
        symbols->entry[used] = batch->entry[i];
        symbols->entry[used++].symbol.name = batch->text + batch->name[i];
    }
    make_orders(symbols, used);
}

long symbols_batch_end(struct symbols_batch *batch, struct symbols **symbols, struct error *error)
{
    struct symbols *old = *symbols, *merged;
    size_t before = symbols_count(old);
    struct names *names;
    long added;

    if (before + batch->count > SYMBOLS_MAX) {
        symbols_batch_drop(batch);
        return error_set(error, -ENOMEM, "more than %d symbols", SYMBOLS_MAX);
    }
    merged = create_table(before + batch->count);
    names = malloc(sizeof(*names));
    if (!merged || !names) {
        free_table(merged);
        free(names);
        symbols_batch_drop(batch);
        return error_set(error, -ENOMEM, "no memory for the symbols");
    }
    fill_table(merged, old, batch);
    *names = (struct names){.next = old ? old->names : NULL, .text = batch->text};
    merged->names = names;
    batch->text = NULL;
    added = (long)(merged->count - before);
    symbols_batch_drop(batch);
    free_table(old);
    *symbols = merged;
    return added;
}

void symbols_free(struct symbols *symbols)
{
    while (symbols && symbols->names) {
        struct names *names = symbols->names;

        symbols->names = names->next;
        free(names->text);
        free(names);
    }
    free_table(symbols);
}

size_t symbols_count(const struct symbols *symbols)
{
    return symbols ? symbols->count : 0;
}

/* ---- looking up ---- */

/* How many lie at or below the address. */
static size_t count_up_to(const struct symbols *symbols, uint64_t address)
{
    size_t low = 0, high = symbols->placed;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (symbols->entry[symbols->by_address[middle]].symbol.address <= address) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static const struct symbol *placed(const struct symbols *symbols, size_t i)
{
    return &symbols->entry[symbols->by_address[i]].symbol;
}

/* A symbol of size 0 holds all up to the next one. */
static bool holds(const struct symbol *symbol, uint64_t address)
{
    return symbol->size == 0 || address - symbol->address < symbol->size;
}

const struct symbol *symbols_at(const struct symbols *symbols, uint64_t address)
{
    size_t end = symbols ? count_up_to(symbols, address) : 0, first = end;
    const struct symbol *nearest = NULL;

    /* A small one inside of a large one may end before the address: look back for the large one. */
    for (unsigned looked = 0; first > 0 && looked < LOOK_BACK; looked++) {
        const struct symbol *symbol = placed(symbols, first - 1);

        while (first > 1 && placed(symbols, first - 2)->address == symbol->address) {
            symbol = placed(symbols, --first - 1); /* the best at this address is its first */
        }
        if (address - symbol->address > NEAR_BYTES && !(symbol->size && holds(symbol, address))) {
            break;
        }
        nearest = nearest ? nearest : symbol;
        if (holds(symbol, address) && (symbol->size || symbol == nearest)) {
            return symbol;
        }
        first--;
    }
    return nearest;
}

/* The first whose name is not before `name`. */
static size_t first_not_before(const struct symbols *symbols, const char *name)
{
    size_t low = 0, high = symbols->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (strcmp(symbols->entry[symbols->by_name[middle]].symbol.name, name) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

const struct symbol *symbols_named(const struct symbols *symbols, const char *name)
{
    size_t i = symbols ? first_not_before(symbols, name) : 0;
    const struct symbol *symbol;

    if (!symbols || i == symbols->count) {
        return NULL;
    }
    symbol = &symbols->entry[symbols->by_name[i]].symbol;
    return strcmp(symbol->name, name) == 0 ? symbol : NULL;
}

void symbols_complete(const struct symbols *symbols, const char *prefix,
                      bool (*each)(void *opaque, const struct symbol *symbol), void *opaque)
{
    size_t length = strlen(prefix);
    const char *last = NULL;

    for (size_t i = symbols ? first_not_before(symbols, prefix) : 0; symbols && i < symbols->count; i++) {
        const struct symbol *symbol = &symbols->entry[symbols->by_name[i]].symbol;

        if (strncmp(symbol->name, prefix, length) != 0) {
            return;
        }
        if ((!last || strcmp(last, symbol->name) != 0) && !each(opaque, symbol)) {
            return;
        }
        last = symbol->name;
    }
}

void symbols_each(const struct symbols *symbols, bool (*each)(void *opaque, const struct symbol *symbol),
                  void *opaque)
{
    for (size_t i = 0; symbols && i < symbols->placed && each(opaque, placed(symbols, i)); i++) {
    }
}

const char *symbols_format(const struct symbols *symbols, uint64_t address, char *text, size_t size)
{
    const struct symbol *symbol = symbols_at(symbols, address);

    if (!symbol) {
        snprintf(text, size, "%s", "");
    } else if (symbol->address == address) {
        snprintf(text, size, "%s", symbol->name);
    } else {
        snprintf(text, size, "%s+0x%" PRIx64, symbol->name, address - symbol->address);
    }
    return text;
}
