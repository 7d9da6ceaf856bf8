/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The text screen as lines of characters, for people who do not see it and scripts that look for something.
 */
#ifndef MONITOR_SCREEN_TEXT_H
#define MONITOR_SCREEN_TEXT_H

#include "vm/vm.h"

/* Rows, blanks at their ends left out, each with a line feed; for the caller to free. Code page 437 becomes ASCII, what has no like
 * there a blank. NULL with the text: the adapter shows no text, or there is none, or no memory. */
char *screen_text(struct vm *vm, struct error *error);

#endif
