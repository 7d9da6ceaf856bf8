/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The ATA channels of the PIIX3 and their disks: registers, commands, PIO and DMA, errors, resets, snapshots.
 */
#include "tests/device/ide_bench.h"

static uint16_t identify_word(struct bench *b, unsigned word)
{
    uint16_t data[256];

    cr_assert_eq(run(b, 0xec), READY | DRQ);
    read_words(b, 0x1f0, data, 256);
    cr_assert_eq(fake_inb(b->fb, 0x1f7), READY);
    return data[word];
}

/* ---- presence ---- */

Test(ide, is_a_pci_function_with_a_bus_master_bar)
{
    struct bench b = bench_create();

    fake_outl(b.fb, 0xcf8, 0x80000900);
    cr_assert_eq(fake_inl(b.fb, 0xcfc), 0x70108086);
    fake_outl(b.fb, 0xcf8, 0x80000908);
    cr_assert_eq(fake_inl(b.fb, 0xcfc) >> 8, 0x010180);
    fake_outl(b.fb, 0xcf8, 0x80000920);
    fake_outl(b.fb, 0xcfc, 0xffffffff);
    cr_assert_eq(fake_inl(b.fb, 0xcfc), 0xfffffff1);
    bench_destroy(&b);
}

Test(ide, ports_answer_only_when_function_and_channel_are_enabled)
{
    struct bench b = bench_create();

    cr_assert_eq(fake_inb(b.fb, 0x1f7), READY);
    fake_outl(b.fb, 0xcf8, 0x80000940);
    fake_outw(b.fb, 0xcfc, 0x0000);
    cr_assert_eq(fake_inb(b.fb, 0x1f7), 0xff);
    cr_assert_eq(fake_inb(b.fb, 0x3f6), 0xff);
    cr_assert_eq(fake_inb(b.fb, 0x177), 0x00, "the other channel is its own");
    fake_outw(b.fb, 0xcfc, 0x8000);
    cr_assert_eq(fake_inb(b.fb, 0x3f6), READY);
    fake_outl(b.fb, 0xcf8, 0x80000904);
    fake_outw(b.fb, 0xcfc, 0x0004);
    cr_assert_eq(fake_inb(b.fb, 0x1f7), 0xff);
    bench_destroy(&b);
}

Test(ide, an_absent_slave_reads_zero_and_takes_no_command)
{
    struct bench b = bench_create();

    fake_outb(b.fb, 0x1f6, 0xb0);
    cr_assert_eq(fake_inb(b.fb, 0x1f7), 0);
    fake_outb(b.fb, 0x1f2, 0x55);
    cr_assert_eq(fake_inb(b.fb, 0x1f2), 0);
    command(&b, 0xec);
    cr_assert_eq(fake_inb(b.fb, 0x1f7), 0);
    cr_assert_eq(b.fb->lines[14].rises, 0);
    fake_outb(b.fb, 0x1f6, 0xa0);
    cr_assert_eq(fake_inb(b.fb, 0x1f2), 0x55, "both devices hear register writes");
    bench_destroy(&b);
}

Test(ide, an_empty_channel_reads_as_a_floating_bus)
{
    struct fake_board *fb = fake_board_create();
    struct line irq[2] = {fake_line(fb, 14), fake_line(fb, 15)};
    static const struct ide_slot none[4];
    struct pci_bus *pci = pci_bus_create(&fb->board);

    cr_assert_not_null(piix3_ide_create(&fb->board, pci, irq, none));
    pci_config_write(pci, 0, 1, 1, 4, 1, 2);
    cr_assert_eq(fake_inb(fb, 0x1f7), 0x7f);
    cr_assert_eq(fake_inb(fb, 0x376), 0x7f);
    fake_outb(fb, 0x1f7, 0xec);
    fake_outb(fb, 0x3f6, 0x04);
    fake_outb(fb, 0x3f6, 0x00);
    cr_assert_eq(fb->lines[14].rises, 0);
    fake_board_destroy(fb);
}

/* ---- identity ---- */

