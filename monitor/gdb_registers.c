/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * gdb's view of the registers. See gdb_registers.h.
 *
 * One table: a row a register, in the order of gdb's numbers, from which come sizes, the g packet and the target description.
 *
 * Writes go by what the processor would do: control registers as MOV CRn checks them, segment registers as MOV Sreg. CS in
 * protected mode takes its present value only: a far transfer is more than a register. So with RFLAGS.VM.
 *
 * GDB manual: "Target Description Format", "i386 Features".
 */
#include "monitor/gdb_registers.h"

#include <stdio.h>
#include <stdlib.h>

#include "cpu/cpuid.h"
#include "cpu/debug.h"
#include "cpu/descriptor.h"
#include "cpu/fpu.h"
#include "cpu/insn.h"

#define EFLAGS_WRITABLE (BITS(11, 0) | RFLAGS_IOPL | RFLAGS_NT | RFLAGS_RF | BITS(21, 18))

enum feature { CORE, SSE, SYSTEM, FEATURES };

struct row {
    const char *name;
    const char *type; /* gdb's, or one of the feature's own */
    enum feature feature;
    uint8_t bits;
    uint16_t arg;
    /* At most 64 bits. */
    uint64_t (*get)(const struct vcpu *cpu, unsigned arg);
    bool (*set)(struct vcpu *cpu, unsigned arg, uint64_t value);
    /* More than that: where it is. */
    uint8_t *(*place)(struct vcpu *cpu, unsigned arg);
};

/* ---- General registers, eip, eflags -------------------------------------------------------------------------- */

static uint64_t get_gpr(const struct vcpu *cpu, unsigned arg)
{
    return reg32(cpu, arg);
}

static bool set_gpr(struct vcpu *cpu, unsigned arg, uint64_t value)
{
    set_reg32(cpu, arg, (uint32_t)value);
    return true;
}

static uint64_t get_eip(const struct vcpu *cpu, unsigned arg)
{
    (void)arg;
    return (uint32_t)(cpu->seg[SEG_CS].base + cpu->rip);
}

static bool set_eip(struct vcpu *cpu, unsigned arg, uint64_t value)
{
    uint32_t rip = (uint32_t)(value - cpu->seg[SEG_CS].base);

    if (value == get_eip(cpu, arg)) {
        return true;
    }
    if (!cpu->code32 && rip > 0xffff) {
        return false;
    }
    cpu->rip = rip;
    cpu->halted = false;
    vcpu_set_shadow(cpu, SHADOW_NONE);
    return true;
}

static uint64_t get_eflags(const struct vcpu *cpu, unsigned arg)
{
    (void)arg;
    return (uint32_t)cpu->rflags;
}

static bool set_eflags(struct vcpu *cpu, unsigned arg, uint64_t value)
{
    (void)arg;
    if ((cpu->rflags ^ value) & RFLAGS_VM) {
        return false;
    }
    cpu->rflags = (value & EFLAGS_WRITABLE & ~(BIT(3) | BIT(5))) | (cpu->rflags & RFLAGS_VM) | RFLAGS_FIXED1;
    vcpu_sync_attention(cpu);
    return true;
}

/* ---- Segments, tables ------------------------------------------------------------------------------------------ */

/* The debugger's access is no event of the guest's: what a refused load has left behind is taken back. */
static bool accepted(struct vcpu *cpu, bool done, uint64_t cr2)
{
    if (!done) {
        cpu->exception = (struct exception){0};
        cpu->cr2 = cr2;
    }
    return done;
}

static uint64_t get_selector(const struct vcpu *cpu, unsigned arg)
{
    return cpu->seg[arg].selector;
}

