/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What is left out of the comparison, by named rules; README.md says more about each.
 *
 * A rule leaves out rows, cases, or a part of the outcome of some cases. Everything without a rule is compared, flags
 * and values that the manual calls undefined included: our integer arithmetic runs on the host's own ALU.
 */
#include "hostcmp.h"

#include <stdio.h>

#include "cpu/fpu.h"

enum rule {
    RULE_IDENTITY,
    RULE_HOST_TABLES,
    RULE_SYSTEM_CALL,
    RULE_DEBUG_TRAP,
    RULE_CR8,
    RULE_UD_MODRM,
    RULE_REP_IO_ZERO,
    RULE_LOCK_VERW,
    RULE_MASKED_STORE,
    RULE_ARPL_WRITE,
    RULE_UNDEFINED_FLAGS,
    RULE_FAULT_ORDER,
    RULE_PARTIAL_POPA,
    RULE_ABANDONED_PUSH,
    RULE_LARGE_OPERAND,
    RULE_EXTENDED_OPERAND,
    RULE_MXCSR_MASK,
    RULE_MMX_TRANSITION,
    RULE_COUNT
};

struct rule_text {
    const char *name, *rows, *reason; /* rows: each between spaces */
};

static const struct rule_text rules[RULE_COUNT] = {
    [RULE_IDENTITY] = {"identity", " cpuid rdtsc rdpmc ", "tell processors apart, or the time; row left out"},
    [RULE_HOST_TABLES] =
        {"host-tables", " sldt str sgdt sidt smsw ",
         "show the host kernel's tables and CR0, or its emulation of them (UMIP); row left out"},
    [RULE_SYSTEM_CALL] = {"system-call", " sysenter sysexit int ",
                          "enter or leave the host's kernel; rows left out, of INT the vector 80h"},
    [RULE_DEBUG_TRAP] = {"debug-trap", " int1 ",
                         "hypervisors report INT1's address differently; row left out"},
    [RULE_CR8] = {"cr8", " mov ", "LOCK MOV CR0 is another encoding of CR8 on AMD processors; LOCK left out"},
    [RULE_UD_MODRM] = {"ud-modrm", " ud0 ud1 ",
                       "whether ModRM is fetched at all differs; not at the page's end"},
    [RULE_REP_IO_ZERO] = {"rep-io-zero", " insb insw/insd outsb outsw/outsd ",
                          "whether rights are checked with a count of 0 differs; REP with count 0 left out"},
    [RULE_LOCK_VERW] = {"lock-verw", " verr verw ",
                        "with LOCK, #UD may come after the operand's fault; LOCK left out"},
    [RULE_MASKED_STORE] =
        {"masked-store", " maskmovq maskmovdqu ",
         "which of the masked bytes can fault differs; only in writable memory, without #AC"},
    [RULE_ARPL_WRITE] = {"arpl-write", " arpl ",
                         "whether an unchanged selector is written differs; only in writable memory"},
    [RULE_UNDEFINED_FLAGS] = {"undefined-flags", " aaa aas daa das aad ",
                              "flags that the manual leaves undefined and that we do not take from the host"},
    [RULE_FAULT_ORDER] =
        {"fault-order", " retf iret/iretd cmpsb cmpsw/cmpsd enter call pusha/pushad ",
         "of two faults, or of a fault and #AC, either may come first; which one is not compared"},
    [RULE_PARTIAL_POPA] = {"partial-popa", " popa/popad ",
                           "registers loaded before the fault may keep their values"},
    [RULE_ABANDONED_PUSH] = {"abandoned-push", " call pusha/pushad ",
                             "one that faults may have written below the stack"},
    [RULE_LARGE_OPERAND] =
        {"large-operand", " fldenv fnstenv frstor fnsave fxsave fxrstor ",
         "accessed in parts of any order: which fault and address comes first is not compared; not across a "
         "segment's end"},
    [RULE_EXTENDED_OPERAND] =
        {"extended-operand", " fld fstp fbld fbstp ",
         "80 bits are accessed in two parts that may wrap by themselves; not across a segment's "
         "end"},
    [RULE_MXCSR_MASK] = {"mxcsr-mask", " fxsave ", "MXCSR_MASK says what the processor has; not compared"},
    [RULE_MMX_TRANSITION] =
        {"mmx-transition", " cvtpi2ps cvttps2pi cvttpd2pi cvtps2pi cvtpd2pi ",
         "whether a faulting instruction, or CVTPI2PS from memory, enters MMX use differs; x87 "
         "state is not compared then, and no error is pending"},
};

