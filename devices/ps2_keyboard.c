/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * PS/2 keyboard (IBM Personal System/2 Hardware Interface Technical Reference, "101- and 102-key keyboards").
 *
 *             make        break           with E0h prefix in sets 1 and 2
 *   set 1     xx          xx | 80h        E0 xx      E0 xx|80h
 *   set 2     yy          F0 yy           E0 yy      E0 F0 yy
 *   set 3     zz          F0 zz           every key has a code of its own
 *
 * Keys are kept as their set 1 code; the code of set 2 follows from one table, prefix or not, as the
 * controller's translation does the other way round.
 *
 * DEVIATION: the basic assurance test (AAh after a reset) takes no time and is not sent at power-on. By
 * default, set 3 has break codes for the shifting keys and repeats the others; the original has a third kind.
 * Not modelled: the shift codes that a keyboard wraps round its cursor keys when Num Lock or Shift is on.
 */
#include "devices/ps2_keyboard.h"

#include <stdlib.h>

enum {
    COMMAND_SET_LEDS = 0xed, /* the lowest command; lower bytes are parameters */
    COMMAND_ECHO = 0xee,
    COMMAND_SCAN_CODE_SET = 0xf0,
    COMMAND_IDENTIFY = 0xf2,
    COMMAND_RATE = 0xf3,
    COMMAND_ENABLE = 0xf4,
    COMMAND_DISABLE = 0xf5,
    COMMAND_DEFAULTS = 0xf6,
    COMMAND_ALL_TYPEMATIC = 0xf7, /* f7..fa: all keys of set 3 */
    COMMAND_ALL_BOTH = 0xfa,
    COMMAND_KEY_TYPEMATIC = 0xfb, /* fb..fd: the keys that follow */
    COMMAND_KEY_MAKE = 0xfd,
    ECHO_REPLY = 0xee,
    PREFIX_E0 = 0xe0,
    PREFIX_BREAK = 0xf0,
    DEFAULT_RATE = 0x2b, /* 500 ms, 10.9 a second */
};

#define EXTENDED 0x80 /* in a key's index: it has the prefix E0h */

/* Index of a key in tables and bit maps: set 1 code, EXTENDED added for E0h. 0: no such key. */
static uint8_t key_index(enum key key)
{
    unsigned prefix = (unsigned)key >> 8, code = key & 0xff;

    if (code == 0 || code >= 0x80 || (prefix != 0 && prefix != PREFIX_E0)) {
        return 0;
    }
    return code | (prefix ? EXTENDED : 0);
}

static const uint8_t set2_code[128] = {
    0x00, 0x76, 0x16, 0x1e, 0x26, 0x25, 0x2e, 0x36, 0x3d, 0x3e, 0x46, 0x45, 0x4e, 0x55, 0x66, 0x0d, /* 00 */
    0x15, 0x1d, 0x24, 0x2d, 0x2c, 0x35, 0x3c, 0x43, 0x44, 0x4d, 0x54, 0x5b, 0x5a, 0x14, 0x1c, 0x1b, /* 10 */
    0x23, 0x2b, 0x34, 0x33, 0x3b, 0x42, 0x4b, 0x4c, 0x52, 0x0e, 0x12, 0x5d, 0x1a, 0x22, 0x21, 0x2a, /* 20 */
    0x32, 0x31, 0x3a, 0x41, 0x49, 0x4a, 0x59, 0x7c, 0x11, 0x29, 0x58, 0x05, 0x06, 0x04, 0x0c, 0x03, /* 30 */
    0x0b, 0x83, 0x0a, 0x01, 0x09, 0x77, 0x7e, 0x6c, 0x75, 0x7d, 0x7b, 0x6b, 0x73, 0x74, 0x79, 0x69, /* 40 */
    0x72, 0x7a, 0x70, 0x71, 0x84, 0x60, 0x61, 0x78, 0x07, 0x0f, 0x17, 0x1f, 0x27, 0x2f, 0x37, 0x3f, /* 50 */
    0x47, 0x4f, 0x56, 0x5e, 0x08, 0x10, 0x18, 0x20, 0x28, 0x30, 0x38, 0x40, 0x48, 0x50, 0x57, 0x6f, /* 60 */
    0x13, 0x19, 0x39, 0x51, 0x53, 0x5c, 0x5f, 0x62, 0x63, 0x64, 0x65, 0x67, 0x68, 0x6a, 0x6d, 0x6e, /* 70 */
};

