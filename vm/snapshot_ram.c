/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Guest memory in snapshots: tracking, the sweep, and its writer. See vm/snapshot_ram.h; reading is in
 * vm/snapshot_pages.c.
 *
 * NOTE: a hole of the memfd must not be touched through the mapping, which would give it a page of the host's; the writer
 * asks the file system where the holes are.
 */
#include "vm/snapshot_ram.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <xxhash.h>
#include <zstd.h>

#include "vm/snapshot_pages.h"

/* Of a frame. */
enum { FRAME_NOTHING, FRAME_PENDING, FRAME_TAKING, FRAME_KEPT, FRAME_DONE };

/* zstd's level: a negative one is quick, which counts more here than a tenth of the size. */
enum { COMPRESSION = -3 };

/* Copies that wait for the writer, at most; then the guest waits. */
enum { COPIES_MAX = 16384 };

struct snapshot_sweep {
    struct snapshot_tracker *tracker;
    const struct ram *ram;
    struct snapshot_ram pages; /* files and places of the parent's pages, and those written so far */
    uint8_t *state;            /* a frame: atomic */
    uint8_t **copy;            /* a frame: its page, while KEPT */
    pthread_mutex_t mutex;
    pthread_cond_t room; /* fewer copies wait, or nobody will come for them */
    unsigned waiting;    /* copies not yet taken */
    bool over;           /* the writer is through */
    uint64_t copies;     /* made in all */
};

void snapshot_ram_fini(struct snapshot_ram *pages)
{
    free(pages->place);
    *pages = (struct snapshot_ram){0};
}

/* ---- tracking ---- */

static void keep_page(struct snapshot_sweep *sweep, uint64_t frame);

/* ram_watcher: the frame is about to be written, for the first time since it was watched. */
static void frame_written(void *opaque, roff_t roff, uint64_t length)
{
    struct snapshot_tracker *tracker = opaque;
    uint64_t frame = roff >> PAGE_SHIFT;

    (void)length;
    ram_watch_clear(tracker->ram, frame, RAM_WATCH_DIRTY);
    if (tracker->sweep) {
        keep_page(tracker->sweep, frame);
    }
}

void snapshot_tracker_init(struct snapshot_tracker *tracker, struct ram *ram)
{
    *tracker = (struct snapshot_tracker){.ram = ram};
    ram_set_watcher(ram, RAM_WATCH_DIRTY, frame_written, tracker);
}

void snapshot_tracker_fini(struct snapshot_tracker *tracker)
{
    if (tracker->ram) {
        ram_set_watcher(tracker->ram, RAM_WATCH_DIRTY, NULL, NULL);
    }
    snapshot_ram_fini(&tracker->parent);
}

void snapshot_tracker_set(struct snapshot_tracker *tracker, struct snapshot_ram *pages)
{
    snapshot_ram_fini(&tracker->parent);
    tracker->parent = *pages;
    *pages = (struct snapshot_ram){0};
}

void snapshot_tracker_forget(struct snapshot_tracker *tracker)
{
    snapshot_ram_fini(&tracker->parent);
}

/* ---- the sweep ---- */

static bool frame_changed(const struct ram *ram, uint64_t frame)
{
    return !(ram->watch[frame] & BIT(RAM_WATCH_DIRTY));
}

/* Frames that the parent does not know have to be saved. */
static void note_frames(struct snapshot_sweep *sweep, const struct snapshot_ram *parent)
{
    for (uint64_t frame = 0; frame < sweep->pages.frames; frame++) {
        if (frame_changed(sweep->ram, frame)) {
            sweep->state[frame] = FRAME_PENDING;
        } else {
            sweep->pages.place[frame] = parent->place[frame];
        }
    }
}

static void sweep_free(struct snapshot_sweep *sweep)
{
    for (uint64_t frame = 0; sweep->copy && frame < sweep->pages.frames; frame++) {
        free(sweep->copy[frame]);
    }
    free(sweep->copy);
    free(sweep->state);
    snapshot_ram_fini(&sweep->pages);
    pthread_mutex_destroy(&sweep->mutex);
    pthread_cond_destroy(&sweep->room);
    free(sweep);
}

/* Written here, so that the host finds the pages for it now and not in the pause. */
static void *allocate_touched(size_t count, size_t size)
{
    void *memory = malloc(count * size);

    return memory ? memset(memory, 0, count * size) : NULL;
}

