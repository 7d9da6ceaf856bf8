/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What a CD/DVD drive answers: INQUIRY, sense, capacity, table of contents, features, mode pages; and raw CD sectors.
 *
 * Sources: SFF-8020i and MMC-3 for the layouts (byte numbers in the comments are theirs); ECMA-130, clause 14 and annex A,
 * for the EDC and ECC of a mode 1 sector.
 *
 * The medium is one closed session with one mode 1 track. Up to CD_MAX_SECTORS it calls itself a CD, beyond a DVD.
 */
#include "devices/atapi.h"

#define CD_MAX_SECTORS (99u * 60 * 75)
#define PREGAP         150u /* frames before logical block 0 */
#define TRACK_DATA     0x14 /* ADR 1, control 4: data track */
#define LEAD_OUT       0xaa
#define SPEED          5540u /* kB/s: 4x DVD, 32x CD */

enum { PROFILE_NONE = 0x0000, PROFILE_CD_ROM = 0x0008, PROFILE_DVD_ROM = 0x0010 };

bool atapi_has_medium(const struct ide_drive *drive)
{
    return drive->block->inserted && !drive->atapi.tray_open;
}

uint32_t atapi_sectors(const struct ide_drive *drive)
{
    return atapi_has_medium(drive) ? (uint32_t)MIN(drive->block->size / ATAPI_SECTOR, UINT32_MAX) : 0;
}

static bool is_dvd(const struct ide_drive *drive)
{
    return atapi_sectors(drive) > CD_MAX_SECTORS;
}

/* ---- identity and sense ---- */

uint32_t atapi_answer_inquiry(const struct ide_drive *drive, uint8_t *reply, uint16_t *code)
{
    if (drive->atapi.packet[1] & 1) {
        *code = ASC_INVALID_FIELD; /* vital product data */
        return 0;
    }
    reply[0] = 0x05; /* CD/DVD device */
    reply[1] = 0x80; /* removable */
    reply[3] = 0x21; /* ATAPI, response data format 1 */
    reply[4] = 31;   /* bytes that follow */
    memcpy(reply + 8, "HYPATIA ", 8);
    memcpy(reply + 16, "HYPATIA DVD-ROM ", 16);
    memcpy(reply + 32, HYPATIA_VERSION, MIN(sizeof(HYPATIA_VERSION) - 1, 4));
    return 36;
}

uint32_t atapi_answer_sense(const struct ide_drive *drive, uint8_t *reply, uint16_t *code)
{
    (void)code;
    reply[0] = 0x70; /* current error, fixed format */
    reply[2] = drive->atapi.sense_key;
    reply[7] = 10;
    reply[12] = drive->atapi.asc;
    reply[13] = drive->atapi.ascq;
    return 18;
}

/* ---- the medium ---- */

uint32_t atapi_answer_capacity(const struct ide_drive *drive, uint8_t *reply, uint16_t *code)
{
    uint32_t sectors = atapi_sectors(drive);

    (void)code;
    store_be32(reply, sectors ? sectors - 1 : 0);
    store_be32(reply + 4, ATAPI_SECTOR);
    return 8;
}

/* An address field of four bytes: a logical block, or 0, minute, second, frame. */
static void put_address(uint8_t *at, bool msf, uint32_t lba)
{
    uint32_t frames = lba + PREGAP;

    if (!msf) {
        store_be32(at, lba);
        return;
    }
    at[0] = 0;
    at[1] = (uint8_t)(frames / 75 / 60);
    at[2] = (uint8_t)(frames / 75 % 60);
    at[3] = (uint8_t)(frames % 75);
}

static uint8_t *put_track(uint8_t *at, uint8_t track, bool msf, uint32_t lba)
{
    at[1] = TRACK_DATA;
    at[2] = track;
    put_address(at + 4, msf, lba);
    return at + 8;
}

/* Format 0: tracks from a given one on, then the lead-out. */
static uint32_t toc_tracks(const struct ide_drive *drive, uint8_t *reply, bool msf)
{
    uint8_t first = drive->atapi.packet[6], *at = reply + 4;

    if (first > 1 && first != LEAD_OUT) {
        return 0;
    }
    reply[2] = reply[3] = 1; /* first and last track */
    if (first <= 1) {
        at = put_track(at, 1, msf, 0);
    }
    at = put_track(at, LEAD_OUT, msf, atapi_sectors(drive));
    return (uint32_t)(at - reply);
}

