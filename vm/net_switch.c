/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The switch: learning, ageing, forwarding. See vm/net_switch.h.
 */
#include "vm/net_switch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

struct address {
    uint8_t mac[NET_MAC_SIZE];
    bool used;
    uint64_t heard; /* ns on the switch's clock */
};

struct switch_port {
    struct net_port port;
    struct net_switch *sw;
    struct address address[NET_SWITCH_ADDRESSES];
};

struct net_switch {
    char name[32];
    struct clock *clock;
    struct switch_port *port[NET_SWITCH_PORTS];
};

/* ---- the filtering database ------------------------------------------------------------------------------ */

static struct address *find_address(struct switch_port *port, const uint8_t *mac)
{
    for (unsigned i = 0; i < NET_SWITCH_ADDRESSES; i++) {
        if (port->address[i].used && memcmp(port->address[i].mac, mac, NET_MAC_SIZE) == 0) {
            return &port->address[i];
        }
    }
    return NULL;
}

/* A free place among the port's addresses, else the one not heard for longest. */
static struct address *place_for_address(struct switch_port *port)
{
    struct address *oldest = &port->address[0];

    for (unsigned i = 0; i < NET_SWITCH_ADDRESSES; i++) {
        if (!port->address[i].used) {
            return &port->address[i];
        }
        if (port->address[i].heard < oldest->heard) {
            oldest = &port->address[i];
        }
    }
    return oldest;
}

static void learn(struct switch_port *port, const uint8_t *mac)
{
    struct net_switch *sw = port->sw;
    struct address *address = find_address(port, mac);

    if (net_mac_is_group(mac)) {
        return;
    }
    if (!address) {
        for (unsigned i = 0; i < NET_SWITCH_PORTS; i++) { /* it has moved */
            struct address *elsewhere = sw->port[i] ? find_address(sw->port[i], mac) : NULL;

            if (elsewhere) {
                elsewhere->used = false;
            }
        }
        address = place_for_address(port);
        memcpy(address->mac, mac, NET_MAC_SIZE);
        address->used = true;
    }
    address->heard = clock_now(sw->clock);
}

static struct switch_port *lookup(struct net_switch *sw, const uint8_t *mac)
{
    for (unsigned i = 0; i < NET_SWITCH_PORTS; i++) {
        struct address *address = sw->port[i] ? find_address(sw->port[i], mac) : NULL;

        if (address && clock_now(sw->clock) - address->heard > NET_SWITCH_AGE_NS) {
            address->used = false;
        } else if (address) {
            return sw->port[i];
        }
    }
    return NULL;
}

struct net_port *net_switch_lookup(struct net_switch *sw, const uint8_t mac[NET_MAC_SIZE])
{
    struct switch_port *port = lookup(sw, mac);

    return port ? &port->port : NULL;
}

unsigned net_switch_known(const struct net_switch *sw)
{
    unsigned known = 0;

    for (unsigned i = 0; i < NET_SWITCH_PORTS; i++) {
        for (unsigned j = 0; sw->port[i] && j < NET_SWITCH_ADDRESSES; j++) {
            known += sw->port[i]->address[j].used;
        }
    }
    return known;
}

/* ---- ports ----------------------------------------------------------------------------------------------- */

/* A frame that a port cannot take now is lost: net_port_send() has no effect then. */
static void forward(struct switch_port *port, const uint8_t *frame, size_t length)
{
    if (!net_port_send(&port->port, frame, length)) {
        port->port.lost_frames++;
    }
}

static bool switch_receive(void *owner, const uint8_t *frame, size_t length)
{
    struct switch_port *from = owner;
    struct net_switch *sw = from->sw;
    struct switch_port *to;

    learn(from, frame + NET_MAC_SIZE);
    to = net_mac_is_group(frame) ? NULL : lookup(sw, frame);
    if (to) {
        if (to != from) {
            forward(to, frame, length);
        }
        return true;
    }
    for (unsigned i = 0; i < NET_SWITCH_PORTS; i++) {
        if (sw->port[i] && sw->port[i] != from) {
            forward(sw->port[i], frame, length);
        }
    }
    return true;
}

static void switch_link_changed(void *owner, bool up)
{
    struct switch_port *port = owner;

    if (!up) {
        memset(port->address, 0, sizeof(port->address));
    }
}

static void switch_port_destroy(void *owner)
{
    struct switch_port *port = owner;

    for (unsigned i = 0; i < NET_SWITCH_PORTS; i++) {
        if (port->sw->port[i] == port) {
            port->sw->port[i] = NULL;
        }
    }
    net_port_fini(&port->port);
    free(port);
}

static const struct net_port_ops switch_ops = {
    .receive = switch_receive,
    .link_changed = switch_link_changed,
    .destroy = switch_port_destroy,
};

struct net_port *net_switch_add(struct net_switch *sw, const char *id, struct error *error)
{
    unsigned place = 0;
    struct switch_port *port;

    while (place < NET_SWITCH_PORTS && sw->port[place]) {
        place++;
    }
    if (place == NET_SWITCH_PORTS) {
        error_set(error, -ENOSPC, "%s: segment '%s' has its %d ports in use", id, sw->name, NET_SWITCH_PORTS);
        return NULL;
    }
    port = calloc(1, sizeof(*port));
    if (!port) {
        error_set(error, -ENOMEM, "out of memory");
        return NULL;
    }
    port->sw = sw;
    net_port_init(&port->port, id, &switch_ops, port);
    sw->port[place] = port;
    return &port->port;
}

struct net_switch *net_switch_create(const char *name, struct clock *clock)
{
    struct net_switch *sw = calloc(1, sizeof(*sw));

    if (sw) {
        snprintf(sw->name, sizeof(sw->name), "%s", name);
        sw->clock = clock;
    }
    return sw;
}

void net_switch_destroy(struct net_switch *sw)
{
    free(sw);
}

const char *net_switch_name(const struct net_switch *sw)
{
    return sw->name;
}
