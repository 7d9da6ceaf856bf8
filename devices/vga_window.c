/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * VGA: the aperture as plain memory.
 *
 * Where the registers leave nothing for the plane logic to do, a memory region lies in front of the aperture, and the
 * processor reaches video memory as it reaches RAM. Whether it does follows from the registers alone:
 *
 *   linear   packed pixels of a DISPI mode, one bank; or chain-4 addressing with every plane written as it comes (mode 13h)
 *   text     odd/even addressing of planes 0 and 1 at B0000 or B8000
 *
 * Chain-4 bytes lie in VRAM in the order of the aperture (vga.h). Characters and attributes do not: two planes of four take
 * part. They have VGA_TEXT_SIZE bytes of their own behind VRAM, which hold the truth while the window shows text, and are
 * copied when it opens, when it closes, and when somebody wants to look at the planes.
 *
 *   byte A of the text window = byte of plane A mod 2 at plane offset A with bit 0 clear
 *
 * DEVIATION: reads through the window do not load the latches, and the text screen is not up to date in BAR 0.
 */
#include "devices/vga.h"

#define WINDOW_PRIORITY 1 /* over the aperture, below RAM that the chipset shows there */
#define LINEAR_BASE     0xa0000
#define LINEAR_SIZE     0x10000
#define ALL_PLANES      0x0f
#define TEXT_PLANES     0x03

static uint8_t *text_memory(const struct vga *vga)
{
    return vga_vram(vga) + VGA_VRAM_SIZE;
}

/* The byte of the planes that byte `a` of the text window stands for. */
static uint8_t *text_byte(const struct vga *vga, uint32_t a)
{
    return vga_planes(vga, a & ~1u) + (a & 1);
}

/* Does a write reach the planes it addresses unchanged, and a read give what is there? */
static bool logic_is_idle(const struct vga *vga)
{
    return vga->gfx[GFX_ENABLE_SET_RESET] == 0 && vga->gfx[GFX_ROTATE] == 0 &&
           vga->gfx[GFX_BIT_MASK] == 0xff && !(vga->gfx[GFX_MODE] & (MODE_WRITE | MODE_READ_COLOR));
}

static enum vga_window choose_window(const struct vga *vga)
{
    unsigned map = (vga->gfx[GFX_MISC] & GFX_MISC_MAP) >> 2;
    uint8_t memory_mode = vga->seq[SEQ_MEMORY_MODE];

    if (!(vga->misc & MISC_RAM_ENABLE)) {
        return VGA_WINDOW_NONE;
    }
    if (vga_dispi_active(vga)) {
        return vga_dispi_linear(vga) ? VGA_WINDOW_LINEAR : VGA_WINDOW_NONE;
    }
    if (!logic_is_idle(vga)) {
        return VGA_WINDOW_NONE;
    }
    if (memory_mode & MEMORY_CHAIN_4) {
        return map == 1 && vga->seq[SEQ_MAP_MASK] == ALL_PLANES ? VGA_WINDOW_LINEAR : VGA_WINDOW_NONE;
    }
    bool odd_even = !(memory_mode & MEMORY_ODD_EVEN) && (vga->gfx[GFX_MODE] & MODE_ODD_EVEN);
    bool text =
        odd_even && map >= 2 && vga->seq[SEQ_MAP_MASK] == TEXT_PLANES && !(vga->gfx[GFX_READ_MAP] & 2);
    return text ? VGA_WINDOW_TEXT : VGA_WINDOW_NONE;
}

/* Show what `kind` names. The bank of a DISPI mode at the end of VRAM may be cut short by it. */
static void show_window(struct vga *vga, enum vga_window kind)
{
    struct region *region = &vga->window;
    uint32_t offset = kind == VGA_WINDOW_TEXT ? VGA_VRAM_SIZE : vga_dispi_bank_base(vga);
    uint64_t size = kind == VGA_WINDOW_TEXT ? VGA_TEXT_SIZE : MIN(LINEAR_SIZE, VGA_VRAM_SIZE - offset);
    uint64_t base = LINEAR_BASE;

    if (kind == VGA_WINDOW_TEXT) {
        base = (vga->gfx[GFX_MISC] & GFX_MISC_MAP) >> 2 == 2 ? 0xb0000 : 0xb8000;
    }
    vga->window_kind = kind;
    if (kind == VGA_WINDOW_NONE) {
        region_set_enabled(region, false);
        return;
    }
    if (region->enabled && region->roff == vga->vram + offset && region->base == base &&
        region->size == size) {
        return;
    }
    addr_space_begin(vga->device.board->mem);
    region_set_enabled(region, false);
    region->roff = vga->vram + offset;
    region->size = size;
    region->base = base;
    region_set_enabled(region, true);
    addr_space_end(vga->device.board->mem);
}

void vga_window_pull(const struct vga *vga)
{
    const uint8_t *text = text_memory(vga);

    if (vga->window_kind != VGA_WINDOW_TEXT) {
        return;
    }
    ram_observe(vga->device.board->mem->ram, vga->vram, 4 * VGA_PLANE_SIZE);
    for (uint32_t a = 0; a < VGA_TEXT_SIZE; a++) {
        *text_byte(vga, a) = text[a];
    }
}

static void push_text(const struct vga *vga)
{
    uint8_t *text = text_memory(vga);

    for (uint32_t a = 0; a < VGA_TEXT_SIZE; a++) {
        text[a] = *text_byte(vga, a);
    }
}

void vga_window_close(struct vga *vga)
{
    struct ram *ram = vga->device.board->mem->ram;

    if (vga->window_kind == VGA_WINDOW_TEXT) {
        ram_watch_notify(ram, vga->vram, 4 * VGA_PLANE_SIZE);
        vga_window_pull(vga);
    }
    show_window(vga, VGA_WINDOW_NONE);
}

void vga_window_update(struct vga *vga)
{
    enum vga_window kind = choose_window(vga);

    if (kind != vga->window_kind && vga->window_kind == VGA_WINDOW_TEXT) {
        vga_window_close(vga);
    } else if (kind != vga->window_kind && kind == VGA_WINDOW_TEXT) {
        ram_watch_notify(vga->device.board->mem->ram, vga->vram + VGA_VRAM_SIZE, VGA_TEXT_SIZE);
        push_text(vga);
    }
    show_window(vga, kind);
}

void vga_window_restore(struct vga *vga)
{
    show_window(vga, choose_window(vga));
}

void vga_window_init(struct vga *vga)
{
    struct region *region = &vga->window;

    region_init_memory(region, "vga-window", LINEAR_BASE, LINEAR_SIZE, vga->vram, REGION_RW);
    region->priority = WINDOW_PRIORITY;
    region->enabled = false;
    addr_space_add(vga->device.board->mem, region);
}
