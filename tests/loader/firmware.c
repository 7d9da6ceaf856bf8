/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * vm/firmware: finding ROMs, and what fw_cfg and CMOS say.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "devices/fw_cfg.h"
#include "fake_guest.h"
#include "kernels.h"
#include "roms/roms.h"
#include "vm/acpi_tables.h"
#include "vm/firmware.h"

/* --- ROM files ------------------------------------------------------------------------------------------ */

static void write_file(const char *dir, const char *name, size_t size, uint8_t first, uint8_t second)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    uint8_t *bytes = calloc(1, size + 2);
    bytes[0] = first;
    bytes[1] = second;
    FILE *file = fopen(path, "w");
    cr_assert(file && fwrite(bytes, 1, size, file) == size && fclose(file) == 0);
    free(bytes);
}

static void remove_file(const char *dir, const char *name)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    unlink(path);
}

Test(firmware, roms_are_found_in_the_search_path_first)
{
    char dir[] = "/tmp/hypatia-test-XXXXXX";
    cr_assert_not_null(mkdtemp(dir));
    const char *dirs[] = {"/nonexistent", dir};
    struct firmware_search search = {dirs, 2};
    struct firmware_rom rom;
    struct error error = {""};
    write_file(dir, "bios.bin", 0x20000, 1, 0);
    write_file(dir, "own.rom", 0x10000, 7, 0);
    write_file(dir, "vgabios-stdvga.bin", 512, 0x55, 0xaa);
    cr_assert_eq(firmware_load_bios(&rom, NULL, &search, &error), 0, "%s", error.text);
    cr_assert(rom.size == 0x20000 && rom.bytes[0] == 1 && strstr(rom.path, dir), "%s", rom.path);
    firmware_rom_fini(&rom);
    write_file(dir, "bios-256k.bin", 0x40000, 2, 0);
    cr_assert_eq(firmware_load_bios(&rom, NULL, &search, &error), 0, "%s", error.text);
    cr_assert(rom.size == 0x40000 && rom.bytes[0] == 2, "the 256 KiB image is preferred");
    firmware_rom_fini(&rom);
    cr_assert_eq(firmware_load_bios(&rom, "own.rom", &search, &error), 0, "%s", error.text);
    cr_assert_eq(rom.bytes[0], 7);
    cr_assert_not(firmware_is_builtin(&rom));
    firmware_rom_fini(&rom);
    cr_assert_eq(firmware_load_vga_bios(&rom, &search, &error), 0, "%s", error.text);
    cr_assert_eq(rom.size, 512);
    firmware_rom_fini(&rom);
    write_file(dir, "vgabios-stdvga.bin", 512, 0, 0);
    cr_assert_eq(firmware_load_vga_bios(&rom, &search, &error), -EINVAL);
    cr_assert_null(rom.bytes);
    const char *const names[] = {"bios.bin", "own.rom", "vgabios-stdvga.bin", "bios-256k.bin"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        remove_file(dir, names[i]);
    }
    rmdir(dir);
}

Test(firmware, images_of_impossible_size_are_refused)
{
    const size_t sizes[] = {0, 1, 0xffff, 0x10001, 16 * 1024 * 1024 + 0x10000};
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        struct firmware_rom rom;
        struct error error = {""};
        uint8_t *bytes = calloc(1, sizes[i] + 1);
        char *path = write_temporary(bytes, sizes[i]);
        cr_assert_lt(firmware_load_bios(&rom, path, NULL, &error), 0, "%zu bytes", sizes[i]);
        cr_assert(is_one_line(&error) && strstr(error.text, path), "%s", error.text);
        cr_assert_null(rom.bytes);
        unlink(path);
        free(path);
        free(bytes);
    }
}

Test(firmware, a_missing_image_is_named)
{
    struct firmware_rom rom;
    struct error error = {""};
    cr_assert_eq(firmware_load_bios(&rom, "no-such.rom", NULL, &error), -ENOENT);
    cr_assert(strstr(error.text, "no-such.rom") && strstr(error.text, "/usr/share/seabios"), "%s",
              error.text);
    cr_assert_eq(firmware_load_bios(&rom, "/nonexistent/x.rom", NULL, &error), -ENOENT);
    cr_assert(strstr(error.text, "/nonexistent/x.rom"), "%s", error.text);
}

