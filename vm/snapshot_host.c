/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What snapshots do to the host's files. See vm/snapshot_host.h.
 */
#include "vm/snapshot_host.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static int ask(const struct host_dir *dir, enum snapshot_change change, const char *name, size_t length)
{
    return dir->hook ? dir->hook->before(dir->hook->opaque, change, name, length) : 0;
}

int host_ask(const struct host_dir *dir, enum snapshot_change change, const char *name)
{
    return ask(dir, change, name, 0);
}

static int result_of(int result)
{
    return result < 0 ? -errno : 0;
}

/* ---- folders ---- */

int host_dir_open(struct host_dir *dir, const struct host_dir *parent, const char *name,
                  const struct snapshot_hook *hook)
{
    dir->hook = hook;
    dir->fd = openat(parent ? parent->fd : AT_FDCWD, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return dir->fd < 0 ? -errno : 0;
}

void host_dir_close(struct host_dir *dir)
{
    if (dir->fd >= 0) {
        close(dir->fd);
    }
    dir->fd = -1;
}

int host_mkdir(const struct host_dir *dir, const char *name)
{
    int result = ask(dir, SNAPSHOT_MKDIR, name, 0);

    result = result < 0 ? result : result_of(mkdirat(dir->fd, name, 0777));
    return result == -EEXIST ? 0 : result;
}

int host_sync_dir(const struct host_dir *dir)
{
    int result = ask(dir, SNAPSHOT_SYNC, ".", 0);

    return result < 0 ? result : result_of(fsync(dir->fd));
}

/* ---- files ---- */

int host_create(const struct host_dir *dir, const char *name)
{
    int result = ask(dir, SNAPSHOT_CREATE, name, 0);

    if (result < 0) {
        return result;
    }
    result = openat(dir->fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
    return result < 0 ? -errno : result;
}

int host_write(const struct host_dir *dir, int fd, const char *name, const void *bytes, size_t length)
{
    const uint8_t *at = bytes;

    while (length > 0) {
        int first = ask(dir, SNAPSHOT_WRITE, name, length);
        ssize_t n;

        if (first < 0) {
            return first;
        }
        n = write(fd, at, first > 0 ? MIN((size_t)first, length) : length);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return n < 0 ? -errno : -EIO;
        }
        at += n;
        length -= (size_t)n;
    }
    return 0;
}

int host_sync(const struct host_dir *dir, int fd, const char *name)
{
    int result = ask(dir, SNAPSHOT_SYNC, name, 0);

    return result < 0 ? result : result_of(fsync(fd));
}

int host_rename(const struct host_dir *from_dir, const char *from, const struct host_dir *to_dir,
                const char *to)
{
    int result = ask(to_dir, SNAPSHOT_RENAME, to, 0);

    return result < 0 ? result : result_of(renameat(from_dir->fd, from, to_dir->fd, to));
}

int host_link(const struct host_dir *from_dir, const struct host_dir *to_dir, const char *name)
{
    int result = ask(to_dir, SNAPSHOT_LINK, name, 0);

    return result < 0 ? result : result_of(linkat(from_dir->fd, name, to_dir->fd, name, 0));
}

int host_remove(const struct host_dir *dir, const char *name)
{
    int result = ask(dir, SNAPSHOT_REMOVE, name, 0);

    result = result < 0 ? result : result_of(unlinkat(dir->fd, name, 0));
    return result == -ENOENT ? 0 : result;
}

static int remove_files(const struct host_dir *dir)
{
    int fd = dup(dir->fd);
    DIR *list = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;
    int result = 0;

    if (!list) {
        result = -errno;
        if (fd >= 0) {
            close(fd);
        }
        return result;
    }
    rewinddir(list);
    while (result == 0 && (entry = readdir(list))) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            result = host_remove(dir, entry->d_name);
        }
    }
    closedir(list);
    return result;
}

int host_remove_dir(const struct host_dir *dir, const char *name)
{
    struct host_dir inner;
    int result = host_dir_open(&inner, dir, name, dir->hook);

    if (result == -ENOENT) {
        return 0;
    }
    if (result == 0) {
        result = remove_files(&inner);
        host_dir_close(&inner);
    }
    if (result == 0) {
        result = ask(dir, SNAPSHOT_REMOVE, name, 0);
    }
    return result < 0 ? result : result_of(unlinkat(dir->fd, name, AT_REMOVEDIR));
}

int host_replace(const struct host_dir *dir, const char *name, const void *bytes, size_t length)
{
    char temporary[80];
    int result, fd;

    snprintf(temporary, sizeof(temporary), "%s.new", name);
    result = host_remove(dir, temporary);
    fd = result < 0 ? result : host_create(dir, temporary);
    if (fd < 0) {
        return fd;
    }
    result = host_write(dir, fd, temporary, bytes, length);
    if (result == 0) {
        result = host_sync(dir, fd, temporary);
    }
    close(fd);
    if (result == 0) {
        result = host_rename(dir, temporary, dir, name);
    }
    if (result < 0) {
        unlinkat(dir->fd, temporary, 0);
        return result;
    }
    return host_sync_dir(dir);
}

/* ---- reading ---- */

int host_open(const struct host_dir *dir, const char *name, uint64_t *length)
{
    int fd = openat(dir->fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    struct stat status;

    if (fd < 0) {
        return -errno;
    }
    if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode)) {
        close(fd);
        return -EINVAL;
    }
    *length = (uint64_t)status.st_size;
    return fd;
}

int host_read_at(int fd, uint64_t offset, void *bytes, size_t length)
{
    uint8_t *at = bytes;

    while (length > 0) {
        ssize_t n = pread(fd, at, length, (off_t)offset);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return n < 0 ? -errno : -EIO;
        }
        at += n;
        offset += (uint64_t)n;
        length -= (size_t)n;
    }
    return 0;
}

int host_read(const struct host_dir *dir, const char *name, size_t max, uint8_t **bytes, size_t *length)
{
    uint64_t size;
    int fd = host_open(dir, name, &size), result = 0;

    if (fd < 0) {
        return fd;
    }
    *bytes = NULL;
    if (size > max) {
        result = -EFBIG;
    } else {
        *bytes = malloc(size + 1);
        result = *bytes ? host_read_at(fd, 0, *bytes, size) : -ENOMEM;
    }
    close(fd);
    if (result < 0) {
        free(*bytes);
        *bytes = NULL;
        return result;
    }
    (*bytes)[size] = 0;
    *length = size;
    return 0;
}
