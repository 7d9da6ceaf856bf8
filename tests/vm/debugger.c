/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The debugger: every kind of point stops the guest where and when it should, on both engines, with hand-assembled guests of a
 * few instructions; and random programs with random points stop where single steps say.
 */
#include <errno.h>

#include "bare_guest.h"
#include "cpu/debug.h"

static unsigned add_point(struct vm *vm, const struct debug_point *point)
{
    struct error error = {{0}};
    unsigned id = 0;

    cr_assert_eq(debugger_add(vm, point, &id, &error), 0, "%s", error.text);
    return id;
}

static unsigned add(struct vm *vm, enum debug_kind kind, uint64_t address, uint64_t length)
{
    return add_point(vm, &(struct debug_point){.kind = kind, .address = address, .length = length});
}

static unsigned stop_at(struct vm *vm, uint64_t address)
{
    return add(vm, DEBUG_EXECUTE, address, 1);
}

static void assert_point(const struct debug_stop *stop, unsigned id, uint64_t rip)
{
    cr_assert_eq(stop->reason, DEBUG_STOP_POINT, "reason %d: %s", stop->reason, stop->text);
    cr_assert_eq(stop->point, id, "%s", stop->text);
    cr_assert_eq(stop->rip, rip, "%s", stop->text);
    cr_assert_gt(strlen(stop->text), 10u);
}

#define ENGINE_TEST(name) ENGINE_TEST_OF(debugger, name)

/* ---- Execute -------------------------------------------------------------------------------------------- */

/* 10000 INC EAX; INC EBX; INC ECX; JMP 10000 */
#define LOOP 0x40, 0x43, 0x41, 0xeb, 0xfb

ENGINE_TEST(a_breakpoint_stops_before_its_instruction_each_time)
{
    struct vm *vm = GUEST(engines[*engine], LOOP);
    unsigned id = stop_at(vm, CODE + 1);

    for (unsigned i = 1; i <= 3; i++) {
        const struct debug_stop *stop = run(vm);
        assert_point(stop, id, CODE + 1);
        cr_assert_eq(vm->cpu->rip, CODE + 1u);
        cr_assert_eq(reg32(vm->cpu, RAX), i);
        cr_assert_eq(reg32(vm->cpu, RBX), i - 1);
        cr_assert_eq(stop->insn_count, vm->cpu->insn_count);
        cr_assert_eq(vm->cpu->insn_count, 4u * i - 3);
    }
    struct debug_point_state state;
    cr_assert_eq(debugger_points(vm, &state, 1), 1u);
    cr_assert_eq(state.hits, 3u);
    vm_destroy(vm);
}

ENGINE_TEST(two_breakpoints_in_a_row_stop_in_turn)
{
    struct vm *vm = GUEST(engines[*engine], LOOP);
    unsigned first = stop_at(vm, CODE + 1), second = stop_at(vm, CODE + 2);

    for (unsigned i = 0; i < 3; i++) {
        assert_point(run(vm), first, CODE + 1);
        assert_point(run(vm), second, CODE + 2);
    }
    vm_destroy(vm);
}

ENGINE_TEST(a_jump_to_itself_stops_at_every_turn)
{
    struct vm *vm = GUEST(engines[*engine], 0xeb, 0xfe);
    unsigned id = stop_at(vm, CODE);

    for (unsigned i = 1; i <= 3; i++) { /* the first resumption passes it */
        assert_point(run(vm), id, CODE);
        cr_assert_eq(vm->cpu->insn_count, i);
    }
    vm_destroy(vm);
}

/* 10000 MOV ECX, 40000; 10005 REP STOSB at EDI; 10007 JMP 10007 */
ENGINE_TEST(a_repeated_instruction_is_passed_as_a_whole)
{
    struct vm *vm = GUEST(engines[*engine], 0xb9, 0x00, 0x00, 0x04, 0x00, 0xf3, 0xaa, 0xeb, 0xfe);
    vm->cpu->gpr[RDI] = 0x20000;
    unsigned id = stop_at(vm, CODE + 5), end = stop_at(vm, CODE + 7);

    assert_point(run(vm), id, CODE + 5);
    assert_point(run(vm), end, CODE + 7);
    cr_assert_eq(reg32(vm->cpu, RCX), 0u);
    cr_assert_eq(reg32(vm->cpu, RDI), 0x60000u);
    vm_destroy(vm);
}

