/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Guest memory: sizes, allocation, guard regions, and write watches. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"
#include "mmu/ram.h"

struct record {
    unsigned calls;
    roff_t roff;
    uint64_t length, total;
    struct ram *ram;
    int clear; /* bit to clear when called, or -1 */
    uint8_t seen;
};

static void written(void *opaque, roff_t roff, uint64_t length)
{
    struct record *record = opaque;
    record->calls++;
    record->roff = roff;
    record->length = length;
    record->total += length;
    record->seen = *ram_ptr(record->ram, roff);
    if (record->clear >= 0) {
        ram_watch_clear(record->ram, roff >> PAGE_SHIFT, (enum ram_watch)record->clear);
    }
}

static void protect(void *opaque, uint64_t frame)
{
    struct record *record = opaque;
    record->calls++;
    record->roff = frame << PAGE_SHIFT;
}

Test(ram, size_zero_and_absurd_sizes_are_refused_with_a_text)
{
    struct ram ram;
    struct error error = {{0}};
    cr_assert_eq(ram_init(&ram, 0, &error), -EINVAL);
    cr_assert_not_null(strstr(error.text, "size is 0"));
    ram_fini(&ram);
    cr_assert_eq(ram_init(&ram, UINT64_MAX, &error), -EINVAL);
    cr_assert_not_null(strstr(error.text, "more than"));
    ram_fini(&ram);
    cr_assert_eq(ram_init(&ram, UINT64_MAX, NULL), -EINVAL);
}

Test(ram, sizes_are_rounded_up_to_pages_and_memory_is_zero)
{
    struct ram ram;
    cr_assert_eq(ram_init(&ram, 5000, NULL), 0);
    cr_assert_eq(ram.size, 8192);
    for (unsigned i = 0; i < ram.size; i++) {
        cr_assert_eq(ram.host[i], 0);
    }
    ram_fini(&ram);
    cr_assert_null(ram.host);
    ram_fini(&ram);
}

Test(ram, untouched_memory_costs_nothing)
{
    struct ram ram;
    cr_assert_eq(ram_init(&ram, 64 * GIB, NULL), 0);
    ram.host[0] = 1;
    ram.host[ram.size - 1] = 2;
    cr_assert(!ram_watched(&ram, ram.size - 1));
    ram_fini(&ram);
}

Test(ram, allocation_hands_out_pages_until_used_up)
{
    struct ram ram;
    cr_assert_eq(ram_init(&ram, 4 * PAGE_SIZE, NULL), 0);
    cr_assert_eq(ram_alloc(&ram, 0), UINT64_MAX);
    cr_assert_eq(ram_alloc(&ram, PAGE_SIZE), 0);
    cr_assert_eq(ram_alloc(&ram, 100), PAGE_SIZE, "odd sizes take whole pages");
    cr_assert_eq(ram_alloc(&ram, 3 * PAGE_SIZE), UINT64_MAX);
    cr_assert_eq(ram_alloc(&ram, UINT64_MAX), UINT64_MAX);
    cr_assert_eq(ram_alloc(&ram, 2 * PAGE_SIZE), 2 * PAGE_SIZE);
    cr_assert_eq(ram_alloc(&ram, 1), UINT64_MAX);
    ram_fini(&ram);
}

/* Is the page at `host` mapped without any access? A write of it to a pipe answers EFAULT. */
static bool inaccessible(const uint8_t *host)
{
    int pipe_fds[2];
    cr_assert_eq(pipe(pipe_fds), 0);
    bool faulted = write(pipe_fds[1], host, 1) < 0 && errno == EFAULT;
    close(pipe_fds[0]);
    close(pipe_fds[1]);
    unsigned char resident;
    bool mapped = mincore((void *)ALIGN_DOWN((uintptr_t)host, PAGE_SIZE), PAGE_SIZE, &resident) == 0;
    return faulted && mapped;
}

