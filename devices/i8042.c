/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * i8042 keyboard controller (IBM Personal System/2 Hardware Interface Technical Reference, "Keyboard and
 * auxiliary device controller"; Intel UPI-41AH/42AH data sheet).
 *
 *                        7     6     5     4     3     2     1     0
 *   64h read, status  [ PERR   TO   AUXB   1    CMD   SYS   IBF   OBF  ]
 *   command byte      [  0    XLAT  /AUX  /KBD   0    SYS  INT12 INT1  ]   /AUX, /KBD: 1 = cable held
 *   output port       [ KDAT  KCLK  IRQ12 IRQ1  MCLK  MDAT  A20  /RES  ]
 *
 *   keyboard --+                        +--> IRQ1
 *              +--> output buffer, 60h -+
 *   mouse -----+         ^              +--> IRQ12
 *                 controller's replies
 *
 * The controller's own replies go into the output buffer at once or as soon as it is free; a byte of a device
 * takes BYTE_NS on the cable, so that a handler that reads port 60h twice sees one byte.
 *
 * DEVIATION: BYTE_NS is shorter than the cable's 11 bits. After reset the command byte is what firmware
 * leaves behind: translation and IRQ1 on. Not modelled: the security password, the diagnostic dump,
 * time-outs.
 */
#include "devices/i8042.h"

#include <stdlib.h>

#define BYTE_NS 100000u

#define STATUS_OBF  0x01
#define STATUS_SYS  0x04
#define STATUS_CMD  0x08
#define STATUS_FREE 0x10 /* the key lock is open */
#define STATUS_AUXB 0x20

#define CCB_INT1  0x01
#define CCB_INT12 0x02
#define CCB_SYS   0x04
#define CCB_KBD   0x10
#define CCB_AUX   0x20
#define CCB_XLAT  0x40
#define CCB_RESET (CCB_INT1 | CCB_XLAT)

#define PORT_RESET 0x01
#define PORT_A20   0x02
#define PORT_IRQ1  0x10
#define PORT_IRQ12 0x20
#define PORT_IDLE  0xcc /* clock and data lines of both cables */

#define INPUT_PORT 0x80 /* the key lock is open */

enum {
    COMMAND_READ_RAM = 0x20,  /* 20..3f */
    COMMAND_WRITE_RAM = 0x60, /* 60..7f */
    COMMAND_TEST_PASSWORD = 0xa4,
    COMMAND_LOAD_PASSWORD = 0xa5,
    COMMAND_DISABLE_AUX = 0xa7,
    COMMAND_ENABLE_AUX = 0xa8,
    COMMAND_TEST_AUX = 0xa9,
    COMMAND_SELF_TEST = 0xaa,
    COMMAND_TEST_KEYBOARD = 0xab,
    COMMAND_DISABLE_KEYBOARD = 0xad,
    COMMAND_ENABLE_KEYBOARD = 0xae,
    COMMAND_READ_INPUT_PORT = 0xc0,
    COMMAND_READ_OUTPUT_PORT = 0xd0,
    COMMAND_WRITE_OUTPUT_PORT = 0xd1,
    COMMAND_WRITE_KEYBOARD_BUFFER = 0xd2,
    COMMAND_WRITE_AUX_BUFFER = 0xd3,
    COMMAND_WRITE_AUX = 0xd4,
    COMMAND_DISABLE_A20 = 0xdd,
    COMMAND_ENABLE_A20 = 0xdf,
    COMMAND_READ_TEST_INPUTS = 0xe0,
    COMMAND_PULSE = 0xf0, /* f0..ff: bits 3..0 clear: pulse these bits of the output port low */
    SELF_TEST_PASSED = 0x55,
    NO_PASSWORD = 0xf1,
};

/* Codes of set 2 as codes of set 1. Above the table codes stay, but for 83h and 84h. */
static const uint8_t translation[128] = {
    0xff, 0x43, 0x41, 0x3f, 0x3d, 0x3b, 0x3c, 0x58, 0x64, 0x44, 0x42, 0x40, 0x3e, 0x0f, 0x29, 0x59, /* 00 */
    0x65, 0x38, 0x2a, 0x70, 0x1d, 0x10, 0x02, 0x5a, 0x66, 0x71, 0x2c, 0x1f, 0x1e, 0x11, 0x03, 0x5b, /* 10 */
    0x67, 0x2e, 0x2d, 0x20, 0x12, 0x05, 0x04, 0x5c, 0x68, 0x39, 0x2f, 0x21, 0x14, 0x13, 0x06, 0x5d, /* 20 */
    0x69, 0x31, 0x30, 0x23, 0x22, 0x15, 0x07, 0x5e, 0x6a, 0x72, 0x32, 0x24, 0x16, 0x08, 0x09, 0x5f, /* 30 */
    0x6b, 0x33, 0x25, 0x17, 0x18, 0x0b, 0x0a, 0x60, 0x6c, 0x34, 0x35, 0x26, 0x27, 0x19, 0x0c, 0x61, /* 40 */
    0x6d, 0x73, 0x28, 0x74, 0x1a, 0x0d, 0x62, 0x6e, 0x3a, 0x36, 0x1c, 0x1b, 0x75, 0x2b, 0x63, 0x76, /* 50 */
    0x55, 0x56, 0x77, 0x78, 0x79, 0x7a, 0x0e, 0x7b, 0x7c, 0x4f, 0x7d, 0x4b, 0x47, 0x7e, 0x7f, 0x6f, /* 60 */
    0x52, 0x53, 0x50, 0x4c, 0x4d, 0x48, 0x01, 0x45, 0x57, 0x4e, 0x51, 0x4a, 0x37, 0x49, 0x46, 0x54, /* 70 */
};

static uint8_t translate(uint8_t code)
{
    switch (code) {
    case 0x83:
        return 0x41; /* F7 */
    case 0x84:
        return 0x54; /* SysRq */
    default:
        return code < 0x80 ? translation[code] : code;
    }
}

/* -- output buffer --------------------------------------------------------------------------------------- */

static bool irq1(const struct i8042 *kbc)
{
    return kbc->output_full && !kbc->output_from_mouse && (kbc->ram[0] & CCB_INT1);
}

static bool irq12(const struct i8042 *kbc)
{
    return kbc->output_full && kbc->output_from_mouse && (kbc->ram[0] & CCB_INT12);
}

static void update_irqs(const struct i8042 *kbc)
{
    line_set(&kbc->wiring.keyboard_irq, irq1(kbc));
    line_set(&kbc->wiring.mouse_irq, irq12(kbc));
}

static void fill_output(struct i8042 *kbc, uint8_t byte, bool from_mouse)
{
    kbc->output = byte;
    kbc->output_full = true;
    kbc->output_from_mouse = from_mouse;
    update_irqs(kbc);
}

static bool keyboard_ready(const struct i8042 *kbc)
{
    return !(kbc->ram[0] & CCB_KBD) && ps2_port_has_byte(&kbc->keyboard->port);
}

static bool mouse_ready(const struct i8042 *kbc)
{
    return !(kbc->ram[0] & CCB_AUX) && ps2_port_has_byte(&kbc->mouse->port);
}

/* Something changed: if the output buffer is free, fill it or let a device begin to send. */
static void pump(struct i8042 *kbc)
{
    if (kbc->output_full) {
        return;
    }
    if (kbc->reply_waiting) {
        kbc->reply_waiting = false;
        fill_output(kbc, kbc->reply, kbc->reply_as_mouse);
    } else if ((keyboard_ready(kbc) || mouse_ready(kbc)) && !timer_armed(&kbc->transfer)) {
        timer_arm(&kbc->transfer, clock_now(kbc->device.board->clock) + BYTE_NS);
    }
}

static void device_ready(void *opaque)
{
    pump(opaque);
}

/* A byte of the keyboard arrived. Translated, the prefix F0h becomes bit 7 of the code that follows. */
static void keyboard_byte(struct i8042 *kbc, uint8_t byte)
{
    if (!(kbc->ram[0] & CCB_XLAT)) {
        fill_output(kbc, byte, false);
    } else if (byte == 0xf0) {
        kbc->break_code = true;
        pump(kbc);
    } else {
        fill_output(kbc, translate(byte) | (kbc->break_code ? 0x80 : 0), false);
        kbc->break_code = false;
    }
}

static void transfer_fire(void *opaque)
{
    struct i8042 *kbc = opaque;

    if (kbc->output_full) {
        return; /* a reply came first; reading it starts the device again */
    }
    if (keyboard_ready(kbc)) {
        keyboard_byte(kbc, ps2_port_take(&kbc->keyboard->port));
    } else if (mouse_ready(kbc)) {
        fill_output(kbc, ps2_port_take(&kbc->mouse->port), true);
    }
}

/* The controller itself has something to say. */
static void reply(struct i8042 *kbc, uint8_t byte, bool as_mouse)
{
    kbc->reply = byte;
    kbc->reply_as_mouse = as_mouse;
    kbc->reply_waiting = true;
    pump(kbc);
}

static uint8_t read_output(struct i8042 *kbc)
{
    uint8_t byte = kbc->output;

    kbc->output_full = false;
    update_irqs(kbc);
    pump(kbc);
    return byte;
}

/* -- commands -------------------------------------------------------------------------------------------- */

static uint8_t output_port(const struct i8042 *kbc)
{
    return PORT_IDLE | PORT_RESET | (kbc->a20 ? PORT_A20 : 0) | (irq1(kbc) ? PORT_IRQ1 : 0) |
           (irq12(kbc) ? PORT_IRQ12 : 0);
}

static void set_a20(struct i8042 *kbc, bool open)
{
    kbc->a20 = open;
    line_set(&kbc->wiring.a20, open);
}

static void write_output_port(struct i8042 *kbc, uint8_t value)
{
    set_a20(kbc, value & PORT_A20);
    if (!(value & PORT_RESET)) {
        line_pulse(&kbc->wiring.reset);
    }
}

static void write_command_byte(struct i8042 *kbc, uint8_t value)
{
    kbc->ram[0] = value;
    update_irqs(kbc);
    pump(kbc);
}

/* Commands without a parameter. */
static void run_command(struct i8042 *kbc, uint8_t command)
{
    switch (command) {
    case COMMAND_TEST_PASSWORD:
        reply(kbc, NO_PASSWORD, false);
        break;
    case COMMAND_DISABLE_AUX:
        write_command_byte(kbc, kbc->ram[0] | CCB_AUX);
        break;
    case COMMAND_ENABLE_AUX:
        write_command_byte(kbc, kbc->ram[0] & ~CCB_AUX);
        break;
    case COMMAND_SELF_TEST:
        kbc->ram[0] |= CCB_SYS;
        reply(kbc, SELF_TEST_PASSED, false);
        break;
    case COMMAND_TEST_AUX:
    case COMMAND_TEST_KEYBOARD:
        reply(kbc, 0, false);
        break;
    case COMMAND_DISABLE_KEYBOARD:
        write_command_byte(kbc, kbc->ram[0] | CCB_KBD);
        break;
    case COMMAND_ENABLE_KEYBOARD:
        write_command_byte(kbc, kbc->ram[0] & ~CCB_KBD);
        break;
    case COMMAND_READ_INPUT_PORT:
        reply(kbc, INPUT_PORT, false);
        break;
    case COMMAND_READ_OUTPUT_PORT:
        reply(kbc, output_port(kbc), false);
        break;
    case COMMAND_DISABLE_A20:
    case COMMAND_ENABLE_A20:
        set_a20(kbc, command == COMMAND_ENABLE_A20);
        break;
    case COMMAND_READ_TEST_INPUTS:
        reply(kbc, 0, false);
        break;
    default:
        log_printf(kbc->device.board->log, LOG_UNIMP, "i8042: command %02x\n", command);
    }
}

static bool takes_parameter(uint8_t command)
{
    return (command & 0xe0) == COMMAND_WRITE_RAM || command == COMMAND_LOAD_PASSWORD ||
           (command >= COMMAND_WRITE_OUTPUT_PORT && command <= COMMAND_WRITE_AUX);
}

static void write_command(struct i8042 *kbc, uint8_t command)
{
    kbc->command_last = true;
    kbc->command = takes_parameter(command) ? command : 0;
    if (kbc->command) {
        return;
    }
    if ((command & 0xe0) == COMMAND_READ_RAM) {
        reply(kbc, kbc->ram[command & 0x1f], false);
    } else if (command >= COMMAND_PULSE) {
        if (!(command & PORT_RESET)) {
            line_pulse(&kbc->wiring.reset);
        }
    } else {
        run_command(kbc, command);
    }
}

static void write_parameter(struct i8042 *kbc, uint8_t value)
{
    uint8_t command = kbc->command;

    kbc->command = 0;
    switch (command) {
    case COMMAND_WRITE_RAM:
        write_command_byte(kbc, value);
        break;
    case COMMAND_LOAD_PASSWORD: /* a string that ends with 0 */
        kbc->command = value ? command : 0;
        break;
    case COMMAND_WRITE_OUTPUT_PORT:
        write_output_port(kbc, value);
        break;
    case COMMAND_WRITE_KEYBOARD_BUFFER:
    case COMMAND_WRITE_AUX_BUFFER:
        reply(kbc, value, command == COMMAND_WRITE_AUX_BUFFER);
        break;
    case COMMAND_WRITE_AUX: /* sending opens the cable */
        kbc->ram[0] &= ~CCB_AUX;
        ps2_mouse_write(kbc->mouse, value);
        break;
    default:
        kbc->ram[command & 0x1f] = value;
    }
}

static void write_data(struct i8042 *kbc, uint8_t value)
{
    kbc->command_last = false;
    if (kbc->command) {
        write_parameter(kbc, value);
    } else {
        kbc->ram[0] &= ~CCB_KBD;
        ps2_keyboard_write(kbc->keyboard, value);
    }
}

/* -- ports ----------------------------------------------------------------------------------------------- */

static uint64_t data_read(void *opaque, uint64_t offset, unsigned size)
{
    (void)offset;
    (void)size;
    return read_output(opaque);
}

static void data_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    (void)offset;
    (void)size;
    write_data(opaque, value);
}

