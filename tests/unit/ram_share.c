/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Memory that several VMs read until they write it: mmu/ram_share.c.
 */
#include <criterion/criterion.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mmu/ram.h"

#define FRAMES 64u
#define SIZE   (FRAMES * PAGE_SIZE)

static void open_memory(struct ram *ram)
{
    cr_assert_eq(ram_init(ram, SIZE, NULL), 0);
}

static void put(struct ram *ram, uint64_t frame, uint8_t byte)
{
    ram_write(ram, frame << PAGE_SHIFT, &byte, 1);
}

static uint8_t get(const struct ram *ram, uint64_t frame)
{
    return *ram_ptr(ram, frame << PAGE_SHIFT);
}

static void share(struct ram *from, struct ram *to)
{
    open_memory(to);
    cr_assert_eq(ram_share(from, to, NULL), 0);
}

/* Pages that the host has for a file. */
static uint64_t pages_of(int fd)
{
    struct stat status;
    cr_assert_eq(fstat(fd, &status), 0);
    return (uint64_t)status.st_blocks * 512 / PAGE_SIZE;
}

Test(ram_share, a_copy_has_the_same_bytes_and_takes_no_pages)
{
    struct ram a, b;
    open_memory(&a);
    for (unsigned frame = 0; frame < 40; frame++) {
        put(&a, frame, (uint8_t)(frame + 1));
    }
    share(&a, &b);
    for (unsigned frame = 0; frame < FRAMES; frame++) {
        cr_assert_eq(get(&a, frame), frame < 40 ? frame + 1 : 0);
        cr_assert_eq(get(&b, frame), frame < 40 ? frame + 1 : 0);
    }
    cr_assert_eq(pages_of(ram_frame_fd(&a, 3)), 40);
    cr_assert_eq(ram_frame_fd(&a, 3), ram_frame_fd(&b, 3));
    cr_assert_neq(ram_frame_fd(&a, 50), ram_frame_fd(&b, 50), "what nobody wrote is everybody's own");
    ram_fini(&a);
    ram_fini(&b);
}

Test(ram_share, a_write_is_seen_by_its_writer_only)
{
    struct ram a, b;
    open_memory(&a);
    put(&a, 1, 1);
    put(&a, 2, 2);
    share(&a, &b);
    cr_assert(ram_watched(&a, PAGE_SIZE));
    cr_assert_not(ram_watched(&a, 50 * PAGE_SIZE));
    put(&a, 1, 11);
    put(&b, 2, 22);
    put(&b, 50, 50);
    cr_assert_eq(get(&a, 1), 11);
    cr_assert_eq(get(&b, 1), 1);
    cr_assert_eq(get(&a, 2), 2);
    cr_assert_eq(get(&b, 2), 22);
    cr_assert_eq(get(&a, 50), 0);
    cr_assert_not(ram_watched(&a, PAGE_SIZE), "its own now");
    ram_fini(&a);
    cr_assert_eq(get(&b, 1), 1, "what the other one froze outlives it");
    ram_fini(&b);
}

Test(ram_share, the_first_keeps_its_host_addresses)
{
    struct ram a, b;
    open_memory(&a);
    put(&a, 7, 7);
    const uint8_t *before = ram_ptr(&a, 7 * PAGE_SIZE);
    share(&a, &b);
    cr_assert_eq(ram_ptr(&a, 7 * PAGE_SIZE), before);
    cr_assert_eq(ram_ptr(&b, 7 * PAGE_SIZE), before);
    put(&a, 7, 8);
    cr_assert_neq(ram_ptr(&a, 7 * PAGE_SIZE), before);
    cr_assert_eq(ram_ptr(&a, 7 * PAGE_SIZE), a.host + 7 * PAGE_SIZE);
    ram_fini(&a);
    ram_fini(&b);
}

Test(ram_share, a_host_address_tells_the_offset_wherever_the_page_lies)
{
    struct ram a, b, c;
    open_memory(&a);
    put(&a, 3, 3);
    share(&a, &b);
    put(&b, 4, 4);
    share(&b, &c);
    put(&c, 5, 5);
    for (unsigned frame = 0; frame < FRAMES; frame++) {
        roff_t roff = frame * PAGE_SIZE + 123;
        cr_assert_eq(ram_roff(&c, (uintptr_t)ram_ptr(&c, roff)), roff);
    }
    ram_fini(&a);
    ram_fini(&b);
    ram_fini(&c);
}