static bool set_selector(struct vcpu *cpu, unsigned arg, uint64_t value)
{
    uint64_t cr2 = cpu->cr2;

    if (value == cpu->seg[arg].selector) {
        return true;
    }
    if (value > 0xffff) {
        return false;
    }
    if (arg == SEG_CS && !cpu->protected_mode) {
        cpu->seg[SEG_CS].selector = (uint16_t)value;
        cpu->seg[SEG_CS].base = value << 4;
        vcpu_sync_segment(cpu, SEG_CS);
        return true;
    }
    return accepted(cpu, segment_load(cpu, (enum sreg)arg, (uint16_t)value), cr2);
}

static uint64_t get_base(const struct vcpu *cpu, unsigned arg)
{
    return (uint32_t)cpu->seg[arg].base;
}

static bool set_base(struct vcpu *cpu, unsigned arg, uint64_t value)
{
    if (arg == SEG_CS && value != get_base(cpu, arg)) {
        return false;
    }
    cpu->seg[arg].base = value;
    vcpu_sync(cpu);
    return true;
}

enum { GDTR_BASE, GDTR_LIMIT, IDTR_BASE, IDTR_LIMIT, TR_SELECTOR, TR_BASE, LDTR_SELECTOR, LDTR_BASE };

static uint64_t get_table(const struct vcpu *cpu, unsigned arg)
{
    switch (arg) {
    case GDTR_BASE:
        return (uint32_t)cpu->gdtr.base;
    case GDTR_LIMIT:
        return cpu->gdtr.limit;
    case IDTR_BASE:
        return (uint32_t)cpu->idtr.base;
    case IDTR_LIMIT:
        return cpu->idtr.limit;
    case TR_SELECTOR:
        return cpu->tr.selector;
    case TR_BASE:
        return (uint32_t)cpu->tr.base;
    case LDTR_SELECTOR:
        return cpu->ldtr.selector;
    default:
        return (uint32_t)cpu->ldtr.base;
    }
}

static bool set_table(struct vcpu *cpu, unsigned arg, uint64_t value)
{
    struct table_register *table = arg == GDTR_BASE || arg == GDTR_LIMIT ? &cpu->gdtr : &cpu->idtr;

    if (value == get_table(cpu, arg)) {
        return true;
    }
    switch (arg) {
    case GDTR_BASE:
    case IDTR_BASE:
        table->base = value;
        return true;
    case GDTR_LIMIT:
    case IDTR_LIMIT:
        if (value > 0xffff) {
            return false;
        }
        table->limit = (uint16_t)value;
        return true;
    default: /* what they name is read from memory when they are loaded */
        return false;
    }
}

/* ---- Control and debug registers --------------------------------------------------------------------------------- */

static uint64_t get_cr(const struct vcpu *cpu, unsigned arg)
{
    const uint64_t *const cr[] = {&cpu->cr0, NULL, &cpu->cr2, &cpu->cr3, &cpu->cr4};

    return (uint32_t)*cr[arg];
}

static bool set_cr(struct vcpu *cpu, unsigned arg, uint64_t value)
{
    uint64_t cr2 = cpu->cr2;
    bool done;

    if (value == get_cr(cpu, arg)) {
        return true;
    }
    if (arg == 2) {
        cpu->cr2 = value;
        return true;
    }
    done = arg == 0 ? cr0_write(cpu, value) : arg == 3 ? cr3_write(cpu, value) : cr4_write(cpu, value);
    if (accepted(cpu, done, cr2)) {
        vcpu_sync(cpu);
    }
    return done;
}

static uint64_t get_efer(const struct vcpu *cpu, unsigned arg)
{
    (void)arg;
    return cpu->msr.efer;
}

static bool set_efer(struct vcpu *cpu, unsigned arg, uint64_t value)
{
    enum { MSR_EFER = 0xc0000080 };

    return value == get_efer(cpu, arg) || accepted(cpu, msr_write(cpu, (uint32_t)MSR_EFER, value), cpu->cr2);
}

static uint64_t get_dr(const struct vcpu *cpu, unsigned arg)
{
    return (uint32_t)cpu->dr[arg];
}