static uint64_t control_read(void *opaque, uint64_t offset, unsigned size)
{
    const struct i8042 *kbc = opaque;

    (void)offset;
    (void)size;
    return STATUS_FREE | (kbc->output_full ? STATUS_OBF : 0) | (kbc->ram[0] & CCB_SYS ? STATUS_SYS : 0) |
           (kbc->command_last ? STATUS_CMD : 0) |
           (kbc->output_full && kbc->output_from_mouse ? STATUS_AUXB : 0);
}

static void control_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    (void)offset;
    (void)size;
    write_command(opaque, value);
}

static const struct region_ops data_ops = {.read = data_read, .write = data_write, .max_size = 1};
static const struct region_ops control_ops = {.read = control_read, .write = control_write, .max_size = 1};

/* -- host input ------------------------------------------------------------------------------------------ */

static void input_sink_key(void *opaque, enum key key, bool down)
{
    ps2_keyboard_key(((struct i8042 *)opaque)->keyboard, key, down);
}

static void input_sink_motion(void *opaque, int dx, int dy, int wheel)
{
    ps2_mouse_motion(((struct i8042 *)opaque)->mouse, dx, dy, wheel);
}

static void input_sink_buttons(void *opaque, uint8_t down)
{
    ps2_mouse_buttons(((struct i8042 *)opaque)->mouse, down);
}

