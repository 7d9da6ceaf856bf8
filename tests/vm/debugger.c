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

/* A device's access is met between instructions. */
ENGINE_TEST(dma_is_seen)
{
    struct vm *vm = GUEST(engines[*engine], LOOP);
    unsigned id = add(vm, DEBUG_WRITE, DATA + 0xffe, 4);
    uint64_t wait;

    vm_resume(vm);
    vm_step(vm, UINT64_MAX, &wait);
    cr_assert(dma_write(pc_memory(vm->pc), DATA + 0xc00,
                        (const uint8_t[0x400]){[0x3fe] = 0x11, [0x3ff] = 0x22}, 0x400));
    cr_assert(dma_read(pc_memory(vm->pc), DATA + 0xc00, (uint8_t[0x400]){0}, 0x400));
    vm_step(vm, UINT64_MAX, &wait);
    const struct debug_stop *stop = debugger_stop(vm);
    cr_assert_eq(stop->reason, DEBUG_STOP_POINT);
    cr_assert_eq(stop->point, id);
    cr_assert(stop->dma && stop->write);
    cr_assert_eq(stop->address, DATA + 0xffeu);
    cr_assert_eq(stop->before, 0u);
    cr_assert_eq(stop->value, 0x2211u);
    cr_assert_not_null(strstr(stop->text, "by a device"), "%s", stop->text);
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

/* ---- Address spaces ------------------------------------------------------------------------------------- */

enum { SPACE_A = 0x9000, SPACE_B = 0xa000, TABLE_LOW = 0xb000, TABLE_A = 0xc000, TABLE_B = 0xd000 };

/* Linear 0-3FFFFF is physical in both spaces; linear 400000 is 20000 in one and 21000 in the other. */
static void make_spaces(struct vm *vm)
{
    for (uint32_t page = 0; page < 1024; page++) {
        poke32(vm, TABLE_LOW + 4 * page, page << PAGE_SHIFT | 3);
    }
    poke32(vm, TABLE_A, 0x20003);
    poke32(vm, TABLE_B, 0x21003);
    poke32(vm, SPACE_A, TABLE_LOW | 3);
    poke32(vm, SPACE_A + 4, TABLE_A | 3);
    poke32(vm, SPACE_B, TABLE_LOW | 3);
    poke32(vm, SPACE_B + 4, TABLE_B | 3);
    vm->cpu->cr3 = SPACE_A;
    vm->cpu->cr0 |= CR0_PG;
    vcpu_sync(vm->cpu);
}

/* CALL EBX (400000); CALL ESI (20000); MOV CR3, ECX; CALL EBX; MOV CR3, EDX; JMP 10000. Either function: INC EAX; RET */
static struct vm *create_calls(const char *engine)
{
    struct vm *vm =
        GUEST(engine, 0xff, 0xd3, 0xff, 0xd6, 0x0f, 0x22, 0xd9, 0xff, 0xd3, 0x0f, 0x22, 0xda, 0xeb, 0xf2);

    poke(vm, 0x20000, "\x40\xc3", 2);
    poke(vm, 0x21000, "\x40\xc3", 2);
    make_spaces(vm);
    vm->cpu->gpr[RBX] = 0x400000;
    vm->cpu->gpr[RSI] = 0x20000;
    vm->cpu->gpr[RCX] = SPACE_B;
    vm->cpu->gpr[RDX] = SPACE_A;
    return vm;
}

ENGINE_TEST(a_linear_point_stops_whatever_is_mapped_there)
{
    struct vm *vm = create_calls(engines[*engine]);
    unsigned id = stop_at(vm, 0x400000);

    for (unsigned i = 0; i < 6; i++) { /* not at linear 20000, which is the same code */
        const struct debug_stop *stop = run(vm);
        assert_point(stop, id, 0x400000);
        cr_assert_eq(stop->physical, i % 2 ? 0x21000u : 0x20000u);
        cr_assert_eq(reg32(vm->cpu, RAX), i / 2 * 3 + (i % 2 ? 2 : 0));
    }
    vm_destroy(vm);
}

ENGINE_TEST(a_physical_point_stops_wherever_it_is_mapped)
{
    struct vm *vm = create_calls(engines[*engine]);
    uint64_t wait;

    vm_resume(vm); /* everything is translated, and called by paired returns, before the point comes */
    for (unsigned i = 0; i < 5; i++) {
        vm_step(vm, UINT64_MAX, &wait);
    }
    vm_pause(vm);
    unsigned id =
        add_point(vm, &(struct debug_point){.kind = DEBUG_EXECUTE, .address = 0x20000, .physical = true});
    const struct debug_stop *stop = run(vm);
    uint64_t first = stop->rip;
    for (unsigned i = 0; i < 6; i++) {
        cr_assert_eq(stop->point, id);
        cr_assert_eq(stop->rip, i % 2 ? first ^ 0x420000 : first, "%s", stop->text);
        cr_assert_eq(stop->physical, 0x20000u);
        stop = run(vm);
    }
    vm_destroy(vm);
}

/* MOV [EBX+8], EAX; MOV [21008], EAX; JMP: both reach physical 21008 in space B. */
ENGINE_TEST(a_physical_watch_sees_every_way_to_the_memory)
{
    struct vm *vm = GUEST(engines[*engine], 0x89, 0x43, 0x08, 0xa3, 0x08, 0x10, 0x02, 0x00, 0xeb, 0xf6);

    make_spaces(vm);
    vm->cpu->cr3 = SPACE_B;
    vcpu_sync(vm->cpu);
    vm->cpu->gpr[RBX] = 0x400000;
    unsigned physical = add_point(
        vm, &(struct debug_point){.kind = DEBUG_WRITE, .address = 0x21008, .length = 4, .physical = true});
    for (unsigned i = 0; i < 3; i++) {
        const struct debug_stop *stop = run(vm);
        assert_point(stop, physical, CODE);
        cr_assert_eq(stop->address, 0x400008u);
        cr_assert_eq(stop->physical, 0x21008u);
        assert_point(run(vm), physical, CODE + 3);
    }
    cr_assert_eq(debugger_remove(vm, physical, NULL), 0);
    unsigned linear = add(vm, DEBUG_WRITE, 0x400008, 4);
    for (unsigned i = 0; i < 3; i++) {
        assert_point(run(vm), linear, CODE);
    }
    vm_destroy(vm);
}

/* The page is not there when the point is set: MOV EAX, [400000] faults, the handler maps it and returns. */
ENGINE_TEST(a_page_fault_is_shown_and_what_it_brings_is_watched)
{
    static const uint8_t map[] = {0xc7, 0x05, 0x00, 0xc0, 0x00,
                                  0x00, 0x03, 0x00, 0x02, 0x00, /* MOV [C000], 20003h */
                                  0x83, 0xc4, 0x04, 0xcf};
    struct vm *vm = GUEST(engines[*engine], 0xa1, 0x04, 0x00, 0x40, 0x00, 0x40, 0xeb, 0xf8);

    make_spaces(vm);
    poke32(vm, TABLE_A, 0);
    poke(vm, 0x5000, map, sizeof(map));
    poke32(vm, IDT + 8 * EXC_PF, 8u << 16 | 0x5000);
    unsigned fault = add(vm, DEBUG_EXCEPTION, EXC_PF, 0), watch = add(vm, DEBUG_READ, 0x400004, 1);
    const struct debug_stop *stop = run(vm);
    assert_point(stop, fault, CODE);
    cr_assert_eq(stop->address, 0x400004u);
    cr_assert(stop->has_error && stop->error_code == 0);
    for (unsigned i = 0; i < 3; i++) {
        assert_point(run(vm), watch, CODE);
        cr_assert_eq(debugger_stop(vm)->physical, 0x20004u);
    }
    vm_destroy(vm);
}

ENGINE_TEST(a_held_exception_is_gone_if_the_program_goes_on_elsewhere)
{
    struct vm *vm = GUEST(engines[*engine], 0x0f, 0x0b, 0x40, 0xeb, 0xfd); /* UD2; INC EAX; JMP */
    unsigned fault = add(vm, DEBUG_EXCEPTION, EXC_UD, 0), end = stop_at(vm, CODE + 3);

    assert_point(run(vm), fault, CODE);
    vm->cpu->rip = CODE + 2;
    assert_point(run(vm), end, CODE + 3);
    cr_assert_eq(reg32(vm->cpu, RAX), 1u);
    vm_destroy(vm);
}

ENGINE_TEST(points_survive_a_reset)
{
    struct vm *vm =
        GUEST(engines[*engine], 0xb0, 0xfe, 0xe6, 0x64, 0xeb, 0xfe); /* MOV AL, FEh; OUT 64h, AL */
    unsigned id = stop_at(vm, 0xfffffff0);

    const struct debug_stop *stop = run(vm);

    assert_point(stop, id, 0xfff0);
    cr_assert_eq(stop->cs_base, 0xffff0000u);
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

/* ---- Random programs ------------------------------------------------------------------------------------ */

enum { RANDOM_INSNS = 48, RANDOM_STEPS = 3000, RANDOM_POINTS = 6, RANDOM_ROUNDS = 40 };

static uint32_t next_random(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33);
}

static unsigned put(uint8_t *code, unsigned at, const uint8_t *bytes, unsigned count)
{
    memcpy(code + at, bytes, count);
    return at + count;
}

/* Data near 8000h, arithmetic, stack, strings, calls, jumps to any instruction, and some that fault. */
static unsigned make_program(uint8_t *code, uint32_t *start, uint64_t *seed)
{
    unsigned at = 0;

    for (unsigned i = 0; i < RANDOM_INSNS; i++) {
        uint32_t r = next_random(seed), displacement = DATA + (r >> 8) % 0x1800;
        uint8_t reg = (uint8_t)(r % 4), imm = (uint8_t)(r >> 16);
        uint8_t address[4];

        store_le32(address, displacement);
        start[i] = at;
        switch (next_random(seed) % 16) {
        case 0:
        case 1:
            at = put(code, at, (uint8_t[]){(uint8_t)(0x40 + reg)}, 1); /* INC reg */
            break;
        case 2:
            at = put(code, at, (uint8_t[]){0x83, (uint8_t)(0xc0 + (r >> 4) % 8 * 8 + reg), imm}, 3);
            break;
        case 3:
            at = put(code, at, (uint8_t[]){0xa3}, 1); /* MOV [], EAX */
            at = put(code, at, address, 4);
            break;
        case 4:
            at = put(code, at, (uint8_t[]){0x03, (uint8_t)(0x05 + reg * 8)}, 2); /* ADD reg, [] */
            at = put(code, at, address, 4);
            break;
        case 5:
            at = put(code, at, (uint8_t[]){0xff, 0x05}, 2); /* INC [] */
            at = put(code, at, address, 4);
            break;
        case 6:
            at = put(code, at, (uint8_t[]){(uint8_t)(0x50 + reg)}, 1); /* PUSH */
            break;
        case 7:
            at = put(code, at, (uint8_t[]){(uint8_t)(0x58 + reg)}, 1); /* POP */
            break;
        case 8: /* MOV EDI, data; MOV ECX, few; REP STOSB */
            at = put(code, at, (uint8_t[]){0xbf}, 1);
            at = put(code, at, address, 4);
            at = put(code, at, (uint8_t[]){0xb9, (uint8_t)(imm % 12), 0, 0, 0, 0xf3, 0xaa}, 7);
            break;
        case 9:
            at = put(code, at, imm < 128 ? (uint8_t[]){0xcd, 0x30} : (uint8_t[]){0x0f, 0x0b},
                     2); /* INT 30h, UD2 */
            break;
        case 10:
            at = put(code, at, (uint8_t[]){0xe8, 0, 0, 0, 0}, 5);
            break;
        case 11:
            at = put(code, at, (uint8_t[]){0xe9, 0, 0, 0, 0}, 5);
            break;
        default:
            at = put(code, at, (uint8_t[]){0x0f, (uint8_t)(0x80 + r % 16), 0, 0, 0, 0}, 6);
            break;
        }
    }
    at = put(code, at, (uint8_t[]){0xe9, 0, 0, 0, 0}, 5);
    store_le32(code + at - 4, 0u - at);
    return at;
}

/* Where jumps and calls lead. */
static void aim(uint8_t *code, const uint32_t *start, uint64_t *seed)
{
    for (unsigned i = 0; i < RANDOM_INSNS; i++) {
        uint8_t *insn = code + start[i];
        unsigned field = insn[0] == 0xe8 || insn[0] == 0xe9 ? 1 : insn[0] == 0x0f && insn[1] >= 0x80 ? 2 : 0;

        if (field) {
            uint32_t target = start[next_random(seed) % RANDOM_INSNS];
            store_le32(insn + field, target - (start[i] + field + 4));
        }
    }
}

struct arrival {
    uint64_t rip, insn_count;
};

static struct vm *create_random(const char *engine, const uint8_t *code, unsigned size)
{
    static const uint8_t skip[] = {0x83, 0x04, 0x24, 0x02,
                                   0xcf}; /* the handler of #UD goes on behind the UD2 */
    struct vm *vm = guest_create_with(engine, "", code, size);

    poke(vm, HANDLERS + EXC_UD * HANDLER_SIZE, skip, sizeof(skip));
    return vm;
}

/* Where single steps come by. A REP's later iterations, and what is resumed, are no arrivals. */
static unsigned find_arrivals(struct vm *vm, struct arrival *arrival, uint64_t end)
{
    struct arrival last = {0, UINT64_MAX};
    struct debug_stop stop;
    unsigned count = 0;

    while (vm->cpu->insn_count < end) {
        struct arrival now = {vm->cpu->rip, vm->cpu->insn_count};
        bool same = now.rip == last.rip && now.insn_count == last.insn_count;
        if (!same && !(vm->cpu->rflags & RFLAGS_RF)) {
            cr_assert_lt(count, 2u * RANDOM_STEPS);
            arrival[count++] = now;
        }
        last = now;
        cr_assert_eq(debugger_step(vm, 1, 0, &stop, NULL), 0);
    }
    return count;
}

static void follow_arrivals(struct vm *vm, const struct arrival *arrival, unsigned count,
                            const uint64_t *point, unsigned round)
{
    for (unsigned i = 1; i < count; i++) { /* the first is where it starts from */
        bool meant = false;
        for (unsigned p = 0; p < RANDOM_POINTS; p++) {
            meant = meant || point[p] == arrival[i].rip;
        }
        if (!meant) {
            continue;
        }
        const struct debug_stop *stop = run(vm);
        cr_assert(stop->rip == arrival[i].rip && stop->insn_count == arrival[i].insn_count,
                  "round %u, arrival %u of %u: %s after %lu, expected %lx after %lu", round, i, count,
                  stop->text, stop->insn_count, arrival[i].rip, arrival[i].insn_count);
    }
}

ENGINE_TEST(random_points_stop_where_single_steps_come_by)
{
    static struct arrival arrival[2 * RANDOM_STEPS];
    uint64_t seed = 0x5eed + *engine;

    for (unsigned round = 0; round < RANDOM_ROUNDS; round++) {
        uint8_t code[RANDOM_INSNS * 12 + 5];
        uint32_t start[RANDOM_INSNS];
        uint64_t point[RANDOM_POINTS];
        unsigned size = make_program(code, start, &seed);

        aim(code, start, &seed);
        struct vm *oracle = create_random("interp", code, size);
        unsigned count = find_arrivals(oracle, arrival, RANDOM_STEPS);
        struct vm *vm = create_random(engines[*engine], code, size);
        for (unsigned p = 0; p < RANDOM_POINTS; p++) {
            point[p] = CODE + start[next_random(&seed) % RANDOM_INSNS];
            stop_at(vm, point[p]);
        }
        unsigned end = add(vm, DEBUG_TIME, oracle->cpu->insn_count, 0);
        follow_arrivals(vm, arrival, count, point, round);
        const struct debug_stop *stop = run(vm);
        cr_assert(stop->point == end || stop->kind == DEBUG_EXECUTE, "%s", stop->text);
        cr_assert_eq(vm->cpu->insn_count, oracle->cpu->insn_count, "%s", stop->text);
        cr_assert_arr_eq(vm->cpu->gpr, oracle->cpu->gpr, sizeof(vm->cpu->gpr));
        cr_assert_eq(vm_memory_hash(vm), vm_memory_hash(oracle));
        vm_destroy(vm);
        vm_destroy(oracle);
    }
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
