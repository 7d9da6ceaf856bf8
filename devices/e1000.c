/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * 82540EM: registers, interrupts and their throttling, statistics, reset, snapshots. See devices/e1000.h.
 *
 * Source: the Software Developer's Manual, 13 "Register Descriptions", 3.2.7 and 13.4.18 (interrupt moderation), 4.1 (PCI
 * configuration), 14.3 for what a reset leaves.
 *
 * Registers that only hold a value are a table of address, reset value and writable bits; the others have a case each in
 * read_special() and write_special(). The I/O BAR reaches the same registers: IOADDR chooses, IODATA is the window.
 *
 * DEVIATION: the packet buffer's diagnostic window, the wake-up filters and the flash registers read as zero.
 *
 * Not modelled: see devices/e1000.h.
 */
#include "devices/e1000.h"

#include <errno.h>
#include <stdlib.h>

enum { BAR_REGISTERS = 0, BAR_PORTS = 2, PORTS_SIZE = 64, IOADDR = 0, IODATA = 4 };

#define REGISTERS_SIZE (128 * KIB)
#define ITR_UNIT_NS    256u

/* Addresses of registers that do more than hold a value. */
enum special_register {
    ADDRESS_STATUS = 0x0008,
    ADDRESS_EECD = 0x0010,
    ADDRESS_EERD = 0x0014,
    ADDRESS_MDIC = 0x0020,
    ADDRESS_ICR = 0x00c0,
    ADDRESS_ICS = 0x00c8,
    ADDRESS_IMC = 0x00d8,
    ADDRESS_STATISTICS = 0x4000,
    ADDRESS_MTA = 0x5200,
    ADDRESS_RA = 0x5400,
    ADDRESS_VFTA = 0x5600,
};

enum status_bits {
    STATUS_FD = 1u << 0,
    STATUS_LU = 1u << 1,
    STATUS_SPEED_1000 = 2u << 6,
    STATUS_ASDV_1000 = 2u << 8
};

static const struct {
    uint16_t address;
    uint32_t initial, writable;
} register_table[E1000_REGISTERS] = {
    [E1000_CTRL] = {0x0000, 0x00140261, 0x79fffbff},
    [E1000_CTRL_EXT] = {0x0018, 0x00000000, 0x00ffdfff},
    [E1000_FCAL] = {0x0028, 0, 0xffffffff},
    [E1000_FCAH] = {0x002c, 0, 0x0000ffff},
    [E1000_FCT] = {0x0030, 0, 0x0000ffff},
    [E1000_VET] = {0x0038, ETHERNET_TYPE_VLAN, 0x0000ffff},
    [E1000_ITR] = {0x00c4, 0, 0x0000ffff},
    [E1000_IMS] = {0x00d0, 0, E1000_ICR_ALL},
    [E1000_RCTL] = {0x0100, 0, 0x07ffffff},
    [E1000_FCTTV] = {0x0170, 0, 0x0000ffff},
    [E1000_TXCW] = {0x0178, 0, 0xc000ffff},
    [E1000_TCTL] = {0x0400, 0, 0x07ffffff},
    [E1000_TIPG] = {0x0410, 0x00602008, 0x3fffffff},
    [E1000_AIT] = {0x0458, 0, 0x0000ffff},
    [E1000_LEDCTL] = {0x0e00, 0x07068302, 0xefefefef},
    [E1000_PBA] = {0x1000, 0x00100030, 0x0000007f},
    [E1000_FCRTL] = {0x2160, 0, 0x8000fff8},
    [E1000_FCRTH] = {0x2168, 0, 0x8000fff8},
    [E1000_RDBAL] = {0x2800, 0, 0xfffffff0},
    [E1000_RDBAH] = {0x2804, 0, 0xffffffff},
    [E1000_RDLEN] = {0x2808, 0, 0x000fff80},
    [E1000_RDH] = {0x2810, 0, 0x0000ffff},
    [E1000_RDT] = {0x2818, 0, 0x0000ffff},
    [E1000_RDTR] = {0x2820, 0, 0x8000ffff},
    [E1000_RXDCTL] = {0x2828, 0, 0xff3f3f3f},
    [E1000_RADV] = {0x282c, 0, 0x0000ffff},
    [E1000_RSRPD] = {0x2c00, 0, 0x00000fff},
    [E1000_TDBAL] = {0x3800, 0, 0xfffffff0},
    [E1000_TDBAH] = {0x3804, 0, 0xffffffff},
    [E1000_TDLEN] = {0x3808, 0, 0x000fff80},
    [E1000_TDH] = {0x3810, 0, 0x0000ffff},
    [E1000_TDT] = {0x3818, 0, 0x0000ffff},
    [E1000_TIDV] = {0x3820, 0, 0x0000ffff},
    [E1000_TXDCTL] = {0x3828, 0, 0xff3f3f3f},
    [E1000_TADV] = {0x382c, 0, 0x0000ffff},
    [E1000_TSPMT] = {0x3830, 0x01000400, 0xffffffff},
    [E1000_RXCSUM] = {0x5000, 0x00000300, 0x000003ff},
    [E1000_WUC] = {0x5800, 0, 0x0000000f},
    [E1000_WUFC] = {0x5808, 0, 0x000f00ff},
    [E1000_IPAV] = {0x5838, 0, 0x0001000f},
    [E1000_MANC] = {0x5820, 0, 0xffffffff},
};

