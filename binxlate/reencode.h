/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Copying a guest instruction into host code: the same instruction in 64-bit encoding, with guest ESP renamed
 * to r12 and the memory operand replaced.
 *
 * What it does to the bytes: address-size, segment and meaningless REP prefixes go; LOCK, the operand-size
 * prefix where it matters and mandatory prefixes stay; INC and DEC 40-4F, MOV A0-A3 and the aliases 82, F6
 * /1 and the like get an encoding that 64-bit mode has. AH, CH, DH and BH do not exist beside a REX prefix;
 * then a copy in r10 takes part.
 *
 * Flags come out exactly as the instruction makes them, and nothing else touches them. Scratch: r10 only. The
 * memory access is made before any guest register changes, so a fault finds the state before the instruction.
 *
 * NOT copied: implicit memory (strings, XLATB, the stack), control flow, segment and control registers,
 * anything privileged, BCD arithmetic, BOUND and ARPL, time stamps and CPUID, and what depends on FIP and
 * FDP (FNSTENV, FNSAVE, FXSAVE and their loads) or on the model (LDMXCSR, CVTPI2PS from memory). Whether
 * the FPU may be used now (CR0.TS, CR0.EM, CR4.OSFXSR) is the caller's to know.
 */
#ifndef BINXLATE_REENCODE_H
#define BINXLATE_REENCODE_H

#include "binxlate/emit.h"
#include "cpu/insn.h"

#define REENCODE_ESP     HOST_R12 /* holds guest ESP */
#define REENCODE_SCRATCH HOST_R10 /* changed by reencode() and, for bit strings, by reencode_lea() */
#define REENCODE_SHIFT   HOST_R13 /* holds 44, as docs/binxlate.md says */

enum { REENCODE_MAX = 40 }; /* bytes that one call of reencode() or reencode_lea() emits at most */

/* May reencode() copy it? A property of the row and the ModRM byte. */
bool reencode_supported(const struct insn *insn);

/*
 * Emit the instruction. `mem`: where its memory operand is now, for instructions with
 * reencode_memory_access() not 0 (others ignore it and may pass NULL; LEA computes its address itself). It
 * must not use r10, and names the bytes at the address that reencode_lea() computes. NOPs and prefetches
 * emit nothing. False: not supported; nothing is emitted.
 */
bool reencode(struct emit *e, const struct insn *insn, const struct host_mem *mem);

enum reencode_access { REENCODE_READ = 1, REENCODE_WRITE = 2 };

/* How the memory operand is accessed: enum reencode_access or-ed; 0: not at all (LEA, NOP, PREFETCH).
 * For any row with a ModRM or moffs operand, also those that reencode() does not copy. */
unsigned reencode_memory_access(const struct insn *insn);
/* Bytes of that access; 0 for none. */
unsigned reencode_memory_size(const struct insn *insn);

/* The operand's address as one host operand relative to the GS base, for segments whose base is 0. False: it takes
 * reencode_lea(), because addresses wrap at 64 KiB or a bit offset is part of it. */
bool reencode_window(const struct insn *insn, struct host_mem *mem);

/*
 * dst (32 bits, upper half cleared) = the memory operand's offset in its segment, wrapped to the address
 * size, without touching flags. For BT, BTS, BTR and BTC with a register bit offset it is the address of
 * the word or doubleword that holds the bit, and r10 is changed; dst is not r10 then. dst must not be a
 * register that holds guest state.
 */
void reencode_lea(struct emit *e, const struct insn *insn, enum host_reg dst);

#endif
