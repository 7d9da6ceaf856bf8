/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The commands of an ATA disk.
 *
 * Source: ATA/ATAPI-7 volume 1, "Command descriptions"; the obsolete ones (RECALIBRATE, INITIALIZE DEVICE PARAMETERS, the
 * commands without retries, 94h-99h) after ATA-3.
 *
 * Errors are reported as a drive reports them: a read that the host's disk refuses is repeated sector by sector, so that
 * what is before the bad sector arrives and the registers hold its address (UNC); a refused write or flush is ABRT, with
 * WP on a read-only medium. Nothing is ever reported as written that the block layer did not accept.
 *
 * The write cache is the block layer's: FLUSH CACHE waits for it, and with the cache disabled (SET FEATURES 82h) every
 * write goes through it before the command ends.
 *
 * Not modelled: the standby timers (periods are accepted, the disk never falls asleep by itself).
 */
#include <errno.h>

#include "devices/ide_drive.h"

#define READY        (IDE_DRDY | IDE_DSC)
#define CHUNK        (IDE_BUFFER_SIZE / IDE_SECTOR)
#define MULTIPLE_MAX 16
#define DEVICE_LBA   0x40
#define DEVICE_HEAD  0x0f
#define LBA28_MAX    0x0fffffffu
#define LBA48_MAX    BITS(47, 0)
#define SMART_MID    0x4f
#define SMART_HIGH   0xc2
#define POWER_ACTIVE 0xff /* sector count of CHECK POWER MODE */
#define POWER_IDLE   0x80

enum transfer_flags {
    READ = 0x01,
    WRITE = 0x02,
    VERIFY = 0x04,
    DMA = 0x08,
    EXT = 0x10,
    MULTIPLE = 0x20,
    FUA = 0x40,
};

/* The commands that move data between host and medium. */
static const struct {
    uint8_t command, flags;
} transfers[] = {
    {0x20, READ},
    {0x21, READ},
    {0x24, READ | EXT},
    {0x25, READ | EXT | DMA},
    {0x29, READ | EXT | MULTIPLE},
    {0x30, WRITE},
    {0x31, WRITE},
    {0x34, WRITE | EXT},
    {0x35, WRITE | EXT | DMA},
    {0x39, WRITE | EXT | MULTIPLE},
    {0x3c, WRITE},
    {0x3d, WRITE | EXT | DMA | FUA},
    {0x40, VERIFY},
    {0x41, VERIFY},
    {0x42, VERIFY | EXT},
    {0xc4, READ | MULTIPLE},
    {0xc5, WRITE | MULTIPLE},
    {0xc8, READ | DMA},
    {0xc9, READ | DMA},
    {0xca, WRITE | DMA},
    {0xcb, WRITE | DMA},
    {0xce, WRITE | EXT | MULTIPLE | FUA},
};

/* ---- addresses ---- */

static uint64_t disk_sectors(const struct ide_drive *drive)
{
    return MIN(drive->block->size / IDE_SECTOR, LBA48_MAX);
}

/* Sectors that commands with 28 address bits, or CHS, reach. */
static uint64_t disk_sectors_28(const struct ide_drive *drive)
{
    return MIN(disk_sectors(drive), LBA28_MAX);
}

/* False: a CHS address that the current translation does not have. */
static bool disk_get_address(const struct ide_drive *drive, uint64_t *lba)
{
    const struct ide_taskfile *now = &drive->now, *previous = &drive->previous;
    uint32_t low = now->lba_low | (uint32_t)now->lba_mid << 8 | (uint32_t)now->lba_high << 16;
    uint32_t head = drive->device & DEVICE_HEAD;

    if (drive->lba48) {
        uint32_t high =
            previous->lba_low | (uint32_t)previous->lba_mid << 8 | (uint32_t)previous->lba_high << 16;

        *lba = (uint64_t)high << 24 | low;
        return true;
    }
    if (drive->device & DEVICE_LBA) {
        *lba = (uint64_t)head << 24 | low;
        return true;
    }
    *lba = ((uint64_t)(low >> 8) * drive->heads + head) * drive->sectors + now->lba_low - 1;
    return now->lba_low >= 1 && now->lba_low <= drive->sectors && head < drive->heads;
}