static bool set_dr(struct vcpu *cpu, unsigned arg, uint64_t value)
{
    if (arg == 7) {
        cpu->dr[7] = (value & DR7_WRITABLE) | DR7_FIXED1;
    } else if (arg == 6) {
        cpu->dr[6] = (value & (DR6_BT | DR6_BS | DR6_BD | DR6_B)) | DR6_FIXED1;
    } else {
        cpu->dr[arg] = value;
    }
    vcpu_sync_debug(cpu);
    return true;
}

/* ---- x87 and SSE ------------------------------------------------------------------------------------------------- */

static uint8_t *place_st(struct vcpu *cpu, unsigned arg)
{
    return cpu->fpu.st[arg];
}

static uint8_t *place_xmm(struct vcpu *cpu, unsigned arg)
{
    return cpu->fpu.xmm[arg];
}

enum { FCTRL, FSTAT, FTAG, FISEG, FIOFF, FOSEG, FOOFF, FOP };

static uint64_t get_fpu(const struct vcpu *cpu, unsigned arg)
{
    const struct fxsave *fpu = &cpu->fpu;

    switch (arg) {
    case FCTRL:
        return fpu->fcw;
    case FSTAT:
        return fpu->fsw;
    case FTAG:
        return fpu_tag_word(fpu);
    case FISEG:
        return fpu->fcs;
    case FIOFF:
        return fpu->fip;
    case FOSEG:
        return fpu->fds;
    case FOOFF:
        return fpu->fdp;
    default:
        return fpu->fop;
    }
}

/* What the abridged tag word keeps of the full one: empty or not. */
static uint8_t abridge_tags(uint64_t tags)
{
    unsigned abridged = 0;

    for (unsigned n = 0; n < 8; n++) {
        abridged |= (tags >> (2 * n) & 3) != 3 ? 1u << n : 0;
    }
    return (uint8_t)abridged;
}

static bool set_fpu(struct vcpu *cpu, unsigned arg, uint64_t value)
{
    struct fxsave *fpu = &cpu->fpu;

    if (arg != FIOFF && arg != FOOFF && value > 0xffff) {
        return false;
    }
    switch (arg) {
    case FCTRL:
        fpu_set_words(cpu, (uint16_t)value, fpu->fsw);
        break;
    case FSTAT:
        fpu_set_top(fpu, (unsigned)(value & FSW_TOP) >> 11);
        fpu_set_words(cpu, fpu->fcw, (uint16_t)value);
        break;
    case FTAG:
        fpu->ftw = abridge_tags(value);
        break;
    case FISEG:
        fpu->fcs = (uint16_t)value;
        break;
    case FIOFF:
        fpu->fip = (uint32_t)value;
        break;
    case FOSEG:
        fpu->fds = (uint16_t)value;
        break;
    case FOOFF:
        fpu->fdp = (uint32_t)value;
        break;
    default:
        fpu->fop = (uint16_t)(value & BITS(10, 0));
        break;
    }
    return true;
}

static uint64_t get_mxcsr(const struct vcpu *cpu, unsigned arg)
{
    (void)arg;
    return cpu->fpu.mxcsr;
}

static bool set_mxcsr(struct vcpu *cpu, unsigned arg, uint64_t value)
{
    if (value != get_mxcsr(cpu, arg) && (value & ~(uint64_t)cpu->fpu.mxcsr_mask)) {
        return false;
    }
    cpu->fpu.mxcsr = (uint32_t)value;
    return true;
}

/* ---- The table ----------------------------------------------------------------------------------------------------- */

#define GPR(name, type, gpr)                                                                                 \
    {                                                                                                        \
        name, type, CORE, 32, gpr, get_gpr, set_gpr, NULL                                                    \
    }
#define SELECTOR(name, sreg)                                                                                 \
    {                                                                                                        \
        name, "int32", CORE, 32, sreg, get_selector, set_selector, NULL                                      \
    }
