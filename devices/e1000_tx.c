/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * 82540EM: transmitting. The transmit ring, three kinds of descriptors, checksum insertion, TCP segmentation.
 *
 * Source: the Software Developer's Manual, 3.3 "Packet Transmission", 3.4 "Transmit Descriptor Ring Structure", 3.5 "TCP
 * Segmentation".
 *
 *   legacy    | buffer address | length 16, CSO 8, CMD 8 | STA 8, CSS 8, special 16 |     DEXT (CMD bit 5) clear
 *   context   | IPCSS IPCSO IPCSE TUCSS TUCSO TUCSE | PAYLEN 20, DTYP 4 = 0, TUCMD 8 | STA 8, HDRLEN 8, MSS 16 |
 *   data      | buffer address | DTALEN 20, DTYP 4 = 1, DCMD 8 | STA 8, POPTS 8, special 16 |
 *
 * The bytes of a packet's descriptors are collected in tx.frame. Without segmentation the packet goes out at its last
 * descriptor. With it, tx.frame holds the headers and up to MSS bytes; it goes out when it is full and more data comes, or
 * at the end. So nothing longer than a frame is ever collected, however long the packet says it is. Where the other end of the
 * cable takes long TCP segments (base/net.h) a frame holds as many times MSS bytes as fit into tx.frame.
 *
 * What a guest may get wrong: headers longer than the packet, MSS 0, frames without end, offsets outside the frame. A packet
 * that cannot be sent is dropped whole and its descriptors are completed. Every offset is checked against what was really
 * collected. A context descriptor amid a packet is for the next packet: the running one has its own copy.
 *
 * One kick does a bounded amount of work and then continues from a timer; the same state carries on when the wire refuses
 * a frame.
 *
 * DEVIATION: IFCS is always set: a driver's own FCS bytes would go out as data.
 *
 * Not modelled: collisions and half duplex, the FIFO's thresholds other than LWTHRESH.
 */
#include "devices/e1000.h"

enum command_bits {
    CMD_EOP = 1u << 0,
    CMD_IC = 1u << 2, /* legacy */
    CMD_TSE = 1u << 2,
    CMD_RS = 1u << 3,
    CMD_DEXT = 1u << 5,
    CMD_VLE = 1u << 6,
    CMD_IDE = 1u << 7,
};
enum tucmd_bits { TUCMD_TCP = 1u << 0, TUCMD_IP = 1u << 1, TUCMD_TSE = 1u << 2 };
enum popts_bits { POPTS_IXSM = 1u << 0, POPTS_TXSM = 1u << 1 };

enum {
    STATUS_OFFSET = 12, /* in the descriptor */
    STATUS_DD = 1,
    TCP_FIN = 1,
    TCP_PSH = 8,
    KICK_DESCRIPTORS = 256, /* bounds of a kick */
    KICK_FRAMES = 256,
    KICK_BYTES = 512 << 10,
    FRAME_ROOM = NET_FRAME_MAX - ETHERNET_VLAN_TAG_SIZE,
};

#define DELAY_UNIT_NS 1024u
#define RESUME_NS     5000u

/* A descriptor taken apart. */
struct piece {
    gpa_t address;
    uint32_t length;
    uint8_t command;
    bool context, data; /* neither: legacy */
};

static struct piece decode(const uint8_t *descriptor)
{
    uint32_t word = load_le32(descriptor + 8);
    struct piece piece = {.address = load_le64(descriptor), .command = (uint8_t)(word >> 24)};

    if (piece.command & CMD_DEXT) {
        unsigned type = word >> 20 & 15;
        piece.context = type == 0;
        piece.data = type == 1;
        piece.length = piece.data ? word & 0xfffff : 0;
    } else {
        piece.length = word & 0xffff;
    }
    return piece;
}

/* --- Checksums and headers ---------------------------------------------------------------------------- */

/* Sum frame[start..end] (end 0: to the frame's end) and put the complement at `at`. */
static void insert_checksum(struct e1000_tx *tx, size_t start, size_t end, size_t at, bool zero_is_none)
{
    size_t stop = end ? MIN(end + 1, (size_t)tx->size) : tx->size;

    if (start >= stop || at + 2 > tx->size) {
        return;
    }
    uint16_t sum = (uint16_t)~ethernet_sum(tx->frame + start, stop - start);
    store_be16(tx->frame + at, sum == 0 && zero_is_none ? 0xffff : sum);
}

