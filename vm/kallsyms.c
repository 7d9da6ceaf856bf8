/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Linux's kallsyms tables, of 32-bit kernels from 4.20 on. In memory, each aligned to 4 bytes:
 *
 *     kallsyms_offsets        s32 [n]   from relative_base; without CONFIG_KALLSYMS_BASE_RELATIVE: u32 addresses
 *     kallsyms_relative_base  u32       (not there then)
 *     kallsyms_num_syms       u32       n
 *     kallsyms_names          n names:  length, then so many bytes, each the number of a token; a length of 128 or more takes
 *                                       a second byte, for its bits from 7 on
 *     kallsyms_markers        u32 [(n + 255) / 256]   where in names each 256th name begins
 *     kallsyms_seqs_of_names  3 bytes [n]             since 6.2 (and 6.1's later updates): their order by name
 *     kallsyms_token_table    256 strings             what each byte of a name stands for
 *     kallsyms_token_index    u16 [256]               where in the token table each begins
 *
 * From Linux 6.4 on, offsets, relative_base and seqs_of_names follow the token index. An expanded name begins with nm's letter.
 *
 * The search begins with the token table: digits are part of names, so they stand for themselves, and lie in it in a row.
 * Everything else is measured from there, and must fit: the index repeats the table, each marker the names.
 */
#include "vm/kallsyms.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

enum {
    TOKENS = 256,
    GROUP = 256, /* names a marker */
    SYMBOLS_LEAST = 256,
    SYMBOLS_MOST = 1 << 20,
    NAME_SIZE = 1024,
    TOKEN_MAX = 256,
    GATE_PF = 14,
    WINDOW_BEFORE = 4 << 20,
    WINDOW_BEHIND = 44 << 20,
};

struct tables {
    const uint8_t *image;
    size_t size;
    size_t token_table, token_index, markers, names, num_syms; /* offsets in image */
    uint32_t count;
    uint16_t token[TOKENS];
};

static uint32_t word_at(const struct tables *tables, size_t at)
{
    return at <= tables->size - 4 ? load_le32(tables->image + at) : 0;
}

/* ---- tokens ---- */

/* All 256 of them from `at` on, and the index that repeats where they begin. */
static bool check_tokens(struct tables *tables, size_t at)
{
    tables->token_table = at;
    for (unsigned i = 0; i < TOKENS; i++) {
        const uint8_t *end = memchr(tables->image + at, '\0', tables->size - at);

        if (!end || at - tables->token_table > UINT16_MAX) {
            return false;
        }
        tables->token[i] = (uint16_t)(at - tables->token_table);
        at = (size_t)(end - tables->image) + 1;
    }
    at = ALIGN_UP(at, 4);
    if (at > tables->size || tables->size - at < sizeof(tables->token) ||
        memcmp(tables->image + at, tables->token, sizeof(tables->token)) != 0) {
        return false;
    }
    tables->token_index = at;
    return true;
}

/* 48 strings end before the "0". What the first of them begins with may be the last bytes of what lies before the table. */
static bool find_tokens(struct tables *tables, size_t zero)
{
    size_t at = zero, end = zero;

    for (unsigned i = 0; i < '0'; i++) {
        end = at;
        if (at < 2) {
            return false;
        }
        at--; /* the NUL of the string before */
        while (at > 0 && end - at < TOKEN_MAX && tables->image[at - 1] != '\0') {
            at--;
        }
        if (end - at < 2) {
            return false; /* no token is empty */
        }
    }
    for (at = ALIGN_UP(at, 4); at < end; at += 4) {
        if (check_tokens(tables, at)) {
            return true;
        }
    }
    return false;
}

/* ---- markers and names ---- */

/* A name's length in tokens at *at, which moves behind it. */
static bool take_length(const struct tables *tables, size_t *at, unsigned *length)
{
    if (*at + 1 >= tables->markers) {
        return false;
    }
    *length = tables->image[(*at)++];
    if (*length & 0x80) {
        *length = (*length & 0x7f) | (unsigned)tables->image[(*at)++] << 7;
    }
    return *length > 0 && *length <= tables->markers - *at;
}

/* Do `count` names from `names` on fit the markers, and end where these begin? */
static bool check_names(const struct tables *tables)
{
    size_t at = tables->names;

    for (uint32_t i = 0; i < tables->count; i++) {
        unsigned length;

        if (i % GROUP == 0 && word_at(tables, tables->markers + i / GROUP * 4) != at - tables->names) {
            return false;
        }
        if (!take_length(tables, &at, &length)) {
            return false;
        }
        at += length;
    }
    return tables->markers - at < 8;
}

/* The count stands right before the names; both are found by trying what the last marker leaves possible. */
static bool find_names(struct tables *tables, uint32_t markers)
{
    uint32_t last = word_at(tables, tables->markers + (markers - 1) * 4);
    size_t high, low, most = (size_t)GROUP * (2 + 0x7fff);

    if (last >= tables->markers) {
        return false;
    }
    high = ALIGN_DOWN(tables->markers - last, 4);
    low = high > most ? high - most : 0;
    for (size_t at = high; at > low && at >= 4; at -= 4) {
        uint32_t count = word_at(tables, at - 4);

        if (count > (markers - 1) * GROUP && count <= markers * GROUP) {
            tables->names = at;
            tables->num_syms = at - 4;
            tables->count = count;
            if (check_names(tables)) {
                return true;
            }
        }
    }
    return false;
}

/* `count` markers from `at` on: the first is 0, and they rise. */
static bool are_markers(const struct tables *tables, size_t at, uint32_t count)
{
    if (word_at(tables, at) != 0) {
        return false;
    }
    for (uint32_t i = 1; i < count; i++) {
        if (word_at(tables, at + i * 4) <= word_at(tables, at + i * 4 - 4)) {
            return false;
        }
    }
    return true;
}

/* Markers that end at `end`: as many as rise from a 0. */
static bool try_markers(struct tables *tables, size_t end)
{
    uint32_t count = 1;
    size_t at = end - 4;

    while (at >= 4 && word_at(tables, at) != 0 && word_at(tables, at - 4) < word_at(tables, at) &&
           count <= SYMBOLS_MOST / GROUP) {
        at -= 4;
        count++;
    }
    tables->markers = at;
    return are_markers(tables, at, count) && find_names(tables, count);
}

/* They end where the token table begins, or 3 bytes a symbol before: for each length that this leaves, is there a beginning? */
static bool find_markers(struct tables *tables)
{
    size_t end = ALIGN_DOWN(tables->token_table, 4);

    if (end < 8) {
        return false;
    }
    if (try_markers(tables, end) || try_markers(tables, end - 4)) {
        return true;
    }
    for (size_t count = SYMBOLS_LEAST; count <= SYMBOLS_MOST && count * 3 + 16 < end; count++) {
        uint32_t markers = (uint32_t)((count + GROUP - 1) / GROUP);
        size_t behind = end - ALIGN_UP(count * 3, 4);

        if (behind < markers * 4) {
            break;
        }
        tables->markers = behind - markers * 4;
        if (are_markers(tables, tables->markers, markers) && find_names(tables, markers) &&
            tables->count == count) {
            return true;
        }
    }
    return false;
}

/* ---- addresses ---- */

struct addresses {
    size_t array;
    uint32_t base;
};

/* An array that rises (Linux sorts it): offsets small enough for one kernel, or addresses. */
static bool check_array(const struct tables *tables, size_t array, bool relative)
{
    uint32_t before = 0;

    for (uint32_t i = 0; i < tables->count; i++) {
        uint32_t value = word_at(tables, array + (size_t)i * 4);

        if (value < before || (relative && value > 0x20000000)) {
            return false;
        }
        before = value;
    }
    return before > 0;
}

static bool find_addresses(const struct tables *tables, struct addresses *addresses)
{
    size_t bytes = (size_t)tables->count * 4, late = tables->token_index + sizeof(tables->token);

    if (tables->num_syms >= bytes + 4 && check_array(tables, tables->num_syms - 4 - bytes, true)) {
        *addresses = (struct addresses){tables->num_syms - 4 - bytes, word_at(tables, tables->num_syms - 4)};
        return true;
    }
    if (late + bytes + 4 <= tables->size && check_array(tables, late, true)) {
        *addresses = (struct addresses){late, word_at(tables, late + bytes)};
        return true;
    }
    if (tables->num_syms >= bytes && check_array(tables, tables->num_syms - bytes, false)) {
        *addresses = (struct addresses){tables->num_syms - bytes, 0};
        return true;
    }
    return false;
}

/* ---- symbols ---- */

/* Expand the name at *at, which moves behind it. Its length. */
static size_t take_name(const struct tables *tables, size_t *at, char *name)
{
    size_t used = 0;
    unsigned length;

    if (!take_length(tables, at, &length)) {
        return 0;
    }
    for (unsigned i = 0; i < length; i++) {
        const char *token =
            (const char *)tables->image + tables->token_table + tables->token[tables->image[(*at)++]];
        size_t n = MIN(strlen(token), NAME_SIZE - used);

        memcpy(name + used, token, n);
        used += n;
    }
    return used;
}

static unsigned kind_of(char letter)
{
    return (strchr("TDBRVW", letter) && letter ? SYMBOL_GLOBAL : 0) |
           (strchr("TtWw", letter) && letter ? SYMBOL_CODE : 0) | SYMBOL_TYPED;
}

static long add_symbols(const struct tables *tables, const struct addresses *addresses,
                        struct symbols **symbols, struct error *error)
{
    struct symbols_batch *batch = symbols_batch_begin();
    size_t at = tables->names;

    for (uint32_t i = 0; batch && i < tables->count; i++) {
        uint32_t address = addresses->base + word_at(tables, addresses->array + (size_t)i * 4);
        char name[NAME_SIZE];
        size_t length = take_name(tables, &at, name);

        if (length > 1 && !symbols_batch_add(batch, name + 1, length - 1, address, 0, kind_of(name[0]))) {
            symbols_batch_drop(batch);
            batch = NULL;
        }
    }
    return batch ? symbols_batch_end(batch, symbols, error)
                 : error_set(error, -ENOMEM, "no memory for the kernel's symbols");
}

long kallsyms_parse(const uint8_t *image, size_t size, struct symbols **symbols, struct error *error)
{
    static const char digits[] = "0\0001\0002\0003\0004\0005\0006\0007\0008\0009";
    struct tables tables = {.image = image, .size = size};

    for (const uint8_t *at = image; size >= sizeof(digits);) {
        struct addresses addresses;

        at = memmem(at, size - (size_t)(at - image), digits, sizeof(digits));
        if (!at) {
            break;
        }
        if (find_tokens(&tables, (size_t)(at - image)) && find_markers(&tables) &&
            tables.count >= SYMBOLS_LEAST && find_addresses(&tables, &addresses)) {
            return add_symbols(&tables, &addresses, symbols, error);
        }
        at++;
    }
    return error_set(error, -ENOENT, "no table of symbols of a 32-bit Linux was found");
}

/* ---- the guest ---- */

/* The handler of page faults, which is part of the kernel's code. */
static bool find_kernel(const struct vcpu *cpu, uint32_t *linear)
{
    struct pagewalk walk;
    uint8_t gate[8];

    if (!cpu->protected_mode || !(cpu->cr0 & CR0_PG) || cpu->idtr.limit < GATE_PF * 8 + 7 ||
        !pagewalk(&cpu->paging, (uint32_t)(cpu->idtr.base + GATE_PF * 8), PAGEWALK_READ, &walk) ||
        !addr_space_peek(cpu->wiring.mem, walk.gpa, gate, sizeof(gate))) {
        return false;
    }
    *linear = load_le16(gate) | (uint32_t)load_le16(gate + 6) << 16;
    return gate[5] & 0x80;
}

/* What is mapped of [from, from + size); the rest is left as it is. False: nothing is. */
static bool copy_mapped(const struct vcpu *cpu, uint32_t from, uint8_t *image, size_t size)
{
    bool any = false;

    for (size_t done = 0; done < size; done += PAGE_SIZE) {
        struct pagewalk walk;

        if (pagewalk(&cpu->paging, (uint32_t)(from + done), PAGEWALK_READ, &walk) &&
            addr_space_peek(cpu->wiring.mem, walk.gpa, image + done, PAGE_SIZE)) {
            any = true;
        }
    }
    return any;
}

long kallsyms_load(const struct vcpu *cpu, struct symbols **symbols, struct error *error)
{
    size_t size = WINDOW_BEFORE + WINDOW_BEHIND;
    uint32_t handler, from;
    uint8_t *image;
    long added;

    if (!find_kernel(cpu, &handler)) {
        return error_set(error, -ENOENT, "no kernel with paging runs in the guest yet");
    }
    from = (uint32_t)ALIGN_DOWN(handler, PAGE_SIZE);
    from = from > WINDOW_BEFORE ? from - WINDOW_BEFORE : 0;
    size = MIN(size, (size_t)((uint64_t)UINT32_MAX + 1 - from));
    image = calloc(1, size);
    if (!image) {
        return error_set(error, -ENOMEM, "no memory to look for the kernel's symbols");
    }
    if (!copy_mapped(cpu, from, image, size)) {
        added = error_set(error, -ENOENT, "the kernel at 0x%08" PRIx32 " is not mapped now", handler);
    } else {
        added = kallsyms_parse(image, size, symbols, error);
    }
    free(image);
    return added;
}
