/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * vm/loader_multiboot[12] and loader_elf: headers, placement, information, modules, and files that lie.
 */
#include <criterion/criterion.h>
#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "fake_guest.h"
#include "kernels.h"
#include "roms/roms.h"

#define RAM_END (64 * MIB)

static struct loader_config config_for(const uint8_t *kernel, size_t size)
{
    return (struct loader_config){
        .kernel = "kernel", .kernel_bytes = kernel, .kernel_size = size, .ram_end = RAM_END};
}

static struct fake_guest boot(const struct loader_config *config, struct loader_image *image)
{
    struct error error = {""};
    cr_assert_eq(loader_prepare(image, config, &error), 0, "%s", error.text);
    struct fake_guest guest = fake_guest_create(RAM_END);
    cr_assert(fake_guest_boot(&guest, image, &error), "%s", error.text);
    cr_assert_eq(image->header.kind, BOOTLIST_MULTIBOOT);
    return guest;
}

static void expect_refusal(const struct loader_config *config, const char *reason)
{
    struct loader_image image;
    struct error error = {""};
    cr_assert_lt(loader_prepare(&image, config, &error), 0, "should be refused: %s", reason);
    cr_assert(is_one_line(&error) && strstr(error.text, reason), "expected '%s' in '%s'", reason, error.text);
    cr_assert_eq(image.file_count, 0, "nothing is left behind");
}

static void finish(struct fake_guest *guest, struct loader_image *image)
{
    loader_image_fini(image);
    fake_guest_destroy(guest);
}

/* --- Multiboot 1 ---------------------------------------------------------------------------------------- */

Test(multiboot1, an_elf_kernel_is_loaded_by_segments)
{
    uint8_t *kernel = make_elf();
    put_multiboot1(kernel, ELF_HEADER_PLACE, 3);
    struct loader_config config = config_for(kernel, ELF_SIZE);
    struct loader_image image;
    config.append = "one two";
    struct fake_guest guest = boot(&config, &image);
    cr_assert_eq(image.header.eax, 0x2badb002);
    cr_assert_eq(image.header.entry, ELF_ENTRY);
    cr_assert_arr_eq(guest.ram + 0x100000, kernel + ELF_SEGMENT1, 0x400);
    cr_assert_arr_eq(guest.ram + 0x101000, kernel + ELF_SEGMENT2, 0x200);
    for (size_t i = 0x200; i < 0x1200; i++) {
        cr_assert_eq(guest.ram[0x101000 + i], 0, "bss");
    }
    const uint8_t *info = guest.ram + image.header.info;
    cr_assert_lt(image.header.info, 0xa0000, "the information lies low");
    cr_assert_eq(load_le32(info) & ~0x26du, 0,
                 "memory, command line, modules, sections, map, loader name: %#x", load_le32(info));
    cr_assert_str_eq((char *)guest.ram + load_le32(info + 16), "kernel one two");
    cr_assert_str_eq((char *)guest.ram + load_le32(info + 64), "hypatia");
    cr_assert_eq(load_le32(info + 20), 0, "no modules");
    cr_assert_eq(image.header.e820_form, BOOTLIST_E820_MULTIBOOT1);
    cr_assert_eq(image.header.e820_dest, load_le32(info + 48), "mmap_addr");
    cr_assert_eq(image.header.e820_count_dest, image.header.info + 44);
    cr_assert_eq(image.header.meminfo_dest, image.header.info + 4);
    finish(&guest, &image);
    free(kernel);
}

Test(multiboot1, a_virtual_entry_point_is_converted)
{
    uint8_t *kernel = make_elf();
    put_multiboot1(kernel, ELF_HEADER_PLACE, 0);
    Elf32_Phdr *segment = (Elf32_Phdr *)(kernel + sizeof(Elf32_Ehdr));
    segment[0].p_vaddr = 0xc0100000;
    segment[1].p_vaddr = 0xc0101000;
    ((Elf32_Ehdr *)kernel)->e_entry = 0xc0100020;
    struct loader_config config = config_for(kernel, ELF_SIZE);
    struct loader_image image;
    struct fake_guest guest = boot(&config, &image);
    cr_assert_eq(image.header.entry, 0x100020);
    finish(&guest, &image);
    ((Elf32_Ehdr *)kernel)->e_entry = 0x100030; /* physical already: stays */
    guest = boot(&config, &image);
    cr_assert_eq(image.header.entry, 0x100030);
    finish(&guest, &image);
    free(kernel);
}

