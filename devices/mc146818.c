/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * mc146818 real-time clock and CMOS RAM (Motorola MC146818A data sheet; ports and the extended bank: Intel
 * 82371AB PIIX4 data sheet).
 *
 *                7     6     5     4     3     2     1     0
 *   0Ah A     [ UIP  |    DV           |    RS                ]   divider, periodic rate
 *   0Bh B     [ SET   PIE   AIE   UIE  SQWE   DM   24/12 DSE  ]   DM: 1 = binary, 0 = BCD
 *   0Ch C     [ IRQF  PF    AF    UF    0     0     0     0   ]   reading clears it
 *   0Dh D     [ VRT   0     0     0     0     0     0     0   ]
 *
 *   divider released          update           update
 *   |<------- 500 ms ------->|<----- 1 s ----->|
 *                      UIP |_|           UIP |_|   244 us + 1984 us before the registers change
 *
 * The time is a function of the virtual clock; the registers hold it only while updates are inhibited (SET,
 * or the divider not at 32.768 kHz). Flags rise when somebody looks, or when an enabled one is due.
 *
 * DEVIATION: an impossible date becomes the nearest possible one when updates start; DSE has no effect;
 * divider settings for other crystals stop the clock. NOTE: the century at 32h runs with the clock, which on
 * most boards the firmware sees to. Not modelled: the square wave output.
 */
#include "devices/mc146818.h"

#include <stdlib.h>

enum rtc_register {
    RTC_SECONDS,
    RTC_SECONDS_ALARM,
    RTC_MINUTES,
    RTC_MINUTES_ALARM,
    RTC_HOURS,
    RTC_HOURS_ALARM,
    RTC_DAY_OF_WEEK,
    RTC_DAY,
    RTC_MONTH,
    RTC_YEAR,
    RTC_A,
    RTC_B,
    RTC_C,
    RTC_D,
    RTC_RAM,
};

#define A_UIP     0x80
#define A_RS      0x0f
#define B_SET     0x80
#define B_PIE     0x40
#define B_AIE     0x20
#define B_UIE     0x10
#define B_SQWE    0x08
#define B_DM      0x04
#define B_24      0x02
#define C_IRQF    0x80
#define C_PF      0x40
#define C_AF      0x20
#define C_UF      0x10
#define D_VRT     0x80
#define HOURS_PM  0x80
#define DONT_CARE 0xc0 /* alarm values from here on match everything */
#define INVALID   0xff
#define NMI_MASK  0x80

#define CRYSTAL_HZ    32768
#define FIRST_UPDATE  (NS_PER_SEC / 2)
#define UIP_NS        (244000 + 1984000)
#define SECONDS_A_DAY 86400
#define DAYS_A_CYCLE  146097                                 /* 400 years */
#define WRAP_SECONDS  (25ull * DAYS_A_CYCLE * SECONDS_A_DAY) /* the calendar has years 0000..9999 */
#define UNIX_EPOCH    (719528ll * SECONDS_A_DAY)             /* 1970-01-01 since 0000-01-01 */

/* -- the divider chain ----------------------------------------------------------------------------------- */

static uint64_t now_ns(const struct mc146818 *rtc)
{
    return clock_now(rtc->device.board->clock);
}

static bool divider_runs(const struct mc146818 *rtc)
{
    return (rtc->cmos[RTC_A] & 0x70) == 0x20;
}

static bool updates_run(const struct mc146818 *rtc)
{
    return divider_runs(rtc) && !(rtc->cmos[RTC_B] & B_SET);
}

static uint64_t chain_ns(const struct mc146818 *rtc, uint64_t ns)
{
    return ns > rtc->divider_ns ? ns - rtc->divider_ns : 0;
}

/* Updates from the release of the divider to this moment. */
static uint64_t updates(const struct mc146818 *rtc, uint64_t ns)
{
    return (chain_ns(rtc, ns) + FIRST_UPDATE) / NS_PER_SEC;
}

static uint64_t update_to_ns(const struct mc146818 *rtc, uint64_t number)
{
    return rtc->divider_ns + number * NS_PER_SEC - FIRST_UPDATE;
}

/* log2 of crystal ticks a period; RS is not 0. Rates 1 and 2 repeat 8 and 9. */
static unsigned period_shift(const struct mc146818 *rtc)
{
    unsigned rs = rtc->cmos[RTC_A] & A_RS;

    return rs < 3 ? rs + 6 : rs - 1;
}

