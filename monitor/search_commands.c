/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * find, findp, write, writep, crc, crcp: search guest memory, change it, and sum it up.
 *
 * Memory is looked at without effect on devices or accessed bits; pages that are none are passed over. Writes go to RAM and ROM
 * alike, whatever the page tables' rights, and translated code is told (vm/debugger.h).
 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "monitor/groups.h"
#include "monitor/guest_memory.h"
#include "monitor/listing.h"
#include "vm/debugger.h"
#include "vm/symbols.h"

enum { PATTERN_MAX = 256, FOUND_MAX = 100, WINDOW = 65536, WRITE_MAX = 4096 };

#define N(value) ((unsigned long long)(value))

/* ---- Values --------------------------------------------------------------------------------------------- */

/* Bytes to look for or to write. */
struct bytes {
    uint8_t byte[WRITE_MAX];
    size_t count, most;
};

static bool add_bytes(struct command_call *call, struct bytes *bytes, const void *from, size_t count)
{
    if (bytes->count + count > bytes->most) {
        return command_fail(call, "%s takes %zu bytes at most", call->command->name, bytes->most);
    }
    memcpy(bytes->byte + bytes->count, from, count);
    bytes->count += count;
    return true;
}

/* Was the word typed with a quote? Then it is a string. */
static bool is_quoted(const struct command_call *call, unsigned i)
{
    return call->tail[i] && call->tail[i][0] == '"';
}

/* "5589e5" */
static bool add_hex(struct command_call *call, struct bytes *bytes, const char *text)
{
    size_t length = strlen(text);

    if (length % 2 || strspn(text, "0123456789abcdefABCDEF") != length) {
        return command_fail(
            call, "'%s' is no bytes: pairs of hexadecimal digits, \"string\", -u16 N, -u32 N, -u64 N", text);
    }
    for (; *text; text += 2) {
        const char digits[3] = {text[0], text[1], '\0'};
        uint8_t byte = (uint8_t)strtoul(digits, NULL, 16);

        TRY(add_bytes(call, bytes, &byte, 1));
    }
    return true;
}

/* Word i as a value of `size` bytes, the lowest first. */
static bool add_value(struct command_call *call, struct bytes *bytes, unsigned i, unsigned size)
{
    uint64_t value, above;
    uint8_t le[8];

    TRY(command_value(call, i, &value));
    above = size < 8 ? value >> (8 * size) : 0;
    if (above != 0 && above != UINT64_MAX >> (8 * size)) {
        return command_fail(call, "%s is too large for %u bytes", call->word[i], size);
    }
    store_le64(le, value);
    return add_bytes(call, bytes, le, size);
}

/* ---- find ----------------------------------------------------------------------------------------------- */

/* The words from `i` on as a pattern. */
static bool parse_pattern(struct command_call *call, unsigned i, struct bytes *pattern)
{
    static const struct {
        const char *name;
        unsigned size;
    } sizes[] = {{"-u8", 1}, {"-u16", 2}, {"-u32", 4}, {"-u64", 8}};
    unsigned size = 0;

    for (; i < call->count; i++) {
        unsigned chosen = 0;

        for (size_t j = 0; !is_quoted(call, i) && j < ARRAY_LEN(sizes); j++) {
            chosen = !strcmp(call->word[i], sizes[j].name) ? sizes[j].size : chosen;
        }
        if (chosen) {
            size = chosen;
        } else if (is_quoted(call, i)) {
            TRY(add_bytes(call, pattern, call->word[i], strlen(call->word[i])));
        } else if (size) {
            TRY(add_value(call, pattern, i, size));
        } else {
            TRY(add_hex(call, pattern, call->word[i]));
        }
    }
    return pattern->count > 0 || command_usage(call);
}

