/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Rectangles and text. See ui/canvas.h.
 *
 * Glyphs are those of our boot ROM (roms/boot/font.inc): 8 x 8 dots in a cell twice as high, stretched to any size by
 * sampling each pixel at 4 x 4 places.
 */
#include "ui/canvas.h"

#include "roms/roms.h"

enum { GLYPH_DOTS = 8, SAMPLES = 4, FIRST_GLYPH = 0x20, LAST_GLYPH = 0x7e, GLYPHS_A_ROW = 8 };

/* ---- boxes ---- */

bool box_is_empty(struct box box)
{
    return box.width <= 0 || box.height <= 0;
}

bool box_contains(struct box box, int x, int y)
{
    return x >= box.x && y >= box.y && x < box.x + box.width && y < box.y + box.height;
}

struct box box_intersect(struct box a, struct box b)
{
    int left = MAX(a.x, b.x), top = MAX(a.y, b.y);
    int right = MIN(a.x + a.width, b.x + b.width), bottom = MIN(a.y + a.height, b.y + b.height);

    return (struct box){left, top, MAX(right - left, 0), MAX(bottom - top, 0)};
}

struct box box_union(struct box a, struct box b)
{
    if (box_is_empty(a) || box_is_empty(b)) {
        return box_is_empty(a) ? b : a;
    }
    int left = MIN(a.x, b.x), top = MIN(a.y, b.y);
    int right = MAX(a.x + a.width, b.x + b.width), bottom = MAX(a.y + a.height, b.y + b.height);

    return (struct box){left, top, right - left, bottom - top};
}

struct box canvas_bounds(const struct canvas *canvas)
{
    return (struct box){0, 0, (int)canvas->width, (int)canvas->height};
}

/* ---- rectangles ---- */

void canvas_fill(const struct canvas *canvas, struct box box, uint32_t color)
{
    box = box_intersect(box, canvas_bounds(canvas));
    for (int y = box.y; y < box.y + box.height; y++) {
        uint32_t *row = canvas->pixel + (size_t)y * canvas->pitch;

        for (int x = box.x; x < box.x + box.width; x++) {
            row[x] = color;
        }
    }
}

void canvas_frame(const struct canvas *canvas, struct box box, int thickness, uint32_t color)
{
    int t = MIN(thickness, MIN(box.width, box.height) / 2);

    canvas_fill(canvas, (struct box){box.x, box.y, box.width, t}, color);
    canvas_fill(canvas, (struct box){box.x, box.y + box.height - t, box.width, t}, color);
    canvas_fill(canvas, (struct box){box.x, box.y + t, t, box.height - 2 * t}, color);
    canvas_fill(canvas, (struct box){box.x + box.width - t, box.y + t, t, box.height - 2 * t}, color);
}

/* ---- text ---- */

static bool dot(uint8_t character, unsigned row, unsigned column)
{
    unsigned glyph = character - FIRST_GLYPH;
    size_t at =
        glyph / GLYPHS_A_ROW * (GLYPH_DOTS * GLYPHS_A_ROW) + row * GLYPHS_A_ROW + glyph % GLYPHS_A_ROW;

    return rom_font[at] >> (GLYPH_DOTS - 1 - column) & 1;
}

/* How many of a pixel's samples, of SAMPLES * SAMPLES, lie on a dot. */
static unsigned coverage(uint8_t character, struct box cell, int x, int y)
{
    unsigned covered = 0;

    for (int sy = 0; sy < SAMPLES; sy++) {
        int row = (2 * (y * SAMPLES + sy) + 1) * GLYPH_DOTS / (2 * SAMPLES * cell.height);

        for (int sx = 0; sx < SAMPLES; sx++) {
            int column = (2 * (x * SAMPLES + sx) + 1) * GLYPH_DOTS / (2 * SAMPLES * cell.width);

            covered += dot(character, (unsigned)row, (unsigned)column);
        }
    }
    return covered;
}

static uint32_t blend(uint32_t below, uint32_t above, unsigned part, unsigned whole)
{
    uint32_t result = 0;

    for (unsigned shift = 0; shift < 24; shift += 8) {
        uint32_t a = below >> shift & 0xff, b = above >> shift & 0xff;

        result |= (a * (whole - part) + b * part) / whole << shift;
    }
    return result;
}

static void draw_glyph(const struct canvas *canvas, struct box cell, uint8_t character, uint32_t color)
{
    struct box visible = box_intersect(cell, canvas_bounds(canvas));

    for (int y = visible.y; y < visible.y + visible.height; y++) {
        uint32_t *row = canvas->pixel + (size_t)y * canvas->pitch;

        for (int x = visible.x; x < visible.x + visible.width; x++) {
            unsigned covered = coverage(character, cell, x - cell.x, y - cell.y);

            row[x] = blend(row[x], color, covered, SAMPLES * SAMPLES);
        }
    }
}

static bool continues_character(char c)
{
    return ((uint8_t)c & 0xc0) == 0x80;
}

static int cell_width(unsigned percent)
{
    return (int)(CANVAS_CELL_WIDTH * percent / 100);
}

int canvas_text_width(const char *text, unsigned percent)
{
    int cells = 0;

    for (; *text; text++) {
        cells += !continues_character(*text);
    }
    return cells * cell_width(percent);
}

int canvas_text(const struct canvas *canvas, int x, int y, int width, unsigned percent, const char *text,
                uint32_t color)
{
    struct box cell = {x, y, cell_width(percent), canvas_line_height(percent)};
    bool cut = canvas_text_width(text, percent) > width;
    int room = cell.width > 0 ? width / cell.width : 0;

    for (int i = 0; *text && i < room; text++) {
        uint8_t character = (uint8_t)*text;

        if (continues_character(*text)) {
            continue;
        }
        character = character < FIRST_GLYPH || character > LAST_GLYPH ? '?' : character;
        character = cut && i >= room - 2 ? '.' : character;
        draw_glyph(canvas, cell, character, color);
        cell.x += cell.width;
        i++;
    }
    return cell.x - x;
}
