/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * All windows. See ui/desk.h.
 *
 * A VM is asked for pictures as often as somebody can see them: 60 times a second in its window, a few times in the overview,
 * else never.
 */
#include "ui/desk.h"

#include <stdlib.h>

#define ACCOUNTS_NS  NS_PER_SEC
#define THUMBNAIL_NS 200000000u

void desk_init(struct desk *desk, const struct host *host,
               unsigned (*accounts)(void *opaque, struct hypervisor_account *account, unsigned max),
               void *opaque)
{
    *desk = (struct desk){.host = host, .accounts = accounts, .opaque = opaque};
    overview_init(&desk->overview, desk, host);
}

void desk_fini(struct desk *desk)
{
    while (desk->windows) {
        struct window *next = desk->windows->next;

        window_destroy(desk->windows);
        desk->windows = next;
    }
    overview_fini(&desk->overview);
    free(desk->before);
    free(desk->after);
}

/* ---- the list ---- */

struct window *desk_find(struct desk *desk, const char *name)
{
    struct window *found = NULL;

    for (struct window *window = desk->windows; window; window = window->next) {
        found = strcmp(window->name, name) ? found : window;
    }
    return found;
}

struct window *desk_window(struct desk *desk, unsigned number)
{
    struct window *window = desk->windows;

    for (; window && number > 0; number--) {
        window = window->next;
    }
    return window;
}

unsigned desk_count(const struct desk *desk)
{
    return desk->count;
}

bool desk_has_several(const struct desk *desk)
{
    return desk->count > 1;
}

uint64_t desk_now(const struct desk *desk)
{
    return desk->now;
}

static unsigned shown_windows(const struct desk *desk)
{
    unsigned shown = 0;

    for (const struct window *window = desk->windows; window; window = window->next) {
        shown += window->shown;
    }
    return shown;
}

struct window *desk_add(struct desk *desk, const char *name, const struct config_window *config,
                        struct exchange *exchange, bool shown)
{
    struct window *window = window_create(desk, desk->host, name, config, exchange), **last = &desk->windows;

    if (!window) {
        exchange_release(exchange);
        return NULL;
    }
    while (*last) {
        last = &(*last)->next;
    }
    *last = window;
    desk->count++;
    desk->overview.scale = config->scale;
    desk->next_accounts_ns = 0;
    if (shown) {
        window_show(window);
    }
    overview_grow(&desk->overview);
    return window;
}

/* ---- the overview ---- */

void desk_show_overview(struct desk *desk)
{
    desk->overview_offered = true;
    overview_show(&desk->overview);
}

void desk_leave_overview(struct desk *desk)
{
    struct window *window = desk_window(desk, desk->overview.chosen);

    if (shown_windows(desk) == 0 && window) {
        window_show(window);
    }
    overview_hide(&desk->overview);
}

void desk_hide(struct desk *desk, struct window *window)
{
    window_hide(window);
    if (shown_windows(desk) == 0) {
        overview_show(&desk->overview);
    }
}

/* ---- figures ---- */

static bool reserve_accounts(struct desk *desk, unsigned count)
{
    struct hypervisor_account *before, *after;

    if (count <= desk->accounts_room) {
        return true;
    }
    before = realloc(desk->before, count * sizeof(*before));
    desk->before = before ? before : desk->before;
    after = realloc(desk->after, count * sizeof(*after));
    desk->after = after ? after : desk->after;
    desk->accounts_room = before && after ? count : desk->accounts_room;
    return before && after;
}

static const struct hypervisor_account *find_account(const struct hypervisor_account *list, unsigned count,
                                                     const char *name)
{
    for (unsigned i = 0; i < count; i++) {
        if (!strcmp(list[i].name, name)) {
            return &list[i];
        }
    }
    return NULL;
}

/* Of the time since the last look; figures of a VM that is new are 0. Returns whether they differ from what they were. */
static bool set_figures(struct desk *desk, struct window *window, unsigned count, uint64_t elapsed_ns)
{
    unsigned mips = window->mips, cpu_percent = window->cpu_percent;
    const struct hypervisor_account *before = find_account(desk->before, desk->before_count, window->name);
    const struct hypervisor_account *after = find_account(desk->after, count, window->name);

    window->mips = window->cpu_percent = 0;
    if (!before || !after || elapsed_ns == 0 || after->insns < before->insns ||
        after->entity.charged_ns < before->entity.charged_ns) {
        return mips || cpu_percent;
    }
    window->mips = (unsigned)muldiv64(after->insns - before->insns, 1000, elapsed_ns);
    window->cpu_percent =
        (unsigned)((after->entity.charged_ns - before->entity.charged_ns + elapsed_ns / 200) * 100 /
                   elapsed_ns);
    return window->mips != mips || window->cpu_percent != cpu_percent;
}

static void step_accounts(struct desk *desk)
{
    unsigned count = desk->accounts(desk->opaque, NULL, 0);
    struct hypervisor_account *list;
    bool changed = false;

    desk->next_accounts_ns = desk->now + ACCOUNTS_NS;
    if (!reserve_accounts(desk, count)) {
        return;
    }
    count = MIN(desk->accounts(desk->opaque, desk->after, count), count);
    for (struct window *window = desk->windows; window; window = window->next) {
        changed |= set_figures(desk, window, count, desk->now - desk->accounts_ns);
    }
    list = desk->before;
    desk->before = desk->after;
    desk->after = list;
    desk->before_count = count;
    desk->accounts_ns = desk->now;
    if (changed) {
        overview_changed(&desk->overview);
    }
}

/* ---- steps ---- */

static bool anything_visible(const struct desk *desk)
{
    for (const struct window *window = desk->windows; window; window = window->next) {
        if (window->pane.visible) {
            return true;
        }
    }
    return desk->overview.pane.visible;
}

/* A second window has come: this is a lab. */
static void offer_overview(struct desk *desk)
{
    if (!desk->overview_offered && shown_windows(desk) >= 2) {
        desk->overview_offered = true;
        overview_show(&desk->overview);
    }
}

uint64_t desk_step(struct desk *desk, uint64_t now)
{
    bool overview = desk->overview.shown && desk->overview.pane.visible;
    uint64_t until = UINT64_MAX;

    desk->now = now;
    offer_overview(desk);
    if (anything_visible(desk)) {
        if (now >= desk->next_accounts_ns) {
            step_accounts(desk);
        }
        until = desk->next_accounts_ns;
    }
    for (struct window *window = desk->windows; window; window = window->next) {
        uint64_t next = window_step(window, now);

        exchange_want(window->exchange, window->pane.visible ? WINDOW_FRAME_NS : overview ? THUMBNAIL_NS : 0);
        until = MIN(until, next);
    }
    return MIN(until, overview_step(&desk->overview, now));
}
