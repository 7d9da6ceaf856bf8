/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Instructions as text, in Intel syntax, from the same operand letters that the decoder reads.
 *
 *   lock add dword ptr fs:[ebx + ecx*4 - 0x10], eax
 *   rep movsd dword ptr es:[edi], dword ptr [esi]
 *   jne 0xc0100040
 *
 * Numbers up to 9 are decimal, larger ones hexadecimal. Not written: prefixes without effect.
 */
#include "cpu/decode.h"

#include <stdarg.h>
#include <stdio.h>

struct writer {
    char *text;
    size_t size, used;
};

PRINTF_LIKE(2, 3) static void put(struct writer *writer, const char *format, ...)
{
    va_list args;
    size_t room = writer->used < writer->size ? writer->size - writer->used : 0;

    va_start(args, format);
    int length = vsnprintf(room ? writer->text + writer->used : NULL, room, format, args);
    va_end(args);
    writer->used += length > 0 ? (size_t)length : 0;
}

static void put_number(struct writer *writer, uint32_t value)
{
    put(writer, value <= 9 ? "%u" : "0x%x", value);
}

static void put_signed(struct writer *writer, int32_t value, const char *plus, const char *minus)
{
    put(writer, "%s", value < 0 ? minus : plus);
    put_number(writer, value < 0 ? 0 - (uint32_t)value : (uint32_t)value);
}

/* ---- Registers ------------------------------------------------------------------------------------------ */

static const char *const names8[8] = {"al", "cl", "dl", "bl", "ah", "ch", "dh", "bh"};
static const char *const names16[8] = {"ax", "cx", "dx", "bx", "sp", "bp", "si", "di"};
static const char *const names32[8] = {"eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi"};
static const char *const segments[8] = {"es", "cs", "ss", "ds", "fs", "gs", "?", "?"};

/* Bytes of an operand; 0 when its letter gives none. */
static unsigned operand_bytes(const struct insn *insn, const struct operand *operand)
{
    char second = operand->length > 2 ? operand->text[2] : 0;

    switch (operand->size) {
    case 'b':
        return 1;
    case 'w':
        return 2;
    case 'd':
        return second == 'q' ? 16 : 4;
    case 'q':
        return 8;
    case 'v':
    case 'z':
        return insn->opsize;
    case 'p':
        return second == 's' || second == 'd' ? 16 : second == 'i' ? 8 : insn->opsize + 2u;
    case 's':
        return second == 's' ? 4 : second == 'd' ? 8 : 6;
    case 't':
        return 10;
    default:
        return 0;
    }
}

static void put_register(struct writer *writer, unsigned bytes, unsigned number)
{
    put(writer, "%s", (bytes == 1 ? names8 : bytes == 2 ? names16 : names32)[number & 7]);
}

/* "AL", "eAX", "DX", "ST", "STi": as the row has it, in lower case. */
static void put_literal(struct writer *writer, const struct insn *insn, const struct operand *operand)
{
    if (operand->length >= 2 && memcmp(operand->text, "ST", 2) == 0) {
        put(writer, "st(%u)", operand->length == 3 ? insn->rm & 7u : 0u);
        return;
    }
    if (operand->text[0] == 'e') {
        put_register(writer, insn->opsize, RAX);
        return;
    }
    for (unsigned i = 0; i < operand->length; i++) {
        put(writer, "%c", operand->text[i] | 0x20);
    }
}

/* ---- Memory --------------------------------------------------------------------------------------------- */

static void put_pointer_size(struct writer *writer, unsigned bytes)
{
    switch (bytes) {
    case 1:
        put(writer, "byte ptr ");
        break;
    case 2:
        put(writer, "word ptr ");
        break;
    case 4:
        put(writer, "dword ptr ");
        break;
    case 6:
        put(writer, "fword ptr ");
        break;
    case 8:
        put(writer, "qword ptr ");
        break;
    case 10:
        put(writer, "tbyte ptr ");
        break;
    case 16:
        put(writer, "xmmword ptr ");
        break;
    default:
        break;
    }
}

static void put_memory(struct writer *writer, const struct insn *insn, unsigned bytes)
{
    const char *const *names = insn->addrsize == 2 ? names16 : names32;
    const char *plus = "";

    put_pointer_size(writer, bytes);
    if (insn->seg_override) {
        put(writer, "%s:", segments[insn->seg]);
    }
    put(writer, "[");
    if (insn->base != INSN_NO_REG) {
        put(writer, "%s", names[insn->base]);
        plus = " + ";
    }
    if (insn->index != INSN_NO_REG) {
        put(writer, "%s%s", plus, names[insn->index]);
        plus = " + ";
        if (insn->scale) {
            put(writer, "*%u", 1u << insn->scale);
        }
    }
    if (!*plus) {
        put_number(writer, (uint32_t)insn->disp);
    } else if (insn->disp) {
        put_signed(writer, insn->disp, plus, " - ");
    }
    put(writer, "]");
}

