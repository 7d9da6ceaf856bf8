/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Frame check sequences and Internet checksums. See devices/ethernet.h.
 *
 * The CRC works in the reflected form (least significant bit first, as bits travel on the wire). table[0] advances
 * the register by one byte; table[k] by that byte followed by k zero bytes, so that eight bytes, each through its own
 * table, are one step.
 *
 * Long runs are folded first, where the host can: bits that lie n bits before the end count as their product with x^n, and x^n
 * may be reduced modulo the CRC's polynomial. So 16 bytes, as two polynomials of 64 bits, can be moved to where later ones lie and be
 * added to them, without carries:
 *
 *   | 16 bytes | 16 bytes | 16 bytes | 16 bytes | 16 bytes | ...        four at a time, each to the one 64 bytes on;
 *        |________________ * x^512 _________________^                   at last they become 16 bytes with the same CRC
 */
#include "devices/ethernet.h"

#include <immintrin.h>

#define CRC_POLYNOMIAL 0xedb88320u /* 04C11DB7h, bits reversed */

/* x^n modulo the polynomial, as a factor of reflected operands: their product lies one bit too low, hence the shift. */
static uint64_t fold_factor(unsigned n)
{
    uint32_t power = 1u << 31;

    while (n--) {
        power = power & 1 ? power >> 1 ^ CRC_POLYNOMIAL : power >> 1;
    }
    return (uint64_t)power << 1;
}

/* Of 16 bytes, the low half has 64 bits further to go than the high one. Products have 96 bits: 32 are gone already. */
static void fold_init(struct ethernet_crc *crc)
{
    crc->folds = __builtin_cpu_supports("pclmul");
    crc->fold512[0] = fold_factor(512 + 64 - 32);
    crc->fold512[1] = fold_factor(512 - 32);
    crc->fold128[0] = fold_factor(128 + 64 - 32);
    crc->fold128[1] = fold_factor(128 - 32);
}

__attribute__((target("pclmul"))) static __m128i fold_on(__m128i sum, __m128i factor, __m128i next)
{
    __m128i low = _mm_clmulepi64_si128(sum, factor, 0x00), high = _mm_clmulepi64_si128(sum, factor, 0x11);

    return _mm_xor_si128(_mm_xor_si128(low, high), next);
}

/* Fold as many of the bytes as possible, 64 at least, to 16. Returns how many those were. */
__attribute__((target("pclmul"))) static size_t fold_bytes(const struct ethernet_crc *crc, uint32_t value,
                                                           const uint8_t *bytes, size_t count,
                                                           uint8_t folded[16])
{
    const __m128i *at = (const __m128i *)bytes;
    __m128i factor = _mm_loadu_si128((const __m128i *)crc->fold512), sum[4];

    for (unsigned i = 0; i < 4; i++) {
        sum[i] = _mm_loadu_si128(at++);
    }
    sum[0] = _mm_xor_si128(sum[0], _mm_cvtsi32_si128((int)value));
    for (count -= 64; count >= 64; count -= 64) {
        for (unsigned i = 0; i < 4; i++) {
            sum[i] = fold_on(sum[i], factor, _mm_loadu_si128(at++));
        }
    }
    factor = _mm_loadu_si128((const __m128i *)crc->fold128);
    for (unsigned i = 1; i < 4; i++) {
        sum[0] = fold_on(sum[0], factor, sum[i]);
    }
    for (; count >= 16; count -= 16) {
        sum[0] = fold_on(sum[0], factor, _mm_loadu_si128(at++));
    }
    _mm_storeu_si128((__m128i *)folded, sum[0]);
    return (size_t)((const uint8_t *)at - bytes);
}

void ethernet_crc_init(struct ethernet_crc *crc)
{
    fold_init(crc);
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

/* The CRC register after these bytes. */
static uint32_t crc_update(const struct ethernet_crc *crc, uint32_t value, const uint8_t *bytes, size_t count)
{
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
    return value;
}

uint32_t ethernet_fcs(const struct ethernet_crc *crc, const uint8_t *bytes, size_t count)
{
    uint32_t value = UINT32_MAX;
    uint8_t folded[16];

    if (crc->folds && count >= 64) {
        size_t done = fold_bytes(crc, value, bytes, count, folded);
        value = crc_update(crc, 0, folded, sizeof(folded));
        bytes += done;
        count -= done;
    }
    return ~crc_update(crc, value, bytes, count);
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
