/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * RTL8029AS: the DP8390's register pages, remote DMA, the receive ring and the transmitter. See devices/ne2000.h.
 *
 * Every address a guest can give is an offset into 64 KiB of which only the PROM and the packet memory exist; the rest reads
 * as FFh and ignores writes. So no register value reaches outside the arrays, and loops end with the frame.
 *
 * DEVIATION: a frame is sent at the moment of the transmit command; remote DMA is always ready.
 *
 * Not modelled: see devices/ne2000.h.
 */
#include "devices/ne2000.h"

#include <errno.h>
#include <stdlib.h>

enum {
    PORTS_SIZE = 32,
    DATA_PORT = 0x10,
    RESET_PORT = 0x18,
    RING_PAGE = 256,
    RING_HEADER = 4,
    BAR_PORTS = 0
};

enum cr_bits {
    CR_STP = 1u << 0,
    CR_STA = 1u << 1,
    CR_TXP = 1u << 2,
    CR_RD = 7u << 3,
    CR_RD_SEND = 3u << 3, /* "send packet": read the oldest frame of the ring */
    CR_RD_ABORT = 4u << 3,
};
enum isr_bits {
    ISR_PRX = 1u << 0,
    ISR_PTX = 1u << 1,
    ISR_TXE = 1u << 3,
    ISR_OVW = 1u << 4,
    ISR_RDC = 1u << 6,
    ISR_RST = 1u << 7,
};
enum dcr_bits { DCR_WTS = 1u << 0, DCR_LAS = 1u << 2 };
enum tcr_bits { TCR_LB = 3u << 1 };
enum rcr_bits { RCR_AR = 1u << 1, RCR_AB = 1u << 2, RCR_AM = 1u << 3, RCR_PRO = 1u << 4, RCR_MON = 1u << 5 };
enum rsr_bits { RSR_PRX = 1u << 0, RSR_PHY = 1u << 5, RSR_DIS = 1u << 6 };
enum tsr_bits { TSR_PTX = 1u << 0, TSR_ABT = 1u << 3 };

static void update_interrupt(struct ne2000 *nic)
{
    pci_function_set_intx(&nic->pci, (nic->isr & nic->imr & 0x7f) != 0);
}

static void raise_isr(struct ne2000 *nic, uint8_t bits)
{
    nic->isr |= bits;
    update_interrupt(nic);
}

/* --- Memory ------------------------------------------------------------------------------------------- */

static uint8_t memory_read(const struct ne2000 *nic, uint16_t address)
{
    if (address < NE2000_PROM_SIZE) {
        return nic->prom[address];
    }
    unsigned offset = (unsigned)address - NE2000_MEMORY_START;
    return offset < NE2000_MEMORY_SIZE ? nic->memory[offset] : 0xff;
}

static void memory_write(struct ne2000 *nic, uint16_t address, uint8_t value)
{
    unsigned offset = (unsigned)address - NE2000_MEMORY_START;

    if (offset < NE2000_MEMORY_SIZE) {
        nic->memory[offset] = value;
    }
}

/* Does the receive ring lie in memory that exists? */
static bool ring_is_sound(const struct ne2000 *nic)
{
    return nic->pstart * RING_PAGE >= NE2000_MEMORY_START && nic->pstart < nic->pstop &&
           nic->pstop * RING_PAGE <= NE2000_MEMORY_START + NE2000_MEMORY_SIZE && nic->curr >= nic->pstart &&
           nic->curr < nic->pstop;
}

/* --- Receiving ---------------------------------------------------------------------------------------- */

static bool passes_filter(const struct ne2000 *nic, const uint8_t *frame)
{
    if (load_le32(frame) == UINT32_MAX && load_le16(frame + 4) == UINT16_MAX) {
        return (nic->rcr & RCR_AB) != 0;
    }
    if (net_mac_is_group(frame)) {
        unsigned bit = ethernet_address_crc(&nic->crc, frame) >> 26;

        return (nic->rcr & RCR_AM) && (nic->mar[bit >> 3] >> (bit & 7) & 1);
    }
    return (nic->rcr & RCR_PRO) || memcmp(frame, nic->par, NET_MAC_SIZE) == 0;
}

/* Pages the receiver may fill: from CURR up to BNRY. CURR = BNRY means that all are free. */
static unsigned ring_free(const struct ne2000 *nic)
{
    unsigned size = (unsigned)nic->pstop - nic->pstart;
    unsigned bnry = nic->bnry < nic->pstart || nic->bnry >= nic->pstop ? nic->pstart : nic->bnry;

    return nic->curr < bnry ? bnry - nic->curr : size - (nic->curr - bnry);
}

