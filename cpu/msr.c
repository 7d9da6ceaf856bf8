/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Model-specific registers: RDMSR and WRMSR.
 *
 * SDM: Volume 4, "MSRs in the P6 Family Processors", "... in Intel Core Solo and Intel Core Duo", "... in the
 * Intel Atom Processor Family"; Volume 3A, "Memory Cache Control" (MTRRs, PAT); Volume 3B, "Machine-Check
 * Architecture".
 *
 * Present are those that firmware and operating systems use on the models of cpu/cpuid.c. An MSR exists when
 * the model's features (or its family) say so; every other index is #GP(0), logged under `unimp`.
 *
 * DEVIATION: memory types (MTRRs, PAT) are stored and checked, without effect on memory accesses.
 * DEVIATION: IA32_DEBUGCTL reads as 0 and ignores LBR and BTF; the last-branch MSRs read as 0.
 * DEVIATION: a microcode update is accepted and changes nothing; the revision stays 1.
 *
 * NOT modelled: performance counters (CPUID leaf 0AH reports none), frequency changes, thermal interrupts.
 */
#include "cpu/cpuid.h"
#include "cpu/insn.h"

enum msr_index {
    MSR_P5_MC_ADDR = 0x0,
    MSR_P5_MC_TYPE = 0x1,
    MSR_IA32_TSC = 0x10,
    MSR_IA32_PLATFORM_ID = 0x17,
    MSR_IA32_APIC_BASE = 0x1b,
    MSR_EBL_CR_POWERON = 0x2a,
    MSR_IA32_BIOS_UPDT_TRIG = 0x79,
    MSR_IA32_BIOS_SIGN_ID = 0x8b,
    MSR_FSB_FREQ = 0xcd,
    MSR_IA32_MTRRCAP = 0xfe,
    MSR_IA32_SYSENTER_CS = 0x174,
    MSR_IA32_SYSENTER_ESP = 0x175,
    MSR_IA32_SYSENTER_EIP = 0x176,
    MSR_IA32_MCG_CAP = 0x179,
    MSR_IA32_MCG_STATUS = 0x17a,
    MSR_IA32_MCG_CTL = 0x17b,
    MSR_IA32_PERF_STATUS = 0x198,
    MSR_IA32_THERM_INTERRUPT = 0x19b,
    MSR_IA32_THERM_STATUS = 0x19c,
    MSR_IA32_MISC_ENABLE = 0x1a0,
    MSR_IA32_DEBUGCTL = 0x1d9,
    MSR_LASTBRANCHFROMIP = 0x1db,
    MSR_LASTINTTOIP = 0x1de,
    MSR_IA32_MTRR_PHYSBASE0 = 0x200,
    MSR_IA32_MTRR_FIX64K_00000 = 0x250,
    MSR_IA32_MTRR_FIX16K_80000 = 0x258,
    MSR_IA32_MTRR_FIX16K_A0000 = 0x259,
    MSR_IA32_MTRR_FIX4K_C0000 = 0x268,
    MSR_IA32_PAT = 0x277,
    MSR_IA32_MTRR_DEF_TYPE = 0x2ff,
    MSR_IA32_MC0_CTL = 0x400,
    MSR_IA32_EFER = 0xc0000080,
};

/* ---- Who has what --------------------------------------------------------------------------------------- */

static bool has(const struct vcpu *cpu, uint64_t feature)
{
    return (cpu->features & feature) == feature;
}

static bool is_family6(const struct vcpu *cpu)
{
    return cpu->model->family == 6;
}

/* Core Duo and Atom: frequency and thermal MSRs, IA32_MISC_ENABLE. */
static bool is_mobile(const struct vcpu *cpu)
{
    return is_family6(cpu) && cpu->model->model >= 13;
}

static bool unknown(struct vcpu *cpu, const char *access, uint32_t index)
{
    log_printf(cpu->wiring.log, LOG_UNIMP, "%s of unknown MSR %08x at %04x:%08x: #GP(0)\n", access,
               (unsigned)index, cpu->seg[SEG_CS].selector, (unsigned)cpu->rip);
    return raise_error(cpu, EXC_GP, 0);
}

