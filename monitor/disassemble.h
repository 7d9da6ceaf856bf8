/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A disassembler for code of any size of operand: guest code of 16 and 32 bits, host code of 64. It is Capstone, which only
 * monitor/disassemble.c knows.
 *
 * For guest code that is not beside host code there is insn_format() (cpu/insn.h), which shows what this processor executes.
 */
#ifndef MONITOR_DISASSEMBLE_H
#define MONITOR_DISASSEMBLE_H

#include "base/error.h"
#include "base/types.h"

struct disassembler;

/* bits: 16, 32 or 64. NULL with the text. */
struct disassembler *disassembler_open(unsigned bits, struct error *error);
/* NULL is legal. */
void disassembler_close(struct disassembler *disassembler);

struct disassembled {
    unsigned length; /* bytes; 1 for what is no instruction */
    bool branch;     /* a relative jump or call, to: */
    uint64_t target;
    char text[196]; /* Intel syntax */
};

/* The instruction at `address`, of which there are `size` (at least 1) bytes. */
void disassemble(struct disassembler *disassembler, const uint8_t *bytes, size_t size, uint64_t address,
                 struct disassembled *result);

#endif
