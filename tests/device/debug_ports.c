/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * POST codes, debug consoles, debug exit and the shutdown ports.
 *
 * Fake line 0: power off.
 */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "devices/debug_ports.h"
#include "tests/device/port_fuzz.h"

/* A chardev that keeps what it can. */
struct sink {
    struct chardev chardev;
    uint8_t bytes[64];
    size_t count, room;
};

static size_t sink_write(struct chardev *chardev, const uint8_t *bytes, size_t n)
{
    struct sink *sink = CONTAINER_OF(chardev, struct sink, chardev);
    size_t taken = MIN(n, sink->room - sink->count);
    memcpy(sink->bytes + sink->count, bytes, taken);
    sink->count += taken;
    return taken;
}

static void sink_destroy(struct chardev *chardev)
{
    (void)chardev;
}

static const struct chardev_ops sink_ops = {.write = sink_write, .destroy = sink_destroy};

static void note_exit(void *opaque, uint32_t code)
{
    *(uint32_t *)opaque = code;
}

static struct debug_ports *find_ports(struct fake_board *fb)
{
    return CONTAINER_OF(board_find_device(&fb->board, "debug_ports"), struct debug_ports, device);
}

static void target_create(struct fake_board *fb)
{
    const struct debug_ports_config config = {
        .exit_iobase = 0xf4, .exit_iosize = 4, .power_off = fake_line(fb, 0)};
    cr_assert_not_null(debug_ports_create(&fb->board, &config));
}

Test(debug_ports, post_codes_are_remembered)
{
    struct fake_board *fb = fake_board_create();
    target_create(fb);
    cr_assert_eq(fake_inb(fb, 0x80), 0);
    for (unsigned i = 1; i <= 20; i++) {
        fake_outb(fb, 0x80, (uint8_t)i);
    }
    cr_assert_eq(fake_inb(fb, 0x80), 20);
    cr_assert_eq(debug_ports_post_code(find_ports(fb), 0), 20);
    cr_assert_eq(debug_ports_post_code(find_ports(fb), 15), 5);
    cr_assert_eq(debug_ports_post_code(find_ports(fb), 16), 0);
    fake_board_destroy(fb);
}

Test(debug_ports, consoles_write_bytes_and_answer_the_probe)
{
    struct fake_board *fb = fake_board_create();
    struct sink console = {.chardev.ops = &sink_ops, .room = 3}, log = {.chardev.ops = &sink_ops, .room = 64};
    const struct debug_ports_config config = {.debugcon = &console.chardev, .seabios_log = &log.chardev};
    cr_assert_not_null(debug_ports_create(&fb->board, &config));
    cr_assert_eq(fake_inb(fb, 0xe9), 0xe9);
    cr_assert_eq(fake_inb(fb, 0x402), 0xe9);
    for (const char *p = "hello"; *p; p++) {
        fake_outb(fb, 0xe9, (uint8_t)*p);
        fake_outb(fb, 0x402, (uint8_t)*p);
    }
    cr_assert_eq(console.count, 3, "a full back end loses bytes, the guest goes on");
    cr_assert_arr_eq(console.bytes, "hel", 3);
    cr_assert_arr_eq(log.bytes, "hello", 5);
    fake_board_destroy(fb);
}

Test(debug_ports, what_was_not_asked_for_decodes_nothing)
{
    struct fake_board *fb = fake_board_create();
    const struct debug_ports_config config = {0};
    cr_assert_not_null(debug_ports_create(&fb->board, &config));
    cr_assert_eq(fake_inb(fb, 0xe9), 0xff);
    cr_assert_eq(fake_inb(fb, 0x402), 0xff);
    cr_assert_eq(fake_inb(fb, 0xf4), 0xff);
    fake_board_destroy(fb);
}

Test(debug_ports, debug_exit_makes_odd_codes)
{
    struct fake_board *fb = fake_board_create();
    uint32_t code = 0;
    const struct debug_ports_config config = {
        .exit_iobase = 0x501, .exit_iosize = 2, .exit = note_exit, .exit_opaque = &code};
    cr_assert_not_null(debug_ports_create(&fb->board, &config));
    fake_outb(fb, 0x501, 0x10);
    cr_assert_eq(code, 0x21);
    fake_outw(fb, 0x501, 0);
    cr_assert_eq(code, 1);
    fake_outb(fb, 0x503, 5);
    cr_assert_eq(code, 1, "outside");
    fake_board_destroy(fb);
}

Test(debug_ports, shutdown_ports_take_the_soft_off_word)
{
    struct fake_board *fb = fake_board_create();
    target_create(fb);
    fake_outw(fb, 0x604, 0x0000);
    fake_outw(fb, 0xb004, 0x3400);
    fake_outb(fb, 0xb005, 0x20);
    cr_assert_eq(fb->lines[0].rises, 0);
    fake_outw(fb, 0x604, 0x2000);
    fake_outw(fb, 0xb004, 0x2000);
    cr_assert_eq(fb->lines[0].rises, 2);
    fake_board_destroy(fb);
}

Test(debug_ports, keeps_the_device_contract)
{
    const struct fuzz_target target = {
        .create = target_create,
        .windows = {{.base = 0x80, .size = 1},
                    {.base = 0xe9, .size = 1},
                    {.base = 0xf4, .size = 4},
                    {.base = 0x604, .size = 2},
                    {.base = 0xb004, .size = 2}},
        .window_count = 5,
    };
    device_contract_check(&target, 4000);
}
