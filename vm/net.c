/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The networks of a VM: creating back ends, plugging them in, showing them. See vm/net.h.
 */
#include "vm/net.h"

#include <errno.h>
#include <stdlib.h>

#include "devices/pc.h"
#include "vm/loader.h"
#include "vm/net_fabric.h"

enum { ROM_MAX = 1 << 20 };

struct vm_net {
    struct loop *loop;
    struct clock *clock;
    struct net_port *backend[NET_MAX_BACKENDS];
    enum net_backend_kind kind[NET_MAX_BACKENDS];
    unsigned count;
    struct net_fabric *fabric; /* the process's, or owned */
    struct net_fabric *owned_fabric;
};

/* A port of a segment; of a fabric of our own if the VM shares none. */
static int create_switch(struct vm_net *net, struct net_port **port, const struct net_backend_config *config,
                         struct error *error)
{
    if (!net->fabric) {
        net->fabric = net->owned_fabric = net_fabric_create();
    }
    if (!net->fabric) {
        return error_set(error, -ENOMEM, "out of memory");
    }
    *port = net_fabric_join(net->fabric, config->segment, config->id, net->loop, net->clock, error);
    return *port ? 0 : -ENOSPC;
}

static int create_backend(struct vm_net *net, struct net_port **port, const struct net_backend_config *config,
                          struct error *error)
{
    switch (config->kind) {
    case NET_BACKEND_USER:
        return net_user_create(port, config->id, &config->user, net->loop, net->clock, error);
    case NET_BACKEND_SOCKET:
        return net_socket_create(port, config->id, &config->socket, net->loop, error);
    default:
        return create_switch(net, port, config, error);
    }
}

int vm_net_create(struct vm_net **result, const struct net_config *config, struct net_fabric *fabric,
                  struct loop *loop, struct clock *clock, struct error *error)
{
    struct vm_net *net;

    *result = NULL;
    if (config->backend_count == 0) {
        return 0;
    }
    net = calloc(1, sizeof(*net));
    if (!net) {
        return error_set(error, -ENOMEM, "out of memory");
    }
    net->fabric = fabric;
    net->loop = loop;
    net->clock = clock;
    for (unsigned i = 0; i < config->backend_count; i++) {
        const struct net_backend_config *backend = &config->backend[i];
        int code = create_backend(net, &net->backend[i], backend, error);

        if (code < 0) {
            vm_net_destroy(net);
            return error_prefix(error, code, "-netdev");
        }
        net->kind[i] = backend->kind;
        net->count++;
        if (backend->pcap[0]) {
            code = net_pcap_open(net->backend[i], backend->pcap, config->capture_limit, clock, error);
        }
        if (code < 0) {
            vm_net_destroy(net);
            return error_prefix(error, code, "-netdev");
        }
    }
    *result = net;
    return 0;
}

void vm_net_connect(struct vm_net *net, const struct net_config *config, struct pc *pc)
{
    for (unsigned i = 0; i < config->nic_count; i++) {
        struct net_port *backend = vm_net_find(net, config->nic[i].netdev);

        if (backend) {
            net_port_connect(pc_nic_port(pc, i), backend);
        }
    }
}

void vm_net_destroy(struct vm_net *net)
{
    if (!net) {
        return;
    }
    for (unsigned i = 0; i < net->count; i++) {
        net_port_destroy(net->backend[i]);
    }
    net_fabric_destroy(net->owned_fabric);
    free(net);
}

struct net_port *vm_net_find(struct vm_net *net, const char *id)
{
    for (unsigned i = 0; net && i < net->count; i++) {
        if (!strcmp(net->backend[i]->name, id)) {
            return net->backend[i];
        }
    }
    return NULL;
}

