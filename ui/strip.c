/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The status strip. See ui/strip.h.
 *
 *   | * HD  * FD  * CD  * NET   123 MIPS   CPU  45%   Running [grabbed]                      message |
 */
#include "ui/strip.h"

#include <stdio.h>

#include "ui/palette.h"

enum { FIELD_SIZE = 32 };

const char *strip_life_text(enum vm_state life)
{
    static const char *const names[] = {
        [VM_RUNNING] = "Running", [VM_PAUSED] = "Paused", [VM_STOPPED] = "Stopped"};

    return names[life];
}

uint32_t strip_life_color(enum vm_state life)
{
    static const uint32_t colors[] = {
        [VM_RUNNING] = PALETTE_RUNNING, [VM_PAUSED] = PALETTE_PAUSED, [VM_STOPPED] = PALETTE_STOPPED};

    return colors[life];
}

struct pen {
    const struct canvas *canvas;
    int x, y, end; /* end: no further than this */
    int cell;
    unsigned percent;
};

static void write_text(struct pen *pen, const char *text, uint32_t color)
{
    pen->x += canvas_text(pen->canvas, pen->x, pen->y, MAX(pen->end - pen->x, 0), pen->percent, text, color);
}

static void draw_light(struct pen *pen, const char *name, bool lit)
{
    int size = pen->cell;
    struct box lamp = {pen->x, pen->y + (2 * pen->cell - size) / 2, size, size};

    canvas_fill(pen->canvas, lamp, lit ? PALETTE_LIGHT_ON : PALETTE_LIGHT_OFF);
    pen->x += size + pen->cell / 2;
    write_text(pen, name, lit ? PALETTE_TEXT : PALETTE_FAINT);
    pen->x += pen->cell;
}

void strip_draw(const struct strip *strip, const struct canvas *canvas, struct box box, unsigned percent)
{
    static const char *const names[STRIP_LIGHTS] = {"HD", "FD", "CD", "NET"};
    int cell = (int)(CANVAS_CELL_WIDTH * percent / 100);
    struct pen pen = {canvas,
                      box.x + cell / 2,
                      box.y + (box.height - canvas_line_height(percent)) / 2,
                      box.x + box.width - cell / 2,
                      cell,
                      percent};
    char field[FIELD_SIZE];
    int width;

    canvas_fill(canvas, box, PALETTE_GROUND);
    canvas_fill(canvas, (struct box){box.x, box.y, box.width, MAX((int)percent / 100, 1)}, PALETTE_EDGE);
    for (unsigned i = 0; i < STRIP_LIGHTS; i++) {
        if (strip->has[i]) {
            draw_light(&pen, names[i], strip->lit[i]);
        }
    }
    snprintf(field, sizeof(field), "%5u MIPS  CPU %3u%%  ", strip->mips, strip->cpu_percent);
    write_text(&pen, field, PALETTE_TEXT);
    write_text(&pen, strip_life_text(strip->life), strip_life_color(strip->life));
    write_text(&pen, strip->grabbed ? " grabbed" : "", PALETTE_PAUSED);
    pen.x += 2 * cell;
    width = canvas_text_width(strip->message, percent);
    pen.x = MAX(pen.x, pen.end - width);
    write_text(&pen, strip->message, PALETTE_FAINT);
}