/* Store one byte and step through the ring. */
static uint16_t ring_put(struct ne2000 *nic, uint16_t address, uint8_t value)
{
    memory_write(nic, address, value);
    address++;
    return address == (uint16_t)(nic->pstop * RING_PAGE) ? (uint16_t)(nic->pstart * RING_PAGE) : address;
}

static void store_frame(struct ne2000 *nic, const uint8_t *frame, size_t length, unsigned pages)
{
    size_t padded = MAX(length, (size_t)NET_FRAME_MIN);
    uint8_t bytes[NET_FRAME_STANDARD + ETHERNET_VLAN_TAG_SIZE + ETHERNET_FCS_SIZE] = {0};
    uint16_t address = (uint16_t)(nic->curr * RING_PAGE);
    unsigned next = nic->curr + pages;

    if (next >= nic->pstop) {
        next -= (unsigned)nic->pstop - nic->pstart;
    }
    memcpy(bytes, frame, length);
    store_le32(bytes + padded, ethernet_fcs(&nic->crc, bytes, padded));
    const uint16_t stored = (uint16_t)(padded + ETHERNET_FCS_SIZE);
    const uint8_t header[RING_HEADER] = {nic->rsr, (uint8_t)next, (uint8_t)stored, (uint8_t)(stored >> 8)};

    for (unsigned i = 0; i < RING_HEADER; i++) {
        address = ring_put(nic, address, header[i]);
    }
    for (unsigned i = 0; i < stored; i++) {
        address = ring_put(nic, address, bytes[i]);
    }
    nic->curr = (uint8_t)next;
}

static bool ne2000_receive(void *owner, const uint8_t *frame, size_t length)
{
    struct ne2000 *nic = owner;
    size_t stored = RING_HEADER + MAX(length, (size_t)NET_FRAME_MIN) + ETHERNET_FCS_SIZE;
    unsigned pages = (unsigned)((stored + RING_PAGE - 1) / RING_PAGE);

    if ((nic->command & CR_STP) || !(nic->command & CR_STA) || (nic->tcr & TCR_LB) || !ring_is_sound(nic) ||
        length > NET_FRAME_STANDARD + ETHERNET_VLAN_TAG_SIZE || !passes_filter(nic, frame)) {
        return true;
    }
    nic->rsr = RSR_PRX | (net_mac_is_group(frame) ? RSR_PHY : 0);
    if (nic->rcr & RCR_MON) {
        nic->rsr |= RSR_DIS;
        return true;
    }
    if (ring_free(nic) <= pages) { /* a ring filled up to BNRY would look empty */
        raise_isr(nic, ISR_OVW);
        return true;
    }
    store_frame(nic, frame, length, pages);
    raise_isr(nic, ISR_PRX);
    return true;
}

/* --- Transmitting ------------------------------------------------------------------------------------- */

static void finish_transmit(struct ne2000 *nic, uint8_t tsr)
{
    nic->unsent = false;
    nic->command &= (uint8_t)~CR_TXP;
    nic->tsr = tsr;
    raise_isr(nic, tsr & TSR_PTX ? ISR_PTX : ISR_TXE);
}

/* Send TBCR bytes from page TPSR. Loopback keeps them off the wire. */
static void transmit(struct ne2000 *nic)
{
    uint8_t frame[NET_FRAME_STANDARD + ETHERNET_VLAN_TAG_SIZE] = {0};
    size_t length = nic->tbcr;

    if (length < NET_HEADER_SIZE || length > sizeof(frame)) {
        log_printf(nic->device.board->log, LOG_GUEST_ERRORS, "ne2000: frame of %u bytes\n", nic->tbcr);
        finish_transmit(nic, TSR_ABT);
        return;
    }
    for (size_t i = 0; i < length; i++) {
        frame[i] = memory_read(nic, (uint16_t)(nic->tpsr * RING_PAGE + i));
    }
    if (!(nic->tcr & TCR_LB) && !net_port_send(&nic->port, frame, MAX(length, (size_t)NET_FRAME_MIN))) {
        nic->unsent = true; /* TXP stays set until the wire takes it */
        return;
    }
    net_port_flush(&nic->port);
    finish_transmit(nic, TSR_PTX);
}

