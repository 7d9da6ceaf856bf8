/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Guest memory in snapshots: reading it back. See vm/snapshot_ram.h.
 *
 * The files are anybody's word. Before memory is taken for anything its length is compared with the most that the VM
 * which loads can need, and nothing is taken from a file that its checksum has not vouched for; what a checksum
 * vouches for may still be made up, so every number is checked where it is used.
 *
 *   manifest --length, checksum--> places --file, chunk, page--> index --offset, length, checksum--> chunk
 *       \-------length, checksum of the index--------------------^
 */
#include "vm/snapshot_pages.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <xxhash.h>
#include <zstd.h>

enum { LOAD_THREADS_MAX = 8, LOAD_CHUNKS_PER_THREAD = 32 };

const uint8_t snapshot_ram_magic[SNAPSHOT_MAGIC_SIZE] = {'H', 'Y', 'R', 'A', 'M', '1', 0, 0};

/* ---- the places ---- */

size_t snapshot_ram_pack_max(uint64_t frames)
{
    return ZSTD_compressBound(frames * sizeof(uint64_t));
}

uint8_t *snapshot_ram_pack(const struct snapshot_ram *pages, size_t *length)
{
    size_t bound = snapshot_ram_pack_max(pages->frames);
    uint8_t *bytes = malloc(bound);

    if (bytes) {
        *length = ZSTD_compress(bytes, bound, pages->place, pages->frames * sizeof(uint64_t), 1);
    }
    if (bytes && ZSTD_isError(*length)) {
        free(bytes);
        return NULL;
    }
    return bytes;
}

int snapshot_ram_unpack(struct snapshot_ram *pages, const uint8_t *bytes, size_t length, struct error *error)
{
    size_t size = pages->frames * sizeof(uint64_t);

    pages->place = malloc(size);
    if (!pages->place) {
        return error_set(error, -ENOMEM, "out of memory");
    }
    if (ZSTD_decompress(pages->place, size, bytes, length) != size) {
        return error_set(error, -EINVAL, "the list of memory pages does not unpack to %llu frames",
                         (unsigned long long)pages->frames);
    }
    for (uint64_t frame = 0; frame < pages->frames; frame++) {
        uint64_t place = pages->place[frame];
        unsigned file = snapshot_place_file(place);

        if (file > pages->files || (file == 0 && place != 0) ||
            (file && snapshot_place_chunk(place) >= pages->file[file - 1].chunks)) {
            return error_set(error, -EINVAL, "the list of memory pages leads nowhere at frame %llu",
                             (unsigned long long)frame);
        }
    }
    return 0;
}

/* ---- files and chunks ---- */

struct page_file {
    int fd;
    const struct snapshot_ram_file *what;
    struct snapshot_chunk *index;
};

struct page_files {
    const struct snapshot_ram *pages;
    struct page_file file[SNAPSHOT_RAM_FILES];
};

static int damaged(const struct page_file *file, const char *what, struct error *error)
{
    return error_set(error, -EINVAL, "'%s' is damaged: %s", file->what->name, what);
}

static int check_row(const struct page_file *file, const struct snapshot_chunk *chunk, uint64_t end,
                     struct error *error)
{
    if (chunk->pages == 0 || chunk->pages > SNAPSHOT_CHUNK_PAGES || chunk->length > SNAPSHOT_CHUNK_BOUND ||
        chunk->offset > end || chunk->length > end - chunk->offset) {
        return damaged(file, "its index is impossible", error);
    }
    return 0;
}

