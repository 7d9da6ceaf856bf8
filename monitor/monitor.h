/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The monitor: a command line that sees into running VMs, on any character device.
 *
 * Command names are QEMU's. A VM's own monitor runs its commands on the VM's thread between instructions; the lab's, which
 * belongs to the process, holds the VM that a command is for meanwhile. So what they show is consistent.
 */
#ifndef MONITOR_MONITOR_H
#define MONITOR_MONITOR_H

#include "vm/clone.h"
#include "vm/hypervisor.h"
#include "vm/vm.h"

struct monitor;
struct notices; /* monitor/notices.h */

/* What whoever started the process does for its monitors; the caller keeps it valid. Any part may be NULL: not for this one. */
struct monitor_host {
    /* Make the VMs that a lab's file describes, beside those that run; *made of them there are then. -errno with the text. */
    int (*new_vms)(void *opaque, const char *path, unsigned *made, struct error *error);
    /* Clone a running VM (vm/clone.h); name NULL: one made of the parent's. `made` is what it is called. */
    int (*clone_vm)(void *opaque, const char *parent, const char *name, char made[HYPERVISOR_NAME_SIZE],
                    struct clone_figures *figures, struct error *error);
    /* What a user can do in a window: the name of action `i`, and what it is for; NULL: there are no more. */
    const char *(*window_action)(void *opaque, unsigned i, const char **text);
    /* Begin it, from any thread. -errno with the text: no such action, VM or window. */
    int (*act_in_window)(void *opaque, const char *vm, const char *action, struct error *error);
    void *opaque;
};

/* Whose commands these are. */
struct monitor_session {
    struct hypervisor *hv;
    const struct monitor_host *host;   /* NULL: none */
    struct vm *vm;                     /* a VM's own monitor: it; NULL: the lab's */
    char chosen[HYPERVISOR_NAME_SIZE]; /* the lab's: the VM that commands are for; "": none */
};

/* Attach to the VM's monitor character device; NULL when it has none or memory ran out. The caller owns it and
 * destroys it before the VM. Its commands run on the VM's thread, and so do the host's parts (NULL: none). */
struct monitor *monitor_create(struct vm *vm, struct hypervisor *hv, const struct monitor_host *host);
/* The lab's, on a character device of the hypervisor's loop. It says what is put into `notices` (NULL: nothing), which
 * outlives it. */
struct monitor *monitor_create_lab(struct hypervisor *hv, struct chardev *chardev,
                                   const struct monitor_host *host, struct notices *notices);
/* For who writes to the same terminal: the line that is being typed makes room from hide to show. NULL: nothing to do. */
void monitor_hide_line(struct monitor *monitor);
void monitor_show_line(struct monitor *monitor);
void monitor_destroy(struct monitor *monitor);

/* Run one command line, writing to `out`. False: it failed, and `out` says why. */
bool monitor_execute(struct monitor_session *session, const char *line, FILE *out);

/* The reference of all commands: form is "text", "man" (a manual page) or "markdown". -EINVAL: it is none of these. */
int monitor_write_manual(const char *form, FILE *out);

#endif
