/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The machine as its user has it before him: power and reset, media, keyboard and mouse, screen, cables, the log.
 */
#include <stdlib.h>
#include <string.h>

#include "monitor/groups.h"
#include "monitor/keys.h"
#include "monitor/screendump.h"

#define NS_PER_MS 1000000u

enum { HOLD_MS = 100, HOLD_MS_MAX = 60000 };

/* ---- life cycle ---- */

static bool run_stop(struct command_call *call)
{
    vm_pause(call->vm);
    return true;
}

static bool run_cont(struct command_call *call)
{
    vm_resume(call->vm);
    return true;
}

static bool run_system_reset(struct command_call *call)
{
    vm_request_reset(call->vm);
    return true;
}

static bool run_system_powerdown(struct command_call *call)
{
    vm_power_button(call->vm);
    return true;
}

static bool run_nmi(struct command_call *call)
{
    vcpu_set_nmi(call->vm->cpu);
    return true;
}

/* ---- media ---- */

/* NULL: there is none, said so. */
static struct disk *find_disk(struct command_call *call, const char *id)
{
    struct disk *disk = drives_find(&call->vm->drives, id);

    if (!disk) {
        command_fail(call, "there is no drive '%s' (info block lists them)", id);
    }
    return disk;
}

static bool run_change(struct command_call *call)
{
    struct disk *disk = find_disk(call, call->word[0]);
    bool read_only = call->count > 3 && !strcmp(call->word[3], "read-only");
    const char *format = call->count > 2 ? call->word[2] : NULL;
    struct error error;

    if (!disk) {
        return false;
    }
    if (call->count > 3 && !read_only) {
        return command_fail(call, "'%s' must be read-only or left out", call->word[3]);
    }
    if (drives_change(&call->vm->drives, disk, call->word[1], format, read_only, &error) < 0) {
        return command_fail(call, "%s", error.text);
    }
    return true;
}

static bool run_eject(struct command_call *call)
{
    bool force = !strcmp(call->word[0], "-f");
    struct disk *disk;
    struct error error;

    if (force != (call->count == 2)) {
        return command_usage(call);
    }
    disk = find_disk(call, call->word[force]);
    if (!disk) {
        return false;
    }
    return drives_eject(disk, force, &error) == 0 || command_fail(call, "%s", error.text);
}

static bool commit_disk(struct command_call *call, struct disk *disk)
{
    struct error error;

    return drives_commit(disk, &error) == 0 || command_fail(call, "%s: %s", disk->block.id, error.text);
}

/* `commit all` so far. */
struct commit_all {
    struct command_call *call;
    bool done;
};

/* Those that have something to commit to. */
static void commit_if_overlay(struct disk *disk, void *opaque)
{
    struct commit_all *all = opaque;

    if (disk->image && disk->image->backing && disk->image->writable) {
        all->done = commit_disk(all->call, disk) && all->done;
    }
}

static bool run_commit(struct command_call *call)
{
    struct commit_all all = {call, true};
    struct disk *disk;

    if (!strcmp(call->word[0], "all")) {
        drives_for_each(&call->vm->drives, commit_if_overlay, &all);
        return all.done;
    }
    disk = find_disk(call, call->word[0]);
    return disk && commit_disk(call, disk);
}

/* ---- the log ---- */

static bool run_logfile(struct command_call *call)
{
    struct error error;

    return log_open(&call->vm->log, call->word[0], &error) == 0 || command_fail(call, "%s", error.text);
}

static bool run_log(struct command_call *call)
{
    struct error error;

    if (!strcmp(call->word[0], "none")) {
        call->vm->log.mask = 0;
    } else if (log_parse_mask(call->word[0], &call->vm->log.mask, &error) < 0) {
        return command_fail(call, "%s", error.text);
    }
    return true;
}

/* ---- the screen ---- */

static bool run_screendump(struct command_call *call)
{
    struct error error;
    struct display display;

    if (!pc_vga(call->vm->pc)) {
        return command_fail(call, "there is no display adapter (-vga none)");
    }
    display = vga_display(pc_vga(call->vm->pc));
    return screendump_write(&display, call->word[0], &error) == 0 || command_fail(call, "%s", error.text);
}

/* ---- the keyboard ---- */

/* Keys that sendkey holds down until a time on the VM's clock; vm->held_keys, which the VM frees. */
struct held_keys {
    struct timer timer;
    struct vm *vm;
    enum key key[KEYS_AT_ONCE];
    int count;
};

static void release_keys(void *opaque)
{
    struct held_keys *held = opaque;
    struct input_sink sink = pc_input(held->vm->pc);

    while (held->count > 0) {
        input_key(&sink, held->key[--held->count], false);
    }
}

/* NULL: no memory. */
static struct held_keys *find_held(struct vm *vm)
{
    struct held_keys *held = vm->held_keys;

    if (!held) {
        held = vm->held_keys = calloc(1, sizeof(*held));
    }
    if (held && !held->vm) {
        held->vm = vm;
        timer_init(&held->timer, &vm->clock, "sendkey", release_keys, held);
    }
    return held;
}

