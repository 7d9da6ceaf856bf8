/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Copying guest instructions; binxlate/reencode.h tells what comes out. Here is how the bytes are found.
 *
 * The operand letters of the opcode table say what ModRM.reg, ModRM.r/m and the opcode's own register field
 * name: a general register is renamed (ESP to r12), MMX, XMM and x87 registers keep their number. Which
 * rows may be copied at all is the table `copied` below.
 *
 * SDM: Volume 2A, "Instruction Format"; Volume 2B, "Instructions in 64-bit mode" remarks of each instruction.
 */
#include "binxlate/reencode.h"

#include "cpu/decode.h"

/* ---- which rows ---- */

/* Per opcode byte (of a row): the ModRM.reg values (bit n: /n) of the memory and register forms that are copied. */
struct copied {
    uint8_t memory, registers;
};

#define ALL                                                                                                  \
    {                                                                                                        \
        0xff, 0xff                                                                                           \
    }

static const struct copied copied[MAP_COUNT][256] =
    {
        [MAP_1BYTE] =
            {
                [0x00 ... 0x05] = ALL, /* ADD; the gaps are PUSH and POP of segment registers, DAA ... */
                [0x08 ... 0x0d] = ALL,
                [0x10 ... 0x15] = ALL,
                [0x18 ... 0x1d] = ALL,
                [0x20 ... 0x25] = ALL,
                [0x28 ... 0x2d] = ALL,
                [0x30 ... 0x35] = ALL,
                [0x38 ... 0x3d] = ALL,
                [0x40 ... 0x4f] = ALL, /* INC, DEC */
                [0x69] = ALL,          /* IMUL */
                [0x6b] = ALL,
                [0x80 ... 0x8b] = ALL,                      /* ALU with immediate, TEST, XCHG, MOV */
                [0x8d] = ALL,                               /* LEA */
                [0x90 ... 0x99] = ALL,                      /* NOP, XCHG, CBW, CWD */
                [0x9b] = ALL,                               /* WAIT */
                [0x9e ... 0xa3] = ALL,                      /* SAHF, LAHF, MOV moffs */
                [0xa8 ... 0xa9] = ALL,                      /* TEST */
                [0xb0 ... 0xc1] = ALL,                      /* MOV, shifts */
                [0xc6 ... 0xc7] = ALL,                      /* MOV */
                [0xd0 ... 0xd3] = ALL,                      /* shifts */
                [0xd8] = ALL,                               /* x87 */
                [0xd9] = {0xff & ~(1 << 4 | 1 << 6), 0xff}, /* but FLDENV, FNSTENV */
                [0xda ... 0xdc] = ALL,
                [0xdd] = {0xff & ~(1 << 4 | 1 << 6), 0xff}, /* but FRSTOR, FNSAVE */
                [0xde ... 0xdf] = ALL,
                [0xf5 ... 0xf9] = ALL, /* CMC, group 3, CLC, STC */
                [0xfc ... 0xfe] = ALL, /* CLD, STD, INC, DEC */
                [0xff] = {1 << 0 | 1 << 1, 1 << 0 | 1 << 1},
            },
        [MAP_0F] =
            {
                [0x10 ... 0x17] = ALL,                       /* SSE moves */
                [0x18 ... 0x1f] = ALL,                       /* PREFETCH, NOP */
                [0x28 ... 0x2f] = ALL,                       /* SSE moves, conversions, comparisons */
                [0x40 ... 0x4f] = ALL,                       /* CMOVcc */
                [0x50 ... 0x7f] = ALL,                       /* MMX and SSE */
                [0x90 ... 0x9f] = ALL,                       /* SETcc */
                [0xa3 ... 0xa5] = ALL,                       /* BT, SHLD */
                [0xab ... 0xad] = ALL,                       /* BTS, SHRD */
                [0xae] = {1 << 3, 1 << 5 | 1 << 6 | 1 << 7}, /* STMXCSR, fences */
                [0xaf ... 0xb1] = ALL,                       /* IMUL, CMPXCHG */
                [0xb3] = ALL,                                /* BTR */
                [0xb6 ... 0xb7] = ALL,                       /* MOVZX */
                [0xba ... 0xbf] = ALL,                       /* bit tests and scans, MOVSX */
                [0xc0 ... 0xc6] = ALL,                       /* XADD, SSE, MOVNTI */
                [0xc7] = {1 << 1, 0},                        /* CMPXCHG8B */
                [0xc8 ... 0xcf] = ALL,                       /* BSWAP */
                [0xd0 ... 0xf6] = ALL,                       /* MMX and SSE */
                [0xf8 ... 0xfe] = ALL,                       /* but F7, MASKMOV: implicit memory */
            },
        [MAP_0F38] =
            {
                [0x00 ... 0xff] = ALL,
            },
        [MAP_0F3A] =
            {
                [0x00 ... 0xff] = ALL,
            },
};

