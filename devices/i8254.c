/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * i8254 programmable interval timer (Intel 82C54 data sheet, order number 231244) and port 61h (NMI status
 * and control register, Intel 82371SB PIIX3 data sheet).
 *
 *   control word, port 43h     7    6    5    4    3    2    1    0
 *                            [  SC     |    RW   |     mode    | BCD ]
 *       RW = 0: latch the count of counter SC
 *       SC = 3: read-back  [  1    1  /CNT /STAT CH2  CH1  CH0   0  ]
 *   status byte              [ OUT  NULL |    RW   |     mode    | BCD ]
 *   port 61h                 [  0    0   OUT2 REFR IOCK PERR SPKR GATE2 ]
 *
 * Nothing happens per CLK pulse: a counter is the moment at which it was loaded, and its count and output are
 * worked out from the virtual clock when somebody looks. Only channel 0 has a timer, for rises of its output;
 * the IRQ0 line falls just before it rises again.
 *
 * DEVIATION: periods shorter than MIN_IRQ_NS give fewer interrupts than rises, and rises that a late host
 * missed are one interrupt: the work a guest can ask for is bounded.
 * DEVIATION: a count of 1, illegal in modes 2 and 3, counts as 2. A count read before the first load is 0.
 * Not modelled: speaker sounds other than the tones of modes 2 and 3; parity and I/O channel check (port
 * 61h bits 7 and 6 read as 0, bits 3 and 2 only remember).
 */
#include "devices/i8254.h"

#include <stdlib.h>

#define MIN_IRQ_NS       10000ull
#define REFRESH_NS       15085ull /* the refresh toggle changes this often */
#define NO_TICK          UINT64_MAX
#define PORT_61_GATE2    0x01
#define PORT_61_SPEAKER  0x02
#define PORT_61_WRITABLE 0x0f
#define PORT_61_REFRESH  0x10
#define PORT_61_OUT2     0x20

static uint64_t now_tick(const struct i8254 *pit)
{
    return muldiv64(clock_now(pit->device.board->clock), I8254_HZ, NS_PER_SEC);
}

/* The first nanosecond of a tick. */
static uint64_t tick_to_ns(uint64_t tick)
{
    uint64_t ns = muldiv64(tick, NS_PER_SEC, I8254_HZ);

    return ns < CLOCK_NEVER && muldiv64(ns, I8254_HZ, NS_PER_SEC) < tick ? ns + 1 : ns;
}

static bool periodic(const struct i8254_channel *ch)
{
    return ch->mode == 2 || ch->mode == 3;
}

static bool hardware_triggered(const struct i8254_channel *ch)
{
    return ch->mode == 1 || ch->mode == 5;
}

/* Does a low GATE hold this counter at this moment? */
static bool held(const struct i8254_channel *ch)
{
    return !ch->gate && !hardware_triggered(ch);
}

static uint64_t elapsed(const struct i8254_channel *ch, uint64_t tick)
{
    if (held(ch)) {
        return ch->held;
    }
    return tick < ch->origin ? 0 : tick - ch->origin;
}

static uint32_t period(uint32_t count)
{
    return MAX(count, 2u);
}

/* Length of the current half period of mode 3; an odd count's extra tick belongs to the high half. */
static uint64_t half_period(const struct i8254_channel *ch)
{
    return (period(ch->count) + ch->high) / 2;
}

/* A (half) period ends: the count register is loaded again. */
static void next_cycle(struct i8254_channel *ch, uint64_t length)
{
    ch->origin += length;
    ch->high = !ch->high;
    ch->count = ch->reload;
    ch->pending = false;
}

/* Modes 2 and 3: move `origin` forward to the (half) period that holds `tick`. */
static void catch_up(struct i8254_channel *ch, uint64_t tick)
{
    if (!ch->armed || held(ch) || !periodic(ch) || tick < ch->origin) {
        return;
    }
    if (ch->mode == 2) {
        if (tick - ch->origin >= period(ch->count)) {
            next_cycle(ch, period(ch->count));
        }
        ch->origin = tick - (tick - ch->origin) % period(ch->count);
        return;
    }
    if (tick - ch->origin >= half_period(ch)) {
        next_cycle(ch, half_period(ch));
    }
    ch->origin = tick - (tick - ch->origin) % period(ch->count);
    if (tick - ch->origin >= half_period(ch)) {
        next_cycle(ch, half_period(ch));
    }
}

/* Level of OUT; the channel has caught up. */
static bool out(const struct i8254_channel *ch, uint64_t tick)
{
    uint64_t e = elapsed(ch, tick);

    switch (ch->mode) {
    case 0:
        return ch->armed && e >= ch->count;
    case 1:
        return !ch->triggered || e >= ch->count;
    case 2:
        return !ch->armed || !ch->gate || e != period(ch->count) - 1;
    case 3:
        return !ch->armed || !ch->gate || ch->high;
    case 4:
        return !ch->armed || e != ch->count;
    default:
        return !ch->triggered || e != ch->count;
    }
}

