/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A VM's window. See ui/window.h; its dialogs are ui/window_dialogs.c's.
 *
 * Who has the mouse:
 *
 *   absolute pointer (the guest asked for positions)    the guest, while the pointer is over its screen; no grab needed
 *   relative, grabbed                                   the guest
 *   relative, not grabbed                               the desktop; a click on the guest's screen grabs
 */
#include "ui/window.h"

#include <stdio.h>
#include <stdlib.h>

#include "ui/desk.h"
#include "ui/palette.h"
#include "ui/window_dialogs.h"

#define LIGHT_NS   150000000u
#define MESSAGE_NS (8 * NS_PER_SEC)

enum { FIRST_WIDTH = 720, FIRST_HEIGHT = 400, REASON_SIZE = 300, TINY_WIDTH = 320, TINY_HEIGHT = 200 };

static struct window *window_of(struct pane *pane)
{
    return (struct window *)pane;
}

static void send_event(struct window *window, const struct exchange_event *event)
{
    exchange_send(window->exchange, event);
}

static unsigned percent(const struct window *window)
{
    return MAX(window->config.scale ? window->config.scale : window->pane.percent, 100u);
}

/* ---- title, messages ---- */

void window_title(const struct window *window, char *text, size_t size)
{
    const struct exchange_status *status = &window->view.status;

    snprintf(text, size, "%s [%s%s%s] - Ctrl+Alt+G releases the mouse", window->name,
             strip_life_text(status->life), status->life == VM_STOPPED && *status->reason ? ": " : "",
             status->life == VM_STOPPED ? status->reason : "");
}

static void tell_title(struct window *window)
{
    char title[REASON_SIZE + WINDOW_NAME_SIZE];

    if (window->pane.open) {
        window_title(window, title, sizeof(title));
        window->pane.host->ops->set_title(window->pane.host->opaque, &window->pane, title);
    }
}

void window_say(struct window *window, const char *text)
{
    snprintf(window->message, sizeof(window->message), "%s", text);
    window->message_until_ns = desk_now(window->desk) + MESSAGE_NS;
    pane_touch(&window->pane, window->layout.strip);
}

/* ---- size ---- */

static void lay_out(struct window *window)
{
    window->layout = layout_make(window->pane.width, window->pane.height, window->view.width,
                                 window->view.height, percent(window), window->integer);
    pane_touch_all(&window->pane);
}

static void wanted_size(const struct window *window, unsigned *width, unsigned *height)
{
    unsigned scale = window->config.scale ? window->config.scale : percent(window);

    layout_window_size(window->view.width ? window->view.width : FIRST_WIDTH,
                       window->view.height ? window->view.height : FIRST_HEIGHT, scale, percent(window),
                       width, height);
}

/* The guest's screen has another size, or the window had: bring them together, unless the user chose. What firmware passes
 * through on its way to a mode is not followed. */
static void fit_window(struct window *window)
{
    bool tiny = window->view.width < TINY_WIDTH || window->view.height < TINY_HEIGHT;
    unsigned width, height;

    if (!window->own_size && !window->full_screen && window->pane.open && !(tiny && window->view.width)) {
        wanted_size(window, &width, &height);
        window->pane.host->ops->set_size(window->pane.host->opaque, &window->pane, width, height);
    }
    lay_out(window);
}

/* ---- grab ---- */

static bool is_absolute(const struct window *window)
{
    return window->view.status.wants_position;
}

static void show_cursor(struct window *window)
{
    bool hidden = window->view.status.life == VM_RUNNING && !window->dialog.open &&
                  (window->grabbed || is_absolute(window));

    if (window->pane.open) {
        window->pane.host->ops->set_cursor(window->pane.host->opaque, &window->pane, !hidden);
    }
}

static void set_grab(struct window *window, bool on)
{
    bool relative = on && !is_absolute(window);

    on = on && window->view.status.life == VM_RUNNING && !window->dialog.open;
    if (!window->pane.open || (on == window->grabbed && (!on || relative == window->grabbed_relative))) {
        return;
    }
    window->grabbed = on;
    window->grabbed_relative = relative;
    window->pane.host->ops->set_grab(window->pane.host->opaque, &window->pane, on, relative);
    show_cursor(window);
    pane_touch(&window->pane, window->layout.strip);
}

