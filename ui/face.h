/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The VM's side of its window: it lives on the VM's thread, as a poller of the VM's event loop.
 *
 * Events that the window sent go into the guest's keyboard and pointer, and actions are carried out. What the screen
 * shows is looked at when something may have changed, as often as the window wants it and no more; an idle guest whose picture
 * stands still costs no wake-up. Nothing of this is visible to the guest: under -icount a run with a window is the same
 * as one without.
 */
#ifndef UI_FACE_H
#define UI_FACE_H

#include "ui/exchange.h"
#include "vm/vm.h"

struct face;

/* Write what the display shows to a picture file (monitor/screendump.h); -errno with the text. */
typedef int (*face_screenshot)(const struct display *display, const char *path, struct error *error);

/* From now on the VM has a window, whose exchange is from now on this one's, too. NULL: out of memory. The caller has the VM to
 * himself, and destroys this before it. */
struct face *face_create(struct vm *vm, struct exchange *exchange, face_screenshot screenshot);
void face_destroy(struct face *face);

#endif
