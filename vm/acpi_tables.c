/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * See acpi_tables.h. Tables are appended field by field in the order of the specification; the comment
 * beside a field gives its offset in the table.
 */
#include "vm/acpi_tables.h"

#include <errno.h>
#include <stdlib.h>

enum {
    HEADER_SIZE = 36,
    HEADER_LENGTH = 4, /* offsets in a table's header */
    HEADER_CHECKSUM = 9,
    LAPIC_NMI_LINT = 1,
    MADT_LAPIC = 0,
    MADT_IOAPIC = 1,
    MADT_OVERRIDE = 2,
    MADT_LAPIC_NMI = 4,
    MPS_ACTIVE_HIGH_LEVEL = 0xd, /* polarity active high (1), trigger level (3) */
    FADT_WBINVD = 1u << 0,
    FADT_PROC_C1 = 1u << 2,
    FADT_NO_SLEEP_BUTTON = 1u << 5,
    FADT_NO_FIXED_RTC = 1u << 6,
};
#define LAPIC_ADDRESS  0xfee00000u
#define IOAPIC_ADDRESS 0xfec00000u
#define PCI_WINDOW_END 0xfec00000u

/* The file for SeaBIOS: one command of its linker. */
enum script_command { SCRIPT_ALLOCATE = 1, SCRIPT_ADD_POINTER = 2, SCRIPT_ADD_CHECKSUM = 3 };
enum script_zone { ZONE_HIGH = 1, ZONE_FSEG = 2 };
enum { SCRIPT_ENTRY_SIZE = 128, SCRIPT_NAME_SIZE = 56 };

/* --- Building blocks ------------------------------------------------------------------------------------ */

/* Begin a table: the common header, its length and checksum still to come. Returns its offset. */
static size_t begin_table(struct blob *blob, const char *signature, uint8_t revision)
{
    blob_align(blob, 16);
    size_t at = blob_append(blob, signature, 4); /* 0 */
    blob_append_u32(blob, 0);                    /* 4 length */
    blob_append_u8(blob, revision);              /* 8 */
    blob_append_u8(blob, 0);                     /* 9 checksum */
    blob_append(blob, "HYPTIA", 6);              /* 10 OEM ID */
    blob_append(blob, "HYPTIAPC", 8);            /* 16 OEM table ID */
    blob_append_u32(blob, 1);                    /* 24 OEM revision */
    blob_append(blob, "HYPT", 4);                /* 28 creator ID */
    blob_append_u32(blob, 1);                    /* 32 creator revision */
    return at;
}

static void note_checksum(struct acpi_tables *acpi, size_t at, size_t start, size_t length)
{
    acpi->checksum[acpi->checksum_count++] =
        (struct acpi_checksum){.at = (uint32_t)at, .start = (uint32_t)start, .length = (uint32_t)length};
}

static void end_table(struct acpi_tables *acpi, size_t at)
{
    size_t length = acpi->tables.size - at;
    blob_put_u32(&acpi->tables, at + HEADER_LENGTH, (uint32_t)length);
    note_checksum(acpi, at + HEADER_CHECKSUM, at, length);
}

/* A 32-bit pointer to what lies at offset `target`. */
static void append_pointer(struct acpi_tables *acpi, size_t target)
{
    acpi->pointer[acpi->pointer_count++] = (uint32_t)blob_append_u32(&acpi->tables, (uint32_t)target);
}

/* --- Tables --------------------------------------------------------------------------------------------- */

static size_t build_facs(struct acpi_tables *acpi)
{
    blob_align(&acpi->tables, ACPI_ALIGNMENT);
    size_t at = blob_append(&acpi->tables, "FACS", 4);
    blob_append_u32(&acpi->tables, 64);
    blob_append(&acpi->tables, NULL, 56); /* signature, waking vector, global lock, flags: none */
    return at;
}

static size_t build_dsdt(struct acpi_tables *acpi)
{
    blob_align(&acpi->tables, 16);
    size_t length = (size_t)(acpi_dsdt_end - acpi_dsdt);
    size_t at = blob_append(&acpi->tables, acpi_dsdt, length);
    blob_put_u8(&acpi->tables, at + HEADER_CHECKSUM, 0);
    note_checksum(acpi, at + HEADER_CHECKSUM, at, length);
    return at;
}

