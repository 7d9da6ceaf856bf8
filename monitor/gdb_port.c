/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Sockets for debuggers. See gdb_port.h.
 *
 * Memory is bounded whatever a client does: input is read when the last piece was taken, output has one buffer, and while half
 * of that is full no further requests are read.
 */
#include "monitor/gdb_port.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vm/chardev.h"

enum { IN_SIZE = 4096, OUT_SIZE = 256 * 1024, REFUSED_MAX = 4, FLUSH_MS = 200, HEAR_OUT_MAX = 16 };

/* "E." is an error that gdb shows as text. */
static const char refusal[] = "+$E.another debugger is connected to this VM#36";

/* A client that was sent away, until it hangs up. */
struct refused {
    struct gdb_port *port;
    struct loop_source source; /* fd -1: unused */
};

struct gdb_port {
    struct loop *loop; /* NULL: not attached yet */
    struct gdb_port_front front;
    bool stdio;
    char unlink_path[CHARDEV_PATH_SIZE]; /* "": none */
    struct loop_source listener;         /* fd -1: none */
    struct loop_source client;           /* the same */
    struct loop_source output;           /* of stdio, whose two ends are two descriptors */
    struct loop_poller poller;           /* tells of clients that sending has lost */
    bool lost;
    struct refused refused[REFUSED_MAX]; /* the oldest makes way */
    unsigned next_refused;
    uint8_t in[IN_SIZE];
    size_t in_start, in_end;
    uint8_t out[OUT_SIZE];
    size_t out_start, out_end;
};

/* ---- Opening and closing -------------------------------------------------------------------------------------- */

static int explain(const char *spec, int result, struct error *error)
{
    if (result == -EADDRINUSE) {
        return error_set(error, result,
                         "-gdb: '%s' is in use, perhaps by another VM's debugger port (choose another one)",
                         spec);
    }
    return error_set(error, result, "-gdb: cannot listen on '%s': %s", spec, strerror(-result));
}

struct gdb_port *gdb_port_open(const char *spec, struct error *error)
{
    struct gdb_port *port = calloc(1, sizeof(*port));
    int result;

    if (!port) {
        error_set(error, -ENOMEM, "out of memory");
        return NULL;
    }
    port->stdio = !strcmp(spec, "stdio");
    port->listener.fd = port->client.fd = port->output.fd = -1;
    for (unsigned i = 0; i < REFUSED_MAX; i++) {
        port->refused[i].source.fd = -1;
    }
    result = port->stdio ? 0 : chardev_listen(spec, &port->listener.fd, port->unlink_path);
    if (result < 0) {
        explain(spec, result, error);
        free(port);
        return NULL;
    }
    return port;
}

static void close_source(struct gdb_port *port, struct loop_source *source)
{
    if (source->fd < 0) {
        return;
    }
    if (port->loop) {
        loop_remove(port->loop, source);
    }
    if (source->fd > STDERR_FILENO) {
        close(source->fd);
    }
    source->fd = -1;
}

static void flush_within(struct gdb_port *port, int milliseconds);

void gdb_port_close(struct gdb_port *port)
{
    if (!port) {
        return;
    }
    flush_within(port, FLUSH_MS);
    gdb_port_drop(port);
    for (unsigned i = 0; i < REFUSED_MAX; i++) {
        close_source(port, &port->refused[i].source);
    }
    close_source(port, &port->listener);
    if (port->loop) {
        loop_remove_poller(port->loop, &port->poller);
    }
    if (port->unlink_path[0]) {
        unlink(port->unlink_path);
    }
    free(port);
}

void gdb_port_abandon(struct gdb_port *port, const char *last_words)
{
    int fd = port->stdio ? STDOUT_FILENO : port->client.fd;

    if (fd >= 0) {
        ssize_t n = write(fd, last_words, strlen(last_words));

        (void)n; /* a client that has gone misses nothing */
    }
    if (port->client.fd > STDERR_FILENO) {
        shutdown(port->client.fd, SHUT_RDWR);
    }
    if (port->listener.fd >= 0) {
        shutdown(port->listener.fd, SHUT_RDWR);
    }
    if (port->unlink_path[0]) {
        unlink(port->unlink_path);
    }
}

