/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * monitor/expression.h on a VM that is a processor's registers, some symbols and 4 KiB of memory at 0x1000.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

#include "monitor/expression.h"
#include "vm/debugger.h"
#include "vm/symbols.h"
#include "vm/vm.h"

static uint8_t memory[4096], physical_memory[4096];

/* The debugger's, here without one. */
size_t debugger_read(struct vm *vm, bool physical, uint64_t address, void *bytes, size_t size)
{
    const uint8_t *from = physical ? physical_memory : memory;

    (void)vm;
    if (address < 0x1000 || address >= 0x2000) {
        return 0;
    }
    size = MIN(size, (size_t)(0x2000 - address));
    memcpy(bytes, from + (address - 0x1000), size);
    return size;
}

static struct vm *make_vm(void)
{
    struct vm *vm = calloc(1, sizeof(*vm));
    struct vcpu *cpu = calloc(1, sizeof(*cpu));
    struct symbols_batch *batch = symbols_batch_begin();

    cr_assert(vm && cpu && batch);
    vm->cpu = cpu;
    cr_assert(symbols_batch_add(batch, "start_kernel", 12, 0xc1000000, 0, SYMBOL_CODE));
    cr_assert(symbols_batch_add(batch, "jiffies", 7, 0x1010, 0, 0));
    cr_assert(symbols_batch_add(batch, "edi", 3, 0x1234, 0, 0));
    cr_assert(symbols_batch_add(batch, "byte", 4, 0x4321, 0, 0));
    cr_assert(symbols_batch_add(batch, "foo.isra.0", 10, 0x5555, 0, 0));
    cr_assert_eq(symbols_batch_end(batch, &vm->symbols, NULL), 5);
    for (unsigned i = 0; i < 8; i++) {
        cpu->gpr[i] = 0x1000 + i * 0x10; /* eax 1000 ecx 1010 edx 1020 ebx 1030 esp 1040 ... edi 1070 */
    }
    cpu->rip = 0x7c00;
    cpu->rflags = RFLAGS_FIXED1 | RFLAGS_ZF | RFLAGS_IF | 3u << 12;
    cpu->seg[SEG_CS] = (struct segment){.selector = 0x7c0, .base = 0x7c00, .limit = 0xffff};
    cpu->tr.limit = 0x67;
    cpu->cr3 = 0x39000;
    cpu->cpl = 3;
    cpu->insn_count = 12345;
    cpu->gdtr = (struct table_register){.base = 0x8000, .limit = 0x2f};
    store_le64(memory + 0x10, UINT64_C(0x8877665544332211));
    store_le32(memory + 0xf00, 0x1010);
    store_le32(physical_memory + 0x10, 0xcafef00d);
    return vm;
}

static void free_vm(struct vm *vm)
{
    symbols_free(vm->symbols);
    free(vm->cpu);
    free(vm);
}

static void is(const char *text, uint64_t expected)
{
    struct vm *vm = make_vm();
    struct error error = {""};
    uint64_t value = 0;
    int result = expression_evaluate(text, vm, &value, &error);

    cr_expect_eq(result, 0, "%s: %s", text, error.text);
    cr_expect_eq(value, expected, "%s is 0x%" PRIx64 ", expected 0x%" PRIx64, text, value, expected);
    free_vm(vm);
}

/* Refused, with these words somewhere, and at this column (0: none named). */
static void is_wrong(const char *text, int code, unsigned column, const char *words)
{
    struct vm *vm = make_vm();
    struct error error = {""};
    uint64_t value = 77;
    char place[32];

    cr_expect_eq(expression_evaluate(text, vm, &value, &error), code, "%s", text);
    cr_expect(strstr(error.text, words), "%s: '%s' does not say '%s'", text, error.text, words);
    snprintf(place, sizeof(place), "column %u:", column);
    cr_expect(column == 0 || strstr(error.text, place), "%s: '%s' does not say %s", text, error.text, place);
    cr_expect_eq(value, 77, "%s", text);
    free_vm(vm);
}

Test(expression, numbers)
{
    is("0", 0);
    is("123", 123);
    is(" 0x7B ", 0x7b);
    is("0b101", 5);
    is("017", 15);
    is("'A'", 65);
    is("'\\n' + '\\\\' + '\\''", 10 + '\\' + '\'');
    is("0xffffffffffffffff", UINT64_MAX);
}

