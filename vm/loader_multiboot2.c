/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Multiboot 2 (specification 2.0): the header's tags and the information tags.
 *
 *   header tag             what it does here
 *   1  information request  refused when a requested tag is unknown, unless the tag is optional
 *   2  address              load by address fields instead of ELF
 *   3  entry address        overrides the ELF entry point
 *   4  console flags        satisfied: the console is EGA text
 *   5  framebuffer          answered with 80x25 text
 *   6  module alignment     always done
 *   7  EFI boot services, 8, 9 EFI entry points: ignored, this is not EFI
 *   10 relocatable          the image goes where it asks to
 *
 * The information is one block: u32 total_size, u32 reserved, then tags at multiples of 8. The memory map
 * and the end tag are written behind it by the boot ROM, so that is where the block reserves room. The RSDP
 * is given when it is known beforehand, that is, without a BIOS. Not modelled: EFI, network, APM, VBE and
 * BIOS boot device tags.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "vm/loader_internal.h"

#define MB2_EAX 0x36d76289u

enum {
    HEADER_FIXED = 16,
    HEADER_LENGTH = 8, /* offset of header_length */
    TAG_FIXED = 8,     /* u16 type, u16 flags, u32 size */
    TAG_OPTIONAL = 1u << 0,

    WANT_END = 0,
    WANT_INFORMATION = 1,
    WANT_ADDRESS = 2,
    WANT_ENTRY = 3,
    WANT_CONSOLE = 4,
    WANT_FRAMEBUFFER = 5,
    WANT_MODULE_ALIGN = 6,
    WANT_EFI_SERVICES = 7,
    WANT_ENTRY_EFI32 = 8,
    WANT_ENTRY_EFI64 = 9,
    WANT_RELOCATABLE = 10,

    INFO_CMDLINE = 1,
    INFO_LOADER_NAME = 2,
    INFO_MODULE = 3,
    INFO_MEMORY = 4,
    INFO_MEMORY_MAP = 6,
    INFO_FRAMEBUFFER = 8,
    INFO_ELF_SECTIONS = 9,
    INFO_ACPI_OLD = 14,
    INFO_LOAD_BASE = 21,

    MAP_ENTRIES = 64,
    MAP_ROOM = 16 + MAP_ENTRIES * 24 + 8, /* the map's tag and the end tag */

    PREFER_NONE = 0,
    PREFER_LOWEST = 1,
    PREFER_HIGHEST = 2,
};

/* What the header's tags said. */
struct wishes {
    bool has_addresses, has_entry, relocatable;
    struct loader_address_fields addresses;
    uint32_t entry;
    uint32_t min_addr, max_addr, align, preference;
};

/* --- Header --------------------------------------------------------------------------------------------- */

static bool can_inform(uint32_t type)
{
    const uint32_t known[] = {INFO_CMDLINE,      INFO_LOADER_NAME, INFO_MODULE,
                              INFO_MEMORY,       INFO_MEMORY_MAP,  INFO_FRAMEBUFFER,
                              INFO_ELF_SECTIONS, INFO_ACPI_OLD,    INFO_LOAD_BASE};
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        if (known[i] == type) {
            return true;
        }
    }
    return false;
}

static int read_information_request(const uint8_t *tag, uint32_t size, struct error *error)
{
    for (uint32_t at = TAG_FIXED; at + 4 <= size; at += 4) {
        uint32_t type = load_le32(tag + at);
        if (!can_inform(type)) {
            return error_set(error, -ENOEXEC,
                             "its Multiboot 2 header insists on information tag %u, which this "
                             "machine does not have",
                             type);
        }
    }
    return 0;
}

static void read_addresses(const uint8_t *tag, struct wishes *wishes)
{
    wishes->has_addresses = true;
    wishes->addresses.header_addr = load_le32(tag + 8);
    wishes->addresses.load_addr = load_le32(tag + 12);
    wishes->addresses.load_end_addr = load_le32(tag + 16);
    wishes->addresses.bss_end_addr = load_le32(tag + 20);
    wishes->addresses.whole_file = load_le32(tag + 12) == UINT32_MAX;
}

static int read_relocatable(const uint8_t *tag, struct wishes *wishes, struct error *error)
{
    wishes->relocatable = true;
    wishes->min_addr = load_le32(tag + 8);
    wishes->max_addr = load_le32(tag + 12);
    wishes->align = load_le32(tag + 16);
    wishes->preference = load_le32(tag + 20);
    if (wishes->align == 0 || (wishes->align & (wishes->align - 1)) || wishes->max_addr < wishes->min_addr) {
        return error_set(error, -ENOEXEC,
                         "the relocatable tag of its header makes no sense: addresses %#x-%#x, alignment %#x",
                         wishes->min_addr, wishes->max_addr, wishes->align);
    }
    return 0;
}

