/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * vm, sched: the VMs of the process, and who gets the pCPUs. What they do is vm/hypervisor.h's; this is how it reads.
 */
#include <stdlib.h>
#include <string.h>

#include "monitor/groups.h"
#include "vm/trace.h"

#define NS_PER_US 1000u
#define NS_PER_MS 1000000u

enum { TRACE_MS_MAX = 3600000, SLICE_US_MAX = 1000000 };

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

static bool vm_list(struct command_call *call)
{
    struct monitor_session *session = call->session;
    unsigned count;
    struct hypervisor_account *account = all_accounts(session->hv, &count);

    call->data = json_array();
    fprintf(call->out, "  %-20s %-10s %12s %10s\n", "NAME", "STATE", "CPU", "MINSNS");
    for (unsigned i = 0; i < count; i++) {
        json_array_append_new(call->data, json_pack("{s:s, s:s, s:b, s:I, s:I}", "name", account[i].name,
                                                    "state", state_of(&account[i]), "chosen",
                                                    !strcmp(account[i].name, session->chosen), "cpu_ns",
                                                    (json_int_t)account[i].entity.charged_ns, "insns",
                                                    (json_int_t)account[i].insns));
        fprintf(call->out, "%c %-20s %-10s %10.3f s %10llu\n",
                !strcmp(account[i].name, session->chosen) ? '*' : ' ', account[i].name, state_of(&account[i]),
                (double)account[i].entity.charged_ns / (double)NS_PER_SEC,
                (unsigned long long)(account[i].insns / 1000000));
    }
    free(account);
    return true;
}

static bool vm_choose(struct command_call *call)
{
    struct monitor_session *session = call->session;
    const char *name = call->word[0];
    struct error error;
    struct vm *vm;

    if (session->vm) {
        return command_fail(
            call, "this is the monitor of one VM (vm %s COMMAND... runs one command for another)", name);
    }
    vm = hypervisor_hold(session->hv, name, &error);
    if (!vm) {
        return command_fail(call, "%s", error.text);
    }
    hypervisor_release(session->hv, vm);
    snprintf(session->chosen, sizeof(session->chosen), "%s", name);
    return true;
}

/* Choose a VM; or one command for a VM, whoever asks. */
static bool run_vm(struct command_call *call)
{
    struct monitor_session once = {.hv = call->session->hv, .host = call->session->host};

    if (call->count == 0) {
        return vm_list(call);
    }
    if (call->count == 1) {
        return vm_choose(call);
    }
    snprintf(once.chosen, sizeof(once.chosen), "%s", call->word[0]);
    return command_execute(&once, call->tail[1], call->out, &call->data);
}

static bool vm_control(struct command_call *call, enum vm_state to)
{
    const char *name = command_vm_name(call, 0);
    struct error error;
    struct vm *vm = name ? hypervisor_hold(call->session->hv, name, &error) : NULL;
    int result;

    if (!vm) {
        return name && command_fail(call, "%s", error.text);
    }
    result = vm_change_state(vm, to, &error);
    hypervisor_release(call->session->hv, vm);
    return result == 0 || command_fail(call, "%s", error.text);
}

static bool vm_pause_one(struct command_call *call)
{
    return vm_control(call, VM_PAUSED);
}

static bool vm_resume_one(struct command_call *call)
{
    return vm_control(call, VM_RUNNING);
}

static bool vm_reset_one(struct command_call *call)
{
    const char *name = command_vm_name(call, 0);
    struct error error;
    struct vm *vm = name ? hypervisor_hold(call->session->hv, name, &error) : NULL;
    int result;

    if (!vm) {
        return name && command_fail(call, "%s", error.text);
    }
    result = vm_check_not_stopped(vm, &error);
    if (result == 0) {
        vm_request_reset(vm);
    }
    hypervisor_release(call->session->hv, vm);
    return result == 0 || command_fail(call, "%s", error.text);
}

static bool vm_new(struct command_call *call)
{
    struct monitor_session *session = call->session;
    struct error error;
    unsigned made = 0;

    if (!session->host || !session->host->new_vms) {
        return command_fail(call, "vm new: only a lab's monitor makes VMs (hypatia run)");
    }
    if (session->host->new_vms(session->host->opaque, call->word[0], &made, &error) < 0) {
        return command_fail(call, "%s%s", error.text, made > 0 ? " (those before it were made)" : "");
    }
    return true;
}