Test(expression, registers)
{
    is("$eax", 0x1000);
    is("$EAX", 0x1000);
    is("$sp", 0x1040);
    is("$ah", 0x10);
    is("$cl", 0x10);
    is("$dh", 0x10);
    is("$eip", 0x7c00);
    is("$pc", 0xf800);
    is("$cs", 0x7c0);
    is("$cs.base", 0x7c00);
    is("$tr.limit", 0x67);
    is("$gdtr.base + $gdtr.limit", 0x802f);
    is("$cr3", 0x39000);
    is("$zf + $if * 2 + $cf * 4", 3);
    is("$iopl", 3);
    is("$cpl", 3);
    is("$insns", 12345);
    is("$eflags & 0x40", 0x40);
}

Test(expression, bare_registers_unless_a_symbol_has_the_name)
{
    is("ebp", 0x1050);
    is("edi", 0x1234);
    is("$edi", 0x1070);
}

Test(expression, symbols)
{
    is("start_kernel", 0xc1000000);
    is("start_kernel+0x10", 0xc1000010);
    is("foo.isra.0", 0x5555);
    is("byte", 0x4321);
}

Test(expression, memory)
{
    is("[0x1010]", 0x44332211);
    is("*jiffies", 0x44332211);
    is("**0x1f00", 0x44332211);
}

Test(expression, memory_by_size_and_space)
{
    is("byte[jiffies]", 0x11);
    is("word [ jiffies + 1 ]", 0x3322);
    is("dword[jiffies]", 0x44332211);
    is("qword[jiffies]", UINT64_C(0x8877665544332211));
    is("phys [0x1010]", 0xcafef00d);
    is("phys byte[0x1010]", 0x0d);
    is("byte[[0x1010] - 0x44332211 + 0x1011]", 0x22);
    is("byte[jiffies] + byte", 0x4332);
}

Test(expression, precedence_is_that_of_c)
{
    is("2 + 3 * 4", 14);
    is("(2 + 3) * 4", 20);
    is("20 - 5 - 5", 10);
    is("100 / 10 / 5", 2);
    is("17 % 5", 2);
    is("1 << 2 + 1", 8);
    is("1 | 2 ^ 3 & 6", 1 | (2 ^ (3 & 6)));
    is("1 < 2 == 1", 1);
    is("4 & 5 == 5", 4 & 1);
    is("-1", UINT64_MAX);
    is("- -5", 5);
    is("~0 >> 60", 15);
    is("!0 + !7", 1);
    is("3 - -2", 5);
    is("1 << 64", 0);
    is("1 >> 100", 0);
    is("-1 < 0", 0);
    is("2 >= 2 && 2 <= 2 && 3 > 2 && 1 != 2", 1);
    is("0 || 5", 1);
    is("7 && 9", 1);
    is("7 && 0", 0);
    is("0 && 1 || 1", 1);
    is("1 || 1 && 0", 1);
    is("1 ? 2 : 3", 2);
    is("0 ? 2 : 0 ? 4 : 5", 5);
    is("1 ? 0 ? 1 : 2 : 3", 2);
    is("(1 ? 10 : 20) + 1", 11);
    is("5 == 5 ? 1 + 1 : 9", 2);
}

Test(expression, what_does_not_count_is_not_evaluated)
{
    is("0 && [0]", 0);
    is("1 || 1 / 0", 1);
    is("1 ? 3 : [0]", 3);
    is("0 ? 1 % 0 : 4", 4);
    is_wrong("1 && [0]", -EFAULT, 0, "linear address 0x0");
}

Test(expression, errors_say_what_and_where)
{
    is_wrong("", -EINVAL, 1, "a value is missing");
    is_wrong("1 +", -EINVAL, 4, "a value is missing at the end");
    is_wrong("1 + * ", -EINVAL, 7, "a value is missing");
    is_wrong("(1", -EINVAL, 3, "')'");
    is_wrong("[1", -EINVAL, 3, "']'");
    is_wrong("1 ? 2", -EINVAL, 6, "':'");
    is_wrong("1 2", -EINVAL, 3, "'2' is not expected");
    is_wrong("$eax = 1", -EINVAL, 6, "== compares");
    is_wrong("$foo", -EINVAL, 1, "no register 'foo'");
    is_wrong("1 + bar", -EINVAL, 5, "'bar' is not a number, symbol or register");
    is_wrong("deadbeef", -EINVAL, 1, "begin with 0x");
    is_wrong("12ab", -EINVAL, 1, "begin with 0x");
    is_wrong("0b", -EINVAL, 1, "not a number");
    is_wrong("99999999999999999999", -EINVAL, 1, "64 bits");
    is_wrong("''", -EINVAL, 1, "missing");
    is_wrong("'\\q'", -EINVAL, 1, "unknown character");
    is_wrong("'", -EINVAL, 1, "missing");
    is_wrong("'\\", -EINVAL, 1, "unknown character");
    is_wrong("'a", -EINVAL, 3, "'");
    is_wrong("phys 5", -EINVAL, 1, "'phys'");
    is_wrong("1 / (2 - 2)", -EDOM, 0, "zero");
    is_wrong("1 % 0", -EDOM, 0, "zero");
    is_wrong("qword[0x1ffc]", -EFAULT, 0, "8 bytes at linear address 0x1ffc");
    is_wrong("phys byte[0]", -EFAULT, 0, "1 byte at physical address 0x0");
}

