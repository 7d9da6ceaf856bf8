/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Guest memory: one memfd, mapped once, between two guard regions; and the write watches on its frames. What VMs share is in
 * mmu/ram_share.c.
 *
 *   reservation (PROT_NONE)
 *   +-------------+--------------------------------------+-------------+
 *   | guard, 1 MiB| memfd, read-write, shared            | guard, 1 MiB|
 *   +-------------+--------------------------------------+-------------+
 *                 ^ ram->host, a multiple of ram->span
 *
 * Both the memfd and the watch array are backed by the host lazily, page by page.
 *
 * Not modelled: memory errors, parity, ECC. Host memory running out shows as SIGBUS in the accessing
 * thread, as for any shared mapping.
 */
#include "mmu/ram.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"
#include "mmu/ram_share.h"

#define GUARD_SIZE ((uint64_t)1 * MIB)
/* Sanity bound, not a promise: beyond any guest-physical space that is modelled. */
#define RAM_MAX_SIZE ((uint64_t)1024 * GIB)

/* A power of two that `size` fits in. */
static uint64_t span_of(uint64_t size)
{
    uint64_t span = GUARD_SIZE;
    while (span < size) {
        span *= 2;
    }
    return span;
}

/*
 * Room for `size` bytes at a multiple of `span`, with a guard on either side: more is reserved, and what lies too far out
 * given back.
 */
