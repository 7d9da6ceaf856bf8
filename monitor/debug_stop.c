/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Stops in words. See monitor/debug_stop.h.
 */
#include "monitor/debug_stop.h"

#include <inttypes.h>

#include "cpu/insn.h"
#include "monitor/debug_points.h"
#include "vm/symbols.h"

enum { NAME_SIZE = 256, INSN_MAX = 15 };

/* ---- instructions ---- */

/* A relative branch leads to a linear address, which may have a name. */
static bool branch_target(const struct vm *vm, const struct insn *insn, uint64_t linear, uint64_t *target)
{
    const char *operands = insn->opcode->operands;
    uint64_t base = vm->cpu->seg[SEG_CS].base;
    uint64_t offset = linear - base + insn->length + (uint64_t)(int64_t)(int32_t)insn->imm;

    if (operands[0] != 'J') {
        return false;
    }
    *target = (uint32_t)(base + (insn->opsize == 2 ? (uint16_t)offset : (uint32_t)offset));
    return true;
}

static void print_name(FILE *out, const struct vm *vm, uint64_t linear)
{
    char name[NAME_SIZE];

    if (*symbols_format(vm->symbols, linear, name, sizeof(name))) {
        fprintf(out, " <%s>", name);
    }
}

unsigned debug_print_insn(FILE *out, struct vm *vm, uint64_t linear)
{
    uint8_t bytes[INSN_MAX];
    size_t count = debugger_read(vm, false, linear, bytes, sizeof(bytes));
    uint64_t target;
    struct insn insn;
    char text[96];

    fprintf(out, "0x%08" PRIx64, linear);
    print_name(out, vm, linear);
    if (count == 0 ||
        insn_decode(bytes, (unsigned)count, vm->cpu->code32, vm->cpu->features, &insn) == DECODE_MORE) {
        fprintf(out, ": not readable\n");
        return 0;
    }
    insn_format(&insn, linear - vm->cpu->seg[SEG_CS].base, text, sizeof(text));
    fprintf(out, ": %s", text);
    if (branch_target(vm, &insn, linear, &target)) {
        print_name(out, vm, target);
    }
    fputc('\n', out);
    return insn.length;
}

void debug_print_where(FILE *out, struct vm *vm)
{
    const struct vcpu *cpu = vm->cpu;

    if (!cpu->protected_mode) {
        fprintf(out, "%04x:%04x ", cpu->seg[SEG_CS].selector, (unsigned)cpu->rip);
    }
    debug_print_insn(out, vm, (uint32_t)(cpu->seg[SEG_CS].base + cpu->rip));
}

/* ---- words ---- */

const char *debug_kind_name(enum debug_kind kind)
{
    static const char *const names[DEBUG_KINDS] = {
        [DEBUG_EXECUTE] = "execute",
        [DEBUG_READ] = "read",
        [DEBUG_WRITE] = "write",
        [DEBUG_ACCESS] = "access",
        [DEBUG_PORT_READ] = "port-read",
        [DEBUG_PORT_WRITE] = "port-write",
        [DEBUG_PORT_ACCESS] = "port-access",
        [DEBUG_EXCEPTION] = "exception",
        [DEBUG_INTERRUPT] = "interrupt",
        [DEBUG_MODE] = "mode",
        [DEBUG_SHUTDOWN] = "shutdown",
        [DEBUG_TIME] = "time",
        [DEBUG_MAGIC] = "magic",
    };

    return kind < DEBUG_KINDS && names[kind] ? names[kind] : "unknown";
}

const char *debug_vector_name(uint8_t vector, char *text, size_t size)
{
    static const char *const names[] = {"#DE", "#DB", "NMI", "#BP", "#OF", "#BR", "#UD", "#NM", "#DF", NULL,
                                        "#TS", "#NP", "#SS", "#GP", "#PF", NULL,  "#MF", "#AC", "#MC", "#XM"};

    if (vector < ARRAY_LEN(names) && names[vector]) {
        snprintf(text, size, "%s", names[vector]);
    } else {
        snprintf(text, size, "vector %u", vector);
    }
    return text;
}

static void describe_access(struct vm *vm, const struct debug_stop *stop, char *text, size_t size)
{
    char name[NAME_SIZE];

    symbols_format(vm->symbols, stop->address, name, sizeof(name));
    if (stop->write) {
        snprintf(text, size,
                 "watchpoint %u, %u bytes written at 0x%08" PRIx64 "%s%s%s: 0x%" PRIx64 " -> 0x%" PRIx64,
                 stop->point, stop->size, stop->address, *name ? " <" : "", name, *name ? ">" : "",
                 stop->before, stop->value);
    } else {
        snprintf(text, size, "watchpoint %u, %u bytes read at 0x%08" PRIx64 "%s%s%s: 0x%" PRIx64, stop->point,
                 stop->size, stop->address, *name ? " <" : "", name, *name ? ">" : "", stop->value);
    }
}

static void describe_event(const struct debug_stop *stop, char *text, size_t size)
{
    char vector[16], code[32] = "";

    debug_vector_name(stop->vector, vector, sizeof(vector));
    if (stop->has_error) {
        snprintf(code, sizeof(code), ", error code 0x%04" PRIx32, stop->error_code);
    }
    snprintf(text, size, "%s breakpoint %u, %s%s", stop->kind == DEBUG_EXCEPTION ? "exception" : "interrupt",
             stop->point, vector, code);
}

