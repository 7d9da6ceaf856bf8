/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What a user can do to a VM from its window: one table for the chords, the help list, the menu and the monitor.
 *
 * An action is begun on the thread of the windows. Those that touch the VM are carried out on the VM's own thread
 * (ui/face.h), the others by the window (ui/window.h).
 */
#ifndef UI_ACTION_H
#define UI_ACTION_H

#include "devices/input.h"

enum action {
    ACTION_NONE,
    /* for the VM */
    ACTION_POWER_BUTTON,
    ACTION_SNAPSHOT,
    ACTION_PAUSE, /* or go on */
    ACTION_RESET,
    ACTION_POWER_OFF,
    ACTION_SAVE_AND_QUIT,
    ACTION_CTRL_ALT_DEL,
    ACTION_SCREENSHOT,
    ACTION_COPY,
    ACTION_LIST_DRIVES, /* for the list of media; not for users */
    /* for the window */
    ACTION_FULL_SCREEN,
    ACTION_GRAB, /* or release */
    ACTION_INTEGER,
    ACTION_ORIGINAL_SIZE,
    ACTION_PASTE,
    ACTION_MEDIA,
    ACTION_OVERVIEW,
    ACTION_HELP,
    ACTION_COUNT,
    ACTION_FIRST_OF_WINDOW = ACTION_FULL_SCREEN,
};

struct action_info {
    const char *name; /* as the monitor calls it; NULL: not for users */
    enum key key;     /* with the host key */
    const char *key_name;
    const char *text; /* for the list of keys */
};

extern const struct action_info action_info[ACTION_COUNT];

/* ACTION_NONE: this key is no chord. */
enum action action_of_key(enum key key);
/* By its name; ACTION_NONE if there is none. */
enum action action_find(const char *name);

/* "right-ctrl" and the like, for -display sdl,host-key=: its name for people. */
const char *action_host_key_text(enum key key);

#endif
