/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * VGA: the screen as pixels, scan line by scan line.
 *
 * Source: IBM Personal System/2 Hardware Interface Technical Reference, "Video subsystem": CRT controller, graphics
 * controller mode register, attribute controller.
 *
 *   counter and row scan --> plane offset --> 4 plane bytes --> shift registers --> attribute palette --> DAC
 *
 *   text          plane 0 a character, plane 1 its attribute; plane 2 gives 8 dots of the font, a ninth is made
 *   planar        8 dots: bit 7 of each plane first
 *   interleaved   8 dots of two bits: planes 0 (and 2, above it), then planes 1 (and 3)
 *   256 colours   4 pixels, two dots each: one byte of each plane
 *
 * One pixel of the surface is one dot of the full dot clock, one row is one scan line: modes of 320 dots or 200 lines come out
 * with their pixels doubled, as on a monitor. In DISPI modes a pixel is a pixel.
 *
 * Not modelled: the border, blinking in graphics modes, DAC contents changed while the beam is on its way.
 */
#include "devices/vga.h"

#define DOTS           8u /* of a character clock in graphics modes */
#define ROW_SCAN_MASK  0x1fu
#define FONT_PLANE     2
#define GLYPH_BYTES    32
#define UNDERLINE_BITS 0x77u
#define UNDERLINED     0x01u

/* The screen on its way from the top to the bottom. */
struct scan {
    struct vga *vga;
    bool text, half; /* half: the dot clock is halved, dots are twice as wide */
    unsigned columns, dots;
    unsigned pan;                       /* dots that the picture moves to the left */
    uint32_t counter;                   /* address counter at the left end */
    unsigned row_scan;                  /* line within the row of characters */
    bool second;                        /* double scan: the row scan's second line */
    unsigned count_by;                  /* character clocks that share an address: a shift */
    uint32_t font[2];                   /* plane 2 offsets */
    uint32_t cursor;                    /* counter at which it is */
    unsigned cursor_first, cursor_last; /* row scans */
};

/* ---- One character clock ------------------------------------------------------------------------------ */

static void draw_planar(const struct vga *vga, const uint8_t *planes, uint32_t *to)
{
    for (unsigned i = 0; i < DOTS; i++) {
        unsigned shift = 7 - i;
        unsigned value = (planes[0] >> shift & 1) | (planes[1] >> shift & 1) << 1 |
                         (planes[2] >> shift & 1) << 2 | (planes[3] >> shift & 1) << 3;
        to[i] = vga->picture.pixel_color[value];
    }
}

static void draw_interleaved(const struct vga *vga, const uint8_t *planes, uint32_t *to)
{
    for (unsigned i = 0; i < DOTS; i++) {
        unsigned shift = 6 - 2 * (i % 4), odd = i / 4;
        unsigned value = (planes[odd] >> shift & 3) | (planes[odd + 2] >> shift & 3) << 2;
        to[i] = vga->picture.pixel_color[value];
    }
}

static void draw_256(const struct vga *vga, const uint8_t *planes, uint32_t *to)
{
    for (unsigned i = 0; i < DOTS; i++) {
        to[i] = vga->picture.color[planes[i / 2]];
    }
}

static bool cursor_covers(const struct scan *scan, uint32_t counter)
{
    return scan->vga->picture.look.cursor_on && counter == scan->cursor &&
           scan->row_scan >= scan->cursor_first && scan->row_scan <= scan->cursor_last;
}

/* The dots of a character in this row scan: bit 8 is the leftmost of nine. */
static unsigned character_dots(const struct scan *scan, uint8_t character, uint8_t attribute)
{
    const struct vga *vga = scan->vga;
    uint32_t glyph = scan->font[attribute >> 3 & 1] + character * GLYPH_BYTES;
    uint8_t bits = vga_planes(vga, glyph + scan->row_scan)[FONT_PLANE];
    bool line_graphics = (vga->attr[ATTR_MODE] & ATTR_MODE_LINE_GRAPHICS) && (character & 0xe0) == 0xc0;

    if (scan->row_scan == (vga->crtc[CRTC_UNDERLINE] & ROW_SCAN_MASK) &&
        (attribute & UNDERLINE_BITS) == UNDERLINED) {
        return 0x1ff;
    }
    return (unsigned)bits << 1 | (line_graphics ? bits & 1u : 0);
}

static void draw_character(const struct scan *scan, uint32_t counter, const uint8_t *planes, uint32_t *to)
{
    const struct vga *vga = scan->vga;
    uint8_t attribute = planes[1];
    unsigned foreground = attribute & 0x0f, background = attribute >> 4;
    unsigned dots = character_dots(scan, planes[0], attribute);

    if (vga->attr[ATTR_MODE] & ATTR_MODE_BLINK) {
        dots = (attribute & 0x80) && !vga->picture.look.blink_on ? 0 : dots;
        background &= 7;
    }
    if (cursor_covers(scan, counter)) {
        dots = 0x1ff;
    }
    for (unsigned i = 0; i < scan->dots; i++) {
        to[i] = vga->picture.pixel_color[dots >> (8 - i) & 1 ? foreground : background];
    }
}

