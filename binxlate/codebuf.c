/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The code buffer, and the arena of the blocks that describe it.
 *
 * The buffer is one memfd mapped twice, so that no page is ever both writable and executable:
 *
 *   write view    guard | read, write   | guard
 *   execute view  guard | read, execute | guard
 *
 * Both fill from the bottom and are emptied only as a whole (binxlate_reset).
 */
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "binxlate/engine.h"

#define GUARD_SIZE ((size_t)64 * KIB)

static uint8_t *map_view(int fd, size_t size, int protection)
{
    uint8_t *area =
        mmap(NULL, size + 2 * GUARD_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (area == MAP_FAILED) {
        return NULL;
    }
    uint8_t *view = mmap(area + GUARD_SIZE, size, protection, MAP_SHARED | MAP_FIXED, fd, 0);
    if (view == MAP_FAILED) {
        munmap(area, size + 2 * GUARD_SIZE);
        return NULL;
    }
    return view;
}

static void unmap_view(uint8_t *view, size_t size)
{
    if (view) {
        munmap(view - GUARD_SIZE, size + 2 * GUARD_SIZE);
    }
}

int code_buffer_init(struct code_buffer *code, size_t size, struct error *error)
{
    int fd = memfd_create("translated-code", MFD_CLOEXEC);

    *code = (struct code_buffer){.size = size};
    if (fd >= 0 && ftruncate(fd, (off_t)size) == 0) {
        code->write = map_view(fd, size, PROT_READ | PROT_WRITE);
        code->exec = map_view(fd, size, PROT_READ | PROT_EXEC);
    }
    int saved = errno;
    if (fd >= 0) {
        close(fd);
    }
    if (!code->write || !code->exec) {
        code_buffer_fini(code);
        return error_set(error, -saved, "translator: cannot map a code buffer of %zu MiB: %s",
                         size / (size_t)MIB, strerror(saved));
    }
    return 0;
}

void code_buffer_fini(struct code_buffer *code)
{
    unmap_view(code->write, code->size);
    unmap_view(code->exec, code->size);
    *code = (struct code_buffer){0};
}

int arena_init(struct arena *arena, size_t size, struct error *error)
{
    void *base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (base == MAP_FAILED) {
        return error_set(error, -errno, "translator: cannot map %zu MiB: %s", size / (size_t)MIB,
                         strerror(errno));
    }
    *arena = (struct arena){.base = base, .size = size};
    return 0;
}

void arena_fini(struct arena *arena)
{
    if (arena->base) {
        munmap(arena->base, arena->size);
    }
    *arena = (struct arena){0};
}

void *arena_alloc(struct arena *arena, size_t size)
{
    size_t aligned = (size_t)ALIGN_UP(size, 16);

    if (aligned > arena->size - arena->used) {
        return NULL;
    }
    void *memory = arena->base + arena->used;
    arena->used += aligned;
    return memset(memory, 0, size);
}
