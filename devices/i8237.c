/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * i8237A DMA controllers and page registers (Intel 8237A data sheet, order number 231466; ports as in the
 * Intel 82371SB PIIX3 data sheet).
 *
 *   port (second controller: * 2 + c0h)
 *   0..7  address and count of channels 0..3, low byte then high byte
 *   8     write: command  [ DACKL DREQL XWR ROT COMP DISABLE  -  MEM ]   read: status [ DREQ 3..0 | TC 3..0 ]
 *   9     request  [ - | SET | channel ]
 *   a     one mask bit  [ - | SET | channel ]
 *   b     mode     [ demand, single, block, cascade | DOWN | AUTO | verify, write, read | channel ]
 *   c     clear the flip-flop     d  master clear     e  clear the mask     f  all mask bits
 *   81h..8fh page registers: 87 83 81 82 for channels 0..3, 8f 8b 89 8a for 4..7
 *
 * The counts move when a device moves bytes; there is no bus to arbitrate, so priorities, timing and the
 * modes demand, single and block make no difference.
 * DEVIATION: channels 0..3 work without channel 4 being programmed as their cascade, which firmware does.
 * Not modelled: memory-to-memory transfers, which the PC's wiring does not allow.
 */
#include "devices/i8237.h"

#include <stdlib.h>

#define COMMAND_DISABLE 0x04
#define MODE_AUTO       0x10
#define MODE_DOWN       0x20
#define MODE_CASCADE    0xc0
#define SELECT_SET      0x04
#define CASCADE_CHANNEL 4
#define PAGE_BASE       0x81 /* port 80h is the POST code's */
#define PAGE_COUNT      15
#define NO_CHANNEL      0xff

/* Channel of page port 80h + i. */
static const uint8_t page_channel[16] = {
    NO_CHANNEL, 2, 3, 1, NO_CHANNEL, NO_CHANNEL, NO_CHANNEL, 0,
    NO_CHANNEL, 6, 7, 5, NO_CHANNEL, NO_CHANNEL, NO_CHANNEL, 4,
};

static unsigned transfer_type(const struct i8237_channel *ch)
{
    return ch->mode >> 2 & 3; /* 0 verify, 1 write, 2 read, 3 illegal */
}

/* -- transfers ------------------------------------------------------------------------------------------- */

bool i8237_can_transfer(const struct i8237 *dma, unsigned channel, enum i8237_direction direction)
{
    const struct i8237_controller *chip = &dma->controller[channel >> 2 & 1];
    const struct i8237_channel *ch = &dma->channel[channel % I8237_CHANNELS];
    unsigned type = transfer_type(ch);

    return channel < I8237_CHANNELS && channel != CASCADE_CHANNEL && !(chip->command & COMMAND_DISABLE) &&
           !(chip->mask & BIT(channel & 3)) && (ch->mode & MODE_CASCADE) != MODE_CASCADE &&
           (type == 0 || type == (unsigned)direction);
}

/* Guest-physical address of the unit (byte or word) that comes next. */
static gpa_t unit_address(const struct i8237_channel *ch, bool words)
{
    if (words) {
        return (gpa_t)(ch->page & 0xfe) << 16 | (gpa_t)ch->current_address << 1;
    }
    return (gpa_t)ch->page << 16 | ch->current_address;
}

/* Units in a row in memory from the current address on: up to the 64 Ki boundary, one if downwards. */
static uint64_t run_length(const struct i8237_channel *ch, uint64_t units)
{
    return ch->mode & MODE_DOWN ? MIN(units, 1) : MIN(units, 0x10000ull - ch->current_address);
}

static void move_run(struct i8237 *dma, const struct i8237_channel *ch, bool words, uint8_t *buffer,
                     uint64_t length)
{
    struct addr_space *mem = dma->device.board->mem;
    gpa_t address = unit_address(ch, words);

    switch (transfer_type(ch)) {
    case I8237_TO_MEMORY:
        dma_write(mem, address, buffer, length);
        break;
    case I8237_FROM_MEMORY:
        if (!dma_read(mem, address, buffer, length)) {
            memset(buffer, 0xff, length);
        }
        break;
    default: /* verify: addresses only */
        break;
    }
}

static void terminal_count_reached(struct i8237_controller *chip, struct i8237_channel *ch, unsigned index)
{
    chip->terminal_counts |= BIT(index);
    chip->software &= ~BIT(index);
    if (ch->mode & MODE_AUTO) {
        ch->current_address = ch->base_address;
        ch->current_count = ch->base_count;
    } else {
        chip->mask |= BIT(index);
    }
}

uint64_t i8237_transfer(struct i8237 *dma, unsigned channel, void *buffer, uint64_t length,
                        enum i8237_direction direction, bool *terminal_count)
{
    struct i8237_controller *chip = &dma->controller[channel >> 2 & 1];
    struct i8237_channel *ch = &dma->channel[channel % I8237_CHANNELS];
    unsigned unit = chip->words ? 2 : 1;
    uint64_t left = ch->current_count + 1ull, moved = 0, units;
    bool ends;