/* ---- One scan line ------------------------------------------------------------------------------------ */

static void draw_column(const struct scan *scan, unsigned column, uint32_t *to)
{
    const struct vga *vga = scan->vga;
    uint32_t counter = scan->counter + (column >> scan->count_by);
    const uint8_t *planes = vga_planes(vga, vga_crtc_offset(vga, counter, scan->row_scan));

    if (scan->text) {
        draw_character(scan, counter, planes, to);
    } else if (vga->gfx[GFX_MODE] & MODE_256) {
        draw_256(vga, planes, to);
    } else if (vga->gfx[GFX_MODE] & MODE_INTERLEAVE) {
        draw_interleaved(vga, planes, to);
    } else {
        draw_planar(vga, planes, to);
    }
}

/* Every dot twice, in place, from the right. */
static void widen(uint32_t *line, unsigned dots)
{
    for (unsigned i = dots; i-- > 0;) {
        line[2 * i] = line[2 * i + 1] = line[i];
    }
}

/* A column more than is visible: panning shows part of it. */
static void draw_line(const struct scan *scan, unsigned y)
{
    struct vga_picture *picture = &scan->vga->picture;
    unsigned pan = scan->pan;

    for (unsigned column = 0; column <= scan->columns; column++) {
        draw_column(scan, column, picture->line + column * scan->dots);
    }
    if (scan->half) {
        widen(picture->line, (scan->columns + 1) * scan->dots);
        pan *= 2;
    }
    display_surface_put(&picture->surface, y, picture->line + pan);
}

/* ---- The VGA's own modes ------------------------------------------------------------------------------ */

static bool is_text(const struct vga *vga)
{
    return !vga_dispi_active(vga) && !(vga->gfx[GFX_MISC] & GFX_MISC_GRAPHICS) &&
           !(vga->attr[ATTR_MODE] & ATTR_MODE_GRAPHICS);
}

/* Dots of a column that the picture is moved by. With nine dots a column, 8 means none. */
static unsigned find_pan(const struct vga *vga, unsigned dots)
{
    unsigned value = vga->attr[ATTR_PANNING] & 0x0f;
    if (dots == 9) {
        return value >= 8 ? 0 : value + 1;
    }
    return value & 7;
}

static struct scan begin_scan(struct vga *vga)
{
    uint8_t preset = vga->crtc[CRTC_PRESET_ROW_SCAN];
    bool text = is_text(vga);
    unsigned dots = text && !(vga->seq[SEQ_CLOCKING] & CLOCKING_8_DOTS) ? 9 : DOTS;
    struct scan scan = {
        .vga = vga,
        .text = text,
        .half = (vga->seq[SEQ_CLOCKING] & CLOCKING_HALF) != 0,
        .columns = vga_crtc_columns(vga),
        .dots = dots,
        .pan = find_pan(vga, dots),
        .counter = vga_crtc_word(vga, CRTC_START_HIGH) + (preset >> 5 & 3u),
        .row_scan = preset & ROW_SCAN_MASK,
        .count_by = (vga->crtc[CRTC_MODE] & CRTC_MODE_COUNT_BY_2 ? 1 : 0) +
                    (vga->crtc[CRTC_UNDERLINE] & UNDERLINE_COUNT_BY_4 ? 2 : 0),
        .font = {vga_font_offset(vga, 0), vga_font_offset(vga, 1)},
        .cursor = vga_crtc_word(vga, CRTC_CURSOR_HIGH) + (vga->crtc[CRTC_CURSOR_END] >> 5 & 3u),
        .cursor_first = vga->crtc[CRTC_CURSOR_START] & ROW_SCAN_MASK,
        .cursor_last = vga->crtc[CRTC_CURSOR_END] & ROW_SCAN_MASK,
    };
    return scan;
}

/* Below the line compare the address counter begins at 0. */
static void split_scan(struct scan *scan)
{
    scan->counter = 0;
    scan->row_scan = 0;
    scan->second = false;
    if (scan->vga->attr[ATTR_MODE] & ATTR_MODE_PANNING_SPLIT) {
        scan->pan = 0;
    }
}

static void next_line(struct scan *scan)
{
    const uint8_t *crtc = scan->vga->crtc;

    if ((crtc[CRTC_MAX_SCAN_LINE] & CRTC_DOUBLE_SCAN) && !scan->second) {
        scan->second = true;
        return;
    }
    scan->second = false;
    if (scan->row_scan == (crtc[CRTC_MAX_SCAN_LINE] & ROW_SCAN_MASK)) {
        scan->row_scan = 0;
        scan->counter += 2u * crtc[CRTC_OFFSET];
    } else {
        scan->row_scan = (scan->row_scan + 1) & ROW_SCAN_MASK;
    }
}

static void draw_screen(struct vga *vga)
{
    struct scan scan = begin_scan(vga);
    unsigned split = vga_crtc_line_compare(vga);

    for (unsigned y = 0; y < vga->picture.surface.height; y++) {
        draw_line(&scan, y);
        if (y == split) {
            split_scan(&scan);
        } else {
            next_line(&scan);
        }
    }
}

