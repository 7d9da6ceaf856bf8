/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The host encoder: every form, over random registers and memory operands, must be what Capstone reads
 * back; buffers that are too small must end it cleanly; labels and patches must lead where they say, which
 * is tried by running them.
 */
#include <capstone/capstone.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "binxlate/emit.h"

enum { SAMPLES = 300 };

static const char *const reg8_names[16] = {"al",  "cl",  "dl",   "bl",   "spl",  "bpl",  "sil",  "dil",
                                           "r8b", "r9b", "r10b", "r11b", "r12b", "r13b", "r14b", "r15b"};
static const char *const reg16_names[16] = {"ax",  "cx",  "dx",   "bx",   "sp",   "bp",   "si",   "di",
                                            "r8w", "r9w", "r10w", "r11w", "r12w", "r13w", "r14w", "r15w"};
static const char *const reg32_names[16] = {"eax", "ecx", "edx",  "ebx",  "esp",  "ebp",  "esi",  "edi",
                                            "r8d", "r9d", "r10d", "r11d", "r12d", "r13d", "r14d", "r15d"};
static const char *const reg64_names[16] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                            "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};
static const char *const condition_names[16] = {"o", "no", "b", "ae", "e", "ne", "be", "a",
                                                "s", "ns", "p", "np", "l", "ge", "le", "g"};
static const char *const alu_names[8] = {"add", "or", "adc", "sbb", "and", "sub", "xor", "cmp"};
static const char *const shift_names[8] = {"rol", "ror", "rcl", "rcr", "shl", "shr", "", "sar"};

/* ---- random operands ---- */

/* What the forms are made of, drawn afresh for every sample. */
struct operands {
    enum host_reg a, b, c;
    struct host_mem mem;
    uint64_t imm;
    unsigned count; /* 0-31 */
    enum host_condition condition;
    enum host_alu alu;
    enum host_shift shift;
};

