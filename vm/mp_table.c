/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * See mp_table.h.
 */
#include "vm/mp_table.h"

#include "vm/acpi_tables.h"

enum {
    SPEC_REVISION = 4, /* 1.4 */
    FLOATING_SIZE = 16,
    FLOATING_CHECKSUM = 10,
    TABLE_LENGTH = 4, /* offsets in the table's header */
    TABLE_CHECKSUM = 7,
    ENTRY_PROCESSOR = 0,
    ENTRY_BUS = 1,
    ENTRY_IOAPIC = 2,
    ENTRY_IO_INTERRUPT = 3,
    ENTRY_LOCAL_INTERRUPT = 4,
    TYPE_INT = 0, /* interrupt types */
    TYPE_NMI = 1,
    TYPE_EXTINT = 3,
    ACTIVE_HIGH_LEVEL = 0xd,
    ISA_BUS = 0,
    IOAPIC_ID = 0, /* what the chip's ID register holds after reset */
    IOAPIC_VERSION = 0x11,
    LAPIC_VERSION = 0x14,
    EVERY_LAPIC = 0xff,
};

static void append_processor(struct blob *blob, const struct mp_config *config, unsigned cpu)
{
    blob_append_u8(blob, ENTRY_PROCESSOR);
    blob_append_u8(blob, (uint8_t)cpu);
    blob_append_u8(blob, LAPIC_VERSION);
    blob_append_u8(blob, cpu == 0 ? 3 : 1); /* enabled; the first is the bootstrap processor */
    blob_append_u32(blob, config->cpu_signature);
    blob_append_u32(blob, config->cpu_features);
    blob_append_u64(blob, 0);
}

/* I/O and local interrupt entries have one shape. */
static void append_interrupt(struct blob *blob, uint8_t entry, uint8_t type, uint16_t flags, uint8_t irq,
                             uint8_t apic, uint8_t pin)
{
    blob_append_u8(blob, entry);
    blob_append_u8(blob, type);
    blob_append_u16(blob, flags);
    blob_append_u8(blob, ISA_BUS);
    blob_append_u8(blob, irq);
    blob_append_u8(blob, apic);
    blob_append_u8(blob, pin);
}

/* Returns the number of entries. IRQ 0 arrives at pin 2, and IRQ 2 is the cascade, which arrives nowhere. */
static unsigned append_interrupts(struct blob *blob)
{
    unsigned count = 0;
    for (uint8_t irq = 0; irq < 16; irq++) {
        if (irq != 2) {
            append_interrupt(blob, ENTRY_IO_INTERRUPT, TYPE_INT, irq == ACPI_SCI_IRQ ? ACTIVE_HIGH_LEVEL : 0,
                             irq, IOAPIC_ID, irq == 0 ? 2 : irq);
            count++;
        }
    }
    append_interrupt(blob, ENTRY_LOCAL_INTERRUPT, TYPE_EXTINT, 0, 0, 0, 0);
    append_interrupt(blob, ENTRY_LOCAL_INTERRUPT, TYPE_NMI, 0, 0, EVERY_LAPIC, 1);
    return count + 2;
}

static unsigned append_entries(struct blob *blob, const struct mp_config *config)
{
    for (unsigned cpu = 0; cpu < config->cpu_count; cpu++) {
        append_processor(blob, config, cpu);
    }
    blob_append_u8(blob, ENTRY_BUS);
    blob_append_u8(blob, ISA_BUS);
    blob_append(blob, "ISA   ", 6);
    blob_append_u8(blob, ENTRY_IOAPIC);
    blob_append_u8(blob, IOAPIC_ID);
    blob_append_u8(blob, IOAPIC_VERSION);
    blob_append_u8(blob, 1); /* usable */
    blob_append_u32(blob, 0xfec00000);
    return config->cpu_count + 2 + append_interrupts(blob);
}

static void append_floating_pointer(struct blob *blob, uint32_t table)
{
    size_t at = blob_append(blob, "_MP_", 4);
    blob_append_u32(blob, table);
    blob_append_u8(blob, FLOATING_SIZE / 16);
    blob_append_u8(blob, SPEC_REVISION);
    blob_append(blob, NULL, 6); /* checksum; features: a table is present, virtual wire mode */
    if (!blob->failed) {
        blob_put_u8(blob, at + FLOATING_CHECKSUM, blob_checksum(blob->bytes + at, FLOATING_SIZE));
    }
}

void mp_table_build(struct blob *blob, const struct mp_config *config, uint32_t address)
{
    append_floating_pointer(blob, address + FLOATING_SIZE);
    size_t at = blob_append(blob, "PCMP", 4);      /* 0 */
    blob_append_u16(blob, 0);                      /* 4 length */
    blob_append_u8(blob, SPEC_REVISION);           /* 6 */
    blob_append_u8(blob, 0);                       /* 7 checksum */
    blob_append(blob, "HYPATIA PC          ", 20); /* 8 OEM ID, 16 product ID */
    blob_append_u32(blob, 0);                      /* 28 OEM table */
    blob_append_u16(blob, 0);                      /* 32 its size */
    size_t entry_count = blob_append_u16(blob, 0); /* 34 */
    blob_append_u32(blob, 0xfee00000);             /* 36 local APICs */
    blob_append_u32(blob, 0);                      /* 40 extended table: none */
    unsigned entries = append_entries(blob, config);
    if (!blob->failed) {
        size_t length = blob->size - at;
        store_le16(blob->bytes + at + TABLE_LENGTH, (uint16_t)length);
        store_le16(blob->bytes + entry_count, (uint16_t)entries);
        blob_put_u8(blob, at + TABLE_CHECKSUM, blob_checksum(blob->bytes + at, length));
    }
}
