/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * i8237 pair: registers, byte and word transfers, wrap-around, autoinitialization, terminal count.
 */
#include "devices/i8237.h"

#include <criterion/criterion.h>
#include <stdlib.h>

#include "tests/device/port_fuzz.h"

#define READ   0x08 /* mode: from memory */
#define WRITE  0x04 /* mode: to memory */
#define AUTO   0x10
#define DOWN   0x20
#define SINGLE 0x40

struct bench {
    struct fake_board *fb;
    struct i8237 *dma;
};

static struct bench bench_create(void)
{
    struct bench b = {.fb = fake_board_create()};

    b.dma = i8237_create(&b.fb->board);
    cr_assert_not_null(b.dma);
    return b;
}

/* Program a byte channel (0..3) as drivers do: mask, mode, address, count, page, unmask. */
static void program(struct bench *b, unsigned channel, uint8_t mode, uint32_t address, uint16_t count)
{
    static const uint8_t page_ports[4] = {0x87, 0x83, 0x81, 0x82};

    fake_outb(b->fb, 0x0a, 0x04 | channel);
    fake_outb(b->fb, 0x0c, 0);
    fake_outb(b->fb, 0x0b, mode | channel);
    fake_outb(b->fb, channel * 2, address & 0xff);
    fake_outb(b->fb, channel * 2, address >> 8 & 0xff);
    fake_outb(b->fb, page_ports[channel], address >> 16);
    fake_outb(b->fb, channel * 2 + 1, count & 0xff);
    fake_outb(b->fb, channel * 2 + 1, count >> 8);
    fake_outb(b->fb, 0x0a, channel);
}

static uint16_t read_word(struct bench *b, uint16_t port)
{
    uint16_t low = fake_inb(b->fb, port);

    return low | fake_inb(b->fb, port) << 8;
}

static void fill_memory(struct bench *b, gpa_t address, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        uint8_t byte = i;

        cr_assert(addr_space_poke(&b->fb->mem, address + i, &byte, 1));
    }
}

Test(i8237, after_reset_every_channel_is_masked)
{
    struct bench b = bench_create();
    uint8_t byte;

    cr_assert_eq(fake_inb(b.fb, 0x0f), 0xff);
    cr_assert_eq(fake_inb(b.fb, 0xde), 0xff);
    cr_assert_eq(fake_inb(b.fb, 0x08), 0x00);
    for (unsigned channel = 0; channel < 10; channel++) {
        cr_assert_eq(i8237_transfer(b.dma, channel, &byte, 1, I8237_TO_MEMORY, NULL), 0);
    }
    fake_board_destroy(b.fb);
}

Test(i8237, registers_go_through_the_flip_flop)
{
    struct bench b = bench_create();

    program(&b, 2, SINGLE | READ, 0x12345, 0x6789);
    cr_assert_eq(read_word(&b, 0x04), 0x2345);
    cr_assert_eq(read_word(&b, 0x05), 0x6789);
    cr_assert_eq(fake_inb(b.fb, 0x81), 0x01);
    fake_inb(b.fb, 0x04);
    fake_outb(b.fb, 0x0c, 0);
    cr_assert_eq(fake_inb(b.fb, 0x04), 0x45, "cleared: the low byte comes again");
    fake_board_destroy(b.fb);
}

