/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The 82371AB power management function: where firmware puts it, the PM timer, SCI, soft off, SMBus.
 *
 * Fake lines: 0 SCI, 1 power off.
 */
#include <criterion/criterion.h>

#include "devices/piix4_pm.h"
#include "tests/device/port_fuzz.h"

enum { LINE_SCI, LINE_POWER_OFF };

#define PM  0x600u
#define SMB 0x700u

static void target_create(struct fake_board *fb)
{
    const struct piix4_pm_wiring wiring = {.sci = fake_line(fb, LINE_SCI),
                                           .power_off = fake_line(fb, LINE_POWER_OFF)};
    cr_assert_not_null(piix4_pm_create(&fb->board, pci_bus_create(&fb->board), &wiring));
}

static struct piix4_pm *find_pm(struct fake_board *fb)
{
    return CONTAINER_OF(board_find_device(&fb->board, "piix4_pm"), struct piix4_pm, device);
}

static void config_out(struct fake_board *fb, unsigned offset, uint32_t value, unsigned size)
{
    pci_config_write(find_pm(fb)->pci.bus, 0, 1, 3, offset, value, size);
}

static uint32_t config_in(struct fake_board *fb, unsigned offset, unsigned size)
{
    return pci_config_read(find_pm(fb)->pci.bus, 0, 1, 3, offset, size);
}

/* As the firmware leaves it. */
static struct fake_board *machine_create(void)
{
    struct fake_board *fb = fake_board_create();
    target_create(fb);
    config_out(fb, 0x40, PM | 1, 4);
    config_out(fb, 0x80, 1, 1);
    config_out(fb, 0x90, SMB | 1, 4);
    config_out(fb, 0xd2, 0x09, 1);
    return fb;
}

Test(piix4_pm, identifies_itself_and_says_that_smm_is_installed)
{
    struct fake_board *fb = fake_board_create();
    target_create(fb);
    cr_assert_eq(config_in(fb, 0, 4), 0x71138086);
    cr_assert_eq(config_in(fb, 8, 4), 0x06800003);
    cr_assert_eq(config_in(fb, 0x3d, 1), 1);
    cr_assert(config_in(fb, 0x58, 4) & 0x02000000);
    cr_assert_eq(config_in(fb, 0x40, 4), 1);
    fake_board_destroy(fb);
}

Test(piix4_pm, registers_appear_where_pmbase_says_and_only_when_enabled)
{
    struct fake_board *fb = fake_board_create();
    target_create(fb);
    config_out(fb, 0x40, PM | 1, 4);
    cr_assert_eq(fake_inw(fb, PM), 0xffff);
    config_out(fb, 0x80, 1, 1);
    cr_assert_eq(fake_inw(fb, PM), 0);
    config_out(fb, 0x40, 0xb000, 4);
    cr_assert_eq(fake_inw(fb, PM), 0xffff);
    cr_assert_eq(fake_inw(fb, 0xb000), 0);
    board_reset_devices(&fb->board);
    cr_assert_eq(fake_inw(fb, 0xb000), 0xffff);
    fake_board_destroy(fb);
}

Test(piix4_pm, the_timer_counts_at_its_frequency_and_wraps_at_24_bits)
{
    struct fake_board *fb = machine_create();
    cr_assert_eq(fake_inl(fb, PM + 8), 0);
    fake_step(fb, NS_PER_SEC);
    cr_assert_eq(fake_inl(fb, PM + 8), 3579545);
    fake_outl(fb, PM + 8, 0);
    cr_assert_eq(fake_inl(fb, PM + 8), 3579545, "read-only");
    fake_step(fb, 4 * NS_PER_SEC);
    cr_assert_eq(fake_inl(fb, PM + 8), 5ull * 3579545 % 0x1000000);
    fake_board_destroy(fb);
}

/* In real time, which goes on between the bytes of an access: a torn value would seem to go back. */
Test(piix4_pm, the_timer_is_read_as_of_one_moment)
{
    struct fake_board *fb = machine_create();
    uint32_t last = 0;

    fb->clock.policy = CLOCK_REAL_TIME;
    clock_set_now(&fb->clock, 0);
    clock_start(&fb->clock);
    for (unsigned i = 0; i < 1000000; i++) {
        uint32_t value = fake_inl(fb, PM + 8);

        cr_assert_geq(value, last);
        last = value;
    }
    fake_board_destroy(fb);
}

Test(piix4_pm, the_timer_overflow_raises_sci_when_bit_23_toggles)
{
    struct fake_board *fb = machine_create();
    uint64_t toggle = 0x800000ull * NS_PER_SEC / 3579545;
    fake_outw(fb, PM + 2, 1);
    fake_outw(fb, PM + 4, 1);
    fake_step(fb, toggle - 1000);
    cr_assert_not(fb->lines[LINE_SCI].level);
    fake_step(fb, 2000);
    cr_assert(fb->lines[LINE_SCI].level);
    cr_assert_eq(fake_inw(fb, PM), 1);
    fake_outw(fb, PM, 1);
    cr_assert_not(fb->lines[LINE_SCI].level);
    fake_step(fb, toggle);
    cr_assert_eq(fb->lines[LINE_SCI].rises, 2, "again at the next toggle");
    fake_board_destroy(fb);
}

Test(piix4_pm, the_overflow_is_seen_by_polling_too)
{
    struct fake_board *fb = machine_create();
    fake_step(fb, 3 * NS_PER_SEC);
    cr_assert_eq(fake_inw(fb, PM), 1);
    fake_outw(fb, PM, 0xffff);
    cr_assert_eq(fake_inw(fb, PM), 0);
    cr_assert_not(fb->lines[LINE_SCI].level);
    fake_board_destroy(fb);
}

