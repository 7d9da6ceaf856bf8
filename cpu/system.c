/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * System instructions: control and debug registers, descriptor-table registers, caches, time stamp, SYSENTER.
 *
 * SDM: Volume 2A-2B, the instructions by name; Volume 3A, "Control Registers", "Paging" (PDPTE registers,
 * invalidation of TLBs), "Performing Fast Calls to System Procedures with SYSENTER and SYSEXIT".
 *
 * DEVIATION: SGDT and SIDT store 32 base bits with a 16-bit operand size too, as processors since the 386 do;
 * the manual says the top byte is zero.
 *
 * MWAIT is a HLT that an interrupt ends; with interrupts masked, or after the monitored line was or might have
 * been written, it does nothing, which the manual allows for any reason. NOT modelled: cache control (CR0.CD and
 * NW, INVD, WBINVD have nothing to act on), SMM (RSM is #UD outside it).
 */
#include "cpu/system.h"

#include "cpu/cpuid.h"
#include "cpu/debug.h"
#include "cpu/descriptor.h"
#include "cpu/exec.h"
#include "cpu/insn.h"

static bool require_cpl0(struct vcpu *cpu)
{
    return cpu->cpl == 0 || raise_error(cpu, EXC_GP, 0);
}

/* ---- Control registers ---------------------------------------------------------------------------------- */

uint64_t cr4_supported(uint64_t features)
{
    static const struct {
        uint64_t feature, bits;
    } rows[] = {
        {CPU_FEATURE_VME, CR4_VME | CR4_PVI}, {CPU_FEATURE_TSC, CR4_TSD},  {CPU_FEATURE_DE, CR4_DE},
        {CPU_FEATURE_PSE, CR4_PSE},           {CPU_FEATURE_PAE, CR4_PAE},  {CPU_FEATURE_MCE, CR4_MCE},
        {CPU_FEATURE_PGE, CR4_PGE},           {CPU_FEATURE_NOPL, CR4_PCE}, {CPU_FEATURE_FXSR, CR4_OSFXSR},
        {CPU_FEATURE_SSE, CR4_OSXMMEXCPT},
    };
    uint64_t bits = 0;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        bits |= (features & rows[i].feature) ? rows[i].bits : 0;
    }
    return bits;
}

/* PAE paging in these registers: read the PDPTE registers from cr3, or #GP(0) with nothing changed. */
static bool load_pdptes(struct vcpu *cpu, uint64_t cr3)
{
    struct paging_ctx ctx = cpu->paging;

    ctx.cr3 = cr3;
    if (!pagewalk_load_pdptes(&ctx)) {
        return raise_error(cpu, EXC_GP, 0);
    }
    memcpy(cpu->pdpte, ctx.pdpte, sizeof(cpu->pdpte));
    return true;
}

/* Is PAE paging in use with these values? */
static bool pae_paging(uint64_t cr0, uint64_t cr4)
{
    return (cr0 & CR0_PG) && (cr4 & CR4_PAE);
}

bool cr0_write(struct vcpu *cpu, uint64_t value)
{
    uint64_t old = cpu->cr0;

    value = (value & CR0_WRITABLE) | CR0_ET;
    if (((value & CR0_PG) && !(value & CR0_PE)) || ((value & CR0_NW) && !(value & CR0_CD))) {
        return raise_error(cpu, EXC_GP, 0);
    }
    uint64_t changed = old ^ value;
    if (pae_paging(value, cpu->cr4) && (changed & (CR0_PG | CR0_CD | CR0_NW))) {
        TRY(load_pdptes(cpu, cpu->cr3));
    }
    cpu->cr0 = value;
    if (changed & CR0_PE) {
        vcpu_sync_mode(cpu);
    }
    if (changed & (CR0_PG | CR0_WP | CR0_PE | CR0_CD | CR0_NW)) {
        vcpu_sync_paging(cpu);
        vcpu_flush_tlb(cpu, false);
    }
    return true;
}

