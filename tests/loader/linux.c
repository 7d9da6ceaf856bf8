/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * vm/loader_linux: where a Linux kernel's pieces go, the header fields a loader fills in, and files that lie.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "fake_guest.h"
#include "kernels.h"

#define RAM_END (64 * MIB)

static struct loader_config config_for(const uint8_t *kernel, size_t size)
{
    return (struct loader_config){
        .kernel = "vmlinuz", .kernel_bytes = kernel, .kernel_size = size, .ram_end = RAM_END};
}

/* Load and carry out, or fail the test. */
static struct fake_guest boot(const struct loader_config *config, struct loader_image *image)
{
    struct error error = {""};
    cr_assert_eq(loader_prepare(image, config, &error), 0, "%s", error.text);
    struct fake_guest guest = fake_guest_create(RAM_END);
    cr_assert(fake_guest_boot(&guest, image, &error), "%s", error.text);
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

/* --- 16-bit entry --------------------------------------------------------------------------------------- */

Test(loader_linux, a_bzimage_goes_where_the_boot_protocol_says)
{
    uint8_t *kernel = make_bzimage();
    struct loader_config config = config_for(kernel, BZIMAGE_SIZE);
    struct loader_image image;
    config.append = "console=ttyS0 quiet";
    struct fake_guest guest = boot(&config, &image);
    cr_assert_eq(image.header.kind, BOOTLIST_LINUX16);
    cr_assert_eq(image.header.entry, 0x10000);
    cr_assert_eq(image.header.e820_form, BOOTLIST_E820_NONE);
    cr_assert(is_pattern(guest.ram + 0x100000, 0, BZIMAGE_CODE));
    const uint8_t *setup = guest.ram + 0x10000;
    cr_assert_eq(load_le32(setup + 0x202), 0x53726448);
    cr_assert_eq(setup[0x210], 0xff, "type_of_loader");
    cr_assert_eq(setup[0x211], 0x81, "loadflags: LOADED_HIGH as it was, CAN_USE_HEAP added");
    cr_assert_eq(load_le16(setup + 0x224), image.header.stack - 0x200, "heap_end_ptr");
    cr_assert_lt(image.header.stack, 0x10000);
    cr_assert_eq(load_le16(setup + 0x1fa), 0xffff, "vid_mode: normal");
    cr_assert_eq(load_le32(setup + 0x214), 0x100000, "code32_start");
    cr_assert_eq(load_le32(setup + 0x218), 0, "no RAM disk");
    cr_assert_eq(load_le64(setup + 0x250), 0, "no setup_data");
    cr_assert_str_eq((char *)guest.ram + load_le32(setup + 0x228), "console=ttyS0 quiet");
    loader_image_fini(&image);
    fake_guest_destroy(&guest);
    free(kernel);
}

Test(loader_linux, setup_sects_of_zero_means_four)
{
    uint8_t *kernel = make_bzimage();
    kernel[0x1f1] = 0;
    struct loader_config config = config_for(kernel, BZIMAGE_SIZE);
    struct loader_image image;
    struct fake_guest guest = boot(&config, &image);
    cr_assert(is_pattern(guest.ram + 0x100000, 0, BZIMAGE_CODE));
    loader_image_fini(&image);
    fake_guest_destroy(&guest);
    free(kernel);
}

Test(loader_linux, a_zimage_of_protocol_2_01_goes_low_and_gets_the_old_command_line)
{
    uint8_t *kernel = make_bzimage();
    store_le16(kernel + 0x206, 0x0201);
    kernel[0x211] = 0;
    store_le32(kernel + 0x214, 0x1000);
    struct loader_config config = config_for(kernel, BZIMAGE_SIZE);
    struct loader_image image;
    config.append = "root=/dev/hda1";
    struct fake_guest guest = boot(&config, &image);
    cr_assert_eq(image.header.entry, 0x90000);
    cr_assert(is_pattern(guest.ram + 0x10000, 0, BZIMAGE_CODE));
    const uint8_t *setup = guest.ram + 0x90000;
    cr_assert_eq(load_le32(setup + 0x214), 0x1000, "code32_start stays");
    cr_assert_eq(load_le16(setup + 0x20), 0xa33f);
    uint32_t cmdline = 0x90000u + load_le16(setup + 0x22);
    cr_assert_str_eq((char *)guest.ram + cmdline, "root=/dev/hda1");
    cr_assert_geq(0x90000u + load_le16(setup + 0x212), cmdline + 15, "setup_move_size reaches over it");
    loader_image_fini(&image);
    fake_guest_destroy(&guest);
    free(kernel);
}

Test(loader_linux, protocol_2_00_has_no_heap_field_to_fill)
{
    uint8_t *kernel = make_bzimage();
    store_le16(kernel + 0x206, 0x0200);
    store_le16(kernel + 0x224, 0x1234);
    struct loader_config config = config_for(kernel, BZIMAGE_SIZE);
    struct loader_image image;
    struct fake_guest guest = boot(&config, &image);
    cr_assert_eq(load_le16(guest.ram + 0x90000 + 0x224), 0x1234);
    cr_assert_eq(guest.ram[0x90000 + 0x211], 1);
    cr_assert(is_pattern(guest.ram + 0x100000, 0, BZIMAGE_CODE), "a bzImage is loaded high all the same");
    loader_image_fini(&image);
    fake_guest_destroy(&guest);
    free(kernel);
}

Test(loader_linux, vga_on_the_command_line_becomes_vid_mode)
{
    const struct {
        const char *cmdline;
        uint16_t mode;
    } cases[] = {{"vga=normal", 0xffff}, {"vga=ext", 0xfffe},  {"quiet vga=ask", 0xfffd},
                 {"vga=791", 791},       {"vga=0x317", 0x317}, {"nvga=5", 0xffff},
                 {"", 0xffff},           {"vga=", 0},          {"vga=1 vga=2", 2},
                 {"vga=-1", 0xffff},     {"x=vga=7", 0xffff}};
    uint8_t *kernel = make_bzimage();
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct loader_config config = config_for(kernel, BZIMAGE_SIZE);
        struct loader_image image;
        config.append = cases[i].cmdline;
        struct fake_guest guest = boot(&config, &image);
        cr_assert_eq(load_le16(guest.ram + 0x101fa), cases[i].mode, "'%s'", cases[i].cmdline);
        loader_image_fini(&image);
        fake_guest_destroy(&guest);
    }
    free(kernel);
}