/* ---- Bytes ------------------------------------------------------------------------------------------------------ */

static int output_fd(const struct gdb_port *port)
{
    return port->stdio ? port->output.fd : port->client.fd;
}

static void watch(struct gdb_port *port)
{
    size_t waiting = port->out_end - port->out_start;
    short in = (short)(port->in_start == port->in_end && waiting < OUT_SIZE / 2 ? POLLIN : 0);
    short out = (short)(waiting > 0 ? POLLOUT : 0);

    if (port->stdio) {
        port->client.events = in;
        port->output.events = out;
    } else {
        port->client.events = in | out;
    }
}

static void lose(struct gdb_port *port)
{
    gdb_port_drop(port);
    port->lost = true;
}

/* Write what the descriptor takes. False: it takes nothing ever again. */
static bool drain(struct gdb_port *port)
{
    while (port->out_start < port->out_end) {
        struct pollfd polled = {.fd = output_fd(port), .events = POLLOUT};
        ssize_t n;

        if (poll(&polled, 1, 0) <= 0 || !polled.revents) {
            break;
        }
        n = write(polled.fd, port->out + port->out_start, MIN(port->out_end - port->out_start, (size_t)512));
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            break;
        }
        if (n <= 0) {
            return false;
        }
        port->out_start += (size_t)n;
    }
    if (port->out_start == port->out_end) {
        port->out_start = port->out_end = 0;
    }
    return true;
}

static void flush_within(struct gdb_port *port, int milliseconds)
{
    while (output_fd(port) >= 0 && port->out_start < port->out_end && milliseconds > 0) {
        struct pollfd polled = {.fd = output_fd(port), .events = POLLOUT};

        if (!drain(port)) {
            return;
        }
        poll(&polled, port->out_start < port->out_end, 10);
        milliseconds -= 10;
    }
}

void gdb_port_send(struct gdb_port *port, const uint8_t *bytes, size_t n)
{
    if (output_fd(port) < 0) {
        return;
    }
    if (n > OUT_SIZE - port->out_end && port->out_start > 0) {
        memmove(port->out, port->out + port->out_start, port->out_end - port->out_start);
        port->out_end -= port->out_start;
        port->out_start = 0;
    }
    if (n > OUT_SIZE - port->out_end) {
        lose(port);
        return;
    }
    memcpy(port->out + port->out_end, bytes, n);
    port->out_end += n;
    if (!drain(port)) {
        lose(port);
        return;
    }
    watch(port);
}

/* Offer what there is to the front end, which may drop the client meanwhile. */
static void offer(struct gdb_port *port)
{
    if (port->in_start < port->in_end) {
        port->in_start +=
            port->front.receive(port->front.opaque, port->in + port->in_start, port->in_end - port->in_start);
    }
    if (port->in_start >= port->in_end) {
        port->in_start = port->in_end = 0;
    }
    watch(port);
}

void gdb_port_accept_input(struct gdb_port *port)
{
    offer(port);
}

void gdb_port_drop(struct gdb_port *port)
{
    close_source(port, &port->client);
    close_source(port, &port->output);
    port->in_start = port->in_end = port->out_start = port->out_end = 0;
}

static void tell_gone(struct gdb_port *port)
{
    port->lost = false;
    port->front.gone(port->front.opaque, port->stdio);
}

/* ---- Clients ---------------------------------------------------------------------------------------------------- */

/* Clients that leave Nagle's algorithm on, as scripts do, wait for the host's acknowledgement before each packet. */
static void acknowledge_at_once(int fd)
{
    int one = 1;

    setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &one,
               sizeof(one)); /* fails where there is no TCP, and need not be there */
}