static void resume_fire(void *opaque)
{
    struct ne2000 *nic = opaque;

    if (nic->unsent) {
        transmit(nic);
    }
}

static void ne2000_writable(void *owner)
{
    struct ne2000 *nic = owner;

    timer_arm(&nic->resume, clock_now(nic->device.board->clock));
}

/* --- Remote DMA --------------------------------------------------------------------------------------- */

/* One byte has passed; in the ring's memory the address wraps from PSTOP to PSTART. */
static void dma_step(struct ne2000 *nic)
{
    nic->rsar++;
    if (nic->rsar == (uint16_t)(nic->pstop * RING_PAGE)) {
        nic->rsar = (uint16_t)(nic->pstart * RING_PAGE);
    }
    if (nic->rbcr && --nic->rbcr == 0) {
        raise_isr(nic, ISR_RDC);
    }
}

/* What one access of the bus moves: a byte, or a word in word mode whatever the access; a doubleword is two words. */
static unsigned dma_width(const struct ne2000 *nic, unsigned size)
{
    return size == 4 ? 4 : nic->dcr & DCR_WTS ? 2 : 1;
}

static uint32_t data_read(struct ne2000 *nic, unsigned size)
{
    uint32_t value = 0;

    for (unsigned i = 0; i < dma_width(nic, size); i++) {
        value |= (uint32_t)memory_read(nic, nic->rsar) << (8 * i);
        dma_step(nic);
    }
    return value;
}

/* Writing ends with the byte count: what lies behind is not overrun. */
static void data_write(struct ne2000 *nic, uint32_t value, unsigned size)
{
    for (unsigned i = 0; i < dma_width(nic, size) && nic->rbcr; i++) {
        memory_write(nic, nic->rsar, (uint8_t)(value >> (8 * i)));
        dma_step(nic);
    }
}

/* "Send packet": the DMA reads the frame at BNRY, whose length stands in its header. */
static void dma_send_packet(struct ne2000 *nic)
{
    nic->rsar = (uint16_t)(nic->bnry * RING_PAGE);
    nic->rbcr = (uint16_t)(memory_read(nic, (uint16_t)(nic->rsar + 2)) |
                           memory_read(nic, (uint16_t)(nic->rsar + 3)) << 8);
}

/* --- Registers ---------------------------------------------------------------------------------------- */

static void stop(struct ne2000 *nic)
{
    nic->isr |= ISR_RST;
    nic->unsent = false;
}

static void write_command(struct ne2000 *nic, uint8_t value)
{
    uint8_t transmitting = nic->command & CR_TXP;

    nic->command = (uint8_t)((value & ~CR_TXP) | transmitting);
    if (value & CR_STP) {
        nic->command &= (uint8_t)~CR_TXP;
        stop(nic);
        return;
    }
    nic->isr &= (uint8_t)~ISR_RST;
    if ((value & CR_RD) == CR_RD_SEND) {
        dma_send_packet(nic);
    } else if (nic->rbcr == 0 && (value & CR_RD) && !(value & CR_RD_ABORT)) {
        raise_isr(nic, ISR_RDC);
    }
    if ((value & CR_TXP) && (value & CR_STA) && !transmitting) {
        nic->command |= CR_TXP;
        transmit(nic);
    }
}

static void write_low(uint16_t *reg, uint8_t value)
{
    *reg = (uint16_t)((*reg & 0xff00) | value);
}

static void write_high(uint16_t *reg, uint8_t value)
{
    *reg = (uint16_t)((*reg & 0x00ff) | value << 8);
}

static void write_page0(struct ne2000 *nic, unsigned reg, uint8_t value)
{
    uint8_t *const plain[16] = {[1] = &nic->pstart, [2] = &nic->pstop, [3] = &nic->bnry, [4] = &nic->tpsr,
                                [12] = &nic->rcr,   [13] = &nic->tcr,  [14] = &nic->dcr, [15] = &nic->imr};

    switch (reg) {
    case 5:
        write_low(&nic->tbcr, value);
        break;
    case 6:
        write_high(&nic->tbcr, value);
        break;
    case 7: /* RST is the controller's own */
        nic->isr &= (uint8_t) ~(value & 0x7f);
        break;
    case 8:
        write_low(&nic->rsar, value);
        break;
    case 9:
        write_high(&nic->rsar, value);
        break;
    case 10:
        write_low(&nic->rbcr, value);
        break;
    case 11:
        write_high(&nic->rbcr, value);
        break;
    default:
        if (plain[reg]) {
            *plain[reg] = value;
        }
        break;
    }
    update_interrupt(nic);
}

