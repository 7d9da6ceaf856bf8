/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * One window with all VMs: a small picture of each, its state and its share of the processor. Arrows, Home and End choose, Enter
 * shows the VM's window, Esc leaves; a click chooses, another one shows.
 */
#ifndef UI_OVERVIEW_H
#define UI_OVERVIEW_H

#include "ui/host.h"
#include "ui/window.h"

struct overview {
    struct pane pane; /* first */
    struct desk *desk;
    bool shown;
    bool own_size;      /* the user gave the window its size */
    unsigned chosen;    /* number of a VM, in the desk's order */
    unsigned first_row; /* of tiles, that is shown */
    unsigned scale;     /* percent; 0: as the screen is */
    uint8_t buttons;    /* down */
    uint64_t drawn_ns;  /* when thumbnails were last brought up to date */
};

void overview_init(struct overview *overview, struct desk *desk, const struct host *host);
void overview_fini(struct overview *overview);
void overview_show(struct overview *overview);
void overview_hide(struct overview *overview);
/* The figures are new. */
void overview_changed(struct overview *overview);
/* There is one VM more. */
void overview_grow(struct overview *overview);
/* Returns host time at which there is something to do, UINT64_MAX: none. */
uint64_t overview_step(struct overview *overview, uint64_t now);

#endif
