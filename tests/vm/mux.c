/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The multiplexer of serial port and monitor (vm/chardev_mux.c), with a terminal and front ends of the test's own.
 */
#include <criterion/criterion.h>

#include "vm/chardev.h"

/* A front end that takes so many bytes, and remembers them. */
struct front {
    char text[64];
    size_t length, room;
};

struct terminal {
    struct chardev chardev; /* first member */
    struct chardev_mux *mux;
    struct front serial, monitor;
    unsigned quits;
};

static size_t swallow(struct chardev *chardev, const uint8_t *bytes, size_t n)
{
    (void)chardev;
    (void)bytes;
    return n;
}

static void nothing_to_destroy(struct chardev *chardev)
{
    (void)chardev;
}

static size_t take(void *opaque, const uint8_t *bytes, size_t n)
{
    struct front *front = opaque;
    size_t taken = MIN(n, front->room);

    cr_assert_lt(front->length + taken, sizeof(front->text));
    memcpy(front->text + front->length, bytes, taken);
    front->length += taken;
    front->room -= taken;
    return taken;
}

static void quit(void *opaque)
{
    ((struct terminal *)opaque)->quits++;
}

static void attach(struct terminal *terminal, enum chardev_mux_port which, struct front *front)
{
    struct chardev *port = chardev_mux_port(terminal->mux, which);

    port->receive = take;
    port->front = front;
}

static void set_up(struct terminal *terminal)
{
    static const struct chardev_ops ops = {.write = swallow, .destroy = nothing_to_destroy};

    *terminal = (struct terminal){.chardev.ops = &ops, .serial.room = 64, .monitor.room = 64};
    terminal->mux = chardev_mux_create(&terminal->chardev, quit, terminal);
    attach(terminal, MUX_SERIAL, &terminal->serial);
    attach(terminal, MUX_MONITOR, &terminal->monitor);
}

/* Returns how much was taken. */
static size_t type(struct terminal *terminal, const char *keys)
{
    return terminal->chardev.receive(terminal->chardev.front, (const uint8_t *)keys, strlen(keys));
}

Test(mux, keys_go_to_the_port_that_has_the_focus)
{
    struct terminal terminal;
    set_up(&terminal);
    cr_assert_eq(type(&terminal, "one\001ctwo\001cthree\001\001"), 17);
    cr_assert_str_eq(terminal.serial.text, "onethree\001");
    cr_assert_str_eq(terminal.monitor.text, "two");
    chardev_mux_destroy(terminal.mux);
}

Test(mux, escapes_work_behind_keys_that_the_guest_does_not_take)
{
    struct terminal terminal;
    set_up(&terminal);
    terminal.serial.room = 2;
    cr_assert_eq(type(&terminal, "abcd\001cinfo\001x"), 12);
    cr_assert_str_eq(terminal.serial.text, "ab");
    cr_assert_str_eq(terminal.monitor.text, "info");
    cr_assert_eq(terminal.quits, 1);
    terminal.serial.room = 8;
    chardev_accept_input(chardev_mux_port(terminal.mux, MUX_SERIAL));
    cr_assert_str_eq(terminal.serial.text, "abcd");
    cr_assert_eq(type(&terminal, "\001ce"), 3);
    cr_assert_str_eq(terminal.serial.text, "abcde", "in order");
    chardev_mux_destroy(terminal.mux);
}

Test(mux, what_it_holds_is_bounded_and_the_rest_waits_at_the_terminal)
{
    struct terminal terminal;
    uint8_t keys[5000];
    set_up(&terminal);
    terminal.serial.room = 0;
    memset(keys, 'k', sizeof(keys));
    cr_assert_eq(terminal.chardev.receive(terminal.chardev.front, keys, sizeof(keys)), 4096);
    chardev_mux_destroy(terminal.mux);
}
