/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The local APIC of one processor, in xAPIC mode: version 14h, six LVT entries.
 *
 * SDM: Volume 3A, chapter "Advanced Programmable Interrupt Controller (APIC)". Registers lie in the 4 KiB at
 * IA32_APIC_BASE, one every 16 bytes, 32 bits wide:
 *
 *   020 ID        030 version   080 TPR      090 APR      0A0 PPR      0B0 EOI
 *   0D0 LDR       0E0 DFR       0F0 SVR      100 ISR x 8  180 TMR x 8  200 IRR x 8
 *   280 ESR       300 ICR low   310 ICR high 320 timer    330 thermal  340 performance
 *   350 LINT0     360 LINT1     370 error    380 initial  390 current  3E0 divide
 *
 * How the board wires it: LINT0 takes the i8259's INTR, LINT1 takes NMI; the outputs are INTR and NMI of the
 * processor. To take an interrupt the processor calls lapic_acknowledge(); LAPIC_EXTINT means "ask the i8259".
 * While the APIC is disabled through IA32_APIC_BASE the two pins pass straight through.
 *
 * The timer counts an input clock of 1 GHz on the VM's virtual clock, divided as the divide register says.
 *
 * Not modelled: x2APIC mode, TSC-deadline mode, SMI and the other processors of an SMP machine.
 */
#ifndef DEVICES_LAPIC_H
#define DEVICES_LAPIC_H

#include "devices/device.h"

#define LAPIC_SIZE        0x1000u
#define LAPIC_TIMER_HZ    1000000000u
#define LAPIC_EXTINT      (-1) /* lapic_acknowledge(): the vector comes from the i8259 */
#define LAPIC_BASE_RESET  0xfee00900ull
#define LAPIC_BASE_BSP    (1ull << 8)
#define LAPIC_BASE_ENABLE (1ull << 11)

/* Delivery modes, as ICR, LVT and I/O APIC encode them. */
enum lapic_delivery {
    LAPIC_FIXED = 0,
    LAPIC_LOWEST_PRIORITY = 1,
    LAPIC_SMI = 2,
    LAPIC_NMI = 4,
    LAPIC_INIT = 5,
    LAPIC_STARTUP = 6,
    LAPIC_EXTINT_MODE = 7
};

enum lapic_lvt {
    LAPIC_LVT_TIMER,
    LAPIC_LVT_THERMAL,
    LAPIC_LVT_PERFORMANCE,
    LAPIC_LVT_LINT0,
    LAPIC_LVT_LINT1,
    LAPIC_LVT_ERROR,
    LAPIC_LVT_COUNT
};

struct lapic_wiring {
    struct line intr; /* level: an interrupt waits to be acknowledged */
    struct line nmi;  /* pulsed */
    struct line init; /* pulsed: INIT from a LINT pin or the I/O APIC */
    /* A level-triggered interrupt was ended: tell the I/O APIC. NULL if there is none. */
    void (*eoi)(void *opaque, uint8_t vector);
    void *eoi_opaque;
};

struct lapic {
    struct device device;
    struct lapic_wiring wiring;
    struct region region;
    uint64_t base; /* IA32_APIC_BASE */
    uint8_t id;    /* bits 31:24 of the ID register */
    uint8_t tpr;
    uint8_t ldr; /* logical APIC ID: bits 31:24 of LDR */
    uint8_t dfr; /* model: bits 31:28 of DFR; 15 flat, 0 cluster */
    uint32_t svr;
    uint32_t isr[8], tmr[8], irr[8]; /* 256 bits each, vector n in bit n % 32 of word n / 32 */
    uint32_t esr, esr_pending;       /* shown; collected since the last write of ESR */
    uint32_t icr[2];
    uint32_t lvt[LAPIC_LVT_COUNT];
    bool lint[2]; /* levels at the pins */
    bool extint;  /* an ExtINT message from the I/O APIC waits */
    uint32_t initial_count;
    uint8_t divide;      /* divide configuration register */
    uint64_t timer_zero; /* when the count next reaches zero; CLOCK_NEVER: stopped */
    struct timer timer;  /* armed while that would interrupt */
};

/* NULL: out of memory. */
struct lapic *lapic_create(struct board *board, const struct lapic_wiring *wiring);

/* IA32_APIC_BASE. Bits that xAPIC mode does not have are dropped; refusing them (#GP) is the processor's part. */
uint64_t lapic_get_base(const struct lapic *lapic);
void lapic_set_base(struct lapic *lapic, uint64_t value);

/* INIT of the processor: as reset, but the ID, IA32_APIC_BASE stay. */
void lapic_init_reset(struct lapic *lapic);

/* The processor accepts INTR: the vector, now in service, or LAPIC_EXTINT. When the request has gone away since, the
 * spurious vector. */
int lapic_acknowledge(struct lapic *lapic);
/* Is something to be acknowledged? (The level of the INTR line.) */
bool lapic_has_interrupt(const struct lapic *lapic);

/* TPR bits 7:4, as CR8 shows them in long mode. */
uint8_t lapic_get_cr8(const struct lapic *lapic);
void lapic_set_cr8(struct lapic *lapic, uint8_t value);

/* An interrupt message for this processor. False when it is not accepted (APIC disabled, vector below 16). */
bool lapic_deliver(struct lapic *lapic, uint8_t vector, enum lapic_delivery mode, bool level_triggered);
/* The same for a message on the bus: only if the destination names this APIC. */
bool lapic_message(struct lapic *lapic, uint8_t destination, bool logical, uint8_t vector,
                   enum lapic_delivery mode, bool level_triggered);

/* Input pins: LINT0 (the i8259's INTR) and LINT1 (NMI). */
struct line lapic_lint0(struct lapic *lapic);
struct line lapic_lint1(struct lapic *lapic);

#endif
