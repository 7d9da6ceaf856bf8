/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Breakpoints and watchpoints: where the guest is to stop. Names are Bochs', gdb's where Bochs has none; docs/debugging.md
 * is the user's page.
 *
 * Points belong to the translator and the interpreter, never to guest memory, so they may be set before anything is loaded.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <strings.h>

#include "monitor/debug_points.h"
#include "monitor/debug_stop.h"
#include "monitor/expression.h"
#include "monitor/groups.h"
#include "vm/symbols.h"

enum { TEXT_SIZE = 256, PORTS = 65536, LENGTH_MAX = 4096 };

static bool is_number(const char *text, uint64_t *value)
{
    char *end;

    *value = strtoull(text, &end, 0);
    return end != text && !*end;
}

/* ---- adding ---- */

/* "Breakpoint 1 at 0xc1000000 <start_kernel>", and add it. */
static bool add_execute(struct command_call *call, const struct debug_point *point, const char *condition)
{
    char name[TEXT_SIZE] = "";
    unsigned id;

    if (!debug_add_point(call, point, condition, &id)) {
        return false;
    }
    if (!point->physical) {
        symbols_format(call->vm->symbols, point->address, name, sizeof(name));
    }
    fprintf(call->out, "breakpoint %u at %s0x%08" PRIx64 "%s%s%s\n", id, point->physical ? "physical " : "",
            point->address, *name ? " <" : "", name, *name ? ">" : "");
    return true;
}

/* ADDR [if EXPR] */
static bool add_at_address(struct command_call *call, struct debug_point point)
{
    const char *condition;
    char text[TEXT_SIZE];
    unsigned end;

    if (!debug_split_condition(call, 0, &end, &condition)) {
        return false;
    }
    if (end == 0) {
        return command_usage(call);
    }
    if (!debug_words_value(call, 0, end, text, sizeof(text), &point.address)) {
        return false;
    }
    point.text = text;
    return add_execute(call, &point, condition);
}

static bool run_b(struct command_call *call)
{
    return add_at_address(call, (struct debug_point){.kind = DEBUG_EXECUTE});
}

static bool run_tbreak(struct command_call *call)
{
    return add_at_address(call, (struct debug_point){.kind = DEBUG_EXECUTE, .temporary = true});
}

static bool run_pb(struct command_call *call)
{
    return add_at_address(call, (struct debug_point){.kind = DEBUG_EXECUTE, .physical = true});
}

/* A segment's base: times 16 in real and virtual-8086 mode, else from its descriptor. */
static bool segment_base(struct command_call *call, uint16_t selector, uint64_t *base)
{
    const struct vcpu *cpu = call->vm->cpu;
    uint64_t table = selector & 4 ? cpu->ldtr.base : cpu->gdtr.base;
    uint32_t limit = selector & 4 ? cpu->ldtr.limit : cpu->gdtr.limit;
    uint8_t descriptor[8];

    if (!cpu->protected_mode) {
        *base = (uint64_t)selector << 4;
        return true;
    }
    if ((selector | 7u) > limit || debugger_read(call->vm, false, table + (selector & ~7u), descriptor,
                                                 sizeof(descriptor)) != sizeof(descriptor)) {
        return command_fail(call, "there is no descriptor for selector %04x", selector);
    }
    *base = (load_le32(descriptor + 2) & 0xffffff) | (uint64_t)descriptor[7] << 24;
    return true;
}

/* SEG:OFF [if EXPR], as it is now */
static bool run_vb(struct command_call *call)
{
    struct debug_point point = {.kind = DEBUG_EXECUTE, .text = call->word[0]};
    char text[TEXT_SIZE], *colon;
    uint64_t selector = 0, base = 0, offset = 0;
    const char *condition;
    struct error error;
    unsigned end;

    snprintf(text, sizeof(text), "%s", call->word[0]);
    colon = strchr(text, ':');
    if (!debug_split_condition(call, 1, &end, &condition)) {
        return false;
    }
    if (!colon || end != 1) {
        return command_usage(call);
    }
    *colon = '\0';
    if (expression_evaluate(text, call->vm, &selector, &error) < 0 ||
        expression_evaluate(colon + 1, call->vm, &offset, &error) < 0) {
        return command_fail(call, "%s", error.text);
    }
    if (!segment_base(call, (uint16_t)selector, &base)) {
        return false;
    }
    point.address = (uint32_t)(base + offset);
    return add_execute(call, &point, condition);
}

/* ---- watchpoints ---- */