Test(i8237, reads_and_writes_memory)
{
    struct bench b = bench_create();
    uint8_t buffer[64] = {0};
    bool tc;

    fill_memory(&b, 0x21000, 64);
    program(&b, 2, SINGLE | READ, 0x21000, 63);
    cr_assert(i8237_can_transfer(b.dma, 2, I8237_FROM_MEMORY));
    cr_assert_not(i8237_can_transfer(b.dma, 2, I8237_TO_MEMORY));
    cr_assert_eq(i8237_transfer(b.dma, 2, buffer, 16, I8237_FROM_MEMORY, &tc), 16);
    cr_assert_not(tc);
    cr_assert_eq(read_word(&b, 0x04), 0x1010);
    cr_assert_eq(read_word(&b, 0x05), 47);
    cr_assert_eq(i8237_transfer(b.dma, 2, buffer + 16, 100, I8237_FROM_MEMORY, &tc), 48);
    cr_assert(tc);
    for (unsigned i = 0; i < 64; i++) {
        cr_assert_eq(buffer[i], i);
    }
    cr_assert_eq(fake_inb(b.fb, 0x08), 0x04);
    cr_assert_eq(fake_inb(b.fb, 0x08), 0x00, "reading clears the terminal counts");
    cr_assert_eq(read_word(&b, 0x05), 0xffff);
    cr_assert_eq(i8237_transfer(b.dma, 2, buffer, 16, I8237_FROM_MEMORY, &tc), 0, "masked by terminal count");
    program(&b, 1, SINGLE | WRITE, 0x31000, 63);
    cr_assert_eq(i8237_transfer(b.dma, 1, buffer, 64, I8237_TO_MEMORY, &tc), 64);
    cr_assert_eq(fake_read32(b.fb, 0x31004), 0x07060504);
    fake_board_destroy(b.fb);
}

Test(i8237, word_channels_count_words)
{
    struct bench b = bench_create();
    uint8_t buffer[16];
    bool tc;

    fill_memory(&b, 0x30200, 16);
    fake_outb(b.fb, 0xd8, 0);
    fake_outb(b.fb, 0xd6, SINGLE | READ | 1); /* channel 5 */
    fake_outb(b.fb, 0xc4, 0x00);
    fake_outb(b.fb, 0xc4, 0x81); /* word address 8100h = byte 10200h */
    fake_outb(b.fb, 0xc6, 0x07);
    fake_outb(b.fb, 0xc6, 0x00);
    fake_outb(b.fb, 0x8b, 0x03); /* bit 0 is not used */
    fake_outb(b.fb, 0xd4, 0x01);
    cr_assert_eq(i8237_transfer(b.dma, 5, buffer, 5, I8237_FROM_MEMORY, &tc), 4, "whole words");
    cr_assert_eq(i8237_transfer(b.dma, 5, buffer + 4, 64, I8237_FROM_MEMORY, &tc), 12);
    cr_assert(tc);
    for (unsigned i = 0; i < 16; i++) {
        cr_assert_eq(buffer[i], i);
    }
    cr_assert_eq(fake_inb(b.fb, 0xd0), 0x02);
    fake_board_destroy(b.fb);
}

Test(i8237, addresses_wrap_inside_their_page)
{
    struct bench b = bench_create();
    uint8_t buffer[4] = {1, 2, 3, 4};

    program(&b, 3, SINGLE | WRITE, 0x1fffe, 3);
    cr_assert_eq(i8237_transfer(b.dma, 3, buffer, 4, I8237_TO_MEMORY, NULL), 4);
    cr_assert_eq(fake_read32(b.fb, 0x1fffc) >> 16, 0x0201);
    cr_assert_eq(fake_read32(b.fb, 0x10000) & 0xffff, 0x0403);
    cr_assert_eq(fake_read32(b.fb, 0x20000), 0);
    fake_board_destroy(b.fb);
}

Test(i8237, decrement_mode_walks_down)
{
    struct bench b = bench_create();
    uint8_t buffer[4] = {1, 2, 3, 4};

    program(&b, 3, SINGLE | WRITE | DOWN, 0x20001, 3);
    cr_assert_eq(i8237_transfer(b.dma, 3, buffer, 4, I8237_TO_MEMORY, NULL), 4);
    cr_assert_eq(fake_read32(b.fb, 0x20000), 0x00000102);
    cr_assert_eq(fake_read32(b.fb, 0x2fffc), 0x03040000);
    fake_board_destroy(b.fb);
}

