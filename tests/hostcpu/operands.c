/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Put operands where an instruction looks for them: an address is chosen in the window first, then registers or the
 * displacement are adjusted so that the effective address is that; implicit operands (stack, strings, XLAT) get their
 * registers; what lies at the address is drawn from the formats that the row may read.
 */
#include "hostcmp.h"

#include "cpu/decode.h"
#include "cpu/fpu.h"

enum { CACHE_LINE = 64 };

static bool is(const struct opcode *row, const char *mnemonic)
{
    return strcmp(row->mnemonic, mnemonic) == 0;
}

static bool begins(const struct opcode *row, const char *prefix)
{
    return strncmp(row->mnemonic, prefix, strlen(prefix)) == 0;
}

static bool has_operand(const struct opcode *row, char letter)
{
    const char *text = row->operands;
    struct operand operand;

    while (operand_next(&text, &operand)) {
        if (operand.letter == letter) {
            return true;
        }
    }
    return false;
}

/* ---- where memory operands go ---- */

/* Bytes that the memory operand occupies, by its size letters; generous where they say nothing. */
static unsigned memory_size(const struct opcode *row, unsigned opsize)
{
    const char *text = row->operands;
    struct operand operand;

    while (operand_next(&text, &operand)) {
        if (!operand.letter || !strchr("EMQWXYO", operand.letter)) {
            continue;
        }
        const char *size = operand.text + 1;
        unsigned length = operand.length - 1;
        if (length == 2) {
            return size[0] == 's' ? (size[1] == 's' ? 4 : 8) : size[0] == 'p' && size[1] == 'i' ? 8 : 16;
        }
        switch (operand.size) {
        case 'b':
            return 1;
        case 'w':
            return 2;
        case 'd':
            return 4;
        case 'q':
            return 8;
        case 'v':
        case 'z':
            return opsize;
        case 'a':
            return 2 * opsize;
        case 'p':
            return opsize + 2;
        case 's':
            return 6;
        case 't':
            return 10;
        case 'e':
            return 7 * opsize;
        case 'n':
            return 7 * opsize + 80;
        case 'f':
            return 512;
        default:
            return 16;
        }
    }
    return strstr(row->operands, "/Mw") ? 2 : 16;
}

/* An offset in the window for an operand of `size` bytes. */
static uint32_t choose_target(struct generator *gen, unsigned size, bool aligned)
{
    static const uint32_t edges[] = {0x2000, 0x3000, 0x4000, 0x8000, 0x9000, 0xa000, 0xe000, 0x10000, 0};
    struct rng *rng = &gen->rng;
    uint32_t target;

    if (rng_once_in(rng, 12) && !aligned) { /* across or close to an edge */
        return (edges[rng_below(rng, ARRAY_LEN(edges))] - rng_below(rng, size + 2)) & 0xffff;
    }
    if (rng_once_in(rng, 12)) { /* read-only, hole, code */
        target = 0x2000 + rng_below(rng, 0x2000);
        target = rng_once_in(rng, 4) ? CODE_PAGE + rng_below(rng, 0x1000 - 512) : target;
    } else {
        target = 0x4000 + rng_below(rng, 0x4000 - 512);
        target = rng_once_in(rng, 3) ? rng_below(rng, 0x2000 - 512) : target;
    }
    if (aligned || rng_once_in(rng, 2)) {
        uint32_t alignment = size >= 16 ? 16 : size > 4 ? 8 : size > 2 ? 4 : size;
        target &= ~(alignment - 1);
    }
    return target;
}

/* Kept off the edges: ARPL may or may not write an unchanged selector, and which bytes of a masked store can fault is
 * up to the processor. */
static uint32_t choose_writable(struct generator *gen)
{
    return 0x4000 + rng_below(&gen->rng, 0x4000 - 512);
}

static bool stays_writable(const struct opcode *row)
{
    return is(row, "arpl");
}

/* A locked operand that crosses a cache line may be a trap of the host's kernel. */
static uint32_t keep_in_line(uint32_t target, unsigned size)
{
    uint32_t over = target % CACHE_LINE + size;

    return over > CACHE_LINE ? target - (over - CACHE_LINE) : target;
}

/* The offset in the segment at which the window's byte `target` lies. */
static uint32_t offset_in(const struct cpu_state *state, unsigned seg, uint32_t target)
{
    uint16_t selector = state->selector[seg];

    return target + WINDOW_BASE - layout_segment_base(selector);
}

static void set_low(uint32_t *reg, uint32_t value, unsigned size)
{
    *reg = size == 2 ? (*reg & 0xffff0000) | (value & 0xffff) : value;
}

