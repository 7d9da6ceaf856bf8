/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * hbench: the table of kernels, the command line, and the clock around the passes.
 *
 *   hbench [-s PERMILLE] [-k NAME,NAME...] [-b BUSYBOX]
 *   hbench -l                                      lists the kernels: NAME GROUP
 *   hbench nothing                                 ends at once (what fork_exec starts)
 *
 * For every kernel one line, "hbench NAME OPERATIONS NANOSECONDS CHECKSUM"; the passes are the table's count times the scale,
 * at least one. An untimed pass goes first: it touches the memory and lets an engine translate. The lines
 * "hbench clock NANOSECONDS" before and after let the reader hold this clock against its own.
 */
#include "hbench.h"

static const struct kernel kernels[] = {
    {"integer", GROUP_USER, 1, 150, integer_pass, NULL, NULL},
    {"branchy", GROUP_USER, 1, 150, branchy_pass, bytes_prepare, NULL},
    {"call", GROUP_USER, 1, 150, call_pass, NULL, NULL},
    {"indirect", GROUP_USER, 1, 150, indirect_pass, bytes_prepare, NULL},
    {"dispatch", GROUP_USER, 1, 150, dispatch_pass, bytes_prepare, NULL},
    {"recursion", GROUP_USER, 1, 150, recursion_pass, NULL, NULL},
    {"sort", GROUP_USER, 1, 150, sort_pass, NULL, NULL},
    {"sieve", GROUP_USER, 1, 150, sieve_pass, NULL, NULL},
    {"crc32", GROUP_USER, 1, 150, crc32_pass, crc32_prepare, NULL},
    {"sha256", GROUP_USER, 1, 150, sha256_pass, bytes_prepare, NULL},
    {"chase", GROUP_USER, 1, 150, chase_pass, chase_prepare, NULL},
    {"chase_far", GROUP_USER, 1, 150, chase_far_pass, chase_far_prepare, NULL},
    {"stream", GROUP_USER, 1, 150, stream_pass, NULL, NULL},
    {"rep_movs", GROUP_USER, 1, 150, rep_movs_pass, bytes_prepare, NULL},
    {"rep_stos", GROUP_USER, 1, 150, rep_stos_pass, NULL, NULL},
    {"rep_short", GROUP_USER, 1, 150, rep_short_pass, bytes_prepare, NULL},
    {"division", GROUP_USER, 1, 150, division_pass, NULL, NULL},
    {"x87", GROUP_USER, 1, 150, x87_pass, NULL, NULL},
    {"sse2_matrix", GROUP_USER, 1, 150, sse2_matrix_pass, NULL, NULL},
    {"sincos", GROUP_USER, 1, 150, sincos_pass, NULL, NULL},
    {"null_int80", GROUP_SYSTEM, NULL_CALLS, 150, null_int80_pass, NULL, NULL},
    {"null_sysenter", GROUP_SYSTEM, NULL_CALLS, 150, null_sysenter_pass, NULL, NULL},
    {"read", GROUP_SYSTEM, READS, 150, read_pass, read_prepare, close_finish},
    {"pipe_pingpong", GROUP_SYSTEM, ROUND_TRIPS, 150, pipe_pingpong_pass, NULL, NULL},
    {"context_switch", GROUP_SYSTEM, RING_PROCESSES * RING_ROUNDS, 100, context_switch_pass, NULL, NULL},
    {"signal", GROUP_SYSTEM, SIGNALS, 150, signal_pass, NULL, NULL},
    {"page_fault", GROUP_SYSTEM, FAULT_PAGES, 150, page_fault_pass, NULL, NULL},
    {"mmap", GROUP_SYSTEM, MAPPINGS, 150, mmap_pass, NULL, NULL},
    {"fork_exit", GROUP_SYSTEM, FORKS, 100, fork_exit_pass, NULL, NULL},
    {"fork_exec", GROUP_SYSTEM, FORKS, 100, fork_exec_pass, NULL, NULL},
    {"shell_loop", GROUP_SYSTEM, 1, 30, shell_loop_pass, NULL, NULL},
    {"sort_file", GROUP_SYSTEM, 1, 30, sort_file_pass, text_prepare, text_finish},
    {"gzip", GROUP_SYSTEM, 1, 30, gzip_pass, text_prepare, text_finish},
};

enum { KERNELS = sizeof(kernels) / sizeof(kernels[0]), FULL_SCALE = 1000 };

/* A guest has one processor. With the whole of hbench on one, natively is no different: no work runs beside other work. */
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

static void put_clock(void)
{
    put_text("hbench clock ");
    put_number(clock_ns());
    put_text("\n");
}

static void run_kernel(const struct kernel *kernel, struct bench *b, uint32_t scale)
{
    uint64_t wanted = (uint64_t)kernel->passes * scale;
    uint32_t passes, checksum;
    uint64_t start, end;

    divide(&wanted, FULL_SCALE);
    passes = wanted ? (uint32_t)wanted : 1;
    if (kernel->prepare) {
        kernel->prepare(b);
    }
    checksum = kernel->pass(b);
    start = clock_ns();
    for (uint32_t i = 0; i < passes; i++) {
        if (kernel->pass(b) != checksum) {
            fail("two passes differ", 0);
        }
    }
    end = clock_ns();
    if (kernel->finish) {
        kernel->finish(b);
    }
    put_text("hbench ");
    put_text(kernel->name);
    put_text(" ");
    put_number((uint64_t)passes * kernel->operations);
    put_text(" ");
    put_number(end - start);
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

static void run_named(char *list, struct bench *b, uint32_t scale)
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
        run_kernel(&kernels[i], b, scale);
    }
}

static uint32_t parse_scale(const char *text)
{
    uint32_t value = 0;

    for (const char *at = text; *at; at++) {
        if (*at < '0' || *at > '9' || value > 10000) {
            fail("-s wants a scale in thousandths", 0);
        }
        value = value * 10 + (uint32_t)(*at - '0');
    }
    return value;
}

int bench_main(int argc, char **argv, char *const *environment, void *kernel_entry)
{
    struct bench b = {.kernel_entry = kernel_entry,
                      .self = argv[0],
                      .busybox = "/bin/busybox",
                      .environment = environment,
                      .fd = -1};
    uint32_t scale = FULL_SCALE;
    char *names = NULL;

    for (int i = 1; i < argc; i++) {
        if (text_equal(argv[i], "nothing")) {
            return 0;
        } else if (text_equal(argv[i], "-l")) {
            list_kernels();
            return 0;
        } else if (text_equal(argv[i], "-s") && i + 1 < argc) {
            scale = parse_scale(argv[++i]);
        } else if (text_equal(argv[i], "-k") && i + 1 < argc) {
            names = argv[++i];
        } else if (text_equal(argv[i], "-b") && i + 1 < argc) {
            b.busybox = argv[++i];
        } else {
            fail("usage: hbench [-l] [-s PERMILLE] [-k NAME,...] [-b BUSYBOX]", 0);
        }
    }
    stay_on_this_processor();
    b.arena = map_memory(ARENA_SIZE);
    put_clock();
    if (names) {
        run_named(names, &b, scale);
    } else {
        for (uint32_t i = 0; i < KERNELS; i++) {
            run_kernel(&kernels[i], &b, scale);
        }
    }
    put_clock();
    return 0;
}
