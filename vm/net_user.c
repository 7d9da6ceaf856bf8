/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * User-mode NAT: the guest's packets become sockets of this process, by libslirp.
 *
 *   guest 10.0.2.15 ---- frames ---- libslirp ---- sockets ---- the host's network
 *                                       10.0.2.2 is the host, 10.0.2.3 its name server
 *
 * libslirp is a TCP/IP stack that answers ARP and DHCP, terminates the guest's connections and opens its own. It polls
 * through the VM's loop and counts time by the VM's clock, so a paused guest's connections pause, too. A frame that the
 * guest has no room for is dropped: its peer retransmits, as on any network.
 *
 * Not carried: IP fragments from the guest, see is_fragment(). Nothing listens unless hostfwd asks for it. Protocol helpers,
 * which look into FTP or IRC, are never switched on. Descriptors are the process's: a guest that keeps SOCKETS_MAX of them
 * busy begins no more conversations until some are over.
 */
#include <errno.h>
#include <slirp/libslirp.h>
#include <stdio.h>
#include <stdlib.h>

#include "vm/net.h"

enum {
    NS_PER_MS = 1000000,
    SOCKETS_MAX = 512,         /* of this process, that one guest may keep busy */
    DESCRIPTORS_MAX = 1 << 16, /* what setrlimit(RLIMIT_NOFILE) may come to, customarily */
};

struct net_user {
    struct net_port port;
    uint64_t is_socket[DESCRIPTORS_MAX / 64]; /* bit: a descriptor that libslirp has */
    unsigned sockets;
    struct loop *loop;
    struct clock *clock;
    struct loop_poller poller;
    Slirp *slirp;
};

/* libslirp's only timer: router advertisements. */
struct user_timer {
    struct timer timer;
    struct net_user *user;
    SlirpTimerId id;
    void *opaque;
};

/* ---- what libslirp calls --------------------------------------------------------------------------------- */

static ssize_t user_send_packet(const void *bytes, size_t count, void *opaque)
{
    struct net_user *user = opaque;

    net_port_send(&user->port, bytes, count);
    return (ssize_t)count;
}

/* The guest decides how often these come; they would tell the user nothing he could change. */
static void user_guest_error(const char *message, void *opaque)
{
    (void)message;
    (void)opaque;
}

static int64_t user_clock(void *opaque)
{
    return (int64_t)clock_now(((struct net_user *)opaque)->clock);
}

static void user_timer_fire(void *opaque)
{
    struct user_timer *timer = opaque;

    slirp_handle_timer(timer->user->slirp, timer->id, timer->opaque);
}

static void *user_timer_new(SlirpTimerId id, void *timer_opaque, void *opaque)
{
    struct net_user *user = opaque;
    struct user_timer *timer = calloc(1, sizeof(*timer));

    if (timer) {
        timer->user = user;
        timer->id = id;
        timer->opaque = timer_opaque;
        timer_init(&timer->timer, user->clock, "net-user", user_timer_fire, timer);
    }
    return timer;
}

static void user_timer_free(void *opaque_timer, void *opaque)
{
    struct user_timer *timer = opaque_timer;

    (void)opaque;
    if (timer) {
        timer_disarm(&timer->timer);
        free(timer);
    }
}

static void user_timer_mod(void *opaque_timer, int64_t expire_ms, void *opaque)
{
    struct user_timer *timer = opaque_timer;

    (void)opaque;
    if (timer && expire_ms >= 0) {
        timer_arm(&timer->timer, (uint64_t)expire_ms * NS_PER_MS);
    }
}

/* Which descriptors to poll is asked at every poll; here they are counted. */
static void user_note_fd(struct net_user *user, int fd, bool there)
{
    uint64_t bit = UINT64_C(1) << (fd & 63), *word = user->is_socket + (fd >> 6);

    if (fd < 0 || fd >= DESCRIPTORS_MAX || ((*word & bit) != 0) == there) {
        return;
    }
    *word ^= bit;
    user->sockets += there ? 1 : -1u;
}

static void user_register_fd(int fd, void *opaque)
{
    user_note_fd(opaque, fd, true);
}

