/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * hypatia: read the command line or a lab's files, build the VMs, attach the front ends, run, and say how it ended.
 */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "monitor/gdb.h"
#include "monitor/monitor.h"
#include "monitor/notices.h"
#include "monitor/script.h"
#include "monitor/screendump.h"
#include "ui/text_display.h"
#include "ui/ui.h"
#include "vm/clone.h"
#include "vm/config.h"
#include "vm/containment.h"
#include "vm/hypervisor.h"
#include "vm/img.h"
#include "vm/lab.h"
#include "vm/sandbox.h"
#include "vm/verdict.h"
#include "vm/vm.h"

/*
 * Larger pieces come from the host and go back to it, whatever was freed before: a VM's tables take memory as they are
 * touched.
 */
enum { EXIT_USAGE = 1, LARGE_PIECE = 256 * 1024 };

/* A process of VMs, from the first to the last. */
struct session {
    struct hypervisor *hv;
    bool several; /* reports name the VM */
    int code;     /* exit code so far: of the first VM in the list that did not end well */
    unsigned code_from;
    sigset_t signals;   /* that end the run */
    pthread_t listener; /* waits for them */
    bool listening;
    bool signalled, closing; /* atomic */
    struct loop_poller quitter;
    struct monitor *monitor; /* of the process; NULL: none */
    struct chardev *monitor_chardev;
    const char *pid_file;
    const struct lab *lab; /* what it began with; NULL: a command line */
    struct added *added;   /* what came later, the last first */
    const char *monitor_spec;
    struct script *script;       /* NULL: none */
    struct notices *notices;     /* what VMs tell the lab's monitor; NULL: there is none */
    struct monitor_host host;    /* for the lab's monitor */
    struct monitor_host vm_host; /* for a VM's own: what may be done on its thread */
    unsigned vms;                /* made so far */
    struct ui *ui;               /* NULL: no windows */
    bool terminal_saved;
    struct termios terminal; /* as it was in the beginning */
};

/* A lab of `vm new`. */
struct added {
    struct lab lab; /* the VMs there were already, for comparison, then the new ones */
    unsigned first; /* the first new one */
    struct added *next;
};

/* What of a VM's belongs to layers above it. */
struct front_ends {
    struct session *session;
    struct vm *vm;
    unsigned index;
    const struct vm_config *config; /* as the user gave it */
    struct monitor *monitor;
    struct notice_watch *watch; /* for the lab's monitor; NULL: none */
    struct gdb *gdb;            /* NULL: no debugger can connect */
    struct text_display *display;
    struct ui_vm *window; /* NULL: none */
};

static int fail(const struct error *error)
{
    fprintf(stderr, "hypatia: %s\n", error->text);
    return EXIT_USAGE;
}

/* ---- How it ends ---- */

static void close_front_ends(void *opaque)
{
    struct front_ends *ends = opaque;

    notices_unwatch(ends->watch);
    gdb_destroy(ends->gdb);
    ui_vm_close(ends->window);
    text_display_destroy(ends->display);
    monitor_destroy(ends->monitor);
    free(ends);
}

static void take_code(struct session *session, unsigned index, int code)
{
    if (code != 0 && (session->code == 0 || index < session->code_from)) {
        session->code = code;
        session->code_from = index;
    }
}

/* Who called whom, for whoever mends it. */
static void report_frames(const struct containment_report *broken)
{
    char line[256];

    for (unsigned i = 0; i < broken->frames; i++) {
        containment_describe_frame(broken, i, line, sizeof(line));
        fprintf(stderr, "%s\n", line);
    }
}

static void report(const struct session *session, struct vm *vm, const char *name)
{
    bool unwell = vm->outcome == VM_OUTCOME_INTERNAL || vm->outcome == VM_OUTCOME_LIMIT;

    if (session->several) {
        fprintf(stderr, "hypatia: %s: %s\n", name, vm->reason);
    } else if (unwell) {
        fprintf(stderr, "hypatia: %s\n", vm->reason);
    }
    if (vm->outcome == VM_OUTCOME_TRIPLE_FAULT) {
        vm_explain_shutdown(stderr, vm);
    }
    if (vm->outcome == VM_OUTCOME_PANIC || vm->outcome == VM_OUTCOME_HUNG) {
        verdict_explain(stderr, vm);
    }
    if (vm->broken) {
        report_frames(vm->broken);
    }
}

