/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Kernel files made to order for loader tests: Linux images and ELF files with Multiboot headers. They
 * contain a recognisable pattern where code would be; byte i of a pattern is pattern_byte(i).
 */
#ifndef TESTS_LOADER_KERNELS_H
#define TESTS_LOADER_KERNELS_H

#include "base/types.h"

static inline uint8_t pattern_byte(size_t i)
{
    return (uint8_t)(i * 7 + (i >> 8) + 1);
}

/* True when bytes[0..size) is the pattern from its index `first` on. */
bool is_pattern(const uint8_t *bytes, size_t first, size_t size);

/* A bzImage of boot protocol 2.15 as Debian's i386 kernels are: (4 + 1) * 512 bytes of setup, then
 * BZIMAGE_CODE bytes of pattern. The caller changes fields as it likes, and frees it. */
enum {
    BZIMAGE_SETUP = 5 * 512,
    BZIMAGE_CODE = 6000,
    BZIMAGE_SIZE = BZIMAGE_SETUP + BZIMAGE_CODE,
    BZIMAGE_INIT_SIZE = 0x300000,
};
uint8_t *make_bzimage(void);

/*
 * An ELF32 kernel:
 *
 *   0     ELF header, two program headers, padding
 *   100h  room for headers: the first bytes of segment 1 (address 100000h, 400h bytes in file and memory)
 *   500h  segment 2: address 101000h, 200h bytes in the file, 1200h in memory
 *   700h  .strtab, 10h bytes, then 4 section headers: none, .text, .symtab (over segment 2's bytes), .strtab
 *
 * The entry point is 100010h.
 */
enum {
    ELF_SEGMENT1 = 0x100,
    ELF_SEGMENT2 = 0x500,
    ELF_STRTAB = 0x700,
    ELF_SECTIONS = 0x710,
    ELF_SIZE = ELF_SECTIONS + 4 * 40,
    ELF_ENTRY = 0x100010,
    ELF_HEADER_PLACE = 0x200, /* where tests put Multiboot headers: pattern otherwise */
};
uint8_t *make_elf(void);

/* Put a Multiboot 1 header without address fields at `at`. */
void put_multiboot1(uint8_t *file, size_t at, uint32_t flags);
/* Put a Multiboot 2 header whose tags (an end tag is added) are given. */
void put_multiboot2(uint8_t *file, size_t at, const void *tags, size_t size);

#endif
