/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Loading a snapshot, and the beginning and the end of a VM that has some. See vm/snapshot.h.
 *
 * A load reads everything into things of its own: a memfd with all pages, images of the disks, the bytes of the state. Then
 * they change places with what the VM has, which is kept until the state is accepted, field by field and device by device.
 * If it is not, they change places again.
 */
#include "vm/snapshot.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "binxlate/binxlate.h"
#include "binxlate/check.h"
#include "vm/clone.h"
#include "vm/debugger_internal.h"
#include "vm/snapshot_merge.h"
#include "vm/snapshot_state.h"
#include "vm/snapshot_store.h"
#include "vm/verdict.h"
#include "vm/vm.h"

/* What is being loaded. */
struct load {
    struct snapshots *snapshots;
    struct host_dir dir;
    struct snapshot_manifest manifest;
    uint8_t *state;
    struct snapshot_ram pages;
    struct ram_contents memory; /* the snapshot's, then the VM's as it was */
    char id[SNAPSHOT_ID_LENGTH + 1];
};

/* ---- reading ---- */

static int check_machine(struct load *load, struct error *error)
{
    struct vm *vm = load->snapshots->vm;
    json_t *here = snapshot_fingerprint(vm);
    int result = here ? snapshot_fingerprint_compare(here, load->manifest.machine, error)
                      : error_set(error, -ENOMEM, "out of memory");

    json_decref(here);
    if (result == 0 && load->manifest.memory != vm->ram.size) {
        result = error_set(error, -EINVAL, "it has %llu bytes of memory, this machine %llu",
                           (unsigned long long)load->manifest.memory, (unsigned long long)vm->ram.size);
    }
    return result;
}

static int read_snapshot(struct load *load, const char *name, struct error *error)
{
    int result = snapshot_manifest_read(&load->manifest, &load->dir, name, error);

    if (result == 0) {
        result = check_machine(load, error);
    }
    if (result == 0) {
        result = snapshot_store_state(&load->manifest, &load->dir, &load->state, error);
    }
    if (result == 0) {
        result = snapshot_store_pages(&load->manifest, &load->dir, &load->pages, error);
    }
    if (result == 0) {
        load->memory.fd = snapshot_ram_load(&load->pages, &load->dir, error);
        result = MIN(load->memory.fd, 0);
    }
    return result;
}

/* ---- changing places ---- */

static int exchange_memory(struct load *load, struct error *error)
{
    struct vm *vm = load->snapshots->vm;
    int result;

    if (vm->binxlate) {
        binxlate_reset(vm->binxlate);
    }
    result = ram_exchange(&vm->ram, &load->memory, error);
    vcpu_flush_tlb(vm->cpu, false);
    return result;
}

/* The state that the VM has now, with the snapshot's memory and disks in place, is part of both: back to its own. */
static void go_back(struct load *load, const struct snap_writer *before)
{
    struct snapshots *s = load->snapshots;
    struct error error;

    snapshot_disks_release(
        &s->chains); /* what the half-loaded devices have submitted goes to layers that go */
    snapshot_disks_hold(&s->chains);
    snapshot_disks_exchange(&s->chains);
    if (exchange_memory(load, &error) < 0 ||
        snapshot_state_load(s->vm, before->data, before->length, &error) < 0) {
        snprintf(s->vm->cpu->internal_error, sizeof(s->vm->cpu->internal_error),
                 "the VM's own state cannot be loaded again: %.100s", error.text);
        fprintf(stderr, "hypatia: %s\n", s->vm->cpu->internal_error);
        vm_request_quit(s->vm);
    }
}

static int publish(struct load *load, struct error *error)
{
    struct snapshots *s = load->snapshots;
    struct snapshot_current current = {.line = {.count = 0}};

    snapshot_disks_freeze(&s->chains);
    snapshot_line_extend(&current.line, &load->manifest.line, &load->manifest.self);
    snapshot_store_describe(s, false, &current.disks);
    return snapshot_store_set_current(s, &current, error);
}

static int exchange(struct load *load, struct error *error)
{
    struct snapshots *s = load->snapshots;
    struct snap_writer before;
    int result;

    snap_writer_init(&before);
    snapshot_state_save(&before, s->vm);
    result = before.failed ? error_set(error, -ENOMEM, "out of memory") : exchange_memory(load, error);
    if (result == 0) {
        snapshot_disks_exchange(&s->chains);
        result = snapshot_state_load(s->vm, load->state, load->manifest.state_size, error);
        if (result == 0) {
            result = publish(load, error);
        }
        if (result < 0) {
            go_back(load, &before);
        }
    }
    snap_writer_fini(&before);
    return result;
}

