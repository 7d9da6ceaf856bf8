/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The wiring between the VMs of a process: named segments, each a learning switch, without privileges.
 *
 *     VM "web", its thread                                        VM "db", its thread
 *   e1000 -- port --+                                          +-- port -- e1000
 *                   |  learn, look up     [ inbox of db ] -----+
 *                   +--- segment "lan" ---[ inbox of .. ]         wake; delivers when it has its turn
 *                            (lock)       [ inbox of web ]
 *
 * A port belongs to one VM: to its loop, its clock, and the thread that runs it at the moment. What its adapter sends is
 * learnt and forwarded on that thread. For a port of another VM that means a copy into its inbox (vm/net_ring.h) and, when
 * its owner is not on the way there anyway, a loop_wake(); the owner hands the frames to its own adapter, which may refuse
 * and go on later. For another port of the same VM there is no inbox: the frame goes straight into the adapter's queue,
 * so that what a VM does to itself is a function of its own time, as -icount demands.
 *
 * What one VM can do to another over a segment is to send frames:
 *
 *   - Nobody waits for anybody. A VM that is paused, wedged or slow has a full inbox; what does not fit is lost for it
 *     alone, and counted.
 *   - The lock is held for a bounded time: one look-up and at most NET_SWITCH_PORTS copies.
 *   - Memory is bounded by the port: an inbox and NET_SWITCH_ADDRESSES addresses. A storm of broadcasts fills inboxes.
 *   - Frames are not authenticated, as on any switch: a VM can claim another's address. Who must not hear each other
 *     belongs on different segments, between which there is no path here.
 *
 * Frames in an inbox are on the wire; a snapshot does not contain them.
 */
#ifndef VM_NET_FABRIC_H
#define VM_NET_FABRIC_H

#include "base/error.h"
#include "base/net.h"
#include "vm/loop.h"
#include "vm/net_switch.h"

struct net_fabric;

/* NULL when memory ran out. Belongs to no thread: VMs may join and leave at any time. */
struct net_fabric *net_fabric_create(void);
/* After every port has left. NULL is legal. */
void net_fabric_destroy(struct net_fabric *fabric);

/* A back end for an adapter of the VM whose loop and clock these are, on the segment of that name, made when it is first
 * named. net_port_destroy() leaves it; the last to leave ends the segment. Both happen while nobody runs the VM, or on
 * the thread that does. NULL with the text when memory ran out or the segment is full. */
struct net_port *net_fabric_join(struct net_fabric *fabric, const char *segment, const char *id,
                                 struct loop *loop, struct clock *clock, struct error *error);

/* A port of net_fabric_join(), as its segment sees it; for people and tests, from any thread while the port is there. */
struct net_fabric_state {
    const char *segment;
    unsigned ports;          /* of the segment */
    unsigned addresses;      /* heard at this port */
    unsigned waiting_frames; /* in the inbox */
    uint64_t dropped_frames; /* the inbox was full */
};
void net_fabric_query(const struct net_port *port, struct net_fabric_state *state);

#endif
