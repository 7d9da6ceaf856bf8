/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Local APIC, xAPIC mode.
 *
 * SDM: Volume 3A, chapter "Advanced Programmable Interrupt Controller (APIC)", sections "Local vector table", "Error
 * handling", "APIC timer", "Issuing interprocessor interrupts", "Interrupt acceptance for fixed interrupts" and
 * "Spurious interrupt".
 *
 *   accepted fixed interrupt --> IRR --acknowledge--> ISR --EOI--> done (level: message to the I/O APIC)
 *
 * INTR is asserted while the highest IRR vector's class (bits 7:4) exceeds that of PPR, or an ExtINT waits.
 *
 * DEVIATION: LINT0 is in ExtINT mode and open after reset ("virtual wire mode", which the MultiProcessor
 * Specification has the firmware set up), so that code that never heard of the APIC gets its i8259 interrupts.
 * DEVIATION: a periodic timer interrupts at most once in TIMER_MIN_PERIOD_NS; shorter periods are counted right.
 *
 * Not modelled: see lapic.h.
 */
#include "devices/lapic.h"

#include <errno.h>
#include <stdlib.h>

enum {
    REG_ID = 0x02,
    REG_VERSION = 0x03,
    REG_TPR = 0x08,
    REG_APR = 0x09,
    REG_PPR = 0x0a,
    REG_EOI = 0x0b,
    REG_RRD = 0x0c,
    REG_LDR = 0x0d,
    REG_DFR = 0x0e,
    REG_SVR = 0x0f,
    REG_ISR = 0x10,
    REG_TMR = 0x18,
    REG_IRR = 0x20,
    REG_ESR = 0x28,
    REG_ICR_LOW = 0x30,
    REG_ICR_HIGH = 0x31,
    REG_LVT_TIMER = 0x32,
    REG_LVT_ERROR = 0x37,
    REG_INITIAL_COUNT = 0x38,
    REG_CURRENT_COUNT = 0x39,
    REG_DIVIDE = 0x3e
};

#define VERSION            (0x14u | (LAPIC_LVT_COUNT - 1) << 16)
#define SVR_ENABLE         0x100u
#define SVR_WRITABLE       0x3ffu
#define LVT_MODE_SHIFT     8
#define LVT_ACTIVE_LOW     0x2000u
#define LVT_REMOTE_IRR     0x4000u
#define LVT_LEVEL          0x8000u
#define LVT_MASKED         0x10000u
#define LVT_PERIODIC       0x20000u
#define ESR_SEND_VECTOR    0x20u
#define ESR_RECEIVE_VECTOR 0x40u
#define ESR_REGISTER       0x80u
#define ICR_LOGICAL        0x800u
#define ICR_ASSERT         0x4000u
#define ICR_LEVEL          0x8000u
#define ICR_WRITABLE       0xccfffu
#define BASE_ADDRESS_MASK  BITS(35, 12)
#define PRIORITY_APIC      100 /* in front of everything on the bus: the processor itself answers */

#define TIMER_MIN_PERIOD_NS 10000u

/* Writable bits of each LVT entry. */
static const uint32_t lvt_writable[LAPIC_LVT_COUNT] = {
    [LAPIC_LVT_TIMER] = 0x300ff, [LAPIC_LVT_THERMAL] = 0x107ff, [LAPIC_LVT_PERFORMANCE] = 0x107ff,
    [LAPIC_LVT_LINT0] = 0x1a7ff, [LAPIC_LVT_LINT1] = 0x1a7ff,   [LAPIC_LVT_ERROR] = 0x100ff,
};

static int lapic_post_load(void *object, struct error *error);

