/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Where things are in a window. See ui/layout.h.
 */
#include "ui/layout.h"

enum { STRIP_PADDING = 3 };

int layout_strip_height(unsigned percent)
{
    return canvas_line_height(percent) + 2 * (int)(STRIP_PADDING * percent / 100);
}

/* The largest size of the guest's aspect in this room. */
static struct box fit(int width, int height, unsigned guest_width, unsigned guest_height, bool integer)
{
    struct box box = {.width = width, .height = height};
    int factor = MIN(width / (int)guest_width, height / (int)guest_height);

    if (integer && factor >= 1) {
        box.width = factor * (int)guest_width;
        box.height = factor * (int)guest_height;
    } else if ((uint64_t)width * guest_height > (uint64_t)height * guest_width) {
        box.width = (int)((uint64_t)height * guest_width / guest_height);
    } else {
        box.height = (int)((uint64_t)width * guest_height / guest_width);
    }
    box.width = MAX(box.width, 1);
    box.height = MAX(box.height, 1);
    box.x = (width - box.width) / 2;
    box.y = (height - box.height) / 2;
    return box;
}

struct layout layout_make(unsigned width, unsigned height, unsigned guest_width, unsigned guest_height,
                          unsigned percent, bool integer)
{
    int strip = MIN(layout_strip_height(percent), (int)height);
    int room = (int)height - strip;
    struct layout layout = {.strip = {0, room, (int)width, strip}};

    if (guest_width > 0 && guest_height > 0 && room > 0 && width > 0) {
        layout.guest = fit((int)width, room, guest_width, guest_height, integer);
    }
    return layout;
}

void layout_window_size(unsigned guest_width, unsigned guest_height, unsigned percent, unsigned strip_percent,
                        unsigned *width, unsigned *height)
{
    *width = guest_width * percent / 100;
    *height = guest_height * percent / 100 + (unsigned)layout_strip_height(strip_percent);
}

static uint16_t scale_position(int at, int from, int size)
{
    int64_t inside = MIN(MAX(at - from, 0), size - 1);

    return size > 1 ? (uint16_t)(inside * 65535 / (size - 1)) : 0;
}

bool layout_position(const struct layout *layout, int x, int y, uint16_t *guest_x, uint16_t *guest_y)
{
    if (box_is_empty(layout->guest)) {
        return false;
    }
    *guest_x = scale_position(x, layout->guest.x, layout->guest.width);
    *guest_y = scale_position(y, layout->guest.y, layout->guest.height);
    return true;
}
