/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Address spaces: flattening, access rules of devices, splitting, DMA, and the ends of the space. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "mmu/addr_space.h"

/* A device that keeps a journal of its accesses and holds 64 bytes. */
struct probe {
    struct region region;
    struct region_ops ops;
    uint8_t bytes[64];
    struct {
        bool write;
        uint64_t offset, value;
        unsigned size;
    } journal[32];
    unsigned count;
};

static void probe_note(struct probe *probe, bool write, uint64_t offset, uint64_t value, unsigned size)
{
    cr_assert_lt(probe->count, 32);
    probe->journal[probe->count].write = write;
    probe->journal[probe->count].offset = offset;
    probe->journal[probe->count].value = value;
    probe->journal[probe->count++].size = size;
}

static uint64_t probe_read(void *opaque, uint64_t offset, unsigned size)
{
    struct probe *probe = opaque;
    uint64_t value = 0;
    for (unsigned i = 0; i < size; i++) {
        value |= (uint64_t)probe->bytes[(offset + i) % 64] << (8 * i);
    }
    probe_note(probe, false, offset, value, size);
    return value;
}

static void probe_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct probe *probe = opaque;
    probe_note(probe, true, offset, value, size);
    for (unsigned i = 0; i < size; i++) {
        probe->bytes[(offset + i) % 64] = (uint8_t)(value >> (8 * i));
    }
}

static void probe_init(struct probe *probe, uint64_t base, uint64_t size, uint8_t min, uint8_t max)
{
    memset(probe, 0, sizeof(*probe));
    probe->ops =
        (struct region_ops){.read = probe_read, .write = probe_write, .min_size = min, .max_size = max};
    for (unsigned i = 0; i < 64; i++) {
        probe->bytes[i] = (uint8_t)(0x10 + i);
    }
    region_init_io(&probe->region, "probe", base, size, &probe->ops, probe);
}

static void assert_call(const struct probe *probe, unsigned i, bool write, uint64_t offset, unsigned size)
{
    cr_assert_gt(probe->count, i, "call %u did not happen", i);
    cr_assert_eq(probe->journal[i].write, write);
    cr_assert_eq(probe->journal[i].offset, offset, "call %u: offset %lu", i, probe->journal[i].offset);
    cr_assert_eq(probe->journal[i].size, size, "call %u: size %u", i, probe->journal[i].size);
}

/* A memory space of 4 GiB with 1 MiB of RAM at 0, filled with a pattern; ram has 1 MiB more to give out. */
struct fixture {
    struct ram ram;
    struct addr_space mem;
    struct region low;
    unsigned changes;
    struct addr_space_listener listener;
};

static struct fixture f;

static void count_change(void *opaque)
{
    ((struct fixture *)opaque)->changes++;
}

static void setup(void)
{
    memset(&f, 0, sizeof(f));
    cr_assert_eq(ram_init(&f.ram, 2 * MIB, NULL), 0);
    cr_assert_eq(addr_space_init(&f.mem, "memory", UINT32_MAX, &f.ram), 0);
    f.listener = (struct addr_space_listener){.changed = count_change, .opaque = &f};
    addr_space_add_listener(&f.mem, &f.listener);
    region_init_memory(&f.low, "ram", 0, MIB, ram_alloc(&f.ram, MIB), REGION_RW);
    addr_space_add(&f.mem, &f.low);
    for (unsigned i = 0; i < MIB; i++) {
        f.ram.host[i] = (uint8_t)(i * 7);
    }
}

static void teardown(void)
{
    addr_space_fini(&f.mem);
    ram_fini(&f.ram);
}

TestSuite(addr_space, .init = setup, .fini = teardown);

/* The promise of the flat array: sorted, without holes, from 0 to last. */
static void assert_covers(const struct addr_space *space)
{
    uint64_t next = 0;
    for (size_t i = 0; i < space->flat_count; i++) {
        cr_assert_eq(space->flat[i].first, next);
        cr_assert_geq(space->flat[i].last, space->flat[i].first);
        next = space->flat[i].last + 1;
    }
    cr_assert_eq(next, space->last + 1);
}

