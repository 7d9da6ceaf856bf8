/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A desktop in memory. See twin.h.
 */
#include "twin.h"

#include <criterion/criterion.h>
#include <stdlib.h>

enum { MIN_SIZE = 1 };

struct twin_window *twin_of(struct twin *twin, const struct pane *pane)
{
    for (unsigned i = 0; i < TWIN_WINDOWS; i++) {
        if (twin->window[i].pane == pane) {
            return &twin->window[i];
        }
    }
    return NULL;
}

static void resize(struct twin_window *window, unsigned width, unsigned height)
{
    free(window->pixel);
    window->width = MAX(width, (unsigned)MIN_SIZE);
    window->height = MAX(height, (unsigned)MIN_SIZE);
    window->pixel = calloc((size_t)window->width * window->height, sizeof(uint32_t));
    window->fresh = true;
    window->pane->width = window->width;
    window->pane->height = window->height;
}

static bool host_open(void *opaque, struct pane *pane, const char *title, bool shown, bool full_screen)
{
    struct twin *twin = opaque;
    struct twin_window *window = twin_of(twin, NULL);

    if (!window) {
        return false;
    }
    *window = (struct twin_window){.pane = pane, .shown = shown, .full_screen = full_screen, .cursor = true};
    snprintf(window->title, sizeof(window->title), "%s", title);
    pane->visible = shown;
    pane->percent = 100;
    resize(window, pane->width, pane->height);
    twin->front = pane;
    return true;
}

static void host_close(void *opaque, struct pane *pane)
{
    struct twin_window *window = twin_of(opaque, pane);

    free(window->pixel);
    *window = (struct twin_window){0};
}

static void host_show(void *opaque, struct pane *pane, bool shown)
{
    struct twin *twin = opaque;

    twin_of(twin, pane)->shown = shown;
    pane->visible = shown;
    twin->front = shown ? pane : twin->front;
}

static void host_set_title(void *opaque, struct pane *pane, const char *title)
{
    struct twin_window *window = twin_of(opaque, pane);

    snprintf(window->title, sizeof(window->title), "%s", title);
}

static void host_set_size(void *opaque, struct pane *pane, unsigned width, unsigned height)
{
    resize(twin_of(opaque, pane), width, height);
}

static void host_set_full_screen(void *opaque, struct pane *pane, bool on)
{
    struct twin_window *window = twin_of(opaque, pane);

    window->full_screen = on;
    if (on) {
        resize(window, 1920, 1080);
    }
}

static void host_set_grab(void *opaque, struct pane *pane, bool on, bool relative)
{
    struct twin_window *window = twin_of(opaque, pane);

    window->grabbed = on;
    window->relative = relative;
}

static void host_set_cursor(void *opaque, struct pane *pane, bool visible)
{
    twin_of(opaque, pane)->cursor = visible;
}

static void host_set_text_input(void *opaque, struct pane *pane, bool on)
{
    twin_of(opaque, pane)->text_input = on;
}

static bool host_canvas(void *opaque, struct pane *pane, struct canvas *canvas, bool *fresh)
{
    struct twin_window *window = twin_of(opaque, pane);

    *canvas = (struct canvas){window->pixel, window->width, window->height, window->width};
    *fresh = window->fresh;
    window->fresh = false;
    return true;
}

static void host_present(void *opaque, struct pane *pane, struct box box)
{
    struct twin_window *window = twin_of(opaque, pane);

    window->presents++;
    window->presented = box;
}

static void host_copy(void *opaque, const char *text)
{
    struct twin *twin = opaque;

    free(twin->clipboard);
    twin->clipboard = strdup(text);
}

static char *host_paste(void *opaque)
{
    struct twin *twin = opaque;

    return twin->clipboard ? strdup(twin->clipboard) : NULL;
}

static const struct host_ops host_ops = {
    .open = host_open,
    .close = host_close,
    .show = host_show,
    .set_title = host_set_title,
    .set_size = host_set_size,
    .set_full_screen = host_set_full_screen,
    .set_grab = host_set_grab,
    .set_cursor = host_set_cursor,
    .set_text_input = host_set_text_input,
    .canvas = host_canvas,
    .present = host_present,
    .copy = host_copy,
    .paste = host_paste,
};

void twin_init(struct twin *twin)
{
    *twin = (struct twin){.host = {.ops = &host_ops, .opaque = twin}};
}

void twin_fini(struct twin *twin)
{
    for (unsigned i = 0; i < TWIN_WINDOWS; i++) {
        cr_assert_null(twin->window[i].pane, "a window was left open");
    }
    free(twin->clipboard);
}

void twin_ring(void *opaque)
{
    struct twin *twin = opaque;

    __atomic_add_fetch(&twin->rings, 1, __ATOMIC_RELAXED);
}

