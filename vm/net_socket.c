/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A stream socket to another process that carries frames, each behind its length as four big-endian bytes: what QEMU's
 * -netdev socket and -netdev stream speak, so either end may be theirs.
 *
 * A server takes one client at a time; a new one replaces the old. While nobody is connected frames are lost, as on a cable
 * that hangs loose at the far end. Output is collected until the sender has no more or there is a good deal of it; what the
 * socket does not take waits in a bounded buffer, and when that is full the adapter is told to wait. Input is read only as fast as
 * the adapter takes frames, so the far end is slowed down by TCP.
 *
 * The peer is not trusted: a length that no frame has ends the connection with one line.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "vm/net.h"

enum {
    LENGTH_SIZE = 4,
    IN_SIZE = 128 * 1024,
    OUT_SIZE = 512 * 1024,
    ENOUGH = 64 * 1024 /* to send */,
    READS = 4 /* a turn of the loop */
};

struct net_socket {
    struct net_port port;
    struct loop *loop;
    struct loop_source listener, stream; /* stream.fd -1: not connected */
    char *unlink_path;                   /* unix socket to remove at the end; owned */
    bool clogged;                        /* the socket took no more when it was last tried */
    size_t in_start, in_end, out_start, out_end;
    uint8_t in[IN_SIZE], out[OUT_SIZE];
};

/* ---- connection ------------------------------------------------------------------------------------------ */

static void watch(struct net_socket *s)
{
    bool full = s->in_end - s->in_start > IN_SIZE - LENGTH_SIZE - NET_FRAME_MAX;

    s->stream.events =
        (short)((s->port.starved || full ? 0 : POLLIN) | (s->out_end > s->out_start ? POLLOUT : 0));
}

/* The adapter need not wait for a connection that is gone. */
static void tell_writable(struct net_socket *s)
{
    struct net_port *peer = s->port.peer;

    if (peer && peer->starved) {
        peer->starved = false;
        if (peer->ops->writable) {
            peer->ops->writable(peer->owner);
        }
    }
}

static void disconnect(struct net_socket *s)
{
    if (s->stream.fd >= 0) {
        loop_remove(s->loop, &s->stream);
        close(s->stream.fd);
        s->stream.fd = -1;
    }
    s->in_start = s->in_end = s->out_start = s->out_end = 0;
    s->clogged = false;
    tell_writable(s);
}

static void connected(struct net_socket *s, int fd)
{
    int one = 1;

    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)); /* no effect on a unix socket */
    fcntl(fd, F_SETFL, O_NONBLOCK);
    s->stream.fd = fd;
    watch(s);
    loop_add(s->loop, &s->stream);
}

static void accept_client(void *opaque, short revents)
{
    struct net_socket *s = opaque;
    int fd = accept4(s->listener.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    (void)revents;
    if (fd >= 0) {
        disconnect(s);
        connected(s, fd);
    }
}

/* ---- output ---------------------------------------------------------------------------------------------- */

static void drain(struct net_socket *s)
{
    s->clogged = false;
    while (s->out_start < s->out_end) {
        ssize_t n = send(s->stream.fd, s->out + s->out_start, s->out_end - s->out_start, MSG_NOSIGNAL);

        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            s->clogged = true;
            break;
        }
        if (n <= 0) {
            disconnect(s);
            return;
        }
        s->out_start += (size_t)n;
    }
    if (s->out_start == s->out_end) {
        s->out_start = s->out_end = 0;
    }
    watch(s);
}

static bool socket_receive(void *owner, const uint8_t *frame, size_t length)
{
    struct net_socket *s = owner;
    uint32_t header = htonl((uint32_t)length);

    if (s->stream.fd < 0) {
        return true;
    }
    if (OUT_SIZE - s->out_end < LENGTH_SIZE + length) {
        memmove(s->out, s->out + s->out_start, s->out_end - s->out_start);
        s->out_end -= s->out_start;
        s->out_start = 0;
    }
    if (OUT_SIZE - s->out_end < LENGTH_SIZE + length) {
        return false;
    }
    memcpy(s->out + s->out_end, &header, LENGTH_SIZE);
    memcpy(s->out + s->out_end + LENGTH_SIZE, frame, length);
    s->out_end += LENGTH_SIZE + length;
    if (!s->clogged && s->out_end - s->out_start >= ENOUGH) {
        drain(s);
    } else {
        watch(s);
    }
    return true;
}

static void socket_flush(void *owner)
{
    struct net_socket *s = owner;

    if (s->out_end > s->out_start) {
        drain(s);
    }
}

/* ---- input ----------------------------------------------------------------------------------------------- */

