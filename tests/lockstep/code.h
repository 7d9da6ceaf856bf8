/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Machine code by hand: bytes and little-endian numbers behind each other. What no longer fits is dropped.
 */
#ifndef TESTS_LOCKSTEP_CODE_H
#define TESTS_LOCKSTEP_CODE_H

#include "base/types.h"

struct code {
    uint8_t bytes[256];
    unsigned length;
};

static inline void code_put(struct code *code, uint32_t value, unsigned size)
{
    for (unsigned i = 0; i < size && code->length < sizeof(code->bytes); i++) {
        code->bytes[code->length++] = (uint8_t)(value >> 8 * i);
    }
}

static inline void code_bytes(struct code *code, const void *bytes, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        code_put(code, ((const uint8_t *)bytes)[i], 1);
    }
}

/* OP(code, 0x90, 0xc3): single bytes. */
#define OP(code, ...) code_bytes(code, (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

static inline void code_put32(struct code *code, uint32_t value)
{
    code_put(code, value, 4);
}

/* MOV r32, imm32 */
static inline void code_load(struct code *code, unsigned reg, uint32_t value)
{
    code_put(code, 0xb8 + reg, 1);
    code_put32(code, value);
}

#endif
