/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the tests of segmentation, transfers, events and tasks share: a processor with 4 MiB of memory, tables at
 * fixed places, and runners for single instructions.
 *
 *   0x01000 GDT   0x02000 IDT   0x03000 LDT   0x04000 TSS   0x05000 second TSS   0x10000 code   0x20000-0x23000 stacks
 *
 * GDT selectors, without RPL. All segments are flat unless said otherwise.
 */
#ifndef TESTS_UNIT_SYSTEM_FIXTURE_H
#define TESTS_UNIT_SYSTEM_FIXTURE_H

#include <criterion/criterion.h>

#include "base/error.h"
#include "cpu/cpuid.h"
#include "cpu/debug.h"
#include "cpu/descriptor.h"
#include "cpu/interp.h"
#include "mmu/addr_space.h"
#include "mmu/ram.h"

enum {
    AT_GDT = 0x1000,
    AT_IDT = 0x2000,
    AT_LDT = 0x3000,
    AT_TSS = 0x4000,
    AT_TSS2 = 0x5000,
    AT_CODE = 0x10000,
    AT_STACK0 = 0x20000, /* tops */
    AT_STACK1 = 0x21000,
    AT_STACK2 = 0x22000,
    AT_STACK3 = 0x23000,
};

enum {
    SEL_CODE0 = 0x08,
    SEL_DATA0 = 0x10,
    SEL_CODE3 = 0x18,
    SEL_DATA3 = 0x20,
    SEL_TSS = 0x28,
    SEL_TSS2 = 0x30,
    SEL_LDT = 0x38,
    SEL_CODE1 = 0x40,
    SEL_DATA1 = 0x48,
    SEL_CONFORMING0 = 0x50,
    SEL_TEST = 0x58, /* the descriptor under test */
    SEL_TEST2 = 0x60,
    SEL_FREE = 0x68, /* null descriptors from here on */
    GDT_LIMIT = 0x9f,
    SEL_BEYOND = 0xa0,
};

/* Attribute bytes, as in bits 15:8 of the high doubleword. */
enum {
    A_P = 0x80,
    A_CODE = 0x9b, /* code, readable, accessed */
    A_CODE_NOREAD = 0x99,
    A_CONFORMING = 0x9f,
    A_DATA = 0x93, /* data, writable, accessed */
    A_DATA_RO = 0x91,
    A_LDT = 0x82,
    A_TSS16 = 0x81,
    A_TSS16_BUSY = 0x83,
    A_TSS32 = 0x89,
    A_TSS32_BUSY = 0x8b,
    A_CALL16 = 0x84,
    A_TASK = 0x85,
    A_INT16 = 0x86,
    A_TRAP16 = 0x87,
    A_CALL32 = 0x8c,
    A_INT32 = 0x8e,
    A_TRAP32 = 0x8f,
};
#define A_DPL(n) ((n) << 5)

struct fixture {
    struct ram ram;
    struct addr_space mem, io;
    struct region region;
    struct vcpu *cpu;
};

static inline void poke(struct fixture *f, gpa_t at, const void *bytes, unsigned size)
{
    memcpy(ram_ptr(&f->ram, at), bytes, size);
}

static inline void poke16(struct fixture *f, gpa_t at, uint16_t value)
{
    poke(f, at, &value, 2);
}

static inline void poke32(struct fixture *f, gpa_t at, uint32_t value)
{
    poke(f, at, &value, 4);
}

static inline uint8_t peek8(const struct fixture *f, gpa_t at)
{
    return *ram_ptr(&f->ram, at);
}

static inline uint16_t peek16(const struct fixture *f, gpa_t at)
{
    return load_le16(ram_ptr(&f->ram, at));
}

static inline uint32_t peek32(const struct fixture *f, gpa_t at)
{
    return load_le32(ram_ptr(&f->ram, at));
}

/* A segment descriptor: limit in bytes (rounded to pages when it does not fit in 20 bits), 32-bit. */
static inline void set_segment(struct fixture *f, gpa_t table, uint16_t selector, uint32_t base,
                               uint32_t limit, uint8_t attr, bool wide)
{
    uint32_t granular = limit > 0xfffff;
    uint32_t raw = granular ? limit >> 12 : limit;
    gpa_t at = table + (selector & 0xfff8u);

    poke32(f, at, base << 16 | (raw & 0xffff));
    poke32(f, at + 4,
           (base & 0xff000000) | granular << 23 | (uint32_t)wide << 22 | (raw & 0xf0000) |
               (uint32_t)attr << 8 | (base >> 16 & 0xff));
}

