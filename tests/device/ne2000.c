/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The NE2000 on PCI: PROM, remote DMA of all widths, the receive ring and its edges, transmission, and the promises of every
 * device. The card sits in slot 3 with its ports at C000h, its interrupt on fake line 0; struct wire is the cable's other end.
 */
#include <criterion/criterion.h>

#include "devices/ne2000.h"
#include "tests/device/port_fuzz.h"

enum { SLOT = 3, IO = 0xc000, DATA = IO + 0x10, RESET = IO + 0x18 };
enum { START = 0x22, STOP = 0x21, PAGE1 = 0x40, READ = 0x0a, WRITE = 0x12, TXP = 0x26 };
enum { FIRST = 0x46, LAST = 0x80 }; /* the driver's ring; transmit page 40h */

static const uint8_t mac[6] = {0x52, 0x54, 0x00, 0x12, 0x34, 0x56};

struct wire {
    struct net_port port;
    unsigned count, refuse;
    size_t length;
    uint8_t frame[2048];
};

static bool wire_receive(void *owner, const uint8_t *frame, size_t length)
{
    struct wire *wire = owner;
    if (wire->refuse) {
        wire->refuse--;
        return false;
    }
    wire->count++;
    wire->length = length;
    memcpy(wire->frame, frame, MIN(length, sizeof(wire->frame)));
    return true;
}

static const struct net_port_ops wire_ops = {.receive = wire_receive};

static struct ne2000 *find_nic(struct fake_board *fb)
{
    return CONTAINER_OF(board_find_device(&fb->board, "net0"), struct ne2000, device);
}

static struct wire *find_wire(struct fake_board *fb)
{
    return fb->test_data;
}

static void target_create(struct fake_board *fb)
{
    struct pci_bus *bus = pci_bus_create(&fb->board);
    struct ne2000_config config = {.id = "net0", .slot = SLOT};
    struct line pirq[PCI_PIRQS];
    struct wire *wire = calloc(1, sizeof(*wire));

    for (unsigned i = 0; i < PCI_PIRQS; i++) {
        pirq[i] = fake_line(fb, i == pci_bus_pirq(SLOT, 1) ? 0 : i + 1);
    }
    pci_bus_connect_pirq(bus, pirq);
    memcpy(config.mac, mac, 6);
    struct ne2000 *nic = ne2000_create(&fb->board, bus, &config);
    cr_assert_not_null(nic);
    fb->test_data = wire;
    net_port_init(&wire->port, "wire", &wire_ops, wire);
    net_port_connect(&nic->port, &wire->port);
}

static void out(struct fake_board *fb, unsigned reg, unsigned value)
{
    fake_outb(fb, (uint16_t)(IO + reg), (uint8_t)value);
}

