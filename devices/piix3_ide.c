/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * PIIX3 IDE function: port decoding and bus-master DMA.
 *
 * Source: Intel 82371SB data sheet, "PCI configuration registers - IDE interface" and "IDE controller register
 * descriptions"; "Programming Interface for Bus Master IDE Controller", revision 1.0.
 *
 *   +0  BMIC   3 direction (1: to memory)   0 start: 0 to 1 begins at the table's first descriptor
 *   +2  BMIS   6 drive 1, 5 drive 0 can do DMA (software's notes)   2 interrupt   1 error   0 active
 *   +4  BMIDTP address of the descriptor table, dword aligned, within 64 KiB
 *
 *   descriptor   31                    1 0 | 31 EOT   30:16 -   15       1 0
 *                 memory address       0   |                    byte count 0    (count 0: 64 KiB)
 *
 * How a transfer ends, in BMIS: interrupt 1, active 0: as planned. interrupt 1, active 1: the device had less than the
 * table. interrupt 0, active 0: the table was shorter; the device waits with its data for another start.
 *
 * A transfer takes as much as the device has in its buffer; the number of descriptors a start may use is bounded.
 * DEVIATION: the engine moves data the way the device's command says, not by the direction bit (a mismatch hangs the
 * real one); a start that fetches more descriptors than a table can hold ends as a bus error.
 * DEVIATION: IDETIM starts with both channels enabled, as firmware leaves it, for guests that are booted without.
 * Not modelled: transfer timing, the native mode that this chip does not have either.
 */
#include "devices/piix3_ide.h"

#include <errno.h>
#include <stdlib.h>

#include "devices/piix3.h"

enum { REG_IDETIM = 0x40, REG_SIDETIM = 0x44 };
#define IDETIM_ENABLE     0x8000
#define BUS_MASTER_BAR    4
#define BUS_MASTER_PORTS  16
#define TABLE_SIZE        0x10000u
#define DESCRIPTOR_SIZE   8u
#define TABLE_DESCRIPTORS (TABLE_SIZE / DESCRIPTOR_SIZE)

enum { BMIC_START = 0x01, BMIC_TO_MEMORY = 0x08 };
enum { BMIS_ACTIVE = 0x01, BMIS_ERROR = 0x02, BMIS_INTERRUPT = 0x04, BMIS_CAPABLE = 0x60 };

static const uint16_t command_base[PIIX3_IDE_CHANNELS] = {0x1f0, 0x170};
static const uint16_t control_base[PIIX3_IDE_CHANNELS] = {0x3f6, 0x376};

/* ---- the DMA engine ---- */

static bool bus_error(struct piix3_bus_master *bm)
{
    bm->status = (uint8_t)((bm->status | BMIS_ERROR) & ~BMIS_ACTIVE);
    return false;
}

static bool fetch_descriptor(struct piix3_bus_master *bm)
{
    uint8_t descriptor[DESCRIPTOR_SIZE];
    uint32_t count;

    if (bm->descriptors == TABLE_DESCRIPTORS ||
        !dma_read(bm->ide->device.board->mem, bm->next, descriptor, sizeof(descriptor))) {
        return bus_error(bm);
    }
    bm->descriptors++;
    count = load_le16(descriptor + 4) & 0xfffe;
    bm->region_address = load_le32(descriptor) & ~1u;
    bm->region_left = count ? count : 0x10000;
    bm->last = descriptor[7] & 0x80;
    bm->next = (bm->next & ~(TABLE_SIZE - 1)) | ((bm->next + DESCRIPTOR_SIZE) & (TABLE_SIZE - 1));
    return true;
}

/* Up to `length` bytes of the region under way; addresses wrap at 4 GiB. */
static bool move_bytes(struct piix3_bus_master *bm, uint8_t *bytes, uint32_t length, bool to_memory)
{
    struct addr_space *mem = bm->ide->device.board->mem;
    bool done = to_memory ? dma_write(mem, bm->region_address, bytes, length)
                          : dma_read(mem, bm->region_address, bytes, length);

    if (!done) {
        return bus_error(bm);
    }
    bm->region_address += length;
    bm->region_left -= length;
    if (bm->region_left == 0 && bm->last) {
        bm->status &= (uint8_t)~BMIS_ACTIVE;
    }
    return true;
}