Test(addr_space, empty_space_reads_as_ones_and_ignores_writes)
{
    struct addr_space space;
    cr_assert_eq(addr_space_init(&space, "empty", UINT64_MAX, NULL), 0);
    assert_covers(&space);
    cr_assert_eq(addr_space_read(&space, 0, 1), 0xff);
    cr_assert_eq(addr_space_read(&space, 1234567, 4), 0xffffffff);
    cr_assert_eq(addr_space_read(&space, UINT64_MAX - 7, 8), UINT64_MAX);
    addr_space_write(&space, 55, 1, 8);
    cr_assert_eq(addr_space_read_roff(&space, 0), UINT64_MAX);
    addr_space_fini(&space);
}

Test(addr_space, memory_is_read_and_written_at_every_size)
{
    addr_space_write(&f.mem, 0x1000, 0x1122334455667788, 8);
    cr_assert_eq(addr_space_read(&f.mem, 0x1000, 8), 0x1122334455667788);
    cr_assert_eq(addr_space_read(&f.mem, 0x1001, 4), 0x44556677);
    cr_assert_eq(addr_space_read(&f.mem, 0x1003, 2), 0x4455);
    cr_assert_eq(addr_space_read(&f.mem, 0x1007, 1), 0x11);
    addr_space_write(&f.mem, 0x1002, 0xffffabcd, 2);
    cr_assert_eq(addr_space_read(&f.mem, 0x1000, 8), 0x11223344abcd7788);
    addr_space_write(&f.mem, 0x1000, 0xff00, 1);
    cr_assert_eq(addr_space_read(&f.mem, 0x1000, 4), 0xabcd7700);
}

Test(addr_space, higher_priority_wins_and_of_equals_the_later)
{
    struct probe a, b, c;
    probe_init(&a, 0x8000, 0x100, 0, 0);
    probe_init(&b, 0x8040, 0x100, 0, 0);
    probe_init(&c, 0x8000, 0x1000, 0, 0);
    c.region.priority = -1;
    addr_space_add(&f.mem, &a.region);
    addr_space_add(&f.mem, &b.region);
    addr_space_add(&f.mem, &c.region);
    assert_covers(&f.mem);
    cr_assert_eq(addr_space_find(&f.mem, 0x8000)->read, &a.region);
    cr_assert_eq(addr_space_find(&f.mem, 0x803f)->read, &a.region);
    cr_assert_eq(addr_space_find(&f.mem, 0x8040)->read, &b.region);
    cr_assert_eq(addr_space_find(&f.mem, 0x813f)->read, &b.region);
    cr_assert_eq(addr_space_find(&f.mem, 0x8140)->read, &f.low, "priority -1 loses against 0");
    c.region.priority = 1;
    region_move(&c.region, 0x7fff);
    cr_assert_eq(addr_space_find(&f.mem, 0x8040)->read, &c.region);
    cr_assert_eq(addr_space_find(&f.mem, 0x7ffe)->read, &f.low);
    addr_space_remove(&f.mem, &c.region);
    addr_space_remove(&f.mem, &b.region);
    region_set_enabled(&a.region, false);
    assert_covers(&f.mem);
    cr_assert_eq(f.mem.flat_count, 2, "neighbours with equal owners are one range");
    cr_assert_null(c.region.space);
}

