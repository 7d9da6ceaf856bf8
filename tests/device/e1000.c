/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The 82540EM: EEPROM and PHY, both rings and their edges, filters, offloads, interrupts, and the promises of every device.
 *
 * The NIC sits in slot 3; its interrupt pin is routed to fake line 0. `struct wire` is the other end of the cable: it
 * remembers the frames the NIC sends and can refuse them. RAM layout of the driver played here:
 *
 *   10000h  receive ring     20000h  transmit ring     40000h + 800h*i  receive buffers     80000h  transmit data
 */
#include <criterion/criterion.h>

#include "devices/e1000.h"
#include "tests/device/port_fuzz.h"

enum {
    SLOT = 3,
    BAR = 0x80000000u,
    IO = 0xc000,
    RX_RING = 0x10000,
    TX_RING = 0x20000,
    RX_BUFFERS = 0x40000,
    TX_DATA = 0x80000
};
enum {
    CTRL = 0,
    STATUS = 8,
    EECD = 0x10,
    EERD = 0x14,
    MDIC = 0x20,
    ICR = 0xc0,
    ITR = 0xc4,
    ICS = 0xc8,
    IMS = 0xd0,
    IMC = 0xd8
};
enum {
    RCTL = 0x100,
    TCTL = 0x400,
    RDBAL = 0x2800,
    RDLEN = 0x2808,
    RDH = 0x2810,
    RDT = 0x2818,
    RDTR = 0x2820,
    RADV = 0x282c
};
enum {
    TDBAL = 0x3800,
    TDLEN = 0x3808,
    TDH = 0x3810,
    TDT = 0x3818,
    TIDV = 0x3820,
    RXCSUM = 0x5000,
    MTA = 0x5200,
    RAL = 0x5400,
    VFTA = 0x5600
};
enum { MPC = 0x4010, GPRC = 0x4074, GPTC = 0x4080, GORCL = 0x4088, ROC = 0x40ac };
enum { EOP = 1, IFCS = 2, IC = 4, TSE = 4, RS = 8, DEXT = 0x20, VLE = 0x40, IDE = 0x80 };

static const uint8_t mac[6] = {0x52, 0x54, 0x00, 0x12, 0x34, 0x56};

struct wire {
    struct net_port port;
    unsigned count, refuse, flushes, unflushed;
    size_t length[600];
    uint8_t frame[600][2048]; /* the first bytes of each */
};

static bool wire_receive(void *owner, const uint8_t *frame, size_t length)
{
    struct wire *wire = owner;
    if (wire->refuse) {
        wire->refuse--;
        return false;
    }
    if (wire->count < ARRAY_LEN(wire->length)) {
        wire->length[wire->count] = length;
        memcpy(wire->frame[wire->count], frame, MIN(length, sizeof(wire->frame[0])));
    }
    wire->count++;
    wire->unflushed++;
    return true;
}

static void wire_flush(void *owner)
{
    struct wire *wire = owner;
    wire->flushes++;
    wire->unflushed = 0;
}

static const struct net_port_ops wire_ops = {.receive = wire_receive, .flush = wire_flush};
/* Of a back end that takes TCP segments of any length. */
static const struct net_port_ops long_wire_ops = {
    .receive = wire_receive, .flush = wire_flush, .long_tcp = true};

static struct e1000 *find_nic(struct fake_board *fb)
{
    return CONTAINER_OF(board_find_device(&fb->board, "net0"), struct e1000, device);
}

static struct wire *find_wire(struct fake_board *fb)
{
    return fb->test_data;
}

static void target_create(struct fake_board *fb)
{
    struct pci_bus *bus = pci_bus_create(&fb->board);
    struct e1000_config config = {.id = "net0", .slot = SLOT};
    struct line pirq[PCI_PIRQS];
    struct wire *wire = calloc(1, sizeof(*wire));

    for (unsigned i = 0; i < PCI_PIRQS; i++) {
        pirq[i] = fake_line(fb, i == pci_bus_pirq(SLOT, 1) ? 0 : i + 1);
    }
    pci_bus_connect_pirq(bus, pirq);
    memcpy(config.mac, mac, 6);
    struct e1000 *nic = e1000_create(&fb->board, bus, &config);
    cr_assert_not_null(nic);
    fb->test_data = wire;
    net_port_init(&wire->port, "wire", &wire_ops, wire);
    net_port_connect(&nic->port, &wire->port);
}

/* As the firmware leaves it. */
static void firmware_start(struct fake_board *fb)
{
    struct pci_bus *bus = find_nic(fb)->pci.bus;
    pci_config_write(bus, 0, SLOT, 0, 0x10, BAR, 4);
    pci_config_write(bus, 0, SLOT, 0, 0x18, IO, 4);
    pci_config_write(bus, 0, SLOT, 0, 0x04, 7, 2);
}

static uint32_t in(struct fake_board *fb, unsigned reg)
{
    return fake_read32(fb, BAR + reg);
}

static void out(struct fake_board *fb, unsigned reg, uint32_t value)
{
    fake_write32(fb, BAR + reg, value);
}

static void poke(struct fake_board *fb, gpa_t at, const void *bytes, size_t count)
{
    cr_assert(dma_write(&fb->mem, at, bytes, count));
}

static void peek(struct fake_board *fb, gpa_t at, void *bytes, size_t count)
{
    cr_assert(dma_read(&fb->mem, at, bytes, count));
}

/* A driver has set both rings up: 8 receive descriptors of 2 KiB (7 given away), 64 transmit descriptors. */
static void driver_start(struct fake_board *fb)
{
    firmware_start(fb);
    for (unsigned i = 0; i < 8; i++) {
        uint64_t address = RX_BUFFERS + 0x800 * i;
        uint8_t descriptor[16] = {0};
        store_le64(descriptor, address);
        poke(fb, RX_RING + 16 * i, descriptor, 16);
    }
    out(fb, RDBAL, RX_RING);
    out(fb, RDLEN, 8 * 16);
    out(fb, RDH, 0);
    out(fb, RDT, 7);
    out(fb, RCTL, E1000_RCTL_EN | E1000_RCTL_BAM);
    out(fb, TDBAL, TX_RING);
    out(fb, TDLEN, 64 * 16);
    out(fb, TDH, 0);
    out(fb, TDT, 0);
    out(fb, TCTL, E1000_TCTL_EN | E1000_TCTL_PSP);
    fake_step(fb, 50000000);
    in(fb, ICR);
}

static struct fake_board *machine_create(void)
{
    struct fake_board *fb = fake_board_create();
    target_create(fb);
    driver_start(fb);
    return fb;
}

static void machine_destroy(struct fake_board *fb)
{
    net_port_fini(&find_wire(fb)->port);
    fake_board_destroy(fb);
}

/* --- Descriptors --------------------------------------------------------------------------------------- */

