/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The board: creates every chip in the order a schematic would list them and connects their lines. See devices/pc.h for the
 * drawing. Nothing here has state of its own beyond pointers to the chips and one latch, the coprocessor's error line.
 *
 * Interrupts: a driver's output goes to one of piix3's inputs of its IRQ; piix3 ORs them and drives both the i8259 pair and
 * the I/O APIC (IRQ 0 at pin 2, as the tables for the guest say).
 */
#include "devices/pc.h"

#include <errno.h>
#include <stdlib.h>

enum { COPROCESSOR_PORT = 0xf0, COPROCESSOR_PORTS = 2, COPROCESSOR_IRQ = 13, TIMER_IOAPIC_PIN = 2 };

/* CMOS RAM, after Ralf Brown's list; the last is SeaBIOS' own. */
enum {
    CMOS_FLOPPY_TYPES = 0x10,
    CMOS_DISK_TYPES = 0x12,
    CMOS_EQUIPMENT = 0x14,
    CMOS_DISK_TYPE = 0x19,
    CMOS_TRANSLATION = 0x39
};
enum { EQUIPMENT_FLOPPY = 0x01, EQUIPMENT_FLOPPY_COUNT = 6, EQUIPMENT_FLOPPIES = 0xc1 };

#define VRAM_SIZE (16 * MIB)

struct pc {
    struct pc_config config;
    struct addr_space mem, io;
    struct board board;

    struct lapic *lapic;
    struct ioapic *ioapic;
    struct i8259_pair *pic;
    struct pci_bus *pci;
    struct i440fx *host_bridge;
    struct piix3 *isa_bridge;
    struct piix3_ide *ide;
    struct piix4_pm *pm;
    struct i8254 *pit;
    struct mc146818 *rtc;
    struct i8042 *keyboard;
    struct speaker *speaker;
    struct vmmouse *vmmouse; /* NULL: none */
    struct uart16550 *serial[PC_SERIAL_PORTS];
    struct i8237 *dma;
    struct i82077 *fdc; /* NULL without floppy drives */
    struct vga *vga;
    struct fw_cfg *fw_cfg;
    struct vmgenid *vmgenid;
    struct net_port *nic_port[PC_NICS];
    struct line ferr_irq;
    struct region coprocessor;
};

/* ---- outgoing pins ---- */

static void pc_line_intr(void *opaque, unsigned number, bool level)
{
    struct pc *pc = opaque;

    (void)number;
    pc->config.set_intr(pc->config.opaque, level);
}

/* The gate of port 70h stands between every NMI source and the processor. */
static void pc_line_nmi(void *opaque, unsigned number, bool level)
{
    struct pc *pc = opaque;

    (void)number;
    if (level && !mc146818_nmi_masked(pc->rtc)) {
        pc->config.set_nmi(pc->config.opaque);
    }
}

static void pc_line_a20(void *opaque, unsigned number, bool level)
{
    struct pc *pc = opaque;

    (void)number;
    pc->config.set_a20(pc->config.opaque, level);
}

/* DEVIATION: INIT# resets the whole machine, as RESET# does. */
static void pc_line_reset(void *opaque, unsigned number, bool level)
{
    struct pc *pc = opaque;

    (void)number;
    if (level) {
        pc->config.request_reset(pc->config.opaque);
    }
}

static void pc_line_power_off(void *opaque, unsigned number, bool level)
{
    struct pc *pc = opaque;

    (void)number;
    if (level) {
        pc->config.power_off(pc->config.opaque);
    }
}

static struct line pc_line(struct pc *pc, void (*set)(void *, unsigned, bool))
{
    return (struct line){.set = set, .opaque = pc};
}

/* ---- interrupts ---- */

static void pc_isa_irq(void *opaque, unsigned irq, bool level)
{
    struct pc *pc = opaque;
    struct line to_pic = i8259_irq(pc->pic, irq);
    struct line to_ioapic = ioapic_input(pc->ioapic, irq == 0 ? TIMER_IOAPIC_PIN : irq);

    line_set(&to_pic, level);
    line_set(&to_ioapic, level);
}

static void pc_lapic_eoi(void *opaque, uint8_t vector)
{
    ioapic_eoi(((struct pc *)opaque)->ioapic, vector);
}

static bool pc_ioapic_deliver(void *opaque, uint8_t destination, bool logical, uint8_t vector, uint8_t mode,
                              bool level_triggered)
{
    struct pc *pc = opaque;

    return lapic_message(pc->lapic, destination, logical, vector, (enum lapic_delivery)mode, level_triggered);
}