/* PM1 control, timer and event blocks, as the PIIX4 has them behind PMBA. */
static void append_pm_blocks(struct blob *blob)
{
    blob_append_u32(blob, ACPI_PM_BASE);     /* 56 PM1a_EVT_BLK */
    blob_append_u32(blob, 0);                /* 60 PM1b_EVT_BLK */
    blob_append_u32(blob, ACPI_PM_BASE + 4); /* 64 PM1a_CNT_BLK */
    blob_append_u32(blob, 0);                /* 68 PM1b_CNT_BLK */
    blob_append_u32(blob, 0);                /* 72 PM2_CNT_BLK */
    blob_append_u32(blob, ACPI_PM_BASE + 8); /* 76 PM_TMR_BLK */
    blob_append_u32(blob, ACPI_GPE0_BASE);   /* 80 GPE0_BLK */
    blob_append_u32(blob, 0);                /* 84 GPE1_BLK */
    blob_append_u8(blob, 4);                 /* 88 PM1_EVT_LEN */
    blob_append_u8(blob, 2);                 /* 89 PM1_CNT_LEN */
    blob_append_u8(blob, 0);                 /* 90 PM2_CNT_LEN */
    blob_append_u8(blob, 4);                 /* 91 PM_TM_LEN */
    blob_append_u8(blob, 4);                 /* 92 GPE0_BLK_LEN */
    blob_append_u8(blob, 0);                 /* 93 GPE1_BLK_LEN */
    blob_append_u8(blob, 0);                 /* 94 GPE1_BASE */
    blob_append_u8(blob, 0);                 /* 95 reserved */
}

/* Revision 1: the one every ACPI system reads. A clear PWR_BUTTON flag means a fixed power button. */
static size_t build_fadt(struct acpi_tables *acpi, size_t facs, size_t dsdt)
{
    struct blob *blob = &acpi->tables;
    size_t at = begin_table(blob, "FACP", 1);
    append_pointer(acpi, facs);          /* 36 FIRMWARE_CTRL */
    append_pointer(acpi, dsdt);          /* 40 DSDT */
    blob_append_u8(blob, 1);             /* 44 INT_MODEL: APIC present */
    blob_append_u8(blob, 0);             /* 45 reserved */
    blob_append_u16(blob, ACPI_SCI_IRQ); /* 46 SCI_INT */
    blob_append_u32(blob, ACPI_SMI_CMD); /* 48 */
    blob_append_u8(blob, ACPI_ENABLE);   /* 52 */
    blob_append_u8(blob, ACPI_DISABLE);  /* 53 */
    blob_append_u16(blob, 0);            /* 54 S4BIOS_REQ, reserved */
    append_pm_blocks(blob);
    blob_append_u16(blob, 0xfff); /* 96 P_LVL2_LAT: over 100 us, so no C2 */
    blob_append_u16(blob, 0xfff); /* 98 P_LVL3_LAT: over 1000 us, so no C3 */
    blob_append_u16(blob, 0);     /* 100 FLUSH_SIZE: WBINVD works */
    blob_append_u16(blob, 0);     /* 102 FLUSH_STRIDE */
    blob_append_u16(blob, 0);     /* 104 DUTY_OFFSET, DUTY_WIDTH */
    blob_append_u16(blob, 0);     /* 106 DAY_ALRM, MON_ALRM: none */
    blob_append_u8(blob, 0x32);   /* 108 CENTURY: CMOS index */
    blob_append(blob, NULL, 3);   /* 109 reserved */
    blob_append_u32(blob, FADT_WBINVD | FADT_PROC_C1 | FADT_NO_SLEEP_BUTTON | FADT_NO_FIXED_RTC); /* 112 */
    end_table(acpi, at);
    return at;
}

/* ISA IRQ `source` arrives at global interrupt `gsi`. */
static void append_override(struct blob *blob, uint8_t source, uint32_t gsi, uint16_t flags)
{
    blob_append_u8(blob, MADT_OVERRIDE);
    blob_append_u8(blob, 10);
    blob_append_u8(blob, 0); /* bus: ISA */
    blob_append_u8(blob, source);
    blob_append_u32(blob, gsi);
    blob_append_u16(blob, flags);
}

