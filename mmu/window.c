/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Host windows: reserving, mapping, dropping.
 *
 * What is dropped becomes inaccessible memory again, never a hole: the host would put something else there. Such memory
 * merges with its neighbours, so dropping gives mappings back.
 *
 * Linux: mmap(2), and vm.max_map_count, the limit on a process's mappings.
 */
#include "mmu/window.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/error.h"

#define SPAN        (WINDOW_PAGES << PAGE_SHIFT)
#define GUARD       ((uint64_t)MIB) /* an operand that begins below 4 GiB ends in it */
#define PAGES_SIZE  (WINDOW_PAGES * sizeof(uint32_t))
#define CHUNKS_SIZE (WINDOW_CHUNKS * sizeof(uint16_t))

enum { POPULATE_MAX = 16 }; /* pages of a run that are entered in the host's page table at once */

static void *reserve(uint64_t size, int protection)
{
    return mmap(NULL, size, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
}

int window_init(struct window *window, struct error *error)
{
    uint8_t *base = reserve(SPAN + GUARD, PROT_NONE);
    uint8_t *words = reserve(PAGES_SIZE + CHUNKS_SIZE, PROT_READ | PROT_WRITE);

    if (base == MAP_FAILED || words == MAP_FAILED) {
        int code = error_set(error, -errno, "cannot reserve a host window: %s", strerror(errno));
        if (base != MAP_FAILED) {
            munmap(base, SPAN + GUARD);
        }
        return code;
    }
    *window = (struct window){
        .base = base, .page = (uint32_t *)words, .chunk = (uint16_t *)(words + PAGES_SIZE), .runs = 1};
    return 0;
}

void window_fini(struct window *window)
{
    if (window_exists(window)) {
        munmap(window->base, SPAN + GUARD);
        munmap(window->page, PAGES_SIZE + CHUNKS_SIZE);
        *window = (struct window){.base = NULL};
    }
}

static uint8_t *page_address(const struct window *window, uint32_t page)
{
    return window->base + ((uint64_t)page << PAGE_SHIFT);
}

static bool make_inaccessible(struct window *window, uint32_t first, uint64_t count)
{
    window->calls++;
    return mmap(page_address(window, first), count << PAGE_SHIFT, PROT_NONE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) != MAP_FAILED;
}

static void set_word(struct window *window, uint32_t page, uint32_t word)
{
    uint16_t *chunk = &window->chunk[page / WINDOW_CHUNK_PAGES];

    *chunk = (uint16_t)(*chunk + (word != 0) - (window->page[page] != 0));
    window->page[page] = word;
}

void window_clear(struct window *window)
{
    /* One mapping in place of many: only a host without any memory left refuses, and then nothing can be kept safe. */
    if (!make_inaccessible(window, 0, WINDOW_PAGES)) {
        perror("hypatia: cannot close a host window");
        abort();
    }
    for (unsigned chunk = 0; chunk < WINDOW_CHUNKS; chunk++) {
        if (window->chunk[chunk]) {
            memset(window->page + (size_t)chunk * WINDOW_CHUNK_PAGES, 0,
                   WINDOW_CHUNK_PAGES * sizeof(uint32_t));
            window->chunk[chunk] = 0;
        }
    }
    window->runs = 1;
}

bool window_map(struct window *window, const struct ram *ram, uint32_t first, unsigned count, uint64_t frame,
                bool writable)
{
    int protection = PROT_READ | (writable ? PROT_WRITE : 0);
    int flags = MAP_SHARED | MAP_FIXED | (count <= POPULATE_MAX ? MAP_POPULATE : 0);

    if (window->runs + 2 > WINDOW_RUNS_MAX) {
        window_clear(window);
    }
    window->runs += 2; /* a run, and the rest of what it splits */
    window->calls++;
    if (mmap(page_address(window, first), (uint64_t)count << PAGE_SHIFT, protection, flags,
             ram_frame_fd(ram, frame), (off_t)(frame << PAGE_SHIFT)) == MAP_FAILED) {
        window_clear(window);
        return false;
    }
    for (unsigned i = 0; i < count; i++) {
        set_word(window, first + i, (uint32_t)(frame + i) << 2 | (writable ? 3u : 1u));
    }
    return true;
}

void window_drop(struct window *window, uint32_t first, unsigned count)
{
    uint32_t end = first + count;

    while (first < end && !window->page[first]) {
        first++;
    }
    while (first < end && !window->page[end - 1]) {
        end--;
    }
    if (first == end) {
        return;
    }
    window->runs += 2;
    if (!make_inaccessible(window, first, end - first)) {
        window_clear(window);
        return;
    }
    for (uint32_t page = first; page < end; page++) {
        set_word(window, page, 0);
    }
}

void window_protect(struct window *window, unsigned chunk, uint64_t frame)
{
    uint32_t first = chunk * WINDOW_CHUNK_PAGES, word = (uint32_t)frame << 2 | 3u;

    if (!window->chunk[chunk]) {
        return;
    }
    for (uint32_t page = first; page < first + WINDOW_CHUNK_PAGES; page++) {
        if (window->page[page] != word) {
            continue;
        }
        window->runs += 2;
        window->calls++;
        if (mprotect(page_address(window, page), PAGE_SIZE, PROT_READ) < 0) {
            window_clear(window);
            return;
        }
        window->page[page] = word & ~2u;
    }
}

void window_forget(struct window *window, unsigned chunk, uint64_t frame)
{
    uint32_t first = chunk * WINDOW_CHUNK_PAGES;

    for (uint32_t page = first; page < first + WINDOW_CHUNK_PAGES && window->chunk[chunk]; page++) {
        if (window->page[page] && window_frame(window, page) == frame) {
            window_drop(window, page, 1);
        }
    }
}
