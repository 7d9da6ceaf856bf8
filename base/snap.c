/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Saving, loading, comparing and printing objects by their field tables.
 *
 * The stream, all numbers little-endian:
 *
 *   section   u32 magic "SNAP" | string name | u32 version | u64 length of the body | body
 *   body      u32 number of fields | field ...
 *   field     string name | u8 kind | u32 size | u32 count | u64 length of the payload | payload
 *   string    u8 length | bytes
 *
 *   kind      size               payload
 *   UINT      1, 2, 4 or 8       count numbers
 *   BOOL      1                  count bytes, 0 or 1
 *   BYTES     1                  count bytes
 *   STRUCT    0                  count bodies: the layout of a C struct is nobody's business
 *   TIMER     8                  count deadlines
 *
 * Because everything is named and counted, a loader needs no knowledge of older tables to say what differs.
 * Because everything in a table is fixed, a stream that fits the table has exactly one legal length: the
 * bounds on what a hostile stream can make us allocate are trivial (nothing is allocated).
 */
#include "base/snap.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/error.h"

#define SECTION_MAGIC     0x50414e53u /* "SNAP" */
#define STRING_MAX        255u
#define WRITER_MAX_LENGTH (1 * GIB)
#define PRINT_MAX_BYTES   64u

/* Where we are in nested tables, for messages. Lives on the stack of the recursion. */
struct path {
    const struct path *parent;
    const char *name;
    uint32_t index;
    bool indexed;
};

struct path_text {
    char text[256];
};

static size_t path_append(const struct path *path, char *text, size_t used, size_t size)
{
    if (path->parent) {
        used = path_append(path->parent, text, used, size);
    }
    const char *dot = path->parent ? "." : "";
    int count = path->indexed ? snprintf(text + used, size - used, "%s%s[%u]", dot, path->name, path->index)
                              : snprintf(text + used, size - used, "%s%s", dot, path->name);
    return count < 0 ? used : MIN(used + (size_t)count, size - 1);
}

static struct path_text path_format(const struct path *path)
{
    struct path_text result = {{0}};
    path_append(path, result.text, 0, sizeof(result.text));
    return result;
}

/* An array element is named with its index, a lone member without. */
static struct path path_element(const struct path *parent, const struct snap_field *field, uint32_t index)
{
    bool indexed = field->count != 1 || field->kind == SNAP_KIND_STRUCT;
    return (struct path){.parent = parent, .name = field->name, .index = index, .indexed = indexed};
}

/* ---- Elements in memory -------------------------------------------------------------------------------- */

static const uint8_t *element_at(const struct snap_field *field, const void *object, uint32_t index)
{
    return (const uint8_t *)object + field->offset + (size_t)field->size * index;
}

static uint8_t *element_at_mutable(const struct snap_field *field, void *object, uint32_t index)
{
    return (uint8_t *)object + field->offset + (size_t)field->size * index;
}

/* Bytes an element takes in a stream; 0 for structs, whose length is the sum of their fields. */
static uint32_t stream_size(const struct snap_field *field)
{
    switch (field->kind) {
    case SNAP_KIND_STRUCT:
        return 0;
    case SNAP_KIND_TIMER:
        return sizeof(uint64_t);
    default:
        return field->size;
    }
}

/* Tables are ours, but a wrong count in one must not become a wild access. */
static bool field_is_sound(const struct snap_field *field)
{
    switch (field->kind) {
    case SNAP_KIND_UINT:
        return field->size == 1 || field->size == 2 || field->size == 4 || field->size == 8;
    case SNAP_KIND_BOOL:
    case SNAP_KIND_BYTES:
        return field->size == 1;
    case SNAP_KIND_STRUCT:
        return field->sub != NULL;
    case SNAP_KIND_TIMER:
        return field->size == sizeof(struct timer);
    }
    return false;
}

static uint64_t load_number(const uint8_t *bytes, uint32_t size)
{
    uint64_t value = 0;
    memcpy(&value, bytes, size);
    return value;
}

/* The value of a UINT, BOOL or TIMER element of an object. */
static uint64_t element_value(const struct snap_field *field, const void *object, uint32_t index)
{
    const uint8_t *element = element_at(field, object, index);
    if (field->kind == SNAP_KIND_TIMER) {
        return load_number(element + offsetof(struct timer, deadline), sizeof(uint64_t));
    }
    return load_number(element, field->size);
}