static bool is_row(const struct insn *insn, enum opcode_map map, uint8_t first, uint8_t last)
{
    return insn->opcode->map == map && first <= insn->opcode->byte && insn->opcode->byte <= last;
}

/*
 * CVTPI2PS from memory. SDM: it makes the transition to MMX operation all the same, and so does the
 * interpreter; some processors do not, so a copy would depend on the host.
 */
static bool depends_on_host(const struct insn *insn)
{
    return is_row(insn, MAP_0F, 0x2a, 0x2a) && insn->opcode->prefix == OPP_NP && insn->memory;
}

bool reencode_supported(const struct insn *insn)
{
    const struct opcode *row = insn->opcode;

    if ((row->flags & (OPF_END | OPF_CPL0 | OPF_STRING)) || depends_on_host(insn)) {
        return false;
    }
    const struct copied *forms = &copied[row->map][row->byte];
    return (insn->memory ? forms->memory : forms->registers) >> insn->reg & 1;
}

static bool is_lea(const struct insn *insn)
{
    return is_row(insn, MAP_1BYTE, 0x8d, 0x8d);
}

/* NOP, PAUSE and the hints that never touch memory. 90 with a register other than EAX is XCHG. */
static bool is_nothing(const struct insn *insn)
{
    return (is_row(insn, MAP_1BYTE, 0x90, 0x90) && !insn->opcode->plus_reg) ||
           is_row(insn, MAP_0F, 0x18, 0x1f);
}

/* MOV between AL, AX or EAX and a direct address. */
static bool is_moffs(const struct insn *insn)
{
    return is_row(insn, MAP_1BYTE, 0xa0, 0xa3);
}

/* BT, BTS, BTR, BTC: a bit offset in a register that reaches beyond the operand that ModRM names. */
static bool is_bit_string(const struct insn *insn)
{
    return insn->memory && (is_row(insn, MAP_0F, 0xa3, 0xa3) || is_row(insn, MAP_0F, 0xab, 0xab) ||
                            is_row(insn, MAP_0F, 0xb3, 0xb3) || is_row(insn, MAP_0F, 0xbb, 0xbb));
}

/* ---- the memory operand ---- */

unsigned reencode_memory_access(const struct insn *insn)
{
    uint32_t flags = insn->opcode->flags;

    if (!insn->memory) {
        return 0;
    }
    return (flags & OPF_MEM_READ ? REENCODE_READ : 0u) | (flags & OPF_MEM_WRITE ? REENCODE_WRITE : 0u);
}