/* ---- Memory types --------------------------------------------------------------------------------------- */

/* UC, WC, WT, WP, WB; and in the PAT UC-. */
static bool memory_type_valid(uint8_t type, bool pat)
{
    return type == 0 || type == 1 || (type >= 4 && type <= 6) || (pat && type == 7);
}

static bool memory_types_valid(uint64_t value, bool pat)
{
    for (unsigned i = 0; i < 8; i++) {
        if (!memory_type_valid((uint8_t)(value >> (8 * i)), pat)) {
            return false;
        }
    }
    return true;
}

static uint64_t above_physical(const struct vcpu *cpu)
{
    return BITS(63, cpu->model->phys_bits);
}

/* Storage of a fixed-range MTRR, NULL when the index names none. */
static uint64_t *fixed_mtrr(struct vcpu *cpu, uint32_t index)
{
    if (index == MSR_IA32_MTRR_FIX64K_00000) {
        return &cpu->msr.mtrr_fixed[0];
    }
    if (index == MSR_IA32_MTRR_FIX16K_80000 || index == MSR_IA32_MTRR_FIX16K_A0000) {
        return &cpu->msr.mtrr_fixed[1 + index - MSR_IA32_MTRR_FIX16K_80000];
    }
    if (index >= MSR_IA32_MTRR_FIX4K_C0000 && index < MSR_IA32_MTRR_FIX4K_C0000 + 8) {
        return &cpu->msr.mtrr_fixed[3 + index - MSR_IA32_MTRR_FIX4K_C0000];
    }
    return NULL;
}

/* The same of a variable-range MTRR, base or mask. */
static uint64_t *variable_mtrr(struct vcpu *cpu, uint32_t index)
{
    uint32_t offset = index - MSR_IA32_MTRR_PHYSBASE0;

    if (offset >= 2 * MTRR_VARIABLE_COUNT) {
        return NULL;
    }
    return offset & 1 ? &cpu->msr.mtrr_mask[offset / 2] : &cpu->msr.mtrr_base[offset / 2];
}

static bool variable_mtrr_valid(const struct vcpu *cpu, uint32_t index, uint64_t value)
{
    if (index & 1) {
        return !(value & (above_physical(cpu) | BITS(10, 0)));
    }
    return !(value & (above_physical(cpu) | BITS(11, 8))) && memory_type_valid((uint8_t)value, false);
}

static bool def_type_valid(uint64_t value)
{
    return !(value & ~(BIT(11) | BIT(10) | BITS(7, 0))) && memory_type_valid((uint8_t)value, false);
}

/* ---- Machine-check banks -------------------------------------------------------------------------------- */

static uint64_t *mc_bank(struct vcpu *cpu, uint32_t index)
{
    uint32_t offset = index - MSR_IA32_MC0_CTL;

    if (offset >= 4 * VCPU_MCG_BANKS || !has(cpu, CPU_FEATURE_MCA)) {
        return NULL;
    }
    uint64_t *const of_bank[4] = {cpu->msr.mc_ctl, cpu->msr.mc_status, cpu->msr.mc_addr, cpu->msr.mc_misc};
    return &of_bank[offset % 4][offset / 4];
}

/* CTL takes anything; STATUS, ADDR and MISC can only be cleared. */
static bool mc_bank_valid(uint32_t index, uint64_t value)
{
    return (index & 3) == 0 || value == 0;
}

/* ---- Storage: MSRs that read back what was written ------------------------------------------------------- */

