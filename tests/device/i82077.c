/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The floppy controller: every command, formats, DMA and programmed I/O, errors, disk change, the FIFO's bounds.
 *
 * Fake lines: 6, the interrupt. Drive 0 holds a disk, drive 1 is empty.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>

#include "devices/i82077.h"
#include "tests/device/fake_block.h"
#include "tests/device/port_fuzz.h"

#define MEMORY 0x20000u

enum { DOR = 0x3f2, MSR = 0x3f4, FIFO = 0x3f5, DIR = 0x3f7, CCR = 0x3f7 };
enum { RQM = 0x80, TO_HOST = 0x40, NON_DMA = 0x20, BUSY = 0x10 };

struct bench {
    struct fake_board *fb;
    struct i82077 *fdc;
    struct fake_block *disk, *empty;
};

static struct bench bench_create_with(uint64_t size)
{
    struct bench b = {.fb = fake_board_create()};
    struct block *block[2];

    b.disk = fake_block_create(&b.fb->clock, size);
    b.empty = fake_block_create(&b.fb->clock, 0);
    block[0] = &b.disk->block;
    block[1] = &b.empty->block;
    b.fdc = i82077_create(&b.fb->board, fake_line(b.fb, 6), i8237_create(&b.fb->board), block);
    return b;
}

static void bench_destroy(struct bench *b)
{
    struct fake_block *disk = b->disk, *empty = b->empty;

    fake_board_destroy(b->fb);
    fake_block_destroy(disk);
    fake_block_destroy(empty);
}

static void settle(struct bench *b)
{
    fake_step(b->fb, 10000000);
}

static void send(struct bench *b, unsigned count, const uint8_t *bytes)
{
    for (unsigned i = 0; i < count; i++) {
        cr_assert_eq(fake_inb(b->fb, MSR) & (RQM | TO_HOST), RQM, "byte %u of %02x", i, bytes[0]);
        fake_outb(b->fb, FIFO, bytes[i]);
    }
}

#define SEND(b, ...) send(b, sizeof((const uint8_t[]){__VA_ARGS__}), (const uint8_t[]){__VA_ARGS__})

/* The result phase, to its end. */
static unsigned result(struct bench *b, uint8_t bytes[16])
{
    unsigned count = 0;

    while ((fake_inb(b->fb, MSR) & (RQM | TO_HOST)) == (RQM | TO_HOST) && count < 16) {
        bytes[count++] = fake_inb(b->fb, FIFO);
    }
    cr_assert_eq(fake_inb(b->fb, MSR), RQM);
    return count;
}

static uint8_t sense(struct bench *b, uint8_t *cylinder)
{
    uint8_t bytes[16];

    SEND(b, 0x08);
    cr_assert_eq(result(b, bytes), 2);
    *cylinder = bytes[1];
    return bytes[0];
}

/* Reset, four senses, DMA mode. */
static void start(struct bench *b, uint8_t rate)
{
    uint8_t cylinder;

    fake_outb(b->fb, DOR, 0x00);
    fake_outb(b->fb, DOR, 0x0c);
    cr_assert(b->fb->lines[6].level);
    for (unsigned i = 0; i < 4; i++) {
        cr_assert_eq(sense(b, &cylinder), 0xc0 + i);
    }
    cr_assert_not(b->fb->lines[6].level);
    fake_outb(b->fb, CCR, rate);
    SEND(b, 0x03, 0xaf, 0x02);
    SEND(b, 0x07, 0x00);
    cr_assert_eq(sense(b, &cylinder), 0x20);
}

static struct bench bench_create(void)
{
    struct bench b = bench_create_with(1474560);

    start(&b, 0);
    b.fb->lines[6].rises = 0;
    return b;
}

