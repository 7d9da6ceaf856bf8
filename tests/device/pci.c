/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The PCI bus, driven through CF8/CFC with a test card that has every kind of BAR.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>

#include "devices/pci.h"
#include "tests/device/port_fuzz.h"

#define CARD_SLOT 3u

struct card {
    struct device device;
    struct pci_function pci;
    struct region memory, ports, rom;
    uint32_t scratch;
    unsigned config_writes;
};

static uint64_t card_read(void *opaque, uint64_t offset, unsigned size)
{
    struct card *card = opaque;
    (void)size;
    return card->scratch + offset;
}

static void card_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct card *card = opaque;
    (void)size;
    card->scratch = (uint32_t)value;
    if (offset == 8) {
        pci_function_set_intx(&card->pci, value & 1);
    }
}

static const struct region_ops card_region_ops = {.read = card_read, .write = card_write};

static int card_post_load(void *object, struct error *error)
{
    struct card *card = object;
    return pci_function_post_load(&card->pci, error);
}

static const struct snap_field card_fields[] = {
    SNAP_STRUCTS(struct card, pci, 1, pci_function_fields),
    SNAP_UINT(struct card, scratch),
};
static const struct snap_desc card_snap = {
    .name = "card", .version = 1, SNAP_FIELDS(card_fields), .post_load = card_post_load};

static void card_reset(struct device *device)
{
    struct card *card = CONTAINER_OF(device, struct card, device);
    card->scratch = 0;
    pci_function_reset(&card->pci);
}

static void card_fini(struct device *device)
{
    struct card *card = CONTAINER_OF(device, struct card, device);
    pci_function_fini(&card->pci);
    free(card);
}

static const struct device_ops card_ops = {
    .name = "card", .reset = card_reset, .fini = card_fini, .snap = &card_snap};

static void card_config_written(struct pci_function *function, unsigned offset, unsigned size)
{
    struct card *card = CONTAINER_OF(function, struct card, pci);
    (void)offset;
    card->config_writes += size;
}

static struct card *card_create(struct fake_board *fb, struct pci_bus *bus, unsigned slot, unsigned pin)
{
    const struct pci_identity identity = {.vendor = 0x1234,
                                          .device = 0x5678,
                                          .class_code = 0x020000,
                                          .revision = 7,
                                          .interrupt_pin = (uint8_t)pin,
                                          .subsystem_vendor = 0x1af4,
                                          .subsystem = 0x1100};
    struct card *card = calloc(1, sizeof(*card));

    cr_assert_not_null(card);
    device_init(&card->device, &card_ops, &fb->board, NULL);
    pci_function_init(&card->pci, bus, slot, 0, &identity);
    card->pci.config_written = card_config_written;
    region_init_io(&card->memory, "card-memory", 0, 0x1000, &card_region_ops, card);
    region_init_io(&card->ports, "card-ports", 0, 0x20, &card_region_ops, card);
    region_init_memory(&card->rom, "card-rom", 0, 0x10000, ram_alloc(&fb->ram, 0x10000), REGION_READ);
    pci_function_add_bar(&card->pci, 0, PCI_BAR_MEMORY, &card->memory);
    pci_function_add_bar(&card->pci, 1, PCI_BAR_IO, &card->ports);
    pci_function_add_bar(&card->pci, PCI_BAR_ROM, PCI_BAR_MEMORY, &card->rom);
    card_reset(&card->device);
    return card;
}

static struct pci_bus *bus_create(struct fake_board *fb)
{
    struct pci_bus *bus = pci_bus_create(&fb->board);
    const struct line pirq[PCI_PIRQS] = {fake_line(fb, 0), fake_line(fb, 1), fake_line(fb, 2),
                                         fake_line(fb, 3)};
    cr_assert_not_null(bus);
    pci_bus_connect_pirq(bus, pirq);
    return bus;
}

static void target_create(struct fake_board *fb)
{
    struct pci_bus *bus = bus_create(fb);
    card_create(fb, bus, CARD_SLOT, 1);
}

static struct card *find_card(struct fake_board *fb)
{
    return CONTAINER_OF(board_find_device(&fb->board, "card"), struct card, device);
}

static void select_register(struct fake_board *fb, unsigned slot, unsigned offset)
{
    fake_outl(fb, 0xcf8, 0x80000000u | slot << 11 | offset);
}