/* Bytes of a size, as cpu/opcodes.def and cpu/opcodes_fpu.def spell them; `text` goes on behind it. */
static unsigned size_bytes(const char *text, unsigned opsize)
{
    switch (text[0]) {
    case 'b':
        return 1;
    case 'w':
        return 2;
    case 'd':
        return text[1] == 'q' ? 16 : 4;
    case 'q':
        return 8;
    case 'v':
    case 'z':
        return opsize;
    case 'a':
        return 2 * opsize;
    case 't':
        return 10;
    case 'e':
        return opsize == 2 ? 14 : 28;
    case 'n':
        return opsize == 2 ? 94 : 108;
    case 'f':
        return 512;
    case 's': /* scalar single, scalar double, pseudo-descriptor */
        return text[1] == 's' ? 4 : text[1] == 'd' ? 8 : 6;
    case 'p': /* packed single and double, packed integers in MMX, far pointer */
        return text[1] == 's' || text[1] == 'd' ? 16 : text[1] == 'i' ? 8 : opsize + 2;
    default:
        return 0;
    }
}

/* Bytes of the operand if it is the memory one, else 0. */
static unsigned operand_memory_size(const struct operand *operand, unsigned opsize)
{
    const char *slash = memchr(operand->text, '/', operand->length);

    if (slash) {
        return size_bytes(slash + 2, opsize); /* Rv/Mw */
    }
    if (operand->letter && strchr("EMQWO", operand->letter)) {
        return size_bytes(operand->text + 1, opsize);
    }
    return 0;
}

unsigned reencode_memory_size(const struct insn *insn)
{
    const char *cursor = insn->opcode->operands;
    struct operand operand;
    unsigned size = 0;

    if (!reencode_memory_access(insn)) {
        return 0;
    }
    while (size == 0 && operand_next(&cursor, &operand)) {
        size = operand_memory_size(&operand, insn->opsize);
    }
    return size;
}

static uint8_t renamed(uint8_t reg)
{
    return reg == RSP ? REENCODE_ESP : reg;
}

/* The guest's own address expression over the renamed registers. */
static struct host_mem guest_address(const struct insn *insn)
{
    struct host_mem mem = {
        .base = renamed(insn->base), .index = insn->index, .shift = insn->scale, .disp = insn->disp};

    if (mem.base == HOST_NO_REG && mem.shift == 0) { /* an index alone costs a longer form */
        mem.base = mem.index;
        mem.index = HOST_NO_REG;
    }
    return mem;
}

static void emit_address32(struct emit *e, const struct host_mem *mem, enum host_reg dst)
{
    if (mem->base == HOST_NO_REG && mem->index == HOST_NO_REG) {
        emit_mov_imm32(e, dst, (uint32_t)mem->disp);
    } else if (mem->index == HOST_NO_REG && mem->disp == 0) {
        emit_mov32(e, dst, mem->base);
    } else {
        emit_lea32(e, dst, *mem);
    }
}

/*
 * r10 = distance from the operand that ModRM names to the one that holds the bit, in operands: the bit offset
 * shifted right arithmetically by 5, for words by 4. `free` is a register to hold the count.
 */
static void emit_bit_distance(struct emit *e, const struct insn *insn, enum host_reg free)
{
    enum host_reg offset = renamed(insn->reg);

    if (insn->opsize == 2) {
        emit_movsx16(e, REENCODE_SCRATCH, offset);
        offset = REENCODE_SCRATCH;
    }
    emit_mov_imm32(e, free, insn->opsize == 2 ? 4 : 5);
    emit_sarx32(e, REENCODE_SCRATCH, offset, free);
}

void reencode_lea(struct emit *e, const struct insn *insn, enum host_reg dst)
{
    struct host_mem mem = guest_address(insn);

    if (is_bit_string(insn)) {
        emit_bit_distance(e, insn, dst);
    }
    emit_address32(e, &mem, dst);
    if (is_bit_string(insn)) {
        emit_lea32(e, dst, host_mem_index(dst, REENCODE_SCRATCH, insn->opsize == 2 ? 1 : 2, 0));
    }
    if (insn->addrsize == 2) {
        emit_movzx16(e, dst, dst);
    }
}

bool reencode_window(const struct insn *insn, struct host_mem *mem)
{
    if (insn->addrsize == 2 || is_bit_string(insn)) {
        return false;
    }
    *mem = guest_address(insn);
    mem->window = true;
    return true;
}

