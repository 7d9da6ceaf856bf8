/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A census of what the programs execute: rows of the opcode table, by the state of the processor.
 *
 * The interpreter's machine is stepped, and what it is about to execute is looked at, which takes several times as long
 * as a plain run. An instruction that faults counts: its generator has been asked for it.
 */
#include <sys/mman.h>

#include "tests/lockstep/lockstep.h"

static const char *const state_names[CENSUS_STATES] = {
    "real mode",        "V86 mode",      "16-bit code",  "CPL 0, no paging",
    "CPL 3, no paging", "CPL 0, paging", "CPL 3, paging"};

static unsigned state_of(const struct vcpu *cpu)
{
    if (!cpu->protected_mode) {
        return cpu->v86 ? 1 : 0;
    }
    if (!cpu->code32) {
        return 2;
    }
    return (cpu->cr0 & CR0_PG ? 5u : 3u) + (cpu->cpl == 3 ? 1u : 0u);
}

struct census *census_create(void)
{
    struct census *census = mmap(NULL, CENSUS_STATES * opcode_count * sizeof(uint64_t),
                                 PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    return census == MAP_FAILED ? NULL : census;
}

static volatile uint64_t *count_of(struct census *census, unsigned state, size_t row)
{
    return &census->executed[state * opcode_count + row];
}

enum vcpu_exit census_run(struct census *census, struct vcpu *cpu, uint64_t budget)
{
    enum vcpu_exit why = VCPU_EXIT_BUDGET;
    uint64_t end = cpu->insn_count + budget, before;
    struct insn insn;

    do {
        before = cpu->insn_count;
        if (interp_peek(cpu, &insn) && insn.opcode) {
            ++*count_of(census, state_of(cpu), insn.opcode->id);
        }
        cpu->budget_end = end;
        why = interp_slice(cpu, 1);
        end = cpu->budget_end; /* a device may have lowered it */
    } while (why == VCPU_EXIT_BUDGET && cpu->insn_count < end && cpu->insn_count > before);
    return why;
}

void census_print(const struct census *census, FILE *out)
{
    for (unsigned state = 0; state < CENSUS_STATES; state++) {
        const volatile uint64_t *executed = &census->executed[state * opcode_count];
        size_t seen = 0;
        for (size_t row = 0; row < opcode_count; row++) {
            seen += executed[row] != 0;
        }
        fprintf(out, "%s: %zu of %zu rows\n", state_names[state], seen, opcode_count);
        for (size_t row = 0; row < opcode_count && seen; row++) {
            if (!executed[row]) {
                const struct opcode *opcode = &opcode_table[row];
                fprintf(out, "  lacks %u/%02x %d/%d/%d %s %s\n", opcode->map, opcode->byte, opcode->reg,
                        opcode->mod, opcode->rm, opcode->mnemonic, opcode->operands);
            }
        }
    }
}
