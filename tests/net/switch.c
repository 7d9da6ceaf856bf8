/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The switch with fake adapters: flooding, learning, moving, ageing, bounds, links.
 */
#include <criterion/criterion.h>

#include "vm/net_switch.h"

enum { ADAPTERS = 4 };

struct adapter {
    struct net_port port;
    unsigned received;
    bool full;
};

struct lan {
    struct clock clock;
    struct net_switch *sw;
    struct adapter adapter[ADAPTERS];
    struct net_port *port[ADAPTERS];
};

static bool adapter_receive(void *owner, const uint8_t *frame, size_t length)
{
    struct adapter *adapter = owner;
    (void)frame;
    (void)length;
    adapter->received += !adapter->full;
    return !adapter->full;
}

static const struct net_port_ops adapter_ops = {.receive = adapter_receive};

static struct lan *lan_create(void)
{
    struct lan *lan = calloc(1, sizeof(*lan));
    clock_init(&lan->clock, CLOCK_STEPPED);
    lan->sw = net_switch_create("lan", &lan->clock);
    for (unsigned i = 0; i < ADAPTERS; i++) {
        lan->port[i] = net_switch_add(lan->sw, "port", NULL);
        net_port_init(&lan->adapter[i].port, "nic", &adapter_ops, &lan->adapter[i]);
        net_port_connect(&lan->adapter[i].port, lan->port[i]);
    }
    return lan;
}

static void lan_destroy(struct lan *lan)
{
    for (unsigned i = 0; i < ADAPTERS; i++) {
        net_port_fini(&lan->adapter[i].port);
        net_port_destroy(lan->port[i]);
    }
    net_switch_destroy(lan->sw);
    free(lan);
}

/* Adapter `from` sends from address `source` to `destination` (last bytes); 255 is everybody. Returns who got it, as bits. */
static unsigned send(struct lan *lan, unsigned from, uint8_t source, uint8_t destination)
{
    uint8_t frame[60] = {0x52, 0x54, 0, 0, 0, destination, 0x52, 0x54, 0, 0, 0, source};
    unsigned before[ADAPTERS], got = 0;
    if (destination == 255) {
        memset(frame, 0xff, 6);
    }
    for (unsigned i = 0; i < ADAPTERS; i++) {
        before[i] = lan->adapter[i].received;
    }
    cr_assert(net_port_send(&lan->adapter[from].port, frame, sizeof(frame)));
    for (unsigned i = 0; i < ADAPTERS; i++) {
        got |= (lan->adapter[i].received - before[i]) << i;
    }
    return got;
}

Test(net_switch, floods_the_unknown_and_groups_and_learns_sources)
{
    struct lan *lan = lan_create();
    cr_assert_eq(send(lan, 0, 1, 2), 0xe);
    cr_assert_eq(send(lan, 1, 2, 1), 0x1);
    cr_assert_eq(send(lan, 0, 1, 2), 0x2);
    cr_assert_eq(send(lan, 0, 1, 255), 0xe);
    cr_assert_eq(net_switch_known(lan->sw), 2);
    lan_destroy(lan);
}

Test(net_switch, never_sends_a_frame_back_and_does_not_learn_groups)
{
    struct lan *lan = lan_create();
    send(lan, 0, 1, 255);
    send(lan, 0, 2, 255);
    cr_assert_eq(send(lan, 0, 1, 2), 0);
    uint8_t frame[60] = {0x52, 0x54, 0, 0, 0, 9, 0x01};
    net_port_send(&lan->adapter[3].port, frame, sizeof(frame));
    cr_assert_eq(net_switch_known(lan->sw), 2);
    lan_destroy(lan);
}

Test(net_switch, an_address_that_moves_is_found_at_its_new_port)
{
    struct lan *lan = lan_create();
    send(lan, 0, 1, 255);
    send(lan, 2, 1, 255);
    cr_assert_eq(send(lan, 3, 4, 1), 0x4);
    cr_assert_eq(net_switch_known(lan->sw), 2);
    lan_destroy(lan);
}

Test(net_switch, forgets_what_it_has_not_heard_for_five_minutes)
{
    struct lan *lan = lan_create();
    send(lan, 0, 1, 255);
    clock_step_to(&lan->clock, NET_SWITCH_AGE_NS);
    cr_assert_eq(send(lan, 3, 4, 1), 0x1);
    clock_step_to(&lan->clock, NET_SWITCH_AGE_NS + 1);
    cr_assert_eq(send(lan, 3, 4, 1), 0x7);
    lan_destroy(lan);
}

Test(net_switch, a_port_that_invents_addresses_pushes_out_only_its_own)
{
    struct lan *lan = lan_create();
    uint8_t mine[6] = {0x52, 0x54, 0, 0, 0, 1};
    send(lan, 0, 1, 255);
    for (unsigned i = 0; i < 100000; i++) {
        uint8_t frame[60] = {
            0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02, (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i};
        clock_step_to(&lan->clock, i);
        net_port_send(&lan->adapter[1].port, frame, sizeof(frame));
    }
    cr_assert_eq(net_switch_known(lan->sw), 1 + NET_SWITCH_ADDRESSES);
    cr_assert_eq(net_switch_lookup(lan->sw, mine), lan->port[0]);
    lan_destroy(lan);
}

Test(net_switch, a_link_that_is_down_gets_nothing_and_forgets_its_addresses)
{
    struct lan *lan = lan_create();
    send(lan, 0, 1, 255);
    net_port_set_link(&lan->adapter[0].port, false);
    cr_assert_eq(send(lan, 3, 4, 1), 0x6);
    net_port_set_link(&lan->adapter[0].port, true);
    cr_assert_eq(send(lan, 3, 4, 1), 0x7);
    lan_destroy(lan);
}

Test(net_switch, an_adapter_that_is_full_does_not_stop_the_others)
{
    struct lan *lan = lan_create();
    lan->adapter[2].full = true;
    cr_assert_eq(send(lan, 0, 1, 255), 0xa);
    cr_assert_eq(lan->port[2]->lost_frames, 1);
    lan_destroy(lan);
}

Test(net_switch, has_a_bounded_number_of_ports_which_can_be_given_back)
{
    struct clock clock;
    struct net_port *port[NET_SWITCH_PORTS];
    struct error error = {{0}};
    clock_init(&clock, CLOCK_STEPPED);
    struct net_switch *sw = net_switch_create("lan", &clock);
    for (unsigned i = 0; i < NET_SWITCH_PORTS; i++) {
        port[i] = net_switch_add(sw, "p", &error);
        cr_assert_not_null(port[i]);
    }
    cr_assert_null(net_switch_add(sw, "p", &error));
    cr_assert_neq(error.text[0], '\0');
    net_port_destroy(port[7]);
    port[7] = net_switch_add(sw, "p", &error);
    cr_assert_not_null(port[7]);
    for (unsigned i = 0; i < NET_SWITCH_PORTS; i++) {
        net_port_destroy(port[i]);
    }
    net_switch_destroy(sw);
}