static const struct snap_field lapic_fields[] = {
    SNAP_UINT(struct lapic, base),
    SNAP_UINT(struct lapic, id),
    SNAP_UINT(struct lapic, tpr),
    SNAP_UINT(struct lapic, ldr),
    SNAP_RANGE(struct lapic, dfr, 0, 15),
    SNAP_RANGE(struct lapic, svr, 0, SVR_WRITABLE),
    SNAP_UINTS(struct lapic, isr, 8),
    SNAP_UINTS(struct lapic, tmr, 8),
    SNAP_UINTS(struct lapic, irr, 8),
    SNAP_RANGE(struct lapic, esr, 0, 0xff),
    SNAP_RANGE(struct lapic, esr_pending, 0, 0xff),
    SNAP_UINTS(struct lapic, icr, 2),
    SNAP_RANGES(struct lapic, lvt, LAPIC_LVT_COUNT, 0, 0x3ffff),
    SNAP_BOOLS(struct lapic, lint, 2),
    SNAP_BOOL(struct lapic, extint),
    SNAP_UINT(struct lapic, initial_count),
    SNAP_RANGE(struct lapic, divide, 0, 15),
    SNAP_UINT(struct lapic, timer_zero),
    SNAP_TIMER(struct lapic, timer),
};

static const struct snap_desc lapic_snap = {
    .name = "lapic", .version = 1, SNAP_FIELDS(lapic_fields), .post_load = lapic_post_load};

/* --- Bit sets of 256 vectors ------------------------------------------------------------------------- */

static void vector_set(uint32_t *set, uint8_t vector)
{
    set[vector / 32] |= 1u << vector % 32;
}

static void vector_clear(uint32_t *set, uint8_t vector)
{
    set[vector / 32] &= ~(1u << vector % 32);
}

static bool vector_test(const uint32_t *set, uint8_t vector)
{
    return (set[vector / 32] & 1u << vector % 32) != 0;
}

/* The highest vector in the set, -1 when it is empty. */
static int vector_highest(const uint32_t *set)
{
    for (int word = 7; word >= 0; word--) {
        if (set[word]) {
            return word * 32 + 31 - __builtin_clz(set[word]);
        }
    }
    return -1;
}

/* --- Priority ---------------------------------------------------------------------------------------- */

static bool hardware_enabled(const struct lapic *lapic)
{
    return (lapic->base & LAPIC_BASE_ENABLE) != 0;
}

static bool software_enabled(const struct lapic *lapic)
{
    return (lapic->svr & SVR_ENABLE) != 0;
}

/* SDM: "Task and processor priorities": the higher class of TPR and the highest vector in service. */
static uint8_t processor_priority(const struct lapic *lapic)
{
    int isrv = vector_highest(lapic->isr);
    uint8_t in_service = isrv < 0 ? 0 : (uint8_t)isrv & 0xf0;
    return (lapic->tpr & 0xf0) >= in_service ? lapic->tpr : in_service;
}

/* The fixed interrupt that can be dispensed now, or -1. */
static int dispensable_vector(const struct lapic *lapic)
{
    int vector = vector_highest(lapic->irr);
    return vector >= 0 && (vector & 0xf0) > (processor_priority(lapic) & 0xf0) ? vector : -1;
}

static unsigned lvt_mode(uint32_t entry)
{
    return (entry >> LVT_MODE_SHIFT) & 7;
}

/* Does a LINT pin ask for the i8259's vector? */
static bool extint_waits(const struct lapic *lapic)
{
    if (!hardware_enabled(lapic)) {
        return lapic->lint[0];
    }
    for (unsigned pin = 0; pin < 2; pin++) {
        uint32_t entry = lapic->lvt[LAPIC_LVT_LINT0 + pin];
        if (lapic->lint[pin] && !(entry & LVT_MASKED) && lvt_mode(entry) == LAPIC_EXTINT_MODE) {
            return true;
        }
    }
    return lapic->extint;
}

bool lapic_has_interrupt(const struct lapic *lapic)
{
    return extint_waits(lapic) || (hardware_enabled(lapic) && dispensable_vector(lapic) >= 0);
}

static void update_intr(struct lapic *lapic)
{
    line_set(&lapic->wiring.intr, lapic_has_interrupt(lapic));
}

int lapic_acknowledge(struct lapic *lapic)
{
    int vector = hardware_enabled(lapic) ? dispensable_vector(lapic) : -1;
    if (vector >= 0) {
        vector_clear(lapic->irr, (uint8_t)vector);
        vector_set(lapic->isr, (uint8_t)vector);
    } else if (extint_waits(lapic) || !hardware_enabled(lapic)) {
        lapic->extint = false;
        vector = LAPIC_EXTINT;
    } else {
        vector = lapic->svr & 0xff;
    }
    update_intr(lapic);
    return vector;
}

/* --- Accepting interrupts ---------------------------------------------------------------------------- */