struct snapshot_sweep *snapshot_sweep_create(struct snapshot_tracker *tracker)
{
    struct snapshot_sweep *sweep = calloc(1, sizeof(*sweep));
    uint64_t frames = tracker->ram->size >> PAGE_SHIFT;

    if (!sweep) {
        return NULL;
    }
    sweep->tracker = tracker;
    sweep->ram = tracker->ram;
    pthread_mutex_init(&sweep->mutex, NULL);
    pthread_cond_init(&sweep->room, NULL);
    sweep->pages.frames = frames;
    sweep->pages.place = allocate_touched(frames, sizeof(*sweep->pages.place));
    sweep->state = allocate_touched(frames, 1);
    sweep->copy = calloc(frames, sizeof(*sweep->copy));
    if (!sweep->pages.place || !sweep->state || !sweep->copy) {
        sweep_free(sweep);
        return NULL;
    }
    return sweep;
}

void snapshot_sweep_begin(struct snapshot_sweep *sweep, bool incremental)
{
    struct snapshot_tracker *tracker = sweep->tracker;

    if (incremental) {
        sweep->pages.files = tracker->parent.files;
        memcpy(sweep->pages.file, tracker->parent.file, sizeof(sweep->pages.file));
        note_frames(sweep, &tracker->parent);
    } else {
        memset(sweep->state, FRAME_PENDING, sweep->pages.frames);
    }
    snapshot_tracker_forget(tracker); /* from now on frames are compared with this picture */
    ram_watch_set_all(tracker->ram, RAM_WATCH_DIRTY);
    tracker->sweep = sweep;
}

