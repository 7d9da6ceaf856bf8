/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A processor's life: creation, reset, pins, and the derived part of its state.
 *
 * SDM: Volume 3A, "Processor Management and Initialization" (state after reset); Volume 3A, "Protected-Mode
 * Exceptions and Interrupts" (what each pin may interrupt).
 *
 * DEVIATION: CS after reset has the code type (attributes 9B), as processors and their virtualization
 * interfaces report it; the manual's table says read/write data (93).
 *
 * NOT modelled: INIT#, SMI#, built-in self-test, the 486's and Pentium's lack of some reset values.
 */
#include "cpu/vcpu.h"

#include <errno.h>
#include <stdlib.h>

#include "base/error.h"
#include "cpu/cpuid.h"
#include "cpu/debug.h"
#include "cpu/fpu.h"
#include "cpu/hostfpu.h"
#include "cpu/icache.h"
#include "cpu/points.h"
#include "cpu/system.h"
#include "cpu/trace.h"
#include "mmu/shadow.h"

/* ---- Attention ------------------------------------------------------------------------------------------ */

/* Make the bits of `mask` equal to `bits`. Other threads may set ATTENTION_KICK meanwhile. */
static void attention_assign(struct vcpu *cpu, uint32_t mask, uint32_t bits)
{
    uint32_t current = __atomic_load_n(&cpu->attention, __ATOMIC_RELAXED);

    if (current & mask & ~bits) {
        __atomic_and_fetch(&cpu->attention, ~(mask & ~bits), __ATOMIC_RELAXED);
    }
    if (bits & ~current) {
        __atomic_or_fetch(&cpu->attention, bits, __ATOMIC_RELAXED);
    }
}

void vcpu_sync_attention(struct vcpu *cpu)
{
    uint32_t bits = 0;

    if (cpu->intr && (cpu->rflags & RFLAGS_IF)) {
        bits |= ATTENTION_INTR;
    }
    if (cpu->nmi_pending && !cpu->nmi_blocked) {
        bits |= ATTENTION_NMI;
    }
    if (cpu->shadow != SHADOW_NONE) {
        bits |= ATTENTION_SHADOW;
    }
    if ((cpu->rflags & (RFLAGS_TF | RFLAGS_RF)) || cpu->pending_dr6) {
        bits |= ATTENTION_TRAP;
    }
    attention_assign(cpu, ATTENTION_INTR | ATTENTION_NMI | ATTENTION_SHADOW | ATTENTION_TRAP, bits);
}

void vcpu_set_shadow(struct vcpu *cpu, enum interrupt_shadow shadow)
{
    cpu->shadow = (uint8_t)shadow;
    attention_assign(cpu, ATTENTION_SHADOW, shadow != SHADOW_NONE ? ATTENTION_SHADOW : 0);
}

void vcpu_shorten(struct vcpu *cpu, uint64_t insns)
{
    uint64_t end = cpu->insn_count + insns;

    cpu->budget_end = MIN(cpu->budget_end, end);
    cpu->slice_end = MIN(cpu->slice_end, end);
}

void vcpu_flush_tlb(struct vcpu *cpu, bool keep_global)
{
    if (tracing(cpu, LOG_MMU)) {
        trace_flush(cpu, keep_global ? "flush but global, CR3" : "flush all, CR3", cpu->cr3);
    }
    tlb_flush(cpu->tlb, keep_global);
    if (cpu->shadow_tables) {
        shadow_flush(cpu->shadow_tables, keep_global);
    }
}

void vcpu_switch_space(struct vcpu *cpu)
{
    if (tracing(cpu, LOG_MMU)) {
        trace_flush(cpu, "CR3", cpu->cr3);
    }
    tlb_flush(cpu->tlb, cpu->cr4 & CR4_PGE);
    if (cpu->shadow_tables) {
        shadow_switch(cpu->shadow_tables, &cpu->paging);
    }
}

void vcpu_flush_page(struct vcpu *cpu, lin_t linear)
{
    if (tracing(cpu, LOG_MMU)) {
        trace_flush(cpu, "INVLPG", linear);
    }
    tlb_flush_page(cpu->tlb, linear);
    if (cpu->shadow_tables) {
        shadow_flush_page(cpu->shadow_tables, linear);
    }
}

/* ---- Pins ----------------------------------------------------------------------------------------------- */

