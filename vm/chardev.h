/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Back ends for character devices, by QEMU's grammar:
 *
 *   stdio  mon:stdio  file:PATH  pty  tcp:HOST:PORT[,server][,nowait]  unix:PATH[,server][,nowait]  null  none
 *
 * base/chardev.h is what devices see. A server listens on loopback or a unix socket only.
 */
#ifndef VM_CHARDEV_H
#define VM_CHARDEV_H

#include "base/chardev.h"
#include "base/error.h"
#include "vm/loop.h"

/* Open by specification. *chardev is NULL for "none". Owned by the caller: chardev_destroy(). The text of an error
 * names the specification and the mend. "stdio" is opened as many times as asked: callers share it by chardev_mux. */
int chardev_open(struct chardev **chardev, const char *label, const char *spec, struct loop *loop,
                 struct error *error);

/* A file takes at most so many bytes from now on, and one line on stderr says when; 0: no limit. Of other chardevs nothing. */
void chardev_limit_file(struct chardev *chardev, uint64_t bytes);

/* Check the grammar without opening anything. */
int chardev_check(const char *spec, struct error *error);

enum { CHARDEV_PATH_SIZE = 108 };
/* For who serves its clients itself: the socket of a "tcp:" or "unix:" specification, which is a server's whether it says so or
 * not, listening and non-blocking. *path: what to unlink in the end, "" for none. A unix socket that nobody listens on any more
 * makes way. -errno. */
int chardev_listen(const char *spec, int *fd, char path[CHARDEV_PATH_SIZE]);

/* A chardev over descriptors (in_fd may equal out_fd; -1: that direction is absent). Takes ownership when close_fds. */
struct chardev *chardev_fd_create(const char *label, struct loop *loop, int in_fd, int out_fd,
                                  bool close_fds);

/*
 * The multiplexer behind -nographic and mon:stdio: two front ends, the serial port and the monitor, share one
 * back end; Ctrl-a escapes choose and act.
 *
 *   Ctrl-a x   quit               Ctrl-a c   switch between serial port and monitor
 *   Ctrl-a b   send a break       Ctrl-a t   toggle time stamps        Ctrl-a s   commit (no disks: no effect)
 *   Ctrl-a Ctrl-a   send Ctrl-a   Ctrl-a h, Ctrl-a ?   help
 */
enum chardev_mux_port { MUX_SERIAL, MUX_MONITOR, MUX_PORTS };

struct chardev_mux;

/* Takes ownership of back. `quit` is called for Ctrl-a x. NULL when memory ran out (back is destroyed). */
struct chardev_mux *chardev_mux_create(struct chardev *back, void (*quit)(void *opaque), void *opaque);
/* The chardev to give to a front end; owned by the mux. Destroying it leaves the mux alone. */
struct chardev *chardev_mux_port(struct chardev_mux *mux, enum chardev_mux_port port);
/* Give input to this port first. */
void chardev_mux_focus(struct chardev_mux *mux, enum chardev_mux_port port);
void chardev_mux_destroy(struct chardev_mux *mux);

#endif