/* 0: the key has no code in set 3. */
static const uint8_t set3_code[256] = {
    /* 01 Esc, 1..0, - = */
    0x00, 0x08, 0x16, 0x1e, 0x26, 0x25, 0x2e, 0x36, 0x3d, 0x3e, 0x46, 0x45, 0x4e, 0x55, 0x66, 0x0d,
    /* 10 Q..P, [ ] Enter, Ctrl, A S */
    0x15, 0x1d, 0x24, 0x2d, 0x2c, 0x35, 0x3c, 0x43, 0x44, 0x4d, 0x54, 0x5b, 0x5a, 0x11, 0x1c, 0x1b,
    /* 20 D..L ; ' ` Shift \ Z X C V */
    0x23, 0x2b, 0x34, 0x33, 0x3b, 0x42, 0x4b, 0x4c, 0x52, 0x0e, 0x12, 0x5c, 0x1a, 0x22, 0x21, 0x2a,
    /* 30 B N M , . / Shift * Alt Space Caps F1..F5 */
    0x32, 0x31, 0x3a, 0x41, 0x49, 0x4a, 0x59, 0x7e, 0x19, 0x29, 0x14, 0x07, 0x0f, 0x17, 0x1f, 0x27,
    /* 40 F6..F10, Num, Scroll, keypad */
    0x2f, 0x37, 0x3f, 0x47, 0x4f, 0x76, 0x5f, 0x6c, 0x75, 0x7d, 0x84, 0x6b, 0x73, 0x74, 0x7c, 0x69,
    /* 50 keypad, 102nd key, F11, F12 */
    0x72, 0x7a, 0x70, 0x71, 0x57, 0x00, 0x13, 0x56, 0x5e, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, [0x70] = 0x87,      /* Katakana */
    [0x73] = 0x51,            /* Ro */
    [0x79] = 0x86,            /* Henkan */
    [0x7b] = 0x85,            /* Muhenkan */
    [0x7d] = 0x5d,            /* Yen */
    [EXTENDED | 0x1c] = 0x79, /* keypad Enter */
    [EXTENDED | 0x1d] = 0x58, /* right Ctrl */
    [EXTENDED | 0x35] = 0x77, /* keypad / */
    [EXTENDED | 0x37] = 0x57, /* Print Screen */
    [EXTENDED | 0x38] = 0x39, /* right Alt */
    [EXTENDED | 0x46] = 0x62, /* Pause */
    [EXTENDED | 0x47] = 0x6e, /* Home */
    [EXTENDED | 0x48] = 0x63, /* Up */
    [EXTENDED | 0x49] = 0x6f, /* Page Up */
    [EXTENDED | 0x4b] = 0x61, /* Left */
    [EXTENDED | 0x4d] = 0x6a, /* Right */
    [EXTENDED | 0x4f] = 0x65, /* End */
    [EXTENDED | 0x50] = 0x60, /* Down */
    [EXTENDED | 0x51] = 0x6d, /* Page Down */
    [EXTENDED | 0x52] = 0x67, /* Insert */
    [EXTENDED | 0x53] = 0x64, /* Delete */
    [EXTENDED | 0x5b] = 0x8b, /* left Meta */
    [EXTENDED | 0x5c] = 0x8c, /* right Meta */
    [EXTENDED | 0x5d] = 0x8d, /* Menu */
};

/* Keys that have a break code in set 3 without being asked to: Ctrl, Shift, Alt, Caps Lock. */
static const uint8_t set3_shifting[] = {0x11, 0x12, 0x14, 0x19, 0x39, 0x58, 0x59};

static bool bit_get(const uint8_t *map, uint8_t n)
{
    return map[n / 8] & BIT(n % 8);
}

static void bit_set(uint8_t *map, uint8_t n, bool value)
{
    map[n / 8] = value ? map[n / 8] | BIT(n % 8) : map[n / 8] & ~BIT(n % 8);
}

/* -- scan codes ------------------------------------------------------------------------------------------ */

struct sequence {
    uint8_t bytes[8];
    unsigned length;
};

static void append(struct sequence *seq, uint8_t byte)
{
    if (seq->length < sizeof(seq->bytes)) {
        seq->bytes[seq->length++] = byte;
    }
}

/* One code of set 1 or 2, without prefix. */
static void append_code(struct sequence *seq, unsigned set, uint8_t code, bool down)
{
    if (set == 1) {
        append(seq, down ? code : code | 0x80);
        return;
    }
    if (!down) {
        append(seq, PREFIX_BREAK);
    }
    append(seq, set2_code[code & 0x7f]);
}