/* ---- instructions with a sequence of their own ---- */

/* A 16-bit result needs no care for the address size: it is the low half in any case. */
static void copy_lea(struct emit *e, const struct insn *insn)
{
    struct host_mem mem = guest_address(insn);
    enum host_reg dst = renamed(insn->reg);

    if (insn->opsize == 4) {
        reencode_lea(e, insn, dst);
        return;
    }
    struct emit_insn lea = {
        .opsize16 = true, .opcode = 0x8d, .modrm = true, .reg = (uint8_t)dst, .mem = &mem};
    emit_insn(e, &lea);
}

/*
 * r10 = the bit offset's low five bits (four for words): the address is already that of the word or
 * doubleword. As a 64-bit number the offset has zeros above bit 31, so that rotating moves the wanted bits
 * alone to the top:
 *
 *   rorx r10,offset,5     63-59 wanted, 26-0 the rest
 *   shrx r10,r10,44       19-15 wanted
 *   rorx r10d,r10d,15      4-0  wanted
 */
static void emit_bit_number(struct emit *e, enum host_reg offset, unsigned width)
{
    emit_rorx64(e, REENCODE_SCRATCH, offset, width);
    emit_shrx64(e, REENCODE_SCRATCH, REENCODE_SCRATCH, REENCODE_SHIFT);
    emit_rorx32(e, REENCODE_SCRATCH, REENCODE_SCRATCH, 20 - width);
}

/* ---- the general case ---- */

/* An instruction on its way to the host: what the row's operands name. */
struct copy {
    struct emit_insn out;
    bool reg_high, rm_high; /* ModRM.reg, ModRM.r/m is AH, CH, DH or BH */
    bool reg_is_first;      /* ModRM.reg is the first operand */
};

static bool is_high_byte(const struct operand *operand, uint8_t reg)
{
    return operand->size == 'b' && reg >= 4;
}

static void take_operand(struct copy *copy, const struct insn *insn, const struct operand *operand,
                         bool first)
{
    struct emit_insn *out = &copy->out;

    switch (operand->letter) {
    case 'G':
        copy->reg_is_first = first;
        copy->reg_high = is_high_byte(operand, insn->reg);
        out->reg = operand->size == 'b' ? insn->reg : renamed(insn->reg);
        break;
    case 'E':
    case 'R':
    case 'Z':
        if (!insn->memory) {
            copy->rm_high = is_high_byte(operand, insn->rm);
            out->rm = operand->size == 'b' ? insn->rm : renamed(insn->rm);
        }
        break;
    case 'I':
        out->imm = insn->imm;
        out->imm_size = operand->size == '1' ? 0 : operand->size == 'b' ? 1 : insn->opsize;
        break;
    default:
        break;
    }
}

/* Encodings that 64-bit mode lacks, or gives another meaning. */
static void replace_opcode(struct emit_insn *out, const struct insn *insn)
{
    uint8_t byte = insn->opcode->byte;

    if (is_moffs(insn)) { /* MOV r, r/m and MOV r/m, r, with AL or EAX */
        out->opcode = (uint8_t)((byte < 0xa2 ? 0x8a : 0x88) | (byte & 1));
        out->modrm = true;
        out->reg = RAX;
    } else if (is_row(insn, MAP_1BYTE, 0x40, 0x4f)) { /* INC, DEC: now REX; FF /0 and /1 */
        out->opcode = 0xff;
        out->plus_reg = false;
        out->modrm = true;
        out->reg = byte >> 3 & 1;
    } else if (is_row(insn, MAP_1BYTE, 0x82, 0x82)) { /* alias of 80 */
        out->opcode = 0x80;
    } else if (is_row(insn, MAP_1BYTE, 0xf6, 0xf7) && insn->reg == 1) { /* TEST, alias of /0 */
        out->reg = 0;
    } else if ((is_row(insn, MAP_1BYTE, 0xc0, 0xc1) || is_row(insn, MAP_1BYTE, 0xd0, 0xd3)) &&
               insn->reg == 6) { /* SHL, alias of /4 */
        out->reg = 4;
    }
}

