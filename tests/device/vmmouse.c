/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * VMware's absolute pointer: the backdoor's commands, packets, and who gets the host's input.
 */
#include "devices/vmmouse.h"

#include <criterion/criterion.h>

#include "tests/device/port_fuzz.h"

#define PORT     0x5658
#define MAGIC    0x564d5868u
#define READ_ID  0x45414552u
#define ABSOLUTE 0x53424152u
#define RELATIVE 0x4c455252u
#define DISABLE  0xf5u
#define OFF      0xffff0000u

enum { VERSION = 10, DATA = 39, STATUS = 40, COMMAND = 41, RESTRICT = 86 };

/* The processor's registers and the PS/2 mouse's side; lives in fb->test_data. */
struct bench {
    uint32_t reg[VMMOUSE_REGISTERS];
    unsigned nudges, keys, motions, clicks;
    int dx, wheel;
};

static void nudge(void *opaque)
{
    ((struct bench *)opaque)->nudges++;
}

static void get_registers(void *opaque, uint32_t reg[VMMOUSE_REGISTERS])
{
    memcpy(reg, ((struct bench *)opaque)->reg, sizeof(((struct bench *)opaque)->reg));
}

static void set_registers(void *opaque, const uint32_t reg[VMMOUSE_REGISTERS])
{
    memcpy(((struct bench *)opaque)->reg, reg, sizeof(((struct bench *)opaque)->reg));
}

static void ps2_key(void *opaque, enum key key, bool down)
{
    (void)key;
    (void)down;
    ((struct bench *)opaque)->keys++;
}

static void ps2_motion(void *opaque, int dx, int dy, int wheel)
{
    struct bench *bench = opaque;
    (void)dy;
    bench->motions++;
    bench->dx = dx;
    bench->wheel = wheel;
}

static void ps2_buttons(void *opaque, uint8_t down)
{
    (void)down;
    ((struct bench *)opaque)->clicks++;
}

static const struct input_ops ps2_ops = {.key = ps2_key, .motion = ps2_motion, .buttons = ps2_buttons};

static void target_create(struct fake_board *fb)
{
    struct bench *bench = fb->test_data = calloc(1, sizeof(*bench));
    struct vmmouse_wiring wiring = {
        .ps2 = {.ops = &ps2_ops, .opaque = bench},
        .nudge = nudge,
        .nudge_opaque = bench,
        .get_registers = get_registers,
        .set_registers = set_registers,
        .opaque = bench,
    };
    cr_assert_not_null(vmmouse_create(&fb->board, &wiring));
}

static struct fake_board *machine_create(void)
{
    struct fake_board *fb = fake_board_create();
    target_create(fb);
    return fb;
}

static struct vmmouse *find(struct fake_board *fb)
{
    return CONTAINER_OF(board_find_device(&fb->board, "vmmouse"), struct vmmouse, device);
}

static uint32_t backdoor(struct fake_board *fb, uint32_t command, uint32_t argument)
{
    struct bench *bench = fb->test_data;
    bench->reg[0] = MAGIC;
    bench->reg[1] = argument;
    bench->reg[2] = 0xabcd0000 | command;
    bench->reg[3] = PORT;
    bench->reg[4] = bench->reg[5] = 0x55555555;
    return bench->reg[0] = fake_inl(fb, PORT);
}

static void enable(struct fake_board *fb)
{
    backdoor(fb, COMMAND, READ_ID);
    cr_assert_eq(backdoor(fb, STATUS, 0), 1);
    cr_assert_eq(backdoor(fb, DATA, 1), 0x3442554a);
    backdoor(fb, COMMAND, ABSOLUTE);
}

static void expect_packet(struct fake_board *fb, uint32_t buttons, uint32_t x, uint32_t y, uint32_t z)
{
    const struct bench *bench = fb->test_data;
    backdoor(fb, DATA, 4);
    cr_assert(bench->reg[0] == buttons && bench->reg[1] == x && bench->reg[2] == y && bench->reg[3] == z,
              "packet %x %x %x %x", bench->reg[0], bench->reg[1], bench->reg[2], bench->reg[3]);
}

Test(vmmouse, the_backdoor_answers_to_the_magic_number_only)
{
    struct fake_board *fb = machine_create();
    struct bench *bench = fb->test_data;
    cr_assert_eq(backdoor(fb, VERSION, 0), 6);
    cr_assert_eq(bench->reg[1], MAGIC);
    bench->reg[0] = MAGIC + 1;
    bench->reg[1] = 7;
    cr_assert_eq(fake_inl(fb, PORT), UINT32_MAX);
    cr_assert_eq(bench->reg[1], 7);
    cr_assert_eq(backdoor(fb, 0x7777, 3), UINT32_MAX, "no such command");
    cr_assert_eq(fake_inb(fb, PORT), 0xff);
    fake_board_destroy(fb);
}

