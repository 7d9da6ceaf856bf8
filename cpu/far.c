/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Far transfers of control by instructions: JMP, CALL, RET, IRET.
 *
 * SDM: Volume 2, "JMP", "CALL", "RET", "IRET"; Volume 3A, "Protection": "Privilege Level Checking When
 * Transferring Program Control Between Code Segments"; Volume 3B, "8086 Emulation".
 *
 *   target of JMP, CALL       real, V86     protected
 *   selector                  CS = sel*16   code segment: conforming DPL <= CPL, else DPL = CPL >= RPL
 *                                           call gate: also inward (CALL), with a new stack from the TSS
 *                                           task gate, TSS: task switch
 *   RET, IRET                 CS = sel*16   same level, or outward with SS:ESP from the stack
 *   IRET                                    NT: task switch; VM in the image at CPL 0: to V86 mode
 *
 * Everything is checked, and the words of a new frame are written, before the first register changes. Frames
 * below the stack pointer may be written in part when a fault ends the instruction, as on a processor.
 */
#include "cpu/cpuid.h"
#include "cpu/descriptor.h"
#include "cpu/exec.h"

static bool gp(struct vcpu *cpu, uint16_t selector)
{
    return raise_error(cpu, EXC_GP, selector_error(selector));
}

/* ---- Near targets ---------------------------------------------------------------------------------------- */

bool branch_near(struct vcpu *cpu, const struct insn *insn, uint32_t target)
{
    if (insn->opsize == 2) {
        target &= 0xffff;
    }
    if (target > cpu->seg[SEG_CS].limit) {
        return raise_error(cpu, EXC_GP, 0);
    }
    cpu->next_rip = target;
    return true;
}

/* ---- Stacks ---------------------------------------------------------------------------------------------- */

static uint32_t stack_offset(const struct segment *ss, uint32_t esp)
{
    return (ss->attr & SEG_DB) ? esp : esp & 0xffff;
}

/* esp + n on a stack of the size that ss has. */
static uint32_t stack_move(const struct segment *ss, uint32_t esp, uint32_t n)
{
    return (ss->attr & SEG_DB) ? esp + n : (esp & 0xffff0000) | ((esp + n) & 0xffff);
}

struct new_stack stack_current(const struct vcpu *cpu)
{
    return (struct new_stack){.ss = cpu->seg[SEG_SS], .esp = reg32(cpu, RSP)};
}

/* Where the TSS keeps the stack of privilege level cpl. */
static bool read_tss_stack(struct vcpu *cpu, unsigned cpl, uint32_t *esp, uint16_t *ss)
{
    const struct segment *tr = &cpu->tr;
    bool wide = tr->attr & TYPE_32BIT_BIT;
    uint32_t offset = wide ? 4 + 8 * cpl : 2 + 4 * cpl;
    uint8_t bytes[6];
    unsigned size = wide ? 6 : 4;

    if (offset + size - 1 > tr->limit) {
        return raise_error(cpu, EXC_TS, selector_error(tr->selector));
    }
    TRY(sys_read(cpu, (uint32_t)(tr->base + offset), bytes, size));
    *esp = wide ? load_le32(bytes) : load_le16(bytes);
    *ss = load_le16(bytes + (wide ? 4 : 2));
    return true;
}

bool stack_from_tss(struct vcpu *cpu, unsigned cpl, struct new_stack *stack)
{
    struct descriptor descriptor;
    uint16_t selector = 0;

    TRY(read_tss_stack(cpu, cpl, &stack->esp, &selector));
    TRY(descriptor_fetch(cpu, selector, EXC_TS, &descriptor));
    if (selector_rpl(selector) != cpl || descriptor_dpl(&descriptor) != cpl ||
        !descriptor_is_writable_data(&descriptor)) {
        return raise_error(cpu, EXC_TS, selector_error(selector));
    }
    if (!(descriptor.attr & SEG_P)) {
        return raise_error(cpu, EXC_SS, selector_error(selector));
    }
    TRY(descriptor_set_accessed(cpu, &descriptor));
    stack->ss = descriptor_segment(&descriptor, selector);
    stack->inner = true;
    stack->error_code = selector_error(selector);
    return true;
}

