/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The board's list of devices.
 *
 * The list is kept in order of creation, because that is the order in which devices are reset, saved and
 * printed; they are destroyed in the opposite order, so that a device may rely on the ones it was given lines
 * of. A board has a few dozen devices: a walk of the list is all the look-up there is.
 */
#include "devices/device.h"

void device_init(struct device *device, const struct device_ops *ops, struct board *board, const char *id)
{
    struct device **link = &board->devices;

    device->ops = ops;
    device->board = board;
    device->id = id ? id : ops->name;
    device->next = NULL;
    while (*link) {
        link = &(*link)->next;
    }
    *link = device;
}

void device_destroy(struct device *device)
{
    struct device **link = &device->board->devices;

    while (*link && *link != device) {
        link = &(*link)->next;
    }
    if (*link) {
        *link = device->next;
    }
    device->ops->fini(device);
}

void board_reset_devices(struct board *board)
{
    for (struct device *device = board->devices; device; device = device->next) {
        device->ops->reset(device);
    }
}

void board_destroy_devices(struct board *board)
{
    while (board->devices) {
        struct device *last = board->devices;

        while (last->next) {
            last = last->next;
        }
        device_destroy(last);
    }
}

struct device *board_find_device(struct board *board, const char *id)
{
    for (struct device *device = board->devices; device; device = device->next) {
        if (strcmp(device->id, id) == 0) {
            return device;
        }
    }
    return NULL;
}
