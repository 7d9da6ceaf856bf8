/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * 82540EM: receiving. Filters, the receive ring, checksums found in frames, delayed interrupts.
 *
 * Source: the Software Developer's Manual, 3.2 "Packet Reception", 13.4.22 "RCTL", 13.5 "Filter Registers".
 *
 *   63                                                             0
 *   +---------------------------------------------------------------+
 *   |                       buffer address                          |
 *   +---------------+--------+--------+---------------+-------------+
 *   |    special    | errors | status | packet checksum|   length   |
 *   +---------------+--------+--------+---------------+-------------+
 *
 * A frame for which the ring has too few buffers is refused and stays in the port's queue, which plays the part of the
 * packet buffer; one that the ring could never hold is lost and counted in MPC.
 *
 * Not modelled: packet split, frames with errors (SBP has no effect), the 82542's early receive.
 */
#include "devices/e1000.h"

enum descriptor_status {
    STATUS_DD = 1u << 0,
    STATUS_EOP = 1u << 1,
    STATUS_IXSM = 1u << 2,
    STATUS_VP = 1u << 3,
    STATUS_TCPCS = 1u << 5,
    STATUS_IPCS = 1u << 6,
    STATUS_PIF = 1u << 7
};
enum descriptor_errors { ERRORS_TCPE = 1u << 5, ERRORS_IPE = 1u << 6, ERRORS_RXE = 1u << 7 };
enum rxcsum_bits { RXCSUM_PCSS = 0xff, RXCSUM_IPOFL = 1u << 8, RXCSUM_TUOFL = 1u << 9 };

#define RAH_VALID     0x80000000u
#define RDTR_FLUSH    0x80000000u
#define DELAY_UNIT_NS 1024u
#define LONG_FRAME    1522u /* with tag and FCS: the longest without LPE */
#define LONGEST_FRAME 16384u

/* What goes into the descriptors of one frame. */
struct arrival {
    size_t length; /* bytes of rx.frame, FCS included if it is stored */
    uint16_t checksum, special;
    uint8_t status, errors;
};

/* --- Filters ------------------------------------------------------------------------------------------ */

static bool matches_exactly(const struct e1000 *nic, const uint8_t *mac)
{
    for (unsigned i = 0; i < E1000_ADDRESS_WORDS; i += 2) {
        if ((nic->ra[i + 1] & RAH_VALID) && nic->ra[i] == load_le32(mac) &&
            (nic->ra[i + 1] & 0xffff) == load_le16(mac + 4)) {
            return true;
        }
    }
    return false;
}

/* RCTL.MO chooses which 12 of the address's last 16 bits index the 4096-bit table. */
static bool matches_hash(const struct e1000 *nic, const uint8_t *mac)
{
    static const uint8_t shift[4] = {4, 3, 2, 0};
    unsigned offset = nic->reg[E1000_RCTL] >> 12 & 3;
    unsigned hash = (unsigned)load_le16(mac + 4) >> shift[offset] & 0xfff;

    return nic->mta[hash >> 5] >> (hash & 31) & 1;
}

static bool is_tagged(const struct e1000 *nic, const uint8_t *frame, size_t length)
{
    return length >= NET_HEADER_SIZE + ETHERNET_VLAN_TAG_SIZE &&
           load_be16(frame + ETHERNET_TYPE_OFFSET) == (nic->reg[E1000_VET] & 0xffff);
}

static bool passes_vlan_filter(const struct e1000 *nic, const uint8_t *frame, size_t length)
{
    uint32_t rctl = nic->reg[E1000_RCTL];

    if (!(rctl & E1000_RCTL_VFE) || !is_tagged(nic, frame, length)) {
        return true;
    }
    uint16_t tag = load_be16(frame + NET_HEADER_SIZE);
    bool cfi = tag & 0x1000;
    if ((rctl & E1000_RCTL_CFIEN) && cfi != ((rctl & E1000_RCTL_CFI) != 0)) {
        return false;
    }
    return nic->vfta[(tag >> 5) & 0x7f] >> (tag & 31) & 1;
}

/* *inexact: it passed because of a hash or a promiscuous mode, software has to look again. */
static bool passes_address_filter(const struct e1000 *nic, const uint8_t *frame, bool *inexact)
{
    static const uint8_t broadcast[NET_MAC_SIZE] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    uint32_t rctl = nic->reg[E1000_RCTL];

    *inexact = false;
    if (matches_exactly(nic, frame) ||
        ((rctl & E1000_RCTL_BAM) && memcmp(frame, broadcast, NET_MAC_SIZE) == 0)) {
        return true;
    }
    *inexact = true;
    return net_mac_is_group(frame) ? (rctl & E1000_RCTL_MPE) || matches_hash(nic, frame)
                                   : (rctl & E1000_RCTL_UPE) != 0;
}

