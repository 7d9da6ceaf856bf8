/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * -display: where the screen goes, and how windows behave.
 *
 *   none | text | sdl[,host-key=KEY][,scale=N][,integer=on|off][,full-screen=on|off][,window-close=on|off][,gl=off]
 *
 * Said nothing, it is a window where there is a display server, as users of QEMU expect, and else text.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "devices/input.h"
#include "vm/config.h"

enum { ITEM_SIZE = 64, SCALE_MIN = 25, SCALE_MAX = 800, SCALE_TEXT_MAX = 8 };

static const struct {
    const char *name;
    enum key key;
} host_keys[] = {{"right-ctrl", KEY_RIGHT_CTRL},
                 {"left-ctrl", KEY_LEFT_CTRL},
                 {"right-alt", KEY_RIGHT_ALT},
                 {"left-alt", KEY_LEFT_ALT},
                 {"right-shift", KEY_RIGHT_SHIFT},
                 {"left-super", KEY_LEFT_META},
                 {"right-super", KEY_RIGHT_META},
                 {"menu", KEY_MENU},
                 {"scroll-lock", KEY_SCROLL_LOCK},
                 {"pause", KEY_PAUSE},
                 {"f11", KEY_F11},
                 {"f12", KEY_F12}};

static int set_host_key(struct config_window *window, const char *value, struct error *error)
{
    for (size_t i = 0; i < ARRAY_LEN(host_keys); i++) {
        if (!strcmp(host_keys[i].name, value)) {
            window->host_key = (unsigned)host_keys[i].key;
            return 0;
        }
    }
    return error_set(error, -EINVAL,
                     "-display: host-key=%s: unknown key (known: right-ctrl, left-ctrl, right-alt, left-alt, "
                     "right-shift, left-super, right-super, menu, scroll-lock, pause, f11, f12)",
                     value);
}

/* "1", "1.5", "2", "auto" */
static int set_scale(struct config_window *window, const char *value, struct error *error)
{
    char *end;
    double scale;

    if (!strcmp(value, "auto")) {
        window->scale = 0;
        return 0;
    }
    scale = strtod(value, &end);
    if (end == value || *end || !(scale >= SCALE_MIN / 100.0 && scale <= SCALE_MAX / 100.0)) {
        return error_set(error, -EINVAL, "-display: scale=%s must be auto or a number from 0.25 to 8", value);
    }
    window->scale = (unsigned)(scale * 100 + 0.5);
    return 0;
}

static int set_switch(const char *key, const char *value, bool *on, struct error *error)
{
    if (strcmp(value, "on") != 0 && strcmp(value, "off") != 0) {
        return error_set(error, -EINVAL, "-display: %s=%s must be on or off", key, value);
    }
    *on = value[1] == 'n';
    return 0;
}

static int set_item(struct config_window *window, const char *key, const char *value, struct error *error)
{
    bool on = true;
    int result;

    if (!strcmp(key, "host-key")) {
        return set_host_key(window, value, error);
    }
    if (!strcmp(key, "scale")) {
        return set_scale(window, value, error);
    }
    if (!strcmp(key, "integer")) {
        return set_switch(key, value, &window->integer, error);
    }
    if (!strcmp(key, "full-screen")) {
        return set_switch(key, value, &window->full_screen, error);
    }
    if (!strcmp(key, "window-close")) {
        result = set_switch(key, value, &on, error);
        window->no_close = !on;
        return result;
    }
    if (!strcmp(key, "gl")) {
        result = set_switch(key, value, &on, error);
        return result == 0 && on
                   ? error_set(error, -EINVAL, "-display: gl=on: windows are drawn without OpenGL")
                   : result;
    }
    return error_set(
        error, -EINVAL,
        "-display: sdl has no item '%s' (known: host-key, scale, integer, full-screen, window-close)", key);
}

/* What follows "sdl". */
static int parse_window(struct config_window *window, const char *list, struct error *error)
{
    int result = 0;

    while (result == 0 && *list == ',') {
        size_t length = strcspn(++list, ",");
        char item[ITEM_SIZE], *value;

        if (length >= sizeof(item)) {
            return error_set(error, -EINVAL, "-display: '%s' is too long", list);
        }
        snprintf(item, sizeof(item), "%.*s", (int)length, list);
        value = strchr(item, '=');
        if (!value) {
            return error_set(error, -EINVAL, "-display: '%s' needs a value: %s=..", item, item);
        }
        *value++ = '\0';
        result = set_item(window, item, value, error);
        list += length;
    }
    return result;
}

int config_parse_display(struct vm_config *config, const char *value, struct error *error)
{
    if (!strcmp(value, "none")) {
        config->display = CONFIG_DISPLAY_NONE;
    } else if (!strcmp(value, "text")) {
        config->display = CONFIG_DISPLAY_TEXT;
    } else if (!strncmp(value, "sdl", 3) && (value[3] == ',' || value[3] == '\0')) {
        config->display = CONFIG_DISPLAY_SDL;
        return parse_window(&config->window, value + 3, error);
    } else {
        return error_set(error, -EINVAL, "-display: unknown display '%s' (known: none, text, sdl)", value);
    }
    return 0;
}

static bool is_set(const char *variable)
{
    const char *value = getenv(variable);

    return value && *value;
}

int config_choose_display(struct vm_config *config, struct error *error)
{
    if (config->display == CONFIG_DISPLAY_DEFAULT) {
        config->window.implied = is_set("DISPLAY") || is_set("WAYLAND_DISPLAY");
        config->display = config->window.implied ? CONFIG_DISPLAY_SDL : CONFIG_DISPLAY_TEXT;
    }
    if (config->window.full_screen && config->display != CONFIG_DISPLAY_SDL) {
        return error_set(error, -EINVAL, "-full-screen needs a window (-display sdl, or DISPLAY to be set)");
    }
    return 0;
}

const char *config_display_name(enum config_display display)
{
    return display == CONFIG_DISPLAY_SDL ? "sdl" : display == CONFIG_DISPLAY_TEXT ? "text" : "none";
}