uint32_t test_address(const struct test_case *test)
{
    const struct insn *insn = &test->insn;
    uint32_t offset = (uint32_t)insn->disp;

    if (insn->base != INSN_NO_REG) {
        offset += test->before.gpr[insn->base];
    }
    if (insn->index != INSN_NO_REG) {
        offset += test->before.gpr[insn->index] << insn->scale;
    }
    return insn->addrsize == 2 ? (uint16_t)offset : offset;
}

/* Make the effective address `wanted`. False when registers and displacement are too tied together. */
static bool solve_address(struct test_case *test, struct encoding *encoding, uint32_t wanted)
{
    struct insn *insn = &test->insn;
    uint32_t missing = wanted - test_address(test);
    uint32_t mask = insn->addrsize == 2 ? 0xffff : 0xffffffff;

    if (insn->base != INSN_NO_REG && insn->base != insn->index) {
        uint32_t *base = &test->before.gpr[insn->base];
        set_low(base, *base + missing, insn->addrsize);
    } else if (encoding->disp_size == insn->addrsize) {
        insn->disp = (int32_t)((uint32_t)insn->disp + missing);
        memcpy(encoding->bytes + encoding->disp_at, &insn->disp, encoding->disp_size);
    }
    return ((test_address(test) ^ wanted) & mask) == 0;
}

/* ---- what lies there ---- */

static char choose_format(struct generator *gen, const struct opcode *row, unsigned size)
{
    bool real = !rng_once_in(&gen->rng, 3);
    bool fpu = row->flags & (OPF_FPU | OPF_SSE);

    if (!fpu || !real) {
        return "bwii"[rng_below(&gen->rng, 4)];
    }
    switch (size) {
    case 4:
        return 's';
    case 8:
        return strstr(row->operands, "ps") || strstr(row->operands, "pi") ? 's' : 'd';
    case 10:
        return begins(row, "fb") ? 'B' : 't';
    default:
        return strstr(row->operands, "ps") ? 's' : strstr(row->operands, "pd") ? 'd' : 'i';
    }
}

/* Copy into the window's memory, where the window has some. */
static void store(struct generator *gen, uint32_t target, const void *bytes, unsigned size)
{
    const uint8_t *from = bytes;

    for (unsigned i = 0; i < size; i++) {
        uint32_t at = (target + i) & 0xffff;
        if (window_page[at >> 12] != PAGE_HOLE && window_page[at >> 12] != PAGE_CODE) {
            gen->memory[at] = from[i];
        }
    }
}

static void store_selector(struct generator *gen, uint32_t target, bool for_code)
{
    uint16_t selector = value_selector(&gen->rng, gen->have_ldt, for_code);

    store(gen, target, &selector, 2);
}

/* The 7 words of an x87 environment. */
static void store_environment(struct generator *gen, uint32_t target, unsigned opsize)
{
    struct fxsave fpu;

    value_fpu(&gen->rng, &fpu);
    uint32_t words[7] = {fpu.fcw, fpu.fsw,
                         rng_once_in(&gen->rng, 2) ? 0 : (uint32_t)rng_next(&gen->rng) & 0xffff};
    for (unsigned i = 0; i < 7; i++) {
        store(gen, target + i * opsize, &words[i], opsize);
    }
}

static void store_state(struct generator *gen, uint32_t target)
{
    for (unsigned i = 0; i < 8; i++) {
        struct fxsave fpu;
        value_fpu(&gen->rng, &fpu);
        store(gen, target + 10 * i, fpu.st[0], 10);
    }
}

static void store_fxsave(struct generator *gen, uint32_t target)
{
    struct fxsave fpu;

    value_fpu(&gen->rng, &fpu);
    if (rng_once_in(&gen->rng, 8)) {
        fpu.mxcsr |= 1u << (18 + rng_below(&gen->rng, 14)); /* reserved everywhere */
    }
    store(gen, target, &fpu, sizeof(fpu));
}

static void store_mxcsr(struct generator *gen, uint32_t target)
{
    uint32_t mxcsr = (uint32_t)rng_next(&gen->rng) & 0xffff;

    if (rng_once_in(&gen->rng, 8)) {
        mxcsr |= 1u << (18 + rng_below(&gen->rng, 14));
    }
    store(gen, target, &mxcsr, sizeof(mxcsr));
}

