/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Two front ends on one back end, with Ctrl-a escapes: see vm/chardev.h for the keys.
 *
 * Only the port that has the focus receives input. Both may write at any time; with time stamps on, each line of
 * output is preceded by the host's time of day since the mux was made.
 *
 * A guest that is paused or busy leaves what was typed for it. The mux keeps that, up to HELD_MAX bytes, so that the escapes behind
 * it still work: the way to the monitor is open whatever the guest does.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "vm/chardev.h"

enum { CTRL_A = 1, HELD_MAX = 4096 };

struct mux_port {
    struct chardev chardev; /* first member */
    struct chardev_mux *mux;
    uint8_t held[HELD_MAX]; /* input that the front end has not taken yet, oldest first */
    size_t held_count;
    bool giving;
};

struct chardev_mux {
    struct chardev *back;
    struct mux_port port[MUX_PORTS];
    enum chardev_mux_port focus;
    bool escape; /* Ctrl-a was seen */
    bool timestamps, line_start;
    uint64_t start_ns;
    void (*quit)(void *opaque);
    void *opaque;
};

static uint64_t host_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_SEC + (uint64_t)now.tv_nsec;
}

static void mux_say(struct chardev_mux *mux, const char *text)
{
    chardev_write(mux->back, (const uint8_t *)text, strlen(text));
}

static void mux_stamp(struct chardev_mux *mux)
{
    uint64_t ms = (host_now() - mux->start_ns) / 1000000;
    char text[32];

    snprintf(text, sizeof(text), "[%02u:%02u:%02u.%03u] ", (unsigned)(ms / 3600000),
             (unsigned)(ms / 60000 % 60), (unsigned)(ms / 1000 % 60), (unsigned)(ms % 1000));
    mux_say(mux, text);
}

static size_t mux_port_write(struct chardev *chardev, const uint8_t *bytes, size_t n)
{
    struct chardev_mux *mux = CONTAINER_OF(chardev, struct mux_port, chardev)->mux;

    if (!mux->timestamps) {
        return chardev_write(mux->back, bytes, n);
    }
    for (size_t i = 0; i < n; i++) {
        if (mux->line_start) {
            mux_stamp(mux);
        }
        if (chardev_write(mux->back, &bytes[i], 1) != 1) {
            return i;
        }
        mux->line_start = bytes[i] == '\n';
    }
    return n;
}

/* Give the front end what is held; nothing is left then, or it takes no more. It may ask for more while it takes. */
static void give_held(struct mux_port *port)
{
    struct chardev *front = &port->chardev;
    size_t taken = port->held_count;

    if (port->giving || taken == 0) {
        return;
    }
    port->giving = true;
    if (front->receive) {
        taken = front->receive(front->front, port->held, taken);
    }
    port->giving = false;
    port->held_count -= taken;
    memmove(port->held, port->held + taken, port->held_count);
}

static void mux_port_accept_input(struct chardev *chardev)
{
    struct mux_port *port = CONTAINER_OF(chardev, struct mux_port, chardev);

    give_held(port);
    if (port == &port->mux->port[port->mux->focus]) {
        chardev_accept_input(port->mux->back);
    }
}

static unsigned mux_port_columns(struct chardev *chardev)
{
    return chardev_columns(CONTAINER_OF(chardev, struct mux_port, chardev)->mux->back);
}

static void mux_port_destroy(struct chardev *chardev)
{
    (void)chardev; /* belongs to the mux */
}

static const struct chardev_ops mux_port_ops = {
    .write = mux_port_write,
    .accept_input = mux_port_accept_input,
    .columns = mux_port_columns,
    .destroy = mux_port_destroy,
};

static const char mux_help[] = "\r\n"
                               "Ctrl-a h    this help\r\n"
                               "Ctrl-a x    quit\r\n"
                               "Ctrl-a c    switch between serial port and monitor\r\n"
                               "Ctrl-a b    send a break\r\n"
                               "Ctrl-a t    toggle time stamps\r\n"
                               "Ctrl-a Ctrl-a   send Ctrl-a\r\n";

/* The key after Ctrl-a. True when it is a plain Ctrl-a to pass on. */
static bool mux_command(struct chardev_mux *mux, uint8_t key)
{
    struct chardev *front = &mux->port[mux->focus].chardev;

    switch (key) {
    case CTRL_A:
        return true;
    case 'x':
        mux_say(mux, "\r\n");
        mux->quit(mux->opaque);
        break;
    case 'c':
        chardev_mux_focus(mux, mux->focus == MUX_SERIAL ? MUX_MONITOR : MUX_SERIAL);
        break;
    case 'b':
        if (front->send_break) {
            front->send_break(front->front);
        }
        break;
    case 't':
        mux->timestamps = !mux->timestamps;
        mux->line_start = true;
        break;
    case 'h':
    case '?':
        mux_say(mux, mux_help);
        break;
    default:
        break;
    }
    return false;
}

static bool mux_pass(struct chardev_mux *mux, uint8_t byte)
{
    struct mux_port *port = &mux->port[mux->focus];

    if (port->held_count == HELD_MAX) {
        return false;
    }
    port->held[port->held_count++] = byte;
    give_held(port);
    return true;
}

static size_t mux_receive(void *opaque, const uint8_t *bytes, size_t n)
{
    struct chardev_mux *mux = opaque;

    for (size_t i = 0; i < n; i++) {
        if (mux->escape) {
            mux->escape = false;
            if (mux_command(mux, bytes[i]) && !mux_pass(mux, CTRL_A)) {
                mux->escape = true;
                return i;
            }
        } else if (bytes[i] == CTRL_A) {
            mux->escape = true;
        } else if (!mux_pass(mux, bytes[i])) {
            return i;
        }
    }
    return n;
}

static void mux_writable(void *opaque)
{
    struct chardev_mux *mux = opaque;

    for (unsigned i = 0; i < MUX_PORTS; i++) {
        struct chardev *front = &mux->port[i].chardev;

        if (front->writable) {
            front->writable(front->front);
        }
    }
}

struct chardev_mux *chardev_mux_create(struct chardev *back, void (*quit)(void *opaque), void *opaque)
{
    static const char *const labels[MUX_PORTS] = {"serial0", "monitor"};
    struct chardev_mux *mux = calloc(1, sizeof(*mux));

    if (!mux) {
        chardev_destroy(back);
        return NULL;
    }
    mux->back = back;
    mux->quit = quit;
    mux->opaque = opaque;
    mux->start_ns = host_now();
    for (unsigned i = 0; i < MUX_PORTS; i++) {
        mux->port[i].mux = mux;
        mux->port[i].chardev.ops = &mux_port_ops;
        mux->port[i].chardev.label = strdup(labels[i]);
    }
    back->receive = mux_receive;
    back->writable = mux_writable;
    back->front = mux;
    return mux;
}

struct chardev *chardev_mux_port(struct chardev_mux *mux, enum chardev_mux_port port)
{
    return &mux->port[port].chardev;
}

void chardev_mux_focus(struct chardev_mux *mux, enum chardev_mux_port port)
{
    mux->focus = port;
    if (port == MUX_MONITOR) {
        mux_say(mux, "\r\n");
        chardev_tell_opened(&mux->port[port].chardev);
    }
}

void chardev_mux_destroy(struct chardev_mux *mux)
{
    if (!mux) {
        return;
    }
    chardev_destroy(mux->back);
    for (unsigned i = 0; i < MUX_PORTS; i++) {
        free(mux->port[i].chardev.label);
    }
    free(mux);
}
