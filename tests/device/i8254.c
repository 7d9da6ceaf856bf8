/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * i8254: modes, latches, gates, IRQ0 and port 61h on the stepped clock.
 */
#include "devices/i8254.h"

#include <criterion/criterion.h>

#include "tests/device/port_fuzz.h"

#define IRQ0 0 /* fake line */

struct bench {
    struct fake_board *fb;
    struct i8254 *pit;
    uint32_t tone;
    unsigned tones;
};

static void note_tone(void *opaque, uint32_t hertz)
{
    struct bench *b = opaque;

    b->tone = hertz;
    b->tones++;
}

static void bench_init(struct bench *b)
{
    *b = (struct bench){.fb = fake_board_create()};
    b->pit = i8254_create(&b->fb->board, fake_line(b->fb, IRQ0),
                          (struct i8254_speaker){.tone = note_tone, .opaque = b});
    cr_assert_not_null(b->pit);
}

/* Move to the first nanosecond of the tick that lies `ticks` after the current one. */
static void step_ticks(struct bench *b, uint64_t ticks)
{
    uint64_t target = muldiv64(clock_now(&b->fb->clock), I8254_HZ, NS_PER_SEC) + ticks;
    uint64_t ns = muldiv64(target, NS_PER_SEC, I8254_HZ);

    clock_step_to(&b->fb->clock, muldiv64(ns, I8254_HZ, NS_PER_SEC) < target ? ns + 1 : ns);
}

static void program(struct bench *b, unsigned channel, unsigned mode, uint16_t count)
{
    fake_outb(b->fb, 0x43, channel << 6 | 0x30 | mode << 1);
    fake_outb(b->fb, 0x40 + channel, count & 0xff);
    fake_outb(b->fb, 0x40 + channel, count >> 8);
}

static uint16_t read_count(struct bench *b, unsigned channel)
{
    uint16_t lsb;

    fake_outb(b->fb, 0x43, channel << 6);
    lsb = fake_inb(b->fb, 0x40 + channel);
    return lsb | fake_inb(b->fb, 0x40 + channel) << 8;
}

static uint8_t read_status(struct bench *b, unsigned channel)
{
    fake_outb(b->fb, 0x43, 0xe0 | 2 << channel);
    return fake_inb(b->fb, 0x40 + channel);
}

static bool out2(struct bench *b)
{
    return fake_inb(b->fb, 0x61) & 0x20;
}

static void set_gate2(struct bench *b, bool gate)
{
    fake_outb(b->fb, 0x61, gate);
}

Test(i8254, mode0_raises_out_n_plus_1_ticks_after_the_count)
{
    struct bench b;

    bench_init(&b);
    program(&b, 0, 0, 100);
    cr_assert_not(b.fb->lines[IRQ0].level);
    step_ticks(&b, 100);
    cr_assert_not(b.fb->lines[IRQ0].level);
    step_ticks(&b, 1);
    cr_assert(b.fb->lines[IRQ0].level);
    cr_assert_eq(read_count(&b, 0), 0);
    step_ticks(&b, 3);
    cr_assert_eq(read_count(&b, 0), 0xfffd, "the count goes on below zero");
    step_ticks(&b, 1000000);
    cr_assert_eq(b.fb->lines[IRQ0].rises, 1);
    program(&b, 0, 0, 10);
    cr_assert_not(b.fb->lines[IRQ0].level, "a new count lowers OUT");
    fake_board_destroy(b.fb);
}

Test(i8254, mode0_first_byte_stops_the_count)
{
    struct bench b;

    bench_init(&b);
    program(&b, 0, 0, 100);
    fake_outb(b.fb, 0x40, 0x10);
    step_ticks(&b, 500);
    cr_assert_eq(b.fb->lines[IRQ0].rises, 0);
    fake_outb(b.fb, 0x40, 0x00);
    step_ticks(&b, 17);
    cr_assert_eq(b.fb->lines[IRQ0].rises, 1);
    fake_board_destroy(b.fb);
}

Test(i8254, mode0_waits_while_gate_is_low)
{
    struct bench b;

    bench_init(&b);
    set_gate2(&b, true);
    program(&b, 2, 0, 100);
    step_ticks(&b, 41);
    set_gate2(&b, false);
    step_ticks(&b, 1000);
    cr_assert_eq(read_count(&b, 2), 60);
    set_gate2(&b, true);
    step_ticks(&b, 59);
    cr_assert_not(out2(&b));
    step_ticks(&b, 1);
    cr_assert(out2(&b));
    fake_board_destroy(b.fb);
}