static void disk_put_address(struct ide_drive *drive, uint64_t lba)
{
    struct ide_taskfile *now = &drive->now;
    uint32_t head = (uint32_t)(lba >> 24);
    uint32_t low = (uint32_t)lba;

    if (drive->lba48) {
        drive->previous.lba_low = (uint8_t)(lba >> 24);
        drive->previous.lba_mid = (uint8_t)(lba >> 32);
        drive->previous.lba_high = (uint8_t)(lba >> 40);
    } else if (!(drive->device & DEVICE_LBA)) {
        uint64_t track = lba / drive->sectors;

        low = (uint32_t)(track / drive->heads) << 8 | (uint32_t)(lba % drive->sectors + 1);
        head = (uint32_t)(track % drive->heads);
    }
    now->lba_low = (uint8_t)low;
    now->lba_mid = (uint8_t)(low >> 8);
    now->lba_high = (uint8_t)(low >> 16);
    if (!drive->lba48) {
        drive->device = (uint8_t)((drive->device & ~DEVICE_HEAD) | (head & DEVICE_HEAD));
    }
}

static uint32_t disk_get_count(const struct ide_drive *drive)
{
    uint32_t count = drive->now.count;

    if (drive->lba48) {
        count |= (uint32_t)drive->previous.count << 8;
        return count ? count : 65536;
    }
    return count ? count : 256;
}

/* ---- transfers ---- */

static uint32_t disk_chunk(const struct ide_drive *drive)
{
    return MIN(drive->left, drive->single ? 1 : CHUNK);
}

static void disk_read_more(struct ide_drive *drive)
{
    ide_submit(drive, IDE_IO_READ, drive->lba * IDE_SECTOR, disk_chunk(drive) * IDE_SECTOR);
}

/* The registers show the last sector (as older drivers read them), or the one that failed. */
static void disk_end(struct ide_drive *drive, bool interrupt)
{
    disk_put_address(drive, drive->lba - 1);
    drive->now.count = drive->previous.count = 0;
    if (interrupt) {
        ide_complete(drive, READY);
    } else {
        ide_finish(drive);
    }
}

static void disk_fail(struct ide_drive *drive, uint8_t error)
{
    disk_put_address(drive, drive->lba);
    drive->now.count = (uint8_t)drive->left;
    drive->previous.count = (uint8_t)(drive->left >> 8);
    ide_fail(drive, error);
}

static void disk_transfer(struct ide_drive *drive, uint8_t flags)
{
    uint64_t limit;

    drive->lba48 = flags & EXT;
    drive->dma = flags & DMA;
    drive->fua = flags & FUA;
    drive->verify = flags & VERIFY;
    drive->block_size = IDE_SECTOR * ((flags & MULTIPLE) ? drive->multiple : 1);
    if (drive->block_size == 0) {
        ide_fail(drive, IDE_ABRT); /* multiple mode is disabled */
        return;
    }
    limit = drive->lba48 ? disk_sectors(drive) : disk_sectors_28(drive);
    drive->left = disk_get_count(drive);
    if (!disk_get_address(drive, &drive->lba) || drive->lba >= limit || drive->left > limit - drive->lba) {
        ide_fail(drive, IDE_IDNF);
    } else if (!(flags & WRITE)) {
        disk_read_more(drive);
    } else if (drive->block->read_only) {
        disk_fail(drive, IDE_WP | IDE_ABRT);
    } else {
        ide_begin_data_out(drive, disk_chunk(drive) * IDE_SECTOR, false);
    }
}

static void disk_data_over(struct ide_drive *drive, bool in)
{
    if (!in) {
        ide_submit(drive, IDE_IO_WRITE, drive->lba * IDE_SECTOR, drive->end);
    } else if (drive->left) {
        disk_read_more(drive);
    } else if (drive->command == 0xec || drive->command == 0xb0) {
        ide_finish(drive); /* IDENTIFY, SMART: not an address */
    } else {
        disk_end(drive, drive->dma);
    }
}

static void disk_read_done(struct ide_drive *drive, int result)
{
    uint32_t sectors = drive->io_length / IDE_SECTOR;

    if (result < 0 && sectors > 1) {
        drive->single = true;
        disk_read_more(drive);
        return;
    }
    if (result < 0) {
        disk_fail(drive, IDE_UNC);
        return;
    }
    drive->lba += sectors;
    drive->left -= sectors;
    if (!drive->verify) {
        ide_begin_data_in(drive, sectors * IDE_SECTOR);
    } else if (drive->left) {
        disk_read_more(drive);
    } else {
        disk_end(drive, true);
    }
}

static void disk_write_done(struct ide_drive *drive, int result)
{
    uint32_t sectors = drive->io_length / IDE_SECTOR;

    if (result < 0) {
        disk_fail(drive, result == -EROFS ? IDE_WP | IDE_ABRT : IDE_ABRT);
        return;
    }
    drive->lba += sectors;
    drive->left -= sectors;
    if (drive->left) {
        ide_begin_data_out(drive, disk_chunk(drive) * IDE_SECTOR, true);
    } else {
        disk_end(drive, true);
    }
}

