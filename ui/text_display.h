/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * -display text: the guest's text screen mirrored to a terminal.
 */
#ifndef UI_TEXT_DISPLAY_H
#define UI_TEXT_DISPLAY_H

#include "vm/vm.h"

struct text_display;

/* Draw the VM's screen on stdout whenever it changes. When stdin is a terminal, keys typed there go to the guest's
 * keyboard and Ctrl-] ends the VM. NULL when the VM has no display adapter or memory ran out. The caller owns it and
 * destroys it before the VM. */
struct text_display *text_display_create(struct vm *vm);
void text_display_destroy(struct text_display *display);

#endif
