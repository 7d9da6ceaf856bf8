/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * uart16550: registers, interrupts and their order, FIFOs, time-out, loop mode, pacing.
 */
#include "devices/uart16550.h"

#include <criterion/criterion.h>
#include <stdlib.h>

#include "tests/device/port_fuzz.h"

#define COM1 0x3f8
#define IRQ4 0      /* fake line */
#define CHAR 86805u /* ns for ten bits at 115200 baud */

enum { RBR, IER, IIR, LCR, MCR, LSR, MSR, SCR, THR = RBR, FCR = IIR, DLL = RBR, DLM = IER };

/* A host end that remembers what it was sent. */
struct wire {
    struct chardev chardev; /* first */
    uint8_t sent[64];
    size_t length;
    size_t limit; /* takes no more than this many in all */
    unsigned accepts;
};

struct bench {
    struct fake_board *fb;
    struct uart16550 *uart;
    struct wire *wire;
};

static size_t wire_write(struct chardev *chardev, const uint8_t *bytes, size_t n)
{
    struct wire *wire = (struct wire *)chardev;
    size_t taken = MIN(n, wire->limit - wire->length);

    memcpy(wire->sent + wire->length, bytes, taken);
    wire->length += taken;
    return taken;
}

static void wire_accept_input(struct chardev *chardev)
{
    ((struct wire *)chardev)->accepts++;
}

static const struct chardev_ops wire_ops = {.write = wire_write, .accept_input = wire_accept_input};

static struct uart16550 *attach(struct fake_board *fb)
{
    struct wire *wire = calloc(1, sizeof(*wire));

    cr_assert_not_null(wire);
    wire->chardev.ops = &wire_ops;
    wire->limit = sizeof(wire->sent);
    fb->test_data = wire;
    return uart16550_create(&fb->board, "serial0", COM1, fake_line(fb, IRQ4), &wire->chardev);
}

static struct bench bench_create(void)
{
    struct bench b = {.fb = fake_board_create()};

    b.uart = attach(b.fb);
    cr_assert_not_null(b.uart);
    b.wire = b.fb->test_data;
    return b;
}

static uint8_t in(struct bench *b, unsigned reg)
{
    return fake_inb(b->fb, COM1 + reg);
}

static void out(struct bench *b, unsigned reg, uint8_t value)
{
    fake_outb(b->fb, COM1 + reg, value);
}

/* 115200 8N1, FIFOs with a trigger level of 8, interrupts let through. */
static struct bench bench_configured(void)
{
    struct bench b = bench_create();

    out(&b, LCR, 0x83);
    out(&b, DLL, 1);
    out(&b, DLM, 0);
    out(&b, LCR, 0x03);
    out(&b, FCR, 0x87);
    out(&b, MCR, 0x0b);
    return b;
}

static size_t host_sends(struct bench *b, const char *text)
{
    return b->wire->chardev.receive(b->wire->chardev.front, (const uint8_t *)text, strlen(text));
}

static bool irq(struct bench *b)
{
    return b->fb->lines[IRQ4].level;
}

Test(uart16550, registers_after_reset)
{
    struct bench b = bench_create();

    cr_assert_eq(in(&b, IER), 0x00);
    cr_assert_eq(in(&b, IIR), 0x01);
    cr_assert_eq(in(&b, LCR), 0x00);
    cr_assert_eq(in(&b, MCR), 0x00);
    cr_assert_eq(in(&b, LSR), 0x60);
    cr_assert_eq(in(&b, MSR), 0xb0);
    fake_board_destroy(b.fb);
}

Test(uart16550, writable_bits_are_what_a_16550a_has)
{
    struct bench b = bench_create();

    out(&b, SCR, 0xa5);
    out(&b, IER, 0xff);
    out(&b, MCR, 0xff);
    out(&b, LSR, 0xff);
    cr_assert_eq(in(&b, SCR), 0xa5);
    cr_assert_eq(in(&b, IER), 0x0f);
    cr_assert_eq(in(&b, MCR), 0x1f);
    out(&b, IER, 0);
    out(&b, MCR, 0);
    out(&b, FCR, 0x01);
    cr_assert_eq(in(&b, IIR) & 0xc0, 0xc0, "this is how a driver knows a 16550A");
    out(&b, FCR, 0x00);
    cr_assert_eq(in(&b, IIR) & 0xc0, 0x00);
    out(&b, LCR, 0x80);
    out(&b, DLL, 0x34);
    out(&b, DLM, 0x12);
    cr_assert_eq(in(&b, DLL), 0x34);
    cr_assert_eq(in(&b, DLM), 0x12);
    fake_board_destroy(b.fb);
}

