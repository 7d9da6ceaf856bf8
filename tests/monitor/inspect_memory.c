/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * x in all its formats, find, write, crc: values, edges of memory, bad words.
 */
#include "tests/monitor/inspect_fixture.h"

#include <time.h>
#include <unistd.h>

#include "binxlate/binxlate.h"

enum { DATA = 0x20000 };

static struct inspected it;

static void set_up(void)
{
    inspected_init(&it);
}

static void tear_down(void)
{
    binxlate_destroy(it.vm.binxlate);
    inspected_fini(&it);
}

TestSuite(inspect_memory, .init = set_up, .fini = tear_down, .timeout = 60);

static const char *run(const char *line)
{
    return inspected_run(&it, line);
}

/* ---- x -------------------------------------------------------------------------------------------------- */

Test(inspect_memory, x_knows_every_format)
{
    static const struct {
        const char *line, *text;
    } cases[] = {
        {"x/2x 0x20000", "00020000: 0x04030201 0xfffefdfc\n"},
        {"x/2z 0x20000", "00020000: 0x04030201 0xfffefdfc\n"},
        {"x/4bd 0x20004", "00020004: -4 -3 -2 -1\n"},
        {"x/2hu 0x20004", "00020004: 65020 65534\n"},
        {"x/ho 0x20000", "00020000: 01001\n"},
        {"x/bt 0x20003", "00020003: 0b00000100\n"},
        {"x/gx 0x20000", "00020000: 0xfffefdfc04030201\n"},
        {"x/5c 0x20010", "00020010: 'H' 'i' '\\n' '\\'' '\\x00'\n"},
        {"x/2s 0x20010", "00020010: \"Hi\\n'\"\n00020015: \"\\\"\\xff\"\n"},
        {"x/wf 0x20020", "00020020: 1.5\n"},
        {"x/f 0x20028", "00020028: -0.10000000000000001\n"},
        {"x/2a 0x20000", "00020000: 0x4030201\n00020004: 0xfffefdfc\n"},
        {"xp/x 0x20000", "00020000: 0x04030201\n"},
        {"x/0x 0x20000", "\n"},
    };
    static const float one_and_a_half = 1.5f;
    static const double minus_a_tenth = -0.1;

    bare_load(&it.bare, DATA, "\x01\x02\x03\x04\xfc\xfd\xfe\xff", 8);
    bare_load(&it.bare, DATA + 0x10, "Hi\n'\0\"\xff", 8);
    bare_load(&it.bare, DATA + 0x20, &one_and_a_half, 4);
    bare_load(&it.bare, DATA + 0x28, &minus_a_tenth, 8);
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        cr_assert_str_eq(run(cases[i].line), cases[i].text, "%s:\n%s", cases[i].line, it.text);
        cr_assert(it.done);
    }
}

Test(inspect_memory, x_refuses_what_it_does_not_know)
{
    run("x/3q 0x20000");
    cr_assert_not(it.done);
    assert_says(&it, "unknown format letter 'q' (x d u o t c a f s i z, sizes b h w g)\n");
    run("x/hf 0x20000");
    cr_assert_not(it.done);
    assert_says(&it, "there are no floating-point numbers of 2 bytes");
}

Test(inspect_memory, x_ends_where_memory_does)
{
    run("x/4x 0x100fff8");
    cr_assert_not(it.done);
    assert_says(&it, "0100fff8: 0x00000000 0x00000000 not readable\n");
    run("x/s 0x8000000");
    assert_says(&it, "08000000: not readable\n");
    run("x/i 0x8000000");
    assert_says(&it, "0x08000000: not readable\n");
    run("xp/x 0xffffffffffffffff");
    cr_assert_not(it.done);
}

Test(inspect_memory, x_disassembles)
{
    static const uint8_t code[] = {0x89, 0xe5, 0xc3};

    bare_load(&it.bare, CODE, code, sizeof(code));
    cr_assert_str_eq(run("x/2i 0x10000"), "0x00010000: mov ebp, esp\n0x00010002: ret\n");
    cr_assert_eq(json_integer_value(json_object_get(json_array_get(it.data, 1), "address")), 0x10002);
}

