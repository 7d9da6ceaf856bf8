/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The tables a processor reads by itself, half-way sane: descriptors, gates, task-state segments, page tables.
 *
 * With sane gates, a handler steps over a byte or two of what faulted and returns, so that random code goes on for
 * long; each entry is replaced by something else as often as the life's sanity says.
 *
 * SDM: Volume 3A, "Segment Descriptors", "Gate Descriptors", "Task-State Segment (TSS)", "Paging".
 */
#include "tests/fuzz/fuzz.h"

struct tables {
    const struct life *life;
    struct rng *rng;
    struct fuzz_machine *machine;
};

static bool sane(struct tables *tables)
{
    return rng_percent(tables->rng, tables->life->sanity);
}

static void write64(struct tables *tables, gpa_t at, uint64_t value)
{
    machine_write(tables->machine, at, &value, sizeof(value));
}

static void write32(struct tables *tables, gpa_t at, uint32_t value)
{
    machine_write(tables->machine, at, &value, sizeof(value));
}

static void write16(struct tables *tables, gpa_t at, uint16_t value)
{
    machine_write(tables->machine, at, &value, sizeof(value));
}

/* ---- descriptors ---- */

/* `attr`: byte 5; `flags`: G D/B L AVL. */
static uint64_t descriptor(uint32_t base, uint32_t limit, uint8_t attr, uint8_t flags)
{
    return (limit & 0xffff) | (uint64_t)(base & 0xffffff) << 16 | (uint64_t)attr << 40 |
           (uint64_t)(limit >> 16 & 15) << 48 | (uint64_t)flags << 52 | (uint64_t)(base >> 24) << 56;
}

static uint64_t gate(uint16_t selector, uint32_t offset, uint8_t attr, uint8_t count)
{
    return (offset & 0xffff) | (uint64_t)selector << 16 | (uint64_t)count << 32 | (uint64_t)attr << 40 |
           (uint64_t)(offset >> 16) << 48;
}

static uint32_t code_address(struct tables *tables)
{
    return rng_range(tables->rng, AT_CODE, AT_CODE_END - 1);
}

/* Valid in form: a segment, gate or system descriptor of any type. */
static uint64_t random_descriptor(struct tables *tables)
{
    struct rng *rng = tables->rng;
    uint8_t attr = (uint8_t)(rng_below(rng, 128) | (rng_once_in(rng, 8) ? 0 : 0x80));
    uint32_t base = rng_once_in(rng, 3) ? stream_value(rng) : 0;

    if (rng_once_in(rng, 8)) {
        return rng_next(rng);
    }
    if (!(attr & 0x10) && rng_once_in(rng, 2)) {
        return gate((uint16_t)rng_below(rng, 8 * GDT_ENTRIES), code_address(tables), attr,
                    (uint8_t)rng_below(rng, 32));
    }
    return descriptor(base, rng_once_in(rng, 2) ? 0xfffff : rng_below(rng, 0x100000), attr,
                      (uint8_t)rng_below(rng, 16));
}

