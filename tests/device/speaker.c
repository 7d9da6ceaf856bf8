/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The speaker behind counter 2 and port 61h: tones and their moments.
 */
#include "devices/speaker.h"

#include <criterion/criterion.h>

#include "tests/device/port_fuzz.h"

struct heard {
    unsigned calls;
    uint64_t time;
    uint32_t hertz;
};

static void hear(void *opaque, uint64_t time, uint32_t hertz)
{
    struct heard *heard = opaque;
    cr_assert_geq(time, heard->time, "time does not go back");
    *heard = (struct heard){.calls = heard->calls + 1, .time = time, .hertz = hertz};
}

static const struct sound_ops hear_ops = {.square = hear};

static void target_create(struct fake_board *fb)
{
    struct sound_sink sink = {.ops = NULL};
    struct speaker *speaker = speaker_create(&fb->board, sink);
    cr_assert_not_null(speaker);
    cr_assert_not_null(i8254_create(&fb->board, fake_line(fb, 0), speaker_input(speaker)));
}

static struct fake_board *machine_create(struct heard *heard)
{
    struct fake_board *fb = fake_board_create();
    struct speaker *speaker =
        speaker_create(&fb->board, (struct sound_sink){.ops = &hear_ops, .opaque = heard});
    cr_assert_not_null(speaker);
    cr_assert_not_null(i8254_create(&fb->board, fake_line(fb, 0), speaker_input(speaker)));
    return fb;
}

static void set_count(struct fake_board *fb, uint16_t count)
{
    fake_outb(fb, 0x43, 0xb6);
    fake_outb(fb, 0x42, (uint8_t)count);
    fake_outb(fb, 0x42, (uint8_t)(count >> 8));
}

Test(speaker, a_beep_has_a_pitch_a_beginning_and_an_end)
{
    struct heard heard = {0};
    struct fake_board *fb = machine_create(&heard);
    set_count(fb, 1193);
    cr_assert_eq(heard.calls, 0, "the gate is closed");
    fake_step(fb, 1000000);
    fake_outb(fb, 0x61, 3);
    cr_assert_eq(heard.calls, 1);
    cr_assert_eq(heard.hertz, 1000);
    cr_assert_eq(heard.time, 1000000);
    fake_step(fb, 250000000);
    cr_assert_eq(heard.calls, 1);
    fake_outb(fb, 0x61, 0);
    cr_assert_eq(heard.hertz, 0);
    cr_assert_eq(heard.time, 251000000);
    fake_board_destroy(fb);
}

Test(speaker, counter_and_port_must_both_agree)
{
    struct heard heard = {0};
    struct fake_board *fb = machine_create(&heard);
    set_count(fb, 2386);
    fake_outb(fb, 0x61, 1);
    cr_assert_eq(heard.calls, 0, "speaker data off");
    fake_outb(fb, 0x61, 2);
    cr_assert_eq(heard.calls, 0, "gate off");
    fake_outb(fb, 0x61, 3);
    cr_assert_eq(heard.hertz, 500);
    set_count(fb, 11932);
    cr_assert_eq(heard.hertz, 99);
    board_reset_devices(&fb->board);
    cr_assert_eq(heard.hertz, 0);
    fake_board_destroy(fb);
}

Test(speaker, a_tone_goes_on_after_a_load)
{
    struct heard heard = {0}, other_heard = {0};
    struct fake_board *fb = machine_create(&heard), *other = machine_create(&other_heard);
    set_count(fb, 1193);
    fake_outb(fb, 0x61, 3);
    for (struct device *a = fb->board.devices, *b = other->board.devices; a; a = a->next, b = b->next) {
        fake_expect_same_after_load(a, b);
    }
    cr_assert_eq(other_heard.hertz, 1000);
    fake_outb(other, 0x61, 0);
    cr_assert_eq(other_heard.hertz, 0);
    fake_board_destroy(fb);
    fake_board_destroy(other);
}

static const struct fuzz_target target = {.create = target_create,
                                          .windows = {{.base = 0x40, .size = 4}, {.base = 0x61, .size = 1}},
                                          .window_count = 2};

Test(speaker, keeps_the_device_contract)
{
    device_contract_check(&target, 4000);
}