Test(multiboot1, symbols_are_loaded_and_their_sections_get_addresses)
{
    uint8_t *kernel = make_elf();
    put_multiboot1(kernel, ELF_HEADER_PLACE, 0);
    struct loader_config config = config_for(kernel, ELF_SIZE);
    struct loader_image image;
    struct fake_guest guest = boot(&config, &image);
    const uint8_t *info = guest.ram + image.header.info;
    cr_assert(load_le32(info) & 1u << 5);
    cr_assert_eq(load_le32(info + 28), 4);
    cr_assert_eq(load_le32(info + 32), 40);
    cr_assert_eq(load_le32(info + 40), 3);
    const Elf32_Shdr *section = (const Elf32_Shdr *)(guest.ram + load_le32(info + 36));
    cr_assert_eq(section[0].sh_addr, 0);
    cr_assert_eq(section[1].sh_addr, 0x100000);
    cr_assert_geq(section[2].sh_addr, 0x102200, "above the kernel");
    cr_assert_arr_eq(guest.ram + section[2].sh_addr, kernel + ELF_SEGMENT2, 0x200);
    cr_assert_arr_eq(guest.ram + section[3].sh_addr, kernel + ELF_STRTAB, 0x10);
    finish(&guest, &image);
    free(kernel);
}

Test(multiboot1, address_fields_win_over_elf)
{
    uint8_t *kernel = make_elf();
    const size_t at = ELF_HEADER_PLACE;
    put_multiboot1(kernel, at, 1u << 16);
    store_le32(kernel + at + 12, 0x200000 + 0x100); /* header_addr: 100h bytes of the image come before it */
    store_le32(kernel + at + 16, 0x200000);
    store_le32(kernel + at + 20, 0x200000 + 0x300);
    store_le32(kernel + at + 24, 0x200000 + 0x1000);
    store_le32(kernel + at + 28, 0x200040);
    struct loader_config config = config_for(kernel, ELF_SIZE);
    struct loader_image image;
    struct fake_guest guest = boot(&config, &image);
    cr_assert_eq(image.header.entry, 0x200040);
    cr_assert_arr_eq(guest.ram + 0x200000, kernel + at - 0x100, 0x300);
    cr_assert_eq(guest.ram[0x200300], 0);
    finish(&guest, &image);
    store_le32(kernel + at + 20, 0); /* load_end_addr 0: to the end of the file */
    store_le32(kernel + at + 24, 0);
    guest = boot(&config, &image);
    cr_assert_arr_eq(guest.ram + 0x200000, kernel + at - 0x100, ELF_SIZE - at + 0x100);
    finish(&guest, &image);
    free(kernel);
}

