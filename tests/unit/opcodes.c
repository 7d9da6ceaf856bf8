/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The opcode table is consistent, and every row of it can be reached.
 */
#include <criterion/criterion.h>

#include "cpu/decode.h"

#define ALL_FEATURES (~(uint64_t)0)

/* Prefix, escape and opcode byte of the row, the rest zero. Returns where ModRM would be. */
static unsigned encode(const struct opcode *row, uint8_t bytes[16])
{
    unsigned at = 0;

    memset(bytes, 0, 16);
    if (row->prefix > OPP_NP) {
        bytes[at++] = row->prefix;
    }
    if (row->map != MAP_1BYTE) {
        bytes[at++] = 0x0f;
    }
    if (row->map == MAP_0F38 || row->map == MAP_0F3A) {
        bytes[at++] = row->map == MAP_0F38 ? 0x38 : 0x3a;
    }
    bytes[at++] = (uint8_t)(row->byte + (row->plus_reg ? 7 : 0));
    return at;
}

/* Find a ModRM byte with which the encoding decodes to the row. */
static bool reach(const struct opcode *row, uint8_t bytes[16], bool code32, struct insn *insn)
{
    unsigned at = encode(row, bytes);

    for (unsigned modrm = 0; modrm < (opcode_has_modrm(row) ? 256u : 1u); modrm++) {
        bytes[at] = (uint8_t)modrm;
        if (insn_decode(bytes, 15, code32, ALL_FEATURES, insn) == DECODE_OK && insn->opcode == row) {
            return true;
        }
    }
    return false;
}

Test(opcodes, every_row_decodes_to_itself)
{
    for (size_t i = 0; i < opcode_count; i++) {
        const struct opcode *row = &opcode_table[i];
        uint8_t bytes[16];
        struct insn insn;

        cr_assert(reach(row, bytes, true, &insn), "row %zu %s %s", i, row->mnemonic, row->operands);
        cr_expect_eq(insn.exec, row->prefix == 0x66 ? row->exec16 : row->exec32, "row %zu", i);
        cr_assert(reach(row, bytes, false, &insn), "row %zu %s %s", i, row->mnemonic, row->operands);
        cr_expect_eq(insn.exec, row->prefix == 0x66 ? row->exec32 : row->exec16, "row %zu", i);
    }
}

Test(opcodes, a_row_needs_all_its_features)
{
    for (size_t i = 0; i < opcode_count; i++) {
        const struct opcode *row = &opcode_table[i];
        uint8_t bytes[16];
        struct insn insn;

        if (row->feature) {
            cr_assert(reach(row, bytes, true, &insn));
            insn_decode(bytes, 15, true, ALL_FEATURES & ~row->feature, &insn);
            cr_expect_neq(insn.opcode, row, "row %zu %s", i, row->mnemonic);
        }
    }
}

Test(opcodes, rows_are_numbered_in_order_and_have_handlers)
{
    for (size_t i = 0; i < opcode_count; i++) {
        cr_expect_eq(opcode_table[i].id, i);
        cr_expect(opcode_table[i].exec16 && opcode_table[i].exec32, "row %zu %s", i,
                  opcode_table[i].mnemonic);
    }
}

Test(opcodes, rows_of_a_byte_stand_together_and_agree_on_modrm)
{
    for (size_t i = 0; i < opcode_count; i++) {
        const struct opcode *row = &opcode_table[i];

        for (unsigned r = 0; r < (row->plus_reg ? 8u : 1u); r++) {
            unsigned count;
            const struct opcode *rows =
                opcode_rows((enum opcode_map)row->map, (uint8_t)(row->byte + r), &count);
            cr_assert(rows && row >= rows && row < rows + count, "row %zu %s is not among its byte's rows", i,
                      row->mnemonic);
            cr_expect_eq(opcode_has_modrm(rows), opcode_has_modrm(row), "row %zu %s", i, row->mnemonic);
        }
    }
}

