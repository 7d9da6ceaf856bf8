/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The text screen as text for the host's clipboard.
 */
#ifndef UI_TEXT_COPY_H
#define UI_TEXT_COPY_H

#include "devices/display.h"

/* UTF-8, a line for each row without the blanks at its end, and without empty rows at the end. The caller frees it. NULL: out of
 * memory. */
char *text_copy_make(const struct display_text *text);

#endif
