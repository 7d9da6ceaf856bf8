/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The x87 unit's state: words, tags, stack, and the protocol of numeric errors. vcpu.fpu holds it as an
 * FXSAVE image, whose x87 registers are in stack order (st[0] is the top). MMX register n is the low 8 bytes
 * of *physical* register n, that is of st[(n - TOP) & 7].
 *
 *   FSW   15  14 13-11 10 9  8  7  6  5  4  3  2  1  0      FCW   12 11-10 9-8 5  4  3  2  1  0
 *         B   C3 TOP   C2 C1 C0 ES SF PE UE OE ZE DE IE           X  RC    PC  PM UM OM ZM DM IM
 *
 * SDM: Volume 1, "Programming with the x87 FPU"; Volume 1, "Guidelines for Writing x87 FPU Exception
 * Handlers".
 */
#ifndef CPU_FPU_H
#define CPU_FPU_H

#include "cpu/vcpu.h"

#define FSW_IE         BIT(0)
#define FSW_DE         BIT(1)
#define FSW_ZE         BIT(2)
#define FSW_OE         BIT(3)
#define FSW_UE         BIT(4)
#define FSW_PE         BIT(5)
#define FSW_EXCEPTIONS BITS(5, 0)
#define FSW_SF         BIT(6)
#define FSW_ES         BIT(7) /* an unmasked exception is pending */
#define FSW_TOP        BITS(13, 11)
#define FSW_B          BIT(15) /* copy of ES */

#define FCW_FIXED1   BIT(6)
#define FCW_WRITABLE (BITS(12, 8) | BITS(5, 0))
#define FCW_INIT     0x037f

#define MXCSR_FLAGS      BITS(5, 0) /* IE, DE, ZE, OE, UE, PE as in FSW */
#define MXCSR_DAZ        BIT(6)
#define MXCSR_MASK_SHIFT 7 /* masks, in the order of the flags */
#define MXCSR_MASKS      BITS(12, 7)
#define MXCSR_RC         BITS(14, 13)
#define MXCSR_FZ         BIT(15)
#define MXCSR_INIT       0x1f80

static inline unsigned fpu_top(const struct fxsave *fpu)
{
    return (unsigned)(fpu->fsw & FSW_TOP) >> 11;
}

/* The state after FNINIT: data, XMM registers and MXCSR keep their contents. */
void fpu_init(struct vcpu *cpu);

/* The full tag word of FNSTENV from the registers' contents: 0 valid, 1 zero, 2 special, 3 empty. */
uint16_t fpu_tag_word(const struct fxsave *fpu);

/* Set TOP; the physical registers keep their contents. */
void fpu_set_top(struct fxsave *fpu, unsigned top);

/* Set FCW and FSW (TOP is only stored: st[] must be in the new order). ES and B follow from flags and masks;
 * when an unmasked exception becomes pending and CR0.NE = 0, FERR# is asserted. */
void fpu_set_words(struct vcpu *cpu, uint16_t fcw, uint16_t fsw);

/*
 * The check that waiting instructions begin with. False: #MF is pending. True with *ready: go on. True
 * without: an error is pending, CR0.NE = 0 and IGNNE# is not asserted, so the processor freezes before the
 * instruction until an interrupt comes (the FERR# it asserted makes that IRQ 13); the caller returns true at
 * once.
 */
bool fpu_wait(struct vcpu *cpu, bool *ready);

/* The unit is now in MMX use: TOP 0, all registers valid. */
void fpu_enter_mmx(struct vcpu *cpu);

#endif
