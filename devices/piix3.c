/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * 82371SB (PIIX3) PCI-to-ISA bridge: interrupt routing, resets and the A20 gate.
 *
 * Source: Intel 82371SB data sheet, "PCI to ISA bridge registers" and "Reset control register"; IBM PS/2 Hardware
 * Interface Technical Reference for port 92h.
 *
 *   PIRQRC   7 disable   6:4 -   3:0 IRQ (3..7, 9..12, 14, 15; the others are reserved and route nowhere)
 *   CF9      2 RCPU: 0 to 1 resets   1 SRST: 1 = the machine, 0 = the processor (INIT#)
 *   92       1 A20   0 fast INIT: 0 to 1 pulses INIT#
 *
 * Not modelled: see piix3.h.
 */
#include "devices/piix3.h"

#include <stdlib.h>

enum {
    REG_IORT = 0x4c,
    REG_XBCS = 0x4e,
    REG_PIRQRC = 0x60,
    REG_TOM = 0x69,
    REG_MSTAT = 0x6a,
    REG_MBIRQ0 = 0x70,
    REG_MBDMA0 = 0x76,
    REG_PCSC = 0x78,
    REG_APICBASE = 0x80,
    REG_DLC = 0x82,
    REG_SMICNTL = 0xa0,
    REG_SMIEN = 0xa2,
    REG_SEE = 0xa4,
    REG_FTMR = 0xa8,
    REG_SMIREQ = 0xaa,
    REG_CTLTMR = 0xac,
    REG_CTHTMR = 0xae
};

#define PIRQRC_DISABLE     0x80u
#define PIRQRC_IRQ         0x0fu
#define ROUTABLE_IRQS      0xdef8u /* 3-7, 9-12, 14, 15 */
#define RESET_CONTROL_SRST 0x02u
#define RESET_CONTROL_RCPU 0x04u
#define PORT_92            0x92
#define PORT_92_INIT       0x01u
#define PORT_92_A20        0x02u

static int piix3_post_load(void *object, struct error *error);

static const struct snap_field piix3_fields[] = {
    SNAP_STRUCTS(struct piix3, pci, 1, pci_function_fields),
    SNAP_RANGE(struct piix3, reset_control, 0, 6),
    SNAP_RANGE(struct piix3, port_92, 0, 3),
    SNAP_RANGE(struct piix3, a20_requests, 0, 3),
    SNAP_RANGE(struct piix3, pirq_levels, 0, 15),
    SNAP_UINT(struct piix3, irq_levels),
    SNAP_UINTS(struct piix3, input_levels, PIIX3_IRQS),
};

static const struct snap_desc piix3_snap = {
    .name = "piix3", .version = 1, SNAP_FIELDS(piix3_fields), .post_load = piix3_post_load};

static int piix3_post_load(void *object, struct error *error)
{
    struct piix3 *bridge = object;
    return pci_function_post_load(&bridge->pci, error);
}

/* --- Interrupts -------------------------------------------------------------------------------------- */

static bool pirq_drives(const struct piix3 *bridge, unsigned pirq, unsigned irq)
{
    uint8_t route = bridge->pci.config[REG_PIRQRC + pirq];
    return (bridge->pirq_levels & BIT(pirq)) && !(route & PIRQRC_DISABLE) && (route & PIRQRC_IRQ) == irq &&
           (ROUTABLE_IRQS & BIT(irq));
}

static void update_irq(struct piix3 *bridge, unsigned irq)
{
    bool level = bridge->input_levels[irq] != 0;
    for (unsigned pirq = 0; pirq < PCI_PIRQS; pirq++) {
        level = level || pirq_drives(bridge, pirq, irq);
    }
    if (level != ((bridge->irq_levels & BIT(irq)) != 0)) {
        bridge->irq_levels ^= (uint16_t)BIT(irq);
        line_set(&bridge->wiring.isa_irq[irq], level);
    }
}

static void update_irqs(struct piix3 *bridge)
{
    for (unsigned irq = 0; irq < PIIX3_IRQS; irq++) {
        update_irq(bridge, irq);
    }
}

static void set_pirq(void *opaque, unsigned number, bool level)
{
    struct piix3 *bridge = opaque;
    uint8_t bit = (uint8_t)BIT(number);
    bridge->pirq_levels = level ? bridge->pirq_levels | bit : bridge->pirq_levels & (uint8_t)~bit;
    update_irq(bridge, bridge->pci.config[REG_PIRQRC + number] & PIRQRC_IRQ);
}

/* An input's line number holds both: input number in bits 4:0, IRQ above. */
static void set_input(void *opaque, unsigned number, bool level)
{
    struct piix3 *bridge = opaque;
    unsigned irq = number / PIIX3_IRQ_INPUTS;
    uint32_t bit = (uint32_t)BIT(number % PIIX3_IRQ_INPUTS);
    uint32_t *levels = &bridge->input_levels[irq];
    *levels = level ? *levels | bit : *levels & ~bit;
    update_irq(bridge, irq);
}

struct line piix3_irq_input(struct piix3 *bridge, unsigned irq)
{
    if (irq >= PIIX3_IRQS || bridge->input_count[irq] == PIIX3_IRQ_INPUTS) {
        return (struct line){0};
    }
    unsigned input = bridge->input_count[irq]++;
    return (struct line){.set = set_input, .opaque = bridge, .number = irq * PIIX3_IRQ_INPUTS + input};
}

static void piix3_config_written(struct pci_function *function, unsigned offset, unsigned size)
{
    if (offset + size > REG_PIRQRC && offset < REG_PIRQRC + PCI_PIRQS) {
        update_irqs(CONTAINER_OF(function, struct piix3, pci));
    }
}

/* --- A20 gate and resets ----------------------------------------------------------------------------- */

static void request_a20(struct piix3 *bridge, uint8_t who, bool open)
{
    bridge->a20_requests = open ? bridge->a20_requests | who : bridge->a20_requests & (uint8_t)~who;
    line_set(&bridge->wiring.a20, bridge->a20_requests != 0);
}

static void set_kbc_a20(void *opaque, unsigned number, bool level)
{
    request_a20(opaque, (uint8_t)number, level);
}

struct line piix3_a20_input(struct piix3 *bridge)
{
    return (struct line){.set = set_kbc_a20, .opaque = bridge, .number = PIIX3_A20_KBC};
}

static uint64_t port_92_read(void *opaque, uint64_t offset, unsigned size)
{
    const struct piix3 *bridge = opaque;
    (void)offset;
    (void)size;
    return bridge->port_92;
}

static void port_92_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct piix3 *bridge = opaque;
    uint8_t old = bridge->port_92;
    (void)offset;
    (void)size;
    bridge->port_92 = value & (PORT_92_A20 | PORT_92_INIT);
    request_a20(bridge, PIIX3_A20_PORT_92, (value & PORT_92_A20) != 0);
    if (value & ~old & PORT_92_INIT) {
        line_pulse(&bridge->wiring.init);
    }
}

