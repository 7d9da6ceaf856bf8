/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * VGA: the Bochs VBE interface (DISPI), and BAR 2, where all registers are memory.
 *
 * Source: Bochs VBE DISPI interface; QEMU documentation, "QEMU Standard VGA"; VESA Enhanced EDID Standard, release A,
 * revision 1 (EDID 1.3).
 *
 *   BAR 2   000  EDID, 128 bytes
 *           400  ports 3C0-3DF, a byte each
 *           500  DISPI registers, a word each
 *           600  size of this block, byte order of the frame buffer
 *
 * Ids B0C0 to B0C5 are told back to whoever writes them; the extensions of all of them are there at once.
 *
 * Not modelled: a big-endian frame buffer; separate read and write banks.
 */
#include "devices/vga.h"

#define DISPI_ID_FIRST    0xb0c0u
#define DISPI_MAX_BPP     32u
#define REGISTERS_PORTS   0x400u
#define REGISTERS_DISPI   0x500u
#define REGISTERS_EXT     0x600u
#define EXT_LITTLE_ENDIAN 0x1e1e1e1eu
#define EDID_SIZE         128u

/* --- Geometry ----------------------------------------------------------------------------------------- */

static uint32_t line_bytes(unsigned width, unsigned bpp)
{
    return bpp == 4 ? width / 2 : width * ((bpp + 7) / 8);
}

unsigned vga_dispi_line_bytes(const struct vga *vga)
{
    return line_bytes(vga->dispi[DISPI_VIRT_WIDTH], vga->dispi[DISPI_BPP]);
}

static uint16_t clamp16(uint32_t value, uint32_t low, uint32_t high)
{
    return (uint16_t)MIN(MAX(value, low), high);
}

void vga_dispi_fit(struct vga *vga)
{
    uint16_t *r = vga->dispi;
    unsigned bpp = r[DISPI_BPP];

    if (bpp != 4 && bpp != 15 && bpp != 16 && bpp != 24 && bpp != 32) {
        r[DISPI_BPP] = 8;
    }
    r[DISPI_XRES] = clamp16(r[DISPI_XRES], 8, DISPI_MAX_XRES) & 0xfff8;
    r[DISPI_VIRT_WIDTH] = clamp16(r[DISPI_VIRT_WIDTH], r[DISPI_XRES], 0xfff8) & 0xfff8;
    uint32_t lines = (uint32_t)(VGA_VRAM_SIZE / vga_dispi_line_bytes(vga));
    r[DISPI_YRES] = clamp16(r[DISPI_YRES], 1, MIN(lines, DISPI_MAX_YRES));
    r[DISPI_VIRT_HEIGHT] = clamp16(lines, 1, 0xffff);
    r[DISPI_X_OFFSET] = clamp16(r[DISPI_X_OFFSET], 0, r[DISPI_VIRT_WIDTH] - r[DISPI_XRES]);
    r[DISPI_Y_OFFSET] = clamp16(r[DISPI_Y_OFFSET], 0, (uint32_t)(r[DISPI_VIRT_HEIGHT] - r[DISPI_YRES]));
}

uint32_t vga_dispi_bank_base(const struct vga *vga)
{
    unsigned shift = vga->dispi[DISPI_ENABLE] & DISPI_BANK_GRANULARITY_32K ? 15 : 16;
    return vga_dispi_active(vga) ? ((uint32_t)vga->dispi[DISPI_BANK] << shift) & (VGA_VRAM_SIZE - 1) : 0;
}

/* --- Registers ---------------------------------------------------------------------------------------- */

static void clear_screen(struct vga *vga)
{
    uint64_t size = (uint64_t)vga->dispi[DISPI_YRES] * vga_dispi_line_bytes(vga);

    size = MIN(size, VGA_VRAM_SIZE);
    ram_watch_notify(vga->device.board->mem->ram, vga->vram, size);
    memset(vga_vram(vga), 0, size);
}

