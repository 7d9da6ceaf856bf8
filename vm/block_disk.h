/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A drive of a VM: the struct block its controller sees, the image in it, and the worker thread that does the host
 * I/O beside the guest.
 *
 *   VM's thread                                worker
 *   block_submit --> queue ------------------> takes the oldest, reads or writes the image
 *   disk_serve <---- done list <-------------- puts it there, wakes the VM
 *
 * One thread a drive, requests one after the other: that is the order base/block.h promises, and images need no
 * locks. The worker sleeps while there is nothing to do; a second after the last write it writes what the image
 * format still keeps in memory, so that a crash loses little even of what the guest never flushed.
 */
#ifndef VM_BLOCK_DISK_H
#define VM_BLOCK_DISK_H

#include <pthread.h>

#include "base/block.h"
#include "vm/block_image.h"
#include "vm/containment.h"

enum disk_cache {
    DISK_CACHE_WRITEBACK,    /* flushed when the guest says so */
    DISK_CACHE_WRITETHROUGH, /* every write is */
    DISK_CACHE_UNSAFE,       /* nothing is, until the end */
};

struct disk {
    struct block block;  /* first */
    struct image *image; /* owned; NULL: no medium. The worker's, except while it is held */
    enum disk_cache cache;
    bool ignore_discard;
    bool snapshot;    /* the image is a temporary overlay */
    bool any_backing; /* for media put in later */

    /* Called by the worker, with the mutex, when a request is done and nobody waits for it (real time only); NULL: nobody
     * is told any more. */
    void (*notify)(void *opaque);
    void *opaque;

    bool started; /* there is a thread: from the first request on */
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t work; /* for the worker: there is a request, or the end */
    pthread_cond_t idle; /* for the VM's thread: a request is done, or the worker is idle */
    /* Under the mutex. */
    struct block_request *queue, *done; /* oldest first */
    bool busy;                          /* the worker uses the image */
    bool held;                          /* the VM's thread does */
    bool stop;
    bool unsettled; /* written to since the last settling */
    int last_error; /* of a request, for `info block`; 0: none yet */
    bool broken;    /* a bug of ours in the image's code: never used again (vm/containment.h); atomic */
    struct containment_report report;
    int done_count; /* length of `done`; atomic, to be looked at without the mutex */
};

/* A drive without a medium. NULL with the text. */
struct disk *disk_create(const char *id, struct clock *clock, bool removable, void (*notify)(void *opaque),
                         void *opaque, struct error *error);
/* Flushes and closes the image. Controllers have cancelled their requests. NULL is legal. */
void disk_destroy(struct disk *disk);

/* Put an image in (owned from now on), or take the one there is out (NULL). Completes what is under way first, and
 * tells the controller. -errno: what was written to the old image could not all be saved. */
int disk_change(struct disk *disk, struct image *image);

/* Complete requests the worker is done with; between slices of guest execution, in real time. Cheap. */
void disk_serve(struct disk *disk);

/* Keep the worker away from the image, with nothing under way at the host; then give it back. */
void disk_hold(struct disk *disk);
void disk_release(struct disk *disk);

/* `notify` has been called for the last time, and come back. Whom it tells is about to go. */
void disk_silence(struct disk *disk);

/* The host's last error on a request, 0 if there was none. */
int disk_last_error(struct disk *disk);

#endif