static bool run_sendkey(struct command_call *call)
{
    struct held_keys *held = find_held(call->vm);
    struct input_sink sink = pc_input(call->vm->pc);
    enum key key[KEYS_AT_ONCE];
    uint64_t ms = HOLD_MS;
    struct error error;
    int count = keys_parse(call->word[0], key, &error);

    if (count < 0) {
        return command_fail(call, "%s", error.text);
    }
    if (call->count > 1 && !command_value(call, 1, &ms)) {
        return false;
    }
    if (ms > HOLD_MS_MAX) {
        return command_fail(call, "keys are held down for %d ms at most", HOLD_MS_MAX);
    }
    if (!held) {
        return command_fail(call, "out of memory");
    }
    timer_disarm(&held->timer);
    release_keys(held); /* those before */
    for (int i = 0; i < count; i++) {
        held->key[held->count++] = key[i];
        input_key(&sink, key[i], true);
    }
    timer_arm(&held->timer, clock_now(&call->vm->clock) + ms * NS_PER_MS);
    return true;
}

/* ---- the pointer ---- */

/* A guest with an absolute pointer is told positions from 0 to 32767, as QEMU's command has it; others, counts. */
static bool run_mouse_move(struct command_call *call)
{
    struct input_sink sink = pc_input(call->vm->pc);
    uint64_t number[3] = {0, 0, 0};
    int value[3];

    for (unsigned i = 0; i < call->count; i++) {
        if (!command_value(call, i, &number[i])) {
            return false;
        }
    }
    for (unsigned i = 0; i < 3; i++) {
        value[i] = (int)MIN(MAX((int64_t)number[i], -32768), 32767);
    }
    if (!pc_wants_position(call->vm->pc)) {
        input_motion(&sink, value[0], value[1], value[2]);
        return true;
    }
    input_position(&sink, (uint16_t)(2 * MAX(value[0], 0)), (uint16_t)(2 * MAX(value[1], 0)));
    input_motion(&sink, 0, 0, value[2]);
    return true;
}

static bool run_mouse_button(struct command_call *call)
{
    struct input_sink sink = pc_input(call->vm->pc);
    uint64_t state;

    if (!command_value(call, 0, &state)) {
        return false;
    }
    input_buttons(&sink, (state & 1 ? INPUT_BUTTON_LEFT : 0) | (state & 2 ? INPUT_BUTTON_MIDDLE : 0) |
                             (state & 4 ? INPUT_BUTTON_RIGHT : 0));
    return true;
}

/* ---- network ---- */

static bool run_set_link(struct command_call *call)
{
    struct vm *vm = call->vm;
    struct net_port *port = vm_net_find(vm->net, call->word[0]);
    bool on = !strcmp(call->word[1], "on");

    for (unsigned i = 0; !port && i < pc_nic_count(vm->pc); i++) {
        if (!strcmp(pc_nic_port(vm->pc, i)->name, call->word[0])) {
            port = pc_nic_port(vm->pc, i);
        }
    }
    if (!port) {
        return command_fail(call, "there is no network or adapter '%s' (info network lists them)",
                            call->word[0]);
    }
    if (!on && strcmp(call->word[1], "off") != 0) {
        return command_fail(call, "set_link: '%s' must be on or off", call->word[1]);
    }
    net_port_set_link(port, on);
    return true;
}

static const struct command commands[] = {
    {"stop", NULL, "", "pause the VM", NULL, false, 0, 0, run_stop},
    {"cont", "c", "", "let it run", NULL, false, 0, 0, run_cont},
    {"system_reset", NULL, "", "reset the machine", NULL, false, 0, 0, run_system_reset},
    {"system_powerdown", NULL, "", "press the power button", NULL, false, 0, 0, run_system_powerdown},
    {"nmi", NULL, "", "raise a non-maskable interrupt", NULL, false, 0, 0, run_nmi},
    {"screendump", NULL, "FILE", "write the screen to FILE: PNG, or PPM by the name's .ppm", NULL, false, 1,
     1, run_screendump},
    {"sendkey", NULL, "KEYS [MS]",
     "press keys together, such as ctrl-alt-delete, and release them after MS ms (100)",
     "Key names are QEMU's; the Tab key lists them. 0xNN is a scan code of set 1. The time is the guest's.",
     false, 1, 2, run_sendkey},
    {"mouse_move", NULL, "DX DY [WHEEL]", "move the mouse; an absolute pointer: to X Y of 32767", NULL, false,
     2, 3, run_mouse_move},
    {"mouse_button", NULL, "STATE", "press and release buttons: 1 left, 2 middle, 4 right, added up", NULL,
     false, 1, 1, run_mouse_button},
    {"change", NULL, "DRIVE FILE [raw|qcow2 [read-only]]", "put another medium into a CD or floppy drive",
     NULL, false, 2, 4, run_change},
    {"eject", NULL, "[-f] DRIVE", "take the medium out; -f even if the guest has locked it", NULL, false, 1,
     2, run_eject},
    {"commit", NULL, "DRIVE|all", "move an overlay's data into its backing file", NULL, false, 1, 1,
     run_commit},
    {"set_link", NULL, "NAME on|off", "plug a network cable in or out", NULL, false, 2, 2, run_set_link},
    {"logfile", NULL, "FILE", "write the log to another file", NULL, false, 1, 1, run_logfile},
    {"log", NULL, "ITEMS|none", "set the log's categories",
     "As -d has them, with commas between: int,cpu_reset.", false, 1, 1, run_log},
};

const struct command_group machine_group = {"The machine", commands, ARRAY_LEN(commands)};
