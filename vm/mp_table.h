/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The MultiProcessor table for machines booted without a BIOS: SeaBIOS makes its own.
 *
 * Source: Intel MultiProcessor Specification 1.4, chapter 4. It describes the processors, the ISA bus, the
 * I/O APIC and where the ISA interrupts arrive: everything a kernel without ACPI needs to use the APICs. PCI
 * interrupts are not listed: nobody has routed them when there is no BIOS. Not modelled: the extended table.
 */
#ifndef VM_MP_TABLE_H
#define VM_MP_TABLE_H

#include "vm/loader_blob.h"

struct mp_config {
    unsigned cpu_count;     /* local APIC IDs count from 0 */
    uint32_t cpu_signature; /* CPUID.1:EAX */
    uint32_t cpu_features;  /* CPUID.1:EDX */
};

/* Append the floating pointer structure (16 bytes) and behind it the configuration table. `address` is the
 * guest-physical address the first of them will have, a multiple of 16. */
void mp_table_build(struct blob *blob, const struct mp_config *config, uint32_t address);

#endif
