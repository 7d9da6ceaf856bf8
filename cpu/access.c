/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Memory operands: segmentation, alignment, paging, memory or device.
 *
 *   seg:offset --segment_check--> linear --find_place (TLB, page walk)--> host pointer
 *                                                                    \--> guest-physical: device or watched memory
 *
 * Every access first proves that all of it may happen (both pages of a crossing one), then does it, so a fault leaves
 * nothing changed. Within its segment's limit of 4 GiB - 1 an access may wrap around; the manual leaves that to the
 * implementation and processors do wrap.
 *
 * SDM: Volume 3A, "Limit Checking", "Type Checking", "Alignment Check Exception (#AC)"; Volume 1, "Modes of
 * Operation". Not modelled: memory types (all accesses are in program order), split-lock detection.
 */
#include "cpu/access_inline.h"

#include "cpu/points.h"
#include "cpu/trace.h"

/* ---- Segmentation --------------------------------------------------------------------------------------- */

static bool segment_rights_allow(const struct vcpu *cpu, const struct segment *segment, bool write)
{
    if (!cpu->protected_mode) {
        return true;
    }
    if (segment->attr & SEG_UNUSABLE) {
        return false;
    }
    if (segment->attr & SEG_TYPE_CODE) {
        return !write && (segment->attr & SEG_TYPE_RW);
    }
    return !write || (segment->attr & SEG_TYPE_RW);
}

static bool segment_limit_allows(const struct segment *segment, uint32_t offset, unsigned size)
{
    uint64_t last = (uint64_t)offset + size - 1;

    if ((segment->attr & (SEG_TYPE_CODE | SEG_TYPE_ED)) == SEG_TYPE_ED) {
        return offset > segment->limit && last <= (segment->attr & SEG_DB ? UINT32_MAX : UINT16_MAX);
    }
    return last <= segment->limit || segment->limit == UINT32_MAX;
}

bool access_segment_allows(const struct vcpu *cpu, unsigned seg, uint32_t offset, unsigned size, bool write,
                           lin_t *linear)
{
    const struct segment *segment = &cpu->seg[seg];

    if (!segment_rights_allow(cpu, segment, write) || !segment_limit_allows(segment, offset, size)) {
        return false;
    }
    *linear = (uint32_t)(segment->base + offset);
    return true;
}

/* As above, with #GP(0) or #SS(0), and #AC. */
static bool segment_check(struct vcpu *cpu, unsigned seg, uint32_t offset, unsigned size, unsigned align,
                          bool write, lin_t *linear)
{
    if (UNLIKELY(!access_segment_allows(cpu, seg, offset, size, write, linear))) {
        return raise_error(cpu, seg == SEG_SS ? EXC_SS : EXC_GP, 0);
    }
    if (UNLIKELY(align > 1 && (*linear & (align - 1)) && alignment_checked(cpu))) {
        return raise_error(cpu, EXC_AC, 0);
    }
    return true;
}

/* ---- Places: up to one page of an access ---------------------------------------------------------------- */

struct place {
    uint8_t *host; /* direct, or NULL: */
    gpa_t gpa;     /* a device, or memory whose writes are watched */
};

enum access_flags { ACCESS_READ = PAGEWALK_READ, ACCESS_WRITE = PAGEWALK_WRITE, ACCESS_USER = PAGEWALK_USER };

/* A watch took the entry's write tag away and is gone: fill the entry again. */
static bool write_tag_is_due(const struct vcpu *cpu, const struct tlb_entry *entry, unsigned flags)
{
    return (flags & ACCESS_WRITE) && entry->write == TLB_NO_TAG && entry->roff != UINT64_MAX &&
           !ram_watched(cpu->wiring.mem->ram, entry->roff);
}

