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

#define FONT_PLANE 2

enum display_kind vga_kind(const struct vga *vga)
{
    if ((vga->seq[SEQ_CLOCKING] & CLOCKING_SCREEN_OFF) || !(vga->attr_index & ATTR_INDEX_PAS)) {
        return DISPLAY_BLANK;
    }
    if (vga_dispi_active(vga) || (vga->gfx[GFX_MISC] & GFX_MISC_GRAPHICS) ||
        (vga->attr[ATTR_MODE] & ATTR_MODE_GRAPHICS)) {
        return DISPLAY_GRAPHICS;
    }
    return DISPLAY_TEXT;
}

static enum display_kind text_kind(void *opaque)
{
    return vga_kind(opaque);
}

static uint64_t text_generation(void *opaque)
{
    const struct vga *vga = opaque;
    return vga->generation;
}

uint32_t vga_dac_color(const struct vga *vga, uint8_t entry)
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

uint32_t vga_attribute_color(const struct vga *vga, unsigned index)
{
    uint8_t palette = vga->attr[index & vga->attr[ATTR_PLANE_ENABLE] & 0x0f] & 0x3f;
    uint8_t select = vga->attr[ATTR_COLOR_SELECT];

    if (vga->attr[ATTR_MODE] & ATTR_MODE_P54) {
        palette = (uint8_t)((palette & 0x0f) | (select & 3) << 4);
    }
    return vga_dac_color(vga, (uint8_t)((palette & 0x3f) | (select & 0x0c) << 4));
}

/* Scan lines that one row of cells takes on the screen. */
static unsigned row_lines(const struct vga *vga)
{
    uint8_t max_scan_line = vga->crtc[CRTC_MAX_SCAN_LINE];
    return ((max_scan_line & 0x1fu) + 1) * (max_scan_line & CRTC_DOUBLE_SCAN ? 2 : 1);
}

/* The first row below the line compare: from there the address counter starts at 0 again. */
static unsigned split_row(const struct vga *vga)
{
    return vga_crtc_line_compare(vga) / row_lines(vga) + 1;
}

static uint32_t row_counter(const struct vga *vga, unsigned row)
{
    unsigned split = split_row(vga), pitch = 2u * vga->crtc[CRTC_OFFSET];
    if (row >= split) {
        return (row - split) * pitch;
    }
    return vga_crtc_word(vga, CRTC_START_HIGH) + row * pitch;
}

static void read_geometry(const struct vga *vga, struct display_text *text)
{
    text->columns = vga_crtc_columns(vga);
    text->rows = MIN(MAX(vga_crtc_lines(vga) / row_lines(vga), 1u), DISPLAY_TEXT_MAX_ROWS);
    text->cell_width = vga->seq[SEQ_CLOCKING] & CLOCKING_8_DOTS ? 8 : 9;
    text->cell_height = (vga->crtc[CRTC_MAX_SCAN_LINE] & 0x1fu) + 1;
    text->blink = (vga->attr[ATTR_MODE] & ATTR_MODE_BLINK) != 0;
    text->cursor_start = vga->crtc[CRTC_CURSOR_START] & 0x1f;
    text->cursor_end = vga->crtc[CRTC_CURSOR_END] & 0x1f;
    text->cursor_visible = false;
    text->cursor_column = text->cursor_row = 0;
    for (unsigned i = 0; i < DISPLAY_TEXT_COLORS; i++) {
        text->color[i] = vga_attribute_color(vga, i);
    }
}

static void read_row(const struct vga *vga, struct display_text *text, unsigned row)
{
    uint32_t counter = row_counter(vga, row), cursor = vga_crtc_word(vga, CRTC_CURSOR_HIGH);
    struct display_cell *cell = &text->cell[row * text->columns];

    for (unsigned column = 0; column < text->columns; column++) {
        const uint8_t *planes = vga_planes(vga, vga_crtc_offset(vga, counter + column, 0));
        cell[column] = (struct display_cell){.character = planes[0], .attribute = planes[1]};
    }
    if (cursor - counter < text->columns) {
        text->cursor_column = cursor - counter;
        text->cursor_row = row;
        text->cursor_visible = !(vga->crtc[CRTC_CURSOR_START] & CRTC_CURSOR_OFF);
    }
}

static bool text_read(void *opaque, struct display_text *text)
{
    struct vga *vga = opaque;

    if (text_kind(vga) != DISPLAY_TEXT) {
        return false;
    }
    vga_picture_watch(vga);
    vga_window_pull(vga);
    read_geometry(vga, text);
    for (unsigned row = 0; row < text->rows; row++) {
        read_row(vga, text, row);
    }
    return true;
}

/* SEQ3: font 0 in bits 4, 1:0; font 1 in bits 5, 3:2. The low two bits choose 16 KiB, the third adds 8 KiB. Attribute
 * bit 3 chooses font 1, which is the map that bits 5, 3:2 name when it is set. */
uint32_t vga_font_offset(const struct vga *vga, unsigned font)
{
    uint8_t map = vga->seq[SEQ_CHARACTER_MAP];
    unsigned select = font ? (map >> 2) & 3 : map & 3, upper = font ? (map >> 5) & 1 : (map >> 4) & 1;
    return select * 0x4000 + upper * 0x2000;
}

static void text_read_glyph(void *opaque, unsigned font, uint8_t character, uint8_t rows[DISPLAY_GLYPH_ROWS])
{
    const struct vga *vga = opaque;
    uint32_t offset = vga_font_offset(vga, font) + character * DISPLAY_GLYPH_ROWS;

    for (unsigned row = 0; row < DISPLAY_GLYPH_ROWS; row++) {
        rows[row] = vga_planes(vga, offset + row)[FONT_PLANE];
    }
}

const struct display_ops vga_display_ops = {
    .kind = text_kind,
    .generation = text_generation,
    .update = vga_picture_update,
    .read_text = text_read,
    .read_glyph = text_read_glyph,
};
