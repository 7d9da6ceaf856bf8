/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The VM generation counter.
 */
#include "devices/vmgenid.h"

#include <criterion/criterion.h>

#include "tests/device/fake_board.h"

static const uint8_t id[VMGENID_SIZE] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};

Test(vmgenid, reads_as_its_bytes_in_any_size)
{
    struct fake_board *fb = fake_board_create();
    struct vmgenid *vmgenid = vmgenid_create(&fb->board);
    uint8_t bytes[VMGENID_SIZE];

    cr_assert_eq(fake_read32(fb, VMGENID_ADDRESS), 0);
    vmgenid_set(vmgenid, id);
    for (unsigned size = 1; size <= 8; size *= 2) {
        for (unsigned at = 0; at < VMGENID_SIZE; at += size) {
            uint64_t value = addr_space_read(&fb->mem, VMGENID_ADDRESS + at, size);
            memcpy(bytes + at, &value, size);
        }
        cr_assert_arr_eq(bytes, id, VMGENID_SIZE);
    }
    cr_assert_eq(fake_read32(fb, VMGENID_ADDRESS + 14), 0x100f, "and zeros behind it");
    cr_assert_eq(fake_read32(fb, VMGENID_ADDRESS + PAGE_SIZE - 4), 0);
    fake_board_destroy(fb);
}

Test(vmgenid, neither_writes_nor_a_reset_change_it)
{
    struct fake_board *fb = fake_board_create();
    struct vmgenid *vmgenid = vmgenid_create(&fb->board);

    vmgenid_set(vmgenid, id);
    fake_write32(fb, VMGENID_ADDRESS, 0xffffffff);
    fake_write32(fb, VMGENID_ADDRESS + 100, 0xffffffff);
    board_reset_devices(&fb->board);
    cr_assert_eq(fake_read32(fb, VMGENID_ADDRESS), 0x04030201);
    cr_assert_eq(fake_read32(fb, VMGENID_ADDRESS + 100), 0);
    fake_board_destroy(fb);
}
