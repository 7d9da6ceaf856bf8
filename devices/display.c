/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The surface that adapters draw on, and who has seen what of it.
 *
 * Rows carry the serial number of the update that last changed them. A front end remembers one number, however many
 * front ends there are, and nothing has to be handed back or cleared. Changes are known by the row: finer rectangles
 * would cost more to find than a texture upload of whole rows does.
 */
#include "devices/display.h"

#include <stdlib.h>

/* Rows stamped before the commit carry the serial that it will give out. */
static uint64_t next_serial(const struct display_surface *surface)
{
    return surface->serial + 1;
}

static bool reserve(struct display_surface *surface, size_t pixels, unsigned rows)
{
    if (pixels > surface->capacity) {
        uint32_t *grown = realloc(surface->pixel, pixels * sizeof(*grown));
        if (!grown) {
            return false;
        }
        surface->pixel = grown;
        surface->capacity = pixels;
    }
    if (rows > surface->row_capacity) {
        uint64_t *grown = realloc(surface->line_serial, rows * sizeof(*grown));
        if (!grown) {
            return false;
        }
        surface->line_serial = grown;
        surface->row_capacity = rows;
    }
    return true;
}

bool display_surface_resize(struct display_surface *surface, unsigned width, unsigned height)
{
    width = MIN(MAX(width, 1u), DISPLAY_MAX_WIDTH);
    height = MIN(MAX(height, 1u), DISPLAY_MAX_HEIGHT);
    if (width == surface->width && height == surface->height) {
        return true;
    }
    if (!reserve(surface, (size_t)width * height, height)) {
        return false;
    }
    surface->width = width;
    surface->height = height;
    surface->resized = next_serial(surface);
    memset(surface->pixel, 0, (size_t)width * height * sizeof(*surface->pixel));
    for (unsigned y = 0; y < height; y++) {
        surface->line_serial[y] = surface->resized;
    }
    return true;
}

void display_surface_put(struct display_surface *surface, unsigned y, const uint32_t *pixels)
{
    uint32_t *row = surface->pixel + (size_t)y * surface->width;
    size_t size = surface->width * sizeof(*row);

    if (memcmp(row, pixels, size) != 0) {
        memcpy(row, pixels, size);
        surface->line_serial[y] = next_serial(surface);
    }
}

void display_surface_commit(struct display_surface *surface)
{
    for (unsigned y = 0; y < surface->height; y++) {
        if (surface->line_serial[y] > surface->serial) {
            surface->serial = next_serial(surface);
            return;
        }
    }
}

void display_surface_fini(struct display_surface *surface)
{
    free(surface->pixel);
    free(surface->line_serial);
    *surface = (struct display_surface){0};
}

/* The first row from y on that changed after `since` (or did not); height: none. */
static unsigned find_row(const struct display_surface *surface, unsigned y, uint64_t since, bool changed)
{
    while (y < surface->height && (surface->line_serial[y] > since) != changed) {
        y++;
    }
    return y;
}

unsigned display_dirty(const struct display_surface *surface, uint64_t since, struct display_rect *rects,
                       unsigned max)
{
    unsigned count = 0;

    if (since >= surface->serial) {
        return 0;
    }
    for (unsigned y = find_row(surface, 0, since, true); y < surface->height;) {
        unsigned end = find_row(surface, y, since, false);
        struct display_rect *last = count == max ? &rects[max - 1] : NULL;

        if (last) { /* no room: the last one grows */
            last->height = end - last->y;
        } else {
            rects[count++] = (struct display_rect){.y = y, .width = surface->width, .height = end - y};
        }
        y = find_row(surface, end, since, true);
    }
    return count;
}