static void insert_checksums(struct e1000_tx *tx)
{
    const struct e1000_context *context = &tx->active;

    if (tx->insert_checksum) {
        insert_checksum(tx, tx->css, 0, tx->cso, false);
    }
    if (tx->popts & POPTS_TXSM) {
        insert_checksum(tx, context->tucss, context->tucse, context->tucso, !context->tcp);
    }
    if (tx->popts & POPTS_IXSM) {
        insert_checksum(tx, context->ipcss, context->ipcse, context->ipcso, false);
    }
}

static void patch_ip(struct e1000_tx *tx)
{
    size_t at = tx->active.ipcss;

    if (tx->active.ipv4 && at + 6 <= tx->size) {
        store_be16(tx->frame + at + 2, (uint16_t)(tx->size - at));
        store_be16(tx->frame + at + 4, (uint16_t)(load_be16(tx->frame + at + 4) + tx->segments));
    } else if (!tx->active.ipv4 && at + 40 <= tx->size) {
        store_be16(tx->frame + at + 4, (uint16_t)(tx->size - at - 40));
    }
}

static void patch_transport(struct e1000_tx *tx, bool last)
{
    size_t at = tx->active.tucss, sum_at = tx->active.tucso;

    if (tx->active.tcp && at + 14 <= tx->size) {
        store_be32(tx->frame + at + 4, load_be32(tx->frame + at + 4) + tx->payload);
        if (!last) {
            tx->frame[at + 13] &= (uint8_t) ~(TCP_FIN | TCP_PSH);
        }
    } else if (!tx->active.tcp && at + 6 <= tx->size) {
        store_be16(tx->frame + at + 4, (uint16_t)(tx->size - at));
    }
    /* The driver left the pseudo header's sum without the length, which is only known here. */
    if ((tx->popts & POPTS_TXSM) && sum_at + 2 <= tx->size && at <= tx->size) {
        store_be16(tx->frame + sum_at,
                   ethernet_sum_add(load_be16(tx->frame + sum_at), (uint16_t)(tx->size - at)));
    }
}

static void insert_tag(struct e1000 *nic)
{
    struct e1000_tx *tx = &nic->tx;

    if (!tx->vlan || !(nic->reg[E1000_CTRL] & E1000_CTRL_VME)) {
        return;
    }
    memmove(tx->frame + ETHERNET_TYPE_OFFSET + ETHERNET_VLAN_TAG_SIZE, tx->frame + ETHERNET_TYPE_OFFSET,
            tx->size - ETHERNET_TYPE_OFFSET);
    store_be16(tx->frame + ETHERNET_TYPE_OFFSET, (uint16_t)nic->reg[E1000_VET]);
    store_be16(tx->frame + NET_HEADER_SIZE, tx->vlan_tag);
    tx->size += ETHERNET_VLAN_TAG_SIZE;
}

/* --- Frames ------------------------------------------------------------------------------------------- */

static void count_frame(struct e1000 *nic)
{
    const struct e1000_tx *tx = &nic->tx;
    size_t wire = tx->size + ETHERNET_FCS_SIZE;

    e1000_count(nic, E1000_STAT_TPT, 1);
    e1000_count(nic, E1000_STAT_GPTC, 1);
    e1000_count_wide(nic, E1000_STAT_TOTL, wire);
    e1000_count_wide(nic, E1000_STAT_GOTCL, wire);
    e1000_count_size(nic, E1000_STAT_PTC64, wire);
    if (net_mac_is_group(tx->frame)) {
        bool broadcast = load_le32(tx->frame) == UINT32_MAX && load_le16(tx->frame + 4) == UINT16_MAX;
        e1000_count(nic, broadcast ? E1000_STAT_BPTC : E1000_STAT_MPTC, 1);
    }
}

