/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The debugger of a VM: the list of points, whether one that is met stops the guest, stepping. See vm/debugger.h;
 * docs/debugger.md explains how it works.
 *
 *   a point is added -> points_apply(): the engines look for it -> they ask, in the middle of a run -> `meeting`
 *      meeting: condition, count, ignore -> `found` -> the engine leaves -> debugger_slice_ended() -> the VM is paused
 *
 * What is met in the middle of an instruction (memory, ports) is noted, and judged at the instruction's end: conditions see
 * the guest between two instructions.
 *
 * Points are the debugger's, not the guest's: a reset, a snapshot loaded or memory mapped otherwise leave them alone.
 */
#include "vm/debugger.h"

#include <errno.h>
#include <stdlib.h>

#include "binxlate/binxlate.h"
#include "cpu/points.h"
#include "vm/debugger_internal.h"
#include "vm/vm.h"

enum {
    POINTS_MAX = 256,
    PAGES_MAX = 1024, /* watched */
    NOTES_MAX = 16,
    KICKS_MAX = 8, /* that may keep a step from being made */
};

/* A point, and what became of it. */
struct point {
    struct debug_point_state state;
    char *text; /* owned: state.point.text */
    bool spent; /* temporary, and has stopped the guest */
};

/* Memory, a port, an interrupt or the magic instruction was met by the instruction under way. */
struct note {
    unsigned id; /* the point's */
    struct debug_stop stop;
    uint64_t first; /* linear address of the bytes whose value is shown, */
    gpa_t gpa[2];   /* where they lie, in their page and the next */
    unsigned shown;
};

struct debugger {
    struct vm *vm;
    struct points points;     /* what the engines see */
    struct point *point;      /* in the order of their numbers; owned */
    unsigned count, capacity; /* of them */
    unsigned next_id;
    struct code_point code[POINTS_MAX];
    struct data_watch_page page[PAGES_MAX];
    struct debug_listener *listeners;
    struct debug_stop stop;      /* the last one */
    struct debug_stop found;     /* the one that the engine leaves for; reason DEBUG_STOP_NONE: none yet */
    struct note note[NOTES_MAX]; /* of the instruction under way */
    unsigned notes;
    unsigned mode;      /* MODE_* as of the last look */
    bool step_began;    /* the boundary before the step was passed */
    bool has_shut_down; /* a triple fault was shown: at this instruction and count it ends the VM */
    uint64_t shut_down_rip, shut_down_at;
};

/* ---- The list ------------------------------------------------------------------------------------------- */

static bool is_memory(enum debug_kind kind)
{
    return kind == DEBUG_READ || kind == DEBUG_WRITE || kind == DEBUG_ACCESS;
}

static bool is_port(enum debug_kind kind)
{
    return kind == DEBUG_PORT_READ || kind == DEBUG_PORT_WRITE || kind == DEBUG_PORT_ACCESS;
}

static struct point *find_point(const struct debugger *debugger, unsigned id)
{
    for (unsigned i = 0; i < debugger->count; i++) {
        if (debugger->point[i].state.id == id) {
            return &debugger->point[i];
        }
    }
    return NULL;
}

static uint64_t pages_of(const struct debug_point *point)
{
    uint64_t last = point->address + point->length - 1;

    return (last >> PAGE_SHIFT) - (point->address >> PAGE_SHIFT) + 1;
}

/* Memory watched by all points that are enabled. */
static uint64_t pages_in_use(const struct debugger *debugger)
{
    uint64_t pages = 0;

    for (unsigned i = 0; i < debugger->count; i++) {
        const struct debug_point_state *state = &debugger->point[i].state;
        pages += is_memory(state->point.kind) ? pages_of(&state->point) : 0;
    }
    return pages;
}

static void add_pages(struct debugger *debugger, const struct debug_point *point)
{
    uint8_t kinds = point->kind == DEBUG_READ    ? DATA_WATCH_READ
                    : point->kind == DEBUG_WRITE ? DATA_WATCH_WRITE
                                                 : DATA_WATCH_READ | DATA_WATCH_WRITE;
    uint64_t pages = pages_of(point);

    for (uint64_t i = 0; i < pages && debugger->points.data.count < PAGES_MAX; i++) {
        debugger->page[debugger->points.data.count++] = (struct data_watch_page){
            .page = (point->address >> PAGE_SHIFT) + i,
            .physical = point->physical,
            .kinds = kinds,
        };
    }
}

