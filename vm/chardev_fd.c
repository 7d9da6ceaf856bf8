/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A chardev over file descriptors: stdio, files, ptys and connected sockets.
 *
 * Output goes into a ring and from there to the descriptor whenever it is writable, so a slow reader never
 * blocks the guest; when the ring is full the device is told that nothing was taken. A descriptor that reports a
 * broken reader swallows the output from then on: a closed pipe must not stop the guest.
 *
 * Input is read in pieces no larger than the front end takes; what it refuses is kept and offered again.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "vm/chardev.h"

enum { OUT_SIZE = 256 * 1024, IN_SIZE = 4096, WRITE_PIECE = 512 };

struct chardev_fd {
    struct chardev chardev; /* first member */
    struct loop *loop;
    int in_fd, out_fd;
    bool close_fds, broken;
    bool in_is_out; /* one source serves both directions */
    bool restore_terminal;
    struct termios terminal; /* settings to restore */
    struct loop_source in_source, out_source;
    uint8_t in[IN_SIZE]; /* received, not yet taken by the front end */
    size_t in_start, in_end;
    uint8_t out[OUT_SIZE]; /* ring */
    size_t out_head, out_count;
    bool starved; /* a write was refused: call writable() when there is room */
    bool limited;
    uint64_t left; /* bytes that may still be written, if limited */
};

static void chardev_fd_watch(struct chardev_fd *c)
{
    short in = (short)(c->in_start == c->in_end && c->in_fd >= 0 ? POLLIN : 0);
    short out = (short)(c->out_count > 0 && !c->broken ? POLLOUT : 0);

    if (c->in_is_out) {
        c->in_source.events = in | out;
    } else {
        c->in_source.events = in;
        c->out_source.events = out;
    }
}

/* Write what the descriptor takes without blocking. */
static void chardev_fd_drain(struct chardev_fd *c)
{
    while (c->out_count > 0 && !c->broken) {
        struct pollfd polled = {.fd = c->out_fd, .events = POLLOUT};
        size_t piece = MIN(MIN(c->out_count, (size_t)OUT_SIZE - c->out_head), (size_t)WRITE_PIECE);
        ssize_t n;

        if (poll(&polled, 1, 0) <= 0 || !(polled.revents & (POLLOUT | POLLERR | POLLHUP))) {
            break;
        }
        n = write(c->out_fd, c->out + c->out_head, piece);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            break;
        }
        if (n <= 0) {
            c->broken = true;
            c->out_count = 0;
            break;
        }
        c->out_head = (c->out_head + (size_t)n) % OUT_SIZE;
        c->out_count -= (size_t)n;
    }
    chardev_fd_watch(c);
    if (c->starved && c->out_count < OUT_SIZE / 2) {
        c->starved = false;
        if (c->chardev.writable) {
            c->chardev.writable(c->chardev.front);
        }
    }
}

/* What the guest says beyond the limit is lost, and it goes on. */
static void chardev_fd_end(struct chardev_fd *c)
{
    fprintf(stderr,
            "hypatia: %s: its file is as long as -output-limit allows; what the guest writes from now on is "
            "lost\n",
            c->chardev.label);
    chardev_fd_drain(c);
    c->broken = true;
    c->out_count = 0;
}

static size_t chardev_fd_write(struct chardev *chardev, const uint8_t *bytes, size_t n)
{
    struct chardev_fd *c = CONTAINER_OF(chardev, struct chardev_fd, chardev);
    size_t most = c->limited ? (size_t)MIN((uint64_t)n, c->left) : n, taken = 0;

    if (c->out_fd < 0 || c->broken) {
        return n;
    }
    while (taken < most && c->out_count < OUT_SIZE) {
        c->out[(c->out_head + c->out_count++) % OUT_SIZE] = bytes[taken++];
    }
    c->left -= c->limited ? taken : 0;
    if (c->limited && c->left == 0) {
        chardev_fd_end(c);
        return n;
    }
    c->starved = taken < n;
    chardev_fd_watch(c);
    return taken;
}

/* Offer what was received to the front end. */
static void chardev_fd_offer(struct chardev_fd *c)
{
    if (c->in_start < c->in_end) {
        size_t left = c->in_end - c->in_start;

        c->in_start +=
            c->chardev.receive ? c->chardev.receive(c->chardev.front, c->in + c->in_start, left) : left;
    }
    if (c->in_start >= c->in_end) {
        c->in_start = c->in_end = 0;
    }
    chardev_fd_watch(c);
}

static void chardev_fd_accept_input(struct chardev *chardev)
{
    chardev_fd_offer(CONTAINER_OF(chardev, struct chardev_fd, chardev));
}