#define ST(n)                                                                                                \
    {                                                                                                        \
        "st" #n, "i387_ext", CORE, 80, n, NULL, NULL, place_st                                               \
    }
#define FPU(name, word)                                                                                      \
    {                                                                                                        \
        name, "int", CORE, 32, word, get_fpu, set_fpu, NULL                                                  \
    }
#define XMM(n)                                                                                               \
    {                                                                                                        \
        "xmm" #n, "vec128", SSE, 128, n, NULL, NULL, place_xmm                                               \
    }
#define CR(n, type)                                                                                          \
    {                                                                                                        \
        "cr" #n, type, SYSTEM, 32, n, get_cr, set_cr, NULL                                                   \
    }
#define BASE(name, sreg)                                                                                     \
    {                                                                                                        \
        name, "data_ptr", SYSTEM, 32, sreg, get_base, set_base, NULL                                         \
    }
#define TABLE(name, type, which)                                                                             \
    {                                                                                                        \
        name, type, SYSTEM, 32, which, get_table, set_table, NULL                                            \
    }
#define DR(n, type)                                                                                          \
    {                                                                                                        \
        "dr" #n, type, SYSTEM, 32, n, get_dr, set_dr, NULL                                                   \
    }
#define ROW(name, type, feature, f)                                                                          \
    {                                                                                                        \
        name, type, feature, 32, 0, get_##f, set_##f, NULL                                                   \
    }

static const struct row rows[] = {
    GPR("eax", "int32", RAX),
    GPR("ecx", "int32", RCX),
    GPR("edx", "int32", RDX),
    GPR("ebx", "int32", RBX),
    GPR("esp", "data_ptr", RSP),
    GPR("ebp", "data_ptr", RBP),
    GPR("esi", "int32", RSI),
    GPR("edi", "int32", RDI),
    ROW("eip", "code_ptr", CORE, eip),
    ROW("eflags", "eflags_bits", CORE, eflags),
    SELECTOR("cs", SEG_CS),
    SELECTOR("ss", SEG_SS),
    SELECTOR("ds", SEG_DS),
    SELECTOR("es", SEG_ES),
    SELECTOR("fs", SEG_FS),
    SELECTOR("gs", SEG_GS),
    ST(0),
    ST(1),
    ST(2),
    ST(3),
    ST(4),
    ST(5),
    ST(6),
    ST(7),
    FPU("fctrl", FCTRL),
    FPU("fstat", FSTAT),
    FPU("ftag", FTAG),
    FPU("fiseg", FISEG),
    FPU("fioff", FIOFF),
    FPU("foseg", FOSEG),
    FPU("fooff", FOOFF),
    FPU("fop", FOP),
    XMM(0),
    XMM(1),
    XMM(2),
    XMM(3),
    XMM(4),
    XMM(5),
    XMM(6),
    XMM(7),
    ROW("mxcsr", "mxcsr_bits", SSE, mxcsr),
    CR(0, "cr0_bits"),
    CR(2, "data_ptr"),
    CR(3, "data_ptr"),
    CR(4, "cr4_bits"),
    {"efer", "efer_bits", SYSTEM, 64, 0, get_efer, set_efer, NULL},
    BASE("cs_base", SEG_CS),
    BASE("ss_base", SEG_SS),
    BASE("ds_base", SEG_DS),
    BASE("es_base", SEG_ES),
    BASE("fs_base", SEG_FS),
    BASE("gs_base", SEG_GS),
    TABLE("gdtr_base", "data_ptr", GDTR_BASE),
    TABLE("gdtr_limit", "uint32", GDTR_LIMIT),
    TABLE("idtr_base", "data_ptr", IDTR_BASE),
    TABLE("idtr_limit", "uint32", IDTR_LIMIT),
    TABLE("tr", "uint32", TR_SELECTOR),
    TABLE("tr_base", "data_ptr", TR_BASE),
    TABLE("ldtr", "uint32", LDTR_SELECTOR),
    TABLE("ldtr_base", "data_ptr", LDTR_BASE),
    DR(0, "data_ptr"),
    DR(1, "data_ptr"),
    DR(2, "data_ptr"),
    DR(3, "data_ptr"),
    DR(6, "uint32"),
    DR(7, "uint32"),
};

