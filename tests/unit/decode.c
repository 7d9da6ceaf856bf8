/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The decoder: prefixes, addressing forms, limits, LOCK, features; and the text of instructions.
 */
#include <criterion/criterion.h>

#include "cpu/cpuid.h"
#include "cpu/decode.h"

#define ALL_FEATURES (~(uint64_t)0)
#define BYTES(...)   (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__})

static struct insn decode(const uint8_t *bytes, unsigned count, bool code32)
{
    struct insn insn;
    uint8_t padded[32] = {0};

    memcpy(padded, bytes, count);
    cr_assert_eq(insn_decode(padded, 15, code32, ALL_FEATURES, &insn), DECODE_OK);
    return insn;
}

static void expect_text(const uint8_t *bytes, unsigned count, bool code32, const char *expected)
{
    struct insn insn = decode(bytes, count, code32);
    char text[96];

    insn_format(&insn, 0x1000, text, sizeof(text));
    cr_expect_str_eq(text, expected);
    cr_expect_eq(insn.length, count, "%s: length %u", expected, insn.length);
}

static enum decode_status status_of(const uint8_t *bytes, unsigned count)
{
    struct insn insn;

    return insn_decode(bytes, count, true, ALL_FEATURES, &insn);
}

Test(decode, forms_of_32_bit_addresses)
{
    expect_text(BYTES(0x8b, 0x00), true, "mov eax, dword ptr [eax]");
    expect_text(BYTES(0x8b, 0x05, 0x78, 0x56, 0x34, 0x12), true, "mov eax, dword ptr [0x12345678]");
    expect_text(BYTES(0x8b, 0x45, 0xfc), true, "mov eax, dword ptr [ebp - 4]");
    expect_text(BYTES(0x8b, 0x04, 0x24), true, "mov eax, dword ptr [esp]");
    expect_text(BYTES(0x8b, 0x04, 0x8b), true, "mov eax, dword ptr [ebx + ecx*4]");
    expect_text(BYTES(0x8b, 0x04, 0x4d, 0x10, 0, 0, 0), true, "mov eax, dword ptr [ecx*2 + 0x10]");
    expect_text(BYTES(0x8b, 0x04, 0x25, 0x10, 0, 0, 0), true, "mov eax, dword ptr [0x10]");
    expect_text(BYTES(0x8b, 0x84, 0xd5, 0x00, 0x01, 0, 0), true, "mov eax, dword ptr [ebp + edx*8 + 0x100]");
}

Test(decode, forms_of_16_bit_addresses)
{
    static const char *const expected[8] = {
        "mov ax, word ptr [bx + si]", "mov ax, word ptr [bx + di]", "mov ax, word ptr [bp + si]",
        "mov ax, word ptr [bp + di]", "mov ax, word ptr [si]",      "mov ax, word ptr [di]",
        "mov ax, word ptr [0x1234]",  "mov ax, word ptr [bx]",
    };
    for (uint8_t rm = 0; rm < 8; rm++) {
        if (rm == 6) {
            expect_text(BYTES(0x8b, rm, 0x34, 0x12), false, expected[rm]);
        } else {
            expect_text(BYTES(0x8b, rm), false, expected[rm]);
        }
    }
    expect_text(BYTES(0x8b, 0x46, 0xfe), false, "mov ax, word ptr [bp - 2]");
    expect_text(BYTES(0x8b, 0x80, 0x00, 0x80), false, "mov ax, word ptr [bx + si - 0x8000]");
}

Test(decode, stack_registers_as_base_select_the_stack_segment)
{
    cr_expect_eq(decode(BYTES(0x8b, 0x45, 0), true).seg, SEG_SS);
    cr_expect_eq(decode(BYTES(0x8b, 0x04, 0x24), true).seg, SEG_SS);
    cr_expect_eq(decode(BYTES(0x8b, 0x04, 0x68), true).seg, SEG_DS, "EBP as index does not count");
    cr_expect_eq(decode(BYTES(0x8b, 0x02), false).seg, SEG_SS);
    cr_expect_eq(decode(BYTES(0x8b, 0x00), false).seg, SEG_DS);
    cr_expect_eq(decode(BYTES(0x3e, 0x8b, 0x45, 0), true).seg, SEG_DS, "an override wins");
    cr_expect_eq(decode(BYTES(0x64, 0x3e, 0x65, 0x8b, 0), true).seg, SEG_GS, "the last override wins");
}

Test(decode, prefixes_toggle_sizes)
{
    cr_expect_eq(decode(BYTES(0x40), true).opsize, 4);
    cr_expect_eq(decode(BYTES(0x66, 0x40), true).opsize, 2);
    cr_expect_eq(decode(BYTES(0x66, 0x66, 0x40), true).opsize, 2, "a repeated prefix does not toggle back");
    cr_expect_eq(decode(BYTES(0x40), false).opsize, 2);
    cr_expect_eq(decode(BYTES(0x66, 0x40), false).opsize, 4);
    expect_text(BYTES(0x67, 0x8b, 0x07), true, "mov eax, dword ptr [bx]");
    expect_text(BYTES(0x66, 0x67, 0x8b, 0x04, 0x24), false, "mov eax, dword ptr [esp]");
    expect_text(BYTES(0x67, 0xa1, 0x34, 0x12), true, "mov eax, dword ptr [0x1234]");
}