/* A bug of ours: its front ends are a part of what is left alone, so the terminal is put right from here. */
static void leave_broken(const struct session *session, const struct front_ends *ends)
{
    if (session->terminal_saved && !ends->config->daemonize) {
        tcsetattr(STDIN_FILENO, TCSANOW, &session->terminal);
    }
    gdb_abandon(ends->gdb);
}

/* A VM has stopped: its terminal is given back before anything is said. */
static void vm_stopped(void *opaque, struct vm *vm)
{
    struct session *session = opaque;
    struct front_ends *ends = vm->broken ? vm->broken->owner : vm->closing_opaque;
    const struct vm_config *config = ends->config;
    unsigned index = ends->index;
    struct monitor *on_terminal =
        session->monitor_spec && !strcmp(session->monitor_spec, "stdio") ? session->monitor : NULL;
    struct error error;

    if (vm->broken) {
        leave_broken(session, ends);
        ui_vm_break(ends->window, vm->reason);
    } else {
        vm->closing = NULL;
        close_front_ends(ends);
    }
    monitor_hide_line(on_terminal);
    take_code(session, index, vm_exit_code(vm));
    if (config->result_file && vm_write_result(vm, config->result_file, &error) < 0) {
        take_code(session, index, fail(&error));
    }
    report(session, vm, config->name);
    monitor_show_line(on_terminal);
}

/* ---- Signals, daemon, pid file ---- */

/*
 * SIGINT, SIGTERM and SIGHUP arrive as events of the loop, so that a run always ends in order. A thread waits for them: a
 * signalfd would wake whoever sleeps on it at every signal of the process, and translated code lives on those.
 */
static void *listener_main(void *opaque)
{
    struct session *session = opaque;
    int number;

    while (sigwait(&session->signals, &number) == 0 &&
           !__atomic_load_n(&session->closing, __ATOMIC_ACQUIRE)) {
        __atomic_store_n(&session->signalled, true, __ATOMIC_RELEASE);
        loop_wake(hypervisor_loop(session->hv));
    }
    return NULL;
}

static void quit_if_signalled(void *opaque, struct loop *loop, bool failed)
{
    struct session *session = opaque;

    (void)loop;
    (void)failed;
    if (__atomic_exchange_n(&session->signalled, false, __ATOMIC_ACQUIRE)) {
        hypervisor_quit(session->hv);
    }
}

static int start_listening(struct session *session, struct error *error)
{
    int result;

    sigemptyset(&session->signals);
    sigaddset(&session->signals, SIGINT);
    sigaddset(&session->signals, SIGTERM);
    sigaddset(&session->signals, SIGHUP);
    signal(SIGPIPE, SIG_IGN);
    sigprocmask(SIG_BLOCK, &session->signals, NULL);
    session->quitter = (struct loop_poller){.polled = quit_if_signalled, .opaque = session};
    loop_add_poller(hypervisor_loop(session->hv), &session->quitter);
    result = pthread_create(&session->listener, NULL, listener_main, session);
    session->listening = result == 0;
    return result == 0 ? 0 : error_set(error, -result, "cannot start a thread: %s", strerror(result));
}

