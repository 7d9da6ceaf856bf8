/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The judge: every step is run twice and compared.
 *
 *   1. the interpreter runs the twin (check_twin.c) for so many instructions
 *      it met a device, an interrupt or the like: the twin is put back; the step is made to end before that instruction,
 *      or, where it would be empty, the machine alone executes that instruction and the twin is made equal again
 *   2. the translator runs the machine for as many
 *   3. instruction count, exit, registers, flags, FPU, and the frames that either side is known to have written, are
 *      compared; then the next step begins
 *   4. now and then all of memory is: a store of translated code to somewhere else altogether
 *
 * Devices, interrupts and clocks so advance once only, with the machine. In a step the time-stamp counter of both
 * sides stands still, or counts instructions where the machine's does.
 *
 * What may differ: how long a translation stays cached is the engine's own affair, and with it the A and D flags of a
 * page-table entry that the guest has changed and not flushed (SDM: Volume 3A, "Accessed and Dirty Flags", "Propagation
 * of Paging-Structure Changes"). A step in which such flags differ is taken back and run again with nothing cached,
 * and has to agree then. The translator may set an A flag for a page that it only looks for code in. And the reserved bytes
 * of the FXSAVE image are nobody's.
 *
 * Not judged: instructions that meet devices, and code under a debugger.
 */
#include "binxlate/check.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "binxlate/check_state.h"
#include "cpu/interp.h"

enum {
    IDLE_MAX = 64,        /* comings back of an engine without an instruction retired */
    SCAN_STEPS = 1 << 15, /* between comparisons of all memory */
    STEP_MIN = 16,        /* instructions of the shortest step that is asked for */
    STEP_SIZES = 10,      /* each twice as long as the one before */
};

/* ---- Running the sides ---------------------------------------------------------------------------------- */

void check_run_twin(struct check *check, uint64_t insns)
{
    struct vcpu *cpu = check->twin.cpu;
    uint64_t end = cpu->insn_count + insns;
    struct check_side *side = &check->interpreter;
    unsigned idle = 0;

    check->twin.trapped = false;
    do {
        uint64_t before = cpu->insn_count;
        side->why = interp_run(cpu, end - cpu->insn_count);
        idle = cpu->insn_count == before ? idle + 1 : 0;
    } while (side->why == VCPU_EXIT_BUDGET && cpu->insn_count < end && idle < IDLE_MAX &&
             !check->twin.trapped);
    side->stuck = idle >= IDLE_MAX;
}

/* Where the machine has devices that are reached without memory, translated code meets the twin's traps. */
static void set_traps(struct check *check)
{
    struct vcpu_wiring *wiring = &check->cpu->wiring;
    const struct vcpu_wiring *traps = &check->twin.cpu->wiring;

    wiring->io = traps->io;
    wiring->board = traps->board;
    wiring->interrupt_acknowledge = traps->interrupt_acknowledge;
    wiring->apic_base_changed = traps->apic_base_changed;
    wiring->ferr = traps->ferr;
    if (wiring->clock && wiring->clock->policy != CLOCK_ICOUNT) {
        wiring->clock = &check->frozen;
    }
}

void check_run_machine(struct check *check, uint64_t insns)
{
    struct vcpu *cpu = check->cpu;
    struct vcpu_wiring wiring = cpu->wiring;
    struct check_side *side = &check->translator;
    uint64_t end = cpu->insn_count + insns;
    unsigned idle = 0;

    check->twin.trapped = false;
    set_traps(check);
    do {
        uint64_t before = cpu->insn_count;
        side->why = binxlate_run(check->x, end - cpu->insn_count);
        idle = cpu->insn_count == before ? idle + 1 : 0;
        check->kicked = check->kicked || (side->why == VCPU_EXIT_BUDGET && cpu->insn_count < end);
    } while (side->why == VCPU_EXIT_BUDGET && cpu->insn_count < end && idle < IDLE_MAX);
    side->stuck = idle >= IDLE_MAX;
    if (check->harm) {
        check->harm(check->harm_opaque, cpu);
    }
    cpu->wiring = wiring;
    check->strayed = check->twin.trapped;
}

/* The twin's clock, and the one that the machine gets for the step. */
static void set_clocks(struct check *check)
{
    const struct clock *clock = check->cpu->wiring.clock;

    if (clock && clock->policy == CLOCK_ICOUNT) {
        check->twin.clock = *clock;
        check->twin.clock.insn_count = &check->twin.cpu->insn_count;
        check->twin.clock.queue = NULL;
    } else if (clock) {
        check->frozen = (struct clock){.policy = CLOCK_STEPPED, .base_ns = clock_now(clock)};
        check->twin.clock = check->frozen;
    }
}

/* ---- Comparing ------------------------------------------------------------------------------------------ */

static bool differ(struct check *check, const char *what, uint64_t interpreter, uint64_t translator)
{
    if (interpreter == translator) {
        return false;
    }
    snprintf(check->text, sizeof(check->text), "%s: interpreter %" PRIx64 ", translator %" PRIx64, what,
             interpreter, translator);
    return true;
}

static bool registers_differ(struct check *check)
{
    static const char *const names[] = {"EAX", "ECX", "EDX", "EBX", "ESP", "EBP", "ESI", "EDI"};
    const struct vcpu *a = check->twin.cpu, *b = check->cpu;

    for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
        if (differ(check, names[i], a->gpr[i], b->gpr[i])) {
            return true;
        }
    }
    return differ(check, "RFLAGS", a->rflags, b->rflags);
}

