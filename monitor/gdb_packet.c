/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Framing of the gdb remote protocol. See gdb_packet.h.
 *
 * A `$` inside a packet begins a new one: it may not stand there unescaped, so what came before was cut short.
 *
 * GDB manual: "Remote Protocol", "Overview".
 */
#include "monitor/gdb_packet.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { INTERRUPT = 0x03, ESCAPE = '}', ESCAPED = 0x20 };

static const char digits[] = "0123456789abcdef";

/* -1: not a digit */
static int digit_value(uint8_t digit)
{
    return digit >= '0' && digit <= '9'   ? digit - '0'
           : digit >= 'a' && digit <= 'f' ? digit - 'a' + 10
           : digit >= 'A' && digit <= 'F' ? digit - 'A' + 10
                                          : -1;
}

/* ---- In ---- */

static void begin(struct gdb_reader *reader)
{
    reader->state = GDB_INSIDE;
    reader->length = 0;
    reader->sum = 0;
    reader->too_long = false;
}

static enum gdb_event feed_outside(struct gdb_reader *reader, uint8_t byte)
{
    if (byte == '$') {
        begin(reader);
    }
    return byte == INTERRUPT ? GDB_EVENT_INTERRUPT : byte == '-' ? GDB_EVENT_RESEND : GDB_EVENT_NONE;
}

static void feed_inside(struct gdb_reader *reader, uint8_t byte)
{
    if (byte == '#') {
        reader->state = GDB_SUM_HIGH;
        return;
    }
    reader->sum = (uint8_t)(reader->sum + byte);
    if (reader->length < GDB_PACKET_SIZE) {
        reader->data[reader->length++] = byte;
    } else {
        reader->too_long = true;
    }
}

static enum gdb_event finish(struct gdb_reader *reader)
{
    reader->state = GDB_OUTSIDE;
    reader->data[reader->length] = '\0';
    return reader->said != reader->sum ? GDB_EVENT_BAD
           : reader->too_long          ? GDB_EVENT_TOO_LONG
                                       : GDB_EVENT_PACKET;
}

enum gdb_event gdb_reader_feed(struct gdb_reader *reader, uint8_t byte)
{
    int digit = digit_value(byte);

    if (reader->state == GDB_OUTSIDE) {
        return feed_outside(reader, byte);
    }
    if (byte == '$') {
        begin(reader);
        return GDB_EVENT_NONE;
    }
    if (reader->state == GDB_INSIDE) {
        feed_inside(reader, byte);
        return GDB_EVENT_NONE;
    }
    if (digit < 0) {
        reader->state = GDB_OUTSIDE;
        return GDB_EVENT_BAD;
    }
    reader->said = (uint8_t)(reader->said << 4 | digit);
    if (reader->state == GDB_SUM_HIGH) {
        reader->state = GDB_SUM_LOW;
        return GDB_EVENT_NONE;
    }
    return finish(reader);
}

/* ---- Out ---- */

void gdb_packet_begin(struct gdb_packet *packet)
{
    packet->data[0] = '$';
    packet->length = 0;
    packet->full = false;
}

static bool put(struct gdb_packet *packet, const void *bytes, size_t size)
{
    if (size > GDB_PACKET_SIZE - packet->length) {
        packet->full = true;
        return false;
    }
    memcpy(packet->data + 1 + packet->length, bytes, size);
    packet->length += size;
    return true;
}

void gdb_packet_text(struct gdb_packet *packet, const char *format, ...)
{
    char text[512];
    va_list arguments;
    int length;

    va_start(arguments, format);
    length = vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (length > 0) {
        put(packet, text, MIN((size_t)length, sizeof(text) - 1));
    }
}

void gdb_packet_hex(struct gdb_packet *packet, const void *bytes, size_t size)
{
    const uint8_t *byte = bytes;

    for (size_t i = 0; i < size; i++) {
        put(packet, (char[]){digits[byte[i] >> 4], digits[byte[i] & 15]}, 2);
    }
}

size_t gdb_packet_binary(struct gdb_packet *packet, const void *bytes, size_t size)
{
    const uint8_t *byte = bytes;
    size_t i = 0;

    for (bool room = true; room && i < size; i += room) {
        bool escape = byte[i] && strchr("#$}*", byte[i]);

        room = escape ? put(packet, (uint8_t[]){ESCAPE, byte[i] ^ ESCAPED}, 2) : put(packet, &byte[i], 1);
    }
    return i;
}

size_t gdb_packet_end(struct gdb_packet *packet)
{
    uint8_t *end = packet->data + 1 + packet->length, sum = 0;

    for (const uint8_t *byte = packet->data + 1; byte < end; byte++) {
        sum = (uint8_t)(sum + *byte);
    }
    end[0] = '#';
    end[1] = (uint8_t)digits[sum >> 4];
    end[2] = (uint8_t)digits[sum & 15];
    return packet->length + 4;
}

/* ---- Numbers and escapes ---- */

bool gdb_parse_hex(const char **at, uint64_t *value)
{
    unsigned count = 0;
    int digit;

    *value = 0;
    for (; (digit = digit_value((uint8_t) * *at)) >= 0; (*at)++, count++) {
        if (*value >> 60) {
            return false;
        }
        *value = *value << 4 | (uint64_t)digit;
    }
    return count > 0;
}

bool gdb_parse_field(const char **at, uint64_t *value, char behind)
{
    if (!gdb_parse_hex(at, value) || **at != behind) {
        return false;
    }
    *at += behind != '\0';
    return true;
}

bool gdb_decode_hex(const char *text, uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        int high = digit_value((uint8_t)text[2 * i]);
        int low = high < 0 ? -1 : digit_value((uint8_t)text[2 * i + 1]);

        if (low < 0) {
            return false;
        }
        bytes[i] = (uint8_t)(high << 4 | low);
    }
    return text[2 * size] == '\0';
}

size_t gdb_unescape(uint8_t *bytes, size_t size)
{
    size_t length = 0;

    for (size_t i = 0; i < size; i++) {
        bool escaped = bytes[i] == ESCAPE && i + 1 < size;

        bytes[length++] = escaped ? bytes[++i] ^ ESCAPED : bytes[i];
    }
    return length;
}
