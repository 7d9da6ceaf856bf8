/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The 82093AA, with a recorder in the place of the local APIC.
 *
 * Fake line 0 pulses with every message.
 */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "devices/ioapic.h"
#include "tests/device/port_fuzz.h"

/* A device, so that the messages' receiver dies with the board. */
struct recorder {
    struct device device;
    struct fake_board *fb;
    bool refuse;
    unsigned count;
    uint8_t destination, vector, mode;
    bool logical, level;
};

static const struct snap_field recorder_fields[] = {SNAP_BOOL(struct recorder, refuse)};
static const struct snap_desc recorder_snap = {
    .name = "recorder", .version = 1, SNAP_FIELDS(recorder_fields)};

static void recorder_reset(struct device *device)
{
    CONTAINER_OF(device, struct recorder, device)->refuse = false;
}

static void recorder_fini(struct device *device)
{
    free(CONTAINER_OF(device, struct recorder, device));
}

static const struct device_ops recorder_ops = {
    .name = "recorder", .reset = recorder_reset, .fini = recorder_fini, .snap = &recorder_snap};

static bool record(void *opaque, uint8_t destination, bool logical, uint8_t vector, uint8_t mode, bool level)
{
    struct recorder *recorder = opaque;
    struct line line = fake_line(recorder->fb, 0);
    line_pulse(&line);
    recorder->count++;
    recorder->destination = destination;
    recorder->vector = vector;
    recorder->mode = mode;
    recorder->logical = logical;
    recorder->level = level;
    return !recorder->refuse;
}

static void target_create(struct fake_board *fb)
{
    struct recorder *recorder = calloc(1, sizeof(*recorder));
    cr_assert_not_null(recorder);
    recorder->fb = fb;
    device_init(&recorder->device, &recorder_ops, &fb->board, NULL);
    const struct ioapic_wiring wiring = {.deliver = record, .opaque = recorder};
    cr_assert_not_null(ioapic_create(&fb->board, &wiring));
}

static struct fake_board *machine_create(void)
{
    struct fake_board *fb = fake_board_create();
    target_create(fb);
    return fb;
}

static struct ioapic *find_ioapic(struct fake_board *fb)
{
    return CONTAINER_OF(board_find_device(&fb->board, "ioapic"), struct ioapic, device);
}

static struct recorder *find_recorder(struct fake_board *fb)
{
    return CONTAINER_OF(board_find_device(&fb->board, "recorder"), struct recorder, device);
}

static void out(struct fake_board *fb, uint8_t reg, uint32_t value)
{
    fake_write32(fb, IOAPIC_BASE, reg);
    fake_write32(fb, IOAPIC_BASE + 0x10, value);
}

static uint32_t in(struct fake_board *fb, uint8_t reg)
{
    fake_write32(fb, IOAPIC_BASE, reg);
    return fake_read32(fb, IOAPIC_BASE + 0x10);
}

static void set_pin(struct fake_board *fb, unsigned pin, bool level)
{
    struct line line = ioapic_input(find_ioapic(fb), pin);
    line_set(&line, level);
}

Test(ioapic, registers_after_reset)
{
    struct fake_board *fb = machine_create();
    cr_assert_eq(in(fb, 0), 0);
    cr_assert_eq(in(fb, 1), 0x00170011);
    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++) {
        cr_assert_eq(in(fb, (uint8_t)(0x10 + 2 * pin)), 0x00010000);
        cr_assert_eq(in(fb, (uint8_t)(0x11 + 2 * pin)), 0);
    }
    cr_assert_eq(in(fb, 0x40), 0, "no such register");
    out(fb, 0, 0xff000000);
    cr_assert_eq(in(fb, 0), 0x0f000000);
    cr_assert_eq(in(fb, 2), 0x0f000000);
    fake_board_destroy(fb);
}

Test(ioapic, read_only_bits_of_an_entry_stay_clear)
{
    struct fake_board *fb = machine_create();
    out(fb, 0x10, 0xffffffff);
    out(fb, 0x11, 0xffffffff);
    cr_assert_eq(in(fb, 0x10), 0x0001afff);
    cr_assert_eq(in(fb, 0x11), 0xff000000);
    fake_board_destroy(fb);
}

