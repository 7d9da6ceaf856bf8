/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the kernel formats share while they turn a file into a boot list. Not for use outside vm/loader*.c.
 *
 * A format takes a `struct loader` with the kernel's bytes in it, claims memory in the layout, adds files and
 * entries to the image and fills in the image's header. Failures carry their text in `error` and need no
 * clean-up: the caller drops the whole image.
 */
#ifndef VM_LOADER_INTERNAL_H
#define VM_LOADER_INTERNAL_H

#include "vm/loader.h"
#include "vm/loader_blob.h"
#include "vm/loader_layout.h"

#define LOADER_KERNEL_FILE  "opt/hypatia/kernel"
#define LOADER_SETUP_FILE   "opt/hypatia/setup"  /* Linux: patched real-mode code, or boot_params */
#define LOADER_INITRD_FILE  "opt/hypatia/initrd" /* Multiboot: initrd0, initrd1, ... */
#define LOADER_CMDLINE_FILE "opt/hypatia/cmdline"
#define LOADER_INFO_FILE    "opt/hypatia/info" /* Multiboot information */
#define LOADER_SYMBOL_FILE  "opt/hypatia/symbols"
#define LOADER_NAME         "hypatia"

struct loader {
    const struct loader_config *config;
    struct loader_image *image;
    struct layout layout;
    const uint8_t *kernel; /* the whole file; owned by the image */
    size_t kernel_size;
    struct error *error;
};

/* Add a file that takes over `bytes` (malloc'ed), also on failure. */
int loader_add_file(struct loader *loader, const char *name, uint8_t *bytes, size_t size);
/* Add a copy. */
int loader_add_copy(struct loader *loader, const char *name, const void *bytes, size_t size);
/* Order: `length` bytes of the file from `offset` to guest-physical `dest`; a name of "" means zeros. */
int loader_add_entry(struct loader *loader, const char *name, uint64_t dest, uint64_t length,
                     uint64_t offset);

/* --- The program inside an ELF file or behind a header with address fields ------------------------------ */

enum { LOADER_MAX_SEGMENTS = 64 };

struct loader_segment {
    uint64_t dest;   /* guest-physical */
    uint64_t offset; /* in the kernel file */
    uint64_t file_size;
    uint64_t mem_size; /* >= file_size; the rest is zeros */
};

struct loader_program {
    struct loader_segment segment[LOADER_MAX_SEGMENTS];
    unsigned segment_count;
    uint64_t entry; /* guest-physical */
};

/* Does the file begin like an ELF file of the given class (1: 32 bits, 2: 64 bits)? */
bool loader_is_elf(const uint8_t *file, size_t size, unsigned class);
/* Read and check the program headers. */
int loader_elf_program(const uint8_t *file, size_t size, struct loader_program *program, struct error *error);

/* A header's address fields, Multiboot 1 and 2 alike. */
struct loader_address_fields {
    uint64_t header_addr, load_addr, load_end_addr, bss_end_addr, entry_addr;
    uint64_t header_offset; /* of the header in the file */
    bool whole_file;        /* Multiboot 2: load_addr is -1, load from the start of the file */
};
int loader_address_program(const struct loader_address_fields *fields, size_t size,
                           struct loader_program *program, struct error *error);

/* Lowest address and first one past the end. */
void loader_program_bounds(const struct loader_program *program, uint64_t *low, uint64_t *high);
/* Check the entry point, claim the segments' memory and add their entries. */
int loader_place_program(struct loader *loader, const struct loader_program *program);

/* The section header table with the symbol and string tables loaded, as Multiboot kernels may ask for it. */
struct loader_sections {
    uint32_t count, entry_size, string_index;
    uint8_t *table; /* count * entry_size bytes, owned by the caller; NULL when the file has none */
};
int loader_elf_sections(struct loader *loader, struct loader_sections *sections);

/* --- Multiboot ------------------------------------------------------------------------------------------ */

struct loader_module {
    uint64_t start, end; /* guest-physical; end is exclusive */
    char *string;        /* the file's name and arguments; owned */
};

struct loader_modules {
    struct loader_module module[LOADER_MAX_MODULES];
    unsigned count;
};

/* Load the files -initrd lists at page boundaries after the kernel. The list is to be freed in any case. */
int loader_load_modules(struct loader *loader, struct loader_modules *modules);
void loader_modules_fini(struct loader_modules *modules);

/* "kernel-file append", malloc'ed; NULL with the text set when memory is out. */
char *loader_multiboot_cmdline(struct loader *loader);

/* Memory for an info block of at most `size` bytes: low if possible. 0 with the text set when there is none.
 */
uint64_t loader_place_info(struct loader *loader, uint64_t size);

/* Offsets of the headers in the kernel, or -1. */
long loader_find_multiboot1(const uint8_t *file, size_t size);
long loader_find_multiboot2(const uint8_t *file, size_t size);

/* --- The formats ---------------------------------------------------------------------------------------- */

bool loader_is_linux(const uint8_t *file, size_t size);
int loader_prepare_linux(struct loader *loader);
int loader_prepare_multiboot1(struct loader *loader, size_t header_offset);
int loader_prepare_multiboot2(struct loader *loader, size_t header_offset);

#endif