/* --- Checksums ---------------------------------------------------------------------------------------- */

static uint16_t transport_sum(const uint8_t *ip, const uint8_t *transport, size_t length)
{
    uint16_t sum = ethernet_sum(ip + 12, 8); /* the addresses */

    sum = ethernet_sum_add(sum, ip[9]);
    sum = ethernet_sum_add(sum, (uint16_t)length);
    return ethernet_sum_add(sum, ethernet_sum(transport, length));
}

/* TCP or UDP behind an IPv4 header that is whole and not a fragment. */
static void check_transport(struct arrival *arrival, const uint8_t *ip, size_t header, size_t total)
{
    bool tcp = ip[9] == 6, udp = ip[9] == 17;
    size_t length = total - header;

    if ((!tcp && !udp) || (load_be16(ip + 6) & 0x3fff) || length < (tcp ? 20u : 8u)) {
        return;
    }
    if (udp && load_be16(ip + header + 6) == 0) {
        return; /* the sender made none */
    }
    arrival->status |= STATUS_TCPCS;
    if (transport_sum(ip, ip + header, length) != 0xffff) {
        arrival->errors |= ERRORS_TCPE;
    }
}

/* `frame` as on the wire, without FCS. */
static void check_checksums(const struct e1000 *nic, struct arrival *arrival, const uint8_t *frame,
                            size_t length)
{
    uint32_t rxcsum = nic->reg[E1000_RXCSUM];
    size_t at = is_tagged(nic, frame, length) ? NET_HEADER_SIZE + ETHERNET_VLAN_TAG_SIZE : NET_HEADER_SIZE;
    const uint8_t *ip = frame + at;
    size_t left = length - at;

    if (load_be16(frame + at - 2) != ETHERNET_TYPE_IPV4 || left < 20 || ip[0] >> 4 != 4) {
        return;
    }
    size_t header = (ip[0] & 15u) * 4, total = load_be16(ip + 2);
    if (header < 20 || total < header || total > left) {
        return;
    }
    if (rxcsum & RXCSUM_IPOFL) {
        arrival->status |= STATUS_IPCS;
        if (ethernet_sum(ip, header) != 0xffff) {
            arrival->errors |= ERRORS_IPE;
        }
    }
    if ((rxcsum & RXCSUM_TUOFL) && !(arrival->errors & ERRORS_IPE)) {
        check_transport(arrival, ip, header, total);
    }
}

/* --- The ring ----------------------------------------------------------------------------------------- */

static uint32_t ring_length(const struct e1000 *nic)
{
    return nic->reg[E1000_RDLEN] / E1000_DESCRIPTOR_SIZE;
}

/* Descriptors the controller owns; 0 for a ring that makes no sense. */
static uint32_t ring_free(const struct e1000 *nic)
{
    uint32_t count = ring_length(nic), head = nic->reg[E1000_RDH], tail = nic->reg[E1000_RDT];

    if (head >= count || tail >= count) {
        return 0;
    }
    return tail >= head ? tail - head : count - head + tail;
}

/* RCTL.BSIZE, times 16 with BSEX. Its reserved combination gives 2048. */
static size_t buffer_size(const struct e1000 *nic)
{
    unsigned size = nic->reg[E1000_RCTL] >> 16 & 3;

    return (nic->reg[E1000_RCTL] & E1000_RCTL_BSEX) && size ? 32768u >> size : 2048u >> size;
}

static gpa_t ring_base(const struct e1000 *nic)
{
    return (gpa_t)nic->reg[E1000_RDBAH] << 32 | nic->reg[E1000_RDBAL];
}

/* Fill the descriptor at RDH with the next piece of the frame. A null address is a place holder without a buffer. Returns the
 * bytes stored, SIZE_MAX when the ring is not in RAM. */
