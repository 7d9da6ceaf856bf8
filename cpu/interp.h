/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The reference interpreter: readable, complete, never clever. It runs whole guests, odd and cold code for the
 * translator, single steps, and is the oracle that the translator is compared with.
 */
#ifndef CPU_INTERP_H
#define CPU_INTERP_H

#include "cpu/vcpu.h"

/*
 * Run up to `budget` instructions (a repeated string instruction counts once when it ends, but gives way to
 * attention between iterations, and kicks the processor itself after some thousand of them). Delivers exceptions, interrupts and debug traps in the SDM's priority order.
 * The engines share this contract: insn_count is exact on return, and state is precise.
 */
enum vcpu_exit interp_run(struct vcpu *cpu, uint64_t budget);

/* The same within a budget that is set already (cpu->budget_end): up to `insns` instructions of it. For engines that
 * leave some instructions to the interpreter: an exception that is pending on entry is delivered first. */
enum vcpu_exit interp_slice(struct vcpu *cpu, uint64_t insns);

/* Deliver a pending exception, whatever is left of the budget: the last thing that the instruction which raised it does.
 * False: a triple fault. */
bool interp_deliver(struct vcpu *cpu);

/* Fetch and decode the instruction at CS:RIP without executing it (tracer, debugger, translator). False: the
 * fetch faults; nothing is pending then. */
struct insn;
bool interp_peek(struct vcpu *cpu, struct insn *insn);

#endif
