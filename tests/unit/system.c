/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * System instructions: control registers, descriptor-table registers, INVLPG, RDTSC, SYSENTER, HLT, and ports.
 * SDM: Volume 2; Volume 3A, "Control Registers"; Volume 1, "Input/Output".
 */
#include "cpu/io.h"
#include "cpu/system.h"
#include "system_fixture.h"

static struct fixture f;

static void setup(void)
{
    fixture_init(&f);
    enter_protected(&f);
}

static void teardown(void)
{
    fixture_fini(&f);
}

TestSuite(system, .init = setup, .fini = teardown);

/* ---- Control registers ------------------------------------------------------------------------------------- */

Test(system, cr0_combinations)
{
    struct {
        uint64_t value;
        bool allowed;
    } rows[] = {
        {CR0_PE, true},
        {CR0_PG, false},
        {CR0_PE | CR0_PG, true},
        {CR0_NW, false},
        {CR0_PE | CR0_NW, false},
        {CR0_PE | CR0_NW | CR0_CD, true},
        {CR0_PE | CR0_CD, true},
        {0, true},
        {CR0_PE | BIT(6) | BIT(28), true}, /* reserved bits are dropped */
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        uint64_t before = f.cpu->cr0;
        f.cpu->exception = (struct exception){0};
        cr_assert_eq(cr0_write(f.cpu, rows[i].value), rows[i].allowed, "row %zu", i);
        if (rows[i].allowed) {
            cr_assert_eq(f.cpu->cr0, (rows[i].value & CR0_WRITABLE) | CR0_ET, "row %zu", i);
        } else {
            ASSERT_EXCEPTION(f.cpu, EXC_GP, 0);
            cr_assert_eq(f.cpu->cr0, before);
        }
    }
}

Test(system, clearing_pe_leaves_protected_mode)
{
    cr_assert(cr0_write(f.cpu, 0));
    cr_assert_not(f.cpu->protected_mode);
    cr_assert(f.cpu->code32, "until CS is loaded its attributes stay");
    cr_assert_eq(f.cpu->cpl, 0);
}

Test(system, cr4_takes_the_models_bits_only)
{
    struct {
        const char *model;
        uint64_t supported;
    } rows[] = {
        {"486", 0x13},       {"486,-vme,-pse", 0}, {"pentium", 0x5f},
        {"pentium2", 0x3ff}, {"pentium3", 0x7ff},  {"n270", 0x7ff},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        fixture_fini(&f);
        fixture_init_model(&f, rows[i].model);
        cr_assert_eq(cr4_supported(f.cpu->features), rows[i].supported, "%s", rows[i].model);
        for (unsigned bit = 0; bit < 32; bit++) {
            f.cpu->cr4 = 0;
            bool allowed = rows[i].supported >> bit & 1;
            cr_assert_eq(cr4_write(f.cpu, BIT(bit)), allowed, "%s %u", rows[i].model, bit);
            cr_assert_eq(f.cpu->cr4, allowed ? BIT(bit) : 0);
        }
    }
}

Test(system, pae_paging_loads_the_pdptes_or_faults)
{
    poke32(&f, 0x40000, 0x41001);
    poke32(&f, 0x40008, 0);
    poke32(&f, 0x40010, 0);
    poke32(&f, 0x40018, 0);
    cr_assert(cr3_write(f.cpu, 0x40000));
    cr_assert(cr4_write(f.cpu, CR4_PAE));
    cr_assert_eq(f.cpu->pdpte[0], 0, "not in use yet");
    poke32(&f, 0x40008, 0x42007); /* reserved bits 1 and 2 */
    cr_assert_not(cr0_write(f.cpu, f.cpu->cr0 | CR0_PG));
    ASSERT_EXCEPTION(f.cpu, EXC_GP, 0);
    cr_assert_not(f.cpu->cr0 & CR0_PG);
    poke32(&f, 0x40008, 0x42001);
    cr_assert(cr0_write(f.cpu, f.cpu->cr0 | CR0_PG));
    cr_assert_eq(f.cpu->pdpte[0], 0x41001);
    cr_assert_eq(f.cpu->paging.pdpte[1], 0x42001);
    poke32(&f, 0x50000, 0x1e1); /* reserved bits 8:5 */
    cr_assert_not(cr3_write(f.cpu, 0x50000));
    ASSERT_EXCEPTION(f.cpu, EXC_GP, 0);
    cr_assert_eq(f.cpu->cr3, 0x40000);
    cr_assert_eq(f.cpu->pdpte[0], 0x41001);
}

