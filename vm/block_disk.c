/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A drive of a VM and its worker thread. See vm/block_disk.h.
 */
#include "vm/block_disk.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

enum { HOST_QUEUED, HOST_ACTIVE, HOST_DONE };
enum { SETTLE_SECONDS = 1 };

static struct disk *disk_of(struct block *block)
{
    return CONTAINER_OF(block, struct disk, block);
}

/* ---- lists ---- */

static void list_append(struct block_request **list, struct block_request *request)
{
    while (*list) {
        list = &(*list)->host_next;
    }
    request->host_next = NULL;
    *list = request;
}

static void list_remove(struct block_request **list, struct block_request *request)
{
    while (*list && *list != request) {
        list = &(*list)->host_next;
    }
    if (*list) {
        *list = request->host_next;
    }
}

/* ---- the worker ---- */

static int disk_transfer(struct disk *disk, const struct block_request *request)
{
    struct image *image = disk->image;
    int result;

    switch (request->op) {
    case BLOCK_READ:
        return image_read(image, request->offset, request->buffer, request->length);
    case BLOCK_WRITE:
        result = image_write(image, request->offset, request->buffer, request->length);
        if (result == 0 && (request->fua || disk->cache == DISK_CACHE_WRITETHROUGH)) {
            result = image_flush(image);
        }
        return result;
    case BLOCK_DISCARD:
        return disk->ignore_discard ? 0 : image_discard(image, request->offset, request->length);
    case BLOCK_FLUSH:
        break;
    }
    return image_flush(image);
}

/* ---- a bug of ours in the image's code stops the VM, and the VM's thread is told ---- */

struct disk_job {
    struct disk *disk;
    const struct block_request *request; /* NULL: settle */
    int result;
};

static void disk_do_job(void *opaque)
{
    struct disk_job *job = opaque;

    if (job->request) {
        job->result = disk_transfer(job->disk, job->request);
    } else {
        image_settle(
            job->disk->image); /* an error stays with the image, and the next flush tells the guest */
    }
}

/* Without the mutex. */
static int disk_contain(struct disk *disk, struct containment *containment,
                        const struct block_request *request)
{
    struct disk_job job = {.disk = disk, .request = request};
    const char *spreads;

    if (disk->broken) {
        return -EIO;
    }
    if (containment_run(containment, disk_do_job, &job)) {
        return job.result;
    }
    spreads = containment_spreads(&containment->report);
    if (spreads) {
        containment_give_up(&containment->report, spreads);
    }
    disk->report = containment->report;
    __atomic_store_n(&disk->broken, true, __ATOMIC_RELEASE);
    return -EIO;
}

/* On the VM's thread: it goes no further than this. Elsewhere (nobody runs the VM) requests fail. */
static void disk_check_broken(const struct disk *disk)
{
    if (__atomic_load_n(&disk->broken, __ATOMIC_ACQUIRE)) {
        containment_adopt(&disk->report);
    }
}

/* With the mutex, which is released meanwhile. */
static void disk_work_on(struct disk *disk, struct containment *containment, struct block_request *request)
{
    int result;

    disk->busy = true;
    request->host_state = HOST_ACTIVE;
    pthread_mutex_unlock(&disk->mutex);
    result = disk_contain(disk, containment, request);
    pthread_mutex_lock(&disk->mutex);
    disk->busy = false;
    disk->unsettled |= request->op == BLOCK_WRITE || request->op == BLOCK_DISCARD;
    disk->last_error = result < 0 ? result : disk->last_error;
    request->host_result = result;
    request->host_state = HOST_DONE;
    list_append(&disk->done, request);
    __atomic_add_fetch(&disk->done_count, 1, __ATOMIC_RELEASE);
    pthread_cond_broadcast(&disk->idle);
}

