/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * i8042: controller commands, keyboard and mouse behind it, translation, interrupts, queues.
 */
#include "devices/i8042.h"

#include <criterion/criterion.h>

#include "tests/device/port_fuzz.h"

/* Fake lines. */
enum { IRQ1, IRQ12, A20, RESET };

#define DATA    0x60
#define CONTROL 0x64

struct bench {
    struct fake_board *fb;
    struct i8042 *kbc;
    struct input_sink input;
};

static struct i8042 *attach(struct fake_board *fb)
{
    struct i8042_wiring wiring = {
        .keyboard_irq = fake_line(fb, IRQ1),
        .mouse_irq = fake_line(fb, IRQ12),
        .a20 = fake_line(fb, A20),
        .reset = fake_line(fb, RESET),
    };

    return i8042_create(&fb->board, &wiring);
}

static struct bench bench_create(void)
{
    struct bench b = {.fb = fake_board_create()};

    b.kbc = attach(b.fb);
    cr_assert_not_null(b.kbc);
    b.input = i8042_input(b.kbc);
    return b;
}

static uint8_t status(struct bench *b)
{
    return fake_inb(b->fb, CONTROL);
}

static void command(struct bench *b, uint8_t value)
{
    fake_outb(b->fb, CONTROL, value);
}

static void data(struct bench *b, uint8_t value)
{
    fake_outb(b->fb, DATA, value);
}

/* Wait as a driver would, then read; fails if nothing comes. */
static uint8_t receive(struct bench *b)
{
    for (unsigned i = 0; i < 100 && !(status(b) & 0x01); i++) {
        fake_step(b->fb, 10000);
    }
    cr_assert(status(b) & 0x01, "nothing came");
    return fake_inb(b->fb, DATA);
}

static void expect(struct bench *b, const char *bytes, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        uint8_t got = receive(b);

        cr_assert_eq(got, (uint8_t)bytes[i], "byte %u: %02x, not %02x", i, got, (uint8_t)bytes[i]);
    }
}

#define EXPECT(b, bytes) expect(b, bytes, sizeof(bytes) - 1)

static void expect_silence(struct bench *b)
{
    fake_step(b->fb, 1000000);
    cr_assert_eq(status(b) & 0x01, 0, "a byte nobody asked for: %02x", fake_inb(b->fb, DATA));
}

static void set_command_byte(struct bench *b, uint8_t value)
{
    command(b, 0x60);
    data(b, value);
}

static void to_mouse(struct bench *b, uint8_t value)
{
    command(b, 0xd4);
    data(b, value);
}

static void tap(struct bench *b, enum key key)
{
    input_key(&b->input, key, true);
    input_key(&b->input, key, false);
}

Test(i8042, answers_its_own_commands)
{
    struct bench b = bench_create();

    cr_assert_eq(status(&b) & 0x04, 0);
    command(&b, 0xaa);
    cr_assert_eq(receive(&b), 0x55);
    cr_assert_eq(status(&b) & 0x04, 0x04, "the system flag follows the self test");
    command(&b, 0xab);
    cr_assert_eq(receive(&b), 0x00);
    command(&b, 0xa9);
    cr_assert_eq(receive(&b), 0x00);
    command(&b, 0xa4);
    cr_assert_eq(receive(&b), 0xf1);
    command(&b, 0xc0);
    cr_assert_eq(receive(&b), 0x80);
    expect_silence(&b);
    fake_board_destroy(b.fb);
}

Test(i8042, keeps_its_command_byte_and_ram)
{
    struct bench b = bench_create();

    set_command_byte(&b, 0x74);
    command(&b, 0x20);
    cr_assert_eq(receive(&b), 0x74);
    cr_assert_eq(status(&b) & 0x04, 0x04);
    command(&b, 0x65);
    data(&b, 0xa5);
    command(&b, 0x25);
    cr_assert_eq(receive(&b), 0xa5);
    command(&b, 0xae);
    command(&b, 0xa8);
    command(&b, 0x20);
    cr_assert_eq(receive(&b), 0x44);
    command(&b, 0xad);
    command(&b, 0xa7);
    command(&b, 0x20);
    cr_assert_eq(receive(&b), 0x74);
    fake_board_destroy(b.fb);
}

Test(i8042, status_tells_commands_from_data)
{
    struct bench b = bench_create();

    command(&b, 0xae);
    cr_assert_eq(status(&b) & 0x08, 0x08);
    data(&b, 0xee);
    cr_assert_eq(status(&b) & 0x08, 0x00);
    fake_board_destroy(b.fb);
}

