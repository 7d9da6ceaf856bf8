/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The expansion ROM of a PCI function: an image behind its ROM base address register. Firmware copies it from there and
 * runs the copy; nothing is ever written to it.
 *
 * PCI Local Bus Specification 2.1, sections 6.2.5.2 and 6.3.
 */
#ifndef DEVICES_PCI_ROM_H
#define DEVICES_PCI_ROM_H

#include "devices/pci.h"

struct pci_rom {
    uint8_t *bytes; /* owned, a power of two of them; NULL: there is none */
    size_t size;
    struct region region;
};

/* Copy `size` bytes of an image, filled up with FFh. No image (NULL) makes no ROM. False when memory ran out. */
bool pci_rom_init(struct pci_rom *rom, const uint8_t *image, size_t size);
/* Give it to the function, if there is one; `name` is for `info mtree`. */
void pci_rom_plug(struct pci_rom *rom, struct pci_function *function, const char *name);
void pci_rom_fini(struct pci_rom *rom);

#endif