static inline void set_gate(struct fixture *f, gpa_t at, uint16_t selector, uint32_t offset, uint8_t attr,
                            unsigned count)
{
    poke32(f, at, (uint32_t)selector << 16 | (offset & 0xffff));
    poke32(f, at + 4, (offset & 0xffff0000) | (uint32_t)attr << 8 | count);
}

static inline void gdt_segment(struct fixture *f, uint16_t selector, uint8_t attr)
{
    set_segment(f, AT_GDT, selector, 0, 0xffffffff, attr, true);
}

static inline void gdt_gate(struct fixture *f, uint16_t selector, uint16_t target, uint32_t offset,
                            uint8_t attr, unsigned count)
{
    set_gate(f, AT_GDT + (selector & 0xfff8u), target, offset, attr, count);
}

static inline void idt_gate(struct fixture *f, uint8_t vector, uint16_t target, uint32_t offset, uint8_t attr)
{
    set_gate(f, AT_IDT + 8u * vector, target, offset, attr, 0);
}

/* The attribute byte in the table, to see accessed and busy flags. */
static inline uint8_t gdt_attr(const struct fixture *f, uint16_t selector)
{
    return peek8(f, AT_GDT + (selector & 0xfff8u) + 5);
}

static inline void fill_tables(struct fixture *f)
{
    gdt_segment(f, SEL_CODE0, A_CODE);
    gdt_segment(f, SEL_DATA0, A_DATA);
    gdt_segment(f, SEL_CODE1, A_CODE | A_DPL(1));
    gdt_segment(f, SEL_DATA1, A_DATA | A_DPL(1));
    gdt_segment(f, SEL_CODE3, A_CODE | A_DPL(3));
    gdt_segment(f, SEL_DATA3, A_DATA | A_DPL(3));
    gdt_segment(f, SEL_CONFORMING0, A_CONFORMING);
    set_segment(f, AT_GDT, SEL_TSS, AT_TSS, 0x2067, A_TSS32_BUSY, false);
    set_segment(f, AT_GDT, SEL_TSS2, AT_TSS2, 0x67, A_TSS32, false);
    set_segment(f, AT_GDT, SEL_LDT, AT_LDT, 0x1f, A_LDT, false);
    poke32(f, AT_TSS + 4, AT_STACK0);
    poke16(f, AT_TSS + 8, SEL_DATA0);
    poke32(f, AT_TSS + 12, AT_STACK1);
    poke16(f, AT_TSS + 16, SEL_DATA1 | 1);
    poke16(f, AT_TSS + 0x66, 0x68);
}

/* Load a segment register's hidden part from the GDT without checks. */
static inline void force_segment(struct fixture *f, struct segment *segment, uint16_t selector)
{
    struct descriptor descriptor;

    descriptor_parse(&descriptor, ram_ptr(&f->ram, AT_GDT + (selector & 0xfff8u)));
    *segment = descriptor_segment(&descriptor, selector);
}

/* Flat segments, CPL 0 or 3, at AT_CODE. */
static inline void set_cpl(struct fixture *f, unsigned cpl)
{
    struct vcpu *cpu = f->cpu;
    uint16_t code[4] = {SEL_CODE0, SEL_CODE1 | 1, 0, SEL_CODE3 | 3};
    uint16_t data[4] = {SEL_DATA0, SEL_DATA1 | 1, 0, SEL_DATA3 | 3};

    cpu->rflags &= ~RFLAGS_VM;
    force_segment(f, &cpu->seg[SEG_CS], code[cpl]);
    for (unsigned i = 0; i < SEG_COUNT; i++) {
        if (i != SEG_CS) {
            force_segment(f, &cpu->seg[i], data[cpl]);
        }
    }
    cpu->gpr[RSP] = cpl == 0 ? AT_STACK0 - 0x800 : cpl == 1 ? AT_STACK1 - 0x800 : AT_STACK3;
    cpu->rip = cpu->next_rip = AT_CODE;
    vcpu_sync(cpu);
}

static inline void enter_protected(struct fixture *f)
{
    struct vcpu *cpu = f->cpu;

    fill_tables(f);
    cpu->gdtr = (struct table_register){.base = AT_GDT, .limit = GDT_LIMIT};
    cpu->idtr = (struct table_register){.base = AT_IDT, .limit = 0x7ff};
    cpu->cr0 = CR0_PE | CR0_ET | CR0_NE;
    force_segment(f, &cpu->tr, SEL_TSS);
    cpu->ldtr = segment_null(0);
    set_cpl(f, 0);
}