Test(i8237, autoinitialization_starts_over)
{
    struct bench b = bench_create();
    uint8_t buffer[8] = {0};
    bool tc;

    fill_memory(&b, 0x40000, 8);
    program(&b, 1, SINGLE | READ | AUTO, 0x40000, 3);
    for (unsigned i = 0; i < 3; i++) {
        cr_assert_eq(i8237_transfer(b.dma, 1, buffer, 8, I8237_FROM_MEMORY, &tc), 4);
        cr_assert(tc);
        cr_assert_eq(buffer[3], 3);
        cr_assert_eq(buffer[4], 0);
    }
    cr_assert_eq(read_word(&b, 0x02), 0x0000);
    cr_assert_eq(read_word(&b, 0x03), 3);
    fake_board_destroy(b.fb);
}

Test(i8237, verify_moves_the_count_only)
{
    struct bench b = bench_create();
    uint8_t buffer[4] = {1, 2, 3, 4};
    bool tc;

    program(&b, 2, SINGLE, 0x40000, 3);
    cr_assert_eq(i8237_transfer(b.dma, 2, buffer, 4, I8237_TO_MEMORY, &tc), 4);
    cr_assert(tc);
    cr_assert_eq(fake_read32(b.fb, 0x40000), 0);
    fake_board_destroy(b.fb);
}

Test(i8237, memory_that_is_not_there_reads_as_ones)
{
    struct bench b = bench_create();
    uint8_t buffer[4] = {0};

    program(&b, 2, SINGLE | READ, 0xf00000, 3);
    cr_assert_eq(i8237_transfer(b.dma, 2, buffer, 4, I8237_FROM_MEMORY, NULL), 4);
    cr_assert_eq(buffer[0], 0xff);
    cr_assert_eq(buffer[3], 0xff);
    fake_board_destroy(b.fb);
}

Test(i8237, a_count_of_ffff_moves_64_kib_and_no_more)
{
    struct bench b = bench_create();
    uint8_t *buffer = malloc(0x20000);
    bool tc;

    cr_assert_not_null(buffer);
    memset(buffer, 0x5a, 0x20000);
    program(&b, 2, SINGLE | WRITE, 0x58000, 0xffff);
    cr_assert_eq(i8237_transfer(b.dma, 2, buffer, 0x20000, I8237_TO_MEMORY, &tc), 0x10000);
    cr_assert(tc);
    cr_assert_eq(fake_read32(b.fb, 0x50000), 0x5a5a5a5a);
    cr_assert_eq(fake_read32(b.fb, 0x5fffc), 0x5a5a5a5a);
    cr_assert_eq(fake_read32(b.fb, 0x60000), 0);
    cr_assert_eq(fake_read32(b.fb, 0x4fffc), 0);
    free(buffer);
    fake_board_destroy(b.fb);
}

Test(i8237, masks_and_master_clear)
{
    struct bench b = bench_create();

    fake_outb(b.fb, 0x0e, 0);
    cr_assert_eq(fake_inb(b.fb, 0x0f), 0xf0);
    fake_outb(b.fb, 0x0f, 0x05);
    cr_assert_eq(fake_inb(b.fb, 0x0f), 0xf5);
    fake_outb(b.fb, 0x0a, 0x05);
    cr_assert_eq(fake_inb(b.fb, 0x0f), 0xf7);
    fake_outb(b.fb, 0x09, 0x06); /* software request of channel 2 */
    cr_assert_eq(fake_inb(b.fb, 0x08), 0x40);
    fake_outb(b.fb, 0x0d, 0);
    cr_assert_eq(fake_inb(b.fb, 0x0f), 0xff);
    cr_assert_eq(fake_inb(b.fb, 0x08), 0x00);
    cr_assert_eq(fake_inb(b.fb, 0x0d), 0x00);
    fake_board_destroy(b.fb);
}

Test(i8237, a_disabled_controller_moves_nothing)
{
    struct bench b = bench_create();
    uint8_t byte = 0;

    program(&b, 2, SINGLE | WRITE, 0x1000, 3);
    fake_outb(b.fb, 0x08, 0x04);
    cr_assert_eq(i8237_transfer(b.dma, 2, &byte, 1, I8237_TO_MEMORY, NULL), 0);
    fake_outb(b.fb, 0x08, 0x00);
    cr_assert_eq(i8237_transfer(b.dma, 2, &byte, 1, I8237_TO_MEMORY, NULL), 1);
    fake_board_destroy(b.fb);
}

