/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Address spaces: what lies at a guest-physical address or an I/O port.
 *
 * One type serves both; a VM has two instances. A region covers [base, base + size) and is backed by memory
 * (part of the VM's ram) or by a device's ops. Where regions overlap, the one with the higher priority wins,
 * and of equals the later one; visibility is per direction, which is how the i440FX's PAM registers and ROMs
 * are modelled:
 *
 *   region            REGION_READ  REGION_WRITE
 *   RAM                    x            x
 *   ROM                    x                     writes fall through to what lies below, or vanish
 *   PAM "write only"                    x        reads fall through to the ROM
 *
 * The regions are flattened into a sorted array of ranges whenever they change; look-ups are a binary search
 * (memory) or a table index (ports). Nothing mapped reads as all ones and ignores writes.
 *
 * Device ops see offset, size (1, 2, 4, 8) and value only; access sizes outside [min_size, max_size] are
 * widened or split before they arrive.
 */
#ifndef MMU_ADDR_SPACE_H
#define MMU_ADDR_SPACE_H

#include "base/types.h"
#include "mmu/ram.h"

struct region_ops {
    uint64_t (*read)(void *opaque, uint64_t offset, unsigned size);
    void (*write)(void *opaque, uint64_t offset, uint64_t value, unsigned size);
    uint8_t min_size; /* 0 means 1: smaller accesses are widened (aligned down), and the part taken; a
                         smaller write reads the unit, merges and writes it */
    uint8_t max_size; /* 0 means 4: larger ones are split, low part first */
};

enum region_visibility { REGION_READ = 1, REGION_WRITE = 2, REGION_RW = 3 };

struct addr_space;

struct region {
    const char *name;             /* for `info mtree`; not owned */
    uint64_t base, size;          /* bytes, or ports */
    int priority;                 /* default 0 */
    bool enabled;                 /* false: as if absent ("decodes nothing") */
    uint8_t visible;              /* enum region_visibility */
    const struct region_ops *ops; /* NULL for memory */
    void *opaque;
    roff_t roff;              /* memory: offset of `base` in the space's ram */
    struct addr_space *space; /* set while added */
    struct region *next;
};

/* One flattened range: who answers reads and who takes writes. NULL: nobody. */
struct flat_range {
    uint64_t first, last; /* inclusive */
    struct region *read, *write;
};

struct addr_space_listener {
    void (*changed)(void *opaque); /* cached translations of this space are stale */
    void *opaque;
    struct addr_space_listener *next;
};

struct addr_space {
    const char *name;
    uint64_t last;           /* highest address: 0xffff for ports */
    struct ram *ram;         /* backing of memory regions; NULL for ports */
    struct region *regions;  /* in order of addition */
    struct flat_range *flat; /* sorted, covers 0..last without holes; owned */
    size_t flat_count;
    uint64_t *edges; /* scratch of the flattening; owned */
    size_t capacity; /* of flat and edges, elements: enough for all regions */
    size_t region_count;
    uint16_t *port_index; /* ports only: flat index of each port; owned */
    unsigned batch;       /* nesting of addr_space_begin */
    bool stale;           /* a change happened inside a batch */
    struct addr_space_listener *listeners;
    /* A debugger's: DMA is about to access [addr, addr + length). NULL: it does not care. */
    void (*dma)(void *opaque, gpa_t addr, uint64_t length, bool write);
    void *dma_opaque;
};

int addr_space_init(struct addr_space *space, const char *name, uint64_t last, struct ram *ram);
/* Frees the ranges; does not look at the regions, whose owners may be gone by then. */
void addr_space_fini(struct addr_space *space);

/* Fill in a region. Device region: visible both ways. Memory region: `visible` as given. */
void region_init_io(struct region *region, const char *name, uint64_t base, uint64_t size,
                    const struct region_ops *ops, void *opaque);
void region_init_memory(struct region *region, const char *name, uint64_t base, uint64_t size, roff_t roff,
                        uint8_t visible);

/* The space links the region, it does not own it. Every one of these re-flattens and tells the listeners, at
 * once or at the end of the batch. A memory region that exceeds the space's ram, and any region when the host
 * is out of memory, is left out by addr_space_add(): region->space stays NULL. */
void addr_space_add(struct addr_space *space, struct region *region);
void addr_space_remove(struct addr_space *space, struct region *region);
void region_set_enabled(struct region *region, bool enabled);
void region_set_visible(struct region *region, uint8_t visible);
void region_move(struct region *region, uint64_t base);
void addr_space_begin(struct addr_space *space);
void addr_space_end(struct addr_space *space);
void addr_space_add_listener(struct addr_space *space, struct addr_space_listener *listener);

/* The range that holds addr (addr <= space->last). */
const struct flat_range *addr_space_find(const struct addr_space *space, uint64_t addr);

/* One access of size 1, 2, 4 or 8. May cross ranges: it is then split into bytes. Memory writes notify the
 * watches. This is the slow, complete path for CPU accesses (MMIO included) and port I/O. */
uint64_t addr_space_read(struct addr_space *space, uint64_t addr, unsigned size);
void addr_space_write(struct addr_space *space, uint64_t addr, uint64_t value, unsigned size);

/*
 * Backing memory of the page that holds addr, for caches of translations. Returns the roff of addr when the
 * whole page reads (writes: takes writes) straight from memory, else UINT64_MAX.
 */
roff_t addr_space_read_roff(const struct addr_space *space, gpa_t addr);
roff_t addr_space_write_roff(const struct addr_space *space, gpa_t addr);

/*
 * DMA: RAM only. A range that touches anything but memory is refused as a whole (false, nothing
 * transferred): a descriptor that points at a device's registers closes no loop. ROM is not writable by it.
 */
bool dma_read(struct addr_space *space, gpa_t addr, void *bytes, uint64_t length);
bool dma_write(struct addr_space *space, gpa_t addr, const void *bytes, uint64_t length);

/* Copy for the monitor, loaders and tests: reads memory only (never calls a device; absent bytes are 0xff and
 * make the result false). addr_space_poke writes RAM and ROM alike. */
bool addr_space_peek(struct addr_space *space, gpa_t addr, void *bytes, uint64_t length);
bool addr_space_poke(struct addr_space *space, gpa_t addr, const void *bytes, uint64_t length);

#endif