Test(multiboot1, address_fields_that_make_no_sense_are_refused)
{
    const struct {
        uint32_t header, load, load_end, bss_end, entry;
        const char *reason;
    } bad[] = {
        {0x1fffff, 0x200000, 0, 0, 0x200000, "make no sense"}, /* header before the image */
        {0x200201, 0x200000, 0, 0, 0x200000, "make no sense"}, /* begins before the file */
        {0xffffffff, 0, 0, 0, 0x200000, "make no sense"},
        {0x200100, 0x200000, 0x1fffff, 0, 0x200000, "load_end_addr"},
        {0x200100, 0x200000, 0x200000, 0, 0x200000, "load_end_addr"},
        {0x200100, 0x200000, 0x200000 + ELF_SIZE, 0, 0x200000, "load_end_addr"},
        {0x200100, 0x200000, 0xffffffff, 0, 0x200000, "load_end_addr"},
        {0x200100, 0x200000, 0x200200, 0x2001ff, 0x200000, "bss_end_addr"},
        {0x200100, 0x200000, 0x200200, 0xffffffff, 0x200000, "needs memory up to"},
        {0x200100, 0x200000, 0x200200, 0x200300, 0x200300, "entry point"},
        {0x200100, 0x200000, 0x200200, 0x200300, 0x1fffff, "entry point"},
        {0xffffff00, 0xfffffe00, 0, 0, 0xffffff00, "needs memory up to"},
        {0xa0100, 0xa0000, 0xa0200, 0, 0xa0000, "not free RAM"},
    };
    uint8_t *kernel = make_elf();
    struct loader_config config = config_for(kernel, ELF_SIZE);
    put_multiboot1(kernel, ELF_HEADER_PLACE, 1u << 16);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        store_le32(kernel + ELF_HEADER_PLACE + 12, bad[i].header);
        store_le32(kernel + ELF_HEADER_PLACE + 16, bad[i].load);
        store_le32(kernel + ELF_HEADER_PLACE + 20, bad[i].load_end);
        store_le32(kernel + ELF_HEADER_PLACE + 24, bad[i].bss_end);
        store_le32(kernel + ELF_HEADER_PLACE + 28, bad[i].entry);
        expect_refusal(&config, bad[i].reason);
    }
    free(kernel);
}

Test(multiboot1, a_wish_for_video_is_answered_with_text)
{
    uint8_t *kernel = make_elf();
    put_multiboot1(kernel, ELF_HEADER_PLACE, 4);
    struct loader_config config = config_for(kernel, ELF_SIZE);
    struct loader_image image;
    struct fake_guest guest = boot(&config, &image);
    const uint8_t *info = guest.ram + image.header.info;
    cr_assert(load_le32(info) & 1u << 12);
    cr_assert_eq(load_le64(info + 88), 0xb8000);
    cr_assert_eq(load_le32(info + 100), 80);
    cr_assert_eq(load_le32(info + 104), 25);
    cr_assert_eq(info[109], 2, "EGA text");
    finish(&guest, &image);
    free(kernel);
}

Test(multiboot1, unknown_required_features_are_refused)
{
    uint8_t *kernel = make_elf();
    struct loader_config config = config_for(kernel, ELF_SIZE);
    for (unsigned bit = 3; bit < 16; bit++) {
        put_multiboot1(kernel, ELF_HEADER_PLACE, 1u << bit);
        expect_refusal(&config, "requires features");
    }
    for (unsigned bit = 17; bit < 32; bit++) { /* these may be ignored */
        struct loader_image image;
        put_multiboot1(kernel, ELF_HEADER_PLACE, 1u << bit);
        struct fake_guest guest = boot(&config, &image);
        finish(&guest, &image);
    }
    free(kernel);
}

Test(multiboot1, modules_follow_the_kernel_page_by_page)
{
    uint8_t *kernel = make_elf();
    put_multiboot1(kernel, ELF_HEADER_PLACE, 1);
    char *first = write_temporary("first module", 12), *second = write_temporary("2", 1);
    char *third = write_temporary("", 0);
    char list[256];
    snprintf(list, sizeof(list), "%s with arguments,%s a,,b,%s", first, second, third);
    struct loader_config config = config_for(kernel, ELF_SIZE);
    struct loader_image image;
    config.initrd = list;
    struct fake_guest guest = boot(&config, &image);
    const uint8_t *info = guest.ram + image.header.info;
    const uint8_t *module = guest.ram + load_le32(info + 24);
    cr_assert_eq(load_le32(info + 20), 3);
    cr_assert_eq(load_le32(module) % 4096, 0);
    cr_assert_geq(load_le32(module), 0x102200);
    cr_assert_eq(load_le32(module + 4) - load_le32(module), 12);
    cr_assert_arr_eq(guest.ram + load_le32(module), "first module", 12);
    cr_assert_eq(guest.ram[load_le32(module + 16)], '2');
    cr_assert_eq(load_le32(module + 32), load_le32(module + 36), "the third is empty");
    cr_assert_str_eq((char *)guest.ram + load_le32(module + 16 + 8) + strlen(second), " a,b");
    cr_assert(strstr((char *)guest.ram + load_le32(module + 8), " with arguments"));
    finish(&guest, &image);
    char *const paths[] = {first, second, third};
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        unlink(paths[i]);
        free(paths[i]);
    }
    free(kernel);
}