/* Behind each x87 register lie six reserved bytes: FXSAVE clears them, the interpreter leaves them alone. */
static void clear_reserved(struct fxsave *fpu)
{
    for (unsigned n = 0; n < ARRAY_LEN(fpu->st); n++) {
        memset(fpu->st[n] + 10, 0, sizeof(fpu->st[n]) - 10);
    }
}

/* x87 registers are numbered as they lie, in the order of the FXSAVE image: from the top of the stack. */
static bool vectors_differ(struct check *check)
{
    const struct fxsave *a = &check->twin.cpu->fpu, *b = &check->cpu->fpu;
    char name[16];

    for (unsigned i = 0; i < ARRAY_LEN(a->st); i++) {
        snprintf(name, sizeof(name), "ST%u", i);
        if (differ(check, name, load_le64(a->st[i]), load_le64(b->st[i]))) {
            return true;
        }
    }
    for (unsigned i = 0; i < 2 * ARRAY_LEN(a->xmm); i++) {
        snprintf(name, sizeof(name), "XMM%u %s", i / 2, i % 2 ? "high" : "low");
        if (differ(check, name, load_le64(a->xmm[i / 2] + 8 * (i % 2)),
                   load_le64(b->xmm[i / 2] + 8 * (i % 2)))) {
            return true;
        }
    }
    return false;
}

static bool state_differs(struct check *check)
{
    struct vcpu *a = check->twin.cpu, *b = check->cpu;
    struct error error;

    if (differ(check, "exit", check->interpreter.why, check->translator.why) ||
        differ(check, "instructions", a->insn_count, b->insn_count) || differ(check, "EIP", a->rip, b->rip) ||
        registers_differ(check)) {
        return true;
    }
    if (memcmp(a, b, offsetof(struct vcpu, cpl)) == 0) {
        return false;
    }
    clear_reserved(&a->fpu);
    clear_reserved(&b->fpu);
    if (vectors_differ(check)) {
        return true;
    }
    if (!snap_equal(&vcpu_snap, a, b, &error)) {
        snprintf(check->text, sizeof(check->text), "%.150s", error.text);
        return true;
    }
    return false;
}

/* Does the paging-structure entry point to this frame of memory? */
static bool points_to(const struct paging_ctx *paging, uint64_t entry, uint64_t frame)
{
    roff_t roff = addr_space_read_roff(paging->mem, ALIGN_DOWN(entry & BITS(35, 0), PAGE_SIZE));

    return roff != UINT64_MAX && roff >> PAGE_SHIFT == frame;
}

