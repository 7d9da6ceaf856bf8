/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Disk images: opening by format, chains of backing images, and what works the same on every format. See
 * vm/block_image.h.
 *
 * Which backing files are opened is decided here and nowhere else. An image's header is not the user's word: whoever
 * made the image could name any file of this host, and the guest would read it. So the format must be written
 * beside the name, and the name must lead to the image's own directory or below it, unless the user allows more.
 */
#include "vm/block_image.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>

enum { COPY_BUFFER = 1 << 20, ZERO_UNIT = 4096 };

static const char *const formats[] = {"raw", "qcow2"};
static const uint8_t qcow2_magic[4] = {'Q', 'F', 'I', 0xfb};

/* ---- formats ---- */

static const char *image_format_by_name(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(formats); i++) {
        if (!strcmp(formats[i], name)) {
            return formats[i];
        }
    }
    return !strcmp(name, "host_device") || !strcmp(name, "file") ? "raw" : NULL;
}

const char *image_format(const char *name, const char *path, struct error *error)
{
    const char *ending = strrchr(path, '.');
    const char *format;

    if (!name) {
        return ending && !strcmp(ending, ".qcow2") ? "qcow2" : "raw";
    }
    format = image_format_by_name(name);
    if (!format) {
        error_set(error, -EINVAL, "unknown image format '%s' (known: raw, qcow2)", name);
    }
    return format;
}

/* Nobody said raw: then a file with another format's first bytes needs a word from the user. */
static int image_check_raw_by_name(struct block_file *file, struct error *error)
{
    uint8_t start[sizeof(qcow2_magic)];

    if (block_file_read(file, 0, start, sizeof(start)) == 0 && !memcmp(start, qcow2_magic, sizeof(start))) {
        return error_set(
            error, -EINVAL,
            "'%s' begins like a qcow2 image, but its name does not end in .qcow2: say format=qcow2, or "
            "format=raw to use its bytes as they are",
            file->path);
    }
    return 0;
}

/* ---- opening ---- */

struct image *image_open_file(struct block_file *file, const char *format, unsigned flags, unsigned depth,
                              struct error *error)
{
    struct image *image =
        !strcmp(format, "qcow2") ? image_qcow2_open(file, flags, error) : image_raw_open(file, flags, error);

    if (!image) {
        block_file_close(file);
        return NULL;
    }
    if (image->backing_name && !(flags & IMAGE_NO_BACKING) && image_open_backing(image, depth, error) < 0) {
        image_close(image);
        return NULL;
    }
    return image;
}

static struct image *image_open_at(const char *path, const char *format, unsigned flags, unsigned depth,
                                   struct error *error)
{
    const char *chosen = image_format(format, path, error);
    unsigned file_flags = (flags & IMAGE_WRITE ? BLOCK_FILE_WRITE : 0) |
                          (flags & IMAGE_NO_LOCK ? BLOCK_FILE_NO_LOCK : 0) |
                          (flags & IMAGE_NO_FLUSH ? BLOCK_FILE_NO_FLUSH : 0);
    struct block_file *file = chosen ? block_file_open(path, file_flags, error) : NULL;

    if (!file) {
        return NULL;
    }
    if (!format && !strcmp(chosen, "raw") && image_check_raw_by_name(file, error) < 0) {
        block_file_close(file);
        return NULL;
    }
    return image_open_file(file, chosen, flags, depth, error);
}

struct image *image_open(const char *path, const char *format, unsigned flags, struct error *error)
{
    return image_open_at(path, format, flags, 0, error);
}

/* ---- backing images ---- */

/* Does the path have a component ".."? */
static bool path_climbs(const char *path)
{
    for (const char *part = path; part; part = strchr(part, '/') ? strchr(part, '/') + 1 : NULL) {
        if (part[0] == '.' && part[1] == '.' && (part[2] == '/' || part[2] == '\0')) {
            return true;
        }
    }
    return false;
}

static int image_check_backing_name(const char *path, const char *name, const char *format, unsigned flags,
                                    struct error *error)
{
    if (!*name || strlen(name) > IMAGE_NAME_MAX) {
        return error_set(error, -EINVAL, "'%s': the name of its backing file must have 1 to %d characters",
                         path, IMAGE_NAME_MAX);
    }
    if (!(flags & IMAGE_ANY_BACKING) && (name[0] == '/' || path_climbs(name))) {
        return error_set(
            error, -EACCES,
            "'%s' names the backing file '%.200s' outside its own directory; if you trust the image, "
            "allow it with any-backing=on (img: --any-backing)",
            path, name);
    }
    if (!format) {
        return error_set(
            error, -EINVAL,
            "'%s' names the backing file '%.200s' without its format, and formats are not guessed; "
            "set it with: qemu-img rebase -u -b FILE -F FORMAT",
            path, name);
    }
    return image_format(format, name, error) ? 0 : error_prefix(error, -EINVAL, "'%s': backing file", path);
}

