/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * SMBIOS structures for SeaBIOS to publish: what `dmidecode` prints about the machine.
 *
 * Source: DMTF DSP0134, the structures of version 2.4. Types: 1 system, 3 enclosure, 4 processor, 16 memory
 * array, 17 memory device, 19 its addresses, 32 boot status, 127 end. Type 0 (BIOS) is added by SeaBIOS,
 * which knows its version. SeaBIOS also chooses the place and computes the entry point's address and
 * checksums. Not modelled: sizes from 32 GiB on for one memory device (2.7's extended size), caches, slots.
 */
#ifndef VM_SMBIOS_H
#define VM_SMBIOS_H

#include "vm/loader_blob.h"

#define SMBIOS_TABLES_FILE "etc/smbios/smbios-tables"
#define SMBIOS_ANCHOR_FILE "etc/smbios/smbios-anchor"

struct smbios_config {
    uint64_t ram_below_4g, ram_above_4g; /* bytes */
    unsigned cpu_count;
    uint32_t cpu_signature; /* CPUID.1:EAX */
    uint32_t cpu_features;  /* CPUID.1:EDX */
    uint8_t uuid[16];       /* as it is written, first byte first; all zero: none */
    const char *version;    /* of the emulator */
};

/* Append the structures to `tables` and the entry point to `anchor`. */
void smbios_build(struct blob *tables, struct blob *anchor, const struct smbios_config *config);

#endif
