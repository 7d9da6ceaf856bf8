/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The status strip of a VM's window: lights, speed, share of the processor, state, and the last message.
 */
#ifndef UI_STRIP_H
#define UI_STRIP_H

#include "ui/canvas.h"
#include "ui/exchange.h"

enum strip_light { STRIP_DISK, STRIP_FLOPPY, STRIP_CD, STRIP_NET, STRIP_LIGHTS };

struct strip {
    bool has[STRIP_LIGHTS], lit[STRIP_LIGHTS];
    unsigned mips, cpu_percent;
    enum vm_state life;
    bool grabbed;
    const char *message; /* or a hint */
};

/* "Running", "Paused", "Stopped". */
const char *strip_life_text(enum vm_state life);
uint32_t strip_life_color(enum vm_state life);
void strip_draw(const struct strip *strip, const struct canvas *canvas, struct box box, unsigned percent);

#endif