static void disk_settle(struct disk *disk, struct containment *containment)
{
    disk->busy = true;
    disk->unsettled = false;
    pthread_mutex_unlock(&disk->mutex);
    disk_contain(disk, containment, NULL);
    pthread_mutex_lock(&disk->mutex);
    disk->busy = false;
    pthread_cond_broadcast(&disk->idle);
}

/* Sleep until there may be something to do; settle the image when nothing came for a while. */
static void disk_sleep(struct disk *disk, struct containment *containment)
{
    struct timespec until;

    if (!disk->unsettled || disk->held) {
        pthread_cond_wait(&disk->work, &disk->mutex);
        return;
    }
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += SETTLE_SECONDS;
    if (pthread_cond_timedwait(&disk->work, &disk->mutex, &until) == ETIMEDOUT && !disk->queue &&
        !disk->held) {
        disk_settle(disk, containment);
    }
}

static void *disk_worker(void *opaque)
{
    struct disk *disk = opaque;
    struct containment containment;

    containment_open(&containment, CONTAINMENT_PATIENCE_NS, NULL); /* without it, it works all the same */
    pthread_mutex_lock(&disk->mutex);
    while (disk->queue || !disk->stop) {
        struct block_request *request = disk->held ? NULL : disk->queue;

        if (!request) {
            disk_sleep(disk, &containment);
            continue;
        }
        disk->queue = request->host_next;
        disk_work_on(disk, &containment, request);
        if (disk->notify && disk->block.clock->policy == CLOCK_REAL_TIME) {
            disk->notify(disk->opaque); /* with the mutex: disk_silence() waits for it */
        }
    }
    pthread_mutex_unlock(&disk->mutex);
    containment_close(&containment);
    return NULL;
}

/* ---- what the block layer asks for ---- */

/* With the first request, so that a process may still go to the background after its VM was made. Signals are the VM's
 * thread's: the worker blocks them all, but for faults of its own. */
static int disk_start_thread(struct disk *disk)
{
    sigset_t all, old;
    int result;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    result = pthread_create(&disk->thread, NULL, disk_worker, disk);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    disk->started = result == 0;
    return -result;
}

static void disk_start(struct block *block, struct block_request *request)
{
    struct disk *disk = disk_of(block);

    if (!disk->started && disk_start_thread(disk) < 0) {
        request->host_state = HOST_DONE;
        request->host_result = -EIO;
        list_append(&disk->done, request);
        __atomic_add_fetch(&disk->done_count, 1, __ATOMIC_RELEASE);
        return;
    }
    pthread_mutex_lock(&disk->mutex);
    request->host_state = HOST_QUEUED;
    list_append(&disk->queue, request);
    pthread_cond_signal(&disk->work);
    pthread_mutex_unlock(&disk->mutex);
}

/* With the mutex: sleep until the worker is done with it, and take it off the list. */
static void disk_await(struct disk *disk, struct block_request *request)
{
    while (request->host_state != HOST_DONE) {
        pthread_cond_wait(&disk->idle, &disk->mutex);
    }
    list_remove(&disk->done, request);
    __atomic_sub_fetch(&disk->done_count, 1, __ATOMIC_RELAXED);
}

static void disk_wait(struct block *block, struct block_request *request)
{
    struct disk *disk = disk_of(block);

    pthread_mutex_lock(&disk->mutex);
    disk_await(disk, request);
    pthread_mutex_unlock(&disk->mutex);
    disk_check_broken(disk);
    block_request_finished(request, request->host_result);
}

static void disk_drop(struct block *block, struct block_request *request)
{
    struct disk *disk = disk_of(block);

    pthread_mutex_lock(&disk->mutex);
    if (request->host_state == HOST_QUEUED && request->op == BLOCK_READ) {
        list_remove(&disk->queue, request);
    } else {
        disk_await(disk, request);
    }
    pthread_mutex_unlock(&disk->mutex);
}