Test(ide, identify_tells_drivers_what_they_need)
{
    struct bench b = bench_create();
    uint8_t data[512], sum = 0;
    uint16_t word[256];

    strcpy(b.disk->block.serial, "SN-1");
    cr_assert_eq(run(&b, 0xec), READY | DRQ);
    cr_assert_eq(b.fb->lines[14].rises, 1);
    read_words(&b, 0x1f0, data, 256);
    memcpy(word, data, 512);
    for (unsigned i = 0; i < 512; i++) {
        sum += data[i];
    }
    cr_assert_eq(sum, 0);
    cr_assert_eq(data[510], 0xa5);
    cr_assert_eq(word[0], 0x0040);
    cr_assert_eq(word[1], DISK_SECTORS / (16 * 63));
    cr_assert_eq(word[3], 16);
    cr_assert_eq(word[6], 63);
    cr_assert_eq(memcmp(data + 20, "NS1-", 4), 0, "characters are swapped in words");
    cr_assert_eq(memcmp(data + 54, "YHAPIT A", 8), 0);
    cr_assert_eq(word[47] & 0xff, 16);
    cr_assert_eq(word[49] & 0x0b00, 0x0b00, "IORDY, LBA, DMA");
    cr_assert_eq(word[53] & 7, 7);
    cr_assert_eq(word[59], 0x0110);
    cr_assert_eq(word[60] | word[61] << 16, DISK_SECTORS);
    cr_assert_eq(word[63] & 7, 7);
    cr_assert_eq(word[83] & 0xf400, 0x7400, "LBA48, FLUSH CACHE, FLUSH CACHE EXT");
    cr_assert_eq(word[85] & 0x60, 0x60, "write cache and look-ahead are on");
    cr_assert_eq(load_le64(&word[100]), DISK_SECTORS);
    bench_destroy(&b);
}

Test(ide, set_features_shows_in_identify)
{
    struct bench b = bench_create();

    fake_outb(b.fb, 0x1f1, 0x03);
    fake_outb(b.fb, 0x1f2, 0x22);
    cr_assert_eq(run(&b, 0xef), READY);
    cr_assert_eq(identify_word(&b, 63), 0x0407);
    fake_outb(b.fb, 0x1f1, 0x03);
    fake_outb(b.fb, 0x1f2, 0x45);
    cr_assert_eq(run(&b, 0xef), READY);
    cr_assert_eq(identify_word(&b, 88), 0x203f);
    cr_assert_eq(identify_word(&b, 63), 0x0007);
    fake_outb(b.fb, 0x1f1, 0x03);
    fake_outb(b.fb, 0x1f2, 0x47);
    cr_assert_eq(run(&b, 0xef), READY | ERR);
    cr_assert_eq(fake_inb(b.fb, 0x1f1), ABRT);
    fake_outb(b.fb, 0x1f1, 0x82);
    cr_assert_eq(run(&b, 0xef), READY);
    cr_assert_eq(identify_word(&b, 85) & 0x20, 0);
    bench_destroy(&b);
}

Test(ide, translation_can_be_set)
{
    struct bench b = bench_create();
    uint16_t word[256];

    fake_outb(b.fb, 0x1f2, 17);
    fake_outb(b.fb, 0x1f6, 0xa3);
    cr_assert_eq(run(&b, 0x91), READY);
    run(&b, 0xec);
    read_words(&b, 0x1f0, word, 256);
    cr_assert_eq(word[54], DISK_SECTORS / (4 * 17));
    cr_assert_eq(word[55], 4);
    cr_assert_eq(word[56], 17);
    /* cylinder 2, head 3, sector 5 */
    fake_outb(b.fb, 0x1f6, 0xa3);
    fake_outb(b.fb, 0x1f2, 1);
    fake_outb(b.fb, 0x1f3, 5);
    fake_outb(b.fb, 0x1f4, 2);
    fake_outb(b.fb, 0x1f5, 0);
    cr_assert_eq(run(&b, 0x20), READY | DRQ);
    read_words(&b, 0x1f0, word, 256);
    cr_assert_eq(word[0], (2 * 4 + 3) * 17 + 4);
    cr_assert_eq(fake_inb(b.fb, 0x1f3), 5, "the registers show the last sector");
    cr_assert_eq(fake_inb(b.fb, 0x1f6), 0xa3);
    fake_outb(b.fb, 0x1f3, 18);
    cr_assert_eq(run(&b, 0x20), READY | ERR);
    cr_assert_eq(fake_inb(b.fb, 0x1f1), IDNF);
    bench_destroy(&b);
}

