/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Stepping: s n finish until, and u, which shows what comes.
 *
 * s executes there and then. The others set a point for themselves and let the guest run, which may take its time: whoever
 * listens hears of the stop. Such a point is for one stack only, because functions call themselves and tasks share code:
 *
 *     n        SP is what it was, or a little more (the callee took its arguments off)
 *     finish   SP is what the back trace promises, or a little more
 *
 * If the guest stops for another reason first, the point is void.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "cpu/insn.h"
#include "monitor/debug_points.h"
#include "monitor/debug_stop.h"
#include "monitor/groups.h"
#include "vm/backtrace.h"
#include "vm/debugger.h"

enum { LISTED = 8, LISTED_MAX = 4096, SLACK_BYTES = 1024 };

/* ---- points of steps ---- */

struct step_point {
    struct debug_listener listener;
    struct vm *vm;
    bool any_stack, user, void_now;
    uint32_t stack; /* linear */
    uint64_t cr3;
};

static const void *step_owner(void)
{
    static const char owner = 's';

    return &owner;
}

bool debug_is_step(const void *owner)
{
    return owner == step_owner();
}

static uint32_t linear_sp(const struct vcpu *cpu)
{
    return (uint32_t)cpu->seg[SEG_SS].base + (cpu->stack32 ? reg32(cpu, RSP) : reg16(cpu, RSP));
}

static bool step_met(void *opaque, struct vm *vm)
{
    const struct step_point *step = opaque;

    if (step->void_now || (step->user && vm->cpu->cr3 != step->cr3)) {
        return false;
    }
    return step->any_stack || linear_sp(vm->cpu) - step->stack < SLACK_BYTES;
}

static void step_release(void *opaque)
{
    struct step_point *step = opaque;

    debugger_unlisten(step->vm, &step->listener);
    free(step);
}

static void step_changed(void *opaque, struct vm *vm)
{
    struct step_point *step = opaque;

    step->void_now = step->void_now || vm->state != VM_RUNNING;
}

/* Let the guest run until it comes to `address`, on this stack (NULL: on any). */
static bool run_until_there(struct command_call *call, uint64_t address, const uint32_t *stack,
                            const char *text)
{
    struct vm *vm = call->vm;
    struct step_point *step = calloc(1, sizeof(*step));
    struct debug_point point = {.kind = DEBUG_EXECUTE,
                                .temporary = true,
                                .address = (uint32_t)address,
                                .text = text,
                                .owner = step_owner(),
                                .condition = step_met,
                                .release = step_release,
                                .opaque = step};
    struct error error;
    unsigned id;

    if (!step) {
        return command_fail(call, "no memory");
    }
    *step = (struct step_point){.vm = vm,
                                .any_stack = !stack,
                                .stack = stack ? *stack : 0,
                                .user = vm->cpu->cpl == 3 && stack,
                                .cr3 = vm->cpu->cr3};
    debugger_remove_all(vm, step_owner());
    if (debugger_add(vm, &point, &id, &error) < 0) {
        free(step);
        return command_fail(call, "%s", error.text);
    }
    if (vm_change_state(vm, VM_RUNNING, &error) < 0) {
        debugger_remove(vm, id, NULL);
        return command_fail(call, "%s", error.text);
    }
    step->listener = (struct debug_listener){.changed = step_changed, .opaque = step};
    debugger_listen(vm, &step->listener);
    return true;
}

static bool check_paused(struct command_call *call)
{
    struct error error;

    if (vm_check_not_stopped(call->vm, &error) < 0) {
        return command_fail(call, "%s", error.text);
    }
    return call->vm->state == VM_PAUSED || command_fail(call, "the VM is running (stop pauses it)");
}

/* ---- s and n ---- */

static bool step(struct command_call *call, uint64_t count)
{
    struct debug_stop stop;
    struct error error;
    char text[512];

    debugger_remove_all(call->vm, step_owner());
    if (debugger_step(call->vm, count, 0, &stop, &error) < 0) {
        return command_fail(call, "%s", error.text);
    }
    if (stop.reason != DEBUG_STOP_STEP) {
        fprintf(call->out, "%s\n", debug_stop_describe(call->vm, &stop, text, sizeof(text)));
    }
    if (call->vm->state != VM_STOPPED) {
        debug_print_where(call->out, call->vm);
    }
    call->data = debug_stop_json(call->vm, &stop);
    return true;
}

