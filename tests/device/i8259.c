/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * i8259 pair: initialization, priorities, end of interrupt, modes, cascade, spurious requests.
 */
#include "devices/i8259.h"

#include <criterion/criterion.h>

#include "tests/device/port_fuzz.h"

#define MASTER 0x20
#define SLAVE  0xa0
#define INTR   0 /* fake line */

struct bench {
    struct fake_board *fb;
    struct i8259_pair *pair;
};

static void initialize(struct fake_board *fb, uint8_t icw1, uint8_t icw4_master, uint8_t icw4_slave)
{
    fake_outb(fb, MASTER, icw1);
    fake_outb(fb, MASTER + 1, 0x30);
    fake_outb(fb, MASTER + 1, 0x04);
    fake_outb(fb, MASTER + 1, icw4_master);
    fake_outb(fb, SLAVE, icw1);
    fake_outb(fb, SLAVE + 1, 0x38);
    fake_outb(fb, SLAVE + 1, 0x02);
    fake_outb(fb, SLAVE + 1, icw4_slave);
}

static struct bench bench_create(void)
{
    struct bench b = {.fb = fake_board_create()};

    b.pair = i8259_create(&b.fb->board, fake_line(b.fb, INTR));
    cr_assert_not_null(b.pair);
    initialize(b.fb, 0x11, 0x01, 0x01);
    return b;
}

static void set_irq(struct bench *b, unsigned irq, bool level)
{
    struct line line = i8259_irq(b->pair, irq);

    line_set(&line, level);
}

static void pulse_irq(struct bench *b, unsigned irq)
{
    set_irq(b, irq, true);
    set_irq(b, irq, false);
}

static bool intr(struct bench *b)
{
    cr_assert_eq(b->fb->lines[INTR].level, i8259_intr(b->pair));
    return b->fb->lines[INTR].level;
}

static uint8_t read_irr(struct bench *b, uint16_t port)
{
    fake_outb(b->fb, port, 0x0a);
    return fake_inb(b->fb, port);
}

static uint8_t read_isr(struct bench *b, uint16_t port)
{
    fake_outb(b->fb, port, 0x0b);
    return fake_inb(b->fb, port);
}

Test(i8259, delivers_the_vector_of_icw2)
{
    struct bench b = bench_create();

    cr_assert_not(intr(&b));
    set_irq(&b, 4, true);
    cr_assert(intr(&b));
    cr_assert_eq(read_irr(&b, MASTER), 0x10);
    cr_assert_eq(i8259_acknowledge(b.pair), 0x34);
    cr_assert_not(intr(&b));
    cr_assert_eq(read_irr(&b, MASTER), 0);
    cr_assert_eq(read_isr(&b, MASTER), 0x10);
    fake_outb(b.fb, MASTER, 0x20);
    cr_assert_eq(read_isr(&b, MASTER), 0);
    cr_assert_not(intr(&b), "an edge-triggered input that stays high must not interrupt again");
    fake_board_destroy(b.fb);
}

Test(i8259, is_silent_until_initialization_is_complete)
{
    struct bench b = {.fb = fake_board_create()};

    b.pair = i8259_create(&b.fb->board, fake_line(b.fb, INTR));
    set_irq(&b, 1, true);
    cr_assert_not(intr(&b));
    fake_outb(b.fb, MASTER, 0x19); /* level-triggered, so that the request persists */
    cr_assert_not(intr(&b));
    fake_outb(b.fb, MASTER + 1, 0x40);
    fake_outb(b.fb, MASTER + 1, 0x04);
    cr_assert_not(intr(&b));
    fake_outb(b.fb, MASTER + 1, 0x01);
    cr_assert(intr(&b));
    cr_assert_eq(i8259_acknowledge(b.pair), 0x41);
    fake_board_destroy(b.fb);
}

Test(i8259, single_mode_skips_icw3_and_icw4_is_optional)
{
    struct bench b = bench_create();

    fake_outb(b.fb, MASTER, 0x12); /* SNGL, no ICW4 */
    fake_outb(b.fb, MASTER + 1, 0x57);
    fake_outb(b.fb, MASTER + 1, 0xa5); /* already OCW1 */
    cr_assert_eq(fake_inb(b.fb, MASTER + 1), 0xa5);
    pulse_irq(&b, 1);
    cr_assert_eq(i8259_acknowledge(b.pair), 0x51);
    fake_board_destroy(b.fb);
}

