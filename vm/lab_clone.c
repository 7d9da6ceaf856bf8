/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A clone's section of a lab, out of its parent's: the same machine, with what two VMs cannot both have made anew.
 *
 *   file:PATH, unix:PATH,server, -D, -result, captures    PATH-NAME
 *   stdio, mon:stdio, tcp:..,server, display = text       nothing: there is one terminal, and one of each port
 *   pty                                                   another one
 *   hostfwd, a netdev that listens on a TCP port          left out
 *   mac, uuid                                             others
 *
 * docs/clones.md is the user's page.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>
#include <xxhash.h>

#include "vm/lab_internal.h"

/* `path`, then "-" and the clone's name, then the rest of a specification. NULL: out of memory. */
static const char *rename_path(struct lab *lab, const char *path, size_t length, const char *rest,
                               const char *name)
{
    size_t size = length + strlen(rest) + strlen(name) + 2;
    char *text = malloc(size);
    const char *kept = NULL;

    if (text) {
        snprintf(text, size, "%.*s-%s%s", (int)length, path, name, rest);
        kept = lab_keep(lab, text);
    }
    free(text);
    return kept;
}

/* Where a character device of the clone ends; *spec may be NULL. */
static int renew_chardev(struct lab *lab, const char **spec, const char *name, struct error *error)
{
    const char *old = *spec, *rest = old ? strchr(old, ',') : NULL;

    if (!old) {
        return 0;
    }
    if (!strncmp(old, "file:", 5) || (!strncmp(old, "unix:", 5) && rest && strstr(rest, "server"))) {
        rest = rest && old[0] == 'u' ? rest : old + strlen(old); /* a file's name may have commas in it */
        *spec = rename_path(lab, old, (size_t)(rest - old), rest, name);
        return *spec ? 0 : error_set(error, -ENOMEM, "out of memory");
    }
    if (strcmp(old, "pty") != 0 && strcmp(old, "none") != 0) {
        *spec = "null";
    }
    return 0;
}

static int renew_file(struct lab *lab, const char **path, const char *name, struct error *error)
{
    if (*path && strncmp(*path, "/dev/", 5) != 0) {
        *path = rename_path(lab, *path, strlen(*path), "", name);
        return *path ? 0 : error_set(error, -ENOMEM, "out of memory");
    }
    return 0;
}

static int renew_outputs(struct lab *lab, struct vm_config *config, const char *name, struct error *error)
{
    int result = 0;

    if (config->nographic && config->serial_count == 0) {
        config->serial[0] = "null";
        config->serial_count = 1;
    }
    for (unsigned i = 0; i < config->serial_count && result == 0; i++) {
        result = renew_chardev(lab, &config->serial[i], name, error);
    }
    if (result == 0) {
        result = renew_chardev(lab, &config->debugcon, name, error);
    }
    if (result == 0) {
        result = renew_chardev(lab, &config->firmware_log, name, error);
    }
    if (result == 0) {
        result = renew_file(lab, &config->log_file, name, error);
    }
    if (result == 0) {
        result = renew_file(lab, &config->result_file, name, error);
    }
    if (result == 0) {
        result = renew_file(lab, &config->snapshots, name, error);
    }
    config->monitor = NULL;
    config->gdb = NULL;
    config->display = CONFIG_DISPLAY_NONE;
    return result;
}

/* ---- networks ---- */

/* A path in a fixed field. */
static int renew_field(char *field, size_t size, const char *name, struct error *error)
{
    size_t used = strlen(field);

    if (!used) {
        return 0;
    }
    return snprintf(field + used, size - used, "-%s", name) >= (int)(size - used)
               ? error_set(error, -ENAMETOOLONG, "'%s' is too long with the clone's name", field)
               : 0;
}

