/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Saving a snapshot, on the VM's thread: the command, the pause, and the end. See vm/snapshot_job.h for the whole.
 *
 * In the pause requests to disks come to rest, the state is copied, frames are noted and watched, layers take the
 * place of images. What can fail comes first, and a failure leaves everything as it was.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "vm/snapshot_job.h"
#include "vm/snapshot_merge.h"
#include "vm/snapshot_state.h"
#include "vm/vm.h"

/* ---- the pause ---- */

static void note_frozen(struct snapshot_job *job)
{
    struct snapshot_chains *chains = &job->snapshots->chains;

    for (unsigned i = 0; i < chains->count; i++) {
        bool lasts = chains->chain[i].top && !chains->chain[i].disk->snapshot;
        int fd = lasts ? dup(chains->chain[i].top->file->fd) : -1;

        if (fd >= 0) {
            job->frozen[job->frozen_count++] = fd;
        }
    }
}

static int take_picture(struct snapshot_job *job)
{
    struct snapshots *s = job->snapshots;
    struct vm *vm = s->vm;
    int result = snapshot_disks_stack(&s->chains, &job->error);

    if (result == 0) {
        result = snapshot_disks_settle(&s->chains, &job->error);
    }
    if (result == 0) {
        result = snapshot_kept_open(job->kept, job->kept_count, &job->error);
    }
    if (result < 0) {
        return result;
    }
    snapshot_state_save(&job->state, vm);
    if (job->state.failed) {
        return error_set(&job->error, -ENOMEM, "out of memory");
    }
    job->manifest.guest_ns = clock_now(&vm->clock);
    snapshot_sweep_begin(job->sweep, job->incremental);
    vcpu_flush_tlb(vm->cpu, false);
    snapshot_disks_exchange(&s->chains);
    snapshot_disks_freeze(&s->chains);
    snapshot_chains_describe(&s->chains, true, &job->manifest.disks);
    snapshot_kept_describe(job->kept, job->kept_count, &job->manifest.disks);
    snapshot_store_describe(s, false, &job->current.disks);
    note_frozen(job);
    snapshot_disks_commit(&s->chains);
    s->current.disks = job->current.disks;
    return 0;
}

static int pause_and_take(struct snapshot_job *job)
{
    struct snapshots *s = job->snapshots;
    uint64_t start = pacer_host_now();
    int result;

    snapshot_disks_hold(&s->chains);
    result = take_picture(job);
    if (result < 0) {
        snapshot_job_undo(job);
    }
    snapshot_disks_release(&s->chains);
    s->figures.pause_ns = pacer_host_now() - start;
    return result;
}

/* ---- the two threads ---- */

static void set_phase(struct snapshot_job *job, enum snapshot_phase phase)
{
    pthread_mutex_lock(&job->mutex);
    job->phase = phase;
    pthread_cond_broadcast(&job->changed);
    pthread_mutex_unlock(&job->mutex);
}

/* Sleep while it is in this phase; returns the next. */
static enum snapshot_phase await_phase(struct snapshot_job *job, enum snapshot_phase phase)
{
    enum snapshot_phase next;

    pthread_mutex_lock(&job->mutex);
    while (job->phase == phase) {
        pthread_cond_wait(&job->changed, &job->mutex);
    }
    next = job->phase;
    pthread_mutex_unlock(&job->mutex);
    return next;
}

static void call_vm(struct snapshot_job *job)
{
    uint64_t one = 1;
    ssize_t n = write(job->event.fd, &one, sizeof(one));

    (void)n; /* nobody else writes: there is room */
}

/* On the VM's thread: go on where the other one cannot. Returns the phase then. */
static enum snapshot_phase advance(struct snapshot_job *job)
{
    enum snapshot_phase phase = await_phase(job, SNAPSHOT_PREPARING);

