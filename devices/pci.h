/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The PCI bus: configuration mechanism #1, configuration spaces, base address registers and INTx# lines.
 *
 * Source: PCI Local Bus Specification 2.1, chapter 6 "Configuration Space", and 82441FX data sheet, "PCI
 * configuration space access". One bus (number 0) with 32 slots of 8 functions. A device embeds one struct
 * pci_function per function, describes it at creation, and gets its regions mapped and unmapped as the guest
 * programs the BARs and the command register.
 *
 * Not modelled: bridges to further buses (they read as absent), 64-bit BARs, special and parity cycles.
 *
 *   CF8  31 |30     24|23    16|15    11|10     8|7        2|1 0     (dword access only)
 *       enable reserved   bus     device  function  register  0 0
 *   CFC..CFF  the four bytes of that register, any access size
 */
#ifndef DEVICES_PCI_H
#define DEVICES_PCI_H

#include "devices/device.h"

#define PCI_SLOTS     32u
#define PCI_FUNCTIONS 8u
#define PCI_BARS      7u /* 0..5 and the expansion ROM */
#define PCI_BAR_ROM   6u
#define PCI_PIRQS     4u

/* Memory and ports that belong to the board itself win over anything a BAR is moved onto. */
#define PCI_BAR_PRIORITY (-10)

/* Offsets in the header (type 00h). */
enum pci_register {
    PCI_VENDOR_ID = 0x00,
    PCI_DEVICE_ID = 0x02,
    PCI_COMMAND = 0x04,
    PCI_STATUS = 0x06,
    PCI_REVISION_ID = 0x08,
    PCI_CLASS_CODE = 0x09, /* three bytes */
    PCI_LATENCY_TIMER = 0x0d,
    PCI_HEADER_TYPE = 0x0e,
    PCI_BASE_ADDRESS = 0x10, /* six dwords */
    PCI_SUBSYSTEM_VENDOR_ID = 0x2c,
    PCI_SUBSYSTEM_ID = 0x2e,
    PCI_ROM_ADDRESS = 0x30,
    PCI_CAPABILITIES = 0x34,
    PCI_INTERRUPT_LINE = 0x3c,
    PCI_INTERRUPT_PIN = 0x3d,
    PCI_HEADER_SIZE = 0x40,
    PCI_CONFIG_SIZE = 0x100
};

enum pci_command_bits {
    PCI_COMMAND_IO = 1u << 0,
    PCI_COMMAND_MEMORY = 1u << 1,
    PCI_COMMAND_MASTER = 1u << 2,
    PCI_COMMAND_PARITY = 1u << 6,
    PCI_COMMAND_SERR = 1u << 8,
    PCI_COMMAND_INTX_DISABLE = 1u << 10
};

enum pci_status_bits {
    PCI_STATUS_INTERRUPT = 1u << 3,
    PCI_STATUS_CAPABILITIES = 1u << 4,
    PCI_STATUS_FAST_BACK = 1u << 7,
    PCI_STATUS_DEVSEL_MEDIUM = 1u << 9,
    PCI_STATUS_ERRORS = 0xf900 /* the bits a write of 1 clears */
};

enum pci_bar_kind { PCI_BAR_MEMORY, PCI_BAR_PREFETCHABLE, PCI_BAR_IO };

struct pci_bus;
struct pci_function;

struct pci_bar {
    struct region *region; /* owned by the device; size a power of two. NULL: not implemented */
    uint8_t kind;          /* enum pci_bar_kind */
};

/* What every function of this board carries as subsystem: firmware built for emulators recognises the machine by the
 * host bridge's. */
#define PCI_BOARD_VENDOR 0x1af4u
#define PCI_BOARD_ID     0x1100u

struct pci_identity {
    uint16_t vendor, device;
    uint32_t class_code; /* base class, subclass, programming interface: 0x030000 is VGA */
    uint8_t revision;
    uint8_t interrupt_pin; /* 0 none, 1 INTA# .. 4 INTD# */
    bool multi_function;   /* function 0 of a device that has others */
    uint16_t subsystem_vendor, subsystem;
};

/* One function. The device that embeds it sets nothing here directly but the hooks. */
struct pci_function {
    struct pci_bus *bus; /* NULL before pci_function_init */
    uint8_t slot, function;
    uint8_t config[PCI_CONFIG_SIZE];
    bool intx; /* what the device drives on its interrupt pin, before the command register's mask */