/* Where the MSR lies when the model has it and it is plain storage. */
static uint64_t *find_storage(struct vcpu *cpu, uint32_t index)
{
    struct msrs *msr = &cpu->msr;

    switch (index) {
    case MSR_IA32_SYSENTER_CS:
        return has(cpu, CPU_FEATURE_SEP) ? &msr->sysenter_cs : NULL;
    case MSR_IA32_SYSENTER_ESP:
        return has(cpu, CPU_FEATURE_SEP) ? &msr->sysenter_esp : NULL;
    case MSR_IA32_SYSENTER_EIP:
        return has(cpu, CPU_FEATURE_SEP) ? &msr->sysenter_eip : NULL;
    case MSR_IA32_APIC_BASE:
        return has(cpu, CPU_FEATURE_APIC) && is_family6(cpu) ? &msr->apic_base : NULL;
    case MSR_IA32_BIOS_SIGN_ID:
        return is_family6(cpu) ? &msr->microcode : NULL;
    case MSR_IA32_MCG_STATUS:
        return has(cpu, CPU_FEATURE_MCA) ? &msr->mcg_status : NULL;
    case MSR_IA32_MCG_CTL:
        return has(cpu, CPU_FEATURE_MCA) ? &msr->mcg_ctl : NULL;
    case MSR_IA32_MISC_ENABLE:
        return is_mobile(cpu) ? &msr->misc_enable : NULL;
    case MSR_IA32_PAT:
        return has(cpu, CPU_FEATURE_PAT) ? &msr->pat : NULL;
    case MSR_IA32_MTRR_DEF_TYPE:
        return has(cpu, CPU_FEATURE_MTRR) ? &msr->mtrr_def_type : NULL;
    case MSR_IA32_EFER:
        return has(cpu, CPU_FEATURE_NX) ? &msr->efer : NULL;
    default:
        break;
    }
    uint64_t *mtrr = fixed_mtrr(cpu, index);
    mtrr = mtrr ? mtrr : variable_mtrr(cpu, index);
    if (mtrr) {
        return has(cpu, CPU_FEATURE_MTRR) ? mtrr : NULL;
    }
    return mc_bank(cpu, index);
}

/* May the stored MSR take this value? #GP(0) otherwise. */
static bool storage_valid(const struct vcpu *cpu, uint32_t index, uint64_t value)
{
    switch (index) {
    case MSR_IA32_APIC_BASE:
        return !(value & (above_physical(cpu) | BITS(10, 9) | BITS(7, 0)));
    case MSR_IA32_MCG_STATUS:
        return !(value & ~BITS(2, 0));
    case MSR_IA32_PAT:
        return memory_types_valid(value, true);
    case MSR_IA32_MTRR_DEF_TYPE:
        return def_type_valid(value);
    case MSR_IA32_EFER: /* XD Bit Disable takes NXE away */
        return !(value & ~EFER_NXE) && !(value && (cpu->msr.misc_enable & BIT(34)));
    default:
        break;
    }
    if (index >= MSR_IA32_MC0_CTL && index < MSR_IA32_MC0_CTL + 4 * VCPU_MCG_BANKS) {
        return mc_bank_valid(index, value);
    }
    if (index >= MSR_IA32_MTRR_PHYSBASE0 && index < MSR_IA32_MTRR_PHYSBASE0 + 2 * MTRR_VARIABLE_COUNT) {
        return variable_mtrr_valid(cpu, index, value);
    }
    if (index >= MSR_IA32_MTRR_FIX64K_00000 && index < MSR_IA32_MTRR_FIX4K_C0000 + 8) {
        return memory_types_valid(value, false);
    }
    return true;
}

/* What a store changes elsewhere. `old` is the value before. */
static void storage_changed(struct vcpu *cpu, uint32_t index, uint64_t old)
{
    switch (index) {
    case MSR_IA32_SYSENTER_CS:
    case MSR_IA32_SYSENTER_ESP:
    case MSR_IA32_SYSENTER_EIP: { /* 32-bit registers: the upper half is not kept */
        uint64_t *stored = find_storage(cpu, index);
        *stored = (uint32_t)*stored;
        break;
    }
    case MSR_IA32_APIC_BASE:
        if (cpu->wiring.apic_base_changed && cpu->msr.apic_base != old) {
            cpu->wiring.apic_base_changed(cpu->wiring.board, cpu->msr.apic_base);
        }
        break;
    case MSR_IA32_EFER:
        if (cpu->msr.efer != old) {
            vcpu_sync_paging(cpu);
            vcpu_flush_tlb(cpu, false);
        }
        break;
    default:
        break;
    }
}

/* ---- Constants and the rest ------------------------------------------------------------------------------ */

/* Bus clock and ratio: Core Duo T2600 166 MHz x 13, Atom N270 133 MHz x 12. */
static uint64_t fsb_frequency(const struct vcpu *cpu)
{
    return cpu->model->model == 14 ? 3 : 1;
}

