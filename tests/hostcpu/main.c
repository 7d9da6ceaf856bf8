/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * hostcmp: every row of the opcode table that ring 3 may run, on the host's processor and on the interpreter.
 *
 *   hostcmp [--seed N] [--count N] [--row MNEMONIC] [-v]
 *
 * Cases depend on the seed, the row and their number alone. Exit status: 0 all equal, 1 a mismatch, 2 usage, 77 this
 * host cannot run the test.
 */
#include "hostcmp.h"

#include <cpuid.h>
#include <stdio.h>
#include <stdlib.h>

#include "cpu/cpuid.h"

enum { SKIPPED = 77, FAILURES_SHOWN = 2, FEATURE_WORDS = 2 };

struct options {
    uint64_t seed;
    unsigned count;
    const char *mnemonic;
    bool verbose;
};

struct totals {
    uint64_t passed, failed, left_out, wild;
    uint64_t ended, fault[32]; /* what the host made of the cases */
    unsigned rows_run, rows_left_out, rows_absent, rows_stuck;
};

struct bench {
    const struct options *options;
    struct native *native;
    struct emulated *emulated;
    uint64_t host_features;
    struct totals totals;
    uint8_t memory[WINDOW_SIZE];
};

/* CPUID.1 in the layout of CPU_FEATURE_*; what other leaves report counts as present. */
static uint64_t host_features(void)
{
    const uint64_t elsewhere = CPU_FEATURE_CPUID | CPU_FEATURE_NX | CPU_FEATURE_NOPL;
    const uint64_t irrelevant = CPU_FEATURE_MONITOR | CPU_FEATURE_SEP | CPU_FEATURE_MSR;
    uint32_t a, b, c, d;

    if (!__get_cpuid(1, &a, &b, &c, &d)) {
        return 0;
    }
    return d | (uint64_t)c << 32 | elsewhere | irrelevant;
}

/* ---- memory of both sides ---- */

static void fill_memory(struct bench *bench, struct rng *rng)
{
    for (unsigned at = 0; at < WINDOW_SIZE; at += 16) {
        value_fill(rng, bench->memory + at, 16, "iiwbsd"[rng_below(rng, 6)]);
    }
    memset(bench->memory + CODE_PAGE, 0x0b, PAGE_SIZE);
}

/* Make both windows equal to bench->memory, page by page where they are not. */
static void restore_memory(struct bench *bench)
{
    uint8_t *host = native_memory(bench->native);

    for (unsigned page = 0; page < WINDOW_PAGES; page++) {
        const uint8_t *from = bench->memory + page * PAGE_SIZE;
        if (memcmp(host + page * PAGE_SIZE, from, PAGE_SIZE) != 0) {
            memcpy(host + page * PAGE_SIZE, from, PAGE_SIZE);
        }
        if (memcmp(emulated_memory(bench->emulated) + page * PAGE_SIZE, from, PAGE_SIZE) != 0) {
            emulated_write(bench->emulated, page * PAGE_SIZE, from, PAGE_SIZE);
        }
    }
}

/* The instruction, and UD2 behind it. */
static void place_code(struct bench *bench, const struct test_case *test)
{
    uint8_t *code = bench->memory + test->code;

    memset(bench->memory + CODE_PAGE, 0x0b, PAGE_SIZE);
    for (unsigned i = 0; i < test->length + 2 && test->code + i < CODE_END; i++) {
        code[i] = i < test->length ? test->bytes[i] : i == test->length ? 0x0f : 0x0b;
    }
}

/* ---- one case ---- */

/* Does our side fault outside of what is reserved on the host's? Then the host's run would prove nothing. */
static bool is_wild(const struct outcome *ours)
{
    uint32_t low = WINDOW_BASE - HOLE_SIZE, size = 2 * HOLE_SIZE + WINDOW_SIZE;

    return ours->vector == EXC_PF && ours->cr2 - low >= size && ours->cr2 >= 0x10000;
}

static bool lengths_agree(const struct test_case *test)
{
    return test->insn.length == test->length || test->insn.opcode != test->row;
}

static void count_outcome(struct totals *totals, const struct outcome *host)
{
    if (host->vector < 0) {
        totals->ended++;
    } else if (host->vector < (int)ARRAY_LEN(totals->fault)) {
        totals->fault[host->vector]++;
    }
}

static void print_outcomes(const struct totals *totals)
{
    static const char *const names[] = {"DE", "DB", "NMI", "BP", "OF", "BR", "UD", "NM", "DF", "9",
                                        "TS", "NP", "SS",  "GP", "PF", "15", "MF", "AC", "MC", "XM"};

    printf("outcomes: %llu ended", (unsigned long long)totals->ended);
    for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
        if (totals->fault[i]) {
            printf(", %llu #%s", (unsigned long long)totals->fault[i], names[i]);
        }
    }
    printf("\n");
}