static void repeat(char *text, const char *part, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        text = stpcpy(text, part);
    }
}

Test(expression, depth_and_length_are_bounded)
{
    static char text[200000];

    repeat(text, "(", 100000);
    is_wrong(text, -EINVAL, 0, "too deeply");
    repeat(text, "-", 100000);
    is_wrong(text, -EINVAL, 0, "too deeply");
    repeat(text, "1?", 50000);
    is_wrong(text, -EINVAL, 0, "too deeply");
    repeat(text, "1+", 50000);
    is_wrong(text, -EINVAL, 0, "too long");
    memset(text, 0, sizeof(text));
    repeat(text, "(", 60);
    strcat(text, "7");
    repeat(text + 61, ")", 60);
    is_wrong(text, -EINVAL, 0, "too deeply");
    memset(text, 0, sizeof(text));
    repeat(text, "(", 30);
    strcat(text, "7");
    repeat(text + 31, ")", 30);
    is(text, 7);
}

Test(expression, values_follow_the_registers)
{
    struct vm *vm = make_vm();
    struct expression *expression = expression_parse("$eax + $insns", vm, NULL);
    uint64_t value;

    cr_assert(expression);
    vm->cpu->gpr[RAX] = 5;
    vm->cpu->insn_count = 6;
    cr_assert_eq(expression_value(expression, vm, &value, NULL), 0);
    cr_expect_eq(value, 11);
    expression_free(expression);
    free_vm(vm);
}

Test(expression, a_million_conditions_take_no_time)
{
    struct vm *vm = make_vm();
    struct expression *expression =
        expression_parse("$eax == 0x1001 || ($esp > 0x1000 && byte[jiffies] != 0x12)", vm, NULL);
    struct timespec begin, end;
    uint64_t value = 0, sum = 0;

    cr_assert(expression);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &begin);
    for (unsigned i = 0; i < 1000000; i++) {
        cr_assert_eq(expression_value(expression, vm, &value, NULL), 0);
        sum += value;
    }
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &end);
    cr_log_info("%.0f ns each",
                ((double)(end.tv_sec - begin.tv_sec) * 1e9 + (double)(end.tv_nsec - begin.tv_nsec)) / 1e6);
    cr_expect_eq(sum, 1000000);
    expression_free(expression);
    free_vm(vm);
}

/* Pieces of expressions in any order: refused or evaluated. */
Test(expression, of_any_text_harms_nobody)
{
    static const char *const pieces[] = {
        "1", "0",     "$eax", "ebx", "(",       ")",  "[",    "]", "byte", "phys ", "?", ":",   "+", "-",
        "*", "/",     "%",    "&&",  "||",      "<<", "==",   "'", "a",    "\\",    "$", "foo", " ", "!",
        "~", "qword", "0x",   "0b",  "jiffies", ".",  "\377", "<", ">=",   "^",     "&", "|"};
    struct vm *vm = make_vm();
    uint32_t state = 1;
    unsigned evaluated = 0;

    for (unsigned round = 0; round < 200000; round++) {
        char text[256] = "";
        struct error error = {""};
        uint64_t value;

        for (unsigned n = 1 + (state >> 8) % 12; n > 0; n--) {
            state = state * 1664525u + 1013904223u;
            strcat(text, pieces[(state >> 8) % ARRAY_LEN(pieces)]);
        }
        if (expression_evaluate(text, vm, &value, &error) == 0) {
            evaluated++;
        } else {
            cr_assert(*error.text, "%s", text);
        }
        state = state * 1664525u + 1013904223u;
    }
    cr_expect_gt(evaluated, 1000);
    free_vm(vm);
}
