/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The judge: it agrees with a translator that is right, touches devices once, and finds every kind of harm that is done
 * behind translated code or in it.
 */
#include <criterion/criterion.h>

#include "binxlate/check.h"
#include "binxlate/engine.h"
#include "tests/isa/bare_machine.h"

enum { CODE = 0x10000, DATA = 0x20000, FAR = 0x900000, STACK = 0x800000, MMIO = 0xe0000000, PORT = 0x50 };

struct fixture {
    struct bare_machine bare;
    struct binxlate *x;
    struct check *check;
    struct region registers, ports;
    unsigned reads, writes, acknowledged;
    FILE *report;
    char *text; /* of the report */
    size_t size;
};

static struct fixture f;

static uint64_t count_read(void *opaque, uint64_t offset, unsigned size)
{
    (void)opaque;
    (void)size;
    return offset + ++f.reads;
}

static void count_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    (void)opaque;
    (void)offset;
    (void)size;
    f.writes++;
    if (value == 0x77) {
        vcpu_set_intr(f.bare.cpu, true);
    }
}

static const struct region_ops device_ops = {.read = count_read, .write = count_write};

static uint8_t acknowledge(void *board)
{
    (void)board;
    f.acknowledged++;
    vcpu_set_intr(f.bare.cpu, false);
    return 0x20;
}

static void set_up(void)
{
    struct error error;

    if (binxlate_supported(&error) < 0) {
        cr_skip_test("%s", error.text);
    }
    bare_init(&f.bare);
    bare_enter_protected(&f.bare, 32);
    region_init_io(&f.registers, "registers", MMIO, PAGE_SIZE, &device_ops, NULL);
    region_init_io(&f.ports, "ports", PORT, 16, &device_ops, NULL);
    addr_space_add(&f.bare.mem, &f.registers);
    addr_space_add(&f.bare.io, &f.ports);
    f.bare.cpu->wiring.interrupt_acknowledge = acknowledge;
    f.bare.cpu->cr4 |= CR4_OSFXSR;
    f.x = binxlate_create(f.bare.cpu, &error);
    cr_assert_not_null(f.x, "%s", error.text);
    f.report = open_memstream(&f.text, &f.size);
    f.check = check_create(f.x, f.report, &error);
    cr_assert_not_null(f.check, "%s", error.text);
    f.bare.cpu->rip = CODE;
    f.bare.cpu->gpr[RSP] = STACK;
}

static void tear_down(void)
{
    check_destroy(f.check);
    fclose(f.report);
    free(f.text);
    binxlate_destroy(f.x);
    bare_fini(&f.bare);
}

#define LOAD(...)                                                                                            \
    do {                                                                                                     \
        static const uint8_t bytes[] = {__VA_ARGS__};                                                        \
        bare_load(&f.bare, CODE, bytes, sizeof(bytes));                                                      \
    } while (0)

/* mov ecx, n; loop: add eax, 12345678h; mov [DATA], eax; push eax; pop edx; dec ecx; jnz loop; hlt */
#define LOOP(n)                                                                                              \
    LOAD(0xb9, (uint8_t)(n), (uint8_t)((n) >> 8), (uint8_t)((n) >> 16), 0, 0x05, 0x78, 0x56, 0x34, 0x12,     \
         0xa3, 0x00, 0x00, 0x02, 0x00, 0x50, 0x5a, 0x49, 0x75, 0xf1, 0xf4)

static const char *report(void)
{
    fflush(f.report);
    return f.text;
}

#define EXPECT(part) cr_expect(strstr(report(), (part)), "no '%s' in:\n%s", (part), report())

/* The judge must stop with a difference that its first line names. */
static void expect_difference(const char *what)
{
    cr_assert_eq(check_run(f.check, 100000000), VCPU_EXIT_INTERNAL);
    cr_assert_eq(check_stats(f.check)->differences, 1);
    cr_expect(strstr(f.bare.cpu->internal_error, what), "'%s' names no %s", f.bare.cpu->internal_error, what);
    EXPECT(what);
}

TestSuite(check, .init = set_up, .fini = tear_down);

Test(check, agrees_with_a_translator_that_is_right)
{
    LOOP(200000);
    cr_assert_eq(check_run(f.check, 100000000), VCPU_EXIT_HALT, "%s", report());
    cr_expect_eq(f.bare.cpu->gpr[RAX], (uint32_t)(200000u * 0x12345678u));
    cr_expect_eq(check_stats(f.check)->compared, 200000 * 6 + 2);
    cr_expect_gt(check_stats(f.check)->translated, 1000000);
    cr_expect_eq(check_stats(f.check)->uncompared, 0);
    cr_expect(check_scan(f.check));
    cr_expect_eq(check_stats(f.check)->differences, 0);
}

Test(check, ends_a_budget_at_the_exact_instruction)
{
    LOOP(200000);
    for (unsigned budget = 1; budget < 60; budget++) {
        uint64_t before = f.bare.cpu->insn_count;
        cr_assert_eq(check_run(f.check, budget), VCPU_EXIT_BUDGET);
        cr_assert_eq(f.bare.cpu->insn_count - before, budget, "%u: %u", budget,
                     (unsigned)(f.bare.cpu->insn_count - before));
    }
}

