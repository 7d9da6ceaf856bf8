/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * hbench: the table of kernels, the command line, and the clock around the passes.
 *
 *   hbench [-t MILLISECONDS] [-p PASSES] [-k NAME,NAME...] [-b BUSYBOX]
 *   hbench -l                              lists the kernels: NAME GROUP
 *   hbench nothing                         ends at once (what fork_exec starts)
 *
 * For every kernel one line:
 *
 *   hbench NAME OPERATIONS NANOSECONDS OPERATIONS NANOSECONDS CHECKSUM
 *
 * first everything that was timed, then the fastest batch of it. There are as many batches as fill the time
 * (300 ms), or a single one of so many passes with -p. An untimed pass goes first: it touches the memory and
 * lets an engine translate. The lines "hbench clock NANOSECONDS" before and after let the reader hold this
 * clock against its own.
 */
#include "hbench.h"

static const struct kernel kernels[] = {
    {"integer", GROUP_USER, 1, integer_pass, NULL, NULL},
    {"branchy", GROUP_USER, 1, branchy_pass, bytes_prepare, NULL},
    {"call", GROUP_USER, 1, call_pass, NULL, NULL},
    {"indirect", GROUP_USER, 1, indirect_pass, bytes_prepare, NULL},
    {"dispatch", GROUP_USER, 1, dispatch_pass, bytes_prepare, NULL},
    {"recursion", GROUP_USER, 1, recursion_pass, NULL, NULL},
    {"sort", GROUP_USER, 1, sort_pass, NULL, NULL},
    {"sieve", GROUP_USER, 1, sieve_pass, NULL, NULL},
    {"crc32", GROUP_USER, 1, crc32_pass, crc32_prepare, NULL},
    {"sha256", GROUP_USER, 1, sha256_pass, bytes_prepare, NULL},
    {"chase", GROUP_USER, 1, chase_pass, chase_prepare, NULL},
    {"chase_far", GROUP_USER, 1, chase_far_pass, chase_far_prepare, NULL},
    {"stream", GROUP_USER, 1, stream_pass, NULL, NULL},
    {"rep_movs", GROUP_USER, 1, rep_movs_pass, bytes_prepare, NULL},
    {"rep_stos", GROUP_USER, 1, rep_stos_pass, NULL, NULL},
    {"rep_stosb", GROUP_USER, 1, rep_stosb_pass, NULL, NULL},
    {"rep_short", GROUP_USER, 1, rep_short_pass, bytes_prepare, NULL},
    {"smc", GROUP_USER, 1, smc_pass, smc_prepare, smc_finish},
    {"division", GROUP_USER, 1, division_pass, NULL, NULL},
    {"x87", GROUP_USER, 1, x87_pass, NULL, NULL},
    {"sse2_matrix", GROUP_USER, 1, sse2_matrix_pass, NULL, NULL},
    {"sincos", GROUP_USER, 1, sincos_pass, NULL, NULL},
    {"null_int80", GROUP_SYSTEM, NULL_CALLS, null_int80_pass, NULL, NULL},
    {"null_sysenter", GROUP_SYSTEM, NULL_CALLS, null_sysenter_pass, NULL, NULL},
    {"read", GROUP_SYSTEM, READS, read_pass, read_prepare, close_finish},
    {"pipe_pingpong", GROUP_SYSTEM, ROUND_TRIPS, pipe_pingpong_pass, NULL, NULL},
    {"context_switch", GROUP_SYSTEM, RING_PROCESSES *RING_ROUNDS, context_switch_pass, NULL, NULL},
    {"signal", GROUP_SYSTEM, SIGNALS, signal_pass, NULL, NULL},
    {"page_fault", GROUP_SYSTEM, FAULT_PAGES, page_fault_pass, NULL, NULL},
    {"mmap", GROUP_SYSTEM, MAPPINGS, mmap_pass, NULL, NULL},
    {"fork_exit", GROUP_SYSTEM, FORKS, fork_exit_pass, NULL, NULL},
    {"fork_exec", GROUP_SYSTEM, FORKS, fork_exec_pass, NULL, NULL},
    {"shell_loop", GROUP_SYSTEM, 1, shell_loop_pass, NULL, NULL},
    {"sort_file", GROUP_SYSTEM, 1, sort_file_pass, text_prepare, close_finish},
    {"gzip", GROUP_SYSTEM, 1, gzip_pass, text_prepare, close_finish},
};

enum {
    KERNELS = sizeof(kernels) / sizeof(kernels[0]),
    NS_PER_MS = 1000000,
    BATCH_NS = 2 * NS_PER_MS,
    MAX_BATCH = 1000
};

struct options {
    uint32_t milliseconds; /* go on for at least so long, or */
    uint32_t passes;       /* if not 0, for so many passes */
};

/* A guest has one processor. With all of hbench on one, natively no work runs beside other work. */
static void stay_on_this_processor(void)
{
    uint32_t mask[32] = {0}; /* 1024 processors */
    uint32_t processor = 0;

    system_call(SYS_getcpu, (uint32_t)&processor, 0, 0, 0);
    if (processor < 32 * 32) {
        mask[processor / 32] = 1u << processor % 32;
        system_call(SYS_sched_setaffinity, 0, sizeof(mask), (uint32_t)mask, 0);
    }
}

static void put_clock(const struct bench *b)
{
    put_text("hbench clock ");
    put_number(clock_ns(b));
    put_text("\n");
}

/* Operations and the time they took. */
struct timing {
    uint64_t ns;
    uint32_t passes;
};