/* 10000 INC EAX; 10001 UD2. The handler goes on behind the UD2: ADD DWORD [ESP], 2; IRET */
ENGINE_TEST(an_instruction_that_faults_is_passed)
{
    static const uint8_t skip[] = {0x83, 0x04, 0x24, 0x02, 0xcf};
    struct vm *vm = GUEST(engines[*engine], 0x40, 0x0f, 0x0b, 0xeb, 0xfb);

    poke(vm, HANDLERS + EXC_UD * HANDLER_SIZE, skip, sizeof(skip));
    unsigned id = stop_at(vm, CODE + 1), handler = stop_at(vm, HANDLERS + EXC_UD * HANDLER_SIZE);
    for (unsigned i = 1; i <= 2; i++) {
        assert_point(run(vm), id, CODE + 1);
        assert_point(run(vm), handler, HANDLERS + EXC_UD * HANDLER_SIZE);
        cr_assert_eq(reg32(vm->cpu, RAX), i);
    }
    vm_destroy(vm);
}

/* The point is there before the code is. 10000 MOV DWORD [20000], EBFE4090h; JMP 20000 */
ENGINE_TEST(a_breakpoint_waits_for_code_that_is_not_there_yet)
{
    struct vm *vm = GUEST(engines[*engine], 0xc7, 0x05, 0x00, 0x00, 0x02, 0x00, 0x90, 0x40, 0xeb, 0xfe, 0xe9,
                          0xf1, 0xff, 0x00, 0x00);
    unsigned id = stop_at(vm, 0x20001);

    assert_point(run(vm), id, 0x20001);
    cr_assert_eq(reg32(vm->cpu, RAX), 0u);
    vm_destroy(vm);
}

ENGINE_TEST(a_breakpoint_in_code_that_runs_already_stops_it)
{
    struct vm *vm = GUEST(engines[*engine], LOOP);
    uint64_t wait;

    vm_resume(vm);
    for (unsigned i = 0; i < 5; i++) {
        vm_step(vm, UINT64_MAX, &wait);
    }
    cr_assert_gt(vm->cpu->insn_count, 1000u);
    vm_pause(vm);
    unsigned id = stop_at(vm, CODE + 2);
    assert_point(run(vm), id, CODE + 2);
    cr_assert_eq(reg32(vm->cpu, RBX), reg32(vm->cpu, RCX) + 1);
    assert_point(run(vm), id, CODE + 2);
    struct error error;
    cr_assert_eq(debugger_remove(vm, id, &error), 0);
    uint32_t before = reg32(vm->cpu, RAX);
    vm_resume(vm);
    for (unsigned i = 0; i < 5; i++) {
        vm_step(vm, UINT64_MAX, &wait);
    }
    cr_assert_eq(vm->state, VM_RUNNING);
    cr_assert_gt(reg32(vm->cpu, RAX), before + 1000);
    vm_destroy(vm);
}

static bool eax_is_1000(void *opaque, struct vm *vm)
{
    ++*(unsigned *)opaque;
    return reg32(vm->cpu, RAX) == 1000;
}

ENGINE_TEST(conditions_and_ignore_counts_choose_the_hit)
{
    struct vm *vm = GUEST(engines[*engine], LOOP);
    unsigned asked = 0;
    unsigned id = add_point(vm, &(struct debug_point){.kind = DEBUG_EXECUTE,
                                                      .address = CODE + 1,
                                                      .condition = eax_is_1000,
                                                      .opaque = &asked,
                                                      .temporary = true});

    assert_point(run(vm), id, CODE + 1);
    cr_assert_eq(reg32(vm->cpu, RAX), 1000u);
    cr_assert_eq(asked, 1000u);
    cr_assert_eq(debugger_points(vm, NULL, 0), 0u, "a temporary point is gone");
    id = add_point(vm, &(struct debug_point){.kind = DEBUG_EXECUTE, .address = CODE + 2, .ignore = 10});
    assert_point(run(vm), id, CODE + 2);
    cr_assert_eq(reg32(vm->cpu, RAX), 1010u);
    cr_assert_eq(debugger_set_ignore(vm, id, 5, NULL), 0);
    assert_point(run(vm), id, CODE + 2);
    cr_assert_eq(reg32(vm->cpu, RAX), 1016u);
    cr_assert_eq(debugger_set_ignore(vm, id + 1, 5, NULL), -EINVAL);
    vm_destroy(vm);
}

