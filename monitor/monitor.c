/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The monitor's terminal side: lines from a character device, answers back to it. Commands are in commands.c.
 *
 * Editing is what a dumb terminal needs (backspace, Ctrl-U, Ctrl-C).
 */
#include <stdlib.h>

#include "monitor/command.h"
#include "vm/containment.h"

enum { LINE_SIZE = COMMAND_LINE_MAX - 1, CTRL_C = 3, BACKSPACE = 8, CTRL_U = 21, DELETE = 127 };

struct monitor {
    struct monitor_session session;
    struct chardev *chardev;
    char line[LINE_SIZE];
    size_t length;
};

static void monitor_write(struct monitor *monitor, const char *text, size_t length)
{
    chardev_write(monitor->chardev, (const uint8_t *)text, length);
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
    monitor_write(monitor, prompt, strlen(prompt));
}

static void monitor_run_line(struct monitor *monitor)
{
    char *text = NULL;
    size_t length = 0;
    FILE *out;

    monitor->line[monitor->length] = '\0';
    monitor->length = 0;
    out = open_memstream(&text, &length);
    if (!out) {
        return;
    }
    containment_watch(false);
    monitor_execute(&monitor->session, monitor->line, out);
    containment_watch(true);
    fclose(out);
    monitor_write_lines(monitor, text, length);
    free(text);
    monitor_prompt(monitor);
}

static void monitor_key(struct monitor *monitor, uint8_t key)
{
    switch (key) {
    case '\r':
    case '\n':
        if (monitor->length > 0) {
            monitor_write(monitor, "\r\n", 2);
        }
        monitor_run_line(monitor);
        break;
    case BACKSPACE:
    case DELETE:
        if (monitor->length > 0) {
            monitor->length--;
            monitor_write(monitor, "\b \b", 3);
        }
        break;
    case CTRL_C:
    case CTRL_U:
        while (monitor->length > 0) {
            monitor->length--;
            monitor_write(monitor, "\b \b", 3);
        }
        break;
    default:
        if (key >= ' ' && monitor->length < LINE_SIZE - 1) {
            monitor->line[monitor->length++] = (char)key;
            monitor_write(monitor, (const char *)&key, 1);
        }
        break;
    }
}

static size_t monitor_receive(void *opaque, const uint8_t *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        monitor_key(opaque, bytes[i]);
    }
    return n;
}

static struct monitor *attach(struct chardev *chardev, struct hypervisor *hv, struct vm *vm)
{
    struct monitor *monitor = chardev ? calloc(1, sizeof(*monitor)) : NULL;

    if (monitor) {
        monitor->session = (struct monitor_session){.hv = hv, .vm = vm};
        monitor->chardev = chardev;
        monitor->chardev->receive = monitor_receive;
        monitor->chardev->front = monitor;
    }
    return monitor;
}

struct monitor *monitor_create(struct vm *vm, struct hypervisor *hv)
{
    return attach(vm->monitor_chardev, hv, vm);
}

struct monitor *monitor_create_lab(struct hypervisor *hv, struct chardev *chardev,
                                   const struct monitor_host *host)
{
    struct monitor *monitor = attach(chardev, hv, NULL);
    struct hypervisor_account first;

    if (monitor) {
        monitor->session.host = host;
        if (hypervisor_accounts(hv, &first, 1) > 0) {
            memcpy(monitor->session.chosen, first.name, sizeof(first.name));
        }
        monitor_prompt(monitor);
    }
    return monitor;
}

void monitor_destroy(struct monitor *monitor)
{
    if (monitor) {
        monitor->chardev->receive = NULL;
        free(monitor);
    }
}
