/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * i8259A programmable interrupt controllers, master and slave (Intel 8259A data sheet, order number 231468;
 * edge/level control registers: Intel 82371SB PIIX3 data sheet).
 *
 *                    7    6    5    4    3    2    1    0
 *   ICW1  A0 = 0   [  -    -    -    1  LTIM  -  SNGL IC4 ]   starts initialization
 *   ICW2  A0 = 1   [ T7   T6   T5   T4   T3   -    -    - ]   vector
 *   ICW3  A0 = 1   [     master: inputs with slaves        ]   slave: ID in bits 2..0; skipped if SNGL
 *   ICW4  A0 = 1   [  0    0    0  SFNM BUF  M/S AEOI uPM ]   only if IC4
 *   OCW1  A0 = 1   [           mask register               ]
 *   OCW2  A0 = 0   [  R   SL   EOI   0    0   L2   L1  L0 ]   end of interrupt, rotation
 *   OCW3  A0 = 0   [  0  ESMM  SMM   0    1    P   RR  RIS]   special mask, poll, which register to read
 *
 * DEVIATION: uPM = 0 (MCS-80/85 mode, which answers INTA with a CALL) acts as 8086 mode; BUF has no effect.
 * DEVIATION: an edge-triggered request stays latched when its input falls before INTA, where the chip turns
 * it into a spurious IR7. A VM that was waiting for its turn sees the timer's rise and fall at one moment.
 * NOTE: the state before the first ICW1 is undefined on the chip; here all inputs are masked.
 */
#include "devices/i8259.h"

#include <stdlib.h>

#define ICW1_IC4    0x01
#define ICW1_SNGL   0x02
#define ICW1_LTIM   0x08
#define ICW1_SELECT 0x10
#define ICW4_AEOI   0x02
#define ICW4_SFNM   0x10
#define OCW2_EOI    0x20
#define OCW2_SL     0x40
#define OCW2_R      0x80
#define OCW3_SELECT 0x08
#define OCW3_RIS    0x01
#define OCW3_RR     0x02
#define OCW3_P      0x04
#define OCW3_SMM    0x20
#define OCW3_ESMM   0x40

#define CASCADE_IR   2
#define SPURIOUS_IR  7
#define BUS_FLOATING 0xff
#define NONE         8 /* no input: one past IR7 */

enum i8259_step { READY, EXPECT_ICW2, EXPECT_ICW3, EXPECT_ICW4 };

/* IRQs that PIIX3 lets software make level-triggered: not 0, 1, 2, 8 and 13. */
static const uint8_t elcr_writable[2] = {0xf8, 0xde};

/* Inputs whose request is the level itself. The slave's output needs no edge to be seen again. */
static uint8_t level_triggered(const struct i8259 *pic)
{
    uint8_t mask = pic->icw1 & ICW1_LTIM ? 0xff : pic->elcr;

    return pic->slave ? mask : mask | BIT(CASCADE_IR);
}

static uint8_t irr_get(const struct i8259 *pic)
{
    uint8_t level = level_triggered(pic);

    return (pic->edges & ~level) | (pic->lines & level);
}

/* The input of highest priority in `set`, or NONE. Priorities fall from lowest + 1 round to it. */
static unsigned highest_priority(const struct i8259 *pic, uint8_t set)
{
    for (unsigned i = 1; i <= 8; i++) {
        unsigned ir = (pic->lowest + i) & 7;

        if (set & BIT(ir)) {
            return ir;
        }
    }
    return NONE;
}

/* Rank of an input: 0 is served first, NONE's rank is 8. */
static unsigned rank(const struct i8259 *pic, unsigned ir)
{
    return ir == NONE ? 8 : (ir - pic->lowest - 1) & 7;
}

/* The request that may interrupt now, or NONE. */
static unsigned pending_ir(const struct i8259 *pic)
{
    unsigned ir = highest_priority(pic, irr_get(pic) & ~pic->imr);
    unsigned serving;

    if (ir == NONE || pic->init_step != READY) {
        return NONE;
    }
    serving = highest_priority(pic, pic->special_mask ? pic->isr & ~pic->imr : pic->isr);
    /* Special fully nested: a slave in service may interrupt again, for a higher priority of its own. */
    if (ir == serving && ir == CASCADE_IR && !pic->slave && (pic->icw4 & ICW4_SFNM)) {
        return ir;
    }
    return rank(pic, ir) < rank(pic, serving) ? ir : NONE;
}

static void set_input(struct i8259 *pic, unsigned ir, bool level)
{
    if (level) {
        pic->edges |= BIT(ir) & ~pic->lines & ~level_triggered(pic);
        pic->lines |= BIT(ir);
    } else {
        pic->lines &= ~BIT(ir);
    }
}

/* Carry every change through the cascade to the INTR output. */
static void update_output(struct i8259_pair *pair)
{
    set_input(&pair->chip[0], CASCADE_IR, pending_ir(&pair->chip[1]) != NONE);
    line_set(&pair->intr, i8259_intr(pair));
}

