/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * 82077AA floppy disk controller: registers, the command phase, commands without data, drives, resets, snapshots. The
 * commands that move sectors are in i82077_transfer.c.
 *
 * Source: Intel 82077AA data sheet, AT mode.
 *
 * Every command begins with empty command and result buffers, and leaves them empty: the counts are set, never carried
 * over, and each is bounded by the length the command table gives.
 *
 * DEVIATION: seeks and resets take no time; any RECALIBRATE or SEEK resets DSKCHG when there is a disk, also one that
 * makes no step.
 */
#include "devices/i82077_internal.h"

#include <errno.h>
#include <stdlib.h>

enum { DOR_NOT_RESET = 0x04, DOR_DMA_GATE = 0x08, DOR_UNIT = 0x03, DSR_RESET = 0x80, RATE = 0x03 };
enum { MSR_RQM = 0x80, MSR_TO_HOST = 0x40, MSR_NON_DMA = 0x20, MSR_BUSY = 0x10 };
enum { ST3_ALWAYS = 0x28, ST3_TRACK_0 = 0x10, ST3_PROTECTED = 0x40 };
enum { PORT_DOR, PORT_TDR, PORT_MSR, PORT_FIFO, PORT_BASE = 0x3f2, PORT_COUNT = 4, PORT_DIR = 0x3f7 };
#define DIR_CHANGED        0x80
#define LAST_CYLINDER      83 /* where the head's carriage ends */
#define VERSION            0x90
#define CONFIGURE_POWER_ON 0x20 /* FIFO disabled */
#define PERPENDICULAR_OW   0x80
#define PERPENDICULAR_SET  0x3c
#define LOCK_BIT           0x80
#define RELATIVE           0x80
#define RELATIVE_IN        0x40

/* ---- disks ---- */

static const struct i82077_format formats[] = {
    {320, 40, 1, 8, I82077_360K, 2},    {360, 40, 1, 9, I82077_360K, 2},
    {640, 40, 2, 8, I82077_360K, 2},    {720, 40, 2, 9, I82077_360K, 2},
    {1440, 80, 2, 9, I82077_720K, 2},   {2400, 80, 2, 15, I82077_1200K, 0},
    {2880, 80, 2, 18, I82077_1440K, 0}, {3360, 80, 2, 21, I82077_1440K, 0},
    {3444, 82, 2, 21, I82077_1440K, 0}, {5760, 80, 2, 36, I82077_2880K, 3},
};

/* An image of another size is a short one of the next 3.5" high-density format. */
static struct i82077_format format_of_size(uint64_t bytes)
{
    uint64_t sectors = bytes / I82077_SECTOR;

    for (unsigned i = 0; i < ARRAY_LEN(formats); i++) {
        if (formats[i].sectors == sectors) {
            return formats[i];
        }
    }
    return sectors <= 2880 ? formats[6] : formats[9];
}

struct i82077_format fdc_format(const struct i82077_drive *drive)
{
    return drive && drive->block->inserted ? format_of_size(drive->block->size) : (struct i82077_format){0};
}

struct i82077_drive *fdc_drive(struct i82077 *fdc, unsigned unit)
{
    return unit < I82077_DRIVES && fdc->drive[unit].block ? &fdc->drive[unit] : NULL;
}

static bool double_steps(const struct i82077_drive *drive)
{
    return drive->type != I82077_360K && fdc_format(drive).tracks == 40;
}

uint8_t fdc_disk_track(const struct i82077_drive *drive)
{
    return double_steps(drive) ? drive->track / 2 : drive->track;
}

/* A 360 KB disk turns faster in a 1.2 MB drive. */
bool fdc_rate_matches(const struct i82077 *fdc, const struct i82077_drive *drive)
{
    struct i82077_format format = fdc_format(drive);
    bool fast = format.drive == I82077_360K && drive->type == I82077_1200K;

    return fdc->rate == (fast ? 1 : format.rate);
}

enum i82077_drive_type i82077_drive_type(const struct i82077 *fdc, unsigned drive)
{
    return drive < I82077_DRIVES ? (enum i82077_drive_type)fdc->drive[drive].type : I82077_NO_DRIVE;
}

static void medium_changed(void *front)
{
    ((struct i82077_drive *)front)->changed = true;
}

static const struct block_front_ops front_ops = {.medium_changed = medium_changed};

/* ---- INT and phases ---- */

