/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Parsing of the network options, by QEMU's grammar. See vm/net_config.h.
 *
 * An option's value is a list of key=value items; each kind of option has a function that takes one item. An address nobody
 * should be able to reach from outside is refused here: servers listen on loopback or a unix socket, and a forwarded port
 * listens on loopback unless an address is given.
 */
#include "vm/net_config.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

enum { PARSE_DONE = 1, VALUE_SIZE = 256, FIRST_SLOT = 3, LAST_SLOT = 31 };

static const struct {
    const char *name, *alias, *help;
} models[] = {
    [NET_MODEL_E1000] = {"e1000", "e1000-82540em", "Intel Gigabit Ethernet (82540EM)"},
    [NET_MODEL_NE2K_PCI] = {"ne2k_pci", "ne2k-pci", "NE2000 on PCI (RTL8029)"},
};

/* One "key=value" or bare word of a list. */
struct item {
    char key[32], value[VALUE_SIZE];
    bool has_value;
};

/* ---- lists and values ------------------------------------------------------------------------------------ */

/* Take the next item off *list. 1: here it is; 0: the list is empty. */
static int next_item(const char **list, struct item *item, const char *option, struct error *error)
{
    size_t length = strcspn(*list, ","), key = strcspn(*list, "=,");

    if (**list == '\0') {
        return 0;
    }
    item->has_value = key < length;
    if (key >= sizeof(item->key) || length - key > VALUE_SIZE) {
        return error_set(error, -EINVAL, "-%s: item '%.*s' is too long", option, (int)MIN(length, (size_t)64),
                         *list);
    }
    snprintf(item->key, sizeof(item->key), "%.*s", (int)key, *list);
    item->value[0] = '\0';
    if (item->has_value) {
        snprintf(item->value, sizeof(item->value), "%.*s", (int)(length - key - 1), *list + key + 1);
    }
    *list += length + ((*list)[length] == ',');
    return 1;
}

static bool is_key(const struct item *item, const char *key)
{
    return item->has_value && strcmp(item->key, key) == 0;
}

static int take_text(char *to, size_t size, const struct item *item, const char *option, struct error *error)
{
    if (item->value[0] == '\0' || strlen(item->value) >= size) {
        return error_set(error, -EINVAL, "-%s: %s='%s' must have 1 to %zu characters", option, item->key,
                         item->value, size - 1);
    }
    strcpy(to, item->value);
    return 0;
}

static int take_switch(bool *to, const struct item *item, const char *option, struct error *error)
{
    static const char *const words[] = {"off", "on", "no", "yes", "n", "y"};

    for (unsigned i = 0; i < ARRAY_LEN(words); i++) {
        if (!strcmp(item->value, words[i])) {
            *to = i % 2;
            return 0;
        }
    }
    return error_set(error, -EINVAL, "-%s: %s=%s must be on or off", option, item->key, item->value);
}

static int take_address(struct in_addr *to, const struct item *item, const char *option, struct error *error)
{
    if (inet_pton(AF_INET, item->value, to) != 1) {
        return error_set(error, -EINVAL, "-%s: %s=%s is not an IPv4 address", option, item->key, item->value);
    }
    return 0;
}

/* Six hexadecimal bytes; an address that is a group's, or all zero, is no adapter's. */
static int take_mac(struct net_nic_config *nic, const struct item *item, const char *option,
                    struct error *error)
{
    const char *at = item->value;

    for (unsigned i = 0; i < NET_MAC_SIZE; i++) {
        char *end;

        if (!isxdigit((unsigned char)*at)) {
            break;
        }
        nic->mac[i] = (uint8_t)strtoul(at, &end, 16);
        if (end - at > 2 || *end != (i == NET_MAC_SIZE - 1 ? '\0' : ':')) {
            break;
        }
        nic->has_mac = i == NET_MAC_SIZE - 1;
        at = end + 1;
    }
    static const uint8_t none[NET_MAC_SIZE];
    if (!nic->has_mac || net_mac_is_group(nic->mac) || memcmp(nic->mac, none, NET_MAC_SIZE) == 0) {
        return error_set(error, -EINVAL,
                         "-%s: %s=%s is not an adapter's address (example: 52:54:00:12:34:56)", option,
                         item->key, item->value);
    }
    return 0;
}

