/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Output whose length the guest decides: so many lines, then one that says what was left out.
 *
 * A line is text, and an object of the -j answer. Both stop at the same line.
 */
#ifndef MONITOR_LISTING_H
#define MONITOR_LISTING_H

#include "monitor/command.h"

struct listing {
    struct command_call *call;
    json_t *rows; /* the answer for -j; the call's once listing_end() was called */
    unsigned lines, most;
    uint64_t left_out;
};

static inline struct listing listing_begin(struct command_call *call, unsigned most)
{
    return (struct listing){.call = call, .rows = json_array(), .most = most};
}

/* Is there room for another line? If not, it is counted. */
static inline bool listing_room(struct listing *listing)
{
    bool room = listing->lines < listing->most;

    listing->lines += room ? 1 : 0;
    listing->left_out += room ? 0 : 1;
    return room;
}

/* The object of a line; NULL is legal (no memory) and leaves it out. */
static inline void listing_row(struct listing *listing, json_t *row)
{
    json_array_append_new(listing->rows, row);
}

/* `more`: how to see the rest, "info tlb ADDR goes on at an address"; NULL: there is no way. */
static inline void listing_end(struct listing *listing, const char *more)
{
    if (listing->left_out) {
        fprintf(listing->call->out, "... %llu more lines%s%s\n", (unsigned long long)listing->left_out,
                more ? "; " : "", more ? more : "");
    }
    listing->call->data = listing->rows;
}

#endif
