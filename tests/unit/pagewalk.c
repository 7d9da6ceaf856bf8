/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The page walk, table by table: every row writes the entries of one translation, asks for one access, and
 * names the address or the exact error code.
 *
 * Layout of guest memory (16 MiB): directory at 0x1000, table at 0x2000, PAE pointer table at 0x3000.
 */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "mmu/pagewalk.h"

#define DIRECTORY 0x1000u
#define TABLE     0x2000u
#define POINTERS  0x3000u

enum { P = 1, W = 2, U = 4, A = 0x20, D = 0x40, PS = 0x80, G = 0x100, PAT_LARGE = 0x1000 };
#define XD BIT(63)

enum { READ = PAGEWALK_READ, WRITE = PAGEWALK_WRITE, FETCH = PAGEWALK_FETCH, USER = PAGEWALK_USER };
#define AD PAGEWALK_SET_AD

static struct ram ram;
static struct addr_space mem;
static struct region low;
static struct paging_ctx ctx;

static void setup(void)
{
    cr_assert_eq(ram_init(&ram, 16 * MIB, NULL), 0);
    cr_assert_eq(addr_space_init(&mem, "memory", BITS(35, 0), &ram), 0);
    region_init_memory(&low, "ram", 0, 15 * MIB, ram_alloc(&ram, 15 * MIB), REGION_RW);
    addr_space_add(&mem, &low);
    ctx = (struct paging_ctx){.mode = PAGING_32BIT,
                              .wp = true,
                              .phys_bits = 36,
                              .a20_mask = UINT64_MAX,
                              .cr3 = DIRECTORY,
                              .mem = &mem};
}

static void teardown(void)
{
    addr_space_fini(&mem);
    ram_fini(&ram);
}

TestSuite(pagewalk, .init = setup, .fini = teardown);

static uint32_t entry32(gpa_t addr)
{
    return load_le32(ram.host + addr);
}

static uint64_t entry64(gpa_t addr)
{
    return load_le64(ram.host + addr);
}

/* 32-bit paging: entries of one linear address. */
static void map32(uint32_t linear, uint32_t pde, uint32_t pte)
{
    store_le32(ram.host + DIRECTORY + 4 * (linear >> 22), pde);
    store_le32(ram.host + TABLE + 4 * (linear >> 12 & 0x3ff), pte);
}

static void map_pae(uint32_t linear, uint64_t pde, uint64_t pte)
{
    ctx.mode = PAGING_PAE;
    ctx.cr3 = POINTERS;
    store_le64(ram.host + POINTERS + 8 * (linear >> 30), DIRECTORY | P);
    store_le64(ram.host + DIRECTORY + 8 * (linear >> 21 & 0x1ff), pde);
    store_le64(ram.host + TABLE + 8 * (linear >> 12 & 0x1ff), pte);
    cr_assert(pagewalk_load_pdptes(&ctx));
}

enum context { WP_ON = 0, WP_OFF = 1, PSE = 2, PHYS32 = 4, NX = 8, PGE = 16 };
#define FAULT BIT(63)

/* One translation and what it must give: a guest-physical address, or FAULT | error code. */
struct row {
    const char *what;
    unsigned context;
    uint64_t pde, pte;
    unsigned flags;
    uint64_t expected;
};

static void apply_context(unsigned context)
{
    ctx.wp = !(context & WP_OFF);
    ctx.pse = context & PSE;
    ctx.nx = context & NX;
    ctx.pge = context & PGE;
    ctx.phys_bits = context & PHYS32 ? 32 : 36;
}

static void run_row(const struct row *row, uint32_t linear)
{
    struct pagewalk walk;
    bool ok = pagewalk(&ctx, linear, row->flags, &walk);
    if (row->expected & FAULT) {
        cr_assert(!ok, "%s: no fault", row->what);
        cr_assert_eq(walk.error_code, row->expected & ~FAULT, "%s: error code 0x%x", row->what,
                     walk.error_code);
    } else {
        cr_assert(ok, "%s: fault 0x%x", row->what, walk.error_code);
        cr_assert_eq(walk.gpa, row->expected, "%s: 0x%lx", row->what, walk.gpa);
    }
}

