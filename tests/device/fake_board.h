/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A board without a CPU for device tests: RAM, a memory and a port space, a stepped clock, and lines that
 * remember what happened to them. The test plays the CPU: it reads and writes ports, moves the clock by hand
 * and looks at the lines.
 *
 *   struct fake_board *fb = fake_board_create();
 *   struct i8254 *pit = i8254_create(&fb->board, fake_line(fb, 0), ...);
 *   fake_outb(fb, 0x43, 0x34);
 *   fake_step(fb, 1000000);
 *   cr_assert_eq(fb->lines[0].rises, 1);
 *   fake_board_destroy(fb);
 */
#ifndef TESTS_DEVICE_FAKE_BOARD_H
#define TESTS_DEVICE_FAKE_BOARD_H

#include "devices/device.h"
#include "mmu/addr_space.h"
#include "mmu/ram.h"

#define FAKE_BOARD_LINES      64
#define FAKE_BOARD_RAM_SIZE   (4 * MIB)
#define FAKE_BOARD_SPARE_SIZE (64 * MIB) /* backing for devices that allocate memory, such as VRAM */

/* What a line did since the board was made (or since the test cleared it). */
struct fake_line {
    bool level;
    unsigned rises, falls; /* changes of level, not calls */
};

struct fake_board {
    struct board board;
    struct ram ram;
    struct addr_space mem, io;
    struct region ram_region; /* FAKE_BOARD_RAM_SIZE bytes at guest-physical 0 */
    struct clock clock;       /* CLOCK_STEPPED, starts at 0 */
    struct fake_line lines[FAKE_BOARD_LINES];
    void *test_data; /* the test's own, from malloc; freed with the board */
};

/* Fails the running test when the host refuses something. */
struct fake_board *fake_board_create(void);
/* Destroys the devices too. */
void fake_board_destroy(struct fake_board *fb);

/* The input end of lines[number]. */
struct line fake_line(struct fake_board *fb, unsigned number);

/* Move the clock forward by ns, firing every timer at its own time. */
void fake_step(struct fake_board *fb, uint64_t ns);

uint8_t fake_inb(struct fake_board *fb, uint16_t port);
uint16_t fake_inw(struct fake_board *fb, uint16_t port);
uint32_t fake_inl(struct fake_board *fb, uint16_t port);
void fake_outb(struct fake_board *fb, uint16_t port, uint8_t value);
void fake_outw(struct fake_board *fb, uint16_t port, uint16_t value);
void fake_outl(struct fake_board *fb, uint16_t port, uint32_t value);
uint32_t fake_read32(struct fake_board *fb, gpa_t addr);
void fake_write32(struct fake_board *fb, gpa_t addr, uint32_t value);

/* The section of one device as bytes; free with snap_writer_fini(). */
struct snap_writer fake_save(struct device *device);
/* Load such a section; the test fails if it is refused. */
void fake_load(struct device *device, const struct snap_writer *saved);
/* Fails the test unless every described field of the two devices is equal. */
void fake_expect_equal(struct device *a, struct device *b);
/* save, load into `other` (a second device of the same chip, on its own board), save: byte-identical. */
void fake_expect_same_after_load(struct device *device, struct device *other);

#endif
