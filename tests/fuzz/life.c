/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A life: the state a processor begins with in each mode, its code, and where in it to begin.
 *
 * All but MODE_WILD are states that a guest can reach by itself; MODE_WILD is any state that vcpu_snap lets in, as a
 * hostile snapshot file could bring it.
 */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

#include "cpu/debug.h"
#include "cpu/descriptor.h"
#include "cpu/fpu.h"
#include "cpu/system.h"

enum {
    PIECE_SIZE = 6 * 1024,
    RIGHTS_CODE = 0x9b, /* present, readable, accessed; DPL 0 */
    RIGHTS_DATA = 0x93, /* present, writable, accessed; DPL 0 */
    RIGHTS_TSS = 0x8b,  /* busy, 32 bits */
    RIGHTS_LDT = 0x82,
};

const char *const fuzz_mode_names[MODE_COUNT] = {"real",   "unreal", "protected16", "protected32",
                                                 "user32", "v86",    "wild"};
const char *const fuzz_paging_names[FUZZ_PAGING_COUNT] = {"off", "32bit", "pse", "pae"};

struct birth {
    const struct life *life;
    struct rng rng;
    struct fuzz_machine *machine;
    struct vcpu *cpu;
    bool code32;
    uint32_t code; /* linear */
};

/* ---- memory ---- */

static void write_code(struct birth *birth, const struct generator *generator)
{
    uint8_t *bytes = malloc(PIECE_SIZE);
    uint8_t back[] = {0xe9, 0, 0, 0, 0};

    if (!bytes) {
        abort();
    }
    birth->code = rng_range(&birth->rng, AT_CODE, AT_CODE_END - PIECE_SIZE - 1);
    if (rng_once_in(&birth->rng, 32)) { /* among the page tables */
        birth->code = rng_range(&birth->rng, AT_PAGES, AT_PAGES_END - PIECE_SIZE - 1);
    }
    stream_fill(generator, &birth->rng, birth->code32, bytes, PIECE_SIZE);
    store_le32(back + 1, 0u - PIECE_SIZE);
    memcpy(bytes + PIECE_SIZE - sizeof(back), back, birth->code32 ? 5 : 3);
    machine_write(birth->machine, birth->code, bytes, PIECE_SIZE);
    free(bytes);
}

static void write_data(struct birth *birth)
{
    uint8_t bytes[512];
    unsigned count = rng_below(&birth->rng, 16);

    for (unsigned i = 0; i < count; i++) {
        rng_fill(&birth->rng, bytes, sizeof(bytes));
        machine_write(birth->machine, rng_range(&birth->rng, AT_DATA, AT_DATA_END), bytes, sizeof(bytes));
    }
}

/* ---- segments ---- */

/* The hidden part as a legal load would leave it: base, limit and size of what the table has, sane rights. */
static void load_segment(struct birth *birth, struct segment *segment, uint16_t selector, uint32_t rights)
{
    struct descriptor descriptor;
    uint8_t bytes[8];

    addr_space_peek(birth->machine->mem, AT_GDT + (selector & 0xfff8u), bytes, sizeof(bytes));
    descriptor_parse(&descriptor, bytes);
    *segment = descriptor_segment(&descriptor, selector);
    segment->attr = (segment->attr & (SEG_G | SEG_DB | SEG_AVL)) | rights;
}

static uint16_t real_selector(struct birth *birth)
{
    static const uint16_t selectors[] = {
        0, AT_CODE >> 4, (AT_CODE >> 4) + 0x1000, AT_DATA >> 4, AT_STACKS >> 4, 0xffff, AT_DEVICE >> 4};

    return rng_once_in(&birth->rng, 4) ? (uint16_t)rng_next(&birth->rng)
                                       : selectors[rng_below(&birth->rng, ARRAY_LEN(selectors))];
}

static void set_real_segments(struct birth *birth, uint32_t attr)
{
    struct vcpu *cpu = birth->cpu;

    for (unsigned i = 0; i < SEG_COUNT; i++) {
        uint16_t selector = real_selector(birth);
        cpu->seg[i] =
            (struct segment){.selector = selector, .attr = attr, .limit = 0xffff, .base = selector * 16u};
    }
    uint16_t code = (uint16_t)((birth->code - rng_below(&birth->rng, 0x1000)) >> 4);
    cpu->seg[SEG_CS].selector = code;
    cpu->seg[SEG_CS].base = code * 16u;
    cpu->rip = birth->code - code * 16u;
    cpu->seg[SEG_SS] = cpu->seg[SEG_DS];
    cpu->seg[SEG_SS].selector = AT_STACKS >> 4;
    cpu->seg[SEG_SS].base = AT_STACKS;
    cpu->gpr[RSP] = 0x5000 - 2 * rng_below(&birth->rng, 64);
}

