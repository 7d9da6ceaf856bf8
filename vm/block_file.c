/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A host file or block device that holds a disk image. See vm/block_file.h.
 */
#include "vm/block_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    LOCK_USES = 100,
    LOCK_FORBIDS = 200,
    PERMISSION_READ = 0,
    PERMISSION_WRITE = 1,
    PERMISSION_RESIZE = 3,
    LOCK_BYTES = 104, /* LOCK_USES .. LOCK_FORBIDS + PERMISSION_RESIZE */
    MAX_PIECES = 4,
};

/* ---- opening ---- */

static int block_file_inspect(struct block_file *file, struct error *error)
{
    struct stat info;
    off_t end;

    if (fstat(file->fd, &info) < 0) {
        return error_set(error, -errno, "cannot look at '%s': %s", file->path, strerror(errno));
    }
    file->is_device = S_ISBLK(info.st_mode);
    if (!file->is_device && !S_ISREG(info.st_mode)) {
        return error_set(error, -EINVAL, "'%s' is neither a file nor a block device", file->path);
    }
    end = lseek(file->fd, 0, SEEK_END);
    if (end < 0) {
        return error_set(error, -errno, "cannot find the size of '%s': %s", file->path, strerror(errno));
    }
    file->size = (uint64_t)end;
    return 0;
}

static struct block_file *block_file_create(int fd, const char *path, bool writable, struct error *error)
{
    struct block_file *file = calloc(1, sizeof(*file));

    if (!file || !(file->path = strdup(path))) {
        error_set(error, -ENOMEM, "out of memory");
        free(file);
        close(fd);
        return NULL;
    }
    file->fd = fd;
    file->writable = writable;
    return file;
}

struct block_file *block_file_open(const char *path, unsigned flags, struct error *error)
{
    bool writable = flags & BLOCK_FILE_WRITE;
    /* O_NONBLOCK: a FIFO by that name must not hold us; it means nothing to files and disks. */
    int mode = (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NONBLOCK;
    int fd = open(path, flags & BLOCK_FILE_CREATE ? mode | O_CREAT : mode, 0644);
    struct block_file *file;
    int result;

    if (fd < 0) {
        error_set(error, -errno, "cannot open '%s'%s: %s", path, writable ? " for writing" : "",
                  strerror(errno));
        return NULL;
    }
    file = block_file_create(fd, path, writable, error);
    if (!file) {
        return NULL;
    }
    file->no_flush = flags & BLOCK_FILE_NO_FLUSH;
    if (block_file_inspect(file, error) < 0 ||
        (!(flags & BLOCK_FILE_NO_LOCK) && block_file_lock(file, writable, error) < 0)) {
        block_file_close(file);
        return NULL;
    }
    result = (flags & BLOCK_FILE_CREATE) && !file->is_device ? block_file_truncate(file, 0) : 0;
    if (result < 0) {
        error_set(error, result, "cannot empty '%s': %s", path, strerror(-result));
        block_file_close(file);
        return NULL;
    }
    return file;
}

struct block_file *block_file_open_temporary(struct error *error)
{
    const char *directory = getenv("TMPDIR");
    char path[PATH_MAX];
    int fd;

    if (!directory || !*directory) {
        directory = "/var/tmp"; /* on disk, unlike many a /tmp */
    }
    snprintf(path, sizeof(path), "%s/hypatia-XXXXXX", directory);
    fd = mkostemp(path, O_CLOEXEC);
    if (fd < 0) {
        error_set(error, -errno, "cannot make a temporary file in '%s' (TMPDIR chooses another place): %s",
                  directory, strerror(errno));
        return NULL;
    }
    unlink(path);
    return block_file_create(fd, "temporary overlay", true, error);
}

struct block_file *block_file_share(const struct block_file *file, struct error *error)
{
    int fd = fcntl(file->fd, F_DUPFD_CLOEXEC, 0);
    struct block_file *shared;

