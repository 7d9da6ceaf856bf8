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

/*
 * What the decoder must know of a row's operands, worked out by the compiler: a character of a string literal is a
 * constant, and behind the end of the operands there are zeros.
 *
 *   E V ,  G v ,  I b        a letter counts at the start of an operand; followed by a capital it is a register's name
 */
#define AT(s, i)      ((s "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0")[i])
#define IS_CAPITAL(c) ((c) >= 'A' && (c) <= 'Z')
#define IS_MODRM(c)                                                                                          \
    ((c) == 'E' || (c) == 'G' || (c) == 'M' || (c) == 'R' || (c) == 'S' || (c) == 'C' || (c) == 'D' ||       \
     (c) == 'P' || (c) == 'Q' || (c) == 'N' || (c) == 'V' || (c) == 'U' || (c) == 'W')
#define HAS_MODRM(s)  (IS_MODRM(AT(s, 0)) && !IS_CAPITAL(AT(s, 1)))
#define IS_CONTROL(c) ((c) == 'C' || (c) == 'D')
#define ONLY_REGISTERS(s)                                                                                    \
    ((AT(s, 0) == 'R' && IS_CONTROL(AT(s, 3))) || (IS_CONTROL(AT(s, 0)) && AT(s, 3) == 'R'))
#define HAS_SREG(s)   (AT(s, 1) == 'S' && AT(s, 2) == '\0')
#define HAS_OFFSET(s) (AT(s, 0) == 'O' || AT(s, 3) == 'O' || AT(s, 4) == 'O')
#define HAS_FAR(s)    (AT(s, 0) == 'A' && AT(s, 1) == 'p')
#define TAKES(s, reg, mod, rm)                                                                               \
    (((reg) != ANY || (mod) != ANY || (rm) != ANY || HAS_MODRM(s) ? TAKES_MODRM : 0) |                       \
     (ONLY_REGISTERS(s) ? TAKES_REGISTER : 0) | (HAS_SREG(s) ? TAKES_SREG : 0) |                             \
     (AT(s, 0) == 'Z' ? TAKES_PLUS : 0) | (HAS_OFFSET(s) ? TAKES_OFFSET : 0) | (HAS_FAR(s) ? TAKES_FAR : 0))

/* The immediate at position i of the operands. I and J are in no register's name. */
#define IMM_SIZE(i_, size, sign)                                                                             \
    ((size) == '1'                                     ? IMM_ONE                                             \
     : (size) == 'b' && ((i_) == 'J' || (sign) == 's') ? IMM_BYTE_SIGNED                                     \
     : (size) == 'b'                                   ? IMM_BYTE                                            \
     : (size) == 'w'                                   ? IMM_WORD                                            \
     : (i_) == 'J'                                     ? IMM_FULL_SIGNED                                     \
                                                       : IMM_FULL)
#define IMM_AT(s, i)                                                                                         \
    (AT(s, i) == 'I' || AT(s, i) == 'J' ? IMM_SIZE(AT(s, i), AT(s, (i) + 1), AT(s, (i) + 2)) : IMM_NONE)
#define IMM_BEHIND(s)                                                                                        \
    (IMM_AT(s, 3) | IMM_AT(s, 4) | IMM_AT(s, 5) | IMM_AT(s, 6) | IMM_AT(s, 7) | IMM_AT(s, 8) |               \
     IMM_AT(s, 9) | IMM_AT(s, 10))
#define IMM(s)  (IMM_AT(s, 0) ? IMM_AT(s, 0) : IMM_BEHIND(s))
#define IMM2(s) (IMM_AT(s, 0) ? IMM_BEHIND(s) : IMM_NONE) /* ENTER's level */

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
        .takes = TAKES(operands_, reg_, mod_, rm_),                                                          \
        .imm = IMM(operands_),                                                                               \
        .imm2 = IMM2(operands_),                                                                             \
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
    return opcode->takes & TAKES_MODRM;
}
