/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Multiboot 1 (specification 0.6.96): the header's wishes and the information structure.
 *
 * The information is one block, below 1 MiB where the kernel leaves room:
 *
 *   0    information structure, 120 bytes     header flag   what it asks
 *   120  memory map, 64 entries of 24 bytes       0         modules at page boundaries (always done)
 *        module list, 16 bytes each               1         memory information (always given)
 *        section headers                          2         video mode: answered with 80x25 text
 *        strings                                  16        load by the address fields
 *
 * Memory sizes and map are filled in by the boot ROM. Not modelled: drives, BIOS configuration table, APM,
 * VBE (their flags are clear), graphics modes.
 */
#include <errno.h>
#include <stdlib.h>

#include "vm/loader_internal.h"

#define MB1_EAX 0x2badb002u

enum {
    HEADER_PAGE_ALIGN = 1u << 0,
    HEADER_MEMORY_INFO = 1u << 1,
    HEADER_VIDEO_MODE = 1u << 2,
    HEADER_ADDRESSES = 1u << 16,
    HEADER_MUST_KNOW = 0xffff, /* unknown bits among these must be refused */
    HEADER_KNOWN = HEADER_PAGE_ALIGN | HEADER_MEMORY_INFO | HEADER_VIDEO_MODE,
    HEADER_SIZE_ADDRESSES = 32,

    INFO_MEMORY = 1u << 0,
    INFO_CMDLINE = 1u << 2,
    INFO_MODULES = 1u << 3,
    INFO_ELF_SECTIONS = 1u << 5,
    INFO_MEMORY_MAP = 1u << 6,
    INFO_LOADER_NAME = 1u << 9,
    INFO_FRAMEBUFFER = 1u << 12,

    INFO_SIZE = 120,
    AT_FLAGS = 0,
    AT_MEM_LOWER = 4,
    AT_CMDLINE = 16,
    AT_MODS_COUNT = 20,
    AT_MODS_ADDR = 24,
    AT_ELF_NUM = 28,
    AT_ELF_SIZE = 32,
    AT_ELF_ADDR = 36,
    AT_ELF_SHNDX = 40,
    AT_MMAP_LENGTH = 44,
    AT_MMAP_ADDR = 48,
    AT_LOADER_NAME = 64,
    AT_FRAMEBUFFER_ADDR = 88,
    AT_FRAMEBUFFER_PITCH = 96,
    AT_FRAMEBUFFER_WIDTH = 100,
    AT_FRAMEBUFFER_HEIGHT = 104,
    AT_FRAMEBUFFER_BPP = 108,
    AT_FRAMEBUFFER_TYPE = 109,
    FRAMEBUFFER_EGA_TEXT = 2,

    MODULE_SIZE = 16,
    MAP_ENTRIES = 64,
    MAP_ENTRY_SIZE = 24,
};

static int read_program(struct loader *loader, size_t at, uint32_t flags, struct loader_program *program)
{
    const uint8_t *header = loader->kernel + at;
    if (!(flags & HEADER_ADDRESSES)) {
        return loader_elf_program(loader->kernel, loader->kernel_size, program, loader->error);
    }
    if (loader->kernel_size - at < HEADER_SIZE_ADDRESSES) {
        return error_set(loader->error, -ENOEXEC, "the file ends inside its Multiboot header");
    }
    const struct loader_address_fields fields = {
        .header_addr = load_le32(header + 12),
        .load_addr = load_le32(header + 16),
        .load_end_addr = load_le32(header + 20),
        .bss_end_addr = load_le32(header + 24),
        .entry_addr = load_le32(header + 28),
        .header_offset = at,
    };
    return loader_address_program(&fields, loader->kernel_size, program, loader->error);
}

/* Offsets of the parts of the information block. */
struct info_parts {
    size_t map, modules, sections, cmdline, loader_name;
    size_t module_string[LOADER_MAX_MODULES];
};

/* Lay out and fill everything that needs no address. */
static void build_parts(struct blob *info, struct info_parts *parts, const struct loader_modules *modules,
                        const struct loader_sections *sections, const char *cmdline)
{
    blob_append(info, NULL, INFO_SIZE);
    parts->map = blob_append(info, NULL, MAP_ENTRIES * MAP_ENTRY_SIZE);
    parts->modules = blob_append(info, NULL, modules->count * MODULE_SIZE);
    parts->sections = blob_append(info, sections->table, (size_t)sections->count * sections->entry_size);
    parts->cmdline = blob_append_string(info, cmdline);
    parts->loader_name = blob_append_string(info, LOADER_NAME);
    for (unsigned i = 0; i < modules->count; i++) {
        parts->module_string[i] = blob_append_string(info, modules->module[i].string);
    }
}