/* "r", "w" or "rw" choose one of three kinds that follow each other. False: it is none of them. */
static bool parse_access(const char *word, enum debug_kind read, enum debug_kind *kind)
{
    static const char *const names[] = {"r", "w", "rw"};

    for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
        if (!strcmp(word, names[i])) {
            *kind = read + i;
            return true;
        }
    }
    return false;
}

static bool list_points(struct command_call *call, bool watchpoints);

static bool add_watchpoint(struct command_call *call, struct debug_point *point, const char *condition)
{
    static const char *const accesses[] = {"reads of", "writes to", "accesses to"};
    char name[TEXT_SIZE] = "";
    unsigned id;

    if (point->length == 0 || point->length > LENGTH_MAX) {
        return command_fail(call, "a watchpoint is 1 to %d bytes long, not %" PRIu64, LENGTH_MAX,
                            point->length);
    }
    if (!debug_add_point(call, point, condition, &id)) {
        return false;
    }
    if (!point->physical) {
        symbols_format(call->vm->symbols, point->address, name, sizeof(name));
    }
    fprintf(call->out, "watchpoint %u: %s %s0x%08" PRIx64 "%s%s%s, %" PRIu64 " byte%s\n", id,
            accesses[point->kind - DEBUG_READ], point->physical ? "physical " : "", point->address,
            *name ? " <" : "", name, *name ? ">" : "", point->length, point->length > 1 ? "s" : "");
    return true;
}

/* [r|w|rw] [phys] ADDR [LEN] [if EXPR] */
static bool run_watch(struct command_call *call)
{
    struct debug_point point = {.kind = DEBUG_WRITE, .length = 4};
    const char *condition;
    unsigned end, i = 0;
    char text[TEXT_SIZE];

    if (call->count == 0) {
        return list_points(call, true);
    }
    if (!debug_split_condition(call, 0, &end, &condition)) {
        return false;
    }
    i += i < end && parse_access(call->word[i], DEBUG_READ, &point.kind);
    if (i < end && !strcmp(call->word[i], "phys")) {
        point.physical = true;
        i++;
    }
    if (end - i < 1 || end - i > 2) {
        return command_usage(call);
    }
    if (!command_value(call, i, &point.address) ||
        (end - i == 2 && !command_value(call, i + 1, &point.length))) {
        return false;
    }
    snprintf(text, sizeof(text), "%s%s", point.physical ? "phys " : "", call->word[i]);
    point.text = text;
    return add_watchpoint(call, &point, condition);
}

/* PORT [r|w|rw] [LEN] [if EXPR] */
static bool run_watch_io(struct command_call *call)
{
    static const char *const accesses[] = {"reads of", "writes to", "accesses to"};
    struct debug_point point = {.kind = DEBUG_PORT_ACCESS, .length = 1};
    const char *condition;
    char text[TEXT_SIZE];
    unsigned end, id, i = 1;

    if (!debug_split_condition(call, 0, &end, &condition)) {
        return false;
    }
    if (end == 0 || !command_value(call, 0, &point.address)) {
        return end == 0 ? command_usage(call) : false;
    }
    i += i < end && parse_access(call->word[i], DEBUG_PORT_READ, &point.kind);
    if (i < end && !command_value(call, i++, &point.length)) {
        return false;
    }
    if (i != end) {
        return command_usage(call);
    }
    if (point.address >= PORTS || point.length == 0 || point.length > PORTS - point.address) {
        return command_fail(call, "ports go from 0 to 0xffff");
    }
    snprintf(text, sizeof(text), "port %s", call->word[0]);
    point.text = text;
    if (!debug_add_point(call, &point, condition, &id)) {
        return false;
    }
    fprintf(call->out, "watchpoint %u: %s port 0x%04" PRIx64 "\n", id, accesses[point.kind - DEBUG_PORT_READ],
            point.address);
    return true;
}

/* ---- events ---- */

static bool add_event(struct command_call *call, struct debug_point *point, const char *condition,
                      const char *what)
{
    unsigned id;

    point->text = what;
    if (!debug_add_point(call, point, condition, &id)) {
        return false;
    }
    fprintf(call->out, "breakpoint %u: %s\n", id, what);
    return true;
}

/* "14", "0xe", "pf", "#PF" */
static bool parse_vector(const char *word, uint64_t *vector)
{
    const char *name = *word == '#' ? word + 1 : word;

    if (is_number(word, vector)) {
        return *vector < 256;
    }
    for (unsigned i = 0; i < 32; i++) {
        char known[16];

        debug_vector_name((uint8_t)i, known, sizeof(known));
        if (!strcasecmp(name, *known == '#' ? known + 1 : known)) {
            *vector = i;
            return true;
        }
    }
    return false;
}

