/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * ASCII to keys of a US keyboard, by two rows of characters for each key: plain and shifted.
 *
 * Not covered: dead keys, other layouts, cursor and function keys.
 */
#include "ui/ascii_keys.h"

enum { ASCII_ESC = 27, ASCII_DEL = 127 };

/* Set 1 scan codes 02h-0Dh, 10h-1Bh, 1Eh-29h, 2Bh-35h and 39h are the character keys; 0: no character. */
static const char plain[] = "\0\0"
                            "1234567890-=\0\0"
                            "qwertyuiop[]\0\0"
                            "asdfghjkl;'`\0"
                            "\\zxcvbnm,./\0\0\0 ";
static const char shifted[] = "\0\0"
                              "!@#$%^&*()_+\0\0"
                              "QWERTYUIOP{}\0\0"
                              "ASDFGHJKL:\"~\0"
                              "|ZXCVBNM<>?\0\0\0 ";

/* The key of a character in one of the two rows; 0 when it is not there. */
static enum key find(const char *row, uint8_t character)
{
    for (unsigned i = 0; i < sizeof(plain) - 1; i++) {
        if (row[i] && (uint8_t)row[i] == character) {
            return (enum key)i;
        }
    }
    return 0;
}

static void press(const struct input_sink *sink, enum key modifier, enum key key)
{
    if (modifier) {
        input_key(sink, modifier, true);
    }
    input_key(sink, key, true);
    input_key(sink, key, false);
    if (modifier) {
        input_key(sink, modifier, false);
    }
}

void ascii_key_type(struct i8042 *keyboard, uint8_t character)
{
    struct input_sink sink = i8042_input(keyboard);

    if (character == '\r' || character == '\n') {
        press(&sink, 0, KEY_ENTER);
    } else if (character == '\t') {
        press(&sink, 0, KEY_TAB);
    } else if (character == '\b' || character == ASCII_DEL) {
        press(&sink, 0, KEY_BACKSPACE);
    } else if (character == ASCII_ESC) {
        press(&sink, 0, KEY_ESC);
    } else if (character < ' ') {
        press(&sink, KEY_LEFT_CTRL, find(plain, (uint8_t)(character + 'a' - 1)));
    } else if (find(plain, character)) {
        press(&sink, 0, find(plain, character));
    } else if (find(shifted, character)) {
        press(&sink, KEY_LEFT_SHIFT, find(shifted, character));
    }
}
