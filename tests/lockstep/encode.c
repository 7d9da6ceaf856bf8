/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Valid encodings of a row, by the encoder of tests/hostcpu. A file of its own, because that encoder and the random
 * guests each have a `struct rng` and a `struct generator`.
 */
#include "tests/hostcpu/hostcmp.h"

#include "tests/lockstep/encode.h"

bool encode_random(uint64_t *state, const struct opcode *row, bool plain, struct encoded *encoded)
{
    struct generator generator = {.rng = {.state = *state}};
    struct encoding encoding;
    bool made = encode_row(&generator, row, true, plain, &encoding);

    *state = generator.rng.state;
    memcpy(encoded->bytes, encoding.bytes, sizeof(encoded->bytes));
    encoded->length = encoding.length;
    encoded->disp_at = encoding.disp_at;
    encoded->disp_size = encoding.disp_size;
    return made;
}
