/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * run_isa [-accel ENGINE] [-trace] CASE.asm CASE.bin CASE.map: execute one self-describing case and compare.
 *
 * The comment header of the source says what state to begin with, what the program reports on its way and
 * what must come out; README.md has the format. The binary is the assembled source, loaded at 0x1000 and
 * entered there.
 *
 * Every case runs twice on a fresh machine: in one go, and with one instruction a call of the engine. Both
 * must satisfy the header: nothing may depend on where a time slice ends.
 *
 * Exit status: 0 passed, 1 failed (each difference is a line on stderr), 2 the case itself is wrong.
 */
#include <errno.h>
#include <stdarg.h>

#include "tests/isa/isa_board.h"
#include "tests/isa/isa_case.h"

enum { LOAD_ADDRESS = 0x1000, STACK_TOP = 0x8000, BUDGET = 4000000, IMAGE_MAX = 0x10000 };

struct run {
    const struct isa_case *isa;
    struct isa_board *board;
    const char *how; /* "in one go", "by single instructions" */
    uint64_t slice;  /* instructions a call */
    bool trace;      /* print what is reported, as header lines */
    unsigned events; /* reported so far */
    unsigned failures;
};

PRINTF_LIKE(2, 3) static void fail(struct run *run, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    fprintf(stderr, "%s (%s): ", run->isa->path, run->how);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    run->failures++;
}

/* ---- Setting up ---------------------------------------------------------------------------------------- */

static void enter_mode(struct isa_board *board, const struct isa_case *isa)
{
    if (strcmp(isa->mode, "flat32") == 0) {
        bare_enter_protected(&board->bare, 32);
    } else if (strcmp(isa->mode, "flat16") == 0) {
        bare_enter_protected(&board->bare, 16);
    } else if (strcmp(isa->mode, "real16") == 0) {
        bare_enter_real(&board->bare);
    } else {
        isa_case_bad(isa, "unknown mode '%s'", isa->mode);
    }
}

static void set_up(struct isa_board *board, const struct isa_case *isa, const uint8_t *image, size_t size)
{
    enter_mode(board, isa);
    set_reg32(board->bare.cpu, RSP, STACK_TOP);
    for (unsigned i = 0; i < isa->set.count; i++) {
        if (!isa_board_set(board, isa->set.entry[i].name, isa->set.entry[i].value)) {
            isa_case_bad(isa, "'%s' cannot be set", isa->set.entry[i].name);
        }
    }
    board->bare.cpu->rip = LOAD_ADDRESS;
    bare_load(&board->bare, LOAD_ADDRESS, image, size);
    for (unsigned i = 0; i < isa->set_memory_count; i++) {
        const struct isa_memory *memory = &isa->set_memory[i];
        bare_load(&board->bare, memory->address, memory->bytes, memory->count);
    }
    vcpu_sync(board->bare.cpu);
}

static size_t read_image(const char *path, uint8_t image[IMAGE_MAX])
{
    FILE *file = fopen(path, "rb");

    if (!file) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        exit(2);
    }
    size_t size = fread(image, 1, IMAGE_MAX, file);
    fclose(file);
    return size;
}

/* ---- Comparing values ---------------------------------------------------------------------------------- */

static void compare_values(struct run *run, const char *where, const struct isa_values *values,
                           const struct isa_frame *frame)
{
    for (unsigned i = 0; i < values->count; i++) {
        const struct isa_value *expected = &values->entry[i];
        uint32_t value;
        if (!isa_board_value(run->board, run->isa, frame, expected->name, &value)) {
            fail(run, "%s: there is no '%s'", where, expected->name);
        } else if (value != expected->value) {
            fail(run, "%s: %s is %#x, expected %#x", where, expected->name, value, expected->value);
        }
    }
}

/* ---- Reports ------------------------------------------------------------------------------------------- */

static void describe(const struct isa_frame *frame, char *text, size_t size)
{
    char name[16];

    if (!frame) {
        snprintf(text, size, "checkpoint");
        return;
    }
    snprintf(text, size, "%s error=%#x eip=%#x cs=%#x ss=%#x esp=%#x eflags=%#x",
             isa_vector_name((uint8_t)frame->vector, name), frame->error, frame->eip, frame->cs, frame->ss,
             frame->esp, frame->eflags);
}

