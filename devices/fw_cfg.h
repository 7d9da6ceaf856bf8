/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * fw_cfg: how the board tells its firmware about itself (RAM size, boot order, kernel, ACPI tables...).
 *
 * Source: QEMU documentation, "QEMU Firmware Configuration (fw_cfg) Device". A read-only set of items, each with a
 * 16-bit key; items with names ("files") have keys from 20h and are listed in the file directory, key 19h.
 *
 *   510  selector, word, write: choose an item and rewind
 *   511  data, byte, read: the next byte of the item, 0 past its end
 *   514  DMA address, two big-endian dwords (high, low); writing the low one starts. Reads "QEMU CFG".
 *
 *   DMA descriptor, big-endian:  control (32) | length (32) | address (64)
 *   control: 0 error, 1 read, 2 skip, 3 select (key in 31:16), 4 write; 0 when done
 *
 * Not modelled: items the guest can write, the memory-mapped variant.
 */
#ifndef DEVICES_FW_CFG_H
#define DEVICES_FW_CFG_H

#include "devices/device.h"

#define FW_CFG_NAME_SIZE  56u /* with the terminating NUL */
#define FW_CFG_FILE_FIRST 0x20u
#define FW_CFG_FILES_MAX  256u

/* Keys the firmware of PCs asks for. */
enum fw_cfg_key {
    FW_CFG_SIGNATURE = 0x00,
    FW_CFG_ID = 0x01,
    FW_CFG_UUID = 0x02,
    FW_CFG_RAM_SIZE = 0x03,
    FW_CFG_NOGRAPHIC = 0x04,
    FW_CFG_NB_CPUS = 0x05,
    FW_CFG_KERNEL_ADDR = 0x07,
    FW_CFG_KERNEL_SIZE = 0x08,
    FW_CFG_INITRD_ADDR = 0x0a,
    FW_CFG_INITRD_SIZE = 0x0b,
    FW_CFG_BOOT_MENU = 0x0e,
    FW_CFG_MAX_CPUS = 0x0f,
    FW_CFG_KERNEL_ENTRY = 0x10,
    FW_CFG_KERNEL_DATA = 0x11,
    FW_CFG_INITRD_DATA = 0x12,
    FW_CFG_CMDLINE_ADDR = 0x13,
    FW_CFG_CMDLINE_SIZE = 0x14,
    FW_CFG_CMDLINE_DATA = 0x15,
    FW_CFG_SETUP_ADDR = 0x16,
    FW_CFG_SETUP_SIZE = 0x17,
    FW_CFG_SETUP_DATA = 0x18,
    FW_CFG_FILE_DIR = 0x19,
    FW_CFG_ACPI_TABLES = 0x8000,
    FW_CFG_SMBIOS_ENTRIES = 0x8001,
    FW_CFG_IRQ0_OVERRIDE = 0x8002,
    FW_CFG_E820_TABLE = 0x8003
};

struct fw_cfg_item {
    uint16_t key;
    char name[FW_CFG_NAME_SIZE]; /* files only, else "" */
    uint8_t *bytes;              /* shared with the clones of the machine: read only */
    uint32_t size;
};

struct fw_cfg {
    struct device device;
    struct region selector_region, dma_region;
    struct fw_cfg_item *items; /* owned, in order of addition */
    unsigned item_count, item_capacity, file_count;
    uint16_t selected; /* key */
    uint32_t position; /* next byte of that item */
    uint32_t dma_high; /* upper half of the descriptor's address */
};

/* NULL: out of memory. */
struct fw_cfg *fw_cfg_create(struct board *board);

/* Add an item or a file; the bytes are copied. -EEXIST, -ENOSPC, -ENAMETOOLONG, -EFBIG or -ENOMEM, with text. To be
 * done while the board is built: items are part of the machine, not of its state. */
int fw_cfg_add_item(struct fw_cfg *fw_cfg, uint16_t key, const void *bytes, size_t size, struct error *error);
int fw_cfg_add_u16(struct fw_cfg *fw_cfg, uint16_t key, uint16_t value, struct error *error);
int fw_cfg_add_u32(struct fw_cfg *fw_cfg, uint16_t key, uint32_t value, struct error *error);
int fw_cfg_add_u64(struct fw_cfg *fw_cfg, uint16_t key, uint64_t value, struct error *error);
int fw_cfg_add_file(struct fw_cfg *fw_cfg, const char *name, const void *bytes, size_t size,
                    struct error *error);

/*
 * For a clone of the machine: the items of `from` in place of those of `to`, without a copy of their bytes. What is told of
 * this machine alone (UUID, SMBIOS tables) stays, if it is as long. -ENOMEM with the text; nothing has changed.
 */
int fw_cfg_share(struct fw_cfg *to, const struct fw_cfg *from, struct error *error);

/* The item or file, or NULL. */
const struct fw_cfg_item *fw_cfg_find_item(const struct fw_cfg *fw_cfg, uint16_t key);
const struct fw_cfg_item *fw_cfg_find_file(const struct fw_cfg *fw_cfg, const char *name);

#endif
