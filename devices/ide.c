/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * An ATA channel: registers, device selection, resets, INTRQ, the data phases, and requests to the medium. See ide.h.
 *
 * Source: ATA/ATAPI-7 volume 2, "Interface register definitions and descriptions" and the protocol chapters.
 *
 * Both devices hear every register write, as on the cable; only the selected one answers reads and drives INTRQ. A
 * device that is BSY ignores everything but device control and DEVICE RESET. A missing device 1 beside a device 0
 * reads as 00h; a channel without any device reads as the pulled-down bus does, 7Fh.
 *
 * Not modelled: see ide.h. The time a drive takes is that of its block requests; everything else is done at once.
 */
#include <errno.h>

#include "devices/ide_drive.h"

#define CONTROL_NIEN 0x02
#define CONTROL_SRST 0x04
#define CONTROL_HOB  0x80

#define DEVICE_DEV   0x10
#define DEVICE_FIXED 0xa0 /* obsolete bits that read as one */

#define COMMAND_DEVICE_RESET 0x08
#define COMMAND_DIAGNOSTIC   0x90

#define FLOATING_BUS 0x7f
#define READY        (IDE_DRDY | IDE_DSC)

enum { REG_DATA, REG_ERROR, REG_COUNT, REG_LBA_LOW, REG_LBA_MID, REG_LBA_HIGH, REG_DEVICE, REG_STATUS };

/* ---- INTRQ ---- */

static struct ide_drive *ide_selected(struct ide_channel *channel)
{
    return &channel->drive[channel->selected & 1];
}

static void ide_update_irq(struct ide_channel *channel)
{
    bool level = ide_selected(channel)->intrq && !(channel->device_control & CONTROL_NIEN);

    if (level != channel->intrq) {
        channel->intrq = level;
        line_set(&channel->irq, level);
    }
}

static void ide_set_intrq(struct ide_drive *drive, bool level)
{
    drive->intrq = level;
    ide_update_irq(drive->channel);
}

/* ---- data phases ---- */

static void ide_end_phase(struct ide_drive *drive)
{
    drive->phase = IDE_PHASE_IDLE;
    drive->position = drive->drq_end = drive->end = 0;
}

void ide_complete(struct ide_drive *drive, uint8_t status)
{
    ide_end_phase(drive);
    drive->status = status;
    ide_set_intrq(drive, true);
}

void ide_finish(struct ide_drive *drive)
{
    ide_end_phase(drive);
    drive->status = READY;
}

void ide_fail(struct ide_drive *drive, uint8_t error)
{
    drive->error = error;
    ide_complete(drive, READY | IDE_ERR);
}

/* PIO: the next DRQ block. */
static void ide_offer(struct ide_drive *drive, bool interrupt)
{
    uint32_t bytes = MIN(drive->block_size, drive->end - drive->position);

    drive->drq_end = drive->position + (uint32_t)ALIGN_UP(bytes, 2);
    drive->status = READY | IDE_DRQ;
    drive->ops->offer(drive, bytes);
    if (interrupt) {
        ide_set_intrq(drive, true);
    }
}

/* DMARQ: whatever the bus master takes now; it comes back when it is started. */
static void ide_dma_run(struct ide_drive *drive)
{
    struct ide_bus_master *bus = &drive->channel->bus_master;
    bool in = drive->phase == IDE_PHASE_DMA_IN;

    drive->position +=
        bus->transfer(bus->opaque, drive->buffer + drive->position, drive->drq_end - drive->position, in);
    if (drive->position >= drive->end) {
        drive->ops->data_over(drive, in);
    }
}

static void ide_begin_dma(struct ide_drive *drive, enum ide_phase phase)
{
    drive->phase = phase;
    drive->drq_end = (uint32_t)ALIGN_UP(drive->end, 2);
    drive->status = READY | IDE_DRQ;
    ide_dma_run(drive);
}