static void raise_error(struct lapic *lapic, uint32_t error)
{
    uint32_t entry = lapic->lvt[LAPIC_LVT_ERROR];
    uint8_t vector = (uint8_t)entry;

    lapic->esr_pending |= error;
    /* An illegal vector in the error entry itself must not raise the next error. */
    if (!(entry & LVT_MASKED) && vector >= 16) {
        vector_set(lapic->irr, vector);
        vector_clear(lapic->tmr, vector);
        update_intr(lapic);
    }
}

static bool accept_fixed(struct lapic *lapic, uint8_t vector, bool level_triggered)
{
    if (!software_enabled(lapic)) {
        return false;
    }
    if (vector < 16) {
        raise_error(lapic, ESR_RECEIVE_VECTOR);
        return false;
    }
    vector_set(lapic->irr, vector);
    if (level_triggered) {
        vector_set(lapic->tmr, vector);
    } else {
        vector_clear(lapic->tmr, vector);
    }
    update_intr(lapic);
    return true;
}

bool lapic_deliver(struct lapic *lapic, uint8_t vector, enum lapic_delivery mode, bool level_triggered)
{
    if (!hardware_enabled(lapic)) {
        return false;
    }
    switch (mode) {
    case LAPIC_FIXED:
    case LAPIC_LOWEST_PRIORITY:
        return accept_fixed(lapic, vector, level_triggered);
    case LAPIC_NMI:
        line_pulse(&lapic->wiring.nmi);
        return true;
    case LAPIC_INIT:
        line_pulse(&lapic->wiring.init);
        return true;
    case LAPIC_EXTINT_MODE:
        lapic->extint = true;
        update_intr(lapic);
        return true;
    case LAPIC_SMI:
    case LAPIC_STARTUP:
    default:
        log_printf(lapic->device.board->log, LOG_UNIMP, "lapic: delivery mode %d ignored\n", (int)mode);
        return false;
    }
}

/* SDM: "Determining IPI destination". */
static bool is_destination(const struct lapic *lapic, uint8_t destination, bool logical)
{
    if (destination == 0xff) {
        return true;
    }
    if (!logical) {
        return destination == lapic->id;
    }
    if (lapic->dfr == 0xf) {
        return (destination & lapic->ldr) != 0;
    }
    return (destination & 0xf0) == (lapic->ldr & 0xf0) && (destination & lapic->ldr & 0x0f);
}

bool lapic_message(struct lapic *lapic, uint8_t destination, bool logical, uint8_t vector,
                   enum lapic_delivery mode, bool level_triggered)
{
    return is_destination(lapic, destination, logical) && lapic_deliver(lapic, vector, mode, level_triggered);
}

/* --- LINT pins --------------------------------------------------------------------------------------- */

/* A level-triggered fixed interrupt on a pin: once until its EOI. */
static void serve_level_pin(struct lapic *lapic, unsigned pin)
{
    uint32_t *entry = &lapic->lvt[LAPIC_LVT_LINT0 + pin];
    if (lapic->lint[pin] && (*entry & LVT_LEVEL) && !(*entry & (LVT_MASKED | LVT_REMOTE_IRR)) &&
        lvt_mode(*entry) == LAPIC_FIXED && lapic_deliver(lapic, (uint8_t)*entry, LAPIC_FIXED, true)) {
        *entry |= LVT_REMOTE_IRR;
    }
}

static void serve_rising_pin(struct lapic *lapic, unsigned pin)
{
    uint32_t entry = lapic->lvt[LAPIC_LVT_LINT0 + pin];
    unsigned mode = lvt_mode(entry);

    if (!hardware_enabled(lapic)) {
        if (pin == 1) {
            line_pulse(&lapic->wiring.nmi);
        }
    } else if (!(entry & LVT_MASKED) && mode != LAPIC_EXTINT_MODE &&
               !(mode == LAPIC_FIXED && (entry & LVT_LEVEL))) {
        lapic_deliver(lapic, (uint8_t)entry, (enum lapic_delivery)mode, false);
    }
}

static void set_lint(void *opaque, unsigned pin, bool level)
{
    struct lapic *lapic = opaque;
    bool rises = level && !lapic->lint[pin];

    lapic->lint[pin] = level;
    if (rises) {
        serve_rising_pin(lapic, pin);
    }
    serve_level_pin(lapic, pin);
    update_intr(lapic);
}

