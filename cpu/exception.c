/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Delivery of interrupts and exceptions, and the instructions that ask for it: INT n, INT3, INTO, INT1, BOUND.
 *
 * SDM: Volume 3A, "Interrupt and Exception Handling"; Volume 2A, "INT n/INTO/INT3/INT1"; Volume 3B, "8086
 * Emulation": "Software Interrupt Handling Methods While in Virtual-8086 Mode".
 *
 *   mode        table entry                 frame, top to bottom
 *   real        IVT: offset, segment        FLAGS CS IP
 *   protected   gate, same level            EFLAGS CS EIP [error]
 *               gate, inner level           SS ESP EFLAGS CS EIP [error]                    on the TSS's stack
 *   V86         gate to CPL 0               GS FS DS ES SS ESP EFLAGS CS EIP [error]        on the TSS's stack
 *               VME, bitmap bit clear       FLAGS CS IP                                     through the IVT
 *   both        task gate                   [error] on the new task's stack
 *
 * A fault on the way is a new exception that exception_deliver() combines with the old one:
 *
 *   first \ second   benign     contributory   page fault
 *   benign           second     second         second
 *   contributory     second     #DF            second
 *   page fault       second     #DF            #DF
 *   #DF              second     shutdown       shutdown
 */
#include <inttypes.h>
#include <stdlib.h>

#include "cpu/cpuid.h"
#include "cpu/debug.h"
#include "cpu/descriptor.h"
#include "cpu/exec.h"
#include "cpu/points.h"
#include "cpu/trace.h"

#define ERROR_EXT 1u
#define ERROR_IDT 2u

struct event {
    enum event_kind kind;
    uint8_t vector;
    bool has_error;
    uint32_t error_code;
    bool check_dpl;       /* INT n, INT3, INTO: the gate's DPL must let this CPL in */
    uint64_t saved_flags; /* the image of EFLAGS that is pushed */
};

/* ---- Logging --------------------------------------------------------------------------------------------- */

static void log_state(struct vcpu *cpu, uint32_t category)
{
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);

    if (!stream) {
        return;
    }
    vcpu_print(stream, cpu);
    fclose(stream);
    log_printf(cpu->wiring.log, category, "%s", text);
    free(text);
}

/* The line and register dump that QEMU's -d int gives, for the tools that read those. */
static void log_event(struct vcpu *cpu, const struct event *event)
{
    struct log *log = cpu->wiring.log;

    trace_event(cpu, event->kind, event->vector, event->has_error, event->error_code);
    if (!tracing(cpu, LOG_INT)) {
        return;
    }
    uint64_t pc = (uint32_t)(cpu->seg[SEG_CS].base + cpu->rip);
    char tail[40];
    snprintf(tail, sizeof(tail), "%s=%08" PRIx32, event->vector == EXC_PF ? "CR2" : "EAX",
             event->vector == EXC_PF ? (uint32_t)cpu->cr2 : reg32(cpu, RAX));
    log_printf(log, LOG_INT,
               "%6" PRIu64 ": v=%02x e=%04x i=%d cpl=%u IP=%04x:%08" PRIx64 " pc=%08" PRIx64
               " SP=%04x:%08" PRIx32 " %s\n",
               cpu->insn_count, event->vector, (unsigned)event->error_code, event->kind == EVENT_SOFTWARE,
               cpu->cpl, cpu->seg[SEG_CS].selector, cpu->rip, pc, cpu->seg[SEG_SS].selector, reg32(cpu, RSP),
               tail);
    log_state(cpu, LOG_INT);
}

/* ---- Real mode ------------------------------------------------------------------------------------------- */