/* `name` seen from the directory of `path`. */
static int image_resolve(const char *path, const char *name, char *out, size_t size, struct error *error)
{
    const char *slash = strrchr(path, '/');
    int directory = slash && name[0] != '/' ? (int)(slash - path) + 1 : 0;
    int length = snprintf(out, size, "%.*s%s", directory, path, name);

    return length < 0 || (size_t)length >= size
               ? error_set(error, -ENAMETOOLONG, "'%s': the path of its backing file is too long", path)
               : 0;
}

static struct image *image_open_named_backing(const char *path, const char *name, const char *format,
                                              unsigned flags, unsigned depth, struct error *error)
{
    char resolved[PATH_MAX];
    unsigned inherited = flags & (IMAGE_ANY_BACKING | IMAGE_NO_LOCK);

    if (depth >= IMAGE_CHAIN_MAX) {
        error_set(error, -ELOOP, "'%s': more than %d backing files in a row (a loop?)", path,
                  IMAGE_CHAIN_MAX);
        return NULL;
    }
    if (image_check_backing_name(path, name, format, flags, error) < 0 ||
        image_resolve(path, name, resolved, sizeof(resolved), error) < 0) {
        return NULL;
    }
    return image_open_at(resolved, format, inherited, depth + 1, error);
}

int image_open_backing(struct image *image, unsigned depth, struct error *error)
{
    image->backing = image_open_named_backing(image->file->path, image->backing_name, image->backing_format,
                                              image->flags, depth, error);
    return image->backing ? 0 : -EINVAL;
}

void image_close(struct image *image)
{
    while (image) {
        struct image *backing = image->backing;

        if (image->writable) {
            image_settle(image);
        }
        image->ops->fini(image);
        block_file_close(image->file);
        free(image->backing_name);
        free(image->backing_format);
        free(image);
        image = backing;
    }
}

/* ---- creating ---- */

/* The backing image is opened to see that it can be, and to learn its size. */
static int image_create_size(const char *path, struct image_create_options *options, struct error *error)
{
    struct image *backing;

    if (!options->backing) {
        return 0;
    }
    if (options->flags & IMAGE_NO_BACKING) {
        return image_check_backing_name(path, options->backing, options->backing_format, options->flags,
                                        error);
    }
    backing =
        image_open_named_backing(path, options->backing, options->backing_format, options->flags, 0, error);
    if (!backing) {
        return -EINVAL;
    }
    if (options->size == 0) {
        options->size = backing->size;
    }
    image_close(backing);
    return 0;
}

int image_create(const char *path, const char *format, const struct image_create_options *options,
                 struct error *error)
{
    struct image_create_options chosen = *options;
    const char *name = image_format(format, path, error);
    struct block_file *file;
    int result = name ? image_create_size(path, &chosen, error) : -EINVAL;

    if (result < 0) {
        return result;
    }
    if (!strcmp(name, "raw") && options->backing) {
        return error_set(error, -EINVAL, "a raw image cannot have a backing file; use qcow2");
    }
    file = block_file_open(path, BLOCK_FILE_WRITE | BLOCK_FILE_CREATE, error);
    if (!file) {
        return -EIO;
    }
    if (!strcmp(name, "qcow2")) {
        result = image_qcow2_create(file, &chosen, error);
    } else {
        result = block_file_truncate(file, chosen.size);
        if (result < 0) {
            error_set(error, result, "cannot make '%s' that large: %s", path, strerror(-result));
        }
    }
    block_file_close(file);
    return result;
}

struct image *image_create_overlay(struct image *backing, struct error *error)
{
    struct image_create_options options = {.size = backing->size};
    struct block_file *file = block_file_open_temporary(error);
    struct image *image = NULL;

    if (file) {
        file->no_flush = true;
    }
    if (!file || image_qcow2_create(file, &options, error) < 0) {
        block_file_close(file);
    } else {
        image = image_open_file(file, "qcow2", IMAGE_WRITE | IMAGE_NO_LOCK, 0, error);
    }
    if (!image) {
        image_close(backing);
        return NULL;
    }
    image->backing = backing;
    return image;
}

struct image *image_share(const struct image *image, struct error *error)
{
    struct image *below = NULL, *shared = NULL;
    struct block_file *file;