static void add_to_engines(struct debugger *debugger, const struct debug_point *point)
{
    struct points *points = &debugger->points;

    switch (point->kind) {
    case DEBUG_EXECUTE:
        debugger->code[points->code_count++] =
            (struct code_point){.address = point->address, .physical = point->physical};
        break;
    case DEBUG_READ:
    case DEBUG_WRITE:
    case DEBUG_ACCESS:
        add_pages(debugger, point);
        break;
    case DEBUG_PORT_READ:
    case DEBUG_PORT_WRITE:
    case DEBUG_PORT_ACCESS:
        points->ports = true;
        break;
    case DEBUG_EXCEPTION:
        points->exceptions = true;
        break;
    case DEBUG_INTERRUPT:
        points->interrupts = true;
        break;
    case DEBUG_MODE:
        points->modes = true;
        break;
    case DEBUG_MAGIC:
        points->magics = true;
        break;
    case DEBUG_SHUTDOWN: /* slices end there in any case */
    case DEBUG_TIME:
    case DEBUG_KINDS:
        break;
    }
}

/* CR0.PE, CR0.PG, RFLAGS.VM, CR4.PAE and CS.D */
static unsigned mode_of(const struct vcpu *cpu)
{
    return (cpu->cr0 & CR0_PE ? 1u : 0) | (cpu->cr0 & CR0_PG ? 2u : 0) | (cpu->rflags & RFLAGS_VM ? 4u : 0) |
           (cpu->cr4 & CR4_PAE ? 8u : 0) | (cpu->seg[SEG_CS].attr & SEG_DB ? 16u : 0);
}

static void on_dma(void *opaque, gpa_t gpa, uint64_t length, bool write);

/* The list has changed: tell the engines. */
static void apply(struct debugger *debugger)
{
    struct points *points = &debugger->points;
    struct addr_space *mem = debugger->vm->cpu->wiring.mem;
    bool magics = points->magics;

    points->code_count = points->data.count = 0;
    points->ports = points->exceptions = points->interrupts = points->modes = points->magics = false;
    for (unsigned i = 0; i < debugger->count; i++) {
        if (debugger->point[i].state.enabled) {
            add_to_engines(debugger, &debugger->point[i].state.point);
        }
    }
    debugger->mode = mode_of(debugger->vm->cpu);
    mem->dma = points->data.count ? on_dma : NULL;
    mem->dma_opaque = debugger;
    points_apply(debugger->vm->cpu, points);
    if (debugger->vm->binxlate) {
        binxlate_points_changed(debugger->vm->binxlate, points->magics != magics);
    }
}

static void free_point(struct point *point)
{
    if (point->state.point.release) {
        point->state.point.release(point->state.point.opaque);
    }
    free(point->text);
}

static void remove_at(struct debugger *debugger, unsigned index)
{
    struct point point = debugger->point[index];

    memmove(&debugger->point[index], &debugger->point[index + 1],
            (debugger->count - index - 1) * sizeof(point));
    debugger->count--;
    free_point(&point);
}

static int check_point(const struct debugger *debugger, const struct debug_point *point, struct error *error)
{
    bool ranged = is_memory(point->kind) || is_port(point->kind);

    if ((unsigned)point->kind >= DEBUG_KINDS) {
        return error_set(error, -EINVAL, "no such kind of point");
    }
    if (ranged && (point->length == 0 || point->address > UINT64_MAX - point->length)) {
        return error_set(error, -EINVAL, "a watched range has 1 byte at least and ends before 2^64");
    }
    if (is_port(point->kind) && point->address + point->length > 0x10000) {
        return error_set(error, -EINVAL, "ports go from 0 to 0xffff");
    }
    if ((point->kind == DEBUG_EXCEPTION || point->kind == DEBUG_INTERRUPT) && point->address != DEBUG_ANY &&
        point->address > 0xff) {
        return error_set(error, -EINVAL, "vectors go from 0 to 255");
    }
    if (debugger->count == POINTS_MAX) {
        return error_set(error, -ENOSPC, "there are %d points already; remove some", POINTS_MAX);
    }
    if (is_memory(point->kind) &&
        (pages_of(point) > PAGES_MAX || pages_in_use(debugger) + pages_of(point) > PAGES_MAX)) {
        return error_set(error, -ENOSPC, "%d pages of 4 KiB can be watched, no more", PAGES_MAX);
    }
    return 0;
}

static int make_room(struct debugger *debugger, struct error *error)
{
    unsigned capacity = debugger->capacity ? 2 * debugger->capacity : 8;

    if (debugger->count < debugger->capacity) {
        return 0;
    }
    struct point *points = realloc(debugger->point, capacity * sizeof(*points));
    if (!points) {
        return error_set(error, -ENOMEM, "out of memory");
    }
    debugger->point = points;
    debugger->capacity = capacity;
    return 0;
}

