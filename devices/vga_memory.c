/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * VGA: the aperture at A0000-BFFFF and what lies between it and the planes.
 *
 * Source: IBM Personal System/2 Hardware Interface Technical Reference, "Video subsystem", on the graphics controller
 * and the sequencer's memory mode.
 *
 *   processor address --map select--> aperture offset A --addressing--> planes + plane offset
 *
 *     chain 4   (SEQ4 bit 3)          plane A1:0          offset A with bits 1:0 clear
 *     odd/even  (SEQ4 bit 2 clear)    planes 0,2 or 1,3   offset A with bit 0 clear
 *     planar                          all                 offset A
 *
 *   write:  value -> rotate -> set/reset -> function with latches -> bit mask -> map mask -> planes
 *   read:   planes -> latches -> one plane, or the colour comparison
 *
 * Four plane bytes are handled as one dword, plane 0 in bits 7:0. Every offset is masked to the memory in use before it
 * becomes an address.
 *
 * DEVIATION: the odd/even page bit (miscellaneous output bit 5) has no effect.
 *
 * Not modelled: CGA's bank interleave done by the CRT controller (it changes the picture, not the memory).
 */
#include "devices/vga.h"

#define VRAM_DWORD_MASK ((uint32_t)(VGA_VRAM_SIZE / 4 - 1))

/* Where an aperture access goes. */
struct target {
    uint32_t offset;    /* in the planes */
    uint8_t write_mask; /* planes that a write reaches */
    uint8_t read_plane;
};

/* Which dword of VRAM; see vga.h. */
static uint32_t dword_index(const struct vga *vga, uint32_t offset)
{
    if (vga_dispi_active(vga)) {
        return offset & VRAM_DWORD_MASK;
    }
    return (offset & 3) << 14 | ((offset & (VGA_PLANE_SIZE - 1)) >> 2);
}

uint8_t *vga_planes(const struct vga *vga, uint32_t offset)
{
    return vga_vram(vga) + 4 * (size_t)dword_index(vga, offset);
}

/* A plane mask as a dword of full bytes. */
static uint32_t expand_mask(unsigned planes)
{
    static const uint32_t bytes[16] = {
        0x00000000, 0x000000ff, 0x0000ff00, 0x0000ffff, 0x00ff0000, 0x00ff00ff, 0x00ffff00, 0x00ffffff,
        0xff000000, 0xff0000ff, 0xff00ff00, 0xff00ffff, 0xffff0000, 0xffff00ff, 0xffffff00, 0xffffffff,
    };
    return bytes[planes & 15];
}

static uint32_t replicate(uint8_t value)
{
    return value * 0x01010101u;
}

static uint8_t rotate_right(uint8_t value, unsigned count)
{
    return (uint8_t)(value >> count | value << (8 - count));
}

/* Offset from the start of the chosen window; false when the address lies outside it. */
static bool aperture_offset(const struct vga *vga, uint64_t offset, uint32_t *within)
{
    static const struct {
        uint32_t first, size;
    } maps[4] = {{0x00000, 0x20000}, {0x00000, 0x10000}, {0x10000, 0x8000}, {0x18000, 0x8000}};
    unsigned select = vga_dispi_active(vga) ? 1 : (vga->gfx[GFX_MISC] & GFX_MISC_MAP) >> 2;

    *within = (uint32_t)offset - maps[select].first;
    return (vga->misc & MISC_RAM_ENABLE) && offset >= maps[select].first && *within < maps[select].size;
}

/* In the packed pixel modes of the DISPI interface the aperture is a window on linear memory. */
static uint8_t *linear_byte(const struct vga *vga, uint32_t within)
{
    return vga_vram(vga) + ((vga_dispi_bank_base(vga) + within) & (VGA_VRAM_SIZE - 1));
}

/* Odd/even addressing is switched for writes in SEQ4 and for reads in GFX5. */
static struct target find_target(const struct vga *vga, uint32_t a, bool reading)
{
    uint8_t memory_mode = vga->seq[SEQ_MEMORY_MODE];
    bool odd_even = reading ? (vga->gfx[GFX_MODE] & MODE_ODD_EVEN) != 0 : !(memory_mode & MEMORY_ODD_EVEN);
    struct target target = {
        .offset = a, .write_mask = vga->seq[SEQ_MAP_MASK] & 0x0f, .read_plane = vga->gfx[GFX_READ_MAP] & 3};

    if (memory_mode & MEMORY_CHAIN_4) {
        target.offset = a & ~3u;
        target.write_mask &= (uint8_t)(1u << (a & 3));
        target.read_plane = a & 3;
    } else if (odd_even) {
        target.offset = a & ~1u;
        target.write_mask &= a & 1 ? 0x0a : 0x05;
        target.read_plane = (target.read_plane & 2) | (a & 1);
    }
    target.offset += vga_dispi_bank_base(vga);
    return target;
}

