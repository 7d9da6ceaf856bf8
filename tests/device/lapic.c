/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The local APIC through its registers, with a stepped clock.
 *
 * Fake lines: 0 INTR, 1 NMI, 2 INIT.
 */
#include <criterion/criterion.h>
#include <errno.h>

#include "devices/lapic.h"
#include "tests/device/port_fuzz.h"

enum { LINE_INTR, LINE_NMI, LINE_INIT };

#define BASE 0xfee00000u

enum {
    ID = 0x20,
    VERSION = 0x30,
    TPR = 0x80,
    PPR = 0xa0,
    EOI = 0xb0,
    LDR = 0xd0,
    DFR = 0xe0,
    SVR = 0xf0,
    ISR = 0x100,
    TMR = 0x180,
    IRR = 0x200,
    ESR = 0x280,
    ICR_LOW = 0x300,
    ICR_HIGH = 0x310,
    LVT_TIMER = 0x320,
    LVT_LINT0 = 0x350,
    LVT_LINT1 = 0x360,
    LVT_ERROR = 0x370,
    INITIAL = 0x380,
    CURRENT = 0x390,
    DIVIDE = 0x3e0
};

/* Counts what the I/O APIC would hear, on fake line 3: one rise an EOI. */
static void note_eoi(void *opaque, uint8_t vector)
{
    struct fake_board *fb = opaque;
    struct line line = fake_line(fb, 3);
    (void)vector;
    line_pulse(&line);
}

static void target_create(struct fake_board *fb)
{
    const struct lapic_wiring wiring = {.intr = fake_line(fb, LINE_INTR),
                                        .nmi = fake_line(fb, LINE_NMI),
                                        .init = fake_line(fb, LINE_INIT),
                                        .eoi = note_eoi,
                                        .eoi_opaque = fb};
    cr_assert_not_null(lapic_create(&fb->board, &wiring));
}

static struct lapic *find_lapic(struct fake_board *fb)
{
    return CONTAINER_OF(board_find_device(&fb->board, "lapic"), struct lapic, device);
}

static void out(struct fake_board *fb, unsigned reg, uint32_t value)
{
    fake_write32(fb, BASE + reg, value);
}

static uint32_t in(struct fake_board *fb, unsigned reg)
{
    return fake_read32(fb, BASE + reg);
}

static struct fake_board *machine_create(void)
{
    struct fake_board *fb = fake_board_create();
    target_create(fb);
    return fb;
}

static struct fake_board *enabled_machine_create(void)
{
    struct fake_board *fb = machine_create();
    out(fb, SVR, 0x1ff);
    return fb;
}

static void deliver(struct fake_board *fb, uint8_t vector, bool level)
{
    cr_assert(lapic_deliver(find_lapic(fb), vector, LAPIC_FIXED, level));
}

Test(lapic, registers_after_reset)
{
    struct fake_board *fb = machine_create();
    cr_assert_eq(in(fb, ID), 0);
    cr_assert_eq(in(fb, VERSION), 0x00050014);
    cr_assert_eq(in(fb, DFR), 0xffffffff);
    cr_assert_eq(in(fb, SVR), 0xff);
    cr_assert_eq(in(fb, LVT_TIMER), 0x10000);
    cr_assert_eq(in(fb, LVT_LINT0), 0x700, "virtual wire mode");
    cr_assert_eq(in(fb, LVT_LINT1), 0x10000);
    cr_assert_eq(lapic_get_base(find_lapic(fb)), LAPIC_BASE_RESET);
    fake_board_destroy(fb);
}

Test(lapic, a_fixed_interrupt_goes_from_irr_to_isr_to_done)
{
    struct fake_board *fb = enabled_machine_create();
    deliver(fb, 0x61, false);
    cr_assert(fb->lines[LINE_INTR].level);
    cr_assert_eq(in(fb, IRR + 0x30), 2);
    cr_assert_eq(lapic_acknowledge(find_lapic(fb)), 0x61);
    cr_assert_not(fb->lines[LINE_INTR].level);
    cr_assert_eq(in(fb, IRR + 0x30), 0);
    cr_assert_eq(in(fb, ISR + 0x30), 2);
    cr_assert_eq(in(fb, PPR), 0x60);
    out(fb, EOI, 0);
    cr_assert_eq(in(fb, ISR + 0x30), 0);
    cr_assert_eq(fb->lines[3].rises, 0, "edge-triggered: no broadcast");
    fake_board_destroy(fb);
}