/* --- Interrupts --------------------------------------------------------------------------------------- */

/*
 * The pin follows ICR & IMS, but rises only when ITR's interval has passed since it last rose. A cause that comes earlier
 * waits for the throttle timer.
 */
static void update_interrupt(struct e1000 *nic)
{
    uint64_t now = clock_now(nic->device.board->clock);
    uint64_t interval = (uint64_t)nic->reg[E1000_ITR] * ITR_UNIT_NS;

    if (!(nic->icr & nic->reg[E1000_IMS])) {
        timer_disarm(&nic->throttle);
        pci_function_set_intx(&nic->pci, false);
    } else if (!nic->pci.intx && interval && now < nic->throttled_until) {
        timer_arm(&nic->throttle, nic->throttled_until);
    } else if (!nic->pci.intx) {
        nic->throttled_until = now + interval;
        pci_function_set_intx(&nic->pci, true);
    }
}

static void throttle_fire(void *opaque)
{
    update_interrupt(opaque);
}

void e1000_raise(struct e1000 *nic, uint32_t causes)
{
    nic->icr |= causes;
    update_interrupt(nic);
}

/* --- Statistics --------------------------------------------------------------------------------------- */

void e1000_count(struct e1000 *nic, unsigned statistic, uint32_t amount)
{
    uint32_t *value = &nic->statistics[statistic];

    *value = amount > UINT32_MAX - *value ? UINT32_MAX : *value + amount;
}

void e1000_count_wide(struct e1000 *nic, unsigned statistic, uint64_t amount)
{
    uint64_t value = nic->statistics[statistic] | (uint64_t)nic->statistics[statistic + 1] << 32;

    value = amount > UINT64_MAX - value ? UINT64_MAX : value + amount;
    nic->statistics[statistic] = (uint32_t)value;
    nic->statistics[statistic + 1] = (uint32_t)(value >> 32);
}

void e1000_count_size(struct e1000 *nic, unsigned first, size_t length)
{
    static const uint16_t longest[5] = {64, 127, 255, 511, 1023};
    unsigned class = 0;

    while (class < ARRAY_LEN(longest) && length > longest[class]) {
        class ++;
    }
    e1000_count(nic, first + class, 1);
}

/* Reading clears; of the 64-bit ones reading the high half clears both. */
static uint32_t read_statistic(struct e1000 *nic, unsigned index)
{
    static const uint8_t low_halves[] = {E1000_STAT_GORCL, E1000_STAT_GOTCL, E1000_STAT_TORL,
                                         E1000_STAT_TOTL};
    uint32_t value = nic->statistics[index];

    for (unsigned i = 0; i < ARRAY_LEN(low_halves); i++) {
        if (index == low_halves[i]) {
            return value;
        }
        if (index == low_halves[i] + 1u) {
            nic->statistics[index - 1] = 0;
        }
    }
    nic->statistics[index] = 0;
    return value;
}

/* --- Reset -------------------------------------------------------------------------------------------- */

