/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * See loader.h. This file reads the files, finds out what they are, and keeps the image: the files for
 * fw_cfg and the boot list. The formats are in loader_linux.c and loader_multiboot[12].c.
 */
#include "vm/loader.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "vm/loader_internal.h"

/* --- Files ---------------------------------------------------------------------------------------------- */

/* Read until the end of the file; it may be a pipe, so its size is not known beforehand. */
static int read_all(int fd, uint64_t limit, uint8_t **bytes, size_t *size)
{
    size_t capacity = 64 * KIB, used = 0;
    uint8_t *buffer = malloc(capacity);
    ssize_t got = buffer ? 1 : -1;
    while (buffer && got > 0) {
        if (used == capacity) {
            uint8_t *larger = realloc(buffer, capacity * 2);
            if (!larger) {
                break;
            }
            buffer = larger;
            capacity *= 2;
        }
        do {
            got = read(fd, buffer + used, capacity - used);
        } while (got < 0 && errno == EINTR);
        used += got > 0 ? (size_t)got : 0;
        if (used > limit) {
            free(buffer);
            return -EFBIG;
        }
    }
    if (got != 0) {
        int code = buffer && got < 0 ? -errno : -ENOMEM;
        free(buffer);
        return code;
    }
    *bytes = buffer;
    *size = used;
    return 0;
}

int loader_read_file(const char *path, const char *what, uint64_t limit, uint8_t **bytes, size_t *size,
                     struct error *error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) {
        return error_set(error, -errno, "%s: cannot open '%s': %s", what, path, strerror(errno));
    }
    int code = read_all(fd, limit, bytes, size);
    close(fd);
    if (code == -EFBIG) {
        return error_set(error, code, "%s: '%s' is larger than the %" PRIu64 " KiB there is room for", what,
                         path, limit / KIB);
    }
    if (code < 0) {
        return error_set(error, code, "%s: cannot read '%s': %s", what, path, strerror(-code));
    }
    return 0;
}

/* --- The image ------------------------------------------------------------------------------------------ */

static int image_add_file(struct loader_image *image, const char *name, uint8_t *bytes, size_t size,
                          struct error *error)
{
    if (image->file_count == LOADER_MAX_FILES || strlen(name) >= sizeof(image->file[0].name)) {
        free(bytes);
        return error_set(error, -E2BIG, "too many files to load (at most %d)", LOADER_MAX_FILES);
    }
    struct loader_file *file = &image->file[image->file_count++];
    *file = (struct loader_file){.bytes = bytes, .size = size};
    strcpy(file->name, name);
    return 0;
}

static int image_add_copy(struct loader_image *image, const char *name, const void *bytes, size_t size,
                          struct error *error)
{
    uint8_t *copy = malloc(size ? size : 1);
    if (!copy) {
        return error_set(error, -ENOMEM, "no memory for %zu bytes of %s", size, name);
    }
    if (size) {
        memcpy(copy, bytes, size);
    }
    return image_add_file(image, name, copy, size, error);
}

static int image_add_entry(struct loader_image *image, const char *name, uint64_t dest, uint32_t length,
                           uint32_t offset, struct error *error)
{
    if (image->header.entry_count == LOADER_MAX_ENTRIES) {
        return error_set(error, -E2BIG, "the kernel has too many pieces to load (at most %d)",
                         LOADER_MAX_ENTRIES);
    }
    struct bootlist_entry *entry = &image->entry[image->header.entry_count++];
    *entry = (struct bootlist_entry){.dest = dest, .length = length, .offset = offset};
    strcpy(entry->file, name);
    return 0;
}

int loader_add_file(struct loader *loader, const char *name, uint8_t *bytes, size_t size)
{
    return image_add_file(loader->image, name, bytes, size, loader->error);
}

int loader_add_copy(struct loader *loader, const char *name, const void *bytes, size_t size)
{
    return image_add_copy(loader->image, name, bytes, size, loader->error);
}

int loader_add_entry(struct loader *loader, const char *name, uint64_t dest, uint64_t length, uint64_t offset)
{
    if (length > UINT32_MAX || offset > UINT32_MAX) {
        return error_set(loader->error, -EFBIG, "a piece of the kernel is larger than 4 GiB");
    }
    return image_add_entry(loader->image, name, dest, (uint32_t)length, (uint32_t)offset, loader->error);
}

int loader_image_add_piece(struct loader_image *image, const char *name, const void *bytes, size_t size,
                           uint32_t dest, struct error *error)
{
    int code = image_add_copy(image, name, bytes, size, error);
    return code < 0 ? code : image_add_entry(image, name, dest, (uint32_t)size, 0, error);
}

