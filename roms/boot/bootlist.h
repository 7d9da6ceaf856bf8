/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The boot list: how the host's loader tells our boot ROMs what to load and how to enter it.
 *
 * The list is one fw_cfg file, `opt/hypatia/boot`, made by vm/ and read by roms/boot (bootlist.inc holds the
 * same offsets for NASM). It is built once, lives as long as the VM, and is read again after every reset:
 *
 *      +------------------------+ 0
 *      | struct bootlist_header |
 *      +------------------------+ 64
 *      | struct bootlist_entry  | entry_count of them, carried out in order
 *      |          ...           |
 *      +------------------------+ 64 + 72 * entry_count
 *      | struct bootlist_e820   | e820_count of them: the memory map when there is no firmware to ask
 *      |          ...           |
 *      +------------------------+ at most BOOTLIST_MAX_BYTES
 *
 * What the ROM does: copy every entry to its guest-physical destination by fw_cfg DMA, convert the memory map
 * into the form the kernel reads, enter the kernel. The map comes from INT 15h E820h in bootopt.bin (SeaBIOS
 * knows what it has reserved) and from the list in bootrom.bin. All numbers are little-endian, addresses are
 * guest-physical, and there is no padding. The ROM keeps its work area in [BOOTLIST_WORK, BOOTLIST_WORK_END):
 * nothing may be loaded there.
 *
 * Follows: Linux Documentation/arch/x86/boot.rst, Multiboot 0.6.96, Multiboot2 2.0, QEMU
 * docs/specs/fw_cfg.rst. Not modelled: 64-bit entry points, EFI hand-over, lists longer than
 * BOOTLIST_MAX_BYTES.
 */
#ifndef ROMS_BOOT_BOOTLIST_H
#define ROMS_BOOT_BOOTLIST_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#define BOOTLIST_FILE      "opt/hypatia/boot" /* the fw_cfg file that holds the list */
#define BOOTLIST_MAGIC     0x54425948u        /* "HYBT" */
#define BOOTLIST_VERSION   1u
#define BOOTLIST_MAX_BYTES 0x3000u /* 12 KiB: 64 + 72 * entries + 20 * e820 entries */
#define BOOTLIST_WORK      0x7c00u /* [7C00h, 10000h) is the ROM's: the list, the map, stack and GDT */
#define BOOTLIST_WORK_END  0x10000u

/* The fw_cfg names vm/ gives the ROM and its place in SeaBIOS' boot order (fw_cfg file "bootorder", one path a line,
 * NUL at the end). SeaBIOS runs every file under genroms/ as an option ROM. */
#define BOOTLIST_OPTION_ROM_FILE "genroms/bootopt.bin"
#define BOOTLIST_BOOTORDER_PATH  "/rom@genroms/bootopt.bin"

/* How the kernel is entered. In all three interrupts are off, A20 is on and paging is off. */
enum bootlist_kind {
    /*
     * Linux real-mode entry. `entry` is the guest-physical address of the setup code, a multiple of 16 below 1 MiB:
     * DS = ES = FS = GS = SS = entry / 16, SP = stack (the offset just past the heap), CS:IP = entry / 16 + 20h : 0.
     * Needs a BIOS: bootrom.bin answers a list of this kind with an error.
     */
    BOOTLIST_LINUX16 = 1,
    /*
     * Linux 32-bit entry. `entry` is code32_start, `info` the struct boot_params: ESI = info, EBP = EDI = EBX = 0,
     * CS = 10h, DS = ES = SS = 18h (flat 4 GiB), ESP = stack.
     */
    BOOTLIST_LINUX32 = 2,
    /*
     * Multiboot 1 or 2. EIP = entry, EAX = magic as given in `eax`, EBX = info, ESP = stack; selectors as above.
     */
    BOOTLIST_MULTIBOOT = 3,
};

