/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The processor's life cycle: reset state, derived state, pins, time stamp, snapshots, and its printed form.
 * SDM: Volume 3A, "Processor State After Reset".
 */
#include <stdlib.h>

#include "base/clock.h"
#include "system_fixture.h"

static struct fixture f;

static void setup(void)
{
    fixture_init(&f);
}

static void teardown(void)
{
    fixture_fini(&f);
}

TestSuite(vcpu, .init = setup, .fini = teardown);

Test(vcpu, reset_state_is_the_manuals_table)
{
    const struct vcpu *cpu = f.cpu;

    cr_assert_eq(cpu->rip, 0xfff0);
    cr_assert_eq(cpu->rflags, 2);
    cr_assert_eq(cpu->cr0, 0x60000010);
    cr_assert_eq(cpu->cr2 | cpu->cr3 | cpu->cr4, 0);
    cr_assert_eq(cpu->gpr[RDX], 0x106c2);
    cr_assert_eq(cpu->gpr[RAX] | cpu->gpr[RBX] | cpu->gpr[RCX] | cpu->gpr[RSP], 0);
    cr_assert_eq(cpu->seg[SEG_CS].selector, 0xf000);
    cr_assert_eq(cpu->seg[SEG_CS].base, 0xffff0000);
    for (unsigned i = 0; i < SEG_COUNT; i++) {
        cr_assert_eq(cpu->seg[i].limit, 0xffff);
        cr_assert_eq(cpu->seg[i].attr, i == SEG_CS ? 0x9b : 0x93);
        cr_assert(i == SEG_CS || (cpu->seg[i].selector == 0 && cpu->seg[i].base == 0));
    }
    cr_assert_eq(cpu->gdtr.limit, 0xffff);
    cr_assert_eq(cpu->idtr.limit, 0xffff);
    cr_assert_eq(cpu->gdtr.base | cpu->idtr.base, 0);
    cr_assert_eq(cpu->dr[6], 0xffff0ff0);
    cr_assert_eq(cpu->dr[7], 0x400);
    cr_assert_eq(cpu->fpu.fcw, 0x40);
    cr_assert_eq(cpu->fpu.ftw, 0xff);
    cr_assert_eq(cpu->fpu.mxcsr, 0x1f80);
    cr_assert_eq(cpu->msr.apic_base, 0xfee00900);
    cr_assert_eq(cpu->msr.pat, 0x0007040600070406);
    cr_assert_eq(vcpu_tsc(cpu), 0);
    cr_assert(cpu->a20);
    cr_assert_eq(cpu->cpl, 0);
    cr_assert_not(cpu->protected_mode);
    cr_assert_not(cpu->code32);
    cr_assert_eq(cpu->paging.mode, PAGING_OFF);
    cr_assert_eq(cpu->attention, 0);
}

Test(vcpu, reset_equals_creation_field_by_field)
{
    struct fixture fresh;
    struct error difference = {.text = ""};

    enter_v86(&f, 3);
    f.cpu->halted = true;
    f.cpu->shadow = SHADOW_STI;
    f.cpu->msr.mtrr_base[3] = 6;
    f.cpu->msr.efer = EFER_NXE;
    cr_assert(debug_write_dr(f.cpu, 7, 0xffff));
    vcpu_set_intr(f.cpu, true);
    vcpu_set_nmi(f.cpu);
    vcpu_set_a20(f.cpu, false);
    vcpu_reset(f.cpu);
    fixture_init(&fresh);
    cr_assert(snap_equal(&vcpu_snap, f.cpu, fresh.cpu, &difference), "%s", difference.text);
    cr_assert_eq(f.cpu->attention, fresh.cpu->attention);
    cr_assert_eq(f.cpu->flat, fresh.cpu->flat);
    fixture_fini(&fresh);
}

/* ---- Derived state ----------------------------------------------------------------------------------------- */

Test(vcpu, mode_bits_follow_pe_vm_and_the_stack_segment)
{
    enter_protected(&f);
    cr_assert(f.cpu->protected_mode && !f.cpu->v86 && f.cpu->cpl == 0 && f.cpu->code32 && f.cpu->stack32);
    cr_assert_eq(f.cpu->flat, 0x3f);
    set_cpl(&f, 3);
    cr_assert(f.cpu->user_view);
    cr_assert_eq(f.cpu->cpl, 3);
    enter_v86(&f, 0);
    cr_assert(f.cpu->v86 && !f.cpu->protected_mode && f.cpu->cpl == 3 && !f.cpu->code32 && !f.cpu->stack32);
    cr_assert_eq(f.cpu->flat, 0);
}