static bool parse_port(const char *text, uint16_t *port)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);

    *port = (uint16_t)value;
    return isdigit((unsigned char)*text) && *end == '\0' && value > 0 && value <= 65535;
}

/* ---- user-mode NAT --------------------------------------------------------------------------------------- */

/* "[ADDRESS]:PORT", in place. */
static bool parse_endpoint(char *text, uint32_t default_address, struct in_addr *address, uint16_t *port)
{
    char *colon = strrchr(text, ':');

    if (!colon) {
        return false;
    }
    *colon = '\0';
    address->s_addr = default_address;
    return (*text == '\0' || inet_pton(AF_INET, text, address) == 1) && parse_port(colon + 1, port);
}

static int take_forward(struct net_user_config *user, const struct item *item, const char *option,
                        struct error *error)
{
    struct net_forward forward = {.udp = !strncmp(item->value, "udp:", 4)};
    char text[VALUE_SIZE + 4];
    char *host = text + 4, *guest;

    strcpy(text, item->value);
    if (text[0] == ':') { /* the protocol may be left out */
        memmove(text + 3, text, strlen(text) + 1);
        memcpy(text, "tcp", 3);
    }
    guest = strchr(text, '-');
    if ((strncmp(text, "tcp:", 4) != 0 && !forward.udp) || !guest) {
        return error_set(error, -EINVAL, "-%s: hostfwd=%s must be tcp|udp:[HOST]:PORT-[GUEST]:PORT", option,
                         item->value);
    }
    *guest++ = '\0';
    if (!parse_endpoint(host, htonl(INADDR_LOOPBACK), &forward.host, &forward.host_port) ||
        !parse_endpoint(guest, 0, &forward.guest, &forward.guest_port)) {
        return error_set(error, -EINVAL,
                         "-%s: hostfwd=%s has a bad address or port (tcp|udp:[HOST]:PORT-[GUEST]:PORT)",
                         option, item->value);
    }
    if (user->forward_count == NET_MAX_FORWARDS) {
        return error_set(error, -EINVAL, "-%s: more than %d forwarded ports", option, NET_MAX_FORWARDS);
    }
    user->forward[user->forward_count++] = forward;
    return 0;
}

/* net=ADDRESS[/BITS] */
static int take_network(struct net_user_config *user, struct item *item, const char *option,
                        struct error *error)
{
    char *slash = strchr(item->value, '/');
    uint16_t bits = 24;

    if (slash) {
        *slash = '\0';
        if (!parse_port(slash + 1, &bits) || bits < 4 || bits > 29) {
            return error_set(error, -EINVAL, "-%s: net=%s/%s must have 4 to 29 network bits", option,
                             item->value, slash + 1);
        }
    }
    user->mask.s_addr = htonl(UINT32_MAX << (32 - bits));
    int result = take_address(&user->network, item, option, error);
    user->network.s_addr &= user->mask.s_addr;
    return result;
}

/* 1: taken; 0: not an item of this kind. */
static int take_user_item(struct net_user_config *user, struct item *item, const char *option,
                          struct error *error)
{
    int result = 0;

    if (is_key(item, "hostfwd")) {
        result = take_forward(user, item, option, error);
    } else if (is_key(item, "restrict")) {
        result = take_switch(&user->restricted, item, option, error);
    } else if (is_key(item, "ipv6")) {
        result = take_switch(&user->ipv6, item, option, error);
    } else if (is_key(item, "net")) {
        result = take_network(user, item, option, error);
    } else if (is_key(item, "host")) {
        result = take_address(&user->host, item, option, error);
    } else if (is_key(item, "dns")) {
        result = take_address(&user->dns, item, option, error);
    } else if (is_key(item, "dhcpstart")) {
        result = take_address(&user->dhcp_start, item, option, error);
    } else if (is_key(item, "hostname")) {
        result = take_text(user->hostname, sizeof(user->hostname), item, option, error);
    } else if (is_key(item, "tftp")) {
        result = take_text(user->tftp, sizeof(user->tftp), item, option, error);
    } else if (is_key(item, "bootfile")) {
        result = take_text(user->bootfile, sizeof(user->bootfile), item, option, error);
    } else {
        return 0;
    }
    return result < 0 ? result : 1;
}

