/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * ASCII to keys of a US keyboard, by two rows of characters for each key: plain and shifted.
 *
 * Control sequences that no key sends are swallowed whole.
 *
 * Not covered: dead keys, other layouts, the terminals' private ways to say more than a VT220 and xterm do.
 */
#include "ui/ascii_keys.h"

enum { ASCII_ESC = 27, ASCII_DEL = 127, NUMBERS = 2, SEQUENCE_MAX = 16 };

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

/* ---- characters ---- */

static struct ascii_stroke stroke_of(uint8_t character)
{
    switch (character) {
    case '\r':
    case '\n':
        return (struct ascii_stroke){.key = KEY_ENTER};
    case '\t':
        return (struct ascii_stroke){.key = KEY_TAB};
    case '\b':
    case ASCII_DEL:
        return (struct ascii_stroke){.key = KEY_BACKSPACE};
    case ASCII_ESC:
        return (struct ascii_stroke){.key = KEY_ESC};
    default:
        break;
    }
    if (character < ' ') {
        return (struct ascii_stroke){find(plain, (uint8_t)(character + 'a' - 1)), ASCII_CTRL};
    }
    if (find(plain, character)) {
        return (struct ascii_stroke){.key = find(plain, character)};
    }
    return (struct ascii_stroke){find(shifted, character), ASCII_SHIFT};
}

/* ---- control sequences ---- */

/* ESC [ ... LETTER and ESC O LETTER */
static enum key key_of_letter(char letter)
{
    switch (letter) {
    case 'A':
        return KEY_UP;
    case 'B':
        return KEY_DOWN;
    case 'C':
        return KEY_RIGHT;
    case 'D':
        return KEY_LEFT;
    case 'F':
        return KEY_END;
    case 'H':
        return KEY_HOME;
    case 'P':
    case 'Q':
    case 'R':
    case 'S':
        return (enum key)(KEY_F1 + (letter - 'P'));
    case 'Z':
        return KEY_TAB;
    default:
        return 0;
    }
}

/* ESC [ NUMBER ~ */
static enum key key_of_number(unsigned number)
{
    static const uint16_t keys[] = {
        [1] = KEY_HOME,      [2] = KEY_INSERT, [3] = KEY_DELETE, [4] = KEY_END,  [5] = KEY_PAGE_UP,
        [6] = KEY_PAGE_DOWN, [7] = KEY_HOME,   [8] = KEY_END,    [11] = KEY_F1,  [12] = KEY_F2,
        [13] = KEY_F3,       [14] = KEY_F4,    [15] = KEY_F5,    [17] = KEY_F6,  [18] = KEY_F7,
        [19] = KEY_F8,       [20] = KEY_F9,    [21] = KEY_F10,   [23] = KEY_F11, [24] = KEY_F12,
    };

    return number < ARRAY_LEN(keys) ? (enum key)keys[number] : 0;
}

/* Up to two numbers, as "1;5"; returns where they end. */
static size_t parse_numbers(const char *bytes, size_t count, size_t at, unsigned number[NUMBERS])
{
    unsigned which = 0;

    number[0] = number[1] = 0;
    for (; at < count && ((bytes[at] >= '0' && bytes[at] <= '9') || bytes[at] == ';'); at++) {
        if (bytes[at] == ';') {
            which++;
        } else if (which < NUMBERS && number[which] < 100) {
            number[which] = number[which] * 10 + (unsigned)(bytes[at] - '0');
        }
    }
    return at;
}

/* Behind ESC [ or ESC O. Returns the length with those, 0: it may go on. */
static size_t parse_sequence(const char *bytes, size_t count, struct ascii_stroke *stroke)
{
    unsigned number[NUMBERS];
    size_t at = 2;

    if (bytes[1] == '[' && count > 2 && bytes[2] == '[') { /* Linux: ESC [ [ A is F1 */
        if (count > 3) {
            stroke->key = bytes[3] >= 'A' && bytes[3] <= 'E' ? (enum key)(KEY_F1 + (bytes[3] - 'A')) : 0;
        }
        return count > 3 ? 4 : 0;
    }
    at = parse_numbers(bytes, count, at, number);
    while (at < count && bytes[at] >= 0x20 && bytes[at] < 0x40) { /* of no sequence that we know */
        at++;
    }
    if (at >= count) {
        return count >= SEQUENCE_MAX ? count : 0;
    }
    stroke->key = bytes[at] == '~' ? key_of_number(number[0]) : key_of_letter(bytes[at]);
    stroke->modifiers =
        number[1] > 1 ? (uint8_t)((number[1] - 1) & (ASCII_SHIFT | ASCII_ALT | ASCII_CTRL)) : 0;
    if (bytes[at] == 'Z') {
        stroke->modifiers |= ASCII_SHIFT;
    }
    return at + 1;
}

size_t ascii_keys_parse(const char *bytes, size_t count, bool final, struct ascii_stroke *stroke)
{
    size_t length;

    *stroke = stroke_of((uint8_t)bytes[0]);
    if (bytes[0] != ASCII_ESC || (count == 1 && final)) {
        return 1;
    }
    if (count == 1) {
        return 0;
    }
    if (bytes[1] == '[' || bytes[1] == 'O') {
        *stroke = (struct ascii_stroke){0};
        length = parse_sequence(bytes, count, stroke);
        if (length > 0 || !final) {
            return length;
        }
    } else if (bytes[1] == ASCII_ESC) {
        return 1;
    }
    *stroke = stroke_of((uint8_t)bytes[1]);
    stroke->modifiers |= ASCII_ALT;
    return 2;
}

/* ---- the keyboard ---- */

void ascii_keys_press(struct i8042 *keyboard, const struct ascii_stroke *stroke)
{
    static const struct {
        uint8_t modifier;
        enum key key;
    } modifiers[] = {{ASCII_CTRL, KEY_LEFT_CTRL}, {ASCII_ALT, KEY_LEFT_ALT}, {ASCII_SHIFT, KEY_LEFT_SHIFT}};
    struct input_sink sink = i8042_input(keyboard);

    if (!stroke->key) {
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(modifiers); i++) {
        if (stroke->modifiers & modifiers[i].modifier) {
            input_key(&sink, modifiers[i].key, true);
        }
    }
    input_key(&sink, stroke->key, true);
    input_key(&sink, stroke->key, false);
    for (size_t i = ARRAY_LEN(modifiers); i-- > 0;) {
        if (stroke->modifiers & modifiers[i].modifier) {
            input_key(&sink, modifiers[i].key, false);
        }
    }
}

void ascii_key_type(struct i8042 *keyboard, uint8_t character)
{
    struct ascii_stroke stroke = stroke_of(character);

    ascii_keys_press(keyboard, &stroke);
}
