/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Are two outcomes the same, and if not, where?
 */
#include "hostcmp.h"

#include <stdio.h>

enum { BYTES_SHOWN = 16 };

static const char *const gpr_names[8] = {"eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi"};
static const char *const sreg_names[SEG_COUNT] = {"es", "cs", "ss", "ds", "fs", "gs"};

static bool vector_has_code(int vector)
{
    return (vector >= EXC_TS && vector <= EXC_PF) || vector == EXC_AC;
}

static bool same_exception(const struct comparison *comparison)
{
    const struct outcome *host = comparison->host, *ours = comparison->ours;

    if (host->vector >= 0 && rule_same_exception(comparison->test, host, ours)) {
        return true;
    }
    return host->vector == ours->vector &&
           (!vector_has_code(host->vector) || host->error_code == ours->error_code) &&
           (host->vector != EXC_PF || host->cr2 == ours->cr2);
}

static bool same_registers(const struct comparison *comparison)
{
    const struct cpu_state *host = &comparison->host->state, *ours = &comparison->ours->state;

    if (rule_any_registers(comparison->test, comparison->host)) {
        return host->gpr[RSP] == ours->gpr[RSP];
    }
    return memcmp(host->gpr, ours->gpr, sizeof(host->gpr)) == 0;
}

static bool same_x87(const struct fxsave *host, const struct fxsave *ours)
{
    for (unsigned i = 0; i < 8; i++) {
        if (memcmp(host->st[i], ours->st[i], 10) != 0) {
            return false;
        }
    }
    return host->fcw == ours->fcw && host->fsw == ours->fsw && host->ftw == ours->ftw;
}

static bool same_sse(const struct fxsave *host, const struct fxsave *ours)
{
    for (unsigned i = 0; i < 8; i++) {
        if (memcmp(host->xmm[i], ours->xmm[i], 16) != 0) {
            return false;
        }
    }
    return host->mxcsr == ours->mxcsr;
}

static bool same_fpu(const struct comparison *comparison)
{
    const struct fxsave *host = &comparison->host->state.fpu, *ours = &comparison->ours->state.fpu;

    return (same_x87(host, ours) || rule_any_x87(comparison->test, comparison->host)) && same_sse(host, ours);
}

/* A null selector is as good as another: the kernel's IRET clears its RPL. */
static bool same_selector(uint16_t host, uint16_t ours)
{
    return host == ours || ((host | ours) & ~3) == 0;
}

static bool same_selectors(const struct cpu_state *host, const struct cpu_state *ours)
{
    for (unsigned i = 0; i < SEG_COUNT; i++) {
        if (!same_selector(host->selector[i], ours->selector[i])) {
            return false;
        }
    }
    return true;
}

static bool same_memory(const struct comparison *comparison)
{
    if (memcmp(comparison->host_memory, comparison->our_memory, WINDOW_SIZE) == 0) {
        return true;
    }
    for (uint32_t at = 0; at < WINDOW_SIZE; at++) {
        if (comparison->host_memory[at] != comparison->our_memory[at] &&
            !rule_any_byte(comparison->test, comparison->host, WINDOW_BASE + at)) {
            return false;
        }
    }
    return true;
}

bool comparison_equal(const struct comparison *comparison)
{
    const struct outcome *host = comparison->host, *ours = comparison->ours;
    uint32_t mask = rule_eflags(comparison->test, host);

    return same_exception(comparison) && same_registers(comparison) && host->state.eip == ours->state.eip &&
           ((host->state.eflags ^ ours->state.eflags) & mask) == 0 &&
           same_selectors(&host->state, &ours->state) && same_fpu(comparison) && same_memory(comparison);
}

/* ---- printing ---- */

static void print_word(const char *name, uint32_t before, uint32_t host, uint32_t ours, uint32_t mask)
{
    bool differ = (host ^ ours) & mask;

    if (differ || before != host) {
        printf("    %-6s %08x -> host %08x, ours %08x%s\n", name, before, host, ours,
               differ ? "   <---" : "");
    } else {
        printf("    %-6s %08x\n", name, before);
    }
}

static void print_bytes(const char *what, const uint8_t *bytes, unsigned size)
{
    printf(" %s ", what);
    for (unsigned i = size; i-- > 0;) {
        printf("%02x", bytes[i]);
    }
}