Test(i8254, mode1_is_a_retriggerable_one_shot)
{
    struct bench b;

    bench_init(&b);
    program(&b, 2, 1, 50);
    cr_assert(out2(&b));
    cr_assert(read_status(&b, 2) & 0x40, "not loaded before the trigger");
    set_gate2(&b, true);
    step_ticks(&b, 1);
    cr_assert_not(out2(&b));
    step_ticks(&b, 30);
    set_gate2(&b, false);
    set_gate2(&b, true);
    step_ticks(&b, 50);
    cr_assert_not(out2(&b), "the second trigger starts again");
    step_ticks(&b, 1);
    cr_assert(out2(&b));
    fake_board_destroy(b.fb);
}

Test(i8254, mode2_reloads_and_pulses_out)
{
    struct bench b;

    bench_init(&b);
    program(&b, 0, 2, 1000);
    cr_assert(b.fb->lines[IRQ0].level);
    step_ticks(&b, 1);
    cr_assert_eq(read_count(&b, 0), 1000);
    step_ticks(&b, 999);
    cr_assert_eq(read_count(&b, 0), 1);
    cr_assert_eq(read_status(&b, 0), 0x34, "OUT is low for the last tick");
    step_ticks(&b, 1);
    cr_assert_eq(read_count(&b, 0), 1000);
    cr_assert_eq(read_status(&b, 0), 0xb4);
    cr_assert_eq(b.fb->lines[IRQ0].rises, 2, "one when the mode was set, one at the reload");
    step_ticks(&b, 5000);
    cr_assert_eq(b.fb->lines[IRQ0].rises, 7);
    fake_board_destroy(b.fb);
}

Test(i8254, mode2_loads_a_new_count_when_the_period_ends)
{
    struct bench b;

    bench_init(&b);
    program(&b, 0, 2, 1000);
    step_ticks(&b, 1 + 400);
    fake_outb(b.fb, 0x40, 0xf4);
    fake_outb(b.fb, 0x40, 0x01);
    cr_assert_eq(read_count(&b, 0), 600);
    cr_assert(read_status(&b, 0) & 0x40);
    step_ticks(&b, 600);
    cr_assert_eq(read_count(&b, 0), 500);
    cr_assert_not(read_status(&b, 0) & 0x40);
    step_ticks(&b, 500 * 7 + 1);
    cr_assert_eq(read_count(&b, 0), 499);
    fake_board_destroy(b.fb);
}

Test(i8254, mode2_gate_stops_and_reloads)
{
    struct bench b;

    bench_init(&b);
    set_gate2(&b, true);
    program(&b, 2, 2, 100);
    step_ticks(&b, 31);
    set_gate2(&b, false);
    step_ticks(&b, 69);
    cr_assert_eq(read_count(&b, 2), 70);
    cr_assert(out2(&b));
    set_gate2(&b, true);
    step_ticks(&b, 1);
    cr_assert_eq(read_count(&b, 2), 100);
    fake_board_destroy(b.fb);
}

Test(i8254, mode3_is_a_square_wave_that_counts_by_two)
{
    struct bench b;

    bench_init(&b);
    set_gate2(&b, true);
    program(&b, 2, 3, 10);
    step_ticks(&b, 1);
    for (unsigned i = 0; i < 25; i++) {
        cr_assert_eq(read_count(&b, 2), 10 - 2 * (i % 5), "tick %u", i);
        cr_assert_eq(out2(&b), i % 10 < 5, "tick %u", i);
        step_ticks(&b, 1);
    }
    fake_board_destroy(b.fb);
}

Test(i8254, mode3_odd_count_is_high_one_tick_longer)
{
    struct bench b;

    bench_init(&b);
    set_gate2(&b, true);
    program(&b, 2, 3, 5);
    step_ticks(&b, 1);
    for (unsigned i = 0; i < 20; i++) {
        static const uint16_t counts[5] = {4, 2, 0, 4, 2};

        cr_assert_eq(read_count(&b, 2), counts[i % 5], "tick %u", i);
        cr_assert_eq(out2(&b), i % 5 < 3, "tick %u", i);
        step_ticks(&b, 1);
    }
    fake_board_destroy(b.fb);
}

Test(i8254, mode3_interrupts_at_18_2_hertz_with_count_zero)
{
    struct bench b;

    bench_init(&b);
    program(&b, 0, 3, 0);
    b.fb->lines[IRQ0].rises = 0;
    fake_step(b.fb, 10 * NS_PER_SEC);
    cr_assert_eq(b.fb->lines[IRQ0].rises, 182);
    fake_board_destroy(b.fb);
}

