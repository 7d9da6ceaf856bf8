/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * gdb's view of the registers: numbers, the description that names them, and what may be written.
 */
#include <criterion/criterion.h>

#include "cpu/fpu.h"
#include "monitor/gdb_registers.h"
#include "tests/isa/bare_machine.h"

static struct bare_machine bare;

static void setup(void)
{
    bare_init(&bare);
    bare_enter_protected(&bare, 32);
}

static void teardown(void)
{
    bare_fini(&bare);
}

static void enter_real(void)
{
    bare.cpu->cr0 &= ~(uint64_t)CR0_PE;
    bare_enter_real(&bare);
    for (unsigned i = 0; i < SEG_COUNT; i++) {
        bare.cpu->seg[i].attr &= ~(uint32_t)SEG_DB;
    }
    vcpu_sync(bare.cpu);
}

TestSuite(gdb_registers, .init = setup, .fini = teardown);

/* gdb's number of a register, by the description that gdb goes by. */
static unsigned number_of(const char *name)
{
    char *xml = gdb_registers_describe(bare.cpu), wanted[64], *at;
    unsigned number;

    cr_assert_not_null(xml);
    snprintf(wanted, sizeof(wanted), "<reg name=\"%s\" ", name);
    at = strstr(xml, wanted);
    cr_assert_not_null(at, "%s is not described", name);
    at = strstr(at, "regnum=\"");
    number = (unsigned)strtoul(at + 8, NULL, 10);
    free(xml);
    return number;
}

static uint32_t read32(const char *name)
{
    uint8_t bytes[GDB_REGISTER_MAX];

    gdb_register_read(bare.cpu, number_of(name), bytes);
    return load_le32(bytes);
}

static bool write32(const char *name, uint32_t value)
{
    uint8_t bytes[GDB_REGISTER_MAX] = {0};

    store_le32(bytes, value);
    return gdb_register_write(bare.cpu, number_of(name), bytes);
}

static size_t total(void)
{
    size_t bytes = 0;
    unsigned size;

    for (unsigned n = 0; (size = gdb_register_size(bare.cpu, n)) > 0; n++) {
        bytes += size;
    }
    return bytes;
}

Test(gdb_registers, numbers_begin_as_gdb_has_them)
{
    static const char *const first[] = {"eax",    "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi", "eip",
                                        "eflags", "cs",  "ss",  "ds",  "es",  "fs",  "gs",  "st0"};

    for (unsigned i = 0; i < ARRAY_LEN(first); i++) {
        cr_assert_eq(number_of(first[i]), i, "%s", first[i]);
    }
    cr_assert_eq(number_of("fctrl"), 24);
    cr_assert_eq(number_of("xmm0"), 32);
    cr_assert_eq(number_of("mxcsr"), 40);
}

Test(gdb_registers, description_and_packet_have_the_same_registers)
{
    char *xml = gdb_registers_describe(bare.cpu);
    unsigned described = 0;

    for (const char *at = xml; (at = strstr(at, "<reg ")); at++) {
        const char *bits = strstr(at, "bitsize=\""), *number = strstr(at, "regnum=\"");

        cr_assert_eq(strtoul(number + 8, NULL, 10), described);
        cr_assert_eq(strtoul(bits + 9, NULL, 10), 8 * gdb_register_size(bare.cpu, described));
        described++;
    }
    cr_assert_eq(gdb_register_size(bare.cpu, described), 0);
    cr_assert_gt(described, 60);
    free(xml);
}

Test(gdb_registers, a_model_without_sse_has_no_sse_registers)
{
    char *xml;

    bare.cpu->features &= ~(uint64_t)CPU_FEATURE_SSE;
    xml = gdb_registers_describe(bare.cpu);
    cr_assert_null(strstr(xml, "xmm0"));
    cr_assert_not_null(strstr(xml, "\"cr0\""));
    cr_assert_eq(number_of("cr0"), 32);
    free(xml);
}

Test(gdb_registers, the_packet_has_one_length_in_all_modes)
{
    size_t protected_mode = total();

    enter_real();
    cr_assert_eq(total(), protected_mode);
}

Test(gdb_registers, eip_is_linear_where_code_does_not_begin_at_0)
{
    bare.cpu->rip = 0x1234;
    cr_assert_eq(read32("eip"), 0x1234);
    enter_real();
    cr_assert(write32("cs", 0xf000));
    bare.cpu->rip = 0xfff0;
    cr_assert_eq(read32("eip"), 0xffff0);
    cr_assert(write32("eip", 0xf0100));
    cr_assert_eq(bare.cpu->rip, 0x100);
    cr_assert_eq(read32("cs_base"), 0xf0000);
}

Test(gdb_registers, eip_outside_a_real_mode_segment_is_refused)
{
    enter_real();
    cr_assert(write32("cs", 0x1000));
    cr_assert_not(write32("eip", 0x7c00));
    cr_assert_not(write32("eip", 0x20000));
    cr_assert(write32("eip", 0x1ffff));
    cr_assert_eq(bare.cpu->rip, 0xffff);
}

Test(gdb_registers, a_new_eip_ends_a_halt)
{
    bare.cpu->halted = true;
    cr_assert(write32("eip", (uint32_t)bare.cpu->rip));
    cr_assert(bare.cpu->halted);
    cr_assert(write32("eip", 0x2000));
    cr_assert_not(bare.cpu->halted);
}

Test(gdb_registers, general_registers_take_anything)
{
    cr_assert(write32("edi", 0xdeadbeef));
    cr_assert_eq(bare.cpu->gpr[RDI], 0xdeadbeef);
    cr_assert_eq(read32("edi"), 0xdeadbeef);
}