/* Program DMA channel 2. mode: 46h to memory, 4Ah from memory. */
static void program_dma(struct bench *b, uint8_t mode, uint32_t address, uint16_t length)
{
    fake_outb(b->fb, 0x0a, 0x06);
    fake_outb(b->fb, 0x0c, 0);
    fake_outb(b->fb, 0x0b, mode);
    fake_outb(b->fb, 0x04, (uint8_t)address);
    fake_outb(b->fb, 0x04, (uint8_t)(address >> 8));
    fake_outb(b->fb, 0x81, (uint8_t)(address >> 16));
    fake_outb(b->fb, 0x05, (uint8_t)(length - 1));
    fake_outb(b->fb, 0x05, (uint8_t)((length - 1) >> 8));
    fake_outb(b->fb, 0x0a, 0x02);
}

static void seek(struct bench *b, uint8_t unit, uint8_t cylinder)
{
    uint8_t at;

    SEND(b, 0x0f, unit, cylinder);
    cr_assert_eq(sense(b, &at), 0x20 | unit);
    cr_assert_eq(at, cylinder);
}

static void expect_result(struct bench *b, uint8_t st0, uint8_t st1, uint8_t st2, uint8_t c, uint8_t h,
                          uint8_t r)
{
    uint8_t bytes[16];

    settle(b);
    cr_assert(b->fb->lines[6].level, "the result is announced");
    cr_assert_eq(result(b, bytes), 7);
    cr_assert_not(b->fb->lines[6].level);
    cr_assert_eq(bytes[0], st0, "ST0 %02x", bytes[0]);
    cr_assert_eq(bytes[1], st1, "ST1 %02x", bytes[1]);
    cr_assert_eq(bytes[2], st2, "ST2 %02x", bytes[2]);
    cr_assert_eq(bytes[3], c);
    cr_assert_eq(bytes[4], h);
    cr_assert_eq(bytes[5], r);
    cr_assert_eq(bytes[6], 2);
}

/* ---- registers and small commands ---- */

Test(i82077, reset_interrupts_and_is_sensed_four_times)
{
    struct bench b = bench_create_with(1474560);
    uint8_t bytes[16];

    cr_assert_eq(fake_inb(b.fb, MSR), 0, "in reset");
    start(&b, 0);
    SEND(&b, 0x08);
    cr_assert_eq(result(&b, bytes), 1, "nothing to sense");
    cr_assert_eq(bytes[0], 0x80);
    fake_outb(b.fb, 0x3f4, 0x80);
    cr_assert(b.fb->lines[6].level, "the DSR resets too");
    bench_destroy(&b);
}

Test(i82077, dmagate_holds_the_interrupt_back)
{
    struct bench b = bench_create_with(1474560);

    fake_outb(b.fb, DOR, 0x04);
    cr_assert_not(b.fb->lines[6].level);
    fake_outb(b.fb, DOR, 0x0c);
    cr_assert(b.fb->lines[6].level);
    bench_destroy(&b);
}

Test(i82077, polling_can_be_turned_off_and_locked)
{
    struct bench b = bench_create();
    uint8_t bytes[16];

    SEND(&b, 0x13, 0x00, 0x57, 0x11);
    SEND(&b, 0x94);
    cr_assert_eq(result(&b, bytes), 1);
    cr_assert_eq(bytes[0], 0x10);
    SEND(&b, 0x12, 0x8f);
    fake_outb(b.fb, DOR, 0x08);
    fake_outb(b.fb, DOR, 0x0c);
    cr_assert_not(b.fb->lines[6].level);
    SEND(&b, 0x0e);
    cr_assert_eq(result(&b, bytes), 10);
    cr_assert_eq(bytes[4], 0xaf);
    cr_assert_eq(bytes[5], 0x02);
    cr_assert_eq(bytes[7], 0x8c, "lock, D1 D0; GAP and WGATE are gone");
    cr_assert_eq(bytes[8], 0x57);
    cr_assert_eq(bytes[9], 0x11);
    SEND(&b, 0x14);
    cr_assert_eq(result(&b, bytes), 1);
    fake_outb(b.fb, DOR, 0x08);
    fake_outb(b.fb, DOR, 0x0c);
    cr_assert(b.fb->lines[6].level, "defaults are back");
    bench_destroy(&b);
}