/* Format 1: the first track of the last session. */
static uint32_t toc_sessions(uint8_t *reply, bool msf)
{
    reply[2] = reply[3] = 1;
    put_track(reply + 4, 1, msf, 0);
    return 12;
}

/* Format 2: the entries of the lead-in's Q channel: session, ADR/control, 0, point, 3 zeros, 0, M S F. */
static uint32_t toc_raw(const struct ide_drive *drive, uint8_t *reply)
{
    static const uint8_t points[] = {0xa0, 0xa1, 0xa2, 1};
    uint8_t *at = reply + 4;

    reply[2] = reply[3] = 1;
    for (unsigned i = 0; i < ARRAY_LEN(points); i++, at += 11) {
        at[0] = 1;
        at[1] = TRACK_DATA;
        at[3] = points[i];
        if (points[i] == 0xa0 || points[i] == 0xa1) {
            at[8] = 1; /* first, last track */
        } else {
            uint8_t address[4];

            put_address(address, true, points[i] == 0xa2 ? atapi_sectors(drive) : 0);
            memcpy(at + 8, address + 1, 3);
        }
    }
    return (uint32_t)(at - reply);
}

/* The format is in byte 2 (MMC), or in the upper bits of byte 9 (SFF-8020i). */
uint32_t atapi_answer_toc(const struct ide_drive *drive, uint8_t *reply, uint16_t *code)
{
    const uint8_t *packet = drive->atapi.packet;
    uint8_t format = packet[2] & 0x0f ? packet[2] & 0x0f : packet[9] >> 6;
    bool msf = packet[1] & 2;
    uint32_t length = format == 0   ? toc_tracks(drive, reply, msf)
                      : format == 1 ? toc_sessions(reply, msf)
                      : format == 2 ? toc_raw(drive, reply)
                                    : 0;

    *code = ASC_INVALID_FIELD;
    store_be16(reply, length - 2);
    return length;
}

uint32_t atapi_answer_disc_information(const struct ide_drive *drive, uint8_t *reply, uint16_t *code)
{
    if (drive->atapi.packet[1] & 7) {
        *code = ASC_INVALID_FIELD;
        return 0;
    }
    store_be16(reply, 32);
    reply[2] = 0x0e; /* last session complete, disc finalised */
    reply[3] = 1;    /* first track */
    reply[4] = 1;    /* sessions */
    reply[5] = 1;    /* first and last track of the last session */
    reply[6] = 1;
    reply[7] = 0x20; /* unrestricted use */
    memset(reply + 16, 0xff, 8);
    return 34;
}

/* By logical block, track or session: there is one track. */
uint32_t atapi_answer_track_information(const struct ide_drive *drive, uint8_t *reply, uint16_t *code)
{
    const uint8_t *packet = drive->atapi.packet;
    uint32_t address = load_be32(packet + 2), kind = packet[1] & 3;

    if ((kind == 0 && address >= atapi_sectors(drive)) || (kind != 0 && address != 1) || kind == 3) {
        *code = ASC_INVALID_FIELD;
        return 0;
    }
    store_be16(reply, 34);
    reply[2] = 1; /* track */
    reply[3] = 1; /* session */
    reply[5] = 4; /* data */
    reply[6] = 1; /* mode 1 */
    store_be32(reply + 24, atapi_sectors(drive));
    return 36;
}

/* Q subchannel: no audio is playing, and the position is the beginning. */
uint32_t atapi_answer_subchannel(const struct ide_drive *drive, uint8_t *reply, uint16_t *code)
{
    const uint8_t *packet = drive->atapi.packet;

    reply[1] = 0x15; /* no audio status */
    if (!(packet[2] & 0x40)) {
        return 4;
    }
    if (packet[3] != 1) {
        *code = ASC_INVALID_FIELD;
        return 0;
    }
    store_be16(reply + 2, 12);
    reply[4] = 1;
    reply[5] = TRACK_DATA;
    reply[6] = 1;
    reply[7] = 1;
    put_address(reply + 8, packet[1] & 2, 0);
    return 16;
}

