/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Layers over disk images. See vm/snapshot_disks.h.
 *
 * A plan is made beside the running machine and exchanged for what there is in one step that cannot fail. The user's
 * image is at the bottom of both, so a chain is cut off above it before it is closed.
 */
#include "vm/snapshot_disks.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vm/snapshot_store.h"

/* ---- which drives ---- */

static unsigned layers_of(const struct snapshot_chain *chain)
{
    unsigned count = 0;

    for (const struct image *image = chain->disk->image; image; image = image->backing) {
        if (image == chain->base) {
            return count;
        }
        count++;
    }
    return UINT_MAX;
}

static struct snapshot_chain *chain_of(struct snapshot_chains *chains, const struct disk *disk)
{
    for (unsigned i = 0; i < chains->count; i++) {
        if (chains->chain[i].disk == disk) {
            return &chains->chain[i];
        }
    }
    return NULL;
}

static void update_drive(struct disk *disk, void *opaque)
{
    struct snapshot_chains *chains = opaque;
    struct snapshot_chain *chain = chain_of(chains, disk);

    if (!disk->image || !disk->image->writable) {
        if (chain) {
            *chain = chains->chain[--chains->count];
        }
        return;
    }
    if (!chain || layers_of(chain) != chain->now.layers + chain->temporaries) {
        chain = chain ? chain : &chains->chain[chains->count++];
        *chain = (struct snapshot_chain){.disk = disk,
                                         .base = disk->snapshot ? disk->image->backing : disk->image,
                                         .temporaries = disk->snapshot};
        snprintf(chain->now.id, sizeof(chain->now.id), "%s", disk->block.id);
    }
    chain->before = disk->image;
    chain->size = disk->image->size;
    chain->base_format = chain->base->ops->format;
    if (!realpath(chain->base->file->path, chain->base_path)) {
        chain->base_path[0] = '\0';
    }
}

void snapshot_chains_update(struct snapshot_chains *chains, struct drives *drives)
{
    drives_for_each(drives, update_drive, chains);
}

void snapshot_chains_describe(const struct snapshot_chains *chains, bool planned,
                              struct snapshot_disks *disks)
{
    disks->count = 0;
    for (unsigned i = 0; i < chains->count; i++) {
        const struct snapshot_chain *chain = &chains->chain[i];

        disks->disk[disks->count++] = planned ? chain->planned : chain->now;
    }
}

/* ---- layers ---- */

static int layer_path(const struct snapshot_chains *chains, const char *name, char *path, struct error *error)
{
    int length = snprintf(path, PATH_MAX, "%s/%s", chains->path, name);

    return length < 0 || length >= PATH_MAX ? error_set(error, -ENAMETOOLONG, "the folder's path is too long")
                                            : 0;
}

/* A name for the new layer: the drive's, if it can be one of a file. */
static void layer_name(const struct snapshot_chain *chain, unsigned number, const char *id, char *name)
{
    const char *drive = chain->disk->block.id;

    if (snapshot_check_name(drive, NULL) < 0) {
        snprintf(name, SNAPSHOT_LAYER_NAME + 1, "drive%u.%s.qcow2", number, id);
    } else {
        snprintf(name, SNAPSHOT_LAYER_NAME + 1, "%.31s.%s.qcow2", drive, id);
    }
}

/* What other programs find in the new layer's header as its backing file. NULL: nothing. */
static const char *backing_name(const struct snapshot_chain *chain, const struct snapshot_disk *below)
{
    if (below->layers) {
        return below->layer[below->layers - 1];
    }
    return chain->base_path[0] && strlen(chain->base_path) <= IMAGE_NAME_MAX ? chain->base_path : NULL;
}

static unsigned image_flags_of(const struct snapshot_chain *chain)
{
    return IMAGE_NO_BACKING | (chain->disk->cache == DISK_CACHE_UNSAFE ? IMAGE_NO_FLUSH : 0);
}