static uint64_t random_next(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static int64_t random_immediate(uint64_t *state)
{
    switch (random_next(state) % 4) {
    case 0:
        return (int8_t)random_next(state);
    case 1:
        return (int32_t)random_next(state);
    case 2:
        return (uint32_t)random_next(state);
    default:
        return (int64_t)random_next(state);
    }
}

static struct host_mem random_memory(uint64_t *state)
{
    static const uint8_t none = HOST_NO_REG;
    struct host_mem mem = {
        .base = random_next(state) % 8 ? (uint8_t)(random_next(state) % 16) : none,
        .index = random_next(state) % 2 ? (uint8_t)(random_next(state) % 16) : none,
    };

    if (mem.index == HOST_RSP) {
        mem.index = none;
    }
    if (mem.index != none) {
        mem.shift = random_next(state) % 4;
    }
    if (random_next(state) % 3) {
        mem.disp = random_next(state) % 2 ? (int8_t)random_next(state) : (int32_t)random_next(state);
    }
    if (mem.base == none && mem.index == none) {
        mem.disp &=
            INT32_MAX; /* Capstone cuts negative absolute addresses to 32 bits for some instructions */
    }
    return mem;
}

static struct operands random_operands(uint64_t *state)
{
    struct operands o = {
        .a = (enum host_reg)(random_next(state) % 16),
        .b = (enum host_reg)(random_next(state) % 16),
        .c = (enum host_reg)(random_next(state) % 16),
        .mem = random_memory(state),
        .imm = (uint64_t)random_immediate(state),
        .count = random_next(state) % 32,
        .condition = (enum host_condition)(random_next(state) % 16),
        .alu = (enum host_alu)(random_next(state) % 8),
        .shift = (enum host_shift)(random_next(state) % 8),
    };

    if (o.shift == 6) {
        o.shift = HOST_SAR;
    }
    return o;
}

/* ---- the forms: what is emitted, and how Capstone writes it ---- */

/* Capstone's numbers: decimal up to 9. */
static void print_number(char *text, size_t size, uint64_t value)
{
    snprintf(text, size, value > 9 ? "0x%llx" : "%llu", (unsigned long long)value);
}

static void print_memory(char *text, size_t size, const char *width, const struct host_mem *mem)
{
    static const char *const scales[] = {"", "*2", "*4", "*8"};
    char expression[64] = "", number[24] = "";
    bool base = mem->base != HOST_NO_REG, index = mem->index != HOST_NO_REG;

    if (base) {
        strcat(expression, reg64_names[mem->base]);
    }
    if (index) {
        strcat(expression, base ? " + " : "");
        strcat(expression, reg64_names[mem->index]);
        strcat(expression, scales[mem->shift]);
    }
    if (!base && !index) {
        print_number(number, sizeof(number), (uint64_t)(int64_t)mem->disp);
    } else if (mem->disp) {
        print_number(number, sizeof(number), (uint64_t)(mem->disp < 0 ? -(int64_t)mem->disp : mem->disp));
        strcat(expression, mem->disp < 0 ? " - " : " + ");
    }
    snprintf(text, size, "%s%s[%s%s]", width, *width ? " " : "", expression, number);
}

/*
 * A form: a name template and a function. In the template
 *
 *   a b c with 1 2 4 8   register a, b, c as byte, word, doubleword, quadword
 *   m with 0 1 2 4 8     memory operand: no width, byte, word, doubleword, quadword
 *   i with 1 2 4 8 s     immediate of that many bytes, as Capstone shows it; s: 4 bytes sign-extended to 8
 *   n                    count          C: condition   A: ALU operation   S: shift
 *
 * each behind a %. Immediates appear as '#' and their bits in hexadecimal on both sides.
 */
struct form {
    const char *text;
    void (*emit)(struct emit *e, const struct operands *o);
};

#define FORM(name, call)                                                                                     \
    static void form_##name(struct emit *e, const struct operands *o)                                        \
    {                                                                                                        \
        (void)o;                                                                                             \
        call;                                                                                                \
    }

FORM(mov8, emit_mov8(e, o->a, o->b))
FORM(mov16, emit_mov16(e, o->a, o->b))
FORM(mov32, emit_mov32(e, o->a, o->b))
FORM(mov64, emit_mov64(e, o->a, o->b))
FORM(mov_imm32, emit_mov_imm32(e, o->a, (uint32_t)o->imm))
FORM(load8, emit_load8(e, o->a, o->mem))
FORM(load16, emit_load16(e, o->a, o->mem))
FORM(load32, emit_load32(e, o->a, o->mem))
FORM(load64, emit_load64(e, o->a, o->mem))
FORM(store8, emit_store8(e, o->mem, o->a))
FORM(store16, emit_store16(e, o->mem, o->a))
FORM(store32, emit_store32(e, o->mem, o->a))
FORM(store64, emit_store64(e, o->mem, o->a))
FORM(store_imm8, emit_store_imm8(e, o->mem, (uint8_t)o->imm))
FORM(store_imm16, emit_store_imm16(e, o->mem, (uint16_t)o->imm))
FORM(store_imm32, emit_store_imm32(e, o->mem, (uint32_t)o->imm))
FORM(store_imm64, emit_store_imm64(e, o->mem, (int32_t)o->imm))
FORM(movzx8, emit_movzx8(e, o->a, o->b))
FORM(movzx16, emit_movzx16(e, o->a, o->b))
FORM(movsx8, emit_movsx8(e, o->a, o->b))
FORM(movsx16, emit_movsx16(e, o->a, o->b))
FORM(movsxd, emit_movsxd(e, o->a, o->b))
FORM(load_zx8, emit_load_zx8(e, o->a, o->mem))
FORM(load_zx16, emit_load_zx16(e, o->a, o->mem))
FORM(load_sx8, emit_load_sx8(e, o->a, o->mem))
FORM(load_sx16, emit_load_sx16(e, o->a, o->mem))
FORM(load_sxd, emit_load_sxd(e, o->a, o->mem))
FORM(xchg32, emit_xchg32(e, o->a, o->b))
FORM(xchg64, emit_xchg64(e, o->a, o->b))
FORM(xchg_mem32, emit_xchg_mem32(e, o->mem, o->a))
FORM(xchg_mem64, emit_xchg_mem64(e, o->mem, o->a))
FORM(lea32, emit_lea32(e, o->a, o->mem))
FORM(lea64, emit_lea64(e, o->a, o->mem))
FORM(cmov32, emit_cmov32(e, o->condition, o->a, o->b))
FORM(cmov64, emit_cmov64(e, o->condition, o->a, o->b))
FORM(setcc, emit_setcc(e, o->condition, o->a))
FORM(setcc_mem, emit_setcc_mem(e, o->condition, o->mem))
FORM(not32, emit_not32(e, o->a))
FORM(not64, emit_not64(e, o->a))
FORM(bswap32, emit_bswap32(e, o->a))
FORM(shlx32, emit_shlx32(e, o->a, o->b, o->c))
FORM(shlx64, emit_shlx64(e, o->a, o->b, o->c))
FORM(shrx32, emit_shrx32(e, o->a, o->b, o->c))
FORM(shrx64, emit_shrx64(e, o->a, o->b, o->c))
FORM(sarx32, emit_sarx32(e, o->a, o->b, o->c))
FORM(sarx64, emit_sarx64(e, o->a, o->b, o->c))
FORM(rorx32, emit_rorx32(e, o->a, o->b, o->count))
FORM(rorx64, emit_rorx64(e, o->a, o->b, o->count))
FORM(alu32, emit_alu32(e, o->alu, o->a, o->b))
FORM(alu64, emit_alu64(e, o->alu, o->a, o->b))
FORM(alu_imm32, emit_alu_imm32(e, o->alu, o->a, (uint32_t)o->imm))
FORM(alu_imm64, emit_alu_imm64(e, o->alu, o->a, (int32_t)o->imm))
FORM(alu_load32, emit_alu_load32(e, o->alu, o->a, o->mem))
FORM(alu_load64, emit_alu_load64(e, o->alu, o->a, o->mem))
FORM(alu_store32, emit_alu_store32(e, o->alu, o->mem, o->a))
FORM(alu_store64, emit_alu_store64(e, o->alu, o->mem, o->a))
FORM(alu_mem_imm8, emit_alu_mem_imm8(e, o->alu, o->mem, (uint8_t)o->imm))
FORM(alu_mem_imm32, emit_alu_mem_imm32(e, o->alu, o->mem, (uint32_t)o->imm))
FORM(alu_mem_imm64, emit_alu_mem_imm64(e, o->alu, o->mem, (int32_t)o->imm))
FORM(test32, emit_test32(e, o->a, o->b))
FORM(test64, emit_test64(e, o->a, o->b))
FORM(test_imm32, emit_test_imm32(e, o->a, (uint32_t)o->imm))
FORM(test_mem_imm8, emit_test_mem_imm8(e, o->mem, (uint8_t)o->imm))
FORM(test_mem_imm32, emit_test_mem_imm32(e, o->mem, (uint32_t)o->imm))
FORM(shift32, emit_shift32(e, o->shift, o->a, o->count))
FORM(shift64, emit_shift64(e, o->shift, o->a, o->count))
FORM(push, emit_push(e, o->a))
FORM(pop, emit_pop(e, o->a))
FORM(push_mem, emit_push_mem(e, o->mem))
FORM(pop_mem, emit_pop_mem(e, o->mem))
FORM(push_imm32, emit_push_imm32(e, (int32_t)o->imm))
FORM(pushfq, emit_pushfq(e))
FORM(popfq, emit_popfq(e))
FORM(lahf, emit_lahf(e))
FORM(sahf, emit_sahf(e))
FORM(cld, emit_cld(e))
FORM(std, emit_std(e))
FORM(fxsave, emit_fxsave(e, o->mem))
FORM(fxrstor, emit_fxrstor(e, o->mem))
FORM(fxsave64, emit_fxsave64(e, o->mem))
FORM(fxrstor64, emit_fxrstor64(e, o->mem))
FORM(ldmxcsr, emit_ldmxcsr(e, o->mem))
FORM(stmxcsr, emit_stmxcsr(e, o->mem))
FORM(jmp_reg, emit_jmp_reg(e, o->a))
FORM(jmp_mem, emit_jmp_mem(e, o->mem))
FORM(call_reg, emit_call_reg(e, o->a))
FORM(call_mem, emit_call_mem(e, o->mem))
FORM(ret, emit_ret(e))
FORM(int3, emit_int3(e))
FORM(ud2, emit_ud2(e))

static const struct form forms[] = {
    {"mov %a1, %b1", form_mov8},
    {"mov %a2, %b2", form_mov16},
    {"mov %a4, %b4", form_mov32},
    {"mov %a8, %b8", form_mov64},
    {"mov %a4, %i4", form_mov_imm32},
    {"mov %a1, %m1", form_load8},
    {"mov %a2, %m2", form_load16},
    {"mov %a4, %m4", form_load32},
    {"mov %a8, %m8", form_load64},
    {"mov %m1, %a1", form_store8},
    {"mov %m2, %a2", form_store16},
    {"mov %m4, %a4", form_store32},
    {"mov %m8, %a8", form_store64},
    {"mov %m1, %i1", form_store_imm8},
    {"mov %m2, %i2", form_store_imm16},
    {"mov %m4, %i4", form_store_imm32},
    {"mov %m8, %is", form_store_imm64},
    {"movzx %a4, %b1", form_movzx8},
    {"movzx %a4, %b2", form_movzx16},
    {"movsx %a4, %b1", form_movsx8},
    {"movsx %a4, %b2", form_movsx16},
    {"movsxd %a8, %b4", form_movsxd},
    {"movzx %a4, %m1", form_load_zx8},
    {"movzx %a4, %m2", form_load_zx16},
    {"movsx %a4, %m1", form_load_sx8},
    {"movsx %a4, %m2", form_load_sx16},
    {"movsxd %a8, %m4", form_load_sxd},
    {"xchg %b4, %a4", form_xchg32},
    {"xchg %b8, %a8", form_xchg64},
    {"xchg %m4, %a4", form_xchg_mem32},
    {"xchg %m8, %a8", form_xchg_mem64},
    {"lea %a4, %m0", form_lea32},
    {"lea %a8, %m0", form_lea64},
    {"cmov%C %a4, %b4", form_cmov32},
    {"cmov%C %a8, %b8", form_cmov64},
    {"set%C %a1", form_setcc},
    {"set%C %m1", form_setcc_mem},
    {"not %a4", form_not32},
    {"not %a8", form_not64},
    {"bswap %a4", form_bswap32},
    {"shlx %a4, %b4, %c4", form_shlx32},
    {"shlx %a8, %b8, %c8", form_shlx64},
    {"shrx %a4, %b4, %c4", form_shrx32},
    {"shrx %a8, %b8, %c8", form_shrx64},
    {"sarx %a4, %b4, %c4", form_sarx32},
    {"sarx %a8, %b8, %c8", form_sarx64},
    {"rorx %a4, %b4, %n", form_rorx32},
    {"rorx %a8, %b8, %n", form_rorx64},
    {"%A %a4, %b4", form_alu32},
    {"%A %a8, %b8", form_alu64},
    {"%A %a4, %i4", form_alu_imm32},
    {"%A %a8, %is", form_alu_imm64},
    {"%A %a4, %m4", form_alu_load32},
    {"%A %a8, %m8", form_alu_load64},
    {"%A %m4, %a4", form_alu_store32},
    {"%A %m8, %a8", form_alu_store64},
    {"%A %m1, %i1", form_alu_mem_imm8},
    {"%A %m4, %i4", form_alu_mem_imm32},
    {"%A %m8, %is", form_alu_mem_imm64},
    {"test %a4, %b4", form_test32},
    {"test %a8, %b8", form_test64},
    {"test %a4, %i4", form_test_imm32},
    {"test %m1, %i1", form_test_mem_imm8},
    {"test %m4, %i4", form_test_mem_imm32},
    {"%S %a4, %n", form_shift32},
    {"%S %a8, %n", form_shift64},
    {"push %a8", form_push},
    {"pop %a8", form_pop},
    {"push %m8", form_push_mem},
    {"pop %m8", form_pop_mem},
    {"push %is", form_push_imm32},
    {"pushfq ", form_pushfq},
    {"popfq ", form_popfq},
    {"lahf ", form_lahf},
    {"sahf ", form_sahf},
    {"cld ", form_cld},
    {"std ", form_std},
    {"fxsave %m0", form_fxsave},
    {"fxrstor %m0", form_fxrstor},
    {"fxsave64 ptr %m0", form_fxsave64},
    {"fxrstor64 ptr %m0", form_fxrstor64},
    {"ldmxcsr %m4", form_ldmxcsr},
    {"stmxcsr %m4", form_stmxcsr},
    {"jmp %a8", form_jmp_reg},
    {"jmp %m8", form_jmp_mem},
    {"call %a8", form_call_reg},
    {"call %m8", form_call_mem},
    {"ret ", form_ret},
    {"int3 ", form_int3},
    {"ud2 ", form_ud2},
};

static void print_register(char *text, size_t size, enum host_reg reg, char width)
{
    const char *const *names = width == '1'   ? reg8_names
                               : width == '2' ? reg16_names
                               : width == '4' ? reg32_names
                                              : reg64_names;
    snprintf(text, size, "%s", names[reg]);
}

/* Immediates are compared as numbers of the form's width, so here they are shown as such, unsigned. */
static void print_immediate(char *text, size_t size, uint64_t imm, char width)
{
    uint64_t value = width == '1'   ? (uint8_t)imm
                     : width == '2' ? (uint16_t)imm
                     : width == '4' ? (uint32_t)imm
                                    : (uint64_t)(int64_t)(int32_t)imm;
    snprintf(text, size, "#%llx", (unsigned long long)value);
}

static void print_directive(char *text, size_t size, const char *directive, const struct operands *o)
{
    static const char *const widths[] = {
        ['0'] = "", ['1'] = "byte ptr", ['2'] = "word ptr", ['4'] = "dword ptr", ['8'] = "qword ptr"};

    switch (directive[0]) {
    case 'a':
    case 'b':
    case 'c':
        print_register(text, size,
                       directive[0] == 'a'   ? o->a
                       : directive[0] == 'b' ? o->b
                                             : o->c,
                       directive[1]);
        break;
    case 'm':
        print_memory(text, size, widths[(unsigned char)directive[1]], &o->mem);
        break;
    case 'i':
        print_immediate(text, size, o->imm, directive[1]);
        break;
    case 'n':
        snprintf(text, size, "#%x", o->count);
        break;
    default:
        snprintf(text, size, "%s",
                 directive[0] == 'C'   ? condition_names[o->condition]
                 : directive[0] == 'A' ? alu_names[o->alu]
                                       : shift_names[o->shift]);
        break;
    }
}

static void expected_text(char *text, size_t size, const char *template, const struct operands *o)
{
    size_t at = 0;

    while (*template && at < size - 1) {
        if (*template != '%') {
            text[at++] = *template ++;
            text[at] = 0;
            continue;
        }
        print_directive(text + at, size - at, template + 1, o);
        at += strlen(text + at);
        template += strchr("CASn", template[1]) ? 2 : 3;
    }
    text[at] = 0;
}

/* ---- reading back ---- */

static csh handle;

static void setup(void)
{
    cr_assert_eq(cs_open(CS_ARCH_X86, CS_MODE_64, &handle), CS_ERR_OK);
    cs_option(handle, CS_OPT_DETAIL, CS_OPT_ON);
}

static void teardown(void)
{
    cs_close(&handle);
}

TestSuite(emit, .init = setup, .fini = teardown);

/* Replace a trailing immediate by '#' and its bits, cut to the width of its operand. */
static void normalise_immediate(char *text, size_t size, const cs_insn *insn)
{
    const cs_x86 *x86 = &insn->detail->x86;
    const cs_x86_op *last = x86->op_count ? &x86->operands[x86->op_count - 1] : NULL;

    if (!last || last->type != X86_OP_IMM) {
        return;
    }
    unsigned width = x86->op_count > 1 ? x86->operands[0].size : last->size;
    uint64_t mask = width >= 8 ? ~(uint64_t)0 : BITS(width * 8 - 1, 0);
    char *at = strrchr(text, ' ') + 1;
    snprintf(at, size - (size_t)(at - text), "#%llx", (unsigned long long)((uint64_t)last->imm & mask));
}

/* The one instruction in the bytes, as text; "" when there is none or more than that. */
static void disassemble(const uint8_t *bytes, size_t count, char *text, size_t size)
{
    cs_insn *insn;
    size_t found = cs_disasm(handle, bytes, count, 0, 0, &insn);

    *text = 0;
    if (found == 1 && insn->size == count) {
        snprintf(text, size, "%s %s", insn->mnemonic, insn->op_str);
        normalise_immediate(text, size, insn);
    }
    if (found) {
        cs_free(insn, found);
    }
}

/* ---- forms ---- */

static void check_form(const struct form *form, const struct operands *o)
{
    uint8_t buffer[32];
    char expected[200], actual[200];
    struct emit e;

    emit_init(&e, buffer, buffer + sizeof(buffer), 0);
    form->emit(&e, o);
    cr_assert(!emit_failed(&e));
    expected_text(expected, sizeof(expected), form->text, o);
    disassemble(buffer, (size_t)(e.at - buffer), actual, sizeof(actual));
    cr_expect_str_eq(actual, expected, "%s: %s, want %s", form->text, actual, expected);
}

Test(emit, every_form_reads_back)
{
    uint64_t state = 0x9e3779b97f4a7c15;

    for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
        for (unsigned n = 0; n < SAMPLES; n++) {
            struct operands o = random_operands(&state);
            check_form(&forms[i], &o);
        }
    }
}

