/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A learning Ethernet switch that joins ports of the process, without privileges.
 *
 * Source: IEEE 802.1D, 7.8 "The Learning Process", 7.9 "The Filtering Database". Each port learns the source addresses of
 * what it hears; a frame goes to the port that knows its destination, to all others when nobody does or it is for a group,
 * and never back where it came from. An address not heard for five minutes is forgotten; a link that goes down forgets its
 * own.
 *
 * A port knows a bounded number of addresses of its own, so a guest that invents addresses pushes out only its own. A port
 * whose adapter cannot take more loses frames, the others do not wait for it.
 *
 * Not modelled: spanning tree (a loop of switches would circle frames), VLANs, flow control.
 */
#ifndef VM_NET_SWITCH_H
#define VM_NET_SWITCH_H

#include "base/error.h"
#include "base/net.h"

enum { NET_SWITCH_PORTS = 64, NET_SWITCH_ADDRESSES = 32 /* a port */ };
#define NET_SWITCH_AGE_NS (300 * NS_PER_SEC)

struct net_switch;

/* `name` is the segment's. The clock gives the age of addresses; not owned. NULL when memory ran out. */
struct net_switch *net_switch_create(const char *name, struct clock *clock);
/* After its ports. */
void net_switch_destroy(struct net_switch *sw);
const char *net_switch_name(const struct net_switch *sw);

/* A port to connect an adapter to; net_port_destroy() frees it. NULL with the text when the switch is full. */
struct net_port *net_switch_add(struct net_switch *sw, const char *id, struct error *error);

/* The port that knows this address, NULL when nobody does. */
struct net_port *net_switch_lookup(struct net_switch *sw, const uint8_t mac[NET_MAC_SIZE]);
/* Addresses known now. */
unsigned net_switch_known(const struct net_switch *sw);

#endif