    if (phase == SNAPSHOT_PREPARED) {
        job->result = pause_and_take(job);
        phase = job->result < 0 ? SNAPSHOT_OVER : SNAPSHOT_WRITING;
        set_phase(job, phase);
    }
    return phase;
}

static void *job_thread(void *opaque)
{
    struct snapshot_job *job = opaque;
    int result = snapshot_job_prepare(job);

    job->result = result;
    set_phase(job, result < 0 ? SNAPSHOT_OVER : SNAPSHOT_PREPARED);
    call_vm(job);
    if (result == 0 && await_phase(job, SNAPSHOT_PREPARED) == SNAPSHOT_WRITING) {
        snapshot_job_write(job);
        set_phase(job, SNAPSHOT_OVER);
        call_vm(job);
    }
    return NULL;
}

/* Without a thread the VM's own does all the work: slower, and as good. */
static void run_without_thread(struct snapshot_job *job)
{
    job->result = snapshot_job_prepare(job);
    if (job->result == 0) {
        job->result = pause_and_take(job);
    }
    if (job->result == 0) {
        snapshot_job_write(job);
    }
    job->phase = SNAPSHOT_OVER;
    call_vm(job);
}

static void job_start(struct snapshot_job *job)
{
    sigset_t all, old;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    job->started = pthread_create(&job->thread, NULL, job_thread, job) == 0;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (!job->started) {
        run_without_thread(job);
    }
}

/* ---- the end ---- */

static void take_over(struct snapshots *s, struct snapshot_job *job)
{
    snapshot_tracker_set(&s->tracker, &job->pages);
    s->current = job->current;
    s->figures.written = true;
    s->figures.save_ns = job->end_ns - job->start_ns;
    s->figures.pages = job->figures.pages;
    s->figures.bytes = job->figures.bytes;
    s->figures.copies = job->figures.copies;
}

int snapshot_collect(struct snapshots *s, struct error *error)
{
    struct snapshot_job *job = s->job;
    int result = 0;

    snapshot_merge_give_way(s);
    if (!job) {
        return 0;
    }
    advance(job);
    if (job->started) {
        pthread_join(job->thread, NULL);
    }
    loop_remove(&s->vm->loop, &job->event);
    if (job->result == 0) {
        take_over(s, job);
    } else {
        s->figures.name[0] = '\0';
        result = error_set(error, job->result, "snapshot '%s': %s", job->manifest.self.name, job->error.text);
    }
    snapshot_job_free(job);
    s->job = NULL;
    return result;
}

/* loop_source: the job's thread has come to the end of what it can do. */
static void job_calls(void *opaque, short revents)
{
    struct snapshots *s = opaque;
    struct snapshot_job *job = s->job;
    struct error error;
    uint64_t count;
    ssize_t n = read(job->event.fd, &count, sizeof(count));

    (void)revents;
    (void)n; /* what there is to do says the phase */
    if (advance(job) != SNAPSHOT_OVER) {
        return;
    }
    if (snapshot_collect(s, &error) < 0) {
        fprintf(stderr, "hypatia: %s\n", error.text);
    }
    snapshot_merge_begin(s);
}

/* ---- the command ---- */

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

/* One made of the time; with a number behind it, if there is one of this second. */
static void default_name(struct snapshots *s, char *name, size_t size)
{
    time_t now = time(NULL);
    char stem[32];
    struct tm broken;

    if (!localtime_r(&now, &broken) || strftime(stem, sizeof(stem), "vm-%Y%m%d-%H%M%S", &broken) == 0) {
        snprintf(stem, sizeof(stem), "vm-%lld", (long long)now);
    }
    snprintf(name, size, "%s", stem);
    for (unsigned number = 2; number < 100 && check_new_name(s, name, NULL) == -EEXIST; number++) {
        snprintf(name, size, "%s-%u", stem, number);
    }
}