/* A brute-force model of the rules against random regions, ends of the space included. */
Test(addr_space, random_regions_agree_with_the_definition)
{
    static struct region regions[12];
    static const struct region_ops ops = {0};
    struct addr_space space;
    unsigned seed = 1;
    cr_assert_eq(addr_space_init(&space, "ports", 0xff, NULL), 0);
    for (unsigned i = 0; i < 12; i++) {
        region_init_io(&regions[i], "r", 0, 1, &ops, NULL);
        regions[i].priority = (int)(i % 3);
        addr_space_add(&space, &regions[i]);
    }
    for (unsigned round = 0; round < 300; round++) {
        struct region *region = &regions[rand_r(&seed) % 12];
        region->size = (uint64_t)rand_r(&seed) % 80;
        region->visible = (uint8_t)(rand_r(&seed) % 4);
        region_set_enabled(region, rand_r(&seed) % 4 != 0);
        region_move(region, (uint64_t)rand_r(&seed) % 0x120);
        region_move(region, region->base + 1);
        assert_covers(&space);
        for (uint64_t addr = 0; addr <= 0xff; addr++) {
            struct region *reader = NULL, *writer = NULL;
            for (unsigned i = 0; i < 12; i++) {
                struct region *r = &regions[i];
                bool here = r->enabled && addr >= r->base && addr - r->base < r->size;
                if (here && (r->visible & REGION_READ) && (!reader || r->priority >= reader->priority)) {
                    reader = r;
                }
                if (here && (r->visible & REGION_WRITE) && (!writer || r->priority >= writer->priority)) {
                    writer = r;
                }
            }
            cr_assert_eq(addr_space_find(&space, addr)->read, reader);
            cr_assert_eq(addr_space_find(&space, addr)->write, writer);
        }
    }
    addr_space_fini(&space);
}

Test(addr_space, pam_register_styles_shadow_a_rom)
{
    struct region rom, pam;
    roff_t rom_roff = ram_alloc(&f.ram, 0x10000);
    memset(f.ram.host + rom_roff, 0xee, 0x10000);
    region_init_memory(&rom, "bios", 0xf0000, 0x10000, rom_roff, REGION_READ);
    rom.priority = 1;
    region_init_memory(&pam, "pam", 0xf0000, 0x10000, 0xf0000, 0);
    pam.priority = 2;
    addr_space_add(&f.mem, &rom);
    addr_space_add(&f.mem, &pam);
    f.ram.host[0xf0000] = 0x11;

    cr_assert_eq(addr_space_read(&f.mem, 0xf0000, 1), 0xee);
    addr_space_write(&f.mem, 0xf0000, 0x22, 1);
    cr_assert_eq(addr_space_read(&f.mem, 0xf0000, 1), 0xee);
    cr_assert_eq(f.ram.host[0xf0000], 0x22, "writes fall through the ROM to the RAM below");
    cr_assert_eq(addr_space_read_roff(&f.mem, 0xf0123), rom_roff + 0x123);
    cr_assert_eq(addr_space_write_roff(&f.mem, 0xf0123), 0xf0123);

    region_set_visible(&pam, REGION_RW);
    cr_assert_eq(addr_space_read(&f.mem, 0xf0000, 1), 0x22);
    region_set_visible(&pam, REGION_READ);
    f.low.visible = REGION_READ;
    region_set_visible(&pam, 0);
    region_set_visible(&pam, REGION_READ);
    addr_space_write(&f.mem, 0xf0000, 0x33, 1);
    cr_assert_eq(addr_space_read(&f.mem, 0xf0000, 1), 0x22, "nobody takes the write");
    cr_assert_eq(addr_space_write_roff(&f.mem, 0xf0000), UINT64_MAX);
    region_set_visible(&pam, REGION_WRITE);
    addr_space_write(&f.mem, 0xf0000, 0x44, 1);
    cr_assert_eq(addr_space_read(&f.mem, 0xf0000, 1), 0xee);
    cr_assert_eq(f.ram.host[0xf0000], 0x44);
}