/* Nothing is down any more: the guest's keyboard and mouse are somebody else's, or nobody's. */
void window_let_go(struct window *window)
{
    set_grab(window, false);
    chord_reset(&window->chord);
    window->buttons = 0;
    send_event(window, &(struct exchange_event){.kind = EXCHANGE_RELEASE_ALL});
}

/* ---- actions ---- */

static void chord_key_out(void *opaque, enum key key, bool down)
{
    send_event(opaque, &(struct exchange_event){.kind = EXCHANGE_KEY, .number = (unsigned)key, .down = down});
}

static void chord_action(void *opaque, enum action action)
{
    window_act(opaque, action);
}

static void set_full_screen(struct window *window, bool on)
{
    window->full_screen = on;
    if (window->pane.open) {
        window->pane.host->ops->set_full_screen(window->pane.host->opaque, &window->pane, on);
    }
    if (!on) {
        fit_window(window);
    }
    lay_out(window);
}

static void paste(struct window *window)
{
    char *text = window->pane.host->ops->paste(window->pane.host->opaque);
    char said[64];

    if (!text || !*text) {
        free(text);
        window_say(window, "The clipboard has no text");
    } else if (strlen(text) > EXCHANGE_PASTE_MAX) {
        free(text);
        window_say(window, "The clipboard's text is too long to be typed");
    } else {
        snprintf(said, sizeof(said), "Typing %zu bytes of text", strlen(text));
        window_say(window, said);
        send_event(window, &(struct exchange_event){.kind = EXCHANGE_PASTE, .text = text});
    }
}

/* The list of media, once the VM has said what there is; for a file that was dropped, or "". */
static void request_media(struct window *window, const char *dropped)
{
    snprintf(window->dropped, sizeof(window->dropped), "%s", dropped);
    window->wants_media = true;
    send_event(window, &(struct exchange_event){.kind = EXCHANGE_ACTION, .number = ACTION_LIST_DRIVES});
}

static void set_integer(struct window *window, bool on)
{
    window->integer = on;
    window_say(window, on ? "Whole pixels only" : "Any size");
    lay_out(window);
}

void window_act(struct window *window, enum action action)
{
    switch (action) {
    case ACTION_FULL_SCREEN:
        set_full_screen(window, !window->full_screen);
        break;
    case ACTION_GRAB:
        set_grab(window, !window->grabbed);
        break;
    case ACTION_INTEGER:
        set_integer(window, !window->integer);
        break;
    case ACTION_ORIGINAL_SIZE:
        window->own_size = false;
        if (window->full_screen) {
            set_full_screen(window, false);
        }
        fit_window(window);
        break;
    case ACTION_PASTE:
        paste(window);
        break;
    case ACTION_MEDIA:
        request_media(window, "");
        break;
    case ACTION_OVERVIEW:
        desk_show_overview(window->desk);
        break;
    case ACTION_HELP:
        window_ask_help(window);
        break;
    case ACTION_NONE:
        break;
    default:
        if (window->view.status.life == VM_STOPPED) {
            window_say(window, "The VM has stopped");
        } else {
            send_event(window, &(struct exchange_event){.kind = EXCHANGE_ACTION, .number = (unsigned)action});
        }
        break;
    }
}

/* ---- what happens in the window ---- */

static void pane_key(struct pane *pane, enum key key, bool down)
{
    struct window *window = window_of(pane);

    if (window->dialog.open) {
        if (down && dialog_key(&window->dialog, key)) {
            window_dialog_changed(window);
        }
        return;
    }
    chord_key(&window->chord, key, down);
}

static void pane_text(struct pane *pane, const char *utf8)
{
    struct window *window = window_of(pane);

    if (window->dialog.open && dialog_text(&window->dialog, utf8)) {
        window_dialog_changed(window);
    }
}

static void send_position(struct window *window, int x, int y)
{
    uint16_t guest_x, guest_y;

    if (layout_position(&window->layout, x, y, &guest_x, &guest_y)) {
        send_event(window, &(struct exchange_event){.kind = EXCHANGE_POSITION, .x = guest_x, .y = guest_y});
    }
}

