/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The board: an i440FX + PIIX3/PIIX4 PC, every chip of it in one place, wired as a schematic would show it.
 *
 *              CPU ---- i440FX ---- RAM (PAM, SMRAM), ROM
 *               |          |
 *         lapic-+         PCI 0 --- 1.0 PIIX3 (ISA bridge)   1.1 PIIX3 IDE   1.3 PIIX4 PM    2.0 VGA    3.0.. network
 *           |  LINT0                   |
 *        ioapic  |                    ISA --- i8254  mc146818  i8042  2 x uart16550  i8237 - i82077
 *           |    +---- i8259 pair <-- IRQ 0-15      fw_cfg  80h  E9h  402h  debug exit
 *           +------------------------ IRQ 0-23
 *
 * Source: the data sheets each device names; the arrangement is the one QEMU's `pc` machine made common, because
 * SeaBIOS, kernels and installers know it.
 */
#ifndef DEVICES_PC_H
#define DEVICES_PC_H

#include "base/block.h"
#include "base/chardev.h"
#include "devices/debug_ports.h"
#include "devices/device.h"
#include "devices/e1000.h"
#include "devices/fw_cfg.h"
#include "devices/i440fx.h"
#include "devices/i8042.h"
#include "devices/i82077.h"
#include "devices/i8237.h"
#include "devices/i8254.h"
#include "devices/i8259.h"
#include "devices/ioapic.h"
#include "devices/lapic.h"
#include "devices/mc146818.h"
#include "devices/ne2000.h"
#include "devices/pci.h"
#include "devices/piix3.h"
#include "devices/piix3_ide.h"
#include "devices/piix4_pm.h"
#include "devices/speaker.h"
#include "devices/uart16550.h"
#include "devices/vga.h"
#include "devices/vmgenid.h"
#include "devices/vmmouse.h"

enum { PC_SERIAL_PORTS = 2, PC_IDE_DRIVES = 4, PC_FLOPPY_DRIVES = 2 };

/* RAM above this lies at 4 GiB and up; below 4 GiB the rest is PCI memory, APICs and ROM. */
#define PC_LOW_RAM_MAX (3 * GIB)

enum pc_nic_model { PC_NIC_E1000, PC_NIC_NE2K_PCI };
enum { PC_NICS = 8, PC_NIC_FIRST_SLOT = 3 };

/* A network adapter. */
struct pc_nic {
    enum pc_nic_model model;
    const char *id; /* outlives the board */
    uint8_t mac[NET_MAC_SIZE];
    int slot;           /* -1: the first free one from PC_NIC_FIRST_SLOT on */
    const uint8_t *rom; /* option ROM, copied; NULL: none */
    size_t rom_size;
};

/* What the board needs from outside, and where its outgoing pins lead. */
struct pc_config {
    uint64_t ram_size; /* bytes */
    const uint8_t *bios;
    size_t bios_size;
    const uint8_t *vga_rom; /* NULL: none */
    size_t vga_rom_size;
    bool vga;
    struct sound_sink sound; /* what the speaker drives */
    int64_t rtc_start;       /* what the real-time clock shows at first, seconds since 1970 */
    struct chardev *serial[PC_SERIAL_PORTS], *debugcon, *firmware_log;
    uint16_t exit_iobase, exit_iosize; /* isa-debug-exit; size 0: none */
    uint16_t pvpanic_iobase;           /* 0: no pvpanic */
    struct pc_nic nic[PC_NICS];
    unsigned nic_count;
    /* Drives, NULL where there is none; they outlive the board. Primary master and slave, then secondary. A CD or
     * floppy drive may be empty (block->inserted). */
    struct block *ide[PC_IDE_DRIVES];
    bool ide_is_cdrom[PC_IDE_DRIVES];
    struct block *floppy[PC_FLOPPY_DRIVES];

    void *opaque; /* given to the hooks */
    void (*set_intr)(void *opaque, bool level);
    void (*set_nmi)(void *opaque);
    void (*set_a20)(void *opaque, bool enabled);
    void (*clear_ferr)(void *opaque);
    void (*request_reset)(void *opaque);
    void (*power_off)(void *opaque);
    void (*debug_exit)(void *opaque, uint32_t code); /* (value << 1) | 1 */
    void (*panicked)(void *opaque);                  /* pvpanic */
    /* EAX, EBX, ECX, EDX, ESI, EDI of the processor that executes IN, for VMware's backdoor. NULL: no backdoor */
    void (*get_registers)(void *opaque, uint32_t reg[VMMOUSE_REGISTERS]);
    void (*set_registers)(void *opaque, const uint32_t reg[VMMOUSE_REGISTERS]);
};

struct pc;

/* Memory the board needs in the VM's struct ram: RAM, ROMs and video memory. */
uint64_t pc_memory_size(uint64_t ram_size, size_t bios_size);

struct pc *pc_create(const struct pc_config *config, struct ram *ram, struct clock *clock, struct log *log,
                     struct error *error);
void pc_destroy(struct pc *pc);
/* The reset line: every device, not memory. */
void pc_reset(struct pc *pc);

struct addr_space *pc_memory(struct pc *pc);
struct addr_space *pc_ports(struct pc *pc);
struct board *pc_board(struct pc *pc);
struct fw_cfg *pc_fw_cfg(struct pc *pc);
struct mc146818 *pc_rtc(struct pc *pc);
struct vga *pc_vga(struct pc *pc); /* NULL without one */
struct i8042 *pc_keyboard(struct pc *pc);
unsigned pc_nic_count(const struct pc *pc);
/* The port of the adapter; number < pc_nic_count(). */
struct net_port *pc_nic_port(struct pc *pc, unsigned number);
/* After the state of another machine was loaded: the adapters' EEPROMs hold the addresses that they were made with. Their
 * stations keep the address they have until the guest resets them. */
void pc_renew_addresses(struct pc *pc);
/* Another generation id (devices/vmgenid.h). `event`: tell a guest that has asked for the event. */
void pc_set_generation(struct pc *pc, const uint8_t id[VMGENID_SIZE], bool event);
/* Where the host's input goes: keys, relative motion, and positions where the guest takes them (pc_wants_position). */
struct input_sink pc_input(struct pc *pc);
bool pc_wants_position(struct pc *pc);

/* INTA: the vector of the interrupt to take now. */
uint8_t pc_interrupt_acknowledge(void *pc);
/* IA32_APIC_BASE was written. */
void pc_apic_base_changed(void *pc, uint64_t value);
/* FERR# from the processor: IRQ 13. */
void pc_set_ferr(void *pc, bool level);
void pc_power_button(struct pc *pc);

#endif
