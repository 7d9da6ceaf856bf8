/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What a switch knows: learning, moving, ageing, bounds.
 */
#include <criterion/criterion.h>

#include "vm/net_switch.h"

/* An address by its last three bytes. */
static const uint8_t *mac(uint32_t number)
{
    static uint8_t bytes[NET_MAC_SIZE];

    memcpy(bytes,
           (uint8_t[]){0x52, 0x54, 0, (uint8_t)(number >> 16), (uint8_t)(number >> 8), (uint8_t)number},
           NET_MAC_SIZE);
    return bytes;
}

static struct net_switch *switch_create(void)
{
    return calloc(1, sizeof(struct net_switch));
}

Test(net_switch, knows_an_address_at_the_port_that_heard_it)
{
    struct net_switch *sw = switch_create();
    cr_assert_eq(net_switch_lookup(sw, mac(1)), -1);
    net_switch_learn(sw, 0, mac(1), 0);
    net_switch_learn(sw, 63, mac(2), 0);
    net_switch_learn(sw, 63, mac(2), 1);
    cr_assert_eq(net_switch_lookup(sw, mac(1)), 0);
    cr_assert_eq(net_switch_lookup(sw, mac(2)), 63);
    cr_assert_eq(net_switch_lookup(sw, mac(3)), -1);
    cr_assert_eq(sw->port[63].known, 1);
    free(sw);
}

Test(net_switch, does_not_learn_the_address_of_a_group)
{
    struct net_switch *sw = switch_create();
    static const uint8_t group[NET_MAC_SIZE] = {0x01, 0, 0x5e},
                         everybody[NET_MAC_SIZE] = {255, 255, 255, 255, 255, 255};
    net_switch_learn(sw, 3, group, 0);
    net_switch_learn(sw, 3, everybody, 0);
    cr_assert_eq(sw->port[3].known, 0);
    free(sw);
}

Test(net_switch, an_address_that_moves_is_known_at_its_new_port_only)
{
    struct net_switch *sw = switch_create();
    net_switch_learn(sw, 1, mac(7), 5);
    net_switch_learn(sw, 1, mac(8), 5);
    net_switch_learn(sw, 2, mac(7), 6);
    cr_assert_eq(net_switch_lookup(sw, mac(7)), 2);
    cr_assert_eq(net_switch_lookup(sw, mac(8)), 1);
    cr_assert_eq(sw->port[1].known, 1);
    free(sw);
}

Test(net_switch, forgets_what_a_port_has_not_heard_for_five_minutes)
{
    struct net_switch *sw = switch_create();
    net_switch_learn(sw, 1, mac(1), 100);
    net_switch_learn(sw, 1, mac(2), 200);
    net_switch_learn(sw, 2, mac(3), 0);
    cr_assert_eq(net_switch_age(sw, 1, 100 + NET_SWITCH_AGE_NS), 100 + NET_SWITCH_AGE_NS + 1);
    cr_assert_eq(net_switch_lookup(sw, mac(1)), 1);
    cr_assert_eq(net_switch_age(sw, 1, 100 + NET_SWITCH_AGE_NS + 1), 200 + NET_SWITCH_AGE_NS + 1);
    cr_assert_eq(net_switch_lookup(sw, mac(1)), -1);
    cr_assert_eq(net_switch_lookup(sw, mac(2)), 1);
    cr_assert_eq(net_switch_age(sw, 1, 10 * NET_SWITCH_AGE_NS), CLOCK_NEVER);
    cr_assert_eq(net_switch_lookup(sw, mac(3)), 2, "aged by another port's time");
    free(sw);
}

Test(net_switch, forgets_what_it_heard_in_a_future_that_was_taken_back)
{
    struct net_switch *sw = switch_create();
    net_switch_learn(sw, 1, mac(1), 1000);
    cr_assert_eq(net_switch_age(sw, 1, 999), CLOCK_NEVER);
    cr_assert_eq(net_switch_lookup(sw, mac(1)), -1);
    free(sw);
}

Test(net_switch, a_port_that_invents_addresses_pushes_out_only_its_own)
{
    struct net_switch *sw = switch_create();
    net_switch_learn(sw, 0, mac(0), 0);
    for (uint32_t i = 1; i <= 100000; i++) {
        net_switch_learn(sw, 1, mac(i), i);
    }
    cr_assert_eq(sw->port[1].known, NET_SWITCH_ADDRESSES);
    cr_assert_eq(net_switch_lookup(sw, mac(0)), 0);
    for (uint32_t i = 100000; i > 100000 - NET_SWITCH_ADDRESSES; i--) {
        cr_assert_eq(net_switch_lookup(sw, mac(i)), 1, "one heard lately was pushed out");
    }
    free(sw);
}

Test(net_switch, a_port_whose_link_is_down_is_forgotten)
{
    struct net_switch *sw = switch_create();
    net_switch_learn(sw, 4, mac(1), 0);
    net_switch_learn(sw, 5, mac(2), 0);
    net_switch_forget(sw, 4);
    cr_assert_eq(net_switch_lookup(sw, mac(1)), -1);
    cr_assert_eq(net_switch_lookup(sw, mac(2)), 5);
    free(sw);
}
