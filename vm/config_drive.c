/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The command line's drives: -drive and its shorthands, by QEMU's names. See vm/config.h.
 *
 *   -drive file=F[,if=ide|floppy][,index=N | ,bus=B,unit=U][,media=disk|cdrom][,format=raw|qcow2][,readonly=on]
 *          [,snapshot=on][,id=NAME][,serial=TEXT][,cache=..][,discard=..][,any-backing=on]
 *
 * A comma in a value is written twice. Options that choose how QEMU talks to its host (aio=, and cache=none as opposed to
 * writeback) are accepted and change nothing; what would make another machine is refused.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "vm/config.h"

enum { VALUE_SIZE = 1024 };

/* What -drive says beside the drive itself. */
struct drive_place {
    bool floppy;
    int index, bus, unit; /* -1: not said */
};

struct drive_option {
    const char *name;
    int (*parse)(struct config_drive *drive, struct drive_place *place, const char *value,
                 struct error *error);
};

static int drive_set_text(char *out, size_t size, const char *key, const char *value, struct error *error)
{
    if (strlen(value) >= size) {
        return error_set(error, -EINVAL, "-drive: %s '%.60s' is longer than %zu characters", key, value,
                         size - 1);
    }
    strcpy(out, value);
    return 0;
}

static int drive_on_off(bool *out, const char *key, const char *value, struct error *error)
{
    if (strcmp(value, "on") != 0 && strcmp(value, "off") != 0) {
        return error_set(error, -EINVAL, "-drive: %s=%.60s must be on or off", key, value);
    }
    *out = value[1] == 'n';
    return 0;
}

static int drive_number(int *out, const char *key, const char *value, struct error *error)
{
    if (value[0] < '0' || value[0] > '9' || value[1]) {
        return error_set(error, -EINVAL, "-drive: %s=%.60s is not a small number", key, value);
    }
    *out = value[0] - '0';
    return 0;
}

/* ---- one parser an option ---- */

static int drive_file(struct config_drive *drive, struct drive_place *place, const char *value,
                      struct error *error)
{
    (void)place;
    return drive_set_text(drive->file, sizeof(drive->file), "file", value, error);
}

static int drive_format(struct config_drive *drive, struct drive_place *place, const char *value,
                        struct error *error)
{
    (void)place;
    if (strcmp(value, "raw") != 0 && strcmp(value, "qcow2") != 0) {
        return error_set(error, -EINVAL, "-drive: unknown image format '%.60s' (known: raw, qcow2)", value);
    }
    return drive_set_text(drive->format, sizeof(drive->format), "format", value, error);
}

static int drive_id(struct config_drive *drive, struct drive_place *place, const char *value,
                    struct error *error)
{
    (void)place;
    return drive_set_text(drive->id, sizeof(drive->id), "id", value, error);
}

static int drive_serial(struct config_drive *drive, struct drive_place *place, const char *value,
                        struct error *error)
{
    (void)place;
    return drive_set_text(drive->serial, sizeof(drive->serial), "serial", value, error);
}

static int drive_if(struct config_drive *drive, struct drive_place *place, const char *value,
                    struct error *error)
{
    (void)drive;
    if (strcmp(value, "ide") != 0 && strcmp(value, "floppy") != 0) {
        return error_set(error, -EINVAL, "-drive: there is no interface '%.60s' (known: ide, floppy)", value);
    }
    place->floppy = value[0] == 'f';
    return 0;
}

static int drive_index(struct config_drive *drive, struct drive_place *place, const char *value,
                       struct error *error)
{
    (void)drive;
    return drive_number(&place->index, "index", value, error);
}

static int drive_bus(struct config_drive *drive, struct drive_place *place, const char *value,
                     struct error *error)
{
    (void)drive;
    return drive_number(&place->bus, "bus", value, error);
}

static int drive_unit(struct config_drive *drive, struct drive_place *place, const char *value,
                      struct error *error)
{
    (void)drive;
    return drive_number(&place->unit, "unit", value, error);
}

