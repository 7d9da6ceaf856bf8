/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The decoder: bytes to struct insn.
 *
 *   [prefixes] [0F [38|3A]] opcode [ModRM [SIB] [displacement]] [immediate]
 *
 * A pure function of the bytes, CS.D and the feature set. Undefined encodings, LOCK where it is not allowed
 * included, decode to a row that raises #UD.
 *
 * SDM: Volume 2A, "Instruction Format". Not modelled: REX, VEX and EVEX prefixes.
 */
#include "cpu/decode.h"
#include "cpu/exec.h"

enum { INSN_LENGTH_MAX = 15 };

struct cursor {
    const uint8_t *bytes;
    unsigned count, at;
    bool more, too_long; /* a byte was asked for that is not there, or must not be there */
};

static bool have(struct cursor *cursor, unsigned n)
{
    if (cursor->at + n > INSN_LENGTH_MAX && cursor->count >= INSN_LENGTH_MAX) {
        cursor->too_long = true;
        return false;
    }
    if (cursor->at + n > cursor->count) {
        cursor->more = true;
        return false;
    }
    return true;
}

/* The next 1, 2 or 4 bytes; 0 when they are not there. */
static uint32_t take(struct cursor *cursor, unsigned n)
{
    const uint8_t *bytes = cursor->bytes + cursor->at;

    if (!have(cursor, n)) {
        return 0;
    }
    cursor->at += n;
    return n == 1 ? bytes[0] : n == 2 ? load_le16(bytes) : load_le32(bytes);
}

static bool failed(const struct cursor *cursor)
{
    return cursor->more || cursor->too_long;
}

/* True when the byte was a prefix. Of several of a kind the last counts. */
static bool take_prefix(struct insn *insn, uint8_t byte)
{
    static const uint8_t segment_of[] = {SEG_ES, SEG_CS, SEG_SS, SEG_DS};

    switch (byte) {
    case 0x26:
    case 0x2e:
    case 0x36:
    case 0x3e:
        insn->seg = segment_of[byte >> 3 & 3];
        insn->seg_override = true;
        return true;
    case 0x64:
    case 0x65:
        insn->seg = byte == 0x64 ? SEG_FS : SEG_GS;
        insn->seg_override = true;
        return true;
    case 0x66:
        insn->opsize_prefix = true;
        return true;
    case 0x67:
        insn->addrsize_prefix = true;
        return true;
    case 0xf0:
        insn->lock = true;
        return true;
    case 0xf2:
    case 0xf3:
        insn->rep = byte;
        return true;
    default:
        return false;
    }
}

static uint8_t take_prefixes(struct cursor *cursor, struct insn *insn)
{
    uint8_t byte;

    do {
        byte = (uint8_t)take(cursor, 1);
    } while (!failed(cursor) && take_prefix(insn, byte));
    return byte;
}

static enum opcode_map take_escape(struct cursor *cursor, uint8_t *byte)
{
    if (*byte != 0x0f) {
        return MAP_1BYTE;
    }
    *byte = (uint8_t)take(cursor, 1);
    if (*byte != 0x38 && *byte != 0x3a) {
        return MAP_0F;
    }
    enum opcode_map map = *byte == 0x38 ? MAP_0F38 : MAP_0F3A;
    *byte = (uint8_t)take(cursor, 1);
    return map;
}

static bool prefix_matches(uint8_t wanted, const struct insn *insn)
{
    switch (wanted) {
    case 0:
        return true;
    case OPP_NP:
        return !insn->rep && !insn->opsize_prefix;
    case 0x66:
        return !insn->rep && insn->opsize_prefix;
    default:
        return insn->rep == wanted;
    }
}

static bool row_matches(const struct opcode *row, const struct insn *insn, uint64_t features)
{
    uint8_t modrm = insn->modrm;
    bool is_register = modrm >> 6 == 3;

    return prefix_matches(row->prefix, insn) && (row->feature & ~features) == 0 &&
           (row->reg < 0 || row->reg == (modrm >> 3 & 7)) &&
           (row->mod < 0 || (row->mod == 3) == is_register) && (row->rm < 0 || row->rm == (modrm & 7));
}

/* SDM: Volume 2A, "16-Bit Addressing Forms with the ModR/M Byte". */
static void take_memory16(struct cursor *cursor, struct insn *insn)
{
    static const uint8_t base[8] = {RBX, RBX, RBP, RBP, RSI, RDI, RBP, RBX};
    static const uint8_t index[8] = {RSI, RDI, RSI, RDI, INSN_NO_REG, INSN_NO_REG, INSN_NO_REG, INSN_NO_REG};
    unsigned mod = insn->modrm >> 6, rm = insn->modrm & 7;

    if (mod == 0 && rm == 6) {
        insn->disp = (int32_t)take(cursor, 2);
        return;
    }
    insn->base = base[rm];
    insn->index = index[rm];
    if (mod == 1) {
        insn->disp = (int8_t)take(cursor, 1);
    } else if (mod == 2) {
        insn->disp = (int16_t)take(cursor, 2);
    }
}

/* SDM: Volume 2A, "32-Bit Addressing Forms with the ModR/M Byte" and "... with the SIB Byte". */
static void take_memory32(struct cursor *cursor, struct insn *insn)
{
    unsigned mod = insn->modrm >> 6;
    unsigned base = insn->modrm & 7;

    if (base == 4) {
        uint8_t sib = (uint8_t)take(cursor, 1);
        base = sib & 7;
        insn->index = (sib >> 3 & 7) == 4 ? INSN_NO_REG : (sib >> 3 & 7);
        insn->scale = sib >> 6;
    }
    if (mod == 0 && base == 5) {
        insn->disp = (int32_t)take(cursor, 4);
        return;
    }
    insn->base = (uint8_t)base;
    if (mod == 1) {
        insn->disp = (int8_t)take(cursor, 1);
    } else if (mod == 2) {
        insn->disp = (int32_t)take(cursor, 4);
    }
}

