/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * See smbios.h. A structure is its fixed part (type, length, handle, fields), then its strings, each with
 * its NUL, and one more NUL; fields refer to strings by number, from 1.
 */
#include "vm/smbios.h"

#include <stdio.h>

enum {
    ANCHOR_SIZE = 31,
    VERSION_MAJOR = 2,
    VERSION_MINOR = 4,
    HANDLE_SYSTEM = 0x100, /* a structure's handle is its type * 256, plus its number */
    HANDLE_MEMORY_ARRAY = 0x1000,
    HANDLE_NONE = 0xfffe,
    UNKNOWN = 2,
    SAFE = 3,
    DEVICE_MAX_KIB = 0x8000000, /* what one memory device can say in MiB, 2.4: under 32 GiB */
};

struct builder {
    struct blob *blob;
    size_t start; /* of the structure being built */
    unsigned structures;
    size_t largest;
};

static void begin_structure(struct builder *builder, uint8_t type, uint8_t length, uint16_t handle)
{
    builder->start = blob_append_u8(builder->blob, type);
    blob_append_u8(builder->blob, length);
    blob_append_u16(builder->blob, handle);
}

/* `strings`: NULL-terminated list. */
static void end_structure(struct builder *builder, const char *const *strings)
{
    bool none = *strings == NULL;
    for (; *strings; strings++) {
        blob_append_string(builder->blob, *strings);
    }
    blob_append(builder->blob, NULL, none ? 2 : 1);
    builder->structures++;
    builder->largest = MAX(builder->largest, builder->blob->size - builder->start);
}

/* The UUID's first three numbers are little-endian. */
static void append_uuid(struct blob *blob, const uint8_t *uuid)
{
    static const uint8_t order[16] = {3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15};
    for (unsigned i = 0; i < sizeof(order); i++) {
        blob_append_u8(blob, uuid[order[i]]);
    }
}

static void build_system(struct builder *builder, const struct smbios_config *config)
{
    const char *strings[] = {"Hypatia", "PC (i440FX, PIIX)", config->version, NULL};
    begin_structure(builder, 1, 27, HANDLE_SYSTEM);
    blob_append(builder->blob, "\1\2\3\0", 4); /* manufacturer, product, version, no serial number */
    append_uuid(builder->blob, config->uuid);
    blob_append_u8(builder->blob, 6);  /* woken by the power switch */
    blob_append_u16(builder->blob, 0); /* no SKU, no family */
    end_structure(builder, strings);
}

static void build_enclosure(struct builder *builder)
{
    const char *strings[] = {"Hypatia", NULL};
    begin_structure(builder, 3, 21, 0x300);
    blob_append_u8(builder->blob, 1);
    blob_append_u8(builder->blob, 1); /* type: other */
    blob_append(builder->blob, NULL, 3);
    blob_append_u8(builder->blob, SAFE); /* boot-up, power supply, thermal state */
    blob_append_u8(builder->blob, SAFE);
    blob_append_u8(builder->blob, SAFE);
    blob_append_u8(builder->blob, UNKNOWN); /* security */
    blob_append(builder->blob, NULL, 8);    /* OEM, height, power cords, contained elements */
    end_structure(builder, strings);
}

static void build_processor(struct builder *builder, const struct smbios_config *config, unsigned cpu)
{
    char socket[16];
    snprintf(socket, sizeof(socket), "CPU %u", cpu);
    const char *strings[] = {socket, "Hypatia", NULL};
    begin_structure(builder, 4, 35, (uint16_t)(0x400 + cpu));
    blob_append_u8(builder->blob, 1);
    blob_append_u8(builder->blob, 3); /* central processor */
    blob_append_u8(builder->blob, 1); /* family: other */
    blob_append_u8(builder->blob, 2);
    blob_append_u32(builder->blob, config->cpu_signature);
    blob_append_u32(builder->blob, config->cpu_features);
    blob_append(builder->blob, NULL, 8); /* version, voltage, clocks: unknown */
    blob_append_u8(builder->blob, 0x41); /* populated, enabled */
    blob_append_u8(builder->blob, 1);    /* upgrade: other */
    for (unsigned cache = 0; cache < 3; cache++) {
        blob_append_u16(builder->blob, 0xffff);
    }
    blob_append(builder->blob, NULL, 3); /* serial number, asset tag, part number */
    end_structure(builder, strings);
}

