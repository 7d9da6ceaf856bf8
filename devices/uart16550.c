/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * uart16550: 16550A serial port (National Semiconductor PC16550D data sheet).
 *
 *          7      6      5      4      3      2      1      0
 *  0 RBR/THR (DLAB: divisor low)
 *  1 IER [ 0      0      0      0    EDSSI   ELSI  ETBEI  ERBFI ]  (DLAB: divisor high)
 *  2 IIR [ FIFOs enabled  0     0    |   source of interrupt    ]  read
 *    FCR [ trigger 1 4 8 14  .    .    DMA    XRST   RRST  ENABLE]  write
 *  3 LCR [ DLAB  BREAK  STICK  EVEN   PARITY STOP  | word length ]
 *  4 MCR [ 0      0      0    LOOP   OUT2   OUT1   RTS    DTR   ]  OUT2 lets the interrupt through to the PC
 *  5 LSR [ ERR   TEMT   THRE   BI     FE     PE     OE     DR   ]
 *  6 MSR [ DCD    RI    DSR    CTS   dDCD   tERI   dDSR   dCTS  ]
 *  7 SCR
 *
 * Time. Received bytes are taken from the host no faster than the programmed line carries them. Sending is
 * quicker than the line, so that consoles are: a byte goes to the host as it enters the shift register, the
 * shift register is busy for at most TX_CHAR_NS, and what lies in the FIFO then leaves in one go. A driver that
 * polls LSR finds it busy once: looking is as good as waiting. THRE and TEMT still go down and come up in the order
 * a driver expects, THRE's interrupt after an interrupt handler has returned.
 *
 * DEVIATION: that transmit time. DEVIATION: a divisor of 0 counts as 1. Not modelled: parity on the line (a
 * chardev carries bytes), DMA mode, sending a break to the host.
 */
#include "devices/uart16550.h"

#include <stdlib.h>

#define IER_ERBFI     0x01
#define IER_ETBEI     0x02
#define IER_ELSI      0x04
#define IER_EDSSI     0x08
#define IIR_MSI       0x00
#define IIR_NONE      0x01
#define IIR_THRE      0x02
#define IIR_RDA       0x04
#define IIR_RLS       0x06
#define IIR_TIMEOUT   0x0c
#define IIR_FIFOS     0xc0
#define FCR_ENABLE    0x01
#define FCR_RRST      0x02
#define FCR_XRST      0x04
#define FCR_KEPT      0xc9
#define LCR_WLS       0x03
#define LCR_STOP      0x04
#define LCR_PARITY    0x08
#define LCR_BREAK     0x40
#define LCR_DLAB      0x80
#define MCR_DTR       0x01
#define MCR_RTS       0x02
#define MCR_OUT1      0x04
#define MCR_OUT2      0x08
#define MCR_LOOP      0x10
#define LSR_DR        0x01
#define LSR_OE        0x02
#define LSR_PE        0x04
#define LSR_FE        0x08
#define LSR_BI        0x10
#define LSR_THRE      0x20
#define LSR_TEMT      0x40
#define LSR_FIFO_ERR  0x80
#define LSR_CHAR_ERRS (LSR_PE | LSR_FE | LSR_BI)
#define MSR_TERI      0x04
#define MSR_CTS       0x10
#define MSR_DSR       0x20
#define MSR_RI        0x40
#define MSR_DCD       0x80

#define CRYSTAL_HZ  1843200u
#define TX_CHAR_NS  2000u
#define TX_RETRY_NS 1000000u /* the host end takes nothing: try again then */

static uint64_t now_ns(const struct uart16550 *uart)
{
    return clock_now(uart->device.board->clock);
}

/* One character on the line: start bit, data, parity, one or two (with 5 data bits 1 1/2) stop bits. */
static uint64_t char_ns(const struct uart16550 *uart)
{
    unsigned half_bits = 2 + (5 + (uart->lcr & LCR_WLS)) * 2 + (uart->lcr & LCR_PARITY ? 2 : 0) + 2;

    if (uart->lcr & LCR_STOP) {
        half_bits += uart->lcr & LCR_WLS ? 2 : 1;
    }
    return half_bits * (uint64_t)MAX(uart->divisor, 1) * 16 * NS_PER_SEC / (2 * CRYSTAL_HZ);
}

static uint8_t word_mask(const struct uart16550 *uart)
{
    return 0xff >> (3 - (uart->lcr & LCR_WLS));
}

