/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * i8237A DMA controllers: the PC's pair and its page registers.
 *
 *   channels 0..3   bytes   page, 16-bit address           within 64 KiB
 *   channel  4      the cascade that lets 0..3 through
 *   channels 5..7   words   page, 16-bit word address      within 128 KiB
 *
 * A device raises DREQ with i8237_request(), moves bytes with i8237_transfer() while i8237_can_transfer(),
 * and is told by `ready` when the guest has programmed a channel whose DREQ is up.
 */
#ifndef DEVICES_I8237_H
#define DEVICES_I8237_H

#include "devices/device.h"

#define I8237_CHANNELS 8

enum i8237_direction {
    I8237_TO_MEMORY = 1,   /* write transfer */
    I8237_FROM_MEMORY = 2, /* read transfer */
};

struct i8237_channel {
    uint16_t base_address, base_count;       /* as programmed */
    uint16_t current_address, current_count; /* in bytes, or words; a count of n moves n + 1 */
    uint8_t mode;
    uint8_t page; /* address bits 23..16; words: bit 0 is not used */
    /* Wiring. */
    void (*ready)(void *opaque);
    void *opaque;
};

struct i8237_controller {
    struct i8237 *dma;
    struct region ports;
    bool words;

    uint8_t command;
    uint8_t terminal_counts; /* status bits 3..0 */
    uint8_t requests;        /* DREQ inputs, bits 3..0 */
    uint8_t software;        /* request register */
    uint8_t mask;
    bool flip_flop; /* the next byte of an address or count is the high one */
};

struct i8237 {
    struct device device;
    struct region pages;
    struct i8237_controller controller[2];
    struct i8237_channel channel[I8237_CHANNELS];
    uint8_t page_scratch[16]; /* page ports without a channel: 84h..86h, 88h, 8ch..8eh */
};

/* At 00h..0fh, c0h..dfh and 81h..8fh. NULL when the host is out of memory. */
struct i8237 *i8237_create(struct board *board);

/* Who is on this channel: called after port writes that let a raised request through. */
void i8237_connect(struct i8237 *dma, unsigned channel, void (*ready)(void *opaque), void *opaque);
/* Level of the channel's DREQ input. */
void i8237_request(struct i8237 *dma, unsigned channel, bool level);
/* Is the channel programmed for this direction (or to verify), enabled and not masked? */
bool i8237_can_transfer(const struct i8237 *dma, unsigned channel, enum i8237_direction direction);

/*
 * Move up to `length` bytes between buffer and memory. Returns how many were moved: fewer at terminal count,
 * 0 when the channel cannot. Memory that is not there reads as FFh and takes nothing. *terminal_count (may be
 * NULL) tells whether the count ran out.
 */
uint64_t i8237_transfer(struct i8237 *dma, unsigned channel, void *buffer, uint64_t length,
                        enum i8237_direction direction, bool *terminal_count);

#endif
