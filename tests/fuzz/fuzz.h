/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * random_guest: a hostile guest that executes random code in every mode, and the promises that are checked meanwhile.
 *
 *   round   one machine (model, features, memory), a function of (seed, round): the unit of replay
 *   life    one setting of all processor state, tables and code in it; ends with a shutdown or after its budget
 *   slice   one call of interp_run(); the invariants are checked after it
 *
 * Guest memory below 1 MiB, the same in every machine (guest-physical addresses):
 *
 *   00000 IVT     01000 GDT    02000 IDT    02800 LDT     03000 TSS with maps   06000 second TSS   07000 TSS of 16 bits
 *   08000 handlers of 32 bits  09000 handlers of 16 bits  0a000 stacks          10000 page tables
 *   20000 code    40000 data   80000 (bare machine) registers of a hostile device, and aliases of the code above it
 */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include "base/error.h"
#include "cpu/cpuid.h"
#include "cpu/insn.h"
#include "cpu/interp.h"
#include "devices/pc.h"
#include "tests/fuzz/rng.h"

enum {
    AT_GDT = 0x1000,
    AT_IDT = 0x2000,
    AT_LDT = 0x2800,
    AT_TSS = 0x3000,
    AT_TSS2 = 0x6000,
    AT_TSS16 = 0x7000,
    AT_HANDLERS32 = 0x8000,
    AT_HANDLERS16 = 0x9000,
    AT_STACKS = 0xa000,
    AT_STACKS_END = 0x10000,
    AT_PAGES = 0x10000,
    AT_PAGES_END = 0x20000,
    AT_CODE = 0x20000,
    AT_CODE_END = 0x40000,
    AT_DATA = 0x40000,
    AT_DATA_END = 0x80000,
    AT_DEVICE = 0x80000,
    AT_ROM = 0x88000,
    AT_ALIAS = 0x90000,
    LOW_END = 0xa0000,
    HANDLER_SIZE = 16,
    TSS_MAP_BASE = 0x88,
    TSS_LIMIT = TSS_MAP_BASE + 0x2000,
};

/* Selectors of the GDT, without RPL. Beyond SEL_RANDOM the descriptors are random. */
enum {
    SEL_CODE0 = 0x08,
    SEL_DATA0 = 0x10,
    SEL_CODE3 = 0x18,
    SEL_DATA3 = 0x20,
    SEL_TSS = 0x28,
    SEL_TSS2 = 0x30,
    SEL_LDT = 0x38,
    SEL_CODE0_16 = 0x40,
    SEL_DATA0_16 = 0x48,
    SEL_CONFORMING = 0x50,
    SEL_CODE1 = 0x58,
    SEL_DATA1 = 0x60,
    SEL_CALL_GATE = 0x68,
    SEL_TASK_GATE = 0x70,
    SEL_TSS16 = 0x78,
    SEL_CODE3_16 = 0x80,
    SEL_DATA3_16 = 0x88,
    SEL_CALL_GATE16 = 0x90,
    SEL_RANDOM = 0x98,
    GDT_ENTRIES = 64,
    LDT_ENTRIES = 32,
};

/* ---- what the parent process sees of the one that runs the guests ---- */

struct fuzz_stats {
    volatile uint64_t round; /* the one running */
    volatile uint32_t life, mode, paging;
    volatile uint64_t passed, failed, insns, lives, shutdowns, slices, kicks, storms, twins, snapshots;
    volatile uint64_t interrupts, resets, power_offs, debug_exits;
    volatile uint64_t exceptions[32];
};

/* ---- machine.c ---- */

struct hostile_device {
    struct region registers, ports, rom, alias, high_alias;
};

struct fuzz_machine {
    struct ram ram;
    uint64_t ram_size;
    struct addr_space *mem, *io;
    struct vcpu *cpu;
    struct clock clock;
    struct log log;
    struct rng outside; /* what devices and peers do: interrupt vectors, register contents, serial input */
    struct fuzz_stats *stats;

    /* bare machine */
    struct addr_space bare_mem, bare_io;
    struct region bare_ram;
    struct hostile_device device;

    /* the whole board; NULL on a bare machine */
    struct pc *pc;
    struct chardev peer;
    bool reset_requested;

