/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The VM generation counter. See vmgenid.h. A page that reads as the id and then zeros; writes change nothing.
 */
#include "devices/vmgenid.h"

#include <stdlib.h>

static uint64_t vmgenid_read(void *opaque, uint64_t offset, unsigned size)
{
    const struct vmgenid *vmgenid = opaque;
    uint64_t value = 0;

    for (unsigned i = 0; i < size && offset + i < VMGENID_SIZE; i++) {
        value |= (uint64_t)vmgenid->id[offset + i] << 8 * i;
    }
    return value;
}

static void vmgenid_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    (void)opaque;
    (void)offset;
    (void)value;
    (void)size;
}

static const struct region_ops vmgenid_region_ops = {
    .read = vmgenid_read, .write = vmgenid_write, .max_size = 8};

/* The id is no state: a reset leaves it alone. */
static void vmgenid_reset(struct device *device)
{
    (void)device;
}

static void vmgenid_fini(struct device *device)
{
    struct vmgenid *vmgenid = CONTAINER_OF(device, struct vmgenid, device);

    addr_space_remove(device->board->mem, &vmgenid->region);
    free(vmgenid);
}

static const struct device_ops vmgenid_ops = {
    .name = "vmgenid", .reset = vmgenid_reset, .fini = vmgenid_fini};

struct vmgenid *vmgenid_create(struct board *board)
{
    struct vmgenid *vmgenid = calloc(1, sizeof(*vmgenid));

    if (!vmgenid) {
        return NULL;
    }
    device_init(&vmgenid->device, &vmgenid_ops, board, NULL);
    region_init_io(&vmgenid->region, "vmgenid", VMGENID_ADDRESS, PAGE_SIZE, &vmgenid_region_ops, vmgenid);
    addr_space_add(board->mem, &vmgenid->region);
    return vmgenid;
}

void vmgenid_set(struct vmgenid *vmgenid, const uint8_t id[VMGENID_SIZE])
{
    memcpy(vmgenid->id, id, VMGENID_SIZE);
}
