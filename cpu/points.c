/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Points of a debugger outside the guest: what the engines ask, and what is kept between an ask and the next. See
 * cpu/points.h.
 *
 * A cached run or block is cut before every instruction whose offset in its page is that of some point, in whatever page it lies: pages
 * may be mapped, or mapped elsewhere, after they were decoded, but the offset stays. What begins at such an offset is
 * not cached, and looked at exactly each time.
 */
#include "cpu/points.h"

#include "cpu/icache.h"

static void demand_attention(struct vcpu *cpu)
{
    __atomic_or_fetch(&cpu->attention, ATTENTION_DEBUG, __ATOMIC_RELAXED);
}

static lin_t here(const struct vcpu *cpu)
{
    return (uint32_t)(cpu->seg[SEG_CS].base + cpu->rip);
}

static bool in_use(const struct points *points)
{
    return points && (points->code_count || points->data.count || points->ports || points->exceptions ||
                      points->interrupts || points->modes || points->magics || points->stepping);
}

static void find_physical_code(const struct vcpu *cpu, struct points *points)
{
    for (unsigned i = 0; i < points->code_count; i++) {
        struct code_point *point = &points->code[i];
        point->roff = point->physical ? addr_space_read_roff(cpu->wiring.mem, point->address) : UINT64_MAX;
    }
}

void points_apply(struct vcpu *cpu, struct points *points)
{
    const struct data_watch *old = cpu->data_watch;

    if (points) {
        find_physical_code(cpu, points);
        memset(points->offsets, 0, sizeof(points->offsets));
        for (unsigned i = 0; i < points->code_count; i++) {
            unsigned offset = (unsigned)(points->code[i].address & PAGE_OFFSET_MASK);
            points->offsets[offset / 64] |= BIT(offset % 64);
        }
    }
    points_use(cpu, points);
    cpu->data_watch = cpu->points && points->data.count ? &points->data : NULL;
    icache_flush(cpu->icache);
    if (old || cpu->data_watch) {
        vcpu_sync_paging(cpu);
        vcpu_flush_tlb(cpu, false);
    }
}

void points_use(struct vcpu *cpu, struct points *points)
{
    cpu->points = in_use(points) ? points : NULL;
    if (points && points->stepping) {
        demand_attention(cpu);
    } else {
        __atomic_and_fetch(&cpu->attention, ~(uint32_t)ATTENTION_DEBUG, __ATOMIC_RELAXED);
    }
}

void points_pass(struct vcpu *cpu)
{
    struct points *points = cpu->points;

    if (points) {
        points->passing = true;
        points->passing_first = !cpu->halted; /* HLT ends by an interrupt only */
        points->passed = here(cpu);
        points->passed_at = cpu->insn_count;
    }
}

static bool is_passed(const struct vcpu *cpu, lin_t linear)
{
    const struct points *points = cpu->points;

    return points->passing && points->passed == linear && points->passed_at == cpu->insn_count;
}

bool points_at(const struct vcpu *cpu, lin_t linear, gpa_t *gpa)
{
    const struct points *points = cpu->points;
    unsigned flags = PAGEWALK_FETCH | (cpu->user_view ? PAGEWALK_USER : 0);
    struct pagewalk walk;

    *gpa = UINT64_MAX;
    if (!points_at_offset(points, linear)) {
        return false;
    }
    if (pagewalk(&cpu->paging, linear, flags, &walk)) {
        *gpa = walk.gpa;
    }
    for (unsigned i = 0; i < points->code_count; i++) {
        if (points->code[i].address == (points->code[i].physical ? *gpa : linear)) {
            return true;
        }
    }
    return false;
}

bool points_reached(struct vcpu *cpu, lin_t linear)
{
    struct points *points = cpu->points;
    gpa_t gpa;

    if (!points_at(cpu, linear, &gpa) || is_passed(cpu, linear)) {
        return false;
    }
    points_resumed(cpu, linear);
    if (points->ops->reached(points->opaque, linear, gpa)) {
        points->passing_first = true;
        demand_attention(cpu);
        return true;
    }
    return false;
}

void points_resumed(struct vcpu *cpu, lin_t linear)
{
    struct points *points = cpu->points;

    if (!is_passed(cpu, linear)) {
        points->passing = true;
        points->passing_first = false;
        points->passed = linear;
        points->passed_at = cpu->insn_count;
    }
}

bool points_exception(struct vcpu *cpu, const struct exception *exception)
{
    struct points *points = cpu->points;

    if (!points->exceptions || exception->shown || !points->ops->exception(points->opaque, exception)) {
        return false;
    }
    demand_attention(cpu);
    return true;
}

bool points_software_exception(struct vcpu *cpu, uint8_t vector)
{
    const struct exception exception = {.vector = vector, .pending = true};
    struct points *points = cpu->points;
    lin_t linear = here(cpu);

    if (points->shows && points->shown == linear && points->shown_at == cpu->insn_count) {
        return false;
    }
    if (!points_exception(cpu, &exception)) {
        return false;
    }
    points->shows = true;
    points->shown = linear;
    points->shown_at = cpu->insn_count;
    return true;
}

void points_accessed(struct vcpu *cpu, const struct point_access *access)
{
    cpu->points->ops->accessed(cpu->points->opaque, access);
}

void points_port(struct vcpu *cpu, uint16_t port, unsigned size, uint32_t value, bool write)
{
    if (cpu->points->ports) {
        cpu->points->ops->port(cpu->points->opaque, port, size, value, write);
    }
}

void points_interrupted(struct vcpu *cpu, uint8_t vector)
{
    if (cpu->points->interrupts) {
        cpu->points->ops->interrupted(cpu->points->opaque, vector);
    }
}

void points_mode_changed(struct vcpu *cpu)
{
    if (cpu->points->modes) {
        demand_attention(cpu);
    }
}

void points_memory_changed(struct vcpu *cpu)
{
    if (cpu->points->code_count) {
        find_physical_code(cpu, cpu->points);
        cpu->points->moved = true;
        demand_attention(cpu);
    }
}

void points_magic(struct vcpu *cpu)
{
    if (cpu->points->magics) {
        cpu->points->ops->magic(cpu->points->opaque);
    }
}

bool points_leave(struct vcpu *cpu)
{
    struct points *points = cpu->points;

    if (points->ops->boundary(points->opaque)) {
        return true;
    }
    if (!points->stepping) {
        __atomic_and_fetch(&cpu->attention, ~(uint32_t)ATTENTION_DEBUG, __ATOMIC_RELAXED);
    }
    return false;
}

bool points_hold_interrupts(const struct vcpu *cpu, lin_t linear)
{
    const struct points *points = cpu->points;

    return points->hold_interrupts ||
           (points->passing_first && is_passed(cpu, linear) && points_at_offset(points, linear));
}