static void describe(struct copy *copy, const struct insn *insn)
{
    static const uint8_t map_of[MAP_COUNT] = {
        [MAP_1BYTE] = EMIT_MAP_1BYTE,
        [MAP_0F] = EMIT_MAP_0F,
        [MAP_0F38] = EMIT_MAP_0F38,
        [MAP_0F3A] = EMIT_MAP_0F3A,
    };
    const struct opcode *row = insn->opcode;
    const char *cursor = row->operands;
    struct operand operand;
    bool first = true;

    *copy = (struct copy){
        .out =
            {
                .opsize16 = insn->opsize == 2 && row->exec16 != row->exec32,
                .lock = insn->lock,
                .prefix = row->prefix > OPP_NP ? row->prefix : 0,
                .map = map_of[row->map],
                .opcode = row->byte,
                .plus_reg = row->plus_reg,
                .modrm = opcode_has_modrm(row),
                .reg = insn->reg,
                .rm = insn->rm,
            },
    };
    while (operand_next(&cursor, &operand)) {
        take_operand(copy, insn, &operand, first);
        first = false;
    }
    replace_opcode(&copy->out, insn);
}

static bool needs_rex(const struct emit_insn *out)
{
    return (out->modrm && out->reg >= 8) || (out->mem ? host_mem_needs_rex(out->mem) : out->rm >= 8);
}

/* r10b = AH, CH, DH or BH: byte register 4-7. */
static void emit_take_high(struct emit *e, uint8_t high)
{
    emit_rorx32(e, REENCODE_SCRATCH, (enum host_reg)(high - 4), 8);
}

/* The reverse: turn the byte down, replace it, turn it back. */
static void emit_put_high(struct emit *e, uint8_t high)
{
    enum host_reg full = (enum host_reg)(high - 4);

    emit_rorx32(e, full, full, 8);
    emit_mov8(e, full, REENCODE_SCRATCH);
    emit_rorx32(e, full, full, 24);
}

/* Is ModRM.reg written? As the destination (but CMP's), or the second result of XCHG and XADD. */
static bool writes_reg(const struct insn *insn, const struct copy *copy)
{
    if (is_row(insn, MAP_1BYTE, 0x86, 0x86) || is_row(insn, MAP_0F, 0xc0, 0xc0)) {
        return true;
    }
    return copy->reg_is_first && !is_row(insn, MAP_1BYTE, 0x3a, 0x3a);
}

static void emit_copy(struct emit *e, const struct insn *insn, struct copy *copy)
{
    struct emit_insn *out = &copy->out;
    bool rex = needs_rex(out);
    uint8_t reg = out->reg;

    if (copy->reg_high && rex) {
        emit_take_high(e, reg);
        out->reg = REENCODE_SCRATCH;
    }
    if (copy->rm_high && rex) {
        emit_take_high(e, out->rm);
        out->rm = REENCODE_SCRATCH; /* MOVZX and MOVSX into r12: read only */
    }
    emit_insn(e, out);
    if (copy->reg_high && rex && writes_reg(insn, copy)) {
        emit_put_high(e, reg);
    }
}

bool reencode(struct emit *e, const struct insn *insn, const struct host_mem *mem)
{
    struct copy copy;

    if (!reencode_supported(insn)) {
        return false;
    }
    if (is_nothing(insn)) {
        return true;
    }
    if (is_lea(insn)) {
        copy_lea(e, insn);
        return true;
    }
    describe(&copy, insn);
    if (insn->memory) {
        copy.out.mem = mem;
    }
    if (is_bit_string(insn)) {
        emit_bit_number(e, copy.out.reg, insn->opsize == 2 ? 4 : 5);
        copy.out.reg = REENCODE_SCRATCH;
    }
    emit_copy(e, insn, &copy);
    return true;
}