static const struct row rows_32bit[] = {
    {"plain read", 0, TABLE | P, 0x5000 | P, READ, 0x5abc},
    {"address bits 31:12", 0, TABLE | P, 0xfffff000 | P, READ, 0xfffffabc},

    {"directory entry absent, read", 0, 0, 0, READ, FAULT | 0},
    {"directory entry absent, write", 0, 0, 0, WRITE, FAULT | PF_W},
    {"directory entry absent, user read", 0, 0, 0, USER, FAULT | PF_U},
    {"directory entry absent, user write", 0, 0, 0, USER | WRITE, FAULT | PF_U | PF_W},
    {"directory entry absent, fetch", 0, 0, 0, FETCH, FAULT | 0},
    {"table entry absent", 0, TABLE | P | W | U, 0x5000 | W | U, USER | WRITE, FAULT | PF_U | PF_W},
    {"absent wins over supervisor directory", 0, TABLE | P, 0, USER, FAULT | PF_U},

    {"user read of user page", 0, TABLE | P | U, 0x5000 | P | U, USER, 0x5abc},
    {"user read, supervisor table entry", 0, TABLE | P | U, 0x5000 | P, USER, FAULT | PF_P | PF_U},
    {"user read, supervisor directory entry", 0, TABLE | P, 0x5000 | P | U, USER, FAULT | PF_P | PF_U},
    {"user fetch, supervisor page", 0, TABLE | P, 0x5000 | P, USER | FETCH, FAULT | PF_P | PF_U},
    {"user write of read-only page", 0, TABLE | P | U | W, 0x5000 | P | U, USER | WRITE,
     FAULT | PF_P | PF_U | PF_W},
    {"user write, read-only directory entry", 0, TABLE | P | U, 0x5000 | P | U | W, USER | WRITE,
     FAULT | PF_P | PF_U | PF_W},
    {"user write", 0, TABLE | P | U | W, 0x5000 | P | U | W, USER | WRITE, 0x5abc},
    {"user write, WP off", WP_OFF, TABLE | P | U | W, 0x5000 | P | U, USER | WRITE,
     FAULT | PF_P | PF_U | PF_W},
    {"supervisor write of read-only page", 0, TABLE | P | W, 0x5000 | P, WRITE, FAULT | PF_P | PF_W},
    {"supervisor write, read-only directory entry", 0, TABLE | P, 0x5000 | P | W, WRITE, FAULT | PF_P | PF_W},
    {"supervisor write of read-only page, WP off", WP_OFF, TABLE | P | W, 0x5000 | P, WRITE, 0x5abc},
    {"supervisor write of read-only user page, WP on", 0, TABLE | P | U, 0x5000 | P | U, WRITE,
     FAULT | PF_P | PF_W},
    {"supervisor read of user page", 0, TABLE | P | U, 0x5000 | P | U, READ, 0x5abc},

    {"PS ignored without PSE", 0, TABLE | P | PS, 0x5000 | P, READ, 0x5abc},
    {"PAT bit of a table entry is not reserved", PSE, TABLE | P, 0x5000 | P | PS, READ, 0x5abc},
    {"NX context means nothing here", NX, TABLE | P, 0x5000 | P, FETCH, 0x5abc},
    {"no I bit here", NX, 0, 0, FETCH, FAULT | 0},

    {"4 MiB page", PSE, 0x00c00000 | P | PS, 0, READ, 0x00c05abc},
    {"4 MiB page with PAT bit", PSE, 0x00c00000 | P | PS | PAT_LARGE, 0, READ, 0x00c05abc},
    {"4 MiB page, PSE-36", PSE, 0x00c00000 | P | PS | 0x1e000, 0, READ, 0xf00c05abc},
    {"4 MiB page, one bit of PSE-36", PSE, 0x00c00000 | P | PS | 0x4000, 0, READ, 0x200c05abc},
    {"4 MiB page, bit 17 reserved", PSE, 0x00c00000 | P | PS | 0x20000, 0, READ, FAULT | PF_P | PF_RSVD},
    {"4 MiB page, bit 21 reserved", PSE, 0x00c00000 | P | PS | 0x200000, 0, USER | WRITE,
     FAULT | PF_P | PF_RSVD | PF_U | PF_W},
    {"4 MiB page, 32 address bits, bit 13 reserved", PSE | PHYS32, 0x00c00000 | P | PS | 0x2000, 0, READ,
     FAULT | PF_P | PF_RSVD},
    {"4 MiB page, 32 address bits, bit 16 reserved", PSE | PHYS32, 0x00c00000 | P | PS | 0x10000, 0, READ,
     FAULT | PF_P | PF_RSVD},
    {"4 MiB page, 32 address bits", PSE | PHYS32, 0x00c00000 | P | PS, 0, READ, 0x00c05abc},
    {"absent 4 MiB page has no reserved bits", PSE, 0x00c00000 | PS | 0x200000, 0, READ, FAULT | 0},
    {"4 MiB page, user write of read-only", PSE, 0x00c00000 | P | PS | U, 0, USER | WRITE,
     FAULT | PF_P | PF_U | PF_W},
    {"4 MiB page, supervisor only", PSE, 0x00c00000 | P | PS | W, 0, USER, FAULT | PF_P | PF_U},
};