static struct image *create_layer(struct snapshot_chains *chains, struct snapshot_chain *chain,
                                  const char *name, struct error *error)
{
    char path[PATH_MAX];
    struct image_create_options options = {.size = chain->size,
                                           .backing = backing_name(chain, &chain->planned),
                                           .backing_format =
                                               chain->planned.layers ? "qcow2" : chain->base_format,
                                           .flags = IMAGE_NO_BACKING | IMAGE_ANY_BACKING};
    struct image *image = NULL;
    int result = host_ask(chains->layers, SNAPSHOT_CREATE, name);

    if (result < 0) {
        error_set(error, result, "cannot make '%s': %s", name, strerror(-result));
        return NULL;
    }
    if (layer_path(chains, name, path, error) < 0) {
        return NULL;
    }
    if (image_create(path, "qcow2", &options, error) == 0) {
        image = image_open(path, "qcow2", IMAGE_WRITE | image_flags_of(chain), error);
    }
    if (image) {
        result = host_sync(chains->layers, image->file->fd, name);
    }
    if (image && result < 0) {
        image_close(image);
        image = NULL;
        error_set(error, result, "cannot write '%s': %s", path, strerror(-result));
    }
    if (!image) {
        unlink(path);
    }
    return image;
}

/* -snapshot: what the guest writes goes to a file without a name. */
static struct image *create_temporary(const struct snapshot_chain *chain, struct error *error)
{
    struct image_create_options options = {.size = chain->size};
    struct block_file *file = block_file_open_temporary(error);

    if (file) {
        file->no_flush = true;
    }
    if (!file || image_qcow2_create(file, &options, error) < 0) {
        block_file_close(file);
        return NULL;
    }
    return image_open_file(file, "qcow2", IMAGE_WRITE | IMAGE_NO_LOCK, 0, error);
}

/* An empty image over `below`, to be written: part of the plan. */
static int add_layer(struct snapshot_chains *chains, struct snapshot_chain *chain, struct image *below,
                     const char *id, struct error *error)
{
    struct snapshot_disk *planned = &chain->planned;
    char name[SNAPSHOT_LAYER_NAME + 1];
    struct image *image;

    if (chain->disk->snapshot && chain->planned_temporaries == SNAPSHOT_LAYERS_MAX) {
        return error_set(
            error, -EMLINK,
            "drive %s stands on %d temporary files, one for each save and clone; go on from one of its "
            "snapshots (loadvm)",
            planned->id, SNAPSHOT_LAYERS_MAX);
    }
    if (chain->disk->snapshot) {
        image = create_temporary(chain, error);
    } else if (planned->layers == SNAPSHOT_LAYERS_MAX) {
        return error_set(error, -EMLINK,
                         "drive %s has %d layers of snapshots; delete some, or go on with a copy of the disk "
                         "(hypatia img convert)",
                         planned->id, SNAPSHOT_LAYERS_MAX);
    } else {
        layer_name(chain, (unsigned)(chain - chains->chain), id, name);
        image = create_layer(chains, chain, name, error);
    }
    if (!image) {
        return error_prefix(error, -EIO, "drive %s", planned->id);
    }
    if (chain->disk->snapshot) {
        chain->planned_temporaries++;
    } else {
        strcpy(planned->layer[planned->layers++], name);
    }
    image->backing = below;
    chain->top = image;
    return 0;
}

/* Cut a chain off above the user's image, and close it. */
static void close_above_base(const struct snapshot_chain *chain, struct image *top)
{
    struct image *image = top;

    if (!top || top == chain->base) {
        return;
    }
    while (image->backing && image->backing != chain->base) {
        image = image->backing;
    }
    image->backing = NULL;
    image_close(top);
}

/* ---- plans ---- */

