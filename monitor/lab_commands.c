/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * vm, sched, quit. What they do is vm/hypervisor.h's; this is how it reads.
 */
#include "monitor/lab_commands.h"

#include <stdlib.h>
#include <string.h>

#include "vm/trace.h"

#define NS_PER_US 1000u
#define NS_PER_MS 1000000u

enum { TRACE_MS_MAX = 3600000 };

/* ---- vm ---- */

/* All VMs; the caller frees it. NULL: none, or no memory. */
static struct hypervisor_account *all_accounts(struct hypervisor *hv, unsigned *count)
{
    unsigned room = hypervisor_accounts(hv, NULL, 0);
    struct hypervisor_account *account = room ? calloc(room, sizeof(*account)) : NULL;

    *count = account ? MIN(room, hypervisor_accounts(hv, account, room)) : 0;
    return account;
}

/* What a user wants to know of both state machines. */
static const char *state_of(const struct hypervisor_account *account)
{
    return account->life == VM_PAUSED ? vm_state_name(VM_PAUSED) : hypervisor_state_name(account->state);
}

static void vm_list(struct monitor_session *session, FILE *out)
{
    unsigned count;
    struct hypervisor_account *account = all_accounts(session->hv, &count);

    fprintf(out, "  %-20s %-10s %12s %10s\n", "NAME", "STATE", "CPU", "MINSNS");
    for (unsigned i = 0; i < count; i++) {
        fprintf(out, "%c %-20s %-10s %10.3f s %10llu\n",
                !strcmp(account[i].name, session->chosen) ? '*' : ' ', account[i].name, state_of(&account[i]),
                (double)account[i].entity.charged_ns / (double)NS_PER_SEC,
                (unsigned long long)(account[i].insns / 1000000));
    }
    free(account);
}

static void vm_choose(struct monitor_session *session, const char *name, FILE *out)
{
    struct error error;
    struct vm *vm;

    if (session->vm) {
        fprintf(out, "this is the monitor of one VM (vm %s COMMAND... runs one command for another)\n", name);
        return;
    }
    vm = hypervisor_hold(session->hv, name, &error);
    if (!vm) {
        fprintf(out, "%s\n", error.text);
        return;
    }
    hypervisor_release(session->hv, vm);
    snprintf(session->chosen, sizeof(session->chosen), "%s", name);
}

/* One command for a VM, whoever asks. */
static void vm_execute(struct monitor_session *session, const char *name, char *const *word, unsigned count,
                       FILE *out)
{
    struct monitor_session once = {.hv = session->hv, .host = session->host};
    char text[512] = "";

    for (unsigned i = 0; i < count; i++) {
        size_t used = strlen(text);

        snprintf(text + used, sizeof(text) - used, "%s%s", i ? " " : "", word[i]);
    }
    snprintf(once.chosen, sizeof(once.chosen), "%s", name);
    monitor_execute(&once, text, out);
}

static void vm_control(struct monitor_session *session, const char *what, const char *name, FILE *out)
{
    struct error error;
    struct vm *vm = hypervisor_hold(session->hv, name, &error);
    int result;

    if (!vm) {
        fprintf(out, "%s\n", error.text);
        return;
    }
    if (!strcmp(what, "reset")) {
        result = vm_check_not_stopped(vm, &error);
        if (result == 0) {
            vm_request_reset(vm);
        }
    } else {
        result = vm_change_state(vm, !strcmp(what, "pause") ? VM_PAUSED : VM_RUNNING, &error);
    }
    if (result < 0) {
        fprintf(out, "%s\n", error.text);
    }
    hypervisor_release(session->hv, vm);
}

static void vm_new(struct monitor_session *session, const char *path, FILE *out)
{
    struct error error;
    unsigned made = 0;

    if (!session->host) {
        fprintf(out, "vm new: only a lab's monitor makes VMs (hypatia run)\n");
        return;
    }
    if (session->host->new_vms(session->host->opaque, path, &made, &error) < 0) {
        fprintf(out, "%s%s\n", error.text, made > 0 ? " (those before it were made)" : "");
    }
}

static void vm_kill(struct monitor_session *session, const char *name, FILE *out)
{
    struct error error;

    if (hypervisor_remove(session->hv, name, &error) < 0) {
        fprintf(out, "%s\n", error.text);
    } else if (!strcmp(session->chosen, name)) {
        session->chosen[0] = '\0';
    }
}

/* For the VM that is named, or else the chosen one. */
static void vm_act(struct monitor_session *session, const char *what, const char *name, FILE *out)
{
    const char *own = session->vm ? session->vm->config.name : session->chosen;

    name = name ? name : own;
    if (!*name) {
        fprintf(out, "vm %s: which VM? (vm list shows them)\n", what);
    } else if (!strcmp(what, "kill")) {
        vm_kill(session, name, out);
    } else {
        vm_control(session, what, name, out);
    }
}

void command_vm(struct monitor_session *session, char *const *word, unsigned count, FILE *out)
{
    const char *what = count > 1 ? word[1] : "list";

    if (!strcmp(what, "list")) {
        vm_list(session, out);
    } else if (!strcmp(what, "pause") || !strcmp(what, "resume") || !strcmp(what, "reset") ||
               !strcmp(what, "kill")) {
        vm_act(session, what, count > 2 ? word[2] : NULL, out);
    } else if (!strcmp(what, "new")) {
        if (count == 3) {
            vm_new(session, word[2], out);
        } else {
            fprintf(out, "usage: vm new FILE\n");
        }
    } else if (count > 2) {
        vm_execute(session, what, word + 2, count - 2, out);
    } else {
        vm_choose(session, what, out);
    }
}

