/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Character devices: the host end of a serial port, debug console or monitor.
 *
 * A device (front end) writes bytes with chardev_write() and receives them through `receive`; the host end
 * (back end: stdio, file, pty, tcp, unix, null; vm/chardev_*.c) fills in the ops. All calls come from the
 * VM's thread. Output never blocks the guest for long: a back end that cannot take more answers with the
 * number it took, and the device keeps its transmitter busy until `writable` is called.
 */
#ifndef BASE_CHARDEV_H
#define BASE_CHARDEV_H

#include "base/types.h"

struct chardev;

struct chardev_ops {
    /* Take up to n bytes; returns how many were taken. */
    size_t (*write)(struct chardev *chardev, const uint8_t *bytes, size_t n);
    /* The front end can receive again (it returned less than offered before); NULL if of no interest. */
    void (*accept_input)(struct chardev *chardev);
    /* Width of the terminal at the other end, 0: not known, or none. NULL: never known. */
    unsigned (*columns)(struct chardev *chardev);
    void (*destroy)(struct chardev *chardev);
};

struct chardev {
    const struct chardev_ops *ops; /* set by the back end */
    char *label;                   /* "serial0"; owned by the back end */
    /* Set by the front end; NULL while nothing is attached. */
    size_t (*receive)(void *front, const uint8_t *bytes, size_t n); /* returns how many were taken */
    void (*writable)(void *front);
    void (*send_break)(void *front);
    void (*opened)(void *front); /* somebody has come to the other end, or turned to this one */
    void *front;
    /* Sees what was written, too; NULL: nobody. */
    void (*tap)(void *watcher, const uint8_t *bytes, size_t n);
    void *watcher;
    /* The same for whoever reads along what the guest says (vm/verdict.c). */
    void (*overhear)(void *listener, const uint8_t *bytes, size_t n);
    void *listener;
};

/* All accept a NULL chardev: output vanishes. */
static inline size_t chardev_write(struct chardev *chardev, const uint8_t *bytes, size_t n)
{
    size_t taken = chardev ? chardev->ops->write(chardev, bytes, n) : n;

    if (chardev && chardev->tap) {
        chardev->tap(chardev->watcher, bytes, taken);
    }
    if (chardev && chardev->overhear) {
        chardev->overhear(chardev->listener, bytes, taken);
    }
    return taken;
}

static inline void chardev_accept_input(struct chardev *chardev)
{
    if (chardev && chardev->ops->accept_input) {
        chardev->ops->accept_input(chardev);
    }
}

static inline unsigned chardev_columns(struct chardev *chardev)
{
    return chardev && chardev->ops->columns ? chardev->ops->columns(chardev) : 0;
}

/* For back ends. */
static inline void chardev_tell_opened(struct chardev *chardev)
{
    if (chardev->opened) {
        chardev->opened(chardev->front);
    }
}

static inline void chardev_destroy(struct chardev *chardev)
{
    if (chardev) {
        chardev->ops->destroy(chardev);
    }
}

#endif