static const struct region_ops port_92_ops = {.read = port_92_read, .write = port_92_write, .max_size = 1};

static uint8_t reset_control_read(void *opaque)
{
    const struct piix3 *bridge = opaque;
    return bridge->reset_control;
}

static void reset_control_write(void *opaque, uint8_t value)
{
    struct piix3 *bridge = opaque;
    uint8_t old = bridge->reset_control;
    bridge->reset_control = value & (RESET_CONTROL_SRST | RESET_CONTROL_RCPU);
    if (value & ~old & RESET_CONTROL_RCPU) {
        line_pulse(value & RESET_CONTROL_SRST ? &bridge->wiring.reset : &bridge->wiring.init);
    }
}

/* --- Life -------------------------------------------------------------------------------------------- */

static void define_registers(struct pci_function *pci)
{
    pci_config_define16(pci, PCI_COMMAND, PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER,
                        PCI_COMMAND_SERR);
    pci_config_define8(pci, REG_IORT, 0x4d, 0xff);
    pci_config_define16(pci, REG_XBCS, 0x0003, 0x01ff);
    for (unsigned i = 0; i < PCI_PIRQS; i++) {
        pci_config_define8(pci, REG_PIRQRC + i, PIRQRC_DISABLE, PIRQRC_DISABLE | PIRQRC_IRQ);
    }
    pci_config_define8(pci, REG_TOM, 0x02, 0xfe);
    pci_config_define16(pci, REG_MSTAT, 0x0000, 0x8080);
    pci_config_define16(pci, REG_MBIRQ0, 0x8080, 0xafaf);
    pci_config_define16(pci, REG_MBDMA0, 0x0c0c, 0x8f8f);
    pci_config_define16(pci, REG_PCSC, 0x0002, 0xffff);
    pci_config_define8(pci, REG_APICBASE, 0x00, 0x7f);
    pci_config_define8(pci, REG_DLC, 0x00, 0x0f);
    pci_config_define8(pci, REG_SMICNTL, 0x08, 0x1f);
    pci_config_define16(pci, REG_SMIEN, 0x0000, 0x01ff);
    pci_config_define32(pci, REG_SEE, 0x00000000, 0xe000ffff);
    pci_config_define8(pci, REG_FTMR, 0x0f, 0xff);
    pci_config_define16(pci, REG_SMIREQ, 0x0000, 0x01ff);
    pci_config_define8(pci, REG_CTLTMR, 0x00, 0xff);
    pci_config_define8(pci, REG_CTHTMR, 0x00, 0xff);
}

