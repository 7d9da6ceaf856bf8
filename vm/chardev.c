/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Opening character devices by specification: see vm/chardev.h for the grammar.
 *
 * Sockets: a server listens on a loopback address or a unix path only, takes one client at a time, and lets
 * the guest run before anybody has connected; output while nobody listens is dropped.
 */
#include "vm/chardev.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

enum chardev_kind { KIND_NONE, KIND_NULL, KIND_STDIO, KIND_FILE, KIND_PTY, KIND_TCP, KIND_UNIX };

struct chardev_spec {
    enum chardev_kind kind;
    char path[CHARDEV_PATH_SIZE]; /* file, unix socket or host; sun_path's size */
    uint16_t port;
    bool server, wait;
};

/* ---- grammar ---- */

static int spec_error(const char *spec, struct error *error, const char *why)
{
    return error_set(error, -EINVAL,
                     "character device '%s': %s (known: stdio, mon:stdio, file:PATH, pty, "
                     "tcp:HOST:PORT[,server][,nowait], unix:PATH[,server][,nowait], null, none)",
                     spec, why);
}

/* ",server,nowait" behind a socket's address. */
static int spec_parse_socket_options(struct chardev_spec *out, char *options, const char *spec,
                                     struct error *error)
{
    out->wait = true;
    for (char *save = NULL, *item = strtok_r(options, ",", &save); item; item = strtok_r(NULL, ",", &save)) {
        if (!strcmp(item, "server") || !strcmp(item, "server=on")) {
            out->server = true;
        } else if (!strcmp(item, "nowait") || !strcmp(item, "wait=off")) {
            out->wait = false;
        } else {
            return spec_error(spec, error, "unknown socket option");
        }
    }
    return 0;
}

static int spec_parse_tcp(struct chardev_spec *out, char *address, const char *spec, struct error *error)
{
    char *colon = strrchr(address, ':');
    char *end;
    unsigned long port;

    if (!colon) {
        return spec_error(spec, error, "tcp needs HOST:PORT");
    }
    *colon = '\0';
    port = strtoul(colon + 1, &end, 10);
    if (end == colon + 1 || *end || port == 0 || port > 65535) {
        return spec_error(spec, error, "the port must be 1 to 65535");
    }
    if (!strcmp(address, "") || !strcmp(address, "localhost")) {
        address = (char *)"127.0.0.1";
    }
    if (strncmp(address, "127.", 4) != 0) {
        return spec_error(spec, error, "only loopback addresses (127.x.x.x, localhost) are allowed");
    }
    snprintf(out->path, sizeof(out->path), "%s", address);
    out->port = (uint16_t)port;
    return 0;
}

static int spec_parse_addressed(struct chardev_spec *out, const char *spec, struct error *error)
{
    const char *address = strchr(spec, ':') + 1;
    char copy[256];
    char *options;

    if (strlen(address) >= sizeof(copy)) {
        return spec_error(spec, error, "too long");
    }
    strcpy(copy, address);
    if (out->kind == KIND_FILE) {
        if (!*address || strlen(address) >= sizeof(out->path)) {
            return spec_error(spec, error, "the path is empty or longer than 107 characters");
        }
        strcpy(out->path, address);
        return 0;
    }
    options = strchr(copy, ',');
    if (options) {
        *options++ = '\0';
    }
    if (spec_parse_socket_options(out, options ? options : copy + strlen(copy), spec, error) < 0) {
        return -EINVAL;
    }
    if (out->kind == KIND_TCP) {
        return spec_parse_tcp(out, copy, spec, error);
    }
    if (!*copy || strlen(copy) >= sizeof(out->path)) {
        return spec_error(spec, error, "the path is empty or longer than 107 characters");
    }
    strcpy(out->path, copy);
    return 0;
}

static int spec_parse(struct chardev_spec *out, const char *spec, struct error *error)
{
    static const struct {
        const char *prefix;
        enum chardev_kind kind;
        bool addressed;
    } kinds[] = {
        {"none", KIND_NONE, false},       {"null", KIND_NULL, false}, {"stdio", KIND_STDIO, false},
        {"mon:stdio", KIND_STDIO, false}, {"pty", KIND_PTY, false},   {"file:", KIND_FILE, true},
        {"tcp:", KIND_TCP, true},         {"unix:", KIND_UNIX, true},
    };

    memset(out, 0, sizeof(*out));
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        const char *prefix = kinds[i].prefix;

        if (kinds[i].addressed ? !strncmp(spec, prefix, strlen(prefix)) : !strcmp(spec, prefix)) {
            out->kind = kinds[i].kind;
            return kinds[i].addressed ? spec_parse_addressed(out, spec, error) : 0;
        }
    }
    return spec_error(spec, error, "unknown kind");
}

