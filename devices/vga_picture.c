/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * VGA: what must be drawn.
 *
 * The picture depends on some registers (struct vga_look) and on the frames of memory that are visible. A frame that has been
 * drawn is watched; the first write to it fires the watch, marks it dirty and ends the watch, so that a guest
 * pays for one write a frame and update, and for none while nobody looks. An unchanged screen costs a comparison.
 *
 *   clean, watched --write--> dirty --update: drawn--> clean, watched
 *                                   --drawn, but it was dirty HOT updates in a row--> dirty: drawn every time, not watched
 *
 * Hot frames belong to guests that draw all the time. They are given a watch every now and then, to see whether that
 * is still so.
 */
#include "devices/vga.h"

enum { HOT = 4, HOT_UPDATES = 16 };

#define PLANE_FRAMES (4 * VGA_PLANE_SIZE / PAGE_SIZE)
#define TEXT_FRAME   (VGA_VRAM_SIZE / PAGE_SIZE) /* the first one of the text window */
#define TEXT_FRAMES  (VGA_TEXT_SIZE / PAGE_SIZE)
#define CURSOR_BLINK 8u /* frames that the cursor is on, and off */
#define TEXT_BLINK   16u

struct frame_range {
    unsigned first, count;
};

static struct ram *picture_ram(const struct vga *vga)
{
    return vga->device.board->mem->ram;
}

static uint64_t frame_number(const struct vga *vga, unsigned frame)
{
    return (vga->vram >> PAGE_SHIFT) + frame;
}

void vga_picture_written(void *opaque, roff_t roff, uint64_t length)
{
    struct vga *vga = opaque;
    uint64_t frame = (roff - vga->vram) >> PAGE_SHIFT;

    (void)length;
    ram_watch_clear(picture_ram(vga), roff >> PAGE_SHIFT, RAM_WATCH_DISPLAY);
    if (roff >= vga->vram && frame < VGA_FRAMES) {
        vga->picture.dirty[frame] = true;
    }
    vga_touch(vga);
}

void vga_picture_invalidate(struct vga *vga)
{
    vga->picture.valid = false;
    memset(vga->picture.dirty, true, sizeof(vga->picture.dirty));
    memset(vga->picture.heat, 0, sizeof(vga->picture.heat));
    vga_touch(vga);
}

static void watch_frames(const struct vga *vga, unsigned first, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        ram_watch_set(picture_ram(vga), frame_number(vga, first + i), RAM_WATCH_DISPLAY);
    }
}

void vga_picture_watch(struct vga *vga)
{
    watch_frames(vga, 0, PLANE_FRAMES);
    watch_frames(vga, TEXT_FRAME, TEXT_FRAMES);
}

/* ---- The registers ------------------------------------------------------------------------------------ */

static struct vga_look find_look(const struct vga *vga)
{
    enum display_kind kind = vga_kind(vga);
    uint64_t frame = kind == DISPLAY_TEXT ? vga_crtc_frame(vga) : 0;
    struct vga_look look = {
        .clocking = vga->seq[SEQ_CLOCKING],
        .character_map = vga->seq[SEQ_CHARACTER_MAP],
        .gfx_mode = vga->gfx[GFX_MODE] & (MODE_INTERLEAVE | MODE_256),
        .gfx_misc = vga->gfx[GFX_MISC] & GFX_MISC_GRAPHICS,
        .dac_mask = vga->dac_mask,
        .blank = kind == DISPLAY_BLANK,
        .cursor_on = !(vga->crtc[CRTC_CURSOR_START] & CRTC_CURSOR_OFF) && frame / CURSOR_BLINK % 2 == 0,
        .blink_on = !(vga->attr[ATTR_MODE] & ATTR_MODE_BLINK) || frame / TEXT_BLINK % 2 == 0,
    };

    memcpy(look.dispi, vga->dispi, sizeof(look.dispi));
    look.dispi[DISPI_BANK] = 0;
    memcpy(look.crtc, vga->crtc, sizeof(look.crtc));
    memcpy(look.attr, vga->attr, sizeof(look.attr));
    memcpy(look.palette, vga->palette, sizeof(look.palette));
    return look;
}