/* V86 mode at 1000:0000 (linear 0x10000), stack 2300:0000 down, data segments 0x5678 + n. */
static inline void enter_v86(struct fixture *f, unsigned iopl)
{
    struct vcpu *cpu = f->cpu;

    enter_protected(f);
    cpu->rflags = RFLAGS_FIXED1 | RFLAGS_VM | RFLAGS_IF | (uint64_t)iopl << 12;
    vcpu_sync_mode(cpu);
    segment_load_real(cpu, SEG_CS, 0x1000);
    segment_load_real(cpu, SEG_SS, 0x2200);
    segment_load_real(cpu, SEG_DS, 0x5678);
    segment_load_real(cpu, SEG_ES, 0x5679);
    segment_load_real(cpu, SEG_FS, 0x567a);
    segment_load_real(cpu, SEG_GS, 0x567b);
    cpu->gpr[RSP] = 0x1000;
    cpu->rip = cpu->next_rip = 0;
    vcpu_sync(cpu);
}

static inline void enter_real(struct fixture *f)
{
    struct vcpu *cpu = f->cpu;

    vcpu_reset(cpu);
    for (unsigned i = 0; i < SEG_COUNT; i++) {
        segment_load_real(cpu, (enum sreg)i, 0);
    }
    cpu->idtr = (struct table_register){.limit = 0x3ff};
    segment_load_real(cpu, SEG_CS, 0x1000);
    segment_load_real(cpu, SEG_SS, 0x2200);
    cpu->gpr[RSP] = 0x1000;
    cpu->rip = cpu->next_rip = 0;
    vcpu_sync(cpu);
}

static inline void fixture_init_model(struct fixture *f, const char *model_text)
{
    const struct cpu_model *model;
    uint64_t features;
    struct error error = {.text = ""};

    memset(f, 0, sizeof(*f));
    cr_assert_eq(cpu_model_parse(model_text, &model, &features, &error), 0, "%s", error.text);
    cr_assert_eq(ram_init(&f->ram, 4 * MIB, &error), 0, "%s", error.text);
    cr_assert_eq(addr_space_init(&f->mem, "memory", 0xffffffff, &f->ram), 0);
    cr_assert_eq(addr_space_init(&f->io, "io", 0xffff, NULL), 0);
    region_init_memory(&f->region, "ram", 0, 4 * MIB, ram_alloc(&f->ram, 4 * MIB), REGION_RW);
    addr_space_add(&f->mem, &f->region);
    struct vcpu_wiring wiring = {.mem = &f->mem, .io = &f->io, .board = f};
    f->cpu = vcpu_create(model, features, &wiring, &error);
    cr_assert_not_null(f->cpu, "%s", error.text);
}

static inline void fixture_init(struct fixture *f)
{
    fixture_init_model(f, NULL);
}

static inline void fixture_fini(struct fixture *f)
{
    vcpu_destroy(f->cpu);
    addr_space_fini(&f->io);
    addr_space_fini(&f->mem);
    ram_fini(&f->ram);
}

/* Execute these bytes at CS:EIP, exceptions left pending. True: done, rip moved on. */
static inline bool run_bytes(struct fixture *f, const uint8_t *bytes, unsigned count)
{
    struct vcpu *cpu = f->cpu;
    struct insn insn;

    cr_assert_eq(insn_decode(bytes, count, cpu->code32, cpu->features, &insn), DECODE_OK);
    cpu->exception = (struct exception){0};
    cpu->next_rip = (uint32_t)(cpu->rip + insn.length);
    bool done = insn.exec(cpu, &insn);
    if (done) {
        cpu->rip = cpu->next_rip;
    }
    cr_assert_eq(done, !cpu->exception.pending);
    return done;
}

#define RUN(f, ...) run_bytes(f, (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

/* The pending exception is `vector` with this error code. */
#define ASSERT_EXCEPTION(cpu, expected_vector, expected_code)                                                \
    do {                                                                                                     \
        cr_assert((cpu)->exception.pending, "no exception is pending");                                      \
        cr_assert_eq((cpu)->exception.vector, (expected_vector), "vector %d", (cpu)->exception.vector);      \
        cr_assert_eq((cpu)->exception.error_code, (uint32_t)(expected_code), "error code %#x",               \
                     (cpu)->exception.error_code);                                                           \
    } while (0)

/* The word of `size` bytes, `index` words above the stack pointer. */
static inline uint32_t stack_word(const struct fixture *f, unsigned size, unsigned index)
{
    const struct vcpu *cpu = f->cpu;
    uint32_t esp = cpu->stack32 ? reg32(cpu, RSP) : reg16(cpu, RSP);
    gpa_t at = cpu->seg[SEG_SS].base + esp + size * index;

    return size == 4 ? peek32(f, at) : peek16(f, at);
}

#endif