int debugger_add(struct vm *vm, const struct debug_point *point, unsigned *id, struct error *error)
{
    struct debugger *debugger = vm->debugger;
    char *text = strdup(point->text ? point->text : "");
    int result = text ? check_point(debugger, point, error) : error_set(error, -ENOMEM, "out of memory");

    if (result == 0) {
        result = make_room(debugger, error);
    }
    if (result < 0) {
        free(text);
        return result;
    }
    struct point *new = &debugger->point[debugger->count++];
    *new = (struct point){
        .state = {.point = *point, .id = ++debugger->next_id, .enabled = true},
        .text = text,
    };
    new->state.point.text = text;
    *id = new->state.id;
    apply(debugger);
    return 0;
}

static int no_such_point(unsigned id, struct error *error)
{
    return error_set(error, -EINVAL, "there is no point %u", id);
}

int debugger_remove(struct vm *vm, unsigned id, struct error *error)
{
    struct debugger *debugger = vm->debugger;
    struct point *point = find_point(debugger, id);

    if (!point) {
        return no_such_point(id, error);
    }
    remove_at(debugger, (unsigned)(point - debugger->point));
    apply(debugger);
    return 0;
}

void debugger_remove_all(struct vm *vm, const void *owner)
{
    struct debugger *debugger = vm->debugger;
    unsigned before = debugger ? debugger->count : 0;

    for (unsigned i = before; i-- > 0;) {
        if (debugger->point[i].state.point.owner == owner) {
            remove_at(debugger, i);
        }
    }
    if (debugger && debugger->count != before) {
        apply(debugger);
    }
}

int debugger_set_enabled(struct vm *vm, unsigned id, bool enabled, struct error *error)
{
    struct point *point = find_point(vm->debugger, id);

    if (!point) {
        return no_such_point(id, error);
    }
    if (point->state.enabled != enabled) {
        point->state.enabled = enabled;
        apply(vm->debugger);
    }
    return 0;
}

int debugger_set_ignore(struct vm *vm, unsigned id, uint64_t count, struct error *error)
{
    struct point *point = find_point(vm->debugger, id);

    if (!point) {
        return no_such_point(id, error);
    }
    point->state.point.ignore = count;
    return 0;
}

unsigned debugger_points(struct vm *vm, struct debug_point_state *state, unsigned max)
{
    const struct debugger *debugger = vm->debugger;

    for (unsigned i = 0; i < MIN(debugger->count, max); i++) {
        state[i] = debugger->point[i].state;
    }
    return debugger->count;
}

/* ---- Meeting a point ------------------------------------------------------------------------------------ */

/* The point's event has happened: its condition, its counts. True: the guest is to stop. */
static bool counts(struct debugger *debugger, struct point *point)
{
    struct debug_point *what = &point->state.point;

    if (point->spent || (what->condition && !what->condition(what->opaque, debugger->vm))) {
        return false;
    }
    point->state.hits++;
    if (what->ignore > 0) {
        what->ignore--;
        return false;
    }
    point->spent = what->temporary;
    return true;
}

/* Why the guest is to stop, if `point` is the first reason. */
static bool meet(struct debugger *debugger, struct point *point, const struct debug_stop *stop)
{
    if (!counts(debugger, point)) {
        return false;
    }
    if (debugger->found.reason == DEBUG_STOP_NONE) {
        debugger->found = *stop;
        debugger->found.reason = DEBUG_STOP_POINT;
        debugger->found.point = point->state.id;
        debugger->found.kind = point->state.point.kind;
        debugger->found.owner = point->state.point.owner;
    }
    return true;
}

static struct debug_stop stop_here(const struct debugger *debugger)
{
    const struct vcpu *cpu = debugger->vm->cpu;

    return (struct debug_stop){
        .physical = UINT64_MAX,
        .cs_base = cpu->seg[SEG_CS].base,
        .rip = cpu->rip,
        .address = (uint32_t)(cpu->seg[SEG_CS].base + cpu->rip),
        .insn_count = cpu->insn_count,
    };
}

static bool on_reached(void *opaque, lin_t linear, gpa_t gpa)
{
    struct debugger *debugger = opaque;
    struct debug_stop stop = stop_here(debugger);
    bool met = false;

    stop.physical = gpa;
    for (unsigned i = 0; i < debugger->count; i++) {
        struct point *point = &debugger->point[i];
        const struct debug_point *what = &point->state.point;
        if (point->state.enabled && what->kind == DEBUG_EXECUTE &&
            what->address == (what->physical ? gpa : linear)) {
            met = meet(debugger, point, &stop) || met;
        }
    }
    return met;
}

