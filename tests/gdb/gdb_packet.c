/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Framing of the gdb remote protocol, byte by byte.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "monitor/gdb_packet.h"

static struct gdb_reader reader;
static struct gdb_packet packet;

/* Feed text; returns what the last byte completed, after checking that none before it completed anything. */
static enum gdb_event feed(const char *text, size_t size)
{
    enum gdb_event event = GDB_EVENT_NONE;

    for (size_t i = 0; i < size; i++) {
        cr_assert_eq(event, GDB_EVENT_NONE, "an event before byte %zu of '%s'", i, text);
        event = gdb_reader_feed(&reader, (uint8_t)text[i]);
    }
    return event;
}

#define FEED(text) feed(text, sizeof(text) - 1)

static void setup(void)
{
    memset(&reader, 0, sizeof(reader));
    gdb_packet_begin(&packet);
}

TestSuite(gdb_packet, .init = setup);

Test(gdb_packet, a_packet_ends_with_its_sum)
{
    cr_assert_eq(FEED("$m0,4#fd"), GDB_EVENT_PACKET);
    cr_assert_str_eq((const char *)reader.data, "m0,4");
    cr_assert_eq(reader.length, 4);
    cr_assert_eq(FEED("$#00"), GDB_EVENT_PACKET);
    cr_assert_eq(reader.length, 0);
}

Test(gdb_packet, sums_are_read_in_either_case)
{
    cr_assert_eq(FEED("$m0,4#FD"), GDB_EVENT_PACKET);
}

Test(gdb_packet, a_wrong_sum_is_told)
{
    cr_assert_eq(FEED("$m0,4#fe"), GDB_EVENT_BAD);
    cr_assert_eq(FEED("$m0,4#x"), GDB_EVENT_BAD);
    cr_assert_eq(FEED("$m0,4#f-"), GDB_EVENT_BAD);
    cr_assert_eq(FEED("$m0,4#fd"), GDB_EVENT_PACKET);
}

Test(gdb_packet, half_a_packet_gives_way_to_the_next)
{
    cr_assert_eq(FEED("$m0,4$g#67"), GDB_EVENT_PACKET);
    cr_assert_str_eq((const char *)reader.data, "g");
    cr_assert_eq(FEED("$m0,4#f$g#67"), GDB_EVENT_PACKET);
    cr_assert_str_eq((const char *)reader.data, "g");
}

Test(gdb_packet, noise_between_packets_is_skipped)
{
    cr_assert_eq(FEED("+++\r\n\xff\x00#12abc$g#67"), GDB_EVENT_PACKET);
}

Test(gdb_packet, interrupt_and_resend_stand_outside_packets)
{
    cr_assert_eq(FEED("\x03"), GDB_EVENT_INTERRUPT);
    cr_assert_eq(FEED("-"), GDB_EVENT_RESEND);
    cr_assert_eq(FEED("$X0,2:\x03-#50"), GDB_EVENT_PACKET);
    cr_assert_eq(reader.length, 7);
}

Test(gdb_packet, the_longest_packet_fits_and_one_more_byte_does_not)
{
    char tail[4];

    for (unsigned more = 0; more < 2; more++) {
        size_t size = (size_t)GDB_PACKET_SIZE + more;

        cr_assert_eq(FEED("$"), GDB_EVENT_NONE);
        for (size_t i = 0; i < size; i++) {
            cr_assert_eq(gdb_reader_feed(&reader, 'a'), GDB_EVENT_NONE);
        }
        snprintf(tail, sizeof(tail), "#%02x", (unsigned)(size * 'a') & 0xff);
        cr_assert_eq(feed(tail, 3), more ? GDB_EVENT_TOO_LONG : GDB_EVENT_PACKET);
    }
    cr_assert_eq(FEED("$g#67"), GDB_EVENT_PACKET);
}

Test(gdb_packet, a_stream_without_an_end_needs_no_memory)
{
    cr_assert_eq(FEED("$"), GDB_EVENT_NONE);
    for (unsigned i = 0; i < 1000000; i++) {
        cr_assert_eq(gdb_reader_feed(&reader, (uint8_t)(i % 3 + 'A')), GDB_EVENT_NONE);
    }
    cr_assert_leq(reader.length, (size_t)GDB_PACKET_SIZE);
}

Test(gdb_packet, text_and_hex_are_framed)
{
    size_t size;

    gdb_packet_text(&packet, "T%02x", 5);
    gdb_packet_hex(&packet, "\x00\xff\x1a", 3);
    size = gdb_packet_end(&packet);
    cr_assert_eq(size, 13);
    cr_assert_arr_eq(packet.data, "$T0500ff1a#77", 13);
}

Test(gdb_packet, binary_is_escaped_and_comes_back)
{
    uint8_t bytes[256], back[512];

    for (unsigned i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (uint8_t)i;
    }
    cr_assert_eq(gdb_packet_binary(&packet, bytes, sizeof(bytes)), sizeof(bytes));
    cr_assert_eq(packet.length, sizeof(bytes) + 4);
    for (size_t i = 0; i < packet.length; i++) {
        cr_assert(!strchr("#$*", packet.data[1 + i]) || packet.data[1 + i] == '\0');
    }
    memcpy(back, packet.data + 1, packet.length);
    cr_assert_eq(gdb_unescape(back, packet.length), sizeof(bytes));
    cr_assert_arr_eq(back, bytes, sizeof(bytes));
}

Test(gdb_packet, an_escape_at_the_end_stays)
{
    uint8_t bytes[] = {'a', '}'};

    cr_assert_eq(gdb_unescape(bytes, 2), 2);
}

Test(gdb_packet, what_does_not_fit_is_left_out)
{
    static uint8_t bytes[GDB_PACKET_SIZE];

    gdb_packet_hex(&packet, bytes, sizeof(bytes));
    cr_assert(packet.full);
    cr_assert_eq(packet.length, (size_t)GDB_PACKET_SIZE);
    cr_assert_eq(gdb_packet_end(&packet), (size_t)GDB_PACKET_SIZE + 4);
    gdb_packet_begin(&packet);
    memset(bytes, '$', sizeof(bytes));
    cr_assert_eq(gdb_packet_binary(&packet, bytes, sizeof(bytes)), sizeof(bytes) / 2);
}

Test(gdb_packet, numbers_have_64_bits_and_an_end)
{
    const char *at = "ffffffffffffffff,";
    uint64_t value;

    cr_assert(gdb_parse_field(&at, &value, ','));
    cr_assert_eq(value, UINT64_MAX);
    cr_assert_eq(*at, '\0');
    at = "10000000000000000";
    cr_assert_not(gdb_parse_hex(&at, &value));
    at = "";
    cr_assert_not(gdb_parse_hex(&at, &value));
    at = "12x";
    cr_assert_not(gdb_parse_field(&at, &value, '\0'));
    at = "-1";
    cr_assert_not(gdb_parse_hex(&at, &value));
}

Test(gdb_packet, hex_bytes_are_exactly_so_many)
{
    uint8_t bytes[2];

    cr_assert(gdb_decode_hex("0aF1", bytes, 2));
    cr_assert_eq(bytes[0], 0x0a);
    cr_assert_eq(bytes[1], 0xf1);
    cr_assert_not(gdb_decode_hex("0aF", bytes, 2));
    cr_assert_not(gdb_decode_hex("0aF1b", bytes, 2));
    cr_assert_not(gdb_decode_hex("0ag1", bytes, 2));
}