static bool fifos_enabled(const struct uart16550 *uart)
{
    return uart->fcr & FCR_ENABLE;
}

static unsigned capacity(const struct uart16550 *uart)
{
    return fifos_enabled(uart) ? UART16550_FIFO_SIZE : 1;
}

static void fifo_push(struct uart16550_fifo *fifo, uint8_t byte, uint8_t errors)
{
    unsigned tail = (fifo->head + fifo->count) % UART16550_FIFO_SIZE;

    fifo->bytes[tail] = byte;
    fifo->errors[tail] = errors;
    fifo->count++;
}

static void fifo_drop(struct uart16550_fifo *fifo, unsigned n)
{
    fifo->head = (fifo->head + n) % UART16550_FIFO_SIZE;
    fifo->count -= n;
}

static void fifo_clear(struct uart16550_fifo *fifo)
{
    *fifo = (struct uart16550_fifo){.count = 0};
}

/* -- interrupt ------------------------------------------------------------------------------------------- */

static unsigned trigger_level(const struct uart16550 *uart)
{
    static const uint8_t levels[4] = {1, 4, 8, 14};

    return fifos_enabled(uart) ? levels[uart->fcr >> 6] : 1;
}

/* IIR bits 3..0: the enabled source of highest priority. */
static uint8_t interrupt_source(const struct uart16550 *uart)
{
    if ((uart->ier & IER_ELSI) && uart->line_errors) {
        return IIR_RLS;
    }
    if ((uart->ier & IER_ERBFI) && uart->receiver.count >= trigger_level(uart)) {
        return IIR_RDA;
    }
    if ((uart->ier & IER_ERBFI) && uart->timeout_pending) {
        return IIR_TIMEOUT;
    }
    if ((uart->ier & IER_ETBEI) && uart->thre_pending) {
        return IIR_THRE;
    }
    if ((uart->ier & IER_EDSSI) && uart->modem_deltas) {
        return IIR_MSI;
    }
    return IIR_NONE;
}

/* In loop mode the OUT2 pin is inactive, whatever MCR says. */
static void update_irq(struct uart16550 *uart)
{
    bool gate = (uart->mcr & MCR_OUT2) && !(uart->mcr & MCR_LOOP);

    line_set(&uart->irq, gate && interrupt_source(uart) != IIR_NONE);
}

/* -- receiver -------------------------------------------------------------------------------------------- */

/* A byte came or went: the errors of the oldest are visible, and the time-out starts anew. */
static void receiver_changed(struct uart16550 *uart)
{
    struct uart16550_fifo *fifo = &uart->receiver;

    if (fifo->count == 0) {
        timer_disarm(&uart->rx_timeout);
        return;
    }
    uart->line_errors |= fifo->errors[fifo->head];
    fifo->errors[fifo->head] = 0;
    if (fifos_enabled(uart)) {
        timer_arm(&uart->rx_timeout, now_ns(uart) + 4 * char_ns(uart));
    }
}

static void receive_char(struct uart16550 *uart, uint8_t byte, uint8_t errors)
{
    struct uart16550_fifo *fifo = &uart->receiver;

    if (fifo->count >= capacity(uart)) {
        uart->line_errors |= LSR_OE;
        if (!fifos_enabled(uart)) { /* RBR is overwritten; a full FIFO keeps what it has */
            fifo->bytes[fifo->head] = byte & word_mask(uart);
        }
    } else {
        fifo_push(fifo, byte & word_mask(uart), errors);
    }
    receiver_changed(uart);
}

/* Bytes from the host; chardev.receive. */
static size_t host_bytes(void *front, const uint8_t *bytes, size_t n)
{
    struct uart16550 *uart = front;
    size_t taken = 0;

    if (timer_armed(&uart->receive) || (uart->mcr & MCR_LOOP)) {
        return 0;
    }
    while (taken < n && uart->receiver.count < capacity(uart)) {
        receive_char(uart, bytes[taken++], 0);
    }
    if (taken) {
        timer_arm(&uart->receive, now_ns(uart) + taken * char_ns(uart));
        update_irq(uart);
    }
    return taken;
}

static void host_break(void *front)
{
    struct uart16550 *uart = front;

    if (!(uart->mcr & MCR_LOOP)) {
        receive_char(uart, 0, LSR_BI);
        update_irq(uart);
    }
}

static void receive_fire(void *opaque)
{
    struct uart16550 *uart = opaque;

    chardev_accept_input(uart->chardev);
}

