/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * creg, dreg, info fpu, info sse, print-stack: registers with their bits spelled, and the stack they point to.
 *
 * Bochs' way to show flags: the name of a bit in capitals if it is set.
 *
 * SDM: Volume 3A, "Control Registers"; Volume 3B, "Debug Registers"; Volume 1, "x87 FPU", "MXCSR Control and Status
 * Register".
 */
#include <ctype.h>

#include "cpu/debug.h"
#include "monitor/groups.h"
#include "monitor/guest_memory.h"
#include "monitor/listing.h"
#include "vm/symbols.h"

enum { STACK_DEFAULT = 16, STACK_MAX = 1024 };

struct bit_name {
    uint64_t bit;
    const char *name; /* small letters */
};

/* " PG cd nw": capitals where the bit is set. */
static void print_bits(FILE *out, uint64_t value, const struct bit_name *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        fputc(' ', out);
        for (const char *c = names[i].name; *c; c++) {
            fputc(value & names[i].bit ? toupper((unsigned char)*c) : *c, out);
        }
    }
    fputc('\n', out);
}

static void print_register(struct command_call *call, const char *name, uint64_t value,
                           const struct bit_name *names, size_t count)
{
    fprintf(call->out, "%-5s 0x%08llx:", name, (unsigned long long)value);
    print_bits(call->out, value, names, count);
    json_object_set_new(call->data, name, json_integer((json_int_t)value));
}

/* ---- Control registers ---------------------------------------------------------------------------------- */

static const struct bit_name cr0_bits[] = {
    {CR0_PG, "pg"}, {CR0_CD, "cd"}, {CR0_NW, "nw"}, {CR0_AM, "am"}, {CR0_WP, "wp"}, {CR0_NE, "ne"},
    {CR0_ET, "et"}, {CR0_TS, "ts"}, {CR0_EM, "em"}, {CR0_MP, "mp"}, {CR0_PE, "pe"},
};
static const struct bit_name cr3_bits[] = {{BIT(4), "pcd"}, {BIT(3), "pwt"}};
static const struct bit_name cr4_bits[] = {
    {CR4_OSXMMEXCPT, "osxmmexcpt"},
    {CR4_OSFXSR, "osfxsr"},
    {CR4_PCE, "pce"},
    {CR4_PGE, "pge"},
    {CR4_MCE, "mce"},
    {CR4_PAE, "pae"},
    {CR4_PSE, "pse"},
    {CR4_DE, "de"},
    {CR4_TSD, "tsd"},
    {CR4_PVI, "pvi"},
    {CR4_VME, "vme"},
};
static const struct bit_name efer_bits[] = {
    {EFER_NXE, "nxe"}, {EFER_LMA, "lma"}, {EFER_LME, "lme"}, {EFER_SCE, "sce"}};

static const char *paging_name(const struct vcpu *cpu)
{
    switch (cpu->paging.mode) {
    case PAGING_32BIT:
        return cpu->paging.pse ? "32-bit paging with large pages of 4 MiB" : "32-bit paging";
    case PAGING_PAE:
        return cpu->paging.nx ? "PAE paging with execute-disable" : "PAE paging";
    case PAGING_4LEVEL:
        return "4-level paging";
    case PAGING_OFF:
        break;
    }
    return "no paging";
}

static bool run_creg(struct command_call *call)
{
    const struct vcpu *cpu = call->vm->cpu;

    call->data = json_object();
    print_register(call, "cr0", cpu->cr0, cr0_bits, ARRAY_LEN(cr0_bits));
    fprintf(call->out, "%-5s 0x%08llx\n", "cr2", (unsigned long long)cpu->cr2);
    json_object_set_new(call->data, "cr2", json_integer((json_int_t)cpu->cr2));
    print_register(call, "cr3", cpu->cr3, cr3_bits, ARRAY_LEN(cr3_bits));
    print_register(call, "cr4", cpu->cr4, cr4_bits, ARRAY_LEN(cr4_bits));
    print_register(call, "efer", cpu->msr.efer, efer_bits, ARRAY_LEN(efer_bits));
    for (unsigned i = 0; cpu->paging.mode == PAGING_PAE && i < 4; i++) {
        fprintf(call->out, "pdpte%u 0x%016llx%s\n", i, (unsigned long long)cpu->pdpte[i],
                cpu->pdpte[i] & 1 ? "" : " not present");
    }
    fprintf(call->out, "%s, CPL %u, %s\n", paging_name(cpu), cpu->cpl,
            cpu->v86              ? "virtual-8086 mode"
            : cpu->protected_mode ? "protected mode"
                                  : "real mode");
    return true;
}

