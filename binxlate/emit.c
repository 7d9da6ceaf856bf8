/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The host encoder. emit_insn() makes every instruction but the VEX-encoded and the relative ones; the named
 * functions fill in its description.
 *
 *   REX  0100WRXB   R extends ModRM.reg, X SIB.index, B ModRM.rm, SIB.base or the register in the opcode
 *
 *   VEX  C4  RXBmmmmm  WvvvvLpp   R, X, B and vvvv inverted; mmmmm opcode map, pp mandatory prefix
 *
 * SDM: Volume 2A, "Instruction Format"; Volume 2A, "Vector Extension (VEX)".
 */
#include "binxlate/emit.h"

enum { INSN_LENGTH_MAX = 15, PREFIX_GS = 0x65, PREFIX_ADDRESS_SIZE = 0x67 };

/* ---- bytes ---- */

struct bytes {
    uint8_t byte[INSN_LENGTH_MAX + 9]; /* an instruction, and slack so that none has to be checked */
    unsigned count;
};

static void put8(struct bytes *b, unsigned byte)
{
    b->byte[b->count++] = (uint8_t)byte;
}

static void put(struct bytes *b, uint64_t value, unsigned size)
{
    memcpy(b->byte + b->count, &value, size);
    b->count += size;
}

/* Move the bytes into the buffer. False, and the buffer is closed, when they do not fit. */
static bool commit(struct emit *e, const struct bytes *b)
{
    if (e->overflow || (size_t)(e->end - e->at) < b->count) {
        e->overflow = true;
        return false;
    }
    memcpy(e->at, b->byte, b->count);
    e->at += b->count;
    return true;
}

/* ---- operands ---- */

static bool is_imm8(int64_t value)
{
    return value == (int8_t)value;
}

static unsigned modrm(unsigned mod, unsigned reg, unsigned rm)
{
    return mod << 6 | (reg & 7) << 3 | (rm & 7);
}

/*
 * ModRM, SIB and displacement. Base RSP and R12 need a SIB byte (r/m 100b means SIB); base RBP and R13 a
 * displacement (mod 00b with 101b means no base); without a base it is SIB with base 101b and mod 00b, as
 * mod 00b with r/m 101b is RIP-relative.
 */
static void put_memory(struct bytes *b, unsigned reg, const struct host_mem *mem)
{
    bool has_base = mem->base != HOST_NO_REG, has_index = mem->index != HOST_NO_REG;
    unsigned mod = 0, disp_size = 4;

    if (has_base && mem->disp == 0 && (mem->base & 7) != HOST_RBP) {
        disp_size = 0;
    } else if (has_base && is_imm8(mem->disp)) {
        mod = 1;
        disp_size = 1;
    } else if (has_base) {
        mod = 2;
    }
    if (has_base && !has_index && (mem->base & 7) != HOST_RSP) {
        put8(b, modrm(mod, reg, mem->base));
    } else {
        put8(b, modrm(mod, reg, 4));
        put8(b, modrm(mem->shift, has_index ? mem->index : 4, has_base ? mem->base : 5));
    }
    put(b, (uint32_t)mem->disp, disp_size);
}

/* Bits X and B of REX and VEX. */
static unsigned memory_extension(const struct host_mem *mem)
{
    return (mem->index != HOST_NO_REG && mem->index >= 8 ? 2u : 0) |
           (mem->base != HOST_NO_REG && mem->base >= 8 ? 1u : 0);
}

static bool is_new_byte(bool byte, unsigned reg)
{
    return byte && reg >= 4 && reg < 8;
}

static void put_rex(struct bytes *b, const struct emit_insn *insn)
{
    unsigned rex = insn->wide ? 8 : 0;

    if (insn->modrm && insn->reg >= 8) {
        rex |= 4;
    }
    if (insn->mem) {
        rex |= memory_extension(insn->mem);
    } else if (insn->rm >= 8) {
        rex |= 1;
    }
    if (rex || (insn->modrm && is_new_byte(insn->reg_byte, insn->reg)) ||
        (!insn->mem && is_new_byte(insn->rm_byte, insn->rm))) {
        put8(b, 0x40 | rex);
    }
}

static void put_opcode(struct bytes *b, const struct emit_insn *insn)
{
    if (insn->map != EMIT_MAP_1BYTE) {
        put8(b, 0x0f);
    }
    if (insn->map == EMIT_MAP_0F38 || insn->map == EMIT_MAP_0F3A) {
        put8(b, insn->map == EMIT_MAP_0F38 ? 0x38 : 0x3a);
    }
    put8(b, insn->opcode | (insn->plus_reg ? insn->rm & 7u : 0));
}