    uint64_t events_at, events; /* deliveries while insn_count stood at events_at */
    unsigned comebacks;         /* of slices in the middle of a repeated string instruction, in this life */
    uint64_t stop_at, asked;    /* debug_stop hook: true at the stop_at'th question; 0: never */
};

struct machine_options {
    bool board;
    uint64_t ram_size;
    const struct cpu_model *model;
    uint64_t features;
    uint64_t outside_seed;
    struct fuzz_stats *stats;
    FILE *trace;     /* every instruction and event, NULL: none */
    bool trace_exec; /* run through the tracing path, with the text thrown away */
};

/* NULL: the host cannot (text printed). */
struct fuzz_machine *machine_create(const struct machine_options *options);
void machine_destroy(struct fuzz_machine *machine);
/* Bytes to the front of whatever memory is there. */
void machine_write(struct fuzz_machine *machine, gpa_t at, const void *bytes, size_t count);
/* What the world does to the machine between two slices: pins, DMA, timers, keys, serial input. */
void machine_disturb(struct fuzz_machine *machine, struct rng *rng);

/* ---- stream.c ---- */

/* A table of the rows that are worth more than their share: system instructions, transfers, strings. */
struct generator {
    const struct opcode **special;
    size_t special_count;
    bool board;
};

bool generator_init(struct generator *generator, bool board);
void generator_fini(struct generator *generator);

/* Random bytes of one row of the opcode table, at most 15. */
unsigned stream_encode(struct rng *rng, const struct opcode *row, bool code32, uint8_t bytes[15]);
/* A piece of code of `count` bytes, for code segments with CS.D = code32. */
void stream_fill(const struct generator *generator, struct rng *rng, bool code32, uint8_t *bytes,
                 size_t count);
/* A register or immediate: addresses, selectors, ports and the numbers where arithmetic turns. */
uint32_t stream_value(struct rng *rng);

/* ---- life.c ---- */

enum fuzz_mode {
    MODE_REAL,
    MODE_UNREAL,
    MODE_PROTECTED16,
    MODE_PROTECTED32,
    MODE_USER32,
    MODE_V86,
    MODE_WILD, /* any state that a snapshot file could bring */
    MODE_COUNT
};
enum fuzz_paging { FUZZ_PAGING_OFF, FUZZ_PAGING_32BIT, FUZZ_PAGING_PSE, FUZZ_PAGING_PAE, FUZZ_PAGING_COUNT };
extern const char *const fuzz_mode_names[MODE_COUNT];
extern const char *const fuzz_paging_names[FUZZ_PAGING_COUNT];

struct life {
    enum fuzz_mode mode;
    enum fuzz_paging paging;
    unsigned sanity; /* percent: how often a table entry makes sense */
    uint64_t budget; /* instructions */
    bool slow;       /* in slices of a few instructions, for a closer look */
    uint64_t seed;   /* of everything in it */
};

/* Write tables and code, set the processor. */
void life_begin(const struct life *life, const struct generator *generator, struct fuzz_machine *machine);

/* tables.c: GDT, LDT, IDT, IVT, TSSs, handlers; page tables. */
void tables_write(const struct life *life, struct rng *rng, struct fuzz_machine *machine);
/* Returns the CR3 for them. */
uint32_t tables_write_pages(const struct life *life, struct rng *rng, struct fuzz_machine *machine);

/* ---- check.c: NULL, or what is wrong ---- */

struct checker {
    struct vcpu *scratch; /* a copy of the processor, for a second opinion on the derived state */
    char text[512];
};

bool checker_init(struct checker *checker);
void checker_fini(struct checker *checker);
/* `thorough`: caches too. `lawful`: the state came about by legal means. */
const char *check_processor(struct checker *checker, struct fuzz_machine *machine, bool thorough,
                            bool lawful);
/* save, load, save again is identical; processor and all devices. */
const char *check_snapshot(struct checker *checker, struct fuzz_machine *machine, struct fuzz_machine *other);
/* Equal states and memories. */
const char *check_equal(struct checker *checker, struct fuzz_machine *a, struct fuzz_machine *b);

#endif
