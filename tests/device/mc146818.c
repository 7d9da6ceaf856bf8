/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * mc146818: time and date, update cycle, alarm, periodic rate, CMOS RAM.
 */
#include "devices/mc146818.h"

#include <criterion/criterion.h>

#include "tests/device/port_fuzz.h"

#define IRQ8 0 /* fake line */
#define A    0x0a
#define B    0x0b
#define C    0x0c
#define D    0x0d
#define MS   1000000ull

/* 2024-02-28 23:59:58 UTC, a Wednesday. */
#define START 1709164798

struct bench {
    struct fake_board *fb;
    struct mc146818 *rtc;
};

static struct bench bench_create(int64_t start)
{
    struct bench b = {.fb = fake_board_create()};

    b.rtc = mc146818_create(&b.fb->board, fake_line(b.fb, IRQ8), start);
    cr_assert_not_null(b.rtc);
    return b;
}

static uint8_t get(struct bench *b, uint8_t index)
{
    fake_outb(b->fb, 0x70, index);
    return fake_inb(b->fb, 0x71);
}

static void put(struct bench *b, uint8_t index, uint8_t value)
{
    fake_outb(b->fb, 0x70, index);
    fake_outb(b->fb, 0x71, value);
}

/* hh:mm:ss as the registers hold them. */
static uint32_t get_time(struct bench *b)
{
    return get(b, 4) << 16 | get(b, 2) << 8 | get(b, 0);
}

/* ccyymmdd as the registers hold them. */
static uint32_t get_date(struct bench *b)
{
    return (uint32_t)get(b, 0x32) << 24 | get(b, 9) << 16 | get(b, 8) << 8 | get(b, 7);
}

Test(mc146818, shows_the_start_time_in_bcd)
{
    struct bench b = bench_create(START);

    cr_assert_eq(get_time(&b), 0x235958);
    cr_assert_eq(get_date(&b), 0x20240228);
    cr_assert_eq(get(&b, 6), 4, "Wednesday");
    cr_assert_eq(get(&b, D), 0x80);
    cr_assert_eq(fake_inb(b.fb, 0x70), 0xff);
    fake_board_destroy(b.fb);
}

Test(mc146818, runs_over_midnight_and_leap_day)
{
    struct bench b = bench_create(START);

    fake_step(b.fb, 2 * NS_PER_SEC);
    cr_assert_eq(get_time(&b), 0x000000);
    cr_assert_eq(get_date(&b), 0x20240229);
    cr_assert_eq(get(&b, 6), 5);
    fake_step(b.fb, 86400 * NS_PER_SEC);
    cr_assert_eq(get_date(&b), 0x20240301);
    fake_step(b.fb, 306 * 86400 * NS_PER_SEC);
    cr_assert_eq(get_date(&b), 0x20250101);
    fake_board_destroy(b.fb);
}

Test(mc146818, knows_the_century_rules)
{
    struct bench b = bench_create(4107542399); /* 2100-02-28 23:59:59 */

    cr_assert_eq(get_date(&b), 0x21000228);
    fake_step(b.fb, NS_PER_SEC);
    cr_assert_eq(get_date(&b), 0x21000301);
    fake_board_destroy(b.fb);
}

Test(mc146818, survives_absurd_start_times)
{
    static const int64_t starts[] = {INT64_MIN, -1, 0, 253402300799, INT64_MAX};

    for (unsigned i = 0; i < ARRAY_LEN(starts); i++) {
        struct bench b = bench_create(starts[i]);

        fake_step(b.fb, 3 * NS_PER_SEC);
        cr_assert_leq(get(&b, 0), 0x59);
        cr_assert_leq(get(&b, 7), 0x31);
        fake_board_destroy(b.fb);
    }
}

Test(mc146818, binary_and_12_hour_formats)
{
    struct bench b = bench_create(START - 10 * 3600); /* 13:59:58 */

    put(&b, B, 0x82); /* hold the time while the format changes */
    put(&b, B, 0x84); /* binary, 12 hours */
    put(&b, 4, 0x80 | 12);
    put(&b, 2, 59);
    put(&b, 0, 58);
    put(&b, B, 0x04);
    cr_assert_eq(get(&b, 4), 0x80 | 12, "noon is 12 PM");
    fake_step(b.fb, 2 * NS_PER_SEC);
    cr_assert_eq(get(&b, 4), 0x80 | 1);
    cr_assert_eq(get(&b, 2), 0);
    fake_step(b.fb, 11 * 3600 * NS_PER_SEC);
    cr_assert_eq(get(&b, 4), 12, "midnight is 12 AM");
    fake_board_destroy(b.fb);
}

