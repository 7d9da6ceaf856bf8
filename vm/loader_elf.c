/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The program in a kernel file: PT_LOAD segments of an ELF32 executable, or the one segment a Multiboot
 * header's address fields describe; and the symbol tables that a Multiboot kernel may want to see.
 *
 * Follows the System V ABI (ELF), Intel386 supplement, and the Multiboot specifications' "address" fields.
 * Segments are loaded at their physical addresses; an entry point that is a virtual address of some segment
 * is converted. Not modelled: relocations, dynamic linking, ELF64.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "vm/loader_internal.h"

enum {
    EI_CLASS = 4,
    EI_DATA = 5,
    EHDR_SIZE = 52,
    EHDR_TYPE = 16,
    EHDR_MACHINE = 18,
    EHDR_ENTRY = 24,
    EHDR_PHOFF = 28,
    EHDR_SHOFF = 32,
    EHDR_PHENTSIZE = 42,
    EHDR_PHNUM = 44,
    EHDR_SHENTSIZE = 46,
    EHDR_SHNUM = 48,
    EHDR_SHSTRNDX = 50,

    PHDR_SIZE = 32,
    PHDR_TYPE = 0,
    PHDR_OFFSET = 4,
    PHDR_VADDR = 8,
    PHDR_PADDR = 12,
    PHDR_FILESZ = 16,
    PHDR_MEMSZ = 20,

    SHDR_SIZE = 40,
    SHDR_TYPE = 4,
    SHDR_ADDR = 12,
    SHDR_OFFSET = 16,
    SHDR_SECTION_SIZE = 20,

    DATA_LSB = 1,
    ET_EXEC = 2,
    ET_DYN = 3,
    EM_386 = 3,
    EM_486 = 6,
    PT_LOAD = 1,
    SHT_SYMTAB = 2,
    SHT_STRTAB = 3,
};

bool loader_is_elf(const uint8_t *file, size_t size, unsigned class)
{
    return size > EI_DATA && memcmp(file, "\177ELF", 4) == 0 && file[EI_CLASS] == class;
}

static int check_elf_header(const uint8_t *file, size_t size, struct error *error)
{
    if (loader_is_elf(file, size, 2)) {
        return error_set(
            error, -ENOEXEC,
            "this is a 64-bit ELF file; Multiboot enters kernels in 32-bit mode: link it as elf32-i386 "
            "(objcopy -O elf32-i386 KERNEL KERNEL32), or give its header address fields");
    }
    if (!loader_is_elf(file, size, 1)) {
        return error_set(
            error, -ENOEXEC,
            "its Multiboot header has no address fields and the file is not ELF: the loader cannot know "
            "where it goes");
    }
    if (size < EHDR_SIZE) {
        return error_set(error, -ENOEXEC, "the ELF file is cut short inside its header");
    }
    unsigned type = load_le16(file + EHDR_TYPE), machine = load_le16(file + EHDR_MACHINE);
    if (file[EI_DATA] != DATA_LSB || (machine != EM_386 && machine != EM_486)) {
        return error_set(error, -ENOEXEC, "this ELF file is not for the i386 (machine %u)", machine);
    }
    if (type != ET_EXEC && type != ET_DYN) {
        return error_set(error, -ENOEXEC, "this ELF file is not an executable (type %u): link it", type);
    }
    return 0;
}

/* One program header. `virtual_entry` and `entry`: convert the entry point if this segment holds it. */
static int add_segment(const uint8_t *phdr, size_t size, uint64_t virtual_entry, bool *converted,
                       struct loader_program *program, struct error *error)
{
    uint64_t offset = load_le32(phdr + PHDR_OFFSET), vaddr = load_le32(phdr + PHDR_VADDR);
    uint64_t paddr = load_le32(phdr + PHDR_PADDR), file_size = load_le32(phdr + PHDR_FILESZ);
    uint64_t mem_size = load_le32(phdr + PHDR_MEMSZ);
    unsigned number = program->segment_count;
    if (mem_size == 0) {
        return 0;
    }
    if (file_size > mem_size) {
        return error_set(error, -ENOEXEC,
                         "ELF segment %u has more bytes in the file (%" PRIu64 ") than in memory (%" PRIu64
                         ")",
                         number, file_size, mem_size);
    }
    if (offset + file_size > size) {
        return error_set(error, -ENOEXEC,
                         "ELF segment %u ends at byte %" PRIu64
                         " of a file of %zu: it is cut short or damaged",
                         number, offset + file_size, size);
    }
    if (number == LOADER_MAX_SEGMENTS) {
        return error_set(error, -E2BIG, "it has more than %d ELF segments to load", LOADER_MAX_SEGMENTS);
    }
    if (!*converted && virtual_entry >= vaddr && virtual_entry - vaddr < mem_size) {
        program->entry = paddr + (virtual_entry - vaddr);
        *converted = true;
    }
    program->segment[program->segment_count++] = (struct loader_segment){
        .dest = paddr, .offset = offset, .file_size = file_size, .mem_size = mem_size};
    return 0;
}