static void append_key(struct sequence *seq, unsigned set, uint8_t index, bool down)
{
    if (index & EXTENDED) {
        append(seq, PREFIX_E0);
    }
    append_code(seq, set, index & 0x7f, down);
}

static bool is_down(const struct ps2_keyboard *keyboard, enum key a, enum key b)
{
    return bit_get(keyboard->down, key_index(a)) || bit_get(keyboard->down, key_index(b));
}

/* Print Screen: alone it comes with a left Shift, with Alt it is SysRq. */
static void print_screen(const struct ps2_keyboard *keyboard, struct sequence *seq, bool down)
{
    uint8_t shift = key_index(KEY_LEFT_SHIFT) | EXTENDED, itself = key_index(KEY_PRINT_SCREEN);
    bool plain = is_down(keyboard, KEY_LEFT_CTRL, KEY_RIGHT_CTRL) ||
                 is_down(keyboard, KEY_LEFT_SHIFT, KEY_RIGHT_SHIFT);

    if (is_down(keyboard, KEY_LEFT_ALT, KEY_RIGHT_ALT)) {
        append_key(seq, keyboard->set, key_index(KEY_SYSRQ), down);
        return;
    }
    if (down && !plain) {
        append_key(seq, keyboard->set, shift, true);
    }
    append_key(seq, keyboard->set, itself, down);
    if (!down && !plain) {
        append_key(seq, keyboard->set, shift, false);
    }
}

/* Pause: make and break at once, when it goes down; with Ctrl it is Break. */
static void pause_break(const struct ps2_keyboard *keyboard, struct sequence *seq, bool down)
{
    if (!down) {
        return;
    }
    if (is_down(keyboard, KEY_LEFT_CTRL, KEY_RIGHT_CTRL)) {
        append_key(seq, keyboard->set, key_index(KEY_PAUSE), true);
        append_key(seq, keyboard->set, key_index(KEY_PAUSE), false);
        return;
    }
    for (unsigned i = 0; i < 2; i++) {
        append(seq, 0xe1);
        append_code(seq, keyboard->set, KEY_LEFT_CTRL, i == 0);
        append_code(seq, keyboard->set, KEY_NUM_LOCK, i == 0);
    }
}

static struct sequence key_sequence(const struct ps2_keyboard *keyboard, uint8_t index, bool down)
{
    struct sequence seq = {.length = 0};

    if (keyboard->set == 3) {
        if (set3_code[index] && (down || !bit_get(keyboard->set3_silent, set3_code[index]))) {
            if (!down) {
                append(&seq, PREFIX_BREAK);
            }
            append(&seq, set3_code[index]);
        }
    } else if (index == key_index(KEY_PRINT_SCREEN)) {
        print_screen(keyboard, &seq, down);
    } else if (index == key_index(KEY_PAUSE)) {
        pause_break(keyboard, &seq, down);
    } else {
        append_key(&seq, keyboard->set, index, down);
    }
    return seq;
}

/* Queue a key's codes. The queue's last byte is kept for the overrun code: keys were lost. */
static bool send_sequence(struct ps2_keyboard *keyboard, const struct sequence *seq)
{
    struct ps2_queue *events = &keyboard->port.events;
    uint8_t overrun = keyboard->set == 1 ? 0xff : 0x00;

    if (events->count + seq->length < PS2_QUEUE_SIZE) {
        return seq->length == 0 || ps2_event(&keyboard->port, seq->bytes, seq->length);
    }
    if (events->bytes[(events->head + events->count - 1) % PS2_QUEUE_SIZE] != overrun) {
        ps2_event(&keyboard->port, &overrun, 1);
    }
    return false;
}

/* -- keys and repetition --------------------------------------------------------------------------------- */

static void repeat_after(struct ps2_keyboard *keyboard, uint64_t ns)
{
    timer_arm(&keyboard->typematic, clock_now(keyboard->device.board->clock) + ns);
}

/* Rate parameter: (1 + bits 6:5) * 250 ms, then (8 + bits 2:0) * 2^(bits 4:3) / 240 s. */
static uint64_t delay_ns(const struct ps2_keyboard *keyboard)
{
    return (1 + (keyboard->rate >> 5 & 3)) * (NS_PER_SEC / 4);
}

static uint64_t period_ns(const struct ps2_keyboard *keyboard)
{
    return (8ull + (keyboard->rate & 7)) * (1u << (keyboard->rate >> 3 & 3)) * NS_PER_SEC / 240;
}

