/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The CD/DVD drive: the PACKET protocol by PIO and DMA, packet commands, sense data, media changes, raw sectors.
 *
 * The drive is the secondary master; fake line 15 is its interrupt.
 */
#include "tests/device/ide_bench.h"

enum { BASE = 0x170, REASON = BASE + 2, COUNT_LOW = BASE + 4, COUNT_HIGH = BASE + 5, STATUS = BASE + 7 };
enum { COD = 1, IO = 2 };

/* Begin a packet command; `limit` bytes at most in a DRQ block. */
static void begin(struct bench *b, const uint8_t packet[12], uint16_t limit, bool dma)
{
    fake_outb(b->fb, BASE + 6, 0xa0);
    fake_outb(b->fb, BASE + 1, dma);
    fake_outb(b->fb, COUNT_LOW, limit & 0xff);
    fake_outb(b->fb, COUNT_HIGH, limit >> 8);
    fake_outb(b->fb, BASE + 7, 0xa0);
    cr_assert_eq(fake_inb(b->fb, 0x376), READY | DRQ);
    cr_assert_eq(fake_inb(b->fb, REASON), COD);
    write_words(b, BASE, packet, 6);
}

/* Take the data of a command, DRQ block by DRQ block; returns their number of bytes. The status is left to read. */
static unsigned take(struct bench *b, uint8_t *data, unsigned size)
{
    unsigned total = 0;

    settle(b);
    while (fake_inb(b->fb, STATUS) & DRQ) {
        unsigned count = fake_inb(b->fb, COUNT_LOW) | fake_inb(b->fb, COUNT_HIGH) << 8;

        cr_assert_eq(fake_inb(b->fb, REASON), IO);
        cr_assert_leq(total + count + 1, size);
        read_words(b, BASE, data + total, (count + 1) / 2);
        total += count;
        settle(b);
    }
    cr_assert_eq(fake_inb(b->fb, REASON), IO | COD);
    return total;
}

/* A whole command: bytes of data, or -1 after CHECK CONDITION. */
static int packet(struct bench *b, const uint8_t bytes[12], uint8_t *data, unsigned size)
{
    unsigned count;

    begin(b, bytes, 0xfffe, false);
    count = take(b, data, size);
    return fake_inb(b->fb, 0x376) & ERR ? -1 : (int)count;
}

#define PACKET(b, data, ...) packet(b, (const uint8_t[12]){__VA_ARGS__}, data, sizeof(data))

/* The command fails with this sense key and additional code. */
static void expect_sense(struct bench *b, uint8_t key, uint16_t code)
{
    uint8_t data[64];

    cr_assert_eq(fake_inb(b->fb, BASE + 1) >> 4, key);
    cr_assert_eq(PACKET(b, data, 0x03, 0, 0, 0, 18), 18);
    cr_assert_eq(data[0], 0x70);
    cr_assert_eq(data[2], key, "key %x", data[2]);
    cr_assert_eq(data[12] << 8 | data[13], code, "code %02x%02x", data[12], data[13]);
}

#define EXPECT_FAILURE(b, key, code, ...)                                                                    \
    do {                                                                                                     \
        uint8_t scratch[4096];                                                                               \
        cr_assert_eq(PACKET(b, scratch, __VA_ARGS__), -1);                                                   \
        expect_sense(b, key, code);                                                                          \
    } while (0)

static struct bench ready_bench(void)
{
    struct bench b = bench_create();
    uint8_t data[64];

    fake_outb(b.fb, BASE + 6, 0xa0);
    cr_assert_eq(PACKET(&b, data, 0x00), -1);
    expect_sense(&b, 6, 0x2900);
    cr_assert_eq(PACKET(&b, data, 0x00), 0);
    return b;
}

/* ---- ATA side ---- */

Test(atapi, is_found_by_its_signature)
{
    struct bench b = bench_create();
    uint16_t word[256];

    fake_outb(b.fb, BASE + 6, 0xa0);
    cr_assert_eq(fake_inb(b.fb, STATUS), 0);
    cr_assert_eq(fake_inb(b.fb, COUNT_LOW), 0x14);
    cr_assert_eq(fake_inb(b.fb, COUNT_HIGH), 0xeb);
    fake_outb(b.fb, COUNT_LOW, 0);
    fake_outb(b.fb, BASE + 7, 0xec);
    cr_assert_eq(fake_inb(b.fb, STATUS), READY | ERR);
    cr_assert_eq(fake_inb(b.fb, BASE + 1), ABRT);
    cr_assert_eq(fake_inb(b.fb, COUNT_LOW), 0x14);
    fake_outb(b.fb, BASE + 7, 0xa1);
    cr_assert_eq(fake_inb(b.fb, STATUS), READY | DRQ);
    read_words(&b, BASE, word, 256);
    cr_assert_eq(word[0], 0x85c0);
    cr_assert_eq(word[49] & 0x0300, 0x0300);
    cr_assert_eq(word[82] & 0x0210, 0x0210);
    cr_assert_eq(fake_inb(b.fb, STATUS), READY);
    bench_destroy(&b);
}

