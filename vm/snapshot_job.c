/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Writing a snapshot. The order is what makes it crash-safe:
 *
 *   1  layers/DRIVE.ID.qcow2, an empty layer for each disk, synced; the folder of layers is synced
 *   2  `current` names the layers, which changes nothing while they are empty
 *      ... the picture is taken: from now on the guest writes to the layers ...
 *   3  new/ram-ID, new/pages, new/state, each to its end, each synced
 *   4  the frozen images of disks are synced
 *   5  new/manifest, with length and checksum of everything else; synced
 *   6  the folder `new` is synced: its names last
 *   7  `new` is renamed to snapshots/NAME: from this moment on there is a snapshot
 *   8  the folder snapshots is synced: it lasts
 *   9  `current` says that what runs comes from it
 *
 * The layers are in `current` before the guest can write to one: whatever it flushes lasts, though the snapshot may yet
 * fail. Then it runs on with one layer more.
 */
#include "vm/snapshot_job.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>
#include <xxhash.h>
#include <zstd.h>

#include "vm/pacer.h"

/* ---- preparing ---- */

/* The folder `new`, with the parent's files of pages in it if there are some to build on. */
static int make_folder(struct snapshot_job *job)
{
    struct snapshots *s = job->snapshots;
    const struct snapshot_ram *parent = &s->tracker.parent;
    struct host_dir from;
    int result = host_remove_dir(&s->root, "new");

    if (result == 0) {
        result = host_mkdir(&s->root, "new");
    }
    if (result == 0) {
        result = host_dir_open(&job->dir, &s->root, "new", s->hook);
    }
    if (result < 0) {
        return error_set(&job->error, result, "cannot make a folder in '%s': %s", s->path, strerror(-result));
    }
    job->incremental = parent->place && parent->files < SNAPSHOT_RAM_FILES && s->current.line.count &&
                       host_dir_open(&from, &s->list, s->current.line.ancestor[0].name, s->hook) == 0;
    if (job->incremental) {
        for (unsigned i = 0; i < parent->files && job->incremental; i++) {
            job->incremental = host_link(&from, &job->dir, parent->file[i].name) == 0;
        }
        host_dir_close(&from);
        for (unsigned i = 0; i < parent->files && !job->incremental; i++) {
            host_remove(&job->dir, parent->file[i].name); /* no links here: everything is saved again */
        }
    }
    return 0;
}

/* New layers, and `current` with them. */
static int prepare_disks(struct snapshot_job *job)
{
    struct snapshots *s = job->snapshots;
    struct snapshot_current current = s->current;
    int result =
        snapshot_kept_create(&s->chains, job->manifest.self.id, job->kept, &job->kept_count, &job->error);

    if (result == 0) {
        result = snapshot_disks_plan_save(&s->chains, job->manifest.self.id, &job->error);
    }
    if (result < 0 || s->chains.count == job->kept_count) {
        return result;
    }
    snapshot_store_describe(s, true, &current.disks);
    return snapshot_current_write(&current, &s->root, &job->error);
}

int snapshot_job_prepare(struct snapshot_job *job)
{
    int result = make_folder(job);

    if (result == 0) {
        job->sweep = snapshot_sweep_create(&job->snapshots->tracker);
        result = job->sweep ? 0 : error_set(&job->error, -ENOMEM, "out of memory");
    }
    if (result == 0) {
        result = prepare_disks(job);
    }
    if (result < 0) {
        snapshot_job_undo(job);
    }
    return result;
}

/* Their layers lead to nothing. */
static void remove_kept(struct snapshot_job *job)
{
    snapshot_kept_close(job->kept, job->kept_count);
    for (unsigned i = 0; i < job->kept_count; i++) {
        host_remove(&job->snapshots->layers, job->kept[i].name);
    }
}

void snapshot_job_undo(struct snapshot_job *job)
{
    struct snapshots *s = job->snapshots;

    if (s->chains.count > job->kept_count) {
        snapshot_current_write(&s->current, &s->root, NULL);
    }
    snapshot_disks_abandon(&s->chains);
    remove_kept(job);
    host_remove_dir(&s->root, "new");
}

/* ---- writing ---- */

static int write_section(struct snapshot_job *job, const char *name, const void *bytes, size_t length,
                         struct snapshot_section *section)
{
    int fd = host_create(&job->dir, name);
    int result = MIN(fd, 0);

    if (result == 0) {
        result = host_write(&job->dir, fd, name, bytes, length);
    }
    if (result == 0) {
        result = host_sync(&job->dir, fd, name);
    }
    if (fd >= 0) {
        close(fd);
    }
    if (section) {
        *section = (struct snapshot_section){.length = length, .checksum = XXH3_64bits(bytes, length)};
    }
    return result < 0 ? error_set(&job->error, result, "cannot write '%s': %s", name, strerror(-result)) : 0;
}

