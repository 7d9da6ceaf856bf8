/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The judge's second machine: a processor and memory, no devices.
 *
 * Where the machine has memory the twin has memory at the same offset (roff_t), where it has a device the twin has a
 * trap: who touches it notes the fact and ends the run, and the step is taken back. Every port is a trap.
 *
 * All frames of the twin are watched (RAM_WATCH_DIRTY). The first write to one in a step keeps its image and takes the
 * watch away, so that the next ones are as fast as any; the watch comes back with the next step.
 *
 * Not modelled: writes to the machine's memory that ram_watch_notify() does not hear of. Only translated code and the
 * interpreter's fast path make such, the first is judged by comparison, the second is switched off while it matters.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "binxlate/check_state.h"
#include "cpu/icache.h"

/* ---- Sets of frames ------------------------------------------------------------------------------------- */

static bool frame_set_init(struct frame_set *set, uint64_t frames)
{
    set->frame = calloc(frames + 1, sizeof(*set->frame));
    set->member = calloc(frames + 1, 1);
    return set->frame && set->member;
}

static void frame_set_fini(struct frame_set *set)
{
    free(set->frame);
    free(set->member);
}

/* True: it is new. */
static bool frame_set_add(struct frame_set *set, uint64_t frame)
{
    if (set->member[frame]) {
        return false;
    }
    set->member[frame] = 1;
    set->frame[set->count++] = frame;
    return true;
}

static void frame_set_clear(struct frame_set *set)
{
    for (size_t i = 0; i < set->count; i++) {
        set->member[set->frame[i]] = 0;
    }
    set->count = 0;
}

/* ---- What is heard of writes ---------------------------------------------------------------------------- */

/* ram_watcher of the machine's memory: everything but the stores of translated code. */
static void machine_written(void *opaque, roff_t roff, uint64_t length)
{
    struct twin *twin = opaque;

    for (uint64_t frame = roff >> PAGE_SHIFT; frame <= (roff + length - 1) >> PAGE_SHIFT; frame++) {
        frame_set_add(&twin->behind, frame);
    }
}

static bool keep_image(struct twin *twin, uint64_t frame)
{
    if (twin->dirty.count > twin->image_capacity) {
        size_t capacity = 2 * twin->dirty.count;
        uint8_t *images = realloc(twin->images, capacity * PAGE_SIZE);
        if (!images) {
            return false;
        }
        twin->images = images;
        twin->image_capacity = capacity;
    }
    memcpy(twin->images + (twin->dirty.count - 1) * PAGE_SIZE, ram_ptr(&twin->ram, frame << PAGE_SHIFT),
           PAGE_SIZE);
    return true;
}

/* ram_watcher of the twin's memory: the first write to a frame in a step. */
static void twin_written(void *opaque, roff_t roff, uint64_t length)
{
    struct twin *twin = opaque;
    uint64_t frame = roff >> PAGE_SHIFT;

    (void)length;
    if (frame_set_add(&twin->dirty, frame) && !keep_image(twin, frame)) {
        twin->no_memory = true;
    }
    ram_watch_clear(&twin->ram, frame, RAM_WATCH_DIRTY);
}

/* Watch again what was written. A TLB entry that may write has been made since the watch was taken away, so all of them
 * go at once, which is cheaper than ram_watch_set() a frame. */
static void watch_again(struct twin *twin)
{
    struct tlb *tlb = twin->cpu->tlb;

    for (size_t i = 0; i < twin->dirty.count; i++) {
        twin->ram.watch[twin->dirty.frame[i]] |= BIT(RAM_WATCH_DIRTY);
    }
    for (unsigned user = 0; user < 2 && twin->dirty.count; user++) {
        for (uint64_t left = tlb->touched[user]; left; left &= left - 1) {
            struct tlb_entry *group = &tlb->view[user][TLB_ENTRIES / 64 * (unsigned)__builtin_ctzll(left)];
            for (unsigned i = 0; i < TLB_ENTRIES / 64; i++) {
                group[i].write = TLB_NO_TAG;
            }
        }
    }
    frame_set_clear(&twin->dirty);
}