/* What vm/debugger.c says, behind the number and the name of the point. */
static const char *plain_text(const struct debug_stop *stop)
{
    const char *colon = strstr(stop->text, ": ");

    return colon ? colon + 2 : stop->text;
}

static void describe_point(struct vm *vm, const struct debug_stop *stop, char *text, size_t size)
{
    char name[NAME_SIZE];

    switch (stop->kind) {
    case DEBUG_EXECUTE:
        if (debug_is_step(stop->owner)) {
            snprintf(text, size, "stepped");
            break;
        }
        symbols_format(vm->symbols, stop->cs_base + stop->rip, name, sizeof(name));
        snprintf(text, size, "breakpoint %u%s%s", stop->point, *name ? ", " : "", name);
        break;
    case DEBUG_READ:
    case DEBUG_WRITE:
    case DEBUG_ACCESS:
        describe_access(vm, stop, text, size);
        break;
    case DEBUG_PORT_READ:
    case DEBUG_PORT_WRITE:
    case DEBUG_PORT_ACCESS:
        snprintf(text, size, "watchpoint %u, port 0x%" PRIx64 " %s 0x%0*" PRIx64, stop->point, stop->address,
                 stop->write ? "<-" : "->", (int)stop->size * 2, stop->value);
        break;
    case DEBUG_EXCEPTION:
    case DEBUG_INTERRUPT:
        describe_event(stop, text, size);
        break;
    default:
        snprintf(text, size, "breakpoint %u, %s", stop->point, plain_text(stop));
        break;
    }
}

const char *debug_stop_describe(struct vm *vm, const struct debug_stop *stop, char *text, size_t size)
{
    switch (stop->reason) {
    case DEBUG_STOP_POINT:
        describe_point(vm, stop, text, size);
        break;
    case DEBUG_STOP_REQUEST:
        snprintf(text, size, "paused");
        break;
    case DEBUG_STOP_STEP:
        snprintf(text, size, "stepped");
        break;
    case DEBUG_STOP_ENDED:
        snprintf(text, size, "the VM has ended: %s", vm->reason);
        break;
    case DEBUG_STOP_NONE:
        snprintf(text, size, "%s", vm->state == VM_RUNNING ? "running" : "paused");
        break;
    }
    return text;
}

void debug_stop_print(FILE *out, struct vm *vm)
{
    const struct debug_stop *stop = debugger_stop(vm);
    char text[512];

    if (vm->state == VM_RUNNING) {
        return;
    }
    fprintf(out, "%s\n", debug_stop_describe(vm, stop, text, sizeof(text)));
    if (vm->state == VM_PAUSED) {
        debug_print_where(out, vm);
    }
}

/* ---- JSON ---- */

static const char *reason_name(enum debug_reason reason)
{
    static const char *const names[] = {[DEBUG_STOP_NONE] = "none",
                                        [DEBUG_STOP_REQUEST] = "request",
                                        [DEBUG_STOP_POINT] = "point",
                                        [DEBUG_STOP_STEP] = "step",
                                        [DEBUG_STOP_ENDED] = "ended"};

    return names[reason];
}

static void add_point(json_t *object, const struct debug_stop *stop)
{
    json_object_set_new(object, "point", json_integer(stop->point));
    json_object_set_new(object, "kind", json_string(debug_kind_name(stop->kind)));
    json_object_set_new(object, "address", json_integer((json_int_t)stop->address));
    if (stop->kind >= DEBUG_READ && stop->kind <= DEBUG_PORT_ACCESS) {
        json_object_set_new(object, "size", json_integer(stop->size));
        json_object_set_new(object, "write", json_boolean(stop->write));
        json_object_set_new(object, "before", json_integer((json_int_t)stop->before));
        json_object_set_new(object, "value", json_integer((json_int_t)stop->value));
    }
    if (stop->kind == DEBUG_EXCEPTION || stop->kind == DEBUG_INTERRUPT) {
        json_object_set_new(object, "vector", json_integer(stop->vector));
    }
    if (stop->has_error) {
        json_object_set_new(object, "error_code", json_integer(stop->error_code));
    }
}

json_t *debug_stop_json(struct vm *vm, const struct debug_stop *stop)
{
    char text[512], name[NAME_SIZE];
    uint64_t pc = (uint32_t)(vm->cpu->seg[SEG_CS].base + vm->cpu->rip);
    json_t *object = json_object();

    json_object_set_new(object, "state", json_string(vm_state_name(vm->state)));
    json_object_set_new(object, "reason", json_string(reason_name(stop->reason)));
    json_object_set_new(object, "text", json_string(debug_stop_describe(vm, stop, text, sizeof(text))));
    json_object_set_new(object, "pc", json_integer((json_int_t)pc));
    json_object_set_new(object, "symbol", json_string(symbols_format(vm->symbols, pc, name, sizeof(name))));
    json_object_set_new(object, "instructions", json_integer((json_int_t)vm->cpu->insn_count));
    if (stop->reason == DEBUG_STOP_POINT) {
        add_point(object, stop);
    }
    return object;
}
