/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Drawing in memory: rectangles, text in the project's own font, and pictures at another size. Everything is cut at the
 * canvas's edges. Pixels are 0x00RRGGBB.
 */
#ifndef UI_CANVAS_H
#define UI_CANVAS_H

#include "base/types.h"

struct canvas {
    uint32_t *pixel;
    unsigned width, height; /* pixels */
    unsigned pitch;         /* pixels from one row to the next */
};

struct box {
    int x, y, width, height; /* empty when width or height is not positive */
};

/* A picture to be drawn; rows lie one behind the other. */
struct picture {
    const uint32_t *pixel;
    unsigned width, height;
};

enum { CANVAS_CELL_WIDTH = 8, CANVAS_CELL_HEIGHT = 16, CANVAS_SCALE_ONE = 100 };

bool box_is_empty(struct box box);
bool box_contains(struct box box, int x, int y);
struct box box_intersect(struct box a, struct box b);
/* The smallest that contains both; an empty one counts for nothing. */
struct box box_union(struct box a, struct box b);

struct box canvas_bounds(const struct canvas *canvas);
void canvas_fill(const struct canvas *canvas, struct box box, uint32_t color);
/* The inner edge of the box, so many pixels thick. */
void canvas_frame(const struct canvas *canvas, struct box box, int thickness, uint32_t color);

/* Text from its top left corner on, cut at `width` pixels with two dots at the end; characters outside ASCII are shown as '?'.
 * A cell is 8 x 16 pixels at 100 percent. Returns how many pixels wide it was. */
int canvas_text(const struct canvas *canvas, int x, int y, int width, unsigned percent, const char *text,
                uint32_t color);
int canvas_text_width(const char *text, unsigned percent);
static inline int canvas_line_height(unsigned percent)
{
    return (int)(CANVAS_CELL_HEIGHT * percent / 100);
}

/*
 * Draw the picture over `to`, of it only what lies in `clip`. Whole multiples of its size repeat pixels; other sizes weigh each
 * pixel by the area that it covers, so that none is lost and edges stay as sharp as they can. -ENOMEM.
 */
int canvas_picture(const struct canvas *canvas, struct box to, struct box clip,
                   const struct picture *picture);

#endif
