/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Alexandria, a teaching kernel: from the loader's jump to the first program.
 *
 * Follows Multiboot 0.6.96 and Multiboot2 2.0 for what the loader left: the command line and the map of
 * memory, which are read before anything is written to memory that might hold them. Needs no BIOS. The word
 * `selftest` on the command line runs that program and powers the machine off. Not modelled: boot modules,
 * graphics modes, a symbol table.
 */
#include "roms/kernel/kernel.h"

enum { MULTIBOOT1_BOOTED = 0x2badb002, MULTIBOOT2_BOOTED = 0x36d76289 };
enum { MB1_MEMORY = 1 << 0, MB1_COMMAND_LINE = 1 << 2, MB1_MAP = 1 << 6 };
enum { MB2_END = 0, MB2_COMMAND_LINE = 1, MB2_MAP = 6 };
enum { RAM = 1 };

struct multiboot1_info {
    uint32_t flags, mem_lower, mem_upper; /* KiB */
    uint32_t boot_device, command_line, mods_count, mods_addr, syms[4];
    uint32_t map_length, map_addr;
};

struct map_entry {
    uint64_t address, length;
    uint32_t type;
} __attribute__((packed));

struct multiboot2_tag {
    uint32_t type, size;
    uint32_t entry_size, entry_version; /* of a map */
};

void kernel_main(uint32_t magic, uint32_t info);

uint32_t boot_stack[FRAME_SIZE / sizeof(uint32_t)]; /* entry.asm's, then the idle task's */
static char command_line[80];

static void add_entry(const struct map_entry *entry)
{
    uint64_t end = entry->address + entry->length;

    if (entry->type == RAM && entry->address < UINT32_MAX && end >= entry->address) {
        memory_add((uint32_t)entry->address, end > 0xfffff000u ? 0xfffff000u : (uint32_t)end);
    }
}

static void read_multiboot1(const struct multiboot1_info *info)
{
    if (info->flags & MB1_COMMAND_LINE) {
        string_copy(command_line, (const char *)info->command_line, sizeof command_line);
    }
    if (info->flags & MB1_MAP) {
        for (uint32_t at = info->map_addr, end = at + info->map_length; at < end; at += *(uint32_t *)at + 4) {
            add_entry((const struct map_entry *)(at + 4));
        }
    } else if (info->flags & MB1_MEMORY) {
        memory_add(0x100000, 0x100000 + info->mem_upper * 1024);
    }
}

static void read_multiboot2(uint32_t info)
{
    const struct multiboot2_tag *tag = (const struct multiboot2_tag *)(info + 8);

    while (tag->type != MB2_END) {
        if (tag->type == MB2_COMMAND_LINE) {
            string_copy(command_line, (const char *)tag + 8, sizeof command_line);
        } else if (tag->type == MB2_MAP) {
            for (uint32_t at = 16; at < tag->size; at += tag->entry_size) {
                add_entry((const struct map_entry *)((uint32_t)tag + at));
            }
        }
        tag = (const struct multiboot2_tag *)((uint32_t)tag + ((tag->size + 7) & ~7u));
    }
}

/* Is `word` one of the words of the command line? */
static bool command_line_has(const char *word)
{
    size_t length = string_length(word);

    for (const char *p = command_line; *p != '\0'; p++) {
        bool begins = p == command_line || p[-1] == ' ';
        if (begins && string_length(p) >= length && memcmp(p, word, length) == 0 &&
            (p[length] == ' ' || p[length] == '\0')) {
            return true;
        }
    }
    return false;
}

static void banner(const char *loader)
{
    struct memory_info memory;

    memory_info_get(&memory);
    console_printf("\x1b[1;36m%s\x1b[0m\n",
                   "=====================================================================");
    console_printf(" \x1b[1;33mAlexandria\x1b[0m, a kernel to read: tasks, paging, traps in a few pages\n");
    console_printf(" booted by %s; %u MiB of memory beside the kernel's %u KiB\n", loader, memory.total / 256,
                   memory.kernel * 4);
    console_printf("\x1b[1;36m%s\x1b[0m\n",
                   "=====================================================================");
}

/* Entered from entry.asm; what it becomes is task 0, which only waits for interrupts. */
void kernel_main(uint32_t magic, uint32_t info)
{
    bool selftest;

    if (magic == MULTIBOOT1_BOOTED) {
        read_multiboot1((const struct multiboot1_info *)info);
    } else if (magic == MULTIBOOT2_BOOTED) {
        read_multiboot2(info);
    }
    console_setup();
    cpu_setup();
    if (magic != MULTIBOOT1_BOOTED && magic != MULTIBOOT2_BOOTED) {
        console_panic("not started by a Multiboot loader", NULL);
    }
    memory_setup();
    task_setup();
    chips_setup();
    input_setup();
    banner(magic == MULTIBOOT1_BOOTED ? "Multiboot 1" : "Multiboot 2");
    selftest = command_line_has("selftest");
    if (task_spawn(selftest ? "selftest" : "shell", 1, true) < 0) {
        console_panic("no memory for the first program", NULL);
    }
    for (;;) {
        __asm__ volatile("sti\n\thlt\n\tcli");
    }
}