static int read_index(struct page_file *file, uint64_t frames, struct error *error)
{
    uint64_t chunks = file->what->chunks, length = chunks * sizeof(struct snapshot_chunk), actual;
    uint8_t magic[SNAPSHOT_MAGIC_SIZE];
    int result;

    if (chunks > frames || file->what->length < SNAPSHOT_MAGIC_SIZE ||
        length > file->what->length - SNAPSHOT_MAGIC_SIZE) {
        return damaged(file, "it cannot have so many chunks", error);
    }
    actual = (uint64_t)lseek(file->fd, 0, SEEK_END);
    if (actual != file->what->length) {
        return damaged(file, "it has another length", error);
    }
    file->index = malloc(length + 1);
    if (!file->index) {
        return error_set(error, -ENOMEM, "out of memory");
    }
    result = host_read_at(file->fd, 0, magic, sizeof(magic));
    if (result == 0) {
        result = host_read_at(file->fd, file->what->length - length, file->index, length);
    }
    if (result < 0) {
        return error_set(error, result, "cannot read '%s': %s", file->what->name, strerror(-result));
    }
    if (memcmp(magic, snapshot_ram_magic, sizeof(magic)) != 0 ||
        XXH3_64bits(file->index, length) != file->what->checksum) {
        return damaged(file, "its index has another checksum", error);
    }
    for (uint64_t i = 0; i < chunks && result == 0; i++) {
        result = check_row(file, &file->index[i], file->what->length - length, error);
    }
    return result;
}

static void close_files(struct page_files *files)
{
    for (unsigned i = 0; i < files->pages->files; i++) {
        free(files->file[i].index);
        if (files->file[i].fd >= 0) {
            close(files->file[i].fd);
        }
    }
}

static int open_files(struct page_files *files, const struct snapshot_ram *pages, const struct host_dir *dir,
                      struct error *error)
{
    int result = 0;

    *files = (struct page_files){.pages = pages};
    for (unsigned i = 0; i < pages->files; i++) {
        files->file[i].fd = -1;
    }
    for (unsigned i = 0; i < pages->files && result == 0; i++) {
        struct page_file *file = &files->file[i];
        uint64_t length;

        file->what = &pages->file[i];
        file->fd = host_open(dir, file->what->name, &length);
        result = file->fd < 0 ? error_set(error, file->fd, "cannot open '%s': %s", file->what->name,
                                          strerror(-file->fd))
                              : read_index(file, pages->frames, error);
    }
    if (result < 0) {
        close_files(files);
    }
    return result;
}

struct unpacker {
    ZSTD_DCtx *context;
    uint8_t *packed, *pages;
};

static int unpacker_init(struct unpacker *unpacker, struct error *error)
{
    unpacker->context = ZSTD_createDCtx();
    unpacker->packed = malloc(SNAPSHOT_CHUNK_BOUND);
    unpacker->pages = malloc((size_t)SNAPSHOT_CHUNK_PAGES * PAGE_SIZE);
    return unpacker->context && unpacker->packed && unpacker->pages
               ? 0
               : error_set(error, -ENOMEM, "out of memory");
}

static void unpacker_fini(struct unpacker *unpacker)
{
    ZSTD_freeDCtx(unpacker->context);
    free(unpacker->packed);
    free(unpacker->pages);
}

static int unpack_chunk(struct unpacker *unpacker, const struct page_file *file, uint64_t number,
                        struct error *error)
{
    const struct snapshot_chunk *chunk = &file->index[number];
    size_t size = (size_t)chunk->pages * PAGE_SIZE;
    int result = host_read_at(file->fd, chunk->offset, unpacker->packed, chunk->length);

    if (result < 0) {
        return error_set(error, result, "cannot read '%s': %s", file->what->name, strerror(-result));
    }
    if (XXH3_64bits(unpacker->packed, chunk->length) != chunk->checksum) {
        return damaged(file, "a chunk has another checksum", error);
    }
    if (ZSTD_decompressDCtx(unpacker->context, unpacker->pages, size, unpacker->packed, chunk->length) !=
        size) {
        return damaged(file, "a chunk does not unpack to its pages", error);
    }
    return 0;
}

/* ---- loading ---- */

/* A page to be put somewhere; sorted by its place. */
struct load_page {
    uint64_t place, frame;
};

