/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * vm/acpi_tables, vm/mp_table, vm/smbios: checksums, pointers, and that both ways of delivering ACPI agree.
 */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "vm/acpi_tables.h"
#include "vm/mp_table.h"
#include "vm/smbios.h"

static const struct acpi_config machine = {.pci_window = 128 * MIB, .cpu_count = 1};

static bool sums_to_zero(const uint8_t *bytes, size_t size)
{
    uint8_t sum = 0;
    for (size_t i = 0; i < size; i++) {
        sum += bytes[i];
    }
    return sum == 0;
}

/* --- ACPI ----------------------------------------------------------------------------------------------- */

#define BASE 0x7fe0000u

/* The table at a guest-physical address: signature and checksum checked. */
static const uint8_t *table_at(const struct acpi_tables *acpi, uint32_t address, const char *signature)
{
    cr_assert(address >= BASE && address - BASE < acpi->tables.size, "%s at %#x", signature, address);
    const uint8_t *table = acpi->tables.bytes + (address - BASE);
    cr_assert_arr_eq(table, signature, 4);
    cr_assert_leq(address - BASE + load_le32(table + 4), acpi->tables.size);
    if (memcmp(signature, "FACS", 4) != 0) {
        cr_assert(sums_to_zero(table, load_le32(table + 4)), "checksum of %s", signature);
    }
    return table;
}

Test(acpi, every_table_is_reached_from_the_rsdp)
{
    struct acpi_tables acpi;
    cr_assert_eq(acpi_tables_build(&acpi, &machine, NULL), 0);
    acpi_tables_place(&acpi, BASE);
    cr_assert_arr_eq(acpi.rsdp, "RSD PTR ", 8);
    cr_assert(sums_to_zero(acpi.rsdp, 20));
    const uint8_t *rsdt = table_at(&acpi, load_le32(acpi.rsdp + 16), "RSDT");
    cr_assert_eq(load_le32(rsdt + 4), 36 + 3 * 4);
    const uint8_t *fadt = table_at(&acpi, load_le32(rsdt + 36), "FACP");
    table_at(&acpi, load_le32(rsdt + 40), "APIC");
    table_at(&acpi, load_le32(rsdt + 44), "SSDT");
    cr_assert_eq(load_le32(fadt + 36) % 64, 0, "the FACS is aligned");
    cr_assert_eq(load_le32(table_at(&acpi, load_le32(fadt + 36), "FACS") + 4), 64);
    table_at(&acpi, load_le32(fadt + 40), "DSDT");
    acpi_tables_fini(&acpi);
}

Test(acpi, the_fadt_describes_the_piix4)
{
    struct acpi_tables acpi;
    cr_assert_eq(acpi_tables_build(&acpi, &machine, NULL), 0);
    acpi_tables_place(&acpi, BASE);
    const uint8_t *rsdt = acpi.tables.bytes + load_le32(acpi.rsdp + 16) - BASE;
    const uint8_t *fadt = table_at(&acpi, load_le32(rsdt + 36), "FACP");
    cr_assert_eq(load_le32(fadt + 4), 116);
    cr_assert_eq(fadt[8], 1);
    cr_assert_eq(load_le16(fadt + 46), 9, "SCI_INT");
    cr_assert_eq(load_le32(fadt + 48), 0xb2, "SMI_CMD");
    cr_assert_eq(fadt[52], 0xf1);
    cr_assert_eq(fadt[53], 0xf0);
    cr_assert_eq(load_le32(fadt + 56), 0x600, "PM1a_EVT_BLK");
    cr_assert_eq(load_le32(fadt + 64), 0x604, "PM1a_CNT_BLK");
    cr_assert_eq(load_le32(fadt + 76), 0x608, "PM_TMR_BLK");
    cr_assert_eq(load_le32(fadt + 80), 0xafe0, "GPE0_BLK");
    cr_assert_eq(fadt[88], 4);
    cr_assert_eq(fadt[89], 2);
    cr_assert_eq(fadt[91], 4);
    cr_assert_eq(fadt[92], 4);
    cr_assert_eq(fadt[108], 0x32, "CENTURY");
    cr_assert_eq(load_le32(fadt + 112) & 0x10, 0, "a fixed power button");
    cr_assert_eq(load_le32(fadt + 112) & 0x100, 0, "a 24-bit timer");
    acpi_tables_fini(&acpi);
}

