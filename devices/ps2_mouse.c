/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * PS/2 mouse (IBM Personal System/2 Hardware Interface Technical Reference, "auxiliary device"), with the
 * wheel of the IntelliMouse and the buttons of the IntelliMouse Explorer.
 *
 *              7     6     5     4     3     2     1     0
 *   byte 1  [  YV    XV    YS    XS    1     M     R     L  ]   V: overflow, S: sign (bit 8)
 *   byte 2  [                  X, right                     ]
 *   byte 3  [                  Y, up                        ]
 *   byte 4  [        wheel towards the user, 8 bits         ]   id 3
 *           [  0     0     B5    B4  |  wheel, 4 bits       ]   id 4
 *
 * A driver asks for id 3 by setting the rates 200, 100, 80 one after the other, and for id 4 by 200, 200, 80.
 *
 * Motion waits for the next sample, and stays summed up in the mouse while the guest does not read; a button
 * is told at once, so that no click is lost between two samples.
 * DEVIATION: the host's counts are passed on whatever the resolution is set to. The self test takes no time.
 */
#include "devices/ps2_mouse.h"

#include <stdlib.h>

enum {
    COMMAND_SCALING_1_1 = 0xe6,
    COMMAND_SCALING_2_1 = 0xe7,
    COMMAND_RESOLUTION = 0xe8,
    COMMAND_STATUS = 0xe9,
    COMMAND_STREAM = 0xea,
    COMMAND_READ = 0xeb,
    COMMAND_UNWRAP = 0xec,
    COMMAND_WRAP = 0xee,
    COMMAND_REMOTE = 0xf0,
    COMMAND_IDENTIFY = 0xf2,
    COMMAND_RATE = 0xf3,
    COMMAND_ENABLE = 0xf4,
    COMMAND_DISABLE = 0xf5,
    COMMAND_DEFAULTS = 0xf6,
    ID_STANDARD = 0,
    ID_WHEEL = 3,
    ID_FIVE_BUTTONS = 4,
    DEFAULT_RATE = 100,
    DEFAULT_RESOLUTION = 2,
    WAITING_BYTES_MAX = 8, /* packets beyond this wait as motion, not as bytes */
    MOTION_MAX = 0x7fff,
};

static int clamp(int value, int lo, int hi)
{
    return MIN(MAX(value, lo), hi);
}

static int32_t add_motion(int32_t sum, int delta)
{
    return clamp(clamp(sum, -MOTION_MAX, MOTION_MAX) + clamp(delta, -MOTION_MAX, MOTION_MAX), -MOTION_MAX,
                 MOTION_MAX);
}

/* Take what one packet can carry from a sum of motion. */
static int take_motion(int32_t *sum, int lo, int hi)
{
    int taken = clamp(*sum, lo, hi);

    *sum -= taken;
    return taken;
}

/* 2:1 scaling: slow motion stays fine, fast motion doubles. */
static int scale(int count)
{
    static const uint8_t fine[6] = {0, 1, 1, 3, 6, 9};
    int magnitude = count < 0 ? -count : count;
    int scaled = magnitude < 6 ? fine[magnitude] : 2 * magnitude;

    return clamp(count < 0 ? -scaled : scaled, -255, 255);
}

/* Fill in the next packet; returns its length, 3 or 4. */
static unsigned make_packet(struct ps2_mouse *mouse, bool scaled, uint8_t packet[4])
{
    int dx = take_motion(&mouse->dx, -255, 255), dy = -take_motion(&mouse->dy, -255, 255);
    int dz =
        mouse->id == ID_FIVE_BUTTONS ? take_motion(&mouse->dz, -8, 7) : take_motion(&mouse->dz, -128, 127);
    uint8_t extra = (mouse->buttons & (INPUT_BUTTON_SIDE | INPUT_BUTTON_EXTRA)) << 1;

    if (scaled && mouse->scaling_2_1) {
        dx = scale(dx);
        dy = scale(dy);
    }
    packet[0] = 0x08 | (mouse->buttons & 7) | (dx < 0) << 4 | (dy < 0) << 5;
    packet[1] = (uint8_t)dx;
    packet[2] = (uint8_t)dy;
    packet[3] = mouse->id == ID_FIVE_BUTTONS ? ((uint8_t)dz & 0x0f) | extra : (uint8_t)dz;
    mouse->sent_buttons = mouse->buttons;
    return mouse->id == ID_STANDARD ? 3 : 4;
}

/* Send a packet if there is something to tell and it may be told now; else see to it that it will be. */
static void update_stream(struct ps2_mouse *mouse)
{
    bool clicked = mouse->buttons != mouse->sent_buttons;
    uint8_t packet[4];

    if (mouse->remote || !mouse->reporting || !(clicked || mouse->dx || mouse->dy || mouse->dz)) {
        return;
    }
    if (mouse->port.events.count <= WAITING_BYTES_MAX && (clicked || !timer_armed(&mouse->sample))) {
        ps2_event(&mouse->port, packet, make_packet(mouse, true, packet));
        timer_disarm(&mouse->sample);
    }
    if (!timer_armed(&mouse->sample)) {
        timer_arm(&mouse->sample, clock_now(mouse->device.board->clock) + NS_PER_SEC / mouse->rate);
    }
}