static uint64_t time_passes(const struct kernel *kernel, struct bench *b, uint32_t passes, uint32_t checksum)
{
    const uint64_t start = clock_ns(b);

    for (uint32_t i = 0; i < passes; i++) {
        if (kernel->pass(b) != checksum) {
            fail("two passes differ", 0);
        }
    }
    return clock_ns(b) - start;
}

/* As many passes as fill BATCH_NS, judged by one of them. */
static uint32_t batch_size(uint64_t one_pass_ns)
{
    uint64_t passes = BATCH_NS;

    if (one_pass_ns >= BATCH_NS) {
        return 1;
    }
    divide(&passes, one_pass_ns ? (uint32_t)one_pass_ns : 1);
    return passes < MAX_BATCH ? (uint32_t)passes : MAX_BATCH;
}

/*
 * Batch after batch until the time is up. The fastest batch is kept beside the whole: other processes of a
 * busy host take the processor away for milliseconds at a time, and a batch is short enough to come through
 * in between.
 */
static struct timing time_kernel(const struct kernel *kernel, struct bench *b, const struct options *options,
                                 uint32_t checksum, struct timing *best)
{
    const uint64_t enough = (uint64_t)options->milliseconds * NS_PER_MS;
    const uint32_t batch =
        options->passes ? options->passes : batch_size(time_passes(kernel, b, 1, checksum));
    struct timing whole = {0, 0};

    *best = (struct timing){~(uint64_t)0, batch};
    do {
        const uint64_t ns = time_passes(kernel, b, batch, checksum);

        whole.ns += ns;
        whole.passes += batch;
        if (ns < best->ns) {
            best->ns = ns;
        }
    } while (!options->passes && whole.ns < enough);
    return whole;
}

static void put_timing(const struct timing *timing, uint32_t operations)
{
    put_text(" ");
    put_number((uint64_t)timing->passes * operations);
    put_text(" ");
    put_number(timing->ns);
}

static void run_kernel(const struct kernel *kernel, struct bench *b, const struct options *options)
{
    struct timing whole, best;
    uint32_t checksum;

    if (kernel->prepare) {
        kernel->prepare(b);
    }
    checksum = kernel->pass(b);
    whole = time_kernel(kernel, b, options, checksum, &best);
    if (kernel->finish) {
        kernel->finish(b);
    }
    put_text("hbench ");
    put_text(kernel->name);
    put_timing(&whole, kernel->operations);
    put_timing(&best, kernel->operations);
    put_text(" ");
    put_hex(checksum);
    put_text("\n");
}

static void list_kernels(void)
{
    for (uint32_t i = 0; i < KERNELS; i++) {
        put_text(kernels[i].name);
        put_text(kernels[i].group == GROUP_USER ? " user\n" : " system\n");
    }
}

/* Takes the next name off a list with commas, or returns false at its end. The list is cut up in place. */
static bool next_name(char **list, char **name)
{
    char *at = *list;

    if (!at || !*at) {
        return false;
    }
    *name = at;
    while (*at && *at != ',') {
        at++;
    }
    *list = *at ? at + 1 : at;
    *at = '\0';
    return true;
}

static void run_named(char *list, struct bench *b, const struct options *options)
{
    char *name;

    while (next_name(&list, &name)) {
        uint32_t i = 0;

        while (i < KERNELS && !text_equal(kernels[i].name, name)) {
            i++;
        }
        if (i == KERNELS) {
            fail("-k: no such kernel", 0);
        }
        run_kernel(&kernels[i], b, options);
    }
}

static uint32_t parse_number(const char *text)
{
    uint32_t value = 0;

    for (const char *at = text; *at; at++) {
        if (*at < '0' || *at > '9' || value >= 100000) {
            fail("not a number, or too large", 0);
        }
        value = value * 10 + (uint32_t)(*at - '0');
    }
    return value;
}

/* Returns false where there is nothing to run. */
static bool parse(int argc, char **argv, struct bench *b, struct options *options, char **names)
{
    for (int i = 1; i < argc; i++) {
        if (text_equal(argv[i], "nothing")) {
            return false;
        } else if (text_equal(argv[i], "-l")) {
            list_kernels();
            return false;
        } else if (text_equal(argv[i], "-t") && i + 1 < argc) {
            options->milliseconds = parse_number(argv[++i]);
        } else if (text_equal(argv[i], "-p") && i + 1 < argc) {
            options->passes = parse_number(argv[++i]);
        } else if (text_equal(argv[i], "-k") && i + 1 < argc) {
            *names = argv[++i];
        } else if (text_equal(argv[i], "-b") && i + 1 < argc) {
            b->busybox = argv[++i];
        } else {
            fail("usage: hbench [-l] [-t MILLISECONDS] [-p PASSES] [-k NAME,...] [-b BUSYBOX]", 0);
        }
    }
    return true;
}

int bench_main(int argc, char **argv, char *const *environment, void *kernel_entry)
{
    struct bench b = {.kernel_entry = kernel_entry,
                      .self = argv[0],
                      .busybox = "/bin/busybox",
                      .environment = environment,
                      .fd = -1};
    struct options options = {.milliseconds = 300};
    char *names = NULL;

    if (!parse(argc, argv, &b, &options, &names)) {
        return 0;
    }
    stay_on_this_processor();
    b.arena = map_memory(&b, ARENA_SIZE);
    put_clock(&b);
    if (names) {
        run_named(names, &b, &options);
    } else {
        for (uint32_t i = 0; i < KERNELS; i++) {
            run_kernel(&kernels[i], &b, &options);
        }
    }
    put_clock(&b);
    return 0;
}