static void abandon_chain(struct snapshot_chains *chains, struct snapshot_chain *chain, bool remove)
{
    const struct snapshot_disk *planned = &chain->planned;
    bool alone = chain->top && (!chain->top->backing || chain->top->backing == chain->disk->image);

    if (!chain->top) {
        return;
    }
    if (alone) { /* a save's: only the layer is new */
        chain->top->backing = NULL;
        image_close(chain->top);
    } else {
        close_above_base(chain, chain->top);
    }
    chain->top = NULL;
    if (remove && planned->layers && !chain->disk->snapshot) {
        host_remove(chains->layers, planned->layer[planned->layers - 1]);
    }
}

void snapshot_disks_abandon(struct snapshot_chains *chains)
{
    for (unsigned i = 0; i < chains->count; i++) {
        abandon_chain(chains, &chains->chain[i], true);
    }
}

static int sync_layers(const struct snapshot_chains *chains, struct error *error)
{
    bool named = false;
    int result;

    for (unsigned i = 0; i < chains->count; i++) {
        named = named || (chains->chain[i].top && !chains->chain[i].disk->snapshot);
    }
    result = named ? host_sync_dir(chains->layers) : 0;
    return result < 0 ? error_set(error, result, "cannot write the folder of layers: %s", strerror(-result))
                      : 0;
}

/* Does the top layer hold anything? The user's own image always does. */
static bool was_written(const struct snapshot_chain *chain)
{
    struct image *image = chain->disk->image;
    enum image_status status = IMAGE_BACKING;
    uint64_t run = 0;

    if (image == chain->base) {
        return true;
    }
    for (uint64_t at = 0; at < image->size && status == IMAGE_BACKING; at += run) {
        if (image_status(image, at, image->size - at, &status, &run) < 0 || run == 0) {
            return true;
        }
    }
    return status != IMAGE_BACKING;
}

static int plan_layers(struct snapshot_chains *chains, const char *id, bool everywhere, struct error *error)
{
    int result = 0;

    for (unsigned i = 0; i < chains->count && result == 0; i++) {
        struct snapshot_chain *chain = &chains->chain[i];

        chain->planned = chain->now;
        chain->planned_temporaries = chain->temporaries;
        if (everywhere || was_written(chain)) {
            result = add_layer(chains, chain, NULL, id, error);
        }
    }
    if (result == 0) {
        result = sync_layers(chains, error);
    }
    if (result < 0) {
        snapshot_disks_abandon(chains);
    }
    return result;
}

int snapshot_disks_plan_save(struct snapshot_chains *chains, const char *id, struct error *error)
{
    return plan_layers(chains, id, true, error);
}

int snapshot_disks_plan_clone(struct snapshot_chains *chains, const char *id, struct error *error)
{
    return plan_layers(chains, id, false, error);
}

struct image *snapshot_disks_frozen(const struct snapshot_chains *chains, const struct disk *disk)
{
    for (unsigned i = 0; i < chains->count; i++) {
        if (chains->chain[i].disk == disk && !chains->chain[i].top) {
            return disk->image->backing;
        }
    }
    return disk->image;
}

static uint64_t change_time(const struct stat *status)
{
    return (uint64_t)status->st_mtim.tv_sec * NS_PER_SEC + (uint64_t)status->st_mtim.tv_nsec;
}

/* Is the user's image still what the layers were put on? */
static int check_base(const struct snapshot_chain *chain, const struct snapshot_disk *wanted,
                      struct error *error)
{
    const struct block_file *file = chain->base->file;
    struct stat status;

    if (wanted->base_time == 0 || file->is_device) {
        return 0; /* not frozen when this was noted; or nobody keeps a time */
    }
    if (fstat(file->fd, &status) < 0 || (uint64_t)status.st_size != wanted->base_size ||
        change_time(&status) != wanted->base_time) {
        return error_set(
            error, -EINVAL,
            "drive %s: '%s' was changed after the snapshots were taken, which do not fit it any more "
            "(remove their folder, or bring the file back)",
            wanted->id, file->path);
    }
    return 0;
}

