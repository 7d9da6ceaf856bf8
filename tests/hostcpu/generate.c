/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Random cases: mode (code size and segments), registers, flags, FPU state, bytes.
 *
 *   flat     CS, DS, ES, SS: base 0, as Linux programs have them
 *   based    32-bit code, DS, ES, SS with their base at the window and limits
 *   16-bit   code, data and stack segments in the window
 *
 * The latter two need modify_ldt(2).
 */
#include "hostcmp.h"

enum { ATTEMPTS = 200 };

static void choose_based_data(struct generator *gen, struct cpu_state *state)
{
    static const uint16_t data[] = {SEL_LDT_DATA,  SEL_LDT_DATA, SEL_LDT_DATA, SEL_LDT_DOWN,
                                    SEL_LDT_SHORT, SEL_LDT_RO,   SEL_LDT_DATA, SEL_LDT_DATA};
    static const uint16_t stack[] = {SEL_LDT_DATA, SEL_LDT_STACK16, SEL_LDT_STACK16, SEL_LDT_DOWN};

    state->selector[SEG_DS] = data[rng_below(&gen->rng, ARRAY_LEN(data))];
    state->selector[SEG_ES] = data[rng_below(&gen->rng, ARRAY_LEN(data))];
    state->selector[SEG_SS] = stack[rng_below(&gen->rng, ARRAY_LEN(stack))];
}

/* True: flat. */
static bool choose_mode(struct generator *gen, struct cpu_state *state)
{
    unsigned mode = gen->have_ldt ? rng_below(&gen->rng, 4) : 0;

    state->selector[SEG_CS] = mode == 3 ? SEL_LDT_CODE16 : SEL_USER32_CS;
    state->selector[SEG_DS] = state->selector[SEG_ES] = state->selector[SEG_SS] = SEL_USER_DS;
    state->selector[SEG_FS] = state->selector[SEG_GS] = 0;
    if (mode >= 2) {
        choose_based_data(gen, state);
    }
    if (gen->have_ldt && rng_once_in(&gen->rng, 2)) {
        state->selector[SEG_FS] = SEL_LDT_DATA;
        state->selector[SEG_GS] = rng_once_in(&gen->rng, 2) ? SEL_LDT_SHORT : SEL_LDT_RO;
    }
    return mode < 2;
}

static void choose_registers(struct generator *gen, struct cpu_state *state)
{
    for (unsigned i = 0; i < 8; i++) {
        state->gpr[i] = value_integer(&gen->rng);
    }
    state->eflags = (uint32_t)((rng_next(&gen->rng) & RFLAGS_ARITH) | RFLAGS_FIXED1 | RFLAGS_IF);
    if (rng_once_in(&gen->rng, 3)) {
        state->eflags |= (uint32_t)RFLAGS_DF;
    }
    if (rng_once_in(&gen->rng, 24)) {
        state->eflags |= (uint32_t)RFLAGS_AC;
    }
    value_fpu(&gen->rng, &state->fpu);
}

/* PUSHF would store TF; after MOV SS and POP SS the trap waits; REP is trapped in every iteration. */
static bool disturbed_by_tf(const struct insn *insn)
{
    const struct opcode *row = insn->opcode;

    return strncmp(row->mnemonic, "pushf", 5) == 0 || strcmp(row->operands, "SS") == 0 ||
           (strcmp(row->operands, "Sw,Ew") == 0 && row->reg == SEG_SS) || strcmp(row->mnemonic, "lss") == 0 ||
           ((row->flags & OPF_STRING) && insn->rep);
}

static uint32_t choose_address(struct generator *gen, unsigned length)
{
    if (rng_once_in(&gen->rng, 64)) { /* the end of the page, or across it */
        return CODE_END - 1 - rng_below(&gen->rng, length);
    }
    return CODE_PAGE + 0x100 + rng_below(&gen->rng, 0xe00);
}

static bool try_case(struct generator *gen, const struct opcode *row, struct test_case *test)
{
    struct cpu_state *state = &test->before;
    struct encoding encoding;
    bool flat = choose_mode(gen, state);
    bool code32 = state->selector[SEG_CS] != SEL_LDT_CODE16;

    if (!encode_row(gen, row, code32, flat && !rng_once_in(&gen->rng, 3), &encoding)) {
        return false;
    }
    choose_registers(gen, state);
    enum decode_status status =
        insn_decode(encoding.bytes, sizeof(encoding.bytes), code32, gen->features, &test->insn);
    if (status == DECODE_OK && test->insn.opcode != row) {
        return false; /* an earlier row has this encoding */
    }
    test->code = choose_address(gen, encoding.length);
    state->eip =
        test->code + layout_segment_base(SEL_LDT_DATA) - layout_segment_base(state->selector[SEG_CS]);
    test->row = row;
    if (status == DECODE_OK && !operands_place(gen, test, &encoding)) {
        return false;
    }
    memcpy(test->bytes, encoding.bytes, sizeof(test->bytes));
    test->length = encoding.length;
    insn_decode(encoding.bytes, sizeof(encoding.bytes), code32, gen->features, &test->insn);
    test->single_step = status != DECODE_OK || !disturbed_by_tf(&test->insn);
    if (!test->single_step && test->code + test->length + 2 > CODE_END) {
        return false; /* no room for the UD2 */
    }
    return true;
}

bool generate_case(struct generator *gen, const struct opcode *row, unsigned index, struct test_case *test)
{
    for (unsigned attempt = 0; attempt < ATTEMPTS; attempt++) {
        *test = (struct test_case){.index = index};
        if (try_case(gen, row, test)) {
            return true;
        }
    }
    return false;
}