static void put_descriptor(struct fake_board *fb, unsigned index, uint64_t address, uint32_t low,
                           uint32_t high)
{
    uint8_t descriptor[16];
    store_le64(descriptor, address);
    store_le32(descriptor + 8, low);
    store_le32(descriptor + 12, high);
    poke(fb, TX_RING + 16 * (index % 64), descriptor, 16);
}

static void legacy(struct fake_board *fb, unsigned index, uint64_t address, unsigned length, unsigned command)
{
    put_descriptor(fb, index, address, length | command << 24, 0);
}

static void data(struct fake_board *fb, unsigned index, uint64_t address, unsigned length, unsigned command,
                 unsigned popts)
{
    put_descriptor(fb, index, address, length | 1u << 20 | (command | DEXT) << 24, popts << 8);
}

static void context(struct fake_board *fb, unsigned index, uint64_t offsets, unsigned paylen,
                    unsigned command, unsigned hdrlen, unsigned mss)
{
    put_descriptor(fb, index, offsets, paylen | (command | DEXT) << 24, hdrlen << 8 | mss << 16);
}

/* Offsets of IPv4 and TCP headers without options. */
static uint64_t offsets_tcp4(void)
{
    uint8_t bytes[8] = {14, 24, 33, 0, 34, 50, 0, 0};
    return load_le64(bytes);
}

/* An Ethernet, IPv4 and TCP header and `payload` counting bytes at `to`; the checksums as a driver leaves them. */
static size_t make_tcp(uint8_t *to, size_t payload, bool segmented)
{
    memset(to, 0, 54);
    memcpy(to, "\x02\0\0\0\0\1", 6);
    memcpy(to + 6, mac, 6);
    store_be16(to + 12, 0x0800);
    to[14] = 0x45;
    store_be16(to + 16, segmented ? 0 : (uint16_t)(40 + payload));
    store_be16(to + 18, 100); /* identification */
    to[22] = 64;
    to[23] = 6;
    memcpy(to + 26, "\x0a\0\2\xf\x0a\0\2\2", 8);
    store_be16(to + 34, 1234);
    store_be16(to + 36, 80);
    store_be32(to + 38, 0xfffffff0); /* sequence: wraps */
    to[46] = 0x50;
    to[47] = 0x19; /* ACK PSH FIN */
    uint16_t pseudo = ethernet_sum_add(ethernet_sum(to + 26, 8), 6);
    store_be16(to + 50, segmented ? pseudo : ethernet_sum_add(pseudo, (uint16_t)(20 + payload)));
    for (size_t i = 0; i < payload; i++) {
        to[54 + i] = (uint8_t)(i * 7);
    }
    return 54 + payload;
}

/* Are both checksums of a TCP/IPv4 frame right? */
static bool checksums_right(const uint8_t *frame)
{
    size_t total = load_be16(frame + 16);
    uint16_t sum = ethernet_sum_add(ethernet_sum(frame + 26, 8), (uint16_t)(6 + total - 20));
    return ethernet_sum(frame + 14, 20) == 0xffff &&
           ethernet_sum_add(sum, ethernet_sum(frame + 34, total - 20)) == 0xffff;
}

static void wire_send(struct fake_board *fb, const uint8_t *frame, size_t length)
{
    cr_assert(net_port_send(&find_wire(fb)->port, frame, length));
    fake_step(fb, 100000);
}

/* A frame to the NIC's own address (or to `to`), counting bytes inside. */
static void wire_send_to(struct fake_board *fb, const uint8_t *to, size_t length)
{
    uint8_t frame[NET_FRAME_MAX];
    for (size_t i = 0; i < length; i++) {
        frame[i] = (uint8_t)i;
    }
    memcpy(frame, to, 6);
    store_be16(frame + 12, 0x9000);
    wire_send(fb, frame, length);
}

/* --- Identity, EEPROM, PHY ------------------------------------------------------------------------------ */

Test(e1000, identifies_itself_and_decodes_only_when_enabled)
{
    struct fake_board *fb = fake_board_create();
    target_create(fb);
    firmware_start(fb);
    struct pci_bus *bus = find_nic(fb)->pci.bus;
    cr_assert_eq(pci_config_read(bus, 0, SLOT, 0, 0, 4), 0x100e8086);
    cr_assert_eq(pci_config_read(bus, 0, SLOT, 0, 8, 4) >> 8, 0x020000);
    cr_assert_eq(pci_config_read(bus, 0, SLOT, 0, 0x3d, 1), 1);
    cr_assert_eq(in(fb, STATUS) & 1, 1);
    pci_config_write(bus, 0, SLOT, 0, 4, 0, 2);
    cr_assert_eq(in(fb, STATUS), 0xffffffff);
    machine_destroy(fb);
}

Test(e1000, the_io_bar_reaches_the_same_registers)
{
    struct fake_board *fb = machine_create();
    fake_outl(fb, IO, RAL);
    cr_assert_eq(fake_inl(fb, IO + 4), 0x12005452);
    fake_outl(fb, IO + 4, 0xdeadbeef);
    cr_assert_eq(in(fb, RAL), 0xdeadbeef);
    fake_outl(fb, IO, 0x20000);
    cr_assert_eq(fake_inl(fb, IO + 4), 0);
    machine_destroy(fb);
}

Test(e1000, eeprom_by_eerd_holds_the_address_and_adds_up)
{
    struct fake_board *fb = machine_create();
    uint16_t sum = 0;
    for (unsigned i = 0; i < 64; i++) {
        out(fb, EERD, i << 8 | 1);
        cr_assert(in(fb, EERD) & 0x10);
        uint16_t word = (uint16_t)(in(fb, EERD) >> 16);
        sum = (uint16_t)(sum + word);
        if (i < 3) {
            cr_assert_eq(word, load_le16(mac + 2 * i));
        }
    }
    cr_assert_eq(sum, 0xbaba);
    out(fb, EERD, 200 << 8 | 1);
    cr_assert_eq(in(fb, EERD) >> 16, 0);
    machine_destroy(fb);
}

static void clock_in(struct fake_board *fb, unsigned bits, unsigned count)
{
    for (unsigned i = count; i-- > 0;) {
        unsigned di = (bits >> i & 1) << 2;
        out(fb, EECD, 0x42 | di);
        out(fb, EECD, 0x43 | di);
        out(fb, EECD, 0x42 | di);
    }
}

static uint16_t clock_out(struct fake_board *fb)
{
    unsigned word = 0;
    for (unsigned i = 0; i < 16; i++) {
        out(fb, EECD, 0x43);
        word = word << 1 | (in(fb, EECD) >> 3 & 1);
        out(fb, EECD, 0x42);
    }
    return (uint16_t)word;
}

