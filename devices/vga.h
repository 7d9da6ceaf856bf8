/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * VGA with the Bochs VBE extensions, as PCI function 1234:1111 ("stdvga").
 *
 * Source: IBM Personal System/2 Hardware Interface Technical Reference, "Video subsystem" (VGA function); the Bochs
 * VBE DISPI interface; QEMU documentation, "QEMU Standard VGA".
 *
 *   ports 3B4-3B5, 3BA, 3C0-3CF, 3D4-3D5, 3DA   VGA registers        1CE-1D1   DISPI index and data
 *   A0000-BFFFF   aperture: 64 KiB or 32 KiB of it, as graphics register 6 says
 *   BAR 0         all of VRAM, linear       BAR 2   EDID and the same registers as memory       ROM BAR   the VGA BIOS
 *
 * VRAM in the VGA's own modes: 64 Ki dwords with one byte of each plane, plane 0 first. Plane offset n lies in dword
 *
 *   n rotated right by 2:   [1:0] of n become [15:14], [15:2] become [13:0]
 *
 * so that chain-4 addressing (byte A is in plane A mod 4 at offset A with bits 1:0 clear) makes byte A of VRAM out of
 * byte A of the aperture. In DISPI modes dword n is offset n, and packed pixels lie as they are in the linear frame buffer.
 *
 *   vga.c        ports and life          vga_dispi.c    DISPI, BAR 2       vga_memory.c   aperture and plane logic
 *   vga_crtc.c   beam and addresses      vga_window.c   aperture as memory vga_text.c     the screen as characters
 *   vga_draw.c   the screen as pixels    vga_picture.c  what must be drawn
 *
 * DEVIATION: ports and aperture answer whatever the PCI command register says, so that guests without PCI code work.
 *
 * Not modelled: the vertical retrace interrupt, light pen, monitor sensing, CGA and Hercules register emulation.
 */
#ifndef DEVICES_VGA_H
#define DEVICES_VGA_H

#include "devices/display.h"
#include "devices/pci.h"
#include "devices/vga_registers.h"

#define VGA_VRAM_SIZE    (16 * MIB)
#define VGA_PLANE_SIZE   0x10000u /* of the original VGA: four of these */
#define VGA_TEXT_SIZE    0x8000u  /* characters and attributes in the order of the aperture; behind VRAM */
#define VGA_MEMORY_SIZE  (VGA_VRAM_SIZE + VGA_TEXT_SIZE)
#define VGA_FRAMES       (VGA_MEMORY_SIZE / PAGE_SIZE)
#define VGA_SEQ_COUNT    5u
#define VGA_CRTC_COUNT   25u
#define VGA_GFX_COUNT    9u
#define VGA_ATTR_COUNT   21u
#define VGA_PALETTE_SIZE 768u
#define VGA_PORT_RANGES  5u
#define VGA_MAX_COLUMNS  256u

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

#define DISPI_ID_LAST  0xb0c5u
#define DISPI_MAX_XRES 2560u
#define DISPI_MAX_YRES 1600u

struct vga;

struct vga_port_range {
    struct vga *vga;
    struct region region;
};

/* What part of the aperture is plain memory; follows from the registers. */
enum vga_window { VGA_WINDOW_NONE, VGA_WINDOW_LINEAR, VGA_WINDOW_TEXT };

/* All that the picture depends on, beside the memory. No padding: compared as bytes. */
struct vga_look {
    uint16_t dispi[DISPI_COUNT];
    uint8_t crtc[VGA_CRTC_COUNT], attr[VGA_ATTR_COUNT], palette[VGA_PALETTE_SIZE];
    uint8_t clocking, character_map, gfx_mode, gfx_misc;
    uint8_t dac_mask, blank, cursor_on, blink_on;
};

/* The screen as last drawn. Not state: drawn anew after a load. */
struct vga_picture {
    struct display_surface surface;
    struct vga_look look;
    bool valid;                /* `look` is what the surface shows */
    uint8_t dirty[VGA_FRAMES]; /* a bool a frame: written since it was drawn */
    uint8_t heat[VGA_FRAMES];  /* updates in a row that found it dirty */
    uint32_t color[256];       /* 0x00RRGGBB of each DAC entry */
    uint32_t pixel_color[16];  /* of each value that four planes give */
    uint32_t line[(VGA_MAX_COLUMNS + 1) * 9 * 2 + 16];
};

struct vga {
    struct device device;
    struct pci_function pci;
    struct vga_port_range ports[VGA_PORT_RANGES];
    struct region aperture, dispi_ports;
    struct region framebuffer, registers, rom; /* BAR 0, BAR 2, ROM BAR */
    roff_t vram;                               /* VGA_MEMORY_SIZE bytes of the VM's memory */
    struct region window;                      /* in front of the aperture */
    enum vga_window window_kind;

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
    struct vga_picture picture;
};