/* Is the frame the page directory at `directory`, or a table of it? */
static bool directory_has(const struct paging_ctx *paging, uint64_t directory, uint64_t frame)
{
    unsigned size = paging->mode == PAGING_PAE ? 8 : 4;
    roff_t roff = addr_space_read_roff(paging->mem, ALIGN_DOWN(directory & BITS(35, 0), PAGE_SIZE));

    if (roff == UINT64_MAX || roff >> PAGE_SHIFT == frame) {
        return roff != UINT64_MAX;
    }
    for (unsigned at = 0; at < PAGE_SIZE; at += size) {
        const uint8_t *bytes = ram_ptr(paging->mem->ram, roff + at);
        uint64_t entry = size == 8 ? load_le64(bytes) : load_le32(bytes);
        if ((entry & 1) && points_to(paging, entry, frame)) {
            return true;
        }
    }
    return false;
}

static bool is_table(const struct paging_ctx *paging, uint64_t frame)
{
    if (paging->mode == PAGING_32BIT) {
        return directory_has(paging, paging->cr3, frame);
    }
    for (unsigned i = 0; paging->mode == PAGING_PAE && i < ARRAY_LEN(paging->pdpte); i++) {
        if ((paging->pdpte[i] & 1) && directory_has(paging, paging->pdpte[i], frame)) {
            return true;
        }
    }
    return false;
}

/* What differs in a frame. */
enum frame_kind {
    FRAME_EQUAL,
    FRAME_ACCESSED, /* A flags that the translator has set and the interpreter has not */
    FRAME_CACHED,   /* other A and D flags: one side may have had the translation cached */
    FRAME_OTHER,
};

static enum frame_kind word_kind(uint32_t interpreter, uint32_t translator)
{
    uint32_t accessed = BIT(5), dirty = BIT(6), different = interpreter ^ translator;

    if (different == 0) {
        return FRAME_EQUAL;
    }
    if ((different & ~(accessed | dirty)) || !(interpreter & 1)) {
        return FRAME_OTHER;
    }
    return different == accessed && (translator & accessed) ? FRAME_ACCESSED : FRAME_CACHED;
}

static enum frame_kind compare_frame(struct check *check, uint64_t frame)
{
    const uint8_t *a = ram_ptr(&check->twin.ram, frame << PAGE_SHIFT);
    const uint8_t *b = ram_ptr(check->cpu->wiring.mem->ram, frame << PAGE_SHIFT);
    enum frame_kind kind = FRAME_EQUAL;

    if (memcmp(a, b, PAGE_SIZE) == 0) {
        return FRAME_EQUAL;
    }
    for (unsigned at = 0; at < PAGE_SIZE; at += 4) {
        kind = MAX(kind, word_kind(load_le32(a + at), load_le32(b + at)));
    }
    bool table = kind != FRAME_OTHER &&
                 (is_table(&check->cpu->paging, frame) || is_table(&check->before->paging, frame));
    return table ? kind : FRAME_OTHER;
}

/* May the frame be as it is? Then the twin takes the machine's, if they differ. */
static bool is_excused(void *opaque, uint64_t frame)
{
    struct check *check = opaque;
    enum frame_kind kind = compare_frame(check, frame);

    if (kind == FRAME_ACCESSED) {
        check->stats.accessed++;
        twin_take(&check->twin, frame);
    }
    return kind <= FRAME_ACCESSED;
}

/* "memory at 1234": as a guest-physical address, which is the offset for all of RAM below the hole. */
static void describe_memory(struct check *check, uint64_t frame)
{
    const struct twin *twin = &check->twin;
    unsigned first = 0, last = 0;

    twin_frame_differs(twin, frame, &first, &last);
    roff_t roff = (frame << PAGE_SHIFT) + first;
    snprintf(check->text, sizeof(check->text),
             "memory at %" PRIx64
             ": interpreter %02x, translator %02x (last difference in the page at %" PRIx64 ")",
             roff, *ram_ptr(&twin->ram, roff), *ram_ptr(check->cpu->wiring.mem->ram, roff),
             (frame << PAGE_SHIFT) + last);
}

/* Anything but A and D flags ends the search. */
static bool frames_differ(struct check *check, const struct frame_set *set)
{
    for (size_t i = 0; i < set->count; i++) {
        if (is_excused(check, set->frame[i])) {
            continue;
        }
        check->cached = compare_frame(check, set->frame[i]) == FRAME_CACHED;
        describe_memory(check, set->frame[i]);
        if (!check->cached) {
            return true;
        }
    }
    return false;
}