static bool applies(enum rule rule, const struct opcode *row)
{
    const char *list = rules[rule].rows;
    size_t length = strlen(row->mnemonic);

    for (const char *at = strstr(list, row->mnemonic); at; at = strstr(at + 1, row->mnemonic)) {
        if (at[-1] == ' ' && at[length] == ' ') {
            return true;
        }
    }
    return false;
}

void rules_print(void)
{
    for (unsigned i = 0; i < RULE_COUNT; i++) {
        printf("rule %s:%s- %s\n", rules[i].name, rules[i].rows, rules[i].reason);
    }
}

const char *rule_row(const struct opcode *row)
{
    static const enum rule whole[] = {RULE_IDENTITY, RULE_HOST_TABLES, RULE_SYSTEM_CALL, RULE_DEBUG_TRAP};

    for (unsigned i = 0; i < ARRAY_LEN(whole); i++) {
        if (applies(whole[i], row) && strcmp(row->mnemonic, "int") != 0) {
            return rules[whole[i]].name;
        }
    }
    return NULL;
}

static bool moves_control_register(const struct opcode *row)
{
    return row->map == MAP_0F && row->byte >= 0x20 && row->byte <= 0x23;
}

static bool rep_count_is_zero(const struct test_case *test)
{
    uint32_t count = test->before.gpr[RCX];

    return test->insn.rep && (test->insn.addrsize == 2 ? (uint16_t)count : count) == 0;
}

/* Does [offset, offset + size) lie inside the segment, without a wrap? */
static bool inside_segment(const struct test_case *test, unsigned seg, uint32_t offset, unsigned size)
{
    uint16_t selector = test->before.selector[seg];
    const struct ldt_entry *entry = &layout_ldt[selector / 8];
    uint64_t last = (uint64_t)offset + size - 1, limit = UINT32_MAX, first = 0;

    if ((selector & 4) && entry->contents == 1) {
        first = entry->limit + 1;
    } else if (selector & 4) {
        limit = entry->limit;
    }
    return offset >= first && last <= limit && (test->insn.addrsize == 4 || last <= UINT16_MAX);
}

static bool writable_segment(uint16_t selector)
{
    return selector == SEL_USER_DS || ((selector & 4) && layout_ldt[selector / 8].contents < 2 &&
                                       !layout_ldt[selector / 8].read_exec_only);
}

static bool writable(const struct test_case *test, unsigned seg, uint32_t offset, unsigned size)
{
    uint16_t selector = test->before.selector[seg];
    uint32_t first = offset + layout_segment_base(selector) - WINDOW_BASE, last = first + size - 1;

    return writable_segment(selector) && inside_segment(test, seg, offset, size) && first < WINDOW_SIZE &&
           last < WINDOW_SIZE && window_page[first >> 12] == PAGE_RW && window_page[last >> 12] == PAGE_RW;
}

/* Rules about the memory operand that leave the case out. */
static const char *rule_operand(const struct test_case *test)
{
    const struct opcode *row = test->row;
    const struct insn *insn = &test->insn;

    if (applies(RULE_MASKED_STORE, row)) {
        uint32_t offset = test->before.gpr[RDI] & (insn->addrsize == 2 ? 0xffff : 0xffffffff);
        bool plain = writable(test, insn->seg, offset, 16) && !(test->before.eflags & RFLAGS_AC);
        return plain ? NULL : rules[RULE_MASKED_STORE].name;
    }
    if (!insn->memory) {
        return NULL;
    }
    if (applies(RULE_ARPL_WRITE, row) && !writable(test, insn->seg, test_address(test), 2)) {
        return rules[RULE_ARPL_WRITE].name;
    }
    if (strcmp(row->operands, "Mt") == 0 && !inside_segment(test, insn->seg, test_address(test), 10)) {
        return rules[RULE_EXTENDED_OPERAND].name;
    }
    if (applies(RULE_LARGE_OPERAND, row) && !inside_segment(test, insn->seg, test_address(test), 512)) {
        return rules[RULE_LARGE_OPERAND].name;
    }
    if (strcmp(row->mnemonic, "cvtpi2ps") == 0 && (test->before.fpu.fsw & FSW_ES)) {
        return rules[RULE_MMX_TRANSITION].name;
    }
    return NULL;
}