bool new_stack_check(struct vcpu *cpu, const struct new_stack *stack, unsigned size, unsigned count)
{
    uint32_t esp = stack->esp;

    if (stack->ss.attr & SEG_UNUSABLE) {
        return raise_error(cpu, EXC_SS, stack->error_code);
    }
    for (unsigned i = 0; i < count; i++) {
        esp = stack_move(&stack->ss, esp, 0u - size);
        if (!segment_contains(&stack->ss, stack_offset(&stack->ss, esp), size)) {
            return raise_error(cpu, EXC_SS, stack->error_code);
        }
    }
    return true;
}

bool new_stack_push(struct vcpu *cpu, struct new_stack *stack, unsigned size, uint32_t value)
{
    uint32_t esp = stack_move(&stack->ss, stack->esp, 0u - size);
    uint32_t offset = stack_offset(&stack->ss, esp);

    if (stack->inner) {
        uint8_t bytes[4];
        store_le32(bytes, value);
        TRY(sys_write(cpu, (uint32_t)(stack->ss.base + offset), bytes, size));
    } else if (size == 2) {
        TRY(mem_write16(cpu, SEG_SS, offset, (uint16_t)value));
    } else {
        TRY(mem_write32(cpu, SEG_SS, offset, value));
    }
    stack->esp = esp;
    return true;
}

void new_stack_commit(struct vcpu *cpu, const struct new_stack *stack)
{
    cpu->seg[SEG_SS] = stack->ss;
    if (stack->ss.attr & SEG_DB) {
        set_reg32(cpu, RSP, stack->esp);
    } else {
        set_reg16(cpu, RSP, (uint16_t)stack->esp);
    }
}

/* Read the word at *esp of the current stack and move on; ESP itself stays. */
static bool peek_word(struct vcpu *cpu, uint32_t *esp, unsigned size, uint32_t *value)
{
    const struct segment *ss = &cpu->seg[SEG_SS];
    uint32_t offset = stack_offset(ss, *esp);

    if (size == 2) {
        uint16_t word;
        TRY(mem_read16(cpu, SEG_SS, offset, &word));
        *value = word;
    } else {
        TRY(mem_read32(cpu, SEG_SS, offset, value));
    }
    *esp = stack_move(ss, *esp, size);
    return true;
}

/* ---- CS:EIP ---------------------------------------------------------------------------------------------- */

bool transfer_check_limit(struct vcpu *cpu, const struct descriptor *code, uint32_t offset)
{
    return offset <= descriptor_segment(code, 0).limit || raise_error(cpu, EXC_GP, 0);
}

void transfer_commit(struct vcpu *cpu, const struct descriptor *code, unsigned cpl, uint32_t offset)
{
    uint16_t selector = (uint16_t)((code->selector & 0xfffc) | cpl);

    cpu->seg[SEG_CS] = descriptor_segment(code, selector);
    cpu->next_rip = offset;
    vcpu_sync_mode(cpu);
}

/* Real and V86 mode: any selector will do, the offset must lie within the limit that CS has. */
static bool check_offset_real(struct vcpu *cpu, uint32_t offset)
{
    return offset <= cpu->seg[SEG_CS].limit || raise_error(cpu, EXC_GP, 0);
}

static void commit_real(struct vcpu *cpu, uint16_t selector, uint32_t offset)
{
    segment_load_real(cpu, SEG_CS, selector);
    cpu->next_rip = offset;
}

/* ---- Targets in descriptor tables -------------------------------------------------------------------------- */

/* The code segment of a direct far JMP or CALL. */
static bool check_direct(struct vcpu *cpu, const struct descriptor *code)
{
    unsigned dpl = descriptor_dpl(code);

    if (descriptor_is_conforming(code) ? dpl > cpu->cpl
                                       : dpl != cpu->cpl || selector_rpl(code->selector) > cpu->cpl) {
        return gp(cpu, code->selector);
    }
    return (code->attr & SEG_P) || raise_error(cpu, EXC_NP, selector_error(code->selector));
}

/* May this program use the gate, or the TSS, that `descriptor` is? */
static bool check_gate(struct vcpu *cpu, const struct descriptor *descriptor)
{
    unsigned dpl = descriptor_dpl(descriptor);

    if (dpl < cpu->cpl || dpl < selector_rpl(descriptor->selector)) {
        return gp(cpu, descriptor->selector);
    }
    return (descriptor->attr & SEG_P) || raise_error(cpu, EXC_NP, selector_error(descriptor->selector));
}