Test(i8042, a_loaded_password_is_swallowed)
{
    struct bench b = bench_create();

    command(&b, 0xa5);
    data(&b, 0x1e);
    data(&b, 0x30);
    data(&b, 0x00);
    expect_silence(&b);
    data(&b, 0xee);
    cr_assert_eq(receive(&b), 0xee, "the next byte is the keyboard's again");
    fake_board_destroy(b.fb);
}

Test(i8042, drives_a20_and_reset)
{
    struct bench b = bench_create();

    cr_assert(b.fb->lines[A20].level);
    command(&b, 0xd1);
    data(&b, 0xdd);
    cr_assert_not(b.fb->lines[A20].level);
    cr_assert_not(i8042_a20(b.kbc));
    command(&b, 0xd0);
    cr_assert_eq(receive(&b) & 0x03, 0x01);
    command(&b, 0xdf);
    cr_assert(b.fb->lines[A20].level);
    command(&b, 0xdd);
    cr_assert_not(i8042_a20(b.kbc));
    cr_assert_eq(b.fb->lines[RESET].rises, 0);
    command(&b, 0xfe);
    cr_assert_eq(b.fb->lines[RESET].rises, 1);
    command(&b, 0xff); /* pulses nothing */
    cr_assert_eq(b.fb->lines[RESET].rises, 1);
    command(&b, 0xd1);
    data(&b, 0x02);
    cr_assert_eq(b.fb->lines[RESET].rises, 2);
    cr_assert(i8042_a20(b.kbc));
    fake_board_destroy(b.fb);
}

Test(i8042, interrupts_follow_the_output_buffer)
{
    struct bench b = bench_create();

    set_command_byte(&b, 0x43);
    command(&b, 0xd2);
    data(&b, 0x12);
    cr_assert(b.fb->lines[IRQ1].level);
    cr_assert_eq(status(&b) & 0x21, 0x01);
    command(&b, 0xd0);
    cr_assert_eq(fake_inb(b.fb, DATA), 0x12);
    cr_assert_eq(fake_inb(b.fb, DATA) & 0x10, 0x10, "the output port shows the interrupt");
    cr_assert_not(b.fb->lines[IRQ1].level);
    command(&b, 0xd3);
    data(&b, 0x34);
    cr_assert(b.fb->lines[IRQ12].level);
    cr_assert_not(b.fb->lines[IRQ1].level);
    cr_assert_eq(status(&b) & 0x21, 0x21);
    cr_assert_eq(fake_inb(b.fb, DATA), 0x34);
    cr_assert_not(b.fb->lines[IRQ12].level);
    set_command_byte(&b, 0x40);
    command(&b, 0xd2);
    data(&b, 0x12);
    cr_assert_not(b.fb->lines[IRQ1].level);
    fake_board_destroy(b.fb);
}

Test(i8042, a_second_read_gives_the_same_byte)
{
    struct bench b = bench_create();

    tap(&b, KEY_A);
    cr_assert_eq(receive(&b), 0x1e);
    cr_assert_eq(fake_inb(b.fb, DATA), 0x1e, "the break code is still on the cable");
    cr_assert_eq(receive(&b), 0x9e);
    fake_board_destroy(b.fb);
}

Test(i8042, keyboard_answers_its_commands)
{
    struct bench b = bench_create();

    set_command_byte(&b, 0x01); /* no translation */
    data(&b, 0xff);
    EXPECT(&b, "\xfa\xaa");
    data(&b, 0xee);
    EXPECT(&b, "\xee");
    data(&b, 0xf2);
    EXPECT(&b, "\xfa\xab\x83");
    data(&b, 0xfe);
    EXPECT(&b, "\x83");
    data(&b, 0xed);
    EXPECT(&b, "\xfa");
    data(&b, 0x05);
    EXPECT(&b, "\xfa");
    cr_assert_eq(i8042_leds(b.kbc), PS2_LED_SCROLL | PS2_LED_CAPS);
    data(&b, 0xed);
    data(&b, 0xee); /* a command takes the place of the parameter */
    EXPECT(&b, "\xfa\xee");
    data(&b, 0xf0);
    data(&b, 0x00);
    EXPECT(&b, "\xfa\xfa\x02");
    data(&b, 0xf0);
    data(&b, 0x07);
    EXPECT(&b, "\xfa\xfe");
    data(&b, 0x01);
    EXPECT(&b, "\xfe");
    data(&b, 0xef);
    EXPECT(&b, "\xfe");
    expect_silence(&b);
    fake_board_destroy(b.fb);
}

