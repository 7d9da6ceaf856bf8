/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What a display adapter shows, for windows, `-display text`, screen dumps and tests.
 *
 * A front end asks "what kind of picture, and did it change?" (kind, generation) and then reads it. It owns the
 * buffers; nothing here points into guest memory. All calls come from the VM's thread.
 */
#ifndef DEVICES_DISPLAY_H
#define DEVICES_DISPLAY_H

#include "base/types.h"

#define DISPLAY_TEXT_MAX_COLUMNS 256u
#define DISPLAY_TEXT_MAX_ROWS    128u
#define DISPLAY_GLYPH_ROWS       32u
#define DISPLAY_TEXT_COLORS      16u

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

struct display_ops {
    enum display_kind (*kind)(void *opaque);
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

#endif