/* Hand tx.frame to the wire. False: refused, it stays ready. */
static bool send_frame(struct e1000 *nic)
{
    struct e1000_tx *tx = &nic->tx;

    if (e1000_loops_back(nic)) {
        e1000_receive(nic, tx->frame, tx->size);
    } else if (!net_port_send(&nic->port, tx->frame, tx->size)) {
        return false;
    }
    count_frame(nic);
    tx->ready = false;
    if (tx->last) {
        tx->busy = false;
        return true;
    }
    tx->payload += tx->active.mss;
    tx->segments++;
    memcpy(tx->frame, tx->header, tx->active.hdrlen);
    tx->size = tx->active.hdrlen;
    return true;
}

/* tx.frame holds what one frame is to hold: finish it. */
static void complete_frame(struct e1000 *nic, bool last)
{
    struct e1000_tx *tx = &nic->tx;

    if (tx->segmenting) {
        if (tx->segments == 0) {
            memcpy(tx->header, tx->frame, tx->active.hdrlen);
        }
        patch_ip(tx);
        patch_transport(tx, last);
        e1000_count(nic, E1000_STAT_TSCTC, last);
    }
    insert_checksums(tx);
    insert_tag(nic);
    if (tx->size < NET_FRAME_MIN) {
        memset(tx->frame + tx->size, 0, NET_FRAME_MIN - tx->size);
        tx->size = NET_FRAME_MIN;
    }
    tx->last = last;
    tx->ready = true;
}

/* --- Packets ------------------------------------------------------------------------------------------ */

static void load_context(struct e1000 *nic, const uint8_t *descriptor)
{
    uint32_t command = load_le32(descriptor + 8);
    struct e1000_context context = {
        .ipcss = descriptor[0],
        .ipcso = descriptor[1],
        .ipcse = load_le16(descriptor + 2),
        .tucss = descriptor[4],
        .tucso = descriptor[5],
        .tucse = load_le16(descriptor + 6),
        .paylen = command & 0xfffff,
        .hdrlen = descriptor[13],
        .mss = load_le16(descriptor + 14),
        .tcp = (command >> 24 & TUCMD_TCP) != 0,
        .ipv4 = (command >> 24 & TUCMD_IP) != 0,
    };

    if (command >> 24 & TUCMD_TSE) {
        nic->tx.segmentation = context;
    } else {
        nic->tx.checksum = context;
    }
}

/* Bytes of payload for each frame of a segmented packet: MSS, or several of them. */
static uint16_t segment_size(const struct e1000 *nic, const struct e1000_context *context)
{
    uint32_t room = FRAME_ROOM - context->hdrlen;

    return context->tcp && net_port_takes_long_tcp(&nic->port) && !e1000_loops_back(nic)
               ? (uint16_t)(room - room % context->mss)
               : context->mss;
}

/* The first descriptor of a packet decides how it is treated. */
static void begin_packet(struct e1000 *nic, const struct piece *piece)
{
    struct e1000_tx *tx = &nic->tx;
    const uint8_t *descriptor = tx->descriptor;

    tx->busy = true;
    tx->bad = tx->vlan = tx->insert_checksum = false;
    tx->segmenting = piece->data && (piece->command & CMD_TSE);
    tx->active = tx->segmenting ? tx->segmentation : tx->checksum;
    tx->popts = piece->data ? descriptor[13] : 0;
    tx->size = tx->segments = tx->payload = 0;
    if (tx->segmenting && (tx->active.mss == 0 || tx->active.hdrlen < NET_HEADER_SIZE ||
                           (uint32_t)tx->active.hdrlen + tx->active.mss > FRAME_ROOM)) {
        log_printf(nic->device.board->log, LOG_GUEST_ERRORS, "e1000: segmentation with header %u, MSS %u\n",
                   tx->active.hdrlen, tx->active.mss);
        e1000_count(nic, E1000_STAT_TSCTFC, 1);
        tx->bad = true;
    } else if (tx->segmenting) {
        tx->active.mss = segment_size(nic, &tx->active);
    }
}