static uint32_t bus_master_transfer(void *opaque, uint8_t *bytes, uint32_t length, bool to_memory)
{
    struct piix3_bus_master *bm = opaque;
    uint32_t moved = 0;

    if (!pci_function_is_master(&bm->ide->pci)) {
        return 0;
    }
    while (moved < length && (bm->status & BMIS_ACTIVE)) {
        uint64_t run;

        if (bm->region_left == 0 && !fetch_descriptor(bm)) {
            break;
        }
        run = MIN(MIN(length - moved, bm->region_left), (uint64_t)UINT32_MAX + 1 - bm->region_address);
        if (!move_bytes(bm, bytes + moved, (uint32_t)run, to_memory)) {
            break;
        }
        moved += (uint32_t)run;
    }
    return moved;
}

static void bus_master_command(struct piix3_bus_master *bm, uint8_t value)
{
    uint8_t old = bm->command;

    bm->command = value & (BMIC_START | BMIC_TO_MEMORY);
    if (~value & BMIC_START) {
        bm->status &= (uint8_t)~BMIS_ACTIVE;
    } else if (!(old & BMIC_START)) {
        bm->status |= BMIS_ACTIVE;
        bm->next = bm->table;
        bm->region_left = 0;
        bm->last = false;
        bm->descriptors = 0;
        ide_channel_dma_start(&bm->ide->channel[bm - bm->ide->bus_master]);
    }
}

static void bus_master_write_byte(struct piix3_bus_master *bm, unsigned offset, uint8_t value)
{
    switch (offset) {
    case 0:
        bus_master_command(bm, value);
        break;
    case 2:
        bm->status &= (uint8_t) ~(value & (BMIS_INTERRUPT | BMIS_ERROR));
        bm->status = (uint8_t)((bm->status & ~BMIS_CAPABLE) | (value & BMIS_CAPABLE));
        break;
    case 4:
    case 5:
    case 6:
    case 7:
        bm->table &= ~(0xffu << 8 * (offset - 4));
        bm->table |= (uint32_t)value << 8 * (offset - 4);
        bm->table &= ~3u;
        break;
    default:
        break;
    }
}

static uint8_t bus_master_read_byte(const struct piix3_bus_master *bm, unsigned offset)
{
    switch (offset) {
    case 0:
        return bm->command;
    case 2:
        return bm->status;
    case 4:
    case 5:
    case 6:
    case 7:
        return (uint8_t)(bm->table >> 8 * (offset - 4));
    default:
        return 0;
    }
}

static uint64_t bus_master_read(void *opaque, uint64_t offset, unsigned size)
{
    const struct piix3_ide *ide = opaque;
    uint64_t value = 0;

    for (unsigned i = 0; i < size && offset + i < BUS_MASTER_PORTS; i++) {
        unsigned at = (unsigned)offset + i;

        value |= (uint64_t)bus_master_read_byte(&ide->bus_master[at / 8], at % 8) << 8 * i;
    }
    return value;
}

static void bus_master_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct piix3_ide *ide = opaque;

    for (unsigned i = 0; i < size && offset + i < BUS_MASTER_PORTS; i++) {
        unsigned at = (unsigned)offset + i;

        bus_master_write_byte(&ide->bus_master[at / 8], at % 8, (uint8_t)(value >> 8 * i));
    }
}

static const struct region_ops bus_master_ops = {.read = bus_master_read, .write = bus_master_write};

/* ---- ports of the channels ---- */

static uint64_t command_read(void *opaque, uint64_t offset, unsigned size)
{
    return ide_command_block_read(opaque, (unsigned)offset, size);
}

static void command_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    ide_command_block_write(opaque, (unsigned)offset, (uint32_t)value, size);
}

static uint64_t control_read(void *opaque, uint64_t offset, unsigned size)
{
    (void)offset;
    (void)size;
    return ide_control_read(opaque);
}