struct loader {
    struct page_files files;
    struct load_page *page;
    size_t count;
    int fd;              /* the memfd */
    size_t next;         /* the first page nobody has taken; under the mutex */
    struct error *error; /* of the first failure */
    int result;
    pthread_mutex_t mutex;
};

static int compare_places(const void *a, const void *b)
{
    const struct load_page *one = a, *other = b;

    return one->place < other->place ? -1 : one->place > other->place;
}

static bool same_chunk(const struct load_page *a, const struct load_page *b)
{
    return a->place >> 16 == b->place >> 16;
}

/* The pages [first, end) are of one chunk. Frames in a row go with one write. */
static int load_chunk(struct loader *loader, struct unpacker *unpacker, size_t first, size_t end,
                      struct error *error)
{
    const struct load_page *page = loader->page;
    const struct page_file *file = &loader->files.file[snapshot_place_file(page[first].place) - 1];
    uint64_t chunk = snapshot_place_chunk(page[first].place);
    int result = unpack_chunk(unpacker, file, chunk, error);

    for (size_t at = first, next; at < end && result == 0; at = next) {
        unsigned number = snapshot_place_page(page[at].place);
        size_t length;

        for (next = at + 1; next < end && page[next].frame == page[next - 1].frame + 1 &&
                            page[next].place == page[next - 1].place + 1;) {
            next++;
        }
        length = (next - at) * PAGE_SIZE;
        if (number + (next - at) > file->index[chunk].pages) {
            return damaged(file, "a chunk lacks a page", error);
        }
        if (pwrite(loader->fd, unpacker->pages + (size_t)number * PAGE_SIZE, length,
                   (off_t)(page[at].frame << PAGE_SHIFT)) != (ssize_t)length) {
            result = error_set(error, -ENOMEM, "cannot fill the guest's memory: %s", strerror(errno));
        }
    }
    return result;
}

/* Some chunks for a thread: pages [*first, returned). */
static size_t take_work(struct loader *loader, size_t *first)
{
    unsigned chunks = 0;
    size_t end;

    pthread_mutex_lock(&loader->mutex);
    end = *first = loader->result < 0 ? loader->count : loader->next;
    while (end < loader->count && chunks < LOAD_CHUNKS_PER_THREAD) {
        size_t start = end;

        while (end < loader->count && same_chunk(&loader->page[start], &loader->page[end])) {
            end++;
        }
        chunks++;
    }
    loader->next = end;
    pthread_mutex_unlock(&loader->mutex);
    return end;
}

static void load_failed(struct loader *loader, int result, const struct error *error)
{
    pthread_mutex_lock(&loader->mutex);
    if (loader->result == 0) {
        loader->result = result;
        if (loader->error) {
            *loader->error = *error;
        }
    }
    pthread_mutex_unlock(&loader->mutex);
}

static void *load_worker(void *opaque)
{
    struct loader *loader = opaque;
    struct unpacker unpacker = {0};
    struct error error = {{0}};
    int result = unpacker_init(&unpacker, &error);
    size_t first, end;

    while (result == 0 && (end = take_work(loader, &first)) > first) {
        for (size_t at = first; at < end && result == 0;) {
            size_t next = at;

            while (next < end && same_chunk(&loader->page[at], &loader->page[next])) {
                next++;
            }
            result = load_chunk(loader, &unpacker, at, next, &error);
            at = next;
        }
    }
    if (result < 0) {
        load_failed(loader, result, &error);
    }
    unpacker_fini(&unpacker);
    return NULL;
}

