/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Lists to choose from. See ui/dialog.h.
 */
#include "ui/dialog.h"

#include <stdarg.h>
#include <stdio.h>

#include "ui/palette.h"

enum { PADDING = 10, GAP = 6, FIELD_CELLS = 60 };

void dialog_open(struct dialog *dialog, const char *title, void (*decided)(void *opaque, int value),
                 void *opaque)
{
    *dialog = (struct dialog){.open = true, .decided = decided, .opaque = opaque};
    snprintf(dialog->title, sizeof(dialog->title), "%s", title);
}

void dialog_add(struct dialog *dialog, int value, const char *format, ...)
{
    va_list arguments;

    if (dialog->count == DIALOG_ITEMS) {
        return;
    }
    va_start(arguments, format);
    vsnprintf(dialog->item[dialog->count].text, DIALOG_TEXT, format, arguments);
    va_end(arguments);
    dialog->item[dialog->count++].value = value;
}

void dialog_add_field(struct dialog *dialog, const char *text)
{
    dialog->has_field = true;
    snprintf(dialog->field, sizeof(dialog->field), "%s", text);
}

void dialog_close(struct dialog *dialog)
{
    dialog->open = false;
}

static void decide(struct dialog *dialog)
{
    int value = dialog->has_field || dialog->count == 0 ? 0 : dialog->item[dialog->chosen].value;

    dialog->open = false;
    dialog->decided(dialog->opaque, value);
}

/* The last character of the field. */
static void rub_out(struct dialog *dialog)
{
    size_t length = strlen(dialog->field);

    while (length > 0 && ((uint8_t)dialog->field[length - 1] & 0xc0) == 0x80) {
        length--;
    }
    dialog->field[length > 0 ? length - 1 : 0] = '\0';
}

static void step(struct dialog *dialog, int by)
{
    if (dialog->count > 0) {
        dialog->chosen = (unsigned)((int)(dialog->chosen + dialog->count) + by) % dialog->count;
    }
}

bool dialog_key(struct dialog *dialog, enum key key)
{
    switch ((unsigned)key) {
    case KEY_ESC:
        dialog->open = false;
        return true;
    case KEY_ENTER:
    case KEY_KP_ENTER:
        decide(dialog);
        return true;
    case KEY_UP:
    case KEY_KP_8:
        step(dialog, -1);
        return true;
    case KEY_DOWN:
    case KEY_TAB:
    case KEY_KP_2:
        step(dialog, 1);
        return true;
    case KEY_HOME:
        dialog->chosen = 0;
        return true;
    case KEY_END:
        dialog->chosen = dialog->count ? dialog->count - 1 : 0;
        return true;
    case KEY_BACKSPACE:
        rub_out(dialog);
        return dialog->has_field;
    default:
        return false;
    }
}

bool dialog_text(struct dialog *dialog, const char *utf8)
{
    size_t length = strlen(dialog->field), more = strlen(utf8);

    if (!dialog->has_field || length + more >= sizeof(dialog->field)) {
        return false;
    }
    memcpy(dialog->field + length, utf8, more + 1);
    return true;
}

/* The item at this height; -1: none. */
static int item_at(const struct dialog *dialog, int x, int y)
{
    int line = dialog->line_height > 0 && y >= dialog->first_line
                   ? (y - dialog->first_line) / dialog->line_height
                   : -1;

    if (dialog->has_field || line < 0 || !box_contains(dialog->box, x, y) ||
        (unsigned)line + dialog->first_shown >= dialog->count) {
        return -1;
    }
    return line + (int)dialog->first_shown;
}

bool dialog_motion(struct dialog *dialog, int x, int y)
{
    int item = item_at(dialog, x, y);

    if (item < 0 || (unsigned)item == dialog->chosen) {
        return false;
    }
    dialog->chosen = (unsigned)item;
    return true;
}

bool dialog_click(struct dialog *dialog, int x, int y)
{
    int item = item_at(dialog, x, y);

    if (item >= 0) {
        dialog->chosen = (unsigned)item;
        decide(dialog);
        return true;
    }
    if (!box_contains(dialog->box, x, y)) {
        dialog->open = false;
        return true;
    }
    return false;
}