static void sample_fire(void *opaque)
{
    update_stream(opaque);
}

void ps2_mouse_motion(struct ps2_mouse *mouse, int dx, int dy, int wheel)
{
    if (!mouse->reporting && !mouse->remote) {
        return;
    }
    mouse->dx = add_motion(mouse->dx, dx);
    mouse->dy = add_motion(mouse->dy, dy);
    if (mouse->id != ID_STANDARD) {
        mouse->dz = add_motion(mouse->dz, wheel);
    }
    update_stream(mouse);
}

void ps2_mouse_buttons(struct ps2_mouse *mouse, uint8_t down)
{
    mouse->buttons = down & 0x1f;
    update_stream(mouse);
}

void ps2_mouse_nudge(struct ps2_mouse *mouse)
{
    uint8_t packet[4];

    if (!mouse->remote && mouse->reporting && mouse->port.events.count <= WAITING_BYTES_MAX) {
        ps2_event(&mouse->port, packet, make_packet(mouse, true, packet));
    }
}

/* -- commands -------------------------------------------------------------------------------------------- */

static void clear_motion(struct ps2_mouse *mouse)
{
    mouse->port.events = (struct ps2_queue){.count = 0};
    mouse->dx = mouse->dy = mouse->dz = 0;
    timer_disarm(&mouse->sample);
}

static void set_defaults(struct ps2_mouse *mouse)
{
    clear_motion(mouse);
    mouse->rate = DEFAULT_RATE;
    mouse->resolution = DEFAULT_RESOLUTION;
    mouse->scaling_2_1 = false;
    mouse->remote = false;
    mouse->wrap = false;
    mouse->reporting = false;
    mouse->sent_buttons = mouse->buttons;
    memset(mouse->rates, 0, sizeof(mouse->rates));
}

static void write_rate(struct ps2_mouse *mouse, uint8_t rate)
{
    static const uint8_t wheel[3] = {200, 100, 80}, five_buttons[3] = {200, 200, 80};

    mouse->rate = MAX(rate, 1);
    mouse->rates[0] = mouse->rates[1];
    mouse->rates[1] = mouse->rates[2];
    mouse->rates[2] = rate;
    if (memcmp(mouse->rates, wheel, sizeof(wheel)) == 0) {
        mouse->id = ID_WHEEL;
    } else if (memcmp(mouse->rates, five_buttons, sizeof(five_buttons)) == 0) {
        mouse->id = ID_FIVE_BUTTONS;
    }
}

/* Byte 1 of the status: 0, remote, reporting, 2:1, 0, left, middle, right. */
static void reply_status(struct ps2_mouse *mouse)
{
    uint8_t buttons = mouse->buttons;

    ps2_reply(&mouse->port, mouse->remote << 6 | mouse->reporting << 5 | mouse->scaling_2_1 << 4 |
                                (buttons & INPUT_BUTTON_LEFT ? 4 : 0) |
                                (buttons & INPUT_BUTTON_MIDDLE ? 2 : 0) |
                                (buttons & INPUT_BUTTON_RIGHT ? 1 : 0));
    ps2_reply(&mouse->port, mouse->resolution);
    ps2_reply(&mouse->port, mouse->rate);
}

static void reply_packet(struct ps2_mouse *mouse)
{
    uint8_t packet[4];
    unsigned length = make_packet(mouse, false, packet);

    for (unsigned i = 0; i < length; i++) {
        ps2_reply(&mouse->port, packet[i]);
    }
}

static void reset_command(struct ps2_mouse *mouse)
{
    ps2_port_reset(&mouse->port);
    set_defaults(mouse);
    mouse->id = ID_STANDARD;
    ps2_reply(&mouse->port, PS2_ACK);
    ps2_reply(&mouse->port, PS2_SELF_TEST_PASSED);
    ps2_reply(&mouse->port, ID_STANDARD);
}

/* What the mouse says after the acknowledgement of a command. */
static void run_command(struct ps2_mouse *mouse, uint8_t command)
{
    switch (command) {
    case COMMAND_SCALING_1_1:
    case COMMAND_SCALING_2_1:
        mouse->scaling_2_1 = command == COMMAND_SCALING_2_1;
        break;
    case COMMAND_RESOLUTION:
    case COMMAND_RATE:
        mouse->command = command;
        break;
    case COMMAND_STATUS:
        reply_status(mouse);
        break;
    case COMMAND_STREAM:
    case COMMAND_REMOTE:
        clear_motion(mouse);
        mouse->remote = command == COMMAND_REMOTE;
        break;
    case COMMAND_READ:
        reply_packet(mouse);
        break;
    case COMMAND_WRAP:
    case COMMAND_UNWRAP:
        clear_motion(mouse);
        mouse->wrap = command == COMMAND_WRAP;
        break;
    case COMMAND_IDENTIFY:
        ps2_reply(&mouse->port, mouse->id);
        break;
    case COMMAND_ENABLE:
    case COMMAND_DISABLE:
        clear_motion(mouse);
        mouse->reporting = command == COMMAND_ENABLE;
        break;
    default: /* COMMAND_DEFAULTS */
        set_defaults(mouse);
    }
}