Test(inspect_memory, strings_without_an_end_are_cut)
{
    for (unsigned i = 0; i < 600; i += 4) {
        inspected_store32(&it, DATA + i, 0x61616161);
    }
    run("x/2s 0x20000");
    cr_assert_eq(strlen(it.text), 2 * (strlen("00020000: \"\"...\n") + 256));
    assert_says(&it, "\n00020100: \"");
}

/* ---- find ----------------------------------------------------------------------------------------------- */

Test(inspect_memory, find_takes_bytes_strings_and_numbers)
{
    bare_load(&it.bare, 0x2ffffe, "needle", 6); /* over a page's end, and a window's */
    bare_load(&it.bare, 0x30fffd, "needle", 6);
    inspected_store32(&it, 0x400001, 0xdeadbeef);
    cr_assert_str_eq(run("find 0 +0x1000000 \"needle\""), "002ffffe\n0030fffd\n");
    cr_assert_str_eq(run("find 0x200000 0x300005 \"needle\""), "002ffffe\n");
    cr_assert_str_eq(run("find 0x200000 0x300003 \"needle\""), "not found\n");
    cr_assert_str_eq(run("find 0x2fffff +0x100000 \"needle\""), "0030fffd\n");
    cr_assert_str_eq(run("findp 0 +0x1000000 efbeadde"), "00400001\n");
    cr_assert_str_eq(run("find 0 +0x1000000 ef be ad de"), "00400001\n");
    cr_assert_str_eq(run("find 0 +0x1000000 -u32 0xdeadbeef"), "00400001\n");
    cr_assert_str_eq(run("find 0 +0x1000000 -u16 0xbeef 0xdead"), "00400001\n");
    cr_assert_str_eq(run("find 0 +0x1000000 \"nee\" 646c65"), "002ffffe\n0030fffd\n");
}

Test(inspect_memory, find_reports_overlapping_places_and_no_more_than_a_hundred)
{
    bare_load(&it.bare, DATA, "aaaa", 4);
    cr_assert_str_eq(run("find 0x20000 +16 \"aa\""), "00020000\n00020001\n00020002\n");
    run("find 0 +0x100000 00");
    assert_says(&it, "... 1048472 more lines\n");
    cr_assert_eq(json_array_size(it.data), 100);
}

Test(inspect_memory, find_passes_over_what_is_not_there)
{
    bare_load(&it.bare, BARE_RAM_SIZE - 6, "needle", 6);
    inspected_page(&it);
    inspected_store32(&it, TABLE + 4 * 5, 0);
    inspected_store32(&it, TABLE + 4 * 6, (BARE_RAM_SIZE - PAGE_SIZE) | P);
    cr_assert_str_eq(run("find 0 0x100000000 \"needle\""), "00006ffa\n");
    cr_assert_str_eq(run("findp 0 0xffffffffffffffff \"needle\""), "00fffffa\n0100fffa\n",
                     "and its ROM alias");
}

Test(inspect_memory, find_names_what_is_wrong)
{
    static const struct {
        const char *line, *says;
    } cases[] = {
        {"find 0 +16 5", "'5' is no bytes"},
        {"find 0 +16 zz", "'zz' is no bytes"},
        {"find 16 8 55", "the end must be behind the start"},
        {"find 0x100000000 +1 55", "is beyond the last address, 0xffffffff"},
        {"find 0 +16 -u16 0x10000", "0x10000 is too large for 2 bytes"},
        {"find 0 +16 -u16", "usage: find"},
        {"find 0 +16 \"\"", "usage: find"},
    };

    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        run(cases[i].line);
        cr_assert_not(it.done, "%s", cases[i].line);
        assert_says(&it, cases[i].says);
    }
}