const char *rule_case(const struct test_case *test)
{
    const struct opcode *row = test->row;

    if (strcmp(row->mnemonic, "int") == 0 && (test->insn.imm & 0xff) == 0x80) {
        return rules[RULE_SYSTEM_CALL].name;
    }
    if (moves_control_register(row) && memchr(test->bytes, 0xf0, test->length - 3)) {
        return rules[RULE_CR8].name;
    }
    if (applies(RULE_UD_MODRM, row) && test->code + test->length > CODE_END) {
        return rules[RULE_UD_MODRM].name;
    }
    if (applies(RULE_REP_IO_ZERO, row) && rep_count_is_zero(test)) {
        return rules[RULE_REP_IO_ZERO].name;
    }
    if (applies(RULE_LOCK_VERW, row) && memchr(test->bytes, 0xf0, test->length)) {
        return rules[RULE_LOCK_VERW].name;
    }
    return rule_operand(test);
}

/* Flags that the row leaves undefined. SDM: Volume 1, "EFLAGS Cross-Reference". */
static uint64_t undefined_flags(const struct opcode *row)
{
    switch (row->byte) {
    case 0x27: /* DAA */
    case 0x2f: /* DAS */
        return RFLAGS_OF;
    case 0xd5: /* AAD */
        return RFLAGS_OF | RFLAGS_AF | RFLAGS_CF;
    default: /* AAA, AAS */
        return RFLAGS_OF | RFLAGS_SF | RFLAGS_ZF | RFLAGS_PF;
    }
}

uint32_t rule_eflags(const struct test_case *test, const struct outcome *host)
{
    uint64_t mask = RFLAGS_ARITH | RFLAGS_DF | RFLAGS_IF | RFLAGS_IOPL | RFLAGS_NT | RFLAGS_AC | RFLAGS_ID;

    if (host->vector >= 0) {
        mask |= RFLAGS_RF;
    }
    if (applies(RULE_UNDEFINED_FLAGS, test->row)) {
        mask &= ~undefined_flags(test->row);
    }
    return (uint32_t)mask;
}

static bool is_access_fault(int vector)
{
    return vector == EXC_SS || vector == EXC_GP || vector == EXC_PF || vector == EXC_AC || vector == EXC_NP;
}

bool rule_same_exception(const struct test_case *test, const struct outcome *host, const struct outcome *ours)
{
    bool any_order = applies(RULE_FAULT_ORDER, test->row) || applies(RULE_LARGE_OPERAND, test->row);

    return any_order && is_access_fault(host->vector) && is_access_fault(ours->vector);
}

bool rule_any_registers(const struct test_case *test, const struct outcome *host)
{
    return applies(RULE_PARTIAL_POPA, test->row) && host->vector >= 0;
}

bool rule_any_x87(const struct test_case *test, const struct outcome *host)
{
    bool from_memory = strcmp(test->row->mnemonic, "cvtpi2ps") == 0 && test->insn.memory;

    return applies(RULE_MMX_TRANSITION, test->row) && (host->vector >= 0 || from_memory);
}

bool rule_any_byte(const struct test_case *test, const struct outcome *host, uint32_t linear)
{
    const struct cpu_state *before = &test->before;

    if (applies(RULE_MXCSR_MASK, test->row) && test->insn.memory) {
        uint32_t at = linear - layout_segment_base(before->selector[test->insn.seg]) - test_address(test);
        return (test->insn.addrsize == 2 ? (uint16_t)at : at) - 28 < 4;
    }
    if (applies(RULE_ABANDONED_PUSH, test->row) && host->vector >= 0) {
        uint32_t below = before->gpr[RSP] - (linear - layout_segment_base(before->selector[SEG_SS]));
        return (before->selector[SEG_SS] == SEL_LDT_STACK16 ? (uint16_t)below : below) <=
               8 * test->insn.opsize;
    }
    return false;
}
