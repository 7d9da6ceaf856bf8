/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Hashing: CRC-32 (a table look-up for each byte; ITU-T V.42) and SHA-256 (rotations, and more live values
 * than an i386 has registers; FIPS 180-4). Both results are the true ones, without the final padding of
 * SHA-256.
 */
#include "hbench.h"

enum { CRC_SIZE = 128 * 1024, CRC_TABLE_AT = 8 << 20, SHA_BLOCKS = 1500 };

void crc32_prepare(struct bench *b)
{
    uint32_t *table = (uint32_t *)(b->arena + CRC_TABLE_AT);

    bytes_prepare(b);
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;

        for (uint32_t bit = 0; bit < 8; bit++) {
            c = c >> 1 ^ (c & 1 ? 0xedb88320u : 0);
        }
        table[i] = c;
    }
}

uint32_t crc32_pass(struct bench *b)
{
    const uint32_t *table = (const uint32_t *)(b->arena + CRC_TABLE_AT);
    uint32_t c = ~0u;

    for (uint32_t i = 0; i < CRC_SIZE; i++) {
        c = table[(c ^ b->arena[i]) & 255] ^ c >> 8;
    }
    return ~c;
}

static const uint32_t sha256_k[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static inline uint32_t rotate(uint32_t x, uint32_t count)
{
    return x >> count | x << (32 - count);
}

static void sha256_schedule(uint32_t w[64], const uint8_t *block)
{
    for (uint32_t i = 0; i < 16; i++, block += 4) {
        w[i] = (uint32_t)block[0] << 24 | (uint32_t)block[1] << 16 | (uint32_t)block[2] << 8 | block[3];
    }
    for (uint32_t i = 16; i < 64; i++) {
        const uint32_t s0 = rotate(w[i - 15], 7) ^ rotate(w[i - 15], 18) ^ w[i - 15] >> 3;
        const uint32_t s1 = rotate(w[i - 2], 17) ^ rotate(w[i - 2], 19) ^ w[i - 2] >> 10;

        w[i] = w[i - 16] + s0 + w[i - 7] + s1;
    }
}

static void sha256_block(uint32_t h[8], const uint8_t *block)
{
    uint32_t w[64];
    uint32_t a = h[0], b = h[1], c = h[2], d = h[3], e = h[4], f = h[5], g = h[6], k = h[7];

    sha256_schedule(w, block);
    for (uint32_t i = 0; i < 64; i++) {
        const uint32_t s1 = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25);
        const uint32_t t1 = k + s1 + ((e & f) ^ (~e & g)) + sha256_k[i] + w[i];
        const uint32_t s0 = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22);
        const uint32_t t2 = s0 + ((a & b) ^ (a & c) ^ (b & c));

        k = g, g = f, f = e, e = d + t1;
        d = c, c = b, b = a, a = t1 + t2;
    }
    h[0] += a, h[1] += b, h[2] += c, h[3] += d;
    h[4] += e, h[5] += f, h[6] += g, h[7] += k;
}

uint32_t sha256_pass(struct bench *b)
{
    uint32_t h[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                     0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

    for (uint32_t i = 0; i < SHA_BLOCKS; i++) {
        sha256_block(h, b->arena + i % 1024 * 64);
    }
    return h[0] ^ h[1] ^ h[2] ^ h[3] ^ h[4] ^ h[5] ^ h[6] ^ h[7];
}