static void update_irq(struct i82077 *fdc)
{
    line_set(&fdc->irq, fdc->intr && (fdc->dor & DOR_DMA_GATE));
}

void fdc_set_intr(struct i82077 *fdc, bool level)
{
    fdc->intr = level;
    update_irq(fdc);
}

static void begin_command(struct i82077 *fdc)
{
    fdc->phase = I82077_COMMAND;
    fdc->command_count = 0;
    fdc->result_count = fdc->result_position = 0;
}

void fdc_begin_result(struct i82077 *fdc, unsigned count, bool interrupt)
{
    fdc->phase = I82077_RESULT;
    fdc->command_count = 0;
    fdc->result_count = (uint8_t)count;
    fdc->result_position = 0;
    if (interrupt) {
        fdc_set_intr(fdc, true);
    }
}

/* ---- commands without data ---- */

static void answer_invalid(struct i82077 *fdc)
{
    fdc->result[0] = ST0_INVALID;
    fdc_begin_result(fdc, 1, false);
}

/* The head moves by what the controller's count changes; track 0 and the inner end stop it. */
void fdc_move_head(struct i82077 *fdc, unsigned unit, uint8_t cylinder)
{
    struct i82077_drive *drive = fdc_drive(fdc, unit);

    if (drive) {
        int track = drive->track + cylinder - fdc->pcn[unit];

        drive->track = (uint8_t)MAX(0, MIN(track, LAST_CYLINDER));
        drive->changed = drive->changed && !drive->block->inserted;
    }
    fdc->pcn[unit] = cylinder;
}

static void end_seek(struct i82077 *fdc, unsigned unit, uint8_t st0)
{
    fdc->seek_done |= (uint8_t)BIT(unit);
    fdc->seek_st0[unit] = (uint8_t)(st0 | unit);
    begin_command(fdc);
    fdc_set_intr(fdc, true);
}

static void command_seek(struct i82077 *fdc)
{
    unsigned unit = fdc->command[1] & 3;
    uint8_t cylinder = fdc->command[2];

    if (fdc->command[0] & RELATIVE) {
        cylinder =
            (uint8_t)(fdc->command[0] & RELATIVE_IN ? fdc->pcn[unit] + cylinder : fdc->pcn[unit] - cylinder);
    }
    fdc_move_head(fdc, unit, cylinder);
    end_seek(fdc, unit, ST0_SEEK_END | (fdc->command[1] & 4));
}

static void command_recalibrate(struct i82077 *fdc)
{
    unsigned unit = fdc->command[1] & 3;
    struct i82077_drive *drive = fdc_drive(fdc, unit);

    fdc->pcn[unit] = 0;
    if (drive) {
        drive->track = 0;
        drive->changed = drive->changed && !drive->block->inserted;
    }
    end_seek(fdc, unit, drive ? ST0_SEEK_END : ST0_SEEK_END | ST0_ABNORMAL | ST0_CHECK);
}

/* After a reset all four units are "ready changed"; else one finished seek. */
static void command_sense_interrupt(struct i82077 *fdc)
{
    unsigned unit = 0;

    if (fdc->reset_senses) {
        unit = I82077_UNITS - fdc->reset_senses--;
        fdc->result[0] = (uint8_t)(ST0_READY_CHANGED | unit);
    } else if (fdc->seek_done) {
        unit = (unsigned)__builtin_ctz(fdc->seek_done);
        fdc->seek_done &= (uint8_t)~BIT(unit);
        fdc->result[0] = fdc->seek_st0[unit];
    } else {
        answer_invalid(fdc);
        return;
    }
    fdc->result[1] = fdc->pcn[unit];
    fdc_set_intr(fdc, false);
    if (!fdc->reset_senses && fdc->seek_done) {
        fdc_set_intr(fdc, true);
    }
    fdc_begin_result(fdc, 2, false);
}

static void command_sense_drive(struct i82077 *fdc)
{
    const struct i82077_drive *drive = fdc_drive(fdc, fdc->command[1] & 3);

    fdc->result[0] = (uint8_t)(ST3_ALWAYS | (fdc->command[1] & 7));
    if (drive) {
        fdc->result[0] |= drive->track == 0 ? ST3_TRACK_0 : 0;
        fdc->result[0] |= !drive->block->inserted || drive->block->read_only ? ST3_PROTECTED : 0;
    }
    fdc_begin_result(fdc, 1, false);
}