struct move {
    uint64_t frame;
    const uint8_t *old;
    unsigned calls;
    uint8_t seen; /* at the old address, while it was told */
};

static void moved(void *opaque, uint64_t frame, const uint8_t *old)
{
    *(struct move *)opaque =
        (struct move){.frame = frame, .old = old, .calls = ((struct move *)opaque)->calls + 1, .seen = *old};
}

Test(ram_share, listeners_hear_of_a_move_before_the_write)
{
    struct ram a, b;
    struct move move = {.calls = 0};
    struct ram_protect_listener listener = {.moved = moved, .opaque = &move};
    open_memory(&a);
    put(&a, 9, 9);
    share(&a, &b);
    ram_add_listener(&a, &listener);
    const uint8_t *old = ram_ptr(&a, 9 * PAGE_SIZE);
    put(&a, 9, 10);
    cr_assert_eq(move.calls, 1);
    cr_assert_eq(move.frame, 9);
    cr_assert_eq(move.old, old);
    cr_assert_eq(move.seen, 9);
    put(&a, 9, 11);
    cr_assert_eq(move.calls, 1, "once");
    ram_fini(&a);
    ram_fini(&b);
}

Test(ram_share, an_access_over_two_frames_finds_both)
{
    struct ram a, b;
    uint8_t bytes[8] = {1, 2, 3, 4, 5, 6, 7, 8}, found[8];
    open_memory(&a);
    ram_write(&a, 2 * PAGE_SIZE - 4, bytes, sizeof(bytes));
    share(&a, &b);
    put(&b, 2, 99); /* the second half lies elsewhere now */
    ram_read(&b, 2 * PAGE_SIZE - 4, found, sizeof(found));
    bytes[4] = 99;
    cr_assert_arr_eq(found, bytes, sizeof(bytes));
    bytes[0] = 77;
    ram_write(&b, 2 * PAGE_SIZE - 4, bytes, sizeof(bytes));
    ram_read(&b, 2 * PAGE_SIZE - 4, found, sizeof(found));
    cr_assert_arr_eq(found, bytes, sizeof(bytes));
    ram_read(&a, 2 * PAGE_SIZE - 4, found, sizeof(found));
    cr_assert_eq(found[0], 1);
    cr_assert_eq(found[4], 5);
    ram_fini(&a);
    ram_fini(&b);
}

Test(ram_share, the_last_reader_of_a_page_gives_it_back)
{
    struct ram a, b, c;
    open_memory(&a);
    put(&a, 1, 1);
    put(&a, 2, 2);
    share(&a, &b);
    share(&a, &c); /* nothing was written in between: no new layer */
    unsigned layers;
    cr_assert_eq(ram_shared_frames(&a, &layers), 2);
    cr_assert_eq(layers, 1);
    int layer = ram_frame_fd(&a, 1);
    put(&a, 1, 11);
    put(&b, 1, 12);
    cr_assert_eq(pages_of(layer), 2);
    put(&c, 1, 13);
    cr_assert_eq(pages_of(layer), 1, "nobody reads frame 1 there");
    cr_assert_eq(get(&c, 2), 2);
    ram_fini(&b);
    ram_fini(&a);
    cr_assert_eq(pages_of(layer), 1);
    cr_assert_eq(get(&c, 2), 2);
    put(&c, 2, 23);
    cr_assert_eq(ram_shared_frames(&c, &layers), 0);
    cr_assert_eq(layers, 0, "an empty layer goes");
    cr_assert_eq(pages_of(c.fd), 2);
    ram_fini(&c);
}

Test(ram_share, a_reader_that_goes_takes_its_pages_along)
{
    struct ram a, b;
    open_memory(&a);
    put(&a, 1, 1);
    share(&a, &b);
    int layer = ram_frame_fd(&a, 1);
    put(&a, 1, 2);
    put(&a, 3, 3);
    cr_assert_eq(pages_of(layer), 1, "the copy reads it");
    struct ram c;
    share(&a, &c);
    ram_fini(&b);
    cr_assert_eq(get(&a, 1), 2);
    cr_assert_eq(get(&c, 1), 2);
    ram_fini(&a);
    ram_fini(&c);
}