/* The customary addresses lie at fixed places of the network. */
static int complete_user(struct net_user_config *user, const char *id, struct error *error)
{
    struct in_addr *const places[] = {&user->host, &user->dns, &user->dhcp_start};
    static const uint8_t offsets[] = {2, 3, 15};

    if (!user->mask.s_addr) {
        user->network.s_addr = htonl(0x0a000200);
        user->mask.s_addr = htonl(0xffffff00);
    }
    for (unsigned i = 0; i < ARRAY_LEN(places); i++) {
        if (!places[i]->s_addr) {
            places[i]->s_addr = user->network.s_addr | htonl(offsets[i] & ~ntohl(user->mask.s_addr));
        }
        if ((places[i]->s_addr & user->mask.s_addr) != user->network.s_addr) {
            return error_set(error, -EINVAL, "-netdev %s: host, dns and dhcpstart must lie in net", id);
        }
    }
    for (unsigned i = 0; i < user->forward_count; i++) {
        if (!user->forward[i].guest.s_addr) {
            user->forward[i].guest = user->dhcp_start;
        }
    }
    return 0;
}

/* ---- sockets --------------------------------------------------------------------------------------------- */

static int set_inet(struct net_socket_config *socket, const char *host, const char *port, const char *option,
                    struct error *error)
{
    struct in_addr address;

    if (!*host || !strcmp(host, "localhost")) {
        host = "127.0.0.1";
    }
    if (strlen(host) >= sizeof(socket->path) || inet_pton(AF_INET, host, &address) != 1 ||
        strncmp(host, "127.", 4) != 0) {
        return error_set(error, -EINVAL, "-%s: address '%s': only loopback (127.x.x.x, localhost) is allowed",
                         option, host);
    }
    strcpy(socket->path, host);
    return parse_port(port, &socket->port)
               ? 0
               : error_set(error, -EINVAL, "-%s: '%s' is not a port", option, port);
}

/* listen=[HOST]:PORT, connect=HOST:PORT, and the pieces of stream: server, addr.type, addr.path, addr.host, addr.port. */
static int take_socket_item(struct net_socket_config *socket, struct item *item, const char *option,
                            struct error *error)
{
    int result = 0;

    if (is_key(item, "listen") || is_key(item, "connect")) {
        char *colon = strrchr(item->value, ':');

        if (!colon) {
            return error_set(error, -EINVAL, "-%s: %s=%s must be HOST:PORT", option, item->key, item->value);
        }
        *colon = '\0';
        socket->server = item->key[0] == 'l';
        result = set_inet(socket, item->value, colon + 1, option, error);
    } else if (is_key(item, "server")) {
        result = take_switch(&socket->server, item, option, error);
    } else if (is_key(item, "addr.type")) {
        socket->is_unix = !strcmp(item->value, "unix");
        if (!socket->is_unix && strcmp(item->value, "inet") != 0) {
            result = error_set(error, -EINVAL, "-%s: addr.type=%s must be unix or inet", option, item->value);
        }
    } else if (is_key(item, "addr.path")) {
        result = take_text(socket->path, sizeof(socket->path), item, option, error);
    } else if (is_key(item, "addr.host")) {
        uint16_t port = socket->port;

        result = set_inet(socket, item->value, "1", option, error);
        socket->port = port;
    } else if (is_key(item, "addr.port")) {
        result = parse_port(item->value, &socket->port)
                     ? 0
                     : error_set(error, -EINVAL, "-%s: addr.port=%s is not a port", option, item->value);
    } else {
        return 0;
    }
    return result < 0 ? result : 1;
}

static int complete_socket(const struct net_socket_config *socket, const char *id, struct error *error)
{
    if (!socket->path[0] || (!socket->is_unix && !socket->port)) {
        return error_set(
            error, -EINVAL,
            "-netdev %s: a socket needs listen=:PORT, connect=HOST:PORT or addr.type=unix,addr.path=PATH",
            id);
    }
    return 0;
}

/* ---- back ends ------------------------------------------------------------------------------------------- */

static bool parse_kind(const char *name, enum net_backend_kind *kind)
{
    static const struct {
        const char *name;
        enum net_backend_kind kind;
    } kinds[] = {{"user", NET_BACKEND_USER},
                 {"socket", NET_BACKEND_SOCKET},
                 {"stream", NET_BACKEND_SOCKET},
                 {"switch", NET_BACKEND_SWITCH}};

    for (unsigned i = 0; i < ARRAY_LEN(kinds); i++) {
        if (!strcmp(name, kinds[i].name)) {
            *kind = kinds[i].kind;
            return true;
        }
    }
    return false;
}