/* The judge compares with a twin that went another way: it begins afresh. */
void snapshot_restart_check(struct vm *vm)
{
    struct error error;

    if (!vm->check) {
        return;
    }
    check_destroy(vm->check);
    vm->check = check_create(vm->binxlate, stderr, &error);
    if (!vm->check) {
        fprintf(stderr, "hypatia: the translator is not judged any more: %s\n", error.text);
    }
}

static void loaded(struct load *load)
{
    struct snapshots *s = load->snapshots;
    struct vm *vm = s->vm;

    snapshot_disks_commit(&s->chains);
    snapshot_store_sweep_layers(s);
    snapshot_tracker_set(&s->tracker, &load->pages);
    ram_watch_set_all(&vm->ram, RAM_WATCH_DIRTY);
    vcpu_flush_tlb(vm->cpu, false);
    vm->reset_requested = vm->power_off_requested = false;
    vm->loads++;
    debugger_guest_replaced(vm);
    verdict_forget(vm);
    snapshot_restart_check(vm);
    vm_renew_generation(vm, true);
    snapshot_merge_begin(s);
}

static int load_into(struct load *load, const char *name, struct error *error)
{
    struct snapshots *s = load->snapshots;
    int result = read_snapshot(load, name, error);

    if (result < 0) {
        return result;
    }
    snapshot_chains_update(&s->chains, &s->vm->drives);
    snapshot_make_id(load->id);
    result = snapshot_disks_plan_load(&s->chains, &load->manifest.disks, load->id, error);
    if (result < 0) {
        return result;
    }
    snapshot_disks_hold(&s->chains);
    result = snapshot_disks_settle(&s->chains, error);
    if (result == 0) {
        result = exchange(load, error);
    }
    if (result == 0) {
        loaded(load);
    } else {
        snapshot_disks_abandon(&s->chains);
    }
    snapshot_disks_release(&s->chains);
    return result;
}

struct closing {
    struct ram_contents memory;
    uint64_t size;
};

static void *close_thread(void *opaque)
{
    struct closing *closing = opaque;

    ram_contents_fini(&closing->memory, closing->size);
    free(closing);
    return NULL;
}

/* Giving the pages back to the host takes as long as a good part of the load: the guest need not wait for it. */
static void close_memory(struct ram_contents *memory, uint64_t size)
{
    struct closing *closing = malloc(sizeof(*closing));
    pthread_t thread;
    sigset_t all, old;
    bool started = false;

    if (closing) {
        *closing = (struct closing){.memory = *memory, .size = size};
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &old);
        started = pthread_create(&thread, NULL, close_thread, closing) == 0;
        pthread_sigmask(SIG_SETMASK, &old, NULL);
    }
    if (started) {
        pthread_detach(thread);
    } else {
        free(closing);
        ram_contents_fini(memory, size);
    }
}

int snapshot_load(struct vm *vm, const char *name, struct error *error)
{
    struct load load = {.memory = {.fd = -1}};
    uint64_t start = pacer_host_now();
    int result = vm_check_not_stopped(vm, error);

    if (result == 0) {
        result = snapshot_store_get(vm, &load.snapshots, error);
    }
    if (result < 0) {
        return result;
    }
    snapshot_collect(load.snapshots, NULL);
    result = snapshot_store_enter(load.snapshots, name, &load.dir, error);
    if (result < 0) {
        return result;
    }
    result = load_into(&load, name, error);
    if (result < 0) {
        error_prefix(error, result, "snapshot '%s'", name);
    }
    if (load.memory.fd >= 0) {
        close_memory(&load.memory, vm->ram.size);
    }
    load.snapshots->figures.load_ns = pacer_host_now() - start;
    free(load.state);
    snapshot_ram_fini(&load.pages);
    snapshot_manifest_fini(&load.manifest);
    host_dir_close(&load.dir);
    return result;
}

/* ---- a VM's beginning and end ---- */

/* Layers that an earlier run has put over the disks: they are what the disks hold. */
static int attach_disks(struct snapshots *s, struct error *error)
{
    int result;

    snapshot_chains_update(&s->chains, &s->vm->drives);
    result = snapshot_disks_plan_current(&s->chains, &s->current.disks, error);
    if (result < 0) {
        return result;
    }
    snapshot_disks_hold(&s->chains);
    snapshot_disks_exchange(&s->chains);
    snapshot_disks_freeze(&s->chains);
    snapshot_disks_commit(&s->chains);
    snapshot_disks_release(&s->chains);
    snapshot_store_sweep_layers(s);
    return 0;
}