static void disk_io_done(struct ide_drive *drive, enum ide_io io, int result)
{
    if (io == IDE_IO_READ) {
        disk_read_done(drive, result);
    } else if (io == IDE_IO_WRITE) {
        disk_write_done(drive, result);
    } else if (result < 0) {
        ide_fail(drive, IDE_ABRT);
    } else {
        ide_complete(drive, READY);
    }
}

/* ---- other commands ---- */

static void disk_identify(struct ide_drive *drive)
{
    drive->block_size = IDE_SECTOR;
    ide_identify_disk(drive, drive->buffer);
    ide_begin_data_in(drive, IDE_SECTOR);
}

static void disk_set_multiple(struct ide_drive *drive)
{
    uint8_t count = drive->now.count;

    if (count > MULTIPLE_MAX || (count & (count - 1))) {
        drive->multiple = 0; /* a refused value disables the mode */
        ide_fail(drive, IDE_ABRT);
        return;
    }
    drive->multiple = count;
    ide_complete(drive, READY);
}

static bool disk_set_feature(struct ide_drive *drive)
{
    switch (drive->now.features) {
    case 0x02:
    case 0x82:
        drive->write_cache = drive->now.features == 0x02;
        return true;
    case 0x03:
        if (!ide_transfer_mode_valid(drive->now.count)) {
            return false;
        }
        drive->transfer_mode = drive->now.count;
        return true;
    case 0x55:
    case 0xaa:
        drive->look_ahead = drive->now.features == 0xaa;
        return true;
    case 0x66:
    case 0xcc:
        drive->revert_defaults = drive->now.features == 0xcc;
        return true;
    default:
        return false;
    }
}

/* Disabling the cache writes back what is in it. */
static void disk_set_features(struct ide_drive *drive)
{
    if (!disk_set_feature(drive)) {
        ide_fail(drive, IDE_ABRT);
    } else if (drive->now.features == 0x82) {
        ide_submit(drive, IDE_IO_FLUSH, 0, 0);
    } else {
        ide_complete(drive, READY);
    }
}

static void disk_set_translation(struct ide_drive *drive)
{
    if (drive->now.count == 0) {
        ide_fail(drive, IDE_ABRT);
        return;
    }
    drive->sectors = drive->now.count;
    drive->heads = (drive->device & DEVICE_HEAD) + 1;
    ide_complete(drive, READY);
}

static void disk_seek(struct ide_drive *drive)
{
    uint64_t lba;

    if (!disk_get_address(drive, &lba) || lba >= disk_sectors_28(drive)) {
        ide_fail(drive, IDE_IDNF);
    } else {
        ide_complete(drive, READY);
    }
}

static void disk_read_native_max(struct ide_drive *drive, bool ext)
{
    drive->lba48 = ext;
    drive->device |= DEVICE_LBA;
    disk_put_address(drive, (ext ? disk_sectors(drive) : disk_sectors_28(drive)) - 1);
    ide_complete(drive, READY);
}

static void disk_smart(struct ide_drive *drive)
{
    bool enabled = drive->smart || drive->now.features == 0xd8;

    drive->block_size = IDE_SECTOR;
    if (!enabled || drive->now.lba_mid != SMART_MID || drive->now.lba_high != SMART_HIGH) {
        ide_fail(drive, IDE_ABRT);
        return;
    }
    switch (drive->now.features) {
    case 0xd0: /* READ DATA */
        ide_smart_data(drive->buffer);
        ide_begin_data_in(drive, IDE_SECTOR);
        break;
    case 0xd1: /* READ THRESHOLDS */
        ide_smart_thresholds(drive->buffer);
        ide_begin_data_in(drive, IDE_SECTOR);
        break;
    case 0xd2: /* attribute autosave: there is nothing to save */
    case 0xd4: /* off-line test: passed when it has begun */
    case 0xda: /* RETURN STATUS: LBA mid and high unchanged say that all is well */
        ide_complete(drive, READY);
        break;
    case 0xd8:
    case 0xd9:
        drive->smart = drive->now.features == 0xd8;
        ide_complete(drive, READY);
        break;
    default:
        ide_fail(drive, IDE_ABRT);
    }
}

static void disk_check_power(struct ide_drive *drive)
{
    drive->now.count = drive->power == IDE_POWER_STANDBY ? 0
                       : drive->power == IDE_POWER_IDLE  ? POWER_IDLE
                                                         : POWER_ACTIVE;
    ide_complete(drive, READY);
}