Test(atapi, device_reset_works_in_the_middle_of_a_command)
{
    struct bench b = ready_bench();
    uint8_t data[64];

    begin(&b, (const uint8_t[12]){0x28, [8] = 4}, 2048, false);
    fake_outb(b.fb, BASE + 7, 0x08);
    cr_assert_eq(fake_inb(b.fb, STATUS), 0);
    cr_assert_eq(fake_inb(b.fb, COUNT_HIGH), 0xeb);
    b.fb->lines[15].rises = 0;
    settle(&b);
    cr_assert_eq(b.fb->lines[15].rises, 0);
    cr_assert_eq(PACKET(&b, data, 0x00), 0);
    bench_destroy(&b);
}

/* ---- reading ---- */

Test(atapi, reads_in_drq_blocks_within_the_byte_count)
{
    struct bench b = ready_bench();
    static uint8_t data[8 * 2048 + 2];
    unsigned before;

    begin(&b, (const uint8_t[12]){0x28, 0, 0, 0, 0, 100, 0, 0, 8}, 5000, false);
    settle(&b);
    cr_assert_eq(fake_inb(b.fb, COUNT_LOW) | fake_inb(b.fb, COUNT_HIGH) << 8, 4096, "whole sectors");
    before = b.fb->lines[15].rises;
    cr_assert_eq(take(&b, data, sizeof(data)), 8 * 2048);
    cr_assert_eq(b.fb->lines[15].rises - before, 4, "three more blocks and the end");
    expect_sectors(data, 400, 32);
    begin(&b, (const uint8_t[12]){0xa8, 0, 0, 0, 0, 7, 0, 0, 0, 1}, 100, false);
    cr_assert_eq(take(&b, data, sizeof(data)), 2048);
    expect_sectors(data, 28, 4);
    bench_destroy(&b);
}

Test(atapi, reads_by_dma)
{
    struct bench b = ready_bench();

    put_prd(&b, 0, MEMORY, 2048, false);
    put_prd(&b, 1, MEMORY + 0x4000, 31 * 2048, false);
    put_prd(&b, 2, MEMORY + 0x100000, 0, false);
    put_prd(&b, 3, MEMORY + 0x200000, 0x9000, true);
    begin(&b, (const uint8_t[12]){0x28, 0, 0, 0, 0, 10, 0, 0, 82}, 0, true);
    start_dma(&b, 1, true);
    settle(&b);
    cr_assert_eq(fake_inb(b.fb, STATUS), READY);
    cr_assert_eq(fake_inb(b.fb, REASON), IO | COD);
    cr_assert_eq(fake_read32(b.fb, MEMORY), 40);
    cr_assert_eq(fake_read32(b.fb, MEMORY + 0x4000), 44);
    cr_assert_eq(fake_read32(b.fb, MEMORY + 0x200000 + 0x8e00), 40 + 82 * 4 - 1);
    cr_assert_eq(fake_inb(b.fb, BM + 8 + 2) & 7, 4);
    bench_destroy(&b);
}

Test(atapi, answers_by_dma_too)
{
    struct bench b = ready_bench();

    put_prd(&b, 0, MEMORY, 36, true);
    begin(&b, (const uint8_t[12]){0x12, 0, 0, 0, 36}, 0, true);
    start_dma(&b, 1, true);
    cr_assert_eq(fake_inb(b.fb, BM + 8 + 2) & 7, 4);
    cr_assert_eq(fake_read32(b.fb, MEMORY), 0x21008005);
    bench_destroy(&b);
}