Test(ram, guard_regions_lie_on_both_sides)
{
    struct ram ram;
    cr_assert_eq(ram_init(&ram, 4 * PAGE_SIZE, NULL), 0);
    cr_assert(!inaccessible(ram.host));
    cr_assert(!inaccessible(ram.host + ram.size - 1));
    for (unsigned distance = 0; distance < 64 * KIB; distance += PAGE_SIZE) {
        cr_assert(inaccessible(ram.host - 1 - distance));
        cr_assert(inaccessible(ram.host + ram.size + distance));
    }
    ram_fini(&ram);
}

Test(ram, descriptor_is_the_memory_and_is_closed_on_exec)
{
    struct ram ram;
    uint8_t byte = 0;
    cr_assert_eq(ram_init(&ram, 2 * PAGE_SIZE, NULL), 0);
    ram.host[4097] = 0x5a;
    cr_assert_eq(pread(ram.fd, &byte, 1, 4097), 1);
    cr_assert_eq(byte, 0x5a);
    cr_assert(fcntl(ram.fd, F_GETFD) & FD_CLOEXEC);
    int fd = ram.fd;
    ram_fini(&ram);
    cr_assert_eq(fcntl(fd, F_GETFD), -1, "the descriptor is closed with the memory");
}

Test(ram, watches_hear_of_writes_frame_by_frame)
{
    struct ram ram;
    cr_assert_eq(ram_init(&ram, 8 * PAGE_SIZE, NULL), 0);
    struct record code = {.ram = &ram, .clear = -1}, display = {.ram = &ram, .clear = -1};
    ram_set_watcher(&ram, RAM_WATCH_CODE, written, &code);
    ram_set_watcher(&ram, RAM_WATCH_DISPLAY, written, &display);
    ram_watch_notify(&ram, 0, ram.size);
    cr_assert_eq(code.calls, 0);

    ram_watch_set(&ram, 1, RAM_WATCH_CODE);
    ram_watch_set(&ram, 2, RAM_WATCH_CODE);
    ram_watch_set(&ram, 2, RAM_WATCH_DISPLAY);
    cr_assert(ram_watched(&ram, PAGE_SIZE));
    cr_assert(!ram_watched(&ram, PAGE_SIZE - 1));
    ram_watch_notify(&ram, PAGE_SIZE - 2, PAGE_SIZE + 7);
    cr_assert_eq(code.calls, 2);
    cr_assert_eq(code.total, PAGE_SIZE + 5);
    cr_assert_eq(code.roff, 2 * PAGE_SIZE);
    cr_assert_eq(code.length, 5);
    cr_assert_eq(display.calls, 1);
    ram_watch_notify(&ram, PAGE_SIZE, 0);
    cr_assert_eq(code.calls, 2, "nothing written, nothing told");

    ram_watch_clear(&ram, 2, RAM_WATCH_CODE);
    cr_assert(ram_watched(&ram, 2 * PAGE_SIZE), "the other watch remains");
    ram_watch_clear(&ram, 2, RAM_WATCH_DISPLAY);
    cr_assert(!ram_watched(&ram, 2 * PAGE_SIZE));
    ram_fini(&ram);
}

Test(ram, watcher_clears_its_own_bit_and_is_not_called_again)
{
    struct ram ram;
    cr_assert_eq(ram_init(&ram, 2 * PAGE_SIZE, NULL), 0);
    struct record record = {.ram = &ram, .clear = RAM_WATCH_DIRTY};
    ram_set_watcher(&ram, RAM_WATCH_DIRTY, written, &record);
    ram_watch_set(&ram, 0, RAM_WATCH_DIRTY);
    ram_watch_notify(&ram, 10, 4);
    ram_watch_notify(&ram, 10, 4);
    cr_assert_eq(record.calls, 1);
    ram_fini(&ram);
}