/* ---- Memory --------------------------------------------------------------------------------------------- */

/* 10000 MOV [8000], EAX; INC EAX; JMP 10000 */
ENGINE_TEST(a_write_is_seen_with_values_and_address)
{
    struct vm *vm = GUEST(engines[*engine], 0xa3, 0x00, 0x80, 0x00, 0x00, 0x40, 0xeb, 0xf8);
    unsigned id = add(vm, DEBUG_WRITE, DATA, 4);

    for (unsigned i = 0; i < 5; i++) {
        const struct debug_stop *stop = run(vm);
        assert_point(stop, id, CODE);
        cr_assert_eq(vm->cpu->rip, CODE + 5u);
        cr_assert_eq(stop->address, (uint64_t)DATA);
        cr_assert_eq(stop->physical, (uint64_t)DATA);
        cr_assert_eq(stop->size, 4u);
        cr_assert(stop->write);
        cr_assert_eq(stop->value, i);
        cr_assert_eq(stop->before, i ? i - 1 : 0);
    }
    vm_destroy(vm);
}

/* 10000 REP MOVSB from 8000 to 8010, with one byte watched */
ENGINE_TEST(a_repeated_store_stops_after_the_iteration)
{
    struct vm *vm = GUEST(engines[*engine], 0xf3, 0xa4, 0xeb, 0xfe);
    unsigned end = stop_at(vm, CODE + 2);

    vm->cpu->gpr[RSI] = DATA;
    vm->cpu->gpr[RDI] = DATA + 0x10;
    vm->cpu->gpr[RCX] = 8;
    poke(vm, DATA, "abcdefgh", 8);
    unsigned id = add(vm, DEBUG_WRITE, DATA + 0x13, 1);
    const struct debug_stop *stop = run(vm);
    assert_point(stop, id, CODE);
    cr_assert_eq(reg32(vm->cpu, RCX), 4u);
    cr_assert_eq(stop->value, (uint64_t)'d');
    assert_point(run(vm), end, CODE + 2);
    cr_assert_eq(peek32(vm, DATA + 0x14), 0x68676665u);
    vm_destroy(vm);
}

/* 10000 MOV EAX, [8FFE] crosses the page, and only its second half is watched */
ENGINE_TEST(a_read_across_a_page_is_seen)
{
    struct vm *vm = GUEST(engines[*engine], 0xa1, 0xfe, 0x8f, 0x00, 0x00, 0xeb, 0xf9);
    unsigned id = add(vm, DEBUG_READ, 0x9001, 1);

    for (unsigned i = 0; i < 3; i++) {
        const struct debug_stop *stop = run(vm);
        assert_point(stop, id, CODE);
        cr_assert_eq(stop->address, 0x8ffeu);
        cr_assert_not(stop->write);
    }
    vm_destroy(vm);
}

/* PUSH EAX; POP EBX; JMP; the stack's page is also that of what is not watched */
ENGINE_TEST(pushes_and_pops_are_seen)
{
    struct vm *vm = GUEST(engines[*engine], 0x50, 0x5b, 0xeb, 0xfc);
    unsigned write = add(vm, DEBUG_WRITE, STACK - 4, 4), read = add(vm, DEBUG_READ, STACK - 2, 1);

    for (unsigned i = 0; i < 3; i++) {
        assert_point(run(vm), write, CODE);
        assert_point(run(vm), read, CODE + 1);
    }
    vm_destroy(vm);
}

/* INC DWORD [8000]: a read and a write */
ENGINE_TEST(a_read_modify_write_is_both)
{
    struct vm *vm = GUEST(engines[*engine], 0xff, 0x05, 0x00, 0x80, 0x00, 0x00, 0xeb, 0xf8);
    unsigned read = add(vm, DEBUG_READ, DATA, 1);

    assert_point(run(vm), read, CODE);
    cr_assert_eq(peek32(vm, DATA), 1u);
    cr_assert_eq(debugger_remove(vm, read, NULL), 0);
    unsigned write = add(vm, DEBUG_ACCESS, DATA, 4);
    const struct debug_stop *stop = run(vm);
    assert_point(stop, write, CODE);
    cr_assert(stop->write);
    cr_assert_eq(stop->before, 1u);
    cr_assert_eq(stop->value, 2u);
    vm_destroy(vm);
}