/* ---- PIO ---- */

Test(ide, pio_reads_interrupt_for_every_sector)
{
    struct bench b = bench_create();
    uint8_t data[3 * 512];

    set_lba28(&b, 1000, 3);
    command(&b, 0x20);
    cr_assert_eq(fake_inb(b.fb, 0x1f7), BSY, "the medium takes its time");
    settle(&b);
    for (unsigned i = 0; i < 3; i++) {
        cr_assert_eq(b.fb->lines[14].rises, i + 1);
        cr_assert_eq(fake_inb(b.fb, 0x3f6), READY | DRQ);
        cr_assert(b.fb->lines[14].level, "the alternate status leaves INTRQ alone");
        cr_assert_eq(fake_inb(b.fb, 0x1f7), READY | DRQ);
        cr_assert_not(b.fb->lines[14].level);
        read_words(&b, 0x1f0, data + i * 512, 256);
    }
    cr_assert_eq(fake_inb(b.fb, 0x1f7), READY);
    cr_assert_eq(b.fb->lines[14].rises, 3);
    expect_sectors(data, 1000, 3);
    bench_destroy(&b);
}

Test(ide, the_data_register_is_32_bits_wide_too)
{
    struct bench b = bench_create();

    set_lba28(&b, 7, 1);
    run(&b, 0x20);
    cr_assert_eq(fake_inl(b.fb, 0x1f0), 7);
    cr_assert_eq(fake_inl(b.fb, 0x1f0), 0x07070707);
    bench_destroy(&b);
}

Test(ide, multiple_mode_moves_blocks_of_sectors)
{
    struct bench b = bench_create();
    uint8_t data[10 * 512];

    fake_outb(b.fb, 0x1f2, 4);
    cr_assert_eq(run(&b, 0xc6), READY);
    set_lba28(&b, 20, 10);
    command(&b, 0xc4);
    b.fb->lines[14].rises = 0;
    settle(&b);
    for (unsigned i = 0; i < 10; i++) {
        fake_inb(b.fb, 0x1f7);
        read_words(&b, 0x1f0, data + i * 512, 256);
    }
    cr_assert_eq(b.fb->lines[14].rises, 3, "4 + 4 + 2 sectors");
    expect_sectors(data, 20, 10);
    fake_outb(b.fb, 0x1f2, 3);
    cr_assert_eq(run(&b, 0xc6), READY | ERR);
    set_lba28(&b, 20, 1);
    cr_assert_eq(run(&b, 0xc4), READY | ERR, "a refused value disables the mode");
    bench_destroy(&b);
}

Test(ide, pio_writes_reach_the_medium)
{
    struct bench b = bench_create();
    uint8_t data[2 * 512];

    for (unsigned i = 0; i < sizeof(data); i++) {
        data[i] = (uint8_t)(i * 7);
    }
    set_lba48(&b, 3000, 2);
    command(&b, 0x34);
    cr_assert_eq(fake_inb(b.fb, 0x1f7), READY | DRQ);
    cr_assert_eq(b.fb->lines[14].rises, 0, "no interrupt asks for the first block");
    write_words(&b, 0x1f0, data, 256);
    cr_assert_eq(b.fb->lines[14].rises, 1);
    cr_assert_eq(fake_inb(b.fb, 0x1f7), READY | DRQ);
    write_words(&b, 0x1f0, data + 512, 256);
    cr_assert_eq(fake_inb(b.fb, 0x1f7), BSY);
    settle(&b);
    cr_assert_eq(fake_inb(b.fb, 0x1f7), READY);
    cr_assert_eq(b.fb->lines[14].rises, 2);
    cr_assert_arr_eq(b.disk->bytes + 3000 * 512, data, sizeof(data));
    cr_assert_eq(b.disk->flushes, 0);
    bench_destroy(&b);
}

