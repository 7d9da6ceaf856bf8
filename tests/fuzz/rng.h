/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The random numbers of the fuzzers: small, fast, and a function of the seed alone, so that a failure can be replayed.
 */
#ifndef TESTS_FUZZ_RNG_H
#define TESTS_FUZZ_RNG_H

#include "base/types.h"

struct rng {
    uint64_t state;
};

/* SplitMix64: equal seeds give equal sequences, neighbouring seeds unrelated ones. */
static inline uint64_t rng_next(struct rng *rng)
{
    uint64_t z = rng->state += 0x9e3779b97f4a7c15;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

static inline uint32_t rng_u32(struct rng *rng)
{
    return (uint32_t)(rng_next(rng) >> 16);
}

/* 0..n-1; n is not 0. */
static inline uint32_t rng_below(struct rng *rng, uint32_t n)
{
    return (uint32_t)((uint64_t)rng_u32(rng) * n >> 32);
}

static inline uint32_t rng_range(struct rng *rng, uint32_t first, uint32_t last)
{
    return first + rng_below(rng, last - first + 1);
}

/* True once in n times. */
static inline bool rng_once_in(struct rng *rng, uint32_t n)
{
    return rng_below(rng, n) == 0;
}

static inline bool rng_percent(struct rng *rng, unsigned percent)
{
    return rng_below(rng, 100) < percent;
}

static inline void rng_fill(struct rng *rng, void *bytes, size_t count)
{
    for (uint8_t *p = bytes; count; p++, count--) {
        *p = (uint8_t)(rng_next(rng) >> 24);
    }
}

/* One sequence for each (seed, number). */
static inline struct rng rng_fork(uint64_t seed, uint64_t number)
{
    struct rng rng = {.state = seed};

    rng.state = rng_next(&rng) ^ number * 0xd1342543de82ef95;
    rng_next(&rng);
    return rng;
}

#endif
