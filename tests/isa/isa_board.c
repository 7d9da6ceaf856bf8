/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The machine of the ISA cases: ports, engines, and everything of it by name.
 */
#include "tests/isa/isa_board.h"

#include "binxlate/binxlate.h"

#include "mmu/pagewalk.h"
#include "tests/isa/isa_case.h"

enum { IRQ13_VECTOR = 0x75, MMIO_VECTOR = 0x20 };

const char *const isa_register_names[8] = {"eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi"};

static const struct {
    const char *name;
    uint8_t high, low; /* bits of RFLAGS */
} flags[] = {
    {"cf", 0, 0},   {"pf", 2, 2},   {"af", 4, 4},    {"zf", 6, 6},    {"sf", 7, 7},     {"tf", 8, 8},
    {"if", 9, 9},   {"df", 10, 10}, {"of", 11, 11},  {"nt", 14, 14},  {"iopl", 13, 12}, {"rf", 16, 16},
    {"vm", 17, 17}, {"ac", 18, 18}, {"vif", 19, 19}, {"vip", 20, 20}, {"id", 21, 21},   {"eflags", 31, 0},
};

/* ---- Ports --------------------------------------------------------------------------------------------- */

static void stop(struct isa_board *board, enum isa_report report)
{
    board->report = report;
    vcpu_kick(board->bare.cpu);
}

static void raise_intr(struct isa_board *board, uint8_t vector)
{
    board->intr_vector = vector;
    vcpu_set_intr(board->bare.cpu, true);
}

static void control_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct isa_board *board = opaque;
    struct vcpu *cpu = board->bare.cpu;

    (void)size;
    switch (offset + ISA_PORT_CHECKPOINT) {
    case ISA_PORT_CHECKPOINT:
        stop(board, ISA_REPORT_CHECKPOINT);
        break;
    case ISA_PORT_FRAME32:
        stop(board, ISA_REPORT_FRAME32);
        break;
    case ISA_PORT_FRAME16:
        stop(board, ISA_REPORT_FRAME16);
        break;
    case ISA_PORT_INTR:
        raise_intr(board, (uint8_t)value);
        break;
    case ISA_PORT_NMI:
        vcpu_set_nmi(cpu);
        break;
    case ISA_PORT_A20:
        vcpu_set_a20(cpu, value & 1);
        break;
    case ISA_PORT_FERR:
        vcpu_clear_ferr(cpu);
        break;
    default:
        break;
    }
}

static uint64_t control_read(void *opaque, uint64_t offset, unsigned size)
{
    (void)opaque;
    (void)offset;
    (void)size;
    return 0xff;
}

static uint64_t scratch_read(void *opaque, uint64_t offset, unsigned size)
{
    const struct isa_board *board = opaque;
    uint64_t value = 0;

    memcpy(&value, board->scratch_bytes + offset, size);
    return value;
}

static void scratch_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct isa_board *board = opaque;

    memcpy(board->scratch_bytes + offset, &value, size);
}

static uint64_t mmio_read(void *opaque, uint64_t offset, unsigned size)
{
    struct isa_board *board = opaque;
    uint64_t value = 0;

    if (offset == ISA_MMIO_INTR) {
        raise_intr(board, MMIO_VECTOR);
    } else if (offset == ISA_MMIO_NMI) {
        vcpu_set_nmi(board->bare.cpu);
    }
    memcpy(&value, board->scratch_bytes, size);
    return value;
}

static void mmio_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    (void)opaque;
    (void)offset;
    (void)value;
    (void)size;
}

static uint8_t acknowledge(void *opaque)
{
    struct isa_board *board = opaque;

    vcpu_set_intr(board->bare.cpu, false);
    return board->intr_vector;
}

/* As on a PC, where FERR# is IRQ 13. */
static void ferr(void *opaque, bool level)
{
    struct isa_board *board = opaque;

    if (level) {
        raise_intr(board, IRQ13_VECTOR);
    }
}

static const struct region_ops control_ops = {.read = control_read, .write = control_write, .max_size = 1};
static const struct region_ops mmio_ops = {.read = mmio_read, .write = mmio_write, .max_size = 4};
static const struct region_ops scratch_ops = {.read = scratch_read, .write = scratch_write, .max_size = 4};

/* ---- Life ---------------------------------------------------------------------------------------------- */

