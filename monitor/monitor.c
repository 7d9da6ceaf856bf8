/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The monitor's terminal side: lines from a character device, answers back to it. Editing is editor.c's, commands are
 * commands.c's.
 *
 * What the device does not take at once is kept until it does, so that a long answer arrives whole; but not more of it than
 * PENDING_MAX, because the reader may never come back.
 *
 * While a VM's state changes (a breakpoint, the end), one line says so; the line that is being typed makes room for it and
 * comes back behind it.
 */
#include "monitor/monitor.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "monitor/command.h"
#include "monitor/completion.h"
#include "monitor/debug_stop.h"
#include "monitor/editor.h"
#include "monitor/notices.h"
#include "vm/containment.h"

enum { PENDING_MAX = 16 * 1024 * 1024 };

struct monitor {
    struct monitor_session session;
    struct chardev *chardev;
    struct editor *editor;
    char *pending; /* not yet taken by the device */
    size_t pending_count, pending_capacity;
    struct vm *at_hand;             /* held for completion; NULL: none */
    struct debug_listener listener; /* a VM's own: of its stops */
    bool executing;                 /* a command, which tells by itself what it changes */
    bool shown;                     /* the prompt is on somebody's terminal */
    struct notices *notices;        /* the lab's; NULL: none */
    struct loop_poller poller;      /* for them */
};

/* ---- output ---- */

static void keep(struct monitor *monitor, const char *text, size_t length)
{
    if (monitor->pending_count + length > monitor->pending_capacity) {
        size_t capacity = MAX(monitor->pending_capacity * 2, monitor->pending_count + length);
        char *grown = capacity <= PENDING_MAX ? realloc(monitor->pending, capacity) : NULL;

        if (!grown) {
            return;
        }
        monitor->pending = grown;
        monitor->pending_capacity = capacity;
    }
    memcpy(monitor->pending + monitor->pending_count, text, length);
    monitor->pending_count += length;
}

static void monitor_write(void *opaque, const char *text, size_t length)
{
    struct monitor *monitor = opaque;
    size_t taken = 0;

    if (monitor->pending_count == 0) {
        taken = chardev_write(monitor->chardev, (const uint8_t *)text, length);
    }
    if (taken < length) {
        keep(monitor, text + taken, length - taken);
    }
}

static void monitor_writable(void *opaque)
{
    struct monitor *monitor = opaque;
    size_t taken = chardev_write(monitor->chardev, (const uint8_t *)monitor->pending, monitor->pending_count);

    monitor->pending_count -= taken;
    memmove(monitor->pending, monitor->pending + taken, monitor->pending_count);
}

/* Terminals in raw mode need a carriage return before each line feed. */
static void monitor_write_lines(struct monitor *monitor, const char *text, size_t length)
{
    for (size_t i = 0; i < length;) {
        const char *end = memchr(text + i, '\n', length - i);
        size_t piece = end ? (size_t)(end - (text + i)) : length - i;

        monitor_write(monitor, text + i, piece);
        if (end) {
            monitor_write(monitor, "\r\n", 2);
            piece++;
        }
        i += piece;
    }
}

/* The lab's prompt names the VM that commands are for. */
static void monitor_prompt(struct monitor *monitor)
{
    const char *chosen = monitor->session.chosen;
    char prompt[HYPERVISOR_NAME_SIZE + 8];

    snprintf(prompt, sizeof(prompt), "(%s) ", *chosen ? chosen : "hypatia");
    editor_prompt(monitor->editor, prompt);
}

/* The VM has stopped at a point: say where, and give the prompt back to whom it was for. */
static void monitor_vm_changed(void *opaque, struct vm *vm)
{
    struct monitor *monitor = opaque;
    char *text = NULL;
    size_t length = 0;
    FILE *out;

    if (monitor->executing || vm->state != VM_PAUSED || debugger_stop(vm)->reason != DEBUG_STOP_POINT) {
        return;
    }
    out = open_memstream(&text, &length);
    if (!out) {
        return;
    }
    debug_stop_print(out, vm);
    fclose(out);
    if (monitor->shown) {
        editor_hide(monitor->editor);
    } else {
        monitor_write(monitor, "\r\n", 2);
    }
    monitor_write_lines(monitor, text, length);
    if (monitor->shown) {
        editor_show(monitor->editor);
    }
    free(text);
}

/* ---- what the editor asks for ---- */

static void monitor_run_line(void *opaque, const char *line)
{
    struct monitor *monitor = opaque;
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);

    if (out) {
        monitor->executing = true;
        containment_watch(false);
        monitor_execute(&monitor->session, line, out);
        containment_watch(true);
        monitor->executing = false;
        fclose(out);
        monitor_write_lines(monitor, text, length);
        free(text);
    }
    monitor_prompt(monitor);
}

static void monitor_complete(void *opaque, const char *text, size_t start, struct editor_words *words)
{
    struct monitor *monitor = opaque;

    completion_find(&monitor->session, monitor->session.vm ? monitor->session.vm : monitor->at_hand, text,
                    start, words);
}

static unsigned monitor_columns(void *opaque)
{
    struct monitor *monitor = opaque;

    return chardev_columns(monitor->chardev);
}

/* ---- the character device ---- */

/*
 * A key that may ask for completion. For a lab's monitor that needs the VM that commands are for. It is held from before readline
 * is taken: a VM's thread may wait for readline with its VM, never for a VM with readline.
 */
