/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * info pg, mem, tlb and walk: their forms, and page tables of a hostile guest.
 */
#include "tests/monitor/inspect_fixture.h"

#include <time.h>

static struct inspected it;

static void set_up(void)
{
    inspected_init(&it);
}

static void tear_down(void)
{
    inspected_fini(&it);
}

TestSuite(inspect_tables, .init = set_up, .fini = tear_down, .timeout = 60);

static const char *run(const char *line)
{
    return inspected_run(&it, line);
}

static void pte(unsigned n, uint32_t value)
{
    inspected_store32(&it, TABLE + 4 * n, value);
}

static void pde(unsigned n, uint32_t value)
{
    inspected_store32(&it, DIRECTORY + 4 * n, value);
}

/* PAE: PDPT at 5000h, directory at DIRECTORY, table at TABLE. */
static void page_pae(void)
{
    struct vcpu *cpu = it.bare.cpu;

    for (unsigned i = 0; i < 1024; i++) {
        inspected_store32(&it, DIRECTORY + 4 * i, 0);
        inspected_store32(&it, TABLE + 4 * i, 0);
    }
    inspected_store64(&it, 0x5000, DIRECTORY | P);
    cpu->cr3 = 0x5000;
    cpu->cr4 |= CR4_PAE;
    cpu->cr0 |= CR0_PG | CR0_WP;
    cpu->pdpte[0] = DIRECTORY | P;
    vcpu_sync(cpu);
}

/* ---- The forms ------------------------------------------------------------------------------------------ */

Test(inspect_tables, say_that_paging_is_off)
{
    cr_assert_str_eq(run("info pg"), "PG disabled\n");
    cr_assert_str_eq(run("info mem"), "PG disabled\n");
    cr_assert_str_eq(run("info tlb"), "PG disabled\n");
    run("walk 0x1234 r s");
    assert_says(&it, "allowed (paging is off)");
    assert_says(&it, "physical 000001234: RAM (ram)");
}

Test(inspect_tables, info_pg_folds_entries_that_look_alike)
{
    inspected_page(&it);
    pte(0, 0 | P | W);
    pte(0xb8, 0xb8000 | P | W | A);
    run("info pg");
    cr_assert_str_eq(it.text, "VPN range     Entry         Flags        Physical page\n"
                              "[00000-003ff]  PDE[000]     ----A--UWP\n"
                              "  [00000-00000]  PTE[000]     --------WP 00000\n"
                              "  [00001-000b7]  PTE[001-0b7] ---DA---WP 00001-000b7\n"
                              "  [000b8-000b8]  PTE[0b8]     ----A---WP 000b8\n"
                              "  [000b9-003ff]  PTE[0b9-3ff] ---DA---WP 000b9-003ff\n");
}

Test(inspect_tables, info_pg_folds_uniform_tables_and_lists_scattered_pages)
{
    inspected_page(&it);
    pde(1, TABLE | P | W | U | A); /* the same table again: full and uniform, too */
    pde(0x300, 0x400000 | P | W | PS | A | D | G);
    pde(0x301, 0x800000 | P | W | PS | A | D | G);
    run("info pg");
    assert_says(&it, "[00000-007ff]  PDE[000-001] ----A--UWP\n"
                     "  [00000-007ff]  PTE[000-3ff] ---DA---WP 00000-003ff 00000-003ff\n");
    assert_says(&it, "[c0000-c07ff]  PDE[300-301] -GSDA---WP 00400-00bff\n");
    for (unsigned i = 0; i < 16; i++) {
        pte(i, (100 - 2 * i) << 12 | P | W | A | D);
    }
    run("info pg");
    assert_says(&it, "PTE[000-3ff] ---DA---WP 00064 00062 00060 0005e 0005c 0005a ..\n");
    cr_assert_eq(json_array_size(it.data), 3, "%zu rows", json_array_size(it.data));
}