Test(uart16550, sends_bytes_in_order)
{
    struct bench b = bench_configured();

    for (unsigned i = 0; i < 16; i++) {
        out(&b, THR, 'a' + i);
    }
    cr_assert_eq(b.wire->length, 1, "the first is in the shift register");
    cr_assert_eq(in(&b, LSR), 0x00);
    fake_step(b.fb, 10000);
    cr_assert_eq(in(&b, LSR), 0x60);
    cr_assert_eq(b.wire->length, 16);
    cr_assert_arr_eq(b.wire->sent, "abcdefghijklmnop", 16);
    fake_board_destroy(b.fb);
}

Test(uart16550, a_driver_that_polls_finds_the_transmitter_busy_once)
{
    struct bench b = bench_configured();

    for (unsigned i = 0; i < 5; i++) {
        out(&b, THR, 'a' + i);
        cr_assert_eq(in(&b, LSR), 0x20, "TEMT is down, THRE up: the byte is in the shift register");
        cr_assert_eq(in(&b, LSR), 0x60, "and out of it, though no time has passed");
    }
    cr_assert_arr_eq(b.wire->sent, "abcde", 5);
    fake_board_destroy(b.fb);
}

Test(uart16550, without_fifos_thr_holds_one_byte)
{
    struct bench b = bench_configured();

    out(&b, FCR, 0x00);
    out(&b, THR, 'a'); /* to the shift register */
    out(&b, THR, 'b');
    cr_assert_eq(in(&b, LSR), 0x00);
    out(&b, THR, 'c'); /* overwrites b */
    fake_step(b.fb, 10000);
    cr_assert_eq(b.wire->length, 2);
    cr_assert_arr_eq(b.wire->sent, "ac", 2);
    fake_board_destroy(b.fb);
}

Test(uart16550, thre_interrupt_comes_when_enabled_and_when_thr_runs_empty)
{
    struct bench b = bench_configured();

    out(&b, IER, 0x02);
    cr_assert(irq(&b), "THR is empty already");
    cr_assert_eq(in(&b, IIR), 0xc2);
    cr_assert_not(irq(&b), "reading IIR acknowledges");
    cr_assert_eq(in(&b, IIR), 0xc1);
    out(&b, THR, 'x');
    out(&b, THR, 'y');
    cr_assert_not(irq(&b));
    fake_step(b.fb, 10000);
    cr_assert(irq(&b));
    out(&b, IER, 0x02);
    cr_assert_eq(in(&b, IIR), 0xc2);
    out(&b, IER, 0x02);
    cr_assert_not(irq(&b), "writing the same enable again is no event");
    fake_board_destroy(b.fb);
}

Test(uart16550, a_host_that_takes_nothing_keeps_the_transmitter_busy)
{
    struct bench b = bench_configured();

    b.wire->limit = 1;
    for (unsigned i = 0; i < 40; i++) {
        out(&b, THR, 'a' + i);
    }
    fake_step(b.fb, NS_PER_SEC);
    cr_assert_eq(in(&b, LSR), 0x00);
    cr_assert_eq(b.wire->length, 1);
    b.wire->limit = sizeof(b.wire->sent);
    b.wire->chardev.writable(b.wire->chardev.front);
    cr_assert_eq(b.wire->length, 17, "what the FIFO held; the rest was lost");
    cr_assert_arr_eq(b.wire->sent, "abcdefghijklmnopq", 17);
    fake_step(b.fb, 10000);
    cr_assert_eq(in(&b, LSR), 0x60);
    fake_board_destroy(b.fb);
}

Test(uart16550, receives_with_trigger_level_and_timeout)
{
    struct bench b = bench_configured();

    out(&b, IER, 0x01);
    cr_assert_eq(host_sends(&b, "hello"), 5);
    cr_assert_eq(in(&b, LSR), 0x61);
    cr_assert_not(irq(&b), "below the trigger level");
    fake_step(b.fb, 4 * CHAR - 100);
    cr_assert_not(irq(&b));
    fake_step(b.fb, 200);
    cr_assert(irq(&b));
    cr_assert_eq(in(&b, IIR), 0xcc);
    cr_assert_eq(in(&b, RBR), 'h');
    cr_assert_not(irq(&b), "reading acknowledges the time-out");
    fake_step(b.fb, CHAR);
    cr_assert_eq(host_sends(&b, "1234"), 4);
    cr_assert(irq(&b));
    cr_assert_eq(in(&b, IIR), 0xc4);
    cr_assert_eq(in(&b, RBR), 'e');
    cr_assert_not(irq(&b));
    fake_board_destroy(b.fb);
}

