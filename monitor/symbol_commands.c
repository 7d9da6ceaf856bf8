/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Symbols, back traces, and why: what the guest is doing, in names, and why it does not run.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "monitor/debug_points.h"
#include "monitor/debug_stop.h"
#include "monitor/groups.h"
#include "vm/backtrace.h"
#include "vm/kallsyms.h"
#include "vm/symbols.h"

enum { FRAMES = 32, SYMBOLS_LISTED = 64, NAME_SIZE = 256 };

/* ---- symbols ---- */

static bool say_added(struct command_call *call, long added, const struct error *error)
{
    if (added < 0) {
        return command_fail(call, "%s", error->text);
    }
    fprintf(call->out, "%ld symbols\n", added);
    return true;
}

/* FILE [BIAS]; "global" before it is Bochs' word for what all symbols are here. */
static bool run_ldsym(struct command_call *call)
{
    unsigned i = call->count > 1 && !strcmp(call->word[0], "global");
    uint64_t bias = 0;
    struct error error;

    if (call->count > i + 2) {
        return command_usage(call);
    }
    if (call->count == i + 2 && !command_value(call, i + 1, &bias)) {
        return false;
    }
    return say_added(call, symbols_load(&call->vm->symbols, call->word[i], bias, &error), &error);
}

static bool run_ldsym_linux(struct command_call *call)
{
    struct error error;

    return say_added(call, kallsyms_load(call->vm->cpu, &call->vm->symbols, &error), &error);
}

static bool run_ldsym_none(struct command_call *call)
{
    symbols_free(call->vm->symbols);
    call->vm->symbols = NULL;
    return true;
}

struct list {
    FILE *out;
    unsigned left;
};

static bool print_symbol(void *opaque, const struct symbol *symbol)
{
    struct list *list = opaque;

    if (list->left == 0) {
        fprintf(list->out, "... (info symbols PREFIX shows fewer)\n");
        return false;
    }
    list->left--;
    fprintf(list->out, "%08" PRIx64 " %c %s\n", symbol->address, symbol->code ? 't' : 'd', symbol->name);
    return true;
}

static bool run_info_symbols(struct command_call *call)
{
    struct list list = {call->out, SYMBOLS_LISTED};

    if (symbols_count(call->vm->symbols) == 0) {
        return command_fail(call, "no symbols are loaded (ldsym FILE loads them)");
    }
    symbols_complete(call->vm->symbols, call->count ? call->word[0] : "", print_symbol, &list);
    return true;
}

static bool write_symbol(void *opaque, const struct symbol *symbol)
{
    return fprintf(opaque, "%08" PRIx64 " %c %s\n", symbol->address, symbol->code ? 'T' : 'D', symbol->name) >
           0;
}

static bool run_savesym(struct command_call *call)
{
    FILE *file;

    if (symbols_count(call->vm->symbols) == 0) {
        return command_fail(call, "no symbols are loaded (ldsym FILE loads them)");
    }
    file = fopen(call->word[0], "we");
    if (!file) {
        return command_fail(call, "cannot write '%s': %s", call->word[0], strerror(errno));
    }
    symbols_each(call->vm->symbols, write_symbol, file);
    if (ferror(file) | fclose(file)) {
        return command_fail(call, "cannot write '%s': %s", call->word[0], strerror(errno));
    }
    return true;
}

static bool run_info_symbol(struct command_call *call)
{
    uint64_t address = 0;
    char name[NAME_SIZE];

    if (!command_value(call, 0, &address)) {
        return false;
    }
    if (!*symbols_format(call->vm->symbols, address, name, sizeof(name))) {
        return command_fail(call, "no symbol is near 0x%08" PRIx64, address);
    }
    fprintf(call->out, "%s\n", name);
    return true;
}

/* ---- bt ---- */

