/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Shadow entries, windows and the interpreter's TLB over memory that is shared: a page moves when it is written, and nothing
 * may be read where it was. Random accesses in two memories, each with its own translation caches, against plain arrays.
 */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "base/error.h"
#include "mmu/shadow.h"
#include "mmu/tlb.h"

#define MEMORY ((uint64_t)4 * MIB)

struct machine {
    struct ram ram;
    struct addr_space mem;
    struct region low;
    struct paging_ctx ctx;
    struct shadow shadow;
    struct tlb tlb;
    struct ram_protect_listener listener;
    uint8_t *model;
    unsigned moved;
};

static uint64_t state = 0x1234567;

static uint32_t random_below(uint32_t below)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)((state >> 16) % below);
}

static void protect(void *opaque, uint64_t frame)
{
    struct machine *m = opaque;
    tlb_protect_frame(&m->tlb, frame);
    shadow_protect_frame(&m->shadow, &m->ram, frame);
}

static void moved(void *opaque, uint64_t frame, const uint8_t *old)
{
    struct machine *m = opaque;
    m->moved++;
    tlb_forget_frame(&m->tlb, frame);
    shadow_forget_frame(&m->shadow, &m->ram, frame, old);
}

static void create(struct machine *m)
{
    memset(m, 0, sizeof(*m));
    cr_assert_eq(ram_init(&m->ram, MEMORY, NULL), 0);
    cr_assert_eq(addr_space_init(&m->mem, "memory", UINT32_MAX, &m->ram), 0);
    region_init_memory(&m->low, "ram", 0, MEMORY, ram_alloc(&m->ram, MEMORY), REGION_RW);
    addr_space_add(&m->mem, &m->low);
    m->ctx = (struct paging_ctx){.mode = PAGING_OFF, .phys_bits = 32, .a20_mask = UINT64_MAX, .mem = &m->mem};
    m->listener = (struct ram_protect_listener){.protect = protect, .moved = moved, .opaque = m};
    ram_add_listener(&m->ram, &m->listener);
    cr_assert_eq(shadow_init(&m->shadow, NULL), 0);
    cr_assert_eq(shadow_open_window(&m->shadow, SHADOW_USER, NULL), 0);
    tlb_flush(&m->tlb, false);
    m->model = calloc(1, MEMORY);
}

static void destroy(struct machine *m)
{
    shadow_fini(&m->shadow);
    addr_space_fini(&m->mem);
    ram_fini(&m->ram);
    free(m->model);
}

static void flush(struct machine *m)
{
    tlb_flush(&m->tlb, false);
    shadow_flush(&m->shadow, false);
    if (!shadow_window(&m->shadow, SHADOW_USER)) {
        cr_assert_eq(shadow_open_window(&m->shadow, SHADOW_USER, NULL), 0);
    }
}

/* Where a shadow entry for this access leads; NULL: nowhere. */
static uint8_t *by_shadow(struct machine *m, uint32_t linear, bool write)
{
    enum shadow_kind kind = write ? SHADOW_WRITE : SHADOW_READ;
    uint64_t entry = shadow_entry(&m->shadow, SHADOW_USER, kind, linear);
    bool usable = entry != SHADOW_UNUSABLE;
    uint32_t code;

    if (!usable) {
        cr_assert(shadow_fill(&m->shadow, &m->ctx, linear, PAGEWALK_USER | (write ? PAGEWALK_WRITE : 0),
                              &usable, &code));
        entry = shadow_entry(&m->shadow, SHADOW_USER, kind, linear);
    }
    return usable ? (uint8_t *)(uintptr_t)(entry + linear) : NULL;
}

static uint8_t *by_window(struct machine *m, uint32_t linear, bool write)
{
    struct window *window = shadow_window(&m->shadow, SHADOW_USER);
    if (!by_shadow(m, linear, write) || !window) {
        return NULL;
    }
    if (!window_shows(window, linear >> PAGE_SHIFT, write) &&
        !shadow_show(&m->shadow, &m->ctx, SHADOW_USER, linear, write)) {
        return NULL;
    }
    return window->base + linear;
}

static uint8_t *by_tlb(struct machine *m, uint32_t linear, bool write)
{
    struct tlb_entry *entry = tlb_entry_at(&m->tlb, 1, linear);
    lin_t page = ALIGN_DOWN(linear, PAGE_SIZE);
    uint32_t code;
    gpa_t gpa;

    if ((write ? entry->write : entry->read) != page) {
        cr_assert(
            tlb_fill(&m->tlb, &m->ctx, linear, PAGEWALK_USER | (write ? PAGEWALK_WRITE : 0), &gpa, &code));
    }
    return (write ? entry->write : entry->read) == page ? (uint8_t *)(entry->addend + linear) : NULL;
}

static uint8_t *find(struct machine *m, uint32_t linear, bool write)
{
    switch (random_below(3)) {
    case 0:
        return by_shadow(m, linear, write);
    case 1:
        return by_window(m, linear, write);
    default:
        return by_tlb(m, linear, write);
    }
}

static void access(struct machine *m)
{
    /* Few pages, so that they meet. */
    uint32_t linear = (random_below(40) * 7 % 1024) * PAGE_SIZE + random_below(PAGE_SIZE);
    bool write = random_below(4) == 0;
    uint8_t *host = find(m, linear, write), byte = (uint8_t)random_below(256);

    if (!write) {
        cr_assert_not_null(host);
        cr_assert_eq(*host, m->model[linear], "0x%x", linear);
        return;
    }
    m->model[linear] = byte;
    if (host) {
        *host = byte;
    } else {
        ram_write(&m->ram, linear, &byte, 1);
    }
}

Test(shadow_share, nothing_is_read_where_it_was)
{
    enum { MACHINES = 3, ROUNDS = 40 };
    static struct machine machine[MACHINES];
    struct error difference;

    create(&machine[0]);
    for (unsigned i = 0; i < 2000; i++) {
        access(&machine[0]);
    }
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned i = 1; i < MACHINES; i++) { /* clones of the first, or of a clone */
            struct machine *from = &machine[i - 1 - random_below(i)];
            if (round) {
                destroy(&machine[i]);
            }
            create(&machine[i]);
            cr_assert_eq(ram_share(&from->ram, &machine[i].ram, NULL), 0);
            memcpy(machine[i].model, from->model, MEMORY);
            flush(from);
            flush(&machine[i]);
        }
        for (unsigned k = 0; k < 3000; k++) {
            access(&machine[random_below(MACHINES)]);
        }
        for (unsigned i = 0; i < MACHINES; i++) {
            cr_assert(shadow_check(&machine[i].shadow, &machine[i].ctx, &difference), "%s", difference.text);
        }
    }
    cr_assert_gt(machine[0].moved, 100);
    for (unsigned i = 0; i < MACHINES; i++) {
        destroy(&machine[i]);
    }
}
