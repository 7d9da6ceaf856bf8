/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * From a configuration to a machine that can boot: reads the firmware, fills in fw_cfg and CMOS. See vm/machine.h.
 */
#include "vm/machine.h"

#include <stdlib.h>
#include <time.h>
#include <xxhash.h>

/* A fixed date under -icount: the host's would make every run different. 2024-01-01 00:00:00 UTC. */
#define ICOUNT_DATE 1704067200

int machine_load_images(struct machine_images *images, const struct vm_config *config, struct error *error)
{
    struct firmware_search search = {.dirs = config->dirs, .dir_count = config->dir_count};
    int result = firmware_load_bios(&images->bios, config->bios, &search, error);

    if (result == 0 && config->vga && !firmware_is_builtin(&images->bios)) {
        result = firmware_load_vga_bios(&images->vga_bios, &search, error);
    }
    return result;
}

void machine_free_images(struct machine_images *images)
{
    firmware_rom_fini(&images->bios);
    firmware_rom_fini(&images->vga_bios);
}

uint64_t machine_images_hash(const struct machine_images *images)
{
    uint64_t bios = XXH3_64bits(images->bios.bytes, images->bios.size);

    return images->vga_bios.bytes ? XXH3_64bits_withSeed(images->vga_bios.bytes, images->vga_bios.size, bios)
                                  : bios;
}

static int machine_add_fw_cfg(struct fw_cfg *fw_cfg, const struct config_fw_cfg *item, struct error *error)
{
    uint8_t *bytes = NULL;
    size_t size;
    int result;

    if (!item->file) {
        return fw_cfg_add_file(fw_cfg, item->name, item->string, strlen(item->string), error);
    }
    result = loader_read_file(item->file, "-fw_cfg", 64 * MIB, &bytes, &size, error);
    if (result == 0) {
        result = fw_cfg_add_file(fw_cfg, item->name, bytes, size, error);
    }
    free(bytes);
    return result;
}

static void machine_set_cmos(void *opaque, uint8_t index, uint8_t value)
{
    mc146818_set_cmos(opaque, index, value);
}

int machine_configure(struct pc *pc, const struct vm_config *config, const struct machine_images *images,
                      struct error *error)
{
    const struct cpu_model *model = config->cpu_model;
    struct firmware_config firmware = {
        .ram_below_4g = i440fx_ram_below_4g(config->ram_size),
        .ram_above_4g = i440fx_ram_above_4g(config->ram_size),
        .cpu_count = 1,
        .cpu_signature = cpu_signature(model),
        .cpu_features = (uint32_t)config->cpu_features,
        .builtin = firmware_is_builtin(&images->bios),
        .nographic = config->nographic,
        .boot_order = config->boot_once[0]    ? config->boot_once
                      : config->boot_order[0] ? config->boot_order
                                              : NULL,
        .uuid = config->uuid,
        .kernel = config->kernel,
        .initrd = config->initrd,
        .append = config->append,
        .kernel_follows = config->kernel_follows,
        .multiboot = (enum loader_multiboot)config->multiboot,
    };
    int result = firmware_configure(pc_fw_cfg(pc), &firmware, error);

    for (unsigned i = 0; i < config->fw_cfg_count && result == 0; i++) {
        result = machine_add_fw_cfg(pc_fw_cfg(pc), &config->fw_cfg[i], error);
    }
    if (result == 0) {
        firmware_fill_cmos(&firmware, machine_set_cmos, pc_rtc(pc));
    }
    return result;
}

void machine_connect_drives(struct pc_config *pc_config, struct drives *drives)
{
    for (unsigned i = 0; i < CONFIG_IDE_DRIVES; i++) {
        pc_config->ide[i] = drives->ide[i] ? &drives->ide[i]->block : NULL;
        pc_config->ide_is_cdrom[i] = drives->ide_is_cdrom[i];
    }
    for (unsigned i = 0; i < CONFIG_FLOPPY_DRIVES; i++) {
        pc_config->floppy[i] = drives->floppy[i] ? &drives->floppy[i]->block : NULL;
    }
}

int64_t machine_rtc_start(const struct vm_config *config)
{
    time_t now = time(NULL);
    struct tm local;

    switch (config->rtc) {
    case RTC_DATE:
        return config->rtc_date;
    case RTC_LOCALTIME:
        localtime_r(&now, &local);
        return (int64_t)now + local.tm_gmtoff;
    case RTC_UTC:
        return (int64_t)now;
    case RTC_DEFAULT:
        break;
    }
    return config->icount ? ICOUNT_DATE : (int64_t)now;
}