bool cr3_write(struct vcpu *cpu, uint64_t value)
{
    value = (uint32_t)value;
    if (pae_paging(cpu->cr0, cpu->cr4)) {
        TRY(load_pdptes(cpu, value));
    }
    cpu->cr3 = value;
    vcpu_sync_paging(cpu);
    vcpu_switch_space(cpu);
    return true;
}

bool cr4_write(struct vcpu *cpu, uint64_t value)
{
    uint64_t changed = cpu->cr4 ^ value;

    if (value & ~cr4_supported(cpu->features)) {
        return raise_error(cpu, EXC_GP, 0);
    }
    if (pae_paging(cpu->cr0, value) && (changed & (CR4_PAE | CR4_PGE | CR4_PSE))) {
        TRY(load_pdptes(cpu, cpu->cr3));
    }
    cpu->cr4 = value;
    if (changed & (CR4_PAE | CR4_PGE | CR4_PSE)) {
        vcpu_sync_paging(cpu);
        vcpu_flush_tlb(cpu, false);
    }
    return true;
}

/* CR4 came with the features that it controls. */
static bool require_cr(struct vcpu *cpu, unsigned n)
{
    bool exists = n == 0 || n == 2 || n == 3 || (n == 4 && cr4_supported(cpu->features));
    return exists || raise_exception(cpu, EXC_UD);
}

bool exec_mov_Rd_Cd(struct vcpu *cpu, const struct insn *insn)
{
    TRY(require_cr(cpu, insn->reg));
    TRY(require_cpl0(cpu));
    switch (insn->reg) {
    case 0:
        set_reg32(cpu, insn->rm, (uint32_t)cpu->cr0);
        break;
    case 2:
        set_reg32(cpu, insn->rm, (uint32_t)cpu->cr2);
        break;
    case 3:
        set_reg32(cpu, insn->rm, (uint32_t)cpu->cr3);
        break;
    default:
        set_reg32(cpu, insn->rm, (uint32_t)cpu->cr4);
        break;
    }
    return true;
}

bool exec_mov_Cd_Rd(struct vcpu *cpu, const struct insn *insn)
{
    uint32_t value = reg32(cpu, insn->rm);

    TRY(require_cr(cpu, insn->reg));
    TRY(require_cpl0(cpu));
    switch (insn->reg) {
    case 0:
        return cr0_write(cpu, value);
    case 2:
        cpu->cr2 = value;
        return true;
    case 3:
        return cr3_write(cpu, value);
    default:
        return cr4_write(cpu, value);
    }
}

bool exec_clts(struct vcpu *cpu, const struct insn *insn)
{
    (void)insn;
    TRY(require_cpl0(cpu));
    cpu->cr0 &= ~CR0_TS;
    return true;
}

bool exec_smsw(struct vcpu *cpu, const struct insn *insn)
{
    return operand_write_system(cpu, insn, (uint32_t)cpu->cr0);
}

bool exec_lmsw(struct vcpu *cpu, const struct insn *insn)
{
    uint16_t value;

    TRY(require_cpl0(cpu));
    TRY(operand_read16(cpu, insn, &value));
    uint64_t msw = CR0_PE | CR0_MP | CR0_EM | CR0_TS;
    return cr0_write(cpu, (cpu->cr0 & (~msw | CR0_PE)) | (value & msw)); /* PE can be set, not cleared */
}

/* ---- Debug registers ------------------------------------------------------------------------------------ */

bool exec_mov_Rd_Dd(struct vcpu *cpu, const struct insn *insn)
{
    uint32_t value;

    TRY(require_cpl0(cpu));
    TRY(debug_read_dr(cpu, insn->reg, &value));
    set_reg32(cpu, insn->rm, value);
    return true;
}

bool exec_mov_Dd_Rd(struct vcpu *cpu, const struct insn *insn)
{
    TRY(require_cpl0(cpu));
    return debug_write_dr(cpu, insn->reg, reg32(cpu, insn->rm));
}

/* ---- Descriptor-table registers -------------------------------------------------------------------------- */

