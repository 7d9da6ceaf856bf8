/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The layout of the files that hold guest memory, for their writer (snapshot_ram.c) and reader (snapshot_pages.c).
 * snapshot_ram.h draws it.
 */
#ifndef VM_SNAPSHOT_PAGES_H
#define VM_SNAPSHOT_PAGES_H

#include "vm/snapshot_ram.h"

enum { SNAPSHOT_MAGIC_SIZE = 8 };

/* What zstd may make of a chunk, at worst: ZSTD_compressBound() of it is less. */
#define SNAPSHOT_CHUNK_BOUND ((size_t)SNAPSHOT_CHUNK_PAGES * PAGE_SIZE + 16 * KIB)

extern const uint8_t snapshot_ram_magic[SNAPSHOT_MAGIC_SIZE];

/* A row of the index, as it lies in the file. */
struct snapshot_chunk {
    uint64_t offset;
    uint32_t length, pages;
    uint64_t checksum;
};

static inline uint64_t snapshot_place(unsigned file, uint64_t chunk, unsigned page)
{
    return (uint64_t)(file + 1) << 48 | chunk << 16 | page;
}

/* 0: zeros; else the file's number + 1. */
static inline unsigned snapshot_place_file(uint64_t place)
{
    return (unsigned)(place >> 48);
}

static inline uint64_t snapshot_place_chunk(uint64_t place)
{
    return bits_get(place, 47, 16);
}

static inline unsigned snapshot_place_page(uint64_t place)
{
    return (unsigned)(place & 0xffff);
}

static inline uint64_t snapshot_place_move(uint64_t place, unsigned file)
{
    return (place & BITS(47, 0)) | (uint64_t)(file + 1) << 48;
}

#endif