Test(i8042, room_counts_down_to_the_first_lost_key)
{
    struct bench b = bench_create();
    unsigned empty = i8042_keyboard_room(b.kbc);

    cr_assert_geq(empty, 48);
    while (i8042_keyboard_room(b.kbc) >= 3) { /* a key down and up, in set 2 */
        tap(&b, KEY_A);
    }
    for (unsigned i = 0; i < 4; i++) {
        tap(&b, KEY_B);
    }
    cr_assert_eq(i8042_keyboard_room(b.kbc), 0);
    for (unsigned i = 0; i < empty / 3; i++) {
        cr_assert_eq(receive(&b), KEY_A);
        cr_assert_eq(receive(&b), KEY_A | 0x80);
    }
    while (i8042_keyboard_room(b.kbc) < empty) { /* what went before the overrun code, and that */
        receive(&b);
    }
    cr_assert_eq(i8042_keyboard_room(b.kbc), empty);
    fake_board_destroy(b.fb);
}

Test(i8042, keyboard_id_is_translated)
{
    struct bench b = bench_create();

    data(&b, 0xf2);
    EXPECT(&b, "\xfa\xab\x41");
    fake_board_destroy(b.fb);
}

Test(i8042, translation_gives_every_key_its_set_1_code)
{
    struct bench b = bench_create();

    for (unsigned code = 1; code < 0x80; code++) {
        tap(&b, code);
        cr_assert_eq(receive(&b), code);
        cr_assert_eq(receive(&b), code | 0x80);
        if (code == 0x37 || code == 0x46) { /* Print Screen and Pause are special */
            continue;
        }
        tap(&b, 0xe000 | code);
        cr_assert_eq(receive(&b), 0xe0);
        cr_assert_eq(receive(&b), code);
        cr_assert_eq(receive(&b), 0xe0);
        cr_assert_eq(receive(&b), code | 0x80);
    }
    expect_silence(&b);
    fake_board_destroy(b.fb);
}

Test(i8042, scan_code_sets_1_2_and_3)
{
    struct bench b = bench_create();

    set_command_byte(&b, 0x01);
    tap(&b, KEY_A);
    tap(&b, KEY_LEFT);
    EXPECT(&b, "\x1c\xf0\x1c\xe0\x6b\xe0\xf0\x6b");
    data(&b, 0xf0);
    data(&b, 0x01);
    EXPECT(&b, "\xfa\xfa");
    tap(&b, KEY_A);
    tap(&b, KEY_LEFT);
    EXPECT(&b, "\x1e\x9e\xe0\x4b\xe0\xcb");
    data(&b, 0xf0);
    data(&b, 0x03);
    EXPECT(&b, "\xfa\xfa");
    tap(&b, KEY_A);
    tap(&b, KEY_LEFT_SHIFT);
    EXPECT(&b, "\x1c\x12\xf0\x12");
    data(&b, 0xf8); /* all keys make and break */
    EXPECT(&b, "\xfa");
    tap(&b, KEY_LEFT);
    EXPECT(&b, "\x61\xf0\x61");
    data(&b, 0xfd); /* make only: Left, Right */
    data(&b, 0x61);
    data(&b, 0x6a);
    EXPECT(&b, "\xfa\xfa\xfa");
    tap(&b, KEY_LEFT);
    tap(&b, KEY_RIGHT);
    tap(&b, KEY_UP);
    EXPECT(&b, "\x61\x6a\x63\xf0\x63");
    expect_silence(&b);
    fake_board_destroy(b.fb);
}

Test(i8042, print_screen_and_pause_depend_on_modifiers)
{
    struct bench b = bench_create();

    tap(&b, KEY_PRINT_SCREEN);
    EXPECT(&b, "\xe0\x2a\xe0\x37\xe0\xb7\xe0\xaa");
    tap(&b, KEY_PAUSE);
    EXPECT(&b, "\xe1\x1d\x45\xe1\x9d\xc5");
    input_key(&b.input, KEY_LEFT_CTRL, true);
    EXPECT(&b, "\x1d");
    tap(&b, KEY_PRINT_SCREEN);
    EXPECT(&b, "\xe0\x37\xe0\xb7");
    tap(&b, KEY_PAUSE);
    EXPECT(&b, "\xe0\x46\xe0\xc6");
    input_key(&b.input, KEY_LEFT_CTRL, false);
    EXPECT(&b, "\x9d");
    input_key(&b.input, KEY_RIGHT_ALT, true);
    EXPECT(&b, "\xe0\x38");
    tap(&b, KEY_PRINT_SCREEN);
    EXPECT(&b, "\x54\xd4");
    fake_board_destroy(b.fb);
}