static void control_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    (void)offset;
    (void)size;
    ide_control_write(opaque, (uint8_t)value);
}

static const struct region_ops command_ops = {.read = command_read, .write = command_write};
static const struct region_ops control_ops = {.read = control_read, .write = control_write, .max_size = 1};

static void update_decode(struct piix3_ide *ide)
{
    bool io = pci_config_get16(&ide->pci, PCI_COMMAND) & PCI_COMMAND_IO;

    for (unsigned i = 0; i < PIIX3_IDE_CHANNELS; i++) {
        bool enabled = io && (pci_config_get16(&ide->pci, REG_IDETIM + 2 * i) & IDETIM_ENABLE);

        if (ide->command_ports[i].enabled != enabled) {
            region_set_enabled(&ide->command_ports[i], enabled);
            region_set_enabled(&ide->control_ports[i], enabled);
        }
    }
}

static void config_written(struct pci_function *function, unsigned offset, unsigned size)
{
    struct piix3_ide *ide = CONTAINER_OF(function, struct piix3_ide, pci);

    (void)size;
    update_decode(ide);
    if (offset <= PCI_COMMAND) {
        for (unsigned i = 0; i < PIIX3_IDE_CHANNELS; i++) {
            ide_channel_dma_start(&ide->channel[i]);
        }
    }
}

/* A channel's INTRQ, noted by the bus master when it rises. */
static void intrq_changed(void *opaque, unsigned number, bool level)
{
    struct piix3_ide *ide = opaque;

    if (level) {
        ide->bus_master[number].status |= BMIS_INTERRUPT;
    }
    line_set(&ide->irq[number], level);
}

/* ---- life ---- */

static int piix3_ide_post_load(void *object, struct error *error);

static const struct snap_field bus_master_fields[] = {
    SNAP_RANGE(struct piix3_bus_master, command, 0, BMIC_START | BMIC_TO_MEMORY),
    SNAP_RANGE(struct piix3_bus_master, status, 0, 0x67),
    SNAP_UINT(struct piix3_bus_master, table),
    SNAP_UINT(struct piix3_bus_master, next),
    SNAP_UINT(struct piix3_bus_master, region_address),
    SNAP_RANGE(struct piix3_bus_master, region_left, 0, 0x10000),
    SNAP_BOOL(struct piix3_bus_master, last),
    SNAP_RANGE(struct piix3_bus_master, descriptors, 0, TABLE_DESCRIPTORS),
};

static const struct snap_field piix3_ide_fields[] = {
    SNAP_STRUCTS(struct piix3_ide, pci, 1, pci_function_fields),
    SNAP_STRUCTS(struct piix3_ide, bus_master, PIIX3_IDE_CHANNELS, bus_master_fields),
    SNAP_STRUCTS(struct piix3_ide, channel, PIIX3_IDE_CHANNELS, ide_channel_fields),
};

static const struct snap_desc piix3_ide_snap = {
    .name = "ide", .version = 1, SNAP_FIELDS(piix3_ide_fields), .post_load = piix3_ide_post_load};

static int piix3_ide_post_load(void *object, struct error *error)
{
    struct piix3_ide *ide = object;
    int result = pci_function_post_load(&ide->pci, error);

    for (unsigned i = 0; i < PIIX3_IDE_CHANNELS && result == 0; i++) {
        const struct piix3_bus_master *bm = &ide->bus_master[i];

        if ((bm->region_address | bm->region_left) & 1 || (bm->table | bm->next) & 3) {
            return error_set(error, -EINVAL, "ide: bus master %u at an odd address", i);
        }
        result = ide_channel_post_load(&ide->channel[i], error);
    }
    update_decode(ide);
    return result;
}

static void piix3_ide_reset(struct device *device)
{
    struct piix3_ide *ide = CONTAINER_OF(device, struct piix3_ide, device);

    pci_function_reset(&ide->pci);
    for (unsigned i = 0; i < PIIX3_IDE_CHANNELS; i++) {
        ide_channel_reset(&ide->channel[i]);
        ide->bus_master[i] = (struct piix3_bus_master){.ide = ide};
    }
    update_decode(ide);
}

