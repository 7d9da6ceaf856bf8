/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The opcode table as data: cpu/opcodes.def turned into an array, and an index from (map, byte) to its rows.
 *
 * SDM: Volume 2D, "Opcode Map".
 */
#include "cpu/cpuid.h"
#include "cpu/decode.h"
#include "cpu/exec.h"

/* The table's shorthands. */
enum { ANY = -1, MEM = 0, REG = 3 };
enum {
    LOCK = OPF_LOCK,
    END = OPF_END,
    CPL0 = OPF_CPL0,
    PE = OPF_PE,
    RF = OPF_READ_FLAGS,
    WF = OPF_WRITE_FLAGS,
    STRING = OPF_STRING,
    FPU = OPF_FPU,
    MMX = OPF_MMX,
    SSE = OPF_SSE,
    MW = OPF_MEM_WRITE,
    MR = OPF_MEM_READ,
    BYTE = OPF_BYTE,
    UNALIGNED = OPF_UNALIGNED,
    SIMD_FP = OPF_SIMD_FP,
};
#define CPU_FEATURE_BASE 0

/* Each use of __COUNTER__ in the first table numbers a row; the index below counts the same rows again. */
enum { TABLE_BASE = __COUNTER__ + 1 };

#define ROW(map_, byte_, prefix_, reg_, mod_, rm_, plus_, mnemonic_, operands_, feature_, flags_, fn16,      \
            fn32)                                                                                            \
    {                                                                                                        \
        .mnemonic = mnemonic_,                                                                               \
        .operands = operands_,                                                                               \
        .map = MAP_##map_,                                                                                   \
        .byte = byte_,                                                                                       \
        .prefix = prefix_,                                                                                   \
        .reg = reg_,                                                                                         \
        .mod = mod_,                                                                                         \
        .rm = rm_,                                                                                           \
        .plus_reg = plus_,                                                                                   \
        .flags = flags_,                                                                                     \
        .feature = CPU_FEATURE_##feature_,                                                                   \
        .id = __COUNTER__ - TABLE_BASE,                                                                      \
        .exec16 = fn16,                                                                                      \
        .exec32 = fn32,                                                                                      \
    },
#define OP1(map, byte, prefix, reg, mod, rm, plus, mnemonic, operands, feature, handler, flags)              \
    ROW(map, byte, prefix, reg, mod, rm, plus, mnemonic, operands, feature, flags, exec_##handler,           \
        exec_##handler)
#define OP2(map, byte, prefix, reg, mod, rm, plus, mnemonic, operands, feature, handler, flags)              \
    ROW(map, byte, prefix, reg, mod, rm, plus, mnemonic, operands, feature, flags, exec_##handler##_16,      \
        exec_##handler##_32)

const struct opcode opcode_table[] = {
#include "cpu/opcodes.def"
};
#undef OP1
#undef OP2

const size_t opcode_count = ARRAY_LEN(opcode_table);

const struct opcode opcode_undefined = {
    .mnemonic = "(bad)",
    .operands = "",
    .reg = ANY,
    .mod = ANY,
    .rm = ANY,
    .flags = OPF_END,
    .exec16 = exec_ud,
    .exec32 = exec_ud,
};

const struct opcode opcode_too_long = {
    .mnemonic = "(too long)",
    .operands = "",
    .reg = ANY,
    .mod = ANY,
    .rm = ANY,
    .flags = OPF_END,
    .exec16 = exec_too_long,
    .exec32 = exec_too_long,
};

/*
 * Per byte, one more than the index of its last row (rows of a byte stand together; later initializers replace
 * earlier ones), 0 for none.
 */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Woverride-init"
enum { INDEX_BASE = __COUNTER__ + 1 };
#define OP1(map, byte, prefix, reg, mod, rm, plus, mnemonic, operands, feature, handler, flags)              \
    [MAP_##map][(byte)...(byte) + 7 * (plus)] = __COUNTER__ - INDEX_BASE + 1,
#define OP2 OP1
static const uint16_t last_row[MAP_COUNT][256] = {
#include "cpu/opcodes.def"
};
#undef OP1
#undef OP2
#pragma GCC diagnostic pop

static bool row_has_byte(const struct opcode *opcode, enum opcode_map map, uint8_t byte)
{
    return opcode->map == map && byte >= opcode->byte && byte <= opcode->byte + (opcode->plus_reg ? 7 : 0);
}

const struct opcode *opcode_rows(enum opcode_map map, uint8_t byte, unsigned *count)
{
    unsigned end = last_row[map][byte];
    unsigned first = end;

    while (first > 0 && row_has_byte(&opcode_table[first - 1], map, byte)) {
        first--;
    }
    *count = end - first;
    return *count ? &opcode_table[first] : NULL;
}

static bool is_lower_or_digit(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

bool operand_next(const char **cursor, struct operand *operand)
{
    const char *text = *cursor;
    unsigned length = 0;

    while (text[length] && text[length] != ',') {
        length++;
    }
    if (length == 0) {
        return false;
    }
    *cursor = text + length + (text[length] == ',');
    *operand = (struct operand){.text = text, .length = length};
    bool literal = text[0] == 'e' || (length > 1 && !is_lower_or_digit(text[1]));
    if (!literal) {
        operand->letter = text[0];
        operand->size = length > 1 ? text[1] : 0;
        operand->sign_extend = length == 3 && text[0] == 'I' && text[2] == 's';
    }
    return true;
}

bool opcode_has_modrm(const struct opcode *opcode)
{
    const char *cursor = opcode->operands;
    struct operand operand;

    if (opcode->reg != ANY || opcode->mod != ANY || opcode->rm != ANY) {
        return true;
    }
    while (operand_next(&cursor, &operand)) {
        if (operand.letter && strchr("EGMRSCDPQNVUW", operand.letter)) {
            return true;
        }
    }
    return false;
}
