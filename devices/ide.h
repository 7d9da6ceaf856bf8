/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * An ATA channel with its two devices: task file, protocols (PIO, multiple, DMA, PACKET), and their media.
 *
 * Source: ATA/ATAPI-7 volume 1 (commands, IDENTIFY data) and volume 2 (parallel transport: registers, protocols),
 * INCITS 397-2005; packet commands after MMC-3 and SFF-8020i (atapi.c).
 *
 *   command block (1F0h, 170h)             read                write
 *     +0  data, 16 or 32 bits wide
 *     +1                                   error               features
 *     +2                                   sector count        sector count     (ATAPI: interrupt reason)
 *     +3 +4 +5                             LBA low, mid, high (sector; cylinder low, high; ATAPI: byte count)
 *     +6  1 LBA 1 DEV head
 *     +7                                   status              command
 *   control block (3F6h, 376h)             alternate status    device control: HOB SRST nIEN
 *
 * Every register but status is two deep for the 48-bit commands; HOB shows the older value.
 *
 *   ide.c           the channel: registers, selection, reset, the data phases, requests to the medium
 *   ide_disk.c      the commands of a disk           ide_identify.c  IDENTIFY (PACKET) DEVICE and SMART data
 *   atapi.c         packet commands, sense data, tray         atapi_data.c    what a CD/DVD drive answers
 *   piix3_ide.c     the host side: PCI function, bus-master DMA
 *
 * How a data command runs (`phase` of the drive); the buffer holds what is on its way:
 *
 *   IDLE --command--> MEDIUM (BSY; a block request is under way)
 *                       |  done
 *                       v
 *                     PIO_IN / PIO_OUT (DRQ, one DRQ block at a time) or DMA_IN / DMA_OUT (DMARQ)
 *                       |  buffer through: next piece to or from the medium, or
 *                       v
 *                     IDLE, INTRQ
 *
 * Not modelled: overlap and queuing, security, removable-media and host-protected-area feature sets, CFA, streaming,
 * general purpose logging, 8-bit PIO, cable and transfer timing (all modes are equally fast).
 */
#ifndef DEVICES_IDE_H
#define DEVICES_IDE_H

#include "base/block.h"
#include "devices/device.h"

/* The buffer takes most DMA commands in one piece: every piece waits for the host's threads. */
#define IDE_BUFFER_SIZE ((uint32_t)(512 * KIB))
#define IDE_SECTOR      512u
#define IDE_PACKET_SIZE 12u

enum ide_kind { IDE_ABSENT, IDE_DISK, IDE_CDROM };

enum ide_status_bits {
    IDE_ERR = 0x01, /* ATAPI: CHK */
    IDE_DRQ = 0x08,
    IDE_DSC = 0x10, /* seek complete */
    IDE_DF = 0x20,
    IDE_DRDY = 0x40,
    IDE_BSY = 0x80,
};

enum ide_error_bits {
    IDE_ABRT = 0x04,
    IDE_IDNF = 0x10, /* address not found */
    IDE_UNC = 0x40,  /* reads: uncorrectable data */
    IDE_WP = 0x40,   /* writes: write-protected */
};

enum ide_phase {
    IDE_PHASE_IDLE,
    IDE_PHASE_MEDIUM,  /* BSY: a block request is under way */
    IDE_PHASE_PIO_IN,  /* DRQ: the guest reads the data register */
    IDE_PHASE_PIO_OUT, /* DRQ: the guest writes it */
    IDE_PHASE_PACKET,  /* DRQ: the guest writes the command packet */
    IDE_PHASE_DMA_IN,  /* DMARQ: waits for the bus master to take the buffer */
    IDE_PHASE_DMA_OUT, /* DMARQ: waits for the bus master to fill it */
    IDE_PHASE_COUNT
};

enum ide_io { IDE_IO_NONE, IDE_IO_READ, IDE_IO_WRITE, IDE_IO_FLUSH, IDE_IO_COUNT };

enum ide_power { IDE_POWER_ACTIVE, IDE_POWER_IDLE, IDE_POWER_STANDBY, IDE_POWER_SLEEP };

struct ide_channel;
struct ide_drive_ops;

struct ide_taskfile {
    uint8_t features, count, lba_low, lba_mid, lba_high;
};

/* What the packet commands need beyond the drive (atapi.c). */
struct atapi {
    uint8_t packet[IDE_PACKET_SIZE];
    uint8_t sense_key, asc, ascq;
    uint8_t attention; /* ATAPI_ATTENTION_*: pending unit attentions */
    uint8_t event;     /* media event to report (GET EVENT STATUS NOTIFICATION), 0 none */
    uint8_t parts;     /* ATAPI_PART_*: what the read under way hands over of a sector */
    bool tray_open, locked;
};