static bool periodic_runs(const struct mc146818 *rtc)
{
    return divider_runs(rtc) && (rtc->cmos[RTC_A] & A_RS);
}

static uint64_t periods(const struct mc146818 *rtc, uint64_t ns)
{
    return muldiv64(chain_ns(rtc, ns), CRYSTAL_HZ, NS_PER_SEC) >> period_shift(rtc);
}

static uint64_t period_to_ns(const struct mc146818 *rtc, uint64_t number)
{
    /* A crystal tick is no whole number of ns: take the first ns that belongs to it. */
    uint64_t ns = muldiv64(number << period_shift(rtc), NS_PER_SEC, CRYSTAL_HZ);

    return rtc->divider_ns + ns + (muldiv64(ns, CRYSTAL_HZ, NS_PER_SEC) < number << period_shift(rtc));
}

/* -- register contents ----------------------------------------------------------------------------------- */

static uint8_t encode(const struct mc146818 *rtc, unsigned n)
{
    return rtc->cmos[RTC_B] & B_DM ? n : n / 10 << 4 | n % 10;
}

static uint8_t decode(const struct mc146818 *rtc, uint8_t v)
{
    if (rtc->cmos[RTC_B] & B_DM) {
        return v;
    }
    return (v & 15) > 9 || v > 0x99 ? INVALID : (v >> 4) * 10 + (v & 15);
}

/* Hours: 0..23, or 1..12 with PM in bit 7. */
static uint8_t encode_hours(const struct mc146818 *rtc, unsigned hours)
{
    if (rtc->cmos[RTC_B] & B_24) {
        return encode(rtc, hours);
    }
    return encode(rtc, (hours + 11) % 12 + 1) | (hours >= 12 ? HOURS_PM : 0);
}

static uint8_t decode_hours(const struct mc146818 *rtc, uint8_t v)
{
    uint8_t hours;

    if (rtc->cmos[RTC_B] & B_24) {
        return decode(rtc, v);
    }
    hours = decode(rtc, v & ~HOURS_PM);
    return hours < 1 || hours > 12 ? INVALID : hours % 12 + (v & HOURS_PM ? 12 : 0);
}

/* -- calendar -------------------------------------------------------------------------------------------- */