static void take_memory(struct cursor *cursor, struct insn *insn)
{
    insn->memory = true;
    if (insn->addrsize == 2) {
        take_memory16(cursor, insn);
    } else {
        take_memory32(cursor, insn);
    }
    if (!insn->seg_override && (insn->base == RSP || insn->base == RBP)) {
        insn->seg = SEG_SS;
    }
}

static uint32_t take_immediate(struct cursor *cursor, const struct insn *insn, enum opcode_immediate kind)
{
    uint32_t value;

    switch (kind) {
    case IMM_NONE:
        break;
    case IMM_ONE:
        return 1;
    case IMM_BYTE:
        return take(cursor, 1);
    case IMM_BYTE_SIGNED:
        return (uint32_t)(int8_t)take(cursor, 1);
    case IMM_WORD:
        return take(cursor, 2);
    case IMM_FULL:
        return take(cursor, insn->opsize);
    case IMM_FULL_SIGNED:
        value = take(cursor, insn->opsize);
        return insn->opsize == 2 ? (uint32_t)(int16_t)value : value;
    }
    return 0;
}

/* What the operands of the row take from the instruction after ModRM, SIB and displacement. */
static void take_operands(struct cursor *cursor, struct insn *insn, uint8_t byte)
{
    const struct opcode *row = insn->opcode;

    insn->imm = take_immediate(cursor, insn, (enum opcode_immediate)row->imm);
    insn->imm2 = take_immediate(cursor, insn, (enum opcode_immediate)row->imm2);
    if (!(row->takes & ~(unsigned)(TAKES_MODRM | TAKES_REGISTER))) {
        return;
    }
    if (row->takes & TAKES_FAR) {
        insn->imm = take(cursor, insn->opsize);
        insn->imm2 = take(cursor, 2);
    }
    if (row->takes & TAKES_OFFSET) {
        insn->memory = true;
        insn->disp = (int32_t)take(cursor, insn->addrsize);
    }
    if (row->takes & TAKES_PLUS) {
        insn->rm = byte & 7;
    }
    if (row->takes & TAKES_SREG) { /* where ModRM would have reg */
        insn->reg = byte >> 3 & 7;
    }
}

static const struct opcode *find_row(struct cursor *cursor, struct insn *insn, enum opcode_map map,
                                     uint8_t byte, uint64_t features, bool *has_modrm)
{
    unsigned count;
    const struct opcode *rows = opcode_rows(map, byte, &count);

    if (!rows) {
        return NULL;
    }
    *has_modrm = rows[0].takes & TAKES_MODRM;
    if (*has_modrm) {
        insn->modrm = (uint8_t)take(cursor, 1);
        insn->reg = insn->modrm >> 3 & 7;
        insn->rm = insn->modrm & 7;
    }
    for (unsigned i = 0; i < count; i++) {
        if (row_matches(&rows[i], insn, features)) {
            return &rows[i];
        }
    }
    return NULL;
}

static enum decode_status finish(struct insn *insn, const struct opcode *opcode, const struct cursor *cursor,
                                 enum decode_status status)
{
    insn->opcode = opcode;
    insn->exec = insn->opsize == 2 ? opcode->exec16 : opcode->exec32;
    insn->length = (uint8_t)cursor->at;
    memcpy(insn->bytes, cursor->bytes, cursor->at);
    return status;
}

static enum decode_status finish_failed(struct insn *insn, const struct cursor *cursor)
{
    return cursor->too_long ? finish(insn, &opcode_too_long, cursor, DECODE_LONG) : DECODE_MORE;
}

enum decode_status insn_decode(const uint8_t *bytes, unsigned count, bool code32, uint64_t features,
                               struct insn *insn)
{
    struct cursor cursor = {.bytes = bytes, .count = count};

    *insn = (struct insn){.seg = SEG_DS, .base = INSN_NO_REG, .index = INSN_NO_REG};
    uint8_t byte = take_prefixes(&cursor, insn);
    enum opcode_map map = take_escape(&cursor, &byte);
    insn->opsize = code32 != insn->opsize_prefix ? 4 : 2;
    insn->addrsize = code32 != insn->addrsize_prefix ? 4 : 2;
    if (failed(&cursor)) {
        return finish_failed(insn, &cursor);
    }

    bool has_modrm = false;
    insn->opcode = find_row(&cursor, insn, map, byte, features, &has_modrm);
    if (failed(&cursor)) {
        return finish_failed(insn, &cursor);
    }
    if (!insn->opcode) {
        return finish(insn, &opcode_undefined, &cursor, DECODE_UD);
    }
    if (has_modrm && insn->modrm >> 6 != 3 && !(insn->opcode->takes & TAKES_REGISTER)) {
        take_memory(&cursor, insn);
    }
    take_operands(&cursor, insn, byte);
    if (failed(&cursor)) {
        return finish_failed(insn, &cursor);
    }
    if (insn->lock && !((insn->opcode->flags & OPF_LOCK) && insn->memory)) {
        return finish(insn, &opcode_undefined, &cursor, DECODE_UD);
    }
    return finish(insn, insn->opcode, &cursor, DECODE_OK);
}
