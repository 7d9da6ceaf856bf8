/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Typing text into a guest: what a terminal sends as presses and releases on a US keyboard.
 *
 *   a, A, Ctrl-a, Enter ..      a byte                 a key, with Shift or Ctrl
 *   Esc then a character        ESC and the byte       the key with Alt
 *   cursor, editing, F keys     a control sequence     the key, with the modifiers that it says
 *
 * Sources: ECMA-48, 5.4 "Control sequences"; Xterm Control Sequences, "PC-Style Function Keys"; console_codes(4).
 */
#ifndef UI_ASCII_KEYS_H
#define UI_ASCII_KEYS_H

#include "devices/i8042.h"

/* Scan code bytes of one key at most: with Shift, Alt and Ctrl, all of them down and up, each after a prefix in set 2 or 3. */
enum { ASCII_KEY_CODES = 24 };

enum { ASCII_SHIFT = 1, ASCII_ALT = 2, ASCII_CTRL = 4 };

/* A key and what is held down with it. */
struct ascii_stroke {
    enum key key;      /* 0: none, these bytes have no key */
    uint8_t modifiers; /* ASCII_* */
};

/* The stroke at the beginning of the bytes; returns how many it took. 0: it may go on; `final` says that nothing follows, so that
 * a lone ESC is the key Esc. count > 0. */
size_t ascii_keys_parse(const char *bytes, size_t count, bool final, struct ascii_stroke *stroke);

void ascii_keys_press(struct i8042 *keyboard, const struct ascii_stroke *stroke);
/* Press and release what types this character. Characters a US keyboard lacks are dropped. */
void ascii_key_type(struct i8042 *keyboard, uint8_t character);

#endif
