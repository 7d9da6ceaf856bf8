/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * One round: several programs in a pair of machines, checkpoints, disturbances between them.
 *
 * Random code of tests/fuzz runs without paging only: what a TLB still holds after the guest's tables were changed is
 * the engine's own affair. Structured programs flush what they change, in all paging modes.
 */
#include "tests/lockstep/lockstep.h"

enum { PROGRAMS = 4 };

const struct mode lockstep_modes[] = {
    {.name = "straight", .straight = true},
    {.name = "flat-kernel"},
    {.name = "flat-user", .user = true},
    {.name = "32bit-kernel", .paging = FUZZ_PAGING_32BIT},
    {.name = "32bit-user", .paging = FUZZ_PAGING_32BIT, .user = true},
    {.name = "pse-kernel", .paging = FUZZ_PAGING_PSE},
    {.name = "pse-user", .paging = FUZZ_PAGING_PSE, .user = true},
    {.name = "pae-kernel", .paging = FUZZ_PAGING_PAE},
    {.name = "pae-user", .paging = FUZZ_PAGING_PAE, .user = true},
    {.name = "wild-real", .wild = true, .fuzz = MODE_REAL},
    {.name = "wild-unreal", .wild = true, .fuzz = MODE_UNREAL},
    {.name = "wild-protected16", .wild = true, .fuzz = MODE_PROTECTED16},
    {.name = "wild-protected32", .wild = true, .fuzz = MODE_PROTECTED32},
    {.name = "wild-user32", .wild = true, .fuzz = MODE_USER32},
    {.name = "wild-v86", .wild = true, .fuzz = MODE_V86},
};
const unsigned lockstep_mode_count = ARRAY_LEN(lockstep_modes);

/* ---- stretches ---- */

static bool run_side(const struct round_plan *plan, struct side *side, uint64_t budget)
{
    struct vcpu *cpu = side->machine->cpu;

    watchdog_enter(plan->watchdog, cpu);
    side->why = side->engine   ? binxlate_run(side->engine, budget)
                : plan->census ? census_run(plan->census, cpu, budget)
                               : interp_run(cpu, budget);
    return !watchdog_leave(plan->watchdog);
}

/* Sizes of stretches: each program has its own scale. */
static uint64_t stretch_budget(struct rng *rng, unsigned scale)
{
    static const uint32_t most[] = {3, 20, 100, 1000, 20000};

    return rng_range(rng, 1, most[scale]);
}

/* Between stretches, the same for both. */
static void disturb(struct side *side, const struct mode *mode, struct rng rng)
{
    struct fuzz_machine *machine = side->machine;
    uint8_t bytes[8];

    if (mode->wild) {
        machine_disturb(machine, &rng);
        return;
    }
    switch (rng_below(&rng, 8)) {
    case 0:
        vcpu_set_intr(machine->cpu, true);
        break;
    case 1: /* DMA into data or code */
        rng_fill(&rng, bytes, sizeof(bytes));
        dma_write(machine->mem, rng_once_in(&rng, 4) ? AT_PROGRAM + rng_below(&rng, 0x1800) : AT_DATA, bytes,
                  rng_range(&rng, 1, sizeof(bytes)));
        break;
    case 2:
        ram_watch_set(&machine->ram, 0x44, RAM_WATCH_DIRTY);
        break;
    case 3:
        if (side->engine) {
            binxlate_reset(side->engine);
        }
        break;
    default:
        break;
    }
}

/* HLT: an interrupt. False: it sleeps on. */
static bool wake(struct pair *pair)
{
    for (unsigned i = 0; i < 2; i++) {
        vcpu_set_intr(pair->side[i].machine->cpu, true);
    }
    return vcpu_has_work(pair->side[0].machine->cpu);
}

/* ---- programs ---- */

struct play {
    const struct round_plan *plan;
    struct stop stop;
    struct pair *pair;
    struct stopped *stopped;
    struct rng rng;
    const struct mode *mode;
};

/* A random status word: B is a copy of ES. */
static void settle_busy(struct fxsave *fpu)
{
    fpu->fsw = (uint16_t)((fpu->fsw & ~0x8000u) | (fpu->fsw & 0x80u) << 8);
}

static void begin_program(struct play *play)
{
    uint64_t seed = rng_next(&play->rng);
    struct life life = {
        .mode = play->mode->fuzz, .sanity = rng_once_in(&play->rng, 2) ? 100 : 90, .seed = seed};

    for (unsigned i = 0; i < 2; i++) {
        struct fuzz_machine *machine = play->pair->side[i].machine;
        if (play->mode->wild) {
            life_begin(&life, play->plan->generator, machine);
            settle_busy(&machine->cpu->fpu);
        } else {
            world_write(play->mode, seed, machine);
            program_write(play->mode, seed, machine);
        }
    }
}

