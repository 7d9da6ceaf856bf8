/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A host file or block device that holds a disk image: whole reads and writes, durability, holes, locks.
 *
 * Locks are open-file-description locks (fcntl(2), F_OFD_SETLK) on single bytes, by the convention QEMU's tools
 * follow, so that neither program opens for writing what the other uses:
 *
 *   byte 100 + p   held (shared) by whoever uses permission p
 *   byte 200 + p   held (shared) by whoever forbids the others to use permission p
 *   p: 0 consistent reading, 1 writing, 3 resizing
 *
 * A writer uses 0, 1, 3 and forbids 1, 3; a reader uses 0 and forbids 1, 3. The bytes need not exist, and the
 * kernel drops the locks with the last copy of the descriptor, also after kill -9.
 *
 * Not modelled: asynchronous host I/O (a disk has a worker thread instead), O_DIRECT.
 */
#ifndef VM_BLOCK_FILE_H
#define VM_BLOCK_FILE_H

#include <sys/uio.h>

#include "base/error.h"
#include "base/types.h"

enum block_file_flags {
    BLOCK_FILE_WRITE = 1,    /* otherwise read only */
    BLOCK_FILE_CREATE = 2,   /* make a new file, or empty the one there is */
    BLOCK_FILE_NO_LOCK = 4,  /* the caller locks it later, or it is its own */
    BLOCK_FILE_NO_FLUSH = 8, /* flushes do nothing: for scratch images */
};

enum block_file_access {
    BLOCK_FILE_IO_WRITE,
    BLOCK_FILE_IO_SYNC,
    BLOCK_FILE_IO_TRUNCATE,
    BLOCK_FILE_IO_PUNCH
};

/* Sees every change before it is made: for tests that record writes or make them fail. */
struct block_file_hook {
    /* 0 lets it happen; a negative errno is its result instead. */
    int (*before)(void *opaque, enum block_file_access access, uint64_t offset, const struct iovec *iov,
                  unsigned iov_count, uint64_t length);
    void *opaque;
};

struct block_file {
    int fd;
    char *path; /* owned; for messages */
    bool writable;
    bool is_device; /* a host block device: fixed size, no holes */
    bool no_flush;
    int flush_error; /* of the first flush that failed: the kernel may have dropped what it could not write, so no
                        later flush can promise anything */
    uint64_t size; /* bytes; grows with writes */
    const struct block_file_hook *hook;
};

/* NULL with the text. */
struct block_file *block_file_open(const char *path, unsigned flags, struct error *error);
/* A writable file without a name in $TMPDIR or /var/tmp, gone with its descriptor. */
struct block_file *block_file_open_temporary(struct error *error);
/* The same open file once more, to be read: it keeps the locks that the first has. NULL with the text. */
struct block_file *block_file_share(const struct block_file *file, struct error *error);
/* NULL is legal. Does not flush. */
void block_file_close(struct block_file *file);

/* Take the locks of a writer or reader, or give all of them up. -EBUSY with the text if somebody else's forbid it. */
int block_file_lock(struct block_file *file, bool write, struct error *error);
void block_file_unlock(struct block_file *file);

/* All or an error; beyond the end reads give zeros. */
int block_file_read(struct block_file *file, uint64_t offset, void *bytes, size_t length);
int block_file_write(struct block_file *file, uint64_t offset, const void *bytes, size_t length);
/* At most 4 pieces, in one piece for the hook. */
int block_file_writev(struct block_file *file, uint64_t offset, const struct iovec *iov, unsigned count);
/* What was written survives a crash of the host. */
int block_file_flush(struct block_file *file);
int block_file_truncate(struct block_file *file, uint64_t size);
/* Make a range read as zeros and give its space back, if the file system can; -ENOTSUP otherwise. */
int block_file_punch(struct block_file *file, uint64_t offset, uint64_t length);

/* The next range at or behind `offset` that may hold something else than zeros; [size, size) when there is none. */
void block_file_next_data(struct block_file *file, uint64_t offset, uint64_t *start, uint64_t *end);
/* Space it takes on the host, bytes. */
uint64_t block_file_allocated(const struct block_file *file);

#endif
