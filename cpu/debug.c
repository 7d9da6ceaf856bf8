/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The debug registers: matching, traps after an instruction, and MOV to and from DRn.
 *
 * SDM: Volume 3B, "Debug, Branch Profile, TSC": "Debug Registers", "Debug Exceptions".
 *
 *   DR7   31-16                     13  10 9  8  7-0
 *         LEN3 R/W3 ... LEN0 R/W0   GD  1  GE LE G3 L3 ... G0 L0
 *   DR6   31-16  15 14 13 12 11-4  3-0
 *         1      BT BS BD 0  1     B3-B0
 *
 * DEVIATION: B0-B3 are set for enabled breakpoints only; the manual lets a processor set them for disabled ones.
 * NOTE: LEN = 10b is taken as 8 bytes, as processors with that encoding do.
 *
 * NOT modelled: last branch records, single step on branches (DEBUGCTL.BTF), DR7.LE and GE (breakpoints are
 * always exact), RTM.
 */
#include "cpu/debug.h"

#include "cpu/insn.h"

static unsigned breakpoint_length(const struct vcpu *cpu, unsigned n)
{
    static const uint8_t length[4] = {1, 2, 8, 4};
    return length[cpu->dr[7] >> (18 + 4 * n) & 3];
}

/* Does [address, address + size) touch breakpoint n? The low bits of its address do not count. */
static bool breakpoint_touched(const struct vcpu *cpu, unsigned n, uint32_t address, unsigned size)
{
    uint32_t length = breakpoint_length(cpu, n);
    uint32_t first = (uint32_t)cpu->dr[n] & ~(length - 1);

    return (uint32_t)(address - first) < length || (uint32_t)(first - address) < size;
}

static void record(struct vcpu *cpu, uint64_t dr6)
{
    cpu->pending_dr6 |= dr6;
    vcpu_sync_attention(cpu);
}

/* B0-B3 are those of the latest exception; BD, BS and BT stay until software clears them. */
static void set_dr6(struct vcpu *cpu, uint64_t bits)
{
    cpu->dr[6] = (cpu->dr[6] & ~DR6_B) | bits;
}

bool debug_code_breakpoint(struct vcpu *cpu, lin_t linear)
{
    uint64_t hit = 0;

    if (cpu->rflags & RFLAGS_RF) {
        return false;
    }
    for (unsigned n = 0; n < 4; n++) {
        if (debug_enabled(cpu, n) && debug_rw(cpu, n) == DEBUG_RW_FETCH && cpu->dr[n] == linear) {
            hit |= BIT(n);
        }
    }
    if (!hit) {
        return false;
    }
    set_dr6(cpu, hit);
    raise_exception(cpu, EXC_DB);
    return true;
}

void debug_check_data(struct vcpu *cpu, lin_t linear, unsigned size, bool write)
{
    for (unsigned n = 0; n < 4; n++) {
        enum debug_rw rw = debug_rw(cpu, n);
        bool selected = rw == DEBUG_RW_ACCESS || (rw == DEBUG_RW_WRITE && write);

        if (selected && debug_enabled(cpu, n) && breakpoint_touched(cpu, n, (uint32_t)linear, size)) {
            record(cpu, BIT(n));
        }
    }
}

void debug_check_io(struct vcpu *cpu, uint16_t port, unsigned size)
{
    if (!(cpu->cr4 & CR4_DE)) {
        return;
    }
    for (unsigned n = 0; n < 4; n++) {
        if (debug_rw(cpu, n) == DEBUG_RW_IO && debug_enabled(cpu, n) &&
            breakpoint_touched(cpu, n, port, size)) {
            record(cpu, BIT(n));
        }
    }
}

void debug_insn_begin(struct vcpu *cpu)
{
    if (cpu->rflags & RFLAGS_TF) {
        cpu->pending_dr6 |= DR6_BS;
    }
    cpu->rflags &= ~RFLAGS_RF;
    vcpu_sync_attention(cpu);
}

bool debug_pending_trap(struct vcpu *cpu)
{
    if (!cpu->pending_dr6 || cpu->shadow == SHADOW_MOV_SS) {
        return false;
    }
    set_dr6(cpu, cpu->pending_dr6);
    cpu->pending_dr6 = 0;
    vcpu_sync_attention(cpu);
    raise_exception(cpu, EXC_DB);
    return true;
}

/* DR4 and DR5 are DR6 and DR7 by old names, which CR4.DE takes away; DR7.GD guards them all. */
static bool resolve(struct vcpu *cpu, unsigned *n)
{
    if (*n == 4 || *n == 5) {
        if (cpu->cr4 & CR4_DE) {
            return raise_exception(cpu, EXC_UD);
        }
        *n += 2;
    }
    if (cpu->dr[7] & DR7_GD) {
        set_dr6(cpu, DR6_BD);
        return raise_exception(cpu, EXC_DB);
    }
    return true;
}

bool debug_read_dr(struct vcpu *cpu, unsigned n, uint32_t *value)
{
    TRY(resolve(cpu, &n));
    *value = (uint32_t)cpu->dr[n];
    return true;
}

bool debug_write_dr(struct vcpu *cpu, unsigned n, uint32_t value)
{
    TRY(resolve(cpu, &n));
    if (n == 6) {
        cpu->dr[6] = (value & (DR6_BT | DR6_BS | DR6_BD | DR6_B)) | DR6_FIXED1;
    } else if (n == 7) {
        cpu->dr[7] = (value & DR7_WRITABLE) | DR7_FIXED1;
    } else {
        cpu->dr[n] = value;
    }
    vcpu_sync_debug(cpu);
    return true;
}
