/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * fw_cfg through its ports and by DMA.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "devices/fw_cfg.h"
#include "tests/device/port_fuzz.h"

#define DESCRIPTOR 0x1000u
#define BUFFER     0x2000u

static void target_create(struct fake_board *fb)
{
    struct error error = {.text = ""};
    struct fw_cfg *fw_cfg = fw_cfg_create(&fb->board);
    cr_assert_not_null(fw_cfg);
    cr_assert_eq(fw_cfg_add_u16(fw_cfg, FW_CFG_NB_CPUS, 1, &error), 0);
    cr_assert_eq(fw_cfg_add_u64(fw_cfg, FW_CFG_RAM_SIZE, 0x12345678, &error), 0);
    cr_assert_eq(fw_cfg_add_file(fw_cfg, "bootorder", "/pci@i0cf8", 10, &error), 0);
    cr_assert_eq(fw_cfg_add_file(fw_cfg, "etc/empty", NULL, 0, &error), 0);
}

static struct fake_board *machine_create(void)
{
    struct fake_board *fb = fake_board_create();
    target_create(fb);
    return fb;
}

static struct fw_cfg *find_fw_cfg(struct fake_board *fb)
{
    return CONTAINER_OF(board_find_device(&fb->board, "fw_cfg"), struct fw_cfg, device);
}

static uint32_t in_le(struct fake_board *fb, unsigned size)
{
    uint32_t value = 0;
    for (unsigned i = 0; i < size; i++) {
        value |= (uint32_t)fake_inb(fb, 0x511) << (8 * i);
    }
    return value;
}

/* Write a descriptor, start it, and return the control word the device leaves. */
static uint32_t dma(struct fake_board *fb, uint32_t control, uint32_t length, uint64_t address)
{
    fake_write32(fb, DESCRIPTOR, __builtin_bswap32(control));
    fake_write32(fb, DESCRIPTOR + 4, __builtin_bswap32(length));
    fake_write32(fb, DESCRIPTOR + 8, __builtin_bswap32((uint32_t)(address >> 32)));
    fake_write32(fb, DESCRIPTOR + 12, __builtin_bswap32((uint32_t)address));
    fake_outl(fb, 0x514, 0);
    fake_outl(fb, 0x518, __builtin_bswap32(DESCRIPTOR));
    return __builtin_bswap32(fake_read32(fb, DESCRIPTOR));
}

Test(fw_cfg, the_signature_and_the_features_can_be_read)
{
    struct fake_board *fb = machine_create();
    fake_outw(fb, 0x510, FW_CFG_SIGNATURE);
    cr_assert_eq(in_le(fb, 4), 0x554d4551);
    cr_assert_eq(fake_inb(fb, 0x511), 0, "past the end");
    fake_outw(fb, 0x510, FW_CFG_ID);
    cr_assert_eq(in_le(fb, 4), 3);
    cr_assert_eq(fake_inl(fb, 0x514), 0x554d4551);
    cr_assert_eq(fake_inl(fb, 0x518), 0x47464320);
    fake_board_destroy(fb);
}

Test(fw_cfg, numbers_are_little_endian_and_unknown_keys_are_zero)
{
    struct fake_board *fb = machine_create();
    fake_outw(fb, 0x510, FW_CFG_NB_CPUS);
    cr_assert_eq(in_le(fb, 2), 1);
    fake_outw(fb, 0x510, FW_CFG_RAM_SIZE);
    cr_assert_eq(in_le(fb, 4), 0x12345678);
    fake_outw(fb, 0x510, 0x7fff);
    cr_assert_eq(in_le(fb, 4), 0);
    fake_board_destroy(fb);
}

Test(fw_cfg, the_directory_lists_the_files)
{
    struct fake_board *fb = machine_create();
    char name[FW_CFG_NAME_SIZE];
    fake_outw(fb, 0x510, FW_CFG_FILE_DIR);
    cr_assert_eq(__builtin_bswap32(in_le(fb, 4)), 2);
    cr_assert_eq(__builtin_bswap32(in_le(fb, 4)), 10);
    cr_assert_eq(__builtin_bswap32(in_le(fb, 4)) >> 16, 0x20);
    for (unsigned i = 0; i < sizeof(name); i++) {
        name[i] = (char)fake_inb(fb, 0x511);
    }
    cr_assert_str_eq(name, "bootorder");
    fake_outw(fb, 0x510, 0x20);
    cr_assert_eq(in_le(fb, 4), 0x6963702f, "/pci");
    fake_board_destroy(fb);
}