Test(i8259, icw1_clears_mask_service_and_edges)
{
    struct bench b = bench_create();

    pulse_irq(&b, 3);
    cr_assert_eq(i8259_acknowledge(b.pair), 0x33);
    set_irq(&b, 5, true);
    fake_outb(b.fb, MASTER + 1, 0xff);
    initialize(b.fb, 0x11, 1, 1);
    cr_assert_eq(fake_inb(b.fb, MASTER + 1), 0);
    cr_assert_eq(read_isr(&b, MASTER), 0);
    cr_assert_eq(read_irr(&b, MASTER), 0, "the input must rise again");
    set_irq(&b, 5, false);
    set_irq(&b, 5, true);
    cr_assert_eq(i8259_acknowledge(b.pair), 0x35);
    fake_board_destroy(b.fb);
}

Test(i8259, higher_priority_nests_and_lower_waits)
{
    struct bench b = bench_create();

    pulse_irq(&b, 4);
    cr_assert_eq(i8259_acknowledge(b.pair), 0x34);
    pulse_irq(&b, 6);
    cr_assert_not(intr(&b));
    pulse_irq(&b, 1);
    cr_assert(intr(&b));
    cr_assert_eq(i8259_acknowledge(b.pair), 0x31);
    cr_assert_eq(read_isr(&b, MASTER), 0x12);
    fake_outb(b.fb, MASTER, 0x20); /* non-specific: ends the highest, 1 */
    cr_assert_eq(read_isr(&b, MASTER), 0x10);
    fake_outb(b.fb, MASTER, 0x64); /* specific: 4 */
    cr_assert_eq(read_isr(&b, MASTER), 0);
    cr_assert_eq(i8259_acknowledge(b.pair), 0x36);
    fake_board_destroy(b.fb);
}

Test(i8259, masked_requests_wait_in_irr)
{
    struct bench b = bench_create();

    fake_outb(b.fb, MASTER + 1, 0x08);
    pulse_irq(&b, 3);
    cr_assert_not(intr(&b));
    cr_assert_eq(read_irr(&b, MASTER), 0x08);
    fake_outb(b.fb, MASTER + 1, 0);
    cr_assert(intr(&b));
    cr_assert_eq(i8259_acknowledge(b.pair), 0x33);
    fake_board_destroy(b.fb);
}

Test(i8259, cascade_delivers_the_slaves_vector)
{
    struct bench b = bench_create();

    pulse_irq(&b, 14);
    pulse_irq(&b, 8);
    cr_assert_eq(read_irr(&b, MASTER), 0x04);
    cr_assert_eq(i8259_acknowledge(b.pair), 0x38);
    cr_assert_eq(read_isr(&b, MASTER), 0x04);
    cr_assert_eq(read_isr(&b, SLAVE), 0x01);
    cr_assert_not(intr(&b));
    fake_outb(b.fb, SLAVE, 0x20);
    cr_assert_not(intr(&b), "the master's own ISR bit still inhibits");
    fake_outb(b.fb, MASTER, 0x20);
    cr_assert(intr(&b));
    cr_assert_eq(i8259_acknowledge(b.pair), 0x3e);
    fake_board_destroy(b.fb);
}

Test(i8259, slave_ranks_between_irq1_and_irq3)
{
    struct bench b = bench_create();

    pulse_irq(&b, 3);
    pulse_irq(&b, 15);
    pulse_irq(&b, 1);
    cr_assert_eq(i8259_acknowledge(b.pair), 0x31);
    fake_outb(b.fb, MASTER, 0x20);
    cr_assert_eq(i8259_acknowledge(b.pair), 0x3f);
    fake_outb(b.fb, SLAVE, 0x20);
    fake_outb(b.fb, MASTER, 0x20);
    cr_assert_eq(i8259_acknowledge(b.pair), 0x33);
    fake_board_destroy(b.fb);
}

Test(i8259, unprogrammed_cascade_leaves_the_bus_floating)
{
    struct bench b = bench_create();

    fake_outb(b.fb, SLAVE, 0x11);
    fake_outb(b.fb, SLAVE + 1, 0x38);
    fake_outb(b.fb, SLAVE + 1, 0x05); /* an ID nobody calls */
    fake_outb(b.fb, SLAVE + 1, 0x01);
    pulse_irq(&b, 10);
    cr_assert_eq(i8259_acknowledge(b.pair), 0xff);
    fake_board_destroy(b.fb);
}

Test(i8259, irq2_input_is_not_connected)
{
    struct bench b = bench_create();

    pulse_irq(&b, 2);
    cr_assert_not(intr(&b));
    fake_board_destroy(b.fb);
}