static void fill_operand(struct generator *gen, const struct test_case *test, uint32_t target, unsigned size)
{
    const struct opcode *row = test->row;
    unsigned opsize = test->insn.opsize;
    uint8_t bytes[64];

    if (size <= sizeof(bytes)) {
        value_fill(&gen->rng, bytes, size, choose_format(gen, row, size));
        store(gen, target, bytes, size);
    }
    if (strchr(row->operands, 'p') && strstr(row->operands, "Mp")) {
        store_selector(gen, target + opsize, is(row, "call") || is(row, "jmp"));
    } else if (strstr(row->operands, "Ew") && !begins(row, "movzx") && !begins(row, "movsx")) {
        store_selector(gen, target, false);
    } else if (is(row, "fldenv") || is(row, "frstor")) {
        store_environment(gen, target, opsize);
        if (is(row, "frstor")) {
            store_state(gen, target + 7 * opsize);
        }
    } else if (is(row, "fxrstor")) {
        store_fxsave(gen, target);
    } else if (is(row, "ldmxcsr")) {
        store_mxcsr(gen, target);
    } else if (is(row, "cmpxchg8b") && rng_once_in(&gen->rng, 2)) {
        store(gen, target, &test->before.gpr[RAX], 4);
        store(gen, target + 4, &test->before.gpr[RDX], 4);
    } else if (begins(row, "cmpxchg") && rng_once_in(&gen->rng, 2)) {
        store(gen, target, &test->before.gpr[RAX], 4);
    }
}

static bool place_memory(struct generator *gen, struct test_case *test, struct encoding *encoding)
{
    const struct opcode *row = test->row;
    const struct insn *insn = &test->insn;
    unsigned size = memory_size(row, insn->opsize);
    bool aligned =
        (row->flags & OPF_SSE) && size == 16 && !(row->flags & OPF_UNALIGNED) && !rng_once_in(&gen->rng, 8);

    aligned |= size == 512 && !rng_once_in(&gen->rng, 8);
    uint32_t target = stays_writable(row) ? choose_writable(gen) : choose_target(gen, size, aligned);
    if (insn->lock || is(row, "xchg")) {
        target = keep_in_line(target, size);
    }
    if (!solve_address(test, encoding, offset_in(&test->before, insn->seg, target))) {
        return false;
    }
    fill_operand(gen, test, target, size);
    return true;
}

/* ---- implicit operands ---- */

static bool uses_stack(const struct opcode *row)
{
    static const char *const names[] = {"push", "pop", "call", "ret", "iret", "enter", "leave"};

    for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
        if (begins(row, names[i]) && row->map == MAP_1BYTE) {
            return true;
        }
    }
    return row->map == MAP_0F && (is(row, "push") || is(row, "pop"));
}

static uint32_t choose_stack(struct generator *gen)
{
    static const uint32_t edges[] = {STACK_START, STACK_END, 0, 0x10000, 0x4000, 0x8000};
    struct rng *rng = &gen->rng;

    if (rng_once_in(rng, 12)) {
        return edges[rng_below(rng, ARRAY_LEN(edges))] + rng_below(rng, 40) - 20;
    }
    uint32_t at = STACK_START + 0x400 + rng_below(rng, STACK_END - STACK_START - 0x800);
    return rng_once_in(rng, 6) ? at : at & ~3u;
}

static void set_stack_register(struct test_case *test, enum gpr reg, uint32_t target)
{
    uint16_t selector = test->before.selector[SEG_SS];
    unsigned size = selector == SEL_LDT_STACK16 ? 2 : 4;

    set_low(&test->before.gpr[reg], offset_in(&test->before, SEG_SS, target), size);
}

/* The flags that POPF and IRET take keep TF: without it the host's side would run on. */
static void store_flags(struct generator *gen, uint32_t target, unsigned opsize, bool nested_task)
{
    uint32_t flags = (uint32_t)(rng_next(&gen->rng) | RFLAGS_TF);

    if (!nested_task) {
        flags &= ~(uint32_t)RFLAGS_NT;
    }
    flags &= ~(uint32_t)(RFLAGS_VM | RFLAGS_RF);
    store(gen, target, &flags, opsize);
}

static void fill_stack(struct generator *gen, const struct test_case *test, uint32_t target)
{
    const struct opcode *row = test->row;
    unsigned opsize = test->insn.opsize;
    uint8_t words[32];

    value_fill(&gen->rng, words, sizeof(words), rng_once_in(&gen->rng, 2) ? 'w' : 'i');
    store(gen, target, words, sizeof(words));
    if (begins(row, "popf")) {
        store_flags(gen, target, opsize, false);
    } else if (begins(row, "iret") || begins(row, "retf")) {
        store_selector(gen, target + opsize, true);
        if (begins(row, "iret")) {
            store_flags(gen, target + 2 * opsize, opsize, false);
        }
    } else if (is(row, "pop") && strlen(row->operands) == 2 && row->operands[1] == 'S') {
        store_selector(gen, target, false);
    }
}

