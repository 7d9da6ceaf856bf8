/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The screen as a picture file.
 */
#ifndef MONITOR_SCREENDUMP_H
#define MONITOR_SCREENDUMP_H

#include "base/error.h"
#include "devices/display.h"

/* Write what the display shows now: as PPM when the name ends in ".ppm", else as PNG. -errno with text that names the
 * file; a file that could not be written whole is removed. */
int screendump_write(const struct display *display, const char *path, struct error *error);

#endif