static void identity_map(void)
{
    poke32(&f, 0x40000, 0x41007);
    for (uint32_t i = 0; i < 1024; i++) {
        poke32(&f, 0x41000 + 4 * i, i << 12 | 7);
    }
    cr_assert(cr3_write(f.cpu, 0x40000));
    cr_assert(cr0_write(f.cpu, f.cpu->cr0 | CR0_PG));
}

static uint32_t load(uint32_t linear)
{
    cr_assert(RUN(&f, 0xa1, (uint8_t)linear, (uint8_t)(linear >> 8), (uint8_t)(linear >> 16), 0));
    return reg32(f.cpu, RAX);
}

/* Page 0x30000 is read, then mapped to 0x31000 behind the TLB's back; `flush` must make that seen. */
static void assert_flushes(bool (*flush)(void), bool global, bool seen)
{
    uint32_t g = global ? 0x100 : 0;
    poke32(&f, 0x30000, 0x1111);
    poke32(&f, 0x31000, 0x2222);
    poke32(&f, 0x41000 + 4 * 0x30, 0x30007 | g);
    tlb_flush(f.cpu->tlb, false);
    cr_assert_eq(load(0x30000), 0x1111);
    poke32(&f, 0x41000 + 4 * 0x30, 0x31007 | g);
    cr_assert(flush());
    cr_assert_eq(load(0x30000), seen ? 0x2222 : 0x1111);
}

static bool by_nothing(void)
{
    return true;
}

static bool by_cr3(void)
{
    return cr3_write(f.cpu, f.cpu->cr3);
}

static bool by_pge(void)
{
    return cr4_write(f.cpu, f.cpu->cr4 ^ CR4_PGE);
}

static bool by_pse(void)
{
    return cr4_write(f.cpu, f.cpu->cr4 ^ CR4_PSE);
}

static bool by_wp(void)
{
    return cr0_write(f.cpu, f.cpu->cr0 ^ CR0_WP);
}

static bool by_invlpg(void)
{
    return RUN(&f, 0x0f, 0x01, 0x3d, 0x10, 0, 3, 0); /* invlpg [0x30010] */
}

static bool by_other_invlpg(void)
{
    return RUN(&f, 0x0f, 0x01, 0x3d, 0, 0x10, 3, 0);
}

Test(system, tlb_is_flushed_when_the_manual_says_so)
{
    identity_map();
    assert_flushes(by_nothing, false, false);
    assert_flushes(by_cr3, false, true);
    assert_flushes(by_invlpg, false, true);
    assert_flushes(by_other_invlpg, false, false);
    assert_flushes(by_pse, false, true);
    assert_flushes(by_wp, false, true);
    assert_flushes(by_pge, false, true); /* now on */
    assert_flushes(by_cr3, true, false);
    assert_flushes(by_cr3, false, true);
    assert_flushes(by_invlpg, true, true);
    assert_flushes(by_pse, true, true);
    assert_flushes(by_pge, true, true);
    cr_assert_not(f.cpu->cr4 & CR4_PGE);
}

Test(system, mov_cr_privilege_and_numbers)
{
    cr_assert(RUN(&f, 0x0f, 0x20, 0xc3)); /* mov ebx,cr0 */
    cr_assert_eq(f.cpu->gpr[RBX], f.cpu->cr0);
    f.cpu->gpr[RBX] = 0x12345678;
    cr_assert(RUN(&f, 0x0f, 0x22, 0xd3)); /* mov cr2,ebx */
    cr_assert_eq(f.cpu->cr2, 0x12345678);
    set_cpl(&f, 3);
    cr_assert_not(RUN(&f, 0x0f, 0x20, 0xc3));
    ASSERT_EXCEPTION(f.cpu, EXC_GP, 0);
    cr_assert_not(RUN(&f, 0x0f, 0x22, 0xd3));
    ASSERT_EXCEPTION(f.cpu, EXC_GP, 0);
}

