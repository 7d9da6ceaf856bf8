/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * IDENTIFY DEVICE, IDENTIFY PACKET DEVICE and SMART data: how drives describe themselves.
 *
 * Source: ATA/ATAPI-7 volume 1, "IDENTIFY DEVICE" and "IDENTIFY PACKET DEVICE" (256 little-endian words); "SMART READ
 * DATA" data structure; READ THRESHOLDS after ATA-3.
 *
 * What drivers rely on: 1, 3, 6 and 54-58 for CHS; 49, 60-61, 83 and 100-103 for LBA; 47 and 59 for the multiple mode;
 * 53, 63, 64 and 88 for transfer modes; 82-87 for the write cache and its flush; the checksum in 255.
 *
 * Not modelled: attributes in the SMART data; there is nothing that wears.
 */
#include <stdio.h>

#include "devices/ide_drive.h"

enum {
    WORD_GENERAL = 0,
    WORD_CYLINDERS = 1,
    WORD_HEADS = 3,
    WORD_TRACK_BYTES = 4,
    WORD_SECTOR_BYTES = 5,
    WORD_SECTORS = 6,
    WORD_SERIAL = 10,
    WORD_BUFFER_TYPE = 20,
    WORD_BUFFER_SECTORS = 21,
    WORD_ECC_BYTES = 22,
    WORD_FIRMWARE = 23,
    WORD_MODEL = 27,
    WORD_MULTIPLE_MAX = 47,
    WORD_DWORD_IO = 48,
    WORD_CAPABILITIES = 49,
    WORD_CAPABILITIES_2 = 50,
    WORD_PIO_TIMING = 51,
    WORD_DMA_TIMING = 52,
    WORD_VALID = 53,
    WORD_CURRENT_CYLINDERS = 54,
    WORD_CURRENT_HEADS = 55,
    WORD_CURRENT_SECTORS = 56,
    WORD_CURRENT_CAPACITY = 57,
    WORD_MULTIPLE = 59,
    WORD_LBA28 = 60,
    WORD_SWDMA = 62,
    WORD_MWDMA = 63,
    WORD_PIO = 64,
    WORD_CYCLE_TIMES = 65,
    WORD_VERSION = 80,
    WORD_SUPPORTED = 82,
    WORD_ENABLED = 85,
    WORD_UDMA = 88,
    WORD_RESET_RESULT = 93,
    WORD_LBA48 = 100,
    WORD_SECTOR_LAYOUT = 106,
    WORD_INTEGRITY = 255,
};

#define CAPABILITY_DMA   0x0100
#define CAPABILITY_LBA   0x0200
#define CAPABILITY_IORDY 0x0c00 /* supported, and may be disabled */
#define ALWAYS           0x4000 /* bit 14 set, bit 15 clear: the word is valid */

#define FEATURE_SMART      0x0001 /* word 82, 85 */
#define FEATURE_POWER      0x0008
#define FEATURE_PACKET     0x0010
#define FEATURE_CACHE      0x0020
#define FEATURE_LOOK_AHEAD 0x0040
#define FEATURE_RESET      0x0200
#define FEATURE_LBA48      0x0400 /* word 83, 86 */
#define FEATURE_FLUSH      0x3000 /* FLUSH CACHE and FLUSH CACHE EXT */
#define FEATURE_FUA        0x0040 /* word 84, 87 */

#define SMART_CHECKSUM   511
#define SMART_COLLECTION 362

static void put(uint8_t *data, unsigned word, uint16_t value)
{
    store_le16(data + word * 2, value);
}

static void put32(uint8_t *data, unsigned word, uint32_t value)
{
    store_le32(data + word * 2, value);
}

/* Text: the first character of a word is its high byte; padded with spaces. */
static void put_text(uint8_t *data, unsigned word, unsigned words, const char *text)
{
    size_t length = strlen(text);

    for (unsigned i = 0; i < words * 2; i++) {
        data[(word * 2 + i) ^ 1] = i < length ? (uint8_t)text[i] : ' ';
    }
}