static void set_protected_segments(struct birth *birth)
{
    struct vcpu *cpu = birth->cpu;
    bool user = birth->life->mode == MODE_USER32;
    uint32_t dpl = user ? (uint32_t)SEG_DPL : 0;
    uint16_t code = birth->code32 ? SEL_CODE0 : SEL_CODE0_16, data = SEL_DATA0;

    if (user) {
        code = (uint16_t)((birth->code32 ? SEL_CODE3 : SEL_CODE3_16) | 3);
        data = SEL_DATA3 | 3;
    }
    load_segment(birth, &cpu->seg[SEG_CS], code, RIGHTS_CODE | dpl);
    for (unsigned i = 0; i < SEG_COUNT; i++) {
        if (i != SEG_CS) {
            load_segment(birth, &cpu->seg[i], data, RIGHTS_DATA | dpl);
        }
    }
    if (!user && !birth->code32 && rng_once_in(&birth->rng, 2)) {
        load_segment(birth, &cpu->seg[SEG_DS], SEL_DATA0_16, RIGHTS_DATA);
        load_segment(birth, &cpu->seg[SEG_ES], SEL_DATA0_16, RIGHTS_DATA);
    }
    if (rng_once_in(&birth->rng, 4)) {
        cpu->seg[rng_once_in(&birth->rng, 2) ? SEG_FS : SEG_GS] = segment_null(0);
    }
    cpu->rip = (uint32_t)(birth->code - cpu->seg[SEG_CS].base);
    cpu->gpr[RSP] =
        AT_STACKS_END - 0x1000 - 4 * rng_below(&birth->rng, 64) + (rng_once_in(&birth->rng, 8) ? 1 : 0);
    load_segment(birth, &cpu->tr, SEL_TSS, RIGHTS_TSS);
    load_segment(birth, &cpu->ldtr, SEL_LDT, RIGHTS_LDT);
}

static void set_segments(struct birth *birth)
{
    struct vcpu *cpu = birth->cpu;
    const uint32_t real = SEG_P | SEG_S | SEG_TYPE_RW | SEG_TYPE_ACCESSED;

    cpu->gdtr = (struct table_register){.base = AT_GDT, .limit = 8 * GDT_ENTRIES - 1};
    cpu->idtr = (struct table_register){.base = AT_IDT, .limit = 0x7ff};
    switch (birth->life->mode) {
    case MODE_V86:
        set_protected_segments(birth); /* TR, LDTR */
        set_real_segments(birth, real | SEG_DPL);
        break;
    case MODE_REAL:
    case MODE_UNREAL:
        set_real_segments(birth, real);
        cpu->idtr = (struct table_register){.limit = rng_once_in(&birth->rng, 16) ? 0x40 : 0x3ff};
        for (unsigned i = 0; birth->life->mode == MODE_UNREAL && i < SEG_COUNT; i++) {
            cpu->seg[i].limit = i == SEG_CS || i == SEG_SS ? 0xffff : UINT32_MAX;
        }
        break;
    default:
        set_protected_segments(birth);
        break;
    }
}

/* ---- registers ---- */

static void set_general(struct birth *birth)
{
    for (unsigned i = 0; i < 8; i++) {
        if (i != RSP) {
            birth->cpu->gpr[i] = stream_value(&birth->rng);
        }
    }
}

/* DF and the arithmetic flags always; the rest as the mode allows. */
static void set_flags(struct birth *birth)
{
    struct rng *rng = &birth->rng;
    uint64_t flags = rng_next(rng) & (RFLAGS_ARITH | RFLAGS_DF);

    flags |= rng_once_in(rng, 2) ? RFLAGS_IF : 0;
    flags |= rng_once_in(rng, 16) ? RFLAGS_TF : 0;
    flags |= rng_once_in(rng, 8) ? RFLAGS_AC : 0;
    flags |= rng_once_in(rng, 16) ? RFLAGS_NT : 0;
    flags |= rng_once_in(rng, 16) ? RFLAGS_RF : 0;
    flags |= rng_next(rng) & RFLAGS_IOPL;
    if (birth->life->mode == MODE_V86) {
        flags |= RFLAGS_VM;
        flags |= (birth->cpu->features & CPU_FEATURE_VME) ? rng_next(rng) & (RFLAGS_VIF | RFLAGS_VIP) : 0;
    }
    rflags_set(birth->cpu, flags, UINT64_MAX);
}

