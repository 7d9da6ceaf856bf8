/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Guest memory: one memfd, mapped once, between two guard regions; and the write watches on its frames.
 *
 *   reservation (PROT_NONE)
 *   +-------------+--------------------------------------+-------------+
 *   | guard, 1 MiB| memfd, read-write, shared            | guard, 1 MiB|
 *   +-------------+--------------------------------------+-------------+
 *                 ^ ram->host
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

#define GUARD_SIZE ((uint64_t)1 * MIB)
/* Sanity bound, not a promise: beyond any guest-physical space that is modelled. */
#define RAM_MAX_SIZE ((uint64_t)1024 * GIB)

/* The memfd's pages in the middle of a reservation. Returns NULL with errno set on failure. */
static uint8_t *map_between_guards(int fd, uint64_t size)
{
    uint8_t *reservation =
        mmap(NULL, size + 2 * GUARD_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (reservation == MAP_FAILED) {
        return NULL;
    }
    uint8_t *host = mmap(reservation + GUARD_SIZE, size, PROT_READ | PROT_WRITE,
                         MAP_SHARED | MAP_FIXED | MAP_NORESERVE, fd, 0);
    if (host == MAP_FAILED) {
        int saved = errno;
        munmap(reservation, size + 2 * GUARD_SIZE);
        errno = saved;
        return NULL;
    }
    return host;
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

int ram_exchange(struct ram *ram, int fd, int *old, struct error *error)
{
    if (mmap(ram->host, ram->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED | MAP_NORESERVE, fd, 0) ==
        MAP_FAILED) {
        return error_set(error, -errno, "cannot map guest memory of %llu KiB: %s",
                         (unsigned long long)(ram->size / KIB), strerror(errno));
    }
    *old = ram->fd;
    ram->fd = fd;
    return 0;
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

    ram->fd = ram_new_file(ram->size, error);
    if (ram->fd < 0) {
        code = ram->fd;
        goto close_fd;
    }
    ram->host = map_between_guards(ram->fd, ram->size);
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
    munmap(ram->host - GUARD_SIZE, ram->size + 2 * GUARD_SIZE);
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
    munmap(ram->host - GUARD_SIZE, ram->size + 2 * GUARD_SIZE);
    close(ram->fd);
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

/* [roff, roff + length) lies within one frame. A watcher may clear its own or another's bit. */
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

void ram_watch_notify(struct ram *ram, roff_t roff, uint64_t length)
{
    if (roff >= ram->size) {
        return;
    }
    roff_t end = roff + MIN(length, ram->size - roff);
    if (UNLIKELY(ram->observer.written != NULL)) {
        ram->observer.written(ram->observer.opaque, roff, end - roff);
    }
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
