/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The store of translated blocks.
 *
 * A block is keyed by where its bytes lie in the VM's memory, by its linear address (relative jumps have it built in)
 * and by the mode. Code is never moved or reused before the whole buffer is reset, so dropping a block means
 * turning its ways in into jumps to its stub `gone`; nobody who is chained to it need be found.
 */
#include <stdlib.h>

#include "binxlate/engine.h"
#include "cpu/points.h"

enum { ENTRY_PATCH_SIZE = 5 }; /* JMP rel32; every way in is at least that long */

static unsigned block_bucket(uint32_t linear, roff_t roff, unsigned mode)
{
    uint64_t hash = (linear ^ roff << 13 ^ (uint64_t)mode << 9) * 0x9e3779b97f4a7c15u;

    return (unsigned)(hash >> 48) % BLOCK_BUCKETS;
}

struct block *block_find(const struct binxlate *x, uint32_t linear, roff_t roff, unsigned mode)
{
    struct block *block = x->bucket[block_bucket(linear, roff, mode)];

    while (block && (block->linear != linear || block->roff != roff || block->mode != mode)) {
        block = block->next_in_bucket;
    }
    return block;
}

bool block_enter(struct binxlate *x, struct block *block)
{
    if (x->block_count == x->block_capacity) {
        size_t capacity = x->block_capacity ? 2 * x->block_capacity : 4096;
        struct block **blocks = realloc(x->blocks, capacity * sizeof(struct block *));
        if (!blocks) {
            return false;
        }
        x->blocks = blocks;
        x->block_capacity = capacity;
    }
    x->blocks[x->block_count++] = block;
    struct block **bucket = &x->bucket[block_bucket(block->linear, block->roff, block->mode)];
    block->next_in_bucket = *bucket;
    *bucket = block;
    smc_enter(x, block);
    x->stats.blocks_made++;
    return true;
}

static void redirect(const struct binxlate *x, uint8_t *way_in, const void *target)
{
    struct emit e;

    emit_init(&e, way_in, way_in + ENTRY_PATCH_SIZE, code_view(&x->code));
    emit_jmp(&e, target);
}

void block_drop(struct binxlate *x, struct block *block)
{
    struct block **link = &x->bucket[block_bucket(block->linear, block->roff, block->mode)];

    if (block->dead) {
        return;
    }
    block->dead = true;
    while (*link && *link != block) {
        link = &(*link)->next_in_bucket;
    }
    if (*link) {
        *link = block->next_in_bucket;
    }
    redirect(x, block->indirect, x->exit_indirect);
    redirect(x, block->verified, block->gone);
    redirect(x, block->body, block->gone);
    x->stats.blocks_invalidated++;
}

void block_replace(struct binxlate *x, const struct block *dropped, const struct block *block)
{
    bool same_frame = dropped->roff == block->roff;

    redirect(x, dropped->indirect, code_exec(x, block->indirect));
    redirect(x, dropped->verified, code_exec(x, block->verified));
    redirect(x, dropped->body, code_exec(x, same_frame ? block->body : block->verified));
}

/* May a point lie in the block? It need not be at the start of an instruction. */
static bool holds_point(const struct block *block, const struct points *points)
{
    roff_t first = ALIGN_DOWN(block->roff, PAGE_SIZE) + block->first;
    uint32_t first_linear = (uint32_t)ALIGN_DOWN(block->linear, PAGE_SIZE) + block->first;

    for (unsigned i = 0; i < points->code_count; i++) {
        const struct code_point *point = &points->code[i];
        if (point->physical ? point->roff - first < block->length
                            : point->address - first_linear < block->length) {
            return true;
        }
    }
    return false;
}

void block_drop_points(struct binxlate *x, const struct points *points)
{
    for (size_t i = 0; i < x->block_count; i++) {
        if (!x->blocks[i]->dead && holds_point(x->blocks[i], points)) {
            block_drop(x, x->blocks[i]);
        }
    }
}

struct block *block_at_host(const struct binxlate *x, const uint8_t *pc)
{
    const uint8_t *code = pc - code_view(&x->code);
    size_t low = 0, high = x->block_count;

    while (low < high) {
        size_t middle = (low + high) / 2;
        if (x->blocks[middle]->code <= code) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    struct block *block = low ? x->blocks[low - 1] : NULL;
    return block && code < block->code + block->code_size ? block : NULL;
}

const struct site *block_site(const struct binxlate *x, const struct block *block, const uint8_t *pc)
{
    size_t offset = (size_t)(pc - code_view(&x->code) - block->code);
    const struct site *found = NULL;

    for (unsigned i = 0; i < block->site_count && block->sites[i].host <= offset; i++) {
        found = &block->sites[i];
    }
    return found;
}

const void *block_insn_code(const struct binxlate *x, const struct block *block, unsigned index)
{
    const struct site *site = block->sites;

    while (site->index != index) {
        site++;
    }
    return code_exec(x, block->code + site->host);
}