Test(mc146818, set_holds_the_time_and_takes_a_new_one)
{
    struct bench b = bench_create(START);

    put(&b, B, 0x82);
    fake_step(b.fb, 5 * NS_PER_SEC);
    cr_assert_eq(get_time(&b), 0x235958);
    put(&b, 0, 0x30);
    put(&b, 2, 0x45);
    put(&b, 4, 0x12);
    put(&b, 7, 0x31);
    put(&b, 8, 0x12);
    put(&b, 9, 0x99);
    put(&b, 0x32, 0x19);
    put(&b, 6, 0x03);
    put(&b, B, 0x02);
    cr_assert_eq(get_time(&b), 0x124530);
    cr_assert_eq(get_date(&b), 0x19991231);
    cr_assert_eq(get(&b, 6), 3, "the day of the week is what was written");
    fake_step(b.fb, 12 * 3600 * NS_PER_SEC);
    cr_assert_eq(get_date(&b), 0x20000101);
    cr_assert_eq(get(&b, 6), 4);
    fake_board_destroy(b.fb);
}

Test(mc146818, an_impossible_date_becomes_a_possible_one)
{
    struct bench b = bench_create(START);

    put(&b, B, 0x82);
    put(&b, 7, 0x31);
    put(&b, 8, 0x02);
    put(&b, 0, 0xff);
    put(&b, 2, 0x6b);
    cr_assert_eq(get(&b, 0), 0xff, "held registers are just memory");
    put(&b, B, 0x02);
    cr_assert_eq(get_date(&b), 0x20240229);
    cr_assert_eq(get_time(&b), 0x235959);
    fake_board_destroy(b.fb);
}

Test(mc146818, uip_precedes_every_update)
{
    struct bench b = bench_create(START);

    fake_step(b.fb, 497 * MS);
    cr_assert_eq(get(&b, A), 0x26);
    fake_step(b.fb, 1 * MS);
    cr_assert_eq(get(&b, A), 0xa6);
    cr_assert_eq(get(&b, 0), 0x58);
    fake_step(b.fb, 2 * MS);
    cr_assert_eq(get(&b, A), 0x26);
    cr_assert_eq(get(&b, 0), 0x59);
    put(&b, B, 0x82);
    fake_step(b.fb, 999 * MS);
    cr_assert_eq(get(&b, A), 0x26, "SET inhibits updates");
    fake_board_destroy(b.fb);
}

Test(mc146818, divider_reset_delays_the_first_update_by_half_a_second)
{
    struct bench b = bench_create(START);

    put(&b, A, 0x76);
    fake_step(b.fb, 10 * NS_PER_SEC + 123 * MS);
    cr_assert_eq(get(&b, 0), 0x58);
    put(&b, A, 0x26);
    fake_step(b.fb, 499 * MS);
    cr_assert_eq(get(&b, 0), 0x58);
    fake_step(b.fb, 1 * MS);
    cr_assert_eq(get(&b, 0), 0x59);
    fake_board_destroy(b.fb);
}

Test(mc146818, update_ended_interrupt_comes_every_second)
{
    struct bench b = bench_create(START + 60); /* past the alarm at 00:00:00 */

    get(&b, C);
    fake_step(b.fb, NS_PER_SEC + 500 * MS);
    cr_assert_eq(get(&b, C), 0x50, "UF and PF rise without being enabled, IRQF does not");
    put(&b, B, 0x12);
    for (unsigned i = 0; i < 3; i++) {
        fake_step(b.fb, 999 * MS);
        cr_assert_not(b.fb->lines[IRQ8].level);
        fake_step(b.fb, 1 * MS);
        cr_assert(b.fb->lines[IRQ8].level);
        cr_assert_eq(get(&b, C), 0xd0);
        cr_assert_not(b.fb->lines[IRQ8].level);
        cr_assert_eq(get(&b, C), 0x00);
    }
    fake_step(b.fb, 100 * NS_PER_SEC);
    cr_assert_eq(b.fb->lines[IRQ8].rises, 4, "the line stays up until C is read");
    put(&b, B, 0x92);
    cr_assert_eq(get(&b, B), 0x82, "SET clears UIE");
    fake_board_destroy(b.fb);
}

Test(mc146818, periodic_interrupt_follows_the_rate)
{
    static const struct {
        uint8_t rs;
        unsigned hertz;
    } rates[] = {{1, 256}, {2, 128}, {3, 8192}, {6, 1024}, {8, 256}, {15, 2}};

    for (unsigned i = 0; i < ARRAY_LEN(rates); i++) {
        struct bench b = bench_create(START);
        unsigned count = 0;

        put(&b, A, 0x20 | rates[i].rs);
        put(&b, B, 0x42);
        while (clock_next_deadline(&b.fb->clock) <= NS_PER_SEC) {
            clock_step_to(&b.fb->clock, clock_next_deadline(&b.fb->clock));
            cr_assert(b.fb->lines[IRQ8].level);
            cr_assert_eq(get(&b, C) & 0xc0, 0xc0);
            count++;
        }
        cr_assert_eq(count, rates[i].hertz, "rate %u: %u", rates[i].rs, count);
        fake_board_destroy(b.fb);
    }
}

Test(mc146818, rate_zero_is_silent)
{
    struct bench b = bench_create(START);

    put(&b, A, 0x20);
    get(&b, C);
    put(&b, B, 0x42);
    fake_step(b.fb, 5 * NS_PER_SEC);
    cr_assert_eq(b.fb->lines[IRQ8].rises, 0);
    cr_assert_not(get(&b, C) & 0x40);
    fake_board_destroy(b.fb);
}