Test(ram_share, private_bytes_are_copied_at_once)
{
    struct ram a, b;
    open_memory(&a);
    ram_keep_private(&a, 8 * PAGE_SIZE, 2 * PAGE_SIZE);
    put(&a, 8, 8);
    put(&a, 1, 1);
    share(&a, &b);
    cr_assert_not(ram_shared(&a, 8));
    cr_assert_not(ram_watched(&b, 8 * PAGE_SIZE));
    cr_assert_eq(get(&b, 8), 8);
    a.host[8 * PAGE_SIZE] = 88;
    cr_assert_eq(get(&b, 8), 8);
    cr_assert_eq(pages_of(ram_frame_fd(&a, 1)), 1);
    ram_fini(&a);
    ram_fini(&b);
}

Test(ram_share, more_copies_than_layers)
{
    struct ram a, copy[RAM_LAYERS_MAX + 10];
    open_memory(&a);
    for (unsigned i = 0; i < RAM_LAYERS_MAX + 10; i++) {
        put(&a, i % FRAMES, (uint8_t)(i + 1));
        share(&a, &copy[i]);
    }
    for (unsigned i = 0; i < RAM_LAYERS_MAX + 10; i++) {
        for (unsigned frame = 0; frame < FRAMES; frame++) {
            unsigned last = frame + FRAMES <= i ? frame + FRAMES : frame;
            cr_assert_eq(get(&copy[i], frame), last <= i ? last + 1 : 0, "copy %u, frame %u", i, frame);
        }
    }
    for (unsigned i = 0; i < RAM_LAYERS_MAX + 10; i += 2) {
        ram_fini(&copy[i]);
    }
    cr_assert_eq(get(&copy[RAM_LAYERS_MAX + 9], 5), RAM_LAYERS_MAX + 6);
    for (unsigned i = 1; i < RAM_LAYERS_MAX + 10; i += 2) {
        ram_fini(&copy[i]);
    }
    ram_fini(&a);
}

Test(ram_share, other_contents_and_back)
{
    struct ram a, b;
    open_memory(&a);
    put(&a, 1, 1);
    share(&a, &b);
    put(&b, 2, 2);
    struct ram_contents contents = {.fd = ram_new_file(SIZE, NULL)};
    cr_assert_eq(ram_exchange(&b, &contents, NULL), 0);
    cr_assert_eq(get(&b, 1), 0);
    cr_assert_not(ram_watched(&b, PAGE_SIZE));
    put(&b, 1, 5);
    cr_assert_eq(ram_exchange(&b, &contents, NULL), 0);
    cr_assert_eq(get(&b, 1), 1);
    cr_assert_eq(get(&b, 2), 2);
    cr_assert(ram_watched(&b, PAGE_SIZE));
    put(&b, 1, 6);
    cr_assert_eq(get(&a, 1), 1);
    ram_contents_fini(&contents, SIZE);
    ram_fini(&a);
    ram_fini(&b);
}

Test(ram_share, data_is_found_in_every_file)
{
    struct ram a, b;
    uint64_t first, end;
    open_memory(&a);
    put(&a, 4, 1);
    put(&a, 5, 1);
    put(&a, 20, 1);
    share(&a, &b);
    put(&b, 5, 2);
    put(&b, 6, 2);
    bool found[FRAMES] = {false};
    for (end = 0; ram_next_data(&b, end, &first, &end);) {
        for (uint64_t frame = first; frame < end; frame++) {
            found[frame] = true;
        }
    }
    for (unsigned frame = 0; frame < FRAMES; frame++) {
        cr_assert_eq(found[frame], (frame >= 4 && frame <= 6) || frame == 20, "frame %u", frame);
    }
    ram_fini(&a);
    ram_fini(&b);
}

Test(ram_share, a_memory_of_another_size_is_refused)
{
    struct ram a, b;
    open_memory(&a);
    put(&a, 1, 1);
    cr_assert_eq(ram_init(&b, 2 * SIZE, NULL), 0);
    cr_assert_lt(ram_share(&a, &b, NULL), 0);
    cr_assert_null(a.sharing);
    put(&a, 1, 2);
    cr_assert_eq(get(&a, 1), 2);
    ram_fini(&a);
    ram_fini(&b);
}
