/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * info gdt, ldt, idt, tss, fpu, sse; sreg, creg, dreg, print-stack: fields, limits, and tables in no memory.
 */
#include "tests/monitor/inspect_fixture.h"

#include "cpu/debug.h"

enum { GDT = 0x3000, IDT = 0x4000, LDT = 0x5000, TSS = 0x6000 };

static struct inspected it;

static void set_up(void)
{
    inspected_init(&it);
}

static void tear_down(void)
{
    inspected_fini(&it);
}

TestSuite(inspect_registers, .init = set_up, .fini = tear_down);

static const char *run(const char *line)
{
    return inspected_run(&it, line);
}

static void descriptor(uint32_t table, unsigned n, uint32_t low, uint32_t high)
{
    inspected_store32(&it, table + 8 * n, low);
    inspected_store32(&it, table + 8 * n + 4, high);
}

static void make_gdt(void)
{
    it.bare.cpu->gdtr = (struct table_register){.base = GDT, .limit = 8 * 8 - 1};
    descriptor(GDT, 1, 0x0000ffff, 0x00cf9b00);     /* flat code */
    descriptor(GDT, 2, 0x5678ffff, 0x1240f634);     /* data at 12345678h, expand down, DPL 3, not accessed */
    descriptor(GDT, 3, 0x00100000, 0x0000ec00 | 4); /* call gate to 10:0, 4 parameters, DPL 3 */
    descriptor(GDT, 4, 0x60000067, 0x00008900);     /* TSS at 6000h */
    descriptor(GDT, 5, 0x00280000, 0x00008500);     /* task gate to 28h */
    descriptor(GDT, 7, 0x00000001, 0x00000000);     /* not present, reserved */
}

Test(inspect_registers, info_gdt_decodes_every_field)
{
    make_gdt();
    run("info gdt");
    assert_says(&it, "GDT at 00003000, limit 003f: 8 entries\n");
    assert_says(&it,
                "   1  0008  base 00000000 limit ffffffff  DPL 0  P G  code 32, execute/read, accessed\n");
    assert_says(&it,
                "   2  0010  base 12345678 limit 0000ffff  DPL 3  P  data 32, read/write, expand-down\n");
    assert_says(&it, "   3  0018  call gate 32 0010:00000000  4 parameters  DPL 3  P\n");
    assert_says(&it, "   4  0020  base 00006000 limit 00000067  DPL 0  P  TSS 32, available\n");
    assert_says(&it, "   5  0028  task gate to TSS 0028  DPL 0  P\n");
    assert_says(&it, "   7  0038  base 00000000 limit 00000001  DPL 0  not present  reserved\n");
    cr_assert_eq(json_array_size(it.data), 6, "null and zero entries are left out");
    cr_assert_eq(json_integer_value(json_object_get(json_array_get(it.data, 1), "base")), 0x12345678);
}

Test(inspect_registers, tables_end_at_their_limit)
{
    make_gdt();
    it.bare.cpu->gdtr.limit = 14; /* the second descriptor lacks a byte */
    run("info gdt");
    assert_says(&it, ": 1 entries\n");
    cr_assert_eq(json_array_size(it.data), 0);
    run("info gdt 1");
    assert_says(&it, "GDT 1 is beyond the limit");
    cr_assert_not(it.done);
    it.bare.cpu->gdtr.limit = 0;
    run("info gdt");
    cr_assert(it.done);
    assert_says(&it, ": 0 entries\n");
    run("info idt 3");
    cr_assert_not(it.done);
    run("info tss 8");
    assert_says(&it, "there is no descriptor 8 in the GDT");
}

Test(inspect_registers, tables_in_no_memory_are_not_readable_and_bounded)
{
    it.bare.cpu->gdtr = (struct table_register){.base = BEYOND, .limit = 0xffff};
    run("info gdt");
    assert_says(&it, "   0  not readable\n");
    assert_says(&it, "... 7168 more lines");
    cr_assert_eq(inspected_lines(&it), 1024 + 2);
    it.bare.cpu->gdtr.base = UINT32_MAX - 3; /* wraps into the RAM at 0 */
    run("info gdt 0 1");
    cr_assert(it.done);
    it.bare.cpu->idtr = (struct table_register){.base = DEVICE, .limit = 0xffff};
    run("info idt");
    cr_assert_eq(inspected_lines(&it), 1 + 256);
}

