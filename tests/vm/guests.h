/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the tests of whole VMs share: VMs that run guest.asm, and the result that one of them has when it is alone.
 */
#ifndef TESTS_VM_GUESTS_H
#define TESTS_VM_GUESTS_H

#include "vm/config.h"
#include "vm/hypervisor.h"
#include "vm/vm.h"

enum { GUEST_PORT = 0x77 };

/* A VM with `options` added to the usual ones; -accel is as `engine` says. The test fails when there is none. */
struct vm *guest_create(const char *name, const char *engine, const char *options);
/* The same, with the text when it cannot be; NULL then. */
struct vm *guest_try(const char *name, const char *engine, const char *options, struct error *error);

/* What the guest reads from its port. */
struct guest_device {
    struct region region;
    struct vm *vm;
    unsigned reads, after; /* so far; how many of them are harmless */
    void (*misbehave)(void *opaque);
    void *opaque;
};
/* From the `after`th read on, misbehave. */
void guest_add_device(struct guest_device *device, struct vm *vm, unsigned after,
                      void (*misbehave)(void *opaque), void *opaque);

/* Run a VM by itself until it stops; returns the hash of its memory, and destroys it. */
uint64_t guest_run_alone(struct vm *vm);

#endif