Test(atapi, refuses_addresses_beyond_the_end)
{
    struct bench b = ready_bench();
    uint8_t data[2050];

    EXPECT_FAILURE(&b, 5, 0x2100, 0x28, 0, 0, 0, 1, 0x8f, 0, 0, 2);
    EXPECT_FAILURE(&b, 5, 0x2100, 0xa8, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff);
    EXPECT_FAILURE(&b, 5, 0x2100, 0x2b, 0, 0, 0, 1, 0x90);
    cr_assert_eq(PACKET(&b, data, 0x28, 0, 0, 0, 1, 0x8f, 0, 0, 1), 2048);
    cr_assert_eq(PACKET(&b, data, 0x28, 0, 0, 0, 1, 0x8f, 0, 0, 0), 0);
    cr_assert_eq(PACKET(&b, data, 0x2b, 0, 0, 0, 1, 0x8f), 0);
    bench_destroy(&b);
}

Test(atapi, a_bad_sector_is_a_medium_error)
{
    struct bench b = ready_bench();
    static uint8_t data[3 * 2048];

    fake_block_fail(b.cd, BLOCK_READ, -EIO, 2);
    EXPECT_FAILURE(&b, 3, 0x1100, 0x28, 0, 0, 0, 0, 9, 0, 0, 2);
    fake_block_fail(b.cd, BLOCK_READ, -EIO, 1);
    cr_assert_eq(PACKET(&b, data, 0x28, 0, 0, 0, 0, 9, 0, 0, 2), 4096, "sector by sector it can be read");
    expect_sectors(data, 36, 8);
    bench_destroy(&b);
}

/* ---- answers ---- */

Test(atapi, inquiry_capacity_and_mechanism)
{
    struct bench b = ready_bench();
    uint8_t data[256];

    cr_assert_eq(PACKET(&b, data, 0x12, 0, 0, 0, 255), 36);
    cr_assert_eq(data[0], 5);
    cr_assert_eq(data[1], 0x80);
    cr_assert_arr_eq(data + 8, "HYPATIA ", 8);
    cr_assert_eq(PACKET(&b, data, 0x12, 0, 0, 0, 5), 5);
    cr_assert_eq(PACKET(&b, data, 0x12, 0, 0, 0, 0), 0);
    EXPECT_FAILURE(&b, 5, 0x2400, 0x12, 1, 0, 0, 36);
    cr_assert_eq(PACKET(&b, data, 0x25), 8);
    cr_assert_arr_eq(data, ((uint8_t[]){0, 0, 1, 0x8f, 0, 0, 8, 0}), 8);
    cr_assert_eq(PACKET(&b, data, 0xbd, 0, 0, 0, 0, 0, 0, 0, 0, 8), 8);
    bench_destroy(&b);
}

Test(atapi, table_of_contents)
{
    struct bench b = ready_bench();
    uint8_t data[256];

    cr_assert_eq(PACKET(&b, data, 0x43, 0, 0, 0, 0, 0, 0, 0, 255), 20);
    cr_assert_arr_eq(
        data, ((uint8_t[]){0, 18, 1, 1, 0, 0x14, 1, 0, 0, 0, 0, 0, 0, 0x14, 0xaa, 0, 0, 0, 1, 0x90}), 20);
    cr_assert_eq(PACKET(&b, data, 0x43, 2, 0, 0, 0, 0, 0xaa, 0, 255), 12);
    cr_assert_arr_eq(data + 4, ((uint8_t[]){0, 0x14, 0xaa, 0, 0, 0, 7, 25}), 8, "550 frames");
    cr_assert_eq(PACKET(&b, data, 0x43, 0, 1, 0, 0, 0, 0, 0, 255), 12);
    cr_assert_eq(PACKET(&b, data, 0x43, 0, 0, 0, 0, 0, 0, 0, 255, 0x40), 12, "as SFF-8020i asks");
    cr_assert_eq(PACKET(&b, data, 0x43, 2, 2, 0, 0, 0, 0, 0, 255), 48);
    cr_assert_eq(data[4 + 3], 0xa0);
    cr_assert_eq(data[4 + 33 + 3], 1);
    cr_assert_eq(data[4 + 33 + 9], 2, "track 1 at 00:02:00");
    EXPECT_FAILURE(&b, 5, 0x2400, 0x43, 0, 0, 0, 0, 0, 2, 0, 255);
    EXPECT_FAILURE(&b, 5, 0x2400, 0x43, 0, 5, 0, 0, 0, 0, 0, 255);
    bench_destroy(&b);
}

