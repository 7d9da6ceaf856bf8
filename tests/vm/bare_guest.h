/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Hand-assembled guests of a few instructions in a whole VM, for tests of what stops a guest.
 *
 *   1000h  GDT: null, code 08h, data 10h      8000h   data
 *   2000h  IDT: 64 gates to 3000h + 16n       10000h  the program, in flat 32-bit protected mode
 *   3000h  handlers                           70000h  top of the stack
 */
#ifndef TESTS_VM_BARE_GUEST_H
#define TESTS_VM_BARE_GUEST_H

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <stdlib.h>
#include <unistd.h>

#include "cpu/insn.h"
#include "vm/config.h"
#include "vm/debugger.h"
#include "vm/vm.h"

enum {
    GDT = 0x1000,
    IDT = 0x2000,
    HANDLERS = 0x3000,
    HANDLER_SIZE = 16,
    DATA = 0x8000,
    CODE = 0x10000,
    STACK = 0x70000,
    WORDS_MAX = 40,
};

static const char *const engines[] = {"interp", "dbt", "dbt,windows=now"};

/* ---- The machine ---------------------------------------------------------------------------------------- */

/* A machine needs a ROM; nothing of it is ever executed. */
static inline void make_rom(char *path)
{
    int fd = mkstemp(path);

    cr_assert_geq(fd, 0);
    cr_assert_eq(ftruncate(fd, 65536), 0);
    close(fd);
}

static inline struct vm *machine_create(const char *engine, const char *options)
{
    char rom[] = "/tmp/hypatia-debugger-XXXXXX";
    static char lines[4][512]; /* a VM borrows its strings */
    static unsigned vms;
    char *line = lines[vms++ % ARRAY_LEN(lines)], *word[WORDS_MAX], *save = NULL;
    struct vm_config config = {0};
    enum config_action action;
    struct error error = {{0}};
    int count = 0;

    make_rom(rom);
    snprintf(line, sizeof(lines[0]),
             "hypatia -S -m 4 -vga none -bios %s -display none -nodefaults %s -icount 0,sleep=off "
             "-accel %s %s",
             rom, strstr(options, "-serial") ? "" : "-serial null", engine, options);
    for (char *at = strtok_r(line, " ", &save); at && count < WORDS_MAX; at = strtok_r(NULL, " ", &save)) {
        word[count++] = at;
    }
    config_init(&config);
    cr_assert_eq(config_parse(&config, count, word, &action, &error), 0, "%s", error.text);
    struct vm *vm = vm_create(&config, &error);
    unlink(rom);
    cr_assert_not_null(vm, "%s", error.text);
    return vm;
}

static inline void poke(struct vm *vm, gpa_t gpa, const void *bytes, size_t size)
{
    cr_assert_eq(debugger_write(vm, true, gpa, bytes, size), size);
}

static inline void poke32(struct vm *vm, gpa_t gpa, uint32_t value)
{
    poke(vm, gpa, &value, 4);
}

static inline uint32_t peek32(struct vm *vm, gpa_t gpa)
{
    uint32_t value = 0;

    cr_assert_eq(debugger_read(vm, true, gpa, &value, 4), 4u);
    return value;
}

static inline void set_flat(struct vm *vm, enum sreg seg, uint16_t selector, uint32_t attr)
{
    vm->cpu->seg[seg] = (struct segment){.selector = selector, .attr = attr, .limit = UINT32_MAX};
}

/* Tables, and every handler an IRET that drops the error code where there is one. */
static inline void make_tables(struct vm *vm)
{
    static const uint8_t iret[] = {0xcf}, drop_iret[] = {0x83, 0xc4, 0x04, 0xcf}; /* ADD ESP, 4; IRET */
    const uint32_t with_code = 1u << 8 | 1u << 10 | 1u << 11 | 1u << 12 | 1u << 13 | 1u << 14 | 1u << 17;

    poke32(vm, GDT + 8, 0x0000ffff);
    poke32(vm, GDT + 12, 0x00cf9b00);
    poke32(vm, GDT + 16, 0x0000ffff);
    poke32(vm, GDT + 20, 0x00cf9300);
    for (unsigned n = 0; n < 0x40; n++) {
        uint32_t handler = HANDLERS + n * HANDLER_SIZE;
        bool code = n < 32 && (with_code >> n & 1);
        poke32(vm, IDT + 8 * n, 8u << 16 | handler);
        poke32(vm, IDT + 8 * n + 4, 0x8e00);
        poke(vm, handler, code ? drop_iret : iret, code ? sizeof(drop_iret) : sizeof(iret));
    }
    vm->cpu->gdtr = (struct table_register){GDT, 0x17};
    vm->cpu->idtr = (struct table_register){IDT, 0x40 * 8 - 1};
}

static inline struct vm *guest_create_with(const char *engine, const char *options, const uint8_t *code,
                                           size_t size)
{
    struct vm *vm = machine_create(engine, options);
    struct vcpu *cpu = vm->cpu;

    make_tables(vm);
    poke(vm, CODE, code, size);
    for (unsigned seg = 0; seg < SEG_COUNT; seg++) {
        set_flat(vm, (enum sreg)seg, seg == SEG_CS ? 0x08 : 0x10, seg == SEG_CS ? 0xc09b : 0xc093);
    }
    cpu->cr0 |= CR0_PE;
    cpu->cr0 &= ~(CR0_CD | CR0_NW);
    cpu->rip = cpu->next_rip = CODE;
    cpu->gpr[RSP] = STACK;
    vcpu_sync(cpu);
    return vm;
}

#define GUEST(engine, ...)                                                                                   \
    guest_create_with(engine, "", (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

/* Run until it is paused or has stopped. */
static inline const struct debug_stop *run(struct vm *vm)
{
    uint64_t wait;

    vm_resume(vm);
    for (unsigned i = 0; i < 50 && vm->state == VM_RUNNING; i++) {
        vm_step(vm, UINT64_MAX, &wait);
    }
    cr_assert_neq(vm->state, VM_RUNNING, "nothing stopped the guest; eip %lx", vm->cpu->rip);
    return debugger_stop(vm);
}

#define ENGINE_TEST_OF(suite, name)                                                                          \
    ParameterizedTestParameters(suite, name)                                                                 \
    {                                                                                                        \
        static unsigned which[] = {0, 1, 2};                                                                 \
        return cr_make_param_array(unsigned, which, ARRAY_LEN(which));                                       \
    }                                                                                                        \
    ParameterizedTest(const unsigned *engine, suite, name)

#endif