    if (terminal_count) {
        *terminal_count = false;
    }
    if (!i8237_can_transfer(dma, channel, direction)) {
        return 0;
    }
    units = MIN(length / unit, left);
    ends = units == left;
    if (direction == I8237_FROM_MEMORY && transfer_type(ch) == 0) {
        memset(buffer, 0xff, units * unit);
    }
    while (units) {
        uint64_t run = run_length(ch, units);

        move_run(dma, ch, chip->words, (uint8_t *)buffer + moved, run * unit);
        ch->current_address += ch->mode & MODE_DOWN ? -1 : (int)run;
        ch->current_count -= run;
        moved += run * unit;
        units -= run;
    }
    if (ends) {
        terminal_count_reached(chip, ch, channel & 3);
    }
    if (terminal_count) {
        *terminal_count = ends;
    }
    return moved;
}

void i8237_connect(struct i8237 *dma, unsigned channel, void (*ready)(void *opaque), void *opaque)
{
    if (channel < I8237_CHANNELS) {
        dma->channel[channel].ready = ready;
        dma->channel[channel].opaque = opaque;
    }
}

void i8237_request(struct i8237 *dma, unsigned channel, bool level)
{
    struct i8237_controller *chip = &dma->controller[channel >> 2 & 1];
    uint8_t bit = BIT(channel & 3);

    chip->requests = level ? chip->requests | bit : chip->requests & ~bit;
}

/* -- registers ------------------------------------------------------------------------------------------- */

static struct i8237_channel *chip_channel(struct i8237_controller *chip, unsigned index)
{
    return &chip->dma->channel[(chip->words ? 4 : 0) + (index & 3)];
}

/* The guest changed what lets requests through: wake the devices whose requests pass now. */
static void wake_devices(struct i8237_controller *chip)
{
    for (unsigned i = 0; i < 4; i++) {
        struct i8237_channel *ch = chip_channel(chip, i);

        if ((chip->requests & ~chip->mask & BIT(i)) && !(chip->command & COMMAND_DISABLE) && ch->ready) {
            ch->ready(ch->opaque);
        }
    }
}

static void master_clear(struct i8237_controller *chip)
{
    chip->command = 0;
    chip->terminal_counts = 0;
    chip->software = 0;
    chip->mask = 0x0f;
    chip->flip_flop = false;
}

static uint8_t select_bit(uint8_t bits, uint8_t value)
{
    uint8_t bit = BIT(value & 3);

    return value & SELECT_SET ? bits | bit : bits & ~bit;
}

static uint16_t replace_byte(uint16_t word, bool high, uint8_t value)
{
    return high ? (word & 0x00ff) | value << 8 : (word & 0xff00) | value;
}

/* Ports 0..7: base and current register are written together, current is read. */
static void write_channel(struct i8237_controller *chip, unsigned reg, uint8_t value)
{
    struct i8237_channel *ch = chip_channel(chip, reg >> 1);

    if (reg & 1) {
        ch->base_count = replace_byte(ch->base_count, chip->flip_flop, value);
        ch->current_count = replace_byte(ch->current_count, chip->flip_flop, value);
    } else {
        ch->base_address = replace_byte(ch->base_address, chip->flip_flop, value);
        ch->current_address = replace_byte(ch->current_address, chip->flip_flop, value);
    }
    chip->flip_flop = !chip->flip_flop;
}

static uint8_t read_channel(struct i8237_controller *chip, unsigned reg)
{
    struct i8237_channel *ch = chip_channel(chip, reg >> 1);
    uint16_t word = reg & 1 ? ch->current_count : ch->current_address;
    bool high = chip->flip_flop;

    chip->flip_flop = !chip->flip_flop;
    return high ? word >> 8 : word;
}

static void write_control(struct i8237_controller *chip, unsigned reg, uint8_t value)
{
    switch (reg) {
    case 0x8:
        chip->command = value;
        break;
    case 0x9:
        chip->software = select_bit(chip->software, value);
        break;
    case 0xa:
        chip->mask = select_bit(chip->mask, value);
        break;
    case 0xb:
        chip_channel(chip, value)->mode = value & ~3;
        break;
    case 0xc:
        chip->flip_flop = false;
        break;
    case 0xd:
        master_clear(chip);
        break;
    case 0xe:
        chip->mask = 0;
        break;
    default:
        chip->mask = value & 0x0f;
    }
    wake_devices(chip);
}

static void i8237_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct i8237_controller *chip = opaque;
    unsigned reg = chip->words ? offset >> 1 : offset;

    (void)size;
    if (reg < 8) {
        write_channel(chip, reg, value);
    } else {
        write_control(chip, reg, value);
    }
}