/* ---- Writing ------------------------------------------------------------------------------------------- */

void snap_writer_init(struct snap_writer *writer)
{
    *writer = (struct snap_writer){0};
}

void snap_writer_fini(struct snap_writer *writer)
{
    free(writer->data);
    *writer = (struct snap_writer){0};
}

static bool writer_reserve(struct snap_writer *writer, size_t count)
{
    if (writer->failed || count > WRITER_MAX_LENGTH - writer->length) {
        writer->failed = true;
        return false;
    }
    size_t needed = writer->length + count;
    if (needed > writer->capacity) {
        size_t capacity = MAX(needed, MAX(writer->capacity * 2, (size_t)4096));
        uint8_t *data = realloc(writer->data, capacity);
        if (!data) {
            writer->failed = true;
            return false;
        }
        writer->data = data;
        writer->capacity = capacity;
    }
    return true;
}

void snap_write(struct snap_writer *writer, const void *bytes, size_t count)
{
    if (count && writer_reserve(writer, count)) {
        memcpy(writer->data + writer->length, bytes, count);
        writer->length += count;
    }
}

static void write_number(struct snap_writer *writer, uint64_t value, size_t size)
{
    snap_write(writer, &value, size);
}

static void write_string(struct snap_writer *writer, const char *string)
{
    size_t length = strlen(string);
    if (length > STRING_MAX) {
        writer->failed = true;
        return;
    }
    write_number(writer, length, 1);
    snap_write(writer, string, length);
}

/* A length that is known only when what it counts has been written: leave room, fill in later. */
static size_t write_length_later(struct snap_writer *writer)
{
    write_number(writer, 0, 8);
    return writer->length;
}

static void fill_in_length(struct snap_writer *writer, size_t start)
{
    if (!writer->failed) {
        store_le64(writer->data + start - 8, writer->length - start);
    }
}

static void save_body(struct snap_writer *writer, const struct snap_field *fields, uint32_t field_count,
                      const void *object);

static void save_field(struct snap_writer *writer, const struct snap_field *field, const void *object)
{
    if (!field_is_sound(field)) {
        writer->failed = true;
        return;
    }
    write_string(writer, field->name);
    write_number(writer, field->kind, 1);
    write_number(writer, stream_size(field), 4);
    write_number(writer, field->count, 4);
    size_t start = write_length_later(writer);
    if (field->kind == SNAP_KIND_BYTES) {
        snap_write(writer, element_at(field, object, 0), field->count);
    } else if (field->kind == SNAP_KIND_STRUCT) {
        for (uint32_t i = 0; i < field->count; i++) {
            save_body(writer, field->sub, field->sub_count, element_at(field, object, i));
        }
    } else {
        for (uint32_t i = 0; i < field->count; i++) {
            write_number(writer, element_value(field, object, i), stream_size(field));
        }
    }
    fill_in_length(writer, start);
}

static void save_body(struct snap_writer *writer, const struct snap_field *fields, uint32_t field_count,
                      const void *object)
{
    write_number(writer, field_count, 4);
    for (uint32_t i = 0; i < field_count; i++) {
        save_field(writer, &fields[i], object);
    }
}

void snap_save(struct snap_writer *writer, const struct snap_desc *desc, const void *object)
{
    write_number(writer, SECTION_MAGIC, 4);
    write_string(writer, desc->name);
    write_number(writer, desc->version, 4);
    size_t start = write_length_later(writer);
    save_body(writer, desc->fields, desc->field_count, object);
    fill_in_length(writer, start);
}

/* ---- Reading: first pass, check everything ------------------------------------------------------------- */

static size_t reader_left(const struct snap_reader *reader)
{
    return reader->position > reader->length ? 0 : reader->length - reader->position;
}

static bool read_number(struct snap_reader *reader, uint32_t size, uint64_t *value)
{
    TRY(size <= reader_left(reader));
    *value = load_number(reader->data + reader->position, size);
    reader->position += size;
    return true;
}

