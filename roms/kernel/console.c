/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Output: everything goes to the 80x25 text screen and to COM1.
 *
 * Follows IBM's VGA text mode (B8000h, character and attribute bytes, cursor in CRTC registers 0Eh and 0Fh)
 * and the 16550 data sheet. The screen understands what the serial terminal gets: ESC [ n ; n m with colours
 * 30-37 and 40-47, 0 and 1, and ESC [ 2 J. Not modelled: other video modes, scrolling back, interrupt-driven
 * output.
 */
#include "roms/kernel/kernel.h"

enum { COLUMNS = 80, ROWS = 25, PLAIN = 0x07 };
enum { CRTC = 0x3d4, COM1 = 0x3f8 };
enum { IER = 1, FCR = 2, LCR = 3, MCR = 4, LSR = 5, SCR = 7, LSR_THR_EMPTY = 0x20 };

static volatile uint16_t *const screen = (volatile uint16_t *)0xb8000;
static unsigned row, column;
static uint8_t attribute = PLAIN;
static unsigned escape;       /* 0 outside, 1 after ESC, 2 after ESC [ */
static unsigned escape_value; /* the number being read */
static bool has_serial;

bool console_has_serial(void)
{
    return has_serial;
}

static void serial_setup(void)
{
    out8(COM1 + SCR, 0x5a);
    has_serial = in8(COM1 + SCR) == 0x5a;
    out8(COM1 + IER, 0);
    out8(COM1 + LCR, 0x80); /* divisor latch */
    out8(COM1 + 0, 1);      /* 115200 baud */
    out8(COM1 + 1, 0);
    out8(COM1 + LCR, 0x03); /* 8N1 */
    out8(COM1 + FCR, 0x07); /* FIFOs on and empty, interrupt at one byte */
    out8(COM1 + MCR, 0x0b); /* DTR, RTS, OUT2: the interrupt line's gate */
}

static void serial_put(char c)
{
    if (c == '\n') {
        serial_put('\r');
    }
    while ((in8(COM1 + LSR) & LSR_THR_EMPTY) == 0) {
        continue;
    }
    out8(COM1, (uint8_t)c);
}

static void screen_clear(void)
{
    for (unsigned i = 0; i < COLUMNS * ROWS; i++) {
        screen[i] = PLAIN << 8 | ' ';
    }
    row = column = 0;
}

static void screen_new_line(void)
{
    column = 0;
    if (++row < ROWS) {
        return;
    }
    row = ROWS - 1;
    for (unsigned i = 0; i < COLUMNS * (ROWS - 1); i++) {
        screen[i] = screen[i + COLUMNS];
    }
    for (unsigned i = COLUMNS * (ROWS - 1); i < COLUMNS * ROWS; i++) {
        screen[i] = PLAIN << 8 | ' ';
    }
}

/* Terminals count colours red 1, green 2, blue 4; the VGA counts blue 1, green 2, red 4. */
static uint8_t vga_colour(unsigned ansi)
{
    return (uint8_t)((ansi & 1) << 2 | (ansi & 2) | (ansi & 4) >> 2);
}

static void apply_colour(unsigned value)
{
    if (value == 0) {
        attribute = PLAIN;
    } else if (value == 1) {
        attribute |= 0x08;
    } else if (value >= 30 && value <= 37) {
        attribute = (uint8_t)((attribute & 0xf8) | vga_colour(value - 30));
    } else if (value >= 40 && value <= 47) {
        attribute = (uint8_t)((attribute & 0x8f) | vga_colour(value - 40) << 4);
    }
}

/* One character of an escape sequence; `escape` tells how far it has come. */
static void escape_put(char c)
{
    if (escape == 1) {
        escape = c == '[' ? 2 : 0;
        escape_value = 0;
    } else if (c >= '0' && c <= '9') {
        escape_value = (escape_value * 10 + (unsigned)(c - '0')) % 1000;
    } else if (c == 'm' || c == ';') {
        apply_colour(escape_value);
        escape_value = 0;
        escape = c == 'm' ? 0 : 2;
    } else {
        if (c == 'J' && escape_value == 2) {
            screen_clear();
        }
        escape = 0;
    }
}

static void screen_put(char c)
{
    if (escape != 0) {
        escape_put(c);
    } else if (c == '\x1b') {
        escape = 1;
    } else if (c == '\n') {
        screen_new_line();
    } else if (c == '\r') {
        column = 0;
    } else if (c == '\b') {
        column -= column > 0;
    } else if (c >= ' ') {
        screen[row * COLUMNS + column] = (uint16_t)(attribute << 8 | (uint8_t)c);
        if (++column == COLUMNS) {
            screen_new_line();
        }
    }
}

static void cursor_show(void)
{
    unsigned position = row * COLUMNS + column;

    out8(CRTC, 0x0e);
    out8(CRTC + 1, (uint8_t)(position >> 8));
    out8(CRTC, 0x0f);
    out8(CRTC + 1, (uint8_t)position);
}

void console_setup(void)
{
    serial_setup();
    screen_clear();
    cursor_show();
}

void console_write(const char *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        screen_put(bytes[i]);
        if (has_serial) {
            serial_put(bytes[i]);
        }
    }
    cursor_show();
}

void console_printf(const char *format, ...)
{
    char text[160];
    va_list arguments;

    va_start(arguments, format);
    console_write(text, format_text(text, sizeof text, format, arguments));
    va_end(arguments);
}

/* The kernel found itself in a state that must not be. Say so, and stop everything. */
void console_panic(const char *what, const struct trap_frame *frame)
{
    console_printf("\n\x1b[1;37;41mAlexandria stops: %s\x1b[0m\n", what);
    if (frame != NULL) {
        console_printf("vector %u error %x eip %08x cs %04x eflags %08x\n", frame->vector, frame->error_code,
                       frame->eip, frame->cs, frame->eflags);
        console_printf("eax %08x ebx %08x ecx %08x edx %08x\n", frame->eax, frame->ebx, frame->ecx,
                       frame->edx);
        console_printf("esi %08x edi %08x ebp %08x\n", frame->esi, frame->edi, frame->ebp);
    }
    for (;;) {
        __asm__ volatile("cli\n\thlt");
    }
}