static void pane_motion(struct pane *pane, int x, int y, int dx, int dy)
{
    struct window *window = window_of(pane);

    if (window->dialog.open) {
        if (dialog_motion(&window->dialog, x, y)) {
            window_dialog_changed(window);
        }
    } else if (is_absolute(window)) {
        send_position(window, x, y);
    } else if (window->grabbed && (dx || dy)) {
        send_event(window, &(struct exchange_event){.kind = EXCHANGE_MOTION, .x = dx, .y = dy});
    }
}

/* Which of the buttons that are down are the guest's. */
static void send_buttons(struct window *window, uint8_t down)
{
    uint8_t mine = (uint8_t)(down & ~window->swallowed);

    if (mine != window->buttons) {
        window->buttons = mine;
        send_event(window, &(struct exchange_event){.kind = EXCHANGE_BUTTONS, .number = mine});
    }
}

static void pane_buttons(struct pane *pane, uint8_t down, int x, int y)
{
    struct window *window = window_of(pane);
    uint8_t pressed = (uint8_t)(down & ~(window->buttons | window->swallowed));
    bool inside = box_contains(window->layout.guest, x, y);

    window->swallowed &= down;
    if (window->dialog.open) {
        window->swallowed |= down;
        if (pressed && dialog_click(&window->dialog, x, y)) {
            window_dialog_changed(window);
        }
        return;
    }
    if (pressed && (!inside || (!is_absolute(window) && !window->grabbed))) {
        window->swallowed |= pressed; /* a press is the guest's from its beginning or not at all */
        if (inside) {
            set_grab(window, true);
        }
    } else if (pressed) {
        chord_button(&window->chord);
    }
    if (is_absolute(window)) {
        send_position(window, x, y);
    }
    send_buttons(window, down);
}

static void pane_wheel(struct pane *pane, int detents)
{
    struct window *window = window_of(pane);

    if (!window->dialog.open && (is_absolute(window) || window->grabbed)) {
        send_event(window, &(struct exchange_event){.kind = EXCHANGE_MOTION, .wheel = detents});
    }
}

static void pane_focus(struct pane *pane, bool has)
{
    struct window *window = window_of(pane);

    window->focused = has;
    if (!has) {
        window_let_go(window);
    }
}

static void pane_resized(struct pane *pane, bool by_user)
{
    struct window *window = window_of(pane);

    window->own_size = window->own_size || (by_user && !window->full_screen);
    lay_out(window);
}

static void pane_close(struct pane *pane)
{
    window_ask_close(window_of(pane));
}

static void pane_dropped(struct pane *pane, const char *path)
{
    request_media(window_of(pane), path);
}

/* ---- drawing ---- */

/* Around the guest's screen. */
static void draw_border(const struct window *window, const struct canvas *canvas, struct box dirty)
{
    struct box guest = window->layout.guest, strip = window->layout.strip;
    struct box part[4] = {
        {0, 0, strip.width, guest.y},
        {0, guest.y + guest.height, strip.width, strip.y - guest.y - guest.height},
        {0, guest.y, guest.x, guest.height},
        {guest.x + guest.width, guest.y, strip.width - guest.x - guest.width, guest.height}};

    if (box_is_empty(guest)) {
        part[0] = (struct box){0, 0, strip.width, strip.y};
        part[1] = part[2] = part[3] = (struct box){0};
    }
    for (unsigned i = 0; i < ARRAY_LEN(part); i++) {
        canvas_fill(canvas, box_intersect(part[i], dirty), PALETTE_BLACK);
    }
}

/* A VM without a screen says so. */
static void draw_absence(const struct window *window, const struct canvas *canvas)
{
    const char *text = window->view.status.has_display ? "" : "This VM has no display adapter (-vga none)";
    int width = canvas_text_width(text, percent(window)), room = window->layout.strip.width;

    canvas_text(canvas, MAX((room - width) / 2, 0), window->layout.strip.y / 2, room, percent(window), text,
                PALETTE_FAINT);
}