static bool run_s(struct command_call *call)
{
    uint64_t count = 1;

    return check_paused(call) && (call->count == 0 || command_value(call, 0, &count)) && step(call, count);
}

/* Does it come back, so that the instruction behind it is the next of this function? */
static bool comes_back(const struct insn *insn)
{
    const char *name = insn->opcode->mnemonic;

    return !strcmp(name, "call") || !strcmp(name, "int") || !strcmp(name, "int3") || !strcmp(name, "into") ||
           (insn->rep && (insn->opcode->flags & OPF_STRING));
}

static bool run_n(struct command_call *call)
{
    struct vcpu *cpu = call->vm->cpu;
    uint64_t pc = (uint32_t)(cpu->seg[SEG_CS].base + cpu->rip);
    uint8_t bytes[15];
    struct insn insn;
    uint32_t stack = linear_sp(cpu);
    size_t count;

    if (!check_paused(call)) {
        return false;
    }
    count = debugger_read(call->vm, false, pc, bytes, sizeof(bytes));
    if (count == 0 || insn_decode(bytes, (unsigned)count, cpu->code32, cpu->features, &insn) != DECODE_OK ||
        !comes_back(&insn)) {
        return step(call, 1);
    }
    return run_until_there(call, pc + insn.length, &stack, "the end of n");
}

/* ---- finish and until ---- */

static bool run_finish(struct command_call *call)
{
    struct backtrace_frame frame[2];
    uint32_t stack;
    char why[96];

    if (!check_paused(call)) {
        return false;
    }
    if (backtrace_chain(call->vm->cpu, call->vm->symbols, frame, 2, why, sizeof(why)) < 2) {
        return command_fail(
            call, "who called this is not known: %s (bt scan shows candidates, until ADDR goes there)", why);
    }
    stack = (uint32_t)frame[1].stack;
    return run_until_there(call, frame[1].address, frame[1].source == BACKTRACE_INTERRUPTED ? NULL : &stack,
                           "the end of finish");
}

static bool run_until(struct command_call *call)
{
    uint64_t address = 0;

    return check_paused(call) && command_value(call, 0, &address) &&
           run_until_there(call, address, NULL, "the end of until");
}

/* ---- u ---- */

/* /N [ADDR [END]] */
static bool run_u(struct command_call *call)
{
    const struct vcpu *cpu = call->vm->cpu;
    uint64_t address = (uint32_t)(cpu->seg[SEG_CS].base + cpu->rip), end = UINT64_MAX;
    unsigned long count = LISTED;

    if (*call->format) {
        char *rest;

        count = strtoul(call->format, &rest, 10);
        if (*rest || count == 0 || count > LISTED_MAX) {
            return command_fail(call, "u/N: N is 1 to %d instructions", LISTED_MAX);
        }
    }
    if ((call->count > 0 && !command_value(call, 0, &address)) ||
        (call->count > 1 && !command_value(call, 1, &end))) {
        return false;
    }
    if (call->count > 1 && !*call->format) {
        count = LISTED_MAX;
    }
    for (; count > 0 && address < end; count--) {
        unsigned length = debug_print_insn(call->out, call->vm, (uint32_t)address);

        if (length == 0) {
            return false;
        }
        address += length;
    }
    return true;
}

/* ---- the table ---- */

static const struct command commands[] = {
    {"s", "step stepi si", "[N]", "execute one instruction, or N",
     "Interrupts wait meanwhile. A breakpoint on the way ends it sooner.", false, 0, 1, run_s},
    {"n", "next nexti ni", "", "the same, but a call, INT or repeated string instruction as a whole",
     "The guest runs meanwhile; the stop is told when it comes.", false, 0, 0, run_n},
    {"finish", "out", "", "run until the function returns", "Who called it is what bt shows as frame 1.",
     false, 0, 0, run_finish},
    {"until", "advance", "ADDR", "run until it comes to an address", NULL, false, 1, 1, run_until},
    {"u", "disasm", "/N [ADDR [END]]", "show the next instructions, those at ADDR, or those up to END", NULL,
     false, 0, 2, run_u},
};

const struct command_group step_group = {"Stepping", commands, ARRAY_LEN(commands)};