Test(gdb_registers, eflags_keeps_its_fixed_bits_and_the_mode)
{
    cr_assert(write32("eflags", 0xffffffff & ~(uint32_t)RFLAGS_VM));
    cr_assert_eq(bare.cpu->rflags, 0x3d7fd7 & ~(RFLAGS_VM | BIT(15)));
    cr_assert(bare.cpu->attention & ATTENTION_TRAP, "TF is in force at once");
    cr_assert_not(write32("eflags", (uint32_t)(bare.cpu->rflags | RFLAGS_VM)));
    cr_assert(write32("eflags", 0));
    cr_assert_eq(bare.cpu->rflags, RFLAGS_FIXED1);
}

Test(gdb_registers, control_registers_are_checked_as_the_processor_does)
{
    cr_assert_not(write32("cr0", (uint32_t)CR0_PG));
    cr_assert_not(bare.cpu->exception.pending);
    cr_assert_not(write32("cr4", 0x80000000));
    cr_assert(write32("cr3", 0x5000));
    cr_assert(write32("cr2", 0x12345678));
    cr_assert(write32("cr4", (uint32_t)CR4_PSE));
    cr_assert(write32("cr0", (uint32_t)(bare.cpu->cr0 | CR0_PG)));
    cr_assert_eq(bare.cpu->paging.mode, PAGING_32BIT);
    cr_assert_eq(bare.cpu->paging.cr3, 0x5000);
    cr_assert(write32("cr0", read32("cr0") & ~(uint32_t)CR0_PG));
    cr_assert_eq(bare.cpu->paging.mode, PAGING_OFF);
}

Test(gdb_registers, a_refused_segment_leaves_no_trace)
{
    bare.cpu->gdtr = (struct table_register){.base = 0x1000, .limit = 0x17};
    bare.cpu->cr2 = 0x77;
    cr_assert_not(write32("ds", 0x28));
    cr_assert_not(write32("cs", 0x28));
    cr_assert_not(write32("es", 0x10000));
    cr_assert_not(bare.cpu->exception.pending);
    cr_assert_eq(bare.cpu->cr2, 0x77);
    cr_assert_eq(read32("ds"), 8 * (SEG_DS + 1));
    cr_assert(write32("es", 0));
    cr_assert(bare.cpu->seg[SEG_ES].attr & SEG_UNUSABLE);
}

Test(gdb_registers, segments_load_from_the_descriptor_table)
{
    static const uint8_t data[8] = {0xff, 0xff, 0x00, 0x50, 0x12, 0x93, 0xcf, 0x00};
    uint8_t *ram = ram_ptr(&bare.ram, 0x1010);

    memcpy(ram, data, sizeof(data));
    bare.cpu->gdtr = (struct table_register){.base = 0x1000, .limit = 0x17};
    cr_assert(write32("gs", 0x10));
    cr_assert_eq(read32("gs"), 0x10);
    cr_assert_eq(read32("gs_base"), 0x125000);
    cr_assert(write32("fs_base", 0x4000));
    cr_assert_eq(bare.cpu->seg[SEG_FS].base, 0x4000);
}

Test(gdb_registers, tables_are_read_and_written)
{
    cr_assert(write32("idtr_base", 0xc0001000));
    cr_assert(write32("idtr_limit", 0x7ff));
    cr_assert_eq(bare.cpu->idtr.base, 0xc0001000);
    cr_assert_eq(bare.cpu->idtr.limit, 0x7ff);
    cr_assert_not(write32("gdtr_limit", 0x10000));
    cr_assert_not(write32("tr", 0x28));
    cr_assert(write32("tr", bare.cpu->tr.selector));
}

Test(gdb_registers, debug_registers_arm_breakpoints)
{
    cr_assert(write32("dr0", 0x1000));
    cr_assert(write32("dr7", 1));
    cr_assert(bare.cpu->attention & ATTENTION_DR);
    cr_assert_eq(read32("dr7"), 0x401);
    cr_assert(write32("dr6", 0));
    cr_assert_eq(read32("dr6"), 0xffff0ff0);
}

Test(gdb_registers, the_tag_word_is_the_full_one)
{
    fpu_init(bare.cpu);
    cr_assert_eq(read32("ftag"), 0xffff);
    cr_assert(write32("ftag", 0xfffc));
    cr_assert_eq(bare.cpu->fpu.ftw, 1);
    cr_assert(write32("fstat", 7u << 11));
    cr_assert_eq(fpu_top(&bare.cpu->fpu), 7);
    cr_assert_not(write32("fctrl", 0x10000));
    cr_assert(write32("fctrl", 0x27f));
    cr_assert_eq(bare.cpu->fpu.fcw, 0x27f);
}

Test(gdb_registers, wide_registers_are_bytes)
{
    uint8_t bytes[GDB_REGISTER_MAX], back[GDB_REGISTER_MAX];

    for (unsigned i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (uint8_t)(0x10 + i);
    }
    cr_assert_eq(gdb_register_size(bare.cpu, number_of("xmm7")), 16);
    cr_assert(gdb_register_write(bare.cpu, number_of("xmm7"), bytes));
    gdb_register_read(bare.cpu, number_of("xmm7"), back);
    cr_assert_arr_eq(back, bytes, 16);
    cr_assert_arr_eq(bare.cpu->fpu.xmm[7], bytes, 16);
    cr_assert_eq(gdb_register_size(bare.cpu, number_of("st3")), 10);
    cr_assert(gdb_register_write(bare.cpu, number_of("st3"), bytes));
    cr_assert_arr_eq(bare.cpu->fpu.st[3], bytes, 10);
    cr_assert_not(write32("mxcsr", 0xffff0000));
    cr_assert(write32("mxcsr", MXCSR_INIT));
}