void vcpu_set_intr(struct vcpu *cpu, bool level)
{
    cpu->intr = level;
    vcpu_sync_attention(cpu);
}

void vcpu_set_nmi(struct vcpu *cpu)
{
    cpu->nmi_pending = true;
    vcpu_sync_attention(cpu);
}

void vcpu_set_a20(struct vcpu *cpu, bool enabled)
{
    if (cpu->a20 == enabled) {
        return;
    }
    cpu->a20 = enabled;
    vcpu_sync_paging(cpu);
    vcpu_flush_tlb(cpu, false);
}

void vcpu_clear_ferr(struct vcpu *cpu)
{
    if (!cpu->ferr) {
        return;
    }
    cpu->ferr = false;
    if (cpu->wiring.ferr) {
        cpu->wiring.ferr(cpu->wiring.board, false);
    }
}

void vcpu_kick(struct vcpu *cpu)
{
    __atomic_or_fetch(&cpu->attention, ATTENTION_KICK, __ATOMIC_RELEASE);
}

bool vcpu_has_work(const struct vcpu *cpu)
{
    return (cpu->intr && (cpu->rflags & RFLAGS_IF)) || (cpu->nmi_pending && !cpu->nmi_blocked);
}

uint64_t vcpu_tsc(const struct vcpu *cpu)
{
    const struct clock *clock = cpu->wiring.clock;
    uint64_t ticks = clock ? muldiv64(clock_now(clock), cpu->tsc_hz, NS_PER_SEC) : cpu->insn_count;

    return ticks + cpu->msr.tsc_offset;
}

/* ---- Exceptions on their way ---------------------------------------------------------------------------- */

static bool raise_any(struct vcpu *cpu, enum vector vector, bool has_error, uint32_t error_code)
{
    cpu->exception = (struct exception){
        .vector = (uint8_t)vector,
        .pending = true,
        .has_error = has_error,
        .error_code = error_code,
    };
    return false;
}

bool raise_exception(struct vcpu *cpu, enum vector vector)
{
    return raise_any(cpu, vector, false, 0);
}

bool raise_error(struct vcpu *cpu, enum vector vector, uint32_t error_code)
{
    return raise_any(cpu, vector, true, error_code);
}

bool raise_page_fault(struct vcpu *cpu, lin_t linear, uint32_t error_code)
{
    if (tracing(cpu, LOG_MMU)) {
        trace_page_fault(cpu, linear, error_code);
    }
    cpu->cr2 = linear;
    return raise_any(cpu, EXC_PF, true, error_code);
}

/* ---- Derived state -------------------------------------------------------------------------------------- */

/* Base 0, limit 4 GiB - 1, and no access that the type forbids (CS: no read). */
static bool segment_is_flat(const struct segment *segment, enum sreg which)
{
    uint32_t attr = segment->attr;

    if (segment->base != 0 || segment->limit != UINT32_MAX || !(attr & SEG_P) || (attr & SEG_UNUSABLE)) {
        return false;
    }
    if (which == SEG_CS) {
        return !(attr & SEG_TYPE_CODE) || (attr & SEG_TYPE_RW);
    }
    return !(attr & SEG_TYPE_CODE) && (attr & SEG_TYPE_RW) && !(attr & SEG_TYPE_ED);
}

void vcpu_sync_segment(struct vcpu *cpu, enum sreg which)
{
    const struct segment *segment = &cpu->seg[which];
    uint8_t bit = (uint8_t)(1u << which);

    cpu->flat = segment_is_flat(segment, which) ? cpu->flat | bit : cpu->flat & (uint8_t)~bit;
    if (which == SEG_CS) {
        cpu->code32 = segment->attr & SEG_DB;
        if (UNLIKELY(cpu->points != NULL)) {
            points_mode_changed(cpu);
        }
    } else if (which == SEG_SS) {
        cpu->stack32 = segment->attr & SEG_DB;
    }
}

void vcpu_sync_mode(struct vcpu *cpu)
{
    bool pe = cpu->cr0 & CR0_PE;

    cpu->v86 = pe && (cpu->rflags & RFLAGS_VM);
    cpu->protected_mode = pe && !cpu->v86;
    /* SS.DPL is where the processor keeps the CPL: every change of one is a change of the other. */
    cpu->cpl = (uint8_t)(cpu->v86 ? 3 : pe ? segment_dpl(&cpu->seg[SEG_SS]) : 0);
    cpu->user_view = cpu->cpl == 3;
    vcpu_sync_segment(cpu, SEG_CS);
    vcpu_sync_segment(cpu, SEG_SS);
}

