/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * shadow show and shadow diff: every reason for a difference, made on purpose and named.
 *
 * The guest is at CPL 0 under 32-bit paging with 4 MiB mapped one to one (inspect_fixture.h). Its pages are filled by
 * shadow_fill(), as the dispatcher does it.
 */
#include "tests/monitor/inspect_fixture.h"

#include <time.h>

#include "binxlate/binxlate.h"
#include "monitor/shadow_view.h"

static struct inspected it;
static struct shadow *shadow;

static void set_up(void)
{
    struct error error;

    if (binxlate_supported(&error) < 0) {
        cr_skip_test("%s", error.text);
    }
    inspected_init(&it);
    it.vm.binxlate = binxlate_create(it.vm.cpu, &error);
    cr_assert_not_null(it.vm.binxlate, "%s", error.text);
    inspected_page(&it);
    shadow = it.vm.cpu->shadow_tables;
    shadow_switch(shadow, &it.vm.cpu->paging);
}

static void tear_down(void)
{
    if (it.vm.binxlate) {
        binxlate_destroy(it.vm.binxlate);
        inspected_fini(&it);
    }
}

TestSuite(inspect_shadow, .init = set_up, .fini = tear_down, .timeout = 60);

static const char *run(const char *line)
{
    return inspected_run(&it, line);
}

static void pte(unsigned n, uint32_t value)
{
    inspected_store32(&it, TABLE + 4 * n, value);
}

static bool fill(uint32_t linear, unsigned flags)
{
    uint32_t error_code;
    bool usable = false;

    cr_assert(shadow_fill(shadow, &it.vm.cpu->paging, linear, flags, &usable, &error_code));
    return usable;
}

/* The reasons for one kind of access of the supervisor. */
static unsigned reasons(enum shadow_kind kind, uint32_t linear)
{
    struct shadow_difference difference;
    bool differs = shadow_compare(shadow, &it.vm.cpu->paging, SHADOW_SUPERVISOR, kind, linear, &difference);

    cr_assert_eq(differs, difference.reasons != SHADOW_SAME);
    return difference.reasons;
}

Test(inspect_shadow, sees_no_difference_where_all_is_filled)
{
    cr_assert(fill(0x5000, PAGEWALK_WRITE));
    cr_assert(fill(0x5000, PAGEWALK_FETCH));
    for (unsigned kind = 0; kind < SHADOW_KINDS; kind++) {
        cr_assert_eq(reasons(kind, 0x5123), SHADOW_SAME);
    }
    run("shadow diff 0x5000");
    assert_silent(&it, "00005000-");
    assert_says(&it, "1 pages compared");
    pte(0x300, 0);
    cr_assert_eq(reasons(SHADOW_READ, 0x300000), SHADOW_SAME, "neither allows it");
}

Test(inspect_shadow, knows_pages_not_used_yet)
{
    cr_assert_eq(reasons(SHADOW_READ, 0x100000), SHADOW_NOT_FILLED);
    run("shadow diff 0x100000 0x3000");
    assert_says(&it,
                "00100000-00102fff  supervisor  read,write        not used yet: the next access enters it\n");
    run("shadow diff");
    assert_silent(&it, "00100000-00102fff");
    assert_says(&it, "1024  supervisor  read   not used yet");
}

Test(inspect_shadow, knows_clear_flags)
{
    pte(7, 0x7000 | P | W);
    cr_assert_eq(reasons(SHADOW_READ, 0x7000), SHADOW_NOT_ACCESSED);
    cr_assert_eq(reasons(SHADOW_WRITE, 0x7000), SHADOW_NOT_ACCESSED | SHADOW_NOT_DIRTY);
    cr_assert(fill(0x7000, PAGEWALK_READ));
    cr_assert_eq(reasons(SHADOW_READ, 0x7000), SHADOW_SAME);
    cr_assert_eq(reasons(SHADOW_WRITE, 0x7000), SHADOW_NOT_DIRTY);
    run("shadow show 0x7000");
    assert_says(&it, "supervisor  write  unusable; D flag clear: the first write sets it\n");
    assert_says(&it, "filled from  PDE 2027, PTE 7023\n");
    cr_assert(fill(0x7000, PAGEWALK_WRITE));
    cr_assert_eq(reasons(SHADOW_WRITE, 0x7000), SHADOW_SAME);
}

