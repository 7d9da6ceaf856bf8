/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Our side: a processor with just enough of an operating system around it that ring 3 looks like a Linux process:
 * PAE paging with the window's pages, the GDT and LDT of layout.c, an IDT of interrupt gates (3 and 4 open to ring 3),
 * a TSS for the way into ring 0. An exception that ring 3 causes is read off the ring 0 stack, so its delivery is
 * part of what is compared.
 *
 *   guest-physical        linear
 *   10000  the window     WINDOW_BASE        user
 *   20000  tables         SYSTEM_BASE        supervisor: GDT, LDT, IDT, TSS, handlers (JMP $), stack
 *
 * SDM: Volume 3A, "Interrupt and Exception Handling"; "PAE Paging".
 */
#include "hostcmp.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/error.h"
#include "cpu/cpuid.h"
#include "cpu/descriptor.h"
#include "cpu/interp.h"

#define SYSTEM_BASE 0xc0000000u
enum {
    RAM_SIZE = 0x100000,
    PDPT = 0x1000,
    PD_LOW = 0x2000,
    PD_HIGH = 0x3000,
    PT_WINDOW = 0x4000,
    PT_SYSTEM = 0x5000,
    WINDOW_GPA = 0x10000,
    SYSTEM_GPA = 0x20000,
    /* in the system area */
    SYS_GDT = 0x0000,
    SYS_LDT = 0x0400,
    SYS_TSS = 0x0800,
    SYS_IDT = 0x1000,
    SYS_HANDLERS = 0x2000, /* 16 bytes each */
    SYS_STACK_TOP = 0x5000,
    SYSTEM_PAGES = 5,
    SEL_TSS = 0x40,
    SEL_LDT = 0x50,
    HANDLER_SIZE = 16,
    TSS_LIMIT = 0x67,
};

enum { PTE_P = 1, PTE_RW = 2, PTE_US = 4, PTE_A = 0x20, PTE_D = 0x40 };
#define PTE_NX BIT(63)

struct emulated {
    struct ram ram;
    struct addr_space mem;
    struct region region;
    struct vcpu *cpu;
};

static void poke(struct emulated *emulated, gpa_t gpa, const void *bytes, uint64_t length)
{
    addr_space_poke(&emulated->mem, gpa, bytes, length);
}

static void poke64(struct emulated *emulated, gpa_t gpa, uint64_t value)
{
    poke(emulated, gpa, &value, sizeof(value));
}

static void build_paging(struct emulated *emulated)
{
    static const uint64_t rights[] = {
        [PAGE_RW] = PTE_P | PTE_RW | PTE_US | PTE_A | PTE_D | PTE_NX,
        [PAGE_RO] = PTE_P | PTE_US | PTE_A | PTE_NX,
        [PAGE_CODE] = PTE_P | PTE_US | PTE_A,
    };
    const uint64_t table = PTE_P | PTE_RW | PTE_US | PTE_A;

    poke64(emulated, PDPT, PD_LOW | PTE_P);
    poke64(emulated, PDPT + 3 * 8, PD_HIGH | PTE_P);
    poke64(emulated, PD_LOW + (WINDOW_BASE >> 21) * 8, PT_WINDOW | table);
    poke64(emulated, PD_HIGH, PT_SYSTEM | table);
    for (unsigned page = 0; page < WINDOW_PAGES; page++) {
        if (window_page[page] != PAGE_HOLE) {
            poke64(emulated, PT_WINDOW + page * 8,
                   (WINDOW_GPA + page * PAGE_SIZE) | rights[window_page[page]]);
        }
    }
    for (unsigned page = 0; page < SYSTEM_PAGES; page++) {
        poke64(emulated, PT_SYSTEM + page * 8,
               (SYSTEM_GPA + page * PAGE_SIZE) | PTE_P | PTE_RW | PTE_A | PTE_D);
    }
}

/* A system descriptor of the GDT: DPL 0, byte granularity. */
static void build_system_descriptor(struct emulated *emulated, unsigned selector, uint32_t base,
                                    uint32_t limit, uint32_t access)
{
    poke64(emulated, SYSTEM_GPA + SYS_GDT + selector,
           limit | (uint64_t)(base & 0xffffff) << 16 | (uint64_t)access << 40 | (uint64_t)(base >> 24) << 56);
}

