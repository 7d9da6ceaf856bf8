/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * vm/symbols.h: tables of ELF files and texts, look-ups, and files that lie.
 *
 * The ELF files are written here, byte by byte, so that each field can be wrong.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "vm/symbols.h"

enum { TEXT_SECTION = 1, DATA_SECTION = 2, FUNC = 2, OBJECT = 1, NOTYPE = 0, GLOBAL = 1 << 4, LOCAL = 0 };

static char path[64];

static void make_path(void)
{
    snprintf(path, sizeof(path), "/tmp/hypatia-symbols-%d", (int)getpid());
}

static void remove_path(void)
{
    unlink(path);
}

TestSuite(symbols, .init = make_path, .fini = remove_path);

static void write_file(const void *bytes, size_t size)
{
    FILE *file = fopen(path, "wb");

    cr_assert(file && fwrite(bytes, 1, size, file) == size);
    fclose(file);
}

static struct symbols *load_text(const char *text)
{
    struct symbols *symbols = NULL;
    struct error error = {""};

    write_file(text, strlen(text));
    cr_assert_gt(symbols_load(&symbols, path, 0, &error), 0, "%s", error.text);
    return symbols;
}

/* ---- an ELF writer ---- */

struct elf_file {
    uint8_t bytes[4096];
    size_t size;
    bool wide;
    char names[512];
    size_t names_size;
    uint8_t symbols[1024];
    size_t symbols_size;
};

static void elf_begin(struct elf_file *elf, bool wide)
{
    *elf = (struct elf_file){.wide = wide, .names_size = 1, .symbols_size = wide ? 24 : 16};
}

static void elf_symbol(struct elf_file *elf, const char *name, uint64_t value, uint64_t size, unsigned info,
                       unsigned section)
{
    uint8_t *at = elf->symbols + elf->symbols_size;

    store_le32(at, (uint32_t)elf->names_size);
    if (elf->wide) {
        at[4] = (uint8_t)info;
        store_le16(at + 6, (uint16_t)section);
        store_le64(at + 8, value);
        store_le64(at + 16, size);
    } else {
        store_le32(at + 4, (uint32_t)value);
        store_le32(at + 8, (uint32_t)size);
        at[12] = (uint8_t)info;
        store_le16(at + 14, (uint16_t)section);
    }
    elf->symbols_size += elf->wide ? 24 : 16;
    strcpy(elf->names + elf->names_size, name);
    elf->names_size += strlen(name) + 1;
}

static void elf_section(struct elf_file *elf, unsigned i, unsigned type, unsigned flags, uint64_t offset,
                        uint64_t size, unsigned link)
{
    uint8_t *at = elf->bytes + 64 + (size_t)i * (elf->wide ? 64 : 40);

    store_le32(at + 4, type);
    if (elf->wide) {
        store_le64(at + 8, flags);
        store_le64(at + 24, offset);
        store_le64(at + 32, size);
        store_le32(at + 40, link);
    } else {
        store_le32(at + 8, flags);
        store_le32(at + 16, (uint32_t)offset);
        store_le32(at + 20, (uint32_t)size);
        store_le32(at + 24, link);
    }
}

/* Sections: 0 none, 1 text, 2 data, 3 symbols (of `type`), 4 their names. */
static void elf_end(struct elf_file *elf, unsigned type)
{
    uint8_t *header = elf->bytes;
    size_t at = 1024;

    memcpy(header, "\177ELF", 4);
    header[4] = elf->wide ? 2 : 1;
    header[5] = 1;
    store_le16(header + 16, 2);
    store_le16(header + 18, elf->wide ? 62 : 3);
    if (elf->wide) {
        store_le64(header + 40, 64);
    } else {
        store_le32(header + 32, 64);
    }
    store_le16(header + (elf->wide ? 58 : 46), elf->wide ? 64 : 40);
    store_le16(header + (elf->wide ? 60 : 48), 5);
    elf_section(elf, 1, 1, 2 | 4, 512, 16, 0);
    elf_section(elf, 2, 1, 2 | 1, 528, 16, 0);
    elf_section(elf, 3, type, 0, at, elf->symbols_size, 4);
    memcpy(elf->bytes + at, elf->symbols, elf->symbols_size);
    at += elf->symbols_size;
    elf_section(elf, 4, 3, 0, at, elf->names_size, 0);
    memcpy(elf->bytes + at, elf->names, elf->names_size);
    elf->size = at + elf->names_size;
}