Test(lapic, only_a_higher_class_interrupts_a_handler)
{
    struct fake_board *fb = enabled_machine_create();
    deliver(fb, 0x51, false);
    cr_assert_eq(lapic_acknowledge(find_lapic(fb)), 0x51);
    deliver(fb, 0x5f, false);
    cr_assert_not(fb->lines[LINE_INTR].level, "same class");
    deliver(fb, 0x60, false);
    cr_assert_eq(lapic_acknowledge(find_lapic(fb)), 0x60);
    out(fb, EOI, 0);
    cr_assert_not(fb->lines[LINE_INTR].level);
    out(fb, EOI, 0);
    cr_assert_eq(lapic_acknowledge(find_lapic(fb)), 0x5f);
    fake_board_destroy(fb);
}

Test(lapic, tpr_holds_back_its_class_and_below)
{
    struct fake_board *fb = enabled_machine_create();
    out(fb, TPR, 0x50);
    deliver(fb, 0x5f, false);
    cr_assert_not(fb->lines[LINE_INTR].level);
    cr_assert_eq(lapic_get_cr8(find_lapic(fb)), 5);
    lapic_set_cr8(find_lapic(fb), 4);
    cr_assert(fb->lines[LINE_INTR].level);
    cr_assert_eq(in(fb, TPR), 0x40);
    fake_board_destroy(fb);
}

Test(lapic, a_request_that_went_away_gives_the_spurious_vector)
{
    struct fake_board *fb = enabled_machine_create();
    deliver(fb, 0x31, false);
    out(fb, TPR, 0xf0);
    cr_assert_eq(lapic_acknowledge(find_lapic(fb)), 0xff);
    cr_assert_eq(in(fb, ISR + 0x70), 0, "not in service");
    out(fb, TPR, 0);
    cr_assert_eq(lapic_acknowledge(find_lapic(fb)), 0x31);
    fake_board_destroy(fb);
}

Test(lapic, ending_a_level_interrupt_tells_the_io_apic)
{
    struct fake_board *fb = enabled_machine_create();
    deliver(fb, 0x41, true);
    cr_assert_eq(in(fb, TMR + 0x20), 2);
    lapic_acknowledge(find_lapic(fb));
    out(fb, EOI, 0);
    out(fb, EOI, 0);
    cr_assert_eq(fb->lines[3].rises, 1);
    fake_board_destroy(fb);
}

Test(lapic, lint0_is_a_virtual_wire_for_the_i8259)
{
    struct fake_board *fb = machine_create();
    struct line pic = lapic_lint0(find_lapic(fb));
    line_set(&pic, true);
    cr_assert(fb->lines[LINE_INTR].level, "even before anybody programmed the APIC");
    cr_assert_eq(lapic_acknowledge(find_lapic(fb)), LAPIC_EXTINT);
    out(fb, SVR, 0x1ff);
    out(fb, LVT_LINT0, 0x10700);
    cr_assert_not(fb->lines[LINE_INTR].level);
    out(fb, LVT_LINT0, 0x00700);
    cr_assert(fb->lines[LINE_INTR].level);
    deliver(fb, 0x31, false);
    cr_assert_eq(lapic_acknowledge(find_lapic(fb)), 0x31, "its own vectors first");
    cr_assert_eq(lapic_acknowledge(find_lapic(fb)), LAPIC_EXTINT);
    line_set(&pic, false);
    cr_assert_not(fb->lines[LINE_INTR].level);
    fake_board_destroy(fb);
}

Test(lapic, a_disabled_apic_lets_the_pins_through_and_disappears)
{
    struct fake_board *fb = enabled_machine_create();
    struct line pic = lapic_lint0(find_lapic(fb)), nmi = lapic_lint1(find_lapic(fb));
    out(fb, LVT_LINT0, 0x10000);
    lapic_set_base(find_lapic(fb), BASE);
    cr_assert_eq(in(fb, VERSION), 0xffffffff);
    line_set(&pic, true);
    cr_assert(fb->lines[LINE_INTR].level);
    cr_assert_eq(lapic_acknowledge(find_lapic(fb)), LAPIC_EXTINT);
    line_pulse(&nmi);
    cr_assert_eq(fb->lines[LINE_NMI].rises, 1);
    cr_assert_not(lapic_deliver(find_lapic(fb), 0x31, LAPIC_FIXED, false));
    lapic_set_base(find_lapic(fb), BASE | LAPIC_BASE_ENABLE);
    cr_assert_eq(in(fb, SVR), 0xff, "power-up state");
    fake_board_destroy(fb);
}