Test(multiboot1, modules_that_do_not_exist_or_are_too_many_are_refused)
{
    uint8_t *kernel = make_elf();
    put_multiboot1(kernel, ELF_HEADER_PLACE, 1);
    struct loader_config config = config_for(kernel, ELF_SIZE);
    config.initrd = "/nonexistent/module x";
    expect_refusal(&config, "cannot open '/nonexistent/module'");
    config.initrd = "";
    expect_refusal(&config, "cannot open ''");
    char list[LOADER_MAX_MODULES * 16 + 16] = "";
    for (unsigned i = 0; i <= LOADER_MAX_MODULES; i++) {
        strcat(list, i ? ",/dev/null" : "/dev/null");
    }
    config.initrd = list;
    expect_refusal(&config, "more than 32 modules");
    free(kernel);
}

/* --- Multiboot 2 ---------------------------------------------------------------------------------------- */

/* The first information tag of a type, or NULL; walks as a kernel would, up to where the map will stand. */
static const uint8_t *find_tag(const struct fake_guest *guest, const struct loader_image *image,
                               uint32_t type)
{
    uint32_t at = image->header.info + 8;
    while (at < image->header.e820_dest) {
        const uint8_t *tag = guest->ram + at;
        cr_assert_geq(load_le32(tag + 4), 8);
        if (load_le32(tag) == type) {
            return tag;
        }
        at += (load_le32(tag + 4) + 7) & ~7u;
    }
    cr_assert_eq(at, image->header.e820_dest, "the map follows the last tag");
    return NULL;
}

Test(multiboot2, the_information_is_a_list_of_tags)
{
    uint8_t *kernel = make_elf();
    const uint8_t rsdp[20] = "RSD PTR ";
    put_multiboot2(kernel, ELF_HEADER_PLACE, NULL, 0);
    char *file = write_temporary("module", 6);
    struct loader_config config = config_for(kernel, ELF_SIZE);
    struct loader_image image;
    config.append = "hello";
    config.initrd = file;
    config.rsdp = rsdp;
    config.rsdp_size = sizeof(rsdp);
    struct fake_guest guest = boot(&config, &image);
    cr_assert_eq(image.header.eax, 0x36d76289);
    cr_assert_eq(image.header.entry, ELF_ENTRY);
    cr_assert_eq(image.header.info % 8, 0);
    cr_assert_eq(image.header.e820_dest % 8, 0);
    cr_assert_eq(image.header.e820_form, BOOTLIST_E820_MULTIBOOT2);
    cr_assert_str_eq((char *)find_tag(&guest, &image, 1) + 8, "kernel hello");
    cr_assert_str_eq((char *)find_tag(&guest, &image, 2) + 8, "hypatia");
    const uint8_t *module = find_tag(&guest, &image, 3);
    cr_assert_arr_eq(guest.ram + load_le32(module + 8), "module", 6);
    cr_assert_eq(load_le32(module + 12) - load_le32(module + 8), 6);
    cr_assert_str_eq((char *)module + 16, file);
    cr_assert_eq(guest.ram + image.header.meminfo_dest, find_tag(&guest, &image, 4) + 8);
    cr_assert_eq(load_le64(find_tag(&guest, &image, 8) + 8), 0xb8000);
    cr_assert_eq(load_le32(find_tag(&guest, &image, 9) + 8), 4, "section headers");
    cr_assert_arr_eq(find_tag(&guest, &image, 14) + 8, rsdp, 20);
    cr_assert_null(find_tag(&guest, &image, 21), "not relocatable: no load base");
    finish(&guest, &image);
    unlink(file);
    free(file);
    free(kernel);
}