int loader_image_finish(struct loader_image *image, struct error *error)
{
    struct blob list;
    blob_init(&list);
    image->header.magic = BOOTLIST_MAGIC;
    image->header.version = BOOTLIST_VERSION;
    blob_append(&list, &image->header, sizeof(image->header));
    blob_append(&list, image->entry, image->header.entry_count * sizeof(image->entry[0]));
    blob_append(&list, image->e820, image->header.e820_count * sizeof(image->e820[0]));
    if (list.failed) {
        blob_fini(&list);
        return error_set(error, -ENOMEM, "no memory for the boot list");
    }
    return image_add_file(image, BOOTLIST_FILE, list.bytes, list.size, error);
}

void loader_image_fini(struct loader_image *image)
{
    for (unsigned i = 0; i < image->file_count; i++) {
        free(image->file[i].bytes);
    }
    *image = (struct loader_image){0};
}

/* --- Which format --------------------------------------------------------------------------------------- */

static int refuse_unknown(const struct loader *loader)
{
    if (loader_is_elf(loader->kernel, loader->kernel_size, 1) ||
        loader_is_elf(loader->kernel, loader->kernel_size, 2)) {
        return error_set(
            loader->error, -ENOEXEC,
            "this ELF file has no valid Multiboot header: put a 4-aligned Multiboot 1 header into its "
            "first 8 KiB or an 8-aligned Multiboot 2 header into its first 32 KiB");
    }
    return error_set(
        loader->error, -ENOEXEC,
        "this is neither a Linux bzImage nor a Multiboot kernel; boot a disk image with -drive, a ROM "
        "with -bios");
}

static int prepare_multiboot(struct loader *loader)
{
    enum loader_multiboot wanted = loader->config->multiboot;
    long v1 = loader_find_multiboot1(loader->kernel, loader->kernel_size);
    long v2 = loader_find_multiboot2(loader->kernel, loader->kernel_size);
    if (v1 >= 0 && wanted != LOADER_MULTIBOOT_2) {
        return loader_prepare_multiboot1(loader, (size_t)v1);
    }
    if (v2 >= 0 && wanted != LOADER_MULTIBOOT_1) {
        return loader_prepare_multiboot2(loader, (size_t)v2);
    }
    if (v1 >= 0 || v2 >= 0) {
        return error_set(loader->error, -ENOEXEC, "it has no Multiboot %d header, only one of version %d",
                         (int)wanted, v1 >= 0 ? 1 : 2);
    }
    return refuse_unknown(loader);
}

static int prepare_format(struct loader *loader)
{
    if (loader->config->multiboot == LOADER_MULTIBOOT_AUTO &&
        loader_is_linux(loader->kernel, loader->kernel_size)) {
        return loader_prepare_linux(loader);
    }
    return prepare_multiboot(loader);
}

/* The kernel becomes the image's first file. */
static int load_kernel(struct loader *loader)
{
    const struct loader_config *config = loader->config;
    int code;
    if (config->kernel_bytes) {
        code = loader_add_copy(loader, LOADER_KERNEL_FILE, config->kernel_bytes, config->kernel_size);
    } else {
        uint8_t *bytes;
        size_t size;
        code = loader_read_file(config->kernel, "-kernel", config->ram_end, &bytes, &size, loader->error);
        code = code < 0 ? code : loader_add_file(loader, LOADER_KERNEL_FILE, bytes, size);
    }
    if (code < 0) {
        return code;
    }
    loader->kernel = loader->image->file[0].bytes;
    loader->kernel_size = loader->image->file[0].size;
    code = prepare_format(loader);
    return code < 0 ? error_prefix(loader->error, code, "-kernel %s",
                                   config->kernel ? config->kernel : "(built in)")
                    : 0;
}

int loader_prepare(struct loader_image *image, const struct loader_config *config, struct error *error)
{
    *image = (struct loader_image){0};
    if (config->e820_count > LOADER_MAX_E820) {
        return error_set(error, -E2BIG, "the memory map has more than %d entries", LOADER_MAX_E820);
    }
    struct loader loader = {.config = config, .image = image, .error = error};
    layout_init(&loader.layout, MIN(config->ram_end, 4 * GIB));
    int code = load_kernel(&loader);
    if (code < 0) {
        loader_image_fini(image);
        return code;
    }
    if (config->builtin_rom && config->e820_count) {
        memcpy(image->e820, config->e820, config->e820_count * sizeof(image->e820[0]));
        image->header.e820_count = (uint16_t)config->e820_count;
    }
    return 0;
}
