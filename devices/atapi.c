/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The CD/DVD drive: the PACKET protocol, packet commands, sense data, the tray.
 *
 * Sources: ATA/ATAPI-7 volumes 1 and 2, "PACKET command"; SFF-8020i; MMC-3.
 *
 *   sector count register of a packet command ("interrupt reason")
 *     1 IO   0 CoD       DRQ           meaning
 *     0      1           1             write the 12-byte packet
 *     1      0           1             read data; LBA mid and high say how many bytes
 *     1      1           0             the command is over
 *
 * Unit attentions wait in `attention` and answer the first command that does not ignore them; a medium that is changed in
 * the middle of a read ends it that way. With the tray out there is no medium; an image that the user inserts closes it.
 *
 * Not modelled: audio (there are no audio tracks), mode 2 sectors, several tracks or sessions, MODE SELECT, writing,
 * copy protection. Sense data carry no address.
 */
#include "devices/atapi.h"

#include <errno.h>

#define READY           (IDE_DRDY | IDE_DSC)
#define REASON_COD      0x01
#define REASON_IO       0x02
#define SIGNATURE_MID   0x14
#define SIGNATURE_HIGH  0xeb
#define BYTE_COUNT_MAX  0xfffeu
#define FEATURE_DMA     0x01
#define FEATURE_OVERLAP 0x02

enum {
    COMMAND_PACKET = 0xa0,
    COMMAND_IDENTIFY_PACKET = 0xa1,
    COMMAND_READ_SECTORS = 0x20,
    COMMAND_IDENTIFY = 0xec,
};

/* ---- ends of commands ---- */

static void atapi_end(struct ide_drive *drive, uint8_t status)
{
    drive->now.count = REASON_IO | REASON_COD;
    ide_complete(drive, status);
}

static void atapi_succeed(struct ide_drive *drive)
{
    atapi_end(drive, READY);
}

static void atapi_set_sense(struct ide_drive *drive, enum atapi_sense key, uint16_t code)
{
    drive->atapi.sense_key = (uint8_t)key;
    drive->atapi.asc = (uint8_t)(code >> 8);
    drive->atapi.ascq = (uint8_t)code;
}

static void atapi_fail(struct ide_drive *drive, enum atapi_sense key, uint16_t code)
{
    atapi_set_sense(drive, key, code);
    drive->error = (uint8_t)(key << 4 | (key == SENSE_ILLEGAL_REQUEST ? IDE_ABRT : 0));
    atapi_end(drive, READY | IDE_ERR);
}

static void atapi_refuse(struct ide_drive *drive, uint16_t code)
{
    atapi_fail(drive, SENSE_ILLEGAL_REQUEST, code);
}

static uint16_t atapi_absence(const struct ide_drive *drive)
{
    return drive->atapi.tray_open ? ASC_NO_MEDIUM_OPEN : ASC_NO_MEDIUM_CLOSED;
}

/* True when a unit attention was pending; it is reported by `code` and gone. */
static bool atapi_take_attention(struct ide_drive *drive, uint16_t *code)
{
    uint8_t first =
        drive->atapi.attention & ATAPI_ATTENTION_POWER_ON ? ATAPI_ATTENTION_POWER_ON : drive->atapi.attention;

    *code = first == ATAPI_ATTENTION_POWER_ON ? ASC_POWER_ON : ASC_MEDIUM_CHANGED;
    drive->atapi.attention &= (uint8_t)~first;
    return first != 0;
}

/* ---- reading ---- */

static uint32_t atapi_chunk(const struct ide_drive *drive)
{
    uint32_t fit = IDE_BUFFER_SIZE / MAX(atapi_parts_size(drive->atapi.parts), ATAPI_SECTOR);

    return MIN(drive->left, drive->single ? 1 : fit);
}

static void atapi_read_more(struct ide_drive *drive)
{
    uint16_t code;

    if ((drive->atapi.attention & ATAPI_ATTENTION_MEDIUM) && atapi_take_attention(drive, &code)) {
        atapi_fail(drive, SENSE_UNIT_ATTENTION, code);
        return;
    }
    ide_submit(drive, IDE_IO_READ, drive->lba * ATAPI_SECTOR, atapi_chunk(drive) * ATAPI_SECTOR);
}