void ide_drive_serial(const struct ide_drive *drive, char text[21])
{
    if (drive->block->serial[0]) {
        snprintf(text, 21, "%s", drive->block->serial);
    } else {
        snprintf(text, 21, "HY%05u", drive->unit + 1u);
    }
}

bool ide_transfer_mode_valid(uint8_t mode)
{
    uint8_t type = mode & 0xf8, number = mode & 0x07;

    switch (type) {
    case 0x00: /* PIO default; 1: without IORDY */
        return number <= 1;
    case 0x08: /* PIO with IORDY */
        return number <= 4;
    case 0x10: /* single-word DMA */
    case 0x20: /* multi-word DMA */
        return number <= 2;
    case 0x40: /* Ultra DMA */
        return number <= 5;
    default:
        return false;
    }
}

/* A word of modes: supported ones in bits 7:0, the selected one in 15:8. */
static uint16_t modes(uint8_t supported, uint8_t type, uint8_t mode)
{
    uint16_t selected = (mode & 0xf8) == type ? 0x0100 << (mode & 7) : 0;

    return supported | selected;
}

/* What both kinds of drive say in the same words. */
static void identify_common(const struct ide_drive *drive, uint8_t *data, const char *model)
{
    char serial[21];

    memset(data, 0, IDE_SECTOR);
    ide_drive_serial(drive, serial);
    put_text(data, WORD_SERIAL, 10, serial);
    put_text(data, WORD_FIRMWARE, 4, HYPATIA_VERSION);
    put_text(data, WORD_MODEL, 20, model);
    put(data, WORD_DWORD_IO, 1);
    put(data, WORD_CAPABILITIES, CAPABILITY_DMA | CAPABILITY_LBA | CAPABILITY_IORDY);
    put(data, WORD_CAPABILITIES_2, ALWAYS);
    put(data, WORD_PIO_TIMING, 0x0200);
    put(data, WORD_DMA_TIMING, 0x0200);
    put(data, WORD_SWDMA, modes(0x07, 0x10, drive->transfer_mode));
    put(data, WORD_MWDMA, modes(0x07, 0x20, drive->transfer_mode));
    put(data, WORD_PIO, 0x0003);
    for (unsigned i = 0; i < 4; i++) {
        put(data, WORD_CYCLE_TIMES + i, 120); /* ns: multi-word DMA 2, PIO 4 */
    }
    put(data, WORD_VERSION, 0x00f0); /* ATA/ATAPI-4 to -7 */
    put(data, WORD_UDMA, modes(0x3f, 0x40, drive->transfer_mode));
    /* 80-wire cable; this device passed its diagnostics, numbered by jumper */
    put(data, WORD_RESET_RESULT, ALWAYS | 0x2000 | (drive->index ? 0x0300 : 0x0003));
}

/* Signature A5h and the byte that makes the sum of all 512 zero. */
static void seal(uint8_t *data)
{
    uint8_t sum = 0xa5;

    for (unsigned i = 0; i < 510; i++) {
        sum += data[i];
    }
    put(data, WORD_INTEGRITY, (uint16_t)((uint8_t)-sum << 8 | 0xa5));
}

static void identify_geometry(const struct ide_drive *drive, uint8_t *data, uint64_t sectors)
{
    struct ide_geometry geometry = ide_default_geometry(sectors);
    uint32_t track = (uint32_t)drive->heads * drive->sectors;
    uint32_t cylinders = (uint32_t)MIN(MIN(sectors, 16514064) / track, 65535);

    put(data, WORD_CYLINDERS, geometry.cylinders);
    put(data, WORD_HEADS, geometry.heads);
    put(data, WORD_TRACK_BYTES, (uint16_t)(geometry.sectors * IDE_SECTOR));
    put(data, WORD_SECTOR_BYTES, IDE_SECTOR);
    put(data, WORD_SECTORS, geometry.sectors);
    put(data, WORD_CURRENT_CYLINDERS, (uint16_t)cylinders);
    put(data, WORD_CURRENT_HEADS, drive->heads);
    put(data, WORD_CURRENT_SECTORS, drive->sectors);
    put32(data, WORD_CURRENT_CAPACITY, cylinders * track);
    put32(data, WORD_LBA28, (uint32_t)MIN(sectors, 0x0fffffff));
    put32(data, WORD_LBA48, (uint32_t)sectors);
    put32(data, WORD_LBA48 + 2, (uint32_t)(sectors >> 32) & 0xffff);
}

