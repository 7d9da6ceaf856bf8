/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * snap diff: what changed from one snapshot to another, in registers and device fields, pages of memory, and clusters of
 * disks.
 *
 * Field tables are not needed: a state stream names every field, its kind and its length (base/snap.c). Both streams are
 * anybody's word and are read with that in mind. Pages are compared only where the snapshots do not share the very
 * page of a file. A disk is not compared but asked: a layer that only one of the two has says what was written.
 */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>

#include "vm/snapshot_state.h"
#include "vm/snapshot_store.h"
#include "vm/vm.h"

enum { NAME_MAX_LENGTH = 255, DEPTH_MAX = 12, RANGES_SHOWN = 32, FIELDS_SHOWN = 400 };

struct side {
    struct host_dir dir;
    struct snapshot_manifest manifest;
    uint8_t *state;
    struct snapshot_ram pages;
    struct snapshot_pages *reader;
};

/* ---- state streams ---- */

struct cursor {
    const uint8_t *at, *end;
};

struct diff {
    FILE *out;
    unsigned fields; /* that differ */
};

static bool take_number(struct cursor *cursor, size_t size, uint64_t *value)
{
    *value = 0;
    TRY((size_t)(cursor->end - cursor->at) >= size);
    memcpy(value, cursor->at, size);
    cursor->at += size;
    return true;
}

static bool take_text(struct cursor *cursor, char text[NAME_MAX_LENGTH + 1])
{
    uint64_t length;

    TRY(take_number(cursor, 1, &length) && (uint64_t)(cursor->end - cursor->at) >= length);
    for (uint64_t i = 0; i < length; i++) {
        text[i] = cursor->at[i] > ' ' && cursor->at[i] < 0x7f ? (char)cursor->at[i] : '?';
    }
    text[length] = '\0';
    cursor->at += length;
    return true;
}

/* `length` bytes as a cursor of their own. */
static bool take_part(struct cursor *cursor, uint64_t length, struct cursor *part)
{
    TRY((uint64_t)(cursor->end - cursor->at) >= length);
    *part = (struct cursor){.at = cursor->at, .end = cursor->at + length};
    cursor->at += length;
    return true;
}

struct field {
    char name[NAME_MAX_LENGTH + 1];
    uint64_t kind, size, count;
    struct cursor payload;
};

static bool take_field(struct cursor *cursor, struct field *field)
{
    uint64_t length;

    TRY(take_text(cursor, field->name));
    TRY(take_number(cursor, 1, &field->kind) && take_number(cursor, 4, &field->size));
    TRY(take_number(cursor, 4, &field->count) && take_number(cursor, 8, &length));
    return take_part(cursor, length, &field->payload);
}

static bool show(struct diff *diff)
{
    return ++diff->fields <= FIELDS_SHOWN;
}

static void diff_bytes(struct diff *diff, const char *path, const struct field *a, const struct field *b)
{
    size_t length = (size_t)(a->payload.end - a->payload.at), count = 0, first = 0;

    for (size_t i = length; i > 0; i--) {
        if (a->payload.at[i - 1] != b->payload.at[i - 1]) {
            first = i - 1;
            count++;
        }
    }
    if (count && show(diff)) {
        fprintf(diff->out, "  %s: %zu of %zu bytes, from byte %zu on (%02x -> %02x)\n", path, count, length,
                first, a->payload.at[first], b->payload.at[first]);
    }
}

static void diff_numbers(struct diff *diff, const char *path, struct field *a, struct field *b)
{
    for (uint64_t i = 0; i < a->count && a->size > 0 && a->size <= 8; i++) {
        uint64_t from, to;

        if (!take_number(&a->payload, a->size, &from) || !take_number(&b->payload, a->size, &to)) {
            return;
        }
        if (from == to || !show(diff)) {
            continue;
        }
        fprintf(diff->out, "  %s", path);
        if (a->count > 1) {
            fprintf(diff->out, "[%" PRIu64 "]", i);
        }
        if (a->kind == SNAP_KIND_TIMER) {
            fprintf(diff->out, ": %" PRId64 " ns -> %" PRId64 " ns\n", (int64_t)from, (int64_t)to);
        } else {
            fprintf(diff->out, ": 0x%" PRIx64 " -> 0x%" PRIx64 "\n", from, to);
        }
    }
}

