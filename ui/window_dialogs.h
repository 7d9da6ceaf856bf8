/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What a VM's window asks its user.
 */
#ifndef UI_WINDOW_DIALOGS_H
#define UI_WINDOW_DIALOGS_H

#include "ui/window.h"

/* What to do with a VM whose window shall close. */
void window_ask_close(struct window *window);
/* The drives, as the VM has just listed them; with window->dropped, for that file. */
void window_ask_media(struct window *window);
/* All actions. */
void window_ask_help(struct window *window);

/* The dialog must be drawn again, or has gone. */
void window_dialog_changed(struct window *window);

/* window.c: keys and mouse are not the guest's any more. */
void window_let_go(struct window *window);
/* A line in the strip, for a while. */
void window_say(struct window *window, const char *text);

#endif