/* ---- drawing ---- */

static int wanted_width(const struct dialog *dialog, unsigned percent)
{
    int width = canvas_text_width(dialog->title, percent);

    for (unsigned i = 0; i < dialog->count; i++) {
        width = MAX(width, canvas_text_width(dialog->item[i].text, percent));
    }
    return dialog->has_field ? MAX(width, (int)(FIELD_CELLS * CANVAS_CELL_WIDTH * percent / 100)) : width;
}

/* The end of what is typed, with the place of the next character. */
static void draw_field(const struct dialog *dialog, const struct canvas *canvas, struct box line,
                       unsigned percent)
{
    const char *text = dialog->field;
    int cell = (int)(CANVAS_CELL_WIDTH * percent / 100), end;

    while (*text && canvas_text_width(text, percent) > line.width - 2 * cell) {
        text++;
    }
    canvas_fill(canvas, line, PALETTE_BLACK);
    end = canvas_text(canvas, line.x + cell / 2, line.y, line.width - cell, percent, text, PALETTE_TEXT);
    canvas_fill(canvas, (struct box){line.x + cell / 2 + end, line.y, MAX(cell / 4, 1), line.height},
                PALETTE_FOCUS);
}

static void draw_items(const struct dialog *dialog, const struct canvas *canvas, struct box line,
                       unsigned shown, unsigned percent)
{
    int padding = (int)(GAP * percent / 100);

    for (unsigned i = dialog->first_shown; i < dialog->first_shown + shown; i++) {
        if (i == dialog->chosen) {
            struct box bar = {line.x - padding, line.y, line.width + 2 * padding, line.height};

            canvas_fill(canvas, bar, PALETTE_CHOSEN);
            canvas_frame(canvas, bar, 1, PALETTE_FOCUS);
        }
        canvas_text(canvas, line.x, line.y + (line.height - canvas_line_height(percent)) / 2, line.width,
                    percent, dialog->item[i].text, PALETTE_TEXT);
        line.y += line.height;
    }
}

struct box dialog_draw(struct dialog *dialog, const struct canvas *canvas, struct box bounds,
                       unsigned percent)
{
    int padding = (int)(PADDING * percent / 100), gap = (int)(GAP * percent / 100);
    int line_height = canvas_line_height(percent) + gap / 2;
    int width = MIN(wanted_width(dialog, percent) + 2 * padding, bounds.width);
    int head = padding + canvas_line_height(percent) + gap;
    unsigned lines = dialog->has_field ? 1 : dialog->count;
    int room = (bounds.height - head - padding) / line_height;
    unsigned shown = MIN(lines, (unsigned)MAX(room, 1));
    int height = head + (int)shown * line_height + padding;
    struct box line;

    dialog->box = (struct box){bounds.x + (bounds.width - width) / 2,
                               bounds.y + MAX(bounds.height - height, 0) / 2, width, height};
    if (dialog->chosen < dialog->first_shown) {
        dialog->first_shown = dialog->chosen;
    }
    dialog->first_shown = MAX(dialog->first_shown, dialog->chosen >= shown ? dialog->chosen - shown + 1 : 0);
    dialog->first_shown = MIN(dialog->first_shown, lines - shown);
    dialog->first_line = dialog->box.y + head;
    dialog->line_height = line_height;
    line = (struct box){dialog->box.x + padding, dialog->first_line, width - 2 * padding, line_height};
    canvas_fill(canvas, dialog->box, PALETTE_RAISED);
    canvas_frame(canvas, dialog->box, MAX((int)percent / 100, 1), PALETTE_EDGE);
    canvas_text(canvas, line.x, dialog->box.y + padding, line.width, percent, dialog->title, PALETTE_FAINT);
    if (dialog->has_field) {
        draw_field(dialog, canvas, line, percent);
    } else {
        draw_items(dialog, canvas, line, shown, percent);
    }
    return dialog->box;
}
