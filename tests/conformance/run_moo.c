/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Hardware-captured instruction vectors (SingleStepTests "MOO" files) against a processor of ours.
 *
 *   run_moo FOLDER [-v] [FILE...]     FOLDER holds *.MOO.gz and metadata.json
 *
 * A vector is a state before, the bytes at CS:IP, and the state after the closing HLT. Undefined flags are masked by the
 * suite's metadata, in FLAGS and in the copy an exception pushed. A vector is left out only by one of the rules
 * below; README.md says why each is right. Prints what was run, passed and skipped by rule; exit 1 on any failure.
 */
#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <zlib.h>

#include "base/error.h"
#include "cpu/cpuid.h"
#include "cpu/interp.h"
#include "cpu/vcpu.h"

enum {
    MEMORY_SIZE = 0x110000, /* all that real mode reaches */
    MAX_INSNS = 100000,
    REG_COUNT = 14,
    MOO_IP = 12,
    MOO_FLAGS = 13,
};

#define FLAGS_286 0x0fffu /* bits 12-15 cannot be set in real mode on a 286 */

enum skip_rule {
    RULE_NONE,
    RULE_LATER_OPCODE,
    RULE_LOCK,
    RULE_LENGTH,
    RULE_UNDEFINED,
    RULE_SREG,
    RULE_FPU,
    RULE_STRING_OVERRUN,
    RULE_STACK_OVERRUN,
    RULE_IDIV,
    RULE_COUNT
};

static const char *const rule_names[RULE_COUNT] = {
    [RULE_LATER_OPCODE] = "later-opcode",
    [RULE_LOCK] = "lock",
    [RULE_LENGTH] = "length",
    [RULE_UNDEFINED] = "undefined",
    [RULE_SREG] = "later-sreg",
    [RULE_FPU] = "no-fpu",
    [RULE_STRING_OVERRUN] = "string-overrun",
    [RULE_STACK_OVERRUN] = "stack-overrun",
    [RULE_IDIV] = "idiv-overflow",
};

struct bytes {
    const uint8_t *data;
    size_t length;
};

struct ram_cell {
    uint32_t address;
    uint8_t value;
};

struct state {
    uint16_t mask;           /* registers present */
    uint16_t reg[REG_COUNT]; /* ax bx cx dx cs ss ds es sp bp si di ip flags */
    const uint8_t *cells;    /* 5 bytes each */
    uint32_t cell_count;
};

struct moo_vector {
    uint32_t index;
    char name[80];
    struct bytes code;
    struct state init, final;
    bool exception;
    uint8_t exception_vector;
};

struct machine {
    struct ram ram;
    struct addr_space mem, io;
    struct region memory;
    struct vcpu *cpu;
};

struct totals {
    unsigned run, passed, skipped[RULE_COUNT];
    bool verbose;
};

/* ---- chunks ---- */

/* The next chunk of *from; false at the end or when the rest is malformed. */
static bool chunk_next(struct bytes *from, char tag[5], struct bytes *body)
{
    uint32_t length;

    if (from->length < 8) {
        return false;
    }
    memcpy(tag, from->data, 4);
    tag[4] = '\0';
    length = load_le32(from->data + 4);
    if (length > from->length - 8) {
        return false;
    }
    *body = (struct bytes){from->data + 8, length};
    from->data += 8 + (size_t)length;
    from->length -= 8 + (size_t)length;
    return true;
}

static void state_parse(struct state *state, struct bytes from)
{
    struct bytes body;
    char tag[5];

    memset(state, 0, sizeof(*state));
    while (chunk_next(&from, tag, &body)) {
        if (!strcmp(tag, "REGS") && body.length >= 2) {
            size_t at = 2;

            state->mask = load_le16(body.data);
            for (unsigned i = 0; i < REG_COUNT; i++) {
                if ((state->mask >> i & 1) && at + 2 <= body.length) {
                    state->reg[i] = load_le16(body.data + at);
                    at += 2;
                }
            }
        } else if (!strcmp(tag, "RAM ") && body.length >= 4) {
            state->cell_count = MIN(load_le32(body.data), (uint32_t)((body.length - 4) / 5));
            state->cells = body.data + 4;
        }
    }
}