static uint32_t config_in(struct fake_board *fb, unsigned slot, unsigned offset)
{
    select_register(fb, slot, offset);
    return fake_inl(fb, 0xcfc);
}

static void config_out(struct fake_board *fb, unsigned slot, unsigned offset, uint32_t value)
{
    select_register(fb, slot, offset);
    fake_outl(fb, 0xcfc, value);
}

Test(pci, config_address_keeps_its_defined_bits_and_only_takes_dwords)
{
    struct fake_board *fb = fake_board_create();
    target_create(fb);
    fake_outl(fb, 0xcf8, 0xffffffff);
    cr_assert_eq(fake_inl(fb, 0xcf8), 0x80fffffc);
    fake_outb(fb, 0xcf8, 0);
    fake_outw(fb, 0xcfa, 0);
    cr_assert_eq(fake_inl(fb, 0xcf8), 0x80fffffc);
    cr_assert_eq(fake_inb(fb, 0xcf8), 0xff);
    cr_assert_eq(fake_inb(fb, 0xcf9), 0xff, "nobody is connected to CF9");
    fake_board_destroy(fb);
}

Test(pci, the_header_describes_the_card)
{
    struct fake_board *fb = fake_board_create();
    target_create(fb);
    cr_assert_eq(config_in(fb, CARD_SLOT, PCI_VENDOR_ID), 0x56781234);
    cr_assert_eq(config_in(fb, CARD_SLOT, PCI_REVISION_ID), 0x02000007);
    cr_assert_eq(config_in(fb, CARD_SLOT, PCI_SUBSYSTEM_VENDOR_ID), 0x11001af4);
    cr_assert_eq(config_in(fb, CARD_SLOT, PCI_INTERRUPT_LINE), 0x00000100);
    select_register(fb, CARD_SLOT, 0);
    cr_assert_eq(fake_inw(fb, 0xcfe), 0x5678);
    cr_assert_eq(fake_inb(fb, 0xcfd), 0x12);
    config_out(fb, CARD_SLOT, PCI_VENDOR_ID, 0);
    cr_assert_eq(config_in(fb, CARD_SLOT, PCI_VENDOR_ID), 0x56781234, "read-only");
    fake_board_destroy(fb);
}

Test(pci, absent_devices_buses_and_a_closed_window_read_all_ones)
{
    struct fake_board *fb = fake_board_create();
    target_create(fb);
    for (unsigned slot = 0; slot < PCI_SLOTS; slot++) {
        if (slot != CARD_SLOT) {
            cr_assert_eq(config_in(fb, slot, 0), 0xffffffff, "slot %u", slot);
        }
    }
    fake_outl(fb, 0xcf8, 0x80000000u | CARD_SLOT << 11 | 1 << 8);
    cr_assert_eq(fake_inl(fb, 0xcfc), 0xffffffff, "function 1");
    fake_outl(fb, 0xcf8, 0x80010000u | CARD_SLOT << 11);
    cr_assert_eq(fake_inl(fb, 0xcfc), 0xffffffff, "bus 1");
    fake_outl(fb, 0xcf8, CARD_SLOT << 11);
    cr_assert_eq(fake_inl(fb, 0xcfc), 0xffffffff, "enable bit clear");
    fake_board_destroy(fb);
}

Test(pci, bars_answer_the_sizing_question)
{
    struct fake_board *fb = fake_board_create();
    target_create(fb);
    config_out(fb, CARD_SLOT, 0x10, 0xffffffff);
    config_out(fb, CARD_SLOT, 0x14, 0xffffffff);
    config_out(fb, CARD_SLOT, 0x18, 0xffffffff);
    config_out(fb, CARD_SLOT, 0x30, 0xffffffff);
    cr_assert_eq(config_in(fb, CARD_SLOT, 0x10), 0xfffff000);
    cr_assert_eq(config_in(fb, CARD_SLOT, 0x14), 0xffffffe1);
    cr_assert_eq(config_in(fb, CARD_SLOT, 0x18), 0, "not implemented");
    cr_assert_eq(config_in(fb, CARD_SLOT, 0x30), 0xffff0001);
    fake_board_destroy(fb);
}

