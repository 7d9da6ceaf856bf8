/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Memory: who owns which frame, what each task sees, and what happens when it touches what it does not see
 * yet.
 *
 * SDM: Volume 3A, "32-Bit Paging". A linear address is split 10:10:12 into directory entry, table entry,
 * offset:
 *
 *      00000000h - 0FFFFFFFh  the kernel's half: every frame at its own address, ring 0 only, but for the programs' text
 *                             (which ring 3 may read); page 0 absent; the same tables in every directory
 *      40000000h - 400FFFFFh  a task's heap        } absent until touched: the page fault
 *      7FFF0000h - 7FFFFFFFh  a task's stack       } handler supplies a zeroed frame
 *
 * Not modelled: large pages, PAE, sharing or swapping of pages, RAM above 256 MiB.
 */
#include "roms/kernel/kernel.h"

#define MEMORY_LIMIT 0x10000000u
#define ENTRIES      1024u
#define FRAME_COUNT  (MEMORY_LIMIT / FRAME_SIZE)
#define PAGE_BITS    0xfffff000u

enum { PTE_P = 1, PTE_RW = 2, PTE_US = 4 };     /* page table entry */
enum { FAULT_P = 1, FAULT_W = 2, FAULT_U = 4 }; /* page fault error code */
enum { CR0_WP = 1 << 16, CR0_PG = (int)(1u << 31) };

extern const char user_begin[], user_end[], kernel_end[]; /* kernel.ld */

static uint32_t free_map[FRAME_COUNT / 32]; /* a set bit is a free frame */
static uint32_t next_word;                  /* of free_map, to look at first */
static uint32_t frames_total, frames_free, demand_faults;
static uint32_t ram_end;
static uint32_t kernel_directory;

static void frame_release(uint32_t frame)
{
    free_map[frame / FRAME_SIZE / 32] |= 1u << (frame / FRAME_SIZE % 32);
    frames_free++;
}

/* Called for each piece of the loader's memory map. Below the kernel's end nothing is given out. */
void memory_add(uint32_t begin, uint32_t end)
{
    uint32_t lowest = (uint32_t)kernel_end;

    begin = (begin < lowest ? lowest : begin + FRAME_SIZE - 1) & PAGE_BITS;
    end = (end > MEMORY_LIMIT ? MEMORY_LIMIT : end) & PAGE_BITS;
    for (uint32_t frame = begin; frame < end; frame += FRAME_SIZE) {
        frame_release(frame);
        frames_total++;
    }
    if (begin < end && end > ram_end) {
        ram_end = end;
    }
}

uint32_t memory_frame_alloc(void)
{
    for (uint32_t i = 0; i < FRAME_COUNT / 32; i++) {
        uint32_t word = (next_word + i) % (FRAME_COUNT / 32);
        if (free_map[word] != 0) {
            uint32_t bit = (uint32_t)__builtin_ctz(free_map[word]);
            uint32_t frame = (word * 32 + bit) * FRAME_SIZE;
            free_map[word] &= ~(1u << bit);
            next_word = word;
            frames_free--;
            memset((void *)frame, 0, FRAME_SIZE);
            return frame;
        }
    }
    return 0;
}

/* Enter a page into a directory, with a new table if need be. Returns the frames that took, -1 when there is none. */
static int map_page(uint32_t directory, uint32_t linear, uint32_t frame, uint32_t flags)
{
    uint32_t *pde = (uint32_t *)directory + linear / (FRAME_SIZE * ENTRIES);
    int used = 0;

    if ((*pde & PTE_P) == 0) {
        uint32_t table = memory_frame_alloc();
        if (table == 0) {
            return -1;
        }
        *pde = table | PTE_P | PTE_RW | PTE_US; /* the table entries decide */
        used = 1;
    }
    ((uint32_t *)(*pde & PAGE_BITS))[linear / FRAME_SIZE % ENTRIES] = frame | flags;
    return used;
}

static uint32_t kernel_page_flags(uint32_t address)
{
    if (address >= (uint32_t)user_begin && address < (uint32_t)user_end) {
        return PTE_P | PTE_US;
    }
    if (address >= 0x100000 && address < (uint32_t)user_begin) {
        return PTE_P;
    }
    return PTE_P | PTE_RW;
}

