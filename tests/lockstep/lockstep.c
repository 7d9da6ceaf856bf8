/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * lockstep: run random programs in the translator and in the interpreter, and compare at checkpoints.
 *
 *   lockstep [--seed S] [--rounds N] [--seconds T] [--mode NAME] [--windows off|on|now] [--census]
 *            [--round R] [--trace] [-v]
 *
 * Rounds run in a child process, so that a crash of translated code too is reported with the command that replays it.
 * --round runs one round in this process (for a debugger). Exit status: 0 all passed, 1 a difference, 2 usage, 77 this
 * host cannot translate.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/lockstep/lockstep.h"

enum { PROGRESS_SECONDS = 10, FAILURES_MAX = 10, STATUS_SKIP = 77 };

struct options {
    uint64_t seed, rounds, seconds, failures;
    int64_t single;    /* a round, -1: all */
    int mode, windows; /* -1: any */
    bool trace, verbose, census;
};

struct runner {
    struct options options;
    struct progress *progress;
    struct census *census;
    struct generator generator;
    double started, shown;
};

static const char *const window_names[] = {
    [BINXLATE_WINDOWS_ON] = "on", [BINXLATE_WINDOWS_OFF] = "off", [BINXLATE_WINDOWS_NOW] = "now"};

static double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

/* ---- reports ---- */

static void print_command(const struct runner *runner)
{
    const struct options *options = &runner->options;

    printf("  replay: lockstep --seed %" PRIu64, options->seed);
    if (options->mode >= 0) {
        printf(" --mode %s", lockstep_modes[options->mode].name);
    }
    if (options->windows >= 0) {
        printf(" --windows %s", window_names[options->windows]);
    }
    printf(" --round %" PRIu64 "\n", runner->progress->round);
    fflush(stdout);
}

static void print_progress(struct runner *runner)
{
    const struct progress *progress = runner->progress;

    printf("%6.0f s  round %" PRIu64 "  programs %" PRIu64 "  checkpoints %" PRIu64 "  insns %" PRIu64
           " K  interpreted %" PRIu64 " K  blocks %" PRIu64 "  windows %" PRIu64 "  shutdowns %" PRIu64
           "  kicks %" PRIu64 "  failed %" PRIu64 "\n",
           now() - runner->started, progress->round, progress->programs, progress->checkpoints,
           progress->insns / 1000, progress->interpreted / 1000, progress->blocks, progress->windows,
           progress->shutdowns, progress->kicks, progress->failed);
    fflush(stdout);
    runner->shown = now();
}

/* What a long run is reported by. */
static void print_end(const struct runner *runner)
{
    const struct progress *progress = runner->progress;
    const struct options *options = &runner->options;

    printf("seed %" PRIu64 ", mode %s, windows %s, %.0f s, %" PRIu64 " programs, %" PRIu64
           " instructions, %" PRIu64 " of them interpreted, in %" PRIu64 " checkpoints: %" PRIu64
           " passed, %" PRIu64 " failed\n",
           options->seed, options->mode >= 0 ? lockstep_modes[options->mode].name : "any",
           options->windows >= 0 ? window_names[options->windows] : "any", now() - runner->started,
           progress->programs, progress->insns, progress->interpreted, progress->checkpoints,
           progress->passed, progress->failed);
}

/* ---- running ---- */

static bool is_over(const struct runner *runner)
{
    const struct options *options = &runner->options;

    return (options->rounds && runner->progress->round >= options->rounds) ||
           (options->seconds && now() - runner->started >= (double)options->seconds) ||
           runner->progress->failed >= options->failures;
}

static void run_one(struct runner *runner, struct watchdog *watchdog)
{
    const struct options *options = &runner->options;
    struct round_plan plan = {.seed = options->seed,
                              .round = runner->progress->round,
                              .mode = options->mode,
                              .windows = options->windows,
                              .census = runner->census,
                              .trace = options->trace ? stderr : NULL,
                              .watchdog = watchdog,
                              .progress = runner->progress,
                              .generator = &runner->generator};

    snprintf(watchdog->where, sizeof(watchdog->where), "--seed %" PRIu64 " --round %" PRIu64, plan.seed,
             plan.round);
    bool equal = round_run(&plan);
    runner->progress->passed += equal;
    runner->progress->failed += !equal;
    if (!equal) {
        print_command(runner);
    } else if (options->verbose) {
        printf("round %" PRIu64 "  %s\n", plan.round, lockstep_modes[runner->progress->mode].name);
    }
    runner->progress->round++;
}