struct line lapic_lint0(struct lapic *lapic)
{
    return (struct line){.set = set_lint, .opaque = lapic, .number = 0};
}

struct line lapic_lint1(struct lapic *lapic)
{
    return (struct line){.set = set_lint, .opaque = lapic, .number = 1};
}

static void end_of_interrupt(struct lapic *lapic)
{
    int vector = vector_highest(lapic->isr);
    if (vector < 0) {
        return;
    }
    vector_clear(lapic->isr, (uint8_t)vector);
    if (vector_test(lapic->tmr, (uint8_t)vector)) {
        for (unsigned pin = 0; pin < 2; pin++) {
            uint32_t *entry = &lapic->lvt[LAPIC_LVT_LINT0 + pin];
            if ((*entry & LVT_REMOTE_IRR) && (uint8_t)*entry == vector) {
                *entry &= ~LVT_REMOTE_IRR;
                serve_level_pin(lapic, pin);
            }
        }
        if (lapic->wiring.eoi) {
            lapic->wiring.eoi(lapic->wiring.eoi_opaque, (uint8_t)vector);
        }
    }
    update_intr(lapic);
}

/* --- The timer --------------------------------------------------------------------------------------- */

/* SDM: "Divide configuration register": bits 3, 1, 0; 111b divides by 1, the others by 2 << n. */
static uint64_t timer_divisor(const struct lapic *lapic)
{
    unsigned code = (lapic->divide & 3) | (lapic->divide & 8) >> 1;
    return code == 7 ? 1 : 2ull << code;
}

static uint64_t timer_period(const struct lapic *lapic)
{
    return (uint64_t)lapic->initial_count * timer_divisor(lapic);
}

static bool timer_periodic(const struct lapic *lapic)
{
    return (lapic->lvt[LAPIC_LVT_TIMER] & LVT_PERIODIC) != 0;
}

/* A count that reached zero starts again when periodic (timer_zero is the next zero after now), else stops. */
static void timer_catch_up(struct lapic *lapic, uint64_t now)
{
    if (lapic->timer_zero > now) {
        return;
    }
    if (timer_periodic(lapic)) {
        uint64_t period = timer_period(lapic);
        lapic->timer_zero += ((now - lapic->timer_zero) / period + 1) * period;
    } else {
        lapic->timer_zero = CLOCK_NEVER;
    }
}

/* Arm for the next zero if it would interrupt. `floor` bounds how often that happens. */
static void timer_arm_next(struct lapic *lapic, uint64_t floor)
{
    if (lapic->timer_zero == CLOCK_NEVER || (lapic->lvt[LAPIC_LVT_TIMER] & LVT_MASKED)) {
        timer_disarm(&lapic->timer);
    } else {
        timer_arm(&lapic->timer, MAX(lapic->timer_zero, floor));
    }
}

static void timer_fire(void *opaque)
{
    struct lapic *lapic = opaque;
    uint64_t now = clock_now(lapic->device.board->clock);

    if (!(lapic->lvt[LAPIC_LVT_TIMER] & LVT_MASKED)) {
        lapic_deliver(lapic, (uint8_t)lapic->lvt[LAPIC_LVT_TIMER], LAPIC_FIXED, false);
    }
    timer_catch_up(lapic, now);
    timer_arm_next(lapic, now + TIMER_MIN_PERIOD_NS);
}

/* Before a register of the timer changes: deliver what is due already, bring timer_zero up to date. */
static void timer_settle(struct lapic *lapic)
{
    uint64_t now = clock_now(lapic->device.board->clock);
    if (timer_armed(&lapic->timer) && lapic->timer.deadline <= now) {
        timer_disarm(&lapic->timer);
        timer_fire(lapic);
    }
    timer_catch_up(lapic, now);
}

static uint32_t timer_current(struct lapic *lapic)
{
    uint64_t now = clock_now(lapic->device.board->clock);
    timer_catch_up(lapic, now);
    if (lapic->timer_zero == CLOCK_NEVER) {
        return 0;
    }
    uint64_t divisor = timer_divisor(lapic);
    return (uint32_t)((lapic->timer_zero - now + divisor - 1) / divisor);
}