/* ---- Debug registers ------------------------------------------------------------------------------------ */

static const struct bit_name dr6_bits[] = {{DR6_BT, "bt"}, {DR6_BS, "bs"}, {DR6_BD, "bd"}, {BIT(3), "b3"},
                                           {BIT(2), "b2"}, {BIT(1), "b1"}, {BIT(0), "b0"}};
static const struct bit_name dr7_bits[] = {{DR7_GD, "gd"}, {BIT(9), "ge"}, {BIT(8), "le"}, {BIT(7), "g3"},
                                           {BIT(6), "l3"}, {BIT(5), "g2"}, {BIT(4), "l2"}, {BIT(3), "g1"},
                                           {BIT(2), "l1"}, {BIT(1), "g0"}, {BIT(0), "l0"}};

static bool run_dreg(struct command_call *call)
{
    static const char *const kinds[4] = {"execute", "write", "I/O", "read or write"};
    static const uint8_t length[4] = {1, 2, 8, 4};
    const struct vcpu *cpu = call->vm->cpu;

    call->data = json_object();
    for (unsigned i = 0; i < 4; i++) {
        char name[4] = {'d', 'r', (char)('0' + i), '\0'};

        fprintf(call->out, "%-5s 0x%08llx", name, (unsigned long long)cpu->dr[i]);
        if (debug_enabled(cpu, i)) {
            fprintf(call->out, "  stops at: %s, %u bytes", kinds[debug_rw(cpu, i)],
                    length[cpu->dr[7] >> (18 + 4 * i) & 3]);
        }
        fputc('\n', call->out);
        json_object_set_new(call->data, name, json_integer((json_int_t)cpu->dr[i]));
    }
    print_register(call, "dr6", cpu->dr[6], dr6_bits, ARRAY_LEN(dr6_bits));
    print_register(call, "dr7", cpu->dr[7], dr7_bits, ARRAY_LEN(dr7_bits));
    return true;
}

/* ---- x87 ------------------------------------------------------------------------------------------------ */

static const struct bit_name fsw_bits[] = {{BIT(15), "b"}, {BIT(14), "c3"}, {BIT(10), "c2"}, {BIT(9), "c1"},
                                           {BIT(8), "c0"}, {BIT(7), "es"},  {BIT(6), "sf"},  {BIT(5), "pe"},
                                           {BIT(4), "ue"}, {BIT(3), "oe"},  {BIT(2), "ze"},  {BIT(1), "de"},
                                           {BIT(0), "ie"}};
static const struct bit_name fcw_bits[] = {{BIT(5), "pm"}, {BIT(4), "um"}, {BIT(3), "om"},
                                           {BIT(2), "zm"}, {BIT(1), "dm"}, {BIT(0), "im"}};

/* What the 10 bytes mean. Encodings that no x87 takes for numbers are never given to printf(). */
static void value_text(const uint8_t bytes[10], char *text, size_t size)
{
    uint64_t significand = load_le64(bytes);
    unsigned exponent = load_le16(bytes + 8) & 0x7fff;
    bool negative = bytes[9] & 0x80, integer_bit = significand >> 63;
    long double value = 0;

    if (exponent != 0 && !integer_bit) {
        snprintf(text, size, "unsupported encoding");
    } else if (exponent == 0x7fff && significand << 1) {
        snprintf(text, size, "%sNaN", significand >> 62 & 1 ? "q" : "s");
    } else if (exponent == 0x7fff) {
        snprintf(text, size, "%cinfinity", negative ? '-' : '+');
    } else {
        memcpy(&value, bytes, 10);
        snprintf(text, size, "%.18Lg", value);
    }
}

static bool info_fpu(struct command_call *call)
{
    static const char *const rounding[4] = {"to nearest", "down", "up", "to zero"};
    static const char *const precision[4] = {"24", "reserved", "53", "64"};
    const struct fxsave *fpu = &call->vm->cpu->fpu;
    unsigned top = fpu->fsw >> 11 & 7;
    json_t *registers = json_array();

    call->data = json_object();
    for (unsigned i = 0; i < 8; i++) {
        bool used = fpu->ftw >> ((top + i) & 7) & 1;
        char text[64];

        value_text(fpu->st[i], text, sizeof(text));
        fprintf(call->out, "st%u  %04x %016llx  %s\n", i, load_le16(fpu->st[i] + 8),
                (unsigned long long)load_le64(fpu->st[i]), used ? text : "empty");
        json_array_append_new(registers, json_string(used ? text : "empty"));
    }
    json_object_set_new(call->data, "st", registers);
    print_register(call, "fcw", fpu->fcw, fcw_bits, ARRAY_LEN(fcw_bits));
    fprintf(call->out, "      rounding %s, precision %s bits\n", rounding[fpu->fcw >> 10 & 3],
            precision[fpu->fcw >> 8 & 3]);
    print_register(call, "fsw", fpu->fsw, fsw_bits, ARRAY_LEN(fsw_bits));
    fprintf(call->out, "      top %u, tags %02x; last instruction %03x at %04x:%08x, operand %04x:%08x\n",
            top, fpu->ftw, fpu->fop, fpu->fcs, fpu->fip, fpu->fds, fpu->fdp);
    return true;
}