static void command_specify(struct i82077 *fdc)
{
    memcpy(fdc->specify, fdc->command + 1, 2);
    begin_command(fdc);
}

static void command_configure(struct i82077 *fdc)
{
    fdc->configure = fdc->command[2];
    fdc->pretrack = fdc->command[3];
    begin_command(fdc);
}

static void command_version(struct i82077 *fdc)
{
    fdc->result[0] = VERSION;
    fdc_begin_result(fdc, 1, false);
}

static void command_perpendicular(struct i82077 *fdc)
{
    uint8_t value = fdc->command[1];
    uint8_t units =
        value & PERPENDICULAR_OW ? value & PERPENDICULAR_SET : fdc->perpendicular & PERPENDICULAR_SET;

    fdc->perpendicular = units | (value & 3);
    begin_command(fdc);
}

static void command_lock(struct i82077 *fdc)
{
    fdc->lock = fdc->command[0] & LOCK_BIT;
    fdc->result[0] = fdc->lock ? 0x10 : 0;
    fdc_begin_result(fdc, 1, false);
}

static void command_dumpreg(struct i82077 *fdc)
{
    memcpy(fdc->result, fdc->pcn, I82077_UNITS);
    memcpy(fdc->result + 4, fdc->specify, 2);
    fdc->result[6] = fdc->transfer.eot;
    fdc->result[7] = (uint8_t)((fdc->lock ? 0x80 : 0) | fdc->perpendicular);
    fdc->result[8] = fdc->configure;
    fdc->result[9] = fdc->pretrack;
    fdc_begin_result(fdc, 10, false);
}

/* The whole first byte under `mask` is `code`. `length` counts it and the parameters. */
static const struct {
    uint8_t mask, code, length;
    void (*execute)(struct i82077 *fdc);
} commands[] = {
    {0x1f, FDC_READ, 9, fdc_transfer_begin},
    {0x1f, FDC_READ_DELETED, 9, fdc_transfer_begin},
    {0x3f, FDC_WRITE, 9, fdc_transfer_begin},
    {0x3f, FDC_WRITE_DELETED, 9, fdc_transfer_begin},
    {0x9f, FDC_READ_TRACK, 9, fdc_transfer_begin},
    {0x1f, FDC_VERIFY, 9, fdc_transfer_begin},
    {0xbf, FDC_FORMAT, 6, fdc_transfer_begin},
    {0xbf, FDC_READ_ID, 2, fdc_read_id},
    {0xff, FDC_RECALIBRATE, 2, command_recalibrate},
    {0xff, FDC_SENSE_INTERRUPT, 1, command_sense_interrupt},
    {0xff, FDC_SPECIFY, 3, command_specify},
    {0xff, FDC_SENSE_DRIVE, 2, command_sense_drive},
    {0xff, FDC_CONFIGURE, 4, command_configure},
    {0xff, FDC_SEEK, 3, command_seek},
    {0xbf, RELATIVE | FDC_SEEK, 3, command_seek},
    {0xff, FDC_VERSION, 1, command_version},
    {0xff, FDC_DUMPREG, 1, command_dumpreg},
    {0xff, FDC_PERPENDICULAR, 2, command_perpendicular},
    {0x7f, FDC_LOCK, 1, command_lock},
};

/* Index of the command that this first byte begins, or -1. */
static int find_command(uint8_t first)
{
    for (unsigned i = 0; i < ARRAY_LEN(commands); i++) {
        if ((first & commands[i].mask) == commands[i].code) {
            return (int)i;
        }
    }
    return -1;
}

static void write_command(struct i82077 *fdc, uint8_t byte)
{
    int index = find_command(fdc->command_count ? fdc->command[0] : byte);

    if (index < 0) {
        answer_invalid(fdc);
        return;
    }
    fdc->command[fdc->command_count++] = byte;
    if (fdc->command_count == commands[index].length) {
        fdc->command_count = 0;
        commands[index].execute(fdc);
    }
}

/* ---- resets ---- */

/* What RESET#, the DOR's bit and the DSR's have in common. */
static void reset_controller(struct i82077 *fdc)
{
    fdc_transfer_abandon(fdc);
    begin_command(fdc);
    fdc->seek_done = 0;
    fdc->reset_senses = 0;
    memset(fdc->pcn, 0, sizeof(fdc->pcn));
    if (!fdc->lock) {
        fdc->configure = CONFIGURE_POWER_ON;
        fdc->pretrack = 0;
    }
    fdc->perpendicular &= PERPENDICULAR_SET; /* GAP and WGATE go, the drives' bits stay */
    fdc_set_intr(fdc, false);
}

