/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Names of keys, for sendkey: those of QEMU's monitor (QKeyCode of its QAPI).
 */
#ifndef MONITOR_KEYS_H
#define MONITOR_KEYS_H

#include "base/error.h"
#include "devices/input.h"

enum { KEYS_AT_ONCE = 16 };

/* The names in the order of the keyboard; NULL behind the last one. */
const char *keys_name(unsigned index);

/* "ctrl-alt-delete", "a", "0x1e-ret": keys that are down together, in this order. How many, or -EINVAL with the text. */
int keys_parse(const char *text, enum key key[KEYS_AT_ONCE], struct error *error);

#endif