static int take_backend_item(struct net_backend_config *backend, struct item *item, const char *option,
                             struct error *error)
{
    int result = 1;

    if (is_key(item, "id") || is_key(item, "name")) {
        result = take_text(backend->id, sizeof(backend->id), item, option, error);
    } else if (is_key(item, "pcap")) {
        result = take_text(backend->pcap, sizeof(backend->pcap), item, option, error);
    } else if (backend->kind == NET_BACKEND_USER) {
        return take_user_item(&backend->user, item, option, error);
    } else if (backend->kind == NET_BACKEND_SOCKET) {
        return take_socket_item(&backend->socket, item, option, error);
    } else if (is_key(item, "segment")) {
        result = take_text(backend->segment, sizeof(backend->segment), item, option, error);
    } else {
        return 0;
    }
    return result < 0 ? result : 1;
}

static int complete_backend(struct net_backend_config *backend, struct error *error)
{
    switch (backend->kind) {
    case NET_BACKEND_USER:
        return complete_user(&backend->user, backend->id, error);
    case NET_BACKEND_SOCKET:
        return complete_socket(&backend->socket, backend->id, error);
    default:
        if (!backend->segment[0]) {
            strcpy(backend->segment, "default");
        }
        return 0;
    }
}

static int unknown_item(const struct item *item, const char *option, struct error *error)
{
    return error_set(error, -EINVAL, "-%s: unknown item '%s%s%s'", option, item->key,
                     item->has_value ? "=" : "", item->value);
}

static struct net_backend_config *new_backend(struct net_config *config, const char *option,
                                              struct error *error)
{
    if (config->backend_count == NET_MAX_BACKENDS) {
        error_set(error, -EINVAL, "-%s: more than %d networks", option, NET_MAX_BACKENDS);
        return NULL;
    }
    struct net_backend_config *backend = &config->backend[config->backend_count++];
    memset(backend, 0, sizeof(*backend));
    return backend;
}

/* Parse the rest of `list` into a back end of a kind that is known already. */
static int parse_backend(struct net_backend_config *backend, const char *list, const char *option,
                         struct error *error)
{
    struct item item;
    int result;

    while ((result = next_item(&list, &item, option, error)) > 0) {
        result = take_backend_item(backend, &item, option, error);
        if (result == 0) {
            result = unknown_item(&item, option, error);
        }
        if (result < 0) {
            return result;
        }
    }
    return result < 0 ? result : complete_backend(backend, error);
}

int net_parse_netdev(struct net_config *config, const char *value, struct error *error)
{
    enum net_backend_kind kind;
    struct net_backend_config *backend;
    struct item item;
    int result = next_item(&value, &item, "netdev", error);

    if (result < 0) {
        return result;
    }
    if (!strcmp(item.key, "help") || !strcmp(item.key, "?")) {
        printf("Available netdev backend types:\nuser\nsocket\nstream\nswitch\n");
        return PARSE_DONE;
    }
    if (result == 0 ||
        !parse_kind(item.has_value && !strcmp(item.key, "type") ? item.value : item.key, &kind)) {
        return error_set(error, -EINVAL, "-netdev: unknown type '%s' (known: user, socket, stream, switch)",
                         item.key);
    }
    backend = new_backend(config, "netdev", error);
    if (!backend) {
        return -EINVAL;
    }
    backend->kind = kind;
    result = parse_backend(backend, value, "netdev", error);
    if (result == 0 && !backend->id[0]) {
        return error_set(error, -EINVAL, "-netdev: id=NAME is missing");
    }
    return result;
}

/* ---- adapters -------------------------------------------------------------------------------------------- */

bool net_has_user(const struct net_config *config)
{
    for (unsigned i = 0; i < config->backend_count; i++) {
        if (config->backend[i].kind == NET_BACKEND_USER) {
            return true;
        }
    }
    return false;
}

bool net_config_is_private(const struct net_config *config, unsigned nic)
{
    for (unsigned i = 0; i < config->backend_count; i++) {
        if (!strcmp(config->backend[i].id, config->nic[nic].netdev)) {
            return config->backend[i].kind == NET_BACKEND_USER;
        }
    }
    return false;
}

const char *net_model_name(enum net_model model)
{
    return models[model].name;
}