struct ide_drive {
    /* Wiring. */
    struct ide_channel *channel;
    const struct ide_drive_ops *ops; /* NULL when absent */
    uint8_t index;                   /* 0 or 1 on the channel */
    uint8_t unit;                    /* 0..3 on the board */
    uint8_t kind;                    /* enum ide_kind */
    struct block *block;             /* NULL when absent */
    struct block_request request;

    /* Registers. */
    struct ide_taskfile now, previous;
    uint8_t device, status, error;
    bool intrq; /* interrupt pending, before selection and nIEN */

    /* The command under way. */
    uint8_t command;
    uint8_t phase; /* enum ide_phase */
    bool dma;      /* its data go by DMA */
    bool lba48;
    bool fua;            /* it writes through */
    bool verify;         /* it reads without handing the data over */
    bool single;         /* after a medium error: one sector a request, to find the bad one */
    uint64_t lba;        /* next sector to move between medium and buffer */
    uint32_t left;       /* sectors, counted like lba, that the medium still has to give or take */
    uint32_t block_size; /* bytes of a DRQ block, even */

    /* The buffer: position <= drq_end <= end (rounded up to words) <= IDE_BUFFER_SIZE. */
    uint32_t position; /* next byte of the data phase, even */
    uint32_t drq_end;  /* end of the DRQ block under way */
    uint32_t end;      /* bytes in the buffer, or to come into it */
    uint8_t buffer[IDE_BUFFER_SIZE];

    /* The block request under way. */
    uint8_t io; /* enum ide_io */
    uint64_t io_offset, io_deadline;
    uint32_t io_length;

    /* Settings. */
    uint8_t multiple;       /* sectors a DRQ block of READ/WRITE MULTIPLE: 1, 2, 4, 8, 16; 0: disabled */
    uint8_t transfer_mode;  /* as SET FEATURES 03h gave it */
    uint8_t heads, sectors; /* current translation, at least 1 */
    bool write_cache, look_ahead, smart, revert_defaults;
    uint8_t power; /* enum ide_power */

    struct atapi atapi;
};

/* The host's DMA engine: move up to `length` bytes, an even number, between bytes and memory; returns how many it
 * took. Fewer: it is stopped, or its list ended; ide_channel_dma_start() goes on. */
struct ide_bus_master {
    uint32_t (*transfer)(void *opaque, uint8_t *bytes, uint32_t length, bool to_memory);
    void *opaque;
};

struct ide_channel {
    struct device *device; /* whose part it is */
    uint8_t number;
    struct line irq; /* INTRQ */
    struct ide_bus_master bus_master;
    struct ide_drive drive[2];

    uint8_t device_control; /* HOB, SRST, nIEN */
    uint8_t selected;       /* DEV */
    bool intrq;             /* what `irq` was last set to */
};

struct ide_slot {
    struct block *block; /* NULL: no drive */
    bool cdrom;
};

/* In memory that is all zero; device 1 may be there without device 0. */
void ide_channel_init(struct ide_channel *channel, struct device *device, unsigned number, struct line irq,
                      struct ide_bus_master bus_master, const struct ide_slot slot[2]);
/* Ends requests under way and leaves the blocks. */
void ide_channel_fini(struct ide_channel *channel);
/* RESET-: the state after power-on. */
void ide_channel_reset(struct ide_channel *channel);

/* The two register blocks. Sizes 1, 2, 4; wider accesses elsewhere than at the data register are bytes in a row. */
uint32_t ide_command_block_read(struct ide_channel *channel, unsigned offset, unsigned size);
void ide_command_block_write(struct ide_channel *channel, unsigned offset, uint32_t value, unsigned size);
uint8_t ide_control_read(const struct ide_channel *channel);
void ide_control_write(struct ide_channel *channel, uint8_t value);

/* The bus master was started: let a waiting data phase move. */
void ide_channel_dma_start(struct ide_channel *channel);

/* For the field table of the device around it: SNAP_STRUCTS(struct X, channel, 2, ide_channel_fields). Its post_load
 * calls ide_channel_post_load(), which refuses impossible states and submits requests that were under way. */
extern const struct snap_field ide_channel_fields[4];
int ide_channel_post_load(struct ide_channel *channel, struct error *error);

/* Geometry a disk of this many sectors reports by default. */
struct ide_geometry {
    uint16_t cylinders;
    uint8_t heads, sectors;
};
struct ide_geometry ide_default_geometry(uint64_t sectors);

#endif
