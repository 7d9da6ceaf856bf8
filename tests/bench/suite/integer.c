/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Kernels that live in the integer registers: arithmetic, branches that no predictor learns, direct and
 * indirect calls, a byte-code loop (one indirect jump for each step), recursion, division. Their memory fits
 * into the first-level cache, so that an engine's cost for arithmetic and control flow stands alone.
 */
#include "hbench.h"

uint32_t integer_pass(struct bench *b)
{
    uint32_t x = 2463534242u, sum = 0;

    (void)b;
    for (uint32_t i = 0; i < 400000; i++) {
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        sum = (sum << 7 | sum >> 25) + x * 2654435761u - i;
    }
    return sum;
}

void bytes_prepare(struct bench *b)
{
    uint32_t state = 1;

    for (uint32_t i = 0; i < ARENA_SIZE / 4; i++) {
        b->arena[i] = (uint8_t)(next_random(&state) >> 24);
    }
}

uint32_t branchy_pass(struct bench *b)
{
    uint32_t low = 0, odd = 0, rises = 0, mixed = 1;
    uint8_t before = 0;

    for (uint32_t i = 0; i < 150000; i++) {
        const uint8_t byte = b->arena[i & 0xffff];

        if (byte < 64) {
            low++;
            KEEP();
        } else if (byte & 1) {
            odd += low;
            KEEP();
        } else {
            mixed = mixed * 5 + odd;
            KEEP();
        }
        if (byte > before) {
            rises++;
            KEEP();
        }
        before = byte;
    }
    return low ^ odd << 3 ^ rises << 16 ^ mixed;
}

NOINLINE static uint32_t call_leaf(uint32_t x, uint32_t y)
{
    KEEP();
    return x + (y ^ x >> 3);
}

NOINLINE static uint32_t call_middle(uint32_t x, uint32_t y)
{
    KEEP();
    return call_leaf(x, y) + call_leaf(y, x);
}

uint32_t call_pass(struct bench *b)
{
    uint32_t x = 1;

    (void)b;
    for (uint32_t i = 0; i < 150000; i++) {
        x = call_middle(x, i) * 3;
    }
    return x;
}

NOINLINE static uint32_t act_add(uint32_t x)
{
    return x + 0x9e3779b9u;
}

NOINLINE static uint32_t act_xor(uint32_t x)
{
    return x ^ 0x5bd1e995u;
}

NOINLINE static uint32_t act_rotate(uint32_t x)
{
    return x << 9 | x >> 23;
}

NOINLINE static uint32_t act_multiply(uint32_t x)
{
    return x * 69069u;
}

NOINLINE static uint32_t act_shift(uint32_t x)
{
    return x ^ x >> 15;
}

NOINLINE static uint32_t act_negate(uint32_t x)
{
    return ~x;
}

NOINLINE static uint32_t act_swap(uint32_t x)
{
    return x >> 16 | x << 16;
}

NOINLINE static uint32_t act_subtract(uint32_t x)
{
    return x - (x >> 5);
}

typedef uint32_t action(uint32_t x);

uint32_t indirect_pass(struct bench *b)
{
    static action *const actions[8] = {act_add,   act_xor,    act_rotate, act_multiply,
                                       act_shift, act_negate, act_swap,   act_subtract};
    uint32_t x = 1;

    for (uint32_t i = 0; i < 150000; i++) {
        x = actions[b->arena[i & 0xfff] & 7](x);
    }
    return x;
}

/* A machine with three registers and a store of 256 bytes behind the program. */
uint32_t dispatch_pass(struct bench *b)
{
    const uint8_t *program = b->arena;
    uint8_t store[256] = {0};
    uint32_t r = 1, s = 2, t = 3;

    for (uint32_t step = 0; step < 200000; step++) {
        const uint8_t code = program[step & 0x7ff];

        switch (code & 15) {
        case 0:
            r += s;
            break;
        case 1:
            s ^= t;
            break;
        case 2:
            t += r >> 3;
            break;
        case 3:
            r = r * 5 + 1;
            break;
        case 4:
            s -= r;
            break;
        case 5:
            t ^= s << 2;
            break;
        case 6:
            r += store[t & 255];
            break;
        case 7:
            store[s & 255] = (uint8_t)r;
            break;
        case 8:
            s = ~s;
            break;
        case 9:
            t = t << 11 | t >> 21;
            break;
        case 10:
            r |= code;
            break;
        case 11:
            s += store[code];
            break;
        case 12:
            store[code] ^= (uint8_t)t;
            break;
        case 13:
            t -= code;
            break;
        case 14:
            r ^= r >> 7;
            break;
        default:
            s = s * 3 + code;
            break;
        }
    }
    return r ^ s ^ t;
}

NOINLINE static uint32_t fibonacci(uint32_t n)
{
    KEEP();
    return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2);
}

uint32_t recursion_pass(struct bench *b)
{
    (void)b;
    return fibonacci(26);
}

/* Unsigned 32 and signed 32 bits, and 64 by 32 bits as long-hand division uses it. */
uint32_t division_pass(struct bench *b)
{
    uint32_t state = 7, sum = 0;

    (void)b;
    for (uint32_t i = 0; i < 60000; i++) {
        const uint32_t x = next_random(&state), y = (x >> 20 | 1) + i % 1000;
        const int32_t z = (int32_t)(next_random(&state) >> 8 | 1);
        uint64_t wide = (uint64_t)x << 32 | sum;

        sum += x / y ^ x % y;
        sum += (uint32_t)((int32_t)x / z);
        sum += divide(&wide, y) + (uint32_t)wide;
    }
    return sum;
}

/* mov eax, imm32; ret */
enum { MOV_EAX = 0xb8, RET = 0xc3, REWRITES = 1000 };

void smc_prepare(struct bench *b)
{
    const int32_t error = bench_call(b, SYS_mprotect, (uint32_t)b->arena, PAGE_SIZE, 7);

    if (error < 0) {
        fail("mprotect", error);
    }
}

void smc_finish(struct bench *b)
{
    bench_call(b, SYS_mprotect, (uint32_t)b->arena, PAGE_SIZE, 3);
}

/* A function of two instructions that is written anew before every call, as a compiler at run time does. */
uint32_t smc_pass(struct bench *b)
{
    uint8_t *code = b->arena;
    uint32_t sum = 0;

    code[0] = MOV_EAX;
    code[5] = RET;
    for (uint32_t i = 0; i < REWRITES; i++) {
        uint32_t result;

        *(volatile uint32_t *)(code + 1) = i * 0x9e3779b9u;
        __asm__ volatile("call *%1" : "=a"(result) : "r"(code) : "memory", "cc");
        sum = sum * 31 + result;
    }
    return sum;
}