Test(lapic, the_registers_move_with_the_base)
{
    struct fake_board *fb = machine_create();
    lapic_set_base(find_lapic(fb), 0xc0000000 | LAPIC_BASE_ENABLE);
    cr_assert_eq(in(fb, VERSION), 0xffffffff);
    cr_assert_eq(fake_read32(fb, 0xc0000030), 0x00050014);
    board_reset_devices(&fb->board);
    cr_assert_eq(in(fb, VERSION), 0x00050014);
    fake_board_destroy(fb);
}

Test(lapic, lint1_pulses_nmi_on_its_rising_edge)
{
    struct fake_board *fb = enabled_machine_create();
    struct line nmi = lapic_lint1(find_lapic(fb));
    line_pulse(&nmi);
    cr_assert_eq(fb->lines[LINE_NMI].rises, 0, "masked");
    out(fb, LVT_LINT1, 0x400);
    line_set(&nmi, true);
    line_set(&nmi, true);
    cr_assert_eq(fb->lines[LINE_NMI].rises, 1);
    fake_board_destroy(fb);
}

Test(lapic, a_level_lint_interrupts_once_until_its_eoi)
{
    struct fake_board *fb = enabled_machine_create();
    struct line pin = lapic_lint0(find_lapic(fb));
    out(fb, LVT_LINT0, 0x8042);
    line_set(&pin, true);
    cr_assert_eq(in(fb, LVT_LINT0), 0xc042, "remote IRR");
    cr_assert_eq(lapic_acknowledge(find_lapic(fb)), 0x42);
    cr_assert_not(fb->lines[LINE_INTR].level);
    out(fb, EOI, 0);
    cr_assert_eq(lapic_acknowledge(find_lapic(fb)), 0x42);
    line_set(&pin, false);
    out(fb, EOI, 0);
    cr_assert_not(fb->lines[LINE_INTR].level);
    cr_assert_eq(in(fb, LVT_LINT0), 0x8042);
    fake_board_destroy(fb);
}

Test(lapic, software_disable_masks_every_lvt_entry)
{
    struct fake_board *fb = enabled_machine_create();
    out(fb, LVT_LINT0, 0x700);
    out(fb, LVT_ERROR, 0x33);
    out(fb, SVR, 0xff);
    for (unsigned reg = LVT_TIMER; reg <= LVT_ERROR; reg += 0x10) {
        cr_assert(in(fb, reg) & 0x10000, "%x", reg);
    }
    out(fb, LVT_ERROR, 0x33);
    cr_assert_eq(in(fb, LVT_ERROR), 0x10033, "the mask cannot be cleared");
    cr_assert_not(lapic_deliver(find_lapic(fb), 0x31, LAPIC_FIXED, false));
    fake_board_destroy(fb);
}

Test(lapic, the_timer_counts_down_once)
{
    struct fake_board *fb = enabled_machine_create();
    out(fb, DIVIDE, 0x3); /* by 16 */
    out(fb, LVT_TIMER, 0x31);
    out(fb, INITIAL, 1000);
    cr_assert_eq(in(fb, CURRENT), 1000);
    fake_step(fb, 160);
    cr_assert_eq(in(fb, CURRENT), 990);
    fake_step(fb, 15840 - 1);
    cr_assert_eq(in(fb, CURRENT), 1);
    cr_assert_not(fb->lines[LINE_INTR].level);
    fake_step(fb, 1);
    cr_assert_eq(in(fb, CURRENT), 0);
    cr_assert_eq(lapic_acknowledge(find_lapic(fb)), 0x31);
    out(fb, EOI, 0);
    fake_step(fb, NS_PER_SEC);
    cr_assert_not(fb->lines[LINE_INTR].level, "one shot");
    fake_board_destroy(fb);
}

Test(lapic, every_divisor_of_the_timer)
{
    struct fake_board *fb = enabled_machine_create();
    const unsigned codes[] = {0x0, 0x1, 0x2, 0x3, 0x8, 0x9, 0xa, 0xb};
    const unsigned divisors[] = {2, 4, 8, 16, 32, 64, 128, 1};
    for (unsigned i = 0; i < ARRAY_LEN(codes); i++) {
        out(fb, DIVIDE, codes[i]);
        out(fb, INITIAL, 1000000);
        fake_step(fb, 128000);
        cr_assert_eq(in(fb, CURRENT), 1000000 - 128000 / divisors[i], "divisor %u", divisors[i]);
    }
    fake_board_destroy(fb);
}