/* What CTRL.RST and RESET# have in common: everything but the PHY, the EEPROM and PCI's registers. */
static void reset_mac(struct e1000 *nic)
{
    for (unsigned i = 0; i < E1000_REGISTERS; i++) {
        nic->reg[i] = register_table[i].initial;
    }
    nic->icr = 0;
    nic->throttled_until = 0;
    timer_disarm(&nic->throttle);
    memset(nic->statistics, 0, sizeof(nic->statistics));
    memset(nic->mta, 0, sizeof(nic->mta));
    memset(nic->vfta, 0, sizeof(nic->vfta));
    memset(nic->ra, 0, sizeof(nic->ra));
    /* The station's address comes from the EEPROM's first three words. */
    nic->ra[0] = nic->eeprom.word[0] | (uint32_t)nic->eeprom.word[1] << 16;
    nic->ra[1] = nic->eeprom.word[2] | 0x80000000u;
    e1000_tx_reset(nic);
    e1000_rx_reset(nic);
    update_interrupt(nic);
    net_port_ready(&nic->port);
}

static void e1000_reset(struct device *device)
{
    struct e1000 *nic = CONTAINER_OF(device, struct e1000, device);

    pci_function_reset(&nic->pci);
    nic->io_address = 0;
    nic->eeprom.eecd = 1u << 3; /* DO is pulled up */
    nic->eeprom.eerd = nic->eeprom.address = nic->eeprom.count = 0;
    nic->eeprom.state = nic->eeprom.pending = 0;
    nic->eeprom.shift = 0;
    nic->eeprom.write_enabled = false;
    nic->phy.mdic = 0;
    e1000_phy_reset(nic);
    reset_mac(nic);
}

/* --- Registers ---------------------------------------------------------------------------------------- */

static uint32_t status(const struct e1000 *nic)
{
    uint32_t link = e1000_link_up(nic) ? STATUS_LU | STATUS_SPEED_1000 | STATUS_ASDV_1000 : 0;

    return STATUS_FD | link;
}

static uint32_t read_and_clear_icr(struct e1000 *nic)
{
    uint32_t icr = nic->icr;

    nic->icr = 0;
    update_interrupt(nic);
    return icr;
}

static uint32_t read_special(struct e1000 *nic, unsigned address)
{
    if (address >= ADDRESS_STATISTICS && address < ADDRESS_STATISTICS + 4 * E1000_STATISTICS) {
        return read_statistic(nic, (address - ADDRESS_STATISTICS) / 4);
    }
    if (address >= ADDRESS_MTA && address < ADDRESS_MTA + 4 * E1000_HASH_WORDS) {
        return nic->mta[(address - ADDRESS_MTA) / 4];
    }
    if (address >= ADDRESS_RA && address < ADDRESS_RA + 4 * E1000_ADDRESS_WORDS) {
        return nic->ra[(address - ADDRESS_RA) / 4];
    }
    if (address >= ADDRESS_VFTA && address < ADDRESS_VFTA + 4 * E1000_HASH_WORDS) {
        return nic->vfta[(address - ADDRESS_VFTA) / 4];
    }
    switch (address) {
    case ADDRESS_STATUS:
        return status(nic);
    case ADDRESS_EECD:
        return e1000_eecd_read(nic);
    case ADDRESS_EERD:
        return nic->eeprom.eerd;
    case ADDRESS_MDIC:
        return nic->phy.mdic;
    case ADDRESS_ICR:
        return read_and_clear_icr(nic);
    default:
        return 0;
    }
}

static uint32_t read_register(struct e1000 *nic, uint64_t address)
{
    unsigned reg = address / 4 < E1000_MAP_WORDS ? nic->map[address / 4] : E1000_NO_REGISTER;

    return reg ? nic->reg[reg] : read_special(nic, (unsigned)address & ~3u);
}

static void write_control(struct e1000 *nic, uint32_t value)
{
    if (value & E1000_CTRL_PHY_RST) {
        e1000_phy_reset(nic);
    }
    if (value & E1000_CTRL_RST) {
        reset_mac(nic);
    }
}

/* What follows from a write that has been stored. */
static void register_written(struct e1000 *nic, unsigned reg, uint32_t value)
{
    switch (reg) {
    case E1000_CTRL:
        write_control(nic, value);
        break;
    case E1000_PBA: /* the two parts add up to 64 KiB */
        nic->reg[reg] |= (64 - MIN(nic->reg[reg], 64u)) << 16;
        break;
    case E1000_ITR:
    case E1000_IMS:
        update_interrupt(nic);
        break;
    case E1000_RDTR:
        e1000_rx_flush(nic);
        break;
    case E1000_RCTL:
    case E1000_RDBAL:
    case E1000_RDBAH:
    case E1000_RDLEN:
    case E1000_RDH:
    case E1000_RDT:
        net_port_ready(&nic->port);
        break;
    case E1000_TDH: /* software took the ring back */
        e1000_tx_reset(nic);
        break;
    case E1000_TCTL:
    case E1000_TDT:
        e1000_tx_run(nic);
        break;
    default:
        break;
    }
}