static void atapi_read(struct ide_drive *drive, uint32_t lba, uint32_t count, uint8_t parts)
{
    uint32_t size = atapi_parts_size(parts), sectors = atapi_sectors(drive);

    if (lba > sectors || count > sectors - lba) {
        atapi_refuse(drive, ASC_OUT_OF_RANGE);
        return;
    }
    if (count == 0 || size == 0) {
        atapi_succeed(drive);
        return;
    }
    if (drive->block_size >= size) {
        drive->block_size -= drive->block_size % size; /* whole sectors where they fit */
    }
    drive->lba = lba;
    drive->left = count;
    drive->atapi.parts = parts;
    atapi_read_more(drive);
}

static void atapi_io_done(struct ide_drive *drive, enum ide_io io, int result)
{
    uint32_t sectors = drive->io_length / ATAPI_SECTOR;

    (void)io; /* it only reads */
    if (result == -ENOMEDIUM) {
        atapi_fail(drive, SENSE_NOT_READY, atapi_absence(drive));
        return;
    }
    if (result < 0 && sectors > 1) {
        drive->single = true; /* find the bad one, hand over what is before it */
        atapi_read_more(drive);
        return;
    }
    if (result < 0) {
        atapi_fail(drive, SENSE_MEDIUM_ERROR, ASC_UNRECOVERED_READ);
        return;
    }
    atapi_expand_sectors(drive->buffer, sectors, (uint32_t)drive->lba, drive->atapi.parts);
    drive->lba += sectors;
    drive->left -= sectors;
    ide_begin_data_in(drive, sectors * atapi_parts_size(drive->atapi.parts));
}

static void command_read_10(struct ide_drive *drive)
{
    const uint8_t *packet = drive->atapi.packet;

    atapi_read(drive, load_be32(packet + 2), load_be16(packet + 7), ATAPI_PART_USER);
}

static void command_read_12(struct ide_drive *drive)
{
    const uint8_t *packet = drive->atapi.packet;

    atapi_read(drive, load_be32(packet + 2), load_be32(packet + 6), ATAPI_PART_USER);
}

/* READ CD and READ CD MSF: sector type in byte 1, parts in byte 9, subchannels in byte 10. */
static void atapi_read_cd(struct ide_drive *drive, uint32_t lba, uint32_t count)
{
    const uint8_t *packet = drive->atapi.packet;
    uint8_t type = packet[1] >> 2 & 7, flags = packet[9], parts = 0;

    if ((flags & 0x06) || (packet[10] & 0x07)) {
        atapi_refuse(drive, ASC_INVALID_FIELD); /* C2 pointers, subchannels */
        return;
    }
    if (type != 0 && type != 2) {
        atapi_refuse(drive, ASC_ILLEGAL_TRACK_MODE); /* the only track is mode 1 */
        return;
    }
    parts |= flags & 0x80 ? ATAPI_PART_SYNC : 0;
    parts |= flags & 0x20 ? ATAPI_PART_HEADER : 0;
    parts |= flags & 0x10 ? ATAPI_PART_USER : 0;
    parts |= flags & 0x08 ? ATAPI_PART_EDC_ECC : 0;
    atapi_read(drive, lba, count, parts);
}

static void command_read_cd(struct ide_drive *drive)
{
    const uint8_t *packet = drive->atapi.packet;

    atapi_read_cd(drive, load_be32(packet + 2), load_be32(packet + 5) & 0xffffff);
}

/* Address of minute, second, frame; logical block 0 is at 00:02:00. */
static uint32_t msf_to_lba(const uint8_t *msf)
{
    return (msf[0] * 60u + msf[1]) * 75u + msf[2] - 150u;
}

static void command_read_cd_msf(struct ide_drive *drive)
{
    uint32_t start = msf_to_lba(drive->atapi.packet + 3), end = msf_to_lba(drive->atapi.packet + 6);

    if (end < start) {
        atapi_refuse(drive, ASC_INVALID_FIELD);
    } else {
        atapi_read_cd(drive, start, end - start);
    }
}

static void command_seek(struct ide_drive *drive)
{
    if (load_be32(drive->atapi.packet + 2) >= atapi_sectors(drive)) {
        atapi_refuse(drive, ASC_OUT_OF_RANGE);
    } else {
        atapi_succeed(drive);
    }
}

/* ---- tray ---- */

