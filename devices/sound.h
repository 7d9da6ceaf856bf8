/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Sound on its way out of a guest: what a sound device calls, and whoever plays or records sound implements.
 *
 * Times are those of the VM's virtual clock, in nanoseconds, and never go back: a listener turns the changes into samples at a
 * rate of its own. All calls come from the VM's thread.
 */
#ifndef DEVICES_SOUND_H
#define DEVICES_SOUND_H

#include "base/types.h"

struct sound_ops {
    /* From `time` on: a square wave of so many hertz; 0: silence. */
    void (*square)(void *opaque, uint64_t time, uint32_t hertz);
};

struct sound_sink {
    const struct sound_ops *ops; /* NULL: nobody listens */
    void *opaque;
};

static inline void sound_square(const struct sound_sink *sink, uint64_t time, uint32_t hertz)
{
    if (sink->ops && sink->ops->square) {
        sink->ops->square(sink->opaque, time, hertz);
    }
}

#endif