static uint64_t i8237_read(void *opaque, uint64_t offset, unsigned size)
{
    struct i8237_controller *chip = opaque;
    unsigned reg = chip->words ? offset >> 1 : offset;
    uint8_t status;

    (void)size;
    if (reg < 8) {
        return read_channel(chip, reg);
    }
    switch (reg) {
    case 0x8:
        status = (chip->requests | chip->software) << 4 | chip->terminal_counts;
        chip->terminal_counts = 0;
        return status;
    case 0xd:
        return 0; /* temporary register: memory-to-memory transfers only */
    case 0xf:
        return 0xf0 | chip->mask;
    default:
        return 0xff;
    }
}

static uint8_t *page_register(struct i8237 *dma, uint64_t offset)
{
    unsigned port = (PAGE_BASE + offset) & 15;

    return page_channel[port] == NO_CHANNEL ? &dma->page_scratch[port]
                                            : &dma->channel[page_channel[port]].page;
}

static uint64_t page_read(void *opaque, uint64_t offset, unsigned size)
{
    (void)size;
    return *page_register(opaque, offset);
}

static void page_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    (void)size;
    *page_register(opaque, offset) = value;
}

static const struct region_ops i8237_port_ops = {.read = i8237_read, .write = i8237_write, .max_size = 1};
static const struct region_ops page_ops = {.read = page_read, .write = page_write, .max_size = 1};

/* -- life ------------------------------------------------------------------------------------------------ */

static void i8237_reset(struct device *device)
{
    struct i8237 *dma = CONTAINER_OF(device, struct i8237, device);

    for (unsigned i = 0; i < 2; i++) {
        master_clear(&dma->controller[i]);
        dma->controller[i].requests = 0;
    }
    for (unsigned i = 0; i < I8237_CHANNELS; i++) {
        struct i8237_channel *ch = &dma->channel[i];

        *ch = (struct i8237_channel){.ready = ch->ready, .opaque = ch->opaque};
    }
    memset(dma->page_scratch, 0, sizeof(dma->page_scratch));
}

static void i8237_fini(struct device *device)
{
    struct i8237 *dma = CONTAINER_OF(device, struct i8237, device);

    addr_space_remove(device->board->io, &dma->controller[0].ports);
    addr_space_remove(device->board->io, &dma->controller[1].ports);
    addr_space_remove(device->board->io, &dma->pages);
    free(dma);
}

static const struct snap_field i8237_controller_fields[] = {
    SNAP_UINT(struct i8237_controller, command),
    SNAP_RANGE(struct i8237_controller, terminal_counts, 0, 0x0f),
    SNAP_RANGE(struct i8237_controller, requests, 0, 0x0f),
    SNAP_RANGE(struct i8237_controller, software, 0, 0x0f),
    SNAP_RANGE(struct i8237_controller, mask, 0, 0x0f),
    SNAP_BOOL(struct i8237_controller, flip_flop),
};

static const struct snap_field i8237_channel_fields[] = {
    SNAP_UINT(struct i8237_channel, base_address),
    SNAP_UINT(struct i8237_channel, base_count),
    SNAP_UINT(struct i8237_channel, current_address),
    SNAP_UINT(struct i8237_channel, current_count),
    SNAP_UINT(struct i8237_channel, mode),
    SNAP_UINT(struct i8237_channel, page),
};

static const struct snap_field i8237_fields[] = {
    SNAP_STRUCTS(struct i8237, controller, 2, i8237_controller_fields),
    SNAP_STRUCTS(struct i8237, channel, I8237_CHANNELS, i8237_channel_fields),
    SNAP_BYTES(struct i8237, page_scratch),
};

static const struct snap_desc i8237_snap = {.name = "i8237", .version = 1, SNAP_FIELDS(i8237_fields)};

static const struct device_ops i8237_ops = {
    .name = "i8237", .reset = i8237_reset, .fini = i8237_fini, .snap = &i8237_snap};

struct i8237 *i8237_create(struct board *board)
{
    struct i8237 *dma = calloc(1, sizeof(*dma));

    if (!dma) {
        return NULL;
    }
    for (unsigned i = 0; i < 2; i++) {
        struct i8237_controller *chip = &dma->controller[i];

        chip->dma = dma;
        chip->words = i == 1;
        region_init_io(&chip->ports, i ? "i8237 words" : "i8237 bytes", i ? 0xc0 : 0x00, i ? 32 : 16,
                       &i8237_port_ops, chip);
        addr_space_add(board->io, &chip->ports);
    }
    region_init_io(&dma->pages, "dma pages", PAGE_BASE, PAGE_COUNT, &page_ops, dma);
    addr_space_add(board->io, &dma->pages);
    device_init(&dma->device, &i8237_ops, board, NULL);
    i8237_reset(&dma->device);
    return dma;
}