    if (fd < 0) {
        error_set(error, -errno, "cannot open '%s' once more: %s", file->path, strerror(errno));
        return NULL;
    }
    shared = block_file_create(fd, file->path, false, error);
    if (shared) {
        shared->is_device = file->is_device;
        shared->size = file->size;
    }
    return shared;
}

void block_file_close(struct block_file *file)
{
    if (file) {
        close(file->fd);
        free(file->path);
        free(file);
    }
}

/* ---- locks ---- */

static int block_file_lock_byte(struct block_file *file, int command, short type, off_t byte, off_t count)
{
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = count};

    if (fcntl(file->fd, command, &lock) < 0) {
        return -errno;
    }
    return lock.l_type != F_UNLCK && command == F_OFD_GETLK ? -EBUSY : 0;
}

/* Take first and look then: of two that come together at most one goes on. */
static int block_file_take_locks(struct block_file *file, bool write)
{
    static const uint8_t uses[] = {LOCK_USES + PERMISSION_READ, LOCK_FORBIDS + PERMISSION_WRITE,
                                   LOCK_FORBIDS + PERMISSION_RESIZE, LOCK_USES + PERMISSION_WRITE,
                                   LOCK_USES + PERMISSION_RESIZE};
    /* A reader minds those who write, a writer also those who forbid it. */
    static const uint8_t minds[] = {LOCK_USES + PERMISSION_WRITE, LOCK_USES + PERMISSION_RESIZE,
                                    LOCK_FORBIDS + PERMISSION_READ, LOCK_FORBIDS + PERMISSION_WRITE,
                                    LOCK_FORBIDS + PERMISSION_RESIZE};
    unsigned count = write ? 5 : 3;
    int result = 0;

    for (unsigned i = 0; i < count && result == 0; i++) {
        result = block_file_lock_byte(file, F_OFD_SETLK, F_RDLCK, uses[i], 1);
    }
    for (unsigned i = 0; i < count && result == 0; i++) {
        result = block_file_lock_byte(file, F_OFD_GETLK, F_WRLCK, minds[i], 1);
    }
    return result;
}

int block_file_lock(struct block_file *file, bool write, struct error *error)
{
    int result = block_file_take_locks(file, write);

    if (result == -EBUSY || result == -EAGAIN || result == -EACCES) {
        block_file_unlock(file);
        return error_set(error, -EBUSY, "'%s' is in use by another program%s", file->path,
                         write ? "" : ", which may write to it");
    }
    return 0; /* a file system without locks: the user's own care is all there is */
}

void block_file_unlock(struct block_file *file)
{
    block_file_lock_byte(file, F_OFD_SETLK, F_UNLCK, LOCK_USES, LOCK_BYTES);
}

/* ---- transfer ---- */

int block_file_read(struct block_file *file, uint64_t offset, void *bytes, size_t length)
{
    uint8_t *to = bytes;

    if (offset > INT64_MAX - length) {
        return -EINVAL;
    }
    while (length > 0) {
        ssize_t n = pread(file->fd, to, length, (off_t)offset);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return -errno;
        }
        if (n == 0) {
            memset(to, 0, length);
            return 0;
        }
        to += n;
        offset += (uint64_t)n;
        length -= (size_t)n;
    }
    return 0;
}

static int block_file_ask_hook(struct block_file *file, enum block_file_access access, uint64_t offset,
                               const struct iovec *iov, unsigned count, uint64_t length)
{
    return file->hook ? file->hook->before(file->hook->opaque, access, offset, iov, count, length) : 0;
}

/* Move the pieces on by n bytes; returns how many are left. */
static unsigned iovec_advance(struct iovec *iov, unsigned count, size_t n)
{
    unsigned skip = 0;

    while (skip < count && n >= iov[skip].iov_len) {
        n -= iov[skip++].iov_len;
    }
    memmove(iov, iov + skip, (count - skip) * sizeof(*iov));
    if (skip < count) {
        iov[0].iov_base = (uint8_t *)iov[0].iov_base + n;
        iov[0].iov_len -= n;
    }
    return count - skip;
}

