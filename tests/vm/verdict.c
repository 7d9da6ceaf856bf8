/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Panics and hangs: what a guest does that has failed, what is made of it, and what is no failure.
 */
#include "bare_guest.h"
#include "vm/verdict.h"

#define ENGINE_TEST(name) ENGINE_TEST_OF(verdict, name)
#define BOTH              "-on-panic exit -on-hang exit "

static struct vm *create(unsigned engine, const char *options, const uint8_t *code, size_t size)
{
    return guest_create_with(engines[engine], options, code, size);
}

#define MAKE(options, ...)                                                                                   \
    create(*engine, options, (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

/* Run for up to so many seconds of guest time, or until it sleeps for ever. */
static void run_for(struct vm *vm, uint64_t seconds)
{
    uint64_t end = clock_now(&vm->clock) + seconds * NS_PER_SEC, wait;

    vm_resume(vm);
    for (unsigned idle = 0; vm->state == VM_RUNNING && clock_now(&vm->clock) < end && idle < 100;) {
        idle += vm_step(vm, UINT64_MAX, &wait) == VM_NEXT_WAIT;
    }
}

static char *explain(struct vm *vm)
{
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);

    verdict_explain(stream, vm);
    fclose(stream);
    return text;
}

ENGINE_TEST(halted_with_interrupts_masked_is_a_hang)
{
    struct vm *vm = MAKE(BOTH, 0x40, 0xfa, 0xf4); /* INC EAX; CLI; HLT */

    run_for(vm, 5);
    cr_assert_eq(vm->state, VM_STOPPED);
    cr_assert_eq(vm->outcome, VM_OUTCOME_HUNG);
    cr_assert_eq(vm_exit_code(vm), 12);
    cr_assert_str_eq(vm_outcome_name(vm->outcome), "hung");
    cr_assert_not_null(strstr(vm->reason, "0008:00010003"), "%s", vm->reason);
    char *text = explain(vm);
    cr_assert_not_null(strstr(text, "halted with interrupts masked"), "%s", text);
    cr_assert_not_null(strstr(text, "EAX=00000001"), "%s", text);
    free(text);
    vm_destroy(vm);
}

ENGINE_TEST(halted_until_the_next_interrupt_is_none)
{
    struct vm *vm = MAKE(BOTH, 0xfb, 0xf4, 0xeb, 0xfc); /* STI; HLT; JMP */

    run_for(vm, 5);
    cr_assert_eq(vm->state, VM_RUNNING, "%s", vm->reason);
    vm_destroy(vm);
}

/* Nothing was asked for: the VM's maker has to choose. */
ENGINE_TEST(a_hang_is_ignored_unless_somebody_cares)
{
    struct vm *vm = MAKE("", 0xfa, 0xf4);

    run_for(vm, 1);
    for (unsigned i = 0; i < 20; i++) {
        uint64_t wait;
        vm_step(vm, UINT64_MAX, &wait);
    }
    cr_assert_eq(vm->state, VM_RUNNING);
    vm_destroy(vm);
}

ENGINE_TEST(a_hang_can_pause)
{
    struct vm *vm = MAKE("-on-hang pause", 0xfa, 0xf4);

    run_for(vm, 5);
    cr_assert_eq(vm->state, VM_PAUSED);
    cr_assert_eq(debugger_stop(vm)->reason, DEBUG_STOP_REQUEST);
    cr_assert_not_null(strstr(debugger_stop(vm)->text, "hangs"), "%s", debugger_stop(vm)->text);
    vm_destroy(vm);
}

ENGINE_TEST(a_debugger_keeps_a_failed_guest)
{
    struct vm *vm = MAKE(BOTH, 0xfa, 0xf4);
    struct debug_point point = {.kind = DEBUG_EXECUTE, .address = 0x12345};
    unsigned id;

    cr_assert_eq(debugger_add(vm, &point, &id, NULL), 0);
    run_for(vm, 5);
    cr_assert_eq(vm->state, VM_PAUSED);
    vm_destroy(vm);
}

ENGINE_TEST(a_loop_with_interrupts_masked_is_a_hang_on_demand)
{
    struct vm *vm = MAKE(BOTH "-icount 6,sleep=off -hang-timeout 2", 0xfa, 0xeb, 0xfe); /* CLI; JMP $ */

    run_for(vm, 4);
    cr_assert_eq(vm->outcome, VM_OUTCOME_HUNG, "state %d", vm->state);
    cr_assert_geq(clock_now(&vm->clock), 2 * NS_PER_SEC);
    cr_assert_leq(clock_now(&vm->clock), 3 * NS_PER_SEC);
    vm_destroy(vm);
    vm = MAKE(BOTH "-icount 6,sleep=off -hang-timeout 2", 0xfb, 0xeb, 0xfe); /* STI; JMP $ */
    run_for(vm, 4);
    cr_assert_eq(vm->state, VM_RUNNING);
    vm_destroy(vm);
}

/*
 * 10000 MOV DX, 3FBh; MOV AL, 3; OUT DX, AL (8 bits a character); MOV ESI, 8000
 * 1000C LODSB; TEST AL, AL; JZ 10025; MOV AH, AL; MOV DX, 3FDh
 * 10017 IN AL, DX; TEST AL, 20h; JZ 10017; MOV DX, 3F8h; MOV AL, AH; OUT DX, AL; JMP 1000C
 * 10025 STI; HLT; JMP 10026
 */
#define PRINT                                                                                                \
    0x66, 0xba, 0xfb, 0x03, 0xb0, 0x03, 0xee, 0xbe, 0x00, 0x80, 0x00, 0x00, 0xac, 0x84, 0xc0, 0x74, 0x14,    \
        0x88, 0xc4, 0x66, 0xba, 0xfd, 0x03, 0xec, 0xa8, 0x20, 0x74, 0xfb, 0x66, 0xba, 0xf8, 0x03, 0x88,      \
        0xe0, 0xee, 0xeb, 0xe7, 0xfb, 0xf4, 0xeb, 0xfd
#define PRINTED 0x25

ENGINE_TEST(a_panic_on_the_serial_port_ends_the_run)
{
    struct vm *vm = MAKE(BOTH "-serial file:/dev/null", PRINT);
    const char *text =
        "all is well\r\n[    1.204] Kernel panic - not syncing: No working init found.\r\nCPU: 0\r\n";

    poke(vm, DATA, text, strlen(text) + 1);
    run_for(vm, 5);
    cr_assert_eq(vm->outcome, VM_OUTCOME_PANIC, "state %d", vm->state);
    cr_assert_eq(vm_exit_code(vm), 6);
    cr_assert_str_eq(vm->reason, "the guest panicked: Kernel panic - not syncing: No working init found.");
    cr_assert_geq(clock_now(&vm->clock), NS_PER_SEC, "what follows is waited for");
    vm_destroy(vm);
}

ENGINE_TEST(a_panic_that_reboots_is_a_panic)
{
    struct vm *vm = MAKE(BOTH "-serial file:/dev/null", PRINT);
    static const uint8_t reset[] = {0xb0, 0xfe, 0xe6, 0x64, 0xeb, 0xfe}; /* MOV AL, FEh; OUT 64h, AL */

    poke(vm, CODE + PRINTED, reset, sizeof(reset));
    poke(vm, DATA, "cpu 0: panic: trap\n", 20);
    run_for(vm, 5);
    cr_assert_eq(vm->outcome, VM_OUTCOME_PANIC, "state %d", vm->state);
    vm_destroy(vm);
}

ENGINE_TEST(the_pvpanic_device_tells)
{
    static const uint8_t code[] = {
        0x66, 0xba, 0x05, 0x05, 0xec, 0xa2, 0x00,
        0x80, 0x00, 0x00,                          /* MOV DX, 505h; IN AL, DX; MOV [8000], AL */
        0xb0, 0x01, 0xee, 0xfb, 0xf4, 0xeb, 0xfd}; /* MOV AL, 1; OUT DX, AL; STI; HLT */
    struct vm *vm = create(*engine, BOTH "-device pvpanic", code, sizeof(code));

    run_for(vm, 5);
    cr_assert_eq(vm->outcome, VM_OUTCOME_PANIC, "state %d", vm->state);
    cr_assert_eq(peek32(vm, DATA), 3u);
    vm_destroy(vm);
    vm = create(*engine, BOTH, code, sizeof(code));
    run_for(vm, 3);
    cr_assert_eq(vm->state, VM_RUNNING);
    cr_assert_eq(peek32(vm, DATA), 0xffu, "an absent device decodes nothing");
    vm_destroy(vm);
}

Test(verdict, knows_what_kernels_say)
{
    static const char *const panics[] = {
        "Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)",
        "[    2.123456] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000100",
        "panic: init exiting",
        "lapicid 1: panic: sched locks",
        "cpu0: panic: acquire",
        "Kernel PANIC at ../../threads/thread.c:265 in thread_current(): assertion `is_thread (t)' failed.",
        "kernel panic at kern/init.c:44: unknown trap"};
    static const char *const harmless[] = {"",
                                           "[",
                                           "[    0.0] Kernel command line: panic=-1",
                                           "panic",
                                           "# echo Kernel panic",
                                           "don't panic: it works",
                                           "---[ end Kernel panic - not syncing: x ]---",
                                           "cpu0",
                                           "lapicid 1: ready"};

    for (unsigned i = 0; i < ARRAY_LEN(panics); i++) {
        cr_assert(verdict_is_panic_line(panics[i]), "%s", panics[i]);
    }
    for (unsigned i = 0; i < ARRAY_LEN(harmless); i++) {
        cr_assert_not(verdict_is_panic_line(harmless[i]), "%s", harmless[i]);
    }
}

Test(verdict, depends_on_who_watches)
{
    static const struct {
        enum config_display display;
        const char *monitor, *gdb;
        enum config_verdict verdict;
    } rows[] = {
        {CONFIG_DISPLAY_NONE, NULL, NULL, CONFIG_VERDICT_EXIT},
        {CONFIG_DISPLAY_NONE, "none", NULL, CONFIG_VERDICT_EXIT},
        {CONFIG_DISPLAY_NONE, "stdio", NULL, CONFIG_VERDICT_PAUSE},
        {CONFIG_DISPLAY_NONE, NULL, "tcp::1234", CONFIG_VERDICT_PAUSE},
        {CONFIG_DISPLAY_TEXT, NULL, NULL, CONFIG_VERDICT_IGNORE},
        {CONFIG_DISPLAY_SDL, "stdio", NULL, CONFIG_VERDICT_IGNORE},
    };

    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        struct vm_config config = {
            .display = rows[i].display, .monitor = rows[i].monitor, .gdb = rows[i].gdb};
        verdict_choose(&config);
        cr_assert_eq(config.on_panic, rows[i].verdict, "row %u", i);
        cr_assert_eq(config.on_hang, rows[i].verdict, "row %u", i);
        config.on_hang = CONFIG_VERDICT_IGNORE;
        verdict_choose(&config);
        cr_assert_eq(config.on_hang, CONFIG_VERDICT_IGNORE, "what was said stands");
    }
}
