/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What a learning Ethernet switch knows: which address was heard at which of its ports. Only the knowledge;
 * vm/net_fabric.h has the ports, and the lock that orders calls.
 *
 * Source: IEEE 802.1D, 7.8 "The Learning Process", 7.9 "The Filtering Database". Each port learns the source addresses of
 * what it hears. An address not heard for five minutes is forgotten; one that is heard at another port has moved there.
 *
 * A port knows a bounded number of addresses of its own, so a guest that invents addresses pushes out only its own. Ports
 * may count time differently, as VMs do: an address ages by the time of the port that heard it.
 *
 * Not modelled: spanning tree (a loop of switches would circle frames), VLANs, static entries.
 */
#ifndef VM_NET_SWITCH_H
#define VM_NET_SWITCH_H

#include "base/net.h"

enum { NET_SWITCH_PORTS = 64, NET_SWITCH_ADDRESSES = 32 /* a port */ };
#define NET_SWITCH_AGE_NS (300 * NS_PER_SEC)

struct net_switch_address {
    uint64_t mac;   /* 6 bytes in the order of the wire, as a little-endian number */
    uint64_t heard; /* ns of the port's time */
};

struct net_switch_port {
    unsigned known; /* addresses, in no order, from the first on */
    struct net_switch_address address[NET_SWITCH_ADDRESSES];
};

struct net_switch {
    struct net_switch_port port[NET_SWITCH_PORTS]; /* all zero: knows nothing */
};

/* `mac` was heard at a port. Addresses of groups are nobody's and not learnt. */
void net_switch_learn(struct net_switch *sw, unsigned port, const uint8_t mac[NET_MAC_SIZE], uint64_t now);
/* The port that knows it; -1: none does. */
int net_switch_lookup(const struct net_switch *sw, const uint8_t mac[NET_MAC_SIZE]);
/* Forget what a port has not heard for NET_SWITCH_AGE_NS. Returns when to do that again, CLOCK_NEVER: it knows nothing. */
uint64_t net_switch_age(struct net_switch *sw, unsigned port, uint64_t now);
/* Its link went down: forget all it knows. */
void net_switch_forget(struct net_switch *sw, unsigned port);

#endif
