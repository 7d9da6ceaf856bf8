/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Line editing for terminals that are bytes in and bytes out: GNU readline behind an interface without global state.
 *
 *   bytes ---> editor_feed() ---> lines (host->line)
 *                     |---------> what the terminal is to show (host->write)
 *                     '---------> "what could stand here?" (host->complete)
 *
 * One history for the process: whoever types, types it again elsewhere.
 */
#ifndef MONITOR_EDITOR_H
#define MONITOR_EDITOR_H

#include "base/types.h"

struct editor;

/* What could stand at the cursor. */
struct editor_words {
    char **word; /* owned, each by malloc() */
    size_t count, capacity;
    bool files; /* names of files, too */
};

struct editor_host {
    void (*write)(void *opaque, const char *text, size_t length);
    /* A line was entered; editor_prompt() asks for the next one, at the latest when this returns to editor_feed(). */
    void (*line)(void *opaque, const char *line);
    /* Add words that could replace the one that begins at text + start, and ends at the cursor, at the text's end. */
    void (*complete)(void *opaque, const char *text, size_t start, struct editor_words *words);
    /* Width of the terminal, 0: unknown. */
    unsigned (*columns)(void *opaque);
    void *opaque;
};

/* NULL: no memory. */
struct editor *editor_create(const struct editor_host *host);
void editor_destroy(struct editor *editor);

/* The prompt of the next line, which is shown at once. In the middle of a line: a new prompt, and the line stays. */
void editor_prompt(struct editor *editor, const char *prompt);
/* What was typed; from one thread at a time. */
void editor_feed(struct editor *editor, const uint8_t *bytes, size_t n);
/* May completion be what this byte asks for? Then what host->complete() needs should be at hand. It ends no line. */
bool editor_may_complete(uint8_t byte);
/* Somebody has a new sight of the terminal: show prompt and line again, on a row of their own. */
void editor_refresh(struct editor *editor);
/* From hide to show or refresh others may write: the row with the line is empty, and comes back. */
void editor_hide(struct editor *editor);
void editor_show(struct editor *editor);

/* Add a word; it is copied. */
void editor_add_word(struct editor_words *words, const char *word);

/* Keep the history in a file from now on, and read what is there. Once; failures are nobody's concern. */
void editor_open_history(const char *path);
/* The last `max` lines, the oldest first. Returns how many. */
unsigned editor_history(unsigned max, void (*each)(void *opaque, unsigned number, const char *line),
                        void *opaque);

#endif
