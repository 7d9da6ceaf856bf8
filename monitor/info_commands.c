/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * info: what there is and what state it is in.
 *
 * `info NAME` works for every device of the board: its snapshot table prints it.
 */
#include "monitor/groups.h"

static bool info_status(struct command_call *call)
{
    fprintf(call->out, "VM status: %s\n", vm_state_name(call->vm->state));
    return true;
}

static bool info_registers(struct command_call *call)
{
    vcpu_print(call->out, call->vm->cpu);
    return true;
}

static void print_space(const struct addr_space *space, FILE *out)
{
    fprintf(out, "%s:\n", space->name);
    for (size_t i = 0; i < space->flat_count; i++) {
        const struct flat_range *range = &space->flat[i];

        if (!range->read && !range->write) {
            continue;
        }
        fprintf(out, "  %016llx-%016llx  read %-16s write %s\n", (unsigned long long)range->first,
                (unsigned long long)range->last, range->read ? range->read->name : "-",
                range->write ? range->write->name : "-");
    }
}

static bool info_mtree(struct command_call *call)
{
    print_space(pc_memory(call->vm->pc), call->out);
    print_space(pc_ports(call->vm->pc), call->out);
    return true;
}

static bool info_qtree(struct command_call *call)
{
    for (struct device *device = pc_board(call->vm->pc)->devices; device; device = device->next) {
        fprintf(call->out, "%-12s %s\n", device->id, device->ops->name);
    }
    return true;
}

static bool info_block(struct command_call *call)
{
    drives_print(&call->vm->drives, call->out);
    return true;
}

static bool info_network(struct command_call *call)
{
    vm_net_print(call->vm->net, call->vm->pc, call->out);
    return true;
}

static bool info_jit(struct command_call *call)
{
    vm_print_engine(call->vm, call->out);
    return true;
}

static bool run_info(struct command_call *call)
{
    struct device *device = call->count ? board_find_device(pc_board(call->vm->pc), call->word[0]) : NULL;

    if (device && device->ops->snap) {
        snap_print(call->out, device->ops->snap, device);
        return true;
    }
    if (call->count) {
        return command_fail(call, "info: there is no '%s' (info lists what there is, info qtree the devices)",
                            call->word[0]);
    }
    command_print_list("info", false, call->out);
    return true;
}

static const struct command commands[] = {
    {"info", NULL, "[DEVICE]", "a device's state, named as in info qtree; without a name, what there is",
     NULL, false, 0, 1, run_info},
    {"info status", NULL, "", "is the VM running?", NULL, false, 0, 0, info_status},
    {"info registers", NULL, "", "processor registers", NULL, false, 0, 0, info_registers},
    {"info jit", NULL, "", "the engine: its speed, blocks, exits, shadow tables", NULL, false, 0, 0,
     info_jit},
    {"info mtree", NULL, "", "what lies at each address and port", NULL, false, 0, 0, info_mtree},
    {"info qtree", NULL, "", "the devices", NULL, false, 0, 0, info_qtree},
    {"info block", NULL, "", "the drives and their media", NULL, false, 0, 0, info_block},
    {"info network", NULL, "", "the adapters and what they are plugged into", NULL, false, 0, 0,
     info_network},
};

const struct command_group info_group = {"State", commands, ARRAY_LEN(commands)};