static void write_enable(struct vga *vga, uint16_t value)
{
    bool starts = (value & DISPI_ENABLED) && !vga_dispi_active(vga);

    if (starts) {
        vga_window_close(vga);
    }
    vga->dispi[DISPI_ENABLE] = value & (DISPI_ENABLED | DISPI_GETCAPS | DISPI_BANK_GRANULARITY_32K |
                                        DISPI_8BIT_DAC | DISPI_LFB_ENABLED | DISPI_NOCLEARMEM);
    if (!(value & DISPI_ENABLED)) {
        vga->dispi[DISPI_BANK] = 0;
    }
    if (starts) {
        vga->dispi[DISPI_VIRT_WIDTH] = vga->dispi[DISPI_XRES];
        vga->dispi[DISPI_X_OFFSET] = vga->dispi[DISPI_Y_OFFSET] = 0;
        vga_dispi_fit(vga);
        if (!(value & DISPI_NOCLEARMEM)) {
            clear_screen(vga);
        }
    }
}

static void dispi_write(struct vga *vga, unsigned index, uint16_t value)
{
    vga_touch(vga);
    switch (index) {
    case DISPI_ID:
        if (value >= DISPI_ID_FIRST && value <= DISPI_ID_LAST) {
            vga->dispi[DISPI_ID] = value;
        }
        return;
    case DISPI_ENABLE:
        write_enable(vga, value);
        break;
    case DISPI_XRES:
    case DISPI_YRES:
    case DISPI_BPP:
    case DISPI_VIRT_WIDTH:
    case DISPI_X_OFFSET:
    case DISPI_Y_OFFSET:
        vga->dispi[index] = value;
        break;
    case DISPI_BANK:
        vga->dispi[DISPI_BANK] = value & (VGA_VRAM_SIZE / (32 * KIB) - 1);
        break;
    default: /* the rest is read-only, or is not there */
        return;
    }
    if (vga_dispi_active(vga)) {
        vga_dispi_fit(vga);
    }
    vga_window_update(vga);
}

static uint16_t dispi_read(const struct vga *vga, unsigned index)
{
    if (vga->dispi[DISPI_ENABLE] & DISPI_GETCAPS) {
        switch (index) {
        case DISPI_XRES:
            return DISPI_MAX_XRES;
        case DISPI_YRES:
            return DISPI_MAX_YRES;
        case DISPI_BPP:
            return DISPI_MAX_BPP;
        default:
            break;
        }
    }
    return index < DISPI_COUNT ? vga->dispi[index] : 0;
}

/* Words: index at 1CE, data at 1CF or, aligned, at 1D0. */
static uint64_t dispi_port_read(void *opaque, uint64_t offset, unsigned size)
{
    const struct vga *vga = opaque;
    if (size != 2 || offset > 2) {
        return UINT64_MAX;
    }
    return offset == 0 ? vga->dispi_index : dispi_read(vga, vga->dispi_index);
}

static void dispi_port_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct vga *vga = opaque;
    if (size != 2 || offset > 2) {
        return;
    }
    if (offset == 0) {
        vga->dispi_index = (uint16_t)value;
    } else {
        dispi_write(vga, vga->dispi_index, (uint16_t)value);
    }
}

const struct region_ops vga_dispi_port_ops = {
    .read = dispi_port_read, .write = dispi_port_write, .max_size = 2};

/* --- EDID --------------------------------------------------------------------------------------------- */

/*
 * A monitor of 1280 x 800 at 60 Hz, 338 x 211 mm.
 *
 *   00  header    08  maker, product, serial number, date, version    14  digital input, size, gamma, features
 *   19  chromaticity (sRGB)    23  established timings    26  standard timings    36  four descriptors
 *   7E  extensions: none    7F  makes the sum of all bytes 0
 *
 * Maker "HYP": three letters of 5 bits, A = 1. The preferred timing is that of CVT with reduced blanking: 71 MHz,
 * 160 dots and 23 lines of blanking.
 */
