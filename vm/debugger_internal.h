/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the files of the debugger share with the rest of vm/.
 *
 *   debugger.c       points, conditions, stops, stepping
 *   debugger_text.c  stops in words
 *   vm.c             slices, which ask how far they may go and say how they ended
 *   vm_state.c       changes of state
 */
#ifndef VM_DEBUGGER_INTERNAL_H
#define VM_DEBUGGER_INTERNAL_H

#include "cpu/vcpu.h"
#include "vm/debugger.h"

/* With vm->cpu there. False: out of memory. */
bool debugger_create(struct vm *vm);
void debugger_destroy(struct vm *vm);

/* Are there points? */
bool debugger_in_use(const struct vm *vm);
/* Pause a running VM, for this reason. */
void debugger_pause(struct vm *vm, const char *text);

/* The state has just become this one. */
void debugger_state_changed(struct vm *vm);

/* A snapshot was loaded: what was known of the guest is void. The points stay. */
void debugger_guest_replaced(struct vm *vm);

/* The most instructions that a slice may take, of `insns`. */
uint64_t debugger_limit_slice(const struct vm *vm, uint64_t insns);
/* A slice that began at insn_count `before` has ended so. True: a point was met, and the VM is to be paused; debugger_stop() will say why. */
bool debugger_slice_ended(struct vm *vm, enum vcpu_exit exit, uint64_t before);

/* A step has ended in a triple fault. True: a point was met. */
bool debugger_shut_down(struct vm *vm);

/* debugger_text.c: fill in stop->text. `name`: the point's, or NULL. */
void debugger_describe(const struct vm *vm, struct debug_stop *stop, const char *name);
/* "#PF" */
const char *debugger_vector_name(uint8_t vector);

/* vm.c: execute one instruction of a paused VM; what the guest asked for meanwhile is done. `time`: guest time runs. */
enum vcpu_exit vm_execute_one(struct vm *vm, bool time);

#endif