/* The code segment that a call gate names. A CALL may go inward; a JMP through a gate may not. */
static bool fetch_gate_target(struct vcpu *cpu, const struct descriptor *gate, bool call,
                              struct descriptor *code)
{
    uint16_t selector = gate_selector(gate);

    TRY(descriptor_fetch(cpu, selector, EXC_GP, code));
    unsigned dpl = descriptor_dpl(code);
    bool allowed = (call || descriptor_is_conforming(code)) ? dpl <= cpu->cpl : dpl == cpu->cpl;
    if (!descriptor_is_code(code) || !allowed) {
        return gp(cpu, selector);
    }
    return (code->attr & SEG_P) || raise_error(cpu, EXC_NP, selector_error(selector));
}

/* ---- JMP ------------------------------------------------------------------------------------------------- */

static bool jump_to_code(struct vcpu *cpu, struct descriptor *code, uint32_t offset)
{
    TRY(transfer_check_limit(cpu, code, offset));
    TRY(descriptor_set_accessed(cpu, code));
    transfer_commit(cpu, code, cpu->cpl, offset);
    return true;
}

static bool jump_through_gate(struct vcpu *cpu, const struct descriptor *gate)
{
    struct descriptor code;

    TRY(fetch_gate_target(cpu, gate, false, &code));
    return jump_to_code(cpu, &code, gate_offset(gate));
}

static bool call_to_code(struct vcpu *cpu, struct descriptor *code, uint32_t offset, unsigned size);
static bool call_through_gate(struct vcpu *cpu, const struct descriptor *gate);

/* JMP and CALL in protected mode. */
static bool transfer_protected(struct vcpu *cpu, uint16_t selector, uint32_t offset, bool call, unsigned size)
{
    enum task_switch_cause cause = call ? TASK_CALL : TASK_JMP;
    struct descriptor target;

    TRY(descriptor_fetch(cpu, selector, EXC_GP, &target));
    if (descriptor_is_code(&target)) {
        TRY(check_direct(cpu, &target));
        return call ? call_to_code(cpu, &target, offset, size) : jump_to_code(cpu, &target, offset);
    }
    switch (descriptor_system_type(&target)) {
    case TYPE_CALL_GATE16:
    case TYPE_CALL_GATE32:
        TRY(check_gate(cpu, &target));
        return call ? call_through_gate(cpu, &target) : jump_through_gate(cpu, &target);
    case TYPE_TASK_GATE:
        TRY(check_gate(cpu, &target));
        return task_switch(cpu, gate_selector(&target), cause, false, 0);
    case TYPE_TSS16_AVAILABLE:
    case TYPE_TSS32_AVAILABLE:
        TRY(check_gate(cpu, &target));
        return task_switch(cpu, selector, cause, false, 0);
    default:
        return gp(cpu, selector);
    }
}

static bool jump_far(struct vcpu *cpu, uint16_t selector, uint32_t offset)
{
    if (cpu->protected_mode) {
        return transfer_protected(cpu, selector, offset, false, 0);
    }
    TRY(check_offset_real(cpu, offset));
    commit_real(cpu, selector, offset);
    return true;
}

/* ---- CALL ------------------------------------------------------------------------------------------------ */

/* Return address on the current stack. */
static bool push_return(struct vcpu *cpu, struct new_stack *stack, unsigned size)
{
    TRY(new_stack_push(cpu, stack, size, cpu->seg[SEG_CS].selector));
    return new_stack_push(cpu, stack, size, (uint32_t)cpu->next_rip);
}

static bool call_to_code(struct vcpu *cpu, struct descriptor *code, uint32_t offset, unsigned size)
{
    struct new_stack stack = stack_current(cpu);

    TRY(new_stack_check(cpu, &stack, size, 2));
    TRY(transfer_check_limit(cpu, code, offset));
    TRY(descriptor_set_accessed(cpu, code));
    TRY(push_return(cpu, &stack, size));
    new_stack_commit(cpu, &stack);
    transfer_commit(cpu, code, cpu->cpl, offset);
    return true;
}

/* Parameters move from the old stack to the new one, in the order they have. */
static bool copy_parameters(struct vcpu *cpu, struct new_stack *stack, unsigned size, unsigned count)
{
    uint32_t values[31];
    uint32_t esp = reg32(cpu, RSP);

    for (unsigned i = 0; i < count; i++) {
        TRY(peek_word(cpu, &esp, size, &values[i]));
    }
    while (count > 0) {
        TRY(new_stack_push(cpu, stack, size, values[--count]));
    }
    return true;
}

