/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * VMware's absolute pointer; see vmmouse.h.
 */
#include "devices/vmmouse.h"

#include <stdlib.h>

#define BACKDOOR_PORT    0x5658
#define BACKDOOR_MAGIC   0x564d5868u
#define BACKDOOR_VERSION 6u
#define POINTER_ID       0x3442554au
#define POINTER_OFF      0xffff0000u
#define PACKET_WORDS     4u

enum { REG_EAX, REG_EBX, REG_ECX, REG_EDX, REG_ESI, REG_EDI };

enum command {
    COMMAND_VERSION = 10,
    COMMAND_POINTER_DATA = 39,
    COMMAND_POINTER_STATUS = 40,
    COMMAND_POINTER_COMMAND = 41,
    COMMAND_POINTER_RESTRICT = 86
};

/* Arguments of COMMAND_POINTER_COMMAND. */
#define POINTER_DISABLE  0x000000f5u
#define POINTER_READ_ID  0x45414552u
#define POINTER_RELATIVE 0x4c455252u
#define POINTER_ABSOLUTE 0x53424152u

/* Buttons in the first word of a packet. */
enum { PACKET_MIDDLE = 0x08, PACKET_RIGHT = 0x10, PACKET_LEFT = 0x20 };

/* ---- Packets -------------------------------------------------------------------------------------------- */

static uint32_t button_word(const struct vmmouse *vmmouse)
{
    return (vmmouse->buttons & INPUT_BUTTON_LEFT ? PACKET_LEFT : 0) |
           (vmmouse->buttons & INPUT_BUTTON_RIGHT ? PACKET_RIGHT : 0) |
           (vmmouse->buttons & INPUT_BUTTON_MIDDLE ? PACKET_MIDDLE : 0);
}

/* A move whose predecessor was not read yet takes its place: positions are absolute. */
static bool replaces_last(const struct vmmouse *vmmouse, const uint32_t packet[PACKET_WORDS])
{
    if (vmmouse->count < PACKET_WORDS || vmmouse->count % PACKET_WORDS != 0) {
        return false;
    }
    const uint32_t *last = &vmmouse->queue[vmmouse->count - PACKET_WORDS];
    return last[0] == packet[0] && last[3] == 0 && packet[3] == 0;
}

static void send_packet(struct vmmouse *vmmouse, int wheel)
{
    int8_t detents = (int8_t)MIN(MAX(wheel, -127), 127);
    uint32_t packet[PACKET_WORDS] = {button_word(vmmouse), vmmouse->x, vmmouse->y, (uint32_t)detents};

    if (replaces_last(vmmouse, packet)) {
        vmmouse->count -= PACKET_WORDS;
    }
    if (vmmouse->count + PACKET_WORDS <= VMMOUSE_QUEUE_WORDS) {
        memcpy(&vmmouse->queue[vmmouse->count], packet, sizeof(packet));
        vmmouse->count += PACKET_WORDS;
    }
    vmmouse->wiring.nudge(vmmouse->wiring.nudge_opaque);
}

/* ---- Commands ------------------------------------------------------------------------------------------- */

/* An impossible wish switches the pointer off, so that the driver starts again. */
static void take_words(struct vmmouse *vmmouse, uint32_t reg[VMMOUSE_REGISTERS])
{
    uint32_t wanted = reg[REG_EBX];

    if (wanted == 0 || wanted > VMMOUSE_REGISTERS || wanted > vmmouse->count) {
        vmmouse->enabled = false;
        vmmouse->count = 0;
        return;
    }
    memcpy(reg, vmmouse->queue, wanted * sizeof(*reg));
    vmmouse->count = (uint16_t)(vmmouse->count - wanted);
    memmove(vmmouse->queue, vmmouse->queue + wanted, vmmouse->count * sizeof(*vmmouse->queue));
}

static void pointer_command(struct vmmouse *vmmouse, uint32_t command)
{
    switch (command) {
    case POINTER_READ_ID:
        vmmouse->enabled = true;
        vmmouse->count = 1;
        vmmouse->queue[0] = POINTER_ID;
        break;
    case POINTER_DISABLE:
        vmmouse->enabled = vmmouse->absolute = false;
        vmmouse->count = 0;
        break;
    case POINTER_RELATIVE:
    case POINTER_ABSOLUTE:
        vmmouse->absolute = command == POINTER_ABSOLUTE;
        break;
    default:
        break;
    }
}

/* False: not a command that is known here; the registers stay as they are. */
static bool run_command(struct vmmouse *vmmouse, uint32_t reg[VMMOUSE_REGISTERS])
{
    switch (reg[REG_ECX] & 0xffff) {
    case COMMAND_VERSION:
        reg[REG_EAX] = BACKDOOR_VERSION;
        reg[REG_EBX] = BACKDOOR_MAGIC;
        return true;
    case COMMAND_POINTER_DATA:
        take_words(vmmouse, reg);
        return true;
    case COMMAND_POINTER_STATUS:
        reg[REG_EAX] = vmmouse->enabled ? vmmouse->count : POINTER_OFF;
        return true;
    case COMMAND_POINTER_COMMAND:
        pointer_command(vmmouse, reg[REG_EBX]);
        return true;
    case COMMAND_POINTER_RESTRICT:
        return true;
    default:
        return false;
    }
}