static int drive_media(struct config_drive *drive, struct drive_place *place, const char *value,
                       struct error *error)
{
    (void)place;
    if (strcmp(value, "disk") != 0 && strcmp(value, "cdrom") != 0) {
        return error_set(error, -EINVAL, "-drive: media=%.60s must be disk or cdrom", value);
    }
    drive->cdrom = value[0] == 'c';
    return 0;
}

static int drive_readonly(struct config_drive *drive, struct drive_place *place, const char *value,
                          struct error *error)
{
    (void)place;
    return drive_on_off(&drive->read_only, "readonly", value, error);
}

static int drive_snapshot(struct config_drive *drive, struct drive_place *place, const char *value,
                          struct error *error)
{
    (void)place;
    return drive_on_off(&drive->snapshot, "snapshot", value, error);
}

static int drive_any_backing(struct config_drive *drive, struct drive_place *place, const char *value,
                             struct error *error)
{
    (void)place;
    return drive_on_off(&drive->any_backing, "any-backing", value, error);
}

static int drive_cache(struct config_drive *drive, struct drive_place *place, const char *value,
                       struct error *error)
{
    (void)place;
    if (!strcmp(value, "writethrough") || !strcmp(value, "directsync")) {
        drive->cache = CONFIG_CACHE_WRITETHROUGH;
    } else if (!strcmp(value, "unsafe")) {
        drive->cache = CONFIG_CACHE_UNSAFE;
    } else if (strcmp(value, "writeback") != 0 && strcmp(value, "none") != 0) {
        return error_set(error, -EINVAL,
                         "-drive: cache=%.60s must be writeback, none, writethrough, directsync or unsafe",
                         value);
    }
    return 0;
}

static int drive_discard(struct config_drive *drive, struct drive_place *place, const char *value,
                         struct error *error)
{
    bool ignore = !strcmp(value, "ignore") || !strcmp(value, "off");

    (void)place;
    if (!ignore && strcmp(value, "unmap") != 0 && strcmp(value, "on") != 0) {
        return error_set(error, -EINVAL, "-drive: discard=%.60s must be unmap (on) or ignore (off)", value);
    }
    drive->ignore_discard = ignore;
    return 0;
}

static int drive_on_error(struct config_drive *drive, struct drive_place *place, const char *value,
                          struct error *error)
{
    (void)drive;
    (void)place;
    if (strcmp(value, "report") != 0) {
        return error_set(error, -EINVAL,
                         "-drive: errors are always reported to the guest; '%.60s' is not known", value);
    }
    return 0;
}

static int drive_ignored(struct config_drive *drive, struct drive_place *place, const char *value,
                         struct error *error)
{
    (void)drive;
    (void)place;
    (void)value;
    (void)error;
    return 0;
}

static const struct drive_option drive_options[] = {
    {"file", drive_file},
    {"format", drive_format},
    {"if", drive_if},
    {"index", drive_index},
    {"bus", drive_bus},
    {"unit", drive_unit},
    {"media", drive_media},
    {"readonly", drive_readonly},
    {"read-only", drive_readonly},
    {"snapshot", drive_snapshot},
    {"id", drive_id},
    {"serial", drive_serial},
    {"cache", drive_cache},
    {"discard", drive_discard},
    {"any-backing", drive_any_backing},
    {"werror", drive_on_error},
    {"rerror", drive_on_error},
    {"aio", drive_ignored},
};

/* ---- the list of options ---- */

/* Copy an item up to a single comma, two of them meaning one; returns what follows, NULL at the end. */
static const char *drive_next_item(const char *text, char *out, size_t size)
{
    size_t length = 0;

    while (*text && !(text[0] == ',' && text[1] != ',')) {
        text += *text == ',';
        if (length + 1 < size) {
            out[length++] = *text;
        }
        text++;
    }
    out[length] = '\0';
    return *text ? text + 1 : NULL;
}

static int drive_parse_item(struct config_drive *drive, struct drive_place *place, char *item,
                            struct error *error)
{
    char *equals = strchr(item, '=');

