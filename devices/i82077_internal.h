/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the two halves of the floppy controller share: i82077.c (registers, commands without data, life) and
 * i82077_transfer.c (commands that move sectors).
 */
#ifndef DEVICES_I82077_INTERNAL_H
#define DEVICES_I82077_INTERNAL_H

#include "devices/i82077.h"

#define FDC_DMA_CHANNEL 2

enum {
    ST0_ABNORMAL = 0x40,
    ST0_INVALID = 0x80,
    ST0_READY_CHANGED = 0xc0,
    ST0_SEEK_END = 0x20,
    ST0_CHECK = 0x10
};
enum {
    ST1_NO_MARK = 0x01,
    ST1_NOT_WRITABLE = 0x02,
    ST1_NO_DATA = 0x04,
    ST1_DATA_ERROR = 0x20,
    ST1_END = 0x80
};
enum { ST2_WRONG_CYLINDER = 0x10, ST2_DATA_ERROR = 0x20, ST2_CONTROL_MARK = 0x40 };
enum { CONFIGURE_EIS = 0x40, CONFIGURE_POLL = 0x10, SPECIFY_NON_DMA = 0x01 };

/* Command codes, without the MT, MFM and SK bits. */
enum fdc_command {
    FDC_READ_TRACK = 0x02,
    FDC_SPECIFY = 0x03,
    FDC_SENSE_DRIVE = 0x04,
    FDC_WRITE = 0x05,
    FDC_READ = 0x06,
    FDC_RECALIBRATE = 0x07,
    FDC_SENSE_INTERRUPT = 0x08,
    FDC_WRITE_DELETED = 0x09,
    FDC_READ_ID = 0x0a,
    FDC_READ_DELETED = 0x0c,
    FDC_FORMAT = 0x0d,
    FDC_DUMPREG = 0x0e,
    FDC_SEEK = 0x0f,
    FDC_VERSION = 0x10,
    FDC_PERPENDICULAR = 0x12,
    FDC_CONFIGURE = 0x13,
    FDC_LOCK = 0x14,
    FDC_VERIFY = 0x16,
};
enum { FDC_MT = 0x80, FDC_MFM = 0x40, FDC_SK = 0x20, FDC_CODE = 0x1f };

/* The connected drive of a unit number, or NULL. */
struct i82077_drive *fdc_drive(struct i82077 *fdc, unsigned unit);
/* The disk in a drive; all zero without one. */
struct i82077_format fdc_format(const struct i82077_drive *drive);
/* Track of the disk under the head: a 40-track disk has every second one of an 80-track drive. */
uint8_t fdc_disk_track(const struct i82077_drive *drive);
/* Is the programmed data rate that of this disk in this drive? */
bool fdc_rate_matches(const struct i82077 *fdc, const struct i82077_drive *drive);
void fdc_move_head(struct i82077 *fdc, unsigned unit, uint8_t cylinder);

/* Enter the result phase with `count` bytes already in fdc->result; INT if asked for. */
void fdc_begin_result(struct i82077 *fdc, unsigned count, bool interrupt);
void fdc_set_intr(struct i82077 *fdc, bool level);

/* READ, WRITE, FORMAT, VERIFY and their kin: all parameters are in fdc->command. */
void fdc_transfer_begin(struct i82077 *fdc);
void fdc_read_id(struct i82077 *fdc);
/* Let DMA move, when the channel or the gate has opened. */
void fdc_transfer_pump(struct i82077 *fdc);
/* Execution phase without DMA: one byte. */
uint8_t fdc_transfer_get(struct i82077 *fdc);
void fdc_transfer_put(struct i82077 *fdc, uint8_t byte);
/* Give up: a reset. */
void fdc_transfer_abandon(struct i82077 *fdc);
/* After a load: submit the request that was under way. 0 or -errno. */
int fdc_transfer_resume(struct i82077 *fdc);

/* DMA or programmed I/O, by SPECIFY. */
static inline bool fdc_uses_dma(const struct i82077 *fdc)
{
    return !(fdc->specify[1] & SPECIFY_NON_DMA);
}

#endif
