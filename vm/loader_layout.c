/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * See loader_layout.h. Claims are few, so everything is a linear search; a search for a free place moves past
 * one claim at a time and therefore ends.
 */
#include "vm/loader_layout.h"

#include <errno.h>
#include <inttypes.h>

#include "roms/boot/bootlist.h"

void layout_init(struct layout *layout, uint64_t ram_end)
{
    *layout = (struct layout){.ram_end = ram_end};
    layout->claim[layout->claim_count++] =
        (struct layout_claim){BOOTLIST_WORK, BOOTLIST_WORK_END, "the boot ROM's work area"};
}

/* The first claim that shares a byte with [start, end), or NULL. */
static const struct layout_claim *layout_find(const struct layout *layout, uint64_t start, uint64_t end)
{
    for (unsigned i = 0; i < layout->claim_count; i++) {
        const struct layout_claim *claim = &layout->claim[i];
        if (start < claim->end && claim->start < end) {
            return claim;
        }
    }
    return NULL;
}

/* Does [start, end) lie in one of the two usable windows? */
static bool layout_usable(const struct layout *layout, uint64_t start, uint64_t end)
{
    return (start >= LAYOUT_LOW_START && end <= LAYOUT_LOW_END) ||
           (start >= LAYOUT_HIGH_START && end <= layout->ram_end);
}

static int layout_add(struct layout *layout, uint64_t start, uint64_t size, const char *what,
                      struct error *error)
{
    if (layout->claim_count == LAYOUT_MAX_CLAIMS) {
        return error_set(error, -E2BIG, "%s is one piece too many: at most %d can be loaded", what,
                         LAYOUT_MAX_CLAIMS);
    }
    layout->claim[layout->claim_count++] = (struct layout_claim){start, start + size, what};
    return 0;
}

int layout_take(struct layout *layout, uint64_t start, uint64_t size, const char *what, struct error *error)
{
    uint64_t end = start + size;
    if (end <= start) {
        return error_set(error, -EINVAL, "%s has no possible address range", what);
    }
    if (start >= LAYOUT_HIGH_START && end > layout->ram_end) {
        return error_set(error, -ENOMEM,
                         "%s needs memory up to %#" PRIx64 ", but usable memory ends at %#" PRIx64
                         "; give the machine more (-m)",
                         what, end, layout->ram_end);
    }
    if (!layout_usable(layout, start, end)) {
        return error_set(error, -EINVAL,
                         "%s wants addresses %#" PRIx64 "-%#" PRIx64
                         ", which are not free RAM on a PC (usable: %#x-%#x and from %#x)",
                         what, start, end - 1, LAYOUT_LOW_START, LAYOUT_LOW_END - 1, LAYOUT_HIGH_START);
    }
    const struct layout_claim *claim = layout_find(layout, start, end);
    if (claim) {
        return error_set(error, -EINVAL,
                         "%s at %#" PRIx64 "-%#" PRIx64 " overlaps %s at %#" PRIx64 "-%#" PRIx64, what, start,
                         end - 1, claim->what, claim->start, claim->end - 1);
    }
    return layout_add(layout, start, size, what, error);
}

/* The lowest free place of a usable window [low, high), or 0. */
static uint64_t layout_lowest(const struct layout *layout, uint64_t size, uint64_t alignment, uint64_t low,
                              uint64_t high)
{
    uint64_t start = ALIGN_UP(low, alignment);
    while (start < high && size <= high - start) {
        const struct layout_claim *claim = layout_find(layout, start, start + size);
        if (!claim) {
            return start;
        }
        start = ALIGN_UP(claim->end, alignment);
    }
    return 0;
}

/* The highest free place of a usable window [low, high), or 0. */
static uint64_t layout_highest(const struct layout *layout, uint64_t size, uint64_t alignment, uint64_t low,
                               uint64_t high)
{
    uint64_t end = high;
    while (end > low && size <= end - low) {
        uint64_t start = ALIGN_DOWN(end - size, alignment);
        if (start < low) {
            break;
        }
        const struct layout_claim *claim = layout_find(layout, start, start + size);
        if (!claim) {
            return start;
        }
        end = claim->start;
    }
    return 0;
}

uint64_t layout_place(struct layout *layout, uint64_t size, uint64_t alignment, uint64_t low, uint64_t high,
                      bool from_top, const char *what, struct error *error)
{
    const uint64_t window[2][2] = {{LAYOUT_LOW_START, LAYOUT_LOW_END}, {LAYOUT_HIGH_START, layout->ram_end}};
    uint64_t start = 0;
    for (unsigned i = 0; i < 2 && !start; i++) {
        unsigned w = from_top ? 1 - i : i;
        uint64_t from = MAX(low, window[w][0]);
        uint64_t to = MIN(high, window[w][1]);
        if (from < to) {
            start = from_top ? layout_highest(layout, size, alignment, from, to)
                             : layout_lowest(layout, size, alignment, from, to);
        }
    }
    if (!start) {
        error_set(error, -ENOMEM,
                  "no room for %s (%" PRIu64 " KiB) between %#" PRIx64 " and %#" PRIx64
                  "; give the machine more memory (-m)",
                  what, (size + 1023) / 1024, low, MIN(high, layout->ram_end));
        return 0;
    }
    return layout_add(layout, start, size, what, error) < 0 ? 0 : start;
}

uint64_t layout_high_end(const struct layout *layout)
{
    uint64_t end = LAYOUT_HIGH_START;
    for (unsigned i = 0; i < layout->claim_count; i++) {
        end = MAX(end, layout->claim[i].end);
    }
    return end;
}