Test(inspect_registers, info_idt_names_vectors_and_gates)
{
    it.bare.cpu->idtr = (struct table_register){.base = IDT, .limit = 0x7ff};
    descriptor(IDT, 14, 0x00101234, 0xc0108e00);
    descriptor(IDT, 0x80, 0x00105678, 0xc011ef00);
    run("info idt");
    assert_says(&it, "  14  0e  interrupt gate 32 0010:c0101234  DPL 0  P  #PF page fault\n");
    assert_says(&it, " 128  80  trap gate 32 0010:c0115678  DPL 3  P  \n");
    run("info idt 14");
    cr_assert_eq(inspected_lines(&it), 2);
}

Test(inspect_registers, info_idt_shows_the_vectors_of_real_mode)
{
    it.bare.cpu->cr0 &= ~CR0_PE;
    bare_enter_real(&it.bare);
    it.bare.cpu->idtr = (struct table_register){.base = 0, .limit = 0x3ff};
    inspected_store32(&it, 0x10 * 4, 0xc0001234);
    run("info idt 0x10");
    assert_says(&it, "IVT at 00000000, limit 03ff: 256 entries\n  16  10  c000:1234");
}

Test(inspect_registers, info_ldt_needs_an_ldt)
{
    it.bare.cpu->ldtr = (struct segment){.selector = 0, .attr = SEG_UNUSABLE};
    cr_assert_str_eq(run("info ldt"), "LDT: none (LDTR is null)\n");
    it.bare.cpu->ldtr = (struct segment){.selector = 0x20, .attr = SEG_P | 2, .base = LDT, .limit = 15};
    descriptor(LDT, 1, 0x0000ffff, 0x00cffb00);
    run("info ldt");
    assert_says(&it, "   1  000c  base 00000000 limit ffffffff  DPL 3  P G  code 32");
}

Test(inspect_registers, info_tss_shows_fields_and_ports)
{
    it.bare.cpu->tr =
        (struct segment){.selector = 0x20, .attr = SEG_P | 0xb, .base = TSS, .limit = 0x67 + 0x101};
    inspected_store32(&it, TSS + 4, 0xc1234000);
    inspected_store32(&it, TSS + 8, 0x10);
    inspected_store32(&it, TSS + 100, 0x68u << 16);
    for (unsigned i = 0; i < 0x101; i += 4) {
        inspected_store32(&it, TSS + 0x68 + i, UINT32_MAX);
    }
    inspected_store32(&it, TSS + 0x68 + 0x3f8 / 8, 0xffff00ff ^ 0x0000ffff);
    run("info tss");
    assert_says(&it, "TSS 32, selector 0020, base 00006000, limit 00000168\n");
    assert_says(&it, "esp0   c1234000");
    assert_says(&it, "iomap  0068");
    assert_says(&it, "ports allowed at any CPL: 03f8-03ff\n");
    cr_assert_eq(json_integer_value(json_object_get(it.data, "ss0")), 0x10);
    it.bare.cpu->tr.limit = 40;
    run("info tss");
    assert_says(&it, "eax    beyond");
    assert_says(&it, "ports allowed at any CPL: none\n");
    it.bare.cpu->tr.attr = SEG_P | 3;
    run("info tss");
    assert_says(&it, "TSS 16");
}

Test(inspect_registers, info_tss_of_another_task_must_be_one)
{
    make_gdt();
    run("info tss 0x20");
    assert_says(&it, "TSS 32, selector 0020, base 00006000, limit 00000067\n");
    run("info tss 0x10");
    assert_says(&it, "descriptor 10 is no TSS");
    cr_assert_not(it.done);
    run("info tss 0xffffffffffffffff");
    cr_assert_not(it.done);
}