void ide_begin_data_in(struct ide_drive *drive, uint32_t bytes)
{
    drive->position = 0;
    drive->end = bytes;
    if (bytes % 2) {
        drive->buffer[bytes] = 0; /* the other half of the last word */
    }
    if (drive->dma) {
        ide_begin_dma(drive, IDE_PHASE_DMA_IN);
    } else {
        drive->phase = IDE_PHASE_PIO_IN;
        ide_offer(drive, true);
    }
}

void ide_begin_data_out(struct ide_drive *drive, uint32_t bytes, bool interrupt)
{
    drive->position = 0;
    drive->end = bytes;
    if (drive->dma) {
        ide_begin_dma(drive, IDE_PHASE_DMA_OUT);
    } else {
        drive->phase = IDE_PHASE_PIO_OUT;
        ide_offer(drive, interrupt);
    }
}

void ide_begin_packet(struct ide_drive *drive)
{
    drive->position = 0;
    drive->end = drive->drq_end = IDE_PACKET_SIZE;
    drive->phase = IDE_PHASE_PACKET;
    drive->status = READY | IDE_DRQ;
}

/* A DRQ block is through. */
static void ide_block_over(struct ide_drive *drive)
{
    drive->status = IDE_BSY;
    if (drive->position < drive->end) {
        ide_offer(drive, true);
    } else {
        drive->ops->data_over(drive, drive->phase == IDE_PHASE_PIO_IN);
    }
}

static uint16_t ide_data_read(struct ide_drive *drive)
{
    uint16_t word;

    if (drive->phase != IDE_PHASE_PIO_IN) {
        return 0;
    }
    word = load_le16(drive->buffer + drive->position);
    drive->position += 2;
    if (drive->position >= drive->drq_end) {
        ide_block_over(drive);
    }
    return word;
}

static void ide_data_write(struct ide_drive *drive, uint16_t word)
{
    if (drive->phase != IDE_PHASE_PIO_OUT && drive->phase != IDE_PHASE_PACKET) {
        return;
    }
    store_le16(drive->buffer + drive->position, word);
    drive->position += 2;
    if (drive->position >= drive->drq_end) {
        ide_block_over(drive);
    }
}

void ide_channel_dma_start(struct ide_channel *channel)
{
    for (unsigned i = 0; i < 2; i++) {
        uint8_t phase = channel->drive[i].phase;

        if (phase == IDE_PHASE_DMA_IN || phase == IDE_PHASE_DMA_OUT) {
            ide_dma_run(&channel->drive[i]);
        }
    }
}

/* ---- the medium ---- */

static void ide_request_done(struct block_request *request, int result)
{
    struct ide_drive *drive = request->opaque;
    enum ide_io io = drive->io;

    drive->io = IDE_IO_NONE;
    drive->io_deadline = 0;
    drive->ops->io_done(drive, io, result);
}

static void ide_prepare_request(struct ide_drive *drive)
{
    static const enum block_op op[IDE_IO_COUNT] = {
        [IDE_IO_READ] = BLOCK_READ, [IDE_IO_WRITE] = BLOCK_WRITE, [IDE_IO_FLUSH] = BLOCK_FLUSH};
    struct block_request *request = &drive->request;

    request->op = op[drive->io];
    request->fua = drive->fua || !drive->write_cache;
    request->offset = drive->io_offset;
    request->length = drive->io_length;
    request->buffer = drive->io == IDE_IO_FLUSH ? NULL : drive->buffer;
    request->done = ide_request_done;
    request->opaque = drive;
}

/* When the request completes; without meaning, and therefore always the same, in real time. */
static void ide_note_deadline(struct ide_drive *drive)
{
    bool real = drive->channel->device->board->clock->policy == CLOCK_REAL_TIME;

    drive->io_deadline = real ? 0 : drive->request.deadline;
}