/* True when equal or left out. */
static bool run_case(struct bench *bench, const struct test_case *test, bool show)
{
    struct outcome host = {.vector = -1}, ours;

    if (rule_case(test)) {
        bench->totals.left_out++;
        return true;
    }
    place_code(bench, test);
    restore_memory(bench);
    emulated_run(bench->emulated, test, &ours);
    if (is_wild(&ours)) {
        bench->totals.wild++;
        return true;
    }
    native_run(bench->native, test, &host);
    count_outcome(&bench->totals, &host);
    struct comparison comparison = {
        .test = test,
        .host = &host,
        .ours = &ours,
        .memory = bench->memory,
        .host_memory = native_memory(bench->native),
        .our_memory = emulated_memory(bench->emulated),
    };
    if (lengths_agree(test) && comparison_equal(&comparison)) {
        bench->totals.passed++;
        return true;
    }
    bench->totals.failed++;
    if (show) {
        comparison_print(&comparison);
    }
    return false;
}

/* ---- rows ---- */

static unsigned run_cases(struct bench *bench, const struct opcode *row, unsigned *failures)
{
    struct generator gen = {
        .rng = {.state = bench->options->seed * 0x9e3779b97f4a7c15 + row->id * 0xd1342543de82ef95},
        .have_ldt = native_have_ldt(bench->native),
        .features = emulated_features(bench->emulated),
        .memory = bench->memory,
    };
    unsigned ran = 0;

    fill_memory(bench, &gen.rng);
    for (unsigned index = 0; index < bench->options->count; index++) {
        struct test_case test;
        if (!generate_case(&gen, row, index, &test)) {
            break;
        }
        ran++;
        if (!run_case(bench, &test, *failures < (bench->options->verbose ? 20 : FAILURES_SHOWN))) {
            (*failures)++;
        }
    }
    return ran;
}

static void print_row(const struct opcode *row, const char *text)
{
    printf("  %-12s %-12s map %u byte %02x: %s\n", row->mnemonic, row->operands, row->map, row->byte, text);
}

static void run_row(struct bench *bench, const struct opcode *row)
{
    struct totals *totals = &bench->totals;
    const char *rule = rule_row(row);
    unsigned failures = 0;

    if (rule) {
        totals->rows_left_out++;
        print_row(row, rule);
        return;
    }
    if (row->feature & ~(emulated_features(bench->emulated) & bench->host_features)) {
        totals->rows_absent++;
        print_row(row, "the host or our model lacks it");
        return;
    }
    if (run_cases(bench, row, &failures) == 0) {
        totals->rows_stuck++;
        print_row(row, "no encoding reaches it");
        return;
    }
    totals->rows_run++;
    if (failures) {
        printf("%s %s (byte %02x): %u of %u cases differ\n", row->mnemonic, row->operands, row->byte,
               failures, bench->options->count);
    }
}

static bool row_chosen(const struct options *options, const struct opcode *row)
{
    return !options->mnemonic || strcmp(options->mnemonic, row->mnemonic) == 0;
}

static int run_all(struct bench *bench)
{
    const struct totals *totals = &bench->totals;

    printf("hostcmp: seed %llu, %u cases a row, modify_ldt %s\n", (unsigned long long)bench->options->seed,
           bench->options->count, native_have_ldt(bench->native) ? "works" : "missing: flat segments only");
    rules_print();
    printf("rows that did not run:\n");
    for (size_t i = 0; i < opcode_count; i++) {
        if (row_chosen(bench->options, &opcode_table[i])) {
            run_row(bench, &opcode_table[i]);
        }
    }
    printf("rows: %u ran, %u left out by rule, %u lack a feature, %u not reachable; cases left out: %llu by "
           "rule, "
           "%llu with wild addresses\n",
           totals->rows_run, totals->rows_left_out, totals->rows_absent, totals->rows_stuck,
           (unsigned long long)totals->left_out, (unsigned long long)totals->wild);
    print_outcomes(totals);
    printf("%llu passed, %llu failed\n", (unsigned long long)totals->passed,
           (unsigned long long)totals->failed);
    return totals->failed || !totals->passed ? 1 : 0;
}

/* ---- command line ---- */

static bool parse_number(const char *text, uint64_t *value)
{
    char *end;

    *value = strtoull(text, &end, 0);
    return *text && !*end;
}

static bool parse_options(int argc, char **argv, struct options *options)
{
    uint64_t value;

    for (int i = 1; i < argc; i++) {
        const char *argument = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(argv[i], "-v") == 0) {
            options->verbose = true;
            continue;
        }
        if (strcmp(argv[i], "--row") == 0 && *argument) {
            options->mnemonic = argument;
        } else if (strcmp(argv[i], "--seed") == 0 && parse_number(argument, &value)) {
            options->seed = value;
        } else if (strcmp(argv[i], "--count") == 0 && parse_number(argument, &value) && value <= UINT32_MAX) {
            options->count = (unsigned)value;
        } else {
            fprintf(stderr, "usage: hostcmp [--seed N] [--count N] [--row MNEMONIC] [-v]\n");
            return false;
        }
        i++;
    }
    return true;
}

int main(int argc, char **argv)
{
    struct options options = {.seed = 1, .count = 100};

    if (!parse_options(argc, argv, &options)) {
        return 2;
    }
    struct bench *bench = calloc(1, sizeof(*bench));
    if (!bench) {
        return 1;
    }
    bench->options = &options;
    bench->host_features = host_features();
    bench->native = native_create();
    if (!bench->native) {
        free(bench);
        return SKIPPED;
    }
    bench->emulated = emulated_create();
    int status = bench->emulated ? run_all(bench) : 1;
    if (bench->emulated) {
        emulated_destroy(bench->emulated);
    }
    native_destroy(bench->native);
    free(bench);
    return status;
}