/* --- RAM disk and command line -------------------------------------------------------------------------- */

Test(loader_linux, the_ram_disk_goes_as_high_as_it_may)
{
    uint8_t *kernel = make_bzimage();
    uint8_t disk[5000];
    for (size_t i = 0; i < sizeof(disk); i++) {
        disk[i] = pattern_byte(i);
    }
    char *path = write_temporary(disk, sizeof(disk));
    const struct {
        uint32_t addr_max;
        uint64_t expected;
    } cases[] = {{0x7fffffff, RAM_END - 0x2000}, {0x2ffffff, 0x3000000 - 0x2000}, {0x2fff800, 0x2ffe000}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        store_le32(kernel + 0x22c, cases[i].addr_max);
        struct loader_config config = config_for(kernel, BZIMAGE_SIZE);
        struct loader_image image;
        config.initrd = path;
        struct fake_guest guest = boot(&config, &image);
        const uint8_t *setup = guest.ram + 0x10000;
        cr_assert_eq(load_le32(setup + 0x218), cases[i].expected, "%#x", load_le32(setup + 0x218));
        cr_assert_eq(load_le32(setup + 0x21c), sizeof(disk));
        cr_assert(is_pattern(guest.ram + cases[i].expected, 0, sizeof(disk)));
        loader_image_fini(&image);
        fake_guest_destroy(&guest);
    }
    unlink(path);
    free(path);
    free(kernel);
}

Test(loader_linux, a_ram_disk_without_room_is_refused)
{
    uint8_t *kernel = make_bzimage();
    char *path = write_temporary("disk", 4);
    struct loader_config config = config_for(kernel, BZIMAGE_SIZE);
    config.initrd = path;
    store_le32(kernel + 0x22c, 0x1000000 + BZIMAGE_INIT_SIZE); /* inside what the kernel needs */
    expect_refusal(&config, "no room for the initial RAM disk");
    store_le32(kernel + 0x22c, 0);
    expect_refusal(&config, "no room for the initial RAM disk");
    unlink(path);
    expect_refusal(&config, "cannot open");
    free(path);
    path = write_temporary("", 0);
    config.initrd = path;
    expect_refusal(&config, "is empty");
    unlink(path);
    free(path);
    free(kernel);
}

Test(loader_linux, the_command_line_has_the_length_the_kernel_allows)
{
    uint8_t *kernel = make_bzimage();
    char cmdline[2100];
    memset(cmdline, 'x', sizeof(cmdline));
    struct loader_config config = config_for(kernel, BZIMAGE_SIZE);
    struct loader_image image;
    config.append = cmdline;
    cmdline[2047] = '\0';
    struct fake_guest guest = boot(&config, &image);
    cr_assert_eq(strlen((char *)guest.ram + 0x20000), 2047);
    loader_image_fini(&image);
    fake_guest_destroy(&guest);
    cmdline[2047] = 'x';
    cmdline[2048] = '\0';
    expect_refusal(&config, "at most 2047");
    store_le16(kernel + 0x206, 0x0205);
    cmdline[256] = '\0';
    expect_refusal(&config, "at most 255");
    store_le16(kernel + 0x206, 0x020f);
    store_le32(kernel + 0x238, UINT32_MAX);
    char *huge = malloc(0x80000);
    memset(huge, 'y', 0x80000);
    huge[0x7ffff] = '\0';
    config.append = huge;
    expect_refusal(&config, "this kernel takes at most");
    free(huge);
    free(kernel);
}