Test(i8042, a_held_key_repeats_at_the_programmed_rate)
{
    struct bench b = bench_create();
    unsigned repeats = 0;

    data(&b, 0xf3);
    data(&b, 0x20); /* 500 ms, 30 a second */
    EXPECT(&b, "\xfa\xfa");
    input_key(&b.input, KEY_A, true);
    input_key(&b.input, KEY_A, true); /* the host's own repetition is ignored */
    EXPECT(&b, "\x1e");
    fake_step(b.fb, 490000000);
    cr_assert_eq(status(&b) & 0x01, 0);
    for (unsigned i = 0; i < 1000; i++) {
        fake_step(b.fb, 1000000);
        if (status(&b) & 0x01) {
            cr_assert_eq(fake_inb(b.fb, DATA), 0x1e);
            repeats++;
        }
    }
    cr_assert(repeats >= 29 && repeats <= 31, "%u", repeats);
    input_key(&b.input, KEY_A, false);
    EXPECT(&b, "\x9e");
    fake_step(b.fb, NS_PER_SEC);
    expect_silence(&b);
    fake_board_destroy(b.fb);
}

Test(i8042, a_disabled_keyboard_is_silent)
{
    struct bench b = bench_create();

    data(&b, 0xf5);
    EXPECT(&b, "\xfa");
    tap(&b, KEY_A);
    expect_silence(&b);
    data(&b, 0xf4);
    EXPECT(&b, "\xfa");
    tap(&b, KEY_B);
    EXPECT(&b, "\x30\xb0");
    command(&b, 0xad); /* the controller holds the cable */
    tap(&b, KEY_C);
    expect_silence(&b);
    command(&b, 0xae);
    EXPECT(&b, "\x2e\xae");
    fake_board_destroy(b.fb);
}

Test(i8042, unread_keys_overflow_without_harm)
{
    struct bench b = bench_create();
    unsigned n = 0;

    set_command_byte(&b, 0x01);
    for (unsigned i = 0; i < 1000; i++) {
        tap(&b, KEY_Q + i % 10);
    }
    fake_step(b.fb, 1000000);
    while (status(&b) & 0x01 && n < 200) {
        receive(&b);
        fake_step(b.fb, 1000000);
        n++;
    }
    cr_assert_leq(n, PS2_QUEUE_SIZE);
    data(&b, 0xee);
    EXPECT(&b, "\xee");
    fake_board_destroy(b.fb);
}

Test(i8042, replies_overtake_keys)
{
    struct bench b = bench_create();

    command(&b, 0xad);
    tap(&b, KEY_A);
    data(&b, 0xf2); /* opens the cable again */
    EXPECT(&b, "\xfa\xab\x41\x1e\x9e");
    fake_board_destroy(b.fb);
}

Test(i8042, mouse_answers_its_commands)
{
    struct bench b = bench_create();

    to_mouse(&b, 0xff);
    EXPECT(&b, "\xfa\xaa\x00");
    to_mouse(&b, 0xf2);
    EXPECT(&b, "\xfa\x00");
    to_mouse(&b, 0xe9);
    EXPECT(&b, "\xfa\x00\x02\x64");
    to_mouse(&b, 0xe8);
    to_mouse(&b, 0x03);
    to_mouse(&b, 0xf3);
    to_mouse(&b, 0x28);
    to_mouse(&b, 0xe7);
    to_mouse(&b, 0xf4);
    EXPECT(&b, "\xfa\xfa\xfa\xfa\xfa\xfa");
    input_buttons(&b.input, INPUT_BUTTON_RIGHT);
    EXPECT(&b, "\x0a\x00\x00");
    to_mouse(&b, 0xe9);
    EXPECT(&b, "\xfa\x31\x03\x28");
    to_mouse(&b, 0xf6);
    EXPECT(&b, "\xfa");
    to_mouse(&b, 0xe9);
    EXPECT(&b, "\xfa\x01\x02\x64");
    to_mouse(&b, 0x77);
    EXPECT(&b, "\xfe");
    fake_board_destroy(b.fb);
}

