/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Random encodings of a row: prefixes, opcode, ModRM, SIB, displacement, immediates, as the row's columns allow.
 *
 * This is the decoder's inverse, written from the manual and not from the decoder: both must agree on every length.
 *
 * SDM: Volume 2A, "Instruction Format".
 * NOT generated: F2 and F3 where they are neither mandatory nor REP. On present processors they make other
 * instructions of some rows (TZCNT, LZCNT, POPCNT), on ours they are ignored.
 */
#include "hostcmp.h"

#include "cpu/decode.h"

struct writer {
    struct encoding *encoding;
    bool overflow;
};

static void put(struct writer *writer, uint32_t value, unsigned size)
{
    struct encoding *encoding = writer->encoding;

    if (encoding->length + size > 15) {
        writer->overflow = true;
        return;
    }
    memcpy(encoding->bytes + encoding->length, &value, size);
    encoding->length += size;
}

/* What the row's operands say about its encoding. */
struct shape {
    bool modrm, memory_only, register_only, string;
};

static struct shape row_shape(const struct opcode *row)
{
    const char *text = row->operands;
    struct operand operand;
    struct shape shape = {.modrm = opcode_has_modrm(row)};

    while (operand_next(&text, &operand)) {
        shape.memory_only |= operand.letter == 'M';
        shape.register_only |=
            operand.letter == 'N' || operand.letter == 'U' || strncmp(operand.text, "Rd", 2) == 0;
        shape.string |= operand.letter == 'X' || operand.letter == 'Y';
    }
    if (strstr(row->operands, "/Mw")) {
        shape.memory_only = shape.register_only = false;
    }
    return shape;
}

/* ---- prefixes ---- */

static uint8_t segment_prefix(struct generator *gen)
{
    static const uint8_t prefix[] = {0x26, 0x2e, 0x36, 0x3e};

    return rng_once_in(&gen->rng, 4) ? (uint8_t)(0x64 + rng_below(&gen->rng, 2))
                                     : prefix[rng_below(&gen->rng, ARRAY_LEN(prefix))];
}

static unsigned choose_prefixes(struct generator *gen, const struct opcode *row, bool memory, bool plain,
                                uint8_t prefix[6])
{
    struct rng *rng = &gen->rng;
    unsigned count = 0;

    if (row->prefix == 0 && rng_once_in(rng, 3)) {
        prefix[count++] = 0x66;
    }
    if (row->prefix != 0 && row->prefix != OPP_NP) {
        prefix[count++] = row->prefix;
    }
    if ((row->flags & OPF_STRING) && rng_once_in(rng, 2)) {
        prefix[count++] = rng_once_in(rng, 2) ? 0xf2 : 0xf3;
    }
    if (!plain && rng_once_in(rng, 4)) {
        prefix[count++] = 0x67;
    }
    if (!plain && rng_once_in(rng, 6)) {
        prefix[count++] = segment_prefix(gen);
    }
    bool may_lock = (row->flags & OPF_LOCK) && memory;
    if (rng_once_in(rng, may_lock ? 4 : 64)) {
        prefix[count++] = 0xf0;
    }
    return count;
}

static void put_prefixes(struct generator *gen, struct writer *writer, uint8_t *prefix, unsigned count)
{
    while (count > 0) {
        unsigned i = rng_below(&gen->rng, count);
        put(writer, prefix[i], 1);
        prefix[i] = prefix[--count];
    }
}

static bool contains(const uint8_t *bytes, unsigned count, uint8_t byte)
{
    return count && memchr(bytes, byte, count) != NULL;
}

/* ---- ModRM and what follows ---- */

static void put_displacement(struct generator *gen, struct writer *writer, unsigned size)
{
    writer->encoding->disp_at = writer->encoding->length;
    writer->encoding->disp_size = size;
    put(writer, size == 1 ? (uint32_t)rng_next(&gen->rng) : value_integer(&gen->rng), size);
}