Test(inspect_tables, info_mem_combines_rights_of_all_levels)
{
    inspected_page(&it);
    pte(4, 0x4000 | P | U);
    pte(5, 0x5000 | P | U);
    pte(6, 0);
    pde(0x300, 0x400000 | P | W | PS);
    run("info mem");
    cr_assert_str_eq(it.text, "0000000000000000-0000000000004000 0000000000004000 -rw\n"
                              "0000000000004000-0000000000006000 0000000000002000 ur-\n"
                              "0000000000007000-0000000000400000 00000000003f9000 -rw\n"
                              "00000000c0000000-00000000c0400000 0000000000400000 -rw\n");
    pde(0, TABLE | P | A); /* neither user nor writable, whatever the table says */
    run("info mem");
    assert_says(&it, "0000000000000000-0000000000006000 0000000000006000 -r-\n");
    run("info mem 0xc0000000");
    cr_assert_eq(inspected_lines(&it), 1);
}

Test(inspect_tables, info_tlb_lists_every_mapping)
{
    inspected_page(&it);
    pte(1, 0);
    pte(2, 0x2000 | P | W | U | 0x80 | 0x18); /* bit 7 is the PAT bit here */
    pde(0x300, 0x400000 | P | W | PS | G | D);
    run("info tlb");
    assert_says(
        &it, "0000000000000000: 0000000000000000 ---DA---W\n0000000000002000: 0000000000002000 -----CTUW\n");
    assert_says(&it, "00000000c0000000: 0000000000400000 -GPD----W\n");
    cr_assert_eq(inspected_lines(&it), 1024);
}

Test(inspect_tables, know_pae_with_execute_disable)
{
    page_pae();
    it.bare.cpu->msr.efer |= EFER_NXE;
    it.bare.cpu->features |= CPU_FEATURE_NX;
    vcpu_sync(it.bare.cpu);
    inspected_store64(&it, DIRECTORY, TABLE | P | W | U | A);
    inspected_store64(&it, DIRECTORY + 8, 0x200000 | P | W | PS | A | D);
    inspected_store64(&it, TABLE + 8, 0x3000 | P | W | A | D | BIT(63));
    run("info pg");
    assert_says(&it, "[00000-3ffff]  PDPTE[000]   ---------P\n");
    assert_says(&it, "  [00000-001ff]  PDE[000]     ----A--UWP\n");
    assert_says(&it, "    [00001-00001]  PTE[001]     X--DA---WP 00003\n");
    assert_says(&it, "  [00200-003ff]  PDE[001]     --SDA---WP 00200-003ff\n");
    run("walk 0x1000 x s");
    assert_says(&it, "#PF(0011): a level has XD set");
    assert_says(&it, "I: a fetch");
    assert_says(&it, "not executable");
    run("walk 0x1000 w");
    assert_says(&it, "supervisor write  allowed");
}

/* ---- walk ----------------------------------------------------------------------------------------------- */

Test(inspect_tables, walk_explains_each_level)
{
    inspected_page(&it);
    pte(3, 0x7000 | P | U);
    run("walk 0x3456");
    assert_says(&it, "CR3 00001000: table of PDEs at 00001000");
    assert_says(&it, "PDE[000] at 000001000: 00002027  present, writable, user, accessed");
    assert_says(&it, "table of PTEs at 000002000");
    assert_says(&it,
                "PTE[003] at 00000200c: 00007005  present, read-only, user, not accessed, clean, not global");
    assert_says(&it, "page of 4 KiB at 000007000");
    assert_says(&it,
                "all levels together: user, read-only, executable (no XD: EFER.NXE is clear), not global");
    assert_says(&it,
                "supervisor write  #PF(0003): a level has R/W clear, and CR0.WP binds supervisors to it");
    assert_says(&it, "user       write  #PF(0007): a level has R/W clear");
    assert_says(&it, "supervisor read   allowed (user page: there is no SMEP or SMAP");
    assert_says(&it, "physical 000007456: RAM (ram), offset 7456 of the VM's memory");
    cr_assert_eq(json_array_size(json_object_get(it.data, "levels")), 2);
    cr_assert_eq(json_array_size(json_object_get(it.data, "verdicts")), 6);
    cr_assert_eq(bare_read32(&it.bare, TABLE + 12), 0x7000 | P | U, "no A bit was set");
}

Test(inspect_tables, walk_knows_wp)
{
    inspected_page(&it);
    pte(3, 0x7000 | P | U);
    it.bare.cpu->cr0 &= ~CR0_WP;
    vcpu_sync(it.bare.cpu);
    run("walk 0x3000 w s");
    assert_says(&it, "allowed (R/W is clear, but CR0.WP is too");
    cr_assert_eq(json_array_size(json_object_get(it.data, "verdicts")), 1);
}

