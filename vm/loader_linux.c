/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Linux kernels: bzImage and zImage, boot protocol 2.00 to 2.15.
 *
 * Follows Linux Documentation/arch/x86/boot.rst and zero-page.rst. A kernel file is
 *
 *   0                       boot sector and setup ("real-mode code"), (setup_sects + 1) * 512 bytes; the
 *                           setup header lies in it from 1F1h on
 *   (setup_sects + 1) * 512 the protected-mode code: the compressed kernel with its decompressor
 *
 * Two ways in:
 *
 *   under SeaBIOS    16-bit entry: setup runs, asks the BIOS for memory map and video mode, and
 *                    goes on by itself
 *     10000h (zImage and protocols before 2.02: 90000h)  real-mode code, heap and stack
 *     20000h (before 2.02: 99800h)                       command line
 *     code32_start, as a rule 100000h (zImage: 10000h)   protected-mode code
 *   under our ROM    32-bit entry: setup is skipped, and struct boot_params, which it would have
 *                    filled, is ours
 *     10000h  boot_params        20000h  command line        the rest as above
 *
 * The initial RAM disk goes as high as it may. Not modelled: 64-bit and EFI entry, setup_data, protocols
 * before 2.00 (they have no signature to tell them from any other boot sector).
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "vm/loader_internal.h"

/* The setup header, offsets from the start of the file and of boot_params alike. */
enum {
    HDR_SETUP_SECTS = 0x1f1,
    HDR_SYSSIZE = 0x1f4,
    HDR_VID_MODE = 0x1fa,
    HDR_BOOT_FLAG = 0x1fe,
    HDR_JUMP_LENGTH = 0x201, /* the header ends at 202h + this */
    HDR_MAGIC = 0x202,
    HDR_VERSION = 0x206,
    HDR_TYPE_OF_LOADER = 0x210,
    HDR_LOADFLAGS = 0x211,
    HDR_SETUP_MOVE_SIZE = 0x212,
    HDR_CODE32_START = 0x214,
    HDR_RAMDISK_IMAGE = 0x218,
    HDR_RAMDISK_SIZE = 0x21c,
    HDR_HEAP_END_PTR = 0x224,
    HDR_EXT_LOADER_VER = 0x226,
    HDR_EXT_LOADER_TYPE = 0x227,
    HDR_CMD_LINE_PTR = 0x228,
    HDR_INITRD_ADDR_MAX = 0x22c,
    HDR_KERNEL_ALIGNMENT = 0x230,
    HDR_RELOCATABLE = 0x234,
    HDR_XLOADFLAGS = 0x236,
    HDR_CMDLINE_SIZE = 0x238,
    HDR_PAYLOAD_OFFSET = 0x248,
    HDR_PAYLOAD_LENGTH = 0x24c,
    HDR_SETUP_DATA = 0x250,
    HDR_PREF_ADDRESS = 0x258,
    HDR_INIT_SIZE = 0x260,
    HDR_END_MAX = 0x281, /* what a jump length of 7Fh reaches */
};

/* struct boot_params, what lies around the setup header ("zero page"). */
enum {
    ZP_ORIG_X = 0x00,
    ZP_EXT_MEM_K = 0x02,
    ZP_ORIG_VIDEO_PAGE = 0x04,
    ZP_ORIG_VIDEO_MODE = 0x06,
    ZP_ORIG_VIDEO_COLS = 0x07,
    ZP_ORIG_VIDEO_EGA_BX = 0x0a,
    ZP_ORIG_VIDEO_LINES = 0x0e,
    ZP_ORIG_VIDEO_IS_VGA = 0x0f,
    ZP_ORIG_VIDEO_POINTS = 0x10,
    ZP_ACPI_RSDP_ADDR = 0x70,
    ZP_ALT_MEM_K = 0x1e0,
    ZP_E820_ENTRIES = 0x1e8,
    ZP_E820_TABLE = 0x2d0,
    ZP_E820_MAX = 128,
    ZP_SIZE = 4096,
};

enum {
    BOOT_FLAG = 0xaa55,
    MAGIC_HDRS = 0x53726448, /* "HdrS" */
    LOADED_HIGH = 1u << 0,   /* loadflags */
    CAN_USE_HEAP = 1u << 7,
    XLF_KERNEL_64 = 1u << 0, /* xloadflags */
    TYPE_OF_LOADER = 0xff,   /* a loader without an assigned number */
    OLD_CMDLINE_MAGIC = 0xa33f,
    OLD_CMDLINE_MAGIC_OFFSET = 0x20, /* in the boot sector, protocols before 2.02 */
    OLD_CMDLINE_OFFSET_OFFSET = 0x22,
    VIDEO_NORMAL = 0xffff,
    VIDEO_EXTENDED = 0xfffe,
    VIDEO_ASK = 0xfffd,
};

