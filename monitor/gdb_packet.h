/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Packets of the gdb remote protocol: bytes in, bytes out, and the hexadecimal in them. Knows nothing of guests.
 *
 *   $ DATA # CC        CC: the sum of DATA's bytes modulo 256
 *   + -                the last packet arrived well, or must be sent again
 *   0x03               outside a packet: interrupt
 *
 * In DATA, `}` says that the next byte was changed by exclusive-or with 0x20: # $ } *, and where binary data stand.
 *
 * GDB manual: "Remote Protocol", "Overview", "Binary Data". NOT produced: run-length encoding.
 */
#ifndef MONITOR_GDB_PACKET_H
#define MONITOR_GDB_PACKET_H

#include "base/types.h"

/* The longest DATA, either way: `PacketSize` of qSupported. */
enum { GDB_PACKET_SIZE = 0x4000 };

/* What a byte completed. */
enum gdb_event {
    GDB_EVENT_NONE,
    GDB_EVENT_PACKET,    /* reader->data, ->length; a zero byte stands behind them */
    GDB_EVENT_BAD,       /* one whose sum is wrong */
    GDB_EVENT_TOO_LONG,  /* one that would not fit; its beginning was dropped, too */
    GDB_EVENT_INTERRUPT, /* 0x03 */
    GDB_EVENT_RESEND,    /* - */
};

struct gdb_reader {
    enum { GDB_OUTSIDE, GDB_INSIDE, GDB_SUM_HIGH, GDB_SUM_LOW } state;
    bool too_long;
    uint8_t sum, said;
    size_t length;
    uint8_t data[GDB_PACKET_SIZE + 1];
};

/* All zero is a reader that has seen nothing. Noise between packets, and half a packet before a new one, are skipped. */
enum gdb_event gdb_reader_feed(struct gdb_reader *reader, uint8_t byte);

/* A packet that is being written: DATA at data + 1, framed by gdb_packet_end(). */
struct gdb_packet {
    size_t length; /* of DATA so far */
    bool full;     /* something did not fit, and was left out */
    uint8_t data[1 + GDB_PACKET_SIZE + 3];
};

void gdb_packet_begin(struct gdb_packet *packet);
void gdb_packet_text(struct gdb_packet *packet, const char *format, ...) PRINTF_LIKE(2, 3);
/* Two digits a byte. */
void gdb_packet_hex(struct gdb_packet *packet, const void *bytes, size_t size);
/* As they are, escaped where necessary; returns how many went in. */
size_t gdb_packet_binary(struct gdb_packet *packet, const void *bytes, size_t size);
/* Frame it: packet->data, the returned number of bytes. */
size_t gdb_packet_end(struct gdb_packet *packet);

/* A hexadecimal number at *at, 64 bits at most; *at moves behind it. False: there is none. */
bool gdb_parse_hex(const char **at, uint64_t *value);
/* The number, and the character `behind` it ('\0': the end), which is passed, too. */
bool gdb_parse_field(const char **at, uint64_t *value, char behind);
/* Exactly `size` bytes from 2 * size digits. */
bool gdb_decode_hex(const char *text, uint8_t *bytes, size_t size);
/* Take the escapes out, in place; returns the length. */
size_t gdb_unescape(uint8_t *bytes, size_t size);

#endif