static void elf_typical(struct elf_file *elf, bool wide)
{
    elf_begin(elf, wide);
    elf_symbol(elf, "kernel.c", 0, 0, 4, 0xfff1);
    elf_symbol(elf, "entry", 0x100000, 0, GLOBAL | NOTYPE, TEXT_SECTION);
    elf_symbol(elf, "main", 0x100010, 0x40, GLOBAL | FUNC, TEXT_SECTION);
    elf_symbol(elf, "helper", 0x100060, 0x10, LOCAL | FUNC, TEXT_SECTION);
    elf_symbol(elf, "counter", 0x200000, 4, GLOBAL | OBJECT, DATA_SECTION);
    elf_symbol(elf, "elsewhere", 0, 0, GLOBAL | FUNC, 0);
    elf_symbol(elf, "STACK_SIZE", 0x4000, 0, GLOBAL | NOTYPE, 0xfff1);
    elf_end(elf, 2);
}

static const char *at(const struct symbols *symbols, uint64_t address)
{
    static _Thread_local char text[256];

    return symbols_format(symbols, address, text, sizeof(text));
}

/* ---- ELF ---- */

static void check_typical(bool wide)
{
    struct symbols *symbols = NULL;
    struct elf_file elf;
    struct error error = {""};

    elf_typical(&elf, wide);
    write_file(elf.bytes, elf.size);
    cr_assert_eq(symbols_load(&symbols, path, 0, &error), 5, "%s", error.text);
    cr_expect_str_eq(at(symbols, 0x100000), "entry");
    cr_expect_str_eq(at(symbols, 0x100012), "main+0x2");
    cr_expect_str_eq(at(symbols, 0x10006f), "helper+0xf");
    cr_expect(symbols_named(symbols, "main")->code);
    cr_expect(symbols_named(symbols, "entry")->code, "untyped, but in a code section");
    cr_expect_not(symbols_named(symbols, "counter")->code);
    cr_expect_eq(symbols_named(symbols, "main")->size, 0x40);
    cr_expect_null(symbols_named(symbols, "elsewhere"), "undefined here");
    cr_expect_null(symbols_named(symbols, "kernel.c"), "a file's name");
    cr_expect_eq(symbols_named(symbols, "STACK_SIZE")->address, 0x4000);
    cr_expect_str_eq(at(symbols, 0x4000), "", "a number is no place");
    symbols_free(symbols);
}

Test(symbols, of_elf32)
{
    check_typical(false);
}

Test(symbols, of_elf64)
{
    check_typical(true);
}

Test(symbols, are_moved_by_the_bias)
{
    struct symbols *symbols = NULL;
    struct elf_file elf;

    elf_typical(&elf, false);
    write_file(elf.bytes, elf.size);
    cr_assert_gt(symbols_load(&symbols, path, 0xc0000000, NULL), 0);
    cr_expect_str_eq(at(symbols, 0xc0100010), "main");
    cr_expect_eq(symbols_named(symbols, "STACK_SIZE")->address, 0x4000, "a number is not moved");
    symbols_free(symbols);
    symbols = NULL;
    cr_assert_gt(symbols_load(&symbols, path, (uint64_t)-0x100000, NULL), 0);
    cr_expect_str_eq(at(symbols, 0x10), "main", "32-bit addresses wrap");
    symbols_free(symbols);
}

Test(symbols, of_the_dynamic_table)
{
    struct symbols *symbols = NULL;
    struct elf_file elf;

    elf_begin(&elf, false);
    elf_symbol(&elf, "exported", 0x8000, 8, GLOBAL | FUNC, TEXT_SECTION);
    elf_end(&elf, 11);
    write_file(elf.bytes, elf.size);
    cr_assert_eq(symbols_load(&symbols, path, 0, NULL), 1);
    cr_expect_eq(symbols_named(symbols, "exported")->address, 0x8000);
    symbols_free(symbols);
}

