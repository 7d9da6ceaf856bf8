/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The ACPI tables of the board: RSDP -> RSDT -> FADT (-> FACS, DSDT), MADT, SSDT.
 *
 * Source: ACPI 1.0b, "ACPI Software Programming Model", and 2.0 for the MADT's entries; addresses are those
 * SeaBIOS and our boot ROM give the PIIX4 (82371AB). The tables are built once, without knowing where they
 * will lie: every pointer and checksum is kept in a list beside them. From that one form come two deliveries:
 *
 *   acpi_tables_script()  for SeaBIOS: fw_cfg files with the commands that allocate, link and check-sum
 *                         (QEMU docs/specs, "Linker loader")
 *   acpi_tables_place()   for our own boot ROM: the finished bytes for a given address
 *
 * Not modelled: XSDT (no table lies above 4 GiB), HPET, ACPI 2.0 and later FADT fields, hot plug.
 */
#ifndef VM_ACPI_TABLES_H
#define VM_ACPI_TABLES_H

#include "base/error.h"
#include "base/types.h"
#include "vm/loader_blob.h"

/* The compiled DSDT; its length is acpi_dsdt_end - acpi_dsdt. */
extern const uint8_t acpi_dsdt[], acpi_dsdt_end[];

#define ACPI_PM_BASE      0x600u  /* PIIX4 PMBA: PM1a event +0, control +4, timer +8 */
#define ACPI_GPE0_BASE    0xafe0u /* general-purpose event block, 4 bytes */
#define ACPI_SCI_IRQ      9u
#define ACPI_SMI_CMD      0xb2u
#define ACPI_ENABLE       0xf1u
#define ACPI_DISABLE      0xf0u
#define ACPI_PCI_IRQ_MASK 0x0e20u /* IRQs 5, 9, 10, 11 are level-triggered */

/* fw_cfg names under which SeaBIOS looks */
#define ACPI_TABLES_FILE "etc/acpi/tables"
#define ACPI_RSDP_FILE   "etc/acpi/rsdp"
#define ACPI_SCRIPT_FILE "etc/table-loader"

enum {
    ACPI_MAX_POINTERS = 16,
    ACPI_MAX_CHECKSUMS = 16,
    ACPI_MAX_CPUS = 255,
    ACPI_RSDP_SIZE = 20,
    ACPI_ALIGNMENT = 64, /* the FACS wants it */
};

struct acpi_config {
    uint64_t pci_window; /* first address past the RAM below 4 GiB */
    unsigned cpu_count;  /* 1..ACPI_MAX_CPUS; local APIC IDs count from 0 */
};

struct acpi_checksum {
    uint32_t at, start, length; /* byte `at` makes the sum of [start, start + length) zero */
};

struct acpi_tables {
    struct blob tables; /* pointers hold offsets into it, checksums are 0 */
    uint8_t rsdp[ACPI_RSDP_SIZE];
    uint32_t rsdt;                       /* offset */
    uint32_t pointer[ACPI_MAX_POINTERS]; /* offsets of 32-bit pointers */
    unsigned pointer_count;
    struct acpi_checksum checksum[ACPI_MAX_CHECKSUMS]; /* in the order to compute */
    unsigned checksum_count;
};

/* Build. -ENOMEM with text; then there is nothing to free. */
int acpi_tables_build(struct acpi_tables *acpi, const struct acpi_config *config, struct error *error);
void acpi_tables_fini(struct acpi_tables *acpi);

/* Append the linker script for SeaBIOS: entries of 128 bytes. To be called on tables as built. */
void acpi_tables_script(const struct acpi_tables *acpi, struct blob *script);

/* Make tables and RSDP final for tables that lie at guest-physical `base`, a multiple of ACPI_ALIGNMENT. Once
 * only. */
void acpi_tables_place(struct acpi_tables *acpi, uint32_t base);

#endif