static uint64_t perf_status(const struct vcpu *cpu)
{
    uint64_t ratio = cpu->model->model == 14 ? 13 : 12;
    return ratio << 40 | ratio << 8;
}

/* MSRs that are computed, constant, or have no effect. False: there is no such MSR. */
static bool read_other(struct vcpu *cpu, uint32_t index, uint64_t *value)
{
    *value = 0;
    switch (index) {
    case MSR_P5_MC_ADDR:
    case MSR_P5_MC_TYPE:
        return has(cpu, CPU_FEATURE_MCE);
    case MSR_IA32_TSC:
        *value = vcpu_tsc(cpu);
        return has(cpu, CPU_FEATURE_TSC);
    case MSR_IA32_MTRRCAP: /* write-combining, fixed ranges, count of variable ones */
        *value = BIT(10) | BIT(8) | MTRR_VARIABLE_COUNT;
        return has(cpu, CPU_FEATURE_MTRR);
    case MSR_IA32_MCG_CAP: /* IA32_MCG_CTL is there; count of banks */
        *value = BIT(8) | VCPU_MCG_BANKS;
        return has(cpu, CPU_FEATURE_MCA);
    case MSR_FSB_FREQ:
        *value = fsb_frequency(cpu);
        return is_mobile(cpu);
    case MSR_IA32_PERF_STATUS:
        *value = perf_status(cpu);
        return is_mobile(cpu);
    case MSR_IA32_THERM_INTERRUPT:
    case MSR_IA32_THERM_STATUS:
        return is_mobile(cpu);
    case MSR_IA32_PLATFORM_ID:
    case MSR_EBL_CR_POWERON:
    case MSR_IA32_DEBUGCTL:
        return is_family6(cpu);
    default:
        return is_family6(cpu) && index >= MSR_LASTBRANCHFROMIP && index <= MSR_LASTINTTOIP;
    }
}

/* Up to the Pentium III only the low half can be written; the high half becomes zero. */
static bool write_tsc(struct vcpu *cpu, uint64_t value)
{
    if (!has(cpu, CPU_FEATURE_TSC)) {
        return false;
    }
    cpu->msr.tsc_offset += (is_mobile(cpu) ? value : (uint32_t)value) - vcpu_tsc(cpu);
    return true;
}

/* The same for writes. False: not writable. */
static bool write_other(struct vcpu *cpu, uint32_t index, uint64_t value)
{
    switch (index) {
    case MSR_P5_MC_ADDR:
    case MSR_P5_MC_TYPE:
        return has(cpu, CPU_FEATURE_MCE);
    case MSR_IA32_TSC:
        return write_tsc(cpu, value);
    case MSR_IA32_THERM_INTERRUPT:
    case MSR_IA32_THERM_STATUS:
        return is_mobile(cpu);
    case MSR_EBL_CR_POWERON:
    case MSR_IA32_BIOS_UPDT_TRIG:
        return is_family6(cpu);
    case MSR_IA32_DEBUGCTL:
        if (value) {
            log_printf(cpu->wiring.log, LOG_UNIMP, "IA32_DEBUGCTL = %08x has no effect\n", (unsigned)value);
        }
        return is_family6(cpu) && !(value & ~BITS(6, 0));
    default:
        return false;
    }
}

bool msr_read(struct vcpu *cpu, uint32_t index, uint64_t *value)
{
    const uint64_t *stored = find_storage(cpu, index);

    if (stored) {
        *value = *stored;
        return true;
    }
    return read_other(cpu, index, value) || unknown(cpu, "RDMSR", index);
}

bool msr_write(struct vcpu *cpu, uint32_t index, uint64_t value)
{
    uint64_t *stored = find_storage(cpu, index);

    if (!stored) {
        return write_other(cpu, index, value) || unknown(cpu, "WRMSR", index);
    }
    if (!storage_valid(cpu, index, value)) {
        return raise_error(cpu, EXC_GP, 0);
    }
    uint64_t old = *stored;
    *stored = value;
    storage_changed(cpu, index, old);
    return true;
}