Test(lapic, the_periodic_timer_keeps_its_grid)
{
    struct fake_board *fb = enabled_machine_create();
    out(fb, DIVIDE, 0xb);
    out(fb, LVT_TIMER, 0x20031);
    out(fb, INITIAL, 1000000);
    for (unsigned i = 0; i < 10; i++) {
        fake_step(fb, 1000000);
        cr_assert_eq(lapic_acknowledge(find_lapic(fb)), 0x31, "period %u", i);
        out(fb, EOI, 0);
        cr_assert_not(fb->lines[LINE_INTR].level);
    }
    fake_step(fb, 250000);
    cr_assert_eq(in(fb, CURRENT), 750000);
    out(fb, INITIAL, 0);
    fake_step(fb, NS_PER_SEC);
    cr_assert_not(fb->lines[LINE_INTR].level, "an initial count of 0 stops it");
    fake_board_destroy(fb);
}

Test(lapic, a_period_of_one_tick_costs_bounded_work)
{
    struct fake_board *fb = enabled_machine_create();
    out(fb, DIVIDE, 0xb);
    out(fb, LVT_TIMER, 0x20031);
    out(fb, INITIAL, 1);
    clock_skip(&fb->clock, 10 * NS_PER_SEC);
    cr_assert_leq(clock_run_timers(&fb->clock), 2);
    cr_assert_gt(clock_next_deadline(&fb->clock), clock_now(&fb->clock) + 1000);
    cr_assert(fb->lines[LINE_INTR].level);
    fake_board_destroy(fb);
}

Test(lapic, a_masked_timer_counts_without_interrupting)
{
    struct fake_board *fb = enabled_machine_create();
    out(fb, DIVIDE, 0xb);
    out(fb, LVT_TIMER, 0x30031);
    out(fb, INITIAL, 1000);
    cr_assert_eq(clock_next_deadline(&fb->clock), CLOCK_NEVER);
    fake_step(fb, 2500);
    cr_assert_eq(in(fb, CURRENT), 500);
    out(fb, LVT_TIMER, 0x20031);
    cr_assert_not(fb->lines[LINE_INTR].level, "what passed is past");
    fake_step(fb, 500);
    cr_assert(fb->lines[LINE_INTR].level);
    fake_board_destroy(fb);
}

Test(lapic, self_ipis_arrive)
{
    struct fake_board *fb = enabled_machine_create();
    out(fb, ICR_LOW, 0x40031); /* shorthand self */
    cr_assert_eq(lapic_acknowledge(find_lapic(fb)), 0x31);
    out(fb, ICR_LOW, 0x80041); /* all including self */
    cr_assert_eq(lapic_acknowledge(find_lapic(fb)), 0x41);
    out(fb, ICR_LOW, 0xc0051); /* all excluding self: nobody */
    cr_assert_not(fb->lines[LINE_INTR].level);
    cr_assert_eq(in(fb, ICR_LOW), 0xc0051, "delivery status idle");
    out(fb, ICR_LOW, 0x40400);
    cr_assert_eq(fb->lines[LINE_NMI].rises, 1);
    out(fb, ICR_LOW, 0x84500);
    out(fb, ICR_LOW, 0x84600);
    cr_assert_eq(fb->lines[LINE_INIT].rises, 0, "INIT and STARTUP to oneself");
    fake_board_destroy(fb);
}

Test(lapic, destinations_are_physical_flat_or_cluster)
{
    struct fake_board *fb = enabled_machine_create();
    struct lapic *lapic = find_lapic(fb);
    out(fb, ID, 0x03000000);
    out(fb, LDR, 0x24000000);
    cr_assert(lapic_message(lapic, 3, false, 0x31, LAPIC_FIXED, false));
    cr_assert_not(lapic_message(lapic, 4, false, 0x31, LAPIC_FIXED, false));
    cr_assert(lapic_message(lapic, 0xff, false, 0x31, LAPIC_FIXED, false));
    cr_assert(lapic_message(lapic, 0x04, true, 0x31, LAPIC_LOWEST_PRIORITY, false));
    cr_assert_not(lapic_message(lapic, 0x08, true, 0x31, LAPIC_FIXED, false));
    out(fb, DFR, 0x0fffffff);
    cr_assert(lapic_message(lapic, 0x25, true, 0x31, LAPIC_FIXED, false));
    cr_assert_not(lapic_message(lapic, 0x14, true, 0x31, LAPIC_FIXED, false), "another cluster");
    out(fb, ICR_HIGH, 0x03000000);
    out(fb, ICR_LOW, 0x71);
    cr_assert_eq(lapic_acknowledge(lapic), 0x71);
    fake_board_destroy(fb);
}