/* FLAGS CS IP on the current stack, then on through the IVT entry at `table` + 4 * vector. */
static bool deliver_ivt(struct vcpu *cpu, lin_t table, uint8_t vector, uint16_t flags, uint64_t cleared)
{
    struct new_stack stack = stack_current(cpu);
    uint8_t entry[4];

    TRY(sys_read(cpu, (uint32_t)(table + 4u * vector), entry, sizeof(entry)));
    TRY(new_stack_check(cpu, &stack, 2, 3));
    if (load_le16(entry) > cpu->seg[SEG_CS].limit) {
        return raise_error(cpu, EXC_GP, 0);
    }
    TRY(new_stack_push(cpu, &stack, 2, flags));
    TRY(new_stack_push(cpu, &stack, 2, cpu->seg[SEG_CS].selector));
    TRY(new_stack_push(cpu, &stack, 2, (uint16_t)cpu->next_rip));
    new_stack_commit(cpu, &stack);
    rflags_set(cpu, 0, cleared);
    segment_load_real(cpu, SEG_CS, load_le16(entry + 2));
    cpu->next_rip = load_le16(entry);
    return true;
}

static bool deliver_real(struct vcpu *cpu, const struct event *event)
{
    if (4u * event->vector + 3 > cpu->idtr.limit) {
        return raise_error(cpu, EXC_GP, event->vector * 8u + ERROR_IDT);
    }
    return deliver_ivt(cpu, cpu->idtr.base, event->vector, (uint16_t)event->saved_flags,
                       RFLAGS_IF | RFLAGS_TF | RFLAGS_AC | RFLAGS_RF);
}

/* ---- Interrupt and trap gates ------------------------------------------------------------------------------ */

static uint32_t idt_error(const struct event *event)
{
    return event->vector * 8u + ERROR_IDT;
}

static bool fetch_gate(struct vcpu *cpu, const struct event *event, struct descriptor *gate)
{
    const unsigned valid = 1u << TYPE_TASK_GATE | 1u << TYPE_INTERRUPT_GATE16 | 1u << TYPE_TRAP_GATE16 |
                           1u << TYPE_INTERRUPT_GATE32 | 1u << TYPE_TRAP_GATE32;
    uint8_t bytes[8];

    if (8u * event->vector + 7 > cpu->idtr.limit) {
        return raise_error(cpu, EXC_GP, idt_error(event));
    }
    TRY(sys_read(cpu, (uint32_t)(cpu->idtr.base + 8u * event->vector), bytes, sizeof(bytes)));
    descriptor_parse(gate, bytes);
    if (!(valid & 1u << descriptor_system_type(gate)) ||
        (event->check_dpl && descriptor_dpl(gate) < cpu->cpl)) {
        return raise_error(cpu, EXC_GP, idt_error(event));
    }
    return (gate->attr & SEG_P) || raise_error(cpu, EXC_NP, idt_error(event));
}

/* The handler's code segment; *inner when the privilege level changes. */
static bool fetch_handler(struct vcpu *cpu, const struct descriptor *gate, struct descriptor *code,
                          bool *inner)
{
    uint16_t selector = gate_selector(gate);

    TRY(descriptor_fetch(cpu, selector, EXC_GP, code));
    unsigned dpl = descriptor_dpl(code);
    if (!descriptor_is_code(code) || dpl > cpu->cpl) {
        return raise_error(cpu, EXC_GP, selector_error(selector));
    }
    if (!(code->attr & SEG_P)) {
        return raise_error(cpu, EXC_NP, selector_error(selector));
    }
    *inner = !descriptor_is_conforming(code) && dpl < cpu->cpl;
    if (cpu->v86 && (!*inner || dpl != 0)) {
        return raise_error(cpu, EXC_GP, selector_error(selector));
    }
    return true;
}

/* The words of a frame, in the order they are pushed. */
struct frame {
    uint32_t word[10];
    unsigned count;
};

static void frame_add(struct frame *frame, uint32_t value)
{
    frame->word[frame->count++] = value;
}

