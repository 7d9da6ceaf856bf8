/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The gdb stub of a VM: -gdb, -s. docs/gdb.md is the user's page.
 *
 * It lives in the VM's event loop, so its packets are carried out on the VM's thread between instructions; what stops and
 * changes the guest is vm/debugger.h's. It costs nothing while nobody is connected.
 */
#ifndef MONITOR_GDB_H
#define MONITOR_GDB_H

#include "monitor/gdb_port.h"
#include "vm/hypervisor.h"
#include "vm/vm.h"

struct gdb;

/* Serve the port's clients for the VM. Takes the port, also when it fails: NULL, no memory. Destroyed before the VM. */
struct gdb *gdb_create(struct vm *vm, struct hypervisor *hv, struct gdb_port *port);
/* A debugger that waits hears how the VM has ended. */
void gdb_destroy(struct gdb *gdb);
/* The VM is broken (vm/containment.h): nothing but the sockets is touched, and nothing freed. */
void gdb_abandon(struct gdb *gdb);

#endif