static bool parse_model(const char *name, size_t length, enum net_model *model)
{
    for (unsigned i = 0; i < ARRAY_LEN(models); i++) {
        if ((strlen(models[i].name) == length && !strncmp(name, models[i].name, length)) ||
            (strlen(models[i].alias) == length && !strncmp(name, models[i].alias, length))) {
            *model = (enum net_model)i;
            return true;
        }
    }
    return false;
}

bool net_is_device(const char *value)
{
    enum net_model model;

    return parse_model(value, strcspn(value, ","), &model);
}

void net_list_devices(FILE *out)
{
    for (unsigned i = 0; i < ARRAY_LEN(models); i++) {
        fprintf(out, "name \"%s\", bus PCI, desc \"%s\"\n", models[i].name, models[i].help);
    }
}

static struct net_nic_config *new_nic(struct net_config *config, const char *option, struct error *error)
{
    if (config->nic_count == NET_MAX_NICS) {
        error_set(error, -EINVAL, "-%s: more than %d network adapters", option, NET_MAX_NICS);
        return NULL;
    }
    struct net_nic_config *nic = &config->nic[config->nic_count++];
    *nic = (struct net_nic_config){.slot = -1, .default_rom = true};
    return nic;
}

/* addr=SLOT, in hexadecimal as QEMU takes it; ".0" may follow. */
static int take_slot(struct net_nic_config *nic, const struct item *item, const char *option,
                     struct error *error)
{
    char *end;
    unsigned long slot = strtoul(item->value, &end, 16);

    if (end == item->value || (*end && strcmp(end, ".0") != 0) || slot < FIRST_SLOT || slot > LAST_SLOT) {
        return error_set(error, -EINVAL, "-%s: addr=%s must be a PCI slot from %x to %x", option, item->value,
                         FIRST_SLOT, LAST_SLOT);
    }
    nic->slot = (int)slot;
    return 0;
}

/* 1: taken; 0: not an adapter's item. */
static int take_nic_item(struct net_nic_config *nic, const struct item *item, const char *option,
                         struct error *error)
{
    int result = 1;

    if (is_key(item, "mac") || is_key(item, "macaddr")) {
        result = take_mac(nic, item, option, error);
    } else if (is_key(item, "addr")) {
        result = take_slot(nic, item, option, error);
    } else if (is_key(item, "netdev")) {
        result = take_text(nic->netdev, sizeof(nic->netdev), item, option, error);
    } else if (is_key(item, "romfile")) {
        nic->default_rom = false;
        snprintf(nic->romfile, sizeof(nic->romfile), "%s", item->value);
    } else if (is_key(item, "bus")) {
        result = !strcmp(item->value, "pci.0") || !strcmp(item->value, "pci")
                     ? 1
                     : error_set(error, -EINVAL, "-%s: bus=%s: there is only pci.0", option, item->value);
    } else {
        return 0;
    }
    return result < 0 ? result : 1;
}

static int device_help(enum net_model model)
{
    printf("%s options:\n"
           "  netdev=<str>  the -netdev to plug into\n"
           "  mac=<str>     address (default: 52:54:00:12:34:56 and up)\n"
           "  addr=<hex>    PCI slot, 3 to 1f (default: the next free one)\n"
           "  romfile=<str> option ROM; empty for none (default: iPXE's, if installed)\n"
           "  id=<str>      name\n",
           models[model].name);
    return PARSE_DONE;
}

int net_parse_device(struct net_config *config, const char *value, struct error *error)
{
    enum net_model model = NET_MODEL_E1000;
    struct net_nic_config *nic;
    struct item item;
    int result;

    parse_model(value, strcspn(value, ","), &model);
    value += strcspn(value, ",");
    value += *value == ',';
    if (!strcmp(value, "help") || !strcmp(value, "?")) {
        return device_help(model);
    }
    nic = new_nic(config, "device", error);
    if (!nic) {
        return -EINVAL;
    }
    nic->model = model;
    while ((result = next_item(&value, &item, "device", error)) > 0) {
        result = is_key(&item, "id") ? take_text(nic->id, sizeof(nic->id), &item, "device", error)
                                     : take_nic_item(nic, &item, "device", error);
        if (result == 0 && !is_key(&item, "id")) {
            result = unknown_item(&item, "device", error);
        }
        if (result < 0) {
            return result;
        }
    }
    return result;
}