Test(e1000, eeprom_by_its_pins_reads_runs_of_words)
{
    struct fake_board *fb = machine_create();
    out(fb, EECD, 0x40);
    cr_assert_eq(in(fb, EECD) & 0x3c0, 0x1c0, "granted, present, 64 words");
    out(fb, EECD, 0x42);
    clock_in(fb, 0, 3); /* anything before the start bit is ignored */
    clock_in(fb, 6u << 6 | 0x3e, 9);
    cr_assert_not(in(fb, EECD) & 8, "a zero comes before the word");
    cr_assert_eq(clock_out(fb), 0);
    uint16_t checksum = clock_out(fb);
    cr_assert_eq(clock_out(fb), load_le16(mac), "the address wraps");
    out(fb, EECD, 0x40);
    out(fb, EERD, 0x3f << 8 | 1);
    cr_assert_eq(in(fb, EERD) >> 16, checksum);
    machine_destroy(fb);
}

static void eeprom_command(struct fake_board *fb, unsigned bits, unsigned count)
{
    out(fb, EECD, 0x42);
    clock_in(fb, bits, count);
    out(fb, EECD, 0x40);
}

Test(e1000, eeprom_is_written_only_after_ewen_and_only_by_whole_commands)
{
    struct fake_board *fb = machine_create();
    uint16_t *word = find_nic(fb)->eeprom.word;
    eeprom_command(fb, (5u << 6 | 0x20) << 16 | 0x1234, 25);
    cr_assert_eq(word[0x20], 0);
    eeprom_command(fb, 4u << 6 | 0x30, 9); /* EWEN */
    eeprom_command(fb, (5u << 6 | 0x20) << 15 | 0x1234, 24);
    cr_assert_eq(word[0x20], 0, "a bit was missing");
    eeprom_command(fb, (5u << 6 | 0x20) << 16 | 0x1234, 25);
    cr_assert_eq(word[0x20], 0x1234);
    eeprom_command(fb, 7u << 6 | 0x20, 9); /* ERASE */
    cr_assert_eq(word[0x20], 0xffff);
    eeprom_command(fb, 4u << 6 | 0x00, 9); /* EWDS */
    eeprom_command(fb, (5u << 6 | 0x20) << 16 | 0x1234, 25);
    cr_assert_eq(word[0x20], 0xffff);
    machine_destroy(fb);
}

Test(e1000, mdic_reads_and_writes_the_phy_and_reports_errors)
{
    struct fake_board *fb = machine_create();
    out(fb, MDIC, 2u << 26 | 1 << 21 | 2 << 16);
    cr_assert_eq(in(fb, MDIC) & 0x5000ffff, 0x10000141);
    out(fb, MDIC, 1u << 26 | 1 << 21 | 4 << 16 | 0x1e1);
    out(fb, MDIC, 2u << 26 | 1 << 21 | 4 << 16);
    cr_assert_eq(in(fb, MDIC) & 0xffff, 0x1e1);
    out(fb, MDIC, 2u << 26 | 2 << 21 | 2 << 16);
    cr_assert(in(fb, MDIC) & 1u << 30);
    out(fb, IMS, 1 << 9);
    out(fb, MDIC, 1u << 29 | 2u << 26 | 1 << 21);
    cr_assert(fb->lines[0].level);
    machine_destroy(fb);
}

Test(e1000, the_link_follows_the_cable_after_negotiation)
{
    struct fake_board *fb = fake_board_create();
    target_create(fb);
    firmware_start(fb);
    out(fb, IMS, E1000_ICR_LSC);
    cr_assert_not(in(fb, STATUS) & 2);
    fake_step(fb, 50000000);
    cr_assert_eq(in(fb, STATUS) & 0xc2, 0x82);
    cr_assert(fb->lines[0].level);
    cr_assert_eq(in(fb, ICR), E1000_ICR_LSC);
    cr_assert_not(fb->lines[0].level);
    net_port_set_link(&find_wire(fb)->port, false);
    cr_assert_not(in(fb, STATUS) & 2);
    cr_assert_eq(in(fb, ICR), E1000_ICR_LSC);
    out(fb, MDIC, 2u << 26 | 1 << 21 | 1 << 16);
    cr_assert_not(in(fb, MDIC) & 4);
    net_port_set_link(&find_wire(fb)->port, true);
    fake_step(fb, 50000000);
    cr_assert(in(fb, STATUS) & 2);
    out(fb, MDIC, 1u << 26 | 1 << 21 | 0x9140); /* PHY reset */
    cr_assert_not(in(fb, STATUS) & 2);
    fake_step(fb, 50000000);
    cr_assert(in(fb, STATUS) & 2);
    machine_destroy(fb);
}

/* --- Interrupts ------------------------------------------------------------------------------------------ */

Test(e1000, the_pin_follows_causes_and_mask)
{
    struct fake_board *fb = machine_create();
    out(fb, ICS, 0x81);
    cr_assert_not(fb->lines[0].level);
    out(fb, IMS, 0x80);
    cr_assert(fb->lines[0].level);
    out(fb, IMC, 0x80);
    cr_assert_not(fb->lines[0].level);
    out(fb, IMS, 0x1);
    cr_assert_eq(in(fb, IMS), 1);
    out(fb, ICR, 0x1);
    cr_assert_not(fb->lines[0].level);
    cr_assert_eq(in(fb, ICR), 0x80);
    cr_assert_eq(in(fb, ICR), 0);
    machine_destroy(fb);
}

Test(e1000, itr_spaces_interrupts)
{
    struct fake_board *fb = machine_create();
    out(fb, ITR, 1000); /* 256 us */
    out(fb, IMS, 0x80);
    out(fb, ICS, 0x80);
    cr_assert(fb->lines[0].level);
    in(fb, ICR);
    out(fb, ICS, 0x80);
    cr_assert_not(fb->lines[0].level);
    fake_step(fb, 255000);
    cr_assert_not(fb->lines[0].level);
    fake_step(fb, 1000);
    cr_assert(fb->lines[0].level);
    in(fb, ICR);
    out(fb, ICS, 0x80);
    out(fb, ITR, 0); /* no throttling any more */
    cr_assert(fb->lines[0].level);
    machine_destroy(fb);
}

/* --- Receiving ------------------------------------------------------------------------------------------- */

Test(e1000, receives_a_frame_with_its_fcs)
{
    struct fake_board *fb = machine_create();
    uint8_t descriptor[16], frame[104], expected[104];
    out(fb, IMS, E1000_ICR_RXT0);
    wire_send_to(fb, mac, 100);
    cr_assert(fb->lines[0].level);
    peek(fb, RX_RING, descriptor, 16);
    cr_assert_eq(load_le16(descriptor + 8), 104);
    cr_assert_eq(descriptor[12], 0x07, "DD, EOP, no checksum looked at");
    cr_assert_eq(descriptor[13], 0);
    peek(fb, RX_BUFFERS, frame, 104);
    memcpy(expected, frame, 100);
    store_le32(expected + 100, ethernet_fcs(&find_nic(fb)->crc, frame, 100));
    cr_assert_arr_eq(frame, expected, 104);
    cr_assert_eq(frame[99], 99);
    cr_assert_eq(in(fb, RDH), 1);
    cr_assert_eq(in(fb, GPRC), 1);
    cr_assert_eq(in(fb, GPRC), 0, "reading clears");
    cr_assert_eq(in(fb, GORCL), 104);
    cr_assert_eq(in(fb, GORCL + 4), 0);
    cr_assert_eq(in(fb, GORCL), 0);
    machine_destroy(fb);
}