/* The child: rounds until the limit, or the first failure. */
static int run_rounds(struct runner *runner)
{
    struct watchdog watchdog;

    if (!watchdog_start(&watchdog)) {
        fprintf(stderr, "no thread for the watchdog\n");
        return 2;
    }
    do {
        run_one(runner, &watchdog);
        if (now() - runner->shown >= PROGRESS_SECONDS) {
            print_progress(runner);
        }
    } while (runner->options.single < 0 && !is_over(runner));
    watchdog_stop(&watchdog);
    return 0;
}

static bool run_child(struct runner *runner)
{
    int status;

    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        int code = run_rounds(runner);
        fflush(stdout);
        _exit(code);
    }
    if (child < 0 || waitpid(child, &status, 0) < 0) {
        perror("child");
        return false;
    }
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        printf("FAILED: the process died (%s %d), mode %s\n", WIFSIGNALED(status) ? "signal" : "exit status",
               WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status),
               lockstep_modes[runner->progress->mode].name);
        print_command(runner);
        runner->progress->failed++;
        runner->progress->round++;
    }
    return true;
}

/* False: something of the host is missing. */
static bool run_all(struct runner *runner)
{
    if (runner->options.single >= 0) {
        runner->progress->round = (uint64_t)runner->options.single;
        return run_rounds(runner) == 0;
    }
    while (!is_over(runner)) {
        if (!run_child(runner)) {
            return false;
        }
    }
    return true;
}

/* ---- command line ---- */

static int usage(const char *name)
{
    fprintf(stderr,
            "usage: %s [--seed S] [--rounds N] [--seconds T] [--failures N] [--mode NAME]\n"
            "       [--windows off|on|now] [--census] [--round R [--trace]] [-v]\nmodes:",
            name);
    for (unsigned i = 0; i < lockstep_mode_count; i++) {
        fprintf(stderr, " %s", lockstep_modes[i].name);
    }
    fprintf(stderr, "\n");
    return 2;
}

static int find_windows(const char *name)
{
    for (unsigned i = 0; i < ARRAY_LEN(window_names); i++) {
        if (strcmp(window_names[i], name) == 0) {
            return (int)i;
        }
    }
    return -1;
}

static int find_mode(const char *name)
{
    for (unsigned i = 0; i < lockstep_mode_count; i++) {
        if (strcmp(lockstep_modes[i].name, name) == 0) {
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
    case 't':
        options->trace = true;
        return true;
    case 'v':
        options->verbose = true;
        return true;
    case 'c':
        options->census = true;
        return true;
    case 'w':
        options->windows = find_windows(value);
        return options->windows >= 0;
    case 'm':
        options->mode = find_mode(value);
        return options->mode >= 0;
    case 's':
        options->seed = number;
        return is_number;
    case 'n':
        options->rounds = number;
        return is_number;
    case 'T':
        options->seconds = number;
        return is_number;
    case 'f':
        options->failures = number;
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
        {"seed", required_argument, NULL, 's'},    {"rounds", required_argument, NULL, 'n'},
        {"seconds", required_argument, NULL, 'T'}, {"failures", required_argument, NULL, 'f'},
        {"mode", required_argument, NULL, 'm'},    {"round", required_argument, NULL, 'r'},
        {"windows", required_argument, NULL, 'w'}, {"census", no_argument, NULL, 'c'},
        {"trace", no_argument, NULL, 't'},         {0},
    };
    int option;

    *options = (struct options){.seed = 1, .mode = -1, .windows = -1, .single = -1, .failures = FAILURES_MAX};
    while ((option = getopt_long(argc, argv, "v", names, NULL)) != -1) {
        if (!set_option(options, option, optarg)) {
            return false;
        }
    }
    if (options->rounds == 0 && options->seconds == 0) {
        options->seconds = 10;
    }
    return optind == argc;
}

int main(int argc, char **argv)
{
    struct runner runner = {.started = now()};
    struct error error;

    if (!parse(argc, argv, &runner.options)) {
        return usage(argv[0]);
    }
    if (binxlate_supported(&error) < 0) {
        printf("skipped: %s\n", error.text);
        return STATUS_SKIP;
    }
    runner.shown = runner.started;
    runner.progress =
        mmap(NULL, sizeof(*runner.progress), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    runner.census = runner.options.census ? census_create() : NULL;
    if (runner.progress == MAP_FAILED || (runner.options.census && !runner.census) ||
        !generator_init(&runner.generator, false)) {
        perror("memory");
        return 2;
    }
    bool ran = run_all(&runner);
    print_progress(&runner);
    if (runner.census) {
        census_print(runner.census, stdout);
    }
    print_end(&runner);
    generator_fini(&runner.generator);
    return ran && runner.progress->failed == 0 ? 0 : 1;
}
