/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The drives of a VM. See vm/block_drives.h.
 */
#include "vm/block_drives.h"

#include <errno.h>

/* ---- images ---- */

/* The image of a drive as its configuration wants it; CDs are read only. */
static struct image *drives_open_image(const struct config_drive *config, bool snapshot, struct error *error)
{
    bool read_only = config->read_only || config->cdrom;
    unsigned flags = (config->any_backing ? IMAGE_ANY_BACKING : 0) |
                     (config->cache == CONFIG_CACHE_UNSAFE ? IMAGE_NO_FLUSH : 0) |
                     (read_only || snapshot ? 0 : IMAGE_WRITE);
    struct image *image = image_open(config->file, config->format[0] ? config->format : NULL, flags, error);

    if (image && snapshot && !read_only) {
        image = image_create_overlay(image, error);
    }
    return image;
}

static struct disk *drives_open_drive(const struct drives *drives, const struct config_drive *config,
                                      const char *default_id, bool removable, struct clock *clock,
                                      void (*notify)(void *opaque), void *opaque, struct error *error)
{
    const char *id = config->id[0] ? config->id : default_id;
    bool snapshot = config->snapshot || drives->snapshot;
    struct disk *disk = disk_create(id, clock, removable, notify, opaque, error);
    struct image *image = NULL;

    if (!disk) {
        return NULL;
    }
    memcpy(disk->block.serial, config->serial, sizeof(disk->block.serial));
    disk->cache = (enum disk_cache)config->cache;
    disk->ignore_discard = config->ignore_discard;
    disk->any_backing = config->any_backing;
    if (config->file[0]) {
        image = drives_open_image(config, snapshot, error);
        if (!image) {
            error_prefix(error, -EINVAL, "disk %s", id);
            disk_destroy(disk);
            return NULL;
        }
    }
    disk->snapshot = snapshot && image && image->writable;
    disk_change(disk, image);
    return disk;
}

/* ---- all of them ---- */

int drives_open(struct drives *drives, const struct vm_config *config, struct clock *clock,
                void (*notify)(void *opaque), void *opaque, struct error *error)
{
    char id[32];

    drives->snapshot = config->snapshot;
    for (unsigned i = 0; i < CONFIG_IDE_DRIVES; i++) {
        struct config_drive drive = config->ide[i];

        if (!drive.present && i == 2 && !config->no_defaults) {
            drive.present = drive.cdrom = true;
        }
        if (!drive.present) {
            continue;
        }
        snprintf(id, sizeof(id), "ide%u-%s%u", i / 2, drive.cdrom ? "cd" : "hd", i % 2);
        drives->ide_is_cdrom[i] = drive.cdrom;
        drives->ide[i] = drives_open_drive(drives, &drive, id, drive.cdrom, clock, notify, opaque, error);
        if (!drives->ide[i]) {
            return -EINVAL;
        }
    }
    for (unsigned i = 0; i < CONFIG_FLOPPY_DRIVES; i++) {
        if (!config->floppy[i].present && (i > 0 || config->no_defaults)) {
            continue;
        }
        snprintf(id, sizeof(id), "floppy%u", i);
        drives->floppy[i] =
            drives_open_drive(drives, &config->floppy[i], id, true, clock, notify, opaque, error);
        if (!drives->floppy[i]) {
            return -EINVAL;
        }
    }
    return 0;
}

void drives_for_each(struct drives *drives, void (*visit)(struct disk *disk, void *opaque), void *opaque)
{
    for (unsigned i = 0; i < CONFIG_IDE_DRIVES; i++) {
        if (drives->ide[i]) {
            visit(drives->ide[i], opaque);
        }
    }
    for (unsigned i = 0; i < CONFIG_FLOPPY_DRIVES; i++) {
        if (drives->floppy[i]) {
            visit(drives->floppy[i], opaque);
        }
    }
}

static void drives_close_one(struct disk *disk, void *opaque)
{
    int result;

    (void)opaque;
    while (disk->block.requests) {
        block_cancel(disk->block.requests);
    }
    disk->block.front_ops = NULL;
    result = disk_change(disk, NULL);
    if (result < 0) {
        fprintf(stderr, "hypatia: disk %s: not everything could be written at the end: %s\n", disk->block.id,
                strerror(-result));
    }
    disk_destroy(disk);
}

void drives_close(struct drives *drives)
{
    drives_for_each(drives, drives_close_one, NULL);
    memset(drives, 0, sizeof(*drives));
}

static void drives_serve_one(struct disk *disk, void *opaque)
{
    (void)opaque;
    disk_serve(disk);
}

void drives_serve(struct drives *drives)
{
    drives_for_each(drives, drives_serve_one, NULL);
}

