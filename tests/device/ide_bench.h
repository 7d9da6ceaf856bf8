/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A fake board with a PIIX3 IDE function and media in memory, and the routines of a small driver: what the IDE and
 * ATAPI tests share.
 *
 * Fake lines: 14 and 15, the channels' interrupts. Drives: disk (primary master), CD (secondary master).
 */
#ifndef TESTS_DEVICE_IDE_BENCH_H
#define TESTS_DEVICE_IDE_BENCH_H

#include <criterion/criterion.h>
#include <errno.h>

#include "devices/piix3_ide.h"
#include "tests/device/fake_block.h"
#include "tests/device/port_fuzz.h"

#define DISK_SECTORS 4096u
#define CD_SECTORS   400u
#define BM           0xc000u /* where the tests map BAR4 */
#define PRD_TABLE    0x1000u
#define MEMORY       0x10000u

enum { BSY = 0x80, DRDY = 0x40, DF = 0x20, DSC = 0x10, DRQ = 0x08, ERR = 0x01 };
enum { UNC = 0x40, WP = 0x40, IDNF = 0x10, ABRT = 0x04 };
enum { READY = DRDY | DSC };

struct bench {
    struct fake_board *fb;
    struct piix3_ide *ide;
    struct fake_block *disk, *cd;
};

/* A board, the function at its ports, bus mastering allowed. */
static inline struct bench bench_create(void)
{
    struct bench b = {.fb = fake_board_create()};
    struct line irq[2] = {fake_line(b.fb, 14), fake_line(b.fb, 15)};
    struct ide_slot slot[4] = {0};
    struct pci_bus *pci = pci_bus_create(&b.fb->board);

    b.disk = fake_block_create(&b.fb->clock, DISK_SECTORS * 512);
    b.cd = fake_block_create(&b.fb->clock, CD_SECTORS * 2048);
    b.cd->block.removable = true;
    slot[0].block = &b.disk->block;
    slot[2].block = &b.cd->block;
    slot[2].cdrom = true;
    b.ide = piix3_ide_create(&b.fb->board, pci, irq, slot);
    cr_assert_not_null(b.ide);
    pci_config_write(pci, 0, 1, 1, 0x20, BM, 4);
    pci_config_write(pci, 0, 1, 1, 4, 5, 2);
    return b;
}

static inline void bench_destroy(struct bench *b)
{
    struct fake_block *disk = b->disk, *cd = b->cd;

    fake_board_destroy(b->fb);
    fake_block_destroy(disk);
    fake_block_destroy(cd);
}

/* Let requests to the media complete. */
static inline void settle(struct bench *b)
{
    fake_step(b->fb, 20000000);
}

static inline void read_words(struct bench *b, uint16_t port, void *bytes, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        store_le16((uint8_t *)bytes + i * 2, fake_inw(b->fb, port));
    }
}

static inline void write_words(struct bench *b, uint16_t port, const void *bytes, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        fake_outw(b->fb, port, load_le16((const uint8_t *)bytes + i * 2));
    }
}

static inline void set_lba28(struct bench *b, uint32_t lba, uint8_t count)
{
    fake_outb(b->fb, 0x1f6, 0xe0 | lba >> 24);
    fake_outb(b->fb, 0x1f2, count);
    fake_outb(b->fb, 0x1f3, lba);
    fake_outb(b->fb, 0x1f4, lba >> 8);
    fake_outb(b->fb, 0x1f5, lba >> 16);
}

static inline void set_lba48(struct bench *b, uint64_t lba, uint16_t count)
{
    fake_outb(b->fb, 0x1f6, 0x40);
    fake_outb(b->fb, 0x1f2, count >> 8);
    fake_outb(b->fb, 0x1f3, lba >> 24);
    fake_outb(b->fb, 0x1f4, lba >> 32);
    fake_outb(b->fb, 0x1f5, lba >> 40);
    fake_outb(b->fb, 0x1f2, count);
    fake_outb(b->fb, 0x1f3, lba);
    fake_outb(b->fb, 0x1f4, lba >> 8);
    fake_outb(b->fb, 0x1f5, lba >> 16);
}

static inline void command(struct bench *b, uint8_t code)
{
    fake_outb(b->fb, 0x1f7, code);
}

/* A command without data, to its end: the status. */
static inline uint8_t run(struct bench *b, uint8_t code)
{
    command(b, code);
    settle(b);
    return fake_inb(b->fb, 0x1f7);
}

static inline void put_prd(struct bench *b, unsigned index, uint32_t address, uint16_t count, bool last)
{
    fake_write32(b->fb, PRD_TABLE + index * 8, address);
    fake_write32(b->fb, PRD_TABLE + index * 8 + 4, count | (last ? 0x80000000u : 0));
}

/* Start the DMA engine of a channel. */
static inline void start_dma(struct bench *b, unsigned channel, bool to_memory)
{
    uint16_t port = (uint16_t)(BM + channel * 8);

    fake_outl(b->fb, port + 4, PRD_TABLE);
    fake_outb(b->fb, port + 2, 0x06);
    fake_outb(b->fb, port, to_memory ? 0x08 : 0x00);
    fake_outb(b->fb, port, to_memory ? 0x09 : 0x01);
}

static inline void expect_sectors(const uint8_t *bytes, uint32_t first, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        cr_assert_eq(load_le32(bytes + i * 512), first + i);
        cr_assert_eq(bytes[i * 512 + 511], (uint8_t)(first + i));
    }
}

#endif
