/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The networks of a VM as the command line says them: adapters, what each is plugged into, captures.
 *
 *   -netdev user|socket|stream|switch,id=ID,...    one back end              -device e1000|ne2k_pci,netdev=ID,mac=..
 *   -nic user|socket|switch|none,model=..,...      both in one               -net nic|user|none  the old form of it
 *   -object filter-dump,id=..,netdev=ID,file=F     capture, as does pcap=F on a -netdev
 *
 * A plain value; nothing is opened here. A VM has no network unless it is asked for: a boot that nobody asked to talk to
 * the host depends on nothing outside.
 */
#ifndef VM_NET_CONFIG_H
#define VM_NET_CONFIG_H

#include <netinet/in.h>
#include <stdio.h>

#include "base/error.h"
#include "base/net.h"

enum { NET_MAX_BACKENDS = 8, NET_MAX_NICS = 8, NET_MAX_FORWARDS = 32, NET_ID_SIZE = 32, NET_PATH_SIZE = 256 };

enum net_model { NET_MODEL_E1000, NET_MODEL_NE2K_PCI };
enum net_backend_kind { NET_BACKEND_USER, NET_BACKEND_SOCKET, NET_BACKEND_SWITCH };

/* hostfwd=tcp|udp:[HOST]:PORT-[GUEST]:PORT. Addresses in network byte order, ports in the host's. */
struct net_forward {
    bool udp;
    struct in_addr host, guest; /* guest 0: the first address DHCP gives */
    uint16_t host_port, guest_port;
};

/* User-mode NAT. All addresses lie in `network`; 0: the customary one (10.0.2.x). */
struct net_user_config {
    struct in_addr network, mask, host, dns, dhcp_start;
    bool restricted, ipv6;
    char hostname[64], tftp[NET_PATH_SIZE], bootfile[NET_PATH_SIZE];
    struct net_forward forward[NET_MAX_FORWARDS];
    unsigned forward_count;
};

/* A stream socket that carries frames, each behind its length as four big-endian bytes. */
struct net_socket_config {
    bool server, is_unix;
    char path[108]; /* the socket's, or the IPv4 address (loopback) */
    uint16_t port;
};

struct net_backend_config {
    enum net_backend_kind kind;
    char id[NET_ID_SIZE];
    char pcap[NET_PATH_SIZE]; /* "": no capture */
    struct net_user_config user;
    struct net_socket_config socket;
    char segment[NET_ID_SIZE]; /* switch: adapters of one segment hear each other */
};

struct net_nic_config {
    enum net_model model;
    char id[NET_ID_SIZE];
    char netdev[NET_ID_SIZE]; /* "": plugged into nothing */
    bool has_mac;
    uint8_t mac[NET_MAC_SIZE];
    int slot; /* PCI slot; -1: the next free one from 3 on */
    char romfile[NET_PATH_SIZE];
    bool default_rom; /* romfile was not given */
};

struct net_config {
    struct net_backend_config backend[NET_MAX_BACKENDS];
    struct net_nic_config nic[NET_MAX_NICS];
    unsigned backend_count, nic_count;
    unsigned legacy_backends, legacy_nics; /* -net: to be joined */
    char capture_id[NET_MAX_BACKENDS][NET_ID_SIZE];
    char capture_file[NET_MAX_BACKENDS][NET_PATH_SIZE];
    unsigned capture_count;
    uint64_t capture_limit; /* most bytes of each capture; 0: none */
};

/* Parsers of the options' values. 1: help was printed; negative errno with the text. */
int net_parse_netdev(struct net_config *config, const char *value, struct error *error);
int net_parse_nic(struct net_config *config, const char *value, struct error *error);
int net_parse_net(struct net_config *config, const char *value, struct error *error);
int net_parse_object(struct net_config *config, const char *value, struct error *error);
/* -device with a name that net_is_device() knows. */
int net_parse_device(struct net_config *config, const char *value, struct error *error);
bool net_is_device(const char *value);
/* The lines of -device '?'. */
void net_list_devices(FILE *out);

/* What only makes sense together: every id is there, once, and plugged into one thing. Fills in what was left open. */
int net_config_check(struct net_config *config, struct error *error);

/* Is there a back end that makes sockets while the guest runs? */
bool net_has_user(const struct net_config *config);

/* Is the adapter plugged into a network that no other VM can be in? Into nothing: no. */
bool net_config_is_private(const struct net_config *config, unsigned nic);

const char *net_model_name(enum net_model model);

#endif
