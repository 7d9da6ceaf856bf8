/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Shadow page tables: what a fill enters, what each kind of flush drops, and random guests against the page
 * walk.
 *
 * Guest memory: 8 MiB of RAM at 0; ROM at 0x800000; a device at 0x900000; at 0xa00000 memory that reads from
 * one place and is written in another. Page directory at 0x1000, table for linear 0..4 MiB at 0x2000; a
 * second directory at 0x3000 with a table at 0x4000.
 */
#include <criterion/criterion.h>

#include <stdlib.h>

#include "base/error.h"
#include "mmu/shadow.h"

#define DIRECTORY  0x1000u
#define TABLE      0x2000u
#define DIRECTORY2 0x3000u
#define TABLE2     0x4000u
#define RAM_SIZE   (8 * MIB)
#define ROM        0x800000u
#define DEVICE     0x900000u
#define SPLIT      0xa00000u

enum { P = 1, W = 2, U = 4, A = 0x20, D = 0x40, PS = 0x80, G = 0x100 };
enum { READ = PAGEWALK_READ, WRITE = PAGEWALK_WRITE, FETCH = PAGEWALK_FETCH, USER = PAGEWALK_USER };

static struct ram ram;
static struct addr_space mem;
static struct region low, rom, device, split_read, split_write;
static struct paging_ctx ctx;
static struct shadow shadow;
static struct ram_protect_listener listener;
static const struct region_ops device_ops = {0};

static void protect(void *opaque, uint64_t frame)
{
    shadow_protect_frame(opaque, &ram, frame);
}

static void setup(void)
{
    cr_assert_eq(ram_init(&ram, 16 * MIB, NULL), 0);
    cr_assert_eq(addr_space_init(&mem, "memory", UINT32_MAX, &ram), 0);
    region_init_memory(&low, "ram", 0, RAM_SIZE, ram_alloc(&ram, RAM_SIZE), REGION_RW);
    region_init_memory(&rom, "rom", ROM, 0x10000, ram_alloc(&ram, 0x10000), REGION_READ);
    region_init_io(&device, "device", DEVICE, 0x1000, &device_ops, NULL);
    region_init_memory(&split_read, "read", SPLIT, 0x2000, ram_alloc(&ram, 0x2000), REGION_READ);
    region_init_memory(&split_write, "written", SPLIT, 0x2000, ram_alloc(&ram, 0x2000), REGION_WRITE);
    addr_space_add(&mem, &low);
    addr_space_add(&mem, &rom);
    addr_space_add(&mem, &device);
    addr_space_add(&mem, &split_read);
    addr_space_add(&mem, &split_write);
    ctx = (struct paging_ctx){.mode = PAGING_32BIT,
                              .wp = true,
                              .pse = true,
                              .pge = true,
                              .phys_bits = 32,
                              .a20_mask = UINT64_MAX,
                              .cr3 = DIRECTORY,
                              .mem = &mem};
    store_le32(ram.host + DIRECTORY, TABLE | P | W | U);
    store_le32(ram.host + DIRECTORY2, TABLE2 | P | W | U);
    listener = (struct ram_protect_listener){.protect = protect, .opaque = &shadow};
    ram_add_listener(&ram, &listener);
    cr_assert_eq(shadow_init(&shadow, NULL), 0);
}

static void teardown(void)
{
    shadow_fini(&shadow);
    addr_space_fini(&mem);
    ram_fini(&ram);
}

TestSuite(shadow, .init = setup, .fini = teardown);

static void map(uint32_t linear, uint32_t pte)
{
    store_le32(ram.host + TABLE + 4 * (linear >> 12), pte);
}

static uint32_t pte_of(uint32_t linear)
{
    return load_le32(ram.host + TABLE + 4 * (linear >> 12));
}

static void map_large(uint32_t linear, uint32_t pde)
{
    store_le32(ram.host + DIRECTORY + 4 * (linear >> 22), pde | PS);
}

/* A fill that must succeed. True: the entry is usable for the access. */
static bool fill(uint32_t linear, unsigned flags)
{
    bool usable;
    uint32_t error_code = 0;
    cr_assert(shadow_fill(&shadow, &ctx, linear, flags, &usable, &error_code), "fault 0x%x", error_code);
    return usable;
}

static uint32_t fault(uint32_t linear, unsigned flags)
{
    bool usable;
    uint32_t error_code = 0;
    cr_assert(!shadow_fill(&shadow, &ctx, linear, flags, &usable, &error_code));
    return error_code;
}

/* The usable entries of a page, as bits 1 << enum shadow_kind. */
enum { R__ = 1, RW_ = 3, R_X = 5, RWX = 7 };

static unsigned kinds(enum shadow_view view, uint32_t linear)
{
    unsigned bits = 0;
    for (unsigned kind = 0; kind < SHADOW_KINDS; kind++) {
        bits |= shadow_entry(&shadow, view, kind, linear) != SHADOW_UNUSABLE ? 1u << kind : 0;
    }
    return bits;
}

static uint8_t *host_of(enum shadow_view view, enum shadow_kind kind, uint32_t linear)
{
    return (uint8_t *)(uintptr_t)(shadow_entry(&shadow, view, kind, linear) + linear);
}

static void check(void)
{
    struct error difference = {0};
    cr_assert(shadow_check(&shadow, &ctx, &difference), "%s", difference.text);
}

static bool is_canonical(uint64_t address)
{
    return (uint64_t)((int64_t)(address << 16) >> 16) == address;
}

/* ---- The table ----------------------------------------------------------------------------------------- */

Test(shadow, every_entry_is_unusable_at_first)
{
    for (unsigned view = 0; view < SHADOW_VIEWS; view++) {
        for (uint64_t page = 0; page < SHADOW_PAGES; page++) {
            cr_assert_eq(kinds(view, (uint32_t)(page << 12)), 0);
        }
    }
    cr_assert_eq(shadow.current->backed, 0);
}

Test(shadow, unusable_entries_lead_into_the_kernels_half)
{
    for (uint64_t linear = 0; linear <= UINT32_MAX; linear += 4093) {
        uint64_t address = SHADOW_UNUSABLE + linear;
        cr_assert(is_canonical(address), "a page fault is served faster than #GP, and is never #SS");
        cr_assert(address >> 63, "and never user memory");
    }
    cr_assert(is_canonical(SHADOW_UNUSABLE + UINT32_MAX + 16) && (SHADOW_UNUSABLE + UINT32_MAX + 16) >> 63);
}

Test(shadow, one_base_reaches_all_kinds)
{
    map(0x5000, 0x9000 | P | W | D);
    cr_assert(fill(0x5000, FETCH));
    const uint8_t *base = (const uint8_t *)shadow_base(&shadow, SHADOW_SUPERVISOR);
    uint64_t entry = load_le64(base + 8 * 5);
    cr_assert_eq(entry + 0x5000, (uintptr_t)ram.host + 0x9000);
    cr_assert_eq(load_le64(base + 8 * 5 + SHADOW_WRITE_OFFSET), entry);
    cr_assert_eq(load_le64(base + 8 * 5 + SHADOW_FETCH_OFFSET), entry);
}

/* ---- Filling ------------------------------------------------------------------------------------------- */

