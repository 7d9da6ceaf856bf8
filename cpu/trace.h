/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What a processor writes to the log of its VM (base/log.h), by category:
 *
 *   exec        each instruction, before it is executed            LOG_EXEC
 *   calls       each call, indented by its depth                   LOG_CALLS
 *   interrupts  each interrupt and software interrupt delivered    LOG_INTERRUPTS
 *   exceptions  each exception delivered                           LOG_EXCEPTIONS
 *   io          each access to a port, or to a device's memory     LOG_IO
 *   mmu         page faults, CR3 loads, flushes                    LOG_MMU
 *
 * A line begins with how many instructions had retired. The first two want every instruction by itself: both engines then
 * leave the guest to the interpreter, one instruction at a time. All of it costs a test of a flag where it is off.
 */
#ifndef CPU_TRACE_H
#define CPU_TRACE_H

#include "cpu/insn.h"
#include "cpu/vcpu.h"

/* Is the category on, and is there still room in the log? */
static inline bool tracing(const struct vcpu *cpu, uint32_t categories)
{
    return cpu->wiring.log && log_enabled(cpu->wiring.log, categories) && !log_full(cpu->wiring.log);
}

/* Categories that want every instruction by itself. */
#define TRACE_SINGLE (LOG_EXEC | LOG_CALLS)

/* The instruction at `rip`, for LOG_EXEC or LOG_IN_ASM. */
void trace_insn(const struct vcpu *cpu, uint32_t category, uint64_t rip, const struct insn *insn);
/* `insn`, which was at `rip`, has just been executed. */
void trace_call(struct vcpu *cpu, uint64_t rip, const struct insn *insn);
void trace_event(const struct vcpu *cpu, enum event_kind kind, uint8_t vector, bool has_error,
                 uint32_t error_code);
void trace_port(const struct vcpu *cpu, bool write, uint16_t port, unsigned size, uint32_t value);
void trace_device(const struct vcpu *cpu, bool write, gpa_t gpa, unsigned size, uint64_t value);
void trace_page_fault(const struct vcpu *cpu, lin_t linear, uint32_t error_code);
/* "CR3 01c57000", "INVLPG c0101000", "flush". */
void trace_flush(const struct vcpu *cpu, const char *what, uint64_t value);

#endif
