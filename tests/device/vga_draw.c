/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * VGA: the screen as pixels, in every kind of mode, and what an update draws.
 *
 * Screens are a few characters wide and high, and set up register by register: what is expected can be counted by hand. DAC entry n
 * is programmed as (n, 0, 63 - n) / 63, so that a pixel tells which entry it came from.
 */
#include <criterion/criterion.h>

#include "devices/vga.h"
#include "tests/device/port_fuzz.h"

#define LFB       0xe0000000u
#define REGISTERS 0xf0000000u

static struct vga *find_vga(struct fake_board *fb)
{
    return CONTAINER_OF(board_find_device(&fb->board, "vga"), struct vga, device);
}

static void seq(struct fake_board *fb, uint8_t index, uint8_t value)
{
    fake_outw(fb, 0x3c4, (uint16_t)(index | value << 8));
}

static void gfx(struct fake_board *fb, uint8_t index, uint8_t value)
{
    fake_outw(fb, 0x3ce, (uint16_t)(index | value << 8));
}

static void crtc(struct fake_board *fb, uint8_t index, uint8_t value)
{
    fake_outw(fb, 0x3d4, (uint16_t)(index | value << 8));
}

static void attr(struct fake_board *fb, uint8_t index, uint8_t value)
{
    fake_inb(fb, 0x3da);
    fake_outb(fb, 0x3c0, index);
    fake_outb(fb, 0x3c0, value);
    fake_outb(fb, 0x3c0, 0x20);
}

static void dispi(struct fake_board *fb, uint16_t index, uint16_t value)
{
    fake_outw(fb, 0x1ce, index);
    fake_outw(fb, 0x1cf, value);
}

static void poke8(struct fake_board *fb, gpa_t addr, uint8_t value)
{
    addr_space_write(&fb->mem, addr, value, 1);
}

static uint8_t *planes(struct fake_board *fb, uint32_t offset)
{
    return vga_planes(find_vga(fb), offset);
}

static const struct display_surface *update(struct fake_board *fb)
{
    struct display display = vga_display(find_vga(fb));
    const struct display_surface *surface = display_update(&display);
    cr_assert_not_null(surface);
    return surface;
}

static uint32_t pixel(const struct display_surface *surface, unsigned x, unsigned y)
{
    cr_assert(x < surface->width && y < surface->height);
    return surface->pixel[y * surface->width + x];
}

/* The colour that DAC entry n was given. */
static uint32_t entry(unsigned n)
{
    unsigned red = n % 64, blue = 63 - n % 64;
    return (red << 2 | red >> 4) << 16 | (n >= 64 ? 0xff00 : 0) | (blue << 2 | blue >> 4);
}

/* Rows of entry numbers in hexadecimal: "0 f 1f ...". */
static void expect_row(const struct display_surface *surface, unsigned y, unsigned first, const char *numbers)
{
    char *end;
    for (unsigned x = first; *numbers; x++, numbers = end) {
        unsigned n = (unsigned)strtoul(numbers, &end, 16);
        cr_assert_neq(end, numbers);
        cr_assert_eq(pixel(surface, x, y), entry(n), "%u,%u is %06x, not entry %x", x, y,
                     pixel(surface, x, y), n);
    }
}

/* A screen of `columns` characters and `lines` scan lines, `line_height` of them from the same address; byte addressing. */
static void set_geometry(struct fake_board *fb, unsigned columns, unsigned lines, unsigned line_height)
{
    static const uint8_t zero[VGA_CRTC_COUNT];
    crtc(fb, 0x11, 0);
    for (uint8_t i = 0; i < VGA_CRTC_COUNT; i++) {
        crtc(fb, i, zero[i]);
    }
    crtc(fb, 0x00, 0x5f);
    crtc(fb, 0x01, (uint8_t)(columns - 1));
    crtc(fb, 0x06, 0xbf);
    crtc(fb, 0x07, 0x11);
    crtc(fb, 0x09, (uint8_t)(0x40 | (line_height - 1)));
    crtc(fb, 0x0a, 0x20);
    crtc(fb, 0x12, (uint8_t)(lines - 1));
    crtc(fb, 0x13, (uint8_t)(columns / 2));
    crtc(fb, 0x17, 0xe3);
    crtc(fb, 0x18, 0xff);
}

static struct fake_board *machine_create(void)
{
    struct fake_board *fb = fake_board_create();
    struct pci_bus *bus = pci_bus_create(&fb->board);
    cr_assert_not_null(vga_create(&fb->board, bus, NULL, 0));
    addr_space_remove(&fb->mem, &fb->ram_region);
    pci_config_write(bus, 0, 0, 0, 0x10, LFB, 4);
    pci_config_write(bus, 0, 0, 0, 0x18, REGISTERS, 4);
    pci_config_write(bus, 0, 0, 0, PCI_COMMAND, PCI_COMMAND_MEMORY, 4);
    fake_outb(fb, 0x3c2, 0x67);
    fake_outb(fb, 0x3c8, 0);
    for (unsigned i = 0; i < 256; i++) {
        fake_outb(fb, 0x3c9, i % 64);
        fake_outb(fb, 0x3c9, i >= 64 ? 63 : 0);
        fake_outb(fb, 0x3c9, 63 - i % 64);
    }
    for (uint8_t i = 0; i < 16; i++) {
        attr(fb, i, i);
    }
    attr(fb, 0x12, 0x0f);
    gfx(fb, 8, 0xff);
    gfx(fb, 7, 0x0f);
    seq(fb, 2, 0x0f);
    return fb;
}

