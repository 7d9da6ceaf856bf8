/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The TLB: what a fill enters, and what each kind of flush drops.
 *
 * Guest memory: 8 MiB of RAM at 0; 32-bit page directory at 0x1000, table for linear 0..4 MiB at 0x2000;
 * ROM at 0x800000, a device at 0x900000.
 */
#include <criterion/criterion.h>

#include "mmu/tlb.h"

#define DIRECTORY 0x1000u
#define TABLE     0x2000u
#define ROM       0x800000u
#define DEVICE    0x900000u

enum { P = 1, W = 2, U = 4, A = 0x20, D = 0x40, PS = 0x80, G = 0x100 };
enum { READ = PAGEWALK_READ, WRITE = PAGEWALK_WRITE, FETCH = PAGEWALK_FETCH, USER = PAGEWALK_USER };

static struct ram ram;
static struct addr_space mem;
static struct region low, rom, device;
static struct paging_ctx ctx;
static struct tlb tlb;
static struct ram_protect_listener listener;
static const struct region_ops device_ops = {0};

static void protect(void *opaque, uint64_t frame)
{
    tlb_protect_frame(opaque, frame);
}

static void setup(void)
{
    cr_assert_eq(ram_init(&ram, 16 * MIB, NULL), 0);
    cr_assert_eq(addr_space_init(&mem, "memory", UINT32_MAX, &ram), 0);
    region_init_memory(&low, "ram", 0, 8 * MIB, ram_alloc(&ram, 8 * MIB), REGION_RW);
    region_init_memory(&rom, "rom", ROM, 0x10000, ram_alloc(&ram, 0x10000), REGION_READ);
    region_init_io(&device, "device", DEVICE, 0x1000, &device_ops, NULL);
    addr_space_add(&mem, &low);
    addr_space_add(&mem, &rom);
    addr_space_add(&mem, &device);
    ctx = (struct paging_ctx){.mode = PAGING_32BIT,
                              .wp = true,
                              .pse = true,
                              .pge = true,
                              .phys_bits = 32,
                              .a20_mask = UINT64_MAX,
                              .cr3 = DIRECTORY,
                              .mem = &mem};
    store_le32(ram.host + DIRECTORY, TABLE | P | W | U);
    listener = (struct ram_protect_listener){.protect = protect, .opaque = &tlb};
    ram_add_listener(&ram, &listener);
    tlb_flush(&tlb, false);
}

static void teardown(void)
{
    addr_space_fini(&mem);
    ram_fini(&ram);
}

TestSuite(tlb, .init = setup, .fini = teardown);

static void map(uint32_t linear, uint32_t pte)
{
    store_le32(ram.host + TABLE + 4 * (linear >> 12), pte);
}

/* A fill that must succeed; returns the entry. */
static struct tlb_entry *fill(uint32_t linear, unsigned flags)
{
    gpa_t gpa;
    uint32_t error_code = 0;
    cr_assert(tlb_fill(&tlb, &ctx, linear, flags, &gpa, &error_code), "fault 0x%x", error_code);
    struct tlb_entry *entry = tlb_entry_at(&tlb, flags & USER ? 1 : 0, linear);
    cr_assert_eq(entry->page, linear & ~0xfffu);
    cr_assert_eq(entry->gpa | (linear & 0xfff), gpa);
    return entry;
}

/* The direct accesses of an entry, in enum tlb_right. */
static unsigned direct(const struct tlb_entry *entry)
{
    unsigned rights = 0;
    rights |= entry->read == entry->page && entry->page != TLB_NO_TAG ? TLB_READ : 0;
    rights |= entry->write == entry->page && entry->page != TLB_NO_TAG ? TLB_WRITE : 0;
    rights |= entry->fetch == entry->page && entry->page != TLB_NO_TAG ? TLB_FETCH : 0;
    return rights;
}

static bool present(uint32_t linear, unsigned user)
{
    return tlb_entry_at(&tlb, user, linear)->page == (linear & ~0xfffu);
}

Test(tlb, flushed_tlb_matches_no_page)
{
    for (unsigned user = 0; user < 2; user++) {
        for (uint64_t linear = 0; linear < TLB_ENTRIES * (uint64_t)PAGE_SIZE; linear += PAGE_SIZE) {
            const struct tlb_entry *entry = tlb_entry_at(&tlb, user, linear);
            cr_assert(entry->read != linear && entry->write != linear && entry->fetch != linear);
            cr_assert_neq(entry->page, linear);
        }
    }
}

