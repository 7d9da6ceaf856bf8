/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Firmware: which ROM a machine starts with, and everything that ROM is told through fw_cfg and CMOS.
 *
 *   firmware_load_bios()      SeaBIOS from its Debian package, a file of the user's, or our own boot ROM
 *   firmware_load_vga_bios()  SeaBIOS' VGA BIOS for the standard VGA
 *   firmware_configure()      memory size and map, ACPI, SMBIOS, boot order, and the kernel of -kernel
 *   firmware_fill_cmos()      the memory size and boot order bytes in the real-time clock's RAM
 *
 * Sources: QEMU docs/specs/fw_cfg.rst; SeaBIOS docs (Runtime_config, "fw_cfg" entries); the CMOS bytes are
 * those of Ralf Brown's list plus SeaBIOS' 34h, 5Bh and 5Fh. Nothing here touches guest memory: it only
 * fills fw_cfg.
 *
 * Without a BIOS (our boot ROM), the tables a BIOS would make are pieces of the boot list:
 *
 *   9FC00h  extended BIOS data area, 1 KiB: RSDP, MP table (kernels search both there)
 *   top of RAM below 4 GiB: ACPI tables, reserved in the memory map as ACPI NVS
 */
#ifndef VM_FIRMWARE_H
#define VM_FIRMWARE_H

#include "base/error.h"
#include "base/types.h"
#include "vm/loader.h"

struct fw_cfg;

#define FIRMWARE_BUILTIN "builtin" /* -bios builtin */

/* Where ROM files are looked for: the -L directories, then the Debian packages' own. */
struct firmware_search {
    const char *const *dirs;
    unsigned dir_count;
};

struct firmware_rom {
    uint8_t *bytes; /* owned; free with firmware_rom_fini() */
    size_t size;    /* system ROM: 64 KiB to 16 MiB, a multiple of 64 KiB */
    char path[512]; /* where it came from, or FIRMWARE_BUILTIN */
};

/* The system ROM. `bios` is -bios: NULL for SeaBIOS, FIRMWARE_BUILTIN, a path, or a file name in the search
 * path. */
int firmware_load_bios(struct firmware_rom *rom, const char *bios, const struct firmware_search *search,
                       struct error *error);
/* vgabios-stdvga.bin. -ENOENT with text when there is none. */
int firmware_load_vga_bios(struct firmware_rom *rom, const struct firmware_search *search,
                           struct error *error);
void firmware_rom_fini(struct firmware_rom *rom);
bool firmware_is_builtin(const struct firmware_rom *rom);

/* What the firmware is to know. Strings are borrowed for the call. */
struct firmware_config {
    uint64_t ram_below_4g, ram_above_4g; /* bytes; below: at least 1 MiB, a page multiple */
    unsigned cpu_count;
    uint32_t cpu_signature; /* CPUID.1:EAX */
    uint32_t cpu_features;  /* CPUID.1:EDX */
    bool builtin;           /* our boot ROM: no BIOS */
    bool nographic;         /* SeaBIOS shows its screen on COM1 */
    bool boot_menu;
    const char *boot_order; /* letters a, c, d, n; NULL: "cad" */
    const char *uuid;       /* -uuid, NULL: none */

    const char *kernel, *initrd, *append; /* kernel NULL: boot from a disk. "builtin": our teaching kernel */
    bool kernel_follows; /* NULL above, but fw_cfg_share() will bring one: our boot ROM may do without now */
    enum loader_multiboot multiboot;
};

/* Fill fw_cfg. A kernel without sense, a missing file or too little memory is one line of text. */
int firmware_configure(struct fw_cfg *fw_cfg, const struct firmware_config *config, struct error *error);

/* Call set(opaque, index, value) for every CMOS byte that depends on the configuration: base and extended
 * memory (15h-18h, 30h-31h), memory above 16 MiB and above 4 GiB in 64 KiB units (34h-35h, 5Bh-5Dh),
 * boot order (38h, 3Dh), processors - 1 (5Fh). */
void firmware_fill_cmos(const struct firmware_config *config,
                        void (*set)(void *opaque, uint8_t index, uint8_t value), void *opaque);

/* Parse "01234567-89ab-cdef-0123-456789abcdef" into the bytes as written. -EINVAL with text. */
int firmware_parse_uuid(const char *text, uint8_t uuid[16], struct error *error);

#endif