static json_t *frame_json(const struct symbols *symbols, const struct backtrace_frame *frame)
{
    json_t *row = json_object(), *arguments = json_array();
    char name[NAME_SIZE];

    for (unsigned i = 0; i < frame->arguments; i++) {
        json_array_append_new(arguments, json_integer(frame->argument[i]));
    }
    json_object_set_new(row, "address", json_integer((json_int_t)frame->address));
    json_object_set_new(row, "symbol", json_string(backtrace_name(symbols, frame, name, sizeof(name))));
    json_object_set_new(row, "stack", json_integer((json_int_t)frame->stack));
    json_object_set_new(row, "user", json_boolean(frame->user));
    json_object_set_new(row, "remark", json_string(backtrace_remark(frame)));
    json_object_set_new(row, "arguments", arguments);
    return row;
}

/* [scan] [N] */
static bool run_bt(struct command_call *call)
{
    bool scan = call->count > 0 && !strcmp(call->word[0], "scan");
    struct backtrace_frame frame[BACKTRACE_MAX];
    const struct vm *vm = call->vm;
    uint64_t most = FRAMES;
    char why[96] = "";
    unsigned count;

    if (call->count > scan + 1u) {
        return command_usage(call);
    }
    if (call->count > scan && !command_value(call, scan, &most)) {
        return false;
    }
    if (most < 1 || most > BACKTRACE_MAX) {
        return command_fail(call, "bt shows 1 to %d frames", BACKTRACE_MAX);
    }
    count = scan ? backtrace_scan(vm->cpu, vm->symbols, frame, (unsigned)most)
                 : backtrace_chain(vm->cpu, vm->symbols, frame, (unsigned)most, why, sizeof(why));
    if (count == 1 && most > 1 && !scan) {
        fprintf(call->out, "no chain of frames: %s; what follows was found on the stack\n", why);
        count = backtrace_scan(vm->cpu, vm->symbols, frame, (unsigned)most);
    }
    backtrace_print(call->out, vm->symbols, frame, count);
    call->data = json_array();
    for (unsigned i = 0; i < count; i++) {
        json_array_append_new(call->data, frame_json(vm->symbols, &frame[i]));
    }
    return true;
}

/* ---- why ---- */

/* The page walk that an access has had, by the command that explains them. */
static void explain_access(struct command_call *call, uint64_t linear, uint32_t error_code)
{
    struct monitor_session session = {.hv = call->session->hv, .host = call->session->host, .vm = call->vm};
    char line[64];

    snprintf(line, sizeof(line), "walk 0x%08" PRIx64 " %c%c", linear,
             error_code & PF_I   ? 'x'
             : error_code & PF_W ? 'w'
                                 : 'r',
             error_code & PF_U ? 'u' : 's');
    monitor_execute(&session, line, call->out);
}

static void explain_exception(struct command_call *call, const struct debug_stop *stop)
{
    static const char *const meanings[] = {
        [EXC_DE] = "a division by zero, or whose result does not fit",
        [EXC_DB] = "a debug exception: single step, or the guest's own debug registers",
        [EXC_NMI] = "a non-maskable interrupt",
        [EXC_BP] = "INT3",
        [EXC_OF] = "INTO with the overflow flag set",
        [EXC_BR] = "BOUND found its index out of range",
        [EXC_UD] = "an instruction that this processor does not have",
        [EXC_NM] = "the x87 unit was used while CR0.TS or CR0.EM is set",
        [EXC_DF] = "an exception while another one was delivered",
        [EXC_TS] = "a task state segment that is not valid",
        [EXC_NP] = "a segment that is not present",
        [EXC_SS] = "a stack access beyond the stack segment, or a stack segment that cannot be loaded",
        [EXC_GP] = "a general protection fault",
        [EXC_PF] = "a page fault",
        [EXC_MF] = "an x87 numeric error",
        [EXC_AC] = "an access that is not aligned, by user code that asked for the check",
        [EXC_XM] = "an SSE numeric error",
    };
    const char *meaning = stop->vector < ARRAY_LEN(meanings) ? meanings[stop->vector] : NULL;

    if (meaning) {
        fprintf(call->out, "  it is %s\n", meaning);
    }
    if (stop->has_error && stop->vector >= EXC_TS && stop->vector <= EXC_GP && stop->error_code) {
        fprintf(call->out, "  its error code names %s %u of the %s\n",
                stop->error_code & 2 ? "gate" : "descriptor", stop->error_code >> 3 & 0x1fff,
                stop->error_code & 2   ? "IDT"
                : stop->error_code & 4 ? "LDT"
                                       : "GDT");
    }
    if (stop->vector == EXC_PF) {
        explain_access(call, call->vm->cpu->cr2, stop->error_code);
    }
}