Test(tlb, fill_gives_a_host_pointer)
{
    map(0x5000, 0x9000 | P | W);
    struct tlb_entry *entry = fill(0x5123, READ);
    cr_assert_eq((uint8_t *)(entry->addend + 0x5123), ram.host + 0x9123);
    cr_assert_eq(entry->roff, 0x9000);
    cr_assert_eq(tlb.fills, 1);
    map(0x6000, 0x9000 | P | W);
    entry = fill(0x6123, READ);
    cr_assert_eq((uint8_t *)(entry->addend + 0x6123), ram.host + 0x9123, "one frame mapped twice");
}

Test(tlb, write_is_direct_only_after_dirty_is_set)
{
    map(0x5000, 0x9000 | P | W);
    struct tlb_entry *entry = fill(0x5000, READ);
    cr_assert_eq(direct(entry), TLB_READ | TLB_FETCH);
    cr_assert_eq(entry->rights, TLB_READ | TLB_WRITE | TLB_FETCH);
    cr_assert_eq(load_le32(ram.host + TABLE + 20), 0x9000 | P | W | A);
    entry = fill(0x5000, WRITE);
    cr_assert_eq(direct(entry), TLB_READ | TLB_WRITE | TLB_FETCH);
    cr_assert(entry->rights & TLB_DIRTY);
    cr_assert_eq(load_le32(ram.host + TABLE + 20), 0x9000 | P | W | A | D);
    tlb_flush(&tlb, false);
    cr_assert_eq(direct(fill(0x5000, READ)), TLB_READ | TLB_WRITE | TLB_FETCH,
                 "D is set already: a read enters the write tag");
}

Test(tlb, read_only_page_is_writable_by_the_supervisor_without_wp)
{
    gpa_t gpa;
    uint32_t error_code = 0;
    map(0x5000, 0x9000 | P | U | D);
    cr_assert_eq(direct(fill(0x5000, READ)), TLB_READ | TLB_FETCH);
    cr_assert(!tlb_fill(&tlb, &ctx, 0x5000, WRITE, &gpa, &error_code));
    cr_assert_eq(error_code, PF_P | PF_W);
    ctx.wp = false;
    tlb_flush(&tlb, false);
    cr_assert_eq(direct(fill(0x5000, READ)), TLB_READ | TLB_WRITE | TLB_FETCH);
    cr_assert_eq(direct(fill(0x5000, USER)), TLB_READ | TLB_FETCH, "the user view keeps its rights");
    cr_assert(!tlb_fill(&tlb, &ctx, 0x5000, USER | WRITE, &gpa, &error_code));
    cr_assert_eq(error_code, PF_P | PF_U | PF_W);
}

Test(tlb, views_are_separate)
{
    gpa_t gpa;
    uint32_t error_code = 0;
    map(0x5000, 0x9000 | P | W);
    fill(0x5000, READ);
    cr_assert(!present(0x5000, 1));
    cr_assert(!tlb_fill(&tlb, &ctx, 0x5000, USER, &gpa, &error_code));
    cr_assert_eq(error_code, PF_P | PF_U);
    cr_assert(!present(0x5000, 1), "a failed fill enters nothing");
    cr_assert_eq(tlb.fills, 1);
}

Test(tlb, execute_disable_keeps_the_fetch_tag_away)
{
    ctx.mode = PAGING_PAE;
    ctx.nx = true;
    ctx.pdpte[0] = 0x3000 | P;
    store_le64(ram.host + 0x3000, 0x4000 | P | W | U);
    store_le64(ram.host + 0x4000 + 8 * 5, 0x9000 | BIT(63) | P | W | U | D);
    struct tlb_entry *entry = fill(0x5000, USER);
    cr_assert_eq(direct(entry), TLB_READ | TLB_WRITE);
    cr_assert(!(entry->rights & TLB_FETCH));
}