static bool wants_vector(const struct point *point, enum debug_kind kind, uint8_t vector)
{
    const struct debug_point *what = &point->state.point;

    return point->state.enabled && what->kind == kind &&
           (what->address == DEBUG_ANY || what->address == vector);
}

static bool on_exception(void *opaque, const struct exception *exception)
{
    struct debugger *debugger = opaque;
    struct debug_stop stop = stop_here(debugger);
    bool met = false;

    stop.vector = exception->vector;
    stop.has_error = exception->has_error;
    stop.error_code = exception->error_code;
    if (exception->vector == EXC_PF) {
        stop.address = debugger->vm->cpu->cr2;
    }
    for (unsigned i = 0; i < debugger->count; i++) {
        struct point *point = &debugger->point[i];
        if (wants_vector(point, DEBUG_EXCEPTION, exception->vector)) {
            met = meet(debugger, point, &stop) || met;
        }
    }
    return met;
}

/* ---- What happens in the middle of an instruction ------------------------------------------------------- */

static void demand_boundary(struct debugger *debugger)
{
    __atomic_or_fetch(&debugger->vm->cpu->attention, ATTENTION_DEBUG, __ATOMIC_RELAXED);
}

/* A note on the point; the same as before if the instruction has met it already. NULL: it has met too much. */
static struct note *take_note(struct debugger *debugger, const struct point *point, bool *again)
{
    *again = false;
    for (unsigned i = 0; i < debugger->notes; i++) {
        if (debugger->note[i].id == point->state.id) {
            *again = true;
            return &debugger->note[i];
        }
    }
    if (debugger->notes == NOTES_MAX) {
        return NULL;
    }
    struct note *note = &debugger->note[debugger->notes++];
    *note = (struct note){.id = point->state.id, .stop = stop_here(debugger)};
    demand_boundary(debugger);
    return note;
}

/* Up to 8 bytes, of which each page's lie at gpa[]. What is not memory reads as zero. */
static uint64_t shown_value(const struct debugger *debugger, const struct note *note)
{
    struct addr_space *mem = debugger->vm->cpu->wiring.mem;
    unsigned in_page = (unsigned)MIN(note->shown, PAGE_SIZE - (note->first & PAGE_OFFSET_MASK));
    uint8_t bytes[8] = {0};

    if (note->gpa[0] != UINT64_MAX && !addr_space_peek(mem, note->gpa[0], bytes, in_page)) {
        memset(bytes, 0, in_page);
    }
    if (in_page < note->shown && note->gpa[1] != UINT64_MAX &&
        !addr_space_peek(mem, note->gpa[1], bytes + in_page, note->shown - in_page)) {
        memset(bytes + in_page, 0, note->shown - in_page);
    }
    return load_le64(bytes);
}

static gpa_t physical_of(const struct debugger *debugger, const struct debug_point *what, uint64_t address)
{
    struct pagewalk walk;

    if (what->physical) {
        return address;
    }
    return pagewalk(&debugger->vm->cpu->paging, (uint32_t)address, PAGEWALK_READ, &walk) ? walk.gpa
                                                                                         : UINT64_MAX;
}

/* What a note on watched memory shows. */
static void note_value(struct debugger *debugger, const struct debug_point *what, struct note *note)
{
    note->first = what->address;
    note->shown = (unsigned)MIN(what->length, (uint64_t)8);
    note->gpa[0] = physical_of(debugger, what, note->first);
    note->gpa[1] = physical_of(debugger, what, ALIGN_DOWN(note->first, PAGE_SIZE) + PAGE_SIZE);
    note->stop.before = shown_value(debugger, note);
}

static void note_access(struct debugger *debugger, const struct point *point,
                        const struct point_access *access)
{
    const struct debug_point *what = &point->state.point;
    bool again;
    struct note *note = take_note(debugger, point, &again);

    if (!note) {
        return;
    }
    note->stop.write = note->stop.write || access->write;
    if (again) {
        return;
    }
    note->stop.address = access->linear;
    note->stop.physical = access->gpa[0];
    note->stop.size = access->size[0] + access->size[1];
    note_value(debugger, what, note);
}

static bool kind_wants(enum debug_kind kind, enum debug_kind read, enum debug_kind write, bool is_write)
{
    return kind == (is_write ? write : read) || kind == (enum debug_kind)(write + 1);
}

_Static_assert(DEBUG_ACCESS == DEBUG_WRITE + 1 && DEBUG_PORT_ACCESS == DEBUG_PORT_WRITE + 1, "kind_wants()");

