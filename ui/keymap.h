/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Places on a keyboard as hosts name them, to the guest's keys.
 */
#ifndef UI_KEYMAP_H
#define UI_KEYMAP_H

#include "devices/input.h"

/* The key at a USB HID usage of page 07h (what SDL calls a scan code); 0: PC keyboards have no such key. */
enum key keymap_find(unsigned usage);

#endif