Test(lapic, errors_are_collected_and_shown_after_a_write_of_esr)
{
    struct fake_board *fb = enabled_machine_create();
    out(fb, LVT_ERROR, 0xfe);
    out(fb, ICR_LOW, 0x40005);
    cr_assert_eq(in(fb, ESR), 0);
    cr_assert_eq(lapic_acknowledge(find_lapic(fb)), 0xfe);
    cr_assert_not(lapic_deliver(find_lapic(fb), 3, LAPIC_FIXED, false));
    in(fb, 0x3f0);
    out(fb, ESR, 0);
    cr_assert_eq(in(fb, ESR), 0x20 | 0x40 | 0x80);
    out(fb, ESR, 0);
    cr_assert_eq(in(fb, ESR), 0);
    fake_board_destroy(fb);
}

Test(lapic, an_extint_message_waits_for_the_acknowledge)
{
    struct fake_board *fb = enabled_machine_create();
    cr_assert(lapic_deliver(find_lapic(fb), 0, LAPIC_EXTINT_MODE, false));
    cr_assert(lapic_has_interrupt(find_lapic(fb)));
    struct fake_board *other = machine_create();
    fake_expect_same_after_load(&find_lapic(fb)->device, &find_lapic(other)->device);
    cr_assert(lapic_has_interrupt(find_lapic(other)), "a load keeps it");
    fake_board_destroy(other);
    cr_assert_eq(lapic_acknowledge(find_lapic(fb)), LAPIC_EXTINT);
    cr_assert_not(fb->lines[LINE_INTR].level);
    fake_board_destroy(fb);
}

Test(lapic, init_keeps_id_and_base)
{
    struct fake_board *fb = enabled_machine_create();
    out(fb, ID, 0x05000000);
    deliver(fb, 0x31, false);
    lapic_init_reset(find_lapic(fb));
    cr_assert_not(fb->lines[LINE_INTR].level);
    cr_assert_eq(in(fb, ID), 0x05000000);
    cr_assert_eq(in(fb, SVR), 0xff);
    fake_board_destroy(fb);
}

Test(lapic, a_load_refuses_an_impossible_timer)
{
    struct fake_board *fb = enabled_machine_create(), *other = machine_create();
    struct error error = {.text = ""};
    out(fb, INITIAL, 100);
    find_lapic(fb)->timer_zero = CLOCK_NEVER - 1;
    struct snap_writer saved = fake_save(&find_lapic(fb)->device);
    struct snap_reader reader = {.data = saved.data, .length = saved.length};
    struct device *device = &find_lapic(other)->device;
    cr_assert_eq(snap_load(&reader, device->ops->snap, device, &error), -EINVAL);
    cr_assert_not_null(strstr(error.text, "timer_zero"), "%s", error.text);
    snap_writer_fini(&saved);
    fake_board_destroy(fb);
    fake_board_destroy(other);
}

static void poke(struct fake_board *fb, uint64_t random)
{
    struct lapic *lapic = find_lapic(fb);
    struct line lint0 = lapic_lint0(lapic), lint1 = lapic_lint1(lapic);
    switch (random % 8) {
    case 0:
        line_set(&lint0, random >> 8 & 1);
        break;
    case 1:
        line_set(&lint1, random >> 8 & 1);
        break;
    case 2:
    case 3:
        lapic_acknowledge(lapic);
        break;
    case 4:
        lapic_set_base(lapic, random >> 8 & 7 ? LAPIC_BASE_RESET : random >> 16);
        break;
    case 5:
        lapic_set_base(lapic, LAPIC_BASE_RESET);
        fake_write32(fb, BASE + SVR, 0x1ff);
        break;
    default:
        lapic_message(lapic, (uint8_t)(random >> 8), random >> 16 & 1, (uint8_t)(random >> 24),
                      (enum lapic_delivery)(random >> 32 & 7), random >> 40 & 1);
        break;
    }
}

static void quiet(struct fake_board *fb)
{
    struct line lint0 = lapic_lint0(find_lapic(fb)), lint1 = lapic_lint1(find_lapic(fb));
    line_set(&lint0, false);
    line_set(&lint1, false);
}

Test(lapic, keeps_the_device_contract)
{
    const struct fuzz_target target = {
        .create = target_create,
        .poke = poke,
        .quiet = quiet,
        .windows = {{.memory = true, .base = BASE, .size = 0x400},
                    {.memory = true, .base = BASE + 0x300, .size = 0x100}},
        .window_count = 2,
    };
    device_contract_check(&target, 4000);
}