/* Physical format and copyright information of a single-layer DVD-ROM. */
uint32_t atapi_answer_dvd_structure(const struct ide_drive *drive, uint8_t *reply, uint16_t *code)
{
    const uint8_t *packet = drive->atapi.packet;
    uint8_t format = packet[7];
    uint32_t length = format == 0x00 ? 2052 : format == 0x01 ? 8 : 0;

    *code = is_dvd(drive) ? ASC_INVALID_FIELD : ASC_INCOMPATIBLE_MEDIUM;
    if (!is_dvd(drive) || packet[6] != 0 || length == 0) {
        return 0;
    }
    store_be16(reply, length - 2);
    if (format == 0x00) {
        reply[4] = 0x01; /* DVD-ROM, version 1 */
        reply[5] = 0x0f; /* 120 mm, no rate limit */
        reply[6] = 0x01; /* one layer, embossed */
        store_be32(reply + 8, 0x30000);
        store_be32(reply + 12, 0x30000 + atapi_sectors(drive) - 1);
    }
    return length;
}

/* ---- the drive ---- */

struct feature {
    uint16_t code;
    uint8_t version_flags; /* version << 2 | persistent << 1; current is bit 0 */
    uint8_t length;
    uint8_t data[8];
    uint16_t profile; /* current with media of this profile; PROFILE_NONE: always */
    bool any_medium;  /* current with any medium */
};

static const struct feature features[] = {
    {0x0000, 0x02, 8, {0x00, 0x10, 0, 0, 0x00, 0x08, 0, 0}, PROFILE_NONE, false}, /* profile list */
    {0x0001, 0x02, 4, {0, 0, 0, 2}, PROFILE_NONE, false},                         /* core: ATAPI */
    {0x0003, 0x02, 4, {0x29, 0, 0, 0}, PROFILE_NONE, false},         /* removable: tray, eject, lock */
    {0x0010, 0x00, 8, {0, 0, 8, 0, 0, 1, 0, 0}, PROFILE_NONE, true}, /* random readable, 2048 bytes */
    {0x001e, 0x00, 0, {0}, PROFILE_CD_ROM, false},                   /* CD read */
    {0x001f, 0x00, 0, {0}, PROFILE_DVD_ROM, false},                  /* DVD read */
};

static uint16_t current_profile(const struct ide_drive *drive)
{
    return !atapi_has_medium(drive) ? PROFILE_NONE : is_dvd(drive) ? PROFILE_DVD_ROM : PROFILE_CD_ROM;
}

static bool feature_is_current(const struct feature *feature, uint16_t profile)
{
    return feature->any_medium ? profile != PROFILE_NONE
                               : feature->profile == PROFILE_NONE || feature->profile == profile;
}

static uint8_t *put_feature(uint8_t *at, const struct feature *feature, uint16_t profile)
{
    store_be16(at, feature->code);
    at[2] = feature->version_flags | feature_is_current(feature, profile);
    at[3] = feature->length;
    memcpy(at + 4, feature->data, feature->length);
    if (feature->code == 0x0000) { /* which of the profiles is current */
        at[6] = profile == PROFILE_DVD_ROM;
        at[10] = profile == PROFILE_CD_ROM;
    }
    return at + 4 + feature->length;
}

/* Requested type in byte 1: 0 all features, 1 the current ones, 2 one of them; from the code in bytes 2 and 3. */
uint32_t atapi_answer_configuration(const struct ide_drive *drive, uint8_t *reply, uint16_t *code)
{
    const uint8_t *packet = drive->atapi.packet;
    uint8_t type = packet[1] & 3, *at = reply + 8;
    uint16_t start = load_be16(packet + 2), profile = current_profile(drive);

    if (type == 3) {
        *code = ASC_INVALID_FIELD;
        return 0;
    }
    for (unsigned i = 0; i < ARRAY_LEN(features); i++) {
        const struct feature *feature = &features[i];
        bool wanted = type == 2   ? feature->code == start
                      : type == 1 ? feature->code >= start && feature_is_current(feature, profile)
                                  : feature->code >= start;

        at = wanted ? put_feature(at, feature, profile) : at;
    }
    store_be32(reply, (uint32_t)(at - reply) - 4);
    store_be16(reply + 6, profile);
    return (uint32_t)(at - reply);
}