int chardev_check(const char *spec, struct error *error)
{
    struct chardev_spec parsed;

    return spec_parse(&parsed, spec, error);
}

/* ---- null ---- */

static size_t chardev_null_write(struct chardev *chardev, const uint8_t *bytes, size_t n)
{
    (void)chardev;
    (void)bytes;
    return n;
}

static void chardev_null_destroy(struct chardev *chardev)
{
    free(chardev->label);
    free(chardev);
}

static const struct chardev_ops chardev_null_ops = {
    .write = chardev_null_write,
    .destroy = chardev_null_destroy,
};

static struct chardev *chardev_null_create(const char *label)
{
    struct chardev *chardev = calloc(1, sizeof(*chardev));

    if (chardev) {
        chardev->ops = &chardev_null_ops;
        chardev->label = strdup(label);
    }
    return chardev;
}

/* ---- socket server: one client at a time ---- */

struct chardev_server {
    struct chardev chardev; /* first member */
    struct loop *loop;
    struct loop_source listener;
    struct chardev *client; /* NULL while nobody is connected */
    char *unlink_path;      /* unix socket to remove at the end */
};

static size_t server_receive(void *opaque, const uint8_t *bytes, size_t n)
{
    struct chardev_server *s = opaque;

    return s->chardev.receive ? s->chardev.receive(s->chardev.front, bytes, n) : n;
}

static void server_writable(void *opaque)
{
    struct chardev_server *s = opaque;

    if (s->chardev.writable) {
        s->chardev.writable(s->chardev.front);
    }
}

/* A new client replaces the old one: the way back in after a client was killed. */
static void server_accept(void *opaque, short revents)
{
    struct chardev_server *s = opaque;
    int fd = accept4(s->listener.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    (void)revents;
    if (fd < 0) {
        return;
    }
    chardev_destroy(s->client);
    s->client = chardev_fd_create(s->chardev.label, s->loop, fd, fd, true);
    if (!s->client) {
        close(fd);
        return;
    }
    s->client->receive = server_receive;
    s->client->writable = server_writable;
    s->client->front = s;
    chardev_tell_opened(&s->chardev);
}

static size_t server_write(struct chardev *chardev, const uint8_t *bytes, size_t n)
{
    return chardev_write(CONTAINER_OF(chardev, struct chardev_server, chardev)->client, bytes, n);
}

static void server_accept_input(struct chardev *chardev)
{
    chardev_accept_input(CONTAINER_OF(chardev, struct chardev_server, chardev)->client);
}

static unsigned server_columns(struct chardev *chardev)
{
    return chardev_columns(CONTAINER_OF(chardev, struct chardev_server, chardev)->client);
}

static void server_destroy(struct chardev *chardev)
{
    struct chardev_server *s = CONTAINER_OF(chardev, struct chardev_server, chardev);

    chardev_destroy(s->client);
    loop_remove(s->loop, &s->listener);
    close(s->listener.fd);
    if (s->unlink_path) {
        unlink(s->unlink_path);
        free(s->unlink_path);
    }
    free(chardev->label);
    free(s);
}

static const struct chardev_ops chardev_server_ops = {
    .write = server_write,
    .accept_input = server_accept_input,
    .columns = server_columns,
    .destroy = server_destroy,
};

static struct chardev *chardev_server_create(const char *label, struct loop *loop, int fd, const char *path)
{
    struct chardev_server *s = calloc(1, sizeof(*s));

    if (!s) {
        return NULL;
    }
    s->chardev.ops = &chardev_server_ops;
    s->chardev.label = strdup(label);
    s->loop = loop;
    s->listener = (struct loop_source){.fd = fd, .events = POLLIN, .ready = server_accept, .opaque = s};
    s->unlink_path = path ? strdup(path) : NULL;
    loop_add(loop, &s->listener);
    return &s->chardev;
}

/* A socket bound or connected to the specification's address; -errno. */
static int spec_socket(const struct chardev_spec *spec)
{
    struct sockaddr_un unix_address = {.sun_family = AF_UNIX};
    struct sockaddr_in tcp_address = {.sin_family = AF_INET, .sin_port = htons(spec->port)};
    const struct sockaddr *address;
    socklen_t length;
    int one = 1;
    int fd, result;

    if (spec->kind == KIND_UNIX) {
        strcpy(unix_address.sun_path, spec->path);
        address = (const struct sockaddr *)&unix_address;
        length = sizeof(unix_address);
    } else {
        if (inet_pton(AF_INET, spec->path, &tcp_address.sin_addr) != 1) {
            return -EINVAL;
        }
        address = (const struct sockaddr *)&tcp_address;
        length = sizeof(tcp_address);
    }
    fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -errno;
    }
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (spec->kind == KIND_TCP) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    }
    result = spec->server ? bind(fd, address, length) : connect(fd, address, length);
    if (result == 0 && spec->server) {
        result = listen(fd, 4);
    }
    if (result < 0) {
        result = -errno;
        close(fd);
        return result;
    }
    return fd;
}