Test(tlb, rom_reads_directly_and_devices_do_not)
{
    map(0x5000, ROM | P | W);
    struct tlb_entry *entry = fill(0x5000, WRITE);
    cr_assert_eq(direct(entry), TLB_READ | TLB_FETCH, "the guest may write, the ROM takes no direct write");
    cr_assert(entry->rights & TLB_WRITE);
    map(0x6000, DEVICE | P | W);
    entry = fill(0x6004, WRITE);
    cr_assert_eq(direct(entry), 0);
    cr_assert_eq(entry->gpa, DEVICE);
    cr_assert_eq(entry->roff, UINT64_MAX);
    cr_assert_eq(entry->rights, TLB_READ | TLB_WRITE | TLB_FETCH | TLB_DIRTY);
    map(0x7000, 0xf0000000 | P | W);
    cr_assert_eq(direct(fill(0x7000, READ)), 0, "nothing is mapped there");
}

Test(tlb, memory_that_reads_and_writes_differently_takes_no_direct_write)
{
    struct region shadow;
    region_init_memory(&shadow, "shadow", 0x9000, PAGE_SIZE, ram_alloc(&ram, PAGE_SIZE), REGION_READ);
    shadow.priority = 1;
    addr_space_add(&mem, &shadow);
    map(0x5000, 0x9000 | P | W);
    struct tlb_entry *entry = fill(0x5000, WRITE);
    cr_assert_eq(entry->roff, shadow.roff);
    cr_assert_eq(direct(entry), TLB_READ | TLB_FETCH);
    addr_space_remove(&mem, &shadow);
}

Test(tlb, watched_frame_takes_no_direct_write)
{
    map(0x5000, 0x9000 | P | W | U);
    map(0x6000, 0x9000 | P | W | U);
    map(0x7000, 0xa000 | P | W | U);
    struct tlb_entry *first = fill(0x5000, WRITE), *alias = fill(0x6000, USER | WRITE);
    struct tlb_entry *other = fill(0x7000, WRITE);
    ram_watch_set(&ram, 9, RAM_WATCH_CODE);
    cr_assert_eq(direct(first), TLB_READ | TLB_FETCH);
    cr_assert_eq(direct(alias), TLB_READ | TLB_FETCH, "whatever address reaches the frame");
    cr_assert_eq(direct(other), TLB_READ | TLB_WRITE | TLB_FETCH);
    cr_assert_eq(direct(fill(0x5000, WRITE)), TLB_READ | TLB_FETCH);
    cr_assert(first->rights & TLB_WRITE);
    ram_watch_clear(&ram, 9, RAM_WATCH_CODE);
    cr_assert_eq(direct(fill(0x5000, WRITE)), TLB_READ | TLB_WRITE | TLB_FETCH);
}

Test(tlb, global_entries_survive_a_flush_that_keeps_them)
{
    map(0x5000, 0x9000 | P | W | G);
    map(0x6000, 0xa000 | P | W);
    map(0x105000, 0xb000 | P | W);
    fill(0x5000, READ);
    fill(0x6000, READ);
    fill(0x105000, READ);
    cr_assert(tlb_entry_at(&tlb, 0, 0x5000)->rights & TLB_GLOBAL);
    tlb_flush(&tlb, true);
    cr_assert(present(0x5000, 0));
    cr_assert(!present(0x6000, 0));
    cr_assert(!present(0x105000, 0));
    tlb_flush(&tlb, true);
    cr_assert(present(0x5000, 0));
    fill(0x6000, READ);
    tlb_flush(&tlb, true);
    cr_assert(!present(0x6000, 0), "a slot beside a global one is filled and flushed again");
    cr_assert_eq(tlb.flushes, 4);
    tlb_flush(&tlb, false);
    cr_assert(!present(0x5000, 0));
    ctx.pge = false;
    fill(0x5000, READ);
    tlb_flush(&tlb, true);
    cr_assert(!present(0x5000, 0), "G counts with CR4.PGE only");
}

Test(tlb, flushing_a_page_drops_it_from_both_views_and_leaves_others)
{
    map(0x5000, 0x9000 | P | W | U | G);
    map(0x6000, 0xa000 | P | W | U);
    fill(0x5000, READ);
    fill(0x5000, USER);
    fill(0x6000, READ);
    tlb_flush_page(&tlb, 0x405abc);
    cr_assert(present(0x5000, 0), "another page of the same slot");
    tlb_flush_page(&tlb, 0x5abc);
    cr_assert(!present(0x5000, 0));
    cr_assert(!present(0x5000, 1));
    cr_assert_eq(tlb_entry_at(&tlb, 0, 0x5000)->read, TLB_NO_TAG);
    cr_assert(present(0x6000, 0));
}

