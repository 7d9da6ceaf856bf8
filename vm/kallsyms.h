/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The symbols of a Linux that runs in the guest, out of its own memory.
 *
 * Linux carries a compressed table of its functions (CONFIG_KALLSYMS), which /proc/kallsyms and its oops messages come from. It
 * moves with the kernel, so what is read here is right whatever address the kernel chose for itself (KASLR). Distributions' System.map
 * may be a place holder, and their files with symbols are hundreds of megabytes; this needs nothing.
 */
#ifndef VM_KALLSYMS_H
#define VM_KALLSYMS_H

#include "cpu/vcpu.h"
#include "vm/symbols.h"

/* Find the table near the code that handles interrupts, by linear addresses as they are mapped now. How many symbols were new, or
 * -errno with the text: -ENOENT, there is none. */
long kallsyms_load(const struct vcpu *cpu, struct symbols **symbols, struct error *error);

/* The same in `size` bytes of a kernel's memory; whatever they are. */
long kallsyms_parse(const uint8_t *image, size_t size, struct symbols **symbols, struct error *error);

#endif
