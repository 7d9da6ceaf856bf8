/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Frame check sequences and Internet checksums. See devices/ethernet.h.
 *
 * The CRC works in the reflected form (least significant bit first, as bits travel on the wire). table[0] advances
 * the register by one byte; table[k] by that byte followed by k zero bytes, so that eight bytes, each through its own
 * table, are one step.
 */
#include "devices/ethernet.h"

#define CRC_POLYNOMIAL 0xedb88320u /* 04C11DB7h, bits reversed */

void ethernet_crc_init(struct ethernet_crc *crc)
{
    for (unsigned byte = 0; byte < 256; byte++) {
        uint32_t value = byte;

        for (unsigned bit = 0; bit < 8; bit++) {
            value = value & 1 ? value >> 1 ^ CRC_POLYNOMIAL : value >> 1;
        }
        crc->table[0][byte] = value;
    }
    for (unsigned k = 1; k < 8; k++) {
        for (unsigned byte = 0; byte < 256; byte++) {
            uint32_t value = crc->table[k - 1][byte];

            crc->table[k][byte] = value >> 8 ^ crc->table[0][value & 0xff];
        }
    }
}

uint32_t ethernet_fcs(const struct ethernet_crc *crc, const uint8_t *bytes, size_t count)
{
    uint32_t value = UINT32_MAX;

    for (; count >= 8; bytes += 8, count -= 8) {
        uint64_t eight = load_le64(bytes) ^ value;

        value = 0;
        for (unsigned i = 0; i < 8; i++) {
            value ^= crc->table[7 - i][eight >> (8 * i) & 0xff];
        }
    }
    while (count--) {
        value = value >> 8 ^ crc->table[0][(value ^ *bytes++) & 0xff];
    }
    return ~value;
}

uint32_t ethernet_address_crc(const struct ethernet_crc *crc, const uint8_t mac[6])
{
    uint32_t reflected = ~ethernet_fcs(crc, mac, 6);
    uint32_t value = 0;

    for (unsigned bit = 0; bit < 32; bit++) {
        value |= (reflected >> bit & 1) << (31 - bit);
    }
    return value;
}

static uint16_t fold(uint64_t sum)
{
    while (sum >> 16) {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    return (uint16_t)sum;
}

/* A one's complement sum does not care about byte order until the end: 32-bit words are added as the host loads them. */
uint16_t ethernet_sum(const uint8_t *bytes, size_t count)
{
    uint64_t sum = 0;

    for (; count >= 4; bytes += 4, count -= 4) {
        sum += load_le32(bytes);
    }
    if (count >= 2) {
        sum += load_le16(bytes);
        bytes += 2;
        count -= 2;
    }
    if (count) {
        sum += *bytes;
    }
    return __builtin_bswap16(fold(sum));
}

uint16_t ethernet_sum_add(uint16_t a, uint16_t b)
{
    return fold((uint64_t)a + b);
}