Test(i8259, spurious_irq7_when_the_request_is_gone)
{
    struct bench b = bench_create();

    fake_outb(b.fb, 0x4d0, 0x20);
    set_irq(&b, 5, true);
    cr_assert(intr(&b));
    set_irq(&b, 5, false);
    cr_assert_eq(i8259_acknowledge(b.pair), 0x37);
    cr_assert_eq(read_isr(&b, MASTER), 0, "a spurious interrupt is not in service");
    fake_board_destroy(b.fb);
}

Test(i8259, spurious_irq15_leaves_the_master_in_service)
{
    struct bench b = bench_create();

    /* The input falls after the master has chosen IR2 and before the slave is asked. */
    fake_outb(b.fb, 0x4d1, 0x08); /* IRQ11 level */
    set_irq(&b, 11, true);
    b.pair->chip[1].lines = 0;
    cr_assert_eq(i8259_acknowledge(b.pair), 0x3f);
    cr_assert_eq(read_isr(&b, SLAVE), 0);
    cr_assert_eq(read_isr(&b, MASTER), 0x04);
    fake_board_destroy(b.fb);
}

Test(i8259, level_triggered_input_interrupts_while_high)
{
    struct bench b = bench_create();

    fake_outb(b.fb, 0x4d0, 0xff);
    fake_outb(b.fb, 0x4d1, 0xff);
    cr_assert_eq(fake_inw(b.fb, 0x4d0), 0xdef8, "0, 1, 2, 8 and 13 stay edge-triggered");
    set_irq(&b, 10, true);
    cr_assert_eq(i8259_acknowledge(b.pair), 0x3a);
    fake_outb(b.fb, SLAVE, 0x20);
    fake_outb(b.fb, MASTER, 0x20);
    cr_assert(intr(&b));
    set_irq(&b, 10, false);
    cr_assert_not(intr(&b));
    fake_board_destroy(b.fb);
}

Test(i8259, ltim_makes_all_inputs_level_triggered)
{
    struct bench b = bench_create();

    initialize(b.fb, 0x19, 1, 1);
    set_irq(&b, 0, true);
    cr_assert_eq(i8259_acknowledge(b.pair), 0x30);
    fake_outb(b.fb, MASTER, 0x20);
    cr_assert(intr(&b));
    set_irq(&b, 0, false);
    cr_assert_not(intr(&b));
    fake_board_destroy(b.fb);
}

Test(i8259, automatic_eoi_needs_no_eoi)
{
    struct bench b = bench_create();

    initialize(b.fb, 0x11, 0x03, 0x03);
    pulse_irq(&b, 6);
    cr_assert_eq(i8259_acknowledge(b.pair), 0x36);
    cr_assert_eq(read_isr(&b, MASTER), 0);
    pulse_irq(&b, 6);
    cr_assert_eq(i8259_acknowledge(b.pair), 0x36);
    /* Two requests at the slave: its output has to make itself heard twice. */
    pulse_irq(&b, 12);
    pulse_irq(&b, 13);
    cr_assert_eq(i8259_acknowledge(b.pair), 0x3c);
    cr_assert_eq(i8259_acknowledge(b.pair), 0x3d);
    cr_assert_not(intr(&b));
    fake_board_destroy(b.fb);
}

Test(i8259, rotation_moves_the_lowest_priority)
{
    struct bench b = bench_create();

    fake_outb(b.fb, MASTER, 0xc3); /* set priority: 3 lowest, 4 highest */
    pulse_irq(&b, 1);
    pulse_irq(&b, 4);
    cr_assert_eq(i8259_acknowledge(b.pair), 0x34);
    fake_outb(b.fb, MASTER, 0xa0); /* rotate on non-specific EOI: 4 lowest, 5 highest */
    pulse_irq(&b, 4);
    cr_assert_eq(i8259_acknowledge(b.pair), 0x31);
    fake_outb(b.fb, MASTER, 0xe1); /* rotate on specific EOI: 1 lowest, 2 highest */
    pulse_irq(&b, 1);
    cr_assert_eq(i8259_acknowledge(b.pair), 0x34);
    cr_assert_eq(read_isr(&b, MASTER), 0x10);
    fake_board_destroy(b.fb);
}

Test(i8259, rotation_in_automatic_eoi_mode)
{
    struct bench b = bench_create();

    initialize(b.fb, 0x11, 0x03, 0x01);
    fake_outb(b.fb, MASTER, 0x80);
    pulse_irq(&b, 0);
    cr_assert_eq(i8259_acknowledge(b.pair), 0x30);
    pulse_irq(&b, 0);
    pulse_irq(&b, 7);
    cr_assert_eq(i8259_acknowledge(b.pair), 0x37, "0 has the lowest priority now");
    fake_outb(b.fb, MASTER, 0x00);
    cr_assert_eq(i8259_acknowledge(b.pair), 0x30);
    cr_assert_eq(b.pair->chip[0].lowest, 7, "rotation is off again");
    fake_board_destroy(b.fb);
}

