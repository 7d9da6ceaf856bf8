/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The network options: what they mean, and what is refused with one line.
 */
#include <criterion/criterion.h>

#include <arpa/inet.h>
#include <unistd.h>

#include "devices/pc.h"
#include "vm/net.h"

static struct net_config *config_create(void)
{
    return calloc(1, sizeof(struct net_config));
}

Test(net_config, netdev_and_device_find_each_other_in_any_order)
{
    struct net_config *config = config_create();
    struct error error = {{0}};
    cr_assert_eq(net_parse_device(config, "e1000,netdev=n0,mac=52:54:00:aa:bb:cc,addr=5", &error), 0);
    cr_assert_eq(net_parse_netdev(config, "user,id=n0,restrict=on,pcap=f", &error), 0);
    cr_assert_eq(net_config_check(config, &error), 0, "%s", error.text);
    cr_assert_eq(config->nic[0].mac[5], 0xcc);
    cr_assert_eq(config->nic[0].slot, 5);
    cr_assert(config->backend[0].user.restricted);
    cr_assert_str_eq(config->backend[0].pcap, "f");
    cr_assert_eq(config->backend[0].user.dhcp_start.s_addr, inet_addr("10.0.2.15"));
    free(config);
}

Test(net_config, nic_and_the_old_form_give_both_halves)
{
    struct net_config *config = config_create();
    struct error error = {{0}};
    cr_assert_eq(net_parse_nic(config, "user,model=ne2k_pci,hostfwd=tcp::5555-:22", &error), 0, "%s",
                 error.text);
    cr_assert_eq(net_parse_nic(config, "none", &error), 0);
    cr_assert_eq(net_parse_net(config, "nic,model=e1000", &error), 0);
    cr_assert_eq(net_parse_net(config, "user", &error), 0);
    cr_assert_eq(net_config_check(config, &error), 0, "%s", error.text);
    cr_assert_eq(config->nic_count, 2);
    cr_assert_eq(config->nic[0].model, NET_MODEL_NE2K_PCI);
    cr_assert_eq(config->nic[1].model, NET_MODEL_E1000);
    cr_assert_eq(config->nic[0].mac[5], 0x56);
    cr_assert_eq(config->nic[1].mac[5], 0x57);
    free(config);
}

Test(net_config, forwarded_ports_listen_on_loopback_unless_told_otherwise)
{
    struct net_config *config = config_create();
    struct error error = {{0}};
    const char *options =
        "user,hostfwd=tcp::5555-:22,hostfwd=udp:127.0.0.2:53-10.0.2.20:5353,hostfwd=tcp:0.0.0.0:80-:8080";
    cr_assert_eq(net_parse_nic(config, options, &error), 0, "%s", error.text);
    const struct net_forward *forward = config->backend[0].user.forward;
    cr_assert_eq(config->backend[0].user.forward_count, 3);
    cr_assert_eq(forward[0].host.s_addr, htonl(INADDR_LOOPBACK));
    cr_assert_eq(forward[0].host_port, 5555);
    cr_assert_eq(forward[0].guest.s_addr, inet_addr("10.0.2.15"));
    cr_assert_eq(forward[0].guest_port, 22);
    cr_assert(forward[1].udp);
    cr_assert_eq(forward[1].host.s_addr, inet_addr("127.0.0.2"));
    cr_assert_eq(forward[1].guest.s_addr, inet_addr("10.0.2.20"));
    cr_assert_eq(forward[2].host.s_addr, 0);
    free(config);
}