int loader_elf_program(const uint8_t *file, size_t size, struct loader_program *program, struct error *error)
{
    int code = check_elf_header(file, size, error);
    if (code < 0) {
        return code;
    }
    uint64_t table = load_le32(file + EHDR_PHOFF);
    unsigned stride = load_le16(file + EHDR_PHENTSIZE), count = load_le16(file + EHDR_PHNUM);
    if (count && (stride < PHDR_SIZE || table + (uint64_t)count * stride > size)) {
        return error_set(error, -ENOEXEC, "its ELF program headers do not lie inside the file");
    }
    uint64_t entry = load_le32(file + EHDR_ENTRY);
    bool converted = false;
    *program = (struct loader_program){.entry = entry};
    for (unsigned i = 0; i < count; i++) {
        const uint8_t *phdr = file + table + (size_t)i * stride;
        if (load_le32(phdr + PHDR_TYPE) == PT_LOAD) {
            code = add_segment(phdr, size, entry, &converted, program, error);
            if (code < 0) {
                return code;
            }
        }
    }
    return program->segment_count ? 0
                                  : error_set(error, -ENOEXEC, "it is an ELF file without anything to load");
}

int loader_address_program(const struct loader_address_fields *fields, size_t size,
                           struct loader_program *program, struct error *error)
{
    uint64_t load = fields->whole_file ? fields->header_addr - fields->header_offset : fields->load_addr;
    uint64_t before = fields->header_addr - load; /* bytes between the first loaded one and the header */
    if (fields->header_addr < load || before > fields->header_offset) {
        return error_set(error, -ENOEXEC,
                         "the address fields of its header make no sense: header_addr %#" PRIx64
                         ", load_addr %#" PRIx64 ", header at byte %" PRIu64,
                         fields->header_addr, fields->load_addr, fields->header_offset);
    }
    uint64_t offset = fields->header_offset - before;
    uint64_t file_size = fields->load_end_addr ? fields->load_end_addr - load : size - offset;
    if (fields->load_end_addr && (fields->load_end_addr <= load || file_size > size - offset)) {
        return error_set(error, -ENOEXEC,
                         "load_end_addr %#" PRIx64 " of its header does not fit the file: %" PRIu64
                         " bytes can be loaded at %#" PRIx64,
                         fields->load_end_addr, (uint64_t)size - offset, load);
    }
    uint64_t mem_size = fields->bss_end_addr ? fields->bss_end_addr - load : file_size;
    if (fields->bss_end_addr && (fields->bss_end_addr < load || mem_size < file_size)) {
        return error_set(error, -ENOEXEC,
                         "bss_end_addr %#" PRIx64 " of its header lies before the end of the data",
                         fields->bss_end_addr);
    }
    *program = (struct loader_program){.entry = fields->entry_addr, .segment_count = 1};
    program->segment[0] =
        (struct loader_segment){.dest = load, .offset = offset, .file_size = file_size, .mem_size = mem_size};
    return 0;
}

/* --- Placing -------------------------------------------------------------------------------------------- */

void loader_program_bounds(const struct loader_program *program, uint64_t *low, uint64_t *high)
{
    *low = UINT64_MAX;
    *high = 0;
    for (unsigned i = 0; i < program->segment_count; i++) {
        *low = MIN(*low, program->segment[i].dest);
        *high = MAX(*high, program->segment[i].dest + program->segment[i].mem_size);
    }
}

static int place_segment(struct loader *loader, const struct loader_segment *segment)
{
    int code = layout_take(&loader->layout, segment->dest, segment->mem_size, "a segment of the kernel",
                           loader->error);
    if (code == 0 && segment->file_size) {
        code =
            loader_add_entry(loader, LOADER_KERNEL_FILE, segment->dest, segment->file_size, segment->offset);
    }
    if (code == 0 && segment->mem_size > segment->file_size) {
        code = loader_add_entry(loader, "", segment->dest + segment->file_size,
                                segment->mem_size - segment->file_size, 0);
    }
    return code;
}

