/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Snapshot tables: every piece of guest-visible state is described once, by a table of fields, and that
 * table saves it, loads it, compares it, resets nothing, and prints `info <device>`.
 *
 *   static const struct snap_field i8254_fields[] = {
 *       SNAP_STRUCTS(struct i8254, channel, channel_fields, ...),
 *       SNAP_BOOL(struct i8254, speaker_gate),
 *   };
 *
 * A section in a stream is self-describing (name, version, then per field its name, kind, element size,
 * count and bytes), so that a difference can be named and a foreign or damaged stream refused. Loading
 * checks the whole section, ranges included, before the first byte of the object is touched. A field whose
 * values a device uses as an index or divisor carries its range here: that is the check hostile files meet.
 *
 * Numbers are little-endian. Streams are plain memory; files, compression and checksums are vm/'s.
 */
#ifndef BASE_SNAP_H
#define BASE_SNAP_H

#include <stdio.h>

#include "base/types.h"

struct error;

enum snap_kind {
    SNAP_KIND_UINT,   /* elements of `size` bytes (1, 2, 4, 8), each within [min, max] */
    SNAP_KIND_BOOL,   /* one byte, 0 or 1 */
    SNAP_KIND_BYTES,  /* `count` raw bytes, printed in hex */
    SNAP_KIND_STRUCT, /* `count` elements of `size` bytes, each described by `sub` */
    SNAP_KIND_TIMER,  /* a struct timer: its deadline */
};

struct snap_field {
    const char *name;
    enum snap_kind kind;
    uint32_t offset; /* in the object */
    uint32_t size;   /* of one element, bytes */
    uint32_t count;  /* elements */
    uint64_t min, max;
    const struct snap_field *sub; /* SNAP_KIND_STRUCT */
    uint32_t sub_count;
};

struct snap_desc {
    const char *name; /* of the section */
    uint32_t version; /* raised when the meaning of a field changes */
    const struct snap_field *fields;
    uint32_t field_count;
    /* Cross-field check and rebuilding of derived state after a load; NULL if none. The object holds the
     * loaded values. A failure means the whole VM that was being loaded is discarded. */
    int (*post_load)(void *object, struct error *error);
};

#define SNAP_ELEM_(type, member) (((type *)0)->member)
#define SNAP_UINT_(type, member, n, lo, hi)                                                                  \
    {                                                                                                        \
        .name = #member, .kind = SNAP_KIND_UINT, .offset = offsetof(type, member),                           \
        .size = sizeof(SNAP_ELEM_(type, member)) / (n), .count = (n), .min = (lo), .max = (hi)               \
    }
/* One unsigned integer, any value, or one in lo..hi. */
#define SNAP_UINT(type, member)          SNAP_UINT_(type, member, 1, 0, UINT64_MAX)
#define SNAP_RANGE(type, member, lo, hi) SNAP_UINT_(type, member, 1, lo, hi)
/* An array of n unsigned integers. */
#define SNAP_UINTS(type, member, n)          SNAP_UINT_(type, member, n, 0, UINT64_MAX)
#define SNAP_RANGES(type, member, n, lo, hi) SNAP_UINT_(type, member, n, lo, hi)
#define SNAP_BOOL(type, member)                                                                              \
    {                                                                                                        \
        .name = #member, .kind = SNAP_KIND_BOOL, .offset = offsetof(type, member), .size = 1, .count = 1,    \
        .max = 1                                                                                             \
    }
#define SNAP_BOOLS(type, member, n)                                                                          \
    {                                                                                                        \
        .name = #member, .kind = SNAP_KIND_BOOL, .offset = offsetof(type, member), .size = 1, .count = (n),  \
        .max = 1                                                                                             \
    }
/* A byte array member, whole. */
#define SNAP_BYTES(type, member)                                                                             \
    {                                                                                                        \
        .name = #member, .kind = SNAP_KIND_BYTES, .offset = offsetof(type, member), .size = 1,               \
        .count = sizeof(SNAP_ELEM_(type, member)), .max = UINT64_MAX                                         \
    }
/* An array of n structs described by the field array `subfields`. */
#define SNAP_STRUCTS(type, member, n, subfields)                                                             \
    {                                                                                                        \
        .name = #member, .kind = SNAP_KIND_STRUCT, .offset = offsetof(type, member),                         \
        .size = sizeof(SNAP_ELEM_(type, member)) / (n), .count = (n), .sub = (subfields),                    \
        .sub_count = ARRAY_LEN(subfields)                                                                    \
    }
#define SNAP_TIMER(type, member)                                                                             \
    {                                                                                                        \
        .name = #member, .kind = SNAP_KIND_TIMER, .offset = offsetof(type, member),                          \
        .size = sizeof(struct timer), .count = 1, .max = UINT64_MAX                                          \
    }
#define SNAP_FIELDS(array) .fields = (array), .field_count = ARRAY_LEN(array)

/* A growing byte buffer. `failed` is set when memory ran out or a bound was hit; later writes are ignored. */
struct snap_writer {
    uint8_t *data; /* owned; free with snap_writer_fini */
    size_t length, capacity;
    bool failed;
};

struct snap_reader {
    const uint8_t *data; /* not owned */
    size_t length, position;
};

void snap_writer_init(struct snap_writer *writer);
void snap_writer_fini(struct snap_writer *writer);
void snap_write(struct snap_writer *writer, const void *bytes, size_t count);

/* Append the section of `object`. */
void snap_save(struct snap_writer *writer, const struct snap_desc *desc, const void *object);
/* Load the section at the reader's position. -EINVAL names section and field; the object is untouched then
 * (unless post_load refused). */
int snap_load(struct snap_reader *reader, const struct snap_desc *desc, void *object, struct error *error);
/* One `name = value` line a field, nested ones as `member[i].name`. */
void snap_print(FILE *out, const struct snap_desc *desc, const void *object);
/* True when every described field of a and b is equal; else *difference (may be NULL) names the first. */
bool snap_equal(const struct snap_desc *desc, const void *a, const void *b, struct error *difference);

#endif
