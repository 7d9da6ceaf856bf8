/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Address spaces: regions, their flattening, and every kind of access through them.
 *
 * Flattening. The edges of all enabled regions cut the space into intervals; no region begins or ends within
 * one, so one winner a direction can be named for each. Neighbours with equal winners are merged. The work is
 * regions x edges, a few thousand steps for a PC, and happens when a guest moves or switches a region.
 * Every array is sized when a region is added: from then on nothing that a guest does to the regions can fail
 * for want of memory. addr_space_add() that finds none leaves the region out (region->space stays NULL).
 *
 * Rules that the manuals leave to the chip set:
 *   - bytes beyond the last address belong to nobody, an access does not wrap around
 *   - a write narrower than a device's min_size becomes a read of the aligned unit, a merge and a write
 *   - an access that straddles two units of a device's min_size is split into bytes
 *   - regions that reach beyond the last address are clipped
 */
#include "mmu/addr_space.h"

#include <errno.h>
#include <stdlib.h>

#define PORT_LAST 0xffffu

/* ---- Flattening ---------------------------------------------------------------------------------------- */

/* The addresses a region covers, clipped to the space. False: none. */
static bool region_extent(const struct addr_space *space, const struct region *region, uint64_t *first,
                          uint64_t *last)
{
    if (!region->enabled || region->size == 0 || region->base > space->last) {
        return false;
    }
    *first = region->base;
    *last = region->base + MIN(region->size - 1, space->last - region->base);
    return true;
}