static bool store_table(struct vcpu *cpu, const struct insn *insn, const struct table_register *table)
{
    uint8_t bytes[6];

    store_le16(bytes, table->limit);
    store_le32(bytes + 2, (uint32_t)table->base);
    return mem_write(cpu, (enum sreg)insn->seg, insn_ea(cpu, insn), bytes, sizeof(bytes), 0);
}

static bool load_table(struct vcpu *cpu, const struct insn *insn, struct table_register *table)
{
    uint8_t bytes[6];

    TRY(require_cpl0(cpu));
    TRY(mem_read(cpu, (enum sreg)insn->seg, insn_ea(cpu, insn), bytes, sizeof(bytes), 0));
    table->limit = load_le16(bytes);
    table->base = load_le32(bytes + 2) & (insn->opsize == 2 ? 0x00ffffff : 0xffffffff);
    return true;
}

bool exec_sgdt(struct vcpu *cpu, const struct insn *insn)
{
    return store_table(cpu, insn, &cpu->gdtr);
}

bool exec_sidt(struct vcpu *cpu, const struct insn *insn)
{
    return store_table(cpu, insn, &cpu->idtr);
}

bool exec_lgdt(struct vcpu *cpu, const struct insn *insn)
{
    return load_table(cpu, insn, &cpu->gdtr);
}

bool exec_lidt(struct vcpu *cpu, const struct insn *insn)
{
    return load_table(cpu, insn, &cpu->idtr);
}

/* ---- Caches and TLB -------------------------------------------------------------------------------------- */

bool exec_invd(struct vcpu *cpu, const struct insn *insn)
{
    (void)insn;
    return require_cpl0(cpu);
}

bool exec_wbinvd(struct vcpu *cpu, const struct insn *insn)
{
    (void)insn;
    return require_cpl0(cpu);
}

bool exec_invlpg(struct vcpu *cpu, const struct insn *insn)
{
    TRY(require_cpl0(cpu));
    vcpu_flush_page(cpu, (uint32_t)(cpu->seg[insn->seg].base + insn_ea(cpu, insn)));
    return true;
}

/* ---- Waiting --------------------------------------------------------------------------------------------- */

bool exec_hlt(struct vcpu *cpu, const struct insn *insn)
{
    (void)insn;
    TRY(require_cpl0(cpu));
    cpu->halted = true;
    return true;
}

bool exec_monitor(struct vcpu *cpu, const struct insn *insn)
{
    enum sreg seg = insn->seg_override ? (enum sreg)insn->seg : SEG_DS;
    uint32_t offset = insn->addrsize == 2 ? reg16(cpu, RAX) : reg32(cpu, RAX);
    uint8_t value;

    TRY(cpu->cpl == 0 || raise_exception(cpu, EXC_UD));
    if (reg32(cpu, RCX) != 0) { /* no extensions are defined */
        return raise_error(cpu, EXC_GP, 0);
    }
    return mem_read8(cpu, seg, offset, &value);
}

bool exec_mwait(struct vcpu *cpu, const struct insn *insn)
{
    (void)insn;
    TRY(cpu->cpl == 0 || raise_exception(cpu, EXC_UD));
    if (reg32(cpu, RCX) & ~1u) { /* bit 0: masked interrupts end the wait too */
        return raise_error(cpu, EXC_GP, 0);
    }
    cpu->halted = cpu->rflags & RFLAGS_IF;
    return true;
}

/* ---- Identification, MSRs, counters ---------------------------------------------------------------------- */

bool exec_cpuid(struct vcpu *cpu, const struct insn *insn)
{
    uint32_t regs[4];

    (void)insn;
    if (reg32(cpu, RAX) == 1) {
        cpu->msr.microcode = BIT(32); /* IA32_BIOS_SIGN_ID shows the revision after CPUID.1 */
    }
    cpuid_read(cpu, reg32(cpu, RAX), reg32(cpu, RCX), regs);
    set_reg32(cpu, RAX, regs[0]);
    set_reg32(cpu, RBX, regs[1]);
    set_reg32(cpu, RCX, regs[2]);
    set_reg32(cpu, RDX, regs[3]);
    return true;
}

