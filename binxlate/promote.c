/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Which views get a host window (mmu/window.h), and which pages go into it.
 *
 * A window makes memory operands as fast as the processor's own, and costs a system call for each run of pages that
 * comes or goes. So it pays for who runs long on memory that stays; a process that lives for a millisecond is better off
 * with the flat table.
 *
 *   look      every LOOK_INSNS instructions: whose code runs now? After LOOKS_USER looks a user space gets its window,
 *             after LOOKS_KERNEL the supervisor view, whose window is shared by all spaces and holds global pages. A look is a
 *             host fault, so what runs in a window already is looked at less often, and each time counts for LOOKS_OPEN
 *   calls     system calls a window may make: CALLS_FIRST to begin with, and CALLS_PER_LOOK for every look that its
 *             view had to wait for it or finds it in use. When they are used up the window is closed: the guest
 *             changes its mappings, or takes new pages, too fast. Its view has to run twice as long before it gets
 *             another. Code for the flat table is still there
 *
 * An access to a page that cannot be shown, because it is not global for one, goes by the flat table from then on
 * (TRAIT_FLAT). A window that refuses more than it takes is no use: a kernel that maps nothing global does without.
 *
 * Nothing of this can be seen by the guest.
 */
#include "binxlate/engine.h"

enum {
    LOOKS_USER = 8,
    LOOKS_KERNEL = 64,
    LOOKS_MAX = 1 << 20, /* where doubling stops */
    CALLS_FIRST = 400,
    CALLS_PER_LOOK = 2,
    REFUSED_MAX = 512, /* pages that a window may refuse before that is held against those it took */
};

static enum shadow_view current_view(const struct binxlate *x)
{
    return x->cpu->user_view ? SHADOW_USER : SHADOW_SUPERVISOR;
}

static struct window_record *record_of(struct binxlate *x, enum shadow_view view)
{
    return view == SHADOW_USER ? &x->shadow.current->record : &x->shadow.kernel_record;
}

/* The supervisor view's window holds global pages only. */
static bool possible(const struct binxlate *x, enum shadow_view view)
{
    const struct vcpu *cpu = x->cpu;

    return x->windows != BINXLATE_WINDOWS_OFF && cpu->paging.mode != PAGING_OFF &&
           (view == SHADOW_USER || (cpu->cr4 & CR4_PGE));
}

static void open_window(struct binxlate *x, enum shadow_view view)
{
    struct window_record *record = record_of(x, view);

    record->allowed = x->windows == BINXLATE_WINDOWS_NOW
                          ? UINT64_MAX
                          : CALLS_FIRST + (uint64_t)CALLS_PER_LOOK * record->looks;
    record->looks = 0;
    record->refused = 0;
    if (shadow_open_window(&x->shadow, view, NULL) < 0) {
        record->needed = LOOKS_MAX;
    } else {
        x->stats.windows_opened++;
    }
}

static unsigned looks_needed(const struct window_record *record, enum shadow_view view)
{
    return MAX(record->needed, (unsigned)(view == SHADOW_USER ? LOOKS_USER : LOOKS_KERNEL));
}

static void close_window(struct binxlate *x, enum shadow_view view)
{
    struct window_record *record = record_of(x, view);

    shadow_close_window(&x->shadow, view);
    x->gs_base = 0;
    record->looks = 0;
    record->needed = MIN(2 * looks_needed(record, view), (unsigned)LOOKS_MAX);
    x->stats.windows_closed++;
}

void promote_look(struct binxlate *x)
{
    enum shadow_view view = current_view(x);
    struct window_record *record = record_of(x, view);
    const struct window *window = shadow_window(&x->shadow, view);
    unsigned looks = x->mode & MODE_WINDOW ? LOOKS_OPEN : 1;

    record->looks += looks;
    if (window && (!possible(x, view) || window->calls > record->allowed)) {
        close_window(x, view);
    } else if (window) {
        record->allowed += record->allowed == UINT64_MAX ? 0 : (uint64_t)CALLS_PER_LOOK * looks;
    } else if (record->looks >= looks_needed(record, view) && possible(x, view)) {
        open_window(x, view);
    }
}

void promote_now(struct binxlate *x)
{
    enum shadow_view view = current_view(x);

    if (x->windows == BINXLATE_WINDOWS_NOW && possible(x, view) && !shadow_window(&x->shadow, view)) {
        open_window(x, view);
    }
}

bool promote_page(struct binxlate *x, uint32_t linear, bool write)
{
    enum shadow_view view = current_view(x);
    const struct window *window = shadow_window(&x->shadow, view);

    TRY(window && !window_shows(window, linear >> PAGE_SHIFT, write));
    if (window->calls > record_of(x, view)->allowed) {
        close_window(x, view);
        return false;
    }
    x->stats.window_maps++;
    if (shadow_show(&x->shadow, &x->cpu->paging, view, linear, write)) {
        return true;
    }
    if (++record_of(x, view)->refused > REFUSED_MAX && record_of(x, view)->refused > window->calls) {
        close_window(x, view);
    }
    return false;
}

/* The GS base belongs to the thread and is nobody else's: the C library uses FS. */
void promote_enter(struct binxlate *x)
{
    const struct window *window = shadow_window(&x->shadow, current_view(x));
    uint64_t base = window ? (uint64_t)(uintptr_t)window->base : 0;

    if (window && x->gs_base != base) {
        __asm__ volatile("wrgsbase %0" : : "r"(base));
        x->gs_base = base;
    }
}