#define DEFAULT_INITRD_ADDR_MAX 0x37ffffffu /* before 2.03 */
#define ZIMAGE_ADDRESS          0x10000u
#define BZIMAGE_ADDRESS         0x100000u
#define STACK_ROOM              0x1000u /* at least, between the end of setup and the top of its segment */

/* What the setup header says, checked. */
struct linux_header {
    unsigned version; /* 0x0200 + minor */
    bool high;        /* bzImage */
    bool relocatable;
    bool kernel64;
    uint32_t setup_size;         /* bytes */
    uint32_t header_end;         /* offset of the first byte behind the setup header */
    uint32_t kernel_size;        /* bytes of protected-mode code */
    uint32_t load_address;       /* of the protected-mode code */
    uint64_t run_start, run_end; /* memory the kernel uses before it looks at the memory map */
    uint32_t initrd_addr_max;    /* last address the RAM disk may occupy */
    uint32_t cmdline_size;       /* longest command line, without the NUL */
};

/* Where the pieces below 1 MiB go. */
struct linux_places {
    uint32_t real;     /* real-mode code */
    uint32_t heap_end; /* offset from `real` of the end of heap and stack */
    uint32_t cmdline;
    uint32_t cmdline_room; /* bytes, with the NUL */
};

static const struct linux_places places_new = {0x10000, 0xfe00, 0x20000, LAYOUT_LOW_END - 0x20000};
static const struct linux_places places_zimage = {0x90000, 0x9800, 0x99800, 0x800};

bool loader_is_linux(const uint8_t *file, size_t size)
{
    return size >= HDR_VERSION + 2 && load_le16(file + HDR_BOOT_FLAG) == BOOT_FLAG &&
           load_le32(file + HDR_MAGIC) == MAGIC_HDRS;
}

/* --- Reading the header --------------------------------------------------------------------------------- */

/* Sizes: where the header, the setup code and the kernel end. */
static int parse_sizes(const struct loader *loader, struct linux_header *header)
{
    const uint8_t *file = loader->kernel;
    unsigned sectors = file[HDR_SETUP_SECTS] ? file[HDR_SETUP_SECTS] : 4;
    header->setup_size = (sectors + 1) * 512;
    header->version = load_le16(file + HDR_VERSION);
    header->header_end = HDR_MAGIC + file[HDR_JUMP_LENGTH];
    if (header->version < 0x0200 || header->version > 0x02ff) {
        return error_set(loader->error, -ENOEXEC, "it claims boot protocol %u.%02u; 2.00 to 2.15 are known",
                         header->version >> 8, header->version & 0xff);
    }
    if (loader->kernel_size <= header->setup_size) {
        return error_set(loader->error, -ENOEXEC,
                         "the file is cut short: %zu bytes, but its setup code alone has %u",
                         loader->kernel_size, header->setup_size);
    }
    if (loader->kernel_size > UINT32_MAX) {
        return error_set(loader->error, -EFBIG, "the kernel is larger than 4 GiB");
    }
    header->kernel_size = (uint32_t)loader->kernel_size - header->setup_size;
    /* syssize counts 16-byte units, the last one perhaps begun; older protocols kept half of the field. */
    uint64_t syssize = 16 * (uint64_t)load_le32(file + HDR_SYSSIZE);
    if (header->version >= 0x0204 && syssize > header->kernel_size + (uint64_t)15) {
        return error_set(loader->error, -ENOEXEC,
                         "the file is cut short: %u bytes of kernel, but its header says %" PRIu64,
                         header->kernel_size, syssize);
    }
    return 0;
}

/* Fields that came with the protocol's versions, each with what held before. The smallest setup is 1024
 * bytes, so all of them lie inside the file. */