static void write_page1(struct ne2000 *nic, unsigned reg, uint8_t value)
{
    if (reg <= 6) {
        nic->par[reg - 1] = value;
    } else if (reg == 7) {
        nic->curr = value;
    } else {
        nic->mar[reg - 8] = value;
    }
}

static void write_register(struct ne2000 *nic, unsigned reg, uint8_t value)
{
    unsigned page = nic->command >> 6;

    if (reg == 0) {
        write_command(nic, value);
    } else if (page == 0) {
        write_page0(nic, reg, value);
    } else if (page == 1) {
        write_page1(nic, reg, value);
    } else if (page == 3 && reg >= 4 && reg <= 6) {
        nic->config[reg - 3] = value;
    }
}

/* Local DMA's address (1, 2) is CURR's: it is between frames whenever software looks. */
static uint8_t read_page0(const struct ne2000 *nic, unsigned reg)
{
    const uint8_t values[16] = {[2] = nic->curr,
                                [3] = nic->bnry,
                                [4] = nic->tsr,
                                [7] = nic->isr,
                                [8] = (uint8_t)nic->rsar,
                                [9] = (uint8_t)(nic->rsar >> 8),
                                [10] = 'P',
                                [11] = 'C',
                                [12] = nic->rsr};

    return values[reg];
}

/* Page 2: what page 0 takes, to be read back. */
static uint8_t read_page2(const struct ne2000 *nic, unsigned reg)
{
    const uint8_t values[16] = {
        [1] = nic->pstart,      [2] = nic->pstop,       [4] = nic->tpsr,       [12] = nic->rcr | 0xc0,
        [13] = nic->tcr | 0xe0, [14] = nic->dcr | 0x80, [15] = nic->imr | 0x80};

    return values[reg];
}

static uint8_t read_register(const struct ne2000 *nic, unsigned reg)
{
    if (reg == 0) {
        return nic->command;
    }
    switch (nic->command >> 6) {
    case 0:
        return read_page0(nic, reg);
    case 1:
        return reg <= 6 ? nic->par[reg - 1] : reg == 7 ? nic->curr : nic->mar[reg - 8];
    case 2:
        return read_page2(nic, reg);
    default:
        return reg >= 3 && reg <= 6 ? nic->config[reg - 3] : 0;
    }
}

/* The DP8390's registers survive its reset pin, except those that stop it. */
static void soft_reset(struct ne2000 *nic)
{
    nic->command = CR_RD_ABORT | CR_STP;
    nic->imr = 0;
    nic->isr = 0;
    stop(nic);
    update_interrupt(nic);
}

static uint64_t ports_read(void *opaque, uint64_t offset, unsigned size)
{
    struct ne2000 *nic = opaque;
    uint64_t value = 0;

    if (offset >= RESET_PORT) {
        soft_reset(nic);
        return 0;
    }
    if (offset >= DATA_PORT) {
        return data_read(nic, size);
    }
    for (unsigned i = 0; i < size; i++) {
        value |= (uint64_t)read_register(nic, ((unsigned)offset + i) & 15) << (8 * i);
    }
    return value;
}

static void ports_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct ne2000 *nic = opaque;

    if (offset >= RESET_PORT) {
        return; /* the pulse ends; its beginning, the read, did the work */
    }
    if (offset >= DATA_PORT) {
        data_write(nic, (uint32_t)value, size);
        return;
    }
    for (unsigned i = 0; i < size; i++) {
        write_register(nic, ((unsigned)offset + i) & 15, (uint8_t)(value >> (8 * i)));
    }
}

static const struct region_ops ports_ops = {.read = ports_read, .write = ports_write, .max_size = 4};

/* --- Snapshots ---------------------------------------------------------------------------------------- */