Test(inspect_memory, find_is_bounded_where_every_page_is_mapped)
{
    clock_t begin = clock();

    inspected_page(&it);
    for (unsigned i = 0; i < 1024; i++) {
        inspected_store32(&it, DIRECTORY + 4 * i, TABLE | P | W | U | A);
        inspected_store32(&it, TABLE + 4 * i, (0x300000 + (i << 12) % 0x100000) | P);
    }
    cr_assert_str_eq(run("find 0 0x100000000 \"no such thing\""), "not found\n");
    cr_assert_lt(clock() - begin, 50 * CLOCKS_PER_SEC);
}

/* ---- write, crc ----------------------------------------------------------------------------------------- */

Test(inspect_memory, write_changes_memory_and_what_was_translated_from_it)
{
    /* mov eax,1; hlt */
    static const uint8_t code[] = {0xb8, 1, 0, 0, 0, 0xf4};
    struct error error;

    bare_load(&it.bare, CODE, code, sizeof(code));
    if (binxlate_supported(&error) == 0) {
        it.vm.binxlate = binxlate_create(it.vm.cpu, &error);
    }
    for (unsigned i = 1; i <= 2; i++) {
        it.vm.cpu->rip = CODE;
        it.vm.cpu->halted = false;
        cr_assert_eq(it.vm.binxlate ? binxlate_run(it.vm.binxlate, 100) : interp_run(it.vm.cpu, 100),
                     VCPU_EXIT_HALT);
        cr_assert_eq(it.vm.cpu->gpr[RAX], i);
        cr_assert_str_eq(run("write 0x10001 2"), "");
    }
    cr_assert_str_eq(run("write/b 0x20000 1 2 \"xyz\" -1"), "");
    run("x/6bx 0x20000");
    assert_says(&it, "0x01 0x02 0x78 0x79 0x7a 0xff\n");
    cr_assert_str_eq(run("writep/h 0x20000 0x1234"), "");
    cr_assert_str_eq(run("setpmem 0x20002 4 0xaabbccdd"), "");
    run("x/6bx 0x20000");
    assert_says(&it, "0x34 0x12 0xdd 0xcc 0xbb 0xaa\n");
}

Test(inspect_memory, write_says_where_it_stopped)
{
    run("write 0x100fffe 1");
    cr_assert_not(it.done);
    assert_says(&it, "write: stopped at 0x1010000: no memory there\n");
    run("write 0x1100000 1");
    assert_says(&it, "stopped at 0x1100000");
    run("write/q 0x1000 1");
    assert_says(&it, "'q' is no size");
    run("write/b 0x1000 256");
    assert_says(&it, "256 is too large for 1 bytes");
    run("setpmem 0x1000 3 1");
    assert_says(&it, "setpmem: '3' is no size");
}

Test(inspect_memory, crc_is_the_usual_one)
{
    bare_load(&it.bare, DATA, "123456789", 9);
    cr_assert_str_eq(run("crc 0x20000 +9"), "cbf43926\n");
    cr_assert_str_eq(run("crcp 0x20000 0x20009"), "cbf43926\n");
    run("crc 0x100fff0 +32");
    cr_assert_not(it.done);
    assert_says(&it, "crc: 0x1010000 is not readable\n");
}

Test(inspect_memory, memsave_writes_what_is_there_and_has_an_end)
{
    char path[] = "/tmp/hypatia-memsave-XXXXXX", line[128], bytes[16] = "";
    FILE *file;

    close(mkstemp(path));
    bare_load(&it.bare, 0x20ffe, "abcdefgh", 8);
    snprintf(line, sizeof(line), "memsave 0x20ffe 8 %s", path);
    cr_assert_str_eq(run(line), "");
    file = fopen(path, "r");
    cr_assert_eq(fread(bytes, 1, sizeof(bytes), file), 8);
    fclose(file);
    cr_assert_arr_eq(bytes, "abcdefgh", 8);
    snprintf(line, sizeof(line), "memsave 0 0x100000001 %s", path);
    run(line);
    cr_assert_not(it.done);
    assert_says(&it, "a linear address space has 4 GiB");
    snprintf(line, sizeof(line), "pmemsave 0x100fff0 64 %s", path);
    run(line);
    cr_assert_not(it.done);
    assert_says(&it, "stopped at 0x1");
    unlink(path);
}