static void fill_framebuffer(struct blob *info)
{
    blob_put_u32(info, AT_FRAMEBUFFER_ADDR, 0xb8000);
    blob_put_u32(info, AT_FRAMEBUFFER_PITCH, 160);
    blob_put_u32(info, AT_FRAMEBUFFER_WIDTH, 80);
    blob_put_u32(info, AT_FRAMEBUFFER_HEIGHT, 25);
    blob_put_u8(info, AT_FRAMEBUFFER_BPP, 16);
    blob_put_u8(info, AT_FRAMEBUFFER_TYPE, FRAMEBUFFER_EGA_TEXT);
}

static void fill_info(struct blob *info, const struct info_parts *parts, const struct loader_modules *modules,
                      const struct loader_sections *sections, uint32_t base, uint32_t header_flags)
{
    uint32_t flags = INFO_MEMORY | INFO_CMDLINE | INFO_MODULES | INFO_MEMORY_MAP | INFO_LOADER_NAME;
    blob_put_u32(info, AT_CMDLINE, base + (uint32_t)parts->cmdline);
    blob_put_u32(info, AT_MODS_COUNT, modules->count);
    blob_put_u32(info, AT_MODS_ADDR, base + (uint32_t)parts->modules);
    blob_put_u32(info, AT_MMAP_ADDR, base + (uint32_t)parts->map);
    blob_put_u32(info, AT_LOADER_NAME, base + (uint32_t)parts->loader_name);
    for (unsigned i = 0; i < modules->count; i++) {
        size_t entry = parts->modules + i * MODULE_SIZE;
        blob_put_u32(info, entry, (uint32_t)modules->module[i].start);
        blob_put_u32(info, entry + 4, (uint32_t)modules->module[i].end);
        blob_put_u32(info, entry + 8, base + (uint32_t)parts->module_string[i]);
    }
    if (sections->count) {
        flags |= INFO_ELF_SECTIONS;
        blob_put_u32(info, AT_ELF_NUM, sections->count);
        blob_put_u32(info, AT_ELF_SIZE, sections->entry_size);
        blob_put_u32(info, AT_ELF_ADDR, base + (uint32_t)parts->sections);
        blob_put_u32(info, AT_ELF_SHNDX, sections->string_index);
    }
    if (header_flags & HEADER_VIDEO_MODE) {
        flags |= INFO_FRAMEBUFFER;
        fill_framebuffer(info);
    }
    blob_put_u32(info, AT_FLAGS, flags);
}

/* Takes over the blob's bytes. */
static int place_info(struct loader *loader, struct blob *info, const struct info_parts *parts,
                      const struct loader_modules *modules, const struct loader_sections *sections,
                      uint32_t flags)
{
    uint64_t base = info->failed ? 0 : loader_place_info(loader, info->size);
    if (!base) {
        int code = info->failed ? error_set(loader->error, -ENOMEM, "no memory for the Multiboot information")
                                : -ENOMEM;
        blob_fini(info);
        return code;
    }
    fill_info(info, parts, modules, sections, (uint32_t)base, flags);
    struct bootlist_header *list = &loader->image->header;
    list->kind = BOOTLIST_MULTIBOOT;
    list->eax = MB1_EAX;
    list->info = (uint32_t)base;
    list->e820_form = BOOTLIST_E820_MULTIBOOT1;
    list->e820_max = MAP_ENTRIES;
    list->e820_dest = (uint32_t)(base + parts->map);
    list->e820_count_dest = (uint32_t)base + AT_MMAP_LENGTH;
    list->meminfo_dest = (uint32_t)base + AT_MEM_LOWER;
    size_t size = info->size;
    int code = loader_add_file(loader, LOADER_INFO_FILE, info->bytes, size);
    return code < 0 ? code : loader_add_entry(loader, LOADER_INFO_FILE, base, size, 0);
}

int loader_prepare_multiboot1(struct loader *loader, size_t at)
{
    uint32_t flags = load_le32(loader->kernel + at + 4);
    if (flags & HEADER_MUST_KNOW & ~(uint32_t)HEADER_KNOWN) {
        return error_set(loader->error, -ENOEXEC,
                         "its Multiboot header requires features this loader does not know (flags %#x)",
                         flags);
    }
    struct loader_program program;
    struct loader_modules modules = {.count = 0};
    struct loader_sections sections = {0};
    int code = read_program(loader, at, flags, &program);
    code = code < 0 ? code : loader_place_program(loader, &program);
    if (code == 0 && !(flags & HEADER_ADDRESSES)) {
        code = loader_elf_sections(loader, &sections);
    }
    code = code < 0 ? code : loader_load_modules(loader, &modules);
    char *cmdline = code < 0 ? NULL : loader_multiboot_cmdline(loader);
    if (cmdline) {
        struct blob info;
        struct info_parts parts;
        blob_init(&info);
        build_parts(&info, &parts, &modules, &sections, cmdline);
        loader->image->header.entry = (uint32_t)program.entry;
        code = place_info(loader, &info, &parts, &modules, &sections, flags);
    } else if (code == 0) {
        code = -ENOMEM;
    }
    free(cmdline);
    free(sections.table);
    loader_modules_fini(&modules);
    return code;
}
