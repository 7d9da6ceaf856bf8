/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The course of a round.
 *
 * Some rounds have a twin: a second machine, equal from the start, that runs the same code in other slices, or through
 * the uncached tracing path. As long as paging is off, where the slices end must not
 * be visible to the guest: state and memory are equal whenever both stand at the same instruction count. (With paging,
 * what a TLB still holds after the tables were changed may depend on them.)
 */
#include "tests/fuzz/round.h"

#include "cpu/cpuid.h"

enum {
    LIVES = 12,
    SLOW_BUDGET = 8000,
    COMEBACKS_MAX = 20, /* from repeated string instructions, in a life */
    EVENTS_MAX = 1000, /* deliveries without progress after which interp_run() comes back, see cpu/interp.c */
};

enum twin_kind { TWIN_STEPS, TWIN_TRACED };

/* What a stretch of instructions came to. */
enum stretch {
    STRETCH_DONE,   /* all of them retired */
    STRETCH_HALT,   /* HLT with nothing to deliver */
    STRETCH_STOP,   /* shutdown, a kick, a request of the board: the life is over */
    STRETCH_STORM,  /* exceptions without progress */
    STRETCH_BROKEN, /* a promise is broken */
};

static bool fail(struct round *round, const char *text)
{
    const struct vcpu *cpu = round->machine->cpu;

    snprintf(round->failure, sizeof(round->failure), "%s (at insn %llu, %04x:%08x)", text,
             (unsigned long long)cpu->insn_count, cpu->seg[SEG_CS].selector, (unsigned)cpu->rip);
    return false;
}

/* ---- counting what is delivered: the linker sends interp.c's calls here ---- */

static void count_event(struct vcpu *cpu, uint8_t vector, bool external)
{
    struct fuzz_machine *machine = cpu->wiring.board;

    if (machine->events_at != cpu->insn_count) {
        machine->events_at = cpu->insn_count;
        machine->events = 0;
    }
    machine->events++;
    if (external) {
        machine->stats->interrupts++;
    } else {
        machine->stats->exceptions[vector % 32]++;
    }
}

bool __real_exception_deliver(struct vcpu *cpu);
bool __wrap_exception_deliver(struct vcpu *cpu);
bool __real_event_deliver(struct vcpu *cpu, enum event_kind kind, uint8_t vector, bool has_error,
                          uint32_t code);
bool __wrap_event_deliver(struct vcpu *cpu, enum event_kind kind, uint8_t vector, bool has_error,
                          uint32_t code);

bool __wrap_exception_deliver(struct vcpu *cpu)
{
    count_event(cpu, cpu->exception.vector, false);
    return __real_exception_deliver(cpu);
}

bool __wrap_event_deliver(struct vcpu *cpu, enum event_kind kind, uint8_t vector, bool has_error,
                          uint32_t code)
{
    count_event(cpu, vector, true);
    return __real_event_deliver(cpu, kind, vector, has_error, code);
}

/* ---- stretches ---- */

/* One call of the interpreter, and the contract of cpu/interp.h. */
static enum vcpu_exit run_slice(struct round *round, struct fuzz_machine *machine, uint64_t budget,
                                bool *kept)
{
    struct vcpu *cpu = machine->cpu;
    uint64_t before = cpu->insn_count;

    watchdog_enter(round->watchdog, cpu);
    enum vcpu_exit why = interp_run(cpu, budget);
    round->kicked = watchdog_leave(round->watchdog);
    uint64_t retired = cpu->insn_count - before;
    /* RF: in the middle of a repeated string instruction, which comes back by itself after a while. */
    bool excused = round->kicked || machine->reset_requested || (cpu->rflags & RFLAGS_RF) ||
                   (machine->events_at == cpu->insn_count && machine->events >= EVENTS_MAX);

    round->stats->slices++;
    *kept = true;
    if (retired > budget) {
        *kept = fail(round, "more instructions than the budget");
    } else if (why == VCPU_EXIT_INTERNAL) {
        *kept = fail(round, "internal error");
    } else if (why == VCPU_EXIT_BUDGET && retired < budget && !excused) {
        *kept = fail(round, "came back before the budget was used");
    } else if (why == VCPU_EXIT_HALT && !cpu->halted) {
        *kept = fail(round, "HALT, but the processor is not halted");
    } else if (why == VCPU_EXIT_DEBUG && machine->stop_at == 0) {
        *kept = fail(round, "DEBUG, but nobody asked for it");
    }
    return why;
}

