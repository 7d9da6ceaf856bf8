/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The thread of the windows, and how others reach it. See ui/ui.h.
 */
#include "ui/ui.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "ui/desk.h"
#include "ui/sdl_window.h"
#include "vm/pacer.h"

enum { PATIENCE_S = 3 };

/* Something for the thread of the windows. */
struct errand {
    char name[WINDOW_NAME_SIZE];
    struct exchange *exchange; /* not NULL: a new window */
    struct config_window config;
    bool shown;
    enum action action; /* else for this one */
    struct errand *next;
};

struct ui {
    struct hypervisor *hv;
    face_screenshot screenshot;
    pthread_t thread;
    struct sdl *sdl;
    struct desk desk; /* the thread's */

    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool started, failed, ending; /* the thread has connected to the display, or not; shall end */
    struct error error;
    struct errand *errands, **last_errand;
};

struct ui_vm {
    struct face *face;
    struct exchange *exchange;
};

/* ---- the thread of the windows ---- */

static void ring(void *opaque)
{
    sdl_ring(((struct ui *)opaque)->sdl);
}

/* The oldest; NULL: none is left. */
static struct errand *next_errand(struct ui *ui)
{
    struct errand *errand;

    pthread_mutex_lock(&ui->lock);
    errand = ui->errands;
    if (errand) {
        ui->errands = errand->next;
        ui->last_errand = ui->errands ? ui->last_errand : &ui->errands;
    }
    pthread_mutex_unlock(&ui->lock);
    return errand;
}

/* An action about a window that is hidden would not be seen. */
static void act(struct window *window, enum action action)
{
    if (!window->pane.open && action >= ACTION_FIRST_OF_WINDOW && action != ACTION_OVERVIEW) {
        window_show(window);
    }
    window_act(window, action);
}

static void run_errands(struct ui *ui)
{
    struct errand *errand;

    while ((errand = next_errand(ui))) {
        struct window *window = desk_find(&ui->desk, errand->name);

        if (errand->exchange) {
            if (!desk_add(&ui->desk, errand->name, &errand->config, errand->exchange, errand->shown)) {
                fprintf(stderr, "hypatia: %s: out of memory for its window\n", errand->name);
            }
        } else if (window) {
            act(window, errand->action);
        }
        free(errand);
    }
}

static bool is_ending(struct ui *ui)
{
    bool ending;

    pthread_mutex_lock(&ui->lock);
    ending = ui->ending;
    pthread_mutex_unlock(&ui->lock);
    return ending;
}

static unsigned accounts(void *opaque, struct hypervisor_account *account, unsigned max)
{
    struct ui *ui = opaque;

    return is_ending(ui) ? 0 : hypervisor_accounts(ui->hv, account, max);
}

static void run(struct ui *ui)
{
    struct errand *errand;

    desk_init(&ui->desk, sdl_host(ui->sdl), accounts, ui);
    while (!is_ending(ui)) {
        uint64_t now, until;

        run_errands(ui);
        until = desk_step(&ui->desk, pacer_host_now());
        now = pacer_host_now();
        sdl_wait(ui->sdl, until == UINT64_MAX ? until : until > now ? until - now : 0);
    }
    desk_fini(&ui->desk);
    while ((errand = next_errand(ui))) {
        if (errand->exchange) {
            exchange_release(errand->exchange);
        }
        free(errand);
    }
}

static void *thread_main(void *opaque)
{
    struct ui *ui = opaque;
    struct sdl *sdl = sdl_create(&ui->error);

    pthread_mutex_lock(&ui->lock);
    ui->sdl = sdl;
    ui->started = sdl != NULL;
    ui->failed = !sdl;
    pthread_cond_broadcast(&ui->changed);
    pthread_mutex_unlock(&ui->lock);
    if (sdl) {
        run(ui);
        sdl_destroy(sdl); /* nobody rings any more: the exchanges have been let go */
    }
    return NULL;
}

/* ---- from other threads ---- */

/* Our thread, and those that SDL starts, take no signals but faults. */
static int start(struct ui *ui)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT};
    sigset_t most, before;
    int result;

    sigfillset(&most);
    for (size_t i = 0; i < ARRAY_LEN(faults); i++) {
        sigdelset(&most, faults[i]);
    }
    pthread_sigmask(SIG_SETMASK, &most, &before);
    result = pthread_create(&ui->thread, NULL, thread_main, ui);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return -result;
}