static size_t fill_descriptor(struct e1000 *nic, const struct arrival *arrival, size_t done)
{
    struct addr_space *mem = nic->device.board->mem;
    gpa_t at = ring_base(nic) + (gpa_t)nic->reg[E1000_RDH] * E1000_DESCRIPTOR_SIZE;
    uint8_t descriptor[E1000_DESCRIPTOR_SIZE];

    if (!dma_read(mem, at, descriptor, sizeof(descriptor))) {
        return SIZE_MAX;
    }
    gpa_t buffer = load_le64(descriptor);
    size_t piece = buffer ? MIN(buffer_size(nic), arrival->length - done) : 0;
    uint8_t errors = 0;
    if (piece && !dma_write(mem, buffer, nic->rx.frame + done, piece)) {
        log_printf(nic->device.board->log, LOG_GUEST_ERRORS, "e1000: receive buffer %llx is not RAM\n",
                   (unsigned long long)buffer);
        errors = ERRORS_RXE;
    }
    bool last = piece && done + piece == arrival->length;
    store_le16(descriptor + 8, (uint16_t)piece);
    store_le16(descriptor + 10, last ? arrival->checksum : 0);
    descriptor[12] = (uint8_t)(STATUS_DD | (last ? STATUS_EOP | arrival->status : 0));
    descriptor[13] = (uint8_t)(errors | (last ? arrival->errors : 0));
    store_le16(descriptor + 14, last ? arrival->special : 0);
    return dma_write(mem, at, descriptor, sizeof(descriptor)) ? piece : SIZE_MAX;
}

/* False: the frame could not be stored whole. */
static bool store_frame(struct e1000 *nic, const struct arrival *arrival, uint32_t available)
{
    size_t done = 0;

    while (available-- && done < arrival->length) {
        size_t piece = fill_descriptor(nic, arrival, done);
        if (piece == SIZE_MAX) {
            log_printf(nic->device.board->log, LOG_GUEST_ERRORS, "e1000: the receive ring is not in RAM\n");
            return false;
        }
        done += piece;
        nic->reg[E1000_RDH] = (nic->reg[E1000_RDH] + 1) % ring_length(nic);
    }
    return done == arrival->length;
}

/* --- Interrupts --------------------------------------------------------------------------------------- */

static void delay_fire(void *opaque)
{
    struct e1000 *nic = opaque;

    nic->rx.absolute_ns = CLOCK_NEVER;
    e1000_raise(nic, E1000_ICR_RXT0);
}

/* RXT0, after RDTR has passed without another frame, at the latest RADV after the first one. */
static void report_frame(struct e1000 *nic)
{
    uint64_t now = clock_now(nic->device.board->clock);
    uint64_t delay = nic->reg[E1000_RDTR] & 0xffff, absolute = nic->reg[E1000_RADV] & 0xffff;

    if (delay == 0) {
        e1000_raise(nic, E1000_ICR_RXT0);
        return;
    }
    if (nic->rx.absolute_ns == CLOCK_NEVER && absolute) {
        nic->rx.absolute_ns = now + absolute * DELAY_UNIT_NS;
    }
    timer_arm(&nic->rx.delay, MIN(now + delay * DELAY_UNIT_NS, nic->rx.absolute_ns));
}

void e1000_rx_flush(struct e1000 *nic)
{
    bool flush = (nic->reg[E1000_RDTR] & RDTR_FLUSH) != 0;

    nic->reg[E1000_RDTR] &= ~RDTR_FLUSH;
    if (flush && timer_armed(&nic->rx.delay)) {
        timer_disarm(&nic->rx.delay);
        delay_fire(nic);
    }
}

/* RXDMT0 when the free descriptors fall to a half, a quarter or an eighth of the ring. */
static void report_threshold(struct e1000 *nic, uint32_t before)
{
    unsigned fraction = MIN(nic->reg[E1000_RCTL] >> 8 & 3, 2u);
    uint32_t threshold = ring_length(nic) >> (fraction + 1);

    if (before > threshold && ring_free(nic) <= threshold) {
        e1000_raise(nic, E1000_ICR_RXDMT0);
    }
}

/* --- Frames ------------------------------------------------------------------------------------------- */