Test(e1000, short_frames_are_padded_with_zeros)
{
    struct fake_board *fb = machine_create();
    uint8_t descriptor[16], frame[64];
    memset(frame, 0xee, sizeof(frame));
    poke(fb, RX_BUFFERS, frame, 64);
    out(fb, RCTL, in(fb, RCTL) | E1000_RCTL_SECRC);
    wire_send_to(fb, mac, 14);
    peek(fb, RX_RING, descriptor, 16);
    peek(fb, RX_BUFFERS, frame, 64);
    cr_assert_eq(load_le16(descriptor + 8), 60);
    for (unsigned i = 14; i < 60; i++) {
        cr_assert_eq(frame[i], 0);
    }
    cr_assert_eq(frame[60], 0xee, "the FCS is stripped");
    machine_destroy(fb);
}

Test(e1000, frames_wait_while_the_ring_is_empty_and_come_in_order)
{
    struct fake_board *fb = machine_create();
    uint8_t descriptor[16];
    for (unsigned i = 0; i < 10; i++) {
        wire_send_to(fb, mac, 60 + i);
    }
    cr_assert_eq(in(fb, RDH), 7, "one descriptor is always the driver's");
    cr_assert(in(fb, ICR) & E1000_ICR_RXO);
    out(fb, RDT, 2);
    fake_step(fb, 1000);
    cr_assert_eq(in(fb, RDH), 2);
    peek(fb, RX_RING + 16 * 1, descriptor, 16);
    cr_assert_eq(load_le16(descriptor + 8), 60 + 9 + 4);
    cr_assert_eq(in(fb, MPC), 0);
    machine_destroy(fb);
}

Test(e1000, a_long_frame_takes_several_buffers)
{
    struct fake_board *fb = machine_create();
    uint8_t descriptor[16];
    out(fb, RCTL, E1000_RCTL_EN | E1000_RCTL_LPE | E1000_RCTL_SECRC | 3 << 16); /* 256 byte buffers */
    wire_send_to(fb, mac, 600);
    cr_assert_eq(in(fb, RDH), 3);
    peek(fb, RX_RING + 16, descriptor, 16);
    cr_assert_eq(load_le16(descriptor + 8), 256);
    cr_assert_eq(descriptor[12], 1, "not the end of the packet");
    peek(fb, RX_RING + 32, descriptor, 16);
    cr_assert_eq(load_le16(descriptor + 8), 600 - 512);
    cr_assert_eq(descriptor[12] & 3, 3);
    wire_send_to(fb, mac, 9000); /* the ring could never hold it */
    cr_assert_eq(in(fb, RDH), 3);
    cr_assert_eq(in(fb, MPC), 1);
    machine_destroy(fb);
}

Test(e1000, lengths_around_every_limit_stay_inside_their_buffers)
{
    static const unsigned sizes[] = {1513, 1514, 1515, 1518,  1519,  2043,  2044,
                                     2045, 2048, 4096, 16379, 16380, 16381, 16384};
    for (unsigned i = 0; i < ARRAY_LEN(sizes); i++) {
        for (unsigned lpe = 0; lpe < 2; lpe++) {
            struct fake_board *fb = machine_create();
            uint8_t guard[64], seen[64];
            memset(guard, 0xa5, sizeof(guard));
            poke(fb, RX_BUFFERS + 9 * 0x800, guard, sizeof(guard));
            out(fb, RCTL, E1000_RCTL_EN | E1000_RCTL_UPE | (lpe ? (uint32_t)E1000_RCTL_LPE : 0));
            wire_send_to(fb, mac, sizes[i]);
            bool fits = sizes[i] + 4 <= (lpe ? 7 * 2048u : 1522u);
            cr_assert_eq(in(fb, RDH) != 0, fits, "%u bytes, LPE %u", sizes[i], lpe);
            cr_assert_eq(in(fb, RDH), fits ? (sizes[i] + 4 + 2047) / 2048 : 0);
            peek(fb, RX_BUFFERS + 9 * 0x800, seen, sizeof(seen));
            cr_assert_arr_eq(seen, guard, sizeof(seen));
            machine_destroy(fb);
        }
    }
}

/* Did a frame to this address arrive? */
static bool arrives(struct fake_board *fb, const char *to)
{
    uint32_t before = in(fb, RDH);
    wire_send_to(fb, (const uint8_t *)to, 60);
    bool arrived = in(fb, RDH) != before;
    out(fb, RDT, (in(fb, RDH) + 7) % 8);
    return arrived;
}

Test(e1000, filters_by_address_table_hash_and_mode)
{
    struct fake_board *fb = machine_create();
    const char *own = (const char *)mac, *other = "\x52\x54\0\x12\x34\x57", *all = "\xff\xff\xff\xff\xff\xff",
               *group = "\1\0\x5e\0\0\xfb";
    cr_assert(arrives(fb, own));
    cr_assert_not(arrives(fb, other));
    cr_assert(arrives(fb, all));
    cr_assert_not(arrives(fb, group));
    out(fb, RCTL, E1000_RCTL_EN);
    cr_assert_not(arrives(fb, all));
    out(fb, RCTL, E1000_RCTL_EN | E1000_RCTL_UPE);
    cr_assert(arrives(fb, other));
    cr_assert_not(arrives(fb, group));
    out(fb, RCTL, E1000_RCTL_EN | E1000_RCTL_MPE);
    cr_assert(arrives(fb, group));
    cr_assert_not(arrives(fb, other));
    for (unsigned offset = 0; offset < 4; offset++) {
        static const unsigned shift[4] = {4, 3, 2, 0};
        unsigned hash = 0xfb00u >> shift[offset] & 0xfff;
        out(fb, RCTL, E1000_RCTL_EN | offset << 12);
        cr_assert_not(arrives(fb, group));
        out(fb, MTA + 4 * (hash >> 5), 1u << (hash & 31));
        cr_assert(arrives(fb, group));
        out(fb, MTA + 4 * (hash >> 5), 0);
    }
    out(fb, RCTL, E1000_RCTL_EN);
    out(fb, RAL + 8, 0x005e0001); /* a second exact address */
    out(fb, RAL + 12, 0x8000fb00);
    cr_assert(arrives(fb, group));
    out(fb, RAL + 4, in(fb, RAL + 4) & 0x7fffffff);
    cr_assert_not(arrives(fb, own));
    machine_destroy(fb);
}

