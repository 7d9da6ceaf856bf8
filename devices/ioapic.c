/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * 82093AA I/O APIC.
 *
 * Source: Intel 82093AA data sheet, "I/O redirection table registers".
 *
 *   63     56|55     17| 16 |  15   |   14      |   13   |  12    | 11      |10    8|7      0
 *   destination   -    mask  trigger  remote IRR  polarity status    logical    mode   vector
 *
 * Edge: a message when the input rises, unless masked then; masked edges are lost. Level: a message whenever the
 * input is asserted, the entry is open and no earlier message is in service (remote IRR), which an EOI ends.
 *
 * Not modelled: see ioapic.h.
 */
#include "devices/ioapic.h"

#include <stdlib.h>

enum { REG_ID = 0x00, REG_VERSION = 0x01, REG_ARBITRATION = 0x02, REG_REDIRECTION = 0x10 };

#define OFFSET_IOREGSEL 0x00u
#define OFFSET_IOWIN    0x10u
#define VERSION         (0x11u | (IOAPIC_PINS - 1) << 16)
#define ID_MASK         0x0fu
#define RTE_LOGICAL     BIT(11)
#define RTE_REMOTE_IRR  BIT(14)
#define RTE_LEVEL       BIT(15)
#define RTE_MASKED      BIT(16)
#define RTE_WRITABLE    (BITS(63, 56) | BITS(16, 15) | BIT(13) | BITS(11, 0))
#define PRIORITY_APIC   99 /* in front of RAM and PCI, behind the processor's own APIC */

static int ioapic_post_load(void *object, struct error *error);

static const struct snap_field ioapic_fields[] = {
    SNAP_UINT(struct ioapic, select),
    SNAP_RANGE(struct ioapic, id, 0, ID_MASK),
    SNAP_UINTS(struct ioapic, redirection, IOAPIC_PINS),
    SNAP_BOOLS(struct ioapic, input, IOAPIC_PINS),
};

static const struct snap_desc ioapic_snap = {
    .name = "ioapic", .version = 1, SNAP_FIELDS(ioapic_fields), .post_load = ioapic_post_load};

static bool send_message(struct ioapic *ioapic, unsigned pin)
{
    uint64_t entry = ioapic->redirection[pin];
    return ioapic->wiring.deliver &&
           ioapic->wiring.deliver(ioapic->wiring.opaque, (uint8_t)(entry >> 56), (entry & RTE_LOGICAL) != 0,
                                  (uint8_t)entry, (uint8_t)bits_get(entry, 10, 8), (entry & RTE_LEVEL) != 0);
}

/* NOTE: a message that nobody accepts leaves remote IRR clear; the input is served again at the next occasion. */
static void serve_level(struct ioapic *ioapic, unsigned pin)
{
    uint64_t *entry = &ioapic->redirection[pin];
    if (ioapic->input[pin] && (*entry & RTE_LEVEL) && !(*entry & (RTE_MASKED | RTE_REMOTE_IRR)) &&
        send_message(ioapic, pin)) {
        *entry |= RTE_REMOTE_IRR;
    }
}

static void set_input(void *opaque, unsigned pin, bool level)
{
    struct ioapic *ioapic = opaque;
    bool rises = level && !ioapic->input[pin];

    ioapic->input[pin] = level;
    if (rises && !(ioapic->redirection[pin] & (RTE_LEVEL | RTE_MASKED))) {
        send_message(ioapic, pin);
    }
    serve_level(ioapic, pin);
}

struct line ioapic_input(struct ioapic *ioapic, unsigned pin)
{
    if (pin >= IOAPIC_PINS) {
        return (struct line){0};
    }
    return (struct line){.set = set_input, .opaque = ioapic, .number = pin};
}

void ioapic_eoi(struct ioapic *ioapic, uint8_t vector)
{
    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++) {
        uint64_t *entry = &ioapic->redirection[pin];
        if ((*entry & RTE_REMOTE_IRR) && (uint8_t)*entry == vector) {
            *entry &= ~RTE_REMOTE_IRR;
            serve_level(ioapic, pin);
        }
    }
}