Test(decode, immediates_are_extended_as_the_row_says)
{
    cr_expect_eq(decode(BYTES(0x83, 0xc0, 0xff), true).imm, 0xffffffff);
    cr_expect_eq(decode(BYTES(0x80, 0xc0, 0xff), true).imm, 0xff);
    cr_expect_eq(decode(BYTES(0x6a, 0x80), true).imm, 0xffffff80);
    cr_expect_eq(decode(BYTES(0xeb, 0xfe), true).imm, 0xfffffffe);
    cr_expect_eq(decode(BYTES(0x66, 0xe9, 0xfe, 0xff), true).imm, 0xfffffffe);
    cr_expect_eq(decode(BYTES(0xd1, 0xe0), true).imm, 1);
    struct insn enter = decode(BYTES(0xc8, 0x34, 0x12, 0x05), true);
    cr_expect_eq(enter.imm, 0x1234);
    cr_expect_eq(enter.imm2, 5);
    struct insn far = decode(BYTES(0xea, 0x78, 0x56, 0x34, 0x12, 0x08, 0x00), true);
    cr_expect_eq(far.imm, 0x12345678);
    cr_expect_eq(far.imm2, 8);
}

Test(decode, segment_register_pushes_carry_its_number)
{
    cr_expect_eq(decode(BYTES(0x06), true).reg, SEG_ES);
    cr_expect_eq(decode(BYTES(0x0e), true).reg, SEG_CS);
    cr_expect_eq(decode(BYTES(0x17), true).reg, SEG_SS);
    cr_expect_eq(decode(BYTES(0x1f), true).reg, SEG_DS);
    cr_expect_eq(decode(BYTES(0x0f, 0xa1), true).reg, SEG_FS);
    cr_expect_eq(decode(BYTES(0x0f, 0xa8), true).reg, SEG_GS);
}

Test(decode, control_register_moves_ignore_mod)
{
    struct insn insn = decode(BYTES(0x0f, 0x22, 0x05), true);

    cr_expect_not(insn.memory);
    cr_expect_eq(insn.length, 3);
    cr_expect_eq(insn.rm, RBP);
    cr_expect_eq(status_of(BYTES(0x0f, 0x20, 0xc8)), DECODE_UD, "there is no CR1");
}

Test(decode, lock_needs_a_memory_destination_that_allows_it)
{
    cr_expect_eq(status_of(BYTES(0xf0, 0x01, 0x00)), DECODE_OK);
    cr_expect_eq(status_of(BYTES(0xf0, 0x01, 0xc0)), DECODE_UD, "register");
    cr_expect_eq(status_of(BYTES(0xf0, 0x03, 0x00)), DECODE_UD, "memory is the source");
    cr_expect_eq(status_of(BYTES(0xf0, 0x39, 0x00)), DECODE_UD, "CMP");
    cr_expect_eq(status_of(BYTES(0xf0, 0x87, 0x00)), DECODE_OK, "XCHG");
    cr_expect_eq(status_of(BYTES(0xf0, 0x0f, 0xa3, 0x00)), DECODE_UD, "BT");
    cr_expect_eq(status_of(BYTES(0xf0, 0x0f, 0xab, 0x00)), DECODE_OK, "BTS");
    cr_expect_eq(status_of(BYTES(0xf0, 0x0f, 0xc7, 0x08)), DECODE_OK, "CMPXCHG8B");
    cr_expect_eq(status_of(BYTES(0xf0, 0x90)), DECODE_UD, "NOP");
    cr_expect_eq(status_of(BYTES(0xf0, 0xf6, 0x18)), DECODE_OK, "NEG");
    cr_expect_eq(status_of(BYTES(0xf0, 0xf6, 0x20)), DECODE_UD, "MUL");
}

Test(decode, an_undefined_lock_still_has_its_length)
{
    struct insn insn;

    cr_assert_eq(insn_decode(BYTES(0xf0, 0x81, 0xc0, 1, 2, 3, 4), true, ALL_FEATURES, &insn), DECODE_UD);
    cr_expect_eq(insn.length, 7);
    cr_expect_eq(insn.opcode, &opcode_undefined);
}