void emit_insn(struct emit *e, const struct emit_insn *insn)
{
    struct bytes b = {.count = 0};

    if (insn->modrm && insn->mem && insn->mem->window) {
        put8(&b, PREFIX_GS);
        put8(&b, PREFIX_ADDRESS_SIZE);
    }
    if (insn->opsize16) {
        put8(&b, 0x66);
    }
    if (insn->lock) {
        put8(&b, 0xf0);
    }
    if (insn->prefix) {
        put8(&b, insn->prefix);
    }
    put_rex(&b, insn);
    put_opcode(&b, insn);
    if (insn->modrm && insn->mem) {
        put_memory(&b, insn->reg, insn->mem);
    } else if (insn->modrm) {
        put8(&b, modrm(3, insn->reg, insn->rm));
    }
    put(&b, insn->imm, insn->imm_size);
    commit(e, &b);
}

/* ---- short descriptions of the common forms ---- */

enum { SIZE8 = 1, SIZE16 = 2, SIZE32 = 4, SIZE64 = 8 };

/* An opcode with ModRM whose byte form is `opcode` and whose wider forms are `opcode` + 1. */
static struct emit_insn sized(unsigned size, unsigned opcode)
{
    return (struct emit_insn){
        .opsize16 = size == SIZE16,
        .wide = size == SIZE64,
        .opcode = (uint8_t)(opcode + (size == SIZE8 ? 0 : 1)),
        .modrm = true,
        .reg_byte = size == SIZE8,
        .rm_byte = size == SIZE8,
    };
}

static void emit_rr(struct emit *e, unsigned size, unsigned opcode, unsigned reg, unsigned rm)
{
    struct emit_insn insn = sized(size, opcode);

    insn.reg = (uint8_t)reg;
    insn.rm = (uint8_t)rm;
    emit_insn(e, &insn);
}

static void emit_rm(struct emit *e, unsigned size, unsigned opcode, unsigned reg, struct host_mem mem)
{
    struct emit_insn insn = sized(size, opcode);

    insn.reg = (uint8_t)reg;
    insn.mem = &mem;
    emit_insn(e, &insn);
}

/* Group instruction on a register or memory (`mem` not NULL) with an immediate. */
static void emit_group(struct emit *e, unsigned size, unsigned opcode, unsigned reg, unsigned rm,
                       const struct host_mem *mem, uint64_t imm, unsigned imm_size)
{
    struct emit_insn insn = sized(size, opcode);

    insn.reg_byte = false;
    insn.reg = (uint8_t)reg;
    insn.rm = (uint8_t)rm;
    insn.mem = mem;
    insn.imm = imm;
    insn.imm_size = (uint8_t)imm_size;
    emit_insn(e, &insn);
}

/* A one-byte opcode without operands. */
static void emit_plain(struct emit *e, unsigned opcode)
{
    struct emit_insn insn = {.opcode = (uint8_t)opcode};

    emit_insn(e, &insn);
}

/* Two-byte opcode, register and register or memory; `rm_byte`: the second is a byte register. */
static void emit_0f(struct emit *e, bool wide, unsigned opcode, unsigned reg, unsigned rm,
                    const struct host_mem *mem, bool rm_byte)
{
    struct emit_insn insn = {
        .map = EMIT_MAP_0F,
        .opcode = (uint8_t)opcode,
        .wide = wide,
        .modrm = true,
        .reg = (uint8_t)reg,
        .rm = (uint8_t)rm,
        .rm_byte = rm_byte,
        .mem = mem,
    };

    emit_insn(e, &insn);
}

/* ---- MOV and its kin ---- */

enum { OP_MOV_STORE = 0x88, OP_MOV_LOAD = 0x8a, OP_XCHG = 0x86, OP_TEST = 0x84, OP_GROUP3 = 0xf6 };

void emit_mov8(struct emit *e, enum host_reg dst, enum host_reg src)
{
    emit_rr(e, SIZE8, OP_MOV_STORE, src, dst);
}

void emit_mov16(struct emit *e, enum host_reg dst, enum host_reg src)
{
    emit_rr(e, SIZE16, OP_MOV_STORE, src, dst);
}