Test(vcpu, paging_context_follows_the_registers)
{
    f.cpu->cr0 = CR0_PE | CR0_PG | CR0_WP | CR0_ET;
    f.cpu->cr3 = 0x5000;
    vcpu_sync(f.cpu);
    cr_assert_eq(f.cpu->paging.mode, PAGING_32BIT);
    cr_assert(f.cpu->paging.wp && !f.cpu->paging.pse && !f.cpu->paging.nx);
    cr_assert_eq(f.cpu->paging.cr3, 0x5000);
    f.cpu->cr4 = CR4_PAE | CR4_PGE | CR4_PSE;
    f.cpu->msr.efer = EFER_NXE;
    f.cpu->pdpte[2] = 0x6001;
    vcpu_sync(f.cpu);
    cr_assert_eq(f.cpu->paging.mode, PAGING_PAE);
    cr_assert(f.cpu->paging.pge && f.cpu->paging.pse && f.cpu->paging.nx);
    cr_assert_eq(f.cpu->paging.pdpte[2], 0x6001);
}

Test(vcpu, a20_masks_bit_20)
{
    enter_real(&f);
    poke(&f, 0x000500, (const uint8_t[]){0x11}, 1);
    poke(&f, 0x100500, (const uint8_t[]){0x22}, 1);
    segment_load_real(f.cpu, SEG_DS, 0xffff);
    cr_assert(RUN(&f, 0xa0, 0x10, 0x05)); /* mov al,[ffff:0510] */
    cr_assert_eq(reg8(f.cpu, RAX), 0x22);
    vcpu_set_a20(f.cpu, false);
    cr_assert(RUN(&f, 0xa0, 0x10, 0x05));
    cr_assert_eq(reg8(f.cpu, RAX), 0x11);
    vcpu_set_a20(f.cpu, true);
    cr_assert(RUN(&f, 0xa0, 0x10, 0x05));
    cr_assert_eq(reg8(f.cpu, RAX), 0x22);
}

/* ---- Pins ---------------------------------------------------------------------------------------------------- */

Test(vcpu, work_is_an_enabled_interrupt_or_an_unblocked_nmi)
{
    cr_assert_not(vcpu_has_work(f.cpu));
    vcpu_set_intr(f.cpu, true);
    cr_assert_not(vcpu_has_work(f.cpu));
    rflags_set(f.cpu, RFLAGS_IF, RFLAGS_IF);
    cr_assert(vcpu_has_work(f.cpu));
    cr_assert(f.cpu->attention & ATTENTION_INTR);
    vcpu_set_intr(f.cpu, false);
    cr_assert_not(vcpu_has_work(f.cpu));
    cr_assert_eq(f.cpu->attention, 0);
    vcpu_set_nmi(f.cpu);
    cr_assert(vcpu_has_work(f.cpu));
}

Test(vcpu, kick_survives_other_changes_of_attention)
{
    vcpu_kick(f.cpu);
    vcpu_set_intr(f.cpu, true);
    rflags_set(f.cpu, RFLAGS_IF, RFLAGS_IF);
    vcpu_set_intr(f.cpu, false);
    cr_assert_eq(f.cpu->attention, ATTENTION_KICK);
    vcpu_reset(f.cpu);
    cr_assert_eq(f.cpu->attention, ATTENTION_KICK);
}

static void count_ferr(void *board, bool level)
{
    unsigned *calls = board;
    *calls += level ? 100 : 1;
}

Test(vcpu, clear_ferr_releases_the_pin_once)
{
    unsigned calls = 0;
    f.cpu->wiring.ferr = count_ferr;
    f.cpu->wiring.board = &calls;
    vcpu_clear_ferr(f.cpu);
    cr_assert_eq(calls, 0);
    f.cpu->ferr = true;
    vcpu_clear_ferr(f.cpu);
    vcpu_clear_ferr(f.cpu);
    cr_assert_eq(calls, 1);
    cr_assert_not(f.cpu->ferr);
}

/* ---- Time ---------------------------------------------------------------------------------------------------- */

