/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Expansion ROMs. See devices/pci_rom.h.
 */
#include "devices/pci_rom.h"

#include <stdlib.h>

#define SIZE_MIN ((size_t)(2 * KIB)) /* the smallest that a ROM base address register can tell */

static uint64_t rom_read(void *opaque, uint64_t offset, unsigned size)
{
    const struct pci_rom *rom = opaque;
    uint64_t value = 0;

    memcpy(&value, rom->bytes + offset, size);
    return value;
}

static void rom_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    (void)opaque;
    (void)offset;
    (void)value;
    (void)size;
}

static const struct region_ops rom_ops = {.read = rom_read, .write = rom_write, .max_size = 4};

bool pci_rom_init(struct pci_rom *rom, const uint8_t *image, size_t size)
{
    *rom = (struct pci_rom){.size = SIZE_MIN};
    if (!image) {
        return true;
    }
    while (rom->size < size) {
        rom->size *= 2;
    }
    rom->bytes = malloc(rom->size);
    if (!rom->bytes) {
        return false;
    }
    memset(rom->bytes, 0xff, rom->size);
    memcpy(rom->bytes, image, size);
    return true;
}

void pci_rom_plug(struct pci_rom *rom, struct pci_function *function, const char *name)
{
    if (rom->bytes) {
        region_init_io(&rom->region, name, 0, rom->size, &rom_ops, rom);
        pci_function_add_bar(function, PCI_BAR_ROM, PCI_BAR_MEMORY, &rom->region);
    }
}

void pci_rom_fini(struct pci_rom *rom)
{
    free(rom->bytes);
    rom->bytes = NULL;
}
