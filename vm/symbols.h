/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Names of a guest's addresses, for people: from the symbol tables of an ELF file, or a text as System.map, nm and
 * /proc/kallsyms have it, or from a running Linux itself (vm/kallsyms.h).
 *
 * The file is untrusted: every offset and count is checked against its size, and names come out as printable ASCII.
 */
#ifndef VM_SYMBOLS_H
#define VM_SYMBOLS_H

#include "base/error.h"
#include "base/types.h"

struct symbols;

struct symbol {
    const char *name; /* the table's */
    uint64_t address;
    uint64_t size; /* 0: up to the next one */
    bool code;
};

/* Add a file's symbols, `bias` bytes higher than it says. *symbols may be NULL to begin with. How many were new, or -errno with
 * the text, and then nothing has changed. */
long symbols_load(struct symbols **symbols, const char *path, uint64_t bias, struct error *error);
void symbols_free(struct symbols *symbols);
size_t symbols_count(const struct symbols *symbols);

/* The one that holds the address, or is the last before it within 1 MiB; NULL: none. symbols may be NULL. */
const struct symbol *symbols_at(const struct symbols *symbols, uint64_t address);
/* Of several with the name: a global one rather than a local one, then the lowest. */
const struct symbol *symbols_named(const struct symbols *symbols, const char *name);
/* In the order of names, each name once, those that begin with `prefix`: calls `each` until it returns false. */
void symbols_complete(const struct symbols *symbols, const char *prefix,
                      bool (*each)(void *opaque, const struct symbol *symbol), void *opaque);
/* In the order of addresses, all that have a place. */
void symbols_each(const struct symbols *symbols, bool (*each)(void *opaque, const struct symbol *symbol),
                  void *opaque);
/* "name+0x12", or "" : into text, always ended. Returns text. */
const char *symbols_format(const struct symbols *symbols, uint64_t address, char *text, size_t size);

/* ---- for those who read tables: a batch is filled, then added as a whole ---- */

struct symbols_batch;

enum symbols_kind {
    SYMBOL_CODE = 1u << 0,
    SYMBOL_GLOBAL = 1u << 1,
    SYMBOL_TYPED = 1u << 2,    /* the table knows what it is: preferred among those at one address */
    SYMBOL_ABSOLUTE = 1u << 3, /* a number rather than a place: found by name only */
};

/* NULL: no memory. */
struct symbols_batch *symbols_batch_begin(void);
/* The name is copied. False: no memory, or more than anybody needs. */
bool symbols_batch_add(struct symbols_batch *batch, const char *name, size_t length, uint64_t address,
                       uint64_t size, unsigned kind);
bool symbols_batch_is_empty(const struct symbols_batch *batch);
/* Merge it into *symbols and free it. How many were new, or -ENOMEM, and nothing has changed. */
long symbols_batch_end(struct symbols_batch *batch, struct symbols **symbols, struct error *error);
void symbols_batch_drop(struct symbols_batch *batch);

#endif