static bool run_break_exception(struct command_call *call)
{
    struct debug_point point = {.kind = DEBUG_EXCEPTION, .address = DEBUG_ANY};
    char text[64] = "any exception", name[16];
    const char *condition;
    unsigned end;

    if (!debug_split_condition(call, 0, &end, &condition)) {
        return false;
    }
    if (end > 1) {
        return command_usage(call);
    }
    if (end == 1 && (!parse_vector(call->word[0], &point.address) || point.address > 31)) {
        return command_fail(
            call, "'%s' is no exception (0 to 31, or de db bp of br ud nm df ts np ss gp pf mf ac mc xm)",
            call->word[0]);
    }
    if (end == 1) {
        snprintf(text, sizeof(text), "exception %s",
                 debug_vector_name((uint8_t)point.address, name, sizeof(name)));
    }
    return add_event(call, &point, condition, text);
}

static bool run_break_interrupt(struct command_call *call)
{
    struct debug_point point = {.kind = DEBUG_INTERRUPT, .address = DEBUG_ANY};
    char text[64] = "any interrupt";
    const char *condition;
    unsigned end;

    if (!debug_split_condition(call, 0, &end, &condition)) {
        return false;
    }
    if (end > 1) {
        return command_usage(call);
    }
    if (end == 1 && (!is_number(call->word[0], &point.address) || point.address > 255)) {
        return command_fail(call, "'%s' is no vector (0 to 255)", call->word[0]);
    }
    if (end == 1) {
        snprintf(text, sizeof(text), "interrupt %" PRIu64 " (0x%02" PRIx64 ")", point.address, point.address);
    }
    return add_event(call, &point, condition, text);
}

static bool run_break_shutdown(struct command_call *call)
{
    struct debug_point point = {.kind = DEBUG_SHUTDOWN};

    return add_event(call, &point, NULL, "triple fault");
}

/* The monitor's point of a kind that is there once; 0: none. */
static unsigned find_kind(struct vm *vm, enum debug_kind kind)
{
    unsigned count, id = 0;
    struct debug_point_state *state = debug_points_take(vm, &count);

    for (unsigned i = 0; i < count; i++) {
        if (state[i].point.kind == kind && state[i].point.owner == debug_points_owner()) {
            id = state[i].id;
        }
    }
    free(state);
    return id;
}

static bool remove_point(struct command_call *call, unsigned id)
{
    struct error error;

    return debugger_remove(call->vm, id, &error) == 0 || command_fail(call, "%s", error.text);
}

static bool run_modebp(struct command_call *call)
{
    struct debug_point point = {.kind = DEBUG_MODE};
    unsigned id = find_kind(call->vm, DEBUG_MODE);

    if (!id) {
        return add_event(call, &point, NULL, "mode switch");
    }
    fprintf(call->out, "breakpoint %u: mode switch, removed\n", id);
    return remove_point(call, id);
}

static bool run_magic(struct command_call *call)
{
    struct debug_point point = {.kind = DEBUG_MAGIC};
    unsigned id = find_kind(call->vm, DEBUG_MAGIC);
    bool on = !strcmp(call->word[0], "on");

    if (!on && strcmp(call->word[0], "off") != 0) {
        return command_usage(call);
    }
    if (on) {
        return id ? true : add_event(call, &point, NULL, "xchg bx, bx");
    }
    return id ? remove_point(call, id) : true;
}

/* ---- time ---- */

static bool add_time(struct command_call *call, uint64_t at)
{
    struct debug_point point = {.kind = DEBUG_TIME, .address = at, .temporary = true};
    char text[64];

    if (at <= call->vm->cpu->insn_count) {
        return command_fail(call, "%" PRIu64 " instructions have retired already", call->vm->cpu->insn_count);
    }
    snprintf(text, sizeof(text), "after instruction %" PRIu64, at);
    return add_event(call, &point, NULL, text);
}

static bool run_sb(struct command_call *call)
{
    uint64_t count = 0;

    return command_value(call, 0, &count) && add_time(call, call->vm->cpu->insn_count + count);
}

static bool run_sba(struct command_call *call)
{
    uint64_t at = 0;

    return command_value(call, 0, &at) && add_time(call, at);
}

/* ---- lists ---- */

static bool is_watchpoint(enum debug_kind kind)
{
    return kind >= DEBUG_READ && kind <= DEBUG_PORT_ACCESS;
}

