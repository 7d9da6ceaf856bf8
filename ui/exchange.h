/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the thread of the windows and the thread of a VM have in common: one object a VM, with one lock.
 *
 *   thread of the windows                                     thread of the VM (ui/face.h)
 *   exchange_send() ---- events: keys, pointer, actions ---->  exchange_take(), when its loop runs next
 *   exchange_look() <--- picture, status, messages ----------  exchange_put_...()
 *
 * Nobody waits for anybody: the lock is held to copy, never to work. Sending wakes the VM's loop; putting rings the windows'
 * bell, once until they look. When either has gone the other finds out at its next call, and the last one frees it.
 *
 * A VM that a bug of ours stopped may have left the lock taken. Whoever reports that calls exchange_break(), which takes none;
 * and the windows never wait for a lock longer than EXCHANGE_PATIENCE_NS.
 */
#ifndef UI_EXCHANGE_H
#define UI_EXCHANGE_H

#include "base/error.h"
#include "devices/display.h"
#include "devices/input.h"
#include "ui/action.h"
#include "vm/vm.h"

#define EXCHANGE_PATIENCE_NS 500000000u

enum {
    EXCHANGE_EVENTS = 512,
    EXCHANGE_DRIVES = CONFIG_IDE_DRIVES + CONFIG_FLOPPY_DRIVES,
    EXCHANGE_MESSAGE_SIZE = 256,
    EXCHANGE_PASTE_MAX = 1 << 20, /* bytes of text */
};

enum exchange_kind {
    EXCHANGE_KEY,         /* number: enum key; down */
    EXCHANGE_RELEASE_ALL, /* all keys and buttons */
    EXCHANGE_MOTION,      /* x, y, wheel */
    EXCHANGE_POSITION,    /* x, y: 0..65535 */
    EXCHANGE_BUTTONS,     /* number: enum input_button */
    EXCHANGE_ACTION,      /* number: enum action */
    EXCHANGE_PASTE,       /* text */
    EXCHANGE_INSERT,      /* drive, text: a path */
    EXCHANGE_EJECT,       /* drive */
};

struct exchange_event {
    enum exchange_kind kind;
    unsigned number;
    bool down;
    int x, y, wheel;
    char drive[32];
    char *text; /* owned by whoever has the event */
};

/* Counted since the VM began: what differs from the last look was active. */
struct exchange_activity {
    uint64_t disk, cd, floppy, net;
};

struct exchange_status {
    enum vm_state life;
    char reason[256]; /* why it stopped; "" before that */
    bool has_display; /* there is an adapter */
    bool wants_position;
    uint8_t leds; /* PS2_LED_* */
    bool has_disk, has_cd, has_floppy, has_net;
    struct exchange_activity activity;
};

/* A drive whose medium can be changed. */
struct exchange_drive {
    char id[32];
    bool cd; /* else floppy */
    bool inserted;
    char file[256]; /* its end, when it is longer */
};

struct exchange;

/* A VM's, for the windows that `ring` wakes, from any thread and without waiting. NULL: out of memory. Two references: the
 * windows' and the VM's. */
struct exchange *exchange_create(void (*ring)(void *opaque), void *opaque);

/* ---- the windows' side ---------------------------------------------------------------------------------------- */

/* What the windows know of a VM. */
struct exchange_view {
    uint32_t *pixel; /* owned; height rows of width pixels */
    unsigned width, height;
    size_t capacity;
    unsigned dirty_first, dirty_end; /* rows that changed; the window empties this when it has drawn them */
    bool resized;                    /* and so does it with this */
    struct exchange_status status;
    char message[EXCHANGE_MESSAGE_SIZE];
    uint64_t messages; /* how many there have been */
    struct exchange_drive drive[EXCHANGE_DRIVES];
    unsigned drive_count;
    uint64_t drives_listed; /* answers to ACTION_LIST_DRIVES */
    char *copied;           /* text of ACTION_COPY, the window's to take and free; NULL: none */
};

/* Hand over an event. Motion adds up and positions replace each other while the VM is busy. When it is so busy that there is no
 * room, keys are lost, and all keys go up when there is room again. The text of an event that cannot be sent is freed. */
void exchange_send(struct exchange *exchange, const struct exchange_event *event);
/* How often a picture is wanted; 0: not at all. */
void exchange_want(struct exchange *exchange, uint64_t interval_ns);
/* Bring the view up to date. False: nothing is new. */
bool exchange_look(struct exchange *exchange, struct exchange_view *view);
void exchange_view_fini(struct exchange_view *view);
void exchange_release(struct exchange *exchange);

/* ---- the VM's side, on its thread -------------------------------------------------------------------------------- */

/* From now on events wake this loop, until NULL. */
void exchange_attach(struct exchange *exchange, struct loop *loop);
uint64_t exchange_wanted(const struct exchange *exchange);
/* Up to `max` events, oldest first; *lost: some were, so that all keys go up first. */
unsigned exchange_take(struct exchange *exchange, struct exchange_event *event, unsigned max, bool *lost);
bool exchange_has_events(const struct exchange *exchange);
/* The windows have not taken the last picture yet. */
bool exchange_has_picture(const struct exchange *exchange);
/* What changed of the surface after `since`. False: out of memory, and nothing has happened. */
bool exchange_put_picture(struct exchange *exchange, const struct display_surface *surface, uint64_t since);
void exchange_put_status(struct exchange *exchange, const struct exchange_status *status);
void exchange_put_drives(struct exchange *exchange, const struct exchange_drive *drive, unsigned count);
/* Takes over the text. */
void exchange_put_copied(struct exchange *exchange, char *text);
void exchange_say(struct exchange *exchange, const char *format, ...) PRINTF_LIKE(2, 3);
/* The VM goes; one that had not stopped is shown as removed. */
void exchange_close(struct exchange *exchange);
/* Instead of exchange_close(), from any thread: the VM is not to be touched any more. */
void exchange_break(struct exchange *exchange, const char *reason);

#endif