Test(i82077, says_which_chip_it_is)
{
    struct bench b = bench_create();
    uint8_t bytes[16];

    SEND(&b, 0x10);
    cr_assert_eq(result(&b, bytes), 1);
    cr_assert_eq(bytes[0], 0x90);
    SEND(&b, 0x18);
    cr_assert_eq(result(&b, bytes), 1, "PART ID is the 82078's");
    cr_assert_eq(bytes[0], 0x80);
    bench_destroy(&b);
}

Test(i82077, seeks_and_sense_drive_status)
{
    struct bench b = bench_create();
    uint8_t bytes[16], cylinder;

    seek(&b, 0, 79);
    SEND(&b, 0x04, 0x04);
    cr_assert_eq(result(&b, bytes), 1);
    cr_assert_eq(bytes[0], 0x2c);
    SEND(&b, 0xcf, 0x00, 3);
    cr_assert_eq(sense(&b, &cylinder), 0x20);
    cr_assert_eq(cylinder, 82);
    SEND(&b, 0x8f, 0x00, 2);
    cr_assert_eq(sense(&b, &cylinder), 0x20);
    cr_assert_eq(cylinder, 80);
    SEND(&b, 0x07, 0x00);
    cr_assert_eq(sense(&b, &cylinder), 0x20);
    SEND(&b, 0x04, 0x00);
    result(&b, bytes);
    cr_assert_eq(bytes[0], 0x38, "track 0");
    SEND(&b, 0x07, 0x02);
    cr_assert_eq(sense(&b, &cylinder), 0x72, "no such drive: no track 0");
    bench_destroy(&b);
}

Test(i82077, drive_types_follow_the_disks)
{
    static const struct {
        uint32_t kib;
        enum i82077_drive_type type;
    } disks[] = {{360, I82077_360K},   {720, I82077_720K},   {1200, I82077_1200K}, {1440, I82077_1440K},
                 {1680, I82077_1440K}, {2880, I82077_2880K}, {0, I82077_1440K},    {1000, I82077_1440K}};

    for (unsigned i = 0; i < ARRAY_LEN(disks); i++) {
        struct bench b = bench_create_with(disks[i].kib * KIB);

        cr_assert_eq(i82077_drive_type(b.fdc, 0), disks[i].type);
        bench_destroy(&b);
    }
}

/* ---- reading and writing ---- */

Test(i82077, reads_by_dma_until_terminal_count)
{
    struct bench b = bench_create();

    seek(&b, 0, 10);
    program_dma(&b, 0x46, MEMORY, 3 * 512);
    SEND(&b, 0xe6, 0x04, 10, 1, 5, 2, 18, 0x1b, 0xff);
    cr_assert_eq(fake_inb(b.fb, MSR), BUSY);
    expect_result(&b, 0x04, 0, 0, 10, 1, 8);
    for (unsigned i = 0; i < 3; i++) {
        cr_assert_eq(fake_read32(b.fb, MEMORY + i * 512), (10 * 2 + 1) * 18 + 4 + i);
    }
    cr_assert_eq(fake_read32(b.fb, MEMORY + 3 * 512), 0);
    bench_destroy(&b);
}

Test(i82077, multi_track_goes_on_with_the_other_side)
{
    struct bench b = bench_create();

    program_dma(&b, 0x46, MEMORY, 36 * 512);
    SEND(&b, 0xe6, 0x00, 0, 0, 1, 2, 18, 0x1b, 0xff);
    expect_result(&b, 0x04, 0, 0, 1, 0, 1);
    for (unsigned i = 0; i < 36; i++) {
        cr_assert_eq(fake_read32(b.fb, MEMORY + i * 512), i);
    }
    program_dma(&b, 0x46, MEMORY, 2 * 512);
    SEND(&b, 0x46, 0x00, 0, 0, 18, 2, 18, 0x1b, 0xff);
    expect_result(&b, 0x40, 0x80, 0, 1, 0, 1);
    bench_destroy(&b);
}