Test(pagewalk, paging_of_32_bits_follows_the_table)
{
    for (size_t i = 0; i < ARRAY_LEN(rows_32bit); i++) {
        const struct row *row = &rows_32bit[i];
        apply_context(row->context);
        map32(0xc0005abc, (uint32_t)row->pde, (uint32_t)row->pte);
        run_row(row, 0xc0005abc);
    }
}

static const struct row rows_pae[] = {
    {"plain read", 0, TABLE | P, 0x5000 | P, READ, 0x5abc},
    {"address bits 35:12", 0, TABLE | P, BITS(35, 12) | P, READ, BITS(35, 12) | 0xabc},
    {"address bit 36 reserved", 0, TABLE | P, BIT(36) | P, READ, FAULT | PF_P | PF_RSVD},
    {"address bit 32 reserved with 32 bits", PHYS32, TABLE | P, BIT(32) | P, READ, FAULT | PF_P | PF_RSVD},
    {"address bit 36 reserved in a directory entry", 0, TABLE | BIT(36) | P, 0x5000 | P, WRITE,
     FAULT | PF_P | PF_RSVD | PF_W},
    {"bit 52 reserved", 0, TABLE | P, 0x5000 | BIT(52) | P, READ, FAULT | PF_P | PF_RSVD},
    {"bit 62 reserved", 0, TABLE | P, 0x5000 | BIT(62) | P, USER, FAULT | PF_P | PF_RSVD | PF_U},
    {"reserved bits of an absent entry", 0, TABLE | P, BITS(63, 1), READ, FAULT | 0},
    {"reserved bit above wins over absent below", 0, TABLE | BIT(62) | P, 0, READ, FAULT | PF_P | PF_RSVD},

    {"directory entry absent", NX, 0, 0, FETCH, FAULT | PF_I},
    {"directory entry absent, no NX", 0, 0, 0, FETCH, FAULT | 0},
    {"table entry absent, user fetch", NX, TABLE | P | U, 0, USER | FETCH, FAULT | PF_I | PF_U},

    {"XD reserved without NX", 0, TABLE | P, 0x5000 | XD | P, READ, FAULT | PF_P | PF_RSVD},
    {"XD reserved without NX, directory", 0, TABLE | XD | P, 0x5000 | P, FETCH, FAULT | PF_P | PF_RSVD},
    {"read of XD page", NX, TABLE | P, 0x5000 | XD | P, READ, 0x5abc},
    {"fetch of XD page", NX, TABLE | P, 0x5000 | XD | P, FETCH, FAULT | PF_P | PF_I},
    {"fetch below XD directory entry", NX, TABLE | XD | P, 0x5000 | P, FETCH, FAULT | PF_P | PF_I},
    {"user fetch of XD page", NX, TABLE | P | U, 0x5000 | XD | P | U, USER | FETCH,
     FAULT | PF_P | PF_I | PF_U},
    {"fetch of executable page", NX, TABLE | P, 0x5000 | P, FETCH, 0x5abc},

    {"user write", 0, TABLE | P | U | W, 0x5000 | P | U | W, USER | WRITE, 0x5abc},
    {"user write of read-only page", 0, TABLE | P | U | W, 0x5000 | P | U, USER | WRITE,
     FAULT | PF_P | PF_U | PF_W},
    {"user read, supervisor directory entry", 0, TABLE | P, 0x5000 | P | U, USER, FAULT | PF_P | PF_U},
    {"supervisor write, WP on", 0, TABLE | P, 0x5000 | P, WRITE, FAULT | PF_P | PF_W},
    {"supervisor write, WP off", WP_OFF, TABLE | P, 0x5000 | P, WRITE, 0x5abc},

    {"2 MiB page, PSE not needed", 0, 0xa00000 | P | PS, 0, READ, 0xa05abc},
    {"2 MiB page at bit 35", 0, BIT(35) | P | PS, 0, READ, BIT(35) | 0x5abc},
    {"2 MiB page with PAT bit", 0, 0xa00000 | P | PS | PAT_LARGE, 0, READ, 0xa05abc},
    {"2 MiB page, bit 13 reserved", 0, 0xa00000 | P | PS | BIT(13), 0, READ, FAULT | PF_P | PF_RSVD},
    {"2 MiB page, bit 20 reserved", 0, 0xa00000 | P | PS | BIT(20), 0, READ, FAULT | PF_P | PF_RSVD},
    {"2 MiB page, bit 36 reserved", 0, BIT(36) | P | PS, 0, READ, FAULT | PF_P | PF_RSVD},
    {"2 MiB page, fetch of XD", NX, 0xa00000 | XD | P | PS, 0, FETCH, FAULT | PF_P | PF_I},
};