static int compare_addresses(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Sorted addresses, without duplicates, at which the answer may change; the first is 0. */
static size_t collect_edges(const struct addr_space *space)
{
    uint64_t *edges = space->edges;
    size_t count = 0;
    edges[count++] = 0;
    for (const struct region *region = space->regions; region; region = region->next) {
        uint64_t first, last;
        if (!region_extent(space, region, &first, &last)) {
            continue;
        }
        edges[count++] = first;
        if (last < space->last) {
            edges[count++] = last + 1;
        }
    }
    qsort(edges, count, sizeof(*edges), compare_addresses);

    size_t unique = 1;
    for (size_t i = 1; i < count; i++) {
        if (edges[i] != edges[unique - 1]) {
            edges[unique++] = edges[i];
        }
    }
    return unique;
}

/* Who answers at addr in this direction: highest priority, of equals the latest added. */
static struct region *find_winner(const struct addr_space *space, uint64_t addr, uint8_t direction)
{
    struct region *winner = NULL;
    for (struct region *region = space->regions; region; region = region->next) {
        uint64_t first, last;
        if ((region->visible & direction) && region_extent(space, region, &first, &last) && addr >= first &&
            addr <= last && (!winner || region->priority >= winner->priority)) {
            winner = region;
        }
    }
    return winner;
}

static void rebuild_port_index(struct addr_space *space)
{
    for (size_t i = 0; i < space->flat_count; i++) {
        for (uint64_t port = space->flat[i].first; port <= space->flat[i].last; port++) {
            space->port_index[port] = (uint16_t)i;
        }
    }
}

static void flatten(struct addr_space *space)
{
    size_t edge_count = collect_edges(space);
    size_t count = 0;
    for (size_t i = 0; i < edge_count; i++) {
        struct flat_range range = {
            .first = space->edges[i],
            .last = i + 1 < edge_count ? space->edges[i + 1] - 1 : space->last,
            .read = find_winner(space, space->edges[i], REGION_READ),
            .write = find_winner(space, space->edges[i], REGION_WRITE),
        };
        struct flat_range *previous = count ? &space->flat[count - 1] : NULL;
        if (previous && previous->read == range.read && previous->write == range.write) {
            previous->last = range.last;
        } else {
            space->flat[count++] = range;
        }
    }
    space->flat_count = count;
    if (space->port_index) {
        rebuild_port_index(space);
    }
}

static void tell_listeners(struct addr_space *space)
{
    struct addr_space_listener *next;
    for (struct addr_space_listener *listener = space->listeners; listener; listener = next) {
        next = listener->next;
        listener->changed(listener->opaque);
    }
}

static void regions_changed(struct addr_space *space)
{
    if (space->batch) {
        space->stale = true;
        return;
    }
    space->stale = false;
    flatten(space);
    tell_listeners(space);
}

/* A region is no longer where the ranges say. They must not wait for the end of a batch: until then an access
 * would reach a region that may be freed, or compute an offset from a base that moved. */
static void region_left(struct addr_space *space)
{
    if (space->batch) {
        flatten(space);
    }
    regions_changed(space);
}

/* Make room for the ranges and edges that `regions` regions can make: at most two edges each. */
static bool reserve(struct addr_space *space, size_t regions)
{
    size_t needed = 2 * regions + 1;
    if (needed <= space->capacity) {
        return true;
    }
    size_t capacity = MAX(needed, 2 * space->capacity);
    struct flat_range *flat = realloc(space->flat, capacity * sizeof(*flat));
    if (flat) {
        space->flat = flat;
    }
    uint64_t *edges = realloc(space->edges, capacity * sizeof(*edges));
    if (edges) {
        space->edges = edges;
    }
    if (!flat || !edges) {
        return false;
    }
    space->capacity = capacity;
    return true;
}

/* ---- Life ---------------------------------------------------------------------------------------------- */

int addr_space_init(struct addr_space *space, const char *name, uint64_t last, struct ram *ram)
{
    *space = (struct addr_space){.name = name, .last = last, .ram = ram};
    bool ports = !ram && last <= PORT_LAST;
    if (ports) {
        space->port_index = calloc(last + 1, sizeof(*space->port_index));
    }
    if ((ports && !space->port_index) || !reserve(space, 32)) {
        addr_space_fini(space);
        return -ENOMEM;
    }
    flatten(space);
    return 0;
}

void addr_space_fini(struct addr_space *space)
{
    free(space->flat);
    free(space->edges);
    free(space->port_index);
    *space = (struct addr_space){.name = space->name};
}

void region_init_io(struct region *region, const char *name, uint64_t base, uint64_t size,
                    const struct region_ops *ops, void *opaque)
{
    *region = (struct region){
        .name = name,
        .base = base,
        .size = size,
        .enabled = true,
        .visible = REGION_RW,
        .ops = ops,
        .opaque = opaque,
    };
}

void region_init_memory(struct region *region, const char *name, uint64_t base, uint64_t size, roff_t roff,
                        uint8_t visible)
{
    *region = (struct region){
        .name = name,
        .base = base,
        .size = size,
        .enabled = true,
        .visible = visible,
        .roff = roff,
    };
}

/* The rest of the file trusts that a memory region lies within the backing memory. */
static bool region_is_backed(const struct addr_space *space, const struct region *region)
{
    return region->ops || (space->ram && region->roff <= space->ram->size &&
                           region->size <= space->ram->size - region->roff);
}

void addr_space_add(struct addr_space *space, struct region *region)
{
    if (region->space || !region_is_backed(space, region) || !reserve(space, space->region_count + 1)) {
        return;
    }
    struct region **link = &space->regions;
    while (*link) {
        link = &(*link)->next;
    }
    *link = region;
    region->next = NULL;
    region->space = space;
    space->region_count++;
    regions_changed(space);
}

void addr_space_remove(struct addr_space *space, struct region *region)
{
    if (region->space != space) {
        return;
    }
    struct region **link = &space->regions;
    while (*link && *link != region) {
        link = &(*link)->next;
    }
    if (!*link) {
        return; /* the space has been finished before the region's owner */
    }
    *link = region->next;
    region->next = NULL;
    region->space = NULL;
    space->region_count--;
    region_left(space);
}

void region_set_enabled(struct region *region, bool enabled)
{
    if (region->enabled != enabled) {
        region->enabled = enabled;
        if (region->space) {
            regions_changed(region->space);
        }
    }
}

void region_set_visible(struct region *region, uint8_t visible)
{
    if (region->visible != visible) {
        region->visible = visible;
        if (region->space) {
            regions_changed(region->space);
        }
    }
}

void region_move(struct region *region, uint64_t base)
{
    if (region->base != base) {
        region->base = base;
        if (region->space) {
            region_left(region->space);
        }
    }
}

void addr_space_begin(struct addr_space *space)
{
    space->batch++;
}

void addr_space_end(struct addr_space *space)
{
    if (space->batch && --space->batch == 0 && space->stale) {
        regions_changed(space);
    }
}

void addr_space_add_listener(struct addr_space *space, struct addr_space_listener *listener)
{
    listener->next = space->listeners;
    space->listeners = listener;
}

/* ---- Look-up ------------------------------------------------------------------------------------------- */

const struct flat_range *addr_space_find(const struct addr_space *space, uint64_t addr)
{
    if (space->port_index) {
        return &space->flat[space->port_index[addr]];
    }
    /* The last range that begins at or below addr. The halving has no branch that depends on addr. */
    const struct flat_range *range = space->flat;
    for (size_t count = space->flat_count; count > 1;) {
        size_t half = count / 2;
        range += addr >= range[half].first ? half : 0;
        count -= half;
    }
    return range;
}

static bool is_memory(const struct region *region)
{
    return region && !region->ops;
}

static roff_t region_roff(const struct region *region, uint64_t addr)
{
    return region->roff + (addr - region->base);
}

/* ---- Accesses to a device ------------------------------------------------------------------------------ */

static uint64_t size_mask(unsigned size)
{
    return ~(uint64_t)0 >> (64 - 8 * size);
}

static unsigned region_min_size(const struct region *region)
{
    return region->ops->min_size ? region->ops->min_size : 1;
}

static unsigned region_max_size(const struct region *region)
{
    return region->ops->max_size ? region->ops->max_size : 4;
}

/* One call of the device, at a size it takes. */
static uint64_t call_read(const struct region *region, uint64_t offset, unsigned size)
{
    const struct region_ops *ops = region->ops;
    return (ops->read ? ops->read(region->opaque, offset, size) : UINT64_MAX) & size_mask(size);
}

static void call_write(const struct region *region, uint64_t offset, uint64_t value, unsigned size)
{
    const struct region_ops *ops = region->ops;
    if (ops->write) {
        ops->write(region->opaque, offset, value & size_mask(size), size);
    }
}

/*
 * An access of `size` bytes is made of units the device takes:
 *
 *   size > max_size   pieces of max_size, low part first
 *   size < min_size   the aligned unit of min_size that holds it, or bytes where two units are touched
 */
static unsigned piece_size(const struct region *region, uint64_t offset, unsigned size)
{
    unsigned min = region_min_size(region), max = region_max_size(region);
    if (size > max) {
        return max;
    }
    return size < min && (offset & (min - 1)) + size > min ? 1 : size;
}

static uint64_t read_piece(const struct region *region, uint64_t offset, unsigned size)
{
    unsigned min = region_min_size(region);
    if (size >= min) {
        return call_read(region, offset, size);
    }
    unsigned shift = 8 * (unsigned)(offset & (min - 1));
    return call_read(region, ALIGN_DOWN(offset, min), min) >> shift & size_mask(size);
}

static void write_piece(const struct region *region, uint64_t offset, uint64_t value, unsigned size)
{
    unsigned min = region_min_size(region);
    if (size >= min) {
        call_write(region, offset, value, size);
        return;
    }
    uint64_t unit = ALIGN_DOWN(offset, min);
    unsigned shift = 8 * (unsigned)(offset & (min - 1));
    uint64_t mask = size_mask(size) << shift;
    call_write(region, unit, (call_read(region, unit, min) & ~mask) | (value << shift & mask), min);
}

static uint64_t io_read(const struct region *region, uint64_t offset, unsigned size)
{
    unsigned piece = piece_size(region, offset, size);
    uint64_t value = 0;
    for (unsigned done = 0; done < size; done += piece) {
        value |= read_piece(region, offset + done, piece) << (8 * done);
    }
    return value;
}

static void io_write(const struct region *region, uint64_t offset, uint64_t value, unsigned size)
{
    unsigned piece = piece_size(region, offset, size);
    for (unsigned done = 0; done < size; done += piece) {
        write_piece(region, offset + done, value >> (8 * done), piece);
    }
}

/* ---- Accesses by a CPU --------------------------------------------------------------------------------- */

static uint64_t load_number(const uint8_t *host, unsigned size)
{
    switch (size) {
    case 1:
        return *host;
    case 2:
        return load_le16(host);
    case 4:
        return load_le32(host);
    default:
        return load_le64(host);
    }
}

static void store_number(uint8_t *host, uint64_t value, unsigned size)
{
    switch (size) {
    case 1:
        *host = (uint8_t)value;
        break;
    case 2:
        store_le16(host, (uint16_t)value);
        break;
    case 4:
        store_le32(host, (uint32_t)value);
        break;
    default:
        store_le64(host, value);
        break;
    }
}

/* Within one range. */
static uint64_t range_read(const struct addr_space *space, const struct region *region, uint64_t addr,
                           unsigned size)
{
    if (!region) {
        return size_mask(size);
    }
    if (is_memory(region)) {
        roff_t roff = region_roff(region, addr);
        uint8_t bytes[8];
        if (LIKELY((roff & PAGE_OFFSET_MASK) + size <= PAGE_SIZE)) {
            return load_number(ram_ptr(space->ram, roff), size);
        }
        ram_read(space->ram, roff, bytes, size);
        return load_number(bytes, size);
    }
    return io_read(region, addr - region->base, size);
}

static void range_write(const struct addr_space *space, const struct region *region, uint64_t addr,
                        uint64_t value, unsigned size)
{
    if (is_memory(region)) {
        roff_t roff = region_roff(region, addr);
        uint8_t bytes[8];
        if (LIKELY((roff & PAGE_OFFSET_MASK) + size <= PAGE_SIZE)) {
            ram_watch_notify(space->ram, roff, size);
            store_number(ram_ptr(space->ram, roff), value, size);
        } else {
            store_number(bytes, value, size);
            ram_write(space->ram, roff, bytes, size);
        }
    } else if (region) {
        io_write(region, addr - region->base, value, size);
    }
}

/* Is byte addr + i within the space, counted without wrapping around? */
static bool has_byte(const struct addr_space *space, uint64_t addr, unsigned i)
{
    return addr <= space->last && i <= space->last - addr;
}

uint64_t addr_space_read(struct addr_space *space, uint64_t addr, unsigned size)
{
    if (LIKELY(has_byte(space, addr, size - 1))) {
        const struct flat_range *range = addr_space_find(space, addr);
        if (LIKELY(size - 1 <= range->last - addr)) {
            return range_read(space, range->read, addr, size);
        }
    }
    uint64_t value = 0;
    for (unsigned i = 0; i < size; i++) {
        uint64_t byte = 0xff;
        if (has_byte(space, addr, i)) {
            byte = range_read(space, addr_space_find(space, addr + i)->read, addr + i, 1);
        }
        value |= byte << (8 * i);
    }
    return value;
}

void addr_space_write(struct addr_space *space, uint64_t addr, uint64_t value, unsigned size)
{
    if (LIKELY(has_byte(space, addr, size - 1))) {
        const struct flat_range *range = addr_space_find(space, addr);
        if (LIKELY(size - 1 <= range->last - addr)) {
            range_write(space, range->write, addr, value, size);
            return;
        }
    }
    for (unsigned i = 0; i < size && has_byte(space, addr, i); i++) {
        uint8_t byte = (uint8_t)(value >> (8 * i));
        range_write(space, addr_space_find(space, addr + i)->write, addr + i, byte, 1);
    }
}

/* ---- For caches of translations ------------------------------------------------------------------------ */

/* A page has one frame only if a single memory region covers it and page offsets equal frame offsets. */
static roff_t page_roff(const struct flat_range *range, const struct region *region, gpa_t addr)
{
    if (!is_memory(region) || ALIGN_DOWN(addr, PAGE_SIZE) < range->first ||
        (addr | PAGE_OFFSET_MASK) > range->last || ((region->roff ^ region->base) & PAGE_OFFSET_MASK)) {
        return UINT64_MAX;
    }
    return region_roff(region, addr);
}

roff_t addr_space_read_roff(const struct addr_space *space, gpa_t addr)
{
    if (UNLIKELY(addr > space->last)) {
        return UINT64_MAX;
    }
    const struct flat_range *range = addr_space_find(space, addr);
    return page_roff(range, range->read, addr);
}

roff_t addr_space_write_roff(const struct addr_space *space, gpa_t addr)
{
    if (UNLIKELY(addr > space->last)) {
        return UINT64_MAX;
    }
    const struct flat_range *range = addr_space_find(space, addr);
    return page_roff(range, range->write, addr);
}

/* ---- Block transfers ----------------------------------------------------------------------------------- */

static const struct region *range_target(const struct flat_range *range, enum region_visibility direction)
{
    return direction == REGION_READ ? range->read : range->write;
}

/* Bytes of [addr, addr + length) that lie in the range of addr. */
static uint64_t range_chunk(const struct flat_range *range, uint64_t addr, uint64_t length)
{
    return length - 1 <= range->last - addr ? length : range->last - addr + 1;
}

/* Is every byte memory in this direction? */
static bool block_is_memory(const struct addr_space *space, gpa_t addr, uint64_t length,
                            enum region_visibility direction)
{
    TRY(addr <= space->last && length - 1 <= space->last - addr);
    while (length) {
        const struct flat_range *range = addr_space_find(space, addr);
        TRY(is_memory(range_target(range, direction)));
        uint64_t chunk = range_chunk(range, addr, length);
        addr += chunk;
        length -= chunk;
    }
    return true;
}

static void show_dma(const struct addr_space *space, gpa_t addr, uint64_t length, bool write)
{
    if (UNLIKELY(space->dma != NULL)) {
        space->dma(space->dma_opaque, addr, length, write);
    }
}

bool dma_read(struct addr_space *space, gpa_t addr, void *bytes, uint64_t length)
{
    if (length == 0) {
        return true;
    }
    TRY(block_is_memory(space, addr, length, REGION_READ));
    show_dma(space, addr, length, false);
    uint8_t *to = bytes;
    while (length) {
        const struct flat_range *range = addr_space_find(space, addr);
        uint64_t chunk = range_chunk(range, addr, length);
        ram_read(space->ram, region_roff(range->read, addr), to, chunk);
        addr += chunk;
        to += chunk;
        length -= chunk;
    }
    return true;
}

bool dma_write(struct addr_space *space, gpa_t addr, const void *bytes, uint64_t length)
{
    if (length == 0) {
        return true;
    }
    TRY(block_is_memory(space, addr, length, REGION_WRITE));
    show_dma(space, addr, length, true);
    const uint8_t *from = bytes;
    while (length) {
        const struct flat_range *range = addr_space_find(space, addr);
        uint64_t chunk = range_chunk(range, addr, length);
        ram_write(space->ram, region_roff(range->write, addr), from, chunk);
        addr += chunk;
        from += chunk;
        length -= chunk;
    }
    return true;
}

bool addr_space_peek(struct addr_space *space, gpa_t addr, void *bytes, uint64_t length)
{
    bool whole = true;
    uint8_t *to = bytes;
    while (length) {
        if (addr > space->last) {
            memset(to, 0xff, length);
            return false;
        }
        const struct flat_range *range = addr_space_find(space, addr);
        uint64_t chunk = range_chunk(range, addr, length);
        if (is_memory(range->read)) {
            ram_read(space->ram, region_roff(range->read, addr), to, chunk);
        } else {
            memset(to, 0xff, chunk);
            whole = false;
        }
        to += chunk;
        length -= chunk;
        if (length && chunk > space->last - addr) {
            memset(to, 0xff, length);
            return false;
        }
        addr += chunk;
    }
    return whole;
}

bool addr_space_poke(struct addr_space *space, gpa_t addr, const void *bytes, uint64_t length)
{
    bool whole = true;
    const uint8_t *from = bytes;
    while (length) {
        if (addr > space->last) {
            return false;
        }
        const struct flat_range *range = addr_space_find(space, addr);
        uint64_t chunk = range_chunk(range, addr, length);
        /* What a reader sees comes first, so that a peek finds what was poked; ROM included. */
        const struct region *region = is_memory(range->read) ? range->read : range->write;
        if (is_memory(region)) {
            ram_write(space->ram, region_roff(region, addr), from, chunk);
        } else {
            whole = false;
        }
        from += chunk;
        length -= chunk;
        if (length && chunk > space->last - addr) {
            return false;
        }
        addr += chunk;
    }
    return whole;
}