Test(firmware, builtin_is_our_boot_rom)
{
    struct firmware_rom rom;
    struct error error = {""};
    cr_assert_eq(firmware_load_bios(&rom, "builtin", NULL, &error), 0, "%s", error.text);
    cr_assert(firmware_is_builtin(&rom));
    cr_assert_eq(rom.size, rom_bootrom_size);
    cr_assert_arr_eq(rom.bytes, rom_bootrom, rom.size);
    firmware_rom_fini(&rom);
}

Test(firmware, uuids_are_read_strictly)
{
    uint8_t uuid[16];
    struct error error = {""};
    cr_assert_eq(firmware_parse_uuid("01234567-89ab-cdef-0123-456789ABCDEF", uuid, &error), 0);
    const uint8_t expected[16] = {0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef,
                                  0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef};
    cr_assert_arr_eq(uuid, expected, 16);
    const char *const bad[] = {"",
                               "0",
                               "01234567-89ab-cdef-0123-456789abcde",
                               "01234567-89ab-cdef-0123-456789abcdef0",
                               "01234567_89ab-cdef-0123-456789abcdef",
                               "g1234567-89ab-cdef-0123-456789abcdef",
                               " 1234567-89ab-cdef-0123-456789abcdef",
                               "+1234567-89ab-cdef-0123-456789abcdef"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        cr_assert_eq(firmware_parse_uuid(bad[i], uuid, &error), -EINVAL, "'%s'", bad[i]);
    }
}

/* --- fw_cfg --------------------------------------------------------------------------------------------- */

struct bench {
    struct ram ram;
    struct addr_space mem, io;
    struct clock clock;
    struct board board;
    struct fw_cfg *fw_cfg;
};

static void bench_init(struct bench *bench)
{
    struct error error;
    *bench = (struct bench){0};
    cr_assert_eq(ram_init(&bench->ram, MIB, &error), 0);
    cr_assert_eq(addr_space_init(&bench->mem, "mem", UINT32_MAX, &bench->ram), 0);
    cr_assert_eq(addr_space_init(&bench->io, "io", 0xffff, NULL), 0);
    clock_init(&bench->clock, CLOCK_STEPPED);
    bench->board = (struct board){.mem = &bench->mem, .io = &bench->io, .clock = &bench->clock};
    bench->fw_cfg = fw_cfg_create(&bench->board);
    cr_assert_not_null(bench->fw_cfg);
}

static void bench_fini(struct bench *bench)
{
    board_destroy_devices(&bench->board);
    addr_space_fini(&bench->io);
    addr_space_fini(&bench->mem);
    ram_fini(&bench->ram);
}

static struct firmware_config machine(void)
{
    return (struct firmware_config){
        .ram_below_4g = 128 * MIB, .cpu_count = 1, .cpu_signature = 0x6e8, .cpu_features = 0x1234};
}

static uint64_t item_number(const struct bench *bench, uint16_t key)
{
    const struct fw_cfg_item *item = fw_cfg_find_item(bench->fw_cfg, key);
    uint64_t value = 0;
    cr_assert(item && item->size <= 8, "key %#x", key);
    memcpy(&value, item->bytes, item->size);
    return value;
}

Test(firmware, seabios_is_told_about_the_machine)
{
    struct bench bench;
    struct error error = {""};
    struct firmware_config config = machine();
    config.ram_above_4g = GIB;
    config.nographic = true;
    bench_init(&bench);
    cr_assert_eq(firmware_configure(bench.fw_cfg, &config, &error), 0, "%s", error.text);
    cr_assert_eq(item_number(&bench, FW_CFG_RAM_SIZE), GIB + 128 * MIB);
    cr_assert_eq(item_number(&bench, FW_CFG_NB_CPUS), 1);
    cr_assert_eq(item_number(&bench, FW_CFG_MAX_CPUS), 1);
    cr_assert_eq(item_number(&bench, FW_CFG_NOGRAPHIC), 1);
    cr_assert_eq(item_number(&bench, FW_CFG_BOOT_MENU), 0);
    cr_assert_eq(item_number(&bench, FW_CFG_IRQ0_OVERRIDE), 1);
    const struct fw_cfg_item *map = fw_cfg_find_file(bench.fw_cfg, "etc/e820");
    cr_assert(map && map->size == 40);
    cr_assert_eq(load_le64(map->bytes + 8), 128 * MIB);
    cr_assert_eq(load_le64(map->bytes + 20), 4 * GIB);
    cr_assert_eq(load_le64(map->bytes + 28), GIB);
    const char *const files[] = {"etc/table-loader", "etc/acpi/tables", "etc/acpi/rsdp",
                                 "etc/smbios/smbios-tables", "etc/smbios/smbios-anchor"};
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        cr_assert_not_null(fw_cfg_find_file(bench.fw_cfg, files[i]), "%s", files[i]);
    }
    cr_assert_null(fw_cfg_find_file(bench.fw_cfg, "bootorder"), "nothing to prefer without a kernel");
    bench_fini(&bench);
}

