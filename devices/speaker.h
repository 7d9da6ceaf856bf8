/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The PC's speaker: what counter 2 of the i8254 and port 61h drive.
 *
 *   i8254 channel 2 OUT --+
 *                         AND -- speaker -- struct sound_sink
 *   port 61h bit 1 -------+
 *
 * Source: IBM PC/AT Technical Reference, "Speaker". The gate lies with the counter (devices/i8254.c), which says what tone comes out of
 * it; here are the moments.
 *
 * Not modelled: sounds made by software that flips the bits of port 61h itself.
 */
#ifndef DEVICES_SPEAKER_H
#define DEVICES_SPEAKER_H

#include "devices/device.h"
#include "devices/i8254.h"
#include "devices/sound.h"

struct speaker {
    struct device device;
    struct sound_sink sink;
    uint32_t hertz; /* of the tone that sounds; 0: none */
    uint64_t since; /* virtual time at which it began */
};

/* NULL when the host is out of memory. */
struct speaker *speaker_create(struct board *board, struct sound_sink sink);

/* The end that the counter drives. */
struct i8254_speaker speaker_input(struct speaker *speaker);

#endif