/* Polled only; of the event classes just media (4). */
uint32_t atapi_answer_event(const struct ide_drive *drive, uint8_t *reply, uint16_t *code)
{
    const uint8_t *packet = drive->atapi.packet;

    if (!(packet[1] & 1)) {
        *code = ASC_INVALID_FIELD; /* asynchronous notification needs queuing */
        return 0;
    }
    reply[3] = 0x10; /* supported classes */
    if (!(packet[4] & 0x10)) {
        store_be16(reply, 2);
        reply[2] = 0x80; /* no event of the classes asked for */
        return 4;
    }
    store_be16(reply, 6);
    reply[2] = 4;
    reply[4] = drive->atapi.event;
    reply[5] = (uint8_t)((atapi_has_medium(drive) ? 2 : 0) | (drive->atapi.tray_open ? 1 : 0));
    return 8;
}

uint32_t atapi_answer_mechanism(const struct ide_drive *drive, uint8_t *reply, uint16_t *code)
{
    (void)code;
    reply[1] = drive->atapi.tray_open ? 0x10 : 0;
    reply[5] = 1; /* slots */
    return 8;
}

/* ---- mode pages ---- */

static uint8_t *page_error_recovery(const struct ide_drive *drive, uint8_t *at)
{
    (void)drive;
    at[0] = 0x01;
    at[1] = 6;
    at[3] = 5; /* read retries */
    return at + 8;
}

static uint8_t *page_audio(const struct ide_drive *drive, uint8_t *at)
{
    (void)drive;
    at[0] = 0x0e;
    at[1] = 14;
    at[2] = 0x04; /* IMMED */
    return at + 16;
}

static uint8_t *page_capabilities(const struct ide_drive *drive, uint8_t *at)
{
    at[0] = 0x2a;
    at[1] = 18;
    at[2] = 0x0b;                                               /* reads CD-R, CD-RW, DVD-ROM */
    at[6] = (uint8_t)(0x29 | (drive->atapi.locked ? 0x02 : 0)); /* tray, ejects, locks */
    store_be16(at + 8, SPEED);
    store_be16(at + 10, 2); /* volume levels: mute and full */
    store_be16(at + 12, IDE_BUFFER_SIZE / 1024);
    store_be16(at + 14, SPEED);
    return at + 20;
}

static const struct {
    uint8_t code;
    uint8_t *(*put)(const struct ide_drive *drive, uint8_t *at);
} mode_pages[] = {{0x01, page_error_recovery}, {0x0e, page_audio}, {0x2a, page_capabilities}};

/* MODE SENSE(10): an 8-byte header, then pages. Page control 1 asks which bits MODE SELECT could change: none. */
uint32_t atapi_answer_mode_sense(const struct ide_drive *drive, uint8_t *reply, uint16_t *code)
{
    const uint8_t *packet = drive->atapi.packet;
    uint8_t page = packet[2] & 0x3f, control = packet[2] >> 6, *at = reply + 8;

    if (control == 3) {
        *code = ASC_NO_SAVED_PARAMETERS;
        return 0;
    }
    for (unsigned i = 0; i < ARRAY_LEN(mode_pages); i++) {
        if (page == mode_pages[i].code || page == 0x3f) {
            uint8_t *start = at;

            at = mode_pages[i].put(drive, at);
            if (control == 1) {
                memset(start + 2, 0, (size_t)(at - start) - 2);
            }
        }
    }
    if (at == reply + 8) {
        *code = ASC_INVALID_FIELD;
        return 0;
    }
    store_be16(reply, (uint32_t)(at - reply) - 2);
    reply[2] = drive->atapi.tray_open ? 0x71 : atapi_has_medium(drive) ? 0x01 : 0x70; /* medium type */
    return (uint32_t)(at - reply);
}

/* ---- raw sectors ---- */

enum { OFFSET_HEADER = 12, OFFSET_USER = 16, OFFSET_EDC = 2064, OFFSET_P = 2076, OFFSET_Q = 2248 };

/* CRC with the polynomial (x^16 + x^15 + x^2 + 1)(x^16 + x^2 + x + 1), least significant bit first. */
static uint32_t edc(const uint8_t *bytes, uint32_t length)
{
    uint32_t crc = 0;

    for (uint32_t i = 0; i < length; i++) {
        crc ^= bytes[i];
        for (unsigned bit = 0; bit < 8; bit++) {
            crc = crc >> 1 ^ (crc & 1 ? 0xd8018001 : 0);
        }
    }
    return crc;
}

/* Product in GF(2^8) with x^8 + x^4 + x^3 + x^2 + 1. */
static uint8_t gf_multiply(uint8_t a, uint8_t b)
{
    uint8_t product = 0;

    for (; b; b >>= 1) {
        product ^= b & 1 ? a : 0;
        a = (uint8_t)(a << 1 ^ (a & 0x80 ? 0x1d : 0));
    }
    return product;
}