Test(firmware, a_kernel_under_seabios_comes_with_its_option_rom)
{
    uint8_t *kernel = make_bzimage();
    char *path = write_temporary(kernel, BZIMAGE_SIZE);
    struct bench bench;
    struct error error = {""};
    struct firmware_config config = machine();
    config.kernel = path;
    bench_init(&bench);
    cr_assert_eq(firmware_configure(bench.fw_cfg, &config, &error), 0, "%s", error.text);
    const struct fw_cfg_item *order = fw_cfg_find_file(bench.fw_cfg, "bootorder");
    cr_assert(order && order->bytes[order->size - 1] == '\0');
    cr_assert_str_eq((const char *)order->bytes, "/rom@genroms/bootopt.bin");
    const struct fw_cfg_item *rom = fw_cfg_find_file(bench.fw_cfg, "genroms/bootopt.bin");
    cr_assert(rom && rom->size == rom_bootopt_size);
    const struct fw_cfg_item *list = fw_cfg_find_file(bench.fw_cfg, BOOTLIST_FILE);
    cr_assert(list && list->size <= BOOTLIST_MAX_BYTES);
    const struct bootlist_header *header = (const struct bootlist_header *)list->bytes;
    cr_assert_eq(header->magic, BOOTLIST_MAGIC);
    cr_assert_eq(list->size, sizeof(*header) + header->entry_count * sizeof(struct bootlist_entry));
    const struct bootlist_entry *entry = (const struct bootlist_entry *)(header + 1);
    for (unsigned i = 0; i < header->entry_count; i++) {
        cr_assert(entry[i].file[0] == '\0' || fw_cfg_find_file(bench.fw_cfg, entry[i].file), "%s",
                  entry[i].file);
    }
    bench_fini(&bench);
    unlink(path);
    free(path);
    free(kernel);
}

/* The piece of the boot list that goes to `dest`. */
static const struct fw_cfg_item *piece_at(const struct bench *bench, uint64_t dest)
{
    const struct fw_cfg_item *list = fw_cfg_find_file(bench->fw_cfg, BOOTLIST_FILE);
    const struct bootlist_header *header = (const struct bootlist_header *)list->bytes;
    const struct bootlist_entry *entry = (const struct bootlist_entry *)(header + 1);
    for (unsigned i = 0; i < header->entry_count; i++) {
        if (entry[i].dest == dest) {
            return fw_cfg_find_file(bench->fw_cfg, entry[i].file);
        }
    }
    return NULL;
}

static bool sums_to_zero(const uint8_t *bytes, size_t size)
{
    uint8_t sum = 0;
    for (size_t i = 0; i < size; i++) {
        sum += bytes[i];
    }
    return sum == 0;
}