/* --- Reading ----------------------------------------------------------------------------------------- */

/* Bit n of the result: pixel n has the compared colour in every plane that counts. */
static uint8_t compare_colors(const struct vga *vga, uint32_t planes)
{
    uint32_t difference =
        (planes ^ expand_mask(vga->gfx[GFX_COLOR_COMPARE])) & expand_mask(vga->gfx[GFX_COLOR_DONT_CARE]);
    difference |= difference >> 16;
    return (uint8_t) ~(difference | difference >> 8);
}

static uint8_t read_byte(struct vga *vga, uint64_t address)
{
    uint32_t within;
    if (!aperture_offset(vga, address, &within)) {
        return 0xff;
    }
    if (vga_dispi_linear(vga)) {
        return *linear_byte(vga, within);
    }
    struct target target = find_target(vga, within, true);
    const uint8_t *planes = vga_planes(vga, target.offset);
    memcpy(vga->latch, planes, sizeof(vga->latch));
    if (vga->gfx[GFX_MODE] & MODE_READ_COLOR) {
        return compare_colors(vga, load_le32(planes));
    }
    return planes[target.read_plane];
}

static uint64_t aperture_read(void *opaque, uint64_t offset, unsigned size)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < size; i++) {
        value |= (uint64_t)read_byte(opaque, offset + i) << (8 * i);
    }
    return value;
}

/* --- Writing ----------------------------------------------------------------------------------------- */

static uint32_t apply_function(unsigned function, uint32_t value, uint32_t latch)
{
    switch (function & 3) {
    case 1:
        return value & latch;
    case 2:
        return value | latch;
    case 3:
        return value ^ latch;
    default:
        return value;
    }
}

/* The dword that the map mask then lets through to the planes. */
static uint32_t write_pipeline(const struct vga *vga, uint8_t value)
{
    const uint8_t *gfx = vga->gfx;
    uint8_t rotated = rotate_right(value, gfx[GFX_ROTATE] & 7);
    uint32_t latch = load_le32(vga->latch), set_reset = expand_mask(gfx[GFX_SET_RESET]);
    uint8_t bit_mask = gfx[GFX_BIT_MASK];
    uint32_t data;

    switch (gfx[GFX_MODE] & MODE_WRITE) {
    case 1:
        return latch;
    case 2:
        data = expand_mask(value);
        break;
    case 3:
        data = set_reset;
        bit_mask &= rotated;
        break;
    default: {
        uint32_t enabled = expand_mask(gfx[GFX_ENABLE_SET_RESET]);
        data = (replicate(rotated) & ~enabled) | (set_reset & enabled);
        break;
    }
    }
    data = apply_function(gfx[GFX_ROTATE] >> 3, data, latch);
    return (data & replicate(bit_mask)) | (latch & ~replicate(bit_mask));
}

/* The frame that `host` lies in is about to change. */
static void notify_write(struct vga *vga, const uint8_t *host, unsigned size)
{
    struct ram *ram = vga->device.board->mem->ram;
    roff_t roff = ram_roff(ram, (uintptr_t)host);
    if (ram_watched(ram, roff)) {
        ram_watch_notify(ram, roff, size);
    }
    vga_touch(vga);
}

static void write_linear(struct vga *vga, uint32_t within, uint8_t value)
{
    uint8_t *byte = linear_byte(vga, within);
    notify_write(vga, byte, 1);
    *byte = value;
}

static void write_planes(struct vga *vga, uint32_t within, uint8_t value)
{
    struct target target = find_target(vga, within, false);
    uint8_t *planes = vga_planes(vga, target.offset);
    uint32_t mask = expand_mask(target.write_mask), old = load_le32(planes);
    uint32_t new = (old & ~mask) | (write_pipeline(vga, value) & mask);
    if (new != old) {
        notify_write(vga, planes, 4);
        store_le32(planes, new);
    }
}

static void aperture_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct vga *vga = opaque;
    bool linear = vga_dispi_linear(vga);

    for (unsigned i = 0; i < size; i++, value >>= 8) {
        uint32_t within;
        if (!aperture_offset(vga, offset + i, &within)) {
            continue;
        }
        if (linear) {
            write_linear(vga, within, (uint8_t)value);
        } else {
            write_planes(vga, within, (uint8_t)value);
        }
    }
}

const struct region_ops vga_aperture_ops = {.read = aperture_read, .write = aperture_write, .max_size = 8};