Test(i8259, special_mask_mode_lets_lower_priorities_in)
{
    struct bench b = bench_create();

    pulse_irq(&b, 1);
    cr_assert_eq(i8259_acknowledge(b.pair), 0x31);
    pulse_irq(&b, 6);
    fake_outb(b.fb, MASTER + 1, 0x02);
    cr_assert_not(intr(&b));
    fake_outb(b.fb, MASTER, 0x68); /* ESMM, SMM */
    cr_assert(intr(&b));
    cr_assert_eq(i8259_acknowledge(b.pair), 0x36);
    fake_outb(b.fb, MASTER, 0x20); /* passes over the masked 1 */
    cr_assert_eq(read_isr(&b, MASTER), 0x02);
    fake_outb(b.fb, MASTER, 0x20);
    cr_assert_eq(read_isr(&b, MASTER), 0x02);
    fake_outb(b.fb, MASTER, 0x48); /* ESMM, no SMM */
    fake_outb(b.fb, MASTER, 0x20);
    cr_assert_eq(read_isr(&b, MASTER), 0);
    fake_board_destroy(b.fb);
}

Test(i8259, special_fully_nested_mode_lets_the_slave_nest)
{
    struct bench b = bench_create();

    pulse_irq(&b, 12);
    cr_assert_eq(i8259_acknowledge(b.pair), 0x3c);
    pulse_irq(&b, 9);
    cr_assert_not(intr(&b), "fully nested: the slave is one level");
    initialize(b.fb, 0x11, 0x11, 0x01);
    pulse_irq(&b, 12);
    cr_assert_eq(i8259_acknowledge(b.pair), 0x3c);
    pulse_irq(&b, 5);
    cr_assert_not(intr(&b));
    pulse_irq(&b, 9);
    cr_assert(intr(&b));
    cr_assert_eq(i8259_acknowledge(b.pair), 0x39);
    fake_board_destroy(b.fb);
}

Test(i8259, poll_mode_acknowledges_on_read)
{
    struct bench b = bench_create();

    fake_outb(b.fb, MASTER, 0x0c);
    cr_assert_eq(fake_inb(b.fb, MASTER), 0);
    pulse_irq(&b, 5);
    pulse_irq(&b, 14);
    fake_outb(b.fb, MASTER, 0x0c);
    cr_assert_eq(fake_inb(b.fb, MASTER), 0x82);
    fake_outb(b.fb, SLAVE, 0x0c);
    cr_assert_eq(fake_inb(b.fb, SLAVE), 0x86);
    cr_assert_eq(fake_inb(b.fb, SLAVE + 1), 0, "one read only");
    fake_outb(b.fb, MASTER, 0x62);
    cr_assert_eq(i8259_acknowledge(b.pair), 0x35);
    fake_board_destroy(b.fb);
}

static void target_create(struct fake_board *fb)
{
    cr_assert_not_null(i8259_create(&fb->board, fake_line(fb, INTR)));
}

static void target_poke(struct fake_board *fb, uint64_t random)
{
    struct i8259_pair *pair = CONTAINER_OF(fb->board.devices, struct i8259_pair, device);
    struct line line = i8259_irq(pair, random & 15);

    if (random & 0x10) {
        line_set(&line, random & 0x20);
    } else if (i8259_intr(pair)) {
        i8259_acknowledge(pair);
    }
}

Test(i8259, keeps_the_device_contract)
{
    static const struct fuzz_target target = {
        .create = target_create,
        .poke = target_poke,
        .windows = {{.base = 0x20, .size = 2}, {.base = 0xa0, .size = 2}, {.base = 0x4d0, .size = 2}},
        .window_count = 3,
    };

    device_contract_check(&target, 20000);
}

Test(i8259, continues_from_a_snapshot_taken_between_interrupt_and_eoi)
{
    struct bench a = bench_create(), b = bench_create();

    pulse_irq(&a, 14);
    cr_assert_eq(i8259_acknowledge(a.pair), 0x3e);
    pulse_irq(&a, 15);
    fake_expect_same_after_load(&a.pair->device, &b.pair->device);
    fake_outb(b.fb, SLAVE, 0x20);
    fake_outb(b.fb, MASTER, 0x20);
    cr_assert(intr(&b));
    cr_assert_eq(i8259_acknowledge(b.pair), 0x3f);
    fake_board_destroy(a.fb);
    fake_board_destroy(b.fb);
}
