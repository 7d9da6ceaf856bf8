/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Merging layers of disks. See vm/snapshot_merge.h. The order of changes:
 *
 *   1  layers/DRIVE.ID.qcow2, with all that the layers hold; synced, and the folder of layers
 *   2  each manifest that names them: replaced by one that names the new layer
 *   3  the open images; `current`
 *   4  layers that nothing leads to are removed
 *
 * Until 4 the old layers are there, too, so a manifest or `current` may name the one or the other at any moment.
 */
#include "vm/snapshot_merge.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "vm/vm.h"

struct snapshot_merge {
    struct snapshots *snapshots;
    struct snapshot_run run;
    char name[SNAPSHOT_LAYER_NAME + 1]; /* of the new layer */
    struct image *from;                 /* the run's layers over what lies below, opened once more; owned */
    struct image *to;                   /* the new layer, over the same; owned */

    pthread_t thread;
    bool started;
    bool stop;                /* atomic: give up */
    struct loop_source event; /* an eventfd: the thread is through */
    int result;
    struct error error;
};

/* ---- the thread ---- */

/* What is in the new layer lasts. */
static int make_durable(struct snapshot_merge *merge)
{
    const struct host_dir *layers = &merge->snapshots->layers;
    int result = image_flush(merge->to);

    if (result == 0) {
        result = host_sync(layers, merge->to->file->fd, merge->name);
    }
    return result < 0 ? result : host_sync_dir(layers);
}

static int merge_layers(struct snapshot_merge *merge)
{
    int result = snapshot_copy_layers(merge->from, merge->run.count, merge->to, &merge->stop);

    if (result == 0) {
        result = make_durable(merge);
    }
    if (result < 0) {
        return error_set(&merge->error, result, "'%s': %s", merge->name, strerror(-result));
    }
    return snapshot_store_replace_layers(merge->snapshots, &merge->run, merge->name, &merge->error);
}

static void *merge_thread(void *opaque)
{
    struct snapshot_merge *merge = opaque;
    uint64_t one = 1;
    ssize_t n;

    merge->result = merge_layers(merge);
    n = write(merge->event.fd, &one, sizeof(one));
    (void)n; /* nobody else writes: there is room */
    return NULL;
}

/* ---- the VM's thread ---- */

static void merge_free(struct snapshot_merge *merge)
{
    image_close(merge->from);
    image_close(merge->to);
    if (merge->event.fd >= 0) {
        close(merge->event.fd);
    }
    free(merge);
}

/* The open images and `current` change to the new layer. */
static void take_over(struct snapshots *s, struct snapshot_merge *merge)
{
    struct snapshot_current current = s->current;

    snapshot_disks_hold(&s->chains);
    if (snapshot_disks_splice(&s->chains, &merge->run, merge->to, merge->name)) {
        merge->to = NULL; /* the chain's */
    }
    snapshot_disks_release(&s->chains);
    if (!merge->to) {
        snapshot_store_describe(s, false, &current.disks);
        snapshot_store_set_current(s, &current,
                                   NULL); /* if that fails, the old layers stay named, and stay */
    }
}

static void finish(struct snapshots *s)
{
    struct snapshot_merge *merge = s->merge;

    if (merge->started) {
        pthread_join(merge->thread, NULL);
    }
    loop_remove(&s->vm->loop, &merge->event);
    s->merge = NULL;
    snapshot_chains_update(&s->chains, &s->vm->drives);
    if (merge->result == 0) {
        take_over(s, merge);
    } else if (merge->result != -ECANCELED) {
        fprintf(stderr, "hypatia: layers of a disk could not be merged: %s\n", merge->error.text);
    }
    merge_free(merge);
    snapshot_store_sweep_layers(s);
}

/* loop_source: the thread is through. */
static void merge_calls(void *opaque, short revents)
{
    struct snapshots *s = opaque;
    bool merged;

    (void)revents;
    merged = s->merge->result == 0;
    finish(s);
    if (merged) {
        snapshot_merge_begin(s);
    }
}

