/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * random_guest: run random code in every mode and see that nothing outside the guest suffers.
 *
 *   random_guest [--board] [--seed S] [--insns N] [--seconds T] [--mode NAME] [--paging NAME] [--sanity P]
 *                [--round R [--trace]]
 *
 * Rounds run in a child process, so that a crash too is reported with the command that replays it, and the run goes on
 * with the next round. --round runs one round in this process (for a debugger). Exit status: 0 all passed, 1 a promise
 * was broken, 2 usage.
 */
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/fuzz/round.h"

enum { PROGRESS_SECONDS = 10, FAILURES_MAX = 20 };

struct options {
    struct round_options round;
    uint64_t insns;   /* 0: no limit */
    uint64_t seconds; /* 0: no limit */
    int64_t single;   /* a round, -1: all */
};

struct runner {
    struct options options;
    struct fuzz_stats *stats; /* shared with the child */
    struct generator generator;
    double started, shown;
    uint64_t shown_insns;
};

static double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

/* ---- reports ---- */

static void print_command(const struct runner *runner, uint64_t round)
{
    const struct round_options *options = &runner->options.round;

    printf("  replay: random_guest%s --seed %" PRIu64, options->board ? " --board" : "", options->seed);
    if (options->mode >= 0) {
        printf(" --mode %s", fuzz_mode_names[options->mode]);
    }
    if (options->paging >= 0) {
        printf(" --paging %s", fuzz_paging_names[options->paging]);
    }
    if (options->sanity >= 0) {
        printf(" --sanity %d", options->sanity);
    }
    printf(" --round %" PRIu64 "\n", round);
    fflush(stdout);
}

static void print_progress(struct runner *runner, bool last)
{
    const struct fuzz_stats *stats = runner->stats;
    double time = now();
    double span = last ? time - runner->started : time - runner->shown;
    uint64_t insns = last ? stats->insns : stats->insns - runner->shown_insns;

    printf("%6.0f s  %" PRIu64 " M insns  %.1f MIPS  round %" PRIu64 "  %s/%s  lives %" PRIu64
           "  shutdowns %" PRIu64 "  kicks %" PRIu64 "  storms %" PRIu64 "  irqs %" PRIu64,
           time - runner->started, stats->insns / 1000000, (double)insns / 1e6 / span, stats->round,
           fuzz_mode_names[stats->mode], fuzz_paging_names[stats->paging], stats->lives, stats->shutdowns,
           stats->kicks, stats->storms, stats->interrupts);
    if (runner->options.round.board) {
        printf("  resets %" PRIu64 "  offs %" PRIu64 "  exits %" PRIu64, stats->resets, stats->power_offs,
               stats->debug_exits);
    }
    printf("  twins %" PRIu64 "  snapshots %" PRIu64 "\n         exceptions", stats->twins, stats->snapshots);
    for (unsigned i = 0; i < 32; i++) {
        if (stats->exceptions[i]) {
            printf(" %u:%" PRIu64, i, stats->exceptions[i]);
        }
    }
    printf("\n");
    fflush(stdout);
    runner->shown = time;
    runner->shown_insns = stats->insns;
}

/* ---- running ---- */

static bool is_over(const struct runner *runner)
{
    const struct options *options = &runner->options;

    return (options->insns && runner->stats->insns >= options->insns) ||
           (options->seconds && now() - runner->started >= (double)options->seconds);
}

static bool run_one(struct runner *runner, struct watchdog *watchdog)
{
    struct fuzz_stats *stats = runner->stats;
    bool kept = round_run(&runner->options.round, stats->round, &runner->generator, watchdog, stats);

    stats->passed += kept;
    stats->failed += !kept;
    if (!kept) {
        print_command(runner, stats->round);
    }
    return kept;
}

/* The child: rounds until the limit. */
static int run_rounds(struct runner *runner)
{
    struct watchdog watchdog;

    if (!watchdog_start(&watchdog)) {
        fprintf(stderr, "no thread for the watchdog\n");
        return 2;
    }
    while (!is_over(runner) && runner->stats->failed < FAILURES_MAX) {
        run_one(runner, &watchdog);
        runner->stats->round++;
        if (now() - runner->shown >= PROGRESS_SECONDS) {
            print_progress(runner, false);
        }
    }
    watchdog_stop(&watchdog);
    return 0;
}