/* The reset is over: polling finds every unit's ready line changed, unless polling is off. */
static void leave_reset(struct i82077 *fdc)
{
    if (!(fdc->configure & CONFIGURE_POLL)) {
        fdc->reset_senses = I82077_UNITS;
        fdc_set_intr(fdc, true);
    }
}

static void write_dor(struct i82077 *fdc, uint8_t value)
{
    uint8_t old = fdc->dor;

    fdc->dor = value;
    if (!(value & DOR_NOT_RESET)) {
        reset_controller(fdc);
    } else if (!(old & DOR_NOT_RESET)) {
        leave_reset(fdc);
    } else {
        update_irq(fdc);
        fdc_transfer_pump(fdc);
    }
}

static void write_dsr(struct i82077 *fdc, uint8_t value)
{
    fdc->dsr = value & (uint8_t)~DSR_RESET;
    fdc->rate = value & RATE;
    if ((value & DSR_RESET) && (fdc->dor & DOR_NOT_RESET)) {
        reset_controller(fdc);
        leave_reset(fdc);
    }
}

/* ---- ports ---- */

static uint8_t read_msr(const struct i82077 *fdc)
{
    uint8_t non_dma = fdc_uses_dma(fdc) ? 0 : MSR_RQM | MSR_NON_DMA;

    if (!(fdc->dor & DOR_NOT_RESET)) {
        return 0;
    }
    switch (fdc->phase) {
    case I82077_COMMAND:
        return fdc->command_count ? MSR_RQM | MSR_BUSY : MSR_RQM;
    case I82077_TO_HOST:
        return (uint8_t)(MSR_BUSY | MSR_TO_HOST | non_dma);
    case I82077_TO_DISK:
        return MSR_BUSY | non_dma;
    case I82077_RESULT:
        return MSR_RQM | MSR_TO_HOST | MSR_BUSY;
    default:
        return MSR_BUSY;
    }
}

static uint8_t read_fifo(struct i82077 *fdc)
{
    uint8_t byte;

    if (fdc->phase == I82077_TO_HOST && !fdc_uses_dma(fdc)) {
        return fdc_transfer_get(fdc);
    }
    if (fdc->phase != I82077_RESULT) {
        return 0xff;
    }
    if (fdc->result_position == 0 && !fdc->seek_done && !fdc->reset_senses) {
        fdc_set_intr(fdc, false);
    }
    byte = fdc->result[fdc->result_position++];
    if (fdc->result_position == fdc->result_count) {
        begin_command(fdc);
    }
    return byte;
}

static void write_fifo(struct i82077 *fdc, uint8_t byte)
{
    if (!(fdc->dor & DOR_NOT_RESET)) {
        return;
    }
    if (fdc->phase == I82077_COMMAND) {
        write_command(fdc, byte);
    } else if (fdc->phase == I82077_TO_DISK && !fdc_uses_dma(fdc)) {
        fdc_transfer_put(fdc, byte);
    }
}

static uint64_t i82077_read(void *opaque, uint64_t offset, unsigned size)
{
    struct i82077 *fdc = opaque;

    (void)size;
    switch (offset) {
    case PORT_DOR:
        return fdc->dor;
    case PORT_TDR:
        return fdc->tdr;
    case PORT_MSR:
        return read_msr(fdc);
    default:
        return read_fifo(fdc);
    }
}

static void i82077_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct i82077 *fdc = opaque;

    (void)size;
    switch (offset) {
    case PORT_DOR:
        write_dor(fdc, (uint8_t)value);
        break;
    case PORT_TDR:
        fdc->tdr = value & 3;
        break;
    case PORT_MSR:
        write_dsr(fdc, (uint8_t)value);
        break;
    default:
        write_fifo(fdc, (uint8_t)value);
    }
}

/* The other bits of 3F7h belong to the hard disk's controller, which does not drive them here. */
static uint64_t dir_read(void *opaque, uint64_t offset, unsigned size)
{
    struct i82077 *fdc = opaque;
    const struct i82077_drive *drive = fdc_drive(fdc, fdc->dor & DOR_UNIT);

    (void)offset;
    (void)size;
    return drive && (drive->changed || !drive->block->inserted) ? DIR_CHANGED : 0;
}

