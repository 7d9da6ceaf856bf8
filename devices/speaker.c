/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The PC's speaker; see speaker.h.
 */
#include "devices/speaker.h"

#include <stdlib.h>

static void set_tone(void *opaque, uint32_t hertz)
{
    struct speaker *speaker = opaque;

    if (hertz != speaker->hertz) {
        speaker->hertz = hertz;
        speaker->since = clock_now(speaker->device.board->clock);
        sound_square(&speaker->sink, speaker->since, hertz);
    }
}

struct i8254_speaker speaker_input(struct speaker *speaker)
{
    return (struct i8254_speaker){.tone = set_tone, .opaque = speaker};
}

static void speaker_reset(struct device *device)
{
    struct speaker *speaker = CONTAINER_OF(device, struct speaker, device);

    set_tone(speaker, 0);
    speaker->since = 0;
}

static void speaker_fini(struct device *device)
{
    struct speaker *speaker = CONTAINER_OF(device, struct speaker, device);

    sound_square(&speaker->sink, clock_now(device->board->clock), 0);
    free(speaker);
}

static const struct snap_field speaker_fields[] = {
    SNAP_UINT(struct speaker, hertz),
    SNAP_UINT(struct speaker, since),
};

/* The listener has heard another machine until now. */
static int speaker_post_load(void *object, struct error *error)
{
    struct speaker *speaker = object;

    (void)error;
    sound_square(&speaker->sink, clock_now(speaker->device.board->clock), speaker->hertz);
    return 0;
}

static const struct snap_desc speaker_snap = {
    .name = "speaker", .version = 1, SNAP_FIELDS(speaker_fields), .post_load = speaker_post_load};

static const struct device_ops speaker_ops = {
    .name = "speaker", .reset = speaker_reset, .fini = speaker_fini, .snap = &speaker_snap};

struct speaker *speaker_create(struct board *board, struct sound_sink sink)
{
    struct speaker *speaker = calloc(1, sizeof(*speaker));

    if (!speaker) {
        return NULL;
    }
    speaker->sink = sink;
    device_init(&speaker->device, &speaker_ops, board, NULL);
    return speaker;
}
