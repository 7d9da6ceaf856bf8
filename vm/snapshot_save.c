/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Saving a snapshot, on the VM's thread: everything up to the moment when the guest may go on. See vm/snapshot.h, and
 * vm/snapshot_job.c for what follows.
 *
 *   prepare   the folder, links to the parent's pages, an empty layer for each disk; `current` names the layers already,
 *             which changes nothing as long as they are empty. Slow things, and all that can fail
 *   pause     requests to disks come to rest; state is copied; frames are noted and watched; layers take the place of images
 *   go on     a thread writes
 *
 * The layers are in `current` before the guest can write to one: whatever it flushes lasts, though the snapshot may yet
 * fail. Then it runs on with one layer more.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "vm/snapshot_job.h"
#include "vm/snapshot_state.h"
#include "vm/vm.h"

/* ---- the end of a job ---- */

int snapshot_collect(struct snapshots *s, struct error *error)
{
    struct snapshot_job *job = s->job;
    int result = 0;

    if (!job) {
        return 0;
    }
    if (job->started) {
        pthread_join(job->thread, NULL);
    }
    loop_remove(&s->vm->loop, &job->done);
    if (job->result == 0) {
        snapshot_tracker_set(&s->tracker, &job->pages);
        s->current = job->current;
        s->figures.written = true;
        s->figures.save_ns = job->end_ns - job->start_ns;
        s->figures.pages = job->figures.pages;
        s->figures.bytes = job->figures.bytes;
        s->figures.copies = job->figures.copies;
    } else {
        result = error_set(error, job->result, "snapshot '%s': %s", job->manifest.self.name, job->error.text);
    }
    snapshot_job_free(job);
    s->job = NULL;
    return result;
}

/* loop_source: the writer is through. */
static void job_done(void *opaque, short revents)
{
    struct snapshots *s = opaque;
    struct error error;

    (void)revents;
    if (snapshot_collect(s, &error) < 0) {
        fprintf(stderr, "hypatia: %s\n", error.text);
    }
}

static void *job_thread(void *opaque)
{
    struct snapshot_job *job = opaque;
    uint64_t one = 1;
    ssize_t n;

    snapshot_job_run(job);
    n = write(job->done.fd, &one, sizeof(one));
    (void)n; /* nobody else writes: there is room */
    return NULL;
}

/* Without a thread the VM's own does the work: slower, and as good. */
static void job_start(struct snapshot_job *job)
{
    sigset_t all, old;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    job->started = pthread_create(&job->thread, NULL, job_thread, job) == 0;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (!job->started) {
        job_thread(job);
    }
}

/* ---- preparing ---- */

static void default_name(char *name, size_t size)
{
    time_t now = time(NULL);
    struct tm broken;

    if (!localtime_r(&now, &broken) || strftime(name, size, "vm-%Y%m%d-%H%M%S", &broken) == 0) {
        snprintf(name, size, "vm-%lld", (long long)now);
    }
}

static int check_new_name(struct snapshots *s, const char *name, struct error *error)
{
    struct host_dir dir;
    int result = snapshot_check_name(name, error);

    if (result == 0) {
        result = host_dir_open(&dir, &s->list, name, NULL);
        if (result == 0) {
            host_dir_close(&dir);
            return error_set(error, -EEXIST, "there is a snapshot '%s' already (delvm %s removes it)", name,
                             name);
        }
        result =
            result == -ENOENT ? 0 : error_set(error, result, "cannot use '%s': %s", name, strerror(-result));
    }
    return result;
}

static int describe(struct snapshot_job *job, const char *name, const char *note, struct error *error)
{
    struct snapshot_manifest *manifest = &job->manifest;
    struct vm *vm = job->snapshots->vm;

    snapshot_make_id(manifest->self.id);
    snprintf(manifest->self.name, sizeof(manifest->self.name), "%s", name);
    snprintf(manifest->note, sizeof(manifest->note), "%s", note ? note : "");
    manifest->time = (int64_t)time(NULL);
    manifest->line = job->snapshots->current.line;
    manifest->memory = vm->ram.size;
    manifest->machine = snapshot_fingerprint(vm);
    return manifest->machine ? 0 : error_set(error, -ENOMEM, "out of memory");
}

/* The folder `new`, with the parent's files of pages in it if the next save can build on them. */
static int make_folder(struct snapshot_job *job, bool *incremental, struct error *error)
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
        return error_set(error, result, "cannot make a folder in '%s': %s", s->path, strerror(-result));
    }
    *incremental = parent->place && parent->files < SNAPSHOT_RAM_FILES && s->current.line.count &&
                   host_dir_open(&from, &s->list, s->current.line.ancestor[0].name, s->hook) == 0;
    if (*incremental) {
        for (unsigned i = 0; i < parent->files && *incremental; i++) {
            *incremental = host_link(&from, &job->dir, parent->file[i].name) == 0;
        }
        host_dir_close(&from);
        for (unsigned i = 0; i < parent->files && !*incremental; i++) {
            host_remove(&job->dir, parent->file[i].name); /* no links here: everything is saved again */
        }
    }
    return 0;
}