static void rx_timeout_fire(void *opaque)
{
    struct uart16550 *uart = opaque;

    uart->timeout_pending = uart->receiver.count > 0;
    update_irq(uart);
}

static uint8_t read_rbr(struct uart16550 *uart)
{
    struct uart16550_fifo *fifo = &uart->receiver;
    bool was_full = fifo->count >= capacity(uart);
    uint8_t byte = fifo->bytes[fifo->head];

    uart->timeout_pending = false;
    if (fifo->count) {
        fifo_drop(fifo, 1);
        receiver_changed(uart);
    }
    update_irq(uart);
    if (was_full) {
        chardev_accept_input(uart->chardev);
    }
    return byte;
}

/* -- transmitter ----------------------------------------------------------------------------------------- */

/* Let the waiting bytes go where they go; returns how many went. */
static unsigned send_bytes(struct uart16550 *uart)
{
    const struct uart16550_fifo *fifo = &uart->transmitter;
    uint8_t bytes[UART16550_FIFO_SIZE];

    for (unsigned i = 0; i < fifo->count && i < ARRAY_LEN(bytes); i++) {
        bytes[i] = fifo->bytes[(fifo->head + i) % UART16550_FIFO_SIZE] & word_mask(uart);
        if (uart->mcr & MCR_LOOP) {
            receive_char(uart, bytes[i], 0);
        }
    }
    if (uart->mcr & MCR_LOOP) {
        return fifo->count;
    }
    return MIN(chardev_write(uart->chardev, bytes, fifo->count), fifo->count);
}

/* The shift register is free: fill it, if there is anything to send. */
static void transmit(struct uart16550 *uart)
{
    unsigned sent;

    if (uart->transmitter.count == 0 || timer_armed(&uart->transmit)) {
        return;
    }
    sent = send_bytes(uart);
    fifo_drop(&uart->transmitter, sent);
    timer_arm(&uart->transmit, now_ns(uart) + (sent ? MIN(char_ns(uart), TX_CHAR_NS) : TX_RETRY_NS));
    uart->thre_pending |= uart->transmitter.count == 0;
    update_irq(uart);
}

static void transmit_fire(void *opaque)
{
    transmit(opaque);
}

/* The host end takes bytes again; chardev.writable. */
static void host_writable(void *front)
{
    struct uart16550 *uart = front;

    if (uart->transmitter.count) {
        timer_disarm(&uart->transmit);
        transmit(uart);
    }
}

static void write_thr(struct uart16550 *uart, uint8_t value)
{
    struct uart16550_fifo *fifo = &uart->transmitter;

    uart->thre_pending = false;
    if (fifo->count < capacity(uart)) {
        fifo_push(fifo, value, 0);
    } else if (!fifos_enabled(uart)) {
        fifo->bytes[fifo->head] = value; /* a full THR is overwritten, a full FIFO takes no more */
    }
    transmit(uart);
    update_irq(uart);
}

/* -- registers ------------------------------------------------------------------------------------------- */

static uint8_t modem_inputs(const struct uart16550 *uart)
{
    if (!(uart->mcr & MCR_LOOP)) {
        return MSR_CTS | MSR_DSR | MSR_DCD;
    }
    return (uart->mcr & MCR_RTS ? MSR_CTS : 0) | (uart->mcr & MCR_DTR ? MSR_DSR : 0) |
           (uart->mcr & MCR_OUT1 ? MSR_RI : 0) | (uart->mcr & MCR_OUT2 ? MSR_DCD : 0);
}

static void write_mcr(struct uart16550 *uart, uint8_t value)
{
    uint8_t before = modem_inputs(uart), changed;
    bool left_loop = (uart->mcr & MCR_LOOP) && !(value & MCR_LOOP);

    uart->mcr = value & 0x1f;
    changed = before ^ modem_inputs(uart);
    /* RI counts when it goes away, the others when they change. */
    uart->modem_deltas |= (changed & (MSR_CTS | MSR_DSR | MSR_DCD)) >> 4;
    if (changed & before & MSR_RI) {
        uart->modem_deltas |= MSR_TERI;
    }
    update_irq(uart);
    if (left_loop) {
        chardev_accept_input(uart->chardev);
    }
}

static void write_ier(struct uart16550 *uart, uint8_t value)
{
    bool enables_thre = (value & IER_ETBEI) && !(uart->ier & IER_ETBEI);

    uart->ier = value & 0x0f;
    if (enables_thre && uart->transmitter.count == 0) {
        uart->thre_pending = true;
    }
    update_irq(uart);
}

