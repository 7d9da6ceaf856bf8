/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Completion: what could stand at the cursor of a line, by the table of commands.
 */
#ifndef MONITOR_COMPLETION_H
#define MONITOR_COMPLETION_H

#include "monitor/editor.h"
#include "monitor/groups.h"

/*
 * Add the words that could replace text + start, where the word at the cursor begins; the cursor is at the text's end. `vm` is the
 * one that commands are for, held by the caller; NULL: none is at hand, and what it would know is missing.
 */
void completion_find(struct monitor_session *session, struct vm *vm, const char *text, size_t start,
                     struct editor_words *words);

#endif
