/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Makes boot lists for the ROM tests, as fw_cfg files that QEMU can be given.
 *
 *      make_bootlist multiboot1|multiboot2 DIR COMMAND-LINE    boot Alexandria, as embedded in the library `roms`
 *      make_bootlist probe16|probe32 DIR PROBE                 boot probe.asm's payload
 *      make_bootlist linux16|linux32 DIR BZIMAGE COMMAND-LINE  boot a Linux kernel (which has to be at hand)
 *
 * Writes DIR/boot (the list) and DIR/kernel, DIR/info (what it names opt/hypatia/kernel and
 * opt/hypatia/info). This is a test's view of bootlist.h, deliberately independent of vm/'s loader. Not
 * modelled: initrd, boot modules.
 */
#include <elf.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "roms/boot/bootlist.h"
#include "roms/roms.h"

#define RAM_BYTES    (64u << 20) /* the tests' machines have as much */
#define LOW_BYTES    0x9fc00u
#define INFO         0x30000u
#define COMMAND_LINE 0x31000u
#define SETUP        0x20000u
#define HIGH_COPY    0x200000u
#define STACK        0x8f000u

struct list {
    struct bootlist_header header;
    struct bootlist_entry entries[32];
};

static void fail(const char *what)
{
    fprintf(stderr, "make_bootlist: %s\n", what);
    exit(1);
}

static void add(struct list *list, const char *file, uint64_t dest, uint32_t length, uint32_t offset)
{
    struct bootlist_entry *entry = &list->entries[list->header.entry_count++];

    if (list->header.entry_count > 32) {
        fail("too many pieces");
    }
    snprintf(entry->file, sizeof entry->file, "%s", file);
    entry->dest = dest;
    entry->length = length;
    entry->offset = offset;
}

static void save(const char *directory, const char *name, const void *bytes, size_t length)
{
    char path[4096];
    FILE *file;

    snprintf(path, sizeof path, "%s/%s", directory, name);
    file = fopen(path, "wb");
    if (file == NULL || fwrite(bytes, 1, length, file) != length || fclose(file) != 0) {
        fail(path);
    }
}

static void save_list(const char *directory, struct list *list)
{
    static const struct bootlist_e820 map[] = {{0, 0, LOW_BYTES, 0, 1},
                                               {LOW_BYTES, 0, 0x100000 - LOW_BYTES, 0, 2},
                                               {0x100000, 0, RAM_BYTES - 0x100000, 0, 1}};
    uint8_t bytes[sizeof *list + sizeof map];
    size_t length = sizeof list->header + list->header.entry_count * sizeof list->entries[0];

    list->header.magic = BOOTLIST_MAGIC;
    list->header.version = BOOTLIST_VERSION;
    list->header.e820_count = sizeof map / sizeof map[0];
    memcpy(bytes, list, length);
    memcpy(bytes + length, map, sizeof map);
    save(directory, "boot", bytes, length + sizeof map);
}

static uint8_t *load(const char *path, size_t *length)
{
    FILE *file = fopen(path, "rb");
    uint8_t *bytes;

    if (file == NULL || fseek(file, 0, SEEK_END) != 0) {
        fail(path);
    }
    *length = (size_t)ftell(file);
    rewind(file);
    bytes = malloc(*length);
    if (bytes == NULL || fread(bytes, 1, *length, file) != *length) {
        fail(path);
    }
    fclose(file);
    return bytes;
}

/* The pieces of Alexandria's image, each with its zeroed tail. */
static void add_elf(struct list *list)
{
    Elf32_Ehdr elf;
    Elf32_Phdr segment;

    memcpy(&elf, rom_kernel, sizeof elf);
    for (unsigned i = 0; i < elf.e_phnum; i++) {
        memcpy(&segment, rom_kernel + elf.e_phoff + i * sizeof segment, sizeof segment);
        if (segment.p_type != PT_LOAD || segment.p_memsz == 0) {
            continue;
        }
        add(list, "opt/hypatia/kernel", segment.p_paddr, segment.p_filesz, segment.p_offset);
        add(list, "", segment.p_paddr + segment.p_filesz, segment.p_memsz - segment.p_filesz, 0);
    }
    list->header.entry = elf.e_entry;
}

static void make_multiboot1(struct list *list, const char *directory, const char *command_line)
{
    struct {
        uint32_t words[32];
        char text[128];
    } info = {.words = {[0] = 1 << 0 | 1 << 2 | 1 << 6, [4] = INFO + 128, [12] = INFO + 0x800}};

    snprintf(info.text, sizeof info.text, "alexandria %s", command_line);
    list->header.eax = 0x2badb002;
    list->header.meminfo_dest = INFO + 4;
    list->header.e820_form = BOOTLIST_E820_MULTIBOOT1;
    list->header.e820_dest = INFO + 0x800;
    list->header.e820_count_dest = INFO + 44;
    save(directory, "info", &info, sizeof info);
}

