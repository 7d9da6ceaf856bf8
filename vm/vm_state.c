/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The states of a VM's life, and which may follow which. See vm/vm.h, where they are drawn. Nothing else writes
 * vm->state once the VM exists.
 */
#include <errno.h>

#include "vm/debugger_internal.h"
#include "vm/vm.h"

#define TO(state) (1u << (state))

bool vm_may_change(enum vm_state from, enum vm_state to)
{
    static const uint8_t next[] = {
        [VM_RUNNING] = TO(VM_PAUSED) | TO(VM_STOPPED),
        [VM_PAUSED] = TO(VM_RUNNING) | TO(VM_STOPPED),
        [VM_STOPPED] = 0,
    };

    return (next[from] & TO(to)) != 0;
}

int vm_check_not_stopped(const struct vm *vm, struct error *error)
{
    return vm->state != VM_STOPPED
               ? 0
               : error_set(error, -ESHUTDOWN, "VM '%s' has stopped: %s", vm->config.name, vm->reason);
}

int vm_change_state(struct vm *vm, enum vm_state to, struct error *error)
{
    int result = vm_check_not_stopped(vm, error);

    if (result < 0) {
        return result;
    }
    if (!vm_may_change(vm->state, to)) {
        return error_set(error, -EALREADY, "VM '%s' is %s already", vm->config.name, vm_state_name(to));
    }
    vm->state = to;
    if (to == VM_RUNNING) {
        clock_start(&vm->clock);
    } else {
        clock_stop(&vm->clock);
        vcpu_kick(vm->cpu);
    }
    debugger_state_changed(vm);
    return 0;
}

void vm_pause(struct vm *vm)
{
    vm_change_state(vm, VM_PAUSED, NULL);
}

void vm_resume(struct vm *vm)
{
    vm_change_state(vm, VM_RUNNING, NULL);
}