Test(system, lmsw_sets_pe_and_never_clears_it)
{
    f.cpu->gpr[RAX] = 0xfff0 | CR0_TS | CR0_MP;
    cr_assert(RUN(&f, 0x0f, 0x01, 0xf0)); /* lmsw ax */
    cr_assert_eq(f.cpu->cr0, CR0_PE | CR0_ET | CR0_NE | CR0_TS | CR0_MP);
    cr_assert(RUN(&f, 0x0f, 0x06)); /* clts */
    cr_assert_eq(f.cpu->cr0, CR0_PE | CR0_ET | CR0_NE | CR0_MP);
    set_cpl(&f, 3);
    cr_assert(RUN(&f, 0x0f, 0x01, 0xe0)); /* smsw eax: any level */
    cr_assert_eq(f.cpu->gpr[RAX], f.cpu->cr0);
    cr_assert_not(RUN(&f, 0x0f, 0x06));
    ASSERT_EXCEPTION(f.cpu, EXC_GP, 0);
}

/* ---- Tables ------------------------------------------------------------------------------------------------ */

Test(system, lgdt_takes_24_or_32_bits_and_sgdt_gives_32)
{
    poke16(&f, 0x30000, 0x1234);
    poke32(&f, 0x30002, 0x89abcdef);
    cr_assert(RUN(&f, 0x0f, 0x01, 0x15, 0, 0, 3, 0)); /* lgdt [0x30000] */
    cr_assert_eq(f.cpu->gdtr.limit, 0x1234);
    cr_assert_eq(f.cpu->gdtr.base, 0x89abcdef);
    cr_assert(RUN(&f, 0x0f, 0x01, 0x05, 0x10, 0, 3, 0)); /* sgdt [0x30010] */
    cr_assert_eq(peek16(&f, 0x30010), 0x1234);
    cr_assert_eq(peek32(&f, 0x30012), 0x89abcdef);
    cr_assert(RUN(&f, 0x66, 0x0f, 0x01, 0x1d, 0, 0, 3, 0)); /* lidt with 16-bit operands */
    cr_assert_eq(f.cpu->idtr.base, 0xabcdef);
    set_cpl(&f, 3);
    cr_assert_not(RUN(&f, 0x0f, 0x01, 0x15, 0, 0, 3, 0));
    ASSERT_EXCEPTION(f.cpu, EXC_GP, 0);
}

/* ---- RDTSC, RDPMC, HLT, caches ------------------------------------------------------------------------------ */

Test(system, rdtsc_obeys_tsd)
{
    f.cpu->insn_count = 0x123456789;
    f.cpu->msr.tsc_offset = 0;
    set_cpl(&f, 3);
    cr_assert(RUN(&f, 0x0f, 0x31));
    cr_assert_eq(f.cpu->gpr[RAX], 0x23456789);
    cr_assert_eq(f.cpu->gpr[RDX], 1);
    f.cpu->cr4 |= CR4_TSD;
    cr_assert_not(RUN(&f, 0x0f, 0x31));
    ASSERT_EXCEPTION(f.cpu, EXC_GP, 0);
    set_cpl(&f, 0);
    cr_assert(RUN(&f, 0x0f, 0x31));
}

Test(system, privileged_instructions_need_cpl_0)
{
    static const uint8_t codes[][3] = {
        {0xf4}, {0x0f, 0x08}, {0x0f, 0x09}, {0x0f, 0x01, 0x38}, {0x0f, 0x33}, {0x0f, 0x35},
    };
    static const uint8_t lengths[] = {1, 2, 2, 3, 2, 2};
    set_cpl(&f, 3);
    for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
        cr_assert_not(run_bytes(&f, codes[i], lengths[i]), "row %zu", i);
        ASSERT_EXCEPTION(f.cpu, EXC_GP, 0);
    }
    set_cpl(&f, 0);
    cr_assert(RUN(&f, 0x0f, 0x09));
    cr_assert(RUN(&f, 0xf4));
    cr_assert(f.cpu->halted);
}

Test(system, hlt_after_sti_waits_with_interrupts_on)
{
    poke(&f, AT_CODE, (const uint8_t[]){0xfb, 0xf4, 0x90}, 3);
    idt_gate(&f, 0, SEL_CODE0, 0x50000, A_INT32);
    poke(&f, 0x50000, (const uint8_t[]){0x90, 0xf4}, 2);
    vcpu_set_intr(f.cpu, true);
    cr_assert_eq(interp_run(f.cpu, 2), VCPU_EXIT_BUDGET);
    cr_assert_eq(f.cpu->rip, AT_CODE + 2, "the shadow covers HLT");
    cr_assert(f.cpu->halted);
    cr_assert_eq(interp_run(f.cpu, 1), VCPU_EXIT_BUDGET);
    cr_assert_eq(f.cpu->rip, 0x50001);
    cr_assert_eq(stack_word(&f, 4, 0), AT_CODE + 2);
    cr_assert_not(f.cpu->halted);
}

