/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * qcow2: compressed clusters, read only. See vm/block_qcow2.h.
 *
 * A compressed cluster lies anywhere in the file, several in one cluster of it. Its L2 entry says where it begins, to
 * the byte, and in which sector it ends, not where in it. It is a raw deflate stream with a window of 4 KiB, or in version 3
 * images that say so a zstd frame; what it unpacks to is exactly one cluster.
 */
#include <errno.h>
#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>

#include "vm/block_qcow2.h"

enum { DEFLATE_WINDOW_BITS = 12, SECTOR = 512 };

void qcow2_compressed_range(const struct qcow2 *q, uint64_t entry, uint64_t *offset, uint64_t *length)
{
    uint32_t offset_bits = 62 - (q->cluster_bits - 8);
    uint64_t sectors = bits_get(entry, 61, offset_bits) + 1;

    *offset = bits_get(entry, offset_bits - 1, 0);
    *length = sectors * SECTOR - *offset % SECTOR;
}

static int qcow2_inflate(struct qcow2 *q, uint8_t *packed, uint64_t length)
{
    z_stream stream = {
        .next_in = packed, .avail_in = (uInt)length, .next_out = q->unpacked, .avail_out = q->cluster_size};
    int result;

    if (inflateInit2(&stream, -DEFLATE_WINDOW_BITS) != Z_OK) {
        return -ENOMEM;
    }
    result = inflate(&stream, Z_FINISH);
    inflateEnd(&stream);
    return stream.avail_out == 0 && (result == Z_STREAM_END || result == Z_BUF_ERROR || result == Z_OK)
               ? 0
               : -EIO;
}

static int qcow2_unzstd(struct qcow2 *q, const uint8_t *packed, uint64_t length)
{
    ZSTD_inBuffer in = {.src = packed, .size = length};
    ZSTD_outBuffer out = {.dst = q->unpacked, .size = q->cluster_size};
    ZSTD_DCtx *context = ZSTD_createDCtx();
    size_t result = 1;

    if (!context) {
        return -ENOMEM;
    }
    /* Bytes of the last sector behind the frame are not ours: stop when the frame or the room ends. */
    while (result != 0 && !ZSTD_isError(result) && out.pos < out.size) {
        size_t before = in.pos + out.pos;

        result = ZSTD_decompressStream(context, &out, &in);
        if (in.pos + out.pos == before) {
            break;
        }
    }
    ZSTD_freeDCtx(context);
    return !ZSTD_isError(result) && out.pos == out.size ? 0 : -EIO;
}

int qcow2_unpack(struct qcow2 *q, uint64_t entry)
{
    uint64_t offset, length;
    uint8_t *packed;
    int result;

    if (entry == q->unpacked_entry) {
        return 0;
    }
    qcow2_compressed_range(q, entry, &offset, &length);
    packed = malloc(length); /* at most two clusters, by the width of its field */
    if (!packed) {
        return -ENOMEM;
    }
    q->unpacked_entry = 0;
    result = block_file_read(q->image.file, offset, packed, length);
    if (result == 0) {
        result =
            q->compression == QCOW2_ZSTD ? qcow2_unzstd(q, packed, length) : qcow2_inflate(q, packed, length);
    }
    if (result == 0) {
        q->unpacked_entry = entry;
    }
    free(packed);
    return result;
}