int block_file_writev(struct block_file *file, uint64_t offset, const struct iovec *iov, unsigned count)
{
    struct iovec piece[MAX_PIECES];
    uint64_t length = 0;
    int result;

    for (unsigned i = 0; i < count; i++) {
        length += iov[i].iov_len;
    }
    if (count > MAX_PIECES || offset > INT64_MAX - length) {
        return -EFBIG;
    }
    if (!file->writable) {
        return -EROFS;
    }
    result = block_file_ask_hook(file, BLOCK_FILE_IO_WRITE, offset, iov, count, length);
    if (result < 0) {
        return result;
    }
    memcpy(piece, iov, count * sizeof(*iov));
    count = iovec_advance(piece, count, 0);
    while (count > 0) {
        ssize_t n = pwritev(file->fd, piece, (int)count, (off_t)offset);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return n < 0 ? -errno : -ENOSPC;
        }
        offset += (uint64_t)n;
        file->size = MAX(file->size, offset);
        count = iovec_advance(piece, count, (size_t)n);
    }
    return 0;
}

int block_file_write(struct block_file *file, uint64_t offset, const void *bytes, size_t length)
{
    struct iovec iov = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = length};

    return block_file_writev(file, offset, &iov, 1);
}

int block_file_flush(struct block_file *file)
{
    int result;

    if (!file->writable) {
        return 0;
    }
    if (file->flush_error < 0) {
        return file->flush_error;
    }
    result = block_file_ask_hook(file, BLOCK_FILE_IO_SYNC, 0, NULL, 0, 0);
    if (result == 0 && !file->no_flush && fdatasync(file->fd) < 0) {
        result = -errno;
    }
    file->flush_error = result;
    return result;
}

int block_file_truncate(struct block_file *file, uint64_t size)
{
    int result = block_file_ask_hook(file, BLOCK_FILE_IO_TRUNCATE, size, NULL, 0, 0);

    if (result < 0) {
        return result;
    }
    if (file->is_device) {
        return size <= file->size ? 0 : -ENOSPC;
    }
    if (size > INT64_MAX) {
        return -EFBIG;
    }
    if (ftruncate(file->fd, (off_t)size) < 0) {
        return -errno;
    }
    file->size = size;
    return 0;
}

int block_file_punch(struct block_file *file, uint64_t offset, uint64_t length)
{
    int result;

    if (file->is_device || !file->writable) {
        return -ENOTSUP;
    }
    result = block_file_ask_hook(file, BLOCK_FILE_IO_PUNCH, offset, NULL, 0, length);
    if (result < 0) {
        return result;
    }
    if (fallocate(file->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)length) < 0) {
        return errno == EOPNOTSUPP || errno == ENOSYS ? -ENOTSUP : -errno;
    }
    return 0;
}

/* ---- holes ---- */

void block_file_next_data(struct block_file *file, uint64_t offset, uint64_t *start, uint64_t *end)
{
    off_t data = offset < file->size ? lseek(file->fd, (off_t)offset, SEEK_DATA) : -1;
    off_t hole = data >= 0 ? lseek(file->fd, data, SEEK_HOLE) : -1;

    if (data >= 0) {
        *start = (uint64_t)data;
        *end = hole > data ? (uint64_t)hole : file->size;
        return;
    }
    /* ENXIO: nothing but holes up to the end. Anything else: the file system cannot tell. */
    *start = offset >= file->size || errno == ENXIO ? file->size : offset;
    *end = file->size;
}

uint64_t block_file_allocated(const struct block_file *file)
{
    struct stat info;

    return fstat(file->fd, &info) == 0 ? (uint64_t)info.st_blocks * 512 : 0;
}
