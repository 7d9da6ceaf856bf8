/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Raw images: the file, or host block device, is the disk, byte for byte. See vm/block_image.h.
 *
 * A file whose length is no multiple of a sector ends in zeros up to one; a write there makes them real.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/block.h"
#include "vm/block_image.h"

static int raw_read(struct image *image, uint64_t offset, uint8_t *bytes, uint64_t length)
{
    return block_file_read(image->file, offset, bytes, length);
}

static int raw_write(struct image *image, uint64_t offset, const uint8_t *bytes, uint64_t length)
{
    return block_file_write(image->file, offset, bytes, length);
}

static int raw_zero(struct image *image, uint64_t offset, uint64_t length)
{
    return block_file_punch(image->file, offset, length);
}

/* A hint: that the host cannot make holes is no failure. */
static int raw_discard(struct image *image, uint64_t offset, uint64_t length)
{
    int result = block_file_punch(image->file, offset, length);

    return result == -ENOTSUP ? 0 : result;
}

static int raw_flush(struct image *image)
{
    return block_file_flush(image->file);
}

static int raw_status(struct image *image, uint64_t offset, uint64_t length, enum image_status *status,
                      uint64_t *run)
{
    uint64_t start, end;

    if (offset >= image->file->size) { /* the zeros behind the end of the file */
        *status = IMAGE_ZERO;
        *run = length;
        return 0;
    }
    block_file_next_data(image->file, offset, &start, &end);
    *status = start > offset ? IMAGE_ZERO : IMAGE_DATA;
    *run = MIN(length, (start > offset ? start : end) - offset);
    return 0;
}

static int raw_grow(struct image *image, uint64_t size)
{
    int result = block_file_truncate(image->file, size);

    if (result == 0) {
        image->size = size;
    }
    return result;
}

static void raw_fini(struct image *image)
{
    (void)image;
}

static const struct image_ops raw_ops = {
    .format = "raw",
    .read = raw_read,
    .write = raw_write,
    .zero = raw_zero,
    .discard = raw_discard,
    .flush = raw_flush,
    .status = raw_status,
    .grow = raw_grow,
    .fini = raw_fini,
};

struct image *image_raw_open(struct block_file *file, unsigned flags, struct error *error)
{
    struct image *image = calloc(1, sizeof(*image));

    if (!image) {
        error_set(error, -ENOMEM, "out of memory");
        return NULL;
    }
    image->ops = &raw_ops;
    image->file = file;
    image->flags = flags;
    image->writable = file->writable;
    image->size = ALIGN_UP(file->size, BLOCK_SECTOR_SIZE);
    return image;
}