static bool state_change(uint8_t *state, uint8_t from, uint8_t to)
{
    return __atomic_compare_exchange_n(state, &from, to, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

/* The writer copies this page just now; that takes less than a system call would. */
static void await_taking(const uint8_t *state)
{
    while (__atomic_load_n(state, __ATOMIC_ACQUIRE) == FRAME_TAKING) {
        __builtin_ia32_pause();
    }
}

/* On the VM's thread, before the page changes. Without memory for a copy, the writer has to be waited for. */
static void keep_page(struct snapshot_sweep *sweep, uint64_t frame)
{
    uint8_t *state = &sweep->state[frame], *page;

    if (__atomic_load_n(state, __ATOMIC_ACQUIRE) != FRAME_PENDING) {
        await_taking(state);
        return;
    }
    page = malloc(PAGE_SIZE);
    pthread_mutex_lock(&sweep->mutex);
    while (!sweep->over && (!page || sweep->waiting >= COPIES_MAX) &&
           __atomic_load_n(state, __ATOMIC_ACQUIRE) == FRAME_PENDING) {
        pthread_cond_wait(&sweep->room, &sweep->mutex);
    }
    if (!sweep->over && __atomic_load_n(state, __ATOMIC_ACQUIRE) == FRAME_PENDING && page) {
        memcpy(page, ram_ptr(sweep->ram, frame << PAGE_SHIFT), PAGE_SIZE);
        sweep->copy[frame] = page;
        if (state_change(state, FRAME_PENDING, FRAME_KEPT)) {
            page = NULL;
            sweep->waiting++;
            sweep->copies++;
        } else {
            sweep->copy[frame] = NULL;
        }
    }
    pthread_mutex_unlock(&sweep->mutex);
    await_taking(state);
    free(page);
}

/* On the writer's thread: the page as it was at the sweep, into `bytes`. False: there is none to be saved. */
static bool take_page(struct snapshot_sweep *sweep, uint64_t frame, uint8_t *bytes)
{
    uint8_t *state = &sweep->state[frame];

    if (state_change(state, FRAME_PENDING, FRAME_TAKING)) {
        memcpy(bytes, ram_ptr(sweep->ram, frame << PAGE_SHIFT), PAGE_SIZE);
        __atomic_store_n(state, FRAME_DONE, __ATOMIC_RELEASE);
        return true;
    }
    if (__atomic_load_n(state, __ATOMIC_ACQUIRE) != FRAME_KEPT) {
        return false;
    }
    pthread_mutex_lock(&sweep->mutex);
    memcpy(bytes, sweep->copy[frame], PAGE_SIZE);
    free(sweep->copy[frame]);
    sweep->copy[frame] = NULL;
    sweep->waiting--;
    __atomic_store_n(state, FRAME_DONE, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&sweep->mutex);
    return true;
}

static void sweep_over(struct snapshot_sweep *sweep)
{
    pthread_mutex_lock(&sweep->mutex);
    sweep->over = true;
    pthread_cond_broadcast(&sweep->room);
    pthread_mutex_unlock(&sweep->mutex);
}

void snapshot_sweep_end(struct snapshot_sweep *sweep)
{
    if (sweep) {
        if (sweep->tracker->sweep == sweep) {
            sweep->tracker->sweep = NULL;
        }
        sweep_free(sweep);
    }
}

/* ---- the writer ---- */

struct page_writer {
    struct snapshot_sweep *sweep;
    const struct host_dir *dir;
    const char *name;
    int fd;
    ZSTD_CCtx *context;
    uint8_t *input, *output; /* a chunk of pages; what it becomes */
    uint64_t frame[SNAPSHOT_CHUNK_PAGES];
    unsigned count;    /* pages in `input` */
    uint64_t position; /* in the file */
    struct snapshot_chunk *index;
    size_t chunks, capacity;
    uint64_t pages;
};

static bool page_is_zero(const uint8_t *page)
{
    return page[0] == 0 && !memcmp(page, page + 1, PAGE_SIZE - 1);
}

static int add_to_index(struct page_writer *writer, const struct snapshot_chunk *chunk)
{
    if (writer->chunks == writer->capacity) {
        size_t capacity = writer->capacity ? writer->capacity * 2 : 256;
        struct snapshot_chunk *grown = realloc(writer->index, capacity * sizeof(*grown));

        if (!grown) {
            return -ENOMEM;
        }
        writer->index = grown;
        writer->capacity = capacity;
    }
    writer->index[writer->chunks++] = *chunk;
    return 0;
}

static int write_chunk(struct page_writer *writer)
{
    struct snapshot_ram *pages = &writer->sweep->pages;
    size_t length = writer->count ? ZSTD_compress2(writer->context, writer->output, SNAPSHOT_CHUNK_BOUND,
                                                   writer->input, (size_t)writer->count * PAGE_SIZE)
                                  : 0;
    struct snapshot_chunk chunk = {.offset = writer->position, .pages = writer->count};
    int result;

    if (writer->count == 0) {
        return 0;
    }
    if (ZSTD_isError(length)) {
        return -ENOMEM;
    }
    chunk.length = (uint32_t)length;
    chunk.checksum = XXH3_64bits(writer->output, length);
    for (unsigned i = 0; i < writer->count; i++) {
        pages->place[writer->frame[i]] = snapshot_place(pages->files, writer->chunks, i);
    }
    result = add_to_index(writer, &chunk);
    if (result == 0) {
        result = host_write(writer->dir, writer->fd, writer->name, writer->output, length);
    }
    writer->position += length;
    writer->pages += writer->count;
    writer->count = 0;
    return result;
}

/* The frames [first, end) hold something now. */
static int write_frames(struct page_writer *writer, uint64_t first, uint64_t end)
{
    struct snapshot_sweep *sweep = writer->sweep;
    int result = 0;

    for (uint64_t frame = first; frame < end && result == 0; frame++) {
        uint8_t *page = writer->input + (size_t)writer->count * PAGE_SIZE;

        if (frame % 256 == 0) {
            pthread_cond_broadcast(&sweep->room);
        }
        if (!take_page(sweep, frame, page) || page_is_zero(page)) {
            continue;
        }
        writer->frame[writer->count++] = frame;
        if (writer->count == SNAPSHOT_CHUNK_PAGES) {
            result = write_chunk(writer);
        }
    }
    return result;
}

/* What the guest wrote while the holes were looked for. */
static int write_kept(struct page_writer *writer)
{
    struct snapshot_sweep *sweep = writer->sweep;
    int result = 0;

    for (uint64_t frame = 0; frame < sweep->pages.frames && result == 0; frame++) {
        if (__atomic_load_n(&sweep->state[frame], __ATOMIC_ACQUIRE) == FRAME_KEPT) {
            result = write_frames(writer, frame, frame + 1);
        }
    }
    return result;
}

/*
 * Holes are zeros: a page that is one now was one at the sweep, or else it was written since and does not matter. A
 * shared page (mmu/ram.h) that was written since was kept before it became a page of the VM's own.
 */
static int write_pages(struct page_writer *writer)
{
    const struct ram *ram = writer->sweep->ram;
    int result = host_write(writer->dir, writer->fd, writer->name, snapshot_ram_magic, SNAPSHOT_MAGIC_SIZE);

    writer->position = SNAPSHOT_MAGIC_SIZE;
    for (uint64_t first, end = 0; result == 0 && ram_next_data(ram, end, &first, &end);) {
        result = write_frames(writer, first, end);
    }
    if (result == 0) {
        result = write_kept(writer);
    }
    return result < 0 ? result : write_chunk(writer);
}

/* The index, and everything durable. */
static int finish_file(struct page_writer *writer, struct snapshot_ram_file *file)
{
    size_t length = writer->chunks * sizeof(*writer->index);
    int result = host_write(writer->dir, writer->fd, writer->name, writer->index, length);

    if (result == 0) {
        result = host_sync(writer->dir, writer->fd, writer->name);
    }
    snprintf(file->name, sizeof(file->name), "%s", writer->name);
    file->length = writer->position + length;
    file->chunks = writer->chunks;
    file->checksum = XXH3_64bits(writer->index, length);
    return result;
}

/* Leave out the files that no page is in. */
static int drop_unused(struct snapshot_ram *pages, const struct host_dir *dir)
{
    bool used[SNAPSHOT_RAM_FILES + 1] = {false};
    unsigned number[SNAPSHOT_RAM_FILES], count = 0;
    int result = 0;

    for (uint64_t frame = 0; frame < pages->frames; frame++) {
        used[snapshot_place_file(pages->place[frame])] = true;
    }
    for (unsigned i = 0; i < pages->files && result == 0; i++) {
        if (!used[i + 1]) {
            result = host_remove(dir, pages->file[i].name);
            continue;
        }
        number[i] = count;
        pages->file[count++] = pages->file[i];
    }
    pages->files = count;
    for (uint64_t frame = 0; frame < pages->frames && result == 0; frame++) {
        unsigned file = snapshot_place_file(pages->place[frame]);

        if (file) {
            pages->place[frame] = snapshot_place_move(pages->place[frame], number[file - 1]);
        }
    }
    return result;
}

static int run_writer(struct page_writer *writer, struct snapshot_ram *pages,
                      struct snapshot_sweep_figures *figures)
{
    struct snapshot_sweep *sweep = writer->sweep;
    int result = write_pages(writer);

    if (result == 0) {
        result = finish_file(writer, &sweep->pages.file[sweep->pages.files]);
    }
    if (result < 0) {
        return result;
    }
    sweep->pages.files++;
    result = drop_unused(&sweep->pages, writer->dir);
    *figures = (struct snapshot_sweep_figures){.pages = writer->pages, .bytes = writer->position};
    *pages = sweep->pages;
    sweep->pages.place = NULL;
    return result;
}

int snapshot_sweep_write(struct snapshot_sweep *sweep, const struct host_dir *dir, const char *name,
                         struct snapshot_ram *pages, struct snapshot_sweep_figures *figures,
                         struct error *error)
{
    struct page_writer writer = {.sweep = sweep, .dir = dir, .name = name};
    int result;

    writer.context = ZSTD_createCCtx();
    writer.input = malloc((size_t)SNAPSHOT_CHUNK_PAGES * PAGE_SIZE);
    writer.output = malloc(SNAPSHOT_CHUNK_BOUND);
    writer.fd = host_create(dir, name);
    result = !writer.context || !writer.input || !writer.output ? -ENOMEM : MIN(writer.fd, 0);
    if (result == 0) {
        ZSTD_CCtx_setParameter(writer.context, ZSTD_c_compressionLevel, COMPRESSION);
        result = run_writer(&writer, pages, figures);
    }
    if (writer.fd >= 0) {
        close(writer.fd);
    }
    sweep_over(sweep);
    figures->copies = sweep->copies; /* no more are made */
    ZSTD_freeCCtx(writer.context);
    free(writer.index);
    free(writer.output);
    free(writer.input);
    return result < 0 ? error_set(error, result, "cannot write the guest's memory: %s", strerror(-result))
                      : 0;
}
