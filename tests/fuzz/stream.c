/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Streams of random code: instructions made from rows of the opcode table, raw random bytes, and short sequences that
 * random code would hardly ever hit upon (port and device accesses with telling values, loops, loads of registers).
 *
 * SDM: Volume 2A, "Instruction Format". Encodings need not be valid: the decoder has to cope with anything.
 */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

#include "cpu/decode.h"

/* ---- values ---- */

static const uint16_t hot_ports[] = {
    0x00,  0x04,  0x08,   0x0a,   0x0b,   0x0c,   0x0d,   0x20,   0x21,   0x40,   0x41,  0x42,  0x43,
    0x60,  0x61,  0x64,   0x70,   0x71,   0x80,   0x81,   0x92,   0xa0,   0xa1,   0xb2,  0xb3,  0xd0,
    0xd6,  0xe9,  0xf0,   0xf4,   0x1ce,  0x1cf,  0x2f8,  0x2f9,  0x2fa,  0x2fb,  0x2fc, 0x3c0, 0x3c2,
    0x3c4, 0x3c5, 0x3c6,  0x3c8,  0x3c9,  0x3ce,  0x3cf,  0x3d4,  0x3d5,  0x3da,  0x3f8, 0x3f9, 0x3fa,
    0x3fb, 0x3fc, 0x402,  0x4d0,  0x510,  0x511,  0x514,  0x518,  0x604,  0xcf8,  0xcf9, 0xcfc, 0xcfd,
    0xcfe, 0xcff, 0xb000, 0xb004, 0xb008, 0xb020, 0xb030, 0x5658, 0xc000, 0xffff,
};

static const uint32_t hot_addresses[] = {
    0xfee00000, 0xfee00020, 0xfee00080, 0xfee000b0, 0xfee000f0, 0xfee00300, 0xfee00310,
    0xfee00320, 0xfee00350, 0xfee00380, 0xfee003e0, 0xfec00000, 0xfec00010, 0xfed00000,
    0x000a0000, 0x000b8000, 0x000c0000, 0x000e0000, 0x000f0000, 0xfffffff0, 0xfd000000,
    0xfebf0000, 0xe0000000, 0xc0000000, 0x00100000, 0xfffffffc,
};

static uint32_t hot_port(struct rng *rng)
{
    return hot_ports[rng_below(rng, ARRAY_LEN(hot_ports))] + (rng_once_in(rng, 4) ? rng_below(rng, 8) : 0);
}

static uint32_t hot_address(struct rng *rng)
{
    return hot_addresses[rng_below(rng, ARRAY_LEN(hot_addresses))] +
           (rng_once_in(rng, 2) ? rng_below(rng, 0x1000) : 0);
}

/* Where FXSAVE and MOVAPS may go, every other time. */
static uint32_t address(struct rng *rng, uint32_t first, uint32_t last)
{
    return rng_range(rng, first, last) & (rng_once_in(rng, 2) ? ~15u : ~0u);
}

uint32_t stream_value(struct rng *rng)
{
    switch (rng_below(rng, 13)) {
    case 0:
        return rng_u32(rng);
    case 1:
        return rng_below(rng, 256);
    case 2:
        return (uint32_t)(BIT(rng_below(rng, 32)) + rng_below(rng, 3) - 1);
    case 3:
        return 0u - rng_below(rng, 64);
    case 4:
    case 5:
        return address(rng, AT_CODE, AT_CODE_END);
    case 6:
    case 7:
        return address(rng, AT_DATA, AT_DATA_END);
    case 8:
        return rng_below(rng, AT_PAGES_END);
    case 9:
        return rng_below(rng, 8 * GDT_ENTRIES);
    case 10:
        return hot_port(rng);
    case 11: /* leaves of CPUID */
        return rng_below(rng, 12) | (rng_once_in(rng, 2) ? 0x80000000 : 0);
    default:
        return rng_once_in(rng, 2) ? hot_address(rng) : rng_range(rng, AT_DEVICE, LOW_END);
    }
}

/* ---- one row ---- */

enum { INSN_MAX = 15, SEQUENCE_MAX = 48 };

struct writer {
    uint8_t *bytes;
    unsigned length, capacity;
};

static void put(struct writer *writer, uint32_t value, unsigned size)
{
    for (unsigned i = 0; i < size && writer->length < writer->capacity; i++) {
        writer->bytes[writer->length++] = (uint8_t)(value >> 8 * i);
    }
}