/* Bytes a tag of this type must have. */
static uint32_t tag_min_size(unsigned type)
{
    switch (type) {
    case WANT_ADDRESS:
    case WANT_RELOCATABLE:
        return 24;
    case WANT_ENTRY:
        return 12;
    default:
        return TAG_FIXED;
    }
}

static int read_tag(const uint8_t *tag, uint32_t size, struct wishes *wishes, struct error *error)
{
    unsigned type = load_le16(tag);
    bool optional = load_le16(tag + 2) & TAG_OPTIONAL;
    if (size < tag_min_size(type)) {
        return error_set(error, -ENOEXEC, "tag %u of its Multiboot 2 header has only %u bytes", type, size);
    }
    switch (type) {
    case WANT_INFORMATION:
        return optional ? 0 : read_information_request(tag, size, error);
    case WANT_ADDRESS:
        read_addresses(tag, wishes);
        return 0;
    case WANT_ENTRY:
        wishes->has_entry = true;
        wishes->entry = load_le32(tag + 8);
        return 0;
    case WANT_RELOCATABLE:
        return read_relocatable(tag, wishes, error);
    case WANT_CONSOLE:
    case WANT_FRAMEBUFFER:
    case WANT_MODULE_ALIGN:
    case WANT_EFI_SERVICES:
    case WANT_ENTRY_EFI32:
    case WANT_ENTRY_EFI64:
        return 0;
    default:
        return optional ? 0
                        : error_set(error, -ENOEXEC,
                                    "its Multiboot 2 header requires tag %u, which this loader does "
                                    "not know",
                                    type);
    }
}

static int read_header(const struct loader *loader, size_t at, struct wishes *wishes)
{
    const uint8_t *header = loader->kernel + at;
    uint32_t length = load_le32(header + HEADER_LENGTH);
    *wishes = (struct wishes){.addresses.header_offset = at};
    if (length < HEADER_FIXED || length > loader->kernel_size - at) {
        return error_set(loader->error, -ENOEXEC,
                         "its Multiboot 2 header of %u bytes does not lie inside the file", length);
    }
    uint64_t position = HEADER_FIXED;
    while (position + TAG_FIXED <= length) {
        const uint8_t *tag = header + position;
        uint32_t size = load_le32(tag + 4);
        if (size < TAG_FIXED || size > length - position) {
            return error_set(loader->error, -ENOEXEC,
                             "a tag of its Multiboot 2 header has an impossible size, %u", size);
        }
        if (load_le16(tag) == WANT_END) {
            break;
        }
        int code = read_tag(tag, size, wishes, loader->error);
        if (code < 0) {
            return code;
        }
        position += ALIGN_UP((uint64_t)size, 8);
    }
    return 0;
}

/* --- Program -------------------------------------------------------------------------------------------- */

static int read_program(struct loader *loader, struct wishes *wishes, struct loader_program *program)
{
    int code;
    if (wishes->has_addresses) {
        if (!wishes->has_entry) {
            return error_set(loader->error, -ENOEXEC,
                             "its Multiboot 2 header has an address tag but no entry address tag");
        }
        wishes->addresses.entry_addr = wishes->entry;
        code = loader_address_program(&wishes->addresses, loader->kernel_size, program, loader->error);
    } else {
        code = loader_elf_program(loader->kernel, loader->kernel_size, program, loader->error);
    }
    if (code == 0 && wishes->has_entry) {
        program->entry = wishes->entry;
    }
    return code;
}

/* Move a relocatable image to where its header wants it. `*base` becomes its lowest address. */
static int relocate(struct loader *loader, const struct wishes *wishes, struct loader_program *program,
                    uint32_t *base)
{
    uint64_t low, high;
    loader_program_bounds(program, &low, &high);
    *base = (uint32_t)low;
    uint64_t last = MIN((uint64_t)wishes->max_addr + 1, 4 * GIB);
    if (!wishes->relocatable || (wishes->preference == PREFER_NONE && low >= wishes->min_addr &&
                                 high <= last && low % wishes->align == 0)) {
        return 0;
    }
    /* A trial on a copy: the segments claim their memory themselves. */
    struct layout trial = loader->layout;
    uint64_t place =
        layout_place(&trial, high - low, wishes->align, wishes->min_addr, last,
                     wishes->preference == PREFER_HIGHEST, "the relocatable kernel", loader->error);
    if (!place) {
        return -ENOMEM;
    }
    for (unsigned i = 0; i < program->segment_count; i++) {
        program->segment[i].dest = program->segment[i].dest - low + place;
    }
    program->entry = program->entry - low + place;
    *base = (uint32_t)place;
    return 0;
}

/* --- Information ---------------------------------------------------------------------------------------- */

/* Begin a tag; its size is that of the header plus `size`. The content is to be appended. */
static size_t begin_tag(struct blob *info, uint32_t type, size_t size)
{
    blob_align(info, 8);
    size_t at = blob_append_u32(info, type);
    blob_append_u32(info, (uint32_t)(TAG_FIXED + size));
    return at;
}

