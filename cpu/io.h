/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Port accesses by instructions: IN, OUT, INS, OUTS.
 *
 * SDM: Volume 1, "Input/Output": "I/O Privilege Level", "I/O Permission Bit Map".
 *
 * NOT modelled: the difference in bus serialisation between I/O and memory accesses.
 */
#ifndef CPU_IO_H
#define CPU_IO_H

#include "cpu/vcpu.h"

/* Check the right (io_check), honour I/O breakpoints, and access `size` (1, 2, 4) bytes at `port`. False:
 * #GP(0) or #PF (from the TSS) is pending and the device saw nothing. */
bool io_read(struct vcpu *cpu, uint16_t port, unsigned size, uint32_t *value);
bool io_write(struct vcpu *cpu, uint16_t port, unsigned size, uint32_t value);

#endif
