/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The VM generation counter: 16 bytes that change whenever the guest lives through something a second time, because it was
 * cloned or went back to a snapshot. Its system then makes new random numbers, and databases new keys.
 *
 * Source: Microsoft, "Virtual Machine Generation ID"; Linux, drivers/virt/vmgenid.c.
 *
 *   FEF00000   16 bytes, read only      found through \_SB.VGEN of the DSDT; a change is ACPI event 5 of GPE0
 *
 * NOTE: The bytes are the VM's identity and not part of its state: a snapshot does not hold them. The document wants them
 * in memory; here they are answered by the device, which reads the same and is in nobody's hash of memory.
 *
 * Not modelled: the file etc/vmgenid_guid of fw_cfg, by which some firmware places the bytes in RAM.
 */
#ifndef DEVICES_VMGENID_H
#define DEVICES_VMGENID_H

#include "devices/device.h"

#define VMGENID_ADDRESS 0xfef00000u
#define VMGENID_EVENT   5u /* of GPE0: method _E05 of the DSDT */

enum { VMGENID_SIZE = 16 };

struct vmgenid {
    struct device device;
    struct region region;
    uint8_t id[VMGENID_SIZE];
};

/* NULL when memory ran out. All zeros until it is set. */
struct vmgenid *vmgenid_create(struct board *board);
void vmgenid_set(struct vmgenid *vmgenid, const uint8_t id[VMGENID_SIZE]);

#endif