/* Text of 8-dot cells, four scan lines high, and character n's glyph is n, ~n, n, 0. */
static void set_text(struct fake_board *fb)
{
    set_geometry(fb, 4, 8, 4);
    attr(fb, 0x10, 0x00);
    seq(fb, 1, 0x01);
    seq(fb, 4, 0x02);
    seq(fb, 2, 0x03);
    gfx(fb, 5, 0x10);
    gfx(fb, 6, 0x0e);
    crtc(fb, 0x17, 0xa3);
    crtc(fb, 0x14, 0x1f);
    for (unsigned n = 0; n < 256; n++) {
        planes(fb, n * 32)[2] = (uint8_t)n;
        planes(fb, n * 32 + 1)[2] = (uint8_t)~n;
        planes(fb, n * 32 + 2)[2] = (uint8_t)n;
    }
}

static void put_cell(struct fake_board *fb, unsigned row, unsigned column, uint8_t character,
                     uint8_t attribute)
{
    addr_space_write(&fb->mem, 0xb8000 + 2 * (row * 4 + column), character | (uint64_t)attribute << 8, 2);
}

/* Planar, all planes at A0000. */
static void set_planar(struct fake_board *fb)
{
    set_geometry(fb, 4, 8, 1);
    seq(fb, 1, 0x01);
    seq(fb, 4, 0x06);
    gfx(fb, 5, 0x00);
    gfx(fb, 6, 0x05);
    attr(fb, 0x10, 0x01);
}

static void put_planes(struct fake_board *fb, uint32_t offset, uint8_t a, uint8_t b, uint8_t c, uint8_t d)
{
    uint8_t values[4] = {a, b, c, d};
    for (uint8_t p = 0; p < 4; p++) {
        seq(fb, 2, (uint8_t)(1u << p));
        poke8(fb, 0xa0000 + offset, values[p]);
    }
    seq(fb, 2, 0x0f);
}

/* Mode 13h's way of addressing and shifting. */
static void set_256(struct fake_board *fb)
{
    set_planar(fb);
    set_geometry(fb, 4, 8, 2);
    seq(fb, 4, 0x0e);
    gfx(fb, 5, 0x40);
    attr(fb, 0x10, 0x41);
    crtc(fb, 0x14, 0x40);
    crtc(fb, 0x17, 0xa3);
}

static void set_dispi(struct fake_board *fb, unsigned width, unsigned height, unsigned bpp)
{
    dispi(fb, DISPI_ENABLE, 0);
    dispi(fb, DISPI_XRES, (uint16_t)width);
    dispi(fb, DISPI_YRES, (uint16_t)height);
    dispi(fb, DISPI_BPP, (uint16_t)bpp);
    dispi(fb, DISPI_ENABLE, DISPI_ENABLED | DISPI_LFB_ENABLED);
}

/* ---- Text ------------------------------------------------------------------------------------------------ */

Test(vga_draw, characters_have_foreground_and_background)
{
    struct fake_board *fb = machine_create();
    set_text(fb);
    put_cell(fb, 0, 0, 0xa5, 0x1e);
    put_cell(fb, 1, 3, 0x0f, 0x70);
    const struct display_surface *surface = update(fb);
    cr_assert_eq(surface->width, 32);
    cr_assert_eq(surface->height, 8);
    expect_row(surface, 0, 0, "e 1 e 1 1 e 1 e 0");
    expect_row(surface, 1, 0, "1 e 1 e e 1 e 1 0");
    expect_row(surface, 3, 0, "1 1 1 1 1 1 1 1 0");
    expect_row(surface, 4, 24, "7 7 7 7 0 0 0 0");
    fake_board_destroy(fb);
}

Test(vga_draw, the_ninth_dot_is_background_but_for_line_graphics)
{
    struct fake_board *fb = machine_create();
    set_text(fb);
    seq(fb, 1, 0x00);
    attr(fb, 0x13, 0x08); /* not panned */
    attr(fb, 0x10, 0x04);
    put_cell(fb, 0, 0, 0xc1, 0x1e);
    put_cell(fb, 0, 1, 0xe1, 0x1e);
    const struct display_surface *surface = update(fb);
    cr_assert_eq(surface->width, 36);
    expect_row(surface, 0, 0, "e e 1 1 1 1 1 e e");
    expect_row(surface, 0, 9, "e e e 1 1 1 1 e 1");
    attr(fb, 0x10, 0x00);
    expect_row(update(fb), 0, 0, "e e 1 1 1 1 1 e 1");
    fake_board_destroy(fb);
}

Test(vga_draw, half_the_dot_clock_doubles_the_dots)
{
    struct fake_board *fb = machine_create();
    set_text(fb);
    seq(fb, 1, 0x09);
    put_cell(fb, 0, 0, 0x90, 0x02);
    const struct display_surface *surface = update(fb);
    cr_assert_eq(surface->width, 64);
    expect_row(surface, 0, 0, "2 2 0 0 0 0 2 2 0 0");
    fake_board_destroy(fb);
}