static void build_frame(const struct vcpu *cpu, const struct event *event, bool inner, struct frame *frame)
{
    frame->count = 0;
    if (cpu->v86) {
        frame_add(frame, cpu->seg[SEG_GS].selector);
        frame_add(frame, cpu->seg[SEG_FS].selector);
        frame_add(frame, cpu->seg[SEG_DS].selector);
        frame_add(frame, cpu->seg[SEG_ES].selector);
    }
    if (inner) {
        frame_add(frame, cpu->seg[SEG_SS].selector);
        frame_add(frame, reg32(cpu, RSP));
    }
    frame_add(frame, (uint32_t)event->saved_flags);
    frame_add(frame, cpu->seg[SEG_CS].selector);
    frame_add(frame, (uint32_t)cpu->next_rip);
    if (event->has_error) {
        frame_add(frame, event->error_code);
    }
}

/* V86 mode is left: the segments it used mean nothing to the handler. */
static void drop_v86_segments(struct vcpu *cpu)
{
    static const enum sreg data[] = {SEG_ES, SEG_DS, SEG_FS, SEG_GS};

    for (size_t i = 0; i < ARRAY_LEN(data); i++) {
        cpu->seg[data[i]] = segment_null(0);
        vcpu_sync_segment(cpu, data[i]);
    }
}

static bool deliver_gate(struct vcpu *cpu, const struct event *event, const struct descriptor *gate)
{
    unsigned size = (gate->attr & TYPE_32BIT_BIT) ? 4 : 2;
    bool interrupt_gate = !(gate->attr & 1), inner = false, from_v86 = cpu->v86;
    struct new_stack stack = stack_current(cpu);
    struct descriptor code;
    struct frame frame;

    TRY(fetch_handler(cpu, gate, &code, &inner));
    unsigned cpl = inner ? descriptor_dpl(&code) : cpu->cpl;
    if (inner) {
        TRY(stack_from_tss(cpu, cpl, &stack));
    }
    build_frame(cpu, event, inner, &frame);
    TRY(new_stack_check(cpu, &stack, size, frame.count));
    TRY(transfer_check_limit(cpu, &code, gate_offset(gate)));
    TRY(descriptor_set_accessed(cpu, &code));
    for (unsigned i = 0; i < frame.count; i++) {
        TRY(new_stack_push(cpu, &stack, size, frame.word[i]));
    }
    if (from_v86) {
        drop_v86_segments(cpu);
    }
    rflags_set(cpu, 0, RFLAGS_TF | RFLAGS_NT | RFLAGS_VM | RFLAGS_RF | (interrupt_gate ? RFLAGS_IF : 0));
    new_stack_commit(cpu, &stack);
    transfer_commit(cpu, &code, cpl, gate_offset(gate));
    return true;
}

static bool deliver_protected(struct vcpu *cpu, const struct event *event)
{
    struct descriptor gate;

    TRY(fetch_gate(cpu, event, &gate));
    if (descriptor_system_type(&gate) == TYPE_TASK_GATE) {
        return task_switch_saving(cpu, gate_selector(&gate), TASK_GATE_EVENT, event->has_error,
                                  event->error_code, event->saved_flags);
    }
    return deliver_gate(cpu, event, &gate);
}

/* ---- Events ---------------------------------------------------------------------------------------------- */

static bool is_fault(uint8_t vector)
{
    const uint32_t faults = 1u << EXC_DE | 1u << EXC_BR | 1u << EXC_UD | 1u << EXC_NM | 1u << EXC_TS |
                            1u << EXC_NP | 1u << EXC_SS | 1u << EXC_GP | 1u << EXC_PF | 1u << EXC_MF |
                            1u << EXC_AC | 1u << EXC_XM;

    return vector < 32 && (faults >> vector & 1);
}

/* Error codes of these name a selector and have the EXT bit. */
static bool has_selector_error(uint8_t vector)
{
    return vector == EXC_TS || vector == EXC_NP || vector == EXC_SS || vector == EXC_GP;
}