/* Copy the frame to scratch as it goes to memory: tag stripped, padded, FCS behind it. */
static void prepare_frame(struct e1000 *nic, struct arrival *arrival, const uint8_t *frame, size_t length)
{
    uint8_t *to = nic->rx.frame;
    uint32_t rctl = nic->reg[E1000_RCTL];
    bool strip = (nic->reg[E1000_CTRL] & E1000_CTRL_VME) && is_tagged(nic, frame, length);
    size_t pcss = nic->reg[E1000_RXCSUM] & RXCSUM_PCSS;
    size_t padded = MAX(length, (size_t)NET_FRAME_MIN);

    memcpy(to, frame, length);
    memset(to + length, 0, padded - length);
    check_checksums(nic, arrival, frame, length);
    if (!(arrival->status & (STATUS_IPCS | STATUS_TCPCS))) {
        arrival->status |= STATUS_IXSM;
    }
    uint32_t fcs = rctl & E1000_RCTL_SECRC ? 0 : ethernet_fcs(&nic->crc, to, padded);
    arrival->length = padded;
    if (strip) {
        arrival->status |= STATUS_VP;
        arrival->special = load_be16(frame + NET_HEADER_SIZE);
        memmove(to + ETHERNET_TYPE_OFFSET, to + ETHERNET_TYPE_OFFSET + ETHERNET_VLAN_TAG_SIZE,
                padded - ETHERNET_TYPE_OFFSET - ETHERNET_VLAN_TAG_SIZE);
        arrival->length -= ETHERNET_VLAN_TAG_SIZE;
    }
    if (pcss < arrival->length) {
        arrival->checksum = ethernet_sum(to + pcss, arrival->length - pcss);
    }
    if (!(rctl & E1000_RCTL_SECRC)) {
        store_le32(to + arrival->length, fcs);
        arrival->length += ETHERNET_FCS_SIZE;
    }
}

static void count_frame(struct e1000 *nic, const uint8_t *frame, size_t length)
{
    size_t wire = MAX(length, (size_t)NET_FRAME_MIN) + ETHERNET_FCS_SIZE;

    e1000_count(nic, E1000_STAT_TPR, 1);
    e1000_count_wide(nic, E1000_STAT_TORL, wire);
    e1000_count(nic, E1000_STAT_GPRC, 1);
    e1000_count_wide(nic, E1000_STAT_GORCL, wire);
    e1000_count_size(nic, E1000_STAT_PRC64, wire);
    if (net_mac_is_group(frame)) {
        bool broadcast = load_le32(frame) == UINT32_MAX && load_le16(frame + 4) == UINT16_MAX;
        e1000_count(nic, broadcast ? E1000_STAT_BPRC : E1000_STAT_MPRC, 1);
    }
}

/* Are there buffers for it? Sets *lost when there never will be. */
static bool has_room(struct e1000 *nic, size_t length, bool *lost)
{
    size_t needed = (length + buffer_size(nic) - 1) / buffer_size(nic);

    *lost = needed >= ring_length(nic);
    if (!*lost && ring_free(nic) < needed) {
        if (!nic->rx.starved) {
            nic->rx.starved = true;
            e1000_count(nic, E1000_STAT_RNBC, 1);
            e1000_raise(nic, E1000_ICR_RXO);
        }
        return false;
    }
    return !*lost;
}

bool e1000_receive(void *owner, const uint8_t *frame, size_t length)
{
    struct e1000 *nic = owner;
    struct arrival arrival = {0};
    bool inexact, lost;
    size_t wire = MAX(length, (size_t)NET_FRAME_MIN) + ETHERNET_FCS_SIZE;

    if (!(nic->reg[E1000_RCTL] & E1000_RCTL_EN) || !pci_function_is_master(&nic->pci) ||
        !passes_address_filter(nic, frame, &inexact) || !passes_vlan_filter(nic, frame, length)) {
        return true;
    }
    if (wire > LONGEST_FRAME || (wire > LONG_FRAME && !(nic->reg[E1000_RCTL] & E1000_RCTL_LPE))) {
        e1000_count(nic, E1000_STAT_ROC, 1);
        return true;
    }
    if (!has_room(nic, wire, &lost)) {
        e1000_count(nic, E1000_STAT_MPC, lost);
        return lost;
    }
    uint32_t available = ring_free(nic);
    nic->rx.starved = false;
    arrival.status = inexact ? STATUS_PIF : 0;
    prepare_frame(nic, &arrival, frame, length);
    if (!store_frame(nic, &arrival, available)) {
        e1000_count(nic, E1000_STAT_MPC, 1);
        return true;
    }
    count_frame(nic, frame, length);
    report_threshold(nic, available);
    if (wire <= (nic->reg[E1000_RSRPD] & 0xfff)) {
        e1000_raise(nic, E1000_ICR_SRPD);
    }
    report_frame(nic);
    return true;
}

void e1000_rx_init(struct e1000 *nic)
{
    timer_init(&nic->rx.delay, nic->device.board->clock, "e1000-receive-delay", delay_fire, nic);
}

void e1000_rx_reset(struct e1000 *nic)
{
    nic->rx.starved = false;
    nic->rx.absolute_ns = CLOCK_NEVER;
    timer_disarm(&nic->rx.delay);
}