Test(ioapic, an_edge_sends_one_message)
{
    struct fake_board *fb = machine_create();
    struct recorder *recorder = find_recorder(fb);
    out(fb, 0x13, 0x05000000);
    out(fb, 0x12, 0x00000931);
    set_pin(fb, 1, true);
    set_pin(fb, 1, true);
    cr_assert_eq(recorder->count, 1);
    cr_assert_eq(recorder->destination, 5);
    cr_assert_eq(recorder->vector, 0x31);
    cr_assert_eq(recorder->mode, 1);
    cr_assert(recorder->logical);
    cr_assert_not(recorder->level);
    set_pin(fb, 1, false);
    set_pin(fb, 1, true);
    cr_assert_eq(recorder->count, 2);
    fake_board_destroy(fb);
}

Test(ioapic, masked_edges_are_lost)
{
    struct fake_board *fb = machine_create();
    out(fb, 0x12, 0x00010031);
    set_pin(fb, 1, true);
    out(fb, 0x12, 0x00000031);
    cr_assert_eq(find_recorder(fb)->count, 0);
    fake_board_destroy(fb);
}

Test(ioapic, a_level_is_sent_again_after_each_eoi_while_it_lasts)
{
    struct fake_board *fb = machine_create();
    struct recorder *recorder = find_recorder(fb);
    out(fb, 0x10 + 2 * 9, 0x0000a041);
    set_pin(fb, 9, true);
    cr_assert_eq(recorder->count, 1);
    cr_assert(recorder->level);
    cr_assert_eq(in(fb, 0x10 + 2 * 9), 0x0000e041, "remote IRR");
    ioapic_eoi(find_ioapic(fb), 0x40);
    cr_assert_eq(recorder->count, 1, "another vector");
    ioapic_eoi(find_ioapic(fb), 0x41);
    cr_assert_eq(recorder->count, 2);
    set_pin(fb, 9, false);
    ioapic_eoi(find_ioapic(fb), 0x41);
    cr_assert_eq(recorder->count, 2);
    cr_assert_eq(in(fb, 0x10 + 2 * 9), 0x0000a041);
    fake_board_destroy(fb);
}

Test(ioapic, a_masked_level_is_sent_when_it_is_unmasked)
{
    struct fake_board *fb = machine_create();
    out(fb, 0x10, 0x00018041);
    set_pin(fb, 0, true);
    cr_assert_eq(find_recorder(fb)->count, 0);
    out(fb, 0x10, 0x00008041);
    cr_assert_eq(find_recorder(fb)->count, 1);
    fake_board_destroy(fb);
}

Test(ioapic, turning_an_entry_to_edge_clears_remote_irr)
{
    struct fake_board *fb = machine_create();
    out(fb, 0x10, 0x00008041);
    set_pin(fb, 0, true);
    out(fb, 0x10, 0x00010041);
    cr_assert_eq(in(fb, 0x10), 0x00010041);
    out(fb, 0x10, 0x00008041);
    cr_assert_eq(find_recorder(fb)->count, 2);
    fake_board_destroy(fb);
}

Test(ioapic, a_refused_level_message_is_tried_again)
{
    struct fake_board *fb = machine_create();
    find_recorder(fb)->refuse = true;
    out(fb, 0x10, 0x00008041);
    set_pin(fb, 0, true);
    cr_assert_eq(in(fb, 0x10), 0x00008041);
    find_recorder(fb)->refuse = false;
    out(fb, 0x10, 0x00008041);
    cr_assert_eq(in(fb, 0x10), 0x0000c041);
    fake_board_destroy(fb);
}

Test(ioapic, there_are_24_inputs)
{
    struct fake_board *fb = machine_create();
    cr_assert_not_null(ioapic_input(find_ioapic(fb), 23).set);
    cr_assert_null(ioapic_input(find_ioapic(fb), 24).set);
    fake_board_destroy(fb);
}

static void poke(struct fake_board *fb, uint64_t random)
{
    switch (random % 3) {
    case 0:
        ioapic_eoi(find_ioapic(fb), (uint8_t)(random >> 8));
        break;
    case 1:
        out(fb, (uint8_t)(0x10 + (random >> 8) % 48), (uint32_t)(random >> 16));
        break;
    default:
        set_pin(fb, (random >> 8) % IOAPIC_PINS, random >> 16 & 1);
        break;
    }
}

static void quiet(struct fake_board *fb)
{
    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++) {
        set_pin(fb, pin, false);
    }
}

Test(ioapic, keeps_the_device_contract)
{
    const struct fuzz_target target = {
        .create = target_create,
        .poke = poke,
        .quiet = quiet,
        .windows = {{.memory = true, .base = IOAPIC_BASE, .size = 0x40}},
        .window_count = 1,
    };
    device_contract_check(&target, 4000);
}