static void remove_backend(struct net_config *net, unsigned number)
{
    for (unsigned i = 0; i < net->nic_count; i++) {
        if (!strcmp(net->nic[i].netdev, net->backend[number].id)) {
            net->nic[i].netdev[0] = '\0';
        }
    }
    net->backend_count--;
    memmove(&net->backend[number], &net->backend[number + 1],
            (net->backend_count - number) * sizeof(*net->backend));
}

static int renew_networks(struct net_config *net, const char *name, struct error *error)
{
    int result = 0;

    for (unsigned i = 0; i < net->backend_count && result == 0;) {
        struct net_backend_config *backend = &net->backend[i];

        if (backend->kind == NET_BACKEND_SOCKET && backend->socket.server && !backend->socket.is_unix) {
            remove_backend(net, i);
            continue;
        }
        if (backend->kind == NET_BACKEND_SOCKET && backend->socket.server) {
            result = renew_field(backend->socket.path, sizeof(backend->socket.path), name, error);
        }
        backend->user.forward_count = 0;
        if (result == 0) {
            result = renew_field(backend->pcap, sizeof(backend->pcap), name, error);
        }
        i++;
    }
    for (unsigned i = 0; i < net->nic_count; i++) {
        net->nic[i].has_mac = false; /* lab_check() gives one */
    }
    return result;
}

/* ---- identity ---- */

/* A random UUID (RFC 4122, version 4); under -icount one that follows from the seed, the parent's and the name. */
static const char *make_uuid(struct lab *lab, const struct vm_config *config, const char *name)
{
    uint8_t id[16];
    char text[40];

    if (config->icount || getrandom(id, sizeof(id), 0) != sizeof(id)) {
        XXH128_hash_t own = XXH3_128bits_withSeed(name, strlen(name), config->seed);
        XXH64_hash_t parent = config->uuid ? XXH3_64bits(config->uuid, strlen(config->uuid)) : 0;

        store_le64(id, own.low64 ^ parent);
        store_le64(id + 8, own.high64);
    }
    id[6] = (uint8_t)((id[6] & 0x0f) | 0x40);
    id[8] = (uint8_t)((id[8] & 0x3f) | 0x80);
    snprintf(text, sizeof(text), "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
             id[0], id[1], id[2], id[3], id[4], id[5], id[6], id[7], id[8], id[9], id[10], id[11], id[12],
             id[13], id[14], id[15]);
    return lab_keep(lab, text);
}

/* ---- the section ---- */

static const struct lab_vm *find_vm(const struct lab *lab, const char *name)
{
    for (unsigned i = 0; i < lab->count; i++) {
        if (!strcmp(lab->vm[i].config.name, name)) {
            return &lab->vm[i];
        }
    }
    return NULL;
}

struct lab_vm *lab_add_clone(struct lab *lab, const char *parent, const char *name, struct error *error)
{
    const struct lab_vm *from = find_vm(lab, parent);
    struct lab_vm *vm;
    const char *own_name;

    if (!from) {
        error_set(error, -ENOENT, "there is no VM '%s' (vm list shows them)", parent);
        return NULL;
    }
    if (!lab_name_valid(name)) {
        error_set(error, -EINVAL, "'%.40s' cannot be a VM's name: 1 to %d letters, digits, '.', '_', '-'",
                  name, LAB_NAME_MAX);
        return NULL;
    }
    if (find_vm(lab, name)) {
        error_set(error, -EEXIST, "there is a VM '%s' already", name);
        return NULL;
    }
    vm = lab_add_vm(lab, name, from->place, error);
    if (!vm) {
        return NULL;
    }
    from = find_vm(lab, parent); /* the list has moved */
    own_name = vm->config.name;
    *vm = *from;
    vm->config.name = own_name;
    vm->config.uuid = make_uuid(lab, &from->config, name);
    if (!vm->config.uuid) {
        error_set(error, -ENOMEM, "out of memory");
        return NULL;
    }
    return renew_outputs(lab, &vm->config, name, error) < 0 ||
                   renew_networks(&vm->config.net, name, error) < 0
               ? NULL
               : vm;
}