Test(inspect_shadow, knows_each_watch)
{
    static const struct {
        enum ram_watch watch;
        const char *name;
    } watches[] = {{RAM_WATCH_CODE, "(decoded code)"},
                   {RAM_WATCH_TRANSLATED, "(translated code)"},
                   {RAM_WATCH_DISPLAY, "(the display)"},
                   {RAM_WATCH_DIRTY, "(dirty tracking)"},
                   {RAM_WATCH_SHARED, "(sharing with another VM)"}};
    char line[64];

    for (unsigned i = 0; i < ARRAY_LEN(watches); i++) {
        uint32_t linear = 0x20000 + (i << 12);

        cr_assert(fill(linear, PAGEWALK_WRITE));
        ram_watch_set(&it.bare.ram, linear >> 12, watches[i].watch);
        cr_assert_eq(reasons(SHADOW_WRITE, linear), SHADOW_WATCHED);
        cr_assert_eq(reasons(SHADOW_READ, linear), SHADOW_SAME);
        snprintf(line, sizeof(line), "shadow diff 0x%x", linear);
        run(line);
        assert_says(&it, "supervisor  write             watched: writes must be noticed");
        assert_says(&it, watches[i].name);
    }
}

Test(inspect_shadow, knows_watchpoints)
{
    static const struct data_watch_page pages[] = {
        {.page = 0x28, .kinds = DATA_WATCH_WRITE},
        {.page = 0x29, .physical = true, .kinds = DATA_WATCH_READ}};
    static const struct data_watch watch = {.page = pages, .count = 2};

    it.vm.cpu->paging.watch = &watch;
    cr_assert_not(fill(0x28000, PAGEWALK_WRITE));
    cr_assert_not(fill(0x29000, PAGEWALK_READ));
    cr_assert_eq(reasons(SHADOW_READ, 0x28000), SHADOW_SAME);
    cr_assert_eq(reasons(SHADOW_WRITE, 0x28000), SHADOW_DEBUGGED);
    cr_assert_eq(reasons(SHADOW_READ, 0x29000), SHADOW_DEBUGGED);
    run("shadow show 0x28000");
    assert_says(&it, "supervisor  write  unusable; a debugger's watchpoint\n");
    it.vm.cpu->paging.watch = NULL;
}

Test(inspect_shadow, knows_devices_and_rom)
{
    pte(8, DEVICE | P | W | A | D);
    pte(9, ROM | P | W | A | D);
    pte(10, BEYOND | P | W | A | D);
    cr_assert_not(fill(0x8000, PAGEWALK_READ));
    cr_assert_not(fill(0x9000, PAGEWALK_WRITE));
    cr_assert_eq(reasons(SHADOW_READ, 0x8000), SHADOW_DEVICE);
    cr_assert_eq(reasons(SHADOW_WRITE, 0x9000), SHADOW_ROM);
    cr_assert_eq(reasons(SHADOW_READ, 0xa000), SHADOW_DEVICE);
    run("shadow show 0x8000");
    assert_says(&it, "physical 001100000, device gadget; watched by nobody\n");
}

Test(inspect_shadow, knows_what_was_changed_and_not_flushed)
{
    cr_assert(fill(0x30000, PAGEWALK_WRITE));
    pte(0x30, 0x31000 | P | W | A | D);
    cr_assert_eq(reasons(SHADOW_READ, 0x30000), SHADOW_STALE);
    run("shadow diff 0x30000");
    assert_says(
        &it,
        "supervisor  read,write        stale: the table has changed, and was not flushed (entry 30063, now "
        "31063; until INVLPG or a CR3 load)\n");
    pte(0x30, 0);
    cr_assert_eq(reasons(SHADOW_WRITE, 0x30000), SHADOW_STALE);
    shadow_flush_page(shadow, 0x30000);
    cr_assert_eq(reasons(SHADOW_WRITE, 0x30000), SHADOW_SAME);
}

