/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * trace: what is in the file, on both engines; that it ends at its limit; and bad words.
 */
#include "tests/monitor/inspect_fixture.h"

#include <unistd.h>

#include "binxlate/binxlate.h"
#include "vm/symbols.h"

static struct inspected it;
static char path[] = "/tmp/hypatia-trace-XXXXXX";
static char *file;

static void set_up(void)
{
    inspected_init(&it);
    close(mkstemp(path));
}

static void tear_down(void)
{
    binxlate_destroy(it.vm.binxlate);
    unlink(path);
    free(file);
    inspected_fini(&it);
}

TestSuite(inspect_trace, .init = set_up, .fini = tear_down);

/* "trace PATH WORDS", answered by nothing. */
static void trace(const char *words)
{
    char line[256];

    snprintf(line, sizeof(line), "trace %s %s", path, words);
    cr_assert_str_eq(inspected_run(&it, line), "");
    cr_assert(it.done);
}

static const char *read_file(void)
{
    size_t size = 0;
    FILE *stream = fopen(path, "r");

    cr_assert_not_null(stream);
    free(file);
    file = NULL;
    getdelim(&file, &size, '\0', stream);
    fclose(stream);
    return file ? file : "";
}

static unsigned count(const char *what)
{
    unsigned times = 0;

    for (const char *at = file; at && (at = strstr(at, what)); at++) {
        times++;
    }
    return times;
}

static void use_translator(void)
{
    struct error error;

    if (binxlate_supported(&error) < 0) {
        cr_skip_test("%s", error.text);
    }
    it.vm.binxlate = binxlate_create(it.vm.cpu, &error);
    cr_assert_not_null(it.vm.binxlate, "%s", error.text);
}

static void run_guest(void)
{
    it.vm.cpu->rip = CODE;
    it.vm.cpu->halted = false;
    cr_assert_eq(it.vm.binxlate ? binxlate_run(it.vm.binxlate, 1000000) : interp_run(it.vm.cpu, 1000000),
                 VCPU_EXIT_HALT);
}

/* mov ecx,50; l: call f; dec ecx; jnz l; out 80h,al; hlt; f (+16): call g; ret; g (+22): ret */
static const uint8_t program[] = {0xb9, 50,   0x00, 0x00, 0x00, 0xe8, 0x06, 0x00, 0x00, 0x00, 0x49, 0x75,
                                  0xf8, 0xe6, 0x80, 0xf4, 0xe8, 0x01, 0x00, 0x00, 0x00, 0xc3, 0xc3};

static void load_program(void)
{
    bare_load(&it.bare, CODE, program, sizeof(program));
}

/* Each instruction once a turn, those of loops that were translated before included. */
static void check_insns(void)
{
    load_program();
    run_guest();
    trace("insns");
    run_guest();
    inspected_run(&it, "trace off");
    read_file();
    cr_assert_eq(count("0001000a"), 50);
    cr_assert_eq(count("dec ecx"), 50);
    cr_assert_eq(count("  e801000000"), 50);
    cr_assert_eq(count("\n"), 1 + 50 * 6 + 2);
    cr_assert(strstr(file, ":00010000  b932000000"));
    run_guest();
    read_file();
    cr_assert_eq(count("\n"), 1 + 50 * 6 + 2, "off");
}

Test(inspect_trace, shows_every_instruction_of_the_interpreter)
{
    check_insns();
}

Test(inspect_trace, shows_every_instruction_of_the_translator)
{
    use_translator();
    check_insns();
    uint64_t translated = binxlate_stats(it.vm.binxlate)->interpreted;
    run_guest();
    cr_assert_leq(binxlate_stats(it.vm.binxlate)->interpreted - translated, 4,
                  "afterwards it translates again");
}

static void check_calls(void)
{
    load_program();
    trace("calls");
    run_guest();
    inspected_run(&it, "trace off");
    read_file();
    cr_assert_eq(count("call "), 100);
    cr_assert_eq(count("  call 0010:00010010 from 00010005\n"), 50, "%s", file);
    cr_assert_eq(count("    call 0010:00010016 from 00010010\n"), 50, "one deeper: %s", file);
}

Test(inspect_trace, shows_calls_as_a_tree)
{
    check_calls();
}

Test(inspect_trace, names_what_is_called)
{
    char symbols[] = "/tmp/hypatia-symbols-XXXXXX";
    FILE *stream = fdopen(mkstemp(symbols), "w");
    struct error error;

    fprintf(stream, "00010000 T main\n00010010 T f\n00010016 T g\n");
    fclose(stream);
    cr_assert_eq(symbols_load(&it.vm.symbols, symbols, 0, &error), 3, "%s", error.text);
    unlink(symbols);
    load_program();
    trace("calls");
    run_guest();
    read_file();
    cr_assert(strstr(file, "  call 0010:00010010 <f> from 00010005 <main+0x5>\n"), "%s", file);
    cr_assert(strstr(file, "    call 0010:00010016 <g> from 00010010 <f>\n"), "%s", file);
    symbols_free(it.vm.symbols);
    it.vm.symbols = NULL;
}