Test(symbols, of_a_module_are_its_functions_at_the_bias)
{
    struct symbols *symbols = NULL;
    struct elf_file elf;

    elf_begin(&elf, false);
    elf_symbol(&elf, "init_module", 0x20, 8, GLOBAL | FUNC, TEXT_SECTION);
    elf_symbol(&elf, "table", 0x20, 8, GLOBAL | OBJECT, DATA_SECTION);
    elf_end(&elf, 2);
    store_le16(elf.bytes + 16, 1);
    write_file(elf.bytes, elf.size);
    cr_assert_eq(symbols_load(&symbols, path, 0xf8000000, NULL), 1);
    cr_expect_str_eq(at(symbols, 0xf8000024), "init_module+0x4");
    symbols_free(symbols);
}

Test(symbols, counted_in_the_first_section_header_when_there_are_many)
{
    struct symbols *symbols = NULL;
    struct elf_file elf;

    elf_typical(&elf, false);
    store_le16(elf.bytes + 48, 0);
    store_le32(elf.bytes + 64 + 20, 5);
    write_file(elf.bytes, elf.size);
    cr_assert_eq(symbols_load(&symbols, path, 0, NULL), 5);
    symbols_free(symbols);
}

Test(symbols, loaded_twice_are_there_once)
{
    struct symbols *symbols = NULL;
    struct elf_file elf;

    elf_typical(&elf, false);
    write_file(elf.bytes, elf.size);
    cr_assert_eq(symbols_load(&symbols, path, 0, NULL), 5);
    cr_assert_eq(symbols_load(&symbols, path, 0, NULL), 0);
    cr_expect_eq(symbols_count(symbols), 5);
    symbols_free(symbols);
}

/* ---- text ---- */

Test(symbols, of_system_map_and_nm_and_kallsyms)
{
    struct symbols *symbols = load_text("c1000000 T _stext\n"
                                        "c1000000 T _text\n"
                                        "c1000010 t local_function\r\n"
                                        "c1000100 00000020 T sized\n"
                                        "         U undefined\n"
                                        "c2000000 D jiffies\n"
                                        "00000040 A number\n"
                                        "\n"
                                        "f8000000 t of_module\t[e1000]");

    cr_expect_eq(symbols_count(symbols), 7);
    cr_expect_str_eq(at(symbols, 0xc1000008), "_stext+0x8");
    cr_expect_str_eq(at(symbols, 0xc1000011), "local_function+0x1");
    cr_expect_str_eq(at(symbols, 0xc100011f), "sized+0x1f");
    cr_expect_str_eq(at(symbols, 0xf8000004), "of_module+0x4");
    cr_expect(symbols_named(symbols, "sized")->code);
    cr_expect_not(symbols_named(symbols, "jiffies")->code);
    cr_expect_str_eq(at(symbols, 0x40), "");
    symbols_free(symbols);
}

Test(symbols, of_two_columns_as_bochs_takes_them)
{
    struct symbols *symbols = load_text("7c00 start\n0x7c10 print\n");

    cr_expect_str_eq(at(symbols, 0x7c12), "print+0x2");
    symbols_free(symbols);
}

Test(symbols, 64_bit_addresses_are_kept)
{
    struct symbols *symbols = load_text("ffffffff81000000 T _text\n");

    cr_expect_eq(symbols_named(symbols, "_text")->address, UINT64_C(0xffffffff81000000));
    symbols_free(symbols);
}

/* Refused, and the table is as it was. */
static void refused(const char *text, const char *part)
{
    struct symbols *symbols = load_text("1000 T before\n"), *same = symbols;
    struct error error = {""};

    write_file(text, strlen(text));
    cr_expect_lt(symbols_load(&symbols, path, 0, &error), 0, "taken: %s", text);
    cr_expect(strstr(error.text, part), "'%s' does not say '%s'", error.text, part);
    cr_expect_eq(symbols, same);
    cr_expect_eq(symbols_count(symbols), 1);
    symbols_free(symbols);
}

