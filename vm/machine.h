/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * From a configuration to the images and tables a machine boots with: firmware, kernel, fw_cfg, CMOS.
 */
#ifndef VM_MACHINE_H
#define VM_MACHINE_H

#include "devices/pc.h"
#include "vm/block_drives.h"
#include "vm/config.h"
#include "vm/firmware.h"

struct machine_images {
    struct firmware_rom bios,
        vga_bios; /* vga_bios.bytes is NULL when there is no adapter, or no BIOS to run it */
};

/* Read the firmware into *images (all zero before). Negative errno with the text; free the images either way. */
int machine_load_images(struct machine_images *images, const struct vm_config *config, struct error *error);
void machine_free_images(struct machine_images *images);
/* Of their contents: equal images, equal hashes. */
uint64_t machine_images_hash(const struct machine_images *images);

/* Load the kernel, and fill in fw_cfg and CMOS. */
int machine_configure(struct pc *pc, const struct vm_config *config, const struct machine_images *images,
                      struct error *error);

/* Plug the drives into the board's controllers. */
void machine_connect_drives(struct pc_config *pc_config, struct drives *drives);

/* What the real-time clock shows when the VM starts, seconds since 1970. */
int64_t machine_rtc_start(const struct vm_config *config);

#endif