void ide_submit(struct ide_drive *drive, enum ide_io io, uint64_t offset, uint32_t length)
{
    int result;

    ide_end_phase(drive);
    drive->phase = IDE_PHASE_MEDIUM;
    drive->status = IDE_BSY;
    drive->io = (uint8_t)io;
    drive->io_offset = offset;
    drive->io_length = length;
    ide_prepare_request(drive);
    result = block_submit(drive->block, &drive->request);
    if (result < 0) {
        ide_request_done(&drive->request, result);
    } else {
        ide_note_deadline(drive);
    }
}

/* Drop whatever the drive was doing. */
static void ide_abandon(struct ide_drive *drive)
{
    if (block_request_active(&drive->request)) {
        block_cancel(&drive->request);
        memset(drive->buffer, 0, sizeof(drive->buffer)); /* how much had arrived is the host's secret */
    }
    drive->io = IDE_IO_NONE;
    drive->io_offset = drive->io_deadline = 0;
    drive->io_length = 0;
    drive->command = 0;
    drive->dma = drive->lba48 = drive->fua = drive->verify = drive->single = false;
    drive->lba = 0;
    drive->left = drive->block_size = 0;
    drive->intrq = false;
    ide_end_phase(drive);
}

/* ---- commands and resets ---- */

/* EXECUTE DEVICE DIAGNOSTIC and the end of SRST: both devices pass their tests, device 0 is selected. */
static void ide_signatures(struct ide_channel *channel)
{
    channel->selected = 0;
    for (unsigned i = 0; i < 2; i++) {
        struct ide_drive *drive = &channel->drive[i];

        if (drive->ops) {
            ide_abandon(drive);
            drive->power = IDE_POWER_ACTIVE;
            drive->device = 0;
            drive->ops->signature(drive);
        }
    }
    ide_update_irq(channel);
}

static void ide_command(struct ide_channel *channel, uint8_t command)
{
    struct ide_drive *drive = ide_selected(channel);

    if (command == COMMAND_DIAGNOSTIC && !(channel->device_control & CONTROL_SRST)) {
        ide_signatures(channel);
        ide_set_intrq(&channel->drive[0], channel->drive[0].ops != NULL);
        return;
    }
    if (!drive->ops || (channel->device_control & CONTROL_SRST)) {
        return;
    }
    if (command == COMMAND_DEVICE_RESET && drive->kind == IDE_CDROM) {
        ide_abandon(drive);
        drive->power = IDE_POWER_ACTIVE;
        drive->device &= DEVICE_DEV;
        drive->ops->signature(drive);
        ide_update_irq(channel);
        return;
    }
    if ((drive->status & (IDE_BSY | IDE_DRQ)) || drive->power == IDE_POWER_SLEEP) {
        log_printf(channel->device->board->log, LOG_GUEST_ERRORS,
                   "ide%u.%u: command %02x while busy or asleep\n", channel->number, drive->index, command);
        return;
    }
    ide_abandon(drive);
    ide_update_irq(channel);
    drive->command = command;
    drive->error = 0;
    drive->status = IDE_BSY;
    drive->ops->execute(drive, command);
}

void ide_control_write(struct ide_channel *channel, uint8_t value)
{
    uint8_t old = channel->device_control;

    channel->device_control = value & (CONTROL_HOB | CONTROL_SRST | CONTROL_NIEN);
    if (value & ~old & CONTROL_SRST) {
        for (unsigned i = 0; i < 2; i++) {
            if (channel->drive[i].ops) {
                ide_abandon(&channel->drive[i]);
                channel->drive[i].status = IDE_BSY;
            }
        }
    } else if (~value & old & CONTROL_SRST) {
        ide_signatures(channel);
        for (unsigned i = 0; i < 2; i++) {
            struct ide_drive *drive = &channel->drive[i];

            if (drive->ops && drive->revert_defaults) {
                drive->ops->set_defaults(drive, false);
            }
        }
    }
    ide_update_irq(channel);
}

/* ---- registers ---- */

static uint8_t *ide_register(struct ide_taskfile *file, unsigned offset)
{
    switch (offset) {
    case REG_COUNT:
        return &file->count;
    case REG_LBA_LOW:
        return &file->lba_low;
    case REG_LBA_MID:
        return &file->lba_mid;
    case REG_LBA_HIGH:
        return &file->lba_high;
    default:
        return &file->features;
    }
}