static bool vm_clone(struct command_call *call)
{
    struct monitor_session *session = call->session;
    const char *parent = command_vm_name(call, 0);
    char made[HYPERVISOR_NAME_SIZE];
    struct clone_figures figures;
    struct error error;

    if (!parent) {
        return false;
    }
    if (!session->host || !session->host->clone_vm) {
        return command_fail(call, "vm clone: only a lab's monitor makes VMs (hypatia run)");
    }
    if (session->host->clone_vm(session->host->opaque, parent, call->count > 1 ? call->word[1] : NULL, made,
                                &figures, &error) < 0) {
        return command_fail(call, "%s", error.text);
    }
    fprintf(call->out, "'%s' is a clone of '%s' (made in %.1f ms)\n", made, parent,
            (double)figures.made_ns / NS_PER_MS);
    return true;
}

static bool vm_kill(struct command_call *call)
{
    const char *name = command_vm_name(call, 0);
    struct error error;

    if (!name) {
        return false;
    }
    if (hypervisor_remove(call->session->hv, name, &error) < 0) {
        return command_fail(call, "%s", error.text);
    }
    if (!strcmp(call->session->chosen, name)) {
        call->session->chosen[0] = '\0';
    }
    return true;
}

/* ---- sched ---- */

static bool sched_show(struct command_call *call)
{
    struct hypervisor *hv = call->session->hv;
    unsigned count;
    struct hypervisor_account *account = all_accounts(hv, &count);
    json_t *vms = json_array();
    uint64_t all_ns = 0;

    for (unsigned i = 0; i < count; i++) {
        all_ns += account[i].entity.charged_ns;
    }
    fprintf(call->out, "%u pCPU%s, slices of %llu us\n", hypervisor_pcpus(hv),
            hypervisor_pcpus(hv) > 1 ? "s" : "", (unsigned long long)(hypervisor_slice(hv) / NS_PER_US));
    fprintf(call->out, "%-20s %-10s %6s %5s %12s %6s %12s %9s %9s %9s\n", "NAME", "STATE", "WEIGHT", "CAP",
            "CPU", "SHARE", "WAITED", "SLICES", "WAKES", "99% BY");
    for (unsigned i = 0; i < count; i++) {
        const struct sched_entity *entity = &account[i].entity;

        json_array_append_new(vms, json_pack("{s:s, s:s, s:i, s:i, s:I, s:I, s:I, s:I, s:I}", "name",
                                             account[i].name, "state", state_of(&account[i]), "weight",
                                             (int)entity->weight, "cap", (int)entity->cap, "cpu_ns",
                                             (json_int_t)entity->charged_ns, "waited_ns",
                                             (json_int_t)entity->waited_ns, "slices",
                                             (json_int_t)entity->slices, "wakes", (json_int_t)entity->wakes,
                                             "latency_99_ns", (json_int_t)sched_latency(entity, 99)));
        fprintf(call->out, "%-20s %-10s %6u %4u%% %10.3f s %5.1f%% %10.3f s %9llu %9llu %6llu us\n",
                account[i].name, state_of(&account[i]), entity->weight, entity->cap,
                (double)entity->charged_ns / (double)NS_PER_SEC,
                all_ns ? 100.0 * (double)entity->charged_ns / (double)all_ns : 0.0,
                (double)entity->waited_ns / (double)NS_PER_SEC, (unsigned long long)entity->slices,
                (unsigned long long)entity->wakes,
                (unsigned long long)(sched_latency(entity, 99) / NS_PER_US));
    }
    free(account);
    call->data = json_pack("{s:i, s:I, s:o}", "pcpus", (int)hypervisor_pcpus(hv), "slice_ns",
                           (json_int_t)hypervisor_slice(hv), "vms", vms);
    return true;
}

/* Word i as a decimal within bounds; a line that says so, if it is not. */
static bool take_number(struct command_call *call, unsigned i, unsigned long least, unsigned long most,
                        unsigned long *value)
{
    char *end;

    *value = strtoul(call->word[i], &end, 10);
    if (end == call->word[i] || *end || *value < least || *value > most) {
        return command_fail(call, "'%s' is not a number from %lu to %lu", call->word[i], least, most);
    }
    return true;
}

