/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A save's second half: a thread writes what the first half has taken a picture of, while the guest goes on.
 */
#ifndef VM_SNAPSHOT_JOB_H
#define VM_SNAPSHOT_JOB_H

#include <pthread.h>

#include "base/snap.h"
#include "vm/snapshot_store.h"

struct snapshot_job {
    struct snapshots *snapshots; /* only what does not change meanwhile: folders, path */
    struct host_dir dir;         /* the folder `new` */
    struct snapshot_manifest manifest;
    struct snap_writer state;
    struct snapshot_sweep *sweep;
    struct snapshot_current current; /* to be published at the end */
    int frozen[SNAPSHOT_DISKS_MAX];  /* descriptors of images that must be durable first; owned */
    unsigned frozen_count;
    struct snapshot_ram pages; /* where they are; once written */
    struct snapshot_sweep_figures figures;
    uint64_t start_ns, end_ns; /* host time */
    pthread_t thread;
    bool started;            /* there is a thread */
    struct loop_source done; /* an eventfd that the writer signals at its end */
    int result;
    struct error error;
};

/* Write it all. On any thread. */
void snapshot_job_run(struct snapshot_job *job);
/* What was made in the folder `new` goes. */
void snapshot_job_free(struct snapshot_job *job);

#endif