Test(addr_space, ports_are_found_by_index)
{
    struct addr_space io;
    struct probe pit, one, end;
    cr_assert_eq(addr_space_init(&io, "ports", 0xffff, NULL), 0);
    cr_assert_not_null(io.port_index);
    probe_init(&pit, 0x40, 4, 1, 1);
    probe_init(&one, 0x61, 1, 1, 1);
    probe_init(&end, 0xfffe, 100, 0, 0);
    addr_space_add(&io, &pit.region);
    addr_space_add(&io, &one.region);
    addr_space_add(&io, &end.region);
    assert_covers(&io);
    cr_assert_eq(addr_space_read(&io, 0x43, 1), 0x13);
    cr_assert_eq(addr_space_read(&io, 0x44, 1), 0xff);
    cr_assert_eq(addr_space_read(&io, 0x40, 2), 0x1110, "a word from a byte device: low part first");
    assert_call(&pit, 1, false, 0, 1);
    assert_call(&pit, 2, false, 1, 1);
    cr_assert_eq(addr_space_read(&io, 0x60, 2), 0x10ff);
    addr_space_write(&io, 0x60, 0xabcd, 2);
    cr_assert_eq(one.bytes[0], 0xab);
    cr_assert_eq(addr_space_read(&io, 0xfffe, 2), 0x1110);
    cr_assert_eq(addr_space_read(&io, 0xffff, 4), 0xffffff11, "no wrap-around to port 0");
    addr_space_write(&io, 0xffff, 0x55667788, 4);
    cr_assert_eq(end.bytes[1], 0x88);
    cr_assert_eq(end.bytes[2], 0x12, "bytes beyond the last port go nowhere");
    cr_assert_eq(addr_space_read(&io, 0x10000, 1), 0xff);
    cr_assert_eq(addr_space_read(&io, UINT64_MAX, 8), UINT64_MAX);
    region_set_enabled(&one.region, false);
    cr_assert_eq(addr_space_read(&io, 0x61, 1), 0xff, "an absent device decodes nothing");
    addr_space_fini(&io);
}

Test(addr_space, accesses_larger_than_a_device_takes_are_split_low_first)
{
    struct probe probe;
    probe_init(&probe, 0x200000, 64, 0, 0);
    addr_space_add(&f.mem, &probe.region);
    cr_assert_eq(addr_space_read(&f.mem, 0x200008, 8), 0x1f1e1d1c1b1a1918);
    assert_call(&probe, 0, false, 8, 4);
    assert_call(&probe, 1, false, 12, 4);
    addr_space_write(&f.mem, 0x200000, 0x8877665544332211, 8);
    assert_call(&probe, 2, true, 0, 4);
    assert_call(&probe, 3, true, 4, 4);
    cr_assert_eq(probe.journal[2].value, 0x44332211);
    cr_assert_eq(probe.journal[3].value, 0x88776655);
    cr_assert_eq(probe.count, 4);
}

Test(addr_space, accesses_of_eight_bytes_reach_a_device_that_takes_them)
{
    struct probe probe;
    probe_init(&probe, 0x200000, 64, 1, 8);
    addr_space_add(&f.mem, &probe.region);
    addr_space_write(&f.mem, 0x200000, 0x8877665544332211, 8);
    cr_assert_eq(addr_space_read(&f.mem, 0x200000, 8), 0x8877665544332211);
    assert_call(&probe, 0, true, 0, 8);
    assert_call(&probe, 1, false, 0, 8);
}

Test(addr_space, accesses_smaller_than_a_device_takes_are_widened)
{
    struct probe probe;
    probe_init(&probe, 0x200000, 64, 4, 4);
    addr_space_add(&f.mem, &probe.region);
    cr_assert_eq(addr_space_read(&f.mem, 0x200006, 1), 0x16);
    assert_call(&probe, 0, false, 4, 4);
    cr_assert_eq(addr_space_read(&f.mem, 0x200006, 2), 0x1716);
    assert_call(&probe, 1, false, 4, 4);
    addr_space_write(&f.mem, 0x200005, 0xabcd, 1);
    assert_call(&probe, 2, false, 4, 4);
    assert_call(&probe, 3, true, 4, 4);
    cr_assert_eq(probe.journal[3].value, 0x1716cd14, "the other bytes of the unit keep their value");
    probe.count = 0;
    cr_assert_eq(addr_space_read(&f.mem, 0x20000b, 2), 0x1c1b, "two units are touched");
    assert_call(&probe, 0, false, 8, 4);
    assert_call(&probe, 1, false, 12, 4);
    cr_assert_eq(probe.count, 2);
}