static void put_memory16(struct generator *gen, struct writer *writer, unsigned reg)
{
    unsigned mod = rng_below(&gen->rng, 3), rm = rng_below(&gen->rng, 8);

    put(writer, mod << 6 | reg << 3 | rm, 1);
    if (mod == 0 && rm == 6) {
        put_displacement(gen, writer, 2);
    } else if (mod > 0) {
        put_displacement(gen, writer, mod);
    }
}

static void put_memory32(struct generator *gen, struct writer *writer, unsigned reg)
{
    unsigned mod = rng_below(&gen->rng, 3), rm = rng_below(&gen->rng, 8);
    unsigned base = rm;

    put(writer, mod << 6 | reg << 3 | rm, 1);
    if (rm == 4) {
        uint32_t sib = rng_below(&gen->rng, 256);
        put(writer, sib, 1);
        base = sib & 7;
    }
    if (mod == 2 || (mod == 0 && base == 5)) {
        put_displacement(gen, writer, 4);
    } else if (mod == 1) {
        put_displacement(gen, writer, 1);
    }
}

static void put_modrm(struct generator *gen, struct writer *writer, const struct opcode *row, bool memory,
                      bool address16)
{
    unsigned reg = row->reg >= 0 ? (unsigned)row->reg : rng_below(&gen->rng, 8);
    unsigned rm = row->rm >= 0 ? (unsigned)row->rm : rng_below(&gen->rng, 8);

    if (!memory) {
        put(writer, 3u << 6 | reg << 3 | rm, 1);
    } else if (address16) {
        put_memory16(gen, writer, reg);
    } else {
        put_memory32(gen, writer, reg);
    }
}

/* ---- immediates ---- */

static unsigned immediate_size(const struct operand *operand, unsigned opsize)
{
    switch (operand->size) {
    case '1':
        return 0;
    case 'b':
        return 1;
    case 'w':
        return 2;
    default:
        return opsize;
    }
}

static void put_immediates(struct generator *gen, struct writer *writer, const struct opcode *row,
                           unsigned opsize, unsigned address_size)
{
    const char *text = row->operands;
    struct operand operand;

    while (operand_next(&text, &operand)) {
        switch (operand.letter) {
        case 'I':
        case 'J':
            put(writer, value_integer(&gen->rng), immediate_size(&operand, opsize));
            break;
        case 'A':
            put(writer, value_integer(&gen->rng), opsize);
            put(writer, value_selector(&gen->rng, gen->have_ldt, true), 2);
            break;
        case 'O':
            put_displacement(gen, writer, address_size);
            break;
        default:
            break;
        }
    }
}

static void put_opcode(struct generator *gen, struct writer *writer, const struct opcode *row)
{
    uint8_t byte = row->plus_reg ? (uint8_t)(row->byte + rng_below(&gen->rng, 8)) : row->byte;

    if (row->map != MAP_1BYTE) {
        put(writer, 0x0f, 1);
    }
    if (row->map == MAP_0F38 || row->map == MAP_0F3A) {
        put(writer, row->map == MAP_0F38 ? 0x38 : 0x3a, 1);
    }
    put(writer, byte, 1);
}

bool encode_row(struct generator *gen, const struct opcode *row, bool code32, bool plain,
                struct encoding *encoding)
{
    struct shape shape = row_shape(row);
    struct writer writer = {.encoding = encoding};
    bool memory = shape.memory_only || row->mod == 0;
    uint8_t prefix[6];

    *encoding = (struct encoding){.length = 0};
    if (shape.modrm && !memory && !shape.register_only && row->mod != 3) {
        memory = !rng_once_in(&gen->rng, 3);
    }
    unsigned count = choose_prefixes(gen, row, memory, plain, prefix);
    bool address16 = code32 == contains(prefix, count, 0x67);
    unsigned opsize = code32 != contains(prefix, count, 0x66) ? 4 : 2;
    put_prefixes(gen, &writer, prefix, count);
    put_opcode(gen, &writer, row);
    if (shape.modrm) {
        put_modrm(gen, &writer, row, memory, address16);
    }
    put_immediates(gen, &writer, row, opsize, address16 ? 2 : 4);
    return !writer.overflow;
}
