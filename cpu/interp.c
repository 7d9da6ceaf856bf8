/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The dispatch loop of the reference interpreter.
 *
 *   boundary:  traps of the last instruction, NMI, INTR, instruction breakpoint    (only when attention is set)
 *   fetch:     CS limit, page walk, decode, or a run from the cache of decoded instructions
 *   execute:   insn->exec(); true: rip = next_rip, one more retired; false: deliver the exception
 *
 * Straight-line code runs from decoded runs (cpu/icache.h) and looks at nothing but `attention` between
 * instructions; whatever may end the run's validity sets a bit there or ends the run. Instructions that cross a
 * page, or lie in device memory, or past what CS's limit lets a run be, are fetched and decoded one by one.
 *
 * SDM: Volume 3A, "Priority Among Concurrent Events", "Masking Exceptions and Interrupts When Switching Stacks".
 * Not modelled: prefetching (a store to the next instruction is seen by it).
 */
#include "cpu/interp.h"

#include "cpu/access_inline.h"
#include "cpu/debug.h"
#include "cpu/decode.h"
#include "cpu/exec.h"
#include "cpu/icache.h"
#include "cpu/points.h"
#include "cpu/trace.h"

enum {
    INSN_BYTES_MAX = 15,
    /* Exceptions and interrupts delivered without an instruction retiring before the caller gets a look in: a guest
     * whose handler faults on its first instruction would never use up a budget. */
    EVENTS_MAX = 1000,
};

static uint32_t attention_load(const struct vcpu *cpu)
{
    return __atomic_load_n(&cpu->attention, __ATOMIC_RELAXED);
}

static void attention_clear(struct vcpu *cpu, uint32_t bits)
{
    __atomic_and_fetch(&cpu->attention, ~bits, __ATOMIC_ACQUIRE);
}

static lin_t insn_linear(const struct vcpu *cpu)
{
    return (uint32_t)(cpu->seg[SEG_CS].base + cpu->rip);
}

/* ---- Fetching one instruction --------------------------------------------------------------------------- */

/* Up to *count bytes from one page; sets *count to how many came. False: #PF is pending. */
static bool fetch_bytes(struct vcpu *cpu, lin_t linear, uint8_t *bytes, unsigned *count)
{
    const struct tlb_entry *entry = tlb_entry_at(cpu->tlb, cpu->user_view, linear);
    lin_t page = ALIGN_DOWN(linear, PAGE_SIZE);
    unsigned flags = PAGEWALK_FETCH | (cpu->user_view ? PAGEWALK_USER : 0);
    gpa_t gpa;
    uint32_t error_code;

    if (entry->fetch != page) {
        if (!tlb_fill(cpu->tlb, &cpu->paging, linear, flags, &gpa, &error_code)) {
            return raise_page_fault(cpu, linear, error_code);
        }
        if (entry->fetch != page) {
            /* A device: one byte at a time, no further than the instruction needs. */
            bytes[0] = (uint8_t)addr_space_read(cpu->wiring.mem, gpa, 1);
            *count = 1;
            return true;
        }
    }
    *count = MIN(*count, PAGE_SIZE - (unsigned)(linear & PAGE_OFFSET_MASK));
    memcpy(bytes, (const uint8_t *)(entry->addend + linear), *count);
    return true;
}

/* Bytes that CS's limit leaves from rip on, as far as an instruction can reach. */
static unsigned bytes_to_limit(const struct vcpu *cpu, unsigned most)
{
    uint32_t limit = cpu->seg[SEG_CS].limit;

    if (limit == UINT32_MAX) {
        return most;
    }
    return cpu->rip > limit ? 0 : (unsigned)MIN(limit - cpu->rip + 1, most);
}

static bool fetch_insn(struct vcpu *cpu, struct insn *insn)
{
    uint8_t bytes[INSN_BYTES_MAX];
    unsigned most = bytes_to_limit(cpu, INSN_BYTES_MAX), have = 0;

    do {
        unsigned count = most - have;
        if (count == 0) {
            return raise_error(cpu, EXC_GP, 0);
        }
        TRY(fetch_bytes(cpu, (uint32_t)(insn_linear(cpu) + have), bytes + have, &count));
        have += count;
    } while (insn_decode(bytes, have, cpu->code32, cpu->features, insn) == DECODE_MORE);
    return true;
}