Test(system, mwait_waits_only_when_an_interrupt_can_end_it)
{
    fixture_fini(&f);
    fixture_init_model(&f, "n270,+monitor");
    enter_protected(&f);
    f.cpu->gpr[RAX] = 0x30000;
    cr_assert(RUN(&f, 0x0f, 0x01, 0xc8)); /* monitor */
    cr_assert(RUN(&f, 0x0f, 0x01, 0xc9)); /* mwait */
    cr_assert_not(f.cpu->halted);
    f.cpu->rflags |= RFLAGS_IF;
    cr_assert(RUN(&f, 0x0f, 0x01, 0xc9));
    cr_assert(f.cpu->halted);
    f.cpu->halted = false;
    f.cpu->gpr[RCX] = 2;
    cr_assert_not(RUN(&f, 0x0f, 0x01, 0xc9));
    ASSERT_EXCEPTION(f.cpu, EXC_GP, 0);
    set_cpl(&f, 3);
    cr_assert_not(RUN(&f, 0x0f, 0x01, 0xc8));
    ASSERT_EXCEPTION(f.cpu, EXC_UD, 0);
}

/* ---- SYSENTER, SYSEXIT --------------------------------------------------------------------------------------- */

Test(system, sysenter_and_sysexit_change_levels_with_flat_segments)
{
    f.cpu->msr.sysenter_cs = 0x80;
    f.cpu->msr.sysenter_esp = 0x1f000;
    f.cpu->msr.sysenter_eip = 0x12345;
    set_cpl(&f, 3);
    f.cpu->rflags |= RFLAGS_IF | RFLAGS_CF;
    cr_assert(RUN(&f, 0x0f, 0x34));
    cr_assert_eq(f.cpu->cpl, 0);
    cr_assert_eq(f.cpu->rip, 0x12345);
    cr_assert_eq(f.cpu->gpr[RSP], 0x1f000);
    cr_assert_eq(f.cpu->seg[SEG_CS].selector, 0x80);
    cr_assert_eq(f.cpu->seg[SEG_CS].attr, 0xc09b);
    cr_assert_eq(f.cpu->seg[SEG_SS].selector, 0x88);
    cr_assert_eq(f.cpu->seg[SEG_SS].attr, 0xc093);
    cr_assert_eq(f.cpu->rflags, RFLAGS_FIXED1 | RFLAGS_CF);
    f.cpu->gpr[RCX] = AT_STACK3;
    f.cpu->gpr[RDX] = AT_CODE;
    cr_assert(RUN(&f, 0x0f, 0x35));
    cr_assert_eq(f.cpu->cpl, 3);
    cr_assert_eq(f.cpu->rip, AT_CODE);
    cr_assert_eq(f.cpu->gpr[RSP], AT_STACK3);
    cr_assert_eq(f.cpu->seg[SEG_CS].selector, 0x93);
    cr_assert_eq(f.cpu->seg[SEG_SS].selector, 0x9b);
    cr_assert_eq(f.cpu->seg[SEG_SS].attr, 0xc0f3);
}

Test(system, sysenter_without_target_or_in_real_mode_faults)
{
    f.cpu->msr.sysenter_cs = 3;
    cr_assert_not(RUN(&f, 0x0f, 0x34));
    ASSERT_EXCEPTION(f.cpu, EXC_GP, 0);
    cr_assert_not(RUN(&f, 0x0f, 0x35));
    ASSERT_EXCEPTION(f.cpu, EXC_GP, 0);
    enter_real(&f);
    f.cpu->msr.sysenter_cs = 0x80;
    cr_assert_not(RUN(&f, 0x0f, 0x34));
    ASSERT_EXCEPTION(f.cpu, EXC_GP, 0);
}

/* ---- Ports --------------------------------------------------------------------------------------------------- */

struct port {
    uint64_t last, answer;
    unsigned writes;
};

static uint64_t port_read(void *opaque, uint64_t offset, unsigned size)
{
    (void)offset;
    (void)size;
    return ((struct port *)opaque)->answer;
}

static void port_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct port *port = opaque;
    (void)offset;
    (void)size;
    port->last = value;
    port->writes++;
}

static const struct region_ops port_ops = {.read = port_read, .write = port_write};

