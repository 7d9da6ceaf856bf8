/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The PCI bus and its configuration mechanism #1.
 *
 * Source: PCI Local Bus Specification 2.1, chapter 6; 82441FX data sheet for CONFADD/CONFDATA; 82371SB data
 * sheet for the reset control register inside CONFADD's dword.
 *
 * How a BAR becomes a mapping: the device initialises a region and hands it over; it sits in its address space
 * disabled until the guest sets the space's enable bit in the command register and a usable address in the BAR.
 * All of that is recomputed from the config bytes after every write to them, so there is no second state.
 *
 * Not modelled: further buses, 64-bit BARs, error reporting (the error bits of the status register never rise).
 */
#include "devices/pci.h"

#include <errno.h>
#include <stdlib.h>

#define CONFIG_ADDRESS_PORT   0xcf8
#define CONFIG_DATA_PORT      0xcfc
#define CONFIG_ADDRESS_ENABLE 0x80000000u
#define CONFIG_ADDRESS_MASK   0x80fffffcu
#define RESET_CONTROL_OFFSET  1u

static const struct snap_field pci_bus_fields[] = {
    SNAP_UINT(struct pci_bus, config_address),
};

static const struct snap_desc pci_bus_snap = {.name = "pci", .version = 1, SNAP_FIELDS(pci_bus_fields)};

const struct snap_field pci_function_fields[2] = {
    SNAP_BYTES(struct pci_function, config),
    SNAP_BOOL(struct pci_function, intx),
};

/* --- Interrupt pins ---------------------------------------------------------------------------------- */

/*
 * The pins of neighbouring slots are rotated so that INTA# of four cards uses four lines. The board counts from
 * slot 1 as 0; the interrupt tables of the firmware say the same.
 */
unsigned pci_bus_pirq(unsigned slot, unsigned pin)
{
    return (slot + pin + PCI_PIRQS - 2) % PCI_PIRQS;
}

static bool function_asserts(const struct pci_function *function)
{
    return function->intx && !(pci_config_get16(function, PCI_COMMAND) & PCI_COMMAND_INTX_DISABLE);
}

static bool pirq_level(const struct pci_bus *bus, unsigned pirq)
{
    for (unsigned slot = 0; slot < PCI_SLOTS; slot++) {
        for (unsigned number = 0; number < PCI_FUNCTIONS; number++) {
            const struct pci_function *function = bus->function[slot][number];
            if (function && function_asserts(function) &&
                pci_bus_pirq(slot, function->initial[PCI_INTERRUPT_PIN]) == pirq) {
                return true;
            }
        }
    }
    return false;
}

static void update_intx(struct pci_function *function)
{
    uint8_t pin = function->initial[PCI_INTERRUPT_PIN];
    if (pin == 0) {
        return;
    }
    if (function->intx) {
        function->config[PCI_STATUS] |= PCI_STATUS_INTERRUPT;
    } else {
        function->config[PCI_STATUS] &= (uint8_t)~PCI_STATUS_INTERRUPT;
    }
    unsigned pirq = pci_bus_pirq(function->slot, pin);
    line_set(&function->bus->pirq[pirq], pirq_level(function->bus, pirq));
}

void pci_function_set_intx(struct pci_function *function, bool level)
{
    if (function->intx != level) {
        function->intx = level;
        update_intx(function);
    }
}

/* --- Base address registers -------------------------------------------------------------------------- */

static unsigned bar_offset(unsigned index)
{
    return index == PCI_BAR_ROM ? PCI_ROM_ADDRESS : PCI_BASE_ADDRESS + 4 * index;
}

static struct addr_space *bar_space(const struct pci_function *function, const struct pci_bar *bar)
{
    struct board *board = function->bus->device.board;
    return bar->kind == PCI_BAR_IO ? board->io : board->mem;
}

/* Where the BAR decodes now; false when it decodes nothing. Address 0 means "not programmed". */
static bool bar_address(const struct pci_function *function, unsigned index, uint64_t *base)
{
    const struct pci_bar *bar = &function->bar[index];
    uint32_t value = pci_config_get32(function, bar_offset(index));
    uint8_t command = function->config[PCI_COMMAND];
    uint64_t limit = bar->kind == PCI_BAR_IO ? bar_space(function, bar)->last : UINT32_MAX;

    if (!(command & (bar->kind == PCI_BAR_IO ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY))) {
        return false;
    }
    if (index == PCI_BAR_ROM && !(value & 1)) {
        return false;
    }
    *base = ALIGN_DOWN(value, bar->region->size);
    return *base != 0 && *base + bar->region->size - 1 <= limit;
}