static void user_unregister_fd(int fd, void *opaque)
{
    user_note_fd(opaque, fd, false);
}

static void user_notify(void *opaque)
{
    loop_wake(((struct net_user *)opaque)->loop);
}

static const SlirpCb user_callbacks = {
    .send_packet = user_send_packet,
    .guest_error = user_guest_error,
    .clock_get_ns = user_clock,
    .timer_free = user_timer_free,
    .timer_mod = user_timer_mod,
    .register_poll_fd = user_register_fd,
    .unregister_poll_fd = user_unregister_fd,
    .notify = user_notify,
    .timer_new_opaque = user_timer_new,
};

/* ---- polling --------------------------------------------------------------------------------------------- */

static const struct {
    int slirp;
    short poll;
} poll_bits[] = {
    {SLIRP_POLL_IN, POLLIN},   {SLIRP_POLL_OUT, POLLOUT}, {SLIRP_POLL_PRI, POLLPRI},
    {SLIRP_POLL_ERR, POLLERR}, {SLIRP_POLL_HUP, POLLHUP},
};

static int user_add_poll(int fd, int events, void *opaque)
{
    struct net_user *user = opaque;
    short wanted = 0;

    for (unsigned i = 0; i < ARRAY_LEN(poll_bits); i++) {
        wanted = (short)(wanted | (events & poll_bits[i].slirp ? poll_bits[i].poll : 0));
    }
    return loop_watch(user->loop, fd, wanted);
}

static int user_get_revents(int number, void *opaque)
{
    struct net_user *user = opaque;
    short got = loop_watched(user->loop, number);
    int events = 0;

    for (unsigned i = 0; i < ARRAY_LEN(poll_bits); i++) {
        events |= got & poll_bits[i].poll ? poll_bits[i].slirp : 0;
    }
    return events;
}

static void user_prepare(void *opaque, struct loop *loop, uint64_t *timeout_ns)
{
    struct net_user *user = opaque;
    uint32_t before = *timeout_ns / NS_PER_MS < UINT32_MAX ? (uint32_t)(*timeout_ns / NS_PER_MS) : UINT32_MAX;
    uint32_t after = before;

    (void)loop;
    slirp_pollfds_fill(user->slirp, &after, user_add_poll, user);
    if (after < before) {
        *timeout_ns = (uint64_t)after * NS_PER_MS;
    }
}

static void user_polled(void *opaque, struct loop *loop, bool failed)
{
    struct net_user *user = opaque;

    (void)loop;
    slirp_pollfds_poll(user->slirp, failed, user_get_revents, user);
}

/* ---- the port -------------------------------------------------------------------------------------------- */

/*
 * A fragment of an IPv4 packet: more follow, or it is not the first. libslirp's reassembly can be made to read and write
 * where it should not, so none gets that far. TCP makes none; a UDP datagram longer than the MTU is lost.
 */
static bool is_fragment(const uint8_t *frame, size_t length)
{
    enum { TYPE = 12, FLAGS = 20 };

    return length >= FLAGS + 2 && frame[TYPE] == 0x08 && frame[TYPE + 1] == 0x00 &&
           ((frame[FLAGS] & 0x3f) || frame[FLAGS + 1]);
}

/*
 * Could this be the first packet of a conversation, for which libslirp would open a socket? A TCP segment that only
 * synchronizes, any UDP datagram but to a DHCP server, an echo request.
 *
 * RFC 791, RFC 8200: protocol numbers; RFC 9293: SYN is bit 1, ACK bit 4 of the thirteenth byte.
 */