static void trace(const struct run *run, const char *text)
{
    const struct vcpu *cpu = run->board->bare.cpu;

    printf("; event: %s", text);
    for (unsigned i = 0; i < 8; i++) {
        printf(" %s%s=%#x", i == RSP ? "now." : "", isa_register_names[i], reg32(cpu, i));
    }
    printf(" now.cs=%#x cr2=%#x dr6=%#x\n", cpu->seg[SEG_CS].selector, (uint32_t)cpu->cr2,
           (uint32_t)cpu->dr[6]);
}

static bool is_expected(const struct isa_event *event, const struct isa_frame *frame)
{
    return event->kind == (frame ? ISA_INTERRUPT : ISA_CHECKPOINT) &&
           (!frame || event->vector == frame->vector);
}

/* The program reports something: it must be the next event of the header. False: give up. */
static bool check_report(struct run *run)
{
    struct isa_frame storage, *frame = NULL;
    char text[160], where[32];

    if (run->board->report != ISA_REPORT_CHECKPOINT) {
        frame = &storage;
        if (!isa_board_frame(run->board, frame)) {
            fail(run, "a handler's stack cannot be read");
            return false;
        }
    }
    describe(frame, text, sizeof(text));
    if (run->trace) {
        trace(run, text);
    }
    const struct isa_event *event = &run->isa->event[run->events];
    if (run->events == run->isa->event_count || !is_expected(event, frame)) {
        fail(run, "event %u is not as expected, but %s", run->events + 1, text);
        return run->trace && run->events++ < run->isa->event_count;
    }
    run->events++;
    snprintf(where, sizeof(where), "line %u", event->line);
    compare_values(run, where, &event->values, frame);
    return true;
}

/* Run to the end. False: given up on the way. */
static bool execute(struct run *run, enum vcpu_exit *why)
{
    struct vcpu *cpu = run->board->bare.cpu;

    do {
        *why = isa_board_run(run->board, run->slice);
        if (run->board->report != ISA_REPORT_NONE && !check_report(run)) {
            return false;
        }
    } while (*why == VCPU_EXIT_BUDGET && cpu->insn_count < BUDGET);
    return true;
}

/* ---- The end ------------------------------------------------------------------------------------------- */

/*
 * Without an interrupt table, delivering the exception failed with #GP, whose error code names the gate that
 * was missing (index << 3 | IDT | EXT). That the report begins with a benign exception's #GP, and with the
 * exception itself otherwise, is the rule for combining them.
 */
static uint8_t first_vector(const struct shutdown_report *report, bool *error_known)
{
    bool missing_gate = report->vector[0] == EXC_GP && (report->error_code[0] & 2);

    *error_known = !missing_gate;
    return missing_gate ? (uint8_t)(report->error_code[0] >> 3) : report->vector[0];
}

static void compare_exception(struct run *run)
{
    const struct shutdown_report *report = &run->board->bare.cpu->shutdown;
    bool error_known;
    uint8_t vector = first_vector(report, &error_known);
    struct isa_frame frame = {.error = report->error_code[0], .eip = (uint32_t)report->rip};

    if (vector != run->isa->vector[0]) {
        fail(run, "exception %u was expected, %u came", run->isa->vector[0], vector);
    }
    if (!error_known && isa_values_find(&run->isa->end_values, "error")) {
        fail(run, "the error code of this exception cannot be known");
    }
    compare_values(run, "exception", &run->isa->end_values, &frame);
}

static void compare_shutdown(struct run *run)
{
    const struct shutdown_report *report = &run->board->bare.cpu->shutdown;

    if (report->count != run->isa->vector_count) {
        fail(run, "the chain has %u exceptions, expected %u", report->count, run->isa->vector_count);
    }
    for (unsigned i = 0; i < report->count && i < run->isa->vector_count; i++) {
        if (report->vector[i] != run->isa->vector[i]) {
            fail(run, "exception %u of the chain is %u, expected %u", i, report->vector[i],
                 run->isa->vector[i]);
        }
    }
}