Test(i82077, writes_by_dma_and_fills_the_last_sector_with_zeros)
{
    struct bench b = bench_create();

    for (unsigned i = 0; i < 1024; i += 4) {
        fake_write32(b.fb, MEMORY + i, 0x01010101 * (i / 512 + 1));
    }
    program_dma(&b, 0x4a, MEMORY, 1000);
    SEND(&b, 0x45, 0x00, 0, 0, 2, 2, 18, 0x1b, 0xff);
    expect_result(&b, 0x00, 0, 0, 0, 0, 4);
    cr_assert_eq(b.disk->bytes[512], 1);
    cr_assert_eq(b.disk->bytes[1024 + 1000 - 512 - 1], 2);
    cr_assert_eq(b.disk->bytes[1024 + 1000 - 512], 0);
    cr_assert_eq(b.disk->bytes[1536], 3, "the next sector is untouched");
    bench_destroy(&b);
}

Test(i82077, a_masked_channel_holds_the_transfer_until_it_opens)
{
    struct bench b = bench_create();

    program_dma(&b, 0x46, MEMORY, 512);
    fake_outb(b.fb, 0x0a, 0x06);
    SEND(&b, 0x46, 0x00, 0, 0, 1, 2, 18, 0x1b, 0xff);
    settle(&b);
    cr_assert_eq(fake_inb(b.fb, MSR), BUSY | TO_HOST);
    cr_assert_eq(fake_inb(b.fb, 0x08) & 0x40, 0x40, "DREQ");
    fake_outb(b.fb, 0x0a, 0x02);
    expect_result(&b, 0x00, 0, 0, 0, 0, 2);
    bench_destroy(&b);
}

Test(i82077, programmed_io_moves_bytes_through_the_fifo)
{
    struct bench b = bench_create();
    uint8_t data[1024];

    SEND(&b, 0x03, 0xaf, 0x03);
    SEND(&b, 0x46, 0x00, 0, 0, 17, 2, 18, 0x1b, 0xff);
    settle(&b);
    cr_assert(b.fb->lines[6].level);
    for (unsigned i = 0; i < 1024; i++) {
        cr_assert_eq(fake_inb(b.fb, MSR), RQM | TO_HOST | NON_DMA | BUSY);
        data[i] = fake_inb(b.fb, FIFO);
    }
    cr_assert_eq(load_le32(data), 16);
    cr_assert_eq(load_le32(data + 512), 17);
    expect_result(&b, 0x40, 0x80, 0, 1, 0, 1);
    SEND(&b, 0x45, 0x00, 0, 0, 18, 2, 18, 0x1b, 0xff);
    for (unsigned i = 0; i < 512; i++) {
        cr_assert_eq(fake_inb(b.fb, MSR), RQM | NON_DMA | BUSY);
        fake_outb(b.fb, FIFO, 0x77);
    }
    expect_result(&b, 0x40, 0x80, 0, 1, 0, 1);
    cr_assert_eq(b.disk->bytes[17 * 512], 0x77);
    cr_assert_eq(b.disk->bytes[18 * 512 - 1], 0x77);
    bench_destroy(&b);
}

Test(i82077, implied_seeks_find_the_cylinder)
{
    struct bench b = bench_create();

    program_dma(&b, 0x46, MEMORY, 512);
    SEND(&b, 0x46, 0x00, 40, 0, 1, 2, 18, 0x1b, 0xff);
    expect_result(&b, 0x40, 0x04, 0x10, 40, 0, 1);
    SEND(&b, 0x13, 0x00, 0x40, 0x00);
    SEND(&b, 0x46, 0x00, 40, 0, 1, 2, 18, 0x1b, 0xff);
    expect_result(&b, 0x00, 0, 0, 40, 0, 2);
    cr_assert_eq(fake_read32(b.fb, MEMORY), 40 * 36);
    bench_destroy(&b);
}

