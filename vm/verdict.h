/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Has the guest failed? A panic of its kernel and a hang end a run that nobody watches, each with an exit code of its own and a
 * report that names the cause (vm_exit_code(): 6 and 12).
 *
 *   panic    a line that kernels print when they panic, on a serial port, the debug console or the text screen;
 *            or the pvpanic device (-device pvpanic). What is printed in the second behind it is waited for.
 *   hung     halted for a second of guest time with interrupts masked and no NMI in sight: nothing can wake it;
 *            or, with -hang-timeout, so many seconds in a few pages of code with interrupts masked
 *
 * What happens then is up to -on-panic and -on-hang: exit, pause or ignore. While a debugger has points set, exit is pause.
 */
#ifndef VM_VERDICT_H
#define VM_VERDICT_H

#include <stdio.h>

#include "cpu/vcpu.h"
#include "vm/config.h"

struct vm;

/* What -on-panic and -on-hang mean where they were not given: exit for a VM without a window, pause if a monitor or gdb was asked
 * for, ignore where there is a screen. Who builds VMs
 * from command lines asks; a VM made without it ignores. */
void verdict_choose(struct vm_config *config);

/* With chardevs and board there. False: out of memory. */
bool verdict_create(struct vm *vm);
void verdict_destroy(struct vm *vm);

/* The pvpanic device was written. */
void verdict_panicked(struct vm *vm);

/* A slice has ended so. True: the guest has failed and is to be paused or ended (verdict_pass()). */
bool verdict_look(struct vm *vm, enum vcpu_exit exit);
/* The guest reboots: if it has panicked before, that is what happened. The same. */
bool verdict_look_at_reset(struct vm *vm);
/* A snapshot was loaded: nothing has been seen of this guest yet. */
void verdict_forget(struct vm *vm);
/* How long a guest that sleeps may be left alone, of `wait` nanoseconds of its time. */
uint64_t verdict_limit_wait(const struct vm *vm, uint64_t wait);
/* After verdict_look(): a panic, else a hang; and why, in one line. */
bool verdict_is_panic(const struct vm *vm);
const char *verdict_reason(const struct vm *vm);
/* Is the VM to end, or to be paused? */
bool verdict_ends(const struct vm *vm);

/* The reason, the back trace, the instruction and the registers. */
void verdict_explain(FILE *out, struct vm *vm);

/* A line of text: is it what a kernel prints when it panics? */
bool verdict_is_panic_line(const char *line);

#endif
