/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the channel (ide.c) and the two kinds of drive (ide_disk.c, atapi.c) owe each other.
 *
 * The channel calls the ops of a drive at four points of a command; the drive answers by starting a request to its
 * medium, a data phase, or the end of the command. Nothing here calls back from inside itself: requests complete
 * later, from the VM's loop.
 */
#ifndef DEVICES_IDE_DRIVE_H
#define DEVICES_IDE_DRIVE_H

#include "devices/ide.h"

struct ide_drive_ops {
    /* A command was written: the drive is BSY, INTRQ and error are clear. */
    void (*execute)(struct ide_drive *drive, uint8_t command);
    /* PIO: a DRQ block of `bytes` is about to be offered. */
    void (*offer)(struct ide_drive *drive, uint32_t bytes);
    /* The buffer is through: read by the host (`in`), or filled by it. */
    void (*data_over)(struct ide_drive *drive, bool in);
    /* The request of the given kind ended; 0 or -errno. */
    void (*io_done)(struct ide_drive *drive, enum ide_io io, int result);
    /* Registers and status as any reset leaves them. */
    void (*signature)(struct ide_drive *drive);
    /* Settings as power-on makes them; !power_on: as a software reset does. */
    void (*set_defaults)(struct ide_drive *drive, bool power_on);
    /* Loaded values that this kind of drive cannot have. */
    int (*check)(const struct ide_drive *drive, struct error *error);
};

extern const struct ide_drive_ops ide_disk_ops;
extern const struct ide_drive_ops atapi_ops;
extern const struct block_front_ops atapi_front_ops;

/* BSY until it ends; a request the block refuses ends at once, through io_done. */
void ide_submit(struct ide_drive *drive, enum ide_io io, uint64_t offset, uint32_t length);
/* The buffer holds `bytes` for the host: hand them over by PIO or DMA. 1..IDE_BUFFER_SIZE. */
void ide_begin_data_in(struct ide_drive *drive, uint32_t bytes);
/* Take `bytes` from the host into the buffer. `interrupt`: INTRQ announces the first DRQ block. */
void ide_begin_data_out(struct ide_drive *drive, uint32_t bytes, bool interrupt);
/* The command is over: status as given (DRDY and so on), INTRQ. */
void ide_complete(struct ide_drive *drive, uint8_t status);
/* The same without INTRQ: the end of a PIO read, whose data were announced. */
void ide_finish(struct ide_drive *drive);
/* PACKET: take the command packet into the buffer. */
void ide_begin_packet(struct ide_drive *drive);
/* The end with ERR and the error register. */
void ide_fail(struct ide_drive *drive, uint8_t error);

/* IDENTIFY DEVICE, IDENTIFY PACKET DEVICE, SMART READ DATA and READ THRESHOLDS: 512 bytes. */
void ide_identify_disk(const struct ide_drive *drive, uint8_t *data);
void ide_identify_packet(const struct ide_drive *drive, uint8_t *data);
void ide_smart_data(uint8_t *data);
void ide_smart_thresholds(uint8_t *data);
/* What the drive calls itself, without padding. */
void ide_drive_serial(const struct ide_drive *drive, char text[21]);

/* SET FEATURES 03h: a mode both kinds of drive know. */
bool ide_transfer_mode_valid(uint8_t mode);

#endif
