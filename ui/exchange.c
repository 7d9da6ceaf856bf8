/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Between a VM and its window. See ui/exchange.h.
 */
#include "ui/exchange.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <time.h>

#include "vm/pacer.h"

struct exchange {
    pthread_mutex_t lock;
    unsigned references;
    void (*ring)(void *opaque);
    void *opaque;
    uint64_t interval_ns; /* atomic */

    struct loop *loop; /* NULL: the VM is not there yet, or not any more */
    struct exchange_event event[EXCHANGE_EVENTS];
    unsigned first, count; /* count: also read without the lock */
    bool lost;

    /* What the windows have not seen yet. */
    bool news, has_picture; /* has_picture: also read without the lock */
    uint32_t *pixel;
    size_t capacity;
    unsigned width, height, dirty_first, dirty_end;
    struct exchange_status status;
    char message[EXCHANGE_MESSAGE_SIZE];
    uint64_t messages;
    struct exchange_drive drive[EXCHANGE_DRIVES];
    unsigned drive_count;
    uint64_t drives_listed;
    char *copied;

    /* By exchange_break(). */
    bool broken; /* atomic; behind the text */
    char broken_reason[256];
};

struct exchange *exchange_create(void (*ring)(void *opaque), void *opaque)
{
    struct exchange *exchange = calloc(1, sizeof(*exchange));

    if (exchange) {
        pthread_mutex_init(&exchange->lock, NULL);
        exchange->references = 2;
        exchange->ring = ring;
        exchange->opaque = opaque;
    }
    return exchange;
}

static void drop_reference(struct exchange *exchange)
{
    bool last = --exchange->references == 0;

    pthread_mutex_unlock(&exchange->lock);
    if (!last) {
        return;
    }
    for (; exchange->count > 0; exchange->count--) {
        free(exchange->event[exchange->first].text);
        exchange->first = (exchange->first + 1) % EXCHANGE_EVENTS;
    }
    pthread_mutex_destroy(&exchange->lock);
    free(exchange->copied);
    free(exchange->pixel);
    free(exchange);
}

/* ---- the windows' side ---- */

/* False: the VM broke with the lock in its hands. */
static bool lock_patiently(struct exchange *exchange)
{
    struct timespec until;
    uint64_t at = pacer_host_now() + EXCHANGE_PATIENCE_NS;

    if (__atomic_load_n(&exchange->broken, __ATOMIC_ACQUIRE)) {
        return false;
    }
    until = (struct timespec){.tv_sec = (time_t)(at / NS_PER_SEC), .tv_nsec = (long)(at % NS_PER_SEC)};
    return pthread_mutex_clocklock(&exchange->lock, CLOCK_MONOTONIC, &until) == 0;
}

static struct exchange_event *last_event(struct exchange *exchange)
{
    return exchange->count > 0 ? &exchange->event[(exchange->first + exchange->count - 1) % EXCHANGE_EVENTS]
                               : NULL;
}

static void set_count(struct exchange *exchange, unsigned count)
{
    __atomic_store_n(&exchange->count, count, __ATOMIC_RELEASE);
}

/* Into the one before it, if they are of a kind that can be. */
static bool merge(struct exchange_event *last, const struct exchange_event *event)
{
    if (!last || last->kind != event->kind) {
        return false;
    }
    if (event->kind == EXCHANGE_MOTION) {
        last->x += event->x;
        last->y += event->y;
        last->wheel += event->wheel;
        return true;
    }
    if (event->kind == EXCHANGE_POSITION) {
        last->x = event->x;
        last->y = event->y;
        return true;
    }
    return false;
}

static void append(struct exchange *exchange, const struct exchange_event *event)
{
    if (merge(last_event(exchange), event)) {
        return;
    }
    if (exchange->count == EXCHANGE_EVENTS) {
        exchange->lost = true;
        free(event->text);
        return;
    }
    exchange->event[(exchange->first + exchange->count) % EXCHANGE_EVENTS] = *event;
    set_count(exchange, exchange->count + 1);
}

void exchange_send(struct exchange *exchange, const struct exchange_event *event)
{
    if (!lock_patiently(exchange)) {
        free(event->text);
        return;
    }
    if (exchange->loop) {
        append(exchange, event);
        loop_wake(exchange->loop);
    } else {
        free(event->text);
    }
    pthread_mutex_unlock(&exchange->lock);
}

