/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * 82441FX (PMC): host bridge and memory controller of the 440FX chip set, function 00.0 of bus 0.
 *
 * Source: Intel 82441FX PCI and Memory Controller data sheet, "PCI configuration space mapped registers".
 * It decides what the processor sees where:
 *
 *   0000_0000 .. 0009_FFFF  RAM
 *   000A_0000 .. 000B_FFFF  video memory on PCI; RAM while the SMRAM register opens it
 *   000C_0000 .. 000E_FFFF  12 segments of 16 KiB: RAM or PCI, reads and writes apart (PAM1..PAM6)
 *   000F_0000 .. 000F_FFFF  one segment of 64 KiB, the same (PAM0)
 *   0010_0000 .. top        RAM, up to 3 GiB; PCI from there
 *   FFFC_0000 .. FFFF_FFFF  BIOS ROM; its last 128 KiB also answer PCI reads of 000E_0000 .. 000F_FFFF
 *   1_0000_0000 ..          the rest of the RAM
 *
 * Not modelled: DRAM sizing by the row boundary registers (stored only), caching attributes, parity, the
 * fixed hole of register FDHC, SMM itself.
 */
#ifndef DEVICES_I440FX_H
#define DEVICES_I440FX_H

#include "devices/pci.h"

#define I440FX_LOW_RAM_MAX  ((uint64_t)3 * GIB)
#define I440FX_PAM_SEGMENTS 13u

/* What the board found room for in its memory; sizes are page multiples. */
struct i440fx_memory {
    roff_t ram;
    uint64_t ram_size; /* at least 1 MiB */
    roff_t bios;
    uint64_t bios_size; /* 64 KiB to 16 MiB, a multiple of 64 KiB */
};

struct i440fx {
    struct device device;
    struct pci_function pci;
    struct region low, smram, extended, high;
    struct region pam[I440FX_PAM_SEGMENTS];
    struct region bios_top, bios_alias;
};

/* NULL with text when the memory does not fit the board or the host has none. */
struct i440fx *i440fx_create(struct board *board, struct pci_bus *bus, const struct i440fx_memory *memory,
                             struct error *error);

/* RAM below and above 4 GiB for a machine with ram_size bytes (for CMOS, e820 and loaders). */
uint64_t i440fx_ram_below_4g(uint64_t ram_size);
uint64_t i440fx_ram_above_4g(uint64_t ram_size);

#endif