Test(multiboot2, address_and_entry_tags_replace_elf)
{
    uint8_t *kernel = make_elf();
    struct {
        uint16_t type, flags;
        uint32_t size, header, load, load_end, bss_end;
        uint16_t type2, flags2;
        uint32_t size2, entry, pad;
    } tags = {2, 0, 24, 0x300000 + ELF_HEADER_PLACE, UINT32_MAX, 0, 0, 3, 0, 12, 0x300100, 0};
    put_multiboot2(kernel, ELF_HEADER_PLACE, &tags, sizeof(tags));
    struct loader_config config = config_for(kernel, ELF_SIZE);
    struct loader_image image;
    struct fake_guest guest = boot(&config, &image);
    cr_assert_eq(image.header.entry, 0x300100);
    cr_assert_arr_eq(guest.ram + 0x300000, kernel, ELF_SIZE, "load_addr -1: the whole file");
    finish(&guest, &image);
    put_multiboot2(kernel, ELF_HEADER_PLACE, &tags, 24);
    expect_refusal(&config, "no entry address tag");
    tags.header = ELF_HEADER_PLACE - 1;
    put_multiboot2(kernel, ELF_HEADER_PLACE, &tags, sizeof(tags));
    expect_refusal(&config, "make no sense");
    free(kernel);
}

Test(multiboot2, a_relocatable_kernel_goes_where_it_prefers)
{
    struct {
        uint16_t type, flags;
        uint32_t size, min, max, align, preference;
    } tag = {10, 0, 24, 0x200000, 0x2ffffff, 0x100000, 0};
    const struct {
        uint32_t min, preference, base;
    } cases[] = {{0x100000, 0, 0x100000},  /* none: as linked */
                 {0x200000, 0, 0x200000},  /* none, but not as linked */
                 {0x200000, 1, 0x200000},  /* lowest */
                 {0x200000, 2, 0x2f00000}, /* highest */
                 {0x100000, 2, 0x2f00000}};
    uint8_t *kernel = make_elf();
    struct loader_config config = config_for(kernel, ELF_SIZE);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct loader_image image;
        tag.min = cases[i].min;
        tag.preference = cases[i].preference;
        put_multiboot2(kernel, ELF_HEADER_PLACE, &tag, sizeof(tag));
        struct fake_guest guest = boot(&config, &image);
        cr_assert_eq(image.header.entry, cases[i].base + 0x10, "case %zu", i);
        cr_assert_arr_eq(guest.ram + cases[i].base, kernel + ELF_SEGMENT1, 0x400);
        cr_assert_arr_eq(guest.ram + cases[i].base + 0x1000, kernel + ELF_SEGMENT2, 0x200);
        cr_assert_eq(load_le32(find_tag(&guest, &image, 21) + 8), cases[i].base);
        finish(&guest, &image);
    }
    tag.align = 3;
    put_multiboot2(kernel, ELF_HEADER_PLACE, &tag, sizeof(tag));
    expect_refusal(&config, "relocatable tag");
    tag.align = 0x1000;
    tag.max = tag.min - 1;
    put_multiboot2(kernel, ELF_HEADER_PLACE, &tag, sizeof(tag));
    expect_refusal(&config, "relocatable tag");
    tag.max = tag.min;
    put_multiboot2(kernel, ELF_HEADER_PLACE, &tag, sizeof(tag));
    tag.preference = 1;
    tag.min = tag.max = 0x30000000;
    put_multiboot2(kernel, ELF_HEADER_PLACE, &tag, sizeof(tag));
    expect_refusal(&config, "no room for the relocatable kernel");
    free(kernel);
}