static int parse_fields(const struct loader *loader, struct linux_header *header)
{
    const uint8_t *file = loader->kernel;
    unsigned version = header->version;
    header->high = file[HDR_LOADFLAGS] & LOADED_HIGH;
    header->relocatable = version >= 0x0205 && file[HDR_RELOCATABLE];
    header->kernel64 = version >= 0x020c && (load_le16(file + HDR_XLOADFLAGS) & XLF_KERNEL_64);
    header->initrd_addr_max =
        version >= 0x0203 ? load_le32(file + HDR_INITRD_ADDR_MAX) : DEFAULT_INITRD_ADDR_MAX;
    header->cmdline_size = version >= 0x0206 ? load_le32(file + HDR_CMDLINE_SIZE) : 255;
    header->load_address = ZIMAGE_ADDRESS;
    if (header->high) {
        uint32_t start = load_le32(file + HDR_CODE32_START);
        header->load_address = start ? start : BZIMAGE_ADDRESS;
    }
    if (version >= 0x0208) {
        uint64_t payload_end =
            (uint64_t)load_le32(file + HDR_PAYLOAD_OFFSET) + load_le32(file + HDR_PAYLOAD_LENGTH);
        if (load_le32(file + HDR_PAYLOAD_LENGTH) && payload_end > header->kernel_size) {
            return error_set(loader->error, -ENOEXEC,
                             "its compressed payload ends at %" PRIu64
                             " of %u bytes: the file is cut short or "
                             "damaged",
                             payload_end, header->kernel_size);
        }
    }
    return 0;
}

/* The memory the kernel needs before it can look at a memory map (boot.rst, "init_size"). */
static int parse_run_area(const struct loader *loader, struct linux_header *header)
{
    const uint8_t *file = loader->kernel;
    header->run_start = header->load_address;
    header->run_end = (uint64_t)header->load_address + header->kernel_size;
    if (header->relocatable) {
        uint32_t alignment = load_le32(file + HDR_KERNEL_ALIGNMENT);
        if (alignment == 0 || (alignment & (alignment - 1))) {
            return error_set(loader->error, -ENOEXEC,
                             "kernel_alignment %#x in its header is not a power of two", alignment);
        }
        header->run_start = ALIGN_UP((uint64_t)header->load_address, alignment);
    }
    if (header->version >= 0x020a) {
        uint64_t preferred = load_le64(file + HDR_PREF_ADDRESS);
        if (preferred >= 4 * GIB) {
            return error_set(loader->error, -ENOEXEC,
                             "pref_address %#" PRIx64 " in its header lies above 4 GiB", preferred);
        }
        /* A relocatable i386 kernel loaded below its preferred address moves itself up to it. */
        header->run_start = header->relocatable ? MAX(header->run_start, preferred) : preferred;
        header->run_end = MAX(header->run_end, header->run_start + load_le32(file + HDR_INIT_SIZE));
    }
    if (header->high && header->run_end > loader->layout.ram_end) {
        return error_set(loader->error, -ENOMEM,
                         "this kernel needs memory up to %" PRIu64
                         " MiB while it starts, and usable memory ends at "
                         "%" PRIu64 " MiB; give the machine more (-m)",
                         (header->run_end + MIB - 1) / MIB, loader->layout.ram_end / MIB);
    }
    return 0;
}

static int parse_header(const struct loader *loader, struct linux_header *header)
{
    *header = (struct linux_header){0};
    int code = parse_sizes(loader, header);
    code = code < 0 ? code : parse_fields(loader, header);
    return code < 0 ? code : parse_run_area(loader, header);
}

/* --- The command line ----------------------------------------------------------------------------------- */

/* vga= is for the boot loader: it becomes vid_mode. The last one counts. */
static uint16_t video_mode(const char *cmdline)
{
    uint16_t mode = VIDEO_NORMAL;
    for (const char *at = strstr(cmdline, "vga="); at; at = strstr(at + 4, "vga=")) {
        if (at != cmdline && at[-1] != ' ') {
            continue;
        }
        const char *value = at + 4;
        if (strncmp(value, "normal", 6) == 0) {
            mode = VIDEO_NORMAL;
        } else if (strncmp(value, "ext", 3) == 0) {
            mode = VIDEO_EXTENDED;
        } else if (strncmp(value, "ask", 3) == 0) {
            mode = VIDEO_ASK;
        } else {
            mode = (uint16_t)strtoul(value, NULL, 0);
        }
    }
    return mode;
}

static int place_cmdline(struct loader *loader, const struct linux_header *header,
                         const struct linux_places *places)
{
    const char *cmdline = loader->config->append ? loader->config->append : "";
    size_t length = strlen(cmdline);
    if (length > header->cmdline_size || length >= places->cmdline_room) {
        return error_set(loader->error, -E2BIG, "-append has %zu characters, this kernel takes at most %u",
                         length, MIN(header->cmdline_size, places->cmdline_room - 1));
    }
    int code = layout_take(&loader->layout, places->cmdline, length + 1, "the command line", loader->error);
    code = code < 0 ? code : loader_add_copy(loader, LOADER_CMDLINE_FILE, cmdline, length + 1);
    return code < 0 ? code : loader_add_entry(loader, LOADER_CMDLINE_FILE, places->cmdline, length + 1, 0);
}

