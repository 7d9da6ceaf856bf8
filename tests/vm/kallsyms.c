/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * vm/kallsyms.h: tables as Linux's build makes them, in each of the orders that its versions have, found among other bytes, and
 * damaged.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>

#include "vm/kallsyms.h"

enum { COUNT = 1000, BASE = 0xc1000000, IMAGE_SIZE = 1 << 17 };

enum order {
    ADDRESSES_FIRST,      /* up to 6.1: offsets, relative_base, num_syms, names, markers, tokens */
    ABSOLUTE,             /* the same without relative_base */
    SEQUENCES_IN_BETWEEN, /* 6.2: the order by name between markers and tokens */
    ADDRESSES_LAST,       /* 6.4 */
    ORDERS
};

struct image {
    uint8_t bytes[IMAGE_SIZE];
    size_t used;
};

static void align(struct image *image, size_t to)
{
    image->used = ALIGN_UP(image->used, to);
}

static void put32(struct image *image, uint32_t value)
{
    align(image, 4);
    store_le32(image->bytes + image->used, value);
    image->used += 4;
}

/* Token 1 stands for "function_"; letters, digits and _ for themselves; the others for words that nobody uses. */
static void token_text(unsigned i, char *text)
{
    static const char themselves[] = "0123456789_abcdefghijklmnopqrstuvwxyzT";

    if (i == 1) {
        strcpy(text, "function_");
    } else if (i && strchr(themselves, (char)i)) {
        sprintf(text, "%c", i);
    } else {
        sprintf(text, "un%u", i);
    }
}

static void put_tokens(struct image *image)
{
    uint16_t index[256];
    size_t start;

    align(image, 4);
    start = image->used;
    for (unsigned i = 0; i < 256; i++) {
        char text[16];

        token_text(i, text);
        index[i] = (uint16_t)(image->used - start);
        memcpy(image->bytes + image->used, text, strlen(text) + 1);
        image->used += strlen(text) + 1;
    }
    align(image, 4);
    memcpy(image->bytes + image->used, index, sizeof(index));
    image->used += sizeof(index);
}

static uint32_t address_of(unsigned i)
{
    return BASE + i * 0x20;
}

static void put_addresses(struct image *image, bool relative)
{
    for (unsigned i = 0; i < COUNT; i++) {
        put32(image, address_of(i) - (relative ? BASE : 0));
    }
    if (relative) {
        put32(image, BASE);
    }
}

/* "T" "function_" "123"; one of them is longer than a byte of length says. */
static void put_names(struct image *image, uint32_t *markers)
{
    size_t start = image->used;

    for (unsigned i = 0; i < COUNT; i++) {
        char text[300];
        size_t length = (size_t)sprintf(text, "%c\001%u", i % 2 ? 't' : 'T', i);

        if (i == 500) {
            memset(text + length, 'x', 200);
            length += 200;
        }
        if (i % 256 == 0) {
            markers[i / 256] = (uint32_t)(image->used - start);
        }
        if (length >= 0x80) {
            image->bytes[image->used++] = (uint8_t)(0x80 | (length & 0x7f));
            image->bytes[image->used++] = (uint8_t)(length >> 7);
        } else {
            image->bytes[image->used++] = (uint8_t)length;
        }
        memcpy(image->bytes + image->used, text, length);
        image->used += length;
    }
}

static void put_sequences(struct image *image)
{
    align(image, 4);
    for (unsigned i = 0; i < COUNT * 3; i++) {
        image->bytes[image->used++] = i % 3 == 0 ? 0 : (uint8_t)(i * 7);
    }
}

static struct image *make_image(enum order order)
{
    struct image *image = calloc(1, sizeof(*image));
    uint32_t markers[8];

    cr_assert(image);
    /* something else before it, with digits in a row and a table that is none */
    memcpy(image->bytes + 100, "0\0001\0002\0003\0004\0005\0006\0007\0008\0009", 20);
    for (unsigned i = 0; i < 512; i++) {
        image->bytes[2000 + i] = (uint8_t)(i % 2 ? 0 : i / 2);
    }
    image->used = 4000;
    if (order != ADDRESSES_LAST) {
        put_addresses(image, order != ABSOLUTE);
    }
    put32(image, COUNT);
    put_names(image, markers);
    align(image, 4);
    for (unsigned i = 0; i < (COUNT + 255) / 256; i++) {
        put32(image, markers[i]);
    }
    if (order == SEQUENCES_IN_BETWEEN) {
        put_sequences(image);
    }
    put_tokens(image);
    if (order == ADDRESSES_LAST) {
        put_addresses(image, true);
        put_sequences(image);
    }
    image->used += 500;
    return image;
}

static void check_order(enum order order)
{
    struct image *image = make_image(order);
    struct symbols *symbols = NULL;
    struct error error = {""};
    char name[300], text[400];

    cr_assert_eq(kallsyms_parse(image->bytes, image->used, &symbols, &error), COUNT, "order %d: %s", order,
                 error.text);
    for (unsigned i = 0; i < COUNT; i++) {
        const struct symbol *symbol;

        sprintf(name, "function_%u", i);
        if (i == 500) {
            memset(name + strlen(name), 'x', 201);
            name[strlen("function_500") + 200] = '\0';
        }
        symbol = symbols_named(symbols, name);
        cr_assert(symbol, "order %d: %s", order, name);
        cr_assert_eq(symbol->address, address_of(i));
        cr_assert(symbol->code);
    }
    cr_expect_str_eq(symbols_format(symbols, BASE + 0x24, text, sizeof(text)), "function_1+0x4");
    symbols_free(symbols);
    free(image);
}

Test(kallsyms, are_found_in_each_order)
{
    for (enum order order = 0; order < ORDERS; order++) {
        check_order(order);
    }
}

Test(kallsyms, are_not_found_where_there_are_none)
{
    struct symbols *symbols = NULL;
    struct image *image = make_image(ADDRESSES_FIRST);
    struct error error;

    cr_expect_eq(kallsyms_parse(image->bytes, 0, &symbols, &error), -ENOENT);
    cr_expect_eq(kallsyms_parse(image->bytes, 3000, &symbols, &error), -ENOENT);
    cr_expect(strstr(error.text, "no table of symbols"));
    cr_expect_null(symbols);
    free(image);
}

/* Cut off anywhere, bytes changed anywhere: refused or taken, within the image (AddressSanitizer watches its copy). */
Test(kallsyms, damaged_harm_nobody)
{
    uint32_t state = 1;
    unsigned taken = 0;

    for (enum order order = 0; order < ORDERS; order++) {
        struct image *image = make_image(order);

        for (unsigned round = 0; round < 150; round++) {
            struct symbols *symbols = NULL;
            uint8_t *copy = malloc(image->used);
            size_t size = image->used;

            memcpy(copy, image->bytes, size);
            for (unsigned n = 1 + round % 3; n > 0; n--) {
                state = state * 1664525u + 1013904223u;
                copy[4000 + (state >> 4) % (size - 4000)] = (uint8_t)(state >> 24);
            }
            if (round % 5 == 0) {
                uint8_t *cut;

                size = 4000 + (state >> 4) % (size - 4000);
                cut = malloc(size);
                memcpy(cut, copy, size);
                free(copy);
                copy = cut;
            }
            taken += kallsyms_parse(copy, size, &symbols, NULL) > 0;
            symbols_free(symbols);
            free(copy);
        }
        free(image);
    }
    cr_expect_gt(taken, 50);
}