/* STANDBY and SLEEP write the cache back first. */
static void disk_set_power(struct ide_drive *drive, enum ide_power power)
{
    drive->power = (uint8_t)power;
    if (power == IDE_POWER_IDLE) {
        ide_complete(drive, READY);
    } else {
        ide_submit(drive, IDE_IO_FLUSH, 0, 0);
    }
}

/* The power commands and their old codes; false: none of them. */
static bool disk_power(struct ide_drive *drive, uint8_t command)
{
    switch (command) {
    case 0x94:
    case 0x96:
    case 0xe0:
    case 0xe2:
        disk_set_power(drive, IDE_POWER_STANDBY);
        return true;
    case 0x95:
    case 0x97:
    case 0xe1:
    case 0xe3:
        disk_set_power(drive, IDE_POWER_IDLE);
        return true;
    case 0x98:
    case 0xe5:
        disk_check_power(drive);
        return true;
    case 0x99:
    case 0xe6:
        disk_set_power(drive, IDE_POWER_SLEEP);
        return true;
    default:
        return false;
    }
}

static void disk_execute_other(struct ide_drive *drive, uint8_t command)
{
    switch (command) {
    case 0x27:
    case 0xf8:
        disk_read_native_max(drive, command == 0x27);
        break;
    case 0x91:
        disk_set_translation(drive);
        break;
    case 0xb0:
        disk_smart(drive);
        break;
    case 0xc6:
        disk_set_multiple(drive);
        break;
    case 0xe7:
    case 0xea:
        ide_submit(drive, IDE_IO_FLUSH, 0, 0);
        break;
    case 0xec:
        disk_identify(drive);
        break;
    case 0xef:
        disk_set_features(drive);
        break;
    default:
        if ((command & 0xf0) == 0x10) {
            ide_complete(drive, READY); /* RECALIBRATE */
        } else if ((command & 0xf0) == 0x70) {
            disk_seek(drive);
        } else if (!disk_power(drive, command)) {
            ide_fail(drive, IDE_ABRT);
        }
    }
}

static void disk_execute(struct ide_drive *drive, uint8_t command)
{
    for (unsigned i = 0; i < ARRAY_LEN(transfers); i++) {
        if (transfers[i].command == command) {
            drive->power = IDE_POWER_ACTIVE;
            disk_transfer(drive, transfers[i].flags);
            return;
        }
    }
    disk_execute_other(drive, command);
}

static void disk_offer(struct ide_drive *drive, uint32_t bytes)
{
    (void)drive;
    (void)bytes;
}

/* ---- resets ---- */

static void disk_signature(struct ide_drive *drive)
{
    drive->now = (struct ide_taskfile){.count = 1, .lba_low = 1};
    drive->previous = (struct ide_taskfile){0};
    drive->error = 0x01;
    drive->status = READY;
}

struct ide_geometry ide_default_geometry(uint64_t sectors)
{
    uint64_t cylinders = MIN(sectors / (16 * 63), 16383);

    return (struct ide_geometry){.cylinders = (uint16_t)MAX(cylinders, 1), .heads = 16, .sectors = 63};
}

static void disk_set_defaults(struct ide_drive *drive, bool power_on)
{
    struct ide_geometry geometry = ide_default_geometry(disk_sectors(drive));

    drive->heads = geometry.heads;
    drive->sectors = geometry.sectors;
    drive->multiple = MULTIPLE_MAX;
    drive->write_cache = drive->look_ahead = true;
    if (power_on) {
        drive->transfer_mode = 0x0c; /* PIO mode 4 */
        drive->smart = true;
    }
}

static int disk_check(const struct ide_drive *drive, struct error *error)
{
    bool out = drive->phase == IDE_PHASE_PIO_OUT || drive->phase == IDE_PHASE_DMA_OUT;
    bool moves = drive->io == IDE_IO_READ || drive->io == IDE_IO_WRITE;
    uint32_t bytes = out ? drive->end : moves ? drive->io_length : 0;

    if (drive->heads == 0 || drive->sectors == 0 || (drive->multiple & (drive->multiple - 1))) {
        return error_set(error, -EINVAL, "ide: unit %u has an impossible geometry", drive->unit);
    }
    if (drive->left > 65536 || bytes % IDE_SECTOR || bytes / IDE_SECTOR > drive->left) {
        return error_set(error, -EINVAL, "ide: unit %u moves more than its command asks for", drive->unit);
    }
    return 0;
}

const struct ide_drive_ops ide_disk_ops = {
    .execute = disk_execute,
    .offer = disk_offer,
    .data_over = disk_data_over,
    .io_done = disk_io_done,
    .signature = disk_signature,
    .set_defaults = disk_set_defaults,
    .check = disk_check,
};