static void place_stack(struct generator *gen, struct test_case *test)
{
    uint32_t target = choose_stack(gen);

    set_stack_register(test, RSP, target);
    if (is(test->row, "enter") || is(test->row, "leave")) {
        set_stack_register(test, RBP, choose_stack(gen));
    }
    fill_stack(gen, test, target);
}

/* Strings: pointers to data, or near an edge, and a small count. */
static void place_string(struct generator *gen, struct test_case *test)
{
    const struct insn *insn = &test->insn;
    struct cpu_state *state = &test->before;
    uint32_t source = choose_target(gen, insn->opsize, false),
             destination = choose_target(gen, insn->opsize, false);

    if (rng_once_in(&gen->rng, 4)) { /* overlapping, or equal for a while */
        destination = source + rng_below(&gen->rng, 16) - 8;
    }
    set_low(&state->gpr[RSI], offset_in(state, insn->seg, source), insn->addrsize);
    set_low(&state->gpr[RDI], offset_in(state, SEG_ES, destination), insn->addrsize);
    if (insn->rep) {
        set_low(&state->gpr[RCX], rng_below(&gen->rng, rng_once_in(&gen->rng, 8) ? 300 : 12), insn->addrsize);
    }
    if (rng_once_in(&gen->rng, 2)) { /* equal bytes, so that REPE and REPNE run on */
        uint8_t bytes[32];
        memset(bytes, rng_once_in(&gen->rng, 2) ? (uint8_t)state->gpr[RAX] : 0x55, sizeof(bytes));
        store(gen, source - 8, bytes, sizeof(bytes));
        store(gen, destination - 8, bytes, sizeof(bytes));
    }
}

static void place_division(struct generator *gen, struct test_case *test)
{
    uint32_t *gpr = test->before.gpr;

    switch (rng_below(&gen->rng, 4)) {
    case 0:
        gpr[RDX] = 0;
        break;
    case 1:
        gpr[RDX] = (gpr[RAX] >> 31) ? 0xffffffff : 0;
        break;
    case 2:
        gpr[RDX] = rng_below(&gen->rng, 4);
        gpr[RAX] &= 0xffff;
        break;
    default:
        break;
    }
}

static void place_registers(struct generator *gen, struct test_case *test)
{
    const struct opcode *row = test->row;
    const struct insn *insn = &test->insn;
    struct cpu_state *state = &test->before;
    uint32_t target = choose_target(gen, 1, false);

    if (is(row, "div") || is(row, "idiv")) {
        place_division(gen, test);
    }
    if (strstr(row->operands, "CL") || begins(row, "loop") || begins(row, "jcxz")) {
        if (rng_once_in(&gen->rng, 2)) {
            set_low(&state->gpr[RCX], rng_below(&gen->rng, 36), 2);
        }
    }
    if (is(row, "xlatb")) {
        set_low(&state->gpr[RBX], offset_in(state, insn->seg, target) - (state->gpr[RAX] & 0xff),
                insn->addrsize);
    }
    if (begins(row, "maskmov")) {
        target = choose_writable(gen);
        set_low(&state->gpr[RDI], offset_in(state, insn->seg, target), insn->addrsize);
    }
    if (strstr(row->operands, "Ew") && !insn->memory && !begins(row, "mov")) {
        set_low(&state->gpr[insn->rm], value_selector(&gen->rng, gen->have_ldt, false), 2);
    }
    if (strcmp(row->operands, "Sw,Ew") == 0 && !insn->memory) {
        set_low(&state->gpr[insn->rm], value_selector(&gen->rng, gen->have_ldt, false), 2);
    }
    if (strstr(row->operands, "Ev,Gv") && begins(row, "bt") && insn->memory) {
        state->gpr[insn->reg] = rng_below(&gen->rng, 2048) - 1024;
    }
}

bool operands_place(struct generator *gen, struct test_case *test, struct encoding *encoding)
{
    place_registers(gen, test);
    if (uses_stack(test->row)) {
        place_stack(gen, test);
    }
    if (has_operand(test->row, 'X') || has_operand(test->row, 'Y')) {
        place_string(gen, test);
        return true;
    }
    return test->insn.memory ? place_memory(gen, test, encoding) : true;
}