/* NOTE: turning an entry to edge clears remote IRR; Linux ends a stuck level interrupt that way. */
static void write_redirection(struct ioapic *ioapic, unsigned index, uint32_t value)
{
    unsigned pin = index / 2, shift = index % 2 * 32;
    uint64_t lane = RTE_WRITABLE & (uint64_t)UINT32_MAX << shift;
    uint64_t *entry = &ioapic->redirection[pin];

    *entry = (*entry & ~lane) | ((uint64_t)value << shift & lane);
    if (!(*entry & RTE_LEVEL)) {
        *entry &= ~RTE_REMOTE_IRR;
    }
    serve_level(ioapic, pin);
}

static uint32_t read_window(const struct ioapic *ioapic)
{
    unsigned index = ioapic->select - REG_REDIRECTION;
    switch (ioapic->select) {
    case REG_ID:
    case REG_ARBITRATION:
        return (uint32_t)ioapic->id << 24;
    case REG_VERSION:
        return VERSION;
    default:
        if (ioapic->select < REG_REDIRECTION || index >= 2 * IOAPIC_PINS) {
            return 0;
        }
        return (uint32_t)(ioapic->redirection[index / 2] >> (index % 2 * 32));
    }
}

static void write_window(struct ioapic *ioapic, uint32_t value)
{
    unsigned index = ioapic->select - REG_REDIRECTION;
    if (ioapic->select == REG_ID) {
        ioapic->id = (value >> 24) & ID_MASK;
    } else if (ioapic->select >= REG_REDIRECTION && index < 2 * IOAPIC_PINS) {
        write_redirection(ioapic, index, value);
    }
}

static uint64_t ioapic_read(void *opaque, uint64_t offset, unsigned size)
{
    const struct ioapic *ioapic = opaque;
    (void)size;
    switch (offset) {
    case OFFSET_IOREGSEL:
        return ioapic->select;
    case OFFSET_IOWIN:
        return read_window(ioapic);
    default:
        return 0;
    }
}

static void ioapic_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct ioapic *ioapic = opaque;
    (void)size;
    if (offset == OFFSET_IOREGSEL) {
        ioapic->select = (uint8_t)value;
    } else if (offset == OFFSET_IOWIN) {
        write_window(ioapic, (uint32_t)value);
    }
}

static const struct region_ops ioapic_region_ops = {
    .read = ioapic_read, .write = ioapic_write, .min_size = 4, .max_size = 4};

static int ioapic_post_load(void *object, struct error *error)
{
    struct ioapic *ioapic = object;
    (void)error;
    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++) {
        ioapic->redirection[pin] &= RTE_WRITABLE | RTE_REMOTE_IRR;
    }
    return 0;
}

/* The inputs are what others drive; a reset does not change them. */
static void ioapic_reset(struct device *device)
{
    struct ioapic *ioapic = CONTAINER_OF(device, struct ioapic, device);
    ioapic->select = 0;
    ioapic->id = 0;
    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++) {
        ioapic->redirection[pin] = RTE_MASKED;
    }
}

static void ioapic_fini(struct device *device)
{
    struct ioapic *ioapic = CONTAINER_OF(device, struct ioapic, device);
    addr_space_remove(device->board->mem, &ioapic->region);
    free(ioapic);
}

static const struct device_ops ioapic_ops = {
    .name = "ioapic",
    .reset = ioapic_reset,
    .fini = ioapic_fini,
    .snap = &ioapic_snap,
};

struct ioapic *ioapic_create(struct board *board, const struct ioapic_wiring *wiring)
{
    struct ioapic *ioapic = calloc(1, sizeof(*ioapic));
    if (!ioapic) {
        return NULL;
    }
    ioapic->wiring = *wiring;
    device_init(&ioapic->device, &ioapic_ops, board, NULL);
    region_init_io(&ioapic->region, "ioapic", IOAPIC_BASE, IOAPIC_SIZE, &ioapic_region_ops, ioapic);
    ioapic->region.priority = PRIORITY_APIC;
    addr_space_add(board->mem, &ioapic->region);
    ioapic_reset(&ioapic->device);
    return ioapic;
}
