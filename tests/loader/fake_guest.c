/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * See fake_guest.h.
 */
#include "fake_guest.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vm/loader_layout.h"

struct fake_guest fake_guest_create(uint64_t size)
{
    void *ram = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return (struct fake_guest){.ram = ram == MAP_FAILED ? NULL : ram, .size = size};
}

void fake_guest_destroy(struct fake_guest *guest)
{
    munmap(guest->ram, guest->size);
    guest->ram = NULL;
}

const struct loader_file *fake_guest_file(const struct loader_image *image, const char *name)
{
    for (unsigned i = 0; i < image->file_count; i++) {
        if (strcmp(image->file[i].name, name) == 0) {
            return &image->file[i];
        }
    }
    return NULL;
}

/* Memory the list may write: free RAM, and the BIOS data areas when there is no BIOS. */
static bool may_write(const struct fake_guest *guest, uint64_t start, uint64_t end)
{
    if (start < BOOTLIST_WORK_END && end > BOOTLIST_WORK) {
        return false;
    }
    return (start >= 0x400 && end <= 0xa0000) || (start >= LAYOUT_HIGH_START && end <= guest->size);
}

static bool carry_out(struct fake_guest *guest, const struct loader_image *image,
                      const struct bootlist_entry *entry, struct error *error)
{
    uint64_t end = entry->dest + entry->length;
    if (end < entry->dest || (entry->length && !may_write(guest, entry->dest, end))) {
        error_set(error, -1, "'%s' goes to %#" PRIx64 "-%#" PRIx64, entry->file, entry->dest, end);
        return false;
    }
    memset(guest->ram + entry->dest, 0, entry->length);
    if (entry->file[0] == '\0') {
        return true;
    }
    const struct loader_file *file = fake_guest_file(image, entry->file);
    if (!file || entry->offset > file->size) {
        error_set(error, -1, "no file '%s', or offset %u is outside it", entry->file, entry->offset);
        return false;
    }
    memcpy(guest->ram + entry->dest, file->bytes + entry->offset,
           MIN((size_t)entry->length, file->size - entry->offset));
    return true;
}

bool fake_guest_boot(struct fake_guest *guest, const struct loader_image *image, struct error *error)
{
    const struct bootlist_header *header = &image->header;
    for (unsigned i = 0; i < header->entry_count; i++) {
        if (!carry_out(guest, image, &image->entry[i], error)) {
            return false;
        }
    }
    /* What the ROM stores itself, and where it jumps to, is memory as well. */
    uint64_t map = header->e820_form == BOOTLIST_E820_NONE ? 0 : header->e820_max * 20ull;
    bool map_ok = !map || may_write(guest, header->e820_dest, header->e820_dest + map);
    bool entry_ok = may_write(guest, header->entry, (uint64_t)header->entry + 1);
    if (!map_ok || !entry_ok) {
        error_set(error, -1, "map at %#x, entry at %#x", header->e820_dest, header->entry);
        return false;
    }
    return true;
}

bool is_one_line(const struct error *error)
{
    return error->text[0] != '\0' && strchr(error->text, '\n') == NULL;
}

char *write_temporary(const void *bytes, size_t size)
{
    char *path = strdup("/tmp/hypatia-test-XXXXXX");
    int fd = mkstemp(path);
    if (fd < 0 || write(fd, bytes, size) != (ssize_t)size || close(fd) < 0) {
        abort();
    }
    return path;
}

uint32_t random_next(uint64_t *state)
{
    *state = *state * 6364136223846793005ull + 1442695040888963407ull;
    return (uint32_t)(*state >> 33);
}
