/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Cloning a VM. See vm/clone.h.
 *
 * The parent is held for all of it. The order: a machine like the parent's is built; the parent's disks come to rest, and get
 * a fresh layer each, and the clone's an overlay each; the state is copied, the pages are shared, and the clone loads the state.
 * Everything that can fail is over before the parent's disks change, so a failure leaves it as it
 * was (its pages may be shared with nobody, which costs nothing).
 */
#include "vm/clone.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>
#include <xxhash.h>

#include "binxlate/binxlate.h"
#include "vm/snapshot_merge.h"
#include "vm/snapshot_state.h"
#include "vm/snapshot_store.h"
#include "vm/vm.h"

struct clone {
    struct vm *parent, *child;
    struct snapshots *snapshots; /* the parent's */
    bool kept;                   /* some disk's changes are in the folder of snapshots */
    struct snap_writer state;
};

/* ---- a machine ---- */

/* The machine of `config` with empty drives, which gets kernel and files from its parent. */
static struct vm *build_machine(const struct vm_config *config, struct error *error)
{
    struct vm_config empty = *config;

    for (unsigned i = 0; i < CONFIG_IDE_DRIVES; i++) {
        empty.ide[i].file[0] = '\0';
    }
    for (unsigned i = 0; i < CONFIG_FLOPPY_DRIVES; i++) {
        empty.floppy[i].file[0] = '\0';
    }
    empty.kernel = empty.initrd = empty.append = NULL;
    empty.kernel_follows = true;
    empty.fw_cfg_count = 0;
    empty.loadvm = NULL;
    empty.start_paused = true;
    return vm_create(&empty, error);
}

static bool has_kept_disk(const struct snapshot_chains *chains)
{
    for (unsigned i = 0; i < chains->count; i++) {
        if (!chains->chain[i].disk->snapshot) {
            return true;
        }
    }
    return false;
}

/* Fresh layers for the parent's disks, and `current` with them: what the guest flushes from then on lasts. */
static int plan_disks(struct clone *clone, struct error *error)
{
    struct snapshots *s = clone->snapshots;
    struct snapshot_current current = s->current;
    char id[SNAPSHOT_ID_LENGTH + 1];
    int result = 0;

    if (clone->kept) {
        result = snapshot_store_open(s, true, error);
    }
    snapshot_make_id(id);
    if (result == 0) {
        result = snapshot_disks_plan_clone(&s->chains, id, error);
    }
    if (result < 0 || !clone->kept) {
        return result;
    }
    snapshot_store_describe(s, true, &current.disks);
    result = snapshot_current_write(&current, &s->root, error);
    if (result < 0) {
        snapshot_current_write(&s->current, &s->root, NULL);
        snapshot_disks_abandon(&s->chains);
    }
    return result;
}

static void unplan_disks(struct clone *clone)
{
    struct snapshots *s = clone->snapshots;

    if (clone->kept) {
        snapshot_current_write(&s->current, &s->root, NULL);
    }
    snapshot_disks_abandon(&s->chains);
}

/* ---- the clone's disks ---- */

static unsigned images_of(const struct image *image)
{
    unsigned count = 0;

    for (; image; image = image->backing) {
        count++;
    }
    return count;
}

/* The parent's medium, with a temporary overlay if it can be written. */
static int share_disk(struct clone *clone, const struct disk *parent, struct disk *child, struct error *error)
{
    const struct snapshot_chains *chains = &clone->snapshots->chains;
    const struct image *shown;
    struct image *image;

    if (!parent || !child || !parent->image) {
        return 0;
    }
    shown = snapshot_disks_frozen(chains, parent);
    if (images_of(shown) >= IMAGE_CHAIN_MAX) {
        return error_set(
            error, -EMLINK,
            "drive %s stands on %d images, one for each time that it was cloned or saved; clone a VM that it "
            "comes from",
            parent->block.id, IMAGE_CHAIN_MAX);
    }
    image = image_share(shown, error);
    if (image && parent->image->writable) {
        image = image_create_overlay(image, error);
    }
    if (!image) {
        return error_prefix(error, -EIO, "drive %s", child->block.id);
    }
    child->snapshot = parent->image->writable;
    child->any_backing = parent->any_backing;
    disk_change(child, image);
    snapshot_chains_adopt(&clone->child->snapshots->chains, child, chains, parent);
    return 0;
}

static int share_disks(struct clone *clone, struct error *error)
{
    struct drives *parent = &clone->parent->drives, *child = &clone->child->drives;
    int result = 0;

    child->snapshot = true;
    for (unsigned i = 0; i < CONFIG_IDE_DRIVES && result == 0; i++) {
        result = share_disk(clone, parent->ide[i], child->ide[i], error);
    }
    for (unsigned i = 0; i < CONFIG_FLOPPY_DRIVES && result == 0; i++) {
        result = share_disk(clone, parent->floppy[i], child->floppy[i], error);
    }
    return result;
}