struct ui *ui_create(struct hypervisor *hv, face_screenshot screenshot, struct error *error)
{
    struct ui *ui = calloc(1, sizeof(*ui));

    if (!ui) {
        error_set(error, -ENOMEM, "out of memory");
        return NULL;
    }
    ui->hv = hv;
    ui->screenshot = screenshot;
    ui->last_errand = &ui->errands;
    pthread_mutex_init(&ui->lock, NULL);
    pthread_cond_init(&ui->changed, NULL);
    if (start(ui) < 0) {
        error_set(error, -EAGAIN, "cannot start a thread");
        free(ui);
        return NULL;
    }
    pthread_mutex_lock(&ui->lock);
    while (!ui->started && !ui->failed) {
        pthread_cond_wait(&ui->changed, &ui->lock);
    }
    pthread_mutex_unlock(&ui->lock);
    if (ui->failed) {
        *error = ui->error;
        ui_destroy(ui);
        return NULL;
    }
    return ui;
}

/* False: the thread hangs in a call to a display server that does not answer. It is left alone, with what it has. */
static bool wait_for_end(struct ui *ui)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += PATIENCE_S;
    if (pthread_timedjoin_np(ui->thread, NULL, &until) == 0) {
        return true;
    }
    fprintf(stderr, "hypatia: the display server does not answer; its windows are left to it\n");
    return false;
}

void ui_destroy(struct ui *ui)
{
    if (!ui) {
        return;
    }
    pthread_mutex_lock(&ui->lock);
    ui->ending = true;
    pthread_mutex_unlock(&ui->lock);
    if (ui->started) {
        ring(ui);
    }
    if (!wait_for_end(ui)) {
        return;
    }
    pthread_cond_destroy(&ui->changed);
    pthread_mutex_destroy(&ui->lock);
    free(ui);
}

static void send_errand(struct ui *ui, struct errand *errand)
{
    pthread_mutex_lock(&ui->lock);
    *ui->last_errand = errand;
    ui->last_errand = &errand->next;
    pthread_mutex_unlock(&ui->lock);
    ring(ui);
}

struct ui_vm *ui_add(struct ui *ui, struct vm *vm, bool shown, struct error *error)
{
    struct ui_vm *ui_vm = calloc(1, sizeof(*ui_vm));
    struct errand *errand = calloc(1, sizeof(*errand));
    struct exchange *exchange = ui_vm && errand ? exchange_create(ring, ui) : NULL;
    struct face *face = exchange ? face_create(vm, exchange, ui->screenshot) : NULL;

    if (!face) {
        if (exchange) {
            exchange_close(exchange);
            exchange_release(exchange);
        }
        free(errand);
        free(ui_vm);
        error_set(error, -ENOMEM, "out of memory");
        return NULL;
    }
    *ui_vm = (struct ui_vm){.face = face, .exchange = exchange};
    errand->exchange = exchange;
    errand->config = vm->config.window;
    errand->shown = shown;
    snprintf(errand->name, sizeof(errand->name), "%s", vm->config.name);
    send_errand(ui, errand);
    return ui_vm;
}

void ui_vm_close(struct ui_vm *ui_vm)
{
    if (ui_vm) {
        face_destroy(ui_vm->face);
        free(ui_vm);
    }
}

void ui_vm_break(struct ui_vm *ui_vm, const char *reason)
{
    if (ui_vm) {
        exchange_break(ui_vm->exchange, reason);
    }
}

int ui_act(struct ui *ui, const char *vm, enum action action, struct error *error)
{
    struct errand *errand;

    if (!hypervisor_has(ui->hv, vm)) {
        return error_set(error, -ENOENT, "there is no VM '%s'", vm);
    }
    errand = calloc(1, sizeof(*errand));
    if (!errand) {
        return error_set(error, -ENOMEM, "out of memory");
    }
    snprintf(errand->name, sizeof(errand->name), "%s", vm);
    errand->action = action;
    send_errand(ui, errand);
    return 0;
}