/* In the lowest free PCI slot. `rom` (an option ROM image, copied) may be NULL. Memory and ROM come out of the board's
 * memory: VGA_MEMORY_SIZE plus vga_rom_memory(rom_size) bytes. NULL: out of memory, the host's or the VM's. */
struct vga *vga_create(struct board *board, struct pci_bus *bus, const void *rom, size_t rom_size);

/* Bytes of VM memory that a ROM image takes: a power of two. */
uint64_t vga_rom_memory(size_t rom_size);

/* What it shows. */
struct display vga_display(struct vga *vga);

/* --- Between the files of the device ------------------------------------------------------------------- */

extern const struct region_ops vga_aperture_ops;
extern const struct region_ops vga_dispi_port_ops;
extern const struct region_ops vga_register_ops;
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

/* Packed pixels, one after the other. */
static inline bool vga_dispi_linear(const struct vga *vga)
{
    return vga_dispi_active(vga) && vga->dispi[DISPI_BPP] > 4;
}

static inline uint8_t *vga_vram(const struct vga *vga)
{
    return ram_ptr(vga->device.board->mem->ram, vga->vram);
}

/* vga.c: VGA ports, by any of their ways in. */
uint8_t vga_port_read(struct vga *vga, unsigned port);
void vga_port_write(struct vga *vga, unsigned port, uint8_t value);

/* vga_dispi.c */
#define VGA_REGISTERS_SIZE 0x1000u /* BAR 2 */
unsigned vga_dispi_line_bytes(const struct vga *vga);
/* Bring the geometry into the memory there is: whatever was written, the picture lies inside VRAM. */
void vga_dispi_fit(struct vga *vga);
/* Byte of VRAM at which bank 0 of the aperture is, this moment. */
uint32_t vga_dispi_bank_base(const struct vga *vga);

/* vga_memory.c: the four plane bytes at plane offset `offset`; wraps at the size of the memory in use. While the window
 * shows text, planes 0 and 1 are only as new as the last vga_window_pull(). */
uint8_t *vga_planes(const struct vga *vga, uint32_t offset);

/* vga_window.c */
void vga_window_init(struct vga *vga);
/* The registers may want the aperture to be something else now. */
void vga_window_update(struct vga *vga);
/* The same after a load: memory is as the registers say already. */
void vga_window_restore(struct vga *vga);
/* Nothing is memory until the next update: something changes that the planes' places depend on. */
void vga_window_close(struct vga *vga);
/* Bring what the guest wrote into the window to the planes. */
void vga_window_pull(const struct vga *vga);

/* vga_crtc.c */
/* Input status 1 (3DA), without its side effect. */
uint8_t vga_crtc_status(const struct vga *vga);
/* Pictures since the clock's zero. */
uint64_t vga_crtc_frame(const struct vga *vga);
unsigned vga_crtc_columns(const struct vga *vga);
/* Scan lines of the visible part. */
unsigned vga_crtc_lines(const struct vga *vga);
/* The scan line behind which the address counter starts at 0 again. */
unsigned vga_crtc_line_compare(const struct vga *vga);
/* Two registers that make one number, high byte first. */
unsigned vga_crtc_word(const struct vga *vga, unsigned high);
/* Plane offset that an address counter value, in a row scan, addresses. */
uint32_t vga_crtc_offset(const struct vga *vga, uint32_t counter, unsigned row_scan);

/* vga_text.c, vga_draw.c */
enum display_kind vga_kind(const struct vga *vga);
/* 0x00RRGGBB of one DAC entry; of one value of the four planes. */
uint32_t vga_dac_color(const struct vga *vga, uint8_t entry);
uint32_t vga_attribute_color(const struct vga *vga, unsigned index);
/* Plane 2 offset of a font, 0 or 1. */
uint32_t vga_font_offset(const struct vga *vga, unsigned font);

/* Size of the picture in pixels. */
void vga_draw_size(const struct vga *vga, unsigned *width, unsigned *height);
/* Draw the picture, or of a DISPI mode's packed pixels the lines that lie in dirty frames. */
void vga_draw(struct vga *vga, bool all);

/* vga_picture.c */
const struct display_surface *vga_picture_update(void *opaque);
/* A watch on a frame fired: it was clean. */
void vga_picture_written(void *opaque, roff_t roff, uint64_t length);
/* Everything may look different: after a load. */
void vga_picture_invalidate(struct vga *vga);
/* Hear of the next write to each frame of the VGA's own memory. */
void vga_picture_watch(struct vga *vga);

#endif