/* START END, or START +LENGTH; *end is behind the last byte. */
static bool parse_range(struct command_call *call, bool physical, uint64_t *start, uint64_t *end)
{
    bool length = call->word[1][0] == '+';
    uint64_t last = physical ? call->vm->cpu->wiring.mem->last : UINT32_MAX;

    if (length) {
        call->word[1]++;
        call->tail[1]++;
    }
    TRY(command_value(call, 0, start) && command_value(call, 1, end));
    if (*start > last) {
        return command_fail(call, "%s: 0x%llx is beyond the last address, 0x%llx", call->command->name,
                            N(*start), N(last));
    }
    if (!length && *end <= *start) {
        return command_fail(call, "%s: the end must be behind the start (+N is a length)",
                            call->command->name);
    }
    *end = length ? *start + MIN(*end, last - *start + 1) : MIN(*end, last + 1);
    return true;
}

struct finder {
    struct listing listing;
    bool physical;
    const struct bytes *pattern;
};

static void report(struct finder *finder, uint64_t address)
{
    struct command_call *call = finder->listing.call;
    char symbol[80] = "";

    if (!listing_room(&finder->listing)) {
        return;
    }
    if (!finder->physical) {
        symbols_format(call->vm->symbols, address, symbol, sizeof(symbol));
    }
    fprintf(call->out, "%08llx%s%s%s\n", N(address), *symbol ? "  <" : "", symbol, *symbol ? ">" : "");
    listing_row(&finder->listing, json_integer((json_int_t)address));
}

/* All places in bytes[0..count) that begin with the pattern. */
static void search_window(struct finder *finder, const uint8_t *bytes, size_t count, uint64_t address)
{
    const uint8_t *at = bytes;

    while ((at = memmem(at, (size_t)(bytes + count - at), finder->pattern->byte, finder->pattern->count))) {
        report(finder, address + (uint64_t)(at - bytes));
        at++;
    }
}

/* Windows overlap by what a pattern may have in the next one. Unreadable pages separate them. */
static bool search(struct finder *finder, uint64_t start, uint64_t end)
{
    const struct vcpu *cpu = finder->listing.call->vm->cpu;
    size_t overlap = finder->pattern->count - 1;
    uint8_t *window = malloc(WINDOW + PATTERN_MAX);

    if (!window) {
        return command_fail(finder->listing.call, "out of memory");
    }
    for (uint64_t at = start; at < end;) {
        uint64_t wanted = MIN(end - at, (uint64_t)WINDOW + overlap);
        uint64_t count = guest_read(cpu, finder->physical, at, window, wanted);

        search_window(finder, window, count, at);
        if (count < wanted) {
            at = ALIGN_DOWN(at + count, PAGE_SIZE) + PAGE_SIZE;
        } else {
            at = wanted == end - at ? end : at + WINDOW;
        }
    }
    free(window);
    return true;
}

static bool find(struct command_call *call, bool physical)
{
    struct bytes pattern = {.most = PATTERN_MAX};
    struct finder finder = {.physical = physical, .pattern = &pattern};
    uint64_t start, end;
    bool done;

    if (!parse_range(call, physical, &start, &end) || !parse_pattern(call, 2, &pattern)) {
        return false;
    }
    finder.listing = listing_begin(call, FOUND_MAX);
    done = search(&finder, start, end);
    if (finder.listing.lines == 0) {
        fprintf(call->out, "not found\n");
    }
    listing_end(&finder.listing, NULL);
    return done;
}

static bool run_find(struct command_call *call)
{
    return find(call, false);
}

static bool run_findp(struct command_call *call)
{
    return find(call, true);
}

/* ---- write ---------------------------------------------------------------------------------------------- */

/* The format is a size: b h w g. */
static bool parse_size(struct command_call *call, unsigned *size)
{
    static const char sizes[] = "bhwg";
    const char *letter = *call->format ? strchr(sizes, *call->format) : sizes + 2;

    if (!letter || (*call->format && call->format[1])) {
        return command_fail(call, "'%s' is no size (b h w g: 1, 2, 4, 8 bytes)", call->format);
    }
    *size = 1u << (letter - sizes);
    return true;
}

