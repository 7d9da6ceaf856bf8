/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * 82077AA floppy disk controller with up to two drives, as a PC wires it.
 *
 *   IRQ --> IRQ6      DRQ --> DMA channel 2
 *   3F2 DOR   7:4 motors   3 DMAGATE#   2 RESET#   1:0 drive select
 *   3F3 TDR   tape drive select, stored only
 *   3F4 MSR   7 RQM   6 DIO   5 NON DMA   4 CMD BSY   3:0 drives seeking       write: DSR   7 reset   1:0 data rate
 *   3F5 FIFO  commands, data, results
 *   3F7 DIR   7 DSKCHG of the selected drive                                   write: CCR   1:0 data rate
 *
 * Source: Intel 82077AA data sheet (order number 290166), AT mode: 3F0h and 3F1h are not there.
 *
 * Not modelled: rotation, head settling and step times, motors (a disk is always up to speed), tape drives, power-down,
 * FM disks, formats that an image of 512-byte sectors cannot hold.
 */
#ifndef DEVICES_I82077_H
#define DEVICES_I82077_H

#include "base/block.h"
#include "devices/i8237.h"

enum {
    I82077_DRIVES = 2, /* that can be connected; the chip addresses four */
    I82077_UNITS = 4,
    I82077_SECTOR = 512,
    I82077_TRACK_SECTORS = 36,
    I82077_COMMAND_MAX = 9,
    I82077_RESULT_MAX = 10,
};

/* As CMOS byte 10h names drives. */
enum i82077_drive_type {
    I82077_NO_DRIVE,
    I82077_360K,
    I82077_1200K,
    I82077_720K,
    I82077_1440K,
    I82077_2880K,
};

enum i82077_phase {
    I82077_COMMAND, /* waits for a command or its parameters */
    I82077_MEDIUM,  /* a block request is under way */
    I82077_TO_HOST, /* execution: sectors go to the host */
    I82077_TO_DISK, /* execution: bytes come from the host */
    I82077_RESULT,  /* waits for the host to read the result */
    I82077_PHASE_COUNT
};

/* How a disk is laid out; by the size of its image. */
struct i82077_format {
    uint32_t sectors; /* of the whole disk */
    uint8_t tracks, heads, track_sectors;
    uint8_t drive; /* enum i82077_drive_type: the drive it is made for */
    uint8_t rate;  /* of that drive, as CCR has it: 0 500, 1 300, 2 250, 3 1000 kbit/s */
};

struct i82077_drive {
    struct i82077 *fdc;
    struct block *block; /* NULL: no drive */
    uint8_t type;        /* enum i82077_drive_type, fixed at creation */
    uint8_t track;       /* where the head is */
    bool changed;        /* DSKCHG */
};

/* A command with data: where it is. */
struct i82077_transfer {
    uint8_t unit, cylinder, head, sector, eot; /* next sector; C, H, R, EOT of the command */
    uint8_t run;                               /* sectors in the buffer, or to come into it */
    uint8_t left;                              /* VERIFY with EC: sectors to go */
    uint8_t st1, st2;                          /* collected on the way */
    bool terminal_count;                       /* the host said that this is all */
    bool single;                               /* after a medium error: one sector a request */
};

struct i82077 {
    struct device device;
    struct line irq;
    struct i8237 *dma;
    struct region ports, dir_port;
    struct i82077_drive drive[I82077_DRIVES];
    struct block_request request;

    uint8_t dor, tdr, dsr, rate;
    uint8_t phase; /* enum i82077_phase */
    bool intr;     /* the INT pin, before DMAGATE# */

    uint8_t command[I82077_COMMAND_MAX], command_count; /* bytes so far; 0: none yet */
    uint8_t result[I82077_RESULT_MAX], result_count, result_position;
    uint8_t reset_senses; /* of the four SENSE INTERRUPT STATUS after a reset, how many are left */
    uint8_t seek_done;    /* bit n: unit n has finished a seek that nobody has sensed */
    uint8_t seek_st0[I82077_UNITS];
    uint8_t pcn[I82077_UNITS];   /* present cylinder number, the controller's count */
    uint8_t specify[2];          /* SRT HUT, HLT ND */
    uint8_t configure, pretrack; /* EIS EFIFO POLL FIFOTHR; PRETRK */
    uint8_t perpendicular;       /* D3..D0 in 5:2, GAP, WGATE */
    bool lock;

    struct i82077_transfer transfer;
    uint32_t position, length; /* in buffer: position <= length <= sizeof(buffer) */
    uint8_t buffer[I82077_TRACK_SECTORS * I82077_SECTOR];

    bool io, io_write; /* the block request under way */
    uint64_t io_offset, io_deadline;
    uint32_t io_length;
};

/* At 3F2h-3F5h and 3F7h; drives where block[i] is not NULL, which outlive the device. NULL: out of memory. */
struct i82077 *i82077_create(struct board *board, struct line irq, struct i8237 *dma,
                             struct block *const block[I82077_DRIVES]);
/* CMOS byte 10h's code for drive 0 or 1. */
enum i82077_drive_type i82077_drive_type(const struct i82077 *fdc, unsigned drive);

#endif
