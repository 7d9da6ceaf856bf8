/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * IN, OUT, and the right to use a port.
 *
 * SDM: Volume 1, "Input/Output": "I/O Privilege Level", "I/O Permission Bit Map"; Volume 2A "IN", 2B "OUT".
 *
 *   TSS   +0x66  I/O map base, an offset in the TSS
 *         base + port / 8: bit port % 8 clear allows the byte port; an access of n bytes needs n clear bits.
 *         Two bytes are read whatever the port, so the map ends with a byte of ones inside the limit.
 *
 * INS and OUTS are with the other string instructions; they come through io_read() and io_write() too.
 */
#include "cpu/io.h"

#include "cpu/descriptor.h"
#include "cpu/exec.h"
#include "cpu/insn.h"
#include "cpu/points.h"
#include "cpu/trace.h"

#define TSS32_MIN_LIMIT   0x67u
#define TSS32_IO_MAP_BASE 0x66u

static bool io_bitmap_allows(struct vcpu *cpu, uint16_t port, unsigned size)
{
    const struct segment *tr = &cpu->tr;
    uint8_t bytes[2];
    unsigned type = tr->attr & SEG_TYPE;

    if ((tr->attr & SEG_UNUSABLE) || type != TYPE_TSS32_BUSY || tr->limit < TSS32_MIN_LIMIT) {
        return raise_error(cpu, EXC_GP, 0);
    }
    TRY(sys_read(cpu, (uint32_t)(tr->base + TSS32_IO_MAP_BASE), bytes, 2));
    uint32_t offset = load_le16(bytes) + port / 8u;
    if (offset + 1 > tr->limit) {
        return raise_error(cpu, EXC_GP, 0);
    }
    TRY(sys_read(cpu, (uint32_t)(tr->base + offset), bytes, 2));
    uint32_t wanted = ((1u << size) - 1) << (port % 8);
    return (load_le16(bytes) & wanted) == 0 || raise_error(cpu, EXC_GP, 0);
}

bool io_check(struct vcpu *cpu, uint16_t port, unsigned size)
{
    if (!cpu->v86 && cpu->cpl <= bits_get(cpu->rflags, 13, 12)) {
        return true;
    }
    return io_bitmap_allows(cpu, port, size);
}

/* Who reads ports often waits for something, and the device that is waited for perhaps for its timer. */
static void let_timers_fire(struct vcpu *cpu)
{
    if (cpu->wiring.clock && UNLIKELY(clock_overdue(cpu->wiring.clock))) {
        vcpu_shorten(cpu, 1);
    }
}

bool io_read(struct vcpu *cpu, uint16_t port, unsigned size, uint32_t *value)
{
    TRY(io_check(cpu, port, size));
    if (UNLIKELY(cpu->data_breakpoints)) {
        debug_check_io(cpu, port, size);
    }
    *value = cpu->wiring.io ? (uint32_t)addr_space_read(cpu->wiring.io, port, size) : UINT32_MAX;
    if (tracing(cpu, LOG_IO)) {
        trace_port(cpu, false, port, size, *value);
    }
    if (UNLIKELY(cpu->points != NULL)) {
        points_port(cpu, port, size, *value, false);
    }
    let_timers_fire(cpu);
    return true;
}

bool io_write(struct vcpu *cpu, uint16_t port, unsigned size, uint32_t value)
{
    TRY(io_check(cpu, port, size));
    if (UNLIKELY(cpu->data_breakpoints)) {
        debug_check_io(cpu, port, size);
    }
    if (tracing(cpu, LOG_IO)) {
        trace_port(cpu, true, port, size, value);
    }
    if (cpu->wiring.io) {
        addr_space_write(cpu->wiring.io, port, value, size);
    }
    if (UNLIKELY(cpu->points != NULL)) {
        points_port(cpu, port, size, value, true);
    }
    return true;
}

/* ---- IN ------------------------------------------------------------------------------------------------- */

static bool in8(struct vcpu *cpu, uint16_t port)
{
    uint32_t value;

    TRY(io_read(cpu, port, 1, &value));
    set_reg8(cpu, RAX, (uint8_t)value);
    return true;
}

static bool in16(struct vcpu *cpu, uint16_t port)
{
    uint32_t value;

    TRY(io_read(cpu, port, 2, &value));
    set_reg16(cpu, RAX, (uint16_t)value);
    return true;
}

static bool in32(struct vcpu *cpu, uint16_t port)
{
    uint32_t value;

    TRY(io_read(cpu, port, 4, &value));
    set_reg32(cpu, RAX, value);
    return true;
}

bool exec_in_AL_Ib(struct vcpu *cpu, const struct insn *insn)
{
    return in8(cpu, (uint8_t)insn->imm);
}

bool exec_in_eAX_Ib_16(struct vcpu *cpu, const struct insn *insn)
{
    return in16(cpu, (uint8_t)insn->imm);
}

bool exec_in_eAX_Ib_32(struct vcpu *cpu, const struct insn *insn)
{
    return in32(cpu, (uint8_t)insn->imm);
}

bool exec_in_AL_DX(struct vcpu *cpu, const struct insn *insn)
{
    (void)insn;
    return in8(cpu, reg16(cpu, RDX));
}

bool exec_in_eAX_DX_16(struct vcpu *cpu, const struct insn *insn)
{
    (void)insn;
    return in16(cpu, reg16(cpu, RDX));
}

bool exec_in_eAX_DX_32(struct vcpu *cpu, const struct insn *insn)
{
    (void)insn;
    return in32(cpu, reg16(cpu, RDX));
}

/* ---- OUT ------------------------------------------------------------------------------------------------ */

bool exec_out_Ib_AL(struct vcpu *cpu, const struct insn *insn)
{
    return io_write(cpu, (uint8_t)insn->imm, 1, reg8(cpu, RAX));
}

bool exec_out_Ib_eAX_16(struct vcpu *cpu, const struct insn *insn)
{
    return io_write(cpu, (uint8_t)insn->imm, 2, reg16(cpu, RAX));
}

bool exec_out_Ib_eAX_32(struct vcpu *cpu, const struct insn *insn)
{
    return io_write(cpu, (uint8_t)insn->imm, 4, reg32(cpu, RAX));
}

bool exec_out_DX_AL(struct vcpu *cpu, const struct insn *insn)
{
    (void)insn;
    return io_write(cpu, reg16(cpu, RDX), 1, reg8(cpu, RAX));
}

bool exec_out_DX_eAX_16(struct vcpu *cpu, const struct insn *insn)
{
    (void)insn;
    return io_write(cpu, reg16(cpu, RDX), 2, reg16(cpu, RAX));
}

bool exec_out_DX_eAX_32(struct vcpu *cpu, const struct insn *insn)
{
    (void)insn;
    return io_write(cpu, reg16(cpu, RDX), 4, reg32(cpu, RAX));
}
