/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * VGA: the text picture as rows and columns of characters.
 *
 * Source: IBM Personal System/2 Hardware Interface Technical Reference, "Video subsystem", on the CRT controller and
 * the attribute controller.
 *
 *   address counter of a cell = start address + row * 2 * offset register + column
 *   plane offset = counter, counter << 1 or counter << 2 (byte, word, doubleword addressing)
 *   plane 0: character    plane 1: attribute    plane 2: fonts, 32 bytes a character, 8 fonts of 8 KiB
 *
 * Not modelled: panning and preset row scan (text moves by whole cells here), cursor skew, underline.
 */
#include "devices/vga.h"

enum {
    CRTC_HORIZONTAL_END = 0x01,
    CRTC_OVERFLOW = 0x07,
    CRTC_MAX_SCAN_LINE = 0x09,
    CRTC_CURSOR_START = 0x0a,
    CRTC_CURSOR_END = 0x0b,
    CRTC_START_HIGH = 0x0c,
    CRTC_CURSOR_HIGH = 0x0e,
    CRTC_VERTICAL_END = 0x12,
    CRTC_OFFSET = 0x13,
    CRTC_UNDERLINE = 0x14,
    CRTC_MODE = 0x17,
    CRTC_LINE_COMPARE = 0x18
};

enum { ATTR_MODE = 0x10, ATTR_PLANE_ENABLE = 0x12, ATTR_COLOR_SELECT = 0x14 };

#define SEQ_CLOCKING        1
#define SEQ_CHARACTER_MAP   3
#define CLOCKING_8_DOTS     0x01u
#define CLOCKING_SCREEN_OFF 0x20u
#define GFX_MISC            6
#define GFX_MISC_GRAPHICS   0x01u
#define ATTR_INDEX_PAS      0x20u
#define ATTR_MODE_GRAPHICS  0x01u
#define ATTR_MODE_BLINK     0x08u
#define ATTR_MODE_P54       0x80u
#define CURSOR_OFF          0x20u
#define DOUBLE_SCAN         0x80u
#define UNDERLINE_DWORD     0x40u
#define MODE_BYTE           0x40u
#define MODE_WRAP_MA15      0x20u
#define FONT_PLANE          2
#define PLANES_FRAMES       (4 * VGA_PLANE_SIZE / PAGE_SIZE)

static enum display_kind text_kind(void *opaque)
{
    const struct vga *vga = opaque;

    if (vga_dispi_active(vga)) {
        return DISPLAY_GRAPHICS;
    }
    if ((vga->seq[SEQ_CLOCKING] & CLOCKING_SCREEN_OFF) || !(vga->attr_index & ATTR_INDEX_PAS)) {
        return DISPLAY_BLANK;
    }
    if ((vga->gfx[GFX_MISC] & GFX_MISC_GRAPHICS) || (vga->attr[ATTR_MODE] & ATTR_MODE_GRAPHICS)) {
        return DISPLAY_GRAPHICS;
    }
    return DISPLAY_TEXT;
}

static uint64_t text_generation(void *opaque)
{
    const struct vga *vga = opaque;
    return vga->generation;
}

/* Plane offset of the cell at an address counter value. */
static uint32_t cell_offset(const struct vga *vga, uint32_t counter)
{
    if (vga->crtc[CRTC_UNDERLINE] & UNDERLINE_DWORD) {
        return counter << 2 | ((counter >> 12) & 3);
    }
    if (vga->crtc[CRTC_MODE] & MODE_BYTE) {
        return counter;
    }
    return counter << 1 | ((counter >> (vga->crtc[CRTC_MODE] & MODE_WRAP_MA15 ? 15 : 13)) & 1);
}

static unsigned word_register(const struct vga *vga, unsigned high)
{
    return (unsigned)vga->crtc[high] << 8 | vga->crtc[high + 1];
}

/* 0x00RRGGBB of one DAC entry. */
static uint32_t dac_color(const struct vga *vga, uint8_t entry)
{
    const uint8_t *rgb = &vga->palette[3 * (entry & vga->dac_mask)];
    uint32_t color = 0;
    for (unsigned i = 0; i < 3; i++) {
        uint8_t six = rgb[i] & 0x3f;
        uint8_t eight = vga->dispi[DISPI_ENABLE] & DISPI_8BIT_DAC ? rgb[i] : (uint8_t)(six << 2 | six >> 4);
        color = color << 8 | eight;
    }
    return color;
}

static uint32_t attribute_color(const struct vga *vga, unsigned index)
{
    uint8_t palette = vga->attr[index & vga->attr[ATTR_PLANE_ENABLE] & 0x0f] & 0x3f;
    uint8_t select = vga->attr[ATTR_COLOR_SELECT];

    if (vga->attr[ATTR_MODE] & ATTR_MODE_P54) {
        palette = (uint8_t)((palette & 0x0f) | (select & 3) << 4);
    }
    return dac_color(vga, (uint8_t)((palette & 0x3f) | (select & 0x0c) << 4));
}