static bool overlap(uint64_t a, uint64_t a_size, uint64_t b, uint64_t b_size)
{
    return a_size && b_size && a <= b + (b_size - 1) && b <= a + (a_size - 1);
}

static void on_accessed(void *opaque, const struct point_access *access)
{
    struct debugger *debugger = opaque;
    const uint64_t linear[2] = {access->linear, (uint32_t)(access->linear + access->size[0])};

    for (unsigned i = 0; i < debugger->count; i++) {
        const struct point *point = &debugger->point[i];
        const struct debug_point *what = &point->state.point;
        if (!point->state.enabled || !kind_wants(what->kind, DEBUG_READ, DEBUG_WRITE, access->write)) {
            continue;
        }
        for (unsigned part = 0; part < 2; part++) {
            if (overlap(what->physical ? access->gpa[part] : linear[part], access->size[part], what->address,
                        what->length)) {
                note_access(debugger, point, access);
                break;
            }
        }
    }
}

/* The first watched byte that a device touches: its address as the point has it. False: none. */
static bool find_dma_byte(struct debugger *debugger, const struct debug_point *what, gpa_t gpa,
                          uint64_t length, uint64_t *address)
{
    for (uint64_t at = what->address, end = at + what->length; at < end;) {
        uint64_t chunk = MIN(end - at, PAGE_SIZE - (at & PAGE_OFFSET_MASK));
        gpa_t here = physical_of(debugger, what, at);
        if (here != UINT64_MAX && overlap(here, chunk, gpa, length)) {
            *address = at + (gpa > here ? gpa - here : 0);
            return true;
        }
        at += chunk;
    }
    return false;
}

static void on_dma(void *opaque, gpa_t gpa, uint64_t length, bool write)
{
    struct debugger *debugger = opaque;

    for (unsigned i = 0; i < debugger->count; i++) {
        const struct point *point = &debugger->point[i];
        const struct debug_point *what = &point->state.point;
        uint64_t address;
        bool again;
        if (!point->state.enabled || !kind_wants(what->kind, DEBUG_READ, DEBUG_WRITE, write) ||
            !find_dma_byte(debugger, what, gpa, length, &address)) {
            continue;
        }
        struct note *note = take_note(debugger, point, &again);
        if (note && !again) {
            note->stop.dma = true;
            note->stop.write = write;
            note->stop.address = address;
            note->stop.physical = physical_of(debugger, what, address);
            note->stop.size = (unsigned)MIN(length, (uint64_t)UINT32_MAX);
            note_value(debugger, what, note);
        }
    }
}

static void on_port(void *opaque, uint16_t port, unsigned size, uint32_t value, bool write)
{
    struct debugger *debugger = opaque;

    for (unsigned i = 0; i < debugger->count; i++) {
        const struct point *point = &debugger->point[i];
        const struct debug_point *what = &point->state.point;
        bool again;
        if (!point->state.enabled || !kind_wants(what->kind, DEBUG_PORT_READ, DEBUG_PORT_WRITE, write) ||
            !overlap(port, size, what->address, what->length)) {
            continue;
        }
        struct note *note = take_note(debugger, point, &again);
        if (note) {
            note->stop.address = port;
            note->stop.size = size;
            note->stop.write = write;
            note->stop.before = note->stop.value = value;
        }
    }
}

static void note_kind(struct debugger *debugger, enum debug_kind kind, uint8_t vector)
{
    for (unsigned i = 0; i < debugger->count; i++) {
        const struct point *point = &debugger->point[i];
        bool again;
        bool wanted = kind == DEBUG_INTERRUPT ? wants_vector(point, kind, vector)
                                              : point->state.enabled && point->state.point.kind == kind;
        struct note *note = wanted ? take_note(debugger, point, &again) : NULL;
        if (note) {
            note->stop.vector = vector;
        }
    }
}

static void on_interrupted(void *opaque, uint8_t vector)
{
    note_kind(opaque, DEBUG_INTERRUPT, vector);
}

static void on_magic(void *opaque)
{
    note_kind(opaque, DEBUG_MAGIC, 0);
}

/* ---- Between instructions ------------------------------------------------------------------------------- */

static void meet_mode(struct debugger *debugger)
{
    unsigned mode = mode_of(debugger->vm->cpu);
    struct debug_stop stop = stop_here(debugger);

    if (mode == debugger->mode) {
        return;
    }
    debugger->mode = mode;
    for (unsigned i = 0; i < debugger->count; i++) {
        struct point *point = &debugger->point[i];
        if (point->state.enabled && point->state.point.kind == DEBUG_MODE) {
            meet(debugger, point, &stop);
        }
    }
}

