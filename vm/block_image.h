/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Disk images: one interface over the formats, synchronous, used by a disk's worker thread and by `hypatia img`.
 *
 *   struct image ---- raw:   the file is the disk                               (vm/block_raw.c)
 *                \--- qcow2: clusters on demand, over a backing image           (vm/block_qcow2*.c)
 *
 * The format is never guessed from the contents, which a guest may have written: it is what the user says, else
 * what the file's NAME ends in (".qcow2" is qcow2, everything else raw). A file taken for raw by its name that begins
 * like a qcow2 image is refused with the question which of the two was meant.
 *
 * An image is used by one thread at a time. Offsets and lengths are bytes; a length of 0 does nothing. Results are
 * 0 or a negative errno.
 *
 * Not modelled: encryption, external data files, extended L2 entries (subclusters), writing compressed clusters,
 * making and applying internal snapshots (those there are stay intact).
 */
#ifndef VM_BLOCK_IMAGE_H
#define VM_BLOCK_IMAGE_H

#include <stdio.h>

#include "vm/block_file.h"

enum image_flags {
    IMAGE_WRITE = 1,
    IMAGE_NO_LOCK = 2,
    IMAGE_NO_FLUSH = 4,
    IMAGE_NO_BACKING = 8,   /* this file only: what it leaves to its backing image reads as zeros */
    IMAGE_ANY_BACKING = 16, /* also backing files with absolute paths, or outside the image's directory */
    IMAGE_REPAIR = 32,      /* for `img check -r`: open an image that is marked corrupt */
};

enum { IMAGE_CHAIN_MAX = 64, IMAGE_NAME_MAX = 1023 };

struct image;
struct image_report;

/* What a range of an image is made of. */
enum image_status {
    IMAGE_DATA,    /* bytes of its own */
    IMAGE_ZERO,    /* zeros, by its own word */
    IMAGE_BACKING, /* left to the backing image; zeros without one */
};

struct image_ops {
    const char *format; /* "raw" */
    /* All inside the image's size. */
    int (*read)(struct image *image, uint64_t offset, uint8_t *bytes, uint64_t length);
    int (*write)(struct image *image, uint64_t offset, const uint8_t *bytes, uint64_t length);
    /* Make it read as zeros: in place of writing them. -ENOTSUP if that is not cheaper. */
    int (*zero)(struct image *image, uint64_t offset, uint64_t length);
    int (*discard)(struct image *image, uint64_t offset, uint64_t length);
    /* After this a crash of host or process loses nothing written before. */
    int (*flush)(struct image *image);
    /* Write what is pending in memory, in a safe order, without waiting for the disk. NULL: nothing ever is. */
    int (*settle)(struct image *image);
    /* The status at `offset`, and for how many bytes (1..length) it holds. */
    int (*status)(struct image *image, uint64_t offset, uint64_t length, enum image_status *status,
                  uint64_t *run);
    /* Give up all own data; everything is left to the backing image. NULL: not possible. */
    int (*empty)(struct image *image);
    /* NULL: not possible. */
    int (*grow)(struct image *image, uint64_t size);
    /* Consistency; NULL if there is nothing to check. `fix`: bits of enum image_fix. */
    int (*check)(struct image *image, unsigned fix, struct image_report *report, struct error *error);
    /* Lines `name: value` about the format. */
    void (*describe)(struct image *image, FILE *out, const char *indent);
    /* Close what is the format's; not the file, not the backing image. Flushes nothing. */
    void (*fini)(struct image *image);
};

enum image_fix { IMAGE_FIX_LEAKS = 1, IMAGE_FIX_ALL = 2 };

/* What a check found. */
struct image_report {
    FILE *out; /* one line a finding, at most 100; NULL for none */
    uint64_t errors, leaks, fixed_errors, fixed_leaks;
    uint64_t lines;
    uint64_t allocated_clusters, total_clusters, compressed_clusters;
    void (*progress)(void *opaque, uint64_t done, uint64_t total); /* or NULL */
    void *opaque;
};