static void atapi_eject(struct ide_drive *drive)
{
    if (drive->atapi.locked) {
        atapi_refuse(drive, ASC_REMOVAL_PREVENTED);
        return;
    }
    if (drive->block->inserted && block_eject(drive->block) < 0) {
        atapi_refuse(drive, ASC_REMOVAL_PREVENTED); /* a medium the host does not let go */
        return;
    }
    drive->atapi.tray_open = true;
    drive->atapi.event = ATAPI_EVENT_REMOVAL;
    atapi_succeed(drive);
}

/* START STOP UNIT: LoEj in bit 1, Start in bit 0. Spinning up and down happens by itself. */
static void command_start_stop(struct ide_drive *drive)
{
    switch (drive->atapi.packet[4] & 3) {
    case 2:
        atapi_eject(drive);
        break;
    case 3:
        drive->atapi.tray_open = false;
        atapi_succeed(drive);
        break;
    default:
        atapi_succeed(drive);
    }
}

static void atapi_lock(struct ide_drive *drive, bool locked)
{
    drive->atapi.locked = locked;
    block_lock_medium(drive->block, locked);
}

static void command_prevent_allow(struct ide_drive *drive)
{
    atapi_lock(drive, drive->atapi.packet[4] & 1);
    atapi_succeed(drive);
}

static void atapi_medium_changed(void *front)
{
    struct ide_drive *drive = front;

    drive->atapi.tray_open = !drive->block->inserted;
    drive->atapi.attention |= ATAPI_ATTENTION_MEDIUM;
    drive->atapi.event = drive->block->inserted ? ATAPI_EVENT_NEW_MEDIUM : ATAPI_EVENT_REMOVAL;
}

static void atapi_eject_requested(void *front)
{
    struct ide_drive *drive = front;

    drive->atapi.event = ATAPI_EVENT_EJECT_REQUEST;
}

const struct block_front_ops atapi_front_ops = {
    .medium_changed = atapi_medium_changed,
    .eject_requested = atapi_eject_requested,
};

/* ---- packet commands ---- */

enum { NEEDS_MEDIUM = 1, IGNORES_ATTENTION = 2 };

/* Where a packet says how long an answer the host takes. */
enum allocation { IN_BYTE_4, IN_BYTES_7_8, IN_BYTES_8_9, EIGHT_BYTES };

struct packet_command {
    uint8_t opcode;
    uint8_t flags;
    uint8_t allocation;                       /* enum allocation, with an answer */
    atapi_answer *answer;                     /* data for the host, or NULL and */
    void (*execute)(struct ide_drive *drive); /* something to do (NULL: nothing but to succeed) */
};

static const struct packet_command packet_commands[] = {
    {0x00, NEEDS_MEDIUM, 0, NULL, NULL}, /* TEST UNIT READY */
    {0x03, IGNORES_ATTENTION, IN_BYTE_4, atapi_answer_sense, NULL},
    {0x12, IGNORES_ATTENTION, IN_BYTE_4, atapi_answer_inquiry, NULL},
    {0x1b, 0, 0, NULL, command_start_stop},
    {0x1e, 0, 0, NULL, command_prevent_allow},
    {0x25, NEEDS_MEDIUM, EIGHT_BYTES, atapi_answer_capacity, NULL},
    {0x28, NEEDS_MEDIUM, 0, NULL, command_read_10},
    {0x2b, NEEDS_MEDIUM, 0, NULL, command_seek},
    {0x42, NEEDS_MEDIUM, IN_BYTES_7_8, atapi_answer_subchannel, NULL},
    {0x43, NEEDS_MEDIUM, IN_BYTES_7_8, atapi_answer_toc, NULL},
    {0x46, IGNORES_ATTENTION, IN_BYTES_7_8, atapi_answer_configuration, NULL},
    {0x4a, IGNORES_ATTENTION, IN_BYTES_7_8, atapi_answer_event, NULL},
    {0x4e, 0, 0, NULL, NULL}, /* STOP PLAY/SCAN: nothing plays */
    {0x51, NEEDS_MEDIUM, IN_BYTES_7_8, atapi_answer_disc_information, NULL},
    {0x52, NEEDS_MEDIUM, IN_BYTES_7_8, atapi_answer_track_information, NULL},
    {0x5a, 0, IN_BYTES_7_8, atapi_answer_mode_sense, NULL},
    {0xa8, NEEDS_MEDIUM, 0, NULL, command_read_12},
    {0xad, NEEDS_MEDIUM, IN_BYTES_8_9, atapi_answer_dvd_structure, NULL},
    {0xb9, NEEDS_MEDIUM, 0, NULL, command_read_cd_msf},
    {0xbb, 0, 0, NULL, NULL}, /* SET CD SPEED: as fast as it can */
    {0xbd, 0, IN_BYTES_8_9, atapi_answer_mechanism, NULL},
    {0xbe, NEEDS_MEDIUM, 0, NULL, command_read_cd},
};