int loader_place_program(struct loader *loader, const struct loader_program *program)
{
    bool inside = false;
    for (unsigned i = 0; i < program->segment_count; i++) {
        const struct loader_segment *segment = &program->segment[i];
        inside =
            inside || (program->entry >= segment->dest && program->entry - segment->dest < segment->mem_size);
        int code = place_segment(loader, segment);
        if (code < 0) {
            return code;
        }
    }
    if (!inside) {
        return error_set(loader->error, -ENOEXEC, "its entry point %#" PRIx64 " lies in no loaded segment",
                         program->entry);
    }
    return 0;
}

/* --- Sections ------------------------------------------------------------------------------------------- */

/* Is it a table the kernel may want but that no segment holds? Then *bytes of the file from *offset on. */
static bool section_wanted(const uint8_t *shdr, size_t size, uint64_t *offset, uint64_t *bytes)
{
    uint32_t type = load_le32(shdr + SHDR_TYPE);
    *offset = load_le32(shdr + SHDR_OFFSET);
    *bytes = load_le32(shdr + SHDR_SECTION_SIZE);
    return (type == SHT_SYMTAB || type == SHT_STRTAB) && load_le32(shdr + SHDR_ADDR) == 0 && *bytes &&
           *offset + *bytes <= size;
}

/* Gather the tables' bytes in `symbols` and leave, in the copied headers, their offsets there, plus one. */
static void gather_tables(const struct loader *loader, uint8_t *table, unsigned count, struct blob *symbols)
{
    for (unsigned i = 0; i < count; i++) {
        uint8_t *shdr = table + (size_t)i * SHDR_SIZE;
        uint64_t offset, bytes;
        /* Sections that overlap could multiply the file: what comes out is never larger than what went in. */
        if (section_wanted(shdr, loader->kernel_size, &offset, &bytes) &&
            symbols->size + bytes + 16 <= loader->kernel_size) {
            blob_align(symbols, 16);
            store_le32(shdr + SHDR_ADDR, (uint32_t)blob_append(symbols, loader->kernel + offset, bytes) + 1);
        }
    }
}

/* Give the gathered tables their place in guest memory, and the headers their addresses. */
static int place_tables(struct loader *loader, struct loader_sections *sections, const uint8_t *original,
                        struct blob *symbols)
{
    uint64_t place = layout_place(&loader->layout, symbols->size, PAGE_SIZE, layout_high_end(&loader->layout),
                                  4 * GIB, false, "the kernel's symbols", loader->error);
    if (!place) {
        blob_fini(symbols);
        return -ENOMEM;
    }
    for (unsigned i = 0; i < sections->count; i++) {
        uint8_t *address = sections->table + (size_t)i * SHDR_SIZE + SHDR_ADDR;
        uint32_t before = load_le32(original + (size_t)i * SHDR_SIZE + SHDR_ADDR);
        if (load_le32(address) != before) {
            store_le32(address, (uint32_t)place + load_le32(address) - 1);
        }
    }
    size_t size = symbols->size;
    int code = loader_add_file(loader, LOADER_SYMBOL_FILE, symbols->bytes, size);
    return code < 0 ? code : loader_add_entry(loader, LOADER_SYMBOL_FILE, place, size, 0);
}

int loader_elf_sections(struct loader *loader, struct loader_sections *sections)
{
    const uint8_t *file = loader->kernel;
    *sections = (struct loader_sections){0};
    if (!loader_is_elf(file, loader->kernel_size, 1) || loader->kernel_size < EHDR_SIZE) {
        return 0;
    }
    uint64_t table = load_le32(file + EHDR_SHOFF);
    unsigned count = load_le16(file + EHDR_SHNUM);
    if (!table || !count || load_le16(file + EHDR_SHENTSIZE) != SHDR_SIZE ||
        table + (uint64_t)count * SHDR_SIZE > loader->kernel_size) {
        return 0;
    }
    sections->table = malloc((size_t)count * SHDR_SIZE);
    if (!sections->table) {
        return error_set(loader->error, -ENOMEM, "no memory for the section headers");
    }
    memcpy(sections->table, file + table, (size_t)count * SHDR_SIZE);
    sections->count = count;
    sections->entry_size = SHDR_SIZE;
    sections->string_index = load_le16(file + EHDR_SHSTRNDX);
    struct blob symbols;
    blob_init(&symbols);
    gather_tables(loader, sections->table, count, &symbols);
    if (symbols.failed || symbols.size == 0) {
        bool failed = symbols.failed;
        blob_fini(&symbols);
        return failed ? error_set(loader->error, -ENOMEM, "no memory for the kernel's symbols") : 0;
    }
    return place_tables(loader, sections, file + table, &symbols);
}