static int take_model(struct net_nic_config *nic, const struct item *item, const char *option,
                      struct error *error)
{
    if (!strcmp(item->value, "help") || !strcmp(item->value, "?")) {
        printf("Supported NIC models:\n");
        for (unsigned i = 0; i < ARRAY_LEN(models); i++) {
            printf("%s\n", models[i].name);
        }
        return PARSE_DONE + 1;
    }
    if (!parse_model(item->value, strlen(item->value), &nic->model)) {
        return error_set(error, -EINVAL, "-%s: unknown model '%s' (known: e1000, ne2k_pci)", option,
                         item->value);
    }
    return 1;
}

/* Items for the adapter and for its back end in one list. */
static int parse_both(struct net_backend_config *backend, struct net_nic_config *nic, const char *list,
                      const char *option, struct error *error)
{
    struct item item;
    int result;

    while ((result = next_item(&list, &item, option, error)) > 0) {
        result = is_key(&item, "model") ? take_model(nic, &item, option, error)
                                        : take_nic_item(nic, &item, option, error);
        if (result == 0 && backend) {
            result = take_backend_item(backend, &item, option, error);
        }
        if (result == 0) {
            result = unknown_item(&item, option, error);
        }
        if (result != 1) {
            return result > 1 ? PARSE_DONE : result;
        }
    }
    return result < 0 || !backend ? result : complete_backend(backend, error);
}

int net_parse_nic(struct net_config *config, const char *value, struct error *error)
{
    enum net_backend_kind kind = NET_BACKEND_USER;
    struct net_backend_config *backend;
    struct net_nic_config *nic;
    const char *rest = value;
    struct item item;
    int result = next_item(&rest, &item, "nic", error);

    if (result < 0) {
        return result;
    }
    if (!strcmp(item.key, "none")) {
        return *rest ? error_set(error, -EINVAL, "-nic: none takes nothing else") : 0;
    }
    if (item.has_value) {
        rest = value; /* no type: user */
    } else if (!parse_kind(item.key, &kind)) {
        return error_set(error, -EINVAL,
                         "-nic: unknown type '%s' (known: user, socket, stream, switch, none)", item.key);
    }
    backend = new_backend(config, "nic", error);
    nic = backend ? new_nic(config, "nic", error) : NULL;
    if (!nic) {
        return -EINVAL;
    }
    backend->kind = kind;
    result = parse_both(backend, nic, rest, "nic", error);
    if (!backend->id[0]) {
        snprintf(backend->id, sizeof(backend->id), "nic%u", config->nic_count - 1);
    }
    strcpy(nic->netdev, backend->id);
    return result;
}

/* The old form: -net nic and -net user, joined in order. */
int net_parse_net(struct net_config *config, const char *value, struct error *error)
{
    enum net_backend_kind kind;
    struct item item;
    int result = next_item(&value, &item, "net", error);

    if (result < 0) {
        return result;
    }
    if (!strcmp(item.key, "none")) {
        return 0;
    }
    if (!strcmp(item.key, "nic")) {
        struct net_nic_config *nic = new_nic(config, "net", error);

        if (!nic) {
            return -EINVAL;
        }
        result = parse_both(NULL, nic, value, "net", error);
        if (result == 0 && !nic->netdev[0]) {
            snprintf(nic->netdev, sizeof(nic->netdev), "net%u", config->legacy_nics++);
        }
        return result;
    }
    if (!parse_kind(item.key, &kind)) {
        return error_set(error, -EINVAL, "-net: unknown type '%s' (known: nic, user, socket, switch, none)",
                         item.key);
    }
    struct net_backend_config *backend = new_backend(config, "net", error);
    if (!backend) {
        return -EINVAL;
    }
    backend->kind = kind;
    snprintf(backend->id, sizeof(backend->id), "net%u", config->legacy_backends++);
    return parse_backend(backend, value, "net", error);
}