static void put_string_memory(struct writer *writer, const struct insn *insn, const struct operand *operand)
{
    bool source = operand->letter == 'X';

    put_pointer_size(writer, operand_bytes(insn, operand));
    if (!source || insn->seg_override) {
        put(writer, "%s:", source ? segments[insn->seg] : "es");
    }
    put(writer, "[%s]", (insn->addrsize == 2 ? names16 : names32)[source ? RSI : RDI]);
}

static void put_rm(struct writer *writer, const struct insn *insn, const struct operand *operand)
{
    unsigned bytes = operand_bytes(insn, operand);

    if (!insn->memory) {
        put_register(writer, bytes, insn->rm);
        return;
    }
    const char *slash = memchr(operand->text, '/', operand->length);
    put_memory(writer, insn, slash ? 2 : bytes);
}

static void put_vector_rm(struct writer *writer, const struct insn *insn, const struct operand *operand,
                          const char *name)
{
    if (insn->memory) {
        put_memory(writer, insn, operand_bytes(insn, operand));
    } else {
        put(writer, "%s%u", name, insn->rm);
    }
}

/* ---- Immediates ----------------------------------------------------------------------------------------- */

static void put_immediate(struct writer *writer, const struct insn *insn, const struct operand *operand,
                          bool second)
{
    if (operand->sign_extend) {
        put_signed(writer, (int32_t)insn->imm, "", "-");
    } else {
        put_number(writer, second ? insn->imm2 : insn->imm);
    }
}

static void put_target(struct writer *writer, const struct insn *insn, uint64_t rip)
{
    uint32_t target = (uint32_t)(rip + insn->length + insn->imm);

    put_number(writer, insn->opsize == 2 ? (uint16_t)target : target);
}

/* ---- All of it ------------------------------------------------------------------------------------------ */

static void put_operand(struct writer *writer, const struct insn *insn, const struct operand *operand,
                        bool second_immediate, uint64_t rip)
{
    switch (operand->letter) {
    case 0:
        put_literal(writer, insn, operand);
        break;
    case 'E':
    case 'R':
        put_rm(writer, insn, operand);
        break;
    case 'M':
    case 'O':
        put_memory(writer, insn, operand_bytes(insn, operand));
        break;
    case 'G':
        put_register(writer, operand_bytes(insn, operand), insn->reg);
        break;
    case 'Z':
        put_register(writer, operand_bytes(insn, operand), insn->rm);
        break;
    case 'S':
        put(writer, "%s", segments[insn->reg & 7]);
        break;
    case 'C':
        put(writer, "cr%u", insn->reg);
        break;
    case 'D':
        put(writer, "dr%u", insn->reg);
        break;
    case 'P':
        put(writer, "mm%u", insn->reg);
        break;
    case 'V':
        put(writer, "xmm%u", insn->reg);
        break;
    case 'N':
    case 'Q':
        put_vector_rm(writer, insn, operand, "mm");
        break;
    case 'U':
    case 'W':
        put_vector_rm(writer, insn, operand, "xmm");
        break;
    case 'X':
    case 'Y':
        put_string_memory(writer, insn, operand);
        break;
    case 'I':
        put_immediate(writer, insn, operand, second_immediate);
        break;
    case 'J':
        put_target(writer, insn, rip);
        break;
    case 'A':
        put_number(writer, insn->imm2);
        put(writer, ":");
        put_number(writer, insn->imm);
        break;
    default:
        put(writer, "?");
        break;
    }
}

static void put_mnemonic(struct writer *writer, const struct insn *insn)
{
    const char *mnemonic = insn->opcode->mnemonic, *slash = strchr(mnemonic, '/');
    unsigned size = strncmp(mnemonic, "jcxz", 4) == 0 ? insn->addrsize : insn->opsize;

    if (insn->lock) {
        put(writer, "lock ");
    }
    if (insn->rep && (insn->opcode->flags & OPF_STRING)) {
        bool compares = (insn->opcode->flags & OPF_WRITE_FLAGS) != 0;
        put(writer, "%s ", insn->rep == 0xf2 ? "repne" : compares ? "repe" : "rep");
    }
    if (!slash) {
        put(writer, "%s", mnemonic);
    } else if (size == 2) {
        put(writer, "%.*s", (int)(slash - mnemonic), mnemonic);
    } else {
        put(writer, "%s", slash + 1);
    }
}

void insn_format(const struct insn *insn, uint64_t rip, char *text, size_t size)
{
    struct writer writer = {.text = text, .size = size};
    const char *cursor = insn->opcode->operands, *separator = " ";
    struct operand operand;
    bool immediate_seen = false;

    if (size) {
        text[0] = 0;
    }
    put_mnemonic(&writer, insn);
    while (operand_next(&cursor, &operand)) {
        put(&writer, "%s", separator);
        put_operand(&writer, insn, &operand, immediate_seen, rip);
        immediate_seen = immediate_seen || operand.letter == 'I';
        separator = ", ";
    }
}