static void print_port(const struct net_port *port, const char *kind, FILE *out)
{
    fprintf(out, "%-12s %-8s link %s", port->name, kind, net_port_is_up(port) ? "up" : "down");
    fprintf(out, "  sent %llu frames, %llu bytes  received %llu frames, %llu bytes  lost %llu",
            (unsigned long long)port->sent_frames, (unsigned long long)port->sent_bytes,
            (unsigned long long)port->received_frames, (unsigned long long)port->received_bytes,
            (unsigned long long)port->lost_frames);
}

static void print_segment(const struct net_port *port, FILE *out)
{
    struct net_fabric_state state;

    net_fabric_query(port, &state);
    fprintf(out, "  segment %s of %u ports, %u addresses heard here, %u frames waiting, %llu dropped\n",
            state.segment, state.ports, state.addresses, state.waiting_frames,
            (unsigned long long)state.dropped_frames);
}

void vm_net_print(struct vm_net *net, struct pc *pc, FILE *out)
{
    static const char *const kinds[] = {
        [NET_BACKEND_USER] = "user", [NET_BACKEND_SOCKET] = "socket", [NET_BACKEND_SWITCH] = "switch"};

    for (unsigned i = 0; i < pc_nic_count(pc); i++) {
        const struct net_port *port = pc_nic_port(pc, i);
        const uint8_t *mac = port->mac;

        print_port(port, "adapter", out);
        fprintf(out, "\n  address %02x:%02x:%02x:%02x:%02x:%02x, plugged into %s\n", mac[0], mac[1], mac[2],
                mac[3], mac[4], mac[5], port->peer ? port->peer->name : "nothing");
    }
    for (unsigned i = 0; net && i < net->count; i++) {
        print_port(net->backend[i], kinds[net->kind[i]], out);
        fputc('\n', out);
        if (net->kind[i] == NET_BACKEND_SWITCH) {
            print_segment(net->backend[i], out);
        }
    }
}

/* ---- adapters -------------------------------------------------------------------------------------------- */

static int load_rom(const struct net_nic_config *nic, uint8_t **bytes, size_t *size, struct error *error)
{
    static const char *const directories[] = {"/usr/lib/ipxe/qemu", "/usr/share/qemu"};
    char path[NET_PATH_SIZE];

    if (!nic->default_rom) {
        return nic->romfile[0] ? loader_read_file(nic->romfile, "romfile", ROM_MAX, bytes, size, error) : 0;
    }
    for (unsigned i = 0; i < ARRAY_LEN(directories); i++) {
        snprintf(path, sizeof(path), "%s/pxe-%s.rom", directories[i], net_model_name(nic->model));
        if (loader_read_file(path, "option ROM", ROM_MAX, bytes, size, error) == 0) {
            return 0;
        }
    }
    fprintf(stderr,
            "hypatia: note: %s has no option ROM and cannot boot from the network: install ipxe-qemu, or say "
            "romfile= "
            "for none\n",
            nic->id);
    return 0;
}

int vm_net_adapters(struct pc_config *pc, const struct net_config *config, struct error *error)
{
    for (unsigned i = 0; i < config->nic_count; i++) {
        const struct net_nic_config *nic = &config->nic[i];
        uint8_t *rom = NULL;
        size_t rom_size = 0;
        int result = load_rom(nic, &rom, &rom_size, error);

        if (result < 0) {
            vm_net_free_adapters(pc);
            return result;
        }
        pc->nic[i] = (struct pc_nic){
            .model = nic->model == NET_MODEL_E1000 ? PC_NIC_E1000 : PC_NIC_NE2K_PCI,
            .id = nic->id,
            .slot = nic->slot,
            .rom = rom,
            .rom_size = rom_size,
        };
        memcpy(pc->nic[i].mac, nic->mac, NET_MAC_SIZE);
        pc->nic_count++;
    }
    return 0;
}

void vm_net_free_adapters(struct pc_config *pc)
{
    for (unsigned i = 0; i < pc->nic_count; i++) {
        free((void *)pc->nic[i].rom);
        pc->nic[i].rom = NULL;
    }
}
