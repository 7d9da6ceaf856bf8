/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * All windows of the process, and the one that shows them all. It belongs to the thread of the windows.
 */
#ifndef UI_DESK_H
#define UI_DESK_H

#include "ui/overview.h"
#include "ui/window.h"
#include "vm/hypervisor.h"

struct desk {
    const struct host *host;
    struct window *windows; /* in the order of the VMs' creation */
    unsigned count;
    struct overview overview;
    bool overview_offered; /* it opened by itself, once */
    uint64_t now;          /* host time of this step */

    /* Who used how much of the processors (hypervisor_accounts), and what it was last time. */
    unsigned (*accounts)(void *opaque, struct hypervisor_account *account, unsigned max);
    void *opaque;
    struct hypervisor_account *before, *after; /* owned */
    unsigned accounts_room, before_count;
    uint64_t accounts_ns, next_accounts_ns;
};

void desk_init(struct desk *desk, const struct host *host,
               unsigned (*accounts)(void *opaque, struct hypervisor_account *account, unsigned max),
               void *opaque);
void desk_fini(struct desk *desk);

/* A VM's window, shown or not; takes over a reference to the exchange. NULL: out of memory, and the reference is gone. The
 * overview opens by itself with the second one that is shown. */
struct window *desk_add(struct desk *desk, const char *name, const struct config_window *config,
                        struct exchange *exchange, bool shown);
/* What the VMs have sent. Returns host time at which to come back without news, UINT64_MAX: never. */
uint64_t desk_step(struct desk *desk, uint64_t now);
/* NULL: there is none of that name, or number. Of several that had a name one after the other, the newest. */
struct window *desk_find(struct desk *desk, const char *name);
struct window *desk_window(struct desk *desk, unsigned number);
unsigned desk_count(const struct desk *desk);
bool desk_has_several(const struct desk *desk);
uint64_t desk_now(const struct desk *desk);

void desk_show_overview(struct desk *desk);
void desk_leave_overview(struct desk *desk);
/* Hide a VM's window. Something stays visible: if nothing else is, the overview. */
void desk_hide(struct desk *desk, struct window *window);

#endif