Test(addr_space, values_are_cut_to_the_size_of_the_access)
{
    struct probe probe;
    probe_init(&probe, 0x200000, 64, 0, 0);
    addr_space_add(&f.mem, &probe.region);
    addr_space_write(&f.mem, 0x200000, 0x123456789abcdef0, 2);
    cr_assert_eq(probe.journal[0].value, 0xdef0);
}

Test(addr_space, device_without_functions_is_harmless)
{
    static const struct region_ops ops = {0};
    struct region region;
    region_init_io(&region, "deaf", 0x200000, 16, &ops, NULL);
    addr_space_add(&f.mem, &region);
    cr_assert_eq(addr_space_read(&f.mem, 0x200000, 4), 0xffffffff);
    addr_space_write(&f.mem, 0x200000, 1, 4);
}

Test(addr_space, accesses_across_ranges_are_split_into_bytes)
{
    struct probe probe;
    probe_init(&probe, MIB, 2, 0, 0);
    addr_space_add(&f.mem, &probe.region);
    f.ram.host[MIB - 1] = 0x77;
    cr_assert_eq(addr_space_read(&f.mem, MIB - 1, 8), 0xffffffffff111077);
    assert_call(&probe, 0, false, 0, 1);
    assert_call(&probe, 1, false, 1, 1);
    addr_space_write(&f.mem, MIB - 1, 0x8877665544332211, 8);
    cr_assert_eq(f.ram.host[MIB - 1], 0x11);
    cr_assert_eq(probe.bytes[0], 0x22);
    cr_assert_eq(probe.bytes[1], 0x33);
    cr_assert_eq(probe.bytes[2], 0x12);
    cr_assert_eq(probe.count, 4);
}

struct watch_record {
    unsigned calls;
    uint64_t bytes, seen;
};

static void note_write(void *opaque, roff_t roff, uint64_t length)
{
    struct watch_record *record = opaque;
    record->calls++;
    record->bytes += length;
    record->seen = *ram_ptr(&f.ram, roff);
}

Test(addr_space, memory_writes_tell_the_watches_before_the_bytes_change)
{
    struct watch_record record = {0};
    uint8_t bytes[3 * PAGE_SIZE] = {0};
    ram_set_watcher(&f.ram, RAM_WATCH_DIRTY, note_write, &record);
    ram_watch_set(&f.ram, 4, RAM_WATCH_DIRTY);
    f.ram.host[0x4000] = 0x12;
    addr_space_write(&f.mem, 0x4000, 0x34, 4);
    cr_assert_eq(record.calls, 1);
    cr_assert_eq(record.bytes, 4);
    cr_assert_eq(record.seen, 0x12);
    addr_space_write(&f.mem, 0x3ffe, 0, 4);
    cr_assert_eq(record.bytes, 6, "the half in the watched frame");
    cr_assert_eq(record.seen, 0x34);
    cr_assert(dma_write(&f.mem, 0x3000, bytes, sizeof(bytes)));
    cr_assert_eq(record.bytes, 6 + PAGE_SIZE);
    cr_assert(addr_space_poke(&f.mem, 0x4010, bytes, 1));
    cr_assert_eq(record.bytes, 7 + PAGE_SIZE);
    addr_space_read(&f.mem, 0x4000, 4);
    cr_assert(addr_space_peek(&f.mem, 0x4000, bytes, 4));
    cr_assert_eq(record.bytes, 7 + PAGE_SIZE, "reads are nobody's business");
}

