/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Looking at guest memory. See monitor/guest_memory.h.
 */
#include "monitor/guest_memory.h"

#include <stdio.h>

uint64_t guest_read(const struct vcpu *cpu, bool physical, uint64_t address, void *bytes, uint64_t size)
{
    uint64_t done = 0;

    while (done < size) {
        uint64_t at = physical ? address + done : (uint32_t)(address + done);
        uint64_t count = MIN(size - done, PAGE_SIZE - (at & PAGE_OFFSET_MASK));
        struct pagewalk walk = {.gpa = at};
        uint8_t page[PAGE_SIZE];

        if (!physical && !pagewalk(&cpu->paging, at, PAGEWALK_READ, &walk)) {
            break;
        }
        if (!addr_space_peek(cpu->wiring.mem, walk.gpa, page, count)) {
            break;
        }
        memcpy((uint8_t *)bytes + done, page, count);
        done += count;
    }
    return done;
}

const char *guest_place(const struct vcpu *cpu, gpa_t gpa, char *text, size_t size)
{
    const struct addr_space *mem = cpu->wiring.mem;
    const struct flat_range *range = gpa <= mem->last ? addr_space_find(mem, gpa) : NULL;
    const struct region *read = range ? range->read : NULL, *write = range ? range->write : NULL;

    if (!read && !write) {
        snprintf(text, size, "nothing");
    } else if (read && read->ops) {
        snprintf(text, size, "device %s", read->name);
    } else if (read && read == write) {
        snprintf(text, size, "RAM (%s)", read->name);
    } else if (read && !write) {
        snprintf(text, size, "ROM (%s)", read->name);
    } else {
        snprintf(text, size, "memory, read from %s, written to %s", read ? read->name : "nothing",
                 write ? write->name : "nothing");
    }
    return text;
}
