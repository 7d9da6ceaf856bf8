/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Direct kernel loading (-kernel, -initrd, -append): from files on the host to a boot list.
 *
 *   bzImage, zImage       loader_linux.c       boot protocol 2.00 and later
 *   Multiboot 1           loader_multiboot1.c  ELF32, or any file with the header's address fields
 *   Multiboot 2           loader_multiboot2.c  the same with the 2.0 header
 *
 * The loader reads and checks the files, decides where in guest memory everything goes (loader_layout.h), and
 * describes that by a boot list (roms/boot/bootlist.h) and the files the list names. It touches neither guest
 * memory nor devices: our boot ROMs carry the list out inside the guest, after every reset again.
 *
 * Which format: the Linux signature "HdrS" first, then Multiboot 1, then Multiboot 2; `multiboot` forces one
 * of the latter two for kernels that carry both headers. Every number in a kernel file is hostile: a header
 * that makes no sense is refused with one line that names it, and nothing is loaded.
 *
 * Not modelled: 64-bit and EFI entry points, compressed Multiboot kernels, kernels above 4 GiB.
 */
#ifndef VM_LOADER_H
#define VM_LOADER_H

#include "base/error.h"
#include "base/types.h"
#include "roms/boot/bootlist.h"

enum loader_multiboot { LOADER_MULTIBOOT_AUTO = 0, LOADER_MULTIBOOT_1 = 1, LOADER_MULTIBOOT_2 = 2 };

enum {
    LOADER_MAX_MODULES = 32,
    LOADER_MAX_FILES = LOADER_MAX_MODULES + 16,
    LOADER_MAX_ENTRIES = 152, /* of the boot list; with LOADER_MAX_E820 they fill BOOTLIST_MAX_BYTES */
    LOADER_MAX_E820 = 32,
};

static_assert(sizeof(struct bootlist_header) + LOADER_MAX_ENTRIES * sizeof(struct bootlist_entry) +
                      LOADER_MAX_E820 * sizeof(struct bootlist_e820) <=
                  BOOTLIST_MAX_BYTES,
              "the longest boot list must fit");

struct loader_config {
    const char *kernel;          /* path; also the first word of a Multiboot command line */
    const uint8_t *kernel_bytes; /* the kernel itself, when it is already in memory; else NULL */
    size_t kernel_size;
    const char *initrd; /* path; Multiboot: "FILE ARGS,FILE ARGS" with ",," for a comma; NULL: none */
    const char *append; /* command line, NULL: empty */
    enum loader_multiboot multiboot;

    bool builtin_rom; /* no BIOS: 32-bit entry and the memory map below; else 16-bit entry under SeaBIOS */
    uint64_t ram_end; /* first byte past the RAM below 4 GiB that a kernel may be loaded into; what the
                           firmware keeps at the top is already taken off */
    const struct bootlist_e820 *e820; /* builtin_rom: the memory map */
    unsigned e820_count;
    const uint8_t *rsdp; /* builtin_rom: a copy of the RSDP and its size, or NULL */
    size_t rsdp_size;
    uint32_t rsdp_address; /* guest-physical; 0: none */
};

/* A file for fw_cfg. */
struct loader_file {
    char name[56];
    uint8_t *bytes; /* owned by the image */
    size_t size;
};

/* What loading produced: the files, and the boot list that names them. */
struct loader_image {
    struct loader_file file[LOADER_MAX_FILES];
    unsigned file_count;
    struct bootlist_header header;
    struct bootlist_entry entry[LOADER_MAX_ENTRIES];
    struct bootlist_e820 e820[LOADER_MAX_E820];
};

/* Initialises *image and fills it from the configuration. On failure: negative errno, the text set, the image
 * empty. On success the boot list is complete but not yet a file: loader_image_add_piece() may still add to
 * it. */
int loader_prepare(struct loader_image *image, const struct loader_config *config, struct error *error);

/* One more file (bytes are copied) and the order to put it at guest-physical `dest`. */
int loader_image_add_piece(struct loader_image *image, const char *name, const void *bytes, size_t size,
                           uint32_t dest, struct error *error);

/* Make the file BOOTLIST_FILE from the list. Call once, last. */
int loader_image_finish(struct loader_image *image, struct error *error);

void loader_image_fini(struct loader_image *image);

/* Read a whole file into a buffer of its own (at least one byte is allocated). `what` opens the error text,
 * as in "-initrd". More than `limit` bytes is -EFBIG. */
int loader_read_file(const char *path, const char *what, uint64_t limit, uint8_t **bytes, size_t *size,
                     struct error *error);

#endif