Test(uart16550, receive_is_paced_by_the_baud_rate)
{
    struct bench b = bench_configured();

    cr_assert_eq(host_sends(&b, "0123456789abcdefXYZ"), 16);
    cr_assert_eq(host_sends(&b, "XYZ"), 0);
    in(&b, RBR);
    b.wire->accepts = 0;
    cr_assert_eq(host_sends(&b, "XYZ"), 0, "there is room, but the line is still busy");
    fake_step(b.fb, 16 * CHAR + 100);
    cr_assert_eq(b.wire->accepts, 1);
    cr_assert_eq(host_sends(&b, "XYZ"), 1);
    for (unsigned i = 1; i < 16; i++) {
        cr_assert_eq(in(&b, RBR), "0123456789abcdef"[i]);
    }
    cr_assert_eq(in(&b, RBR), 'X');
    cr_assert_eq(in(&b, LSR), 0x60);
    fake_board_destroy(b.fb);
}

Test(uart16550, a_full_receiver_asks_for_more_when_read)
{
    struct bench b = bench_configured();

    out(&b, FCR, 0x00);
    cr_assert_eq(host_sends(&b, "ab"), 1);
    fake_step(b.fb, 2 * CHAR);
    cr_assert_eq(host_sends(&b, "b"), 0);
    b.wire->accepts = 0;
    cr_assert_eq(in(&b, RBR), 'a');
    cr_assert_eq(b.wire->accepts, 1);
    cr_assert_eq(host_sends(&b, "b"), 1);
    fake_board_destroy(b.fb);
}

Test(uart16550, interrupts_have_priorities)
{
    struct bench b = bench_configured();

    out(&b, IER, 0x0f);
    out(&b, MCR, 0x1b);
    out(&b, MCR, 0x10); /* loop mode, CTS, DSR and DCD fall */
    out(&b, MCR, 0x0b);
    b.wire->chardev.send_break(b.wire->chardev.front);
    host_sends(&b, "12345678");
    cr_assert(irq(&b));
    cr_assert_eq(in(&b, IIR), 0xc6, "receiver line status");
    cr_assert_eq(in(&b, LSR), 0xf1);
    cr_assert_eq(in(&b, IIR), 0xc4, "received data");
    for (unsigned i = 0; i < 2; i++) {
        in(&b, RBR);
    }
    cr_assert_eq(in(&b, IIR), 0xc2, "THR empty");
    cr_assert_eq(in(&b, IIR), 0xc0, "modem status");
    cr_assert_eq(in(&b, MSR), 0xbb);
    cr_assert_eq(in(&b, IIR), 0xc1);
    cr_assert_not(irq(&b));
    fake_board_destroy(b.fb);
}

Test(uart16550, out2_gates_the_interrupt)
{
    struct bench b = bench_configured();

    out(&b, MCR, 0x03);
    out(&b, IER, 0x02);
    cr_assert_not(irq(&b));
    out(&b, MCR, 0x0b);
    cr_assert(irq(&b));
    out(&b, MCR, 0x1b);
    cr_assert_not(irq(&b), "the pin is inactive in loop mode");
    fake_board_destroy(b.fb);
}

Test(uart16550, loop_mode_connects_outputs_to_inputs)
{
    static const struct {
        uint8_t mcr, msr;
    } pairs[] = {{0x11, 0x20}, {0x12, 0x10}, {0x14, 0x40}, {0x18, 0x80}, {0x10, 0x00}};
    struct bench b = bench_configured();

    for (unsigned i = 0; i < ARRAY_LEN(pairs); i++) {
        out(&b, MCR, pairs[i].mcr);
        in(&b, MSR);
        cr_assert_eq(in(&b, MSR), pairs[i].msr);
    }
    out(&b, MCR, 0x14);
    in(&b, MSR);
    out(&b, MCR, 0x10);
    cr_assert_eq(in(&b, MSR), 0x04, "RI tells when it goes away");
    cr_assert_eq(host_sends(&b, "x"), 0, "SIN is disconnected");
    out(&b, THR, 0x5a);
    cr_assert_eq(in(&b, LSR) & 0x01, 0x01);
    cr_assert_eq(in(&b, RBR), 0x5a);
    cr_assert_eq(b.wire->length, 0);
    fake_board_destroy(b.fb);
}

Test(uart16550, overrun_keeps_the_fifo_and_overwrites_rbr)
{
    struct bench b = bench_configured();

    out(&b, MCR, 0x10);
    for (unsigned i = 0; i < 20; i++) {
        out(&b, THR, i);
        fake_step(b.fb, 10000);
    }
    cr_assert_eq(in(&b, LSR), 0x63);
    cr_assert_eq(in(&b, LSR), 0x61, "reading clears the error");
    for (unsigned i = 0; i < 16; i++) {
        cr_assert_eq(in(&b, RBR), i);
    }
    cr_assert_eq(in(&b, LSR), 0x60);
    out(&b, FCR, 0x00);
    out(&b, THR, 1);
    fake_step(b.fb, 10000);
    out(&b, THR, 2);
    cr_assert_eq(in(&b, LSR) & 0x03, 0x03);
    cr_assert_eq(in(&b, RBR), 2);
    fake_board_destroy(b.fb);
}