Test(vga_draw, the_cursor_has_a_shape_and_blinks)
{
    struct fake_board *fb = machine_create();
    set_text(fb);
    put_cell(fb, 0, 1, 0x00, 0x07);
    crtc(fb, 0x0f, 1);
    crtc(fb, 0x0a, 0x02);
    crtc(fb, 0x0b, 0x03);
    const struct display_surface *surface = update(fb);
    expect_row(surface, 0, 8, "0 0 0 0 0 0 0 0");
    expect_row(surface, 1, 7, "0 7 7 7 7 7 7 7 7 0"); /* the glyph */
    expect_row(surface, 2, 7, "0 7 7 7 7 7 7 7 7 0");
    expect_row(surface, 3, 7, "0 7 7 7 7 7 7 7 7 0");
    unsigned changes = 0;
    bool on = true;
    for (unsigned ms = 0; ms < 1000; ms += 5) {
        bool now = pixel(update(fb), 8, 3) == entry(7);
        changes += now != on;
        on = now;
        fake_step(fb, 5000000);
    }
    /* About 70 frames a second here, eight on and eight off. */
    cr_assert(changes >= 6 && changes <= 20, "%u changes in a second", changes);
    crtc(fb, 0x0b, 0x20 | 0x03); /* skew: one character later */
    clock_set_now(&fb->clock, 0);
    expect_row(update(fb), 3, 7, "0 0 0 0 0 0 0 0 0 0");
    put_cell(fb, 0, 2, 0x00, 0x05);
    expect_row(update(fb), 3, 16, "5 5 5 5 5 5 5 5 0");
    fake_board_destroy(fb);
}

Test(vga_draw, attribute_bit_7_blinks_or_brightens)
{
    struct fake_board *fb = machine_create();
    set_text(fb);
    put_cell(fb, 0, 0, 0xff, 0x9e);
    put_cell(fb, 0, 1, 0x00, 0x9e);
    expect_row(update(fb), 0, 7, "e 9"); /* bright background */
    attr(fb, 0x10, 0x08);
    unsigned seen = 0;
    for (unsigned ms = 0; ms < 1000; ms += 10) {
        uint32_t color = pixel(update(fb), 7, 0);
        cr_assert(color == entry(0xe) || color == entry(1));
        seen |= color == entry(1) ? 2 : 1;
        cr_assert_eq(pixel(update(fb), 8, 0), entry(1));
        fake_step(fb, 10000000);
    }
    cr_assert_eq(seen, 3);
    fake_board_destroy(fb);
}

Test(vga_draw, attribute_bit_3_chooses_the_second_font)
{
    struct fake_board *fb = machine_create();
    set_text(fb);
    planes(fb, 0x4000 + 'A' * 32)[2] = 0x18;
    seq(fb, 3, 0x04); /* font 1: the second 16 KiB */
    put_cell(fb, 0, 0, 'A', 0x02);
    put_cell(fb, 0, 1, 'A', 0x0a);
    const struct display_surface *surface = update(fb);
    expect_row(surface, 0, 0, "0 2 0 0 0 0 0 2");
    expect_row(surface, 0, 8, "0 0 0 a a 0 0 0");
    fake_board_destroy(fb);
}

Test(vga_draw, underlines_belong_to_attribute_1)
{
    struct fake_board *fb = machine_create();
    set_text(fb);
    crtc(fb, 0x14, 0x03);
    put_cell(fb, 0, 0, 0, 0x01);
    put_cell(fb, 0, 1, 0, 0x02);
    expect_row(update(fb), 3, 0, "1 1 1 1 1 1 1 1 0 0");
    fake_board_destroy(fb);
}

Test(vga_draw, panning_and_preset_row_scan_move_text_by_dots)
{
    struct fake_board *fb = machine_create();
    set_text(fb);
    put_cell(fb, 0, 0, 0x0f, 0x02);
    put_cell(fb, 1, 0, 0xf0, 0x03); /* is the fifth column of row 0, too */
    attr(fb, 0x13, 3);
    const struct display_surface *surface = update(fb);
    expect_row(surface, 0, 0, "0 2 2 2 2");
    expect_row(surface, 0, 26, "0 0 0 3 3 3");
    attr(fb, 0x13, 0);
    crtc(fb, 0x08, 0x01);
    surface = update(fb);
    expect_row(surface, 0, 0, "2 2 2 2 0 0 0 0");
    expect_row(surface, 3, 0, "3 3 3 3 0 0 0 0");
    fake_board_destroy(fb);
}

Test(vga_draw, nine_dot_panning_counts_from_8)
{
    struct fake_board *fb = machine_create();
    set_text(fb);
    seq(fb, 1, 0);
    put_cell(fb, 0, 0, 0xc0, 0x02);
    attr(fb, 0x13, 8);
    expect_row(update(fb), 0, 0, "2 2 0");
    attr(fb, 0x13, 0);
    expect_row(update(fb), 0, 0, "2 0");
    fake_board_destroy(fb);
}

/* ---- Planes ---------------------------------------------------------------------------------------------- */

