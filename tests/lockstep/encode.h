/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The way to the encoder of tests/hostcpu.
 */
#ifndef TESTS_LOCKSTEP_ENCODE_H
#define TESTS_LOCKSTEP_ENCODE_H

#include "cpu/insn.h"

struct encoded {
    uint8_t bytes[16];
    unsigned length;
    unsigned disp_at, disp_size; /* the displacement; size 0: none */
};

/* Random bytes of the row for 32-bit code; a function of *state, which moves on. `plain`: 32-bit addresses, no segment
 * overrides. False: no encoding fits this time. */
bool encode_random(uint64_t *state, const struct opcode *row, bool plain, struct encoded *encoded);

#endif
