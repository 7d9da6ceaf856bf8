/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The fake board; see fake_board.h.
 */
#include "tests/device/fake_board.h"

#include <criterion/criterion.h>
#include <stdlib.h>

struct fake_board *fake_board_create(void)
{
    struct fake_board *fb = calloc(1, sizeof(*fb));
    struct error error = {.text = ""};

    cr_assert_not_null(fb);
    cr_assert_eq(ram_init(&fb->ram, FAKE_BOARD_RAM_SIZE + FAKE_BOARD_SPARE_SIZE, &error), 0, "%s",
                 error.text);
    cr_assert_eq(addr_space_init(&fb->mem, "memory", BITS(35, 0), &fb->ram), 0);
    cr_assert_eq(addr_space_init(&fb->io, "io", UINT16_MAX, NULL), 0);
    region_init_memory(&fb->ram_region, "ram", 0, FAKE_BOARD_RAM_SIZE,
                       ram_alloc(&fb->ram, FAKE_BOARD_RAM_SIZE), REGION_RW);
    addr_space_add(&fb->mem, &fb->ram_region);
    clock_init(&fb->clock, CLOCK_STEPPED);
    fb->board = (struct board){.mem = &fb->mem, .io = &fb->io, .clock = &fb->clock};
    return fb;
}

void fake_board_destroy(struct fake_board *fb)
{
    board_destroy_devices(&fb->board);
    addr_space_fini(&fb->io);
    addr_space_fini(&fb->mem);
    ram_fini(&fb->ram);
    free(fb->test_data);
    free(fb);
}

static void fake_line_set(void *opaque, unsigned number, bool level)
{
    struct fake_board *fb = opaque;
    struct fake_line *line = &fb->lines[number];

    if (level != line->level) {
        line->level = level;
        line->rises += level;
        line->falls += !level;
    }
}

struct line fake_line(struct fake_board *fb, unsigned number)
{
    cr_assert_lt(number, FAKE_BOARD_LINES);
    return (struct line){.set = fake_line_set, .opaque = fb, .number = number};
}

void fake_step(struct fake_board *fb, uint64_t ns)
{
    clock_step_to(&fb->clock, clock_now(&fb->clock) + ns);
}

uint8_t fake_inb(struct fake_board *fb, uint16_t port)
{
    return (uint8_t)addr_space_read(&fb->io, port, 1);
}

uint16_t fake_inw(struct fake_board *fb, uint16_t port)
{
    return (uint16_t)addr_space_read(&fb->io, port, 2);
}

uint32_t fake_inl(struct fake_board *fb, uint16_t port)
{
    return (uint32_t)addr_space_read(&fb->io, port, 4);
}

void fake_outb(struct fake_board *fb, uint16_t port, uint8_t value)
{
    addr_space_write(&fb->io, port, value, 1);
}

void fake_outw(struct fake_board *fb, uint16_t port, uint16_t value)
{
    addr_space_write(&fb->io, port, value, 2);
}

void fake_outl(struct fake_board *fb, uint16_t port, uint32_t value)
{
    addr_space_write(&fb->io, port, value, 4);
}

uint32_t fake_read32(struct fake_board *fb, gpa_t addr)
{
    return (uint32_t)addr_space_read(&fb->mem, addr, 4);
}

void fake_write32(struct fake_board *fb, gpa_t addr, uint32_t value)
{
    addr_space_write(&fb->mem, addr, value, 4);
}

struct snap_writer fake_save(struct device *device)
{
    struct snap_writer writer;

    snap_writer_init(&writer);
    snap_save(&writer, device->ops->snap, device);
    cr_assert_not(writer.failed);
    return writer;
}

void fake_load(struct device *device, const struct snap_writer *saved)
{
    struct snap_reader reader = {.data = saved->data, .length = saved->length};
    struct error error = {.text = ""};

    cr_assert_eq(snap_load(&reader, device->ops->snap, device, &error), 0, "%s", error.text);
    cr_assert_eq(reader.position, saved->length);
}

void fake_expect_equal(struct device *a, struct device *b)
{
    struct error difference = {.text = ""};

    cr_assert_eq(a->ops, b->ops);
    cr_assert(snap_equal(a->ops->snap, a, b, &difference), "%s: %s", a->id, difference.text);
}

void fake_expect_same_after_load(struct device *device, struct device *other)
{
    struct snap_writer first = fake_save(device), second;

    clock_set_now(other->board->clock, clock_now(device->board->clock));
    fake_load(other, &first);
    fake_expect_equal(device, other);
    second = fake_save(other);
    cr_assert_eq(first.length, second.length);
    cr_assert_arr_eq(first.data, second.data, first.length);
    snap_writer_fini(&first);
    snap_writer_fini(&second);
}
