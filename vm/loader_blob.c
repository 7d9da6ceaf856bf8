/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * See loader_blob.h. The buffer doubles, so that appending is linear in the final size.
 */
#include "vm/loader_blob.h"

#include <stdlib.h>

void blob_init(struct blob *blob)
{
    *blob = (struct blob){0};
}

void blob_fini(struct blob *blob)
{
    free(blob->bytes);
    *blob = (struct blob){0};
}

/* Make room for `size` more bytes. */
static bool blob_reserve(struct blob *blob, size_t size)
{
    if (blob->failed || size > SIZE_MAX / 4 - blob->size) {
        blob->failed = true;
        return false;
    }
    size_t needed = blob->size + size;
    if (needed <= blob->capacity) {
        return true;
    }
    size_t capacity = MAX(needed, 2 * blob->capacity);
    capacity = MAX(capacity, (size_t)256);
    uint8_t *bytes = realloc(blob->bytes, capacity);
    if (!bytes) {
        blob->failed = true;
        return false;
    }
    blob->bytes = bytes;
    blob->capacity = capacity;
    return true;
}

size_t blob_append(struct blob *blob, const void *bytes, size_t size)
{
    if (!blob_reserve(blob, size)) {
        return 0;
    }
    size_t offset = blob->size;
    if (size && bytes) {
        memcpy(blob->bytes + offset, bytes, size);
    } else if (size) {
        memset(blob->bytes + offset, 0, size);
    }
    blob->size += size;
    return offset;
}

size_t blob_append_u8(struct blob *blob, uint8_t value)
{
    return blob_append(blob, &value, sizeof(value));
}

size_t blob_append_u16(struct blob *blob, uint16_t value)
{
    return blob_append(blob, &value, sizeof(value));
}

size_t blob_append_u32(struct blob *blob, uint32_t value)
{
    return blob_append(blob, &value, sizeof(value));
}

size_t blob_append_u64(struct blob *blob, uint64_t value)
{
    return blob_append(blob, &value, sizeof(value));
}

size_t blob_append_string(struct blob *blob, const char *text)
{
    return blob_append(blob, text, strlen(text) + 1);
}

size_t blob_align(struct blob *blob, size_t alignment)
{
    blob_append(blob, NULL, ALIGN_UP(blob->size, alignment) - blob->size);
    return blob->size;
}

void blob_put_u8(struct blob *blob, size_t offset, uint8_t value)
{
    if (!blob->failed) {
        blob->bytes[offset] = value;
    }
}

void blob_put_u32(struct blob *blob, size_t offset, uint32_t value)
{
    if (!blob->failed) {
        store_le32(blob->bytes + offset, value);
    }
}

uint8_t blob_checksum(const uint8_t *bytes, size_t size)
{
    uint8_t sum = 0;
    for (size_t i = 0; i < size; i++) {
        sum += bytes[i];
    }
    return (uint8_t)-sum;
}