static uint32_t packet_allocation(const uint8_t *packet, uint8_t where)
{
    switch (where) {
    case IN_BYTE_4:
        return packet[4];
    case IN_BYTES_7_8:
        return load_be16(packet + 7);
    case IN_BYTES_8_9:
        return load_be16(packet + 8);
    default:
        return 8;
    }
}

static void atapi_give_answer(struct ide_drive *drive, const struct packet_command *command)
{
    uint32_t allocation = packet_allocation(drive->atapi.packet, command->allocation), length;
    uint16_t code = ASC_INVALID_FIELD;

    memset(drive->buffer, 0, ATAPI_REPLY_MAX);
    length = command->answer(drive, drive->buffer, &code);
    if (length == 0) {
        atapi_refuse(drive, code);
    } else if (allocation == 0) {
        atapi_succeed(drive);
    } else {
        ide_begin_data_in(drive, MIN(length, allocation));
    }
    if (command->answer == atapi_answer_event && drive->atapi.packet[4] & 0x10) {
        drive->atapi.event = ATAPI_EVENT_NONE;
    }
}

static const struct packet_command *find_packet_command(uint8_t opcode)
{
    for (unsigned i = 0; i < ARRAY_LEN(packet_commands); i++) {
        if (packet_commands[i].opcode == opcode) {
            return &packet_commands[i];
        }
    }
    return NULL;
}

/* The sense data are those of the command before, or a unit attention; afterwards there are none. */
static void atapi_report_sense(struct ide_drive *drive, const struct packet_command *command)
{
    uint16_t code;

    if (drive->atapi.sense_key == SENSE_NONE && atapi_take_attention(drive, &code)) {
        atapi_set_sense(drive, SENSE_UNIT_ATTENTION, code);
    }
    atapi_give_answer(drive, command);
    atapi_set_sense(drive, SENSE_NONE, ASC_NONE);
}

static void atapi_execute_packet(struct ide_drive *drive)
{
    const struct packet_command *command;
    uint16_t code;

    memcpy(drive->atapi.packet, drive->buffer, IDE_PACKET_SIZE);
    command = find_packet_command(drive->atapi.packet[0]);
    if (command && command->answer == atapi_answer_sense) {
        atapi_report_sense(drive, command);
        return;
    }
    atapi_set_sense(drive, SENSE_NONE, ASC_NONE);
    if (!(command && (command->flags & IGNORES_ATTENTION)) && atapi_take_attention(drive, &code)) {
        atapi_fail(drive, SENSE_UNIT_ATTENTION, code);
    } else if (!command) {
        atapi_refuse(drive, ASC_INVALID_COMMAND);
    } else if ((command->flags & NEEDS_MEDIUM) && !atapi_has_medium(drive)) {
        atapi_fail(drive, SENSE_NOT_READY, atapi_absence(drive));
    } else if (command->answer) {
        atapi_give_answer(drive, command);
    } else if (command->execute) {
        command->execute(drive);
    } else {
        atapi_succeed(drive);
    }
}

/* ---- ATA commands ---- */

static void atapi_packet(struct ide_drive *drive)
{
    uint32_t limit = drive->now.lba_mid | (uint32_t)drive->now.lba_high << 8;

    if (drive->now.features & FEATURE_OVERLAP) {
        ide_fail(drive, IDE_ABRT);
        return;
    }
    drive->dma = drive->now.features & FEATURE_DMA;
    drive->block_size = limit == 0 ? BYTE_COUNT_MAX : MAX(MIN(limit, BYTE_COUNT_MAX) & ~1u, 2);
    drive->now.count = REASON_COD;
    ide_begin_packet(drive);
}

static void atapi_signature(struct ide_drive *drive)
{
    drive->now =
        (struct ide_taskfile){.count = 1, .lba_low = 1, .lba_mid = SIGNATURE_MID, .lba_high = SIGNATURE_HIGH};
    drive->previous = (struct ide_taskfile){0};
    drive->error = 0x01;
    drive->status = 0;
}