/* Where is the byte at `linear`? False: #PF is pending. */
static bool find_place(struct vcpu *cpu, lin_t linear, unsigned flags, struct place *place)
{
    const struct tlb_entry *entry = tlb_entry_at(cpu->tlb, flags & ACCESS_USER ? 1 : 0, linear);
    lin_t page = ALIGN_DOWN(linear, PAGE_SIZE);
    uint8_t rights = flags & ACCESS_WRITE ? TLB_WRITE | TLB_DIRTY : TLB_READ;
    uint32_t error_code;

    if (entry->page == page && (entry->rights & rights) == rights && !write_tag_is_due(cpu, entry, flags)) {
        place->gpa = entry->gpa | (linear & PAGE_OFFSET_MASK);
    } else if (!tlb_fill(cpu->tlb, &cpu->paging, linear, flags, &place->gpa, &error_code)) {
        return raise_page_fault(cpu, linear, error_code);
    }
    bool direct = (flags & ACCESS_WRITE ? entry->write : entry->read) == page;
    place->host = direct ? (uint8_t *)(entry->addend + linear) : NULL;
    return true;
}

/* The largest size a device can be asked for at once, of what is left. */
static unsigned chunk_size(unsigned left)
{
    return left >= 8 ? 8 : left >= 4 ? 4 : left >= 2 ? 2 : 1;
}

/* A device may have changed the memory map, the code that runs included. */
static void device_was_accessed(struct vcpu *cpu)
{
    __atomic_or_fetch(&cpu->attention, ATTENTION_CODE, __ATOMIC_RELAXED);
}

static void read_device(struct vcpu *cpu, gpa_t gpa, uint8_t *bytes, unsigned size)
{
    while (size) {
        unsigned chunk = chunk_size(size);
        uint64_t value = addr_space_read(cpu->wiring.mem, gpa, chunk);
        if (tracing(cpu, LOG_IO)) {
            trace_device(cpu, false, gpa, chunk, value);
        }
        memcpy(bytes, &value, chunk);
        gpa += chunk;
        bytes += chunk;
        size -= chunk;
    }
    device_was_accessed(cpu);
}

static void write_device(struct vcpu *cpu, gpa_t gpa, const uint8_t *bytes, unsigned size)
{
    while (size) {
        unsigned chunk = chunk_size(size);
        uint64_t value = 0;
        memcpy(&value, bytes, chunk);
        if (tracing(cpu, LOG_IO)) {
            trace_device(cpu, true, gpa, chunk, value);
        }
        addr_space_write(cpu->wiring.mem, gpa, value, chunk);
        gpa += chunk;
        bytes += chunk;
        size -= chunk;
    }
    device_was_accessed(cpu);
}

static void read_place(struct vcpu *cpu, const struct place *place, uint8_t *bytes, unsigned size)
{
    if (LIKELY(place->host != NULL)) {
        memcpy(bytes, place->host, size);
    } else {
        read_device(cpu, place->gpa, bytes, size);
    }
}

static void write_place(struct vcpu *cpu, const struct place *place, const uint8_t *bytes, unsigned size)
{
    if (LIKELY(place->host != NULL)) {
        memcpy(place->host, bytes, size);
        return;
    }
    roff_t roff = addr_space_write_roff(cpu->wiring.mem, place->gpa);
    if (roff == UINT64_MAX) {
        write_device(cpu, place->gpa, bytes, size);
        return;
    }
    ram_watch_notify(cpu->wiring.mem->ram, roff, size);
    memcpy(ram_ptr(cpu->wiring.mem->ram, roff), bytes, size);
}

/* ---- Linear accesses of up to two pages ----------------------------------------------------------------- */

struct span {
    struct place place[2];
    unsigned size[2]; /* bytes in each */
};

/* Linear addresses are 32 bits wide and wrap. */
static bool find_span(struct vcpu *cpu, lin_t linear, unsigned size, unsigned flags, struct span *span)
{
    unsigned in_page = PAGE_SIZE - (unsigned)(linear & PAGE_OFFSET_MASK);

    span->size[0] = MIN(size, in_page);
    span->size[1] = size - span->size[0];
    TRY(find_place(cpu, linear, flags, &span->place[0]));
    return span->size[1] == 0 || find_place(cpu, (uint32_t)(linear + span->size[0]), flags, &span->place[1]);
}