static void monitor_feed_completing(struct monitor *monitor, const uint8_t *key)
{
    struct monitor_session *session = &monitor->session;
    struct error error;

    if (!session->vm && *session->chosen) {
        monitor->at_hand = hypervisor_hold(session->hv, session->chosen, &error);
    }
    editor_feed(monitor->editor, key, 1);
    if (monitor->at_hand) {
        hypervisor_release(session->hv, monitor->at_hand);
        monitor->at_hand = NULL;
    }
}

static size_t monitor_receive(void *opaque, const uint8_t *bytes, size_t n)
{
    struct monitor *monitor = opaque;
    size_t done = 0;

    while (done < n) {
        size_t plain = 0;

        while (done + plain < n && !editor_may_complete(bytes[done + plain])) {
            plain++;
        }
        if (plain > 0) {
            editor_feed(monitor->editor, bytes + done, plain);
            done += plain;
        } else {
            monitor_feed_completing(monitor, bytes + done++);
        }
    }
    return n;
}

static void monitor_opened(void *opaque)
{
    struct monitor *monitor = opaque;

    monitor->pending_count = 0; /* was for somebody else */
    monitor->shown = true;
    editor_refresh(monitor->editor);
}

/* ---- making one ---- */

/* $XDG_STATE_HOME/hypatia/monitor_history; false: there is no place for it. */
static bool history_path(char *path, size_t size)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    char folder[512];
    int length = state && *state ? snprintf(folder, sizeof(folder), "%s", state)
                 : home && *home ? snprintf(folder, sizeof(folder), "%s/.local/state", home)
                                 : -1;

    if (length < 0 || length + 32 > (int)sizeof(folder)) {
        return false;
    }
    for (char *slash = strchr(folder + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(folder, 0755);
        *slash = '/';
    }
    mkdir(folder, 0755);
    strcat(folder, "/hypatia");
    return (mkdir(folder, 0700) == 0 || errno == EEXIST) &&
           snprintf(path, size, "%s/monitor_history", folder) < (int)size;
}

static struct monitor *attach(struct chardev *chardev, struct hypervisor *hv, struct vm *vm)
{
    struct monitor *monitor = chardev ? calloc(1, sizeof(*monitor)) : NULL;
    char path[600];

    if (!monitor) {
        return NULL;
    }
    monitor->editor = editor_create(&(struct editor_host){.write = monitor_write,
                                                          .line = monitor_run_line,
                                                          .complete = monitor_complete,
                                                          .columns = monitor_columns,
                                                          .opaque = monitor});
    if (!monitor->editor) {
        free(monitor);
        return NULL;
    }
    monitor->session = (struct monitor_session){.hv = hv, .vm = vm};
    monitor->chardev = chardev;
    if (chardev_columns(chardev) > 0 && history_path(path, sizeof(path))) {
        editor_open_history(path);
    }
    chardev->receive = monitor_receive;
    chardev->writable = monitor_writable;
    chardev->opened = monitor_opened;
    chardev->front = monitor;
    return monitor;
}

/* Where it shares a terminal with the serial port, nothing is said before somebody turns to it. */
struct monitor *monitor_create(struct vm *vm, struct hypervisor *hv, const struct monitor_host *host)
{
    struct monitor *monitor = attach(vm->monitor_chardev, hv, vm);

    if (monitor) {
        monitor->session.host = host;
        editor_hide(monitor->editor);
        monitor_prompt(monitor);
        monitor->shown = !vm->mux || vm->monitor_chardev != chardev_mux_port(vm->mux, MUX_MONITOR);
        if (monitor->shown) {
            editor_show(monitor->editor);
        }
        monitor->listener = (struct debug_listener){.changed = monitor_vm_changed, .opaque = monitor};
        debugger_listen(vm, &monitor->listener);
    }
    return monitor;
}

/* Between commands: VMs may have something to tell. */
static void monitor_polled(void *opaque, struct loop *loop, bool failed)
{
    struct monitor *monitor = opaque;
    char *text = notices_take(monitor->notices);

    (void)loop;
    (void)failed;
    if (text) {
        editor_hide(monitor->editor);
        monitor_write_lines(monitor, text, strlen(text));
        editor_show(monitor->editor);
        free(text);
    }
}

void monitor_hide_line(struct monitor *monitor)
{
    if (monitor) {
        editor_hide(monitor->editor);
    }
}

void monitor_show_line(struct monitor *monitor)
{
    if (monitor) {
        editor_show(monitor->editor);
    }
}

struct monitor *monitor_create_lab(struct hypervisor *hv, struct chardev *chardev,
                                   const struct monitor_host *host, struct notices *notices)
{
    struct monitor *monitor = attach(chardev, hv, NULL);
    struct hypervisor_account first;

    if (monitor) {
        monitor->session.host = host;
        if (hypervisor_accounts(hv, &first, 1) > 0) {
            memcpy(monitor->session.chosen, first.name, sizeof(first.name));
        }
        monitor->notices = notices;
        monitor->poller = (struct loop_poller){.polled = monitor_polled, .opaque = monitor};
        if (notices) {
            loop_add_poller(hypervisor_loop(hv), &monitor->poller);
        }
        monitor_prompt(monitor);
    }
    return monitor;
}

void monitor_destroy(struct monitor *monitor)
{
    if (monitor) {
        if (monitor->session.vm && !monitor->session.vm->broken) {
            debugger_unlisten(monitor->session.vm, &monitor->listener);
        }
        monitor->chardev->receive = NULL;
        monitor->chardev->writable = NULL;
        monitor->chardev->opened = NULL;
        if (monitor->notices) {
            loop_remove_poller(hypervisor_loop(monitor->session.hv), &monitor->poller);
        }
        editor_destroy(monitor->editor);
        free(monitor->pending);
        free(monitor);
    }
}