static void set_control(struct birth *birth)
{
    struct vcpu *cpu = birth->cpu;
    struct rng *rng = &birth->rng;
    uint64_t supported = cr4_supported(cpu->features);

    cpu->cr0 = CR0_ET | (rng_next(rng) & (CR0_MP | CR0_NE | CR0_WP | CR0_AM | CR0_CD));
    cpu->cr0 |= (rng_once_in(rng, 16) ? CR0_EM : 0) | (rng_once_in(rng, 16) ? CR0_TS : 0);
    cpu->cr0 |= (cpu->cr0 & CR0_CD) ? rng_next(rng) & CR0_NW : 0;
    cpu->cr4 = rng_next(rng) & supported & ~(CR4_PAE | CR4_PSE);
    cpu->cr4 |= rng_once_in(rng, 8) ? 0 : (CR4_OSFXSR | CR4_OSXMMEXCPT) & supported;
    if (birth->life->mode > MODE_UNREAL) {
        cpu->cr0 |= CR0_PE | (birth->life->paging != FUZZ_PAGING_OFF ? CR0_PG : 0);
        cpu->cr4 |= birth->life->paging == FUZZ_PAGING_PSE ? CR4_PSE & supported : 0;
        cpu->cr4 |= birth->life->paging == FUZZ_PAGING_PAE ? CR4_PAE & supported : 0;
    }
    cpu->msr.efer = (cpu->features & CPU_FEATURE_NX) ? rng_next(rng) & EFER_NXE : 0;
    cpu->cr3 = tables_write_pages(birth->life, rng, birth->machine);
    for (unsigned i = 0; i < 4; i++) {
        addr_space_peek(birth->machine->mem, AT_PAGES + 8 * i, &cpu->pdpte[i], 8);
        cpu->pdpte[i] &= birth->life->paging == FUZZ_PAGING_PAE ? UINT64_MAX : 0;
    }
}

static void set_debug(struct birth *birth)
{
    struct vcpu *cpu = birth->cpu;

    for (unsigned i = 0; i < 4; i++) {
        cpu->dr[i] = stream_value(&birth->rng);
    }
    if (rng_once_in(&birth->rng, 8)) {
        cpu->dr[7] =
            DR7_FIXED1 | (rng_next(&birth->rng) & DR7_WRITABLE & ~(rng_once_in(&birth->rng, 4) ? 0 : DR7_GD));
    }
}

static void set_fpu(struct birth *birth)
{
    struct fxsave *fpu = &birth->cpu->fpu;
    struct rng *rng = &birth->rng;
    uint16_t fcw = (uint16_t)rng_next(rng), fsw = (uint16_t)rng_next(rng);

    if (rng_once_in(rng, 2)) { /* mostly masked, mostly nothing pending */
        fcw = (uint16_t)(FCW_INIT & ~(rng_once_in(rng, 4) ? rng_next(rng) & 0xf3f : 0));
        fsw = (uint16_t)(rng_once_in(rng, 4) ? rng_next(rng) : rng_next(rng) & 0x7f00);
    }
    fpu_set_words(birth->cpu, fcw, fsw);
    fpu->ftw = (uint8_t)rng_next(rng);
    fpu->mxcsr = rng_once_in(rng, 2) ? 0x1f80 : rng_u32(rng) & fpu->mxcsr_mask;
    for (unsigned i = 0; i < 8; i++) {
        rng_fill(rng, fpu->st[i], 10); /* the rest of its 16 bytes is reserved */
    }
    rng_fill(rng, fpu->xmm, rng_once_in(rng, 2) ? 128 : 32);
}

/* A few MSRs, by the way a guest has to take. */
static void set_msrs(struct birth *birth)
{
    static const uint32_t indices[] = {0x10,  0x1b,  0x174, 0x175, 0x176,      0x1a0, 0x200, 0x201, 0x250,
                                       0x277, 0x2ff, 0x400, 0x401, 0xc0000080, 0x8b,  0x17a, 0x17b};
    struct vcpu *cpu = birth->cpu;

    for (unsigned i = 0; i < 6; i++) {
        uint32_t index = rng_once_in(&birth->rng, 8) ? rng_u32(&birth->rng)
                                                     : indices[rng_below(&birth->rng, ARRAY_LEN(indices))];
        msr_write(cpu, index,
                  rng_once_in(&birth->rng, 2) ? stream_value(&birth->rng) : rng_next(&birth->rng));
    }
    if (rng_once_in(&birth->rng, 2)) {
        msr_write(cpu, 0x174, SEL_CODE0);
        msr_write(cpu, 0x175, AT_STACKS + 0x2000);
        msr_write(cpu, 0x176, birth->code);
    }
    cpu->exception = (struct exception){0};
}