/* One byte too few: nothing is written, the failure sticks, no smaller instruction slips in after it. */
static void check_overflow(const struct form *form, const struct operands *o)
{
    uint8_t buffer[32], untouched[32];
    struct emit e;

    emit_init(&e, buffer, buffer + sizeof(buffer), 0);
    form->emit(&e, o);
    size_t length = (size_t)(e.at - buffer);

    memset(buffer, 0xa5, sizeof(buffer));
    memset(untouched, 0xa5, sizeof(untouched));
    emit_init(&e, buffer, buffer + length - 1, 0);
    form->emit(&e, o);
    emit_nop(&e, 1);
    emit_ret(&e);
    cr_expect(e.overflow && e.at == buffer, "%s", form->text);
    cr_expect_eq(memcmp(buffer, untouched, sizeof(buffer)), 0, "%s", form->text);
}

Test(emit, no_form_writes_past_the_end)
{
    uint64_t state = 0x2545f4914f6cdd1d;

    for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
        for (unsigned n = 0; n < SAMPLES / 10; n++) {
            struct operands o = random_operands(&state);
            check_overflow(&forms[i], &o);
        }
    }
}

Test(emit, constants_take_the_shortest_form)
{
    static const struct {
        uint64_t value;
        size_t length;
        const char *text;
    } cases[] = {
        {0, 5, "mov eax, #0"},
        {0xffffffff, 5, "mov eax, #ffffffff"},
        {0x100000000, 10, "movabs rax, #100000000"},
        {0xffffffff80000000, 7, "mov rax, #ffffffff80000000"},
        {0xffffffff7fffffff, 10, "movabs rax, #ffffffff7fffffff"},
        {0x8000000000000000, 10, "movabs rax, #8000000000000000"},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        uint8_t buffer[16];
        char text[200];
        struct emit e;
        emit_init(&e, buffer, buffer + sizeof(buffer), 0);
        emit_mov_imm64(&e, HOST_RAX, cases[i].value);
        disassemble(buffer, (size_t)(e.at - buffer), text, sizeof(text));
        cr_expect_eq((size_t)(e.at - buffer), cases[i].length);
        cr_expect_str_eq(text, cases[i].text);
    }
}

