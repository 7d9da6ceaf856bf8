/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A window's questions. See ui/window_dialogs.h.
 *
 *   close     -> power button, power off, save and quit, (hide,) cancel
 *   media     -> a drive -> eject, or a line to type the path of an image
 *   a dropped file -> the drives it could go to
 */
#include "ui/window_dialogs.h"

#include <stdio.h>
#include <stdlib.h>

#include "ui/desk.h"

enum { CLOSE_HIDE = ACTION_COUNT, CLOSE_CANCEL };

static void opened(struct window *window)
{
    struct pane *pane = &window->pane;

    window_let_go(window);
    pane->host->ops->set_cursor(pane->host->opaque, pane, true);
    pane->host->ops->set_text_input(pane->host->opaque, pane, window->dialog.has_field);
    pane_touch_all(pane);
}

void window_dialog_changed(struct window *window)
{
    struct pane *pane = &window->pane;

    pane_touch(pane, window->dialog.box);
    if (!window->dialog.open) {
        pane->host->ops->set_text_input(pane->host->opaque, pane, false);
        pane->host->ops->set_cursor(pane->host->opaque, pane, !window->view.status.wants_position);
    }
}

/* ---- close ---- */

static void close_decided(void *opaque, int value)
{
    struct window *window = opaque;

    if (value == CLOSE_HIDE) {
        desk_hide(window->desk, window);
    } else if (value != CLOSE_CANCEL) {
        window_act(window, (enum action)value);
    }
}

void window_ask_close(struct window *window)
{
    if (window->view.status.life == VM_STOPPED) {
        desk_hide(window->desk, window);
        return;
    }
    if (window->config.no_close) {
        window_say(window, "This window does not close (window-close=off)");
        return;
    }
    dialog_open(&window->dialog, "Close this window?", close_decided, window);
    dialog_add(&window->dialog, ACTION_POWER_BUTTON, "Press the power button and let the guest shut down");
    dialog_add(&window->dialog, ACTION_POWER_OFF, "Power off: what the guest has not written is lost");
    dialog_add(&window->dialog, ACTION_SAVE_AND_QUIT, "Save a snapshot and quit");
    if (desk_has_several(window->desk)) {
        dialog_add(&window->dialog, CLOSE_HIDE,
                   "Hide the window; the VM goes on (the overview brings it back)");
    }
    dialog_add(&window->dialog, CLOSE_CANCEL, "Cancel");
    opened(window);
}

/* ---- media ---- */

static void send_medium(struct window *window, enum exchange_kind kind, const char *path)
{
    struct exchange_event event = {.kind = kind, .text = path ? strdup(path) : NULL};

    memcpy(event.drive, window->drive, sizeof(event.drive));
    if (path && !event.text) {
        window_say(window, "Out of memory");
        return;
    }
    exchange_send(window->exchange, &event);
}

static void path_decided(void *opaque, int value)
{
    struct window *window = opaque;
    const char *path = window->dialog.field;

    (void)value;
    if (!strncmp(path, "file://", 7)) {
        path += 7;
    }
    if (*path) {
        send_medium(window, EXCHANGE_INSERT, path);
    }
}

static void drive_decided(void *opaque, int value)
{
    struct window *window = opaque;
    char title[DIALOG_TEXT];

    if (value == 1) {
        send_medium(window, EXCHANGE_EJECT, NULL);
        return;
    }
    snprintf(title, sizeof(title), "%s: type the path of an image, then Enter (Esc leaves)", window->drive);
    dialog_open(&window->dialog, title, path_decided, window);
    dialog_add_field(&window->dialog, "");
    opened(window);
}

/* Which drive? */
static void media_decided(void *opaque, int value)
{
    struct window *window = opaque;
    const struct exchange_drive *drive = &window->view.drive[value];
    char title[DIALOG_TEXT];

    memcpy(window->drive, drive->id, sizeof(window->drive));
    if (*window->dropped) {
        send_medium(window, EXCHANGE_INSERT, window->dropped);
        window->dropped[0] = '\0';
    } else if (drive->inserted) {
        snprintf(title, sizeof(title), "%s: %s", drive->id, drive->file);
        dialog_open(&window->dialog, title, drive_decided, window);
        dialog_add(&window->dialog, 1, "Eject");
        dialog_add(&window->dialog, 0, "Insert another image");
        opened(window);
    } else {
        drive_decided(window, 0);
    }
}

void window_ask_media(struct window *window)
{
    char title[DIALOG_TEXT] = "Change the medium of which drive?";

    if (window->view.drive_count == 0) {
        window->dropped[0] = '\0';
        window_say(window, "There is no CD or floppy drive");
        return;
    }
    if (*window->dropped) {
        snprintf(title, sizeof(title), "Insert %.140s?", window->dropped);
    }
    dialog_open(&window->dialog, title, media_decided, window);
    for (unsigned i = 0; i < window->view.drive_count; i++) {
        const struct exchange_drive *drive = &window->view.drive[i];

        dialog_add(&window->dialog, (int)i, "%s (%s): %.100s", drive->id, drive->cd ? "CD" : "floppy",
                   drive->inserted ? drive->file : "empty");
    }
    opened(window);
}

/* ---- help ---- */

static void help_decided(void *opaque, int value)
{
    window_act(opaque, (enum action)value);
}

void window_ask_help(struct window *window)
{
    char title[DIALOG_TEXT];

    snprintf(title, sizeof(title),
             "With %s (Enter does what is chosen):", action_host_key_text((enum key)window->config.host_key));
    dialog_open(&window->dialog, title, help_decided, window);
    for (unsigned i = 0; i < ACTION_COUNT; i++) {
        if (action_info[i].name && i != ACTION_HELP) {
            dialog_add(&window->dialog, (int)i, "%-4s %s", action_info[i].key_name, action_info[i].text);
        }
    }
    opened(window);
}