void emit_mov32(struct emit *e, enum host_reg dst, enum host_reg src)
{
    emit_rr(e, SIZE32, OP_MOV_STORE, src, dst);
}

void emit_mov64(struct emit *e, enum host_reg dst, enum host_reg src)
{
    emit_rr(e, SIZE64, OP_MOV_STORE, src, dst);
}

static void emit_mov_plus_reg(struct emit *e, bool wide, unsigned dst, uint64_t imm, unsigned imm_size)
{
    struct emit_insn insn = {
        .opcode = 0xb8,
        .plus_reg = true,
        .wide = wide,
        .rm = (uint8_t)dst,
        .imm = imm,
        .imm_size = (uint8_t)imm_size,
    };

    emit_insn(e, &insn);
}

void emit_mov_imm32(struct emit *e, enum host_reg dst, uint32_t imm)
{
    emit_mov_plus_reg(e, false, dst, imm, 4);
}

void emit_mov_imm64(struct emit *e, enum host_reg dst, uint64_t imm)
{
    if (imm <= UINT32_MAX) {
        emit_mov_imm32(e, dst, (uint32_t)imm);
    } else if ((int64_t)imm == (int32_t)imm) {
        emit_group(e, SIZE64, 0xc6, 0, dst, NULL, imm, 4);
    } else {
        emit_mov_plus_reg(e, true, dst, imm, 8);
    }
}

void emit_load8(struct emit *e, enum host_reg dst, struct host_mem mem)
{
    emit_rm(e, SIZE8, OP_MOV_LOAD, dst, mem);
}

void emit_load16(struct emit *e, enum host_reg dst, struct host_mem mem)
{
    emit_rm(e, SIZE16, OP_MOV_LOAD, dst, mem);
}

void emit_load32(struct emit *e, enum host_reg dst, struct host_mem mem)
{
    emit_rm(e, SIZE32, OP_MOV_LOAD, dst, mem);
}

void emit_load64(struct emit *e, enum host_reg dst, struct host_mem mem)
{
    emit_rm(e, SIZE64, OP_MOV_LOAD, dst, mem);
}

void emit_store8(struct emit *e, struct host_mem mem, enum host_reg src)
{
    emit_rm(e, SIZE8, OP_MOV_STORE, src, mem);
}

void emit_store16(struct emit *e, struct host_mem mem, enum host_reg src)
{
    emit_rm(e, SIZE16, OP_MOV_STORE, src, mem);
}

void emit_store32(struct emit *e, struct host_mem mem, enum host_reg src)
{
    emit_rm(e, SIZE32, OP_MOV_STORE, src, mem);
}

void emit_store64(struct emit *e, struct host_mem mem, enum host_reg src)
{
    emit_rm(e, SIZE64, OP_MOV_STORE, src, mem);
}

void emit_store_imm8(struct emit *e, struct host_mem mem, uint8_t imm)
{
    emit_group(e, SIZE8, 0xc6, 0, 0, &mem, imm, 1);
}

void emit_store_imm16(struct emit *e, struct host_mem mem, uint16_t imm)
{
    emit_group(e, SIZE16, 0xc6, 0, 0, &mem, imm, 2);
}

void emit_store_imm32(struct emit *e, struct host_mem mem, uint32_t imm)
{
    emit_group(e, SIZE32, 0xc6, 0, 0, &mem, imm, 4);
}

void emit_store_imm64(struct emit *e, struct host_mem mem, int32_t imm)
{
    emit_group(e, SIZE64, 0xc6, 0, 0, &mem, (uint32_t)imm, 4);
}

enum { OP_MOVZX8 = 0xb6, OP_MOVZX16 = 0xb7, OP_MOVSX8 = 0xbe, OP_MOVSX16 = 0xbf };

void emit_movzx8(struct emit *e, enum host_reg dst, enum host_reg src)
{
    emit_0f(e, false, OP_MOVZX8, dst, src, NULL, true);
}

void emit_movzx16(struct emit *e, enum host_reg dst, enum host_reg src)
{
    emit_0f(e, false, OP_MOVZX16, dst, src, NULL, false);
}

void emit_movsx8(struct emit *e, enum host_reg dst, enum host_reg src)
{
    emit_0f(e, false, OP_MOVSX8, dst, src, NULL, true);
}

void emit_movsx16(struct emit *e, enum host_reg dst, enum host_reg src)
{
    emit_0f(e, false, OP_MOVSX16, dst, src, NULL, false);
}

