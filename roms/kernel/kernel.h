/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Alexandria from the inside: everything the kernel's files know of one another.
 *
 *      main.c     start, and the idle loop         cpu.c      GDT, IDT, TSS, FPU, traps
 *      memory.c   frames, page tables, faults      task.c     tasks and the scheduler
 *      chips.c    8259, 8254, soft-off, reset      console.c  text screen and COM1
 *      input.c    keyboard and COM1                system.c   the system calls
 *
 * One rule keeps it simple: interrupts are off whenever kernel code runs, save in the idle loop. So the
 * kernel needs no locks; a task gives up the processor inside the kernel only where it calls task_schedule().
 */
#ifndef ROMS_KERNEL_KERNEL_H
#define ROMS_KERNEL_KERNEL_H

#include "roms/kernel/abi.h"

#define FRAME_SIZE 4096u

/* Selectors; the order suits the GDT in cpu.c. */
enum {
    KERNEL_CODE = 0x08,
    KERNEL_DATA = 0x10,
    USER_CODE = 0x18 | 3,
    USER_DATA = 0x20 | 3,
    TASK_STATE = 0x28
};
enum { VECTOR_PAGE_FAULT = 14, VECTOR_NO_FPU = 7, VECTOR_IRQ = 0x20, VECTOR_SYSTEM_CALL = 0x80 };
enum { EFLAGS_IF = 0x200 };

/* A trapped task's registers, as entry.asm leaves them on the kernel stack. */
struct trap_frame {
    uint32_t gs, fs, es, ds;
    uint32_t edi, esi, ebp, unused_esp, ebx, edx, ecx, eax;
    uint32_t vector, error_code;
    uint32_t eip, cs, eflags;
    uint32_t esp, ss; /* from ring 3 only */
};

/* Port I/O and the like. */
static inline void out8(uint16_t port, uint8_t value)
{
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline void out16(uint16_t port, uint16_t value)
{
    __asm__ volatile("outw %0, %1" : : "a"(value), "Nd"(port));
}

static inline uint8_t in8(uint16_t port)
{
    uint8_t value;

    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

/* cpu.c */
void cpu_setup(void);
void cpu_set_kernel_stack(uint32_t top); /* for the next trap out of ring 3 */

struct fpu_state {
    uint8_t bytes[512]; /* FXSAVE's image, or FNSAVE's 108 bytes on processors without it */
} __attribute__((aligned(16)));

/* memory.c; addresses are guest-physical unless called linear. The kernel sees frames at their own address. */
void memory_add(uint32_t begin,
                uint32_t end);     /* usable memory, before memory_setup(); above 256 MiB ignored */
void memory_setup(void);           /* page tables of the kernel, paging on */
uint32_t memory_frame_alloc(void); /* a zeroed frame, or 0 */
void memory_info_get(struct memory_info *info);
uint32_t memory_kernel_directory(void);
uint32_t memory_directory_new(void);            /* the kernel's half in place, or 0 */
void memory_directory_free(uint32_t directory); /* with all its pages; not the one in use */
bool memory_readable(const void *linear,
                     uint32_t length); /* may ring 3 read, write it (perhaps after a fault)? */
bool memory_writable(const void *linear, uint32_t length);
void memory_page_fault(struct trap_frame *frame);
static inline void memory_load_directory(uint32_t directory)
{
    __asm__ volatile("movl %0, %%cr3" : : "r"(directory) : "memory");
}

/* task.c */
enum task_state { TASK_FREE, TASK_READY, TASK_SLEEPING, TASK_WAITING, TASK_READING, TASK_ZOMBIE };

struct task {
    uint32_t *esp;      /* saved kernel stack pointer while not running */
    uint32_t directory; /* CR3 */
    enum task_state state;
    int pid, parent;
    bool detached;
    uint32_t wake_tick; /* TASK_SLEEPING */
    int waiting_for;    /* TASK_WAITING: pid */
    int status;         /* TASK_ZOMBIE */
    uint32_t ticks, switches, frames;
    bool fpu_used;
    struct fpu_state fpu; /* while another task owns the FPU */
    char name[NAME_SIZE];
};

struct task *task_current(void);
void task_setup(void); /* the caller becomes the idle task */
int task_spawn(const char *name, uint32_t argument, bool detached);
void task_schedule(void);
void task_tick(void);
void task_reschedule_if_idle(void);
void task_sleep(uint32_t ticks);
int task_wait(int pid);
int task_kill(int pid, int status);
__attribute__((noreturn)) void task_exit(int status);
void task_wait_for_input(void);
void task_input_arrived(void);
bool task_interrupt(void); /* end the task that another one is waiting for; false if nobody waits */
bool task_info_get(unsigned slot, struct task_info *info);
void task_fpu_fault(void);
void context_switch(uint32_t **save_esp, uint32_t *load_esp);

/* chips.c */
void chips_setup(void);
void chips_irq(unsigned irq);
uint32_t chips_ticks(void);
void chips_enable_irq(unsigned irq);
__attribute__((noreturn)) void chips_reboot(void);
__attribute__((noreturn)) void chips_poweroff(void);

/* console.c; understands ESC [ n m (colours) and ESC [ 2 J */
void console_setup(void);
bool console_has_serial(void);
void console_write(const char *bytes, size_t length);
void console_printf(const char *format, ...) __attribute__((format(printf, 1, 2)));
__attribute__((noreturn)) void console_panic(const char *what, const struct trap_frame *frame);

/* input.c */
enum { IRQ_TIMER = 0, IRQ_KEYBOARD = 1, IRQ_COM1 = 4 };
void input_setup(void);
void input_keyboard_irq(void);
void input_serial_irq(void);
int input_read(void); /* a character, or -1 */

/* system.c */
void system_call(struct trap_frame *frame);

#endif
