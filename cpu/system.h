/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Which bits of the control registers a model has.
 *
 * SDM: Volume 3A, "System Architecture Overview": "Control Registers".
 */
#ifndef CPU_SYSTEM_H
#define CPU_SYSTEM_H

#include "cpu/vcpu.h"

/* CR0 bits that MOV to CR0 takes over; ET reads as 1, the others as 0. */
#define CR0_WRITABLE (CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD | CR0_PG)

/* CR4 bits that may be set with these features; 0 when the model has no CR4. */
uint64_t cr4_supported(uint64_t features);

#endif
