/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * hypatia: parse the command line, build the VM, attach the front ends, run, and say how it ended.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "monitor/monitor.h"
#include "ui/text_display.h"
#include "vm/config.h"
#include "vm/img.h"
#include "vm/vm.h"

enum { EXIT_USAGE = 1 };

static int fail(const struct error *error)
{
    fprintf(stderr, "hypatia: %s\n", error->text);
    return EXIT_USAGE;
}

/* SIGINT, SIGTERM and SIGHUP arrive as events of the loop, so that a run always ends in order. */
static void signal_ready(void *opaque, short revents)
{
    struct vm *vm = opaque;

    (void)revents;
    vm_request_quit(vm);
}

static int signals_open(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGHUP);
    signal(SIGPIPE, SIG_IGN);
    sigprocmask(SIG_BLOCK, set, NULL);
    return signalfd(-1, set, SFD_NONBLOCK | SFD_CLOEXEC);
}

static int write_pid_file(const char *path, struct error *error)
{
    FILE *file = path ? fopen(path, "w") : NULL;

    if (!path) {
        return 0;
    }
    if (!file || fprintf(file, "%d\n", (int)getpid()) < 0 || fclose(file) != 0) {
        return error_set(error, -errno, "-pidfile: cannot write '%s': %s", path, strerror(errno));
    }
    return 0;
}

static int run(const struct vm_config *config)
{
    struct error error = {{0}};
    struct vm *vm = vm_create(config, &error);
    struct loop_source signals;
    struct monitor *monitor;
    struct text_display *display = NULL;
    sigset_t set;
    int code;

    if (!vm) {
        return fail(&error);
    }
    if ((config->daemonize && daemon(1, 0) < 0) || write_pid_file(config->pid_file, &error) < 0) {
        vm_destroy(vm);
        return fail(&error);
    }
    signals =
        (struct loop_source){.fd = signals_open(&set), .events = POLLIN, .ready = signal_ready, .opaque = vm};
    loop_add(&vm->loop, &signals);
    monitor = monitor_create(vm);
    if (config->display == CONFIG_DISPLAY_TEXT) {
        display = text_display_create(vm);
    }
    vm_run(vm);
    text_display_destroy(display);
    monitor_destroy(monitor);
    loop_remove(&vm->loop, &signals);
    close(signals.fd);
    code = vm_exit_code(vm);
    if (config->result_file && vm_write_result(vm, config->result_file, &error) < 0) {
        code = fail(&error);
    }
    if (vm->outcome == VM_OUTCOME_TRIPLE_FAULT) {
        vm_explain_shutdown(stderr, vm);
    } else if (vm->outcome == VM_OUTCOME_INTERNAL || vm->outcome == VM_OUTCOME_LIMIT) {
        fprintf(stderr, "hypatia: %s\n", vm->reason);
    }
    if (config->pid_file) {
        unlink(config->pid_file);
    }
    vm_destroy(vm);
    return code;
}

int main(int argc, char **argv)
{
    struct error error = {{0}};
    struct vm_config config;
    enum config_action action;

    if (argc > 1 && !strcmp(argv[1], "img")) {
        return img_main(argc - 1, argv + 1);
    }
    config_init(&config);
    if (config_parse(&config, argc, argv, &action, &error) < 0) {
        return fail(&error);
    }
    return action == CONFIG_DONE ? 0 : run(&config);
}