/* Exceptions without end: how many of them a run delivers before it comes back is not part of the contract. */
static bool is_storm(const struct side *side)
{
    const struct vcpu *cpu = side->machine->cpu;

    return side->why == VCPU_EXIT_BUDGET && cpu->insn_count < cpu->budget_end;
}

/* One stretch and its comparison. False: the round is over. */
static bool step(struct play *play, uint64_t budget, bool memory)
{
    struct pair *pair = play->pair;
    struct stopped *stopped = play->stopped;
    bool last = stopped->checkpoint == play->stop.checkpoint;

    stopped->budget = last ? play->stop.budget : budget;
    stopped->start = pair->side[0].machine->cpu->insn_count;
    for (unsigned i = 0; i < 2; i++) {
        if (!run_side(play->plan, &pair->side[i], stopped->budget)) {
            stopped->kicked = true;
            return false;
        }
    }
    play->plan->progress->checkpoints++;
    if (is_storm(&pair->side[0]) && is_storm(&pair->side[1])) {
        return false;
    }
    stopped->differs = !pair_equal(pair, memory || last || play->plan->careful);
    if (stopped->differs || last) {
        return false;
    }
    stopped->checkpoint++;
    return true;
}

/* Is there more to be had of the program? */
static bool goes_on(struct play *play)
{
    struct pair *pair = play->pair;
    struct vcpu *cpu = pair->side[0].machine->cpu;
    struct rng rng = {.state = rng_next(&play->rng)};

    if (pair->side[0].why == VCPU_EXIT_SHUTDOWN) {
        play->plan->progress->shutdowns++;
        return false;
    }
    if (pair->side[0].why == VCPU_EXIT_HALT && !wake(pair)) {
        return false;
    }
    if (play->mode->wild && (cpu->cr0 & CR0_PG)) {
        return false;
    }
    disturb(&pair->side[0], play->mode, rng);
    disturb(&pair->side[1], play->mode, rng);
    return true;
}

/* False: the round is over. */
static bool play_program(struct play *play)
{
    static const uint32_t most[] = {300, 2000, 5000, 20000, 60000};
    unsigned scale = rng_below(&play->rng, ARRAY_LEN(most));
    struct vcpu *cpu = play->pair->side[0].machine->cpu;
    uint64_t death = cpu->insn_count + most[scale];

    begin_program(play);
    play->plan->progress->programs++;
    do {
        uint64_t budget = stretch_budget(&play->rng, scale);
        if (!step(play, budget, rng_once_in(&play->rng, 16) || cpu->insn_count + budget >= death)) {
            return false;
        }
    } while (goes_on(play) && cpu->insn_count < death);
    return true;
}

/* By rounds, without a part in the programs: replays with other windows run the same ones. */
static enum binxlate_windows choose_windows(const struct round_plan *plan)
{
    static const enum binxlate_windows choices[] = {BINXLATE_WINDOWS_OFF, BINXLATE_WINDOWS_NOW,
                                                    BINXLATE_WINDOWS_NOW, BINXLATE_WINDOWS_ON};

    return plan->windows >= 0 ? (enum binxlate_windows)plan->windows
                              : choices[plan->round % ARRAY_LEN(choices)];
}

bool round_play(const struct round_plan *plan, struct stop stop, struct pair *pair, struct stopped *stopped)
{
    struct play play = {.plan = plan,
                        .stop = stop,
                        .pair = pair,
                        .stopped = stopped,
                        .rng = rng_fork(plan->seed, plan->round)};
    uint32_t choice = rng_below(&play.rng, lockstep_mode_count);

    plan->progress->mode = plan->mode >= 0 ? (uint32_t)plan->mode : choice;
    play.mode = &lockstep_modes[plan->progress->mode];
    *stopped = (struct stopped){0};
    struct pair_options options = {.outside = rng_next(&play.rng),
                                   .hostile = play.mode->wild,
                                   .windows = choose_windows(plan),
                                   .trace = plan->trace};
    if (!pair_create(pair, &options)) {
        return false;
    }
    for (unsigned i = 0; i < PROGRAMS && play_program(&play); i++) {
    }
    return true;
}

bool round_run(const struct round_plan *plan)
{
    struct stop never = {.checkpoint = UINT64_MAX};
    struct stopped stopped;
    struct pair pair;

    bool created = round_play(plan, never, &pair, &stopped);
    bool equal = created && !stopped.differs;
    if (created) {
        plan->progress->insns += pair.side[1].machine->cpu->insn_count;
        plan->progress->interpreted += binxlate_stats(pair.side[1].engine)->interpreted;
        plan->progress->blocks += binxlate_stats(pair.side[1].engine)->blocks_made;
        plan->progress->windows += binxlate_stats(pair.side[1].engine)->windows_opened;
        plan->progress->kicks += stopped.kicked;
    }
    if (!equal) {
        printf("FAILED: %s\n", created ? pair.text : "the host cannot make the machines");
    }
    pair_destroy(&pair);
    if (created && !equal) {
        report_difference(plan, &stopped);
    }
    return equal;
}
