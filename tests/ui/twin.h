/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A desktop that does not exist: host_ops over memory, so that everything of ui/ but SDL runs in tests, and a VM's side of an
 * exchange that writes down what comes.
 */
#ifndef TESTS_UI_TWIN_H
#define TESTS_UI_TWIN_H

#include "ui/chord.h"
#include "ui/desk.h"

enum { TWIN_WINDOWS = 8, TWIN_TITLE = 512 };

struct twin_window {
    struct pane *pane; /* NULL: not open */
    char title[TWIN_TITLE];
    uint32_t *pixel;
    unsigned width, height; /* of `pixel` */
    bool full_screen, shown, grabbed, relative, cursor, text_input, fresh;
    unsigned presents;
    struct box presented; /* the last one */
};

struct twin {
    struct host host;
    struct twin_window window[TWIN_WINDOWS];
    struct pane *front; /* the last one shown */
    char *clipboard;
    unsigned rings; /* atomic */
};

void twin_init(struct twin *twin);
void twin_fini(struct twin *twin);
struct twin_window *twin_of(struct twin *twin, const struct pane *pane);
/* As exchange_create() takes it. */
void twin_ring(void *opaque);
/* The desktop gives a window another size; by its user. */
void twin_resize(struct twin *twin, struct pane *pane, unsigned width, unsigned height);
/* Press and release. */
void twin_type(struct pane *pane, enum key key);
/* Press `key` while the host key is down. */
void twin_chord(struct pane *pane, enum key key);

/* What a VM hears. */
struct twin_vm {
    struct exchange *exchange;
    struct loop loop;
    struct key_set down;
    uint8_t buttons;
    unsigned keys, releases; /* events */
    int x, y, wheel;         /* sums of motion */
    int position_x, position_y;
    unsigned action[ACTION_COUNT]; /* how often */
    char pasted[256], inserted[256], drive[32];
    unsigned ejected;
    struct exchange_status status;
};

/* With a window in the desk. */
void twin_vm_init(struct twin_vm *vm, struct twin *twin, struct desk *desk, const char *name, bool shown);
void twin_vm_fini(struct twin_vm *vm);
/* Take all events. */
void twin_vm_listen(struct twin_vm *vm);
void twin_vm_life(struct twin_vm *vm, enum vm_state life, const char *reason);
/* Show a picture in which pixel x, y is x << 8 | y, and `mark` in the highest byte of the color. */
void twin_vm_show(struct twin_vm *vm, unsigned width, unsigned height, uint8_t mark);
bool twin_vm_nothing_down(const struct twin_vm *vm);

/* desk.accounts of a host without VMs. */
unsigned twin_no_accounts(void *opaque, struct hypervisor_account *account, unsigned max);

#endif
