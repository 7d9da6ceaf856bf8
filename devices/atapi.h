/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The CD/DVD drive: what its two files share. atapi.c runs packet commands; atapi_data.c knows what a drive says of
 * itself and its medium, and what a CD sector looks like.
 *
 * Sources: SFF-8020i (ATA Packet Interface for CD-ROMs), MMC-3 (INCITS 360-2002), ECMA-130 for CD sectors.
 */
#ifndef DEVICES_ATAPI_H
#define DEVICES_ATAPI_H

#include "devices/ide_drive.h"

#define ATAPI_SECTOR     2048u
#define ATAPI_SECTOR_RAW 2352u
#define ATAPI_REPLY_MAX  2052u /* the longest answer that is not read from the medium */

enum { ATAPI_ATTENTION_POWER_ON = 1, ATAPI_ATTENTION_MEDIUM = 2 };

/* Media events of GET EVENT STATUS NOTIFICATION. */
enum { ATAPI_EVENT_NONE, ATAPI_EVENT_EJECT_REQUEST, ATAPI_EVENT_NEW_MEDIUM, ATAPI_EVENT_REMOVAL };

/*
 * A mode 1 sector as it lies on the disc; the medium holds the user data, the rest is made up.
 *
 *   0      12       16                      2064  2068     2076          2352
 *   | sync | header | user data             | EDC | zeros  | ECC (P, Q)  |
 *                                           '---- ATAPI_PART_EDC_ECC ----'
 */
enum atapi_part {
    ATAPI_PART_SYNC = 1,
    ATAPI_PART_HEADER = 2,
    ATAPI_PART_USER = 4,
    ATAPI_PART_EDC_ECC = 8,
};

enum atapi_sense {
    SENSE_NONE = 0x0,
    SENSE_NOT_READY = 0x2,
    SENSE_MEDIUM_ERROR = 0x3,
    SENSE_ILLEGAL_REQUEST = 0x5,
    SENSE_UNIT_ATTENTION = 0x6,
};

/* Additional sense codes, ASC << 8 | ASCQ. */
enum atapi_code {
    ASC_NONE = 0x0000,
    ASC_UNRECOVERED_READ = 0x1100,
    ASC_INVALID_COMMAND = 0x2000,
    ASC_OUT_OF_RANGE = 0x2100,
    ASC_INVALID_FIELD = 0x2400,
    ASC_MEDIUM_CHANGED = 0x2800,
    ASC_POWER_ON = 0x2900,
    ASC_INCOMPATIBLE_MEDIUM = 0x3002,
    ASC_NO_SAVED_PARAMETERS = 0x3900,
    ASC_NO_MEDIUM_CLOSED = 0x3a01,
    ASC_NO_MEDIUM_OPEN = 0x3a02,
    ASC_REMOVAL_PREVENTED = 0x5302,
    ASC_ILLEGAL_TRACK_MODE = 0x6400,
};

static inline uint16_t load_be16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t load_be32(const uint8_t *p)
{
    return (uint32_t)load_be16(p) << 16 | load_be16(p + 2);
}

static inline void store_be16(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static inline void store_be32(uint8_t *p, uint32_t v)
{
    store_be16(p, v >> 16);
    store_be16(p + 2, v);
}

/* Sectors of the medium, 0 without one. */
uint32_t atapi_sectors(const struct ide_drive *drive);
bool atapi_has_medium(const struct ide_drive *drive);

/*
 * The answers: each fills `reply` (zeroed, ATAPI_REPLY_MAX bytes) after the packet in drive->atapi.packet and returns its
 * length; 0 with *code set for a request it has no answer to.
 */
typedef uint32_t atapi_answer(const struct ide_drive *drive, uint8_t *reply, uint16_t *code);
atapi_answer atapi_answer_inquiry, atapi_answer_sense, atapi_answer_capacity, atapi_answer_toc,
    atapi_answer_configuration, atapi_answer_event, atapi_answer_mode_sense, atapi_answer_disc_information,
    atapi_answer_track_information, atapi_answer_mechanism, atapi_answer_subchannel,
    atapi_answer_dvd_structure;

/* Bytes of the chosen parts, a multiple of 4. */
uint32_t atapi_parts_size(uint8_t parts);
/* Expand `count` sectors of user data at the start of `bytes` in place into the chosen parts; `lba` is the first one's. */
void atapi_expand_sectors(uint8_t *bytes, uint32_t count, uint32_t lba, uint8_t parts);

#endif
