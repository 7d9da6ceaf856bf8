/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Every row of the opcode table against an independent disassembler: random encodings of it must have the length and
 * mnemonic, and name the memory operand, that Capstone gives them.
 *
 * Where the two differ on purpose, or Capstone 4 is wrong, a named rule below says so.
 */
#include <capstone/capstone.h>
#include <criterion/criterion.h>
#include <stdio.h>

#include "cpu/decode.h"

enum { ENCODINGS_PER_ROW = 200, MAX_BYTES = 32, ADDRESS = 0x1000 };

struct sample {
    const struct opcode *row;
    bool code32, size_prefix, address_prefix;
    uint8_t bytes[MAX_BYTES];
    struct insn insn;
    char text[128];
    char mnemonic[32], operands[160]; /* Capstone's */
    unsigned length;                  /* Capstone's, 0 when it knows no such instruction */
};

/* ---- Random encodings ----------------------------------------------------------------------------------- */

static uint32_t random_next(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

static uint8_t random_modrm(const struct opcode *row, uint32_t *state)
{
    unsigned mod = random_next(state) & 3, reg = random_next(state) & 7, rm = random_next(state) & 7;

    if (row->mod == 3) {
        mod = 3;
    } else if (row->mod == 0) {
        mod %= 3;
    }
    reg = row->reg >= 0 ? (unsigned)row->reg : reg;
    rm = row->rm >= 0 ? (unsigned)row->rm : rm;
    return (uint8_t)(mod << 6 | reg << 3 | rm);
}

static void make_encoding(struct sample *sample, uint32_t *state)
{
    static const uint8_t overrides[] = {0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65};
    const struct opcode *row = sample->row;
    unsigned at = 0;

    sample->size_prefix = row->prefix != OPP_NP && row->prefix != 0x66 && random_next(state) % 4 == 0;
    sample->address_prefix = random_next(state) % 4 == 0;
    if (sample->size_prefix) {
        sample->bytes[at++] = 0x66;
    }
    if (sample->address_prefix) {
        sample->bytes[at++] = 0x67;
    }
    if (random_next(state) % 4 == 0) {
        sample->bytes[at++] = overrides[random_next(state) % sizeof(overrides)];
    }
    if (row->prefix > OPP_NP) {
        sample->bytes[at++] = row->prefix;
    }
    if (row->map != MAP_1BYTE) {
        sample->bytes[at++] = 0x0f;
    }
    if (row->map == MAP_0F38 || row->map == MAP_0F3A) {
        sample->bytes[at++] = row->map == MAP_0F38 ? 0x38 : 0x3a;
    }
    sample->bytes[at++] = (uint8_t)(row->byte + (row->plus_reg ? random_next(state) & 7 : 0));
    if (opcode_has_modrm(row)) {
        sample->bytes[at++] = random_modrm(row, state);
    }
    while (at < MAX_BYTES) {
        sample->bytes[at++] = (uint8_t)random_next(state);
    }
}

/* ---- Rules for where Capstone 4 is not followed --------------------------------------------------------- */

static bool starts(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

static bool is_simd(const struct opcode *row)
{
    return (row->flags & (OPF_MMX | OPF_SSE)) != 0;
}

/* In 16-bit mode it takes 66, F2 and F3 for prefixes of size and repetition only. */
static bool rule_mandatory_prefix_in_16_bit_mode(const struct sample *sample)
{
    return !sample->code32 && (is_simd(sample->row) || sample->row->prefix != 0);
}

/* AT&T names: pushal, pushaw, popal, popaw. */
static bool rule_pusha_has_att_names(const struct sample *sample)
{
    return starts(sample->row->mnemonic, "pusha") || starts(sample->row->mnemonic, "popa");
}

/* It always says CWDE and CDQ where the operand size is not the mode's. */
static bool rule_cbw_named_by_mode(const struct sample *sample)
{
    return starts(sample->row->mnemonic, "cbw") || starts(sample->row->mnemonic, "cwd");
}

/* Far transfers are LCALL and LJMP. */
static bool rule_far_transfers_have_an_l(const struct sample *sample)
{
    return sample->mnemonic[0] == 'l' && strcmp(sample->mnemonic + 1, sample->row->mnemonic) == 0;
}

/* The alias of SHL at /6 is SAL. */
static bool rule_sal_is_shl(const struct sample *sample)
{
    return strcmp(sample->mnemonic, "sal") == 0 && strcmp(sample->row->mnemonic, "shl") == 0;
}

/* JCXZ and JECXZ do not always go by the address size. */
static bool rule_jcxz_with_address_prefix(const struct sample *sample)
{
    return sample->address_prefix && starts(sample->row->mnemonic, "jcxz");
}

/* It knows the hint NOPs with memory operands only. */
static bool rule_hint_nop_of_a_register(const struct sample *sample)
{
    return strcmp(sample->row->mnemonic, "nop") == 0 && sample->row->map == MAP_0F && !sample->insn.memory;
}

/* UD0 and UD1 have ModRM by the manual; it says no, and calls the latter UD2B. */
static bool rule_ud_has_modrm(const struct sample *sample)
{
    return starts(sample->row->mnemonic, "ud0") || starts(sample->row->mnemonic, "ud1");
}

/* Names of the 8087's and 80287's leftovers. */
static bool rule_8087_names(const struct sample *sample)
{
    const char *mnemonic = sample->row->mnemonic;
    return !strcmp(mnemonic, "fneni") || !strcmp(mnemonic, "fndisi") || !strcmp(mnemonic, "fnsetpm");
}

/* The fences ignore rm; it insists on 0. */
static bool rule_fence_rm(const struct sample *sample)
{
    const char *mnemonic = sample->row->mnemonic;
    return (!strcmp(mnemonic, "lfence") || !strcmp(mnemonic, "mfence") || !strcmp(mnemonic, "sfence")) &&
           sample->insn.rm != 0;
}

/* Predicates 0-7 of CMPPS and its kin become mnemonics of their own. */
static bool rule_compare_predicates(const struct sample *sample)
{
    return starts(sample->row->mnemonic, "cmp") && is_simd(sample->row) && starts(sample->mnemonic, "cmp");
}

static const struct rule {
    const char *name;
    bool (*applies)(const struct sample *sample);
} rules[] = {
    {"mandatory prefix in 16-bit mode", rule_mandatory_prefix_in_16_bit_mode},
    {"PUSHA has AT&T names", rule_pusha_has_att_names},
    {"CBW is named by mode", rule_cbw_named_by_mode},
    {"far transfers have an L", rule_far_transfers_have_an_l},
    {"SAL is SHL", rule_sal_is_shl},
    {"JCXZ with an address prefix", rule_jcxz_with_address_prefix},
    {"hint NOP of a register", rule_hint_nop_of_a_register},
    {"UD0 and UD1 have ModRM", rule_ud_has_modrm},
    {"8087 names", rule_8087_names},
    {"fences ignore rm", rule_fence_rm},
    {"compare predicates", rule_compare_predicates},
};

static bool excused(const struct sample *sample, unsigned uses[])
{
    for (unsigned i = 0; i < ARRAY_LEN(rules); i++) {
        if (rules[i].applies(sample)) {
            uses[i]++;
            return true;
        }
    }
    return false;
}

/* ---- Comparison ----------------------------------------------------------------------------------------- */

static void ask_capstone(csh handle, struct sample *sample)
{
    cs_insn *insn;

    sample->length = 0;
    sample->mnemonic[0] = sample->operands[0] = 0;
    if (cs_disasm(handle, sample->bytes, 15, ADDRESS, 1, &insn) == 1) {
        sample->length = insn->size;
        snprintf(sample->mnemonic, sizeof(sample->mnemonic), "%s", insn->mnemonic);
        snprintf(sample->operands, sizeof(sample->operands), "%s", insn->op_str);
        cs_free(insn, 1);
    }
}

static bool same_mnemonic(const struct sample *sample)
{
    size_t length = strlen(sample->mnemonic);

    return sample->length == sample->insn.length && strncmp(sample->text, sample->mnemonic, length) == 0 &&
           (sample->text[length] == 0 || sample->text[length] == ' ');
}

/* "seg:[...]" of both texts, with the segment when there is one. Addresses of mixed size are displayed with odd sign
 * extension by Capstone, so only the mode's own address size is compared. */
static bool same_memory_operand(const struct sample *sample)
{
    const char *ours = strchr(sample->text, '['), *theirs = strchr(sample->operands, '[');

    if (!sample->insn.memory || sample->address_prefix || !sample->code32) {
        return true;
    }
    if (!ours || !theirs || strcspn(ours, "]") != strcspn(theirs, "]")) {
        return false;
    }
    bool same_segment =
        !sample->insn.seg_override || (theirs - sample->operands >= 3 && !strncmp(ours - 3, theirs - 3, 3));
    return same_segment && strncmp(ours, theirs, strcspn(ours, "]")) == 0;
}

static bool compare(csh handle, struct sample *sample, uint32_t *state, unsigned uses[])
{
    make_encoding(sample, state);
    if (insn_decode(sample->bytes, 15, sample->code32, ~(uint64_t)0, &sample->insn) != DECODE_OK ||
        sample->insn.opcode != sample->row) {
        return true; /* an earlier row takes this ModRM, or the prefixes make it too long */
    }
    insn_format(&sample->insn, ADDRESS, sample->text, sizeof(sample->text));
    ask_capstone(handle, sample);
    return (same_mnemonic(sample) && same_memory_operand(sample)) || excused(sample, uses);
}

Test(capstone, agrees_with_every_row)
{
    csh handle[2];
    unsigned uses[ARRAY_LEN(rules)] = {0};
    uint32_t state = 0x2545f491;

    cr_assert_eq(cs_open(CS_ARCH_X86, CS_MODE_16, &handle[0]), CS_ERR_OK);
    cr_assert_eq(cs_open(CS_ARCH_X86, CS_MODE_32, &handle[1]), CS_ERR_OK);
    for (size_t i = 0; i < opcode_count; i++) {
        for (unsigned n = 0; n < ENCODINGS_PER_ROW; n++) {
            struct sample sample = {.row = &opcode_table[i], .code32 = n % 2};
            cr_expect(compare(handle[n % 2], &sample, &state, uses),
                      "row %zu, %u bits, %02x %02x %02x %02x %02x %02x: '%s' (%u bytes), Capstone '%s %s' "
                      "(%u bytes)",
                      i, sample.code32 ? 32 : 16, sample.bytes[0], sample.bytes[1], sample.bytes[2],
                      sample.bytes[3], sample.bytes[4], sample.bytes[5], sample.text, sample.insn.length,
                      sample.mnemonic, sample.operands, sample.length);
        }
    }
    for (unsigned i = 0; i < ARRAY_LEN(rules); i++) {
        cr_expect(uses[i] > 0, "the rule '%s' excuses nothing", rules[i].name);
    }
    cs_close(&handle[0]);
    cs_close(&handle[1]);
}