static void put_prefixes(struct rng *rng, struct writer *writer, const struct opcode *row)
{
    static const uint8_t any[] = {0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3};

    if ((row->flags & OPF_STRING) && rng_once_in(rng, 2)) {
        put(writer, rng_once_in(rng, 2) ? 0xf2 : 0xf3, 1);
    }
    if ((row->flags & OPF_LOCK) && rng_once_in(rng, 8)) {
        put(writer, 0xf0, 1);
    }
    while (rng_once_in(rng, 5)) {
        put(writer, any[rng_below(rng, ARRAY_LEN(any))], 1);
    }
    if (row->prefix > OPP_NP) {
        put(writer, row->prefix, 1);
    }
}

static void put_opcode(struct rng *rng, struct writer *writer, const struct opcode *row)
{
    if (row->map != MAP_1BYTE) {
        put(writer, 0x0f, 1);
    }
    if (row->map == MAP_0F38 || row->map == MAP_0F3A) {
        put(writer, row->map == MAP_0F38 ? 0x38 : 0x3a, 1);
    }
    put(writer, row->byte + (row->plus_reg ? rng_below(rng, 8) : 0), 1);
}

/* ModRM with what follows it. Displacements are often absolute addresses. */
static void put_modrm(struct rng *rng, struct writer *writer, const struct opcode *row, bool address32)
{
    unsigned mod = row->mod == 3 ? 3 : row->mod == 0 ? rng_below(rng, 3) : rng_below(rng, 4);
    unsigned reg = row->reg >= 0 ? (unsigned)row->reg : rng_below(rng, 8);
    unsigned rm = row->rm >= 0 ? (unsigned)row->rm : rng_below(rng, 8);
    unsigned base = rm;

    if (mod != 3 && row->rm < 0 && rng_once_in(rng, 3)) { /* absolute */
        mod = 0;
        rm = base = address32 ? 5 : 6;
    }
    put(writer, mod << 6 | reg << 3 | rm, 1);
    if (mod == 3) {
        return;
    }
    if (address32 && rm == 4) {
        uint32_t sib = rng_below(rng, 256);
        put(writer, sib, 1);
        base = sib & 7;
    }
    if (mod == 0 && base == (address32 ? 5 : 6)) {
        put(writer, stream_value(rng), address32 ? 4 : 2);
    } else if (mod == 1) {
        put(writer, rng_below(rng, 256), 1);
    } else if (mod == 2) {
        put(writer, stream_value(rng), address32 ? 4 : 2);
    }
}

static uint32_t branch_distance(struct rng *rng)
{
    return rng_once_in(rng, 8) ? rng_u32(rng) : rng_below(rng, 600) - 300;
}

static void put_immediates(struct rng *rng, struct writer *writer, const struct opcode *row, unsigned opsize,
                           unsigned address_size)
{
    const char *text = row->operands;
    struct operand operand;

    while (operand_next(&text, &operand)) {
        unsigned size = operand.size == 'b' ? 1 : operand.size == 'w' ? 2 : operand.size == '1' ? 0 : opsize;
        switch (operand.letter) {
        case 'I':
            put(writer, stream_value(rng), size);
            break;
        case 'J':
            put(writer, branch_distance(rng), size);
            break;
        case 'A':
            put(writer, stream_value(rng), opsize);
            put(writer, rng_below(rng, 8 * GDT_ENTRIES), 2);
            break;
        case 'O':
            put(writer, stream_value(rng), address_size);
            break;
        default:
            break;
        }
    }
}

unsigned stream_encode(struct rng *rng, const struct opcode *row, bool code32, uint8_t bytes[INSN_MAX])
{
    struct writer writer = {.bytes = bytes, .capacity = INSN_MAX};

    put_prefixes(rng, &writer, row);
    bool opsize32 = code32 != (writer.length && memchr(bytes, 0x66, writer.length));
    bool address32 = code32 != (writer.length && memchr(bytes, 0x67, writer.length));
    put_opcode(rng, &writer, row);
    if (opcode_has_modrm(row)) {
        put_modrm(rng, &writer, row, address32);
    }
    put_immediates(rng, &writer, row, opsize32 ? 4 : 2, address32 ? 4 : 2);
    return writer.length;
}

/* ---- sequences ---- */

/* MOV reg, imm of 32 bits. */
static void put_load(struct writer *writer, bool code32, unsigned reg, uint32_t value)
{
    if (!code32) {
        put(writer, 0x66, 1);
    }
    put(writer, 0xb8 + reg, 1);
    put(writer, value, 4);
}

