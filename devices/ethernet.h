/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Arithmetic that every Ethernet controller does in hardware: the frame check sequence and the Internet checksum.
 *
 * Source: IEEE 802.3, 3.2.9 "Frame Check Sequence field"; RFC 1071 "Computing the Internet Checksum"; for folding Intel's
 * paper "Fast CRC Computation for Generic Polynomials Using PCLMULQDQ Instruction".
 */
#ifndef DEVICES_ETHERNET_H
#define DEVICES_ETHERNET_H

#include "base/types.h"

enum { ETHERNET_FCS_SIZE = 4, ETHERNET_VLAN_TAG_SIZE = 4, ETHERNET_TYPE_OFFSET = 12 };
enum { ETHERNET_TYPE_IPV4 = 0x0800, ETHERNET_TYPE_VLAN = 0x8100, ETHERNET_TYPE_IPV6 = 0x86dd };

/* What the CRC is computed with. Each controller has its own, filled in when it is made. */
struct ethernet_crc {
    uint32_t table[8][256]; /* eight bytes at a time */
    bool folds;             /* the host multiplies polynomials: 64 bytes at a time */
    uint64_t fold512[2];    /* factors that move the low and the high half of 16 bytes 64 bytes on */
    uint64_t fold128[2];    /* and 16 bytes on */
};

void ethernet_crc_init(struct ethernet_crc *crc);
/* The FCS of these bytes, as the number whose little-endian bytes follow them on the wire. */
uint32_t ethernet_fcs(const struct ethernet_crc *crc, const uint8_t *bytes, size_t count);
/* The CRC register after a destination address as controllers use it for multicast hashing: bit 31 is the first. */
uint32_t ethernet_address_crc(const struct ethernet_crc *crc, const uint8_t mac[6]);

/* The one's complement sum of big-endian 16-bit words (an odd last byte is padded with zero), folded, not
 * complemented. */
uint16_t ethernet_sum(const uint8_t *bytes, size_t count);
/* One's complement addition of two such sums. */
uint16_t ethernet_sum_add(uint16_t a, uint16_t b);

static inline uint16_t load_be16(const void *p)
{
    return __builtin_bswap16(load_le16(p));
}

static inline uint32_t load_be32(const void *p)
{
    return __builtin_bswap32(load_le32(p));
}

static inline void store_be16(void *p, uint16_t v)
{
    store_le16(p, __builtin_bswap16(v));
}

static inline void store_be32(void *p, uint32_t v)
{
    store_le32(p, __builtin_bswap32(v));
}

#endif