/* The next tick after this one at which OUT rises, or NO_TICK; the channel has caught up. */
static uint64_t next_rise(const struct i8254_channel *ch, uint64_t tick)
{
    uint64_t rise = ch->origin;

    if (!ch->armed || held(ch) || (hardware_triggered(ch) && !ch->triggered)) {
        return NO_TICK;
    }
    switch (ch->mode) {
    case 0:
    case 1:
        rise += ch->count;
        break;
    case 2:
        rise += period(ch->count);
        break;
    case 3: /* the low half that follows a high one is loaded with the count register */
        rise += half_period(ch) + (ch->high ? period(ch->reload) / 2 : 0);
        break;
    default:
        rise += ch->count + 1;
    }
    return rise > tick ? rise : NO_TICK;
}

/* n as the chip shows it: 16 bits, or four decimal digits. */
static uint16_t to_digits(const struct i8254_channel *ch, uint64_t n)
{
    if (!ch->bcd) {
        return n;
    }
    return n % 10 | (n / 10 % 10) << 4 | (n / 100 % 10) << 8 | (n / 1000 % 10) << 12;
}

static uint32_t from_digits(const struct i8254_channel *ch, uint16_t v)
{
    uint32_t n = ch->bcd ? (v & 15) + (v >> 4 & 15) * 10 + (v >> 8 & 15) * 100 + (v >> 12) * 1000 : v;

    return n ? n : ch->bcd ? 10000 : 65536;
}

/* The counting element; the channel has caught up. */
static uint16_t counting_element(const struct i8254_channel *ch, uint64_t tick)
{
    uint64_t e = elapsed(ch, tick);
    uint32_t modulus = ch->bcd ? 10000 : 65536;

    if (!ch->armed || (hardware_triggered(ch) && !ch->triggered)) {
        return 0;
    }
    if (ch->mode == 3) { /* counts down by two, an odd count less one */
        return to_digits(ch, (period(ch->count) & ~1u) - 2 * e);
    }
    if (ch->mode == 2) {
        return to_digits(ch, period(ch->count) - e);
    }
    /* Past zero the other modes go on from the highest number. */
    return to_digits(ch, e <= ch->count ? ch->count - e : modulus - 1 - (e - ch->count - 1) % modulus);
}

static uint8_t status_byte(const struct i8254_channel *ch, uint64_t tick)
{
    bool null_count = !ch->armed || ch->pending || tick < ch->origin;

    return out(ch, tick) << 7 | null_count << 6 | ch->access << 4 | ch->mode << 1 | ch->bcd;
}

/* Arm the timer for channel 0's next rise, not before `earliest` ns. */
static void arm_irq(struct i8254 *pit, uint64_t tick, uint64_t earliest)
{
    uint64_t rise = next_rise(&pit->channel[0], tick);

    timer_arm(&pit->irq_timer, rise == NO_TICK ? CLOCK_NEVER : MAX(tick_to_ns(rise), earliest));
}

static void irq_timer_fire(void *opaque)
{
    struct i8254 *pit = opaque;
    uint64_t tick = now_tick(pit);

    catch_up(&pit->channel[0], tick);
    line_set(&pit->irq, false);
    line_set(&pit->irq, true);
    arm_irq(pit, tick, clock_now(pit->device.board->clock) + MIN_IRQ_NS);
}

/* Channel 0 was programmed: show its output and time the next rise. */
static void update_irq(struct i8254 *pit, uint64_t tick)
{
    line_set(&pit->irq, out(&pit->channel[0], tick));
    arm_irq(pit, tick, 0);
}

static void update_speaker(struct i8254 *pit)
{
    const struct i8254_channel *ch = &pit->channel[2];
    bool sounds = ch->armed && ch->gate && periodic(ch) && (pit->port_b & PORT_61_SPEAKER);
    uint32_t tone = sounds ? I8254_HZ / period(ch->reload) : 0;

    if (tone != pit->tone) {
        pit->tone = tone;
        if (pit->speaker.tone) {
            pit->speaker.tone(pit->speaker.opaque, tone);
        }
    }
}

static void load_count(struct i8254_channel *ch, uint16_t value, uint64_t tick)
{
    ch->reload = from_digits(ch, value);
    if (hardware_triggered(ch)) { /* loaded by the trigger */
        ch->pending = true;
    } else if (periodic(ch) && ch->armed) { /* loaded when the (half) period ends */
        ch->pending = true;
    } else { /* loaded by the next CLK pulse */
        ch->count = ch->reload;
        ch->origin = tick + 1;
        ch->held = 0;
        ch->high = true;
    }
    ch->armed = true;
}