/*
 * Inward through a call gate:
 *
 *   new stack   old SS | old ESP | parameters | old CS | old EIP
 */
static bool call_inner(struct vcpu *cpu, const struct descriptor *gate, struct descriptor *code,
                       unsigned size)
{
    unsigned count = gate->high & 0x1f, dpl = descriptor_dpl(code);
    uint32_t offset = gate_offset(gate);
    struct new_stack stack;

    TRY(stack_from_tss(cpu, dpl, &stack));
    TRY(new_stack_check(cpu, &stack, size, 4 + count));
    TRY(transfer_check_limit(cpu, code, offset));
    TRY(descriptor_set_accessed(cpu, code));
    TRY(new_stack_push(cpu, &stack, size, cpu->seg[SEG_SS].selector));
    TRY(new_stack_push(cpu, &stack, size, reg32(cpu, RSP)));
    TRY(copy_parameters(cpu, &stack, size, count));
    TRY(push_return(cpu, &stack, size));
    new_stack_commit(cpu, &stack);
    transfer_commit(cpu, code, dpl, offset);
    return true;
}

static bool call_through_gate(struct vcpu *cpu, const struct descriptor *gate)
{
    unsigned size = (gate->attr & TYPE_32BIT_BIT) ? 4 : 2;
    struct descriptor code;

    TRY(fetch_gate_target(cpu, gate, true, &code));
    if (!descriptor_is_conforming(&code) && descriptor_dpl(&code) < cpu->cpl) {
        return call_inner(cpu, gate, &code, size);
    }
    return call_to_code(cpu, &code, gate_offset(gate), size);
}

static bool call_far(struct vcpu *cpu, uint16_t selector, uint32_t offset, unsigned size)
{
    struct new_stack stack = stack_current(cpu);

    if (cpu->protected_mode) {
        return transfer_protected(cpu, selector, offset, true, size);
    }
    TRY(new_stack_check(cpu, &stack, size, 2));
    TRY(check_offset_real(cpu, offset));
    TRY(push_return(cpu, &stack, size));
    new_stack_commit(cpu, &stack);
    commit_real(cpu, selector, offset);
    return true;
}

/* ---- RET and IRET: common parts ---------------------------------------------------------------------------- */

/* The code segment returned to; its selector's RPL is the level returned to. */
static bool fetch_return_target(struct vcpu *cpu, uint16_t selector, struct descriptor *code)
{
    unsigned rpl = selector_rpl(selector);

    TRY(descriptor_fetch(cpu, selector, EXC_GP, code));
    unsigned dpl = descriptor_dpl(code);
    if (!descriptor_is_code(code) || rpl < cpu->cpl ||
        (descriptor_is_conforming(code) ? dpl > rpl : dpl != rpl)) {
        return gp(cpu, selector);
    }
    return (code->attr & SEG_P) || raise_error(cpu, EXC_NP, selector_error(selector));
}

/* The stack segment of the outer level returned to. */
static bool fetch_return_stack(struct vcpu *cpu, uint16_t selector, unsigned level, struct descriptor *stack)
{
    TRY(descriptor_fetch(cpu, selector, EXC_GP, stack));
    if (selector_rpl(selector) != level || !descriptor_is_writable_data(stack) ||
        descriptor_dpl(stack) != level) {
        return gp(cpu, selector);
    }
    return (stack->attr & SEG_P) || raise_error(cpu, EXC_SS, selector_error(selector));
}

/* Outward, a data segment that the new level may not use becomes null. */
static void drop_inner_segments(struct vcpu *cpu)
{
    static const enum sreg data[] = {SEG_ES, SEG_DS, SEG_FS, SEG_GS};

    for (size_t i = 0; i < ARRAY_LEN(data); i++) {
        const struct segment *segment = &cpu->seg[data[i]];
        bool conforming = (segment->attr & SEG_TYPE_CODE) && (segment->attr & SEG_TYPE_ED);

        if (!(segment->attr & SEG_UNUSABLE) && !conforming && segment_dpl(segment) < cpu->cpl) {
            cpu->seg[data[i]] = segment_null(0);
            vcpu_sync_segment(cpu, data[i]);
        }
    }
}