Test(shadow, fill_gives_a_host_pointer)
{
    map(0x5000, 0x9000 | P | W);
    map(0x25000, 0x9000 | P | W);
    cr_assert(fill(0x5123, READ));
    cr_assert_eq(host_of(SHADOW_SUPERVISOR, SHADOW_READ, 0x5123), ram.host + 0x9123);
    cr_assert(fill(0x25fff, READ));
    cr_assert_eq(host_of(SHADOW_SUPERVISOR, SHADOW_READ, 0x25fff), ram.host + 0x9fff,
                 "one frame mapped twice");
    cr_assert_eq(kinds(SHADOW_SUPERVISOR, 0x6000), 0);
    cr_assert_eq(shadow.stats.fills, 2);
    check();
}

Test(shadow, prefill_leaves_no_trace_in_the_tables)
{
    map(0x5000, 0x9000 | P | W);
    cr_assert(!shadow_prefill(&shadow, &ctx, 0x5000, READ), "the directory entry has no A flag");
    cr_assert_eq(load_le32(ram.host + DIRECTORY), TABLE | P | W | U);
    store_le32(ram.host + DIRECTORY, TABLE | P | W | U | A);
    cr_assert(!shadow_prefill(&shadow, &ctx, 0x5000, READ), "the page-table entry has none");
    map(0x5000, 0x9000 | P | W | A);
    cr_assert(!shadow_prefill(&shadow, &ctx, 0x5000, WRITE), "no D flag");
    cr_assert_eq(kinds(SHADOW_SUPERVISOR, 0x5000), 0);
    cr_assert(shadow_prefill(&shadow, &ctx, 0x5000, READ));
    cr_assert_eq(kinds(SHADOW_SUPERVISOR, 0x5000), R__);
    cr_assert_eq(pte_of(0x5000), 0x9000 | P | W | A);
    map(0x5000, 0x9000 | P | W | A | D);
    cr_assert(shadow_prefill(&shadow, &ctx, 0x5000, WRITE));
    cr_assert_eq(kinds(SHADOW_SUPERVISOR, 0x5000), RW_);
    cr_assert(!shadow_prefill(&shadow, &ctx, 0x6000, READ), "not mapped");
    check();
}

Test(shadow, page_zero_is_like_any_other)
{
    cr_assert_eq(fault(0, READ), 0);
    map(0, 0x9000 | P | W);
    cr_assert(fill(8, WRITE));
    cr_assert_eq(host_of(SHADOW_SUPERVISOR, SHADOW_WRITE, 8), ram.host + 0x9008);
}

Test(shadow, last_page_is_like_any_other)
{
    store_le32(ram.host + DIRECTORY + 4 * 1023, TABLE | P | W);
    store_le32(ram.host + TABLE + 4 * 1023, 0x9000 | P | W);
    cr_assert(fill(0xffffffff, WRITE));
    cr_assert_eq(host_of(SHADOW_SUPERVISOR, SHADOW_WRITE, 0xffffffff), ram.host + 0x9fff);
    check();
}

Test(shadow, write_entry_needs_the_d_flag)
{
    map(0x5000, 0x9000 | P | W);
    cr_assert(fill(0x5000, READ));
    cr_assert_eq(kinds(SHADOW_SUPERVISOR, 0x5000), R__);
    cr_assert_eq(pte_of(0x5000), 0x9000 | P | W | A);
    cr_assert(fill(0x5000, WRITE));
    cr_assert_eq(kinds(SHADOW_SUPERVISOR, 0x5000), RW_);
    cr_assert_eq(pte_of(0x5000), 0x9000 | P | W | A | D);
    shadow_flush(&shadow, false);
    cr_assert(fill(0x5000, READ));
    cr_assert_eq(kinds(SHADOW_SUPERVISOR, 0x5000), RW_, "D is set already: a read enters the write entry");
}

Test(shadow, rights_follow_wp_and_the_view)
{
    map(0x5000, 0x9000 | P | U | D);
    cr_assert(fill(0x5000, READ));
    cr_assert_eq(kinds(SHADOW_SUPERVISOR, 0x5000), R__);
    cr_assert_eq(fault(0x5000, WRITE), PF_P | PF_W);
    ctx.wp = false;
    shadow_flush(&shadow, false);
    cr_assert(fill(0x5000, READ));
    cr_assert_eq(kinds(SHADOW_SUPERVISOR, 0x5000), RW_);
    cr_assert_eq(kinds(SHADOW_USER, 0x5000), 0, "views are separate");
    cr_assert(fill(0x5000, USER));
    cr_assert_eq(kinds(SHADOW_USER, 0x5000), R__, "WP is the supervisor's");
    map(0x15000, 0x9000 | P | W);
    cr_assert_eq(fault(0x15000, USER), PF_P | PF_U);
    cr_assert_eq(kinds(SHADOW_USER, 0x15000), 0, "a failed fill enters nothing");
    check();
}

Test(shadow, fetch_entries_are_made_for_fetches)
{
    map(0x5000, 0x9000 | P | W | A);
    map(0x6000, 0xa000 | P | W | A);
    cr_assert(fill(0x5000, READ));
    cr_assert_eq(kinds(SHADOW_SUPERVISOR, 0x5000), R__);
    cr_assert(fill(0x5000, FETCH));
    cr_assert_eq(kinds(SHADOW_SUPERVISOR, 0x5000), R_X);
    cr_assert_eq(kinds(SHADOW_SUPERVISOR, 0x6000), R_X, "neighbours too");
    cr_assert(fill(0x5000, WRITE));
    cr_assert_eq(kinds(SHADOW_SUPERVISOR, 0x5000), RWX, "a fetch entry that is right stays");
    check();
}

Test(shadow, execute_disable_keeps_the_fetch_entry_away)
{
    ctx.mode = PAGING_PAE;
    ctx.nx = true;
    ctx.pdpte[0] = 0x5000 | P;
    store_le64(ram.host + 0x5000, 0x6000 | P | W | U);
    store_le64(ram.host + 0x6000 + 8 * 5, 0x9000 | P | W | U | D);
    cr_assert(fill(0x5000, USER | FETCH));
    cr_assert_eq(kinds(SHADOW_USER, 0x5000), RWX);
    store_le64(ram.host + 0x6000 + 8 * 5, 0x9000 | BIT(63) | P | W | U | D);
    cr_assert(fill(0x5000, USER));
    cr_assert_eq(kinds(SHADOW_USER, 0x5000), RW_, "a fill does not leave old rights behind");
    cr_assert_eq(fault(0x5000, USER | FETCH), PF_P | PF_U | PF_I);
    check();
}

Test(shadow, rom_reads_directly_and_devices_do_not)
{
    map(0x5000, ROM | P | W);
    cr_assert(!fill(0x5000, WRITE), "the guest may write, the ROM takes no direct write");
    cr_assert_eq(kinds(SHADOW_SUPERVISOR, 0x5000), R__);
    cr_assert(fill(0x5000, READ));
    map(0x15000, DEVICE | P | W);
    cr_assert(!fill(0x15004, READ));
    cr_assert(!fill(0x15004, WRITE));
    cr_assert(!fill(0x15004, FETCH));
    cr_assert_eq(kinds(SHADOW_SUPERVISOR, 0x15000), 0);
    map(0x25000, 0xf0000000 | P | W);
    cr_assert(!fill(0x25000, READ), "nothing is mapped there");
    map(0x35000, SPLIT | P | W);
    cr_assert(!fill(0x35000, WRITE), "reads and writes go to different places");
    cr_assert_eq(kinds(SHADOW_SUPERVISOR, 0x35000), R__);
    check();
}