static void write_table(struct e1000 *nic, unsigned address, uint32_t value)
{
    if (address >= ADDRESS_MTA && address < ADDRESS_MTA + 4 * E1000_HASH_WORDS) {
        nic->mta[(address - ADDRESS_MTA) / 4] = value;
    } else if (address >= ADDRESS_RA && address < ADDRESS_RA + 4 * E1000_ADDRESS_WORDS) {
        nic->ra[(address - ADDRESS_RA) / 4] = address & 4 ? value & 0x8003ffff : value;
    } else if (address >= ADDRESS_VFTA && address < ADDRESS_VFTA + 4 * E1000_HASH_WORDS) {
        nic->vfta[(address - ADDRESS_VFTA) / 4] = value;
    }
}

static void write_special(struct e1000 *nic, unsigned address, uint32_t value)
{
    switch (address) {
    case ADDRESS_EECD:
        e1000_eecd_write(nic, value);
        break;
    case ADDRESS_EERD:
        e1000_eerd_write(nic, value);
        break;
    case ADDRESS_MDIC:
        e1000_mdic_write(nic, value);
        break;
    case ADDRESS_ICR:
        nic->icr &= ~value;
        update_interrupt(nic);
        break;
    case ADDRESS_ICS:
        e1000_raise(nic, value & E1000_ICR_ALL);
        break;
    case ADDRESS_IMC:
        nic->reg[E1000_IMS] &= ~value;
        update_interrupt(nic);
        break;
    default:
        write_table(nic, address, value);
        break;
    }
}

static void write_register(struct e1000 *nic, uint64_t address, uint32_t value)
{
    unsigned reg = address / 4 < E1000_MAP_WORDS ? nic->map[address / 4] : E1000_NO_REGISTER;

    if (!reg) {
        write_special(nic, (unsigned)address & ~3u, value);
        return;
    }
    uint32_t kept = reg == E1000_IMS ? nic->reg[reg] : 0; /* a write to IMS sets bits */
    nic->reg[reg] = kept | (value & register_table[reg].writable);
    register_written(nic, reg, value);
}

static uint64_t registers_read(void *opaque, uint64_t offset, unsigned size)
{
    (void)size;
    return read_register(opaque, offset);
}

static void registers_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    (void)size;
    write_register(opaque, offset, (uint32_t)value);
}

static const struct region_ops registers_ops = {
    .read = registers_read, .write = registers_write, .min_size = 4, .max_size = 4};

static uint64_t ports_read(void *opaque, uint64_t offset, unsigned size)
{
    struct e1000 *nic = opaque;

    (void)size;
    if (offset == IOADDR) {
        return nic->io_address;
    }
    return offset == IODATA && nic->io_address < REGISTERS_SIZE ? read_register(nic, nic->io_address) : 0;
}

static void ports_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct e1000 *nic = opaque;

    (void)size;
    if (offset == IOADDR) {
        nic->io_address = (uint32_t)value;
    } else if (offset == IODATA && nic->io_address < REGISTERS_SIZE) {
        write_register(nic, nic->io_address, (uint32_t)value);
    }
}

static const struct region_ops ports_ops = {
    .read = ports_read, .write = ports_write, .min_size = 4, .max_size = 4};

/* --- Snapshots ---------------------------------------------------------------------------------------- */

static const struct snap_field eeprom_fields[] = {
    SNAP_UINTS(struct e1000_eeprom, word, E1000_EEPROM_WORDS),
    SNAP_UINT(struct e1000_eeprom, eecd),
    SNAP_UINT(struct e1000_eeprom, eerd),
    SNAP_RANGE(struct e1000_eeprom, state, 0, 3),
    SNAP_RANGE(struct e1000_eeprom, pending, 0, 4),
    SNAP_RANGE(struct e1000_eeprom, address, 0, E1000_EEPROM_WORDS - 1),
    SNAP_RANGE(struct e1000_eeprom, count, 0, 15),
    SNAP_UINT(struct e1000_eeprom, shift),
    SNAP_BOOL(struct e1000_eeprom, write_enabled),
};