Test(pagewalk, pae_paging_follows_the_table)
{
    for (size_t i = 0; i < ARRAY_LEN(rows_pae); i++) {
        const struct row *row = &rows_pae[i];
        apply_context(row->context);
        map_pae(0xc0005abc, row->pde, row->pte);
        run_row(row, 0xc0005abc);
    }
}

Test(pagewalk, paging_off_is_identity_with_all_rights)
{
    struct pagewalk walk;
    ctx.mode = PAGING_OFF;
    cr_assert(pagewalk(&ctx, 0x12345678, USER | WRITE | AD, &walk));
    cr_assert_eq(walk.gpa, 0x12345678);
    cr_assert_eq(walk.page_shift, 12);
    cr_assert(walk.user && walk.writable && walk.executable && walk.dirty);
    cr_assert(!walk.global);
    cr_assert_eq(walk.level_count, 0);
    ctx.a20_mask = ~BIT(20);
    cr_assert(pagewalk(&ctx, 0x10ffef, READ, &walk));
    cr_assert_eq(walk.gpa, 0xffef);
}

Test(pagewalk, four_level_paging_is_refused_safely)
{
    struct pagewalk walk;
    ctx.mode = PAGING_4LEVEL;
    cr_assert(!pagewalk(&ctx, 0x1000, USER | WRITE | AD, &walk));
    cr_assert_eq(walk.error_code, PF_U | PF_W);
    cr_assert_eq(walk.level_count, 0);
}

Test(pagewalk, a20_masks_tables_and_result)
{
    struct pagewalk walk;
    map32(0x5abc, (TABLE + MIB) | P, 0x105000 | P);
    ctx.cr3 = DIRECTORY + MIB;
    ctx.a20_mask = ~BIT(20);
    cr_assert(pagewalk(&ctx, 0x5abc, READ, &walk));
    cr_assert_eq(walk.gpa, 0x5abc);
    cr_assert_eq(walk.level[0].entry_addr, DIRECTORY);
    cr_assert_eq(walk.level[1].entry_addr, TABLE + 4 * 5);
}