struct image {
    const struct image_ops *ops;
    struct block_file *file; /* owned */
    uint64_t size;           /* of the disk, bytes */
    bool writable;
    struct image *backing; /* owned; NULL: none. Read only. */
    char *backing_name;    /* as the file says; NULL: none */
    char *backing_format;
    unsigned flags;        /* enum image_flags it was opened with */
    uint32_t cluster_size; /* bytes handled as one; 0: any */
    char problem[160];     /* why it refuses to be written; "" while all is well */
};

/* The format `name` says, or by the path's ending if `name` is NULL; NULL with the text for an unknown one. */
const char *image_format(const char *name, const char *path, struct error *error);

/* format NULL: by the path's ending. NULL with the text. */
struct image *image_open(const char *path, const char *format, unsigned flags, struct error *error);
/* NULL is legal. Writes what is pending; use image_flush() first to hear of errors. Closes the backing images. */
void image_close(struct image *image);

struct image_create_options {
    uint64_t size;       /* bytes; 0 with a backing image: its size */
    const char *backing; /* NULL: none. Relative to the new image's directory */
    const char *backing_format;
    unsigned cluster_bits;  /* 0: the default, 16 */
    unsigned refcount_bits; /* 0: the default, 16 */
    unsigned version;       /* 0: the default, 3 */
    bool lazy_refcounts;    /* sets the flag; counts are kept exactly all the same */
    unsigned flags;         /* IMAGE_ANY_BACKING, IMAGE_NO_BACKING: do not look at the backing image */
};

int image_create(const char *path, const char *format, const struct image_create_options *options,
                 struct error *error);
/* An image over `backing` (which it owns from now on, also on failure) in a temporary file without a name. */
struct image *image_create_overlay(struct image *backing, struct error *error);

/* An image and those below it once more, for another thread, to be read; none of them is written any more. NULL with the text. */
struct image *image_share(const struct image *image, struct error *error);

/* Beyond the end: -EINVAL. */
int image_read(struct image *image, uint64_t offset, void *bytes, uint64_t length);
int image_write(struct image *image, uint64_t offset, const void *bytes, uint64_t length);
int image_zero(struct image *image, uint64_t offset, uint64_t length);
int image_discard(struct image *image, uint64_t offset, uint64_t length);
int image_flush(struct image *image);
int image_settle(struct image *image);
int image_status(struct image *image, uint64_t offset, uint64_t length, enum image_status *status,
                 uint64_t *run);
/* As image_status(), but asks the backing images too: never IMAGE_BACKING. */
int image_contents(struct image *image, uint64_t offset, uint64_t length, enum image_status *status,
                   uint64_t *run);

/* Called now and then during long work; false stops it with -ECANCELED. */
struct image_progress {
    bool (*step)(void *opaque, uint64_t done, uint64_t total);
    void *opaque;
};

/* Write what `from` holds into `to`, which reads as zeros (or as its backing image, if `to` was made with one that
 * `from` shares up to there) and is at least as large. */
int image_copy(struct image *from, struct image *to, const struct image_progress *progress,
               struct error *error);
/* Move an overlay's data into its backing image, which is opened for writing meanwhile, and empty the overlay. A crash
 * at any moment leaves both images clean and the overlay's view of the disk unchanged. */
int image_commit(struct image *image, const struct image_progress *progress, struct error *error);

/* ---- between the formats ---- */

int image_open_backing(struct image *image, unsigned depth, struct error *error);
struct image *image_open_file(struct block_file *file, const char *format, unsigned flags, unsigned depth,
                              struct error *error);
struct image *image_raw_open(struct block_file *file, unsigned flags, struct error *error);
struct image *image_qcow2_open(struct block_file *file, unsigned flags, struct error *error);
/* Lay out an empty image in an empty file. */
int image_qcow2_create(struct block_file *file, const struct image_create_options *options,
                       struct error *error);

#endif