static struct ram_cell state_cell(const struct state *state, uint32_t i)
{
    return (struct ram_cell){load_le32(state->cells + 5 * (size_t)i), state->cells[5 * (size_t)i + 4]};
}

static void vector_parse(struct moo_vector *vector, struct bytes from)
{
    struct bytes body;
    char tag[5];

    memset(vector, 0, sizeof(*vector));
    vector->index = load_le32(from.data);
    from.data += 4;
    from.length -= 4;
    while (chunk_next(&from, tag, &body)) {
        if (!strcmp(tag, "NAME") && body.length > 4) {
            snprintf(vector->name, sizeof(vector->name), "%.*s", (int)(body.length - 4),
                     (const char *)body.data + 4);
        } else if (!strcmp(tag, "BYTS") && body.length > 4) {
            vector->code = (struct bytes){body.data + 4, body.length - 4};
        } else if (!strcmp(tag, "INIT")) {
            state_parse(&vector->init, body);
        } else if (!strcmp(tag, "FINA")) {
            state_parse(&vector->final, body);
        } else if (!strcmp(tag, "EXCP") && body.length >= 1) {
            vector->exception = true;
            vector->exception_vector = body.data[0];
        }
    }
}

/* ---- which vectors do not apply to an i686 ---- */

static bool is_string(uint8_t opcode)
{
    return (opcode >= 0x6c && opcode <= 0x6f) || (opcode >= 0xa4 && opcode <= 0xa7) ||
           (opcode >= 0xaa && opcode <= 0xaf);
}

/* Does 16-bit ModRM addressing go through SS by default: [bp+si], [bp+di], [bp+disp]? */
static bool is_stack_operand(uint8_t modrm)
{
    unsigned mod = modrm >> 6, rm = modrm & 7;

    return mod != 3 && (rm == 2 || rm == 3 || (rm == 6 && mod != 0));
}

/* POP, POPA, POPF, RET, ENTER, LEAVE, IRET. */
static bool is_pop(uint8_t opcode)
{
    return opcode == 0x07 || opcode == 0x17 || opcode == 0x1f || (opcode >= 0x58 && opcode <= 0x61) ||
           opcode == 0x8f || opcode == 0x9d || (opcode >= 0xc2 && opcode <= 0xc3) ||
           (opcode >= 0xc8 && opcode <= 0xcb) || opcode == 0xcf;
}

/* A word that straddles the end of its segment: where a 286 and an i686 differ. */
static enum skip_rule overrun_rule(const struct moo_vector *vector, uint8_t opcode, uint8_t modrm,
                                   uint8_t segment)
{
    if (!vector->exception || vector->exception_vector != EXC_GP) {
        return RULE_NONE;
    }
    if (is_string(opcode)) {
        return RULE_STRING_OVERRUN;
    }
    if (is_pop(opcode) || segment == 0x36 || (segment == 0 && is_stack_operand(modrm))) {
        return RULE_STACK_OVERRUN;
    }
    return RULE_NONE;
}

/* IDIV of AX by a byte register whose quotient does not fit, and yet the captured machine did not fault. */
static bool is_missed_overflow(const struct moo_vector *vector, uint8_t opcode, uint8_t modrm)
{
    static const uint8_t moo_order[4] = {0, 2, 3, 1}; /* AX CX DX BX in the order of struct state */
    unsigned rm = modrm & 7;
    uint16_t word = vector->init.reg[moo_order[rm & 3]];
    int divisor = (int8_t)(rm < 4 ? word : word >> 8);
    int quotient;

    if (vector->exception || opcode != 0xf6 || modrm >> 3 != 0x1f || divisor == 0) {
        return false;
    }
    quotient = (int16_t)vector->init.reg[0] / divisor;
    return quotient < INT8_MIN || quotient > INT8_MAX;
}