Test(multiboot2, requests_that_cannot_be_met_are_refused_unless_optional)
{
    struct {
        uint16_t type, flags;
        uint32_t size, request[2];
    } tag = {1, 0, 16, {6, 99}};
    uint8_t *kernel = make_elf();
    struct loader_config config = config_for(kernel, ELF_SIZE);
    struct loader_image image;
    put_multiboot2(kernel, ELF_HEADER_PLACE, &tag, sizeof(tag));
    expect_refusal(&config, "information tag 99");
    tag.flags = 1;
    put_multiboot2(kernel, ELF_HEADER_PLACE, &tag, sizeof(tag));
    struct fake_guest guest = boot(&config, &image);
    finish(&guest, &image);
    tag.type = 77;
    put_multiboot2(kernel, ELF_HEADER_PLACE, &tag, sizeof(tag));
    guest = boot(&config, &image);
    finish(&guest, &image);
    tag.flags = 0;
    put_multiboot2(kernel, ELF_HEADER_PLACE, &tag, sizeof(tag));
    expect_refusal(&config, "requires tag 77");
    tag.type = 4; /* console flags, and others that need nothing */
    put_multiboot2(kernel, ELF_HEADER_PLACE, &tag, sizeof(tag));
    guest = boot(&config, &image);
    finish(&guest, &image);
    tag.size = 7;
    put_multiboot2(kernel, ELF_HEADER_PLACE, &tag, sizeof(tag));
    expect_refusal(&config, "impossible size");
    tag.size = 0x1000;
    put_multiboot2(kernel, ELF_HEADER_PLACE, &tag, sizeof(tag));
    expect_refusal(&config, "impossible size");
    tag.type = 2;
    tag.size = 16;
    put_multiboot2(kernel, ELF_HEADER_PLACE, &tag, sizeof(tag));
    expect_refusal(&config, "has only 16 bytes");
    free(kernel);
}

/* --- Which header --------------------------------------------------------------------------------------- */

Test(multiboot, version_1_wins_unless_2_is_asked_for)
{
    uint8_t *kernel = make_elf();
    put_multiboot1(kernel, ELF_HEADER_PLACE, 0);
    put_multiboot2(kernel, ELF_HEADER_PLACE + 0x40, NULL, 0);
    const uint32_t magic[3] = {0x2badb002, 0x2badb002, 0x36d76289};
    struct loader_config config = config_for(kernel, ELF_SIZE);
    for (unsigned wanted = 0; wanted < 3; wanted++) {
        struct loader_image image;
        config.multiboot = (enum loader_multiboot)wanted;
        struct fake_guest guest = boot(&config, &image);
        cr_assert_eq(image.header.eax, magic[wanted]);
        finish(&guest, &image);
    }
    store_le32(kernel + ELF_HEADER_PLACE, 0);
    config.multiboot = LOADER_MULTIBOOT_1;
    expect_refusal(&config, "no Multiboot 1 header, only one of version 2");
    config.multiboot = LOADER_MULTIBOOT_AUTO;
    struct loader_image image;
    struct fake_guest guest = boot(&config, &image);
    cr_assert_eq(image.header.eax, 0x36d76289);
    finish(&guest, &image);
    free(kernel);
}

Test(multiboot, headers_count_only_where_they_are_looked_for)
{
    size_t size = 40000;
    uint8_t *file = calloc(1, size);
    const struct {
        size_t at;
        bool v1, found;
    } cases[] = {{8192 - 12, true, true},   {8192 - 8, true, false},   {2, true, false},
                 {32768 - 24, false, true}, {32768 - 16, false, true}, {32768 - 8, false, false},
                 {4, false, false}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        memset(file, 0, size);
        if (cases[i].v1) {
            put_multiboot1(file, cases[i].at, 0);
        } else {
            put_multiboot2(file, cases[i].at, NULL, 0);
        }
        struct loader_config config = config_for(file, size);
        expect_refusal(&config, cases[i].found ? "not ELF" : "neither");
    }
    free(file);
}

