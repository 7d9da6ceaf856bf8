/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Helpers that everything which reads the opcode table shares: splitting a row's operand string into operands, and
 * finding the rows of an opcode byte.
 *
 * SDM: Volume 2D, "Key to Abbreviations".
 */
#ifndef CPU_DECODE_H
#define CPU_DECODE_H

#include "cpu/insn.h"

/* One operand of a row: "Ev" is {'E', 'v'}; a literal such as "AL", "eAX", "STi" has letter 0. */
struct operand {
    char letter;      /* E G M R S C D Z P Q N V U W I J A O X Y, 0 for a literal */
    char size;        /* b w d q v z x a p s ..., '1' for I1; 0 when the row gives none */
    bool sign_extend; /* Ibs */
    const char *text; /* as the row has it, `length` characters */
    unsigned length;
};

/* Take the next operand off *cursor. False at the end. */
bool operand_next(const char **cursor, struct operand *operand);

/* Does the row have a ModRM byte? */
bool opcode_has_modrm(const struct opcode *opcode);

/* The rows of a byte: the first one and how many candidates follow it, NULL when there is none. */
const struct opcode *opcode_rows(enum opcode_map map, uint8_t byte, unsigned *count);

/* What an undefined encoding decodes to: mnemonic "(bad)", raises #UD; and one that is too long: #GP(0). */
extern const struct opcode opcode_undefined, opcode_too_long;

#endif
