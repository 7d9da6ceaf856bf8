/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Guest memory for commands that only look: no device is read, no A or D bit is set, nothing is raised.
 *
 * Linear addresses go through the page tables as they are now, with supervisor rights; they have 32 bits and wrap.
 */
#ifndef MONITOR_GUEST_MEMORY_H
#define MONITOR_GUEST_MEMORY_H

#include "cpu/vcpu.h"

/* How many bytes could be read; what could not be is left alone. */
uint64_t guest_read(const struct vcpu *cpu, bool physical, uint64_t address, void *bytes, uint64_t size);
/* All of them? */
static inline bool guest_peek(const struct vcpu *cpu, bool physical, uint64_t address, void *bytes,
                              uint64_t size)
{
    return guest_read(cpu, physical, address, bytes, size) == size;
}

/* "RAM", "ROM", "device lapic", "nothing": what lies at a guest-physical address. Into text, which is returned. */
const char *guest_place(const struct vcpu *cpu, gpa_t gpa, char *text, size_t size);

#endif
