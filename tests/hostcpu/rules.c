/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What is left out of the comparison, each with its reason. README.md lists the same.
 */
#include "hostcmp.h"

#include <stdio.h>

struct row_rule {
    const char *name, *reason;
    const char *mnemonics; /* each between spaces */
};

static const struct row_rule row_rules[] = {
    {"identity", "tells the processors apart, or the time", " cpuid rdtsc rdpmc "},
    {"host-tables", "shows the host kernel's tables and CR0, or its emulation of them (UMIP)",
     " sldt str sgdt sidt smsw "},
    {"system-call", "enters or leaves the host's kernel", " sysenter sysexit "},
    {"debug-trap", "virtual machines see INT1's return address differently", " int1 "},
};

static bool listed(const char *list, const char *mnemonic)
{
    size_t length = strlen(mnemonic);

    for (const char *at = strstr(list, mnemonic); at; at = strstr(at + 1, mnemonic)) {
        if (at[-1] == ' ' && at[length] == ' ') {
            return true;
        }
    }
    return false;
}

const char *rule_row(const struct opcode *row)
{
    for (unsigned i = 0; i < ARRAY_LEN(row_rules); i++) {
        if (listed(row_rules[i].mnemonics, row->mnemonic)) {
            return row_rules[i].name;
        }
    }
    return NULL;
}

const char *rule_case(const struct test_case *test)
{
    if (strcmp(test->row->mnemonic, "int") == 0 && (test->insn.imm & 0xff) == 0x80) {
        return "system-call";
    }
    return NULL;
}

uint32_t rule_eflags(const struct test_case *test, const struct outcome *host)
{
    uint64_t mask = RFLAGS_ARITH | RFLAGS_DF | RFLAGS_IF | RFLAGS_IOPL | RFLAGS_NT | RFLAGS_AC | RFLAGS_ID;

    (void)test;
    if (host->vector >= 0) {
        mask |= RFLAGS_RF;
    }
    return (uint32_t)mask;
}

bool rule_byte(const struct test_case *test, uint32_t offset)
{
    (void)test;
    (void)offset;
    return false;
}

void rules_print(void)
{
    for (unsigned i = 0; i < ARRAY_LEN(row_rules); i++) {
        printf("rule %s: %s:%s\n", row_rules[i].name, row_rules[i].reason, row_rules[i].mnemonics);
    }
}
