/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Host windows by themselves: what is shown where, what goes with a drop, and what is never accessible. What they show of a
 * guest's tables is tests/unit/shadow.c's.
 */
#include <criterion/criterion.h>

#include <signal.h>

#include "base/error.h"
#include "mmu/window.h"

#define FRAMES 64u

static struct ram ram;
static struct window window;

/* A 32-bit operand at any address. */
struct operand {
    uint32_t value;
} __attribute__((packed));

static void setup(void)
{
    (void)signal(SIGSEGV, SIG_DFL); /* where a sanitizer would report what a test expects */
    cr_assert_eq(ram_init(&ram, FRAMES * PAGE_SIZE, NULL), 0);
    cr_assert_eq(window_init(&window, NULL), 0);
    for (unsigned frame = 0; frame < FRAMES; frame++) {
        *ram_ptr(&ram, (roff_t)frame * PAGE_SIZE) = (uint8_t)(frame + 1);
    }
}

static void teardown(void)
{
    window_fini(&window);
    ram_fini(&ram);
}

TestSuite(window, .init = setup, .fini = teardown);

static volatile uint8_t *shown(uint32_t page)
{
    return window.base + ((uint64_t)page << PAGE_SHIFT);
}

Test(window, run_shows_frames_in_a_row)
{
    cr_assert(window_map(&window, &ram, 0x12345, 3, 10, true));
    for (unsigned i = 0; i < 3; i++) {
        cr_assert_eq(*shown(0x12345 + i), 11 + i);
        cr_assert_eq(window_frame(&window, 0x12345 + i), 10 + i);
    }
    *shown(0x12346) = 99;
    cr_assert_eq(*ram_ptr(&ram, 11 * PAGE_SIZE), 99, "the same memory");
    cr_assert(window_chunk_used(&window, 0x12345 / WINDOW_CHUNK_PAGES));
}

Test(window, first_and_last_page_can_be_shown)
{
    cr_assert(window_map(&window, &ram, 0, 1, 1, false));
    cr_assert(window_map(&window, &ram, WINDOW_PAGES - 1, 1, 2, false));
    cr_assert_eq(*shown(0), 2);
    cr_assert_eq(*shown(WINDOW_PAGES - 1), 3);
}

Test(window, what_was_never_shown_is_inaccessible, .signal = SIGSEGV)
{
    cr_assert(window_map(&window, &ram, 0x100, 1, 1, true));
    (void)*shown(0x101);
}

Test(window, operand_across_4_gib_meets_the_guard, .signal = SIGSEGV)
{
    cr_assert(window_map(&window, &ram, WINDOW_PAGES - 1, 1, 1, true));
    (void)((volatile struct operand *)(shown(WINDOW_PAGES - 1) + PAGE_SIZE - 2))->value;
}

Test(window, dropped_page_is_inaccessible, .signal = SIGSEGV)
{
    cr_assert(window_map(&window, &ram, 0x100, 3, 1, true));
    window_drop(&window, 0x101, 1);
    cr_assert_eq(*shown(0x100), 2);
    cr_assert_eq(*shown(0x102), 4, "its neighbours stay");
    (void)*shown(0x101);
}

Test(window, read_only_page_cannot_be_written, .signal = SIGSEGV)
{
    cr_assert(window_map(&window, &ram, 0x100, 1, 1, false));
    *shown(0x100) = 1;
}

Test(window, protected_frame_cannot_be_written, .signal = SIGSEGV)
{
    cr_assert(window_map(&window, &ram, 0x100, 2, 1, true));
    window_protect(&window, 0, 2);
    *shown(0x100) = 1;
    cr_assert(window_shows(&window, 0x101, false));
    cr_assert(!window_shows(&window, 0x101, true));
    *shown(0x101) = 1;
}

Test(window, drop_costs_nothing_where_nothing_is_shown)
{
    uint64_t calls = window.calls;
    window_drop(&window, 0x200, 512);
    cr_assert_eq(window.calls, calls);
}

Test(window, too_many_runs_empty_it)
{
    for (uint32_t i = 0; i < WINDOW_RUNS_MAX; i++) {
        cr_assert(window_map(&window, &ram, 2 * i, 1, i % FRAMES, true));
        cr_assert(window.runs <= WINDOW_RUNS_MAX);
        cr_assert_eq(*shown(2 * i), i % FRAMES + 1, "the newest is always there");
    }
    cr_assert(!window_shows(&window, 0, false), "the oldest is not");
}