Test(multiboot, what_is_no_kernel_is_told_apart)
{
    uint8_t *kernel = make_elf();
    struct loader_config config = config_for(kernel, ELF_SIZE);
    expect_refusal(&config, "no valid Multiboot header");
    config.kernel_bytes = (const uint8_t *)"#!/bin/sh\n";
    config.kernel_size = 10;
    expect_refusal(&config, "neither a Linux bzImage nor a Multiboot kernel");
    config.kernel_bytes = kernel;
    config.kernel_size = ELF_SIZE;
    put_multiboot1(kernel, ELF_HEADER_PLACE, 0);
    Elf32_Ehdr *header = (Elf32_Ehdr *)kernel;
    header->e_machine = EM_ARM;
    expect_refusal(&config, "not for the i386");
    header->e_machine = EM_386;
    header->e_type = ET_REL;
    expect_refusal(&config, "link it");
    header->e_type = ET_EXEC;
    header->e_phnum = 0;
    expect_refusal(&config, "without anything to load");
    header->e_phnum = 0xffff;
    expect_refusal(&config, "program headers");
    header->e_phnum = 2;
    header->e_phoff = UINT32_MAX;
    expect_refusal(&config, "program headers");
    header->e_phoff = sizeof(*header);
    header->e_phentsize = 31;
    expect_refusal(&config, "program headers");
    header->e_phentsize = 32;
    header->e_entry = 0x99;
    expect_refusal(&config, "entry point 0x99");
    header->e_ident[EI_CLASS] = ELFCLASS64;
    expect_refusal(&config, "64-bit ELF");
    free(kernel);
    struct loader_config absent = {.kernel = "/nonexistent/kernel", .ram_end = RAM_END};
    expect_refusal(&absent, "cannot open '/nonexistent/kernel'");
    absent.kernel = "/tmp";
    expect_refusal(&absent, "Is a directory");
    absent.kernel = "/dev/zero";
    expect_refusal(&absent, "larger than");
}

Test(multiboot, segments_that_lie_are_refused)
{
    const struct {
        uint32_t offset, paddr, filesz, memsz;
        const char *reason;
    } bad[] = {
        {0, 0x200000, 10, 5, "more bytes in the file"},
        {ELF_SIZE, 0x200000, 1, 1, "ends at byte"},
        {UINT32_MAX, 0x200000, UINT32_MAX, UINT32_MAX, "ends at byte"},
        {0, 0x200000, 0, UINT32_MAX, "needs memory up to"},
        {0, 0xffffffff, 1, UINT32_MAX, "needs memory up to"},
        {0, 0x1003ff, 1, 1, "overlaps"},
        {0, 0x9f000, 1, 0x1000, "not free RAM"},
        {0, 0, 1, 1, "not free RAM"},
        {0, 0x7c00, 1, 1, "work area"},
    };
    uint8_t *kernel = make_elf();
    struct loader_config config = config_for(kernel, ELF_SIZE);
    put_multiboot1(kernel, ELF_HEADER_PLACE, 0);
    Elf32_Phdr *segment = (Elf32_Phdr *)(kernel + sizeof(Elf32_Ehdr)) + 1;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        segment->p_offset = bad[i].offset;
        segment->p_paddr = bad[i].paddr;
        segment->p_filesz = bad[i].filesz;
        segment->p_memsz = bad[i].memsz;
        expect_refusal(&config, bad[i].reason);
    }
    free(kernel);
}

/* --- Hostile files -------------------------------------------------------------------------------------- */

static void try_file(const uint8_t *bytes, size_t size, struct fake_guest *guest, unsigned *accepted)
{
    struct loader_config config = config_for(bytes, size);
    for (unsigned wanted = 1; wanted <= 2; wanted++) {
        struct loader_image image;
        struct error error = {""};
        config.multiboot = (enum loader_multiboot)wanted;
        if (loader_prepare(&image, &config, &error) == 0) {
            cr_assert(fake_guest_boot(guest, &image, &error), "%s", error.text);
            loader_image_fini(&image);
            (*accepted)++;
        } else {
            cr_assert(is_one_line(&error), "'%s'", error.text);
        }
    }
}

static uint8_t *make_both(void)
{
    const struct {
        uint16_t type, flags;
        uint32_t size, v[4];
    } tags[2] = {{1, 1, 24, {1, 2, 3, 4}}, {10, 0, 24, {0x100000, 0x3ffffff, 0x1000, 1}}};
    uint8_t *kernel = make_elf();
    put_multiboot1(kernel, ELF_HEADER_PLACE, 3);
    put_multiboot2(kernel, ELF_HEADER_PLACE + 0x40, tags, sizeof(tags));
    return kernel;
}