/* A return frame as read from the stack, and where the stack stands behind what was read. */
struct return_frame {
    uint32_t eip, cs, eflags, esp, ss;
    uint32_t next_esp;
};

/* Outward: check and commit SS:ESP (moved by `release`) and CS:EIP. Flags are the caller's, before this. */
static bool check_outer(struct vcpu *cpu, const struct return_frame *frame, struct descriptor *code,
                        struct descriptor *stack)
{
    TRY(fetch_return_stack(cpu, (uint16_t)frame->ss, selector_rpl(code->selector), stack));
    TRY(transfer_check_limit(cpu, code, frame->eip));
    TRY(descriptor_set_accessed(cpu, stack));
    return descriptor_set_accessed(cpu, code);
}

static void commit_outer(struct vcpu *cpu, const struct return_frame *frame, const struct descriptor *code,
                         const struct descriptor *stack, uint16_t release)
{
    struct new_stack outer = {.ss = descriptor_segment(stack, (uint16_t)frame->ss)};

    outer.esp = stack_move(&outer.ss, frame->esp, release);
    new_stack_commit(cpu, &outer);
    transfer_commit(cpu, code, selector_rpl(code->selector), frame->eip);
    drop_inner_segments(cpu);
}

/* Move ESP of the stack that stays. */
static void set_stack_pointer(struct vcpu *cpu, uint32_t esp)
{
    struct new_stack stack = {.ss = cpu->seg[SEG_SS], .esp = esp};
    new_stack_commit(cpu, &stack);
}

/* ---- RET ------------------------------------------------------------------------------------------------- */

static bool ret_outer(struct vcpu *cpu, struct return_frame *frame, struct descriptor *code, unsigned size,
                      uint16_t release)
{
    struct descriptor stack;
    uint32_t esp = stack_move(&cpu->seg[SEG_SS], frame->next_esp, release);

    TRY(peek_word(cpu, &esp, size, &frame->esp));
    TRY(peek_word(cpu, &esp, size, &frame->ss));
    TRY(check_outer(cpu, frame, code, &stack));
    commit_outer(cpu, frame, code, &stack, release);
    return true;
}

static bool ret_protected(struct vcpu *cpu, struct return_frame *frame, unsigned size, uint16_t release)
{
    struct descriptor code;

    TRY(fetch_return_target(cpu, (uint16_t)frame->cs, &code));
    if (selector_rpl((uint16_t)frame->cs) > cpu->cpl) {
        return ret_outer(cpu, frame, &code, size, release);
    }
    TRY(transfer_check_limit(cpu, &code, frame->eip));
    TRY(descriptor_set_accessed(cpu, &code));
    set_stack_pointer(cpu, stack_move(&cpu->seg[SEG_SS], frame->next_esp, release));
    transfer_commit(cpu, &code, cpu->cpl, frame->eip);
    return true;
}

static bool ret_far(struct vcpu *cpu, unsigned size, uint16_t release)
{
    struct return_frame frame = {.next_esp = reg32(cpu, RSP)};

    TRY(peek_word(cpu, &frame.next_esp, size, &frame.eip));
    TRY(peek_word(cpu, &frame.next_esp, size, &frame.cs));
    if (cpu->protected_mode) {
        return ret_protected(cpu, &frame, size, release);
    }
    TRY(check_offset_real(cpu, frame.eip));
    set_stack_pointer(cpu, stack_move(&cpu->seg[SEG_SS], frame.next_esp, release));
    commit_real(cpu, (uint16_t)frame.cs, frame.eip);
    return true;
}

/* ---- IRET ------------------------------------------------------------------------------------------------ */

#define IRET_FLAGS16 (RFLAGS_ARITH | RFLAGS_TF | RFLAGS_DF | RFLAGS_NT)
#define IRET_FLAGS32 (IRET_FLAGS16 | RFLAGS_RF | RFLAGS_AC | RFLAGS_ID)

static uint64_t iret_mask(const struct vcpu *cpu, unsigned size)
{
    uint64_t mask = size == 4 ? IRET_FLAGS32 : IRET_FLAGS16;

    if (cpu->v86) {
        return mask | RFLAGS_IF; /* only with IOPL 3 */
    }
    if (cpu->cpl <= bits_get(cpu->rflags, 13, 12)) {
        mask |= RFLAGS_IF;
    }
    if (cpu->cpl == 0) {
        mask |= RFLAGS_IOPL;
        if (size == 4 && cpu->protected_mode) {
            mask |= RFLAGS_VIF | RFLAGS_VIP;
        }
    }
    return mask;
}

