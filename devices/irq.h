/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Interrupt (and other) lines: two words, a function and its object. Whoever owns the input end fills one
 * in; the device at the output end copies it by value and calls line_set() on level changes.
 */
#ifndef DEVICES_IRQ_H
#define DEVICES_IRQ_H

#include "base/types.h"

struct line {
    void (*set)(void *opaque, unsigned number, bool level);
    void *opaque;
    unsigned number;
};

/* An unconnected line is all zero: setting it does nothing. */
static inline void line_set(const struct line *line, bool level)
{
    if (line->set) {
        line->set(line->opaque, line->number, level);
    }
}

static inline void line_pulse(const struct line *line)
{
    line_set(line, true);
    line_set(line, false);
}

#endif