/* Scan lines that one row of cells takes on the screen. */
static unsigned row_lines(const struct vga *vga)
{
    uint8_t max_scan_line = vga->crtc[CRTC_MAX_SCAN_LINE];
    return ((max_scan_line & 0x1fu) + 1) * (max_scan_line & DOUBLE_SCAN ? 2 : 1);
}

static unsigned visible_lines(const struct vga *vga)
{
    uint8_t overflow = vga->crtc[CRTC_OVERFLOW];
    return (vga->crtc[CRTC_VERTICAL_END] | (overflow & 0x02u) << 7 | (overflow & 0x40u) << 3) + 1;
}

/* The first row below the line compare: from there the address counter starts at 0 again. */
static unsigned split_row(const struct vga *vga)
{
    unsigned line = vga->crtc[CRTC_LINE_COMPARE] | (vga->crtc[CRTC_OVERFLOW] & 0x10u) << 4 |
                    (vga->crtc[CRTC_MAX_SCAN_LINE] & 0x40u) << 3;
    return line / row_lines(vga) + 1;
}

static uint32_t row_counter(const struct vga *vga, unsigned row)
{
    unsigned split = split_row(vga), pitch = 2u * vga->crtc[CRTC_OFFSET];
    if (row >= split) {
        return (row - split) * pitch;
    }
    return word_register(vga, CRTC_START_HIGH) + row * pitch;
}

static void read_geometry(const struct vga *vga, struct display_text *text)
{
    text->columns = vga->crtc[CRTC_HORIZONTAL_END] + 1u;
    text->rows = MIN(MAX(visible_lines(vga) / row_lines(vga), 1u), DISPLAY_TEXT_MAX_ROWS);
    text->cell_width = vga->seq[SEQ_CLOCKING] & CLOCKING_8_DOTS ? 8 : 9;
    text->cell_height = (vga->crtc[CRTC_MAX_SCAN_LINE] & 0x1fu) + 1;
    text->blink = (vga->attr[ATTR_MODE] & ATTR_MODE_BLINK) != 0;
    text->cursor_start = vga->crtc[CRTC_CURSOR_START] & 0x1f;
    text->cursor_end = vga->crtc[CRTC_CURSOR_END] & 0x1f;
    text->cursor_visible = false;
    text->cursor_column = text->cursor_row = 0;
    for (unsigned i = 0; i < DISPLAY_TEXT_COLORS; i++) {
        text->color[i] = attribute_color(vga, i);
    }
}

static void read_row(const struct vga *vga, struct display_text *text, unsigned row)
{
    uint32_t counter = row_counter(vga, row), cursor = word_register(vga, CRTC_CURSOR_HIGH);
    struct display_cell *cell = &text->cell[row * text->columns];

    for (unsigned column = 0; column < text->columns; column++) {
        const uint8_t *planes = vga_planes(vga, cell_offset(vga, counter + column));
        cell[column] = (struct display_cell){.character = planes[0], .attribute = planes[1]};
    }
    if (cursor - counter < text->columns) {
        text->cursor_column = cursor - counter;
        text->cursor_row = row;
        text->cursor_visible = !(vga->crtc[CRTC_CURSOR_START] & CURSOR_OFF);
    }
}

/* Writes that bypass the aperture, through BAR 0, are noticed by a watch on the frames the picture was read from. */
static void watch_planes(struct vga *vga)
{
    if (!vga->framebuffer.enabled) {
        return;
    }
    for (uint64_t i = 0; i < PLANES_FRAMES; i++) {
        ram_watch_set(vga->device.board->mem->ram, (vga->vram >> PAGE_SHIFT) + i, RAM_WATCH_DISPLAY);
    }
}

static bool text_read(void *opaque, struct display_text *text)
{
    struct vga *vga = opaque;

    if (text_kind(vga) != DISPLAY_TEXT) {
        return false;
    }
    watch_planes(vga);
    read_geometry(vga, text);
    for (unsigned row = 0; row < text->rows; row++) {
        read_row(vga, text, row);
    }
    return true;
}

/* SEQ3: font 0 in bits 4, 1:0; font 1 in bits 5, 3:2. The low two bits choose 16 KiB, the third adds 8 KiB. */
static void text_read_glyph(void *opaque, unsigned font, uint8_t character, uint8_t rows[DISPLAY_GLYPH_ROWS])
{
    const struct vga *vga = opaque;
    uint8_t map = vga->seq[SEQ_CHARACTER_MAP];
    unsigned select = font ? (map >> 2) & 3 : map & 3, upper = font ? (map >> 5) & 1 : (map >> 4) & 1;
    uint32_t offset = select * 0x4000 + upper * 0x2000 + character * DISPLAY_GLYPH_ROWS;

    for (unsigned row = 0; row < DISPLAY_GLYPH_ROWS; row++) {
        rows[row] = vga_planes(vga, offset + row)[FONT_PLANE];
    }
}

const struct display_ops vga_display_ops = {
    .kind = text_kind,
    .generation = text_generation,
    .read_text = text_read,
    .read_glyph = text_read_glyph,
};
