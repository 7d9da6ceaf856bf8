/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The 82371SB: routing of PCI interrupts, shared ISA IRQs, port 92h, port CF9h and the A20 gate.
 *
 * Fake lines: 0..15 ISA IRQs, 16 A20, 17 reset, 18 INIT.
 */
#include <criterion/criterion.h>

#include "devices/piix3.h"
#include "tests/device/port_fuzz.h"

enum { LINE_A20 = 16, LINE_RESET = 17, LINE_INIT = 18 };

static void target_create(struct fake_board *fb)
{
    struct piix3_wiring wiring = {
        .a20 = fake_line(fb, LINE_A20), .reset = fake_line(fb, LINE_RESET), .init = fake_line(fb, LINE_INIT)};
    for (unsigned i = 0; i < PIIX3_IRQS; i++) {
        wiring.isa_irq[i] = fake_line(fb, i);
    }
    cr_assert_not_null(piix3_create(&fb->board, pci_bus_create(&fb->board), &wiring));
}

static struct fake_board *machine_create(void)
{
    struct fake_board *fb = fake_board_create();
    target_create(fb);
    return fb;
}

static struct piix3 *find_bridge(struct fake_board *fb)
{
    return CONTAINER_OF(board_find_device(&fb->board, "piix3"), struct piix3, device);
}

static void set_route(struct fake_board *fb, unsigned pirq, uint8_t route)
{
    pci_config_write(find_bridge(fb)->pci.bus, 0, 1, 0, 0x60 + pirq, route, 1);
}

static void set_pirq(struct fake_board *fb, unsigned pirq, bool level)
{
    line_set(&find_bridge(fb)->pci.bus->pirq[pirq], level);
}

Test(piix3, identifies_itself_as_a_multi_function_isa_bridge)
{
    struct fake_board *fb = machine_create();
    fake_outl(fb, 0xcf8, 0x80000800);
    cr_assert_eq(fake_inl(fb, 0xcfc), 0x70008086);
    fake_outl(fb, 0xcf8, 0x80000808);
    cr_assert_eq(fake_inl(fb, 0xcfc) >> 8, 0x060100);
    fake_outl(fb, 0xcf8, 0x8000080c);
    cr_assert_eq(fake_inb(fb, 0xcfe), 0x80);
    fake_board_destroy(fb);
}

Test(piix3, pirqs_go_where_pirqrc_routes_them)
{
    struct fake_board *fb = machine_create();
    set_pirq(fb, 0, true);
    for (unsigned irq = 0; irq < 16; irq++) {
        cr_assert_not(fb->lines[irq].level, "disabled after reset");
    }
    set_route(fb, 0, 11);
    cr_assert(fb->lines[11].level);
    set_route(fb, 0, 5);
    cr_assert_not(fb->lines[11].level);
    cr_assert(fb->lines[5].level);
    set_route(fb, 0, 0x85);
    cr_assert_not(fb->lines[5].level, "disable bit");
    fake_board_destroy(fb);
}

Test(piix3, reserved_irqs_cannot_be_routed_to)
{
    struct fake_board *fb = machine_create();
    const unsigned reserved[] = {0, 1, 2, 8, 13};
    set_pirq(fb, 2, true);
    for (unsigned i = 0; i < ARRAY_LEN(reserved); i++) {
        set_route(fb, 2, (uint8_t)reserved[i]);
        cr_assert_not(fb->lines[reserved[i]].level, "IRQ %u", reserved[i]);
    }
    fake_board_destroy(fb);
}

Test(piix3, an_irq_is_the_or_of_its_inputs_and_the_pirqs)
{
    struct fake_board *fb = machine_create();
    struct line a = piix3_irq_input(find_bridge(fb), 10), b = piix3_irq_input(find_bridge(fb), 10);
    set_route(fb, 1, 10);
    line_set(&a, true);
    line_set(&b, true);
    set_pirq(fb, 1, true);
    line_set(&a, false);
    set_pirq(fb, 1, false);
    cr_assert(fb->lines[10].level);
    line_set(&b, false);
    cr_assert_not(fb->lines[10].level);
    cr_assert_eq(fb->lines[10].rises, 1);
    fake_board_destroy(fb);
}