Test(shadow, neighbours_come_along_without_a_trace)
{
    for (uint32_t page = 0x10; page < 0x18; page++) {
        map(page << 12, (0x20 + page) << 12 | P | W | A | (page & 1 ? D : 0));
    }
    map(0x12000, 0x30000 | P | W);     /* A clear */
    map(0x13000, 0x31000 | W | A | D); /* not present */
    map(0x14000, DEVICE | P | W | A | D);
    map(0x15000, ROM | P | W | A | D);
    uint8_t before[PAGE_SIZE];
    memcpy(before, ram.host + TABLE, PAGE_SIZE);
    cr_assert(fill(0x10000, READ));
    cr_assert_eq(memcmp(before, ram.host + TABLE, PAGE_SIZE), 0, "no flag is set for a neighbour");
    static const uint8_t expected[8] = {R__, RW_, 0, 0, 0, R__, R__, RW_};
    for (uint32_t i = 0; i < 8; i++) {
        cr_assert_eq(kinds(SHADOW_SUPERVISOR, 0x10000 + (i << 12)), expected[i], "page %u", i);
    }
    cr_assert_eq(kinds(SHADOW_SUPERVISOR, 0x18000), 0);
    cr_assert_eq(kinds(SHADOW_USER, 0x11000), 0);
    check();
}

Test(shadow, large_page_fills_its_chunk)
{
    map_large(0x400000, 0x0 | P | W | U | D);
    cr_assert(fill(0x5ff000, USER));
    for (uint32_t linear = 0x400000; linear < 0x600000; linear += PAGE_SIZE) {
        cr_assert_eq(kinds(SHADOW_USER, linear), RW_);
        cr_assert_eq(host_of(SHADOW_USER, SHADOW_WRITE, linear), ram.host + linear - 0x400000);
    }
    cr_assert_eq(kinds(SHADOW_USER, 0x600000), 0);
    cr_assert(fill(0x600000, USER));
    cr_assert_eq(host_of(SHADOW_USER, SHADOW_READ, 0x600000), ram.host + 0x200000);
    check();
}

Test(shadow, watched_page_in_a_large_one_is_not_filled_over_and_over)
{
    map_large(0x400000, 0x0 | P | W | D);
    ram_watch_set(&ram, 0x10, RAM_WATCH_CODE);
    cr_assert(!fill(0x410000, WRITE));
    cr_assert_eq(kinds(SHADOW_SUPERVISOR, 0x410000), R__);
    cr_assert_eq(shadow.stats.prefills, 0);
    cr_assert(fill(0x411000, WRITE));
    cr_assert_eq(kinds(SHADOW_SUPERVISOR, 0x40f000), RW_);
    cr_assert_eq(shadow.stats.prefills, SHADOW_CHUNK_PAGES - 1);
    cr_assert(!fill(0x410000, WRITE));
    ram_watch_clear(&ram, 0x10, RAM_WATCH_CODE);
    cr_assert(fill(0x410000, WRITE));
    cr_assert_eq(shadow.stats.prefills, SHADOW_CHUNK_PAGES - 1);
    check();
}

/* A display's watch: it wants to hear of one write. */
static void end_watch(void *opaque, roff_t roff, uint64_t length)
{
    unsigned *calls = opaque;
    cr_assert_eq(roff, 0x10000);
    cr_assert_eq(length, PAGE_SIZE);
    ++*calls;
    ram_watch_clear(&ram, roff >> PAGE_SHIFT, RAM_WATCH_DISPLAY);
}

Test(shadow, displays_are_told_when_a_write_entry_is_made)
{
    unsigned calls = 0;
    map_large(0x400000, 0x0 | P | W | D);
    ram_set_watcher(&ram, RAM_WATCH_DISPLAY, end_watch, &calls);
    ram_watch_set(&ram, 0x10, RAM_WATCH_DISPLAY);
    cr_assert(fill(0x410000, READ));
    cr_assert_eq(kinds(SHADOW_SUPERVISOR, 0x410000), R__);
    cr_assert_eq(calls, 0, "reading is no news");
    cr_assert(fill(0x410000, WRITE));
    cr_assert_eq(kinds(SHADOW_SUPERVISOR, 0x410000), RW_);
    cr_assert_eq(calls, 1);
    ram_watch_set(&ram, 0x10, RAM_WATCH_DISPLAY);
    ram_watch_set(&ram, 0x10, RAM_WATCH_CODE);
    cr_assert(!fill(0x410000, WRITE), "somebody else wants to hear of every write");
    cr_assert_eq(calls, 1);
    check();
}

Test(shadow, large_page_over_holes_gives_memory_only)
{
    map_large(0x400000, ROM | P | W | D); /* 0x800000..0xbfffff */
    ram_watch_set(&ram, low.roff + 0x1000, RAM_WATCH_CODE);
    cr_assert(fill(0x400000, READ));
    cr_assert(!fill(0x500000, READ));
    cr_assert(fill(0x600000, READ));
    cr_assert_eq(kinds(SHADOW_SUPERVISOR, 0x40f000), R__);
    cr_assert_eq(kinds(SHADOW_SUPERVISOR, 0x410000), 0);
    cr_assert_eq(kinds(SHADOW_SUPERVISOR, 0x500000), 0);
    cr_assert_eq(kinds(SHADOW_SUPERVISOR, 0x601000), R__);
    cr_assert_eq(kinds(SHADOW_SUPERVISOR, 0x602000), 0);
    check();
}

Test(shadow, paging_off_is_identity_with_a20)
{
    ctx.mode = PAGING_OFF;
    ctx.a20_mask = ~BIT(20);
    cr_assert(fill(0x5000, WRITE));
    cr_assert_eq(host_of(SHADOW_SUPERVISOR, SHADOW_WRITE, 0x5000), ram.host + 0x5000);
    cr_assert_eq(host_of(SHADOW_SUPERVISOR, SHADOW_WRITE, 0x105000), ram.host + 0x5000, "bit 20 is dropped");
    check();
    shadow_flush(&shadow, false);
    ctx.a20_mask = UINT64_MAX;
    cr_assert(fill(0x105000, WRITE));
    cr_assert_eq(host_of(SHADOW_SUPERVISOR, SHADOW_WRITE, 0x105000), ram.host + 0x105000);
    check();
}

/* ---- Flushing ------------------------------------------------------------------------------------------ */

Test(shadow, stale_entries_live_until_invlpg)
{
    map(0x5000, 0x9000 | P | W);
    cr_assert(fill(0x5000, WRITE));
    map(0x5000, 0);
    struct error difference = {0};
    cr_assert(!shadow_check(&shadow, &ctx, &difference), "the guest has not flushed");
    cr_assert_eq(kinds(SHADOW_SUPERVISOR, 0x5000), RW_);
    shadow_flush_page(&shadow, 0x5abc);
    cr_assert_eq(kinds(SHADOW_SUPERVISOR, 0x5000), 0);
    check();
}

Test(shadow, invlpg_drops_the_page_in_both_views_and_no_other)
{
    map(0x5000, 0x9000 | P | W | U | G);
    map(0x6000, 0xa000 | P | W | U);
    fill(0x5000, WRITE);
    fill(0x6000, WRITE);
    fill(0x5000, USER);
    shadow_flush_page(&shadow, 0x5000);
    cr_assert_eq(kinds(SHADOW_SUPERVISOR, 0x5000), 0);
    cr_assert_eq(kinds(SHADOW_USER, 0x5000), 0);
    cr_assert_eq(kinds(SHADOW_SUPERVISOR, 0x6000), RW_);
    cr_assert_eq(shadow.stats.page_flushes, 1);
}

