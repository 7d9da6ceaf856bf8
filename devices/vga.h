/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * VGA with the Bochs VBE extensions, as PCI function 1234:1111 ("stdvga").
 *
 * Source: IBM Personal System/2 Hardware Interface Technical Reference, "Video subsystem" (VGA function); the Bochs
 * VBE DISPI interface; QEMU documentation, "QEMU Standard VGA".
 *
 *   ports 3B4-3B5, 3BA, 3C0-3CF, 3D4-3D5, 3DA   VGA registers        1CE-1D1   DISPI index and data
 *   A0000-BFFFF   aperture: 64 KiB or 32 KiB of it, as graphics register 6 says
 *   BAR 0         all of VRAM, linear       BAR 2   the same registers as memory       ROM BAR   the VGA BIOS
 *
 * VRAM holds the four planes interleaved: byte p of dword n is offset n of plane p. That is also what a linear frame
 * buffer of the VBE modes sees.
 *
 * vga.c is the register file, vga_memory.c the aperture and its plane logic, vga_text.c the text picture. Drawing the
 * graphics modes belongs to the windowed display.
 *
 * DEVIATION: ports and aperture answer whatever the PCI command register says, so that guests without PCI code work.
 *
 * Not modelled: the vertical retrace interrupt, light pen, monitor sensing, CGA and Hercules register emulation, EDID.
 */
#ifndef DEVICES_VGA_H
#define DEVICES_VGA_H

#include "devices/display.h"
#include "devices/pci.h"

#define VGA_VRAM_SIZE    (16 * MIB)
#define VGA_PLANE_SIZE   0x10000u /* of the original VGA: four of these */
#define VGA_SEQ_COUNT    5u
#define VGA_CRTC_COUNT   25u
#define VGA_GFX_COUNT    9u
#define VGA_ATTR_COUNT   21u
#define VGA_PALETTE_SIZE 768u
#define VGA_PORT_RANGES  5u

/* Registers of the DISPI interface. */
enum vga_dispi {
    DISPI_ID,
    DISPI_XRES,
    DISPI_YRES,
    DISPI_BPP,
    DISPI_ENABLE,
    DISPI_BANK,
    DISPI_VIRT_WIDTH,
    DISPI_VIRT_HEIGHT,
    DISPI_X_OFFSET,
    DISPI_Y_OFFSET,
    DISPI_VIDEO_MEMORY_64K,
    DISPI_COUNT
};

enum vga_dispi_enable_bits {
    DISPI_ENABLED = 0x01,
    DISPI_GETCAPS = 0x02,
    DISPI_BANK_GRANULARITY_32K = 0x10,
    DISPI_8BIT_DAC = 0x20,
    DISPI_LFB_ENABLED = 0x40,
    DISPI_NOCLEARMEM = 0x80
};

struct vga;

struct vga_port_range {
    struct vga *vga;
    struct region region;
};

struct vga {
    struct device device;
    struct pci_function pci;
    struct vga_port_range ports[VGA_PORT_RANGES];
    struct region aperture, dispi_ports;
    struct region framebuffer, registers, rom; /* BAR 0, BAR 2, ROM BAR */
    roff_t vram;                               /* VGA_VRAM_SIZE bytes of the VM's memory */

    uint8_t misc;                             /* miscellaneous output, 3C2 */
    uint8_t feature;                          /* feature control, 3DA */
    uint8_t enable;                           /* video subsystem enable, 3C3 */
    uint8_t seq_index, seq[VGA_SEQ_COUNT];    /* sequencer, 3C4 */
    uint8_t gfx_index, gfx[VGA_GFX_COUNT];    /* graphics controller, 3CE */
    uint8_t crtc_index, crtc[VGA_CRTC_COUNT]; /* CRT controller, 3D4 */
    uint8_t attr_index, attr[VGA_ATTR_COUNT]; /* attribute controller, 3C0; index has PAS in bit 5 */
    bool attr_data;                           /* the flip-flop: the next write of 3C0 is data */
    uint8_t dac_mask, dac_read, dac_write;    /* 3C6; next entry to read, to write */
    uint8_t dac_component;                    /* 0 red, 1 green, 2 blue */
    bool dac_reading;                         /* 3C7 was written last, not 3C8 */
    uint8_t palette[VGA_PALETTE_SIZE];        /* 6 or 8 significant bits */
    uint8_t latch[4];                         /* one byte a plane */
    uint16_t dispi_index;
    uint16_t dispi[DISPI_COUNT];

    uint64_t generation; /* of the picture; not state */
};

/* In the lowest free PCI slot. `rom` (an option ROM image, copied) may be NULL. VRAM and ROM come out of the board's
 * memory: VGA_VRAM_SIZE plus vga_rom_memory(rom_size) bytes. NULL: out of memory, the host's or the VM's. */
struct vga *vga_create(struct board *board, struct pci_bus *bus, const void *rom, size_t rom_size);

/* Bytes of VM memory that a ROM image takes: a power of two. */
uint64_t vga_rom_memory(size_t rom_size);

/* What it shows. */
struct display vga_display(struct vga *vga);

/* --- Between the files of the device ------------------------------------------------------------------- */

extern const struct region_ops vga_aperture_ops;
extern const struct display_ops vga_display_ops;

/* The picture may look different from now on. */
static inline void vga_touch(struct vga *vga)
{
    vga->generation++;
}

/* DISPI mode other than text and the VGA's own. */
static inline bool vga_dispi_active(const struct vga *vga)
{
    return (vga->dispi[DISPI_ENABLE] & DISPI_ENABLED) != 0;
}

/* The four plane bytes at plane offset `offset`; wraps at the size of the memory in use. */
uint8_t *vga_planes(const struct vga *vga, uint32_t offset);

#endif