Test(emit, nops_have_the_length_asked_for)
{
    for (unsigned length = 0; length <= 40; length++) {
        uint8_t buffer[64];
        cs_insn *insn;
        struct emit e;
        emit_init(&e, buffer, buffer + sizeof(buffer), 0);
        emit_nop(&e, length);
        cr_assert_eq((size_t)(e.at - buffer), length);
        size_t count = cs_disasm(handle, buffer, length, 0, 0, &insn), total = 0;
        for (size_t i = 0; i < count; i++) {
            cr_expect_eq(insn[i].id, X86_INS_NOP);
            total += insn[i].size;
        }
        cr_expect_eq(total, length);
        cs_free(insn, count);
    }
}

Test(emit, alignment_goes_by_the_running_address)
{
    uint8_t buffer[64];
    struct emit e;

    for (unsigned skew = 0; skew < 16; skew++) {
        emit_init(&e, buffer, buffer + sizeof(buffer), (ptrdiff_t)skew);
        emit_align(&e, 16);
        cr_expect_eq((uintptr_t)emit_here(&e) % 16, 0);
        cr_expect_lt(e.at - buffer, 16);
    }
}

/* ---- code that runs ---- */

enum { CODE_SIZE = 16384 };

/* Two views of one memory, as the translator has. */
struct code {
    uint8_t *write;
    ptrdiff_t view;
};

