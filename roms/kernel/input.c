/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Input: the PS/2 keyboard behind the i8042 and the receiver of COM1 feed one queue of characters.
 *
 * Follows IBM's PS/2 technical reference (scan code set 1, which the i8042 makes of the keyboard's set 2) and
 * the 16550 data sheet. US layout. Ctrl-C does not enter the queue: it ends the task the shell waits for, if
 * there is one. Not modelled: Alt, Num Lock, cursor and function keys, keyboard lights.
 */
#include "roms/kernel/kernel.h"

enum { KBD_DATA = 0x60, KBD_STATUS = 0x64, KBD_COMMAND = 0x64 };
enum { STATUS_OUTPUT_FULL = 0x01, STATUS_INPUT_FULL = 0x02 };
enum { COMMAND_WRITE_BYTE = 0x60, COMMAND_ENABLE = 0xae, KEYBOARD_ENABLE_SCAN = 0xf4 };
enum { BYTE_IRQ1 = 0x01, BYTE_NO_MOUSE = 0x20, BYTE_TRANSLATE = 0x40 };
enum { COM1 = 0x3f8, IER = 1, LSR = 5, LSR_DATA_READY = 0x01 };
enum {
    KEY_LEFT_SHIFT = 0x2a,
    KEY_RIGHT_SHIFT = 0x36,
    KEY_CTRL = 0x1d,
    KEY_CAPS_LOCK = 0x3a,
    KEY_RELEASED = 0x80
};
enum { PATIENCE = 100000, CTRL_C = 3 };

/* By scan code; 0 where there is no character. */
static const char plain_keys[] = "\0\x1b"
                                 "1234567890-=\b\tqwertyuiop[]\n\0asdfghjkl;'`\0\\zxcvbnm,./\0*\0 ";
static const char shift_keys[] = "\0\x1b"
                                 "!@#$%^&*()_+\b\tQWERTYUIOP{}\n\0ASDFGHJKL:\"~\0|ZXCVBNM<>?\0*\0 ";

static char queue[128];
static unsigned queue_in, queue_out; /* counted on for ever; queue_in - queue_out are waiting */
static bool shift, ctrl, caps_lock, extended;

static void keyboard_send(uint16_t port, uint8_t value)
{
    for (unsigned i = 0; i < PATIENCE && (in8(KBD_STATUS) & STATUS_INPUT_FULL); i++) {
        continue;
    }
    out8(port, value);
}

static void keyboard_drain(void)
{
    for (unsigned i = 0; i < 32 && (in8(KBD_STATUS) & STATUS_OUTPUT_FULL); i++) {
        in8(KBD_DATA);
    }
}

void input_setup(void)
{
    keyboard_drain();
    keyboard_send(KBD_COMMAND, COMMAND_ENABLE);
    keyboard_send(KBD_COMMAND, COMMAND_WRITE_BYTE);
    keyboard_send(KBD_DATA, BYTE_IRQ1 | BYTE_NO_MOUSE | BYTE_TRANSLATE);
    keyboard_send(KBD_DATA, KEYBOARD_ENABLE_SCAN);
    chips_enable_irq(IRQ_KEYBOARD);
    if (console_has_serial()) {
        out8(COM1 + IER, 0x01); /* interrupt when a byte has come */
        chips_enable_irq(IRQ_COM1);
    }
}

static void enqueue(char c)
{
    if (queue_in - queue_out < sizeof queue) {
        queue[queue_in++ % sizeof queue] = c;
        task_input_arrived();
    }
}

int input_read(void)
{
    return queue_in == queue_out ? -1 : (uint8_t)queue[queue_out++ % sizeof queue];
}

/* Ctrl-C ends the program that another one waits for, or else is a character like any. This may be the end of the running
 * task: the chips must have been served by then. */
static void interrupt(void)
{
    if (!task_interrupt()) {
        enqueue(CTRL_C);
    }
}

static char key_character(uint8_t key)
{
    char c;

    if (key >= sizeof plain_keys - 1) {
        return 0;
    }
    c = shift ? shift_keys[key] : plain_keys[key];
    if (caps_lock && plain_keys[key] >= 'a' && plain_keys[key] <= 'z') {
        c ^= 0x20;
    }
    return ctrl ? (char)(c & 0x1f) : c;
}

/* One byte of scan code. E0h announces a key that the first PC did not have; only its Ctrl and Enter mean something. */
static void scan_code(uint8_t code)
{
    bool down = (code & KEY_RELEASED) == 0;
    bool was_extended = extended;
    uint8_t key = code & (uint8_t)~KEY_RELEASED;

    extended = code == 0xe0;
    if (extended) {
        return;
    }
    if (key == KEY_CTRL) {
        ctrl = down;
    } else if (was_extended && key != 0x1c) {
        return;
    } else if (key == KEY_LEFT_SHIFT || key == KEY_RIGHT_SHIFT) {
        shift = down;
    } else if (key == KEY_CAPS_LOCK) {
        caps_lock ^= down;
    } else if (down && key_character(key) == CTRL_C) {
        interrupt();
    } else if (down && key_character(key) != 0) {
        enqueue(key_character(key));
    }
}

void input_keyboard_irq(void)
{
    if (in8(KBD_STATUS) & STATUS_OUTPUT_FULL) {
        scan_code(in8(KBD_DATA));
    }
}

/* Empty the receiver in any case: its interrupt line must fall before it can rise again. */
void input_serial_irq(void)
{
    bool interrupted = false;

    while (in8(COM1 + LSR) & LSR_DATA_READY) {
        char c = (char)in8(COM1);
        if (c == CTRL_C) {
            interrupted = true;
        } else {
            enqueue(c == '\r' ? '\n' : c);
        }
    }
    if (interrupted) {
        interrupt();
    }
}
