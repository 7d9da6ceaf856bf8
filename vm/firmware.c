/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * See firmware.h. First the ROM files, then what fw_cfg says, then the CMOS bytes.
 */
#include "vm/firmware.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "devices/fw_cfg.h"
#include "roms/roms.h"
#include "vm/acpi_tables.h"
#include "vm/loader_internal.h"
#include "vm/mp_table.h"
#include "vm/smbios.h"

enum {
    ROM_UNIT = 64 * 1024,
    ROM_MAX = 16 * 1024 * 1024,
    VGA_ROM_MAX = 256 * 1024,

    E820_RAM = 1,
    E820_RESERVED = 2,
    E820_NVS = 4,

    EBDA_ADDRESS = 0x9fc00,
    EBDA_SIZE = 0x400,
    EBDA_RSDP = 0x10,
    EBDA_MP = 0x30,
    BDA_EBDA_SEGMENT = 0x40e,
    BDA_BASE_MEMORY = 0x413,

    /* What SeaBIOS may keep for its tables at the top of RAM. */
    SEABIOS_TOP = 512 * 1024,
};

/* --- ROM files ------------------------------------------------------------------------------------------ */

static const char *const package_dirs[] = {"/usr/share/seabios", "/usr/share/qemu"};

/* The i-th directory to look in, NULL past the last. */
static const char *search_dir(const struct firmware_search *search, unsigned i)
{
    unsigned own = search ? search->dir_count : 0;
    if (i < own) {
        return search->dirs[i];
    }
    return i - own < ARRAY_LEN(package_dirs) ? package_dirs[i - own] : NULL;
}

/* The first directory that has `name`, else `other` (may be NULL); the file's path in `path`. */
static bool search_file(const struct firmware_search *search, const char *name, const char *other, char *path,
                        size_t size)
{
    const char *const names[] = {name, other};
    const char *dir;
    for (unsigned i = 0; (dir = search_dir(search, i)) != NULL; i++) {
        for (unsigned n = 0; n < ARRAY_LEN(names) && names[n]; n++) {
            int length = snprintf(path, size, "%s/%s", dir, names[n]);
            if (length > 0 && (size_t)length < size && access(path, R_OK) == 0) {
                return true;
            }
        }
    }
    return false;
}

/* "A, B, C": where search_file() looked. */
static void describe_search(const struct firmware_search *search, char *text, size_t size)
{
    size_t used = 0;
    const char *dir;
    text[0] = '\0';
    for (unsigned i = 0; (dir = search_dir(search, i)) != NULL && used < size; i++) {
        used += (size_t)snprintf(text + used, size - used, "%s%s", i ? ", " : "", dir);
    }
}

static int check_rom_size(struct firmware_rom *rom, struct error *error)
{
    if (rom->size == 0 || rom->size % ROM_UNIT) {
        return error_set(error, -EINVAL, "-bios: '%s' has %zu bytes; a system ROM is a multiple of 64 KiB",
                         rom->path, rom->size);
    }
    return 0;
}

static int load_builtin(struct firmware_rom *rom, struct error *error)
{
    rom->bytes = malloc(rom_bootrom_size);
    if (!rom->bytes) {
        return error_set(error, -ENOMEM, "no memory for the boot ROM");
    }
    memcpy(rom->bytes, rom_bootrom, rom_bootrom_size);
    rom->size = rom_bootrom_size;
    strcpy(rom->path, FIRMWARE_BUILTIN);
    return check_rom_size(rom, error);
}

/* Find the file for -bios: as a path, else in the search path; SeaBIOS when nothing is asked for. */
static int find_bios(struct firmware_rom *rom, const char *bios, const struct firmware_search *search,
                     struct error *error)
{
    char looked[256];
    describe_search(search, looked, sizeof(looked));
    if (!bios) {
        if (search_file(search, "bios-256k.bin", "bios.bin", rom->path, sizeof(rom->path))) {
            return 0;
        }
        return error_set(
            error, -ENOENT,
            "no SeaBIOS (bios-256k.bin) in %s: install the Debian package seabios, or boot a kernel with "
            "-bios builtin -kernel FILE",
            looked);
    }
    if (access(bios, F_OK) == 0 || strchr(bios, '/')) {
        if (strlen(bios) >= sizeof(rom->path)) {
            return error_set(error, -ENAMETOOLONG, "-bios: the path is too long");
        }
        strcpy(rom->path, bios);
        return 0;
    }
    return search_file(search, bios, NULL, rom->path, sizeof(rom->path))
               ? 0
               : error_set(error, -ENOENT, "-bios: there is no '%s' here or in %s", bios, looked);
}