Test(vcpu, tsc_follows_the_clock_at_its_rate)
{
    struct clock clock;
    clock_init(&clock, CLOCK_STEPPED);
    f.cpu->wiring.clock = &clock;
    clock_step_to(&clock, 5000);
    f.cpu->tsc_hz = 2500000000;
    cr_assert_eq(vcpu_tsc(f.cpu), 12500);
    vcpu_reset(f.cpu);
    cr_assert_eq(vcpu_tsc(f.cpu), 0);
    clock_step_to(&clock, 6000);
    cr_assert_eq(vcpu_tsc(f.cpu), 2500);
    cr_assert(msr_write(f.cpu, 0x10, 0x1234567890));
    cr_assert_eq(vcpu_tsc(f.cpu), 0x1234567890);
}

Test(vcpu, tsc_counts_instructions_without_a_clock)
{
    f.cpu->insn_count = 77;
    cr_assert_eq(vcpu_tsc(f.cpu), 77);
}

/* ---- Memory that changes -------------------------------------------------------------------------------------- */

Test(vcpu, region_change_is_seen_by_the_next_access)
{
    enter_protected(&f);
    poke32(&f, 0x30000, 0x55);
    cr_assert(RUN(&f, 0xa1, 0, 0, 3, 0));
    cr_assert_eq(f.cpu->gpr[RAX], 0x55);
    region_set_enabled(&f.region, false);
    cr_assert(RUN(&f, 0xa1, 0, 0, 3, 0));
    cr_assert_eq(f.cpu->gpr[RAX], 0xffffffff);
}

Test(vcpu, memory_can_outlive_the_processor)
{
    vcpu_destroy(f.cpu);
    region_set_enabled(&f.region, false);
    ram_watch_set(&f.ram, 3, RAM_WATCH_DISPLAY);
    cr_assert(ram_watched(&f.ram, 3 * PAGE_SIZE));
    f.cpu = NULL;
}

/* ---- Snapshots -------------------------------------------------------------------------------------------------- */

static struct snap_writer save(const struct vcpu *cpu)
{
    struct snap_writer writer;
    snap_writer_init(&writer);
    snap_save(&writer, &vcpu_snap, cpu);
    cr_assert_not(writer.failed);
    return writer;
}

static int load(struct vcpu *cpu, const struct snap_writer *writer, struct error *error)
{
    struct snap_reader reader = {.data = writer->data, .length = writer->length};
    return snap_load(&reader, &vcpu_snap, cpu, error);
}

static void scribble(struct vcpu *cpu)
{
    for (unsigned i = 0; i < 8; i++) {
        cpu->gpr[i] = 0x1000 + i;
        memset(cpu->fpu.st[i], (int)i + 1, 10);
        memset(cpu->fpu.xmm[i], (int)i + 0x80, 16);
    }
    cpu->cr2 = 0xabc;
    cpu->msr.sysenter_eip = 0xc0100000;
    cpu->msr.tsc_offset = 0x123456789abc;
    cpu->shadow = SHADOW_STI;
    cpu->nmi_pending = true;
    cpu->pending_dr6 = DR6_BS;
    cpu->insn_count = 999;
}

Test(vcpu, save_load_save_is_identical_and_rebuilds_derived_state)
{
    struct fixture other;
    struct error error = {.text = ""};

    enter_v86(&f, 2);
    scribble(f.cpu);
    vcpu_sync(f.cpu);
    fixture_init(&other);
    struct snap_writer first = save(f.cpu);
    cr_assert_eq(load(other.cpu, &first, &error), 0, "%s", error.text);
    struct snap_writer second = save(other.cpu);
    cr_assert_eq(first.length, second.length);
    cr_assert_eq(memcmp(first.data, second.data, first.length), 0);
    cr_assert(snap_equal(&vcpu_snap, f.cpu, other.cpu, &error), "%s", error.text);
    cr_assert(other.cpu->v86);
    cr_assert_eq(other.cpu->cpl, 3);
    cr_assert_eq(other.cpu->flat, f.cpu->flat);
    cr_assert_eq(other.cpu->attention, f.cpu->attention);
    cr_assert_eq(memcmp(other.cpu->fpu.st, f.cpu->fpu.st, sizeof(f.cpu->fpu.st)), 0);
    snap_writer_fini(&first);
    snap_writer_fini(&second);
    fixture_fini(&other);
}