Test(fw_cfg, items_can_be_found_and_are_added_once)
{
    struct fake_board *fb = machine_create();
    struct fw_cfg *fw_cfg = find_fw_cfg(fb);
    struct error error = {.text = ""};
    char name[80];
    cr_assert_eq(fw_cfg_find_file(fw_cfg, "bootorder")->size, 10);
    cr_assert_null(fw_cfg_find_file(fw_cfg, "nothing"));
    cr_assert_eq(fw_cfg_add_u32(fw_cfg, FW_CFG_NB_CPUS, 2, &error), -EEXIST);
    cr_assert_eq(fw_cfg_add_file(fw_cfg, "bootorder", "x", 1, &error), -EEXIST);
    memset(name, 'n', sizeof(name));
    name[56] = '\0';
    cr_assert_eq(fw_cfg_add_file(fw_cfg, name, "x", 1, &error), -ENAMETOOLONG);
    name[55] = '\0';
    cr_assert_eq(fw_cfg_add_file(fw_cfg, name, "x", 1, &error), 0);
    for (unsigned i = 3; i < FW_CFG_FILES_MAX; i++) {
        snprintf(name, sizeof(name), "opt/%u", i);
        cr_assert_eq(fw_cfg_add_file(fw_cfg, name, &i, sizeof(i), &error), 0, "%s", error.text);
    }
    cr_assert_eq(fw_cfg_add_file(fw_cfg, "one more", "x", 1, &error), -ENOSPC);
    cr_assert_eq(fw_cfg_find_item(fw_cfg, FW_CFG_FILE_DIR)->size, 4 + 64 * FW_CFG_FILES_MAX);
    fake_board_destroy(fb);
}

Test(fw_cfg, dma_selects_reads_and_skips)
{
    struct fake_board *fb = machine_create();
    cr_assert_eq(dma(fb, 0x20u << 16 | 0x08 | 0x02, 5, BUFFER), 0);
    cr_assert_eq(fake_read32(fb, BUFFER), 0x6963702f);
    cr_assert_eq(dma(fb, 0x04, 2, 0), 0);
    cr_assert_eq(dma(fb, 0x02, 8, BUFFER), 0);
    cr_assert_eq(fake_read32(fb, BUFFER), 0x00386663, "cf8, then zeros");
    cr_assert_eq(fake_read32(fb, BUFFER + 4), 0);
    fake_board_destroy(fb);
}

Test(fw_cfg, dma_of_enormous_lengths_is_bounded)
{
    struct fake_board *fb = machine_create();
    cr_assert_eq(dma(fb, 0x20u << 16 | 0x08 | 0x02, 0xffffffff, BUFFER), 1);
    cr_assert_eq(dma(fb, 0x20u << 16 | 0x08 | 0x04, 0xffffffff, BUFFER), 0);
    cr_assert_eq(find_fw_cfg(fb)->position, 10, "a skip stops at the end");
    fake_board_destroy(fb);
}

Test(fw_cfg, dma_to_places_that_are_not_ram_reports_an_error)
{
    struct fake_board *fb = machine_create();
    cr_assert_eq(dma(fb, 0x20u << 16 | 0x08 | 0x02, 4, 0xfee00000), 1);
    cr_assert_eq(dma(fb, 0x20u << 16 | 0x08 | 0x02, 4, UINT64_MAX - 1), 1);
    cr_assert_eq(dma(fb, 0x20u << 16 | 0x08 | 0x10, 4, BUFFER), 1, "items cannot be written");
    fake_outl(fb, 0x514, 0xffffffff);
    fake_outl(fb, 0x518, 0xffffffff);
    cr_assert_eq(find_fw_cfg(fb)->dma_high, 0, "a descriptor outside RAM is forgotten");
    fake_board_destroy(fb);
}

Test(fw_cfg, a_load_continues_in_the_middle_of_an_item)
{
    struct fake_board *fb = machine_create(), *other = machine_create();
    fake_outw(fb, 0x510, 0x20);
    fake_inb(fb, 0x511);
    fake_expect_same_after_load(&find_fw_cfg(fb)->device, &find_fw_cfg(other)->device);
    cr_assert_eq(fake_inb(other, 0x511), 'p');
    fake_board_destroy(fb);
    fake_board_destroy(other);
}

/* Descriptors in RAM with random contents, near the ones a firmware writes. */
static void poke(struct fake_board *fb, uint64_t random)
{
    dma(fb, (uint32_t)(random & 0x1f) | 0x20u << 16, (uint32_t)(random >> 8) >> (random >> 59),
        random >> 40 & 1 ? random >> 16 : (random >> 16) % FAKE_BOARD_RAM_SIZE);
}

Test(fw_cfg, keeps_the_device_contract)
{
    const struct fuzz_target target = {
        .create = target_create,
        .poke = poke,
        .windows = {{.base = 0x510, .size = 2}, {.base = 0x510, .size = 12}},
        .window_count = 2,
    };
    device_contract_check(&target, 4000);
}