int firmware_load_bios(struct firmware_rom *rom, const char *bios, const struct firmware_search *search,
                       struct error *error)
{
    *rom = (struct firmware_rom){0};
    if (bios && strcmp(bios, FIRMWARE_BUILTIN) == 0) {
        return load_builtin(rom, error);
    }
    int code = find_bios(rom, bios, search, error);
    code = code < 0 ? code : loader_read_file(rom->path, "-bios", ROM_MAX, &rom->bytes, &rom->size, error);
    code = code < 0 ? code : check_rom_size(rom, error);
    if (code < 0) {
        firmware_rom_fini(rom);
    }
    return code;
}

int firmware_load_vga_bios(struct firmware_rom *rom, const struct firmware_search *search,
                           struct error *error)
{
    *rom = (struct firmware_rom){0};
    if (!search_file(search, "vgabios-stdvga.bin", NULL, rom->path, sizeof(rom->path))) {
        char looked[256];
        describe_search(search, looked, sizeof(looked));
        return error_set(error, -ENOENT,
                         "no VGA BIOS (vgabios-stdvga.bin) in %s: install the Debian package seabios",
                         looked);
    }
    int code = loader_read_file(rom->path, "VGA BIOS", VGA_ROM_MAX, &rom->bytes, &rom->size, error);
    if (code == 0 && (rom->size < 3 || rom->bytes[0] != 0x55 || rom->bytes[1] != 0xaa)) {
        code = error_set(error, -EINVAL, "VGA BIOS: '%s' is not an option ROM", rom->path);
    }
    if (code < 0) {
        firmware_rom_fini(rom);
    }
    return code;
}

void firmware_rom_fini(struct firmware_rom *rom)
{
    free(rom->bytes);
    *rom = (struct firmware_rom){0};
}

bool firmware_is_builtin(const struct firmware_rom *rom)
{
    return strcmp(rom->path, FIRMWARE_BUILTIN) == 0;
}