static struct code map_code(void)
{
    int fd = memfd_create("emit-test", MFD_CLOEXEC);
    struct code code;

    cr_assert_eq(ftruncate(fd, CODE_SIZE), 0);
    code.write = mmap(NULL, CODE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    uint8_t *execute = mmap(NULL, CODE_SIZE, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
    cr_assert(code.write != MAP_FAILED && execute != MAP_FAILED);
    code.view = execute - code.write;
    close(fd);
    return code;
}

static void code_emit(const struct code *code, struct emit *e)
{
    emit_init(e, code->write, code->write + CODE_SIZE, code->view);
}

/* Call it: RDI in, RAX out. */
__attribute__((no_sanitize("undefined"))) static uint64_t call(const void *address, uint64_t argument)
{
    uint64_t (*function)(uint64_t) = (uint64_t(*)(uint64_t))(uintptr_t)address;

    return function(argument);
}

Test(emit, labels_reach_forwards_and_backwards)
{
    struct code code = map_code();

    for (unsigned distance = 0; distance < 300; distance += 7) {
        struct emit_label skip = {0}, loop = {0}, out = {0};
        struct emit e;
        code_emit(&code, &e);
        const void *entry = emit_here(&e);
        emit_mov_imm32(&e, HOST_RAX, 0);
        emit_jmp_label(&e, &skip);
        emit_ud2(&e);
        emit_bind(&e, &skip);
        emit_bind(&e, &loop);
        emit_alu32(&e, HOST_ADD, HOST_RAX, HOST_RDI);
        emit_nop(&e, distance);
        emit_alu_imm32(&e, HOST_SUB, HOST_RDI, 1);
        emit_jcc_label(&e, HOST_E, &out);
        emit_jmp_label(&e, &loop);
        emit_bind(&e, &out);
        emit_ret(&e);
        cr_assert(!emit_failed(&e));
        cr_expect_eq(call(entry, 10), 55, "distance %u", distance);
    }
}

Test(emit, every_condition_jumps_when_setcc_says_so)
{
    struct code code = map_code();

    for (unsigned condition = 0; condition < 16; condition++) {
        for (unsigned flags = 0; flags < 0x100; flags++) {
            struct emit_label yes = {0};
            struct emit e;
            code_emit(&code, &e);
            const void *entry = emit_here(&e);
            emit_push(&e, HOST_RDI);
            emit_popfq(&e);
            emit_mov_imm32(&e, HOST_RCX, 0);
            emit_setcc(&e, (enum host_condition)condition, HOST_RCX);
            emit_mov_imm32(&e, HOST_RAX, 0x11);
            emit_jcc_short(&e, (enum host_condition)condition, &yes);
            emit_mov_imm32(&e, HOST_RAX, 0x10);
            emit_bind(&e, &yes);
            emit_alu32(&e, HOST_XOR, HOST_RAX, HOST_RCX);
            emit_ret(&e);
            /* CF, PF, ZF, SF, OF, each in its place */
            uint64_t rflags =
                2 | (flags & 1) | (flags & 2) << 1 | (flags & 4) << 4 | (flags & 8) << 4 | (flags & 16) << 7;
            cr_assert(!emit_failed(&e));
            cr_expect_eq(call(entry, rflags), 0x10, "condition %u, flags %x", condition, (unsigned)rflags);
        }
    }
}

Test(emit, jrcxz_and_jecxz_test_their_width)
{
    struct code code = map_code();
    struct emit_label zero[2] = {{0}, {0}};
    const void *entry[2];
    struct emit e;

    code_emit(&code, &e);
    for (unsigned i = 0; i < 2; i++) {
        entry[i] = emit_here(&e);
        emit_mov64(&e, HOST_RCX, HOST_RDI);
        emit_mov_imm32(&e, HOST_RAX, 1);
        (i ? emit_jecxz : emit_jrcxz)(&e, &zero[i]);
        emit_mov_imm32(&e, HOST_RAX, 0);
        emit_bind(&e, &zero[i]);
        emit_ret(&e);
    }
    cr_assert(!emit_failed(&e));
    cr_expect_eq(call(entry[0], 0), 1);
    cr_expect_eq(call(entry[0], BIT(32)), 0);
    cr_expect_eq(call(entry[1], BIT(32)), 1);
    cr_expect_eq(call(entry[1], BIT(31)), 0);
}

Test(emit, calls_and_label_addresses)
{
    struct code code = map_code();
    struct emit_label function = {0}, after = {0};
    struct emit e;

    code_emit(&code, &e);
    const void *entry = emit_here(&e);
    emit_mov_imm32(&e, HOST_RAX, 0);
    emit_call_label(&e, &function);
    emit_call_label(&e, &function);
    emit_lea_label(&e, HOST_R9, &after);
    emit_push(&e, HOST_R9);
    emit_bind(&e, &function);
    emit_alu64(&e, HOST_ADD, HOST_RAX, HOST_RDI);
    emit_ret(&e);
    emit_ud2(&e);
    emit_bind(&e, &after);
    emit_lea64(&e, HOST_RAX, host_mem_index(HOST_NO_REG, HOST_RAX, 1, 3));
    emit_ret(&e);
    cr_assert(!emit_failed(&e));
    cr_expect_eq(call(entry, 7), (7 * 3) * 2 + 3);
}

Test(emit, a_jump_is_patched_there_and_back)
{
    struct code code = map_code();
    const void *target[2];
    struct emit e;

    code_emit(&code, &e);
    const void *entry = emit_here(&e);
    uint8_t *field = emit_jmp(&e, NULL);
    for (unsigned i = 0; i < 2; i++) {
        target[i] = emit_here(&e);
        emit_mov_imm32(&e, HOST_RAX, 100 + i);
        emit_ret(&e);
    }
    cr_expect_eq(call(entry, 0), 100, "unpatched: the next instruction");
    for (unsigned i = 0; i < 10; i++) {
        cr_expect(emit_patch_rel32(field, code.view, target[i % 2]));
        cr_expect_eq(emit_rel32_target(field, code.view), target[i % 2]);
        cr_expect_eq(call(entry, 0), 100 + i % 2);
    }
    cr_expect_not(emit_patch_rel32(field, code.view, (const uint8_t *)entry + 4 * GIB), "out of reach");
    cr_expect_eq(emit_rel32_target(field, code.view), target[1], "and unchanged");
}

Test(emit, relative_targets_go_by_the_running_address)
{
    struct code code = map_code();
    struct emit e;

    code_emit(&code, &e);
    const void *back = emit_here(&e);
    emit_mov_imm32(&e, HOST_RAX, 5);
    emit_ret(&e);
    const void *entry = emit_here(&e);
    emit_call(&e, back);
    emit_alu_imm32(&e, HOST_CMP, HOST_RAX, 5);
    emit_jcc(&e, HOST_E, back);
    emit_ud2(&e);
    cr_assert(!emit_failed(&e));
    cr_expect_eq(call(entry, 0), 5);
    emit_jmp(&e, (const uint8_t *)entry + 8 * GIB);
    cr_expect(e.out_of_reach && !e.overflow);
}

Test(emit, a_short_jump_that_cannot_reach_is_noticed)
{
    static uint8_t buffer[400];
    struct emit e;

    for (unsigned distance = 120; distance < 136; distance++) {
        struct emit_label forward = {0}, backward = {0};
        emit_init(&e, buffer, buffer + sizeof(buffer), 0);
        emit_jrcxz(&e, &forward);
        emit_nop(&e, distance);
        emit_bind(&e, &forward);
        cr_expect_eq(e.out_of_reach, distance > 127);

        emit_init(&e, buffer, buffer + sizeof(buffer), 0);
        emit_bind(&e, &backward);
        emit_nop(&e, distance);
        emit_jrcxz(&e, &backward);
        cr_expect_eq(e.out_of_reach, distance + 2 > 128);
    }
}

Test(emit, a_label_has_so_many_forward_uses)
{
    static uint8_t buffer[400];
    struct emit_label label = {0};
    struct emit e;

    emit_init(&e, buffer, buffer + sizeof(buffer), 0);
    for (unsigned i = 0; i < EMIT_LABEL_USES; i++) {
        emit_jmp_label(&e, &label);
    }
    cr_expect_not(emit_failed(&e));
    emit_jmp_label(&e, &label);
    cr_expect(e.out_of_reach);
    emit_bind(&e, &label);
    cr_expect_eq(label.uses, 0);
}

Test(emit, labels_survive_a_full_buffer)
{
    uint8_t buffer[64];

    for (size_t room = 0; room < 40; room++) {
        struct emit_label label = {0};
        struct emit e;
        memset(buffer, 0xa5, sizeof(buffer));
        emit_init(&e, buffer, buffer + room, 0);
        emit_jmp_label(&e, &label);
        emit_jcc_label(&e, HOST_NE, &label);
        emit_jrcxz(&e, &label);
        emit_jecxz(&e, &label);
        emit_lea_label(&e, HOST_R8, &label);
        emit_call_label(&e, &label);
        emit_bind(&e, &label);
        emit_jmp_label(&e, &label);
        cr_expect_eq(e.overflow, room < 30, "room %zu", room);
        for (size_t i = room; i < sizeof(buffer); i++) {
            cr_expect_eq(buffer[i], 0xa5);
        }
    }
}

/* ---- the flag-free forms are flag-free ---- */

Test(emit, glue_keeps_the_flags)
{
    struct code code = map_code();
    uint64_t memory[2] = {1, 2};

    if (!__builtin_cpu_supports("bmi2")) {
        cr_skip_test("the shifts need BMI2");
    }
    for (unsigned flags = 0; flags < 0x40; flags++) {
        uint64_t rflags = 2 | (flags & 1) | (flags & 2) << 1 | (flags & 4) << 2 | (flags & 8) << 3 |
                          (flags & 16) << 3 | (flags & 32) << 6;
        struct emit_label next = {0};
        struct emit e;
        code_emit(&code, &e);
        const void *entry = emit_here(&e);
        emit_mov_imm64(&e, HOST_R8, (uintptr_t)memory);
        emit_push(&e, HOST_RDI);
        emit_popfq(&e);
        emit_lea32(&e, HOST_R9, host_mem_index(HOST_R8, HOST_RDI, 2, -5));
        emit_not32(&e, HOST_R9);
        emit_mov_imm32(&e, HOST_RCX, 44);
        emit_shrx64(&e, HOST_R9, HOST_R9, HOST_RCX);
        emit_shlx32(&e, HOST_R9, HOST_R9, HOST_RCX);
        emit_sarx64(&e, HOST_R9, HOST_R9, HOST_RCX);
        emit_rorx32(&e, HOST_R9, HOST_R9, 8);
        emit_movsx8(&e, HOST_R9, HOST_R9);
        emit_xchg_mem64(&e, host_mem(HOST_R8, 8), HOST_R9);
        emit_load_zx8(&e, HOST_R9, host_mem(HOST_R8, 0));
        emit_bswap32(&e, HOST_R9);
        emit_jrcxz(&e, &next);
        emit_bind(&e, &next);
        emit_pushfq(&e);
        emit_pop(&e, HOST_RAX);
        emit_ret(&e);
        cr_assert(!emit_failed(&e));
        cr_expect_eq(call(entry, rflags) & 0x8d5, rflags & 0x8d5, "flags %x", (unsigned)rflags);
    }
}