/* As Linux' driver does it: word mode, ring from FIRST to LAST, the card's own address, broadcasts. */
static void driver_start(struct fake_board *fb)
{
    struct pci_bus *bus = find_nic(fb)->pci.bus;
    pci_config_write(bus, 0, SLOT, 0, 0x10, IO, 4);
    pci_config_write(bus, 0, SLOT, 0, 0x04, 1, 2);
    out(fb, 0, STOP);
    out(fb, 14, 0x49);
    out(fb, 1, FIRST);
    out(fb, 2, LAST);
    out(fb, 3, FIRST);
    out(fb, 4, 0x40);
    out(fb, 12, 0x04);
    out(fb, 13, 0);
    out(fb, 0, STOP | PAGE1);
    for (unsigned i = 0; i < 6; i++) {
        out(fb, 1 + i, mac[i]);
    }
    out(fb, 7, FIRST + 1);
    out(fb, 0, START);
    out(fb, 7, 0xff);
    out(fb, 15, 0x3f);
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

static void dma_start(struct fake_board *fb, unsigned address, unsigned count, unsigned command)
{
    out(fb, 10, count & 0xff);
    out(fb, 11, count >> 8);
    out(fb, 8, address & 0xff);
    out(fb, 9, address >> 8);
    out(fb, 0, command);
}

static uint8_t curr(struct fake_board *fb)
{
    out(fb, 0, START | PAGE1);
    uint8_t value = fake_inb(fb, IO + 7);
    out(fb, 0, START);
    return value;
}

static void wire_send_to(struct fake_board *fb, const uint8_t *to, size_t length)
{
    uint8_t frame[NET_FRAME_MAX];
    for (size_t i = 0; i < length; i++) {
        frame[i] = (uint8_t)(i * 3);
    }
    memcpy(frame, to, 6);
    cr_assert(net_port_send(&find_wire(fb)->port, frame, length));
    fake_step(fb, 100000);
}

Test(ne2000, shows_its_address_in_a_doubled_prom_and_realtek_ids)
{
    struct fake_board *fb = machine_create();
    cr_assert_eq(pci_config_read(find_nic(fb)->pci.bus, 0, SLOT, 0, 0, 4), 0x802910ec);
    cr_assert_eq(fake_inw(fb, IO + 10), 0x4350);
    dma_start(fb, 0, 32, READ);
    for (unsigned i = 0; i < 6; i++) {
        cr_assert_eq(fake_inb(fb, DATA), mac[i], "in word mode a byte's access steps by two");
    }
    out(fb, 14, 0x48); /* byte mode */
    dma_start(fb, 0, 32, READ);
    cr_assert_eq(fake_inb(fb, DATA), mac[0]);
    cr_assert_eq(fake_inb(fb, DATA), mac[0]);
    dma_start(fb, 28, 4, READ);
    cr_assert_eq(fake_inl(fb, DATA), 0x57575757);
    machine_destroy(fb);
}

Test(ne2000, remote_dma_has_three_widths_and_ends_with_rdc)
{
    struct fake_board *fb = machine_create();
    dma_start(fb, 0x4000, 6, WRITE);
    fake_outl(fb, DATA, 0x44332211);
    cr_assert_not(fake_inb(fb, IO + 7) & 0x40);
    fake_outw(fb, DATA, 0x6655);
    cr_assert(fake_inb(fb, IO + 7) & 0x40);
    fake_outw(fb, DATA, 0xdead); /* beyond the count: ignored */
    dma_start(fb, 0x4000, 8, READ);
    cr_assert_eq(fake_inw(fb, DATA), 0x2211);
    cr_assert_eq(fake_inl(fb, DATA), 0x66554433);
    cr_assert_eq(fake_inw(fb, DATA), 0);
    cr_assert(fake_inb(fb, IO + 7) & 0x40);
    machine_destroy(fb);
}

Test(ne2000, memory_that_is_not_there_reads_as_ones)
{
    struct fake_board *fb = machine_create();
    static const unsigned edges[] = {0x0020, 0x3ffe, 0xc000, 0xfffe};
    for (unsigned i = 0; i < ARRAY_LEN(edges); i++) {
        dma_start(fb, edges[i], 2, WRITE);
        fake_outw(fb, DATA, 0x1234);
        dma_start(fb, edges[i], 2, READ);
        cr_assert_eq(fake_inw(fb, DATA), 0xffff, "%x", edges[i]);
    }
    dma_start(fb, 0xbffe, 2, WRITE);
    fake_outw(fb, DATA, 0x1234);
    dma_start(fb, 0xbffe, 4, READ);
    cr_assert_eq(fake_inl(fb, DATA), 0xffff1234);
    machine_destroy(fb);
}

Test(ne2000, remote_dma_wraps_in_the_ring)
{
    struct fake_board *fb = machine_create();
    dma_start(fb, LAST * 256 - 2, 4, WRITE);
    fake_outl(fb, DATA, 0x44332211);
    dma_start(fb, FIRST * 256, 2, READ);
    cr_assert_eq(fake_inw(fb, DATA), 0x4433);
    machine_destroy(fb);
}

Test(ne2000, sends_a_frame_and_says_so)
{
    struct fake_board *fb = machine_create();
    dma_start(fb, 0x4000, 100, WRITE);
    for (unsigned i = 0; i < 25; i++) {
        fake_outl(fb, DATA, 0x01010101u * i);
    }
    out(fb, 7, 0xff);
    out(fb, 5, 100);
    out(fb, 6, 0);
    out(fb, 0, TXP);
    cr_assert_eq(find_wire(fb)->count, 1);
    cr_assert_eq(find_wire(fb)->length, 100);
    cr_assert_eq(find_wire(fb)->frame[99], 24);
    cr_assert_eq(fake_inb(fb, IO), START);
    cr_assert_eq(fake_inb(fb, IO + 7), 2);
    cr_assert_eq(fake_inb(fb, IO + 4), 1);
    cr_assert(fb->lines[0].level);
    out(fb, 7, 2);
    cr_assert_not(fb->lines[0].level);
    machine_destroy(fb);
}

Test(ne2000, transmits_of_every_length_and_page_stay_inside)
{
    struct fake_board *fb = machine_create();
    static const unsigned lengths[] = {0, 1, 13, 14, 59, 60, 1514, 1518, 1519, 0xffff};
    for (unsigned page = 0; page < 256; page += 5) {
        for (unsigned i = 0; i < ARRAY_LEN(lengths); i++) {
            unsigned before = find_wire(fb)->count;
            bool good = lengths[i] >= 14 && lengths[i] <= 1518;
            out(fb, 4, page);
            out(fb, 5, lengths[i] & 0xff);
            out(fb, 6, lengths[i] >> 8);
            out(fb, 7, 0xff);
            out(fb, 0, TXP);
            cr_assert_eq(find_wire(fb)->count - before, good);
            cr_assert_eq(fake_inb(fb, IO + 7), good ? 2 : 8);
            cr_assert(!good || find_wire(fb)->length == MAX(lengths[i], 60u));
        }
    }
    machine_destroy(fb);
}

Test(ne2000, a_wire_that_refuses_gets_the_frame_later)
{
    struct fake_board *fb = machine_create();
    find_wire(fb)->refuse = 1;
    out(fb, 5, 60);
    out(fb, 0, TXP);
    cr_assert_eq(fake_inb(fb, IO), TXP);
    cr_assert_eq(fake_inb(fb, IO + 7), 0);
    find_nic(fb)->port.ops->writable(find_nic(fb));
    fake_step(fb, 1);
    cr_assert_eq(find_wire(fb)->count, 1);
    cr_assert_eq(fake_inb(fb, IO + 7), 2);
    machine_destroy(fb);
}

Test(ne2000, loopback_stays_off_the_wire)
{
    struct fake_board *fb = machine_create();
    out(fb, 13, 2);
    out(fb, 5, 60);
    out(fb, 0, TXP);
    cr_assert_eq(find_wire(fb)->count, 0);
    cr_assert_eq(fake_inb(fb, IO + 7), 2);
    machine_destroy(fb);
}

Test(ne2000, receives_into_the_ring_behind_a_header)
{
    struct fake_board *fb = machine_create();
    uint8_t bytes[108];
    wire_send_to(fb, mac, 100);
    cr_assert(fb->lines[0].level);
    cr_assert_eq(curr(fb), FIRST + 2);
    dma_start(fb, (FIRST + 1) * 256, 108, READ);
    for (unsigned i = 0; i < 27; i++) {
        store_le32(bytes + 4 * i, fake_inl(fb, DATA));
    }
    cr_assert_eq(bytes[0], 1);
    cr_assert_eq(bytes[1], FIRST + 2);
    cr_assert_eq(load_le16(bytes + 2), 104);
    cr_assert_arr_eq(bytes + 4, mac, 6);
    cr_assert_eq(bytes[4 + 99], (uint8_t)(99 * 3));
    cr_assert_eq(load_le32(bytes + 104), ethernet_fcs(&find_nic(fb)->crc, bytes + 4, 100));
    machine_destroy(fb);
}

Test(ne2000, lengths_around_the_longest_frame)
{
    static const unsigned lengths[] = {14, 60, 1513, 1514, 1515, 1518, 1519, 1522, 2000, NET_FRAME_MAX};
    for (unsigned i = 0; i < ARRAY_LEN(lengths); i++) {
        struct fake_board *fb = machine_create();
        wire_send_to(fb, mac, lengths[i]);
        unsigned stored = 8 + MAX(lengths[i], 60u);
        cr_assert_eq(curr(fb), lengths[i] > 1518 ? FIRST + 1 : FIRST + 1 + (stored + 255) / 256);
        machine_destroy(fb);
    }
}

Test(ne2000, a_full_ring_overflows_and_loses_frames_without_damage)
{
    struct fake_board *fb = machine_create();
    unsigned last = FIRST + 1;
    for (unsigned i = 0; i < 60; i++) {
        wire_send_to(fb, mac, 1000);
    }
    last = curr(fb);
    cr_assert(fake_inb(fb, IO + 7) & 0x10);
    cr_assert_neq(last, FIRST, "a full ring must not look empty");
    wire_send_to(fb, mac, 1000);
    cr_assert_eq(curr(fb), last);
    out(fb, 3, last - 1); /* the driver has read all of it */
    wire_send_to(fb, mac, 1000);
    cr_assert_neq(curr(fb), last);
    machine_destroy(fb);
}

Test(ne2000, rings_that_make_no_sense_receive_nothing)
{
    static const struct {
        uint8_t start, stop, curr;
    } rings[] = {{0, 0, 0},          {0x46, 0x46, 0x46}, {0x80, 0x46, 0x50}, {0, 0x80, 0x40},
                 {0x46, 0xc1, 0x50}, {0x46, 0x80, 0x80}, {0x46, 0x80, 0x45}, {0xff, 0xff, 0xff}};
    for (unsigned i = 0; i < ARRAY_LEN(rings); i++) {
        struct fake_board *fb = machine_create();
        out(fb, 1, rings[i].start);
        out(fb, 2, rings[i].stop);
        out(fb, 0, START | PAGE1);
        out(fb, 7, rings[i].curr);
        out(fb, 0, START);
        wire_send_to(fb, mac, 1514);
        cr_assert_eq(fake_inb(fb, IO + 7), 0);
        cr_assert_eq(curr(fb), rings[i].curr);
        machine_destroy(fb);
    }
}

static bool arrives(struct fake_board *fb, const char *to)
{
    uint8_t before = curr(fb);
    wire_send_to(fb, (const uint8_t *)to, 60);
    bool arrived = curr(fb) != before;
    out(fb, 3, before);
    return arrived;
}

Test(ne2000, filters_by_address_and_mode)
{
    struct fake_board *fb = machine_create();
    const char *own = (const char *)mac, *other = "\x52\x54\0\x12\x34\x57", *all = "\xff\xff\xff\xff\xff\xff",
               *group = "\1\0\x5e\0\0\1";
    cr_assert(arrives(fb, own));
    cr_assert(arrives(fb, all));
    cr_assert_not(arrives(fb, other));
    cr_assert_not(arrives(fb, group));
    out(fb, 12, 0);
    cr_assert_not(arrives(fb, all));
    out(fb, 12, 0x10);
    cr_assert(arrives(fb, other));
    out(fb, 12, 0x08);
    cr_assert_not(arrives(fb, group));
    out(fb, 0, START | PAGE1);
    out(fb, 8 + (31 >> 3), 1 << (31 & 7)); /* the top six bits of the address's CRC */
    out(fb, 0, START);
    cr_assert(arrives(fb, group));
    out(fb, 12, 0x24); /* monitor: looked at, not stored */
    cr_assert_not(arrives(fb, own));
    cr_assert(fake_inb(fb, IO + 12) & 0x40);
    machine_destroy(fb);
}

Test(ne2000, the_reset_port_stops_it)
{
    struct fake_board *fb = machine_create();
    fake_inb(fb, RESET);
    cr_assert_eq(fake_inb(fb, IO + 7), 0x80);
    cr_assert_not(arrives(fb, (const char *)mac) && (find_nic(fb)->command & 1));
    fake_inb(fb, RESET);
    uint8_t before = find_nic(fb)->curr;
    wire_send_to(fb, mac, 60);
    cr_assert_eq(find_nic(fb)->curr, before);
    machine_destroy(fb);
}

/* What lies outside the device is as before afterwards: a snapshot does not contain it. */
static void target_poke(struct fake_board *fb, uint64_t random)
{
    struct wire *wire = find_wire(fb);
    uint8_t frame[NET_FRAME_MAX] = {0};

    switch (random % 8) {
    case 0:
        driver_start(fb);
        break;
    case 1:
        wire->refuse = 1;
        out(fb, 5, 60);
        out(fb, 0, TXP);
        wire->refuse = 0;
        break;
    default:
        memcpy(frame, random & 0x40 ? mac : (const uint8_t *)"\xff\xff\xff\xff\xff\xff", 6);
        net_port_send(&wire->port, frame, 14 + (random >> 8) % 1600);
        fake_step(fb, 20000);
        break;
    }
}

Test(ne2000, keeps_the_promises_of_every_device)
{
    static const struct fuzz_target target = {
        .create = target_create,
        .poke = target_poke,
        .windows = {{false, IO, 0x20}, {false, IO, 0x10}},
        .window_count = 2,
    };
    device_contract_check(&target, 20000);
}
