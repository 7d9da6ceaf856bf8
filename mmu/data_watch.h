/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Pages whose accesses a debugger wants to see: no cached translation gives direct access to them, so every access comes
 * by the slow path, where it is compared with what is watched (cpu/points.h).
 *
 * A page is linear, whatever it is mapped to, or guest-physical, whatever reaches it. Who changes the list has all cached
 * translations flushed; it is looked at when they are made, so it costs nothing where nothing is watched.
 *
 * Instruction fetches and the page walk's own accesses are not seen.
 */
#ifndef MMU_DATA_WATCH_H
#define MMU_DATA_WATCH_H

#include "base/types.h"

enum data_watch_kind {
    DATA_WATCH_READ = 1,
    DATA_WATCH_WRITE = 2,
};

struct data_watch_page {
    uint64_t page; /* address / PAGE_SIZE */
    bool physical; /* else linear */
    uint8_t kinds; /* enum data_watch_kind */
};

struct data_watch {
    const struct data_watch_page *page; /* the owner's */
    unsigned count;
};

/* Which accesses to the page that holds these addresses are to be seen. */
static inline unsigned data_watch_at(const struct data_watch *watch, lin_t linear, gpa_t gpa)
{
    unsigned kinds = 0;

    for (unsigned i = 0; watch && i < watch->count; i++) {
        const struct data_watch_page *page = &watch->page[i];
        if (page->page == (page->physical ? gpa : linear) >> PAGE_SHIFT) {
            kinds |= page->kinds;
        }
    }
    return kinds;
}

#endif
