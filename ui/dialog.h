/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A list to choose from, or a line to type, in front of what a window shows. By keyboard: Up, Down, Home, End, Tab, Enter, Esc; by
 * mouse: a click on a line, or beside the list to leave it.
 */
#ifndef UI_DIALOG_H
#define UI_DIALOG_H

#include "devices/input.h"
#include "ui/canvas.h"

enum { DIALOG_ITEMS = 24, DIALOG_TEXT = 160, DIALOG_FIELD = 1024 };

struct dialog {
    bool open, has_field;
    char title[DIALOG_TEXT];
    struct {
        char text[DIALOG_TEXT];
        int value;
    } item[DIALOG_ITEMS];
    unsigned count, chosen;
    char field[DIALOG_FIELD]; /* what is being typed; UTF-8 */
    struct box box;           /* where it was last drawn */
    int first_line, line_height;
    unsigned first_shown;
    /* The user has decided: an item's value, or with a field 0; the dialog is closed. It may open another one. */
    void (*decided)(void *opaque, int value);
    void *opaque;
};

void dialog_open(struct dialog *dialog, const char *title, void (*decided)(void *opaque, int value),
                 void *opaque);
/* value >= 0. More than fit are dropped. */
void dialog_add(struct dialog *dialog, int value, const char *format, ...) PRINTF_LIKE(3, 4);
/* A line to type instead of items. */
void dialog_add_field(struct dialog *dialog, const char *text);
void dialog_close(struct dialog *dialog);

/* Returns whether it must be drawn again. Only presses are of interest. */
bool dialog_key(struct dialog *dialog, enum key key);
bool dialog_text(struct dialog *dialog, const char *utf8);
bool dialog_motion(struct dialog *dialog, int x, int y);
bool dialog_click(struct dialog *dialog, int x, int y);

/* Draws it in the middle of `bounds`; returns its box. */
struct box dialog_draw(struct dialog *dialog, const struct canvas *canvas, struct box bounds,
                       unsigned percent);

#endif