static int open_layer(struct snapshot_chains *chains, struct snapshot_chain *chain, const char *name,
                      bool writable, struct image **lower, struct error *error)
{
    char path[PATH_MAX];
    unsigned flags = image_flags_of(chain) | (writable ? IMAGE_WRITE : 0);
    struct image *image;

    if (layer_path(chains, name, path, error) < 0) {
        return -ENAMETOOLONG;
    }
    image = image_open(path, "qcow2", flags, error);
    if (!image) {
        return error_prefix(error, -EINVAL, "drive %s", chain->now.id);
    }
    image->backing = *lower;
    *lower = image;
    return image->size == chain->base->size
               ? 0
               : error_set(error, -EINVAL, "drive %s: '%s' is a disk of another size", chain->now.id, name);
}

/* Open the layers of a chain over its base; the top one to be written, or none. */
static int open_layers(struct snapshot_chains *chains, struct snapshot_chain *chain,
                       const struct snapshot_disk *wanted, bool writable, struct image **top,
                       struct error *error)
{
    int result = check_base(chain, wanted, error);

    *top = chain->base;
    for (unsigned i = 0; i < wanted->layers && result == 0; i++) {
        result = open_layer(chains, chain, wanted->layer[i], writable && i + 1 == wanted->layers, top, error);
    }
    if (result < 0) {
        close_above_base(chain, *top);
    }
    return result;
}

static int plan_load(struct snapshot_chains *chains, struct snapshot_chain *chain,
                     const struct snapshot_disks *wanted, const char *id, struct error *error)
{
    const struct snapshot_disk *disk = snapshot_disks_find(wanted, chain->now.id);
    struct image *top;
    int result;

    if (!disk) {
        return error_set(error, -EINVAL, "drive %s is not in the snapshot", chain->now.id);
    }
    result = open_layers(chains, chain, disk, false, &top, error);
    if (result < 0) {
        return result;
    }
    chain->planned = *disk;
    chain->planned_temporaries = 0;
    result = add_layer(chains, chain, top, id, error);
    if (result < 0) {
        close_above_base(chain, top);
    }
    return result;
}

int snapshot_disks_plan_load(struct snapshot_chains *chains, const struct snapshot_disks *wanted,
                             const char *id, struct error *error)
{
    int result = 0;

    for (unsigned i = 0; i < chains->count && result == 0; i++) {
        result = plan_load(chains, &chains->chain[i], wanted, id, error);
    }
    if (result == 0) {
        result = sync_layers(chains, error);
    }
    if (result < 0) {
        snapshot_disks_abandon(chains);
    }
    return result;
}

static int plan_current(struct snapshot_chains *chains, struct snapshot_chain *chain,
                        const struct snapshot_disk *disk, struct error *error)
{
    struct image *top;
    int result = open_layers(chains, chain, disk, !chain->disk->snapshot, &top, error);

    if (result < 0) {
        return result;
    }
    chain->planned = *disk;
    chain->planned_temporaries = 0;
    if (!chain->disk->snapshot) {
        chain->top = top;
        return 0;
    }
    result = add_layer(chains, chain, top, "", error);
    if (result < 0) {
        close_above_base(chain, top);
    }
    return result;
}

int snapshot_disks_plan_current(struct snapshot_chains *chains, const struct snapshot_disks *wanted,
                                struct error *error)
{
    int result = 0;

    for (unsigned i = 0; i < chains->count && result == 0; i++) {
        struct snapshot_chain *chain = &chains->chain[i];
        const struct snapshot_disk *disk = snapshot_disks_find(wanted, chain->now.id);

        if (disk && disk->layers) {
            result = plan_current(chains, chain, disk, error);
        }
    }
    for (unsigned i = 0; i < chains->count && result < 0; i++) {
        abandon_chain(chains, &chains->chain[i], false);
    }
    return result;
}

/* ---- the exchange ---- */

void snapshot_disks_hold(struct snapshot_chains *chains)
{
    for (unsigned i = 0; i < chains->count; i++) {
        disk_hold(chains->chain[i].disk);
    }
}

