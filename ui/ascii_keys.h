/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Typing text into a guest: ASCII characters as presses and releases on a US keyboard.
 */
#ifndef UI_ASCII_KEYS_H
#define UI_ASCII_KEYS_H

#include "devices/i8042.h"

/* Scan code bytes of one character at most: Shift or Ctrl and a key, down and up, each after a prefix in set 2 or 3. */
enum { ASCII_KEY_CODES = 8 };

/* Press and release what types this character, Shift and Ctrl included. Characters a US keyboard lacks are dropped. */
void ascii_key_type(struct i8042 *keyboard, uint8_t character);

#endif
