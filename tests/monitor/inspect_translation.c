/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * tb list, tb show, tb count and exits on a small program; and the disassembler behind them.
 */
#include "tests/monitor/inspect_fixture.h"

#include "binxlate/inspect.h"
#include "monitor/disassemble.h"

static struct inspected it;

/* mov ecx,100; l: call f; dec ecx; jnz l; out 80h,al; hlt; f (+16): add eax,ecx; ret */
static const uint8_t program[] = {0xb9, 0x64, 0x00, 0x00, 0x00, 0xe8, 0x06, 0x00, 0x00, 0x00,
                                  0x49, 0x75, 0xf8, 0xe6, 0x80, 0xf4, 0x01, 0xc8, 0xc3};

static void run_program(void)
{
    it.vm.cpu->rip = CODE;
    it.vm.cpu->halted = false;
    cr_assert_eq(binxlate_run(it.vm.binxlate, 100000), VCPU_EXIT_HALT);
}

static void set_up(void)
{
    struct error error;

    if (binxlate_supported(&error) < 0) {
        cr_skip_test("%s", error.text);
    }
    inspected_init(&it);
    it.vm.binxlate = binxlate_create(it.vm.cpu, &error);
    cr_assert_not_null(it.vm.binxlate, "%s", error.text);
    binxlate_set_windows(it.vm.binxlate, BINXLATE_WINDOWS_OFF);
    bare_load(&it.bare, CODE, program, sizeof(program));
    run_program();
}

static void tear_down(void)
{
    if (it.vm.binxlate) {
        binxlate_destroy(it.vm.binxlate);
        inspected_fini(&it);
    }
}

TestSuite(inspect_translation, .init = set_up, .fini = tear_down);

static const char *run(const char *line)
{
    return inspected_run(&it, line);
}

Test(inspect_translation, tb_list_sorts_by_address_and_by_heat)
{
    run("tb list");
    assert_says(&it, "executions are not counted\n");
    const char *first = strstr(it.text, "00010000"), *f = strstr(it.text, "00010010");
    cr_assert(first && f && first < f);
    run("tb list sort=hot");
    cr_assert_not(it.done);
    assert_says(&it, "executions are not counted (tb count on)");
    cr_assert_str_eq(run("tb count on"), "");
    cr_assert_str_eq(run("tb count"), "executions are counted\n");
    run_program();
    run("tb list 1 sort=hot");
    assert_says(&it, "           100  cpl0 fs gs\n");
    assert_says(&it, "more lines; tb list N shows N\n");
    cr_assert_eq(json_integer_value(json_object_get(json_array_get(it.data, 0), "executions")), 100);
    run("tb list nonsense");
    assert_says(&it, "usage: tb list");
    run("tb count maybe");
    assert_says(&it, "usage: tb count");
}

Test(inspect_translation, tb_show_puts_guest_and_host_side_by_side)
{
    run("tb show 0x10010");
    assert_says(&it, "block 00010010, 2 instructions, mode: cpl0 fs gs; memory by flat table\n");
    assert_says(&it, "00010010  add eax, ecx");
    assert_says(&it, "  add eax, ecx\n");
    assert_says(&it, "00010012  ret ");
    const json_t *code = json_object_get(json_array_get(it.data, 0), "code");
    cr_assert_eq(json_array_size(code), 4);
    cr_assert_str_eq(json_string_value(json_object_get(json_array_get(code, 1), "guest")),
                     "00010010  add eax, ecx");
    cr_assert_eq(json_array_size(json_object_get(json_array_get(code, 1), "host")), 1);
}

Test(inspect_translation, tb_show_draws_chains)
{
    run("tb show 0x1000a");
    assert_says(&it, "jne -> block 00010005\n");
    run("tb show 0x10005");
    assert_says(&it, "call -> block 00010010\n");
    run("tb show 0x1000d");
    assert_says(&it, "jmp -> exit call-out\n");
}

Test(inspect_translation, tb_show_finds_the_block_that_holds_an_instruction)
{
    run("tb show 0x10012");
    assert_says(&it, "block 00010010, 2 instructions");
    run("tb show 0x10011");
    cr_assert_not(it.done);
    assert_says(&it, "no block has an instruction at 00010011");
    run("tb show 0xffffffffffffffff");
    cr_assert_not(it.done);
}

Test(inspect_translation, exits_are_counted_by_reason_and_from_a_reset_on)
{
    run("exits");
    assert_says(&it, "  call-out ");
    assert_says(&it, " out Ib,AL\n");
    assert_says(&it, "  chain ");
    cr_assert_geq(json_integer_value(json_object_get(json_object_get(it.data, "exits"), "call-out")), 1);
    cr_assert_str_eq(run("exits reset"), "");
    run("exits");
    assert_says(&it, "translated code was left 0 times\n");
    run_program();
    run_program();
    run("exits");
    cr_assert_eq(json_integer_value(json_object_get(json_object_get(it.data, "exits"), "call-out")), 4,
                 "OUT and HLT, twice:\n%s", it.text);
    run("exits backwards");
    assert_says(&it, "usage: exits [reset]");
}

Test(inspect_translation, exits_tell_faults_apart)
{
    /* mov eax,[ebx]; mov [esi],eax; hlt: misaligned, and to a device */
    static const uint8_t code[] = {0x8b, 0x03, 0x89, 0x06, 0xf4};

    bare_load(&it.bare, CODE, code, sizeof(code));
    it.vm.cpu->gpr[RBX] = 0x300001;
    it.vm.cpu->gpr[RSI] = DEVICE;
    run("exits reset");
    run_program();
    run("exits");
    const json_t *exits = json_object_get(it.data, "exits");
    cr_assert_eq(json_integer_value(json_object_get(exits, "fault, misaligned")), 1, "%s", it.text);
    cr_assert_eq(json_integer_value(json_object_get(exits, "fault, indirect")), 1, "%s", it.text);
}

Test(inspect_translation, say_that_there_is_no_translator)
{
    static const char *const lines[] = {"tb list", "tb show 0x10000", "tb count on", "exits"};
    struct binxlate *kept = it.vm.binxlate;

    it.vm.binxlate = NULL;
    for (unsigned i = 0; i < ARRAY_LEN(lines); i++) {
        run(lines[i]);
        cr_assert_not(it.done);
        assert_says(&it, "the interpreter runs this VM (-accel dbt translates)\n");
    }
    it.vm.binxlate = kept;
}

Test(inspect_translation, disassembles_three_sizes_and_garbage)
{
    static const uint8_t jump[] = {0xe9, 0x10, 0x00, 0x00, 0x00}, garbage[] = {0x0f, 0xff};
    struct disassembled result;
    struct error error;

    for (unsigned bits = 16; bits <= 64; bits *= 2) {
        struct disassembler *disassembler = disassembler_open(bits, &error);

        cr_assert_not_null(disassembler);
        disassemble(disassembler, jump, sizeof(jump), 0x1000, &result);
        cr_assert_eq(result.length, bits == 16 ? 3 : 5);
        cr_assert(result.branch);
        cr_assert_eq(result.target, bits == 16 ? 0x1013 : 0x1015);
        disassemble(disassembler, garbage, 1, 0x1000, &result);
        cr_assert_eq(result.length, 1);
        cr_assert_str_eq(result.text, ".byte 0x0f");
        cr_assert_not(result.branch);
        disassembler_close(disassembler);
    }
    disassembler_close(NULL);
}