void memory_setup(void)
{
    uint32_t cr0;

    kernel_directory = memory_frame_alloc();
    for (uint32_t address = FRAME_SIZE; address < ram_end; address += FRAME_SIZE) {
        if (map_page(kernel_directory, address, address, kernel_page_flags(address)) < 0) {
            console_panic("no memory for the kernel's page tables", NULL);
        }
    }
    memory_load_directory(kernel_directory);
    __asm__ volatile("movl %%cr0, %0" : "=r"(cr0));
    __asm__ volatile("movl %0, %%cr0" : : "r"(cr0 | (uint32_t)CR0_PG | CR0_WP) : "memory");
}

uint32_t memory_kernel_directory(void)
{
    return kernel_directory;
}

void memory_info_get(struct memory_info *info)
{
    info->total = frames_total;
    info->free = frames_free;
    info->kernel = ((uint32_t)kernel_end - 0x100000) / FRAME_SIZE;
    info->faults = demand_faults;
}

uint32_t memory_directory_new(void)
{
    uint32_t directory = memory_frame_alloc();

    if (directory != 0) {
        memcpy((void *)directory, (void *)kernel_directory,
               MEMORY_LIMIT / (FRAME_SIZE * ENTRIES) * sizeof(uint32_t));
    }
    return directory;
}

void memory_directory_free(uint32_t directory)
{
    const uint32_t *pdes = (const uint32_t *)directory;

    for (uint32_t i = MEMORY_LIMIT / (FRAME_SIZE * ENTRIES); i < ENTRIES; i++) {
        const uint32_t *table = (const uint32_t *)(pdes[i] & PAGE_BITS);
        for (uint32_t j = 0; (pdes[i] & PTE_P) && j < ENTRIES; j++) {
            if (table[j] & PTE_P) {
                frame_release(table[j] & PAGE_BITS);
            }
        }
        if (pdes[i] & PTE_P) {
            frame_release((uint32_t)table);
        }
    }
    frame_release(directory);
}

static bool within(uint32_t begin, uint32_t length, uint32_t area, uint32_t area_end)
{
    return begin >= area && begin <= area_end && length <= area_end - begin;
}

bool memory_writable(const void *linear, uint32_t length)
{
    uint32_t begin = (uint32_t)linear;

    return within(begin, length, USER_HEAP, USER_HEAP_END) ||
           within(begin, length, USER_STACK, USER_STACK_END);
}

bool memory_readable(const void *linear, uint32_t length)
{
    return memory_writable(linear, length) ||
           within((uint32_t)linear, length, (uint32_t)user_begin, (uint32_t)user_end);
}

/*
 * A page fault in a task's heap or stack, from the program or from the kernel working on its behalf, is
 * answered with memory; any other one in ring 3 ends the task; in the kernel it is a bug.
 */
void memory_page_fault(struct trap_frame *frame)
{
    struct task *task = task_current();
    uint32_t address, page;
    int used;

    __asm__ volatile("movl %%cr2, %0" : "=r"(address));
    if ((frame->error_code & FAULT_P) == 0 && memory_writable((void *)address, 1) && task->pid != 0) {
        page = memory_frame_alloc();
        used = page == 0 ? -1 : map_page(task->directory, address & PAGE_BITS, page, PTE_P | PTE_RW | PTE_US);
        if (used >= 0) {
            task->frames += 1 + (uint32_t)used;
            demand_faults++;
            return;
        }
        if (page != 0) {
            frame_release(page);
        }
        console_printf("\x1b[1;31mtask %d (%s): out of memory: killed\x1b[0m\n", task->pid, task->name);
        task_exit(STATUS_TRAP + VECTOR_PAGE_FAULT);
    }
    if ((frame->cs & 3) == 0) {
        console_panic("page fault in the kernel", frame);
    }
    console_printf("\x1b[1;31mtask %d (%s): page fault: %s of %08x (%s) at %08x: killed\x1b[0m\n", task->pid,
                   task->name, frame->error_code & FAULT_W ? "write" : "read", address,
                   frame->error_code & FAULT_P ? "denied" : "absent", frame->eip);
    task_exit(STATUS_TRAP + VECTOR_PAGE_FAULT);
}