/* ---- DISPI modes --------------------------------------------------------------------------------------- */

/* A field of a packed pixel, `bits` wide, as a full byte. */
static uint32_t widen_field(unsigned pixel, unsigned shift, unsigned bits)
{
    unsigned value = pixel >> shift & ((1u << bits) - 1);
    return value << (8 - bits) | value >> (2 * bits - 8);
}

static uint32_t color_555(unsigned pixel)
{
    return widen_field(pixel, 10, 5) << 16 | widen_field(pixel, 5, 5) << 8 | widen_field(pixel, 0, 5);
}

static uint32_t color_565(unsigned pixel)
{
    return widen_field(pixel, 11, 5) << 16 | widen_field(pixel, 5, 6) << 8 | widen_field(pixel, 0, 5);
}

static void convert_line(const struct vga *vga, const uint8_t *from, unsigned width, uint32_t *to)
{
    switch (vga->dispi[DISPI_BPP]) {
    case 15:
        for (unsigned i = 0; i < width; i++) {
            to[i] = color_555(load_le16(from + 2 * i));
        }
        break;
    case 16:
        for (unsigned i = 0; i < width; i++) {
            to[i] = color_565(load_le16(from + 2 * i));
        }
        break;
    case 24:
        for (unsigned i = 0; i < width; i++) {
            to[i] = (uint32_t)from[3 * i + 2] << 16 | (uint32_t)from[3 * i + 1] << 8 | from[3 * i];
        }
        break;
    case 32:
        for (unsigned i = 0; i < width; i++) {
            to[i] = load_le32(from + 4 * i) & 0xffffff;
        }
        break;
    default:
        for (unsigned i = 0; i < width; i++) {
            to[i] = vga->picture.color[from[i]];
        }
        break;
    }
}

/* Does any of these bytes of VRAM lie in a frame that was written? */
static bool bytes_are_dirty(const struct vga *vga, uint32_t offset, uint32_t size)
{
    uint32_t first = offset / PAGE_SIZE, last = (offset + size - 1) / PAGE_SIZE;
    return memchr(vga->picture.dirty + first, true, last - first + 1) != NULL;
}

static void draw_packed(struct vga *vga, bool all)
{
    const uint16_t *r = vga->dispi;
    unsigned bytes = (r[DISPI_BPP] + 7) / 8, pitch = vga_dispi_line_bytes(vga);
    uint32_t offset = r[DISPI_Y_OFFSET] * pitch + r[DISPI_X_OFFSET] * bytes;

    for (unsigned y = 0; y < r[DISPI_YRES]; y++, offset += pitch) {
        if (all || bytes_are_dirty(vga, offset, r[DISPI_XRES] * bytes)) {
            convert_line(vga, vga_vram(vga) + offset, r[DISPI_XRES], vga->picture.line);
            display_surface_put(&vga->picture.surface, y, vga->picture.line);
        }
    }
}

static void draw_dispi_planar(struct vga *vga)
{
    const uint16_t *r = vga->dispi;

    for (unsigned y = 0; y < r[DISPI_YRES]; y++) {
        uint32_t dot = (uint32_t)(r[DISPI_Y_OFFSET] + y) * r[DISPI_VIRT_WIDTH] + r[DISPI_X_OFFSET];
        for (unsigned column = 0; column <= r[DISPI_XRES] / DOTS; column++) {
            draw_planar(vga, vga_planes(vga, dot / DOTS + column), vga->picture.line + column * DOTS);
        }
        display_surface_put(&vga->picture.surface, y, vga->picture.line + dot % DOTS);
    }
}

/* ---- All of it ----------------------------------------------------------------------------------------- */

void vga_draw_size(const struct vga *vga, unsigned *width, unsigned *height)
{
    if (vga_dispi_active(vga)) {
        *width = vga->dispi[DISPI_XRES];
        *height = vga->dispi[DISPI_YRES];
        return;
    }
    unsigned dots = is_text(vga) && !(vga->seq[SEQ_CLOCKING] & CLOCKING_8_DOTS) ? 9 : DOTS;
    *width = vga_crtc_columns(vga) * dots * (vga->seq[SEQ_CLOCKING] & CLOCKING_HALF ? 2 : 1);
    *height = vga_crtc_lines(vga);
}

static void find_colors(struct vga *vga)
{
    for (unsigned i = 0; i < ARRAY_LEN(vga->picture.color); i++) {
        vga->picture.color[i] = vga_dac_color(vga, (uint8_t)i);
    }
    for (unsigned i = 0; i < ARRAY_LEN(vga->picture.pixel_color); i++) {
        vga->picture.pixel_color[i] = vga_attribute_color(vga, i);
    }
}

void vga_draw(struct vga *vga, bool all)
{
    if (all) {
        find_colors(vga);
    }
    if (vga_dispi_linear(vga)) {
        draw_packed(vga, all);
    } else if (vga_dispi_active(vga)) {
        draw_dispi_planar(vga);
    } else {
        draw_screen(vga);
    }
}
