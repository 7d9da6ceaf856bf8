/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * uart16550: 16550A serial port.
 *
 * The host end is a chardev (base/chardev.h); without one, output vanishes and nothing arrives. The modem
 * inputs CTS, DSR and DCD are always asserted, as by a null-modem cable to a machine that is on.
 */
#ifndef DEVICES_UART16550_H
#define DEVICES_UART16550_H

#include "base/chardev.h"
#include "devices/device.h"

#define UART16550_FIFO_SIZE 16

struct uart16550_fifo {
    uint8_t bytes[UART16550_FIFO_SIZE];
    uint8_t errors[UART16550_FIFO_SIZE]; /* receiver: LSR bits PE, FE, BI that came with the byte */
    uint8_t head;                        /* index of the oldest, 0..15 */
    uint8_t count;                       /* 0..16; without FIFOs 0..1 */
};

struct uart16550 {
    struct device device;
    struct line irq;
    struct chardev *chardev; /* not owned; may be NULL */
    struct region ports;

    struct uart16550_fifo receiver, transmitter;
    uint8_t ier, fcr, lcr, mcr, scr;
    uint16_t divisor;
    uint8_t line_errors;   /* LSR bits OE, PE, FE, BI that have not been read */
    uint8_t modem_deltas;  /* MSR bits 3..0 */
    bool thre_pending;     /* THR ran empty and nobody has been told */
    bool timeout_pending;  /* bytes below the trigger level have waited for 4 character times */
    struct timer transmit; /* the shift register is busy until then */
    struct timer receive;  /* the line is busy until then: the next byte cannot have arrived */
    struct timer rx_timeout;
};

/* `id` ("serial0") must outlive the device. Eight ports at `base`. NULL when the host is out of memory. */
struct uart16550 *uart16550_create(struct board *board, const char *id, uint16_t base, struct line irq,
                                   struct chardev *chardev);

#endif