Test(pci, a_bar_decodes_only_while_the_command_register_enables_its_space)
{
    struct fake_board *fb = fake_board_create();
    target_create(fb);
    config_out(fb, CARD_SLOT, 0x10, 0xe0000000);
    config_out(fb, CARD_SLOT, 0x14, 0xc000);
    fake_write32(fb, 0xe0000000, 0x11);
    cr_assert_eq(fake_read32(fb, 0xe0000000), 0xffffffff);
    config_out(fb, CARD_SLOT, PCI_COMMAND, PCI_COMMAND_MEMORY);
    fake_write32(fb, 0xe0000000, 0x11);
    cr_assert_eq(fake_read32(fb, 0xe0000004), 0x15);
    cr_assert_eq(fake_inl(fb, 0xc000), 0xffffffff, "ports are still closed");
    config_out(fb, CARD_SLOT, PCI_COMMAND, PCI_COMMAND_IO);
    cr_assert_eq(fake_inl(fb, 0xc004), 0x15);
    cr_assert_eq(fake_read32(fb, 0xe0000004), 0xffffffff);
    fake_board_destroy(fb);
}

Test(pci, a_moved_bar_leaves_its_old_place)
{
    struct fake_board *fb = fake_board_create();
    target_create(fb);
    config_out(fb, CARD_SLOT, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_IO);
    config_out(fb, CARD_SLOT, 0x14, 0xc000);
    cr_assert_eq(fake_inl(fb, 0xc000), 0);
    config_out(fb, CARD_SLOT, 0x14, 0xd000);
    cr_assert_eq(fake_inl(fb, 0xc000), 0xffffffff);
    cr_assert_eq(fake_inl(fb, 0xd000), 0);
    config_out(fb, CARD_SLOT, 0x14, 0x1d000);
    cr_assert_eq(fake_inl(fb, 0xd000), 0xffffffff, "beyond the port space");
    fake_board_destroy(fb);
}

Test(pci, a_bar_on_top_of_ram_does_not_hide_it)
{
    struct fake_board *fb = fake_board_create();
    target_create(fb);
    fake_write32(fb, 0x100000, 0xdeadbeef);
    config_out(fb, CARD_SLOT, PCI_COMMAND, PCI_COMMAND_MEMORY);
    config_out(fb, CARD_SLOT, 0x10, 0x100000);
    cr_assert_eq(fake_read32(fb, 0x100000), 0xdeadbeef);
    fake_board_destroy(fb);
}

Test(pci, the_rom_needs_its_own_enable_bit_too)
{
    struct fake_board *fb = fake_board_create();
    target_create(fb);
    struct card *card = find_card(fb);
    store_le32(ram_ptr(&fb->ram, card->rom.roff), 0x0000aa55);
    config_out(fb, CARD_SLOT, PCI_COMMAND, PCI_COMMAND_MEMORY);
    config_out(fb, CARD_SLOT, 0x30, 0xf0000000);
    cr_assert_eq(fake_read32(fb, 0xf0000000), 0xffffffff);
    config_out(fb, CARD_SLOT, 0x30, 0xf0000001);
    cr_assert_eq(fake_read32(fb, 0xf0000000), 0x0000aa55);
    fake_write32(fb, 0xf0000000, 0);
    cr_assert_eq(fake_read32(fb, 0xf0000000), 0x0000aa55, "ROM");
    fake_board_destroy(fb);
}

Test(pci, neighbouring_slots_use_different_pirqs)
{
    cr_assert_eq(pci_bus_pirq(1, 1), 0);
    cr_assert_eq(pci_bus_pirq(1, 4), 3);
    cr_assert_eq(pci_bus_pirq(2, 1), 1);
    cr_assert_eq(pci_bus_pirq(3, 1), 2);
    cr_assert_eq(pci_bus_pirq(5, 1), 0);
}

Test(pci, cards_on_one_pirq_are_ored)
{
    struct fake_board *fb = fake_board_create();
    struct pci_bus *bus = bus_create(fb);
    struct card *a = card_create(fb, bus, 3, 1), *b = card_create(fb, bus, 7, 1);
    pci_function_set_intx(&a->pci, true);
    pci_function_set_intx(&b->pci, true);
    cr_assert(fb->lines[2].level);
    pci_function_set_intx(&a->pci, false);
    cr_assert(fb->lines[2].level);
    device_destroy(&b->device);
    cr_assert_not(fb->lines[2].level, "a card that leaves lets go of its pin");
    cr_assert_eq(fb->lines[0].rises + fb->lines[1].rises + fb->lines[3].rises, 0);
    fake_board_destroy(fb);
}