static void write_gdt(struct tables *tables)
{
    const struct {
        uint16_t selector;
        uint64_t value;
    } fixed[] = {
        {SEL_CODE0, descriptor(0, 0xfffff, 0x9b, 0xc)},
        {SEL_DATA0, descriptor(0, 0xfffff, 0x93, 0xc)},
        {SEL_CODE3, descriptor(0, 0xfffff, 0xfa, 0xc)},
        {SEL_DATA3, descriptor(0, 0xfffff, 0xf2, 0xc)},
        {SEL_TSS, descriptor(AT_TSS, TSS_LIMIT, 0x8b, 0)},
        {SEL_TSS2, descriptor(AT_TSS2, 0x67, 0x89, 0)},
        {SEL_LDT, descriptor(AT_LDT, 8 * LDT_ENTRIES - 1, 0x82, 0)},
        {SEL_CODE0_16, descriptor(AT_CODE, 0xffff, 0x9a, 0)},
        {SEL_DATA0_16, descriptor(AT_DATA, 0xffff, 0x92, 0)},
        {SEL_CONFORMING, descriptor(0, 0xfffff, 0x9e, 0xc)},
        {SEL_CODE1, descriptor(0, 0xfffff, 0xba, 0xc)},
        {SEL_DATA1, descriptor(0, 0xfffff, 0xb2, 0xc)},
        {SEL_CALL_GATE, gate(SEL_CODE0, code_address(tables), 0xec, (uint8_t)rng_below(tables->rng, 4))},
        {SEL_TASK_GATE, gate(SEL_TSS2, 0, 0xe5, 0)},
        {SEL_TSS16, descriptor(AT_TSS16, 0x2b, 0xe1, 0)},
        {SEL_CODE3_16, descriptor(AT_CODE, 0xffff, 0xfa, 0)},
        {SEL_DATA3_16, descriptor(AT_DATA, 0x3ff, 0xf6, 0)},
        {SEL_CALL_GATE16, gate(SEL_CODE0_16, rng_below(tables->rng, 0x10000), 0xe4, 1)},
    };

    write64(tables, AT_GDT, 0);
    for (unsigned i = 1; i < GDT_ENTRIES; i++) {
        write64(tables, AT_GDT + 8 * i, random_descriptor(tables));
    }
    for (size_t i = 0; i < ARRAY_LEN(fixed); i++) {
        /* Insanity here ends most lives at once: once in a while is enough. */
        if (sane(tables) || !rng_once_in(tables->rng, 16)) {
            write64(tables, AT_GDT + fixed[i].selector, fixed[i].value);
        }
    }
    for (unsigned i = 0; i < LDT_ENTRIES; i++) {
        write64(tables, AT_LDT + 8 * i, random_descriptor(tables));
    }
}

/* ---- interrupts ---- */

static bool has_error_code(unsigned vector)
{
    return vector == 8 || (vector >= 10 && vector <= 14) || vector == 17;
}

/* Step over a byte or two and return:
 *   32 bits   [ADD ESP, 4]  ADD DWORD [ESP], n  IRETD
 *   16 bits   [ADD SP, 2]   PUSH BP  MOV BP, SP  ADD WORD [BP+2], n  POP BP  IRET      */
static void write_handlers(struct tables *tables)
{
    for (unsigned vector = 0; vector < 256; vector++) {
        uint8_t n = (uint8_t)rng_below(tables->rng, 4);
        uint8_t drop32[] = {0x83, 0xc4, 4}, body32[] = {0x83, 0x04, 0x24, n, 0xcf};
        uint8_t drop16[] = {0x83, 0xc4, 2}, body16[] = {0x55, 0x89, 0xe5, 0x83, 0x46, 2, n, 0x5d, 0xcf};
        /* The IVT has no error codes, gates of 16 bits have. */
        bool error32 = has_error_code(vector), error16 = error32 && tables->life->mode > MODE_UNREAL;
        gpa_t at32 = AT_HANDLERS32 + HANDLER_SIZE * vector, at16 = AT_HANDLERS16 + HANDLER_SIZE * vector;

        machine_write(tables->machine, at32, error32 ? drop32 : body32,
                      error32 ? sizeof(drop32) : sizeof(body32));
        machine_write(tables->machine, at32 + sizeof(drop32), body32, error32 ? sizeof(body32) : 0);
        machine_write(tables->machine, at16, error16 ? drop16 : body16,
                      error16 ? sizeof(drop16) : sizeof(body16));
        machine_write(tables->machine, at16 + sizeof(drop16), body16, error16 ? sizeof(body16) : 0);
    }
}

static uint64_t random_gate(struct tables *tables, unsigned vector)
{
    struct rng *rng = tables->rng;
    uint8_t dpl = rng_once_in(rng, 3) ? 0 : 0x60;
    uint8_t trap = (uint8_t)rng_below(rng, 2);

    switch (rng_below(rng, 8)) {
    case 0:
        return rng_next(rng);
    case 1:
        return gate(SEL_TSS2, 0, 0x85 | dpl, 0);
    case 2:
        return gate(SEL_CODE0, code_address(tables), (0x8e + trap) | dpl, 0);
    case 3:
        return gate(SEL_CODE0_16, rng_below(rng, 0x10000), (0x86 + trap) | dpl, 0);
    case 4:
        return gate(SEL_CONFORMING, AT_HANDLERS32 + HANDLER_SIZE * vector, (0x8e + trap) | dpl, 0);
    case 5:
        return gate(SEL_CODE3 | 3, AT_HANDLERS32 + HANDLER_SIZE * vector, (0x8e + trap) | dpl, 0);
    case 6:
        return gate(SEL_TSS16, 0, 0x85 | dpl, 0);
    default:
        return gate((uint16_t)rng_below(rng, 8 * GDT_ENTRIES), code_address(tables),
                    (uint8_t)(0x80 | rng_below(rng, 128)), 0);
    }
}