static bool diff_body(struct diff *diff, const char *path, struct cursor *a, struct cursor *b,
                      unsigned depth);

static bool diff_field(struct diff *diff, const char *path, struct field *a, struct field *b, unsigned depth)
{
    char inner[512];

    TRY(!strcmp(a->name, b->name) && a->kind == b->kind && a->size == b->size && a->count == b->count);
    snprintf(inner, sizeof(inner), "%s.%.200s", path, a->name);
    if (a->kind == SNAP_KIND_STRUCT) {
        for (uint64_t i = 0; i < a->count; i++) {
            char element[512];

            TRY(a->payload.at < a->payload.end); /* an element has bytes: the loop is bounded */
            snprintf(element, sizeof(element), a->count > 1 ? "%.400s[%" PRIu64 "]" : "%.400s", inner, i);
            TRY(diff_body(diff, element, &a->payload, &b->payload, depth + 1));
        }
        return true;
    }
    TRY(a->payload.end - a->payload.at == b->payload.end - b->payload.at);
    if (a->kind == SNAP_KIND_BYTES) {
        diff_bytes(diff, inner, a, b);
    } else {
        diff_numbers(diff, inner, a, b);
    }
    return true;
}

static bool diff_body(struct diff *diff, const char *path, struct cursor *a, struct cursor *b, unsigned depth)
{
    uint64_t fields, others;

    TRY(depth < DEPTH_MAX && take_number(a, 4, &fields) && take_number(b, 4, &others) && fields == others);
    for (uint64_t i = 0; i < fields; i++) {
        struct field from, to;

        TRY(take_field(a, &from) && take_field(b, &to));
        TRY(diff_field(diff, path, &from, &to, depth));
    }
    return true;
}

struct section {
    char name[NAME_MAX_LENGTH + 1];
    struct cursor body;
};

static bool take_section(struct cursor *cursor, struct section *section)
{
    uint64_t magic, version, length;

    TRY(take_number(cursor, 4, &magic) && take_text(cursor, section->name));
    TRY(take_number(cursor, 4, &version) && take_number(cursor, 8, &length));
    return take_part(cursor, length, &section->body);
}

/* The order of timers follows from their deadlines, which devices show. */
static bool diff_state(struct diff *diff, const struct side *from, const struct side *to)
{
    struct cursor a = {.at = from->state, .end = from->state + from->manifest.state_size};
    struct cursor b = {.at = to->state, .end = to->state + to->manifest.state_size};
    char before[NAME_MAX_LENGTH + 1] = "";
    unsigned same = 1;

    while (a.at < a.end && b.at < b.end) {
        struct section one, other;
        char path[300];

        TRY(take_section(&a, &one) && take_section(&b, &other) && !strcmp(one.name, other.name));
        if (!strcmp(one.name, "timers")) {
            continue;
        }
        same = !strcmp(before, one.name) ? same + 1 : 1;
        strcpy(before, one.name);
        snprintf(path, sizeof(path), same > 1 ? "%s#%u" : "%s", one.name, same);
        TRY(diff_body(diff, path, &one.body, &other.body, 0));
    }
    return a.at == a.end && b.at == b.end;
}

/* ---- ranges ---- */

/* Units in a row are shown as one range. */
struct ranges {
    FILE *out;
    uint64_t unit, first, last, units, shown;
    bool open;
};

static void ranges_flush(struct ranges *ranges)
{
    if (ranges->open && ++ranges->shown <= RANGES_SHOWN) {
        fprintf(ranges->out, "  %010" PRIx64 "-%010" PRIx64 "  %" PRIu64 "\n", ranges->first * ranges->unit,
                (ranges->last + 1) * ranges->unit - 1, ranges->last - ranges->first + 1);
    }
    ranges->open = false;
}

static void ranges_add(struct ranges *ranges, uint64_t unit)
{
    ranges->units++;
    if (ranges->open && unit == ranges->last + 1) {
        ranges->last = unit;
        return;
    }
    ranges_flush(ranges);
    ranges->open = true;
    ranges->first = ranges->last = unit;
}

