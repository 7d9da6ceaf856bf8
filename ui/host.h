/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Between windows as we mean them and those of the host's desktop.
 *
 *   ui/window.c, ui/overview.c     a pane: what it shows, what a key or click means
 *         | host_ops      ^ pane_ops
 *         v               |
 *   ui/sdl_window.c                SDL; tests/ui/twin.c: none at all, for tests
 *
 * All calls are on the thread of the windows. Places and sizes are pixels of the host's screen, whatever its desktop counts in.
 */
#ifndef UI_HOST_H
#define UI_HOST_H

#include "devices/input.h"
#include "ui/canvas.h"

struct pane;

/* What happens to a pane. */
struct pane_ops {
    void (*key)(struct pane *pane, enum key key, bool down);
    void (*text)(struct pane *pane,
                 const char *utf8); /* typed, by the host's layout; after host_ops.set_text_input */
    void (*motion)(struct pane *pane, int x, int y, int dx, int dy);
    void (*buttons)(struct pane *pane, uint8_t down, int x,
                    int y);                        /* all that are down now; enum input_button */
    void (*wheel)(struct pane *pane, int detents); /* positive towards the user */
    void (*focus)(struct pane *pane, bool has);
    void (*resized)(struct pane *pane, bool by_user); /* pane->width and height are new */
    void (*close)(struct pane *pane);                 /* the desktop's button for that */
    void (*dropped)(struct pane *pane, const char *path);
    /* Draw what lies in `dirty`, or more; returns what was drawn. */
    struct box (*draw)(struct pane *pane, const struct canvas *canvas, struct box dirty);
};

struct host_ops {
    /* Make a window of the size that the pane has; it may get another one. False: there will be none. */
    bool (*open)(void *opaque, struct pane *pane, const char *title, bool shown, bool full_screen);
    void (*close)(void *opaque, struct pane *pane);
    void (*show)(void *opaque, struct pane *pane, bool shown); /* shown: and in front, with the keyboard */
    void (*set_title)(void *opaque, struct pane *pane, const char *title);
    void (*set_size)(void *opaque, struct pane *pane, unsigned width, unsigned height);
    void (*set_full_screen)(void *opaque, struct pane *pane, bool on);
    /* All keys, and with `relative` the mouse, are this pane's. */
    void (*set_grab)(void *opaque, struct pane *pane, bool on, bool relative);
    void (*set_cursor)(void *opaque, struct pane *pane, bool visible);
    void (*set_text_input)(void *opaque, struct pane *pane, bool on);
    /* What to draw on, until the next call; false: nothing now. *fresh: nothing of what was there is left. */
    bool (*canvas)(void *opaque, struct pane *pane, struct canvas *canvas, bool *fresh);
    void (*present)(void *opaque, struct pane *pane, struct box box);
    /* The clipboard, as text. paste: for the caller to free, NULL: there is none. */
    void (*copy)(void *opaque, const char *text);
    char *(*paste)(void *opaque);
};

struct host {
    const struct host_ops *ops;
    void *opaque;
};

struct pane {
    const struct pane_ops *ops;
    const struct host *host;
    void *native;           /* the host's */
    unsigned width, height; /* pixels */
    unsigned percent; /* of how large things should be drawn on this screen; set by the host, 100 or more */
    bool open;
    bool visible; /* somebody could see it: neither hidden nor minimized; set by the host */
    struct box dirty;
};

/* This part must be drawn. */
void pane_touch(struct pane *pane, struct box box);
void pane_touch_all(struct pane *pane);
/* Draw what must be, if somebody can see it. */
void pane_flush(struct pane *pane);

#endif