Test(e1000, vlan_tags_are_filtered_and_stripped)
{
    struct fake_board *fb = machine_create();
    uint8_t frame[100] = {0}, descriptor[16], stored[100];
    memcpy(frame, mac, 6);
    store_be16(frame + 12, 0x8100);
    store_be16(frame + 14, 0x6005);
    store_be16(frame + 16, 0x9000);
    frame[18] = 0x77;
    out(fb, RCTL, E1000_RCTL_EN | E1000_RCTL_VFE | E1000_RCTL_SECRC);
    wire_send(fb, frame, 100);
    cr_assert_eq(in(fb, RDH), 0);
    out(fb, VFTA, 1u << 5);
    out(fb, CTRL, in(fb, CTRL) | E1000_CTRL_VME);
    wire_send(fb, frame, 100);
    cr_assert_eq(in(fb, RDH), 1);
    peek(fb, RX_RING, descriptor, 16);
    peek(fb, RX_BUFFERS, stored, 100);
    cr_assert_eq(load_le16(descriptor + 8), 96);
    cr_assert(descriptor[12] & 8, "VP");
    cr_assert_eq(load_le16(descriptor + 14), 0x6005);
    cr_assert_eq(load_be16(stored + 12), 0x9000);
    cr_assert_eq(stored[14], 0x77);
    machine_destroy(fb);
}

/* Status and errors of the descriptor that took this frame. */
static unsigned checksum_verdict(struct fake_board *fb, const uint8_t *frame, size_t length)
{
    uint8_t descriptor[16];
    unsigned at = in(fb, RDH);
    wire_send(fb, frame, length);
    peek(fb, RX_RING + 16 * at, descriptor, 16);
    out(fb, RDT, at);
    return descriptor[12] | (unsigned)descriptor[13] << 8;
}

Test(e1000, checks_the_checksums_of_received_packets)
{
    struct fake_board *fb = machine_create();
    uint8_t frame[2000];
    size_t length = make_tcp(frame, 101, false);
    memcpy(frame, mac, 6);
    store_be16(frame + 24, 0);
    store_be16(frame + 24, (uint16_t)~ethernet_sum(frame + 14, 20));
    store_be16(frame + 50, (uint16_t)~ethernet_sum(frame + 34, 121));
    cr_assert(checksums_right(frame));
    cr_assert_eq(checksum_verdict(fb, frame, length), 0x63, "DD EOP TCPCS IPCS");
    frame[60] ^= 1;
    cr_assert_eq(checksum_verdict(fb, frame, length), 0x2063, "TCPE");
    frame[60] ^= 1;
    frame[22] ^= 1;
    cr_assert_eq(checksum_verdict(fb, frame, length), 0x4043, "IPE");
    frame[22] ^= 1;
    frame[14] = 0x4f; /* a header longer than the packet says */
    store_be16(frame + 16, 30);
    cr_assert_eq(checksum_verdict(fb, frame, length), 0x07);
    frame[14] = 0x45;
    store_be16(frame + 16, 2000); /* longer than the frame */
    cr_assert_eq(checksum_verdict(fb, frame, length), 0x07);
    store_be16(frame + 16, 141);
    store_be16(frame + 20, 0x2000); /* a fragment */
    cr_assert_eq(checksum_verdict(fb, frame, length) & 0x20, 0);
    out(fb, RXCSUM, 0);
    cr_assert_eq(checksum_verdict(fb, frame, length), 0x07);
    machine_destroy(fb);
}

Test(e1000, receive_interrupts_can_be_delayed_but_not_beyond_radv)
{
    struct fake_board *fb = machine_create();
    uint8_t frame[60] = {0};
    memcpy(frame, mac, 6);
    out(fb, IMS, E1000_ICR_RXT0);
    out(fb, RDTR, 100); /* 102.4 us */
    out(fb, RADV, 250); /* 256 us */
    net_port_send(&find_wire(fb)->port, frame, 60);
    fake_step(fb, 90000);
    net_port_send(&find_wire(fb)->port, frame, 60);
    fake_step(fb, 90000);
    cr_assert_not(fb->lines[0].level);
    net_port_send(&find_wire(fb)->port, frame, 60);
    fake_step(fb, 90000);
    cr_assert_not(fb->lines[0].level);
    fake_step(fb, 10000);
    cr_assert(fb->lines[0].level);
    in(fb, ICR);
    net_port_send(&find_wire(fb)->port, frame, 60);
    fake_step(fb, 30000);
    cr_assert_not(fb->lines[0].level);
    out(fb, RDTR, 100 | 1u << 31);
    cr_assert(fb->lines[0].level, "flushed");
    machine_destroy(fb);
}

Test(e1000, rings_and_buffers_at_bad_addresses_do_no_harm)
{
    static const uint64_t bad[] = {FAKE_BOARD_RAM_SIZE - 8, 0x3fffffff0, BAR, BAR + 0x2810,
                                   0xffffffffffffff00,      0xffffffff0};
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        struct fake_board *fb = machine_create();
        uint8_t descriptor[16] = {0};
        store_le64(descriptor, bad[i]);
        poke(fb, RX_RING, descriptor, 16);
        wire_send_to(fb, mac, 100);
        peek(fb, RX_RING, descriptor, 16);
        cr_assert_eq(descriptor[12] & 3, 3);
        cr_assert(descriptor[13] & 0x80, "RXE for buffer %llx", (unsigned long long)bad[i]);
        out(fb, RDBAL, (uint32_t)bad[i]);
        out(fb, RDBAL + 4, (uint32_t)(bad[i] >> 32));
        wire_send_to(fb, mac, 100);
        cr_assert_eq(in(fb, MPC), 1);
        legacy(fb, 0, bad[i], 100, EOP | RS);
        legacy(fb, 1, TX_DATA, 100, EOP | RS);
        out(fb, TDT, 2);
        cr_assert_eq(in(fb, TDH), 2);
        cr_assert_eq(find_wire(fb)->count, 1, "the packet that could be read went out");
        out(fb, TDBAL, (uint32_t)bad[i]);
        out(fb, TDBAL + 4, (uint32_t)(bad[i] >> 32));
        out(fb, TDT, 5);
        cr_assert_eq(in(fb, TDH), 2);
        machine_destroy(fb);
    }
}

Test(e1000, indices_beyond_the_ring_and_empty_rings_stop_it)
{
    struct fake_board *fb = machine_create();
    out(fb, RDT, 8);
    wire_send_to(fb, mac, 60);
    out(fb, RDH, 0xffff);
    out(fb, RDT, 3);
    wire_send_to(fb, mac, 60);
    out(fb, RDLEN, 0);
    wire_send_to(fb, mac, 60);
    out(fb, TDT, 64);
    cr_assert_eq(in(fb, TDH), 0);
    out(fb, TDLEN, 0);
    out(fb, TDT, 3);
    cr_assert_eq(in(fb, TDH), 0);
    out(fb, TDH, 0xffff);
    out(fb, TDLEN, 64 * 16);
    out(fb, TDT, 3);
    cr_assert_eq(find_wire(fb)->count, 0);
    machine_destroy(fb);
}