    /* Fixed at creation: value after reset; bits the guest writes; bits a written 1 clears; bits only the
     * device changes. A bit in none of the three masks never changes. */
    uint8_t initial[PCI_CONFIG_SIZE];
    uint8_t writable[PCI_CONFIG_SIZE];
    uint8_t write_clear[PCI_CONFIG_SIZE];
    uint8_t device_owned[PCI_CONFIG_SIZE];
    struct pci_bar bar[PCI_BARS];
    uint8_t capability_end; /* first free byte for the next capability */

    /* Hooks, NULL if of no interest. Refresh config before [offset, offset + size) is read; act on a write
     * that has been merged into config (BARs and interrupts are already up to date then). */
    void (*config_reading)(struct pci_function *function, unsigned offset, unsigned size);
    void (*config_written)(struct pci_function *function, unsigned offset, unsigned size);
};

struct pci_bus {
    struct device device;
    struct pci_function *function[PCI_SLOTS][PCI_FUNCTIONS]; /* NULL: absent */
    struct region address_region, data_region;
    uint32_t config_address; /* CF8 */
    struct line pirq[PCI_PIRQS];
    /* Port CF9 lies inside CF8's dword: byte accesses to it are handed on. NULL until connected. */
    uint8_t (*reset_control_read)(void *opaque);
    void (*reset_control_write)(void *opaque, uint8_t value);
    void *reset_control_opaque;
};

struct pci_bus *pci_bus_create(struct board *board);

/* Where PIRQ A..D go: the interrupt router of the south bridge. The level is the OR of the functions. */
void pci_bus_connect_pirq(struct pci_bus *bus, const struct line pirq[PCI_PIRQS]);
void pci_bus_connect_reset_control(struct pci_bus *bus, uint8_t (*read)(void *opaque),
                                   void (*write)(void *opaque, uint8_t value), void *opaque);
/* Lowest slot without a function 0, or -1. */
int pci_bus_free_slot(const struct pci_bus *bus);
/* PIRQ (0..3) that pin (1..4) of the device in `slot` is wired to. */
unsigned pci_bus_pirq(unsigned slot, unsigned pin);

/* One access by bus/device/function number, as the data port does it. Absent functions read all ones.
 * offset + size must not pass the end of its dword. */
uint32_t pci_config_read(struct pci_bus *bus, uint8_t bus_number, unsigned slot, unsigned function,
                         unsigned offset, unsigned size);
void pci_config_write(struct pci_bus *bus, uint8_t bus_number, unsigned slot, unsigned function,
                      unsigned offset, uint32_t value, unsigned size);

/* --- For devices ------------------------------------------------------------------------------------- */

/* Enter a function on the bus, with its header filled in. The place must be free. */
void pci_function_init(struct pci_function *function, struct pci_bus *bus, unsigned slot, unsigned number,
                       const struct pci_identity *identity);
/* Leave the bus: unmap the BARs, lower the interrupt. */
void pci_function_fini(struct pci_function *function);

/* Describe config bytes: value after reset and the bits the guest can write. */
void pci_config_define8(struct pci_function *function, unsigned offset, uint8_t value, uint8_t writable);
void pci_config_define16(struct pci_function *function, unsigned offset, uint16_t value, uint16_t writable);
void pci_config_define32(struct pci_function *function, unsigned offset, uint32_t value, uint32_t writable);

/* Give BAR `index` a region, initialised by the device with base 0 and a power-of-two size (memory at least
 * 16 bytes, ports at least 4, ROM at least 2 KiB; PCI_BAR_ROM is the expansion ROM). */
void pci_function_add_bar(struct pci_function *function, unsigned index, enum pci_bar_kind kind,
                          struct region *region);
/* Append a capability of `size` bytes (header included); returns its offset, 0 when it does not fit. */
unsigned pci_function_add_capability(struct pci_function *function, uint8_t id, unsigned size);

/* Back to the state after power-on: config as defined, BARs unmapped, interrupt low. */
void pci_function_reset(struct pci_function *function);
/* Drive the function's interrupt pin. */
void pci_function_set_intx(struct pci_function *function, bool level);

static inline uint16_t pci_config_get16(const struct pci_function *function, unsigned offset)
{
    return load_le16(function->config + offset);
}

static inline uint32_t pci_config_get32(const struct pci_function *function, unsigned offset)
{
    return load_le32(function->config + offset);
}

/* May the device do DMA (the bus-master bit)? */
static inline bool pci_function_is_master(const struct pci_function *function)
{
    return (function->config[PCI_COMMAND] & PCI_COMMAND_MASTER) != 0;
}

/* For a device's field table: SNAP_STRUCTS(struct X, pci, 1, pci_function_fields); and its post_load calls
 * pci_function_post_load(), which refuses values the guest could not have produced and maps the BARs. */
extern const struct snap_field pci_function_fields[2];
int pci_function_post_load(struct pci_function *function, struct error *error);

#endif