static enum skip_rule skip_rule(const struct moo_vector *vector)
{
    size_t prefixes = 0;
    bool lock = false;
    uint8_t opcode, modrm, segment = 0;

    while (prefixes < vector->code.length) {
        uint8_t byte = vector->code.data[prefixes];

        if (byte >= 0x64 && byte <= 0x67) {
            return RULE_LATER_OPCODE;
        }
        if (byte != 0x26 && byte != 0x2e && byte != 0x36 && byte != 0x3e && byte != 0xf0 && byte != 0xf2 &&
            byte != 0xf3) {
            break;
        }
        lock |= byte == 0xf0;
        if (byte < 0x40) {
            segment = byte;
        }
        prefixes++;
    }
    if (prefixes + 1 >= vector->code.length) {
        return RULE_UNDEFINED;
    }
    if (lock) {
        return RULE_LOCK;
    }
    opcode = vector->code.data[prefixes];
    modrm = vector->code.data[prefixes + 1];
    if (opcode == 0x0f) {
        return RULE_LATER_OPCODE;
    }
    if (opcode == 0xd6 || opcode == 0xf1) {
        return RULE_UNDEFINED;
    }
    if (opcode >= 0xd8 && opcode <= 0xdf) {
        return RULE_FPU;
    }
    if ((opcode == 0x8c || opcode == 0x8e) && (modrm >> 3 & 7) >= 4) {
        return RULE_SREG;
    }
    if (is_missed_overflow(vector, opcode, modrm)) {
        return RULE_IDIV;
    }
    return vector->code.length - 1 > 10 ? RULE_LENGTH : overrun_rule(vector, opcode, modrm, segment);
}

/* ---- running one ---- */

static bool machine_init(struct machine *m)
{
    struct vcpu_wiring wiring = {.mem = &m->mem, .io = &m->io};
    struct error error;

    memset(m, 0, sizeof(*m));
    if (ram_init(&m->ram, MEMORY_SIZE, &error) < 0 ||
        addr_space_init(&m->mem, "memory", UINT32_MAX, &m->ram) < 0 ||
        addr_space_init(&m->io, "ports", 0xffff, NULL) < 0) {
        return false;
    }
    region_init_memory(&m->memory, "ram", 0, MEMORY_SIZE, ram_alloc(&m->ram, MEMORY_SIZE), REGION_RW);
    addr_space_add(&m->mem, &m->memory);
    m->cpu = vcpu_create(cpu_model_find(NULL), cpu_model_find(NULL)->features, &wiring, &error);
    return m->cpu != NULL;
}

static void machine_fini(struct machine *m)
{
    vcpu_destroy(m->cpu);
    addr_space_fini(&m->mem);
    addr_space_fini(&m->io);
    ram_fini(&m->ram);
}

static const struct {
    const char *name;
    int gpr, sreg; /* one of them, -1 if not */
} registers[REG_COUNT] = {
    {"ax", RAX, -1},    {"bx", RBX, -1},    {"cx", RCX, -1},    {"dx", RDX, -1},   {"cs", -1, SEG_CS},
    {"ss", -1, SEG_SS}, {"ds", -1, SEG_DS}, {"es", -1, SEG_ES}, {"sp", RSP, -1},   {"bp", RBP, -1},
    {"si", RSI, -1},    {"di", RDI, -1},    {"ip", -1, -1},     {"flags", -1, -1},
};

static void state_load(struct machine *m, const struct state *state)
{
    struct vcpu *cpu = m->cpu;

    vcpu_reset(cpu);
    for (uint32_t i = 0; i < state->cell_count; i++) {
        struct ram_cell cell = state_cell(state, i);

        addr_space_poke(&m->mem, cell.address, &cell.value, 1);
    }
    for (unsigned i = 0; i < REG_COUNT; i++) {
        if (registers[i].gpr >= 0) {
            cpu->gpr[registers[i].gpr] = state->reg[i];
        } else if (registers[i].sreg >= 0) {
            struct segment *segment = &cpu->seg[registers[i].sreg];

            segment->selector = state->reg[i];
            segment->base = (uint64_t)state->reg[i] << 4;
        }
    }
    cpu->rip = state->reg[MOO_IP];
    cpu->rflags = (state->reg[MOO_FLAGS] & FLAGS_286) | RFLAGS_FIXED1;
    vcpu_sync(cpu);
}

