/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The judge "the host's own CPU": one instruction, one state, run by the host's processor and by the interpreter.
 *
 * Both sides see the same *window* of linear memory, the same GDT entries that matter, and the same LDT:
 *
 *   WINDOW_BASE  0-1 data  2 read-only  3 hole  4-7 data  8 hole  9 code  10 hole  11-12 stack  13 hole  14-15 data
 *                (pages; a large hole lies on either side)
 *
 * The window is 64 KiB so that a segment with its base there reaches all of it with 16-bit addresses.
 */
#ifndef TESTS_HOSTCPU_HOSTCMP_H
#define TESTS_HOSTCPU_HOSTCMP_H

#include "cpu/insn.h"
#include "cpu/vcpu.h"

/* ---- the world both sides share: layout.c ---- */

#define WINDOW_BASE 0x20000000u
#define HOLE_SIZE   0x01000000u /* reserved on either side of the window */
enum {
    WINDOW_SIZE = 0x10000,
    WINDOW_PAGES = WINDOW_SIZE / 4096,
    CODE_PAGE = 0x9000, /* offsets in the window */
    CODE_END = 0xa000,
    STACK_START = 0xb000,
    STACK_END = 0xd000,
};

enum page_kind { PAGE_HOLE, PAGE_RW, PAGE_RO, PAGE_CODE };
extern const uint8_t window_page[WINDOW_PAGES]; /* enum page_kind */

/* Linux's selectors. The LDT ones exist when modify_ldt(2) works; `layout_ldt` describes them. */
enum {
    SEL_KERNEL32_CS = 0x08,
    SEL_KERNEL_CS = 0x10,
    SEL_KERNEL_DS = 0x18,
    SEL_USER32_CS = 0x23,
    SEL_USER_DS = 0x2b,
    SEL_USER_CS = 0x33,
    SEL_LDT_DATA = 0x07,    /* the window, 32-bit */
    SEL_LDT_CODE16 = 0x0f,  /* the window, 16-bit */
    SEL_LDT_STACK16 = 0x17, /* the window, SS.B = 0 */
    SEL_LDT_DOWN = 0x1f,    /* the window from 4000h up, expand-down */
    SEL_LDT_RO = 0x27,      /* the window, not writable */
    SEL_LDT_SHORT = 0x2f,   /* the window's first half */
    SEL_LDT_ABSENT = 0x37,  /* not present */
    SEL_LDT_XO = 0x3f,      /* the window, execute-only 32-bit code */
};

struct ldt_entry {
    uint32_t base, limit;
    bool wide;        /* D/B */
    uint8_t contents; /* 0 data, 1 expand-down data, 2 code */
    bool read_exec_only, absent;
};
enum { LDT_COUNT = 8 };
extern const struct ldt_entry layout_ldt[LDT_COUNT];

/* Eight bytes of the descriptor that the selector names; false for none (null, beyond the table). */
bool layout_descriptor(uint16_t selector, uint8_t bytes[8]);
/* Base of a segment that cases begin with. */
uint32_t layout_segment_base(uint16_t selector);

/* ---- a case ---- */

struct cpu_state {
    uint32_t gpr[8];
    uint32_t eip, eflags;
    uint16_t selector[SEG_COUNT];
    struct fxsave fpu;
};

struct test_case {
    const struct opcode *row;
    struct insn insn; /* as our decoder sees it */
    uint8_t bytes[16];
    unsigned length;
    uint32_t code;    /* offset of the first byte in the window */
    bool single_step; /* the host runs it under TF; else up to the UD2 behind it */
    struct cpu_state before;
    unsigned index; /* among the row's */
};

/* Offset of its memory operand in the segment. */
uint32_t test_address(const struct test_case *test);

/* What one side made of it. */
struct outcome {
    int vector; /* enum vector, -1: the instruction ended */
    uint32_t error_code, cr2;
    struct cpu_state state;
};