static void ranges_end(struct ranges *ranges)
{
    ranges_flush(ranges);
    if (ranges->shown > RANGES_SHOWN) {
        fprintf(ranges->out, "  and %" PRIu64 " more ranges\n", ranges->shown - RANGES_SHOWN);
    }
}

/* ---- memory ---- */

static bool same_place(const struct side *from, const struct side *to, uint64_t frame)
{
    uint64_t a = from->pages.place[frame], b = to->pages.place[frame];

    if (a == 0 || b == 0) {
        return a == b;
    }
    return (a & BITS(47, 0)) == (b & BITS(47, 0)) &&
           !strcmp(from->pages.file[(a >> 48) - 1].name, to->pages.file[(b >> 48) - 1].name);
}

static int diff_memory(struct side *from, struct side *to, FILE *out, struct error *error)
{
    struct ranges ranges = {.out = out, .unit = PAGE_SIZE};

    fprintf(out, "memory (offsets; RAM first, then ROM and video memory; pages):\n");
    for (uint64_t frame = 0; frame < from->pages.frames; frame++) {
        const uint8_t *a, *b;

        if (same_place(from, to, frame)) {
            continue;
        }
        a = snapshot_pages_get(from->reader, frame, error);
        b = a ? snapshot_pages_get(to->reader, frame, error) : NULL;
        if (!b) {
            return -EIO;
        }
        if (memcmp(a, b, PAGE_SIZE) != 0) {
            ranges_add(&ranges, frame);
        }
    }
    ranges_end(&ranges);
    fprintf(out, "  %" PRIu64 " of %" PRIu64 " pages differ\n", ranges.units, from->pages.frames);
    return 0;
}

/* ---- disks ---- */

enum { CLUSTER = 65536 };

/* Set the bits of the clusters that a layer holds anything of. */
static int mark_layer(const struct snapshots *s, const char *name, uint8_t *bitmap, uint64_t clusters,
                      struct error *error)
{
    char path[PATH_MAX];
    enum image_status status;
    struct image *image;
    uint64_t run;
    int result = 0;

    if (snprintf(path, sizeof(path), "%s/%s", s->layers_path, name) >= (int)sizeof(path)) {
        return error_set(error, -ENAMETOOLONG, "the folder's path is too long");
    }
    image = image_open(path, "qcow2", IMAGE_NO_BACKING | IMAGE_NO_LOCK, error);
    if (!image) {
        return -EIO;
    }
    for (uint64_t offset = 0; offset < image->size && result == 0; offset += run) {
        result = image_status(image, offset, image->size - offset, &status, &run);
        if (result < 0) {
            error_set(error, result, "cannot read '%s': %s", name, strerror(-result));
            break;
        }
        for (uint64_t i = offset / CLUSTER; status != IMAGE_BACKING && i <= (offset + run - 1) / CLUSTER;
             i++) {
            if (i < clusters) {
                bitmap[i / 8] |= (uint8_t)BIT(i % 8);
            }
        }
    }
    image_close(image);
    return result;
}

static int mark_from(const struct snapshots *s, const struct snapshot_disk *disk, unsigned first,
                     uint8_t *bitmap, uint64_t clusters, struct error *error)
{
    int result = 0;

    for (unsigned i = first; i < disk->layers && result == 0; i++) {
        result = mark_layer(s, disk->layer[i], bitmap, clusters, error);
    }
    return result;
}

static int diff_disk(const struct snapshots *s, const struct snapshot_disk *from,
                     const struct snapshot_disk *to, uint64_t size, FILE *out, struct error *error)
{
    uint64_t clusters = (size + CLUSTER - 1) / CLUSTER;
    uint8_t *bitmap = calloc(clusters / 8 + 1, 1);
    struct ranges ranges = {.out = out, .unit = CLUSTER};
    unsigned common = 0;
    int result;

    if (!bitmap) {
        return error_set(error, -ENOMEM, "out of memory");
    }
    while (common < from->layers && common < to->layers && !strcmp(from->layer[common], to->layer[common])) {
        common++;
    }
    fprintf(out, "disk %s (offsets; clusters of 64 KiB written on the way):\n", from->id);
    result = mark_from(s, from, common, bitmap, clusters, error);
    if (result == 0) {
        result = mark_from(s, to, common, bitmap, clusters, error);
    }
    for (uint64_t i = 0; i < clusters && result == 0; i++) {
        if (bitmap[i / 8] & BIT(i % 8)) {
            ranges_add(&ranges, i);
        }
    }
    ranges_end(&ranges);
    fprintf(out, "  %" PRIu64 " of %" PRIu64 " clusters\n", ranges.units, clusters);
    free(bitmap);
    return result;
}

