/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Where in guest memory a direct-booted kernel and its companions go.
 *
 *   00000h-00FFFh  vectors, BIOS data area                                   not ours
 *   01000h-07BFFh  usable
 *   07C00h-0FFFFh  the boot ROM's work area (bootlist.h)                     not ours
 *   10000h-99FFFh  usable: real-mode code, command line, info blocks
 *   9A000h-FFFFFh  room for an extended BIOS data area, video memory, ROMs   not ours
 *   100000h-       usable up to ram_end
 *
 * A layout remembers what is already spoken for. All addresses are guest-physical and carried in 64 bits, so
 * that sums of two 32-bit fields from a file cannot wrap.
 */
#ifndef VM_LOADER_LAYOUT_H
#define VM_LOADER_LAYOUT_H

#include "base/error.h"
#include "base/types.h"

#define LAYOUT_LOW_START  0x1000u
#define LAYOUT_LOW_END    0x9a000u
#define LAYOUT_HIGH_START 0x100000u

enum { LAYOUT_MAX_CLAIMS = 192 };

struct layout_claim {
    uint64_t start, end; /* end is exclusive */
    const char *what;
};

struct layout {
    uint64_t ram_end;
    struct layout_claim claim[LAYOUT_MAX_CLAIMS];
    unsigned claim_count;
};

void layout_init(struct layout *layout, uint64_t ram_end);

/* Is [start, start + size) usable memory that nobody has claimed? Claim it, or say why not. size > 0. */
int layout_take(struct layout *layout, uint64_t start, uint64_t size, const char *what, struct error *error);

/* Find and claim `size` bytes within [low, high) at a multiple of `alignment` (a power of two): the lowest
 * such place, or the highest. Returns its address, or 0 with the text set when there is no such place. */
uint64_t layout_place(struct layout *layout, uint64_t size, uint64_t alignment, uint64_t low, uint64_t high,
                      bool from_top, const char *what, struct error *error);

/* First byte past everything claimed at or above 1 MiB; LAYOUT_HIGH_START when there is nothing. */
uint64_t layout_high_end(const struct layout *layout);

#endif