/* --- Kernel and RAM disk -------------------------------------------------------------------------------- */

static int place_kernel(struct loader *loader, const struct linux_header *header)
{
    int code =
        layout_take(&loader->layout, header->load_address, header->kernel_size, "the kernel", loader->error);
    return code < 0 ? code
                    : loader_add_entry(loader, LOADER_KERNEL_FILE, header->load_address, header->kernel_size,
                                       header->setup_size);
}

/* As high as the header allows, above everything the kernel uses while it starts. */
static int place_initrd(struct loader *loader, const struct linux_header *header, uint32_t *address,
                        uint32_t *size)
{
    *address = *size = 0;
    if (!loader->config->initrd) {
        return 0;
    }
    uint8_t *bytes;
    size_t length;
    int code = loader_read_file(loader->config->initrd, "-initrd", loader->layout.ram_end, &bytes, &length,
                                loader->error);
    code = code < 0 ? code : loader_add_file(loader, LOADER_INITRD_FILE, bytes, length);
    if (code < 0) {
        return code;
    }
    if (length == 0) {
        return error_set(loader->error, -EINVAL, "-initrd: '%s' is empty", loader->config->initrd);
    }
    uint64_t low = MAX(header->run_end, (uint64_t)LAYOUT_HIGH_START);
    uint64_t place =
        layout_place(&loader->layout, length, PAGE_SIZE, low, (uint64_t)header->initrd_addr_max + 1, true,
                     "the initial RAM disk", loader->error);
    if (!place) {
        return -ENOMEM;
    }
    *address = (uint32_t)place;
    *size = (uint32_t)length;
    return loader_add_entry(loader, LOADER_INITRD_FILE, place, length, 0);
}

/* The fields of the setup header that both entries want from a loader. */
static void fill_header(uint8_t *setup, const struct loader *loader, const struct linux_header *header,
                        const struct linux_places *places, uint32_t ramdisk, uint32_t ramdisk_size)
{
    const char *cmdline = loader->config->append ? loader->config->append : "";
    store_le16(setup + HDR_VID_MODE, video_mode(cmdline));
    setup[HDR_TYPE_OF_LOADER] = TYPE_OF_LOADER;
    store_le32(setup + HDR_RAMDISK_IMAGE, ramdisk);
    store_le32(setup + HDR_RAMDISK_SIZE, ramdisk_size);
    if (header->high) {
        store_le32(setup + HDR_CODE32_START, header->load_address);
    }
    if (header->version >= 0x0201) {
        setup[HDR_LOADFLAGS] |= CAN_USE_HEAP;
        store_le16(setup + HDR_HEAP_END_PTR, (uint16_t)(places->heap_end - 0x200));
    }
    if (header->version >= 0x0202) {
        setup[HDR_EXT_LOADER_VER] = 0;
        setup[HDR_EXT_LOADER_TYPE] = 0;
        store_le32(setup + HDR_CMD_LINE_PTR, places->cmdline);
    } else {
        store_le16(setup + OLD_CMDLINE_MAGIC_OFFSET, OLD_CMDLINE_MAGIC);
        store_le16(setup + OLD_CMDLINE_OFFSET_OFFSET, (uint16_t)(places->cmdline - places->real));
        store_le16(setup + HDR_SETUP_MOVE_SIZE, (uint16_t)(places->heap_end + places->cmdline_room));
    }
    if (header->version >= 0x0209) {
        store_le64(setup + HDR_SETUP_DATA, 0);
    }
}

/* --- 16-bit entry --------------------------------------------------------------------------------------- */

static int prepare_linux16(struct loader *loader, const struct linux_header *header,
                           const struct linux_places *places, uint32_t ramdisk, uint32_t ramdisk_size)
{
    if (header->setup_size + STACK_ROOM > places->heap_end) {
        return error_set(loader->error, -ENOEXEC, "its setup code of %u bytes leaves no room for a stack",
                         header->setup_size);
    }
    int code = layout_take(&loader->layout, places->real, places->heap_end, "the setup code", loader->error);
    code = code < 0 ? code : loader_add_copy(loader, LOADER_SETUP_FILE, loader->kernel, header->setup_size);
    if (code < 0) {
        return code;
    }
    uint8_t *setup = loader->image->file[loader->image->file_count - 1].bytes;
    fill_header(setup, loader, header, places, ramdisk, ramdisk_size);
    struct bootlist_header *list = &loader->image->header;
    list->kind = BOOTLIST_LINUX16;
    list->entry = places->real;
    list->stack = places->heap_end;
    return loader_add_entry(loader, LOADER_SETUP_FILE, places->real, header->setup_size, 0);
}