Test(i82077, every_standard_format_reads_to_its_last_sector)
{
    static const struct {
        uint32_t kib;
        uint8_t tracks, heads, sectors, rate;
    } disks[] = {{160, 40, 1, 8, 2},   {180, 40, 1, 9, 2},   {320, 40, 2, 8, 2},
                 {360, 40, 2, 9, 2},   {720, 80, 2, 9, 2},   {1200, 80, 2, 15, 0},
                 {1440, 80, 2, 18, 0}, {1680, 80, 2, 21, 0}, {2880, 80, 2, 36, 3}};

    for (unsigned i = 0; i < ARRAY_LEN(disks); i++) {
        struct bench b = bench_create_with(disks[i].kib * KIB);
        uint8_t track = disks[i].tracks - 1, head = disks[i].heads - 1, sectors = disks[i].sectors;

        start(&b, disks[i].rate ^ 1);
        seek(&b, 0, track);
        SEND(&b, 0x4a, 0x00);
        expect_result(&b, 0x40, 0x01, 0, 0, 0, 1);
        fake_outb(b.fb, CCR, disks[i].rate);
        SEND(&b, 0x4a, 0x00);
        expect_result(&b, 0x00, 0, 0, track, 0, 1);
        program_dma(&b, 0x46, MEMORY, 512);
        SEND(&b, 0x46, head << 2, track, head, sectors, 2, sectors, 0x1b, 0xff);
        expect_result(&b, head << 2, 0, 0, track + 1, head, 1);
        cr_assert_eq(fake_read32(b.fb, MEMORY), disks[i].kib * 2 - 1);
        SEND(&b, 0x46, 0x00, track, 0, sectors + 1, 2, sectors + 1, 0x1b, 0xff);
        expect_result(&b, 0x40, 0x04, 0, track, 0, sectors + 1);
        bench_destroy(&b);
    }
}

Test(i82077, a_40_track_disk_in_a_1200k_drive_needs_double_steps)
{
    struct bench b = bench_create_with(1200 * KIB);

    start(&b, 1);
    fake_block_change(b.disk, 360 * KIB, false);
    seek(&b, 0, 20);
    SEND(&b, 0x4a, 0x00);
    expect_result(&b, 0x00, 0, 0, 10, 0, 1);
    bench_destroy(&b);
}

Test(i82077, formats_a_track)
{
    struct bench b = bench_create();

    for (unsigned i = 0; i < 18; i++) {
        fake_write32(b.fb, MEMORY + i * 4, 0x02000103 | ((i * 5 % 18) + 1) << 16);
    }
    seek(&b, 0, 3);
    program_dma(&b, 0x4a, MEMORY, 18 * 4);
    SEND(&b, 0x4d, 0x04, 2, 18, 0x54, 0xf6);
    expect_result(&b, 0x04, 0, 0, 3, 1, 18);
    cr_assert_eq(b.disk->bytes[(3 * 2 + 1) * 18 * 512], 0xf6);
    cr_assert_eq(b.disk->bytes[(3 * 2 + 2) * 18 * 512 - 1], 0xf6);
    cr_assert_neq(b.disk->bytes[(3 * 2 + 2) * 18 * 512 + 4], 0xf6);
    program_dma(&b, 0x4a, MEMORY, 9 * 4);
    SEND(&b, 0x4d, 0x04, 2, 9, 0x54, 0xf6);
    expect_result(&b, 0x44, 0x04, 0, 3, 1, 1);
    fake_write32(b.fb, MEMORY, 0x02020103);
    fake_write32(b.fb, MEMORY + 4, 0x02020103);
    program_dma(&b, 0x4a, MEMORY, 18 * 4);
    SEND(&b, 0x4d, 0x04, 2, 18, 0x54, 0x00);
    expect_result(&b, 0x44, 0x04, 0, 3, 1, 1);
    cr_assert_eq(b.disk->bytes[(3 * 2 + 1) * 18 * 512], 0xf6, "two sectors with one number");
    bench_destroy(&b);
}

Test(i82077, verify_and_read_track)
{
    struct bench b = bench_create();

    SEND(&b, 0xf6, 0x80, 0, 0, 1, 2, 18, 0x1b, 20);
    expect_result(&b, 0x04, 0, 0, 0, 1, 3);
    SEND(&b, 0x56, 0x00, 0, 0, 1, 2, 18, 0x1b, 0xff);
    expect_result(&b, 0x00, 0, 0, 1, 0, 1);
    program_dma(&b, 0x46, MEMORY, 512);
    SEND(&b, 0x42, 0x00, 0, 0, 9, 2, 18, 0x1b, 0xff);
    expect_result(&b, 0x00, 0, 0, 0, 0, 2);
    cr_assert_eq(fake_read32(b.fb, MEMORY), 0, "from the index hole on");
    bench_destroy(&b);
}