static void client_ready(void *opaque, short revents)
{
    struct gdb_port *port = opaque;
    ssize_t n = 1;

    if ((revents & (POLLIN | POLLHUP | POLLERR)) && port->in_start == port->in_end) {
        n = read(port->client.fd, port->in, sizeof(port->in));
        acknowledge_at_once(port->client.fd);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            return;
        }
    } else {
        revents &= (short)~(POLLIN | POLLHUP | POLLERR);
    }
    if (n <= 0 || ((revents & POLLOUT) && !drain(port))) {
        gdb_port_drop(port);
        tell_gone(port);
        return;
    }
    if (revents & (POLLIN | POLLHUP | POLLERR)) {
        port->in_start = 0;
        port->in_end = (size_t)n;
    }
    offer(port);
}

static void output_ready(void *opaque, short revents)
{
    struct gdb_port *port = opaque;

    (void)revents;
    if (!drain(port)) {
        gdb_port_drop(port);
        tell_gone(port);
    } else {
        watch(port);
    }
}

/* A client that was sent away hangs up, or talks on. */
static void refused_ready(void *opaque, short revents)
{
    struct refused *refused = opaque;
    uint8_t bytes[512];
    ssize_t n = read(refused->source.fd, bytes, sizeof(bytes));

    (void)revents;
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
        close_source(refused->port, &refused->source);
    }
}

/* It hears why before it hangs up: what it has sent is read, because closing with that unread would take our words back. */
static void refuse(struct gdb_port *port, int fd)
{
    struct refused *refused = &port->refused[port->next_refused++ % REFUSED_MAX];
    ssize_t n = write(fd, refusal, sizeof(refusal) - 1);

    (void)n;
    shutdown(fd, SHUT_WR);
    close_source(port, &refused->source);
    *refused = (struct refused){
        .port = port, .source = {.fd = fd, .events = POLLIN, .ready = refused_ready, .opaque = refused}};
    loop_add(port->loop, &refused->source);
}

static void serve(struct gdb_port *port, int fd)
{
    port->client = (struct loop_source){.fd = fd, .events = POLLIN, .ready = client_ready, .opaque = port};
    loop_add(port->loop, &port->client);
}

/* The client may have hung up already, behind what it said last: it is heard out, and makes way for the next one. */
static void hear_out(struct gdb_port *port)
{
    struct pollfd polled = {.fd = port->client.fd, .events = POLLRDHUP};

    for (unsigned i = 0; i < HEAR_OUT_MAX && port->client.fd == polled.fd && polled.fd >= 0; i++) {
        if (poll(&polled, 1, 0) <= 0 || !polled.revents) {
            return;
        }
        if (port->in_start != port->in_end) { /* what it has left behind would take a while */
            gdb_port_drop(port);
            tell_gone(port);
            return;
        }
        client_ready(port, POLLIN);
    }
}

static void listener_ready(void *opaque, short revents)
{
    struct gdb_port *port = opaque;
    int fd;

    (void)revents;
    hear_out(port);
    if (port->lost) {
        tell_gone(port);
    }
    fd = accept4(port->listener.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        return;
    }
    if (port->client.fd < 0) {
        serve(port, fd);
    } else {
        refuse(port, fd);
    }
}

static void poller_prepare(void *opaque, struct loop *loop, uint64_t *timeout_ns)
{
    const struct gdb_port *port = opaque;

    (void)loop;
    *timeout_ns = port->lost ? 0 : *timeout_ns;
}

static void poller_polled(void *opaque, struct loop *loop, bool failed)
{
    struct gdb_port *port = opaque;

    (void)loop;
    (void)failed;
    if (port->lost) {
        tell_gone(port);
    }
}

void gdb_port_attach(struct gdb_port *port, struct loop *loop, const struct gdb_port_front *front)
{
    port->loop = loop;
    port->front = *front;
    port->poller = (struct loop_poller){.prepare = poller_prepare, .polled = poller_polled, .opaque = port};
    loop_add_poller(loop, &port->poller);
    if (port->stdio) {
        serve(port, STDIN_FILENO);
        port->output = (struct loop_source){.fd = STDOUT_FILENO, .ready = output_ready, .opaque = port};
        loop_add(loop, &port->output);
    } else {
        port->listener = (struct loop_source){
            .fd = port->listener.fd, .events = POLLIN, .ready = listener_ready, .opaque = port};
        loop_add(loop, &port->listener);
    }
}
