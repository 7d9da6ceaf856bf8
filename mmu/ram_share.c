/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Memory that several VMs read until they write it: freezing, copying a page before its first write, giving pages back
 * that nobody reads any more. mmu/ram.h draws it, docs/decisions/0010-clones-of-memory.md says why it is done like this.
 *
 * A layer counts, for each frame, the memories that read its page there. Whoever copies a page, and whoever goes, takes
 * itself off; the last one makes a hole in the layer's file. So a page is in the host's memory once for all who read it, and not
 * at all when everybody has one of its own. VMs run on several threads: the counts are atomic, a layer's pages never
 * change, and everything else belongs to one memory, that is one thread at a time.
 *
 * Not modelled: finding equal pages of VMs that are not clones.
 */
#include "mmu/ram_share.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"

struct ram_layer {
    int fd;
    uint8_t *host; /* read only */
    uint64_t size;
    unsigned holders; /* memories that list it; atomic */
    uint16_t *users;  /* a frame: how many of them read its page here; atomic */
};

static uint64_t frames_of(uint64_t size)
{
    return size >> PAGE_SHIFT;
}

static void *map_zeros(uint64_t size)
{
    void *zeros =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return zeros == MAP_FAILED ? NULL : zeros;
}

/* ---- Layers -------------------------------------------------------------------------------------------- */

static void layer_destroy(struct ram_layer *layer)
{
    if (layer->host) {
        ram_unmap_file(layer->host, layer->size);
    }
    if (layer->fd >= 0) {
        close(layer->fd);
    }
    if (layer->users) {
        munmap(layer->users, frames_of(layer->size) * sizeof(*layer->users));
    }
    free(layer);
}

/* Without file and mapping. NULL: out of memory. */
static struct ram_layer *layer_create(uint64_t size)
{
    struct ram_layer *layer = calloc(1, sizeof(*layer));
    if (!layer) {
        return NULL;
    }
    layer->fd = -1;
    layer->size = size;
    layer->users = map_zeros(frames_of(size) * sizeof(*layer->users));
    if (!layer->users) {
        layer_destroy(layer);
        return NULL;
    }
    return layer;
}

/* One memory reads this page no more. */
static void layer_leave(struct ram_layer *layer, uint64_t frame)
{
    if (__atomic_sub_fetch(&layer->users[frame], 1, __ATOMIC_ACQ_REL) == 0) {
        fallocate(layer->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)(frame << PAGE_SHIFT),
                  PAGE_SIZE);
    }
}

static void layer_release(struct ram_layer *layer)
{
    if (__atomic_sub_fetch(&layer->holders, 1, __ATOMIC_ACQ_REL) == 0) {
        layer_destroy(layer);
    }
}

/* ---- What one memory knows of them --------------------------------------------------------------------- */

static struct ram_sharing *sharing_create(uint64_t size)
{
    struct ram_sharing *sharing = calloc(1, sizeof(*sharing));
    if (!sharing) {
        return NULL;
    }
    sharing->origin = map_zeros(frames_of(size));
    if (!sharing->origin) {
        free(sharing);
        return NULL;
    }
    return sharing;
}

void ram_sharing_destroy(struct ram_sharing *sharing, uint64_t size)
{
    if (!sharing) {
        return;
    }
    for (unsigned number = 1; number <= RAM_LAYERS_MAX; number++) {
        struct ram_layer *layer = sharing->layer[number];
        /* With the last holder all of it goes at once. */
        bool last = layer && __atomic_load_n(&layer->holders, __ATOMIC_ACQUIRE) == 1;
        for (uint64_t frame = 0; layer && !last && frame < frames_of(size); frame++) {
            if (sharing->origin[frame] == number) {
                layer_leave(layer, frame);
            }
        }
        if (layer) {
            layer_release(layer);
        }
    }
    munmap(sharing->origin, frames_of(size));
    free(sharing);
}

/* A layer that no frame lies in is not listed any more. */
static void drop_if_empty(struct ram_sharing *sharing, unsigned number)
{
    if (sharing->frames[number] == 0) {
        layer_release(sharing->layer[number]);
        sharing->layer[number] = NULL;
        sharing->base[number] = NULL;
    }
}

/* ---- A frame of one's own ------------------------------------------------------------------------------ */

static void tell_moved(struct ram *ram, uint64_t frame, const uint8_t *old)
{
    const struct ram_watcher *translated = &ram->watcher[RAM_WATCH_TRANSLATED];
    for (struct ram_protect_listener *listener = ram->listeners; listener; listener = listener->next) {
        if (listener->moved) {
            listener->moved(listener->opaque, frame, old);
        }
    }
    /* Translated code knows where its text lies in the host's memory. */
    if ((ram->watch[frame] & BIT(RAM_WATCH_TRANSLATED)) && translated->written) {
        translated->written(translated->opaque, frame << PAGE_SHIFT, PAGE_SIZE);
    }
}