Test(i82077, deleted_data)
{
    struct bench b = bench_create();

    program_dma(&b, 0x46, MEMORY, 4 * 512);
    SEND(&b, 0x4c, 0x00, 0, 0, 3, 2, 18, 0x1b, 0xff);
    expect_result(&b, 0x00, 0, 0x40, 0, 0, 4);
    cr_assert_eq(fake_read32(b.fb, MEMORY), 2);
    SEND(&b, 0x6c, 0x00, 0, 0, 3, 2, 18, 0x1b, 0xff);
    expect_result(&b, 0x40, 0x04, 0, 0, 0, 3);
    bench_destroy(&b);
}

/* ---- errors ---- */

Test(i82077, missing_disk_drive_or_mark)
{
    struct bench b = bench_create();

    program_dma(&b, 0x46, MEMORY, 512);
    SEND(&b, 0x46, 0x01, 0, 0, 1, 2, 18, 0x1b, 0xff);
    expect_result(&b, 0x41, 0x01, 0, 0, 0, 1);
    SEND(&b, 0x46, 0x03, 0, 0, 1, 2, 18, 0x1b, 0xff);
    expect_result(&b, 0x43, 0x01, 0, 0, 0, 1);
    SEND(&b, 0x06, 0x00, 0, 0, 1, 2, 18, 0x1b, 0xff);
    expect_result(&b, 0x40, 0x01, 0, 0, 0, 1);
    SEND(&b, 0x46, 0x00, 0, 1, 1, 2, 18, 0x1b, 0xff);
    expect_result(&b, 0x40, 0x04, 0, 0, 0, 1);
    SEND(&b, 0x46, 0x00, 0, 0, 0, 2, 18, 0x1b, 0xff);
    expect_result(&b, 0x40, 0x04, 0, 0, 0, 0);
    bench_destroy(&b);
}

Test(i82077, host_errors_are_data_errors)
{
    struct bench b = bench_create();

    program_dma(&b, 0x46, MEMORY, 4 * 512);
    fake_block_fail(b.disk, BLOCK_READ, -EIO, 1);
    SEND(&b, 0x46, 0x00, 0, 0, 1, 2, 18, 0x1b, 0xff);
    expect_result(&b, 0x00, 0, 0, 0, 0, 5);
    fake_block_fail(b.disk, BLOCK_READ, -EIO, 2);
    program_dma(&b, 0x46, MEMORY, 4 * 512);
    SEND(&b, 0x46, 0x00, 0, 0, 1, 2, 18, 0x1b, 0xff);
    expect_result(&b, 0x40, 0x20, 0x20, 0, 0, 1);
    fake_block_fail(b.disk, BLOCK_WRITE, -ENOSPC, 1);
    program_dma(&b, 0x4a, MEMORY, 512);
    SEND(&b, 0x45, 0x00, 0, 0, 9, 2, 18, 0x1b, 0xff);
    expect_result(&b, 0x40, 0x20, 0x20, 0, 0, 9);
    cr_assert_eq(load_le32(b.disk->bytes + 8 * 512), 8);
    bench_destroy(&b);
}

Test(i82077, a_protected_disk_is_not_written)
{
    struct bench b = bench_create();
    uint8_t bytes[16];

    b.disk->block.read_only = true;
    SEND(&b, 0x45, 0x00, 0, 0, 9, 2, 18, 0x1b, 0xff);
    expect_result(&b, 0x40, 0x02, 0, 0, 0, 9);
    SEND(&b, 0x4d, 0x00, 2, 18, 0x54, 0xf6);
    expect_result(&b, 0x40, 0x02, 0, 0, 0, 1);
    SEND(&b, 0x04, 0x00);
    result(&b, bytes);
    cr_assert_eq(bytes[0] & 0x40, 0x40);
    bench_destroy(&b);
}