Test(inspect_shadow, knows_that_global_entries_outlive_cr3)
{
    for (unsigned n = 0x38; n < 0x40; n++) {
        pte(n, n << 12 | P | W | A | D | G);
    }
    cr_assert(fill(0x38000, PAGEWALK_WRITE));
    pte(0x38, 0);
    run("shadow diff 0x38000");
    assert_says(&it, "until INVLPG)\n");
}

Test(inspect_shadow, knows_flags_cleared_and_not_flushed)
{
    cr_assert(fill(0x40000, PAGEWALK_WRITE));
    pte(0x40, 0x40000 | P | W | A);
    cr_assert_eq(reasons(SHADOW_WRITE, 0x40000), SHADOW_STALE_FLAG);
    cr_assert_eq(reasons(SHADOW_READ, 0x40000), SHADOW_SAME);
    pte(0x40, 0x40000 | P | W);
    cr_assert_eq(reasons(SHADOW_READ, 0x40000), SHADOW_STALE_FLAG);
}

Test(inspect_shadow, knows_a_large_page_whose_directory_entry_changed)
{
    inspected_store32(&it, DIRECTORY + 4 * 0x300, 0x400000 | P | W | PS | A | D);
    cr_assert(fill(0xc0001000, PAGEWALK_WRITE));
    cr_assert_eq(reasons(SHADOW_WRITE, 0xc0001000), SHADOW_SAME);
    run("shadow show 0xc0001234");
    assert_says(&it, "filled from  PDE 4000e3, a page of 4 MiB\n");
    inspected_store32(&it, DIRECTORY + 4 * 0x300, 0x800000 | P | W | PS | A | D);
    cr_assert_eq(reasons(SHADOW_READ, 0xc0001000), SHADOW_STALE);
}

Test(inspect_shadow, knows_an_entry_that_must_not_be)
{
    cr_assert(fill(0x50000, PAGEWALK_WRITE));
    shadow->current->view[SHADOW_SUPERVISOR].entry[SHADOW_WRITE][0x50] += PAGE_SIZE;
    cr_assert_eq(reasons(SHADOW_WRITE, 0x50000), SHADOW_WRONG);
    run("shadow diff 0x50000");
    assert_says(&it, "wrong: an error of the emulator");
}

Test(inspect_shadow, shows_the_interpreters_tlb_and_windows)
{
    uint32_t error_code;
    gpa_t gpa;

    cr_assert(tlb_fill(it.vm.cpu->tlb, &it.vm.cpu->paging, 0x60000, PAGEWALK_WRITE, &gpa, &error_code));
    run("shadow show 0x60123");
    assert_says(&it, "supervisor  physical 000060000, rights rwx, dirty; direct: read write");
    assert_says(&it, "user        nothing\n");
    assert_says(&it, "supervisor  no window\n");
    cr_assert_eq(json_array_size(json_object_get(it.data, "entries")), 6);
}

Test(inspect_shadow, diff_is_the_translators)
{
    it.vm.cpu->shadow_tables = NULL;
    run("shadow diff");
    cr_assert_not(it.done);
    assert_says(&it, "it has no shadow tables");
    run("shadow show 0x1000");
    cr_assert(it.done);
    assert_says(&it, "no shadow tables: the interpreter runs this VM");
    it.vm.cpu->shadow_tables = shadow;
}

Test(inspect_shadow, survives_hostile_tables)
{
    static const char *const lines[] = {"shadow diff", "shadow diff 0xffffffff 0xffffffffffffffff",
                                        "shadow show 0xffffffff", "shadow diff 0 0"};
    uint32_t random = 99;

    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < 1024; i++) {
            random = random * 1664525 + 1013904223;
            inspected_store32(&it, DIRECTORY + 4 * i,
                              round == 0   ? DIRECTORY | P | W | U
                              : round == 1 ? (BEYOND + (i << 12)) | P | W
                                           : random);
        }
        for (unsigned i = 0; i < ARRAY_LEN(lines); i++) {
            clock_t begin = clock();

            run(lines[i]);
            cr_assert(it.done, "%s", lines[i]);
            cr_assert_leq(inspected_lines(&it), 256 + 64);
            cr_assert_lt(clock() - begin, 30 * CLOCKS_PER_SEC, "%s", lines[i]);
        }
    }
}