static void update_bar(struct pci_function *function, unsigned index)
{
    struct region *region = function->bar[index].region;
    uint64_t base = 0;
    bool enabled = bar_address(function, index, &base);

    if (region->enabled && (!enabled || region->base != base)) {
        region_set_enabled(region, false);
    }
    if (enabled && !region->enabled) {
        region_move(region, base);
        region_set_enabled(region, true);
    }
}

static void update_mappings(struct pci_function *function)
{
    struct board *board = function->bus->device.board;

    addr_space_begin(board->mem);
    addr_space_begin(board->io);
    for (unsigned i = 0; i < PCI_BARS; i++) {
        if (function->bar[i].region) {
            update_bar(function, i);
        }
    }
    addr_space_end(board->io);
    addr_space_end(board->mem);
}

void pci_function_add_bar(struct pci_function *function, unsigned index, enum pci_bar_kind kind,
                          struct region *region)
{
    uint32_t size_mask = (uint32_t) ~(region->size - 1);
    unsigned offset = bar_offset(index);

    function->bar[index] = (struct pci_bar){.region = region, .kind = (uint8_t)kind};
    if (index == PCI_BAR_ROM) {
        pci_config_define32(function, offset, 0, (size_mask & ~0x7ffu) | 1);
    } else if (kind == PCI_BAR_IO) {
        pci_config_define32(function, offset, 1, size_mask & ~0x3u);
    } else {
        pci_config_define32(function, offset, kind == PCI_BAR_PREFETCHABLE ? 8 : 0, size_mask & ~0xfu);
    }
    region->priority = PCI_BAR_PRIORITY;
    region->enabled = false;
    addr_space_add(bar_space(function, &function->bar[index]), region);
}

/* --- Describing a function --------------------------------------------------------------------------- */

void pci_config_define8(struct pci_function *function, unsigned offset, uint8_t value, uint8_t writable)
{
    function->initial[offset] = value;
    function->config[offset] = value;
    function->writable[offset] = writable;
}

void pci_config_define16(struct pci_function *function, unsigned offset, uint16_t value, uint16_t writable)
{
    pci_config_define8(function, offset, (uint8_t)value, (uint8_t)writable);
    pci_config_define8(function, offset + 1, (uint8_t)(value >> 8), (uint8_t)(writable >> 8));
}

void pci_config_define32(struct pci_function *function, unsigned offset, uint32_t value, uint32_t writable)
{
    pci_config_define16(function, offset, (uint16_t)value, (uint16_t)writable);
    pci_config_define16(function, offset + 2, (uint16_t)(value >> 16), (uint16_t)(writable >> 16));
}

static void define_header(struct pci_function *function, const struct pci_identity *identity)
{
    uint16_t command = PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_PARITY |
                       PCI_COMMAND_SERR | (identity->interrupt_pin ? PCI_COMMAND_INTX_DISABLE : 0);

    pci_config_define16(function, PCI_VENDOR_ID, identity->vendor, 0);
    pci_config_define16(function, PCI_DEVICE_ID, identity->device, 0);
    pci_config_define16(function, PCI_COMMAND, 0, command);
    pci_config_define16(function, PCI_STATUS, PCI_STATUS_DEVSEL_MEDIUM, 0);
    function->write_clear[PCI_STATUS + 1] = PCI_STATUS_ERRORS >> 8;
    function->device_owned[PCI_STATUS] = identity->interrupt_pin ? PCI_STATUS_INTERRUPT : 0;
    pci_config_define8(function, PCI_REVISION_ID, identity->revision, 0);
    pci_config_define8(function, PCI_CLASS_CODE, (uint8_t)identity->class_code, 0);
    pci_config_define16(function, PCI_CLASS_CODE + 1, (uint16_t)(identity->class_code >> 8), 0);
    pci_config_define8(function, PCI_LATENCY_TIMER, 0, 0xf8);
    pci_config_define8(function, PCI_HEADER_TYPE, identity->multi_function ? 0x80 : 0, 0);
    pci_config_define16(function, PCI_SUBSYSTEM_VENDOR_ID, identity->subsystem_vendor, 0);
    pci_config_define16(function, PCI_SUBSYSTEM_ID, identity->subsystem, 0);
    pci_config_define8(function, PCI_INTERRUPT_LINE, 0, identity->interrupt_pin ? 0xff : 0);
    pci_config_define8(function, PCI_INTERRUPT_PIN, identity->interrupt_pin, 0);
}

