/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * qcow2: a write-back cache of tables that are one cluster long. See vm/block_qcow2.h.
 *
 * A few dozen tables, looked for one after the other, the last one first: each L2 table stands for half a gigabyte of
 * disk at the usual cluster size, so nearly every look-up ends with the first comparison.
 */
#include <errno.h>
#include <stdlib.h>

#include "vm/block_qcow2.h"

/* Bytes of tables, and how many at least and at most. */
#define CACHE_BYTES (4 * MIB)
enum { CACHE_MIN = 4, CACHE_MAX = 256 };

int qcow2_cache_init(struct qcow2_cache *cache, uint32_t cluster_size)
{
    cache->count = (unsigned)MAX((uint64_t)CACHE_MIN, MIN(CACHE_BYTES / cluster_size, (uint64_t)CACHE_MAX));
    cache->tables = calloc(cache->count, sizeof(*cache->tables));
    return cache->tables ? 0 : -ENOMEM;
}

void qcow2_cache_fini(struct qcow2_cache *cache)
{
    for (unsigned i = 0; cache->tables && i < cache->count; i++) {
        free(cache->tables[i].bytes);
    }
    free(cache->tables);
}

static struct qcow2_table *qcow2_cache_find(struct qcow2_cache *cache, uint64_t offset)
{
    if (cache->tables[cache->last].offset == offset) {
        return &cache->tables[cache->last];
    }
    for (unsigned i = 0; i < cache->count; i++) {
        if (cache->tables[i].offset == offset) {
            cache->last = i;
            return &cache->tables[i];
        }
    }
    return NULL;
}

/* The table not used for longest; of the clean ones only, NULL if there is none. */
static struct qcow2_table *qcow2_cache_oldest(struct qcow2_cache *cache, bool clean)
{
    struct qcow2_table *oldest = NULL;

    for (unsigned i = 0; i < cache->count; i++) {
        struct qcow2_table *table = &cache->tables[i];

        if (!(clean && table->dirty) && (!oldest || table->used < oldest->used)) {
            oldest = table;
        }
    }
    return oldest;
}

/* A table to be overwritten. While the disk takes no writes the clean ones must do, so that reading goes on. */
static int qcow2_cache_make_room(struct qcow2 *q, struct qcow2_cache *cache, int (*evict)(struct qcow2 *q),
                                 struct qcow2_table **table)
{
    int result = 0;

    *table = qcow2_cache_oldest(cache, false);
    if ((*table)->dirty) {
        result = evict(q);
        *table = result < 0 ? qcow2_cache_oldest(cache, true) : *table;
    }
    if (!*table) {
        return result;
    }
    if (!(*table)->bytes && !((*table)->bytes = malloc(q->cluster_size))) {
        return -ENOMEM;
    }
    return 0;
}

int qcow2_cache_get(struct qcow2 *q, struct qcow2_cache *cache, uint64_t offset, bool fresh,
                    int (*evict)(struct qcow2 *q), struct qcow2_table **table)
{
    struct qcow2_table *found = qcow2_cache_find(cache, offset);
    int result = 0;

    if (!found) {
        result = qcow2_cache_make_room(q, cache, evict, &found);
        if (result < 0) {
            return result;
        }
        found->offset = 0;
        if (!fresh) {
            result = block_file_read(q->image.file, offset, found->bytes, q->cluster_size);
        }
        if (result < 0) {
            return result;
        }
        found->offset = offset;
        cache->last = (unsigned)(found - cache->tables);
    }
    if (fresh) {
        memset(found->bytes, 0, q->cluster_size);
    }
    found->used = ++q->clock;
    *table = found;
    return 0;
}

void qcow2_cache_mark(struct qcow2_cache *cache, struct qcow2_table *table)
{
    table->dirty = true;
    cache->dirty = true;
}

int qcow2_cache_write(struct qcow2 *q, struct qcow2_cache *cache)
{
    for (unsigned i = 0; i < cache->count && cache->dirty; i++) {
        struct qcow2_table *table = &cache->tables[i];
        int result = table->dirty ? qcow2_write_bytes(q, table->offset, table->bytes, q->cluster_size) : 0;

        if (result < 0) {
            return result;
        }
        table->dirty = false;
    }
    cache->dirty = false;
    return 0;
}

void qcow2_cache_drop(struct qcow2_cache *cache, uint64_t offset)
{
    struct qcow2_table *table = qcow2_cache_find(cache, offset);

    if (table) {
        table->offset = 0;
        table->dirty = false;
        table->used = 0;
    }
}