static int write_memory(struct snapshot_job *job)
{
    struct snapshot_manifest *manifest = &job->manifest;
    char name[SNAPSHOT_RAM_NAME];
    uint8_t *bytes;
    size_t length = 0;
    int result;

    snprintf(name, sizeof(name), "ram-%s", manifest->self.id);
    result = snapshot_sweep_write(job->sweep, &job->dir, name, &job->pages, &job->figures, &job->error);
    if (result < 0) {
        return result;
    }
    manifest->files = job->pages.files;
    memcpy(manifest->file, job->pages.file, sizeof(manifest->file));
    manifest->saved_pages = job->figures.pages;
    manifest->saved_bytes = job->figures.bytes;
    bytes = snapshot_ram_pack(&job->pages, &length);
    if (!bytes) {
        return error_set(&job->error, -ENOMEM, "out of memory");
    }
    result = write_section(job, "pages", bytes, length, &manifest->pages);
    free(bytes);
    return result;
}

static int write_state(struct snapshot_job *job)
{
    size_t bound = ZSTD_compressBound(job->state.length), length;
    uint8_t *bytes = malloc(bound);
    int result;

    length = bytes ? ZSTD_compress(bytes, bound, job->state.data, job->state.length, 1) : 0;
    if (!bytes || ZSTD_isError(length)) {
        result = error_set(&job->error, -ENOMEM, "out of memory");
    } else {
        job->manifest.state_size = job->state.length;
        result = write_section(job, "state", bytes, length, &job->manifest.state);
    }
    free(bytes);
    return result;
}

static int sync_disks(struct snapshot_job *job)
{
    for (unsigned i = 0; i < job->frozen_count; i++) {
        int result = host_ask(&job->dir, SNAPSHOT_SYNC, "disk");

        if (result == 0 && fdatasync(job->frozen[i]) < 0) {
            result = -errno;
        }
        if (result < 0) {
            return error_set(&job->error, result, "cannot write a disk's image: %s", strerror(-result));
        }
    }
    return 0;
}

static int write_manifest(struct snapshot_job *job)
{
    size_t length = 0;
    char *text = snapshot_manifest_print(&job->manifest, &length);
    int result = text ? write_section(job, "manifest", text, length, NULL)
                      : error_set(&job->error, -ENOMEM, "out of memory");

    free(text);
    return result;
}

static int publish(struct snapshot_job *job)
{
    const struct snapshots *s = job->snapshots;
    int result = host_sync_dir(&job->dir);

    if (result == 0) {
        result = host_rename(&s->root, "new", &s->list, job->manifest.self.name);
    }
    if (result == 0) {
        result = host_sync_dir(&s->list);
        if (result < 0) { /* whether it is there after a crash is not known: take it back */
            host_rename(&s->list, job->manifest.self.name, &s->root, "new");
        }
    }
    return result < 0
               ? error_set(&job->error, result, "cannot put the snapshot in place: %s", strerror(-result))
               : 0;
}

/* Is there anything that goes on in the folder? A VM without disks has its place in the tree there, too. */
static bool keeps_disks(const struct snapshot_job *job)
{
    return job->kept_count == 0 || job->current.disks.count > 0;
}

void snapshot_job_write(struct snapshot_job *job)
{
    int result = write_memory(job);

    if (result == 0) {
        result = write_state(job);
    }
    if (result == 0) {
        result = sync_disks(job);
    }
    if (result == 0) {
        result = snapshot_kept_write(job->kept, job->kept_count, &job->snapshots->layers, &job->error);
    }
    if (result == 0) {
        result = write_manifest(job);
    }
    if (result == 0) {
        result = publish(job);
    }
    if (result == 0) {
        /* If this fails, the snapshot is there all the same; only the next one's place in the tree is not told. */
        if (keeps_disks(job)) {
            snapshot_current_write(&job->current, &job->snapshots->root, NULL);
        }
    } else {
        host_remove_dir(&job->snapshots->root, "new");
        remove_kept(job);
    }
    job->result = result;
    job->end_ns = pacer_host_now();
}

void snapshot_job_free(struct snapshot_job *job)
{
    if (!job) {
        return;
    }
    snapshot_sweep_end(job->sweep);
    snapshot_ram_fini(&job->pages);
    snapshot_kept_close(job->kept, job->kept_count);
    for (unsigned i = 0; i < job->frozen_count; i++) {
        close(job->frozen[i]);
    }
    if (job->event.fd >= 0) {
        close(job->event.fd);
    }
    pthread_mutex_destroy(&job->mutex);
    pthread_cond_destroy(&job->changed);
    snap_writer_fini(&job->state);
    snapshot_manifest_fini(&job->manifest);
    host_dir_close(&job->dir);
    free(job);
}
