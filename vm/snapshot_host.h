/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What snapshots do to the host's files, in a folder held by a descriptor: every change is one call here, so that the
 * order of changes can be read in one place and tests can stop, fail or shorten each of them.
 *
 * Results are 0 or a negative errno; nothing here writes a text.
 */
#ifndef VM_SNAPSHOT_HOST_H
#define VM_SNAPSHOT_HOST_H

#include "base/error.h"
#include "base/types.h"

enum snapshot_change {
    SNAPSHOT_CREATE, /* a file */
    SNAPSHOT_MKDIR,
    SNAPSHOT_WRITE,
    SNAPSHOT_SYNC, /* a file, or a folder's names */
    SNAPSHOT_RENAME,
    SNAPSHOT_LINK,
    SNAPSHOT_REMOVE,
};

/* Sees every change before it is made: for tests. Called by the VM's thread and by the writer's. */
struct snapshot_hook {
    /* 0 lets it happen; a negative errno is its result instead; a positive number is how many bytes of a write are made
     * at first (the rest is another write). */
    int (*before)(void *opaque, enum snapshot_change change, const char *name, size_t length);
    void *opaque;
};

/* A folder. */
struct host_dir {
    int fd; /* -1: not open */
    const struct snapshot_hook *hook;
};

/* Open `name` below `parent` (NULL: a path). */
int host_dir_open(struct host_dir *dir, const struct host_dir *parent, const char *name,
                  const struct snapshot_hook *hook);
void host_dir_close(struct host_dir *dir);
/* Make it, unless it is there. */
int host_mkdir(const struct host_dir *dir, const char *name);
int host_sync_dir(const struct host_dir *dir);

/* For changes that others make: what the hook says. */
int host_ask(const struct host_dir *dir, enum snapshot_change change, const char *name);

/* A new file for writing: its descriptor. -EEXIST if there is one. */
int host_create(const struct host_dir *dir, const char *name);
/* All of it. */
int host_write(const struct host_dir *dir, int fd, const char *name, const void *bytes, size_t length);
int host_sync(const struct host_dir *dir, int fd, const char *name);
int host_rename(const struct host_dir *from_dir, const char *from, const struct host_dir *to_dir,
                const char *to);
int host_link(const struct host_dir *from_dir, const struct host_dir *to_dir, const char *name);
/* A file; 0 if it is not there. */
int host_remove(const struct host_dir *dir, const char *name);
/* A folder of files; 0 if it is not there. */
int host_remove_dir(const struct host_dir *dir, const char *name);

/* Put a small file in place of the one there is: it holds the old or the new bytes at every moment. Durable on return. */
int host_replace(const struct host_dir *dir, const char *name, const void *bytes, size_t length);

/* A regular file for reading, never through a symbolic link: its descriptor, and its length. */
int host_open(const struct host_dir *dir, const char *name, uint64_t *length);
/* All of a file of at most `max` bytes; *bytes is the caller's to free. -EFBIG if it is longer. */
int host_read(const struct host_dir *dir, const char *name, size_t max, uint8_t **bytes, size_t *length);
/* So many bytes at an offset, or -EIO if the file ends before. */
int host_read_at(int fd, uint64_t offset, void *bytes, size_t length);

#endif