Test(inspect_tables, walk_says_what_is_not_present_or_reserved)
{
    inspected_page(&it);
    run("page 0x400000 w u");
    assert_says(&it, "PDE[001] at 000001004: 00000000  not present");
    assert_says(&it, "the walk ends here");
    assert_says(&it, "#PF(0006): an entry is not present; not P: not present, W: a write, U: by user");
    pde(0x300, 0x400000 | P | W | PS | BIT(21));
    run("walk 0xc0000000 r s");
    assert_says(&it, "#PF(0009): an entry has a reserved bit set");
    run("info pg");
    assert_says(&it, "reserved bit set: #PF");
    run("info mem 0xc0000000");
    cr_assert_str_eq(it.text, "");
}

Test(inspect_tables, walk_says_where_the_physical_address_leads)
{
    inspected_page(&it);
    pte(1, ROM | P);
    pte(2, DEVICE | P);
    pte(3, BEYOND | P);
    run("walk 0x1000");
    assert_says(&it, "ROM (bios)");
    run("walk 0x2000");
    assert_says(&it, "device gadget");
    run("walk 0x3000");
    assert_says(&it, "physical 008000000: nothing");
}

Test(inspect_tables, walk_refuses_what_is_no_access)
{
    cr_assert_str_eq(run("walk 0x1000 q"), "usage: walk ADDR [r|w|x] [u|s]\n");
    cr_assert_not(it.done);
}

/* ---- Hostile tables ------------------------------------------------------------------------------------- */

static const char *const all_of_them[] = {
    "info pg", "info mem", "info tlb", "walk 0", "walk 0xffffffff", "walk 0x40201000", "info tlb 0x80000000",
};

/* They end, soon, and say no more than they are allowed to. */
static void survive(void)
{
    for (unsigned i = 0; i < ARRAY_LEN(all_of_them); i++) {
        clock_t begin = clock();

        run(all_of_them[i]);
        cr_assert(it.done, "%s", all_of_them[i]);
        cr_assert_leq(inspected_lines(&it), 65536 + 3, "%s", all_of_them[i]);
        cr_assert_lt(clock() - begin, 20 * CLOCKS_PER_SEC, "%s", all_of_them[i]);
    }
}

Test(inspect_tables, survive_a_directory_that_is_its_own_table)
{
    inspected_page(&it);
    for (unsigned i = 0; i < 1024; i++) {
        pde(i, DIRECTORY | P | W | U);
    }
    survive();
    run("info tlb");
    assert_says(&it, "more lines; info tlb ADDR begins at an address\n");
    cr_assert_eq(json_array_size(it.data), 65536);
}

Test(inspect_tables, survive_tables_beyond_memory)
{
    inspected_page(&it);
    for (unsigned i = 0; i < 1024; i++) {
        pde(i, (BEYOND + (i << 12)) | P | W | U);
    }
    survive();
    it.bare.cpu->cr3 = 0xfffff000;
    vcpu_sync(it.bare.cpu);
    survive();
    it.bare.cpu->cr3 = DEVICE;
    vcpu_sync(it.bare.cpu);
    survive();
}

Test(inspect_tables, survive_garbage_in_both_forms)
{
    uint32_t random = 12345;

    inspected_page(&it);
    for (unsigned i = 0; i < 4 * 1024; i++) {
        random = random * 1664525 + 1013904223;
        inspected_store32(&it, DIRECTORY + 4 * i, random);
    }
    survive();
    page_pae();
    for (unsigned i = 0; i < 4; i++) {
        it.bare.cpu->pdpte[i] = (DIRECTORY + (i << 12)) | P;
    }
    for (unsigned i = 0; i < 4 * 1024; i++) {
        random = random * 1664525 + 1013904223;
        inspected_store32(&it, DIRECTORY + 4 * i, random);
    }
    vcpu_sync(it.bare.cpu);
    survive();
}

Test(inspect_tables, survive_a_pae_directory_that_is_its_own_table)
{
    page_pae();
    for (unsigned i = 0; i < 4; i++) {
        it.bare.cpu->pdpte[i] = DIRECTORY | P;
    }
    for (unsigned i = 0; i < 512; i++) {
        inspected_store64(&it, DIRECTORY + 8 * i, DIRECTORY | P | W | U);
    }
    vcpu_sync(it.bare.cpu);
    survive();
}