static void take_frame(struct ram *ram, uint64_t frame)
{
    struct ram_sharing *sharing = ram->sharing;
    unsigned number = sharing->origin[frame];
    uint8_t *old = sharing->base[number] + (frame << PAGE_SHIFT);

    memcpy(ram->host + (frame << PAGE_SHIFT), old, PAGE_SIZE);
    __atomic_store_n(&sharing->origin[frame], (uint8_t)0, __ATOMIC_RELEASE);
    ram_watch_clear(ram, frame, RAM_WATCH_SHARED);
    tell_moved(ram, frame, old);
    layer_leave(sharing->layer[number], frame);
    sharing->frames[number]--;
    drop_if_empty(sharing, number);
}

/* ram_watcher: a shared frame is about to be written. */
static void shared_written(void *opaque, roff_t roff, uint64_t length)
{
    struct ram *ram = opaque;
    uint64_t frame = roff >> PAGE_SHIFT;

    (void)length;
    if (ram_shared(ram, frame)) {
        take_frame(ram, frame);
    }
}

void ram_sharing_watch(struct ram *ram)
{
    for (uint64_t frame = 0; frame < frames_of(ram->size); frame++) {
        uint8_t others = ram->watch[frame] & (uint8_t)~BIT(RAM_WATCH_SHARED);
        bool shared = ram_shared(ram, frame);
        if (shared || ram->watch[frame] != others) { /* untouched bytes stay untouched */
            ram->watch[frame] = (uint8_t)(others | (shared ? BIT(RAM_WATCH_SHARED) : 0));
        }
    }
    ram_set_watcher(ram, RAM_WATCH_SHARED, shared_written, ram);
}

int ram_frame_fd(const struct ram *ram, uint64_t frame)
{
    return ram_shared(ram, frame) ? ram->sharing->layer[ram->sharing->origin[frame]]->fd : ram->fd;
}

uint64_t ram_shared_frames(const struct ram *ram, unsigned *layers)
{
    uint64_t frames = 0;
    *layers = 0;
    for (unsigned number = 1; ram->sharing && number <= RAM_LAYERS_MAX; number++) {
        frames += ram->sharing->frames[number];
        *layers += ram->sharing->layer[number] != NULL;
    }
    return frames;
}

/* ---- Sharing all of it --------------------------------------------------------------------------------- */

/* The numbers that are free; 0: none. */
static unsigned free_number(const struct ram_sharing *sharing)
{
    for (unsigned number = 1; number <= RAM_LAYERS_MAX; number++) {
        if (!sharing->layer[number]) {
            return number;
        }
    }
    return 0;
}

/* Copy what lies in the layer that holds least, so that its number is free. */
static unsigned empty_smallest(struct ram *ram)
{
    struct ram_sharing *sharing = ram->sharing;
    unsigned smallest = 1;
    for (unsigned number = 2; number <= RAM_LAYERS_MAX; number++) {
        smallest = sharing->frames[number] < sharing->frames[smallest] ? number : smallest;
    }
    for (uint64_t frame = 0; sharing->layer[smallest] && frame < frames_of(ram->size); frame++) {
        if (sharing->origin[frame] == smallest) {
            take_frame(ram, frame);
        }
    }
    return smallest;
}

static bool is_private(const struct ram *ram, uint64_t frame)
{
    for (unsigned i = 0; i < ram->private_count; i++) {
        if ((frame << PAGE_SHIFT) - ram->private[i].roff < ram->private[i].size) {
            return true;
        }
    }
    return false;
}

/* What a new layer needs of the host, and a new file for `ram`; nothing of `ram` has changed on failure. */
struct freeze {
    struct ram_layer *layer;
    int fd;
    uint8_t *host;
};

static void freeze_abandon(struct freeze *freeze, uint64_t size)
{
    if (freeze->host) {
        ram_unmap_file(freeze->host, size);
    }
    if (freeze->fd >= 0) {
        close(freeze->fd);
    }
    if (freeze->layer) {
        layer_destroy(freeze->layer);
    }
}