static bool may_open_socket(const uint8_t *frame, size_t length)
{
    enum {
        TYPE = 12,
        NETWORK = 14,
        TCP = 6,
        UDP = 17,
        ICMP = 1,
        ICMPV6 = 58,
        ECHO = 8,
        ECHO_V6 = 128,
        DHCP = 67
    };
    bool v6 = length > NETWORK && frame[TYPE] == 0x86 && frame[TYPE + 1] == 0xdd;
    size_t header = v6 ? 40 : length > NETWORK ? (size_t)(frame[NETWORK] & 15) * 4 : 0;
    const uint8_t *transport = frame + NETWORK + header;

    if (length < NETWORK + header + 14 || header < 20 ||
        (!v6 && (frame[TYPE] != 0x08 || frame[TYPE + 1] != 0x00))) {
        return false;
    }
    switch (frame[NETWORK + (v6 ? 6 : 9)]) {
    case TCP:
        return (transport[13] & 0x12) == 0x02;
    case UDP:
        return transport[2] != 0 || transport[3] != DHCP;
    case ICMP:
        return !v6 && transport[0] == ECHO;
    case ICMPV6:
        return v6 && transport[0] == ECHO_V6;
    default:
        return false;
    }
}

static bool user_receive(void *owner, const uint8_t *frame, size_t length)
{
    struct net_user *user = owner;

    if (is_fragment(frame, length) || (user->sockets >= SOCKETS_MAX && may_open_socket(frame, length))) {
        user->port.lost_frames++;
    } else {
        slirp_input(user->slirp, frame, (int)length);
    }
    return true;
}

static void user_destroy(void *owner)
{
    struct net_user *user = owner;

    loop_remove_poller(user->loop, &user->poller);
    net_port_fini(&user->port);
    slirp_cleanup(user->slirp);
    free(user);
}

/* libslirp ends the guest's connections and writes what they carry to a socket: a long segment is one write. */
static const struct net_port_ops user_ops = {
    .receive = user_receive, .destroy = user_destroy, .long_tcp = true};

static void user_fill_config(SlirpConfig *slirp, const struct net_user_config *config)
{
    *slirp = (SlirpConfig){
        .version = 4,
        .restricted = config->restricted,
        .in_enabled = true,
        .vnetwork = config->network,
        .vnetmask = config->mask,
        .vhost = config->host,
        .vhostname = config->hostname[0] ? config->hostname : NULL,
        .tftp_path = config->tftp[0] ? config->tftp : NULL,
        .bootfile = config->bootfile[0] ? config->bootfile : NULL,
        .vdhcp_start = config->dhcp_start,
        .vnameserver = config->dns,
        .in6_enabled = config->ipv6,
        .vprefix_len = 64,
    };
    inet_pton(AF_INET6, "fec0::", &slirp->vprefix_addr6);
    inet_pton(AF_INET6, "fec0::2", &slirp->vhost6);
    inet_pton(AF_INET6, "fec0::3", &slirp->vnameserver6);
}

static int user_add_forwards(struct net_user *user, const char *id, const struct net_user_config *config,
                             struct error *error)
{
    for (unsigned i = 0; i < config->forward_count; i++) {
        const struct net_forward *forward = &config->forward[i];

        if (slirp_add_hostfwd(user->slirp, forward->udp, forward->host, forward->host_port, forward->guest,
                              forward->guest_port) < 0) {
            char host[INET_ADDRSTRLEN];
            int code = errno ? errno : EINVAL;

            inet_ntop(AF_INET, &forward->host, host, sizeof(host));
            return error_set(error, -code, "%s: cannot forward %s port %u: %s", id, host, forward->host_port,
                             strerror(code));
        }
    }
    return 0;
}

int net_user_create(struct net_port **port, const char *id, const struct net_user_config *config,
                    struct loop *loop, struct clock *clock, struct error *error)
{
    struct net_user *user = calloc(1, sizeof(*user));
    SlirpConfig slirp;
    int result;

    if (!user) {
        return error_set(error, -ENOMEM, "out of memory");
    }
    user->loop = loop;
    user->clock = clock;
    user->poller = (struct loop_poller){.prepare = user_prepare, .polled = user_polled, .opaque = user};
    net_port_init(&user->port, id, &user_ops, user);
    user_fill_config(&slirp, config);
    user->slirp = slirp_new(&slirp, &user_callbacks, user);
    if (!user->slirp) {
        free(user);
        return error_set(error, -EINVAL, "%s: libslirp refused the configuration", id);
    }
    loop_add_poller(loop, &user->poller);
    result = user_add_forwards(user, id, config, error);
    if (result < 0) {
        user_destroy(user);
        return result;
    }
    *port = &user->port;
    return 0;
}