    if (image->backing) {
        below = image_share(image->backing, error);
        if (!below) {
            return NULL;
        }
    }
    file = block_file_share(image->file, error);
    if (file) {
        shared = image_open_file(file, image->ops->format, IMAGE_NO_BACKING | IMAGE_NO_LOCK, 0, error);
    }
    if (!shared) {
        image_close(below);
        return NULL;
    }
    shared->backing = below;
    return shared;
}

/* ---- access ---- */

static bool image_has(const struct image *image, uint64_t offset, uint64_t length)
{
    return offset <= image->size && length <= image->size - offset;
}

static int image_check_write(const struct image *image, uint64_t offset, uint64_t length)
{
    if (!image_has(image, offset, length)) {
        return -EINVAL;
    }
    return image->writable ? 0 : -EROFS;
}

int image_read(struct image *image, uint64_t offset, void *bytes, uint64_t length)
{
    return image_has(image, offset, length) ? image->ops->read(image, offset, bytes, length) : -EINVAL;
}

int image_write(struct image *image, uint64_t offset, const void *bytes, uint64_t length)
{
    int result = image_check_write(image, offset, length);

    return result < 0 ? result : image->ops->write(image, offset, bytes, length);
}

int image_zero(struct image *image, uint64_t offset, uint64_t length)
{
    static const uint8_t zeros[64 * 1024];
    int result = image_check_write(image, offset, length);

    if (result == 0 && length > 0) {
        result = image->ops->zero(image, offset, length);
        if (result != -ENOTSUP) {
            return result;
        }
        result = 0;
    }
    while (length > 0 && result == 0) {
        uint64_t piece = MIN(length, sizeof(zeros));

        result = image->ops->write(image, offset, zeros, piece);
        offset += piece;
        length -= piece;
    }
    return result;
}

int image_discard(struct image *image, uint64_t offset, uint64_t length)
{
    int result = image_check_write(image, offset, length);

    return result < 0 || length == 0 ? result : image->ops->discard(image, offset, length);
}

int image_flush(struct image *image)
{
    return image->writable ? image->ops->flush(image) : 0;
}

int image_settle(struct image *image)
{
    return image->writable && image->ops->settle ? image->ops->settle(image) : 0;
}

int image_status(struct image *image, uint64_t offset, uint64_t length, enum image_status *status,
                 uint64_t *run)
{
    return image_has(image, offset, length) && length > 0
               ? image->ops->status(image, offset, length, status, run)
               : -EINVAL;
}

int image_contents(struct image *image, uint64_t offset, uint64_t length, enum image_status *status,
                   uint64_t *run)
{
    int result = image_status(image, offset, length, status, run);

    while (result == 0 && *status == IMAGE_BACKING) {
        image = image->backing;
        if (!image || offset >= image->size) {
            *status = IMAGE_ZERO;
            return 0;
        }
        result = image_status(image, offset, MIN(*run, image->size - offset), status, run);
    }
    return result;
}

/* ---- long work ---- */

static int image_report_progress(const struct image_progress *progress, uint64_t done, uint64_t total,
                                 struct error *error)
{
    if (progress && !progress->step(progress->opaque, done, total)) {
        return error_set(error, -ECANCELED, "stopped by the user");
    }
    return 0;
}

static bool is_zero(const uint8_t *bytes, uint64_t length)
{
    return length == 0 || (bytes[0] == 0 && !memcmp(bytes, bytes + 1, length - 1));
}

/* Write a buffer's pieces that are not all zeros. */
static int image_write_sparse(struct image *to, uint64_t offset, const uint8_t *bytes, uint64_t length)
{
    uint64_t unit = MAX(to->cluster_size, (uint32_t)ZERO_UNIT);
    int result = 0;

    for (uint64_t at = 0; at < length && result == 0;) {
        uint64_t end = MIN(length, ALIGN_DOWN(offset + at, unit) + unit - offset);

        if (!is_zero(bytes + at, end - at)) {
            while (end < length && !is_zero(bytes + end, MIN(unit, length - end))) {
                end += MIN(unit, length - end);
            }
            result = image_write(to, offset + at, bytes + at, end - at);
        }
        at = end;
    }
    return result;
}

static int image_copy_run(struct image *from, struct image *to, uint64_t offset, uint64_t length,
                          uint8_t *buffer, bool sparse, struct error *error)
{
    int result = image_read(from, offset, buffer, length);

    if (result < 0) {
        return error_set(error, result, "cannot read '%s' at byte %llu: %s", from->file->path,
                         (unsigned long long)offset, strerror(-result));
    }
    result =
        sparse ? image_write_sparse(to, offset, buffer, length) : image_write(to, offset, buffer, length);
    return result < 0 ? error_set(error, result, "cannot write '%s' at byte %llu: %s", to->file->path,
                                  (unsigned long long)offset, strerror(-result))
                      : 0;
}