static const struct snap_field phy_fields[] = {
    SNAP_UINTS(struct e1000_phy, reg, E1000_PHY_REGISTERS),
    SNAP_UINT(struct e1000_phy, mdic),
    SNAP_BOOL(struct e1000_phy, negotiated),
    SNAP_TIMER(struct e1000_phy, negotiation),
};

static const struct snap_field context_fields[] = {
    SNAP_UINT(struct e1000_context, ipcss),  SNAP_UINT(struct e1000_context, ipcso),
    SNAP_UINT(struct e1000_context, tucss),  SNAP_UINT(struct e1000_context, tucso),
    SNAP_UINT(struct e1000_context, ipcse),  SNAP_UINT(struct e1000_context, tucse),
    SNAP_UINT(struct e1000_context, paylen), SNAP_UINT(struct e1000_context, hdrlen),
    SNAP_UINT(struct e1000_context, mss),    SNAP_BOOL(struct e1000_context, tcp),
    SNAP_BOOL(struct e1000_context, ipv4),
};

static const struct snap_field tx_fields[] = {
    SNAP_STRUCTS(struct e1000_tx, checksum, 1, context_fields),
    SNAP_STRUCTS(struct e1000_tx, segmentation, 1, context_fields),
    SNAP_STRUCTS(struct e1000_tx, active, 1, context_fields),
    SNAP_BOOL(struct e1000_tx, busy),
    SNAP_BOOL(struct e1000_tx, segmenting),
    SNAP_BOOL(struct e1000_tx, bad),
    SNAP_BOOL(struct e1000_tx, vlan),
    SNAP_BOOL(struct e1000_tx, insert_checksum),
    SNAP_UINT(struct e1000_tx, popts),
    SNAP_UINT(struct e1000_tx, cso),
    SNAP_UINT(struct e1000_tx, css),
    SNAP_UINT(struct e1000_tx, vlan_tag),
    SNAP_UINT(struct e1000_tx, segments),
    SNAP_UINT(struct e1000_tx, payload),
    SNAP_BYTES(struct e1000_tx, header),
    SNAP_RANGE(struct e1000_tx, size, 0, NET_FRAME_MAX),
    SNAP_BYTES(struct e1000_tx, frame),
    SNAP_BOOL(struct e1000_tx, ready),
    SNAP_BOOL(struct e1000_tx, last),
    SNAP_BOOL(struct e1000_tx, fetched),
    SNAP_BOOL(struct e1000_tx, closed),
    SNAP_BYTES(struct e1000_tx, descriptor),
    SNAP_RANGE(struct e1000_tx, offset, 0, 0xfffff),
    SNAP_UINT(struct e1000_tx, absolute_ns),
    SNAP_TIMER(struct e1000_tx, delay),
    SNAP_TIMER(struct e1000_tx, resume),
};

static const struct snap_field rx_fields[] = {
    SNAP_BOOL(struct e1000_rx, starved),
    SNAP_UINT(struct e1000_rx, absolute_ns),
    SNAP_TIMER(struct e1000_rx, delay),
};

static const struct snap_field e1000_fields[] = {
    SNAP_STRUCTS(struct e1000, pci, 1, pci_function_fields),
    SNAP_UINTS(struct e1000, reg, E1000_REGISTERS),
    SNAP_RANGE(struct e1000, icr, 0, E1000_ICR_ALL),
    SNAP_UINT(struct e1000, io_address),
    SNAP_UINTS(struct e1000, statistics, E1000_STATISTICS),
    SNAP_UINTS(struct e1000, mta, E1000_HASH_WORDS),
    SNAP_UINTS(struct e1000, vfta, E1000_HASH_WORDS),
    SNAP_UINTS(struct e1000, ra, E1000_ADDRESS_WORDS),
    SNAP_UINT(struct e1000, throttled_until),
    SNAP_TIMER(struct e1000, throttle),
    SNAP_STRUCTS(struct e1000, eeprom, 1, eeprom_fields),
    SNAP_STRUCTS(struct e1000, phy, 1, phy_fields),
    SNAP_STRUCTS(struct e1000, tx, 1, tx_fields),
    SNAP_STRUCTS(struct e1000, rx, 1, rx_fields),
};

