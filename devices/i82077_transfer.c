/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The floppy controller's commands that move sectors: READ DATA, READ DELETED DATA, READ TRACK, WRITE DATA, WRITE DELETED
 * DATA, FORMAT TRACK, VERIFY, READ ID.
 *
 * Source: 82077AA data sheet, "Data transfer commands" and the result phase table.
 *
 * A command works in runs: the sectors from R to EOT on one side, at most a track, pass through the buffer between medium
 * and host. It ends when DMA signals terminal count, or at EOT (of side 1 with MT) with EN, "end of cylinder". Without
 * DMA there is no terminal count: such transfers always end with EN, as on the chip in a PC.
 *
 *   read    MEDIUM (block read) -> TO_HOST -> next run or result
 *   write   TO_DISK -> MEDIUM (block write) -> next run or result
 *   format  TO_DISK (C H R N of every sector) -> MEDIUM (the filled track) -> result
 *
 * A medium error is found sector by sector, as a disk drive reads them: what is before the bad sector arrives.
 *
 * DEVIATION: without a disk, or at the wrong data rate, a command ends with MA ("missing address mark") at once; the chip
 * would wait for an index pulse. FORMAT TRACK must give the track the layout the image has, else it ends with ND. Deleted
 * data marks are not kept: WRITE DELETED DATA writes plain data. The SCAN commands are invalid.
 */
#include <errno.h>

#include "devices/i82077_internal.h"

enum {
    PARAM_UNIT = 1,
    PARAM_CYLINDER,
    PARAM_HEAD,
    PARAM_SECTOR,
    PARAM_SIZE,
    PARAM_EOT,
    PARAM_GAP,
    PARAM_LENGTH
};
enum { FORMAT_SIZE = 2, FORMAT_SECTORS = 3, FORMAT_FILL = 5, ID_SIZE = 4 };
#define SECTOR_SIZE_CODE 2 /* N: 128 << 2 bytes */
#define VERIFY_EC        0x80

static uint8_t code(const struct i82077 *fdc)
{
    return fdc->command[0] & FDC_CODE;
}

static bool writes(const struct i82077 *fdc)
{
    return code(fdc) == FDC_WRITE || code(fdc) == FDC_WRITE_DELETED || code(fdc) == FDC_FORMAT;
}

/* ---- results ---- */

/* The sector after the last one, as the data sheet's result table gives it. */
static void finish(struct i82077 *fdc, uint8_t st0, uint8_t st1, uint8_t st2)
{
    struct i82077_transfer *t = &fdc->transfer;
    uint8_t st0_head = (uint8_t)(t->head << 2 | t->unit);

    if (t->sector > t->eot && !(st1 & ~ST1_END)) {
        if (!(fdc->command[0] & FDC_MT)) {
            t->cylinder++;
        } else {
            t->cylinder += t->head;
            t->head ^= 1;
        }
        t->sector = 1;
    }
    fdc->result[0] = st0 | st0_head;
    fdc->result[1] = st1 | t->st1;
    fdc->result[2] = st2 | t->st2;
    fdc->result[3] = t->cylinder;
    fdc->result[4] = t->head;
    fdc->result[5] = t->sector;
    fdc->result[6] = SECTOR_SIZE_CODE;
    i8237_request(fdc->dma, FDC_DMA_CHANNEL, false);
    fdc->position = fdc->length = 0;
    fdc_set_intr(fdc, false); /* an edge between the data's INT and the result's */
    fdc_begin_result(fdc, 7, true);
}

static void succeed(struct i82077 *fdc)
{
    finish(fdc, 0, 0, 0);
}

static void fail(struct i82077 *fdc, uint8_t st1, uint8_t st2)
{
    finish(fdc, ST0_ABNORMAL, st1, st2);
}

/* ---- the medium ---- */

static uint64_t sector_offset(struct i82077 *fdc, uint8_t sector)
{
    const struct i82077_transfer *t = &fdc->transfer;
    const struct i82077_drive *drive = fdc_drive(fdc, t->unit);
    struct i82077_format format = fdc_format(drive);
    uint64_t track = (uint64_t)fdc_disk_track(drive) * format.heads + t->head;

    return (track * format.track_sectors + sector - 1) * I82077_SECTOR;
}

static void request_done(struct block_request *request, int result);

static void prepare_request(struct i82077 *fdc)
{
    fdc->request.op = fdc->io_write ? BLOCK_WRITE : BLOCK_READ;
    fdc->request.fua = false;
    fdc->request.offset = fdc->io_offset;
    fdc->request.length = fdc->io_length;
    fdc->request.buffer = fdc->buffer;
    fdc->request.done = request_done;
    fdc->request.opaque = fdc;
}