int firmware_parse_uuid(const char *text, uint8_t uuid[16], struct error *error)
{
    static const char form[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
    unsigned digits = 0;
    bool good = strlen(text) == strlen(form);
    for (size_t i = 0; good && form[i]; i++) {
        if (form[i] == 'x') {
            const char digit[2] = {text[i], '\0'};
            good = isxdigit((unsigned char)text[i]);
            uuid[digits / 2] = (uint8_t)(uuid[digits / 2] << 4 | strtoul(digit, NULL, 16));
            digits++;
        } else {
            good = text[i] == form[i];
        }
    }
    return good ? 0
                : error_set(error, -EINVAL,
                            "-uuid: '%s' is not of the form 01234567-89ab-cdef-0123-456789abcdef", text);
}

/* --- fw_cfg --------------------------------------------------------------------------------------------- */

static int add_blob(struct fw_cfg *fw_cfg, const char *name, struct blob *blob, struct error *error)
{
    int code = blob->failed ? error_set(error, -ENOMEM, "no memory for %s", name)
                            : fw_cfg_add_file(fw_cfg, name, blob->bytes, blob->size, error);
    blob_fini(blob);
    return code;
}

/* The numbered items that SeaBIOS reads. */
static int add_items(struct fw_cfg *fw_cfg, const struct firmware_config *config, const uint8_t *uuid,
                     struct error *error)
{
    const struct {
        uint16_t key;
        uint16_t value;
    } words[] = {
        {FW_CFG_NB_CPUS, (uint16_t)config->cpu_count},
        {FW_CFG_MAX_CPUS, (uint16_t)config->cpu_count},
        {FW_CFG_NOGRAPHIC, config->nographic},
        {FW_CFG_BOOT_MENU, config->boot_menu},
    };
    int code = fw_cfg_add_u64(fw_cfg, FW_CFG_RAM_SIZE, config->ram_below_4g + config->ram_above_4g, error);
    for (size_t i = 0; i < ARRAY_LEN(words) && code == 0; i++) {
        code = fw_cfg_add_u16(fw_cfg, words[i].key, words[i].value, error);
    }
    code = code < 0 ? code : fw_cfg_add_u32(fw_cfg, FW_CFG_IRQ0_OVERRIDE, 1, error);
    code = code < 0 ? code : fw_cfg_add_item(fw_cfg, FW_CFG_UUID, uuid, 16, error);
    const uint32_t never = UINT32_MAX; /* do not reset when nothing boots */
    return code < 0 ? code : fw_cfg_add_file(fw_cfg, "etc/boot-fail-wait", &never, sizeof(never), error);
}

static struct bootlist_e820 e820_entry(uint64_t address, uint64_t length, uint32_t type)
{
    return (struct bootlist_e820){(uint32_t)address, (uint32_t)(address >> 32), (uint32_t)length,
                                  (uint32_t)(length >> 32), type};
}

/* RAM as the board has it; SeaBIOS takes what it needs out of it. */
static int add_e820(struct fw_cfg *fw_cfg, const struct firmware_config *config, struct error *error)
{
    const struct bootlist_e820 map[2] = {e820_entry(0, config->ram_below_4g, E820_RAM),
                                         e820_entry(4 * GIB, config->ram_above_4g, E820_RAM)};
    return fw_cfg_add_file(fw_cfg, "etc/e820", map, config->ram_above_4g ? sizeof(map) : sizeof(map[0]),
                           error);
}

static int add_acpi(struct fw_cfg *fw_cfg, struct acpi_tables *acpi, struct error *error)
{
    struct blob script;
    blob_init(&script);
    acpi_tables_script(acpi, &script);
    int code = add_blob(fw_cfg, ACPI_SCRIPT_FILE, &script, error);
    code = code < 0 ? code
                    : fw_cfg_add_file(fw_cfg, ACPI_TABLES_FILE, acpi->tables.bytes, acpi->tables.size, error);
    return code < 0 ? code : fw_cfg_add_file(fw_cfg, ACPI_RSDP_FILE, acpi->rsdp, sizeof(acpi->rsdp), error);
}

static int add_smbios(struct fw_cfg *fw_cfg, const struct firmware_config *config, const uint8_t *uuid,
                      struct error *error)
{
    struct smbios_config smbios = {
        .ram_below_4g = config->ram_below_4g,
        .ram_above_4g = config->ram_above_4g,
        .cpu_count = config->cpu_count,
        .cpu_signature = config->cpu_signature,
        .cpu_features = config->cpu_features,
        .version = HYPATIA_VERSION,
    };
    memcpy(smbios.uuid, uuid, sizeof(smbios.uuid));
    struct blob tables, anchor;
    blob_init(&tables);
    blob_init(&anchor);
    smbios_build(&tables, &anchor, &smbios);
    int code = add_blob(fw_cfg, SMBIOS_TABLES_FILE, &tables, error);
    int code2 = add_blob(fw_cfg, SMBIOS_ANCHOR_FILE, &anchor, error);
    return code < 0 ? code : code2;
}

/* --- The kernel ----------------------------------------------------------------------------------------- */

static struct loader_config loader_config_of(const struct firmware_config *config, uint64_t ram_end)
{
    struct loader_config loader = {
        .kernel = config->kernel,
        .initrd = config->initrd,
        .append = config->append,
        .multiboot = config->multiboot,
        .builtin_rom = config->builtin,
        .ram_end = ram_end,
    };
    if (strcmp(config->kernel, FIRMWARE_BUILTIN) == 0 && access(config->kernel, F_OK) < 0) {
        loader.kernel_bytes = rom_kernel;
        loader.kernel_size = rom_kernel_size;
    }
    return loader;
}

/* Close the boot list and hand its files to fw_cfg. */
static int publish_image(struct fw_cfg *fw_cfg, struct loader_image *image, struct error *error)
{
    int code = loader_image_finish(image, error);
    for (unsigned i = 0; i < image->file_count && code == 0; i++) {
        code = fw_cfg_add_file(fw_cfg, image->file[i].name, image->file[i].bytes, image->file[i].size, error);
    }
    return code;
}

/* Under SeaBIOS the kernel is booted by an option ROM, first in the boot order. */
static int add_kernel(struct fw_cfg *fw_cfg, const struct firmware_config *config, struct error *error)
{
    uint64_t top = config->ram_below_4g;
    struct loader_config loader = loader_config_of(config, top > MIB + SEABIOS_TOP ? top - SEABIOS_TOP : MIB);
    struct loader_image image;
    int code = loader_prepare(&image, &loader, error);
    if (code < 0) {
        return code;
    }
    code = publish_image(fw_cfg, &image, error);
    loader_image_fini(&image);
    code = code < 0 ? code
                    : fw_cfg_add_file(fw_cfg, BOOTLIST_OPTION_ROM_FILE, rom_bootopt, rom_bootopt_size, error);
    return code < 0 ? code
                    : fw_cfg_add_file(fw_cfg, "bootorder", BOOTLIST_BOOTORDER_PATH,
                                      sizeof(BOOTLIST_BOOTORDER_PATH), error);
}

static int configure_seabios(struct fw_cfg *fw_cfg, const struct firmware_config *config, const uint8_t *uuid,
                             struct acpi_tables *acpi, struct error *error)
{
    int code = add_e820(fw_cfg, config, error);
    code = code < 0 ? code : add_acpi(fw_cfg, acpi, error);
    code = code < 0 ? code : add_smbios(fw_cfg, config, uuid, error);
    return code < 0 || !config->kernel ? code : add_kernel(fw_cfg, config, error);
}

/* --- Without a BIOS ------------------------------------------------------------------------------------- */

/* What the kernel will find in memory and what is reserved. `acpi` is where the ACPI tables begin. */
static unsigned builtin_map(const struct firmware_config *config, uint64_t acpi, struct bootlist_e820 *map)
{
    unsigned count = 0;
    map[count++] = e820_entry(0, EBDA_ADDRESS, E820_RAM);
    map[count++] = e820_entry(EBDA_ADDRESS, EBDA_SIZE, E820_RESERVED);
    map[count++] = e820_entry(0xf0000, 0x10000, E820_RESERVED);
    map[count++] = e820_entry(MIB, acpi - MIB, E820_RAM);
    map[count++] = e820_entry(acpi, config->ram_below_4g - acpi, E820_NVS);
    map[count++] = e820_entry(4 * GIB - 256 * KIB, 256 * KIB, E820_RESERVED);
    if (config->ram_above_4g) {
        map[count++] = e820_entry(4 * GIB, config->ram_above_4g, E820_RAM);
    }
    return count;
}

/* The extended BIOS data area with the pointers kernels search for, and the BIOS data area's words for it. */
static int add_ebda(struct loader_image *image, const struct firmware_config *config,
                    const struct acpi_tables *acpi, struct error *error)
{
    const struct mp_config mp = {.cpu_count = config->cpu_count,
                                 .cpu_signature = config->cpu_signature,
                                 .cpu_features = config->cpu_features};
    struct blob ebda;
    blob_init(&ebda);
    blob_append_u8(&ebda, EBDA_SIZE / 1024);
    blob_align(&ebda, EBDA_RSDP);
    blob_append(&ebda, acpi->rsdp, sizeof(acpi->rsdp));
    blob_align(&ebda, 16);
    mp_table_build(&ebda, &mp, EBDA_ADDRESS + EBDA_MP);
    const uint8_t segment[2] = {EBDA_ADDRESS >> 4 & 0xff, EBDA_ADDRESS >> 12};
    const uint8_t base_memory[2] = {(EBDA_ADDRESS / 1024) & 0xff, EBDA_ADDRESS / 1024 >> 8};
    int code =
        ebda.failed || ebda.size > EBDA_SIZE
            ? error_set(error, -ENOMEM, "the MP table does not fit its %d bytes", EBDA_SIZE)
            : loader_image_add_piece(image, "opt/hypatia/ebda", ebda.bytes, ebda.size, EBDA_ADDRESS, error);
    blob_fini(&ebda);
    code = code < 0
               ? code
               : loader_image_add_piece(image, "opt/hypatia/bda-ebda", segment, 2, BDA_EBDA_SEGMENT, error);
    return code < 0 ? code
                    : loader_image_add_piece(image, "opt/hypatia/bda-memory", base_memory, 2, BDA_BASE_MEMORY,
                                             error);
}

static int configure_builtin(struct fw_cfg *fw_cfg, const struct firmware_config *config,
                             struct acpi_tables *acpi, struct error *error)
{
    if (!config->kernel && config->kernel_follows) {
        return 0;
    }
    if (!config->kernel) {
        return error_set(error, -EINVAL,
                         "-bios builtin is no BIOS: it boots kernels only, so give it a -kernel");
    }
    uint64_t room = ALIGN_UP(acpi->tables.size, PAGE_SIZE);
    if (config->ram_below_4g < 2 * MIB + room) {
        return error_set(error, -ENOMEM, "-bios builtin needs at least 3 MiB of memory (-m)");
    }
    uint32_t acpi_address = (uint32_t)(ALIGN_DOWN(config->ram_below_4g, PAGE_SIZE) - room);
    acpi_tables_place(acpi, acpi_address);
    struct bootlist_e820 map[8];
    struct loader_config loader = loader_config_of(config, acpi_address);
    loader.e820 = map;
    loader.e820_count = builtin_map(config, acpi_address, map);
    loader.rsdp = acpi->rsdp;
    loader.rsdp_size = sizeof(acpi->rsdp);
    loader.rsdp_address = EBDA_ADDRESS + EBDA_RSDP;
    struct loader_image image;
    int code = loader_prepare(&image, &loader, error);
    if (code < 0) {
        return code;
    }
    code = loader_image_add_piece(&image, "opt/hypatia/acpi", acpi->tables.bytes, acpi->tables.size,
                                  acpi_address, error);
    code = code < 0 ? code : add_ebda(&image, config, acpi, error);
    code = code < 0 ? code : publish_image(fw_cfg, &image, error);
    loader_image_fini(&image);
    return code;
}

int firmware_configure(struct fw_cfg *fw_cfg, const struct firmware_config *config, struct error *error)
{
    uint8_t uuid[16] = {0};
    struct acpi_tables acpi;
    const struct acpi_config acpi_config = {.pci_window = config->ram_below_4g,
                                            .cpu_count = config->cpu_count};
    int code = config->uuid ? firmware_parse_uuid(config->uuid, uuid, error) : 0;
    if (code == 0 && config->ram_below_4g < MIB) {
        code = error_set(error, -EINVAL, "a PC needs at least 1 MiB of memory (-m)");
    }
    if (code == 0 && !config->kernel && (config->initrd || config->append)) {
        code = error_set(error, -EINVAL, "%s needs a -kernel", config->initrd ? "-initrd" : "-append");
    }
    code = code < 0 ? code : acpi_tables_build(&acpi, &acpi_config, error);
    if (code < 0) {
        return code;
    }
    code = add_items(fw_cfg, config, uuid, error);
    if (code == 0) {
        code = config->builtin ? configure_builtin(fw_cfg, config, &acpi, error)
                               : configure_seabios(fw_cfg, config, uuid, &acpi, error);
    }
    acpi_tables_fini(&acpi);
    return code;
}

/* --- CMOS ----------------------------------------------------------------------------------------------- */

/* SeaBIOS' codes for the boot devices; 0 for none. */
static uint8_t boot_code(const char *order, unsigned which)
{
    static const char letters[] = "acdn";
    const char *at = strlen(order) > which ? strchr(letters, order[which]) : NULL;
    return at ? (uint8_t)(at - letters + 1) : 0;
}

void firmware_fill_cmos(const struct firmware_config *config,
                        void (*set)(void *opaque, uint8_t index, uint8_t value), void *opaque)
{
    uint64_t below = config->ram_below_4g;
    uint64_t extended = below > MIB ? MIN((below - MIB) / KIB, 0xffffu) : 0;
    uint64_t above_16m = below > 16 * MIB ? MIN((below - 16 * MIB) / (64 * KIB), 0xffffu) : 0;
    uint64_t above_4g = MIN(config->ram_above_4g / (64 * KIB), 0xffffffu);
    const char *order = config->boot_order ? config->boot_order : "cad";
    const uint8_t bytes[][2] = {
        {0x15, 640 & 0xff},
        {0x16, 640 >> 8},
        {0x17, (uint8_t)extended},
        {0x18, (uint8_t)(extended >> 8)},
        {0x30, (uint8_t)extended},
        {0x31, (uint8_t)(extended >> 8)},
        {0x34, (uint8_t)above_16m},
        {0x35, (uint8_t)(above_16m >> 8)},
        {0x38, (uint8_t)(boot_code(order, 2) << 4)},
        {0x3d, (uint8_t)(boot_code(order, 1) << 4 | boot_code(order, 0))},
        {0x5b, (uint8_t)above_4g},
        {0x5c, (uint8_t)(above_4g >> 8)},
        {0x5d, (uint8_t)(above_4g >> 16)},
        {0x5f, (uint8_t)(config->cpu_count - 1)},
    };
    for (size_t i = 0; i < ARRAY_LEN(bytes); i++) {
        set(opaque, bytes[i][0], bytes[i][1]);
    }
}