Test(ide, long_pio_transfers_go_through_the_buffer_in_pieces)
{
    struct bench b = bench_create();
    uint8_t *data = malloc(600 * 512);

    set_lba48(&b, 100, 600);
    run(&b, 0x29);
    for (unsigned i = 0; i < 600; i++) {
        read_words(&b, 0x1f0, data + i * 512, 256);
        settle(&b);
    }
    expect_sectors(data, 100, 600);
    cr_assert_eq(fake_inb(b.fb, 0x1f7), READY);
    set_lba48(&b, 2000, 600);
    command(&b, 0x39);
    for (unsigned i = 0; i < 600; i++) {
        write_words(&b, 0x1f0, data + i * 512, 256);
        settle(&b);
    }
    cr_assert_eq(fake_inb(b.fb, 0x1f7), READY);
    cr_assert_arr_eq(b.disk->bytes + 2000 * 512, data, 600 * 512);
    free(data);
    bench_destroy(&b);
}

/* ---- DMA ---- */

Test(ide, dma_reads_scatter_into_memory)
{
    struct bench b = bench_create();

    put_prd(&b, 0, MEMORY, 512, false);
    put_prd(&b, 1, MEMORY + 0x2000, 1024, true);
    set_lba28(&b, 50, 3);
    command(&b, 0xc8);
    start_dma(&b, 0, true);
    cr_assert_eq(fake_inb(b.fb, BM + 2) & 7, 1);
    settle(&b);
    cr_assert_eq(fake_inb(b.fb, BM + 2) & 7, 4);
    cr_assert(b.fb->lines[14].level);
    cr_assert_eq(fake_inb(b.fb, 0x1f7), READY);
    cr_assert_eq(fake_read32(b.fb, MEMORY), 50);
    cr_assert_eq(fake_read32(b.fb, MEMORY + 0x2000), 51);
    cr_assert_eq(fake_read32(b.fb, MEMORY + 0x2200), 52);
    fake_outb(b.fb, BM + 2, 4);
    cr_assert_eq(fake_inb(b.fb, BM + 2) & 7, 0);
    bench_destroy(&b);
}

Test(ide, dma_writes_gather_from_memory)
{
    struct bench b = bench_create();

    fake_write32(b.fb, MEMORY, 0x11111111);
    fake_write32(b.fb, MEMORY + 0x8000, 0x22222222);
    put_prd(&b, 0, MEMORY, 512, false);
    put_prd(&b, 1, MEMORY + 0x8000, 512, true);
    set_lba48(&b, 77, 2);
    command(&b, 0x35);
    start_dma(&b, 0, false);
    settle(&b);
    cr_assert_eq(fake_inb(b.fb, 0x1f7), READY);
    cr_assert_eq(load_le32(b.disk->bytes + 77 * 512), 0x11111111);
    cr_assert_eq(load_le32(b.disk->bytes + 78 * 512), 0x22222222);
    bench_destroy(&b);
}

Test(ide, dma_goes_beyond_one_buffer)
{
    struct bench b = bench_create();

    for (unsigned i = 0; i < 8; i++) {
        put_prd(&b, i, 0x100000 + i * 0x10000, 0, i == 7);
    }
    set_lba48(&b, 0, 1024);
    command(&b, 0x25);
    start_dma(&b, 0, true);
    settle(&b);
    cr_assert_eq(fake_inb(b.fb, 0x1f7), READY);
    cr_assert_eq(fake_inb(b.fb, BM + 2) & 7, 4);
    for (unsigned i = 0; i < 1024; i++) {
        cr_assert_eq(fake_read32(b.fb, 0x100000 + i * 512), i);
    }
    bench_destroy(&b);
}

Test(ide, a_short_table_leaves_the_device_waiting_for_more)
{
    struct bench b = bench_create();

    put_prd(&b, 0, MEMORY, 512, true);
    set_lba28(&b, 5, 2);
    command(&b, 0xc8);
    start_dma(&b, 0, true);
    settle(&b);
    cr_assert_eq(fake_inb(b.fb, BM + 2) & 7, 0);
    cr_assert_eq(fake_inb(b.fb, 0x3f6), READY | DRQ);
    cr_assert_eq(b.fb->lines[14].rises, 0);
    start_dma(&b, 0, true);
    cr_assert_eq(fake_inb(b.fb, BM + 2) & 7, 4);
    cr_assert_eq(fake_read32(b.fb, MEMORY), 6);
    bench_destroy(&b);
}

