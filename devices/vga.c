/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * VGA: ports, registers and the PCI function. The other files are named in vga.h.
 *
 * Source: IBM Personal System/2 Hardware Interface Technical Reference, "Video subsystem".
 *
 *   3C0 attribute index/data   3C1 attribute data   3C2 misc (w), status 0 (r)   3C3 subsystem enable
 *   3C4 SEQ index  3C5 data    3C6 DAC mask   3C7 DAC read index (w), state (r)  3C8 DAC write index   3C9 DAC data
 *   3CA feature (r)   3CC misc (r)   3CE GFX index   3CF data
 *   3x4 CRTC index    3x5 data       3xA status 1 (r), feature (w)      x = D colour, B monochrome (misc bit 0)
 *
 * Not modelled: see vga.h. Port 3C3 is stored only.
 */
#include "devices/vga.h"

#include <stdlib.h>

#define STATUS_0_SENSE 0x10u
#define DAC_STATE_READ 3u
#define APERTURE_BASE  0xa0000
#define APERTURE_SIZE  0x20000

static const uint8_t seq_writable[VGA_SEQ_COUNT] = {0x03, 0x3d, 0x0f, 0x3f, 0x0e};
static const uint8_t gfx_writable[VGA_GFX_COUNT] = {0x0f, 0x0f, 0x0f, 0x1f, 0x03, 0x7b, 0x0f, 0x0f, 0xff};
static const uint8_t attr_writable[VGA_ATTR_COUNT] = {
    0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f,
    0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0xef, 0xff, 0x3f, 0x0f, 0x0f,
};

static int vga_post_load(void *object, struct error *error);

static const struct snap_field vga_fields[] = {
    SNAP_STRUCTS(struct vga, pci, 1, pci_function_fields),
    SNAP_UINT(struct vga, misc),
    SNAP_UINT(struct vga, feature),
    SNAP_UINT(struct vga, enable),
    SNAP_RANGE(struct vga, seq_index, 0, 7),
    SNAP_BYTES(struct vga, seq),
    SNAP_RANGE(struct vga, gfx_index, 0, 15),
    SNAP_BYTES(struct vga, gfx),
    SNAP_RANGE(struct vga, crtc_index, 0, 31),
    SNAP_BYTES(struct vga, crtc),
    SNAP_RANGE(struct vga, attr_index, 0, ATTR_INDEX_MASK),
    SNAP_BYTES(struct vga, attr),
    SNAP_BOOL(struct vga, attr_data),
    SNAP_UINT(struct vga, dac_mask),
    SNAP_UINT(struct vga, dac_read),
    SNAP_UINT(struct vga, dac_write),
    SNAP_RANGE(struct vga, dac_component, 0, 2),
    SNAP_BOOL(struct vga, dac_reading),
    SNAP_BYTES(struct vga, palette),
    SNAP_BYTES(struct vga, latch),
    SNAP_UINT(struct vga, dispi_index),
    SNAP_UINTS(struct vga, dispi, DISPI_COUNT),
};

static const struct snap_desc vga_snap = {
    .name = "vga", .version = 1, SNAP_FIELDS(vga_fields), .post_load = vga_post_load};

/* --- Register files ----------------------------------------------------------------------------------- */

static void write_attribute(struct vga *vga, uint8_t value)
{
    unsigned index = vga->attr_index & 0x1f;

    if (!vga->attr_data) {
        vga->attr_index = value & ATTR_INDEX_MASK;
    } else if (index < VGA_ATTR_COUNT) {
        vga->attr[index] = value & attr_writable[index];
    }
    vga->attr_data = !vga->attr_data;
}

static uint8_t read_attribute(const struct vga *vga)
{
    unsigned index = vga->attr_index & 0x1f;
    return index < VGA_ATTR_COUNT ? vga->attr[index] : 0;
}

static void write_crtc(struct vga *vga, uint8_t value)
{
    unsigned index = vga->crtc_index;

    if (index >= VGA_CRTC_COUNT) {
        return;
    }
    if (index <= 7 && (vga->crtc[0x11] & CRTC_PROTECT)) {
        if (index == 7) {
            vga->crtc[7] =
                (uint8_t)((vga->crtc[7] & ~0x10) | (value & 0x10)); /* line compare bit 8 stays open */
        }
        return;
    }
    vga->crtc[index] = value;
}