static void set_pins(struct birth *birth)
{
    struct vcpu *cpu = birth->cpu;

    cpu->a20 = !rng_once_in(&birth->rng, 8);
    cpu->nmi_blocked = rng_once_in(&birth->rng, 4);
    cpu->nmi_pending = rng_once_in(&birth->rng, 16);
    cpu->shadow = (uint8_t)(rng_once_in(&birth->rng, 16) ? rng_below(&birth->rng, 3) : SHADOW_NONE);
    if (!birth->machine->pc) {
        cpu->intr = rng_once_in(&birth->rng, 8);
    }
}

/* ---- wild ---- */

static void set_wild_segment(struct birth *birth, struct segment *segment)
{
    struct rng *rng = &birth->rng;

    segment->selector = (uint16_t)rng_next(rng);
    segment->attr =
        (uint32_t)(rng_next(rng) & (SEG_UNUSABLE | BITS(15, 0))) & ~(rng_once_in(rng, 4) ? 0u : 0x10000u);
    segment->limit = rng_once_in(rng, 2) ? UINT32_MAX : stream_value(rng);
    segment->base = rng_once_in(rng, 2) ? 0 : stream_value(rng);
}

/* What find_impossible() of cpu/vcpu.c lets through. */
static void make_wild(struct birth *birth)
{
    struct vcpu *cpu = birth->cpu;
    struct rng *rng = &birth->rng;

    for (unsigned i = 0; i < SEG_COUNT; i++) {
        if (rng_once_in(rng, 3)) {
            set_wild_segment(birth, &cpu->seg[i]);
        }
    }
    set_wild_segment(birth, rng_once_in(rng, 2) ? &cpu->tr : &cpu->ldtr);
    cpu->rflags = (rng_next(rng) & BITS(21, 0) & ~(BIT(3) | BIT(5) | BIT(15))) | RFLAGS_FIXED1;
    cpu->cr0 = rng_next(rng) & (CR0_WRITABLE | CR0_ET);
    cpu->cr0 |= (cpu->cr0 & CR0_PG) || (cpu->rflags & RFLAGS_VM) ? CR0_PE : 0;
    cpu->cr4 = rng_next(rng) & cr4_supported(cpu->features);
    cpu->cr3 = rng_once_in(rng, 2) ? AT_PAGES : rng_u32(rng);
    cpu->cr2 = rng_u32(rng);
    for (unsigned i = 0; i < 4; i++) {
        cpu->pdpte[i] = rng_once_in(rng, 2) ? rng_next(rng) : cpu->pdpte[i];
        cpu->dr[4 + i] = rng_once_in(rng, 2) ? rng_u32(rng) : cpu->dr[4 + i];
    }
    cpu->gdtr.base = rng_once_in(rng, 4) ? rng_u32(rng) : AT_GDT;
    cpu->idtr.base = rng_once_in(rng, 4) ? rng_u32(rng) : AT_IDT;
    cpu->idtr.limit = (uint16_t)(rng_once_in(rng, 4) ? rng_next(rng) : 0x7ff);
    cpu->msr.tsc_offset = rng_next(rng);
    cpu->msr.mtrr_def_type = rng_next(rng);
    cpu->msr.pat = rng_next(rng);
    cpu->msr.sysenter_cs = rng_u32(rng);
    cpu->pending_dr6 = rng_next(rng) & (DR6_BT | DR6_BS | DR6_BD | DR6_B);
    cpu->halted = rng_once_in(rng, 8);
    cpu->ferr = rng_once_in(rng, 4);
    cpu->rip = rng_once_in(rng, 8) ? rng_u32(rng) : cpu->rip;
}

void life_begin(const struct life *life, const struct generator *generator, struct fuzz_machine *machine)
{
    struct birth birth = {
        .life = life,
        .rng = {.state = life->seed},
        .machine = machine,
        .cpu = machine->cpu,
    };

    birth.code32 = life->mode == MODE_PROTECTED32 || life->mode == MODE_USER32 || life->mode == MODE_WILD;
    vcpu_reset(machine->cpu);
    tables_write(life, &birth.rng, machine);
    write_data(&birth);
    set_control(&birth);
    write_code(&birth, generator);
    set_segments(&birth);
    set_general(&birth);
    set_flags(&birth);
    set_debug(&birth);
    set_fpu(&birth);
    set_msrs(&birth);
    set_pins(&birth);
    if (life->mode == MODE_WILD) {
        make_wild(&birth);
    }
    machine->cpu->next_rip = machine->cpu->rip;
    vcpu_sync(machine->cpu);
}