Test(shadow, invlpg_in_a_large_page_drops_all_of_it)
{
    map_large(0x800000, 0 | P | W | D);
    map_large(0xc00000, 0 | P | W | D);
    fill(0x800000, FETCH);
    fill(0xa00000, READ);
    fill(0xc00000, READ);
    shadow_flush_page(&shadow, 0xb12345);
    cr_assert_eq(kinds(SHADOW_SUPERVISOR, 0x800000), 0);
    cr_assert_eq(kinds(SHADOW_SUPERVISOR, 0x9ff000), 0);
    cr_assert_eq(kinds(SHADOW_SUPERVISOR, 0xa00000), 0);
    cr_assert_eq(kinds(SHADOW_SUPERVISOR, 0xc00000), RW_);
}

Test(shadow, invlpg_finds_a_large_page_whose_entry_has_become_a_table)
{
    map_large(0x800000, 0 | P | W | D);
    fill(0xa00000, READ);
    store_le32(ram.host + DIRECTORY + 8, TABLE | P | W);
    map(0x5000, 0x9000 | P | W);
    fill(0x805000, READ);
    cr_assert_eq(kinds(SHADOW_SUPERVISOR, 0xa00000), RW_);
    shadow_flush_page(&shadow, 0x805000);
    cr_assert_eq(kinds(SHADOW_SUPERVISOR, 0x805000), 0);
    cr_assert_eq(kinds(SHADOW_SUPERVISOR, 0xa00000), 0, "it was entered from the large page");
}

Test(shadow, cr3_load_keeps_global_entries)
{
    map(0x5000, 0x9000 | P | W | U | G);
    map(0x15000, 0xa000 | P | W | U);
    map_large(0x400000, P | W | U | D | G);
    fill(0x5000, WRITE);
    fill(0x5000, USER | FETCH);
    fill(0x15000, WRITE);
    fill(0x400000, WRITE);
    shadow_flush(&shadow, true);
    cr_assert_eq(kinds(SHADOW_SUPERVISOR, 0x5000), RW_);
    cr_assert_eq(kinds(SHADOW_USER, 0x5000), RWX);
    cr_assert_eq(kinds(SHADOW_SUPERVISOR, 0x15000), 0);
    cr_assert_eq(kinds(SHADOW_SUPERVISOR, 0x5ff000), RW_);
    shadow_flush(&shadow, false);
    cr_assert_eq(kinds(SHADOW_SUPERVISOR, 0x5000), 0);
    cr_assert_eq(kinds(SHADOW_USER, 0x5000), 0);
    cr_assert_eq(kinds(SHADOW_SUPERVISOR, 0x5ff000), 0);
    cr_assert_eq(shadow.stats.flushes, 2);
}

Test(shadow, g_flags_do_not_count_without_pge)
{
    ctx.pge = false;
    map(0x5000, 0x9000 | P | W | G);
    fill(0x5000, WRITE);
    shadow_flush(&shadow, true);
    cr_assert_eq(kinds(SHADOW_SUPERVISOR, 0x5000), 0);
}

Test(shadow, generation_changes_when_fetch_entries_go)
{
    map(0x5000, 0x9000 | P | W | U);
    map(0x15000, 0xa000 | P | W | U);
    uint64_t generation = shadow.generation;
    fill(0x5000, USER | FETCH);
    fill(0x15000, USER | WRITE);
    cr_assert_eq(shadow.generation, generation, "adding is no change");
    shadow_flush_page(&shadow, 0x15000);
    cr_assert_eq(shadow.generation, generation, "nor is dropping data");
    shadow_flush_page(&shadow, 0x5000);
    cr_assert_neq(shadow.generation, generation);
    generation = shadow.generation;
    fill(0x5000, USER | FETCH);
    shadow_flush(&shadow, true);
    cr_assert_neq(shadow.generation, generation);
    generation = shadow.generation;
    fill(0x5000, USER | FETCH);
    map(0x5000, 0xb000 | P | W | U);
    fill(0x5000, USER);
    cr_assert_neq(shadow.generation, generation, "the frame was replaced by a fill");
}

/* ---- Watches ------------------------------------------------------------------------------------------- */

Test(shadow, watch_drops_write_entries_wherever_they_are)
{
    map(0x5000, 0x9000 | P | W | U);
    map(0x15000, 0x9000 | P | W | U);
    map(0x6000, 0xa000 | P | W | U);
    map_large(0x400000, P | W | D);
    fill(0x5000, WRITE);
    fill(0x5000, USER | WRITE);
    fill(0x15000, USER | WRITE);
    fill(0x6000, WRITE);
    fill(0x400000, WRITE);
    ram_watch_set(&ram, 9, RAM_WATCH_CODE);
    cr_assert_eq(kinds(SHADOW_SUPERVISOR, 0x5000), R__);
    cr_assert_eq(kinds(SHADOW_USER, 0x5000), R__);
    cr_assert_eq(kinds(SHADOW_USER, 0x15000), R__);
    cr_assert_eq(kinds(SHADOW_SUPERVISOR, 0x409000), R__);
    cr_assert_eq(kinds(SHADOW_SUPERVISOR, 0x6000), RW_);
    cr_assert_eq(kinds(SHADOW_SUPERVISOR, 0x40a000), RW_);
    check();
    cr_assert(!fill(0x5000, WRITE), "a watched frame takes no direct write");
    ram_watch_clear(&ram, 9, RAM_WATCH_CODE);
    cr_assert(fill(0x5000, WRITE));
    ram_watch_set(&ram, 9, RAM_WATCH_DIRTY);
    cr_assert_eq(kinds(SHADOW_SUPERVISOR, 0x5000), R__, "a second time");
    check();
}

Test(shadow, watch_reaches_spaces_aside)
{
    map(0x5000, 0x9000 | P | W | U);
    shadow_switch(&shadow, &ctx);
    fill(0x5000, WRITE);
    ctx.cr3 = DIRECTORY2;
    shadow_switch(&shadow, &ctx);
    ram_watch_set(&ram, 9, RAM_WATCH_CODE);
    check();
    ctx.cr3 = DIRECTORY;
    shadow_switch(&shadow, &ctx);
    cr_assert_eq(kinds(SHADOW_SUPERVISOR, 0x5000), R__);
    check();
}

/* ---- Address spaces ------------------------------------------------------------------------------------ */

static void switch_to(uint32_t cr3)
{
    ctx.cr3 = cr3;
    shadow_switch(&shadow, &ctx);
    check();
}

/* Two address spaces with the same linear page in each, and a global one in both. */
static void make_two_spaces(void)
{
    map(0x5000, 0x9000 | P | W | U);
    map(0x16000, 0xc000 | P | W | U);
    map(0x20000, 0xb000 | P | W | G);
    store_le32(ram.host + TABLE2 + 4 * 5, 0xa000 | P | W | U);
    store_le32(ram.host + TABLE2 + 4 * 0x20, 0xb000 | P | W | G);
    switch_to(DIRECTORY);
    fill(0x5000, USER | WRITE);
    fill(0x5000, USER | FETCH);
    fill(0x16000, USER | WRITE);
    fill(0x20000, WRITE);
    switch_to(DIRECTORY2);
    cr_assert_eq(kinds(SHADOW_USER, 0x5000), 0);
    fill(0x5000, USER | WRITE);
    fill(0x20000, WRITE);
}

