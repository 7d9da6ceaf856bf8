/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * window: what a user does in a VM's window by a chord or its menu, done from the monitor.
 *
 * The windows are above the monitor, so whoever started the process hands over what they can do (struct monitor_host). An
 * action is begun and not waited for: what becomes of it is said in the window.
 *
 * NOT modelled: how a window is at the moment, which only the thread of the windows knows.
 */
#include "monitor/groups.h"

static bool list_actions(struct command_call *call, const struct monitor_host *host)
{
    const char *name, *text;

    call->data = json_array();
    for (unsigned i = 0; (name = host->window_action(host->opaque, i, &text)); i++) {
        json_array_append_new(call->data, json_pack("{s:s, s:s}", "action", name, "help", text));
        fprintf(call->out, "%-14s %s\n", name, text);
    }
    return true;
}

static bool run_window(struct command_call *call)
{
    const struct monitor_host *host = call->session->host;
    struct error error;
    const char *name;

    if (!host || !host->window_action) {
        return command_fail(call, "window: no window can be reached from here (-display sdl opens one)");
    }
    if (call->count == 0) {
        return list_actions(call, host);
    }
    name = command_vm_name(call, 1);
    if (!name) {
        return false;
    }
    return host->act_in_window(host->opaque, name, call->word[0], &error) == 0 ||
           command_fail(call, "window: %s", error.text);
}

static const struct command commands[] = {
    {"window", NULL, "[ACTION [VM]]",
     "do in a VM's window what a key does there; without an action, list them",
     "Actions: full-screen, grab, integer, original-size, copy, paste, media, overview, keys, and the others "
     "of its list of "
     "keys. Most that change something change it back the next time. A hidden window is shown first if the "
     "action is about it.",
     true, 0, 2, run_window},
};

const struct command_group window_group = {"Windows", commands, ARRAY_LEN(commands)};