static bool repeats(const struct ps2_keyboard *keyboard, uint8_t index)
{
    if (keyboard->set == 3) {
        return !bit_get(keyboard->set3_single, set3_code[index]);
    }
    return index != key_index(KEY_PAUSE);
}

static void stop_repeating(struct ps2_keyboard *keyboard)
{
    keyboard->repeated = 0;
    timer_disarm(&keyboard->typematic);
}

/* A guest that does not read is not given more of the same. */
static void typematic_fire(void *opaque)
{
    struct ps2_keyboard *keyboard = opaque;
    uint8_t index = keyboard->repeated;

    if (index == 0) {
        return;
    }
    if (keyboard->scanning && keyboard->port.events.count == 0) {
        struct sequence seq = key_sequence(keyboard, index, true);

        send_sequence(keyboard, &seq);
    }
    repeat_after(keyboard, period_ns(keyboard));
}

void ps2_keyboard_key(struct ps2_keyboard *keyboard, enum key key, bool down)
{
    uint8_t index = key_index(key);
    struct sequence seq;

    if (index == 0 || down == bit_get(keyboard->down, index)) {
        return;
    }
    seq = key_sequence(keyboard, index, down);
    if (keyboard->scanning && !send_sequence(keyboard, &seq) && down) {
        return; /* lost: as if it had not been pressed */
    }
    bit_set(keyboard->down, index, down);
    if (!down && keyboard->repeated == index) {
        stop_repeating(keyboard);
    } else if (down && repeats(keyboard, index)) {
        keyboard->repeated = index;
        repeat_after(keyboard, delay_ns(keyboard));
    }
}

/* -- commands -------------------------------------------------------------------------------------------- */

/* Types of one key of set 3, in the order of commands F7..FA and FB..FD. */
static void set_key_type(struct ps2_keyboard *keyboard, uint8_t code, unsigned type)
{
    bit_set(keyboard->set3_silent, code, type == 0 || type == 2); /* typematic, make only */
    bit_set(keyboard->set3_single, code, type == 1 || type == 2); /* make/break, make only */
}

static void set_all_types(struct ps2_keyboard *keyboard, unsigned type)
{
    for (unsigned code = 0; code < 256; code++) {
        set_key_type(keyboard, code, type);
    }
}

static void set_defaults(struct ps2_keyboard *keyboard)
{
    ps2_port_reset(&keyboard->port);
    stop_repeating(keyboard);
    keyboard->rate = DEFAULT_RATE;
    keyboard->set = 2;
    keyboard->leds = 0;
    set_all_types(keyboard, 0);
    for (unsigned i = 0; i < ARRAY_LEN(set3_shifting); i++) {
        set_key_type(keyboard, set3_shifting[i], 1);
    }
}

static void write_scan_code_set(struct ps2_keyboard *keyboard, uint8_t set)
{
    if (set > 3) {
        ps2_reply(&keyboard->port, PS2_RESEND);
        return;
    }
    ps2_reply(&keyboard->port, PS2_ACK);
    if (set == 0) {
        ps2_reply(&keyboard->port, keyboard->set);
    } else {
        keyboard->port.events = (struct ps2_queue){.count = 0};
        keyboard->set = set;
    }
}

static void write_parameter(struct ps2_keyboard *keyboard, uint8_t value)
{
    uint8_t command = keyboard->command;

    if (command == COMMAND_SCAN_CODE_SET) {
        keyboard->command = 0;
        write_scan_code_set(keyboard, value);
        return;
    }
    if (command == COMMAND_SET_LEDS) {
        keyboard->leds = value & 7;
    } else if (command == COMMAND_RATE) {
        keyboard->rate = value & 0x7f;
    } else { /* a list of keys, up to the next command */
        set_key_type(keyboard, value, command - COMMAND_KEY_TYPEMATIC);
        ps2_reply(&keyboard->port, PS2_ACK);
        return;
    }
    keyboard->command = 0;
    ps2_reply(&keyboard->port, PS2_ACK);
}

/* F7..FD: how keys of set 3 behave; false if it is none of these. */
static bool write_type_command(struct ps2_keyboard *keyboard, uint8_t command)
{
    if (command >= COMMAND_ALL_TYPEMATIC && command <= COMMAND_ALL_BOTH) {
        set_all_types(keyboard, command - COMMAND_ALL_TYPEMATIC);
        return true;
    }
    keyboard->command = command >= COMMAND_KEY_TYPEMATIC && command <= COMMAND_KEY_MAKE ? command : 0;
    return keyboard->command != 0;
}

