/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Frame check sequences, by each way of computing them, and Internet checksums.
 */
#include <criterion/criterion.h>

#include "devices/ethernet.h"

/* As IEEE 802.3 describes it: a bit at a time. */
static uint32_t fcs_by_bits(const uint8_t *bytes, size_t count)
{
    uint32_t value = UINT32_MAX;

    for (size_t i = 0; i < count; i++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            uint32_t out = (value ^ bytes[i] >> bit) & 1;
            value = value >> 1 ^ (out ? 0xedb88320u : 0);
        }
    }
    return ~value;
}

Test(ethernet, the_fcs_of_nine_digits_is_the_one_in_the_books)
{
    struct ethernet_crc crc;
    ethernet_crc_init(&crc);
    cr_assert_eq(ethernet_fcs(&crc, (const uint8_t *)"123456789", 9), 0xcbf43926);
}

Test(ethernet, the_fcs_is_right_for_every_length_and_alignment)
{
    struct ethernet_crc crc;
    uint8_t bytes[600];
    ethernet_crc_init(&crc);
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (uint8_t)(i * i * 29 >> 3);
    }
    for (unsigned folds = 0; folds <= crc.folds; folds++) {
        crc.folds = folds;
        for (size_t count = 0; count <= 580; count++) {
            const uint8_t *at = bytes + count % 17;
            cr_assert_eq(ethernet_fcs(&crc, at, count), fcs_by_bits(at, count), "%zu bytes, folds %u", count,
                         folds);
        }
    }
}

Test(ethernet, a_checksum_is_the_folded_sum_of_big_endian_words)
{
    uint8_t bytes[1501];
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (uint8_t)(0xff - i % 7);
    }
    for (size_t count = 0; count <= sizeof(bytes); count++) {
        uint64_t sum = 0;
        for (size_t i = 0; i < count; i++) {
            sum += i % 2 ? bytes[i] : (uint64_t)bytes[i] << 8;
        }
        while (sum >> 16) {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        cr_assert_eq(ethernet_sum(bytes, count), sum, "%zu bytes", count);
    }
}
