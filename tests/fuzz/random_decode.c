/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * random_decode: the decoder on random bytes, with every feature set, both code sizes and any number of bytes.
 *
 *   random_decode [--seed S] [--count N]
 *
 * The bytes lie in heap blocks of exactly their size, so that AddressSanitizer sees a read beyond them. Checked:
 *
 *   length     1..15 whenever the answer is not DECODE_MORE, and no more than there were bytes
 *   prefixes   once `n` bytes are enough, every larger number gives the same instruction: DECODE_MORE is monotonic
 *   need       all answers below the length are DECODE_MORE; 15 bytes are always enough
 *   format     insn_format() stays inside its buffer
 *
 * Ends with "N passed, N failed".
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/fuzz/fuzz.h"

enum { BYTES_MAX = 15, FAILURES_SHOWN = 20 };

struct sample {
    uint8_t bytes[BYTES_MAX];
    bool code32;
    uint64_t features;
};

static enum decode_status decode_exact(const struct sample *sample, unsigned count, struct insn *insn)
{
    uint8_t *block = malloc(count ? count : 1);

    if (!block) {
        abort();
    }
    memcpy(block, sample->bytes, count);
    /* Of zero bytes, a pointer behind the block: none may be read. */
    enum decode_status status =
        insn_decode(count ? block : block + 1, count, sample->code32, sample->features, insn);
    free(block);
    return status;
}

static bool same(const struct insn *a, const struct insn *b)
{
    return a->opcode == b->opcode && a->exec == b->exec && a->length == b->length && a->imm == b->imm &&
           a->imm2 == b->imm2 && a->disp == b->disp && a->modrm == b->modrm && a->seg == b->seg &&
           memcmp(a->bytes, b->bytes, a->length) == 0;
}

static const char *check_format(const struct insn *insn)
{
    char text[64];

    for (size_t size = 1; size <= sizeof(text); size *= 4) {
        char *exact = malloc(size);
        if (!exact) {
            abort();
        }
        insn_format(insn, 0x1000, exact, size);
        bool ended = memchr(exact, '\0', size) != NULL;
        free(exact);
        if (!ended) {
            return "insn_format() left the text without an end";
        }
    }
    return NULL;
}

static const char *check_sample(const struct sample *sample)
{
    struct insn whole, insn;
    enum decode_status last = decode_exact(sample, BYTES_MAX, &whole);

    if (last == DECODE_MORE) {
        return "15 bytes are not enough";
    }
    if (whole.length < 1 || whole.length > BYTES_MAX || !whole.exec || !whole.opcode) {
        return "length out of range, or nothing to execute";
    }
    for (unsigned count = 0; count < BYTES_MAX; count++) {
        enum decode_status status = decode_exact(sample, count, &insn);
        if (status == DECODE_MORE) {
            if (last != DECODE_LONG && count >= whole.length) {
                return "asks for more bytes than the instruction has";
            }
            continue;
        }
        if (insn.length > count) {
            return "longer than the bytes that were there";
        }
        if (status != last || !same(&insn, &whole)) {
            return "the bytes behind the instruction matter";
        }
    }
    return check_format(&whole);
}

/* Random bytes, often with many prefixes or an escape in front, or a row of the table. */
static void make_sample(struct rng *rng, struct sample *sample)
{
    static const uint8_t prefixes[] = {0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3};
    unsigned count = rng_once_in(rng, 3) ? rng_below(rng, BYTES_MAX + 1) : rng_below(rng, 3);

    rng_fill(rng, sample->bytes, BYTES_MAX);
    for (unsigned i = 0; i < count; i++) {
        sample->bytes[i] = prefixes[rng_below(rng, ARRAY_LEN(prefixes))];
    }
    if (rng_once_in(rng, 3) && count < BYTES_MAX) {
        sample->bytes[count] = 0x0f;
    }
    sample->code32 = rng_once_in(rng, 2);
    if (rng_once_in(rng, 2)) {
        stream_encode(rng, &opcode_table[rng_below(rng, (uint32_t)opcode_count)], sample->code32,
                      sample->bytes);
    }
    sample->features = rng_once_in(rng, 2) ? UINT64_MAX : rng_next(rng);
}

static void print_sample(const struct sample *sample, const char *wrong, uint64_t index)
{
    printf("FAILED: %s\n  sample %" PRIu64 ", %u-bit code, features %016" PRIx64 ":", wrong, index,
           sample->code32 ? 32 : 16, sample->features);
    for (unsigned i = 0; i < BYTES_MAX; i++) {
        printf(" %02x", sample->bytes[i]);
    }
    printf("\n");
}

int main(int argc, char **argv)
{
    static const struct option names[] = {
        {"seed", required_argument, NULL, 's'}, {"count", required_argument, NULL, 'n'}, {0}};
    uint64_t seed = 1, count = 1000000, failed = 0;
    int option;

    while ((option = getopt_long(argc, argv, "", names, NULL)) != -1) {
        if (option == 's') {
            seed = strtoull(optarg, NULL, 0);
        } else if (option == 'n') {
            count = strtoull(optarg, NULL, 0);
        } else {
            fprintf(stderr, "usage: %s [--seed S] [--count N]\n", argv[0]);
            return 2;
        }
    }
    for (uint64_t i = 0; i < count; i++) {
        struct rng rng = rng_fork(seed, i);
        struct sample sample;
        make_sample(&rng, &sample);
        const char *wrong = check_sample(&sample);
        failed += wrong != NULL;
        if (wrong && failed <= FAILURES_SHOWN) {
            print_sample(&sample, wrong, i);
        }
    }
    printf("%" PRIu64 " passed, %" PRIu64 " failed\n", count - failed, failed);
    return failed ? 1 : 0;
}