/* OUT to a port; size 1, 2, 4. */
static void put_out(struct writer *writer, bool code32, uint32_t port, uint32_t value, unsigned size)
{
    put(writer, 0x66, code32 ? 1 : 0);
    put(writer, 0xba, 1); /* MOV DX */
    put(writer, port, 2);
    put_load(writer, code32, RAX, value);
    if (size != 1 && (size == 4) != code32) {
        put(writer, 0x66, 1);
    }
    put(writer, size == 1 ? 0xee : 0xef, 1);
}

/* Store EAX = value at an absolute address. */
static void put_store(struct writer *writer, bool code32, uint32_t at, uint32_t value)
{
    put_load(writer, code32, RAX, value);
    if (!code32) {
        put(writer, 0x6667, 2);
    }
    put(writer, 0xa3, 1);
    put(writer, at, 4);
}

static uint32_t small_or_any(struct rng *rng)
{
    return rng_once_in(rng, 2) ? rng_below(rng, 256) : stream_value(rng);
}

/* IN, OUT, INS, OUTS at a port that means something. */
static void put_port_access(struct rng *rng, struct writer *writer, bool code32)
{
    static const uint8_t access[] = {0xec, 0xed, 0xee, 0xee, 0xee, 0xef, 0xef, 0x6c, 0x6d, 0x6e, 0x6f};

    put_out(writer, code32, hot_port(rng), small_or_any(rng), 1);
    writer->length--;
    if (rng_once_in(rng, 4)) {
        put(writer, 0x66, 1);
    }
    put(writer, access[rng_below(rng, ARRAY_LEN(access))], 1);
}

/* An index register and its data, in one word or two bytes. */
static void put_indexed_access(struct rng *rng, struct writer *writer, bool code32)
{
    static const struct {
        uint16_t index, data;
        uint8_t count;
    } pairs[] = {{0x3c4, 0x3c5, 5},  {0x3ce, 0x3cf, 9}, {0x3d4, 0x3d5, 25}, {0x1ce, 0x1cf, 11},
                 {0x3c0, 0x3c0, 21}, {0x70, 0x71, 128}, {0x64, 0x60, 0},    {0x510, 0x511, 64},
                 {0x43, 0x40, 0},    {0xb2, 0xb3, 0},   {0x20, 0x21, 0x20}, {0x3c8, 0x3c9, 0}};
    unsigned which = rng_below(rng, ARRAY_LEN(pairs));
    uint32_t index = rng_below(rng, pairs[which].count ? pairs[which].count : 256);
    unsigned size = pairs[which].index == 0x1ce ? 2 : 1;

    if (pairs[which].index == 0x64 && rng_once_in(rng, 2)) {
        index = 0xd4; /* the next byte is for the mouse */
    }
    put_out(writer, code32, pairs[which].index, index, size);
    put_out(writer, code32, pairs[which].data, small_or_any(rng), size);
}

/* A register of PCI configuration space: written, or read. */
static void put_pci_access(struct rng *rng, struct writer *writer, bool code32)
{
    uint32_t where = 0x80000000 | rng_below(rng, 4) << 11 | rng_below(rng, 4) << 8;

    where |= (rng_once_in(rng, 2) ? 4 * rng_below(rng, 16) : rng_below(rng, 256)) & ~3u;
    put_out(writer, code32, 0xcf8, where, 4);
    put_out(writer, code32, 0xcfc + rng_below(rng, 4),
            rng_once_in(rng, 3) ? hot_address(rng) : stream_value(rng), 1u << rng_below(rng, 3));
    if (rng_once_in(rng, 3)) {
        put(writer, 0xed, 1);
    }
}

/* fw_cfg's DMA: a descriptor somewhere in low memory, big-endian. */
static void put_fw_cfg_dma(struct rng *rng, struct writer *writer, bool code32)
{
    uint32_t at = address(rng, AT_DATA, AT_DATA_END);

    put_store(writer, code32, at, __builtin_bswap32(rng_below(rng, 32) | rng_below(rng, 64) << 16));
    put_out(writer, code32, 0x518, __builtin_bswap32(at), 4);
}