static bool read_string(struct snap_reader *reader, char string[STRING_MAX + 1], size_t *length)
{
    uint64_t count;
    TRY(read_number(reader, 1, &count) && count <= reader_left(reader));
    memcpy(string, reader->data + reader->position, count);
    string[count] = '\0';
    reader->position += count;
    *length = count;
    return true;
}

static int refuse_end(const struct path *path, struct error *error)
{
    return error_set(error, -EINVAL, "%s: the data ends early", path_format(path).text);
}

static int check_number(struct snap_reader *reader, const struct path *path, const char *what, uint32_t size,
                        uint64_t expected, struct error *error)
{
    uint64_t value;
    if (!read_number(reader, size, &value)) {
        return refuse_end(path, error);
    }
    if (value != expected) {
        return error_set(error, -EINVAL, "%s: %s is %" PRIu64 ", not %" PRIu64, path_format(path).text, what,
                         value, expected);
    }
    return 0;
}

static int check_string(struct snap_reader *reader, const struct path *path, const char *what,
                        const char *expected, struct error *error)
{
    char string[STRING_MAX + 1];
    size_t length;
    if (!read_string(reader, string, &length)) {
        return refuse_end(path, error);
    }
    /* The length too: a NUL byte inside the string must not hide what follows it. */
    if (length != strlen(expected) || strcmp(string, expected) != 0) {
        return error_set(error, -EINVAL, "%s: expected %s '%s', found '%s'", path_format(path).text, what,
                         expected, string);
    }
    return 0;
}

static int check_element(struct snap_reader *reader, const struct path *path, const struct snap_field *field,
                         struct error *error)
{
    uint64_t value;
    if (!read_number(reader, stream_size(field), &value)) {
        return refuse_end(path, error);
    }
    uint64_t min = field->kind == SNAP_KIND_BOOL ? 0 : field->min;
    uint64_t max = field->kind == SNAP_KIND_BOOL ? 1 : field->max;
    if (value < min || value > max) {
        return error_set(error, -EINVAL, "%s: %" PRIu64 " is not within %" PRIu64 "..%" PRIu64,
                         path_format(path).text, value, min, max);
    }
    return 0;
}

static int check_body(struct snap_reader *reader, const struct path *path, const struct snap_field *fields,
                      uint32_t field_count, struct error *error);

static int check_payload(struct snap_reader *reader, const struct path *path, const struct snap_field *field,
                         struct error *error)
{
    if (field->kind == SNAP_KIND_BYTES) {
        if (field->count > reader_left(reader)) {
            return refuse_end(path, error);
        }
        reader->position += field->count;
        return 0;
    }
    for (uint32_t i = 0; i < field->count; i++) {
        struct path element = path_element(path->parent, field, i);
        int rc = field->kind == SNAP_KIND_STRUCT
                     ? check_body(reader, &element, field->sub, field->sub_count, error)
                     : check_element(reader, &element, field, error);
        if (rc) {
            return rc;
        }
    }
    return 0;
}

static int check_field(struct snap_reader *reader, const struct path *parent, const struct snap_field *field,
                       struct error *error)
{
    struct path path = {.parent = parent, .name = field->name};
    if (!field_is_sound(field)) {
        return error_set(error, -EINVAL, "%s: the field table is wrong", path_format(&path).text);
    }
    int rc = check_string(reader, parent, "field", field->name, error);
    rc = rc ? rc : check_number(reader, &path, "kind", 1, field->kind, error);
    rc = rc ? rc : check_number(reader, &path, "element size", 4, stream_size(field), error);
    rc = rc ? rc : check_number(reader, &path, "count", 4, field->count, error);
    uint64_t length = 0;
    if (!rc && !read_number(reader, 8, &length)) {
        rc = refuse_end(&path, error);
    }
    if (rc) {
        return rc;
    }
    size_t start = reader->position;
    rc = check_payload(reader, &path, field, error);
    if (!rc && reader->position - start != length) {
        rc = error_set(error, -EINVAL, "%s: payload length is %" PRIu64 ", not %zu", path_format(&path).text,
                       length, reader->position - start);
    }
    return rc;
}