static void submit(struct i82077 *fdc, bool write, uint8_t sector, uint32_t sectors)
{
    struct i82077_drive *drive = fdc_drive(fdc, fdc->transfer.unit);
    bool real = fdc->device.board->clock->policy == CLOCK_REAL_TIME;
    int result;

    i8237_request(fdc->dma, FDC_DMA_CHANNEL, false);
    fdc_set_intr(fdc, false);
    fdc->phase = I82077_MEDIUM;
    fdc->position = fdc->length = 0;
    fdc->io = true;
    fdc->io_write = write;
    fdc->io_offset = sector_offset(fdc, sector);
    fdc->io_length = sectors * I82077_SECTOR;
    prepare_request(fdc);
    result = block_submit(drive->block, &fdc->request);
    fdc->io_deadline = result < 0 || real ? 0 : fdc->request.deadline;
    if (result < 0) {
        request_done(&fdc->request, result);
    }
}

/* ---- runs ---- */

static void begin_data(struct i82077 *fdc, enum i82077_phase phase, uint32_t length)
{
    fdc->phase = (uint8_t)phase;
    fdc->position = 0;
    fdc->length = length;
    if (fdc_uses_dma(fdc)) {
        i8237_request(fdc->dma, FDC_DMA_CHANNEL, true);
        fdc_transfer_pump(fdc);
    } else {
        fdc_set_intr(fdc, true);
    }
}

/* The next run: sectors R.. of this side. */
static void begin_run(struct i82077 *fdc)
{
    struct i82077_transfer *t = &fdc->transfer;
    uint8_t last = MIN(t->eot, fdc_format(fdc_drive(fdc, t->unit)).track_sectors);

    if (t->sector == 0 || t->sector > last) {
        fail(fdc, ST1_NO_DATA, 0);
        return;
    }
    t->run = t->single ? 1 : (uint8_t)(last - t->sector + 1);
    if (writes(fdc)) {
        begin_data(fdc, I82077_TO_DISK, t->run * I82077_SECTOR);
    } else {
        submit(fdc, false, t->sector, t->run);
    }
}

/* `sectors` of the run are through: go on, or end. */
static void end_run(struct i82077 *fdc, uint8_t sectors)
{
    struct i82077_transfer *t = &fdc->transfer;

    t->sector = (uint8_t)(t->sector + sectors);
    if (t->terminal_count) {
        succeed(fdc);
    } else if (t->st2 & ST2_CONTROL_MARK) {
        succeed(fdc); /* READ DELETED DATA stops after a sector with the other mark */
    } else if (t->sector <= t->eot) {
        begin_run(fdc);
    } else if ((fdc->command[0] & FDC_MT) && t->head == 0 && fdc_format(fdc_drive(fdc, t->unit)).heads == 2) {
        t->head = 1;
        t->sector = 1;
        begin_run(fdc);
    } else if (code(fdc) == FDC_VERIFY) {
        succeed(fdc);
    } else {
        finish(fdc, ST0_ABNORMAL, ST1_END, 0);
    }
}

static uint8_t sectors_begun(const struct i82077 *fdc)
{
    return (uint8_t)((fdc->position + I82077_SECTOR - 1) / I82077_SECTOR);
}

/* VERIFY hands nothing over; with EC it ends after a number of sectors. */
static void verify_run(struct i82077 *fdc)
{
    struct i82077_transfer *t = &fdc->transfer;

    if ((fdc->command[PARAM_UNIT] & VERIFY_EC) && t->left <= t->run) {
        t->terminal_count = true;
        end_run(fdc, t->left);
    } else {
        t->left = (uint8_t)(t->left - t->run);
        end_run(fdc, t->run);
    }
}

/* FORMAT TRACK: the IDs are in; they must name this track's sectors, each once. */
static void format_track(struct i82077 *fdc)
{
    struct i82077_transfer *t = &fdc->transfer;
    uint8_t sectors = fdc_format(fdc_drive(fdc, t->unit)).track_sectors;
    uint64_t seen = 0;

    if (sectors == 0) {
        fail(fdc, ST1_NO_MARK, 0); /* the disk is gone */
        return;
    }
    for (unsigned i = 0; i < sectors; i++) {
        const uint8_t *id = fdc->buffer + i * ID_SIZE;

        if (id[0] != t->cylinder || id[1] != t->head || id[2] - 1u >= sectors || id[3] != SECTOR_SIZE_CODE) {
            fail(fdc, ST1_NO_DATA, 0);
            return;
        }
        seen |= BIT(id[2] - 1);
    }
    if (seen != BITS(sectors - 1, 0)) {
        fail(fdc, ST1_NO_DATA, 0);
        return;
    }
    memset(fdc->buffer, fdc->command[FORMAT_FILL], (size_t)sectors * I82077_SECTOR);
    submit(fdc, true, 1, sectors);
}