static void add_string_tag(struct blob *info, uint32_t type, const char *text)
{
    begin_tag(info, type, strlen(text) + 1);
    blob_append_string(info, text);
}

static void add_module_tags(struct blob *info, const struct loader_modules *modules)
{
    for (unsigned i = 0; i < modules->count; i++) {
        const struct loader_module *module = &modules->module[i];
        begin_tag(info, INFO_MODULE, 8 + strlen(module->string) + 1);
        blob_append_u32(info, (uint32_t)module->start);
        blob_append_u32(info, (uint32_t)module->end);
        blob_append_string(info, module->string);
    }
}

/* The VGA's text mode 3: type 2, EGA text; "bits per pixel" is 16 a character. */
static void add_framebuffer_tag(struct blob *info)
{
    begin_tag(info, INFO_FRAMEBUFFER, 24);
    blob_append_u64(info, 0xb8000);
    blob_append_u32(info, 160);
    blob_append_u32(info, 80);
    blob_append_u32(info, 25);
    blob_append_u8(info, 16);
    blob_append_u8(info, 2);
    blob_append_u16(info, 0);
}

static void add_section_tag(struct blob *info, const struct loader_sections *sections)
{
    if (sections->count) {
        size_t bytes = (size_t)sections->count * sections->entry_size;
        begin_tag(info, INFO_ELF_SECTIONS, 12 + bytes);
        blob_append_u32(info, sections->count);
        blob_append_u32(info, sections->entry_size);
        blob_append_u32(info, sections->string_index);
        blob_append(info, sections->table, bytes);
    }
}

/* All tags but the memory map. Returns the offset of the basic memory information tag. */
static size_t build_info(struct blob *info, const struct loader *loader, const struct wishes *wishes,
                         const struct loader_modules *modules, const struct loader_sections *sections,
                         const char *cmdline, uint32_t base)
{
    blob_append(info, NULL, 8);
    add_string_tag(info, INFO_CMDLINE, cmdline);
    add_string_tag(info, INFO_LOADER_NAME, LOADER_NAME);
    add_module_tags(info, modules);
    size_t memory = begin_tag(info, INFO_MEMORY, 8);
    blob_append(info, NULL, 8);
    add_framebuffer_tag(info);
    add_section_tag(info, sections);
    if (loader->config->rsdp) {
        begin_tag(info, INFO_ACPI_OLD, loader->config->rsdp_size);
        blob_append(info, loader->config->rsdp, loader->config->rsdp_size);
    }
    if (wishes->relocatable) {
        begin_tag(info, INFO_LOAD_BASE, 4);
        blob_append_u32(info, base);
    }
    blob_align(info, 8);
    return memory;
}

/* Takes over the blob's bytes. */
static int place_info(struct loader *loader, struct blob *info, size_t memory_tag)
{
    uint64_t base = info->failed ? 0 : loader_place_info(loader, info->size + MAP_ROOM);
    if (!base) {
        int code = info->failed ? error_set(loader->error, -ENOMEM, "no memory for the Multiboot information")
                                : -ENOMEM;
        blob_fini(info);
        return code;
    }
    struct bootlist_header *list = &loader->image->header;
    list->kind = BOOTLIST_MULTIBOOT;
    list->eax = MB2_EAX;
    list->info = (uint32_t)base;
    list->e820_form = BOOTLIST_E820_MULTIBOOT2;
    list->e820_max = MAP_ENTRIES;
    list->e820_dest = (uint32_t)(base + info->size);
    list->meminfo_dest = (uint32_t)(base + memory_tag + TAG_FIXED);
    size_t size = info->size;
    int code = loader_add_file(loader, LOADER_INFO_FILE, info->bytes, size);
    return code < 0 ? code : loader_add_entry(loader, LOADER_INFO_FILE, base, size, 0);
}

int loader_prepare_multiboot2(struct loader *loader, size_t at)
{
    struct wishes wishes;
    struct loader_program program;
    struct loader_modules modules = {.count = 0};
    struct loader_sections sections = {0};
    uint32_t base = 0;
    int code = read_header(loader, at, &wishes);
    code = code < 0 ? code : read_program(loader, &wishes, &program);
    code = code < 0 ? code : relocate(loader, &wishes, &program, &base);
    code = code < 0 ? code : loader_place_program(loader, &program);
    if (code == 0 && !wishes.has_addresses) {
        code = loader_elf_sections(loader, &sections);
    }
    code = code < 0 ? code : loader_load_modules(loader, &modules);
    char *cmdline = code < 0 ? NULL : loader_multiboot_cmdline(loader);
    if (cmdline) {
        struct blob info;
        blob_init(&info);
        size_t memory = build_info(&info, loader, &wishes, &modules, &sections, cmdline, base);
        loader->image->header.entry = (uint32_t)program.entry;
        code = place_info(loader, &info, memory);
    } else if (code == 0) {
        code = -ENOMEM;
    }
    free(cmdline);
    free(sections.table);
    loader_modules_fini(&modules);
    return code;
}