/* What belongs to a point: its words, how often, what its condition had to say. */
static void explain_point(struct command_call *call, const struct debug_stop *stop)
{
    unsigned count;
    struct debug_point_state *state = debug_points_take(call->vm, &count);
    bool found = false;

    for (unsigned i = 0; i < count; i++) {
        const char *failure = debug_point_failure(&state[i]);

        if (state[i].id != stop->point) {
            continue;
        }
        found = true;
        fprintf(call->out, "  set as: %s; hit %" PRIu64 " time%s\n",
                state[i].point.text ? state[i].point.text : "", state[i].hits, state[i].hits == 1 ? "" : "s");
        if (failure) {
            fprintf(call->out, "  its condition could not be evaluated: %s\n", failure);
        }
    }
    free(state);
    if (!found) {
        fprintf(call->out, "  it was there for one stop, and is gone\n");
    }
    if (stop->kind == DEBUG_EXCEPTION) {
        explain_exception(call, stop);
    }
    if (stop->kind >= DEBUG_READ && stop->kind <= DEBUG_PORT_ACCESS) {
        fprintf(call->out, "  by ");
        debug_print_insn(call->out, call->vm, (uint32_t)(stop->cs_base + stop->rip));
    }
    if (stop->kind == DEBUG_SHUTDOWN) {
        vm_explain_shutdown(call->out, call->vm);
    }
}

static bool run_why(struct command_call *call)
{
    struct vm *vm = call->vm;
    const struct debug_stop *stop = debugger_stop(vm);
    char text[512];

    call->data = debug_stop_json(vm, stop);
    if (vm->state == VM_RUNNING) {
        fprintf(call->out, "the VM is running\n");
        return true;
    }
    fprintf(call->out, "%s\n", debug_stop_describe(vm, stop, text, sizeof(text)));
    if (stop->reason == DEBUG_STOP_POINT && !debug_is_step(stop->owner)) {
        explain_point(call, stop);
    }
    if (vm->state == VM_STOPPED && vm->outcome == VM_OUTCOME_TRIPLE_FAULT) {
        vm_explain_shutdown(call->out, vm);
        return true;
    }
    fprintf(call->out, "  after %" PRIu64 " instructions, %s at privilege level %u; next\n  ",
            vm->cpu->insn_count,
            vm->cpu->v86              ? "in virtual-8086 mode"
            : vm->cpu->protected_mode ? "in protected mode"
                                      : "in real mode",
            vm->cpu->cpl);
    debug_print_where(call->out, vm);
    return true;
}

/* ---- the table ---- */

static const struct command commands[] = {
    {"ldsym", NULL, "FILE [BIAS]", "load symbols from a file: ELF, System.map, or what nm prints",
     "BIAS is added to the file's addresses. Bochs' two columns are understood, too, and a module's .ko, "
     "with the address of its "
     "code as the bias.",
     false, 1, 3, run_ldsym},
    {"ldsym linux", NULL, "", "read the symbols of the Linux that runs in the guest from its memory",
     "Wherever KASLR has put it. savesym keeps them for the time before it is loaded.", false, 0, 0,
     run_ldsym_linux},
    {"ldsym none", NULL, "", "forget all symbols", NULL, false, 0, 0, run_ldsym_none},
    {"savesym", NULL, "FILE", "write the symbols as System.map has them", NULL, false, 1, 1, run_savesym},
    {"info symbols", NULL, "[SYMBOL]", "symbols, or those whose names begin so", NULL, false, 0, 1,
     run_info_symbols},
    {"info symbol", NULL, "ADDR", "the name of an address", NULL, false, 1, 1, run_info_symbol},
    {"bt", "backtrace where", "[scan] [N]", "who called whom",
     "By the chain of EBP; where there is none, or with scan, what looks like return addresses on the stack.",
     false, 0, 2, run_bt},
    {"why", NULL, "", "explain the last stop", NULL, false, 0, 0, run_why},
};

const struct command_group symbol_group = {"Symbols and stops", commands, ARRAY_LEN(commands)};