/* Traps of the instruction that the event interrupts. A fault drops them: the instruction runs again. INT n drops
 * the single step; what its stores hit, or a MOV SS before it, is reported in the handler. */
static void drop_pending_traps(struct vcpu *cpu, const struct event *event)
{
    cpu->pending_dr6 &= event->kind == EVENT_EXCEPTION ? 0 : ~DR6_BS;
    vcpu_sync_attention(cpu);
}

static void accept(struct vcpu *cpu, const struct event *event)
{
    cpu->halted = false;
    vcpu_set_shadow(cpu, SHADOW_NONE);
    if (event->kind == EVENT_NMI) {
        cpu->nmi_pending = false;
        cpu->nmi_blocked = true;
    }
    drop_pending_traps(cpu, event);
}

static bool deliver(struct vcpu *cpu, const struct event *event)
{
    log_event(cpu, event);
    accept(cpu, event);
    bool done = (cpu->cr0 & CR0_PE) ? deliver_protected(cpu, event) : deliver_real(cpu, event);
    if (!done) {
        if (!event->check_dpl && has_selector_error(cpu->exception.vector)) {
            cpu->exception.error_code |= ERROR_EXT;
        }
        return false;
    }
    if (event->vector == EXC_DB && event->kind != EVENT_SOFTWARE) {
        cpu->dr[7] &= ~DR7_GD;
    }
    cpu->rip = cpu->next_rip;
    return true;
}

bool event_deliver(struct vcpu *cpu, enum event_kind kind, uint8_t vector, bool has_error,
                   uint32_t error_code)
{
    struct event event = {
        .kind = kind,
        .vector = vector,
        .has_error = has_error,
        .error_code = error_code,
        .check_dpl = kind == EVENT_SOFTWARE,
        .saved_flags = cpu->rflags,
    };

    if (kind != EVENT_SOFTWARE) {
        cpu->next_rip = cpu->rip;
    }
    if (kind == EVENT_EXCEPTION && is_fault(vector)) {
        event.saved_flags |= RFLAGS_RF;
    }
    return deliver(cpu, &event);
}

/* ---- Exceptions upon exceptions ---------------------------------------------------------------------------- */

enum exception_class { CLASS_BENIGN, CLASS_CONTRIBUTORY, CLASS_PAGE_FAULT, CLASS_DOUBLE_FAULT };

static enum exception_class classify(uint8_t vector)
{
    switch (vector) {
    case EXC_DE:
    case EXC_TS:
    case EXC_NP:
    case EXC_SS:
    case EXC_GP:
        return CLASS_CONTRIBUTORY;
    case EXC_PF:
        return CLASS_PAGE_FAULT;
    case EXC_DF:
        return CLASS_DOUBLE_FAULT;
    default:
        return CLASS_BENIGN;
    }
}

/*
 * DEVIATION: an #AC handler at CPL 3 on a misaligned stack makes #AC upon #AC for ever, as #AC is benign, and a processor
 * hangs until RESET#. So many deliveries of one exception are a shutdown here: the host has to get its thread back.
 */
enum { DELIVERIES_MAX = 1000 };

/* Do first and second make a double fault (or, when the first is one, a shutdown)? */
static bool escalates(enum exception_class first, enum exception_class second)
{
    if (second == CLASS_BENIGN || first == CLASS_BENIGN) {
        return false;
    }
    return first != CLASS_CONTRIBUTORY || second != CLASS_PAGE_FAULT;
}

static void log_check_exception(struct vcpu *cpu, int old, uint8_t new)
{
    log_printf(cpu->wiring.log, LOG_INT, "check_exception old: 0x%x new 0x%x\n", (unsigned)old, new);
}

static void record_link(const struct vcpu *cpu, struct shutdown_report *report, unsigned link,
                        const struct exception *exception)
{
    if (link == 0) {
        report->cr2 = cpu->cr2;
    }
    report->vector[link] = exception->vector;
    report->error_code[link] = exception->error_code;
    report->count = link + 1;
}