Test(opcodes, bytes_without_rows_are_undefined)
{
    for (unsigned map = MAP_1BYTE; map <= MAP_0F; map++) {
        for (unsigned byte = 0; byte < 256; byte++) {
            uint8_t bytes[16] = {0x0f, (uint8_t)byte};
            struct insn insn;
            unsigned count;

            if (opcode_rows((enum opcode_map)map, (uint8_t)byte, &count) || map == MAP_1BYTE ||
                byte == 0x38 || byte == 0x3a) {
                continue;
            }
            cr_expect_eq(insn_decode(bytes, 15, true, ALL_FEATURES, &insn), DECODE_UD, "0f %02x", byte);
            cr_expect_eq(insn.length, 2);
        }
    }
}

Test(opcodes, the_only_one_byte_opcodes_without_rows_are_prefixes_and_the_escape)
{
    static const uint8_t expected[] = {0x0f, 0x26, 0x2e, 0x36, 0x3e, 0x64,
                                       0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3};
    unsigned missing = 0;

    for (unsigned byte = 0; byte < 256; byte++) {
        unsigned count;
        if (!opcode_rows(MAP_1BYTE, (uint8_t)byte, &count)) {
            cr_assert(missing < ARRAY_LEN(expected));
            cr_expect_eq(byte, expected[missing], "no row for %02x", byte);
            missing++;
        }
    }
    cr_expect_eq(missing, ARRAY_LEN(expected));
}

Test(opcodes, operands_are_split_at_commas)
{
    const char *cursor = "Ev,Ibs,eAX,STi,Rv/Mw";
    struct operand operand;

    cr_assert(operand_next(&cursor, &operand));
    cr_expect(operand.letter == 'E' && operand.size == 'v' && !operand.sign_extend);
    cr_assert(operand_next(&cursor, &operand));
    cr_expect(operand.letter == 'I' && operand.size == 'b' && operand.sign_extend);
    cr_assert(operand_next(&cursor, &operand));
    cr_expect(operand.letter == 0 && operand.length == 3);
    cr_assert(operand_next(&cursor, &operand));
    cr_expect(operand.letter == 0 && operand.length == 3);
    cr_assert(operand_next(&cursor, &operand));
    cr_expect(operand.letter == 'R' && operand.size == 'v');
    cr_expect_not(operand_next(&cursor, &operand));
}

/* The same from the operand strings, read one by one. */
static void expect_takes(const struct opcode *row)
{
    const char *cursor = row->operands;
    struct operand operand;
    unsigned takes = row->reg >= 0 || row->mod >= 0 || row->rm >= 0 ? TAKES_MODRM : 0;
    unsigned imm[2] = {IMM_NONE, IMM_NONE}, count = 0;
    bool control = false, only_register = false;

    while (operand_next(&cursor, &operand)) {
        control |= operand.letter == 'C' || operand.letter == 'D';
        only_register |= operand.letter == 'R' && operand.size == 'd' && operand.length == 2;
        takes |= operand.letter && strchr("EGMRSCDPQNVUW", operand.letter) ? TAKES_MODRM : 0;
        takes |= operand.letter == 'A' ? TAKES_FAR : operand.letter == 'O' ? TAKES_OFFSET : 0;
        takes |= operand.letter == 'Z' ? TAKES_PLUS : 0;
        takes |= !operand.letter && operand.length == 2 && operand.text[1] == 'S' ? TAKES_SREG : 0;
        if (operand.letter == 'I' || operand.letter == 'J') {
            bool jump = operand.letter == 'J';
            imm[count++] = operand.size == '1'   ? IMM_ONE
                           : operand.size == 'b' ? (jump || operand.sign_extend ? IMM_BYTE_SIGNED : IMM_BYTE)
                           : operand.size == 'w' ? IMM_WORD
                           : jump                ? IMM_FULL_SIGNED
                                                 : IMM_FULL;
        }
    }
    takes |= control && only_register ? TAKES_REGISTER : 0;
    cr_expect_eq(row->takes, takes, "%s %s: %x, not %x", row->mnemonic, row->operands, row->takes, takes);
    cr_expect_eq(row->imm, imm[0], "%s %s", row->mnemonic, row->operands);
    cr_expect_eq(row->imm2, imm[1], "%s %s", row->mnemonic, row->operands);
}

Test(opcodes, what_the_decoder_takes_is_what_the_operands_say)
{
    for (size_t i = 0; i < opcode_count; i++) {
        expect_takes(&opcode_table[i]);
    }
}