static void stop_listening(struct session *session)
{
    if (session->listening) {
        __atomic_store_n(&session->closing, true, __ATOMIC_RELEASE);
        pthread_kill(session->listener, SIGHUP);
        pthread_join(session->listener, NULL);
    }
    loop_remove_poller(hypervisor_loop(session->hv), &session->quitter);
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

/*
 * Go into the background before there are threads. The process in the foreground stays until the other one says that all
 * is well, by a byte through *ready, or ends; it returns the exit code then. -1: this is the one in the background.
 */
static int fork_daemon(int *ready)
{
    int fds[2], status = 0;
    char byte;
    pid_t pid = pipe(fds) == 0 ? fork() : -1;

    if (pid < 0) {
        fprintf(stderr, "hypatia: -daemonize: %s\n", strerror(errno));
        return EXIT_USAGE;
    }
    if (pid == 0) {
        close(fds[0]);
        setsid();
        *ready = fds[1];
        return -1;
    }
    close(fds[1]);
    if (read(fds[0], &byte, 1) == 1) {
        return 0;
    }
    waitpid(pid, &status, 0);
    return WIFEXITED(status) && WEXITSTATUS(status) ? WEXITSTATUS(status) : EXIT_USAGE;
}

/* All is well: the terminal is left to whoever started us. */
static void leave_terminal(int ready)
{
    int null = open("/dev/null", O_RDWR);

    for (int fd = STDIN_FILENO; null >= 0 && fd <= STDERR_FILENO; fd++) {
        dup2(null, fd);
    }
    if (null > STDERR_FILENO) {
        close(null);
    }
    if (write(ready, "", 1) == 1) {
        close(ready);
    }
}

/* A VM's screen: on the terminal, or in a window. With windows in the process all VMs are in the overview. */
static int open_display(struct front_ends *ends, struct error *error)
{
    struct ui *ui = ends->session->ui;

    if (ends->config->display == CONFIG_DISPLAY_TEXT) {
        ends->display = text_display_create(ends->vm);
    }
    if (!ui && ends->config->display == CONFIG_DISPLAY_SDL) {
        return error_set(error, -ENODEV,
                         "display: sdl: a process has windows from its beginning or not at all");
    }
    if (ui) {
        ends->window = ui_add(ui, ends->vm, ends->config->display == CONFIG_DISPLAY_SDL, error);
    }
    return ui && !ends->window ? -ENOMEM : 0;
}

/* ---- Windows, for monitors ---- */

static const char *window_action(void *opaque, unsigned i, const char **text)
{
    (void)opaque;
    for (unsigned action = 0; action < ACTION_COUNT; action++) {
        if (action_info[action].name && i-- == 0) {
            *text = action_info[action].text;
            return action_info[action].name;
        }
    }
    return NULL;
}

static int act_in_window(void *opaque, const char *vm, const char *name, struct error *error)
{
    const struct session *session = opaque;
    enum action action = action_find(name);

    if (action == ACTION_NONE) {
        return error_set(error, -EINVAL, "there is no action '%s' (window lists them)", name);
    }
    return ui_act(session->ui, vm, action, error);
}

static int open_ui(struct session *session, struct error *error)
{
    session->ui = ui_create(session->hv, screendump_write, error);
    if (session->ui) {
        session->vm_host.window_action = window_action;
        session->vm_host.act_in_window = act_in_window;
        session->vm_host.opaque = session;
    }
    return session->ui ? 0 : -ENODEV;
}

/* ---- A run ---- */

/* A VM's port for debuggers, if it has one: its own, or the lab's next. Open before the VM is made: some wait for it. */
static int open_gdb_port(const struct session *session, const struct vm_config *config,
                         struct gdb_port **port, struct error *error)
{
    const char *spec = config->gdb;
    char next[32];

    *port = NULL;
    if (!spec && session->lab && session->lab->gdb) {
        snprintf(next, sizeof(next), "tcp::%u", session->lab->gdb + session->vms);
        spec = next;
    }
    if (spec) {
        *port = gdb_port_open(spec, error);
    }
    return spec && !*port ? -EADDRINUSE : 0;
}

/* Front ends for a VM that was made, and the hypervisor's care. Takes both over, also on failure. `port`: NULL, none. */
static int attach_vm(struct session *session, struct vm *vm, struct gdb_port *port,
                     const struct vm_config *config, const char *name, uint32_t weight, uint32_t cap,
                     struct error *error)
{
    struct front_ends *ends = calloc(1, sizeof(*ends));
    int result;

    if (!ends) {
        gdb_port_close(port);
        vm_destroy(vm);
        return error_set(error, -ENOMEM, "out of memory");
    }
    *ends = (struct front_ends){.session = session, .vm = vm, .index = session->vms++, .config = config};
    ends->monitor = monitor_create(vm, session->hv, &session->vm_host);
    ends->gdb = port ? gdb_create(vm, session->hv, port) : NULL;
    if (session->notices) {
        ends->watch = notices_watch(session->notices, vm);
    }
    if (session->script) {
        script_watch(session->script, vm);
    }
    vm->closing = close_front_ends;
    vm->closing_opaque = ends;
    result = open_display(ends, error);
    if (result == 0) {
        result = hypervisor_add(session->hv, vm, name, weight, cap, error);
    }
    if (result < 0) {
        vm_destroy(vm);
    }
    return result;
}

static int add_vm(struct session *session, const struct vm_config *config, const char *name, uint32_t weight,
                  uint32_t cap, struct error *error)
{
    struct vm_config joined = *config;
    struct gdb_port *port;
    struct vm *vm;

    if (open_gdb_port(session, config, &port, error) < 0) {
        return -EADDRINUSE;
    }
    joined.fabric = hypervisor_fabric(session->hv);
    verdict_choose(&joined);
    vm = vm_create(&joined, error);
    if (!vm) {
        gdb_port_close(port);
        return -EINVAL;
    }
    return attach_vm(session, vm, port, config, name, weight, cap, error);
}

/* VMs need descriptors, and a guest's connections some more: as many as we may have. */
static void raise_descriptors(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static int session_open(struct session *session, unsigned pcpus, struct error *error)
{
    raise_descriptors();
    session->terminal_saved = tcgetattr(STDIN_FILENO, &session->terminal) == 0;
    session->hv = hypervisor_create(pcpus, error);
    if (!session->hv) {
        return -ENOMEM;
    }
    hypervisor_on_stop(session->hv, vm_stopped, session);
    return start_listening(session, error);
}

static void session_close(struct session *session)
{
    if (!session->hv) {
        return;
    }
    monitor_destroy(session->monitor);
    chardev_destroy(session->monitor_chardev);
    ui_destroy(session->ui);
    stop_listening(session);
    hypervisor_destroy(session->hv);
    script_close(session->script);
    notices_destroy(session->notices);
    while (session->added) {
        struct added *next = session->added->next;

        lab_free(&session->added->lab);
        free(session->added);
        session->added = next;
    }
    if (session->pid_file) {
        unlink(session->pid_file);
    }
}

/* A window that nobody asked for may be missing. */
static int open_windows(struct session *session, struct vm_config *config, struct error *error)
{
    if (config->display != CONFIG_DISPLAY_SDL) {
        return 0;
    }
    if (open_ui(session, error) == 0) {
        return 0;
    }
    if (config->window.implied) {
        fprintf(stderr, "hypatia: note: %s; using -display text\n", error->text);
        config->display = CONFIG_DISPLAY_TEXT;
        return 0;
    }
    return -ENODEV;
}

/* Before the VMs, so that it hears all that they say. */
static int open_script(struct session *session, const char *path, struct error *error)
{
    if (path) {
        session->script =
            script_open(session->hv, session->lab ? &session->host : &session->vm_host, path, error);
    }
    return path && !session->script ? -EINVAL : 0;
}

/* Run to the end of the last VM, and of the script. */
static int run_all(struct session *session, struct error *error)
{
    int result = hypervisor_run(session->hv, error);

    if (session->script && !script_finish(session->script)) {
        session->code = SCRIPT_EXIT_CODE;
    }
    return result;
}

/* The VM of a command line. */
static int run(struct vm_config *config)
{
    struct error error = {{0}};
    struct session session = {0};
    int ready = -1, code = config->daemonize ? fork_daemon(&ready) : -1;
    int result;

    if (code >= 0) {
        return code;
    }
    result = session_open(&session, 1, &error);
    if (result == 0) {
        result = open_windows(&session, config, &error);
    }
    if (result == 0) {
        result = open_script(&session, config->monitor_script, &error);
    }
    if (result == 0) {
        result = add_vm(&session, config, config->name, SCHED_WEIGHT_DEFAULT, 0, &error);
    }
    if (result == 0) {
        result = write_pid_file(config->pid_file, &error);
        session.pid_file = result == 0 ? config->pid_file : NULL;
    }
    if (result == 0 && config->daemonize) {
        leave_terminal(ready);
    }
    if (result == 0) {
        result = sandbox_enter(config->sandbox, net_has_user(&config->net), &error);
    }
    if (result == 0) {
        result = run_all(&session, &error);
    }
    session_close(&session);
    return result < 0 ? fail(&error) : session.code;
}

/* ---- A lab ---- */

static int add_lab_vm(struct session *session, const struct lab_vm *vm, struct error *error)
{
    int result = add_vm(session, &vm->config, vm->config.name, vm->weight, vm->cap, error);

    return result < 0 ? error_prefix(error, result, "[vm \"%s\"]", vm->config.name) : 0;
}

/* The VMs from `first` on that have not been removed, unless a newer one has the name. */
static int adopt_from(struct session *session, struct lab *lab, const struct lab *from, unsigned first,
                      struct error *error)
{
    int result = 0;

    for (unsigned i = first; result == 0 && i < from->count; i++) {
        const char *name = from->vm[i].config.name;
        unsigned known = 0;

        while (known < lab->count && strcmp(lab->vm[known].config.name, name) != 0) {
            known++;
        }
        if (known == lab->count && hypervisor_has(session->hv, name)) {
            result = lab_adopt(lab, &from->vm[i], error);
        }
    }
    return result;
}

static int adopt_running(struct session *session, struct lab *lab, struct error *error)
{
    int result = 0;

    for (const struct added *added = session->added; result == 0 && added; added = added->next) {
        result = adopt_from(session, lab, &added->lab, added->first, error);
    }
    return result == 0 ? adopt_from(session, lab, session->lab, 0, error) : result;
}

/* The file's VMs, checked against each other and those that run. */
static int read_new_vms(struct session *session, struct added *added, const char *path, struct error *error)
{
    int result = adopt_running(session, &added->lab, error);

    added->first = added->lab.count;
    if (result == 0) {
        result = lab_add_file(&added->lab, path, error);
    }
    for (unsigned i = 0; result == 0 && i < LAB_KEYS; i++) {
        if (added->lab.places[i].file) {
            result = error_set(error, -EINVAL, "%s:%u: what [lab] says is settled when the process starts",
                               added->lab.places[i].file, added->lab.places[i].line);
        }
    }
    added->lab.monitor = session->monitor_spec;
    added->lab.memory_limit = session->lab->memory_limit;
    return result == 0 ? lab_check(&added->lab, error) : result;
}

static int new_vms(void *opaque, const char *path, unsigned *made, struct error *error)
{
    struct session *session = opaque;
    struct added *added = calloc(1, sizeof(*added));
    int result;

    *made = 0;
    if (!added) {
        return error_set(error, -ENOMEM, "out of memory");
    }
    lab_init(&added->lab);
    result = read_new_vms(session, added, path, error);
    for (unsigned i = added->first; result == 0 && i < added->lab.count; i++) {
        result = add_lab_vm(session, &added->lab.vm[i], error);
        *made += result == 0;
    }
    if (*made == 0) {
        lab_free(&added->lab);
        free(added);
        return result;
    }
    added->next = session->added;
    session->added = added;
    return result;
}

/* A name for a clone that nobody said: the parent's and a number. */
static void name_clone(struct session *session, const char *parent, char name[LAB_NAME_MAX + 1])
{
    unsigned number = 2;

    do {
        char tail[12];
        int length = snprintf(tail, sizeof(tail), "-%u", number++);

        snprintf(name, LAB_NAME_MAX + 1, "%.*s%s", LAB_NAME_MAX - length, parent, tail);
    } while (hypervisor_has(session->hv, name));
}

/* The clone's section, checked against those that run. */
static struct lab_vm *describe_clone(struct session *session, struct added *added, const char *parent,
                                     const char *name, struct error *error)
{
    struct lab_vm *vm;

    if (adopt_running(session, &added->lab, error) < 0) {
        return NULL;
    }
    added->first = added->lab.count;
    vm = lab_add_clone(&added->lab, parent, name, error);
    added->lab.monitor = session->monitor_spec;
    added->lab.memory_limit = session->lab->memory_limit;
    return vm && lab_check(&added->lab, error) == 0 ? vm : NULL;
}

static int make_clone(struct session *session, const struct lab_vm *lab_vm, const char *parent,
                      struct clone_figures *figures, struct error *error)
{
    struct vm_config joined = lab_vm->config;
    struct vm *from = hypervisor_hold(session->hv, parent, error), *vm = NULL;
    struct gdb_port *port;

    if (!from) {
        return -ENOENT;
    }
    joined.fabric = hypervisor_fabric(session->hv);
    verdict_choose(&joined);
    if (open_gdb_port(session, &lab_vm->config, &port, error) == 0) {
        vm = clone_create(from, &joined, figures, error);
    }
    hypervisor_release(session->hv, from);
    if (!vm) {
        gdb_port_close(port);
        return -EINVAL;
    }
    return attach_vm(session, vm, port, &lab_vm->config, lab_vm->config.name, lab_vm->weight, lab_vm->cap,
                     error);
}

static int clone_vm(void *opaque, const char *parent, const char *name, char made[HYPERVISOR_NAME_SIZE],
                    struct clone_figures *figures, struct error *error)
{
    struct session *session = opaque;
    struct added *added = calloc(1, sizeof(*added));
    struct lab_vm *vm;

    if (!added) {
        return error_set(error, -ENOMEM, "out of memory");
    }
    lab_init(&added->lab);
    if (name) {
        snprintf(made, HYPERVISOR_NAME_SIZE, "%s", name);
    } else {
        name_clone(session, parent, made);
    }
    vm = describe_clone(session, added, parent, name ? name : made, error);
    if (!vm || make_clone(session, vm, parent, figures, error) < 0) {
        lab_free(&added->lab);
        free(added);
        return -EINVAL;
    }
    added->next = session->added;
    session->added = added;
    return 0;
}

/* The lab's own monitor: by its option, else on the terminal unless a VM has that. */
static int open_lab_monitor(struct session *session, const struct lab *lab, struct error *error)
{
    const char *spec = lab->monitor                             ? lab->monitor
                       : lab->terminal || !isatty(STDIN_FILENO) ? "none"
                                                                : "stdio";
    int result =
        chardev_open(&session->monitor_chardev, "monitor", spec, hypervisor_loop(session->hv), error);

    session->monitor_spec = spec;
    session->host = session->vm_host;
    session->host.new_vms = new_vms;
    session->host.clone_vm = clone_vm;
    session->host.opaque = session;
    if (result == 0 && session->monitor_chardev) {
        session->monitor =
            monitor_create_lab(session->hv, session->monitor_chardev, &session->host, session->notices);
    }
    return result;
}

static int enter_sandbox(const struct lab *lab, struct error *error)
{
    bool internet = false;

    for (unsigned i = 0; i < lab->count; i++) {
        internet = internet || net_has_user(&lab->vm[i].config.net);
    }
    return sandbox_enter(lab->sandbox, internet, error);
}

/* One VM that wants a window is enough: then all are in the overview. */
static int open_lab_windows(struct session *session, const struct lab *lab, struct error *error)
{
    for (unsigned i = 0; i < lab->count && !session->ui; i++) {
        if (lab->vm[i].config.display == CONFIG_DISPLAY_SDL && open_ui(session, error) < 0) {
            return error_prefix(error, -ENODEV, "[vm \"%s\"]", lab->vm[i].config.name);
        }
    }
    return 0;
}

static int run_lab(const struct lab *lab)
{
    struct error error = {{0}};
    struct session session = {.several = true, .lab = lab};
    int result = session_open(&session, lab->pcpus, &error);

    if (result == 0) {
        session.notices = notices_create(hypervisor_loop(session.hv));
        result = open_lab_windows(&session, lab, &error);
    }
    if (result == 0) {
        result = open_script(&session, lab->script, &error);
    }
    for (unsigned i = 0; result == 0 && i < lab->count; i++) {
        result = add_lab_vm(&session, &lab->vm[i], &error);
    }
    if (result == 0) {
        result = open_lab_monitor(&session, lab, &error);
    }
    if (result == 0) {
        result = enter_sandbox(lab, &error);
    }
    if (result == 0) {
        result = run_all(&session, &error);
    }
    session_close(&session);
    return result < 0 ? fail(&error) : session.code;
}

static int main_lab(int argc, char **argv)
{
    struct error error = {{0}};
    struct lab lab;
    enum config_action action;
    int code;

    lab_init(&lab);
    if (lab_parse_args(&lab, argc, argv, &action, &error) < 0) {
        code = fail(&error);
    } else {
        code = action == CONFIG_DONE ? 0 : run_lab(&lab);
    }
    lab_free(&lab);
    return code;
}

static int help_monitor(const char *form)
{
    struct error error;

    if (monitor_write_manual(form, stdout) == 0) {
        return 0;
    }
    error_set(&error, 0, "-help-monitor: '%s' is not text, man or markdown", form);
    return fail(&error);
}

int main(int argc, char **argv)
{
    struct error error = {{0}};
    struct vm_config config;
    enum config_action action;

    mallopt(M_MMAP_THRESHOLD, LARGE_PIECE);
    if (argc > 1 && !strcmp(argv[1], "img")) {
        return img_main(argc - 1, argv + 1);
    }
    if (argc > 1 && !strcmp(argv[1], "run")) {
        return main_lab(argc - 1, argv + 1);
    }
    if (argc > 1 && (!strcmp(argv[1], "-help-monitor") || !strcmp(argv[1], "--help-monitor"))) {
        return help_monitor(argc > 2 ? argv[2] : "text");
    }
    if (argc > 1 && (!strcmp(argv[1], "-dump-config") || !strcmp(argv[1], "--dump-config"))) {
        return lab_dump(argc - 1, argv + 1, stdout, &error) < 0 ? fail(&error) : 0;
    }
    config_init(&config);
    if (config_parse(&config, argc, argv, &action, &error) < 0) {
        return fail(&error);
    }
    return action == CONFIG_DONE ? 0 : run(&config);
}