static json_t *point_json(const struct debug_point_state *state)
{
    const struct debug_point *point = &state->point;
    const char *failure = debug_point_failure(state);
    json_t *row = json_object();

    json_object_set_new(row, "number", json_integer(state->id));
    json_object_set_new(row, "kind", json_string(debug_kind_name(point->kind)));
    json_object_set_new(row, "enabled", json_boolean(state->enabled));
    json_object_set_new(row, "temporary", json_boolean(point->temporary));
    json_object_set_new(row, "hits", json_integer((json_int_t)state->hits));
    json_object_set_new(row, "ignore", json_integer((json_int_t)point->ignore));
    if (point->kind <= DEBUG_PORT_ACCESS || point->kind == DEBUG_TIME || point->address != DEBUG_ANY) {
        json_object_set_new(row, "address", json_integer((json_int_t)point->address));
    }
    json_object_set_new(row, "physical", json_boolean(point->physical));
    if (is_watchpoint(point->kind)) {
        json_object_set_new(row, "length", json_integer((json_int_t)point->length));
    }
    json_object_set_new(row, "text", json_string(point->text ? point->text : ""));
    json_object_set_new(row, "mine", json_boolean(point->owner == debug_points_owner()));
    if (failure) {
        json_object_set_new(row, "failure", json_string(failure));
    }
    return row;
}

static void print_point(FILE *out, const struct debug_point_state *state)
{
    const struct debug_point *point = &state->point;
    const char *failure = debug_point_failure(state);
    char place[40] = "";

    if (point->kind <= DEBUG_ACCESS) {
        snprintf(place, sizeof(place), "%s0x%08" PRIx64, point->physical ? "p:" : "", point->address);
    }
    fprintf(out, "%-4u %-11s %-8s %6" PRIu64 "  %-12s %s%s%s", state->id, debug_kind_name(point->kind),
            state->enabled ? "enabled" : "disabled", state->hits, place, point->text ? point->text : "",
            point->temporary ? " (once)" : "", point->owner == debug_points_owner() ? "" : " (gdb's)");
    if (is_watchpoint(point->kind) && point->length > 1) {
        fprintf(out, " (%" PRIu64 " bytes)", point->length);
    }
    if (point->ignore) {
        fprintf(out, " (%" PRIu64 " more ignored)", point->ignore);
    }
    fprintf(out, "%s%s\n", failure ? "\n     its condition: " : "", failure ? failure : "");
}

static bool list_points(struct command_call *call, bool watchpoints)
{
    unsigned count, shown = 0;
    struct debug_point_state *state = debug_points_take(call->vm, &count);

    call->data = json_array();
    for (unsigned i = 0; i < count; i++) {
        bool wanted = !watchpoints || is_watchpoint(state[i].point.kind);

        if (wanted && !debug_is_step(state[i].point.owner)) {
            state[shown++] = state[i];
        }
    }
    if (shown > 0) {
        fprintf(call->out, "%-4s %-11s %-8s %6s  %-12s %s\n", "NO", "KIND", "STATE", "HITS", "ADDRESS",
                "WHAT");
    } else {
        fprintf(call->out, "no breakpoints\n");
    }
    for (unsigned i = 0; i < shown; i++) {
        print_point(call->out, &state[i]);
        json_array_append_new(call->data, point_json(&state[i]));
    }
    free(state);
    return true;
}

static bool run_info_break(struct command_call *call)
{
    return list_points(call, false);
}

/* ---- changing ---- */

/* Word i as a point's number. */
static bool point_number(struct command_call *call, unsigned i, unsigned *id)
{
    uint64_t value;

    if (!is_number(call->word[i], &value) || value == 0 || value > UINT32_MAX) {
        return command_fail(call, "'%s' is not a breakpoint's number (info break shows them)", call->word[i]);
    }
    *id = (unsigned)value;
    return true;
}

static bool run_delete(struct command_call *call)
{
    for (unsigned i = 0; i < call->count; i++) {
        unsigned id = 0;

        if (!point_number(call, i, &id) || !remove_point(call, id)) {
            return false;
        }
    }
    if (call->count == 0) {
        debugger_remove_all(call->vm, debug_points_owner());
    }
    return true;
}

