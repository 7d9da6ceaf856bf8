/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The processor's registers as gdb sees them: numbers, sizes, and the target description that names them.
 *
 *   org.gnu.gdb.i386.core      eax .. gs, st0 .. fop    as gdb's i386 has them
 *   org.gnu.gdb.i386.sse       xmm0 .. mxcsr            on models with SSE
 *   org.hypatia.i386.system    cr0 .. dr7, bases, tables
 *
 * The list is the processor model's and never changes, whatever mode it is in, and so the `g` packet has one length.
 *
 * eip is a linear address: the code segment's base is in it. It is what `x/i $pc`, break points and symbols want, in real mode
 * and wherever else segments do not begin at 0; where they do it is EIP itself. The other registers are themselves; esp belongs
 * to ss_base.
 *
 * GDB manual: "Target Descriptions", "i386 Features". SDM: Volume 1, "Basic Program Execution Registers"; Volume 3A, "System
 * Architecture Overview". NOT there: MMX registers (gdb makes them from st0 - st7), MSRs but EFER.
 */
#ifndef MONITOR_GDB_REGISTERS_H
#define MONITOR_GDB_REGISTERS_H

#include "cpu/vcpu.h"

enum { GDB_REGISTER_MAX = 16 }; /* bytes of the longest */

/* gdb's numbers of those that go with each stop. */
enum { GDB_ESP = 4, GDB_EBP = 5, GDB_EIP = 8 };

/* Bytes of register n; 0: there is none, and there are none behind it. */
unsigned gdb_register_size(const struct vcpu *cpu, unsigned n);
/* Into that many bytes, little-endian. */
void gdb_register_read(const struct vcpu *cpu, unsigned n, uint8_t *bytes);
/*
 * False, and nothing has happened: the processor has no such state, or refuses it as it would refuse the instruction that
 * loads the register. Derived state follows. A new eip wakes a processor in HLT.
 */
bool gdb_register_write(struct vcpu *cpu, unsigned n, const uint8_t *bytes);

/* The target description, as XML; from malloc(). NULL: no memory. */
char *gdb_registers_describe(const struct vcpu *cpu);

#endif
