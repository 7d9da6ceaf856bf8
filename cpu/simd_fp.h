/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * SIMD floating-point exceptions without a trap on the host.
 *
 * The instruction runs with the guest's rounding mode, DAZ and FZ, but with every exception masked; from the
 * flags it raised follows what the guest sees.
 *
 *   no raised exception is unmasked       the result stands, flags are added to MXCSR
 *   an unmasked I, D or Z (found before   nothing is computed: only the I, D, Z flags are set
 *     the computation)
 *   an unmasked O, U or P (found after)   the result is dropped; flags as below
 *
 * Unmasked overflow and underflow are not the masked ones: underflow is then any tiny result, exact ones too,
 * FZ is ignored, and P means that the result rounded with *unbounded* exponent is inexact. For those the
 * elements are computed again, on the x87 unit, whose precision control rounds to 24 or 53 bits but whose
 * exponent has 15.
 *
 * SDM: Volume 1, "SSE and SSE2 SIMD Floating-Point Exceptions", "Guidelines for Writing SIMD Floating-Point
 * Exception Handlers".
 */
#ifndef CPU_SIMD_FP_H
#define CPU_SIMD_FP_H

#include "cpu/insn.h"

/* MXCSR to run the instruction with. */
uint32_t simd_fp_mxcsr(uint32_t guest_mxcsr);

/*
 * The flags to set in MXCSR. `raised`: those of the masked run; `reg`, `rm`: the operands before it, 16 bytes
 * each. The exception is due when a returned flag is unmasked.
 */
uint32_t simd_fp_flags(const struct opcode *row, uint32_t guest_mxcsr, uint32_t raised, const uint8_t *reg,
                       const uint8_t *rm);

#endif
