/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What every device is: a struct whose first member is a struct device, a table of ops, and a snapshot table.
 *
 * Life: CHIP_create(board, ...) allocates, fills the struct, adds its regions and registers it with the
 * board's list; ops->reset brings it to the state after power-on (create calls it, so that state after reset
 * equals state after creation, field by field); ops->fini frees what the struct owns and the struct itself.
 *
 * A device sees: its regions (offset, size, value), its lines, the virtual clock, RAM through dma_read() and
 * dma_write(), and the log. It never sees a CPU, a thread, host time or another device's struct.
 *
 * The promises of every device (tested by tests/device/): no access outside its buffers, bounded work a guest
 * access, no abort from guest input, save-load-save byte-identical in any phase, same inputs same outputs.
 */
#ifndef DEVICES_DEVICE_H
#define DEVICES_DEVICE_H

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/snap.h"
#include "base/types.h"
#include "devices/irq.h"
#include "mmu/addr_space.h"

struct device;

struct device_ops {
    const char *name; /* chip name, "i8254"; also `info NAME` */
    void (*reset)(struct device *device);
    void (*fini)(struct device *device);
    const struct snap_desc *snap;
};

/* What a device is given: the parts of the board it may touch. Owned by whoever builds the board. */
struct board {
    struct addr_space *mem;
    struct addr_space *io;
    struct clock *clock;
    struct log *log;        /* may be NULL */
    struct device *devices; /* in order of creation */
};

struct device {
    const struct device_ops *ops;
    struct board *board;
    const char *id; /* instance name when there are several: "serial1"; else ops->name */
    struct device *next;
};

/* Fill in the first member and append to the board's list. */
void device_init(struct device *device, const struct device_ops *ops, struct board *board, const char *id);
/* Take off the list and call fini. */
void device_destroy(struct device *device);

/* All devices of a board, in order of creation. */
void board_reset_devices(struct board *board);
void board_destroy_devices(struct board *board);
/* The device called id, or NULL. */
struct device *board_find_device(struct board *board, const char *id);

#endif
