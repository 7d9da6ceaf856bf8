/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * 82371SB (PIIX3): PCI-to-ISA bridge, function 01.0 of bus 0.
 *
 * Source: Intel 82371SB PCI ISA IDE Xcelerator data sheet. What of it matters to a guest:
 *
 *   PIRQRC A..D (60h-63h)  route the four PCI interrupt lines to ISA IRQs
 *   port CF9h              reset control register
 *   port 92h               fast A20 and fast INIT (a PS/2 port; the boards put it here)
 *   A20 gate               open when port 92h or the keyboard controller asks for it
 *
 * The bridge also is where the wired ISA IRQ lines meet: piix3_irq_input() gives every driver of an IRQ an input
 * of its own, and the output is their OR with the PCI lines routed there. Edge or level is the i8259's ELCR.
 *
 * Not modelled: SMI generation, DMA and memory decode controls (stored only), the IDE and USB functions (own
 * files). The power management of PC boards with this chip comes from the PIIX4: piix4_pm.c.
 */
#ifndef DEVICES_PIIX3_H
#define DEVICES_PIIX3_H

#include "devices/pci.h"

#define PIIX3_SLOT        1u
#define PIIX3_IRQS        16u
#define PIIX3_IRQ_INPUTS  32u /* drivers of one IRQ */
#define PIIX3_A20_KBC     1u  /* who asks for an open A20 gate */
#define PIIX3_A20_PORT_92 2u

struct piix3_wiring {
    struct line isa_irq[PIIX3_IRQS]; /* to the interrupt controllers */
    struct line a20;                 /* level: true lets address bit 20 pass */
    struct line reset;               /* pulsed: reset of the whole machine */
    struct line init;                /* pulsed: INIT# of the processor only */
};

struct piix3 {
    struct device device;
    struct pci_function pci;
    struct piix3_wiring wiring;
    struct region port_92_region;
    uint8_t reset_control; /* CF9: bit 1 SRST, bit 2 RCPU */
    uint8_t port_92;       /* bit 0 fast INIT, bit 1 A20 */
    uint8_t a20_requests;  /* PIIX3_A20_* */
    uint8_t pirq_levels;   /* bit n: PIRQ n is asserted */
    uint16_t irq_levels;   /* bit n: output isa_irq[n] */
    uint8_t input_count[PIIX3_IRQS];
    uint32_t input_levels[PIIX3_IRQS]; /* bit n: input n of that IRQ is asserted */
};

/* The `reset` and `init` lines are pulsed from inside a port write: the board notes the wish and acts on it when
 * the instruction is over. Connects itself to the bus's PIRQs and to port CF9. NULL: out of memory. */
struct piix3 *piix3_create(struct board *board, struct pci_bus *bus, const struct piix3_wiring *wiring);

/* A new input of ISA IRQ `irq`, for one driver. An unconnected line when irq is not 0..15 or all are taken. */
struct line piix3_irq_input(struct piix3 *bridge, unsigned irq);
/* The keyboard controller's request to open the A20 gate; it counts as made until the line is first set. */
struct line piix3_a20_input(struct piix3 *bridge);

#endif