static int freeze_prepare(struct freeze *freeze, struct ram *ram, struct error *error)
{
    *freeze = (struct freeze){.fd = -1};
    if (!ram->sharing) {
        ram->sharing = sharing_create(ram->size);
        if (!ram->sharing) {
            return error_set(error, -ENOMEM, "out of memory");
        }
        ram->sharing->base[0] = ram->host;
    }
    freeze->layer = layer_create(ram->size);
    freeze->fd = freeze->layer ? ram_new_file(ram->size, error) : error_set(error, -ENOMEM, "out of memory");
    if (freeze->fd < 0) {
        return freeze->fd;
    }
    freeze->host = ram_map_file(freeze->fd, ram->size);
    if (!freeze->host) {
        return error_set(error, -errno, "cannot map guest memory of %llu KiB: %s",
                         (unsigned long long)(ram->size / KIB), strerror(errno));
    }
    return 0;
}

/* The pages of `from` itself become a layer's, read by both; private ones are copied to both. */
static void freeze_frames(struct ram *from, struct ram *to, unsigned number, const struct freeze *freeze)
{
    struct ram_layer *layer = freeze->layer;
    struct ram_sharing *sharing = from->sharing;
    uint64_t first, end;

    for (uint64_t at = 0; ram_file_next_data(layer->fd, layer->size, at, &first, &end); at = end) {
        for (uint64_t frame = first; frame < end; frame++) {
            roff_t roff = frame << PAGE_SHIFT;
            if (is_private(from, frame)) {
                memcpy(freeze->host + roff, layer->host + roff, PAGE_SIZE);
                memcpy(to->host + roff, layer->host + roff, PAGE_SIZE);
            } else if (!sharing->origin[frame]) {
                sharing->origin[frame] = (uint8_t)number;
                sharing->frames[number]++;
                layer->users[frame] = 1;
            }
        }
    }
}

/* From here on nothing fails. */
static void freeze_commit(struct freeze *freeze, struct ram *from, struct ram *to, unsigned number)
{
    struct ram_sharing *sharing = from->sharing;
    struct ram_layer *layer = freeze->layer;

    layer->fd = from->fd;
    layer->host = from->host;
    layer->holders = 1;
    freeze_frames(from, to, number, freeze);
    for (unsigned i = 0; i < from->private_count; i++) {
        fallocate(layer->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)from->private[i].roff,
                  (off_t)from->private[i].size);
    }
    from->fd = freeze->fd;
    from->host = sharing->base[0] = freeze->host;
    sharing->layer[number] = layer;
    sharing->base[number] = layer->host;
    drop_if_empty(sharing, number); /* nothing was written since the last time */
}

/* `to` reads what `from` does. */
static void join(struct ram *to, struct ram_sharing *own, const struct ram_sharing *from)
{
    uint8_t *origin = own->origin;

    *own = *from;
    own->origin = origin;
    own->base[0] = to->host;
    for (uint64_t frame = 0; frame < frames_of(to->size); frame++) {
        if (from->origin[frame]) {
            origin[frame] = from->origin[frame];
            __atomic_add_fetch(&own->layer[origin[frame]]->users[frame], 1, __ATOMIC_ACQ_REL);
        }
    }
    for (unsigned number = 1; number <= RAM_LAYERS_MAX; number++) {
        if (own->layer[number]) {
            __atomic_add_fetch(&own->layer[number]->holders, 1, __ATOMIC_ACQ_REL);
        }
    }
    to->sharing = own;
}

static int empty_file(struct ram *ram, struct error *error)
{
    if (ftruncate(ram->fd, 0) < 0 || ftruncate(ram->fd, (off_t)ram->size) < 0) {
        return error_set(error, -errno, "cannot empty guest memory: %s", strerror(errno));
    }
    return 0;
}

int ram_share(struct ram *from, struct ram *to, struct error *error)
{
    struct freeze freeze = {.fd = -1};
    struct ram_sharing *joined = NULL;
    unsigned number;
    int result = from->size == to->size && !to->sharing
                     ? empty_file(to, error)
                     : error_set(error, -EINVAL, "memory of another size cannot be shared");

    if (result == 0) {
        joined = sharing_create(to->size);
        result = joined ? freeze_prepare(&freeze, from, error) : error_set(error, -ENOMEM, "out of memory");
    }
    if (result < 0) {
        freeze_abandon(&freeze, from->size);
        ram_sharing_destroy(joined, to->size);
        return result;
    }
    number = free_number(from->sharing);
    if (!number) {
        number = empty_smallest(from);
    }
    mprotect(from->host, from->size,
             PROT_READ); /* one mapping as before; a write by mistake would be everybody's */
    freeze_commit(&freeze, from, to, number);
    join(to, joined, from->sharing);
    ram_sharing_watch(from);
    ram_sharing_watch(to);
    return 0;
}
