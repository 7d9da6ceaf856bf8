/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Kernels whose work is memory: sorting, the sieve of Eratosthenes, pointer chases within and beyond the
 * caches, streams, and the repeated string instructions, long and short. Here an engine shows what a guest
 * load and a guest store cost.
 *
 * Arrays that are used together lie an odd number of pages off a power of two from one another. At a power of
 * two their pages would share an entry in a directly mapped software TLB, and the kernels would measure that.
 */
#include "hbench.h"

enum {
    SORT_COUNT = 15000,
    SIEVE_SIZE = 200000,
    CHASE_NODES = 16384,            /* of 4 bytes: 64 KiB */
    CHASE_FAR_NODES = 8 << 20 >> 6, /* one in every 64 bytes of 8 MiB */
    CHASE_FAR_STEP = 16,            /* words from node to node */
    STREAM_WORDS = 256 * 1024,      /* of each of three arrays */
    PAGE_WORDS = PAGE_SIZE / 4,
    COPIES_AT = ARENA_SIZE / 2 + 37 * PAGE_SIZE,
    COPY_SIZE = 64 * 1024,
    COPIES = 128,
    SHORT_COPIES = 30000,
};

static void quicksort(uint32_t *a, int32_t low, int32_t high)
{
    while (low < high) {
        const uint32_t pivot = a[low + (high - low) / 2];
        int32_t i = low - 1, j = high + 1;

        for (;;) {
            do {
                i++;
            } while (a[i] < pivot);
            do {
                j--;
            } while (a[j] > pivot);
            if (i >= j) {
                break;
            }
            const uint32_t t = a[i];
            a[i] = a[j];
            a[j] = t;
        }
        quicksort(a, low, j);
        low = j + 1;
    }
}

uint32_t sort_pass(struct bench *b)
{
    uint32_t *a = (uint32_t *)b->arena;
    uint32_t state = 12345;

    for (uint32_t i = 0; i < SORT_COUNT; i++) {
        a[i] = next_random(&state) >> 4;
    }
    quicksort(a, 0, SORT_COUNT - 1);
    for (uint32_t i = 1; i < SORT_COUNT; i++) {
        if (a[i - 1] > a[i]) {
            return 0;
        }
    }
    return a[0] ^ a[SORT_COUNT / 2] ^ a[SORT_COUNT - 1];
}

uint32_t sieve_pass(struct bench *b)
{
    uint8_t *composite = b->arena;
    uint32_t primes = 0;

    for (uint32_t i = 0; i < SIEVE_SIZE; i++) {
        composite[i] = 0;
    }
    for (uint32_t i = 2; i < SIEVE_SIZE; i++) {
        if (!composite[i]) {
            primes++;
            for (uint32_t j = i + i; j < SIEVE_SIZE; j += i) {
                composite[j] = 1;
            }
        }
    }
    return primes;
}

/* One cycle through all nodes in random order (Sattolo's shuffle); a node holds the next one's index. */
static void link_nodes(uint32_t *words, uint32_t nodes, uint32_t step)
{
    uint32_t state = 99;

    for (uint32_t i = 0; i < nodes; i++) {
        words[i * step] = i * step;
    }
    for (uint32_t i = nodes - 1; i > 0; i--) {
        const uint32_t j = (uint32_t)((uint64_t)next_random(&state) * i >> 32);
        const uint32_t t = words[i * step];

        words[i * step] = words[j * step];
        words[j * step] = t;
    }
}

static uint32_t follow(const uint32_t *words, uint32_t steps)
{
    uint32_t at = 0;

    while (steps--) {
        at = words[at];
    }
    return at;
}

void chase_prepare(struct bench *b)
{
    link_nodes((uint32_t *)b->arena, CHASE_NODES, 1);
}

uint32_t chase_pass(struct bench *b)
{
    return follow((const uint32_t *)b->arena, 300000);
}

void chase_far_prepare(struct bench *b)
{
    link_nodes((uint32_t *)b->arena, CHASE_FAR_NODES, CHASE_FAR_STEP);
}

uint32_t chase_far_pass(struct bench *b)
{
    return follow((const uint32_t *)b->arena, 40000);
}

uint32_t stream_pass(struct bench *b)
{
    uint32_t *x = (uint32_t *)b->arena, *y = x + STREAM_WORDS + 7 * PAGE_WORDS;
    uint32_t *z = y + STREAM_WORDS + 13 * PAGE_WORDS;
    uint32_t sum = 0;

    for (uint32_t i = 0; i < STREAM_WORDS; i++) {
        y[i] = i;
    }
    KEEP();
    for (uint32_t i = 0; i < STREAM_WORDS; i++) {
        z[i] = y[i] ^ 0x55;
    }
    KEEP();
    for (uint32_t i = 0; i < STREAM_WORDS; i++) {
        x[i] = y[i] + 3 * z[i];
    }
    KEEP();
    for (uint32_t i = 0; i < STREAM_WORDS; i++) {
        sum += x[i];
    }
    return sum;
}

uint32_t rep_movs_pass(struct bench *b)
{
    uint8_t *copies = b->arena + COPIES_AT;

    for (uint32_t i = 0; i < COPIES; i++) {
        const uint8_t *from = b->arena + i * 64;
        uint8_t *to = copies + (i & 3) * COPY_SIZE;
        uint32_t count = COPY_SIZE / 4;

        __asm__ volatile("rep movsl" : "+D"(to), "+S"(from), "+c"(count) : : "memory");
    }
    return hash_bytes(HASH_START, copies + COPY_SIZE - 256, 256);
}

uint32_t rep_stos_pass(struct bench *b)
{
    for (uint32_t i = 0; i < COPIES; i++) {
        uint8_t *to = b->arena + (i & 15) * COPY_SIZE;
        uint32_t count = COPY_SIZE / 4;

        __asm__ volatile("rep stosl" : "+D"(to), "+c"(count) : "a"(i * 0x01010101u) : "memory");
    }
    return hash_bytes(HASH_START, b->arena + COPY_SIZE - 256, 512);
}

/* Bytes instead of doublewords: some processors, and some emulators, do not treat them alike. */
uint32_t rep_stosb_pass(struct bench *b)
{
    for (uint32_t i = 0; i < COPIES; i++) {
        uint8_t *to = b->arena + (i & 15) * COPY_SIZE;
        uint32_t count = COPY_SIZE;

        __asm__ volatile("rep stosb" : "+D"(to), "+c"(count) : "a"(i) : "memory");
    }
    return hash_bytes(HASH_START, b->arena + COPY_SIZE - 256, 512);
}

/* What string functions do most: 1 to 64 bytes at every alignment. */
uint32_t rep_short_pass(struct bench *b)
{
    uint8_t *copies = b->arena + COPIES_AT;

    for (uint32_t i = 0; i < SHORT_COPIES; i++) {
        const uint8_t *from = b->arena + (i & 0x3fff);
        uint8_t *to = copies + (i * 7 & 0x3fff);
        uint32_t count = 1 + (i & 63);

        __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(count) : : "memory");
    }
    return hash_bytes(HASH_START, copies, 4096);
}