Test(pci, the_command_register_masks_intx_and_the_status_register_still_shows_it)
{
    struct fake_board *fb = fake_board_create();
    target_create(fb);
    config_out(fb, CARD_SLOT, PCI_COMMAND, PCI_COMMAND_INTX_DISABLE);
    pci_function_set_intx(&find_card(fb)->pci, true);
    cr_assert_not(fb->lines[2].level);
    cr_assert(config_in(fb, CARD_SLOT, PCI_COMMAND) & PCI_STATUS_INTERRUPT << 16);
    config_out(fb, CARD_SLOT, PCI_COMMAND, 0);
    cr_assert(fb->lines[2].level);
    fake_board_destroy(fb);
}

Test(pci, capabilities_are_chained)
{
    struct fake_board *fb = fake_board_create();
    target_create(fb);
    struct pci_function *pci = &find_card(fb)->pci;
    unsigned first = pci_function_add_capability(pci, 0x05, 10);
    unsigned second = pci_function_add_capability(pci, 0x01, 8);
    cr_assert_eq(first, 0x40);
    cr_assert_eq(second, 0x4c);
    cr_assert_eq(config_in(fb, CARD_SLOT, PCI_CAPABILITIES) & 0xff, second);
    cr_assert_eq(config_in(fb, CARD_SLOT, second) & 0xffff, 0x4001);
    cr_assert_eq(config_in(fb, CARD_SLOT, first) & 0xffff, 0x0005);
    cr_assert(config_in(fb, CARD_SLOT, PCI_COMMAND) & PCI_STATUS_CAPABILITIES << 16);
    cr_assert_eq(pci_function_add_capability(pci, 0x09, 0xc0), 0, "no room");
    fake_board_destroy(fb);
}

Test(pci, free_slots_are_found_in_order)
{
    struct fake_board *fb = fake_board_create();
    struct pci_bus *bus = bus_create(fb);
    for (unsigned slot = 0; slot < PCI_SLOTS; slot++) {
        cr_assert_eq(pci_bus_free_slot(bus), (int)slot);
        card_create(fb, bus, slot, 0);
    }
    cr_assert_eq(pci_bus_free_slot(bus), -1);
    fake_board_destroy(fb);
}

Test(pci, a_load_maps_the_bars_again)
{
    struct fake_board *fb = fake_board_create(), *other = fake_board_create();
    target_create(fb);
    target_create(other);
    config_out(fb, CARD_SLOT, 0x14, 0xc000);
    config_out(fb, CARD_SLOT, PCI_COMMAND, PCI_COMMAND_IO);
    fake_outl(fb, 0xc000, 0x33);
    fake_expect_same_after_load(&find_card(fb)->device, &find_card(other)->device);
    cr_assert_eq(fake_inl(other, 0xc000), 0x33);
    fake_board_destroy(fb);
    fake_board_destroy(other);
}

Test(pci, a_load_refuses_config_bytes_the_guest_cannot_write)
{
    struct fake_board *fb = fake_board_create();
    struct error error = {.text = ""};
    target_create(fb);
    struct card *card = find_card(fb);
    card->pci.config[0x11] = 0x07; /* below the BAR's size */
    cr_assert_eq(pci_function_post_load(&card->pci, &error), -EINVAL);
    cr_assert_not_null(strstr(error.text, "0x11"), "%s", error.text);
    fake_board_destroy(fb);
}

/* Aimed configuration writes: random ones through CF8 rarely hit the card. */
static void poke_config(struct fake_board *fb, uint64_t random)
{
    unsigned offset = (random >> 32) % 0x40;
    pci_config_write(find_card(fb)->pci.bus, 0, CARD_SLOT, 0, offset, (uint32_t)random, 1 + offset % 4);
}

Test(pci, keeps_the_device_contract)
{
    const struct fuzz_target target = {
        .create = target_create,
        .poke = poke_config,
        .windows = {{.base = 0xcf8, .size = 8}, {.base = 0xcf8, .size = 8}, {.base = 0xc000, .size = 64}},
        .window_count = 3,
    };
    device_contract_check(&target, 4000);
}