Test(pagewalk, walk_reports_levels_rights_and_size)
{
    struct pagewalk walk;
    ctx.pge = true;
    map32(0xc0005abc, TABLE | P | W | U | A, 0x5000 | P | U | G | D);
    cr_assert(pagewalk(&ctx, 0xc0005abc, READ, &walk));
    cr_assert_eq(walk.level_count, 2);
    cr_assert_eq(walk.level[0].entry_addr, DIRECTORY + 4 * 0x300);
    cr_assert_eq(walk.level[0].entry, TABLE | P | W | U | A);
    cr_assert_eq(walk.level[1].entry_addr, TABLE + 4 * 5);
    cr_assert_eq(walk.level[1].entry, 0x5000 | P | U | G | D);
    cr_assert(walk.user && !walk.writable && walk.executable && walk.global && walk.dirty);
    cr_assert_eq(walk.page_shift, 12);
    ctx.pge = false;
    cr_assert(pagewalk(&ctx, 0xc0005abc, READ, &walk));
    cr_assert(!walk.global, "G counts with CR4.PGE only");

    ctx.pge = ctx.pse = true;
    map32(0xc0005abc, 0x400000 | P | W | PS | G, 0);
    cr_assert(pagewalk(&ctx, 0xc0005abc, READ, &walk));
    cr_assert_eq(walk.page_shift, 22);
    cr_assert_eq(walk.level_count, 1);
    cr_assert(walk.global && walk.writable && !walk.user && !walk.dirty);

    map32(0xc0005abc, TABLE | P | G, 0x5000 | P);
    cr_assert(pagewalk(&ctx, 0xc0005abc, READ, &walk));
    cr_assert(!walk.global, "G of a directory entry that points to a table is ignored");

    ctx.nx = true;
    map_pae(0xc0005abc, 0xa00000 | P | PS | XD, 0);
    cr_assert(pagewalk(&ctx, 0xc0005abc, READ, &walk));
    cr_assert_eq(walk.page_shift, 21);
    cr_assert_eq(walk.level_count, 2);
    cr_assert_eq(walk.level[0].entry_addr, POINTERS + 8 * 3);
    cr_assert_eq(walk.level[0].entry, DIRECTORY | P);
    cr_assert(!walk.executable);
}

Test(pagewalk, failed_walk_keeps_the_levels_read)
{
    struct pagewalk walk;
    map32(0xc0005abc, TABLE | P, 0x5000);
    cr_assert(!pagewalk(&ctx, 0xc0005abc, READ, &walk));
    cr_assert_eq(walk.level_count, 2);
    cr_assert_eq(walk.level[1].entry, 0x5000);
    map_pae(0xc0005abc, TABLE | P, 0x5000 | P);
    ctx.pdpte[1] = 0;
    cr_assert(!pagewalk(&ctx, 0x40000000, WRITE, &walk));
    cr_assert_eq(walk.level_count, 1);
    cr_assert_eq(walk.error_code, PF_W);
}

Test(pagewalk, accessed_is_set_at_every_level_and_dirty_at_the_last_for_writes)
{
    struct pagewalk walk;
    map32(0x5abc, TABLE | P | W, 0x5000 | P | W);
    cr_assert(pagewalk(&ctx, 0x5abc, WRITE, &walk));
    cr_assert_eq(entry32(TABLE + 20), 0x5000 | P | W, "nothing is set unless asked for");
    cr_assert(!walk.dirty);

    cr_assert(pagewalk(&ctx, 0x5abc, READ | AD, &walk));
    cr_assert_eq(entry32(DIRECTORY), TABLE | P | W | A);
    cr_assert_eq(entry32(TABLE + 20), 0x5000 | P | W | A);
    cr_assert(!walk.dirty);
    cr_assert(pagewalk(&ctx, 0x5abc, WRITE | AD, &walk));
    cr_assert_eq(entry32(DIRECTORY), TABLE | P | W | A, "D in the last level only");
    cr_assert_eq(entry32(TABLE + 20), 0x5000 | P | W | A | D);
    cr_assert(walk.dirty);
    cr_assert(pagewalk(&ctx, 0x5abc, READ, &walk));
    cr_assert(walk.dirty, "a read reports D");

    ctx.pse = true;
    map32(0x5abc, 0x400000 | P | W | PS, 0);
    cr_assert(pagewalk(&ctx, 0x5abc, WRITE | AD, &walk));
    cr_assert_eq(entry32(DIRECTORY), 0x400000 | P | W | PS | A | D);

    map_pae(0x5abc, TABLE | P | W, BIT(35) | P | W);
    cr_assert(pagewalk(&ctx, 0x5abc, WRITE | AD, &walk));
    cr_assert_eq(entry64(POINTERS), DIRECTORY | P, "a pointer-table entry has no A flag");
    cr_assert_eq(entry64(DIRECTORY), TABLE | P | W | A);
    cr_assert_eq(entry64(TABLE + 40), BIT(35) | P | W | A | D);
}

Test(pagewalk, failed_walk_sets_nothing)
{
    struct pagewalk walk;
    map32(0x5abc, TABLE | P | U, 0x5000 | P);
    cr_assert(!pagewalk(&ctx, 0x5abc, USER | AD, &walk));
    cr_assert(!pagewalk(&ctx, 0x5abc, WRITE | AD, &walk));
    cr_assert_eq(entry32(DIRECTORY), TABLE | P | U);
    cr_assert_eq(entry32(TABLE + 20), 0x5000 | P);
}