/* The same for onlookers: no A bits set, no device read, nothing raised. */
static bool peek_byte(const struct vcpu *cpu, lin_t linear, uint8_t *byte)
{
    struct pagewalk walk;
    unsigned flags = PAGEWALK_FETCH | (cpu->user_view ? PAGEWALK_USER : 0);

    return pagewalk(&cpu->paging, linear, flags, &walk) &&
           addr_space_peek(cpu->wiring.mem, walk.gpa, byte, 1);
}

bool interp_peek(struct vcpu *cpu, struct insn *insn)
{
    uint8_t bytes[INSN_BYTES_MAX];
    unsigned most = bytes_to_limit(cpu, INSN_BYTES_MAX), have = 0;

    do {
        if (have == most || !peek_byte(cpu, (uint32_t)(insn_linear(cpu) + have), &bytes[have])) {
            return false;
        }
        have++;
    } while (insn_decode(bytes, have, cpu->code32, cpu->features, insn) == DECODE_MORE);
    return true;
}

/* ---- Tracing -------------------------------------------------------------------------------------------- */

static void trace_run(const struct vcpu *cpu, const struct run *run)
{
    uint64_t rip = cpu->rip;

    for (unsigned i = 0; i < run->count; i++) {
        trace_insn(cpu, LOG_IN_ASM, rip, &run->insn[i]);
        rip += run->insn[i].length;
    }
}

/* ---- Executing ------------------------------------------------------------------------------------------ */

bool exec_too_long(struct vcpu *cpu, const struct insn *insn __attribute__((unused)))
{
    return raise_error(cpu, EXC_GP, 0);
}

/* A repeated string instruction that gave way has not retired. */
static inline bool gave_way(const struct vcpu *cpu, const struct insn *insn)
{
    return insn->rep && (insn->opcode->flags & OPF_STRING) && cpu->next_rip == cpu->rip;
}

/* Execute at cpu->rip. False: an exception is pending. */
static inline bool execute(struct vcpu *cpu, const struct insn *insn)
{
    cpu->next_rip = (uint32_t)(cpu->rip + insn->length);
    if (UNLIKELY(!insn->exec(cpu, insn))) {
        return false;
    }
    /* Only attention makes an instruction give way, so the question need not be asked without it. */
    if (UNLIKELY(attention_load(cpu) != 0) && gave_way(cpu, insn)) {
        return true;
    }
    cpu->rip = cpu->next_rip;
    cpu->insn_count++;
    return true;
}

/* An instruction that is in no run. A debugger's point may lie there; what is in runs has none. */
static bool execute_single(struct vcpu *cpu)
{
    uint64_t rip = cpu->rip;
    struct insn insn;

    if (UNLIKELY(cpu->points != NULL) && points_reached(cpu, insn_linear(cpu))) {
        return true;
    }
    TRY(fetch_insn(cpu, &insn));
    if (tracing(cpu, LOG_EXEC)) {
        trace_insn(cpu, LOG_EXEC, rip, &insn);
    }
    TRY(execute(cpu, &insn));
    if (tracing(cpu, LOG_CALLS)) {
        trace_call(cpu, rip, &insn);
    }
    return true;
}

/* The decoded run at cpu->rip; NULL when the instruction there must be fetched alone. */
static inline struct run *find_run(struct vcpu *cpu)
{
    lin_t linear = insn_linear(cpu);
    const struct tlb_entry *entry = tlb_entry_at(cpu->tlb, cpu->user_view, linear);
    unsigned offset = (unsigned)(linear & PAGE_OFFSET_MASK);

    if (UNLIKELY(entry->fetch != linear - offset)) {
        return NULL;
    }
    struct run *run = icache_find(cpu->icache, entry->roff + offset, cpu->code32);
    if (UNLIKELY(!run)) {
        unsigned limit = bytes_to_limit(cpu, PAGE_SIZE - offset);
        run = icache_new_run(cpu->icache, entry->roff + offset, limit, cpu->code32);
        if (run && tracing(cpu, LOG_IN_ASM)) {
            trace_run(cpu, run);
        }
    }
    bool fits = run && (LIKELY(cpu->flat >> SEG_CS & 1) || bytes_to_limit(cpu, run->length) == run->length);
    return fits ? run : NULL;
}