Test(mc146818, alarm_matches_and_wildcards)
{
    struct bench b = bench_create(START);

    put(&b, 1, 0x05);
    put(&b, 3, 0x01);
    put(&b, 5, 0x00);
    put(&b, B, 0x22);
    fake_step(b.fb, 66 * NS_PER_SEC); /* 00:01:04 */
    cr_assert_not(b.fb->lines[IRQ8].level);
    fake_step(b.fb, NS_PER_SEC);
    cr_assert(b.fb->lines[IRQ8].level);
    cr_assert_eq(get(&b, C) & 0xa0, 0xa0);
    put(&b, 5, 0xff);
    put(&b, 3, 0xc0);
    fake_step(b.fb, 59 * NS_PER_SEC);
    cr_assert_not(b.fb->lines[IRQ8].level);
    fake_step(b.fb, NS_PER_SEC);
    cr_assert(b.fb->lines[IRQ8].level, "every minute");
    get(&b, C);
    put(&b, 1, 0x75); /* can never match */
    fake_step(b.fb, 86400 * NS_PER_SEC);
    cr_assert_not(b.fb->lines[IRQ8].level);
    cr_assert_not(get(&b, C) & 0x20);
    fake_board_destroy(b.fb);
}

Test(mc146818, alarm_flag_rises_without_an_interrupt)
{
    struct bench b = bench_create(START);

    put(&b, 1, 0x00);
    put(&b, 3, 0x00);
    put(&b, 5, 0x12);
    get(&b, C);
    fake_step(b.fb, 12 * 3600 * NS_PER_SEC);
    cr_assert_not(get(&b, C) & 0x20);
    fake_step(b.fb, 3 * NS_PER_SEC);
    cr_assert(get(&b, C) & 0x20);
    fake_board_destroy(b.fb);
}

Test(mc146818, cmos_survives_reset_and_interrupts_do_not)
{
    struct bench b = bench_create(START);

    mc146818_set_cmos(b.rtc, 0x10, 0x40);
    mc146818_set_cmos(b.rtc, 0xf0, 0x77);
    mc146818_set_cmos(b.rtc, 0x0b, 0xff);
    put(&b, 0x7f, 0x5a);
    fake_outb(b.fb, 0x72, 0x70);
    cr_assert_eq(fake_inb(b.fb, 0x73), 0x77);
    fake_outb(b.fb, 0x73, 0x78);
    put(&b, 0x8f, 0x05);
    cr_assert(mc146818_nmi_masked(b.rtc));
    put(&b, B, 0x7a);
    fake_step(b.fb, NS_PER_SEC);
    cr_assert(b.fb->lines[IRQ8].level);
    board_reset_devices(&b.fb->board);
    cr_assert_not(b.fb->lines[IRQ8].level);
    cr_assert_not(mc146818_nmi_masked(b.rtc));
    cr_assert_eq(get(&b, B), 0x02);
    cr_assert_eq(get(&b, C), 0);
    cr_assert_eq(get(&b, 0x10), 0x40);
    cr_assert_eq(get(&b, 0x7f), 0x5a);
    cr_assert_eq(get(&b, 0x0f), 0x05, "the shutdown byte is what reset handlers look at");
    cr_assert_eq(mc146818_get_cmos(b.rtc, 0xf0), 0x78);
    cr_assert_eq(get(&b, 0), 0x59, "and the clock runs on");
    fake_board_destroy(b.fb);
}

static void target_create(struct fake_board *fb)
{
    cr_assert_not_null(mc146818_create(&fb->board, fake_line(fb, IRQ8), START));
}

/* Mostly the clock registers, not the RAM. */
static void target_poke(struct fake_board *fb, uint64_t random)
{
    fake_outb(fb, 0x70, random % 16);
    if (random & 0x100) {
        fake_outb(fb, 0x71, random >> 16);
    }
}

Test(mc146818, keeps_the_device_contract)
{
    static const struct fuzz_target target = {
        .create = target_create,
        .poke = target_poke,
        .windows = {{.base = 0x71, .size = 1}, {.base = 0x70, .size = 4}},
        .window_count = 2,
        .survives_reset = true,
        .max_step_ns = 3 * NS_PER_SEC,
    };

    device_contract_check(&target, 20000);
}

Test(mc146818, continues_from_a_snapshot_taken_before_an_alarm)
{
    struct bench a = bench_create(START), b = bench_create(0);

    put(&a, 1, 0x00);
    put(&a, 3, 0x00);
    put(&a, 5, 0x00);
    put(&a, B, 0x22);
    fake_step(a.fb, NS_PER_SEC + 777);
    fake_expect_same_after_load(&a.rtc->device, &b.rtc->device);
    fake_step(b.fb, NS_PER_SEC);
    cr_assert(b.fb->lines[IRQ8].level);
    cr_assert_eq(get_date(&b), 0x20240229);
    fake_board_destroy(a.fb);
    fake_board_destroy(b.fb);
}
