/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Chords: what the guest sees of them (nothing), and of what is none (everything, in order).
 */
#include <criterion/criterion.h>
#include <stdio.h>

#include "ui/chord.h"
#include "ui/keymap.h"

static char seen[512]; /* "+1d -1d !5": keys down and up, in hexadecimal, and actions */
static struct chord chord;

static void note_key(void *opaque, enum key key, bool down)
{
    size_t used = strlen(seen);

    (void)opaque;
    snprintf(seen + used, sizeof(seen) - used, "%c%x ", down ? '+' : '-', (unsigned)key);
}

static void note_action(void *opaque, enum action action)
{
    size_t used = strlen(seen);

    (void)opaque;
    snprintf(seen + used, sizeof(seen) - used, "!%s ", action_info[action].name);
}

static void begin(void)
{
    static const struct chord_ops ops = {.key = note_key, .action = note_action};

    seen[0] = '\0';
    chord_init(&chord, KEY_RIGHT_CTRL, &ops, NULL);
}

TestSuite(ui_chord, .init = begin);

static void down(enum key key)
{
    chord_key(&chord, key, true);
}

static void up(enum key key)
{
    chord_key(&chord, key, false);
}

static void expect(const char *what)
{
    cr_assert_str_eq(seen, what);
}

Test(ui_chord, keys_go_to_the_guest_once)
{
    down(KEY_A);
    down(KEY_A);
    up(KEY_A);
    up(KEY_A);
    expect("+1e -1e ");
}

Test(ui_chord, every_action_has_a_chord_of_its_own_that_the_guest_does_not_see)
{
    for (unsigned i = 1; i < ACTION_COUNT; i++) {
        char wanted[64];

        if (!action_info[i].name) {
            continue;
        }
        cr_assert_eq(action_of_key(action_info[i].key), i);
        cr_assert_eq(action_find(action_info[i].name), i);
        snprintf(wanted, sizeof(wanted), "!%s ", action_info[i].name);
        seen[0] = '\0';
        down(KEY_RIGHT_CTRL);
        down(action_info[i].key);
        up(action_info[i].key);
        up(KEY_RIGHT_CTRL);
        expect(wanted);
    }
}

Test(ui_chord, the_order_of_release_does_not_matter)
{
    down(KEY_RIGHT_CTRL);
    down(KEY_P);
    up(KEY_RIGHT_CTRL);
    up(KEY_P);
    down(KEY_P);
    up(KEY_P);
    expect("!pause +19 -19 ");
}

Test(ui_chord, the_host_key_alone_does_nothing)
{
    down(KEY_RIGHT_CTRL);
    up(KEY_RIGHT_CTRL);
    expect("");
}

Test(ui_chord, what_is_no_chord_reaches_the_guest_in_order)
{
    down(KEY_RIGHT_CTRL);
    down(KEY_LEFT_SHIFT);
    expect("");
    down(KEY_A);
    up(KEY_A);
    up(KEY_LEFT_SHIFT);
    up(KEY_RIGHT_CTRL);
    expect("+e01d +2a +1e -1e -2a -e01d ");
}

Test(ui_chord, a_host_key_that_the_guest_has_seen_makes_no_chords)
{
    down(KEY_RIGHT_CTRL);
    down(KEY_A);
    up(KEY_A);
    down(KEY_Q);
    up(KEY_Q);
    up(KEY_RIGHT_CTRL);
    expect("+e01d +1e -1e +10 -10 -e01d ");
}

Test(ui_chord, after_a_chord_nothing_goes_to_the_guest_until_the_host_key_is_up)
{
    down(KEY_RIGHT_CTRL);
    down(KEY_P);
    up(KEY_P);
    down(KEY_A);
    up(KEY_A);
    down(KEY_LEFT_SHIFT);
    up(KEY_LEFT_SHIFT);
    down(KEY_P);
    up(KEY_P);
    up(KEY_RIGHT_CTRL);
    down(KEY_A);
    up(KEY_A);
    expect("!pause !pause +1e -1e ");
}

Test(ui_chord, a_mouse_button_makes_the_host_key_an_ordinary_one)
{
    down(KEY_RIGHT_CTRL);
    chord_button(&chord);
    expect("+e01d ");
    up(KEY_RIGHT_CTRL);
    expect("+e01d -e01d ");
}

Test(ui_chord, ctrl_alt_g_grabs_and_leaves_nothing_down)
{
    down(KEY_LEFT_CTRL);
    down(KEY_LEFT_ALT);
    down(KEY_G);
    up(KEY_G);
    up(KEY_LEFT_ALT);
    up(KEY_LEFT_CTRL);
    expect("+1d -1d !grab ");
}

Test(ui_chord, ctrl_alt_f1_is_the_guests)
{
    down(KEY_LEFT_CTRL);
    down(KEY_LEFT_ALT);
    down(KEY_F1);
    up(KEY_F1);
    up(KEY_LEFT_ALT);
    up(KEY_LEFT_CTRL);
    expect("+1d +38 +3b -3b -38 -1d ");
}

Test(ui_chord, ctrl_and_alt_alone_are_the_guests)
{
    down(KEY_LEFT_ALT);
    down(KEY_LEFT_CTRL);
    up(KEY_LEFT_CTRL);
    up(KEY_LEFT_ALT);
    expect("+38 +1d -1d -38 ");
}

Test(ui_chord, losing_the_keyboard_releases_everything)
{
    down(KEY_LEFT_SHIFT);
    down(KEY_UP);
    down(KEY_RIGHT_CTRL);
    chord_reset(&chord);
    expect("+2a +e048 -2a -e048 ");
    up(KEY_UP);
    up(KEY_RIGHT_CTRL);
    down(KEY_P);
    expect("+2a +e048 -2a -e048 +19 ");
}

Test(ui_chord, another_host_key_frees_right_ctrl)
{
    chord.host_key = KEY_SCROLL_LOCK;
    down(KEY_RIGHT_CTRL);
    down(KEY_P);
    up(KEY_P);
    up(KEY_RIGHT_CTRL);
    down(KEY_SCROLL_LOCK);
    down(KEY_P);
    up(KEY_P);
    up(KEY_SCROLL_LOCK);
    expect("+e01d +19 -19 -e01d !pause ");
}

Test(ui_chord, keys_are_places_and_not_letters)
{
    /* USB HID usages of the keys that an AT keyboard has at these places */
    cr_assert_eq(keymap_find(0x04), KEY_A);
    cr_assert_eq(keymap_find(0x1d), KEY_Z);
    cr_assert_eq(keymap_find(0x27), KEY_0);
    cr_assert_eq(keymap_find(0x28), KEY_ENTER);
    cr_assert_eq(keymap_find(0x58), KEY_KP_ENTER);
    cr_assert_eq(keymap_find(0x64), KEY_102ND);
    cr_assert_eq(keymap_find(0xe4), KEY_RIGHT_CTRL);
    cr_assert_eq(keymap_find(0), 0);
    cr_assert_eq(keymap_find(0xe8), 0);
    cr_assert_eq(keymap_find(100000), 0);
}

Test(ui_chord, no_two_places_but_backslashs_are_one_key)
{
    unsigned twice = 0;

    for (unsigned a = 0; a < 0x100; a++) {
        for (unsigned b = a + 1; b < 0x100; b++) {
            twice += keymap_find(a) && keymap_find(a) == keymap_find(b);
        }
    }
    cr_assert_eq(twice, 1);
}