/* The form in which the memory map is left for the kernel. */
enum bootlist_e820_form {
    BOOTLIST_E820_NONE = 0, /* the kernel asks the BIOS itself (LINUX16), or no map is wanted */
    /*
     * 20-byte entries {u64 address, u64 length, u32 type} at e820_dest (boot_params + 2D0h), and their number as one
     * byte at e820_count_dest (boot_params + 1E8h).
     */
    BOOTLIST_E820_RAW = 1,
    /*
     * Multiboot 1: 24-byte entries {u32 size = 20, u64 address, u64 length, u32 type} at e820_dest (mmap_addr), and
     * their length in bytes as u32 at e820_count_dest (info + 44, mmap_length).
     */
    BOOTLIST_E820_MULTIBOOT1 = 2,
    /*
     * Multiboot 2: e820_dest is 8-aligned and is where the memory-map tag is to stand, after every other tag. The ROM
     * writes the whole tag {u32 type = 6, u32 size, u32 entry_size = 24, u32 entry_version = 0, entries {u64, u64,
     * u32 type, u32 0}}, the end tag {u32 0, u32 8} behind it, and total_size (u32 at `info`). The loader writes the
     * header and the other tags only. e820_count_dest is unused.
     */
    BOOTLIST_E820_MULTIBOOT2 = 3,
};

struct bootlist_header {
    uint32_t magic;       /*  0 BOOTLIST_MAGIC */
    uint16_t version;     /*  4 BOOTLIST_VERSION */
    uint16_t kind;        /*  6 enum bootlist_kind */
    uint16_t entry_count; /*  8 */
    uint16_t e820_count;  /* 10 entries of the host's own map; 0 when only bootopt.bin will read the list */
    uint16_t e820_form;   /* 12 enum bootlist_e820_form */
    uint16_t e820_max;    /* 14 entries there is room for at e820_dest; a longer map is cut */
    uint32_t e820_dest;   /* 16 */
    uint32_t e820_count_dest; /* 20 */
    uint32_t
        meminfo_dest; /* 24 where {u32 mem_lower, u32 mem_upper} goes, or 0: KiB of RAM from 0, and from 1 MiB
                                    up to the first hole, taken from the map (Multiboot 1: info + 4; 2: tag 4, + 8) */
    uint32_t entry;   /* 28 see enum bootlist_kind */
    uint32_t stack;   /* 32 ESP (LINUX16: SP); 0 = leave it in the work area, which then stays reserved */
    uint32_t info;    /* 36 ESI of LINUX32, EBX of MULTIBOOT */
    uint32_t eax;     /* 40 EAX of MULTIBOOT: 2BADB002h or 36D76289h */
    uint32_t reserved[5]; /* 44 zero */
};

/*
 * One piece of guest memory. Pieces may overlap: a later one wins. The converted memory map is stored after
 * all of them, so a copied multiboot info or boot_params is patched, not overwritten.
 */
struct bootlist_entry {
    char file[56];   /*  0 fw_cfg file name, NUL-terminated, matched by the fw_cfg directory; empty: zeros */
    uint64_t dest;   /* 56 guest-physical destination */
    uint32_t length; /* 64 bytes; what lies beyond the end of the file arrives as zeros (fw_cfg's own rule) */
    uint32_t offset; /* 68 of the first byte within the file */
};

/* ACPI, "Address Range Descriptor": type 1 RAM, 2 reserved, 3 ACPI reclaimable, 4 ACPI NVS, 5 bad. Unaligned. */
struct bootlist_e820 {
    uint32_t address_low, address_high;
    uint32_t length_low, length_high;
    uint32_t type;
};

static_assert(sizeof(struct bootlist_header) == 64, "bootlist.inc: HEADER_SIZE");
static_assert(sizeof(struct bootlist_entry) == 72, "bootlist.inc: ENTRY_SIZE");
static_assert(sizeof(struct bootlist_e820) == 20, "bootlist.inc: E820_SIZE");
static_assert(offsetof(struct bootlist_header, e820_dest) == 16, "bootlist.inc: h_e820_dest");
static_assert(offsetof(struct bootlist_header, entry) == 28, "bootlist.inc: h_entry");
static_assert(offsetof(struct bootlist_header, eax) == 40, "bootlist.inc: h_eax");
static_assert(offsetof(struct bootlist_entry, dest) == 56, "bootlist.inc: e_dest");

#endif