static void clear_receiver(struct uart16550 *uart)
{
    fifo_clear(&uart->receiver);
    uart->timeout_pending = false;
    timer_disarm(&uart->rx_timeout);
}

static void write_fcr(struct uart16550 *uart, uint8_t value)
{
    bool switched = (uart->fcr ^ value) & FCR_ENABLE;
    bool full = uart->receiver.count >= capacity(uart);

    if (switched || ((value & FCR_ENABLE) && (value & FCR_RRST))) {
        clear_receiver(uart);
    }
    if (switched || ((value & FCR_ENABLE) && (value & FCR_XRST))) {
        uart->thre_pending |= uart->transmitter.count > 0;
        fifo_clear(&uart->transmitter);
    }
    /* The other bits are only programmed together with ENABLE. */
    uart->fcr = value & FCR_ENABLE ? value & FCR_KEPT : 0;
    update_irq(uart);
    if (full && uart->receiver.count < capacity(uart)) {
        chardev_accept_input(uart->chardev);
    }
}

static void write_lcr(struct uart16550 *uart, uint8_t value)
{
    bool break_begins = (value & LCR_BREAK) && !(uart->lcr & LCR_BREAK);

    uart->lcr = value;
    if (break_begins && (uart->mcr & MCR_LOOP)) {
        receive_char(uart, 0, LSR_BI);
        update_irq(uart);
    }
}

static uint8_t read_iir(struct uart16550 *uart)
{
    uint8_t source = interrupt_source(uart);

    if (source == IIR_THRE) {
        uart->thre_pending = false;
        update_irq(uart);
    }
    return source | (fifos_enabled(uart) ? IIR_FIFOS : 0);
}

static uint8_t read_lsr(struct uart16550 *uart)
{
    const struct uart16550_fifo *fifo = &uart->receiver;
    bool empty = uart->transmitter.count == 0, error_inside = uart->line_errors & LSR_CHAR_ERRS;
    uint8_t value = uart->line_errors | (fifo->count ? LSR_DR : 0) | (empty ? LSR_THRE : 0) |
                    (empty && !timer_armed(&uart->transmit) ? LSR_TEMT : 0);

    for (unsigned i = 0; i < fifo->count; i++) {
        error_inside |= fifo->errors[(fifo->head + i) % UART16550_FIFO_SIZE] != 0;
    }
    if (empty) {
        timer_disarm(&uart->transmit);
    }
    uart->line_errors = 0;
    update_irq(uart);
    return value | (error_inside && fifos_enabled(uart) ? LSR_FIFO_ERR : 0);
}

static uint8_t read_msr(struct uart16550 *uart)
{
    uint8_t value = modem_inputs(uart) | uart->modem_deltas;

    uart->modem_deltas = 0;
    update_irq(uart);
    return value;
}

static uint64_t uart16550_read(void *opaque, uint64_t offset, unsigned size)
{
    struct uart16550 *uart = opaque;
    bool dlab = uart->lcr & LCR_DLAB;

    (void)size;
    switch (offset) {
    case 0:
        return dlab ? uart->divisor & 0xff : read_rbr(uart);
    case 1:
        return dlab ? uart->divisor >> 8 : uart->ier;
    case 2:
        return read_iir(uart);
    case 3:
        return uart->lcr;
    case 4:
        return uart->mcr;
    case 5:
        return read_lsr(uart);
    case 6:
        return read_msr(uart);
    default:
        return uart->scr;
    }
}

static void uart16550_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct uart16550 *uart = opaque;
    bool dlab = uart->lcr & LCR_DLAB;

    (void)size;
    switch (offset) {
    case 0:
        if (dlab) {
            uart->divisor = (uart->divisor & 0xff00) | value;
        } else {
            write_thr(uart, value);
        }
        break;
    case 1:
        if (dlab) {
            uart->divisor = (uart->divisor & 0x00ff) | value << 8;
        } else {
            write_ier(uart, value);
        }
        break;
    case 2:
        write_fcr(uart, value);
        break;
    case 3:
        write_lcr(uart, value);
        break;
    case 4:
        write_mcr(uart, value);
        break;
    case 7:
        uart->scr = value;
        break;
    default: /* LSR and MSR are for reading */
        break;
    }
}

