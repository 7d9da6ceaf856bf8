/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What terminals send, as keys of a US keyboard. Sequences are those of xterm, a VT220, rxvt and the Linux console.
 */
#include <criterion/criterion.h>

#include "ui/ascii_keys.h"

static const struct {
    const char *bytes;
    enum key key;
    uint8_t modifiers;
} strokes[] = {
    {"a", KEY_A, 0},
    {"A", KEY_A, ASCII_SHIFT},
    {"\001", KEY_A, ASCII_CTRL},
    {"~", KEY_GRAVE, ASCII_SHIFT},
    {"\r", KEY_ENTER, 0},
    {"\177", KEY_BACKSPACE, 0},
    {"\033[A", KEY_UP, 0},
    {"\033OB", KEY_DOWN, 0},
    {"\033[C", KEY_RIGHT, 0},
    {"\033[D", KEY_LEFT, 0},
    {"\033[H", KEY_HOME, 0},
    {"\033OF", KEY_END, 0},
    {"\033[1~", KEY_HOME, 0},
    {"\033[2~", KEY_INSERT, 0},
    {"\033[3~", KEY_DELETE, 0},
    {"\033[4~", KEY_END, 0},
    {"\033[5~", KEY_PAGE_UP, 0},
    {"\033[6~", KEY_PAGE_DOWN, 0},
    {"\033OP", KEY_F1, 0},
    {"\033OS", KEY_F4, 0},
    {"\033[11~", KEY_F1, 0},
    {"\033[15~", KEY_F5, 0},
    {"\033[17~", KEY_F6, 0},
    {"\033[21~", KEY_F10, 0},
    {"\033[23~", KEY_F11, 0},
    {"\033[24~", KEY_F12, 0},
    {"\033[[A", KEY_F1, 0},
    {"\033[[E", KEY_F5, 0},
    {"\033[Z", KEY_TAB, ASCII_SHIFT},
    {"\033[1;2A", KEY_UP, ASCII_SHIFT},
    {"\033[1;3C", KEY_RIGHT, ASCII_ALT},
    {"\033[1;5D", KEY_LEFT, ASCII_CTRL},
    {"\033[3;5~", KEY_DELETE, ASCII_CTRL},
    {"\033[15;8~", KEY_F5, ASCII_SHIFT | ASCII_ALT | ASCII_CTRL},
    {"\033[1;5P", KEY_F1, ASCII_CTRL},
    {"\033x", KEY_X, ASCII_ALT},
    {"\033X", KEY_X, ASCII_ALT | ASCII_SHIFT},
    {"\033[99~", 0, 0},
    {"\033[?25h", 0, 0},
};

Test(ui_keys, each_sequence_is_one_key_however_it_arrives)
{
    for (size_t i = 0; i < ARRAY_LEN(strokes); i++) {
        size_t length = strlen(strokes[i].bytes);
        struct ascii_stroke stroke;

        cr_assert_eq(ascii_keys_parse(strokes[i].bytes, length, false, &stroke), length, "%s",
                     strokes[i].bytes + 1);
        cr_assert_eq(stroke.key, strokes[i].key, "%s", strokes[i].bytes + 1);
        cr_assert(!stroke.key || stroke.modifiers == strokes[i].modifiers, "%s", strokes[i].bytes + 1);
        for (size_t part = 1; part < length; part++) {
            cr_assert_eq(ascii_keys_parse(strokes[i].bytes, part, false, &stroke), 0, "%s to %zu",
                         strokes[i].bytes + 1, part);
        }
    }
}

Test(ui_keys, what_follows_is_left_alone)
{
    struct ascii_stroke stroke;

    cr_assert_eq(ascii_keys_parse("\033[Aabc", 6, false, &stroke), 3);
    cr_assert_eq(stroke.key, KEY_UP);
    cr_assert_eq(ascii_keys_parse("\033\033[A", 4, false, &stroke), 1);
    cr_assert_eq(stroke.key, KEY_ESC);
}

Test(ui_keys, a_lone_escape_is_the_key_when_nothing_follows)
{
    struct ascii_stroke stroke;

    cr_assert_eq(ascii_keys_parse("\033", 1, true, &stroke), 1);
    cr_assert_eq(stroke.key, KEY_ESC);
    cr_assert_eq(ascii_keys_parse("\033[", 2, true, &stroke), 2, "Alt and a bracket");
    cr_assert(stroke.key == KEY_LEFT_BRACKET && stroke.modifiers == ASCII_ALT);
}

/* Whatever a terminal sends, all of it is taken in the end, and no more than there is. */
Test(ui_keys, no_bytes_are_stuck)
{
    for (unsigned n = 0; n < 65536; n++) {
        char bytes[5] = {27, "[O1x"[n & 3], (char)(n >> 2), (char)(n >> 8), (char)(n >> 9)};
        struct ascii_stroke stroke;

        for (size_t at = 0; at < sizeof(bytes);) {
            size_t length = ascii_keys_parse(bytes + at, sizeof(bytes) - at, true, &stroke);

            cr_assert(length >= 1 && length <= sizeof(bytes) - at);
            at += length;
        }
    }
}