static bool shut_down(struct vcpu *cpu, const struct shutdown_report *report)
{
    cpu->shutdown = *report;
    cpu->exception = (struct exception){0};
    if (cpu->wiring.log && log_enabled(cpu->wiring.log, LOG_CPU_RESET | LOG_INT)) {
        log_printf(cpu->wiring.log, LOG_CPU_RESET | LOG_INT, "Triple fault\n");
        log_state(cpu, LOG_CPU_RESET | LOG_INT);
    }
    return false;
}

/* A debugger wants to see it first: it stays pending. */
static bool hold(struct vcpu *cpu, const struct exception *exception, const struct shutdown_report *report)
{
    cpu->shutdown = *report;
    cpu->exception = *exception;
    cpu->exception.pending = cpu->exception.shown = true;
    return true;
}

bool exception_deliver(struct vcpu *cpu)
{
    struct exception current = cpu->exception;
    struct shutdown_report report = {.rip = cpu->rip};

    if (current.shown) {
        report = cpu->shutdown; /* as it was when the debugger was shown this one */
    } else {
        log_check_exception(cpu, -1, current.vector);
        record_link(cpu, &report, 0, &current);
    }
    for (unsigned i = 0; i < DELIVERIES_MAX; i++) {
        if (UNLIKELY(cpu->points != NULL) && points_exception(cpu, &current)) {
            return hold(cpu, &current, &report);
        }
        cpu->exception.pending = false;
        if (event_deliver(cpu, EVENT_EXCEPTION, current.vector, current.has_error, current.error_code)) {
            return true;
        }
        struct exception next = cpu->exception;
        log_check_exception(cpu, current.vector, next.vector);
        if (!escalates(classify(current.vector), classify(next.vector))) {
            record_link(cpu, &report, 0, &next);
        } else if (current.vector == EXC_DF) {
            return shut_down(cpu, &report);
        } else {
            record_link(cpu, &report, 1, &next);
            next = (struct exception){.vector = EXC_DF, .pending = true, .has_error = true};
            record_link(cpu, &report, 2, &next);
        }
        current = next;
    }
    return shut_down(cpu, &report);
}

/* ---- Software interrupts ----------------------------------------------------------------------------------- */

/* Virtual-8086 mode extensions: a clear bit in the TSS's map sends INT n to the 8086 program's own handler. */
static bool read_redirection(struct vcpu *cpu, uint8_t vector, bool *own_handler)
{
    const struct segment *tr = &cpu->tr;
    uint8_t bytes[2];

    if ((tr->attr & SEG_TYPE) != TYPE_TSS32_BUSY || tr->limit < 0x67) {
        return raise_error(cpu, EXC_GP, 0);
    }
    TRY(sys_read(cpu, (uint32_t)(tr->base + 0x66), bytes, 2));
    /* The 32 bytes of the map end where the I/O map begins. */
    uint32_t offset = load_le16(bytes) - 32u + vector / 8u;
    if (offset > tr->limit) {
        return raise_error(cpu, EXC_GP, 0);
    }
    TRY(sys_read(cpu, (uint32_t)(tr->base + offset), bytes, 1));
    *own_handler = !(bytes[0] >> (vector % 8) & 1);
    return true;
}

/* INT n as an 8086 does it, inside V86 mode; with IOPL < 3 VIF stands for IF. */
static bool deliver_redirected(struct vcpu *cpu, uint8_t vector)
{
    uint64_t flags = cpu->rflags, cleared = RFLAGS_TF | RFLAGS_RF | RFLAGS_IF;

    if (bits_get(flags, 13, 12) < 3) {
        flags = (flags & ~RFLAGS_IF) | RFLAGS_IOPL | ((flags & RFLAGS_VIF) ? RFLAGS_IF : 0);
        cleared = RFLAGS_TF | RFLAGS_RF | RFLAGS_VIF;
    }
    TRY(deliver_ivt(cpu, 0, vector, (uint16_t)flags, cleared));
    cpu->pending_dr6 &= ~DR6_BS;
    vcpu_sync_attention(cpu);
    return true;
}

