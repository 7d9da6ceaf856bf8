/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A difference, narrowed to the first instruction after which it is there: the round is played again up to the same
 * checkpoint, with ever other budgets for its last stretch.
 */
#include "tests/lockstep/lockstep.h"

#include <stdlib.h>

enum { HISTORY = 12 };

struct history {
    char text[HISTORY][160];
    unsigned count;
};

/* Does the round differ when its last stretch has this budget? */
static bool differs_at(const struct round_plan *plan, uint64_t checkpoint, uint64_t budget)
{
    struct stop stop = {.checkpoint = checkpoint, .budget = budget};
    struct stopped stopped;
    struct pair pair;
    bool differs = round_play(plan, stop, &pair, &stopped) && stopped.differs;

    pair_destroy(&pair);
    return differs;
}

static void note_insn(struct history *history, struct vcpu *cpu)
{
    char *text = history->text[history->count++ % HISTORY], hex[32] = "", operands[96] = "(fetch faults)";
    struct insn insn;

    if (interp_peek(cpu, &insn)) {
        insn_format(&insn, cpu->rip, operands, sizeof(operands));
        for (unsigned i = 0; i < insn.length; i++) {
            snprintf(hex + 2 * i, 3, "%02x", insn.bytes[i]);
        }
    }
    snprintf(text, sizeof(history->text[0]), "%10llu  %04x:%08x  %-30s  %s",
             (unsigned long long)cpu->insn_count, cpu->seg[SEG_CS].selector, (uint32_t)cpu->rip, hex,
             operands);
}

static void print_history(const struct history *history)
{
    unsigned first = history->count > HISTORY ? history->count - HISTORY : 0;

    for (unsigned i = first; i < history->count; i++) {
        printf("    %s\n", history->text[i % HISTORY]);
    }
}

/* The interpreter's way through the stretch, one instruction at a time. */
static void print_way(const struct round_plan *plan, const struct stopped *at, uint64_t budget)
{
    struct stop stop = {.checkpoint = at->checkpoint, .budget = 0};
    struct history history = {.count = 0};
    struct stopped stopped;
    struct pair pair;

    if (round_play(plan, stop, &pair, &stopped)) {
        struct vcpu *cpu = pair.side[0].machine->cpu;
        uint64_t end = cpu->insn_count + budget, before;
        do {
            before = cpu->insn_count;
            note_insn(&history, cpu);
        } while (interp_run(cpu, 1) == VCPU_EXIT_BUDGET && cpu->insn_count < end && cpu->insn_count > before);
        note_insn(&history, cpu);
        printf("  the interpreter's way (count, address, instruction; the last one is not executed):\n");
        print_history(&history);
    }
    pair_destroy(&pair);
}

/* vcpu_print() as text; the caller frees it. */
static char *state_text(struct vcpu *cpu)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    if (out) {
        vcpu_print(out, cpu);
        fclose(out);
    }
    return text;
}

/* The lines of `b` that are not those of `a`. */
static void print_changed_lines(const char *a, const char *b)
{
    while (*a && *b) {
        size_t la = strcspn(a, "\n"), lb = strcspn(b, "\n");
        if (la != lb || memcmp(a, b, la) != 0) {
            printf("    %.*s\n", (int)lb, b);
        }
        a += la + (a[la] != 0);
        b += lb + (b[lb] != 0);
    }
}

/* The state of one side; of the translator's what is different. */
static void print_side(const char *name, struct pair *pair, unsigned side)
{
    struct vcpu *cpu = pair->side[side].machine->cpu;
    struct history history = {.count = 0};
    char *ours = state_text(pair->side[0].machine->cpu), *state = state_text(cpu);

    printf("  %s (exit %d, %llu instructions):\n", name, pair->side[side].why,
           (unsigned long long)cpu->insn_count);
    if (state && side == 0) {
        printf("%s", state);
    } else if (ours && state) {
        print_changed_lines(ours, state);
    }
    free(ours);
    free(state);
    note_insn(&history, cpu);
    print_history(&history);
}

static void print_states(const struct round_plan *plan, const struct stopped *at, uint64_t budget, bool both)
{
    struct stop stop = {.checkpoint = at->checkpoint, .budget = budget};
    struct stopped stopped;
    struct pair pair;

    if (round_play(plan, stop, &pair, &stopped)) {
        if (both) {
            printf("  difference: %s\n", pair.text);
        }
        print_side(both ? "interpreter" : "both, one instruction earlier", &pair, 0);
        if (both) {
            print_side("translator, as far as it differs", &pair, 1);
        }
    }
    pair_destroy(&pair);
}

/* Memory is not compared everywhere: find the first checkpoint at which it would have differed. */
static bool find_checkpoint(const struct round_plan *plan, struct stopped *stopped)
{
    struct stop never = {.checkpoint = UINT64_MAX};
    struct pair pair;
    bool differs = round_play(plan, never, &pair, stopped) && stopped->differs;

    pair_destroy(&pair);
    return differs;
}

void report_difference(const struct round_plan *careless, struct stopped *stopped)
{
    struct round_plan careful = *careless, *plan = &careful;

    plan->careful = true;
    plan->trace = NULL;
    if (!find_checkpoint(plan, stopped)) {
        printf("  it does not come back when the round is played again\n");
        return;
    }
    uint64_t good = 0, bad = stopped->budget;
    while (bad > good + 1) {
        uint64_t middle = good + (bad - good) / 2;
        if (differs_at(plan, stopped->checkpoint, middle)) {
            bad = middle;
        } else {
            good = middle;
        }
    }
    printf("  mode %s, checkpoint %llu, budget %llu; first seen after %llu instructions of it\n",
           lockstep_modes[plan->progress->mode].name, (unsigned long long)stopped->checkpoint,
           (unsigned long long)stopped->budget, (unsigned long long)bad);
    print_way(plan, stopped, bad);
    print_states(plan, stopped, good, false);
    print_states(plan, stopped, bad, true);
}
