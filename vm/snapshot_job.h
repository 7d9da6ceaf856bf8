/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A save: what a thread does beside the running guest, and what the VM's thread does in between.
 *
 *   the job's thread      PREPARING             WRITING .............. OVER
 *                                  \           /                         \
 *   the VM's thread                 PREPARED: the guest pauses            collects
 *
 * The folder, links to the parent's pages, new layers for the disks and the memory for the picture are made while the guest
 * runs; only the picture itself is taken while it stands still. snapshot_save.c has the VM's half, snapshot_job.c the
 * thread's.
 */
#ifndef VM_SNAPSHOT_JOB_H
#define VM_SNAPSHOT_JOB_H

#include <pthread.h>

#include "base/snap.h"
#include "vm/snapshot_store.h"

enum snapshot_phase { SNAPSHOT_PREPARING, SNAPSHOT_PREPARED, SNAPSHOT_WRITING, SNAPSHOT_OVER };

struct snapshot_job {
    struct snapshots *snapshots;
    struct host_dir dir; /* the folder `new` */
    bool incremental;    /* the parent's files are in it */
    struct snapshot_manifest manifest;
    struct snap_writer state;
    struct snapshot_sweep *sweep;
    struct snapshot_current current; /* to be published at the end */
    int frozen[SNAPSHOT_DISKS_MAX];  /* descriptors of images that must be durable first; owned */
    unsigned frozen_count;
    struct snapshot_kept kept[SNAPSHOT_DISKS_MAX]; /* of drives with temporary overlays */
    unsigned kept_count;
    struct snapshot_ram pages; /* where they are; once written */
    struct snapshot_sweep_figures figures;
    uint64_t start_ns, end_ns; /* host time */

    pthread_t thread;
    bool started; /* there is a thread */
    pthread_mutex_t mutex;
    pthread_cond_t changed;    /* the phase did */
    enum snapshot_phase phase; /* under the mutex */
    struct loop_source event;  /* an eventfd: the thread wants the VM's */

    int result; /* of whoever worked last */
    struct error error;
};

/* Everything up to the picture: on any thread. On failure nothing is left behind. */
int snapshot_job_prepare(struct snapshot_job *job);
/* The preparations are not needed. */
void snapshot_job_undo(struct snapshot_job *job);
/* Everything after it. */
void snapshot_job_write(struct snapshot_job *job);
void snapshot_job_free(struct snapshot_job *job);

#endif