bool exec_int_Ib(struct vcpu *cpu, const struct insn *insn)
{
    uint8_t vector = (uint8_t)insn->imm;

    if (cpu->v86) {
        bool own_handler = false;
        if (cpu->cr4 & CR4_VME) {
            TRY(read_redirection(cpu, vector, &own_handler));
        }
        if (own_handler) {
            return deliver_redirected(cpu, vector);
        }
        if (bits_get(cpu->rflags, 13, 12) < 3) {
            return raise_error(cpu, EXC_GP, 0);
        }
    }
    return event_deliver(cpu, EVENT_SOFTWARE, vector, false, 0);
}

/* INT3 and INTO end in the handler of an exception that is not one until it is delivered. True: a debugger wants to see it
 * first; the instruction has not been executed, and will be when the processor goes on. */
static bool shown_first(struct vcpu *cpu, uint8_t vector)
{
    return UNLIKELY(cpu->points != NULL) && points_software_exception(cpu, vector);
}

bool exec_int3(struct vcpu *cpu, const struct insn *insn)
{
    (void)insn;
    return !shown_first(cpu, EXC_BP) && event_deliver(cpu, EVENT_SOFTWARE, EXC_BP, false, 0);
}

bool exec_into(struct vcpu *cpu, const struct insn *insn)
{
    (void)insn;
    return !(cpu->rflags & RFLAGS_OF) ||
           (!shown_first(cpu, EXC_OF) && event_deliver(cpu, EVENT_SOFTWARE, EXC_OF, false, 0));
}

/* ICEBP: #DB after the instruction, without the look at the gate's DPL that INT n takes. */
bool exec_int1(struct vcpu *cpu, const struct insn *insn)
{
    struct event event = {.kind = EVENT_EXTERNAL, .vector = EXC_DB, .saved_flags = cpu->rflags};

    (void)insn;
    return deliver(cpu, &event);
}

/* UD0, UD1, UD2, and what the opcode table does not know. */
bool exec_ud(struct vcpu *cpu, const struct insn *insn)
{
    (void)insn;
    return raise_exception(cpu, EXC_UD);
}

/* ---- BOUND ----------------------------------------------------------------------------------------------- */

static bool check_bounds(struct vcpu *cpu, int32_t index, int32_t lower, int32_t upper)
{
    return (index >= lower && index <= upper) || raise_exception(cpu, EXC_BR);
}

/* Offset of the upper bound. The two are operands of their own: each wraps and is aligned by itself. */
static uint32_t upper_bound_offset(const struct insn *insn, uint32_t lower, unsigned size)
{
    return insn->addrsize == 2 ? (uint16_t)(lower + size) : lower + size;
}

bool exec_bound_16(struct vcpu *cpu, const struct insn *insn)
{
    uint32_t offset = insn_ea(cpu, insn);
    uint16_t lower, upper;

    TRY(mem_read16(cpu, (enum sreg)insn->seg, offset, &lower));
    TRY(mem_read16(cpu, (enum sreg)insn->seg, upper_bound_offset(insn, offset, 2), &upper));
    return check_bounds(cpu, (int16_t)reg16(cpu, insn->reg), (int16_t)lower, (int16_t)upper);
}

bool exec_bound_32(struct vcpu *cpu, const struct insn *insn)
{
    uint32_t offset = insn_ea(cpu, insn);
    uint32_t lower, upper;

    TRY(mem_read32(cpu, (enum sreg)insn->seg, offset, &lower));
    TRY(mem_read32(cpu, (enum sreg)insn->seg, upper_bound_offset(insn, offset, 4), &upper));
    return check_bounds(cpu, (int32_t)reg32(cpu, insn->reg), (int32_t)lower, (int32_t)upper);
}