static const struct input_ops i8042_input_ops = {
    .key = input_sink_key, .motion = input_sink_motion, .buttons = input_sink_buttons};

struct input_sink i8042_input(struct i8042 *kbc)
{
    return (struct input_sink){.ops = &i8042_input_ops, .opaque = kbc};
}

bool i8042_a20(const struct i8042 *kbc)
{
    return kbc->a20;
}

unsigned i8042_keyboard_room(const struct i8042 *kbc)
{
    unsigned used = kbc->keyboard->port.events.count;

    return used < PS2_QUEUE_SIZE ? PS2_QUEUE_SIZE - 1 - used : 0; /* the last byte is the overrun code's */
}

uint8_t i8042_leds(const struct i8042 *kbc)
{
    return kbc->keyboard->leds;
}

/* -- life ------------------------------------------------------------------------------------------------ */

static void i8042_reset(struct device *device)
{
    struct i8042 *kbc = CONTAINER_OF(device, struct i8042, device);

    memset(kbc->ram, 0, sizeof(kbc->ram));
    kbc->ram[0] = CCB_RESET;
    kbc->command = 0;
    kbc->command_last = true;
    kbc->output = 0;
    kbc->output_full = false;
    kbc->output_from_mouse = false;
    kbc->reply = 0;
    kbc->reply_waiting = false;
    kbc->reply_as_mouse = false;
    kbc->break_code = false;
    timer_disarm(&kbc->transfer);
    update_irqs(kbc);
    set_a20(kbc, true);
}

