/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A processor and memory and nothing else, for tests that execute guest code.
 *
 *   0 .. BARE_RAM_SIZE   RAM (linear = guest-physical until the test turns paging on)
 *   ports                nobody, unless the test adds a region to `io`
 *
 * The interrupt table has limit 0: the first exception becomes a shutdown whose report names it.
 */
#ifndef TESTS_BARE_MACHINE_H
#define TESTS_BARE_MACHINE_H

#include <stdio.h>
#include <stdlib.h>

#include "base/error.h"
#include "cpu/cpuid.h"
#include "cpu/insn.h"
#include "cpu/interp.h"

#define BARE_RAM_SIZE   (16 * MIB)
#define BARE_ATTR_DATA  0xc093u /* present, DPL 0, writable, accessed; G, B */
#define BARE_ATTR_CODE  0xc09bu /* present, DPL 0, readable, accessed; G, D */
#define BARE_ATTR_16BIT 0x4000u /* take this bit away for a 16-bit segment */

struct bare_machine {
    struct ram ram;
    struct addr_space mem, io;
    struct region ram_region;
    struct vcpu *cpu;
};

static inline void bare_set_segment(struct bare_machine *bare, enum sreg which, uint32_t base, uint32_t limit,
                                    uint32_t attr)
{
    bare->cpu->seg[which] =
        (struct segment){.selector = 8 * (which + 1), .attr = attr, .limit = limit, .base = base};
}

/* Protected mode, CPL 0, all segments 0 .. limit; `bits` 16 or 32. */
static inline void bare_enter_protected(struct bare_machine *bare, unsigned bits)
{
    uint32_t size = bits == 32 ? 0 : BARE_ATTR_16BIT;

    for (unsigned i = 0; i < SEG_COUNT; i++) {
        bare_set_segment(bare, (enum sreg)i, 0, UINT32_MAX,
                         (i == SEG_CS ? BARE_ATTR_CODE : BARE_ATTR_DATA) & ~size);
    }
    bare->cpu->cr0 |= CR0_PE;
    bare->cpu->idtr.limit = 0;
    vcpu_sync(bare->cpu);
}

/* Real mode with all segments at 0. */
static inline void bare_enter_real(struct bare_machine *bare)
{
    for (unsigned i = 0; i < SEG_COUNT; i++) {
        segment_load_real(bare->cpu, (enum sreg)i, 0);
    }
    bare->cpu->idtr.limit = 0;
    vcpu_sync(bare->cpu);
}

static inline void bare_init(struct bare_machine *bare)
{
    struct vcpu_wiring wiring = {.mem = &bare->mem, .io = &bare->io};
    const struct cpu_model *model = cpu_model_find(NULL);
    struct error error;

    memset(bare, 0, sizeof(*bare));
    if (ram_init(&bare->ram, BARE_RAM_SIZE, &error) ||
        addr_space_init(&bare->mem, "memory", UINT32_MAX, &bare->ram) ||
        addr_space_init(&bare->io, "ports", UINT16_MAX, NULL)) {
        abort();
    }
    region_init_memory(&bare->ram_region, "ram", 0, BARE_RAM_SIZE, ram_alloc(&bare->ram, BARE_RAM_SIZE),
                       REGION_RW);
    addr_space_add(&bare->mem, &bare->ram_region);
    bare->cpu = vcpu_create(model, model->features, &wiring, &error);
    if (!bare->cpu) {
        fprintf(stderr, "%s\n", error.text);
        abort();
    }
    memset(bare->cpu->gpr, 0, sizeof(bare->cpu->gpr));
    bare->cpu->rflags = RFLAGS_FIXED1;
}

static inline void bare_fini(struct bare_machine *bare)
{
    vcpu_destroy(bare->cpu);
    addr_space_fini(&bare->io);
    addr_space_fini(&bare->mem);
    ram_fini(&bare->ram);
}

static inline void bare_load(struct bare_machine *bare, gpa_t address, const void *bytes, size_t count)
{
    addr_space_poke(&bare->mem, address, bytes, count);
}

static inline uint32_t bare_read32(struct bare_machine *bare, gpa_t address)
{
    uint8_t bytes[4];

    addr_space_peek(&bare->mem, address, bytes, sizeof(bytes));
    return load_le32(bytes);
}

static inline void bare_write32(struct bare_machine *bare, gpa_t address, uint32_t value)
{
    uint8_t bytes[4];

    store_le32(bytes, value);
    addr_space_poke(&bare->mem, address, bytes, sizeof(bytes));
}

#endif