static const struct snap_field ne2000_fields[] = {
    SNAP_STRUCTS(struct ne2000, pci, 1, pci_function_fields),
    SNAP_UINT(struct ne2000, command),
    SNAP_UINT(struct ne2000, isr),
    SNAP_UINT(struct ne2000, imr),
    SNAP_UINT(struct ne2000, dcr),
    SNAP_UINT(struct ne2000, tcr),
    SNAP_UINT(struct ne2000, rcr),
    SNAP_UINT(struct ne2000, tsr),
    SNAP_UINT(struct ne2000, rsr),
    SNAP_UINT(struct ne2000, pstart),
    SNAP_UINT(struct ne2000, pstop),
    SNAP_UINT(struct ne2000, bnry),
    SNAP_UINT(struct ne2000, curr),
    SNAP_UINT(struct ne2000, tpsr),
    SNAP_UINT(struct ne2000, tbcr),
    SNAP_UINT(struct ne2000, rsar),
    SNAP_UINT(struct ne2000, rbcr),
    SNAP_BYTES(struct ne2000, par),
    SNAP_BYTES(struct ne2000, mar),
    SNAP_BYTES(struct ne2000, config),
    SNAP_BOOL(struct ne2000, unsent),
    SNAP_TIMER(struct ne2000, resume),
    SNAP_BYTES(struct ne2000, memory),
};

static int ne2000_post_load(void *object, struct error *error)
{
    return pci_function_post_load(&((struct ne2000 *)object)->pci, error);
}

static const struct snap_desc ne2000_snap = {
    .name = "ne2000", .version = 1, SNAP_FIELDS(ne2000_fields), .post_load = ne2000_post_load};

/* --- Life --------------------------------------------------------------------------------------------- */

static void ne2000_reset(struct device *device)
{
    struct ne2000 *nic = CONTAINER_OF(device, struct ne2000, device);

    pci_function_reset(&nic->pci);
    nic->dcr = DCR_LAS;
    nic->tcr = nic->rcr = nic->tsr = nic->rsr = 0;
    nic->pstart = nic->pstop = nic->bnry = nic->curr = nic->tpsr = 0;
    nic->tbcr = nic->rsar = nic->rbcr = 0;
    memset(nic->par, 0, sizeof(nic->par));
    memset(nic->mar, 0, sizeof(nic->mar));
    memset(nic->config, 0, sizeof(nic->config));
    memset(nic->memory, 0, sizeof(nic->memory));
    timer_disarm(&nic->resume);
    soft_reset(nic);
}

static void ne2000_fini(struct device *device)
{
    struct ne2000 *nic = CONTAINER_OF(device, struct ne2000, device);

    net_port_fini(&nic->port);
    timer_disarm(&nic->resume);
    pci_function_fini(&nic->pci);
    pci_rom_fini(&nic->rom);
    free(nic);
}

static const struct device_ops ne2000_device_ops = {
    .name = "ne2000", .reset = ne2000_reset, .fini = ne2000_fini, .snap = &ne2000_snap};

static const struct net_port_ops ne2000_port_ops = {.receive = ne2000_receive, .writable = ne2000_writable};

/* Each byte twice, as a card on a 16-bit bus shows its 8-bit PROM; 57h twice marks a 16-bit card. */
static void fill_prom(struct ne2000 *nic, const uint8_t *mac)
{
    for (unsigned i = 0; i < NE2000_PROM_SIZE; i++) {
        nic->prom[i] = i / 2 < NET_MAC_SIZE ? mac[i / 2] : i / 2 >= 14 ? 0x57 : 0;
    }
}

struct ne2000 *ne2000_create(struct board *board, struct pci_bus *bus, const struct ne2000_config *config)
{
    static const struct pci_identity identity = {.vendor = 0x10ec,
                                                 .device = 0x8029,
                                                 .class_code = 0x020000,
                                                 .interrupt_pin = 1,
                                                 .subsystem_vendor = PCI_BOARD_VENDOR,
                                                 .subsystem = PCI_BOARD_ID};
    struct ne2000 *nic = calloc(1, sizeof(*nic));

    if (!nic || !pci_rom_init(&nic->rom, config->rom, config->rom_size)) {
        free(nic);
        return NULL;
    }
    device_init(&nic->device, &ne2000_device_ops, board, config->id);
    pci_function_init(&nic->pci, bus, config->slot, 0, &identity);
    ethernet_crc_init(&nic->crc);
    fill_prom(nic, config->mac);
    timer_init(&nic->resume, board->clock, "ne2000-transmit", resume_fire, nic);
    net_port_init_queued(&nic->port, nic->device.id, &ne2000_port_ops, nic, board->clock);
    memcpy(nic->port.mac, config->mac, NET_MAC_SIZE);
    region_init_io(&nic->ports, "ne2000", 0, PORTS_SIZE, &ports_ops, nic);
    pci_function_add_bar(&nic->pci, BAR_PORTS, PCI_BAR_IO, &nic->ports);
    pci_rom_plug(&nic->rom, &nic->pci, "ne2000-rom");
    ne2000_reset(&nic->device);
    return nic;
}