Test(pagewalk, supervisor_write_with_wp_off_sets_dirty_in_a_read_only_entry)
{
    struct pagewalk walk;
    ctx.wp = false;
    map32(0x5abc, TABLE | P, 0x5000 | P);
    cr_assert(pagewalk(&ctx, 0x5abc, WRITE | AD, &walk));
    cr_assert_eq(entry32(TABLE + 20), 0x5000 | P | A | D);
    cr_assert(!walk.writable, "the rights of the mapping do not change");
}

Test(pagewalk, directory_that_maps_itself_serves_as_its_own_table)
{
    struct pagewalk walk;
    store_le32(ram.host + DIRECTORY + 4 * 0x3ff, DIRECTORY | P | W);
    cr_assert(pagewalk(&ctx, 0xffffffff, WRITE | AD, &walk));
    cr_assert_eq(walk.gpa, DIRECTORY + 0xfff);
    cr_assert_eq(entry32(DIRECTORY + 4 * 0x3ff), DIRECTORY | P | W | A | D);
}

Test(pagewalk, one_frame_mapped_twice_keeps_flags_apart)
{
    struct pagewalk first, second;
    map32(0x5000, TABLE | P | W | U, 0x9000 | P | W | U);
    map32(0x6000, TABLE | P | W | U, 0x9000 | P | U);
    cr_assert(pagewalk(&ctx, 0x5010, USER | WRITE | AD, &first));
    cr_assert(pagewalk(&ctx, 0x6010, USER | AD, &second));
    cr_assert_eq(first.gpa, second.gpa);
    cr_assert(first.dirty && !second.dirty);
    cr_assert(!pagewalk(&ctx, 0x6010, USER | WRITE | AD, &second));
    cr_assert_eq(entry32(TABLE + 4 * 6), 0x9000 | P | U | A);
}

static void count_call(void *opaque, roff_t roff, uint64_t length)
{
    cr_assert_eq(length, 4);
    cr_assert(roff == DIRECTORY || roff == TABLE + 20);
    ++*(unsigned *)opaque;
}

Test(pagewalk, updates_tell_the_watches_and_only_when_something_changes)
{
    struct pagewalk walk;
    unsigned calls = 0;
    ram_set_watcher(&ram, RAM_WATCH_CODE, count_call, &calls);
    ram_watch_set(&ram, DIRECTORY >> PAGE_SHIFT, RAM_WATCH_CODE);
    ram_watch_set(&ram, TABLE >> PAGE_SHIFT, RAM_WATCH_CODE);
    map32(0x5abc, TABLE | P | W, 0x5000 | P | W);
    cr_assert(pagewalk(&ctx, 0x5abc, READ | AD, &walk));
    cr_assert_eq(calls, 2);
    cr_assert(pagewalk(&ctx, 0x5abc, READ | AD, &walk));
    cr_assert_eq(calls, 2);
    cr_assert(pagewalk(&ctx, 0x5abc, WRITE | AD, &walk));
    cr_assert_eq(calls, 3);
}

static uint64_t forbidden_read(void *opaque, uint64_t offset, unsigned size)
{
    (void)offset, (void)size;
    *(bool *)opaque = true;
    return 0;
}

static void forbidden_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    (void)offset, (void)value, (void)size;
    *(bool *)opaque = true;
}

Test(pagewalk, tables_outside_memory_read_as_all_ones_and_call_no_device)
{
    static const struct region_ops ops = {.read = forbidden_read, .write = forbidden_write};
    struct pagewalk walk;
    struct region device;
    bool called = false;
    region_init_io(&device, "device", 0x20000000, PAGE_SIZE, &ops, &called);
    addr_space_add(&mem, &device);
    ctx.cr3 = 0x20000000;
    cr_assert(pagewalk(&ctx, 0x5abc, WRITE | AD, &walk), "all ones: present, writable, table at 0xfffff000");
    cr_assert_eq(walk.level[0].entry, 0xffffffff);
    cr_assert_eq(walk.gpa, 0xfffffabc);
    ctx.cr3 = 0x30000000;
    ctx.pse = true;
    cr_assert(!pagewalk(&ctx, 0x5abc, READ | AD, &walk));
    cr_assert_eq(walk.error_code, PF_P | PF_RSVD, "a 4 MiB page with every reserved bit set");
    cr_assert(!called);
    addr_space_remove(&mem, &device);
}