static uint64_t slice_budget(struct round *round, const struct fuzz_machine *machine, uint64_t left)
{
    if (machine != round->twin) {
        return left;
    }
    uint64_t budget = 1 + round->twin_slices++ % (round->twin_kind == TWIN_STEPS ? 3 : 60);
    return MIN(left, budget);
}

/* Nothing retired: in the middle of a repeated string instruction, and not for too long in this life. */
static bool is_repeating(struct fuzz_machine *machine, enum vcpu_exit why)
{
    bool repeating = why == VCPU_EXIT_DEBUG || (machine->cpu->rflags & RFLAGS_RF);

    return repeating && ++machine->comebacks < COMEBACKS_MAX;
}

/* Run up to the instruction number `end`. */
static enum stretch run_stretch(struct round *round, struct fuzz_machine *machine, uint64_t end)
{
    struct vcpu *cpu = machine->cpu;
    bool kept;

    while (cpu->insn_count < end) {
        uint64_t before = cpu->insn_count;
        enum vcpu_exit why = run_slice(round, machine, slice_budget(round, machine, end - before), &kept);
        if (!kept) {
            return STRETCH_BROKEN;
        }
        if (round->kicked) {
            round->stats->kicks++;
        }
        if (why == VCPU_EXIT_SHUTDOWN || machine->reset_requested || round->kicked) {
            round->stats->shutdowns += why == VCPU_EXIT_SHUTDOWN;
            return STRETCH_STOP;
        }
        if (why == VCPU_EXIT_HALT) {
            return STRETCH_HALT;
        }
        machine->asked = 0;
        if (cpu->insn_count == before && !is_repeating(machine, why)) {
            round->stats->storms++;
            return STRETCH_STORM;
        }
    }
    return STRETCH_DONE;
}

/* The debug hook makes every instruction an event of the dispatch loop. */
static void set_debug_hook(struct fuzz_machine *machine, uint64_t stop_at)
{
    machine->stop_at = stop_at;
    machine->asked = 0;
    if (stop_at) {
        machine->cpu->attention |= ATTENTION_DEBUG;
    } else {
        machine->cpu->attention &= ~(uint32_t)ATTENTION_DEBUG;
    }
}

/* ---- twins ---- */

/* The twin goes the same way; false when the two differ. *lost: no further comparison makes sense. */
static bool follow(struct round *round, uint64_t end, enum stretch stretch, bool *lost)
{
    enum stretch twin = run_stretch(round, round->twin, end);

    *lost = true;
    if (twin == STRETCH_BROKEN) {
        return false;
    }
    bool paging = (round->machine->cpu->cr0 | round->twin->cpu->cr0) & CR0_PG;
    if (paging || stretch > STRETCH_HALT || twin == STRETCH_STORM || round->kicked) {
        return true;
    }
    if (twin != stretch) {
        return fail(round, "the same code in other slices came to another end");
    }
    const char *wrong = check_equal(&round->checker, round->machine, round->twin);
    *lost = false;
    round->stats->twins++;
    return !wrong || fail(round, wrong);
}

/* ---- a life ---- */

static void choose_life(struct round *round, struct life *life)
{
    const struct round_options *options = round->options;
    struct rng *rng = &round->rng;
    static const uint8_t sanities[] = {0, 50, 80, 90, 95, 99, 99, 100};

    life->mode =
        options->mode >= 0 ? (enum fuzz_mode)options->mode : (enum fuzz_mode)rng_below(rng, MODE_COUNT);
    life->paging = options->paging >= 0 ? (enum fuzz_paging)options->paging
                                        : (enum fuzz_paging)rng_below(rng, FUZZ_PAGING_COUNT);
    if (round->twin) {
        life->paging = FUZZ_PAGING_OFF;
    }
    life->sanity =
        options->sanity >= 0 ? (unsigned)options->sanity : sanities[rng_below(rng, ARRAY_LEN(sanities))];
    life->slow = !round->twin && rng_once_in(rng, 4);
    life->budget = rng_once_in(rng, 8) ? rng_below(rng, 400000) : rng_range(rng, 1000, 60000);
    life->budget = life->slow ? MIN(life->budget, SLOW_BUDGET) : life->budget;
    life->seed = rng_next(rng);
}