/* FLD QWORD [8000]; FSTP QWORD [8100]; JMP */
ENGINE_TEST(fpu_operands_are_seen)
{
    struct vm *vm = GUEST(engines[*engine], 0xdd, 0x05, 0x00, 0x80, 0x00, 0x00, 0xdd, 0x1d, 0x00, 0x81, 0x00,
                          0x00, 0xeb, 0xf2);
    unsigned read = add(vm, DEBUG_READ, DATA + 7, 1), write = add(vm, DEBUG_WRITE, DATA + 0x104, 2);

    vm->cpu->fpu.fcw = 0x37f;
    vm->cpu->fpu.ftw = 0;
    for (unsigned i = 0; i < 4; i++) {
        assert_point(run(vm), read, CODE);
        assert_point(run(vm), write, CODE + 6);
    }
    vm_destroy(vm);
}

/* The stack frame of an exception is a write by the instruction that raised it. */
ENGINE_TEST(implicit_accesses_are_seen)
{
    struct vm *vm = GUEST(engines[*engine], 0xcd, 0x20, 0xeb, 0xfc); /* INT 20h; JMP */
    unsigned frame = add(vm, DEBUG_WRITE, STACK - 12, 4);

    assert_point(run(vm), frame, CODE);
    cr_assert_eq(vm->cpu->rip, HANDLERS + 0x20u * HANDLER_SIZE);
    cr_assert_eq(debugger_remove(vm, frame, NULL), 0);
    unsigned gate = add(vm, DEBUG_READ, IDT + 0x20 * 8, 8);
    assert_point(run(vm), gate, CODE);
    cr_assert_eq(debugger_remove(vm, gate, NULL), 0);
    unsigned descriptor = add(vm, DEBUG_READ, GDT + 8, 8); /* by the INT's gate and by IRET */
    assert_point(run(vm), descriptor, HANDLERS + 0x20 * HANDLER_SIZE);
    assert_point(run(vm), descriptor, CODE);
    vm_destroy(vm);
}

/* ---- Ports, exceptions, interrupts, modes, time --------------------------------------------------------- */

/* MOV AL, 5Ah; OUT 80h, AL; IN AL, 80h; JMP */
ENGINE_TEST(ports_are_watched)
{
    struct vm *vm = GUEST(engines[*engine], 0xb0, 0x5a, 0xe6, 0x80, 0xe4, 0x80, 0xeb, 0xf8);
    unsigned write = add(vm, DEBUG_PORT_WRITE, 0x80, 1), read = add(vm, DEBUG_PORT_READ, 0x7f, 2);

    for (unsigned i = 0; i < 3; i++) {
        const struct debug_stop *stop = run(vm);
        assert_point(stop, write, CODE + 2);
        cr_assert_eq(stop->value, 0x5au);
        cr_assert_eq(stop->address, 0x80u);
        cr_assert(stop->write);
        cr_assert_eq(vm->cpu->rip, CODE + 4u);
        stop = run(vm);
        assert_point(stop, read, CODE + 4);
        cr_assert_not(stop->write);
        cr_assert_eq(vm->cpu->rip, CODE + 6u);
    }
    vm_destroy(vm);
}

