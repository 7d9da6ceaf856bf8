/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The fingerprint of a machine: what a snapshot takes for granted and does not bring along. A tree of names and values,
 * compared leaf by leaf when a snapshot is loaded, so that a refusal can name each thing that is different and what it
 * would have to be.
 *
 * Not part of it: what the guest cannot see or the host can change under it at any time (engine, display, networks,
 * paths of images), and the items of fw_cfg, which only matter to a guest that boots.
 */
#include <errno.h>
#include <stdlib.h>

#include "cpu/cpuid.h"
#include "vm/snapshot_manifest.h"
#include "vm/vm.h"

enum { DIFFERENCES_SHOWN = 6 };

static json_t *hex_of(uint64_t value)
{
    char text[20];

    snprintf(text, sizeof(text), "%016llx", (unsigned long long)value);
    return json_string(text);
}

static json_t *devices_json(struct vm *vm)
{
    json_t *devices = json_object();

    for (const struct device *device = pc_board(vm->pc)->devices; device; device = device->next) {
        if (device->ops->snap) {
            char text[64];

            snprintf(text, sizeof(text), "%s, state version %u", device->ops->name,
                     device->ops->snap->version);
            json_object_set_new(devices, device->id, json_string(text));
        }
    }
    return devices;
}

static void add_drive(struct disk *disk, void *opaque)
{
    const struct block *block = &disk->block;
    char text[80];

    if (!block->inserted) {
        snprintf(text, sizeof(text), "empty");
    } else {
        snprintf(text, sizeof(text), "%llu bytes%s%s", (unsigned long long)block->size,
                 block->read_only ? ", read-only" : "", block->removable ? ", removable" : "");
    }
    json_object_set_new(opaque, block->id, json_string(text));
}

static json_t *time_json(const struct clock *clock)
{
    char text[40];

    if (clock->policy != CLOCK_ICOUNT) {
        return json_string("real time");
    }
    snprintf(text, sizeof(text), "-icount %u", clock->icount_shift);
    return json_string(text);
}

json_t *snapshot_fingerprint(struct vm *vm)
{
    json_t *drives = json_object();
    char memory[40];

    drives_for_each(&vm->drives, add_drive, drives);
    snprintf(memory, sizeof(memory), "%llu KiB", (unsigned long long)(vm->config.ram_size / KIB));
    return json_pack("{s:s, s:s, s:o, s:i, s:o, s:o, s:o, s:o}", "memory", memory, "processor",
                     vm->cpu->model->name, "processor features", hex_of(vm->cpu->features),
                     "processor state version", (int)vcpu_snap.version, "time", time_json(&vm->clock),
                     "firmware", hex_of(vm->firmware_hash), "device", devices_json(vm), "drive", drives);
}

/* ---- comparing ---- */

struct comparison {
    char text[400];
    size_t used;
    unsigned count;
};

static const char *leaf_text(const json_t *value, char *buffer, size_t size)
{
    if (!value) {
        return "none";
    }
    if (json_is_integer(value)) {
        snprintf(buffer, size, "%lld", (long long)json_integer_value(value));
        return buffer;
    }
    snprintf(buffer, size, "%s", json_is_string(value) ? json_string_value(value) : "something else");
    for (char *c = buffer; *c; c++) {
        *c = (unsigned char)*c < ' ' || *c == 0x7f ? '?' : *c;
    }
    return buffer;
}

static void note_difference(struct comparison *comparison, const char *group, const char *key,
                            const json_t *here, const json_t *there)
{
    char here_text[64], there_text[64];
    int length;

    if (++comparison->count > DIFFERENCES_SHOWN) {
        return;
    }
    length = snprintf(comparison->text + comparison->used, sizeof(comparison->text) - comparison->used,
                      "%s%s%s%.40s: here %s, in the snapshot %s", comparison->used ? "; " : "", group,
                      *group ? " " : "", key, leaf_text(here, here_text, sizeof(here_text)),
                      leaf_text(there, there_text, sizeof(there_text)));
    comparison->used = MIN(comparison->used + (size_t)MAX(length, 0), sizeof(comparison->text) - 1);
}

static void compare_leaf(struct comparison *comparison, const char *group, const char *key,
                         const json_t *here, const json_t *there)
{
    if (!here || !there || !json_equal(here, there)) {
        note_difference(comparison, group, key, here, there);
    }
}

static void compare_objects(struct comparison *comparison, const char *group, const json_t *here,
                            const json_t *there)
{
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)here, key, value)
    {
        const json_t *other = json_object_get(there, key);

        if (json_is_object(value) && json_is_object(other) && !*group) {
            compare_objects(comparison, key, value, other);
        } else {
            compare_leaf(comparison, group, key, value, other);
        }
    }
    json_object_foreach((json_t *)there, key, value)
    {
        if (!json_object_get(here, key)) {
            note_difference(comparison, group, key, NULL, value);
        }
    }
}

int snapshot_fingerprint_compare(const json_t *here, const json_t *there, struct error *error)
{
    struct comparison comparison = {.text = ""};

    compare_objects(&comparison, "", here, there);
    if (comparison.count == 0) {
        return 0;
    }
    error_set(error, -EINVAL, "it was taken on another machine: %s", comparison.text);
    if (comparison.count > DIFFERENCES_SHOWN) {
        size_t used = strlen(error->text);

        snprintf(error->text + used, sizeof(error->text) - used, "; and %u more",
                 comparison.count - DIFFERENCES_SHOWN);
    }
    return -EINVAL;
}