static bool set_enabled(struct command_call *call, bool enabled)
{
    unsigned count;
    struct debug_point_state *state;

    for (unsigned i = 0; i < call->count; i++) {
        struct error error;
        unsigned id = 0;

        if (!point_number(call, i, &id)) {
            return false;
        }
        if (debugger_set_enabled(call->vm, id, enabled, &error) < 0) {
            return command_fail(call, "%s", error.text);
        }
    }
    if (call->count > 0) {
        return true;
    }
    state = debug_points_take(call->vm, &count);
    for (unsigned i = 0; i < count; i++) {
        if (state[i].point.owner == debug_points_owner()) {
            debugger_set_enabled(call->vm, state[i].id, enabled, NULL);
        }
    }
    free(state);
    return true;
}

static bool run_enable(struct command_call *call)
{
    return set_enabled(call, true);
}

static bool run_disable(struct command_call *call)
{
    return set_enabled(call, false);
}

static bool run_ignore(struct command_call *call)
{
    struct error error;
    uint64_t count = 0;
    unsigned id = 0;

    if (!point_number(call, 0, &id) || !command_value(call, 1, &count)) {
        return false;
    }
    if (debugger_set_ignore(call->vm, id, count, &error) < 0) {
        return command_fail(call, "%s", error.text);
    }
    return true;
}

/* ---- the table ---- */

enum { MANY = COMMAND_WORDS_MAX };

static const struct command commands[] = {
    {"b", "break lb", "ADDR [if EXPR]", "stop before the instruction at a linear address",
     "The address may be a symbol, or any expression. Nothing needs to be loaded there yet. The condition is "
     "evaluated each time "
     "the guest comes by; Bochs' form, if \"EXPR\", is understood as well.",
     false, 1, MANY, run_b},
    {"vb", NULL, "SEG:OFF [if EXPR]", "the same, by segment and offset as they are now", NULL, false, 1, MANY,
     run_vb},
    {"pb", NULL, "ADDR [if EXPR]", "the same, by physical address: wherever it is mapped", NULL, false, 1,
     MANY, run_pb},
    {"tbreak", NULL, "ADDR [if EXPR]", "the same as b, once", NULL, false, 1, MANY, run_tbreak},
    {"watch", NULL, "[r|w|rw] [phys] ADDR [LEN] [if EXPR]", "stop behind an instruction that touches memory",
     "LEN is 4 bytes unless it is given. w, writes, is what is meant if nothing is said. Without arguments: "
     "the watchpoints there "
     "are.",
     false, 0, MANY, run_watch},
    {"watch io", NULL, "PORT [r|w|rw] [LEN] [if EXPR]", "stop behind an instruction that uses a port", NULL,
     false, 1, MANY, run_watch_io},
    {"break exception", NULL, "[VECTOR|NAME] [if EXPR]", "stop before an exception is delivered: gp, #PF, 14",
     NULL, false, 0, MANY, run_break_exception},
    {"break interrupt", NULL, "[VECTOR] [if EXPR]",
     "stop where the handler of an external interrupt or NMI begins", NULL, false, 0, MANY,
     run_break_interrupt},
    {"break shutdown", NULL, "", "stop at a triple fault, rather than end", NULL, false, 0, 0,
     run_break_shutdown},
    {"break triple-fault", NULL, "", "the same", NULL, false, 0, 0, run_break_shutdown},
    {"modebp", NULL, "", "stop when the processor changes its mode; again: no more",
     "Modes are what CR0.PE, CR0.PG, CR4.PAE, EFLAGS.VM and the size of CS choose.", false, 0, 0, run_modebp},
    {"magic", NULL, "on|off", "stop at XCHG BX, BX, Bochs' magic breakpoint", NULL, false, 1, 1, run_magic},
    {"sb", NULL, "N", "stop when N more instructions have retired", NULL, false, 1, 1, run_sb},
    {"sba", NULL, "N", "stop when N instructions have retired since the VM was made", NULL, false, 1, 1,
     run_sba},
    {"info break", "blist", "", "breakpoints and watchpoints, and how often they were hit", NULL, false, 0, 0,
     run_info_break},
    {"info b", NULL, "", "the same", NULL, false, 0, 0, run_info_break},
    {"delete", "d del", "[N...]", "remove breakpoints; without a number all of the monitor's", NULL, false, 0,
     MANY, run_delete},
    {"enable", "bpe", "[N...]", "let breakpoints count again", NULL, false, 0, MANY, run_enable},
    {"disable", "bpd", "[N...]", "let breakpoints be, but keep them", NULL, false, 0, MANY, run_disable},
    {"ignore", NULL, "N COUNT", "pass a breakpoint's next COUNT hits", NULL, false, 2, 2, run_ignore},
};

const struct command_group point_group = {"Breakpoints", commands, ARRAY_LEN(commands)};