static void count_call(void *opaque)
{
    ++*(unsigned *)opaque;
}

Test(i8237, a_waiting_device_hears_that_it_may_begin)
{
    struct bench b = bench_create();
    unsigned calls = 0;

    i8237_connect(b.dma, 2, count_call, &calls);
    program(&b, 2, SINGLE | WRITE, 0x1000, 3);
    cr_assert_eq(calls, 0, "no request yet");
    fake_outb(b.fb, 0x0a, 0x06);
    i8237_request(b.dma, 2, true);
    cr_assert_eq(fake_inb(b.fb, 0x08), 0x40);
    cr_assert_eq(calls, 0);
    fake_outb(b.fb, 0x0a, 0x02);
    cr_assert_eq(calls, 1);
    i8237_request(b.dma, 2, false);
    fake_outb(b.fb, 0x0a, 0x02);
    cr_assert_eq(calls, 1);
    fake_board_destroy(b.fb);
}

Test(i8237, page_ports_without_a_channel_are_memory)
{
    static const uint8_t ports[] = {0x84, 0x85, 0x86, 0x88, 0x8c, 0x8d, 0x8e, 0x89, 0x8a, 0x8f};
    struct bench b = bench_create();

    for (unsigned i = 0; i < ARRAY_LEN(ports); i++) {
        fake_outb(b.fb, ports[i], 0x10 + i);
    }
    for (unsigned i = 0; i < ARRAY_LEN(ports); i++) {
        cr_assert_eq(fake_inb(b.fb, ports[i]), 0x10 + i);
    }
    cr_assert_eq(b.dma->channel[6].page, 0x17);
    cr_assert_eq(fake_inb(b.fb, 0x80), 0xff, "the POST port is another device's");
    fake_board_destroy(b.fb);
}

static void target_create(struct fake_board *fb)
{
    cr_assert_not_null(i8237_create(&fb->board));
}

static void target_poke(struct fake_board *fb, uint64_t random)
{
    struct i8237 *dma = CONTAINER_OF(fb->board.devices, struct i8237, device);
    enum i8237_direction direction = random & 0x100 ? I8237_TO_MEMORY : I8237_FROM_MEMORY;
    uint8_t buffer[512];

    memset(buffer, (int)random, sizeof(buffer));
    i8237_request(dma, random >> 16 & 7, random & 0x200);
    i8237_transfer(dma, random >> 24 & 15, buffer, random >> 32 & 0x1ff, direction, NULL);
}

Test(i8237, keeps_the_device_contract)
{
    static const struct fuzz_target target = {
        .create = target_create,
        .poke = target_poke,
        .windows = {{.base = 0x00, .size = 16},
                    {.base = 0xc0, .size = 32},
                    {.base = 0x81, .size = 15},
                    {.base = 0x08, .size = 8}},
        .window_count = 4,
    };

    device_contract_check(&target, 20000);
}

Test(i8237, continues_from_a_snapshot_taken_inside_a_transfer)
{
    struct bench a = bench_create(), b = bench_create();
    uint8_t buffer[16] = {0};
    bool tc;

    fill_memory(&b, 0x21000, 16);
    program(&a, 2, SINGLE | READ, 0x21000, 15);
    cr_assert_eq(i8237_transfer(a.dma, 2, buffer, 6, I8237_FROM_MEMORY, &tc), 6);
    fake_expect_same_after_load(&a.dma->device, &b.dma->device);
    cr_assert_eq(i8237_transfer(b.dma, 2, buffer, 16, I8237_FROM_MEMORY, &tc), 10);
    cr_assert(tc);
    cr_assert_eq(buffer[0], 6);
    cr_assert_eq(buffer[9], 15);
    fake_board_destroy(a.fb);
    fake_board_destroy(b.fb);
}