Test(tlb, stale_translation_lives_until_it_is_flushed)
{
    map(0x5000, 0x9000 | P | W);
    struct tlb_entry *entry = fill(0x5000, WRITE);
    map(0x5000, 0);
    cr_assert_eq(direct(entry), TLB_READ | TLB_WRITE | TLB_FETCH);
    tlb_flush_page(&tlb, 0x5000);
    gpa_t gpa;
    uint32_t error_code = 99;
    cr_assert(!tlb_fill(&tlb, &ctx, 0x5000, READ, &gpa, &error_code));
    cr_assert_eq(error_code, 0);
}

Test(tlb, refill_forgets_what_the_slot_held)
{
    map(0x5000, 0x9000 | P | W | D);
    cr_assert_eq(direct(fill(0x5000, READ)), TLB_READ | TLB_WRITE | TLB_FETCH);
    map(0x5000, DEVICE | P | W | D);
    cr_assert_eq(direct(fill(0x5000, READ)), 0);
    map(0x5000, 0xa000 | P);
    struct tlb_entry *entry = fill(0x5000, READ);
    cr_assert_eq(direct(entry), TLB_READ | TLB_FETCH);
    cr_assert_eq((uint8_t *)(entry->addend + 0x5000), ram.host + 0xa000);
}

Test(tlb, invlpg_anywhere_in_a_large_page_drops_all_of_it)
{
    store_le32(ram.host + DIRECTORY + 4, 0x400000 | P | W | PS | G);
    map(0x5000, 0x9000 | P | W);
    fill(0x400000, READ);
    fill(0x7ff000, WRITE);
    fill(0x5000, READ);
    cr_assert_eq((uint8_t *)(tlb_entry_at(&tlb, 0, 0x7ff000)->addend + 0x7ff000), ram.host + 0x7ff000);
    tlb_flush_page(&tlb, 0x6000);
    cr_assert(present(0x400000, 0), "no large page there: a page is dropped, not everything");
    cr_assert(present(0x5000, 0));
    tlb_flush_page(&tlb, 0x512000);
    cr_assert(!present(0x400000, 0));
    cr_assert(!present(0x7ff000, 0));
    map(0x5000, 0x9000 | P | W);
    fill(0x5000, READ);
    tlb_flush_page(&tlb, 0x512000);
    cr_assert(present(0x5000, 0), "the large page is forgotten");
    fill(0x400000, READ);
    tlb_flush(&tlb, true);
    cr_assert(present(0x400000, 0));
    tlb_flush_page(&tlb, 0x7ff000);
    cr_assert(!present(0x400000, 0), "a flush that kept the global page kept the memory of its size");
}

Test(tlb, paging_off_fills_identity_with_all_rights)
{
    ctx.mode = PAGING_OFF;
    struct tlb_entry *entry = fill(0x9123, READ);
    cr_assert_eq(direct(entry), TLB_READ | TLB_WRITE | TLB_FETCH);
    cr_assert_eq((uint8_t *)(entry->addend + 0x9123), ram.host + 0x9123);
    ctx.a20_mask = ~BIT(20);
    tlb_flush(&tlb, false);
    entry = fill(0x109123, READ);
    cr_assert_eq((uint8_t *)(entry->addend + 0x109123), ram.host + 0x9123);
}

Test(tlb, accesses_through_the_tlb_and_around_it_see_one_memory)
{
    map(0x5000, 0x9000 | P | W);
    struct tlb_entry *entry = fill(0x5000, WRITE);
    store_le32((uint8_t *)(entry->addend + 0x5010), 0xcafe);
    cr_assert_eq(addr_space_read(&mem, 0x9010, 4), 0xcafe);
    addr_space_write(&mem, 0x9010, 0xbeef, 4);
    cr_assert_eq(load_le32((uint8_t *)(entry->addend + 0x5010)), 0xbeef);
}

Test(tlb, self_mapped_tables_watched_as_code_stay_protected_after_a_fill)
{
    /* The page table maps itself; setting D in it is a write to a watched frame during the fill. */
    ram_watch_set(&ram, TABLE >> PAGE_SHIFT, RAM_WATCH_CODE);
    map(0x2000, TABLE | P | W);
    struct tlb_entry *entry = fill(0x2000, WRITE);
    cr_assert_eq(direct(entry), TLB_READ | TLB_FETCH);
    cr_assert_eq(load_le32(ram.host + TABLE + 8), TABLE | P | W | A | D);
}