Test(e1000, null_descriptors_are_skipped)
{
    struct fake_board *fb = machine_create();
    uint8_t zero[16] = {0}, descriptor[16];
    poke(fb, RX_RING, zero, 16);
    wire_send_to(fb, mac, 60);
    cr_assert_eq(in(fb, RDH), 2);
    peek(fb, RX_RING, descriptor, 16);
    cr_assert_eq(descriptor[12], 1);
    peek(fb, RX_RING + 16, descriptor, 16);
    cr_assert_eq(descriptor[12] & 3, 3);
    machine_destroy(fb);
}

/* --- Transmitting ---------------------------------------------------------------------------------------- */

Test(e1000, sends_a_legacy_packet_of_several_descriptors_around_the_rings_end)
{
    struct fake_board *fb = machine_create();
    uint8_t bytes[200], descriptor[16];
    for (unsigned i = 0; i < 200; i++) {
        bytes[i] = (uint8_t)(i + 1);
    }
    poke(fb, TX_DATA, bytes, 200);
    out(fb, TDH, 62);
    out(fb, TDT, 62);
    out(fb, IMS, E1000_ICR_TXDW);
    legacy(fb, 62, TX_DATA, 50, RS);
    legacy(fb, 63, TX_DATA + 50, 0, 0);
    legacy(fb, 64, TX_DATA + 50, 150, EOP | IFCS | RS);
    out(fb, TDT, 1);
    cr_assert_eq(in(fb, TDH), 1);
    cr_assert_eq(find_wire(fb)->count, 1);
    cr_assert_eq(find_wire(fb)->length[0], 200);
    cr_assert_arr_eq(find_wire(fb)->frame[0], bytes, 200);
    peek(fb, TX_RING, descriptor, 16);
    cr_assert_eq(descriptor[12] & 1, 1);
    peek(fb, TX_RING + 63 * 16, descriptor, 16);
    cr_assert_eq(descriptor[12] & 1, 0, "no status without RS");
    cr_assert(fb->lines[0].level);
    cr_assert_eq(in(fb, ICR) & (E1000_ICR_TXDW | E1000_ICR_TXQE), E1000_ICR_TXDW | E1000_ICR_TXQE);
    cr_assert_eq(in(fb, GPTC), 1);
    machine_destroy(fb);
}

Test(e1000, short_packets_are_padded_and_tiny_ones_dropped)
{
    struct fake_board *fb = machine_create();
    legacy(fb, 0, TX_DATA, 20, EOP);
    legacy(fb, 1, TX_DATA, 13, EOP);
    legacy(fb, 2, TX_DATA, 0, EOP);
    out(fb, TDT, 3);
    cr_assert_eq(in(fb, TDH), 3);
    cr_assert_eq(find_wire(fb)->count, 1);
    cr_assert_eq(find_wire(fb)->length[0], 60);
    machine_destroy(fb);
}

Test(e1000, inserts_checksums_and_tags)
{
    struct fake_board *fb = machine_create();
    uint8_t frame[300];
    size_t length = make_tcp(frame, 100, false);
    poke(fb, TX_DATA, frame, length);
    context(fb, 0, offsets_tcp4(), 0, 1 | 2, 0, 0);
    data(fb, 1, TX_DATA, 54, 0, 3);
    data(fb, 2, TX_DATA + 54, (unsigned)length - 54, EOP | RS, 3);
    out(fb, TDT, 3);
    cr_assert_eq(find_wire(fb)->count, 1);
    cr_assert(checksums_right(find_wire(fb)->frame[0]));
    out(fb, CTRL, in(fb, CTRL) | E1000_CTRL_VME);
    put_descriptor(fb, 3, TX_DATA, (uint32_t)length | 1u << 20 | (EOP | DEXT | VLE) << 24,
                   3 << 8 | 0x123u << 16);
    out(fb, TDT, 4);
    const uint8_t *sent = find_wire(fb)->frame[1];
    cr_assert_eq(find_wire(fb)->length[1], length + 4);
    cr_assert_eq(load_be16(sent + 12), 0x8100);
    cr_assert_eq(load_be16(sent + 14), 0x123);
    cr_assert_eq(load_be16(sent + 16), 0x0800);
    /* a legacy descriptor's checksum: from CSS to the end, at CSO */
    put_descriptor(fb, 4, TX_DATA, (uint32_t)length | 50u << 16 | (EOP | IC) << 24, 34u << 8);
    out(fb, TDT, 5);
    cr_assert_eq(load_be16(find_wire(fb)->frame[2] + 50), (uint16_t)~ethernet_sum(frame + 34, length - 34));
    machine_destroy(fb);
}

Test(e1000, checksum_offsets_outside_the_packet_change_nothing)
{
    static const uint8_t wild[][8] = {{200, 255, 0, 0, 255, 255, 0, 0},
                                      {14, 99, 5, 0, 34, 99, 1, 0},
                                      {100, 50, 0xff, 0xff, 99, 99, 0xff, 0xff}};
    for (unsigned i = 0; i < ARRAY_LEN(wild); i++) {
        struct fake_board *fb = machine_create();
        uint8_t bytes[100];
        memset(bytes, 0x5a, sizeof(bytes));
        poke(fb, TX_DATA, bytes, 100);
        context(fb, 0, load_le64(wild[i]), 0, 3, 0, 0);
        data(fb, 1, TX_DATA, 100, EOP, 3);
        out(fb, TDT, 2);
        cr_assert_eq(find_wire(fb)->length[0], 100);
        cr_assert_arr_eq(find_wire(fb)->frame[0], bytes, 100);
        machine_destroy(fb);
    }
}

/* Queue a segmented packet of `payload` bytes whose data descriptors have `step` bytes each. Returns the new tail. */
static unsigned queue_segmented(struct fake_board *fb, unsigned index, size_t payload, unsigned mss,
                                unsigned step)
{
    uint8_t *frame = malloc(payload + 54);
    size_t length = make_tcp(frame, payload, true), at = 0;
    poke(fb, TX_DATA, frame, length);
    free(frame);
    context(fb, index++, offsets_tcp4(), (unsigned)payload, 1 | 2 | 4, 54, mss);
    while (at < length) {
        unsigned piece = (unsigned)MIN((size_t)step, length - at);
        data(fb, index++, TX_DATA + at, piece, TSE | RS | (at + piece == length ? EOP : 0), 3);
        at += piece;
    }
    return index;
}

static void expect_segments(const struct wire *wire, size_t payload, unsigned mss)
{
    unsigned count = (unsigned)((payload + mss - 1) / mss);
    cr_assert_eq(wire->count, count);
    for (unsigned i = 0; i < count; i++) {
        const uint8_t *frame = wire->frame[i];
        size_t bytes = MIN((size_t)mss, payload - (size_t)i * mss);
        cr_assert_eq(wire->length[i], MAX(54 + bytes, (size_t)60));
        cr_assert_eq(load_be16(frame + 16), 40 + bytes);
        cr_assert_eq(load_be16(frame + 18), 100 + i);
        cr_assert_eq(load_be32(frame + 38), (uint32_t)(0xfffffff0 + i * mss));
        cr_assert_eq(frame[47], i + 1 == count ? 0x19 : 0x10, "PSH and FIN belong to the last segment");
        cr_assert(checksums_right(frame), "segment %u", i);
        cr_assert_eq(frame[54], (uint8_t)(i * mss * 7));
    }
}