/* MOV EAX, [F0000000] beyond the segment's limit; DIV by zero; UD2; INT3; each handler skips what it should. */
ENGINE_TEST(exceptions_stop_before_they_are_delivered)
{
    static const uint8_t skip[] = {0x83, 0x04, 0x24, 0x02, 0xcf};
    struct vm *vm =
        GUEST(engines[*engine], 0xf7, 0xf1, 0x0f, 0x0b, 0xcc, 0xeb, 0xf9); /* DIV ECX; UD2; INT3; JMP */

    poke(vm, HANDLERS + EXC_UD * HANDLER_SIZE, skip, sizeof(skip));
    poke(vm, HANDLERS + EXC_DE * HANDLER_SIZE, skip, sizeof(skip));
    unsigned any = add(vm, DEBUG_EXCEPTION, DEBUG_ANY, 0);
    for (unsigned i = 0; i < 3; i++) {
        const struct debug_stop *stop = run(vm);
        assert_point(stop, any, CODE);
        cr_assert_eq(stop->vector, EXC_DE);
        cr_assert_eq(reg32(vm->cpu, RSP), (uint32_t)STACK);
        stop = run(vm);
        assert_point(stop, any, CODE + 2);
        cr_assert_eq(stop->vector, EXC_UD);
        stop = run(vm);
        assert_point(stop, any, CODE + 4);
        cr_assert_eq(stop->vector, EXC_BP);
        cr_assert_eq(vm->cpu->rip, CODE + 4u);
    }
    cr_assert_eq(debugger_remove(vm, any, NULL), 0);
    unsigned one = add(vm, DEBUG_EXCEPTION, EXC_UD, 0);
    for (unsigned i = 0; i < 3; i++) {
        assert_point(run(vm), one, CODE + 2);
    }
    vm_destroy(vm);
}

/* IDT entry of #UD is not present: #UD, #NP, #DF, shutdown, each of them shown. */
ENGINE_TEST(a_triple_fault_pauses_and_ends_the_vm_on_the_second_try)
{
    struct vm *vm = GUEST(engines[*engine], 0x90, 0x0f, 0x0b);

    poke32(vm, IDT + 8 * EXC_UD + 4, 0x0e00);
    poke32(vm, IDT + 8 * EXC_NP + 4, 0x0e00);
    poke32(vm, IDT + 8 * EXC_DF + 4, 0x0e00);
    unsigned shutdown = add(vm, DEBUG_SHUTDOWN, 0, 0), df = add(vm, DEBUG_EXCEPTION, EXC_DF, 0);
    const struct debug_stop *stop = run(vm);
    assert_point(stop, df, CODE + 1);
    cr_assert_eq(stop->vector, EXC_DF);
    assert_point(run(vm), shutdown, CODE + 1);
    cr_assert_eq(vm->cpu->shutdown.count, 3u);
    cr_assert_eq(vm->cpu->shutdown.vector[0], EXC_NP);
    cr_assert_eq(debugger_remove(vm, df, NULL), 0);
    stop = run(vm);
    cr_assert_eq(stop->reason, DEBUG_STOP_ENDED);
    cr_assert_eq(vm->outcome, VM_OUTCOME_TRIPLE_FAULT);
    vm_destroy(vm);
}

/* STI; INC EAX; JMP */
ENGINE_TEST(an_interrupt_stops_at_its_handler)
{
    struct vm *vm = GUEST(engines[*engine], 0xfb, 0x40, 0xeb, 0xfd);
    unsigned any = add(vm, DEBUG_INTERRUPT, EXC_NMI, 0);

    vcpu_set_nmi(vm->cpu);
    const struct debug_stop *stop = run(vm);
    assert_point(stop, any, HANDLERS + EXC_NMI * HANDLER_SIZE);
    cr_assert_eq(stop->vector, EXC_NMI);
    vm_destroy(vm);
}

/* MOV EAX, CR0; XOR EAX, 10000h (WP: no change of mode); MOV CR0, EAX; PUSH 18h; PUSH 10100h; RETF to 16-bit code */
ENGINE_TEST(changes_of_mode_stop_behind_the_instruction)
{
    struct vm *vm = GUEST(engines[*engine], 0x0f, 0x20, 0xc0, 0x35, 0x00, 0x00, 0x01, 0x00, 0x0f, 0x22, 0xc0,
                          0x6a, 0x18, 0x68, 0x00, 0x01, 0x01, 0x00, 0xcb);
    unsigned id = add(vm, DEBUG_MODE, 0, 0);

    poke32(vm, GDT + 24, 0x0000ffff);
    poke32(vm, GDT + 28, 0x008f9b00);
    vm->cpu->gdtr.limit = 0x1f;
    static const uint8_t leave[] = {0x0f, 0x20, 0xc0, 0x66, 0x83, 0xe0, 0xfe, 0x0f, 0x22, 0xc0, 0xeb, 0xfe};
    poke(vm, CODE + 0x100, leave, sizeof(leave)); /* MOV EAX, CR0; AND EAX, -2; MOV CR0, EAX; JMP */
    run(vm);
    cr_assert_eq(debugger_stop(vm)->point, id);
    cr_assert_eq(vm->cpu->rip, CODE + 0x100u, "%s", debugger_stop(vm)->text);
    run(vm);
    cr_assert_eq(vm->cpu->rip, CODE + 0x10au, "%s", debugger_stop(vm)->text);
    cr_assert_not(vm->cpu->cr0 & CR0_PE);
    vm_destroy(vm);
}