void isa_board_init(struct isa_board *board, enum isa_engine engine, const char *model)
{
    const struct cpu_model *found;
    uint64_t features;
    struct error error;

    memset(board, 0, sizeof(*board));
    board->engine = engine;
    bare_init(&board->bare);
    struct vcpu *cpu = board->bare.cpu;
    if (model) {
        if (cpu_model_parse(model, &found, &features, &error)) {
            fprintf(stderr, "%s\n", error.text);
            exit(2);
        }
        cpu->model = found;
        cpu->features = features;
        vcpu_reset(cpu);
        memset(cpu->gpr, 0, sizeof(cpu->gpr));
        cpu->rflags = RFLAGS_FIXED1;
    }
    cpu->wiring.board = board;
    cpu->wiring.interrupt_acknowledge = acknowledge;
    cpu->wiring.ferr = ferr;
    region_init_io(&board->control, "control", ISA_PORT_CHECKPOINT, 8, &control_ops, board);
    region_init_io(&board->scratch, "scratch", ISA_PORT_SCRATCH, sizeof(board->scratch_bytes), &scratch_ops,
                   board);
    addr_space_add(&board->bare.io, &board->control);
    addr_space_add(&board->bare.io, &board->scratch);
    region_init_io(&board->mmio, "mmio", ISA_MMIO, 8, &mmio_ops, board);
    addr_space_add(&board->bare.mem, &board->mmio);
    if (engine != ISA_ENGINE_INTERP) {
        board->binxlate = binxlate_create(cpu, &error);
        if (!board->binxlate) {
            fprintf(stderr, "%s\n", error.text);
            exit(2);
        }
        binxlate_set_windows(board->binxlate,
                             engine == ISA_ENGINE_WINDOWS ? BINXLATE_WINDOWS_NOW : BINXLATE_WINDOWS_OFF);
    }
}

void isa_board_fini(struct isa_board *board)
{
    binxlate_destroy(board->binxlate);
    bare_fini(&board->bare);
}

enum vcpu_exit isa_board_run(struct isa_board *board, uint64_t budget)
{
    board->report = ISA_REPORT_NONE;
    return board->binxlate ? binxlate_run(board->binxlate, budget) : interp_run(board->bare.cpu, budget);
}

/* ---- Looking at memory --------------------------------------------------------------------------------- */

bool isa_board_read_linear(struct isa_board *board, uint32_t linear, void *bytes, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct pagewalk walk;
        if (!pagewalk(&board->bare.cpu->paging, (uint32_t)(linear + i), PAGEWALK_READ, &walk) ||
            !addr_space_peek(&board->bare.mem, walk.gpa, (uint8_t *)bytes + i, 1)) {
            return false;
        }
    }
    return true;
}

/* The stack from its pointer on, as `count` words of `size` bytes. */
static bool read_stack(struct isa_board *board, unsigned size, unsigned count, uint32_t *words)
{
    const struct vcpu *cpu = board->bare.cpu;
    const struct segment *ss = &cpu->seg[SEG_SS];

    for (unsigned i = 0; i < count; i++) {
        uint32_t offset = reg32(cpu, RSP) + i * size;
        uint8_t bytes[4] = {0};
        offset &= (ss->attr & SEG_DB) ? UINT32_MAX : UINT16_MAX;
        if (!isa_board_read_linear(board, (uint32_t)(ss->base + offset), bytes, size)) {
            return false;
        }
        words[i] = load_le32(bytes);
    }
    return true;
}

bool isa_board_frame(struct isa_board *board, struct isa_frame *frame)
{
    const struct vcpu *cpu = board->bare.cpu;
    unsigned size = board->report == ISA_REPORT_FRAME32 ? 4 : 2;
    uint32_t words[11] = {0};

    if (!read_stack(board, size, 5, words)) {
        return false;
    }
    *frame =
        (struct isa_frame){words[0], words[1], words[2], words[3], words[4], .ss = cpu->seg[SEG_SS].selector};
    bool from_v86 = size == 4 && (frame->eflags & RFLAGS_VM);
    bool inner = cpu->protected_mode && (from_v86 || (frame->cs & 3) != cpu->cpl);
    frame->esp = reg32(cpu, RSP) + 5 * size;
    if (!inner) {
        return true;
    }
    unsigned count = from_v86 ? 11 : 7;
    if (!read_stack(board, size, count, words)) {
        return false;
    }
    frame->esp = words[5];
    frame->ss = words[6];
    frame->es = words[7];
    frame->ds = words[8];
    frame->fs = words[9];
    frame->gs = words[10];
    return true;
}

/* ---- By name ------------------------------------------------------------------------------------------- */