Test(ide, a_long_table_leaves_the_engine_active)
{
    struct bench b = bench_create();

    put_prd(&b, 0, MEMORY, 4096, true);
    set_lba28(&b, 5, 2);
    command(&b, 0xc8);
    start_dma(&b, 0, true);
    settle(&b);
    cr_assert_eq(fake_inb(b.fb, BM + 2) & 7, 5);
    fake_outb(b.fb, BM, 0);
    cr_assert_eq(fake_inb(b.fb, BM + 2) & 7, 4);
    bench_destroy(&b);
}

Test(ide, dma_waits_for_the_bus_master_bit)
{
    struct bench b = bench_create();

    pci_config_write(b.ide->pci.bus, 0, 1, 1, 4, 1, 2);
    put_prd(&b, 0, MEMORY, 512, true);
    set_lba28(&b, 9, 1);
    command(&b, 0xc8);
    start_dma(&b, 0, true);
    settle(&b);
    cr_assert_eq(fake_read32(b.fb, MEMORY), 0);
    pci_config_write(b.ide->pci.bus, 0, 1, 1, 4, 5, 2);
    cr_assert_eq(fake_read32(b.fb, MEMORY), 9);
    cr_assert_eq(fake_inb(b.fb, 0x1f7), READY);
    bench_destroy(&b);
}

/* A table that is not what a driver would write: the engine ends in an error, and the device can be reset. */
static void expect_bus_error(struct bench *b, uint16_t count)
{
    set_lba48(b, 0, count);
    command(b, 0x25);
    start_dma(b, 0, true);
    settle(b);
    cr_assert_eq(fake_inb(b->fb, BM + 2) & 3, 2);
    cr_assert_eq(fake_inb(b->fb, 0x3f6), READY | DRQ);
    fake_outb(b->fb, BM, 0);
    fake_outb(b->fb, 0x3f6, 0x04);
    fake_outb(b->fb, 0x3f6, 0x00);
    cr_assert_eq(fake_inb(b->fb, 0x1f7), READY);
}

Test(ide, hostile_descriptor_tables_end_in_a_bus_error)
{
    struct bench b = bench_create();
    uint16_t offset = 0;

    /* a region beyond RAM; one that begins in RAM and leaves it; one on the card's own registers */
    put_prd(&b, 0, 0x40000000, 512, true);
    expect_bus_error(&b, 1);
    put_prd(&b, 0, FAKE_BOARD_RAM_SIZE - 256, 512, true);
    expect_bus_error(&b, 1);
    put_prd(&b, 0, 0xfffffffe, 0, true);
    expect_bus_error(&b, 1);
    /* a table of two-byte regions without an end: it wraps in its 64 KiB, again and again */
    for (unsigned i = 0; i < 8192; i++) {
        fake_write32(b.fb, 0x200000 + i * 8, MEMORY + offset);
        fake_write32(b.fb, 0x200004 + i * 8, 2);
        offset = (uint16_t)(offset + 2);
    }
    set_lba48(&b, 0, 256);
    command(&b, 0x25);
    fake_outl(b.fb, BM + 4, 0x200000);
    fake_outb(b.fb, BM, 0x09);
    settle(&b);
    cr_assert_eq(fake_inb(b.fb, BM + 2) & 3, 2);
    cr_assert_eq(fake_read32(b.fb, MEMORY), 0, "sector 0");
    cr_assert_eq(fake_read32(b.fb, MEMORY + 31 * 512), 31);
    bench_destroy(&b);
}

Test(ide, a_table_outside_memory_is_a_bus_error)
{
    struct bench b = bench_create();

    set_lba48(&b, 0, 1);
    command(&b, 0x25);
    fake_outl(b.fb, BM + 4, 0xfffffffc);
    fake_outb(b.fb, BM, 0x09);
    settle(&b);
    cr_assert_eq(fake_inb(b.fb, BM + 2) & 3, 2);
    bench_destroy(&b);
}

/* ---- errors ---- */