static void set_edx_eax(struct vcpu *cpu, uint64_t value)
{
    set_reg32(cpu, RAX, (uint32_t)value);
    set_reg32(cpu, RDX, (uint32_t)(value >> 32));
}

bool exec_rdmsr(struct vcpu *cpu, const struct insn *insn)
{
    uint64_t value;

    (void)insn;
    TRY(require_cpl0(cpu));
    TRY(msr_read(cpu, reg32(cpu, RCX), &value));
    set_edx_eax(cpu, value);
    return true;
}

bool exec_wrmsr(struct vcpu *cpu, const struct insn *insn)
{
    (void)insn;
    TRY(require_cpl0(cpu));
    return msr_write(cpu, reg32(cpu, RCX), (uint64_t)reg32(cpu, RDX) << 32 | reg32(cpu, RAX));
}

bool exec_rdtsc(struct vcpu *cpu, const struct insn *insn)
{
    (void)insn;
    if ((cpu->cr4 & CR4_TSD) && cpu->cpl != 0) {
        return raise_error(cpu, EXC_GP, 0);
    }
    set_edx_eax(cpu, vcpu_tsc(cpu));
    return true;
}

/* No counter exists, so whoever may read one reads an invalid one. */
bool exec_rdpmc(struct vcpu *cpu, const struct insn *insn)
{
    (void)insn;
    return raise_error(cpu, EXC_GP, 0);
}

bool exec_rsm(struct vcpu *cpu, const struct insn *insn)
{
    (void)insn;
    return raise_exception(cpu, EXC_UD);
}

/* ---- SYSENTER, SYSEXIT ----------------------------------------------------------------------------------- */

/* Flat 4 GiB segments, whatever the descriptor tables hold. */
static void load_flat(struct vcpu *cpu, enum sreg which, uint16_t selector, unsigned dpl)
{
    uint64_t type = SEG_TYPE_ACCESSED | SEG_TYPE_RW | (which == SEG_CS ? SEG_TYPE_CODE : 0);

    cpu->seg[which] = (struct segment){
        .selector = selector,
        .attr = (uint32_t)(SEG_G | SEG_DB | SEG_P | SEG_S | dpl << SEG_DPL_SHIFT | type),
        .limit = UINT32_MAX,
    };
}

bool exec_sysenter(struct vcpu *cpu, const struct insn *insn)
{
    uint16_t selector = cpu->msr.sysenter_cs & 0xfffc;

    (void)insn;
    if (!(cpu->cr0 & CR0_PE) || selector == 0) {
        return raise_error(cpu, EXC_GP, 0);
    }
    rflags_set(cpu, 0, RFLAGS_VM | RFLAGS_IF | RFLAGS_RF);
    load_flat(cpu, SEG_CS, selector, 0);
    load_flat(cpu, SEG_SS, (uint16_t)(selector + 8), 0);
    vcpu_sync_mode(cpu);
    cpu->gpr[RSP] = (uint32_t)cpu->msr.sysenter_esp;
    cpu->next_rip = (uint32_t)cpu->msr.sysenter_eip;
    return true;
}

bool exec_sysexit(struct vcpu *cpu, const struct insn *insn)
{
    uint16_t selector = cpu->msr.sysenter_cs & 0xfffc;

    (void)insn;
    if (!cpu->protected_mode || cpu->cpl != 0 || selector == 0) {
        return raise_error(cpu, EXC_GP, 0);
    }
    load_flat(cpu, SEG_CS, (uint16_t)((selector + 16) | 3), 3);
    load_flat(cpu, SEG_SS, (uint16_t)((selector + 24) | 3), 3);
    vcpu_sync_mode(cpu);
    cpu->gpr[RSP] = reg32(cpu, RCX);
    cpu->next_rip = reg32(cpu, RDX);
    return true;
}
