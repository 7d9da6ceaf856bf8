/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Names of a guest's addresses, for people: from the symbol table of an ELF file, or a System.map.
 *
 * The file is untrusted: every offset and count is checked against its size.
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

/* Add a file's symbols, `bias` bytes higher than it says. *symbols may be NULL to begin with. How many, or -errno with the text. */
long symbols_load(struct symbols **symbols, const char *path, uint64_t bias, struct error *error);
void symbols_free(struct symbols *symbols);

/* The one that holds the address, or is the last before it within 1 MiB; NULL: none. symbols may be NULL. */
const struct symbol *symbols_at(const struct symbols *symbols, uint64_t address);
const struct symbol *symbols_named(const struct symbols *symbols, const char *name);
/* In the order of names, those that begin with `prefix`: calls `each` until it returns false. */
void symbols_complete(const struct symbols *symbols, const char *prefix,
                      bool (*each)(void *opaque, const struct symbol *symbol), void *opaque);
/* "name+0x12", or "" : into text, always ended. Returns text. */
const char *symbols_format(const struct symbols *symbols, uint64_t address, char *text, size_t size);

#endif