Test(ide, a_bad_sector_is_unc_at_its_address_and_what_is_before_it_arrives)
{
    struct bench b = bench_create();
    uint8_t data[512];

    set_lba48(&b, 100, 8);
    command(&b, 0x24);
    fake_block_fail(b.disk, BLOCK_READ, -EIO, 1); /* the whole chunk; then sector by sector */
    b.disk->instant = false;
    fake_inb(b.fb, 0x1f7);
    fake_outb(b.fb, 0x3f6, 0x04);
    fake_outb(b.fb, 0x3f6, 0x00);
    fake_block_fail(b.disk, BLOCK_READ, -EIO, 1);
    set_lba48(&b, 100, 8);
    command(&b, 0x24);
    settle(&b); /* refused as a whole, sector 100 alone is fine */
    cr_assert_eq(fake_inb(b.fb, 0x1f7), READY | DRQ);
    read_words(&b, 0x1f0, data, 256);
    expect_sectors(data, 100, 1);
    fake_block_fail(b.disk, BLOCK_READ, -EIO, 1);
    settle(&b);
    cr_assert_eq(fake_inb(b.fb, 0x1f7), READY | ERR);
    cr_assert_eq(fake_inb(b.fb, 0x1f1), UNC);
    cr_assert_eq(fake_inb(b.fb, 0x1f3), 101);
    bench_destroy(&b);
}

Test(ide, a_refused_write_is_an_error_never_a_success)
{
    static const int results[] = {-EIO, -ENOSPC};
    struct bench b = bench_create();
    uint8_t data[512] = {1};

    for (unsigned i = 0; i < ARRAY_LEN(results); i++) {
        set_lba28(&b, 10, 1);
        command(&b, 0x30);
        fake_block_fail(b.disk, BLOCK_WRITE, results[i], 1);
        write_words(&b, 0x1f0, data, 256);
        settle(&b);
        cr_assert_eq(fake_inb(b.fb, 0x1f7), READY | ERR);
        cr_assert_eq(fake_inb(b.fb, 0x1f1), ABRT);
        cr_assert_eq(fake_inb(b.fb, 0x1f3), 10);
    }
    cr_assert_eq(load_le32(b.disk->bytes + 10 * 512), 10);
    bench_destroy(&b);
}

Test(ide, a_read_only_disk_is_write_protected)
{
    struct bench b = bench_create();

    b.disk->block.read_only = true;
    set_lba28(&b, 10, 1);
    cr_assert_eq(run(&b, 0xca), READY | ERR);
    cr_assert_eq(fake_inb(b.fb, 0x1f1), WP | ABRT);
    bench_destroy(&b);
}

Test(ide, addresses_beyond_the_end_are_idnf)
{
    struct bench b = bench_create();

    set_lba28(&b, DISK_SECTORS - 1, 2);
    cr_assert_eq(run(&b, 0x20), READY | ERR);
    cr_assert_eq(fake_inb(b.fb, 0x1f1), IDNF);
    set_lba48(&b, BITS(47, 0), 0);
    cr_assert_eq(run(&b, 0x35), READY | ERR);
    cr_assert_eq(fake_inb(b.fb, 0x1f1), IDNF);
    set_lba28(&b, DISK_SECTORS - 1, 1);
    cr_assert_eq(run(&b, 0x20), READY | DRQ);
    bench_destroy(&b);
}

Test(ide, unknown_commands_abort)
{
    static const uint8_t codes[] = {0x00, 0x08, 0xa0, 0xa1, 0xde, 0xf5, 0xf9, 0xff};
    struct bench b = bench_create();

    for (unsigned i = 0; i < ARRAY_LEN(codes); i++) {
        cr_assert_eq(run(&b, codes[i]), READY | ERR, "%02x", codes[i]);
        cr_assert_eq(fake_inb(b.fb, 0x1f1), ABRT);
    }
    bench_destroy(&b);
}

/* ---- flushing ---- */

Test(ide, flush_cache_waits_for_the_medium)
{
    struct bench b = bench_create();

    command(&b, 0xe7);
    cr_assert_eq(fake_inb(b.fb, 0x1f7), BSY);
    settle(&b);
    cr_assert_eq(fake_inb(b.fb, 0x1f7), READY);
    cr_assert_eq(b.disk->flushes, 1);
    fake_block_fail(b.disk, BLOCK_FLUSH, -EIO, 1);
    cr_assert_eq(run(&b, 0xea), READY | ERR);
    cr_assert_eq(fake_inb(b.fb, 0x1f1), ABRT);
    bench_destroy(&b);
}