static bool known_command(uint8_t command)
{
    return (command >= COMMAND_SCALING_1_1 && command <= COMMAND_UNWRAP) || command == COMMAND_WRAP ||
           command == COMMAND_REMOTE || (command >= COMMAND_IDENTIFY && command <= COMMAND_DEFAULTS);
}

void ps2_mouse_write(struct ps2_mouse *mouse, uint8_t byte)
{
    struct ps2_port *port = &mouse->port;
    uint8_t command = mouse->command;

    /* A command cuts off the packet that is on its way: the driver would not know its bytes from replies. */
    port->events = (struct ps2_queue){.count = 0};
    mouse->command = 0;
    if (mouse->wrap && byte != PS2_COMMAND_RESET && byte != COMMAND_UNWRAP) {
        ps2_reply(port, byte);
    } else if (command == COMMAND_RATE || command == COMMAND_RESOLUTION) {
        ps2_reply(port, PS2_ACK);
        if (command == COMMAND_RATE) {
            write_rate(mouse, byte);
        } else {
            mouse->resolution = byte & 3;
        }
    } else if (byte == PS2_COMMAND_RESET) {
        reset_command(mouse);
    } else if (byte == PS2_COMMAND_RESEND) {
        ps2_reply(port, port->last_taken);
    } else if (known_command(byte)) {
        ps2_reply(port, PS2_ACK);
        run_command(mouse, byte);
    } else {
        ps2_reply(port, PS2_RESEND);
    }
}

/* -- life ------------------------------------------------------------------------------------------------ */

static void ps2_mouse_reset(struct device *device)
{
    struct ps2_mouse *mouse = CONTAINER_OF(device, struct ps2_mouse, device);

    ps2_port_reset(&mouse->port);
    mouse->port.last_taken = 0;
    mouse->command = 0;
    mouse->id = ID_STANDARD;
    mouse->buttons = 0;
    set_defaults(mouse);
}

static void ps2_mouse_fini(struct device *device)
{
    struct ps2_mouse *mouse = CONTAINER_OF(device, struct ps2_mouse, device);

    timer_disarm(&mouse->sample);
    free(mouse);
}

static const struct snap_field ps2_mouse_fields[] = {
    SNAP_STRUCTS(struct ps2_mouse, port, 1, ps2_port_fields),
    SNAP_UINT(struct ps2_mouse, command),
    SNAP_RANGE(struct ps2_mouse, id, 0, ID_FIVE_BUTTONS),
    SNAP_UINTS(struct ps2_mouse, rates, 3),
    SNAP_RANGE(struct ps2_mouse, rate, 1, 255),
    SNAP_RANGE(struct ps2_mouse, resolution, 0, 3),
    SNAP_BOOL(struct ps2_mouse, scaling_2_1),
    SNAP_BOOL(struct ps2_mouse, remote),
    SNAP_BOOL(struct ps2_mouse, wrap),
    SNAP_BOOL(struct ps2_mouse, reporting),
    SNAP_RANGE(struct ps2_mouse, buttons, 0, 0x1f),
    SNAP_RANGE(struct ps2_mouse, sent_buttons, 0, 0x1f),
    SNAP_UINT(struct ps2_mouse, dx),
    SNAP_UINT(struct ps2_mouse, dy),
    SNAP_UINT(struct ps2_mouse, dz),
    SNAP_TIMER(struct ps2_mouse, sample),
};

static const struct snap_desc ps2_mouse_snap = {
    .name = "ps2_mouse", .version = 1, SNAP_FIELDS(ps2_mouse_fields)};

static const struct device_ops ps2_mouse_ops = {
    .name = "ps2_mouse", .reset = ps2_mouse_reset, .fini = ps2_mouse_fini, .snap = &ps2_mouse_snap};

struct ps2_mouse *ps2_mouse_create(struct board *board, void (*ready)(void *opaque), void *opaque)
{
    struct ps2_mouse *mouse = calloc(1, sizeof(*mouse));

    if (!mouse) {
        return NULL;
    }
    mouse->port.ready = ready;
    mouse->port.opaque = opaque;
    timer_init(&mouse->sample, board->clock, "ps2_mouse sample", sample_fire, mouse);
    device_init(&mouse->device, &ps2_mouse_ops, board, NULL);
    ps2_mouse_reset(&mouse->device);
    return mouse;
}