Test(vga_draw, four_planes_make_sixteen_colours)
{
    struct fake_board *fb = machine_create();
    set_planar(fb);
    put_planes(fb, 1, 0xaa, 0xcc, 0xf0, 0x80);
    const struct display_surface *surface = update(fb);
    expect_row(surface, 0, 8, "f 6 5 4 3 2 1 0");
    attr(fb, 0x12, 0x05); /* planes 0 and 2 only */
    expect_row(update(fb), 0, 8, "5 4 5 4 1 0 1 0");
    attr(fb, 0x12, 0x0f);
    attr(fb, 5, 0x2a);
    expect_row(update(fb), 0, 10, "2a");
    attr(fb, 0x10, 0x81); /* bits 5:4 from the colour select register, 7:6 always */
    attr(fb, 0x14, 0x07);
    expect_row(update(fb), 0, 8, "7f 76 7a 74");
    fake_outb(fb, 0x3c6, 0x0f);
    expect_row(update(fb), 0, 8, "f 6 a 4");
    fake_board_destroy(fb);
}

Test(vga_draw, the_start_address_and_byte_panning_scroll)
{
    struct fake_board *fb = machine_create();
    set_planar(fb);
    put_planes(fb, 0x1235, 0x80, 0, 0, 0);
    crtc(fb, 0x0c, 0x12);
    crtc(fb, 0x0d, 0x34);
    expect_row(update(fb), 0, 7, "0 1 0");
    crtc(fb, 0x08, 0x20);
    expect_row(update(fb), 0, 0, "1 0");
    fake_board_destroy(fb);
}

Test(vga_draw, the_line_compare_splits_the_screen)
{
    struct fake_board *fb = machine_create();
    set_planar(fb);
    put_planes(fb, 0, 0xff, 0, 0, 0);
    put_planes(fb, 0x100, 0, 0xff, 0, 0);
    put_planes(fb, 0x104, 0, 0x0f, 0, 0);
    crtc(fb, 0x0c, 0x01);
    crtc(fb, 0x07, 0x01);
    crtc(fb, 0x09, 0x00);
    crtc(fb, 0x18, 0x01);
    attr(fb, 0x13, 2);
    const struct display_surface *surface = update(fb);
    expect_row(surface, 0, 0, "2 2 2 2 2 2 0 0");
    expect_row(surface, 1, 0, "0 0 2 2 2 2 0 0");
    expect_row(surface, 2, 0, "1 1 1 1 1 1 0 0");
    expect_row(surface, 3, 0, "0 0 0 0 0 0 0 0");
    attr(fb, 0x10, 0x21); /* panning ends there */
    expect_row(update(fb), 2, 0, "1 1 1 1 1 1 1 1 0");
    fake_board_destroy(fb);
}

Test(vga_draw, double_scanning_repeats_lines)
{
    struct fake_board *fb = machine_create();
    set_planar(fb);
    crtc(fb, 0x09, 0xc0);
    put_planes(fb, 4, 0xff, 0, 0, 0);
    const struct display_surface *surface = update(fb);
    for (unsigned y = 0; y < 6; y++) {
        expect_row(surface, y, 0, y == 2 || y == 3 ? "1 1" : "0 0");
    }
    fake_board_destroy(fb);
}

Test(vga_draw, cga_modes_interleave_lines_and_bits)
{
    struct fake_board *fb = machine_create();
    set_planar(fb);
    set_geometry(fb, 4, 8, 2);
    seq(fb, 4, 0x02);
    seq(fb, 2, 0x03);
    gfx(fb, 5, 0x30);
    gfx(fb, 6, 0x0f);
    attr(fb, 0x12, 0x03);
    crtc(fb, 0x17, 0xa2);
    poke8(fb, 0xb8000, 0x1b);
    poke8(fb, 0xb8001, 0xe4);
    poke8(fb, 0xba000, 0xc0);
    const struct display_surface *surface = update(fb);
    expect_row(surface, 0, 0, "0 1 2 3 3 2 1 0");
    expect_row(surface, 1, 0, "3 0 0 0 0 0 0 0");
    /* Mode 6: one bit a pixel, from plane 0. */
    seq(fb, 4, 0x06);
    seq(fb, 2, 0x01);
    gfx(fb, 5, 0x00);
    gfx(fb, 6, 0x0d);
    attr(fb, 0x12, 0x01);
    crtc(fb, 0x17, 0xc2);
    poke8(fb, 0xb8000, 0xa1);
    poke8(fb, 0xba003, 0x01);
    surface = update(fb);
    expect_row(surface, 0, 0, "1 0 1 0 0 0 0 1");
    expect_row(surface, 1, 31, "1");
    fake_board_destroy(fb);
}

/* ---- 256 colours ----------------------------------------------------------------------------------------- */

Test(vga_draw, mode_13h_shows_bytes_in_a_row)
{
    struct fake_board *fb = machine_create();
    set_256(fb);
    fake_write32(fb, 0xa0000, 0x44f32211);
    fake_write32(fb, 0xa0010, 0x00000099);
    const struct display_surface *surface = update(fb);
    expect_row(surface, 0, 0, "11 11 22 22 f3 f3 44 44 0 0");
    expect_row(surface, 1, 0, "11 11 22 22 f3 f3 44 44 0 0");
    expect_row(surface, 3, 0, "99 99 0 0");
    attr(fb, 0x13, 2);
    expect_row(update(fb), 0, 0, "22 22 f3 f3 44 44");
    fake_outb(fb, 0x3c6, 0x0f);
    expect_row(update(fb), 0, 0, "2 2 3 3 4 4");
    fake_board_destroy(fb);
}

