/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * 82371SB (PIIX3) IDE function, 01.1 of bus 0: two ATA channels in compatibility mode and a bus-master DMA engine for each.
 *
 *   channel 0   1F0h-1F7h, 3F6h   IRQ 14   bus master BAR4 + 0
 *   channel 1   170h-177h, 376h   IRQ 15   bus master BAR4 + 8
 *
 * The ports answer while the function's I/O space and the channel (IDETIM, bit 15) are enabled.
 */
#ifndef DEVICES_PIIX3_IDE_H
#define DEVICES_PIIX3_IDE_H

#include "devices/ide.h"
#include "devices/pci.h"

enum { PIIX3_IDE_CHANNELS = 2, PIIX3_IDE_DRIVES = 4 };

/* One channel's DMA engine, walking a table of physical region descriptors. */
struct piix3_bus_master {
    struct piix3_ide *ide;
    uint8_t command;         /* BMICX: bit 3 direction, bit 0 start */
    uint8_t status;          /* BMISX: bits 6:5 drive is DMA capable, 2 interrupt, 1 error, 0 active */
    uint32_t table;          /* BMIDTPX */
    uint32_t next;           /* address of the next descriptor */
    uint32_t region_address; /* what is left of the region under way, even */
    uint32_t region_left;    /* bytes, even */
    bool last;               /* its descriptor was marked end of table */
    uint16_t descriptors;    /* fetched since the start */
};

struct piix3_ide {
    struct device device;
    struct pci_function pci;
    struct line irq[PIIX3_IDE_CHANNELS];
    struct region command_ports[PIIX3_IDE_CHANNELS], control_ports[PIIX3_IDE_CHANNELS], bus_master_ports;
    struct piix3_bus_master bus_master[PIIX3_IDE_CHANNELS];
    struct ide_channel channel[PIIX3_IDE_CHANNELS];
};

/* slot[0], [1]: primary master and slave, then the secondary channel's. The blocks outlive the device. NULL: out of
 * memory. */
struct piix3_ide *piix3_ide_create(struct board *board, struct pci_bus *bus,
                                   const struct line irq[PIIX3_IDE_CHANNELS],
                                   const struct ide_slot slot[PIIX3_IDE_DRIVES]);

#endif