static void timer_start(struct lapic *lapic, uint32_t initial_count)
{
    timer_settle(lapic);
    lapic->initial_count = initial_count;
    lapic->timer_zero =
        initial_count ? clock_now(lapic->device.board->clock) + timer_period(lapic) : CLOCK_NEVER;
    timer_arm_next(lapic, 0);
}

/* The count goes on from where it is, at the new rate. */
static void timer_set_divide(struct lapic *lapic, uint32_t value)
{
    timer_settle(lapic);
    uint32_t current = timer_current(lapic);
    lapic->divide = value & 0x0b;
    if (current) {
        lapic->timer_zero = clock_now(lapic->device.board->clock) + current * timer_divisor(lapic);
    }
    timer_arm_next(lapic, 0);
}

/* --- Registers --------------------------------------------------------------------------------------- */

static void write_lvt(struct lapic *lapic, unsigned index, uint32_t value)
{
    uint32_t *entry = &lapic->lvt[index];

    if (index == LAPIC_LVT_TIMER) {
        timer_settle(lapic);
    }
    *entry = (value & lvt_writable[index]) | (*entry & LVT_REMOTE_IRR);
    if (!software_enabled(lapic)) {
        *entry |= LVT_MASKED;
    }
    if (!(*entry & LVT_LEVEL)) {
        *entry &= ~LVT_REMOTE_IRR;
    }
    if (index == LAPIC_LVT_TIMER) {
        timer_arm_next(lapic, 0);
    } else if (index == LAPIC_LVT_LINT0 || index == LAPIC_LVT_LINT1) {
        serve_level_pin(lapic, index - LAPIC_LVT_LINT0);
    }
    update_intr(lapic);
}

/* SDM: "Local APIC state after it has been software disabled": every LVT entry is masked. */
static void write_svr(struct lapic *lapic, uint32_t value)
{
    bool disables = software_enabled(lapic) && !(value & SVR_ENABLE);

    lapic->svr = value & SVR_WRITABLE;
    for (unsigned i = 0; disables && i < LAPIC_LVT_COUNT; i++) {
        write_lvt(lapic, i, lapic->lvt[i] | LVT_MASKED);
    }
    update_intr(lapic);
}

/*
 * SDM: "Interrupt command register". With one processor an IPI reaches this one or nobody. INIT and STARTUP to
 * oneself have no defined effect and get none; the level de-assert form of INIT only synchronises arbitration IDs.
 */
static void send_ipi(struct lapic *lapic)
{
    uint32_t low = lapic->icr[0];
    uint8_t vector = (uint8_t)low;
    enum lapic_delivery mode = (enum lapic_delivery)lvt_mode(low);
    unsigned shorthand = (low >> 18) & 3;
    bool reaches =
        shorthand == 1 || shorthand == 2 ||
        (shorthand == 0 && is_destination(lapic, (uint8_t)(lapic->icr[1] >> 24), low & ICR_LOGICAL));

    if ((mode == LAPIC_FIXED || mode == LAPIC_LOWEST_PRIORITY) && vector < 16) {
        raise_error(lapic, ESR_SEND_VECTOR);
    } else if (mode == LAPIC_INIT || mode == LAPIC_STARTUP || mode == LAPIC_EXTINT_MODE) {
        log_printf(lapic->device.board->log, LOG_GUEST_ERRORS, "lapic: IPI %08x has no effect\n", low);
    } else if (reaches) {
        lapic_deliver(lapic, vector, mode, (low & ICR_LEVEL) && (low & ICR_ASSERT));
    }
}

/* The registers that come in rows; anything else is an illegal register address. */
static uint32_t read_row(struct lapic *lapic, unsigned reg)
{
    if (reg >= REG_ISR && reg < REG_ISR + 8) {
        return lapic->isr[reg - REG_ISR];
    }
    if (reg >= REG_TMR && reg < REG_TMR + 8) {
        return lapic->tmr[reg - REG_TMR];
    }
    if (reg >= REG_IRR && reg < REG_IRR + 8) {
        return lapic->irr[reg - REG_IRR];
    }
    if (reg >= REG_LVT_TIMER && reg <= REG_LVT_ERROR) {
        return lapic->lvt[reg - REG_LVT_TIMER];
    }
    raise_error(lapic, ESR_REGISTER);
    return 0;
}