Test(vga_draw, all_of_mode_13h_lies_where_the_aperture_shows_it)
{
    struct fake_board *fb = machine_create();
    set_256(fb);
    set_geometry(fb, 80, 200, 1);
    crtc(fb, 0x14, 0x40);
    crtc(fb, 0x17, 0xa3);
    for (uint32_t i = 0; i < 64000; i++) {
        poke8(fb, 0xa0000 + i, (uint8_t)(i * 7 + i / 320));
    }
    const struct display_surface *surface = update(fb);
    for (uint32_t i = 0; i < 64000; i++) {
        cr_assert_eq(pixel(surface, i % 320 * 2, i / 320), entry((uint8_t)(i * 7 + i / 320)), "pixel %u", i);
    }
    fake_board_destroy(fb);
}

Test(vga_draw, unchained_modes_take_a_pixel_from_each_plane)
{
    struct fake_board *fb = machine_create();
    set_256(fb);
    seq(fb, 4, 0x06);
    crtc(fb, 0x14, 0x00);
    crtc(fb, 0x17, 0xe3);
    put_planes(fb, 0, 0x10, 0x20, 0x30, 0x40);
    put_planes(fb, 1, 0x50, 0x60, 0x70, 0x80);
    expect_row(update(fb), 0, 0, "10 10 20 20 30 30 40 40 50 50 60 60 70 70 80 80 0");
    fake_board_destroy(fb);
}

/* ---- VBE ------------------------------------------------------------------------------------------------- */

Test(vga_draw, packed_pixels_of_every_depth)
{
    struct fake_board *fb = machine_create();
    set_dispi(fb, 64, 32, 32);
    fake_write32(fb, LFB + 4, 0xff123456);
    cr_assert_eq(pixel(update(fb), 1, 0), 0x123456);
    cr_assert_eq(update(fb)->width, 64);
    cr_assert_eq(update(fb)->height, 32);
    set_dispi(fb, 64, 32, 24);
    fake_write32(fb, LFB + 64 * 3 + 3, 0x00abcdef);
    cr_assert_eq(pixel(update(fb), 1, 1), 0xabcdef);
    set_dispi(fb, 64, 32, 16);
    fake_write32(fb, LFB, 0xf8000000 | 0x07e0);
    cr_assert_eq(pixel(update(fb), 0, 0), 0x00ff00);
    cr_assert_eq(pixel(update(fb), 1, 0), 0xff0000);
    set_dispi(fb, 64, 32, 15);
    fake_write32(fb, LFB, 0x7c000000 | 0x03e0 | 0x8010);
    cr_assert_eq(pixel(update(fb), 0, 0), 0x00ff84);
    cr_assert_eq(pixel(update(fb), 1, 0), 0xff0000);
    set_dispi(fb, 64, 32, 8);
    fake_write32(fb, LFB, 0x00443322);
    expect_row(update(fb), 0, 0, "22 33 44 0");
    fake_board_destroy(fb);
}

Test(vga_draw, a_planar_vbe_mode)
{
    struct fake_board *fb = machine_create();
    set_planar(fb);
    set_dispi(fb, 64, 32, 4);
    put_planes(fb, 8, 0xaa, 0xcc, 0xf0, 0x80);
    expect_row(update(fb), 1, 0, "f 6 5 4 3 2 1 0");
    dispi(fb, DISPI_VIRT_WIDTH, 128);
    dispi(fb, DISPI_X_OFFSET, 2);
    put_planes(fb, 16, 0xaa, 0xcc, 0xf0, 0x80);
    expect_row(update(fb), 1, 0, "5 4 3 2 1 0");
    fake_board_destroy(fb);
}

Test(vga_draw, the_dac_can_be_8_bits_wide)
{
    struct fake_board *fb = machine_create();
    set_dispi(fb, 64, 32, 8);
    dispi(fb, DISPI_ENABLE, DISPI_ENABLED | DISPI_8BIT_DAC);
    fake_outb(fb, 0x3c8, 0);
    fake_outb(fb, 0x3c9, 0x81);
    fake_outb(fb, 0x3c9, 0x42);
    fake_outb(fb, 0x3c9, 0xff);
    cr_assert_eq(pixel(update(fb), 0, 0), 0x8142ff);
    fake_board_destroy(fb);
}

Test(vga_draw, offsets_choose_a_part_of_a_larger_screen)
{
    struct fake_board *fb = machine_create();
    set_dispi(fb, 64, 32, 32);
    dispi(fb, DISPI_VIRT_WIDTH, 128);
    dispi(fb, DISPI_X_OFFSET, 10);
    dispi(fb, DISPI_Y_OFFSET, 20);
    fake_write32(fb, LFB + (20 * 128 + 10) * 4, 0x112233);
    cr_assert_eq(pixel(update(fb), 0, 0), 0x112233);
    dispi(fb, DISPI_Y_OFFSET, 19);
    cr_assert_eq(pixel(update(fb), 0, 1), 0x112233);
    fake_board_destroy(fb);
}

