/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Where the shadow tables differ from the guest's page tables, and why: for shadow show and shadow diff.
 *
 * Reasons are derived from the state as it is: the entry, the guest's tables now, what the shadow tables remember of the tables
 * they were filled from, what lies at the physical address, and who watches the frame. docs/shadow-paging.md says what entries promise.
 */
#ifndef MONITOR_SHADOW_VIEW_H
#define MONITOR_SHADOW_VIEW_H

#include "mmu/shadow.h"

/* Bits. */
enum shadow_reason {
    SHADOW_SAME = 0, /* both allow the access and mean the same memory, or neither does */
    /* The tables allow it, the entry cannot be used: */
    SHADOW_NOT_FILLED = 1u << 0,   /* nothing is in the way: the next access enters it */
    SHADOW_NOT_ACCESSED = 1u << 1, /* an A flag is clear: the first access has to set it */
    SHADOW_NOT_DIRTY = 1u << 2,    /* writes: the D flag is clear: the first write has to set it */
    SHADOW_WATCHED = 1u << 3,      /* writes: somebody has to hear of them (watch) */
    SHADOW_DEVICE = 1u << 4,       /* a device, or nothing, lies there */
    SHADOW_ROM = 1u << 5,          /* writes: they do not go to the memory that is read */
    /* The entry can be used, and the tables do not say so any more: */
    SHADOW_STALE = 1u << 6,      /* the guest has changed its tables; may stay until it flushes */
    SHADOW_STALE_FLAG = 1u << 7, /* the guest has cleared A or D; the same */
    SHADOW_WRONG = 1u << 8,      /* none of this: a mistake of ours */
    /* The tables allow it, the entry cannot be used: */
    SHADOW_DEBUGGED = 1u << 9, /* a debugger watches the page: it has to see the access */
};
enum { SHADOW_REASONS = 10 };

struct shadow_difference {
    unsigned reasons; /* enum shadow_reason */
    uint8_t watch;    /* SHADOW_WATCHED: enum ram_watch bits; 0: the judge listens to all writes */
    bool global;      /* SHADOW_STALE: a CR3 load keeps the entry */
    uint64_t was,
        is; /* SHADOW_STALE: the table entry that made the difference, when it was filled, and now */
};

/* One kind of access in one view of the current space. True: there is a difference. */
bool shadow_compare(const struct shadow *shadow, const struct paging_ctx *ctx, enum shadow_view view,
                    enum shadow_kind kind, lin_t linear, struct shadow_difference *difference);

/* "D flag clear; watched by translated code". Returns text. */
const char *shadow_reasons_text(const struct shadow_difference *difference, char *text, size_t size);
/* One reason, in few words: for sums. */
const char *shadow_reason_name(enum shadow_reason reason);
/* "translated code, display". Returns text. */
const char *shadow_watch_text(uint8_t watch, char *text, size_t size);

#endif