/* A load or store at a device's registers. */
static void put_device_access(struct rng *rng, struct writer *writer, bool code32)
{
    switch (rng_below(rng, 4)) {
    case 0:
        put_store(writer, code32, 0xfee00000 + 16 * rng_below(rng, 64), small_or_any(rng));
        break;
    case 1:
        put_store(writer, code32, 0xfec00000, rng_below(rng, 64));
        put_store(writer, code32, 0xfec00010, stream_value(rng));
        break;
    case 2:
        put_store(writer, code32, 0xa0000 + rng_below(rng, 0x20000), stream_value(rng));
        break;
    default:
        put_store(writer, code32, rng_once_in(rng, 2) ? hot_address(rng) : rng_range(rng, AT_DEVICE, AT_ROM),
                  stream_value(rng));
        writer->length -= 5; /* any direction and size */
        put(writer, 0xa0 + rng_below(rng, 4), 1);
        writer->length += 4;
        break;
    }
}

/* A short loop over what was just written: MOV CX, n ... LOOP. */
static void put_loop(struct rng *rng, struct writer *writer)
{
    put(writer, 0xe2, 1);
    put(writer, 0u - rng_range(rng, 4, 60), 1);
}

static void put_repeat(struct rng *rng, struct writer *writer, bool code32)
{
    put_load(writer, code32, RCX, rng_once_in(rng, 64) ? rng_u32(rng) : rng_below(rng, 0x400));
    put(writer, rng_once_in(rng, 2) ? 0xf2 : 0xf3, 1);
    put(writer, 0xa4 + rng_below(rng, 2) + (rng_once_in(rng, 2) ? 2 : 0) + (rng_once_in(rng, 3) ? 6 : 0), 1);
}

/* For a board, most of them talk to its chips. */
static unsigned put_sequence(const struct generator *generator, struct rng *rng, bool code32,
                             uint8_t bytes[SEQUENCE_MAX])
{
    struct writer writer = {.bytes = bytes, .capacity = SEQUENCE_MAX};

    switch (rng_below(rng, generator->board ? 14 : 5)) {
    case 0:
    case 1:
        put_load(&writer, code32, rng_below(rng, 8), stream_value(rng));
        break;
    case 2:
        put_loop(rng, &writer);
        break;
    case 3:
        put_repeat(rng, &writer, code32);
        break;
    case 4:
    case 5:
    case 6:
        put_device_access(rng, &writer, code32);
        break;
    case 7:
    case 8:
        put_port_access(rng, &writer, code32);
        break;
    case 9:
        put_pci_access(rng, &writer, code32);
        break;
    case 10:
        put_fw_cfg_dma(rng, &writer, code32);
        break;
    default:
        put_indexed_access(rng, &writer, code32);
        break;
    }
    return writer.length;
}

/* ---- streams ---- */

bool generator_init(struct generator *generator, bool board)
{
    *generator =
        (struct generator){.special = malloc(opcode_count * sizeof(*generator->special)), .board = board};
    if (!generator->special) {
        return false;
    }
    for (size_t i = 0; i < opcode_count; i++) {
        if (opcode_table[i].flags & (OPF_CPL0 | OPF_PE | OPF_END | OPF_STRING)) {
            generator->special[generator->special_count++] = &opcode_table[i];
        }
    }
    return true;
}

void generator_fini(struct generator *generator)
{
    free(generator->special);
}

static const struct opcode *choose_row(const struct generator *generator, struct rng *rng)
{
    if (rng_once_in(rng, 4)) {
        return generator->special[rng_below(rng, (uint32_t)generator->special_count)];
    }
    return &opcode_table[rng_below(rng, (uint32_t)opcode_count)];
}

void stream_fill(const struct generator *generator, struct rng *rng, bool code32, uint8_t *bytes,
                 size_t count)
{
    /* Whole streams of raw bytes now and then, else a raw piece in so many. */
    unsigned raw = rng_once_in(rng, 6) ? 1 : rng_range(rng, 4, 200);
    uint8_t piece[SEQUENCE_MAX];

    for (size_t at = 0; at < count;) {
        unsigned length;
        if (rng_once_in(rng, raw)) {
            length = rng_range(rng, 1, INSN_MAX);
            rng_fill(rng, piece, length);
        } else if (rng_once_in(rng, generator->board ? 3 : 5)) {
            length = put_sequence(generator, rng, code32, piece);
        } else {
            length = stream_encode(rng, choose_row(generator, rng), code32, piece);
        }
        length = (unsigned)MIN(length, count - at);
        memcpy(bytes + at, piece, length);
        at += length;
    }
}