Test(i82077, a_short_image_ends_early)
{
    struct bench b = bench_create_with(4 * 512);

    start(&b, 0);
    program_dma(&b, 0x46, MEMORY, 512);
    SEND(&b, 0x46, 0x00, 0, 0, 4, 2, 4, 0x1b, 0xff);
    expect_result(&b, 0x00, 0, 0, 1, 0, 1);
    cr_assert_eq(fake_read32(b.fb, MEMORY), 3);
    SEND(&b, 0x46, 0x00, 0, 0, 5, 2, 5, 0x1b, 0xff);
    expect_result(&b, 0x40, 0x04, 0, 0, 0, 5);
    bench_destroy(&b);
}

Test(i82077, the_disk_change_line_falls_with_a_seek)
{
    struct bench b = bench_create();

    cr_assert_eq(fake_inb(b.fb, DIR), 0);
    fake_block_change(b.disk, 1474560, false);
    cr_assert_eq(fake_inb(b.fb, DIR), 0x80);
    seek(&b, 0, 1);
    cr_assert_eq(fake_inb(b.fb, DIR), 0);
    fake_block_change(b.disk, 0, false);
    seek(&b, 0, 2);
    cr_assert_eq(fake_inb(b.fb, DIR), 0x80, "no disk");
    fake_outb(b.fb, DOR, 0x0d);
    cr_assert_eq(fake_inb(b.fb, DIR), 0x80, "drive 1 is empty");
    fake_outb(b.fb, DOR, 0x0e);
    cr_assert_eq(fake_inb(b.fb, DIR), 0, "nobody drives it");
    bench_destroy(&b);
}

Test(i82077, a_reset_while_the_disk_works_forgets_the_read)
{
    struct bench b = bench_create();

    b.disk->instant = false;
    program_dma(&b, 0x46, MEMORY, 512);
    SEND(&b, 0x46, 0x00, 0, 0, 1, 2, 18, 0x1b, 0xff);
    fake_outb(b.fb, DOR, 0x00);
    fake_outb(b.fb, DOR, 0x0c);
    settle(&b);
    cr_assert_eq(fake_inb(b.fb, MSR), RQM);
    cr_assert_eq(b.disk->drops, 1);
    bench_destroy(&b);
}

/* ---- the FIFO's bounds (CVE-2015-3456) ---- */

static void expect_indexes_inside(const struct i82077 *fdc)
{
    cr_assert_lt(fdc->command_count, I82077_COMMAND_MAX);
    cr_assert_leq(fdc->result_count, I82077_RESULT_MAX);
    cr_assert_leq(fdc->result_position, fdc->result_count);
    cr_assert_leq(fdc->position, fdc->length);
    cr_assert_leq(fdc->length, sizeof(fdc->buffer));
}

Test(i82077, no_command_moves_an_index_out_of_its_buffer)
{
    struct bench b = bench_create();

    for (unsigned code = 0; code < 256 * 4; code++) {
        uint8_t fill = code / 256 == 0 ? 0x00 : code / 256 == 1 ? 0xff : code / 256 == 2 ? 0x12 : 0x80;

        SEND(&b, 0x03, 0xaf, code / 256 & 1 ? 0x02 : 0x03);
        for (unsigned length = 0; length < 12; length++) {
            fake_outb(b.fb, FIFO, (uint8_t)code);
            for (unsigned i = 0; i < length + 600; i++) {
                fake_outb(b.fb, FIFO, fill);
                expect_indexes_inside(b.fdc);
            }
            settle(&b);
            for (unsigned i = 0; i < 700; i++) {
                fake_inb(b.fb, FIFO);
                expect_indexes_inside(b.fdc);
            }
            fake_outb(b.fb, DOR, 0x00);
            fake_outb(b.fb, DOR, 0x0c);
            expect_indexes_inside(b.fdc);
        }
    }
    bench_destroy(&b);
}

/* ---- snapshots and the device contract ---- */