/* ---- sched ---- */

static void sched_show(struct hypervisor *hv, FILE *out)
{
    unsigned count;
    struct hypervisor_account *account = all_accounts(hv, &count);
    uint64_t all_ns = 0;

    for (unsigned i = 0; i < count; i++) {
        all_ns += account[i].entity.charged_ns;
    }
    fprintf(out, "%u pCPU%s, slices of %llu us\n", hypervisor_pcpus(hv), hypervisor_pcpus(hv) > 1 ? "s" : "",
            (unsigned long long)(hypervisor_slice(hv) / NS_PER_US));
    fprintf(out, "%-20s %-10s %6s %5s %12s %6s %12s %9s %9s %9s\n", "NAME", "STATE", "WEIGHT", "CAP", "CPU",
            "SHARE", "WAITED", "SLICES", "WAKES", "99% BY");
    for (unsigned i = 0; i < count; i++) {
        const struct sched_entity *entity = &account[i].entity;

        fprintf(out, "%-20s %-10s %6u %4u%% %10.3f s %5.1f%% %10.3f s %9llu %9llu %6llu us\n",
                account[i].name, state_of(&account[i]), entity->weight, entity->cap,
                (double)entity->charged_ns / (double)NS_PER_SEC,
                all_ns ? 100.0 * (double)entity->charged_ns / (double)all_ns : 0.0,
                (double)entity->waited_ns / (double)NS_PER_SEC, (unsigned long long)entity->slices,
                (unsigned long long)entity->wakes,
                (unsigned long long)(sched_latency(entity, 99) / NS_PER_US));
    }
    free(account);
}

/* A decimal within bounds; a line that says so, if it is not. */
static bool take_number(const char *text, unsigned long least, unsigned long most, unsigned long *value,
                        FILE *out)
{
    char *end;

    *value = strtoul(text, &end, 10);
    if (end == text || *end || *value < least || *value > most) {
        fprintf(out, "'%s' is not a number from %lu to %lu\n", text, least, most);
        return false;
    }
    return true;
}

static void sched_set(struct hypervisor *hv, const char *what, const char *name, const char *text, FILE *out)
{
    bool weight = !strcmp(what, "weight");
    struct error error;
    unsigned long value;
    int result;

    if (!take_number(text, weight ? SCHED_WEIGHT_MIN : 0, weight ? SCHED_WEIGHT_MAX : SCHED_CAP_MAX, &value,
                     out)) {
        return;
    }
    result = weight ? hypervisor_set_weight(hv, name, (uint32_t)value, &error)
                    : hypervisor_set_cap(hv, name, (uint32_t)value, &error);
    if (result < 0) {
        fprintf(out, "%s\n", error.text);
    }
}

static void trace_save_to(struct hypervisor *hv, const char *path, uint64_t last_ns, FILE *out)
{
    struct error error;
    struct trace *trace = hypervisor_trace_copy(hv, &error);

    if (!trace || trace_save(trace, path, last_ns, &error) < 0) {
        fprintf(out, "%s\n", error.text);
    }
    trace_destroy(trace);
}

/* sched trace WORD...: word[0..count) */
static void sched_trace(struct hypervisor *hv, char *const *word, unsigned count, FILE *out)
{
    unsigned long ms = 0;
    struct error error;

    if (count == 1 && (!strcmp(word[0], "on") || !strcmp(word[0], "off"))) {
        if (hypervisor_trace(hv, word[0][1] == 'n', &error) < 0) {
            fprintf(out, "%s\n", error.text);
        }
    } else if ((count == 2 || count == 3) && !strcmp(word[0], "save")) {
        if (count == 2 || take_number(word[2], 1, TRACE_MS_MAX, &ms, out)) {
            trace_save_to(hv, word[1], (uint64_t)ms * NS_PER_MS, out);
        }
    } else {
        fprintf(out, "usage: sched trace on|off | save FILE.json|FILE.svg [MS]\n");
    }
}

void command_sched(struct monitor_session *session, char *const *word, unsigned count, FILE *out)
{
    const char *what = count > 1 ? word[1] : "show";
    unsigned long value;

    if (!strcmp(what, "show") && count <= 2) {
        sched_show(session->hv, out);
    } else if ((!strcmp(what, "weight") || !strcmp(what, "cap")) && count == 4) {
        sched_set(session->hv, what, word[2], word[3], out);
    } else if (!strcmp(what, "slice") && count == 3) {
        if (take_number(word[2], HYPERVISOR_SLICE_MIN_NS / NS_PER_US, 1000000, &value, out)) {
            hypervisor_set_slice(session->hv, (uint64_t)value * NS_PER_US);
        }
    } else if (!strcmp(what, "trace")) {
        sched_trace(session->hv, word + 2, count - 2, out);
    } else {
        fprintf(out, "usage: sched [show] | weight NAME N | cap NAME PERCENT | slice MICROSECONDS | "
                     "trace on|off|save FILE [MS]\n");
    }
}

/* ---- quit ---- */

void command_quit(struct monitor_session *session, FILE *out)
{
    (void)out;
    if (session->vm) {
        vm_request_quit(session->vm);
    } else {
        hypervisor_quit(session->hv);
    }
}