static void print_vector_register(const char *name, unsigned n, const uint8_t *before, const uint8_t *host,
                                  const uint8_t *ours, unsigned size)
{
    bool differ = memcmp(host, ours, size) != 0;

    printf("    %s%u ", name, n);
    print_bytes("", before, size);
    if (differ || memcmp(before, host, size) != 0) {
        print_bytes("-> host", host, size);
        print_bytes("ours", ours, size);
    }
    printf("%s\n", differ ? "   <---" : "");
}

static void print_fpu(const struct fxsave *before, const struct fxsave *host, const struct fxsave *ours)
{
    print_word("fcw", before->fcw, host->fcw, ours->fcw, ~0u);
    print_word("fsw", before->fsw, host->fsw, ours->fsw, ~0u);
    print_word("ftw", before->ftw, host->ftw, ours->ftw, ~0u);
    print_word("mxcsr", before->mxcsr, host->mxcsr, ours->mxcsr, ~0u);
    for (unsigned i = 0; i < 8; i++) {
        print_vector_register("st", i, before->st[i], host->st[i], ours->st[i], 10);
    }
    for (unsigned i = 0; i < 8; i++) {
        print_vector_register("xmm", i, before->xmm[i], host->xmm[i], ours->xmm[i], 16);
    }
}

static void print_memory(const struct comparison *comparison)
{
    unsigned shown = 0;

    for (uint32_t at = 0; at < WINDOW_SIZE; at++) {
        uint8_t before = comparison->memory[at], host = comparison->host_memory[at],
                ours = comparison->our_memory[at];
        if (host == ours && (host == before || window_page[at >> 12] == PAGE_CODE)) {
            continue;
        }
        if (shown++ == 2 * BYTES_SHOWN) {
            printf("    ...\n");
            return;
        }
        printf("    [%08x] %02x -> host %02x, ours %02x%s\n", WINDOW_BASE + at, before, host, ours,
               host != ours ? "   <---" : "");
    }
}

static void print_exception(const char *who, const struct outcome *outcome)
{
    if (outcome->vector < 0) {
        printf("    %s: ended\n", who);
    } else {
        printf("    %s: exception %d, error code %x, cr2 %08x\n", who, outcome->vector, outcome->error_code,
               outcome->cr2);
    }
}

/* What the memory operand held. */
static void print_operand(const struct comparison *comparison)
{
    const struct test_case *test = comparison->test;
    const struct insn *insn = &test->insn;

    if (!insn->memory) {
        return;
    }
    uint32_t offset = test_address(test);
    uint32_t linear = offset + layout_segment_base(test->before.selector[insn->seg]);
    printf("    operand at %s:%08x, linear %08x:", sreg_names[insn->seg], offset, linear);
    for (unsigned i = 0; i < BYTES_SHOWN && linear - WINDOW_BASE + i < WINDOW_SIZE; i++) {
        printf(" %02x", comparison->memory[linear - WINDOW_BASE + i]);
    }
    printf("\n");
}

void comparison_print(const struct comparison *comparison)
{
    const struct test_case *test = comparison->test;
    const struct cpu_state *before = &test->before;
    const struct cpu_state *host = &comparison->host->state, *ours = &comparison->ours->state;
    char text[96];

    insn_format(&test->insn, before->eip, text, sizeof(text));
    printf("FAIL %s %s, case %u:", test->row->mnemonic, test->row->operands, test->index);
    for (unsigned i = 0; i < test->length; i++) {
        printf(" %02x", test->bytes[i]);
    }
    printf("   %s   (%s)\n", text, before->selector[SEG_CS] == SEL_LDT_CODE16 ? "16-bit" : "32-bit");
    print_exception("host", comparison->host);
    print_exception("ours", comparison->ours);
    print_operand(comparison);
    for (unsigned i = 0; i < 8; i++) {
        print_word(gpr_names[i], before->gpr[i], host->gpr[i], ours->gpr[i], ~0u);
    }
    print_word("eip", before->eip, host->eip, ours->eip, ~0u);
    print_word("eflags", before->eflags, host->eflags, ours->eflags, rule_eflags(test, comparison->host));
    for (unsigned i = 0; i < SEG_COUNT; i++) {
        print_word(sreg_names[i], before->selector[i], host->selector[i], ours->selector[i],
                   same_selector(host->selector[i], ours->selector[i]) ? 0 : ~0u);
    }
    if (test->row->flags & (OPF_FPU | OPF_MMX | OPF_SSE) || !same_fpu(comparison)) {
        print_fpu(&before->fpu, &host->fpu, &ours->fpu);
    }
    print_memory(comparison);
}