static bool has_row(const struct vcpu *cpu, const struct row *row)
{
    return row->feature != SSE || (cpu->features & CPU_FEATURE_SSE);
}

/* The model's nth; NULL: there is none. */
static const struct row *find_row(const struct vcpu *cpu, unsigned n)
{
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        if (has_row(cpu, &rows[i]) && n-- == 0) {
            return &rows[i];
        }
    }
    return NULL;
}

unsigned gdb_register_size(const struct vcpu *cpu, unsigned n)
{
    const struct row *row = find_row(cpu, n);

    return row ? row->bits / 8 : 0;
}

void gdb_register_read(const struct vcpu *cpu, unsigned n, uint8_t *bytes)
{
    const struct row *row = find_row(cpu, n);

    if (row->place) {
        memcpy(bytes, row->place((struct vcpu *)cpu, row->arg), row->bits / 8);
    } else if (row->bits == 64) {
        store_le64(bytes, row->get(cpu, row->arg));
    } else {
        store_le32(bytes, (uint32_t)row->get(cpu, row->arg));
    }
}

bool gdb_register_write(struct vcpu *cpu, unsigned n, const uint8_t *bytes)
{
    const struct row *row = find_row(cpu, n);

    if (row->place) {
        memcpy(row->place(cpu, row->arg), bytes, row->bits / 8);
        return true;
    }
    return row->set(cpu, row->arg, row->bits == 64 ? load_le64(bytes) : load_le32(bytes));
}

/* ---- The target description --------------------------------------------------------------------------------------- */

struct bit_name {
    const char *name;
    uint8_t bit;
};

static const struct bit_name eflags_bits[] = {
    {"CF", 0},  {"PF", 2},  {"AF", 4},  {"ZF", 6},  {"SF", 7},  {"TF", 8},   {"IF", 9},   {"DF", 10},
    {"OF", 11}, {"NT", 14}, {"RF", 16}, {"VM", 17}, {"AC", 18}, {"VIF", 19}, {"VIP", 20}, {"ID", 21}};
static const struct bit_name mxcsr_bits[] = {{"IE", 0},  {"DE", 1},  {"ZE", 2},  {"OE", 3}, {"UE", 4},
                                             {"PE", 5},  {"DAZ", 6}, {"IM", 7},  {"DM", 8}, {"ZM", 9},
                                             {"OM", 10}, {"UM", 11}, {"PM", 12}, {"FZ", 15}};
static const struct bit_name cr0_bits[] = {{"PE", 0},  {"MP", 1},  {"EM", 2},  {"TS", 3},
                                           {"ET", 4},  {"NE", 5},  {"WP", 16}, {"AM", 18},
                                           {"NW", 29}, {"CD", 30}, {"PG", 31}};
static const struct bit_name cr4_bits[] = {{"VME", 0}, {"PVI", 1},    {"TSD", 2},        {"DE", 3},
                                           {"PSE", 4}, {"PAE", 5},    {"MCE", 6},        {"PGE", 7},
                                           {"PCE", 8}, {"OSFXSR", 9}, {"OSXMMEXCPT", 10}};
static const struct bit_name efer_bits[] = {{"SCE", 0}, {"LME", 8}, {"LMA", 10}, {"NXE", 11}};

static void print_bits(FILE *out, const char *id, unsigned size, const struct bit_name *bits, size_t count)
{
    fprintf(out, "<flags id=\"%s\" size=\"%u\">\n", id, size);
    for (size_t i = 0; i < count; i++) {
        fprintf(out, "<field name=\"%s\" start=\"%u\" end=\"%u\"/>\n", bits[i].name, bits[i].bit,
                bits[i].bit);
    }
    fputs("</flags>\n", out);
}