/* HLT: something has to happen. False: leave it asleep, the life is over. */
static bool wake(struct rng *rng, struct fuzz_machine *machine)
{
    uint64_t deadline = clock_next_deadline(&machine->clock), now = clock_now(&machine->clock);

    if (rng_once_in(rng, 16)) {
        return false;
    }
    if (machine->pc && deadline != CLOCK_NEVER && rng_once_in(rng, 2)) {
        clock_skip(&machine->clock, deadline > now ? deadline - now : 0);
        clock_run_timers(&machine->clock);
    }
    if (!vcpu_has_work(machine->cpu)) {
        vcpu_set_nmi(machine->cpu);
        machine->cpu->nmi_blocked = false;
        vcpu_sync_attention(machine->cpu);
    }
    return true;
}

/* Between stretches: the same for both, from copies of one generator. */
static bool go_on(struct rng *rng, struct fuzz_machine *machine, enum stretch stretch, bool slow)
{
    bool awake = stretch != STRETCH_HALT || wake(rng, machine);

    if (rng_once_in(rng, slow ? 100 : 3)) {
        machine_disturb(machine, rng);
    }
    return awake;
}

static bool check(struct round *round, const struct life *life, uint64_t length, enum stretch stretch)
{
    bool thorough = rng_once_in(&round->rng, length > 10 ? 3 : 100);
    /* A shutdown can leave a task half entered. */
    bool lawful = life->mode != MODE_WILD && (stretch == STRETCH_DONE || stretch == STRETCH_HALT);
    const char *wrong = check_processor(&round->checker, round->machine, thorough, lawful);

    if (!wrong && round->other && rng_once_in(&round->rng, length > 10 ? 24 : 1000)) {
        wrong = check_snapshot(&round->checker, round->machine, round->other);
        round->stats->snapshots++;
    }
    return !wrong || fail(round, wrong);
}

static uint64_t stretch_length(struct rng *rng, const struct life *life, uint64_t left)
{
    uint64_t length = life->slow ? rng_range(rng, 1, 3) : rng_range(rng, 100, 12000);

    return MIN(length, left);
}

static bool live(struct round *round, const struct life *life)
{
    struct fuzz_machine *machine = round->machine;
    uint64_t born = machine->cpu->insn_count, death = born + life->budget;
    bool lost = round->twin == NULL, awake = true;

    /* Then a repeated string instruction gives way, and one that overwrites itself takes another course. */
    bool hook = !round->twin && rng_once_in(&round->rng, 24);
    set_debug_hook(machine, hook ? rng_range(&round->rng, 1, 5000) : 0);
    while (machine->cpu->insn_count < death && awake) {
        uint64_t length = stretch_length(&round->rng, life, death - machine->cpu->insn_count);
        uint64_t end = machine->cpu->insn_count + length;
        enum stretch stretch = run_stretch(round, machine, end);

        if (stretch == STRETCH_BROKEN || !check(round, life, length, stretch) ||
            (!lost && !follow(round, end, stretch, &lost))) {
            return false;
        }
        if (stretch == STRETCH_STOP || stretch == STRETCH_STORM) {
            break;
        }
        struct rng same = {.state = rng_next(&round->rng)}, copy = same;
        awake = go_on(&same, machine, stretch, life->slow);
        if (!lost) {
            go_on(&copy, round->twin, stretch, life->slow);
        }
    }
    round->stats->insns += machine->cpu->insn_count - born;
    return true;
}

/* Two machines that parted ways cannot be compared in the next life: start over with equal ones. */
static void forget_twin(struct round *round)
{
    machine_destroy(round->twin);
    round->twin = NULL;
}