Test(i82077, continues_from_a_snapshot_in_every_phase)
{
    struct bench a = bench_create(), b = bench_create();
    uint8_t bytes[16];
    struct i8237 *dma_a = CONTAINER_OF(board_find_device(&a.fb->board, "i8237"), struct i8237, device);
    struct i8237 *dma_b = CONTAINER_OF(board_find_device(&b.fb->board, "i8237"), struct i8237, device);

    fake_outb(a.fb, DOR, 0x0c);
    program_dma(&a, 0x46, MEMORY, 700);
    SEND(&a, 0x46, 0x00, 0, 0, 7);
    fake_expect_same_after_load(&dma_a->device, &dma_b->device);
    fake_expect_same_after_load(&a.fdc->device, &b.fdc->device); /* among the parameters */
    SEND(&b, 2, 18, 0x1b, 0xff);
    fake_expect_same_after_load(&b.fdc->device, &a.fdc->device); /* while the disk works */
    fake_outb(a.fb, 0x0a, 0x06);
    settle(&a);
    fake_expect_same_after_load(&dma_a->device, &dma_b->device);
    fake_expect_same_after_load(&a.fdc->device, &b.fdc->device); /* with data waiting */
    fake_outb(b.fb, 0x0a, 0x02);
    cr_assert_eq(fake_read32(b.fb, MEMORY + 512), 7);
    cr_assert_eq(fake_inb(b.fb, FIFO), 0x00);
    fake_expect_same_after_load(&b.fdc->device, &a.fdc->device); /* in the result */
    cr_assert_eq(result(&a, bytes), 6);
    cr_assert_eq(bytes[4], 9);
    bench_destroy(&a);
    bench_destroy(&b);
}

/* The fuzzed board's disk goes with the board. */
struct disk_holder {
    struct device device;
    struct fake_block *disk;
};

static void holder_reset(struct device *device)
{
    (void)device;
}

static void holder_fini(struct device *device)
{
    struct disk_holder *holder = CONTAINER_OF(device, struct disk_holder, device);

    fake_block_destroy(holder->disk);
    free(holder);
}

static const struct snap_desc holder_snap = {.name = "holder", .version = 1};
static const struct device_ops holder_ops = {
    .name = "holder", .reset = holder_reset, .fini = holder_fini, .snap = &holder_snap};

static void create_board(struct fake_board *fb)
{
    struct disk_holder *holder = calloc(1, sizeof(*holder));
    struct block *block[2] = {0};

    device_init(&holder->device, &holder_ops, &fb->board, NULL);
    holder->disk = fake_block_create(&fb->clock, 1474560);
    holder->disk->block.read_only = true; /* its contents are not part of the snapshots */
    block[0] = &holder->disk->block;
    cr_assert_not_null(i82077_create(&fb->board, fake_line(fb, 6), i8237_create(&fb->board), block));
}

static void poke(struct fake_board *fb, uint64_t random)
{
    static const uint8_t codes[] = {0xe6, 0x46, 0x45, 0x4d, 0x4a, 0x07, 0x08,
                                    0x0f, 0x13, 0x0e, 0x56, 0x42, 0x4c};
    uint8_t head = random >> 8 & 1;
    uint8_t bytes[9] = {codes[random % ARRAY_LEN(codes)],
                        head << 2,
                        0,
                        head,
                        random >> 16 & 31,
                        2,
                        random >> 24 & 31,
                        0x1b,
                        0xff};

    fake_outb(fb, DOR, 0x0c);
    fake_outb(fb, CCR, random >> 40 & 8 ? 0 : 2);
    for (unsigned i = 0; i < 9; i++) {
        fake_outb(fb, FIFO, bytes[i]);
    }
    fake_outb(fb, 0x0b, random >> 48 & 1 ? 0x46 : 0x4a);
    fake_outb(fb, 0x0a, 2);
}

Test(i82077, keeps_the_device_contract, .timeout = 300)
{
    static const struct fuzz_target target = {
        .create = create_board,
        .poke = poke,
        .windows = {{.base = 0x3f0, .size = 8}, {.base = 0x3f5, .size = 1}, {.base = 0x00, .size = 16}},
        .window_count = 3,
        .max_step_ns = 1000000,
    };

    device_contract_check(&target, 20000);
}