static void write_idt(struct tables *tables)
{
    for (unsigned vector = 0; vector < 256; vector++) {
        uint8_t dpl = rng_once_in(tables->rng, 2) ? 0x60 : 0;
        uint64_t value = sane(tables) ? gate(SEL_CODE0, AT_HANDLERS32 + HANDLER_SIZE * vector, 0x8e | dpl, 0)
                                      : random_gate(tables, vector);
        uint32_t entry = sane(tables) ? AT_HANDLERS16 + HANDLER_SIZE * vector : rng_u32(tables->rng);

        write64(tables, AT_IDT + 8 * vector, value);
        write32(tables, 4 * vector, entry);
    }
}

/* ---- tasks ---- */

static void write_tss32(struct tables *tables, gpa_t at)
{
    struct rng *rng = tables->rng;
    const uint16_t data[] = {SEL_DATA0, SEL_DATA3 | 3, SEL_DATA1 | 1, 0};
    bool user = rng_once_in(rng, 3);

    for (unsigned cpl = 0; cpl < 3; cpl++) {
        const uint16_t stack[] = {SEL_DATA0, SEL_DATA1 | 1, SEL_DATA3 | 2};
        write32(tables, at + 4 + 8 * cpl, sane(tables) ? AT_STACKS + 0x1000 * (cpl + 1) : stream_value(rng));
        write32(tables, at + 8 + 8 * cpl, sane(tables) ? stack[cpl] : rng_u32(rng));
    }
    write32(tables, at + 0x1c, AT_PAGES);
    write32(tables, at + 0x20, code_address(tables));
    write32(tables, at + 0x24, sane(tables) ? 2 : rng_u32(rng));
    for (unsigned i = 0; i < 8; i++) {
        write32(tables, at + 0x28 + 4 * i, stream_value(rng));
    }
    write32(tables, at + 0x38, AT_STACKS_END - 0x1000);
    for (unsigned i = 0; i < SEG_COUNT; i++) {
        write32(tables, at + 0x48 + 4 * i, sane(tables) ? data[user] : rng_below(rng, 8 * GDT_ENTRIES));
    }
    write32(tables, at + 0x4c, user ? SEL_CODE3 | 3 : SEL_CODE0);
    write32(tables, at + 0x60, rng_once_in(rng, 2) ? SEL_LDT : 0);
    write32(tables, at + 0x64, (rng_once_in(rng, 8) ? 1 : 0) | (uint32_t)TSS_MAP_BASE << 16);
}

static void write_tss16(struct tables *tables, gpa_t at)
{
    for (unsigned i = 0; i < 0x2c; i += 2) {
        write16(tables, at + i, (uint16_t)stream_value(tables->rng));
    }
    write16(tables, at + 0x24, SEL_CODE0_16);
    write16(tables, at + 0x26, SEL_DATA0_16);
    write16(tables, at + 0x22, SEL_DATA0);
    write16(tables, at + 0x28, SEL_DATA0_16);
    write16(tables, at + 0x2a, 0);
}

/* The 32 bytes of the interrupt redirection map, then the I/O permission map. */
static void write_maps(struct tables *tables)
{
    uint8_t map[256 + 1];
    uint8_t pattern = rng_once_in(tables->rng, 2) ? 0 : 0xff;

    for (unsigned i = 0; i < sizeof(map); i++) {
        map[i] = rng_once_in(tables->rng, 4) ? (uint8_t)rng_next(tables->rng) : pattern;
    }
    machine_write(tables->machine, AT_TSS + TSS_MAP_BASE - 32, map, sizeof(map));
    write16(tables, AT_TSS + TSS_LIMIT - 1, 0xffff);
}