Test(i8254, mode4_strobes_once)
{
    struct bench b;

    bench_init(&b);
    program(&b, 0, 4, 20);
    step_ticks(&b, 21);
    cr_assert_eq(read_status(&b, 0) & 0x80, 0, "low for the tick after the count ran out");
    cr_assert_eq(b.fb->lines[IRQ0].rises, 1);
    step_ticks(&b, 1);
    cr_assert_eq(read_status(&b, 0) & 0x80, 0x80);
    step_ticks(&b, 200000);
    cr_assert_eq(b.fb->lines[IRQ0].rises, 2);
    fake_board_destroy(b.fb);
}

Test(i8254, mode5_strobes_after_the_gate_rises)
{
    struct bench b;

    bench_init(&b);
    program(&b, 2, 5, 20);
    step_ticks(&b, 100);
    cr_assert(out2(&b));
    set_gate2(&b, true);
    step_ticks(&b, 20);
    cr_assert(out2(&b));
    step_ticks(&b, 1);
    cr_assert_not(out2(&b));
    step_ticks(&b, 1);
    cr_assert(out2(&b));
    fake_board_destroy(b.fb);
}

Test(i8254, modes_6_and_7_are_2_and_3)
{
    struct bench b;

    bench_init(&b);
    program(&b, 0, 6, 100);
    cr_assert_eq(read_status(&b, 0) & 0x0e, 0x04);
    program(&b, 0, 7, 100);
    cr_assert_eq(read_status(&b, 0) & 0x0e, 0x06);
    fake_board_destroy(b.fb);
}

Test(i8254, bcd_counts_in_decimal_digits)
{
    struct bench b;

    bench_init(&b);
    fake_outb(b.fb, 0x43, 0x35); /* mode 2, BCD */
    fake_outb(b.fb, 0x40, 0x00);
    fake_outb(b.fb, 0x40, 0x00); /* 10000 */
    step_ticks(&b, 2);
    cr_assert_eq(read_count(&b, 0), 0x9999);
    step_ticks(&b, 9999);
    cr_assert_eq(read_count(&b, 0), 0x0000);
    fake_outb(b.fb, 0x43, 0x31); /* mode 0, BCD */
    fake_outb(b.fb, 0x40, 0x10);
    fake_outb(b.fb, 0x40, 0x00);
    step_ticks(&b, 12);
    cr_assert_eq(read_count(&b, 0), 0x9999);
    fake_board_destroy(b.fb);
}

Test(i8254, a_latched_count_stands_until_it_is_read)
{
    struct bench b;

    bench_init(&b);
    program(&b, 0, 2, 1000);
    step_ticks(&b, 101);
    fake_outb(b.fb, 0x43, 0x00);
    step_ticks(&b, 50);
    fake_outb(b.fb, 0x43, 0x00); /* a second latch is ignored */
    cr_assert_eq(fake_inb(b.fb, 0x40), 900 & 0xff);
    cr_assert_eq(fake_inb(b.fb, 0x40), 900 >> 8);
    cr_assert_eq(fake_inb(b.fb, 0x40), 850 & 0xff);
    cr_assert_eq(fake_inb(b.fb, 0x40), 850 >> 8);
    fake_board_destroy(b.fb);
}

Test(i8254, read_back_latches_status_and_count_of_several_channels)
{
    struct bench b;

    bench_init(&b);
    program(&b, 0, 2, 1000);
    program(&b, 1, 3, 500);
    step_ticks(&b, 11);
    fake_outb(b.fb, 0x43, 0xc6); /* status and count of 0 and 1 */
    step_ticks(&b, 100);
    cr_assert_eq(fake_inb(b.fb, 0x40), 0xb4);
    cr_assert_eq(fake_inb(b.fb, 0x40), 990 & 0xff);
    cr_assert_eq(fake_inb(b.fb, 0x40), 990 >> 8);
    cr_assert_eq(fake_inb(b.fb, 0x41), 0xb6);
    cr_assert_eq(fake_inb(b.fb, 0x41), 480 & 0xff);
    cr_assert_eq(fake_inb(b.fb, 0x41), 480 >> 8);
    fake_board_destroy(b.fb);
}