static bool write_memory(struct command_call *call, bool physical)
{
    struct bytes bytes = {.most = WRITE_MAX};
    unsigned size = 0;
    uint64_t address;
    size_t written;

    if (!parse_size(call, &size) || !command_value(call, 0, &address)) {
        return false;
    }
    for (unsigned i = 1; i < call->count; i++) {
        if (is_quoted(call, i) ? !add_bytes(call, &bytes, call->word[i], strlen(call->word[i]))
                               : !add_value(call, &bytes, i, size)) {
            return false;
        }
    }
    written = debugger_write(call->vm, physical, address, bytes.byte, bytes.count);
    if (written < bytes.count) {
        return command_fail(call, "%s: stopped at 0x%llx: no memory there", call->command->name,
                            N(address + written));
    }
    return true;
}

static bool run_write(struct command_call *call)
{
    return write_memory(call, false);
}

static bool run_writep(struct command_call *call)
{
    return write_memory(call, true);
}

/* Bochs' ADDR SIZE VALUE. */
static bool run_setpmem(struct command_call *call)
{
    struct bytes bytes = {.most = 8};
    uint64_t address, size;

    if (!command_value(call, 0, &address) || !command_value(call, 1, &size)) {
        return false;
    }
    if (size != 1 && size != 2 && size != 4 && size != 8) {
        return command_fail(call, "setpmem: '%s' is no size (1, 2, 4, 8)", call->word[1]);
    }
    TRY(add_value(call, &bytes, 2, (unsigned)size));
    return debugger_write(call->vm, true, address, bytes.byte, bytes.count) == bytes.count ||
           command_fail(call, "setpmem: no memory at 0x%llx", N(address));
}

/* ---- crc ------------------------------------------------------------------------------------------------ */

/* CRC-32 as in zlib and PNG: to compare memory with a file, or with itself later. */
static bool sum(struct command_call *call, bool physical)
{
    uint64_t start, end;
    uLong crc = crc32(0, NULL, 0);
    uint8_t bytes[PAGE_SIZE];

    TRY(parse_range(call, physical, &start, &end));
    for (uint64_t at = start; at < end;) {
        uint64_t wanted = MIN(end - at, (uint64_t)sizeof(bytes));
        uint64_t count = guest_read(call->vm->cpu, physical, at, bytes, wanted);

        if (count < wanted) {
            return command_fail(call, "%s: 0x%llx is not readable", call->command->name, N(at + count));
        }
        crc = crc32(crc, bytes, (uInt)count);
        at += count;
    }
    fprintf(call->out, "%08lx\n", crc);
    call->data = json_pack("{s:I}", "crc32", (json_int_t)crc);
    return true;
}

static bool run_crc(struct command_call *call)
{
    return sum(call, false);
}

static bool run_crcp(struct command_call *call)
{
    return sum(call, true);
}

#define PATTERN                                                                                              \
    "Bytes as pairs of hexadecimal digits (5589e5 or 55 89 e5), a \"string\", or numbers behind -u8 -u16 "   \
    "-u32 -u64; "                                                                                            \
    "all words together are one pattern. END is behind the last byte; +LENGTH instead of it counts from "    \
    "START."

static const struct command commands[] = {
    {"find", NULL, "START END|+LENGTH PATTERN...", "search linear memory", PATTERN, false, 3,
     COMMAND_WORDS_MAX, run_find},
    {"findp", NULL, "START END|+LENGTH PATTERN...", "search physical memory", PATTERN, false, 3,
     COMMAND_WORDS_MAX, run_findp},
    {"write", NULL, "/SIZE ADDR VALUE|STRING...",
     "change linear memory; SIZE is b, h, w (if it is left out) or g", NULL, false, 2, COMMAND_WORDS_MAX,
     run_write},
    {"writep", NULL, "/SIZE ADDR VALUE|STRING...", "change physical memory", NULL, false, 2,
     COMMAND_WORDS_MAX, run_writep},
    {"setpmem", NULL, "ADDR SIZE VALUE", "the same for one value, as in Bochs", NULL, false, 3, 3,
     run_setpmem},
    {"crc", NULL, "START END|+LENGTH", "CRC-32 of linear memory", NULL, false, 2, 2, run_crc},
    {"crcp", NULL, "START END|+LENGTH", "CRC-32 of physical memory", NULL, false, 2, 2, run_crcp},
};

const struct command_group search_group = {"Searching and changing memory", commands, ARRAY_LEN(commands)};