static bool flag_value(uint64_t rflags, const char *name, uint32_t *value)
{
    for (size_t i = 0; i < ARRAY_LEN(flags); i++) {
        if (strcmp(name, flags[i].name) == 0) {
            *value = (uint32_t)bits_get(rflags, flags[i].high, flags[i].low);
            return true;
        }
    }
    return false;
}

static bool register_value(const struct vcpu *cpu, const char *name, uint32_t *value)
{
    for (unsigned i = 0; i < 8; i++) {
        if (strcmp(name, isa_register_names[i]) == 0) {
            *value = reg32(cpu, i);
            return true;
        }
    }
    return false;
}

static bool segment_value(const struct vcpu *cpu, const char *name, uint32_t *value)
{
    static const char names[SEG_COUNT][3] = {"es", "cs", "ss", "ds", "fs", "gs"};

    for (unsigned i = 0; i < SEG_COUNT; i++) {
        if (strcmp(name, names[i]) == 0) {
            *value = cpu->seg[i].selector;
            return true;
        }
    }
    return false;
}

static bool system_value(const struct vcpu *cpu, const char *name, uint32_t *value)
{
    const struct {
        const char *name;
        uint64_t value;
    } table[] = {
        {"eip", cpu->rip},         {"cr0", cpu->cr0},
        {"cr2", cpu->cr2},         {"cr3", cpu->cr3},
        {"cr4", cpu->cr4},         {"dr0", cpu->dr[0]},
        {"dr1", cpu->dr[1]},       {"dr2", cpu->dr[2]},
        {"dr3", cpu->dr[3]},       {"dr6", cpu->dr[6]},
        {"dr7", cpu->dr[7]},       {"cpl", cpu->cpl},
        {"tr", cpu->tr.selector},  {"ldtr", cpu->ldtr.selector},
        {"fcw", cpu->fpu.fcw},     {"fsw", cpu->fpu.fsw},
        {"mxcsr", cpu->fpu.mxcsr}, {"halted", cpu->halted},
    };

    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        if (strcmp(name, table[i].name) == 0) {
            *value = (uint32_t)table[i].value;
            return true;
        }
    }
    return flag_value(cpu->rflags, name, value);
}

/* "[address]": a doubleword. */
static bool memory_value(struct isa_board *board, const struct isa_case *isa, const char *name,
                         uint32_t *value)
{
    size_t length = strlen(name);
    char text[ISA_NAME_LENGTH];
    uint8_t bytes[4];

    if (name[0] != '[' || name[length - 1] != ']') {
        return false;
    }
    snprintf(text, sizeof(text), "%.*s", (int)length - 2, name + 1);
    if (!isa_board_read_linear(board, isa_case_number(isa, text), bytes, sizeof(bytes))) {
        return false;
    }
    *value = load_le32(bytes);
    return true;
}

/* What a frame says of the interrupted program. */
static bool frame_value(const struct isa_frame *frame, const char *name, uint32_t *value)
{
    const struct {
        const char *name;
        uint32_t value;
    } table[] = {
        {"error", frame->error}, {"eip", frame->eip},   {"cs", frame->cs},
        {"ss", frame->ss},       {"esp", frame->esp},   {"v86.es", frame->es},
        {"v86.ds", frame->ds},   {"v86.fs", frame->fs}, {"v86.gs", frame->gs},
    };

    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        if (strcmp(name, table[i].name) == 0) {
            *value = table[i].value;
            return true;
        }
    }
    return flag_value(frame->eflags, name, value);
}

bool isa_board_value(struct isa_board *board, const struct isa_case *isa, const struct isa_frame *frame,
                     const char *name, uint32_t *value)
{
    const struct vcpu *cpu = board->bare.cpu;

    if (strncmp(name, "now.", 4) == 0) {
        name += 4;
    } else if (frame && frame_value(frame, name, value)) {
        return true;
    }
    return register_value(cpu, name, value) || segment_value(cpu, name, value) ||
           system_value(cpu, name, value) || memory_value(board, isa, name, value);
}

bool isa_board_set(struct isa_board *board, const char *name, uint32_t value)
{
    struct vcpu *cpu = board->bare.cpu;

    for (unsigned i = 0; i < 8; i++) {
        if (strcmp(name, isa_register_names[i]) == 0) {
            set_reg32(cpu, i, value);
            return true;
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(flags); i++) {
        if (strcmp(name, flags[i].name) == 0) {
            uint64_t mask = BITS(flags[i].high, flags[i].low);
            cpu->rflags = (cpu->rflags & ~mask) | ((uint64_t)value << flags[i].low & mask) | RFLAGS_FIXED1;
            return true;
        }
    }
    return false;
}