static void build_tables(struct emulated *emulated)
{
    static const uint8_t jump_here[] = {0xeb, 0xfe};
    uint8_t bytes[8];
    uint32_t ring0_stack[] = {SYSTEM_BASE + SYS_STACK_TOP, SEL_KERNEL_DS};
    uint16_t no_io_bitmap = TSS_LIMIT + 1;

    for (uint16_t selector = 8; selector < 0x40; selector += 8) {
        if (layout_descriptor(selector, bytes)) {
            poke(emulated, SYSTEM_GPA + SYS_GDT + selector, bytes, 8);
        }
        if (layout_descriptor(selector | 4, bytes)) {
            poke(emulated, SYSTEM_GPA + SYS_LDT + selector, bytes, 8);
        }
    }
    layout_descriptor(4, bytes);
    poke(emulated, SYSTEM_GPA + SYS_LDT, bytes, 8);
    build_system_descriptor(emulated, SEL_TSS, SYSTEM_BASE + SYS_TSS, TSS_LIMIT, 0x8b);
    build_system_descriptor(emulated, SEL_LDT, SYSTEM_BASE + SYS_LDT, LDT_COUNT * 8 - 1, 0x82);
    poke(emulated, SYSTEM_GPA + SYS_TSS + 4, ring0_stack, sizeof(ring0_stack));
    poke(emulated, SYSTEM_GPA + SYS_TSS + 0x66, &no_io_bitmap, sizeof(no_io_bitmap));
    for (unsigned n = 0; n < 256; n++) {
        uint64_t offset = SYSTEM_BASE + SYS_HANDLERS + n * HANDLER_SIZE;
        uint64_t access = n == EXC_BP || n == EXC_OF ? 0xee : 0x8e;
        poke64(emulated, SYSTEM_GPA + SYS_IDT + n * 8,
               (offset & 0xffff) | SEL_KERNEL32_CS << 16 | access << 40 | offset >> 16 << 48);
        poke(emulated, SYSTEM_GPA + SYS_HANDLERS + n * HANDLER_SIZE, jump_here, sizeof(jump_here));
    }
}

static struct segment segment_of(uint16_t selector)
{
    struct descriptor descriptor = {.selector = selector};
    uint8_t bytes[8];

    if (!layout_descriptor(selector, bytes)) {
        return segment_null(selector);
    }
    descriptor_parse(&descriptor, bytes);
    return descriptor_segment(&descriptor, selector);
}

/* What an operating system sets once. */
static void set_system(struct vcpu *cpu)
{
    cpu->cr0 = CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_PG;
    cpu->cr3 = PDPT;
    cpu->cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT;
    cpu->msr.efer = EFER_NXE;
    cpu->pdpte[0] = PD_LOW | PTE_P;
    cpu->pdpte[1] = cpu->pdpte[2] = 0;
    cpu->pdpte[3] = PD_HIGH | PTE_P;
    cpu->gdtr = (struct table_register){.base = SYSTEM_BASE + SYS_GDT, .limit = 0x7f};
    cpu->idtr = (struct table_register){.base = SYSTEM_BASE + SYS_IDT, .limit = 256 * 8 - 1};
    cpu->tr = (struct segment){
        .selector = SEL_TSS, .attr = SEG_P | 0xb, .limit = TSS_LIMIT, .base = SYSTEM_BASE + SYS_TSS};
    cpu->ldtr = (struct segment){
        .selector = SEL_LDT, .attr = SEG_P | 0x2, .limit = LDT_COUNT * 8 - 1, .base = SYSTEM_BASE + SYS_LDT};
}

struct emulated *emulated_create(void)
{
    struct emulated *emulated = calloc(1, sizeof(*emulated));
    struct error error = {0};

    if (!emulated || ram_init(&emulated->ram, RAM_SIZE, &error) < 0 ||
        addr_space_init(&emulated->mem, "memory", UINT32_MAX, &emulated->ram) < 0) {
        printf("hostcmp: no memory for the emulated side\n");
        return NULL;
    }
    region_init_memory(&emulated->region, "ram", 0, RAM_SIZE, ram_alloc(&emulated->ram, RAM_SIZE), REGION_RW);
    addr_space_add(&emulated->mem, &emulated->region);
    build_paging(emulated);
    build_tables(emulated);

