/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * 82093AA I/O APIC: 24 inputs, each with a redirection entry that turns it into a message to the local APIC.
 *
 * Source: Intel 82093AA I/O Advanced Programmable Interrupt Controller (IOAPIC) data sheet. Two dwords at
 * FEC00000h reach the registers: IOREGSEL (00h) selects, IOWIN (10h) is the register.
 *
 *   00 ID    01 version   02 arbitration ID    10 + 2n, 11 + 2n  redirection entry n, low and high dword
 *
 * DEVIATION: the polarity bit is stored and has no effect: a line here says "asserted", not "high".
 *
 * Not modelled: the APIC bus and its retries, arbitration, the I/O APIC of later chip sets with its EOI register.
 */
#ifndef DEVICES_IOAPIC_H
#define DEVICES_IOAPIC_H

#include "devices/device.h"

#define IOAPIC_BASE 0xfec00000u
#define IOAPIC_SIZE 0x1000u
#define IOAPIC_PINS 24u

struct ioapic_wiring {
    /* One message. `mode` is encoded as in the redirection entry (000 fixed, 001 lowest priority, 100 NMI, 101
     * INIT, 111 ExtINT); true: an APIC accepted it. */
    bool (*deliver)(void *opaque, uint8_t destination, bool logical, uint8_t vector, uint8_t mode,
                    bool level_triggered);
    void *opaque;
};

struct ioapic {
    struct device device;
    struct ioapic_wiring wiring;
    struct region region;
    uint8_t select; /* IOREGSEL */
    uint8_t id;     /* bits 27:24 of the ID register */
    uint64_t redirection[IOAPIC_PINS];
    bool input[IOAPIC_PINS]; /* asserted */
};

/* NULL: out of memory. */
struct ioapic *ioapic_create(struct board *board, const struct ioapic_wiring *wiring);

/* Input 0..23; an unconnected line beyond. */
struct line ioapic_input(struct ioapic *ioapic, unsigned pin);

/* The local APIC ended a level-triggered interrupt. */
void ioapic_eoi(struct ioapic *ioapic, uint8_t vector);

#endif