static uint16_t register_read(const struct vcpu *cpu, unsigned i)
{
    if (registers[i].gpr >= 0) {
        return reg16(cpu, (unsigned)registers[i].gpr);
    }
    if (registers[i].sreg >= 0) {
        return cpu->seg[registers[i].sreg].selector;
    }
    return (uint16_t)(i == MOO_IP ? cpu->rip : cpu->rflags);
}

/* Mask of an address that holds the copy of FLAGS an exception pushed: the top one of three words on the stack. (The
 * address in the EXCP chunk is that of the bus cycle, even where the stack is odd.) */
static uint8_t cell_mask(const struct machine *m, const struct moo_vector *vector, uint32_t address,
                         uint16_t flags_mask)
{
    uint32_t pushed = (uint32_t)m->cpu->seg[SEG_SS].base + (uint16_t)(reg16(m->cpu, RSP) + 4);
    uint16_t mask = flags_mask & FLAGS_286;

    if (vector->exception && address == pushed) {
        return (uint8_t)mask;
    }
    return vector->exception && address == pushed + 1 ? (uint8_t)(mask >> 8) : 0xff;
}

static bool state_compare(struct machine *m, const struct moo_vector *vector, uint16_t flags_mask,
                          char *difference, size_t size)
{
    for (unsigned i = 0; i < REG_COUNT; i++) {
        uint16_t expected = vector->final.mask >> i & 1 ? vector->final.reg[i] : vector->init.reg[i];
        uint16_t mask = i == MOO_FLAGS ? flags_mask & FLAGS_286 : 0xffff;
        uint16_t actual = register_read(m->cpu, i);

        if ((actual ^ expected) & mask) {
            snprintf(difference, size, "%s is %04x, expected %04x", registers[i].name, actual, expected);
            return false;
        }
    }
    for (uint32_t i = 0; i < vector->final.cell_count; i++) {
        struct ram_cell cell = state_cell(&vector->final, i);
        uint8_t actual = 0;

        addr_space_peek(&m->mem, cell.address, &actual, 1);
        if ((actual ^ cell.value) & cell_mask(m, vector, cell.address, flags_mask)) {
            snprintf(difference, size, "[%05x] is %02x, expected %02x", cell.address, actual, cell.value);
            return false;
        }
    }
    return true;
}

static bool vector_run(struct machine *m, const struct moo_vector *vector, uint16_t flags_mask,
                       char *difference, size_t size)
{
    enum vcpu_exit exit;

    state_load(m, &vector->init);
    exit = interp_run(m->cpu, MAX_INSNS);
    if (exit != VCPU_EXIT_HALT) {
        snprintf(difference, size, "no HLT: exit reason %d at %04x:%04x", (int)exit,
                 m->cpu->seg[SEG_CS].selector, (unsigned)m->cpu->rip);
        return false;
    }
    return state_compare(m, vector, flags_mask, difference, size);
}

/* ---- files ---- */

static struct bytes file_read_gz(const char *path)
{
    gzFile file = gzopen(path, "rb");
    size_t capacity = 1 << 22, length = 0;
    uint8_t *data = malloc(capacity);
    int n;

    while (file && data && (n = gzread(file, data + length, (unsigned)(capacity - length))) > 0) {
        length += (size_t)n;
        if (length == capacity) {
            data = realloc(data, capacity *= 2);
        }
    }
    if (file) {
        gzclose(file);
    }
    return (struct bytes){data, data ? length : 0};
}