/* What the transmitter relies on while a packet is being put together. */
static bool tx_is_sound(const struct e1000_tx *tx)
{
    bool segmenting = tx->busy && tx->segmenting && !tx->bad;

    if (segmenting && (tx->active.mss == 0 || tx->active.hdrlen < NET_HEADER_SIZE ||
                       tx->active.hdrlen + tx->active.mss > NET_FRAME_MAX - ETHERNET_VLAN_TAG_SIZE)) {
        return false;
    }
    return tx->ready ? tx->size >= NET_FRAME_MIN : tx->size <= NET_FRAME_MAX - ETHERNET_VLAN_TAG_SIZE;
}

static int e1000_post_load(void *object, struct error *error)
{
    struct e1000 *nic = object;

    for (unsigned i = 0; i < E1000_REGISTERS; i++) {
        if ((nic->reg[i] ^ register_table[i].initial) & ~register_table[i].writable && i != E1000_PBA) {
            return error_set(error, -EINVAL, "e1000: register %04x cannot be %08x", register_table[i].address,
                             nic->reg[i]);
        }
    }
    if (!tx_is_sound(&nic->tx)) {
        return error_set(error, -EINVAL, "e1000: the transmitter's state is impossible");
    }
    return pci_function_post_load(&nic->pci, error);
}

static const struct snap_desc e1000_snap = {
    .name = "e1000", .version = 1, SNAP_FIELDS(e1000_fields), .post_load = e1000_post_load};

/* --- Life --------------------------------------------------------------------------------------------- */

static void e1000_fini(struct device *device)
{
    struct e1000 *nic = CONTAINER_OF(device, struct e1000, device);

    timer_disarm(&nic->throttle);
    timer_disarm(&nic->tx.delay);
    timer_disarm(&nic->tx.resume);
    timer_disarm(&nic->rx.delay);
    net_port_fini(&nic->port);
    timer_disarm(&nic->tx.resume);
    timer_disarm(&nic->phy.negotiation);
    pci_function_fini(&nic->pci);
    pci_rom_fini(&nic->rom);
    free(nic);
}

static const struct device_ops e1000_device_ops = {
    .name = "e1000",
    .reset = e1000_reset,
    .fini = e1000_fini,
    .snap = &e1000_snap,
};

static const struct net_port_ops e1000_port_ops = {
    .receive = e1000_receive,
    .writable = e1000_tx_writable,
    .link_changed = e1000_link_changed,
};

static void add_bars(struct e1000 *nic)
{
    region_init_io(&nic->registers, "e1000-registers", 0, REGISTERS_SIZE, &registers_ops, nic);
    region_init_io(&nic->ports, "e1000-ports", 0, PORTS_SIZE, &ports_ops, nic);
    pci_function_add_bar(&nic->pci, BAR_REGISTERS, PCI_BAR_MEMORY, &nic->registers);
    pci_function_add_bar(&nic->pci, BAR_PORTS, PCI_BAR_IO, &nic->ports);
    pci_rom_plug(&nic->rom, &nic->pci, "e1000-rom");
}

struct e1000 *e1000_create(struct board *board, struct pci_bus *bus, const struct e1000_config *config)
{
    static const struct pci_identity identity = {.vendor = 0x8086,
                                                 .device = 0x100e,
                                                 .class_code = 0x020000,
                                                 .revision = 2,
                                                 .interrupt_pin = 1,
                                                 .subsystem_vendor = PCI_BOARD_VENDOR,
                                                 .subsystem = PCI_BOARD_ID};
    struct e1000 *nic = calloc(1, sizeof(*nic));

    if (!nic || !pci_rom_init(&nic->rom, config->rom, config->rom_size)) {
        free(nic);
        return NULL;
    }
    memcpy(nic->factory_mac, config->mac, NET_MAC_SIZE);
    device_init(&nic->device, &e1000_device_ops, board, config->id);
    pci_function_init(&nic->pci, bus, config->slot, 0, &identity);
    ethernet_crc_init(&nic->crc);
    for (unsigned i = E1000_NO_REGISTER + 1; i < E1000_REGISTERS; i++) {
        nic->map[register_table[i].address / 4] = (uint8_t)i;
    }
    timer_init(&nic->throttle, board->clock, "e1000-throttle", throttle_fire, nic);
    e1000_phy_init(nic);
    e1000_tx_init(nic);
    e1000_rx_init(nic);
    net_port_init_queued(&nic->port, nic->device.id, &e1000_port_ops, nic, board->clock);
    memcpy(nic->port.mac, config->mac, NET_MAC_SIZE);
    add_bars(nic);
    e1000_eeprom_init(nic);
    e1000_reset(&nic->device);
    return nic;
}