/* --- 32-bit entry --------------------------------------------------------------------------------------- */

Test(loader_linux, without_a_bios_boot_params_is_filled_in)
{
    const struct bootlist_e820 map[2] = {{0, 0, 0x9fc00, 0, 1}, {0x100000, 0, 0x3f00000, 0, 1}};
    uint8_t *kernel = make_bzimage();
    struct loader_config config = config_for(kernel, BZIMAGE_SIZE);
    struct loader_image image;
    config.builtin_rom = true;
    config.append = "quiet";
    config.e820 = map;
    config.e820_count = 2;
    config.rsdp_address = 0x9fc10;
    struct fake_guest guest = boot(&config, &image);
    const uint8_t *page = guest.ram + image.header.info;
    cr_assert_eq(image.header.kind, BOOTLIST_LINUX32);
    cr_assert_eq(image.header.entry, 0x100000);
    cr_assert_eq(image.header.e820_form, BOOTLIST_E820_RAW);
    cr_assert_eq(image.header.e820_dest, image.header.info + 0x2d0);
    cr_assert_eq(image.header.e820_count_dest, image.header.info + 0x1e8);
    cr_assert_eq(image.header.e820_count, 2);
    cr_assert_arr_eq((uint8_t *)image.e820, (const uint8_t *)map, sizeof(map));
    cr_assert_eq(load_le32(page + 0x202), 0x53726448, "the setup header is copied");
    cr_assert_eq(load_le16(page + 0x206), 0x020f);
    cr_assert_eq(page[0x210], 0xff);
    cr_assert_str_eq((char *)guest.ram + load_le32(page + 0x228), "quiet");
    cr_assert_eq(load_le64(page + 0x70), 0x9fc10, "acpi_rsdp_addr");
    cr_assert_eq(page[0x06], 3);
    cr_assert_eq(page[0x07], 80);
    cr_assert_eq(page[0x0e], 25);
    cr_assert_eq(page[0x0f], 1, "VGA text");
    cr_assert_eq(load_le32(page + 0x1e0), (RAM_END - MIB) / KIB, "alt_mem_k");
    cr_assert_eq(load_le32(page + 0x280), 0, "nothing behind the setup header is copied");
    loader_image_fini(&image);
    fake_guest_destroy(&guest);
    free(kernel);
}

Test(loader_linux, without_a_bios_some_kernels_cannot_start)
{
    uint8_t *kernel = make_bzimage();
    struct loader_config config = config_for(kernel, BZIMAGE_SIZE);
    config.builtin_rom = true;
    store_le16(kernel + 0x236, 1);
    expect_refusal(&config, "64-bit kernel");
    store_le16(kernel + 0x236, 0);
    store_le16(kernel + 0x206, 0x0201);
    expect_refusal(&config, "needs a BIOS");
    store_le16(kernel + 0x206, 0x020f);
    kernel[0x211] = 0;
    expect_refusal(&config, "needs a BIOS");
    free(kernel);
}

/* --- Files that lie ------------------------------------------------------------------------------------- */

Test(loader_linux, headers_that_make_no_sense_are_refused_by_name)
{
    uint8_t *kernel = make_bzimage();
    struct loader_config config = config_for(kernel, BZIMAGE_SIZE);
    store_le32(kernel + 0x230, 0);
    expect_refusal(&config, "kernel_alignment");
    store_le32(kernel + 0x230, 0x3000);
    expect_refusal(&config, "kernel_alignment");
    store_le32(kernel + 0x230, 0x1000000);
    store_le64(kernel + 0x258, 1ull << 40);
    expect_refusal(&config, "pref_address");
    store_le64(kernel + 0x258, 0x1000000);
    store_le32(kernel + 0x260, UINT32_MAX);
    expect_refusal(&config, "needs memory up to");
    store_le32(kernel + 0x260, BZIMAGE_INIT_SIZE);
    store_le32(kernel + 0x24c, UINT32_MAX);
    expect_refusal(&config, "payload");
    store_le32(kernel + 0x24c, 0);
    store_le32(kernel + 0x1f4, UINT32_MAX);
    expect_refusal(&config, "cut short");
    store_le32(kernel + 0x1f4, 1);
    store_le16(kernel + 0x206, 0x01ff);
    expect_refusal(&config, "boot protocol");
    store_le16(kernel + 0x206, 0x020f);
    const struct {
        uint32_t start;
        const char *reason;
    } starts[] = {{0x7000, "work area"},
                  {0xa0000, "not free RAM"},
                  {0x98fff, "not free RAM"},
                  {0xfffff, "not free RAM"},
                  {0xf000, "work area"},
                  {0x10000, "overlaps"},
                  {0xfffff000, "needs memory up to"},
                  {0x3ffff00, "needs memory up to"}};
    for (size_t i = 0; i < ARRAY_LEN(starts); i++) {
        store_le32(kernel + 0x214, starts[i].start);
        expect_refusal(&config, starts[i].reason);
    }
    free(kernel);
}