static uint32_t read_register(struct lapic *lapic, unsigned reg)
{
    switch (reg) {
    case REG_ID:
        return (uint32_t)lapic->id << 24;
    case REG_VERSION:
        return VERSION;
    case REG_TPR:
        return lapic->tpr;
    case REG_APR:
    case REG_RRD:
    case REG_EOI:
        return 0;
    case REG_PPR:
        return processor_priority(lapic);
    case REG_LDR:
        return (uint32_t)lapic->ldr << 24;
    case REG_DFR:
        return (uint32_t)lapic->dfr << 28 | 0x0fffffff;
    case REG_SVR:
        return lapic->svr;
    case REG_ESR:
        return lapic->esr;
    case REG_ICR_LOW:
    case REG_ICR_HIGH:
        return lapic->icr[reg - REG_ICR_LOW];
    case REG_INITIAL_COUNT:
        return lapic->initial_count;
    case REG_CURRENT_COUNT:
        return timer_current(lapic);
    case REG_DIVIDE:
        return lapic->divide;
    default:
        return read_row(lapic, reg);
    }
}

/* Registers with consequences beyond their own bits; the LVT among them. */
static void write_active_register(struct lapic *lapic, unsigned reg, uint32_t value)
{
    switch (reg) {
    case REG_EOI:
        end_of_interrupt(lapic);
        break;
    case REG_SVR:
        write_svr(lapic, value);
        break;
    case REG_ESR:
        lapic->esr = lapic->esr_pending;
        lapic->esr_pending = 0;
        break;
    case REG_INITIAL_COUNT:
        timer_start(lapic, value);
        break;
    case REG_DIVIDE:
        timer_set_divide(lapic, value);
        break;
    default:
        if (reg >= REG_LVT_TIMER && reg <= REG_LVT_ERROR) {
            write_lvt(lapic, reg - REG_LVT_TIMER, value);
        } else {
            raise_error(lapic, ESR_REGISTER);
        }
        break;
    }
}

static void write_register(struct lapic *lapic, unsigned reg, uint32_t value)
{
    switch (reg) {
    case REG_ID:
        lapic->id = (uint8_t)(value >> 24);
        break;
    case REG_TPR:
        lapic->tpr = (uint8_t)value;
        update_intr(lapic);
        break;
    case REG_LDR:
        lapic->ldr = (uint8_t)(value >> 24);
        break;
    case REG_DFR:
        lapic->dfr = (uint8_t)(value >> 28);
        break;
    case REG_ICR_LOW:
        lapic->icr[0] = value & ICR_WRITABLE;
        send_ipi(lapic);
        break;
    case REG_ICR_HIGH:
        lapic->icr[1] = value & 0xff000000;
        break;
    default:
        write_active_register(lapic, reg, value);
        break;
    }
}

/* Registers are dwords at multiples of 16; what lies between them reads zero and takes nothing. */
static uint64_t lapic_read(void *opaque, uint64_t offset, unsigned size)
{
    (void)size;
    return offset % 16 == 0 ? read_register(opaque, (unsigned)(offset / 16)) : 0;
}

static void lapic_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    (void)size;
    if (offset % 16 == 0) {
        write_register(opaque, (unsigned)(offset / 16), (uint32_t)value);
    }
}

static const struct region_ops lapic_region_ops = {
    .read = lapic_read, .write = lapic_write, .min_size = 4, .max_size = 4};

/* --- The processor's side ---------------------------------------------------------------------------- */

uint8_t lapic_get_cr8(const struct lapic *lapic)
{
    return lapic->tpr >> 4;
}

void lapic_set_cr8(struct lapic *lapic, uint8_t value)
{
    lapic->tpr = (uint8_t)(value << 4);
    update_intr(lapic);
}

uint64_t lapic_get_base(const struct lapic *lapic)
{
    return lapic->base;
}

static void place_region(struct lapic *lapic)
{
    struct addr_space *mem = lapic->device.board->mem;
    addr_space_begin(mem);
    region_move(&lapic->region, lapic->base & BASE_ADDRESS_MASK);
    region_set_enabled(&lapic->region, hardware_enabled(lapic));
    addr_space_end(mem);
}