Test(vga_draw, the_largest_mode_fits)
{
    struct fake_board *fb = machine_create();
    set_dispi(fb, 1920, 1200, 32);
    fake_write32(fb, LFB + (1920 * 1200 - 1) * 4, 0x998877);
    cr_assert_eq(pixel(update(fb), 1919, 1199), 0x998877);
    fake_board_destroy(fb);
}

/* ---- Blank ----------------------------------------------------------------------------------------------- */

Test(vga_draw, a_screen_that_is_off_is_black_and_keeps_its_size)
{
    struct fake_board *fb = machine_create();
    set_text(fb);
    put_cell(fb, 0, 0, 0xff, 0x07);
    update(fb);
    seq(fb, 1, 0x21);
    const struct display_surface *surface = update(fb);
    cr_assert_eq(surface->width, 32);
    cr_assert_eq(pixel(surface, 0, 0), 0);
    seq(fb, 1, 0x01);
    expect_row(update(fb), 0, 0, "7");
    fake_inb(fb, 0x3da);
    fake_outb(fb, 0x3c0, 0x00); /* the palette belongs to the processor */
    cr_assert_eq(pixel(update(fb), 0, 0), 0);
    fake_board_destroy(fb);
}

/* ---- What is drawn, and what it costs ---------------------------------------------------------------------- */

static unsigned watched_frames(struct fake_board *fb)
{
    const struct vga *vga = find_vga(fb);
    unsigned count = 0;
    for (unsigned i = 0; i < VGA_FRAMES; i++) {
        count += ram_watched(&fb->ram, vga->vram + (uint64_t)i * PAGE_SIZE);
    }
    return count;
}

Test(vga_draw, an_unchanged_screen_is_not_drawn)
{
    struct fake_board *fb = machine_create();
    set_dispi(fb, 640, 480, 32);
    const struct display_surface *surface = update(fb);
    uint64_t serial = surface->serial;
    struct display_rect rect[4];
    cr_assert_neq(serial, 0);
    cr_assert_eq(display_dirty(surface, 0, rect, 4), 1);
    cr_assert(rect[0].y == 0 && rect[0].height == 480 && rect[0].width == 640);
    cr_assert_eq(watched_frames(fb), 640 * 480 * 4 / PAGE_SIZE);
    update(fb);
    cr_assert_eq(surface->serial, serial);
    fake_write32(fb, LFB, 0); /* written, but the same */
    update(fb);
    cr_assert_eq(surface->serial, serial);
    cr_assert_eq(display_dirty(surface, serial, rect, 4), 0);
    fake_board_destroy(fb);
}

Test(vga_draw, a_write_is_seen_once_and_changes_its_rows)
{
    struct fake_board *fb = machine_create();
    struct display_rect rect[2];
    set_dispi(fb, 640, 480, 32);
    const struct display_surface *surface = update(fb);
    uint64_t serial = surface->serial;
    unsigned all = watched_frames(fb);
    fake_write32(fb, LFB + 640 * 4 * 100, 0xffffff);
    fake_write32(fb, LFB + 640 * 4 * 100, 0xeeeeee);
    fake_write32(fb, LFB + 640 * 4 * 300, 0xffffff);
    cr_assert_eq(watched_frames(fb), all - 2);
    update(fb);
    cr_assert_eq(watched_frames(fb), all);
    cr_assert_eq(display_dirty(surface, serial, rect, 2), 2);
    cr_assert(rect[0].y == 100 && rect[0].height == 1);
    cr_assert(rect[1].y == 300 && rect[1].height == 1);
    cr_assert_eq(display_dirty(surface, serial, rect, 1), 1, "no room for more");
    cr_assert(rect[0].y == 100 && rect[0].height == 201);
    fake_board_destroy(fb);
}

Test(vga_draw, a_guest_that_draws_all_the_time_is_not_watched)
{
    struct fake_board *fb = machine_create();
    set_dispi(fb, 640, 480, 32);
    unsigned faults = 0;
    update(fb);
    for (unsigned i = 0; i < 100; i++) {
        faults += ram_watched(&fb->ram, find_vga(fb)->vram);
        fake_write32(fb, LFB, i * 0x010203);
        cr_assert_eq(pixel(update(fb), 0, 0), i * 0x010203 & 0xffffff);
    }
    cr_assert_leq(faults, 12);
    for (unsigned i = 0; i < 40; i++) {
        update(fb);
    }
    cr_assert(ram_watched(&fb->ram, find_vga(fb)->vram), "watched again when it has become quiet");
    fake_board_destroy(fb);
}

Test(vga_draw, every_way_to_write_memory_is_seen)
{
    static const uint32_t color = 0x12345678;
    struct fake_board *fb = machine_create();
    set_dispi(fb, 640, 480, 32);
    update(fb);
    cr_assert(dma_write(&fb->mem, LFB, &color, 4));
    cr_assert_eq(pixel(update(fb), 0, 0), 0x345678);
    cr_assert(addr_space_poke(&fb->mem, LFB + 4, &color, 4));
    cr_assert_eq(pixel(update(fb), 1, 0), 0x345678);
    fake_write32(fb, 0xa0008, 0xabcdef);
    cr_assert_eq(pixel(update(fb), 2, 0), 0xabcdef);
    set_planar(fb);
    dispi(fb, DISPI_ENABLE, 0);
    update(fb);
    put_planes(fb, 0, 0x80, 0, 0, 0);
    expect_row(update(fb), 0, 0, "1");
    set_text(fb);
    update(fb);
    put_cell(fb, 0, 0, 0xff, 0x05);
    expect_row(update(fb), 0, 0, "5");
    fake_board_destroy(fb);
}