static void drives_silence_one(struct disk *disk, void *opaque)
{
    (void)opaque;
    disk_silence(disk);
}

void drives_silence(struct drives *drives)
{
    drives_for_each(drives, drives_silence_one, NULL);
}

struct drives_search {
    const char *id;
    struct disk *found;
};

static void drives_compare(struct disk *disk, void *opaque)
{
    struct drives_search *search = opaque;

    if (!strcmp(disk->block.id, search->id)) {
        search->found = disk;
    }
}

struct disk *drives_find(struct drives *drives, const char *id)
{
    struct drives_search search = {.id = id};

    drives_for_each(drives, drives_compare, &search);
    return search.found;
}

/* ---- the monitor's verbs ---- */

int drives_change(struct drives *drives, struct disk *disk, const char *path, const char *format,
                  bool read_only, struct error *error)
{
    struct config_drive config = {.read_only = read_only, .any_backing = disk->any_backing};
    struct image *image;
    int result;

    if (!disk->block.removable) {
        return error_set(error, -ENOTSUP, "%s is not removable", disk->block.id);
    }
    if (strlen(path) >= sizeof(config.file) || (format && strlen(format) >= sizeof(config.format))) {
        return error_set(error, -ENAMETOOLONG, "the file's name or format is too long");
    }
    result = drives_eject(disk, false, error);
    if (result < 0) {
        return result;
    }
    strcpy(config.file, path);
    strcpy(config.format, format ? format : "");
    for (unsigned i = 0; i < CONFIG_IDE_DRIVES; i++) {
        config.cdrom |= drives->ide[i] == disk && drives->ide_is_cdrom[i];
    }
    image = drives_open_image(&config, drives->snapshot, error);
    if (!image) {
        return -EINVAL;
    }
    disk->snapshot = drives->snapshot && image->writable;
    disk_change(disk, image);
    return 0;
}

int drives_eject(struct disk *disk, bool force, struct error *error)
{
    int result;

    if (!disk->block.removable) {
        return error_set(error, -ENOTSUP, "%s is not removable", disk->block.id);
    }
    if (disk->block.locked && !force) {
        block_notify_eject_requested(&disk->block);
        if (disk->block.inserted) {
            return error_set(error, -EBUSY,
                             "%s is locked by the guest, which was asked to let go; try again, or eject -f",
                             disk->block.id);
        }
    }
    if (!disk->image) {
        return 0;
    }
    result = disk_change(disk, NULL);
    return result < 0 ? error_set(error, result, "%s: not everything could be written: %s", disk->block.id,
                                  strerror(-result))
                      : 0;
}

int drives_commit(struct disk *disk, struct error *error)
{
    int result;

    if (!disk->image) {
        return error_set(error, -ENOMEDIUM, "%s has no medium", disk->block.id);
    }
    disk_hold(disk);
    result = image_commit(disk->image, NULL, error);
    disk_release(disk);
    return result;
}

static void drives_print_one(struct disk *disk, void *opaque)
{
    FILE *out = opaque;
    const struct block *block = &disk->block;
    const struct image *image = disk->image;
    const struct block_counters *counters = &block->counters;
    int last_error = disk_last_error(disk);

    if (!image) {
        fprintf(out, "%s: [not inserted]\n", block->id);
    } else {
        fprintf(out, "%s: %s (%s%s%s)\n", block->id, image->file->path, image->ops->format,
                image->writable ? "" : ", read-only", disk->snapshot ? ", changes are temporary" : "");
        fprintf(out, "    size: %llu bytes\n", (unsigned long long)image->size);
    }
    for (const struct image *backing = image ? image->backing : NULL; backing; backing = backing->backing) {
        fprintf(out, "    backing file: %s (%s)\n", backing->file->path, backing->ops->format);
    }
    if (image && *image->problem) {
        fprintf(out, "    refuses writes: %s\n", image->problem);
    }
    if (block->removable) {
        fprintf(out, "    removable: %slocked\n", block->locked ? "" : "not ");
    }
    fprintf(out, "    reads: %llu (%llu bytes), writes: %llu (%llu bytes), flushes: %llu, errors: %llu\n",
            (unsigned long long)counters->reads, (unsigned long long)counters->bytes_read,
            (unsigned long long)counters->writes, (unsigned long long)counters->bytes_written,
            (unsigned long long)counters->flushes, (unsigned long long)counters->errors);
    if (last_error < 0) {
        fprintf(out, "    last error: %s\n", strerror(-last_error));
    }
}

void drives_print(struct drives *drives, FILE *out)
{
    drives_for_each(drives, drives_print_one, out);
}