static void ide_register_write(struct ide_channel *channel, unsigned offset, uint8_t value)
{
    channel->device_control &= (uint8_t)~CONTROL_HOB;
    if (offset == REG_STATUS) {
        ide_command(channel, value);
        return;
    }
    for (unsigned i = 0; i < 2; i++) {
        struct ide_drive *drive = &channel->drive[i];

        if (!drive->ops) {
            continue;
        }
        if (offset == REG_DEVICE) {
            drive->device = value;
        } else if (!(drive->status & IDE_BSY)) {
            uint8_t *reg = ide_register(&drive->now, offset);

            *ide_register(&drive->previous, offset) = *reg;
            *reg = value;
        }
    }
    if (offset == REG_DEVICE) {
        channel->selected = (value & DEVICE_DEV) != 0;
        ide_update_irq(channel);
    }
}

static uint8_t ide_absent_value(const struct ide_channel *channel)
{
    return channel->drive[0].ops || channel->drive[1].ops ? 0 : FLOATING_BUS;
}

static uint8_t ide_register_read(struct ide_channel *channel, unsigned offset)
{
    struct ide_drive *drive = ide_selected(channel);

    if (!drive->ops) {
        return ide_absent_value(channel);
    }
    switch (offset) {
    case REG_ERROR:
        return drive->error;
    case REG_DEVICE:
        return drive->device | DEVICE_FIXED;
    case REG_STATUS:
        ide_set_intrq(drive, false);
        return drive->status;
    default:
        return *ide_register(channel->device_control & CONTROL_HOB ? &drive->previous : &drive->now, offset);
    }
}

uint8_t ide_control_read(const struct ide_channel *channel)
{
    const struct ide_drive *drive = &channel->drive[channel->selected & 1];

    return drive->ops ? drive->status : ide_absent_value(channel);
}

uint32_t ide_command_block_read(struct ide_channel *channel, unsigned offset, unsigned size)
{
    struct ide_drive *drive = ide_selected(channel);
    uint32_t value = 0;

    if (offset == REG_DATA) {
        value = ide_data_read(drive);
        if (size == 4) {
            value |= (uint32_t)ide_data_read(drive) << 16;
        }
        return value;
    }
    for (unsigned i = 0; i < size && offset + i <= REG_STATUS; i++) {
        value |= (uint32_t)ide_register_read(channel, offset + i) << 8 * i;
    }
    return value;
}

void ide_command_block_write(struct ide_channel *channel, unsigned offset, uint32_t value, unsigned size)
{
    if (offset == REG_DATA) {
        ide_data_write(ide_selected(channel), (uint16_t)value);
        if (size == 4) {
            ide_data_write(ide_selected(channel), (uint16_t)(value >> 16));
        }
        return;
    }
    for (unsigned i = 0; i < size && offset + i <= REG_STATUS; i++) {
        ide_register_write(channel, offset + i, (uint8_t)(value >> 8 * i));
    }
}

/* ---- life ---- */

static void ide_drive_init(struct ide_drive *drive, struct ide_channel *channel, unsigned index,
                           const struct ide_slot *slot)
{
    drive->channel = channel;
    drive->index = (uint8_t)index;
    drive->unit = (uint8_t)(channel->number * 2 + index);
    drive->block = slot->block;
    if (!slot->block) {
        return;
    }
    drive->kind = slot->cdrom ? IDE_CDROM : IDE_DISK;
    drive->ops = slot->cdrom ? &atapi_ops : &ide_disk_ops;
    if (slot->cdrom) {
        slot->block->front_ops = &atapi_front_ops;
        slot->block->front = drive;
    }
}