static uint64_t backdoor_read(void *opaque, uint64_t offset, unsigned size)
{
    struct vmmouse *vmmouse = opaque;
    uint32_t reg[VMMOUSE_REGISTERS];

    if (size != 4 || offset != 0) {
        return UINT64_MAX;
    }
    vmmouse->wiring.get_registers(vmmouse->wiring.opaque, reg);
    if (reg[REG_EAX] != BACKDOOR_MAGIC || !run_command(vmmouse, reg)) {
        return UINT64_MAX;
    }
    vmmouse->wiring.set_registers(vmmouse->wiring.opaque, reg);
    return reg[REG_EAX];
}

static const struct region_ops backdoor_ops = {.read = backdoor_read, .max_size = 4};

/* ---- Host events ---------------------------------------------------------------------------------------- */

bool vmmouse_is_absolute(const struct vmmouse *vmmouse)
{
    return vmmouse->enabled && vmmouse->absolute;
}

static void take_key(void *opaque, enum key key, bool down)
{
    const struct vmmouse *vmmouse = opaque;
    input_key(&vmmouse->wiring.ps2, key, down);
}

static void take_motion(void *opaque, int dx, int dy, int wheel)
{
    struct vmmouse *vmmouse = opaque;

    if (!vmmouse_is_absolute(vmmouse)) {
        input_motion(&vmmouse->wiring.ps2, dx, dy, wheel);
    } else if (wheel) {
        send_packet(vmmouse, wheel);
    }
}

static void take_buttons(void *opaque, uint8_t down)
{
    struct vmmouse *vmmouse = opaque;

    vmmouse->buttons = down & 0x1f;
    if (vmmouse_is_absolute(vmmouse)) {
        send_packet(vmmouse, 0);
    } else {
        input_buttons(&vmmouse->wiring.ps2, down);
    }
}

static void take_position(void *opaque, uint16_t x, uint16_t y)
{
    struct vmmouse *vmmouse = opaque;

    vmmouse->x = x;
    vmmouse->y = y;
    if (vmmouse_is_absolute(vmmouse)) {
        send_packet(vmmouse, 0);
    }
}

static const struct input_ops vmmouse_input_ops = {
    .key = take_key, .motion = take_motion, .buttons = take_buttons, .position = take_position};

struct input_sink vmmouse_input(struct vmmouse *vmmouse)
{
    return (struct input_sink){.ops = &vmmouse_input_ops, .opaque = vmmouse};
}

/* ---- Life ----------------------------------------------------------------------------------------------- */

static const struct snap_field vmmouse_fields[] = {
    SNAP_BOOL(struct vmmouse, enabled),
    SNAP_BOOL(struct vmmouse, absolute),
    SNAP_UINTS(struct vmmouse, queue, VMMOUSE_QUEUE_WORDS),
    SNAP_RANGE(struct vmmouse, count, 0, VMMOUSE_QUEUE_WORDS),
    SNAP_UINT(struct vmmouse, x),
    SNAP_UINT(struct vmmouse, y),
    SNAP_RANGE(struct vmmouse, buttons, 0, 0x1f),
};

static const struct snap_desc vmmouse_snap = {.name = "vmmouse", .version = 1, SNAP_FIELDS(vmmouse_fields)};

static void vmmouse_reset(struct device *device)
{
    struct vmmouse *vmmouse = CONTAINER_OF(device, struct vmmouse, device);

    vmmouse->enabled = vmmouse->absolute = false;
    memset(vmmouse->queue, 0, sizeof(vmmouse->queue));
    vmmouse->count = 0;
    vmmouse->x = vmmouse->y = 0;
    vmmouse->buttons = 0;
}

static void vmmouse_fini(struct device *device)
{
    struct vmmouse *vmmouse = CONTAINER_OF(device, struct vmmouse, device);

    addr_space_remove(device->board->io, &vmmouse->port);
    free(vmmouse);
}

static const struct device_ops vmmouse_ops = {
    .name = "vmmouse", .reset = vmmouse_reset, .fini = vmmouse_fini, .snap = &vmmouse_snap};

struct vmmouse *vmmouse_create(struct board *board, const struct vmmouse_wiring *wiring)
{
    struct vmmouse *vmmouse = calloc(1, sizeof(*vmmouse));

    if (!vmmouse) {
        return NULL;
    }
    vmmouse->wiring = *wiring;
    region_init_io(&vmmouse->port, "vmmouse", BACKDOOR_PORT, 4, &backdoor_ops, vmmouse);
    addr_space_add(board->io, &vmmouse->port);
    device_init(&vmmouse->device, &vmmouse_ops, board, NULL);
    vmmouse_reset(&vmmouse->device);
    return vmmouse;
}