static struct box pane_draw(struct pane *pane, const struct canvas *canvas, struct box dirty)
{
    struct window *window = window_of(pane);
    struct picture picture = {window->view.pixel, window->view.width, window->view.height};

    draw_border(window, canvas, dirty);
    if (box_is_empty(window->layout.guest)) {
        draw_absence(window, canvas);
    } else {
        canvas_picture(canvas, window->layout.guest, dirty, &picture);
    }
    if (!box_is_empty(box_intersect(dirty, window->layout.strip))) {
        strip_draw(&window->strip, canvas, window->layout.strip, percent(window));
        dirty = box_union(dirty, window->layout.strip);
    }
    if (window->dialog.open) {
        struct box room = {0, 0, (int)pane->width, window->layout.strip.y};

        dirty = box_union(dirty, dialog_draw(&window->dialog, canvas, room, percent(window)));
    }
    return dirty;
}

static const struct pane_ops window_ops = {
    .key = pane_key,
    .text = pane_text,
    .motion = pane_motion,
    .buttons = pane_buttons,
    .wheel = pane_wheel,
    .focus = pane_focus,
    .resized = pane_resized,
    .close = pane_close,
    .dropped = pane_dropped,
    .draw = pane_draw,
};

/* ---- news from the VM ---- */

/* Rows of the guest's screen that changed, as a part of the window. */
static void touch_rows(struct window *window)
{
    struct box guest = window->layout.guest;
    int64_t height = window->view.height;
    int first, end;

    if (window->view.dirty_first >= window->view.dirty_end || box_is_empty(guest)) {
        return;
    }
    first = (int)((int64_t)window->view.dirty_first * guest.height / height);
    end = (int)(((int64_t)window->view.dirty_end * guest.height + height - 1) / height);
    pane_touch(&window->pane, (struct box){guest.x, guest.y + first, guest.width, end - first});
    window->view.dirty_first = window->view.dirty_end = 0;
}

static void take_picture(struct window *window)
{
    if (window->view.resized) {
        window->view.resized = false;
        fit_window(window);
    }
    if (window->view.dirty_first < window->view.dirty_end) {
        window->thumbnail_old = true;
    }
    touch_rows(window);
}

static void take_message(struct window *window)
{
    if (window->view.messages != window->messages_seen) {
        window->messages_seen = window->view.messages;
        window_say(window, window->view.message);
    }
}

static void take_copied(struct window *window)
{
    unsigned lines = 0;
    char said[64];

    if (!window->view.copied) {
        return;
    }
    for (const char *c = window->view.copied; *c; c++) {
        lines += *c == '\n';
    }
    window->pane.host->ops->copy(window->pane.host->opaque, window->view.copied);
    free(window->view.copied);
    window->view.copied = NULL;
    snprintf(said, sizeof(said), "Copied %u line%s of text", lines, lines == 1 ? "" : "s");
    window_say(window, said);
}

static void take_life(struct window *window, enum vm_state before, bool absolute_before)
{
    if (window->view.status.life != before) {
        if (window->view.status.life != VM_RUNNING) {
            set_grab(window, false);
            chord_forget(&window->chord);
            send_event(window, &(struct exchange_event){.kind = EXCHANGE_RELEASE_ALL});
        }
        window->thumbnail_old = true;
        tell_title(window);
        show_cursor(window);
    }
    if (is_absolute(window) != absolute_before) {
        if (window->grabbed) {
            set_grab(window, true);
        }
        show_cursor(window);
    }
}

static void take_news(struct window *window)
{
    enum vm_state life = window->view.status.life;
    bool absolute = is_absolute(window);

    if (!exchange_look(window->exchange, &window->view)) {
        return;
    }
    take_picture(window);
    take_life(window, life, absolute);
    take_message(window);
    take_copied(window);
    if (window->view.drives_listed != window->drives_seen) {
        window->drives_seen = window->view.drives_listed;
        if (window->wants_media) {
            window->wants_media = false;
            window_ask_media(window);
        }
    }
}

/* ---- the strip ---- */

static void light(struct window *window, enum strip_light which, bool has, uint64_t *before, uint64_t counter,
                  uint64_t now)
{
    if (counter != *before) {
        *before = counter;
        window->lit_until_ns[which] = now + LIGHT_NS;
    }
    window->strip.has[which] = has;
    window->strip.lit[which] = window->lit_until_ns[which] > now;
}