Test(shadow, spaces_come_back_filled)
{
    make_two_spaces();
    const uint64_t *base = shadow_base(&shadow, SHADOW_USER);
    switch_to(DIRECTORY);
    cr_assert_neq(shadow_base(&shadow, SHADOW_USER), base);
    cr_assert_eq(kinds(SHADOW_USER, 0x5000), RWX);
    cr_assert_eq(host_of(SHADOW_USER, SHADOW_READ, 0x5000), ram.host + 0x9000);
    switch_to(DIRECTORY2);
    cr_assert_eq(shadow_base(&shadow, SHADOW_USER), base);
    cr_assert_eq(host_of(SHADOW_USER, SHADOW_WRITE, 0x5000), ram.host + 0xa000);
    cr_assert_eq(shadow.stats.switches, 4);
    cr_assert_eq(shadow.stats.returns, 2);
}

Test(shadow, reloading_the_same_cr3_drops_what_changed)
{
    make_two_spaces();
    switch_to(DIRECTORY);
    map(0x5000, 0xd000 | P | W | U | A | D);
    cr_assert_eq(host_of(SHADOW_USER, SHADOW_READ, 0x5000), ram.host + 0x9000, "not flushed yet");
    switch_to(DIRECTORY);
    cr_assert_eq(kinds(SHADOW_USER, 0x5000), 0);
    cr_assert_eq(kinds(SHADOW_USER, 0x16000), RW_);
}

Test(shadow, spaces_drop_what_changed_while_they_were_aside)
{
    static const struct {
        uint32_t pte;
        unsigned left;
        const char *what;
    } rows[] = {
        {0x9000 | P | W | U | A | D, RWX, "nothing changed"},
        {0x9000 | W | U | A | D, 0, "not present"},
        {0xd000 | P | W | U | A | D, 0, "another frame"},
        {0x9000 | P | U | A | D, 0, "read-only"},
        {0x9000 | P | W | A | D, 0, "supervisor"},
        {0x9000 | P | W | U | D, 0, "A cleared"},
        {0x9000 | P | W | U | A, 0, "D cleared"},
    };
    make_two_spaces();
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        switch_to(DIRECTORY2);
        map(0x5000, rows[i].pte);
        switch_to(DIRECTORY);
        cr_assert_eq(kinds(SHADOW_USER, 0x5000), rows[i].left, "%s", rows[i].what);
        cr_assert_eq(kinds(SHADOW_USER, 0x16000), RW_, "%s: another page", rows[i].what);
        map(0x5000, 0x9000 | P | W | U | A | D);
        shadow_flush_page(&shadow, 0x5000);
        fill(0x5000, USER | FETCH);
    }
    switch_to(DIRECTORY2);
    shadow_flush_page(&shadow, 0x20000); /* it is global */
    store_le32(ram.host + DIRECTORY, TABLE | P | U | A);
    switch_to(DIRECTORY);
    cr_assert_eq(kinds(SHADOW_USER, 0x5000), 0, "the directory entry changed");
    cr_assert_eq(kinds(SHADOW_USER, 0x16000), 0);
}

Test(shadow, entries_of_an_old_directory_entry_do_not_outlive_it)
{
    make_two_spaces();
    switch_to(DIRECTORY);
    shadow_flush_page(&shadow, 0x20000); /* it is global */
    store_le32(ram.host + DIRECTORY, TABLE | P | U | A);
    cr_assert_eq(kinds(SHADOW_USER, 0x16000), RW_, "not flushed");
    fill(0x5000, USER);
    cr_assert_eq(kinds(SHADOW_USER, 0x5000), R__);
    switch_to(DIRECTORY);
    cr_assert_eq(kinds(SHADOW_USER, 0x16000) & RW_, 0, "its own entry is as it was, the directory's is not");
    cr_assert_eq(kinds(SHADOW_USER, 0x5000), R__);
}

Test(shadow, tables_outside_memory_are_walked_each_time)
{
    store_le32(ram.host + DIRECTORY + 4, DEVICE | P | W | U); /* reads as all ones */
    cr_assert(!fill(0x400000, READ), "the frame is no memory either");
    store_le32(ram.host + DIRECTORY + 8, ROM | P | W | U);
    store_le32(ram_ptr(&ram, rom.roff) + 4 * 5, 0x9000 | P | W | U);
    cr_assert(fill(0x805000, USER));
    cr_assert(fill(0x805000, USER | WRITE), "the processor takes D for set");
    cr_assert_eq(host_of(SHADOW_USER, SHADOW_WRITE, 0x805000), ram.host + 0x9000);
    cr_assert_eq(load_le32(ram_ptr(&ram, rom.roff) + 4 * 5), 0x9000 | P | W | U);
    switch_to(DIRECTORY);
    cr_assert_eq(kinds(SHADOW_USER, 0x805000), 0, "a first name for the space");
    fill(0x805000, USER);
    switch_to(DIRECTORY);
    cr_assert_eq(kinds(SHADOW_USER, 0x805000), R__);
}

Test(shadow, invlpg_of_a_global_page_reaches_spaces_aside)
{
    map_large(0x400000, P | W | D | G);
    store_le32(ram.host + DIRECTORY2 + 4, P | W | D | G | PS);
    make_two_spaces();
    fill(0x400000, READ);
    switch_to(DIRECTORY);
    fill(0x400000, READ);
    shadow_flush_page(&shadow, 0x20000);
    shadow_flush_page(&shadow, 0x5ff000);
    switch_to(DIRECTORY2);
    cr_assert_eq(kinds(SHADOW_SUPERVISOR, 0x20000), 0);
    cr_assert_eq(kinds(SHADOW_SUPERVISOR, 0x400000), 0);
    cr_assert_eq(kinds(SHADOW_USER, 0x5000), RW_);
    shadow_flush_page(&shadow, 0x5000);
    switch_to(DIRECTORY);
    cr_assert_eq(kinds(SHADOW_USER, 0x5000), RWX, "a page of another space, not global");
}

Test(shadow, full_flush_forgets_spaces_aside)
{
    make_two_spaces();
    shadow_flush(&shadow, false);
    switch_to(DIRECTORY);
    cr_assert_eq(kinds(SHADOW_USER, 0x5000), 0);
    cr_assert_eq(kinds(SHADOW_SUPERVISOR, 0x20000), 0);
}

Test(shadow, plain_cr3_load_leaves_no_name_behind)
{
    make_two_spaces();
    switch_to(DIRECTORY);
    ctx.cr3 = DIRECTORY2;
    shadow_flush(&shadow, true);
    fill(0x5000, USER);
    cr_assert_eq(host_of(SHADOW_USER, SHADOW_READ, 0x5000), ram.host + 0xa000);
    switch_to(DIRECTORY);
    cr_assert_eq(kinds(SHADOW_USER, 0x5000), 0);
}

Test(shadow, generation_comes_back_with_an_unchanged_space)
{
    make_two_spaces();
    uint64_t second = shadow.generation;
    switch_to(DIRECTORY);
    uint64_t first = shadow.generation;
    cr_assert_neq(first, second);
    switch_to(DIRECTORY2);
    cr_assert_eq(shadow.generation, second);
    map(0x5000, 0xd000 | P | W | U | A | D);
    switch_to(DIRECTORY);
    cr_assert_neq(shadow.generation, first);
}