void emit_load_zx8(struct emit *e, enum host_reg dst, struct host_mem mem)
{
    emit_0f(e, false, OP_MOVZX8, dst, 0, &mem, false);
}

void emit_load_zx16(struct emit *e, enum host_reg dst, struct host_mem mem)
{
    emit_0f(e, false, OP_MOVZX16, dst, 0, &mem, false);
}

void emit_load_sx8(struct emit *e, enum host_reg dst, struct host_mem mem)
{
    emit_0f(e, false, OP_MOVSX8, dst, 0, &mem, false);
}

void emit_load_sx16(struct emit *e, enum host_reg dst, struct host_mem mem)
{
    emit_0f(e, false, OP_MOVSX16, dst, 0, &mem, false);
}

/* MOVSXD: 63 /r with REX.W. */
void emit_movsxd(struct emit *e, enum host_reg dst, enum host_reg src)
{
    emit_rr(e, SIZE64, 0x62, dst, src);
}

void emit_load_sxd(struct emit *e, enum host_reg dst, struct host_mem mem)
{
    emit_rm(e, SIZE64, 0x62, dst, mem);
}

void emit_xchg32(struct emit *e, enum host_reg a, enum host_reg b)
{
    emit_rr(e, SIZE32, OP_XCHG, a, b);
}

void emit_xchg64(struct emit *e, enum host_reg a, enum host_reg b)
{
    emit_rr(e, SIZE64, OP_XCHG, a, b);
}

void emit_xchg_mem32(struct emit *e, struct host_mem mem, enum host_reg reg)
{
    emit_rm(e, SIZE32, OP_XCHG, reg, mem);
}

void emit_xchg_mem64(struct emit *e, struct host_mem mem, enum host_reg reg)
{
    emit_rm(e, SIZE64, OP_XCHG, reg, mem);
}

/* LEA: 8D /r. */
void emit_lea32(struct emit *e, enum host_reg dst, struct host_mem mem)
{
    emit_rm(e, SIZE32, 0x8c, dst, mem);
}

void emit_lea64(struct emit *e, enum host_reg dst, struct host_mem mem)
{
    emit_rm(e, SIZE64, 0x8c, dst, mem);
}

void emit_cmov32(struct emit *e, enum host_condition condition, enum host_reg dst, enum host_reg src)
{
    emit_0f(e, false, 0x40 | (unsigned)condition, dst, src, NULL, false);
}

void emit_cmov64(struct emit *e, enum host_condition condition, enum host_reg dst, enum host_reg src)
{
    emit_0f(e, true, 0x40 | (unsigned)condition, dst, src, NULL, false);
}

void emit_setcc(struct emit *e, enum host_condition condition, enum host_reg dst)
{
    emit_0f(e, false, 0x90 | (unsigned)condition, 0, dst, NULL, true);
}

void emit_setcc_mem(struct emit *e, enum host_condition condition, struct host_mem mem)
{
    emit_0f(e, false, 0x90 | (unsigned)condition, 0, 0, &mem, false);
}

void emit_not32(struct emit *e, enum host_reg reg)
{
    emit_group(e, SIZE32, OP_GROUP3, 2, reg, NULL, 0, 0);
}

void emit_not64(struct emit *e, enum host_reg reg)
{
    emit_group(e, SIZE64, OP_GROUP3, 2, reg, NULL, 0, 0);
}

void emit_bswap32(struct emit *e, enum host_reg reg)
{
    struct emit_insn insn = {.map = EMIT_MAP_0F, .opcode = 0xc8, .plus_reg = true, .rm = (uint8_t)reg};

    emit_insn(e, &insn);
}

/* ---- BMI2 ---- */

enum { VEX_MAP_0F38 = 2, VEX_MAP_0F3A = 3, VEX_PP_66 = 1, VEX_PP_F3 = 2, VEX_PP_F2 = 3 };

/* VEX.LZ, register operands only; vvvv is inverted, 0 there and 15 here when it is not used. */
static void put_vex(struct bytes *b, bool wide, unsigned map, unsigned pp, unsigned reg, unsigned vvvv,
                    unsigned rm)
{
    put8(b, 0xc4);
    put8(b, (reg < 8 ? 0x80u : 0) | 0x40 | (rm < 8 ? 0x20u : 0) | map);
    put8(b, (wide ? 0x80u : 0) | (~vvvv & 15) << 3 | pp);
}