void twin_resize(struct twin *twin, struct pane *pane, unsigned width, unsigned height)
{
    resize(twin_of(twin, pane), width, height);
    pane->ops->resized(pane, true);
}

void twin_type(struct pane *pane, enum key key)
{
    pane->ops->key(pane, key, true);
    pane->ops->key(pane, key, false);
}

void twin_chord(struct pane *pane, enum key key)
{
    pane->ops->key(pane, KEY_RIGHT_CTRL, true);
    twin_type(pane, key);
    pane->ops->key(pane, KEY_RIGHT_CTRL, false);
}

unsigned twin_no_accounts(void *opaque, struct hypervisor_account *account, unsigned max)
{
    (void)opaque;
    (void)account;
    (void)max;
    return 0;
}

/* ---- a VM's side ---- */

void twin_vm_init(struct twin_vm *vm, struct twin *twin, struct desk *desk, const char *name, bool shown)
{
    static const struct config_window config = {.host_key = KEY_RIGHT_CTRL};

    *vm = (struct twin_vm){.exchange = exchange_create(twin_ring, twin)};
    cr_assert_not_null(vm->exchange);
    cr_assert_eq(loop_init(&vm->loop, NULL), 0);
    exchange_attach(vm->exchange, &vm->loop);
    cr_assert_not_null(desk_add(desk, name, &config, vm->exchange, shown));
    vm->status.has_display = true;
    twin_vm_life(vm, VM_RUNNING, "");
}

void twin_vm_fini(struct twin_vm *vm)
{
    exchange_close(vm->exchange);
    loop_fini(&vm->loop);
}

static void hear_key(struct twin_vm *vm, const struct exchange_event *event)
{
    vm->keys++;
    cr_assert(key_set_put(&vm->down, (enum key)event->number, event->down), "key %x reported %s twice",
              event->number, event->down ? "down" : "up");
}

static void hear(struct twin_vm *vm, const struct exchange_event *event)
{
    switch (event->kind) {
    case EXCHANGE_KEY:
        hear_key(vm, event);
        break;
    case EXCHANGE_RELEASE_ALL:
        memset(&vm->down, 0, sizeof(vm->down));
        vm->buttons = 0;
        vm->releases++;
        break;
    case EXCHANGE_MOTION:
        vm->x += event->x;
        vm->y += event->y;
        vm->wheel += event->wheel;
        break;
    case EXCHANGE_POSITION:
        vm->position_x = event->x;
        vm->position_y = event->y;
        break;
    case EXCHANGE_BUTTONS:
        vm->buttons = (uint8_t)event->number;
        break;
    case EXCHANGE_ACTION:
        vm->action[event->number]++;
        break;
    case EXCHANGE_PASTE:
        snprintf(vm->pasted, sizeof(vm->pasted), "%s", event->text);
        break;
    case EXCHANGE_INSERT:
        snprintf(vm->inserted, sizeof(vm->inserted), "%s", event->text);
        memcpy(vm->drive, event->drive, sizeof(vm->drive));
        break;
    case EXCHANGE_EJECT:
        vm->ejected++;
        memcpy(vm->drive, event->drive, sizeof(vm->drive));
        break;
    }
}

void twin_vm_listen(struct twin_vm *vm)
{
    struct exchange_event event[16];
    unsigned count;
    bool lost;

    do {
        count = exchange_take(vm->exchange, event, ARRAY_LEN(event), &lost);
        for (unsigned i = 0; i < count; i++) {
            hear(vm, &event[i]);
            free(event[i].text);
        }
        if (lost) {
            memset(&vm->down, 0, sizeof(vm->down));
            vm->buttons = 0;
        }
    } while (count > 0);
}

void twin_vm_life(struct twin_vm *vm, enum vm_state life, const char *reason)
{
    vm->status.life = life;
    snprintf(vm->status.reason, sizeof(vm->status.reason), "%s", reason);
    exchange_put_status(vm->exchange, &vm->status);
}

void twin_vm_show(struct twin_vm *vm, unsigned width, unsigned height, uint8_t mark)
{
    struct display_surface surface = {0};
    uint32_t *row = malloc(width * sizeof(*row));

    cr_assert(display_surface_resize(&surface, width, height));
    for (unsigned y = 0; y < height; y++) {
        for (unsigned x = 0; x < width; x++) {
            row[x] = (uint32_t)mark << 16 | (x & 0xff) << 8 | (y & 0xff);
        }
        display_surface_put(&surface, y, row);
    }
    display_surface_commit(&surface);
    cr_assert(exchange_put_picture(vm->exchange, &surface, 0));
    display_surface_fini(&surface);
    free(row);
}

bool twin_vm_nothing_down(const struct twin_vm *vm)
{
    static const struct key_set empty;

    return vm->buttons == 0 && memcmp(&vm->down, &empty, sizeof(empty)) == 0;
}