void vcpu_sync_paging(struct vcpu *cpu)
{
    struct paging_ctx *paging = &cpu->paging;

    paging->mode = !(cpu->cr0 & CR0_PG) ? PAGING_OFF : (cpu->cr4 & CR4_PAE) ? PAGING_PAE : PAGING_32BIT;
    paging->wp = cpu->cr0 & CR0_WP;
    paging->pse = cpu->cr4 & CR4_PSE;
    paging->pge = cpu->cr4 & CR4_PGE;
    paging->nx = cpu->msr.efer & EFER_NXE;
    paging->cr3 = cpu->cr3;
    memcpy(paging->pdpte, cpu->pdpte, sizeof(paging->pdpte));
    paging->phys_bits = cpu->model->phys_bits;
    paging->a20_mask = cpu->a20 ? UINT64_MAX : ~BIT(20);
    paging->mem = cpu->wiring.mem;
    paging->watch = cpu->data_watch;
    if (UNLIKELY(cpu->points != NULL)) {
        points_mode_changed(cpu);
    }
}

void vcpu_sync_debug(struct vcpu *cpu)
{
    uint32_t fetch = 0;

    cpu->data_breakpoints = false;
    for (unsigned n = 0; n < 4; n++) {
        if (!debug_enabled(cpu, n)) {
            continue;
        }
        if (debug_rw(cpu, n) == DEBUG_RW_FETCH) {
            fetch = ATTENTION_DR;
        } else {
            cpu->data_breakpoints = true;
        }
    }
    attention_assign(cpu, ATTENTION_DR, fetch);
    vcpu_sync_attention(cpu);
}

void vcpu_sync(struct vcpu *cpu)
{
    for (unsigned i = 0; i < SEG_COUNT; i++) {
        vcpu_sync_segment(cpu, (enum sreg)i);
    }
    vcpu_sync_mode(cpu);
    vcpu_sync_paging(cpu);
    vcpu_sync_debug(cpu);
    vcpu_flush_tlb(cpu, false);
}

/* ---- Reset ---------------------------------------------------------------------------------------------- */

static void reset_segments(struct vcpu *cpu)
{
    for (unsigned i = 0; i < SEG_COUNT; i++) {
        cpu->seg[i] =
            (struct segment){.attr = SEG_P | SEG_S | SEG_TYPE_RW | SEG_TYPE_ACCESSED, .limit = 0xffff};
    }
    cpu->seg[SEG_CS].selector = 0xf000;
    cpu->seg[SEG_CS].base = 0xffff0000;
    cpu->seg[SEG_CS].attr |= SEG_TYPE_CODE;
    cpu->ldtr = (struct segment){.attr = SEG_P | 0x2, .limit = 0xffff};
    cpu->tr = (struct segment){.attr = SEG_P | 0xb, .limit = 0xffff};
    cpu->gdtr = (struct table_register){.limit = 0xffff};
    cpu->idtr = (struct table_register){.limit = 0xffff};
}

/* The machine-check banks keep what they hold through a warm reset; every other MSR starts afresh. */
static void reset_msrs(struct vcpu *cpu)
{
    struct msrs *msr = &cpu->msr;

    msr->apic_base = 0xfee00000 | BIT(11) | BIT(8); /* enabled, bootstrap processor */
    msr->efer = 0;
    msr->sysenter_cs = msr->sysenter_esp = msr->sysenter_eip = 0;
    msr->tsc_offset = 0;
    msr->tsc_offset = 0 - vcpu_tsc(cpu);
    msr->pat = 0x0007040600070406;
    msr->mtrr_def_type = 0;
    memset(msr->mtrr_fixed, 0, sizeof(msr->mtrr_fixed));
    memset(msr->mtrr_base, 0, sizeof(msr->mtrr_base));
    memset(msr->mtrr_mask, 0, sizeof(msr->mtrr_mask));
    msr->misc_enable = BIT(12) | BIT(11) | BIT(0); /* no PEBS, no BTS, fast strings */
    msr->microcode = BIT(32);                      /* revision 1 */
    msr->mcg_status = 0;
    msr->mcg_ctl = 0;
}