Test(ide, without_the_write_cache_writes_go_through)
{
    struct bench b = bench_create();
    uint8_t data[512] = {0};

    fake_outb(b.fb, 0x1f1, 0x82);
    cr_assert_eq(run(&b, 0xef), READY);
    cr_assert_eq(b.disk->flushes, 1, "what was cached is written back");
    set_lba28(&b, 1, 1);
    command(&b, 0x30);
    write_words(&b, 0x1f0, data, 256);
    settle(&b);
    cr_assert_eq(b.disk->flushes, 2);
    fake_outb(b.fb, 0x1f1, 0x02);
    run(&b, 0xef);
    set_lba48(&b, 1, 1);
    command(&b, 0xce);
    write_words(&b, 0x1f0, data, 256);
    settle(&b);
    cr_assert_eq(b.disk->flushes, 3, "FUA");
    bench_destroy(&b);
}

/* ---- small commands ---- */

Test(ide, power_modes)
{
    struct bench b = bench_create();

    cr_assert_eq(run(&b, 0xe5), READY);
    cr_assert_eq(fake_inb(b.fb, 0x1f2), 0xff);
    cr_assert_eq(run(&b, 0xe0), READY);
    run(&b, 0x98);
    cr_assert_eq(fake_inb(b.fb, 0x1f2), 0x00);
    run(&b, 0xe1);
    run(&b, 0xe5);
    cr_assert_eq(fake_inb(b.fb, 0x1f2), 0x80);
    set_lba28(&b, 0, 1);
    run(&b, 0x40);
    run(&b, 0xe5);
    cr_assert_eq(fake_inb(b.fb, 0x1f2), 0xff);
    run(&b, 0xe6);
    b.fb->lines[14].rises = 0;
    command(&b, 0xec);
    settle(&b);
    cr_assert_eq(b.fb->lines[14].rises, 0, "asleep until a reset");
    fake_outb(b.fb, 0x3f6, 0x04);
    fake_outb(b.fb, 0x3f6, 0x00);
    cr_assert_eq(run(&b, 0xec), READY | DRQ);
    bench_destroy(&b);
}

Test(ide, native_max_seek_recalibrate_verify)
{
    struct bench b = bench_create();

    fake_outb(b.fb, 0x1f6, 0xe0);
    cr_assert_eq(run(&b, 0xf8), READY);
    cr_assert_eq(fake_inb(b.fb, 0x1f3) | fake_inb(b.fb, 0x1f4) << 8, DISK_SECTORS - 1);
    cr_assert_eq(run(&b, 0x27), READY);
    fake_outb(b.fb, 0x3f6, 0x80);
    cr_assert_eq(fake_inb(b.fb, 0x1f3), 0, "the older value");
    fake_outb(b.fb, 0x3f6, 0x00);
    cr_assert_eq(fake_inb(b.fb, 0x1f3), (uint8_t)(DISK_SECTORS - 1));
    cr_assert_eq(run(&b, 0x10), READY);
    cr_assert_eq(run(&b, 0x70), READY);
    set_lba28(&b, DISK_SECTORS, 1);
    cr_assert_eq(run(&b, 0x70), READY | ERR);
    set_lba28(&b, 0, 0);
    cr_assert_eq(run(&b, 0x40), READY);
    cr_assert_eq(fake_inb(b.fb, 0x1f3), 255);
    bench_destroy(&b);
}

Test(ide, smart_says_that_all_is_well)
{
    struct bench b = bench_create();
    uint8_t data[512], sum = 0;

    fake_outb(b.fb, 0x1f1, 0xda);
    cr_assert_eq(run(&b, 0xb0), READY | ERR, "the key is missing");
    fake_outb(b.fb, 0x1f4, 0x4f);
    fake_outb(b.fb, 0x1f5, 0xc2);
    cr_assert_eq(run(&b, 0xb0), READY);
    cr_assert_eq(fake_inb(b.fb, 0x1f4), 0x4f);
    cr_assert_eq(fake_inb(b.fb, 0x1f5), 0xc2);
    fake_outb(b.fb, 0x1f1, 0xd0);
    cr_assert_eq(run(&b, 0xb0), READY | DRQ);
    read_words(&b, 0x1f0, data, 256);
    for (unsigned i = 0; i < 512; i++) {
        sum += data[i];
    }
    cr_assert_eq(sum, 0);
    cr_assert_eq(fake_inb(b.fb, 0x1f4), 0x4f);
    fake_outb(b.fb, 0x1f1, 0xd9);
    cr_assert_eq(run(&b, 0xb0), READY);
    fake_outb(b.fb, 0x1f1, 0xd0);
    cr_assert_eq(run(&b, 0xb0), READY | ERR);
    bench_destroy(&b);
}