static bool iret_real(struct vcpu *cpu, const struct return_frame *frame, unsigned size)
{
    TRY(check_offset_real(cpu, frame->eip));
    rflags_set(cpu, frame->eflags, iret_mask(cpu, size));
    set_stack_pointer(cpu, frame->next_esp);
    commit_real(cpu, (uint16_t)frame->cs, frame->eip);
    return true;
}

/* IRET in V86 mode with IOPL < 3: under VME the 16-bit form works on VIF. */
static bool iret_v86_virtual(struct vcpu *cpu, const struct return_frame *frame)
{
    bool interrupts = frame->eflags & RFLAGS_IF;

    if ((frame->eflags & RFLAGS_TF) || (interrupts && (cpu->rflags & RFLAGS_VIP))) {
        return raise_error(cpu, EXC_GP, 0);
    }
    TRY(check_offset_real(cpu, frame->eip));
    rflags_set(cpu, (frame->eflags & ~RFLAGS_VIF) | (interrupts ? RFLAGS_VIF : 0), IRET_FLAGS16 | RFLAGS_VIF);
    set_stack_pointer(cpu, frame->next_esp);
    commit_real(cpu, (uint16_t)frame->cs, frame->eip);
    return true;
}

/*
 * From CPL 0 to V86 mode:
 *
 *   stack   EIP | CS | EFLAGS | ESP | SS | ES | DS | FS | GS
 */
static bool iret_to_v86(struct vcpu *cpu, const struct return_frame *frame)
{
    static const enum sreg order[] = {SEG_SS, SEG_ES, SEG_DS, SEG_FS, SEG_GS};
    uint32_t esp = frame->next_esp, new_esp, selectors[ARRAY_LEN(order)];

    TRY(peek_word(cpu, &esp, 4, &new_esp));
    for (size_t i = 0; i < ARRAY_LEN(order); i++) {
        TRY(peek_word(cpu, &esp, 4, &selectors[i]));
    }
    if (frame->eip > 0xffff) {
        return raise_error(cpu, EXC_GP, 0);
    }
    rflags_set(cpu, frame->eflags, iret_mask(cpu, 4) | RFLAGS_VM);
    vcpu_sync_mode(cpu);
    for (size_t i = 0; i < ARRAY_LEN(order); i++) {
        segment_load_real(cpu, order[i], (uint16_t)selectors[i]);
    }
    commit_real(cpu, (uint16_t)frame->cs, frame->eip);
    set_reg32(cpu, RSP, new_esp);
    return true;
}

static bool iret_same(struct vcpu *cpu, const struct return_frame *frame, struct descriptor *code,
                      unsigned size)
{
    TRY(transfer_check_limit(cpu, code, frame->eip));
    TRY(descriptor_set_accessed(cpu, code));
    rflags_set(cpu, frame->eflags, iret_mask(cpu, size));
    set_stack_pointer(cpu, frame->next_esp);
    transfer_commit(cpu, code, cpu->cpl, frame->eip);
    return true;
}

static bool iret_outer(struct vcpu *cpu, struct return_frame *frame, struct descriptor *code, unsigned size)
{
    struct descriptor stack;
    uint32_t esp = frame->next_esp;

    TRY(peek_word(cpu, &esp, size, &frame->esp));
    TRY(peek_word(cpu, &esp, size, &frame->ss));
    TRY(check_outer(cpu, frame, code, &stack));
    rflags_set(cpu, frame->eflags, iret_mask(cpu, size));
    commit_outer(cpu, frame, code, &stack, 0);
    return true;
}

static bool iret_protected(struct vcpu *cpu, struct return_frame *frame, unsigned size)
{
    struct descriptor code;

    if (size == 4 && cpu->cpl == 0 && (frame->eflags & RFLAGS_VM)) {
        return iret_to_v86(cpu, frame);
    }
    TRY(fetch_return_target(cpu, (uint16_t)frame->cs, &code));
    return selector_rpl((uint16_t)frame->cs) > cpu->cpl ? iret_outer(cpu, frame, &code, size)
                                                        : iret_same(cpu, frame, &code, size);
}