Test(acpi, the_madt_lists_apics_and_overrides)
{
    struct acpi_tables acpi;
    unsigned lapics = 0, ioapics = 0, overrides = 0, nmis = 0;
    uint32_t level = 0;
    cr_assert_eq(acpi_tables_build(&acpi, &machine, NULL), 0);
    acpi_tables_place(&acpi, BASE);
    const uint8_t *rsdt = acpi.tables.bytes + load_le32(acpi.rsdp + 16) - BASE;
    const uint8_t *madt = table_at(&acpi, load_le32(rsdt + 40), "APIC");
    cr_assert_eq(load_le32(madt + 36), 0xfee00000);
    uint32_t at = 44;
    while (at < load_le32(madt + 4)) {
        const uint8_t *entry = madt + at;
        lapics += entry[0] == 0;
        ioapics += entry[0] == 1 && load_le32(entry + 4) == 0xfec00000;
        nmis += entry[0] == 4 && entry[2] == 0xff && entry[5] == 1;
        if (entry[0] == 2) {
            overrides++;
            level |= load_le16(entry + 8) == 0xd ? 1u << entry[3] : 0;
            cr_assert_eq(load_le32(entry + 4), entry[3] == 0 ? 2 : entry[3]);
        }
        cr_assert_geq(entry[1], 6);
        at += entry[1];
    }
    cr_assert_eq(at, load_le32(madt + 4), "the entries fill the table");
    cr_assert(lapics == 1 && ioapics == 1 && nmis == 1 && overrides == 5);
    cr_assert_eq(level, 1u << 5 | 1u << 9 | 1u << 10 | 1u << 11);
    acpi_tables_fini(&acpi);
}

Test(acpi, the_ssdt_holds_what_depends_on_the_configuration)
{
    struct acpi_tables acpi;
    const struct acpi_config config = {.pci_window = 0xc0000000, .cpu_count = 17};
    cr_assert_eq(acpi_tables_build(&acpi, &config, NULL), 0);
    acpi_tables_place(&acpi, BASE);
    const uint8_t *rsdt = acpi.tables.bytes + load_le32(acpi.rsdp + 16) - BASE;
    const uint8_t *ssdt = table_at(&acpi, load_le32(rsdt + 44), "SSDT");
    cr_assert_arr_eq(ssdt + 36, "\x08\\PWMN\x0c", 7);
    cr_assert_eq(load_le32(ssdt + 43), 0xc0000000);
    const uint8_t *last = ssdt + load_le32(ssdt + 4) - 19;
    cr_assert_arr_eq(last, "\x5b\x83\x11\\\x2e_PR_C010\x10", 14);
    acpi_tables_fini(&acpi);
}

Test(acpi, impossible_processor_counts_are_refused)
{
    struct acpi_tables acpi;
    struct error error = {""};
    cr_assert_lt(acpi_tables_build(&acpi, &(struct acpi_config){.cpu_count = 0}, &error), 0);
    cr_assert_lt(acpi_tables_build(&acpi, &(struct acpi_config){.cpu_count = 256}, &error), 0);
    cr_assert_neq(error.text[0], '\0');
}

/* What SeaBIOS does with the script, for tables at BASE and an RSDP of its own. */
static void run_script(const struct blob *script, uint8_t *tables, size_t tables_size, uint8_t *rsdp)
{
    unsigned allocated = 0;
    cr_assert_eq(script->size % 128, 0);
    for (size_t at = 0; at < script->size; at += 128) {
        const uint8_t *entry = script->bytes + at;
        const char *file = (const char *)entry + 4;
        bool is_rsdp = strcmp(file, "etc/acpi/rsdp") == 0;
        uint8_t *bytes = is_rsdp ? rsdp : tables;
        size_t size = is_rsdp ? 20 : tables_size;
        cr_assert(is_rsdp || strcmp(file, "etc/acpi/tables") == 0, "%s", file);
        switch (load_le32(entry)) {
        case 1:
            allocated++;
            cr_assert_eq(entry[64], is_rsdp ? 2 : 1, "the RSDP belongs into the F segment");
            break;
        case 2:
            cr_assert_eq(allocated, 2, "allocate before use");
            cr_assert_str_eq((const char *)entry + 60, "etc/acpi/tables");
            cr_assert(entry[120] == 4 && load_le32(entry + 116) + 4 <= size);
            store_le32(bytes + load_le32(entry + 116), load_le32(bytes + load_le32(entry + 116)) + BASE);
            break;
        case 3: {
            uint32_t start = load_le32(entry + 64), length = load_le32(entry + 68);
            cr_assert_leq((uint64_t)start + length, size);
            uint8_t sum = 0;
            for (uint32_t i = 0; i < length; i++) {
                sum += bytes[start + i];
            }
            bytes[load_le32(entry + 60)] -= sum;
            break;
        }
        default:
            cr_assert_fail("unknown command %u", load_le32(entry));
        }
    }
}

