/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * NE2000 on PCI: Realtek RTL8029AS (10EC:8029), a DP8390 network controller with its memory behind a data port.
 *
 * Source: National Semiconductor DP8390D data sheet (registers, ring buffer, remote DMA); RTL8029AS data sheet (PCI, IDs,
 * page 3); the NE2000's own arrangement of address PROM, memory, data and reset port.
 *
 *   ports   00h-0Fh controller (pages by CR.PS)   10h-17h data port, 8, 16 or 32 bits   18h-1Fh reset
 *   memory  0000h-001Fh address PROM, each byte twice      4000h-BFFFh packet memory, 256-byte pages
 *
 *   receive ring   PSTART .. BNRY(read by the driver) .. CURR(next to fill) .. PSTOP, each frame behind four bytes:
 *                  status, next page, length with FCS (2)
 *
 * Not modelled: the time a transmission takes, collisions, the tally counters (no frame has errors), the serial EEPROM and
 * power-down bits of page 3, loopback into the FIFO.
 */
#ifndef DEVICES_NE2000_H
#define DEVICES_NE2000_H

#include "base/net.h"
#include "devices/ethernet.h"
#include "devices/pci.h"
#include "devices/pci_rom.h"

enum { NE2000_PROM_SIZE = 32, NE2000_MEMORY_START = 0x4000, NE2000_MEMORY_SIZE = 0x8000 };

struct ne2000 {
    struct device device;
    struct pci_function pci;
    struct region ports;
    struct pci_rom rom; /* option ROM */
    struct net_port port;
    struct ethernet_crc crc;
    uint8_t prom[NE2000_PROM_SIZE];

    uint8_t command, isr, imr, dcr, tcr, rcr, tsr, rsr;
    uint8_t pstart, pstop, bnry, curr, tpsr;
    uint16_t tbcr, rsar, rbcr; /* rsar, rbcr: remote DMA's address and bytes left */
    uint8_t par[NET_MAC_SIZE], mar[8];
    uint8_t config[4]; /* page 3 */
    bool unsent;       /* the wire refused the frame at TPSR */
    struct timer resume;
    uint8_t memory[NE2000_MEMORY_SIZE];
};

struct ne2000_config {
    const char *id; /* outlives the device */
    uint8_t mac[NET_MAC_SIZE];
    uint8_t slot;
    const uint8_t *rom; /* copied; NULL: none */
    size_t rom_size;
};

/* NULL when memory ran out. Connect its port with net_port_connect(). */
struct ne2000 *ne2000_create(struct board *board, struct pci_bus *bus, const struct ne2000_config *config);

#endif