ENGINE_TEST(so_many_instructions_stop_it_exactly)
{
    struct vm *vm = GUEST(engines[*engine], LOOP);
    unsigned id = add(vm, DEBUG_TIME, 123457, 0), later = add(vm, DEBUG_TIME, 123458, 0);

    const struct debug_stop *stop = run(vm);
    cr_assert_eq(stop->point, id);
    cr_assert_eq(stop->insn_count, 123457u);
    cr_assert_eq(vm->cpu->insn_count, 123457u);
    stop = run(vm);
    cr_assert_eq(stop->point, later);
    cr_assert_eq(vm->cpu->insn_count, 123458u);
    vm_destroy(vm);
}

/* 66 87 DB: XCHG BX, BX; XCHG EBX, EBX is none */
ENGINE_TEST(the_magic_breakpoint_stops_behind_it)
{
    struct vm *vm = GUEST(engines[*engine], 0x87, 0xdb, 0x66, 0x87, 0xdb, 0x40, 0xeb, 0xf8);
    unsigned id = add(vm, DEBUG_MAGIC, 0, 0);

    for (unsigned i = 0; i < 3; i++) {
        assert_point(run(vm), id, CODE + 2);
        cr_assert_eq(vm->cpu->rip, CODE + 5u);
        cr_assert_eq(reg32(vm->cpu, RAX), i);
    }
    vm_destroy(vm);
}

/* ---- Steps ---------------------------------------------------------------------------------------------- */

static void step(struct vm *vm, uint64_t n, uint64_t rip)
{
    struct debug_stop stop;
    struct error error = {{0}};

    cr_assert_eq(debugger_step(vm, n, 0, &stop, &error), 0, "%s", error.text);
    cr_assert_eq(vm->cpu->rip, rip, "%lx: %s", vm->cpu->rip, stop.text);
}

/* MOV SS, AX; STI; NOP; REP STOSB (3); UD2 */
ENGINE_TEST(steps_are_single_and_iterations_count)
{
    struct vm *vm = GUEST(engines[*engine], 0x8e, 0xd0, 0xfb, 0x90, 0xf3, 0xaa, 0x0f, 0x0b);

    vm->cpu->gpr[RAX] = 0x10;
    vm->cpu->gpr[RDI] = DATA;
    vm->cpu->gpr[RCX] = 3;
    step(vm, 1, CODE + 2);
    cr_assert_eq(vm->cpu->shadow, SHADOW_MOV_SS);
    step(vm, 1, CODE + 3);
    cr_assert_eq(vm->cpu->shadow, SHADOW_STI);
    step(vm, 1, CODE + 4);
    cr_assert_eq(vm->cpu->shadow, SHADOW_NONE);
    step(vm, 1, CODE + 4);
    cr_assert_eq(reg32(vm->cpu, RCX), 2u);
    step(vm, 1, CODE + 4);
    step(vm, 1, CODE + 6);
    cr_assert_eq(reg32(vm->cpu, RCX), 0u);
    step(vm, 1, HANDLERS + EXC_UD * HANDLER_SIZE);
    cr_assert_eq(vm->cpu->insn_count, 4u);
    vm_destroy(vm);
}

/* STI; NOP; NOP; HLT; with an NMI that waits */
ENGINE_TEST(interrupts_wait_while_stepping_unless_they_may_come)
{
    struct vm *vm = GUEST(engines[*engine], 0xfb, 0x90, 0x90, 0xf4);
    struct debug_stop stop;

    vcpu_set_nmi(vm->cpu);
    step(vm, 2, CODE + 2);
    cr_assert_eq(debugger_step(vm, 1, DEBUG_STEP_INTERRUPTS, &stop, NULL), 0);
    cr_assert_eq(vm->cpu->rip, HANDLERS + EXC_NMI * HANDLER_SIZE + 0u, "%s", stop.text);
    step(vm, 1, CODE + 2); /* IRET */
    step(vm, 2, CODE + 4);
    cr_assert(vm->cpu->halted);
    step(vm, 1, CODE + 4);
    cr_assert(vm->cpu->halted);
    vm_destroy(vm);
}