/* What a later descriptor of the packet may add: a tag, and a legacy descriptor's checksum. */
static void note_options(struct e1000_tx *tx, const struct piece *piece)
{
    const uint8_t *descriptor = tx->descriptor;

    if (piece->command & CMD_VLE) {
        tx->vlan = true;
        tx->vlan_tag = load_le16(descriptor + 14);
    }
    if (!piece->data && (piece->command & CMD_IC)) {
        tx->insert_checksum = true;
        tx->cso = descriptor[10];
        tx->css = descriptor[13];
    }
}

/* Bytes tx.frame may hold before something must be sent. */
static uint32_t frame_limit(const struct e1000_tx *tx)
{
    return tx->segmenting ? (uint32_t)tx->active.hdrlen + tx->active.mss : FRAME_ROOM;
}

/* Collect the descriptor's data until all is taken or a frame is ready. */
static void collect(struct e1000 *nic, const struct piece *piece)
{
    struct e1000_tx *tx = &nic->tx;

    while (tx->offset < piece->length && !tx->ready) {
        uint32_t room = frame_limit(tx) - MIN(tx->size, frame_limit(tx));
        uint32_t bytes = MIN(room, piece->length - tx->offset);

        if (tx->bad || (room == 0 && !tx->segmenting)) {
            tx->bad = true;
            tx->offset = piece->length;
        } else if (room == 0) {
            complete_frame(nic, false);
        } else if (!dma_read(nic->device.board->mem, piece->address + tx->offset, tx->frame + tx->size,
                             bytes)) {
            log_printf(nic->device.board->log, LOG_GUEST_ERRORS, "e1000: transmit buffer %llx is not RAM\n",
                       (unsigned long long)piece->address);
            tx->bad = true;
        } else {
            tx->size += bytes;
            tx->offset += bytes;
        }
    }
}

/* The packet's last byte has been collected. */
static void end_packet(struct e1000 *nic)
{
    struct e1000_tx *tx = &nic->tx;
    uint32_t least = tx->segmenting ? tx->active.hdrlen + 1u : NET_HEADER_SIZE;

    tx->closed = true;
    if (tx->bad || tx->size < least) {
        tx->busy = false; /* nothing of it, or nothing more, goes out */
    } else {
        complete_frame(nic, true);
    }
}

/* Work on the fetched descriptor until it is done or a frame is ready. True: done. */
static bool advance_descriptor(struct e1000 *nic)
{
    struct e1000_tx *tx = &nic->tx;
    struct piece piece = decode(tx->descriptor);

    if (piece.context) {
        load_context(nic, tx->descriptor);
        return true;
    }
    if (tx->closed) {
        return true;
    }
    if (!tx->busy) {
        begin_packet(nic, &piece);
    }
    note_options(tx, &piece);
    collect(nic, &piece);
    if (!tx->ready && (piece.command & CMD_EOP)) {
        end_packet(nic);
    }
    return !tx->ready;
}

/* --- Interrupts --------------------------------------------------------------------------------------- */

static void delay_fire(void *opaque)
{
    struct e1000 *nic = opaque;

    nic->tx.absolute_ns = CLOCK_NEVER;
    e1000_raise(nic, E1000_ICR_TXDW);
}

/* TXDW, delayed by TIDV and at most TADV when the descriptor asks for it. */
static void report_descriptor(struct e1000 *nic, bool delayed)
{
    uint64_t now = clock_now(nic->device.board->clock);
    uint64_t delay = nic->reg[E1000_TIDV] & 0xffff, absolute = nic->reg[E1000_TADV] & 0xffff;

    if (!delayed || delay == 0) {
        e1000_raise(nic, E1000_ICR_TXDW);
        return;
    }
    if (nic->tx.absolute_ns == CLOCK_NEVER && absolute) {
        nic->tx.absolute_ns = now + absolute * DELAY_UNIT_NS;
    }
    timer_arm(&nic->tx.delay, MIN(now + delay * DELAY_UNIT_NS, nic->tx.absolute_ns));
}

/* --- The ring ----------------------------------------------------------------------------------------- */

static uint32_t ring_length(const struct e1000 *nic)
{
    return nic->reg[E1000_TDLEN] / E1000_DESCRIPTOR_SIZE;
}