static void dac_advance(struct vga *vga, uint8_t *entry)
{
    if (++vga->dac_component == 3) {
        vga->dac_component = 0;
        ++*entry;
    }
}

static uint8_t dac_significant(const struct vga *vga)
{
    return vga->dispi[DISPI_ENABLE] & DISPI_8BIT_DAC ? 0xff : 0x3f;
}

static uint8_t read_dac(struct vga *vga)
{
    uint8_t value = vga->palette[3 * vga->dac_read + vga->dac_component] & dac_significant(vga);
    dac_advance(vga, &vga->dac_read);
    return value;
}

static void write_dac(struct vga *vga, uint8_t value)
{
    vga->palette[3 * vga->dac_write + vga->dac_component] = value & dac_significant(vga);
    dac_advance(vga, &vga->dac_write);
}

static void select_dac(struct vga *vga, uint8_t entry, bool reading)
{
    *(reading ? &vga->dac_read : &vga->dac_write) = entry;
    vga->dac_reading = reading;
    vga->dac_component = 0;
}

/* Are the CRT controller's ports at 3Dx (else 3Bx)? The other set does not decode. */
static bool crtc_port_selected(const struct vga *vga, unsigned port)
{
    return (port & 0x3f0) == (vga->misc & MISC_COLOR ? 0x3d0u : 0x3b0u);
}

static uint8_t read_crtc_port(struct vga *vga, unsigned port)
{
    if (!crtc_port_selected(vga, port)) {
        return 0xff;
    }
    switch (port & 0xf) {
    case 0x4:
        return vga->crtc_index;
    case 0x5:
        return vga->crtc_index < VGA_CRTC_COUNT ? vga->crtc[vga->crtc_index] : 0;
    case 0xa:
        vga->attr_data = false;
        return vga_crtc_status(vga);
    default:
        return 0xff;
    }
}

static void write_crtc_port(struct vga *vga, unsigned port, uint8_t value)
{
    if (!crtc_port_selected(vga, port)) {
        return;
    }
    switch (port & 0xf) {
    case 0x4:
        vga->crtc_index = value & 0x1f;
        break;
    case 0x5:
        write_crtc(vga, value);
        break;
    case 0xa:
        vga->feature = value & 0x0b;
        break;
    default:
        break;
    }
}

uint8_t vga_port_read(struct vga *vga, unsigned port)
{
    switch (port) {
    case 0x3c0:
        return vga->attr_index;
    case 0x3c1:
        return read_attribute(vga);
    case 0x3c2:
        return STATUS_0_SENSE;
    case 0x3c3:
        return vga->enable;
    case 0x3c4:
        return vga->seq_index;
    case 0x3c5:
        return vga->seq_index < VGA_SEQ_COUNT ? vga->seq[vga->seq_index] : 0;
    case 0x3c6:
        return vga->dac_mask;
    case 0x3c7:
        return vga->dac_reading ? DAC_STATE_READ : 0;
    case 0x3c8:
        return vga->dac_write;
    case 0x3c9:
        return read_dac(vga);
    case 0x3ca:
        return vga->feature;
    case 0x3cc:
        return vga->misc;
    case 0x3ce:
        return vga->gfx_index;
    case 0x3cf:
        return vga->gfx_index < VGA_GFX_COUNT ? vga->gfx[vga->gfx_index] : 0;
    default:
        return read_crtc_port(vga, port);
    }
}

