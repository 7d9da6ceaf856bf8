/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * vm/loader_layout: what may be claimed, and where free places are found.
 */
#include <criterion/criterion.h>

#include "fake_guest.h"
#include "vm/loader_layout.h"

Test(layout, ram_on_both_sides_of_the_hole_can_be_taken)
{
    struct layout layout;
    struct error error = {""};
    layout_init(&layout, 16 * MIB);
    cr_assert_eq(layout_take(&layout, 0x1000, 0x6c00, "low", &error), 0, "%s", error.text);
    cr_assert_eq(layout_take(&layout, 0x10000, 0x8a000, "middle", &error), 0, "%s", error.text);
    cr_assert_eq(layout_take(&layout, MIB, 15 * MIB, "high", &error), 0, "%s", error.text);
    cr_assert_eq(layout_high_end(&layout), 16 * MIB);
}

Test(layout, what_is_not_free_ram_is_refused_with_a_reason)
{
    const struct {
        uint64_t start, size;
    } bad[] = {
        {0, 0x1000},       /* vectors and BIOS data */
        {0x7000, 0x1000},  /* reaches into the work area */
        {0xf000, 0x2000},  /* begins in it */
        {0x99000, 0x2000}, /* extended BIOS data area */
        {0xa0000, 1},      /* video memory */
        {0xfffff, 2},      /* ROM */
        {16 * MIB - 1, 2}, /* beyond RAM */
        {4 * GIB, 1},      /* far beyond */
        {UINT64_MAX, 2},   /* wraps */
        {MIB, UINT64_MAX}, /* wraps */
        {MIB, 0},          /* nothing */
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct layout layout;
        struct error error = {""};
        layout_init(&layout, 16 * MIB);
        cr_assert_lt(layout_take(&layout, bad[i].start, bad[i].size, "a piece", &error), 0, "case %zu", i);
        cr_assert(is_one_line(&error), "case %zu: '%s'", i, error.text);
        cr_assert_not_null(strstr(error.text, "a piece"));
    }
}

Test(layout, an_overlap_names_both_pieces)
{
    struct layout layout;
    struct error error = {""};
    layout_init(&layout, 16 * MIB);
    cr_assert_eq(layout_take(&layout, 2 * MIB, MIB, "the kernel", &error), 0);
    cr_assert_lt(layout_take(&layout, 3 * MIB - 1, 1, "the module", &error), 0);
    cr_assert(strstr(error.text, "the kernel") && strstr(error.text, "the module"), "%s", error.text);
    cr_assert_eq(layout_take(&layout, 3 * MIB, 1, "the module", &error), 0, "neighbours do not overlap");
}

Test(layout, places_are_found_from_either_end)
{
    struct layout layout;
    struct error error = {""};
    layout_init(&layout, 16 * MIB);
    cr_assert_eq(layout_place(&layout, 0x100, 0x1000, MIB, 4 * GIB, true, "a", &error), 16 * MIB - 0x1000);
    cr_assert_eq(layout_place(&layout, 0x1001, 0x1000, MIB, 4 * GIB, true, "b", &error), 16 * MIB - 0x3000);
    cr_assert_eq(layout_place(&layout, 0x100, 0x1000, MIB, 4 * GIB, false, "c", &error), MIB);
    cr_assert_eq(layout_place(&layout, 0x100, 0x10, 0, 4 * GIB, false, "d", &error), 0x1000);
    cr_assert_eq(layout_place(&layout, 0x7000, 0x10, 0, 4 * GIB, false, "e", &error), 0x10000,
                 "past the work area");
    cr_assert_eq(layout_place(&layout, 0x90000, 0x10, 0, 4 * GIB, false, "f", &error), 0x100100,
                 "too large for what is left below 1 MiB");
}

Test(layout, no_place_is_an_error_with_the_mend)
{
    struct layout layout;
    struct error error = {""};
    layout_init(&layout, 2 * MIB);
    cr_assert_eq(layout_place(&layout, MIB + 1, 1, 0, 4 * GIB, true, "the disk", &error), 0);
    cr_assert(is_one_line(&error) && strstr(error.text, "-m"), "%s", error.text);
    cr_assert_eq(layout_place(&layout, MIB, 1, 0, 4 * GIB, true, "the disk", &error), MIB);
    cr_assert_eq(layout_place(&layout, UINT64_MAX - 5, 1, 0, UINT64_MAX, false, "x", &error), 0);
    cr_assert_eq(layout_place(&layout, 1, 1, 3 * GIB, GIB, false, "x", &error), 0, "an empty window");
}

Test(layout, a_machine_without_extended_memory_has_only_the_low_window)
{
    struct layout layout;
    struct error error = {""};
    layout_init(&layout, 0);
    cr_assert_eq(layout_place(&layout, 1, 1, MIB, 4 * GIB, true, "x", &error), 0);
    cr_assert_eq(layout_place(&layout, 1, 1, 0, 4 * GIB, true, "x", &error), LAYOUT_LOW_END - 1);
}

Test(layout, the_table_of_claims_has_an_end)
{
    struct layout layout;
    struct error error = {""};
    int code = 0;
    layout_init(&layout, 16 * MIB);
    for (unsigned i = 0; i < LAYOUT_MAX_CLAIMS && code == 0; i++) {
        code = layout_take(&layout, MIB + i * 16, 16, "a piece", &error);
    }
    cr_assert_lt(code, 0);
    cr_assert(is_one_line(&error));
}