Test(net_config, sockets_are_parsed_in_both_spellings)
{
    struct net_config *config = config_create();
    struct error error = {{0}};
    cr_assert_eq(net_parse_netdev(config, "socket,id=a,listen=:1234", &error), 0);
    cr_assert_eq(net_parse_netdev(config, "socket,id=b,connect=127.0.0.1:1234", &error), 0);
    cr_assert_eq(net_parse_netdev(config, "stream,id=c,server=on,addr.type=unix,addr.path=/tmp/s", &error),
                 0);
    cr_assert_eq(
        net_parse_netdev(config, "stream,id=d,addr.type=inet,addr.port=99,addr.host=localhost", &error), 0);
    cr_assert(config->backend[0].socket.server && config->backend[0].socket.port == 1234);
    cr_assert(!config->backend[1].socket.server && !config->backend[1].socket.is_unix);
    cr_assert(config->backend[2].socket.server && config->backend[2].socket.is_unix);
    cr_assert_eq(config->backend[3].socket.port, 99);
    cr_assert_str_eq(config->backend[3].socket.path, "127.0.0.1");
    free(config);
}

Test(net_config, other_networks_have_their_customary_places)
{
    struct net_config *config = config_create();
    struct error error = {{0}};
    cr_assert_eq(net_parse_nic(config, "user,net=192.168.76.0/24,dhcpstart=192.168.76.9", &error), 0);
    cr_assert_eq(config->backend[0].user.host.s_addr, inet_addr("192.168.76.2"));
    cr_assert_eq(config->backend[0].user.dns.s_addr, inet_addr("192.168.76.3"));
    cr_assert_eq(config->backend[0].user.dhcp_start.s_addr, inet_addr("192.168.76.9"));
    free(config);
}

Test(net_config, bad_values_are_refused_with_a_text)
{
    static const char *const netdevs[] = {"",
                                          "tap,id=a",
                                          "user",
                                          "user,id=",
                                          "user,id=a,foo=1",
                                          "user,id=a,restrict=maybe",
                                          "user,id=a,hostfwd=tcp:1-2",
                                          "user,id=a,hostfwd=icmp::1-:2",
                                          "user,id=a,hostfwd=tcp::0-:2",
                                          "user,id=a,hostfwd=tcp::70000-:2",
                                          "user,id=a,hostfwd=tcp:1.2.3:5-:2",
                                          "user,id=a,hostfwd=tcp::5-",
                                          "user,id=a,net=10.0.0.0/33",
                                          "user,id=a,net=x",
                                          "user,id=a,host=1.2.3.4",
                                          "socket,id=a",
                                          "socket,id=a,listen=5",
                                          "socket,id=a,listen=0.0.0.0:5",
                                          "socket,id=a,connect=8.8.8.8:53",
                                          "socket,id=a,listen=:0",
                                          "stream,id=a,addr.type=fd",
                                          "user,id=0123456789012345678901234567890123456789",
                                          "switch,id=a,hostfwd=tcp::1-:2"};
    static const char *const devices[] = {"e1000,mac=1:2:3",
                                          "e1000,mac=01:00:00:00:00:00",
                                          "e1000,mac=00:00:00:00:00:00",
                                          "e1000,mac=52:54:00:12:34:567",
                                          "e1000,mac=52:54:00:12:34:56:78",
                                          "e1000,addr=2",
                                          "e1000,addr=20",
                                          "e1000,bus=isa",
                                          "e1000,nonsense",
                                          "e1000,x=y"};
    for (unsigned i = 0; i < ARRAY_LEN(netdevs); i++) {
        struct net_config *config = config_create();
        struct error error = {{0}};
        cr_assert_lt(net_parse_netdev(config, netdevs[i], &error), 0, "-netdev %s", netdevs[i]);
        cr_assert_neq(error.text[0], '\0');
        free(config);
    }
    for (unsigned i = 0; i < ARRAY_LEN(devices); i++) {
        struct net_config *config = config_create();
        struct error error = {{0}};
        cr_assert_lt(net_parse_device(config, devices[i], &error), 0, "-device %s", devices[i]);
        cr_assert_neq(error.text[0], '\0');
        free(config);
    }
}