Test(i8254, one_byte_access_leaves_the_other_byte_zero)
{
    struct bench b;

    bench_init(&b);
    fake_outb(b.fb, 0x43, 0x14); /* LSB, mode 2 */
    fake_outb(b.fb, 0x40, 0x50);
    step_ticks(&b, 1);
    cr_assert_eq(fake_inb(b.fb, 0x40), 0x50);
    cr_assert_eq(fake_inb(b.fb, 0x40), 0x50);
    fake_outb(b.fb, 0x43, 0x24); /* MSB */
    fake_outb(b.fb, 0x40, 0x50);
    step_ticks(&b, 2);
    cr_assert_eq(fake_inb(b.fb, 0x40), 0x4f);
    cr_assert_eq(fake_inb(b.fb, 0x43), 0xff);
    fake_board_destroy(b.fb);
}

Test(i8254, tiny_periods_do_bounded_work)
{
    struct bench b;

    bench_init(&b);
    for (unsigned mode = 2; mode <= 3; mode++) {
        program(&b, 0, mode, 1);
        b.fb->lines[IRQ0].rises = 0;
        fake_step(b.fb, NS_PER_SEC / 10);
        cr_assert_gt(b.fb->lines[IRQ0].rises, 1000);
        cr_assert_leq(b.fb->lines[IRQ0].rises, 10001);
    }
    fake_board_destroy(b.fb);
}

Test(i8254, a_late_host_gives_one_interrupt)
{
    struct bench b;

    bench_init(&b);
    program(&b, 0, 2, 1193);
    b.fb->lines[IRQ0].rises = 0;
    clock_skip(&b.fb->clock, NS_PER_SEC);
    cr_assert_eq(clock_run_timers(&b.fb->clock), 1);
    cr_assert_eq(b.fb->lines[IRQ0].rises, 1);
    fake_step(b.fb, 2000000);
    cr_assert_eq(b.fb->lines[IRQ0].rises, 3, "back in step");
    fake_board_destroy(b.fb);
}

Test(i8254, port_61_refresh_toggles_and_speaker_tells_its_tone)
{
    struct bench b;
    uint8_t first;

    bench_init(&b);
    first = fake_inb(b.fb, 0x61) & 0x10;
    fake_step(b.fb, 15085);
    cr_assert_neq(fake_inb(b.fb, 0x61) & 0x10, first);
    program(&b, 2, 3, 1193);
    cr_assert_eq(b.tones, 0);
    fake_outb(b.fb, 0x61, 0x03);
    cr_assert_eq(b.tone, 1000);
    cr_assert_eq(fake_inb(b.fb, 0x61) & 0x0f, 0x03);
    program(&b, 2, 3, 2386);
    cr_assert_eq(b.tone, 500);
    fake_outb(b.fb, 0x61, 0xff);
    cr_assert_eq(fake_inb(b.fb, 0x61) & 0xcf, 0x0f, "parity and channel check read 0");
    fake_outb(b.fb, 0x61, 0x01);
    cr_assert_eq(b.tone, 0);
    fake_board_destroy(b.fb);
}

static void target_create(struct fake_board *fb)
{
    cr_assert_not_null(i8254_create(&fb->board, fake_line(fb, IRQ0), (struct i8254_speaker){.tone = NULL}));
}

Test(i8254, keeps_the_device_contract)
{
    static const struct fuzz_target target = {
        .create = target_create,
        .windows = {{.base = 0x40, .size = 4}, {.base = 0x40, .size = 4}, {.base = 0x61, .size = 1}},
        .window_count = 3,
    };

    device_contract_check(&target, 20000);
}

Test(i8254, continues_from_a_snapshot_taken_inside_a_period)
{
    struct bench a, b;

    bench_init(&a);
    bench_init(&b);
    program(&a, 0, 2, 1000);
    step_ticks(&a, 1 + 300);
    fake_outb(a.fb, 0x40, 0x20); /* half of a new count */
    fake_outb(a.fb, 0x43, 0x00); /* and half of a latched read */
    fake_inb(a.fb, 0x40);
    fake_expect_same_after_load(&a.pit->device, &b.pit->device);
    fake_outb(b.fb, 0x40, 0x03);
    cr_assert_eq(fake_inb(b.fb, 0x40), 700 >> 8);
    b.fb->lines[IRQ0].rises = 0;
    b.fb->lines[IRQ0].level = true;
    step_ticks(&b, 700);
    cr_assert_eq(b.fb->lines[IRQ0].rises, 1);
    cr_assert_eq(read_count(&b, 0), 0x320);
    fake_board_destroy(a.fb);
    fake_board_destroy(b.fb);
}
