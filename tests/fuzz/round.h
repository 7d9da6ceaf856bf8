/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * One round: a machine, several lives on it, slices, disturbances, checks. See fuzz.h for the words.
 */
#ifndef TESTS_FUZZ_ROUND_H
#define TESTS_FUZZ_ROUND_H

#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/watchdog.h"

struct round_options {
    uint64_t seed;
    bool board;
    int mode, paging; /* -1: any */
    int sanity;       /* percent, -1: any */
    bool trace;       /* every instruction and event to stderr, the twin's to stdout */
};

struct round {
    const struct round_options *options;
    uint64_t number;
    struct rng rng;
    const struct generator *generator;
    struct fuzz_stats *stats;
    struct watchdog *watchdog;
    struct checker checker;
    struct fuzz_machine *machine;
    struct fuzz_machine *twin;  /* bare: the same guest in other slices; NULL in most rounds */
    struct fuzz_machine *other; /* what snapshots are loaded into; NULL in most rounds */
    unsigned twin_kind;
    uint64_t twin_slices; /* calls so far: gives their lengths */
    bool kicked;          /* by the watchdog: the last slice */
    char failure[600];
};

/* False: a promise was broken (printed). */
bool round_run(const struct round_options *options, uint64_t number, const struct generator *generator,
               struct watchdog *watchdog, struct fuzz_stats *stats);

#endif
