/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * mc146818 real-time clock and CMOS RAM.
 *
 *   IRQ  --> IRQ8
 *   port 70h: index (bit 7: NMI masked), 71h: data       RAM 00h..7fh, clock in 00h..0dh
 *   port 72h: index, 73h: data                           RAM 80h..ffh
 */
#ifndef DEVICES_MC146818_H
#define DEVICES_MC146818_H

#include "devices/device.h"

#define MC146818_CENTURY 0x32 /* the PC's place for it */

struct mc146818 {
    struct device device;
    struct line irq;
    struct region ports;

    uint8_t index;          /* of port 71h, 0..7fh */
    uint8_t extended_index; /* of port 73h, 0..7fh */
    bool nmi_masked;        /* port 70h bit 7 */
    uint8_t flags;          /* register C: PF, AF, UF up to synced_ns */
    uint8_t cmos[256]; /* registers A and B; alarm; clock registers, which stand still while the clock runs */
    uint64_t divider_ns;   /* when the divider chain was last released */
    uint64_t base_seconds; /* time of day and date before the first update since then, seconds since year 0 */
    uint8_t weekday_offset; /* day of the week less what the date gives, 0..6 */
    uint64_t synced_ns;     /* `flags` holds what happened up to this moment */
    struct timer event;     /* when the next enabled flag will rise; disarmed while IRQF is set */
};

/* At 70h..73h. The clock shows `start` (seconds since 1970, in whatever zone it is to show) when the virtual
 * clock is created. NULL when the host is out of memory. */
struct mc146818 *mc146818_create(struct board *board, struct line irq, int64_t start);

/* CMOS RAM as the board's firmware expects it; index 0eh..ffh, others are ignored. It survives reset. */
void mc146818_set_cmos(struct mc146818 *rtc, uint8_t index, uint8_t value);
uint8_t mc146818_get_cmos(const struct mc146818 *rtc, uint8_t index);

/* Port 70h bit 7: does the board keep NMI from the CPU? */
bool mc146818_nmi_masked(const struct mc146818 *rtc);

#endif