uint8_t pc_interrupt_acknowledge(void *opaque)
{
    struct pc *pc = opaque;
    int vector = lapic_acknowledge(pc->lapic);

    return (uint8_t)(vector == LAPIC_EXTINT ? i8259_acknowledge(pc->pic) : vector);
}

void pc_apic_base_changed(void *opaque, uint64_t value)
{
    lapic_set_base(((struct pc *)opaque)->lapic, value);
}

void pc_set_ferr(void *opaque, bool level)
{
    line_set(&((struct pc *)opaque)->ferr_irq, level);
}

/* ---- the coprocessor's error latch, port F0h ---- */

static uint64_t pc_coprocessor_read(void *opaque, uint64_t offset, unsigned size)
{
    (void)opaque;
    (void)offset;
    (void)size;
    return UINT64_MAX;
}

static void pc_coprocessor_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct pc *pc = opaque;

    (void)value;
    (void)size;
    if (offset == 0) {
        pc->config.clear_ferr(pc->config.opaque);
    }
}

static const struct region_ops pc_coprocessor_ops = {
    .read = pc_coprocessor_read, .write = pc_coprocessor_write, .max_size = 1};

/* ---- what CMOS says of the drives ---- */

/*
 * Disks of the primary channel have type 47, "user defined", with their parameters; and for every disk two bits say how
 * SeaBIOS is to translate its geometry for INT 13h: 0 not at all, 1 by LBA.
 */
static void pc_describe_disks(struct pc *pc)
{
    static const uint8_t parameters[2] = {0x1b, 0x24};
    uint8_t types = 0, translation = 0;

    for (unsigned i = 0; i < PIIX3_IDE_DRIVES; i++) {
        const struct block *disk = pc->config.ide[i];
        struct ide_geometry geometry;

        if (!disk || pc->config.ide_is_cdrom[i]) {
            continue;
        }
        geometry = ide_default_geometry(disk->size / IDE_SECTOR);
        translation |= geometry.cylinders > 1024 ? 1u << 2 * i : 0;
        if (i < 2) {
            uint8_t at = parameters[i];

            types |= i ? 0x0f : 0xf0;
            mc146818_set_cmos(pc->rtc, CMOS_DISK_TYPE + i, 47);
            mc146818_set_cmos(pc->rtc, at, (uint8_t)geometry.cylinders);
            mc146818_set_cmos(pc->rtc, at + 1, (uint8_t)(geometry.cylinders >> 8));
            mc146818_set_cmos(pc->rtc, at + 2, geometry.heads);
            mc146818_set_cmos(pc->rtc, at + 3, 0xff); /* no write precompensation */
            mc146818_set_cmos(pc->rtc, at + 4, 0xff);
            mc146818_set_cmos(pc->rtc, at + 5, 0x80 | (geometry.heads > 8 ? 0x08 : 0));
            mc146818_set_cmos(pc->rtc, at + 6, (uint8_t)geometry.cylinders); /* landing zone */
            mc146818_set_cmos(pc->rtc, at + 7, (uint8_t)(geometry.cylinders >> 8));
            mc146818_set_cmos(pc->rtc, at + 8, geometry.sectors);
        }
    }
    mc146818_set_cmos(pc->rtc, CMOS_DISK_TYPES, types);
    mc146818_set_cmos(pc->rtc, CMOS_TRANSLATION, translation);
}

/* Types of both drives, and what the equipment byte says of them. */
static void pc_describe_floppies(struct pc *pc)
{
    uint8_t type[2] = {0}, count;
    uint8_t equipment = mc146818_get_cmos(pc->rtc, CMOS_EQUIPMENT) & (uint8_t)~EQUIPMENT_FLOPPIES;

    for (unsigned i = 0; i < 2 && pc->fdc; i++) {
        type[i] = i82077_drive_type(pc->fdc, i);
    }
    count = (type[0] != 0) + (type[1] != 0);
    if (count) {
        equipment |= (uint8_t)(EQUIPMENT_FLOPPY | (count - 1) << EQUIPMENT_FLOPPY_COUNT);
    }
    mc146818_set_cmos(pc->rtc, CMOS_FLOPPY_TYPES, (uint8_t)(type[0] << 4 | type[1]));
    mc146818_set_cmos(pc->rtc, CMOS_EQUIPMENT, equipment);
}

/* ---- building ---- */

uint64_t pc_memory_size(uint64_t ram_size, size_t bios_size)
{
    return ram_size + ALIGN_UP(bios_size, 64 * KIB) + VRAM_SIZE + MIB;
}