static int check_body(struct snap_reader *reader, const struct path *path, const struct snap_field *fields,
                      uint32_t field_count, struct error *error)
{
    int rc = check_number(reader, path, "number of fields", 4, field_count, error);
    for (uint32_t i = 0; i < field_count && !rc; i++) {
        rc = check_field(reader, path, &fields[i], error);
    }
    return rc;
}

/* On success the reader stands behind the section and *body at its body. */
static int check_section(struct snap_reader *reader, const struct snap_desc *desc, size_t *body,
                         struct error *error)
{
    struct path path = {.name = desc->name};
    uint64_t length = 0;
    int rc = check_number(reader, &path, "section mark", 4, SECTION_MAGIC, error);
    rc = rc ? rc : check_string(reader, &path, "section", desc->name, error);
    rc = rc ? rc : check_number(reader, &path, "version", 4, desc->version, error);
    if (!rc && !read_number(reader, 8, &length)) {
        rc = refuse_end(&path, error);
    }
    if (rc) {
        return rc;
    }
    *body = reader->position;
    rc = check_body(reader, &path, desc->fields, desc->field_count, error);
    if (!rc && reader->position - *body != length) {
        rc = error_set(error, -EINVAL, "%s: section length is %" PRIu64 ", not %zu", desc->name, length,
                       reader->position - *body);
    }
    return rc;
}

/* ---- Reading: second pass, apply what was found good --------------------------------------------------- */

static void apply_body(struct snap_reader *reader, const struct snap_field *fields, uint32_t field_count,
                       void *object);

/* What is equal already is not written: a large buffer that nobody has used takes no memory of the host's. */
static void copy_changed(uint8_t *to, const uint8_t *from, size_t count)
{
    for (size_t done = 0; done < count; done += PAGE_SIZE) {
        size_t piece = MIN(count - done, (size_t)PAGE_SIZE);
        if (memcmp(to + done, from + done, piece) != 0) {
            memcpy(to + done, from + done, piece);
        }
    }
}

static void apply_element(struct snap_reader *reader, const struct snap_field *field, uint8_t *element)
{
    if (field->kind == SNAP_KIND_STRUCT) {
        apply_body(reader, field->sub, field->sub_count, element);
        return;
    }
    const uint8_t *bytes = reader->data + reader->position;
    reader->position += stream_size(field);
    if (field->kind == SNAP_KIND_TIMER) {
        timer_arm((struct timer *)(void *)element, load_le64(bytes));
    } else {
        memcpy(element, bytes, field->size);
    }
}

static void apply_body(struct snap_reader *reader, const struct snap_field *fields, uint32_t field_count,
                       void *object)
{
    reader->position += sizeof(uint32_t); /* number of fields */
    for (uint32_t i = 0; i < field_count; i++) {
        const struct snap_field *field = &fields[i];
        reader->position += 1 + strlen(field->name) + 1 + 4 + 4 + 8;
        if (field->kind == SNAP_KIND_BYTES) {
            copy_changed(element_at_mutable(field, object, 0), reader->data + reader->position, field->count);
            reader->position += field->count;
            continue;
        }
        for (uint32_t k = 0; k < field->count; k++) {
            apply_element(reader, field, element_at_mutable(field, object, k));
        }
    }
}

int snap_load(struct snap_reader *reader, const struct snap_desc *desc, void *object, struct error *error)
{
    struct snap_reader check = *reader;
    size_t body;
    int rc = check_section(&check, desc, &body, error);
    if (rc) {
        return rc;
    }
    reader->position = body;
    apply_body(reader, desc->fields, desc->field_count, object);
    error_set(error, 0, "the loaded state contradicts itself"); /* unless post_load knows better */
    rc = desc->post_load ? desc->post_load(object, error) : 0;
    return rc ? error_prefix(error, rc, "%s", desc->name) : 0;
}

/* ---- Printing ------------------------------------------------------------------------------------------ */

static void print_value(FILE *out, const struct snap_field *field, const void *object, uint32_t index)
{
    uint64_t value = element_value(field, object, index);
    if (field->kind == SNAP_KIND_BOOL) {
        fprintf(out, " %" PRIu64, value);
    } else if (field->kind == SNAP_KIND_UINT) {
        fprintf(out, " 0x%0*" PRIx64, (int)field->size * 2, value);
    } else if (value == CLOCK_NEVER) {
        fprintf(out, " off");
    } else {
        fprintf(out, " at %" PRIu64 " ns", value);
    }
}

