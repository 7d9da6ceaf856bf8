/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Host input events on their way into a guest: what a window or the monitor calls, and a keyboard or mouse
 * implements.
 *
 * A key is named by its scan code of set 1 (IBM PC/AT technical reference), the place on the keyboard and not
 * the letter on it: 0x01..0x7f as they are, 0xe0xx with that prefix. Events are levels, down or up: a key
 * that is reported down twice is still down once (the guest's keyboard repeats by itself).
 *
 * All calls come from the VM's thread.
 */
#ifndef DEVICES_INPUT_H
#define DEVICES_INPUT_H

#include "base/types.h"

enum key {
    KEY_ESC = 0x01,
    KEY_1,
    KEY_2,
    KEY_3,
    KEY_4,
    KEY_5,
    KEY_6,
    KEY_7,
    KEY_8,
    KEY_9,
    KEY_0,
    KEY_MINUS,
    KEY_EQUAL,
    KEY_BACKSPACE,
    KEY_TAB,
    KEY_Q = 0x10,
    KEY_W,
    KEY_E,
    KEY_R,
    KEY_T,
    KEY_Y,
    KEY_U,
    KEY_I,
    KEY_O,
    KEY_P,
    KEY_LEFT_BRACKET,
    KEY_RIGHT_BRACKET,
    KEY_ENTER,
    KEY_LEFT_CTRL,
    KEY_A,
    KEY_S,
    KEY_D = 0x20,
    KEY_F,
    KEY_G,
    KEY_H,
    KEY_J,
    KEY_K,
    KEY_L,
    KEY_SEMICOLON,
    KEY_APOSTROPHE,
    KEY_GRAVE,
    KEY_LEFT_SHIFT,
    KEY_BACKSLASH,
    KEY_Z,
    KEY_X,
    KEY_C,
    KEY_V,
    KEY_B = 0x30,
    KEY_N,
    KEY_M,
    KEY_COMMA,
    KEY_DOT,
    KEY_SLASH,
    KEY_RIGHT_SHIFT,
    KEY_KP_MULTIPLY,
    KEY_LEFT_ALT,
    KEY_SPACE,
    KEY_CAPS_LOCK,
    KEY_F1,
    KEY_F2,
    KEY_F3,
    KEY_F4,
    KEY_F5,
    KEY_F6 = 0x40,
    KEY_F7,
    KEY_F8,
    KEY_F9,
    KEY_F10,
    KEY_NUM_LOCK,
    KEY_SCROLL_LOCK,
    KEY_KP_7,
    KEY_KP_8,
    KEY_KP_9,
    KEY_KP_MINUS,
    KEY_KP_4,
    KEY_KP_5,
    KEY_KP_6,
    KEY_KP_PLUS,
    KEY_KP_1,
    KEY_KP_2 = 0x50,
    KEY_KP_3,
    KEY_KP_0,
    KEY_KP_DOT,
    KEY_SYSRQ,        /* Alt + Print Screen; KEY_PRINT_SCREEN makes it by itself */
    KEY_102ND = 0x56, /* the key beside the left Shift that US keyboards lack */
    KEY_F11,
    KEY_F12,
    KEY_KATAKANA = 0x70,
    KEY_RO = 0x73,
    KEY_HENKAN = 0x79,
    KEY_MUHENKAN = 0x7b,
    KEY_YEN = 0x7d,
    KEY_KP_COMMA,
    KEY_KP_ENTER = 0xe01c,
    KEY_RIGHT_CTRL = 0xe01d,
    KEY_MUTE = 0xe020,
    KEY_VOLUME_DOWN = 0xe02e,
    KEY_VOLUME_UP = 0xe030,
    KEY_KP_DIVIDE = 0xe035,
    KEY_PRINT_SCREEN = 0xe037,
    KEY_RIGHT_ALT = 0xe038,
    KEY_PAUSE = 0xe046,
    KEY_HOME = 0xe047,
    KEY_UP = 0xe048,
    KEY_PAGE_UP = 0xe049,
    KEY_LEFT = 0xe04b,
    KEY_RIGHT = 0xe04d,
    KEY_END = 0xe04f,
    KEY_DOWN = 0xe050,
    KEY_PAGE_DOWN = 0xe051,
    KEY_INSERT = 0xe052,
    KEY_DELETE = 0xe053,
    KEY_LEFT_META = 0xe05b,
    KEY_RIGHT_META = 0xe05c,
    KEY_MENU = 0xe05d,
    KEY_POWER = 0xe05e,
    KEY_SLEEP = 0xe05f,
    KEY_WAKE = 0xe063,
};

/* Mouse buttons, one bit each. */
enum input_button {
    INPUT_BUTTON_LEFT = 1,
    INPUT_BUTTON_RIGHT = 2,
    INPUT_BUTTON_MIDDLE = 4,
    INPUT_BUTTON_SIDE = 8,
    INPUT_BUTTON_EXTRA = 16,
};

/* Any of them may be NULL: the device has no use for such events. */
struct input_ops {
    void (*key)(void *opaque, enum key key, bool down);
    /* Relative motion in mouse counts, x right, y down; wheel in detents, positive towards the user. */
    void (*motion)(void *opaque, int dx, int dy, int wheel);
    /* All buttons that are down now. */
    void (*buttons)(void *opaque, uint8_t down);
    /* Position on the screen, 0..65535 each way from the top left. */
    void (*position)(void *opaque, uint16_t x, uint16_t y);
};

struct input_sink {
    const struct input_ops *ops;
    void *opaque;
};

static inline void input_key(const struct input_sink *sink, enum key key, bool down)
{
    if (sink->ops && sink->ops->key) {
        sink->ops->key(sink->opaque, key, down);
    }
}

static inline void input_motion(const struct input_sink *sink, int dx, int dy, int wheel)
{
    if (sink->ops && sink->ops->motion) {
        sink->ops->motion(sink->opaque, dx, dy, wheel);
    }
}

static inline void input_buttons(const struct input_sink *sink, uint8_t down)
{
    if (sink->ops && sink->ops->buttons) {
        sink->ops->buttons(sink->opaque, down);
    }
}

static inline void input_position(const struct input_sink *sink, uint16_t x, uint16_t y)
{
    if (sink->ops && sink->ops->position) {
        sink->ops->position(sink->opaque, x, y);
    }
}

#endif
