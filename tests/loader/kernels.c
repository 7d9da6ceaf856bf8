/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * See kernels.h.
 */
#include "kernels.h"

#include <elf.h>
#include <stdlib.h>

bool is_pattern(const uint8_t *bytes, size_t first, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] != pattern_byte(first + i)) {
            return false;
        }
    }
    return true;
}

static uint8_t *make_pattern(size_t size, size_t first)
{
    uint8_t *bytes = calloc(1, size);
    if (!bytes) {
        abort();
    }
    for (size_t i = first; i < size; i++) {
        bytes[i] = pattern_byte(i - first);
    }
    return bytes;
}

uint8_t *make_bzimage(void)
{
    uint8_t *file = make_pattern(BZIMAGE_SIZE, BZIMAGE_SETUP);
    file[0x1f1] = 4;
    store_le32(file + 0x1f4, (BZIMAGE_CODE + 15) / 16);
    store_le16(file + 0x1fe, 0xaa55);
    file[0x200] = 0xeb;
    file[0x201] = 0x6a;
    memcpy(file + 0x202, "HdrS", 4);
    store_le16(file + 0x206, 0x020f);
    file[0x211] = 1;                      /* LOADED_HIGH */
    store_le32(file + 0x214, 0x100000);   /* code32_start */
    store_le32(file + 0x22c, 0x7fffffff); /* initrd_addr_max */
    store_le32(file + 0x230, 0x1000000);  /* kernel_alignment */
    file[0x234] = 1;                      /* relocatable */
    store_le32(file + 0x238, 2047);       /* cmdline_size */
    store_le32(file + 0x248, 16);         /* payload_offset */
    store_le32(file + 0x24c, 4096);
    store_le64(file + 0x258, 0x1000000); /* pref_address */
    store_le32(file + 0x260, BZIMAGE_INIT_SIZE);
    return file;
}

uint8_t *make_elf(void)
{
    uint8_t *file = make_pattern(ELF_SIZE, ELF_SEGMENT1);
    Elf32_Ehdr header = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS32, ELFDATA2LSB, EV_CURRENT},
                         .e_type = ET_EXEC,
                         .e_machine = EM_386,
                         .e_version = EV_CURRENT,
                         .e_entry = ELF_ENTRY,
                         .e_phoff = sizeof(Elf32_Ehdr),
                         .e_shoff = ELF_SECTIONS,
                         .e_ehsize = sizeof(Elf32_Ehdr),
                         .e_phentsize = sizeof(Elf32_Phdr),
                         .e_phnum = 2,
                         .e_shentsize = sizeof(Elf32_Shdr),
                         .e_shnum = 4,
                         .e_shstrndx = 3};
    Elf32_Phdr segment[2] = {{.p_type = PT_LOAD,
                              .p_offset = ELF_SEGMENT1,
                              .p_vaddr = 0x100000,
                              .p_paddr = 0x100000,
                              .p_filesz = 0x400,
                              .p_memsz = 0x400},
                             {.p_type = PT_LOAD,
                              .p_offset = ELF_SEGMENT2,
                              .p_vaddr = 0x101000,
                              .p_paddr = 0x101000,
                              .p_filesz = 0x200,
                              .p_memsz = 0x1200}};
    Elf32_Shdr section[4] = {
        {.sh_type = SHT_NULL},
        {.sh_type = SHT_PROGBITS, .sh_addr = 0x100000, .sh_offset = ELF_SEGMENT1, .sh_size = 0x400},
        {.sh_type = SHT_SYMTAB, .sh_offset = ELF_SEGMENT2, .sh_size = 0x200},
        {.sh_type = SHT_STRTAB, .sh_offset = ELF_STRTAB, .sh_size = 0x10}};
    memcpy(file, &header, sizeof(header));
    memcpy(file + sizeof(header), segment, sizeof(segment));
    memcpy(file + ELF_SECTIONS, section, sizeof(section));
    return file;
}

void put_multiboot1(uint8_t *file, size_t at, uint32_t flags)
{
    store_le32(file + at, 0x1badb002);
    store_le32(file + at + 4, flags);
    store_le32(file + at + 8, -(0x1badb002 + flags));
}

void put_multiboot2(uint8_t *file, size_t at, const void *tags, size_t size)
{
    uint32_t length = (uint32_t)(16 + size + 8);
    store_le32(file + at, 0xe85250d6);
    store_le32(file + at + 4, 0);
    store_le32(file + at + 8, length);
    store_le32(file + at + 12, -(0xe85250d6 + length));
    if (size) {
        memcpy(file + at + 16, tags, size);
    }
    store_le32(file + at + 16 + size, 0);
    store_le32(file + at + 16 + size + 4, 8);
}