/* New layers, and `current` with them. */
static int prepare_disks(struct snapshot_job *job, struct error *error)
{
    struct snapshots *s = job->snapshots;
    struct snapshot_current current = s->current;
    int result;

    snapshot_chains_update(&s->chains, &s->vm->drives);
    result = snapshot_disks_plan_save(&s->chains, job->manifest.self.id, error);
    if (result < 0 || s->chains.count == 0) {
        return result;
    }
    snapshot_chains_describe(&s->chains, true, &current.disks);
    result = snapshot_current_write(&current, &s->root, error);
    if (result < 0) {
        snapshot_current_write(&s->current, &s->root, NULL);
        snapshot_disks_abandon(&s->chains);
    }
    return result;
}

/* Nothing has happened. */
static void undo_preparations(struct snapshot_job *job)
{
    struct snapshots *s = job->snapshots;

    if (s->chains.count) {
        snapshot_current_write(&s->current, &s->root, NULL);
    }
    snapshot_disks_abandon(&s->chains);
}

/* ---- the pause ---- */

static void note_frozen(struct snapshot_job *job)
{
    struct snapshot_chains *chains = &job->snapshots->chains;

    for (unsigned i = 0; i < chains->count; i++) {
        int fd = chains->chain[i].top ? dup(chains->chain[i].top->file->fd) : -1;

        if (fd >= 0) {
            job->frozen[job->frozen_count++] = fd;
        }
    }
}

static int take_picture(struct snapshot_job *job, bool incremental, struct error *error)
{
    struct snapshots *s = job->snapshots;
    struct vm *vm = s->vm;
    int result = snapshot_disks_settle(&s->chains, error);

    if (result < 0) {
        return result;
    }
    snapshot_state_save(&job->state, vm);
    if (job->state.failed) {
        return error_set(error, -ENOMEM, "out of memory");
    }
    job->manifest.guest_ns = clock_now(&vm->clock);
    job->sweep = snapshot_sweep_begin(&s->tracker, incremental);
    if (!job->sweep) {
        return error_set(error, -ENOMEM, "out of memory");
    }
    vcpu_flush_tlb(vm->cpu, false);
    snapshot_disks_exchange(&s->chains);
    snapshot_disks_freeze(&s->chains);
    snapshot_chains_describe(&s->chains, true, &job->manifest.disks);
    snapshot_chains_describe(&s->chains, false, &job->current.disks);
    note_frozen(job);
    snapshot_disks_commit(&s->chains);
    s->current.disks = job->current.disks;
    return 0;
}

static int pause_and_take(struct snapshot_job *job, bool incremental, struct error *error)
{
    struct snapshots *s = job->snapshots;
    uint64_t start = pacer_host_now();
    int result;

    snapshot_disks_hold(&s->chains);
    result = take_picture(job, incremental, error);
    snapshot_disks_release(&s->chains);
    s->figures.pause_ns = pacer_host_now() - start;
    return result;
}

/* ---- all of it ---- */

static int begin_job(struct snapshot_job *job, const char *name, const char *note, struct error *error)
{
    struct snapshots *s = job->snapshots;
    bool incremental = false;
    int result = describe(job, name, note, error);

    if (result == 0) {
        result = make_folder(job, &incremental, error);
    }
    if (result == 0) {
        result = prepare_disks(job, error);
    }
    if (result < 0) {
        return result;
    }
    snapshot_line_extend(&job->current.line, &s->current.line, &job->manifest.self);
    result = pause_and_take(job, incremental, error);
    if (result < 0) {
        undo_preparations(job);
    }
    return result;
}

static int save(struct snapshots *s, const char *name, const char *note, struct error *error)
{
    struct snapshot_job *job = calloc(1, sizeof(*job));
    int result;

    if (!job) {
        return error_set(error, -ENOMEM, "out of memory");
    }
    job->snapshots = s;
    job->dir.fd = -1;
    job->start_ns = pacer_host_now();
    snap_writer_init(&job->state);
    job->done =
        (struct loop_source){.fd = eventfd(0, EFD_CLOEXEC), .events = POLLIN, .ready = job_done, .opaque = s};
    result = job->done.fd < 0 ? error_set(error, -errno, "cannot create an eventfd: %s", strerror(errno))
                              : begin_job(job, name, note, error);
    if (result < 0) {
        host_remove_dir(&s->root, "new");
        snapshot_job_free(job);
        return result;
    }
    s->figures.written = false;
    snprintf(s->figures.name, sizeof(s->figures.name), "%s", name);
    s->job = job;
    loop_add(&s->vm->loop, &job->done);
    job_start(job);
    return 0;
}

int snapshot_save(struct vm *vm, const char *name, const char *note, struct error *error)
{
    char made[SNAPSHOT_NAME_MAX + 1];
    struct snapshots *s;
    int result = vm->state == VM_STOPPED ? error_set(error, -EINVAL, "the VM has stopped for good")
                                         : snapshot_store_get(vm, &s, error);

    if (result == 0) {
        snapshot_collect(s, NULL);
        result = snapshot_store_open(s, true, error);
    }
    if (result == 0 && s->shared) {
        result = error_set(error, -EROFS, "with -snapshot nothing is kept, snapshots neither");
    }
    if (!name) {
        default_name(made, sizeof(made));
        name = made;
    }
    if (result == 0) {
        result = check_new_name(s, name, error);
    }
    return result < 0 ? result : save(s, name, note, error);
}

int snapshot_wait(struct vm *vm, struct error *error)
{
    return vm->snapshots ? snapshot_collect(vm->snapshots, error) : 0;
}
