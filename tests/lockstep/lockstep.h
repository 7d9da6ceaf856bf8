/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * lockstep: the translator against the interpreter.
 *
 *   round       a pair of equal machines, a function of (seed, round): the unit of replay
 *   program     random code with its tables, one after the other in a round, in the same two machines
 *   checkpoint  both engines got the same budget; everything that a guest could see is compared
 *
 * Guest memory is laid out as tests/fuzz/fuzz.h says; structured programs (world.c, program.c) use it so:
 *
 *   08000 entries of handlers   09000 handlers, services   10000 page tables (linear c0000000)   20000 program
 *   3c000 code of 16 bits       3d000 code of V86 mode     3e000 `recover`                       40000 data
 *   50000 window of 8 pages, the rights of which change    5e000 stack                           7e000 labels, counters
 *   80000 device                88000 ROM view of 20000    90000 alias of 20000
 */
#ifndef TESTS_LOCKSTEP_LOCKSTEP_H
#define TESTS_LOCKSTEP_LOCKSTEP_H

#include "binxlate/binxlate.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/watchdog.h"

enum {
    AT_COMMON = 0x9000,
    AT_SERVICES = 0x9400,
    SERVICE_SIZE = 64,
    AT_PROGRAM = 0x20000,
    AT_CODE16 = 0x3c000,
    AT_CODE86 = 0x3d000,
    AT_RECOVER = 0x3e000,
    AT_WINDOW = 0x50000,
    WINDOW_PAGES = 8,
    WINDOW_ROUTINE = 0x800, /* offset of a routine in every page of the window: another one in each frame */
    AT_STACK = 0x5e000,
    AT_LABELS = 0x7e000,
    AT_COUNTERS = 0x7f000,
    LABEL_COUNT = 64,
    VECTOR_IRQ = 0x20,         /* 16 of them */
    VECTOR_SERVICE = 0x30,     /* SERVICE_COUNT of them */
    LINEAR_ALIAS = 0x00500000, /* of 20000, when paging is on */
    LINEAR_LARGE = 0x00800000, /* of 0, by a large page */
};
/* Of the page tables: an address that arithmetic on few bits does not come to by chance. */
#define LINEAR_TABLES 0xa6b59000u

/* Segments of our own in the GDT: a base and 4 GiB; a base and little. */
enum { SEL_BASE_A = SEL_RANDOM, SEL_BASE_B = SEL_RANDOM + 8, SEL_SHORT = SEL_RANDOM + 16 };
#define BASE_A ((uint32_t)AT_DATA)
#define BASE_B 0xfff12345u

enum services {
    SERVICE_ABSENT, /* page EDX of the window: not present */
    SERVICE_READONLY,
    SERVICE_SUPERVISOR,
    SERVICE_REMAP,
    SERVICE_FORGET, /* clear A and D */
    SERVICE_WP,
    SERVICE_CR3,
    SERVICE_PGE,
    SERVICE_USER,
    SERVICE_KERNEL,
    SERVICE_CODE16,
    SERVICE_V86,
    SERVICE_IF,
    SERVICE_SHORT_DS,
    SERVICE_TS,
    SERVICE_AM,
    SERVICE_COUNT
};

/* ---- what a program is ---- */

struct mode {
    const char *name;
    bool wild;     /* random_guest's code, of fuzz_mode */
    bool straight; /* straight lines only */
    enum fuzz_mode fuzz;
    enum fuzz_paging paging;
    bool user;
};
extern const struct mode lockstep_modes[];
extern const unsigned lockstep_mode_count;

/* ---- pair.c: two machines ---- */

struct side_device {
    struct region registers, ports;
    struct vcpu *cpu;
    uint64_t reads, writes, hash, interrupts, dirty;
};

struct side {
    struct fuzz_machine *machine;
    struct binxlate *engine; /* NULL: the interpreter */
    struct side_device device;
    enum vcpu_exit why;
};

struct pair {
    struct side side[2]; /* interpreter, translator */
    char text[1024];     /* the first difference */
};

struct pair_options {
    uint64_t outside; /* seed of what the devices do */
    bool hostile;     /* random_guest's devices instead of tame ones */
    enum binxlate_windows windows;
    FILE *trace; /* of the interpreter's instructions; NULL: none */
};

/* False: the host cannot (text printed). */
bool pair_create(struct pair *pair, const struct pair_options *options);
void pair_destroy(struct pair *pair);
/* Equal? `memory`: all of it too. */
bool pair_equal(struct pair *pair, bool memory);

/* ---- world.c, program.c ---- */

/* Tables, handlers and processor state of a structured program. */
void world_write(const struct mode *mode, uint64_t seed, struct fuzz_machine *machine);
/* The code. */
void program_write(const struct mode *mode, uint64_t seed, struct fuzz_machine *machine);

/* ---- census.c: which rows of the opcode table are executed, in which state of the processor ---- */

enum { CENSUS_STATES = 7 };

struct census {
    volatile uint64_t executed[1]; /* CENSUS_STATES times opcode_count of them */
};

/* In memory that child processes share; NULL: none to be had. */
struct census *census_create(void);
/* Run up to `budget` instructions one by one, and count them. As interp_run(). */
enum vcpu_exit census_run(struct census *census, struct vcpu *cpu, uint64_t budget);
/* A line a state, and the rows that it lacks. */
void census_print(const struct census *census, FILE *out);

/* ---- round.c ---- */

struct progress { /* shared with the parent process */
    volatile uint64_t round, passed, failed, programs, checkpoints, insns, shutdowns, kicks, interpreted,
        blocks, windows;
    volatile uint32_t mode;
};

struct round_plan {
    uint64_t seed, round;
    int mode;    /* -1: any */
    int windows; /* enum binxlate_windows, -1: any */
    FILE *trace;
    bool careful; /* compare memory at every checkpoint */
    struct watchdog *watchdog;
    struct progress *progress;
    struct census *census; /* NULL: nobody counts */
    const struct generator *generator;
};

/* Where a round is to stop: at this checkpoint, with this budget. */
struct stop {
    uint64_t checkpoint, budget; /* checkpoint UINT64_MAX: not at all */
};

struct stopped {
    bool differs;
    bool kicked;
    uint64_t checkpoint, budget; /* of the last stretch */
    uint64_t start;              /* insn_count before it */
};

/* Run it; the pair is left as it is at the end. False: it could not be created. */
bool round_play(const struct round_plan *plan, struct stop stop, struct pair *pair, struct stopped *stopped);
/* Run it, and report a difference. True: none. */
bool round_run(const struct round_plan *plan);

/* ---- report.c ---- */

/* *stopped: where it was seen; comes back as where it begins. */
void report_difference(const struct round_plan *plan, struct stopped *stopped);

#endif