Test(inspect_registers, sreg_says_where_the_table_differs)
{
    make_gdt();
    bare_set_segment(&it.bare, SEG_CS, 0, UINT32_MAX, 0xc09b);
    it.bare.cpu->seg[SEG_CS].selector = 8;
    it.bare.cpu->seg[SEG_DS].selector = 0x10;
    it.bare.cpu->seg[SEG_ES].selector = 0x100;
    run("sreg");
    assert_says(&it, "cs   0008  base 00000000 limit ffffffff  DPL 0  P  code 32, execute/read, accessed\n");
    assert_says(&it, "data 32, read/write, accessed; the table says otherwise now\n");
    assert_says(&it, "; the table has no such descriptor now\n");
    cr_assert(json_is_true(json_object_get(json_object_get(it.data, "ds"), "stale")));
    cr_assert(json_is_false(json_object_get(json_object_get(it.data, "cs"), "stale")));
}

Test(inspect_registers, creg_and_dreg_spell_bits)
{
    it.bare.cpu->cr0 = CR0_PE | CR0_WP;
    run("creg");
    assert_says(&it, "cr0   0x00010001: pg cd nw am WP ne et ts em mp PE\n");
    assert_says(&it, "no paging, CPL 0, protected mode\n");
    it.bare.cpu->dr[1] = 0x1234;
    it.bare.cpu->dr[7] = DR7_FIXED1 | BIT(3) | 0xdull << 20; /* G1, 4 bytes, write */
    run("dreg");
    assert_says(&it, "dr1   0x00001234  stops at: write, 4 bytes\n");
    assert_says(&it, " G1 ");
}

Test(inspect_registers, info_fpu_shows_numbers_and_what_is_none)
{
    static const uint8_t pi[10] = {0x35, 0xc2, 0x68, 0x21, 0xa2, 0xda, 0x0f, 0xc9, 0x00, 0x40};
    static const uint8_t unnormal[10] = {1, 0, 0, 0, 0, 0, 0, 0, 0xff, 0x3f};
    struct fxsave *fpu = &it.bare.cpu->fpu;

    fpu->fsw = 0;
    fpu->ftw = 7;
    fpu->fcw = 0x37f;
    memcpy(fpu->st[0], pi, 10);
    memcpy(fpu->st[1], unnormal, 10);
    memset(fpu->st[2], 0, 10);
    store_le16(fpu->st[2] + 8, 0xffff);
    store_le64(fpu->st[2], BIT(63));
    run("info fpu");
    assert_says(&it, "st0  4000 c90fdaa22168c235  3.14159265358979324\n");
    assert_says(&it, "unsupported encoding\n");
    assert_says(&it, "st2  ffff 8000000000000000  -infinity\n");
    assert_says(&it, "st3  0000 0000000000000000  empty\n");
    assert_says(&it, "PM UM OM ZM DM IM\n      rounding to nearest, precision 64 bits\n");
}

Test(inspect_registers, info_sse_shows_singles)
{
    static const float singles[4] = {1.5f, -2.0f, 0.0f, 1e10f};

    memcpy(it.bare.cpu->fpu.xmm[3], singles, sizeof(singles));
    run("info sse");
    assert_says(&it, "xmm3  501502f900000000c00000003fc00000  {1.5, -2, 0, 1e+10}\n");
    assert_says(&it, "mxcsr");
}

Test(inspect_registers, print_stack_stops_at_memory_that_is_not_there)
{
    inspected_store32(&it, STACK, 0x11223344);
    inspected_store32(&it, STACK + 4, 0x55667788);
    run("print-stack 2");
    cr_assert_str_eq(it.text, "00800000  11223344\n00800004  55667788\n");
    it.bare.cpu->gpr[RSP] = 0x1008000 + 0x8000 - 4; /* the ROM's last word */
    run("print-stack");
    assert_says(&it, "01010000  not readable\n");
    cr_assert_eq(inspected_lines(&it), 2);
    run("print-stack 0xffffffffffffffff");
    cr_assert(it.done);
}

Test(inspect_registers, bochs_names_show_the_same)
{
    static const char *const same[][2] = {
        {"r", "info registers"}, {"regs", "info registers"}, {"info tab", "info mem"}};

    inspected_page(&it);
    for (unsigned i = 0; i < ARRAY_LEN(same); i++) {
        char *first = strdup(run(same[i][0]));

        cr_assert(it.done && *first, "%s", same[i][0]);
        cr_assert_str_eq(run(same[i][1]), first);
        free(first);
    }
}