void snapshot_disks_release(struct snapshot_chains *chains)
{
    for (unsigned i = 0; i < chains->count; i++) {
        disk_release(chains->chain[i].disk);
    }
}

int snapshot_disks_settle(struct snapshot_chains *chains, struct error *error)
{
    for (unsigned i = 0; i < chains->count; i++) {
        struct snapshot_chain *chain = &chains->chain[i];
        int result = image_settle(chain->disk->image);

        if (result < 0) {
            return error_set(error, result, "drive %s: not everything could be written: %s", chain->now.id,
                             strerror(-result));
        }
    }
    return 0;
}

int snapshot_disks_stack(struct snapshot_chains *chains, struct error *error)
{
    for (unsigned i = 0; i < chains->count; i++) {
        struct snapshot_chain *chain = &chains->chain[i];

        if (!chain->top) {
            continue;
        }
        if (chain->disk->image != chain->before) {
            return error_set(error, -EAGAIN, "drive %s got another medium just now; try again",
                             chain->now.id);
        }
        chain->top->backing = chain->before;
    }
    return 0;
}

void snapshot_disks_exchange(struct snapshot_chains *chains)
{
    for (unsigned i = 0; i < chains->count; i++) {
        struct snapshot_chain *chain = &chains->chain[i];

        if (chain->top) {
            struct snapshot_disk now = chain->now;
            struct image *image = chain->disk->image;
            unsigned temporaries = chain->temporaries;

            chain->disk->image = chain->top;
            chain->now = chain->planned;
            chain->top = image;
            chain->planned = now;
            chain->temporaries = chain->planned_temporaries;
            chain->planned_temporaries = temporaries;
        }
    }
}

/* Nothing writes it any more; others may read it. */
static void freeze_image(struct image *image)
{
    if (image->writable) {
        image->writable = false;
        block_file_unlock(image->file);
        block_file_lock(image->file, false, NULL);
    }
}

void snapshot_disks_freeze(struct snapshot_chains *chains)
{
    for (unsigned i = 0; i < chains->count; i++) {
        struct snapshot_chain *chain = &chains->chain[i];
        struct stat status;

        if (!chain->top) {
            continue;
        }
        freeze_image(chain->base);
        if (chain->disk->image->backing) {
            freeze_image(chain->disk->image->backing);
        }
        if (chain->now.base_time == 0 && fstat(chain->base->file->fd, &status) == 0) {
            chain->now.base_size = (uint64_t)status.st_size;
            chain->now.base_time = change_time(&status);
            chain->planned.base_size = chain->now.base_size;
            chain->planned.base_time = chain->now.base_time;
        }
    }
}

void snapshot_disks_commit(struct snapshot_chains *chains)
{
    for (unsigned i = 0; i < chains->count; i++) {
        struct snapshot_chain *chain = &chains->chain[i];

        if (chain->top && chain->top != chain->disk->image->backing) {
            close_above_base(chain, chain->top);
        }
        chain->top = NULL;
    }
}

/* ---- merging ---- */

bool snapshot_run_is_in(const struct snapshot_run *run, const struct snapshot_disk *disk, unsigned at)
{
    for (unsigned i = 0; i < run->count; i++) {
        if (at + i >= disk->layers || strcmp(disk->layer[at + i], run->layer[i]) != 0) {
            return false;
        }
    }
    return true;
}

static struct snapshot_chain *chain_of_run(struct snapshot_chains *chains, const struct snapshot_run *run)
{
    for (unsigned i = 0; i < chains->count; i++) {
        struct snapshot_chain *chain = &chains->chain[i];

        if (!strcmp(chain->now.id, run->drive) && run->first + run->count < chain->now.layers &&
            snapshot_run_is_in(run, &chain->now, run->first)) {
            return chain;
        }
    }
    return NULL;
}

/* The image of the chain's layer `number`; the lowest is 0. */
static struct image *layer_image(const struct snapshot_chain *chain, unsigned number)
{
    struct image *image = chain->disk->image;

