/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Where things are in a VM's window, and which place of the guest's screen the pointer is on.
 *
 *   +---------------------------+
 *   |  +---------------------+  |   the guest's screen keeps its aspect (or whole pixels: 1x, 2x, ...), centred;
 *   |  |        guest        |  |   the rest is black
 *   |  +---------------------+  |
 *   +---------------------------+
 *   | lights  MIPS  CPU  state  |   the status strip, also in full screen
 *   +---------------------------+
 *
 * All in pixels of the host's screen.
 */
#ifndef UI_LAYOUT_H
#define UI_LAYOUT_H

#include "ui/canvas.h"

enum { LAYOUT_SCALE_MIN = 25, LAYOUT_SCALE_MAX = 800 };

struct layout {
    struct box guest, strip;
};

/* A window of `width` x `height` for a guest's screen of guest_width x guest_height (0 x 0: there is none). `percent` is the
 * strip's scale. `integer`: a multiple of the guest's pixels, if that fits. */
struct layout layout_make(unsigned width, unsigned height, unsigned guest_width, unsigned guest_height,
                          unsigned percent, bool integer);
/* The window that shows the guest's screen at `percent` of its size, and the strip at strip_percent. */
void layout_window_size(unsigned guest_width, unsigned guest_height, unsigned percent, unsigned strip_percent,
                        unsigned *width, unsigned *height);
int layout_strip_height(unsigned percent);

/* The position of a window's pixel on the guest's screen, 0..65535 each way; beyond the edge: at the edge. False: there is no
 * screen. */
bool layout_position(const struct layout *layout, int x, int y, uint16_t *guest_x, uint16_t *guest_y);

#endif