/* ---- random values: values.c ---- */

struct rng {
    uint64_t state;
};

uint64_t rng_next(struct rng *rng);
/* 0..n-1 */
uint32_t rng_below(struct rng *rng, uint32_t n);
/* True once in n times. */
bool rng_once_in(struct rng *rng, uint32_t n);

/* An integer, with a bias to the values where arithmetic turns. */
uint32_t value_integer(struct rng *rng);
/* A selector: of every kind a load can meet. `for_code`: one that a far transfer may name. */
uint16_t value_selector(struct rng *rng, bool have_ldt, bool for_code);
/* Fill `size` bytes with operands of a SIMD or x87 instruction (single, double, extended, BCD, integers). */
void value_fill(struct rng *rng, uint8_t *bytes, unsigned size, char format);
/* A consistent x87, MMX and SSE state. */
void value_fpu(struct rng *rng, struct fxsave *fpu);

/* ---- the generator ---- */

struct generator {
    struct rng rng;
    bool have_ldt;
    uint64_t features;
    uint8_t *memory; /* WINDOW_SIZE: contents before the case */
};

/* encode.c: where things lie in the bytes */
struct encoding {
    uint8_t bytes[16];
    unsigned length;
    unsigned disp_at, disp_size; /* displacement, size 0 for none */
};

/* Random bytes of the row. `code32`: CS.D; `plain`: only 32-bit addresses and no segment overrides. False: no
 * encoding of the row fits. */
bool encode_row(struct generator *gen, const struct opcode *row, bool code32, bool plain,
                struct encoding *encoding);

/* operands.c: put the case's operands where its instruction finds them. False: try other bytes. */
bool operands_place(struct generator *gen, struct test_case *test, struct encoding *encoding);

/* generate.c: a case of the row. False when none was found. */
bool generate_case(struct generator *gen, const struct opcode *row, unsigned index, struct test_case *test);

/* ---- what is not compared: rules.c ---- */

/* Why the row never runs; NULL when it does. */
const char *rule_row(const struct opcode *row);
/* Why this case is left out; NULL when it runs. */
const char *rule_case(const struct test_case *test);
/* Bits of EFLAGS that are compared after the case. */
uint32_t rule_eflags(const struct test_case *test, const struct outcome *host);
/* Are these two exceptions as good as each other? */
bool rule_same_exception(const struct test_case *test, const struct outcome *host,
                         const struct outcome *ours);
/* May general registers (but ESP), the x87 state, the byte at a linear address of the window differ? */
bool rule_any_registers(const struct test_case *test, const struct outcome *host);
bool rule_any_x87(const struct test_case *test, const struct outcome *host);
bool rule_any_byte(const struct test_case *test, const struct outcome *host, uint32_t linear);
/* Print the rules. */
void rules_print(void);

/* ---- the two sides ---- */

struct native;
/* NULL, with the reason printed, when this host cannot run 32-bit code. */
struct native *native_create(void);
void native_destroy(struct native *native);
bool native_have_ldt(const struct native *native);
uint8_t *native_memory(struct native *native); /* the window, WINDOW_SIZE bytes */
void native_run(struct native *native, const struct test_case *test, struct outcome *outcome);

struct emulated;
struct emulated *emulated_create(void);
void emulated_destroy(struct emulated *emulated);
uint64_t emulated_features(const struct emulated *emulated);
const uint8_t *emulated_memory(const struct emulated *emulated);
void emulated_write(struct emulated *emulated, uint32_t offset, const void *bytes, uint32_t length);
void emulated_run(struct emulated *emulated, const struct test_case *test, struct outcome *outcome);

/* ---- comparison: compare.c ---- */

struct comparison {
    const struct test_case *test;
    const struct outcome *host, *ours;
    const uint8_t *memory, *host_memory, *our_memory; /* before; after */
};

bool comparison_equal(const struct comparison *comparison);
void comparison_print(const struct comparison *comparison);

#endif