Test(atapi, configuration_names_the_profile)
{
    struct bench b = ready_bench();
    uint8_t data[256];
    int all = PACKET(&b, data, 0x46, 0, 0, 0, 0, 0, 0, 0, 255);

    cr_assert_eq(data[3], all - 4);
    cr_assert_eq(data[7], 0x08, "CD-ROM");
    cr_assert_eq(PACKET(&b, data, 0x46, 2, 0, 3, 0, 0, 0, 0, 255), 16);
    cr_assert_eq(data[9], 3);
    fake_block_change(b.cd, 0, false);
    cr_assert_eq(PACKET(&b, data, 0x46, 0, 0, 0, 0, 0, 0, 0, 8), 8, "needs neither a medium nor attention");
    cr_assert_eq(data[7], 0);
    fake_block_change(b.cd, 960 * MIB, false);
    PACKET(&b, data, 0x46, 0, 0, 0, 0, 0, 0, 0, 8);
    cr_assert_eq(data[7], 0x10, "DVD-ROM");
    bench_destroy(&b);
}

Test(atapi, mode_pages)
{
    struct bench b = ready_bench();
    uint8_t data[256];

    cr_assert_eq(PACKET(&b, data, 0x5a, 0, 0x2a, 0, 0, 0, 0, 0, 255), 28);
    cr_assert_eq(data[1], 26);
    cr_assert_eq(data[8], 0x2a);
    cr_assert_eq(data[9], 18);
    cr_assert_eq(data[14] & 2, 0);
    PACKET(&b, data, 0x1e, 0, 0, 0, 1);
    cr_assert_eq(PACKET(&b, data, 0x5a, 0, 0x3f, 0, 0, 0, 0, 0, 255), 8 + 8 + 16 + 20);
    cr_assert_eq(data[8 + 8 + 16 + 6] & 2, 2, "locked");
    cr_assert_eq(PACKET(&b, data, 0x5a, 0, 0x6a, 0, 0, 0, 0, 0, 255), 28);
    cr_assert_eq(data[10], 0, "nothing is changeable");
    EXPECT_FAILURE(&b, 5, 0x3900, 0x5a, 0, 0xea, 0, 0, 0, 0, 0, 255);
    EXPECT_FAILURE(&b, 5, 0x2400, 0x5a, 0, 0x05, 0, 0, 0, 0, 0, 255);
    bench_destroy(&b);
}

Test(atapi, disc_track_and_subchannel_information)
{
    struct bench b = ready_bench();
    static uint8_t data[4096];

    cr_assert_eq(PACKET(&b, data, 0x51, 0, 0, 0, 0, 0, 0, 0, 255), 34);
    cr_assert_eq(data[2], 0x0e);
    cr_assert_eq(PACKET(&b, data, 0x52, 1, 0, 0, 0, 1, 0, 0, 255), 36);
    cr_assert_eq(load_le32(data + 24), 0x90010000);
    EXPECT_FAILURE(&b, 5, 0x2400, 0x52, 1, 0, 0, 0, 2, 0, 0, 255);
    cr_assert_eq(PACKET(&b, data, 0x42, 0, 0x40, 1, 0, 0, 0, 0, 255), 16);
    cr_assert_eq(data[1], 0x15);
    EXPECT_FAILURE(&b, 5, 0x3002, 0xad, 0, 0, 0, 0, 0, 0, 0, 8);
    fake_block_change(b.cd, 960 * MIB, false);
    PACKET(&b, data, 0x00);
    cr_assert_eq(PACKET(&b, data, 0xad, 0, 0, 0, 0, 0, 0, 0, 0x08, 0x04), 2052);
    cr_assert_eq(PACKET(&b, data, 0xad, 0, 0, 0, 0, 0, 0, 1, 0, 8), 8);
    bench_destroy(&b);
}

Test(atapi, unknown_packets_are_illegal_requests)
{
    struct bench b = ready_bench();

    EXPECT_FAILURE(&b, 5, 0x2000, 0xff);
    EXPECT_FAILURE(&b, 5, 0x2000, 0x2a);
    bench_destroy(&b);
}

/* ---- tray and media ---- */