static void write_command(struct ps2_keyboard *keyboard, uint8_t command)
{
    struct ps2_port *port = &keyboard->port;

    switch (command) {
    case COMMAND_ECHO:
        ps2_reply(port, ECHO_REPLY);
        return;
    case PS2_COMMAND_RESEND:
        ps2_reply(port, port->last_taken);
        return;
    case COMMAND_SET_LEDS:
    case COMMAND_SCAN_CODE_SET:
    case COMMAND_RATE:
        keyboard->command = command;
        break;
    case COMMAND_IDENTIFY:
        ps2_reply(port, PS2_ACK);
        ps2_reply(port, 0xab);
        ps2_reply(port, 0x83);
        return;
    case COMMAND_ENABLE:
        port->events = (struct ps2_queue){.count = 0};
        keyboard->scanning = true;
        break;
    case COMMAND_DISABLE:
    case COMMAND_DEFAULTS:
        set_defaults(keyboard);
        keyboard->scanning &= command == COMMAND_DEFAULTS;
        break;
    case PS2_COMMAND_RESET:
        set_defaults(keyboard);
        keyboard->scanning = true;
        ps2_reply(port, PS2_ACK);
        ps2_reply(port, PS2_SELF_TEST_PASSED);
        return;
    default:
        if (!write_type_command(keyboard, command)) {
            ps2_reply(port, PS2_RESEND);
            return;
        }
    }
    ps2_reply(port, PS2_ACK);
}

void ps2_keyboard_write(struct ps2_keyboard *keyboard, uint8_t byte)
{
    if (keyboard->command && byte < COMMAND_SET_LEDS) {
        write_parameter(keyboard, byte);
    } else {
        keyboard->command = 0;
        write_command(keyboard, byte);
    }
}

/* -- life ------------------------------------------------------------------------------------------------ */

static void ps2_keyboard_reset(struct device *device)
{
    struct ps2_keyboard *keyboard = CONTAINER_OF(device, struct ps2_keyboard, device);

    set_defaults(keyboard);
    keyboard->port.last_taken = 0;
    keyboard->command = 0;
    keyboard->scanning = true;
    memset(keyboard->down, 0, sizeof(keyboard->down));
}

static void ps2_keyboard_fini(struct device *device)
{
    struct ps2_keyboard *keyboard = CONTAINER_OF(device, struct ps2_keyboard, device);

    timer_disarm(&keyboard->typematic);
    free(keyboard);
}

static const struct snap_field ps2_keyboard_fields[] = {
    SNAP_STRUCTS(struct ps2_keyboard, port, 1, ps2_port_fields),
    SNAP_UINT(struct ps2_keyboard, command),
    SNAP_RANGE(struct ps2_keyboard, set, 1, 3),
    SNAP_BOOL(struct ps2_keyboard, scanning),
    SNAP_RANGE(struct ps2_keyboard, leds, 0, 7),
    SNAP_RANGE(struct ps2_keyboard, rate, 0, 0x7f),
    SNAP_BYTES(struct ps2_keyboard, down),
    SNAP_RANGE(struct ps2_keyboard, repeated, 0, 0xff),
    SNAP_TIMER(struct ps2_keyboard, typematic),
    SNAP_BYTES(struct ps2_keyboard, set3_silent),
    SNAP_BYTES(struct ps2_keyboard, set3_single),
};

static const struct snap_desc ps2_keyboard_snap = {
    .name = "ps2_keyboard", .version = 1, SNAP_FIELDS(ps2_keyboard_fields)};

static const struct device_ops ps2_keyboard_ops = {.name = "ps2_keyboard",
                                                   .reset = ps2_keyboard_reset,
                                                   .fini = ps2_keyboard_fini,
                                                   .snap = &ps2_keyboard_snap};

struct ps2_keyboard *ps2_keyboard_create(struct board *board, void (*ready)(void *opaque), void *opaque)
{
    struct ps2_keyboard *keyboard = calloc(1, sizeof(*keyboard));

    if (!keyboard) {
        return NULL;
    }
    keyboard->port.ready = ready;
    keyboard->port.opaque = opaque;
    timer_init(&keyboard->typematic, board->clock, "ps2_keyboard typematic", typematic_fire, keyboard);
    device_init(&keyboard->device, &ps2_keyboard_ops, board, NULL);
    ps2_keyboard_reset(&keyboard->device);
    return keyboard;
}