/* An XMM register as vectors of what its instructions work on. */
static void print_vectors(FILE *out)
{
    static const struct {
        const char *field, *type;
        unsigned count;
    } views[] = {{"v4_float", "ieee_single", 4}, {"v2_double", "ieee_double", 2}, {"v16_int8", "int8", 16},
                 {"v8_int16", "int16", 8},       {"v4_int32", "int32", 4},        {"v2_int64", "int64", 2}};

    for (size_t i = 0; i < ARRAY_LEN(views); i++) {
        fprintf(out, "<vector id=\"%s\" type=\"%s\" count=\"%u\"/>\n", views[i].field, views[i].type,
                views[i].count);
    }
    fputs("<union id=\"vec128\">\n", out);
    for (size_t i = 0; i < ARRAY_LEN(views); i++) {
        fprintf(out, "<field name=\"%s\" type=\"%s\"/>\n", views[i].field, views[i].field);
    }
    fputs("<field name=\"uint128\" type=\"uint128\"/>\n</union>\n", out);
}

static void print_types(FILE *out, enum feature feature)
{
    if (feature == CORE) {
        print_bits(out, "eflags_bits", 4, eflags_bits, ARRAY_LEN(eflags_bits));
    } else if (feature == SSE) {
        print_vectors(out);
        print_bits(out, "mxcsr_bits", 4, mxcsr_bits, ARRAY_LEN(mxcsr_bits));
    } else if (feature == SYSTEM) {
        print_bits(out, "cr0_bits", 4, cr0_bits, ARRAY_LEN(cr0_bits));
        print_bits(out, "cr4_bits", 4, cr4_bits, ARRAY_LEN(cr4_bits));
        print_bits(out, "efer_bits", 8, efer_bits, ARRAY_LEN(efer_bits));
    }
}

static void print_feature(FILE *out, const struct vcpu *cpu, enum feature feature, unsigned *number)
{
    static const char *const names[FEATURES] = {"org.gnu.gdb.i386.core", "org.gnu.gdb.i386.sse",
                                                "org.hypatia.i386.system"};

    fprintf(out, "<feature name=\"%s\">\n", names[feature]);
    print_types(out, feature);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (rows[i].feature == feature && has_row(cpu, &rows[i])) {
            fprintf(out, "<reg name=\"%s\" bitsize=\"%u\" type=\"%s\" regnum=\"%u\"%s/>\n", rows[i].name,
                    rows[i].bits, rows[i].type, (*number)++,
                    rows[i].get == get_fpu ? " group=\"float\"" : "");
        }
    }
    fputs("</feature>\n", out);
}

/*
 * The architecture says how gdb disassembles: as the code is that the processor is in now. Of a description's i8086, gdb lets a
 * user go on to i386, and takes i386 at once if the program's file says so; not the other way round.
 */
char *gdb_registers_describe(const struct vcpu *cpu)
{
    char *text = NULL;
    size_t length = 0;
    unsigned number = 0;
    FILE *out = open_memstream(&text, &length);

    if (!out) {
        return NULL;
    }
    fprintf(out,
            "<?xml version=\"1.0\"?>\n<!DOCTYPE target SYSTEM \"gdb-target.dtd\">\n<target version=\"1.0\">\n"
            "<architecture>%s</architecture>\n",
            cpu->code32 ? "i386" : "i8086");
    for (unsigned feature = CORE; feature < FEATURES; feature++) {
        if (feature != SSE || (cpu->features & CPU_FEATURE_SSE)) {
            print_feature(out, cpu, (enum feature)feature, &number);
        }
    }
    fputs("</target>\n", out);
    return fclose(out) == 0 ? text : NULL;
}