static void ccr_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct i82077 *fdc = opaque;

    (void)offset;
    (void)size;
    fdc->rate = value & RATE;
}

static const struct region_ops port_ops = {.read = i82077_read, .write = i82077_write, .max_size = 1};
static const struct region_ops dir_ops = {.read = dir_read, .write = ccr_write, .max_size = 1};

/* ---- life ---- */

static void dma_ready(void *opaque)
{
    fdc_transfer_pump(opaque);
}

static void i82077_reset(struct device *device)
{
    struct i82077 *fdc = CONTAINER_OF(device, struct i82077, device);

    fdc->dor = fdc->tdr = fdc->dsr = 0;
    fdc->rate = 2;
    fdc->lock = false;
    memset(fdc->specify, 0, sizeof(fdc->specify));
    memset(fdc->command, 0, sizeof(fdc->command));
    memset(fdc->result, 0, sizeof(fdc->result));
    memset(fdc->seek_st0, 0, sizeof(fdc->seek_st0));
    reset_controller(fdc);
    fdc->perpendicular = 0;
    memset(fdc->buffer, 0, sizeof(fdc->buffer));
    for (unsigned i = 0; i < I82077_DRIVES; i++) {
        fdc->drive[i].track = 0;
        fdc->drive[i].changed = fdc->drive[i].block != NULL;
    }
}

static void i82077_fini(struct device *device)
{
    struct i82077 *fdc = CONTAINER_OF(device, struct i82077, device);

    block_cancel(&fdc->request);
    for (unsigned i = 0; i < I82077_DRIVES; i++) {
        if (fdc->drive[i].block) {
            fdc->drive[i].block->front_ops = NULL;
            fdc->drive[i].block->front = NULL;
        }
    }
    i8237_connect(fdc->dma, FDC_DMA_CHANNEL, NULL, NULL);
    addr_space_remove(device->board->io, &fdc->ports);
    addr_space_remove(device->board->io, &fdc->dir_port);
    free(fdc);
}

static int post_load(void *object, struct error *error);

static const struct snap_field drive_fields[] = {
    SNAP_RANGE(struct i82077_drive, type, 0, I82077_2880K),
    SNAP_RANGE(struct i82077_drive, track, 0, LAST_CYLINDER),
    SNAP_BOOL(struct i82077_drive, changed),
};

static const struct snap_field transfer_fields[] = {
    SNAP_RANGE(struct i82077_transfer, unit, 0, 3),
    SNAP_UINT(struct i82077_transfer, cylinder),
    SNAP_RANGE(struct i82077_transfer, head, 0, 1),
    SNAP_UINT(struct i82077_transfer, sector),
    SNAP_UINT(struct i82077_transfer, eot),
    SNAP_RANGE(struct i82077_transfer, run, 0, I82077_TRACK_SECTORS),
    SNAP_UINT(struct i82077_transfer, left),
    SNAP_UINT(struct i82077_transfer, st1),
    SNAP_UINT(struct i82077_transfer, st2),
    SNAP_BOOL(struct i82077_transfer, terminal_count),
    SNAP_BOOL(struct i82077_transfer, single),
};

static const struct snap_field i82077_fields[] = {
    SNAP_STRUCTS(struct i82077, drive, I82077_DRIVES, drive_fields),
    SNAP_UINT(struct i82077, dor),
    SNAP_RANGE(struct i82077, tdr, 0, 3),
    SNAP_RANGE(struct i82077, dsr, 0, 0x7f),
    SNAP_RANGE(struct i82077, rate, 0, 3),
    SNAP_RANGE(struct i82077, phase, 0, I82077_PHASE_COUNT - 1),
    SNAP_BOOL(struct i82077, intr),
    SNAP_BYTES(struct i82077, command),
    SNAP_RANGE(struct i82077, command_count, 0, I82077_COMMAND_MAX - 1),
    SNAP_BYTES(struct i82077, result),
    SNAP_RANGE(struct i82077, result_count, 0, I82077_RESULT_MAX),
    SNAP_RANGE(struct i82077, result_position, 0, I82077_RESULT_MAX - 1),
    SNAP_RANGE(struct i82077, reset_senses, 0, I82077_UNITS),
    SNAP_RANGE(struct i82077, seek_done, 0, 15),
    SNAP_UINTS(struct i82077, seek_st0, I82077_UNITS),
    SNAP_UINTS(struct i82077, pcn, I82077_UNITS),
    SNAP_UINTS(struct i82077, specify, 2),
    SNAP_UINT(struct i82077, configure),
    SNAP_UINT(struct i82077, pretrack),
    SNAP_RANGE(struct i82077, perpendicular, 0, 0x3f),
    SNAP_BOOL(struct i82077, lock),
    SNAP_STRUCTS(struct i82077, transfer, 1, transfer_fields),
    SNAP_RANGE(struct i82077, position, 0, sizeof(((struct i82077 *)0)->buffer)),
    SNAP_RANGE(struct i82077, length, 0, sizeof(((struct i82077 *)0)->buffer)),
    SNAP_BYTES(struct i82077, buffer),
    SNAP_BOOL(struct i82077, io),
    SNAP_BOOL(struct i82077, io_write),
    SNAP_UINT(struct i82077, io_offset),
    SNAP_UINT(struct i82077, io_deadline),
    SNAP_RANGE(struct i82077, io_length, 0, sizeof(((struct i82077 *)0)->buffer)),
};