/* NT: back to the task that the TSS's link names. */
static bool iret_task(struct vcpu *cpu)
{
    uint8_t link[2];

    TRY(sys_read(cpu, cpu->tr.base, link, sizeof(link)));
    return task_switch(cpu, load_le16(link), TASK_IRET, false, 0);
}

static bool iret(struct vcpu *cpu, unsigned size)
{
    struct return_frame frame = {.next_esp = reg32(cpu, RSP)};
    bool v86_virtual = cpu->v86 && bits_get(cpu->rflags, 13, 12) < 3;

    /* NMIs are unblocked by the execution of IRET, even of one that faults. */
    cpu->nmi_blocked = false;
    vcpu_sync_attention(cpu);
    if (v86_virtual && (size == 4 || !(cpu->cr4 & CR4_VME))) {
        return raise_error(cpu, EXC_GP, 0);
    }
    if (cpu->protected_mode && (cpu->rflags & RFLAGS_NT)) {
        return iret_task(cpu);
    }
    TRY(peek_word(cpu, &frame.next_esp, size, &frame.eip));
    TRY(peek_word(cpu, &frame.next_esp, size, &frame.cs));
    TRY(peek_word(cpu, &frame.next_esp, size, &frame.eflags));
    if (cpu->protected_mode) {
        return iret_protected(cpu, &frame, size);
    }
    return v86_virtual ? iret_v86_virtual(cpu, &frame) : iret_real(cpu, &frame, size);
}

/* ---- Handlers -------------------------------------------------------------------------------------------- */

static bool jump_far_memory(struct vcpu *cpu, const struct insn *insn, unsigned size)
{
    uint16_t selector;
    uint32_t offset;

    TRY(far_pointer_read(cpu, insn, size, &selector, &offset));
    return jump_far(cpu, selector, offset);
}

static bool call_far_memory(struct vcpu *cpu, const struct insn *insn, unsigned size)
{
    uint16_t selector;
    uint32_t offset;

    TRY(far_pointer_read(cpu, insn, size, &selector, &offset));
    return call_far(cpu, selector, offset, size);
}

bool exec_jmpf_Ap_16(struct vcpu *cpu, const struct insn *insn)
{
    return jump_far(cpu, (uint16_t)insn->imm2, insn->imm & 0xffff);
}

bool exec_jmpf_Ap_32(struct vcpu *cpu, const struct insn *insn)
{
    return jump_far(cpu, (uint16_t)insn->imm2, insn->imm);
}

bool exec_jmpf_Mp_16(struct vcpu *cpu, const struct insn *insn)
{
    return jump_far_memory(cpu, insn, 2);
}

bool exec_jmpf_Mp_32(struct vcpu *cpu, const struct insn *insn)
{
    return jump_far_memory(cpu, insn, 4);
}

bool exec_callf_Ap_16(struct vcpu *cpu, const struct insn *insn)
{
    return call_far(cpu, (uint16_t)insn->imm2, insn->imm & 0xffff, 2);
}

bool exec_callf_Ap_32(struct vcpu *cpu, const struct insn *insn)
{
    return call_far(cpu, (uint16_t)insn->imm2, insn->imm, 4);
}

bool exec_callf_Mp_16(struct vcpu *cpu, const struct insn *insn)
{
    return call_far_memory(cpu, insn, 2);
}

bool exec_callf_Mp_32(struct vcpu *cpu, const struct insn *insn)
{
    return call_far_memory(cpu, insn, 4);
}

bool exec_retf_16(struct vcpu *cpu, const struct insn *insn)
{
    (void)insn;
    return ret_far(cpu, 2, 0);
}

bool exec_retf_32(struct vcpu *cpu, const struct insn *insn)
{
    (void)insn;
    return ret_far(cpu, 4, 0);
}

bool exec_retf_Iw_16(struct vcpu *cpu, const struct insn *insn)
{
    return ret_far(cpu, 2, (uint16_t)insn->imm);
}

bool exec_retf_Iw_32(struct vcpu *cpu, const struct insn *insn)
{
    return ret_far(cpu, 4, (uint16_t)insn->imm);
}

bool exec_iret_16(struct vcpu *cpu, const struct insn *insn)
{
    (void)insn;
    return iret(cpu, 2);
}

bool exec_iret_32(struct vcpu *cpu, const struct insn *insn)
{
    (void)insn;
    return iret(cpu, 4);
}