/* Interrupt controllers first: everything else has a line into them. */
static bool pc_create_interrupts(struct pc *pc)
{
    struct lapic_wiring lapic = {
        .intr = pc_line(pc, pc_line_intr),
        .nmi = pc_line(pc, pc_line_nmi),
        .init = pc_line(pc, pc_line_reset),
        .eoi = pc_lapic_eoi,
        .eoi_opaque = pc,
    };
    struct ioapic_wiring ioapic = {.deliver = pc_ioapic_deliver, .opaque = pc};

    pc->lapic = lapic_create(&pc->board, &lapic);
    pc->ioapic = ioapic_create(&pc->board, &ioapic);
    pc->pic = pc->lapic ? i8259_create(&pc->board, lapic_lint0(pc->lapic)) : NULL;
    return pc->lapic && pc->ioapic && pc->pic;
}

static bool pc_create_chipset(struct pc *pc, const struct i440fx_memory *memory, struct error *error)
{
    struct piix3_wiring piix3 = {
        .a20 = pc_line(pc, pc_line_a20),
        .reset = pc_line(pc, pc_line_reset),
        .init = pc_line(pc, pc_line_reset),
    };
    struct piix4_pm_wiring pm = {.power_off = pc_line(pc, pc_line_power_off)};
    struct line ide_irq[PIIX3_IDE_CHANNELS];
    struct ide_slot slot[PIIX3_IDE_DRIVES];

    for (unsigned irq = 0; irq < PIIX3_IRQS; irq++) {
        piix3.isa_irq[irq] = (struct line){.set = pc_isa_irq, .opaque = pc, .number = irq};
    }
    pc->pci = pci_bus_create(&pc->board);
    pc->host_bridge = pc->pci ? i440fx_create(&pc->board, pc->pci, memory, error) : NULL;
    pc->isa_bridge = pc->host_bridge ? piix3_create(&pc->board, pc->pci, &piix3) : NULL;
    if (!pc->isa_bridge) {
        return false;
    }
    for (unsigned i = 0; i < PIIX3_IDE_CHANNELS; i++) {
        ide_irq[i] = piix3_irq_input(pc->isa_bridge, 14 + i);
    }
    for (unsigned i = 0; i < PIIX3_IDE_DRIVES; i++) {
        slot[i] = (struct ide_slot){.block = pc->config.ide[i], .cdrom = pc->config.ide_is_cdrom[i]};
    }
    pc->ide = piix3_ide_create(&pc->board, pc->pci, ide_irq, slot);
    pm.sci = piix3_irq_input(pc->isa_bridge, 9);
    pc->pm = piix4_pm_create(&pc->board, pc->pci, &pm);
    return pc->ide && pc->pm;
}

static void pc_nudge_mouse(void *opaque)
{
    ps2_mouse_nudge(((struct pc *)opaque)->keyboard->mouse);
}

static bool pc_create_vmmouse(struct pc *pc)
{
    struct vmmouse_wiring wiring = {
        .ps2 = i8042_input(pc->keyboard),
        .nudge = pc_nudge_mouse,
        .nudge_opaque = pc,
        .get_registers = pc->config.get_registers,
        .set_registers = pc->config.set_registers,
        .opaque = pc->config.opaque,
    };

    if (!pc->config.get_registers) {
        return true;
    }
    pc->vmmouse = vmmouse_create(&pc->board, &wiring);
    return pc->vmmouse != NULL;
}

/* The chips of the ISA bus and their customary IRQs. */
static bool pc_create_isa(struct pc *pc)
{
    static const struct {
        uint16_t port;
        uint8_t irq;
        const char *id;
    } serial[PC_SERIAL_PORTS] = {{0x3f8, 4, "serial0"}, {0x2f8, 3, "serial1"}};
    struct piix3 *isa = pc->isa_bridge;
    struct i8042_wiring keyboard = {
        .keyboard_irq = piix3_irq_input(isa, 1),
        .mouse_irq = piix3_irq_input(isa, 12),
        .a20 = piix3_a20_input(isa),
        .reset = pc_line(pc, pc_line_reset),
    };

    pc->speaker = speaker_create(&pc->board, pc->config.sound);
    if (!pc->speaker) {
        return false;
    }
    pc->pit = i8254_create(&pc->board, piix3_irq_input(isa, 0), speaker_input(pc->speaker));
    pc->rtc = mc146818_create(&pc->board, piix3_irq_input(isa, 8), pc->config.rtc_start);
    pc->keyboard = i8042_create(&pc->board, &keyboard);
    pc->dma = i8237_create(&pc->board);
    for (unsigned i = 0; i < PC_SERIAL_PORTS; i++) {
        pc->serial[i] = uart16550_create(&pc->board, serial[i].id, serial[i].port,
                                         piix3_irq_input(isa, serial[i].irq), pc->config.serial[i]);
        if (!pc->serial[i]) {
            return false;
        }
    }
    pc->ferr_irq = piix3_irq_input(isa, COPROCESSOR_IRQ);
    region_init_io(&pc->coprocessor, "coprocessor", COPROCESSOR_PORT, COPROCESSOR_PORTS, &pc_coprocessor_ops,
                   pc);
    addr_space_add(&pc->io, &pc->coprocessor);
    return pc->pit && pc->rtc && pc->keyboard && pc->dma && pc_create_vmmouse(pc);
}