static gpa_t descriptor_address(const struct e1000 *nic)
{
    gpa_t base = (gpa_t)nic->reg[E1000_TDBAH] << 32 | nic->reg[E1000_TDBAL];

    return base + (gpa_t)nic->reg[E1000_TDH] * E1000_DESCRIPTOR_SIZE;
}

static bool may_run(const struct e1000 *nic)
{
    uint32_t count = ring_length(nic), head = nic->reg[E1000_TDH], tail = nic->reg[E1000_TDT];

    return (nic->reg[E1000_TCTL] & E1000_TCTL_EN) && pci_function_is_master(&nic->pci) && head < count &&
           tail < count && head != tail;
}

static bool fetch(struct e1000 *nic)
{
    struct e1000_tx *tx = &nic->tx;

    if (!dma_read(nic->device.board->mem, descriptor_address(nic), tx->descriptor, E1000_DESCRIPTOR_SIZE)) {
        log_printf(nic->device.board->log, LOG_GUEST_ERRORS, "e1000: the transmit ring is not in RAM\n");
        return false;
    }
    tx->fetched = true;
    tx->closed = false;
    tx->offset = 0;
    return true;
}

/* Write the status back, report, go on to the next. */
static void retire(struct e1000 *nic)
{
    struct e1000_tx *tx = &nic->tx;
    uint8_t command = tx->descriptor[11];
    uint8_t status = tx->descriptor[STATUS_OFFSET] | STATUS_DD;
    uint32_t low = (nic->reg[E1000_TXDCTL] >> 25 & 0x7f) * 8;

    tx->fetched = false;
    if (command & CMD_RS) {
        dma_write(nic->device.board->mem, descriptor_address(nic) + STATUS_OFFSET, &status, 1);
        report_descriptor(nic, (command & CMD_IDE) != 0);
    }
    nic->reg[E1000_TDH] = (nic->reg[E1000_TDH] + 1) % ring_length(nic);
    uint32_t left = (nic->reg[E1000_TDT] + ring_length(nic) - nic->reg[E1000_TDH]) % ring_length(nic);
    if (left == 0) {
        e1000_raise(nic, E1000_ICR_TXQE);
    }
    if (low && left == low) {
        e1000_raise(nic, E1000_ICR_TXD_LOW);
    }
}

/* Send until the ring is empty, the wire refuses, or it is enough for one kick. */
static void run_ring(struct e1000 *nic)
{
    struct e1000_tx *tx = &nic->tx;
    unsigned descriptors = 0, frames = 0, bytes = 0;

    while (may_run(nic)) {
        if (tx->ready) {
            bytes += tx->size;
            frames++;
            if (!send_frame(nic)) {
                return; /* goes on when the wire is writable */
            }
        }
        if (descriptors == KICK_DESCRIPTORS || frames == KICK_FRAMES || bytes >= KICK_BYTES) {
            timer_arm(&tx->resume, clock_now(nic->device.board->clock) + RESUME_NS);
            return;
        }
        if (!tx->fetched && !fetch(nic)) {
            return;
        }
        if (advance_descriptor(nic)) {
            retire(nic);
            descriptors++;
        }
    }
}

void e1000_tx_run(struct e1000 *nic)
{
    run_ring(nic);
    net_port_flush(&nic->port);
}

static void resume_fire(void *opaque)
{
    e1000_tx_run(opaque);
}

/* The wire takes frames again: go on, but not from inside somebody else's call. */
void e1000_tx_writable(void *owner)
{
    struct e1000 *nic = owner;

    timer_arm(&nic->tx.resume, clock_now(nic->device.board->clock));
}

void e1000_tx_init(struct e1000 *nic)
{
    struct clock *clock = nic->device.board->clock;

    timer_init(&nic->tx.delay, clock, "e1000-transmit-delay", delay_fire, nic);
    timer_init(&nic->tx.resume, clock, "e1000-transmit", resume_fire, nic);
}

/* Every byte, so that the state after a reset is that after creation. */
void e1000_tx_reset(struct e1000 *nic)
{
    struct e1000_tx *tx = &nic->tx;

    timer_disarm(&tx->delay);
    timer_disarm(&tx->resume);
    memset(tx, 0, offsetof(struct e1000_tx, delay));
    tx->absolute_ns = CLOCK_NEVER;
}