Test(symbols, texts_of_other_kinds_are_refused_by_line)
{
    refused("c1000000 T _stext\nhello world\n", "line 2");
    refused("c1000000 TT _stext\n", "line 1");
    refused("c1000000 T name module\n", "line 1");
    refused("12345678123456789 T name\n", "line 1");
    refused("", "no symbols");
    refused("00000000 T a\n00000000 T b\n", "all addresses are zero");
    refused("ffffffffffffffff B The real System.map is in the linux-image-<version>-dbg package\n",
            "ldsym linux");
}

Test(symbols, files_that_are_none_are_refused)
{
    struct symbols *symbols = NULL;
    struct error error;

    cr_expect_eq(symbols_load(&symbols, "/nonexistent/file", 0, &error), -ENOENT);
    cr_expect(strstr(error.text, "/nonexistent/file"));
    cr_expect_eq(symbols_load(&symbols, "/tmp", 0, &error), -EINVAL);
    cr_expect_eq(symbols_load(&symbols, "/dev/zero", 0, &error), -EINVAL);
    cr_assert_eq(mkfifo(path, 0600), 0);
    cr_expect_eq(symbols_load(&symbols, path, 0, &error), -EINVAL, "and does not wait for its writer");
    cr_expect_null(symbols);
}

Test(symbols, names_hold_nothing_that_a_terminal_obeys)
{
    struct symbols *symbols = load_text("1000 T evil\033[2J\n");

    cr_expect_str_eq(at(symbols, 0x1000), "evil?[2J");
    symbols_free(symbols);
}

/* ---- looking up ---- */

Test(symbols, of_none_are_found_nowhere)
{
    char text[8] = "x";

    cr_expect_null(symbols_at(NULL, 5));
    cr_expect_null(symbols_named(NULL, "a"));
    cr_expect_str_eq(symbols_format(NULL, 5, text, sizeof(text)), "");
    cr_expect_eq(symbols_count(NULL), 0);
    symbols_free(NULL);
}

Test(symbols, far_behind_are_not_meant)
{
    struct symbols *symbols = load_text("100000 T last\n");

    cr_expect_str_eq(at(symbols, 0x100000 + 0xfffff), "last+0xfffff");
    cr_expect_str_eq(at(symbols, 0x100000 + 0x100001), "");
    cr_expect_str_eq(at(symbols, 0xfffff), "");
    symbols_free(symbols);
}

Test(symbols, inside_of_others_give_way_where_they_end)
{
    struct symbols *symbols = load_text("1000 0100 T outer\n1010 0008 T inner\n2000 T next\n");

    cr_expect_str_eq(at(symbols, 0x1012), "inner+0x2");
    cr_expect_str_eq(at(symbols, 0x1018), "outer+0x18");
    cr_expect_str_eq(at(symbols, 0x1100), "inner+0xf0", "nobody's: the last before it");
    symbols_free(symbols);
}

Test(symbols, of_one_name_the_global_one_is_meant_then_the_lowest)
{
    struct symbols *symbols = load_text("1000 t same\n3000 T same\n2000 T same\n");

    cr_expect_eq(symbols_named(symbols, "same")->address, 0x2000);
    cr_expect_str_eq(at(symbols, 0x1004), "same+0x4");
    symbols_free(symbols);
}

static bool collect(void *opaque, const struct symbol *symbol)
{
    char *text = opaque;

    strcat(strcat(text, symbol->name), " ");
    return strlen(text) < 24;
}

Test(symbols, complete_in_the_order_of_names)
{
    struct symbols *symbols =
        load_text("1 T start_kernel\n2 T start\n3 t start\n4 T stop\n5 T start_secondary\n6 T a\n");
    char text[256] = "";

    symbols_complete(symbols, "start", collect, text);
    cr_expect_str_eq(text, "start start_kernel start_secondary ");
    text[0] = '\0';
    symbols_complete(symbols, "zzz", collect, text);
    cr_expect_str_eq(text, "");
    symbols_complete(NULL, "", collect, text);
    symbols_free(symbols);
}

Test(symbols, each_in_the_order_of_addresses)
{
    struct symbols *symbols = load_text("3000 T c\n1000 T b\n1000 t a\n2000 t b\n5 A number\n");
    char text[256] = "";

    symbols_each(symbols, collect, text);
    cr_expect_str_eq(text, "b a b c ");
    symbols_each(NULL, collect, text);
    symbols_free(symbols);
}

