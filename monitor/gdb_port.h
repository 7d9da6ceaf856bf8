/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Where a debugger connects: a loopback TCP port, a unix socket, or the terminal's two ends; bytes only.
 *
 * One client at a time. Who comes second is told so in a packet that gdb prints, and sent away; the first notices nothing.
 *
 * The port is opened before its VM is made, so that a client that comes early waits in the queue instead of failing.
 */
#ifndef MONITOR_GDB_PORT_H
#define MONITOR_GDB_PORT_H

#include "base/error.h"
#include "base/types.h"
#include "vm/loop.h"

struct gdb_port;

struct gdb_port_front {
    /* Bytes from the client; returns how many were taken. The rest comes again after gdb_port_accept_input(). */
    size_t (*receive)(void *opaque, const uint8_t *bytes, size_t n);
    /* The client has gone. `final`: and no other can come. */
    void (*gone)(void *opaque, bool final);
    void *opaque;
};

/* Begin to listen. NULL with the text, which begins with "-gdb"; the specification is as -gdb takes it. */
struct gdb_port *gdb_port_open(const char *spec, struct error *error);
/* Serve clients from now on, on the loop's thread. The port copies *front. */
void gdb_port_attach(struct gdb_port *port, struct loop *loop, const struct gdb_port_front *front);
/* Sends what is still to be sent, for a fifth of a second at most. */
void gdb_port_close(struct gdb_port *port);
/* For a port whose VM is not to be touched any more: a last word to the client, straight to its socket. */
void gdb_port_abandon(struct gdb_port *port, const char *last_words);

/* Everything or nothing; who does not read what he asked for is disconnected, without `gone` before the loop's next turn. */
void gdb_port_send(struct gdb_port *port, const uint8_t *bytes, size_t n);
/* Disconnect the client; not followed by `gone`. */
void gdb_port_drop(struct gdb_port *port);
/* Offer again what receive() has not taken. */
void gdb_port_accept_input(struct gdb_port *port);

#endif