Test(loader_linux, a_setup_too_large_for_its_segment_is_refused)
{
    size_t size = 256 * 512 + 4096;
    uint8_t *kernel = calloc(1, size), *small = make_bzimage();
    memcpy(kernel, small, BZIMAGE_SETUP);
    kernel[0x1f1] = 255;
    store_le32(kernel + 0x1f4, 1);
    store_le32(kernel + 0x24c, 0);
    struct loader_config config = config_for(kernel, size);
    expect_refusal(&config, "no room for a stack");
    free(small);
    free(kernel);
}

Test(loader_linux, a_machine_too_small_is_told_so)
{
    uint8_t *kernel = make_bzimage();
    struct loader_config config = config_for(kernel, BZIMAGE_SIZE);
    config.ram_end = 16 * MIB;
    expect_refusal(&config, "-m");
    config.ram_end = 0;
    expect_refusal(&config, "-m");
    free(kernel);
}

Test(loader_linux, every_truncation_is_refused)
{
    uint8_t *kernel = make_bzimage();
    for (size_t size = 0; size < 4096; size++) {
        uint8_t *cut = malloc(size ? size : 1); /* exact, so that a sanitizer sees every byte too far */
        memcpy(cut, kernel, size);
        struct loader_config config = config_for(cut, size);
        for (unsigned builtin = 0; builtin < 2; builtin++) {
            config.builtin_rom = builtin;
            expect_refusal(&config, "-kernel vmlinuz: ");
        }
        free(cut);
    }
    free(kernel);
}

/* Random header bytes: refused with one line, or a list that keeps every rule. */
static void try_mutated(const uint8_t *file, size_t size, bool builtin, struct fake_guest *guest,
                        unsigned *accepted)
{
    struct loader_config config = config_for(file, size);
    struct loader_image image;
    struct error error = {""};
    config.builtin_rom = builtin;
    if (loader_prepare(&image, &config, &error) == 0) {
        cr_assert(fake_guest_boot(guest, &image, &error), "%s", error.text);
        loader_image_fini(&image);
        (*accepted)++;
    } else {
        cr_assert(is_one_line(&error), "'%s'", error.text);
    }
}

Test(loader_linux, random_headers_do_no_harm)
{
    uint8_t *kernel = make_bzimage();
    uint8_t *mutated = malloc(BZIMAGE_SIZE);
    struct fake_guest guest = fake_guest_create(RAM_END);
    uint64_t seed = 1;
    unsigned accepted = 0;
    for (unsigned round = 0; round < 20000; round++) {
        memcpy(mutated, kernel, BZIMAGE_SIZE);
        for (unsigned i = 0; i <= round % 4; i++) {
            size_t at = 0x1f1 + random_next(&seed) % 0x78;
            uint32_t kind = random_next(&seed);
            mutated[at] = kind % 4 == 0 ? 0 : kind % 4 == 1 ? 0xff : (uint8_t)(kind >> 8);
        }
        try_mutated(mutated, BZIMAGE_SIZE, round & 1, &guest, &accepted);
    }
    cr_assert_gt(accepted, 100, "the mutations are not all so wild that nothing is tested");
    fake_guest_destroy(&guest);
    free(mutated);
    free(kernel);
}

/* --- A real one ----------------------------------------------------------------------------------------- */

Test(loader_linux, memtest86plus_is_a_bzimage)
{
    const char *path = "/boot/memtest86+ia32.bin";
    if (access(path, R_OK) < 0) {
        cr_skip_test("%s is not there (package memtest86+)", path);
    }
    struct loader_config config = {.kernel = path, .ram_end = RAM_END};
    for (unsigned builtin = 0; builtin < 2; builtin++) {
        struct loader_image image;
        config.builtin_rom = builtin;
        struct fake_guest guest = boot(&config, &image);
        cr_assert_neq(load_le32(guest.ram + 0x100000), 0);
        loader_image_fini(&image);
        fake_guest_destroy(&guest);
    }
}