/* This thread and some more; signals stay this one's. */
static void run_workers(struct loader *loader)
{
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    size_t work = loader->count / (LOAD_CHUNKS_PER_THREAD * SNAPSHOT_CHUNK_PAGES);
    unsigned wanted = (unsigned)MIN((size_t)MIN(MAX(processors, 1), LOAD_THREADS_MAX), work + 1), started = 0;
    pthread_t thread[LOAD_THREADS_MAX];
    sigset_t all, old;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    while (started + 1 < wanted && pthread_create(&thread[started], NULL, load_worker, loader) == 0) {
        started++;
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    load_worker(loader);
    while (started > 0) {
        pthread_join(thread[--started], NULL);
    }
}

static int list_pages(struct loader *loader, const struct snapshot_ram *pages, struct error *error)
{
    size_t count = 0;
    bool sorted = true;

    for (uint64_t frame = 0; frame < pages->frames; frame++) {
        count += pages->place[frame] != 0;
    }
    loader->page = malloc(count * sizeof(*loader->page) + 1);
    if (!loader->page) {
        return error_set(error, -ENOMEM, "out of memory");
    }
    for (uint64_t frame = 0; frame < pages->frames; frame++) {
        if (pages->place[frame]) {
            loader->page[loader->count++] = (struct load_page){.place = pages->place[frame], .frame = frame};
            sorted &= loader->count < 2 || pages->place[frame] > loader->page[loader->count - 2].place;
        }
    }
    if (!sorted) {
        qsort(loader->page, loader->count, sizeof(*loader->page), compare_places);
    }
    return 0;
}

int snapshot_ram_load(const struct snapshot_ram *pages, const struct host_dir *dir, struct error *error)
{
    struct loader loader = {.fd = -1, .error = error};
    int result = open_files(&loader.files, pages, dir, error);

    if (result < 0) {
        return result;
    }
    result = list_pages(&loader, pages, error);
    if (result == 0) {
        loader.fd = ram_new_file(pages->frames << PAGE_SHIFT, error);
        result = MIN(loader.fd, 0);
    }
    if (result == 0) {
        pthread_mutex_init(&loader.mutex, NULL);
        run_workers(&loader);
        pthread_mutex_destroy(&loader.mutex);
        result = loader.result;
    }
    free(loader.page);
    close_files(&loader.files);
    if (result < 0 && loader.fd >= 0) {
        close(loader.fd);
    }
    return result < 0 ? result : loader.fd;
}

/* ---- single pages ---- */

struct snapshot_pages {
    struct page_files files;
    struct unpacker unpacker;
    uint64_t chunk; /* place >> 16 of what is unpacked; 0: nothing */
};

struct snapshot_pages *snapshot_pages_open(const struct snapshot_ram *pages, const struct host_dir *dir,
                                           struct error *error)
{
    struct snapshot_pages *reader = calloc(1, sizeof(*reader));

    if (!reader) {
        error_set(error, -ENOMEM, "out of memory");
        return NULL;
    }
    if (open_files(&reader->files, pages, dir, error) < 0) {
        free(reader);
        return NULL;
    }
    if (unpacker_init(&reader->unpacker, error) < 0) {
        snapshot_pages_close(reader);
        return NULL;
    }
    return reader;
}

void snapshot_pages_close(struct snapshot_pages *reader)
{
    if (reader) {
        unpacker_fini(&reader->unpacker);
        close_files(&reader->files);
        free(reader);
    }
}

const uint8_t *snapshot_pages_get(struct snapshot_pages *reader, uint64_t frame, struct error *error)
{
    static const uint8_t zeros[PAGE_SIZE];
    uint64_t place = reader->files.pages->place[frame];
    const struct page_file *file;

    if (place == 0) {
        return zeros;
    }
    file = &reader->files.file[snapshot_place_file(place) - 1];
    if (reader->chunk != place >> 16) {
        reader->chunk = 0;
        if (unpack_chunk(&reader->unpacker, file, snapshot_place_chunk(place), error) < 0) {
            return NULL;
        }
        reader->chunk = place >> 16;
    }
    if (snapshot_place_page(place) >= file->index[snapshot_place_chunk(place)].pages) {
        damaged(file, "a chunk lacks a page", error);
        return NULL;
    }
    return reader->unpacker.pages + (size_t)snapshot_place_page(place) * PAGE_SIZE;
}