static void compare_end(struct run *run, enum vcpu_exit why)
{
    const struct vcpu *cpu = run->board->bare.cpu;
    bool halted = run->isa->end == ISA_END_HALT, error_known;

    if (why == VCPU_EXIT_SHUTDOWN && halted) {
        fail(run, "unexpected exception %u at %x", first_vector(&cpu->shutdown, &error_known),
             (uint32_t)cpu->shutdown.rip);
    } else if (why == VCPU_EXIT_HALT && !halted) {
        fail(run, "exception %u was expected, none came", run->isa->vector[0]);
    } else if (why == VCPU_EXIT_BUDGET) {
        fail(run, "does not end, is at %x", (uint32_t)cpu->rip);
    } else if (run->isa->end == ISA_END_EXCEPTION) {
        compare_exception(run);
    } else if (run->isa->end == ISA_END_SHUTDOWN) {
        compare_shutdown(run);
    }
    if (run->events < run->isa->event_count) {
        fail(run, "%u of %u events were reported; the next is in line %u", run->events, run->isa->event_count,
             run->isa->event[run->events].line);
    }
}

/* Registers that the header does not name are as they were. */
static void compare_unnamed(struct run *run)
{
    for (unsigned i = 0; i < 8; i++) {
        const char *name = isa_register_names[i];
        const struct isa_value *set = isa_values_find(&run->isa->set, name);
        uint32_t before = set ? set->value : i == RSP ? STACK_TOP : 0, value = reg32(run->board->bare.cpu, i);
        if (!isa_values_find(&run->isa->expect, name) && value != before) {
            fail(run, "%s is %#x, expected %#x", name, value, before);
        }
    }
}

static void compare_memory(struct run *run)
{
    for (unsigned i = 0; i < run->isa->expect_memory_count; i++) {
        const struct isa_memory *check = &run->isa->expect_memory[i];
        for (unsigned j = 0; j < check->count; j++) {
            uint8_t byte = 0;
            addr_space_peek(&run->board->bare.mem, check->address + j, &byte, 1);
            if (byte != check->bytes[j]) {
                fail(run, "memory at %x is %02x, expected %02x", check->address + j, byte, check->bytes[j]);
            }
        }
    }
}

/* ---- Runs ---------------------------------------------------------------------------------------------- */

static unsigned run_case(const struct isa_case *isa, const uint8_t *image, size_t size,
                         enum isa_engine engine, bool single, bool trace_it)
{
    static struct isa_board board;
    struct run run = {
        .isa = isa,
        .board = &board,
        .how = single ? "by single instructions" : "in one go",
        .slice = single ? 1 : BUDGET,
        .trace = trace_it,
    };
    enum vcpu_exit why;

    isa_board_init(&board, engine, *isa->cpu ? isa->cpu : NULL);
    set_up(&board, isa, image, size);
    if (execute(&run, &why)) {
        compare_end(&run, why);
        compare_values(&run, "end", &isa->expect, NULL);
        if (!isa->reports) {
            compare_unnamed(&run);
        }
        compare_memory(&run);
    }
    isa_board_fini(&board);
    return run.failures;
}

static enum isa_engine parse_engine(const char *name)
{
    static const char *const names[] = {
        [ISA_ENGINE_INTERP] = "interp", [ISA_ENGINE_DBT] = "dbt", [ISA_ENGINE_WINDOWS] = "windows"};

    for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
        if (strcmp(name, names[i]) == 0) {
            return (enum isa_engine)i;
        }
    }
    fprintf(stderr, "run_isa: unknown engine '%s'; there are: interp, dbt, windows\n", name);
    exit(2);
}

int main(int argc, char **argv)
{
    static struct isa_case isa;
    static uint8_t image[IMAGE_MAX];
    enum isa_engine engine = ISA_ENGINE_INTERP;
    bool trace_it = false;
    int at = 1;

    for (; at < argc && argv[at][0] == '-'; at++) {
        if (strcmp(argv[at], "-accel") == 0 && at + 1 < argc) {
            engine = parse_engine(argv[++at]);
        } else if (strcmp(argv[at], "-trace") == 0) {
            trace_it = true;
        } else {
            break;
        }
    }
    if (argc - at != 3) {
        fprintf(stderr, "usage: run_isa [-accel ENGINE] [-trace] CASE.asm CASE.bin CASE.map\n");
        return 2;
    }
    isa_case_read(&isa, argv[at], argv[at + 2]);
    size_t size = read_image(argv[at + 1], image);
    unsigned failures = run_case(&isa, image, size, engine, false, trace_it);
    failures += run_case(&isa, image, size, engine, true, false);
    return failures != 0;
}