ENGINE_TEST(a_point_ends_a_long_step)
{
    struct vm *vm = GUEST(engines[*engine], LOOP);
    struct debug_stop stop;
    unsigned id = stop_at(vm, CODE + 2);

    for (unsigned i = 1; i <= 3; i++) {
        cr_assert_eq(debugger_step(vm, 100, 0, &stop, NULL), 0);
        assert_point(&stop, id, CODE + 2);
        cr_assert_eq(reg32(vm->cpu, RBX), i);
    }
    assert_point(run(vm), id, CODE + 2);
    cr_assert_eq(reg32(vm->cpu, RBX), 4u);
    struct error error = {{0}};
    vm_resume(vm);
    cr_assert_eq(debugger_step(vm, 1, 0, &stop, &error), -EBUSY);
    vm_destroy(vm);
}

/* ---- States --------------------------------------------------------------------------------------------- */

struct heard {
    unsigned paused, running, stopped;
};

static void hear(void *opaque, struct vm *vm)
{
    struct heard *heard = opaque;

    heard->paused += vm->state == VM_PAUSED;
    heard->running += vm->state == VM_RUNNING;
    if (vm->state == VM_STOPPED) {
        heard->stopped++;
        cr_assert_eq(vm->outcome, VM_OUTCOME_TRIPLE_FAULT);
    }
}

ENGINE_TEST(listeners_hear_of_every_change)
{
    struct vm *vm = GUEST(engines[*engine], 0x90, 0x0f, 0x0b);
    struct heard heard = {0};
    struct debug_listener listener = {.changed = hear, .opaque = &heard};

    cr_assert_eq(debugger_stop(vm)->reason, DEBUG_STOP_REQUEST);
    vm->cpu->idtr.limit = 0;
    debugger_listen(vm, &listener);
    stop_at(vm, CODE + 1);
    run(vm);
    cr_assert(heard.running == 1 && heard.paused == 1 && heard.stopped == 0);
    vm_resume(vm);
    cr_assert_eq(debugger_stop(vm)->reason, DEBUG_STOP_NONE);
    vm_pause(vm);
    cr_assert_eq(debugger_stop(vm)->reason, DEBUG_STOP_REQUEST);
    run(vm);
    cr_assert(heard.running == 3 && heard.paused == 2 && heard.stopped == 1);
    debugger_unlisten(vm, &listener);
    vm_destroy(vm);
}

Test(debugger, bad_points_are_refused)
{
    struct vm *vm = GUEST("interp", LOOP);
    struct error error = {{0}};
    unsigned id;

    cr_assert_eq(debugger_add(vm, &(struct debug_point){.kind = DEBUG_WRITE}, &id, &error), -EINVAL);
    cr_assert_eq(debugger_add(vm,
                              &(struct debug_point){.kind = DEBUG_PORT_READ, .address = 0xffff, .length = 2},
                              &id, &error),
                 -EINVAL);
    cr_assert_eq(
        debugger_add(vm, &(struct debug_point){.kind = DEBUG_EXCEPTION, .address = 256}, &id, &error),
        -EINVAL);
    cr_assert_eq(
        debugger_add(vm, &(struct debug_point){.kind = DEBUG_WRITE, .length = UINT32_MAX}, &id, &error),
        -ENOSPC);
    cr_assert_eq(debugger_remove(vm, 1, &error), -EINVAL);
    cr_assert_eq(debugger_set_enabled(vm, 1, false, &error), -EINVAL);
    for (unsigned i = 0; i < 256; i++) {
        stop_at(vm, i);
    }
    cr_assert_eq(debugger_add(vm, &(struct debug_point){.kind = DEBUG_EXECUTE}, &id, &error), -ENOSPC);
    debugger_remove_all(vm, NULL);
    cr_assert_eq(debugger_points(vm, NULL, 0), 0u);
    vm_destroy(vm);
}