bool i8259_intr(const struct i8259_pair *pair)
{
    return pending_ir(&pair->chip[0]) != NONE;
}

/* Take a request into service, as INTA and a poll do. */
static void serve(struct i8259 *pic, unsigned ir)
{
    pic->edges &= ~BIT(ir);
    if (!(pic->icw4 & ICW4_AEOI)) {
        pic->isr |= BIT(ir);
    } else if (pic->rotate_on_aeoi) {
        pic->lowest = ir;
    }
}

/* One chip's part in INTA: the input to report. A request that has gone is reported as IR7, without ISR. */
static unsigned acknowledge_chip(struct i8259 *pic)
{
    unsigned ir = pending_ir(pic);

    if (ir == NONE) {
        return SPURIOUS_IR;
    }
    serve(pic, ir);
    return ir;
}

int i8259_acknowledge(struct i8259_pair *pair)
{
    struct i8259 *master = &pair->chip[0], *slave = &pair->chip[1];
    bool requested = pending_ir(master) != NONE;
    unsigned ir = acknowledge_chip(master);
    int vector = master->vector_base | ir;

    if (requested && !(master->icw1 & ICW1_SNGL) && (master->icw3 & BIT(ir))) {
        /* The master puts the ID on the cascade lines; a slave that does not recognize it stays silent. */
        bool selected = ir == CASCADE_IR && (slave->icw3 & 7) == CASCADE_IR;

        vector = selected ? (int)(slave->vector_base | acknowledge_chip(slave)) : BUS_FLOATING;
    }
    update_output(pair);
    return vector;
}

static void set_irq(void *opaque, unsigned number, bool level)
{
    struct i8259_pair *pair = opaque;

    set_input(&pair->chip[number >> 3], number & 7, level);
    update_output(pair);
}

struct line i8259_irq(struct i8259_pair *pair, unsigned irq)
{
    if (irq == CASCADE_IR || irq > 15) {
        return (struct line){.set = NULL};
    }
    return (struct line){.set = set_irq, .opaque = pair, .number = irq};
}

static void write_icw1(struct i8259 *pic, uint8_t value)
{
    pic->icw1 = value;
    pic->init_step = EXPECT_ICW2;
    pic->edges = 0; /* an input must rise again to be seen */
    pic->isr = 0;
    pic->imr = 0;
    pic->lowest = 7;
    pic->icw3 = pic->slave ? 7 : 0;
    pic->icw4 = 0;
    pic->rotate_on_aeoi = false;
    pic->special_mask = false;
    pic->read_isr = false;
    pic->poll = false;
}

static void write_ocw2(struct i8259 *pic, uint8_t value)
{
    unsigned ir = value & 7;

    switch (value & (OCW2_R | OCW2_SL | OCW2_EOI)) {
    case OCW2_R: /* rotate in automatic EOI mode: set */
        pic->rotate_on_aeoi = true;
        return;
    case 0: /* ... and clear */
        pic->rotate_on_aeoi = false;
        return;
    case OCW2_R | OCW2_SL: /* set priority */
        pic->lowest = ir;
        return;
    case OCW2_SL:
        return;
    }
    if (!(value & OCW2_SL)) { /* non-specific: in special mask mode a masked input is passed over */
        ir = highest_priority(pic, pic->special_mask ? pic->isr & ~pic->imr : pic->isr);
    }
    if (ir == NONE) {
        return;
    }
    pic->isr &= ~BIT(ir);
    if (value & OCW2_R) {
        pic->lowest = ir;
    }
}

static void write_ocw3(struct i8259 *pic, uint8_t value)
{
    if (value & OCW3_ESMM) {
        pic->special_mask = (value & OCW3_SMM) != 0;
    }
    if (value & OCW3_RR) {
        pic->read_isr = (value & OCW3_RIS) != 0;
    }
    pic->poll = (value & OCW3_P) != 0;
}

static void write_a1(struct i8259 *pic, uint8_t value)
{
    bool icw4_follows = (pic->icw1 & ICW1_IC4) != 0;

    switch (pic->init_step) {
    case EXPECT_ICW2:
        pic->vector_base = value & 0xf8;
        pic->init_step = !(pic->icw1 & ICW1_SNGL) ? EXPECT_ICW3 : icw4_follows ? EXPECT_ICW4 : READY;
        break;
    case EXPECT_ICW3:
        pic->icw3 = value;
        pic->init_step = icw4_follows ? EXPECT_ICW4 : READY;
        break;
    case EXPECT_ICW4:
        pic->icw4 = value;
        pic->init_step = READY;
        break;
    default:
        pic->imr = value;
    }
}

static void i8259_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct i8259 *pic = opaque;

    (void)size;
    if (offset == 1) {
        write_a1(pic, value);
    } else if (value & ICW1_SELECT) {
        write_icw1(pic, value);
    } else if (value & OCW3_SELECT) {
        write_ocw3(pic, value);
    } else {
        write_ocw2(pic, value);
    }
    update_output(pic->pair);
}