/* A unix socket's name that a process has left behind is free again. */
static bool remove_stale_socket(const struct chardev_spec *spec)
{
    struct chardev_spec client = *spec;
    int fd;

    client.server = false;
    fd = spec_socket(&client);
    if (fd >= 0) {
        close(fd);
    }
    return fd == -ECONNREFUSED && unlink(spec->path) == 0;
}

int chardev_listen(const char *spec, int *fd, char path[CHARDEV_PATH_SIZE])
{
    struct chardev_spec parsed;
    int result = spec_parse(&parsed, spec, NULL);

    if (result < 0 || (parsed.kind != KIND_TCP && parsed.kind != KIND_UNIX)) {
        return -EINVAL;
    }
    parsed.server = true;
    result = spec_socket(&parsed);
    if (result == -EADDRINUSE && parsed.kind == KIND_UNIX && remove_stale_socket(&parsed)) {
        result = spec_socket(&parsed);
    }
    if (result < 0) {
        return result;
    }
    fcntl(result, F_SETFL, O_NONBLOCK);
    strcpy(path, parsed.kind == KIND_UNIX ? parsed.path : "");
    *fd = result;
    return 0;
}

static struct chardev *open_socket(const struct chardev_spec *spec, const char *label, struct loop *loop,
                                   int *result)
{
    int fd = spec_socket(spec);

    if (fd < 0) {
        *result = fd;
        return NULL;
    }
    fcntl(fd, F_SETFL, O_NONBLOCK);
    if (!spec->server) {
        return chardev_fd_create(label, loop, fd, fd, true);
    }
    if (spec->wait) {
        struct pollfd polled = {.fd = fd, .events = POLLIN};

        fprintf(stderr, "hypatia: %s: waiting for a connection (add ,nowait to start without)\n", label);
        poll(&polled, 1, -1);
    }
    return chardev_server_create(label, loop, fd, spec->kind == KIND_UNIX ? spec->path : NULL);
}

static struct chardev *open_pty(const char *label, struct loop *loop, int *result)
{
    int fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
    struct termios raw;
    const char *name;

    if (fd < 0 || grantpt(fd) < 0 || unlockpt(fd) < 0 || !(name = ptsname(fd))) {
        *result = -errno;
        if (fd >= 0) {
            close(fd);
        }
        return NULL;
    }
    if (tcgetattr(fd, &raw) == 0) {
        cfmakeraw(&raw);
        tcsetattr(fd, TCSANOW, &raw);
    }
    fprintf(stderr, "hypatia: %s is redirected to %s\n", label, name);
    return chardev_fd_create(label, loop, fd, fd, true);
}

static struct chardev *open_file(const char *path, const char *label, struct loop *loop, int *result)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);

    if (fd < 0) {
        *result = -errno;
        return NULL;
    }
    return chardev_fd_create(label, loop, -1, fd, true);
}

int chardev_open(struct chardev **chardev, const char *label, const char *spec, struct loop *loop,
                 struct error *error)
{
    struct chardev_spec parsed;
    int result = spec_parse(&parsed, spec, error);

    *chardev = NULL;
    if (result < 0 || parsed.kind == KIND_NONE) {
        return result;
    }
    result = -ENOMEM;
    switch (parsed.kind) {
    case KIND_STDIO:
        *chardev = chardev_fd_create(label, loop, STDIN_FILENO, STDOUT_FILENO, false);
        break;
    case KIND_FILE:
        *chardev = open_file(parsed.path, label, loop, &result);
        break;
    case KIND_PTY:
        *chardev = open_pty(label, loop, &result);
        break;
    case KIND_TCP:
    case KIND_UNIX:
        *chardev = open_socket(&parsed, label, loop, &result);
        break;
    default:
        *chardev = chardev_null_create(label);
        break;
    }
    if (!*chardev) {
        return error_set(error, result, "%s: cannot open '%s': %s", label, spec, strerror(-result));
    }
    return 0;
}