void ide_channel_init(struct ide_channel *channel, struct device *device, unsigned number, struct line irq,
                      struct ide_bus_master bus_master, const struct ide_slot slot[2])
{
    channel->device = device;
    channel->number = (uint8_t)number;
    channel->irq = irq;
    channel->bus_master = bus_master;
    for (unsigned i = 0; i < 2; i++) {
        ide_drive_init(&channel->drive[i], channel, i, &slot[i]);
    }
    ide_channel_reset(channel);
}

void ide_channel_fini(struct ide_channel *channel)
{
    for (unsigned i = 0; i < 2; i++) {
        struct ide_drive *drive = &channel->drive[i];

        if (drive->block) {
            block_cancel(&drive->request);
            drive->block->front_ops = NULL;
            drive->block->front = NULL;
        }
    }
}

void ide_channel_reset(struct ide_channel *channel)
{
    channel->device_control = 0;
    for (unsigned i = 0; i < 2; i++) {
        struct ide_drive *drive = &channel->drive[i];

        if (drive->ops) {
            ide_abandon(drive);
            memset(drive->buffer, 0, sizeof(drive->buffer));
            drive->now = drive->previous = (struct ide_taskfile){0};
            drive->revert_defaults = true;
            drive->ops->set_defaults(drive, true);
        }
    }
    ide_signatures(channel);
}

/* ---- snapshots ---- */

static const struct snap_field ide_taskfile_fields[] = {
    SNAP_UINT(struct ide_taskfile, features), SNAP_UINT(struct ide_taskfile, count),
    SNAP_UINT(struct ide_taskfile, lba_low),  SNAP_UINT(struct ide_taskfile, lba_mid),
    SNAP_UINT(struct ide_taskfile, lba_high),
};

static const struct snap_field atapi_fields[] = {
    SNAP_BYTES(struct atapi, packet),
    SNAP_RANGE(struct atapi, sense_key, 0, 15),
    SNAP_UINT(struct atapi, asc),
    SNAP_UINT(struct atapi, ascq),
    SNAP_RANGE(struct atapi, attention, 0, 3),
    SNAP_RANGE(struct atapi, event, 0, 3),
    SNAP_RANGE(struct atapi, parts, 0, 15),
    SNAP_BOOL(struct atapi, tray_open),
    SNAP_BOOL(struct atapi, locked),
};

static const struct snap_field ide_drive_fields[] = {
    SNAP_RANGE(struct ide_drive, kind, IDE_ABSENT, IDE_CDROM),
    SNAP_STRUCTS(struct ide_drive, now, 1, ide_taskfile_fields),
    SNAP_STRUCTS(struct ide_drive, previous, 1, ide_taskfile_fields),
    SNAP_UINT(struct ide_drive, device),
    SNAP_UINT(struct ide_drive, status),
    SNAP_UINT(struct ide_drive, error),
    SNAP_BOOL(struct ide_drive, intrq),
    SNAP_UINT(struct ide_drive, command),
    SNAP_RANGE(struct ide_drive, phase, 0, IDE_PHASE_COUNT - 1),
    SNAP_BOOL(struct ide_drive, dma),
    SNAP_BOOL(struct ide_drive, lba48),
    SNAP_BOOL(struct ide_drive, fua),
    SNAP_BOOL(struct ide_drive, verify),
    SNAP_BOOL(struct ide_drive, single),
    SNAP_RANGE(struct ide_drive, lba, 0, UINT64_MAX >> 12),
    SNAP_UINT(struct ide_drive, left),
    SNAP_RANGE(struct ide_drive, block_size, 0, IDE_BUFFER_SIZE),
    SNAP_RANGE(struct ide_drive, position, 0, IDE_BUFFER_SIZE),
    SNAP_RANGE(struct ide_drive, drq_end, 0, IDE_BUFFER_SIZE),
    SNAP_RANGE(struct ide_drive, end, 0, IDE_BUFFER_SIZE),
    SNAP_RANGE(struct ide_drive, io, 0, IDE_IO_COUNT - 1),
    SNAP_UINT(struct ide_drive, io_offset),
    SNAP_UINT(struct ide_drive, io_deadline),
    SNAP_RANGE(struct ide_drive, io_length, 0, IDE_BUFFER_SIZE),
    SNAP_RANGE(struct ide_drive, multiple, 0, 16),
    SNAP_UINT(struct ide_drive, transfer_mode),
    SNAP_RANGE(struct ide_drive, heads, 0, 16),
    SNAP_UINT(struct ide_drive, sectors),
    SNAP_BOOL(struct ide_drive, write_cache),
    SNAP_BOOL(struct ide_drive, look_ahead),
    SNAP_BOOL(struct ide_drive, smart),
    SNAP_BOOL(struct ide_drive, revert_defaults),
    SNAP_RANGE(struct ide_drive, power, IDE_POWER_ACTIVE, IDE_POWER_SLEEP),
    SNAP_STRUCTS(struct ide_drive, atapi, 1, atapi_fields),
    SNAP_BYTES(struct ide_drive, buffer),
};