Test(shadow, more_spaces_than_are_kept)
{
    for (uint32_t i = 0; i < 3 * SHADOW_SPACES; i++) {
        uint32_t directory = 0x100000 + i * 0x2000, table = directory + 0x1000;
        store_le32(ram.host + directory, table | P | W | U | A);
        store_le32(ram.host + table + 4 * 5, (0x200 + i) << 12 | P | W | U);
        store_le32(ram.host + table + 4 * 0x20, 0xb000 | P | W | U | G | A | D);
    }
    for (unsigned round = 0; round < 2; round++) {
        for (uint32_t i = 0; i < 3 * SHADOW_SPACES; i++) {
            switch_to(0x100000 + i * 0x2000);
            cr_assert_eq(kinds(SHADOW_USER, 0x5000), 0);
            bool reused = round || i >= SHADOW_SPACES;
            cr_assert_eq(kinds(SHADOW_USER, 0x20000), reused ? RW_ : 0, "global entries stay in a space");
            fill(0x5000, USER | WRITE);
            fill(0x20000, USER | WRITE);
            cr_assert_eq(host_of(SHADOW_USER, SHADOW_READ, 0x5000), ram.host + ((0x200 + i) << 12));
            check();
        }
    }
    cr_assert_eq(shadow.space_count, SHADOW_SPACES);
    cr_assert_eq(shadow.stats.returns, 0);
}

Test(shadow, pae_spaces_are_told_apart_by_their_pdptes)
{
    ctx.mode = PAGING_PAE;
    for (unsigned i = 0; i < 2; i++) {
        store_le64(ram.host + 0x10000 + 0x1000 * i, (0x20000 + 0x1000 * i) | P | W | U);
        store_le64(ram.host + 0x20000 + 0x1000 * i + 8 * 5, (0x30000 + 0x1000 * i) | P | W | U);
    }
    for (unsigned i = 0; i < 4; i++) {
        ctx.pdpte[0] = (0x10000 + 0x1000 * (i % 2)) | P;
        switch_to(DIRECTORY);
        cr_assert_eq(kinds(SHADOW_USER, 0x5000), i < 2 ? 0 : RW_);
        fill(0x5000, USER | WRITE);
        cr_assert_eq(host_of(SHADOW_USER, SHADOW_READ, 0x5000), ram.host + 0x30000 + 0x1000 * (i % 2));
    }
}

Test(shadow, memory_of_large_guests_is_bounded)
{
    for (unsigned i = 0; i < 1024; i++) {
        store_le32(ram.host + DIRECTORY + 4 * i, P | W | U | D | PS);
    }
    for (unsigned space = 0; space < 3; space++) {
        uint32_t directory = 0x100000 + 0x1000 * space;
        memcpy(ram.host + directory, ram.host + DIRECTORY, PAGE_SIZE);
        ctx.cr3 = directory;
        shadow_switch(&shadow, &ctx);
        for (uint64_t linear = 0; linear <= UINT32_MAX; linear += 2 * MIB) {
            fill((uint32_t)linear, FETCH);
            fill((uint32_t)linear, USER | FETCH);
        }
    }
    ctx.cr3 = DIRECTORY;
    shadow_switch(&shadow, &ctx);
    unsigned backed = 0;
    for (unsigned i = 0; i < shadow.space_count; i++) {
        backed += shadow.space[i]->backed;
    }
    cr_assert_leq(backed, SHADOW_BACKED_MAX);
    ctx.cr3 = 0x100000;
    shadow_switch(&shadow, &ctx);
    cr_assert_eq(kinds(SHADOW_USER, 0x5000), 0, "its memory was given back");
    cr_assert(fill(0x5000, USER | WRITE));
    check();
}

/* ---- Windows --------------------------------------------------------------------------------------------- */

static bool shows(enum shadow_view view, uint32_t linear, bool write)
{
    return window_shows(shadow_window(&shadow, view), linear >> PAGE_SHIFT, write);
}

static void open_windows(void)
{
    cr_assert_null(shadow_window(&shadow, SHADOW_USER));
    cr_assert_eq(shadow_open_window(&shadow, SHADOW_USER, NULL), 0);
    cr_assert_eq(shadow_open_window(&shadow, SHADOW_SUPERVISOR, NULL), 0);
}

Test(shadow, window_shows_a_run_of_frames_at_once)
{
    for (unsigned i = 0; i < 8; i++) {
        map(0x5000 + i * PAGE_SIZE, (0x305000 + i * PAGE_SIZE) | P | W | U | A | D);
    }
    open_windows();
    cr_assert(fill(0x7000, USER | WRITE));
    cr_assert(shadow_show(&shadow, &ctx, SHADOW_USER, 0x7000, true));
    uint64_t calls = shadow_window(&shadow, SHADOW_USER)->calls;
    for (unsigned i = 0; i < 8; i++) {
        cr_assert(shows(SHADOW_USER, 0x5000 + i * PAGE_SIZE, true), "page %u came along", i);
    }
    cr_assert_eq(calls, 1);
    shadow_window(&shadow, SHADOW_USER)->base[0x5123] = 0xa5;
    cr_assert_eq(*ram_ptr(&ram, 0x305123), 0xa5);
    check();
}

Test(shadow, window_loses_a_page_with_its_entry)
{
    map(0x5000, 0x305000 | P | W | U | A | D);
    open_windows();
    cr_assert(fill(0x5000, USER | WRITE));
    cr_assert(shadow_show(&shadow, &ctx, SHADOW_USER, 0x5000, true));
    shadow_flush_page(&shadow, 0x5000);
    cr_assert(!shows(SHADOW_USER, 0x5000, false));
}

Test(shadow, watched_frame_stays_readable_in_a_window)
{
    map(0x5000, 0x305000 | P | W | U | A | D);
    open_windows();
    cr_assert(fill(0x5000, USER | WRITE));
    cr_assert(shadow_show(&shadow, &ctx, SHADOW_USER, 0x5000, true));
    ram_watch_set(&ram, 0x305, RAM_WATCH_CODE);
    cr_assert(!shows(SHADOW_USER, 0x5000, true));
    cr_assert(shows(SHADOW_USER, 0x5000, false));
    check();
}

Test(shadow, supervisor_window_outlives_cr3_loads_and_takes_global_pages_only)
{
    map(0x5000, 0x305000 | P | W | A | D | G);
    map(0x20000, 0x306000 | P | W | A | D);
    open_windows();
    cr_assert(fill(0x5000, WRITE));
    cr_assert(fill(0x20000, WRITE));
    cr_assert(shadow_show(&shadow, &ctx, SHADOW_SUPERVISOR, 0x5000, true));
    cr_assert(!shadow_show(&shadow, &ctx, SHADOW_SUPERVISOR, 0x20000, true));
    ctx.cr3 = DIRECTORY2;
    shadow_switch(&shadow, &ctx);
    cr_assert(shows(SHADOW_SUPERVISOR, 0x5000, true));
    shadow_flush_page(&shadow, 0x5000);
    cr_assert(!shows(SHADOW_SUPERVISOR, 0x5000, false), "INVLPG reaches it from any space");
}

Test(shadow, space_of_another_name_has_no_window)
{
    shadow_switch(&shadow, &ctx);
    open_windows();
    ctx.cr3 = DIRECTORY2;
    shadow_switch(&shadow, &ctx);
    cr_assert_null(shadow_window(&shadow, SHADOW_USER));
    ctx.cr3 = DIRECTORY;
    shadow_switch(&shadow, &ctx);
    cr_assert_not_null(shadow_window(&shadow, SHADOW_USER), "its own came back with it");
}

/* ---- Random guests ------------------------------------------------------------------------------------- */

/*
 * A guest edits its tables, tells the processor as the manual wants it told, and touches memory. After every
 * step the shadow tables must agree with the page walk.
 *
 * Tables lie from AREA on. As in real systems, the lower half of every root is its own and maps nothing
 * global; the upper half is the same in all roots, with A and D set, and may map global pages.
 *
 *   page 0..2    roots: page directories
 *   page 3..7    tables that lower halves point to, of one root or several
 *   page 8..11   tables that upper halves point to
 */
