/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The embedded images as a BIOS, a processor out of reset, and a Multiboot loader see them.
 *
 * Follows the BIOS Boot Specification 1.01 (option ROM and PnP headers), SDM Volume 3A "Processor
 * Initialization", Multiboot 0.6.96 and Multiboot2 2.0. Whether the code in them works is qemu_boot.sh's
 * question.
 */
#include <criterion/criterion.h>
#include <elf.h>
#include <stdbool.h>
#include <string.h>

#include "roms/boot/bootlist.h"
#include "roms/roms.h"

static uint32_t read_u16(const uint8_t *bytes)
{
    return (uint32_t)(bytes[0] | bytes[1] << 8);
}

static uint32_t read_u32(const uint8_t *bytes)
{
    return read_u16(bytes) | read_u16(bytes + 2) << 16;
}

static uint8_t sum(const uint8_t *bytes, size_t length)
{
    uint8_t total = 0;

    for (size_t i = 0; i < length; i++) {
        total = (uint8_t)(total + bytes[i]);
    }
    return total;
}

Test(roms, system_rom_is_64_kib_and_starts_at_its_reset_vector)
{
    const uint8_t *reset = rom_bootrom + 0xfff0;

    cr_assert_eq(rom_bootrom_size, 0x10000);
    cr_assert_eq(reset[0], 0xea, "a far jump");
    cr_assert_eq(read_u16(reset + 3), 0xf000, "into the segment at F0000h");
    cr_assert_eq(rom_bootrom[read_u16(reset + 1)], 0xfa, "where CLI is");
}

Test(roms, option_rom_has_signature_size_and_checksum)
{
    cr_assert_eq(read_u16(rom_bootopt), 0xaa55);
    cr_assert_eq(rom_bootopt[2] * 512u, rom_bootopt_size);
    cr_assert_eq(sum(rom_bootopt, rom_bootopt_size), 0);
    cr_assert_eq(rom_bootopt[3], 0xeb, "an initialisation entry: a short jump");
}

Test(roms, option_rom_offers_itself_as_a_boot_device)
{
    const uint8_t *header = rom_bootopt + read_u16(rom_bootopt + 0x1a);
    uint32_t vector = read_u16(header + 0x1a);

    cr_assert_lt(read_u16(rom_bootopt + 0x1a) + 32u, rom_bootopt_size);
    cr_assert_eq(memcmp(header, "$PnP", 4), 0);
    cr_assert_eq(header[5], 2, "32 bytes");
    cr_assert_eq(sum(header, 32), 0);
    cr_assert_eq(read_u16(header + 0x16), 0, "no boot connection vector: a BIOS would prefer it");
    cr_assert(vector > 0x1c && vector < rom_bootopt_size);
    cr_assert_eq(rom_bootopt[vector], 0xfa, "the bootstrap entry vector begins with CLI");
    cr_assert_str_eq((const char *)rom_bootopt + read_u16(header + 0x10), "Hypatia kernel loader");
}

Test(roms, both_roms_look_for_the_boot_list_under_the_name_in_bootlist_h)
{
    static const char name[] = BOOTLIST_FILE;

    cr_assert_not_null(memmem(rom_bootrom, rom_bootrom_size, name, sizeof name));
    cr_assert_not_null(memmem(rom_bootopt, rom_bootopt_size, name, sizeof name));
}

/* Offset of the first `magic` at a multiple of `step` below `limit`, or `limit`. */
static size_t find_magic(uint32_t magic, size_t step, size_t limit)
{
    size_t at = 0;

    while (at < limit && read_u32(rom_kernel + at) != magic) {
        at += step;
    }
    return at;
}

Test(roms, kernel_has_both_multiboot_headers_where_loaders_look)
{
    size_t one = find_magic(0x1badb002, 4, 8192), two = find_magic(0xe85250d6, 8, 8192);
    const uint8_t *header = rom_kernel + two;

    cr_assert_lt(one, 8192);
    cr_assert_lt(two, 8192, "32 KiB would be allowed");
    cr_assert_eq(read_u32(rom_kernel + one) + read_u32(rom_kernel + one + 4) + read_u32(rom_kernel + one + 8),
                 0);
    cr_assert_eq(read_u32(header), 0xe85250d6);
    cr_assert_eq(read_u32(header + 4), 0, "i386, protected mode");
    cr_assert_eq(read_u32(header) + read_u32(header + 4) + read_u32(header + 8) + read_u32(header + 12), 0);
    cr_assert_eq(read_u32(header + read_u32(header + 8) - 8), 0, "an end tag");
}

Test(roms, kernel_segments_lie_above_1_mib_and_none_is_writable_and_executable)
{
    Elf32_Ehdr elf;
    Elf32_Phdr segment;
    bool entry_found = false;

    memcpy(&elf, rom_kernel, sizeof elf);
    cr_assert_eq(memcmp(elf.e_ident, ELFMAG, SELFMAG), 0);
    cr_assert_eq(elf.e_machine, EM_386);
    for (unsigned i = 0; i < elf.e_phnum; i++) {
        memcpy(&segment, rom_kernel + elf.e_phoff + i * sizeof segment, sizeof segment);
        if (segment.p_type != PT_LOAD) {
            continue;
        }
        cr_assert_geq(segment.p_paddr, 0x100000);
        cr_assert_leq((size_t)segment.p_offset + segment.p_filesz, rom_kernel_size);
        cr_assert_neq(segment.p_flags & (PF_W | PF_X), PF_W | PF_X);
        entry_found |= elf.e_entry - segment.p_paddr < segment.p_filesz && (segment.p_flags & PF_X) != 0;
    }
    cr_assert(entry_found);
}