/* Execute the run, no further than the budget and attention allow. False: an exception is pending. */
static inline bool execute_run(struct vcpu *cpu, const struct run *run)
{
    const struct insn *insn = run->insn;
    const struct insn *end = insn + MIN((uint64_t)run->count, cpu->slice_end - cpu->insn_count);

    do {
        TRY(execute(cpu, insn));
        insn++;
    } while (insn < end && LIKELY(attention_load(cpu) == 0));
    return true;
}

/* Until attention, HLT, the end of the budget, or an exception (false). */
static bool execute_code(struct vcpu *cpu)
{
    do {
        const struct run *run = find_run(cpu);
        if (LIKELY(run != NULL)) {
            TRY(execute_run(cpu, run));
        } else {
            TRY(execute_single(cpu));
        }
    } while (LIKELY(attention_load(cpu) == 0) && !cpu->halted && cpu->insn_count < cpu->slice_end);
    return true;
}

/* ---- Between instructions ------------------------------------------------------------------------------- */

/* Deliver the pending exception; what the instruction that faulted had pending as a trap goes with it. */
static bool deliver_fault(struct vcpu *cpu)
{
    if (cpu->pending_dr6) {
        cpu->pending_dr6 = 0;
        vcpu_sync_attention(cpu);
    }
    cpu->halted = false;
    cpu->next_rip = cpu->rip;
    if (!exception_deliver(cpu)) {
        return false;
    }
    if (LIKELY(!cpu->exception.pending)) {
        cpu->rip = cpu->next_rip;
    }
    return true;
}

/* False: a further exception is pending. */
static bool deliver_event(struct vcpu *cpu, enum event_kind kind, uint8_t vector)
{
    cpu->halted = false;
    cpu->next_rip = cpu->rip;
    TRY(event_deliver(cpu, kind, vector, false, 0));
    cpu->rip = cpu->next_rip;
    return true;
}

static void show_interrupt(struct vcpu *cpu, uint8_t vector)
{
    if (UNLIKELY(cpu->points != NULL)) {
        points_interrupted(cpu, vector);
    }
}

static bool deliver_nmi(struct vcpu *cpu)
{
    cpu->nmi_pending = false;
    cpu->nmi_blocked = true;
    vcpu_sync_attention(cpu);
    TRY(deliver_event(cpu, EVENT_NMI, EXC_NMI));
    show_interrupt(cpu, EXC_NMI);
    return true;
}

static bool deliver_intr(struct vcpu *cpu)
{
    uint8_t vector = 0;

    if (cpu->wiring.interrupt_acknowledge) {
        vector = cpu->wiring.interrupt_acknowledge(cpu->wiring.board);
    }
    TRY(deliver_event(cpu, EVENT_EXTERNAL, vector));
    show_interrupt(cpu, vector);
    return true;
}

/* What a boundary came to. */
enum boundary {
    BOUNDARY_EXECUTE,   /* go on with the instruction at rip */
    BOUNDARY_EVENT,     /* an event was delivered, look again */
    BOUNDARY_EXCEPTION, /* an exception is pending */
};

static enum boundary after_delivery(bool delivered)
{
    return delivered ? BOUNDARY_EVENT : BOUNDARY_EXCEPTION;
}

/* SDM: Volume 3A, Table "Priority Among Concurrent Events". */
static enum boundary serve_attention(struct vcpu *cpu)
{
    uint32_t attention = attention_load(cpu);
    enum interrupt_shadow shadow = (enum interrupt_shadow)cpu->shadow;

