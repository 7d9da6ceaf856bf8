/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What Multiboot 1 and 2 have in common: finding the header, the command line, and the modules.
 *
 * As in QEMU, -initrd lists the modules, "FILE ARGUMENTS,FILE ARGUMENTS" with ",," for a comma in a name,
 * and the command line begins with the kernel's file name.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "vm/loader_internal.h"

enum {
    MB1_MAGIC = 0x1badb002,
    MB1_SEARCH = 8192, /* the header lies within the first ... bytes */
    MB1_MIN_SIZE = 12,
    MB2_SEARCH = 32768,
    MB2_MIN_SIZE = 16,
    LOW_INFO_START = 0x10000,
};
#define MB2_MAGIC 0xe85250d6u

long loader_find_multiboot1(const uint8_t *file, size_t size)
{
    size_t end = MIN(size, (size_t)MB1_SEARCH);
    for (size_t at = 0; at + MB1_MIN_SIZE <= end; at += 4) {
        if (load_le32(file + at) == MB1_MAGIC &&
            load_le32(file + at) + load_le32(file + at + 4) + load_le32(file + at + 8) == 0) {
            return (long)at;
        }
    }
    return -1;
}

/* The header: u32 magic, architecture, header_length, checksum; architecture 0 is i386. */
long loader_find_multiboot2(const uint8_t *file, size_t size)
{
    size_t end = MIN(size, (size_t)MB2_SEARCH);
    for (size_t at = 0; at + MB2_MIN_SIZE <= end; at += 8) {
        const uint8_t *header = file + at;
        if (load_le32(header) == MB2_MAGIC && load_le32(header + 4) == 0 &&
            load_le32(header) + load_le32(header + 8) + load_le32(header + 12) == 0) {
            return (long)at;
        }
    }
    return -1;
}

char *loader_multiboot_cmdline(struct loader *loader)
{
    const char *kernel = loader->config->kernel ? loader->config->kernel : "kernel";
    const char *append = loader->config->append;
    char *text;
    if (asprintf(&text, "%s%s%s", kernel, append && *append ? " " : "", append ? append : "") < 0) {
        error_set(loader->error, -ENOMEM, "no memory for the command line");
        return NULL;
    }
    return text;
}

uint64_t loader_place_info(struct loader *loader, uint64_t size)
{
    return layout_place(&loader->layout, size, 16, LOW_INFO_START, 4 * GIB, false,
                        "the Multiboot information", loader->error);
}

/* --- Modules -------------------------------------------------------------------------------------------- */

/* The next item of a comma-separated list, with ",," made one comma, malloc'ed; *list moves behind it. */
static char *next_item(const char **list)
{
    const char *from = *list;
    char *item = malloc(strlen(from) + 1);
    size_t length = 0;
    while (item && *from && (*from != ',' || from[1] == ',')) {
        from += *from == ',';
        item[length++] = *from++;
    }
    if (item) {
        item[length] = '\0';
        *list = *from == ',' ? from + 1 : NULL;
    }
    return item;
}

/* Read the file that `string` begins with, and place it. The module takes over `string`. */
static int load_module(struct loader *loader, struct loader_modules *modules, char *string)
{
    struct loader_module *module = &modules->module[modules->count++];
    *module = (struct loader_module){.string = string};
    size_t name_length = strcspn(string, " ");
    char *path = strndup(string, name_length);
    if (!path) {
        return error_set(loader->error, -ENOMEM, "no memory for a module's name");
    }
    uint8_t *bytes;
    size_t size;
    int code = loader_read_file(path, "-initrd", loader->layout.ram_end, &bytes, &size, loader->error);
    free(path);
    char name[sizeof(loader->image->file[0].name)];
    snprintf(name, sizeof(name), "%s%u", LOADER_INITRD_FILE, modules->count - 1);
    code = code < 0 ? code : loader_add_file(loader, name, bytes, size);
    if (code < 0) {
        return code;
    }
    /* An empty module is a place without bytes. */
    module->start = layout_place(&loader->layout, size ? size : 1, PAGE_SIZE,
                                 layout_high_end(&loader->layout), 4 * GIB, false, "a module", loader->error);
    module->end = module->start + size;
    return module->start ? loader_add_entry(loader, name, module->start, size, 0) : -ENOMEM;
}

int loader_load_modules(struct loader *loader, struct loader_modules *modules)
{
    modules->count = 0;
    const char *list = loader->config->initrd;
    while (list) {
        char *string = next_item(&list);
        if (!string) {
            return error_set(loader->error, -ENOMEM, "no memory for the list of modules");
        }
        if (modules->count == LOADER_MAX_MODULES) {
            free(string);
            return error_set(loader->error, -E2BIG, "-initrd lists more than %d modules", LOADER_MAX_MODULES);
        }
        int code = load_module(loader, modules, string);
        if (code < 0) {
            return code;
        }
    }
    return 0;
}

void loader_modules_fini(struct loader_modules *modules)
{
    for (unsigned i = 0; i < modules->count; i++) {
        free(modules->module[i].string);
    }
    modules->count = 0;
}