/* ---- Frames --------------------------------------------------------------------------------------------- */

static bool bytes_differ(const uint8_t *a, const uint8_t *b, unsigned *first, unsigned *last)
{
    if (memcmp(a, b, PAGE_SIZE) == 0) {
        return false;
    }
    *first = 0;
    *last = PAGE_SIZE - 1;
    while (a[*first] == b[*first]) {
        ++*first;
    }
    while (a[*last] == b[*last]) {
        --*last;
    }
    return true;
}

bool twin_frame_differs(const struct twin *twin, uint64_t frame, unsigned *first, unsigned *last)
{
    const struct ram *ram = twin->original->wiring.mem->ram;

    return bytes_differ(ram_ptr(ram, frame << PAGE_SHIFT), ram_ptr(&twin->ram, frame << PAGE_SHIFT), first,
                        last);
}

/* Write a whole frame of the twin, behind its back. */
static void store_frame(struct twin *twin, uint64_t frame, const uint8_t *bytes)
{
    const struct ram_watcher *code = &twin->ram.watcher[RAM_WATCH_CODE];
    roff_t roff = frame << PAGE_SHIFT;
    unsigned first, last;

    if (!bytes_differ(bytes, ram_ptr(&twin->ram, roff), &first, &last)) {
        return;
    }
    if (twin->ram.watch[frame] & BIT(RAM_WATCH_CODE)) {
        code->written(code->opaque, roff + first, last - first + 1);
    }
    memcpy(ram_ptr(&twin->ram, roff + first), bytes + first, last - first + 1);
}

void twin_take(struct twin *twin, uint64_t frame)
{
    store_frame(twin, frame, ram_ptr(twin->original->wiring.mem->ram, frame << PAGE_SHIFT));
}

/* Write a whole frame of the machine, as a device would. */
static void give_frame(struct twin *twin, uint64_t frame, const uint8_t *bytes)
{
    struct ram *ram = twin->original->wiring.mem->ram;
    roff_t roff = frame << PAGE_SHIFT;
    unsigned first, last;

    if (bytes_differ(bytes, ram_ptr(ram, roff), &first, &last)) {
        ram_watch_notify(ram, roff + first, last - first + 1);
        memcpy(ram_ptr(ram, roff + first), bytes + first, last - first + 1);
    }
}

/* ---- Steps ---------------------------------------------------------------------------------------------- */

void twin_commit(struct twin *twin)
{
    watch_again(twin);
    frame_set_clear(&twin->behind);
}

void twin_restore(struct twin *twin, bool both)
{
    for (size_t i = 0; i < twin->dirty.count; i++) {
        store_frame(twin, twin->dirty.frame[i], twin->images + i * PAGE_SIZE);
    }
    for (size_t i = 0; both && i < twin->dirty.count; i++) {
        give_frame(twin, twin->dirty.frame[i], twin->images + i * PAGE_SIZE);
    }
    for (size_t i = 0; both && i < twin->behind.count; i++) {
        uint64_t frame = twin->behind.frame[i];
        give_frame(twin, frame, ram_ptr(&twin->ram, frame << PAGE_SHIFT));
    }
    watch_again(twin);
    if (both) {
        frame_set_clear(&twin->behind);
    }
}

/* Copy every frame that takes memory: what was never written is zero on both sides. */
static void copy_memory(struct twin *twin)
{
    const struct ram *ram = twin->original->wiring.mem->ram;

    for (uint64_t frame, end = 0; ram_next_data(ram, end, &frame, &end);) {
        for (; frame < end; frame++) {
            twin_take(twin, frame);
        }
    }
}

static uint64_t scan_memory(struct twin *twin, const struct ram *ram,
                            bool (*excused)(void *opaque, uint64_t frame), void *opaque)
{
    unsigned first, last;

    for (uint64_t frame, end = 0; ram_next_data(ram, end, &frame, &end);) {
        for (; frame < end; frame++) {
            if (twin_frame_differs(twin, frame, &first, &last) && !excused(opaque, frame)) {
                return frame;
            }
        }
    }
    return UINT64_MAX;
}