static void chardev_fd_readable(struct chardev_fd *c)
{
    ssize_t n = read(c->in_fd, c->in, sizeof(c->in));

    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (n <= 0) {
        c->in_fd = -1; /* end of input; the descriptor itself is closed with the chardev */
        chardev_fd_watch(c);
        return;
    }
    c->in_start = 0;
    c->in_end = (size_t)n;
    chardev_fd_offer(c);
}

static void chardev_fd_ready(void *opaque, short revents)
{
    struct chardev_fd *c = opaque;

    if (c->in_fd >= 0 && (revents & (POLLIN | POLLHUP | POLLERR)) && (c->in_source.events & POLLIN)) {
        chardev_fd_readable(c);
    }
    if (c->in_is_out && c->out_count > 0) {
        chardev_fd_drain(c);
    }
}

static void chardev_fd_out_ready(void *opaque, short revents)
{
    (void)revents;
    chardev_fd_drain(opaque);
}

/* Of a pty's other end this works as well. */
static unsigned chardev_fd_columns(struct chardev *chardev)
{
    struct chardev_fd *c = CONTAINER_OF(chardev, struct chardev_fd, chardev);
    struct winsize size;

    return c->out_fd >= 0 && ioctl(c->out_fd, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

static void chardev_fd_destroy(struct chardev *chardev)
{
    struct chardev_fd *c = CONTAINER_OF(chardev, struct chardev_fd, chardev);

    loop_remove(c->loop, &c->in_source);
    if (!c->in_is_out) {
        loop_remove(c->loop, &c->out_source);
    }
    chardev_fd_drain(c);
    if (c->restore_terminal) {
        tcsetattr(c->in_source.fd, TCSANOW, &c->terminal);
    }
    if (c->close_fds) {
        if (c->in_source.fd >= 0) {
            close(c->in_source.fd);
        }
        if (c->out_fd >= 0 && !c->in_is_out) {
            close(c->out_fd);
        }
    }
    free(c->chardev.label);
    free(c);
}

/* A terminal on stdin passes every key to the guest: raw, no echo, Ctrl-C included. Restored on destroy. */
static void chardev_fd_raw_terminal(struct chardev_fd *c)
{
    struct termios raw;

    if (c->in_fd < 0 || !isatty(c->in_fd) || tcgetattr(c->in_fd, &c->terminal) < 0) {
        return;
    }
    raw = c->terminal;
    raw.c_iflag &= ~(tcflag_t)(IGNBRK | BRKINT | PARMRK | ISTRIP | INLCR | IGNCR | ICRNL | IXON);
    raw.c_lflag &= ~(tcflag_t)(ECHO | ECHONL | ICANON | ISIG | IEXTEN);
    raw.c_oflag |= OPOST;
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    c->restore_terminal = tcsetattr(c->in_fd, TCSANOW, &raw) == 0;
}

static const struct chardev_ops chardev_fd_ops = {
    .write = chardev_fd_write,
    .accept_input = chardev_fd_accept_input,
    .columns = chardev_fd_columns,
    .destroy = chardev_fd_destroy,
};

void chardev_limit_file(struct chardev *chardev, uint64_t bytes)
{
    struct chardev_fd *c;
    struct stat status;

    if (!chardev || chardev->ops != &chardev_fd_ops) {
        return;
    }
    c = CONTAINER_OF(chardev, struct chardev_fd, chardev);
    if (bytes && fstat(c->out_fd, &status) == 0 && S_ISREG(status.st_mode)) {
        c->limited = true;
        c->left = bytes;
    }
}

struct chardev *chardev_fd_create(const char *label, struct loop *loop, int in_fd, int out_fd, bool close_fds)
{
    struct chardev_fd *c = calloc(1, sizeof(*c));

    if (!c) {
        return NULL;
    }
    c->chardev.ops = &chardev_fd_ops;
    c->chardev.label = strdup(label);
    c->loop = loop;
    c->in_fd = in_fd;
    c->out_fd = out_fd;
    c->close_fds = close_fds;
    c->in_is_out = in_fd >= 0 && in_fd == out_fd;
    c->in_source = (struct loop_source){.fd = in_fd, .ready = chardev_fd_ready, .opaque = c};
    c->out_source = (struct loop_source){.fd = out_fd, .ready = chardev_fd_out_ready, .opaque = c};
    chardev_fd_raw_terminal(c);
    chardev_fd_watch(c);
    loop_add(loop, &c->in_source);
    if (!c->in_is_out) {
        loop_add(loop, &c->out_source);
    }
    return &c->chardev;
}
