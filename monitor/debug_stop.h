/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Where the guest is, and why it does not run, in the words of the monitor: what stepping commands and whoever hears of a stop
 * (vm/debugger.h's listeners) print.
 */
#ifndef MONITOR_DEBUG_STOP_H
#define MONITOR_DEBUG_STOP_H

#include <jansson.h>
#include <stdio.h>

#include "vm/debugger.h"
#include "vm/vm.h"

/* One instruction at a linear address, "0xc1000004 <start_kernel+0x4>: call 0xc1000100 <setup_arch>"; returns its length, 0 when
 * there is nothing to read. */
unsigned debug_print_insn(FILE *out, struct vm *vm, uint64_t linear);
/* The next one. */
void debug_print_where(FILE *out, struct vm *vm);

/* "execute" "write" "port-read" "exception" ...: a kind of points in one word, for JSON and info break. */
const char *debug_kind_name(enum debug_kind kind);
/* "#PF", "vector 32" */
const char *debug_vector_name(uint8_t vector, char *text, size_t size);

/* "breakpoint 2, start_kernel", into text, which is returned. */
const char *debug_stop_describe(struct vm *vm, const struct debug_stop *stop, char *text, size_t size);
/* That, and where it is: two lines. Nothing while it runs. */
void debug_stop_print(FILE *out, struct vm *vm);
/* The same as an object; the caller owns it. */
json_t *debug_stop_json(struct vm *vm, const struct debug_stop *stop);

#endif