Test(vga_draw, two_front_ends_see_every_change)
{
    struct fake_board *fb = machine_create();
    struct display_rect rect;
    set_dispi(fb, 64, 32, 32);
    uint64_t first = update(fb)->serial, second = first;
    fake_write32(fb, LFB, 1);
    const struct display_surface *surface = update(fb);
    cr_assert_eq(display_dirty(surface, first, &rect, 1), 1);
    first = surface->serial;
    fake_write32(fb, LFB + 64 * 4 * 9, 1);
    update(fb);
    cr_assert_eq(display_dirty(surface, first, &rect, 1), 1);
    cr_assert(rect.y == 9 && rect.height == 1);
    cr_assert_eq(display_dirty(surface, second, &rect, 1), 1);
    cr_assert(rect.y == 0 && rect.height == 10);
    fake_board_destroy(fb);
}

/* ---- The aperture as memory -------------------------------------------------------------------------------- */

static roff_t memory_at(struct fake_board *fb, gpa_t addr)
{
    roff_t roff = addr_space_write_roff(&fb->mem, addr);
    return roff == UINT64_MAX ? roff : roff - find_vga(fb)->vram;
}

Test(vga_draw, the_aperture_is_memory_where_the_planes_are_left_alone)
{
    struct fake_board *fb = machine_create();
    set_256(fb);
    cr_assert_eq(memory_at(fb, 0xa1000), 0x1000);
    gfx(fb, 8, 0x0f);
    cr_assert_eq(memory_at(fb, 0xa1000), UINT64_MAX, "bit mask");
    gfx(fb, 8, 0xff);
    gfx(fb, 5, 0x41);
    cr_assert_eq(memory_at(fb, 0xa1000), UINT64_MAX, "write mode 1");
    gfx(fb, 5, 0x40);
    seq(fb, 2, 0x07);
    cr_assert_eq(memory_at(fb, 0xa1000), UINT64_MAX, "map mask");
    seq(fb, 2, 0x0f);
    seq(fb, 4, 0x06);
    cr_assert_eq(memory_at(fb, 0xa1000), UINT64_MAX, "planar");
    set_text(fb);
    cr_assert_eq(memory_at(fb, 0xb9000), VGA_VRAM_SIZE + 0x1000);
    cr_assert_eq(memory_at(fb, 0xa1000), UINT64_MAX);
    fake_outb(fb, 0x3c2, 0x65);
    cr_assert_eq(memory_at(fb, 0xb9000), UINT64_MAX, "RAM enable");
    fake_outb(fb, 0x3c2, 0x67);
    set_dispi(fb, 640, 480, 8);
    cr_assert_eq(memory_at(fb, 0xb9000), UINT64_MAX);
    dispi(fb, DISPI_BANK, 4);
    cr_assert_eq(memory_at(fb, 0xa1000), 0x41000);
    dispi(fb, DISPI_ENABLE, DISPI_ENABLED | DISPI_BANK_GRANULARITY_32K | DISPI_NOCLEARMEM);
    cr_assert_eq(memory_at(fb, 0xa1000), 0x21000);
    dispi(fb, DISPI_BANK, 0xffff);
    cr_assert_eq(memory_at(fb, 0xa7000), VGA_VRAM_SIZE - PAGE_SIZE);
    cr_assert_eq(memory_at(fb, 0xa8000), UINT64_MAX, "the last bank ends with VRAM");
    fake_board_destroy(fb);
}

Test(vga_draw, text_moves_between_window_and_planes)
{
    struct fake_board *fb = machine_create();
    set_text(fb);
    put_cell(fb, 0, 0, 'A', 0x1f);
    put_cell(fb, 0, 1, 'B', 0x2f);
    seq(fb, 4, 0x06); /* planar: the window closes */
    cr_assert_eq(planes(fb, 0)[0], 'A');
    cr_assert_eq(planes(fb, 0)[1], 0x1f);
    cr_assert_eq(planes(fb, 2)[0], 'B');
    planes(fb, 2)[0] = 'C';
    planes(fb, 1)[0] = 'x'; /* odd offsets are not text */
    seq(fb, 4, 0x02);
    cr_assert_eq(fake_read32(fb, 0xb8000), 0x2f431f41);
    seq(fb, 4, 0x06);
    cr_assert_eq(planes(fb, 1)[0], 'x');
    fake_board_destroy(fb);
}

Test(vga_draw, text_survives_a_vbe_mode_that_clears_nothing)
{
    struct fake_board *fb = machine_create();
    set_text(fb);
    put_cell(fb, 1, 2, 'Z', 0x1f);
    dispi(fb, DISPI_XRES, 640);
    dispi(fb, DISPI_YRES, 480);
    dispi(fb, DISPI_BPP, 8);
    dispi(fb, DISPI_ENABLE, DISPI_ENABLED | DISPI_NOCLEARMEM);
    cr_assert_eq(memory_at(fb, 0xb8000), UINT64_MAX);
    dispi(fb, DISPI_ENABLE, 0);
    cr_assert_eq((uint16_t)addr_space_read(&fb->mem, 0xb8000 + 2 * 6, 2), 0x1f5a);
    fake_board_destroy(fb);
}