void pci_function_init(struct pci_function *function, struct pci_bus *bus, unsigned slot, unsigned number,
                       const struct pci_identity *identity)
{
    *function = (struct pci_function){.bus = bus,
                                      .slot = (uint8_t)(slot % PCI_SLOTS),
                                      .function = (uint8_t)(number % PCI_FUNCTIONS),
                                      .capability_end = PCI_HEADER_SIZE};
    define_header(function, identity);
    bus->function[function->slot][function->function] = function;
}

void pci_function_fini(struct pci_function *function)
{
    if (!function->bus) {
        return;
    }
    pci_function_set_intx(function, false);
    for (unsigned i = 0; i < PCI_BARS; i++) {
        if (function->bar[i].region) {
            addr_space_remove(bar_space(function, &function->bar[i]), function->bar[i].region);
        }
    }
    function->bus->function[function->slot][function->function] = NULL;
    function->bus = NULL;
}

unsigned pci_function_add_capability(struct pci_function *function, uint8_t id, unsigned size)
{
    unsigned offset = (unsigned)ALIGN_UP(function->capability_end, 4);
    if (size < 2 || offset + size >= PCI_CONFIG_SIZE) {
        return 0;
    }
    pci_config_define8(function, offset, id, 0);
    pci_config_define8(function, offset + 1, function->initial[PCI_CAPABILITIES], 0);
    pci_config_define8(function, PCI_CAPABILITIES, (uint8_t)offset, 0);
    pci_config_define8(function, PCI_STATUS, function->initial[PCI_STATUS] | PCI_STATUS_CAPABILITIES, 0);
    function->capability_end = (uint8_t)(offset + size);
    return offset;
}

void pci_function_reset(struct pci_function *function)
{
    pci_function_set_intx(function, false);
    memcpy(function->config, function->initial, sizeof(function->config));
    update_mappings(function);
}

int pci_function_post_load(struct pci_function *function, struct error *error)
{
    for (unsigned i = 0; i < PCI_CONFIG_SIZE; i++) {
        uint8_t may_change = function->writable[i] | function->write_clear[i] | function->device_owned[i];
        if ((function->config[i] ^ function->initial[i]) & ~may_change) {
            return error_set(error, -EINVAL, "PCI function %02x.%u: config byte 0x%02x cannot be 0x%02x",
                             function->slot, function->function, i, function->config[i]);
        }
    }
    update_mappings(function);
    return 0;
}

/* --- Configuration accesses -------------------------------------------------------------------------- */

static struct pci_function *find_function(struct pci_bus *bus, uint8_t bus_number, unsigned slot,
                                          unsigned function)
{
    return bus_number == 0 ? bus->function[slot % PCI_SLOTS][function % PCI_FUNCTIONS] : NULL;
}

static bool overlaps(unsigned offset, unsigned size, unsigned first, unsigned count)
{
    return offset < first + count && first < offset + size;
}

uint32_t pci_config_read(struct pci_bus *bus, uint8_t bus_number, unsigned slot, unsigned number,
                         unsigned offset, unsigned size)
{
    struct pci_function *function = find_function(bus, bus_number, slot, number);
    if (!function) {
        return UINT32_MAX;
    }
    if (function->config_reading) {
        function->config_reading(function, offset, size);
    }
    uint32_t value = 0;
    for (unsigned i = 0; i < size && i < 4; i++) {
        value |= (uint32_t)function->config[(offset + i) % PCI_CONFIG_SIZE] << (8 * i);
    }
    return value;
}

static void merge_byte(struct pci_function *function, unsigned offset, uint8_t value)
{
    uint8_t writable = function->writable[offset];
    uint8_t *byte = &function->config[offset];

    *byte = (uint8_t)((*byte & ~writable) | (value & writable));
    *byte &= (uint8_t) ~(value & function->write_clear[offset]);
}

void pci_config_write(struct pci_bus *bus, uint8_t bus_number, unsigned slot, unsigned number,
                      unsigned offset, uint32_t value, unsigned size)
{
    struct pci_function *function = find_function(bus, bus_number, slot, number);
    if (!function) {
        return;
    }
    for (unsigned i = 0; i < size && i < 4; i++) {
        merge_byte(function, (offset + i) % PCI_CONFIG_SIZE, (uint8_t)(value >> (8 * i)));
    }
    if (overlaps(offset, size, PCI_COMMAND, 2) || overlaps(offset, size, PCI_BASE_ADDRESS, 24) ||
        overlaps(offset, size, PCI_ROM_ADDRESS, 4)) {
        update_mappings(function);
    }
    if (overlaps(offset, size, PCI_COMMAND, 2)) {
        update_intx(function);
    }
    if (function->config_written) {
        function->config_written(function, offset, size);
    }
}

