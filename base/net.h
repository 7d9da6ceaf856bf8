/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Network ports: the two ends of an Ethernet cable inside the process.
 *
 *   e1000 ---- port === port ---- NAT, socket, switch          frames without their FCS, both ways
 *
 * A device owns one port, a back end (vm/net_*.c) the other; net_port_connect() joins them. All calls come from
 * the VM's thread. There are two kinds of port:
 *
 *   direct   receive() is called inside the peer's net_port_send(): back ends, which do a bounded amount of work
 *   queued   frames wait in a bounded queue and are delivered by a timer of the VM's clock, hence between slices of
 *            guest execution and in the order of their arrival: devices. When the guest's time is a function of its
 *            instructions the wire has a fixed latency, so that a frame's arrival is one, too.
 *
 * Back-pressure: a full queue, or a direct port that cannot take more, makes net_port_send() answer false. The
 * sender keeps the frame and is told through writable(). A device that has no buffer refuses in receive() and calls
 * net_port_ready() when it has one. A frame sent while a link is down, or over a cable that ends nowhere, is lost.
 *
 * Two things that no wire has, but that spare work where both ends are programs: a sender says net_port_flush() when it has no
 * more for now, so that a back end may collect frames and pass them on together; and a back end that ends TCP connections itself
 * takes segments longer than any MTU (long_tcp), so that an adapter that cuts packets into segments need not.
 *
 * Frames in a queue are on the wire: a snapshot does not contain them, as it does not contain what is on a real one.
 */
#ifndef BASE_NET_H
#define BASE_NET_H

#include "base/clock.h"
#include "base/types.h"

enum {
    NET_MAC_SIZE = 6,
    NET_HEADER_SIZE = 14,      /* destination, source, type */
    NET_FRAME_MIN = 60,        /* shortest frame on a real wire; shorter ones are padded by the sender */
    NET_FRAME_STANDARD = 1514, /* longest one without a VLAN tag */
    NET_FRAME_MAX = 16384,     /* longest frame any port carries */
    NET_QUEUE_FRAMES = 1024,   /* bounds of a queue */
    NET_QUEUE_BYTES = 4 << 20,
};

struct net_port;

struct net_port_ops {
    /* Take a frame of NET_HEADER_SIZE..NET_FRAME_MAX bytes. False: not now. */
    bool (*receive)(void *owner, const uint8_t *frame, size_t length);
    /* The peer takes frames again after it refused one. NULL if of no interest. */
    void (*writable)(void *owner);
    /* The cable was plugged in or out, at either end. NULL if of no interest. */
    void (*link_changed)(void *owner, bool up);
    /* The sender has no more frames for now. NULL for whoever passes on each at once. */
    void (*flush)(void *owner);
    /* Back ends: free the owner, port included. NULL for devices. */
    void (*destroy)(void *owner);
    /* TCP segments of up to NET_FRAME_MAX are as good as shorter ones, whatever MTU and MSS are. */
    bool long_tcp;
};

/* Sees every frame that was taken, in the order of sending. `sent`: by the port the tap is on. */
struct net_tap {
    void (*frame)(struct net_tap *tap, bool sent, const uint8_t *frame, size_t length);
    void (*destroy)(struct net_tap *tap);
};

struct net_frame {
    struct net_frame *next;
    uint64_t due; /* ns on the receiver's clock */
    size_t length;
    uint8_t bytes[];
};

struct net_port {
    const struct net_port_ops *ops;
    void *owner;
    char name[32];             /* "net0": the id the user gave, for `info network` and set_link */
    uint8_t mac[NET_MAC_SIZE]; /* devices: the factory's address */
    struct net_port *peer;     /* NULL: the cable ends nowhere */
    bool plugged;              /* set_link at this end */
    bool starved;              /* our last frame was refused */
    struct net_tap *tap;       /* owned; NULL: none */
    const uint8_t *offered;    /* inside net_port_send(): the frame, until the taps saw it; else NULL */
    size_t offered_length;

    /* queued ports */
    struct clock *clock; /* NULL: a direct port */
    struct timer delivery;
    uint64_t latency_ns;
    struct net_frame *head, **tail;
    unsigned queued_frames;
    size_t queued_bytes;
    bool blocked; /* the owner refused the head */

    uint64_t sent_frames, sent_bytes, received_frames, received_bytes, lost_frames;
};

void net_port_init(struct net_port *port, const char *name, const struct net_port_ops *ops, void *owner);
/* The same with a queue that is delivered by `clock`. */
void net_port_init_queued(struct net_port *port, const char *name, const struct net_port_ops *ops,
                          void *owner, struct clock *clock);
/* Unplug from the peer, drop what is queued, free the tap. */
void net_port_fini(struct net_port *port);

void net_port_connect(struct net_port *a, struct net_port *b);
/* Plug the cable in or out at this end; both owners are told when that changes the link. */
void net_port_set_link(struct net_port *port, bool plugged);
/* Both ends plugged in. */
bool net_port_is_up(const struct net_port *port);

/* Send from this end to the other. False: refused, keep the frame and wait for writable(). Frames of an impossible
 * length, and frames into a link that is down, are taken and lost. */
bool net_port_send(struct net_port *port, const uint8_t *frame, size_t length);
/* Nothing more to send for now: call it after the last net_port_send() of several. */
static inline void net_port_flush(struct net_port *port)
{
    if (port->peer && port->peer->ops->flush) {
        port->peer->ops->flush(port->peer->owner);
    }
}

/* May TCP segments be longer than the MTU? */
static inline bool net_port_takes_long_tcp(const struct net_port *port)
{
    return port->peer && port->peer->ops->long_tcp;
}

/* The owner of a queued port can receive again. */
void net_port_ready(struct net_port *port);

/* Free a back end by its port; NULL is legal. */
static inline void net_port_destroy(struct net_port *port)
{
    if (port && port->ops->destroy) {
        port->ops->destroy(port->owner);
    }
}

static inline bool net_mac_is_group(const uint8_t *mac)
{
    return (mac[0] & 1) != 0;
}

#endif