/* ---- the picture ---- */

static void flush_translations(struct vm *vm)
{
    vcpu_flush_tlb(vm->cpu, false);
}

static int copy_machine(struct clone *clone, struct error *error)
{
    struct vm *parent = clone->parent, *child = clone->child;
    int result;

    snapshot_state_save(&clone->state, parent);
    if (clone->state.failed) {
        return error_set(error, -ENOMEM, "out of memory");
    }
    result = ram_share(&parent->ram, &child->ram, error);
    flush_translations(parent);
    flush_translations(child);
    if (result == 0) {
        result = snapshot_state_load(child, clone->state.data, clone->state.length, error);
    }
    return result;
}

/* The parent goes on in its fresh layers. Cannot fail. */
static void exchange_disks(struct clone *clone)
{
    struct snapshots *s = clone->snapshots;

    snapshot_disks_exchange(&s->chains);
    snapshot_disks_freeze(&s->chains);
    snapshot_disks_commit(&s->chains);
    if (clone->kept) {
        snapshot_store_describe(s, false, &s->current.disks);
    }
    snapshot_merge_begin(s);
}

static int take_picture(struct clone *clone, struct error *error)
{
    struct snapshots *s = clone->snapshots;
    int result;

    snapshot_disks_hold(&s->chains);
    result = plan_disks(clone, error);
    if (result < 0) {
        snapshot_disks_release(&s->chains);
        return result;
    }
    result = snapshot_disks_stack(&s->chains, error);
    if (result == 0) {
        result = snapshot_disks_settle(&s->chains, error);
    }
    if (result == 0) {
        result = share_disks(clone, error);
    }
    if (result == 0) {
        result = copy_machine(clone, error);
    }
    if (result == 0) {
        exchange_disks(clone);
    } else {
        unplan_disks(clone);
    }
    snapshot_disks_release(&s->chains);
    return result;
}

/* ---- the clone's own ---- */

/*
 * The adapters' own addresses. The guest's driver goes on with the parent's until it looks again, so cables that end where
 * the parent's do are unplugged; a user network is the clone's alone, and its cable is pulled out and put in.
 */
static void plug_in(struct vm *vm)
{
    pc_renew_addresses(vm->pc);
    for (unsigned i = 0; i < pc_nic_count(vm->pc); i++) {
        struct net_port *port = pc_nic_port(vm->pc, i);

        net_port_set_link(port, false);
        if (net_config_is_private(&vm->config.net, i)) {
            net_port_set_link(port, true);
        }
    }
}

void vm_renew_generation(struct vm *vm, bool event)
{
    const char *uuid = vm->config.uuid ? vm->config.uuid : "";
    uint8_t id[VMGENID_SIZE];

    if (vm->config.icount || getrandom(id, sizeof(id), 0) != sizeof(id)) {
        XXH128_hash_t hash = XXH3_128bits_withSeed(uuid, strlen(uuid), vm->config.seed);

        store_le64(id, hash.low64);
        store_le64(id + 8, hash.high64);
    }
    pc_set_generation(vm->pc, id, event && !vm->config.icount);
}

static void make_independent(struct clone *clone)
{
    struct vm *parent = clone->parent, *child = clone->child;

    child->loads = parent->loads + 1; /* what was found out about the parent's guest is void here */
    snapshot_restart_check(child);
    plug_in(child);
    vm_renew_generation(child, true);
    if (parent->state == VM_RUNNING) {
        vm_resume(child);
    }
}

/* ---- all of it ---- */

static int prepare(struct clone *clone, const struct vm_config *config, struct error *error)
{
    struct vm *parent = clone->parent;
    struct snapshots *s;
    int result = vm_check_not_stopped(parent, error);

    if (result < 0) {
        return result;
    }
    result = snapshot_store_get(parent, &clone->snapshots, error);
    s = clone->snapshots;
    if (!s) {
        return result;
    }
    snapshot_collect(s, NULL);
    snapshot_chains_update(&s->chains, &parent->drives);
    clone->kept = has_kept_disk(&s->chains);
    if (clone->kept && result < 0) {
        return result;
    }
    clone->child = build_machine(config, error);
    if (!clone->child) {
        return -EINVAL;
    }
    return fw_cfg_share(pc_fw_cfg(clone->child->pc), pc_fw_cfg(parent->pc), error);
}

struct vm *clone_create(struct vm *parent, const struct vm_config *config, struct clone_figures *figures,
                        struct error *error)
{
    struct clone clone = {.parent = parent};
    uint64_t start = pacer_host_now();
    int result;

    snap_writer_init(&clone.state);
    result = prepare(&clone, config, error);
    if (result == 0) {
        result = take_picture(&clone, error);
    }
    if (result == 0) {
        make_independent(&clone);
    } else {
        vm_destroy(clone.child);
        clone.child = NULL;
    }
    snap_writer_fini(&clone.state);
    figures->made_ns = pacer_host_now() - start;
    return clone.child;
}