/* ---- SSE ------------------------------------------------------------------------------------------------ */

static const struct bit_name mxcsr_bits[] = {
    {BIT(15), "fz"}, {BIT(12), "pm"}, {BIT(11), "um"}, {BIT(10), "om"}, {BIT(9), "zm"},
    {BIT(8), "dm"},  {BIT(7), "im"},  {BIT(6), "daz"}, {BIT(5), "pe"},  {BIT(4), "ue"},
    {BIT(3), "oe"},  {BIT(2), "ze"},  {BIT(1), "de"},  {BIT(0), "ie"},
};

static bool info_sse(struct command_call *call)
{
    const struct fxsave *fpu = &call->vm->cpu->fpu;

    call->data = json_object();
    for (unsigned i = 0; i < 8; i++) {
        char name[8], hex[40];
        float single[4];

        memcpy(single, fpu->xmm[i], sizeof(single));
        snprintf(name, sizeof(name), "xmm%u", i);
        snprintf(hex, sizeof(hex), "%016llx%016llx", (unsigned long long)load_le64(fpu->xmm[i] + 8),
                 (unsigned long long)load_le64(fpu->xmm[i]));
        fprintf(call->out, "%s  %s  {%g, %g, %g, %g}\n", name, hex, (double)single[0], (double)single[1],
                (double)single[2], (double)single[3]);
        json_object_set_new(call->data, name, json_string(hex));
    }
    print_register(call, "mxcsr", fpu->mxcsr, mxcsr_bits, ARRAY_LEN(mxcsr_bits));
    return true;
}

/* ---- The stack ------------------------------------------------------------------------------------------ */

/* Items from the top of the stack on: as wide as the code pushes them. */
static bool run_print_stack(struct command_call *call)
{
    const struct vcpu *cpu = call->vm->cpu;
    unsigned size = cpu->code32 ? 4 : 2;
    uint64_t count = STACK_DEFAULT;
    struct listing listing;

    if (call->count > 0 && !command_value(call, 0, &count)) {
        return false;
    }
    listing = listing_begin(call, STACK_MAX);
    for (uint64_t i = 0; i < MIN(count, (uint64_t)STACK_MAX); i++) {
        uint32_t offset = reg32(cpu, RSP) + (uint32_t)i * size, value;
        uint32_t linear = (uint32_t)cpu->seg[SEG_SS].base + (cpu->stack32 ? offset : (uint16_t)offset);
        uint8_t bytes[4] = {0};
        char symbol[80];

        if (!guest_peek(cpu, false, linear, bytes, size)) {
            fprintf(call->out, "%08x  not readable\n", linear);
            break;
        }
        value = load_le32(bytes);
        symbols_format(call->vm->symbols, value, symbol, sizeof(symbol));
        fprintf(call->out, "%08x  %0*x%s%s%s\n", linear, (int)size * 2, value, *symbol ? "  <" : "", symbol,
                *symbol ? ">" : "");
        listing_row(&listing,
                    json_pack("{s:I,s:I}", "linear", (json_int_t)linear, "value", (json_int_t)value));
    }
    listing_end(&listing, NULL);
    return true;
}

static const struct command commands[] = {
    {"creg", NULL, "", "control registers, names of set bits in capitals", NULL, false, 0, 0, run_creg},
    {"dreg", NULL, "", "debug registers", NULL, false, 0, 0, run_dreg},
    {"info fpu", "fpu", "", "the x87 unit", NULL, false, 0, 0, info_fpu},
    {"info sse", "sse", "", "the SSE registers", NULL, false, 0, 0, info_sse},
    {"print-stack", NULL, "[COUNT]", "the top of the stack", NULL, false, 0, 1, run_print_stack},
};

const struct command_group register_group = {"Registers", commands, ARRAY_LEN(commands)};