/* The bytes of this run are all here: to the medium, the last sector filled up with zeros. */
static void write_run(struct i82077 *fdc)
{
    uint8_t sectors = sectors_begun(fdc);

    if (code(fdc) == FDC_FORMAT) {
        format_track(fdc);
        return;
    }
    memset(fdc->buffer + fdc->position, 0, (size_t)sectors * I82077_SECTOR - fdc->position);
    submit(fdc, true, fdc->transfer.sector, sectors);
}

static void data_over(struct i82077 *fdc)
{
    if (fdc->phase == I82077_TO_DISK) {
        write_run(fdc);
    } else {
        end_run(fdc, sectors_begun(fdc));
    }
}

static void read_failed(struct i82077 *fdc, int result)
{
    if (result == -EIO && fdc->transfer.run > 1) {
        fdc->transfer.single = true;
        begin_run(fdc);
    } else if (result == -EIO) {
        fail(fdc, ST1_DATA_ERROR, ST2_DATA_ERROR);
    } else if (result == -ENOMEDIUM) {
        fail(fdc, ST1_NO_MARK, 0);
    } else {
        fail(fdc, ST1_NO_DATA, 0); /* beyond the end of a short image */
    }
}

static void write_done(struct i82077 *fdc, int result)
{
    if (result == -EROFS) {
        fail(fdc, ST1_NOT_WRITABLE, 0);
    } else if (result == -ENOMEDIUM) {
        fail(fdc, ST1_NO_MARK, 0);
    } else if (result < 0) {
        fail(fdc, ST1_DATA_ERROR, ST2_DATA_ERROR);
    } else if (code(fdc) == FDC_FORMAT) {
        fdc->transfer.sector = fdc->transfer.eot;
        succeed(fdc);
    } else {
        end_run(fdc, (uint8_t)(fdc->io_length / I82077_SECTOR));
    }
}

static void request_done(struct block_request *request, int result)
{
    struct i82077 *fdc = request->opaque;

    fdc->io = false;
    fdc->io_deadline = 0;
    if (fdc->io_write) {
        write_done(fdc, result);
    } else if (result < 0) {
        read_failed(fdc, result);
    } else if (code(fdc) == FDC_VERIFY) {
        verify_run(fdc);
    } else {
        begin_data(fdc, I82077_TO_HOST, fdc->io_length);
    }
}

/* ---- the host's side ---- */

void fdc_transfer_pump(struct i82077 *fdc)
{
    bool out = fdc->phase == I82077_TO_DISK;
    bool terminal_count;

    if ((!out && fdc->phase != I82077_TO_HOST) || !fdc_uses_dma(fdc) || !(fdc->dor & 0x08)) {
        return;
    }
    fdc->position += (uint32_t)i8237_transfer(fdc->dma, FDC_DMA_CHANNEL, fdc->buffer + fdc->position,
                                              fdc->length - fdc->position,
                                              out ? I8237_FROM_MEMORY : I8237_TO_MEMORY, &terminal_count);
    if (terminal_count && (code(fdc) != FDC_FORMAT || fdc->position == fdc->length)) {
        fdc->transfer.terminal_count = true;
    } else if (terminal_count) {
        fail(fdc, ST1_NO_DATA, 0); /* fewer IDs than sectors */
        return;
    }
    if (fdc->transfer.terminal_count || fdc->position == fdc->length) {
        data_over(fdc);
    }
}

uint8_t fdc_transfer_get(struct i82077 *fdc)
{
    uint8_t byte = fdc->buffer[fdc->position++];

    if (fdc->position == fdc->length) {
        data_over(fdc);
    }
    return byte;
}

void fdc_transfer_put(struct i82077 *fdc, uint8_t byte)
{
    fdc->buffer[fdc->position++] = byte;
    if (fdc->position == fdc->length) {
        data_over(fdc);
    }
}

/* ---- beginnings ---- */

/* The drive, ready for this command; or NULL after the command has failed. */
static struct i82077_drive *find_disk(struct i82077 *fdc)
{
    struct i82077_transfer *t = &fdc->transfer;
    struct i82077_drive *drive = fdc_drive(fdc, t->unit);

    if (!drive || !drive->block->inserted || !(fdc->command[0] & FDC_MFM) || !fdc_rate_matches(fdc, drive) ||
        t->head >= fdc_format(drive).heads) {
        fail(fdc, ST1_NO_MARK, 0);
        return NULL;
    }
    if (writes(fdc) && drive->block->read_only) {
        fail(fdc, ST1_NOT_WRITABLE, 0);
        return NULL;
    }
    return drive;
}