/* SHLX, SARX, SHRX: VEX.66, .F3, .F2 .0F38 F7 /r. */
static void emit_bmi2_shift(struct emit *e, bool wide, unsigned pp, unsigned dst, unsigned src,
                            unsigned count)
{
    struct bytes b = {.count = 0};

    put_vex(&b, wide, VEX_MAP_0F38, pp, dst, count, src);
    put8(&b, 0xf7);
    put8(&b, modrm(3, dst, src));
    commit(e, &b);
}

void emit_shlx32(struct emit *e, enum host_reg dst, enum host_reg src, enum host_reg count)
{
    emit_bmi2_shift(e, false, VEX_PP_66, dst, src, count);
}

void emit_shlx64(struct emit *e, enum host_reg dst, enum host_reg src, enum host_reg count)
{
    emit_bmi2_shift(e, true, VEX_PP_66, dst, src, count);
}

void emit_shrx32(struct emit *e, enum host_reg dst, enum host_reg src, enum host_reg count)
{
    emit_bmi2_shift(e, false, VEX_PP_F2, dst, src, count);
}

void emit_shrx64(struct emit *e, enum host_reg dst, enum host_reg src, enum host_reg count)
{
    emit_bmi2_shift(e, true, VEX_PP_F2, dst, src, count);
}

void emit_sarx32(struct emit *e, enum host_reg dst, enum host_reg src, enum host_reg count)
{
    emit_bmi2_shift(e, false, VEX_PP_F3, dst, src, count);
}

void emit_sarx64(struct emit *e, enum host_reg dst, enum host_reg src, enum host_reg count)
{
    emit_bmi2_shift(e, true, VEX_PP_F3, dst, src, count);
}

/* RORX: VEX.F2.0F3A F0 /r ib. */
static void emit_rorx(struct emit *e, bool wide, unsigned dst, unsigned src, unsigned count)
{
    struct bytes b = {.count = 0};

    put_vex(&b, wide, VEX_MAP_0F3A, VEX_PP_F2, dst, 0, src);
    put8(&b, 0xf0);
    put8(&b, modrm(3, dst, src));
    put8(&b, count);
    commit(e, &b);
}

void emit_rorx32(struct emit *e, enum host_reg dst, enum host_reg src, unsigned count)
{
    emit_rorx(e, false, dst, src, count);
}

void emit_rorx64(struct emit *e, enum host_reg dst, enum host_reg src, unsigned count)
{
    emit_rorx(e, true, dst, src, count);
}

/* ---- arithmetic ---- */

/* Opcode of `op r/m8, r8`; + 2 is `op r8, r/m8`. */
static unsigned alu_opcode(enum host_alu op)
{
    return (unsigned)op << 3;
}

void emit_alu32(struct emit *e, enum host_alu op, enum host_reg dst, enum host_reg src)
{
    emit_rr(e, SIZE32, alu_opcode(op), src, dst);
}

void emit_alu64(struct emit *e, enum host_alu op, enum host_reg dst, enum host_reg src)
{
    emit_rr(e, SIZE64, alu_opcode(op), src, dst);
}

void emit_alu_load32(struct emit *e, enum host_alu op, enum host_reg dst, struct host_mem mem)
{
    emit_rm(e, SIZE32, alu_opcode(op) + 2, dst, mem);
}

void emit_alu_load64(struct emit *e, enum host_alu op, enum host_reg dst, struct host_mem mem)
{
    emit_rm(e, SIZE64, alu_opcode(op) + 2, dst, mem);
}

void emit_alu_store32(struct emit *e, enum host_alu op, struct host_mem mem, enum host_reg src)
{
    emit_rm(e, SIZE32, alu_opcode(op), src, mem);
}

void emit_alu_store64(struct emit *e, enum host_alu op, struct host_mem mem, enum host_reg src)
{
    emit_rm(e, SIZE64, alu_opcode(op), src, mem);
}

/* 81 with a 32-bit immediate, 83 with a sign-extended byte where that is enough. */
static void emit_alu_imm(struct emit *e, unsigned size, enum host_alu op, unsigned rm,
                         const struct host_mem *mem, int32_t imm)
{
    bool is_short = is_imm8(imm);

    emit_group(e, size, is_short ? 0x82 : 0x80, op, rm, mem, (uint32_t)imm, is_short ? 1 : 4);
}