Test(ram, listeners_protect_a_frame_when_its_first_watch_is_set)
{
    struct ram ram;
    cr_assert_eq(ram_init(&ram, 4 * PAGE_SIZE, NULL), 0);
    struct record first = {0}, second = {0};
    struct ram_protect_listener listeners[2] = {
        {.protect = protect, .opaque = &first},
        {.protect = protect, .opaque = &second},
    };
    ram_add_listener(&ram, &listeners[0]);
    ram_add_listener(&ram, &listeners[1]);
    ram_watch_set(&ram, 3, RAM_WATCH_CODE);
    ram_watch_set(&ram, 3, RAM_WATCH_CODE);
    ram_watch_set(&ram, 3, RAM_WATCH_DIRTY);
    cr_assert_eq(first.calls, 1);
    cr_assert_eq(second.calls, 1);
    cr_assert_eq(first.roff, 3 * PAGE_SIZE);
    ram_watch_clear(&ram, 3, RAM_WATCH_CODE);
    ram_watch_clear(&ram, 3, RAM_WATCH_DIRTY);
    ram_watch_set(&ram, 3, RAM_WATCH_DISPLAY);
    cr_assert_eq(first.calls, 2);
    ram_fini(&ram);
}

Test(ram, frames_beyond_the_end_are_ignored)
{
    struct ram ram;
    cr_assert_eq(ram_init(&ram, 2 * PAGE_SIZE, NULL), 0);
    struct record record = {.ram = &ram, .clear = -1};
    ram_set_watcher(&ram, RAM_WATCH_CODE, written, &record);
    ram_watch_set(&ram, 2, RAM_WATCH_CODE);
    ram_watch_set(&ram, UINT64_MAX, RAM_WATCH_CODE);
    ram_watch_clear(&ram, UINT64_MAX, RAM_WATCH_CODE);
    ram_watch_set(&ram, 1, RAM_WATCH_CODE);
    ram_watch_notify(&ram, UINT64_MAX, UINT64_MAX);
    cr_assert_eq(record.calls, 0);
    ram_watch_notify(&ram, PAGE_SIZE, UINT64_MAX);
    cr_assert_eq(record.calls, 1);
    cr_assert_eq(record.length, PAGE_SIZE);
    ram_fini(&ram);
}

Test(ram, exchanged_contents_appear_at_the_same_place)
{
    struct ram ram;
    cr_assert_eq(ram_init(&ram, 4 * PAGE_SIZE, NULL), 0);
    uint8_t *host = ram.host, byte = 7;
    host[PAGE_SIZE] = 1;
    int fd = ram_new_file(ram.size, NULL);
    struct ram_contents contents = {.fd = fd};
    cr_assert_geq(fd, 0);
    cr_assert_eq(pwrite(fd, &byte, 1, 2 * PAGE_SIZE), 1);
    cr_assert_eq(ram_exchange(&ram, &contents, NULL), 0);
    cr_assert_eq(ram.host, host);
    cr_assert_eq(host[PAGE_SIZE], 0);
    cr_assert_eq(host[2 * PAGE_SIZE], 7);
    cr_assert_eq(ram_exchange(&ram, &contents, NULL), 0);
    cr_assert_eq(contents.fd, fd);
    cr_assert_eq(host[PAGE_SIZE], 1);
    ram_contents_fini(&contents, ram.size);
    ram_fini(&ram);
}

Test(ram, a_watch_can_be_set_on_all_frames)
{
    struct ram ram;
    cr_assert_eq(ram_init(&ram, 3 * PAGE_SIZE, NULL), 0);
    struct record record = {.ram = &ram, .clear = RAM_WATCH_DIRTY};
    ram_set_watcher(&ram, RAM_WATCH_DIRTY, written, &record);
    ram_watch_set(&ram, 1, RAM_WATCH_DISPLAY);
    ram_watch_set_all(&ram, RAM_WATCH_DIRTY);
    ram_watch_notify(&ram, 0, ram.size);
    cr_assert_eq(record.calls, 3);
    cr_assert(ram_watched(&ram, PAGE_SIZE), "the display's remains");
    cr_assert(!ram_watched(&ram, 2 * PAGE_SIZE));
    ram_fini(&ram);
}