Test(acpi, the_script_for_seabios_makes_the_same_tables)
{
    struct acpi_tables acpi;
    struct blob script;
    uint8_t rsdp[20];
    cr_assert_eq(acpi_tables_build(&acpi, &machine, NULL), 0);
    blob_init(&script);
    acpi_tables_script(&acpi, &script);
    uint8_t *tables = malloc(acpi.tables.size);
    memcpy(tables, acpi.tables.bytes, acpi.tables.size);
    memcpy(rsdp, acpi.rsdp, sizeof(rsdp));
    run_script(&script, tables, acpi.tables.size, rsdp);
    acpi_tables_place(&acpi, BASE);
    cr_assert_arr_eq(rsdp, acpi.rsdp, sizeof(rsdp));
    cr_assert_arr_eq(tables, acpi.tables.bytes, acpi.tables.size);
    free(tables);
    blob_fini(&script);
    acpi_tables_fini(&acpi);
}

/* --- MP table ------------------------------------------------------------------------------------------- */

Test(mp_table, entries_match_their_count_and_checksums)
{
    struct blob blob;
    const struct mp_config config = {.cpu_count = 2, .cpu_signature = 0x6e8, .cpu_features = 0x123};
    unsigned count = 0, interrupts = 0;
    blob_init(&blob);
    mp_table_build(&blob, &config, 0x9fc30);
    cr_assert_not(blob.failed);
    cr_assert_arr_eq(blob.bytes, "_MP_", 4);
    cr_assert_eq(load_le32(blob.bytes + 4), 0x9fc40);
    cr_assert(sums_to_zero(blob.bytes, 16));
    const uint8_t *table = blob.bytes + 16;
    cr_assert_arr_eq(table, "PCMP", 4);
    cr_assert_eq(load_le16(table + 4), blob.size - 16);
    cr_assert(sums_to_zero(table, load_le16(table + 4)));
    const uint8_t *entry = table + 44;
    uint8_t previous = 0;
    while (entry < table + load_le16(table + 4)) {
        cr_assert_geq(entry[0], previous, "entries are sorted by type");
        previous = entry[0];
        if (entry[0] == 3) {
            interrupts++;
            cr_assert_eq(entry[7], entry[5] == 0 ? 2 : entry[5], "pin of IRQ %u", entry[5]);
            cr_assert_eq(load_le16(entry + 2), entry[5] == 9 ? 0xd : 0);
        }
        count++;
        entry += entry[0] == 0 ? 20 : 8;
    }
    cr_assert_eq(entry, table + load_le16(table + 4));
    cr_assert_eq(load_le16(table + 34), count);
    cr_assert_eq(interrupts, 15);
    blob_fini(&blob);
}

/* --- SMBIOS --------------------------------------------------------------------------------------------- */

Test(smbios, structures_can_be_walked_to_the_end)
{
    struct blob tables, anchor;
    const struct smbios_config config = {.ram_below_4g = 3 * GIB,
                                         .ram_above_4g = 2 * GIB,
                                         .cpu_count = 1,
                                         .uuid = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
                                         .version = "1.2"};
    blob_init(&tables);
    blob_init(&anchor);
    smbios_build(&tables, &anchor, &config);
    cr_assert_eq(anchor.size, 31);
    cr_assert_arr_eq(anchor.bytes, "_SM_", 4);
    cr_assert_arr_eq(anchor.bytes + 16, "_DMI_", 5);
    cr_assert_eq(load_le16(anchor.bytes + 22), tables.size);
    unsigned count = 0, largest = 0;
    size_t at = 0;
    uint8_t type = 0;
    while (at < tables.size) {
        size_t start = at;
        type = tables.bytes[at];
        if (type == 1) {
            const uint8_t uuid[] = {3, 2, 1, 0, 5, 4, 7, 6, 8};
            cr_assert_arr_eq(tables.bytes + at + 8, uuid, sizeof(uuid));
        }
        if (type == 17) {
            cr_assert_eq(load_le16(tables.bytes + at + 12), 5 * 1024, "MiB");
        }
        at += tables.bytes[at + 1];
        while (tables.bytes[at] || tables.bytes[at + 1]) {
            at++;
        }
        at += 2;
        count++;
        largest = MAX(largest, (unsigned)(at - start));
    }
    cr_assert_eq(at, tables.size);
    cr_assert_eq(type, 127, "the last one is the end");
    cr_assert_eq(load_le16(anchor.bytes + 28), count);
    cr_assert_eq(load_le16(anchor.bytes + 8), largest);
    blob_fini(&tables);
    blob_fini(&anchor);
}