void exchange_want(struct exchange *exchange, uint64_t interval_ns)
{
    if (__atomic_exchange_n(&exchange->interval_ns, interval_ns, __ATOMIC_RELEASE) == interval_ns) {
        return;
    }
    if (lock_patiently(exchange)) {
        if (exchange->loop) {
            loop_wake(exchange->loop);
        }
        pthread_mutex_unlock(&exchange->lock);
    }
}

static bool view_resize(struct exchange_view *view, unsigned width, unsigned height)
{
    size_t pixels = (size_t)width * height;

    if (pixels > view->capacity) {
        uint32_t *grown = realloc(view->pixel, pixels * sizeof(*grown));

        if (!grown) {
            return false;
        }
        view->pixel = grown;
        view->capacity = pixels;
    }
    view->width = width;
    view->height = height;
    view->resized = true;
    return true;
}

static void look_at_picture(struct exchange *exchange, struct exchange_view *view)
{
    bool same = exchange->width == view->width && exchange->height == view->height;
    unsigned first = exchange->dirty_first, end = exchange->dirty_end;

    if (!exchange->has_picture || (!same && !view_resize(view, exchange->width, exchange->height))) {
        return;
    }
    memcpy(view->pixel + (size_t)first * view->width, exchange->pixel + (size_t)first * view->width,
           (size_t)(end - first) * view->width * sizeof(uint32_t));
    if (view->dirty_first < view->dirty_end) {
        first = MIN(first, view->dirty_first);
        end = MAX(end, view->dirty_end);
    }
    view->dirty_first = first;
    view->dirty_end = MIN(end, view->height);
    exchange->dirty_first = exchange->dirty_end = 0;
    __atomic_store_n(&exchange->has_picture, false, __ATOMIC_RELEASE);
}

static bool look_at_broken(struct exchange *exchange, struct exchange_view *view)
{
    if (!__atomic_load_n(&exchange->broken, __ATOMIC_ACQUIRE) || view->status.life == VM_STOPPED) {
        return false;
    }
    view->status.life = VM_STOPPED;
    memcpy(view->status.reason, exchange->broken_reason, sizeof(view->status.reason));
    return true;
}

bool exchange_look(struct exchange *exchange, struct exchange_view *view)
{
    bool news;

    if (!lock_patiently(exchange)) {
        return look_at_broken(exchange, view);
    }
    news = exchange->news;
    if (news) {
        exchange->news = false;
        look_at_picture(exchange, view);
        view->status = exchange->status;
        view->messages = exchange->messages;
        memcpy(view->message, exchange->message, sizeof(view->message));
        view->drive_count = exchange->drive_count;
        view->drives_listed = exchange->drives_listed;
        memcpy(view->drive, exchange->drive, sizeof(view->drive));
        if (exchange->copied) {
            free(view->copied);
            view->copied = exchange->copied;
            exchange->copied = NULL;
        }
    }
    pthread_mutex_unlock(&exchange->lock);
    return news;
}

void exchange_view_fini(struct exchange_view *view)
{
    free(view->pixel);
    free(view->copied);
    *view = (struct exchange_view){0};
}

void exchange_release(struct exchange *exchange)
{
    if (lock_patiently(exchange)) {
        exchange->ring = NULL;
        drop_reference(exchange);
    }
}

/* ---- the VM's side ---- */

/* There is something to look at. With the lock. */
static void ring(struct exchange *exchange)
{
    if (!exchange->news && exchange->ring) {
        exchange->ring(exchange->opaque);
    }
    exchange->news = true;
}

void exchange_attach(struct exchange *exchange, struct loop *loop)
{
    pthread_mutex_lock(&exchange->lock);
    exchange->loop = loop;
    pthread_mutex_unlock(&exchange->lock);
}

uint64_t exchange_wanted(const struct exchange *exchange)
{
    return __atomic_load_n(&exchange->interval_ns, __ATOMIC_ACQUIRE);
}

bool exchange_has_events(const struct exchange *exchange)
{
    return __atomic_load_n(&exchange->count, __ATOMIC_ACQUIRE) > 0;
}

bool exchange_has_picture(const struct exchange *exchange)
{
    return __atomic_load_n(&exchange->has_picture, __ATOMIC_ACQUIRE);
}