static void start_thread(struct snapshot_merge *merge)
{
    sigset_t all, old;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    merge->started = pthread_create(&merge->thread, NULL, merge_thread, merge) == 0;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (!merge->started) { /* another time */
        __atomic_store_n(&merge->stop, true, __ATOMIC_RELAXED);
        merge_thread(merge);
    }
}

static int start(struct snapshots *s, const struct snapshot_run *run, struct error *error)
{
    struct snapshot_merge *merge = calloc(1, sizeof(*merge));
    int result = -ENOMEM;

    if (!merge) {
        return error_set(error, -ENOMEM, "out of memory");
    }
    *merge = (struct snapshot_merge){.snapshots = s, .run = *run};
    merge->event = (struct loop_source){
        .fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), .events = POLLIN, .ready = merge_calls, .opaque = s};
    if (merge->event.fd < 0) {
        result = error_set(error, -errno, "cannot create an eventfd: %s", strerror(errno));
    } else {
        result = snapshot_disks_open_merge(&s->chains, run, &merge->from, &merge->to, merge->name, error);
    }
    if (result < 0) {
        merge_free(merge);
        return result;
    }
    s->merge = merge;
    loop_add(&s->vm->loop, &merge->event);
    start_thread(merge);
    return 0;
}

/* The longest run of layers of a chain that no snapshot lies between. */
static bool find_run(struct snapshots *s, const struct snapshot_chain *chain, struct snapshot_run *run)
{
    bool needed[SNAPSHOT_LAYERS_MAX];
    unsigned frozen = chain->now.layers ? chain->now.layers - 1 : 0, first = 0;

    run->count = 0;
    snprintf(run->drive, sizeof(run->drive), "%s", chain->now.id);
    if (chain->disk->snapshot || frozen < 2 || !snapshot_store_boundaries(s, &chain->now, needed)) {
        return false;
    }
    for (unsigned i = 0; i < frozen; i++) {
        if (i + 1 - first > run->count) {
            run->first = first;
            run->count = i + 1 - first;
        }
        if (needed[i]) {
            first = i + 1;
        }
    }
    memcpy(run->layer, chain->now.layer + run->first, run->count * sizeof(run->layer[0]));
    return run->count >= 2;
}

/* Of the disks with so many layers, merge some of one. False: there is nothing to merge. */
static bool begin(struct snapshots *s, unsigned least, int *result, struct error *error)
{
    struct snapshot_run run;

    *result = 0;
    if (!s->open || s->shared || s->job || s->merge) {
        return false;
    }
    snapshot_chains_update(&s->chains, &s->vm->drives);
    for (unsigned i = 0; i < s->chains.count; i++) {
        const struct snapshot_chain *chain = &s->chains.chain[i];

        if (chain->now.layers >= least && find_run(s, chain, &run)) {
            *result = start(s, &run, error);
            return *result == 0;
        }
    }
    return false;
}

void snapshot_merge_begin(struct snapshots *s)
{
    int result;

    begin(s, SNAPSHOT_MERGE_AT, &result, NULL); /* if it cannot begin now, the next save tries again */
}

void snapshot_merge_give_up(struct snapshots *s)
{
    if (s->merge) {
        __atomic_store_n(&s->merge->stop, true, __ATOMIC_RELAXED);
        finish(s);
    }
}

void snapshot_merge_give_way(struct snapshots *s)
{
    for (unsigned i = 0; s->merge && i < s->chains.count; i++) {
        if (s->chains.chain[i].now.layers >= SNAPSHOT_MERGE_URGENT) {
            finish(s);
        }
    }
    snapshot_merge_give_up(s);
}

int snapshot_merge(struct vm *vm, struct error *error)
{
    struct snapshots *s;
    int result = snapshot_store_get(vm, &s, error);

    if (result == 0) {
        result = snapshot_store_open(s, false, error);
    }
    if (result < 0) {
        return result;
    }
    snapshot_collect(s, NULL);
    while (begin(s, 0, &result, error)) {
        struct snapshot_merge *merge = s->merge;

        if (merge->started) {
            pthread_join(merge->thread, NULL);
            merge->started = false;
        }
        result = merge->result < 0 ? error_set(error, merge->result, "%s", merge->error.text) : 0;
        finish(s);
        if (result < 0) {
            return result;
        }
    }
    return result;
}