/* One child after the other: a new one when the last died of a round. False: no child to be had. */
static bool run_children(struct runner *runner)
{
    while (!is_over(runner) && runner->stats->failed < FAILURES_MAX) {
        int status;
        fflush(stdout);
        pid_t child = fork();
        if (child == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL); /* a stuck child must not outlive a killed parent */
            int code = run_rounds(runner);
            fflush(stdout);
            _exit(code);
        }
        if (child < 0 || waitpid(child, &status, 0) < 0) {
            perror("child");
            return false;
        }
        if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
            continue;
        }
        printf("FAILED: the process died (%s %d), life %u, mode %s, paging %s\n",
               WIFSIGNALED(status) ? "signal" : "exit status",
               WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status), runner->stats->life,
               fuzz_mode_names[runner->stats->mode], fuzz_paging_names[runner->stats->paging]);
        print_command(runner, runner->stats->round);
        runner->stats->failed++;
        runner->stats->round++;
    }
    return true;
}

static bool run_single(struct runner *runner)
{
    struct watchdog watchdog;

    runner->stats->round = (uint64_t)runner->options.single;
    if (!watchdog_start(&watchdog)) {
        fprintf(stderr, "no thread for the watchdog\n");
        return false;
    }
    run_one(runner, &watchdog);
    watchdog_stop(&watchdog);
    return true;
}

/* ---- command line ---- */

static int usage(const char *name)
{
    fprintf(stderr,
            "usage: %s [--board] [--seed S] [--insns N] [--seconds T] [--mode NAME] [--paging NAME]\n"
            "       [--sanity PERCENT] [--round R [--trace]]\n",
            name);
    fprintf(stderr, "modes:");
    for (unsigned i = 0; i < MODE_COUNT; i++) {
        fprintf(stderr, " %s", fuzz_mode_names[i]);
    }
    fprintf(stderr, "\npaging:");
    for (unsigned i = 0; i < FUZZ_PAGING_COUNT; i++) {
        fprintf(stderr, " %s", fuzz_paging_names[i]);
    }
    fprintf(stderr, "\n");
    return 2;
}

static int find_name(const char *const *names, unsigned count, const char *name)
{
    for (unsigned i = 0; i < count; i++) {
        if (strcmp(names[i], name) == 0) {
            return (int)i;
        }
    }
    return -1;
}

/* False: not understood. */
static bool set_option(struct options *options, int option, const char *value)
{
    char *end = NULL;
    uint64_t number = value ? strtoull(value, &end, 0) : 0;
    bool is_number = value && *value && *end == '\0';

    switch (option) {
    case 'b':
        options->round.board = true;
        return true;
    case 't':
        options->round.trace = true;
        return true;
    case 'm':
        options->round.mode = find_name(fuzz_mode_names, MODE_COUNT, value);
        return options->round.mode >= 0;
    case 'p':
        options->round.paging = find_name(fuzz_paging_names, FUZZ_PAGING_COUNT, value);
        return options->round.paging >= 0;
    case 's':
        options->round.seed = number;
        return is_number;
    case 'n':
        options->insns = number;
        return is_number;
    case 'T':
        options->seconds = number;
        return is_number;
    case 'S':
        options->round.sanity = (int)MIN(number, 100u);
        return is_number;
    case 'r':
        options->single = (int64_t)number;
        return is_number;
    default:
        return false;
    }
}

static bool parse(int argc, char **argv, struct options *options)
{
    static const struct option names[] = {
        {"board", no_argument, NULL, 'b'},         {"trace", no_argument, NULL, 't'},
        {"mode", required_argument, NULL, 'm'},    {"paging", required_argument, NULL, 'p'},
        {"seed", required_argument, NULL, 's'},    {"insns", required_argument, NULL, 'n'},
        {"seconds", required_argument, NULL, 'T'}, {"sanity", required_argument, NULL, 'S'},
        {"round", required_argument, NULL, 'r'},   {0},
    };
    int option;

    *options = (struct options){.round = {.seed = 1, .mode = -1, .paging = -1, .sanity = -1}, .single = -1};
    while ((option = getopt_long(argc, argv, "", names, NULL)) != -1) {
        if (!set_option(options, option, optarg)) {
            return false;
        }
    }
    if (options->insns == 0 && options->seconds == 0) {
        options->seconds = 10;
    }
    return optind == argc && (!options->round.trace || options->single >= 0);
}

int main(int argc, char **argv)
{
    struct runner runner = {.started = now()};

    if (!parse(argc, argv, &runner.options)) {
        return usage(argv[0]);
    }
    runner.shown = runner.started;
    runner.stats =
        mmap(NULL, sizeof(*runner.stats), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (runner.stats == MAP_FAILED || !generator_init(&runner.generator, runner.options.round.board)) {
        perror("memory");
        return 2;
    }
    bool ran = runner.options.single >= 0 ? run_single(&runner) : run_children(&runner);
    print_progress(&runner, true);
    printf("%" PRIu64 " passed, %" PRIu64 " failed\n", runner.stats->passed, runner.stats->failed);
    generator_fini(&runner.generator);
    return ran && runner.stats->failed == 0 ? 0 : 1;
}