static int diff_disks(struct snapshots *s, const struct side *from, const struct side *to, FILE *out,
                      struct error *error)
{
    int result = 0;

    for (unsigned i = 0; i < s->chains.count && result == 0; i++) {
        const struct snapshot_chain *chain = &s->chains.chain[i];
        const struct snapshot_disk *a = snapshot_disks_find(&from->manifest.disks, chain->now.id);
        const struct snapshot_disk *b = snapshot_disks_find(&to->manifest.disks, chain->now.id);

        if (a && b) {
            result = diff_disk(s, a, b, chain->base->size, out, error);
        }
    }
    return result;
}

/* ---- both sides ---- */

static int side_open(struct snapshots *s, struct side *side, const char *name, struct error *error)
{
    int result;

    *side = (struct side){.dir = {.fd = -1}};
    result = snapshot_store_enter(s, name, &side->dir, error);
    if (result == 0) {
        result = snapshot_manifest_read(&side->manifest, &side->dir, name, error);
    }
    if (result == 0 && side->manifest.memory != s->vm->ram.size) {
        result = error_set(error, -EINVAL, "it is of a machine with another amount of memory");
    }
    if (result == 0) {
        result = snapshot_store_state(&side->manifest, &side->dir, &side->state, error);
    }
    if (result == 0) {
        result = snapshot_store_pages(&side->manifest, &side->dir, &side->pages, error);
    }
    if (result == 0) {
        side->reader = snapshot_pages_open(&side->pages, &side->dir, error);
        result = side->reader ? 0 : -EIO;
    }
    return result < 0 ? error_prefix(error, result, "snapshot '%s'", name) : 0;
}

static void side_close(struct side *side)
{
    snapshot_pages_close(side->reader);
    snapshot_ram_fini(&side->pages);
    free(side->state);
    snapshot_manifest_fini(&side->manifest);
    host_dir_close(&side->dir);
}

static int check_machines(const struct side *from, const struct side *to, struct error *error)
{
    struct error difference;

    return snapshot_fingerprint_compare(from->manifest.machine, to->manifest.machine, &difference) < 0
               ? error_set(error, -EINVAL, "they are of different machines: %.400s", difference.text)
               : 0;
}

static int diff_sides(struct snapshots *s, struct side *from, struct side *to, FILE *out, struct error *error)
{
    struct diff diff = {.out = out};
    int result = check_machines(from, to, error);

    if (result < 0) {
        return result;
    }
    fprintf(out, "%s -> %s\nfields:\n", from->manifest.self.name, to->manifest.self.name);
    if (!diff_state(&diff, from, to)) {
        return error_set(error, -EINVAL, "the state of one of them is damaged or of another version");
    }
    if (diff.fields > FIELDS_SHOWN) {
        fprintf(out, "  and %u more\n", diff.fields - FIELDS_SHOWN);
    }
    fprintf(out, "  %u fields differ\n", diff.fields);
    result = diff_memory(from, to, out, error);
    return result < 0 ? result : diff_disks(s, from, to, out, error);
}

int snapshot_diff(struct vm *vm, const char *from, const char *to, FILE *out, struct error *error)
{
    struct snapshots *s;
    struct side a, b;
    int result = snapshot_store_get(vm, &s, error);

    if (result < 0) {
        return result;
    }
    snapshot_collect(s, NULL);
    result = side_open(s, &a, from, error);
    if (result == 0) {
        result = side_open(s, &b, to, error);
        if (result == 0) {
            result = diff_sides(s, &a, &b, out, error);
        }
        side_close(&b);
    }
    side_close(&a);
    return result;
}