void ide_identify_disk(const struct ide_drive *drive, uint8_t *data)
{
    uint16_t enabled = FEATURE_POWER | (drive->smart ? FEATURE_SMART : 0) |
                       (drive->write_cache ? FEATURE_CACHE : 0) |
                       (drive->look_ahead ? FEATURE_LOOK_AHEAD : 0);

    identify_common(drive, data, "HYPATIA HARDDISK");
    put(data, WORD_GENERAL, 0x0040); /* fixed */
    identify_geometry(drive, data, drive->block->size / IDE_SECTOR);
    put(data, WORD_BUFFER_TYPE, 3);
    put(data, WORD_BUFFER_SECTORS, IDE_BUFFER_SIZE / IDE_SECTOR);
    put(data, WORD_ECC_BYTES, 4);
    put(data, WORD_MULTIPLE_MAX, 0x8000 | 16);
    put(data, WORD_VALID, 0x0007); /* 54-58, 64-70 and 88 */
    put(data, WORD_MULTIPLE, drive->multiple ? 0x0100 | drive->multiple : 0);
    put(data, WORD_SUPPORTED, FEATURE_POWER | FEATURE_SMART | FEATURE_CACHE | FEATURE_LOOK_AHEAD);
    put(data, WORD_SUPPORTED + 1, ALWAYS | FEATURE_LBA48 | FEATURE_FLUSH);
    put(data, WORD_SUPPORTED + 2, ALWAYS | FEATURE_FUA);
    put(data, WORD_ENABLED, enabled);
    put(data, WORD_ENABLED + 1, FEATURE_LBA48 | FEATURE_FLUSH);
    put(data, WORD_ENABLED + 2, ALWAYS | FEATURE_FUA);
    put(data, WORD_SECTOR_LAYOUT, ALWAYS); /* 512 bytes, logical and physical */
    seal(data);
}

void ide_identify_packet(const struct ide_drive *drive, uint8_t *data)
{
    identify_common(drive, data, "HYPATIA DVD-ROM");
    put(data, WORD_GENERAL, 0x85c0); /* ATAPI, CD-ROM, removable, DRQ within 50 us, 12-byte packets */
    put(data, WORD_VALID, 0x0006);   /* 64-70 and 88 */
    put(data, WORD_SUPPORTED, FEATURE_POWER | FEATURE_PACKET | FEATURE_RESET);
    put(data, WORD_SUPPORTED + 1, ALWAYS);
    put(data, WORD_SUPPORTED + 2, ALWAYS);
    put(data, WORD_ENABLED, FEATURE_POWER | FEATURE_PACKET | FEATURE_RESET);
    put(data, WORD_ENABLED + 2, ALWAYS);
    seal(data);
}

/* ---- SMART ---- */

static void smart_seal(uint8_t *data)
{
    uint8_t sum = 0;

    for (unsigned i = 0; i < SMART_CHECKSUM; i++) {
        sum += data[i];
    }
    data[SMART_CHECKSUM] = -sum;
}

void ide_smart_data(uint8_t *data)
{
    memset(data, 0, IDE_SECTOR);
    store_le16(data, 0x0010);
    data[SMART_COLLECTION] = 0x02;     /* off-line data collection completed */
    data[SMART_COLLECTION + 5] = 0x01; /* EXECUTE OFF-LINE IMMEDIATE is there */
    store_le16(data + SMART_COLLECTION + 6, 0x0003);
    smart_seal(data);
}

void ide_smart_thresholds(uint8_t *data)
{
    memset(data, 0, IDE_SECTOR);
    store_le16(data, 0x0010);
    smart_seal(data);
}