/* --- 32-bit entry --------------------------------------------------------------------------------------- */

/* What setup would have learnt from the BIOS: VGA text mode 3 with the cursor in the first column. */
static void fill_screen_info(uint8_t *page)
{
    page[ZP_ORIG_X] = 0;
    page[ZP_ORIG_VIDEO_MODE] = 3;
    page[ZP_ORIG_VIDEO_COLS] = 80;
    store_le16(page + ZP_ORIG_VIDEO_PAGE, 0);
    store_le16(page + ZP_ORIG_VIDEO_EGA_BX, 3); /* colour, 256 KiB, as INT 10h AH=12h BL=10h answers */
    page[ZP_ORIG_VIDEO_LINES] = 25;
    page[ZP_ORIG_VIDEO_IS_VGA] = 1;
    store_le16(page + ZP_ORIG_VIDEO_POINTS, 16);
}

static void fill_memory_sizes(uint8_t *page, uint64_t ram_end)
{
    uint64_t extended = ram_end > MIB ? (ram_end - MIB) / KIB : 0;
    store_le16(page + ZP_EXT_MEM_K, (uint16_t)MIN(extended, 0xfc00u));
    store_le32(page + ZP_ALT_MEM_K, (uint32_t)extended);
}

static int check_32bit_entry(const struct loader *loader, const struct linux_header *header)
{
    if (!header->high || header->version < 0x0202) {
        return error_set(
            loader->error, -ENOEXEC,
            "a zImage or boot protocol %u.%02u kernel starts in real mode and needs a BIOS: drop "
            "-bios builtin",
            header->version >> 8, header->version & 0xff);
    }
    if (header->kernel64) {
        return error_set(
            loader->error, -ENOEXEC,
            "this is a 64-bit kernel, and the machine's processor has no long mode: use an i386 one");
    }
    return 0;
}

static int prepare_linux32(struct loader *loader, const struct linux_header *header,
                           const struct linux_places *places, uint32_t ramdisk, uint32_t ramdisk_size)
{
    int code = check_32bit_entry(loader, header);
    code =
        code < 0 ? code : layout_take(&loader->layout, places->real, ZP_SIZE, "boot_params", loader->error);
    uint8_t *page = calloc(1, ZP_SIZE);
    if (code < 0 || !page) {
        free(page);
        return code < 0 ? code : error_set(loader->error, -ENOMEM, "no memory for boot_params");
    }
    uint32_t end = MIN(MIN(header->header_end, (uint32_t)HDR_END_MAX), header->setup_size);
    if (end > HDR_SETUP_SECTS) {
        memcpy(page + HDR_SETUP_SECTS, loader->kernel + HDR_SETUP_SECTS, end - HDR_SETUP_SECTS);
    }
    fill_header(page, loader, header, places, ramdisk, ramdisk_size);
    fill_screen_info(page);
    fill_memory_sizes(page, loader->layout.ram_end);
    if (header->version >= 0x020e) {
        store_le64(page + ZP_ACPI_RSDP_ADDR, loader->config->rsdp_address);
    }
    struct bootlist_header *list = &loader->image->header;
    list->kind = BOOTLIST_LINUX32;
    list->entry = header->load_address;
    list->info = places->real;
    list->e820_form = BOOTLIST_E820_RAW;
    list->e820_max = ZP_E820_MAX;
    list->e820_dest = places->real + ZP_E820_TABLE;
    list->e820_count_dest = places->real + ZP_E820_ENTRIES;
    code = loader_add_file(loader, LOADER_SETUP_FILE, page, ZP_SIZE);
    return code < 0 ? code : loader_add_entry(loader, LOADER_SETUP_FILE, places->real, ZP_SIZE, 0);
}

int loader_prepare_linux(struct loader *loader)
{
    struct linux_header header;
    int code = parse_header(loader, &header);
    if (code < 0) {
        return code;
    }
    const struct linux_places *places =
        header.high && header.version >= 0x0202 ? &places_new : &places_zimage;
    uint32_t ramdisk, ramdisk_size;
    code = place_kernel(loader, &header);
    code = code < 0 ? code : place_cmdline(loader, &header, places);
    code = code < 0 ? code : place_initrd(loader, &header, &ramdisk, &ramdisk_size);
    if (code < 0) {
        return code;
    }
    return loader->config->builtin_rom ? prepare_linux32(loader, &header, places, ramdisk, ramdisk_size)
                                       : prepare_linux16(loader, &header, places, ramdisk, ramdisk_size);
}