uint64_t twin_scan(struct twin *twin, bool (*excused)(void *opaque, uint64_t frame), void *opaque)
{
    uint64_t frame = scan_memory(twin, twin->original->wiring.mem->ram, excused, opaque);

    return frame != UINT64_MAX ? frame : scan_memory(twin, &twin->ram, excused, opaque);
}

/* ---- Traps ---------------------------------------------------------------------------------------------- */

static void trap(struct twin *twin)
{
    struct vcpu *cpu = twin->cpu;

    if (!twin->trapped) {
        twin->trapped = true;
        twin->trapped_at = cpu->insn_count;
    }
    vcpu_shorten(cpu, 0);
    __atomic_or_fetch(&cpu->attention, ATTENTION_CODE, __ATOMIC_RELAXED);
}

static uint64_t trap_read(void *opaque, uint64_t offset, unsigned size)
{
    (void)offset;
    (void)size;
    trap(opaque);
    return 0;
}

static void trap_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    (void)offset;
    (void)value;
    (void)size;
    trap(opaque);
}

static const struct region_ops trap_ops = {.read = trap_read, .write = trap_write, .max_size = 8};

static uint8_t trap_acknowledge(void *board)
{
    trap(board);
    return 0;
}

static void trap_apic_base(void *board, uint64_t value)
{
    (void)value;
    trap(board);
}

static void trap_ferr(void *board, bool level)
{
    (void)level;
    trap(board);
}

/* ---- The memory map ------------------------------------------------------------------------------------- */

static void map_changed(void *opaque)
{
    ((struct twin *)opaque)->map_stale = true;
}

static roff_t range_roff(const struct flat_range *range, const struct region *region)
{
    return region->roff + (range->first - region->base);
}

static bool same_memory(const struct flat_range *range)
{
    return range->read && range->write && !range->read->ops && !range->write->ops &&
           range_roff(range, range->read) == range_roff(range, range->write);
}

/* What answers in this direction is memory, a device, or nobody. */
static void add_range(struct twin *twin, const struct flat_range *range, const struct region *region,
                      uint8_t visible)
{
    struct region *copy = &twin->regions[twin->region_count];
    uint64_t size = range->last - range->first + 1;

    if (!region) {
        return;
    }
    if (region->ops) {
        region_init_io(copy, "trap", range->first, size, &trap_ops, twin);
        copy->visible = visible;
    } else {
        region_init_memory(copy, "twin", range->first, size, range_roff(range, region), visible);
    }
    addr_space_add(&twin->mem, copy);
    twin->region_count += copy->space != NULL;
}

/* The twin's map, made anew after the machine's. False: out of memory. */
static bool copy_map(struct twin *twin)
{
    const struct addr_space *space = twin->original->wiring.mem;
    size_t wanted = 0;

    addr_space_begin(&twin->mem);
    for (size_t i = 0; i < twin->region_count; i++) {
        addr_space_remove(&twin->mem, &twin->regions[i]);
    }
    free(twin->regions);
    twin->regions = calloc(2 * space->flat_count, sizeof(*twin->regions));
    twin->region_count = 0;
    for (size_t i = 0; twin->regions && i < space->flat_count; i++) {
        const struct flat_range *range = &space->flat[i];
        bool same = same_memory(range);
        wanted += (range->read != NULL) + (!same && range->write);
        add_range(twin, range, range->read, same ? REGION_RW : REGION_READ);
        add_range(twin, range, same ? NULL : range->write, REGION_WRITE);
    }
    addr_space_end(&twin->mem);
    twin->map_stale = false;
    return twin->regions && twin->region_count == wanted;
}

/* ---- Following ------------------------------------------------------------------------------------------ */

void twin_copy_state(struct vcpu *to, const struct vcpu *from)
{
    memcpy(to, from, offsetof(struct vcpu, cpl));
    to->next_rip = from->next_rip;
    to->exception = from->exception;
    to->tsc_hz = from->tsc_hz;
    __atomic_and_fetch(&to->attention, ~(uint32_t)(ATTENTION_KICK | ATTENTION_CODE), __ATOMIC_RELAXED);
    vcpu_sync(to);
}

