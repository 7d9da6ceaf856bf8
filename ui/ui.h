/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Windows for VMs: what main() and the monitor use of this folder.
 *
 *   main's thread                    the thread of the windows            the VMs' threads
 *   ui_create(), ui_add() ---------> desk, windows, SDL  <--exchange-->  face, one a VM
 *
 * The thread of the windows never touches a VM and never waits for one; see ui/exchange.h.
 */
#ifndef UI_UI_H
#define UI_UI_H

#include "ui/action.h"
#include "ui/face.h"
#include "vm/hypervisor.h"

struct ui;
struct ui_vm;

/* Connect to the display server; no window is opened yet. Before sandbox_enter(). NULL with the text. */
struct ui *ui_create(struct hypervisor *hv, face_screenshot screenshot, struct error *error);
/* Closes all windows. After hypervisor_run(), before hypervisor_destroy(). */
void ui_destroy(struct ui *ui);

/* Give a VM a window, shown or for the overview only; the caller has the VM to himself. NULL with the text. */
struct ui_vm *ui_add(struct ui *ui, struct vm *vm, bool shown, struct error *error);
/* Before the VM is destroyed. NULL is legal. */
void ui_vm_close(struct ui_vm *ui_vm);
/* Instead: a bug of ours stopped the VM, and nothing of it may be touched. */
void ui_vm_break(struct ui_vm *ui_vm, const char *reason);

/* For the monitor, from any thread: what the user could do by a chord in that VM's window. It is begun, not over, when this
 * returns. -ENOENT with the text: no such window. */
int ui_act(struct ui *ui, const char *vm, enum action action, struct error *error);

#endif