#define AREA       0x100000u
#define AREA_PAGES 12u
#define AREA_SIZE  (AREA_PAGES * PAGE_SIZE)
#define ROOTS      3u
#define SHARED     8u
#define SLOTS      6u /* directory entries in use */
#define PAGES      20u

static unsigned windows_looked_through;

struct form {
    const char *name;
    enum paging_mode mode;
    bool pse, nx, pge;
    uint8_t phys_bits;
};

static const struct form forms[] = {
    {"32-bit", PAGING_32BIT, false, false, true, 32},
    {"32-bit without PGE", PAGING_32BIT, true, false, false, 32},
    {"PSE", PAGING_32BIT, true, false, true, 32},
    {"PSE-36", PAGING_32BIT, true, false, true, 36},
    {"PAE", PAGING_PAE, false, false, true, 36},
    {"PAE with NX", PAGING_PAE, false, true, true, 36},
    {"PAE without PGE", PAGING_PAE, false, true, false, 32},
};

struct guest {
    uint64_t random;
    unsigned entry_size;
    uint32_t linear[SLOTS * PAGES]; /* pages it plays with */
    bool plain;                     /* CR3 loads by shadow_flush() */
    bool windows;                   /* views have host windows, and show what is touched */
};

static uint32_t random_below(struct guest *guest, uint32_t limit)
{
    guest->random = guest->random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((guest->random >> 33) % limit);
}

static bool one_in(struct guest *guest, uint32_t n)
{
    return random_below(guest, n) == 0;
}

static uint64_t random_frame(struct guest *guest, bool large)
{
    static const uint32_t large_frames[] = {0, 0x400000, ROM, 0xf0000000};
    static const uint32_t odd_frames[] = {ROM, ROM + 0x1000, DEVICE, SPLIT, 0xf0000000, AREA};
    if (large) {
        return large_frames[random_below(guest, ARRAY_LEN(large_frames))];
    }
    return one_in(guest, 3) ? odd_frames[random_below(guest, ARRAY_LEN(odd_frames))]
                            : 0x300000 + 0x1000 * random_below(guest, 24);
}

static gpa_t entry_at(const struct guest *guest, unsigned page, unsigned index)
{
    return AREA + page * PAGE_SIZE + guest->entry_size * index;
}

static unsigned entries_per_page(const struct guest *guest)
{
    return PAGE_SIZE / guest->entry_size;
}

/* A plausible entry for this place; now and then with a reserved bit. */
static uint64_t random_entry(struct guest *guest, gpa_t at)
{
    unsigned page = (unsigned)(at - AREA) / PAGE_SIZE;
    unsigned index = (unsigned)(at % PAGE_SIZE) / guest->entry_size;
    bool directory = page < ROOTS, upper = index >= entries_per_page(guest) / 2;
    bool shared = directory ? upper : page >= SHARED;
    bool large = directory && one_in(guest, 3);
    uint64_t entry = (one_in(guest, 6) ? 0 : P) | (one_in(guest, 3) ? 0 : W) | (one_in(guest, 3) ? 0 : U);
    entry |= (one_in(guest, 3) ? 0 : A) | (one_in(guest, 2) ? 0 : D) | (shared && one_in(guest, 2) ? G : 0);
    entry |= directory && shared ? A | D : 0;
    if (directory && !large) {
        unsigned first = shared ? SHARED : ROOTS, last = shared ? AREA_PAGES : SHARED;
        return (entry & ~(uint64_t)G) | (AREA + PAGE_SIZE * (first + random_below(guest, last - first)));
    }
    entry |= random_frame(guest, large) | (large ? PS : 0);
    if (guest->entry_size == 8) {
        entry |= one_in(guest, 4) ? BIT(63) : 0;
        entry |= one_in(guest, 30) ? BIT(50) : 0;
    } else if (large) {
        entry |= one_in(guest, 8) ? BIT(13) : 0;
    }
    return entry;
}

/* Store an entry; one of an upper half in all roots. */
static void store_entry(const struct guest *guest, gpa_t at, uint64_t entry)
{
    unsigned page = (unsigned)(at - AREA) / PAGE_SIZE;
    unsigned index = (unsigned)(at % PAGE_SIZE) / guest->entry_size;
    bool shared = page < ROOTS && index >= entries_per_page(guest) / 2;
    for (unsigned root = shared ? 0 : page; root < (shared ? ROOTS : page + 1); root++) {
        memcpy(ram.host + entry_at(guest, root, index), &entry, guest->entry_size);
    }
}

/* Where the slots lie: neighbours, both halves of the roots, both ends. */
static uint32_t slot_base(const struct guest *guest, unsigned slot)
{
    static const uint16_t index_32bit[SLOTS] = {0, 1, 2, 512, 513, 1023};
    static const uint16_t index_pae[SLOTS] = {0, 1, 512 + 2, 512 + 256, 1024 + 257, 1536 + 511};
    return guest->entry_size == 8 ? (uint32_t)index_pae[slot] << 21 : (uint32_t)index_32bit[slot] << 22;
}

static void load_root(struct guest *guest, unsigned root)
{
    ctx.cr3 = AREA + PAGE_SIZE * root;
    for (unsigned i = 0; i < 4; i++) {
        ctx.pdpte[i] = (AREA + PAGE_SIZE * root) | P; /* PAE: the root is the directory of all four */
    }
    if (guest->plain) {
        shadow_flush(&shadow, true);
    } else {
        shadow_switch(&shadow, &ctx);
    }
}

static void choose_pages(struct guest *guest)
{
    static const uint16_t offsets[PAGES] = {0,  1,  2,  3,  7,  8,  9,   15,  16,  17,
                                            31, 32, 33, 63, 64, 65, 255, 256, 510, 511};
    for (unsigned i = 0; i < SLOTS * PAGES; i++) {
        uint32_t offset = offsets[i % PAGES];
        if (guest->entry_size == 4 && one_in(guest, 2)) {
            offset += 512; /* the other chunk of the same directory entry */
        }
        guest->linear[i] = slot_base(guest, i / PAGES) + (offset << PAGE_SHIFT);
    }
}

static void begin_guest(struct guest *guest, const struct form *form, uint64_t seed)
{
    *guest = (struct guest){
        .random = seed * 0x9e3779b97f4a7c15u,
        .entry_size = form->mode == PAGING_PAE ? 8 : 4,
    };
    guest->plain = seed % 3 == 0;
    guest->windows = seed % 2 == 0;
    ctx.mode = form->mode;
    ctx.pse = form->pse;
    ctx.nx = form->nx;
    ctx.pge = form->pge;
    ctx.phys_bits = form->phys_bits;
    ctx.wp = one_in(guest, 2);
    choose_pages(guest);
    for (unsigned i = 0; i < AREA_PAGES * entries_per_page(guest); i++) {
        gpa_t at = entry_at(guest, 0, i);
        store_entry(guest, at, random_entry(guest, at));
    }
    shadow_flush(&shadow, false);
    load_root(guest, 0);
}

static uint32_t random_linear(struct guest *guest)
{
    return guest->linear[random_below(guest, SLOTS * PAGES)];
}

/* What the page walk says an entry for this access may do. */
static bool expect_usable(const struct pagewalk *walk, unsigned flags)
{
    roff_t roff = addr_space_read_roff(&mem, walk->gpa);
    if (roff == UINT64_MAX) {
        return false;
    }
    return !(flags & WRITE) || (addr_space_write_roff(&mem, walk->gpa) == roff && !ram_watched(&ram, roff));
}