static void read_span(struct vcpu *cpu, const struct span *span, uint8_t *bytes)
{
    read_place(cpu, &span->place[0], bytes, span->size[0]);
    if (span->size[1]) {
        read_place(cpu, &span->place[1], bytes + span->size[0], span->size[1]);
    }
}

static void write_span(struct vcpu *cpu, const struct span *span, const uint8_t *bytes)
{
    write_place(cpu, &span->place[0], bytes, span->size[0]);
    if (span->size[1]) {
        write_place(cpu, &span->place[1], bytes + span->size[0], span->size[1]);
    }
}

/* The access is about to be made: a debugger may watch it. */
static void announce(struct vcpu *cpu, lin_t linear, const struct span *span, bool write)
{
    if (UNLIKELY(cpu->data_watch != NULL)) {
        const struct point_access access = {
            .linear = linear,
            .size = {span->size[0], span->size[1]},
            .gpa = {span->place[0].gpa, span->size[1] ? span->place[1].gpa : UINT64_MAX},
            .write = write,
        };
        points_accessed(cpu, &access);
    }
}

static unsigned view_flag(const struct vcpu *cpu)
{
    return cpu->user_view ? ACCESS_USER : 0;
}

static void check_breakpoints(struct vcpu *cpu, lin_t linear, unsigned size, bool write)
{
    if (UNLIKELY(cpu->data_breakpoints)) {
        debug_check_data(cpu, linear, size, write);
    }
}

/* ---- Segmented accesses --------------------------------------------------------------------------------- */

bool access_read(struct vcpu *cpu, unsigned seg, uint32_t offset, void *bytes, unsigned size, unsigned align)
{
    struct span span;
    lin_t linear = 0;

    TRY(segment_check(cpu, seg, offset, size, align, false, &linear));
    TRY(find_span(cpu, linear, size, ACCESS_READ | view_flag(cpu), &span));
    announce(cpu, linear, &span, false);
    read_span(cpu, &span, bytes);
    check_breakpoints(cpu, linear, size, false);
    return true;
}

bool access_write(struct vcpu *cpu, unsigned seg, uint32_t offset, const void *bytes, unsigned size,
                  unsigned align)
{
    struct span span;
    lin_t linear = 0;

    TRY(segment_check(cpu, seg, offset, size, align, true, &linear));
    TRY(find_span(cpu, linear, size, ACCESS_WRITE | view_flag(cpu), &span));
    announce(cpu, linear, &span, true);
    write_span(cpu, &span, bytes);
    check_breakpoints(cpu, linear, size, true);
    return true;
}

bool access_rmw_begin(struct vcpu *cpu, unsigned seg, uint32_t offset, struct rmw *rmw, void *bytes,
                      unsigned size)
{
    struct span span;
    lin_t linear = 0;

    TRY(segment_check(cpu, seg, offset, size, size, true, &linear));
    TRY(find_span(cpu, linear, size, ACCESS_WRITE | view_flag(cpu), &span));
    for (unsigned i = 0; i < 2 && span.size[i]; i++) {
        /* Watched memory has no write pointer, but reading it must not look like a device access. */
        struct place *place = &span.place[i];
        TRY(place->host || find_place(cpu, (uint32_t)(linear + (i ? span.size[0] : 0)),
                                      ACCESS_READ | view_flag(cpu), place));
    }
    announce(cpu, linear, &span, false);
    announce(cpu, linear, &span, true);
    read_span(cpu, &span, bytes);
    rmw->host = NULL;
    rmw->linear = linear;
    check_breakpoints(cpu, linear, size, true);
    return true;
}

void access_rmw_end(struct vcpu *cpu, const struct rmw *rmw, const void *bytes, unsigned size)
{
    struct span span;

    /* Found with these rights by access_rmw_begin(); nothing that could take them away has happened since. */
    if (find_span(cpu, rmw->linear, size, ACCESS_WRITE | view_flag(cpu), &span)) {
        write_span(cpu, &span, bytes);
    }
}

bool mem_read(struct vcpu *cpu, enum sreg seg, uint32_t offset, void *bytes, unsigned size, unsigned align)
{
    return access_read(cpu, seg, offset, bytes, size, align);
}