static void reset_fpu(struct vcpu *cpu)
{
    cpu->fpu = (struct fxsave){
        .fcw = 0x0040,
        .ftw = 0xff, /* tag word 5555: every register holds +0.0 */
        .mxcsr = 0x1f80,
        .mxcsr_mask = (cpu->features & CPU_FEATURE_SSE2) ? 0xffff : 0xffbf, /* DAZ came with SSE2 */
    };
    cpu->ferr = false;
}

void vcpu_reset(struct vcpu *cpu)
{
    memset(cpu->gpr, 0, sizeof(cpu->gpr));
    cpu->gpr[RDX] = cpu_signature(cpu->model);
    cpu->rip = cpu->next_rip = 0xfff0;
    cpu->rflags = RFLAGS_FIXED1;
    reset_segments(cpu);
    cpu->cr0 = CR0_CD | CR0_NW | CR0_ET;
    cpu->cr2 = cpu->cr3 = cpu->cr4 = 0;
    memset(cpu->pdpte, 0, sizeof(cpu->pdpte));
    memset(cpu->dr, 0, sizeof(cpu->dr));
    cpu->dr[6] = DR6_FIXED1;
    cpu->dr[7] = DR7_FIXED1;
    reset_msrs(cpu);
    reset_fpu(cpu);
    cpu->shadow = SHADOW_NONE;
    cpu->halted = cpu->nmi_pending = cpu->nmi_blocked = cpu->intr = false;
    cpu->a20 = true;
    cpu->pending_dr6 = 0;
    cpu->exception = (struct exception){0};
    cpu->shutdown = (struct shutdown_report){0};
    vcpu_sync(cpu);
    log_printf(cpu->wiring.log, LOG_CPU_RESET, "CPU Reset (CPU 0)\n");
}

/* ---- Creation ------------------------------------------------------------------------------------------- */

static void protect_frame(void *opaque, uint64_t frame)
{
    struct vcpu *cpu = opaque;
    tlb_protect_frame(cpu->tlb, frame);
    if (cpu->shadow_tables) {
        shadow_protect_frame(cpu->shadow_tables, cpu->wiring.mem->ram, frame);
    }
}

static void frame_moved(void *opaque, uint64_t frame, const uint8_t *old)
{
    struct vcpu *cpu = opaque;
    tlb_forget_frame(cpu->tlb, frame);
    if (cpu->shadow_tables) {
        shadow_forget_frame(cpu->shadow_tables, cpu->wiring.mem->ram, frame, old);
    }
}

static void memory_changed(void *opaque)
{
    struct vcpu *cpu = opaque;
    vcpu_flush_tlb(cpu, false);
    if (UNLIKELY(cpu->points != NULL)) {
        points_memory_changed(cpu);
    }
}

static void listen(struct vcpu *cpu)
{
    struct addr_space *mem = cpu->wiring.mem;

    cpu->protect_listener =
        (struct ram_protect_listener){.protect = protect_frame, .moved = frame_moved, .opaque = cpu};
    cpu->mem_listener = (struct addr_space_listener){.changed = memory_changed, .opaque = cpu};
    if (!mem) {
        return;
    }
    addr_space_add_listener(mem, &cpu->mem_listener);
    if (mem->ram) {
        ram_add_listener(mem->ram, &cpu->protect_listener);
    }
}

/* Leave the lists of a memory that lives on. */
static void stop_listening(struct vcpu *cpu)
{
    struct addr_space *mem = cpu->wiring.mem;

    if (!mem) {
        return;
    }
    for (struct addr_space_listener **link = &mem->listeners; *link; link = &(*link)->next) {
        if (*link == &cpu->mem_listener) {
            *link = cpu->mem_listener.next;
            break;
        }
    }
    for (struct ram_protect_listener **link = mem->ram ? &mem->ram->listeners : NULL; link && *link;
         link = &(*link)->next) {
        if (*link == &cpu->protect_listener) {
            *link = cpu->protect_listener.next;
            break;
        }
    }
}

struct vcpu *vcpu_create(const struct cpu_model *model, uint64_t features, const struct vcpu_wiring *wiring,
                         struct error *error)
{
    /* Cleared whole, so that two processors in the same state are equal byte by byte. */
    size_t size = ALIGN_UP(sizeof(struct vcpu), _Alignof(struct vcpu));
    struct vcpu *cpu = aligned_alloc(_Alignof(struct vcpu), size);