static bool live_all(struct round *round)
{
    for (unsigned i = 0; i < LIVES; i++) {
        struct life life;
        choose_life(round, &life);
        round->stats->life = i;
        round->stats->mode = life.mode;
        round->stats->paging = life.paging;
        if (round->machine->reset_requested && round->machine->pc) {
            pc_reset(round->machine->pc);
        }
        round->machine->reset_requested = false;
        /* A kick that came when the slice was over anyway. */
        round->machine->cpu->attention &= ~(uint32_t)ATTENTION_KICK;
        round->machine->comebacks = 0;
        life_begin(&life, round->generator, round->machine);
        if (round->twin) {
            round->twin->cpu->attention &= ~(uint32_t)ATTENTION_KICK;
            round->twin->comebacks = 0;
            life_begin(&life, round->generator, round->twin);
        }
        round->stats->lives++;
        if (!live(round, &life)) {
            return false;
        }
        if (round->twin && (round->machine->cpu->insn_count != round->twin->cpu->insn_count ||
                            round->machine->outside.state != round->twin->outside.state ||
                            check_equal(&round->checker, round->machine, round->twin))) {
            forget_twin(round);
        }
    }
    return true;
}

/* ---- the machines ---- */

/* A model that this host can execute, often with features taken away. */
static void choose_processor(struct rng *rng, struct machine_options *options)
{
    unsigned count = 0;
    struct error error;

    while (cpu_models[count].name) {
        count++;
    }
    do {
        const char *name =
            rng_once_in(rng, 2) ? cpu_model_find(NULL)->name : cpu_models[rng_below(rng, count)].name;
        if (cpu_model_parse(name, &options->model, &options->features, &error) == 0) {
            break;
        }
        options->model = NULL;
    } while (!options->model);
    if (rng_once_in(rng, 4)) {
        options->features &= ~(BIT(rng_below(rng, 64)) | BIT(rng_below(rng, 32)));
    }
}

static bool create_machines(struct round *round)
{
    struct rng *rng = &round->rng;
    struct machine_options options = {
        .board = round->options->board,
        .ram_size = (round->options->board ? 16 : 4u << rng_below(rng, 3)) * MIB,
        .stats = round->stats,
        .trace = round->options->trace ? stderr : NULL,
    };

    choose_processor(rng, &options);
    options.outside_seed = rng_next(rng);
    bool twin = rng_once_in(rng, 8) && !options.board, other = rng_once_in(rng, 4);
    round->twin_kind = rng_once_in(rng, 4) ? TWIN_TRACED : TWIN_STEPS;
    round->machine = machine_create(&options);
    options.trace = NULL;
    if (round->machine && other) {
        round->other = machine_create(&options);
    }
    options.trace = round->options->trace ? stdout : NULL;
    if (round->machine && twin) {
        options.trace_exec = round->twin_kind == TWIN_TRACED;
        round->twin = machine_create(&options);
    }
    return round->machine && (!twin || round->twin) && (!other || round->other);
}

bool round_run(const struct round_options *options, uint64_t number, const struct generator *generator,
               struct watchdog *watchdog, struct fuzz_stats *stats)
{
    struct round round = {
        .options = options,
        .number = number,
        .rng = rng_fork(options->seed, number),
        .generator = generator,
        .stats = stats,
        .watchdog = watchdog,
    };

    snprintf(watchdog->where, sizeof(watchdog->where), "--seed %llu --round %llu",
             (unsigned long long)options->seed, (unsigned long long)number);
    bool kept = checker_init(&round.checker) && create_machines(&round);
    if (!kept) {
        snprintf(round.failure, sizeof(round.failure), "the host cannot make the machines");
    } else {
        kept = live_all(&round);
    }
    if (!kept) {
        printf("FAILED: %s\n  model %s, life %u, mode %s, paging %s\n", round.failure,
               round.machine ? round.machine->cpu->model->name : "-", stats->life,
               fuzz_mode_names[stats->mode], fuzz_paging_names[stats->paging]);
    }
    machine_destroy(round.machine);
    machine_destroy(round.twin);
    machine_destroy(round.other);
    checker_fini(&round.checker);
    return kept;
}