    const struct cpu_model *model = cpu_model_find(NULL);
    struct vcpu_wiring wiring = {.mem = &emulated->mem};
    emulated->cpu = vcpu_create(model, model->features, &wiring, &error);
    if (!emulated->cpu) {
        printf("hostcmp: no emulated processor: %s\n", error.text);
        return NULL;
    }
    set_system(emulated->cpu);
    return emulated;
}

void emulated_destroy(struct emulated *emulated)
{
    vcpu_destroy(emulated->cpu);
    addr_space_fini(&emulated->mem);
    ram_fini(&emulated->ram);
    free(emulated);
}

uint64_t emulated_features(const struct emulated *emulated)
{
    return emulated->cpu->features;
}

const uint8_t *emulated_memory(const struct emulated *emulated)
{
    return ram_ptr(&emulated->ram, WINDOW_GPA);
}

void emulated_write(struct emulated *emulated, uint32_t offset, const void *bytes, uint32_t length)
{
    poke(emulated, WINDOW_GPA + offset, bytes, length);
}

static void load(struct vcpu *cpu, const struct cpu_state *state)
{
    for (unsigned i = 0; i < 8; i++) {
        cpu->gpr[i] = state->gpr[i];
    }
    cpu->rip = state->eip;
    cpu->rflags = state->eflags;
    for (unsigned i = 0; i < SEG_COUNT; i++) {
        cpu->seg[i] = segment_of(state->selector[i]);
    }
    uint32_t mxcsr_mask = cpu->fpu.mxcsr_mask;
    cpu->fpu = state->fpu;
    cpu->fpu.mxcsr_mask = mxcsr_mask;
    cpu->cr2 = 0;
    cpu->shadow = SHADOW_NONE;
    cpu->pending_dr6 = 0;
    cpu->halted = false;
    cpu->exception = (struct exception){0};
    vcpu_sync(cpu);
}

static bool vector_has_error(int vector)
{
    return vector == EXC_DF || (vector >= EXC_TS && vector <= EXC_PF) || vector == EXC_AC;
}

/* An exception was delivered: vector by the handler's address, the rest from the frame. */
static void take_frame(struct emulated *emulated, struct outcome *outcome)
{
    const struct vcpu *cpu = emulated->cpu;
    struct cpu_state *state = &outcome->state;
    uint32_t stack = (uint32_t)cpu->gpr[RSP] - SYSTEM_BASE;
    uint32_t word[6] = {0};

    outcome->vector = (int)((cpu->rip - SYSTEM_BASE - SYS_HANDLERS) / HANDLER_SIZE);
    unsigned first = vector_has_error(outcome->vector) ? 0 : 1;
    addr_space_peek(&emulated->mem, SYSTEM_GPA + stack, word + first, (6 - first) * 4);
    outcome->error_code = word[0];
    state->eip = word[1];
    state->selector[SEG_CS] = (uint16_t)word[2];
    state->eflags = word[3];
    state->gpr[RSP] = word[4];
    state->selector[SEG_SS] = (uint16_t)word[5];
}

void emulated_run(struct emulated *emulated, const struct test_case *test, struct outcome *outcome)
{
    struct vcpu *cpu = emulated->cpu;
    struct cpu_state *state = &outcome->state;

    load(cpu, &test->before);
    enum vcpu_exit exit = interp_run(cpu, 1);
    *outcome = (struct outcome){.vector = -1, .cr2 = (uint32_t)cpu->cr2};
    for (unsigned i = 0; i < 8; i++) {
        state->gpr[i] = (uint32_t)cpu->gpr[i];
    }
    state->eip = (uint32_t)cpu->rip;
    state->eflags = (uint32_t)cpu->rflags;
    for (unsigned i = 0; i < SEG_COUNT; i++) {
        state->selector[i] = cpu->seg[i].selector;
    }
    state->fpu = cpu->fpu;
    if (exit == VCPU_EXIT_SHUTDOWN || exit == VCPU_EXIT_INTERNAL) {
        outcome->vector = exit == VCPU_EXIT_SHUTDOWN ? 0x100 | cpu->shutdown.vector[0] : 0x200;
    } else if (cpu->cpl == 0) {
        take_frame(emulated, outcome);
    }
}