Test(addr_space, dma_moves_bytes_and_refuses_anything_but_memory_as_a_whole)
{
    struct probe probe;
    struct region rom;
    uint8_t bytes[64];
    probe_init(&probe, 0x80020, 16, 0, 0);
    region_init_memory(&rom, "rom", MIB, PAGE_SIZE, ram_alloc(&f.ram, PAGE_SIZE), REGION_READ);
    addr_space_add(&f.mem, &rom);
    f.ram.host[MIB] = 0xaa;

    memset(bytes, 0x5a, sizeof(bytes));
    cr_assert(dma_write(&f.mem, 0x80000, bytes, 64));
    cr_assert_eq(f.ram.host[0x8003f], 0x5a);
    memset(bytes, 0, sizeof(bytes));
    cr_assert(dma_read(&f.mem, 0x80000, bytes, 64));
    cr_assert_eq(bytes[63], 0x5a);
    cr_assert(dma_read(&f.mem, 0x80000, bytes, 0));
    cr_assert(dma_read(&f.mem, MIB - 1, bytes, 2), "RAM and ROM side by side");
    cr_assert_eq(bytes[1], 0xaa);
    cr_assert(!dma_write(&f.mem, MIB - 1, bytes, 2), "ROM is not writable");
    cr_assert_eq(f.ram.host[MIB], 0xaa);

    addr_space_add(&f.mem, &probe.region);
    memset(bytes, 0x11, sizeof(bytes));
    cr_assert(!dma_write(&f.mem, 0x80000, bytes, 64));
    cr_assert_eq(f.ram.host[0x80000], 0x5a, "nothing was transferred");
    cr_assert(!dma_read(&f.mem, 0x80000, bytes, 64));
    cr_assert_eq(bytes[0], 0x11);
    cr_assert_eq(probe.count, 0, "no device was called");
    cr_assert(!dma_read(&f.mem, 0x200000, bytes, 1), "unmapped");
    cr_assert(!dma_read(&f.mem, UINT32_MAX, bytes, 2));
    cr_assert(!dma_read(&f.mem, UINT64_MAX, bytes, 2));
    cr_assert(!dma_read(&f.mem, 0, bytes, UINT64_MAX), "refused before a byte is copied");
    cr_assert(!dma_write(&f.mem, 0x1000, bytes, UINT64_MAX));
    cr_assert_eq(f.ram.host[0x1000], (uint8_t)(0x1000 * 7));
}

Test(addr_space, peek_and_poke_reach_memory_only)
{
    struct probe probe;
    struct region rom;
    uint8_t bytes[32];
    probe_init(&probe, 0x80008, 8, 0, 0);
    addr_space_add(&f.mem, &probe.region);
    memset(f.ram.host + 0x80000, 0x5a, 32);
    cr_assert(!addr_space_peek(&f.mem, 0x80000, bytes, 24));
    cr_assert_eq(bytes[7], 0x5a);
    cr_assert_eq(bytes[8], 0xff);
    cr_assert_eq(bytes[15], 0xff);
    cr_assert_eq(bytes[16], 0x5a);
    memset(bytes, 0x66, sizeof(bytes));
    cr_assert(!addr_space_poke(&f.mem, 0x80000, bytes, 24));
    cr_assert_eq(f.ram.host[0x80017], 0x66);
    cr_assert_eq(f.ram.host[0x80008], 0x5a, "RAM below a device is out of reach");
    cr_assert_eq(probe.count, 0);

    region_init_memory(&rom, "rom", 0xf0000, 0x10000, ram_alloc(&f.ram, 0x10000), REGION_READ);
    rom.priority = 1;
    addr_space_add(&f.mem, &rom);
    cr_assert(addr_space_poke(&f.mem, 0xf0000, "rom", 3));
    cr_assert(addr_space_peek(&f.mem, 0xf0000, bytes, 3));
    cr_assert_eq(memcmp(bytes, "rom", 3), 0);

    memset(bytes, 0, sizeof(bytes));
    cr_assert(!addr_space_peek(&f.mem, UINT32_MAX - 3, bytes, 32));
    cr_assert_eq(bytes[31], 0xff, "bytes beyond the last address are absent");
    cr_assert(!addr_space_peek(&f.mem, UINT64_MAX, bytes, 2));
    cr_assert(!addr_space_poke(&f.mem, UINT32_MAX, bytes, 32));
}