Test(symbols, texts_are_cut_to_fit)
{
    struct symbols *symbols = load_text("1000 T a_long_name\n");
    char text[6];

    cr_expect_str_eq(symbols_format(symbols, 0x1000, text, sizeof(text)), "a_lon");
    symbols_free(symbols);
}

Test(symbols, hundred_thousand_take_well_under_a_second)
{
    FILE *file = fopen(path, "w");
    struct symbols *symbols = NULL;
    struct timespec begin, end;
    char name[32];

    for (unsigned i = 0; i < 100000; i++) {
        fprintf(file, "%08x t function_%u\n", 0xc1000000u + (i * 7919u % 100000u) * 64, i);
    }
    fclose(file);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &begin);
    cr_assert_eq(symbols_load(&symbols, path, 0, NULL), 100000);
    for (unsigned i = 0; i < 100000; i++) {
        uint64_t address = 0xc1000000u + (uint64_t)(i * 7919u % 100000u) * 64;

        snprintf(name, sizeof(name), "function_%u", i);
        cr_assert_eq(symbols_named(symbols, name)->address, address);
        cr_assert_str_eq(symbols_at(symbols, address + 63)->name, name);
    }
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &end);
    cr_log_info("%.3f s", (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) / 1e9);
    symbols_free(symbols);
}

/* ---- files that lie ---- */

static uint32_t next_random(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

/* Refused or taken, but never more than that; what came out can be looked up. */
static void try_file(const uint8_t *bytes, size_t size)
{
    struct symbols *symbols = NULL;
    struct error error = {""};
    char text[2048] = "";
    long added;

    write_file(bytes, size);
    added = symbols_load(&symbols, path, 0x1000, &error);
    cr_assert(added >= 0 ? symbols != NULL : symbols == NULL && *error.text);
    at(symbols, 0x101040);
    symbols_named(symbols, "main");
    symbols_complete(symbols, "", collect, text);
    symbols_free(symbols);
}

static void mutate_elf(bool wide, uint32_t seed)
{
    struct elf_file elf;
    uint8_t bytes[4096];
    uint32_t state = seed;

    elf_typical(&elf, wide);
    for (size_t size = 0; size <= elf.size; size += 7) {
        try_file(elf.bytes, size);
    }
    for (unsigned round = 0; round < 3000; round++) {
        memcpy(bytes, elf.bytes, sizeof(bytes));
        for (unsigned n = next_random(&state) % 4 + 1; n > 0; n--) {
            /* headers and symbols, not the gap between them */
            size_t place = next_random(&state) % 2 ? next_random(&state) % 400
                                                   : 1024 + next_random(&state) % (elf.size - 1024);
            static const uint8_t values[] = {0, 1, 0x7f, 0x80, 0xff};

            bytes[place] = next_random(&state) % 3 ? values[next_random(&state) % sizeof(values)]
                                                   : (uint8_t)next_random(&state);
        }
        try_file(bytes, elf.size);
    }
}

Test(symbols, of_damaged_elf32_files_harm_nobody)
{
    mutate_elf(false, 1);
}

Test(symbols, of_damaged_elf64_files_harm_nobody)
{
    mutate_elf(true, 2);
}

Test(symbols, of_damaged_texts_harm_nobody)
{
    static const char text[] =
        "c1000000 T _stext\nc1000100 00000020 T sized\nf8000000 t of_module\t[e1000]\n";
    uint32_t state = 3;

    for (unsigned round = 0; round < 3000; round++) {
        uint8_t bytes[sizeof(text)];

        memcpy(bytes, text, sizeof(text));
        for (unsigned n = next_random(&state) % 4 + 1; n > 0; n--) {
            static const char values[] = " \t\n\0[:0fTU\377";

            bytes[next_random(&state) % (sizeof(text) - 1)] =
                (uint8_t)values[next_random(&state) % (sizeof(values) - 1)];
        }
        try_file(bytes, next_random(&state) % 8 ? sizeof(text) - 1 : next_random(&state) % sizeof(text));
    }
}
