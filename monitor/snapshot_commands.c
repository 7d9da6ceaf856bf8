/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * savevm, loadvm, delvm, snap, info snapshots. Names are QEMU's where it has them; vm/snapshot.h does the work.
 *
 * savevm returns at once and the guest runs on. `snap wait` returns when the last of it is written; the guest waits, too.
 */
#include <string.h>

#include "monitor/groups.h"
#include "vm/snapshot.h"

static void print_ms(FILE *out, uint64_t ns)
{
    fprintf(out, "%llu.%01llu ms", (unsigned long long)(ns / 1000000),
            (unsigned long long)(ns / 100000 % 10));
}

static bool run_savevm(struct command_call *call)
{
    struct snapshot_figures figures;
    struct error error;

    if (snapshot_save(call->vm, call->count > 0 ? call->word[0] : NULL, call->count > 1 ? call->tail[1] : "",
                      &error) < 0) {
        return command_fail(call, "savevm: %s", error.text);
    }
    snapshot_get_figures(call->vm, &figures);
    fprintf(call->out, "saving '%s' while the guest runs (snap wait tells when it is whole)\n", figures.name);
    return true;
}

static bool run_loadvm(struct command_call *call)
{
    struct snapshot_figures figures;
    struct error error;

    if (snapshot_load(call->vm, call->word[0], &error) < 0) {
        return command_fail(call, "loadvm: %s", error.text);
    }
    snapshot_get_figures(call->vm, &figures);
    fprintf(call->out, "snapshot '%s' is loaded (in ", call->word[0]);
    print_ms(call->out, figures.load_ns);
    fprintf(call->out, ")\n");
    return true;
}

static bool run_delvm(struct command_call *call)
{
    struct error error;

    return snapshot_delete(call->vm, call->word[0], &error) == 0 ||
           command_fail(call, "delvm: %s", error.text);
}

static void print_last_save(struct vm *vm, FILE *out)
{
    struct snapshot_figures figures;

    snapshot_get_figures(vm, &figures);
    if (!figures.name[0]) {
        return;
    }
    if (!figures.written) {
        fprintf(out, "'%s' is being saved\n", figures.name);
        return;
    }
    fprintf(out, "last save: '%s', the guest paused for ", figures.name);
    print_ms(out, figures.pause_ns);
    fprintf(out, "; whole after ");
    print_ms(out, figures.save_ns);
    fprintf(out, ": %llu pages in %llu KiB, %llu changed meanwhile\n", (unsigned long long)figures.pages,
            (unsigned long long)(figures.bytes / KIB), (unsigned long long)figures.copies);
}

static void add_snapshot(void *opaque, const struct snapshot_entry *entry)
{
    json_t *data = json_pack("{s:s}", "name", entry->name);

    if (entry->broken) {
        json_object_set_new(data, "broken", json_string(entry->broken));
    } else {
        json_object_set_new(data, "parent", entry->parent ? json_string(entry->parent) : json_null());
        json_object_set_new(data, "note", json_string(entry->note));
        json_object_set_new(data, "current", json_boolean(entry->current));
        json_object_set_new(data, "time_ns", json_integer((json_int_t)entry->time_ns));
        json_object_set_new(data, "guest_ns", json_integer((json_int_t)entry->guest_ns));
        json_object_set_new(data, "bytes", json_integer((json_int_t)entry->bytes));
    }
    json_array_append_new(opaque, data);
}

static bool list(struct command_call *call)
{
    struct error error;

    call->data = json_array();
    return (snapshot_list(call->vm, call->out, &error) >= 0 &&
            snapshot_each(call->vm, add_snapshot, call->data, &error) >= 0) ||
           command_fail(call, "%s", error.text);
}

static bool info_snapshots(struct command_call *call)
{
    if (!list(call)) {
        return false;
    }
    print_last_save(call->vm, call->out);
    return true;
}

static bool snap_tree(struct command_call *call)
{
    return list(call);
}

static bool snap_diff(struct command_call *call)
{
    struct error error;

    return snapshot_diff(call->vm, call->word[0], call->word[1], call->out, &error) >= 0 ||
           command_fail(call, "%s", error.text);
}

static bool snap_wait(struct command_call *call)
{
    struct error error;

    if (snapshot_wait(call->vm, &error) < 0) {
        return command_fail(call, "%s", error.text);
    }
    print_last_save(call->vm, call->out);
    return true;
}

static const struct command commands[] = {
    {"savevm", NULL, "[NAME [NOTE...]]", "take a snapshot", NULL, false, 0, COMMAND_WORDS_MAX, run_savevm},
    {"loadvm", NULL, "SNAPSHOT", "go back to a snapshot", NULL, false, 1, 1, run_loadvm},
    {"delvm", NULL, "SNAPSHOT", "delete a snapshot", NULL, false, 1, 1, run_delvm},
    {"info snapshots", NULL, "", "the tree of snapshots; * is what runs came from", NULL, false, 0, 0,
     info_snapshots},
    {"snap tree", NULL, "", "the tree of snapshots", NULL, false, 0, 0, snap_tree},
    {"snap diff", NULL, "SNAPSHOT SNAPSHOT", "compare two snapshots", NULL, false, 2, 2, snap_diff},
    {"snap wait", NULL, "", "wait for the last snapshot to be written", NULL, false, 0, 0, snap_wait},
};

const struct command_group snapshot_group = {"Snapshots", commands, ARRAY_LEN(commands)};