static void begin_format(struct i82077 *fdc)
{
    struct i82077_transfer *t = &fdc->transfer;
    struct i82077_drive *drive;

    t->head = fdc->command[PARAM_UNIT] >> 2 & 1;
    t->sector = 1;
    drive = find_disk(fdc);
    if (!drive) {
        return;
    }
    t->cylinder = fdc_disk_track(drive);
    t->eot = fdc_format(drive).track_sectors;
    if (fdc->command[FORMAT_SECTORS] != t->eot || fdc->command[FORMAT_SIZE] != SECTOR_SIZE_CODE ||
        t->cylinder >= fdc_format(drive).tracks) {
        fail(fdc, ST1_NO_DATA, 0);
    } else {
        begin_data(fdc, I82077_TO_DISK, t->eot * ID_SIZE);
    }
}

/* Does the ID field the command asks for exist under the head? */
static bool ids_match(struct i82077 *fdc, const struct i82077_drive *drive)
{
    const struct i82077_transfer *t = &fdc->transfer;
    uint8_t track = fdc_disk_track(drive);

    if (t->cylinder != track || track >= fdc_format(drive).tracks) {
        fail(fdc, ST1_NO_DATA, ST2_WRONG_CYLINDER);
        return false;
    }
    if (fdc->command[PARAM_HEAD] != t->head || fdc->command[PARAM_SIZE] != SECTOR_SIZE_CODE) {
        fail(fdc, ST1_NO_DATA, 0);
        return false;
    }
    return true;
}

void fdc_transfer_begin(struct i82077 *fdc)
{
    struct i82077_transfer *t = &fdc->transfer;
    struct i82077_drive *drive;

    *t = (struct i82077_transfer){.unit = fdc->command[PARAM_UNIT] & 3};
    if (code(fdc) == FDC_FORMAT) {
        begin_format(fdc);
        return;
    }
    t->head = fdc->command[PARAM_UNIT] >> 2 & 1;
    t->cylinder = fdc->command[PARAM_CYLINDER];
    t->sector = code(fdc) == FDC_READ_TRACK ? 1 : fdc->command[PARAM_SECTOR];
    t->eot = fdc->command[PARAM_EOT];
    t->left = fdc->command[PARAM_LENGTH];
    if (fdc->configure & CONFIGURE_EIS) {
        fdc_move_head(fdc, t->unit, t->cylinder);
    }
    drive = find_disk(fdc);
    if (!drive || !ids_match(fdc, drive)) {
        return;
    }
    if (code(fdc) == FDC_READ_DELETED) {
        t->single = true;
        t->st2 = ST2_CONTROL_MARK;
        if (fdc->command[0] & FDC_SK) {
            t->st2 = 0;
            fail(fdc, ST1_NO_DATA, 0); /* every sector is skipped */
            return;
        }
    }
    begin_run(fdc);
}

/* The first ID that passes: this disk's sector 1. */
void fdc_read_id(struct i82077 *fdc)
{
    struct i82077_transfer *t = &fdc->transfer;
    struct i82077_drive *drive;

    *t = (struct i82077_transfer){.unit = fdc->command[PARAM_UNIT] & 3,
                                  .head = fdc->command[PARAM_UNIT] >> 2 & 1,
                                  .sector = 1,
                                  .eot = 1};
    drive = find_disk(fdc);
    if (drive) {
        t->cylinder = fdc_disk_track(drive);
        if (t->cylinder < fdc_format(drive).tracks) {
            succeed(fdc);
        } else {
            fail(fdc, ST1_NO_MARK, 0); /* beyond the last formatted track */
        }
    }
}

void fdc_transfer_abandon(struct i82077 *fdc)
{
    if (block_request_active(&fdc->request)) {
        block_cancel(&fdc->request);
        memset(fdc->buffer, 0, sizeof(fdc->buffer)); /* how much had arrived is the host's secret */
    }
    i8237_request(fdc->dma, FDC_DMA_CHANNEL, false);
    fdc->io = fdc->io_write = false;
    fdc->io_offset = fdc->io_deadline = 0;
    fdc->io_length = 0;
    fdc->position = fdc->length = 0;
    fdc->transfer = (struct i82077_transfer){0};
}

int fdc_transfer_resume(struct i82077 *fdc)
{
    struct i82077_drive *drive = fdc_drive(fdc, fdc->transfer.unit);

    prepare_request(fdc);
    return drive ? block_submit_at(drive->block, &fdc->request, fdc->io_deadline) : -EINVAL;
}