/* ---- EDID ------------------------------------------------------------------------------------------------ */

Test(vga_draw, the_edid_is_whole)
{
    struct fake_board *fb = machine_create();
    uint8_t sum = 0;
    for (unsigned i = 0; i < 128; i++) {
        sum = (uint8_t)(sum + addr_space_read(&fb->mem, REGISTERS + i, 1));
    }
    cr_assert_eq(sum, 0);
    cr_assert_eq(fake_read32(fb, REGISTERS), 0xffffff00);
    cr_assert_eq(fake_read32(fb, REGISTERS + 4), 0x00ffffff);
    cr_assert_eq((uint16_t)addr_space_read(&fb->mem, REGISTERS + 0x12, 2), 0x0301, "EDID 1.3");
    cr_assert_eq((uint16_t)addr_space_read(&fb->mem, REGISTERS + 0x36, 2), 7100, "71 MHz");
    cr_assert_eq(fake_read32(fb, REGISTERS + 0x5c), 0x4800fc00, "the name follows");
    cr_assert_eq(fake_read32(fb, REGISTERS + 128), 0);
    fake_board_destroy(fb);
}

/* ---- Any state ------------------------------------------------------------------------------------------- */

static void set_random_registers(struct fake_board *fb, uint64_t *state)
{
    crtc(fb, 0x11, 0);
    for (unsigned i = 0; i < 12; i++) {
        uint8_t value = (uint8_t)fuzz_random(state);
        crtc(fb, (uint8_t)(fuzz_random(state) % VGA_CRTC_COUNT), value);
        attr(fb, (uint8_t)(fuzz_random(state) % VGA_ATTR_COUNT), value);
        gfx(fb, (uint8_t)(fuzz_random(state) % VGA_GFX_COUNT), value);
        seq(fb, (uint8_t)(1 + fuzz_random(state) % 4), value & (i ? 0xff : 0xdf));
    }
    if (fuzz_random(state) % 3 == 0) {
        for (uint16_t i = DISPI_XRES; i <= DISPI_Y_OFFSET; i++) {
            dispi(fb, i, (uint16_t)(fuzz_random(state) >> fuzz_random(state) % 16));
        }
        dispi(fb, DISPI_BPP, (uint16_t)(fuzz_random(state) % 36));
        dispi(fb, DISPI_ENABLE, (uint16_t)(fuzz_random(state) & 0xff));
    }
}

Test(vga_draw, every_state_gives_a_picture)
{
    struct fake_board *fb = machine_create();
    uint64_t state = 5;
    for (unsigned i = 0; i < 300; i++) {
        set_random_registers(fb, &state);
        addr_space_write(&fb->mem, 0xa0000 + fuzz_random(&state) % 0x1fff8, fuzz_random(&state), 8);
        fake_step(fb, fuzz_random(&state) % 100000000);
        const struct display_surface *surface = update(fb);
        cr_assert(surface->width >= 1 && surface->width <= DISPLAY_MAX_WIDTH);
        cr_assert(surface->height >= 1 && surface->height <= DISPLAY_MAX_HEIGHT);
    }
    fake_board_destroy(fb);
}

/* A second machine with the same memory and the state loaded shows the same, in any mode. */
static void expect_same_after_load(struct fake_board *fb)
{
    struct fake_board *other = machine_create();
    memcpy(ram_ptr(&other->ram, 0), ram_ptr(&fb->ram, 0), fb->ram.used);
    fake_expect_same_after_load(&find_vga(fb)->device, &find_vga(other)->device);
    const struct display_surface *a = update(fb), *b = update(other);
    cr_assert(a->width == b->width && a->height == b->height);
    cr_assert_arr_eq(a->pixel, b->pixel, sizeof(uint32_t) * a->width * a->height);
    cr_assert_eq(memory_at(fb, 0xa0000), memory_at(other, 0xa0000));
    cr_assert_eq(memory_at(fb, 0xb8000), memory_at(other, 0xb8000));
    fake_board_destroy(other);
}

Test(vga_draw, a_loaded_machine_shows_the_same_picture_in_every_mode)
{
    static const unsigned depths[] = {4, 8, 15, 16, 24, 32};
    struct fake_board *fb = machine_create();
    set_text(fb);
    put_cell(fb, 0, 0, 0xa5, 0x1e);
    expect_same_after_load(fb);
    set_planar(fb);
    put_planes(fb, 1, 1, 2, 4, 8);
    expect_same_after_load(fb);
    set_256(fb);
    fake_write32(fb, 0xa0000, 0x44332211);
    expect_same_after_load(fb);
    for (unsigned i = 0; i < ARRAY_LEN(depths); i++) {
        set_dispi(fb, 640, 480, depths[i]);
        fake_write32(fb, LFB + 100, 0x44332211);
        dispi(fb, DISPI_BANK, 3);
        expect_same_after_load(fb);
    }
    fake_board_destroy(fb);
}