bool mem_write(struct vcpu *cpu, enum sreg seg, uint32_t offset, const void *bytes, unsigned size,
               unsigned align)
{
    return access_write(cpu, seg, offset, bytes, size, align);
}

/* What #AC demands of an integer of this size; larger operands have rules of their own. */
static unsigned natural_alignment(unsigned size)
{
    return size == 2 || size == 4 || size == 8 ? size : 0;
}

bool mem_probe_write(struct vcpu *cpu, enum sreg seg, uint32_t offset, unsigned size)
{
    struct span span;
    lin_t linear = 0;

    TRY(segment_check(cpu, seg, offset, size, natural_alignment(size), true, &linear));
    return find_span(cpu, linear, size, ACCESS_WRITE | view_flag(cpu), &span);
}

bool access_probe_read(struct vcpu *cpu, unsigned seg, uint32_t offset, unsigned size)
{
    struct span span;
    lin_t linear = 0;

    TRY(segment_check(cpu, seg, offset, size, 0, false, &linear));
    return find_span(cpu, linear, size, ACCESS_READ | view_flag(cpu), &span);
}

#define DEFINE_ACCESS(bits)                                                                                  \
    bool mem_read##bits(struct vcpu *cpu, enum sreg seg, uint32_t offset, uint##bits##_t *value)             \
    {                                                                                                        \
        return fast_read##bits(cpu, seg, offset, value);                                                     \
    }                                                                                                        \
                                                                                                             \
    bool mem_write##bits(struct vcpu *cpu, enum sreg seg, uint32_t offset, uint##bits##_t value)             \
    {                                                                                                        \
        return fast_write##bits(cpu, seg, offset, value);                                                    \
    }                                                                                                        \
                                                                                                             \
    bool rmw_begin##bits(struct vcpu *cpu, enum sreg seg, uint32_t offset, struct rmw *rmw,                  \
                         uint##bits##_t *value)                                                              \
    {                                                                                                        \
        return fast_rmw_begin##bits(cpu, seg, offset, rmw, value);                                           \
    }                                                                                                        \
                                                                                                             \
    void rmw_end##bits(struct vcpu *cpu, const struct rmw *rmw, uint##bits##_t value)                        \
    {                                                                                                        \
        fast_rmw_end##bits(cpu, rmw, value);                                                                 \
    }

DEFINE_ACCESS(8)
DEFINE_ACCESS(16)
DEFINE_ACCESS(32)
DEFINE_ACCESS(64)

/* ---- The processor's own accesses ----------------------------------------------------------------------- */

bool sys_read(struct vcpu *cpu, lin_t linear, void *bytes, unsigned size)
{
    struct span span;

    TRY(find_span(cpu, (uint32_t)linear, size, ACCESS_READ, &span));
    announce(cpu, (uint32_t)linear, &span, false);
    read_span(cpu, &span, bytes);
    return true;
}

bool sys_write(struct vcpu *cpu, lin_t linear, const void *bytes, unsigned size)
{
    struct span span;

    TRY(find_span(cpu, (uint32_t)linear, size, ACCESS_WRITE, &span));
    announce(cpu, (uint32_t)linear, &span, true);
    write_span(cpu, &span, bytes);
    return true;
}

bool sys_probe_write(struct vcpu *cpu, lin_t linear, unsigned size)
{
    struct span span;

    return find_span(cpu, (uint32_t)linear, size, ACCESS_WRITE, &span);
}

/* ---- Stack ---------------------------------------------------------------------------------------------- */

bool stack_push(struct vcpu *cpu, unsigned size, uint32_t value)
{
    return size == 2 ? fast_push16(cpu, (uint16_t)value) : fast_push32(cpu, value);
}

bool stack_pop(struct vcpu *cpu, unsigned size, uint32_t *value)
{
    uint16_t word;

    if (size == 4) {
        return fast_pop32(cpu, value);
    }
    TRY(fast_pop16(cpu, &word));
    *value = word;
    return true;
}

void stack_adjust(struct vcpu *cpu, int32_t n)
{
    stack_set_pointer(cpu, reg32(cpu, RSP) + (uint32_t)n);
}