Test(vmmouse, positions_and_buttons_come_as_packets_of_four_words)
{
    struct fake_board *fb = machine_create();
    struct bench *bench = fb->test_data;
    struct input_sink sink = vmmouse_input(find(fb));
    cr_assert_eq(backdoor(fb, STATUS, 0), OFF);
    enable(fb);
    cr_assert(vmmouse_is_absolute(find(fb)));
    input_position(&sink, 0x1234, 0xfedc);
    input_buttons(&sink, INPUT_BUTTON_LEFT | INPUT_BUTTON_MIDDLE);
    input_motion(&sink, 5, 5, -2);
    cr_assert_eq(bench->nudges, 3);
    cr_assert_eq(bench->motions + bench->clicks, 0);
    cr_assert_eq(backdoor(fb, STATUS, 0), 12);
    expect_packet(fb, 0, 0x1234, 0xfedc, 0);
    expect_packet(fb, 0x28, 0x1234, 0xfedc, 0);
    expect_packet(fb, 0x28, 0x1234, 0xfedc, (uint32_t)-2);
    cr_assert_eq(backdoor(fb, STATUS, 0), 0);
    cr_assert_eq(backdoor(fb, RESTRICT, 1), MAGIC);
    fake_board_destroy(fb);
}

Test(vmmouse, moves_that_were_not_read_become_one)
{
    struct fake_board *fb = machine_create();
    struct input_sink sink = vmmouse_input(find(fb));
    enable(fb);
    for (uint16_t i = 0; i < 1000; i++) {
        input_position(&sink, i, i);
    }
    cr_assert_eq(backdoor(fb, STATUS, 0), 4);
    expect_packet(fb, 0, 999, 999, 0);
    for (unsigned i = 0; i < 1000; i++) {
        input_buttons(&sink, i & 1);
    }
    cr_assert_eq(backdoor(fb, STATUS, 0), VMMOUSE_QUEUE_WORDS, "clicks do not, and the queue is bounded");
    fake_board_destroy(fb);
}

Test(vmmouse, without_absolute_mode_input_goes_to_the_ps2_mouse)
{
    struct fake_board *fb = machine_create();
    struct bench *bench = fb->test_data;
    struct input_sink sink = vmmouse_input(find(fb));
    input_motion(&sink, 3, 4, 1);
    input_buttons(&sink, 1);
    input_position(&sink, 1, 1);
    input_key(&sink, KEY_A, true);
    cr_assert(bench->motions == 1 && bench->dx == 3 && bench->wheel == 1);
    cr_assert_eq(bench->clicks, 1);
    cr_assert_eq(bench->keys, 1);
    enable(fb);
    input_key(&sink, KEY_A, false);
    cr_assert_eq(bench->keys, 2);
    backdoor(fb, COMMAND, RELATIVE);
    input_motion(&sink, 1, 1, 0);
    cr_assert_eq(bench->motions, 2);
    backdoor(fb, COMMAND, ABSOLUTE);
    backdoor(fb, COMMAND, DISABLE);
    cr_assert_not(vmmouse_is_absolute(find(fb)));
    cr_assert_eq(backdoor(fb, STATUS, 0), OFF);
    fake_board_destroy(fb);
}

Test(vmmouse, wrong_sizes_switch_it_off)
{
    static const uint32_t sizes[] = {0, 5, 7, UINT32_MAX};
    struct fake_board *fb = machine_create();
    struct input_sink sink = vmmouse_input(find(fb));
    for (unsigned i = 0; i < ARRAY_LEN(sizes); i++) {
        enable(fb);
        input_position(&sink, 1, 2);
        cr_assert_eq(backdoor(fb, DATA, sizes[i]), MAGIC);
        cr_assert_eq(backdoor(fb, STATUS, 0), OFF);
    }
    fake_board_destroy(fb);
}

/* Registers as a driver would have them, and host events. */
static void poke(struct fake_board *fb, uint64_t random)
{
    static const uint32_t commands[] = {VERSION, DATA, DATA, STATUS, COMMAND, COMMAND, RESTRICT, 1};
    static const uint32_t arguments[] = {READ_ID, ABSOLUTE, ABSOLUTE, RELATIVE, DISABLE, 4, 1, 6};
    struct input_sink sink = vmmouse_input(find(fb));
    struct bench *bench = fb->test_data;
    bench->reg[0] = random & 0x100 ? MAGIC : (uint32_t)random;
    bench->reg[1] = arguments[random >> 9 & 7];
    bench->reg[2] = commands[random >> 12 & 7];
    input_position(&sink, (uint16_t)(random >> 16), (uint16_t)(random >> 32));
    input_buttons(&sink, (uint8_t)(random >> 48));
    input_motion(&sink, 1, 1, (int)(random >> 56) - 128);
    if (random & 0x200) {
        fake_inl(fb, PORT);
    }
    memset(bench->reg, 0, sizeof(bench->reg)); /* not the device's: a load would not bring them along */
}

static const struct fuzz_target target = {
    .create = target_create, .poke = poke, .windows = {{.base = PORT, .size = 4}}, .window_count = 1};

Test(vmmouse, keeps_the_device_contract)
{
    device_contract_check(&target, 4000);
}