/* Drives whose changes are temporary need a place that somebody named; beside their images nothing is expected. */
static int check_drives(const struct snapshots *s, struct error *error)
{
    const struct snapshot_chain *temporary = NULL;
    bool kept = s->vm->config.snapshots;

    for (unsigned i = 0; i < s->chains.count; i++) {
        bool snapshot = s->chains.chain[i].disk->snapshot;

        kept = kept || !snapshot;
        temporary = snapshot ? &s->chains.chain[i] : temporary;
    }
    return temporary && !kept
               ? error_set(
                     error, -EINVAL,
                     "drive %s writes to a temporary file (-snapshot): name a folder for snapshots with "
                     "-snapshots DIR",
                     temporary->now.id)
               : 0;
}

static int describe(struct snapshot_job *job, const char *name, const char *note, struct error *error)
{
    struct snapshot_manifest *manifest = &job->manifest;
    struct vm *vm = job->snapshots->vm;
    struct timespec now;

    snapshot_make_id(manifest->self.id);
    snprintf(manifest->self.name, sizeof(manifest->self.name), "%s", name);
    snprintf(manifest->note, sizeof(manifest->note), "%s", note ? note : "");
    clock_gettime(CLOCK_REALTIME, &now);
    manifest->time_ns = (uint64_t)now.tv_sec * NS_PER_SEC + (uint64_t)now.tv_nsec;
    manifest->line = job->snapshots->current.line;
    manifest->memory = vm->ram.size;
    manifest->machine = snapshot_fingerprint(vm);
    snapshot_line_extend(&job->current.line, &manifest->line, &manifest->self);
    return manifest->machine ? 0 : error_set(error, -ENOMEM, "out of memory");
}

static struct snapshot_job *job_create(struct snapshots *s, struct error *error)
{
    struct snapshot_job *job = calloc(1, sizeof(*job));

    if (!job) {
        error_set(error, -ENOMEM, "out of memory");
        return NULL;
    }
    job->snapshots = s;
    job->dir.fd = -1;
    job->start_ns = pacer_host_now();
    snap_writer_init(&job->state);
    pthread_mutex_init(&job->mutex, NULL);
    pthread_cond_init(&job->changed, NULL);
    job->event = (struct loop_source){
        .fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), .events = POLLIN, .ready = job_calls, .opaque = s};
    if (job->event.fd < 0) {
        error_set(error, -errno, "cannot create an eventfd: %s", strerror(errno));
        snapshot_job_free(job);
        return NULL;
    }
    return job;
}

static int start_save(struct snapshots *s, const char *name, const char *note, struct error *error)
{
    struct snapshot_job *job = job_create(s, error);
    int result = job ? describe(job, name, note, error) : -ENOMEM;

    if (result < 0) {
        snapshot_job_free(job);
        return result;
    }
    s->figures.written = false;
    s->figures.pause_ns = 0;
    snprintf(s->figures.name, sizeof(s->figures.name), "%s", name);
    s->job = job;
    loop_add(&s->vm->loop, &job->event);
    job_start(job);
    return 0;
}

int snapshot_save(struct vm *vm, const char *name, const char *note, struct error *error)
{
    char made[SNAPSHOT_NAME_MAX + 1];
    struct snapshots *s;
    int result = vm_check_not_stopped(vm, error);

    if (result == 0) {
        result = snapshot_store_get(vm, &s, error);
    }
    if (result < 0) {
        return result;
    }
    snapshot_collect(s, NULL);
    snapshot_chains_update(&s->chains, &vm->drives);
    result = check_drives(s, error);
    if (result == 0) {
        result = snapshot_store_open(s, true, error);
    }
    if (result == 0) {
        result = snapshot_store_own(s, error);
    }
    if (result == 0 && !name) {
        default_name(s, made, sizeof(made));
        name = made;
    }
    if (result == 0) {
        result = check_new_name(s, name, error);
    }
    return result < 0 ? result : start_save(s, name, note, error);
}

int snapshot_wait(struct vm *vm, struct error *error)
{
    return vm->snapshots ? snapshot_collect(vm->snapshots, error) : 0;
}