Test(atapi, without_a_medium_it_is_not_ready)
{
    struct bench b = ready_bench();
    uint8_t data[64];

    fake_block_change(b.cd, 0, false);
    EXPECT_FAILURE(&b, 6, 0x2800, 0x00);
    EXPECT_FAILURE(&b, 2, 0x3a02, 0x00);
    EXPECT_FAILURE(&b, 2, 0x3a02, 0x25);
    cr_assert_eq(PACKET(&b, data, 0x1b, 0, 0, 0, 3), 0, "the tray goes in, empty");
    EXPECT_FAILURE(&b, 2, 0x3a01, 0x28, 0, 0, 0, 0, 0, 0, 0, 1);
    fake_block_change(b.cd, 64 * KIB, false);
    EXPECT_FAILURE(&b, 6, 0x2800, 0x00);
    cr_assert_eq(PACKET(&b, data, 0x25), 8);
    cr_assert_eq(data[3], 31);
    bench_destroy(&b);
}

Test(atapi, the_guest_ejects_unless_it_has_locked_the_tray)
{
    struct bench b = ready_bench();
    uint8_t data[64];

    cr_assert_eq(PACKET(&b, data, 0x1e, 0, 0, 0, 1), 0);
    cr_assert(b.cd->block.locked);
    EXPECT_FAILURE(&b, 5, 0x5302, 0x1b, 0, 0, 0, 2);
    cr_assert_eq(PACKET(&b, data, 0x1e, 0, 0, 0, 0), 0);
    cr_assert_eq(PACKET(&b, data, 0x1b, 0, 0, 0, 2), 0);
    cr_assert_eq(b.cd->ejects, 1);
    EXPECT_FAILURE(&b, 2, 0x3a02, 0x00);
    bench_destroy(&b);
}

Test(atapi, media_events_are_polled)
{
    struct bench b = ready_bench();
    uint8_t data[64];

    cr_assert_eq(PACKET(&b, data, 0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8), 8);
    cr_assert_arr_eq(data, ((uint8_t[]){0, 6, 4, 0x10, 0, 2, 0, 0}), 8);
    b.cd->block.front_ops->eject_requested(b.cd->block.front);
    PACKET(&b, data, 0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8);
    cr_assert_eq(data[4], 1);
    PACKET(&b, data, 0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8);
    cr_assert_eq(data[4], 0, "once");
    fake_block_change(b.cd, 64 * KIB, false);
    PACKET(&b, data, 0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8);
    cr_assert_eq(data[4], 2);
    cr_assert_eq(PACKET(&b, data, 0x4a, 1, 0, 0, 0x02, 0, 0, 0, 8), 4);
    cr_assert_eq(data[2], 0x80);
    EXPECT_FAILURE(&b, 6, 0x2800, 0x00);
    EXPECT_FAILURE(&b, 5, 0x2400, 0x4a, 0, 0, 0, 0x10, 0, 0, 0, 8);
    bench_destroy(&b);
}

Test(atapi, a_change_in_the_middle_of_a_read_ends_it)
{
    enum { FIT = IDE_BUFFER_SIZE / 2048, SECTORS = FIT + 100 };
    struct bench b = ready_bench();
    uint8_t *data = malloc(SECTORS * 2048);

    fake_block_change(b.cd, SECTORS * 2048, false);
    cr_assert_eq(packet(&b, (const uint8_t[12]){0x00}, data, 64), -1);
    expect_sense(&b, 6, 0x2800);
    begin(&b, (const uint8_t[12]){0x28, [7] = SECTORS >> 8, SECTORS & 0xff}, 0xfffe, false);
    settle(&b);
    fake_block_change(b.cd, SECTORS * 2048, false);
    cr_assert_leq(take(&b, data, SECTORS * 2048), FIT * 2048);
    cr_assert_eq(fake_inb(b.fb, STATUS), READY | ERR);
    expect_sense(&b, 6, 0x2800);
    free(data);
    bench_destroy(&b);
}

/* ---- raw sectors ---- */