/* The fill of an access enters what the walk says. */
static void check_entry(uint32_t linear, unsigned flags, const struct pagewalk *walk)
{
    enum shadow_view view = flags & USER ? SHADOW_USER : SHADOW_SUPERVISOR;
    enum shadow_kind kind = flags & WRITE ? SHADOW_WRITE : flags & FETCH ? SHADOW_FETCH : SHADOW_READ;
    bool usable = shadow_entry(&shadow, view, kind, linear) != SHADOW_UNUSABLE;
    cr_assert_eq(usable, expect_usable(walk, flags));
    if (usable) {
        cr_assert_eq(host_of(view, kind, linear), ram_ptr(&ram, addr_space_read_roff(&mem, walk->gpa)));
    }
}

/* The page comes into the view's window, and the host's MMU finds the same memory there. */
static void look_through_window(uint32_t linear, unsigned flags)
{
    enum shadow_view view = flags & USER ? SHADOW_USER : SHADOW_SUPERVISOR;
    bool write = flags & WRITE;
    cr_assert_eq(shadow_open_window(&shadow, view, NULL), 0);
    if (!shadow_show(&shadow, &ctx, view, linear, write)) {
        cr_assert_eq(view, SHADOW_SUPERVISOR, "a user page can always be shown");
        return;
    }
    const struct window *window = shadow_window(&shadow, view);
    cr_assert(window_shows(window, linear >> PAGE_SHIFT, write));
    uint8_t *direct = host_of(view, write ? SHADOW_WRITE : SHADOW_READ, linear);
    uint8_t *shown = window->base + linear;
    *(write ? shown : direct) ^= 0x5a;
    cr_assert_eq(*(volatile uint8_t *)shown, *(volatile uint8_t *)direct);
    windows_looked_through++;
}

/* An access: the fill answers as the walk does, and changes guest memory as the walk does. */
static void access_memory(struct guest *guest)
{
    static const unsigned accesses[] = {READ, WRITE, FETCH, USER | READ, USER | WRITE, USER | FETCH};
    static uint8_t before[AREA_SIZE], after[AREA_SIZE];
    uint32_t linear = random_linear(guest);
    unsigned flags = accesses[random_below(guest, ARRAY_LEN(accesses))];
    struct pagewalk walk;
    memcpy(before, ram.host + AREA, AREA_SIZE);
    bool expected = pagewalk(&ctx, linear, flags | PAGEWALK_SET_AD, &walk);
    memcpy(after, ram.host + AREA, AREA_SIZE);
    memcpy(ram.host + AREA, before, AREA_SIZE);

    bool usable = false;
    uint32_t error_code = 0;
    cr_assert_eq(shadow_fill(&shadow, &ctx, linear, flags, &usable, &error_code), expected);
    cr_assert_eq(memcmp(after, ram.host + AREA, AREA_SIZE), 0, "A and D as the walk sets them");
    if (expected) {
        cr_assert_eq(usable, expect_usable(&walk, flags));
        check_entry(linear, flags, &walk);
        if (usable && guest->windows && !(flags & FETCH)) {
            look_through_window(linear, flags);
        }
    } else {
        cr_assert_eq(error_code, walk.error_code);
    }
}

/* What a guest does that does not know which pages an entry of its tables maps. */
static void invalidate_everything(struct guest *guest)
{
    if (one_in(guest, 4)) {
        shadow_flush(&shadow, false);
        return;
    }
    for (unsigned slot = 0; slot < SLOTS; slot++) {
        for (uint32_t offset = 0; offset < 4 * MIB; offset += PAGE_SIZE) {
            shadow_flush_page(&shadow, slot_base(guest, slot) + offset);
        }
    }
}

/* Edit what maps a page. */
static void edit_mapping(struct guest *guest)
{
    struct pagewalk walk;
    pagewalk(&ctx, random_linear(guest), 0, &walk);
    const struct pagewalk_level *level = &walk.level[walk.level_count - 1];
    if (level->entry_addr - AREA >= AREA_SIZE) {
        return; /* a PDPTE */
    }
    uint64_t entry = random_entry(guest, level->entry_addr);
    if (one_in(guest, 2) && level->entry_addr >= AREA + ROOTS * PAGE_SIZE) {
        entry = level->entry & ~(uint64_t)(one_in(guest, 2) ? A : D);
    }
    store_entry(guest, level->entry_addr, entry);
    if (one_in(guest, 3)) {
        access_memory(guest); /* before the processor is told: the fill sees the new entry all the same */
    }
    invalidate_everything(guest);
}

/* Changes that a CR3 load is enough for: nothing global is concerned. */
static void edit_address_spaces(struct guest *guest)
{
    for (unsigned i = 0; i < 10; i++) {
        unsigned page = random_below(guest, ctx.pge ? SHARED : AREA_PAGES);
        unsigned index = random_linear(guest) >> PAGE_SHIFT;
        index = (page < ROOTS ? index / entries_per_page(guest) : index) % entries_per_page(guest);
        if (page >= ROOTS || index < entries_per_page(guest) / 2 || !ctx.pge) {
            gpa_t at = entry_at(guest, page, index);
            store_entry(guest, at, random_entry(guest, at));
        }
    }
    load_root(guest, random_below(guest, ROOTS));
}

static void toggle_watch(struct guest *guest)
{
    uint64_t frame = 0x300 + random_below(guest, 24);
    if (ram_watched(&ram, frame << PAGE_SHIFT)) {
        ram_watch_clear(&ram, frame, RAM_WATCH_CODE);
    } else {
        ram_watch_set(&ram, frame, RAM_WATCH_CODE);
    }
}

/* What a guest does next, and how often of 200 times; else it touches memory. */
static void step(struct guest *guest)
{
    uint32_t dice = random_below(guest, 200);
    if (dice < 1) {
        ctx.wp = !ctx.wp;
        shadow_flush(&shadow, false);
    } else if (dice < 2) {
        region_set_enabled(&split_read, !split_read.enabled);
        shadow_flush(&shadow, false);
    } else if (dice < 6) {
        edit_mapping(guest);
    } else if (dice < 16) {
        edit_address_spaces(guest);
    } else if (dice < 24) {
        load_root(guest, random_below(guest, ROOTS));
    } else if (dice < 30) {
        toggle_watch(guest);
    } else if (dice < 36) {
        shadow_flush_page(&shadow, random_linear(guest));
    } else {
        access_memory(guest);
    }
}

Test(shadow, random_guests_agree_with_the_page_walk, .timeout = 90)
{
    for (size_t form = 0; form < ARRAY_LEN(forms); form++) {
        for (uint64_t seed = 1; seed <= 9; seed++) {
            struct guest guest;
            begin_guest(&guest, &forms[form], seed);
            for (unsigned i = 0; i < 400; i++) {
                step(&guest);
                struct error difference = {0};
                cr_assert(shadow_check(&shadow, &ctx, &difference), "%s, seed %llu, step %u: %s",
                          forms[form].name, (unsigned long long)seed, i, difference.text);
            }
        }
    }
    cr_assert_gt(windows_looked_through, 300, "%u", windows_looked_through);
    cr_assert_gt(shadow.stats.prefills, 1000, "neighbours were entered");
    cr_assert_gt(shadow.stats.returns, 100, "spaces came back");
    cr_assert_gt(shadow.stats.pages_outdated, 50, "with pages that had changed: %llu",
                 (unsigned long long)shadow.stats.pages_outdated);
}