Test(addr_space, regions_are_clipped_at_the_end_and_do_not_wrap)
{
    struct addr_space space;
    struct region high;
    roff_t roff = ram_alloc(&f.ram, 0x10000);
    f.ram.host[roff] = 0x42;
    f.ram.host[roff + 0xfff] = 0x43;
    cr_assert_eq(addr_space_init(&space, "all", UINT64_MAX, &f.ram), 0);
    region_init_memory(&high, "high", UINT64_MAX - 0xfff, 0x10000, roff, REGION_RW);
    addr_space_add(&space, &high);
    assert_covers(&space);
    cr_assert_eq(addr_space_read(&space, UINT64_MAX - 0xfff, 1), 0x42);
    cr_assert_eq(addr_space_read(&space, UINT64_MAX, 1), 0x43);
    cr_assert_eq(addr_space_read(&space, UINT64_MAX, 2), 0xff43);
    cr_assert_eq(addr_space_read(&space, 0, 1), 0xff);
    cr_assert_eq(addr_space_read_roff(&space, UINT64_MAX), roff + 0xfff);
    uint8_t bytes[4] = {0};
    cr_assert(!addr_space_peek(&space, UINT64_MAX, bytes, 4));
    cr_assert_eq(bytes[0], 0x43);
    cr_assert_eq(bytes[1], 0xff);
    cr_assert(!addr_space_poke(&space, UINT64_MAX, "abcd", 4));
    cr_assert_eq(f.ram.host[roff + 0xfff], 'a');
    cr_assert(!dma_read(&space, UINT64_MAX, bytes, 2));
    cr_assert(dma_read(&space, UINT64_MAX, bytes, 1));
    addr_space_fini(&space);

    region_init_memory(&high, "beyond", UINT32_MAX + (uint64_t)1, 0x1000, roff, REGION_RW);
    addr_space_add(&f.mem, &high);
    assert_covers(&f.mem);
    cr_assert_eq(addr_space_read(&f.mem, UINT32_MAX, 8), UINT64_MAX);
    high.size = UINT64_MAX;
    region_move(&high, 5);
    assert_covers(&f.mem);
    high.size = 0;
    region_move(&high, 6);
    assert_covers(&f.mem);
    cr_assert_eq(addr_space_find(&f.mem, 6)->read, &f.low, "an empty region covers nothing");
}

Test(addr_space, memory_outside_the_backing_is_left_out)
{
    struct region region;
    region_init_memory(&region, "wild", 0x200000, 0x1000, f.ram.size, REGION_RW);
    addr_space_add(&f.mem, &region);
    cr_assert_null(region.space);
    region_init_memory(&region, "wild", 0x200000, UINT64_MAX, 0x1000, REGION_RW);
    addr_space_add(&f.mem, &region);
    cr_assert_null(region.space);
    cr_assert_eq(addr_space_read(&f.mem, 0x200000, 1), 0xff);
    region_set_enabled(&region, false);
    region_move(&region, 0);
    addr_space_remove(&f.mem, &region);
    cr_assert_eq(addr_space_read_roff(&f.mem, 0), 0);
}