static bool leap_year(unsigned year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static unsigned days_in_month(unsigned month, unsigned year)
{
    static const uint8_t days[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

    return days[month] + (month == 1 && leap_year(year));
}

/* Days from 0000-01-01 to the first of January. */
static uint64_t days_before_year(unsigned year)
{
    return year ? year * 365ull + (year - 1) / 4 - (year - 1) / 100 + (year - 1) / 400 + 1 : 0;
}

/* Sunday = 1. 0000-01-01 was a Saturday. */
static unsigned weekday(uint64_t days, unsigned offset)
{
    return (days + 6 + offset) % 7 + 1;
}

static uint64_t current_seconds(const struct mc146818 *rtc, uint64_t ns)
{
    return (rtc->base_seconds + updates(rtc, ns)) % WRAP_SECONDS;
}

/* Write the running time into the clock registers. */
static void time_to_registers(struct mc146818 *rtc)
{
    uint64_t seconds = current_seconds(rtc, now_ns(rtc)), days = seconds / SECONDS_A_DAY;
    unsigned second = seconds % SECONDS_A_DAY, year = days / 366, month = 0;
    unsigned day;

    while (days_before_year(year + 1) <= days) { /* at most 20 years short */
        year++;
    }
    day = days - days_before_year(year);
    while (day >= days_in_month(month, year)) {
        day -= days_in_month(month++, year);
    }
    rtc->cmos[RTC_SECONDS] = encode(rtc, second % 60);
    rtc->cmos[RTC_MINUTES] = encode(rtc, second / 60 % 60);
    rtc->cmos[RTC_HOURS] = encode_hours(rtc, second / 3600);
    rtc->cmos[RTC_DAY_OF_WEEK] = encode(rtc, weekday(days, rtc->weekday_offset));
    rtc->cmos[RTC_DAY] = encode(rtc, day + 1);
    rtc->cmos[RTC_MONTH] = encode(rtc, month + 1);
    rtc->cmos[RTC_YEAR] = encode(rtc, year % 100);
    rtc->cmos[MC146818_CENTURY] = encode(rtc, year / 100);
}

/* A register's value, or the nearest one in lo..hi. */
static unsigned decode_within(const struct mc146818 *rtc, unsigned reg, unsigned lo, unsigned hi)
{
    unsigned v = reg == RTC_HOURS ? decode_hours(rtc, rtc->cmos[reg]) : decode(rtc, rtc->cmos[reg]);

    return MIN(MAX(v, lo), hi);
}

/* Let the clock run on from what the clock registers say. */
static void registers_to_time(struct mc146818 *rtc)
{
    unsigned year = decode_within(rtc, MC146818_CENTURY, 0, 99) * 100 + decode_within(rtc, RTC_YEAR, 0, 99);
    unsigned month = decode_within(rtc, RTC_MONTH, 1, 12) - 1;
    uint64_t days = days_before_year(year), seconds;

    for (unsigned m = 0; m < month; m++) {
        days += days_in_month(m, year);
    }
    days += decode_within(rtc, RTC_DAY, 1, days_in_month(month, year)) - 1;
    rtc->weekday_offset = (decode_within(rtc, RTC_DAY_OF_WEEK, 1, 7) + 7 - weekday(days, 0)) % 7;
    seconds = days * SECONDS_A_DAY + decode_within(rtc, RTC_HOURS, 0, 23) * 3600 +
              decode_within(rtc, RTC_MINUTES, 0, 59) * 60 + decode_within(rtc, RTC_SECONDS, 0, 59);
    rtc->base_seconds = (seconds + WRAP_SECONDS - updates(rtc, now_ns(rtc)) % WRAP_SECONDS) % WRAP_SECONDS;
}

/* -- alarm, flags and the interrupt ---------------------------------------------------------------------- */

/* One alarm register, decoded. */
struct alarm_field {
    bool any;
    uint8_t value;
};

static bool alarm_matches(struct alarm_field field, unsigned n)
{
    return field.any || field.value == n;
}

static struct alarm_field alarm_field(const struct mc146818 *rtc, unsigned reg)
{
    uint8_t v = rtc->cmos[reg];

    return (struct alarm_field){.any = v >= DONT_CARE,
                                .value = reg == RTC_HOURS_ALARM ? decode_hours(rtc, v) : decode(rtc, v)};
}

/* Seconds from `seconds` to the next one that matches the alarm, 1..86400; 0 if none ever does. */
static unsigned seconds_to_alarm(const struct mc146818 *rtc, uint64_t seconds)
{
    struct alarm_field s = alarm_field(rtc, RTC_SECONDS_ALARM), m = alarm_field(rtc, RTC_MINUTES_ALARM),
                       h = alarm_field(rtc, RTC_HOURS_ALARM);
    unsigned start = seconds % SECONDS_A_DAY;

    if ((!s.any && s.value > 59) || (!m.any && m.value > 59) || (!h.any && h.value > 23)) {
        return 0;
    }
    for (unsigned t = start + 1; t <= start + SECONDS_A_DAY;) {
        if (!alarm_matches(h, t / 3600 % 24)) {
            t = (t / 3600 + 1) * 3600;
        } else if (!alarm_matches(m, t / 60 % 60)) {
            t = (t / 60 + 1) * 60;
        } else if (!alarm_matches(s, t % 60)) {
            t++;
        } else {
            return t - start;
        }
    }
    return 0;
}

/* Raise the flags of everything that happened since the last look. Called before anything changes. */
static void sync_flags(struct mc146818 *rtc)
{
    uint64_t now = now_ns(rtc), then = rtc->synced_ns;
    uint64_t passed = updates(rtc, now) - updates(rtc, then);

    rtc->synced_ns = now;
    if (periodic_runs(rtc) && periods(rtc, now) != periods(rtc, then)) {
        rtc->flags |= C_PF;
    }
    if (updates_run(rtc) && passed) {
        unsigned alarm = seconds_to_alarm(rtc, current_seconds(rtc, then));

        rtc->flags |= C_UF;
        if (alarm && alarm <= passed) {
            rtc->flags |= C_AF;
        }
    }
}

/* PIE, AIE, UIE lie at the same bits in B as PF, AF, UF in C. */
static bool irqf(const struct mc146818 *rtc)
{
    return rtc->flags & rtc->cmos[RTC_B] & (C_PF | C_AF | C_UF);
}

static uint64_t next_event(const struct mc146818 *rtc)
{
    uint8_t enabled = rtc->cmos[RTC_B];
    uint64_t now = rtc->synced_ns, next = CLOCK_NEVER;

    if ((enabled & B_PIE) && periodic_runs(rtc)) {
        next = period_to_ns(rtc, periods(rtc, now) + 1);
    }
    if ((enabled & B_UIE) && updates_run(rtc)) {
        next = MIN(next, update_to_ns(rtc, updates(rtc, now) + 1));
    }
    if ((enabled & B_AIE) && updates_run(rtc)) {
        unsigned alarm = seconds_to_alarm(rtc, current_seconds(rtc, now));

        next = alarm ? MIN(next, update_to_ns(rtc, updates(rtc, now) + alarm)) : next;
    }
    return next;
}

static void update_irq(struct mc146818 *rtc)
{
    line_set(&rtc->irq, irqf(rtc));
    timer_arm(&rtc->event, irqf(rtc) ? CLOCK_NEVER : next_event(rtc));
}

static void event_fire(void *opaque)
{
    struct mc146818 *rtc = opaque;

    sync_flags(rtc);
    update_irq(rtc);
}

/* -- ports ----------------------------------------------------------------------------------------------- */

/* Is this one of the registers that show the time? */
static bool clock_register(unsigned index)
{
    switch (index) {
    case RTC_SECONDS:
    case RTC_MINUTES:
    case RTC_HOURS:
    case RTC_DAY_OF_WEEK:
    case RTC_DAY:
    case RTC_MONTH:
    case RTC_YEAR:
    case MC146818_CENTURY:
        return true;
    default:
        return false;
    }
}

static uint8_t read_a(const struct mc146818 *rtc)
{
    uint64_t phase = (chain_ns(rtc, now_ns(rtc)) + FIRST_UPDATE) % NS_PER_SEC;
    bool uip = updates_run(rtc) && phase >= NS_PER_SEC - UIP_NS;

    return rtc->cmos[RTC_A] | (uip ? A_UIP : 0);
}

static uint8_t read_c(struct mc146818 *rtc)
{
    uint8_t value;

    sync_flags(rtc);
    value = rtc->flags | (irqf(rtc) ? C_IRQF : 0);
    rtc->flags = 0;
    update_irq(rtc);
    return value;
}

static uint8_t read_register(struct mc146818 *rtc, unsigned index)
{
    switch (index) {
    case RTC_A:
        return read_a(rtc);
    case RTC_C:
        return read_c(rtc);
    case RTC_D:
        return D_VRT;
    }
    if (clock_register(index) && updates_run(rtc)) {
        time_to_registers(rtc);
    }
    return rtc->cmos[index];
}

/* A or B: the bytes in the clock registers stay, what they mean and whether they move may change. */
static void write_control(struct mc146818 *rtc, unsigned index, uint8_t value)
{
    bool ran = divider_runs(rtc);

    if (updates_run(rtc)) {
        time_to_registers(rtc);
    }
    if (index == RTC_A) {
        value &= ~A_UIP;
    } else if (value & B_SET) {
        value &= ~B_UIE;
    }
    rtc->cmos[index] = value;
    if (divider_runs(rtc) && !ran) {
        rtc->divider_ns = now_ns(rtc);
    }
    if (updates_run(rtc)) {
        registers_to_time(rtc);
    }
}

static void write_register(struct mc146818 *rtc, unsigned index, uint8_t value)
{
    if (index == RTC_C || index == RTC_D) {
        return;
    }
    sync_flags(rtc);
    if (index == RTC_A || index == RTC_B) {
        write_control(rtc, index, value);
    } else if (clock_register(index) && updates_run(rtc)) {
        time_to_registers(rtc);
        rtc->cmos[index] = value;
        registers_to_time(rtc);
    } else {
        rtc->cmos[index] = value;
    }
    update_irq(rtc);
}

static uint64_t mc146818_read(void *opaque, uint64_t offset, unsigned size)
{
    struct mc146818 *rtc = opaque;

    (void)size;
    switch (offset) {
    case 1:
        return read_register(rtc, rtc->index);
    case 3:
        return rtc->cmos[0x80 | rtc->extended_index];
    default:
        return 0xff; /* the index registers are write-only */
    }
}

static void mc146818_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct mc146818 *rtc = opaque;

    (void)size;
    switch (offset) {
    case 0:
        rtc->index = value & 0x7f;
        rtc->nmi_masked = value & NMI_MASK;
        break;
    case 1:
        write_register(rtc, rtc->index, value);
        break;
    case 2:
        rtc->extended_index = value & 0x7f;
        break;
    default:
        rtc->cmos[0x80 | rtc->extended_index] = value;
    }
}

static const struct region_ops mc146818_port_ops = {
    .read = mc146818_read, .write = mc146818_write, .max_size = 1};

void mc146818_set_cmos(struct mc146818 *rtc, uint8_t index, uint8_t value)
{
    if (index >= RTC_RAM && index != MC146818_CENTURY) {
        rtc->cmos[index] = value;
    }
}

uint8_t mc146818_get_cmos(const struct mc146818 *rtc, uint8_t index)
{
    return rtc->cmos[index];
}

bool mc146818_nmi_masked(const struct mc146818 *rtc)
{
    return rtc->nmi_masked;
}

/* -- life ------------------------------------------------------------------------------------------------ */

/* RESET stops interrupts; time, date, alarm and RAM are the battery's. */
static void mc146818_reset(struct device *device)
{
    struct mc146818 *rtc = CONTAINER_OF(device, struct mc146818, device);

    sync_flags(rtc);
    rtc->cmos[RTC_B] &= ~(B_PIE | B_AIE | B_UIE | B_SQWE);
    rtc->flags = 0;
    rtc->index = 0;
    rtc->extended_index = 0;
    rtc->nmi_masked = false;
    update_irq(rtc);
}

static void mc146818_fini(struct device *device)
{
    struct mc146818 *rtc = CONTAINER_OF(device, struct mc146818, device);

    timer_disarm(&rtc->event);
    addr_space_remove(device->board->io, &rtc->ports);
    free(rtc);
}

#define MAX_NS (UINT64_MAX >> 2)

static const struct snap_field mc146818_fields[] = {
    SNAP_RANGE(struct mc146818, index, 0, 0x7f),
    SNAP_RANGE(struct mc146818, extended_index, 0, 0x7f),
    SNAP_BOOL(struct mc146818, nmi_masked),
    SNAP_UINT(struct mc146818, flags),
    SNAP_BYTES(struct mc146818, cmos),
    SNAP_RANGE(struct mc146818, divider_ns, 0, MAX_NS),
    SNAP_RANGE(struct mc146818, base_seconds, 0, WRAP_SECONDS - 1),
    SNAP_RANGE(struct mc146818, weekday_offset, 0, 6),
    SNAP_RANGE(struct mc146818, synced_ns, 0, MAX_NS),
    SNAP_TIMER(struct mc146818, event),
};

static const struct snap_desc mc146818_snap = {
    .name = "mc146818", .version = 1, SNAP_FIELDS(mc146818_fields)};

static const struct device_ops mc146818_ops = {
    .name = "mc146818", .reset = mc146818_reset, .fini = mc146818_fini, .snap = &mc146818_snap};

struct mc146818 *mc146818_create(struct board *board, struct line irq, int64_t start)
{
    struct mc146818 *rtc = calloc(1, sizeof(*rtc));
    int64_t seconds = start > INT64_MAX - UNIX_EPOCH ? start : start + UNIX_EPOCH;

    if (!rtc) {
        return NULL;
    }
    rtc->irq = irq;
    rtc->base_seconds = seconds < 0 ? 0 : (uint64_t)seconds % WRAP_SECONDS;
    rtc->cmos[RTC_A] = 0x26; /* 32.768 kHz crystal, 1024 Hz */
    rtc->cmos[RTC_B] = B_24;
    timer_init(&rtc->event, board->clock, "mc146818 irq8", event_fire, rtc);
    region_init_io(&rtc->ports, "mc146818", 0x70, 4, &mc146818_port_ops, rtc);
    addr_space_add(board->io, &rtc->ports);
    device_init(&rtc->device, &mc146818_ops, board, NULL);
    rtc->divider_ns = rtc->synced_ns = now_ns(rtc);
    mc146818_reset(&rtc->device);
    return rtc;
}