Test(firmware, without_a_bios_the_tables_are_pieces_of_the_boot_list)
{
    struct bench bench;
    struct error error = {""};
    struct firmware_config config = machine();
    config.builtin = true;
    config.kernel = "builtin";
    bench_init(&bench);
    cr_assert_eq(firmware_configure(bench.fw_cfg, &config, &error), 0, "%s", error.text);
    const struct fw_cfg_item *segment = piece_at(&bench, 0x40e);
    cr_assert_eq(load_le16(segment->bytes), 0x9fc0);
    cr_assert_eq(load_le16(piece_at(&bench, 0x413)->bytes), 639);
    const struct fw_cfg_item *ebda = piece_at(&bench, 0x9fc00);
    cr_assert(ebda && ebda->size <= 1024 && ebda->bytes[0] == 1);
    const uint8_t *rsdp = ebda->bytes + 16;
    cr_assert_arr_eq(rsdp, "RSD PTR ", 8);
    cr_assert(sums_to_zero(rsdp, 20));
    cr_assert_arr_eq(ebda->bytes + 0x30, "_MP_", 4);
    cr_assert_eq(load_le32(ebda->bytes + 0x34), 0x9fc40);

    const struct fw_cfg_item *list = fw_cfg_find_file(bench.fw_cfg, BOOTLIST_FILE);
    const struct bootlist_header *header = (const struct bootlist_header *)list->bytes;
    const struct bootlist_e820 *map =
        (const struct bootlist_e820 *)((const struct bootlist_entry *)(header + 1) + header->entry_count);
    uint64_t ram = 0, acpi = 0;
    for (unsigned i = 0; i < header->e820_count; i++) {
        ram += map[i].type == 1 ? map[i].length_low : 0;
        acpi = map[i].type == 4 ? map[i].address_low : acpi;
    }
    const struct fw_cfg_item *tables = piece_at(&bench, acpi);
    cr_assert(tables && acpi + tables->size <= 128 * MIB && acpi > 127 * MIB);
    uint32_t rsdt = load_le32(rsdp + 16) - (uint32_t)acpi;
    cr_assert_arr_eq(tables->bytes + rsdt, "RSDT", 4);
    cr_assert_eq(ram, acpi - MIB + 0x9fc00);
    bench_fini(&bench);
}

Test(firmware, configurations_that_cannot_work_are_refused)
{
    struct firmware_config config[6];
    for (size_t i = 0; i < ARRAY_LEN(config); i++) {
        config[i] = machine();
    }
    config[0].builtin = true; /* no kernel */
    config[1].initrd = "x";
    config[2].append = "x";
    config[3].uuid = "nonsense";
    config[4].ram_below_4g = 640 * KIB;
    config[5].builtin = true;
    config[5].kernel = "builtin";
    config[5].ram_below_4g = MIB;
    const char *const reasons[] = {"-kernel", "-initrd needs",  "-append needs",
                                   "-uuid",   "at least 1 MiB", "at least 3 MiB"};
    for (size_t i = 0; i < ARRAY_LEN(config); i++) {
        struct bench bench;
        struct error error = {""};
        bench_init(&bench);
        cr_assert_lt(firmware_configure(bench.fw_cfg, &config[i], &error), 0, "case %zu", i);
        cr_assert(is_one_line(&error) && strstr(error.text, reasons[i]), "case %zu: %s", i, error.text);
        bench_fini(&bench);
    }
}

/* --- CMOS ----------------------------------------------------------------------------------------------- */

static void set_cmos(void *opaque, uint8_t index, uint8_t value)
{
    ((uint8_t *)opaque)[index] = value;
}

Test(firmware, cmos_holds_memory_sizes_and_boot_order)
{
    uint8_t cmos[128] = {0};
    struct firmware_config config = machine();
    config.ram_above_4g = 5 * GIB;
    firmware_fill_cmos(&config, set_cmos, cmos);
    cr_assert_eq(load_le16(cmos + 0x15), 640);
    cr_assert_eq(load_le16(cmos + 0x17), 0xffff, "127 MiB do not fit");
    cr_assert_eq(load_le16(cmos + 0x30), 0xffff);
    cr_assert_eq(load_le16(cmos + 0x34), (128 - 16) * 16);
    cr_assert_eq(load_le32(cmos + 0x5b) & 0xffffff, 5 * 1024 * 16);
    cr_assert_eq(cmos[0x5f], 0);
    cr_assert_eq(cmos[0x3d], 0x12, "c, then a");
    cr_assert_eq(cmos[0x38], 0x30, "then d");
    config.boot_order = "d";
    config.ram_below_4g = 8 * MIB;
    firmware_fill_cmos(&config, set_cmos, cmos);
    cr_assert_eq(load_le16(cmos + 0x30), 7 * 1024);
    cr_assert_eq(load_le16(cmos + 0x34), 0);
    cr_assert_eq(cmos[0x3d], 0x03);
    cr_assert_eq(cmos[0x38], 0);
}