/* Is there a disk in `current` that no drive of this VM is? */
static const struct snapshot_disk *find_missing(const struct snapshots *s)
{
    for (unsigned i = 0; i < s->current.disks.count; i++) {
        const struct snapshot_disk *disk = &s->current.disks.disk[i];
        bool found = disk->layers == 0;

        for (unsigned k = 0; k < s->chains.count; k++) {
            found |= !strcmp(s->chains.chain[k].now.id, disk->id);
        }
        if (!found) {
            return disk;
        }
    }
    return NULL;
}

/* Is the open folder the one of this path? */
static bool is_folder(int fd, const char *path)
{
    struct stat open_one, other;

    return fstat(fd, &open_one) == 0 && stat(path, &other) == 0 && open_one.st_dev == other.st_dev &&
           open_one.st_ino == other.st_ino;
}

/* An image that layers stand on must not be written, be it as another drive or with another folder of snapshots. */
static int check_bystander(struct snapshots *s, const struct snapshot_chain *chain, struct error *error)
{
    const char *image = chain->base->file->path;
    const struct snapshot_disk *missing = s->open ? find_missing(s) : NULL;
    char folder[PATH_MAX], file[PATH_MAX];

    if (chain->now.layers || chain->disk->snapshot ||
        snprintf(folder, sizeof(folder), "%s.snapshots", image) >= (int)sizeof(folder) ||
        snprintf(file, sizeof(file), "%s/current", folder) >= (int)sizeof(file) || access(file, F_OK) < 0) {
        return 0;
    }
    if (!s->open || !is_folder(s->root.fd, folder)) {
        return error_set(
            error, -EINVAL,
            "drive %s: what '%s' holds now is in the snapshots' folder '%s'; use that with -snapshots, or "
            "the drive with snapshot=on, or remove the folder to go back to the first snapshot for good",
            chain->now.id, image, folder);
    }
    return missing ? error_set(error, -EINVAL,
                               "drive %s: the snapshots in '%s' know '%s' as drive %s: connect it as that",
                               chain->now.id, folder, image, missing->id)
                   : 0;
}

static int check_bystanders(struct snapshots *s, struct error *error)
{
    int result = 0;

    snapshot_chains_update(&s->chains, &s->vm->drives);
    for (unsigned i = 0; i < s->chains.count && result == 0; i++) {
        result = check_bystander(s, &s->chains.chain[i], error);
    }
    return result;
}

int snapshots_start(struct vm *vm, struct error *error)
{
    struct snapshots *s;
    int result = snapshot_store_get(vm, &s, error);

    vm_renew_generation(vm, false);
    if (result == 0) {
        result = snapshot_store_open(s, false, error);
    }
    if (result == 0) {
        result = attach_disks(s, error);
    } else if (result == -ENOENT && !vm->config.loadvm) {
        result = 0; /* no folder, or no name for one: the first savevm makes it, or says why not */
    }
    if (result == 0) {
        result = check_bystanders(s, error);
    }
    if (result == 0 && vm->config.loadvm) {
        result = snapshot_load(vm, vm->config.loadvm, error);
    }
    return result < 0 && vm->config.loadvm ? error_prefix(error, result, "-loadvm '%s'", vm->config.loadvm)
                                           : result;
}

void snapshots_end(struct vm *vm)
{
    struct snapshots *s = vm->snapshots;
    struct error error;

    if (!s) {
        return;
    }
    if (snapshot_collect(s, &error) < 0) {
        fprintf(stderr, "hypatia: %s\n", error.text);
    }
    snapshot_merge_give_up(s);
    snapshot_store_close(s);
    snapshot_tracker_fini(&s->tracker);
    free(s);
    vm->snapshots = NULL;
}

void snapshot_get_figures(struct vm *vm, struct snapshot_figures *figures)
{
    *figures = vm->snapshots ? vm->snapshots->figures : (struct snapshot_figures){.name = ""};
}

int snapshot_set_hook(struct vm *vm, const struct snapshot_hook *hook, struct error *error)
{
    struct snapshots *s;
    int result = snapshot_store_get(vm, &s, error);

    if (result == 0) {
        s->hook = s->root.hook = s->list.hook = s->layers.hook = hook;
    }
    return result;
}
