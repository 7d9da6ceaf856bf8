/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The functions behind the rows of the opcode table.
 *
 * One declaration per handler column of cpu/opcodes.def: exec_<handler>, or exec_<handler>_16 and _32. They live
 * in the cpu/exec_*.c files (integer), cpu/ system and FPU files. Several rows may share a function; it is then
 * declared again, harmlessly.
 *
 * The contract of an exec function is at exec_fn in cpu/insn.h.
 */
#ifndef CPU_EXEC_H
#define CPU_EXEC_H

#include "cpu/insn.h"

#define OP1(map, byte, prefix, reg, mod, rm, plus, mnemonic, operands, feature, handler, flags)              \
    bool exec_##handler(struct vcpu *cpu, const struct insn *insn);
#define OP2(map, byte, prefix, reg, mod, rm, plus, mnemonic, operands, feature, handler, flags)              \
    bool exec_##handler##_16(struct vcpu *cpu, const struct insn *insn);                                     \
    bool exec_##handler##_32(struct vcpu *cpu, const struct insn *insn);
#include "cpu/opcodes.def"
#undef OP1
#undef OP2

/* Longer than 15 bytes: #GP(0). */
bool exec_too_long(struct vcpu *cpu, const struct insn *insn);

#endif