    if (equals) {
        *equals = '\0';
        for (size_t i = 0; i < ARRAY_LEN(drive_options); i++) {
            if (!strcmp(drive_options[i].name, item)) {
                return drive_options[i].parse(drive, place, equals + 1, error);
            }
        }
    }
    return error_set(
        error, -EINVAL,
        "-drive: unknown item '%.60s' (known: file format if index bus unit media readonly snapshot id "
        "serial cache discard any-backing werror rerror aio)",
        item);
}

/* ---- places ---- */

static int config_place_drive(struct config_drive *slot, const struct config_drive *drive, const char *what,
                              unsigned index, struct error *error)
{
    if (slot->present) {
        return error_set(error, -EINVAL, "disk '%.200s': there is already a drive at %s index %u",
                         drive->file, what, index);
    }
    *slot = *drive;
    slot->present = true;
    return 0;
}

/* The index asked for, or the first that is free. */
static int drive_choose(const struct drive_place *place, const struct config_drive *slots, unsigned count,
                        unsigned per_bus, unsigned *index, struct error *error)
{
    if (place->index >= 0 || place->bus >= 0 || place->unit >= 0) {
        *index = place->index >= 0 ? (unsigned)place->index
                                   : (unsigned)MAX(place->bus, 0) * per_bus + (unsigned)MAX(place->unit, 0);
        if (*index >= count || (place->unit >= 0 && (unsigned)place->unit >= per_bus)) {
            return error_set(error, -EINVAL,
                             "-drive: there are %u places for such drives; index %u is not one", count,
                             *index);
        }
        return 0;
    }
    for (*index = 0; *index < count && slots[*index].present; ++*index) {
    }
    return *index < count ? 0 : error_set(error, -EINVAL, "-drive: all %u places are taken", count);
}

int config_parse_drive(struct vm_config *config, const char *value, struct error *error)
{
    struct config_drive drive = {0};
    struct drive_place place = {.index = -1, .bus = -1, .unit = -1};
    char item[VALUE_SIZE + 32];
    unsigned index;
    int result = 0;

    for (const char *rest = value; rest && result == 0;) {
        if (strlen(rest) > VALUE_SIZE) {
            return error_set(error, -EINVAL, "-drive: the value is longer than %d characters", VALUE_SIZE);
        }
        rest = drive_next_item(rest, item, sizeof(item));
        result = drive_parse_item(&drive, &place, item, error);
    }
    if (result < 0) {
        return result;
    }
    if (!drive.file[0] && !drive.cdrom && !place.floppy) {
        return error_set(error, -EINVAL,
                         "-drive: '%.60s' needs file=PATH (only CD and floppy drives can be empty)", value);
    }
    if (place.floppy && drive.cdrom) {
        return error_set(error, -EINVAL, "-drive: a floppy drive takes no CDs");
    }
    if (place.floppy) {
        result =
            drive_choose(&place, config->floppy, CONFIG_FLOPPY_DRIVES, CONFIG_FLOPPY_DRIVES, &index, error);
        return result < 0 ? result
                          : config_place_drive(&config->floppy[index], &drive, "floppy", index, error);
    }
    result = drive_choose(&place, config->ide, CONFIG_IDE_DRIVES, 2, &index, error);
    return result < 0 ? result : config_place_drive(&config->ide[index], &drive, "ide", index, error);
}

static int config_add(struct config_drive *slot, const char *what, unsigned index, const char *path,
                      bool cdrom, struct error *error)
{
    struct config_drive drive = {.cdrom = cdrom};

    if (strlen(path) >= sizeof(drive.file)) {
        return error_set(error, -EINVAL, "disk '%.60s...': the path is too long", path);
    }
    strcpy(drive.file, path);
    return config_place_drive(slot, &drive, what, index, error);
}

int config_add_ide(struct vm_config *config, unsigned index, const char *path, bool cdrom,
                   struct error *error)
{
    return config_add(&config->ide[index], "ide", index, path, cdrom, error);
}

int config_add_floppy(struct vm_config *config, unsigned index, const char *path, struct error *error)
{
    return config_add(&config->floppy[index], "floppy", index, path, false, error);
}