static void hint(const struct window *window, char *text, size_t size)
{
    snprintf(text, size, "%s+K: keys", action_host_key_text((enum key)window->config.host_key));
}

/* Bring the strip up to date, and say until when it is. */
static uint64_t step_strip(struct window *window, uint64_t now)
{
    const struct exchange_status *status = &window->view.status;
    struct strip before = window->strip;
    bool message = window->message_until_ns > now;
    uint64_t until = message ? window->message_until_ns : UINT64_MAX;

    light(window, STRIP_DISK, status->has_disk, &window->activity.disk, status->activity.disk, now);
    light(window, STRIP_FLOPPY, status->has_floppy, &window->activity.floppy, status->activity.floppy, now);
    light(window, STRIP_CD, status->has_cd, &window->activity.cd, status->activity.cd, now);
    light(window, STRIP_NET, status->has_net, &window->activity.net, status->activity.net, now);
    window->strip.mips = window->mips;
    window->strip.cpu_percent = window->cpu_percent;
    window->strip.life = status->life;
    window->strip.grabbed = window->grabbed;
    window->strip.message = window->message;
    if (!message && window->message_until_ns) {
        window->message_until_ns = 0;
        hint(window, window->message, sizeof(window->message));
        pane_touch(&window->pane, window->layout.strip);
    }
    if (memcmp(&before, &window->strip, sizeof(before)) != 0) {
        pane_touch(&window->pane, window->layout.strip);
    }
    for (unsigned i = 0; i < STRIP_LIGHTS; i++) {
        until = window->strip.lit[i] ? MIN(until, window->lit_until_ns[i]) : until;
    }
    return until;
}

uint64_t window_step(struct window *window, uint64_t now)
{
    uint64_t until;

    take_news(window);
    until = step_strip(window, now);
    pane_flush(&window->pane);
    return window->pane.visible ? until : UINT64_MAX;
}

/* ---- life ---- */

static bool open_pane(struct window *window)
{
    char title[REASON_SIZE + WINDOW_NAME_SIZE];

    wanted_size(window, &window->pane.width, &window->pane.height);
    window_title(window, title, sizeof(title));
    window->pane.open = window->pane.host->ops->open(window->pane.host->opaque, &window->pane, title, true,
                                                     window->full_screen);
    return window->pane.open;
}

void window_show(struct window *window)
{
    window->shown = true;
    if (!window->pane.open) {
        if (open_pane(window)) {
            fit_window(window);
            show_cursor(window);
        }
        return;
    }
    window->pane.host->ops->show(window->pane.host->opaque, &window->pane, true);
    pane_touch_all(&window->pane);
}

void window_hide(struct window *window)
{
    window->shown = false;
    window_let_go(window);
    if (window->pane.open) {
        window->pane.host->ops->show(window->pane.host->opaque, &window->pane, false);
    }
}

struct window *window_create(struct desk *desk, const struct host *host, const char *name,
                             const struct config_window *config, struct exchange *exchange)
{
    static const struct chord_ops chord_ops = {.key = chord_key_out, .action = chord_action};
    struct window *window = calloc(1, sizeof(*window));

    if (!window) {
        return NULL;
    }
    window->pane = (struct pane){.ops = &window_ops, .host = host, .percent = 100};
    window->desk = desk;
    snprintf(window->name, sizeof(window->name), "%s", name);
    window->config = *config;
    window->exchange = exchange;
    window->full_screen = config->full_screen;
    window->integer = config->integer;
    window->view.status.has_display = true; /* until the VM says otherwise */
    window->view.status.life = VM_PAUSED;
    chord_init(&window->chord, (enum key)config->host_key, &chord_ops, window);
    hint(window, window->message, sizeof(window->message));
    exchange_look(exchange, &window->view);
    return window;
}

void window_destroy(struct window *window)
{
    if (window->pane.open) {
        window->pane.host->ops->close(window->pane.host->opaque, &window->pane);
    }
    exchange_view_fini(&window->view);
    exchange_release(window->exchange);
    free(window);
}