    if (!cpu) {
        error_set(error, -ENOMEM, "processor: out of memory");
        return NULL;
    }
    memset(cpu, 0, size);
    cpu->model = model;
    cpu->features = features;
    cpu->tsc_hz = NS_PER_SEC;
    if (wiring) {
        cpu->wiring = *wiring;
    }
    cpu->tlb = calloc(1, sizeof(*cpu->tlb));
    cpu->icache = icache_create(cpu);
    if (!cpu->tlb || !cpu->icache) {
        error_set(error, -ENOMEM, "processor: out of memory for its caches");
        goto fail;
    }
    cpu->hostfpu = hostfpu_create(error);
    if (!cpu->hostfpu) {
        goto fail;
    }
    listen(cpu);
    vcpu_reset(cpu);
    return cpu;

fail:
    icache_destroy(cpu->icache);
    free(cpu->tlb);
    free(cpu);
    return NULL;
}

void vcpu_destroy(struct vcpu *cpu)
{
    if (!cpu) {
        return;
    }
    stop_listening(cpu);
    hostfpu_destroy(cpu->hostfpu);
    icache_destroy(cpu->icache);
    free(cpu->tlb);
    free(cpu);
}

/* ---- Snapshot ------------------------------------------------------------------------------------------- */

static const struct snap_field segment_fields[] = {
    SNAP_UINT(struct segment, selector),
    SNAP_RANGE(struct segment, attr, 0, SEG_UNUSABLE | BITS(15, 0)),
    SNAP_UINT(struct segment, limit),
    SNAP_RANGE(struct segment, base, 0, UINT32_MAX),
};

static const struct snap_field table_fields[] = {
    SNAP_RANGE(struct table_register, base, 0, UINT32_MAX),
    SNAP_UINT(struct table_register, limit),
};

static const struct snap_field msr_fields[] = {
    SNAP_UINT(struct msrs, apic_base),
    SNAP_UINT(struct msrs, efer),
    SNAP_RANGE(struct msrs, sysenter_cs, 0, UINT32_MAX),
    SNAP_RANGE(struct msrs, sysenter_esp, 0, UINT32_MAX),
    SNAP_RANGE(struct msrs, sysenter_eip, 0, UINT32_MAX),
    SNAP_UINT(struct msrs, tsc_offset),
    SNAP_UINT(struct msrs, pat),
    SNAP_UINT(struct msrs, mtrr_def_type),
    SNAP_UINTS(struct msrs, mtrr_fixed, MTRR_FIXED_COUNT),
    SNAP_UINTS(struct msrs, mtrr_base, MTRR_VARIABLE_COUNT),
    SNAP_UINTS(struct msrs, mtrr_mask, MTRR_VARIABLE_COUNT),
    SNAP_UINT(struct msrs, misc_enable),
    SNAP_UINT(struct msrs, microcode),
    SNAP_UINT(struct msrs, mcg_status),
    SNAP_UINT(struct msrs, mcg_ctl),
    SNAP_UINTS(struct msrs, mc_ctl, VCPU_MCG_BANKS),
    SNAP_UINTS(struct msrs, mc_status, VCPU_MCG_BANKS),
    SNAP_UINTS(struct msrs, mc_addr, VCPU_MCG_BANKS),
    SNAP_UINTS(struct msrs, mc_misc, VCPU_MCG_BANKS),
};

static const struct snap_field fpu_fields[] = {
    SNAP_UINT(struct fxsave, fcw), SNAP_UINT(struct fxsave, fsw),  SNAP_UINT(struct fxsave, ftw),
    SNAP_UINT(struct fxsave, fop), SNAP_UINT(struct fxsave, fip),  SNAP_UINT(struct fxsave, fcs),
    SNAP_UINT(struct fxsave, fdp), SNAP_UINT(struct fxsave, fds),  SNAP_UINT(struct fxsave, mxcsr),
    SNAP_BYTES(struct fxsave, st), SNAP_BYTES(struct fxsave, xmm),
};