    if ((attention & ATTENTION_TRAP) && debug_pending_trap(cpu)) {
        return BOUNDARY_EXCEPTION;
    }
    if (UNLIKELY(cpu->points != NULL) && points_hold_interrupts(cpu, insn_linear(cpu))) {
        attention &= ~(uint32_t)(ATTENTION_NMI | ATTENTION_INTR);
    }
    if ((attention & ATTENTION_NMI) && shadow != SHADOW_MOV_SS) {
        return after_delivery(deliver_nmi(cpu));
    }
    if ((attention & ATTENTION_INTR) && shadow == SHADOW_NONE) {
        return after_delivery(deliver_intr(cpu));
    }
    if (cpu->halted) {
        return BOUNDARY_EXECUTE;
    }
    if (shadow != SHADOW_NONE) {
        vcpu_set_shadow(cpu, SHADOW_NONE);
    }
    if ((attention & ATTENTION_DR) && debug_code_breakpoint(cpu, insn_linear(cpu))) {
        return BOUNDARY_EXCEPTION;
    }
    if (attention & ATTENTION_TRAP) {
        if (UNLIKELY(cpu->points != NULL) && (cpu->rflags & RFLAGS_RF)) {
            points_resumed(cpu, insn_linear(cpu));
        }
        debug_insn_begin(cpu);
    }
    return BOUNDARY_EXECUTE;
}

static bool debugger_leaves(struct vcpu *cpu, enum vcpu_exit *why)
{
    if (!(attention_load(cpu) & ATTENTION_DEBUG) || !cpu->points || !points_leave(cpu)) {
        return false;
    }
    *why = VCPU_EXIT_DEBUG;
    return true;
}

/* Leave now? The reasons that are no business of the guest's. */
static bool must_leave(struct vcpu *cpu, enum vcpu_exit *why)
{
    uint32_t attention = attention_load(cpu);

    if (attention & ATTENTION_CODE) {
        attention_clear(cpu, ATTENTION_CODE);
    }
    if (attention & ATTENTION_KICK) {
        attention_clear(cpu, ATTENTION_KICK);
        *why = VCPU_EXIT_BUDGET;
        return true;
    }
    if ((attention & ATTENTION_DEBUG) && cpu->wiring.debug_stop &&
        cpu->wiring.debug_stop(cpu->wiring.board)) {
        *why = VCPU_EXIT_DEBUG;
        return true;
    }
    return debugger_leaves(cpu, why);
}

/* Execute from rip on: one instruction when every one is to be seen, else as many as go. */
static bool execute_some(struct vcpu *cpu)
{
    return tracing(cpu, TRACE_SINGLE) ? execute_single(cpu) : execute_code(cpu);
}

bool interp_deliver(struct vcpu *cpu)
{
    while (cpu->exception.pending) {
        bool shown = cpu->exception.shown;

        TRY(deliver_fault(cpu));
        if (cpu->exception.shown && !shown) {
            break; /* a debugger is to see it first */
        }
    }
    return true;
}

enum vcpu_exit interp_run(struct vcpu *cpu, uint64_t budget)
{
    cpu->budget_end = budget > UINT64_MAX - cpu->insn_count ? UINT64_MAX : cpu->insn_count + budget;
    return interp_slice(cpu, budget);
}

enum vcpu_exit interp_slice(struct vcpu *cpu, uint64_t insns)
{
    enum vcpu_exit why = VCPU_EXIT_BUDGET;
    unsigned events = 0;

    cpu->slice_end = insns > UINT64_MAX - cpu->insn_count ? UINT64_MAX : cpu->insn_count + insns;
    cpu->slice_end = MIN(cpu->slice_end, cpu->budget_end);
    while (cpu->insn_count < cpu->slice_end && events < EVENTS_MAX) {
        enum boundary boundary = BOUNDARY_EXECUTE;
        uint64_t retired = cpu->insn_count;

        if (UNLIKELY(cpu->exception.pending)) {
            if (debugger_leaves(cpu, &why)) {
                break;
            }
            boundary = BOUNDARY_EXCEPTION;
        } else if (attention_load(cpu)) {
            if (must_leave(cpu, &why)) {
                break;
            }
            boundary = serve_attention(cpu);
        }
        if (boundary == BOUNDARY_EXECUTE) {
            if (cpu->halted) {
                return VCPU_EXIT_HALT;
            }
            boundary = execute_some(cpu) ? BOUNDARY_EXECUTE : BOUNDARY_EXCEPTION;
        }
        if (boundary == BOUNDARY_EXCEPTION && cpu->exception.pending && !deliver_fault(cpu)) {
            return VCPU_EXIT_SHUTDOWN;
        }
        events = cpu->insn_count != retired || boundary == BOUNDARY_EXECUTE ? 0 : events + 1;
    }
    return why;
}
