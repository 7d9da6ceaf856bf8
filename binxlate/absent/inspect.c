/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A build without the translator has no blocks to look at. No engine can exist: these are here to be linked.
 */
#include "binxlate/inspect.h"

void binxlate_each_block(const struct binxlate *binxlate,
                         bool (*each)(void *opaque, const struct binxlate_block *block), void *opaque)
{
    (void)binxlate;
    (void)each;
    (void)opaque;
}

unsigned binxlate_block_parts(const struct binxlate_block *block, struct binxlate_part *part, unsigned max)
{
    (void)block;
    (void)part;
    (void)max;
    return 0;
}

unsigned binxlate_block_exits(const struct binxlate *binxlate, const struct binxlate_block *block,
                              struct binxlate_exit *exit, unsigned max)
{
    (void)binxlate;
    (void)block;
    (void)exit;
    (void)max;
    return 0;
}

unsigned binxlate_block_bytes(const struct binxlate *binxlate, const struct binxlate_block *block,
                              int32_t guest, uint8_t bytes[15])
{
    (void)binxlate;
    (void)block;
    (void)guest;
    (void)bytes;
    return 0;
}

bool binxlate_host_name(const struct binxlate *binxlate, const void *address, char *text, size_t size)
{
    (void)binxlate;
    (void)address;
    (void)text;
    (void)size;
    return false;
}

const char *binxlate_mode_name(unsigned mode, char *text, size_t size)
{
    (void)mode;
    if (size) {
        text[0] = '\0';
    }
    return text;
}

void binxlate_set_counting(struct binxlate *binxlate, bool on)
{
    (void)binxlate;
    (void)on;
}

bool binxlate_counting(const struct binxlate *binxlate)
{
    (void)binxlate;
    return false;
}

unsigned binxlate_exit_counts(const struct binxlate *binxlate, struct binxlate_exit_count *count,
                              unsigned max)
{
    (void)binxlate;
    (void)count;
    (void)max;
    return 0;
}

unsigned binxlate_callout_counts(const struct binxlate *binxlate, struct binxlate_exit_count *count,
                                 unsigned max)
{
    (void)binxlate;
    (void)count;
    (void)max;
    return 0;
}

bool binxlate_reset_exits(struct binxlate *binxlate)
{
    (void)binxlate;
    return false;
}