void emit_alu_imm32(struct emit *e, enum host_alu op, enum host_reg dst, uint32_t imm)
{
    emit_alu_imm(e, SIZE32, op, dst, NULL, (int32_t)imm);
}

void emit_alu_imm64(struct emit *e, enum host_alu op, enum host_reg dst, int32_t imm)
{
    emit_alu_imm(e, SIZE64, op, dst, NULL, imm);
}

void emit_alu_mem_imm8(struct emit *e, enum host_alu op, struct host_mem mem, uint8_t imm)
{
    emit_group(e, SIZE8, 0x80, op, 0, &mem, imm, 1);
}

void emit_alu_mem_imm32(struct emit *e, enum host_alu op, struct host_mem mem, uint32_t imm)
{
    emit_alu_imm(e, SIZE32, op, 0, &mem, (int32_t)imm);
}

void emit_alu_mem_imm64(struct emit *e, enum host_alu op, struct host_mem mem, int32_t imm)
{
    emit_alu_imm(e, SIZE64, op, 0, &mem, imm);
}

void emit_test32(struct emit *e, enum host_reg a, enum host_reg b)
{
    emit_rr(e, SIZE32, OP_TEST, b, a);
}

void emit_test64(struct emit *e, enum host_reg a, enum host_reg b)
{
    emit_rr(e, SIZE64, OP_TEST, b, a);
}

void emit_test_imm32(struct emit *e, enum host_reg reg, uint32_t imm)
{
    emit_group(e, SIZE32, OP_GROUP3, 0, reg, NULL, imm, 4);
}

void emit_test_mem_imm8(struct emit *e, struct host_mem mem, uint8_t imm)
{
    emit_group(e, SIZE8, OP_GROUP3, 0, 0, &mem, imm, 1);
}

void emit_test_mem_imm32(struct emit *e, struct host_mem mem, uint32_t imm)
{
    emit_group(e, SIZE32, OP_GROUP3, 0, 0, &mem, imm, 4);
}

void emit_shift32(struct emit *e, enum host_shift op, enum host_reg reg, unsigned count)
{
    emit_group(e, SIZE32, 0xc0, op, reg, NULL, count, 1);
}

void emit_shift64(struct emit *e, enum host_shift op, enum host_reg reg, unsigned count)
{
    emit_group(e, SIZE64, 0xc0, op, reg, NULL, count, 1);
}

/* ---- flags and stack ---- */

static void emit_plus_reg(struct emit *e, unsigned opcode, unsigned reg)
{
    struct emit_insn insn = {.opcode = (uint8_t)opcode, .plus_reg = true, .rm = (uint8_t)reg};

    emit_insn(e, &insn);
}

/* Operand size 64 is the default of stack and near-branch instructions: no REX.W. */
static void emit_group_mem(struct emit *e, unsigned opcode, unsigned reg, const struct host_mem *mem)
{
    emit_group(e, SIZE32, opcode - 1, reg, 0, mem, 0, 0);
}

void emit_push(struct emit *e, enum host_reg reg)
{
    emit_plus_reg(e, 0x50, reg);
}

void emit_pop(struct emit *e, enum host_reg reg)
{
    emit_plus_reg(e, 0x58, reg);
}

void emit_push_mem(struct emit *e, struct host_mem mem)
{
    emit_group_mem(e, 0xff, 6, &mem);
}

void emit_pop_mem(struct emit *e, struct host_mem mem)
{
    emit_group_mem(e, 0x8f, 0, &mem);
}

void emit_push_imm32(struct emit *e, int32_t imm)
{
    struct emit_insn insn = {.opcode = 0x68, .imm = (uint32_t)imm, .imm_size = 4};

    emit_insn(e, &insn);
}

void emit_pushfq(struct emit *e)
{
    emit_plain(e, 0x9c);
}

void emit_popfq(struct emit *e)
{
    emit_plain(e, 0x9d);
}

void emit_lahf(struct emit *e)
{
    emit_plain(e, 0x9f);
}

void emit_sahf(struct emit *e)
{
    emit_plain(e, 0x9e);
}

void emit_cld(struct emit *e)
{
    emit_plain(e, 0xfc);
}

void emit_std(struct emit *e)
{
    emit_plain(e, 0xfd);
}

/* ---- x87 and SSE state: group 15 ---- */

enum { GROUP15 = 0xae, GROUP15_FXSAVE = 0, GROUP15_FXRSTOR = 1, GROUP15_LDMXCSR = 2, GROUP15_STMXCSR = 3 };