const struct snap_field ide_channel_fields[4] = {
    SNAP_UINT(struct ide_channel, device_control),
    SNAP_RANGE(struct ide_channel, selected, 0, 1),
    SNAP_BOOL(struct ide_channel, intrq),
    SNAP_STRUCTS(struct ide_channel, drive, 2, ide_drive_fields),
};

/* Do the phase, the status, the buffer's limits and the request fit each other? */
static bool ide_phase_possible(const struct ide_drive *drive)
{
    bool busy = drive->status & IDE_BSY, drq = drive->status & IDE_DRQ;

    if ((drive->io != IDE_IO_NONE) != (drive->phase == IDE_PHASE_MEDIUM)) {
        return false;
    }
    switch (drive->phase) {
    case IDE_PHASE_IDLE:
        return !drq && drive->end == 0 && drive->drq_end == 0 && drive->position == 0;
    case IDE_PHASE_MEDIUM:
        return busy && !drq && drive->end == 0 && drive->drq_end == 0 && drive->position == 0;
    case IDE_PHASE_PACKET:
        return drq && drive->kind == IDE_CDROM && drive->end == IDE_PACKET_SIZE &&
               drive->drq_end == IDE_PACKET_SIZE && drive->position < drive->drq_end;
    default:
        return drq && drive->block_size >= 2 && drive->position < drive->drq_end &&
               drive->drq_end <= ALIGN_UP(drive->end, 2);
    }
}

static int ide_drive_check(const struct ide_drive *drive, struct error *error)
{
    uint8_t kind = !drive->block ? IDE_ABSENT : drive->ops == &ide_disk_ops ? IDE_DISK : IDE_CDROM;

    if (drive->kind != kind) {
        return error_set(error, -EINVAL, "ide: unit %u of this machine is another kind of drive",
                         drive->unit);
    }
    if (!ide_phase_possible(drive) || (drive->position | drive->drq_end | drive->block_size) % 2) {
        return error_set(error, -EINVAL, "ide: unit %u cannot be in this phase", drive->unit);
    }
    if (kind == IDE_ABSENT) {
        return drive->phase == IDE_PHASE_IDLE ? 0 : error_set(error, -EINVAL, "ide: an absent drive works");
    }
    return drive->ops->check(drive, error);
}

int ide_channel_post_load(struct ide_channel *channel, struct error *error)
{
    for (unsigned i = 0; i < 2; i++) {
        struct ide_drive *drive = &channel->drive[i];
        int result;

        block_cancel(&drive->request);
        result = ide_drive_check(drive, error);
        if (result < 0) {
            return result;
        }
        if (drive->kind == IDE_CDROM) {
            block_lock_medium(drive->block, drive->atapi.locked);
        }
        if (drive->io == IDE_IO_NONE) {
            continue;
        }
        ide_prepare_request(drive);
        result = block_submit_at(drive->block, &drive->request, drive->io_deadline);
        if (result < 0) {
            return error_set(error, result, "ide: unit %u: its medium refuses the request under way",
                             drive->unit);
        }
    }
    return 0;
}