Test(pagewalk, tables_in_rom_are_read_and_never_written)
{
    struct pagewalk walk;
    struct region rom;
    roff_t roff = ram_alloc(&ram, PAGE_SIZE);
    region_init_memory(&rom, "rom", 0x10000, PAGE_SIZE, roff, REGION_READ);
    rom.priority = 1;
    addr_space_add(&mem, &rom);
    store_le32(ram.host + roff, 0x10000 | P | W);
    store_le32(ram.host + roff + 20, 0x5000 | P | W);
    ctx.cr3 = 0x10000;
    cr_assert(pagewalk(&ctx, 0x5abc, WRITE | AD, &walk));
    cr_assert_eq(walk.gpa, 0x5abc);
    cr_assert_eq(load_le32(ram.host + roff + 20), 0x5000 | P | W);
    cr_assert_eq(entry32(0x10014), 0x5000 | P | W | A | D, "the write falls through to the RAM below");
    addr_space_remove(&mem, &rom);
}

Test(pagewalk, pointer_table_entries_load_as_a_whole_or_not_at_all)
{
    struct paging_ctx before;
    ctx.mode = PAGING_PAE;
    ctx.cr3 = POINTERS | 0x18; /* PWT and PCD are no address bits */
    for (unsigned i = 0; i < 4; i++) {
        store_le64(ram.host + POINTERS + 8 * i, (0x4000 + 0x1000 * i) | P);
    }
    cr_assert(pagewalk_load_pdptes(&ctx));
    cr_assert_eq(ctx.pdpte[0], 0x4000 | P);
    cr_assert_eq(ctx.pdpte[3], 0x7000 | P);

    static const unsigned reserved[] = {1, 2, 5, 6, 7, 8, 36, 52, 63};
    for (size_t i = 0; i < ARRAY_LEN(reserved); i++) {
        store_le64(ram.host + POINTERS, 0x9000 | P);
        store_le64(ram.host + POINTERS + 24, 0xa000 | P | BIT(reserved[i]));
        before = ctx;
        cr_assert(!pagewalk_load_pdptes(&ctx), "bit %u", reserved[i]);
        cr_assert_eq(memcmp(&before, &ctx, sizeof(ctx)), 0, "refused, hence unchanged");
        store_le64(ram.host + POINTERS + 24, BIT(reserved[i]));
        cr_assert(pagewalk_load_pdptes(&ctx), "reserved bits of an absent entry do not matter");
    }
    store_le64(ram.host + POINTERS + 24, 0xa000 | P | BIT(32));
    cr_assert(pagewalk_load_pdptes(&ctx));
    ctx.phys_bits = 32;
    cr_assert(!pagewalk_load_pdptes(&ctx), "bit 32 is beyond the address width");
}

Test(pagewalk, hostile_contexts_do_no_harm)
{
    struct pagewalk walk;
    unsigned seed = 7;
    for (unsigned i = 0; i < 20000; i++) {
        uint64_t *words = (uint64_t *)(void *)ram.host;
        words[(DIRECTORY / 8) + (unsigned)rand_r(&seed) % 0x600] =
            (uint64_t)rand_r(&seed) << 32 ^ (uint64_t)rand_r(&seed) << 1 ^ (i & 1);
        ctx.mode = i & 2 ? PAGING_PAE : PAGING_32BIT;
        ctx.phys_bits = (uint8_t)rand_r(&seed);
        ctx.pse = i & 4;
        ctx.cr3 = (uint64_t)rand_r(&seed) & 0x7fff;
        ctx.pdpte[i % 4] = ((uint64_t)rand_r(&seed) << 32 | (uint64_t)rand_r(&seed)) & 0x80003fff;
        unsigned flags = (unsigned)rand_r(&seed) % 32;
        bool ok = pagewalk(&ctx, (uint32_t)rand_r(&seed) << 1, flags, &walk);
        cr_assert(ok || walk.error_code < 32);
        cr_assert_leq(walk.level_count, 3);
        cr_assert(!ok || pagewalk_allowed(&ctx, &walk, flags));
    }
}