static void write_register(struct vga *vga, unsigned port, uint8_t value)
{
    switch (port) {
    case 0x3c0:
        write_attribute(vga, value);
        break;
    case 0x3c2:
        vga->misc = value & 0xef;
        break;
    case 0x3c3:
        vga->enable = value & 1;
        break;
    case 0x3c4:
        vga->seq_index = value & 7;
        break;
    case 0x3c5:
        if (vga->seq_index < VGA_SEQ_COUNT) {
            vga->seq[vga->seq_index] = value & seq_writable[vga->seq_index];
        }
        break;
    case 0x3c6:
        vga->dac_mask = value;
        break;
    case 0x3c7:
    case 0x3c8:
        select_dac(vga, value, port == 0x3c7);
        break;
    case 0x3c9:
        write_dac(vga, value);
        break;
    case 0x3ce:
        vga->gfx_index = value & 15;
        break;
    case 0x3cf:
        if (vga->gfx_index < VGA_GFX_COUNT) {
            vga->gfx[vga->gfx_index] = value & gfx_writable[vga->gfx_index];
        }
        break;
    default:
        write_crtc_port(vga, port, value);
        break;
    }
}

void vga_port_write(struct vga *vga, unsigned port, uint8_t value)
{
    write_register(vga, port, value);
    vga_touch(vga);
    if (port == 0x3c2 || port == 0x3c5 || port == 0x3cf) {
        vga_window_update(vga);
    }
}

static uint64_t port_read(void *opaque, uint64_t offset, unsigned size)
{
    const struct vga_port_range *range = opaque;
    (void)size;
    return vga_port_read(range->vga, (unsigned)(range->region.base + offset));
}

static void port_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    const struct vga_port_range *range = opaque;
    (void)size;
    vga_port_write(range->vga, (unsigned)(range->region.base + offset), (uint8_t)value);
}

static const struct region_ops port_ops = {.read = port_read, .write = port_write, .max_size = 1};

/* --- Life --------------------------------------------------------------------------------------------- */

struct display vga_display(struct vga *vga)
{
    return (struct display){.ops = &vga_display_ops, .opaque = vga};
}

/* Reserved bits are cleared; an active DISPI mode is fitted into VRAM, whatever the file said. */
static int vga_post_load(void *object, struct error *error)
{
    struct vga *vga = object;
    int result = pci_function_post_load(&vga->pci, error);

    if (result < 0) {
        return result;
    }
    if (vga_dispi_active(vga)) {
        vga_dispi_fit(vga);
    }
    vga_window_restore(vga);
    vga_picture_invalidate(vga);
    return 0;
}

/* VRAM keeps its contents, as RAM does. */
static void vga_reset(struct device *device)
{
    struct vga *vga = CONTAINER_OF(device, struct vga, device);

    pci_function_reset(&vga->pci);
    vga_window_close(vga);
    vga->misc = vga->feature = 0;
    vga->enable = 1;
    vga->seq_index = vga->gfx_index = vga->crtc_index = vga->attr_index = 0;
    memset(vga->seq, 0, sizeof(vga->seq));
    memset(vga->gfx, 0, sizeof(vga->gfx));
    memset(vga->crtc, 0, sizeof(vga->crtc));
    memset(vga->attr, 0, sizeof(vga->attr));
    vga->attr_data = false;
    vga->dac_mask = 0xff;
    vga->dac_read = vga->dac_write = vga->dac_component = 0;
    vga->dac_reading = false;
    memset(vga->palette, 0, sizeof(vga->palette));
    memset(vga->latch, 0, sizeof(vga->latch));
    vga->dispi_index = 0;
    memset(vga->dispi, 0, sizeof(vga->dispi));
    vga->dispi[DISPI_ID] = DISPI_ID_LAST;
    vga->dispi[DISPI_VIDEO_MEMORY_64K] = VGA_VRAM_SIZE / (64 * KIB);
    vga_touch(vga);
}

static void vga_fini(struct device *device)
{
    struct vga *vga = CONTAINER_OF(device, struct vga, device);
    if (vga->vram != UINT64_MAX) {
        ram_set_watcher(device->board->mem->ram, RAM_WATCH_DISPLAY, NULL, NULL);
    }
    for (unsigned i = 0; i < VGA_PORT_RANGES; i++) {
        addr_space_remove(device->board->io, &vga->ports[i].region);
    }
    addr_space_remove(device->board->io, &vga->dispi_ports);
    addr_space_remove(device->board->mem, &vga->aperture);
    addr_space_remove(device->board->mem, &vga->window);
    display_surface_fini(&vga->picture.surface);
    pci_function_fini(&vga->pci);
    free(vga);
}

