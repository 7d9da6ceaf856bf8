/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Why the guest has stopped, in one line.
 */
#include <stdarg.h>

#include "vm/debugger_internal.h"
#include "vm/symbols.h"
#include "vm/vm.h"

struct text_line {
    char *at;
    size_t left;
};

static void add(struct text_line *line, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void add(struct text_line *line, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    int length = vsnprintf(line->at, line->left, format, args);
    va_end(args);
    size_t used = length < 0 ? 0 : MIN((size_t)length, line->left - 1);
    line->at += used;
    line->left -= used;
}

const char *debugger_vector_name(uint8_t vector)
{
    static const char *const names[] = {"#DE", "#DB", "NMI", "#BP", "#OF", "#BR", "#UD", "#NM", "#DF", "9",
                                        "#TS", "#NP", "#SS", "#GP", "#PF", "15",  "#MF", "#AC", "#MC", "#XM"};

    return vector < ARRAY_LEN(names) ? names[vector] : "interrupt";
}

static void add_place(struct text_line *line, const struct vm *vm, const struct debug_stop *stop)
{
    uint64_t linear = (uint32_t)(stop->cs_base + stop->rip);
    char symbol[64];

    add(line, " at %08llx", (unsigned long long)linear);
    if (symbols_format(vm->symbols, linear, symbol, sizeof(symbol))[0]) {
        add(line, " <%s>", symbol);
    }
}

static void add_access(struct text_line *line, const struct debug_stop *stop)
{
    unsigned digits = 2 * MIN(stop->size, 8u);

    add(line, "%s of %u byte%s at %08llx", stop->write ? "write" : "read", stop->size,
        stop->size == 1 ? "" : "s", (unsigned long long)stop->address);
    if (stop->physical != UINT64_MAX && stop->physical != stop->address) {
        add(line, " (physical %08llx)", (unsigned long long)stop->physical);
    }
    if (stop->before != stop->value) {
        add(line, ", %0*llx -> %0*llx", (int)digits, (unsigned long long)stop->before, (int)digits,
            (unsigned long long)stop->value);
    } else {
        add(line, ", %0*llx", (int)digits, (unsigned long long)stop->value);
    }
    add(line, stop->dma ? ", by a device before the instruction" : ", by the instruction");
}

static void add_mode(struct text_line *line, const struct vm *vm)
{
    const struct vcpu *cpu = vm->cpu;
    const char *paging = !(cpu->cr0 & CR0_PG) ? "no paging"
                         : cpu->cr4 & CR4_PAE ? "PAE paging"
                                              : "32-bit paging";

    add(line, "now %s, %u-bit code, %s; after the instruction",
        cpu->v86              ? "virtual-8086 mode"
        : cpu->protected_mode ? "protected mode"
                              : "real mode",
        cpu->code32 ? 32 : 16, paging);
}

static void add_point(struct text_line *line, const struct vm *vm, const struct debug_stop *stop)
{
    switch (stop->kind) {
    case DEBUG_EXECUTE:
        add(line, "before the instruction");
        break;
    case DEBUG_READ:
    case DEBUG_WRITE:
    case DEBUG_ACCESS:
        add_access(line, stop);
        break;
    case DEBUG_PORT_READ:
    case DEBUG_PORT_WRITE:
    case DEBUG_PORT_ACCESS:
        add(line, "port %04llx, %u byte%s, %s %0*llx, by the instruction", (unsigned long long)stop->address,
            stop->size, stop->size == 1 ? "" : "s", stop->write ? "written" : "read", (int)(2 * stop->size),
            (unsigned long long)stop->value);
        break;
    case DEBUG_EXCEPTION:
        add(line, "%s", debugger_vector_name(stop->vector));
        if (stop->has_error) {
            add(line, ", error code %04x", stop->error_code);
        }
        if (stop->vector == EXC_PF) {
            add(line, ", address %08llx", (unsigned long long)stop->address);
        }
        add(line, ", raised");
        break;
    case DEBUG_INTERRUPT:
        add(line, "%s %02x was delivered; its handler begins", stop->vector == EXC_NMI ? "NMI" : "interrupt",
            stop->vector);
        break;
    case DEBUG_MODE:
        add_mode(line, vm);
        break;
    case DEBUG_SHUTDOWN:
        add(line, "triple fault");
        break;
    case DEBUG_TIME:
        add(line, "%llu instructions have been executed; the next is", (unsigned long long)stop->insn_count);
        break;
    case DEBUG_MAGIC:
        add(line, "XCHG BX,BX");
        break;
    case DEBUG_KINDS:
        break;
    }
    add_place(line, vm, stop);
}

void debugger_describe(const struct vm *vm, struct debug_stop *stop, const char *name)
{
    struct text_line line = {.at = stop->text, .left = sizeof(stop->text)};

    stop->text[0] = '\0';
    switch (stop->reason) {
    case DEBUG_STOP_NONE:
        break;
    case DEBUG_STOP_REQUEST:
        add(&line, "paused");
        add_place(&line, vm, stop);
        break;
    case DEBUG_STOP_POINT:
        add(&line, "point %u", stop->point);
        if (name && name[0]) {
            add(&line, " (%.40s)", name);
        }
        add(&line, ": ");
        add_point(&line, vm, stop);
        break;
    case DEBUG_STOP_STEP:
        add(&line, vm->cpu->halted ? "halted, behind the HLT" : "stepped");
        add_place(&line, vm, stop);
        break;
    case DEBUG_STOP_ENDED:
        add(&line, "%s", vm->reason);
        break;
    }
}