void emit_fxsave(struct emit *e, struct host_mem mem)
{
    emit_0f(e, false, GROUP15, GROUP15_FXSAVE, 0, &mem, false);
}

void emit_fxrstor(struct emit *e, struct host_mem mem)
{
    emit_0f(e, false, GROUP15, GROUP15_FXRSTOR, 0, &mem, false);
}

void emit_fxsave64(struct emit *e, struct host_mem mem)
{
    emit_0f(e, true, GROUP15, GROUP15_FXSAVE, 0, &mem, false);
}

void emit_fxrstor64(struct emit *e, struct host_mem mem)
{
    emit_0f(e, true, GROUP15, GROUP15_FXRSTOR, 0, &mem, false);
}

void emit_ldmxcsr(struct emit *e, struct host_mem mem)
{
    emit_0f(e, false, GROUP15, GROUP15_LDMXCSR, 0, &mem, false);
}

void emit_stmxcsr(struct emit *e, struct host_mem mem)
{
    emit_0f(e, false, GROUP15, GROUP15_STMXCSR, 0, &mem, false);
}

/* ---- control transfer ---- */

bool emit_patch_rel32(uint8_t *field, ptrdiff_t view, const void *target)
{
    intptr_t distance = (intptr_t)target - (intptr_t)(field + 4 + view);

    if (distance != (int32_t)distance) {
        return false;
    }
    store_le32(field, (uint32_t)(int32_t)distance);
    return true;
}

const void *emit_rel32_target(const uint8_t *field, ptrdiff_t view)
{
    return field + 4 + view + (int32_t)load_le32(field);
}

/* An opcode of one byte (`escape` false) or two, and a 32-bit displacement of 0. Returns the displacement. */
static uint8_t *emit_relative(struct emit *e, bool escape, unsigned opcode)
{
    struct bytes b = {.count = 0};

    if (escape) {
        put8(&b, 0x0f);
    }
    put8(&b, opcode);
    put(&b, 0, 4);
    return commit(e, &b) ? e->at - 4 : NULL;
}

static uint8_t *emit_relative_to(struct emit *e, bool escape, unsigned opcode, const void *target)
{
    uint8_t *field = emit_relative(e, escape, opcode);

    if (field && target && !emit_patch_rel32(field, e->view, target)) {
        e->out_of_reach = true;
    }
    return field;
}

enum { OP_JMP32 = 0xe9, OP_JMP8 = 0xeb, OP_CALL = 0xe8, OP_JCC32 = 0x80, OP_JCC8 = 0x70, OP_JRCXZ = 0xe3 };

uint8_t *emit_jmp(struct emit *e, const void *target)
{
    return emit_relative_to(e, false, OP_JMP32, target);
}

uint8_t *emit_jcc(struct emit *e, enum host_condition condition, const void *target)
{
    return emit_relative_to(e, true, OP_JCC32 | (unsigned)condition, target);
}

uint8_t *emit_call(struct emit *e, const void *target)
{
    return emit_relative_to(e, false, OP_CALL, target);
}

void emit_jmp_reg(struct emit *e, enum host_reg reg)
{
    emit_group(e, SIZE32, 0xfe, 4, reg, NULL, 0, 0);
}

void emit_jmp_mem(struct emit *e, struct host_mem mem)
{
    emit_group_mem(e, 0xff, 4, &mem);
}

void emit_call_reg(struct emit *e, enum host_reg reg)
{
    emit_group(e, SIZE32, 0xfe, 2, reg, NULL, 0, 0);
}

void emit_call_mem(struct emit *e, struct host_mem mem)
{
    emit_group_mem(e, 0xff, 2, &mem);
}

void emit_ret(struct emit *e)
{
    emit_plain(e, 0xc3);
}

void emit_int3(struct emit *e)
{
    emit_plain(e, 0xcc);
}

void emit_ud2(struct emit *e)
{
    struct emit_insn insn = {.map = EMIT_MAP_0F, .opcode = 0x0b};

    emit_insn(e, &insn);
}