Test(addr_space, page_has_one_frame_or_none)
{
    struct probe probe;
    struct region odd;
    cr_assert_eq(addr_space_read_roff(&f.mem, 0x5123), 0x5123);
    cr_assert_eq(addr_space_write_roff(&f.mem, 0x5123), 0x5123);
    probe_init(&probe, 0x5ff0, 4, 0, 0);
    addr_space_add(&f.mem, &probe.region);
    cr_assert_eq(addr_space_read_roff(&f.mem, 0x5123), UINT64_MAX, "a device shares the page");
    cr_assert_eq(addr_space_read_roff(&f.mem, 0x5ff0), UINT64_MAX);
    cr_assert_eq(addr_space_read_roff(&f.mem, 0x6000), 0x6000);
    region_init_memory(&odd, "odd", 0x300800, 0x4000, ram_alloc(&f.ram, 0x4000), REGION_RW);
    addr_space_add(&f.mem, &odd);
    cr_assert_eq(addr_space_read_roff(&f.mem, 0x301000), UINT64_MAX, "page offset and frame offset differ");
    cr_assert_eq(addr_space_read_roff(&f.mem, 0x300800), UINT64_MAX);
    cr_assert_eq(addr_space_read(&f.mem, 0x301000, 1), 0);
    cr_assert_eq(addr_space_read_roff(&f.mem, UINT64_MAX), UINT64_MAX);
    cr_assert_eq(addr_space_write_roff(&f.mem, UINT64_MAX), UINT64_MAX);
}

Test(addr_space, listeners_hear_of_each_change_or_once_a_batch)
{
    struct probe a, b;
    unsigned before = f.changes;
    probe_init(&a, 0x200000, 16, 0, 0);
    probe_init(&b, 0x200010, 16, 0, 0);
    addr_space_add(&f.mem, &a.region);
    cr_assert_eq(f.changes, before + 1);
    region_set_enabled(&a.region, true);
    region_set_visible(&a.region, REGION_RW);
    region_move(&a.region, 0x200000);
    cr_assert_eq(f.changes, before + 1, "no change, no call");
    addr_space_begin(&f.mem);
    addr_space_begin(&f.mem);
    addr_space_add(&f.mem, &b.region);
    region_move(&a.region, 0x200100);
    addr_space_end(&f.mem);
    cr_assert_eq(f.changes, before + 1);
    addr_space_end(&f.mem);
    cr_assert_eq(f.changes, before + 2);
    cr_assert_eq(addr_space_find(&f.mem, 0x200010)->read, &b.region);
    addr_space_begin(&f.mem);
    addr_space_end(&f.mem);
    cr_assert_eq(f.changes, before + 2);
    addr_space_end(&f.mem);
    cr_assert_eq(f.mem.batch, 0, "an end too many is harmless");
}

Test(addr_space, removed_and_moved_regions_are_out_of_reach_within_a_batch)
{
    struct region *region = malloc(sizeof(*region));
    cr_assert_not_null(region);
    region_init_memory(region, "short", 0x200000, 0x1000, ram_alloc(&f.ram, 0x1000), REGION_RW);
    addr_space_add(&f.mem, region);
    addr_space_begin(&f.mem);
    region_move(region, 0x400000);
    cr_assert_eq(addr_space_read(&f.mem, 0x200000, 4), 0xffffffff);
    cr_assert_eq(addr_space_read(&f.mem, 0x400000, 4), 0);
    addr_space_remove(&f.mem, region);
    free(region);
    cr_assert_eq(addr_space_read(&f.mem, 0x400000, 4), 0xffffffff);
    addr_space_end(&f.mem);
}

Test(addr_space, many_regions_grow_the_arrays)
{
    static struct region regions[500];
    static const struct region_ops ops = {0};
    addr_space_begin(&f.mem);
    for (unsigned i = 0; i < 500; i++) {
        region_init_io(&regions[i], "r", 0x10000000 + 0x1000 * (uint64_t)i, 0x800, &ops, NULL);
        addr_space_add(&f.mem, &regions[i]);
    }
    addr_space_end(&f.mem);
    assert_covers(&f.mem);
    for (unsigned i = 0; i < 500; i++) {
        cr_assert_eq(addr_space_find(&f.mem, regions[i].base)->read, &regions[i]);
        cr_assert_eq(addr_space_find(&f.mem, regions[i].base + 0x7ff)->read, &regions[i]);
        cr_assert_null(addr_space_find(&f.mem, regions[i].base + 0x800)->read);
    }
}
