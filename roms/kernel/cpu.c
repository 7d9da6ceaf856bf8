/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The processor's tables: GDT, IDT, TSS, the FPU's first state, and where traps go.
 *
 * SDM: Volume 3A, "Protected-Mode Memory Management", "Interrupt and Exception Handling", "Task Management"
 * (the TSS is used for one thing only: the kernel stack of the running task).
 *
 * Not modelled: task gates, call gates, SYSENTER, more than one processor.
 */
#include "roms/kernel/kernel.h"

#define GATE_COUNT  256
#define IRQ_VECTORS 48      /* gates 0-47 exist one by one: 32 exceptions, 16 interrupts */
#define GATE_KERNEL 0x8e00u /* present, DPL 0, 32-bit interrupt gate */
#define GATE_USER   0xee00u /* DPL 3: ring 3 may INT through it */
#define CR0_MP      0x02u
#define CR0_EM      0x04u
#define CR0_TS      0x08u
#define CR0_NE      0x20u
#define CR4_OSFXSR  0x200u
#define CR4_OSXMMEX 0x400u
#define CPUID_FXSR  (1u << 24)

/* 104 bytes, of which two matter here. */
struct tss {
    uint32_t link, esp0, ss0;
    uint32_t unused[22];
    uint16_t trace, io_map_base;
};

struct gate {
    uint16_t offset_low, selector, type, offset_high;
};

struct table_register {
    uint16_t limit;
    uint32_t base;
} __attribute__((packed));

extern const uint32_t trap_gates[IRQ_VECTORS + 1];

/*
 *  63      56 55  52 51   48 47     40 39            16 15            0
 *  +---------+------+-------+---------+----------------+---------------+
 *  | base hi | G D  | limit | P DPL S |  base 23:0     |  limit 15:0   |
 *  |  31:24  | 0 0  | 19:16 |  type   |                |               |
 *  +---------+------+-------+---------+----------------+---------------+
 */
static uint64_t gdt[6] = {
    0,
    0x00cf9b000000ffffull, /* KERNEL_CODE: flat, DPL 0 */
    0x00cf93000000ffffull, /* KERNEL_DATA */
    0x00cffb000000ffffull, /* USER_CODE: flat, DPL 3 */
    0x00cff3000000ffffull, /* USER_DATA */
    0x0000890000000000ull, /* TASK_STATE: available TSS; base and limit set below */
};
static struct tss tss;
static struct gate idt[GATE_COUNT];

static void set_gate(unsigned vector, uint32_t handler, uint16_t type)
{
    idt[vector] = (struct gate){(uint16_t)handler, KERNEL_CODE, type, (uint16_t)(handler >> 16)};
}

static void load_tables(void)
{
    struct table_register gdtr = {sizeof gdt - 1, (uint32_t)gdt};
    struct table_register idtr = {sizeof idt - 1, (uint32_t)idt};

    __asm__ volatile("lgdt %0\n\t"
                     "ljmp %1, $1f\n"
                     "1:\n\t"
                     "movl %2, %%ds\n\t"
                     "movl %2, %%es\n\t"
                     "movl %2, %%ss\n\t"
                     "movl %3, %%fs\n\t"
                     "movl %3, %%gs\n\t"
                     "lidt %4\n\t"
                     "ltr %w5"
                     :
                     : "m"(gdtr), "i"(KERNEL_CODE), "r"(KERNEL_DATA), "r"(0), "m"(idtr), "r"(TASK_STATE)
                     : "memory");
}

/* Let programs use the FPU, but keep TS set: the first use in a task traps (#NM), see task_fpu_fault(). */
static void fpu_setup(void)
{
    uint32_t eax = 1, ebx, ecx, edx, cr;

    __asm__ volatile("cpuid" : "+a"(eax), "=b"(ebx), "=c"(ecx), "=d"(edx));
    if (edx & CPUID_FXSR) {
        __asm__ volatile("movl %%cr4, %0" : "=r"(cr));
        __asm__ volatile("movl %0, %%cr4" : : "r"(cr | CR4_OSFXSR | CR4_OSXMMEX));
    }
    __asm__ volatile("movl %%cr0, %0" : "=r"(cr));
    cr = (cr & ~CR0_EM) | CR0_MP | CR0_NE | CR0_TS;
    __asm__ volatile("movl %0, %%cr0" : : "r"(cr));
}

void cpu_setup(void)
{
    gdt[TASK_STATE / 8] |= (sizeof tss - 1) | (uint64_t)((uint32_t)&tss & 0xffffff) << 16 |
                           (uint64_t)((uint32_t)&tss >> 24) << 56;
    tss.ss0 = KERNEL_DATA;
    tss.io_map_base = sizeof tss; /* no map: ring 3 has no ports */
    for (unsigned vector = 0; vector < IRQ_VECTORS; vector++) {
        set_gate(vector, trap_gates[vector], GATE_KERNEL);
    }
    set_gate(VECTOR_SYSTEM_CALL, trap_gates[IRQ_VECTORS], GATE_USER);
    load_tables();
    fpu_setup();
}

void cpu_set_kernel_stack(uint32_t top)
{
    tss.esp0 = top;
}

static const char *const exception_names[32] = {
    "divide error",
    "debug",
    "NMI",
    "breakpoint",
    "overflow",
    "bound range",
    "invalid opcode",
    "no FPU",
    "double fault",
    "coprocessor overrun",
    "invalid TSS",
    "segment not present",
    "stack fault",
    "general protection",
    "page fault",
    "reserved",
    "x87 error",
    "alignment",
    "machine check",
    "SIMD error",
};

/* An exception that nobody handles: in ring 3 it ends the task, in the kernel everything. */
static void unhandled(struct trap_frame *frame)
{
    const char *name = exception_names[frame->vector] ? exception_names[frame->vector] : "exception";

    if ((frame->cs & 3) == 0) {
        console_panic(name, frame);
    }
    console_printf("\x1b[1;31mtask %d (%s): %s, error code %x, at %08x: killed\x1b[0m\n", task_current()->pid,
                   task_current()->name, name, frame->error_code, frame->eip);
    task_exit(STATUS_TRAP + (int)frame->vector);
}

/* Every gate ends here (entry.asm). */
void trap(struct trap_frame *frame);
void trap(struct trap_frame *frame)
{
    if (frame->vector == VECTOR_SYSTEM_CALL) {
        system_call(frame);
    } else if (frame->vector >= VECTOR_IRQ) {
        chips_irq(frame->vector - VECTOR_IRQ);
    } else if (frame->vector == VECTOR_PAGE_FAULT) {
        memory_page_fault(frame);
    } else if (frame->vector == VECTOR_NO_FPU && (frame->cs & 3) != 0) {
        task_fpu_fault();
    } else {
        unhandled(frame);
    }
}