Test(vcpu, impossible_states_are_refused_by_name)
{
    struct {
        uint64_t cr0, cr4, efer, rflags;
        uint32_t mxcsr;
        const char *text;
    } rows[] = {
        {CR0_PG, 0, 0, 2, 0x1f80, "PG without PE"}, {BIT(7), 0, 0, 2, 0x1f80, "CR0: reserved"},
        {0, BIT(20), 0, 2, 0x1f80, "CR4"},          {0, 0, EFER_LME, 2, 0x1f80, "EFER"},
        {0, 0, 0, 0, 0x1f80, "RFLAGS: reserved"},   {0, 0, 0, 2 | BIT(15), 0x1f80, "RFLAGS: reserved"},
        {0, 0, 0, 2 | RFLAGS_VM, 0x1f80, "VM"},     {0, 0, 0, 2, 0x10000, "MXCSR"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct error error = {.text = ""};
        vcpu_reset(f.cpu);
        f.cpu->cr0 = rows[i].cr0;
        f.cpu->cr4 = rows[i].cr4;
        f.cpu->msr.efer = rows[i].efer;
        f.cpu->rflags = rows[i].rflags;
        f.cpu->fpu.mxcsr = rows[i].mxcsr;
        struct snap_writer writer = save(f.cpu);
        vcpu_reset(f.cpu);
        cr_assert_lt(load(f.cpu, &writer, &error), 0, "row %zu", i);
        cr_assert_not_null(strstr(error.text, rows[i].text), "%s", error.text);
        snap_writer_fini(&writer);
    }
}

Test(vcpu, impossible_fpu_words_are_refused)
{
    struct {
        uint16_t fcw, fsw;
        const char *text;
    } rows[] = {
        {0x0000, 0, "FCW"},      {0x2040, 0, "FCW"},      {0x00c0, 0, "FCW"},
        {0x037f, 0x8081, "FSW"}, {0x0340, 0x0001, "FSW"}, {0x0340, 0x0081, "FSW"},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct error error = {.text = ""};
        vcpu_reset(f.cpu);
        f.cpu->fpu.fcw = rows[i].fcw;
        f.cpu->fpu.fsw = rows[i].fsw;
        struct snap_writer writer = save(f.cpu);
        vcpu_reset(f.cpu);
        cr_assert_lt(load(f.cpu, &writer, &error), 0, "row %zu", i);
        cr_assert_not_null(strstr(error.text, rows[i].text), "row %zu: %s", i, error.text);
        snap_writer_fini(&writer);
    }
}

/* ---- Printing ---------------------------------------------------------------------------------------------------- */

static char *print(const struct vcpu *cpu)
{
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);
    cr_assert_not_null(stream);
    vcpu_print(stream, cpu);
    fclose(stream);
    return text;
}

static void assert_prints(const char *line)
{
    char *text = print(f.cpu);
    cr_assert_not_null(strstr(text, line), "'%s' is not in\n%s", line, text);
    free(text);
}

Test(vcpu, prints_registers_as_qemu_does)
{
    assert_prints("EAX=00000000 EBX=00000000 ECX=00000000 EDX=000106c2\n");
    assert_prints("EIP=0000fff0 EFL=00000002 [-------] CPL=0 II=0 A20=1 SMM=0 HLT=0\n");
    assert_prints("CS =f000 ffff0000 0000ffff 00009b00\n");
    assert_prints("LDT=0000 00000000 0000ffff 00008200\n");
    assert_prints("GDT=     00000000 0000ffff\n");
    assert_prints("CR0=60000010 CR2=00000000 CR3=00000000 CR4=00000000\n");
    assert_prints("DR6=ffff0ff0 DR7=00000400\n");
    enter_protected(&f);
    assert_prints("CS =0008 00000000 ffffffff 00cf9b00 DPL=0 CS32 [-RA]\n");
    assert_prints("DS =0010 00000000 ffffffff 00cf9300 DPL=0 DS   [-WA]\n");
    assert_prints("TR =0028 00004000 00002067 00008b00 DPL=0 TSS32-busy\n");
    f.cpu->rflags |= RFLAGS_CF | RFLAGS_OF | RFLAGS_DF;
    assert_prints("EFL=00000c03 [DO----C]");
}

Test(vcpu, prints_fpu_registers_in_physical_order)
{
    f.cpu->fpu.fsw = 3 << 11;
    store_le64(f.cpu->fpu.st[0], 0x8000000000000000);
    store_le16(f.cpu->fpu.st[0] + 8, 0x3fff);
    assert_prints("FSW=0000 [ST=3]");
    assert_prints("FPR3=8000000000000000 3fff\n");
}