/*
 * CF8. Only a dword access is the configuration address; a byte at CF9 is the reset control register; anything
 * else goes to the I/O bus, where nobody answers.
 */
static uint64_t address_read(void *opaque, uint64_t offset, unsigned size)
{
    struct pci_bus *bus = opaque;
    if (offset == 0 && size == 4) {
        return bus->config_address;
    }
    if (offset == RESET_CONTROL_OFFSET && size == 1 && bus->reset_control_read) {
        return bus->reset_control_read(bus->reset_control_opaque);
    }
    return UINT64_MAX;
}

static void address_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct pci_bus *bus = opaque;
    if (offset == 0 && size == 4) {
        bus->config_address = (uint32_t)value & CONFIG_ADDRESS_MASK;
    } else if (offset == RESET_CONTROL_OFFSET && size == 1 && bus->reset_control_write) {
        bus->reset_control_write(bus->reset_control_opaque, (uint8_t)value);
    }
}

static uint64_t data_read(void *opaque, uint64_t offset, unsigned size)
{
    struct pci_bus *bus = opaque;
    uint32_t address = bus->config_address;
    if (!(address & CONFIG_ADDRESS_ENABLE)) {
        return UINT64_MAX;
    }
    return pci_config_read(bus, (uint8_t)(address >> 16), (address >> 11) & 31, (address >> 8) & 7,
                           (address & 0xfc) + (unsigned)offset, size);
}

static void data_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct pci_bus *bus = opaque;
    uint32_t address = bus->config_address;
    if (address & CONFIG_ADDRESS_ENABLE) {
        pci_config_write(bus, (uint8_t)(address >> 16), (address >> 11) & 31, (address >> 8) & 7,
                         (address & 0xfc) + (unsigned)offset, (uint32_t)value, size);
    }
}

static const struct region_ops address_ops = {.read = address_read, .write = address_write, .max_size = 4};
static const struct region_ops data_ops = {.read = data_read, .write = data_write, .max_size = 4};

/* --- The bus ----------------------------------------------------------------------------------------- */

void pci_bus_connect_pirq(struct pci_bus *bus, const struct line pirq[PCI_PIRQS])
{
    for (unsigned i = 0; i < PCI_PIRQS; i++) {
        bus->pirq[i] = pirq[i];
        line_set(&bus->pirq[i], pirq_level(bus, i));
    }
}

void pci_bus_connect_reset_control(struct pci_bus *bus, uint8_t (*read)(void *opaque),
                                   void (*write)(void *opaque, uint8_t value), void *opaque)
{
    bus->reset_control_read = read;
    bus->reset_control_write = write;
    bus->reset_control_opaque = opaque;
}

int pci_bus_free_slot(const struct pci_bus *bus)
{
    for (unsigned slot = 0; slot < PCI_SLOTS; slot++) {
        if (!bus->function[slot][0]) {
            return (int)slot;
        }
    }
    return -1;
}

static void pci_bus_reset(struct device *device)
{
    struct pci_bus *bus = CONTAINER_OF(device, struct pci_bus, device);
    bus->config_address = 0;
}

static void pci_bus_fini(struct device *device)
{
    struct pci_bus *bus = CONTAINER_OF(device, struct pci_bus, device);
    addr_space_remove(device->board->io, &bus->address_region);
    addr_space_remove(device->board->io, &bus->data_region);
    free(bus);
}

static const struct device_ops pci_bus_ops = {
    .name = "pci",
    .reset = pci_bus_reset,
    .fini = pci_bus_fini,
    .snap = &pci_bus_snap,
};

struct pci_bus *pci_bus_create(struct board *board)
{
    struct pci_bus *bus = calloc(1, sizeof(*bus));
    if (!bus) {
        return NULL;
    }
    region_init_io(&bus->address_region, "pci-config-address", CONFIG_ADDRESS_PORT, 4, &address_ops, bus);
    region_init_io(&bus->data_region, "pci-config-data", CONFIG_DATA_PORT, 4, &data_ops, bus);
    addr_space_add(board->io, &bus->address_region);
    addr_space_add(board->io, &bus->data_region);
    device_init(&bus->device, &pci_bus_ops, board, NULL);
    pci_bus_reset(&bus->device);
    return bus;
}