Test(atapi, read_cd_hands_over_the_parts_asked_for)
{
    struct bench b = ready_bench();
    static uint8_t data[60 * 2352 + 2];

    cr_assert_eq(PACKET(&b, data, 0xbe, 0, 0, 0, 0, 20, 0, 0, 2, 0x10), 4096);
    expect_sectors(data, 80, 8);
    cr_assert_eq(PACKET(&b, data, 0xbe, 0, 0, 0, 0, 20, 0, 0, 60, 0xf8), 60 * 2352);
    for (unsigned i = 0; i < 60; i++) {
        const uint8_t *raw = data + i * 2352;
        unsigned frames = 150 + 20 + i;

        cr_assert_arr_eq(raw, "\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00", 12);
        cr_assert_eq(raw[13], frames / 75);
        cr_assert_eq(raw[14], frames % 75 / 10 << 4 | frames % 75 % 10);
        cr_assert_eq(raw[15], 1);
        cr_assert_eq(load_le32(raw + 16), (20 + i) * 4);
    }
    cr_assert_eq(PACKET(&b, data, 0xbe, 0, 0, 0, 0, 20, 0, 0, 3, 0x20), 12, "headers");
    cr_assert_eq(data[4 + 2], 0x21);
    cr_assert_eq(PACKET(&b, data, 0xb9, 0, 0, 0, 2, 20, 0, 2, 22, 0x10), 4096, "by minute, second, frame");
    expect_sectors(data, 80, 8);
    cr_assert_eq(PACKET(&b, data, 0xbe, 0, 0, 0, 0, 20, 0, 0, 2, 0x00), 0);
    EXPECT_FAILURE(&b, 5, 0x6400, 0xbe, 0x04, 0, 0, 0, 20, 0, 0, 2, 0x10);
    EXPECT_FAILURE(&b, 5, 0x2400, 0xbe, 0, 0, 0, 0, 20, 0, 0, 2, 0x12);
    EXPECT_FAILURE(&b, 5, 0x2400, 0xb9, 0, 0, 0, 3, 0, 0, 2, 22, 0x10);
    bench_destroy(&b);
}

/* An error check that knows nothing of how the codes were made: it looks at what they must satisfy. */
Test(atapi, raw_sectors_have_valid_edc_and_ecc)
{
    struct bench b = ready_bench();
    static uint8_t raw[2354];
    uint32_t crc = 0;

    PACKET(&b, raw, 0xbe, 0, 0, 0, 0, 33, 0, 0, 1, 0xf8);
    for (unsigned i = 0; i < 2068; i++) { /* over data and EDC the remainder is zero */
        for (unsigned bit = 0; bit < 8; bit++) {
            bool top = (crc ^ raw[i] >> bit) & 1;

            crc = crc >> 1 ^ (top ? 0xd8018001 : 0);
        }
    }
    cr_assert_eq(crc, 0);
    for (unsigned column = 0; column < 86; column++) { /* P: every column adds up to zero, weighted or not */
        uint8_t sum = 0, weighted = 0;

        for (unsigned row = 0; row < 26; row++) {
            uint8_t byte = raw[12 + row * 86 + column];

            sum ^= byte;
            weighted = (uint8_t)(weighted << 1 ^ (weighted & 0x80 ? 0x1d : 0)) ^ byte;
        }
        cr_assert_eq(sum, 0);
        cr_assert_eq(weighted, 0);
    }
    for (unsigned diagonal = 0; diagonal < 52; diagonal++) { /* Q */
        uint8_t sum = 0, weighted = 0;

        for (unsigned k = 0; k < 45; k++) {
            unsigned word = (diagonal / 2 * 43 + k * 44) % 1118;
            uint8_t byte = k < 43 ? raw[12 + word * 2 + diagonal % 2] : raw[2248 + (k - 43) * 52 + diagonal];

            sum ^= byte;
            weighted = (uint8_t)(weighted << 1 ^ (weighted & 0x80 ? 0x1d : 0)) ^ byte;
        }
        cr_assert_eq(sum, 0);
        cr_assert_eq(weighted, 0);
    }
    bench_destroy(&b);
}

/* ---- snapshots ---- */

Test(atapi, continues_from_snapshots_in_every_phase)
{
    struct bench a = ready_bench(), b = ready_bench();
    static const uint8_t read[12] = {0x28, [5] = 3, [8] = 2};
    uint8_t data[4096 + 2];

    fake_outb(a.fb, COUNT_LOW, 0x00);
    fake_outb(a.fb, COUNT_HIGH, 0x08);
    fake_outb(a.fb, BASE + 1, 0);
    fake_outb(a.fb, BASE + 7, 0xa0);
    write_words(&a, BASE, read, 3);
    fake_expect_same_after_load(&a.ide->device, &b.ide->device); /* within the packet */
    write_words(&b, BASE, read + 6, 3);
    fake_expect_same_after_load(&b.ide->device, &a.ide->device); /* while the medium works */
    settle(&a);
    read_words(&a, BASE, data, 700);
    fake_expect_same_after_load(&a.ide->device, &b.ide->device); /* within a DRQ block */
    read_words(&b, BASE, data + 1400, 324);
    cr_assert_eq(take(&b, data + 2048, 2050), 2048);
    expect_sectors(data, 12, 8);
    bench_destroy(&a);
    bench_destroy(&b);
}