static void i8042_fini(struct device *device)
{
    struct i8042 *kbc = CONTAINER_OF(device, struct i8042, device);

    timer_disarm(&kbc->transfer);
    addr_space_remove(device->board->io, &kbc->data);
    addr_space_remove(device->board->io, &kbc->control);
    free(kbc);
}

static const struct snap_field i8042_fields[] = {
    SNAP_BYTES(struct i8042, ram),           SNAP_UINT(struct i8042, command),
    SNAP_BOOL(struct i8042, command_last),   SNAP_BOOL(struct i8042, a20),
    SNAP_BOOL(struct i8042, output_full),    SNAP_BOOL(struct i8042, output_from_mouse),
    SNAP_UINT(struct i8042, output),         SNAP_BOOL(struct i8042, reply_waiting),
    SNAP_BOOL(struct i8042, reply_as_mouse), SNAP_UINT(struct i8042, reply),
    SNAP_BOOL(struct i8042, break_code),     SNAP_TIMER(struct i8042, transfer),
};

static int i8042_post_load(void *object, struct error *error)
{
    struct i8042 *kbc = object;

    (void)error;
    line_set(&kbc->wiring.a20, kbc->a20);
    return 0;
}

static const struct snap_desc i8042_snap = {
    .name = "i8042", .version = 1, SNAP_FIELDS(i8042_fields), .post_load = i8042_post_load};