Test(e1000, cuts_a_long_packet_into_segments_however_it_is_described)
{
    static const struct {
        size_t payload;
        unsigned mss, step;
    } cases[] = {{4000, 1460, 65000}, {4380, 1460, 1514}, {4380, 1460, 54},
                 {1, 1460, 20},       {5000, 100, 333},   {2920, 1460, 1460}};
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        struct fake_board *fb = machine_create();
        size_t step = cases[i].step < 80 ? 80 : cases[i].step;
        unsigned tail = queue_segmented(fb, 0, cases[i].payload, cases[i].mss, (unsigned)step);
        cr_assert_lt(tail, 64);
        out(fb, TDT, tail);
        cr_assert_eq(in(fb, TDH), tail);
        expect_segments(find_wire(fb), cases[i].payload, cases[i].mss);
        machine_destroy(fb);
    }
}

/* Eleven times 1460 bytes and the headers are the longest frame; the rest is another one. */
Test(e1000, leaves_segments_long_for_a_back_end_that_takes_them)
{
    struct fake_board *fb = machine_create();
    struct wire *wire = find_wire(fb);
    wire->port.ops = &long_wire_ops;
    unsigned tail = queue_segmented(fb, 0, 30 * 1460, 1460, 16000);
    out(fb, TDT, tail);
    cr_assert_eq(in(fb, TDH), tail);
    cr_assert_eq(wire->count, 3);
    for (unsigned i = 0; i < 3; i++) {
        size_t bytes = i < 2 ? 11 * 1460 : 8 * 1460;
        const uint8_t *frame = wire->frame[i];
        cr_assert_eq(wire->length[i], 54 + bytes);
        cr_assert_eq(load_be16(frame + 16), 40 + bytes);
        cr_assert_eq(load_be32(frame + 38), (uint32_t)(0xfffffff0 + i * 11 * 1460));
        cr_assert_eq(frame[47], i == 2 ? 0x19 : 0x10);
        cr_assert_eq(frame[54], (uint8_t)(i * 11 * 1460 * 7));
    }
    wire->count = 0;
    tail = queue_segmented(fb, tail, 1200, 100, 16000);
    out(fb, TDT, tail);
    cr_assert_eq(wire->count, 1);
    cr_assert(checksums_right(wire->frame[0]));
    /* To itself it sends what its own receiver takes. */
    out(fb, RCTL, in(fb, RCTL) | E1000_RCTL_LBM | E1000_RCTL_UPE);
    tail = queue_segmented(fb, tail, 4380, 1460, 16000);
    out(fb, TDT, tail);
    cr_assert_eq(wire->count, 1);
    cr_assert_eq(in(fb, RDH), 3);
    machine_destroy(fb);
}

Test(e1000, a_wire_that_refuses_amid_a_packet_loses_nothing)
{
    struct fake_board *fb = machine_create();
    unsigned tail = queue_segmented(fb, 0, 5000, 500, 700);
    find_wire(fb)->refuse = 1;
    out(fb, TDT, tail);
    cr_assert_eq(find_wire(fb)->count, 0);
    cr_assert_neq(in(fb, TDH), tail);
    for (unsigned i = 0; i < 4; i++) {
        find_wire(fb)->refuse = i == 1;
        find_nic(fb)->port.ops->writable(find_nic(fb));
        fake_step(fb, 1000);
    }
    cr_assert_eq(in(fb, TDH), tail);
    expect_segments(find_wire(fb), 5000, 500);
    machine_destroy(fb);
}

Test(e1000, impossible_segmentation_is_dropped_and_completed)
{
    static const struct {
        unsigned hdrlen, mss, length;
        unsigned frames;
    } cases[] = {{54, 0, 1000, 0},      {0, 1000, 1000, 0}, {13, 1000, 1000, 0}, {255, 1, 100, 0},
                 {255, 65535, 3000, 0}, {54, 65535, 60, 0}, {200, 1000, 200, 0}, {54, 16384, 300, 0},
                 {200, 1000, 201, 1},   {14, 16366, 100, 1}};
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        struct fake_board *fb = machine_create();
        uint8_t descriptor[16];
        context(fb, 0, offsets_tcp4(), 0xfffff, 1 | 2 | 4, cases[i].hdrlen, cases[i].mss);
        data(fb, 1, TX_DATA, cases[i].length, TSE | EOP | RS, 3);
        out(fb, TDT, 2);
        cr_assert_eq(in(fb, TDH), 2);
        cr_assert_eq(find_wire(fb)->count, cases[i].frames, "case %u", i);
        peek(fb, TX_RING + 16, descriptor, 16);
        cr_assert(descriptor[12] & 1);
        legacy(fb, 2, TX_DATA, 100, EOP); /* the next packet is none the worse */
        out(fb, TDT, 3);
        cr_assert_eq(find_wire(fb)->count, cases[i].frames + 1);
        cr_assert_eq(find_wire(fb)->length[cases[i].frames], 100);
        machine_destroy(fb);
    }
}

Test(e1000, a_context_amid_a_packet_is_for_the_next_one)
{
    struct fake_board *fb = machine_create();
    queue_segmented(fb, 0, 3000, 1000, 2000);
    uint8_t second[16];
    peek(fb, TX_RING + 32, second, 16);
    poke(fb, TX_RING + 48, second, 16);
    context(fb, 2, 0xffffffffffffffff, 0xfffff, 1 | 2 | 4, 255, 1); /* between the two data descriptors */
    out(fb, TDT, 4);
    cr_assert_eq(in(fb, TDH), 4);
    expect_segments(find_wire(fb), 3000, 1000);
    machine_destroy(fb);
}

Test(e1000, packets_too_long_for_any_frame_are_dropped)
{
    struct fake_board *fb = machine_create();
    legacy(fb, 0, TX_DATA, 16380, EOP);
    legacy(fb, 1, TX_DATA, 16381, EOP);
    for (unsigned i = 2; i < 60; i++) {
        data(fb, i, TX_DATA, 0xfffff, i == 59 ? EOP : 0, 0);
    }
    out(fb, TDT, 60);
    fake_step(fb, 1000000);
    cr_assert_eq(in(fb, TDH), 60);
    cr_assert_eq(find_wire(fb)->count, 1);
    cr_assert_eq(find_wire(fb)->length[0], 16380);
    machine_destroy(fb);
}