static const struct device_ops vga_device_ops = {
    .name = "vga",
    .reset = vga_reset,
    .fini = vga_fini,
    .snap = &vga_snap,
};

static void add_regions(struct vga *vga)
{
    static const struct {
        const char *name;
        uint16_t base, size;
    } ranges[VGA_PORT_RANGES] = {{"vga", 0x3c0, 16},
                                 {"vga-crtc", 0x3d4, 2},
                                 {"vga-status", 0x3da, 1},
                                 {"vga-crtc-mono", 0x3b4, 2},
                                 {"vga-status-mono", 0x3ba, 1}};
    struct addr_space *io = vga->device.board->io;

    for (unsigned i = 0; i < VGA_PORT_RANGES; i++) {
        struct vga_port_range *range = &vga->ports[i];
        range->vga = vga;
        region_init_io(&range->region, ranges[i].name, ranges[i].base, ranges[i].size, &port_ops, range);
        addr_space_add(io, &range->region);
    }
    region_init_io(&vga->dispi_ports, "vbe-dispi", 0x1ce, 4, &vga_dispi_port_ops, vga);
    addr_space_add(io, &vga->dispi_ports);
    region_init_io(&vga->aperture, "vga-aperture", APERTURE_BASE, APERTURE_SIZE, &vga_aperture_ops, vga);
    addr_space_add(vga->device.board->mem, &vga->aperture);
    vga_window_init(vga);
}

uint64_t vga_rom_memory(size_t rom_size)
{
    uint64_t size = PAGE_SIZE;
    while (rom_size && size < rom_size) {
        size *= 2;
    }
    return rom_size ? size : 0;
}

static bool add_rom(struct vga *vga, const void *rom, size_t rom_size)
{
    struct ram *ram = vga->device.board->mem->ram;
    uint64_t size = vga_rom_memory(rom_size);
    roff_t roff = ram_alloc(ram, size);

    if (roff == UINT64_MAX) {
        return false;
    }
    memset(ram_ptr(ram, roff), 0xff, size);
    memcpy(ram_ptr(ram, roff), rom, rom_size);
    region_init_memory(&vga->rom, "vga-rom", 0, size, roff, REGION_READ);
    pci_function_add_bar(&vga->pci, PCI_BAR_ROM, PCI_BAR_MEMORY, &vga->rom);
    return true;
}

struct vga *vga_create(struct board *board, struct pci_bus *bus, const void *rom, size_t rom_size)
{
    static const struct pci_identity identity = {.vendor = 0x1234,
                                                 .device = 0x1111,
                                                 .class_code = 0x030000,
                                                 .revision = 2,
                                                 .subsystem_vendor = PCI_BOARD_VENDOR,
                                                 .subsystem = PCI_BOARD_ID};
    int slot = pci_bus_free_slot(bus);
    struct vga *vga = slot < 0 ? NULL : calloc(1, sizeof(*vga));

    if (!vga) {
        return NULL;
    }
    device_init(&vga->device, &vga_device_ops, board, NULL);
    pci_function_init(&vga->pci, bus, (unsigned)slot, 0, &identity);
    vga->vram = ram_alloc(board->mem->ram, VGA_MEMORY_SIZE);
    if (vga->vram == UINT64_MAX || (rom && rom_size && !add_rom(vga, rom, rom_size))) {
        device_destroy(&vga->device);
        return NULL;
    }
    ram_keep_private(board->mem->ram, vga->vram, VGA_MEMORY_SIZE);
    region_init_memory(&vga->framebuffer, "vga-vram", 0, VGA_VRAM_SIZE, vga->vram, REGION_RW);
    region_init_io(&vga->registers, "vga-registers", 0, VGA_REGISTERS_SIZE, &vga_register_ops, vga);
    pci_function_add_bar(&vga->pci, 0, PCI_BAR_PREFETCHABLE, &vga->framebuffer);
    pci_function_add_bar(&vga->pci, 2, PCI_BAR_MEMORY, &vga->registers);
    ram_set_watcher(board->mem->ram, RAM_WATCH_DISPLAY, vga_picture_written, vga);
    add_regions(vga);
    vga_picture_invalidate(vga);
    vga_reset(&vga->device);
    return vga;
}