static void build_memory(struct builder *builder, uint64_t kib)
{
    const char *none[] = {NULL};
    const char *strings[] = {"DIMM 0", NULL};
    begin_structure(builder, 16, 15, HANDLE_MEMORY_ARRAY);
    blob_append(builder->blob, "\1\3\3", 3); /* other place, system memory, no error correction */
    blob_append_u32(builder->blob, (uint32_t)MIN(kib, 0x80000000u));
    blob_append_u16(builder->blob, HANDLE_NONE);
    blob_append_u16(builder->blob, 1);
    end_structure(builder, none);

    begin_structure(builder, 17, 27, 0x1100);
    blob_append_u16(builder->blob, HANDLE_MEMORY_ARRAY);
    blob_append_u16(builder->blob, HANDLE_NONE);
    blob_append_u16(builder->blob, 0xffff); /* widths: unknown */
    blob_append_u16(builder->blob, 0xffff);
    blob_append_u16(builder->blob, (uint16_t)(MIN(kib, DEVICE_MAX_KIB - KIB) / KIB));
    blob_append(builder->blob, "\x09\0\1\0", 4); /* DIMM, no set, locator, no bank */
    blob_append_u8(builder->blob, 7);            /* type: RAM */
    blob_append_u16(builder->blob, 2);           /* detail: other */
    blob_append(builder->blob, NULL, 6);         /* speed, maker, numbers */
    end_structure(builder, strings);
}

static void build_memory_range(struct builder *builder, unsigned number, uint64_t start, uint64_t size)
{
    const char *none[] = {NULL};
    if (size == 0) {
        return;
    }
    begin_structure(builder, 19, 15, (uint16_t)(0x1300 + number));
    blob_append_u32(builder->blob, (uint32_t)(start / KIB));
    blob_append_u32(builder->blob, (uint32_t)((start + size) / KIB - 1));
    blob_append_u16(builder->blob, HANDLE_MEMORY_ARRAY);
    blob_append_u8(builder->blob, 1);
    end_structure(builder, none);
}

static void build_end(struct builder *builder)
{
    const char *none[] = {NULL};
    begin_structure(builder, 32, 11, 0x2000);
    blob_append(builder->blob, NULL, 7); /* reserved; status: no error */
    end_structure(builder, none);
    begin_structure(builder, 127, 4, 0x7f00);
    end_structure(builder, none);
}

static void build_anchor(struct blob *anchor, const struct builder *builder)
{
    blob_append(anchor, "_SM_", 4);
    blob_append_u8(anchor, 0); /* checksum */
    blob_append_u8(anchor, ANCHOR_SIZE);
    blob_append_u8(anchor, VERSION_MAJOR);
    blob_append_u8(anchor, VERSION_MINOR);
    blob_append_u16(anchor, (uint16_t)builder->largest);
    blob_append(anchor, NULL, 6); /* entry point revision 0 */
    blob_append(anchor, "_DMI_", 5);
    blob_append_u8(anchor, 0); /* checksum */
    blob_append_u16(anchor, (uint16_t)builder->blob->size);
    blob_append_u32(anchor, 0); /* address */
    blob_append_u16(anchor, (uint16_t)builder->structures);
    blob_append_u8(anchor, VERSION_MAJOR << 4 | VERSION_MINOR);
}

void smbios_build(struct blob *tables, struct blob *anchor, const struct smbios_config *config)
{
    struct builder builder = {.blob = tables};
    build_system(&builder, config);
    build_enclosure(&builder);
    for (unsigned cpu = 0; cpu < config->cpu_count; cpu++) {
        build_processor(&builder, config, cpu);
    }
    build_memory(&builder, (config->ram_below_4g + config->ram_above_4g) / KIB);
    build_memory_range(&builder, 0, 0, config->ram_below_4g);
    build_memory_range(&builder, 1, 4 * GIB, config->ram_above_4g);
    build_end(&builder);
    build_anchor(anchor, &builder);
}