Test(inspect_trace, shows_calls_of_the_translator)
{
    use_translator();
    check_calls();
}

Test(inspect_trace, shows_ports_and_devices)
{
    /* mov eax,[ebx]; mov [ebx+4],ax; in al,60h; hlt */
    static const uint8_t code[] = {0x8b, 0x03, 0x66, 0x89, 0x43, 0x04, 0xe4, 0x60, 0xf4};

    use_translator();
    bare_load(&it.bare, CODE, code, sizeof(code));
    it.vm.cpu->gpr[RBX] = DEVICE;
    trace("io");
    run_guest();
    read_file();
    cr_assert(strstr(file, "read  001100000 (gadget) -> ffffffff at 0010:00010000\n"), "%s", file);
    cr_assert(strstr(file, "write 001100004 (gadget) <- ffff at 0010:00010002\n"), "%s", file);
    cr_assert(strstr(file, "read  port 0060 -> ff at 0010:00010006\n"), "%s", file);
}

Test(inspect_trace, shows_exceptions_interrupts_and_what_concerns_paging)
{
    /* int 40h; mov eax,[400000h], which is not mapped; hlt. Handlers: 40h iret, 0Eh hlt */
    static const uint8_t code[] = {0xcd, 0x40, 0xa1, 0x00, 0x00, 0x40, 0x00, 0xf4};
    static const uint8_t iret[] = {0xcf}, hlt[] = {0xf4};

    inspected_page(&it);
    it.bare.cpu->gdtr = (struct table_register){.base = 0x3000, .limit = 31};
    it.bare.cpu->gpr[RSP] = 0x300000;
    inspected_store32(&it, 0x3010, 0x0000ffff); /* selector 10h, as CS has */
    inspected_store32(&it, 0x3014, 0x00cf9b00);
    it.bare.cpu->idtr = (struct table_register){.base = 0x4000, .limit = 0x7ff};
    inspected_store32(&it, 0x4000 + 8 * 0x40, 0x00100000 | 0x0100);
    inspected_store32(&it, 0x4004 + 8 * 0x40, 0x00018e00);
    inspected_store32(&it, 0x4000 + 8 * 0x0e, 0x00100000 | 0x0200);
    inspected_store32(&it, 0x4004 + 8 * 0x0e, 0x00018e00);
    bare_load(&it.bare, CODE, code, sizeof(code));
    bare_load(&it.bare, CODE + 0x100, iret, 1);
    bare_load(&it.bare, CODE + 0x200, hlt, 1);
    trace("interrupts exceptions mmu");
    run_guest();
    read_file();
    cr_assert(strstr(file, "software interrupt 40 at 0010:00010000 CPL 0"), "%s", file);
    cr_assert(strstr(file, "#PF 00400000 error 0000 at 0010:00010002\n"), "%s", file);
    cr_assert(strstr(file, "exception 0e error 0000 CR2 00400000 at 0010:00010002"), "%s", file);
    trace("interrupts");
    run_guest();
    read_file();
    cr_assert_eq(count("exception"), 0);
}

Test(inspect_trace, ends_at_its_limit_with_one_line)
{
    use_translator();
    load_program();
    trace("insns limit=1K");
    for (unsigned i = 0; i < 3; i++) {
        run_guest();
    }
    read_file();
    cr_assert_eq(count("limit of 1024 bytes reached"), 1);
    cr_assert_leq(strlen(file), 1024 + 300);
    inspected_run(&it, "trace");
    assert_says(&it, "tracing insns: ");
    assert_says(&it, "; the limit is reached, no more is written\n");
    uint64_t before = binxlate_stats(it.vm.binxlate)->interpreted;
    run_guest();
    cr_assert_leq(binxlate_stats(it.vm.binxlate)->interpreted - before, 4, "a full trace slows nothing down");
    inspected_run(&it, "trace off");
    inspected_run(&it, "trace");
    assert_says(&it, "tracing nothing: 0 of at most");
}

Test(inspect_trace, names_what_it_does_not_know)
{
    static const char *const bad[] = {"limit=", "limit=0", "limit=1T", "limit=99999999999999999999999G",
                                      "flags",  "limit=-1"};
    char line[256];

    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        snprintf(line, sizeof(line), "trace %s insns %s", path, bad[i]);
        inspected_run(&it, line);
        cr_assert_not(it.done, "%s", line);
        snprintf(line, sizeof(line), "trace: '%s' is none of insns", bad[i]);
        assert_says(&it, line);
    }
    inspected_run(&it, "trace /nonexistent/file io");
    cr_assert_not(it.done);
    assert_says(&it, "cannot open log file '/nonexistent/file'");
}