bool twin_follow(struct twin *twin)
{
    if (twin->map_stale) {
        TRY(copy_map(twin));
    }
    if (twin->memory_stale) {
        copy_memory(twin);
        twin->memory_stale = false;
    }
    for (size_t i = 0; i < twin->behind.count; i++) {
        twin_take(twin, twin->behind.frame[i]);
    }
    frame_set_clear(&twin->behind);
    twin_copy_state(twin->cpu, twin->original);
    return true;
}

/* ---- Life ----------------------------------------------------------------------------------------------- */

static int create_processor(struct twin *twin, struct error *error)
{
    struct vcpu_wiring wiring = {
        .mem = &twin->mem,
        .io = &twin->io,
        .clock = twin->original->wiring.clock ? &twin->clock : NULL,
        .board = twin,
        .interrupt_acknowledge = trap_acknowledge,
        .apic_base_changed = trap_apic_base,
        .ferr = trap_ferr,
    };

    twin->cpu = vcpu_create(twin->original->model, twin->original->features, &wiring, error);
    return twin->cpu ? 0 : -ENOMEM;
}

static int create_spaces(struct twin *twin, struct error *error)
{
    const struct addr_space *mem = twin->original->wiring.mem;

    if (addr_space_init(&twin->mem, "twin", mem->last, &twin->ram) < 0 ||
        addr_space_init(&twin->io, "twin ports", UINT16_MAX, NULL) < 0) {
        return error_set(error, -ENOMEM, "check: out of memory");
    }
    region_init_io(&twin->ports, "trap", 0, UINT16_MAX + 1, &trap_ops, twin);
    addr_space_add(&twin->io, &twin->ports);
    return twin->ports.space ? 0 : error_set(error, -ENOMEM, "check: out of memory");
}

int twin_init(struct twin *twin, struct vcpu *original, struct error *error)
{
    struct addr_space *mem = original->wiring.mem;
    uint64_t frames = mem->ram->size >> PAGE_SHIFT;
    int result;

    *twin = (struct twin){.original = original, .map_stale = true, .memory_stale = true, .ram = {.fd = -1}};
    if (!frame_set_init(&twin->behind, frames) || !frame_set_init(&twin->dirty, frames)) {
        return error_set(error, -ENOMEM, "check: out of memory");
    }
    result = ram_init(&twin->ram, mem->ram->size, error);
    if (result == 0) {
        result = create_spaces(twin, error);
    }
    if (result == 0) {
        result = create_processor(twin, error);
    }
    if (result < 0) {
        return result;
    }
    ram_set_watcher(&twin->ram, RAM_WATCH_DIRTY, twin_written, twin);
    for (uint64_t frame = 0; frame < frames; frame++) {
        ram_watch_set(&twin->ram, frame, RAM_WATCH_DIRTY);
    }
    mem->ram->observer = (struct ram_watcher){.written = machine_written, .opaque = twin};
    twin->listener = (struct addr_space_listener){.changed = map_changed, .opaque = twin};
    addr_space_add_listener(mem, &twin->listener);
    return 0;
}

static void stop_listening(struct twin *twin)
{
    struct addr_space *mem = twin->original->wiring.mem;

    if (mem->ram->observer.opaque == twin) {
        mem->ram->observer = (struct ram_watcher){0};
    }
    for (struct addr_space_listener **link = &mem->listeners; *link; link = &(*link)->next) {
        if (*link == &twin->listener) {
            *link = twin->listener.next;
            return;
        }
    }
}

void twin_fini(struct twin *twin)
{
    stop_listening(twin);
    vcpu_destroy(twin->cpu);
    addr_space_fini(&twin->io);
    addr_space_fini(&twin->mem);
    free(twin->regions);
    ram_fini(&twin->ram);
    free(twin->images);
    frame_set_fini(&twin->behind);
    frame_set_fini(&twin->dirty);
}