bool check_compare(struct check *check)
{
    check->cached = false;
    if (check->strayed) {
        snprintf(check->text, sizeof(check->text),
                 "translated code met a port, an interrupt or the APIC where the interpreter did not");
        return false;
    }
    return !state_differs(check) && !frames_differ(check, &check->twin.dirty) &&
           !frames_differ(check, &check->twin.behind) && !check->cached;
}

bool check_scan(struct check *check)
{
    check->stats.scans++;
    uint64_t frame = twin_scan(&check->twin, is_excused, check);
    if (frame == UINT64_MAX) {
        return true;
    }
    check->stats.differences++;
    describe_memory(check, frame);
    fprintf(check->report,
            "translator check: %s\n"
            "  found by comparing all memory, up to %u steps after it was written; by insn %" PRIu64 "\n",
            check->text, SCAN_STEPS, check->cpu->insn_count);
    return false;
}

/* ---- Steps ---------------------------------------------------------------------------------------------- */

void check_rewind(struct check *check)
{
    twin_restore(&check->twin, true);
    twin_copy_state(check->cpu, check->before);
    twin_copy_state(check->twin.cpu, check->before);
}

static enum vcpu_exit fail(struct check *check, const char *text)
{
    snprintf(check->cpu->internal_error, sizeof(check->cpu->internal_error), "translator check: %.135s",
             text);
    return VCPU_EXIT_INTERNAL;
}

/* The machine alone executes an instruction, or delivers an interrupt and executes the handler's first. */
static enum vcpu_exit execute_once(struct check *check, uint64_t end)
{
    struct vcpu *cpu = check->cpu;
    struct ram *ram = cpu->wiring.mem->ram;
    uint64_t before = cpu->insn_count;

    cpu->budget_end = end;
    tlb_flush(cpu->tlb, false);
    ram->observe_all = true;
    enum vcpu_exit why = interp_slice(cpu, 1);
    ram->observe_all = false;
    check->stats.uncompared += cpu->insn_count - before;
    check->kicked = check->kicked || cpu->insn_count == before;
    if (!twin_follow(&check->twin)) {
        return fail(check, "out of memory");
    }
    return why;
}

/* Let the twin run as far as it gets within `insns`. Returns how far; 0: the first instruction is the machine's alone. */
static uint64_t run_ahead(struct check *check, uint64_t insns)
{
    struct twin *twin = &check->twin;
    uint64_t start = twin->cpu->insn_count;

    while (insns > 0) {
        check_run_twin(check, insns);
        if (!twin->trapped && !check->interpreter.stuck) {
            return insns;
        }
        uint64_t got = (twin->trapped ? twin->trapped_at : twin->cpu->insn_count) - start;
        twin_restore(twin, false);
        twin_copy_state(twin->cpu, check->cpu);
        insns = MIN(got, insns - 1);
    }
    return 0;
}

static uint64_t translated(const struct check *check, uint64_t insns, uint64_t interpreted_before)
{
    uint64_t interpreted = binxlate_stats(check->x)->interpreted - interpreted_before;

    return insns > interpreted ? insns - interpreted : 0;
}

/* A and D flags differ: do they when both sides have nothing cached? */
static bool agrees_afresh(struct check *check, uint64_t insns)
{
    check->stats.repeated++;
    check_rewind(check);
    check_run_twin(check, insns);
    check_run_machine(check, insns);
    return check_compare(check);
}

static enum vcpu_exit judge(struct check *check, uint64_t insns)
{
    uint64_t start = check->cpu->insn_count, interpreted = binxlate_stats(check->x)->interpreted;

    check_run_machine(check, insns);
    if (!check_compare(check) && !(check->cached && agrees_afresh(check, insns))) {
        check->stats.differences++;
        check_explain(check, insns);
        return fail(check, check->text);
    }
    check->stats.steps++;
    check->stats.compared += check->cpu->insn_count - start;
    check->stats.translated += translated(check, check->cpu->insn_count - start, interpreted);
    twin_commit(&check->twin);
    if (check->stats.steps >= check->next_scan) {
        check->next_scan = check->stats.steps + SCAN_STEPS;
        return check_scan(check) ? check->translator.why : fail(check, check->text);
    }
    return check->translator.why;
}