/* An APIC that is disabled and enabled again is in its power-up state. */
void lapic_set_base(struct lapic *lapic, uint64_t value)
{
    bool was_enabled = hardware_enabled(lapic);

    lapic->base = (value & (BASE_ADDRESS_MASK | LAPIC_BASE_ENABLE)) | LAPIC_BASE_BSP;
    if (was_enabled && !hardware_enabled(lapic)) {
        lapic_init_reset(lapic);
    }
    place_region(lapic);
    update_intr(lapic);
}

void lapic_init_reset(struct lapic *lapic)
{
    lapic->tpr = 0;
    lapic->ldr = 0;
    lapic->dfr = 0xf;
    lapic->svr = 0xff;
    memset(lapic->isr, 0, sizeof(lapic->isr));
    memset(lapic->tmr, 0, sizeof(lapic->tmr));
    memset(lapic->irr, 0, sizeof(lapic->irr));
    lapic->esr = lapic->esr_pending = 0;
    lapic->icr[0] = lapic->icr[1] = 0;
    for (unsigned i = 0; i < LAPIC_LVT_COUNT; i++) {
        lapic->lvt[i] = LVT_MASKED;
    }
    lapic->lvt[LAPIC_LVT_LINT0] = LAPIC_EXTINT_MODE << LVT_MODE_SHIFT;
    lapic->extint = false;
    lapic->initial_count = 0;
    lapic->divide = 0;
    lapic->timer_zero = CLOCK_NEVER;
    timer_disarm(&lapic->timer);
    update_intr(lapic);
}

/* --- Life -------------------------------------------------------------------------------------------- */

/* The count's end can lie at most one full count ahead; LVT bits are those a guest can set. */
static int lapic_post_load(void *object, struct error *error)
{
    struct lapic *lapic = object;
    uint64_t now = clock_now(lapic->device.board->clock);

    if (lapic->timer_zero != CLOCK_NEVER &&
        (lapic->initial_count == 0 ||
         (lapic->timer_zero > now && lapic->timer_zero - now > timer_period(lapic)))) {
        return error_set(error, -EINVAL, "lapic: timer_zero does not fit initial_count");
    }
    for (unsigned i = 0; i < LAPIC_LVT_COUNT; i++) {
        if (lapic->lvt[i] & ~(lvt_writable[i] | LVT_REMOTE_IRR | LVT_MASKED)) {
            return error_set(error, -EINVAL, "lapic: lvt[%u] cannot be 0x%x", i, lapic->lvt[i]);
        }
    }
    if (lapic->base & ~(BASE_ADDRESS_MASK | LAPIC_BASE_ENABLE | LAPIC_BASE_BSP)) {
        return error_set(error, -EINVAL, "lapic: base has reserved bits");
    }
    place_region(lapic);
    return 0;
}

static void lapic_reset(struct device *device)
{
    struct lapic *lapic = CONTAINER_OF(device, struct lapic, device);
    lapic->id = 0;
    lapic->base = LAPIC_BASE_RESET;
    lapic_init_reset(lapic);
    place_region(lapic);
}

static void lapic_fini(struct device *device)
{
    struct lapic *lapic = CONTAINER_OF(device, struct lapic, device);
    timer_disarm(&lapic->timer);
    addr_space_remove(device->board->mem, &lapic->region);
    free(lapic);
}

static const struct device_ops lapic_ops = {
    .name = "lapic",
    .reset = lapic_reset,
    .fini = lapic_fini,
    .snap = &lapic_snap,
};

struct lapic *lapic_create(struct board *board, const struct lapic_wiring *wiring)
{
    struct lapic *lapic = calloc(1, sizeof(*lapic));
    if (!lapic) {
        return NULL;
    }
    lapic->wiring = *wiring;
    device_init(&lapic->device, &lapic_ops, board, NULL);
    timer_init(&lapic->timer, board->clock, "lapic", timer_fire, lapic);
    region_init_io(&lapic->region, "lapic", LAPIC_BASE_RESET & BASE_ADDRESS_MASK, LAPIC_SIZE,
                   &lapic_region_ops, lapic);
    lapic->region.priority = PRIORITY_APIC;
    addr_space_add(board->mem, &lapic->region);
    lapic_reset(&lapic->device);
    return lapic;
}