static void write_counter(struct i8254_channel *ch, uint8_t value, uint64_t tick)
{
    switch (ch->access) {
    case 1:
        load_count(ch, value, tick);
        return;
    case 2:
        load_count(ch, value << 8, tick);
        return;
    }
    if (ch->write_msb) {
        load_count(ch, value << 8 | ch->write_lsb, tick);
    } else {
        ch->write_lsb = value;
        if (ch->mode == 0) { /* the first byte stops the count and lowers OUT */
            ch->armed = false;
        }
    }
    ch->write_msb = !ch->write_msb;
}

static uint8_t read_counter(struct i8254_channel *ch, uint64_t tick)
{
    uint16_t value = ch->count_latched ? ch->latched_count : counting_element(ch, tick);
    bool msb = ch->access == 2 || (ch->access == 3 && ch->read_msb);

    if (ch->status_latched) {
        ch->status_latched = false;
        return ch->latched_status;
    }
    if (ch->access == 3) {
        ch->read_msb = !ch->read_msb;
    }
    if (msb || ch->access != 3) { /* the latch holds until the last byte is read */
        ch->count_latched = false;
    }
    return msb ? value >> 8 : value;
}

static void latch_count(struct i8254_channel *ch, uint64_t tick)
{
    if (!ch->count_latched) {
        ch->latched_count = counting_element(ch, tick);
        ch->count_latched = true;
    }
}

static void latch_status(struct i8254_channel *ch, uint64_t tick)
{
    if (!ch->status_latched) {
        ch->latched_status = status_byte(ch, tick);
        ch->status_latched = true;
    }
}

static void read_back(struct i8254 *pit, uint8_t command, uint64_t tick)
{
    for (unsigned i = 0; i < 3; i++) {
        if (!(command & BIT(i + 1))) {
            continue;
        }
        if (!(command & 0x20)) {
            latch_count(&pit->channel[i], tick);
        }
        if (!(command & 0x10)) {
            latch_status(&pit->channel[i], tick);
        }
    }
}

/* A new mode: the counter waits for a count, all flip-flops and latches are cleared. */
static void set_mode(struct i8254_channel *ch, uint8_t control)
{
    uint8_t mode = control >> 1 & 7;

    *ch = (struct i8254_channel){
        .mode = mode > 5 ? mode & 3 : mode, /* 6 and 7 are 2 and 3 */
        .access = control >> 4 & 3,
        .bcd = control & 1,
        .gate = ch->gate,
        .reload = 1,
        .count = 1,
    };
}

static void write_control(struct i8254 *pit, uint8_t value, uint64_t tick)
{
    struct i8254_channel *ch;

    if ((value & 0xc0) == 0xc0) {
        read_back(pit, value, tick);
        return;
    }
    ch = &pit->channel[value >> 6];
    if ((value & 0x30) == 0) {
        latch_count(ch, tick);
    } else {
        set_mode(ch, value);
    }
}

static void i8254_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct i8254 *pit = opaque;
    uint64_t tick = now_tick(pit);

    (void)size;
    for (unsigned i = 0; i < 3; i++) {
        catch_up(&pit->channel[i], tick);
    }
    if (offset == 3) {
        write_control(pit, value, tick);
    } else {
        write_counter(&pit->channel[offset], value, tick);
    }
    /* Latches and the other channels do not move channel 0's output. */
    if (offset == 0 || (offset == 3 && (value & 0xc0) == 0 && (value & 0x30))) {
        update_irq(pit, tick);
    }
    update_speaker(pit);
}

static uint64_t i8254_read(void *opaque, uint64_t offset, unsigned size)
{
    struct i8254 *pit = opaque;
    uint64_t tick = now_tick(pit);

    (void)size;
    if (offset == 3) {
        return 0xff; /* the control word cannot be read: nobody drives the bus */
    }
    catch_up(&pit->channel[offset], tick);
    return read_counter(&pit->channel[offset], tick);
}

static void set_gate(struct i8254_channel *ch, bool gate, uint64_t tick)
{
    catch_up(ch, tick);
    if (gate == ch->gate) {
        return;
    }
    if (!gate) {
        ch->held = elapsed(ch, tick);
    } else if (ch->armed && (hardware_triggered(ch) || periodic(ch))) {
        ch->count = ch->reload;
        ch->origin = tick + 1;
        ch->triggered = true;
        ch->pending = false;
        ch->high = true;
    } else {
        ch->origin = tick - MIN(tick, ch->held);
    }
    ch->gate = gate;
}

static void port_61_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct i8254 *pit = opaque;

    (void)offset;
    (void)size;
    pit->port_b = value & PORT_61_WRITABLE;
    set_gate(&pit->channel[2], value & PORT_61_GATE2, now_tick(pit));
    update_speaker(pit);
}

