/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The table of actions. See ui/action.h.
 */
#include "ui/action.h"

const struct action_info action_info[ACTION_COUNT] = {
    [ACTION_FULL_SCREEN] = {"full-screen", KEY_F, "F", "full screen, and back"},
    [ACTION_POWER_BUTTON] = {"power-button", KEY_H, "H", "press the ACPI power button"},
    [ACTION_SNAPSHOT] = {"snapshot", KEY_N, "N", "take a snapshot"},
    [ACTION_PAUSE] = {"pause", KEY_P, "P", "pause, and go on"},
    [ACTION_RESET] = {"reset", KEY_R, "R", "reset the machine"},
    [ACTION_POWER_OFF] = {"power-off", KEY_Q, "Q", "power off"},
    [ACTION_SAVE_AND_QUIT] = {"save-and-quit", KEY_S, "S", "save a snapshot and power off"},
    [ACTION_CTRL_ALT_DEL] = {"ctrl-alt-del", KEY_DELETE, "Del", "press Ctrl-Alt-Del in the guest"},
    [ACTION_SCREENSHOT] = {"screenshot", KEY_X, "X", "write the screen to a PNG file"},
    [ACTION_COPY] = {"copy", KEY_C, "C", "copy the text screen to the clipboard"},
    [ACTION_PASTE] = {"paste", KEY_V, "V", "type the clipboard's text"},
    [ACTION_MEDIA] = {"media", KEY_M, "M", "change the medium of a CD or floppy drive"},
    [ACTION_GRAB] = {"grab", KEY_G, "G", "grab the mouse and keyboard, and release them (Ctrl+Alt+G, too)"},
    [ACTION_INTEGER] = {"integer", KEY_I, "I", "whole pixels only, and any size again"},
    [ACTION_ORIGINAL_SIZE] = {"original-size", KEY_0, "0", "give the window the guest's own size"},
    [ACTION_OVERVIEW] = {"overview", KEY_O, "O", "show all VMs in one window"},
    [ACTION_HELP] = {"keys", KEY_K, "K", "show this list"},
};

enum action action_of_key(enum key key)
{
    for (unsigned i = 0; key && i < ACTION_COUNT; i++) {
        if (action_info[i].name && action_info[i].key == key) {
            return (enum action)i;
        }
    }
    return ACTION_NONE;
}

enum action action_find(const char *name)
{
    for (unsigned i = 0; i < ACTION_COUNT; i++) {
        if (action_info[i].name && !strcmp(action_info[i].name, name)) {
            return (enum action)i;
        }
    }
    return ACTION_NONE;
}

const char *action_host_key_text(enum key key)
{
    static const struct {
        enum key key;
        const char *text;
    } names[] = {{KEY_RIGHT_CTRL, "Right Ctrl"},
                 {KEY_LEFT_CTRL, "Left Ctrl"},
                 {KEY_RIGHT_ALT, "Right Alt"},
                 {KEY_LEFT_ALT, "Left Alt"},
                 {KEY_RIGHT_SHIFT, "Right Shift"},
                 {KEY_LEFT_META, "Left Super"},
                 {KEY_RIGHT_META, "Right Super"},
                 {KEY_MENU, "Menu"},
                 {KEY_SCROLL_LOCK, "Scroll Lock"},
                 {KEY_PAUSE, "Pause"},
                 {KEY_F11, "F11"},
                 {KEY_F12, "F12"}};

    for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
        if (names[i].key == key) {
            return names[i].text;
        }
    }
    return "Host";
}