static void append_madt_entries(struct blob *blob, unsigned cpu_count)
{
    for (unsigned cpu = 0; cpu < cpu_count; cpu++) {
        blob_append_u8(blob, MADT_LAPIC);
        blob_append_u8(blob, 8);
        blob_append_u8(blob, (uint8_t)cpu); /* processor ID */
        blob_append_u8(blob, (uint8_t)cpu); /* local APIC ID */
        blob_append_u32(blob, 1);           /* enabled */
    }
    blob_append_u8(blob, MADT_IOAPIC);
    blob_append_u8(blob, 12);
    blob_append_u16(blob, 0); /* ID as after reset, reserved */
    blob_append_u32(blob, IOAPIC_ADDRESS);
    blob_append_u32(blob, 0);       /* its first global interrupt */
    append_override(blob, 0, 2, 0); /* the timer is on pin 2; polarity and trigger as ISA has them */
    for (uint8_t irq = 1; irq < 16; irq++) {
        if (ACPI_PCI_IRQ_MASK & (1u << irq)) {
            append_override(blob, irq, irq, MPS_ACTIVE_HIGH_LEVEL);
        }
    }
    blob_append_u8(blob, MADT_LAPIC_NMI);
    blob_append_u8(blob, 6);
    blob_append_u8(blob, 0xff); /* every processor */
    blob_append_u16(blob, 0);   /* polarity and trigger as the bus has them */
    blob_append_u8(blob, LAPIC_NMI_LINT);
}

static size_t build_madt(struct acpi_tables *acpi, unsigned cpu_count)
{
    struct blob *blob = &acpi->tables;
    size_t at = begin_table(blob, "APIC", 1);
    blob_append_u32(blob, LAPIC_ADDRESS);
    blob_append_u32(blob, 1); /* PCAT_COMPAT: two 8259A are there as well */
    append_madt_entries(blob, cpu_count);
    end_table(acpi, at);
    return at;
}

/*
 * In AML:  Name (\PWMN, pci_window)
 *          Processor (\_PR.Cxx, xx, 0, 0) {}     for each processor, xx = its number in hex
 */
static size_t build_ssdt(struct acpi_tables *acpi, const struct acpi_config *config)
{
    static const char digit[] = "0123456789ABCDEF";
    struct blob *blob = &acpi->tables;
    size_t at = begin_table(blob, "SSDT", 1);
    blob_append(blob, "\x08\\PWMN\x0c", 7); /* NameOp, name, DWordPrefix */
    blob_append_u32(blob, (uint32_t)MIN(config->pci_window, PCI_WINDOW_END - 1));
    for (unsigned cpu = 0; cpu < config->cpu_count; cpu++) {
        const uint8_t processor[] = {0x5b,
                                     0x83,
                                     17,
                                     '\\',
                                     0x2e,
                                     '_',
                                     'P',
                                     'R',
                                     '_',
                                     'C',
                                     '0', /* DualNamePrefix */
                                     (uint8_t)digit[cpu >> 4],
                                     (uint8_t)digit[cpu & 15],
                                     (uint8_t)cpu,
                                     0,
                                     0,
                                     0,
                                     0,
                                     0}; /* ID, P_BLK address and length */
        blob_append(blob, processor, sizeof(processor));
    }
    end_table(acpi, at);
    return at;
}

static size_t build_rsdt(struct acpi_tables *acpi, const size_t *table, unsigned count)
{
    size_t at = begin_table(&acpi->tables, "RSDT", 1);
    for (unsigned i = 0; i < count; i++) {
        append_pointer(acpi, table[i]);
    }
    end_table(acpi, at);
    return at;
}