unsigned exchange_take(struct exchange *exchange, struct exchange_event *event, unsigned max, bool *lost)
{
    unsigned taken = 0;

    pthread_mutex_lock(&exchange->lock);
    for (; taken < max && exchange->count > 0; taken++) {
        event[taken] = exchange->event[exchange->first];
        exchange->first = (exchange->first + 1) % EXCHANGE_EVENTS;
        set_count(exchange, exchange->count - 1);
    }
    *lost = exchange->lost;
    exchange->lost = false;
    pthread_mutex_unlock(&exchange->lock);
    return taken;
}

static bool reserve(struct exchange *exchange, size_t pixels)
{
    if (pixels > exchange->capacity) {
        uint32_t *grown = realloc(exchange->pixel, pixels * sizeof(*grown));

        if (!grown) {
            return false;
        }
        exchange->pixel = grown;
        exchange->capacity = pixels;
    }
    return true;
}

/* Rows [first, end) of the surface. */
static void copy_rows(struct exchange *exchange, const struct display_surface *surface, unsigned first,
                      unsigned end)
{
    memcpy(exchange->pixel + (size_t)first * surface->width, surface->pixel + (size_t)first * surface->width,
           (size_t)(end - first) * surface->width * sizeof(uint32_t));
    if (exchange->dirty_first < exchange->dirty_end) {
        exchange->dirty_first = MIN(exchange->dirty_first, first);
        exchange->dirty_end = MAX(exchange->dirty_end, end);
    } else {
        exchange->dirty_first = first;
        exchange->dirty_end = end;
    }
}

bool exchange_put_picture(struct exchange *exchange, const struct display_surface *surface, uint64_t since)
{
    struct display_rect rect[8];
    unsigned count = display_dirty(surface, since, rect, ARRAY_LEN(rect));
    bool room;

    if (count == 0) {
        return true;
    }
    pthread_mutex_lock(&exchange->lock);
    room = reserve(exchange, (size_t)surface->width * surface->height);
    if (room && (exchange->width != surface->width || exchange->height != surface->height)) {
        exchange->width = surface->width;
        exchange->height = surface->height;
        exchange->dirty_first = exchange->dirty_end = 0;
        copy_rows(exchange, surface, 0, surface->height);
        count = 0;
    }
    for (unsigned i = 0; room && i < count; i++) {
        copy_rows(exchange, surface, rect[i].y, rect[i].y + rect[i].height);
    }
    if (room) {
        __atomic_store_n(&exchange->has_picture, true, __ATOMIC_RELEASE);
        ring(exchange);
    }
    pthread_mutex_unlock(&exchange->lock);
    return room;
}

void exchange_put_status(struct exchange *exchange, const struct exchange_status *status)
{
    pthread_mutex_lock(&exchange->lock);
    exchange->status = *status;
    ring(exchange);
    pthread_mutex_unlock(&exchange->lock);
}

void exchange_put_drives(struct exchange *exchange, const struct exchange_drive *drive, unsigned count)
{
    pthread_mutex_lock(&exchange->lock);
    memcpy(exchange->drive, drive, count * sizeof(*drive));
    exchange->drive_count = count;
    exchange->drives_listed++;
    ring(exchange);
    pthread_mutex_unlock(&exchange->lock);
}

void exchange_put_copied(struct exchange *exchange, char *text)
{
    pthread_mutex_lock(&exchange->lock);
    free(exchange->copied);
    exchange->copied = text;
    ring(exchange);
    pthread_mutex_unlock(&exchange->lock);
}

void exchange_say(struct exchange *exchange, const char *format, ...)
{
    va_list arguments;

    pthread_mutex_lock(&exchange->lock);
    va_start(arguments, format);
    vsnprintf(exchange->message, sizeof(exchange->message), format, arguments);
    va_end(arguments);
    exchange->messages++;
    ring(exchange);
    pthread_mutex_unlock(&exchange->lock);
}

void exchange_close(struct exchange *exchange)
{
    pthread_mutex_lock(&exchange->lock);
    exchange->loop = NULL;
    if (exchange->status.life != VM_STOPPED) {
        exchange->status.life = VM_STOPPED;
        snprintf(exchange->status.reason, sizeof(exchange->status.reason), "it was removed");
        ring(exchange);
    }
    drop_reference(exchange);
}

void exchange_break(struct exchange *exchange, const char *reason)
{
    snprintf(exchange->broken_reason, sizeof(exchange->broken_reason), "%s", reason);
    __atomic_store_n(&exchange->broken, true, __ATOMIC_RELEASE);
    if (exchange->ring) { /* windows that go, do so on the thread that reports this */
        exchange->ring(exchange->opaque);
    }
}
