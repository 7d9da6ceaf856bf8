/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Random accesses and the device contract; see port_fuzz.h.
 */
#include "tests/device/port_fuzz.h"

#include <criterion/criterion.h>

#define DEFAULT_MAX_STEP_NS 20000000ull

uint64_t fuzz_random(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 0x2545f4914f6cdd1dull;
}

static uint64_t digest_add(uint64_t digest, uint64_t value)
{
    return (digest ^ value) * 0x100000001b3ull + (digest >> 47);
}

/* One access. Half of the values written are small or have few bits set, where command codes live. */
static uint64_t fuzz_access(struct fake_board *fb, const struct fuzz_target *target, uint64_t *state)
{
    const struct fuzz_window *window = &target->windows[fuzz_random(state) % target->window_count];
    struct addr_space *space = window->memory ? &fb->mem : &fb->io;
    uint64_t choice = fuzz_random(state), value = fuzz_random(state);
    unsigned size = choice % 8 < 5 ? 1 : choice % 8 < 7 ? 2 : 4;
    uint64_t addr = window->base + fuzz_random(state) % window->size;

    if (window->memory && size == 1 && choice & 0x100) {
        size = 4;
    }
    if (size > 1) {
        addr = ALIGN_DOWN(addr, size);
    }
    if (choice & 0x10) {
        return addr_space_read(space, addr, size);
    }
    if (choice & 0x20) {
        value &= choice & 0x40 ? 0xff : BIT(value % 32) | BIT((value >> 8) % 32);
    }
    addr_space_write(space, addr, value & (size == 4 ? UINT32_MAX : BITS(size * 8 - 1, 0)), size);
    return 0;
}

static void fuzz_time(struct fake_board *fb, const struct fuzz_target *target, uint64_t *state)
{
    uint64_t max = target->max_step_ns ? target->max_step_ns : DEFAULT_MAX_STEP_NS;
    uint64_t random = fuzz_random(state);

    /* Mostly short steps: the interesting moments lie between two accesses of one driver routine. */
    fake_step(fb, random % 16 == 0 ? (random >> 8) % max : (random >> 8) % 3000);
}

uint64_t port_fuzz(struct fake_board *fb, const struct fuzz_target *target, uint64_t seed, unsigned accesses)
{
    uint64_t state = seed * 2 + 1, digest = seed;

    for (unsigned i = 0; i < accesses; i++) {
        digest = digest_add(digest, fuzz_access(fb, target, &state));
        if (fuzz_random(&state) % 4 == 0) {
            fuzz_time(fb, target, &state);
        }
        if (target->poke && fuzz_random(&state) % 8 == 0) {
            target->poke(fb, fuzz_random(&state));
        }
        if (fuzz_random(&state) % 1024 == 0) {
            board_reset_devices(&fb->board);
        }
    }
    for (unsigned i = 0; i < FAKE_BOARD_LINES; i++) {
        digest = digest_add(digest, fb->lines[i].rises * 2 + fb->lines[i].level);
    }
    return digest;
}

static struct fake_board *target_create(const struct fuzz_target *target)
{
    struct fake_board *fb = fake_board_create();

    target->create(fb);
    cr_assert_not_null(fb->board.devices);
    return fb;
}

static void expect_boards_equal(struct fake_board *a, struct fake_board *b)
{
    struct device *other = b->board.devices;

    for (struct device *device = a->board.devices; device; device = device->next, other = other->next) {
        fake_expect_equal(device, other);
    }
}

/* Everything a snapshot of the whole VM would carry from one board to the other. */
static void transplant(struct fake_board *from, struct fake_board *to)
{
    struct device *other = to->board.devices;

    cr_assert_eq(from->ram.used, to->ram.used);
    memcpy(ram_ptr(&to->ram, 0), ram_ptr(&from->ram, 0), from->ram.used);
    clock_set_now(&to->clock, clock_now(&from->clock));
    for (struct device *device = from->board.devices; device; device = device->next, other = other->next) {
        fake_expect_same_after_load(device, other);
    }
    memcpy(to->lines, from->lines, sizeof(to->lines));
}

static void check_determinism(const struct fuzz_target *target, unsigned accesses)
{
    struct fake_board *a = target_create(target), *b = target_create(target);

    cr_assert_eq(port_fuzz(a, target, 1, accesses), port_fuzz(b, target, 1, accesses),
                 "the same inputs gave other outputs");
    expect_boards_equal(a, b);
    fake_board_destroy(a);
    fake_board_destroy(b);
}

static void check_snapshots(const struct fuzz_target *target, unsigned accesses)
{
    for (unsigned round = 0; round < 8; round++) {
        struct fake_board *a = target_create(target), *b = target_create(target);

        port_fuzz(a, target, 100 + round, accesses / 8 + round * 7);
        transplant(a, b);
        cr_assert_eq(port_fuzz(a, target, 200 + round, accesses / 16),
                     port_fuzz(b, target, 200 + round, accesses / 16),
                     "the loaded device went another way (round %u)", round);
        expect_boards_equal(a, b);
        fake_board_destroy(a);
        fake_board_destroy(b);
    }
}

static void check_reset(const struct fuzz_target *target, unsigned accesses)
{
    struct fake_board *a = target_create(target), *fresh = target_create(target);

    port_fuzz(a, target, 3, accesses);
    /* Moments are part of the state; turn the clock back so that "now" is the same for both. */
    clock_set_now(&a->clock, 0);
    if (target->quiet) {
        target->quiet(a);
    }
    board_reset_devices(&a->board);
    expect_boards_equal(fresh, a);
    fake_board_destroy(a);
    fake_board_destroy(fresh);
}

/* Load `saved` with one byte changed into a device of a board that is thrown away afterwards. */
static void load_damaged(const struct fuzz_target *target, struct device *original, struct snap_writer *saved,
                         size_t position, uint8_t flip)
{
    struct fake_board *fb = target_create(target);
    struct device *device = board_find_device(&fb->board, original->id);
    struct snap_reader reader = {.data = saved->data, .length = saved->length};

    clock_set_now(&fb->clock, clock_now(original->board->clock));
    saved->data[position] ^= flip;
    if (snap_load(&reader, device->ops->snap, device, NULL) == 0) {
        port_fuzz(fb, target, position + 1, 60);
    }
    saved->data[position] ^= flip;
    fake_board_destroy(fb);
}

static void check_hostile_snapshots(const struct fuzz_target *target, unsigned accesses)
{
    struct fake_board *fb = target_create(target);

    port_fuzz(fb, target, 4, accesses / 4);
    for (struct device *device = fb->board.devices; device; device = device->next) {
        struct snap_writer saved = fake_save(device);
        size_t stride = saved.length / 800 + 1;

        for (size_t position = 0; position < saved.length; position += stride) {
            load_damaged(target, device, &saved, position,
                         (uint8_t)(position % 3 == 0 ? 0xff : 1u << position % 8));
        }
        snap_writer_fini(&saved);
    }
    fake_board_destroy(fb);
}

void device_contract_check(const struct fuzz_target *target, unsigned accesses)
{
    check_determinism(target, accesses);
    check_snapshots(target, accesses);
    if (!target->survives_reset) {
        check_reset(target, accesses);
    }
    check_hostile_snapshots(target, accesses);
}