    for (unsigned above = chain->now.layers - 1 - number; above; above--) {
        image = image->backing;
    }
    return image;
}

int snapshot_disks_open_merge(struct snapshot_chains *chains, const struct snapshot_run *run,
                              struct image **from, struct image **to, char name[SNAPSHOT_LAYER_NAME + 1],
                              struct error *error)
{
    struct snapshot_chain *chain = chain_of_run(chains, run);
    char id[SNAPSHOT_ID_LENGTH + 1];
    struct image *below;

    *from = *to = NULL;
    if (!chain) {
        return error_set(error, -ENOENT, "drive %s has other layers now", run->drive);
    }
    snapshot_make_id(id);
    layer_name(chain, (unsigned)(chain - chains->chain), id, name);
    chain->planned = chain->now;
    chain->planned.layers = run->first; /* what the new layer's header says lies below */
    *from = image_share(layer_image(chain, run->first + run->count - 1), error);
    below = *from ? image_share(layer_image(chain, run->first)->backing, error) : NULL;
    *to = below ? create_layer(chains, chain, name, error) : NULL;
    if (!*to) {
        image_close(below);
        image_close(*from);
        *from = NULL;
        return -EIO;
    }
    (*to)->backing = below;
    return 0;
}

bool snapshot_disks_splice(struct snapshot_chains *chains, const struct snapshot_run *run, struct image *to,
                           const char *name)
{
    struct snapshot_chain *chain = chain_of_run(chains, run);
    struct snapshot_disk *now = chain ? &chain->now : NULL;
    struct image *above, *top, *bottom;
    unsigned end = run->first + run->count;

    if (!chain) {
        return false;
    }
    above = layer_image(chain, end);
    top = above->backing;
    bottom = layer_image(chain, run->first);
    image_close(to->backing);
    to->backing = bottom->backing;
    bottom->backing = NULL;
    above->backing = to;
    freeze_image(to);
    image_close(top);
    strcpy(now->layer[run->first], name);
    memmove(now->layer[run->first + 1], now->layer[end], (now->layers - end) * sizeof(now->layer[0]));
    now->layers -= run->count - 1;
    return true;
}

/* ---- copying ---- */

enum { COPY_PIECE = 1024 * 1024 };

/* What the images say of a place, and for how many bytes. IMAGE_BACKING: nothing. */
static int layers_status(struct image *image, unsigned count, uint64_t offset, enum image_status *status,
                         uint64_t *length)
{
    int result = 0;

    *status = IMAGE_BACKING;
    for (unsigned i = 0; i < count && *status == IMAGE_BACKING && result == 0; i++) {
        uint64_t here = 0;

        result = image_status(image, offset, *length, status, &here);
        *length = MIN(*length, MAX(here, (uint64_t)1));
        image = image->backing;
    }
    return result;
}

int snapshot_copy_layers(struct image *from, unsigned count, struct image *to, const bool *stop)
{
    uint8_t *buffer = malloc(COPY_PIECE);
    int result = buffer ? 0 : -ENOMEM;
    uint64_t length;

    for (uint64_t at = 0; at < to->size && result == 0; at += length) {
        enum image_status status;

        length = to->size - at;
        result = layers_status(from, count, at, &status, &length);
        if (result == 0 && status == IMAGE_DATA) {
            length = MIN(length, (uint64_t)COPY_PIECE);
            result = image_read(from, at, buffer, length);
            result = result < 0 ? result : image_write(to, at, buffer, length);
        } else if (result == 0 && status == IMAGE_ZERO) {
            result = image_zero(to, at, length);
        }
        if (stop && __atomic_load_n(stop, __ATOMIC_RELAXED)) {
            result = -ECANCELED;
        }
    }
    free(buffer);
    return result;
}

/* ---- drives with a temporary overlay ---- */