static uint64_t port_61_read(void *opaque, uint64_t offset, unsigned size)
{
    struct i8254 *pit = opaque;
    uint64_t tick = now_tick(pit);
    bool refresh = clock_now(pit->device.board->clock) / REFRESH_NS & 1;

    (void)offset;
    (void)size;
    catch_up(&pit->channel[2], tick);
    return pit->port_b | (refresh ? PORT_61_REFRESH : 0) | (out(&pit->channel[2], tick) ? PORT_61_OUT2 : 0);
}

static const struct region_ops i8254_port_ops = {.read = i8254_read, .write = i8254_write, .max_size = 1};
static const struct region_ops port_61_ops = {.read = port_61_read, .write = port_61_write, .max_size = 1};

/* The chip's state after power-on is undefined; here every counter waits in mode 0, LSB then MSB. */
static void i8254_reset(struct device *device)
{
    struct i8254 *pit = CONTAINER_OF(device, struct i8254, device);

    for (unsigned i = 0; i < 3; i++) {
        pit->channel[i].gate = i != 2;
        set_mode(&pit->channel[i], 0x30);
    }
    pit->port_b = 0;
    update_irq(pit, now_tick(pit));
    update_speaker(pit);
}

static void i8254_fini(struct device *device)
{
    struct i8254 *pit = CONTAINER_OF(device, struct i8254, device);

    timer_disarm(&pit->irq_timer);
    addr_space_remove(device->board->io, &pit->ports);
    addr_space_remove(device->board->io, &pit->port_61);
    free(pit);
}

#define MAX_COUNT 65536
#define MAX_TICK  (UINT64_MAX >> 2)

static const struct snap_field i8254_channel_fields[] = {
    SNAP_RANGE(struct i8254_channel, mode, 0, 5),
    SNAP_RANGE(struct i8254_channel, access, 1, 3),
    SNAP_BOOL(struct i8254_channel, bcd),
    SNAP_BOOL(struct i8254_channel, gate),
    SNAP_BOOL(struct i8254_channel, write_msb),
    SNAP_BOOL(struct i8254_channel, read_msb),
    SNAP_UINT(struct i8254_channel, write_lsb),
    SNAP_BOOL(struct i8254_channel, count_latched),
    SNAP_BOOL(struct i8254_channel, status_latched),
    SNAP_UINT(struct i8254_channel, latched_count),
    SNAP_UINT(struct i8254_channel, latched_status),
    SNAP_BOOL(struct i8254_channel, armed),
    SNAP_BOOL(struct i8254_channel, pending),
    SNAP_BOOL(struct i8254_channel, triggered),
    SNAP_BOOL(struct i8254_channel, high),
    SNAP_RANGE(struct i8254_channel, reload, 1, MAX_COUNT),
    SNAP_RANGE(struct i8254_channel, count, 1, MAX_COUNT),
    SNAP_RANGE(struct i8254_channel, origin, 0, MAX_TICK),
    SNAP_RANGE(struct i8254_channel, held, 0, MAX_TICK),
};

static const struct snap_field i8254_fields[] = {
    SNAP_STRUCTS(struct i8254, channel, 3, i8254_channel_fields),
    SNAP_TIMER(struct i8254, irq_timer),
    SNAP_RANGE(struct i8254, port_b, 0, PORT_61_WRITABLE),
    SNAP_UINT(struct i8254, tone),
};

static int i8254_post_load(void *object, struct error *error)
{
    struct i8254 *pit = object;

    (void)error;
    if (pit->speaker.tone) {
        pit->speaker.tone(pit->speaker.opaque, pit->tone);
    }
    return 0;
}

static const struct snap_desc i8254_snap = {
    .name = "i8254", .version = 1, SNAP_FIELDS(i8254_fields), .post_load = i8254_post_load};

static const struct device_ops i8254_ops = {
    .name = "i8254", .reset = i8254_reset, .fini = i8254_fini, .snap = &i8254_snap};

struct i8254 *i8254_create(struct board *board, struct line irq, struct i8254_speaker speaker)
{
    struct i8254 *pit = calloc(1, sizeof(*pit));

    if (!pit) {
        return NULL;
    }
    pit->irq = irq;
    pit->speaker = speaker;
    timer_init(&pit->irq_timer, board->clock, "i8254 irq0", irq_timer_fire, pit);
    region_init_io(&pit->ports, "i8254", 0x40, 4, &i8254_port_ops, pit);
    addr_space_add(board->io, &pit->ports);
    region_init_io(&pit->port_61, "port 61h", 0x61, 1, &port_61_ops, pit);
    addr_space_add(board->io, &pit->port_61);
    device_init(&pit->device, &i8254_ops, board, NULL);
    i8254_reset(&pit->device);
    return pit;
}