static const uint8_t edid[EDID_SIZE - 1] = {
    0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00, /* header */
    0x23, 0x30, 0x01, 0x00, 0x01, 0x00, 0x00, 0x00, /* HYP, product 1, serial 1 */
    0x00, 0x22, 0x01, 0x03,                         /* made in 2024; EDID 1.3 */
    0x80, 0x22, 0x15, 0x78, 0x0a, /* digital, 34 x 21 cm, gamma 2.2, RGB, preferred timing */
    0xee, 0x91, 0xa3, 0x54, 0x4c, 0x99, 0x26, 0x0f, 0x50, 0x54, 0x21, 0x08, 0x00, /* 640x480, 800x600 and 1024x768, all at 60 Hz */
    0xd1, 0xc0, 0xd1, 0x00, 0xb3, 0x00, 0xa9, 0x40, /* 1920x1080, 1920x1200, 1680x1050, 1600x1200 at 60 Hz */
    0x95, 0x00, 0x81, 0x80, 0x81, 0x40, 0x71, 0x4f, /* 1440x900, 1280x1024, 1280x960, 1152x864 (75 Hz) */
    0xbc, 0x1b, 0x00, 0xa0, 0x50, 0x20, 0x17, 0x30, 0x30, 0x20, 0x36, 0x00, 0x52, 0xd3,
    0x10, 0x00, 0x00, 0x1a, /* 1280 + 160 by 800 + 23 at 71 MHz */
    0x00, 0x00, 0x00, 0xfd, 0x00, 0x32, 0x7d, 0x1e, 0xa0, 0x1e, 0x00, 0x0a, ' ',  ' ',
    ' ',  ' ',  ' ',  ' ', /* 50-125 Hz, 30-160 kHz, 300 MHz */
    0x00, 0x00, 0x00, 0xfc, 0x00, 'H',  'y',  'p',  'a',  't',  'i',  'a',  '\n', ' ',
    ' ',  ' ',  ' ',  ' ', /* name */
    0x00, 0x00, 0x00, 0xff, 0x00, '1',  '\n', ' ',  ' ',  ' ',  ' ',  ' ',  ' ',  ' ',
    ' ',  ' ',  ' ',  ' ', /* serial number */
    0x00,
};

static uint8_t edid_byte(unsigned at)
{
    uint8_t sum = 0;

    if (at < EDID_SIZE - 1) {
        return edid[at];
    }
    for (unsigned i = 0; i < EDID_SIZE - 1; i++) {
        sum = (uint8_t)(sum + edid[i]);
    }
    return at == EDID_SIZE - 1 ? (uint8_t)-sum : 0;
}

/* --- The registers as memory: BAR 2 ------------------------------------------------------------------- */

static uint8_t read_register_byte(struct vga *vga, unsigned at)
{
    if (at < REGISTERS_PORTS) {
        return edid_byte(at);
    }
    return at < REGISTERS_PORTS + 0x20 ? vga_port_read(vga, 0x3c0 + at - REGISTERS_PORTS) : 0;
}

static uint64_t registers_read(void *opaque, uint64_t offset, unsigned size)
{
    struct vga *vga = opaque;
    unsigned at = (unsigned)offset;
    uint64_t value = 0;

    if (at >= REGISTERS_DISPI && at < REGISTERS_DISPI + 2 * DISPI_COUNT) {
        return dispi_read(vga, (at - REGISTERS_DISPI) / 2);
    }
    if (at >= REGISTERS_EXT) {
        return at == REGISTERS_EXT ? 8 : at == REGISTERS_EXT + 4 ? EXT_LITTLE_ENDIAN : 0;
    }
    for (unsigned i = 0; i < size; i++) {
        value |= (uint64_t)read_register_byte(vga, at + i) << (8 * i);
    }
    return value;
}

static void registers_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct vga *vga = opaque;
    unsigned at = (unsigned)offset;

    if (at >= REGISTERS_PORTS && at < REGISTERS_PORTS + 0x20) {
        for (unsigned i = 0; i < size; i++) {
            vga_port_write(vga, 0x3c0 + at - REGISTERS_PORTS + i, (uint8_t)(value >> (8 * i)));
        }
    } else if (at >= REGISTERS_DISPI && at < REGISTERS_DISPI + 2 * DISPI_COUNT && size == 2) {
        dispi_write(vga, (at - REGISTERS_DISPI) / 2, (uint16_t)value);
    }
}

const struct region_ops vga_register_ops = {.read = registers_read, .write = registers_write, .max_size = 4};