Test(check, lets_devices_see_every_access_once)
{
    /* mov ecx,1000; mov edx,PORT; loop: in al,dx; mov ebx,[MMIO]; add [MMIO],ebx; out dx,al; push eax; pop esi;
     * dec ecx; jnz loop; hlt */
    LOAD(0xb9, 0xe8, 0x03, 0, 0, 0xba, PORT, 0, 0, 0, 0xec, 0x8b, 0x1d, 0, 0, 0, 0xe0, 0x01, 0x1d, 0, 0, 0,
         0xe0, 0xee, 0x50, 0x5e, 0x49, 0x75, 0xed, 0xf4);
    cr_assert_eq(check_run(f.check, 100000000), VCPU_EXIT_HALT, "%s", report());
    cr_expect_eq(f.reads, 3000);
    cr_expect_eq(f.writes, 2000);
    cr_expect_eq(check_stats(f.check)->uncompared, 4000);
    cr_expect_eq(check_stats(f.check)->compared, 4000 + 3);
}

Test(check, follows_devices_that_write_memory)
{
    /* mov edi,DATA; mov ecx,512; mov edx,PORT; cld; rep insd; mov eax,[DATA+4]; hlt */
    LOAD(0xbf, 0, 0, 0x02, 0, 0xb9, 0, 0x02, 0, 0, 0xba, PORT, 0, 0, 0, 0xfc, 0xf3, 0x6d, 0xa1, 0x04, 0, 0x02,
         0, 0xf4);
    cr_assert_eq(check_run(f.check, 100000000), VCPU_EXIT_HALT, "%s", report());
    cr_expect_eq(f.reads, 512);
    cr_expect_eq(f.bare.cpu->gpr[RAX], 2);
    cr_expect(check_scan(f.check));
    bare_write32(&f.bare, DATA, 0x1234); /* as DMA would, between runs */
    f.bare.cpu->rip = CODE + 18;
    f.bare.cpu->halted = false;
    cr_assert_eq(check_run(f.check, 100), VCPU_EXIT_HALT, "%s", report());
    cr_expect(check_scan(f.check));
}

Test(check, follows_a_change_of_the_memory_map)
{
    /* mov eax,[MMIO]; hlt: a device, then memory */
    LOAD(0xa1, 0, 0, 0, 0xe0, 0xf4);
    cr_assert_eq(check_run(f.check, 100), VCPU_EXIT_HALT);
    cr_expect_eq(f.reads, 1);
    struct region alias;
    region_init_memory(&alias, "alias", MMIO, PAGE_SIZE, CODE, REGION_RW);
    alias.priority = 1;
    addr_space_add(&f.bare.mem, &alias);
    f.bare.cpu->rip = CODE;
    f.bare.cpu->halted = false;
    cr_assert_eq(check_run(f.check, 100), VCPU_EXIT_HALT, "%s", report());
    cr_expect_eq(f.reads, 1);
    cr_expect_eq(f.bare.cpu->gpr[RAX], 0xa1);
    addr_space_remove(&f.bare.mem, &alias);
}

Test(check, acknowledges_an_interrupt_once)
{
    /* sti; mov edx,PORT; mov al,77h; out dx,al; nop; nop; hlt. The gate has no place in the table: a shutdown */
    LOAD(0xfb, 0xba, PORT, 0, 0, 0, 0xb0, 0x77, 0xee, 0x90, 0x90, 0xf4);
    cr_assert_eq(check_run(f.check, 100), VCPU_EXIT_SHUTDOWN, "%s", report());
    cr_expect_eq(f.acknowledged, 1);
    cr_expect_eq(f.writes, 1);
}

Test(check, compares_the_time_stamp_counter)
{
    struct clock clock;
    /* mov ecx,1000; loop: rdtsc; sub eax,esi; jc out; rdtsc; mov esi,eax; dec ecx; jnz loop; hlt; out: ud2 */
    LOAD(0xb9, 0xe8, 0x03, 0, 0, 0x0f, 0x31, 0x29, 0xf0, 0x72, 0x08, 0x0f, 0x31, 0x89, 0xc6, 0x49, 0x75, 0xf3,
         0xf4, 0x0f, 0x0b);
    clock_init(&clock, CLOCK_REAL_TIME);
    clock_start(&clock);
    f.bare.cpu->wiring.clock = &clock;
    check_destroy(f.check);
    f.check = check_create(f.x, f.report, NULL);
    cr_assert_eq(check_run(f.check, 100000), VCPU_EXIT_HALT, "%s", report());
    cr_expect_eq(check_stats(f.check)->uncompared, 0);
}

/* ---- Harm ----------------------------------------------------------------------------------------------- */

enum { HARM_AT = 5000 }; /* insn_count from which on it is done */

#define HARM(name, action)                                                                                   \
    static void harm_##name(void *opaque, struct vcpu *cpu)                                                  \
    {                                                                                                        \
        (void)opaque;                                                                                        \
        if (cpu->insn_count >= HARM_AT) {                                                                    \
            action;                                                                                          \
        }                                                                                                    \
    }