static void print_bytes(FILE *out, const struct snap_field *field, const void *object)
{
    const uint8_t *bytes = element_at(field, object, 0);
    for (uint32_t i = 0; i < MIN(field->count, PRINT_MAX_BYTES); i++) {
        fprintf(out, " %02x", bytes[i]);
    }
    if (field->count > PRINT_MAX_BYTES) {
        fprintf(out, " ... (%u bytes)", field->count);
    }
}

static void print_body(FILE *out, const struct path *path, const struct snap_field *fields,
                       uint32_t field_count, const void *object)
{
    for (uint32_t i = 0; i < field_count; i++) {
        const struct snap_field *field = &fields[i];
        if (!field_is_sound(field)) {
            continue;
        }
        if (field->kind == SNAP_KIND_STRUCT) {
            for (uint32_t k = 0; k < field->count; k++) {
                struct path element = path_element(path, field, k);
                print_body(out, &element, field->sub, field->sub_count, element_at(field, object, k));
            }
            continue;
        }
        struct path name = {.parent = path, .name = field->name};
        fprintf(out, "%s =", path_format(&name).text);
        if (field->kind == SNAP_KIND_BYTES) {
            print_bytes(out, field, object);
        } else {
            for (uint32_t k = 0; k < field->count; k++) {
                print_value(out, field, object, k);
            }
        }
        fputc('\n', out);
    }
}

void snap_print(FILE *out, const struct snap_desc *desc, const void *object)
{
    print_body(out, NULL, desc->fields, desc->field_count, object);
}

/* ---- Comparing ----------------------------------------------------------------------------------------- */

static bool equal_body(const struct path *path, const struct snap_field *fields, uint32_t field_count,
                       const void *a, const void *b, struct error *difference);

static bool equal_bytes(const struct path *path, const struct snap_field *field, const void *a, const void *b,
                        struct error *difference)
{
    const uint8_t *bytes_a = element_at(field, a, 0), *bytes_b = element_at(field, b, 0);
    for (uint32_t i = 0; i < field->count; i++) {
        if (bytes_a[i] != bytes_b[i]) {
            struct path name = {.parent = path, .name = field->name, .index = i, .indexed = true};
            error_set(difference, 0, "%s: 0x%02x and 0x%02x", path_format(&name).text, bytes_a[i],
                      bytes_b[i]);
            return false;
        }
    }
    return true;
}

static bool equal_element(const struct path *path, const struct snap_field *field, uint32_t index,
                          const void *a, const void *b, struct error *difference)
{
    if (field->kind == SNAP_KIND_STRUCT) {
        return equal_body(path, field->sub, field->sub_count, element_at(field, a, index),
                          element_at(field, b, index), difference);
    }
    uint64_t value_a = element_value(field, a, index), value_b = element_value(field, b, index);
    if (value_a != value_b) {
        error_set(difference, 0, "%s: 0x%" PRIx64 " and 0x%" PRIx64, path_format(path).text, value_a,
                  value_b);
        return false;
    }
    return true;
}

static bool equal_field(const struct path *path, const struct snap_field *field, const void *a, const void *b,
                        struct error *difference)
{
    if (!field_is_sound(field)) {
        error_set(difference, 0, "%s: the field table is wrong", field->name);
        return false;
    }
    if (field->kind == SNAP_KIND_BYTES) {
        return equal_bytes(path, field, a, b, difference);
    }
    for (uint32_t i = 0; i < field->count; i++) {
        struct path element = path_element(path, field, i);
        TRY(equal_element(&element, field, i, a, b, difference));
    }
    return true;
}

static bool equal_body(const struct path *path, const struct snap_field *fields, uint32_t field_count,
                       const void *a, const void *b, struct error *difference)
{
    for (uint32_t i = 0; i < field_count; i++) {
        TRY(equal_field(path, &fields[i], a, b, difference));
    }
    return true;
}

bool snap_equal(const struct snap_desc *desc, const void *a, const void *b, struct error *difference)
{
    struct path path = {.name = desc->name};
    return equal_body(&path, desc->fields, desc->field_count, a, b, difference);
}