Test(piix3, inputs_run_out_in_an_orderly_way)
{
    struct fake_board *fb = machine_create();
    for (unsigned i = 0; i < PIIX3_IRQ_INPUTS; i++) {
        cr_assert_not_null(piix3_irq_input(find_bridge(fb), 3).set);
    }
    cr_assert_null(piix3_irq_input(find_bridge(fb), 3).set);
    cr_assert_null(piix3_irq_input(find_bridge(fb), 16).set);
    fake_board_destroy(fb);
}

Test(piix3, a20_is_open_while_anybody_asks)
{
    struct fake_board *fb = machine_create();
    struct line kbc = piix3_a20_input(find_bridge(fb));
    cr_assert(fb->lines[LINE_A20].level, "open after power-on");
    line_set(&kbc, false);
    cr_assert_not(fb->lines[LINE_A20].level);
    fake_outb(fb, 0x92, 2);
    cr_assert(fb->lines[LINE_A20].level);
    cr_assert_eq(fake_inb(fb, 0x92), 2);
    line_set(&kbc, true);
    fake_outb(fb, 0x92, 0);
    cr_assert(fb->lines[LINE_A20].level);
    fake_board_destroy(fb);
}

Test(piix3, port_92_pulses_init_on_a_rising_bit)
{
    struct fake_board *fb = machine_create();
    fake_outb(fb, 0x92, 1);
    fake_outb(fb, 0x92, 1);
    cr_assert_eq(fb->lines[LINE_INIT].rises, 1);
    fake_outb(fb, 0x92, 0);
    fake_outb(fb, 0x92, 1);
    cr_assert_eq(fb->lines[LINE_INIT].rises, 2);
    cr_assert_eq(fb->lines[LINE_RESET].rises, 0);
    fake_board_destroy(fb);
}

Test(piix3, cf9_resets_the_machine_or_the_processor)
{
    struct fake_board *fb = machine_create();
    fake_outb(fb, 0xcf9, 0x02);
    cr_assert_eq(fb->lines[LINE_RESET].rises, 0, "SRST alone only chooses");
    fake_outb(fb, 0xcf9, 0x06);
    cr_assert_eq(fb->lines[LINE_RESET].rises, 1);
    cr_assert_eq(fake_inb(fb, 0xcf9), 0x06);
    fake_outb(fb, 0xcf9, 0x00);
    fake_outb(fb, 0xcf9, 0x04);
    cr_assert_eq(fb->lines[LINE_INIT].rises, 1);
    cr_assert_eq(fb->lines[LINE_RESET].rises, 1);
    fake_outl(fb, 0xcf8, 0x80000804);
    cr_assert_eq(fake_inb(fb, 0xcf9), 0x04, "a dword at CF8 is not the reset control register");
    fake_board_destroy(fb);
}

Test(piix3, levels_that_others_drive_survive_a_reset)
{
    struct fake_board *fb = machine_create();
    struct line input = piix3_irq_input(find_bridge(fb), 4);
    line_set(&input, true);
    board_reset_devices(&fb->board);
    cr_assert(fb->lines[4].level);
    line_set(&input, false);
    cr_assert_not(fb->lines[4].level);
    fake_board_destroy(fb);
}

static void poke(struct fake_board *fb, uint64_t random)
{
    switch (random % 4) {
    case 0:
        set_route(fb, (random >> 8) % 4, (uint8_t)(random >> 16));
        break;
    case 1:
        set_pirq(fb, (random >> 8) % 4, random >> 16 & 1);
        break;
    case 2:
        line_set(&(struct line){.set = piix3_a20_input(find_bridge(fb)).set,
                                .opaque = find_bridge(fb),
                                .number = PIIX3_A20_KBC},
                 random >> 16 & 1);
        break;
    default:
        pci_config_write(find_bridge(fb)->pci.bus, 0, 1, 0, (random >> 8) % 256, (uint8_t)(random >> 16), 1);
        break;
    }
}

static void quiet(struct fake_board *fb)
{
    struct line kbc = piix3_a20_input(find_bridge(fb));
    for (unsigned i = 0; i < PCI_PIRQS; i++) {
        set_pirq(fb, i, false);
    }
    line_set(&kbc, true);
}

Test(piix3, keeps_the_device_contract)
{
    const struct fuzz_target target = {
        .create = target_create,
        .poke = poke,
        .quiet = quiet,
        .windows = {{.base = 0x92, .size = 1}, {.base = 0xcf8, .size = 8}, {.base = 0xcf9, .size = 1}},
        .window_count = 3,
    };
    device_contract_check(&target, 4000);
}