/* Judge what the instruction that has just ended met. */
static void meet_notes(struct debugger *debugger)
{
    for (unsigned i = 0; i < debugger->notes; i++) {
        struct note *note = &debugger->note[i];
        struct point *point = find_point(debugger, note->id);
        if (!point) {
            continue;
        }
        if (is_memory(point->state.point.kind)) {
            note->stop.value = shown_value(debugger, note);
        }
        note->stop.insn_count = debugger->vm->cpu->insn_count;
        meet(debugger, point, &note->stop);
    }
    debugger->notes = 0;
}

static bool on_boundary(void *opaque)
{
    struct debugger *debugger = opaque;

    meet_notes(debugger);
    if (debugger->points.modes) {
        meet_mode(debugger);
    }
    if (debugger->found.reason != DEBUG_STOP_NONE) {
        return true;
    }
    if (!debugger->points.stepping) {
        return false;
    }
    bool stepped = debugger->step_began;
    debugger->step_began = true;
    return stepped;
}

static const struct point_ops ops = {
    .reached = on_reached,
    .exception = on_exception,
    .accessed = on_accessed,
    .port = on_port,
    .interrupted = on_interrupted,
    .magic = on_magic,
    .boundary = on_boundary,
};

/* ---- Slices --------------------------------------------------------------------------------------------- */

uint64_t debugger_limit_slice(const struct vm *vm, uint64_t insns)
{
    const struct debugger *debugger = vm->debugger;
    uint64_t now = vm->cpu->insn_count;

    for (unsigned i = 0; debugger && i < debugger->count; i++) {
        const struct debug_point_state *state = &debugger->point[i].state;
        if (state->enabled && state->point.kind == DEBUG_TIME && state->point.address > now) {
            insns = MIN(insns, state->point.address - now);
        }
    }
    return insns;
}

static void meet_time(struct debugger *debugger, uint64_t before)
{
    struct debug_stop stop = stop_here(debugger);

    for (unsigned i = 0; i < debugger->count; i++) {
        struct point *point = &debugger->point[i];
        const struct debug_point *what = &point->state.point;
        if (point->state.enabled && what->kind == DEBUG_TIME && before < what->address &&
            what->address <= stop.insn_count) {
            meet(debugger, point, &stop);
        }
    }
}

static void meet_shutdown(struct debugger *debugger)
{
    const struct vcpu *cpu = debugger->vm->cpu;
    struct debug_stop stop = stop_here(debugger);

    if (debugger->has_shut_down && debugger->shut_down_rip == cpu->rip &&
        debugger->shut_down_at == cpu->insn_count) {
        return;
    }
    stop.vector = cpu->shutdown.vector[0];
    stop.error_code = cpu->shutdown.error_code[0];
    for (unsigned i = 0; i < debugger->count; i++) {
        struct point *point = &debugger->point[i];
        if (point->state.enabled && point->state.point.kind == DEBUG_SHUTDOWN &&
            meet(debugger, point, &stop)) {
            debugger->has_shut_down = true;
            debugger->shut_down_rip = cpu->rip;
            debugger->shut_down_at = cpu->insn_count;
        }
    }
}

/* Points that were to stop the guest once, and have. */
static void remove_spent(struct debugger *debugger)
{
    unsigned before = debugger->count;

    for (unsigned i = before; i-- > 0;) {
        if (debugger->point[i].spent) {
            remove_at(debugger, i);
        }
    }
    if (debugger->count != before) {
        apply(debugger);
    }
}

/* What was found is the last stop from now on. */
static void take_found(struct debugger *debugger)
{
    const struct point *point = find_point(debugger, debugger->found.point);

    debugger_describe(debugger->vm, &debugger->found, point ? point->text : NULL);
    debugger->stop = debugger->found;
    debugger->found = (struct debug_stop){0};
    remove_spent(debugger);
}

bool debugger_slice_ended(struct vm *vm, enum vcpu_exit exit, uint64_t before)
{
    struct debugger *debugger = vm->debugger;

    if (!debugger || debugger->count == 0) {
        return false;
    }
    meet_notes(debugger);
    if (debugger->points.modes) {
        meet_mode(debugger);
    }
    if (exit == VCPU_EXIT_SHUTDOWN) {
        meet_shutdown(debugger);
    }
    meet_time(debugger, before);
    if (debugger->found.reason == DEBUG_STOP_NONE) {
        return false;
    }
    take_found(debugger);
    return true;
}