static const struct snap_desc i82077_snap = {
    .name = "i82077", .version = 1, SNAP_FIELDS(i82077_fields), .post_load = post_load};

/* Does the command phase hold fewer bytes than its command has, the result phase some to read, and so on? */
static bool phase_possible(struct i82077 *fdc)
{
    int index = find_command(fdc->command[0]);

    if (fdc->io != (fdc->phase == I82077_MEDIUM)) {
        return false;
    }
    switch (fdc->phase) {
    case I82077_COMMAND:
        return fdc->command_count == 0 || (index >= 0 && fdc->command_count < commands[index].length);
    case I82077_RESULT:
        return fdc->command_count == 0 && fdc->result_position < fdc->result_count;
    case I82077_MEDIUM:
        return fdc->command_count == 0 && fdc_drive(fdc, fdc->transfer.unit) && fdc->io_length > 0;
    default:
        return fdc->command_count == 0 && fdc_drive(fdc, fdc->transfer.unit) && fdc->position < fdc->length;
    }
}

static int post_load(void *object, struct error *error)
{
    struct i82077 *fdc = object;
    int result;

    block_cancel(&fdc->request);
    for (unsigned i = 0; i < I82077_DRIVES; i++) {
        if ((fdc->drive[i].block != NULL) != (fdc->drive[i].type != I82077_NO_DRIVE)) {
            return error_set(error, -EINVAL, "i82077: drive %u of this machine is another", i);
        }
    }
    if (!phase_possible(fdc)) {
        return error_set(error, -EINVAL, "i82077: impossible phase");
    }
    result = fdc->io ? fdc_transfer_resume(fdc) : 0;
    return result < 0 ? error_set(error, result, "i82077: the disk refuses the request under way") : 0;
}

static const struct device_ops i82077_ops = {
    .name = "i82077", .reset = i82077_reset, .fini = i82077_fini, .snap = &i82077_snap};

static void drive_init(struct i82077_drive *drive, struct i82077 *fdc, struct block *block)
{
    drive->fdc = fdc;
    drive->block = block;
    if (block) {
        drive->type = block->inserted ? format_of_size(block->size).drive : I82077_1440K;
        block->front_ops = &front_ops;
        block->front = drive;
    }
}

struct i82077 *i82077_create(struct board *board, struct line irq, struct i8237 *dma,
                             struct block *const block[I82077_DRIVES])
{
    struct i82077 *fdc = calloc(1, sizeof(*fdc));

    if (!fdc) {
        return NULL;
    }
    fdc->irq = irq;
    fdc->dma = dma;
    for (unsigned i = 0; i < I82077_DRIVES; i++) {
        drive_init(&fdc->drive[i], fdc, block[i]);
    }
    i8237_connect(dma, FDC_DMA_CHANNEL, dma_ready, fdc);
    region_init_io(&fdc->ports, "i82077", PORT_BASE, PORT_COUNT, &port_ops, fdc);
    region_init_io(&fdc->dir_port, "i82077 dir", PORT_DIR, 1, &dir_ops, fdc);
    addr_space_add(board->io, &fdc->ports);
    addr_space_add(board->io, &fdc->dir_port);
    device_init(&fdc->device, &i82077_ops, board, NULL);
    i82077_reset(&fdc->device);
    return fdc;
}