Test(decode, undefined_group_members)
{
    cr_expect_eq(status_of(BYTES(0x8d, 0xc0)), DECODE_UD, "LEA of a register");
    cr_expect_eq(status_of(BYTES(0xff, 0xf8)), DECODE_UD, "FF /7");
    cr_expect_eq(status_of(BYTES(0xff, 0xd8)), DECODE_UD, "far CALL of a register");
    cr_expect_eq(status_of(BYTES(0x8e, 0xc8)), DECODE_UD, "MOV CS");
    cr_expect_eq(status_of(BYTES(0x8c, 0xf0)), DECODE_UD, "MOV from segment register 6");
    cr_expect_eq(status_of(BYTES(0x0f, 0x01, 0xe8)), DECODE_UD, "0F 01 /5");
    cr_expect_eq(status_of(BYTES(0x0f, 0xc7, 0xc8)), DECODE_UD, "CMPXCHG8B of a register");
    cr_expect_eq(status_of(BYTES(0x0f, 0xba, 0xc0, 0)), DECODE_UD, "0F BA /0");
    cr_expect_eq(status_of(BYTES(0xfe, 0xd0)), DECODE_UD, "FE /2");
    cr_expect_eq(status_of(BYTES(0xc6, 0xc8, 0)), DECODE_UD, "C6 /1");
    cr_expect_eq(status_of(BYTES(0x8f, 0xc8)), DECODE_UD, "8F /1");
}

Test(decode, every_truncation_asks_for_more)
{
    static const uint8_t bytes[] = {0x66, 0x64, 0x81, 0x84, 0x8b, 1, 2, 3, 4, 5, 6};

    for (unsigned count = 0; count < sizeof(bytes); count++) {
        cr_expect_eq(status_of(bytes, count), DECODE_MORE, "%u bytes", count);
    }
    cr_expect_eq(status_of(bytes, sizeof(bytes)), DECODE_OK);
}

Test(decode, fifteen_bytes_are_the_limit)
{
    uint8_t bytes[32];
    struct insn insn;

    memset(bytes, 0x66, sizeof(bytes));
    bytes[14] = 0x90;
    cr_expect_eq(insn_decode(bytes, 15, true, ALL_FEATURES, &insn), DECODE_OK);
    cr_expect_eq(insn.length, 15);
    bytes[14] = 0x40 + 0x26; /* a further prefix */
    cr_expect_eq(insn_decode(bytes, 15, true, ALL_FEATURES, &insn), DECODE_LONG);
    cr_expect_eq(insn.opcode, &opcode_too_long);
    bytes[13] = 0x6a; /* PUSH imm8: 15 bytes */
    cr_expect_eq(insn_decode(bytes, 15, true, ALL_FEATURES, &insn), DECODE_OK);
    bytes[13] = 0x66;
    bytes[14] = 0x6a; /* 16 */
    cr_expect_eq(insn_decode(bytes, 15, true, ALL_FEATURES, &insn), DECODE_LONG);
    cr_expect_eq(insn_decode(bytes, 14, true, ALL_FEATURES, &insn), DECODE_MORE);
}

Test(decode, absent_features_are_undefined)
{
    struct insn insn;

    cr_expect_eq(insn_decode(BYTES(0x0f, 0x44, 0xc0), true, 0, &insn), DECODE_UD);
    cr_expect_eq(insn_decode(BYTES(0x0f, 0x44, 0xc0), true, CPU_FEATURE_CMOV, &insn), DECODE_OK);
    cr_expect_eq(insn_decode(BYTES(0x0f, 0xa2), true, 0, &insn), DECODE_UD);
}

Test(decode, text_of_prefixes_branches_and_aliases)
{
    expect_text(BYTES(0xf0, 0x64, 0x01, 0x44, 0x8b, 0xf0), true,
                "lock add dword ptr fs:[ebx + ecx*4 - 0x10], eax");
    expect_text(BYTES(0xf3, 0xa5), true, "rep movsd dword ptr es:[edi], dword ptr [esi]");
    expect_text(BYTES(0x65, 0xa4), false, "movsb byte ptr es:[di], byte ptr gs:[si]");
    expect_text(BYTES(0xf3, 0xa6), true, "repe cmpsb byte ptr [esi], byte ptr es:[edi]");
    expect_text(BYTES(0xf2, 0xae), true, "repne scasb al, byte ptr es:[edi]");
    expect_text(BYTES(0x75, 0xfe), true, "jne 0x1000");
    expect_text(BYTES(0xe8, 0, 0, 0, 0), true, "call 0x1005");
    expect_text(BYTES(0x60), true, "pushad");
    expect_text(BYTES(0x60), false, "pusha");
    expect_text(BYTES(0x67, 0xe3, 0), true, "jcxz 0x1003");
    expect_text(BYTES(0xe3, 0), true, "jecxz 0x1002");
    expect_text(BYTES(0xc1, 0xf0, 4), true, "shl eax, 4");
    expect_text(BYTES(0x82, 0xc0, 4), true, "add al, 4");
    expect_text(BYTES(0xf6, 0xc8, 4), true, "test al, 4");
    expect_text(BYTES(0xd6), true, "salc");
    expect_text(BYTES(0xf1), true, "int1");
    expect_text(BYTES(0x0f, 0x20, 0xc0), true, "mov eax, cr0");
    expect_text(BYTES(0x8e, 0xd8), true, "mov ds, ax");
}

Test(decode, text_is_cut_to_the_room)
{
    struct insn insn = decode(BYTES(0x8b, 0x05, 0x78, 0x56, 0x34, 0x12), true);
    char text[8];

    insn_format(&insn, 0, text, sizeof(text));
    cr_expect_str_eq(text, "mov eax");
}