bool debugger_shut_down(struct vm *vm)
{
    meet_shutdown(vm->debugger);
    return vm->debugger->found.reason != DEBUG_STOP_NONE;
}

/* ---- States --------------------------------------------------------------------------------------------- */

static void note_stop(struct debugger *debugger, enum debug_reason reason)
{
    debugger->stop = stop_here(debugger);
    debugger->stop.reason = reason;
    debugger_describe(debugger->vm, &debugger->stop, NULL);
}

/* An exception was held for somebody to see. If the program is to go on elsewhere, it never happened. */
static void go_on(struct debugger *debugger)
{
    struct vcpu *cpu = debugger->vm->cpu;

    if (cpu->exception.shown &&
        (debugger->stop.rip != cpu->rip || debugger->stop.insn_count != cpu->insn_count)) {
        cpu->exception = (struct exception){0};
    }
    debugger->notes = 0;
    debugger->found = (struct debug_stop){0};
    debugger->mode = mode_of(cpu);
    points_pass(cpu);
}

bool debugger_in_use(const struct vm *vm)
{
    return vm->debugger && vm->debugger->count > 0;
}

void debugger_pause(struct vm *vm, const char *text)
{
    note_stop(vm->debugger, DEBUG_STOP_REQUEST);
    snprintf(vm->debugger->stop.text, sizeof(vm->debugger->stop.text), "%s", text);
    vm_pause(vm);
}

void debugger_guest_replaced(struct vm *vm)
{
    struct debugger *debugger = vm->debugger;

    debugger->notes = 0;
    debugger->found = (struct debug_stop){0};
    debugger->has_shut_down = false;
    debugger->mode = mode_of(vm->cpu);
    if (vm->state == VM_PAUSED) {
        note_stop(debugger, DEBUG_STOP_REQUEST);
    }
}

void debugger_state_changed(struct vm *vm)
{
    struct debugger *debugger = vm->debugger;

    if (!debugger) {
        return;
    }
    if (vm->state == VM_RUNNING) {
        go_on(debugger);
        debugger->stop = (struct debug_stop){0};
    } else if (vm->state == VM_STOPPED) {
        note_stop(debugger, DEBUG_STOP_ENDED);
    } else if (debugger->stop.reason == DEBUG_STOP_NONE) {
        note_stop(debugger, DEBUG_STOP_REQUEST);
    }
    for (struct debug_listener *listener = debugger->listeners, *next; listener; listener = next) {
        next = listener->next;
        listener->changed(listener->opaque, vm);
    }
}

const struct debug_stop *debugger_stop(const struct vm *vm)
{
    static const struct debug_stop none;

    return vm->debugger ? &vm->debugger->stop : &none;
}

void debugger_listen(struct vm *vm, struct debug_listener *listener)
{
    listener->next = vm->debugger->listeners;
    vm->debugger->listeners = listener;
}

void debugger_unlisten(struct vm *vm, struct debug_listener *listener)
{
    struct debug_listener **link = &vm->debugger->listeners;

    while (*link && *link != listener) {
        link = &(*link)->next;
    }
    if (*link) {
        *link = listener->next;
    }
}

/* ---- Steps ---------------------------------------------------------------------------------------------- */

/* A step may end at a point's instruction: it was met, then, as if the guest had run there. */
static void meet_code(struct debugger *debugger)
{
    const struct vcpu *cpu = debugger->vm->cpu;
    lin_t linear = (uint32_t)(cpu->seg[SEG_CS].base + cpu->rip);
    gpa_t gpa;

    if (debugger->points.code_count && !cpu->exception.pending && points_at(cpu, linear, &gpa)) {
        on_reached(debugger, linear, gpa);
    }
}

static void set_stepping(struct debugger *debugger, bool on, unsigned flags)
{
    struct vcpu *cpu = debugger->vm->cpu;

    debugger->points.stepping = on;
    debugger->points.hold_interrupts = on && !(flags & DEBUG_STEP_INTERRUPTS);
    points_use(cpu, &debugger->points);
}

/* Again if a kick came first. */
static enum vcpu_exit execute_one(struct debugger *debugger, unsigned flags)
{
    enum vcpu_exit exit = VCPU_EXIT_BUDGET;

    debugger->step_began = false;
    for (unsigned i = 0; i < KICKS_MAX && exit == VCPU_EXIT_BUDGET && !debugger->step_began; i++) {
        exit = vm_execute_one(debugger->vm, flags & DEBUG_STEP_INTERRUPTS);
    }
    return exit;
}