void tables_write(const struct life *life, struct rng *rng, struct fuzz_machine *machine)
{
    struct tables tables = {.life = life, .rng = rng, .machine = machine};

    write_gdt(&tables);
    write_handlers(&tables);
    write_idt(&tables);
    write_tss32(&tables, AT_TSS);
    write_tss32(&tables, AT_TSS2);
    write_tss16(&tables, AT_TSS16);
    write_maps(&tables);
}

/* ---- page tables ---- */

/* P RW US of a mapping, seldom fewer. */
static uint64_t page_rights(struct tables *tables)
{
    uint64_t rights = 7;

    if (!sane(tables)) {
        rights ^= BIT(rng_below(tables->rng, 3)) | (rng_once_in(tables->rng, 2) ? BIT(8) : 0);
    }
    return rights | (rng_once_in(tables->rng, 2) ? 0x60 : 0);
}

/* The frame of the 4 KiB page number `page`: itself; or any, tables, devices and nothing included. */
static uint64_t page_frame(struct tables *tables, unsigned page, bool pae)
{
    struct rng *rng = tables->rng;

    if (page < AT_CODE >> PAGE_SHIFT ? !rng_once_in(rng, 64) || sane(tables) : sane(tables)) {
        return (uint64_t)page << PAGE_SHIFT;
    }
    if (rng_once_in(rng, 8)) {
        return pae ? rng_next(rng) & (BITS(51, 12) | BIT(63)) : rng_u32(rng) & BITS(31, 12);
    }
    return ALIGN_DOWN(rng_below(rng, rng_once_in(rng, 2) ? AT_PAGES_END : LOW_END), PAGE_SIZE);
}

/* The first table maps low memory; the other tables of the area are anything. */
static void write_tables(struct tables *tables, unsigned first_table, bool pae)
{
    unsigned entries = pae ? 512 : 1024, size = pae ? 8 : 4;

    for (unsigned i = 0; i < entries; i++) {
        uint64_t entry = page_frame(tables, i, pae) | page_rights(tables);
        machine_write(tables->machine, AT_PAGES + first_table * PAGE_SIZE + i * size, &entry, size);
    }
}

static uint64_t directory_entry(struct tables *tables, unsigned index, unsigned first_table, bool pae)
{
    struct rng *rng = tables->rng;
    unsigned shift = pae ? 21 : 22;

    if (index == 0 && !rng_once_in(rng, 32)) {
        return AT_PAGES + first_table * PAGE_SIZE + (sane(tables) ? 7 : page_rights(tables));
    }
    switch (rng_below(rng, 6)) {
    case 0: /* a large page */
        return ((uint64_t)rng_below(rng, 4) << shift) | page_rights(tables) | 0x80 |
               (rng_once_in(rng, 8) ? BIT(13) : 0);
    case 1: /* the directory or a table as a table: the tables appear in linear memory */
        return AT_PAGES + rng_below(rng, 8) * PAGE_SIZE + page_rights(tables);
    case 2:
        return rng_next(rng);
    case 3:
        return 0;
    default: /* low memory again */
        return AT_PAGES + first_table * PAGE_SIZE + page_rights(tables);
    }
}

uint32_t tables_write_pages(const struct life *life, struct rng *rng, struct fuzz_machine *machine)
{
    struct tables tables = {.life = life, .rng = rng, .machine = machine};
    bool pae = life->paging == FUZZ_PAGING_PAE;
    unsigned size = pae ? 8 : 4, directories = pae ? 4 : 1, first_table = pae ? 5 : 1;

    if (life->paging == FUZZ_PAGING_OFF) {
        return rng_u32(rng);
    }
    write_tables(&tables, first_table, pae);
    for (unsigned i = 0; i < directories * (unsigned)PAGE_SIZE / size; i++) {
        uint64_t entry = directory_entry(&tables, pae ? i % 512 : i, first_table, pae);
        machine_write(machine, AT_PAGES + (pae ? PAGE_SIZE : 0) + i * size, &entry, size);
    }
    for (unsigned i = 0; pae && i < 4; i++) {
        write64(&tables, AT_PAGES + 8 * i, (uint64_t)(AT_PAGES + PAGE_SIZE * (1 + i)) | 1);
    }
    return AT_PAGES | (rng_once_in(rng, 4) ? 0x18 : 0);
}