static bool set_weight(struct command_call *call)
{
    unsigned long value;
    struct error error;

    return take_number(call, 1, SCHED_WEIGHT_MIN, SCHED_WEIGHT_MAX, &value) &&
           (hypervisor_set_weight(call->session->hv, call->word[0], (uint32_t)value, &error) == 0 ||
            command_fail(call, "%s", error.text));
}

static bool set_cap(struct command_call *call)
{
    unsigned long value;
    struct error error;

    return take_number(call, 1, 0, SCHED_CAP_MAX, &value) &&
           (hypervisor_set_cap(call->session->hv, call->word[0], (uint32_t)value, &error) == 0 ||
            command_fail(call, "%s", error.text));
}

static bool set_slice(struct command_call *call)
{
    unsigned long value;

    if (!take_number(call, 0, HYPERVISOR_SLICE_MIN_NS / NS_PER_US, SLICE_US_MAX, &value)) {
        return false;
    }
    hypervisor_set_slice(call->session->hv, (uint64_t)value * NS_PER_US);
    return true;
}

static bool trace_switch(struct command_call *call)
{
    bool on = !strcmp(call->word[0], "on");
    struct error error;

    if (!on && strcmp(call->word[0], "off") != 0) {
        return command_usage(call);
    }
    return hypervisor_trace(call->session->hv, on, &error) == 0 || command_fail(call, "%s", error.text);
}

static bool trace_save_as(struct command_call *call)
{
    unsigned long ms = 0;
    struct error error;
    struct trace *trace;
    bool saved;

    if (call->count == 2 && !take_number(call, 1, 1, TRACE_MS_MAX, &ms)) {
        return false;
    }
    trace = hypervisor_trace_copy(call->session->hv, &error);
    saved = trace && trace_save(trace, call->word[0], (uint64_t)ms * NS_PER_MS, &error) == 0;
    trace_destroy(trace);
    return saved || command_fail(call, "%s", error.text);
}

static const struct command commands[] = {
    {"vm", NULL, "[NAME [COMMAND...]]", "choose a VM, or run a command for one; without a name, list them",
     NULL, true, 0, COMMAND_WORDS_MAX, run_vm},
    {"vm list", NULL, "", "the VMs of this process", NULL, true, 0, 0, vm_list},
    {"vm pause", NULL, "[VM]", "pause a VM", NULL, true, 0, 1, vm_pause_one},
    {"vm resume", NULL, "[VM]", "let it run", NULL, true, 0, 1, vm_resume_one},
    {"vm reset", NULL, "[VM]", "reset its machine", NULL, true, 0, 1, vm_reset_one},
    {"vm clone", NULL, "[VM [NEW]]", "make a running copy of a VM; what both have is kept once", NULL, true,
     0, 2, vm_clone},
    {"vm kill", NULL, "[VM]", "end a VM at once and free it", NULL, true, 0, 1, vm_kill},
    {"vm new", NULL, "FILE", "make the VMs of a lab's file, beside those that run", NULL, true, 1, 1, vm_new},
    {"sched", NULL, "", "who got the pCPUs", NULL, true, 0, 0, sched_show},
    {"sched show", NULL, "", "who got the pCPUs", NULL, true, 0, 0, sched_show},
    {"sched weight", NULL, "VM N", "a VM's share beside others (256; twice as much, twice the time)", NULL,
     true, 2, 2, set_weight},
    {"sched cap", NULL, "VM PERCENT", "the most of one pCPU that a VM gets (0: all)", NULL, true, 2, 2,
     set_cap},
    {"sched slice", NULL, "MICROSECONDS", "how long a VM runs while others wait", NULL, true, 1, 1,
     set_slice},
    {"sched trace", NULL, "on|off", "record who runs when", NULL, true, 1, 1, trace_switch},
    {"sched trace save", NULL, "FILE [MS]",
     "what was recorded, its last MS ms: .json for a viewer, .svg for a picture", NULL, true, 1, 2,
     trace_save_as},
};

const struct command_group lab_group = {"VMs and scheduling", commands, ARRAY_LEN(commands)};