static uint8_t *reserve_aligned(uint64_t size, uint64_t span)
{
    uint64_t room = size + span + 2 * GUARD_SIZE;
    uint8_t *low = mmap(NULL, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (low == MAP_FAILED) {
        return NULL;
    }
    uint8_t *host = low + (ALIGN_UP((uintptr_t)low + GUARD_SIZE, span) - (uintptr_t)low);
    uint8_t *first = host - GUARD_SIZE, *end = host + size + GUARD_SIZE;
    if (first > low) {
        munmap(low, (size_t)(first - low));
    }
    if (low + room > end) {
        munmap(end, (size_t)(low + room - end));
    }
    return host;
}

uint8_t *ram_map_file(int fd, uint64_t size)
{
    uint8_t *host = reserve_aligned(size, span_of(size));
    if (!host) {
        return NULL;
    }
    if (mmap(host, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED | MAP_NORESERVE, fd, 0) ==
        MAP_FAILED) {
        int saved = errno;
        ram_unmap_file(host, size);
        errno = saved;
        return NULL;
    }
    return host;
}

void ram_unmap_file(uint8_t *host, uint64_t size)
{
    munmap(host - GUARD_SIZE, size + 2 * GUARD_SIZE);
}

int ram_new_file(uint64_t size, struct error *error)
{
    int fd = memfd_create("guest-memory", MFD_CLOEXEC);
    int code;
    if (fd >= 0 && ftruncate(fd, (off_t)size) == 0) {
        return fd;
    }
    code = error_set(error, -errno, "cannot create guest memory of %llu KiB: %s",
                     (unsigned long long)(size / KIB), strerror(errno));
    if (fd >= 0) {
        close(fd);
    }
    return code;
}

/* All of the memory changes: everybody is told but the sharing, which has nothing to copy. */
static void notify_all_contents(struct ram *ram)
{
    for (unsigned which = 0; which < RAM_WATCH_COUNT; which++) {
        const struct ram_watcher *watcher = &ram->watcher[which];
        bool told = watcher->written && which != RAM_WATCH_SHARED;
        for (uint64_t frame = 0; told && frame < ram->size >> PAGE_SHIFT; frame++) {
            if (ram->watch[frame] & BIT(which)) {
                watcher->written(watcher->opaque, frame << PAGE_SHIFT, PAGE_SIZE);
            }
        }
    }
    if (ram->observer.written) {
        ram->observer.written(ram->observer.opaque, 0, ram->size);
    }
}

int ram_exchange(struct ram *ram, struct ram_contents *contents, struct error *error)
{
    struct ram_contents old = {.fd = ram->fd, .sharing = ram->sharing};
    notify_all_contents(ram);
    if (mmap(ram->host, ram->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED | MAP_NORESERVE,
             contents->fd, 0) == MAP_FAILED) {
        return error_set(error, -errno, "cannot map guest memory of %llu KiB: %s",
                         (unsigned long long)(ram->size / KIB), strerror(errno));
    }
    ram->fd = contents->fd;
    ram->sharing = contents->sharing;
    ram_sharing_watch(ram);
    *contents = old;
    return 0;
}

void ram_contents_fini(struct ram_contents *contents, uint64_t size)
{
    ram_sharing_destroy(contents->sharing, size);
    if (contents->fd >= 0) {
        close(contents->fd);
    }
    *contents = (struct ram_contents){.fd = -1};
}

int ram_init(struct ram *ram, uint64_t size, struct error *error)
{
    int code;
    *ram = (struct ram){.fd = -1};
    if (size == 0) {
        return error_set(error, -EINVAL, "guest memory size is 0");
    }
    if (size > RAM_MAX_SIZE) {
        return error_set(error, -EINVAL, "guest memory size of %llu bytes is more than the supported %llu",
                         (unsigned long long)size, (unsigned long long)RAM_MAX_SIZE);
    }
    ram->size = ALIGN_UP(size, PAGE_SIZE);
    ram->span = span_of(ram->size);

    ram->fd = ram_new_file(ram->size, error);
    if (ram->fd < 0) {
        code = ram->fd;
        goto close_fd;
    }
    ram->host = ram_map_file(ram->fd, ram->size);
    if (!ram->host) {
        code = error_set(error, -errno, "cannot map guest memory of %llu KiB: %s",
                         (unsigned long long)(ram->size / KIB), strerror(errno));
        goto close_fd;
    }
    ram->watch = mmap(NULL, ram->size >> PAGE_SHIFT, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (ram->watch == MAP_FAILED) {
        code = error_set(error, -errno, "cannot map the write watches of guest memory: %s", strerror(errno));
        goto unmap;
    }
    return 0;

unmap:
    ram_unmap_file(ram->host, ram->size);
close_fd:
    if (ram->fd >= 0) {
        close(ram->fd);
    }
    *ram = (struct ram){.fd = -1};
    return code;
}

void ram_fini(struct ram *ram)
{
    if (!ram->host) {
        return;
    }
    munmap(ram->watch, ram->size >> PAGE_SHIFT);
    ram_unmap_file(ram->host, ram->size);
    ram_contents_fini(&(struct ram_contents){.fd = ram->fd, .sharing = ram->sharing}, ram->size);
    *ram = (struct ram){.fd = -1};
}

roff_t ram_alloc(struct ram *ram, uint64_t size)
{
    if (size == 0 || size > ram->size - ram->used) {
        return UINT64_MAX;
    }
    roff_t roff = ram->used;
    /* ram->size is a page multiple, so rounding up cannot pass it. */
    ram->used += ALIGN_UP(size, PAGE_SIZE);
    return roff;
}

void ram_keep_private(struct ram *ram, roff_t roff, uint64_t size)
{
    if (ram->private_count < RAM_PRIVATE_MAX) {
        ram->private[ram->private_count].roff = roff;
        ram->private[ram->private_count++].size = size;
    }
}

/* ---- Over several frames ------------------------------------------------------------------------------- */

/* Bytes of [roff, roff + length) that have one pointer. */
static uint64_t run_length(const struct ram *ram, roff_t roff, uint64_t length)
{
    return ram->sharing ? MIN(length, PAGE_SIZE - (roff & PAGE_OFFSET_MASK)) : length;
}

void ram_read(const struct ram *ram, roff_t roff, void *bytes, uint64_t length)
{
    for (uint8_t *to = bytes; length;) {
        uint64_t run = run_length(ram, roff, length);
        memcpy(to, ram_ptr(ram, roff), run);
        roff += run;
        to += run;
        length -= run;
    }
}

void ram_write(struct ram *ram, roff_t roff, const void *bytes, uint64_t length)
{
    ram_watch_notify(ram, roff, length);
    for (const uint8_t *from = bytes; length;) {
        uint64_t run = run_length(ram, roff, length);
        memcpy(ram_ptr(ram, roff), from, run);
        roff += run;
        from += run;
        length -= run;
    }
}

bool ram_file_next_data(int fd, uint64_t size, uint64_t frame, uint64_t *first, uint64_t *end)
{
    off_t start = lseek(fd, (off_t)(frame << PAGE_SHIFT), SEEK_DATA);
    off_t stop = start >= 0 ? lseek(fd, start, SEEK_HOLE) : -1;
    if (stop < 0) {
        return false;
    }
    *first = (uint64_t)start >> PAGE_SHIFT;
    *end = MIN(ALIGN_UP((uint64_t)stop, PAGE_SIZE), size) >> PAGE_SHIFT;
    return *first < *end;
}

bool ram_next_data(const struct ram *ram, uint64_t frame, uint64_t *first, uint64_t *end)
{
    uint64_t frames = ram->size >> PAGE_SHIFT, at = frame;
    bool own = ram_file_next_data(ram->fd, ram->size, frame, first, end);
    if (!ram->sharing) {
        return own;
    }
    while (at < (own ? *first : frames) && !ram_shared(ram, at)) {
        at++;
    }
    if (at >= (own ? *first : frames)) {
        return own;
    }
    *first = at;
    while (at < frames && ram_shared(ram, at)) {
        at++;
    }
    *end = at;
    return true;
}

/* ---- Write watches ------------------------------------------------------------------------------------- */

void ram_set_watcher(struct ram *ram, enum ram_watch which, void (*written)(void *, roff_t, uint64_t),
                     void *opaque)
{
    ram->watcher[which] = (struct ram_watcher){.written = written, .opaque = opaque};
}

void ram_add_listener(struct ram *ram, struct ram_protect_listener *listener)
{
    listener->next = ram->listeners;
    ram->listeners = listener;
}

void ram_watch_set(struct ram *ram, uint64_t frame, enum ram_watch which)
{
    if (frame >= ram->size >> PAGE_SHIFT) {
        return;
    }
    uint8_t before = ram->watch[frame];
    ram->watch[frame] = (uint8_t)(before | BIT(which));
    if (before) {
        return; /* somebody watches already: no cached translation may write it */
    }
    for (struct ram_protect_listener *listener = ram->listeners; listener; listener = listener->next) {
        listener->protect(listener->opaque, frame);
    }
}

void ram_watch_clear(struct ram *ram, uint64_t frame, enum ram_watch which)
{
    if (frame < ram->size >> PAGE_SHIFT) {
        ram->watch[frame] = (uint8_t)(ram->watch[frame] & ~BIT(which));
    }
}

void ram_watch_set_all(struct ram *ram, enum ram_watch which)
{
    for (uint64_t frame = 0; frame < ram->size >> PAGE_SHIFT; frame++) {
        ram->watch[frame] = (uint8_t)(ram->watch[frame] | BIT(which));
    }
}

/*
 * [roff, roff + length) lies within one frame. A watcher may clear its own or another's bit. The sharing comes last: the
 * others may still look at the page as it was, and where.
 */
static void notify_frame(struct ram *ram, roff_t roff, uint64_t length)
{
    const uint8_t *watch = &ram->watch[roff >> PAGE_SHIFT];
    for (unsigned which = 0; which < RAM_WATCH_COUNT; which++) {
        const struct ram_watcher *watcher = &ram->watcher[which];
        if ((*watch & BIT(which)) && watcher->written) {
            watcher->written(watcher->opaque, roff, length);
        }
    }
}

void ram_observe(struct ram *ram, roff_t roff, uint64_t length)
{
    if (UNLIKELY(ram->observer.written != NULL)) {
        ram->observer.written(ram->observer.opaque, roff, length);
    }
}

void ram_watch_notify(struct ram *ram, roff_t roff, uint64_t length)
{
    if (roff >= ram->size) {
        return;
    }
    roff_t end = roff + MIN(length, ram->size - roff);
    ram_observe(ram, roff, end - roff);
    while (roff < end) {
        roff_t next = MIN(end, ALIGN_DOWN(roff, PAGE_SIZE) + PAGE_SIZE);
        if (UNLIKELY(ram->watch[roff >> PAGE_SHIFT])) {
            notify_frame(ram, roff, next - roff);
        }
        roff = next;
    }
}

void ram_watch_announce(struct ram *ram, roff_t roff)
{
    uint8_t watch = roff < ram->size ? ram->watch[roff >> PAGE_SHIFT] : 0;
    if (watch == BIT(RAM_WATCH_DISPLAY) && !ram->observe_all) {
        ram_watch_notify(ram, ALIGN_DOWN(roff, PAGE_SIZE), PAGE_SIZE);
    }
}