/* A step of up to `insns` instructions; devices may lower *end, the insn_count at which the run is over. */
static enum vcpu_exit step(struct check *check, uint64_t insns, uint64_t *end)
{
    struct vcpu *cpu = check->cpu;
    enum vcpu_exit why;

    if (!(__atomic_load_n(&cpu->attention, __ATOMIC_RELAXED) & ATTENTION_DEBUG) && !cpu->points) {
        memcpy(check->before, cpu, sizeof(*cpu));
        set_clocks(check);
        insns = run_ahead(check, insns);
        if (check->twin.no_memory) {
            return fail(check, "out of memory");
        }
        if (insns) {
            return judge(check, insns);
        }
    }
    why = execute_once(check, *end);
    *end = MIN(*end, cpu->budget_end);
    return why;
}

/* Long steps exercise chains, calls and returns; short ones leave less to look through. */
static uint64_t step_length(struct check *check)
{
    check->random = check->random * 6364136223846793005u + 1442695040888963407u;
    return (uint64_t)STEP_MIN << (check->random >> 33) % STEP_SIZES;
}

static bool take_kick(struct check *check)
{
    uint32_t *attention = &check->cpu->attention;

    if (__atomic_load_n(attention, __ATOMIC_RELAXED) & ATTENTION_KICK) {
        __atomic_and_fetch(attention, ~(uint32_t)ATTENTION_KICK, __ATOMIC_ACQUIRE);
        check->kicked = true;
    }
    return check->kicked;
}

enum vcpu_exit check_run(struct check *check, uint64_t budget)
{
    struct vcpu *cpu = check->cpu;
    uint64_t end = budget > UINT64_MAX - cpu->insn_count ? UINT64_MAX : cpu->insn_count + budget;
    enum vcpu_exit why = VCPU_EXIT_BUDGET;

    check->kicked = false;
    if (!twin_follow(&check->twin)) {
        return fail(check, "out of memory");
    }
    while (why == VCPU_EXIT_BUDGET && cpu->insn_count < end && !take_kick(check)) {
        uint64_t length = step_length(check);
        why = step(check, MIN(length, end - cpu->insn_count), &end);
    }
    return why;
}

/* ---- Life ----------------------------------------------------------------------------------------------- */

/* Room for a processor's state. */
static struct vcpu *create_copy(void)
{
    return aligned_alloc(_Alignof(struct vcpu), ALIGN_UP(sizeof(struct vcpu), _Alignof(struct vcpu)));
}

struct check *check_create(struct binxlate *x, FILE *report, struct error *error)
{
    struct check *check = calloc(1, sizeof(*check));

    if (!check) {
        error_set(error, -ENOMEM, "check: out of memory");
        return NULL;
    }
    check->x = x;
    check->cpu = x->cpu;
    check->report = report;
    check->next_scan = SCAN_STEPS;
    check->before = create_copy();
    check->start = create_copy();
    int result = twin_init(&check->twin, x->cpu, error);
    if (result == 0 && (!check->before || !check->start)) {
        result = error_set(error, -ENOMEM, "check: out of memory");
    }
    if (result < 0) {
        check->report = NULL;
        check_destroy(check);
        return NULL;
    }
    return check;
}

void check_destroy(struct check *check)
{
    if (!check) {
        return;
    }
    const struct check_stats *stats = &check->stats;
    if (check->report) {
        fprintf(check->report,
                "translator check: %s in %" PRIu64 " steps; %" PRIu64 " instructions compared, %" PRIu64
                " of them translated (%" PRIu64 " blocks made); %" PRIu64 " executed once; %" PRIu64
                " comparisons of all memory; %" PRIu64 " steps repeated\n",
                stats->differences ? "a difference" : "no difference", stats->steps, stats->compared,
                stats->translated, binxlate_stats(check->x)->blocks_made, stats->uncompared, stats->scans,
                stats->repeated);
    }
    twin_fini(&check->twin);
    free(check->before);
    free(check->start);
    free(check);
}

void check_set_fault(struct check *check, void (*harm)(void *opaque, struct vcpu *cpu), void *opaque)
{
    check->harm = harm;
    check->harm_opaque = opaque;
}

const struct check_stats *check_stats(const struct check *check)
{
    return &check->stats;
}