/* Poll word: bit 7 = a request was pending, bits 2..0 = its input, now in service. */
static uint8_t read_poll(struct i8259 *pic)
{
    unsigned ir = pending_ir(pic);

    pic->poll = false;
    if (ir == NONE) {
        return 0;
    }
    serve(pic, ir);
    update_output(pic->pair);
    return 0x80 | ir;
}

static uint64_t i8259_read(void *opaque, uint64_t offset, unsigned size)
{
    struct i8259 *pic = opaque;

    (void)size;
    if (pic->poll) {
        return read_poll(pic);
    }
    if (offset == 1) {
        return pic->imr;
    }
    return pic->read_isr ? pic->isr : irr_get(pic);
}

static uint64_t elcr_read(void *opaque, uint64_t offset, unsigned size)
{
    struct i8259_pair *pair = opaque;

    (void)size;
    return pair->chip[offset].elcr;
}

static void elcr_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct i8259_pair *pair = opaque;

    (void)size;
    pair->chip[offset].elcr = value & elcr_writable[offset];
    pair->chip[offset].edges &= ~level_triggered(&pair->chip[offset]);
    update_output(pair);
}

static const struct region_ops i8259_port_ops = {.read = i8259_read, .write = i8259_write, .max_size = 1};
static const struct region_ops elcr_port_ops = {.read = elcr_read, .write = elcr_write, .max_size = 1};

/* Every device drives its line anew in its own reset, and is created, and so reset, after the controllers. */
static void i8259_reset(struct device *device)
{
    struct i8259_pair *pair = CONTAINER_OF(device, struct i8259_pair, device);

    for (unsigned i = 0; i < 2; i++) {
        struct i8259 *pic = &pair->chip[i];

        pic->lines = 0;
        write_icw1(pic, 0);
        pic->init_step = READY;
        pic->imr = 0xff;
        pic->vector_base = 0;
        pic->elcr = 0;
    }
    update_output(pair);
}

static void i8259_fini(struct device *device)
{
    struct i8259_pair *pair = CONTAINER_OF(device, struct i8259_pair, device);

    for (unsigned i = 0; i < 2; i++) {
        addr_space_remove(device->board->io, &pair->chip[i].region);
    }
    addr_space_remove(device->board->io, &pair->elcr);
    free(pair);
}

static int i8259_post_load(void *object, struct error *error)
{
    struct i8259_pair *pair = object;

    (void)error;
    update_output(pair);
    return 0;
}

static const struct snap_field i8259_chip_fields[] = {
    SNAP_UINT(struct i8259, lines),         SNAP_UINT(struct i8259, edges),
    SNAP_UINT(struct i8259, isr),           SNAP_UINT(struct i8259, imr),
    SNAP_UINT(struct i8259, elcr),          SNAP_RANGE(struct i8259, init_step, READY, EXPECT_ICW4),
    SNAP_UINT(struct i8259, icw1),          SNAP_UINT(struct i8259, vector_base),
    SNAP_UINT(struct i8259, icw3),          SNAP_UINT(struct i8259, icw4),
    SNAP_RANGE(struct i8259, lowest, 0, 7), SNAP_BOOL(struct i8259, rotate_on_aeoi),
    SNAP_BOOL(struct i8259, special_mask),  SNAP_BOOL(struct i8259, read_isr),
    SNAP_BOOL(struct i8259, poll),
};

static const struct snap_field i8259_fields[] = {
    SNAP_STRUCTS(struct i8259_pair, chip, 2, i8259_chip_fields),
};

static const struct snap_desc i8259_snap = {
    .name = "i8259", .version = 1, SNAP_FIELDS(i8259_fields), .post_load = i8259_post_load};

static const struct device_ops i8259_ops = {
    .name = "i8259", .reset = i8259_reset, .fini = i8259_fini, .snap = &i8259_snap};

struct i8259_pair *i8259_create(struct board *board, struct line intr)
{
    struct i8259_pair *pair = calloc(1, sizeof(*pair));

    if (!pair) {
        return NULL;
    }
    pair->intr = intr;
    for (unsigned i = 0; i < 2; i++) {
        struct i8259 *pic = &pair->chip[i];

        pic->pair = pair;
        pic->slave = i == 1;
        region_init_io(&pic->region, i ? "i8259 slave" : "i8259 master", i ? 0xa0 : 0x20, 2, &i8259_port_ops,
                       pic);
        addr_space_add(board->io, &pic->region);
    }
    region_init_io(&pair->elcr, "elcr", 0x4d0, 2, &elcr_port_ops, pair);
    addr_space_add(board->io, &pair->elcr);
    device_init(&pair->device, &i8259_ops, board, NULL);
    i8259_reset(&pair->device);
    return pair;
}