Test(i8042, mouse_wraps_until_told_otherwise)
{
    struct bench b = bench_create();

    to_mouse(&b, 0xee);
    EXPECT(&b, "\xfa");
    to_mouse(&b, 0xf4);
    to_mouse(&b, 0x12);
    EXPECT(&b, "\xf4\x12");
    to_mouse(&b, 0xec);
    EXPECT(&b, "\xfa");
    to_mouse(&b, 0xf2);
    EXPECT(&b, "\xfa\x00");
    fake_board_destroy(b.fb);
}

Test(i8042, mouse_streams_motion_at_its_sample_rate)
{
    struct bench b = bench_create();

    set_command_byte(&b, 0x43);
    input_motion(&b.input, 50, 50, 0); /* before F4h: not reported */
    to_mouse(&b, 0xf4);
    EXPECT(&b, "\xfa");
    input_motion(&b.input, 5, -3, 0);
    fake_step(b.fb, 200000);
    cr_assert(b.fb->lines[IRQ12].level);
    cr_assert_eq(status(&b) & 0x21, 0x21);
    EXPECT(&b, "\x08\x05\x03");
    input_motion(&b.input, -1, 2, 0);
    input_motion(&b.input, -1, 2, 0);
    fake_step(b.fb, 5000000);
    cr_assert_eq(status(&b) & 0x01, 0, "100 samples a second");
    fake_step(b.fb, 5000000);
    EXPECT(&b, "\x38\xfe\xfc");
    fake_step(b.fb, 20000000);
    input_motion(&b.input, 1000, 0, 0);
    EXPECT(&b, "\x08\xff\x00");
    fake_step(b.fb, 10000000);
    EXPECT(&b, "\x08\xff\x00");
    fake_board_destroy(b.fb);
}

Test(i8042, mouse_tells_clicks_at_once)
{
    struct bench b = bench_create();

    to_mouse(&b, 0xf4);
    EXPECT(&b, "\xfa");
    input_buttons(&b.input, INPUT_BUTTON_LEFT);
    input_buttons(&b.input, 0);
    input_buttons(&b.input, INPUT_BUTTON_MIDDLE);
    EXPECT(&b, "\x09\x00\x00\x08\x00\x00\x0c\x00\x00");
    fake_board_destroy(b.fb);
}

Test(i8042, mouse_sends_an_empty_packet_when_nudged)
{
    struct bench b = bench_create();

    ps2_mouse_nudge(b.kbc->mouse); /* before F4h: nothing */
    to_mouse(&b, 0xf4);
    EXPECT(&b, "\xfa");
    ps2_mouse_nudge(b.kbc->mouse);
    EXPECT(&b, "\x08\x00\x00");
    for (unsigned i = 0; i < 1000; i++) {
        ps2_mouse_nudge(b.kbc->mouse); /* those that wait are as good as a thousand */
    }
    cr_assert_leq(b.kbc->mouse->port.events.count, 12);
    fake_board_destroy(b.fb);
}

Test(i8042, mouse_scales_2_to_1_in_stream_mode)
{
    static const uint8_t pairs[][2] = {{1, 1}, {2, 1}, {3, 3}, {4, 6}, {5, 9}, {6, 12}, {200, 255}};
    struct bench b = bench_create();

    to_mouse(&b, 0xe7);
    to_mouse(&b, 0xf4);
    EXPECT(&b, "\xfa\xfa");
    for (unsigned i = 0; i < ARRAY_LEN(pairs); i++) {
        input_motion(&b.input, pairs[i][0], 0, 0);
        cr_assert_eq(receive(&b), 0x08);
        cr_assert_eq(receive(&b), pairs[i][1]);
        cr_assert_eq(receive(&b), 0x00);
        fake_step(b.fb, 20000000);
    }
    fake_board_destroy(b.fb);
}

Test(i8042, mouse_in_remote_mode_waits_to_be_asked)
{
    struct bench b = bench_create();

    to_mouse(&b, 0xf0);
    EXPECT(&b, "\xfa");
    input_motion(&b.input, 7, 0, 0);
    expect_silence(&b);
    to_mouse(&b, 0xeb);
    EXPECT(&b, "\xfa\x08\x07\x00");
    to_mouse(&b, 0xeb);
    EXPECT(&b, "\xfa\x08\x00\x00");
    fake_board_destroy(b.fb);
}