/*
 * The two parity bytes of a Reed-Solomon vector of `length` bytes, the k-th at bytes[(start + k * step) % size]. They are
 * what makes both the sum of all bytes and their sum weighted with falling powers of the generator 2 zero:
 *     p0 + p1 = sum,  2 p0 + p1 = weighted sum   hence   p0 = (sum + weighted) / 3, and 1/3 is F4h
 */
static void ecc_vector(const uint8_t *bytes, uint32_t start, uint32_t step, uint32_t size, uint32_t length,
                       uint8_t *p0, uint8_t *p1)
{
    uint8_t sum = 0, weighted = 0;
    uint32_t at = start;

    for (uint32_t k = 0; k < length; k++) {
        sum ^= bytes[at];
        weighted = gf_multiply(weighted ^ bytes[at], 2);
        at += step;
        at -= at >= size ? size : 0;
    }
    weighted = gf_multiply(weighted, 2);
    *p0 = gf_multiply(sum ^ weighted, 0xf4);
    *p1 = sum ^ *p0;
}

/* P runs down the 86 columns of 24 bytes, Q along the 52 diagonals of 43, each 2-byte word in two halves. */
static void put_ecc(uint8_t *sector)
{
    uint8_t *p = sector + OFFSET_P, *q = sector + OFFSET_Q;

    for (uint32_t i = 0; i < 86; i++) {
        ecc_vector(sector + OFFSET_HEADER, i, 86, 24 * 86, 24, p + i, p + 86 + i);
    }
    for (uint32_t i = 0; i < 52; i++) {
        ecc_vector(sector + OFFSET_HEADER, i / 2 * 86 + i % 2, 88, 26 * 86, 43, q + i, q + 52 + i);
    }
}

static uint8_t bcd(uint8_t value)
{
    return (uint8_t)(value / 10 << 4 | value % 10);
}

static void make_raw_sector(uint8_t raw[ATAPI_SECTOR_RAW], const uint8_t *user, uint32_t lba)
{
    uint8_t address[4];

    memset(raw, 0, ATAPI_SECTOR_RAW);
    memset(raw + 1, 0xff, 10);
    put_address(address, true, lba);
    for (unsigned i = 0; i < 3; i++) {
        raw[OFFSET_HEADER + i] = bcd(address[1 + i]);
    }
    raw[OFFSET_HEADER + 3] = 1; /* mode */
    memcpy(raw + OFFSET_USER, user, ATAPI_SECTOR);
    store_le32(raw + OFFSET_EDC, edc(raw, OFFSET_EDC));
    put_ecc(raw);
}

/* Where each part, lowest bit first, lies in a raw sector. */
static const struct {
    uint16_t offset, size;
} part_layout[] = {{0, OFFSET_HEADER},
                   {OFFSET_HEADER, OFFSET_USER - OFFSET_HEADER},
                   {OFFSET_USER, ATAPI_SECTOR},
                   {OFFSET_EDC, ATAPI_SECTOR_RAW - OFFSET_EDC}};

uint32_t atapi_parts_size(uint8_t parts)
{
    uint32_t size = 0;

    for (unsigned i = 0; i < ARRAY_LEN(part_layout); i++) {
        size += parts & BIT(i) ? part_layout[i].size : 0;
    }
    return size;
}

static void copy_parts(uint8_t *to, const uint8_t *raw, uint8_t parts)
{
    for (unsigned i = 0; i < ARRAY_LEN(part_layout); i++) {
        if (parts & BIT(i)) {
            memcpy(to, raw + part_layout[i].offset, part_layout[i].size);
            to += part_layout[i].size;
        }
    }
}

/* Sectors that grow are moved last first, so that none is overwritten before its turn; those that shrink, first first. */
void atapi_expand_sectors(uint8_t *bytes, uint32_t count, uint32_t lba, uint8_t parts)
{
    uint32_t size = atapi_parts_size(parts);

    if (parts == ATAPI_PART_USER) {
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        uint32_t n = size > ATAPI_SECTOR ? count - 1 - i : i;
        uint8_t raw[ATAPI_SECTOR_RAW];

        make_raw_sector(raw, bytes + (size_t)n * ATAPI_SECTOR, lba + n);
        copy_parts(bytes + (size_t)n * size, raw, parts);
    }
}
