/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A growing byte buffer for building tables and info blocks: append, align, patch by offset.
 *
 * Running out of memory sets `failed`; later appends are ignored, so that a builder checks once, at its end.
 * Offsets stay valid while the buffer grows, pointers into it do not. Numbers are little-endian, as the guest
 * reads them.
 */
#ifndef VM_LOADER_BLOB_H
#define VM_LOADER_BLOB_H

#include "base/types.h"

struct blob {
    uint8_t *bytes; /* owned; free with blob_fini() or hand on */
    size_t size, capacity;
    bool failed;
};

void blob_init(struct blob *blob);
void blob_fini(struct blob *blob);

/* Append `size` bytes, zeros when `bytes` is NULL. Returns the offset of the first, 0 after a failure. */
size_t blob_append(struct blob *blob, const void *bytes, size_t size);
size_t blob_append_u8(struct blob *blob, uint8_t value);
size_t blob_append_u16(struct blob *blob, uint16_t value);
size_t blob_append_u32(struct blob *blob, uint32_t value);
size_t blob_append_u64(struct blob *blob, uint64_t value);
/* The text with its NUL. */
size_t blob_append_string(struct blob *blob, const char *text);
/* Zeros up to a multiple of `alignment`, a power of two. Returns the new size. */
size_t blob_align(struct blob *blob, size_t alignment);

/* Overwrite what was appended earlier; ignored after a failure. */
void blob_put_u8(struct blob *blob, size_t offset, uint8_t value);
void blob_put_u32(struct blob *blob, size_t offset, uint32_t value);

/* The byte that makes the sum of bytes[0..size) zero modulo 256, given that it stands as 0 among them. */
uint8_t blob_checksum(const uint8_t *bytes, size_t size);

#endif