/* ---- interrupts and resets ---- */

Test(ide, nien_holds_the_line_down)
{
    struct bench b = bench_create();

    fake_outb(b.fb, 0x3f6, 0x02);
    command(&b, 0xec);
    cr_assert_not(b.fb->lines[14].level);
    cr_assert_eq(fake_inb(b.fb, BM + 2) & 4, 0);
    fake_outb(b.fb, 0x3f6, 0x00);
    cr_assert(b.fb->lines[14].level, "pending all the while");
    fake_outb(b.fb, 0x1f6, 0xb0);
    cr_assert_not(b.fb->lines[14].level, "only the selected device drives it");
    bench_destroy(&b);
}

Test(ide, software_reset_leaves_the_signature)
{
    struct bench b = bench_create();

    set_lba28(&b, 99, 9);
    command(&b, 0x30);
    cr_assert_eq(fake_inb(b.fb, 0x1f7), READY | DRQ);
    fake_outb(b.fb, 0x3f6, 0x04);
    cr_assert_eq(fake_inb(b.fb, 0x1f7), BSY);
    command(&b, 0xec);
    fake_outb(b.fb, 0x3f6, 0x00);
    cr_assert_eq(fake_inb(b.fb, 0x1f7), READY);
    cr_assert_eq(fake_inb(b.fb, 0x1f1), 0x01);
    cr_assert_eq(fake_inb(b.fb, 0x1f2), 0x01);
    cr_assert_eq(fake_inb(b.fb, 0x1f3), 0x01);
    cr_assert_eq(fake_inb(b.fb, 0x1f4), 0x00);
    cr_assert_eq(fake_inb(b.fb, 0x1f5), 0x00);
    cr_assert_eq(b.fb->lines[14].rises, 0);
    bench_destroy(&b);
}

Test(ide, diagnostic_passes_and_interrupts)
{
    struct bench b = bench_create();

    fake_outb(b.fb, 0x1f6, 0xb0);
    command(&b, 0x90);
    cr_assert_eq(b.fb->lines[14].rises, 1);
    cr_assert_eq(fake_inb(b.fb, 0x1f6), 0xa0, "device 0 is selected");
    cr_assert_eq(fake_inb(b.fb, 0x1f1), 0x01);
    cr_assert_eq(fake_inb(b.fb, 0x1f7), READY);
    bench_destroy(&b);
}

Test(ide, a_reset_while_the_medium_works_forgets_reads_and_keeps_writes)
{
    struct bench b = bench_create();
    uint8_t data[512] = {0xee};

    b.disk->instant = false;
    set_lba28(&b, 40, 1);
    command(&b, 0x30);
    write_words(&b, 0x1f0, data, 256);
    cr_assert_eq(fake_inb(b.fb, 0x1f7), BSY);
    fake_outb(b.fb, 0x3f6, 0x04);
    fake_outb(b.fb, 0x3f6, 0x00);
    cr_assert_eq(b.disk->bytes[40 * 512], 0xee);
    set_lba28(&b, 40, 1);
    command(&b, 0x20);
    board_reset_devices(&b.fb->board);
    pci_config_write(b.ide->pci.bus, 0, 1, 1, 4, 5, 2);
    settle(&b);
    cr_assert_eq(fake_inb(b.fb, 0x1f7), READY);
    cr_assert_not(b.fb->lines[14].level);
    bench_destroy(&b);
}

Test(ide, a_busy_drive_ignores_registers_and_commands)
{
    struct bench b = bench_create();

    set_lba28(&b, 12, 1);
    command(&b, 0x20);
    fake_outb(b.fb, 0x1f3, 99);
    command(&b, 0xec);
    settle(&b);
    cr_assert_eq(fake_inw(b.fb, 0x1f0), 12);
    command(&b, 0xec);
    fake_inw(b.fb, 0x1f0);
    cr_assert_eq(fake_inw(b.fb, 0x1f0), 0x0c0c, "nor does one in the middle of its data");
    bench_destroy(&b);
}