static void piix3_ide_fini(struct device *device)
{
    struct piix3_ide *ide = CONTAINER_OF(device, struct piix3_ide, device);

    for (unsigned i = 0; i < PIIX3_IDE_CHANNELS; i++) {
        ide_channel_fini(&ide->channel[i]);
        addr_space_remove(device->board->io, &ide->command_ports[i]);
        addr_space_remove(device->board->io, &ide->control_ports[i]);
    }
    pci_function_fini(&ide->pci);
    free(ide);
}

static const struct device_ops piix3_ide_ops = {
    .name = "ide", .reset = piix3_ide_reset, .fini = piix3_ide_fini, .snap = &piix3_ide_snap};

static void define_config(struct piix3_ide *ide)
{
    pci_config_define16(&ide->pci, PCI_COMMAND, 0, PCI_COMMAND_IO | PCI_COMMAND_MASTER);
    pci_config_define16(&ide->pci, PCI_STATUS, PCI_STATUS_FAST_BACK | PCI_STATUS_DEVSEL_MEDIUM, 0);
    pci_config_define8(&ide->pci, PCI_LATENCY_TIMER, 0, 0xf0);
    pci_config_define16(&ide->pci, REG_IDETIM, IDETIM_ENABLE, 0xffff);
    pci_config_define16(&ide->pci, REG_IDETIM + 2, IDETIM_ENABLE, 0xffff);
    pci_config_define8(&ide->pci, REG_SIDETIM, 0, 0xff);
    region_init_io(&ide->bus_master_ports, "ide bus master", 0, BUS_MASTER_PORTS, &bus_master_ops, ide);
    pci_function_add_bar(&ide->pci, BUS_MASTER_BAR, PCI_BAR_IO, &ide->bus_master_ports);
    ide->pci.config_written = config_written;
}

static void add_channel(struct piix3_ide *ide, unsigned number, const struct ide_slot slot[2])
{
    static const char *const names[PIIX3_IDE_CHANNELS][2] = {{"ide0", "ide0 control"},
                                                             {"ide1", "ide1 control"}};
    struct addr_space *io = ide->device.board->io;
    struct ide_channel *channel = &ide->channel[number];
    struct ide_bus_master bus_master = {.transfer = bus_master_transfer, .opaque = &ide->bus_master[number]};

    region_init_io(&ide->command_ports[number], names[number][0], command_base[number], 8, &command_ops,
                   channel);
    region_init_io(&ide->control_ports[number], names[number][1], control_base[number], 1, &control_ops,
                   channel);
    addr_space_add(io, &ide->command_ports[number]);
    addr_space_add(io, &ide->control_ports[number]);
    ide->bus_master[number].ide = ide;
    ide_channel_init(channel, &ide->device, number,
                     (struct line){.set = intrq_changed, .opaque = ide, .number = number}, bus_master, slot);
}

struct piix3_ide *piix3_ide_create(struct board *board, struct pci_bus *bus,
                                   const struct line irq[PIIX3_IDE_CHANNELS],
                                   const struct ide_slot slot[PIIX3_IDE_DRIVES])
{
    static const struct pci_identity identity = {.vendor = 0x8086,
                                                 .device = 0x7010,
                                                 .class_code = 0x010180,
                                                 .subsystem_vendor = PCI_BOARD_VENDOR,
                                                 .subsystem = PCI_BOARD_ID};
    struct piix3_ide *ide = calloc(1, sizeof(*ide));

    if (!ide) {
        return NULL;
    }
    memcpy(ide->irq, irq, sizeof(ide->irq));
    device_init(&ide->device, &piix3_ide_ops, board, NULL);
    pci_function_init(&ide->pci, bus, PIIX3_SLOT, 1, &identity);
    define_config(ide);
    for (unsigned i = 0; i < PIIX3_IDE_CHANNELS; i++) {
        add_channel(ide, i, &slot[i * 2]);
    }
    update_decode(ide);
    return ide;
}