static const struct region_ops uart16550_port_ops = {
    .read = uart16550_read, .write = uart16550_write, .max_size = 1};

/* -- life ------------------------------------------------------------------------------------------------ */

static void uart16550_reset(struct device *device)
{
    struct uart16550 *uart = CONTAINER_OF(device, struct uart16550, device);

    clear_receiver(uart);
    fifo_clear(&uart->transmitter);
    timer_disarm(&uart->transmit);
    timer_disarm(&uart->receive);
    uart->ier = uart->fcr = uart->lcr = uart->mcr = uart->scr = 0;
    uart->divisor = 12; /* undefined on the chip; 9600 baud here */
    uart->line_errors = 0;
    uart->modem_deltas = 0;
    uart->thre_pending = false;
    update_irq(uart);
    chardev_accept_input(uart->chardev);
}

static void uart16550_fini(struct device *device)
{
    struct uart16550 *uart = CONTAINER_OF(device, struct uart16550, device);

    timer_disarm(&uart->transmit);
    timer_disarm(&uart->receive);
    timer_disarm(&uart->rx_timeout);
    addr_space_remove(device->board->io, &uart->ports);
    if (uart->chardev) {
        uart->chardev->receive = NULL;
        uart->chardev->writable = NULL;
        uart->chardev->send_break = NULL;
        uart->chardev->front = NULL;
    }
    free(uart);
}

static const struct snap_field uart16550_fifo_fields[] = {
    SNAP_BYTES(struct uart16550_fifo, bytes),
    SNAP_RANGES(struct uart16550_fifo, errors, UART16550_FIFO_SIZE, 0, LSR_CHAR_ERRS),
    SNAP_RANGE(struct uart16550_fifo, head, 0, UART16550_FIFO_SIZE - 1),
    SNAP_RANGE(struct uart16550_fifo, count, 0, UART16550_FIFO_SIZE),
};

static const struct snap_field uart16550_fields[] = {
    SNAP_STRUCTS(struct uart16550, receiver, 1, uart16550_fifo_fields),
    SNAP_STRUCTS(struct uart16550, transmitter, 1, uart16550_fifo_fields),
    SNAP_RANGE(struct uart16550, ier, 0, 0x0f),
    SNAP_UINT(struct uart16550, fcr),
    SNAP_UINT(struct uart16550, lcr),
    SNAP_RANGE(struct uart16550, mcr, 0, 0x1f),
    SNAP_UINT(struct uart16550, scr),
    SNAP_UINT(struct uart16550, divisor),
    SNAP_RANGE(struct uart16550, line_errors, 0, LSR_CHAR_ERRS | LSR_OE),
    SNAP_RANGE(struct uart16550, modem_deltas, 0, 0x0f),
    SNAP_BOOL(struct uart16550, thre_pending),
    SNAP_BOOL(struct uart16550, timeout_pending),
    SNAP_TIMER(struct uart16550, transmit),
    SNAP_TIMER(struct uart16550, receive),
    SNAP_TIMER(struct uart16550, rx_timeout),
};

static const struct snap_desc uart16550_snap = {
    .name = "uart16550", .version = 1, SNAP_FIELDS(uart16550_fields)};

static const struct device_ops uart16550_ops = {
    .name = "uart16550", .reset = uart16550_reset, .fini = uart16550_fini, .snap = &uart16550_snap};

struct uart16550 *uart16550_create(struct board *board, const char *id, uint16_t base, struct line irq,
                                   struct chardev *chardev)
{
    struct uart16550 *uart = calloc(1, sizeof(*uart));

    if (!uart) {
        return NULL;
    }
    uart->irq = irq;
    uart->chardev = chardev;
    timer_init(&uart->transmit, board->clock, "uart16550 transmit", transmit_fire, uart);
    timer_init(&uart->receive, board->clock, "uart16550 receive", receive_fire, uart);
    timer_init(&uart->rx_timeout, board->clock, "uart16550 time-out", rx_timeout_fire, uart);
    region_init_io(&uart->ports, id, base, 8, &uart16550_port_ops, uart);
    addr_space_add(board->io, &uart->ports);
    device_init(&uart->device, &uart16550_ops, board, id);
    uart16550_reset(&uart->device);
    if (chardev) {
        chardev->front = uart;
        chardev->receive = host_bytes;
        chardev->writable = host_writable;
        chardev->send_break = host_break;
        chardev_accept_input(chardev);
    }
    return uart;
}