/* SDM: Volume 2B, "NOP", table of recommended multi-byte sequences. */
void emit_nop(struct emit *e, unsigned count)
{
    static const uint8_t sequence[][9] = {
        {0x90},
        {0x66, 0x90},
        {0x0f, 0x1f, 0x00},
        {0x0f, 0x1f, 0x40, 0x00},
        {0x0f, 0x1f, 0x44, 0x00, 0x00},
        {0x66, 0x0f, 0x1f, 0x44, 0x00, 0x00},
        {0x0f, 0x1f, 0x80, 0x00, 0x00, 0x00, 0x00},
        {0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00},
        {0x66, 0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00},
    };

    while (count > 0 && !e->overflow) {
        struct bytes b = {.count = MIN(count, (unsigned)ARRAY_LEN(sequence))};

        memcpy(b.byte, sequence[b.count - 1], b.count);
        commit(e, &b);
        count -= b.count;
    }
}

void emit_align(struct emit *e, unsigned alignment)
{
    emit_nop(e, (unsigned)(-(uintptr_t)emit_here(e) & (alignment - 1)));
}

/* ---- labels ---- */

/* Fill in the displacement that ends the `size` bytes at `field`. */
static void resolve(struct emit *e, uint8_t *field, bool wide, const uint8_t *target)
{
    ptrdiff_t distance = target - (field + (wide ? 4 : 1));

    if (wide) {
        store_le32(field, (uint32_t)(int32_t)distance);
    } else if (is_imm8(distance)) {
        *field = (uint8_t)distance;
    } else {
        e->out_of_reach = true;
    }
}

/* The displacement at `field` means the label, now or when it is bound. */
static void use(struct emit *e, struct emit_label *label, uint8_t *field, bool wide)
{
    if (!field) {
        return; /* the buffer is full */
    }
    if (label->target) {
        resolve(e, field, wide, label->target);
    } else if (label->uses < EMIT_LABEL_USES) {
        label->field[label->uses] = field;
        label->wide[label->uses++] = wide;
    } else {
        e->out_of_reach = true;
    }
}

void emit_bind(struct emit *e, struct emit_label *label)
{
    label->target = e->at;
    for (unsigned i = 0; i < label->uses; i++) {
        resolve(e, label->field[i], label->wide[i], label->target);
    }
    label->uses = 0;
}

static void emit_short(struct emit *e, unsigned opcode, struct emit_label *label)
{
    struct bytes b = {.count = 0};

    put8(&b, opcode);
    put8(&b, 0);
    use(e, label, commit(e, &b) ? e->at - 1 : NULL, false);
}

/* Is it bound, and does a two-byte jump from here reach it? */
static bool is_near(const struct emit *e, const struct emit_label *label)
{
    return label->target && is_imm8(label->target - (e->at + 2));
}

void emit_jmp_label(struct emit *e, struct emit_label *label)
{
    if (is_near(e, label)) {
        emit_short(e, OP_JMP8, label);
    } else {
        use(e, label, emit_relative(e, false, OP_JMP32), true);
    }
}

void emit_jcc_label(struct emit *e, enum host_condition condition, struct emit_label *label)
{
    if (is_near(e, label)) {
        emit_short(e, OP_JCC8 | (unsigned)condition, label);
    } else {
        use(e, label, emit_relative(e, true, OP_JCC32 | (unsigned)condition), true);
    }
}

void emit_call_label(struct emit *e, struct emit_label *label)
{
    use(e, label, emit_relative(e, false, OP_CALL), true);
}

void emit_jmp_short(struct emit *e, struct emit_label *label)
{
    emit_short(e, OP_JMP8, label);
}

void emit_jcc_short(struct emit *e, enum host_condition condition, struct emit_label *label)
{
    emit_short(e, OP_JCC8 | (unsigned)condition, label);
}

void emit_jrcxz(struct emit *e, struct emit_label *label)
{
    emit_short(e, OP_JRCXZ, label);
}

/* Address-size prefix: ECX. */
void emit_jecxz(struct emit *e, struct emit_label *label)
{
    struct bytes b = {.byte = {0x67, OP_JRCXZ, 0}, .count = 3};

    use(e, label, commit(e, &b) ? e->at - 1 : NULL, false);
}

/* LEA r64,[RIP + disp32]: mod 00b, r/m 101b. */
void emit_lea_label(struct emit *e, enum host_reg dst, struct emit_label *label)
{
    struct bytes b = {.count = 0};

    put8(&b, dst >= 8 ? 0x4c : 0x48);
    put8(&b, 0x8d);
    put8(&b, modrm(0, dst, 5));
    put(&b, 0, 4);
    use(e, label, commit(e, &b) ? e->at - 4 : NULL, true);
}