Test(piix4_pm, the_power_button_interrupts_an_acpi_guest)
{
    struct fake_board *fb = machine_create();
    fake_outw(fb, PM + 2, 0x100);
    piix4_pm_power_button(find_pm(fb));
    cr_assert_not(fb->lines[LINE_SCI].level, "SCI_EN is clear");
    fake_outb(fb, 0xb2, 0xf1);
    cr_assert_eq(fake_inw(fb, PM + 4), 1, "ACPI enabled");
    cr_assert(fb->lines[LINE_SCI].level);
    cr_assert_eq(fake_inw(fb, PM), 0x100);
    fake_outb(fb, PM + 1, 0x01);
    cr_assert_not(fb->lines[LINE_SCI].level);
    fake_outb(fb, 0xb2, 0xf0);
    cr_assert_eq(fake_inw(fb, PM + 4), 0);
    fake_board_destroy(fb);
}

Test(piix4_pm, apm_ports_keep_what_is_written)
{
    struct fake_board *fb = machine_create();
    fake_outb(fb, 0xb2, 0x12);
    fake_outb(fb, 0xb3, 0x34);
    cr_assert_eq(fake_inb(fb, 0xb2), 0x12);
    cr_assert_eq(fake_inb(fb, 0xb3), 0x34);
    fake_board_destroy(fb);
}

Test(piix4_pm, soft_off_pulses_power_off)
{
    struct fake_board *fb = machine_create();
    fake_outw(fb, PM + 4, 0x0001);
    cr_assert_eq(fb->lines[LINE_POWER_OFF].rises, 0);
    fake_outw(fb, PM + 4, 0x2001);
    cr_assert_eq(fb->lines[LINE_POWER_OFF].rises, 1);
    cr_assert_eq(fake_inw(fb, PM + 4), 1, "SUS_EN reads zero");
    fake_board_destroy(fb);
}

Test(piix4_pm, suspend_to_ram_wakes_at_once)
{
    struct fake_board *fb = machine_create();
    fake_outw(fb, PM + 4, 0x2400);
    cr_assert_eq(fb->lines[LINE_POWER_OFF].rises, 0);
    cr_assert_eq(fake_inw(fb, PM), 0x8000);
    fake_board_destroy(fb);
}

Test(piix4_pm, general_purpose_events_raise_sci)
{
    struct fake_board *fb = machine_create();
    fake_outb(fb, 0xb2, 0xf1);
    piix4_pm_gpe(find_pm(fb), 9);
    cr_assert_eq(fake_inl(fb, 0xafe0), 0x00000200);
    cr_assert_not(fb->lines[LINE_SCI].level);
    fake_outb(fb, 0xafe3, 0x02);
    cr_assert(fb->lines[LINE_SCI].level);
    fake_outb(fb, 0xafe1, 0x02);
    cr_assert_not(fb->lines[LINE_SCI].level);
    cr_assert_eq(fake_inl(fb, 0xafe0), 0x02000000);
    fake_board_destroy(fb);
}

Test(piix4_pm, every_smbus_transaction_ends_with_a_device_error)
{
    struct fake_board *fb = machine_create();
    fake_outb(fb, SMB + 4, 0xa1);
    cr_assert_eq(fake_inb(fb, SMB + 4), 0xa1);
    fake_outb(fb, SMB + 2, 0x48);
    cr_assert_eq(fake_inb(fb, SMB), 0x04, "not busy, device error");
    cr_assert_eq(fake_inb(fb, SMB + 2), 0x08, "START reads zero");
    fake_outb(fb, SMB, 0x1f);
    cr_assert_eq(fake_inb(fb, SMB), 0);
    fake_outb(fb, SMB + 2, 0x49);
    cr_assert(fb->lines[LINE_SCI].level, "INTEREN with routing to IRQ 9");
    fake_outb(fb, SMB, 0x04);
    cr_assert_not(fb->lines[LINE_SCI].level);
    fake_board_destroy(fb);
}

Test(piix4_pm, the_smbus_block_buffer_wraps)
{
    struct fake_board *fb = machine_create();
    fake_inb(fb, SMB + 2);
    for (unsigned i = 0; i < 40; i++) {
        fake_outb(fb, SMB + 7, (uint8_t)i);
    }
    fake_inb(fb, SMB + 2);
    cr_assert_eq(fake_inb(fb, SMB + 7), 32);
    for (unsigned i = 1; i < 8; i++) {
        fake_inb(fb, SMB + 7);
    }
    cr_assert_eq(fake_inb(fb, SMB + 7), 8);
    fake_board_destroy(fb);
}

static void poke(struct fake_board *fb, uint64_t random)
{
    switch (random % 8) {
    case 0:
        piix4_pm_power_button(find_pm(fb));
        break;
    case 1:
        piix4_pm_gpe(find_pm(fb), (unsigned)(random >> 8));
        break;
    case 2:
        config_out(fb, (random >> 8) % 256, (uint8_t)(random >> 16), 1);
        break;
    default:
        config_out(fb, 0x40, PM, 4);
        config_out(fb, 0x80, 1, 1);
        config_out(fb, 0x90, SMB, 4);
        config_out(fb, 0xd2, 9, 1);
        break;
    }
}

Test(piix4_pm, keeps_the_device_contract)
{
    const struct fuzz_target target = {
        .create = target_create,
        .poke = poke,
        .windows = {{.base = PM, .size = 64},
                    {.base = PM, .size = 12},
                    {.base = SMB, .size = 16},
                    {.base = 0xafe0, .size = 4},
                    {.base = 0xb2, .size = 2}},
        .window_count = 5,
        .max_step_ns = 3 * NS_PER_SEC,
    };
    device_contract_check(&target, 4000);
}