Test(e1000, one_kick_does_a_bounded_amount_of_work)
{
    struct fake_board *fb = machine_create();
    uint64_t before = clock_now(&fb->clock);
    queue_segmented(fb, 0, 500, 1, 65000);
    out(fb, TDT, 2);
    cr_assert_eq(find_wire(fb)->count, 256);
    cr_assert_eq(clock_now(&fb->clock), before);
    fake_step(fb, 5000);
    cr_assert_eq(find_wire(fb)->count, 500);
    cr_assert_eq(in(fb, TDH), 2);
    machine_destroy(fb);
}

/* Long frames, too: 55 packets of 16380 bytes are 880 KiB, more than one kick moves. */
Test(e1000, one_kick_moves_a_bounded_number_of_bytes)
{
    struct fake_board *fb = machine_create();
    for (unsigned i = 0; i < 55; i++) {
        data(fb, i, TX_DATA, 16380, EOP, 0);
    }
    out(fb, TDT, 55);
    cr_assert_eq(find_wire(fb)->count, 33, "512 KiB and what was begun");
    fake_step(fb, 5000);
    cr_assert_eq(find_wire(fb)->count, 55);
    machine_destroy(fb);
}

Test(e1000, tells_the_wire_when_there_is_no_more_to_send)
{
    struct fake_board *fb = machine_create();
    unsigned tail = queue_segmented(fb, 0, 14600, 1460, 65000);
    find_wire(fb)->flushes = 0;
    out(fb, TDT, tail);
    cr_assert_eq(find_wire(fb)->count, 10);
    cr_assert_eq(find_wire(fb)->flushes, 1, "once for all of them");
    cr_assert_eq(find_wire(fb)->unflushed, 0);
    tail = queue_segmented(fb, tail, 2920, 1460, 65000);
    find_wire(fb)->refuse = 1;
    out(fb, TDT, tail);
    find_nic(fb)->port.ops->writable(find_nic(fb));
    fake_step(fb, 1000);
    cr_assert_eq(find_wire(fb)->count, 12);
    cr_assert_eq(find_wire(fb)->unflushed, 0, "nor is one forgotten that had to wait");
    machine_destroy(fb);
}

Test(e1000, transmit_interrupts_wait_for_tidv_when_the_descriptor_says_so)
{
    struct fake_board *fb = machine_create();
    out(fb, IMS, E1000_ICR_TXDW);
    out(fb, TIDV, 50);
    legacy(fb, 0, TX_DATA, 60, EOP | RS | IDE);
    out(fb, TDT, 1);
    cr_assert_not(fb->lines[0].level);
    fake_step(fb, 60000);
    cr_assert(fb->lines[0].level);
    machine_destroy(fb);
}

Test(e1000, loopback_goes_to_its_own_receiver_and_not_to_the_wire)
{
    struct fake_board *fb = machine_create();
    uint8_t frame[60] = {0}, descriptor[16];
    memcpy(frame, mac, 6);
    poke(fb, TX_DATA, frame, 60);
    out(fb, RCTL, in(fb, RCTL) | 3u << 6);
    legacy(fb, 0, TX_DATA, 60, EOP);
    legacy(fb, 1, TX_DATA, 16380, EOP); /* longer than its receiver takes */
    out(fb, TDT, 2);
    cr_assert_eq(find_wire(fb)->count, 0);
    cr_assert_eq(in(fb, RDH), 1);
    peek(fb, RX_RING, descriptor, 16);
    cr_assert_eq(load_le16(descriptor + 8), 64);
    machine_destroy(fb);
}

Test(e1000, does_no_dma_without_the_bus_master_bit)
{
    struct fake_board *fb = machine_create();
    struct pci_bus *bus = find_nic(fb)->pci.bus;
    pci_config_write(bus, 0, SLOT, 0, 4, 3, 2);
    legacy(fb, 0, TX_DATA, 60, EOP);
    out(fb, TDT, 1);
    wire_send_to(fb, mac, 60);
    cr_assert_eq(in(fb, TDH), 0);
    cr_assert_eq(in(fb, RDH), 0);
    machine_destroy(fb);
}

Test(e1000, a_software_reset_keeps_link_and_address)
{
    struct fake_board *fb = machine_create();
    out(fb, RAL, 0);
    out(fb, IMS, 0x80);
    out(fb, ICS, 0x80);
    out(fb, CTRL, in(fb, CTRL) | E1000_CTRL_RST);
    cr_assert_not(in(fb, CTRL) & E1000_CTRL_RST);
    cr_assert_not(fb->lines[0].level);
    cr_assert_eq(in(fb, RAL), 0x12005452);
    cr_assert_eq(in(fb, RAL + 4), 0x80005634);
    cr_assert_eq(in(fb, RCTL), 0);
    cr_assert(in(fb, STATUS) & 2);
    machine_destroy(fb);
}

/* --- The promises of every device ------------------------------------------------------------------------ */

/*
 * Frames from outside, a wire that refuses, a cable that is pulled, a driver that sets its rings up. What lies outside the device
 * (the wire, frames on their way) is as before afterwards: a snapshot does not contain it.
 */
static void target_poke(struct fake_board *fb, uint64_t random)
{
    struct wire *wire = find_wire(fb);
    uint8_t frame[NET_FRAME_MAX] = {0};
    size_t length = 14 + (random >> 8) % (random & 0x80 ? NET_FRAME_MAX - 14 : 1600);

    switch (random % 8) {
    case 0:
        driver_start(fb);
        break;
    case 1:
        net_port_set_link(&wire->port, false);
        net_port_set_link(&wire->port, true);
        break;
    case 2:
        wire->refuse = random >> 48 & 3;
        queue_segmented(fb, (unsigned)(random >> 8 & 31), 3000 + (random >> 16 & 0xfff),
                        1 + (random >> 32 & 0x7ff), 1000);
        out(fb, TDT, (unsigned)(random >> 40 & 63));
        wire->refuse = 0;
        break;
    default:
        make_tcp(frame, 500, false);
        memcpy(frame, random & 0x40 ? mac : (const uint8_t *)"\xff\xff\xff\xff\xff\xff", 6);
        net_port_send(&wire->port, frame, length);
        fake_step(fb, 20000);
        if (find_nic(fb)->port.blocked) {
            net_port_set_link(&wire->port, false);
            net_port_set_link(&wire->port, true);
        }
        break;
    }
}

/* Commands and addresses of the PCI function are left alone here (tests/device/pci.c): the windows stay in place. */
Test(e1000, keeps_the_promises_of_every_device)
{
    static const struct fuzz_target target = {
        .create = target_create,
        .poke = target_poke,
        .windows = {{true, BAR, 0x200},
                    {true, BAR + 0x2800, 0x40},
                    {true, BAR + 0x3800, 0x40},
                    {true, BAR + 0x100, 4},
                    {true, BAR + 0x400, 4},
                    {true, BAR + 0x4000, 0x2000},
                    {false, IO, 8},
                    {true, 0x10000, 0x80},
                    {true, 0x20000, 0x400}},
        .window_count = 9,
    };
    device_contract_check(&target, 6000);
}