static void set_rates(struct bench *b, uint8_t first, uint8_t second, uint8_t third)
{
    const uint8_t rates[3] = {first, second, third};

    for (unsigned i = 0; i < 3; i++) {
        to_mouse(b, 0xf3);
        to_mouse(b, rates[i]);
        EXPECT(b, "\xfa\xfa");
    }
}

Test(i8042, mouse_becomes_an_intellimouse_when_asked)
{
    struct bench b = bench_create();

    set_rates(&b, 200, 100, 80);
    to_mouse(&b, 0xf2);
    EXPECT(&b, "\xfa\x03");
    to_mouse(&b, 0xf4);
    EXPECT(&b, "\xfa");
    input_motion(&b.input, 0, 0, -1);
    EXPECT(&b, "\x08\x00\x00\xff");
    set_rates(&b, 200, 200, 80);
    to_mouse(&b, 0xf2);
    EXPECT(&b, "\xfa\x04");
    input_buttons(&b.input, INPUT_BUTTON_SIDE);
    EXPECT(&b, "\x08\x00\x00\x10");
    fake_step(b.fb, 20000000);
    input_motion(&b.input, 0, 0, 2);
    EXPECT(&b, "\x08\x00\x00\x12");
    to_mouse(&b, 0xff);
    EXPECT(&b, "\xfa\xaa\x00");
    fake_board_destroy(b.fb);
}

Test(i8042, unread_motion_adds_up_and_stays_bounded)
{
    struct bench b = bench_create();

    to_mouse(&b, 0xf4);
    EXPECT(&b, "\xfa");
    for (unsigned i = 0; i < 10000; i++) {
        input_motion(&b.input, INT32_MAX, INT32_MIN, 0);
        input_buttons(&b.input, i & 7);
        fake_step(b.fb, 100000);
    }
    cr_assert_leq(b.kbc->mouse->port.events.count, 12);
    EXPECT(&b, "\x08\xff\xff");
    fake_board_destroy(b.fb);
}

static void target_create(struct fake_board *fb)
{
    cr_assert_not_null(attach(fb));
}

static void target_poke(struct fake_board *fb, uint64_t random)
{
    struct device *device = board_find_device(&fb->board, "i8042");
    struct input_sink input = i8042_input(CONTAINER_OF(device, struct i8042, device));

    switch (random % 8) {
    case 0:
        input_motion(&input, (int8_t)(random >> 8), (int)(random >> 16), (int8_t)(random >> 24));
        break;
    case 1:
        input_buttons(&input, random >> 8);
        break;
    case 2: /* talk to the mouse, which random port writes rarely reach */
        fake_outb(fb, CONTROL, 0xd4);
        fake_outb(fb, DATA, random & 0x100 ? 0xe6 + (random >> 16) % 26 : random >> 16);
        break;
    case 3:
        fake_outb(fb, DATA, random & 0x100 ? 0xed + (random >> 16) % 19 : random >> 16);
        break;
    default:
        input_key(&input, (random >> 8 & 0xff) | (random & 0x10 ? 0xe000 : 0), random & 0x20);
        fake_inb(fb, DATA);
    }
}

Test(i8042, keeps_the_device_contract)
{
    static const struct fuzz_target target = {
        .create = target_create,
        .poke = target_poke,
        .windows = {{.base = DATA, .size = 1}, {.base = CONTROL, .size = 1}},
        .window_count = 2,
        .max_step_ns = 100000000,
    };

    device_contract_check(&target, 30000);
}

Test(i8042, continues_from_a_snapshot_taken_inside_a_key_sequence)
{
    struct bench a = bench_create(), b = bench_create();

    tap(&a, KEY_PAGE_UP);
    EXPECT(&a, "\xe0\x49");
    fake_step(a.fb, 250000); /* the break prefix has been swallowed by the translation */
    to_mouse(&a, 0xf3);
    fake_expect_same_after_load(&a.kbc->keyboard->device, &b.kbc->keyboard->device);
    fake_expect_same_after_load(&a.kbc->mouse->device, &b.kbc->mouse->device);
    fake_expect_same_after_load(&a.kbc->device, &b.kbc->device);
    EXPECT(&b, "\xe0\xc9\xfa");
    to_mouse(&b, 50);
    EXPECT(&b, "\xfa");
    cr_assert_eq(b.kbc->mouse->rate, 50);
    fake_board_destroy(a.fb);
    fake_board_destroy(b.fb);
}