static const struct device_ops i8042_ops = {
    .name = "i8042", .reset = i8042_reset, .fini = i8042_fini, .snap = &i8042_snap};

struct i8042 *i8042_create(struct board *board, const struct i8042_wiring *wiring)
{
    struct i8042 *kbc = calloc(1, sizeof(*kbc));

    if (!kbc) {
        return NULL;
    }
    kbc->wiring = *wiring;
    kbc->keyboard = ps2_keyboard_create(board, device_ready, kbc);
    kbc->mouse = kbc->keyboard ? ps2_mouse_create(board, device_ready, kbc) : NULL;
    if (!kbc->mouse) {
        if (kbc->keyboard) {
            device_destroy(&kbc->keyboard->device);
        }
        free(kbc);
        return NULL;
    }
    timer_init(&kbc->transfer, board->clock, "i8042 transfer", transfer_fire, kbc);
    region_init_io(&kbc->data, "i8042 data", 0x60, 1, &data_ops, kbc);
    addr_space_add(board->io, &kbc->data);
    region_init_io(&kbc->control, "i8042 control", 0x64, 1, &control_ops, kbc);
    addr_space_add(board->io, &kbc->control);
    device_init(&kbc->device, &i8042_ops, board, NULL);
    i8042_reset(&kbc->device);
    return kbc;
}