/* The floppy controller is there when it has drives. */
static bool pc_create_floppy(struct pc *pc)
{
    struct line irq = piix3_irq_input(pc->isa_bridge, 6);

    if (pc->config.floppy[0] || pc->config.floppy[1]) {
        pc->fdc = i82077_create(&pc->board, irq, pc->dma, pc->config.floppy);
        if (!pc->fdc) {
            return false;
        }
    }
    pc_describe_disks(pc);
    pc_describe_floppies(pc);
    return true;
}

static bool pc_create_display_and_debug(struct pc *pc)
{
    struct debug_ports_config debug = {
        .debugcon = pc->config.debugcon,
        .seabios_log = pc->config.firmware_log,
        .exit_iobase = pc->config.exit_iobase,
        .exit_iosize = pc->config.exit_iosize,
        .exit = pc->config.debug_exit,
        .exit_opaque = pc->config.opaque,
        .pvpanic_iobase = pc->config.pvpanic_iobase,
        .panicked = pc->config.panicked,
        .power_off = pc_line(pc, pc_line_power_off),
    };

    if (pc->config.vga) {
        pc->vga = vga_create(&pc->board, pc->pci, pc->config.vga_rom, pc->config.vga_rom_size);
    }
    pc->fw_cfg = fw_cfg_create(&pc->board);
    pc->vmgenid = vmgenid_create(&pc->board);
    return (pc->vga || !pc->config.vga) && pc->fw_cfg && pc->vmgenid &&
           debug_ports_create(&pc->board, &debug);
}

/* The slot asked for, or the first free one; -1 with the text when there is none. */
static int pc_nic_slot(struct pc *pc, const struct pc_nic *nic, struct error *error)
{
    for (int slot = nic->slot < 0 ? PC_NIC_FIRST_SLOT : nic->slot; slot < (int)PCI_SLOTS; slot++) {
        if (!pc->pci->function[slot][0]) {
            return slot;
        }
        if (slot == nic->slot) {
            break;
        }
    }
    error_set(error, -EBUSY, "%s: no free PCI slot for the network adapter", nic->id);
    return -1;
}

static struct net_port *pc_create_e1000(struct pc *pc, const struct pc_nic *nic, uint8_t slot)
{
    struct e1000_config config = {.id = nic->id, .slot = slot, .rom = nic->rom, .rom_size = nic->rom_size};
    struct e1000 *created;

    memcpy(config.mac, nic->mac, NET_MAC_SIZE);
    created = e1000_create(&pc->board, pc->pci, &config);
    return created ? &created->port : NULL;
}

static struct net_port *pc_create_ne2000(struct pc *pc, const struct pc_nic *nic, uint8_t slot)
{
    struct ne2000_config config = {.id = nic->id, .slot = slot, .rom = nic->rom, .rom_size = nic->rom_size};
    struct ne2000 *created;

    memcpy(config.mac, nic->mac, NET_MAC_SIZE);
    created = ne2000_create(&pc->board, pc->pci, &config);
    return created ? &created->port : NULL;
}

static bool pc_create_nics(struct pc *pc, struct error *error)
{
    for (unsigned i = 0; i < pc->config.nic_count; i++) {
        const struct pc_nic *nic = &pc->config.nic[i];
        int slot = pc_nic_slot(pc, nic, error);

        if (slot >= 0) {
            pc->nic_port[i] = nic->model == PC_NIC_E1000 ? pc_create_e1000(pc, nic, (uint8_t)slot)
                                                         : pc_create_ne2000(pc, nic, (uint8_t)slot);
        }
        if (!pc->nic_port[i]) {
            return false;
        }
    }
    return true;
}