static const struct snap_field vcpu_fields[] = {
    SNAP_RANGES(struct vcpu, gpr, 16, 0, UINT32_MAX),
    SNAP_RANGE(struct vcpu, rip, 0, UINT32_MAX),
    SNAP_RANGE(struct vcpu, rflags, 0, BITS(21, 0)),
    SNAP_STRUCTS(struct vcpu, seg, SEG_COUNT, segment_fields),
    SNAP_STRUCTS(struct vcpu, ldtr, 1, segment_fields),
    SNAP_STRUCTS(struct vcpu, tr, 1, segment_fields),
    SNAP_STRUCTS(struct vcpu, gdtr, 1, table_fields),
    SNAP_STRUCTS(struct vcpu, idtr, 1, table_fields),
    SNAP_RANGE(struct vcpu, cr0, 0, UINT32_MAX),
    SNAP_RANGE(struct vcpu, cr2, 0, UINT32_MAX),
    SNAP_RANGE(struct vcpu, cr3, 0, UINT32_MAX),
    SNAP_RANGE(struct vcpu, cr4, 0, UINT32_MAX),
    SNAP_UINTS(struct vcpu, pdpte, 4),
    SNAP_RANGES(struct vcpu, dr, 8, 0, UINT32_MAX),
    SNAP_STRUCTS(struct vcpu, msr, 1, msr_fields),
    SNAP_STRUCTS(struct vcpu, fpu, 1, fpu_fields),
    SNAP_RANGE(struct vcpu, shadow, SHADOW_NONE, SHADOW_MOV_SS),
    SNAP_BOOL(struct vcpu, halted),
    SNAP_BOOL(struct vcpu, nmi_pending),
    SNAP_BOOL(struct vcpu, nmi_blocked),
    SNAP_BOOL(struct vcpu, intr),
    SNAP_BOOL(struct vcpu, a20),
    SNAP_BOOL(struct vcpu, ferr),
    SNAP_RANGE(struct vcpu, pending_dr6, 0, DR6_BT | DR6_BS | DR6_BD | DR6_B),
    SNAP_UINT(struct vcpu, insn_count),
};

/* FCW has bits that cannot be written, and FSW two that follow from the others; see fpu_set_words(). */
static const char *find_impossible_fpu(const struct fxsave *fpu)
{
    uint16_t es_b = fpu->fsw & (FSW_ES | FSW_B);
    bool pending = (fpu->fsw & ~fpu->fcw & FSW_EXCEPTIONS) != 0;

    if ((fpu->fcw & ~FCW_WRITABLE) != FCW_FIXED1) {
        return "FCW: reserved bits";
    }
    if (es_b != (pending ? (FSW_ES | FSW_B) : 0)) {
        return "FSW: ES and B do not follow from the flags";
    }
    return (fpu->mxcsr & ~fpu->mxcsr_mask) ? "MXCSR: reserved bits" : NULL;
}

/* What no processor of this model could hold: a stream that claims it was not written by one. */
static const char *find_impossible(const struct vcpu *cpu)
{
    if ((cpu->cr0 & CR0_PG) && !(cpu->cr0 & CR0_PE)) {
        return "CR0: PG without PE";
    }
    if (cpu->cr0 & ~CR0_WRITABLE & ~CR0_ET) {
        return "CR0: reserved bits";
    }
    if (cpu->cr4 & ~cr4_supported(cpu->features)) {
        return "CR4: bits the model lacks";
    }
    if (cpu->msr.efer & ~((cpu->features & CPU_FEATURE_NX) ? EFER_NXE : 0)) {
        return "EFER: bits the model lacks";
    }
    if (!(cpu->rflags & RFLAGS_FIXED1) || (cpu->rflags & (BIT(3) | BIT(5) | BIT(15)))) {
        return "RFLAGS: reserved bits";
    }
    if ((cpu->rflags & RFLAGS_VM) && !(cpu->cr0 & CR0_PE)) {
        return "RFLAGS: VM in real mode";
    }
    return find_impossible_fpu(&cpu->fpu);
}

static int vcpu_post_load(void *object, struct error *error)
{
    struct vcpu *cpu = object;
    const char *impossible = find_impossible(cpu);

    if (impossible) {
        return error_set(error, -EINVAL, "cpu: %s", impossible);
    }
    cpu->next_rip = cpu->rip;
    cpu->exception = (struct exception){0};
    vcpu_sync(cpu);
    return 0;
}

const struct snap_desc vcpu_snap = {
    .name = "cpu",
    .version = 1,
    SNAP_FIELDS(vcpu_fields),
    .post_load = vcpu_post_load,
};