/* "F7.6" -> metadata.opcodes.F7.reg.6 */
static uint16_t flags_mask_of(const json_t *opcodes, const char *name)
{
    char opcode[3] = {name[0], name[1], '\0'};
    const json_t *entry = json_object_get(opcodes, opcode);
    const json_t *mask;

    if (name[2] == '.' && name[3] != 'M') {
        char reg[2] = {name[3], '\0'};
        const json_t *sub = json_object_get(json_object_get(entry, "reg"), reg);

        entry = sub ? sub : entry;
    }
    mask = json_object_get(entry, "flags-mask");
    return mask ? (uint16_t)json_integer_value(mask) : 0xffff;
}

static void file_run(struct machine *m, const char *folder, const char *name, const json_t *opcodes,
                     struct totals *totals)
{
    uint16_t flags_mask = flags_mask_of(opcodes, name);
    unsigned failed_before = totals->run - totals->passed;
    struct bytes file, rest, body;
    char path[1024], tag[5];

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    file = rest = file_read_gz(path);
    while (chunk_next(&rest, tag, &body)) {
        struct moo_vector vector;
        enum skip_rule rule;
        char difference[128];

        if (strcmp(tag, "TEST") != 0 || body.length < 4) {
            continue;
        }
        vector_parse(&vector, body);
        rule = skip_rule(&vector);
        if (rule != RULE_NONE) {
            totals->skipped[rule]++;
            continue;
        }
        totals->run++;
        if (vector_run(m, &vector, flags_mask, difference, sizeof(difference))) {
            totals->passed++;
        } else if (totals->verbose || totals->run - totals->passed - failed_before <= 2) {
            printf("FAIL %s #%u %s: %s\n", name, vector.index, vector.name, difference);
        }
        /* Bytes of one vector must not serve the next. */
        memset(m->ram.host, 0, MEMORY_SIZE);
        ram_watch_notify(&m->ram, 0, MEMORY_SIZE);
    }
    free((void *)file.data);
}

static bool wanted(const char *name, int argc, char **argv)
{
    bool any = false;

    for (int i = 2; i < argc; i++) {
        if (argv[i][0] != '-') {
            any = true;
            if (!strncmp(name, argv[i], strlen(argv[i]))) {
                return true;
            }
        }
    }
    return !any && strstr(name, ".MOO.gz") != NULL;
}

static int folder_run(const char *folder, int argc, char **argv, struct totals *totals)
{
    struct dirent **names;
    struct machine machine;
    char path[1024];
    json_t *metadata;
    int count;

    snprintf(path, sizeof(path), "%s/metadata.json", folder);
    metadata = json_load_file(path, 0, NULL);
    count = scandir(folder, &names, NULL, alphasort);
    if (!metadata || count < 0) {
        fprintf(stderr, "run_moo: '%s' holds no vectors (no metadata.json)\n", folder);
        return -ENOENT;
    }
    if (!machine_init(&machine)) {
        fprintf(stderr, "run_moo: cannot build the test machine\n");
        return -ENOMEM;
    }
    for (int i = 0; i < count; i++) {
        if (wanted(names[i]->d_name, argc, argv)) {
            file_run(&machine, folder, names[i]->d_name, json_object_get(metadata, "opcodes"), totals);
        }
        free(names[i]);
    }
    free(names);
    json_decref(metadata);
    machine_fini(&machine);
    return 0;
}

int main(int argc, char **argv)
{
    struct totals totals = {0};
    unsigned skipped = 0;

    if (argc < 2) {
        fprintf(stderr, "usage: run_moo FOLDER [-v] [FILE...]\n");
        return 2;
    }
    totals.verbose = argc > 2 && !strcmp(argv[2], "-v");
    if (folder_run(argv[1], argc, argv, &totals) < 0) {
        return 2;
    }
    for (unsigned i = 1; i < RULE_COUNT; i++) {
        skipped += totals.skipped[i];
        printf("skipped by rule %-14s %u\n", rule_names[i], totals.skipped[i]);
    }
    printf("ran %u, passed %u, failed %u, skipped %u\n", totals.run, totals.passed,
           totals.run - totals.passed, skipped);
    return totals.run == 0 || totals.passed != totals.run;
}