Test(uart16550, an_error_shows_when_its_byte_is_the_oldest)
{
    struct bench b = bench_configured();

    host_sends(&b, "a");
    b.wire->chardev.send_break(b.wire->chardev.front);
    cr_assert_eq(in(&b, LSR), 0xe1, "an error inside the FIFO");
    cr_assert_eq(in(&b, RBR), 'a');
    cr_assert_eq(in(&b, LSR), 0xf1);
    cr_assert_eq(in(&b, LSR), 0x61);
    cr_assert_eq(in(&b, RBR), 0);
    fake_board_destroy(b.fb);
}

Test(uart16550, words_have_their_length)
{
    struct bench b = bench_configured();

    out(&b, LCR, 0x00); /* five bits */
    host_sends(&b, "\xff");
    cr_assert_eq(in(&b, RBR), 0x1f);
    out(&b, THR, 0xff);
    cr_assert_eq(b.wire->sent[0], 0x1f);
    fake_board_destroy(b.fb);
}

Test(uart16550, fifo_resets_empty_them)
{
    struct bench b = bench_configured();

    host_sends(&b, "abc");
    out(&b, FCR, 0x83);
    cr_assert_eq(in(&b, LSR), 0x60);
    b.wire->limit = 0;
    out(&b, THR, 'x');
    out(&b, FCR, 0x85);
    cr_assert_eq(in(&b, LSR) & 0x20, 0x20);
    fake_board_destroy(b.fb);
}

Test(uart16550, divisor_zero_and_no_host_end_are_safe)
{
    struct fake_board *fb = fake_board_create();

    cr_assert_not_null(uart16550_create(&fb->board, "serial1", 0x2f8, fake_line(fb, IRQ4), NULL));
    fake_outb(fb, 0x2f8 + LCR, 0x80);
    fake_outw(fb, 0x2f8 + DLL, 0);
    fake_outb(fb, 0x2f8 + LCR, 0x00);
    fake_outb(fb, 0x2f8 + THR, 'x');
    fake_step(fb, 1000000);
    cr_assert_eq(fake_inb(fb, 0x2f8 + LSR), 0x60);
    fake_board_destroy(fb);
}

/* A host end for the fuzzer: takes as many at a time as the last poke said. */
static size_t sink_write(struct chardev *chardev, const uint8_t *bytes, size_t n)
{
    struct wire *wire = (struct wire *)chardev;

    memcpy(wire->sent, bytes, MIN(n, sizeof(wire->sent)));
    return MIN(n, wire->limit);
}

static const struct chardev_ops sink_ops = {.write = sink_write, .accept_input = wire_accept_input};

static void fuzz_create(struct fake_board *fb)
{
    cr_assert_not_null(attach(fb));
    ((struct wire *)fb->test_data)->chardev.ops = &sink_ops;
}

static void fuzz_poke(struct fake_board *fb, uint64_t random)
{
    struct wire *wire = fb->test_data;
    uint8_t bytes[16];

    memset(bytes, (int)random, sizeof(bytes));
    wire->limit = random >> 8 & 0x1f;
    switch (random >> 16 & 3) {
    case 0:
        wire->chardev.writable(wire->chardev.front);
        break;
    case 1:
        wire->chardev.send_break(wire->chardev.front);
        break;
    default:
        wire->chardev.receive(wire->chardev.front, bytes, random >> 24 & 15);
    }
}

Test(uart16550, keeps_the_device_contract)
{
    static const struct fuzz_target target = {
        .create = fuzz_create,
        .poke = fuzz_poke,
        .windows = {{.base = COM1, .size = 8}},
        .window_count = 1,
    };

    device_contract_check(&target, 20000);
}

Test(uart16550, continues_from_a_snapshot_taken_with_full_fifos)
{
    struct bench a = bench_configured(), b = bench_create();

    out(&a, IER, 0x03);
    a.wire->limit = 0;
    host_sends(&a, "0123456789");
    in(&a, RBR);
    out(&a, THR, 'x');
    out(&a, THR, 'y');
    fake_expect_same_after_load(&a.uart->device, &b.uart->device);
    cr_assert_eq(in(&b, RBR), '1');
    fake_step(b.fb, 2000000);
    cr_assert_eq(b.wire->length, 2);
    cr_assert_arr_eq(b.wire->sent, "xy", 2);
    cr_assert_eq(in(&b, IIR), 0xc4);
    fake_board_destroy(a.fb);
    fake_board_destroy(b.fb);
}