int image_copy(struct image *from, struct image *to, const struct image_progress *progress,
               struct error *error)
{
    uint8_t *buffer = malloc(COPY_BUFFER);
    int result = buffer ? 0 : error_set(error, -ENOMEM, "out of memory");
    uint64_t run;

    for (uint64_t offset = 0; offset < from->size && result == 0; offset += run) {
        enum image_status status;

        result = image_contents(from, offset, from->size - offset, &status, &run);
        if (result < 0) {
            error_set(error, result, "cannot read the tables of '%s': %s", from->file->path,
                      strerror(-result));
            break;
        }
        if (status == IMAGE_DATA) {
            run = MIN(run, (uint64_t)COPY_BUFFER);
            result = image_copy_run(from, to, offset, run, buffer, true, error);
        }
        if (result == 0) {
            result = image_report_progress(progress, offset + run, from->size, error);
        }
    }
    free(buffer);
    return result;
}

static int image_commit_run(struct image *image, struct image *to, uint64_t offset, uint64_t *run,
                            uint8_t *buffer, struct error *error)
{
    enum image_status status;
    int result = image_status(image, offset, image->size - offset, &status, run);

    if (result < 0) {
        return error_set(error, result, "cannot read the tables of '%s': %s", image->file->path,
                         strerror(-result));
    }
    if (status == IMAGE_DATA) {
        *run = MIN(*run, (uint64_t)COPY_BUFFER);
        return image_copy_run(image, to, offset, *run, buffer, false, error);
    }
    result = status == IMAGE_ZERO ? image_zero(to, offset, *run) : 0;
    return result < 0 ? error_set(error, result, "cannot write '%s' at byte %llu: %s", to->file->path,
                                  (unsigned long long)offset, strerror(-result))
                      : 0;
}

static int image_commit_data(struct image *image, struct image *to, const struct image_progress *progress,
                             struct error *error)
{
    uint8_t *buffer = malloc(COPY_BUFFER);
    int result = buffer ? 0 : error_set(error, -ENOMEM, "out of memory");
    uint64_t run;

    if (result == 0 && image->size > to->size) {
        result = to->ops->grow ? to->ops->grow(to, image->size) : -ENOTSUP;
        if (result < 0) {
            error_set(error, result, "cannot grow '%s': %s", to->file->path, strerror(-result));
        }
    }
    for (uint64_t offset = 0; offset < image->size && result == 0; offset += run) {
        result = image_commit_run(image, to, offset, &run, buffer, error);
        if (result == 0) {
            result = image_report_progress(progress, offset + run, image->size, error);
        }
    }
    free(buffer);
    if (result == 0) {
        result = image_flush(to);
        if (result < 0) {
            error_set(error, result, "cannot flush '%s': %s", to->file->path, strerror(-result));
        }
    }
    return result;
}

/* The backing image again, for writing: our own read lock on it has to make way for a moment. */
static struct image *image_reopen_for_commit(struct image *backing, struct error *error)
{
    unsigned flags = (backing->flags & IMAGE_ANY_BACKING) | IMAGE_WRITE | IMAGE_NO_LOCK;
    struct image *writable = image_open(backing->file->path, backing->ops->format, flags, error);

    if (!writable) {
        return NULL;
    }
    block_file_unlock(backing->file);
    if (block_file_lock(writable->file, true, error) < 0) {
        block_file_lock(backing->file, false, NULL);
        writable->writable = false;
        image_close(writable);
        return NULL;
    }
    return writable;
}

int image_commit(struct image *image, const struct image_progress *progress, struct error *error)
{
    struct image *old = image->backing;
    struct image *writable;
    int result;

    if (!old || !image->ops->empty) {
        return error_set(error, -EINVAL, "'%s' has no backing file to commit to", image->file->path);
    }
    if (!image->writable) {
        return error_set(error, -EROFS, "'%s' is read only", image->file->path);
    }
    writable = image_reopen_for_commit(old, error);
    if (!writable) {
        return -EIO;
    }
    image->backing = writable;
    image_close(old);
    result = image_commit_data(image, writable, progress, error);
    if (result == 0) {
        result = image->ops->empty(image);
        if (result == 0) {
            result = image_flush(image);
        }
        if (result < 0) {
            error_set(error, result, "cannot empty '%s' (its data is in the backing file): %s",
                      image->file->path, strerror(-result));
        }
    }
    image_settle(writable);
    writable->writable = false;
    block_file_unlock(writable->file);
    block_file_lock(writable->file, false, NULL);
    return result;
}
