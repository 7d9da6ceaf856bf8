/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What passes between a VM and its windows, also when both are busy at the same time, or one has gone.
 */
#include <criterion/criterion.h>
#include <pthread.h>

#include "twin.h"

static struct twin twin;
static struct exchange *exchange;
static struct loop loop;

static void begin(void)
{
    twin_init(&twin);
    exchange = exchange_create(twin_ring, &twin);
    cr_assert_not_null(exchange);
    cr_assert_eq(loop_init(&loop, NULL), 0);
    exchange_attach(exchange, &loop);
}

static void end(void)
{
    loop_fini(&loop);
}

TestSuite(ui_exchange, .init = begin, .fini = end);

static void send_key(enum key key, bool down)
{
    exchange_send(exchange,
                  &(struct exchange_event){.kind = EXCHANGE_KEY, .number = (unsigned)key, .down = down});
}

static unsigned take(struct exchange_event *event, unsigned max)
{
    bool lost;
    unsigned count = exchange_take(exchange, event, max, &lost);

    cr_assert_not(lost);
    return count;
}

static void close_both(void)
{
    exchange_close(exchange);
    exchange_release(exchange);
}

Test(ui_exchange, events_keep_their_order_and_motion_adds_up)
{
    struct exchange_event event[8];

    exchange_send(exchange, &(struct exchange_event){.kind = EXCHANGE_MOTION, .x = 3, .y = -1});
    exchange_send(exchange, &(struct exchange_event){.kind = EXCHANGE_MOTION, .x = 4, .wheel = 1});
    send_key(KEY_A, true);
    exchange_send(exchange, &(struct exchange_event){.kind = EXCHANGE_POSITION, .x = 1, .y = 2});
    exchange_send(exchange, &(struct exchange_event){.kind = EXCHANGE_POSITION, .x = 5, .y = 6});
    send_key(KEY_A, false);
    cr_assert_eq(take(event, 8), 4);
    cr_assert(event[0].x == 7 && event[0].y == -1 && event[0].wheel == 1);
    cr_assert(event[1].kind == EXCHANGE_KEY && event[1].down);
    cr_assert(event[2].x == 5 && event[2].y == 6);
    cr_assert(event[3].kind == EXCHANGE_KEY && !event[3].down);
    close_both();
}

Test(ui_exchange, events_wake_the_vms_loop)
{
    cr_assert_eq(loop_poll(&loop, 0), 0);
    send_key(KEY_A, true);
    cr_assert_eq(loop_poll(&loop, 0), 1);
    close_both();
}

Test(ui_exchange, what_does_not_fit_is_lost_and_said_so)
{
    struct exchange_event event[EXCHANGE_EVENTS];
    bool lost;

    for (unsigned i = 0; i < EXCHANGE_EVENTS + 5; i++) {
        exchange_send(exchange, &(struct exchange_event){.kind = EXCHANGE_PASTE, .text = strdup("text")});
    }
    cr_assert_eq(exchange_take(exchange, event, EXCHANGE_EVENTS, &lost), EXCHANGE_EVENTS);
    cr_assert(lost);
    for (unsigned i = 0; i < EXCHANGE_EVENTS; i++) {
        free(event[i].text);
    }
    cr_assert_eq(exchange_take(exchange, event, 1, &lost), 0);
    cr_assert_not(lost);
    close_both();
}

Test(ui_exchange, the_bell_rings_once_until_somebody_looks)
{
    struct exchange_view view = {0};

    exchange_say(exchange, "one");
    exchange_say(exchange, "two");
    cr_assert_eq(twin.rings, 1);
    cr_assert(exchange_look(exchange, &view));
    cr_assert_str_eq(view.message, "two");
    cr_assert_eq(view.messages, 2);
    cr_assert_not(exchange_look(exchange, &view));
    exchange_say(exchange, "three");
    cr_assert_eq(twin.rings, 2);
    exchange_view_fini(&view);
    close_both();
}

Test(ui_exchange, whoever_is_last_frees_it)
{
    struct exchange_view view = {0};

    exchange_send(exchange, &(struct exchange_event){.kind = EXCHANGE_PASTE, .text = strdup("never read")});
    exchange_put_copied(exchange, strdup("never taken"));
    exchange_close(exchange); /* the VM first: its last words are there, and events go nowhere */
    exchange_send(exchange, &(struct exchange_event){.kind = EXCHANGE_PASTE, .text = strdup("too late")});
    cr_assert(exchange_look(exchange, &view));
    cr_assert_str_eq(view.copied, "never taken");
    exchange_view_fini(&view);
    exchange_release(exchange);
}

Test(ui_exchange, windows_that_have_gone_are_not_rung)
{
    exchange_release(exchange);
    exchange_say(exchange, "to nobody");
    cr_assert_eq(twin.rings, 0);
    exchange_close(exchange);
}

/* A VM that draws all the time, and windows that look: rows may be older or newer, but never of no picture. */
static void *draw_all_the_time(void *opaque)
{
    struct display_surface surface = {0};
    uint32_t row[64];
    uint64_t seen = 0;

    (void)opaque;
    for (unsigned i = 1; i <= 5000; i++) {
        display_surface_resize(&surface, 16 + i / 500, 48);
        for (unsigned y = 0; y < 48; y++) {
            for (unsigned x = 0; x < 64; x++) {
                row[x] = i;
            }
            if ((y + i) % 3 == 0) {
                display_surface_put(&surface, y, row);
            }
        }
        display_surface_commit(&surface);
        cr_assert(exchange_put_picture(exchange, &surface, seen));
        seen = surface.serial;
    }
    display_surface_fini(&surface);
    return NULL;
}

static void check_rows(const struct exchange_view *view)
{
    for (unsigned y = 0; y < view->height; y++) {
        const uint32_t *row = view->pixel + (size_t)y * view->width;

        for (unsigned x = 1; x < view->width; x++) {
            cr_assert_eq(row[x], row[0]);
        }
        cr_assert_leq(row[0], 5000);
    }
}

Test(ui_exchange, pictures_arrive_whole_while_the_vm_draws)
{
    struct exchange_view view = {0};
    pthread_t thread;

    cr_assert_eq(pthread_create(&thread, NULL, draw_all_the_time, NULL), 0);
    for (unsigned i = 0; i < 3000; i++) {
        exchange_look(exchange, &view);
        check_rows(&view);
    }
    pthread_join(thread, NULL);
    exchange_look(exchange, &view);
    cr_assert(view.width == 26 && view.height == 48);
    cr_assert_eq(view.pixel[26], 5000, "the last picture's second row");
    exchange_view_fini(&view);
    close_both();
}
