/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What a display adapter shows, for windows, `-display text`, screen dumps and tests.
 *
 * As pixels: update() brings the adapter's surface up to date, drawing only what the guest changed, and every front
 * end finds out for itself what is new to it, by the serial number of its last look:
 *
 *   const struct display_surface *surface = display_update(&display);
 *   count = display_dirty(surface, seen, rects, ARRAY_LEN(rects));
 *   seen = surface->serial;
 *
 * As text: "what kind of picture, and did it change?" (kind, generation), then read_text() into a buffer of the
 * front end's own.
 *
 * Nothing here points into guest memory. All calls come from the VM's thread.
 */
#ifndef DEVICES_DISPLAY_H
#define DEVICES_DISPLAY_H

#include "base/types.h"

#define DISPLAY_TEXT_MAX_COLUMNS 256u
#define DISPLAY_TEXT_MAX_ROWS    128u
#define DISPLAY_GLYPH_ROWS       32u
#define DISPLAY_TEXT_COLORS      16u
#define DISPLAY_MAX_WIDTH        8192u /* sanity bounds, more than any adapter shows */
#define DISPLAY_MAX_HEIGHT       4096u

enum display_kind {
    DISPLAY_BLANK, /* switched off by the guest, or nothing sensible programmed */
    DISPLAY_TEXT,
    DISPLAY_GRAPHICS
};

/* One character cell. Attribute: 7 blink or bright background, 6:4 background, 3:0 foreground; in the 512 character
 * mode bit 3 also chooses the font. */
struct display_cell {
    uint8_t character;
    uint8_t attribute;
};

struct display_text {
    unsigned columns, rows;           /* 1..DISPLAY_TEXT_MAX_* */
    unsigned cell_width, cell_height; /* pixels: 8 or 9, 1..32 */
    bool blink;                       /* attribute bit 7 blinks (else: bright background) */
    bool cursor_visible;
    unsigned cursor_column, cursor_row;
    unsigned cursor_start, cursor_end;   /* scan lines within the cell, inclusive; start > end: none */
    uint32_t color[DISPLAY_TEXT_COLORS]; /* 0x00RRGGBB of each attribute colour */
    struct display_cell cell[DISPLAY_TEXT_MAX_ROWS * DISPLAY_TEXT_MAX_COLUMNS]; /* row * columns + column */
};

/* The screen in pixels; owned by the adapter, valid until the next update(). */
struct display_surface {
    unsigned width, height; /* pixels */
    uint32_t *pixel;        /* height rows of width pixels each, 0x00RRGGBB */
    uint64_t *line_serial;  /* of each row: the surface's serial when it last changed */
    uint64_t serial;        /* grows with every update that changed something; never 0 after the first one */
    uint64_t resized;       /* serial when the size last changed */
    size_t capacity;        /* pixels and rows there is room for */
    unsigned row_capacity;
};

struct display_rect {
    unsigned x, y, width, height;
};

struct display_ops {
    enum display_kind (*kind)(void *opaque);
    /* Draw what changed into the adapter's surface. NULL: out of memory. Blinking follows the virtual clock. */
    const struct display_surface *(*update)(void *opaque);
    /* Changes whenever the picture may have changed since it was last read. */
    uint64_t (*generation)(void *opaque);
    /* The text screen; false when the adapter does not show text. */
    bool (*read_text)(void *opaque, struct display_text *text);
    /* The rows of one character as bit masks, leftmost pixel in bit 7. font 1 is chosen by attribute bit 3 set. */
    void (*read_glyph)(void *opaque, unsigned font, uint8_t character, uint8_t rows[DISPLAY_GLYPH_ROWS]);
};

struct display {
    const struct display_ops *ops;
    void *opaque;
};

static inline const struct display_surface *display_update(const struct display *display)
{
    return display->ops->update(display->opaque);
}

/* What changed after the look that saw serial `since` (0: never looked): at most `max` >= 1 rectangles, which may
 * cover more than what changed. Returns how many. */
unsigned display_dirty(const struct display_surface *surface, uint64_t since, struct display_rect *rects,
                       unsigned max);

/* --- For adapters ------------------------------------------------------------------------------------------ */

/* Give the surface this size, at most DISPLAY_MAX_WIDTH x DISPLAY_MAX_HEIGHT. A new size makes it black, and all of
 * it changed. False: out of memory, and as it was. */
bool display_surface_resize(struct display_surface *surface, unsigned width, unsigned height);
/* Put a row's pixels in place, and note whether they differ from what was there. */
void display_surface_put(struct display_surface *surface, unsigned y, const uint32_t *pixels);
/* The update is complete: give its changes a serial of their own. */
void display_surface_commit(struct display_surface *surface);
void display_surface_fini(struct display_surface *surface);

#endif