_Static_assert(sizeof(struct vga_look) ==
                   2 * DISPI_COUNT + VGA_CRTC_COUNT + VGA_ATTR_COUNT + VGA_PALETTE_SIZE + 8,
               "struct vga_look is compared as bytes");

/* ---- The memory ---------------------------------------------------------------------------------------- */

/* Frames that the picture is drawn from; up to two ranges. */
static unsigned find_ranges(const struct vga *vga, struct frame_range range[2])
{
    if (!vga_dispi_active(vga)) {
        range[0] = (struct frame_range){0, PLANE_FRAMES};
        range[1] = (struct frame_range){TEXT_FRAME, TEXT_FRAMES};
        return vga->window_kind == VGA_WINDOW_TEXT ? 2 : 1;
    }
    uint32_t pitch = vga_dispi_line_bytes(vga);
    uint32_t first = vga->dispi[DISPI_Y_OFFSET] * pitch / PAGE_SIZE;
    uint32_t end = (uint32_t)(vga->dispi[DISPI_Y_OFFSET] + vga->dispi[DISPI_YRES]) * pitch;
    range[0] = (struct frame_range){first, MIN((end + PAGE_SIZE - 1) / PAGE_SIZE, TEXT_FRAME) - first};
    return 1;
}

static bool any_dirty(const struct vga *vga, const struct frame_range *range, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (memchr(vga->picture.dirty + range[i].first, true, range[i].count)) {
            return true;
        }
    }
    return false;
}

/* A dirty frame has been drawn. Text is left to watches alone, for those who read it as text. */
static void settle_dirty(struct vga *vga, unsigned frame, bool may_be_hot)
{
    uint8_t *heat = &vga->picture.heat[frame];

    *heat = (uint8_t)(*heat + may_be_hot);
    if (*heat >= HOT + HOT_UPDATES) {
        *heat = HOT - 1;
    }
    if (*heat < HOT) {
        ram_watch_set(picture_ram(vga), frame_number(vga, frame), RAM_WATCH_DISPLAY);
        vga->picture.dirty[frame] = false;
    }
}

static void settle(struct vga *vga, const struct frame_range *range, unsigned count)
{
    bool may_be_hot = vga_kind(vga) == DISPLAY_GRAPHICS;

    for (unsigned i = 0; i < count; i++) {
        for (unsigned frame = range[i].first; frame < range[i].first + range[i].count; frame++) {
            if (vga->picture.dirty[frame]) {
                settle_dirty(vga, frame, may_be_hot);
            } else {
                vga->picture.heat[frame] = 0;
            }
        }
    }
}

/* ---- Updating ------------------------------------------------------------------------------------------ */

static void draw_blank(struct vga *vga)
{
    struct display_surface *surface = &vga->picture.surface;

    memset(vga->picture.line, 0, sizeof(vga->picture.line));
    for (unsigned y = 0; y < surface->height; y++) {
        display_surface_put(surface, y, vga->picture.line);
    }
}

/* A screen that is switched off keeps its size. */
static bool find_size(struct vga *vga, bool blank)
{
    struct display_surface *surface = &vga->picture.surface;
    unsigned width, height;

    if (blank && surface->width) {
        return true;
    }
    vga_draw_size(vga, &width, &height);
    return display_surface_resize(surface, width, height);
}

const struct display_surface *vga_picture_update(void *opaque)
{
    struct vga *vga = opaque;
    struct vga_picture *picture = &vga->picture;
    struct vga_look look = find_look(vga);
    bool all = !picture->valid || memcmp(&look, &picture->look, sizeof(look)) != 0;
    struct frame_range range[2];
    unsigned count = find_ranges(vga, range);

    if (!all && (look.blank || !any_dirty(vga, range, count))) {
        return &picture->surface;
    }
    if (!find_size(vga, look.blank)) {
        return NULL;
    }
    picture->look = look;
    picture->valid = true;
    if (look.blank) {
        draw_blank(vga);
    } else {
        vga_window_pull(vga);
        vga_draw(vga, all);
        settle(vga, range, count);
    }
    display_surface_commit(&picture->surface);
    return &picture->surface;
}