Test(multiboot, every_truncation_is_survived)
{
    uint8_t *kernel = make_both();
    struct fake_guest guest = fake_guest_create(RAM_END);
    unsigned accepted = 0;
    for (size_t size = 0; size < ELF_SIZE; size++) {
        uint8_t *cut = malloc(size ? size : 1); /* exact, so that a sanitizer sees every byte too far */
        memcpy(cut, kernel, size);
        try_file(cut, size, &guest, &accepted);
        cr_assert(size >= ELF_STRTAB || accepted == 0, "a segment is missing at %zu bytes", size);
        free(cut);
    }
    cr_assert_eq(accepted, 2 * (ELF_SIZE - ELF_STRTAB), "what is cut off the sections does not matter");
    fake_guest_destroy(&guest);
    free(kernel);
}

Test(multiboot, random_changes_do_no_harm)
{
    const size_t regions[][2] = {
        {0, 52 + 64}, {ELF_HEADER_PLACE + 4, 8}, {ELF_HEADER_PLACE + 0x50, 56}, {ELF_SECTIONS, 160}};
    uint8_t *kernel = make_both(), *mutated = malloc(ELF_SIZE);
    struct fake_guest guest = fake_guest_create(RAM_END);
    uint64_t seed = 2;
    unsigned accepted = 0;
    for (unsigned round = 0; round < 20000; round++) {
        memcpy(mutated, kernel, ELF_SIZE);
        for (unsigned i = 0; i <= round % 3; i++) {
            const size_t *region = regions[random_next(&seed) % ARRAY_LEN(regions)];
            uint32_t kind = random_next(&seed);
            mutated[region[0] + random_next(&seed) % region[1]] = kind % 4 == 0   ? 0
                                                                  : kind % 4 == 1 ? 0xff
                                                                                  : (uint8_t)(kind >> 8);
        }
        store_le32(mutated + ELF_HEADER_PLACE + 8, -(0x1badb002 + load_le32(mutated + ELF_HEADER_PLACE + 4)));
        try_file(mutated, ELF_SIZE, &guest, &accepted);
    }
    cr_assert_gt(accepted, 1000, "the mutations are not all so wild that nothing is tested");
    fake_guest_destroy(&guest);
    free(mutated);
    free(kernel);
}

Test(multiboot, random_address_fields_do_no_harm)
{
    uint8_t *kernel = make_elf();
    struct fake_guest guest = fake_guest_create(RAM_END);
    struct loader_config config = config_for(kernel, ELF_SIZE);
    uint64_t seed = 3;
    unsigned accepted = 0;
    put_multiboot1(kernel, ELF_HEADER_PLACE, 1u << 16);
    for (unsigned round = 0; round < 20000; round++) {
        struct loader_image image;
        struct error error = {""};
        for (unsigned field = 0; field < 5; field++) {
            uint32_t kind = random_next(&seed);
            uint32_t value = kind % 8 == 0   ? 0
                             : kind % 8 == 1 ? random_next(&seed)
                                             : 0x200000 + random_next(&seed) % 0x600;
            store_le32(kernel + ELF_HEADER_PLACE + 12 + 4 * field, value);
        }
        if (loader_prepare(&image, &config, &error) == 0) {
            cr_assert(fake_guest_boot(&guest, &image, &error), "%s", error.text);
            loader_image_fini(&image);
            accepted++;
        } else {
            cr_assert(is_one_line(&error));
        }
    }
    cr_assert_gt(accepted, 100);
    fake_guest_destroy(&guest);
    free(kernel);
}

/* --- A real one ----------------------------------------------------------------------------------------- */

Test(multiboot, the_teaching_kernel_loads_by_both_headers)
{
    struct loader_config config = config_for(rom_kernel, rom_kernel_size);
    for (unsigned wanted = 1; wanted <= 2; wanted++) {
        struct loader_image image;
        config.multiboot = (enum loader_multiboot)wanted;
        struct fake_guest guest = boot(&config, &image);
        cr_assert_geq(image.header.entry, 0x100000);
        finish(&guest, &image);
    }
}