static void make_multiboot2(struct list *list, const char *directory, const char *command_line)
{
    struct {
        uint32_t total, reserved;
        uint32_t memory[4];  /* tag 4 */
        uint32_t type, size; /* tag 1 */
        char text[120];
    } info = {.memory = {4, 16}, .type = 1, .size = 128};

    snprintf(info.text, sizeof info.text, "alexandria %s", command_line);
    list->header.eax = 0x36d76289;
    list->header.meminfo_dest = INFO + 16;
    list->header.e820_form = BOOTLIST_E820_MULTIBOOT2;
    list->header.e820_dest = INFO + sizeof info;
    save(directory, "info", &info, sizeof info);
}

static void make_multiboot(struct list *list, const char *directory, const char *command_line,
                           unsigned version)
{
    list->header.kind = BOOTLIST_MULTIBOOT;
    list->header.info = INFO;
    list->header.e820_max = 64;
    list->header.stack = STACK;
    add(list, "opt/hypatia/info", INFO, 0x1000, 0);
    add_elf(list);
    if (version == 1) {
        make_multiboot1(list, directory, command_line);
    } else {
        make_multiboot2(list, directory, command_line);
    }
    save(directory, "kernel", rom_kernel, rom_kernel_size);
}

static void make_probe(struct list *list, const char *directory, const char *probe, bool real_mode)
{
    static const uint32_t pieces[] = {0, 0x44434241, 0xffffffff, 0xffffffff, 0xdeadbeef, 0x55555555};
    size_t length;
    uint8_t *bytes = load(probe, &length);

    list->header.kind = real_mode ? BOOTLIST_LINUX16 : BOOTLIST_LINUX32;
    list->header.entry = real_mode ? SETUP : SETUP + 0x400;
    list->header.stack = real_mode ? 0xe000 : STACK;
    list->header.info = INFO;
    if (!real_mode) {
        list->header.e820_form = BOOTLIST_E820_RAW;
        list->header.e820_max = 128;
        list->header.e820_dest = INFO + 0x2d0;
        list->header.e820_count_dest = INFO + 0x1e8;
        list->header.meminfo_dest = INFO + 8;
    }
    add(list, "opt/hypatia/kernel", SETUP, (uint32_t)length, 0);
    add(list, "", INFO, 0x1000, 0);
    add(list, "opt/hypatia/info", HIGH_COPY - 0x100000, 4, 20);
    add(list, "opt/hypatia/info", HIGH_COPY, 16, 4);
    add(list, "", HIGH_COPY + 4, 8, 0);
    save(directory, "kernel", bytes, length);
    save(directory, "info", pieces, sizeof pieces);
    free(bytes);
}

/* Linux, Documentation/arch/x86/boot.rst: the setup header begins at 1F1h of the file and of struct boot_params. */
static void make_linux(struct list *list, const char *directory, const char *path, const char *command_line,
                       bool real_mode)
{
    size_t length;
    uint8_t *image = load(path, &length);
    uint32_t setup_bytes = ((image[0x1f1] ? image[0x1f1] : 4u) + 1) * 512;
    uint32_t pointer = COMMAND_LINE;
    uint32_t header_end = 0x202u + image[0x201];

    image[0x210] = 0xff;                  /* type_of_loader: not a registered one */
    image[0x211] |= real_mode ? 0x80 : 0; /* CAN_USE_HEAP */
    memcpy(image + 0x224, &(uint16_t){0xde00}, 2);
    memcpy(image + 0x228, &pointer, 4);
    list->header.kind = real_mode ? BOOTLIST_LINUX16 : BOOTLIST_LINUX32;
    list->header.entry = real_mode ? SETUP : 0x100000;
    list->header.stack = real_mode ? 0xe000 : STACK;
    list->header.info = INFO;
    add(list, "opt/hypatia/info", COMMAND_LINE, (uint32_t)strlen(command_line) + 1, 0);
    add(list, "opt/hypatia/kernel", 0x100000, (uint32_t)length - setup_bytes, setup_bytes);
    if (real_mode) {
        add(list, "opt/hypatia/kernel", SETUP, setup_bytes, 0);
    } else {
        add(list, "", INFO, 0x1000, 0);
        add(list, "opt/hypatia/kernel", INFO + 0x1f1, header_end - 0x1f1, 0x1f1);
        list->header.e820_form = BOOTLIST_E820_RAW;
        list->header.e820_max = 128;
        list->header.e820_dest = INFO + 0x2d0;
        list->header.e820_count_dest = INFO + 0x1e8;
    }
    save(directory, "kernel", image, length);
    save(directory, "info", command_line, strlen(command_line) + 1);
    free(image);
}

int main(int argc, char **argv)
{
    struct list list = {0};
    const char *kind = argc >= 4 ? argv[1] : "";

    if (strcmp(kind, "multiboot1") == 0 || strcmp(kind, "multiboot2") == 0) {
        make_multiboot(&list, argv[2], argv[3], kind[9] == '1' ? 1 : 2);
    } else if (strcmp(kind, "probe16") == 0 || strcmp(kind, "probe32") == 0) {
        make_probe(&list, argv[2], argv[3], kind[5] == '1');
    } else if (argc == 5 && (strcmp(kind, "linux16") == 0 || strcmp(kind, "linux32") == 0)) {
        make_linux(&list, argv[2], argv[3], argv[4], kind[5] == '1');
    } else {
        fail("usage: see the head of make_bootlist.c");
    }
    save_list(argv[2], &list);
    return 0;
}