int net_parse_object(struct net_config *config, const char *value, struct error *error)
{
    unsigned index = config->capture_count;
    struct item item;
    int result = next_item(&value, &item, "object", error);

    if (result < 0) {
        return result;
    }
    if (strcmp(item.key, "filter-dump") != 0) {
        return error_set(error, -EINVAL, "-object: unknown type '%s' (known: filter-dump)", item.key);
    }
    if (index == NET_MAX_BACKENDS) {
        return error_set(error, -EINVAL, "-object: more than %d captures", NET_MAX_BACKENDS);
    }
    while ((result = next_item(&value, &item, "object", error)) > 0) {
        if (is_key(&item, "netdev")) {
            result = take_text(config->capture_id[index], NET_ID_SIZE, &item, "object", error);
        } else if (is_key(&item, "file")) {
            result = take_text(config->capture_file[index], NET_PATH_SIZE, &item, "object", error);
        } else if (!is_key(&item, "id") && !is_key(&item, "maxlen")) {
            result = unknown_item(&item, "object", error);
        }
        if (result < 0) {
            return result;
        }
    }
    config->capture_count++;
    if (result == 0 && (!config->capture_id[index][0] || !config->capture_file[index][0])) {
        return error_set(error, -EINVAL, "-object: filter-dump needs netdev=ID and file=PATH");
    }
    return result;
}

/* ---- the whole ------------------------------------------------------------------------------------------- */

static struct net_backend_config *find_backend(struct net_config *config, const char *id)
{
    for (unsigned i = 0; i < config->backend_count; i++) {
        if (!strcmp(config->backend[i].id, id)) {
            return &config->backend[i];
        }
    }
    return NULL;
}

static int check_captures(struct net_config *config, struct error *error)
{
    for (unsigned i = 0; i < config->capture_count; i++) {
        struct net_backend_config *backend = find_backend(config, config->capture_id[i]);

        if (!backend) {
            return error_set(error, -EINVAL, "-object: there is no -netdev with id=%s",
                             config->capture_id[i]);
        }
        if (backend->pcap[0]) {
            return error_set(error, -EINVAL, "-object: %s is captured twice", backend->id);
        }
        strcpy(backend->pcap, config->capture_file[i]);
    }
    config->capture_count = 0;
    return 0;
}

static int check_backends(struct net_config *config, struct error *error)
{
    for (unsigned i = 0; i < config->backend_count; i++) {
        unsigned plugs = 0;

        if (find_backend(config, config->backend[i].id) != &config->backend[i]) {
            return error_set(error, -EINVAL, "-netdev: id=%s is there twice", config->backend[i].id);
        }
        for (unsigned j = 0; j < config->nic_count; j++) {
            plugs += !strcmp(config->nic[j].netdev, config->backend[i].id);
        }
        if (plugs > 1) {
            return error_set(
                error, -EINVAL,
                "-device: netdev=%s has %u adapters; to join several use -netdev switch,segment=NAME",
                config->backend[i].id, plugs);
        }
        if (plugs == 0) {
            return error_set(error, -EINVAL, "-netdev: no adapter uses %s (add -device e1000,netdev=%s)",
                             config->backend[i].id, config->backend[i].id);
        }
    }
    return 0;
}

static int check_nics(struct net_config *config, struct error *error)
{
    static const uint8_t first_mac[NET_MAC_SIZE] = {0x52, 0x54, 0x00, 0x12, 0x34, 0x56};

    for (unsigned i = 0; i < config->nic_count; i++) {
        struct net_nic_config *nic = &config->nic[i];

        if (nic->netdev[0] && !find_backend(config, nic->netdev)) {
            return error_set(error, -EINVAL, "network adapter %u: there is no -netdev with id=%s", i,
                             nic->netdev);
        }
        if (!nic->has_mac) {
            memcpy(nic->mac, first_mac, NET_MAC_SIZE);
            nic->mac[NET_MAC_SIZE - 1] = (uint8_t)(first_mac[NET_MAC_SIZE - 1] + i);
        }
        if (!nic->id[0]) {
            snprintf(nic->id, sizeof(nic->id), "%s.%u", models[nic->model].name, i);
        }
        for (unsigned j = 0; j < i; j++) {
            if (!strcmp(config->nic[j].id, nic->id)) {
                return error_set(error, -EINVAL, "-device: id=%s is there twice", nic->id);
            }
            if (nic->slot >= 0 && config->nic[j].slot == nic->slot) {
                return error_set(error, -EINVAL, "-device: addr=%x is there twice", (unsigned)nic->slot);
            }
        }
    }
    return 0;
}

int net_config_check(struct net_config *config, struct error *error)
{
    int result = check_nics(config, error);

    if (result == 0) {
        result = check_backends(config, error);
    }
    return result == 0 ? check_captures(config, error) : result;
}