/* A callback may cancel others, so each is taken from the list by itself. */
void disk_serve(struct disk *disk)
{
    disk_check_broken(disk);
    while (__atomic_load_n(&disk->done_count, __ATOMIC_ACQUIRE) > 0) {
        struct block_request *request;

        pthread_mutex_lock(&disk->mutex);
        request = disk->done;
        disk->done = request->host_next;
        __atomic_sub_fetch(&disk->done_count, 1, __ATOMIC_RELAXED);
        pthread_mutex_unlock(&disk->mutex);
        block_request_finished(request, request->host_result);
    }
}

void disk_hold(struct disk *disk)
{
    block_settle(&disk->block);
    pthread_mutex_lock(&disk->mutex);
    while (disk->busy) {
        pthread_cond_wait(&disk->idle, &disk->mutex);
    }
    disk->held = true;
    pthread_mutex_unlock(&disk->mutex);
}

void disk_release(struct disk *disk)
{
    pthread_mutex_lock(&disk->mutex);
    disk->held = false;
    pthread_cond_signal(&disk->work);
    pthread_mutex_unlock(&disk->mutex);
}

void disk_silence(struct disk *disk)
{
    pthread_mutex_lock(&disk->mutex);
    disk->notify = NULL;
    pthread_mutex_unlock(&disk->mutex);
}

/* ---- media ---- */

static int disk_swap(struct disk *disk, struct image *image)
{
    struct image *old;
    int result = 0;

    block_drain(&disk->block);
    disk_hold(disk);
    old = disk->image;
    disk->image = image;
    disk->unsettled = false;
    disk_release(disk);
    if (old) {
        result = disk->snapshot ? 0 : image_flush(old);
        image_close(old);
    }
    block_set_medium(&disk->block, image ? image->size : 0, image != NULL, image ? !image->writable : true);
    return result;
}

int disk_change(struct disk *disk, struct image *image)
{
    int result = disk_swap(disk, image);

    block_notify_medium_changed(&disk->block);
    return result;
}

static void disk_guest_eject(struct block *block)
{
    disk_swap(disk_of(block), NULL);
}

static void disk_destroy_block(struct block *block)
{
    disk_destroy(disk_of(block));
}

static const struct block_ops disk_ops = {
    .start = disk_start,
    .wait = disk_wait,
    .drop = disk_drop,
    .eject = disk_guest_eject,
    .destroy = disk_destroy_block,
};

/* ---- life ---- */

struct disk *disk_create(const char *id, struct clock *clock, bool removable, void (*notify)(void *opaque),
                         void *opaque, struct error *error)
{
    struct disk *disk = calloc(1, sizeof(*disk));

    if (!disk) {
        error_set(error, -ENOMEM, "out of memory");
        return NULL;
    }
    disk->block.ops = &disk_ops;
    disk->block.clock = clock;
    disk->block.removable = removable;
    snprintf(disk->block.id, sizeof(disk->block.id), "%s", id);
    disk->notify = notify;
    disk->opaque = opaque;
    pthread_mutex_init(&disk->mutex, NULL);
    pthread_cond_init(&disk->work, NULL);
    pthread_cond_init(&disk->idle, NULL);
    return disk;
}

void disk_destroy(struct disk *disk)
{
    if (!disk) {
        return;
    }
    while (disk->block.requests) {
        block_cancel(disk->block.requests);
    }
    disk->block.front_ops = NULL;
    disk_swap(disk, NULL);
    if (disk->started) {
        pthread_mutex_lock(&disk->mutex);
        disk->stop = true;
        pthread_cond_signal(&disk->work);
        pthread_mutex_unlock(&disk->mutex);
        pthread_join(disk->thread, NULL);
    }
    pthread_cond_destroy(&disk->idle);
    pthread_cond_destroy(&disk->work);
    pthread_mutex_destroy(&disk->mutex);
    free(disk);
}

int disk_last_error(struct disk *disk)
{
    int result;

    pthread_mutex_lock(&disk->mutex);
    result = disk->last_error;
    pthread_mutex_unlock(&disk->mutex);
    return result;
}
