/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Debug facilities as the dispatch loop sees them: breakpoints in DR0-DR3, single stepping, RF.
 *
 * SDM: Volume 3B, "Debug, Branch Profile, TSC": "Debug Registers", "Debug Exceptions".
 *
 * The loop's part, at every instruction boundary, in the order of SDM Volume 3A, "Priority Among Concurrent
 * Events":
 *
 *   1. debug_pending_trap()      traps of the instruction before (when attention has ATTENTION_TRAP)
 *   2. NMI, INTR                 unless cpu->shadow blocks them; then the shadow is cleared (vcpu_set_shadow)
 *   3. debug_code_breakpoint()   (when attention has ATTENTION_DR)
 *   4. debug_insn_begin()        (when attention has ATTENTION_TRAP)
 *   5. fetch, decode, execute; a false return goes to exception_deliver()
 *
 * ATTENTION_TRAP is on while TF or RF is set or a trap is pending. A repeated string instruction that gives
 * way between iterations sets RFLAGS.RF and calls vcpu_sync_attention(), so that an event pushed there
 * carries RF = 1 and the restart does not hit its own breakpoint again.
 */
#ifndef CPU_DEBUG_H
#define CPU_DEBUG_H

#include "cpu/vcpu.h"

#define DR6_B0     BIT(0) /* B0-B3: the breakpoint's condition was met */
#define DR6_B      BITS(3, 0)
#define DR6_BD     BIT(13) /* a MOV of a debug register while DR7.GD was set */
#define DR6_BS     BIT(14) /* single step */
#define DR6_BT     BIT(15) /* the T bit of the TSS switched to */
#define DR6_FIXED1 0xffff0ff0u

#define DR7_FIXED1   BIT(10)
#define DR7_GD       BIT(13)
#define DR7_WRITABLE (BITS(31, 16) | DR7_GD | BITS(9, 0))

/* What DR7.R/Wn selects. */
enum debug_rw { DEBUG_RW_FETCH, DEBUG_RW_WRITE, DEBUG_RW_IO, DEBUG_RW_ACCESS };

/* Is breakpoint n (0-3) enabled, locally or globally? */
static inline bool debug_enabled(const struct vcpu *cpu, unsigned n)
{
    return (cpu->dr[7] >> (2 * n) & 3) != 0;
}

static inline enum debug_rw debug_rw(const struct vcpu *cpu, unsigned n)
{
    return (enum debug_rw)(cpu->dr[7] >> (16 + 4 * n) & 3);
}

/* Does an instruction breakpoint lie at `linear`, the first byte of the next instruction, with RF clear?
 * True: #DB, a fault, is pending. */
bool debug_code_breakpoint(struct vcpu *cpu, lin_t linear);

/* An instruction begins: its effect on RF, and the single-step trap it will end with if TF is set. */
void debug_insn_begin(struct vcpu *cpu);

/* cpu->rip is the boundary after an instruction: true when traps are due and #DB is now pending (not while
 * MOV SS or POP SS holds them back, nor when there are none). */
bool debug_pending_trap(struct vcpu *cpu);

/* MOV from and to DRn by number, all checks but the privilege level's included. */
bool debug_read_dr(struct vcpu *cpu, unsigned n, uint32_t *value);
bool debug_write_dr(struct vcpu *cpu, unsigned n, uint32_t value);

#endif