/* Hand on the whole frames there are, until the adapter refuses one. False: the connection had to end. */
static bool deliver(struct net_socket *s)
{
    while (s->in_end - s->in_start >= LENGTH_SIZE) {
        uint32_t length;

        memcpy(&length, s->in + s->in_start, LENGTH_SIZE);
        length = ntohl(length);
        if (length < NET_HEADER_SIZE || length > NET_FRAME_MAX) {
            fprintf(stderr, "hypatia: %s: the other end sent a frame of %u bytes; disconnected\n",
                    s->port.name, length);
            disconnect(s);
            return false;
        }
        if (s->in_end - s->in_start < LENGTH_SIZE + length ||
            !net_port_send(&s->port, s->in + s->in_start + LENGTH_SIZE, length)) {
            break;
        }
        s->in_start += LENGTH_SIZE + length;
    }
    memmove(s->in, s->in + s->in_start, s->in_end - s->in_start);
    s->in_end -= s->in_start;
    s->in_start = 0;
    return true;
}

static void read_stream(struct net_socket *s)
{
    for (unsigned i = 0; i < READS && !s->port.starved; i++) {
        ssize_t n = recv(s->stream.fd, s->in + s->in_end, IN_SIZE - s->in_end, 0);

        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            break;
        }
        if (n <= 0) {
            disconnect(s);
            return;
        }
        s->in_end += (size_t)n;
        if (!deliver(s)) {
            return;
        }
    }
    watch(s);
}

static void stream_ready(void *opaque, short revents)
{
    struct net_socket *s = opaque;

    if (revents & POLLOUT) {
        drain(s);
        if (s->out_end - s->out_start < OUT_SIZE / 2) {
            tell_writable(s);
        }
    }
    if (s->stream.fd >= 0 && (revents & (POLLIN | POLLHUP | POLLERR))) {
        read_stream(s);
    }
}

/* The adapter takes frames again. */
static void socket_writable(void *owner)
{
    struct net_socket *s = owner;

    if (s->stream.fd >= 0 && deliver(s)) {
        watch(s);
    }
}

/* ---- life ------------------------------------------------------------------------------------------------ */

static void socket_destroy(void *owner)
{
    struct net_socket *s = owner;

    disconnect(s);
    if (s->listener.fd >= 0) {
        loop_remove(s->loop, &s->listener);
        close(s->listener.fd);
    }
    if (s->unlink_path) {
        unlink(s->unlink_path);
        free(s->unlink_path);
    }
    net_port_fini(&s->port);
    free(s);
}

static const struct net_port_ops socket_ops = {
    .receive = socket_receive, .writable = socket_writable, .flush = socket_flush, .destroy = socket_destroy};

/* A socket that listens at, or is connected to, the configured address; negative errno. */
static int open_socket(const struct net_socket_config *config)
{
    struct sockaddr_un unix_address = {.sun_family = AF_UNIX};
    struct sockaddr_in inet_address = {.sin_family = AF_INET, .sin_port = htons(config->port)};
    const struct sockaddr *address =
        config->is_unix ? (const struct sockaddr *)&unix_address : (const struct sockaddr *)&inet_address;
    socklen_t length = config->is_unix ? sizeof(unix_address) : sizeof(inet_address);
    int one = 1;
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int result;

    if (fd < 0) {
        return -errno;
    }
    strcpy(unix_address.sun_path, config->path);
    inet_pton(AF_INET, config->path, &inet_address.sin_addr);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    result = config->server ? bind(fd, address, length) : connect(fd, address, length);
    if (result == 0 && config->server) {
        result = listen(fd, 4);
    }
    if (result < 0) {
        result = -errno;
        close(fd);
        return result;
    }
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

static int describe_failure(int result, const char *id, const struct net_socket_config *config,
                            struct error *error)
{
    const char *what = config->server ? "listen at" : "connect to";

    if (config->is_unix) {
        return error_set(error, result, "%s: cannot %s '%s': %s", id, what, config->path, strerror(-result));
    }
    return error_set(error, result, "%s: cannot %s %s:%u: %s", id, what, config->path, config->port,
                     strerror(-result));
}

int net_socket_create(struct net_port **port, const char *id, const struct net_socket_config *config,
                      struct loop *loop, struct error *error)
{
    struct net_socket *s = calloc(1, sizeof(*s));
    int fd;

    if (!s) {
        return error_set(error, -ENOMEM, "out of memory");
    }
    fd = open_socket(config);
    if (fd < 0) {
        free(s);
        return describe_failure(fd, id, config, error);
    }
    s->loop = loop;
    net_port_init(&s->port, id, &socket_ops, s);
    s->stream = (struct loop_source){.fd = -1, .ready = stream_ready, .opaque = s};
    s->listener = (struct loop_source){.fd = -1, .events = POLLIN, .ready = accept_client, .opaque = s};
    if (config->server) {
        s->listener.fd = fd;
        s->unlink_path = config->is_unix ? strdup(config->path) : NULL;
        loop_add(loop, &s->listener);
    } else {
        connected(s, fd);
    }
    *port = &s->port;
    return 0;
}
