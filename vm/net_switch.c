/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The filtering database: learning, moving, ageing. See vm/net_switch.h.
 *
 * A guest has one address or a few, so the search is a short walk over the ports. What a guest can make of it by inventing
 * addresses is bounded: a walk over all places there are.
 */
#include "vm/net_switch.h"

static uint64_t mac_number(const uint8_t *mac)
{
    uint64_t number = 0;

    memcpy(&number, mac, NET_MAC_SIZE);
    return number;
}

static struct net_switch_address *find_address(struct net_switch_port *port, uint64_t mac)
{
    for (unsigned i = 0; i < port->known; i++) {
        if (port->address[i].mac == mac) {
            return &port->address[i];
        }
    }
    return NULL;
}

static void remove_address(struct net_switch_port *port, struct net_switch_address *address)
{
    *address = port->address[--port->known];
}

/* Another place for an address, else that of the one not heard for longest. */
static struct net_switch_address *place_for_address(struct net_switch_port *port)
{
    struct net_switch_address *oldest = &port->address[0];

    if (port->known < NET_SWITCH_ADDRESSES) {
        return &port->address[port->known++];
    }
    for (unsigned i = 1; i < port->known; i++) {
        if (port->address[i].heard < oldest->heard) {
            oldest = &port->address[i];
        }
    }
    return oldest;
}

void net_switch_learn(struct net_switch *sw, unsigned port, const uint8_t mac[NET_MAC_SIZE], uint64_t now)
{
    uint64_t number = mac_number(mac);
    struct net_switch_address *address = find_address(&sw->port[port], number);

    if (net_mac_is_group(mac)) {
        return;
    }
    if (!address) {
        for (unsigned i = 0; i < NET_SWITCH_PORTS; i++) { /* it has moved */
            struct net_switch_address *elsewhere = find_address(&sw->port[i], number);

            if (elsewhere) {
                remove_address(&sw->port[i], elsewhere);
            }
        }
        address = place_for_address(&sw->port[port]);
        address->mac = number;
    }
    address->heard = now;
}

int net_switch_lookup(const struct net_switch *sw, const uint8_t mac[NET_MAC_SIZE])
{
    uint64_t number = mac_number(mac);

    for (int i = 0; i < NET_SWITCH_PORTS; i++) {
        for (unsigned j = 0; j < sw->port[i].known; j++) {
            if (sw->port[i].address[j].mac == number) {
                return i;
            }
        }
    }
    return -1;
}

uint64_t net_switch_age(struct net_switch *sw, unsigned number, uint64_t now)
{
    struct net_switch_port *port = &sw->port[number];
    uint64_t next = CLOCK_NEVER;

    for (unsigned i = port->known; i-- > 0;) {
        struct net_switch_address *address = &port->address[i];

        /* a time that lies ahead: the clock was set back, to a snapshot's */
        if (address->heard > now || now - address->heard > NET_SWITCH_AGE_NS) {
            remove_address(port, address);
        } else {
            next = MIN(next, address->heard + NET_SWITCH_AGE_NS + 1);
        }
    }
    return next;
}

void net_switch_forget(struct net_switch *sw, unsigned port)
{
    sw->port[port].known = 0;
}