HARM(register, cpu->gpr[RDX] ^= 1)
HARM(flag, cpu->rflags ^= RFLAGS_AF)
HARM(xmm, cpu->fpu.xmm[3][5] ^= 1)
HARM(x87, cpu->fpu.st[2][0] ^= 1)
HARM(system, cpu->cr2 = 0x55)
HARM(memory, f.bare.ram.host[DATA + 0x123] ^= 0x40)
HARM(stack, f.bare.ram.host[STACK - 4] ^= 0x40)
HARM(far_memory, f.bare.ram.host[FAR] = 0x40)
HARM(count, cpu->insn_count++)

Test(check, names_a_wrong_register_and_the_block)
{
    LOOP(100000);
    check_set_fault(f.check, harm_register, NULL);
    expect_difference("EDX");
    EXPECT("narrowed to");
    EXPECT("pop edx");
    EXPECT("add eax, 0x12345678");
    EXPECT("block 00010005, mode");
    EXPECT("EIP=");
}

Test(check, names_a_wrong_flag)
{
    LOOP(100000);
    check_set_fault(f.check, harm_flag, NULL);
    expect_difference("RFLAGS");
}

Test(check, names_a_wrong_sse_register)
{
    LOOP(100000);
    check_set_fault(f.check, harm_xmm, NULL);
    expect_difference("XMM3 low");
}

Test(check, names_a_wrong_x87_register)
{
    LOOP(100000);
    check_set_fault(f.check, harm_x87, NULL);
    expect_difference("ST2");
}

Test(check, names_a_wrong_system_register)
{
    LOOP(100000);
    check_set_fault(f.check, harm_system, NULL);
    expect_difference("cr2");
}

Test(check, names_a_wrong_count)
{
    LOOP(100000);
    check_set_fault(f.check, harm_count, NULL);
    expect_difference("instructions");
}

Test(check, names_wrong_memory_in_a_page_that_is_written)
{
    LOOP(100000);
    check_set_fault(f.check, harm_memory, NULL);
    expect_difference("memory at 20123");
}

Test(check, names_wrong_memory_on_the_stack)
{
    LOOP(100000);
    check_set_fault(f.check, harm_stack, NULL);
    expect_difference("memory at 7ffffc");
}

Test(check, finds_a_stray_store_by_comparing_all_memory)
{
    LOOP(2000);
    check_set_fault(f.check, harm_far_memory, NULL);
    cr_assert_eq(check_run(f.check, 100000000), VCPU_EXIT_HALT, "%s", report());
    cr_expect_not(check_scan(f.check));
    EXPECT("memory at 900000: interpreter 00, translator 40");
}

/* ---- A wrong translator --------------------------------------------------------------------------------- */

/* Change the constant in the code that was made of ADD EAX, 12345678h. */
static void break_translation(void)
{
    static const uint8_t constant[] = {0x78, 0x56, 0x34, 0x12};
    unsigned changed = 0;

    for (size_t i = 0; i < f.x->block_count; i++) {
        struct block *block = f.x->blocks[i];
        uint8_t *at = memmem(block->code, block->code_size, constant, sizeof(constant));
        if (at) {
            *at = 0x79;
            changed++;
        }
    }
    cr_assert_gt(changed, 0);
}

Test(check, finds_a_wrong_constant_in_host_code)
{
    LOOP(100000);
    cr_assert_eq(check_run(f.check, 3000), VCPU_EXIT_BUDGET, "%s", report());
    break_translation();
    expect_difference("EAX");
    EXPECT("narrowed to");
    EXPECT("add eax, 0x12345678");
    EXPECT("79563412");
}

/* ---- What it has found ---------------------------------------------------------------------------------- */

/* Paging with global pages of 4 MiB: what a window of the supervisor needs. */
static void enable_paging(void)
{
    enum { DIRECTORY = 0x30000 };

    for (uint32_t i = 0; i < 4; i++) {
        bare_write32(&f.bare, DIRECTORY + 4 * i, i << 22 | 0x1e3);
    }
    f.bare.cpu->cr3 = DIRECTORY;
    f.bare.cpu->cr4 |= CR4_PSE | CR4_PGE;
    f.bare.cpu->cr0 |= CR0_PG;
    vcpu_sync(f.bare.cpu);
}

Test(check, agrees_on_pushed_flags_in_windows)
{
    /* mov ecx,2000; loop: pushfd; pop edx; add eax,edx; dec ecx; jnz loop; hlt */
    LOAD(0xb9, 0xd0, 0x07, 0, 0, 0x9c, 0x5a, 0x01, 0xd0, 0x49, 0x75, 0xf9, 0xf4);
    if (!binxlate_windows_supported()) {
        cr_skip_test("no FSGSBASE");
    }
    binxlate_set_windows(f.x, BINXLATE_WINDOWS_NOW);
    enable_paging();
    cr_assert_eq(check_run(f.check, 100000), VCPU_EXIT_HALT, "%s", report());
    cr_expect_gt(binxlate_stats(f.x)->windows_opened, 0);
}
