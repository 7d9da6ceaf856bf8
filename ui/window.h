/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A VM's window: what it shows, and what happens in it.
 *
 * It knows its VM through an exchange only (ui/exchange.h), and the desktop through host_ops only (ui/host.h).
 */
#ifndef UI_WINDOW_H
#define UI_WINDOW_H

#include "ui/chord.h"
#include "ui/dialog.h"
#include "ui/exchange.h"
#include "ui/host.h"
#include "ui/layout.h"
#include "ui/strip.h"
#include "vm/config.h"

#define WINDOW_FRAME_NS (NS_PER_SEC / 60)

enum { WINDOW_NAME_SIZE = 64 };

struct desk;

struct window {
    struct pane pane; /* first */
    struct desk *desk;
    char name[WINDOW_NAME_SIZE];
    struct config_window config;
    struct exchange *exchange; /* a reference */
    struct exchange_view view;
    struct chord chord;
    struct dialog dialog;
    struct layout layout;

    bool shown, full_screen, integer;
    bool own_size;            /* the user gave the window its size */
    bool grabbed, grab_click; /* grab_click: the press that grabbed is not over */
    bool grabbed_relative;
    bool focused;
    uint8_t buttons;   /* down in the guest */
    uint8_t swallowed; /* down, but not the guest's */

    uint64_t messages_seen, drives_seen;
    bool wants_media; /* the next list of drives is for the list of media */
    char message[EXCHANGE_MESSAGE_SIZE];
    uint64_t message_until_ns;  /* 0: there is none */
    char dropped[DIALOG_FIELD]; /* a file that was dropped on the window; "": none */
    char drive[32];             /* whose medium is being chosen */

    struct strip strip; /* as drawn */
    struct exchange_activity activity;
    uint64_t lit_until_ns[STRIP_LIGHTS];

    bool thumbnail_old; /* the overview's; it takes note */

    /* By the hypervisor's accounts; the desk fills them in. */
    unsigned mips, cpu_percent;
    struct window *next;
};

/* Takes over a reference to the exchange. NULL: out of memory. */
struct window *window_create(struct desk *desk, const struct host *host, const char *name,
                             const struct config_window *config, struct exchange *exchange);
void window_destroy(struct window *window);
/* Show it, in front of all others; opens it when it is not. */
void window_show(struct window *window);
void window_hide(struct window *window);

/* News from the VM; returns host time at which there is something to do without any, UINT64_MAX: never. */
uint64_t window_step(struct window *window, uint64_t now);
/* Whatever the user, a chord or the monitor asks for. */
void window_act(struct window *window, enum action action);
/* What the title says. */
void window_title(const struct window *window, char *text, size_t size);

#endif