/* True: go on stepping. */
static bool step_once(struct debugger *debugger, unsigned flags)
{
    struct vm *vm = debugger->vm;
    uint64_t before = vm->cpu->insn_count;
    bool halted = vm->cpu->halted;

    points_pass(vm->cpu);
    demand_boundary(debugger);
    execute_one(debugger, flags);
    if (vm->state != VM_PAUSED) {
        return false;
    }
    on_boundary(debugger);
    meet_time(debugger, before);
    if (debugger->found.reason == DEBUG_STOP_NONE && vm->cpu->insn_count != before) {
        meet_code(debugger);
    }
    return debugger->found.reason == DEBUG_STOP_NONE && !(halted && vm->cpu->halted);
}

int debugger_step(struct vm *vm, uint64_t n, unsigned flags, struct debug_stop *stop, struct error *error)
{
    struct debugger *debugger = vm->debugger;

    if (vm->state != VM_PAUSED) {
        return error_set(error, -EBUSY, "VM '%s' is %s: only a paused guest can be stepped", vm->config.name,
                         vm_state_name(vm->state));
    }
    go_on(debugger);
    set_stepping(debugger, true, flags);
    debugger->stop = (struct debug_stop){0};
    for (uint64_t i = 0; i < n && step_once(debugger, flags); i++) {
    }
    set_stepping(debugger, false, flags);
    if (vm->state == VM_PAUSED && debugger->found.reason != DEBUG_STOP_NONE) {
        take_found(debugger);
    } else if (vm->state == VM_PAUSED) {
        note_stop(debugger, DEBUG_STOP_STEP);
    }
    *stop = debugger->stop;
    return 0;
}

/* ---- Memory --------------------------------------------------------------------------------------------- */

/* Rights do not count: whoever debugs may look at everything that is mapped. */
static bool find_physical(const struct vm *vm, bool physical, uint64_t address, gpa_t *gpa)
{
    struct pagewalk walk;

    if (physical) {
        *gpa = address;
        return true;
    }
    TRY(pagewalk(&vm->cpu->paging, (uint32_t)address, PAGEWALK_READ, &walk));
    *gpa = walk.gpa;
    return true;
}

static bool transfer(struct vm *vm, gpa_t gpa, uint8_t *to, const uint8_t *from, size_t size)
{
    struct addr_space *mem = vm->cpu->wiring.mem;

    return to ? addr_space_peek(mem, gpa, to, size) : addr_space_poke(mem, gpa, from, size);
}

/* Page by page; byte by byte where a page is memory in part. */
static size_t copy(struct vm *vm, bool physical, uint64_t address, uint8_t *to, const uint8_t *from,
                   size_t size)
{
    size_t done = 0;

    while (done < size) {
        uint64_t at = address + done;
        size_t chunk = MIN(size - done, (size_t)(PAGE_SIZE - (at & PAGE_OFFSET_MASK)));
        gpa_t gpa;

        if (!find_physical(vm, physical, at, &gpa)) {
            return done;
        }
        if (!transfer(vm, gpa, to ? to + done : NULL, from ? from + done : NULL, chunk)) {
            for (size_t i = 0; i < chunk; i++) {
                if (!transfer(vm, gpa + i, to ? to + done + i : NULL, from ? from + done + i : NULL, 1)) {
                    return done + i;
                }
            }
        }
        done += chunk;
    }
    return done;
}

size_t debugger_read(struct vm *vm, bool physical, uint64_t address, void *bytes, size_t size)
{
    return copy(vm, physical, address, bytes, NULL, size);
}

size_t debugger_write(struct vm *vm, bool physical, uint64_t address, const void *bytes, size_t size)
{
    return copy(vm, physical, address, NULL, bytes, size);
}

/* ---- Life ----------------------------------------------------------------------------------------------- */

bool debugger_create(struct vm *vm)
{
    struct debugger *debugger = calloc(1, sizeof(*debugger));

    if (!debugger) {
        return false;
    }
    debugger->vm = vm;
    debugger->points.ops = &ops;
    debugger->points.opaque = debugger;
    debugger->points.code = debugger->code;
    debugger->points.data.page = debugger->page;
    vm->debugger = debugger;
    note_stop(debugger, DEBUG_STOP_REQUEST);
    return true;
}

void debugger_destroy(struct vm *vm)
{
    struct debugger *debugger = vm->debugger;

    if (!debugger) {
        return;
    }
    if (vm->cpu) {
        vm->cpu->wiring.mem->dma = NULL;
        points_apply(vm->cpu, NULL);
    }
    for (unsigned i = 0; i < debugger->count; i++) {
        free_point(&debugger->point[i]);
    }
    free(debugger->point);
    free(debugger);
    vm->debugger = NULL;
}