Test(system, in_and_out_move_their_size)
{
    struct port port = {.answer = 0x89abcdef};
    struct region region;
    region_init_io(&region, "port", 0x80, 4, &port_ops, &port);
    addr_space_add(&f.io, &region);
    f.cpu->gpr[RAX] = 0x11223344;
    f.cpu->gpr[RDX] = 0xffff0080;
    cr_assert(RUN(&f, 0xe6, 0x80));
    cr_assert_eq(port.last, 0x44);
    cr_assert(RUN(&f, 0x66, 0xef));
    cr_assert_eq(port.last, 0x3344);
    cr_assert(RUN(&f, 0xe7, 0x80));
    cr_assert_eq(port.last, 0x11223344);
    cr_assert(RUN(&f, 0xec));
    cr_assert_eq(f.cpu->gpr[RAX], 0x112233ef);
    cr_assert(RUN(&f, 0x66, 0xe5, 0x80));
    cr_assert_eq(f.cpu->gpr[RAX], 0x1122cdef);
    cr_assert(RUN(&f, 0xed));
    cr_assert_eq(f.cpu->gpr[RAX], 0x89abcdef);
    f.cpu->gpr[RDX] = 0x1234;
    cr_assert(RUN(&f, 0xed));
    cr_assert_eq(f.cpu->gpr[RAX], 0xffffffff, "nobody answers");
    set_cpl(&f, 3);
    f.cpu->tr.limit = 0x67;
    port.writes = 0;
    cr_assert_not(RUN(&f, 0xe6, 0x80));
    ASSERT_EXCEPTION(f.cpu, EXC_GP, 0);
    cr_assert_eq(port.writes, 0);
    addr_space_remove(&f.io, &region);
}

static bool allowed(uint16_t port, unsigned size)
{
    f.cpu->exception = (struct exception){0};
    bool done = io_check(f.cpu, port, size);
    if (!done) {
        ASSERT_EXCEPTION(f.cpu, EXC_GP, 0);
    }
    return done;
}

Test(system, iopl_allows_every_port_and_v86_always_asks_the_map)
{
    f.cpu->tr.limit = 0x67;
    set_cpl(&f, 3);
    cr_assert_not(allowed(0x80, 1));
    f.cpu->rflags |= RFLAGS_IOPL;
    cr_assert(allowed(0x80, 1));
    enter_v86(&f, 3);
    f.cpu->tr.limit = 0x67;
    cr_assert_not(allowed(0x80, 1));
    enter_real(&f);
    f.cpu->tr.limit = 0;
    cr_assert(allowed(0x80, 1));
}

Test(system, bitmap_needs_all_bits_of_the_access_clear)
{
    set_cpl(&f, 3);
    /* ports 0x3f8-0x3ff: 0x3f9 forbidden; 0x400 forbidden */
    *ram_ptr(&f.ram, AT_TSS + 0x68 + 0x7f) = 1 << 1;
    *ram_ptr(&f.ram, AT_TSS + 0x68 + 0x80) = 1 << 0;
    cr_assert(allowed(0x3f8, 1));
    cr_assert_not(allowed(0x3f8, 2));
    cr_assert_not(allowed(0x3f9, 1));
    cr_assert(allowed(0x3fa, 4));
    cr_assert(allowed(0x3fe, 2));
    cr_assert_not(allowed(0x3fe, 4), "across the byte");
    cr_assert_not(allowed(0x3ff, 2));
    cr_assert(allowed(0x401, 4));
}

Test(system, bitmap_ends_with_the_tss)
{
    set_cpl(&f, 3);
    f.cpu->tr.limit = 0x68 + 0x10; /* 17 bytes of map */
    cr_assert(allowed(0x7f, 1), "the second byte read is the last");
    cr_assert_not(allowed(0x80, 1), "two bytes are read whatever the port");
    f.cpu->tr.limit = 0x66;
    cr_assert_not(allowed(0, 1), "too short to hold the base");
    f.cpu->tr.limit = 0x2067;
    poke16(&f, AT_TSS + 0x66, 0xffff);
    cr_assert_not(allowed(0, 1), "a base beyond the limit forbids all");
    poke16(&f, AT_TSS + 0x66, 0x68);
    cr_assert(allowed(0xffef, 1));
    f.cpu->tr.attr = A_TSS16_BUSY;
    cr_assert_not(allowed(0, 1), "a 16-bit TSS has no map");
}