/* What others drive onto the bridge (IRQ inputs, PIRQs, the keyboard controller's A20) is not its own to reset. */
static void piix3_reset(struct device *device)
{
    struct piix3 *bridge = CONTAINER_OF(device, struct piix3, device);
    pci_function_reset(&bridge->pci);
    bridge->reset_control = 0;
    bridge->port_92 = 0;
    request_a20(bridge, PIIX3_A20_PORT_92, false);
    update_irqs(bridge);
}

static void piix3_fini(struct device *device)
{
    struct piix3 *bridge = CONTAINER_OF(device, struct piix3, device);
    static const struct line unconnected[PCI_PIRQS];

    pci_bus_connect_pirq(bridge->pci.bus, unconnected);
    pci_bus_connect_reset_control(bridge->pci.bus, NULL, NULL, NULL);
    addr_space_remove(device->board->io, &bridge->port_92_region);
    pci_function_fini(&bridge->pci);
    free(bridge);
}

static const struct device_ops piix3_ops = {
    .name = "piix3",
    .reset = piix3_reset,
    .fini = piix3_fini,
    .snap = &piix3_snap,
};

struct piix3 *piix3_create(struct board *board, struct pci_bus *bus, const struct piix3_wiring *wiring)
{
    static const struct pci_identity identity = {.vendor = 0x8086,
                                                 .device = 0x7000,
                                                 .class_code = 0x060100,
                                                 .multi_function = true,
                                                 .subsystem_vendor = PCI_BOARD_VENDOR,
                                                 .subsystem = PCI_BOARD_ID};
    struct line pirq[PCI_PIRQS];
    struct piix3 *bridge = calloc(1, sizeof(*bridge));
    if (!bridge) {
        return NULL;
    }
    bridge->wiring = *wiring;
    bridge->a20_requests = PIIX3_A20_KBC;
    device_init(&bridge->device, &piix3_ops, board, NULL);
    pci_function_init(&bridge->pci, bus, PIIX3_SLOT, 0, &identity);
    bridge->pci.config_written = piix3_config_written;
    define_registers(&bridge->pci);
    region_init_io(&bridge->port_92_region, "port-92", PORT_92, 1, &port_92_ops, bridge);
    addr_space_add(board->io, &bridge->port_92_region);
    for (unsigned i = 0; i < PCI_PIRQS; i++) {
        pirq[i] = (struct line){.set = set_pirq, .opaque = bridge, .number = i};
    }
    pci_bus_connect_pirq(bus, pirq);
    pci_bus_connect_reset_control(bus, reset_control_read, reset_control_write, bridge);
    piix3_reset(&bridge->device);
    return bridge;
}