int snapshot_kept_create(struct snapshot_chains *chains, const char *id, struct snapshot_kept *kept,
                         unsigned *count, struct error *error)
{
    *count = 0;
    for (unsigned i = 0; i < chains->count; i++) {
        struct snapshot_chain *chain = &chains->chain[i];
        struct snapshot_kept *one = &kept[*count];

        if (!chain->disk->snapshot) {
            continue;
        }
        if (chain->now.layers == SNAPSHOT_LAYERS_MAX) {
            return error_set(error, -EMLINK, "drive %s has %d layers of snapshots already", chain->now.id,
                             SNAPSHOT_LAYERS_MAX);
        }
        *one = (struct snapshot_kept){.chain = chain};
        chain->planned = chain->now;
        layer_name(chain, i, id, one->name);
        one->to = create_layer(chains, chain, one->name, error);
        if (!one->to) {
            return error_prefix(error, -EIO, "drive %s", chain->now.id);
        }
        ++*count;
    }
    return *count && host_sync_dir(chains->layers) < 0
               ? error_set(error, -EIO, "cannot write the folder of layers")
               : 0;
}

int snapshot_kept_open(struct snapshot_kept *kept, unsigned count, struct error *error)
{
    for (unsigned i = 0; i < count; i++) {
        const struct snapshot_chain *chain = kept[i].chain;
        struct image *below = chain->disk->image;

        kept[i].count = chain->temporaries;
        for (unsigned k = 0; k < chain->temporaries; k++) {
            below = below->backing;
        }
        kept[i].from = image_share(chain->disk->image, error);
        kept[i].to->backing = kept[i].from ? image_share(below, error) : NULL;
        if (!kept[i].to->backing) {
            return error_prefix(error, -EIO, "drive %s", chain->now.id);
        }
    }
    return 0;
}

void snapshot_kept_describe(const struct snapshot_kept *kept, unsigned count, struct snapshot_disks *disks)
{
    for (unsigned i = 0; i < count; i++) {
        for (unsigned k = 0; k < disks->count; k++) {
            struct snapshot_disk *disk = &disks->disk[k];

            if (!strcmp(disk->id, kept[i].chain->now.id)) {
                strcpy(disk->layer[disk->layers++], kept[i].name);
            }
        }
    }
}

int snapshot_kept_write(struct snapshot_kept *kept, unsigned count, const struct host_dir *layers,
                        struct error *error)
{
    for (unsigned i = 0; i < count; i++) {
        int result = snapshot_copy_layers(kept[i].from, kept[i].count, kept[i].to, NULL);

        if (result == 0) {
            result = image_flush(kept[i].to);
        }
        if (result == 0) {
            result = host_sync(layers, kept[i].to->file->fd, kept[i].name);
        }
        if (result < 0) {
            return error_set(error, result, "cannot write '%s': %s", kept[i].name, strerror(-result));
        }
    }
    return 0;
}

void snapshot_kept_close(struct snapshot_kept *kept, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        image_close(kept[i].from);
        image_close(kept[i].to);
        kept[i].from = kept[i].to = NULL;
    }
}

/* ---- clones ---- */

void snapshot_chains_adopt(struct snapshot_chains *chains, struct disk *disk,
                           const struct snapshot_chains *parent, const struct disk *parent_disk)
{
    const struct snapshot_chain *from = NULL;
    struct snapshot_chain *chain = &chains->chain[chains->count];
    unsigned below = 0;

    for (unsigned i = 0; i < parent->count; i++) {
        from = parent->chain[i].disk == parent_disk ? &parent->chain[i] : from;
    }
    if (!from || !disk->snapshot) {
        return;
    }
    for (const struct image *image = snapshot_disks_frozen(parent, parent_disk); image != from->base;
         image = image->backing) {
        below++;
    }
    *chain = (struct snapshot_chain){.disk = disk, .base = disk->image->backing, .temporaries = below + 1};
    for (; below; below--) {
        chain->base = chain->base->backing;
    }
    snprintf(chain->now.id, sizeof(chain->now.id), "%s", disk->block.id);
    chains->count++;
}