/* Parse -netdev and -device lines and check the whole. */
static int check(const char *const *lines, struct error *error)
{
    struct net_config *config = config_create();
    int result = 0;
    for (; *lines && result == 0; lines++) {
        result = net_is_device(*lines) ? net_parse_device(config, *lines, error)
                                       : net_parse_netdev(config, *lines, error);
    }
    cr_assert_eq(result, 0, "%s", error->text);
    result = net_config_check(config, error);
    free(config);
    return result;
}

Test(net_config, what_does_not_fit_together_is_refused)
{
    static const char *const cases[][5] = {
        {"e1000,netdev=n0"},
        {"user,id=n0"},
        {"user,id=n0", "user,id=n0", "e1000,netdev=n0"},
        {"user,id=n0", "e1000,netdev=n0", "e1000,netdev=n0"},
        {"e1000,id=a", "ne2k_pci,id=a"},
        {"e1000,addr=4", "e1000,addr=4"},
    };
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        struct error error = {{0}};
        cr_assert_lt(check(cases[i], &error), 0, "case %u", i);
        cr_assert_neq(error.text[0], '\0');
    }
    static const char *const good[] = {"switch,id=a,segment=x", "switch,id=b,segment=x", "e1000,netdev=a",
                                       "ne2k_pci,netdev=b", NULL};
    struct error error = {{0}};
    cr_assert_eq(check(good, &error), 0, "%s", error.text);
}

Test(net_config, too_many_of_anything_is_refused)
{
    struct net_config *config = config_create();
    struct error error = {{0}};
    char option[2048] = "user,id=a";
    for (unsigned i = 0; i < NET_MAX_NICS; i++) {
        cr_assert_eq(net_parse_device(config, "e1000", &error), 0);
    }
    cr_assert_lt(net_parse_device(config, "e1000", &error), 0);
    for (unsigned i = 0; i <= NET_MAX_FORWARDS; i++) {
        strcat(option, ",hostfwd=tcp::5555-:22");
    }
    cr_assert_lt(net_parse_netdev(config, option, &error), 0);
    free(config);
}

/* What loading the adapters' ROMs says on stderr. */
static void say_of_roms(const struct net_config *config, char *text, size_t size)
{
    struct pc_config pc = {0};
    struct error error = {{0}};
    FILE *file = tmpfile();
    int saved = dup(STDERR_FILENO);

    fflush(stderr);
    dup2(fileno(file), STDERR_FILENO);
    int result = vm_net_adapters(&pc, config, &error);
    fflush(stderr);
    dup2(saved, STDERR_FILENO);
    close(saved);
    cr_assert_eq(result, 0, "%s", error.text);
    cr_assert_eq(pc.nic_count, 1);
    vm_net_free_adapters(&pc);
    rewind(file);
    text[fread(text, 1, size - 1, file)] = 0;
    fclose(file);
}

/* Whether or not iPXE is installed on this host. */
Test(net_adapters, a_missing_rom_is_said_in_one_line_unless_none_was_wanted)
{
    static const char *const options[] = {"user,model=e1000,id=lan", "user,model=e1000,id=lan,romfile="};
    bool installed = access("/usr/lib/ipxe/qemu/pxe-e1000.rom", R_OK) == 0 ||
                     access("/usr/share/qemu/pxe-e1000.rom", R_OK) == 0;
    char text[512];

    for (unsigned i = 0; i < 2; i++) {
        struct net_config *config = config_create();
        struct error error = {{0}};
        cr_assert_eq(net_parse_nic(config, options[i], &error), 0, "%s", error.text);
        cr_assert_eq(net_config_check(config, &error), 0, "%s", error.text);
        say_of_roms(config, text, sizeof(text));
        bool noted =
            strstr(text, "has no option ROM") && strstr(text, "ipxe-qemu") && strstr(text, config->nic[0].id);
        cr_assert_eq(noted, i == 0 && !installed, "%s", text);
        cr_assert_eq(text[0] != 0, noted);
        cr_assert(!noted || strchr(text, '\n') == text + strlen(text) - 1, "one line");
        free(config);
    }
}
