/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Memory, selectors and descriptors that the host's side and the emulated side have in common.
 *
 * The GDT entries are those that Linux gives every process; the LDT is ours, installed with modify_ldt(2), which sets
 * DPL 3 and the accessed flag in every entry.
 *
 * SDM: Volume 3A, "Segment Descriptors".
 */
#include "hostcmp.h"

const uint8_t window_page[WINDOW_PAGES] = {
    PAGE_RW,   PAGE_RW,   PAGE_RO,   PAGE_HOLE, PAGE_RW, PAGE_RW,   PAGE_RW, PAGE_RW,
    PAGE_HOLE, PAGE_CODE, PAGE_HOLE, PAGE_RW,   PAGE_RW, PAGE_HOLE, PAGE_RW, PAGE_RW,
};

const struct ldt_entry layout_ldt[LDT_COUNT] = {
    [SEL_LDT_DATA / 8] = {WINDOW_BASE, WINDOW_SIZE - 1, true, 0, false, false},
    [SEL_LDT_CODE16 / 8] = {WINDOW_BASE, WINDOW_SIZE - 1, false, 2, false, false},
    [SEL_LDT_STACK16 / 8] = {WINDOW_BASE, WINDOW_SIZE - 1, false, 0, false, false},
    [SEL_LDT_DOWN / 8] = {WINDOW_BASE, 0x3fff, true, 1, false, false},
    [SEL_LDT_RO / 8] = {WINDOW_BASE, WINDOW_SIZE - 1, true, 0, true, false},
    [SEL_LDT_SHORT / 8] = {WINDOW_BASE, 0x7fff, true, 0, false, false},
    [SEL_LDT_ABSENT / 8] = {WINDOW_BASE, WINDOW_SIZE - 1, true, 0, false, true},
    [SEL_LDT_XO / 8] = {WINDOW_BASE, WINDOW_SIZE - 1, true, 2, true, false},
};

/* Access bytes and flags of Linux's GDT entries 1-6; base 0 and limit 4 GiB - 1. 9: the processor's number. */
struct gdt_entry {
    uint8_t access, flags;
};
static const struct gdt_entry gdt[] = {
    [1] = {0x9b, 0xc}, /* kernel, 32-bit code */
    [2] = {0x9b, 0xa}, /* kernel, 64-bit code */
    [3] = {0x93, 0xc}, /* kernel, data */
    [4] = {0xfb, 0xc}, /* user, 32-bit code */
    [5] = {0xf3, 0xc}, /* user, data */
    [6] = {0xfb, 0xa}, /* user, 64-bit code */
};

static void pack(uint8_t bytes[8], uint32_t base, uint32_t limit, uint8_t access, uint8_t flags)
{
    store_le32(bytes, (limit & 0xffff) | base << 16);
    store_le32(bytes + 4, (base >> 16 & 0xff) | (uint32_t)access << 8 | (limit & 0xf0000) |
                              (uint32_t)flags << 20 | (base & 0xff000000));
}

bool layout_descriptor(uint16_t selector, uint8_t bytes[8])
{
    unsigned index = selector / 8;

    if (selector & 4) {
        if (index >= LDT_COUNT) {
            return false;
        }
        const struct ldt_entry *entry = &layout_ldt[index];
        uint8_t type = (uint8_t)(entry->contents << 2 | !entry->read_exec_only << 1 | 1);
        pack(bytes, entry->base, entry->limit, (uint8_t)((entry->absent ? 0 : 0x80) | 0x70 | type),
             entry->wide ? 5 : 1);
        return true;
    }
    if (index == 0 || index >= ARRAY_LEN(gdt)) {
        return false;
    }
    pack(bytes, 0, 0xfffff, gdt[index].access, gdt[index].flags);
    return true;
}

uint32_t layout_segment_base(uint16_t selector)
{
    return (selector & 4) ? layout_ldt[selector / 8].base : 0;
}