int acpi_tables_build(struct acpi_tables *acpi, const struct acpi_config *config, struct error *error)
{
    *acpi = (struct acpi_tables){0};
    if (config->cpu_count == 0 || config->cpu_count > ACPI_MAX_CPUS) {
        return error_set(error, -EINVAL, "ACPI tables describe 1 to %d processors, not %u", ACPI_MAX_CPUS,
                         config->cpu_count);
    }
    size_t facs = build_facs(acpi);
    size_t dsdt = build_dsdt(acpi);
    size_t table[3];
    table[0] = build_fadt(acpi, facs, dsdt);
    table[1] = build_madt(acpi, config->cpu_count);
    table[2] = build_ssdt(acpi, config);
    acpi->rsdt = (uint32_t)build_rsdt(acpi, table, ARRAY_LEN(table));
    memcpy(acpi->rsdp, "RSD PTR ", 8); /* 8 checksum, 15 revision 0 */
    memcpy(acpi->rsdp + 9, "HYPTIA", 6);
    store_le32(acpi->rsdp + 16, acpi->rsdt);
    if (acpi->tables.failed) {
        acpi_tables_fini(acpi);
        return error_set(error, -ENOMEM, "no memory for the ACPI tables");
    }
    return 0;
}

void acpi_tables_fini(struct acpi_tables *acpi)
{
    blob_fini(&acpi->tables);
}

/* --- Delivery ------------------------------------------------------------------------------------------- */

/* A file name in its fixed field. */
static void append_name(struct blob *script, const char *name)
{
    char field[SCRIPT_NAME_SIZE] = {0};
    strncpy(field, name, sizeof(field) - 1);
    blob_append(script, field, sizeof(field));
}

static void pad_entry(struct blob *script, size_t start)
{
    blob_append(script, NULL, start + SCRIPT_ENTRY_SIZE - script->size);
}

static void script_allocate(struct blob *script, const char *file, uint32_t alignment, enum script_zone zone)
{
    size_t start = blob_append_u32(script, SCRIPT_ALLOCATE);
    append_name(script, file);
    blob_append_u32(script, alignment);
    blob_append_u8(script, (uint8_t)zone);
    pad_entry(script, start);
}

/* Add the address of `source` to the 32-bit number at `offset` of `file`. */
static void script_pointer(struct blob *script, const char *file, const char *source, uint32_t offset)
{
    size_t start = blob_append_u32(script, SCRIPT_ADD_POINTER);
    append_name(script, file);
    append_name(script, source);
    blob_append_u32(script, offset);
    blob_append_u8(script, sizeof(uint32_t));
    pad_entry(script, start);
}

static void script_checksum(struct blob *script, const char *file, struct acpi_checksum checksum)
{
    size_t start = blob_append_u32(script, SCRIPT_ADD_CHECKSUM);
    append_name(script, file);
    blob_append_u32(script, checksum.at);
    blob_append_u32(script, checksum.start);
    blob_append_u32(script, checksum.length);
    pad_entry(script, start);
}

void acpi_tables_script(const struct acpi_tables *acpi, struct blob *script)
{
    script_allocate(script, ACPI_RSDP_FILE, 16, ZONE_FSEG);
    script_allocate(script, ACPI_TABLES_FILE, ACPI_ALIGNMENT, ZONE_HIGH);
    for (unsigned i = 0; i < acpi->pointer_count; i++) {
        script_pointer(script, ACPI_TABLES_FILE, ACPI_TABLES_FILE, acpi->pointer[i]);
    }
    for (unsigned i = 0; i < acpi->checksum_count; i++) {
        script_checksum(script, ACPI_TABLES_FILE, acpi->checksum[i]);
    }
    script_pointer(script, ACPI_RSDP_FILE, ACPI_TABLES_FILE, 16);
    script_checksum(script, ACPI_RSDP_FILE,
                    (struct acpi_checksum){.at = 8, .start = 0, .length = ACPI_RSDP_SIZE});
}

void acpi_tables_place(struct acpi_tables *acpi, uint32_t base)
{
    uint8_t *bytes = acpi->tables.bytes;
    for (unsigned i = 0; i < acpi->pointer_count; i++) {
        uint8_t *pointer = bytes + acpi->pointer[i];
        store_le32(pointer, load_le32(pointer) + base);
    }
    for (unsigned i = 0; i < acpi->checksum_count; i++) {
        const struct acpi_checksum *checksum = &acpi->checksum[i];
        bytes[checksum->at] = blob_checksum(bytes + checksum->start, checksum->length);
    }
    store_le32(acpi->rsdp + 16, acpi->rsdt + base);
    acpi->rsdp[8] = blob_checksum(acpi->rsdp, ACPI_RSDP_SIZE);
}
