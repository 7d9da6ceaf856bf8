/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The box of notices: see monitor/notices.h. A guest that stops again and again fills it once.
 */
#include "monitor/notices.h"

#include <pthread.h>
#include <stdlib.h>

#include "monitor/debug_stop.h"
#include "vm/containment.h"
#include "vm/debugger.h"

enum { NOTICES_SIZE = 8192 };

struct notices {
    struct loop *loop;
    pthread_mutex_t lock;
    char text[NOTICES_SIZE]; /* lines */
    size_t count;
};

struct notice_watch {
    struct notices *notices;
    struct vm *vm;
    struct debug_listener listener;
};

/* The box is everybody's: a fault in between would leave it locked. */
static void put(struct notices *notices, const char *text, size_t length)
{
    containment_share();
    pthread_mutex_lock(&notices->lock);
    if (notices->count + length < NOTICES_SIZE) {
        memcpy(notices->text + notices->count, text, length);
        notices->count += length;
    }
    pthread_mutex_unlock(&notices->lock);
    containment_unshare();
    loop_wake(notices->loop);
}

static void vm_changed(void *opaque, struct vm *vm)
{
    struct notice_watch *watch = opaque;
    char *text = NULL;
    size_t length = 0;
    FILE *out;

    if (vm->state != VM_PAUSED || debugger_stop(vm)->reason != DEBUG_STOP_POINT) {
        return;
    }
    out = open_memstream(&text, &length);
    if (out) {
        fprintf(out, "%s: ", vm->config.name);
        debug_stop_print(out, vm);
        fclose(out);
        put(watch->notices, text, length);
        free(text);
    }
}

struct notices *notices_create(struct loop *loop)
{
    struct notices *notices = calloc(1, sizeof(*notices));

    if (notices) {
        notices->loop = loop;
        pthread_mutex_init(&notices->lock, NULL);
    }
    return notices;
}

void notices_destroy(struct notices *notices)
{
    if (notices) {
        pthread_mutex_destroy(&notices->lock);
        free(notices);
    }
}

struct notice_watch *notices_watch(struct notices *notices, struct vm *vm)
{
    struct notice_watch *watch = calloc(1, sizeof(*watch));

    if (watch) {
        watch->notices = notices;
        watch->vm = vm;
        watch->listener = (struct debug_listener){.changed = vm_changed, .opaque = watch};
        debugger_listen(vm, &watch->listener);
    }
    return watch;
}

void notices_unwatch(struct notice_watch *watch)
{
    if (watch) {
        debugger_unlisten(watch->vm, &watch->listener);
        free(watch);
    }
}

char *notices_take(struct notices *notices)
{
    char *text;

    pthread_mutex_lock(&notices->lock);
    text = notices->count > 0 ? strndup(notices->text, notices->count) : NULL;
    notices->count = text ? 0 : notices->count;
    pthread_mutex_unlock(&notices->lock);
    return text;
}