static void atapi_set_features(struct ide_drive *drive)
{
    uint8_t feature = drive->now.features;

    if (feature == 0x03 && ide_transfer_mode_valid(drive->now.count)) {
        drive->transfer_mode = drive->now.count;
    } else if (feature == 0x66 || feature == 0xcc) {
        drive->revert_defaults = feature == 0xcc;
    } else {
        ide_fail(drive, IDE_ABRT);
        return;
    }
    ide_complete(drive, READY);
}

static void atapi_power(struct ide_drive *drive, uint8_t command)
{
    if (command == 0xe5) {
        drive->now.count = drive->power == IDE_POWER_STANDBY ? 0 : 0xff;
    } else if (command == 0xe0 || command == 0xe2) {
        drive->power = IDE_POWER_STANDBY;
    } else if (command == 0xe6) {
        drive->power = IDE_POWER_SLEEP;
    } else {
        drive->power = IDE_POWER_IDLE;
    }
    ide_complete(drive, READY);
}

static void atapi_execute(struct ide_drive *drive, uint8_t command)
{
    switch (command) {
    case COMMAND_PACKET:
        drive->power = IDE_POWER_ACTIVE;
        atapi_packet(drive);
        break;
    case COMMAND_IDENTIFY_PACKET:
        drive->block_size = IDE_SECTOR;
        ide_identify_packet(drive, drive->buffer);
        ide_begin_data_in(drive, IDE_SECTOR);
        break;
    case COMMAND_IDENTIFY:
    case COMMAND_READ_SECTORS: /* refused with the signature: this is how drivers find a packet device */
        atapi_signature(drive);
        ide_fail(drive, IDE_ABRT);
        break;
    case 0xef:
        atapi_set_features(drive);
        break;
    case 0xe0:
    case 0xe1:
    case 0xe2:
    case 0xe3:
    case 0xe5:
    case 0xe6:
        atapi_power(drive, command);
        break;
    default:
        ide_fail(drive, IDE_ABRT);
    }
}

static void atapi_offer(struct ide_drive *drive, uint32_t bytes)
{
    if (drive->command == COMMAND_PACKET) {
        drive->now.count = REASON_IO;
        drive->now.lba_mid = (uint8_t)bytes;
        drive->now.lba_high = (uint8_t)(bytes >> 8);
    }
}

static void atapi_data_over(struct ide_drive *drive, bool in)
{
    if (!in) {
        atapi_execute_packet(drive);
    } else if (drive->left) {
        atapi_read_more(drive);
    } else if (drive->command == COMMAND_PACKET) {
        atapi_succeed(drive);
    } else {
        ide_finish(drive);
    }
}

static void atapi_set_defaults(struct ide_drive *drive, bool power_on)
{
    if (power_on) {
        drive->atapi = (struct atapi){.attention = ATAPI_ATTENTION_POWER_ON};
        drive->transfer_mode = 0x0c; /* PIO mode 4 */
        atapi_lock(drive, false);
    }
}

static int atapi_check(const struct ide_drive *drive, struct error *error)
{
    uint32_t sectors = drive->io_length / ATAPI_SECTOR, size = atapi_parts_size(drive->atapi.parts);

    if (drive->phase == IDE_PHASE_PIO_OUT || drive->phase == IDE_PHASE_DMA_OUT || drive->io == IDE_IO_WRITE ||
        drive->io == IDE_IO_FLUSH) {
        return error_set(error, -EINVAL, "ide: unit %u, a CD drive, writes", drive->unit);
    }
    if ((drive->left || drive->io != IDE_IO_NONE) && size == 0) {
        return error_set(error, -EINVAL, "ide: unit %u reads nothing", drive->unit);
    }
    if (drive->io == IDE_IO_READ && (drive->io_length % ATAPI_SECTOR || sectors == 0 ||
                                     sectors > drive->left || sectors * size > IDE_BUFFER_SIZE)) {
        return error_set(error, -EINVAL, "ide: unit %u reads more than its command asks for", drive->unit);
    }
    return 0;
}

const struct ide_drive_ops atapi_ops = {
    .execute = atapi_execute,
    .offer = atapi_offer,
    .data_over = atapi_data_over,
    .io_done = atapi_io_done,
    .signature = atapi_signature,
    .set_defaults = atapi_set_defaults,
    .check = atapi_check,
};