static int pc_build(struct pc *pc, struct ram *ram, struct clock *clock, struct log *log, struct error *error)
{
    struct i440fx_memory memory = {.ram_size = pc->config.ram_size,
                                   .bios_size = ALIGN_UP(pc->config.bios_size, 64 * KIB)};
    bool created;

    if (addr_space_init(&pc->mem, "memory", BITS(35, 0), ram) < 0 ||
        addr_space_init(&pc->io, "ports", 0xffff, NULL) < 0) {
        return error_set(error, -ENOMEM, "out of memory");
    }
    pc->board = (struct board){.mem = &pc->mem, .io = &pc->io, .clock = clock, .log = log};
    memory.ram = ram_alloc(ram, memory.ram_size);
    memory.bios = ram_alloc(ram, memory.bios_size);
    if (memory.ram == UINT64_MAX || memory.bios == UINT64_MAX) {
        return error_set(error, -ENOMEM, "the VM's memory is too small for its RAM and firmware");
    }
    /* A short image ends at the top, where the reset vector is. */
    memcpy(ram_ptr(ram, memory.bios) + memory.bios_size - pc->config.bios_size, pc->config.bios,
           pc->config.bios_size);
    error_set(error, -ENOMEM, "out of memory");
    addr_space_begin(&pc->mem);
    addr_space_begin(&pc->io);
    created = pc_create_interrupts(pc) && pc_create_chipset(pc, &memory, error) && pc_create_isa(pc) &&
              pc_create_floppy(pc) && pc_create_display_and_debug(pc) && pc_create_nics(pc, error);
    addr_space_end(&pc->io);
    addr_space_end(&pc->mem);
    return created ? 0 : -ENOMEM;
}

struct pc *pc_create(const struct pc_config *config, struct ram *ram, struct clock *clock, struct log *log,
                     struct error *error)
{
    struct pc *pc = calloc(1, sizeof(*pc));

    if (!pc) {
        error_set(error, -ENOMEM, "out of memory");
        return NULL;
    }
    pc->config = *config;
    if (pc_build(pc, ram, clock, log, error) < 0) {
        pc_destroy(pc);
        return NULL;
    }
    return pc;
}

void pc_destroy(struct pc *pc)
{
    if (!pc) {
        return;
    }
    board_destroy_devices(&pc->board);
    addr_space_fini(&pc->mem);
    addr_space_fini(&pc->io);
    free(pc);
}

void pc_reset(struct pc *pc)
{
    board_reset_devices(&pc->board);
}

/* ---- access for vm/ and the front ends ---- */

struct addr_space *pc_memory(struct pc *pc)
{
    return &pc->mem;
}

struct addr_space *pc_ports(struct pc *pc)
{
    return &pc->io;
}

struct board *pc_board(struct pc *pc)
{
    return &pc->board;
}

struct fw_cfg *pc_fw_cfg(struct pc *pc)
{
    return pc->fw_cfg;
}

struct mc146818 *pc_rtc(struct pc *pc)
{
    return pc->rtc;
}

struct vga *pc_vga(struct pc *pc)
{
    return pc->vga;
}

struct i8042 *pc_keyboard(struct pc *pc)
{
    return pc->keyboard;
}

struct input_sink pc_input(struct pc *pc)
{
    return pc->vmmouse ? vmmouse_input(pc->vmmouse) : i8042_input(pc->keyboard);
}

bool pc_wants_position(struct pc *pc)
{
    return pc->vmmouse && vmmouse_is_absolute(pc->vmmouse);
}

unsigned pc_nic_count(const struct pc *pc)
{
    return pc->config.nic_count;
}

struct net_port *pc_nic_port(struct pc *pc, unsigned number)
{
    return pc->nic_port[number];
}

void pc_renew_addresses(struct pc *pc)
{
    for (unsigned i = 0; i < pc->config.nic_count; i++) {
        if (pc->config.nic[i].model == PC_NIC_E1000) {
            e1000_eeprom_renew(pc->nic_port[i]->owner);
        }
    }
}

/* To a guest that does not want the event nothing happens, so that it goes on as it would have. */
void pc_set_generation(struct pc *pc, const uint8_t id[VMGENID_SIZE], bool event)
{
    vmgenid_set(pc->vmgenid, id);
    if (event && (pc->pm->gpe_enable & BIT(VMGENID_EVENT))) {
        piix4_pm_gpe(pc->pm, VMGENID_EVENT);
    }
}

void pc_power_button(struct pc *pc)
{
    piix4_pm_power_button(pc->pm);
}
